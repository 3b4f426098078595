//! Certificates that fit into 72 bytes of a secure element: compressed, and made whole again byte for byte.
//!
//! What is left out is the certificate of whoever signed it, the subject, and what the template id stands for. What it
//! comes to is believed because the signature verifies over it, not because of where it was stored.

use super::ca::PkiError;
use super::certificate::Certificate;
use super::leaf::{Leaf, Purpose, Validity};
use super::name::Name;
use super::profile::{Issuer, Profile, SERIAL_LEN};
use super::signature::{Hash, SignatureAlgorithm, SignatureError};
use crate::public_key::{PublicKey, PublicKeyError};
use cotter_formats::atecc::certificate::{CompressedCertificate, CompressedDates, CompressedError, Hour, SerialSource};
use cotter_formats::secure_boot::v2::Curve;
use der::DateTime;

/// What a leaf is for, by the template id of its compressed form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeafTemplate {
    /// 1: a TLS client.
    Device,
    /// 2: anything.
    Any,
}

impl LeafTemplate {
    /// Its nibble.
    #[must_use]
    pub const fn id(self) -> u8 {
        match self {
            Self::Device => 1,
            Self::Any => 2,
        }
    }

    /// From a nibble.
    #[must_use]
    pub const fn from_id(id: u8) -> Option<Self> {
        match id {
            1 => Some(Self::Device),
            2 => Some(Self::Any),
            _ => None,
        }
    }

    pub(super) fn leaf(self, subject: &Name, validity: Validity) -> Leaf {
        let purposes = match self {
            Self::Device => vec![Purpose::Client],
            Self::Any => Vec::new(),
        };
        Leaf { subject: subject.clone(), alternative_names: Vec::new(), purposes, validity }
    }
}

/// What a compressed certificate leaves out.
#[derive(Clone, Copy, Debug)]
pub struct Shape<'a> {
    /// The certificate of whoever signed it.
    pub issuer: &'a Certificate,
    /// Whom it names.
    pub subject: &'a Name,
}

impl Shape<'_> {
    /// The 72 bytes of a certificate, which [`Self::expand`] makes whole again.
    ///
    /// # Errors
    /// [`CompressionError`] for one that [`super::ProductCa::issue_compressible`] did not issue.
    pub fn compress(&self, certificate: &Certificate) -> Result<CompressedCertificate, CompressionError> {
        if certificate.signature_algorithm() != SignatureAlgorithm::Ecdsa(Hash::Sha256) {
            return Err(CompressionError::Algorithm);
        }
        let key = certificate.public_key()?;
        let unique = point(&key)?;
        let dates = dates(certificate.not_before(), certificate.not_after())?;
        let serial = dates.hashed_serial(&unique);
        if serial.get(..SERIAL_LEN) != Some(certificate.serial()) {
            return Err(CompressionError::Serial);
        }
        let signature = p256::ecdsa::Signature::from_der(certificate.signature());
        let signature = signature.map_err(|_| CompressionError::Algorithm)?.to_bytes().into();
        let mut last = CompressionError::Template(0);
        for template in [LeafTemplate::Device, LeafTemplate::Any] {
            let compressed = CompressedCertificate {
                signature,
                dates,
                signer_id: signer_id(self.issuer),
                template_id: template.id(),
                chain_id: 0,
                serial_source: SerialSource::KEY_HASH,
            };
            match self.expand(&compressed, &key) {
                Ok(again) if again.as_der() == certificate.as_der() => return Ok(compressed),
                Ok(_) => last = CompressionError::Encoding,
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The whole certificate for that key, whose signature verifies.
    ///
    /// # Errors
    /// [`CompressionError`]; [`CompressionError::Signature`] if key, subject or signer are others.
    pub fn expand(&self, compressed: &CompressedCertificate, key: &PublicKey) -> Result<Certificate, CompressionError> {
        if compressed.serial_source != SerialSource::KEY_HASH {
            return Err(CompressionError::Source(compressed.serial_source.0));
        }
        let template = LeafTemplate::from_id(compressed.template_id);
        let template = template.ok_or(CompressionError::Template(compressed.template_id))?;
        // Zeros: cryptoauthlib, which looks for the id in the issuer's name and finds none there.
        if ![[0; 2], signer_id(self.issuer)].contains(&compressed.signer_id) {
            return Err(CompressionError::Signer { expected: signer_id(self.issuer), got: compressed.signer_id });
        }
        let signer = self.issuer.public_key()?;
        point(&signer).map_err(|_| CompressionError::Issuer)?;
        let life = validity(compressed.dates)?;
        let serial = compressed.dates.hashed_serial(&point(key)?);
        let serial = serial.get(..SERIAL_LEN).unwrap_or(&serial);
        let signature = p256::ecdsa::Signature::from_slice(&compressed.signature);
        let signature = signature.map_err(|_| CompressionError::Signature(SignatureError::Wrong))?.to_der();
        let key_id = self.issuer.subject_key_id().map_err(|error| Box::new(error.into()))?;
        let whole = Issuer::new(self.issuer.subject(), key_id)
            .and_then(|issuer| Profile::compressible(issuer, &template.leaf(self.subject, life)))
            .and_then(|profile| profile.assemble(key, life, serial, &signer, signature.as_bytes()))
            .map_err(Box::new)?;
        let algorithm = whole.signature_algorithm();
        algorithm.verify(self.issuer.spki(), whole.signed(), whole.signature()).map_err(CompressionError::Signature)?;
        Ok(whole)
    }
}

/// Two bytes that tell one CA from another: the first of its key's identifier.
fn signer_id(issuer: &Certificate) -> [u8; 2] {
    let id = issuer.subject_key_id().ok().flatten();
    id.and_then(|id| id.first_chunk().copied()).unwrap_or_default()
}

/// X and Y of a key on P-256.
pub(super) fn point(key: &PublicKey) -> Result<[u8; 64], CompressionError> {
    match key {
        PublicKey::Ecdsa(key) if key.curve() == Curve::P256 => {
            key.point().try_into().map_err(|_| CompressionError::Curve)
        }
        _ => Err(CompressionError::Curve),
    }
}

/// The life between two moments, if it is one that fits.
///
/// # Errors
/// [`CompressionError::Dates`].
pub fn dates(not_before: DateTime, not_after: DateTime) -> Result<CompressedDates, CompressionError> {
    let misfit = || CompressionError::Dates(not_before, not_after);
    let hour = |time: DateTime| {
        let (year, month, day, hour) = (time.year(), time.month(), time.day(), time.hour());
        (time.minutes() == 0 && time.seconds() == 0).then_some(Hour { year, month, day, hour })
    };
    let issued = hour(not_before).ok_or_else(misfit)?;
    let years = if not_after == DateTime::INFINITY {
        0
    } else {
        let end = hour(not_after).filter(|end| *end > issued).ok_or_else(misfit)?;
        u8::try_from(end.year - issued.year).map_err(|_| misfit())?
    };
    let dates = CompressedDates::new(issued, years).map_err(|_| misfit())?;
    let end = dates.end().map_or(Ok(DateTime::INFINITY), moment)?;
    if end == not_after { Ok(dates) } else { Err(misfit()) }
}

/// From the last full hour, for so many years.
///
/// # Errors
/// [`CompressionError::Compressed`].
pub fn dates_from(now: DateTime, years: u8) -> Result<CompressedDates, CompressionError> {
    let issued = Hour { year: now.year(), month: now.month(), day: now.day(), hour: now.hour() };
    Ok(CompressedDates::new(issued, years)?)
}

pub(super) fn validity(dates: CompressedDates) -> Result<Validity, CompressionError> {
    let not_after = dates.end().map_or(Ok(DateTime::INFINITY), moment)?;
    Ok(Validity { not_before: moment(dates.issued())?, not_after })
}

fn moment(hour: Hour) -> Result<DateTime, CompressionError> {
    DateTime::new(hour.year, hour.month, hour.day, hour.hour, 0, 0)
        .map_err(|_| CompressionError::Compressed(CompressedError::Date))
}

impl From<CompressionError> for PkiError {
    fn from(error: CompressionError) -> Self {
        Box::new(error).into()
    }
}

/// Why a certificate is not compressed, or not made whole.
#[derive(Debug, thiserror::Error)]
pub enum CompressionError {
    /// ECDSA over P-256 with SHA-256, or nothing.
    #[error("compressed certificate: it is not signed with ECDSA over P-256 and SHA-256")]
    Algorithm,
    /// Another curve, or RSA.
    #[error("compressed certificate: its key is not on P-256")]
    Curve,
    /// The CA's key is not on P-256.
    #[error("compressed certificate: the CA's key is not on P-256")]
    Issuer,
    /// No full hours, or not whole years.
    #[error(
        "compressed certificate: a life from {0} to {1} does not fit: it begins at a full hour, and ends whole years later or never"
    )]
    Dates(DateTime, DateTime),
    /// The serial number is no hash of key and dates.
    #[error("compressed certificate: its serial number is not the hash of key and dates")]
    Serial,
    /// The serial number is from somewhere else.
    #[error("compressed certificate: its serial number is from source {0:#x}, expected 0xa: key and dates")]
    Source(u8),
    /// An unknown template.
    #[error("compressed certificate: template {0} is not known here")]
    Template(u8),
    /// Another CA.
    #[error("compressed certificate: it is by signer {got:02x?}, this CA is {expected:02x?}")]
    Signer {
        /// The CA's.
        expected: [u8; 2],
        /// The certificate's.
        got: [u8; 2],
    },
    /// It says more than a template does, or says it otherwise.
    #[error("compressed certificate: made whole again it is another one")]
    Encoding,
    /// What it comes to is not what was signed.
    #[error("compressed certificate: made whole, {0}: key, subject or CA are others")]
    Signature(SignatureError),
    /// The 72 bytes.
    #[error(transparent)]
    Compressed(#[from] CompressedError),
    /// The public key.
    #[error(transparent)]
    Key(#[from] PublicKeyError),
    /// The encoder.
    #[error(transparent)]
    Pki(#[from] Box<PkiError>),
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test panics where it fails")]
    use super::*;
    use crate::pki::{AuthorityPlan, ProductCa, now};
    use crate::private_key::PrivateKey;
    use crate::public_key::KeyKind;

    fn key() -> PublicKey {
        PrivateKey::generate(KeyKind::Ecdsa(Curve::P256)).unwrap().public().clone()
    }

    fn subject() -> Name {
        "CN=0123456789abcdefee".parse().unwrap()
    }

    #[test]
    fn a_certificate_survives_its_compression_byte_for_byte() {
        let ca = ProductCa::generate("Test CA").unwrap();
        for years in [0, 1, 25, 31, 40] {
            for template in [LeafTemplate::Device, LeafTemplate::Any] {
                let (key, subject) = (key(), subject());
                // The 29th of February does not exist in each year.
                let issued = Hour { year: 2026, month: 3, day: 1, hour: 9 };
                let dates = CompressedDates::new(issued, years).unwrap();
                let whole = ca.issue_compressible(&key, &subject, template, dates).unwrap();
                let shape = Shape { issuer: ca.certificate(), subject: &subject };
                let bytes = shape.compress(&whole).unwrap().to_bytes();
                let compressed = CompressedCertificate::parse(&bytes).unwrap();
                assert_eq!(compressed.template_id, template.id());
                assert_eq!(shape.expand(&compressed, &key).unwrap().as_der(), whole.as_der());
            }
        }
    }

    #[test]
    fn what_is_not_what_was_signed_is_refused_by_name() {
        let ca = ProductCa::generate("Test CA").unwrap();
        let other = ProductCa::generate("Test CA").unwrap();
        let (one, subject) = (key(), subject());
        let dates = dates_from(now().unwrap(), 4).unwrap();
        let whole = ca.issue_compressible(&one, &subject, LeafTemplate::Device, dates).unwrap();
        let shape = Shape { issuer: ca.certificate(), subject: &subject };
        let good = shape.compress(&whole).unwrap();
        let signature = |result: Result<Certificate, _>| matches!(result, Err(CompressionError::Signature(_)));
        assert!(signature(shape.expand(&good, &key())));
        let stranger = "CN=somebody else".parse().unwrap();
        assert!(signature(Shape { subject: &stranger, ..shape }.expand(&good, &one)));
        assert!(signature(shape.expand(&CompressedCertificate { template_id: 2, ..good }, &one)));
        let template = shape.expand(&CompressedCertificate { template_id: 3, ..good }, &one);
        assert!(matches!(template, Err(CompressionError::Template(3))));
        let source = shape.expand(&CompressedCertificate { serial_source: SerialSource::PART, ..good }, &one);
        assert!(matches!(source, Err(CompressionError::Source(8))));
        let wrong = Shape { issuer: other.certificate(), ..shape }.expand(&good, &one);
        assert!(matches!(wrong, Err(CompressionError::Signer { .. })));
        for bit in 0..64 * 8 {
            let mut flipped = good;
            flipped.signature[bit / 8] ^= 1 << (bit % 8);
            assert!(signature(shape.expand(&flipped, &one)), "{bit}");
        }
    }

    #[test]
    fn certificates_that_do_not_fit_are_refused_by_name() {
        let ca = ProductCa::generate("Test CA").unwrap();
        let (key, subject) = (key(), subject());
        let shape = Shape { issuer: ca.certificate(), subject: &subject };
        let at = |text: &str| text.parse::<DateTime>().unwrap();
        let leaf = |before: &str, after: &str| {
            let validity = Validity { not_before: at(before), not_after: at(after) };
            ca.issue(&key, &LeafTemplate::Device.leaf(&subject, validity)).unwrap()
        };
        for (before, after) in [
            ("2026-01-01T00:00:01Z", "2027-01-01T00:00:01Z"),
            ("2026-01-01T00:00:00Z", "2027-01-01T01:00:00Z"),
            ("2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z"),
            ("1999-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ] {
            let refused = shape.compress(&leaf(before, after));
            assert!(matches!(refused, Err(CompressionError::Dates(..))), "{before} {after}");
        }
        let random = leaf("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
        assert!(matches!(shape.compress(&random), Err(CompressionError::Serial)));
        let dates = dates_from(now().unwrap(), 0).unwrap();
        let p384 = PrivateKey::generate(KeyKind::Ecdsa(Curve::P384)).unwrap();
        let refused = ca.issue_compressible(p384.public(), &subject, LeafTemplate::Any, dates);
        assert!(matches!(refused, Err(PkiError::Compression(error)) if matches!(*error, CompressionError::Curve)));
        let plan = AuthorityPlan {
            subject: "CN=big".parse().unwrap(),
            path_length: None,
            validity: Validity::days(now().unwrap(), 10).unwrap(),
        };
        let big = ProductCa::root(p384, &plan).unwrap();
        let refused = big.issue_compressible(&key, &subject, LeafTemplate::Any, dates);
        assert!(matches!(refused, Err(PkiError::Compression(error)) if matches!(*error, CompressionError::Issuer)));
    }
}
