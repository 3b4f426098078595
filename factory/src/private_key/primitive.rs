//! The bare operations of a private key, for formats other than signature blocks.

use super::{EcNumbers, Pair, PrivateKey, PrivateKeyError};
use aws_lc_rs::agreement::{self, ECDH_P256, UnparsedPublicKey};
use aws_lc_rs::digest::{Digest, SHA256};
use aws_lc_rs::encoding::{AsBigEndian, AsDer, EcPrivateKeyBin, Pkcs8V1Der};
use aws_lc_rs::rsa::{Pkcs1PrivateDecryptingKey, PrivateDecryptingKey};
use cotter_formats::secret::Secret;
use cotter_formats::secure_boot::v2::Curve;
use zeroize::Zeroizing;

impl PrivateKey {
    /// A key on P-256 from its scalar, big-endian.
    ///
    /// # Errors
    /// [`PrivateKeyError::Key`] if the scalar is 0 or not below the order of the curve.
    pub(crate) fn from_p256_scalar(scalar: &Secret<32>) -> Result<Self, PrivateKeyError> {
        Self::from_numbers(EcNumbers::new(Curve::P256, scalar.expose())?)
    }

    /// RSAES-PKCS1-v1_5 of 32 bytes, without an oracle: whatever is wrong with the ciphertext, `substitute` comes out, and
    /// what it is used for fails as it would with any other wrong key.
    ///
    /// # Errors
    /// [`PrivateKeyError::Library`] if this is no RSA key: that is no secret.
    pub(crate) fn decrypt_or(&self, ciphertext: &[u8], substitute: Secret<32>) -> Result<Secret<32>, PrivateKeyError> {
        let library = || PrivateKeyError::Library;
        let Pair::Rsa(key) = &self.pair else { return Err(library()) };
        let der: Pkcs8V1Der<'_> = key.as_der().map_err(|_| library())?;
        let key = PrivateDecryptingKey::from_pkcs8(der.as_ref()).map_err(|_| library())?;
        let key = Pkcs1PrivateDecryptingKey::new(key).map_err(|_| library())?;
        let mut plain = Zeroizing::new(vec![0; key.min_output_size()]);
        let opened = key.decrypt(ciphertext, &mut plain).ok().and_then(|plain| Secret::from_slice(plain));
        Ok(opened.unwrap_or(substitute))
    }

    /// ECDH on P-256: the x coordinate of the shared point. `point`: the other's x then y, big-endian. `None` if that is
    /// no point of the curve, or this no key on it.
    pub(crate) fn agree_p256(&self, point: &[u8; 64]) -> Option<Secret<32>> {
        let Pair::Ecdsa(key) = &self.pair else { return None };
        let scalar: EcPrivateKeyBin<'_> = key.private_key().as_be_bytes().ok()?;
        let key = agreement::PrivateKey::from_private_key(&ECDH_P256, scalar.as_ref()).ok()?;
        let other = UnparsedPublicKey::new(&ECDH_P256, [&[4], &point[..]].concat());
        agreement::agree(&key, other, (), |shared| Secret::from_slice(shared).ok_or(())).ok()
    }

    /// ECDSA on P-256 over a SHA-256 digest: r then s, big-endian, with a nonce from the system's CSPRNG.
    ///
    /// # Errors
    /// [`PrivateKeyError::Library`] if this is no key on P-256, or signing fails.
    pub(crate) fn sign_p256(&self, digest: &[u8; 32]) -> Result<[u8; 64], PrivateKeyError> {
        let library = || PrivateKeyError::Library;
        let Pair::Ecdsa(key) = &self.pair else { return Err(library()) };
        let digest = Digest::import_less_safe(digest, &SHA256).map_err(|_| library())?;
        let signature = key.sign_digest(&digest).map_err(|_| library())?;
        signature.as_ref().try_into().map_err(|_| library())
    }
}
