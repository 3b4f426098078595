//! The administrator's bearer token: random, shown once, stored as a hash, compared in constant time.

use crate::key_file::{self, KeyFileError};
use cotter_formats::secret::Secret;
use cotter_wire::hex;
use sha2::{Digest, Sha256};
use std::path::Path;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A token just made. It exists only until it has been shown.
#[derive(Debug)]
pub struct AdminToken(Secret<32>);

/// What is kept of it. A SHA-256 is enough: the token has 256 random bits, so there is nothing to guess.
#[derive(Debug, Clone, Copy)]
pub struct AdminTokenHash([u8; 32]);

impl AdminToken {
    /// Makes a new one.
    ///
    /// # Errors
    /// [`KeyFileError::NoRandomness`].
    pub fn random() -> Result<Self, KeyFileError> {
        key_file::random_key().map(Self)
    }

    /// The text to put after `Authorization: Bearer `.
    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        let mut digits = Zeroizing::new([0; 64]);
        Zeroizing::new(hex::encode(self.0.expose(), &mut digits[..]).unwrap_or_default().to_owned())
    }

    /// Writes its hash to a new file.
    ///
    /// # Errors
    /// [`KeyFileError::Io`].
    pub fn write_hash(&self, path: &Path) -> Result<(), KeyFileError> {
        let mut digits = [0; 64];
        let hash = hash(self.reveal().as_bytes());
        let text = hex::encode(&hash, &mut digits).unwrap_or_default();
        key_file::write_new(path, format!("{text}\n").as_bytes())
    }
}

impl AdminTokenHash {
    /// Reads what [`AdminToken::write_hash`] wrote.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        // Public since it was hashed: nobody can go back from it to the token.
        key_file::read(path).map(|hash| Self(hash.into_public()))
    }

    /// Whether an `Authorization` header carries the token.
    #[must_use]
    pub fn admits(&self, authorization: &[u8]) -> bool {
        let Some(token) = authorization.strip_prefix(b"Bearer ") else { return false };
        hash(token).ct_eq(&self.0).into()
    }
}

fn hash(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admits_the_token_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hash");
        let token = AdminToken::random().unwrap();
        token.write_hash(&path).unwrap();
        let hash = AdminTokenHash::read(&path).unwrap();
        let text = token.reveal();
        assert!(hash.admits(format!("Bearer {}", *text).as_bytes()));
        let other = AdminToken::random().unwrap().reveal();
        for refused in [
            String::new(),
            "Bearer ".into(),
            text.to_string(),
            format!("bearer {}", *text),
            format!("Bearer {}", text.to_uppercase()),
            format!("Bearer  {}", *text),
            format!("Bearer {}", *other),
        ] {
            assert!(!hash.admits(refused.as_bytes()), "{refused}");
        }
        assert!(!std::fs::read_to_string(&path).unwrap().contains(text.as_str()));
    }
}
