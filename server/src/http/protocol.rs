//! The route for the oldest protocol that a device may speak.

use super::admin::refused_admin;
use super::answer;
use super::asked::NamedDevice;
use super::body::{AdminJson, AdminWish};
use crate::administrator::Administrator;
use crate::app::App;
use crate::store::protocol::MinimumRaised;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use cotter_wire::ids::Protocol;
use hyper::StatusCode;
use serde::Deserialize;
use std::sync::Arc;

/// POST `{"protocol":2}`: from now on packets of an older protocol are refused.
pub(super) async fn raise_minimum(
    State(app): State<Arc<App>>,
    by: Extension<Administrator>,
    NamedDevice(id): NamedDevice,
    AdminJson(wish): AdminJson<Wish>,
) -> Response {
    let Some(minimum) = Protocol::new(wish.protocol) else {
        let why = format!("there is no protocol {}", wish.protocol);
        return refused_admin(&app, &by, Wish::MALFORMED, why).await;
    };
    match app.registry.raise_minimum_protocol(id, minimum, &by).await {
        Ok(MinimumRaised::Raised | MinimumRaised::AlreadyThere) => answer::document(
            StatusCode::OK,
            &serde_json::json!({ "device": id.as_str(), "minimum_protocol": minimum.get() }),
        ),
        Ok(MinimumRaised::Lower { current }) => {
            let why = format!("{id} speaks protocol {current} at least, and that is never lowered");
            refused_admin(&app, &by, "protocol-lower", why).await
        }
        Ok(MinimumRaised::UnknownDevice) => answer::refused(StatusCode::NOT_FOUND),
        Err(error) => answer::unavailable(&error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    protocol: u8,
}

impl AdminWish for Wish {
    const MALFORMED: &'static str = "protocol-malformed";
}
