//! An administrator's bearer token: random, shown once, stored as a hash.

use crate::administrator::{AdminName, Role};
use crate::key_file::{self, KeyFileError};
use cotter_formats::secret::Secret;
use cotter_wire::hex;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A token just made. It exists only until it has been shown.
#[derive(Debug)]
pub struct AdminToken(Secret<32>);

/// What is kept of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// Whose it is; unique.
    pub name: AdminName,
    /// What it may do.
    pub role: Role,
    /// Its hash.
    pub hash: TokenHash,
    /// Unix seconds.
    pub added_at: u64,
    /// Unix seconds from which on it is void; `None` for never.
    pub expires_at: Option<u64>,
}

/// Seconds.
const DAY: u64 = 86_400;

/// SHA-256 of the token's text. It is enough: the token has 256 random bits, so there is nothing to guess, and finding
/// a hash by its first bytes does not lead to a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenHash(pub [u8; 32]);

impl AdminToken {
    /// Makes a new one.
    ///
    /// # Errors
    /// [`KeyFileError::NoRandomness`].
    fn random() -> Result<Self, KeyFileError> {
        key_file::random_key().map(Self)
    }

    /// Makes one for somebody, valid for `days` or until it is revoked, with what is kept of it.
    ///
    /// # Errors
    /// [`KeyFileError::NoRandomness`].
    pub fn issue(
        name: AdminName,
        role: Role,
        now: u64,
        days: Option<u32>,
    ) -> Result<(Self, TokenRecord), KeyFileError> {
        let token = Self::random()?;
        let expires_at = days.map(|days| now.saturating_add(u64::from(days) * DAY));
        let record = TokenRecord { name, role, hash: token.hash(), added_at: now, expires_at };
        Ok((token, record))
    }

    /// The text to put after `Authorization: Bearer `.
    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        let mut digits = Zeroizing::new([0; 64]);
        Zeroizing::new(hex::encode(self.0.expose(), &mut digits[..]).unwrap_or_default().to_owned())
    }

    /// What the store may know of it.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        hash(self.reveal().as_bytes())
    }
}

impl TokenHash {
    /// Of the token in an `Authorization` header; `None` if it carries none.
    #[must_use]
    pub fn of_header(authorization: &[u8]) -> Option<Self> {
        let token = authorization.strip_prefix(b"Bearer ").filter(|token| token.len() == 64)?;
        Some(hash(token))
    }
}

fn hash(token: &[u8]) -> TokenHash {
    TokenHash(Sha256::digest(token).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_carries_the_token_in_one_spelling() {
        let (token, other) = (AdminToken::random().unwrap(), AdminToken::random().unwrap().reveal());
        let text = token.reveal();
        assert_eq!(TokenHash::of_header(format!("Bearer {}", *text).as_bytes()), Some(token.hash()));
        for refused in [
            String::new(),
            "Bearer ".into(),
            text.to_string(),
            format!("bearer {}", *text),
            format!("Bearer {}", text.to_uppercase()),
            format!("Bearer  {}", *text),
            format!("Bearer {}", *other),
        ] {
            assert_ne!(TokenHash::of_header(refused.as_bytes()), Some(token.hash()), "{refused}");
        }
    }
}
