//! Routes for rollouts and tags.

use super::admin::{not_done, refused_admin};
use super::answer;
use super::asked::{ByName, NewestFirst, Path, Query, next};
use super::body::{AdminJson, AdminWish};
use crate::administrator::Administrator;
use crate::app::App;
use crate::rollout::decision::{Act, Tally};
use crate::rollout::plan::{Plan, Stage};
use crate::rollout::tag::Tag;
use crate::rollout::{Put, RolloutId, RolloutRefusal};
use crate::store::rollouts::{Assignment, RolloutRecord};
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use cotter_wire::ids::{DeviceId, ReleaseId};
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;

/// POST `{"release":ID,"plan":{"stages":[{"percent":5},{"percent":100}]}}`: a rollout that is not started.
pub(super) async fn create(
    State(app): State<Arc<App>>,
    by: Extension<Administrator>,
    AdminJson(wish): AdminJson<Wish>,
) -> Response {
    let plan = match Plan::parse(wish.plan.get().as_bytes()) {
        Ok(plan) => plan,
        Err(error) => return refused_admin(&app, &by, Wish::MALFORMED, error.to_string()).await,
    };
    let Ok(release) = wish.release.parse::<ReleaseId>() else {
        return refused_admin(&app, &by, Wish::MALFORMED, "release: expected 64 digits".to_owned()).await;
    };
    match app.rollouts.create(release, plan, &by).await {
        Ok(id) => answer::document(StatusCode::CREATED, &serde_json::json!({ "rollout": id.0 })),
        Err(error) => refused(&app, &by, error).await,
    }
}

/// GET `?before=N&limit=N`: rollouts, newest first.
pub(super) async fn list(State(app): State<Arc<App>>, Query(page): Query<NewestFirst>) -> Response {
    let limit = page.limit(MOST_ROLLOUTS);
    match app.store.rollouts(page.before.map(RolloutId), limit).await {
        Ok(found) => {
            let next = next(&found, limit, |last| last.id.0);
            let rollouts: Vec<_> = found.iter().map(Document::of).collect();
            answer::document(StatusCode::OK, &serde_json::json!({ "rollouts": rollouts, "next": next }))
        }
        Err(error) => answer::unavailable(&error),
    }
}

/// GET: one rollout.
pub(super) async fn show(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    let Ok(id) = id.parse::<RolloutId>() else { return answer::refused(StatusCode::NOT_FOUND) };
    match app.store.rollout(id).await {
        Ok(Some(rollout)) => answer::document(StatusCode::OK, &Document::of(&rollout)),
        Ok(None) => answer::refused(StatusCode::NOT_FOUND),
        Err(error) => answer::unavailable(&error),
    }
}

/// GET `?after=ID&limit=N`: the devices that were offered it, by name.
pub(super) async fn devices(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(page): Query<ByName>,
) -> Response {
    let (Ok(id), Ok(after)) = (id.parse::<RolloutId>(), page.after.as_deref().map(str::parse).transpose()) else {
        return answer::refused(StatusCode::NOT_FOUND);
    };
    let limit = page.limit(MOST_ROWS);
    match app.store.rollout_devices(id, after, limit).await {
        Ok(found) => {
            let next = next(&found, limit, |(last, _)| last.to_string());
            let devices: Vec<_> = found.iter().map(|(id, found)| AssignmentDocument::of(Some(id), found)).collect();
            answer::document(StatusCode::OK, &serde_json::json!({ "devices": devices, "next": next }))
        }
        Err(error) => answer::unavailable(&error),
    }
}

/// POST: start, pause, resume, abort, advance, or retry (`?device=ID` for one device only).
pub(super) async fn act(
    State(app): State<Arc<App>>,
    by: Extension<Administrator>,
    Path((id, act)): Path<(String, String)>,
    Query(which): Query<Which>,
) -> Response {
    let Ok(id) = id.parse::<RolloutId>() else { return answer::refused(StatusCode::NOT_FOUND) };
    let outcome = if let Some(act) = Act::from_name(&act).filter(|_| which.device.is_none()) {
        let state = app.rollouts.act(id, act, &by).await;
        state.map(|state| serde_json::json!({ "rollout": id.0, "state": state.as_str() }))
    } else if act == "retry" {
        let Ok(device) = which.device.map(|device| device.parse::<DeviceId>()).transpose() else {
            return answer::refused(StatusCode::NOT_FOUND);
        };
        let devices = app.rollouts.retry(id, device, &by).await;
        devices.map(|devices| serde_json::json!({ "rollout": id.0, "devices": devices }))
    } else {
        return answer::refused(StatusCode::NOT_FOUND);
    };
    match outcome {
        Ok(document) => answer::document(StatusCode::OK, &document),
        Err(error) => refused(&app, &by, error).await,
    }
}

/// PUT: puts a tag on a device.
pub(super) async fn tag(
    State(app): State<Arc<App>>,
    by: Extension<Administrator>,
    Path((id, tag)): Path<(String, String)>,
) -> Response {
    put(&app, &by, &id, &tag, Put::On).await
}

/// DELETE: takes a tag off a device.
pub(super) async fn untag(
    State(app): State<Arc<App>>,
    by: Extension<Administrator>,
    Path((id, tag)): Path<(String, String)>,
) -> Response {
    put(&app, &by, &id, &tag, Put::Off).await
}

async fn put(app: &App, by: &Administrator, id: &str, tag: &str, put: Put) -> Response {
    let Ok(id) = id.parse::<DeviceId>() else { return answer::refused(StatusCode::NOT_FOUND) };
    let tag = match tag.parse::<Tag>() {
        Ok(tag) => tag,
        Err(error) => return refused_admin(app, by, "tag-malformed", error.to_string()).await,
    };
    match app.rollouts.tag(id, tag, put, by).await {
        Ok(()) => answer::empty(StatusCode::NO_CONTENT),
        Err(error) => refused(app, by, error).await,
    }
}

async fn refused(app: &App, by: &Administrator, error: RolloutRefusal) -> Response {
    match error {
        RolloutRefusal::Unknown | RolloutRefusal::UnknownDevice => answer::refused(StatusCode::NOT_FOUND),
        error => not_done(app, by, error.code(), &error).await,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    release: String,
    plan: Box<RawValue>,
}

impl AdminWish for Wish {
    const MALFORMED: &'static str = "rollout-malformed";
}

/// Which device to try again with; all of them without it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    device: Option<String>,
}

#[derive(Serialize)]
struct Document<'a> {
    rollout: u32,
    release: String,
    version: String,
    state: &'static str,
    /// The current stage, counted from 1.
    stage: usize,
    reason: &'a str,
    created_at: u64,
    changed_at: u64,
    attempts: u32,
    conditions: &'a crate::rollout::plan::Conditions,
    stages: Vec<StageDocument<'a>>,
}

#[derive(Serialize)]
struct StageDocument<'a> {
    #[serde(flatten)]
    rules: &'a Stage,
    offered: u32,
    installed: u32,
    failed: u32,
}

impl<'a> Document<'a> {
    fn of(rollout: &'a RolloutRecord) -> Self {
        let with_tally = |(rules, tally): (&'a Stage, &Tally)| {
            let Tally { offered, installed, failed } = *tally;
            StageDocument { rules, offered, installed, failed }
        };
        Self {
            rollout: rollout.id.0,
            release: rollout.release.to_string(),
            version: rollout.version.to_string(),
            state: rollout.state.as_str(),
            stage: rollout.stage + 1,
            reason: &rollout.reason,
            created_at: rollout.created_at,
            changed_at: rollout.changed_at,
            attempts: rollout.plan.attempts,
            conditions: &rollout.plan.conditions,
            stages: rollout.plan.stages.iter().zip(&rollout.tallies).map(with_tally).collect(),
        }
    }
}

/// What a device was offered.
#[derive(Serialize)]
pub(super) struct AssignmentDocument<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    rollout: u32,
    release: String,
    version: String,
    stage: usize,
    step: &'static str,
    progress: u32,
    size: u32,
    failures: u32,
    reason: &'a str,
    offered_at: u64,
    changed_at: u64,
}

impl<'a> AssignmentDocument<'a> {
    pub(super) fn of(device: Option<&DeviceId>, found: &'a Assignment) -> Self {
        Self {
            device: device.map(ToString::to_string),
            rollout: found.rollout.0,
            release: found.release.to_string(),
            version: found.version.to_string(),
            stage: found.stage + 1,
            step: found.step.as_str(),
            progress: found.progress,
            size: found.size,
            failures: found.failures,
            reason: &found.reason,
            offered_at: found.offered_at,
            changed_at: found.changed_at,
        }
    }
}

const MOST_ROWS: usize = 1000;
/// A rollout with its stages is about 2 KB.
const MOST_ROLLOUTS: usize = 100;
