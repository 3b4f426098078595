//! A copy of the database as it was at one moment, made while a server runs on it, and the look into such a copy.

use super::{audit_log, sealed};
use crate::at_rest::Use;
use crate::audit::line::Line;
use crate::audit::tree::Frontier;
use crate::store::StoreError;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;

/// Copies the database at `from` to `to`, which must not exist. The server may go on writing meanwhile.
///
/// # Errors
/// Whatever SQLite reports.
pub fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    let connection = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    let to = to.to_str().ok_or_else(|| StoreError::File(std::io::ErrorKind::InvalidFilename.into()))?;
    connection.execute("VACUUM INTO ?1", [to])?;
    Ok(())
}

/// Looks whether a copy is whole: its structure, and its audit log against its own checkpoint. `each` sees every secret
/// that is sealed in it, with its use and subject. Returns the checkpoint.
///
/// # Errors
/// [`StoreError::Corrupt`], or whatever SQLite reports.
pub fn check(path: &Path, each: impl FnMut(Use, &[u8], &[u8]) -> bool) -> Result<(String, Frontier), StoreError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let structure: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if structure != "ok" {
        return Err(StoreError::Corrupt { column: "integrity_check" });
    }
    sealed::check(&connection, each)?;
    let mut log = Frontier::default();
    audit_log::lines(&connection, 0, usize::MAX, |line| {
        log.push(Line::leaf_of(&line));
        Ok(())
    })?;
    Ok((audit_log::checkpoint(&connection)?, log))
}
