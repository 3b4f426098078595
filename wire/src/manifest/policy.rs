//! Whom a device or server believes: some keys, and how many of them must sign.

use super::{MAX_SIGNATURES, ManifestSignature};
use crate::firmware_key::FirmwareKey;
use crate::ids::KeyId;

/// Trusted keys and a threshold. Every value has different keys and a threshold that can be met.
#[derive(Clone, Debug)]
pub struct VerifyPolicy {
    keys: heapless::Vec<FirmwareKey, MAX_SIGNATURES>,
    required: usize,
}

impl VerifyPolicy {
    /// Believes a manifest if `required` different ones of `keys` signed it.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub fn new(keys: impl IntoIterator<Item = FirmwareKey>, required: usize) -> Result<Self, PolicyError> {
        let mut policy = Self { keys: heapless::Vec::new(), required };
        for key in keys {
            if policy.keys.iter().any(|known| known.id() == key.id() || known.is_same_key(&key)) {
                return Err(PolicyError::DuplicateKey(key.id()));
            }
            policy.keys.push(key).map_err(|_| PolicyError::TooManyKeys)?;
        }
        if required == 0 || required > policy.keys.len() {
            return Err(PolicyError::Threshold { required, keys: policy.keys.len() });
        }
        Ok(policy)
    }

    /// How many must sign.
    #[must_use]
    pub const fn required(&self) -> usize {
        self.required
    }

    /// The trusted keys.
    #[must_use]
    pub fn keys(&self) -> &[FirmwareKey] {
        &self.keys
    }

    /// How many different trusted keys signed `digest`. A signature by an unknown key counts for nothing; a wrong one by a
    /// known key spoils the whole.
    ///
    /// # Errors
    /// [`SignatureFault`].
    pub(crate) fn count(&self, digest: &[u8; 32], signatures: &[ManifestSignature]) -> Result<usize, SignatureFault> {
        let mut valid = 0;
        for (index, signature) in signatures.iter().enumerate() {
            if signatures[..index].iter().any(|earlier| earlier.key == signature.key) {
                return Err(SignatureFault::Duplicate);
            }
            let Some(key) = self.keys.iter().find(|key| key.id() == signature.key) else { continue };
            if signature.algorithm != key.algorithm() {
                return Err(SignatureFault::AlgorithmMismatch);
            }
            if !key.verifies(digest, &signature.bytes) {
                return Err(SignatureFault::Bad);
            }
            valid += 1;
        }
        Ok(valid)
    }
}

/// Why keys and threshold make no policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// One key twice.
    #[error("firmware key {0} is there twice")]
    DuplicateKey(KeyId),
    /// More than four.
    #[error("at most 4 firmware keys")]
    TooManyKeys,
    /// Nobody, or more than there are, would have to sign.
    #[error("{required} signatures required, with {keys} keys")]
    Threshold {
        /// The threshold.
        required: usize,
        /// How many keys there are.
        keys: usize,
    },
}

/// Why signatures spoil what they stand under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    /// The same key twice.
    #[error("two signatures name one key")]
    Duplicate,
    /// A trusted key is named with an algorithm that is not the key's.
    #[error("a signature names an algorithm that its key does not have")]
    AlgorithmMismatch,
    /// A trusted key is named, and the signature is not its own.
    #[error("a signature does not match what it stands under")]
    Bad,
}
