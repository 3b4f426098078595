//! Private keys on P-192, which only the ESP32-C2's ROM and the ECDSA peripherals still ask for.
//!
//! aws-lc has no P-192, and the crate `p192` offers no signing, because NIST SP 800-131A withdrew curves of fewer than
//! 224 bits for it. What is here is the generic algorithm of the crate `ecdsa` on the arithmetic of `p192`, both constant
//! in time as far as their authors claim, with the deterministic nonces of RFC 6979: nothing depends on randomness.

use super::PrivateKeyError;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use cotter_formats::secure_boot::v2::{Curve, EcdsaPublicKey};
use ecdsa::hazmat::sign_prehashed_rfc6979;
use p192::NistP192;
use p192::elliptic_curve::SecretKey;
use p192::elliptic_curve::sec1::ToSec1Point;
use p192::pkcs8::EncodePrivateKey;
use pkcs8::SecretDocument;
use sha2::Sha256;
use zeroize::Zeroizing;

/// A private key; wiped when it is dropped.
pub(super) struct P192Key(SecretKey<NistP192>);

impl P192Key {
    /// From the system's CSPRNG: 24 bytes, again if they are no scalar (once in 2^96).
    pub(super) fn generate() -> Result<Self, PrivateKeyError> {
        let random = SystemRandom::new();
        let mut bytes = Zeroizing::new([0; 24]);
        loop {
            random.fill(&mut *bytes).map_err(|_| PrivateKeyError::Library)?;
            if let Ok(key) = Self::from_scalar(&*bytes) {
                return Ok(key);
            }
        }
    }

    /// The scalar, big-endian, 24 bytes.
    pub(super) fn from_scalar(scalar: &[u8]) -> Result<Self, PrivateKeyError> {
        SecretKey::from_slice(scalar).map(Self).map_err(|_| PrivateKeyError::Key)
    }

    pub(super) fn public(&self) -> Result<EcdsaPublicKey, PrivateKeyError> {
        let point = self.0.public_key().to_sec1_point(false);
        EcdsaPublicKey::from_sec1(Curve::P192, point.as_bytes()).map_err(|_| PrivateKeyError::Key)
    }

    /// PKCS#8, DER.
    pub(super) fn to_pkcs8(&self) -> Result<SecretDocument, PrivateKeyError> {
        self.0.to_pkcs8_der().map_err(|_| PrivateKeyError::Library)
    }

    /// r then s, big-endian, over a SHA-256 digest (its first 192 bits count, as FIPS 186-4 has it).
    pub(super) fn sign(&self, digest: &[u8; 32]) -> Vec<u8> {
        let (signature, _) = sign_prehashed_rfc6979::<NistP192, Sha256>(&self.0.to_nonzero_scalar(), digest, &[]);
        signature.to_bytes().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;
    use sha2::Digest;

    /// RFC 6979, A.2.3, with SHA-256.
    #[test]
    fn signs_as_rfc_6979_says() {
        let key = P192Key::from_scalar(&hex!("6FAB034934E4C0FC9AE67F5B5659A9D7D1FEFD187EE09FD4")).unwrap();
        for (message, expected) in [
            (
                "sample",
                hex!(
                    "4B0B8CE98A92866A2820E20AA6B75B56382E0F9BFD5ECB55"
                    "CCDB006926EA9565CBADC840829D8C384E06DE1F1E381B85"
                ),
            ),
            (
                "test",
                hex!(
                    "3A718BD8B4926C3B52EE6BBE67EF79B18CB6EB62B1AD97AE"
                    "5662E6848A4A19B1F1AE2F72ACD4B8BBE50F1EAC65D9124F"
                ),
            ),
        ] {
            let digest = Sha256::digest(message).into();
            assert_eq!(key.sign(&digest), expected, "{message}");
            key.public().unwrap().verify(&digest, &expected).unwrap();
        }
    }

    #[test]
    fn refuses_scalars_out_of_range() {
        for scalar in [[0; 24], [0xff; 24]] {
            assert!(matches!(P192Key::from_scalar(&scalar), Err(PrivateKeyError::Key)));
        }
        assert!(matches!(P192Key::from_scalar(&[1; 23]), Err(PrivateKeyError::Key)));
    }
}
