//! The store in one SQLite file: WAL, `synchronous=FULL`, one writer thread with group commit, a few readers.

mod audit_log;
mod bridge;
mod commands;
mod counters;
mod device_keys;
mod ecowatt;
mod epoch;
mod inventory;
mod keys;
mod offers;
mod packets;
mod protocol;
mod readers;
mod rollouts;
mod rotations;
mod rows;
pub(crate) mod sealed;
pub mod snapshot;
mod tokens;
mod trust;

use super::group_commit::{Around, Writer};
use super::{
    Acceptance, AuditEntry, DeviceRecord, Enrolled, Pending, Published, ReleaseAdded, ReleaseRecord, StatusRecord,
    Store, StoreError, StoredDevice, StoredReading, TokenAdded, TokenRevoked, Verdict,
};
use crate::admin_token::{TokenHash, TokenRecord};
use crate::administrator::AdminName;
use crate::audit::note::NoteSigner;
use crate::metrics::Commits;
use crate::store::rollouts::Reported;
use crate::store::trust::Signers;
use cotter_formats::chip::Chip;
use cotter_wire::ids::{DeviceId, ReleaseId, SecureVersion};
use cotter_wire::version::Version;
use counters::{Counters, GENERATION};
use readers::{Readers, View};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, named_params};
use std::path::Path;
use std::sync::Arc;

mod migrations {
    refinery::embed_migrations!("migrations");
}

/// A store in one file.
///
/// Dropping it leaves that one file: who closes the last connection moves the log into the database. Of two that close at
/// once each sees the other, and neither does. So the readers go first, and the writer, which is one, last.
pub struct SqliteStore {
    readers: Readers,
    writer: Writer,
    counters: Arc<Counters>,
}

/// What each transaction begins and ends with.
struct Frame {
    counters: Arc<Counters>,
    signer: NoteSigner,
}

impl Around for Frame {
    fn first(&mut self, connection: &Connection) -> Result<(), StoreError> {
        self.counters.catch_up(connection)
    }

    fn last(&mut self, connection: &Connection) -> Result<(), StoreError> {
        self.counters.append(connection)?;
        audit_log::sign(connection, &self.signer)
    }

    fn ended(&mut self, committed: bool) {
        self.counters.ended(committed);
    }
}

impl SqliteStore {
    /// Opens or creates the database at `path` and brings its tables up to date. `signer` signs the audit log.
    ///
    /// # Errors
    /// Whatever SQLite or a migration reports; nothing has been started then.
    pub fn open(path: &Path, signer: NoteSigner) -> Result<Self, StoreError> {
        Self::folding_after(GENERATION, path, signer)
    }

    fn folding_after(generation: usize, path: &Path, signer: NoteSigner) -> Result<Self, StoreError> {
        let mut connection = connect(path)?;
        migrations::migrations::runner().run(&mut connection).map_err(Box::new)?;
        audit_log::import(&connection)?;
        audit_log::sign(&connection, &signer)?;
        let counters = Arc::new(Counters::new(generation));
        counters.catch_up(&connection)?;
        connection.pragma_update(None, "cache_size", WRITER_CACHE_KIB)?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        let frame = Frame { counters: Arc::clone(&counters), signer };
        let writer = Writer::start(connection, frame).map_err(StoreError::File)?;
        Ok(Self { readers: Readers::start(path).map_err(StoreError::File)?, writer, counters })
    }

    /// What the writer counts.
    #[must_use]
    pub const fn commits(&self) -> &Commits {
        self.writer.commits()
    }

    /// Runs `work` in the shared transaction and resolves after its commit.
    fn write<T, F>(&self, work: F) -> Pending<'_, T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let answer = self.writer.submit(work);
        Box::pin(async move { answer?.await.map_err(|_| StoreError::NotCommitted)? })
    }

    /// Runs `work` on a reader's connection.
    fn read<T, F>(&self, work: F) -> Pending<'_, T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let answer = self.readers.ask(View::Own, work);
        Box::pin(async move { answer?.await.map_err(|_| StoreError::Unavailable)? })
    }
}

/// Reads the audit log of a database without touching it, also while a server runs on it: hands out each line, then
/// returns the checkpoint over just these lines.
///
/// # Errors
/// Whatever SQLite reports, and what `each` does.
pub fn export_audit_log(
    path: &Path,
    mut each: impl FnMut(String) -> std::io::Result<()>,
) -> Result<String, StoreError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    // One view of lines and checkpoint.
    let view = connection.unchecked_transaction()?;
    let checkpoint = audit_log::checkpoint(&view)?;
    audit_log::lines(&view, 0, usize::MAX, |line| each(line).map_err(StoreError::File))?;
    Ok(checkpoint)
}

impl Store for SqliteStore {
    fn accept_once(&self, acceptance: Acceptance) -> Pending<'_, Verdict> {
        // Every refusal comes before the first change.
        let counters = Arc::clone(&self.counters);
        let answer =
            self.writer.submit_checked(move |connection| packets::accept_once(connection, &counters, &acceptance));
        Box::pin(async move { answer?.await.map_err(|_| StoreError::NotCommitted)? })
    }

    fn enrol(&self, device: DeviceRecord, note: AuditEntry) -> Pending<'_, Enrolled> {
        let counters = Arc::clone(&self.counters);
        self.write(move |connection| {
            let enrolled = enrol(connection, &counters, &device)?;
            if !matches!(enrolled, Enrolled::Stale { .. }) {
                audit_log::append(connection, note)?;
            }
            Ok(enrolled)
        })
    }

    fn device(&self, id: DeviceId) -> Pending<'_, Option<StoredDevice>> {
        let counters = Arc::clone(&self.counters);
        let answer = self.readers.ask(View::Shared, move |connection| {
            counters.catch_up(connection)?;
            let mut statement = connection.prepare_cached(&format!("{SELECT_DEVICE} WHERE name = ?1"))?;
            statement.query_row([id.as_str()], |row| Ok(rows::device(row, &counters))).optional()?.transpose()
        });
        Box::pin(async move { answer?.await.map_err(|_| StoreError::Unavailable)? })
    }

    fn readings(&self, id: DeviceId, limit: usize) -> Pending<'_, Vec<StoredReading>> {
        let counters = Arc::clone(&self.counters);
        self.read(move |connection| packets::readings(connection, &counters, &id, limit))
    }

    fn add_release(&self, release: ReleaseRecord, signers: Signers, note: AuditEntry) -> Pending<'_, ReleaseAdded> {
        self.write(move |connection| {
            let added = add_release(connection, &release, &signers)?;
            if added == ReleaseAdded::Added {
                audit_log::append(connection, note)?;
            }
            Ok(added)
        })
    }

    fn publish_release(&self, id: ReleaseId, at: u64, note: AuditEntry) -> Pending<'_, Published> {
        self.write(move |connection| {
            let published = publish_release(connection, id, at)?;
            if published == Published::Published {
                rollouts::publish(connection, id, at)?;
                audit_log::append(connection, note)?;
            }
            Ok(published)
        })
    }

    fn release(&self, id: ReleaseId) -> Pending<'_, Option<ReleaseRecord>> {
        self.read(move |connection| release(connection, id))
    }

    fn newest_release(&self, project: String, chip: Chip) -> Pending<'_, Option<ReleaseRecord>> {
        self.read(move |connection| newest_release(connection, &project, chip))
    }

    fn record_status(&self, status: StatusRecord) -> Pending<'_, Reported> {
        self.write(move |connection| {
            let added = connection
                .prepare_cached(
                    "INSERT INTO update_status (device, report, received_at) \
                     SELECT row, :report, :received_at FROM device WHERE name = :device",
                )?
                .execute(named_params! {
                    ":device": status.device.as_str(),
                    ":report": rows::report_text(&status.report)?,
                    ":received_at": rows::time(status.received_at)?,
                })?;
            if added != 1 {
                return Err(StoreError::UnknownDevice);
            }
            connection
                .prepare_cached(
                    "DELETE FROM update_status WHERE device = (SELECT row FROM device WHERE name = ?1) AND row <= \
                     (SELECT row FROM update_status WHERE device = (SELECT row FROM device WHERE name = ?1) \
                     ORDER BY row DESC LIMIT 1 OFFSET ?2)",
                )?
                .execute((status.device.as_str(), MOST_REPORTS))?;
            offers::report(connection, &status)
        })
    }

    fn status_history(&self, id: DeviceId, limit: usize) -> Pending<'_, Vec<StatusRecord>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT report, received_at FROM update_status \
                 WHERE device = (SELECT row FROM device WHERE name = ?1) ORDER BY row DESC LIMIT ?2",
            )?;
            let rows = statement.query_map((id.as_str(), rows::limit(limit)), |row| Ok(rows::status(row, id)))?;
            rows.map(|row| row?).collect()
        })
    }

    fn append_audit(&self, entry: AuditEntry) -> Pending<'_, u64> {
        self.write(move |connection| audit_log::append(connection, entry))
    }

    fn add_token(&self, token: TokenRecord, note: AuditEntry) -> Pending<'_, TokenAdded> {
        self.write(move |connection| tokens::add(connection, &token, note))
    }

    fn revoke_token(&self, name: AdminName, note: AuditEntry) -> Pending<'_, TokenRevoked> {
        self.write(move |connection| tokens::revoke(connection, &name, note))
    }

    fn token(&self, hash: TokenHash) -> Pending<'_, Option<TokenRecord>> {
        self.read(move |connection| tokens::by_hash(connection, hash))
    }

    fn tokens(&self) -> Pending<'_, Vec<TokenRecord>> {
        self.read(tokens::all)
    }

    fn audit_lines(&self, from: u64, limit: usize) -> Pending<'_, Vec<String>> {
        self.read(move |connection| {
            let mut lines = Vec::new();
            if i64::try_from(from).is_err() {
                // Nobody has written so many.
                return Ok(lines);
            }
            audit_log::lines(connection, from, limit, |line| {
                lines.push(line);
                Ok(())
            })?;
            Ok(lines)
        })
    }

    fn audit_checkpoint(&self) -> Pending<'_, String> {
        self.read(audit_log::checkpoint)
    }

    fn kept_checkpoint(&self) -> Pending<'_, String> {
        self.read(audit_log::kept)
    }

    fn keep_checkpoint(&self, note: String) -> Pending<'_, ()> {
        self.write(move |connection| audit_log::keep(connection, &note))
    }

    fn check(&self) -> Pending<'_, ()> {
        // An empty transaction: it goes through the queue, BEGIN IMMEDIATE and COMMIT, but writes nothing, because
        // strangers may ask. So a full disk shows in what became of the last one that wrote.
        let failing = self.writer.is_failing();
        self.write(move |_| if failing { Err(StoreError::NotCommitted) } else { Ok(()) })
    }
}

fn enrol(connection: &Connection, counters: &Counters, device: &DeviceRecord) -> Result<Enrolled, StoreError> {
    let known = rows::counter_of(connection, device.id)?;
    let columns = named_params! {
        ":name": device.id.as_str(),
        ":chip": device.chip.name(),
        ":mac": device.mac,
        ":sealed_root_key": device.sealed_root_key,
        ":nonce_floor": device.nonce_floor.0,
        ":secure_boot_digest": device.secure_boot_digest,
        ":enrolled_at": rows::time(device.enrolled_at)?,
    };
    match known {
        Some(counter) if counter.epoch >= device.epoch => Ok(Enrolled::Stale { current: counter.epoch }),
        Some(counter) => {
            connection.execute(
                "UPDATE device SET chip = :chip, mac = :mac, sealed_root_key = :sealed_root_key, \
                 nonce_floor = :nonce_floor, secure_boot_digest = :secure_boot_digest, enrolled_at = :enrolled_at, \
                 rotated_at = NULL WHERE name = :name",
                columns,
            )?;
            counters.settle(connection, counter.device)?;
            connection.execute(
                "UPDATE counter SET epoch = ?1, folded_nonce = ?2, last_digest = NULL WHERE device = ?3",
                (device.epoch.0, device.nonce_floor.0, counter.device),
            )?;
            rotations::end(connection, counter.device)?;
            Ok(Enrolled::NewEpoch)
        }
        None => {
            connection
                .prepare_cached(
                    "INSERT INTO device \
                     (name, chip, mac, sealed_root_key, nonce_floor, secure_boot_digest, enrolled_at) VALUES \
                     (:name, :chip, :mac, :sealed_root_key, :nonce_floor, :secure_boot_digest, :enrolled_at)",
                )?
                .execute(columns)?;
            connection
                .prepare_cached("INSERT INTO counter (device, epoch, folded_nonce) VALUES (?1, ?2, ?3)")?
                .execute((connection.last_insert_rowid(), device.epoch.0, device.nonce_floor.0))?;
            trust::enrolled(connection)?;
            Ok(Enrolled::New)
        }
    }
}

fn add_release(connection: &Connection, new: &ReleaseRecord, signers: &Signers) -> Result<ReleaseAdded, StoreError> {
    if release(connection, new.id)?.is_some() {
        return Ok(ReleaseAdded::AlreadyThere);
    }
    if let Some((newest, secure_version)) = newer_than(connection, new)? {
        return Ok(ReleaseAdded::NotNewer { newest, secure_version });
    }
    let taken: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM firmware_release WHERE project = ?1 AND chip = ?2 AND version = ?3)",
        (&new.project, new.chip.name(), rows::version_number(new.version)),
        |row| row.get(0),
    )?;
    if taken {
        return Ok(ReleaseAdded::VersionTaken);
    }
    if !trust::is_current(connection, signers)? {
        return Ok(ReleaseAdded::TrustChanged);
    }
    connection.execute(
        "INSERT INTO firmware_release (id, project, chip, version, secure_version, expires, encrypted_size, \
         envelope, sealed_content_key, published_at) VALUES (:id, :project, :chip, :version, \
         :secure_version, :expires, :encrypted_size, :envelope, :sealed_content_key, NULL)",
        named_params! {
            ":id": new.id.0,
            ":project": new.project,
            ":chip": new.chip.name(),
            ":version": rows::version_number(new.version),
            ":secure_version": new.secure_version.0,
            ":expires": rows::time(new.expires)?,
            ":encrypted_size": new.encrypted_size,
            ":envelope": new.envelope,
            ":sealed_content_key": new.sealed_content_key,
        },
    )?;
    trust::signed(connection, new.id, signers)?;
    Ok(ReleaseAdded::Added)
}

fn publish_release(connection: &Connection, id: ReleaseId, at: u64) -> Result<Published, StoreError> {
    let Some(found) = release(connection, id)? else { return Ok(Published::UnknownRelease) };
    if found.published_at.is_some() {
        return Ok(Published::AlreadyPublished);
    }
    if let Some((newest, secure_version)) = newer_than(connection, &found)? {
        return Ok(Published::NotNewer { newest, secure_version });
    }
    if let Some(number) = trust::refused_at(connection, id)? {
        return Ok(Published::RefusedAt(number));
    }
    connection.execute("UPDATE firmware_release SET published_at = ?1 WHERE id = ?2", (rows::time(at)?, id.0))?;
    Ok(Published::Published)
}

/// The newest published release of the same project and chip, if it forbids `new`.
fn newer_than(connection: &Connection, new: &ReleaseRecord) -> Result<Option<(Version, SecureVersion)>, StoreError> {
    let newest = newest_release(connection, &new.project, new.chip)?;
    Ok(newest
        .filter(|newest| new.version <= newest.version || new.secure_version < newest.secure_version)
        .map(|newest| (newest.version, newest.secure_version)))
}

fn newest_release(connection: &Connection, project: &str, chip: Chip) -> Result<Option<ReleaseRecord>, StoreError> {
    connection
        .prepare_cached(&format!(
            "{SELECT_RELEASE} WHERE project = ?1 AND chip = ?2 AND published_at IS NOT NULL \
             ORDER BY version DESC LIMIT 1"
        ))?
        .query_row((project, chip.name()), |row| Ok(rows::release(row)))
        .optional()?
        .transpose()
}

fn release(connection: &Connection, id: ReleaseId) -> Result<Option<ReleaseRecord>, StoreError> {
    connection
        .prepare_cached(&format!("{SELECT_RELEASE} WHERE id = ?1"))?
        .query_row([id.0], |row| Ok(rows::release(row)))
        .optional()?
        .transpose()
}

/// Makes the database file for its owner only; SQLite gives its other files the same mode.
fn private(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::OpenOptionsExt;
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(StoreError::File(error)),
        _ => Ok(()),
    }
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    private(path)?;
    let connection = Connection::open(path)?;
    connection.set_prepared_statement_cache_capacity(64);
    // A plan that may change with the values is made anew for each of them, by SQLite 3.54 on nearly every statement.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // A root key that is deleted is overwritten.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    Ok(connection)
}

/// Negative, as SQLite wants it for KiB. The counters of a million devices lie on 15,000 pages.
const WRITER_CACHE_KIB: i64 = -32 * 1024;
/// Pages in the log before they are moved to the database: a page that was written several times is moved once.
const CHECKPOINT_PAGES: i64 = 4096;
/// Of each device.
const MOST_REPORTS: u32 = 256;

const SELECT_DEVICE: &str = "SELECT name, chip, mac, counter.epoch, sealed_root_key, nonce_floor, secure_boot_digest, \
                             enrolled_at, folded_nonce, last_digest, minimum_protocol, previous.epoch, \
                             previous.sealed_key, previous.until, rotated_at, device.row, last_reading FROM device \
                             JOIN counter ON counter.device = device.row \
                             LEFT JOIN previous_root_key AS previous ON previous.device = device.row";

const SELECT_RELEASE: &str = "SELECT id, project, chip, version, secure_version, expires, encrypted_size, envelope, \
                              sealed_content_key, published_at FROM firmware_release";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract;

    const ROUNDS: usize = 40;

    #[test]
    fn keeps_the_contract() {
        let directory = tempfile::tempdir().unwrap();
        let mut made = 0;
        contract::check_all(|| {
            made += 1;
            SqliteStore::open(&directory.path().join(format!("{made}.db")), contract::signer()).unwrap()
        });
    }

    #[test]
    fn keeps_its_word_through_any_schedule() {
        let directory = tempfile::tempdir().unwrap();
        contract::keeps_its_word_through_any_schedule(|case| {
            SqliteStore::open(&directory.path().join(format!("{case}.db")), contract::signer()).unwrap()
        });
    }

    #[test]
    fn a_statement_is_prepared_once_for_all_values() {
        let directory = tempfile::tempdir().unwrap();
        SqliteStore::open(&directory.path().join("a.db"), contract::signer()).unwrap();
        let connection = connect(&directory.path().join("a.db")).unwrap();
        for name in ["a", "b", "c"] {
            let mut find = connection.prepare_cached(&format!("{SELECT_DEVICE} WHERE name = ?1")).unwrap();
            assert!(!find.exists([name]).unwrap());
            assert_eq!(find.get_status(rusqlite::StatementStatus::RePrepare), 0, "{name}");
        }
    }

    #[test]
    fn syncs_fully_on_every_commit() {
        let directory = tempfile::tempdir().unwrap();
        let connection = connect(&directory.path().join("a.db")).unwrap();
        let synchronous: i64 = connection.query_row("PRAGMA synchronous", [], |row| row.get(0)).unwrap();
        let journal: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
        assert_eq!((synchronous, journal.as_str()), (2, "wal"));
    }

    #[tokio::test]
    async fn closing_leaves_one_file() {
        for round in 0..ROUNDS {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("a.db");
            let store = SqliteStore::open(&path, contract::signer()).unwrap();
            // One reader has a connection, or more of them.
            for _ in 0..=round % 4 {
                store.audit_checkpoint().await.unwrap();
            }
            store.keep_checkpoint(round.to_string()).await.unwrap();
            drop(store);
            let left: Vec<_> =
                std::fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
            assert_eq!(left, ["a.db"], "round {round}");
        }
    }

    #[test]
    fn what_was_acknowledged_is_there_after_reopening() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.db");
        contract::survives_reopening(|| SqliteStore::open(&path, contract::signer()).unwrap());
        let path = directory.path().join("b.db");
        contract::rollouts_survive_reopening(|| SqliteStore::open(&path, contract::signer()).unwrap());
        let path = directory.path().join("c.db");
        contract::trust_survives_reopening(|| SqliteStore::open(&path, contract::signer()).unwrap());
        let path = directory.path().join("d.db");
        contract::rotations_survive_reopening(|| SqliteStore::open(&path, contract::signer()).unwrap());
    }
}
