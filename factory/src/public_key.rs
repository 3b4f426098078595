//! Public keys in PEM and DER: RSA of any size, ECDSA on the curves of Secure Boot. No secret in here.

use cotter_formats::secure_boot::v1;
use cotter_formats::secure_boot::v2::{self, Curve, EcdsaPublicKey};
use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier, UintRef};
use der::{Decode, Document, Encode, Sequence};
use pem_rfc7468::LineEnding;
use pkcs8::spki::{self, AlgorithmIdentifierRef, EncodePublicKey, SubjectPublicKeyInfoRef};
use std::fmt;

/// A public key as a file holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum PublicKey {
    Rsa(RsaNumbers),
    Ecdsa(EcdsaPublicKey),
}

/// An RSA key of any size: big-endian, without leading zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RsaNumbers {
    /// Modulus.
    pub n: Vec<u8>,
    /// Public exponent.
    pub e: Vec<u8>,
}

/// What kind of key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// With the length of the modulus in bits.
    Rsa(usize),
    /// On this curve.
    Ecdsa(Curve),
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA-{bits}"),
            Self::Ecdsa(curve) => curve.scheme().fmt(f),
        }
    }
}

impl PublicKey {
    /// Reads SubjectPublicKeyInfo ("PUBLIC KEY") or PKCS#1 ("RSA PUBLIC KEY").
    ///
    /// # Errors
    /// [`PublicKeyError`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, PublicKeyError> {
        let (label, der) = pem_rfc7468::decode_vec(pem).map_err(|_| PublicKeyError::NotPem)?;
        match label {
            "PUBLIC KEY" => Self::from_spki(&der),
            "RSA PUBLIC KEY" => Self::from_pkcs1(&der),
            _ => Err(PublicKeyError::NotPem),
        }
    }

    /// Reads SubjectPublicKeyInfo, DER.
    ///
    /// # Errors
    /// [`PublicKeyError`].
    pub fn from_spki(der: &[u8]) -> Result<Self, PublicKeyError> {
        let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| PublicKeyError::NotDer)?;
        let key = info.subject_public_key.as_bytes().ok_or(PublicKeyError::NotDer)?;
        match info.algorithm.oid {
            RSA if info.algorithm.parameters == Some(AnyRef::NULL) => Self::from_pkcs1(key),
            RSA => Err(PublicKeyError::NotDer),
            EC => Ok(Self::Ecdsa(
                EcdsaPublicKey::from_sec1(curve_of(&info.algorithm)?, key).map_err(|_| PublicKeyError::Point)?,
            )),
            other => Err(PublicKeyError::Algorithm(other)),
        }
    }

    /// Reads PKCS#1 `RSAPublicKey`, DER.
    ///
    /// # Errors
    /// [`PublicKeyError`].
    pub fn from_pkcs1(der: &[u8]) -> Result<Self, PublicKeyError> {
        let key = RsaPublicKey::from_der(der).map_err(|_| PublicKeyError::NotDer)?;
        Ok(Self::Rsa(RsaNumbers { n: key.n.as_bytes().to_vec(), e: key.e.as_bytes().to_vec() }))
    }

    /// Kind and size.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        match self {
            Self::Rsa(numbers) => {
                let top = numbers.n.first().map_or(0, |byte| byte.leading_zeros() as usize);
                KeyKind::Rsa((8 * numbers.n.len()).saturating_sub(top))
            }
            Self::Ecdsa(key) => KeyKind::Ecdsa(key.curve()),
        }
    }

    /// The key as Secure Boot V2 knows it.
    ///
    /// # Errors
    /// [`PublicKeyError::NotSecureBoot`] for RSA other than 3072 bits with an exponent of up to 32 bits.
    pub fn secure_boot(&self) -> Result<v2::PublicKey, PublicKeyError> {
        let refusal = PublicKeyError::NotSecureBoot(self.kind());
        match self {
            Self::Ecdsa(key) => Ok(v2::PublicKey::Ecdsa(*key)),
            Self::Rsa(numbers) => {
                let n_be: [u8; 384] = numbers.n.as_slice().try_into().map_err(|_| refusal)?;
                if n_be[0] < 0x80 || numbers.e.len() > 4 {
                    return Err(PublicKeyError::NotSecureBoot(self.kind()));
                }
                let e = numbers.e.iter().fold(0, |e, &byte| e << 8 | u32::from(byte));
                Ok(v2::PublicKey::Rsa(v2::RsaPublicKey { n_be, e }))
            }
        }
    }

    /// The digest that a device's eFuses hold if it trusts this key.
    ///
    /// # Errors
    /// [`PublicKeyError::NotSecureBoot`].
    pub fn secure_boot_digest(&self) -> Result<[u8; 32], PublicKeyError> {
        self.secure_boot()?.key_digest().map_err(|_| PublicKeyError::NotSecureBoot(self.kind()))
    }

    /// The key as Secure Boot V1 knows it.
    ///
    /// # Errors
    /// [`PublicKeyError::NotSecureBootV1`] unless it is ECDSA P-256.
    pub fn secure_boot_v1(&self) -> Result<v1::VerifyingKey, PublicKeyError> {
        let key = match self {
            Self::Ecdsa(key) => v1::VerifyingKey::new(*key),
            Self::Rsa(_) => None,
        };
        key.ok_or(PublicKeyError::NotSecureBootV1(self.kind()))
    }

    /// SubjectPublicKeyInfo, DER.
    ///
    /// # Errors
    /// [`PublicKeyError::NotDer`] for numbers too long for DER.
    pub fn to_spki(&self) -> Result<Vec<u8>, PublicKeyError> {
        self.encode().map_err(|_| PublicKeyError::NotDer)
    }

    /// [`Self::to_spki`] as PEM ("PUBLIC KEY").
    ///
    /// # Errors
    /// As [`Self::to_spki`].
    pub fn to_pem(&self) -> Result<String, PublicKeyError> {
        let der = self.to_spki()?;
        pem_rfc7468::encode_string("PUBLIC KEY", LineEnding::LF, &der).map_err(|_| PublicKeyError::NotDer)
    }

    fn encode(&self) -> Result<Vec<u8>, der::Error> {
        let (oid, curve, key) = match self {
            Self::Rsa(numbers) => {
                let key = RsaPublicKey { n: UintRef::new(&numbers.n)?, e: UintRef::new(&numbers.e)? }.to_der()?;
                (RSA, None, key)
            }
            Self::Ecdsa(key) => (EC, Some(oid_of(key.curve())), [&[4], key.point()].concat()),
        };
        let parameters = curve.as_ref().map_or(AnyRef::NULL, AnyRef::from);
        let algorithm = AlgorithmIdentifierRef { oid, parameters: Some(parameters) };
        SubjectPublicKeyInfoRef { algorithm, subject_public_key: BitStringRef::from_bytes(&key)? }.to_der()
    }
}

impl EncodePublicKey for PublicKey {
    fn to_public_key_der(&self) -> spki::Result<Document> {
        Ok(Document::try_from(self.encode()?)?)
    }
}

/// PKCS#1 (RFC 8017, A.1.1).
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    n: UintRef<'a>,
    e: UintRef<'a>,
}

/// The curve that an EC algorithm names.
pub(crate) fn curve_of(algorithm: &AlgorithmIdentifierRef<'_>) -> Result<Curve, PublicKeyError> {
    let oid = algorithm.parameters_oid().map_err(|_| PublicKeyError::NotDer)?;
    curve_of_oid(oid)
}

/// The curve of an object identifier.
pub(crate) fn curve_of_oid(oid: ObjectIdentifier) -> Result<Curve, PublicKeyError> {
    let curve = [Curve::P192, Curve::P256, Curve::P384].into_iter().find(|&curve| oid_of(curve) == oid);
    curve.ok_or(PublicKeyError::Algorithm(oid))
}

/// The object identifier of a curve.
pub(crate) const fn oid_of(curve: Curve) -> ObjectIdentifier {
    match curve {
        Curve::P192 => ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.1"),
        Curve::P256 => ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"),
        Curve::P384 => ObjectIdentifier::new_unwrap("1.3.132.0.34"),
    }
}

/// rsaEncryption.
pub(crate) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// id-ecPublicKey.
pub(crate) const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// Why bytes are no public key, or not the one that is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// No PEM block that holds a public key.
    #[error("not a PEM public key")]
    NotPem,
    /// The structure inside is not that of a key.
    #[error("the key is not valid DER")]
    NotDer,
    /// Neither RSA nor one of the curves.
    #[error("keys of the algorithm or curve {0} are not supported")]
    Algorithm(ObjectIdentifier),
    /// Not on its curve.
    #[error("the key is not a point of its curve")]
    Point,
    /// Nothing that a ROM verifies.
    #[error("{0} is no Secure Boot V2 key: those are RSA-3072, ECDSA P-192, P-256 and P-384")]
    NotSecureBoot(KeyKind),
    /// Nothing that an ESP32's bootloader verifies.
    #[error("{0} is no Secure Boot V1 key: that is ECDSA P-256")]
    NotSecureBootV1(KeyKind),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/../vectors/sbv2/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn has_the_digest_that_espsecure_computes_and_is_written_as_espsecure_writes_it() {
        for name in ["rsa3072_a", "rsa3072_b", "ecdsa_p192", "ecdsa_p256", "ecdsa_p384"] {
            let pem = golden(&format!("pub-{name}.pem"));
            let key = PublicKey::from_pem(&pem).unwrap();
            assert_eq!(key.secure_boot_digest().unwrap()[..], golden(&format!("digest-{name}.bin")), "{name}");
            assert_eq!(key.to_pem().unwrap().as_bytes(), pem, "{name}");
        }
    }

    #[test]
    fn every_truncation_and_every_bit_flip_is_refused_or_is_another_key() {
        for name in ["pub-rsa3072_a.pem", "pub-ecdsa_p384.pem"] {
            let pem = golden(name);
            let (_, der) = pem_rfc7468::decode_vec(&pem).unwrap();
            let key = PublicKey::from_spki(&der).unwrap();
            for len in 0..der.len() {
                assert!(PublicKey::from_spki(&der[..len]).is_err(), "{name} {len}");
            }
            for bit in 0..8 * der.len() {
                let mut bad = der.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert_ne!(PublicKey::from_spki(&bad).as_ref(), Ok(&key), "{name} {bit}");
            }
        }
    }

    #[test]
    fn refuses_what_is_no_key_by_name() {
        assert_eq!(PublicKey::from_pem(b"hello"), Err(PublicKeyError::NotPem));
        let ed25519 = b"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        let oid = ObjectIdentifier::new_unwrap("1.3.101.112");
        assert_eq!(PublicKey::from_pem(ed25519), Err(PublicKeyError::Algorithm(oid)));
        let small = PublicKey::Rsa(RsaNumbers { n: vec![0x80; 256], e: vec![1, 0, 1] });
        assert_eq!(small.secure_boot_digest(), Err(PublicKeyError::NotSecureBoot(KeyKind::Rsa(2048))));
    }
}
