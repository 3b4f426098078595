//! Public keys of devices in SQLite.

use super::{SqliteStore, audit_log, rows};
use crate::store::device_keys::{DeviceKeyAdded, DeviceKeyRecord, DeviceKeyTable, MOST_KEYS};
use crate::store::{AuditEntry, Pending, StoreError};
use cotter_wire::ids::{DeviceId, KeyId};
use rusqlite::{Connection, OptionalExtension, Row, named_params};

impl DeviceKeyTable for SqliteStore {
    fn add_device_key(&self, key: DeviceKeyRecord, note: AuditEntry) -> Pending<'_, DeviceKeyAdded> {
        self.write(move |connection| add(connection, &key, note))
    }

    fn device_keys(&self, device: DeviceId) -> Pending<'_, Option<Vec<DeviceKeyRecord>>> {
        self.read(move |connection| {
            let Some(row) = find(connection, &device)? else { return Ok(None) };
            let mut statement = connection.prepare_cached(
                "SELECT id, spki, added_at, expires_at FROM device_key WHERE device = ?1 ORDER BY row",
            )?;
            let found = statement.query_map([row], |row| Ok(record(row, device)))?;
            found.map(|row| row?).collect::<Result<_, _>>().map(Some)
        })
    }

    fn remove_device_key(&self, device: DeviceId, key: KeyId, note: AuditEntry) -> Pending<'_, bool> {
        self.write(move |connection| {
            let Some(row) = find(connection, &device)? else { return Ok(false) };
            let removed = connection.execute("DELETE FROM device_key WHERE device = ?1 AND id = ?2", (row, key.0))? > 0;
            if removed {
                audit_log::append(connection, note)?;
            }
            Ok(removed)
        })
    }
}

fn add(connection: &Connection, new: &DeviceKeyRecord, note: AuditEntry) -> Result<DeviceKeyAdded, StoreError> {
    // Every refusal comes before the first change.
    let Some(device) = find(connection, &new.device)? else { return Ok(DeviceKeyAdded::UnknownDevice) };
    let owner: rusqlite::Result<i64> =
        connection.query_row("SELECT device FROM device_key WHERE spki = ?1", [&new.spki], |row| row.get(0));
    // A key that has expired may come back with a new end.
    let now = rows::time(new.added_at)?;
    let expired = "device = ?1 AND expires_at IS NOT NULL AND expires_at <= ?2";
    match owner.optional()? {
        Some(owner) if owner != device => return Ok(DeviceKeyAdded::OfOtherDevice),
        Some(_) => {
            let query = format!("SELECT EXISTS (SELECT 1 FROM device_key WHERE {expired} AND spki = ?3)");
            if !connection.query_row(&query, (device, now, &new.spki), |row| row.get(0))? {
                return Ok(DeviceKeyAdded::AlreadyThere);
            }
        }
        None => {}
    }
    let query = format!("SELECT COUNT(*) FROM device_key WHERE device = ?1 AND NOT ({expired})");
    let count: i64 = connection.query_row(&query, (device, now), |row| row.get(0))?;
    if usize::try_from(count).map_or(true, |count| count >= MOST_KEYS) {
        return Ok(DeviceKeyAdded::Full);
    }
    connection.execute(&format!("DELETE FROM device_key WHERE {expired}"), (device, now))?;
    connection.execute(
        "INSERT INTO device_key (device, id, spki, added_at, expires_at) \
         VALUES (:device, :id, :spki, :added_at, :expires_at)",
        named_params! {
            ":device": device,
            ":id": new.id.0,
            ":spki": new.spki,
            ":added_at": now,
            ":expires_at": new.expires_at.map(rows::time).transpose()?,
        },
    )?;
    audit_log::append(connection, note)?;
    Ok(DeviceKeyAdded::Added)
}

fn find(connection: &Connection, device: &DeviceId) -> Result<Option<i64>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT row FROM device WHERE name = ?1")?;
    Ok(statement.query_row([device.as_str()], |row| row.get(0)).optional()?)
}

/// Columns: id, spki, `added_at`, `expires_at`.
fn record(row: &Row<'_>, device: DeviceId) -> Result<DeviceKeyRecord, StoreError> {
    let time = |at: i64, column| u64::try_from(at).map_err(|_| StoreError::Corrupt { column });
    Ok(DeviceKeyRecord {
        device,
        id: KeyId(row.get(0)?),
        spki: row.get(1)?,
        added_at: time(row.get(2)?, "device_key.added_at")?,
        expires_at: row.get::<_, Option<i64>>(3)?.map(|at| time(at, "device_key.expires_at")).transpose()?,
    })
}
