//! The edge for HTTP/1.1: routes.

mod admin;
mod answer;
pub(crate) mod artifact;
mod asked;
mod body;
mod bridge;
mod command;
mod date;
mod device;
mod device_key;
pub(crate) mod ecowatt;
pub(crate) mod house;
mod inventory;
mod lane;
pub(crate) mod metrics;
mod protocol;
mod range;
mod recovery;
mod rollout;
mod rotation;
mod stall;
mod token;
mod trust;
mod watch;
mod whose;

use crate::administrator::Permission;
use crate::app::App;
use axum::Router;
use axum::extract::State;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{delete, get, post, put};
use cotter_wire::api;
use hyper::StatusCode;
use std::sync::Arc;

/// All routes.
fn router(app: Arc<App>) -> Router {
    let guard = |permission| from_fn_with_state((Arc::clone(&app), permission), admin::permit);
    let read = Router::new()
        .route(api::ADMIN_DEVICES, get(inventory::devices))
        .route(DEVICE, get(inventory::device))
        .route(api::ADMIN_READINGS, get(admin::readings))
        .route(api::ADMIN_RELEASES, get(inventory::releases))
        .route(RELEASE, get(inventory::release))
        .route(ROLLOUTS, get(rollout::list))
        .route(ROLLOUT, get(rollout::show))
        .route(ROLLOUT_DEVICES, get(rollout::devices))
        .route(ROTATIONS, get(rotation::list))
        .route(ROTATION, get(rotation::show))
        .route(ADMIN_HISTORY, get(admin::history))
        .route(ADMIN_COMMANDS, get(command::list))
        .route(DEVICE_KEYS, get(device_key::list))
        .route(BRIDGE, get(bridge::show))
        .route(BRIDGE_EVENTS, get(bridge::events))
        .route(ECOWATT, get(ecowatt::list))
        .route(ECOWATT_READINGS, get(ecowatt::readings))
        .route(AUDIT_ENTRIES, get(admin::audit_entries))
        .route(AUDIT_CHECKPOINT, get(admin::audit_checkpoint))
        .route(ALERTS, get(watch::alerts))
        .route(KEYS, get(watch::keys))
        .route(ADMIN_TRUST, get(trust::show))
        .route_layer(guard(Permission::Read));
    let devices = Router::new()
        .route(api::ADMIN_DEVICES, post(admin::enrol))
        .route(ADMIN_COMMANDS, post(command::send))
        .route(ADMIN_COMMAND, delete(command::cancel))
        .route(DEVICE_KEYS, post(device_key::add))
        .route(DEVICE_KEY, delete(device_key::remove))
        .route(BRIDGE_CONFIG, post(bridge::configure))
        .route(BRIDGE_COMMANDS, post(bridge::command))
        .route(BRIDGE_GATEWAY, put(bridge::make_gateway).delete(bridge::unmake_gateway))
        .route(BRIDGE_BOUND, put(bridge::bind).delete(bridge::unbind))
        .route(ECOWATT, post(ecowatt::add))
        .route(ECOWATT_DEVICE, delete(ecowatt::remove))
        .route(api::ADMIN_MINIMUM_PROTOCOL, post(protocol::raise_minimum))
        .route(TAG, put(rollout::tag).delete(rollout::untag))
        .route_layer(guard(Permission::Devices));
    let releases = Router::new()
        .route(api::ADMIN_RELEASES, post(admin::release))
        .route(api::ADMIN_PUBLISH, post(admin::publish))
        .route(ROLLOUTS, post(rollout::create))
        .route(ROLLOUT_ACT, post(rollout::act))
        .route(ADMIN_TRUST, post(trust::plan))
        .route(ADMIN_TRUST_ACT, post(trust::act))
        .route_layer(guard(Permission::Releases));
    let tokens = Router::new()
        .route(TOKENS, get(token::list).post(token::add))
        .route(TOKEN, delete(token::revoke))
        .route_layer(guard(Permission::Tokens));
    let keys = Router::new()
        .route(ROTATIONS, post(rotation::start))
        .route(ROTATION_ACT, post(rotation::act))
        .route_layer(guard(Permission::Keys));
    Router::new()
        .route(api::TELEMETRY, post(device::telemetry))
        .route(api::COMPACT_TELEMETRY, post(device::compact_telemetry))
        .route(api::SESSION, post(device::session))
        .route(api::RECOVERY, post(recovery::ask))
        .route(api::RECOVERY_CLAIM, post(recovery::claim))
        .route(api::TRUST, get(trust::next))
        .route(api::KEY, get(rotation::ask).post(rotation::confirm))
        .route(api::UPDATE, get(device::update))
        .route(api::CHUNK, get(device::chunk))
        .route(api::ARTIFACT, get(artifact::artifact))
        .route(api::STATUS, post(device::status))
        .route(api::COMMANDS, get(command::fetch))
        .route(api::COMMAND_RESULT, post(command::result))
        .merge(read)
        .merge(devices)
        .merge(releases)
        .merge(tokens)
        .merge(keys)
        .route("/healthz", get(health))
        .route("/openapi.json", get(openapi))
        .fallback(|| async { answer::refused(StatusCode::NOT_FOUND) })
        .method_not_allowed_fallback(|| async { answer::refused(StatusCode::METHOD_NOT_ALLOWED) })
        .with_state(app)
}

/// GET: one device.
const DEVICE: &str = "/admin/v1/devices/{id}";

/// GET: one release.
const RELEASE: &str = "/admin/v1/releases/{release}";

/// PUT, DELETE: a tag on a device.
const TAG: &str = "/admin/v1/devices/{id}/tags/{tag}";

/// GET: rollouts. POST: a new one.
const ROLLOUTS: &str = "/admin/v1/rollouts";

/// GET: one rollout.
const ROLLOUT: &str = "/admin/v1/rollouts/{rollout}";

/// GET: the devices that were offered it.
const ROLLOUT_DEVICES: &str = "/admin/v1/rollouts/{rollout}/devices";

/// POST: start, pause, resume, abort, advance, retry.
const ROLLOUT_ACT: &str = "/admin/v1/rollouts/{rollout}/{act}";

/// GET: where the change of the firmware keys stands. POST: the next statement.
const ADMIN_TRUST: &str = "/admin/v1/trust";

/// POST: start, retire, cancel.
const ADMIN_TRUST_ACT: &str = "/admin/v1/trust/{act}";

/// GET: rotations of root keys. POST: orders one.
const ROTATIONS: &str = "/admin/v1/rotations";

/// GET: how far it is.
const ROTATION: &str = "/admin/v1/rotations/{rotation}";

/// POST: pause, resume, cancel.
const ROTATION_ACT: &str = "/admin/v1/rotations/{rotation}/{act}";

/// GET: what a device has said about updates.
const ADMIN_HISTORY: &str = "/admin/v1/devices/{id}/history";

/// GET: what a device was told to do. POST: a command.
const ADMIN_COMMANDS: &str = "/admin/v1/devices/{id}/commands";

/// DELETE: takes it back.
const ADMIN_COMMAND: &str = "/admin/v1/devices/{id}/commands/{command}";

/// GET: what a device's tokens are verified with. POST: one more key.
const DEVICE_KEYS: &str = "/admin/v1/devices/{id}/keys";

/// DELETE: takes it away.
const DEVICE_KEY: &str = "/admin/v1/devices/{id}/keys/{key}";

/// GET: what a device was told and has said over MQTT.
const BRIDGE: &str = "/admin/v1/devices/{id}/bridge";

/// GET: its messages.
const BRIDGE_EVENTS: &str = "/admin/v1/devices/{id}/bridge/events";

/// POST: its next configuration.
const BRIDGE_CONFIG: &str = "/admin/v1/devices/{id}/bridge/config";

/// POST: a command, now or not at all.
const BRIDGE_COMMANDS: &str = "/admin/v1/devices/{id}/bridge/commands";

/// PUT, DELETE: a device that brings others.
const BRIDGE_GATEWAY: &str = "/admin/v1/devices/{id}/bridge/gateway";

/// PUT, DELETE: what it brings without a token.
const BRIDGE_BOUND: &str = "/admin/v1/devices/{id}/bridge/bound/{device}";

/// GET: devices of the compatibility profile. POST: switches one on.
const ECOWATT: &str = "/admin/v1/ecowatt";

/// DELETE: switches it off.
const ECOWATT_DEVICE: &str = "/admin/v1/ecowatt/{name}";

/// GET: what it measured.
const ECOWATT_READINGS: &str = "/admin/v1/ecowatt/{name}/readings";

/// GET: who may do what. POST: a new token.
const TOKENS: &str = "/admin/v1/tokens";

/// DELETE: makes a token void.
const TOKEN: &str = "/admin/v1/tokens/{name}";

/// GET: the lines of the audit log, as `?from=0&limit=1000` asks.
const AUDIT_ENTRIES: &str = "/admin/v1/audit/entries";

/// GET: the signed checkpoint of the audit log.
const AUDIT_CHECKPOINT: &str = "/admin/v1/audit/checkpoint";

/// GET: what somebody on call should know.
const ALERTS: &str = "/admin/v1/alerts";

/// GET: since when the keys are in use.
const KEYS: &str = "/admin/v1/keys";

/// GET: what of all this there is, for people and tools: OpenAPI 3.1, kept by hand and compared with the routes.
async fn openapi() -> Response {
    answer::json(StatusCode::OK, include_bytes!("../openapi.json").to_vec())
}

/// GET: whether the server can still store.
async fn health(State(app): State<Arc<App>>) -> Response {
    match app.store.check().await {
        Ok(()) => answer::json(StatusCode::OK, b"{\"status\":\"ok\"}".to_vec()),
        Err(error) => answer::unavailable(&error),
    }
}
