//! The bridge in SQLite.

use super::{SqliteStore, audit_log, rows};
use crate::store::bridge::{
    Bound, BridgeTable, KEPT_CONFIGS, KEPT_STATES, MOST_BOUND, NewConfig, NewMessage, StoredConfig, StoredMessage,
    StoredState,
};
use crate::store::{AuditEntry, Pending, StoreError};
use cotter_wire::ids::DeviceId;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, named_params};

impl BridgeTable for SqliteStore {
    fn add_message(&self, message: NewMessage, kept: u64) -> Pending<'_, Option<u64>> {
        self.write(move |connection| {
            let Some(device) = find(connection, &message.device)? else { return Ok(None) };
            let number = next(connection, "SELECT max(number) FROM bridge_message WHERE device = ?1", device)?;
            connection
                .prepare_cached(
                    "INSERT INTO bridge_message (device, number, folder, payload, received_at) \
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute((device, number, &message.folder, &message.payload, rows::time(message.received_at)?))?;
            let last_gone = number.saturating_sub(i64::try_from(kept).unwrap_or(i64::MAX));
            forget(connection, "DELETE FROM bridge_message WHERE device = ?1 AND number <= ?2", device, last_gone)?;
            unsigned(number, "bridge_message.number").map(Some)
        })
    }

    fn messages(&self, device: DeviceId, after: u64, limit: usize) -> Pending<'_, Option<Vec<StoredMessage>>> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        self.read(move |connection| {
            all(
                connection,
                device,
                "SELECT number, folder, payload, received_at FROM bridge_message \
                 WHERE device = ?1 AND number > ?2 ORDER BY number LIMIT ?3",
                &[&after, &rows_of(limit)],
                |row| {
                    Ok(StoredMessage {
                        number: unsigned(row.get(0)?, "bridge_message.number")?,
                        message: NewMessage {
                            device,
                            folder: row.get(1)?,
                            payload: row.get(2)?,
                            received_at: unsigned(row.get(3)?, "bridge_message.received_at")?,
                        },
                    })
                },
            )
        })
    }

    fn add_state(&self, device: DeviceId, state: Vec<u8>, at: u64) -> Pending<'_, bool> {
        self.write(move |connection| {
            let Some(device) = find(connection, &device)? else { return Ok(false) };
            let number = next(connection, "SELECT max(number) FROM bridge_state WHERE device = ?1", device)?;
            connection
                .prepare_cached(
                    "INSERT INTO bridge_state (device, number, payload, received_at) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute((device, number, &state, rows::time(at)?))?;
            let last_gone = number.saturating_sub_unsigned(KEPT_STATES);
            forget(connection, "DELETE FROM bridge_state WHERE device = ?1 AND number <= ?2", device, last_gone)?;
            Ok(true)
        })
    }

    fn states(&self, device: DeviceId) -> Pending<'_, Option<Vec<StoredState>>> {
        self.read(move |connection| {
            let query = "SELECT payload, received_at FROM bridge_state WHERE device = ?1 ORDER BY number DESC";
            all(connection, device, query, &[], |row| {
                let received_at = unsigned(row.get(1)?, "bridge_state.received_at")?;
                Ok(StoredState { payload: row.get(0)?, received_at })
            })
        })
    }

    fn set_config(&self, config: NewConfig, note: AuditEntry) -> Pending<'_, Option<u64>> {
        self.write(move |connection| {
            let Some(device) = find(connection, &config.device)? else { return Ok(None) };
            let version = next(connection, "SELECT max(version) FROM bridge_config WHERE device = ?1", device)?;
            connection
                .prepare_cached(
                    "INSERT INTO bridge_config (device, version, payload, set_at, set_by) \
                     VALUES (:device, :version, :payload, :set_at, :set_by)",
                )?
                .execute(named_params! {
                    ":device": device,
                    ":version": version,
                    ":payload": config.payload,
                    ":set_at": rows::time(config.set_at)?,
                    ":set_by": config.set_by,
                })?;
            let last_gone = version.saturating_sub_unsigned(KEPT_CONFIGS);
            forget(connection, "DELETE FROM bridge_config WHERE device = ?1 AND version <= ?2", device, last_gone)?;
            let detail =
                if note.detail.is_empty() { version.to_string() } else { format!("{version}, {}", note.detail) };
            audit_log::append(connection, AuditEntry { detail, ..note })?;
            unsigned(version, "bridge_config.version").map(Some)
        })
    }

    fn configs(&self, device: DeviceId, limit: usize) -> Pending<'_, Option<Vec<StoredConfig>>> {
        self.read(move |connection| {
            all(
                connection,
                device,
                "SELECT version, payload, set_at, set_by, acknowledged_at FROM bridge_config \
                 WHERE device = ?1 ORDER BY version DESC LIMIT ?2",
                &[&rows_of(limit)],
                |row| {
                    let acknowledged_at: Option<i64> = row.get(4)?;
                    let acknowledged_at =
                        acknowledged_at.map(|at| unsigned(at, "bridge_config.acknowledged_at")).transpose()?;
                    let config = NewConfig {
                        device,
                        payload: row.get(1)?,
                        set_at: unsigned(row.get(2)?, "bridge_config.set_at")?,
                        set_by: row.get(3)?,
                    };
                    let version = unsigned(row.get(0)?, "bridge_config.version")?;
                    Ok(StoredConfig { version, config, acknowledged_at })
                },
            )
        })
    }

    fn acknowledge_config(&self, device: DeviceId, version: u64, at: u64) -> Pending<'_, ()> {
        let version = i64::try_from(version).unwrap_or(i64::MAX);
        self.write(move |connection| {
            let Some(device) = find(connection, &device)? else { return Ok(()) };
            connection
                .prepare_cached(
                    "UPDATE bridge_config SET acknowledged_at = ?3 \
                     WHERE device = ?1 AND version = ?2 AND acknowledged_at IS NULL",
                )?
                .execute((device, version, rows::time(at)?))?;
            Ok(())
        })
    }

    fn set_gateway(&self, device: DeviceId, is_gateway: bool, note: AuditEntry) -> Pending<'_, Option<bool>> {
        self.write(move |connection| {
            let Some(device) = find(connection, &device)? else { return Ok(None) };
            let is_changed = if is_gateway {
                // Who is brought by others brings nobody.
                connection.execute("DELETE FROM bridge_binding WHERE device = ?1", [device])?;
                connection.execute("INSERT OR IGNORE INTO bridge_gateway (device) VALUES (?1)", [device])? > 0
            } else {
                connection.execute("DELETE FROM bridge_binding WHERE gateway = ?1", [device])?;
                connection.execute("DELETE FROM bridge_gateway WHERE device = ?1", [device])? > 0
            };
            if is_changed {
                audit_log::append(connection, note)?;
            }
            Ok(Some(is_changed))
        })
    }

    fn bind(&self, gateway: DeviceId, device: DeviceId, is_bound: bool, note: AuditEntry) -> Pending<'_, Bound> {
        self.write(move |connection| {
            // Every refusal comes before the first change.
            let Some(gateway) = find_gateway(connection, &gateway)? else { return Ok(Bound::NoGateway) };
            if find_gateway(connection, &device)?.is_some() {
                return Ok(Bound::IsGateway);
            }
            let Some(device) = find(connection, &device)? else { return Ok(Bound::UnknownDevice) };
            let changed = if is_bound {
                let count: i64 = connection.query_row(
                    "SELECT count(*) FROM bridge_binding WHERE gateway = ?1 AND device <> ?2",
                    (gateway, device),
                    |row| row.get(0),
                )?;
                if usize::try_from(count).map_or(true, |count| count >= MOST_BOUND) {
                    return Ok(Bound::Full);
                }
                let insert = "INSERT OR IGNORE INTO bridge_binding (gateway, device) VALUES (?1, ?2)";
                connection.execute(insert, (gateway, device))?
            } else {
                connection
                    .execute("DELETE FROM bridge_binding WHERE gateway = ?1 AND device = ?2", (gateway, device))?
            };
            if changed == 0 {
                return Ok(Bound::AlreadySo);
            }
            audit_log::append(connection, note)?;
            Ok(Bound::Changed)
        })
    }

    fn binding(&self, gateway: DeviceId, device: DeviceId) -> Pending<'_, Option<bool>> {
        self.read(move |connection| {
            let Some(gateway) = find_gateway(connection, &gateway)? else { return Ok(None) };
            let Some(device) = find(connection, &device)? else { return Ok(Some(false)) };
            let query = "SELECT EXISTS (SELECT 1 FROM bridge_binding WHERE gateway = ?1 AND device = ?2)";
            Ok(Some(connection.prepare_cached(query)?.query_row((gateway, device), |row| row.get(0))?))
        })
    }

    fn bindings(&self, gateway: DeviceId) -> Pending<'_, Option<Vec<DeviceId>>> {
        self.read(move |connection| {
            let Some(gateway) = find_gateway(connection, &gateway)? else { return Ok(None) };
            let mut statement = connection.prepare_cached(
                "SELECT name FROM device JOIN bridge_binding ON device.row = bridge_binding.device \
                 WHERE gateway = ?1 ORDER BY name",
            )?;
            let names = statement.query_map([gateway], |row| row.get::<_, String>(0))?;
            let read = |name: rusqlite::Result<String>| {
                name?.parse().map_err(|_| StoreError::Corrupt { column: "device.name" })
            };
            names.map(read).collect::<Result<_, _>>().map(Some)
        })
    }
}

fn find(connection: &Connection, device: &DeviceId) -> Result<Option<i64>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT row FROM device WHERE name = ?1")?;
    Ok(statement.query_row([device.as_str()], |row| row.get(0)).optional()?)
}

fn find_gateway(connection: &Connection, device: &DeviceId) -> Result<Option<i64>, StoreError> {
    let query = "SELECT device FROM bridge_gateway WHERE device = (SELECT row FROM device WHERE name = ?1)";
    Ok(connection.prepare_cached(query)?.query_row([device.as_str()], |row| row.get(0)).optional()?)
}

/// The number after the highest one that `query` finds.
fn next(connection: &Connection, query: &str, device: i64) -> Result<i64, StoreError> {
    let last: Option<i64> = connection.prepare_cached(query)?.query_row([device], |row| row.get(0))?;
    Ok(last.unwrap_or(0).saturating_add(1))
}

fn forget(connection: &Connection, query: &str, device: i64, last: i64) -> Result<(), StoreError> {
    if last > 0 {
        connection.prepare_cached(query)?.execute((device, last))?;
    }
    Ok(())
}

/// The rows of a device; `None` if there is no such device. `?1` is the device.
fn all<T>(
    connection: &Connection,
    device: DeviceId,
    query: &str,
    more: &[&dyn ToSql],
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<Vec<T>>, StoreError> {
    let Some(device) = find(connection, &device)? else { return Ok(None) };
    let mut statement = connection.prepare_cached(query)?;
    let parameters: Vec<&dyn ToSql> = std::iter::once(&device as &dyn ToSql).chain(more.iter().copied()).collect();
    let found = statement.query_map(&parameters[..], |row| Ok(read(row)))?;
    found.map(|row| row?).collect::<Result<_, _>>().map(Some)
}

fn rows_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn unsigned(number: i64, column: &'static str) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Corrupt { column })
}
