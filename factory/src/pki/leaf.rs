//! What the certificate of a device or a server is to say.

use super::alternative::AlternativeName;
use super::ca::PkiError;
use super::name::Name;
use crate::public_key::{KeyKind, PublicKey};
use cotter_formats::secure_boot::v2::Curve;
use der::DateTime;
use der::asn1::ObjectIdentifier;
use der::oid::db::rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH};
use std::time::Duration;

/// The life of a certificate, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// First second.
    pub not_before: DateTime,
    /// Last second.
    pub not_after: DateTime,
}

impl Validity {
    /// From an hour before `now`, so that a device whose clock is a little behind agrees, for so many days from now.
    ///
    /// # Errors
    /// [`PkiError::Clock`] beyond the year 9999.
    pub fn days(now: DateTime, days: u32) -> Result<Self, PkiError> {
        let end = now.unix_duration() + Duration::from_secs(86_400 * u64::from(days));
        let not_after = DateTime::from_unix_duration(end).map_err(|_| PkiError::Clock)?;
        Ok(Self { not_before: Self::slack(now)?, not_after })
    }

    /// No well-defined expiry, `99991231235959Z`: what IEEE 802.1AR (8.7) has for identities that a device is born with.
    ///
    /// # Errors
    /// [`PkiError::Clock`] before 1970.
    pub fn forever(now: DateTime) -> Result<Self, PkiError> {
        Ok(Self { not_before: Self::slack(now)?, not_after: DateTime::INFINITY })
    }

    fn slack(now: DateTime) -> Result<DateTime, PkiError> {
        let begin = now.unix_duration().saturating_sub(Duration::from_secs(3600));
        DateTime::from_unix_duration(begin).map_err(|_| PkiError::Clock)
    }
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// TLS client: a device.
    Client,
    /// TLS server.
    Server,
    /// Another extended key usage.
    Other(ObjectIdentifier),
}

impl Purpose {
    /// Its object identifier.
    #[must_use]
    pub const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Server => ID_KP_SERVER_AUTH,
            Self::Client => ID_KP_CLIENT_AUTH,
            Self::Other(oid) => oid,
        }
    }
}

/// What the certificate of a device or a server is to say, next to its key.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// Whom it names.
    pub subject: Name,
    /// Hosts and addresses.
    pub alternative_names: Vec<AlternativeName>,
    /// What it is for; nothing said if empty.
    pub purposes: Vec<Purpose>,
    /// How long.
    pub validity: Validity,
}

/// Keys that get certificates here: RSA from 2048 bits on, with an odd exponent above 2; P-256; P-384.
///
/// # Errors
/// [`PkiError::Weak`] with what is wrong.
pub fn judge_key(key: &PublicKey) -> Result<(), PkiError> {
    let kind = key.kind();
    match (kind, key) {
        (KeyKind::Rsa(..2048), _) => Err(PkiError::Weak(kind, "has fewer than 2048 bits")),
        (KeyKind::Rsa(8193..), _) => Err(PkiError::Weak(kind, "has more than 8192 bits, which nobody verifies")),
        (KeyKind::Rsa(_), PublicKey::Rsa(numbers)) if numbers.e.last().is_none_or(|low| low % 2 == 0) => {
            Err(PkiError::Weak(kind, "has an even exponent"))
        }
        (KeyKind::Rsa(_), PublicKey::Rsa(numbers)) if numbers.e == [1] => {
            Err(PkiError::Weak(kind, "has the exponent 1"))
        }
        (KeyKind::Ecdsa(Curve::P192), _) => {
            Err(PkiError::Weak(kind, "is 96 bits strong, and TLS has no P-192 any more"))
        }
        _ => Ok(()),
    }
}
