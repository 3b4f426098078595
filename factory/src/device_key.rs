//! A device's own private key with its numbers laid open: what the digital signature and ECDSA peripherals are given.
//!
//! [`crate::private_key`] keeps keys that sign; those never show their numbers. Here they must be taken out of the file.

use crate::private_key::{PrivateDer, PrivateKeyError, private_der};
use crate::public_key::{EC, PublicKey, RSA, RsaNumbers, curve_of, curve_of_oid, oid_of};
use cotter_formats::secure_boot::v2::{Curve, EcdsaPublicKey};
use p256::elliptic_curve::sec1::ToSec1Point;
use pem_rfc7468::LineEnding;
use pkcs8::PrivateKeyInfoRef;
use pkcs8::der::asn1::UintRef;
use pkcs8::der::{Decode, Encode, Reader, SliceReader};
use zeroize::Zeroizing;

/// A private key that was read from a file, or derived.
pub struct DeviceKey {
    numbers: Numbers,
    public: PublicKey,
    pem: bool,
}

enum Numbers {
    /// PKCS#1 `RSAPrivateKey`, and the private exponent in it.
    Rsa { der: Zeroizing<Vec<u8>>, d: Zeroizing<Vec<u8>> },
    /// Big-endian.
    Ec { curve: Curve, scalar: Zeroizing<Vec<u8>> },
}

impl DeviceKey {
    /// Reads PEM or DER: PKCS#8 (encrypted too), PKCS#1, SEC1. RSA of any size.
    ///
    /// # Errors
    /// [`PrivateKeyError`].
    pub fn read(bytes: &[u8], password: Option<&[u8]>) -> Result<Self, PrivateKeyError> {
        match private_der(bytes, password) {
            Ok(der) => Self::from_der(der, true),
            Err(PrivateKeyError::NotPem) => {
                let copy = || Zeroizing::new(bytes.to_vec());
                let forms = [PrivateDer::Pkcs8(copy()), PrivateDer::Pkcs1(copy()), PrivateDer::Sec1(copy())];
                let read = forms.into_iter().find_map(|der| Self::from_der(der, false).ok());
                read.ok_or(PrivateKeyError::NotPem)
            }
            Err(refused) => Err(refused),
        }
    }

    /// A P-256 key from its scalar.
    ///
    /// # Errors
    /// [`PrivateKeyError::Key`] unless it is above 1 and below the order of the curve, as the firmware demands.
    pub fn from_p256_scalar(scalar: &[u8; 32]) -> Result<Self, PrivateKeyError> {
        let [rest @ .., last] = scalar;
        if rest.iter().all(|&byte| byte == 0) && *last <= 1 {
            return Err(PrivateKeyError::Key);
        }
        Self::ec(Curve::P256, scalar, None, true)
    }

    fn from_der(der: PrivateDer, pem: bool) -> Result<Self, PrivateKeyError> {
        match der {
            PrivateDer::Pkcs1(der) => Self::rsa(der, pem),
            PrivateDer::Sec1(der) => Self::sec1(&der, None, pem),
            PrivateDer::Pkcs8(der) => {
                let info = PrivateKeyInfoRef::from_der(&der).map_err(|_| PrivateKeyError::Key)?;
                match info.algorithm.oid {
                    RSA => Self::rsa(Zeroizing::new(info.private_key.as_bytes().to_vec()), pem),
                    EC => Self::sec1(info.private_key.as_bytes(), Some(curve_of(&info.algorithm)?), pem),
                    other => Err(crate::public_key::PublicKeyError::Algorithm(other).into()),
                }
            }
        }
    }

    fn rsa(der: Zeroizing<Vec<u8>>, pem: bool) -> Result<Self, PrivateKeyError> {
        let read = || -> Result<_, pkcs8::der::Error> {
            let mut reader = SliceReader::new(&der)?;
            let numbers = reader.sequence(|reader| -> Result<_, pkcs8::der::Error> {
                let version = UintRef::decode(reader)?;
                let (n, e, d) = (UintRef::decode(reader)?, UintRef::decode(reader)?, UintRef::decode(reader)?);
                let parts = (version.as_bytes() == [0], n.as_bytes().to_vec(), e.as_bytes().to_vec());
                let d = Zeroizing::new(d.as_bytes().to_vec());
                for _ in 0..5 {
                    UintRef::decode(reader)?;
                }
                Ok((parts, d))
            })?;
            reader.finish()?;
            Ok(numbers)
        };
        let ((two_primes, n, e), d) = read().map_err(|_| PrivateKeyError::Key)?;
        if !two_primes {
            return Err(PrivateKeyError::Key);
        }
        Ok(Self { numbers: Numbers::Rsa { der, d }, public: PublicKey::Rsa(RsaNumbers { n, e }), pem })
    }

    fn sec1(der: &[u8], outside: Option<Curve>, pem: bool) -> Result<Self, PrivateKeyError> {
        let key = sec1::EcPrivateKey::from_der(der).map_err(|_| PrivateKeyError::Key)?;
        let inside = key.parameters.and_then(|parameters| parameters.named_curve()).map(curve_of_oid).transpose()?;
        let curve = outside.or(inside).ok_or(PrivateKeyError::Key)?;
        if inside.is_some_and(|inside| inside != curve) {
            return Err(PrivateKeyError::Key);
        }
        Self::ec(curve, key.private_key, key.public_key, pem)
    }

    fn ec(curve: Curve, scalar: &[u8], claimed: Option<&[u8]>, pem: bool) -> Result<Self, PrivateKeyError> {
        let bad = |_| PrivateKeyError::Key;
        let point = match curve {
            // Nothing here computes on this curve; the file must say what the public key is.
            Curve::P192 => claimed.filter(|_| scalar.len() == 24).ok_or(PrivateKeyError::P192)?.to_vec(),
            Curve::P256 => {
                let secret = p256::SecretKey::from_slice(scalar).map_err(bad)?;
                secret.public_key().to_sec1_point(false).as_bytes().to_vec()
            }
            Curve::P384 => {
                let secret = p384::SecretKey::from_slice(scalar).map_err(bad)?;
                secret.public_key().to_sec1_point(false).as_bytes().to_vec()
            }
        };
        let read = |point: &[u8]| EcdsaPublicKey::from_sec1(curve, point).map_err(|_| PrivateKeyError::Key);
        let public = read(&point)?;
        if claimed.map(read).transpose()?.is_some_and(|claimed| claimed != public) {
            return Err(PrivateKeyError::Key);
        }
        let mut padded = Zeroizing::new(vec![0; curve.coordinate_len()]);
        let start = padded.len().checked_sub(scalar.len()).ok_or(PrivateKeyError::Key)?;
        padded[start..].copy_from_slice(scalar);
        Ok(Self { numbers: Numbers::Ec { curve, scalar: padded }, public: PublicKey::Ecdsa(public), pem })
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// RSA: the public numbers, and the private exponent, big-endian.
    #[must_use]
    pub fn rsa_numbers(&self) -> Option<(&RsaNumbers, &[u8])> {
        match (&self.numbers, &self.public) {
            (Numbers::Rsa { d, .. }, PublicKey::Rsa(numbers)) => Some((numbers, d)),
            _ => None,
        }
    }

    /// The curve of an ECDSA key.
    #[must_use]
    pub const fn curve(&self) -> Option<Curve> {
        match &self.numbers {
            Numbers::Ec { curve, .. } => Some(*curve),
            Numbers::Rsa { .. } => None,
        }
    }

    /// What must never be seen: the private exponent or the scalar, big-endian.
    #[must_use]
    pub fn secret_number(&self) -> &[u8] {
        match &self.numbers {
            Numbers::Rsa { d, .. } => d,
            Numbers::Ec { scalar, .. } => scalar,
        }
    }

    /// OpenSSL's traditional form, which the firmware parses: PKCS#1 or SEC1, DER.
    ///
    /// # Errors
    /// [`PrivateKeyError::Library`] if encoding fails.
    pub fn to_der(&self) -> Result<Zeroizing<Vec<u8>>, PrivateKeyError> {
        match (&self.numbers, &self.public) {
            (Numbers::Ec { curve, scalar }, PublicKey::Ecdsa(public)) => {
                let point = [&[4], public.point()].concat();
                let key = sec1::EcPrivateKey {
                    private_key: scalar,
                    parameters: Some(sec1::EcParameters::NamedCurve(oid_of(*curve))),
                    public_key: Some(&point),
                };
                key.to_der().map(Zeroizing::new).map_err(|_| PrivateKeyError::Library)
            }
            (Numbers::Rsa { der, .. }, _) => Ok(der.clone()),
            (Numbers::Ec { .. }, PublicKey::Rsa(_)) => Err(PrivateKeyError::Key),
        }
    }

    /// The same as PEM ("RSA PRIVATE KEY", "EC PRIVATE KEY"); also what `espefuse burn-key` takes for an ECDSA key.
    ///
    /// # Errors
    /// [`PrivateKeyError::Library`] if encoding fails.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, PrivateKeyError> {
        let label = if self.curve().is_some() { "EC PRIVATE KEY" } else { "RSA PRIVATE KEY" };
        let pem = pem_rfc7468::encode_string(label, LineEnding::LF, &self.to_der()?);
        pem.map(Zeroizing::new).map_err(|_| PrivateKeyError::Library)
    }

    /// As a partition holds it in plain: PEM with a NUL behind it if it came as PEM, else DER.
    ///
    /// # Errors
    /// [`PrivateKeyError::Library`] if encoding fails.
    pub fn to_stored(&self) -> Result<Zeroizing<Vec<u8>>, PrivateKeyError> {
        if !self.pem {
            return self.to_der();
        }
        let pem = self.to_pem()?;
        let mut stored = Zeroizing::new(Vec::with_capacity(pem.len() + 1));
        stored.extend_from_slice(pem.as_bytes());
        stored.push(0);
        Ok(stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/../vectors/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn writes_the_traditional_forms_of_openssl_byte_for_byte() {
        for name in ["rsa2048_dev", "rsa3072_dev", "rsa4096_dev", "ecdsa_p256_dev", "ecdsa_p192", "ecdsa_p384"] {
            let pem = golden(&format!("keys/{name}.pem"));
            let key = DeviceKey::read(&pem, None).unwrap();
            let ours = key.to_pem().unwrap();
            assert!(String::from_utf8(pem).unwrap().ends_with(&**ours), "{name}");
        }
        let der = golden("keys/ecdsa_p256_dev.der");
        let key = DeviceKey::read(&der, None).unwrap();
        assert_eq!((&*key.to_stored().unwrap(), key.curve()), (&der, Some(Curve::P256)));
    }

    #[test]
    fn a_derived_key_is_the_firmwares_der() {
        let scalar = golden("securecert/derived-hmac-ecdsa-privscalar.bin");
        let key = DeviceKey::from_p256_scalar(&scalar.try_into().unwrap()).unwrap();
        assert_eq!(*key.to_der().unwrap(), golden("securecert/derived-hmac-ecdsa-key.der"));
        for last in [0, 1] {
            let mut small = [0; 32];
            small[31] = last;
            assert!(matches!(DeviceKey::from_p256_scalar(&small), Err(PrivateKeyError::Key)));
        }
        assert!(matches!(DeviceKey::from_p256_scalar(&[0xFF; 32]), Err(PrivateKeyError::Key)));
    }
}
