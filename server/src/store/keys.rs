//! Which keys have been in use since when.

use super::{AuditEntry, Pending};
use crate::at_rest::Use;

/// Remembers keys by fingerprint.
pub trait KeysInUse {
    /// Notes that this key is in use now. A key that was noted before keeps its time; `replaced` goes to the audit log if
    /// another key of that name was in use until now.
    fn use_key(&self, key: KeySeen, replaced: AuditEntry) -> Pending<'_, ()>;

    /// The key in use of each name, by name.
    fn keys_in_use(&self) -> Pending<'_, Vec<KeySeen>>;

    /// Any secret that is sealed under the master key; `None` if there is none.
    fn sealed_sample(&self) -> Pending<'_, Option<SealedSample>>;

    /// How many devices have had their root keys since before this time. A new epoch of the same key does not count.
    fn devices_with_keys_before(&self, at: u64) -> Pending<'_, u64>;
}

/// A key that is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySeen {
    /// What it is for.
    pub name: String,
    /// Hash of it; tells keys apart and nothing else.
    pub fingerprint: [u8; 16],
    /// When it was noted first, Unix seconds.
    pub since: u64,
}

/// A sealed secret, to try a key on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSample {
    /// What it is.
    pub usage: Use,
    /// Whose it is.
    pub subject: Vec<u8>,
    /// As [`crate::at_rest::MasterKey::seal`] made it.
    pub sealed: Vec<u8>,
}
