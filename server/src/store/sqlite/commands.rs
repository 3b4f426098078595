//! Commands in SQLite.

use super::{SqliteStore, audit_log, rows};
use crate::store::commands::{
    Cancelled, CommandQueue, CommandState, Finished, KEPT_COMMANDS, MOST_OPEN, NewCommand, Queued, StoredCommand,
};
use crate::store::{AuditEntry, Pending, StoreError};
use cotter_wire::command::{Command, CommandCounter, CommandResult, MAX_CONTENT, Outcome};
use cotter_wire::ids::{DeviceId, KeyEpoch};
use rusqlite::{Connection, OptionalExtension, Row, named_params};

impl CommandQueue for SqliteStore {
    fn queue_command(&self, command: NewCommand, note: AuditEntry) -> Pending<'_, Queued> {
        self.write(move |connection| queue(connection, &command, note))
    }

    fn open_command(&self, device: DeviceId, epoch: KeyEpoch, now: u64) -> Pending<'_, Option<StoredCommand>> {
        self.read(move |connection| {
            connection
                .prepare_cached(&format!(
                    "{SELECT} AND epoch = ?2 AND state = 0 AND expires > ?3 ORDER BY counter LIMIT 1"
                ))?
                .query_row((device.as_str(), epoch.0, rows::time(now)?), |row| Ok(command(row, device)))
                .optional()?
                .transpose()
        })
    }

    fn deliver_command(&self, device: DeviceId, counter: CommandCounter, at: u64) -> Pending<'_, bool> {
        self.write(move |connection| {
            let delivered = connection
                .prepare_cached(&format!(
                    "UPDATE command SET delivered_at = coalesce(delivered_at, ?3) \
                     WHERE {DEVICE} AND counter = ?2 AND state = 0"
                ))?
                .execute((device.as_str(), counter.0, rows::time(at)?))?;
            Ok(delivered == 1)
        })
    }

    fn finish_command(
        &self,
        device: DeviceId,
        epoch: KeyEpoch,
        result: CommandResult,
        at: u64,
    ) -> Pending<'_, Finished> {
        self.write(move |connection| {
            let Some(stored) = one(connection, device, result.counter)? else { return Ok(Finished::Unknown) };
            if stored.delivered_at.is_none() || stored.epoch != epoch {
                return Ok(Finished::Unknown);
            }
            match stored.state {
                CommandState::Open => {}
                CommandState::Ended(outcome) if outcome == result.outcome && stored.detail == result.detail() => {
                    return Ok(Finished::Same);
                }
                CommandState::Ended(_) | CommandState::Cancelled => return Ok(Finished::Different),
            }
            end(
                connection,
                device,
                result.counter,
                state_number(CommandState::Ended(result.outcome)),
                at,
                result.detail(),
            )?;
            Ok(Finished::Finished)
        })
    }

    fn cancel_command(
        &self,
        device: DeviceId,
        counter: CommandCounter,
        at: u64,
        note: AuditEntry,
    ) -> Pending<'_, Cancelled> {
        self.write(move |connection| {
            let Some(stored) = one(connection, device, counter)? else { return Ok(Cancelled::Unknown) };
            if stored.state != CommandState::Open || stored.new.expires <= at {
                return Ok(Cancelled::Over);
            }
            if stored.delivered_at.is_some() {
                return Ok(Cancelled::Delivered);
            }
            end(connection, device, counter, state_number(CommandState::Cancelled), at, "")?;
            audit_log::append(connection, note)?;
            Ok(Cancelled::Cancelled)
        })
    }

    fn commands(&self, device: DeviceId, limit: usize) -> Pending<'_, Vec<StoredCommand>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(&format!("{SELECT} ORDER BY counter DESC LIMIT ?2"))?;
            let found = statement.query_map((device.as_str(), rows::limit(limit)), |row| Ok(command(row, device)))?;
            found.map(|row| row?).collect()
        })
    }
}

fn queue(connection: &Connection, new: &NewCommand, mut note: AuditEntry) -> Result<Queued, StoreError> {
    let device: Option<(i64, u32)> = connection
        .prepare_cached("SELECT row, epoch FROM device JOIN counter ON counter.device = device.row WHERE name = ?1")?
        .query_row([new.device.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((device, epoch)) = device else { return Ok(Queued::UnknownDevice) };
    let open: i64 = connection
        .prepare_cached("SELECT count(*) FROM command WHERE device = ?1 AND epoch = ?2 AND state = 0 AND expires > ?3")?
        .query_row((device, epoch, rows::time(new.queued_at)?), |row| row.get(0))?;
    if open >= rows::limit(MOST_OPEN) {
        return Ok(Queued::Full);
    }
    // The number outlives the command, and the keys.
    let counter: u32 = connection
        .prepare_cached(
            "INSERT INTO command_counter (device, last) VALUES (?1, 1) \
             ON CONFLICT (device) DO UPDATE SET last = last + 1 RETURNING last",
        )?
        .query_row([device], |row| row.get(0))?;
    let mut content = [0; MAX_CONTENT];
    let content = new.command.encode(&mut content).map_err(|_| rows::corrupt("command.content"))?;
    connection
        .prepare_cached(
            "INSERT INTO command (device, epoch, counter, content, queued_at, queued_by, expires, state, detail) \
             VALUES (:device, :epoch, :counter, :content, :queued_at, :queued_by, :expires, 0, '')",
        )?
        .execute(named_params! {
            ":device": device,
            ":epoch": epoch,
            ":counter": counter,
            ":content": content,
            ":queued_at": rows::time(new.queued_at)?,
            ":queued_by": new.queued_by,
            ":expires": rows::time(new.expires)?,
        })?;
    connection
        .prepare_cached(
            "DELETE FROM command WHERE device = ?1 AND counter NOT IN \
             (SELECT counter FROM command WHERE device = ?1 ORDER BY counter DESC LIMIT ?2)",
        )?
        .execute((device, rows::limit(KEPT_COMMANDS)))?;
    note.detail = format!("{counter}: {}", note.detail);
    audit_log::append(connection, note)?;
    Ok(Queued::Queued(CommandCounter(counter)))
}

fn one(
    connection: &Connection,
    device: DeviceId,
    counter: CommandCounter,
) -> Result<Option<StoredCommand>, StoreError> {
    connection
        .prepare_cached(&format!("{SELECT} AND counter = ?2"))?
        .query_row((device.as_str(), counter.0), |row| Ok(command(row, device)))
        .optional()?
        .transpose()
}

fn end(
    connection: &Connection,
    device: DeviceId,
    counter: CommandCounter,
    state: u8,
    at: u64,
    detail: &str,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(&format!(
            "UPDATE command SET state = ?3, finished_at = ?4, detail = ?5 WHERE {DEVICE} AND counter = ?2"
        ))?
        .execute((device.as_str(), counter.0, state, rows::time(at)?, detail))?;
    Ok(())
}

/// Columns as in [`SELECT`].
fn command(row: &Row<'_>, device: DeviceId) -> Result<StoredCommand, StoreError> {
    let content: Vec<u8> = row.get(2)?;
    let time = |column| -> Result<Option<u64>, StoreError> {
        let at: Option<i64> = row.get(column)?;
        at.map(u64::try_from).transpose().map_err(|_| rows::corrupt("command.time"))
    };
    let state: u8 = row.get(7)?;
    let state = match state {
        0 => CommandState::Open,
        1 => CommandState::Cancelled,
        other => {
            let outcome = Outcome::ALL.into_iter().find(|outcome| other - 2 == outcome.number());
            CommandState::Ended(outcome.ok_or(rows::corrupt("command.state"))?)
        }
    };
    Ok(StoredCommand {
        counter: CommandCounter(row.get(0)?),
        epoch: KeyEpoch(row.get(1)?),
        new: NewCommand {
            device,
            command: Command::decode(&content).map_err(|_| rows::corrupt("command.content"))?,
            queued_at: rows::unsigned(row, 3)?,
            queued_by: row.get(4)?,
            expires: rows::unsigned(row, 5)?,
        },
        delivered_at: time(6)?,
        state,
        finished_at: time(8)?,
        detail: row.get(9)?,
    })
}

fn state_number(state: CommandState) -> u8 {
    match state {
        CommandState::Open => 0,
        CommandState::Cancelled => 1,
        CommandState::Ended(outcome) => 2 + outcome.number(),
    }
}

const DEVICE: &str = "device = (SELECT row FROM device WHERE name = ?1)";

const SELECT: &str = "SELECT counter, epoch, content, queued_at, queued_by, expires, delivered_at, state, finished_at, \
                      detail FROM command WHERE device = (SELECT row FROM device WHERE name = ?1)";
