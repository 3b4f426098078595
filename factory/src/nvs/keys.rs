//! NVS keys: fresh ones from the system's CSPRNG, or derived from the HMAC key of a chip.

use crate::signing::{SigningError, random};
use aws_lc_rs::hmac;
use cotter_formats::nvs::NvsKeys;
use cotter_formats::secret::Secret;
use std::convert::Infallible;

/// The key that a chip's HMAC peripheral holds under the purpose `HMAC_UP`.
#[derive(Debug)]
pub struct HmacUpKey(Secret<32>);

impl HmacUpKey {
    /// A fresh key.
    ///
    /// # Errors
    /// [`SigningError::Library`] if the system has no randomness to give.
    pub fn generate() -> Result<Self, SigningError> {
        Secret::try_filled_by(|key| random(key)).map(Self)
    }

    /// From a file's content; `None` unless it is 32 bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Secret::from_slice(bytes).map(Self)
    }

    /// The bytes that are burned and kept.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// The keys that the chip will use.
    #[must_use]
    pub fn nvs_keys(&self) -> NvsKeys {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.expose());
        let derived = NvsKeys::from_hmac(|message| {
            let tag = hmac::sign(&key, message);
            Ok::<_, Infallible>(Secret::filled_by(|half| half.copy_from_slice(tag.as_ref())))
        });
        match derived {
            Ok(keys) => keys,
        }
    }
}

/// Fresh keys from the system's CSPRNG.
///
/// # Errors
/// [`SigningError::Library`] if the system has no randomness to give.
pub fn generate() -> Result<NvsKeys, SigningError> {
    Secret::try_filled_by(|keys: &mut [u8; 64]| random(keys)).map(NvsKeys::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derives_the_generators_keys() {
        let key = HmacUpKey::from_slice(include_bytes!("../../../vectors/nvs/hmac_key.bin")).unwrap();
        let mut partition = [0; 4096];
        key.nvs_keys().encode(&mut partition);
        assert_eq!(partition, *include_bytes!("../../../vectors/nvs/nvs_keys_from_hmac.bin"));
        assert!(HmacUpKey::from_slice(&[0; 31]).is_none());
    }
}
