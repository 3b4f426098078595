//! Keys in use, in SQLite.

use super::{SqliteStore, audit_log, rows, sealed};
use crate::store::keys::{KeySeen, KeysInUse, SealedSample};
use crate::store::{AuditEntry, Pending, StoreError};
use rusqlite::{Connection, OptionalExtension, Row};

impl KeysInUse for SqliteStore {
    fn use_key(&self, key: KeySeen, replaced: AuditEntry) -> Pending<'_, ()> {
        self.write(move |connection| use_key(connection, &key, replaced))
    }

    fn keys_in_use(&self) -> Pending<'_, Vec<KeySeen>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT name, fingerprint, since FROM key_seen AS key \
                 WHERE noted = (SELECT MAX(noted) FROM key_seen WHERE name = key.name) ORDER BY name",
            )?;
            statement.query_map([], |row| Ok(seen(row)))?.map(|row| row?).collect()
        })
    }

    fn sealed_sample(&self) -> Pending<'_, Option<SealedSample>> {
        self.read(sealed::sample)
    }

    fn devices_with_keys_before(&self, at: u64) -> Pending<'_, u64> {
        self.read(move |connection| {
            let count: i64 = connection
                .prepare_cached("SELECT COUNT(*) FROM device WHERE coalesce(rotated_at, enrolled_at) < ?1")?
                .query_row([rows::time(at)?], |row| row.get(0))?;
            u64::try_from(count).map_err(|_| StoreError::Corrupt { column: "enrolled_at" })
        })
    }
}

fn use_key(connection: &Connection, key: &KeySeen, replaced: AuditEntry) -> Result<(), StoreError> {
    if note(connection, key)? {
        audit_log::append(connection, replaced)?;
    }
    Ok(())
}

/// Notes that this key is in use now; whether another one of that name was until now.
pub(super) fn note(connection: &Connection, key: &KeySeen) -> Result<bool, StoreError> {
    let last: Option<[u8; 16]> = connection
        .prepare_cached("SELECT fingerprint FROM key_seen WHERE name = ?1 ORDER BY noted DESC LIMIT 1")?
        .query_row([&key.name], |row| row.get(0))
        .optional()?;
    if last == Some(key.fingerprint) {
        return Ok(false);
    }
    connection
        .prepare_cached(
            "INSERT INTO key_seen (name, fingerprint, since, noted) \
             VALUES (?1, ?2, ?3, (SELECT COALESCE(MAX(noted), 0) + 1 FROM key_seen)) \
             ON CONFLICT (name, fingerprint) DO UPDATE SET noted = excluded.noted",
        )?
        .execute((&key.name, key.fingerprint, rows::time(key.since)?))?;
    Ok(last.is_some())
}

fn seen(row: &Row<'_>) -> Result<KeySeen, StoreError> {
    let since: i64 = row.get(2)?;
    let since = u64::try_from(since).map_err(|_| StoreError::Corrupt { column: "since" })?;
    Ok(KeySeen { name: row.get(0)?, fingerprint: row.get(1)?, since })
}
