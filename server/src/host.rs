//! What the owner of the host may do without a token, on the database itself, also while the server runs: make the
//! first administrator, and help one who lost the token.

use crate::admin_token::{AdminToken, TokenRecord};
use crate::administrator::{AdminName, Role};
use crate::audit::note::{NoteError, NoteSigner};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::key_file::{self, KeyFileError};
use crate::store::sqlite::SqliteStore;
use crate::store::{AuditEntry, Store, StoreError, TokenAdded, TokenRevoked};

/// Opens the server's database.
///
/// # Errors
/// [`HostError`].
pub fn open(config: &Config) -> Result<SqliteStore, HostError> {
    let signer = NoteSigner::new(&key_file::read(&config.keys.audit)?)?;
    Ok(SqliteStore::open(&config.data.join("cotter.db"), signer)?)
}

/// Makes a token, valid for `days` or until it is revoked.
///
/// # Errors
/// [`HostError::NameTaken`], and what the store reports.
pub fn add_token(store: &dyn Store, name: AdminName, role: Role, days: Option<u32>) -> Result<AdminToken, HostError> {
    let (token, record) = AdminToken::issue(name.clone(), role, SystemClock.unix(), days)?;
    let note = note("token-added", &name, role.to_string());
    match wait(store.add_token(record, note))? {
        TokenAdded::Added => Ok(token),
        TokenAdded::NameTaken => Err(HostError::NameTaken(name)),
    }
}

/// Makes a token void.
///
/// # Errors
/// [`HostError::UnknownToken`], [`HostError::LastAdmin`], and what the store reports.
pub fn revoke_token(store: &dyn Store, name: AdminName) -> Result<(), HostError> {
    match wait(store.revoke_token(name.clone(), note("token-revoked", &name, String::new())))? {
        TokenRevoked::Revoked => Ok(()),
        TokenRevoked::Unknown => Err(HostError::UnknownToken(name)),
        TokenRevoked::LastAdmin => Err(HostError::LastAdmin(name)),
    }
}

/// Every token, by name.
///
/// # Errors
/// What the store reports.
pub fn tokens(store: &dyn Store) -> Result<Vec<TokenRecord>, HostError> {
    Ok(wait(store.tokens())?)
}

/// Notes something that the host's owner did; its place in the audit log.
///
/// # Errors
/// What the store reports.
pub fn append_audit(store: &dyn Store, event: &str, subject: String, detail: String) -> Result<u64, HostError> {
    let (at, by) = (SystemClock.unix(), "host".to_owned());
    Ok(wait(store.append_audit(AuditEntry { at, by, subject, event: event.to_owned(), detail }))?)
}

fn note(event: &str, name: &AdminName, detail: String) -> AuditEntry {
    let (at, by) = (SystemClock.unix(), "host".to_owned());
    AuditEntry { at, by, subject: name.to_string(), event: event.to_owned(), detail }
}

/// The store's futures need a runtime; the host's commands have none.
pub(crate) fn wait<T: Send>(pending: impl Future<Output = Result<T, StoreError>> + Send) -> Result<T, StoreError> {
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(StoreError::File)?;
            runtime.block_on(pending)
        });
        worker.join().unwrap_or(Err(StoreError::Unavailable))
    })
}

/// Why the host's owner cannot do that either.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The audit key's file.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The audit key.
    #[error("audit key: {0}")]
    AuditKey(#[from] NoteError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Names are unique.
    #[error("there is a token of the name {0} already")]
    NameTaken(AdminName),
    /// Nobody has that name.
    #[error("there is no token of the name {0}")]
    UnknownToken(AdminName),
    /// Nobody could make tokens any more.
    #[error("{0} is the last admin whose token does not expire: make another one first")]
    LastAdmin(AdminName),
}
