//! The bootloader's digest: SHA-512 over IV and image, each block of them encrypted under the key in eFuse BLOCK2.
//!
//! The file that is flashed at 0 is IV (128 bytes), digest (64 bytes), 0xFF up to 0x1000, bootloader. Covered is the
//! bootloader up to the end of the 128-byte block with its checksum: of an appended SHA-256, as much as lies in there.

use crate::chip::Chip;
use crate::image::{Image, ImageError};
use crate::read::{ReadError, Reader};
use crate::secret::Secret;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes::{Aes256Enc, Block};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

/// The key in eFuse BLOCK2, in the order of espsecure's key files. (The eFuses hold it reversed.)
#[derive(Debug)]
pub struct BootloaderKey(Secret<32>);

impl BootloaderKey {
    /// From the bytes of a key file: 32; 24 (the 3/4 coding scheme: bytes 8 to 15 once more at the end); or 16, of
    /// which the SHA-256 is the key.
    ///
    /// # Errors
    /// [`BootloaderError::Key`] for any other length.
    pub fn from_file(file: &[u8]) -> Result<Self, BootloaderError> {
        let key = match file.len() {
            32 => Secret::from_slice(file),
            24 => Some(Secret::filled_by(|key| {
                key[..24].copy_from_slice(file);
                key[24..].copy_from_slice(&file[8..16]);
            })),
            16 => Some(Secret::filled_by(|key| *key = Sha256::digest(file).into())),
            _ => None,
        };
        key.map(Self).ok_or(BootloaderError::Key { len: file.len() })
    }

    /// The digest over `iv` and `covered`, which is filled with 0xFF to a multiple of 128 bytes.
    fn digest(&self, iv: &[u8; IV_LEN], covered: &[u8]) -> [u8; DIGEST_LEN] {
        let cipher = Aes256Enc::new(self.0.expose().into());
        let mut hash = Sha512::new();
        let mut absorb = |bytes: &[u8; UNIT]| {
            for bytes in bytes.as_chunks::<16>().0 {
                let mut block = Block::from(*bytes);
                block.reverse();
                cipher.encrypt_block(&mut block);
                // Both the bytes and the bytes of each word are swapped; what remains is the words in reverse.
                block.as_chunks::<4>().0.iter().rev().for_each(|word| hash.update(word));
            }
        };
        absorb(iv);
        let (units, rest) = covered.as_chunks();
        units.iter().for_each(&mut absorb);
        if !rest.is_empty() {
            let mut last = [0xff; UNIT];
            last[..rest.len()].copy_from_slice(rest);
            absorb(&last);
        }
        let mut digest: [u8; DIGEST_LEN] = hash.finalize().into();
        digest.as_chunks_mut::<4>().0.iter_mut().for_each(|word| word.reverse());
        digest
    }
}

/// A file for flash address 0 whose bootloader is an image of the ESP32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DigestedBootloader<'a> {
    /// Random, one per file.
    pub iv: &'a [u8; IV_LEN],
    /// As it stands in the file.
    pub digest: &'a [u8; DIGEST_LEN],
    /// The bytes that the digest covers, without the 0xFF that may have to be added at the end.
    pub covered: &'a [u8],
}

impl<'a> DigestedBootloader<'a> {
    /// Finds IV, digest and bootloader in what is flashed at 0. What lies between digest and bootloader, and behind the
    /// covered bytes, is read by nobody.
    ///
    /// # Errors
    /// [`BootloaderError::Read`] if the file ends before the bootloader, [`BootloaderError::Image`] if what is there is
    /// no image of the ESP32 or its checksum is wrong.
    pub fn parse(file: &'a [u8]) -> Result<Self, BootloaderError> {
        let mut reader = Reader::new(file);
        let iv = reader.take(IV_LEN)?.try_into().expect("take returned as many bytes as asked");
        let digest = reader.take(DIGEST_LEN)?.try_into().expect("take returned as many bytes as asked");
        reader.take(BOOTLOADER_AT - IV_LEN - DIGEST_LEN)?;
        let image = reader.take(reader.remaining())?;
        let end = Image::loaded_len(image, Chip::Esp32)?.next_multiple_of(UNIT);
        Ok(Self { iv, digest, covered: &image[..end.min(image.len())] })
    }

    /// Verifies the digest as the ROM does.
    ///
    /// # Errors
    /// [`BootloaderError::Mismatch`].
    pub fn verify(&self, key: &BootloaderKey) -> Result<(), BootloaderError> {
        let computed = key.digest(self.iv, self.covered);
        if bool::from(computed.ct_eq(self.digest)) { Ok(()) } else { Err(BootloaderError::Mismatch) }
    }
}

/// The file for flash address 0: IV, digest, 0xFF, and the bootloader as far as it is covered.
///
/// `iv` must come from a CSPRNG. `image` must be exactly a bootloader image, with whatever digest it has.
///
/// # Errors
/// [`BootloaderError::Image`] if it is no sound image of the ESP32, [`BootloaderError::Trailing`] if bytes follow it,
/// [`BootloaderError::TooLarge`] if it would reach into the partition table at 0x8000.
#[cfg(feature = "alloc")]
pub fn add_digest(
    key: &BootloaderKey,
    iv: &[u8; IV_LEN],
    image: &[u8],
) -> Result<alloc::vec::Vec<u8>, BootloaderError> {
    let len = Image::parse(image, Chip::Esp32)?.len();
    if len != image.len() {
        return Err(BootloaderError::Trailing { len, file: image.len() });
    }
    let end = Image::loaded_len(image, Chip::Esp32)?.next_multiple_of(UNIT);
    if end > MAX_BOOTLOADER {
        return Err(BootloaderError::TooLarge { len: end });
    }
    let covered = &image[..end.min(image.len())];
    let mut file = alloc::vec![0xff; BOOTLOADER_AT + end];
    file[..IV_LEN].copy_from_slice(iv);
    file[IV_LEN..IV_LEN + DIGEST_LEN].copy_from_slice(&key.digest(iv, covered));
    file[BOOTLOADER_AT..BOOTLOADER_AT + covered.len()].copy_from_slice(covered);
    Ok(file)
}

/// Bytes of the IV.
pub const IV_LEN: usize = 128;
/// Bytes of the digest.
pub const DIGEST_LEN: usize = 64;
/// Where the bootloader is in the file, and in flash.
pub const BOOTLOADER_AT: usize = 0x1000;
/// What the hardware takes at once.
const UNIT: usize = 128;
/// From 0x1000 to the first place where a partition table can be.
#[cfg(feature = "alloc")]
const MAX_BOOTLOADER: usize = 0x7000;

/// Why a bootloader has no digest, or a wrong one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum BootloaderError {
    /// Ends before the bootloader.
    #[error("bootloader with digest: {0}")]
    Read(#[from] ReadError),
    #[error("bootloader key: {len} bytes, expected 32, 24 (3/4 coding) or 16")]
    Key { len: usize },
    #[error("bootloader: {0}")]
    Image(#[from] ImageError),
    #[error("bootloader: the image is {len} bytes, the file has {file}")]
    Trailing { len: usize, file: usize },
    #[error("bootloader: {len} bytes at 0x1000 reach into the partition table at 0x8000")]
    TooLarge { len: usize },
    #[error("bootloader: the digest is not that of this IV and image under this key")]
    Mismatch,
}

#[cfg(test)]
mod tests;
