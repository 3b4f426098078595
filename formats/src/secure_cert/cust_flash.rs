//! The legacy format `cust_flash`: fixed places, and one record of lengths and checksums at the front. Only read.
//!
//! Source: esp_secure_cert_mgr 2.9.3 `private_include/esp_secure_cert_config.h`; esp_secure_cert_tool 2.6.1
//! `custflash_format.py`. Whether the device has a digital signature peripheral decides at compile time what the firmware
//! reads; here it is told from where the magic word stands.

use crate::crc::crc_a;
use crate::ds::EfuseKeyId;
use crate::read::{ReadError, Reader};

/// Certificates and key of a partition; the CRC of each holds.
#[doc(alias = "esp_secure_cert_metadata")]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CustFlash<'a> {
    /// PEM with its NUL, or DER.
    pub device_cert: &'a [u8],
    /// The same; `None` if there is none.
    pub ca_cert: Option<&'a [u8]>,
    /// The key or its parameters.
    pub key: CustFlashKey<'a>,
}

/// The private key of a legacy partition.
#[derive(Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum CustFlashKey<'a> {
    /// As it stands.
    Plain(&'a [u8]),
    /// For the digital signature peripheral.
    Ds { ciphertext: &'a [u8], iv: &'a [u8; 16], rsa_bits: u16, key_id: EfuseKeyId },
}

impl<'a> CustFlash<'a> {
    /// True if the record at the front has its magic word, in either place.
    #[must_use]
    pub fn recognise(partition: &[u8]) -> bool {
        let word = |at: usize| partition.get(at..at + 4);
        [PLAIN_MAGIC, DS_MAGIC].into_iter().any(|at| word(at) == Some(&MAGIC.to_le_bytes()))
    }

    /// Reads a partition.
    ///
    /// # Errors
    /// [`CustFlashError`]: no magic word, a field beyond its place or the partition, or a CRC that does not hold.
    pub fn parse(partition: &'a [u8]) -> Result<Self, CustFlashError> {
        let mut record = Reader::new(partition);
        let (device, ca, third) = (field(&mut record)?, field(&mut record)?, field(&mut record)?);
        let device_cert = device.bytes(partition, "device certificate", DEVICE_CERT)?;
        let ca_cert = (ca.len != 0).then(|| ca.bytes(partition, "CA certificate", CA_CERT)).transpose()?;
        if record.clone().u32_le()? == MAGIC {
            let key = third.bytes(partition, "private key", PRIVATE_KEY)?;
            return Ok(Self { device_cert, ca_cert, key: CustFlashKey::Plain(key) });
        }
        let iv_field = Field { crc: record.u32_le()?, len: usize::from(record.u16_le()?) };
        let (rsa_bits, id) = (record.u16_le()?, record.u8()?);
        record.take(3)?;
        if record.u32_le()? != MAGIC {
            return Err(CustFlashError::Magic);
        }
        let ciphertext = third.bytes(partition, "ciphertext", PRIVATE_KEY)?;
        let iv_at = PRIVATE_KEY.0 + third.len + 16;
        let iv = iv_field.bytes(partition, "IV", (iv_at, 16))?;
        let iv = iv.try_into().map_err(|_| CustFlashError::Length { what: "IV", len: iv_field.len, limit: 16 })?;
        let key_id = EfuseKeyId::new(id).ok_or(CustFlashError::KeyId { id })?;
        Ok(Self { device_cert, ca_cert, key: CustFlashKey::Ds { ciphertext, iv, rsa_bits, key_id } })
    }
}

/// The key may stand there in plain.
impl core::fmt::Debug for CustFlash<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let ds = matches!(self.key, CustFlashKey::Ds { .. });
        f.debug_struct("CustFlash").field("ds", &ds).finish_non_exhaustive()
    }
}

struct Field {
    crc: u32,
    len: usize,
}

impl Field {
    fn bytes<'a>(
        &self,
        partition: &'a [u8],
        what: &'static str,
        (at, limit): (usize, usize),
    ) -> Result<&'a [u8], CustFlashError> {
        if self.len == 0 || self.len > limit {
            return Err(CustFlashError::Length { what, len: self.len, limit });
        }
        let found = partition.get(at..at + self.len);
        let bytes = found.ok_or(CustFlashError::Truncated { what, end: at + self.len, len: partition.len() })?;
        if crc_a(bytes) == self.crc { Ok(bytes) } else { Err(CustFlashError::Crc { what }) }
    }
}

fn field(reader: &mut Reader<'_>) -> Result<Field, ReadError> {
    let (crc, len) = (reader.u32_le()?, reader.u16_le()?);
    reader.take(2)?;
    Ok(Field { crc, len: usize::from(len) })
}

const MAGIC: u32 = 0x1234_5678;
/// Where the magic word is without and with the fields of the digital signature peripheral.
const PLAIN_MAGIC: usize = 24;
const DS_MAGIC: usize = 36;
/// Offset and room.
const DEVICE_CERT: (usize, usize) = (64, 2048);
const CA_CERT: (usize, usize) = (2112, 4096);
/// The ciphertext is in the same place.
const PRIVATE_KEY: (usize, usize) = (6208, 4096);

/// Why a partition is not in this format, or damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CustFlashError {
    /// Shorter than its record.
    #[error("cust_flash: {0}")]
    Read(#[from] ReadError),
    /// Another format.
    #[error("cust_flash: no magic word")]
    Magic,
    /// Empty, or longer than its place.
    #[error("cust_flash: {what} of {len} bytes, there is room for {limit}")]
    #[allow(missing_docs)]
    Length { what: &'static str, len: usize, limit: usize },
    /// The partition ends too early.
    #[error("cust_flash: {what} ends at {end:#x}, but the partition at {len:#x}")]
    #[allow(missing_docs)]
    Truncated { what: &'static str, end: usize, len: usize },
    /// Damaged.
    #[error("cust_flash: the CRC of the {what} does not hold")]
    #[allow(missing_docs)]
    Crc { what: &'static str },
    /// Key blocks are 0 to 5.
    #[error("cust_flash: no key block {id}, they are 0 to 5")]
    #[allow(missing_docs)]
    KeyId { id: u8 },
}
