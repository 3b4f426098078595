//! The counters on a listener of their own: plain HTTP, loopback only, so that nobody else needs a token for them.

use super::answer;
use crate::app::App;
use crate::audit::checkpoint::Checkpoint;
use axum::body::Body;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Serves `GET /metrics` for ever.
pub(crate) async fn serve(listener: TcpListener, app: Arc<App>) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let app = Arc::clone(&app);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(&app, request));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(IDLE)
                .max_buf_size(8 * 1024)
                .serve_connection(TokioIo::new(stream), service);
            // A scraper that is cut off asks again.
            let _ = tokio::time::timeout(LONGEST, connection).await;
            drop(place);
        });
    }
}

async fn answer<B>(app: &App, request: Request<B>) -> Result<Response<Body>, Infallible> {
    if request.uri().path() != "/metrics" {
        return Ok(answer::refused(StatusCode::NOT_FOUND));
    }
    if request.method() != Method::GET {
        return Ok(answer::refused(StatusCode::METHOD_NOT_ALLOWED));
    }
    // These are looked at when somebody asks.
    app.metrics.devices_cached.set(i64::try_from(app.keyring.cached()).unwrap_or(i64::MAX));
    if let Ok(note) = app.store.audit_checkpoint().await
        && let Ok(checkpoint) = Checkpoint::open(&note, &app.audit_key)
    {
        app.metrics.audit_entries.set(i64::try_from(checkpoint.size).unwrap_or(i64::MAX));
    }
    let mut response = answer::text(app.metrics.text());
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

const MOST_CONNECTIONS: usize = 4;
const IDLE: Duration = Duration::from_secs(90);
/// A scraper's connection, however well it behaves.
const LONGEST: Duration = Duration::from_secs(3600);
