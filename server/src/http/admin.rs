//! Routes of administrators, behind a bearer token whose role is checked before the body is read.

use super::answer;
use super::asked::{NamedDevice, Path, Query};
use super::body::{self, AdminBody, UPLOAD_BODY};
use super::rollout::AssignmentDocument;
use crate::admin_token::{TokenHash, TokenRecord};
use crate::administrator::{Administrator, Permission};
use crate::app::App;
use crate::firmware::{Accepted, ReleaseRefusal};
use crate::registry::Enrolment;
use axum::Extension;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use cotter_wire::ids::ReleaseId;
use cotter_wire::reading::Reading;
use cotter_wire::status::Outcome;
use hyper::StatusCode;
use hyper::header::AUTHORIZATION;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Lets only those pass who have a token that may do this, and tells the handler who it is.
pub(super) async fn permit(
    State((app, permission)): State<(Arc<App>, Permission)>,
    mut request: Request,
    next: Next,
) -> Response {
    let hash = request.headers().get(AUTHORIZATION).and_then(|header| TokenHash::of_header(header.as_bytes()));
    let token = match hash {
        Some(hash) => app.store.token(hash).await,
        None => Ok(None),
    };
    let now = app.clock.unix();
    let administrator = match token {
        Ok(Some(TokenRecord { name, role, expires_at, .. })) if expires_at.is_none_or(|at| now < at) => {
            Administrator { name, role }
        }
        Ok(_) => {
            app.audit.stranger("admin-refused", request.uri(), &"wrong token or none");
            return answer::refused(StatusCode::UNAUTHORIZED);
        }
        Err(error) => return answer::unavailable(&error),
    };
    if !administrator.role.may(permission) {
        app.audit.forbidden(&administrator, request.uri());
        return answer::refused(StatusCode::FORBIDDEN);
    }
    request.extensions_mut().insert(administrator);
    next.run(request).await
}

/// POST: a device, by the record that the factory sealed.
pub(super) async fn enrol(
    State(app): State<Arc<App>>,
    by: Extension<Administrator>,
    AdminBody(record): AdminBody,
) -> Response {
    match app.registry.enrol(&record, &by).await {
        Ok(Enrolment { device, epoch, renewed }) => answer::document(
            if renewed { StatusCode::OK } else { StatusCode::CREATED },
            &serde_json::json!({ "device": device.as_str(), "epoch": epoch.0, "renewed": renewed }),
        ),
        Err(error) => not_done(&app, &by, error.code(), &error).await,
    }
}

/// POST: a release; see `firmware::upload` for the form of the body.
pub(super) async fn release(State(app): State<Arc<App>>, by: Extension<Administrator>, request: Request) -> Response {
    let Some(_place) = app.firmware.begin_upload() else {
        return answer::refused_because(StatusCode::CONFLICT, "upload-under-way", "another upload is under way");
    };
    let upload = match body::read(request.into_body(), UPLOAD_BODY, app.limits.body()).await {
        Ok(upload) => upload,
        Err(why) => return answer::body_refused(why),
    };
    match app.firmware.accept(upload, &by).await {
        Ok(Accepted { release, version, already_there }) => answer::document(
            if already_there { StatusCode::OK } else { StatusCode::CREATED },
            &serde_json::json!({ "release": release.to_string(), "version": version.to_string() }),
        ),
        Err(error) => not_done(&app, &by, error.code(), &error).await,
    }
}

/// POST: offers a release to the fleet.
pub(super) async fn publish(
    State(app): State<Arc<App>>,
    by: Extension<Administrator>,
    Path(release): Path<String>,
) -> Response {
    let Ok(release) = release.parse::<ReleaseId>() else { return answer::refused(StatusCode::NOT_FOUND) };
    match app.firmware.publish(release, &by).await {
        Ok(()) => answer::document(StatusCode::OK, &serde_json::json!({ "release": release.to_string() })),
        Err(ReleaseRefusal::UnknownRelease) => answer::refused(StatusCode::NOT_FOUND),
        Err(error) => not_done(&app, &by, error.code(), &error).await,
    }
}

/// GET: what a device was offered, and what it has said about updates; newest first.
pub(super) async fn history(State(app): State<Arc<App>>, NamedDevice(id): NamedDevice) -> Response {
    match app.store.status_history(id, MOST_ROWS).await {
        Ok(rows) => {
            let offers = match app.store.assignments(id, MOST_ROWS).await {
                Ok(offers) => offers,
                Err(error) => return answer::unavailable(&error),
            };
            let offers: Vec<_> = offers.iter().map(|offer| AssignmentDocument::of(None, offer)).collect();
            let history: Vec<_> = rows
                .iter()
                .map(|row| StatusDocument {
                    received_at: row.received_at,
                    version: row.report.version.to_string(),
                    result: match row.report.outcome {
                        Outcome::Installed => "installed",
                        Outcome::RolledBack => "rolled-back",
                        Outcome::Failed => "failed",
                    },
                    reason: row.report.reason(),
                })
                .collect();
            answer::document(
                StatusCode::OK,
                &serde_json::json!({ "device": id.as_str(), "history": history, "offers": offers }),
            )
        }
        Err(error) => answer::unavailable(&error),
    }
}

/// GET: lines of the audit log, one line each, as they were hashed.
pub(super) async fn audit_entries(State(app): State<Arc<App>>, Query(page): Query<Page>) -> Response {
    match app.store.audit_lines(page.from, page.limit.min(MOST_ROWS)).await {
        Ok(lines) => answer::text(lines.into_iter().flat_map(|line| [line, "\n".to_owned()]).collect()),
        Err(error) => answer::unavailable(&error),
    }
}

/// GET: the checkpoint over the whole audit log.
pub(super) async fn audit_checkpoint(State(app): State<Arc<App>>) -> Response {
    match app.store.audit_checkpoint().await {
        Ok(note) => answer::text(note),
        Err(error) => answer::unavailable(&error),
    }
}

/// Which lines.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Page {
    from: u64,
    limit: usize,
}

impl Default for Page {
    fn default() -> Self {
        Self { from: 0, limit: MOST_ROWS }
    }
}

/// What an administrator asked for was not done: refused for a reason that has a name, or the server's own trouble.
pub(super) async fn not_done(
    app: &App,
    by: &Administrator,
    code: Option<&'static str>,
    error: &(dyn std::error::Error + Sync),
) -> Response {
    match code {
        Some(code) => refused_admin(app, by, code, error.to_string()).await,
        None => answer::unavailable(error),
    }
}

/// An administrator learns why; so does the audit log.
pub(super) async fn refused_admin(app: &App, by: &Administrator, code: &'static str, why: String) -> Response {
    match app.audit.refused(by, code, why.clone()).await {
        Ok(()) => answer::refused_because(StatusCode::UNPROCESSABLE_ENTITY, code, &why),
        Err(error) => answer::unavailable(&error),
    }
}

/// GET: the latest readings of a device.
pub(super) async fn readings(State(app): State<Arc<App>>, NamedDevice(id): NamedDevice) -> Response {
    let stored = match app.store.readings(id, MOST_ROWS).await {
        Ok(stored) => stored,
        Err(error) => return answer::unavailable(&error),
    };
    let mut readings = Vec::with_capacity(stored.len());
    for row in stored {
        match Reading::decode(&row.reading) {
            Ok(reading) => readings.push(ReadingDocument {
                epoch: row.epoch.0,
                nonce: row.nonce.get(),
                received_at: row.received_at,
                uptime_s: reading.uptime_s,
                boot_count: reading.boot_count,
                firmware: reading.firmware.to_string(),
                secure_version: reading.secure_version.0,
                values: reading
                    .measurements()
                    .iter()
                    .map(|value| ValueDocument { register: value.register, raw: value.raw })
                    .collect(),
            }),
            Err(error) => return answer::unavailable(&error),
        }
    }
    answer::document(StatusCode::OK, &serde_json::json!({ "device": id.as_str(), "readings": readings }))
}

#[derive(Serialize)]
struct ReadingDocument {
    epoch: u32,
    nonce: u64,
    received_at: u64,
    uptime_s: u32,
    boot_count: u32,
    firmware: String,
    secure_version: u32,
    values: Vec<ValueDocument>,
}

#[derive(Serialize)]
struct StatusDocument<'a> {
    received_at: u64,
    version: String,
    result: &'static str,
    reason: &'a str,
}

#[derive(Serialize)]
struct ValueDocument {
    register: u8,
    raw: u16,
}

const MOST_ROWS: usize = 1000;
