//! The two structures around the ciphertext, as flash holds them.

use super::Width;
use crate::read::{ReadError, Reader};

/// Number of a key block as the DS and HMAC drivers count: 0 is `BLOCK_KEY0`, which is eFuse block 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EfuseKeyId(u8);

impl EfuseKeyId {
    /// `None` above 5.
    #[must_use]
    pub const fn new(id: u8) -> Option<Self> {
        if id <= 5 { Some(Self(id)) } else { None }
    }

    /// 0 to 5.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// 4 to 9: the number of the eFuse block.
    #[doc(alias = "EFUSE_BLK_KEY0")]
    #[must_use]
    pub const fn block(self) -> u8 {
        self.0 + 4
    }
}

impl core::fmt::Display for EfuseKeyId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "BLOCK_KEY{}", self.0)
    }
}

/// What the driver hands to the peripheral.
#[doc(alias = "esp_ds_data_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DsData<'a> {
    /// Length of the key in bits; stored as words, less one.
    pub rsa_bits: u32,
    /// As it was when the box was encrypted.
    pub iv: &'a [u8; 16],
    /// 1200 or 1584 bytes.
    pub ciphertext: &'a [u8],
}

impl<'a> DsData<'a> {
    /// Reads exactly one structure.
    ///
    /// # Errors
    /// [`DsRecordError`]: truncated, a ciphertext of no peripheral's length, or a length that no RSA key has there.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DsRecordError> {
        let mut reader = Reader::new(bytes);
        let words = reader.u32_le()?;
        let iv = reader.take(16)?.try_into().expect("take returned as many bytes as asked");
        let ciphertext = reader.take(reader.remaining())?;
        let width = Width::of_ciphertext(ciphertext.len());
        let width = width.ok_or(DsRecordError::Ciphertext { len: ciphertext.len() })?;
        let limit = u32::try_from(width.bits() / 32).expect("at most 128 words");
        if words >= limit {
            return Err(DsRecordError::RsaLength { words });
        }
        Ok(Self { rsa_bits: (words + 1) * 32, iv, ciphertext })
    }

    /// The width of the peripheral that it is for.
    #[must_use]
    pub fn width(&self) -> Option<Width> {
        Width::of_ciphertext(self.ciphertext.len())
    }

    /// The bytes before the ciphertext.
    #[must_use]
    pub fn header(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[..4].copy_from_slice(&(self.rsa_bits / 32).wrapping_sub(1).to_le_bytes());
        out[4..].copy_from_slice(self.iv);
        out
    }

    /// As flash holds it.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn to_bytes(&self) -> alloc::vec::Vec<u8> {
        [&self.header()[..], self.ciphertext].concat()
    }
}

/// Where the key is, beside [`DsData`]. In memory it begins with a pointer, whose place stays zero in flash.
#[doc(alias = "esp_ds_data_ctx_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DsContext {
    /// The block with the HMAC key.
    pub key_id: EfuseKeyId,
    /// Length of the key in bits.
    pub rsa_bits: u16,
}

impl DsContext {
    /// Bytes in flash.
    pub const LEN: usize = 8;

    /// Reads exactly [`Self::LEN`] bytes. The pointer's place and the byte of padding are not looked at, as on the device.
    ///
    /// # Errors
    /// [`DsRecordError`]: another length, or a key block that does not exist.
    pub fn parse(bytes: &[u8]) -> Result<Self, DsRecordError> {
        let mut reader = Reader::new(bytes);
        reader.take(4)?;
        let id = reader.u8()?;
        reader.u8()?;
        let rsa_bits = reader.u16_le()?;
        reader.finish()?;
        Ok(Self { key_id: EfuseKeyId::new(id).ok_or(DsRecordError::KeyId { id })?, rsa_bits })
    }

    /// As flash holds it.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let [low, high] = self.rsa_bits.to_le_bytes();
        [0, 0, 0, 0, self.key_id.get(), 0, low, high]
    }
}

/// Bytes of [`DsData`] before the ciphertext.
const HEADER_LEN: usize = 20;

/// Why bytes are not one of the structures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DsRecordError {
    /// Too short or too long.
    #[error("digital signature data: {0}")]
    Read(#[from] ReadError),
    /// Not a length that any peripheral reads.
    #[error("digital signature data: {len} bytes of ciphertext; peripherals read 1200 or 1584")]
    Ciphertext {
        /// Found.
        len: usize,
    },
    /// Zero, negative, or longer than the peripheral.
    #[error("digital signature data: RSA length {words:#x} does not fit the ciphertext")]
    RsaLength {
        /// As stored.
        words: u32,
    },
    /// Key blocks are 0 to 5.
    #[error("digital signature context: no key block {id}, they are 0 to 5")]
    KeyId {
        /// As stored.
        id: u8,
    },
}
