//! Whether a device is believed by its token: the rules of Cloud IoT Core, in the order of trust.
//!
//! A token names no device: whoever connects says which device it is, and the token has to be signed by a key of exactly
//! that one. So no key is registered for two devices ([`crate::device_key::DeviceKeys`]).

use crate::device_key::DeviceKey;
use cotter_wire::ids::{KeyId, UnixTime};
use cotter_wire::token::{Algorithm, Claims, MAX_LIFETIME_S, SKEW_S, TokenError, Unverified, Verified};
use subtle::ConstantTimeEq;

/// A key of the device that connects.
#[derive(Debug)]
pub struct RegisteredKey {
    /// The key.
    pub key: DeviceKey,
    /// From when on it does not count; `None` if it does not end.
    pub expires_at: Option<UnixTime>,
}

impl RegisteredKey {
    fn is_expired(&self, now: UnixTime) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }
}

/// What a token must say.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// `aud`.
    pub project: &'a str,
    /// Which tokens are too old although they are valid.
    pub reuse: Reuse,
}

/// For how long one token opens connections. Google's words leave it open ("may report an error if this timestamp is too
/// far in the past"); its clients were seen to do both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// Until it expires: for clients that connect again with what they have.
    UntilExpired,
    /// Within the skew after it was made: for clients that make one for each connection. A stolen token is of use for
    /// minutes.
    WhileFresh,
}

/// A connection that may be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// The key that signed.
    pub key: KeyId,
    /// When it is to be closed: when the token has expired, the skew included, or the key, whichever is first.
    pub close_at: UnixTime,
}

/// Decides about `token`. `keys`: those that are registered for the device that connects, expired ones included.
///
/// # Errors
/// [`TokenRefusal`]. Its name and text are for the log; whoever connects is told "not authorized" (CONNACK 5) and no more.
pub fn admit(
    token: &[u8],
    keys: &[RegisteredKey],
    expected: &Expected<'_>,
    now: UnixTime,
) -> Result<Admission, TokenRefusal> {
    // 1. The form, without a claim.
    let token = Unverified::parse(token)?;
    // 2. The signature, by a key of that device, of the algorithm that the key has. Keys that do not count any more come
    //    last and only give the refusal its name.
    let (valid, expired): (Vec<_>, Vec<_>) = keys.iter().partition(|key| !key.is_expired(now));
    let (registered, verified) = match signed_by(&token, &valid)? {
        Some(found) => found,
        None => return Err(why_not(&token, keys, &expired)?),
    };
    // 3. What was signed.
    let claims = verified.claims();
    check(&claims, expected, now)?;
    // 4. Until when.
    let token_ends = UnixTime(claims.expires_at.0.saturating_add(SKEW_S));
    let close_at = registered.expires_at.map_or(token_ends, |key_ends| key_ends.min(token_ends));
    Ok(Admission { key: registered.key.id(), close_at })
}

fn signed_by<'k>(
    token: &Unverified<'_>,
    keys: &[&'k RegisteredKey],
) -> Result<Option<(&'k RegisteredKey, Verified)>, TokenError> {
    for registered in keys.iter().filter(|registered| registered.key.algorithm() == token.algorithm()) {
        match token.verify(|input, signature| registered.key.verifies(input, signature)) {
            Ok(verified) => return Ok(Some((registered, verified))),
            Err(TokenError::Signature) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(None)
}

fn why_not(
    token: &Unverified<'_>,
    keys: &[RegisteredKey],
    expired: &[&RegisteredKey],
) -> Result<TokenRefusal, TokenError> {
    let algorithm = token.algorithm();
    Ok(if keys.is_empty() {
        TokenRefusal::NoKey
    } else if keys.iter().all(|registered| registered.key.algorithm() != algorithm) {
        TokenRefusal::OtherAlgorithm { algorithm }
    } else if let Some((registered, _)) = signed_by(token, expired)? {
        TokenRefusal::KeyExpired { key: registered.key.id() }
    } else {
        TokenRefusal::Token(TokenError::Signature)
    })
}

fn check(claims: &Claims<'_>, expected: &Expected<'_>, now: UnixTime) -> Result<(), TokenRefusal> {
    let (issued_at, expires_at) = (claims.issued_at.0, claims.expires_at.0);
    if !bool::from(claims.audience.as_bytes().ct_eq(expected.project.as_bytes())) {
        return Err(TokenRefusal::OtherProject);
    }
    let lifetime = expires_at.checked_sub(issued_at).ok_or(TokenRefusal::ExpiresBeforeIssued)?;
    if lifetime > MAX_LIFETIME_S + SKEW_S {
        return Err(TokenRefusal::Lifetime { seconds: lifetime });
    }
    if issued_at > now.0.saturating_add(SKEW_S) {
        return Err(TokenRefusal::IssuedLater { seconds: issued_at - now.0 });
    }
    if expires_at.saturating_add(SKEW_S) <= now.0 {
        return Err(TokenRefusal::Expired { seconds: now.0 - expires_at });
    }
    if expected.reuse == Reuse::WhileFresh && issued_at.saturating_add(SKEW_S) < now.0 {
        return Err(TokenRefusal::Stale { seconds: now.0 - issued_at });
    }
    Ok(())
}

/// Why a device is not believed. For the audit log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// What the wire found wrong, a signature that does not hold included.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The device has no key.
    #[error("token: the device has no key")]
    NoKey,
    /// It has keys, but none of this kind.
    #[error("token: the device has no key for {algorithm}")]
    OtherAlgorithm {
        /// By the header.
        algorithm: Algorithm,
    },
    /// Signed well, by a key that does not count any more.
    #[error("token: its key {key} has expired")]
    KeyExpired {
        /// Which.
        key: KeyId,
    },
    /// Meant for another project.
    #[error("token: meant for another project")]
    OtherProject,
    /// `exp` before `iat`.
    #[error("token: it expires before it was issued")]
    ExpiresBeforeIssued,
    /// `exp` more than 24 hours (and the skew) after `iat`.
    #[error("token: it lives {seconds} s")]
    Lifetime {
        /// From `iat` to `exp`.
        seconds: u64,
    },
    /// `iat` ahead of our clock by more than the skew.
    #[error("token: issued {seconds} s in the future")]
    IssuedLater {
        /// How far.
        seconds: u64,
    },
    /// `exp` behind our clock by the skew.
    #[error("token: expired {seconds} s ago")]
    Expired {
        /// How long ago.
        seconds: u64,
    },
    /// Valid, but made too long ago for [`Reuse::WhileFresh`].
    #[error("token: issued {seconds} s ago")]
    Stale {
        /// How long ago.
        seconds: u64,
    },
}

impl TokenRefusal {
    /// A stable name for the log.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Token(TokenError::Signature) => "token-signature",
            Self::Token(TokenError::Algorithm(_) | TokenError::NoAlgorithm) => "token-algorithm",
            Self::Token(_) => "token-malformed",
            Self::NoKey => "token-no-key",
            Self::OtherAlgorithm { .. } => "token-other-algorithm",
            Self::KeyExpired { .. } => "token-key-expired",
            Self::OtherProject => "token-other-project",
            Self::ExpiresBeforeIssued | Self::Lifetime { .. } => "token-lifetime",
            Self::IssuedLater { .. } => "token-issued-later",
            Self::Expired { .. } => "token-expired",
            Self::Stale { .. } => "token-stale",
        }
    }
}

#[cfg(test)]
mod tests;
