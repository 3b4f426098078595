//! What an entry of type [`super::TlvType::SIGNATURE`] holds: who signed what is before it, with a key of Secure Boot V2.
//!
//! RSA-3072 brings a whole signature block; ECDSA only curve, point and numbers, from which the firmware builds the block
//! that it has the ROM verify. Covered are the bytes before the entry with subtype 0, unpadded.
//!
//! Off-spec: esp_secure_cert_tool 2.6.1 cannot write P-192 (it hands 65 bytes of key to a field of 49); the layout here is
//! what the firmware reads.

use crate::crc::crc_b;
use crate::read::{ReadError, Reader};
use crate::secure_boot::v2::{BLOCK_LEN, Scheme, SignatureError};

/// A signature, read but not verified.
#[doc(alias = "esp_secure_cert_signature_t")]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SignatureData<'a> {
    /// Where what is signed starts; the firmware takes 0 whatever stands here.
    pub offset: u32,
    /// How much is signed; the firmware takes what is before the first signature.
    pub length: u32,
    scheme: Scheme,
    /// The block, or curve id, point and numbers.
    body: &'a [u8],
}

impl<'a> SignatureData<'a> {
    /// Bytes before key and signature.
    pub const HEADER_LEN: usize = 16;

    /// Reads exactly one.
    ///
    /// # Errors
    /// [`SignatureDataError`].
    pub fn parse(data: &'a [u8]) -> Result<Self, SignatureDataError> {
        let mut reader = Reader::new(data);
        let version = reader.u8()?;
        if version != 1 {
            return Err(SignatureDataError::Version { found: version });
        }
        reader.take(3)?;
        let (offset, length) = (reader.u32_le()?, reader.u32_le()?);
        let algorithm = reader.u8()?;
        let scheme = match algorithm {
            0 => Scheme::Rsa3072,
            1 => Scheme::EcdsaP192,
            2 => Scheme::EcdsaP256,
            3 => Scheme::EcdsaP384,
            found => return Err(SignatureDataError::Algorithm { found }),
        };
        reader.take(3)?;
        let body = match scheme {
            Scheme::Rsa3072 => reader.take(BLOCK_LEN)?,
            _ => reader.take(1 + 4 * coordinate_len(scheme))?,
        };
        reader.finish()?;
        if scheme != Scheme::Rsa3072 && body[0] != algorithm {
            return Err(SignatureDataError::Curve { found: body[0], expected: algorithm });
        }
        Ok(Self { offset, length, scheme, body })
    }

    /// How it is signed.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The Secure Boot V2 block that the firmware has the ROM verify. `digest` is that of the bytes before the entry:
    /// SHA-384 for P-384, else SHA-256; an RSA block brings its own.
    ///
    /// # Errors
    /// [`SignatureDataError::Digest`] if `digest` is of another length.
    pub fn to_block(&self, digest: &[u8]) -> Result<[u8; BLOCK_LEN], SignatureDataError> {
        let mut block = [0; BLOCK_LEN];
        if self.scheme == Scheme::Rsa3072 {
            block.copy_from_slice(self.body);
            return Ok(block);
        }
        let (digest_len, field) = if self.scheme == Scheme::EcdsaP384 { (48, 96) } else { (32, 64) };
        if digest.len() != digest_len {
            return Err(SignatureDataError::Digest { len: digest.len(), expected: digest_len });
        }
        let pair = 2 * coordinate_len(self.scheme);
        let key_at = 4 + digest_len;
        block[..3].copy_from_slice(&[0xE7, 3, u8::from(self.scheme == Scheme::EcdsaP384)]);
        block[4..key_at].copy_from_slice(digest);
        block[key_at..=key_at + pair].copy_from_slice(&self.body[..=pair]);
        let numbers = key_at + 1 + field;
        block[numbers..numbers + pair].copy_from_slice(&self.body[1 + pair..]);
        let crc = crc_b(&block[..CRC]);
        block[CRC..CRC + 4].copy_from_slice(&crc.to_le_bytes());
        Ok(block)
    }
}

impl core::fmt::Debug for SignatureData<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SignatureData({}, {:#x}..+{:#x})", self.scheme, self.offset, self.length)
    }
}

/// The data of an entry with the signature of a Secure Boot V2 block over the `length` bytes before the first signature.
///
/// # Errors
/// [`SignatureDataError::Block`] if `block` is none.
#[cfg(feature = "alloc")]
pub fn signature_data(block: &[u8; BLOCK_LEN], length: u32) -> Result<alloc::vec::Vec<u8>, SignatureDataError> {
    let parsed = crate::secure_boot::v2::SignatureBlock::parse(block)?;
    let scheme = parsed.scheme();
    let algorithm = match scheme {
        Scheme::Rsa3072 => 0,
        Scheme::EcdsaP192 => 1,
        Scheme::EcdsaP256 => 2,
        Scheme::EcdsaP384 => 3,
    };
    let mut out = alloc::vec![1, 0, 0, 0, 0, 0, 0, 0];
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&[algorithm, 0, 0, 0]);
    if scheme == Scheme::Rsa3072 {
        out.extend_from_slice(block);
        return Ok(out);
    }
    let (key_at, field) = if scheme == Scheme::EcdsaP384 { (52, 96) } else { (36, 64) };
    let pair = 2 * coordinate_len(scheme);
    out.extend_from_slice(&block[key_at..=key_at + pair]);
    out.extend_from_slice(&block[key_at + 1 + field..][..pair]);
    Ok(out)
}

/// Bytes of a coordinate, and of r and of s; RSA has none.
const fn coordinate_len(scheme: Scheme) -> usize {
    match scheme {
        Scheme::Rsa3072 => 0,
        Scheme::EcdsaP192 => 24,
        Scheme::EcdsaP256 => 32,
        Scheme::EcdsaP384 => 48,
    }
}

/// Offset of the CRC in a block.
const CRC: usize = 1196;

/// Why data is no signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureDataError {
    /// Too short or too long.
    #[error("signature entry: {0}")]
    Read(#[from] ReadError),
    /// A version that the firmware does not know.
    #[error("signature entry: unknown version {found}")]
    Version {
        /// Found.
        found: u8,
    },
    /// Neither RSA-3072 nor one of three curves.
    #[error("signature entry: unknown algorithm {found}")]
    Algorithm {
        /// Found.
        found: u8,
    },
    /// Curve and algorithm disagree.
    #[error("signature entry: curve {found} with algorithm {expected}")]
    Curve {
        /// Found.
        found: u8,
        /// The algorithm, which has the same number.
        expected: u8,
    },
    /// A digest of another hash.
    #[error("signature entry: a digest of {len} bytes, expected {expected}")]
    Digest {
        /// Given.
        len: usize,
        /// Of the hash that goes with the curve.
        expected: usize,
    },
    /// The block is none.
    #[error("signature entry: {0}")]
    Block(#[from] SignatureError),
}
