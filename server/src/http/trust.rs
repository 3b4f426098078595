//! Routes of the change of the firmware keys.

use super::admin::{not_done, refused_admin};
use super::answer;
use super::asked::{Path, Query};
use super::body::AdminBody;
use super::device::{known, number};
use crate::administrator::Administrator;
use crate::app::App;
use crate::store::trust::StatementRecord;
use crate::trust::operation::Act;
use crate::trust::{Standing, Terms, TrustRefusal};
use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use cotter_wire::trust::TrustNumber;
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// GET by a device that is at `number`: the statement that follows, or 204.
pub(super) async fn next(
    State(app): State<Arc<App>>,
    Path((id, at)): Path<(String, String)>,
    request: Request,
) -> Response {
    let (device, _) = match known(&app, &id, request).await {
        Ok(known) => known,
        Err(refused) => return refused,
    };
    let Some(at) = number(&at) else { return answer::refused(StatusCode::NOT_FOUND) };
    match app.store.statement_after(device.id, TrustNumber(at), app.clock.unix()).await {
        Ok(Some(statement)) => answer::json(StatusCode::OK, statement),
        Ok(None) => answer::empty(StatusCode::NO_CONTENT),
        Err(error) => answer::unavailable(&error),
    }
}

/// GET: where it stands.
pub(super) async fn show(State(app): State<Arc<App>>, by: Extension<Administrator>) -> Response {
    match app.trusts.standing().await {
        Ok(standing) => answer::document(StatusCode::OK, &Document::of(&standing)),
        Err(error) => not_done(&app, &by, error.code(), &error).await,
    }
}

/// POST `?share=100&days=30`: the next statement, as its signers made it.
pub(super) async fn plan(
    State(app): State<Arc<App>>,
    by: Extension<Administrator>,
    Query(wish): Query<Wish>,
    AdminBody(statement): AdminBody,
) -> Response {
    let Wish { share, days } = wish;
    if !(1..=100).contains(&share) {
        return refused_admin(&app, &by, "trust-share", format!("share {share}: expected 1 to 100")).await;
    }
    match app.trusts.plan(&statement, Terms { share, days }, &by).await {
        Ok(number) => answer::document(
            StatusCode::CREATED,
            &serde_json::json!({ "number": number.0, "state": "planned", "share": share, "days": days }),
        ),
        Err(error) => not_done(&app, &by, error.code(), &error).await,
    }
}

/// POST: start, retire (`?leave_behind=true` without the devices that were not seen for long), or cancel.
pub(super) async fn act(
    State(app): State<Arc<App>>,
    by: Extension<Administrator>,
    Path(act): Path<String>,
    Query(how): Query<How>,
) -> Response {
    let act = match (act.as_str(), how.leave_behind) {
        ("start", false) => Act::Start,
        ("cancel", false) => Act::Cancel,
        ("retire", leave_behind) => Act::Retire { leave_behind },
        _ => return answer::refused(StatusCode::NOT_FOUND),
    };
    match app.trusts.act(act, &by).await {
        Ok((number, state)) => {
            answer::document(StatusCode::OK, &serde_json::json!({ "number": number.0, "state": state.as_str() }))
        }
        Err(error) => not_done(&app, &by, error.code(), &error as &TrustRefusal).await,
    }
}

/// When the old keys may go.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wish {
    share: u8,
    days: u16,
}

impl Default for Wish {
    fn default() -> Self {
        Self { share: 100, days: 30 }
    }
}

/// How it is done.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct How {
    leave_behind: bool,
}

#[derive(Serialize)]
struct Document {
    /// The latest, planned or not.
    number: u32,
    required: usize,
    keys: Vec<String>,
    secure_boot: Vec<String>,
    statements: Vec<StatementDocument>,
    numbers: Vec<NumberDocument>,
    /// How far devices have come with the latest number.
    devices: u64,
    adopted: u64,
    unseen: u64,
    /// The first thousand of those that have not, by name.
    missing: Vec<MissingDocument>,
}

#[derive(Serialize)]
struct StatementDocument {
    number: u32,
    state: &'static str,
    share: u8,
    days: u16,
    handed: bool,
    created_at: u64,
    changed_at: u64,
}

#[derive(Serialize)]
struct NumberDocument {
    number: u32,
    devices: u64,
}

#[derive(Serialize)]
struct MissingDocument {
    device: String,
    number: u32,
    seen_at: u64,
}

impl Document {
    fn of(standing: &Standing) -> Self {
        let Standing { chain, statements, tallies, gate, missing } = standing;
        Self {
            number: chain.latest().0,
            required: chain.policy().required(),
            keys: chain.policy().keys().iter().map(|key| key.id().to_string()).collect(),
            secure_boot: chain.secure_boot().iter().map(text).collect(),
            statements: statements.iter().map(StatementDocument::of).collect(),
            numbers: tallies
                .iter()
                .map(|(number, devices)| NumberDocument { number: number.0, devices: *devices })
                .collect(),
            devices: gate.devices,
            adopted: gate.adopted,
            unseen: gate.unseen,
            missing: missing
                .iter()
                .map(|missing| MissingDocument {
                    device: missing.device.to_string(),
                    number: missing.number.0,
                    seen_at: missing.seen_at,
                })
                .collect(),
        }
    }
}

impl StatementDocument {
    const fn of(record: &StatementRecord) -> Self {
        let StatementRecord { number, state, share, days, handed, created_at, changed_at, .. } = record;
        Self {
            number: number.0,
            state: state.as_str(),
            share: *share,
            days: *days,
            handed: *handed,
            created_at: *created_at,
            changed_at: *changed_at,
        }
    }
}

fn text(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
