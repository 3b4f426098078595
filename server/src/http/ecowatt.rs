//! Routes of the compatibility profile: the upload, on a listener of its own, and what administrators do about it.

use super::admin::refused_admin;
use super::answer;
use super::asked::Path;
use super::body::{self, AdminBody};
use crate::administrator::Administrator;
use crate::app::App;
use crate::at_rest::Use;
use crate::ecowatt::{EcowattName, Receipt, key, values};
use crate::store::ecowatt::{EcowattAdded, EcowattArray, EcowattRecord};
use axum::Extension;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use cotter_formats::secret::Secret;
use cotter_wire::ecowatt::upload::MAX_UPLOAD;
use cotter_wire::hex;
use cotter_wire::ids::Nonce;
use hyper::StatusCode;
use serde::Deserialize;
use std::sync::Arc;
use zeroize::Zeroizing;

/// All that the profile's own listener serves.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/aggregated/{id}", post(upload))
        .fallback(|| async { said(StatusCode::NOT_FOUND, false, serde_json::Map::new()) })
        .with_state(app)
}

/// POST: an upload. The device looks at the status code and at nothing else.
async fn upload(State(app): State<Arc<App>>, Path(id): Path<String>, request: Request) -> Response {
    let body = match body::read(request.into_body(), MAX_UPLOAD, app.limits.body()).await {
        Ok(body) => body,
        Err(why) => {
            app.audit.stranger("ecowatt-body-refused", &"an EcoWatt device", &why);
            return answer::body_refused(why);
        }
    };
    let refused = |status| said(status, false, serde_json::Map::new());
    let receipt = app.ecowatt.receive(&id, &body).await;
    app.metrics.ecowatt_uploaded(&receipt);
    match receipt {
        Receipt::Accepted { values, packets } => {
            let mut members = serde_json::Map::new();
            members.insert("device_id".into(), id.into());
            members.insert("samples_count".into(), values.into());
            members.insert("packets_processed".into(), packets.into());
            said(StatusCode::OK, true, members)
        }
        Receipt::Refused => refused(StatusCode::UNAUTHORIZED),
        Receipt::Malformed => refused(StatusCode::BAD_REQUEST),
        Receipt::Unavailable => refused(StatusCode::SERVICE_UNAVAILABLE),
    }
}

/// An answer in the shape of the other server, which tells a refused sender nothing.
fn said(status: StatusCode, success: bool, mut members: serde_json::Map<String, serde_json::Value>) -> Response {
    members.insert("success".into(), success.into());
    members.insert("message".into(), if success { "stored" } else { "refused" }.into());
    answer::document(status, &members)
}

/// GET: which devices are switched on.
pub(super) async fn list(State(app): State<Arc<App>>) -> Response {
    match app.store.ecowatt_devices(MOST_ROWS).await {
        Ok(devices) => {
            let devices: Vec<_> = devices
                .iter()
                .map(|device| {
                    serde_json::json!({ "name": device.record.name.as_str(), "added_at": device.record.added_at,
                                        "last_nonce": device.last_nonce.0 })
                })
                .collect();
            answer::document(StatusCode::OK, &serde_json::json!({ "ecowatt": devices }))
        }
        Err(error) => answer::unavailable(&error),
    }
}

/// POST `{"name":"ESP32_001","key":"<64 hex>","nonce_floor":10000}`: switches one device on. Without a key one is made;
/// it is in this answer and nowhere else.
pub(super) async fn add(
    State(app): State<Arc<App>>,
    by: Extension<Administrator>,
    AdminBody(body): AdminBody,
) -> Response {
    let body = Zeroizing::new(body.to_vec());
    let refused = async |code, why: String| refused_admin(&app, &by, code, why).await;
    if !app.ecowatt_allowed {
        return refused("ecowatt-off", "the configuration has no section [ecowatt]".into()).await;
    }
    let Ok(wish) = serde_json::from_slice::<Wish>(&body) else {
        return refused("ecowatt-malformed", "expected name, and perhaps key and nonce_floor".into()).await;
    };
    let name = match wish.name.parse::<EcowattName>() {
        Ok(name) => name,
        Err(error) => return refused("ecowatt-malformed", error.to_string()).await,
    };
    let given = wish.key.map(Zeroizing::new);
    let key = match given.as_ref().map(|digits| hex::decode::<32>(digits.as_bytes())) {
        None => {
            let mut made = Ok(());
            let key = Secret::filled_by(|key| made = aws_lc_rs::rand::fill(key));
            if made.is_err() {
                return answer::unavailable(&crate::at_rest::AtRestError::NoRandomness);
            }
            key
        }
        Some(Some(bytes)) => {
            let bytes = Zeroizing::new(bytes);
            Secret::filled_by(|key| *key = *bytes)
        }
        Some(None) => {
            return refused("ecowatt-malformed", "a key has 64 lower-case hexadecimal digits".into()).await;
        }
    };
    if let Err(why) = key::check(&key) {
        return refused("ecowatt-key-refused", why.to_string()).await;
    }
    let sealed_key = match app.keyring.master().seal(Use::EcowattKey, name.as_str().as_bytes(), key.expose()) {
        Ok(sealed) => sealed,
        Err(error) => return answer::unavailable(&error),
    };
    let record = EcowattRecord {
        name: name.clone(),
        sealed_key,
        fingerprint: key::fingerprint(&key),
        nonce_floor: Nonce(wish.nonce_floor.unwrap_or(FACTORY_NONCE)),
        added_at: app.clock.unix(),
    };
    let lacks = "no encryption, name and flags not signed".to_owned();
    let note = app.audit.note(&by.name, "ecowatt-on", name.to_string(), lacks);
    match app.store.add_ecowatt(record, note).await {
        Ok(EcowattAdded::Added) => {
            tracing::warn!(device = %name, "the insecure EcoWatt profile is on for this device");
            let mut document = serde_json::json!({ "name": name.as_str() });
            if given.is_none() {
                let mut digits = Zeroizing::new([0; 64]);
                let digits = hex::encode(key.expose(), &mut *digits).unwrap_or_default();
                document["key"] = digits.into();
            }
            answer::document(StatusCode::CREATED, &document)
        }
        Ok(EcowattAdded::AlreadyOn) => refused("ecowatt-already-on", format!("{name} is switched on already")).await,
        Ok(EcowattAdded::Enrolled) => {
            refused("ecowatt-enrolled", format!("{name} is enrolled and is not downgraded")).await
        }
        Ok(EcowattAdded::KeyUsed) => {
            refused("ecowatt-key-used", "a device has or had this key: its old uploads would count again".into()).await
        }
        Err(error) => answer::unavailable(&error),
    }
}

/// DELETE: switches one device off.
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    by: Extension<Administrator>,
    Path(name): Path<String>,
) -> Response {
    let Ok(name) = name.parse::<EcowattName>() else { return answer::refused(StatusCode::NOT_FOUND) };
    let note = app.audit.note(&by.name, "ecowatt-off", name.to_string(), String::new());
    match app.store.remove_ecowatt(name, note).await {
        Ok(true) => answer::empty(StatusCode::NO_CONTENT),
        Ok(false) => answer::refused(StatusCode::NOT_FOUND),
        Err(error) => answer::unavailable(&error),
    }
}

/// GET: the latest arrays of a device, newest first.
pub(super) async fn readings(State(app): State<Arc<App>>, Path(name): Path<String>) -> Response {
    let Ok(name) = name.parse::<EcowattName>() else { return answer::refused(StatusCode::NOT_FOUND) };
    match app.store.ecowatt_arrays(name.clone(), MOST_ROWS).await {
        Ok(arrays) => {
            let arrays: Vec<_> = arrays.iter().map(document).collect();
            answer::document(StatusCode::OK, &serde_json::json!({ "name": name.as_str(), "readings": arrays }))
        }
        Err(error) => answer::unavailable(&error),
    }
}

/// An array: values sample by sample, or why its blob was refused.
fn document(array: &EcowattArray) -> serde_json::Value {
    let mut document = serde_json::json!({
        "nonce": array.nonce.0, "received_at": array.received_at, "at": array.at, "interval": array.interval,
    });
    let value = |(register, (raw, quality, tolerance)): (&u8, (u16, &str, u8))| serde_json::json!({ "register": register, "raw": raw, "quality": quality, "tolerance": tolerance });
    match array.values.as_ref().map(|values| values::decode(values)) {
        Ok(Some(values)) => {
            let values: Vec<_> = array.registers.iter().cycle().zip(values).map(value).collect();
            let samples = values.chunks(array.registers.len().max(1));
            document["samples"] = samples.map(|sample| serde_json::Value::from(sample.to_vec())).collect();
        }
        Ok(None) => document["refusal"] = "not what we store".into(),
        Err(why) => document["refusal"] = why.as_str().into(),
    }
    document
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    name: String,
    key: Option<String>,
    nonce_floor: Option<u32>,
}

/// What the firmware begins with in an empty NVS; its first upload is 11001.
const FACTORY_NONCE: u32 = 10_000;
const MOST_ROWS: usize = 1000;
