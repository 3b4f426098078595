//! Routes of devices that lost their nonce counter. Both messages authenticate themselves.

use super::answer;
use super::asked::Path;
use super::device::read;
use crate::app::App;
use crate::recovery::Refused;
use axum::extract::{Request, State};
use axum::response::Response;
use hyper::StatusCode;
use std::sync::Arc;

/// POST: an ask; the answer is a challenge.
pub(super) async fn ask(State(app): State<Arc<App>>, Path(id): Path<String>, request: Request) -> Response {
    match read(&app, &id, request).await {
        Ok((id, body)) => said(app.recoveries.ask(id, &body).await),
        Err(refused) => refused,
    }
}

/// POST: a claim; the answer is a grant.
pub(super) async fn claim(State(app): State<Arc<App>>, Path(id): Path<String>, request: Request) -> Response {
    match read(&app, &id, request).await {
        Ok((id, body)) => said(app.recoveries.claim(id, &body).await),
        Err(refused) => refused,
    }
}

fn said(outcome: Result<Vec<u8>, Refused>) -> Response {
    match outcome {
        Ok(body) => answer::json(StatusCode::OK, body),
        Err(Refused::Malformed) => answer::refused(StatusCode::BAD_REQUEST),
        Err(Refused::Claim) => answer::refused(StatusCode::UNAUTHORIZED),
        Err(Refused::TooOften) => answer::too_many(HOUR_S),
        Err(error) => answer::unavailable(&error),
    }
}

/// When a device that asked too often may ask again; its day may end before.
const HOUR_S: u32 = 3600;
