//! Where the packets of each device stand: a table, a log in front of it, and in memory what the log holds.
//!
//! Of a million devices, the counters lie on 15,000 pages. If each accepted packet changed its row, nearly each would
//! bring a page of 4 KiB to the disk, twice: into SQLite's log and from there into the table. So
//!
//! 1. the transaction that stores readings appends their counters, all together, as one row to `counter_log`;
//! 2. [`Counters`] keeps in memory what the log holds. Of a counter, the one that counts is the one with the newer reading;
//!    of the same one, that of the table: readings are numbered upwards, and whoever else changes a counter (a new epoch,
//!    a minimum protocol) [settles](Counters::settle) it first;
//! 3. after [`GENERATION`] packets, what has come together is folded into the table in the order of its rows, where many lie
//!    on one page, a slice with each transaction that follows. Once all of it is there, its rows of the log are deleted.
//!
//! So nothing is believed that is not on the disk in the transaction of its reading, and a crash loses nothing: whoever
//! opens the database reads the log. Another process may work on the same database, as servers side by side do: each reads
//! what is new in the log before it decides, under the lock of the database, and folds all that it deletes.

use super::rows;
use crate::store::StoreError;
use cotter_wire::ids::{KeyEpoch, Protocol, Sequence};
use rusqlite::Connection;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Where the packets of one device stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counter {
    /// The device's row.
    pub(super) device: i64,
    pub(super) epoch: KeyEpoch,
    pub(super) last_nonce: Sequence,
    pub(super) last_digest: Option<[u8; 32]>,
    /// The head of its chain of readings.
    pub(super) last_reading: Option<i64>,
    pub(super) minimum_protocol: Protocol,
}

/// What an accepted packet has made of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Advance {
    pub(super) nonce: Sequence,
    pub(super) digest: [u8; 32],
    /// Row of its reading.
    pub(super) reading: i64,
    pub(super) protocol: Protocol,
    /// Unix seconds.
    pub(super) received_at: i64,
}

impl Counter {
    fn advanced(self, advance: Option<Advance>) -> Self {
        match advance.filter(|advance| self.last_reading.is_none_or(|last| last < advance.reading)) {
            None => self,
            Some(advance) => Self {
                last_nonce: advance.nonce,
                last_digest: Some(advance.digest),
                last_reading: Some(advance.reading),
                minimum_protocol: self.minimum_protocol.max(advance.protocol),
                ..self
            },
        }
    }
}

/// What the log of counters holds.
pub(super) struct Counters {
    state: Mutex<State>,
    generation: usize,
}

/// Only the writer changes `pending`, `old` and what is counted; anybody may find that there is more in the log.
#[derive(Default)]
struct State {
    /// Of the open transaction, by device.
    pending: HashMap<i64, Advance>,
    /// How far the open transaction goes.
    step: Step,
    /// Since the last generation was closed.
    young: HashMap<i64, Advance>,
    weight: Weight,
    /// Everything up to this row of the log is here, or folded.
    through: i64,
    old: Generation,
}

/// What is being folded.
#[derive(Default)]
struct Generation {
    /// In the order of devices.
    advances: Vec<(i64, Advance)>,
    folded: usize,
    weight: Weight,
    /// The log's rows up to this one are its own.
    through: i64,
    trimmed: usize,
}

/// How much log there is.
#[derive(Debug, Clone, Copy, Default)]
struct Weight {
    rows: usize,
    advances: usize,
}

/// What becomes true if the transaction commits.
#[derive(Debug, Clone, Copy, Default)]
struct Step {
    row: i64,
    folded: usize,
    trimmed: usize,
}

impl Counters {
    /// Folds after so many packets; empty.
    pub(super) fn new(generation: usize) -> Self {
        Self { state: Mutex::default(), generation }
    }

    /// Reads what is new in the log: at the beginning, and what other processes have appended.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], or whatever SQLite reports.
    pub(super) fn catch_up(&self, connection: &Connection) -> Result<(), StoreError> {
        let after = self.state().through;
        let mut find = connection.prepare_cached("SELECT row, entries FROM counter_log WHERE row > ?1 ORDER BY row")?;
        let mut found = find.query([after])?;
        while let Some(next) = found.next()? {
            let advances = decoded(next.get_ref(1)?.as_blob().map_err(|_| corrupt())?)?;
            self.state().take(next.get(0)?, advances);
        }
        Ok(())
    }

    /// A counter as it is, given how it is in the table; with what the open transaction has done. Only the writer asks.
    pub(super) fn present(&self, folded: Counter) -> Counter {
        folded.advanced(self.state().present(folded.device))
    }

    /// A counter as it was committed, given how it is in the table. It may be newer than what else was read there.
    pub(super) fn committed(&self, folded: Counter) -> Counter {
        folded.advanced(self.last(folded.device))
    }

    /// The last packet of a device that the table may not know, if it was committed.
    pub(super) fn last(&self, device: i64) -> Option<Advance> {
        self.state().committed(device)
    }

    /// Notes an accepted packet, for the open transaction.
    pub(super) fn advance(&self, device: i64, advance: Advance) {
        self.state().pending.insert(device, advance);
    }

    /// Brings the counter of a device up to date in the table, for whoever is about to change it there.
    ///
    /// # Errors
    /// Whatever SQLite reports.
    pub(super) fn settle(&self, connection: &Connection, device: i64) -> Result<(), StoreError> {
        let advance = self.state().present(device);
        advance.map_or(Ok(()), |advance| fold(connection, device, &advance))
    }

    /// The last of a transaction: appends what it has accepted, and folds a slice of what is old.
    ///
    /// # Errors
    /// Whatever SQLite reports.
    pub(super) fn append(&self, connection: &Connection) -> Result<(), StoreError> {
        let (step, entries, slice, old) = {
            let state = self.state();
            let Some(row) = state.pending.values().map(|advance| advance.reading).max() else { return Ok(()) };
            let entries: Vec<u8> =
                state.pending.iter().flat_map(|(device, advance)| encoded(*device, advance)).collect();
            let slice = state.old.slice(PACE * state.pending.len()).to_vec();
            let trim = state.old.rows_of(PACE * state.pending.len());
            (Step { row, folded: slice.len(), trimmed: trim }, entries, slice, state.old.through)
        };
        connection
            .prepare_cached("INSERT INTO counter_log (row, entries) VALUES (?1, ?2)")?
            .execute((step.row, entries))?;
        for (device, advance) in &slice {
            fold(connection, *device, advance)?;
        }
        if step.trimmed > 0 {
            // Another process may have deleted them.
            connection
                .prepare_cached(
                    "DELETE FROM counter_log WHERE row IN \
                     (SELECT row FROM counter_log WHERE row <= ?1 ORDER BY row LIMIT ?2)",
                )?
                .execute((old, rows::limit(step.trimmed)))?;
        }
        self.state().step = step;
        Ok(())
    }

    /// What has become of the transaction.
    pub(super) fn ended(&self, committed: bool) {
        let mut state = self.state();
        let state = &mut *state;
        let step = std::mem::take(&mut state.step);
        if !committed {
            state.pending.clear();
            return;
        }
        if state.pending.is_empty() {
            return;
        }
        let mut pending = std::mem::take(&mut state.pending);
        state.take(step.row, pending.drain());
        // Its memory is used again.
        state.pending = pending;
        state.old.folded += step.folded;
        state.old.trimmed += step.trimmed;
        if state.weight.advances >= self.generation && state.old.is_over() {
            let mut advances: Vec<_> = state.young.drain().collect();
            advances.sort_unstable_by_key(|(device, _)| *device);
            let (weight, through) = (std::mem::take(&mut state.weight), state.through);
            state.old = Generation { advances, folded: 0, weight, through, trimmed: 0 };
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics halfway through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn present(&self, device: i64) -> Option<Advance> {
        self.pending.get(&device).copied().or_else(|| self.committed(device))
    }

    fn committed(&self, device: i64) -> Option<Advance> {
        self.young.get(&device).copied().or_else(|| self.old.find(device))
    }

    /// Takes a row of the log in, if it is new.
    fn take(&mut self, row: i64, advances: impl IntoIterator<Item = (i64, Advance)>) {
        if row <= self.through {
            return;
        }
        self.through = row;
        self.weight.rows += 1;
        for (device, advance) in advances {
            self.weight.advances += 1;
            self.young.insert(device, advance);
        }
    }
}

impl Generation {
    fn find(&self, device: i64) -> Option<Advance> {
        let place = self.advances.binary_search_by_key(&device, |(device, _)| *device).ok()?;
        self.advances.get(place).map(|(_, advance)| *advance)
    }

    /// What is to be folded next.
    fn slice(&self, most: usize) -> &[(i64, Advance)] {
        let rest = self.advances.get(self.folded..).unwrap_or_default();
        rest.get(..most).unwrap_or(rest)
    }

    /// How many rows of the log hold about so many advances; none before all are folded, or after all are deleted.
    fn rows_of(&self, advances: usize) -> usize {
        let Weight { rows, advances: all } = self.weight;
        if self.folded < self.advances.len() || self.is_over() {
            return 0;
        }
        (advances * rows).div_ceil(all.max(1)).min(rows - self.trimmed)
    }

    fn is_over(&self) -> bool {
        self.folded >= self.advances.len() && self.trimmed >= self.weight.rows
    }
}

/// Brings a row of the table up to date, unless it is.
fn fold(connection: &Connection, device: i64, advance: &Advance) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE counter SET folded_nonce = ?2, last_digest = ?3, last_reading = ?4, \
             minimum_protocol = max(minimum_protocol, ?5) WHERE device = ?1 AND coalesce(last_reading, 0) < ?4",
        )?
        .execute((
            device,
            rows::number(advance.nonce.get())?,
            advance.digest,
            advance.reading,
            advance.protocol.get(),
        ))?;
    Ok(())
}

/// Big endian: device (8 bytes), reading (8), nonce (8), time (8), protocol (1); digest (32).
fn encoded(device: i64, advance: &Advance) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    let numbers = [device, advance.reading, advance.nonce.get().cast_signed(), advance.received_at];
    let (head, digest) = entry.split_at_mut(ENTRY - 32);
    for (to, number) in head.chunks_exact_mut(8).zip(numbers) {
        to.copy_from_slice(&number.to_be_bytes());
    }
    head[32] = advance.protocol.get();
    digest.copy_from_slice(&advance.digest);
    entry
}

fn decoded(entries: &[u8]) -> Result<Vec<(i64, Advance)>, StoreError> {
    let (whole, rest) = entries.as_chunks::<ENTRY>();
    let entry = |entry: &[u8; ENTRY]| {
        let [device, reading, nonce, received_at] = *entry.as_chunks::<8>().0.first_chunk()?;
        let (protocol, digest) = entry.get(32..)?.split_first()?;
        let advance = Advance {
            nonce: Sequence::new(u64::from_be_bytes(nonce))?,
            digest: digest.try_into().ok()?,
            reading: i64::from_be_bytes(reading),
            protocol: Protocol::new(*protocol)?,
            received_at: i64::from_be_bytes(received_at),
        };
        Some((i64::from_be_bytes(device), advance))
    };
    let found: Option<Vec<_>> = whole.iter().map(entry).collect();
    found.filter(|_| rest.is_empty()).ok_or(corrupt())
}

const fn corrupt() -> StoreError {
    rows::corrupt("counter_log.entries")
}

/// Packets after which they are folded. Of a million devices, six or seven then lie on one page. Twice as many may be in
/// memory, 80 bytes each.
pub(super) const GENERATION: usize = 100_000;
/// Advances that are folded, and then deleted, for each packet that comes in: a generation is over before the next is full.
const PACE: usize = 2;
/// Bytes.
const ENTRY: usize = 65;

#[cfg(test)]
mod tests;
