//! Routes that list devices and releases, for whoever may read.

use super::answer;
use super::asked::{ByName, NamedDevice, Path, Query, next};
use crate::app::App;
use crate::firmware::fuses::Budget;
use crate::rollout::tag::Tag;
use crate::store::{ReleaseRecord, StoredDevice};
use axum::extract::State;
use axum::response::Response;
use cotter_wire::ids::{DeviceId, ReleaseId, SecureVersion};
use hyper::StatusCode;
use serde::Serialize;
use std::sync::Arc;

/// GET `?after=ID&limit=N`: devices by name. `next` is what to ask for `after` next, or null at the end.
pub(super) async fn devices(State(app): State<Arc<App>>, Query(page): Query<ByName>) -> Response {
    let after = match page.after.as_deref().map(str::parse::<DeviceId>).transpose() {
        Ok(after) => after,
        Err(why) => return answer::refused_because(StatusCode::BAD_REQUEST, "page-malformed", &why.to_string()),
    };
    let limit = page.limit(MOST_ROWS);
    match app.store.devices(after, limit).await {
        Ok(found) => {
            let next = next(&found, limit, |last| last.record.id.to_string());
            let devices: Vec<_> = found.iter().map(DeviceDocument::of).collect();
            answer::document(StatusCode::OK, &serde_json::json!({ "devices": devices, "next": next }))
        }
        Err(error) => answer::unavailable(&error),
    }
}

/// GET: one device.
pub(super) async fn device(State(app): State<Arc<App>>, NamedDevice(id): NamedDevice) -> Response {
    match app.store.device(id).await {
        Ok(Some(device)) => match (app.store.running(id).await, app.store.tags(id).await) {
            (Ok(running), Ok(tags)) => {
                let budget = Budget::of(
                    device.record.chip,
                    running.map_or(SecureVersion(0), |running| running.secure_version),
                    SecureVersion(0),
                );
                let document = OneDevice {
                    device: DeviceDocument::of(&device),
                    tags,
                    running: running.map(|running| RunningDocument {
                        version: running.version.to_string(),
                        secure_version: running.secure_version.0,
                        since: running.said_at,
                    }),
                    secure_version_steps: budget.steps,
                    secure_version_left: budget.left,
                };
                answer::document(StatusCode::OK, &document)
            }
            (Err(error), _) | (_, Err(error)) => answer::unavailable(&error),
        },
        Ok(None) => answer::refused(StatusCode::NOT_FOUND),
        Err(error) => answer::unavailable(&error),
    }
}

/// GET: every release, newest version first.
pub(super) async fn releases(State(app): State<Arc<App>>) -> Response {
    match app.store.releases(MOST_ROWS).await {
        Ok(found) => {
            let releases: Vec<_> = found.iter().map(ReleaseDocument::of).collect();
            answer::document(StatusCode::OK, &serde_json::json!({ "releases": releases }))
        }
        Err(error) => answer::unavailable(&error),
    }
}

/// GET: one release.
pub(super) async fn release(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    let Ok(id) = id.parse::<ReleaseId>() else { return answer::refused(StatusCode::NOT_FOUND) };
    match app.store.release(id).await {
        Ok(Some(release)) => match app.store.newest_release(release.project.clone(), release.chip).await {
            Ok(newest) => {
                let before = newest.map_or(SecureVersion(0), |newest| newest.secure_version);
                let Budget { steps, uses, left } = Budget::of(release.chip, release.secure_version, before);
                let document = OneRelease {
                    release: ReleaseDocument::of(&release),
                    secure_version_steps: steps,
                    secure_version_uses: uses,
                    secure_version_left: left,
                };
                answer::document(StatusCode::OK, &document)
            }
            Err(error) => answer::unavailable(&error),
        },
        Ok(None) => answer::refused(StatusCode::NOT_FOUND),
        Err(error) => answer::unavailable(&error),
    }
}

#[derive(Serialize)]
struct OneDevice {
    #[serde(flatten)]
    device: DeviceDocument,
    tags: Vec<Tag>,
    /// By its own word; null if it never asked for updates.
    running: Option<RunningDocument>,
    secure_version_steps: u32,
    secure_version_left: u32,
}

#[derive(Serialize)]
struct RunningDocument {
    version: String,
    secure_version: u32,
    since: u64,
}

#[derive(Serialize)]
struct DeviceDocument {
    device: String,
    chip: &'static str,
    mac: String,
    epoch: u32,
    last_nonce: u64,
    minimum_protocol: u8,
    enrolled_at: u64,
}

impl DeviceDocument {
    fn of(device: &StoredDevice) -> Self {
        let StoredDevice { record, last_nonce, minimum_protocol, .. } = device;
        Self {
            device: record.id.to_string(),
            chip: record.chip.name(),
            mac: record.mac.map(|byte| format!("{byte:02x}")).join(":"),
            epoch: record.epoch.0,
            last_nonce: last_nonce.get(),
            minimum_protocol: minimum_protocol.get(),
            enrolled_at: record.enrolled_at,
        }
    }
}

#[derive(Serialize)]
struct OneRelease<'a> {
    #[serde(flatten)]
    release: ReleaseDocument<'a>,
    /// What the chip can count to in all.
    secure_version_steps: u32,
    /// What this release uses of it, beyond the newest published one.
    secure_version_uses: u32,
    /// What is left after it.
    secure_version_left: u32,
}

#[derive(Serialize)]
struct ReleaseDocument<'a> {
    release: String,
    project: &'a str,
    chip: &'static str,
    version: String,
    secure_version: u32,
    expires: u64,
    encrypted_size: u32,
    published_at: Option<u64>,
}

impl<'a> ReleaseDocument<'a> {
    fn of(release: &'a ReleaseRecord) -> Self {
        Self {
            release: release.id.to_string(),
            project: &release.project,
            chip: release.chip.name(),
            version: release.version.to_string(),
            secure_version: release.secure_version.0,
            expires: release.expires,
            encrypted_size: release.encrypted_size,
            published_at: release.published_at,
        }
    }
}

const MOST_ROWS: usize = 1000;
