//! Request bodies: so many bytes, within so much time.

use super::admin::refused_admin;
use super::answer;
use crate::administrator::Administrator;
use crate::app::App;
use axum::BoxError;
use axum::Extension;
use axum::RequestExt;
use axum::body::{Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;

/// Longest body of a device's request.
pub(super) const DEVICE_BODY: usize = 4 * 1024;
/// Longest body of an administrator's request with JSON only.
const ADMIN_BODY: usize = 128 * 1024;
/// Longest release upload: 16 MiB of image and its manifest.
pub(super) const UPLOAD_BODY: usize = 17 * 1024 * 1024;

/// Reads the whole body. A declared length beyond the limit is refused before a byte is read.
pub(super) async fn read<B>(body: B, most: usize, within: Duration) -> Result<Bytes, BodyRefusal>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    if body.size_hint().lower() > most as u64 {
        return Err(BodyRefusal::TooLong);
    }
    match tokio::time::timeout(within, Limited::new(body, most).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyRefusal::TooLong),
        Ok(Err(_)) => Err(BodyRefusal::Broken),
        Err(_) => Err(BodyRefusal::TooSlow),
    }
}

/// The whole body of an administrator's request.
pub(super) struct AdminBody(pub(super) Bytes);

impl FromRequest<Arc<App>> for AdminBody {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Response> {
        read(request.into_body(), ADMIN_BODY, app.limits.body()).await.map(Self).map_err(answer::body_refused)
    }
}

/// The body of an administrator's request, as JSON. One that does not read is refused, and noted in the audit log.
pub(super) struct AdminJson<T>(pub(super) T);

/// What an administrator may ask for in JSON.
pub(super) trait AdminWish: DeserializeOwned + Send {
    /// The reason by which one that does not read is refused.
    const MALFORMED: &'static str;
}

impl<T: AdminWish> FromRequest<Arc<App>> for AdminJson<T> {
    type Rejection = Response;

    async fn from_request(mut request: Request, app: &Arc<App>) -> Result<Self, Response> {
        let by: Extension<Administrator> = request.extract_parts().await.map_err(IntoResponse::into_response)?;
        let AdminBody(body) = AdminBody::from_request(request, app).await?;
        match serde_json::from_slice(&body) {
            Ok(wish) => Ok(Self(wish)),
            Err(error) => Err(refused_admin(app, &by, T::MALFORMED, error.to_string()).await),
        }
    }
}

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyRefusal {
    #[error("body is too long")]
    TooLong,
    #[error("body came too slowly")]
    TooSlow,
    #[error("body ended early or was malformed")]
    Broken,
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use hyper::body::Frame;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    #[tokio::test]
    async fn refuses_one_byte_too_many_declared_or_not() {
        let second = Duration::from_secs(1);
        assert_eq!(read(Body::from(vec![0; 10]), 10, second).await.unwrap().len(), 10);
        assert_eq!(read(Body::from(vec![0; 11]), 10, second).await.unwrap_err(), BodyRefusal::TooLong);
        assert_eq!(read(Body::new(Endless), 10, second).await.unwrap_err(), BodyRefusal::TooLong);
    }

    #[tokio::test]
    async fn refuses_a_body_that_never_ends() {
        let refused = read(Body::new(Silent), 10, Duration::from_millis(5)).await;
        assert_eq!(refused.unwrap_err(), BodyRefusal::TooSlow);
    }

    struct Endless;

    impl HttpBody for Endless {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
        }
    }

    struct Silent;

    impl HttpBody for Silent {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Pending
        }
    }
}
