//! The route of whole artifacts: one range, streamed piece by piece, to so many devices at once.

use super::answer;
use super::asked::Path;
use super::device::known;
use super::range::{Asked, ByteRange, asked};
use crate::app::App;
use crate::firmware::Firmware;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use cotter_wire::ids::{DeviceId, ReleaseId};
use hyper::StatusCode;
use hyper::body::{Bytes, Frame, SizeHint};
use hyper::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::task::JoinHandle;

/// GET, with or without `Range`: always 206 or 416, never 200.
pub(super) async fn artifact(
    State(app): State<Arc<App>>,
    Path((id, release)): Path<(String, String)>,
    request: Request,
) -> Response {
    let headers = request.headers().clone();
    let (device, _) = match known(&app, &id, request).await {
        Ok(known) => known,
        Err(refused) => return refused,
    };
    let Ok(release) = release.parse::<ReleaseId>() else { return answer::refused(StatusCode::NOT_FOUND) };
    let total = match app.firmware.size_for(&device.id, release).await {
        Ok(Some(total)) => total,
        Ok(None) => return answer::refused(StatusCode::NOT_FOUND),
        Err(error) => return answer::unavailable(&error),
    };
    let seat = match Downloads::begin(&app.downloads, device.id) {
        Ok(seat) => seat,
        Err(busy) => return busy.answer(),
    };
    let etag = match app.firmware.etag(release).await {
        Ok(etag) => format!("\"{etag}\""),
        Err(error) => return answer::unavailable(&error),
    };
    serve(&app.firmware, device.id, release, u64::from(total), &etag, &headers, seat)
}

fn serve(
    firmware: &Arc<Firmware>,
    device: DeviceId,
    release: ReleaseId,
    total: u64,
    etag: &str,
    headers: &HeaderMap,
    seat: Seat,
) -> Response {
    let part = match asked(headers, etag, total) {
        Asked::Part(part) => part,
        Asked::Unsatisfiable => {
            let mut response = answer::refused(StatusCode::RANGE_NOT_SATISFIABLE);
            set(&mut response, CONTENT_RANGE, &format!("bytes */{total}"));
            set(&mut response, ETAG, etag);
            return response;
        }
        Asked::OtherContent => {
            let mut response = answer::refused(StatusCode::PRECONDITION_FAILED);
            set(&mut response, ETAG, etag);
            return response;
        }
        Asked::Malformed => return answer::refused(StatusCode::BAD_REQUEST),
    };
    let ByteRange { first, last } = part;
    let content = Content {
        firmware: Arc::clone(firmware),
        device,
        release,
        total,
        at: first,
        end: last + 1,
        reading: None,
        seat,
    };
    let mut response = Response::new(Body::new(content));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    set(&mut response, CONTENT_TYPE, "application/octet-stream");
    set(&mut response, CONTENT_RANGE, &format!("bytes {first}-{last}/{total}"));
    set(&mut response, ETAG, etag);
    set(&mut response, ACCEPT_RANGES, "bytes");
    set(&mut response, CACHE_CONTROL, "no-store");
    debug_assert_eq!(part.len(), last + 1 - first);
    response
}

fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// The bytes of one range, read one piece at a time, when the connection has room for it.
struct Content {
    firmware: Arc<Firmware>,
    device: DeviceId,
    release: ReleaseId,
    total: u64,
    at: u64,
    end: u64,
    reading: Option<JoinHandle<io::Result<Vec<u8>>>>,
    #[allow(dead_code, reason = "held until the last byte is out")]
    seat: Seat,
}

impl hyper::body::Body for Content {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.at >= self.end {
            return Poll::Ready(None);
        }
        if self.reading.is_none() {
            let (firmware, release, at) = (Arc::clone(&self.firmware), self.release, self.at);
            let length = (self.end - at).min(PIECE);
            self.reading = Some(tokio::task::spawn_blocking(move || firmware.piece(release, at, length)));
        }
        let Some(reading) = self.reading.as_mut() else { return Poll::Pending };
        let read = ready!(Pin::new(reading).poll(context));
        self.reading = None;
        let piece = read.unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into()))?;
        self.at += piece.len() as u64;
        if let (Ok(at), Ok(total)) = (u32::try_from(self.at), u32::try_from(self.total)) {
            self.firmware.fetched(&self.device, self.release, at, total);
        }
        Poll::Ready(Some(Ok(Frame::data(piece.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.at >= self.end
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end - self.at)
    }
}

/// Who downloads how much at once.
pub(crate) struct Downloads {
    in_all: usize,
    per_device: usize,
    under_way: Mutex<HashMap<DeviceId, usize>>,
}

/// A place for one download; given back when dropped.
pub(crate) struct Seat {
    downloads: Arc<Downloads>,
    device: DeviceId,
}

/// There is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Busy {
    /// This device downloads already.
    Device,
    /// Too many devices do.
    Server,
}

impl Downloads {
    pub(crate) fn new(in_all: usize, per_device: usize) -> Self {
        Self { in_all, per_device, under_way: Mutex::default() }
    }

    fn begin(downloads: &Arc<Self>, device: DeviceId) -> Result<Seat, Busy> {
        let mut under_way = downloads.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let own = under_way.get(&device).copied().unwrap_or(0);
        if own >= downloads.per_device {
            return Err(Busy::Device);
        }
        // Each entry is at least one download, so the map is no larger than the number of them.
        if under_way.values().sum::<usize>() >= downloads.in_all {
            return Err(Busy::Server);
        }
        under_way.insert(device, own + 1);
        Ok(Seat { downloads: Arc::clone(downloads), device })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut under_way = self.downloads.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = under_way.get_mut(&self.device) {
            *own -= 1;
            if *own == 0 {
                under_way.remove(&self.device);
            }
        }
    }
}

impl Busy {
    fn answer(self) -> Response {
        let (status, after) = match self {
            Self::Device => (StatusCode::TOO_MANY_REQUESTS, "10"),
            Self::Server => (StatusCode::SERVICE_UNAVAILABLE, "30"),
        };
        let mut response = answer::refused(status);
        set(&mut response, RETRY_AFTER, after);
        response
    }
}

/// Bytes that are read at once: what one download holds in memory, besides what the connection buffers.
const PIECE: u64 = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_in_all_and_per_device_and_come_back() {
        let downloads = Arc::new(Downloads::new(3, 2));
        let device = |name: &str| name.parse::<DeviceId>().unwrap();
        let begin = |name: &str| Downloads::begin(&downloads, device(name));
        let first = begin("a").ok().unwrap();
        let _second = begin("a").ok().unwrap();
        assert_eq!(begin("a").err(), Some(Busy::Device));
        let _third = begin("b").ok().unwrap();
        assert_eq!(begin("c").err(), Some(Busy::Server));
        drop(first);
        let again = begin("c").ok().unwrap();
        drop(again);
        assert_eq!(downloads.under_way.lock().unwrap().len(), 2, "whoever is done is forgotten");
    }
}
