//! What devices do to rollouts, in SQLite: asking, fetching, reporting; and what follows from it.

use super::rollouts::{SELECT, device_row, one, record, set};
use super::{audit_log, newer_than, release, rows, trust};
use crate::rollout::RolloutId;
use crate::rollout::decision::{Decision, State, Tally, after_failure, after_success};
use crate::rollout::plan::{Candidate, OnFailure};
use crate::rollout::tag::Tag;
use crate::store::rollouts::{Poll, Polled, Reported, RolloutRecord, Step};
use crate::store::{AuditEntry, ReleaseRecord, StatusRecord, StoreError};
use cotter_formats::chip::Chip;
use cotter_wire::ids::{DeviceId, ReleaseId, SecureVersion};
use cotter_wire::status::Outcome;
use cotter_wire::version::Version;
use rusqlite::{Connection, OptionalExtension, named_params};

/// What a look at a poll has shown.
pub(super) struct Seen {
    /// What the device is offered.
    pub(super) offer: Option<ReleaseRecord>,
    /// Whether something has to be noted.
    pub(super) is_news: bool,
}

/// Looks without writing.
pub(super) fn look(connection: &Connection, poll: &Poll) -> Result<Seen, StoreError> {
    // One view of everything.
    let view = connection.unchecked_transaction()?;
    let Some(asking) = Asking::find(&view, poll)? else { return Ok(Seen { offer: None, is_news: false }) };
    let chosen = choose(&view, poll, &asking)?;
    let is_news = asking.is_news(poll)
        || trust::is_news(&view, &poll.device, poll.trust, poll.at)?
        || chosen.as_ref().is_some_and(|chosen| chosen.is_news);
    let offer = chosen.map(|chosen| release(&view, chosen.rollout.release)).transpose()?.flatten();
    Ok(Seen { offer, is_news })
}

/// Looks again in the transaction that notes what is news.
pub(super) fn note(connection: &Connection, poll: &Poll) -> Result<Polled, StoreError> {
    let mut polled = Polled::default();
    let Some(mut asking) = Asking::find(connection, poll)? else { return Ok(polled) };
    if asking.is_news(poll) {
        let (version, secure_version) = (poll.version, Some(poll.secure_version));
        polled.reported = says(connection, &mut asking, &poll.device, version, secure_version, poll.at)?;
    }
    if trust::is_news(connection, &poll.device, poll.trust, poll.at)? {
        trust::says(connection, &poll.device, poll.trust, poll.at)?;
    }
    let Some(chosen) = choose(connection, poll, &asking)? else { return Ok(polled) };
    if chosen.is_news {
        offer(connection, &asking, &chosen, poll.at)?;
    }
    polled.offer = release(connection, chosen.rollout.release)?;
    Ok(polled)
}

/// A device as far as offers go.
struct Asking {
    row: i64,
    chip: Chip,
    /// The Secure Boot key that was burnt into it; zeros if none was.
    secure_boot_digest: [u8; 32],
    tags: Vec<Tag>,
    /// What it said last that it runs.
    known: Option<(Version, SecureVersion)>,
    /// When it came back to an older version last.
    rolled_back_at: Option<u64>,
}

impl Asking {
    fn find(connection: &Connection, poll: &Poll) -> Result<Option<Self>, StoreError> {
        Self::of(connection, &poll.device)
    }

    fn of(connection: &Connection, device: &DeviceId) -> Result<Option<Self>, StoreError> {
        let mut find = connection.prepare_cached(
            "SELECT row, chip, version, secure_version, rolled_back_at, secure_boot_digest FROM device \
             LEFT JOIN device_firmware ON device_firmware.device = device.row WHERE name = ?1",
        )?;
        let read = |row: &rusqlite::Row<'_>| {
            let version: Option<i64> = row.get(2)?;
            let known = match version {
                Some(version) => Some((rows::version(version)?, SecureVersion(row.get(3)?))),
                None => None,
            };
            let rolled_back_at: Option<i64> = row.get(4)?;
            let rolled_back_at =
                rolled_back_at.map(u64::try_from).transpose().map_err(|_| rows::corrupt("rolled_back_at"))?;
            let secure_boot_digest = row.get(5)?;
            let (row, chip) = (row.get(0)?, rows::chip(row, 1)?);
            Ok::<_, StoreError>(Self { row, chip, secure_boot_digest, tags: Vec::new(), known, rolled_back_at })
        };
        let found = find.query_row([device.as_str()], |row| Ok(read(row))).optional()?.transpose()?;
        let Some(mut found) = found else { return Ok(None) };
        found.tags = tags(connection, found.row)?;
        Ok(Some(found))
    }

    fn is_news(&self, poll: &Poll) -> bool {
        self.known != Some((poll.version, poll.secure_version))
    }
}

/// A rollout that offers a device its release.
struct Chosen {
    rollout: RolloutRecord,
    stage: usize,
    /// Not noted yet, or to be noted anew.
    is_news: bool,
    is_known: bool,
}

/// The newest release that a rollout offers this device now.
fn choose(connection: &Connection, poll: &Poll, asking: &Asking) -> Result<Option<Chosen>, StoreError> {
    let mut find = connection.prepare_cached(&format!(
        "{SELECT} WHERE state IN ('running', 'finished') AND project = :project AND chip = :chip \
         AND version > :version AND secure_version >= :secure_version AND expires > :at \
         AND EXISTS (SELECT 1 FROM release_trust AS believed WHERE believed.release = rollout.release \
         AND believed.number = :trust) \
         AND (:digest = zeroblob(32) \
         OR NOT EXISTS (SELECT 1 FROM release_secure_boot AS signed WHERE signed.release = rollout.release) \
         OR EXISTS (SELECT 1 FROM release_secure_boot AS signed WHERE signed.release = rollout.release \
         AND signed.digest = :digest)) \
         ORDER BY version DESC, rollout.row DESC LIMIT {MOST_LOOKED_AT}"
    ))?;
    let mut found = find.query(named_params! {
        ":project": poll.project,
        ":chip": asking.chip.name(),
        ":version": rows::version_number(poll.version),
        ":secure_version": poll.secure_version.0,
        ":at": rows::time(poll.at)?,
        ":trust": poll.trust.0,
        ":digest": asking.secure_boot_digest,
    })?;
    let candidate =
        Candidate { id: &poll.device, version: poll.version, secure_version: poll.secure_version, tags: &asking.tags };
    while let Some(row) = found.next()? {
        let rollout = record(row)?;
        let Some(stage) = rollout.plan.stage_of(rollout.id, &candidate) else { continue };
        if stage > rollout.stage {
            continue;
        }
        let (is_known, is_news) = match step(connection, asking.row, rollout.id)? {
            None => (false, true),
            Some((Step::Offered | Step::Downloading | Step::Installed, _)) => (true, false),
            Some((Step::Retry | Step::Superseded, _)) => (true, true),
            Some((Step::Failed, failures)) if !is_final(&rollout, failures) => (true, true),
            Some((Step::Failed | Step::RolledBack, _)) => continue,
        };
        return Ok(Some(Chosen { rollout, stage, is_news, is_known }));
    }
    Ok(None)
}

/// Whether a device has failed so often that it counts.
const fn is_final(rollout: &RolloutRecord, failures: u32) -> bool {
    rollout.plan.attempts > 0 && failures >= rollout.plan.attempts
}

fn step(connection: &Connection, device: i64, rollout: RolloutId) -> Result<Option<(Step, u32)>, StoreError> {
    let mut find =
        connection.prepare_cached("SELECT state, failures FROM rollout_device WHERE device = ?1 AND rollout = ?2")?;
    let found: Option<(String, u32)> =
        find.query_row((device, rollout.0), |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let read = |(name, failures): (String, u32)| Step::from_name(&name).map(|step| (step, failures));
    found.map(|found| read(found).ok_or(rows::corrupt("rollout_device.state"))).transpose()
}

fn offer(connection: &Connection, asking: &Asking, chosen: &Chosen, at: u64) -> Result<(), StoreError> {
    let (id, at) = (chosen.rollout.id, rows::time(at)?);
    connection
        .prepare_cached(
            "UPDATE rollout_device SET state = 'superseded', changed_at = ?1 \
             WHERE device = ?2 AND rollout <> ?3 AND state IN ('offered', 'downloading', 'retry')",
        )?
        .execute((at, asking.row, id.0))?;
    connection
        .prepare_cached(
            "INSERT INTO rollout_device (device, rollout, stage, state, progress, failures, reason, offered_at, \
             changed_at) VALUES (:device, :rollout, :stage, 'offered', 0, 0, '', :at, :at) \
             ON CONFLICT (device, rollout) DO UPDATE SET state = 'offered', progress = 0, offered_at = :at, \
             changed_at = :at",
        )?
        .execute(named_params! {
            ":device": asking.row, ":rollout": id.0, ":stage": rows::limit(chosen.stage), ":at": at,
        })?;
    if !chosen.is_known {
        count(connection, id, chosen.stage, "offered", 1)?;
    }
    Ok(())
}

/// Notes what a device runs. If that is older than what it had confirmed, it has come back: whoever rolled the newer one
/// out learns it.
fn says(
    connection: &Connection,
    asking: &mut Asking,
    device: &DeviceId,
    version: Version,
    secure_version: Option<SecureVersion>,
    at: u64,
) -> Result<Reported, StoreError> {
    let mut reported = Reported::default();
    if let Some((confirmed, _)) = asking.known
        && version < confirmed
    {
        reported.came_back_from = Some(confirmed);
        // A device that says now this, now that, must not fill the log.
        if asking.rolled_back_at.is_none_or(|last| at.saturating_sub(last) >= BETWEEN_ALARMS) {
            asking.rolled_back_at = Some(at);
            audit_log::append(
                connection,
                AuditEntry {
                    at,
                    by: device.to_string(),
                    subject: device.to_string(),
                    event: "device-rolled-back".into(),
                    detail: format!("runs {version}, had confirmed {confirmed}"),
                },
            )?;
        }
        let came_back = "SELECT rollout_device.rollout FROM rollout_device \
                         JOIN rollout ON rollout.row = rollout_device.rollout \
                         JOIN firmware_release ON firmware_release.id = rollout.release \
                         WHERE rollout_device.device = ?1 AND rollout_device.state = 'installed' AND version > ?2";
        let mut find = connection.prepare_cached(came_back)?;
        let found = find.query_map((asking.row, rows::version_number(version)), |row| Ok(RolloutId(row.get(0)?)))?;
        let found = found.collect::<Result<Vec<_>, _>>()?;
        for rollout in found {
            let reason = format!("runs {version} again");
            reported.decided |= moves(connection, asking.row, rollout, Step::RolledBack, &reason, at)?.decided;
        }
    }
    let known_secure = asking.known.map_or(SecureVersion(0), |(_, known)| known);
    let secure_version = secure_version.unwrap_or(known_secure);
    connection
        .prepare_cached(
            "INSERT INTO device_firmware (device, version, secure_version, said_at, rolled_back_at) \
             VALUES (:device, :version, :secure_version, :at, :rolled_back_at) \
             ON CONFLICT (device) DO UPDATE SET version = :version, secure_version = :secure_version, \
             said_at = :at, rolled_back_at = :rolled_back_at",
        )?
        .execute(named_params! {
            ":device": asking.row,
            ":version": rows::version_number(version),
            ":secure_version": secure_version.0,
            ":at": rows::time(at)?,
            ":rolled_back_at": asking.rolled_back_at.map(rows::time).transpose()?,
        })?;
    asking.known = Some((version, secure_version));
    Ok(reported)
}

/// What a report means for the rollout that it is about.
pub(super) fn report(connection: &Connection, status: &StatusRecord) -> Result<Reported, StoreError> {
    let Some(mut asking) = Asking::of(connection, &status.device)? else { return Ok(Reported::default()) };
    let (version, at) = (status.report.version, status.received_at);
    let mut reported = Reported::default();
    let rollout = meant(connection, asking.row, version, status.report.outcome)?;
    if status.report.outcome == Outcome::Installed && asking.known.is_none_or(|(known, _)| known != version) {
        // It has installed what it was offered; the release says the rest.
        let installed = rollout.map(|id| one(connection, id)).transpose()?.flatten();
        let installed = installed.map(|rollout| release(connection, rollout.release)).transpose()?.flatten();
        let secure_version = installed.map(|release| release.secure_version);
        reported = says(connection, &mut asking, &status.device, version, secure_version, at)?;
    }
    let Some(rollout) = rollout else { return Ok(reported) };
    let step = match status.report.outcome {
        Outcome::Installed => Step::Installed,
        Outcome::RolledBack => Step::RolledBack,
        Outcome::Failed => Step::Failed,
    };
    reported.decided |= moves(connection, asking.row, rollout, step, status.report.reason(), at)?.decided;
    Ok(reported)
}

/// The rollout that a report is about: the newest of that version; a failure that names another version (the device
/// could not believe the offer, so it names its own) is about what it was offered.
fn meant(
    connection: &Connection,
    device: i64,
    version: Version,
    outcome: Outcome,
) -> Result<Option<RolloutId>, StoreError> {
    let find = "SELECT rollout_device.rollout FROM rollout_device \
                JOIN rollout ON rollout.row = rollout_device.rollout \
                JOIN firmware_release ON firmware_release.id = rollout.release WHERE rollout_device.device = ?1";
    let named = format!("{find} AND version = ?2 ORDER BY rollout_device.rollout DESC LIMIT 1");
    let id = |row: &rusqlite::Row<'_>| Ok(RolloutId(row.get(0)?));
    let mut statement = connection.prepare_cached(&named)?;
    let found = statement.query_row((device, rows::version_number(version)), id).optional()?;
    if found.is_some() || outcome != Outcome::Failed {
        return Ok(found);
    }
    let open = format!(
        "{find} AND rollout_device.state IN ('offered', 'downloading') ORDER BY offered_at DESC, \
         rollout_device.rollout DESC LIMIT 1"
    );
    Ok(connection.prepare_cached(&open)?.query_row([device], id).optional()?)
}

/// Moves a device in its rollout, counts it, and does what follows.
fn moves(
    connection: &Connection,
    device: i64,
    id: RolloutId,
    to: Step,
    reason: &str,
    at: u64,
) -> Result<Reported, StoreError> {
    let (Some(rollout), Some((from, failures))) = (one(connection, id)?, step(connection, device, id)?) else {
        return Ok(Reported::default());
    };
    // That it refuses what it has given up, or has already, says nothing new about the release.
    if to == Step::Failed && matches!(from, Step::RolledBack | Step::Installed | Step::Superseded) {
        return Ok(Reported::default());
    }
    let failures_now = failures.saturating_add(u32::from(to == Step::Failed));
    let stage: u32 = connection
        .prepare_cached("SELECT stage FROM rollout_device WHERE device = ?1 AND rollout = ?2")?
        .query_row((device, id.0), |row| row.get(0))?;
    let stage = usize::try_from(stage).map_err(|_| rows::corrupt("rollout_device.stage"))?;
    connection
        .prepare_cached(
            "UPDATE rollout_device SET state = ?1, failures = ?2, reason = ?3, changed_at = ?4 \
             WHERE device = ?5 AND rollout = ?6",
        )?
        .execute((to.as_str(), failures_now, reason, rows::time(at)?, device, id.0))?;

    let was = End::of(&rollout, from, failures);
    let is = End::of(&rollout, to, failures_now);
    if was == is {
        return Ok(Reported::default());
    }
    for (end, by) in [(was, -1), (is, 1)] {
        if let Some(column) = end.column() {
            count(connection, id, stage, column, by)?;
        }
    }
    decide(connection, &rollout, stage, is, at)
}

/// How a device is counted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    Installed,
    Failed,
}

impl End {
    const fn of(rollout: &RolloutRecord, step: Step, failures: u32) -> Self {
        match step {
            Step::Installed => Self::Installed,
            Step::RolledBack => Self::Failed,
            Step::Failed if is_final(rollout, failures) => Self::Failed,
            _ => Self::Open,
        }
    }

    const fn column(self) -> Option<&'static str> {
        match self {
            Self::Open => None,
            Self::Installed => Some("installed"),
            Self::Failed => Some("failed"),
        }
    }
}

fn count(connection: &Connection, id: RolloutId, stage: usize, column: &str, by: i32) -> Result<(), StoreError> {
    let update = format!("UPDATE rollout_stage SET {column} = {column} + ?1 WHERE rollout = ?2 AND stage = ?3");
    connection.prepare_cached(&update)?.execute((by, id.0, rows::limit(stage)))?;
    Ok(())
}

/// What follows when a device of stage `stage` has just ended as `end`.
fn decide(
    connection: &Connection,
    rollout: &RolloutRecord,
    stage: usize,
    end: End,
    at: u64,
) -> Result<Reported, StoreError> {
    let id = rollout.id;
    let tally = |stage: usize| -> Result<Tally, StoreError> {
        let find = "SELECT offered, installed, failed FROM rollout_stage WHERE rollout = ?1 AND stage = ?2";
        Ok(connection.prepare_cached(find)?.query_row((id.0, rows::limit(stage)), |row| {
            Ok(Tally { offered: row.get(0)?, installed: row.get(1)?, failed: row.get(2)? })
        })?)
    };
    let (judged, decision) = match (end, rollout.state) {
        (End::Failed, State::Running | State::Finished) => (stage, after_failure(&rollout.plan, stage, tally(stage)?)),
        (End::Installed, State::Running) => {
            let current = rollout.stage;
            (current, after_success(&rollout.plan, current, tally(current)?))
        }
        _ => return Ok(Reported::default()),
    };
    let (state, next, event) = match decision {
        Decision::Stay => return Ok(Reported::default()),
        Decision::Advance => (State::Running, rollout.stage + 1, "rollout-advanced"),
        Decision::Finish => (State::Finished, rollout.stage, "rollout-finished"),
        Decision::Stop(OnFailure::Pause) => (State::Paused, rollout.stage, "rollout-paused"),
        Decision::Stop(OnFailure::Abort) => (State::Aborted, rollout.stage, "rollout-aborted"),
    };
    let reason = format!("stage {}: {}", judged + 1, tally(judged)?);
    set(connection, id, state, next, &reason, at)?;
    // The server itself: no administrator did it.
    let note =
        AuditEntry { at, by: String::new(), subject: id.to_string(), event: event.into(), detail: reason.clone() };
    audit_log::append(connection, note)?;
    if state == State::Finished && rollout.plan.covers_everybody() {
        everybody_has_it(connection, rollout.release, at)?;
    }
    Ok(Reported { decided: true, came_back_from: None })
}

/// Does for a rollout that goes on again what its devices have earned while it stood still.
pub(super) fn catch_up(connection: &Connection, id: RolloutId, at: u64) -> Result<(), StoreError> {
    match one(connection, id)? {
        Some(rollout) => decide(connection, &rollout, rollout.stage, End::Installed, at).map(drop),
        None => Ok(()),
    }
}

/// A rollout that ended at everybody leaves the release published: nothing older is accepted any more.
fn everybody_has_it(connection: &Connection, id: ReleaseId, at: u64) -> Result<(), StoreError> {
    if let Some(found) = release(connection, id)?
        && found.published_at.is_none()
        && newer_than(connection, &found)?.is_none()
    {
        connection.execute("UPDATE firmware_release SET published_at = ?1 WHERE id = ?2", (rows::time(at)?, id.0))?;
    }
    Ok(())
}

/// The artifact's length, if a rollout offers this release to this device now.
pub(super) fn may_download(
    connection: &Connection,
    device: &DeviceId,
    release: ReleaseId,
) -> Result<Option<u32>, StoreError> {
    let mut find = connection.prepare_cached(
        "SELECT encrypted_size FROM rollout JOIN firmware_release ON firmware_release.id = rollout.release \
         JOIN rollout_device ON rollout_device.rollout = rollout.row \
         WHERE rollout.release = ?1 AND rollout.state IN ('running', 'finished') \
         AND rollout_device.device = (SELECT row FROM device WHERE name = ?2) \
         AND rollout_device.state IN ('offered', 'downloading', 'installed', 'failed') LIMIT 1",
    )?;
    Ok(find.query_row((release.0, device.as_str()), |row| row.get(0)).optional()?)
}

/// Notes how far a download is.
pub(super) fn progress(
    connection: &Connection,
    device: &DeviceId,
    release: ReleaseId,
    bytes: u32,
    at: u64,
) -> Result<(), StoreError> {
    let Some(device) = device_row(connection, device)? else { return Ok(()) };
    connection
        .prepare_cached(
            "UPDATE rollout_device SET state = 'downloading', progress = ?1, changed_at = ?2 \
             WHERE device = ?3 AND state IN ('offered', 'downloading') AND progress < ?1 \
             AND rollout IN (SELECT row FROM rollout WHERE release = ?4)",
        )?
        .execute((bytes, rows::time(at)?, device, release.0))?;
    Ok(())
}

/// The tags of a device, by name.
pub(super) fn tags(connection: &Connection, device: i64) -> Result<Vec<Tag>, StoreError> {
    let mut find = connection.prepare_cached("SELECT tag FROM device_tag WHERE device = ?1 ORDER BY tag")?;
    let found = find.query_map([device], |row| row.get::<_, String>(0))?;
    found.map(|tag| tag?.parse().map_err(|_| rows::corrupt("device_tag.tag"))).collect()
}

/// Rollouts of newer releases that a poll goes through.
const MOST_LOOKED_AT: u32 = 64;
/// Seconds between two alarms about the same device.
const BETWEEN_ALARMS: u64 = 3600;
