//! Signatures of certificates and requests: made with our keys, verified with anybody's.

use crate::private_key::{PrivateKey, PrivateKeyError};
use crate::public_key::{KeyKind, PublicKey, PublicKeyError};
use aws_lc_rs::signature::{self as lc, UnparsedPublicKey, VerificationAlgorithm};
use cotter_formats::secure_boot::v2::Curve;
use der::asn1::{Any, AnyRef, BitString, ObjectIdentifier};
use der::oid::db::{rfc5912, rfc8410};
use der::{Decode, Sequence};
use ecdsa::signature::Keypair;
use std::fmt;
use x509_cert::spki::{
    self, AlgorithmIdentifierOwned, AlgorithmIdentifierRef, DynSignatureAlgorithmIdentifier, SubjectPublicKeyInfoRef,
};

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

    const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Md5 => rfc5912::ID_MD_5,
            Self::Sha1 => rfc5912::ID_SHA_1,
            Self::Sha256 => rfc5912::ID_SHA_256,
            Self::Sha384 => rfc5912::ID_SHA_384,
            Self::Sha512 => rfc5912::ID_SHA_512,
        }
    }

    const fn len(self) -> u8 {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

impl SignatureAlgorithm {
    /// Reads an AlgorithmIdentifier.
    pub(super) fn from_der(der: &[u8]) -> Self {
        let Ok(algorithm) = AlgorithmIdentifierRef::from_der(der) else {
            return Self::Unknown(None);
        };
        let known = BY_OID.iter().find(|(oid, _)| *oid == algorithm.oid);
        match known {
            Some(&(_, known)) if is_plain(&algorithm) => known,
            None if algorithm.oid == rfc5912::ID_RSASSA_PSS => {
                pss(&algorithm).map_or(Self::Unknown(Some(algorithm.oid)), Self::RsaPss)
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
            Self::Ed25519 if key.oid == rfc8410::ID_ED_25519 => Ok(&lc::ED25519),
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
                let found = BY_CURVE.iter().find(|(oid, of, _)| *oid == curve && *of == hash);
                found.map(|&(_, _, algorithm)| algorithm).ok_or(SignatureError::Key(PublicKeyError::Algorithm(curve)))
            }
            _ => Err(SignatureError::Kind(self)),
        }
    }
}

/// The signature of `key` over `content` (TBSCertificate or CertificationRequestInfo, DER).
///
/// # Errors
/// [`PrivateKeyError`].
pub(super) fn sign(key: &PrivateKey, content: &[u8]) -> Result<BitString, PrivateKeyError> {
    BitString::from_bytes(&key.sign_message(content)?).map_err(|_| PrivateKeyError::Library)
}

impl Keypair for PrivateKey {
    type VerifyingKey = PublicKey;

    fn verifying_key(&self) -> PublicKey {
        self.public().clone()
    }
}

impl DynSignatureAlgorithmIdentifier for PrivateKey {
    fn signature_algorithm_identifier(&self) -> spki::Result<AlgorithmIdentifierOwned> {
        algorithm_identifier(self.public())
    }
}

/// What [`sign`] does: RSA has a NULL parameter (RFC 4055), ECDSA has none (RFC 5758).
pub(super) fn algorithm_identifier(key: &PublicKey) -> spki::Result<AlgorithmIdentifierOwned> {
    let algorithm = SignatureAlgorithm::of_key(key.kind()).map_err(|_| spki::Error::KeyMalformed)?;
    let known = BY_OID.iter().find(|(_, known)| *known == algorithm);
    let &(oid, _) = known.ok_or(spki::Error::KeyMalformed)?;
    let parameters = matches!(algorithm, SignatureAlgorithm::RsaPkcs1(_)).then(Any::null);
    Ok(AlgorithmIdentifierOwned { oid, parameters })
}

/// RSASSA-PSS-params (RFC 4055) with everything said. What they mean if they say nothing is SHA-1.
#[derive(Sequence)]
struct PssParameters<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    hash: AlgorithmIdentifierRef<'a>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT")]
    mask: AlgorithmIdentifierRef<'a>,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT")]
    salt_len: u8,
}

/// The hash of RSASSA-PSS, if the mask (MGF1) is made with it too and the salt has its length.
fn pss(algorithm: &AlgorithmIdentifierRef<'_>) -> Option<Hash> {
    let parameters: PssParameters<'_> = algorithm.parameters?.decode_as().ok()?;
    let hashes = [Hash::Sha256, Hash::Sha384, Hash::Sha512];
    let hash = hashes.into_iter().find(|hash| hash.oid() == parameters.hash.oid)?;
    let mask: AlgorithmIdentifierRef<'_> = parameters.mask.parameters?.decode_as().ok()?;
    let alike = is_plain(&parameters.hash) && is_plain(&mask) && mask.oid == hash.oid();
    (alike && parameters.mask.oid == rfc5912::ID_MGF_1 && parameters.salt_len == hash.len()).then_some(hash)
}

/// Without parameters: RFC 4055 has readers accept a NULL and nothing alike.
fn is_plain(algorithm: &AlgorithmIdentifierRef<'_>) -> bool {
    algorithm.parameters.is_none_or(AnyRef::is_null)
}

const BY_OID: [(ObjectIdentifier, SignatureAlgorithm); 10] = [
    (rfc5912::MD_5_WITH_RSA_ENCRYPTION, SignatureAlgorithm::RsaPkcs1(Hash::Md5)),
    (rfc5912::SHA_1_WITH_RSA_ENCRYPTION, SignatureAlgorithm::RsaPkcs1(Hash::Sha1)),
    (rfc5912::SHA_256_WITH_RSA_ENCRYPTION, SignatureAlgorithm::RsaPkcs1(Hash::Sha256)),
    (rfc5912::SHA_384_WITH_RSA_ENCRYPTION, SignatureAlgorithm::RsaPkcs1(Hash::Sha384)),
    (rfc5912::SHA_512_WITH_RSA_ENCRYPTION, SignatureAlgorithm::RsaPkcs1(Hash::Sha512)),
    // ecdsa-with-SHA1, which the database does not have.
    (ObjectIdentifier::new_unwrap("1.2.840.10045.4.1"), SignatureAlgorithm::Ecdsa(Hash::Sha1)),
    (rfc5912::ECDSA_WITH_SHA_256, SignatureAlgorithm::Ecdsa(Hash::Sha256)),
    (rfc5912::ECDSA_WITH_SHA_384, SignatureAlgorithm::Ecdsa(Hash::Sha384)),
    (rfc5912::ECDSA_WITH_SHA_512, SignatureAlgorithm::Ecdsa(Hash::Sha512)),
    (rfc8410::ID_ED_25519, SignatureAlgorithm::Ed25519),
];

type Verifier = (ObjectIdentifier, Hash, &'static dyn VerificationAlgorithm);
const BY_CURVE: [Verifier; 9] = [
    (rfc5912::SECP_256_R_1, Hash::Sha256, &lc::ECDSA_P256_SHA256_ASN1),
    (rfc5912::SECP_256_R_1, Hash::Sha384, &lc::ECDSA_P256_SHA384_ASN1),
    (rfc5912::SECP_256_R_1, Hash::Sha512, &lc::ECDSA_P256_SHA512_ASN1),
    (rfc5912::SECP_384_R_1, Hash::Sha256, &lc::ECDSA_P384_SHA256_ASN1),
    (rfc5912::SECP_384_R_1, Hash::Sha384, &lc::ECDSA_P384_SHA384_ASN1),
    (rfc5912::SECP_384_R_1, Hash::Sha512, &lc::ECDSA_P384_SHA512_ASN1),
    (rfc5912::SECP_521_R_1, Hash::Sha256, &lc::ECDSA_P521_SHA256_ASN1),
    (rfc5912::SECP_521_R_1, Hash::Sha384, &lc::ECDSA_P521_SHA384_ASN1),
    (rfc5912::SECP_521_R_1, Hash::Sha512, &lc::ECDSA_P521_SHA512_ASN1),
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
