//! Secrets at rest: AES-256-GCM under the server's master key, bound to what they are and whose they are.
//!
//! Sealed form: nonce (12 random bytes), ciphertext, tag (16). Associated data: `cotter/at-rest/v1` `\0` use `\0`
//! subject, so that a sealed key copied to another row of the database does not open there. With random nonces one
//! master key stays within the limits of GCM (NIST SP 800-38D) for 2^32 seals, one per enrolment or release.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use cotter_formats::secret::Secret;
use zeroize::Zeroizing;

/// Length of a sealed secret.
pub const SEALED: usize = NONCE_LEN + 32 + 16;

/// The key that all other secrets of the server are sealed under.
pub struct MasterKey(LessSafeKey);

/// What a sealed secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Root key of a device; the subject is its id.
    DeviceRootKey,
    /// Root key that is offered to a device; the subject is its epoch (u32, big-endian), then the id. In this form the device
    /// keeps it too: see [`cotter_wire::rotation::Ticket`].
    OfferedRootKey,
    /// Content key of a release; the subject is the release id.
    ReleaseContentKey,
    /// Key of a device of the compatibility profile; the subject is its name.
    EcowattKey,
}

impl MasterKey {
    /// Takes `key` for this use.
    #[must_use]
    pub fn new(key: &Secret<32>) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key.expose()).expect("AES-256 keys have 32 bytes");
        Self(LessSafeKey::new(key))
    }

    /// Seals `secret` for rest.
    ///
    /// # Errors
    /// [`AtRestError::NoRandomness`].
    pub fn seal(&self, usage: Use, subject: &[u8], secret: &[u8; 32]) -> Result<Vec<u8>, AtRestError> {
        let mut sealed = vec![0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut sealed).map_err(|_| AtRestError::NoRandomness)?;
        let nonce = Nonce::try_assume_unique_for_key(&sealed).map_err(|_| AtRestError::NoRandomness)?;
        let mut content = Zeroizing::new(secret.to_vec());
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, Aad::from(associated(usage, subject)), &mut content)
            .expect("48 bytes are far below the length limit of GCM");
        sealed.extend_from_slice(&content);
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens what [`Self::seal`] sealed for the same use and subject.
    ///
    /// # Errors
    /// [`AtRestError::Sealed`] if key, use, subject or a single bit differ.
    pub fn open(&self, usage: Use, subject: &[u8], sealed: &[u8]) -> Result<Secret<32>, AtRestError> {
        let refused = AtRestError::Sealed { usage };
        let (nonce, content) = sealed.split_at_checked(NONCE_LEN).ok_or(refused)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| refused)?;
        let mut content = Zeroizing::new(content.to_vec());
        let secret =
            self.0.open_in_place(nonce, Aad::from(associated(usage, subject)), &mut content).map_err(|_| refused)?;
        Secret::from_slice(secret).ok_or(refused)
    }
}

fn associated(usage: Use, subject: &[u8]) -> Vec<u8> {
    let usage: &[u8] = match usage {
        Use::DeviceRootKey => b"device-root-key",
        Use::OfferedRootKey => b"offered-root-key",
        Use::ReleaseContentKey => b"release-content-key",
        Use::EcowattKey => b"ecowatt-key",
    };
    [b"cotter/at-rest/v1\0", usage, b"\0", subject].concat()
}

/// Why a secret could not be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AtRestError {
    /// The operating system gave no random bytes.
    #[error("no random bytes from the operating system")]
    NoRandomness,
    /// Wrong master key, or the stored bytes were changed or moved.
    #[error("stored {usage:?} does not open under the master key: wrong key, or the database was changed")]
    Sealed {
        /// What was to be opened.
        usage: Use,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(byte: u8) -> Secret<32> {
        Secret::filled_by(|key| key.fill(byte))
    }

    #[test]
    fn opens_only_for_the_same_use_subject_and_key() {
        let master = MasterKey::new(&secret(1));
        let sealed = master.seal(Use::DeviceRootKey, b"a", secret(9).expose()).unwrap();
        assert!(master.open(Use::DeviceRootKey, b"a", &sealed).unwrap().ct_eq(&secret(9)));
        let refused = |result: Result<Secret<32>, AtRestError>, usage| {
            assert_eq!(result.map(|_| ()).unwrap_err(), AtRestError::Sealed { usage });
        };
        refused(master.open(Use::DeviceRootKey, b"b", &sealed), Use::DeviceRootKey);
        refused(master.open(Use::ReleaseContentKey, b"a", &sealed), Use::ReleaseContentKey);
        refused(MasterKey::new(&secret(2)).open(Use::DeviceRootKey, b"a", &sealed), Use::DeviceRootKey);
    }

    #[test]
    fn refuses_every_flipped_bit_and_every_truncation() {
        let master = MasterKey::new(&secret(1));
        let sealed = master.seal(Use::DeviceRootKey, b"a", secret(9).expose()).unwrap();
        assert_eq!(sealed.len(), 12 + 32 + 16);
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(master.open(Use::DeviceRootKey, b"a", &changed).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(master.open(Use::DeviceRootKey, b"a", &sealed[..length]).is_err(), "length {length}");
        }
    }

    #[test]
    fn never_seals_twice_alike() {
        let master = MasterKey::new(&secret(1));
        let seal = || master.seal(Use::DeviceRootKey, b"a", secret(9).expose()).unwrap();
        assert_ne!(seal(), seal());
    }
}
