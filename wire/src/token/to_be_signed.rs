//! A token on its way out: everything but the signature.

use super::{Algorithm, Claims, MAX_CLAIMS, MAX_LIFETIME_S, encoded_len};
use crate::canonical::{OutputFull, Writer};
use base64ct::{Base64UrlUnpadded, Encoding};
use core::fmt;
use sha2::{Digest, Sha256};

/// Header and claims in the caller's buffer, waiting for a signature.
pub struct ToBeSigned<'o> {
    out: &'o mut [u8],
    written: usize,
    algorithm: Algorithm,
}

impl<'o> ToBeSigned<'o> {
    /// Writes header and claims into the beginning of `out`; [`super::MAX_TOKEN`] bytes are always enough for the token.
    ///
    /// # Errors
    /// [`WriteError`]; `OutputFull` already if the shortest signature of this algorithm would not fit.
    pub fn new(algorithm: Algorithm, claims: &Claims<'_>, out: &'o mut [u8]) -> Result<Self, WriteError> {
        // 1. Only what the other side may accept.
        if !Claims::is_audience(claims.audience) {
            return Err(WriteError::Audience);
        }
        let (issued_at, expires_at) = (claims.issued_at.0, claims.expires_at.0);
        let lifetime = expires_at.checked_sub(issued_at).ok_or(WriteError::ExpiresBeforeIssued)?;
        if lifetime > MAX_LIFETIME_S {
            return Err(WriteError::Lifetime { seconds: lifetime });
        }
        // 2. Header and claims as JSON, each as base64url.
        let mut json = [0; MAX_CLAIMS];
        let mut this = Self { out, written: 0, algorithm };
        let mut header = Writer::new(&mut json);
        header.literal("{\"typ\":\"JWT\",\"alg\":\"").literal(algorithm.as_str()).literal("\"}");
        this.append(header.finish()?)?;
        this.append_dot()?;
        let mut writer = Writer::new(&mut json);
        writer.literal("{\"aud\":\"").literal(claims.audience);
        writer.literal("\",\"iat\":").number(issued_at).literal(",\"exp\":").number(expires_at).literal("}");
        this.append(writer.finish()?)?;
        // 3. Do not ask for a signature that has no room.
        let shortest = match algorithm {
            Algorithm::Es256 => 64,
            Algorithm::Rs256 => 256,
        };
        if this.out.len() - this.written < 1 + encoded_len(shortest) {
            return Err(WriteError::OutputFull);
        }
        Ok(this)
    }

    /// What is to be signed, for a signer that hashes.
    #[must_use]
    pub fn signing_input(&self) -> &[u8] {
        self.out.get(..self.written).unwrap_or_default()
    }

    /// SHA-256 of [`Self::signing_input`], for a signer that does not.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.signing_input()).into()
    }

    /// The token. `signature`: for ES256 `r || s`, 64 bytes (not DER); for RS256 as many bytes as the modulus has,
    /// big-endian (the DS peripheral's is little-endian).
    ///
    /// # Errors
    /// [`WriteError::SignatureLength`] or [`WriteError::OutputFull`].
    pub fn finish(mut self, signature: &[u8]) -> Result<&'o str, WriteError> {
        if !self.algorithm.has_signature_of(signature.len()) {
            return Err(WriteError::SignatureLength { algorithm: self.algorithm, got: signature.len() });
        }
        self.append_dot()?;
        self.append(signature)?;
        let token = self.out.get(..self.written).ok_or(WriteError::OutputFull)?;
        core::str::from_utf8(token).map_err(|_| WriteError::OutputFull)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let room = self.out.get_mut(self.written..).ok_or(WriteError::OutputFull)?;
        let encoded = Base64UrlUnpadded::encode(bytes, room).map_err(|_| WriteError::OutputFull)?;
        self.written += encoded.len();
        Ok(())
    }

    fn append_dot(&mut self) -> Result<(), WriteError> {
        *self.out.get_mut(self.written).ok_or(WriteError::OutputFull)? = b'.';
        self.written += 1;
        Ok(())
    }
}

impl fmt::Debug for ToBeSigned<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToBeSigned").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// Why no token is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Empty, longer than [`super::MAX_AUDIENCE`], or with a character that JSON would have to escape.
    #[error("token: the audience is not 1 to 128 printable ASCII characters without quotes and backslashes")]
    Audience,
    /// It would be over before it begins.
    #[error("token: it expires before it is issued")]
    ExpiresBeforeIssued,
    /// Longer than [`MAX_LIFETIME_S`]; every server refuses that.
    #[error("token: it lives {seconds} s, at most 86400 s are allowed")]
    Lifetime {
        /// From `iat` to `exp`.
        seconds: u64,
    },
    /// Not a signature of this algorithm.
    #[error("token: {got} bytes are no {algorithm} signature")]
    SignatureLength {
        /// What the header says.
        algorithm: Algorithm,
        /// Bytes.
        got: usize,
    },
    /// The caller's buffer is too small.
    #[error("token: the output buffer is too small")]
    OutputFull,
}

impl From<OutputFull> for WriteError {
    fn from(OutputFull: OutputFull) -> Self {
        Self::OutputFull
    }
}
