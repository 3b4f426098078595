//! Public keys that devices sign their tokens with, in the four formats of Cloud IoT Core, and which device has
//! which.
//!
//! Of a certificate only the key counts: nobody vouches for it but the administrator who registers it, and when it ends is
//! what he says, not what the certificate does.

mod registered;

pub use registered::{DeviceKeyRefusal, DeviceKeys};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::PublicEncryptingKey;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use cotter_wire::firmware_key::P256_HEAD;
use cotter_wire::ids::KeyId;
use cotter_wire::token::Algorithm;
use der::asn1::AnyRef;
use der::pem::LineEnding;
use der::{Decode, Reader, SliceReader};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// Longest PEM text that is read, in bytes.
pub const MAX_PEM: usize = 8 * 1024;

/// How a key is handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFormat {
    /// An RSA key, `PUBLIC KEY`.
    Rsa,
    /// An RSA key in a certificate.
    RsaX509,
    /// A P-256 key, `PUBLIC KEY`.
    Es256,
    /// A P-256 key in a certificate.
    Es256X509,
}

impl KeyFormat {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rsa, Self::RsaX509, Self::Es256, Self::Es256X509];

    /// Its name in Cloud IoT Core.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rsa => "RSA_PEM",
            Self::RsaX509 => "RSA_X509_PEM",
            Self::Es256 => "ES256_PEM",
            Self::Es256X509 => "ES256_X509_PEM",
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Rsa | Self::Es256 => "PUBLIC KEY",
            Self::RsaX509 | Self::Es256X509 => "CERTIFICATE",
        }
    }

    const fn algorithm(self) -> Algorithm {
        match self {
            Self::Rsa | Self::RsaX509 => Algorithm::Rs256,
            Self::Es256 | Self::Es256X509 => Algorithm::Es256,
        }
    }
}

impl FromStr for KeyFormat {
    type Err = DeviceKeyError;

    fn from_str(text: &str) -> Result<Self, DeviceKeyError> {
        Self::ALL.into_iter().find(|format| format.as_str() == text).ok_or(DeviceKeyError::Format)
    }
}

/// A key that can be verified with, and with which algorithm: that is a property of the key, never of the token.
pub struct DeviceKey {
    id: KeyId,
    algorithm: Algorithm,
    spki: Vec<u8>,
    key: ParsedPublicKey,
}

impl DeviceKey {
    /// Reads one PEM block, with nothing before or behind it.
    ///
    /// # Errors
    /// [`DeviceKeyError`].
    pub fn from_pem(format: KeyFormat, pem: &[u8]) -> Result<Self, DeviceKeyError> {
        // 1. One block, whose label is the one of the format. The library skips text before it, and empty lines in it.
        if pem.len() > MAX_PEM {
            return Err(DeviceKeyError::TooLong);
        }
        let mut der = vec![0; MAX_PEM];
        let (label, der) = der::pem::decode(pem, &mut der).map_err(|_| DeviceKeyError::Pem)?;
        let canonical = der::pem::encode_string(label, LineEnding::LF, der).map_err(|_| DeviceKeyError::Pem)?;
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        if !str::from_utf8(pem).is_ok_and(|pem| lines(pem) == lines(&canonical)) {
            return Err(DeviceKeyError::Pem);
        }
        if label.contains("PRIVATE") {
            return Err(DeviceKeyError::Private);
        }
        if label != format.label() {
            return Err(DeviceKeyError::Label { expected: format.label() });
        }
        // 2. The key in it.
        let key = match format {
            KeyFormat::Rsa | KeyFormat::Es256 => Self::from_spki(der)?,
            KeyFormat::RsaX509 | KeyFormat::Es256X509 => {
                Self::from_spki(spki_of(der).map_err(|_| DeviceKeyError::Certificate)?)?
            }
        };
        // 3. Of the kind that was announced.
        if key.algorithm != format.algorithm() {
            return Err(DeviceKeyError::OtherAlgorithm { expected: format.algorithm(), got: key.algorithm });
        }
        Ok(key)
    }

    /// Reads SubjectPublicKeyInfo, DER: an uncompressed P-256 point, or RSA with 2048 to 4096 bits.
    ///
    /// # Errors
    /// [`DeviceKeyError::Key`], `Modulus`.
    pub fn from_spki(der: &[u8]) -> Result<Self, DeviceKeyError> {
        let (algorithm, key) = if let Some(point) = der.strip_prefix(P256_HEAD) {
            if point.len() != 65 || point.first() != Some(&4) {
                return Err(DeviceKeyError::Key);
            }
            (Algorithm::Es256, ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point))
        } else {
            let rsa = PublicEncryptingKey::from_der(der).map_err(|_| DeviceKeyError::Key)?;
            let bits = rsa.key_size_bits();
            if !(2048..=4096).contains(&bits) {
                return Err(DeviceKeyError::Modulus { bits });
            }
            // One spelling, so that one key has one id.
            let again: PublicKeyX509Der<'_> = rsa.as_der().map_err(|_| DeviceKeyError::Key)?;
            if again.as_ref() != der {
                return Err(DeviceKeyError::Key);
            }
            (Algorithm::Rs256, ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der))
        };
        let key = key.map_err(|_| DeviceKeyError::Key)?;
        let digest: [u8; 32] = Sha256::digest(der).into();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        Ok(Self { id: KeyId([a, b, c, d, e, f, g, h]), algorithm, spki: der.to_vec(), key })
    }

    /// The first 8 bytes of SHA-256 over [`Self::spki`].
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// How it signs.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// SubjectPublicKeyInfo, DER.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Whether `signature` (ES256: `r || s`) is one of this key over `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.algorithm.has_signature_of(signature.len()) && self.key.verify_sig(message, signature).is_ok()
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceKey({}, {})", self.algorithm, self.id)
    }
}

/// SubjectPublicKeyInfo of a certificate of any version (RFC 5280 section 4.1). Everything else in it is only stepped over.
fn spki_of(certificate: &[u8]) -> der::Result<&[u8]> {
    AnyRef::from_der(certificate)?.sequence(|certificate: &mut SliceReader<'_>| {
        let signed = AnyRef::decode(certificate)?.sequence(|signed: &mut SliceReader<'_>| {
            if signed.peek_byte() == Some(VERSION) {
                AnyRef::decode(signed)?;
            }
            let [_serial, _algorithm, _issuer, _validity, _subject] = [
                AnyRef::decode(signed)?,
                AnyRef::decode(signed)?,
                AnyRef::decode(signed)?,
                AnyRef::decode(signed)?,
                AnyRef::decode(signed)?,
            ];
            let spki = signed.tlv_bytes()?;
            while !signed.is_finished() {
                AnyRef::decode(signed)?;
            }
            Ok::<_, der::Error>(spki)
        })?;
        let [_algorithm, _signature] = [AnyRef::decode(certificate)?, AnyRef::decode(certificate)?];
        Ok::<_, der::Error>(signed)
    })
}

/// `[0] EXPLICIT`, absent in version 1.
const VERSION: u8 = 0xa0;

/// Why a text is no key of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeviceKeyError {
    /// No such format.
    #[error("device key: expected RSA_PEM, RSA_X509_PEM, ES256_PEM or ES256_X509_PEM")]
    Format,
    /// Longer than [`MAX_PEM`].
    #[error("device key: longer than 8192 bytes")]
    TooLong,
    /// Not one PEM block of RFC 7468: no text around it, lines of 64, no empty ones.
    #[error("device key: not one PEM block in strict form")]
    Pem,
    /// Somebody gave a secret away.
    #[error("device key: this is a PRIVATE key; make another one, and hand in its public half")]
    Private,
    /// Another block than the format says.
    #[error("device key: expected a block {expected}")]
    Label {
        /// Its label.
        expected: &'static str,
    },
    /// Not an X.509 certificate.
    #[error("device key: not a certificate")]
    Certificate,
    /// Neither an uncompressed P-256 point nor RSA, or not in its one spelling.
    #[error("device key: neither P-256 (uncompressed) nor RSA in DER")]
    Key,
    /// RSA of another size.
    #[error("device key: RSA of {bits} bits, expected 2048 to 4096")]
    Modulus {
        /// Its size.
        bits: usize,
    },
    /// An RSA key as `ES256_PEM`, or the other way round.
    #[error("device key: a key for {got}, but the format says {expected}")]
    OtherAlgorithm {
        /// By the format.
        expected: Algorithm,
        /// By the key.
        got: Algorithm,
    },
}

impl DeviceKeyError {
    /// A stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Format => "device-key-format",
            Self::TooLong | Self::Pem | Self::Label { .. } => "device-key-pem",
            Self::Private => "device-key-private",
            Self::Certificate => "device-key-certificate",
            Self::Key => "device-key-kind",
            Self::Modulus { .. } => "device-key-modulus",
            Self::OtherAlgorithm { .. } => "device-key-algorithm",
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
