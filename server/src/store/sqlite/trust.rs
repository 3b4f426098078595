//! Trust statements in SQLite, and where each device is.

use super::counters::Counters;
use super::{SqliteStore, audit_log, rows};
use crate::store::trust::{Acted, Missing, NewStatement, Planned, Signers, StatementRecord, Trusts};
use crate::store::{AuditEntry, Pending, StoreError};
use crate::trust::operation::{Act, Gate, State};
use cotter_wire::ids::{DeviceId, ReleaseId};
use cotter_wire::trust::TrustNumber;
use rusqlite::{Connection, OptionalExtension, Row, named_params};
use std::sync::Arc;

impl Trusts for SqliteStore {
    fn plan_statement(&self, new: NewStatement, note: AuditEntry) -> Pending<'_, Planned> {
        self.write(move |connection| plan(connection, &new, note))
    }

    fn act_on_statement(&self, act: Act, note: AuditEntry) -> Pending<'_, Acted> {
        let counters = Arc::clone(&self.counters);
        self.write(move |connection| change(connection, &counters, act, note))
    }

    fn statements(&self) -> Pending<'_, Vec<StatementRecord>> {
        self.read(|connection| {
            let mut find = connection.prepare_cached(&format!("{SELECT} ORDER BY number"))?;
            find.query_map([], |row| Ok(record(row)))?.map(|row| row?).collect()
        })
    }

    fn statement_after(&self, device: DeviceId, number: TrustNumber, at: u64) -> Pending<'_, Option<Vec<u8>>> {
        Box::pin(async move {
            let look = self.read(move |connection| {
                let next = after(connection, number)?;
                let known = next.as_ref().is_none_or(|next| next.handed);
                Ok((next, known && !is_news(connection, &device, number, at)?))
            });
            let (next, is_known) = look.await?;
            if is_known {
                return Ok(next.map(|next| next.statement));
            }
            self.write(move |connection| {
                says(connection, &device, number, at)?;
                let Some(next) = after(connection, number)? else { return Ok(None) };
                if !next.handed {
                    connection.execute("UPDATE trust_statement SET handed = 1 WHERE row = ?1", [next.row])?;
                }
                Ok(Some(next.statement))
            })
            .await
        })
    }

    fn trust_tallies(&self) -> Pending<'_, Vec<(TrustNumber, u64)>> {
        self.read(|connection| {
            let mut find = connection
                .prepare_cached("SELECT number, devices FROM trust_tally WHERE devices > 0 ORDER BY number")?;
            let found = find.query_map([], |row| Ok((TrustNumber(row.get(0)?), rows::unsigned(row, 1))))?;
            found.map(|row| row.map(|(number, devices)| Ok((number, devices?)))?).collect()
        })
    }

    fn device_trust(&self, device: DeviceId) -> Pending<'_, Option<TrustNumber>> {
        self.read(move |connection| {
            let find = "SELECT coalesce(number, 0) FROM device LEFT JOIN device_trust ON device = device.row \
                        WHERE name = ?1";
            let mut find = connection.prepare_cached(find)?;
            Ok(find.query_row([device.as_str()], |row| Ok(TrustNumber(row.get(0)?))).optional()?)
        })
    }

    fn gate(&self, number: TrustNumber, unseen_since: u64) -> Pending<'_, Gate> {
        let counters = Arc::clone(&self.counters);
        self.read(move |connection| {
            counters.catch_up(connection)?;
            let gate = tallied(connection, number)?;
            Ok(Gate { unseen: unseen(connection, &counters, number, unseen_since)?, ..gate })
        })
    }

    fn missing(&self, number: TrustNumber, after: Option<DeviceId>, limit: usize) -> Pending<'_, Vec<Missing>> {
        let counters = Arc::clone(&self.counters);
        self.read(move |connection| {
            counters.catch_up(connection)?;
            missing(connection, &counters, number, after, limit)
        })
    }

    fn image_signers(&self, release: ReleaseId) -> Pending<'_, Vec<[u8; 32]>> {
        self.read(move |connection| {
            let find = "SELECT digest FROM release_secure_boot WHERE release = ?1 ORDER BY digest";
            let mut find = connection.prepare_cached(find)?;
            Ok(find.query_map([release.0], |row| row.get(0))?.collect::<Result<_, _>>()?)
        })
    }
}

fn plan(connection: &Connection, new: &NewStatement, note: AuditEntry) -> Result<Planned, StoreError> {
    let latest = latest(connection)?;
    let (row, follows, finished) = latest.map_or((0, TrustNumber::BEGINNING, true), |latest| {
        (latest.row, latest.number, latest.state == State::Retired)
    });
    if row != new.basis || !finished || follows.next() != Some(new.number) {
        return Ok(Planned::Changed);
    }
    connection.execute(
        "INSERT INTO trust_statement (number, beginning, statement, state, share, days, handed, created_at, changed_at) \
         VALUES (:number, :beginning, :statement, :state, :share, :days, 0, :at, :at)",
        named_params! {
            ":number": new.number.0,
            ":beginning": new.beginning,
            ":statement": new.statement,
            ":state": State::Planned.as_str(),
            ":share": new.share,
            ":days": new.days,
            ":at": rows::time(new.at)?,
        },
    )?;
    for release in &new.accepts {
        connection
            .prepare_cached("INSERT OR IGNORE INTO release_trust (release, number) VALUES (?1, ?2)")?
            .execute((release.0, new.number.0))?;
    }
    audit_log::append(connection, note)?;
    Ok(Planned::Planned)
}

fn change(connection: &Connection, counters: &Counters, act: Act, note: AuditEntry) -> Result<Acted, StoreError> {
    let Some(found) = latest(connection)? else { return Ok(Acted::Nothing) };
    let (number, at) = (found.number, note.at);
    let mut detail = String::new();
    let state = match (act, found.state) {
        (_, State::Retired | State::Cancelled) => return Ok(Acted::Nothing),
        (Act::Start, State::Planned) => State::Bridging,
        (Act::Cancel, State::Planned | State::Bridging) => {
            // A device that was given it may have followed it, whatever it has said since. One may be ahead of a database
            // that came back from a backup.
            if found.handed || tallied(connection, number)?.adopted > 0 {
                return Ok(Acted::Handed);
            }
            connection.execute("DELETE FROM release_trust WHERE number = ?1", [number.0])?;
            State::Cancelled
        }
        (Act::Retire { leave_behind }, State::Bridging | State::Adopted) => {
            let gate = tallied(connection, number)?;
            if !gate.is_met(found.share) {
                let unseen_since = at.saturating_sub(u64::from(found.days) * 86_400);
                let gate = Gate { unseen: unseen(connection, counters, number, unseen_since)?, ..gate };
                if !leave_behind || !gate.is_met_by_the_seen(found.share) {
                    return Ok(Acted::NotAdopted(gate));
                }
                let left = missing(connection, counters, number, None, MOST_NAMED)?;
                let left: Vec<_> = left.iter().map(|left| left.device.to_string()).collect();
                detail = format!("{} devices are left behind: {}", gate.missing(), left.join(" "));
            }
            State::Retired
        }
        (Act::Start | Act::Cancel | Act::Retire { .. }, state) => return Ok(Acted::Forbidden(state)),
    };
    set(connection, found.row, state, at)?;
    audit_log::append(connection, AuditEntry { subject: number.to_string(), detail, ..note })?;
    if state == State::Bridging {
        settle(connection, at)?;
    }
    let state = latest(connection)?.filter(|now| now.row == found.row).map_or(state, |now| now.state);
    Ok(Acted::To(number, state))
}

fn set(connection: &Connection, row: u32, state: State, at: u64) -> Result<(), StoreError> {
    connection.prepare_cached("UPDATE trust_statement SET state = ?1, changed_at = ?2 WHERE row = ?3")?.execute((
        state.as_str(),
        rows::time(at)?,
        row,
    ))?;
    Ok(())
}

/// What follows when devices have come further: the server itself notes that enough of them have followed the statement.
fn settle(connection: &Connection, at: u64) -> Result<(), StoreError> {
    let Some(found) = latest(connection)?.filter(|latest| latest.state == State::Bridging) else { return Ok(()) };
    let gate = tallied(connection, found.number)?;
    if !gate.is_met(found.share) {
        return Ok(());
    }
    set(connection, found.row, State::Adopted, at)?;
    audit_log::append(
        connection,
        AuditEntry {
            at,
            by: String::new(),
            subject: found.number.to_string(),
            event: "trust-adopted".into(),
            detail: gate.to_string(),
        },
    )?;
    Ok(())
}

/// Whether a device says something that is not noted: another number, or anything after a while.
pub(super) fn is_news(
    connection: &Connection,
    device: &DeviceId,
    number: TrustNumber,
    at: u64,
) -> Result<bool, StoreError> {
    let find = "SELECT number, seen_at FROM device_trust WHERE device = (SELECT row FROM device WHERE name = ?1)";
    let mut find = connection.prepare_cached(find)?;
    let known =
        find.query_row([device.as_str()], |row| Ok((row.get::<_, u32>(0)?, rows::unsigned(row, 1)))).optional()?;
    let Some((known, seen_at)) = known else { return Ok(true) };
    Ok(known != number.0 || at.saturating_sub(seen_at?) >= SEEN_EVERY)
}

/// Notes where a device is, and does what follows.
pub(super) fn says(connection: &Connection, device: &DeviceId, number: TrustNumber, at: u64) -> Result<(), StoreError> {
    let find = "SELECT row, coalesce(number, 0), lowered_at FROM device \
                LEFT JOIN device_trust ON device_trust.device = device.row WHERE name = ?1";
    let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, u32>(1)?, row.get::<_, Option<i64>>(2)?));
    let found = connection.prepare_cached(find)?.query_row([device.as_str()], read).optional()?;
    let Some((row, before, mut lowered_at)) = found else { return Ok(()) };
    let now = rows::time(at)?;
    if number.0 < before && lowered_at.is_none_or(|last| now.saturating_sub(last) >= BETWEEN_ALARMS) {
        lowered_at = Some(now);
        audit_log::append(
            connection,
            AuditEntry {
                at,
                by: device.to_string(),
                subject: device.to_string(),
                event: "trust-lowered".into(),
                detail: format!("trusts number {number}, had followed {before}"),
            },
        )?;
    }
    connection
        .prepare_cached(
            "INSERT INTO device_trust (device, number, seen_at, lowered_at) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (device) DO UPDATE SET number = ?2, seen_at = ?3, lowered_at = ?4",
        )?
        .execute((row, number.0, now, lowered_at))?;
    if number.0 != before {
        tally(connection, before, -1)?;
        tally(connection, number.0, 1)?;
        settle(connection, at)?;
    }
    Ok(())
}

/// A device was enrolled: it is at the beginning.
pub(super) fn enrolled(connection: &Connection) -> Result<(), StoreError> {
    tally(connection, TrustNumber::BEGINNING.0, 1)
}

fn tally(connection: &Connection, number: u32, by: i32) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO trust_tally (number, devices) VALUES (?1, ?2) \
             ON CONFLICT (number) DO UPDATE SET devices = devices + ?2",
        )?
        .execute((number, by))?;
    Ok(())
}

/// Without those who were not seen.
fn tallied(connection: &Connection, number: TrustNumber) -> Result<Gate, StoreError> {
    let find = "SELECT coalesce(sum(devices), 0), coalesce(sum(CASE WHEN number >= ?1 THEN devices ELSE 0 END), 0) \
                FROM trust_tally";
    let mut find = connection.prepare_cached(find)?;
    find.query_row([number.0], |row| Ok((rows::unsigned(row, 0), rows::unsigned(row, 1))))
        .map(|(devices, adopted)| Ok(Gate { devices: devices?, adopted: adopted?, unseen: 0 }))?
}

/// Of the devices below `number`, those that were not seen since.
fn unseen(connection: &Connection, counters: &Counters, number: TrustNumber, since: u64) -> Result<u64, StoreError> {
    let since = rows::time(since)?;
    let find = format!("SELECT row FROM ({SELECT_SEEN} WHERE coalesce(number, 0) < ?1) WHERE seen < ?2");
    let mut find = connection.prepare_cached(&find)?;
    let mut found = find.query((number.0, since))?;
    let mut count = 0;
    while let Some(row) = found.next()? {
        let last = counters.last(row.get(0)?);
        count += u64::from(last.is_none_or(|last| last.received_at < since));
    }
    Ok(count)
}

fn missing(
    connection: &Connection,
    counters: &Counters,
    number: TrustNumber,
    after: Option<DeviceId>,
    limit: usize,
) -> Result<Vec<Missing>, StoreError> {
    let find = format!("{SELECT_SEEN} WHERE coalesce(number, 0) < ?1 AND name > ?2 ORDER BY name LIMIT ?3");
    let mut find = connection.prepare_cached(&find)?;
    let after = after.as_ref().map_or("", DeviceId::as_str);
    let read = |row: &Row<'_>| {
        let name: String = row.get(0)?;
        let device = name.parse().map_err(|_| rows::corrupt("device.name"))?;
        let last = counters.last(row.get(3)?).and_then(|last| u64::try_from(last.received_at).ok());
        let seen_at = rows::unsigned(row, 2)?.max(last.unwrap_or(0));
        Ok::<_, StoreError>(Missing { device, number: TrustNumber(row.get(1)?), seen_at })
    };
    let found = find.query_map((number.0, after, rows::limit(limit)), |row| Ok(read(row)))?;
    found.map(|row| row?).collect()
}

/// Whether no statement has come since it was found out who signed.
pub(super) fn is_current(connection: &Connection, signers: &Signers) -> Result<bool, StoreError> {
    Ok(latest(connection)?.map_or(0, |latest| latest.row) == signers.basis)
}

/// Notes who signed a new release.
pub(super) fn signed(connection: &Connection, release: ReleaseId, signers: &Signers) -> Result<(), StoreError> {
    for number in &signers.numbers {
        connection
            .prepare_cached("INSERT INTO release_trust (release, number) VALUES (?1, ?2)")?
            .execute((release.0, number.0))?;
    }
    for digest in &signers.secure_boot {
        connection
            .prepare_cached("INSERT OR IGNORE INTO release_secure_boot (release, digest) VALUES (?1, ?2)")?
            .execute((release.0, digest))?;
    }
    Ok(())
}

/// The first number whose devices would refuse a release that is to go out now. From the start of a change of keys to its
/// end, both sides must believe it.
pub(super) fn refused_at(connection: &Connection, release: ReleaseId) -> Result<Option<TrustNumber>, StoreError> {
    let latest = latest(connection)?.map_or((0, State::Retired), |latest| (latest.number.0, latest.state));
    let numbers = match latest {
        (number, State::Retired | State::Cancelled) => number..=number,
        (number, State::Planned) => number.saturating_sub(1)..=number.saturating_sub(1),
        (number, State::Bridging | State::Adopted) => number.saturating_sub(1)..=number,
    };
    let find = "SELECT EXISTS (SELECT 1 FROM release_trust WHERE release = ?1 AND number = ?2)";
    let mut find = connection.prepare_cached(find)?;
    for number in numbers {
        if !find.query_row((release.0, number), |row| row.get::<_, bool>(0))? {
            return Ok(Some(TrustNumber(number)));
        }
    }
    Ok(None)
}

/// The latest statement that was not cancelled.
fn latest(connection: &Connection) -> Result<Option<StatementRecord>, StoreError> {
    let mut find = connection.prepare_cached(&format!("{SELECT} ORDER BY number DESC LIMIT 1"))?;
    find.query_row([], |row| Ok(record(row))).optional()?.transpose()
}

/// The statement that devices at `number` are given.
fn after(connection: &Connection, number: TrustNumber) -> Result<Option<StatementRecord>, StoreError> {
    let Some(next) = number.next() else { return Ok(None) };
    let mut find = connection.prepare_cached(&format!("{SELECT} AND number = ?1"))?;
    let found = find.query_row([next.0], |row| Ok(record(row))).optional()?.transpose()?;
    Ok(found.filter(|found| found.state.is_given_out()))
}

/// Columns as in `SELECT`.
fn record(row: &Row<'_>) -> Result<StatementRecord, StoreError> {
    let state: String = row.get(3)?;
    Ok(StatementRecord {
        row: row.get(0)?,
        number: TrustNumber(row.get(1)?),
        statement: row.get(2)?,
        state: State::from_name(&state).ok_or(rows::corrupt("trust_statement.state"))?,
        share: row.get(4)?,
        days: row.get(5)?,
        handed: row.get(6)?,
        created_at: rows::unsigned(row, 7)?,
        changed_at: rows::unsigned(row, 8)?,
        beginning: row.get(9)?,
    })
}

const SELECT: &str = "SELECT row, number, statement, state, share, days, handed, created_at, changed_at, beginning \
                      FROM trust_statement WHERE state <> 'cancelled'";

/// Name, number, when a device was enrolled, asked or measured last (as far as that is folded), and its row.
const SELECT_SEEN: &str = "SELECT name, coalesce(number, 0), max(enrolled_at, coalesce(seen_at, 0), \
                           coalesce(received_at, 0)) AS seen, device.row AS row FROM device \
                           LEFT JOIN device_trust ON device_trust.device = device.row \
                           LEFT JOIN counter ON counter.device = device.row \
                           LEFT JOIN reading ON reading.row = counter.last_reading";

/// Seconds between two notes that a device was seen.
const SEEN_EVERY: u64 = 12 * 3600;
/// Seconds between two alarms about the same device.
const BETWEEN_ALARMS: i64 = 3600;
/// Devices that the audit log names.
const MOST_NAMED: usize = 100;
