//! A device's own private key with its numbers laid open: what the digital signature and ECDSA peripherals are given.
//!
//! [`crate::private_key`] keeps keys that sign; those never show their numbers. Here they must be taken out of the file.

use crate::private_key::{EcNumbers, PrivateDer, PrivateKeyError, private_der};
use crate::public_key::{EC, PublicKey, RSA, RsaNumbers, curve_of};
use cotter_formats::secure_boot::v2::Curve;
use der::asn1::UintRef;
use der::{Decode, Sequence};
use pem_rfc7468::LineEnding;
use pkcs8::PrivateKeyInfoRef;
use zeroize::Zeroizing;

/// A private key that was read from a file, or derived.
pub struct DeviceKey {
    numbers: Numbers,
    public: PublicKey,
    pem: bool,
}

enum Numbers {
    /// PKCS#1 `RSAPrivateKey`, and the private exponent in it.
    Rsa {
        der: Zeroizing<Vec<u8>>,
        d: Zeroizing<Vec<u8>>,
    },
    Ec(Box<EcNumbers>),
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
        Ok(Self::ec(EcNumbers::new(Curve::P256, scalar)?, true))
    }

    fn from_der(der: PrivateDer, pem: bool) -> Result<Self, PrivateKeyError> {
        match der {
            PrivateDer::Pkcs1(der) => Self::rsa(der, pem),
            PrivateDer::Sec1(der) => Ok(Self::ec(EcNumbers::from_sec1(&der, None)?, pem)),
            PrivateDer::Pkcs8(der) => {
                let info = PrivateKeyInfoRef::from_der(&der).map_err(|_| PrivateKeyError::Key)?;
                match info.algorithm.oid {
                    RSA => Self::rsa(Zeroizing::new(info.private_key.as_bytes().to_vec()), pem),
                    EC => {
                        let curve = curve_of(&info.algorithm)?;
                        Ok(Self::ec(EcNumbers::from_sec1(info.private_key.as_bytes(), Some(curve))?, pem))
                    }
                    other => Err(crate::public_key::PublicKeyError::Algorithm(other).into()),
                }
            }
        }
    }

    fn rsa(der: Zeroizing<Vec<u8>>, pem: bool) -> Result<Self, PrivateKeyError> {
        let key = RsaPrivateKey::from_der(&der).map_err(|_| PrivateKeyError::Key)?;
        if key.version != 0 {
            return Err(PrivateKeyError::Key);
        }
        let (n, e) = (key.n.as_bytes().to_vec(), key.e.as_bytes().to_vec());
        let d = Zeroizing::new(key.d.as_bytes().to_vec());
        Ok(Self { numbers: Numbers::Rsa { der, d }, public: PublicKey::Rsa(RsaNumbers { n, e }), pem })
    }

    fn ec(numbers: EcNumbers, pem: bool) -> Self {
        Self { public: PublicKey::Ecdsa(numbers.public), numbers: Numbers::Ec(Box::new(numbers)), pem }
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
            Numbers::Ec(numbers) => Some(numbers.curve),
            Numbers::Rsa { .. } => None,
        }
    }

    /// What must never be seen: the private exponent or the scalar, big-endian.
    #[must_use]
    pub fn secret_number(&self) -> &[u8] {
        match &self.numbers {
            Numbers::Rsa { d, .. } => d,
            Numbers::Ec(numbers) => &numbers.scalar,
        }
    }

    /// OpenSSL's traditional form, which the firmware parses: PKCS#1 or SEC1, DER.
    ///
    /// # Errors
    /// [`PrivateKeyError::Library`] if encoding fails.
    pub fn to_der(&self) -> Result<Zeroizing<Vec<u8>>, PrivateKeyError> {
        match &self.numbers {
            Numbers::Ec(numbers) => numbers.to_sec1(),
            Numbers::Rsa { der, .. } => Ok(der.clone()),
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

/// PKCS#1 (RFC 8017, A.1.2). Version 0 is a key of two primes.
#[derive(Sequence)]
struct RsaPrivateKey<'a> {
    version: u8,
    n: UintRef<'a>,
    e: UintRef<'a>,
    d: UintRef<'a>,
    p: UintRef<'a>,
    q: UintRef<'a>,
    d_mod_p: UintRef<'a>,
    d_mod_q: UintRef<'a>,
    q_inverse: UintRef<'a>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use der::Encode;

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
    fn a_file_without_the_point_gives_the_same_key_and_one_with_another_point_none() {
        for name in ["ecdsa_p192", "ecdsa_p256", "ecdsa_p384"] {
            let key = DeviceKey::read(&golden(&format!("keys/{name}.pem")), None).unwrap();
            let der = key.to_der().unwrap();
            let bare = sec1::EcPrivateKey { public_key: None, ..sec1::EcPrivateKey::from_der(&der).unwrap() };
            let read = DeviceKey::read(&bare.to_der().unwrap(), None).unwrap();
            assert_eq!((read.public(), read.secret_number()), (key.public(), key.secret_number()), "{name}");
            let other = DeviceKey::read(&golden("keys/ecdsa_p256_dev.pem"), None).unwrap().to_der().unwrap();
            let other = sec1::EcPrivateKey::from_der(&other).unwrap().public_key;
            let mixed = sec1::EcPrivateKey { public_key: other, ..sec1::EcPrivateKey::from_der(&der).unwrap() };
            assert!(DeviceKey::read(&mixed.to_der().unwrap(), None).is_err(), "{name}");
        }
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
