//! Renewal of key epochs in SQLite.

use super::counters::Counters;
use super::{audit_log, rotations, rows};
use crate::store::epoch::{Epochs, Renewal, Renewed};
use crate::store::{AuditEntry, Pending, StoreError};
use cotter_wire::ids::{KeyEpoch, Nonce};
use rusqlite::{Connection, OptionalExtension};
use std::sync::Arc;

impl Epochs for super::SqliteStore {
    fn renew_epoch(&self, renewal: Renewal, note: AuditEntry) -> Pending<'_, Renewed> {
        let counters = Arc::clone(&self.counters);
        self.write(move |connection| renew(connection, &counters, &renewal, note))
    }
}

fn renew(
    connection: &Connection,
    counters: &Counters,
    renewal: &Renewal,
    note: AuditEntry,
) -> Result<Renewed, StoreError> {
    let find = "SELECT row, epoch, nonce_floor, renewal_day, renewals, rotated_at FROM device \
                JOIN counter ON counter.device = device.row WHERE name = ?1";
    let found = connection.query_row(find, [renewal.device.as_str()], |row| {
        Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?, row.get::<_, i64>(3)?, row.get::<_, u32>(4)?, row.get(5)?))
    });
    let Some((device, epoch, nonce, day, renewals, rotated_at)) = found.optional()? else {
        return Ok(Renewed::UnknownDevice);
    };
    if renewal.rotated_at.map(rows::time).transpose()? != rotated_at {
        return Ok(Renewed::Overtaken);
    }
    let today = rows::time(renewal.at / DAY_S)?;
    let renewals = if day == today { renewals } else { 0 };
    if renewals >= renewal.most_a_day {
        return Ok(Renewed::TooOften);
    }
    let Some(epoch) = renewal.known.max(KeyEpoch(epoch)).0.checked_add(1) else { return Ok(Renewed::Exhausted) };
    counters.settle(connection, device)?;
    connection.execute(
        "UPDATE counter SET epoch = ?1, folded_nonce = ?2, last_digest = NULL, renewal_day = ?3, renewals = ?4 \
         WHERE device = ?5",
        (epoch, nonce, today, renewals + 1, device),
    )?;
    // The counter starts anew: packets under a key before, which it has counted, would count again.
    rotations::retire(connection, device)?;
    audit_log::append(connection, AuditEntry { detail: format!("key epoch {epoch}{}", note.detail), ..note })?;
    Ok(Renewed::Renewed { epoch: KeyEpoch(epoch), nonce: Nonce(nonce) })
}

const DAY_S: u64 = 86_400;
