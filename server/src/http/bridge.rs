//! Routes for what devices say and are told over MQTT.

use super::admin::not_done;
use super::answer;
use super::asked::{NamedDevice, Path, Query};
use super::body::{AdminJson, AdminWish};
use crate::administrator::Administrator;
use crate::app::App;
use crate::bridge::BridgeRefusal;
use crate::mqtt::is_folder;
use crate::store::StoreError;
use crate::store::bridge::{KEPT_CONFIGS, StoredConfig, StoredMessage, StoredState};
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use base64ct::{Base64, Encoding};
use cotter_wire::ids::DeviceId;
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// GET: what a device was told and has said: its configurations and states, newest first; whether it is there; of a
/// gateway, what is bound to it.
pub(super) async fn show(State(app): State<Arc<App>>, NamedDevice(id): NamedDevice) -> Response {
    match shown(&app, id).await {
        Ok(Some(document)) => answer::document(StatusCode::OK, &document),
        Ok(None) => answer::refused(StatusCode::NOT_FOUND),
        Err(error) => answer::unavailable(&error),
    }
}

async fn shown(app: &App, id: DeviceId) -> Result<Option<Document>, StoreError> {
    let most = usize::try_from(KEPT_CONFIGS).unwrap_or(usize::MAX);
    let (configs, states) = (app.store.configs(id, most).await?, app.store.states(id).await?);
    let (Some(configs), Some(states)) = (configs, states) else { return Ok(None) };
    let bound = app.store.bindings(id).await?;
    Ok(Some(Document {
        device: id.to_string(),
        connected: app.bridge.live.is_there(id),
        bound: bound.map(|bound| bound.iter().map(DeviceId::to_string).collect()),
        configs: configs.iter().map(Config::of).collect(),
        states: states.iter().map(Said::of).collect(),
    }))
}

/// GET `?after=0&limit=100`: the messages of a device, oldest first.
pub(super) async fn events(
    State(app): State<Arc<App>>,
    NamedDevice(id): NamedDevice,
    Query(wanted): Query<After>,
) -> Response {
    let limit = wanted.limit.unwrap_or(MOST_EVENTS).clamp(1, MOST_EVENTS);
    match app.store.messages(id, wanted.after.unwrap_or(0), limit).await {
        Ok(Some(stored)) => {
            let events: Vec<_> = stored.iter().map(Event::of).collect();
            answer::document(StatusCode::OK, &serde_json::json!({ "device": id.as_str(), "events": events }))
        }
        Ok(None) => answer::refused(StatusCode::NOT_FOUND),
        Err(error) => answer::unavailable(&error),
    }
}

/// POST `{"payload":"BASE64"}`: the device's next configuration.
pub(super) async fn configure(
    State(app): State<Arc<App>>,
    by: Extension<Administrator>,
    NamedDevice(id): NamedDevice,
    AdminJson(wish): AdminJson<ConfigWish>,
) -> Response {
    let Ok(payload) = Base64::decode_vec(&wish.payload) else { return malformed(&app, &by).await };
    match app.bridge.set_config(id, payload, &by).await {
        Ok(version) => answer::document(StatusCode::CREATED, &serde_json::json!({ "version": version })),
        Err(error) => refused(&app, &by, &error).await,
    }
}

/// POST `{"payload":"BASE64","folder":"FOLDER"}`: a command, which reaches the device now or not at all.
pub(super) async fn command(
    State(app): State<Arc<App>>,
    by: Extension<Administrator>,
    NamedDevice(id): NamedDevice,
    AdminJson(wish): AdminJson<CommandWish>,
) -> Response {
    let Ok(payload) = Base64::decode_vec(&wish.payload) else { return malformed(&app, &by).await };
    let sent = match wish.folder {
        Some(folder) if !is_folder(&folder) => Err(BridgeRefusal::Folder),
        folder => app.bridge.command(id, folder.unwrap_or_default(), payload, &by).await,
    };
    done(&app, &by, sent).await
}

/// PUT: makes the device a gateway.
pub(super) async fn make_gateway(
    State(app): State<Arc<App>>,
    by: Extension<Administrator>,
    NamedDevice(id): NamedDevice,
) -> Response {
    done(&app, &by, app.bridge.set_gateway(id, true, &by).await.map(drop)).await
}

/// DELETE: it is a gateway no more, and brings nobody.
pub(super) async fn unmake_gateway(
    State(app): State<Arc<App>>,
    by: Extension<Administrator>,
    NamedDevice(id): NamedDevice,
) -> Response {
    done(&app, &by, app.bridge.set_gateway(id, false, &by).await.map(drop)).await
}

/// PUT: the gateway may bring the device without a token of it.
pub(super) async fn bind(app: State<Arc<App>>, by: Extension<Administrator>, path: Path<(String, String)>) -> Response {
    set_bound(app, by, path, true).await
}

/// DELETE: it may no longer.
pub(super) async fn unbind(
    app: State<Arc<App>>,
    by: Extension<Administrator>,
    path: Path<(String, String)>,
) -> Response {
    set_bound(app, by, path, false).await
}

async fn set_bound(
    State(app): State<Arc<App>>,
    by: Extension<Administrator>,
    Path((gateway, device)): Path<(String, String)>,
    is_bound: bool,
) -> Response {
    let (Ok(gateway), Ok(device)) = (gateway.parse(), device.parse()) else {
        return answer::refused(StatusCode::NOT_FOUND);
    };
    done(&app, &by, app.bridge.bind(gateway, device, is_bound, &by).await.map(drop)).await
}

async fn done(app: &App, by: &Administrator, outcome: Result<(), BridgeRefusal>) -> Response {
    match outcome {
        Ok(()) => answer::empty(StatusCode::NO_CONTENT),
        Err(error) => refused(app, by, &error).await,
    }
}

async fn refused(app: &App, by: &Administrator, error: &BridgeRefusal) -> Response {
    match error {
        BridgeRefusal::UnknownDevice { .. } => answer::refused(StatusCode::NOT_FOUND),
        error => not_done(app, by, error.code(), error).await,
    }
}

async fn malformed(app: &App, by: &Administrator) -> Response {
    let why = "payload: not base64 with padding, in its one spelling".to_owned();
    super::admin::refused_admin(app, by, ConfigWish::MALFORMED, why).await
}

/// Which messages.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct After {
    after: Option<u64>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigWish {
    payload: String,
}

impl AdminWish for ConfigWish {
    const MALFORMED: &'static str = "bridge-malformed";
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CommandWish {
    payload: String,
    folder: Option<String>,
}

impl AdminWish for CommandWish {
    const MALFORMED: &'static str = "bridge-malformed";
}

#[derive(Serialize)]
struct Document {
    device: String,
    connected: bool,
    // None: no gateway.
    bound: Option<Vec<String>>,
    configs: Vec<Config>,
    states: Vec<Said>,
}

#[derive(Serialize)]
struct Config {
    version: u64,
    payload: String,
    set_at: u64,
    set_by: String,
    acknowledged_at: Option<u64>,
}

#[derive(Serialize)]
struct Said {
    payload: String,
    received_at: u64,
}

#[derive(Serialize)]
struct Event {
    number: u64,
    folder: String,
    #[serde(flatten)]
    said: Said,
}

impl Config {
    fn of(stored: &StoredConfig) -> Self {
        Self {
            version: stored.version,
            payload: Base64::encode_string(&stored.config.payload),
            set_at: stored.config.set_at,
            set_by: stored.config.set_by.clone(),
            acknowledged_at: stored.acknowledged_at,
        }
    }
}

impl Said {
    fn of(stored: &StoredState) -> Self {
        Self { payload: Base64::encode_string(&stored.payload), received_at: stored.received_at }
    }
}

impl Event {
    fn of(stored: &StoredMessage) -> Self {
        let message = &stored.message;
        let said = Said { payload: Base64::encode_string(&message.payload), received_at: message.received_at };
        Self { number: stored.number, folder: message.folder.clone(), said }
    }
}

/// In one answer: with the longest payloads, 34 MB.
const MOST_EVENTS: usize = 100;
