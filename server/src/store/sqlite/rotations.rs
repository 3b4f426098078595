//! Rotation of root keys in SQLite.

use super::counters::Counter;
use super::{SqliteStore, audit_log, rows};
use crate::rotation::{Act, RotationId, Scope, State};
use crate::store::rotations::{
    Due, KEPT_ROTATIONS, KeyRotations, MOST_ROTATIONS, NewOffer, NewRotation, OfferedKey, RotationAdded,
    RotationChanged, RotationRecord, Switch, Switched, USUAL_OVERLAP_S,
};
use crate::store::{Acceptance, AuditEntry, Pending, StoreError};
use cotter_wire::ids::{DeviceId, KeyEpoch};
use rusqlite::{Connection, OptionalExtension, Row, named_params};

impl KeyRotations for SqliteStore {
    fn add_rotation(&self, new: NewRotation, note: AuditEntry) -> Pending<'_, RotationAdded> {
        self.write(move |connection| add(connection, &new, note))
    }

    fn change_rotation(&self, id: RotationId, act: Act, at: u64, note: AuditEntry) -> Pending<'_, RotationChanged> {
        self.write(move |connection| {
            let Some(found) = one(connection, id)? else { return Ok(RotationChanged::Unknown) };
            let Some(next) = act.from(found.state) else { return Ok(RotationChanged::Forbidden(found.state)) };
            set_state(connection, id, next, at)?;
            audit_log::append(connection, AuditEntry { subject: format!("rotation {id}"), ..note })?;
            Ok(RotationChanged::To(next))
        })
    }

    fn rotation(&self, id: RotationId) -> Pending<'_, Option<(RotationRecord, u64)>> {
        self.read(move |connection| {
            let Some(found) = one(connection, id)? else { return Ok(None) };
            let waiting: i64 = connection
                .prepare_cached(&format!("SELECT count(*) {WAITING}"))?
                .query_row([id.0], |row| row.get(0))?;
            Ok(Some((found, count(waiting)?)))
        })
    }

    fn rotations(&self, before: Option<RotationId>, limit: usize) -> Pending<'_, Vec<RotationRecord>> {
        self.read(move |connection| {
            let mut statement =
                connection.prepare_cached(&format!("{SELECT} WHERE row < ?1 ORDER BY row DESC LIMIT ?2"))?;
            let before = before.map_or(i64::MAX, |before| before.0.into());
            let found = statement.query_map((before, rows::limit(limit)), |row| Ok(rotation(row)))?;
            found.map(|row| row?).collect()
        })
    }

    fn due_key(&self, device: DeviceId, epoch: KeyEpoch) -> Pending<'_, Due> {
        self.read(move |connection| Ok(due(connection, &device, epoch)?.map_or(Due::Nothing, |(_, due)| due)))
    }

    fn offer_key(&self, offer: NewOffer) -> Pending<'_, Option<OfferedKey>> {
        self.write(move |connection| {
            let (device, id) = match due(connection, &offer.device, offer.present)? {
                Some((_, Due::Offered(key))) => return Ok(Some(key)),
                Some((device, Due::Wanted(id))) => (device, id),
                _ => return Ok(None),
            };
            leave(connection, device)?;
            connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO key_rotation_device (device, rotation, epoch, sealed_key, offered_at) \
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute((device, id.0, offer.key.epoch.0, &offer.key.sealed, rows::time(offer.at)?))?;
            tally(connection, "offered = offered + 1", id.0)?;
            Ok(Some(offer.key))
        })
    }

    fn offered_key(&self, device: DeviceId) -> Pending<'_, Option<OfferedKey>> {
        self.read(move |connection| {
            let found = connection
                .prepare_cached(
                    "SELECT epoch, sealed_key FROM key_rotation_device \
                     WHERE device = (SELECT row FROM device WHERE name = ?1) AND sealed_key IS NOT NULL",
                )?
                .query_row([device.as_str()], |row| {
                    Ok(OfferedKey { epoch: KeyEpoch(row.get(0)?), sealed: row.get(1)? })
                });
            Ok(found.optional()?)
        })
    }

    fn switch_key(&self, switch: Switch, note: AuditEntry) -> Pending<'_, Switched> {
        self.write(move |connection| self::switch(connection, &switch, note))
    }

    fn retire_key(&self, device: DeviceId, note: AuditEntry) -> Pending<'_, bool> {
        self.write(move |connection| {
            let row: Option<i64> = connection
                .prepare_cached(
                    "SELECT device FROM previous_root_key WHERE device = (SELECT row FROM device WHERE name = ?1)",
                )?
                .query_row([device.as_str()], |row| row.get(0))
                .optional()?;
            let Some(row) = row else { return Ok(false) };
            retire(connection, row)?;
            audit_log::append(connection, note)?;
            Ok(true)
        })
    }

    fn retire_keys(&self, now: u64, note: AuditEntry) -> Pending<'_, Vec<DeviceId>> {
        self.write(move |connection| {
            let mut find = connection.prepare_cached(
                "SELECT device, name FROM previous_root_key JOIN device ON device.row = device \
                 WHERE until <= ?1 ORDER BY until LIMIT ?2",
            )?;
            let over = find.query_map((rows::time(now)?, MOST_RETIRED), |row| Ok((row.get(0)?, row.get(1)?)))?;
            let over: Vec<(i64, String)> = over.collect::<Result<_, _>>()?;
            let mut retired = Vec::with_capacity(over.len());
            for (device, name) in over {
                retire(connection, device)?;
                retired.push(name.parse().map_err(|_| rows::corrupt("device.name"))?);
                audit_log::append(connection, AuditEntry { subject: name, ..note.clone() })?;
            }
            Ok(retired)
        })
    }

    fn done_rotations(&self) -> Pending<'_, Vec<RotationId>> {
        self.read(|connection| {
            let mut running = connection.prepare_cached("SELECT row FROM key_rotation WHERE state = 'running'")?;
            let running: Vec<u32> = running.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            let mut open = connection.prepare_cached(&format!(
                "SELECT EXISTS (SELECT 1 {WAITING}) \
                 OR EXISTS (SELECT 1 FROM key_rotation_device WHERE rotation = ?1 AND switched_at IS NULL) \
                 OR EXISTS (SELECT 1 FROM previous_root_key WHERE rotation = ?1)"
            ))?;
            let mut done = Vec::new();
            for row in running {
                if !open.query_row([row], |open| open.get(0))? {
                    done.push(RotationId(row));
                }
            }
            Ok(done)
        })
    }

    fn finish_rotation(&self, id: RotationId, at: u64, note: AuditEntry) -> Pending<'_, bool> {
        self.write(move |connection| {
            if one(connection, id)?.is_none_or(|found| found.state != State::Running) {
                return Ok(false);
            }
            set_state(connection, id, State::Finished, at)?;
            audit_log::append(connection, note)?;
            Ok(true)
        })
    }
}

fn add(connection: &Connection, new: &NewRotation, note: AuditEntry) -> Result<RotationAdded, StoreError> {
    let open: i64 = connection.query_row(
        "SELECT (SELECT count(*) FROM key_rotation WHERE state = 'running') \
         + (SELECT count(*) FROM key_rotation WHERE state = 'paused')",
        [],
        |row| row.get(0),
    )?;
    if open >= rows::limit(MOST_ROTATIONS) {
        return Ok(RotationAdded::TooMany);
    }
    if let Scope::Device(device) = &new.scope {
        let known: bool =
            connection.query_row("SELECT EXISTS (SELECT 1 FROM device WHERE name = ?1)", [device.as_str()], |row| {
                row.get(0)
            })?;
        if !known {
            return Ok(RotationAdded::UnknownDevice);
        }
    }
    let at = rows::time(new.at)?;
    connection.execute(
        "INSERT INTO key_rotation \
         (scope, target, overlap, state, created_at, created_by, changed_at, offered, switched, retired) \
         VALUES (?1, ?2, ?3, 'running', ?4, ?5, ?4, 0, 0, 0)",
        (new.scope.kind(), new.scope.target(), new.overlap, at, &new.by),
    )?;
    let id = connection.last_insert_rowid();
    connection.execute(
        "DELETE FROM key_rotation WHERE row <= ?1 AND state IN ('finished', 'cancelled')",
        [id - rows::limit(KEPT_ROTATIONS)],
    )?;
    let id = RotationId(u32::try_from(id).map_err(|_| rows::corrupt("key_rotation.row"))?);
    audit_log::append(connection, AuditEntry { subject: format!("rotation {id}"), ..note })?;
    Ok(RotationAdded::Added(id))
}

/// What there is for a device, and its row; `None` if it is not known with these keys.
fn due(connection: &Connection, device: &DeviceId, epoch: KeyEpoch) -> Result<Option<(i64, Due)>, StoreError> {
    let known: Option<i64> = connection
        .prepare_cached("SELECT row FROM device JOIN counter ON counter.device = row WHERE name = ?1 AND epoch = ?2")?
        .query_row((device.as_str(), epoch.0), |row| row.get(0))
        .optional()?;
    let Some(row) = known else { return Ok(None) };
    // A recovery may have overtaken what was offered.
    let offered = connection
        .prepare_cached(
            "SELECT epoch, sealed_key FROM key_rotation_device JOIN key_rotation ON key_rotation.row = rotation \
             WHERE device = ?1 AND sealed_key IS NOT NULL AND epoch > ?2 AND state = 'running'",
        )?
        .query_row((row, epoch.0), |row| Ok(OfferedKey { epoch: KeyEpoch(row.get(0)?), sealed: row.get(1)? }))
        .optional()?;
    if let Some(offered) = offered {
        return Ok(Some((row, Due::Offered(offered))));
    }
    let wanted: Option<u32> = connection
        .prepare_cached(&format!(
            "SELECT key_rotation.row FROM key_rotation JOIN device ON device.row = ?1 WHERE state = 'running' \
             AND {FOR_DEVICE} AND NOT EXISTS (SELECT 1 FROM key_rotation_device AS last WHERE last.device = device.row \
             AND last.rotation >= key_rotation.row AND last.switched_at IS NOT NULL) \
             ORDER BY key_rotation.row DESC LIMIT 1"
        ))?
        .query_row([row], |row| row.get(0))
        .optional()?;
    Ok(Some((row, wanted.map_or(Due::Nothing, |id| Due::Wanted(RotationId(id))))))
}

fn switch(connection: &Connection, switch: &Switch, mut note: AuditEntry) -> Result<Switched, StoreError> {
    let found: Option<(i64, u32, Vec<u8>)> = connection
        .prepare_cached(
            "SELECT row, epoch, sealed_root_key FROM device JOIN counter ON counter.device = row WHERE name = ?1",
        )?
        .query_row([switch.device.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((device, present, sealed)) = found else { return Ok(Switched::UnknownDevice) };
    if switch.epoch <= KeyEpoch(present) {
        return Ok(Switched::NotNewer { current: KeyEpoch(present) });
    }
    let order: Option<(u32, Option<u32>)> = connection
        .prepare_cached(
            "SELECT rotation, overlap FROM key_rotation_device LEFT JOIN key_rotation ON key_rotation.row = rotation \
             WHERE device = ?1 AND switched_at IS NULL",
        )?
        .query_row([device], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (rotation, overlap) = order.map_or((None, None), |(rotation, overlap)| (Some(rotation), overlap));
    let until = switch.at.saturating_add(overlap.unwrap_or(USUAL_OVERLAP_S).into());
    let at = rows::time(switch.at)?;

    retire(connection, device)?;
    connection
        .prepare_cached(
            "INSERT INTO previous_root_key (device, rotation, epoch, sealed_key, until) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute((device, rotation, present, sealed, rows::time(until)?))?;
    connection.prepare_cached("UPDATE device SET sealed_root_key = ?1, rotated_at = ?2 WHERE row = ?3")?.execute((
        &switch.sealed_root_key,
        at,
        device,
    ))?;
    connection.prepare_cached("UPDATE counter SET epoch = ?1 WHERE device = ?2")?.execute((switch.epoch.0, device))?;
    connection
        .prepare_cached("UPDATE command SET epoch = ?1 WHERE device = ?2 AND epoch = ?3 AND state = 0")?
        .execute((switch.epoch.0, device, present))?;
    if let Some(rotation) = rotation {
        connection
            .prepare_cached("UPDATE key_rotation_device SET sealed_key = NULL, switched_at = ?1 WHERE device = ?2")?
            .execute((at, device))?;
        tally(connection, "switched = switched + 1", rotation)?;
    }
    note.detail.push_str(&format!("; the one before counts until {until}"));
    audit_log::append(connection, note)?;
    Ok(Switched::Switched)
}

/// Whether a packet is under the key before, in its time.
pub(super) fn overlaps(
    connection: &Connection,
    counter: &Counter,
    acceptance: &Acceptance,
) -> Result<bool, StoreError> {
    let found = connection
        .prepare_cached("SELECT 1 FROM previous_root_key WHERE device = ?1 AND epoch = ?2 AND until > ?3")?
        .query_row((counter.device, acceptance.epoch.0, rows::time(acceptance.received_at)?), |_| Ok(()));
    Ok(found.optional()?.is_some())
}

/// The factory has given a device new keys: whatever was under way for it is over.
pub(super) fn end(connection: &Connection, device: i64) -> Result<(), StoreError> {
    retire(connection, device)?;
    leave(connection, device)?;
    connection.prepare_cached("DELETE FROM key_rotation_device WHERE device = ?1")?.execute([device])?;
    Ok(())
}

/// Deletes the key before, if there is one. `secure_delete` overwrites it.
pub(super) fn retire(connection: &Connection, device: i64) -> Result<(), StoreError> {
    let rotation: Option<Option<u32>> = connection
        .prepare_cached("DELETE FROM previous_root_key WHERE device = ?1 RETURNING rotation")?
        .query_row([device], |row| row.get(0))
        .optional()?;
    match rotation.flatten() {
        Some(rotation) => tally(connection, "retired = retired + 1", rotation),
        None => Ok(()),
    }
}

/// An offer that the device did not take is no longer counted with its order.
fn leave(connection: &Connection, device: i64) -> Result<(), StoreError> {
    let rotation: Option<u32> = connection
        .prepare_cached("SELECT rotation FROM key_rotation_device WHERE device = ?1 AND switched_at IS NULL")?
        .query_row([device], |row| row.get(0))
        .optional()?;
    rotation.map_or(Ok(()), |rotation| tally(connection, "offered = offered - 1", rotation))
}

/// `change` is one of the words of this file.
fn tally(connection: &Connection, change: &'static str, rotation: u32) -> Result<(), StoreError> {
    connection.prepare_cached(&format!("UPDATE key_rotation SET {change} WHERE row = ?1"))?.execute([rotation])?;
    Ok(())
}

fn one(connection: &Connection, id: RotationId) -> Result<Option<RotationRecord>, StoreError> {
    connection
        .prepare_cached(&format!("{SELECT} WHERE row = ?1"))?
        .query_row([id.0], |row| Ok(rotation(row)))
        .optional()?
        .transpose()
}

fn set_state(connection: &Connection, id: RotationId, state: State, at: u64) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE key_rotation SET state = :state, changed_at = :at WHERE row = :row")?
        .execute(named_params! { ":state": state.as_str(), ":at": rows::time(at)?, ":row": id.0 })?;
    Ok(())
}

/// Columns as in [`SELECT`].
fn rotation(row: &Row<'_>) -> Result<RotationRecord, StoreError> {
    let (scope, target, state): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(4)?);
    Ok(RotationRecord {
        id: RotationId(row.get(0)?),
        new: NewRotation {
            scope: Scope::new(&scope, &target).ok_or(rows::corrupt("key_rotation.scope"))?,
            overlap: row.get(3)?,
            at: rows::unsigned(row, 5)?,
            by: row.get(6)?,
        },
        state: State::from_name(&state).ok_or(rows::corrupt("key_rotation.state"))?,
        changed_at: rows::unsigned(row, 7)?,
        offered: rows::unsigned(row, 8)?,
        switched: rows::unsigned(row, 9)?,
        retired: rows::unsigned(row, 10)?,
    })
}

fn count(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| rows::corrupt("count"))
}

const SELECT: &str = "SELECT row, scope, target, overlap, state, created_at, created_by, changed_at, offered, switched, \
                      retired FROM key_rotation";

/// Which devices an order is for.
const FOR_DEVICE: &str = "coalesce(device.rotated_at, device.enrolled_at) <= key_rotation.created_at \
                          AND (scope = 'all' OR (scope = 'device' AND target = device.name) OR (scope = 'tag' AND EXISTS \
                          (SELECT 1 FROM device_tag WHERE device_tag.device = device.row AND tag = target)))";

/// Devices of an order that were offered nothing for it.
const WAITING: &str = "FROM key_rotation JOIN device ON coalesce(device.rotated_at, device.enrolled_at) <= created_at \
                       AND (scope = 'all' OR (scope = 'device' AND target = device.name) OR (scope = 'tag' AND EXISTS \
                       (SELECT 1 FROM device_tag WHERE device_tag.device = device.row AND tag = target))) \
                       WHERE key_rotation.row = ?1 AND NOT EXISTS (SELECT 1 FROM key_rotation_device AS last \
                       WHERE last.device = device.row AND last.rotation >= key_rotation.row)";

const MOST_RETIRED: i64 = 500;
