//! Routes of the administrator, behind a bearer token that is checked before the body is read.

use super::answer;
use super::body::{self, ADMIN_BODY, UPLOAD_BODY};
use crate::app::App;
use axum::extract::{Path, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use cotter_wire::ids::DeviceId;
use cotter_wire::reading::Reading;
use hyper::StatusCode;
use hyper::header::AUTHORIZATION;
use serde::Serialize;
use std::sync::Arc;

/// Lets only the administrator pass.
pub(super) async fn authenticate(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let header = request.headers().get(AUTHORIZATION);
    if header.is_some_and(|header| app.admin.admits(header.as_bytes())) {
        return next.run(request).await;
    }
    app.audit.stranger("admin-refused", request.uri(), &"wrong token or none");
    answer::refused(StatusCode::UNAUTHORIZED)
}

/// GET: the latest readings of a device.
pub(super) async fn readings(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    let Ok(id) = id.parse::<DeviceId>() else { return answer::refused(StatusCode::NOT_FOUND) };
    let stored = match app.store.readings(id, MOST_READINGS).await {
        Ok(stored) => stored,
        Err(error) => return answer::unavailable(&error),
    };
    let mut readings = Vec::with_capacity(stored.len());
    for row in stored {
        match Reading::decode(&row.reading) {
            Ok(reading) => readings.push(ReadingDocument {
                epoch: row.epoch.0,
                nonce: row.nonce.0,
                received_at: row.received_at,
                uptime_s: reading.uptime_s,
                boot_count: reading.boot_count,
                firmware: reading.firmware.to_string(),
                secure_version: reading.secure_version.0,
                values: reading
                    .measurements()
                    .iter()
                    .map(|value| ValueDocument { register: value.register, raw: value.raw })
                    .collect(),
            }),
            Err(error) => return answer::unavailable(&error),
        }
    }
    answer::document(StatusCode::OK, &serde_json::json!({ "device": id.as_str(), "readings": readings }))
}

#[derive(Serialize)]
struct ReadingDocument {
    epoch: u32,
    nonce: u32,
    received_at: u64,
    uptime_s: u32,
    boot_count: u32,
    firmware: String,
    secure_version: u32,
    values: Vec<ValueDocument>,
}

#[derive(Serialize)]
struct ValueDocument {
    register: u8,
    raw: u16,
}

const MOST_READINGS: usize = 1000;
