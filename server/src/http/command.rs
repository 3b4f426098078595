//! Routes of commands: for devices in their sessions, for administrators behind their tokens.

use super::admin::{not_done, refused_admin};
use super::answer;
use super::asked::{NamedDevice, Path};
use super::body::{AdminJson, AdminWish};
use super::device::known;
use crate::administrator::Administrator;
use crate::app::App;
use crate::commands::Receipt;
use crate::store::commands::{Cancelled, CommandState, StoredCommand};
use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use cotter_wire::command::{CommandCounter, Value};
use cotter_wire::ids::{DeviceId, KeyEpoch};
use hyper::StatusCode;
use serde::Deserialize;
use std::sync::Arc;

/// GET by a device: the oldest command that waits for it, or 204.
pub(super) async fn fetch(State(app): State<Arc<App>>, Path(id): Path<String>, request: Request) -> Response {
    let (device, _) = match known(&app, &id, request).await {
        Ok(known) => known,
        Err(refused) => return refused,
    };
    match app.commands.next(&device).await {
        Ok(Some(sealed)) => answer::json(StatusCode::OK, sealed),
        Ok(None) => answer::empty(StatusCode::NO_CONTENT),
        Err(error) => answer::unavailable(&error),
    }
}

/// POST by a device: what came of a command.
pub(super) async fn result(State(app): State<Arc<App>>, Path(id): Path<String>, request: Request) -> Response {
    let (device, body) = match known(&app, &id, request).await {
        Ok(known) => known,
        Err(refused) => return refused,
    };
    match app.commands.finish(&device, &body).await {
        Ok(Receipt::Stored) => answer::empty(StatusCode::NO_CONTENT),
        Ok(Receipt::Malformed) => answer::refused(StatusCode::BAD_REQUEST),
        Ok(Receipt::Forged) => answer::refused(StatusCode::UNAUTHORIZED),
        Ok(Receipt::Contradiction) => answer::refused(StatusCode::CONFLICT),
        Ok(Receipt::Unknown) => answer::refused(StatusCode::NOT_FOUND),
        Err(error) => answer::unavailable(&error),
    }
}

/// POST `{"name":"open-valve","values":{"percent":40},"seconds":3600}`: queues a command.
pub(super) async fn send(
    State(app): State<Arc<App>>,
    by: Extension<Administrator>,
    NamedDevice(id): NamedDevice,
    AdminJson(wish): AdminJson<Wish>,
) -> Response {
    let seconds = wish.seconds.unwrap_or(USUAL_LIFE_S);
    match app.commands.queue(id, &by, &wish.name, &wish.values, seconds).await {
        Ok(counter) => answer::document(
            StatusCode::CREATED,
            &serde_json::json!({ "device": id.as_str(), "command": counter.0, "name": wish.name }),
        ),
        Err(error) => not_done(&app, &by, error.code(), &error).await,
    }
}

/// GET: the latest commands to a device, newest first.
pub(super) async fn list(State(app): State<Arc<App>>, NamedDevice(id): NamedDevice) -> Response {
    let device = match app.keyring.device(id).await {
        Ok(Some(device)) => device,
        Ok(None) => return answer::refused(StatusCode::NOT_FOUND),
        Err(error) => return answer::unavailable(&error),
    };
    let now = app.clock.unix();
    match app.commands.list(id).await {
        Ok(commands) => {
            let commands: Vec<_> = commands.iter().map(|command| document(command, device.epoch, now)).collect();
            answer::document(StatusCode::OK, &serde_json::json!({ "device": id.as_str(), "commands": commands }))
        }
        Err(error) => answer::unavailable(&error),
    }
}

/// DELETE: takes a command back that was not delivered.
pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    by: Extension<Administrator>,
    Path((id, counter)): Path<(String, String)>,
) -> Response {
    let (Ok(id), Ok(counter)) = (id.parse::<DeviceId>(), counter.parse()) else {
        return answer::refused(StatusCode::NOT_FOUND);
    };
    match app.commands.cancel(id, CommandCounter(counter), &by).await {
        Ok(Cancelled::Cancelled) => answer::empty(StatusCode::NO_CONTENT),
        Ok(Cancelled::Unknown) => answer::refused(StatusCode::NOT_FOUND),
        Ok(Cancelled::Delivered) => {
            let why = format!("command {counter} was delivered: the device may execute it until it expires");
            refused_admin(&app, &by, "command-delivered", why).await
        }
        Ok(Cancelled::Over) => {
            refused_admin(&app, &by, "command-over", format!("command {counter} has ended or expired")).await
        }
        Err(error) => answer::unavailable(&error),
    }
}

fn document(command: &StoredCommand, epoch: KeyEpoch, now: u64) -> serde_json::Value {
    let value = |value: &Value| match value {
        Value::Boolean(value) => serde_json::Value::from(*value),
        Value::Integer(value) => (*value).into(),
        Value::Text(text) => text.as_str().into(),
    };
    let parameters = command.new.command.parameters().iter();
    let values: serde_json::Map<_, _> =
        parameters.map(|parameter| (parameter.name.to_string(), value(&parameter.value))).collect();
    let state = match command.state {
        CommandState::Cancelled => "cancelled",
        CommandState::Ended(outcome) => outcome.as_str(),
        CommandState::Open if command.epoch != epoch => "void",
        CommandState::Open if command.new.expires <= now => "no-answer",
        CommandState::Open if command.delivered_at.is_some() => "delivered",
        CommandState::Open => "queued",
    };
    serde_json::json!({
        "command": command.counter.0, "name": command.new.command.name.as_str(), "values": values, "state": state,
        "detail": command.detail, "queued_by": command.new.queued_by, "queued_at": command.new.queued_at,
        "expires": command.new.expires, "delivered_at": command.delivered_at, "finished_at": command.finished_at,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    name: String,
    #[serde(default)]
    values: serde_json::Map<String, serde_json::Value>,
    seconds: Option<u64>,
}

impl AdminWish for Wish {
    const MALFORMED: &'static str = "command-malformed";
}

const USUAL_LIFE_S: u64 = 3600;
