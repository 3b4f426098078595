//! Rollouts in SQLite: made, listed, changed by hand. What devices do to them is in `offers`.

use super::{SqliteStore, audit_log, newer_than, offers, release, rows, trust};
use crate::rollout::RolloutId;
use crate::rollout::decision::{Act, State, Tally};
use crate::rollout::plan::Plan;
use crate::rollout::tag::Tag;
use crate::store::rollouts::{
    Assignment, Changed, NewRollout, Poll, Polled, Reported, RolloutAdded, RolloutRecord, Rollouts, Running, Step,
    Tagged,
};
use crate::store::{AuditEntry, Pending, StoreError};
use cotter_wire::ids::{DeviceId, ReleaseId, SecureVersion};
use rusqlite::{Connection, OptionalExtension, Row, named_params};

impl Rollouts for SqliteStore {
    fn add_rollout(&self, new: NewRollout, note: AuditEntry) -> Pending<'_, RolloutAdded> {
        self.write(move |connection| add(connection, &new, note))
    }

    fn rollout(&self, id: RolloutId) -> Pending<'_, Option<RolloutRecord>> {
        self.read(move |connection| one(connection, id))
    }

    fn rollouts(&self, before: Option<RolloutId>, limit: usize) -> Pending<'_, Vec<RolloutRecord>> {
        self.read(move |connection| {
            let before = before.map_or(i64::MAX, |before| i64::from(before.0));
            let find = format!("{SELECT} WHERE rollout.row < ?1 ORDER BY rollout.row DESC LIMIT ?2");
            let mut statement = connection.prepare_cached(&find)?;
            let found = statement.query_map((before, rows::limit(limit)), |row| Ok(record(row)))?;
            let mut records = found.map(|row| row?).collect::<Result<Vec<_>, StoreError>>()?;
            for record in &mut records {
                record.tallies = tallies(connection, record.id)?;
            }
            Ok(records)
        })
    }

    fn change_rollout(&self, id: RolloutId, act: Act, reason: String, note: AuditEntry) -> Pending<'_, Changed> {
        self.write(move |connection| change(connection, id, act, &reason, note))
    }

    fn retry(&self, id: RolloutId, device: Option<DeviceId>, note: AuditEntry) -> Pending<'_, Option<u64>> {
        self.write(move |connection| retry(connection, id, device, note))
    }

    fn rollout_devices(
        &self,
        id: RolloutId,
        after: Option<DeviceId>,
        limit: usize,
    ) -> Pending<'_, Vec<(DeviceId, Assignment)>> {
        self.read(move |connection| {
            let find = format!(
                "{SELECT_ASSIGNMENT} WHERE rollout_device.rollout = ?1 AND device.name > ?2 ORDER BY device.name LIMIT ?3"
            );
            let after = after.as_ref().map_or("", DeviceId::as_str);
            let mut statement = connection.prepare_cached(&find)?;
            let found = statement.query_map((id.0, after, rows::limit(limit)), |row| Ok(assignment(row)))?;
            found.map(|row| row?).collect()
        })
    }

    fn assignments(&self, device: DeviceId, limit: usize) -> Pending<'_, Vec<Assignment>> {
        self.read(move |connection| {
            let find = format!(
                "{SELECT_ASSIGNMENT} WHERE rollout_device.device = (SELECT row FROM device WHERE name = ?1) \
                 ORDER BY rollout_device.rollout DESC LIMIT ?2"
            );
            let mut statement = connection.prepare_cached(&find)?;
            let found = statement.query_map((device.as_str(), rows::limit(limit)), |row| Ok(assignment(row)))?;
            found.map(|row| row?.map(|(_, assignment)| assignment)).collect()
        })
    }

    fn poll(&self, poll: Poll) -> Pending<'_, Polled> {
        Box::pin(async move {
            let look = poll.clone();
            let seen = self.read(move |connection| offers::look(connection, &look)).await?;
            if !seen.is_news {
                return Ok(Polled { offer: seen.offer, reported: Reported::default() });
            }
            self.write(move |connection| offers::note(connection, &poll)).await
        })
    }

    fn may_download(&self, device: DeviceId, release: ReleaseId) -> Pending<'_, Option<u32>> {
        self.read(move |connection| offers::may_download(connection, &device, release))
    }

    fn record_progress(&self, device: DeviceId, release: ReleaseId, bytes: u32, at: u64) -> Pending<'_, ()> {
        self.write(move |connection| offers::progress(connection, &device, release, bytes, at))
    }

    fn running(&self, device: DeviceId) -> Pending<'_, Option<Running>> {
        self.read(move |connection| running(connection, &device))
    }

    fn add_tag(&self, device: DeviceId, tag: Tag, note: AuditEntry) -> Pending<'_, Tagged> {
        self.write(move |connection| {
            let Some(row) = device_row(connection, &device)? else { return Ok(Tagged::UnknownDevice) };
            let held = offers::tags(connection, row)?;
            if held.contains(&tag) {
                return Ok(Tagged::AsBefore);
            }
            if held.len() >= Tag::MOST {
                return Ok(Tagged::TooMany);
            }
            connection.execute("INSERT INTO device_tag (device, tag) VALUES (?1, ?2)", (row, tag.as_str()))?;
            audit_log::append(connection, note)?;
            Ok(Tagged::Changed)
        })
    }

    fn remove_tag(&self, device: DeviceId, tag: Tag, note: AuditEntry) -> Pending<'_, Tagged> {
        self.write(move |connection| {
            let Some(row) = device_row(connection, &device)? else { return Ok(Tagged::UnknownDevice) };
            let gone = "DELETE FROM device_tag WHERE device = ?1 AND tag = ?2";
            if connection.execute(gone, (row, tag.as_str()))? == 0 {
                return Ok(Tagged::AsBefore);
            }
            audit_log::append(connection, note)?;
            Ok(Tagged::Changed)
        })
    }

    fn tags(&self, device: DeviceId) -> Pending<'_, Vec<Tag>> {
        self.read(move |connection| match device_row(connection, &device)? {
            Some(row) => offers::tags(connection, row),
            None => Ok(Vec::new()),
        })
    }
}

fn add(connection: &Connection, new: &NewRollout, note: AuditEntry) -> Result<RolloutAdded, StoreError> {
    let Some(found) = release(connection, new.release)? else { return Ok(RolloutAdded::UnknownRelease) };
    if found.published_at.is_none()
        && let Some((newest, secure_version)) = newer_than(connection, &found)?
    {
        return Ok(RolloutAdded::NotNewer { newest, secure_version });
    }
    if let Some(number) = trust::refused_at(connection, new.release)? {
        return Ok(RolloutAdded::RefusedAt(number));
    }
    let open = "SELECT count(*) FROM rollout WHERE state IN ('draft', 'running', 'paused')";
    if connection.query_row(open, [], |row| row.get::<_, i64>(0))? >= MOST_OPEN {
        return Ok(RolloutAdded::TooMany);
    }
    let id = insert(connection, new, State::Draft, "")?;
    audit_log::append(connection, AuditEntry { subject: id.to_string(), ..note })?;
    Ok(RolloutAdded::Added(id))
}

/// The rollout to everybody that publishing is.
pub(super) fn publish(connection: &Connection, release: ReleaseId, at: u64) -> Result<(), StoreError> {
    let new = NewRollout { release, plan: Plan::everybody(), at };
    insert(connection, &new, State::Finished, "published").map(drop)
}

fn insert(connection: &Connection, new: &NewRollout, state: State, reason: &str) -> Result<RolloutId, StoreError> {
    connection.execute(
        "INSERT INTO rollout (release, plan, state, stage, reason, created_at, changed_at) \
         VALUES (:release, :plan, :state, 0, :reason, :at, :at)",
        named_params! {
            ":release": new.release.0,
            ":plan": new.plan.to_json().map_err(|_| rows::corrupt("rollout.plan"))?,
            ":state": state.as_str(),
            ":reason": reason,
            ":at": rows::time(new.at)?,
        },
    )?;
    let row = connection.last_insert_rowid();
    for stage in 0..new.plan.stages.len() {
        let zero = "INSERT INTO rollout_stage (rollout, stage, offered, installed, failed) VALUES (?1, ?2, 0, 0, 0)";
        connection.execute(zero, (row, rows::limit(stage)))?;
    }
    Ok(RolloutId(u32::try_from(row).map_err(|_| rows::corrupt("rollout.row"))?))
}

fn change(
    connection: &Connection,
    id: RolloutId,
    act: Act,
    reason: &str,
    note: AuditEntry,
) -> Result<Changed, StoreError> {
    let Some(found) = one(connection, id)? else { return Ok(Changed::Unknown) };
    let Some(state) = found.state.after(act) else { return Ok(Changed::Forbidden(found.state)) };
    let stage = found.stage + usize::from(act == Act::Advance);
    if stage >= found.plan.stages.len() {
        return Ok(Changed::LastStage);
    }
    if matches!(act, Act::Start | Act::Resume)
        && let Some(number) = trust::refused_at(connection, found.release)?
    {
        return Ok(Changed::RefusedAt(number));
    }
    let at = note.at;
    set(connection, id, state, stage, reason, at)?;
    audit_log::append(connection, AuditEntry { subject: id.to_string(), ..note })?;
    if act == Act::Resume {
        offers::catch_up(connection, id, at)?;
    }
    Ok(Changed::To(one(connection, id)?.map_or(state, |now| now.state)))
}

/// Brings a rollout into a state.
pub(super) fn set(
    connection: &Connection,
    id: RolloutId,
    state: State,
    stage: usize,
    reason: &str,
    at: u64,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE rollout SET state = ?1, stage = ?2, reason = ?3, changed_at = ?4 WHERE row = ?5")?
        .execute((state.as_str(), rows::limit(stage), reason, rows::time(at)?, id.0))?;
    Ok(())
}

fn retry(
    connection: &Connection,
    id: RolloutId,
    device: Option<DeviceId>,
    note: AuditEntry,
) -> Result<Option<u64>, StoreError> {
    let Some(found) = one(connection, id)? else { return Ok(None) };
    let name = device.as_ref().map(DeviceId::as_str);
    let which = "rollout = ?1 AND state IN ('failed', 'rolled-back') \
                 AND (?2 IS NULL OR device = (SELECT row FROM device WHERE name = ?2))";
    // What was counted as failed is counted no more.
    for stage in 0..found.plan.stages.len() {
        let counted = format!(
            "UPDATE rollout_stage SET failed = failed - (SELECT count(*) FROM rollout_device WHERE {which} \
             AND stage = ?3 AND (state = 'rolled-back' OR (?4 > 0 AND failures >= ?4))) WHERE rollout = ?1 AND stage = ?3"
        );
        connection.execute(&counted, (id.0, name, rows::limit(stage), found.plan.attempts))?;
    }
    let again = format!("UPDATE rollout_device SET state = 'retry', failures = 0, changed_at = ?3 WHERE {which}");
    let again = connection.execute(&again, (id.0, name, rows::time(note.at)?))? as u64;
    if again > 0 {
        audit_log::append(connection, AuditEntry { subject: id.to_string(), ..note })?;
    }
    Ok(Some(again))
}

/// One rollout with its tallies.
pub(super) fn one(connection: &Connection, id: RolloutId) -> Result<Option<RolloutRecord>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE rollout.row = ?1"))?;
    let found = statement.query_row([id.0], |row| Ok(record(row))).optional()?.transpose()?;
    let Some(mut found) = found else { return Ok(None) };
    found.tallies = tallies(connection, id)?;
    Ok(Some(found))
}

fn tallies(connection: &Connection, id: RolloutId) -> Result<Vec<Tally>, StoreError> {
    let find = "SELECT offered, installed, failed FROM rollout_stage WHERE rollout = ?1 ORDER BY stage";
    let mut statement = connection.prepare_cached(find)?;
    let found = statement
        .query_map([id.0], |row| Ok(Tally { offered: row.get(0)?, installed: row.get(1)?, failed: row.get(2)? }))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// What a device runs by its own word.
pub(super) fn running(connection: &Connection, device: &DeviceId) -> Result<Option<Running>, StoreError> {
    let find = "SELECT version, secure_version, said_at FROM device_firmware \
                WHERE device = (SELECT row FROM device WHERE name = ?1)";
    let mut statement = connection.prepare_cached(find)?;
    let read = |row: &Row<'_>| {
        Ok::<_, StoreError>(Running {
            version: rows::version(row.get(0)?)?,
            secure_version: SecureVersion(row.get(1)?),
            said_at: rows::unsigned(row, 2)?,
        })
    };
    statement.query_row([device.as_str()], |row| Ok(read(row))).optional()?.transpose()
}

pub(super) fn device_row(connection: &Connection, device: &DeviceId) -> Result<Option<i64>, StoreError> {
    let mut find = connection.prepare_cached("SELECT row FROM device WHERE name = ?1")?;
    Ok(find.query_row([device.as_str()], |row| row.get(0)).optional()?)
}

/// Columns as in `SELECT`; without tallies.
pub(super) fn record(row: &Row<'_>) -> Result<RolloutRecord, StoreError> {
    let (plan, state): (String, String) = (row.get(3)?, row.get(4)?);
    let stage: u32 = row.get(5)?;
    Ok(RolloutRecord {
        id: RolloutId(row.get(0)?),
        release: ReleaseId(row.get(1)?),
        version: rows::version(row.get(2)?)?,
        plan: Plan::parse(plan.as_bytes()).map_err(|_| rows::corrupt("rollout.plan"))?,
        state: State::from_name(&state).ok_or(rows::corrupt("rollout.state"))?,
        stage: usize::try_from(stage).map_err(|_| rows::corrupt("rollout.stage"))?,
        reason: row.get(6)?,
        created_at: rows::unsigned(row, 7)?,
        changed_at: rows::unsigned(row, 8)?,
        tallies: Vec::new(),
    })
}

fn assignment(row: &Row<'_>) -> Result<(DeviceId, Assignment), StoreError> {
    let (name, step): (String, String) = (row.get(0)?, row.get(5)?);
    let stage: u32 = row.get(4)?;
    let assignment = Assignment {
        rollout: RolloutId(row.get(1)?),
        release: ReleaseId(row.get(2)?),
        version: rows::version(row.get(3)?)?,
        stage: usize::try_from(stage).map_err(|_| rows::corrupt("rollout_device.stage"))?,
        step: Step::from_name(&step).ok_or(rows::corrupt("rollout_device.state"))?,
        progress: row.get(6)?,
        size: row.get(7)?,
        failures: row.get(8)?,
        reason: row.get(9)?,
        offered_at: rows::unsigned(row, 10)?,
        changed_at: rows::unsigned(row, 11)?,
    };
    Ok((name.parse().map_err(|_| rows::corrupt("device.name"))?, assignment))
}

/// Rollouts that have not ended. Those that have are kept, as releases are.
const MOST_OPEN: i64 = 100;

pub(super) const SELECT: &str = "SELECT rollout.row, release, version, plan, state, stage, reason, created_at, \
                                 changed_at FROM rollout JOIN firmware_release ON firmware_release.id = release";

const SELECT_ASSIGNMENT: &str = "SELECT device.name, rollout_device.rollout, rollout.release, version, rollout_device.stage, \
     rollout_device.state, progress, encrypted_size, failures, rollout_device.reason, offered_at, \
     rollout_device.changed_at FROM rollout_device JOIN rollout ON rollout.row = rollout_device.rollout \
     JOIN firmware_release ON firmware_release.id = rollout.release JOIN device ON device.row = rollout_device.device";
