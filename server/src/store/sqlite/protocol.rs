//! The minimum protocol in SQLite.

use super::counters::Counters;
use super::{audit_log, rows};
use crate::store::protocol::{MinimumRaised, Protocols};
use crate::store::{AuditEntry, Pending, StoreError};
use cotter_wire::ids::{DeviceId, Protocol};
use rusqlite::{Connection, OptionalExtension};
use std::sync::Arc;

impl Protocols for super::SqliteStore {
    fn raise_minimum_protocol(
        &self,
        device: DeviceId,
        minimum: Protocol,
        note: AuditEntry,
    ) -> Pending<'_, MinimumRaised> {
        let counters = Arc::clone(&self.counters);
        self.write(move |connection| raise(connection, &counters, &device, minimum, note))
    }
}

fn raise(
    connection: &Connection,
    counters: &Counters,
    device: &DeviceId,
    minimum: Protocol,
    note: AuditEntry,
) -> Result<MinimumRaised, StoreError> {
    let row = connection.query_row("SELECT row FROM device WHERE name = ?1", [device.as_str()], |row| row.get(0));
    let Some(row) = row.optional()? else { return Ok(MinimumRaised::UnknownDevice) };
    counters.settle(connection, row)?;
    let find = "SELECT minimum_protocol FROM counter WHERE device = ?1";
    let current = connection.query_row(find, [row], |row| Ok(rows::protocol(row, 0)))??;
    if current == minimum {
        return Ok(MinimumRaised::AlreadyThere);
    }
    if current > minimum {
        return Ok(MinimumRaised::Lower { current });
    }
    connection.execute("UPDATE counter SET minimum_protocol = ?1 WHERE device = ?2", (minimum.get(), row))?;
    audit_log::append(connection, note)?;
    Ok(MinimumRaised::Raised)
}
