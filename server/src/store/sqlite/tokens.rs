//! Administrators' tokens in SQLite.

use super::{audit_log, rows};
use crate::admin_token::{TokenHash, TokenRecord};
use crate::administrator::AdminName;
use crate::store::{AuditEntry, StoreError, TokenAdded, TokenRevoked};
use rusqlite::{Connection, OptionalExtension};

pub(super) fn add(connection: &Connection, token: &TokenRecord, note: AuditEntry) -> Result<TokenAdded, StoreError> {
    let added = connection.execute(
        "INSERT INTO admin_token (name, role, hash, added_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (name) DO NOTHING",
        (
            token.name.as_str(),
            token.role.as_str(),
            token.hash.0,
            rows::time(token.added_at)?,
            token.expires_at.map(rows::time).transpose()?,
        ),
    )?;
    if added == 0 {
        return Ok(TokenAdded::NameTaken);
    }
    audit_log::append(connection, note)?;
    Ok(TokenAdded::Added)
}

pub(super) fn revoke(connection: &Connection, name: &AdminName, note: AuditEntry) -> Result<TokenRevoked, StoreError> {
    let role = "SELECT role = 'admin' AND expires_at IS NULL FROM admin_token WHERE name = ?1";
    let is_admin: Option<bool> = connection.query_row(role, [name.as_str()], |row| row.get(0)).optional()?;
    let Some(is_admin) = is_admin else { return Ok(TokenRevoked::Unknown) };
    let others = "SELECT count(*) FROM admin_token WHERE role = 'admin' AND expires_at IS NULL AND name <> ?1";
    if is_admin && connection.query_row(others, [name.as_str()], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(TokenRevoked::LastAdmin);
    }
    connection.execute("DELETE FROM admin_token WHERE name = ?1", [name.as_str()])?;
    audit_log::append(connection, note)?;
    Ok(TokenRevoked::Revoked)
}

pub(super) fn by_hash(connection: &Connection, hash: TokenHash) -> Result<Option<TokenRecord>, StoreError> {
    connection
        .prepare_cached(&format!("{SELECT} WHERE hash = ?1"))?
        .query_row([hash.0], |row| Ok(rows::token(row)))
        .optional()?
        .transpose()
}

pub(super) fn all(connection: &Connection) -> Result<Vec<TokenRecord>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} ORDER BY name"))?;
    let found = statement.query_map([], |row| Ok(rows::token(row)))?;
    found.map(|row| row?).collect()
}

const SELECT: &str = "SELECT name, role, hash, added_at, expires_at FROM admin_token";
