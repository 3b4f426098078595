//! Where the master key comes from: a file, the environment, or a PKCS#11 token.
//!
//! The server keeps the key in memory, wherever it comes from: it is what opens the keys of devices. A token therefore
//! protects what lies on disk and in its copies (the wrapped key is of no use without the token and its PIN), not against
//! somebody who reads the memory of the running server.

mod source;
mod token;

pub use source::{Pkcs11, Source};
pub use token::{PinState, TokenError};

use crate::at_rest::MasterKey;
use crate::config::Keys;
use crate::host;
use crate::key_age::KeyInUse;
use crate::key_file::{self, KeyFileError};
use crate::store::{Store, StoreError};
use cotter_formats::secret::Secret;
use cotter_wire::hex;
use zeroize::Zeroizing;

impl Source {
    /// Brings the key.
    ///
    /// # Errors
    /// [`MasterError`].
    pub fn load(&self) -> Result<Secret<32>, MasterError> {
        match self {
            Self::File(path) => Ok(key_file::read(path)?),
            Self::Env(name) => of_environment(name),
            Self::Pkcs11(place) => Ok(token::unwrap(place)?),
        }
    }

    /// As [`Self::load`], and makes the key first if it is not there: a file, or a wrapped key and the token's key that
    /// wraps it. What is there is used as it is. What was made is durable when this returns.
    ///
    /// # Errors
    /// [`MasterError`]; an environment variable has to be there.
    pub fn load_or_make(&self) -> Result<Secret<32>, MasterError> {
        match self {
            Self::File(path) if !path.exists() => Ok(key_file::create(path)?),
            Self::Pkcs11(place) if !place.wrapped.exists() => Ok(token::make(place)?),
            _ => self.load(),
        }
    }
}

/// The key that the secrets in `store` are sealed under: `keys.master`, or `keys.next_master` once everything was
/// sealed anew under that.
///
/// # Errors
/// [`MasterError::Other`] if neither opens what is stored, or why neither could be read.
pub fn in_use(keys: &Keys, store: &dyn Store) -> Result<Secret<32>, MasterError> {
    let noted = host::wait(store.keys_in_use())?.into_iter().find(|seen| seen.name == MASTER);
    let mut first = None;
    let mut refused = None;
    for source in [Some(&keys.master), keys.next_master.as_ref()].into_iter().flatten() {
        match source.load() {
            Ok(key)
                if noted.as_ref().is_some_and(|noted| noted.fingerprint == KeyInUse::of(MASTER, &key).fingerprint) =>
            {
                first = Some(key);
                break;
            }
            Ok(key) => first = first.or(Some(key)),
            // Before the change nothing may be there yet, after it nothing any more.
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    let Some(key) = first else { return Err(refused.unwrap_or(MasterError::Other)) };
    if let Some(sample) = host::wait(store.sealed_sample())? {
        let opened = MasterKey::new(&key).open(sample.usage, &sample.subject, &sample.sealed);
        opened.map_err(|_| refused.unwrap_or(MasterError::Other))?;
    }
    Ok(key)
}

/// 64 hexadecimal digits in a variable of the environment.
fn of_environment(name: &str) -> Result<Secret<32>, MasterError> {
    let text = std::env::var_os(name).ok_or_else(|| MasterError::Unset { name: name.to_owned() })?;
    let text = Zeroizing::new(text.into_encoded_bytes());
    let malformed = || MasterError::Malformed { name: name.to_owned() };
    Secret::try_filled_by(|key| if hex::decode_into(&text, key) { Ok(()) } else { Err(malformed()) })
}

/// Its name among the keys in use.
pub(crate) const MASTER: &str = "master";

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum MasterError {
    /// The file.
    #[error("master key: {0}")]
    File(#[from] KeyFileError),
    /// The environment lacks it.
    #[error("master key: the environment variable {name} is not set")]
    Unset {
        /// Which variable.
        name: String,
    },
    /// The environment holds something else.
    #[error("master key: the environment variable {name} does not hold 64 lower-case hexadecimal digits")]
    Malformed {
        /// Which variable.
        name: String,
    },
    /// The token.
    #[error("master key: {0}")]
    Token(#[from] TokenError),
    /// Another key sealed what is stored.
    #[error("master key: it does not open what is stored: the database was sealed under another one")]
    Other,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl MasterError {
    /// What to do next, if there is something to say.
    #[must_use]
    pub const fn next_step(&self) -> Option<&'static str> {
        match self {
            Self::File(_) | Self::Store(_) => None,
            Self::Unset { .. } => Some("set it where the server is started, or name another source in [keys] master"),
            Self::Malformed { .. } => Some("`openssl rand -hex 32` makes such a key"),
            Self::Token(error) => Some(error.next_step()),
            Self::Other => Some(
                "put the key that was in use back into [keys] master (with the new one as next_master while it is \
                 changed), or restore a backup, which holds its key",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::at_rest::Use;
    use crate::audit::note::NoteSigner;
    use crate::store::sqlite::SqliteStore;
    use crate::store::{AuditEntry, DeviceRecord};
    use std::path::Path;

    fn store(directory: &Path) -> SqliteStore {
        let signer = NoteSigner::new(&Secret::filled_by(|seed| seed.fill(2))).unwrap();
        SqliteStore::open(&directory.join("a.db"), signer).unwrap()
    }

    fn enrol(store: &SqliteStore, key: &Secret<32>) {
        let id: cotter_wire::ids::DeviceId = "a".parse().unwrap();
        let record = DeviceRecord {
            id,
            chip: cotter_formats::chip::Chip::Esp32C3,
            mac: [0; 6],
            epoch: cotter_wire::ids::KeyEpoch(1),
            sealed_root_key: MasterKey::new(key).seal(Use::DeviceRootKey, id.as_bytes(), &[1; 32]).unwrap(),
            nonce_floor: cotter_wire::ids::Nonce(0),
            secure_boot_digest: [0; 32],
            enrolled_at: 0,
        };
        let text = String::new;
        let note = AuditEntry { at: 0, by: text(), subject: text(), event: text(), detail: text() };
        host::wait(store.enrol(record, note)).unwrap();
    }

    fn keys(directory: &Path, master: &str, next: Option<&str>) -> Keys {
        let file = |name: &str| Source::File(directory.join(name));
        let (enrolment, audit) = (directory.join("enrolment"), directory.join("audit"));
        Keys { master: file(master), next_master: next.map(file), enrolment, audit, warn_days: 90 }
    }

    #[test]
    fn the_key_that_opens_what_is_stored_is_found_among_two() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let store = store(directory);
        let (one, two) = (directory.join("one"), directory.join("two"));
        let first = key_file::create(&one).unwrap();
        enrol(&store, &first);
        assert!(in_use(&keys(directory, "one", None), &store).unwrap().ct_eq(&first));
        // The next one is not made yet.
        assert!(in_use(&keys(directory, "one", Some("two")), &store).unwrap().ct_eq(&first));
        key_file::create(&two).unwrap();
        assert!(in_use(&keys(directory, "one", Some("two")), &store).unwrap().ct_eq(&first));
        let refused = in_use(&keys(directory, "two", None), &store).err().unwrap();
        assert!(matches!(refused, MasterError::Other), "{refused}");
    }

    #[test]
    fn an_environment_that_lacks_the_key_or_holds_another_thing_is_named() {
        let unset = of_environment("COTTER_TEST_NOT_SET").err().unwrap();
        assert!(matches!(&unset, MasterError::Unset { name } if name == "COTTER_TEST_NOT_SET"), "{unset}");
        // Cargo sets it.
        let malformed = of_environment("CARGO_PKG_NAME").err().unwrap();
        assert!(matches!(malformed, MasterError::Malformed { .. }), "{malformed}");
    }
}
