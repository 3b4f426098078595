//! What a P-256 key does for Secure Boot V1: it signs, and a symmetric key follows from it.
//!
//! Source: espsecure 5.6.0 as observed.

use super::{Pair, PrivateKey, PrivateKeyError};
use aws_lc_rs::encoding::{AsBigEndian, EcPrivateKeyBin};
use cotter_formats::secret::Secret;
use cotter_formats::secure_boot::v1::{Signature, SignedFile};
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

impl PrivateKey {
    /// Signs content for Secure Boot V1. Deterministic (RFC 6979), so the same bytes as espsecure's. The signature is
    /// verified before it is returned.
    ///
    /// # Errors
    /// [`PrivateKeyError::Public`] unless the key is ECDSA P-256, [`PrivateKeyError::Library`] if signing fails.
    pub fn sign_v1(&self, content: &[u8]) -> Result<Signature, PrivateKeyError> {
        let public = self.public.secure_boot_v1()?;
        let key = SigningKey::from_slice(self.p256_scalar()?.expose()).map_err(|_| PrivateKeyError::Library)?;
        // One at a time: aws-lc draws a random number for each signature, which nobody could reproduce.
        let signature: p256::ecdsa::Signature =
            key.sign_prehash(&Sha256::digest(content)).map_err(|_| PrivateKeyError::Library)?;
        let signature = Signature { numbers: signature.to_bytes().into() };
        public.verify(&SignedFile { content, signature })?;
        Ok(signature)
    }

    /// The symmetric key of Secure Boot V1 that follows from this one: SHA-256 of the scalar, big-endian.
    /// The ESP32's reflashable bootloader digest is made with it.
    ///
    /// # Errors
    /// [`PrivateKeyError::Public`] unless the key is ECDSA P-256.
    #[doc(alias = "digest_private_key")]
    pub fn secure_boot_v1_key(&self) -> Result<Zeroizing<[u8; 32]>, PrivateKeyError> {
        Ok(Zeroizing::new(Sha256::digest(self.p256_scalar()?.expose()).into()))
    }

    fn p256_scalar(&self) -> Result<Secret<32>, PrivateKeyError> {
        self.public.secure_boot_v1()?;
        let Pair::Ecdsa(pair) = &self.pair else { return Err(PrivateKeyError::Library) };
        let bytes: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes().map_err(|_| PrivateKeyError::Library)?;
        Secret::from_slice(bytes.as_ref()).ok_or(PrivateKeyError::Library)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::public_key::{KeyKind, PublicKeyError};

    fn golden(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/../vectors/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    fn key(name: &str) -> PrivateKey {
        PrivateKey::from_pem(&golden(&format!("keys/{name}.pem")), None).unwrap()
    }

    #[test]
    fn signs_to_the_byte_as_espsecure() {
        let content = golden("image/esp32-secure-pad-v1.bin");
        let signed = [&content[..], &key("ecdsa_p256").sign_v1(&content).unwrap().to_bytes()].concat();
        assert!(signed == golden("sbv1/esp32-app-signed-v1.bin"));
        let public = key("ecdsa_p256").public().secure_boot_v1().unwrap();
        assert_eq!(public.raw(), golden("sbv1/pubkey-v1-raw64.bin"));
    }

    #[test]
    fn takes_p256_keys_only() {
        for name in ["rsa3072_a", "ecdsa_p192", "ecdsa_p384"] {
            let key = key(name);
            let refusal = key.sign_v1(b"").err();
            let Some(PrivateKeyError::Public(PublicKeyError::NotSecureBootV1(kind))) = refusal else {
                panic!("{name}: {refusal:?}");
            };
            assert_eq!(kind, key.public().kind(), "{name}");
        }
        assert_eq!(key("rsa3072_a").public().kind(), KeyKind::Rsa(3072));
    }
}
