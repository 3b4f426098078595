//! A key that signs for this device, wherever it is.
//!
//! | file | where the key is | algorithm |
//! |---|---|---|
//! | `stored_key` | in the encrypted NVS partition | ES256 |
//! | `ecdsa_peripheral` | in an eFuse block that only the ECDSA peripheral reads | ES256 |
//! | `digital_signature` | in flash, in a box that only the Digital Signature peripheral opens | RS256 |
//! | `crate::atecc::slot_signer` | in a slot of a secure element | ES256 |
//!
//! `token` writes the same token with any of them. ES256 is ECDSA over P-256 with SHA-256, RS256 is RSASSA-PKCS1-v1_5 with
//! SHA-256 (RFC 7518 sections 3.4 and 3.3).

pub mod digital_signature;
pub mod ecdsa_peripheral;
pub mod stored_key;
pub mod token;

use sha2::{Digest, Sha256};

/// Whoever has the private key for ES256. It need not be readable, not even by its owner.
pub trait Signer {
    /// Why nothing was signed.
    type Error;

    /// X, then Y, both big-endian.
    ///
    /// # Errors
    /// Those of whoever has the key.
    fn public_key(&mut self) -> Result<[u8; 64], Self::Error>;

    /// R, then S, both big-endian, as RFC 7518 section 3.4 wants them. `digest` is the message's SHA-256.
    ///
    /// # Errors
    /// Those of whoever has the key.
    fn sign_digest(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], Self::Error>;

    /// The same for a message, hashed here.
    ///
    /// # Errors
    /// As [`Self::sign_digest`].
    fn sign(&mut self, message: &[u8]) -> Result<[u8; 64], Self::Error> {
        self.sign_digest(&Sha256::digest(message).into())
    }
}

impl<S: Signer + ?Sized> Signer for &mut S {
    type Error = S::Error;

    fn public_key(&mut self) -> Result<[u8; 64], S::Error> {
        (**self).public_key()
    }

    fn sign_digest(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], S::Error> {
        (**self).sign_digest(digest)
    }
}
