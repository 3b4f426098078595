//! Routes of devices. A packet authenticates itself; every other request is authenticated by a session.

use super::answer;
use super::body::{self, DEVICE_BODY};
use crate::app::App;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use cotter_wire::ids::DeviceId;
use hyper::StatusCode;
use std::sync::Arc;

/// POST: a packet.
pub(super) async fn telemetry(State(app): State<Arc<App>>, Path(id): Path<String>, body: Body) -> Response {
    let Ok(id) = id.parse::<DeviceId>() else { return answer::refused(StatusCode::UNAUTHORIZED) };
    match body::read(body, DEVICE_BODY, app.limits.body()).await {
        Ok(body) => answer::receipt(app.ingest.receive(id, &body).await),
        Err(why) => {
            app.audit.stranger("body-refused", &id, &why);
            answer::body_refused(why)
        }
    }
}
