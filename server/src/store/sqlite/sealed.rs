//! The secrets that are sealed under the master key: where they are in the database, and another key for all of them.

use super::{audit_log, connect, keys, rows};
use crate::at_rest::Use;
use crate::audit::note::NoteSigner;
use crate::store::keys::{KeySeen, SealedSample};
use crate::store::{AuditEntry, StoreError};
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;

/// Where secrets of one use are.
struct Place {
    usage: Use,
    table: &'static str,
    column: &'static str,
    /// What the secret is bound to, as SQL.
    subject: &'static str,
}

/// All of them. A secret that is missing here is lost with the next change of the master key.
const PLACES: [Place; 5] = [
    Place { usage: Use::DeviceRootKey, table: "device", column: "sealed_root_key", subject: "CAST(name AS BLOB)" },
    Place {
        usage: Use::DeviceRootKey,
        table: "previous_root_key",
        column: "sealed_key",
        subject: "(SELECT CAST(name AS BLOB) FROM device WHERE row = device)",
    },
    Place {
        usage: Use::OfferedRootKey,
        table: "key_rotation_device",
        column: "sealed_key",
        subject: "(SELECT unhex(printf('%08X', epoch) || hex(name)) FROM device WHERE row = device)",
    },
    Place { usage: Use::ReleaseContentKey, table: "firmware_release", column: "sealed_content_key", subject: "id" },
    Place { usage: Use::EcowattKey, table: "ecowatt_device", column: "sealed_key", subject: "CAST(name AS BLOB)" },
];

/// Hands out every sealed secret with its use and subject; stops at the first that `opens` refuses.
pub(super) fn check(
    connection: &Connection,
    mut opens: impl FnMut(Use, &[u8], &[u8]) -> bool,
) -> Result<(), StoreError> {
    for Place { usage, table, column, subject } in PLACES {
        let query = format!("SELECT {subject}, {column} FROM {table} WHERE {column} IS NOT NULL");
        let mut statement = connection.prepare(&query)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (subject, secret): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
            if !opens(usage, &subject, &secret) {
                return Err(StoreError::Corrupt { column });
            }
        }
    }
    Ok(())
}

/// One of them, if there is any.
pub(super) fn sample(connection: &Connection) -> Result<Option<SealedSample>, StoreError> {
    for Place { usage, table, column, subject } in PLACES {
        let query = format!("SELECT {subject}, {column} FROM {table} WHERE {column} IS NOT NULL LIMIT 1");
        let mut statement = connection.prepare_cached(&query)?;
        let mut rows = statement.query([])?;
        if let Some(row) = rows.next()? {
            return Ok(Some(SealedSample { usage, subject: row.get(0)?, sealed: row.get(1)? }));
        }
    }
    Ok(None)
}

/// Replaces every sealed secret by what `sealed_anew` makes of it, notes `key` as the one in use, and appends `note`, in
/// one transaction; how many there were. Nobody else may work on the database. What was there before is overwritten, not
/// just given up.
///
/// # Errors
/// What SQLite reports, and what `sealed_anew` does; then nothing was changed.
pub(crate) fn replace<E: From<StoreError>>(
    path: &Path,
    signer: &NoteSigner,
    key: &KeySeen,
    note: AuditEntry,
    mut sealed_anew: impl FnMut(Use, &[u8], &[u8]) -> Result<Vec<u8>, E>,
) -> Result<u64, E> {
    let mut connection = connect(path)?;
    let sqlite = |error| E::from(StoreError::Sqlite(error));
    connection.pragma_update(None, "secure_delete", true).map_err(sqlite)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive).map_err(sqlite)?;
    let mut count = 0;
    for place in PLACES {
        let mut after = i64::MIN;
        loop {
            let page = page(&transaction, &place, after)?;
            let Some((last, ..)) = page.last() else { break };
            after = *last;
            let update = format!("UPDATE {} SET {} = ?1 WHERE rowid = ?2", place.table, place.column);
            let mut update = transaction.prepare_cached(&update).map_err(sqlite)?;
            for (row, subject, sealed) in page {
                update.execute((sealed_anew(place.usage, &subject, &sealed)?, row)).map_err(sqlite)?;
                count += 1;
            }
        }
    }
    keys::note(&transaction, key)?;
    audit_log::append(&transaction, note)?;
    audit_log::sign(&transaction, signer)?;
    transaction.commit().map_err(sqlite)?;
    // The write-ahead log holds pages as they were.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(sqlite)?;
    Ok(count)
}

type Sealed = (i64, Vec<u8>, Vec<u8>);

/// The next secrets of a place: row, subject, sealed secret.
fn page(connection: &Connection, place: &Place, after: i64) -> Result<Vec<Sealed>, StoreError> {
    let Place { table, column, subject, .. } = place;
    let mut statement = connection.prepare_cached(&format!(
        "SELECT rowid, {subject}, {column} FROM {table} WHERE rowid > ?1 AND {column} IS NOT NULL ORDER BY rowid LIMIT ?2"
    ))?;
    let found = statement.query_map((after, rows::limit(PAGE)), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

const PAGE: usize = 1000;
