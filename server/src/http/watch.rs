//! Routes for whoever watches over the server: alerts, and the ages of its keys.

use super::answer;
use crate::app::App;
use axum::extract::State;
use axum::response::Response;
use hyper::StatusCode;
use std::sync::Arc;

/// GET: the alerts of the last day.
pub(super) async fn alerts(State(app): State<Arc<App>>) -> Response {
    answer::document(StatusCode::OK, &serde_json::json!({ "alerts": app.alerts.current() }))
}

/// GET: how old the keys are.
pub(super) async fn keys(State(app): State<Arc<App>>) -> Response {
    match app.key_ages.ages().await {
        Ok(ages) => answer::document(StatusCode::OK, &ages),
        Err(error) => answer::unavailable(&error),
    }
}
