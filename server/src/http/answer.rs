//! What goes out: to devices the words of the wire, to administrators JSON with reasons.

use super::body::BodyRefusal;
use crate::ingest::Receipt;
use axum::body::Body;
use axum::response::Response;
use cotter_wire::answer::Answer;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use serde::Serialize;

/// The answer to a packet.
pub(super) fn receipt(receipt: Receipt) -> Response {
    let (status, words, retry_after) = words(receipt);
    if let Some(retry_after) = retry_after {
        return too_many(retry_after);
    }
    let mut out = [0; Answer::MAX_LEN];
    let body = words.write(&mut out).map(<[u8]>::to_vec).unwrap_or_default();
    json(status, body)
}

/// What the answer to a packet says, and after how many seconds to try again.
pub(super) fn words(receipt: Receipt) -> (StatusCode, Answer, Option<u32>) {
    match receipt {
        Receipt::Accepted(nonce) => (StatusCode::OK, Answer::Accepted(nonce), None),
        Receipt::AlreadyStored => (StatusCode::CONFLICT, Answer::AlreadyStored, None),
        Receipt::OutOfOrder => (StatusCode::CONFLICT, Answer::Refused, None),
        Receipt::Malformed => (StatusCode::BAD_REQUEST, Answer::Refused, None),
        Receipt::Refused => (StatusCode::UNAUTHORIZED, Answer::Refused, None),
        Receipt::TooMany(retry_after) => (StatusCode::TOO_MANY_REQUESTS, Answer::Refused, Some(retry_after)),
        Receipt::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, Answer::Refused, None),
    }
}

/// Refused, and nothing more.
pub(super) fn refused(status: StatusCode) -> Response {
    let mut out = [0; Answer::MAX_LEN];
    let body = Answer::Refused.write(&mut out).map(<[u8]>::to_vec).unwrap_or_default();
    json(status, body)
}

/// A limit is reached: again after so many seconds.
pub(super) fn too_many(retry_after: u32) -> Response {
    let mut response = refused(StatusCode::TOO_MANY_REQUESTS);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after));
    response
}

/// The body could not be read; the connection cannot be used further.
pub(super) fn body_refused(why: BodyRefusal) -> Response {
    closing(refused(match why {
        BodyRefusal::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
        BodyRefusal::TooSlow => StatusCode::REQUEST_TIMEOUT,
        BodyRefusal::Broken => StatusCode::BAD_REQUEST,
    }))
}

/// The last answer of its connection.
pub(super) fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The store or a file does not answer: try again later.
pub(super) fn unavailable(error: &dyn std::error::Error) -> Response {
    tracing::error!(%error, "request not served");
    let mut response = refused(StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

/// JSON for an administrator.
pub(super) fn document(status: StatusCode, document: &impl Serialize) -> Response {
    match serde_json::to_vec(document) {
        Ok(body) => json(status, body),
        Err(error) => unavailable(&error),
    }
}

/// Tells an administrator why not. `reason` is a stable kebab-case name.
pub(super) fn refused_because(status: StatusCode, reason: &str, detail: &str) -> Response {
    document(status, &serde_json::json!({ "result": "refused", "reason": reason, "detail": detail }))
}

/// Bytes as they are.
pub(super) fn octets(body: Vec<u8>) -> Response {
    typed(StatusCode::OK, "application/octet-stream", body)
}

/// A text, as it is.
pub(super) fn text(body: String) -> Response {
    typed(StatusCode::OK, "text/plain; charset=utf-8", body.into_bytes())
}

/// JSON that is spelled already.
pub(super) fn json(status: StatusCode, body: Vec<u8>) -> Response {
    typed(status, "application/json", body)
}

/// Done, nothing to say.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn typed(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Response {
    let mut response = empty(status);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    *response.body_mut() = Body::from(body);
    response
}
