//! Routes for the rotation of root keys: for devices, and for whoever orders it.

use super::admin::{not_done, refused_admin};
use super::answer;
use super::asked::{NewestFirst, Path, Query, next};
use super::body::{AdminJson, AdminWish};
use super::device::{known, read};
use crate::administrator::Administrator;
use crate::app::App;
use crate::rotation::{Act, Refused, RotationId, RotationRefusal, Scope};
use crate::store::rotations::{RotationRecord, USUAL_OVERLAP_S};
use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use cotter_wire::hex;
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// GET by a device `?nonce=<32 hex>`: a new root key, or 204.
pub(super) async fn ask(State(app): State<Arc<App>>, Path(id): Path<String>, request: Request) -> Response {
    let nonce = request.uri().query().and_then(|query| query.strip_prefix("nonce=")).map(str::as_bytes);
    let nonce = nonce.and_then(hex::decode::<16>);
    let (device, _) = match known(&app, &id, request).await {
        Ok(known) => known,
        Err(refused) => return refused,
    };
    let Some(nonce) = nonce else {
        app.audit.device("rotation-malformed", &device.id, &"the query is not a nonce");
        return answer::refused(StatusCode::BAD_REQUEST);
    };
    match app.rotations.ask(&device, &nonce).await {
        Ok(Some(offer)) => answer::json(StatusCode::OK, offer),
        Ok(None) => answer::empty(StatusCode::NO_CONTENT),
        Err(Refused::Exhausted) => {
            app.audit.alarm("epoch-exhausted", &device.id, &"there is no higher key epoch");
            answer::empty(StatusCode::NO_CONTENT)
        }
        Err(error) => answer::unavailable(&error),
    }
}

/// POST by a device: a confirmation; the answer is an acknowledgement.
pub(super) async fn confirm(State(app): State<Arc<App>>, Path(id): Path<String>, request: Request) -> Response {
    let (id, body) = match read(&app, &id, request).await {
        Ok(read) => read,
        Err(refused) => return refused,
    };
    match app.rotations.confirm(id, &body).await {
        Ok(ack) => answer::json(StatusCode::OK, ack),
        Err(Refused::Malformed) => answer::refused(StatusCode::BAD_REQUEST),
        Err(Refused::Confirmation) => answer::refused(StatusCode::UNAUTHORIZED),
        Err(error) => answer::unavailable(&error),
    }
}

/// POST `{"scope":"tag","target":"field","overlap_seconds":604800}`: orders a rotation.
pub(super) async fn start(
    State(app): State<Arc<App>>,
    by: Extension<Administrator>,
    AdminJson(wish): AdminJson<Wish>,
) -> Response {
    let Some(scope) = Scope::new(&wish.scope, &wish.target) else {
        let why = "scope: expected all without a target, tag with a tag, or device with a device's name".to_owned();
        return refused_admin(&app, &by, Wish::MALFORMED, why).await;
    };
    match app.rotations.start(scope, wish.overlap_seconds, &by).await {
        Ok(id) => answer::document(StatusCode::CREATED, &serde_json::json!({ "rotation": id.0 })),
        Err(error) => refused(&app, &by, error).await,
    }
}

/// GET `?before=N&limit=N`: orders, newest first.
pub(super) async fn list(State(app): State<Arc<App>>, Query(page): Query<NewestFirst>) -> Response {
    let limit = page.limit(MOST_ROWS);
    match app.store.rotations(page.before.map(RotationId), limit).await {
        Ok(found) => {
            let next = next(&found, limit, |last| last.id.0);
            let rotations: Vec<_> = found.iter().map(|found| Document::of(found, None)).collect();
            answer::document(StatusCode::OK, &serde_json::json!({ "rotations": rotations, "next": next }))
        }
        Err(error) => answer::unavailable(&error),
    }
}

/// GET: one order, with the devices that wait for it counted.
pub(super) async fn show(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    let Ok(id) = id.parse::<RotationId>() else { return answer::refused(StatusCode::NOT_FOUND) };
    match app.store.rotation(id).await {
        Ok(Some((found, waiting))) => answer::document(StatusCode::OK, &Document::of(&found, Some(waiting))),
        Ok(None) => answer::refused(StatusCode::NOT_FOUND),
        Err(error) => answer::unavailable(&error),
    }
}

/// POST: pause, resume or cancel.
pub(super) async fn act(
    State(app): State<Arc<App>>,
    by: Extension<Administrator>,
    Path((id, act)): Path<(String, String)>,
) -> Response {
    let (Ok(id), Some(act)) = (id.parse::<RotationId>(), Act::from_name(&act)) else {
        return answer::refused(StatusCode::NOT_FOUND);
    };
    match app.rotations.act(id, act, &by).await {
        Ok(state) => {
            answer::document(StatusCode::OK, &serde_json::json!({ "rotation": id.0, "state": state.as_str() }))
        }
        Err(error) => refused(&app, &by, error).await,
    }
}

async fn refused(app: &App, by: &Administrator, error: RotationRefusal) -> Response {
    match error {
        RotationRefusal::Unknown => answer::refused(StatusCode::NOT_FOUND),
        error => not_done(app, by, error.code(), &error).await,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    scope: String,
    #[serde(default)]
    target: String,
    #[serde(default = "usual_overlap")]
    overlap_seconds: u32,
}

impl AdminWish for Wish {
    const MALFORMED: &'static str = "rotation-malformed";
}

const fn usual_overlap() -> u32 {
    USUAL_OVERLAP_S
}

#[derive(Serialize)]
struct Document<'a> {
    rotation: u32,
    scope: &'static str,
    target: &'a str,
    overlap_seconds: u32,
    state: &'static str,
    created_at: u64,
    created_by: &'a str,
    changed_at: u64,
    /// Devices that have not asked since; counted for one order only.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<u64>,
    /// Devices that have a new key and have not confirmed it.
    offered: u64,
    /// Devices that have switched, those in their overlap and those after it.
    switched: u64,
    in_overlap: u64,
    retired: u64,
}

impl<'a> Document<'a> {
    fn of(found: &'a RotationRecord, waiting: Option<u64>) -> Self {
        Self {
            rotation: found.id.0,
            scope: found.new.scope.kind(),
            target: found.new.scope.target(),
            overlap_seconds: found.new.overlap,
            state: found.state.as_str(),
            created_at: found.new.at,
            created_by: &found.new.by,
            changed_at: found.changed_at,
            waiting,
            offered: found.offered.saturating_sub(found.switched),
            switched: found.switched,
            in_overlap: found.switched.saturating_sub(found.retired),
            retired: found.retired,
        }
    }
}

const MOST_ROWS: usize = 100;
