//! The keys of a plan, by name, and how espefuse would be told to burn each.

use super::PlanError;
use crate::efuse::{EfusePlan, KeyInput};
use cotter_chip::efuse::session::{KeyOptions, KeyToBurn, Session};
use std::collections::BTreeMap;
use std::fmt;
use zeroize::Zeroizing;

/// Key files by the names that a plan has for them; in the order of the file, ECDSA keys as the big-endian number.
#[derive(Default)]
pub struct KeyFiles(BTreeMap<String, Zeroizing<Vec<u8>>>);

impl KeyFiles {
    /// Adds a file.
    pub fn insert(&mut self, name: &str, bytes: &[u8]) {
        self.0.insert(name.to_owned(), Zeroizing::new(bytes.to_vec()));
    }

    /// A file.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(|bytes| bytes.as_slice())
    }

    /// Every key that the plan names, of the length that it names.
    pub(super) fn check(&self, plan: &EfusePlan) -> Result<(), KeyRefusal> {
        plan.keys.iter().try_for_each(|KeyInput { name, bytes: expected, .. }| match self.get(name) {
            None => Err(KeyRefusal::Missing { name: name.clone(), bytes: *expected }),
            Some(file) if file.len() != *expected => {
                Err(KeyRefusal::Length { name: name.clone(), expected: *expected, got: file.len() })
            }
            Some(_) => Ok(()),
        })
    }
}

impl fmt::Debug for KeyFiles {
    /// The names only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What a plan says about a key.
pub(super) struct Wanted<'a> {
    pub(super) key: &'a str,
    pub(super) purpose: &'a str,
    pub(super) block: &'a str,
    /// Which 32 bytes of a longer key.
    pub(super) half: Option<u8>,
    pub(super) options: KeyOptions,
}

impl Wanted<'_> {
    /// Prepares key, purpose and protection in a session.
    pub(super) fn prepare(&self, session: &mut Session, files: &KeyFiles) -> Result<(), PlanError> {
        let file = files.get(self.key).unwrap_or_default();
        // P-384 fills its two blocks from the end.
        let zeros = if self.half.is_some() { 64_usize.saturating_sub(file.len()) } else { 0 };
        let mut data = Zeroizing::new(vec![0; zeros]);
        data.extend_from_slice(file);
        if let Some(half) = self.half {
            let from = if half == 2 { 32 } else { 0 };
            data = Zeroizing::new(data.get(from..from + 32).unwrap_or_default().to_vec());
        }
        // On the ESP32 the other name of the block says what it is for.
        let (block, purpose) = match self.purpose {
            "flash_encryption" | "secure_boot_v1" | "secure_boot_v2" => (self.purpose, None),
            purpose => (self.block, Some(purpose.to_owned())),
        };
        Ok(session.burn_keys(&[KeyToBurn { block: block.to_owned(), data, purpose }], self.options)?)
    }
}

/// Why a key cannot be burned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum KeyRefusal {
    #[error("key {name} is missing: {bytes} bytes")]
    Missing { name: String, bytes: usize },
    #[error("key {name} has {got} bytes instead of {expected}")]
    Length { name: String, expected: usize, got: usize },
}
