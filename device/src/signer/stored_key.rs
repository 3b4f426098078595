//! A private key in the encrypted NVS partition: for chips with nothing better.
//!
//! Namespace `cotter`, key `sign_key`: a blob of 32 bytes, the scalar, big-endian. The factory puts it there, or the device
//! makes it on its first boot and shows the public half. NVS encryption keeps it from being read out of the flash part; code
//! on the chip can read it, which is what the other places are for.

use super::Signer;
use crate::identity::NAMESPACE;
use crate::nvs::{Nvs, NvsError};
use crate::platform::Random;
use core::convert::Infallible;
use cotter_formats::nvs::entry::Key;
use cotter_formats::secret::Secret;
use embedded_storage::nor_flash::NorFlash;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::ecdsa::{Signature, SigningKey};

/// Where it is.
pub const SIGN_KEY: Key = Key::literal("sign_key");

/// The key in memory, wiped on drop.
pub struct StoredKey(SigningKey);

impl StoredKey {
    /// Reads it from the mounted store.
    ///
    /// # Errors
    /// [`StoredKeyError::Missing`], [`StoredKeyError::Length`], [`StoredKeyError::Scalar`]; the store.
    pub fn load<F: NorFlash>(store: &mut Nvs<F>) -> Result<Self, StoredKeyError<F::Error>> {
        let scalar = Secret::<32>::try_filled_by(|scalar| match store.blob(&NAMESPACE, &SIGN_KEY, scalar) {
            Ok(Some(32)) => Ok(()),
            Ok(Some(len)) => Err(StoredKeyError::Length { len }),
            Ok(None) => Err(StoredKeyError::Missing),
            Err(NvsError::Room { needed, .. }) => Err(StoredKeyError::Length { len: needed }),
            Err(other) => Err(other.into()),
        })?;
        Self::from_scalar(&scalar).ok_or(StoredKeyError::Scalar)
    }

    /// Makes a key out of random bytes and stores it. It is durable when this returns; a power cut before leaves none.
    ///
    /// # Errors
    /// [`StoredKeyError::Exists`] if there is anything under its name, good or not: an identity is not replaced by
    /// accident. [`StoredKeyError::Random`] if the source of randomness gives no scalar; the store.
    pub fn generate<F: NorFlash>(
        store: &mut Nvs<F>,
        random: &mut impl Random,
    ) -> Result<Self, StoredKeyError<F::Error>> {
        match store.blob(&NAMESPACE, &SIGN_KEY, &mut []) {
            Ok(None) => {}
            Ok(Some(_)) | Err(NvsError::Room { .. } | NvsError::Type { .. } | NvsError::Damaged) => {
                return Err(StoredKeyError::Exists);
            }
            Err(other) => return Err(other.into()),
        }
        // One number in 2^32 is no scalar; a source that gives only such is broken.
        for _ in 0..ATTEMPTS {
            let scalar = Secret::<32>::filled_by(|scalar| random.fill(scalar));
            if let Some(key) = Self::from_scalar(&scalar) {
                store.set_blob(&NAMESPACE, &SIGN_KEY, scalar.expose())?;
                return Ok(key);
            }
        }
        Err(StoredKeyError::Random)
    }

    /// `None` for zero and for what is not below the order of the curve.
    fn from_scalar(scalar: &Secret<32>) -> Option<Self> {
        SigningKey::from_slice(scalar.expose()).ok().map(Self)
    }
}

/// Signatures are deterministic (RFC 6979): no random number that is not random gives the key away.
impl Signer for StoredKey {
    type Error = Infallible;

    fn public_key(&mut self) -> Result<[u8; 64], Infallible> {
        let point = self.0.verifying_key().to_sec1_point(false);
        let mut key = [0; 64];
        // The first byte says that both coordinates follow.
        key.iter_mut().zip(point.as_bytes().iter().skip(1)).for_each(|(to, from)| *to = *from);
        Ok(key)
    }

    fn sign_digest(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], Infallible> {
        let signature: Signature = self.0.sign_prehash(digest).expect("a digest of 32 bytes is long enough for P-256");
        Ok(signature.to_bytes().into())
    }
}

impl core::fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("StoredKey(..)")
    }
}

const ATTEMPTS: usize = 8;

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoredKeyError<E> {
    /// The store.
    #[error("signing key: {0}")]
    Store(#[from] NvsError<E>),
    /// Nothing under its name.
    #[error("signing key: {SIGN_KEY} is missing")]
    Missing,
    /// There is one already.
    #[error("signing key: there is something under {SIGN_KEY} already")]
    Exists,
    /// Not 32 bytes.
    #[error("signing key: {len} bytes, expected 32")]
    Length {
        /// Its length.
        len: usize,
    },
    /// Zero, or not below the order of P-256.
    #[error("signing key: not a private key of P-256")]
    Scalar,
    /// Random bytes that are no private key, one after the other.
    #[error("signing key: the source of random numbers is broken")]
    Random,
}

#[cfg(test)]
mod tests;
