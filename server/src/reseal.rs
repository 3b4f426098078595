//! Another master key: every secret in the database is opened under the old one and sealed under the new one, in one
//! transaction.
//!
//! While that is under way, the configuration names both keys (`keys.master`, `keys.next_master`), and the database says
//! which of them is in use. So whenever the process or the power ends, the server starts, and the same command goes on.

use crate::at_rest::{AtRestError, MasterKey};
use crate::audit::note::{NoteError, NoteSigner};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::host::{self, HostError};
use crate::key_age::KeyInUse;
use crate::key_file::{self, KeyFileError};
use crate::master::{self, MASTER, MasterError};
use crate::occupied::{Occupied, OccupiedError};
use crate::store::keys::KeySeen;
use crate::store::sqlite::sealed;
use crate::store::{AuditEntry, StoreError};

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resealed {
    /// So many secrets were sealed anew.
    Now(u64),
    /// Nothing was left to do.
    Before,
}

/// Seals everything anew under `keys.next_master`, which is made if it is not there. No server may be running.
///
/// # Errors
/// [`ResealError`]; then everything is as it was.
pub fn reseal(config: &Config) -> Result<Resealed, ResealError> {
    let next = config.keys.next_master.as_ref().ok_or(ResealError::NoNext)?;
    let _occupied = Occupied::alone(&config.data)?;
    let store = host::open(config)?;
    let old = master::in_use(&config.keys, &store)?;
    // No other connection is open when the transaction begins.
    drop(store);
    let new = next.load_or_make()?;
    if new.ct_eq(&old) {
        return Ok(Resealed::Before);
    }
    let KeyInUse { name, fingerprint } = KeyInUse::of(MASTER, &new);
    let at = SystemClock.unix();
    let seen = KeySeen { name: name.to_owned(), fingerprint, since: at };
    let note = AuditEntry {
        at,
        by: "host".to_owned(),
        subject: MASTER.to_owned(),
        event: "master-key-changed".to_owned(),
        detail: "every secret was sealed anew".to_owned(),
    };
    let signer = NoteSigner::new(&key_file::read(&config.keys.audit)?)?;
    let (old, new) = (MasterKey::new(&old), MasterKey::new(&new));
    let count = sealed::replace(&config.data.join("cotter.db"), &signer, &seen, note, |usage, subject, secret| {
        Ok::<_, ResealError>(new.seal(usage, subject, old.open(usage, subject, secret)?.expose())?)
    })?;
    Ok(Resealed::Now(count))
}

/// Why nothing was sealed anew.
#[derive(Debug, thiserror::Error)]
pub enum ResealError {
    /// The configuration does not say what to change to.
    #[error("the configuration names no [keys] next_master: nothing to change to")]
    NoNext,
    /// A server runs.
    #[error(transparent)]
    Occupied(#[from] OccupiedError),
    /// One of the keys.
    #[error(transparent)]
    Master(#[from] MasterError),
    /// A secret does not open.
    #[error(transparent)]
    AtRest(#[from] AtRestError),
    /// The audit key's file.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The audit key.
    #[error("audit key: {0}")]
    AuditKey(#[from] NoteError),
    /// The database, as it is opened.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ResealError {
    /// What to do next, if there is something to say.
    #[must_use]
    pub const fn next_step(&self) -> Option<&'static str> {
        match self {
            Self::NoNext => Some("name the new key there, beside the old one: next_master = \"new.key\""),
            Self::Occupied(OccupiedError::Taken { .. }) => Some("stop the server first"),
            Self::Master(error) => error.next_step(),
            _ => None,
        }
    }
}
