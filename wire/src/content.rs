//! The content of a release: the signed image under AES-256-CBC, and its key wrapped for one device.
//!
//! The whole image is one CBC stream with PKCS#7 padding; the IV is in the signed manifest. It travels in chunks of
//! [`CHUNK`] bytes, and a chunk can be decrypted once the last block of the one before it is known: that is all a device
//! must remember to resume. Nothing here proves integrity: the manifest's SHA-256 over the plain image does.

use crate::ids::{DeviceId, KeyEpoch, ReleaseId};
use crate::keys::FirmwareUnwrapKey;
use aes::Aes256;
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use cotter_formats::secret::Secret;

/// Bytes in every chunk but the last.
pub const CHUNK: usize = 2048;
/// The same, as sizes on the wire are counted.
const CHUNK_U32: u32 = 2048;
/// Bytes in a cipher block.
pub const BLOCK: usize = 16;

/// AES-256 key of one release's content.
#[derive(Debug)]
pub struct ContentKey(Secret<32>);

impl ContentKey {
    /// Names the use of `secret`.
    #[must_use]
    pub const fn new(secret: Secret<32>) -> Self {
        Self(secret)
    }

    /// The bytes, for the primitive that uses them.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

/// A content key that only one device, in one epoch, for one release can unwrap: AES-256-GCM, the tag at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// Which generation of the device's keys wraps it.
    pub epoch: KeyEpoch,
    /// GCM nonce.
    pub nonce: [u8; 12],
    /// Ciphertext and tag.
    pub wrapped: [u8; 48],
}

impl WrappedKey {
    /// Wraps `content` for one device. `nonce`: 12 fresh random bytes.
    #[must_use]
    pub fn wrap(
        key: &FirmwareUnwrapKey,
        device: &DeviceId,
        epoch: KeyEpoch,
        release: &ReleaseId,
        nonce: [u8; 12],
        content: &ContentKey,
    ) -> Self {
        let mut wrapped = [0; 48];
        let (body, tag) = wrapped.split_at_mut(32);
        body.copy_from_slice(content.expose());
        let sealed = Aes256Gcm::new(key.expose().into())
            .encrypt_inout_detached((&nonce).into(), &context(device, epoch, release), body.into())
            .expect("32 bytes are far below the limit of GCM");
        tag.copy_from_slice(&sealed);
        Self { epoch, nonce, wrapped }
    }

    /// Unwraps it.
    ///
    /// # Errors
    /// [`UnwrapError`] if it was wrapped for another device, epoch or release, or changed on the way.
    pub fn unwrap(
        &self,
        key: &FirmwareUnwrapKey,
        device: &DeviceId,
        release: &ReleaseId,
    ) -> Result<ContentKey, UnwrapError> {
        let (body, tag) = self.wrapped.split_at(32);
        Secret::try_filled_by(|content| {
            content.copy_from_slice(body);
            let tag = <&[u8; BLOCK]>::try_from(tag).map_err(|_| UnwrapError)?;
            Aes256Gcm::new(key.expose().into())
                .decrypt_inout_detached(
                    (&self.nonce).into(),
                    &context(device, self.epoch, release),
                    content.as_mut_slice().into(),
                    tag.into(),
                )
                .map_err(|_| UnwrapError)
        })
        .map(ContentKey)
    }
}

/// Additional data: `cotter/content-key/v1\0`, length of the id (u8), id, epoch (u32 BE), release id.
fn context(device: &DeviceId, epoch: KeyEpoch, release: &ReleaseId) -> heapless::Vec<u8, 96> {
    const FITS: &str = "23 + 1 + 32 + 4 + 32 bytes fit 96";
    let mut context = heapless::Vec::new();
    for part in [LABEL, &[device.len_byte()], device.as_bytes(), &epoch.0.to_be_bytes(), &release.0] {
        context.extend_from_slice(part).expect(FITS);
    }
    context
}

const LABEL: &[u8] = b"cotter/content-key/v1\0";

/// The content key does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the content key was not wrapped for this device, epoch and release")]
pub struct UnwrapError;

/// Length of the ciphertext of `plain` bytes: PKCS#7 always adds 1 to 16.
#[must_use]
pub const fn encrypted_len(plain: u32) -> Option<u32> {
    match (plain / 16).checked_add(1) {
        Some(blocks) => blocks.checked_mul(16),
        None => None,
    }
}

/// How many chunks a ciphertext of `encrypted` bytes has.
#[must_use]
pub const fn chunk_count(encrypted: u32) -> u32 {
    encrypted.div_ceil(CHUNK_U32)
}

/// Length of chunk `index`; `None` past the end.
#[must_use]
pub const fn chunk_len(encrypted: u32, index: u32) -> Option<usize> {
    match index.checked_mul(CHUNK_U32) {
        Some(start) if start < encrypted => {
            let rest = (encrypted - start) as usize;
            Some(if rest < CHUNK { rest } else { CHUNK })
        }
        _ => None,
    }
}

/// Decrypts one chunk in place. `previous` is the IV or the last ciphertext block before it, and becomes its own.
///
/// # Errors
/// [`ContentError::Length`] unless `chunk` is a whole number of blocks.
pub fn decrypt_chunk(key: &ContentKey, previous: &mut [u8; BLOCK], chunk: &mut [u8]) -> Result<(), ContentError> {
    let last: [u8; BLOCK] = match chunk.last_chunk() {
        Some(last) if chunk.len().is_multiple_of(BLOCK) => *last,
        _ => return Err(ContentError::Length { len: chunk.len() }),
    };
    let mut cipher = cbc::Decryptor::<Aes256>::new(key.expose().into(), (&*previous).into());
    for block in chunk.chunks_exact_mut(BLOCK) {
        let block: &mut [u8; BLOCK] = block.try_into().map_err(|_| ContentError::Length { len: BLOCK })?;
        cipher.decrypt_block(block.into());
    }
    *previous = last;
    Ok(())
}

/// How many bytes of the last decrypted chunk are content: strict PKCS#7.
///
/// # Errors
/// [`ContentError::Padding`].
pub fn without_padding(last_chunk: &[u8]) -> Result<usize, ContentError> {
    let &padding = last_chunk.last().ok_or(ContentError::Padding)?;
    let len = last_chunk.len().checked_sub(usize::from(padding)).ok_or(ContentError::Padding)?;
    let legal = (1..=16).contains(&padding) && last_chunk[len..].iter().all(|byte| *byte == padding);
    if legal { Ok(len) } else { Err(ContentError::Padding) }
}

/// Encrypts a whole image.
#[cfg(feature = "alloc")]
#[must_use]
pub fn encrypt(key: &ContentKey, iv: &[u8; BLOCK], image: &[u8]) -> alloc::vec::Vec<u8> {
    use cbc::cipher::BlockModeEncrypt;
    let padded = (image.len() / BLOCK + 1) * BLOCK;
    let mut content = alloc::vec::Vec::with_capacity(padded);
    content.extend_from_slice(image);
    content.resize(padded, u8::try_from(padded - image.len()).expect("padding is 1 to 16 bytes"));
    let mut cipher = cbc::Encryptor::<Aes256>::new(key.expose().into(), iv.into());
    for block in content.chunks_exact_mut(BLOCK) {
        let block: &mut [u8; BLOCK] = block.try_into().expect("chunks_exact yields whole blocks");
        cipher.encrypt_block(block.into());
    }
    content
}

/// Why ciphertext is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// Not a whole number of blocks, or none.
    #[error("content: {len} bytes are not a whole number of 16-byte blocks")]
    Length {
        /// How many bytes there are.
        len: usize,
    },
    /// The padding at the end is not PKCS#7.
    #[error("content: the padding is wrong")]
    Padding,
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn content_key() -> ContentKey {
        ContentKey::new(Secret::filled_by(|key| key.fill(0x5a)))
    }

    proptest! {
        #[test]
        fn chunks_decrypt_one_by_one(image in proptest::collection::vec(any::<u8>(), 0..9000), iv: [u8; 16]) {
            let mut content = encrypt(&content_key(), &iv, &image);
            let len = u32::try_from(content.len()).unwrap();
            prop_assert_eq!(encrypted_len(u32::try_from(image.len()).unwrap()), Some(len));
            prop_assert_eq!(chunk_count(len) as usize, content.chunks(CHUNK).count());
            let mut previous = iv;
            for (index, chunk) in content.chunks_mut(CHUNK).enumerate() {
                prop_assert_eq!(chunk_len(len, u32::try_from(index).unwrap()), Some(chunk.len()));
                decrypt_chunk(&content_key(), &mut previous, chunk).unwrap();
            }
            prop_assert_eq!(chunk_len(len, chunk_count(len)), None);
            let last = content.len() - content.len().min(CHUNK).min((content.len() - 1) % CHUNK + 1);
            let kept = last + without_padding(&content[last..]).unwrap();
            prop_assert_eq!(&content[..kept], &image[..]);
        }
    }

    #[test]
    fn a_wrapped_key_is_bound_to_device_epoch_and_release() {
        let key = FirmwareUnwrapKey::new(Secret::filled_by(|key| key.fill(3)));
        let (device, other): (DeviceId, DeviceId) = ("a".parse().unwrap(), "b".parse().unwrap());
        let release = ReleaseId([1; 32]);
        let wrapped = WrappedKey::wrap(&key, &device, KeyEpoch(1), &release, [9; 12], &content_key());
        assert_eq!(wrapped.unwrap(&key, &device, &release).unwrap().expose(), content_key().expose());
        assert!(wrapped.unwrap(&key, &other, &release).is_err());
        assert!(wrapped.unwrap(&key, &device, &ReleaseId([2; 32])).is_err());
        assert!(WrappedKey { epoch: KeyEpoch(2), ..wrapped }.unwrap(&key, &device, &release).is_err());
        for bit in 0..8 * 48 {
            let mut changed = wrapped;
            changed.wrapped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(changed.unwrap(&key, &device, &release).err(), Some(UnwrapError), "bit {bit}");
        }
    }

    #[test]
    fn padding_is_strict() {
        for (bytes, expected) in [
            (&[1u8, 2, 3, 1][..], Ok(3)),
            (&[16; 16], Ok(0)),
            (&[5, 2, 3], Err(ContentError::Padding)),
            (&[0; 16], Err(ContentError::Padding)),
            (&[17; 17], Err(ContentError::Padding)),
            (&[2], Err(ContentError::Padding)),
            (&[], Err(ContentError::Padding)),
        ] {
            assert_eq!(without_padding(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn half_blocks_are_refused() {
        assert_eq!(decrypt_chunk(&content_key(), &mut [0; 16], &mut [0; 17]), Err(ContentError::Length { len: 17 }));
        assert_eq!(decrypt_chunk(&content_key(), &mut [0; 16], &mut []), Err(ContentError::Length { len: 0 }));
    }
}
