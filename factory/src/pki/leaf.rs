//! What a certificate is to say, and how that is encoded: RFC 5280, version 3, serial numbers of 20 random bytes.

use super::alternative::{AlternativeName, general_names};
use super::ca::PkiError;
use super::der::{
    BIT_STRING, BOOLEAN, GENERALIZED_TIME, INTEGER, OCTET_STRING, SEQUENCE, UTC_TIME, context, context_primitive,
    integer, nest, oid, tlv,
};
use super::name::Name;
use crate::public_key::{KeyKind, PublicKey};
use crate::signing::random;
use cotter_formats::secure_boot::v2::Curve;
use sha2::{Digest, Sha256};
use std::time::Duration;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{DateTime, Decode};
use x509_cert::spki::SubjectPublicKeyInfoRef;

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

    fn to_der(self) -> Vec<u8> {
        nest(SEQUENCE, &[time(self.not_before), time(self.not_after)])
    }
}

/// UTCTime through 2049, GeneralizedTime from then on (RFC 5280, 4.1.2.5).
fn time(time: DateTime) -> Vec<u8> {
    let (year, rest) = (
        time.year(),
        format!("{:02}{:02}{:02}{:02}{:02}Z", time.month(), time.day(), time.hour(), time.minutes(), time.seconds()),
    );
    if (1950..2050).contains(&year) {
        tlv(UTC_TIME, format!("{:02}{rest}", year % 100).as_bytes())
    } else {
        tlv(GENERALIZED_TIME, format!("{year:04}{rest}").as_bytes())
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
            Self::Server => ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1"),
            Self::Client => ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2"),
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

impl Leaf {
    pub(super) fn extensions(&self) -> Vec<Vec<u8>> {
        let mut extensions =
            vec![extension(BASIC_CONSTRAINTS, true, &tlv(SEQUENCE, &[])), key_usage(&[DIGITAL_SIGNATURE])];
        if !self.purposes.is_empty() {
            let purposes: Vec<Vec<u8>> = self.purposes.iter().map(|purpose| oid(purpose.oid())).collect();
            extensions.push(extension(EXTENDED_KEY_USAGE, false, &nest(SEQUENCE, &purposes)));
        }
        // RFC 5280, 4.2.1.6: critical if nothing else names the subject.
        extensions.extend(alternative_names(&self.alternative_names, self.subject.is_empty()));
        extensions
    }
}

/// The extension with the names, if there are any.
pub(super) fn alternative_names(names: &[AlternativeName], critical: bool) -> Option<Vec<u8>> {
    (!names.is_empty()).then(|| extension(SUBJECT_ALT_NAME, critical, &general_names(names)))
}

/// The extensions of an authority.
pub(super) fn authority_extensions(path_length: Option<u8>) -> Vec<Vec<u8>> {
    let mut constraints = vec![tlv(BOOLEAN, &[0xff])];
    constraints.extend(path_length.map(|length| integer(&[length])));
    vec![extension(BASIC_CONSTRAINTS, true, &nest(SEQUENCE, &constraints)), key_usage(&[KEY_CERT_SIGN, CRL_SIGN])]
}

/// TBSCertificate of version 3, with a fresh serial number and both key identifiers.
pub(super) struct Body<'a> {
    pub(super) algorithm: Vec<u8>,
    pub(super) issuer: &'a Name,
    pub(super) issuer_key_id: Option<&'a [u8]>,
    pub(super) subject: &'a Name,
    pub(super) validity: Validity,
    pub(super) spki: &'a [u8],
    pub(super) extensions: Vec<Vec<u8>>,
}

impl Body<'_> {
    pub(super) fn encode(mut self) -> Result<Vec<u8>, PkiError> {
        let key_id = tlv(OCTET_STRING, &key_id(self.spki)?);
        self.extensions.push(extension(SUBJECT_KEY_ID, false, &key_id));
        if let Some(id) = self.issuer_key_id {
            let id = nest(SEQUENCE, &[tlv(context_primitive(0), id)]);
            self.extensions.push(extension(AUTHORITY_KEY_ID, false, &id));
        }
        Ok(nest(
            SEQUENCE,
            &[
                tlv(context(0), &tlv(INTEGER, &[2])),
                integer(&serial()?),
                self.algorithm,
                self.issuer.as_der().to_vec(),
                self.validity.to_der(),
                self.subject.as_der().to_vec(),
                self.spki.to_vec(),
                tlv(context(3), &nest(SEQUENCE, &self.extensions)),
            ],
        ))
    }
}

/// 20 bytes: as many as RFC 5280 (4.1.2.2) allows, positive, and never shorter. 158 of the bits are random.
fn serial() -> Result<[u8; 20], PkiError> {
    let mut serial = [0; 20];
    random(&mut serial).map_err(|_| PkiError::Random)?;
    serial[0] = serial[0] & 0x3f | 0x40;
    Ok(serial)
}

/// The first 160 bits of SHA-256 over the key's bits: RFC 7093, method 1.
pub(super) fn key_id(spki: &[u8]) -> Result<[u8; 20], PkiError> {
    let info = SubjectPublicKeyInfoRef::from_der(spki).map_err(|_| PkiError::Key)?;
    let digest = Sha256::digest(info.subject_public_key.as_bytes().ok_or(PkiError::Key)?);
    let mut id = [0; 20];
    id.copy_from_slice(&digest[..20]);
    Ok(id)
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

/// One extension.
pub(super) fn extension(id: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let mut parts = vec![oid(ObjectIdentifier::new_unwrap(id))];
    if critical {
        parts.push(tlv(BOOLEAN, &[0xff]));
    }
    parts.push(tlv(OCTET_STRING, value));
    nest(SEQUENCE, &parts)
}

/// `keyUsage` with these bits, counted from the first one sent.
fn key_usage(bits: &[u8]) -> Vec<u8> {
    let byte = bits.iter().fold(0, |byte, bit| byte | 0x80 >> bit);
    // A named bit list ends with its last one bit.
    let unused = u8::try_from(u8::trailing_zeros(byte)).unwrap_or(7);
    extension(KEY_USAGE, true, &tlv(BIT_STRING, &[unused, byte]))
}

const DIGITAL_SIGNATURE: u8 = 0;
const KEY_CERT_SIGN: u8 = 5;
const CRL_SIGN: u8 = 6;
const SUBJECT_KEY_ID: &str = "2.5.29.14";
const KEY_USAGE: &str = "2.5.29.15";
const SUBJECT_ALT_NAME: &str = "2.5.29.17";
const BASIC_CONSTRAINTS: &str = "2.5.29.19";
const AUTHORITY_KEY_ID: &str = "2.5.29.35";
const EXTENDED_KEY_USAGE: &str = "2.5.29.37";
