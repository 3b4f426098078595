//! The minimum protocol in SQLite.

use super::{audit_log, rows};
use crate::store::protocol::{MinimumRaised, Protocols};
use crate::store::{AuditEntry, Pending, StoreError};
use cotter_wire::ids::{DeviceId, Protocol};
use rusqlite::{Connection, OptionalExtension};

impl Protocols for super::SqliteStore {
    fn raise_minimum_protocol(
        &self,
        device: DeviceId,
        minimum: Protocol,
        note: AuditEntry,
    ) -> Pending<'_, MinimumRaised> {
        self.write(move |connection| raise(connection, &device, minimum, note))
    }
}

fn raise(
    connection: &Connection,
    device: &DeviceId,
    minimum: Protocol,
    note: AuditEntry,
) -> Result<MinimumRaised, StoreError> {
    let find = "SELECT minimum_protocol FROM counter WHERE device = (SELECT row FROM device WHERE name = ?1)";
    let current = connection.query_row(find, [device.as_str()], |row| Ok(rows::protocol(row, 0))).optional()?;
    let Some(current) = current.transpose()? else { return Ok(MinimumRaised::UnknownDevice) };
    if current == minimum {
        return Ok(MinimumRaised::AlreadyThere);
    }
    if current > minimum {
        return Ok(MinimumRaised::Lower { current });
    }
    connection.execute(
        "UPDATE counter SET minimum_protocol = ?1 WHERE device = (SELECT row FROM device WHERE name = ?2)",
        (minimum.get(), device.as_str()),
    )?;
    audit_log::append(connection, note)?;
    Ok(MinimumRaised::Raised)
}
