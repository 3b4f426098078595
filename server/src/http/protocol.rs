//! The route for the oldest protocol that a device may speak.

use super::admin::refused_admin;
use super::answer;
use super::asked::Path;
use super::body::AdminBody;
use crate::administrator::Administrator;
use crate::app::App;
use crate::store::protocol::MinimumRaised;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use cotter_wire::ids::{DeviceId, Protocol};
use hyper::StatusCode;
use serde::Deserialize;
use std::sync::Arc;

/// POST `{"protocol":2}`: from now on packets of an older protocol are refused.
pub(super) async fn raise_minimum(
    State(app): State<Arc<App>>,
    by: Extension<Administrator>,
    Path(id): Path<String>,
    AdminBody(body): AdminBody,
) -> Response {
    let Ok(id) = id.parse::<DeviceId>() else { return answer::refused(StatusCode::NOT_FOUND) };
    let minimum = match serde_json::from_slice::<Wish>(&body) {
        Ok(wish) => Protocol::new(wish.protocol).ok_or_else(|| format!("there is no protocol {}", wish.protocol)),
        Err(error) => Err(error.to_string()),
    };
    let minimum = match minimum {
        Ok(minimum) => minimum,
        Err(why) => return refused_admin(&app, &by, "protocol-malformed", why).await,
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
struct Wish {
    protocol: u8,
}
