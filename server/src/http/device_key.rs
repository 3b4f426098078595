//! Routes for the public keys of devices.

use super::admin::not_done;
use super::answer;
use super::asked::{NamedDevice, Path};
use super::body::{AdminJson, AdminWish};
use crate::administrator::Administrator;
use crate::app::App;
use crate::bridge::live::Leave;
use crate::device_key::{DeviceKeyRefusal, KeyFormat};
use crate::device_token::RegisteredKey;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use cotter_wire::ids::{DeviceId, KeyId};
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// GET: the keys of a device, expired ones included, oldest first.
pub(super) async fn list(State(app): State<Arc<App>>, NamedDevice(id): NamedDevice) -> Response {
    match app.store.device(id).await {
        Ok(Some(_)) => {}
        Ok(None) => return answer::refused(StatusCode::NOT_FOUND),
        Err(error) => return answer::unavailable(&error),
    }
    match app.device_keys.of(id).await {
        Ok(keys) => {
            let keys: Vec<_> = keys.iter().map(Document::of).collect();
            answer::document(StatusCode::OK, &serde_json::json!({ "device": id.as_str(), "keys": keys }))
        }
        Err(error) => answer::unavailable(&error),
    }
}

/// POST `{"format":"ES256_PEM","pem":"-----BEGIN PUBLIC KEY-----..","expires_at":1800000000}`: one more key; without
/// `expires_at` it counts until it is removed.
pub(super) async fn add(
    State(app): State<Arc<App>>,
    by: Extension<Administrator>,
    NamedDevice(id): NamedDevice,
    AdminJson(wish): AdminJson<Wish>,
) -> Response {
    let added = match wish.format.parse::<KeyFormat>() {
        Ok(format) => app.device_keys.add(id, format, wish.pem.as_bytes(), wish.expires_at, &by).await,
        Err(error) => Err(error.into()),
    };
    match added {
        Ok(key) => answer::document(StatusCode::CREATED, &Document::of(&key)),
        Err(DeviceKeyRefusal::UnknownDevice { .. }) => answer::refused(StatusCode::NOT_FOUND),
        Err(error) => not_done(&app, &by, error.code(), &error).await,
    }
}

/// DELETE: opens no connection any more; an open one of the device ends.
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    by: Extension<Administrator>,
    Path((id, key)): Path<(String, String)>,
) -> Response {
    let (Ok(id), Ok(key)) = (id.parse::<DeviceId>(), key.parse::<KeyId>()) else {
        return answer::refused(StatusCode::NOT_FOUND);
    };
    match app.device_keys.remove(id, key, &by).await {
        Ok(true) => {
            // It may have come in by that key. By another, it comes again.
            app.bridge.live.end(id, Leave::Administrator);
            answer::empty(StatusCode::NO_CONTENT)
        }
        Ok(false) => answer::refused(StatusCode::NOT_FOUND),
        Err(error) => answer::unavailable(&error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    format: String,
    pem: String,
    expires_at: Option<u64>,
}

impl AdminWish for Wish {
    const MALFORMED: &'static str = "device-key-malformed";
}

#[derive(Serialize)]
struct Document {
    key: String,
    algorithm: &'static str,
    expires_at: Option<u64>,
}

impl Document {
    fn of(registered: &RegisteredKey) -> Self {
        Self {
            key: registered.key.id().to_string(),
            algorithm: registered.key.algorithm().as_str(),
            expires_at: registered.expires_at.map(|expires_at| expires_at.0),
        }
    }
}
