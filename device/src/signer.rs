//! A key that signs for this device, wherever it is: ES256, which is ECDSA over P-256 with SHA-256.

use sha2::{Digest, Sha256};

/// Whoever has the private key. It need not be readable, not even by its owner.
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
