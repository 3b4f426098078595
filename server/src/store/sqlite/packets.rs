//! Packets: accepted once, in the order of their nonces, and read back as they came.

use super::counters::{Advance, Counters};
use super::{rotations, rows};
use crate::store::{Acceptance, StoreError, StoredReading, Verdict};
use cotter_wire::ids::DeviceId;
use rusqlite::{Connection, OptionalExtension};

/// Decides on a packet and stores its reading. Every refusal comes before the first change.
pub(super) fn accept_once(
    connection: &Connection,
    counters: &Counters,
    acceptance: &Acceptance,
) -> Result<Verdict, StoreError> {
    let found = match acceptance.place {
        Some(place) => rows::counter_at(connection, place)?,
        None => rows::counter_of(connection, acceptance.device)?,
    };
    let Some(folded) = found else { return Ok(Verdict::UnknownDevice) };
    let counter = counters.present(folded);

    if counter.epoch != acceptance.epoch && !rotations::overlaps(connection, &counter, acceptance)? {
        return Ok(Verdict::WrongEpoch { current: counter.epoch });
    }
    if acceptance.protocol < counter.minimum_protocol {
        return Ok(Verdict::Downgrade { minimum: counter.minimum_protocol });
    }
    let last = counter.last_nonce;
    if acceptance.nonce <= last {
        let same = acceptance.nonce == last && counter.last_digest == Some(acceptance.packet_digest);
        return Ok(if same { Verdict::Duplicate } else { Verdict::Replay { last } });
    }
    if acceptance.nonce.get() - last.get() > acceptance.nonce_window.into() {
        return Ok(Verdict::Jump { last });
    }

    let received_at = rows::time(acceptance.received_at)?;
    connection
        .prepare_cached(
            "INSERT INTO reading (device, epoch, nonce, received_at, content, previous) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((
            counter.device,
            acceptance.epoch.0,
            rows::number(acceptance.nonce.get())?,
            received_at,
            &acceptance.reading,
            counter.last_reading,
        ))?;
    let advance = Advance {
        nonce: acceptance.nonce,
        digest: acceptance.packet_digest,
        reading: connection.last_insert_rowid(),
        protocol: acceptance.protocol,
        received_at,
    };
    counters.advance(counter.device, advance);
    Ok(Verdict::Accepted)
}

/// The newest readings of a device first.
pub(super) fn readings(
    connection: &Connection,
    counters: &Counters,
    id: &DeviceId,
    limit: usize,
) -> Result<Vec<StoredReading>, StoreError> {
    // The head of the chain, before the transaction that has to see it.
    counters.catch_up(connection)?;
    let device: Option<i64> = connection
        .prepare_cached("SELECT row FROM device WHERE name = ?1")?
        .query_row([id.as_str()], |row| row.get(0))
        .optional()?;
    let Some(device) = device else { return Ok(Vec::new()) };
    let last = counters.last(device).map(|advance| advance.reading);
    // One transaction, so that the chain is not followed into rows that a later one adds.
    let transaction = connection.unchecked_transaction()?;
    let folded: Option<i64> = transaction
        .prepare_cached("SELECT last_reading FROM counter WHERE device = ?1")?
        .query_row([device], |row| row.get(0))?;
    let mut next = last.max(folded);
    let mut found = Vec::new();
    let mut find = transaction
        .prepare_cached("SELECT epoch, nonce, received_at, content, previous FROM reading WHERE row = ?1")?;
    while let (Some(row), true) = (next, found.len() < limit) {
        let Some(link) = find.query_row([row], |row| Ok(rows::reading(row))).optional()? else { break };
        let (reading, previous) = link?;
        found.push(reading);
        next = previous;
    }
    Ok(found)
}
