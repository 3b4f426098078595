//! The audit log in SQLite: a line, the tree and the signature over it change in one transaction.

use super::rows;
use crate::audit::checkpoint::Checkpoint;
use crate::audit::line::Line;
use crate::audit::note::NoteSigner;
use crate::audit::tree::Frontier;
use crate::store::{AuditEntry, StoreError};
use rusqlite::{Connection, OptionalExtension};

/// Appends one entry; its place.
pub(super) fn append(connection: &Connection, entry: AuditEntry) -> Result<u64, StoreError> {
    let mut log = frontier(connection)?;
    let line = Line::new(log.size(), entry);
    let text = line.text();
    log.push(Line::leaf_of(&text));
    connection
        .prepare_cached("INSERT INTO audit_line (entry, text) VALUES (?1, ?2)")?
        .execute((rows::number(line.index)?, text))?;
    connection
        .prepare_cached("UPDATE audit_tree SET size = ?1, peaks = ?2")?
        .execute((rows::number(log.size())?, log.peaks()))?;
    Ok(line.index)
}

/// Signs the log as it is now, if it has grown since it was signed last.
pub(super) fn sign(connection: &Connection, signer: &NoteSigner) -> Result<(), StoreError> {
    let mut grown = connection.prepare_cached("SELECT 1 FROM audit_tree WHERE signed IS NOT size")?;
    if grown.query_row([], |_| Ok(())).optional()?.is_none() {
        return Ok(());
    }
    let note = Checkpoint::of(&frontier(connection)?).sign(signer);
    connection.prepare_cached("UPDATE audit_tree SET checkpoint = ?1, signed = size")?.execute([note])?;
    Ok(())
}

/// The signed note over all lines.
pub(super) fn checkpoint(connection: &Connection) -> Result<String, StoreError> {
    Ok(connection.prepare_cached("SELECT checkpoint FROM audit_tree")?.query_row([], |row| row.get(0))?)
}

/// The note that was last written beside the database.
pub(super) fn kept(connection: &Connection) -> Result<String, StoreError> {
    Ok(connection.prepare_cached("SELECT kept FROM audit_tree")?.query_row([], |row| row.get(0))?)
}

/// Remembers that a note was written beside the database.
pub(super) fn keep(connection: &Connection, note: &str) -> Result<(), StoreError> {
    connection.prepare_cached("UPDATE audit_tree SET kept = ?1")?.execute([note])?;
    Ok(())
}

/// Hands out the lines from place `from` on, in their order, at most `limit`.
pub(super) fn lines(
    connection: &Connection,
    from: u64,
    limit: usize,
    mut each: impl FnMut(String) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT text FROM audit_line WHERE entry >= ?1 ORDER BY entry LIMIT ?2")?;
    let mut found = statement.query((rows::number(from)?, rows::limit(limit)))?;
    while let Some(row) = found.next()? {
        each(row.get(0)?)?;
    }
    Ok(())
}

/// Moves what a database of version 1 noted into the log.
pub(super) fn import(connection: &Connection) -> Result<(), StoreError> {
    let find = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'audit'";
    if connection.query_row(find, [], |_| Ok(())).optional()?.is_none() {
        return Ok(());
    }
    connection.execute_batch("BEGIN IMMEDIATE")?;
    {
        let mut statement = connection.prepare("SELECT at, subject, event, detail FROM audit ORDER BY row")?;
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            append(connection, rows::audit(row)?)?;
        }
    }
    // If anything fails, the connection is dropped and with it the transaction.
    Ok(connection.execute_batch("DROP TABLE audit; COMMIT")?)
}

fn frontier(connection: &Connection) -> Result<Frontier, StoreError> {
    let (size, peaks): (i64, Vec<u8>) = connection
        .prepare_cached("SELECT size, peaks FROM audit_tree")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let size = u64::try_from(size).map_err(|_| rows::corrupt("audit_tree.size"))?;
    Frontier::from_parts(size, &peaks).ok_or(rows::corrupt("audit_tree.peaks"))
}
