//! Device tokens: what a device shows instead of a password when it connects to the MQTT bridge. JSON Web Tokens in their
//! compact form (RFC 7519, RFC 7515), signed by a key that the device has and the server knows the public half of.
//!
//! ```text
//! token     base64url(header) "." base64url(claims) "." base64url(signature)          without padding, at most MAX_TOKEN
//! header    {"typ":"JWT","alg":"ES256"}                                               or RS256
//! claims    {"aud":"<project id>","iat":1700000000,"exp":1700043200}                  seconds since 1970
//! signature ES256: r || s, 32 bytes each, big-endian; RS256: PKCS#1 v1.5 over SHA-256, 256 to 512 bytes, big-endian
//! input     base64url(header) "." base64url(claims)                                   what is hashed and signed
//! ```
//!
//! Device: [`ToBeSigned`] hands out the input and its digest, so that any signer will do (a secure element, the DS
//! peripheral, a key in memory), and takes the signature. Server: [`Unverified`], of which nothing but the algorithm and
//! the input can be seen, and [`Verified`] with the claims. Whether those claims are the right ones, and now, is the
//! server's to decide.
//!
//! Unlike our own messages, tokens are JSON as others write it: members in any order, white space between them, members
//! that we do not know. What is refused all the same, by RFC 8725 (best current practices for JWT):
//!
//! | header | what becomes of it |
//! |---|---|
//! | `alg` | ES256 or RS256, by exactly that name (3.1) |
//! | `typ` | `JWT`, or absent |
//! | `crit`, `b64` | refused: they change what the signature means (RFC 7515 4.1.11, RFC 7797) |
//! | `jwk`, `jku`, `x5c`, `x5u` | refused: a token does not bring the key that it is verified with (3.10) |
//! | `kid`, `x5t` and all others | ignored: keys are looked up by the device's name alone, so no hint can choose one (3.10), and RFC 7515 4 wants what is not understood to be ignored |
//!
//! Of the claims, `nbf` and all unknown ones are ignored. Names are unique in every object, and are written without
//! escapes, so that no two spellings of one name can pass as two members.
//!
//! Source: Cloud IoT Core, "Using JSON Web Tokens", which ClearBlade IoT Core continues.

mod base64url;
mod json;
mod to_be_signed;
mod unverified;

pub use base64url::Base64UrlError;
pub use json::JsonError;
pub use to_be_signed::{ToBeSigned, WriteError};
pub use unverified::{AlgorithmName, Part, TokenError, Unverified, Verified};

use crate::ids::UnixTime;
use core::fmt;

/// Longest header, in bytes of JSON.
pub const MAX_HEADER: usize = 256;
/// Longest claims, in bytes of JSON.
pub const MAX_CLAIMS: usize = 512;
/// Longest signature, in bytes: that of an RSA key of 4096 bits.
pub const MAX_SIGNATURE: usize = 512;
/// Longest token, in characters.
pub const MAX_TOKEN: usize = encoded_len(MAX_HEADER) + 1 + encoded_len(MAX_CLAIMS) + 1 + encoded_len(MAX_SIGNATURE);
/// Longest audience, in characters.
pub const MAX_AUDIENCE: usize = 128;
/// Longest time from `iat` to `exp`, in seconds.
pub const MAX_LIFETIME_S: u64 = 24 * 60 * 60;
/// How far the clocks of device and server may be apart, in seconds.
pub const SKEW_S: u64 = 10 * 60;

/// How a token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256, 2048 to 4096 bits.
    Rs256,
}

impl Algorithm {
    /// The name in the header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }

    /// Whether a signature of so many bytes can be one of this algorithm.
    #[must_use]
    pub const fn has_signature_of(self, len: usize) -> bool {
        match self {
            Self::Es256 => len == 64,
            Self::Rs256 => len >= 256 && len <= MAX_SIGNATURE,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a token claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claims<'a> {
    /// The project that the token is meant for: 1 to [`MAX_AUDIENCE`] printable ASCII characters, no `"` and no `\`.
    #[doc(alias = "aud")]
    pub audience: &'a str,
    /// When it was made.
    #[doc(alias = "iat")]
    pub issued_at: UnixTime,
    /// When it ends.
    #[doc(alias = "exp")]
    pub expires_at: UnixTime,
}

impl Claims<'_> {
    /// Whether this can be an audience: then it has one spelling in JSON.
    #[must_use]
    pub fn is_audience(text: &str) -> bool {
        let allows = |byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        (1..=MAX_AUDIENCE).contains(&text.len()) && text.bytes().all(allows)
    }
}

/// Characters of base64url without padding for so many bytes.
const fn encoded_len(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}

#[cfg(test)]
mod tests;
