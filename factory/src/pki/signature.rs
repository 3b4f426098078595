//! Signatures of certificates and requests: made with our keys, verified with anybody's.

use super::der::{INTEGER, SEQUENCE, context, integer, nest, oid, tlv};
use crate::private_key::{PrivateKey, PrivateKeyError};
use crate::public_key::{KeyKind, PublicKey, PublicKeyError};
use aws_lc_rs::signature::{self as lc, UnparsedPublicKey, VerificationAlgorithm};
use cotter_formats::secure_boot::v2::Curve;
use std::fmt;
use x509_cert::der::Decode;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

/// How something is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// RSA, PKCS#1 v1.5.
    RsaPkcs1(Hash),
    /// RSA, PSS, salt as long as the digest.
    RsaPss(Hash),
    /// ECDSA; the key says on which curve.
    Ecdsa(Hash),
    /// Ed25519.
    Ed25519,
    /// Named by a number, or with parameters, that nobody here knows.
    Unknown(Option<ObjectIdentifier>),
}

/// A hash function of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Hash {
    Md5,
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RsaPkcs1(hash) => write!(f, "RSA with {}", hash.name()),
            Self::RsaPss(hash) => write!(f, "RSA-PSS with {}", hash.name()),
            Self::Ecdsa(hash) => write!(f, "ECDSA with {}", hash.name()),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Unknown(Some(oid)) => write!(f, "algorithm {oid}"),
            Self::Unknown(None) => f.write_str("an unreadable algorithm"),
        }
    }
}

impl Hash {
    const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha1 => "SHA-1",
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        }
    }

    const fn oid(self) -> &'static str {
        match self {
            Self::Md5 => "1.2.840.113549.2.5",
            Self::Sha1 => "1.3.14.3.2.26",
            Self::Sha256 => "2.16.840.1.101.3.4.2.1",
            Self::Sha384 => "2.16.840.1.101.3.4.2.2",
            Self::Sha512 => "2.16.840.1.101.3.4.2.3",
        }
    }
}

impl SignatureAlgorithm {
    /// Reads an AlgorithmIdentifier.
    pub(super) fn from_der(der: &[u8]) -> Self {
        let Ok(algorithm) = AlgorithmIdentifierRef::from_der(der) else {
            return Self::Unknown(None);
        };
        let known = BY_OID.iter().find(|(oid, _)| ObjectIdentifier::new_unwrap(oid) == algorithm.oid);
        let null_or_none = algorithm.parameters.is_none_or(|parameters| parameters.is_null());
        match known {
            Some(&(_, known)) if null_or_none => known,
            None if algorithm.oid == RSA_PSS => {
                let hash = [Hash::Sha256, Hash::Sha384, Hash::Sha512].into_iter().find(|&hash| pss(hash) == der);
                hash.map_or(Self::Unknown(Some(RSA_PSS)), Self::RsaPss)
            }
            _ => Self::Unknown(Some(algorithm.oid)),
        }
    }

    /// How a key of this kind signs here.
    ///
    /// # Errors
    /// [`PrivateKeyError::P192`].
    pub(super) fn of_key(kind: KeyKind) -> Result<Self, PrivateKeyError> {
        match kind {
            KeyKind::Rsa(_) => Ok(Self::RsaPkcs1(Hash::Sha256)),
            KeyKind::Ecdsa(Curve::P256) => Ok(Self::Ecdsa(Hash::Sha256)),
            KeyKind::Ecdsa(Curve::P384) => Ok(Self::Ecdsa(Hash::Sha384)),
            KeyKind::Ecdsa(Curve::P192) => Err(PrivateKeyError::P192),
        }
    }

    /// The AlgorithmIdentifier of what [`Self::of_key`] gives: RSA has a NULL parameter, ECDSA has none (RFC 5758).
    fn to_der(self) -> Vec<u8> {
        let number = BY_OID.iter().find(|(_, known)| *known == self).map(|(number, _)| *number);
        let number = oid(ObjectIdentifier::new_unwrap(number.unwrap_or(RSA_SHA256)));
        match self {
            Self::RsaPkcs1(_) => nest(SEQUENCE, &[number, NULL.to_vec()]),
            _ => nest(SEQUENCE, &[number]),
        }
    }

    /// Does `signature` over `message` come from the key in `spki` (SubjectPublicKeyInfo, DER)?
    ///
    /// # Errors
    /// [`SignatureError`] with the reason.
    pub fn verify(self, spki: &[u8], message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let info = SubjectPublicKeyInfoRef::from_der(spki).map_err(|_| SignatureError::Key(PublicKeyError::NotDer))?;
        let key = info.subject_public_key.as_bytes().ok_or(SignatureError::Key(PublicKeyError::NotDer))?;
        let algorithm = self.verifier(spki, &info.algorithm)?;
        UnparsedPublicKey::new(algorithm, key).verify(message, signature).map_err(|_| SignatureError::Wrong)
    }

    fn verifier(
        self,
        spki: &[u8],
        key: &AlgorithmIdentifierRef<'_>,
    ) -> Result<&'static dyn VerificationAlgorithm, SignatureError> {
        let unknown = SignatureError::Algorithm(self);
        match self {
            Self::RsaPkcs1(Hash::Md5 | Hash::Sha1) | Self::Ecdsa(Hash::Md5 | Hash::Sha1) => {
                Err(SignatureError::Weak(self))
            }
            Self::Unknown(_) => Err(unknown),
            Self::Ed25519 if key.oid == ED25519 => Ok(&lc::ED25519),
            Self::RsaPkcs1(hash) | Self::RsaPss(hash) if key.oid == crate::public_key::RSA => {
                if let KeyKind::Rsa(bits @ ..2048) = PublicKey::from_spki(spki)?.kind() {
                    return Err(SignatureError::Short(bits));
                }
                Ok(match (self, hash) {
                    (Self::RsaPkcs1(_), Hash::Sha384) => &lc::RSA_PKCS1_2048_8192_SHA384,
                    (Self::RsaPkcs1(_), Hash::Sha512) => &lc::RSA_PKCS1_2048_8192_SHA512,
                    (Self::RsaPkcs1(_), _) => &lc::RSA_PKCS1_2048_8192_SHA256,
                    (_, Hash::Sha384) => &lc::RSA_PSS_2048_8192_SHA384,
                    (_, Hash::Sha512) => &lc::RSA_PSS_2048_8192_SHA512,
                    _ => &lc::RSA_PSS_2048_8192_SHA256,
                })
            }
            Self::Ecdsa(hash) if key.oid == crate::public_key::EC => {
                let curve = key.parameters_oid().map_err(|_| SignatureError::Key(PublicKeyError::NotDer))?;
                let found =
                    BY_CURVE.iter().find(|(oid, of, _)| ObjectIdentifier::new_unwrap(oid) == curve && *of == hash);
                found.map(|&(_, _, algorithm)| algorithm).ok_or(SignatureError::Key(PublicKeyError::Algorithm(curve)))
            }
            _ => Err(SignatureError::Kind(self)),
        }
    }
}

/// Wraps `content` (a TBSCertificate or CertificationRequestInfo, DER) with the signature of `key`.
///
/// # Errors
/// [`PrivateKeyError`].
pub(super) fn sign(key: &PrivateKey, content: &[u8]) -> Result<Vec<u8>, PrivateKeyError> {
    let algorithm = SignatureAlgorithm::of_key(key.public().kind())?;
    let raw = key.sign_message(content)?;
    let signature = match algorithm {
        // r || s as two INTEGERs.
        SignatureAlgorithm::Ecdsa(_) => {
            let (r, s) = raw.split_at(raw.len() / 2);
            nest(SEQUENCE, &[integer(r), integer(s)])
        }
        _ => raw,
    };
    Ok(nest(SEQUENCE, &[content.to_vec(), algorithm.to_der(), super::der::bit_string(&signature)]))
}

/// The AlgorithmIdentifier that goes into what [`sign`] signs.
pub(super) fn algorithm_of(key: &PrivateKey) -> Result<Vec<u8>, PrivateKeyError> {
    Ok(SignatureAlgorithm::of_key(key.public().kind())?.to_der())
}

/// RSASSA-PSS with this hash, MGF1 with the same, and a salt of its length (RFC 4055).
fn pss(hash: Hash) -> Vec<u8> {
    let digest = nest(SEQUENCE, &[oid(ObjectIdentifier::new_unwrap(hash.oid())), NULL.to_vec()]);
    let mask = nest(SEQUENCE, &[oid(MGF1), digest.clone()]);
    let salt = tlv(
        INTEGER,
        &[match hash {
            Hash::Sha384 => 48,
            Hash::Sha512 => 64,
            _ => 32,
        }],
    );
    let parameters = [tlv(context(0), &digest), tlv(context(1), &mask), tlv(context(2), &salt)];
    nest(SEQUENCE, &[oid(RSA_PSS), nest(SEQUENCE, &parameters)])
}

const NULL: [u8; 2] = [5, 0];
const RSA_SHA256: &str = "1.2.840.113549.1.1.11";
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const MGF1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

const BY_OID: [(&str, SignatureAlgorithm); 10] = [
    ("1.2.840.113549.1.1.4", SignatureAlgorithm::RsaPkcs1(Hash::Md5)),
    ("1.2.840.113549.1.1.5", SignatureAlgorithm::RsaPkcs1(Hash::Sha1)),
    (RSA_SHA256, SignatureAlgorithm::RsaPkcs1(Hash::Sha256)),
    ("1.2.840.113549.1.1.12", SignatureAlgorithm::RsaPkcs1(Hash::Sha384)),
    ("1.2.840.113549.1.1.13", SignatureAlgorithm::RsaPkcs1(Hash::Sha512)),
    ("1.2.840.10045.4.1", SignatureAlgorithm::Ecdsa(Hash::Sha1)),
    ("1.2.840.10045.4.3.2", SignatureAlgorithm::Ecdsa(Hash::Sha256)),
    ("1.2.840.10045.4.3.3", SignatureAlgorithm::Ecdsa(Hash::Sha384)),
    ("1.2.840.10045.4.3.4", SignatureAlgorithm::Ecdsa(Hash::Sha512)),
    ("1.3.101.112", SignatureAlgorithm::Ed25519),
];

const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";
const P521: &str = "1.3.132.0.35";

type Verifier = (&'static str, Hash, &'static dyn VerificationAlgorithm);
const BY_CURVE: [Verifier; 9] = [
    (P256, Hash::Sha256, &lc::ECDSA_P256_SHA256_ASN1),
    (P256, Hash::Sha384, &lc::ECDSA_P256_SHA384_ASN1),
    (P256, Hash::Sha512, &lc::ECDSA_P256_SHA512_ASN1),
    (P384, Hash::Sha256, &lc::ECDSA_P384_SHA256_ASN1),
    (P384, Hash::Sha384, &lc::ECDSA_P384_SHA384_ASN1),
    (P384, Hash::Sha512, &lc::ECDSA_P384_SHA512_ASN1),
    (P521, Hash::Sha256, &lc::ECDSA_P521_SHA256_ASN1),
    (P521, Hash::Sha384, &lc::ECDSA_P521_SHA384_ASN1),
    (P521, Hash::Sha512, &lc::ECDSA_P521_SHA512_ASN1),
];

/// Why a signature is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// It is not of this key over this content.
    #[error("the signature does not verify")]
    Wrong,
    /// A hash in which collisions are made to order.
    #[error("{0} is too weak to believe")]
    Weak(SignatureAlgorithm),
    /// Fewer than 2048 bits.
    #[error("the signing key is RSA-{0}, below 2048 bits")]
    Short(usize),
    /// An algorithm that is not verified here.
    #[error("{0} is not verified here")]
    Algorithm(SignatureAlgorithm),
    /// The issuer's key is of another kind.
    #[error("the signing key cannot have made a signature by {0}")]
    Kind(SignatureAlgorithm),
    /// The issuer's key cannot be read.
    #[error("signing key: {0}")]
    Key(#[from] PublicKeyError),
}
