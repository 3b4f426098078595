//! Secure Boot V2: the signature sector behind an image, its blocks, and their verification.
//!
//! A signed file is the content padded with 0xFF to whole sectors, then one sector with up to three 1216-byte blocks.
//! Source: espsecure 5.6.0, ESP-IDF 6.2-dev `docs/en/security/secure-boot-v2.rst` and the ROMs' `secure_boot.h`.

#[cfg(feature = "alloc")]
mod sign;
#[cfg(feature = "alloc")]
pub use sign::{SignError, add_signature, append_signature};

#[cfg(feature = "ecdsa")]
mod ecdsa;
#[cfg(feature = "ecdsa")]
mod public_key;
#[cfg(feature = "ecdsa")]
mod support;
#[cfg(feature = "ecdsa")]
pub use ecdsa::{Curve, EcdsaPublicKey};
#[cfg(feature = "ecdsa")]
pub use public_key::{
    BlockRefusal, ContentDigests, ContentHasher, FileRefusal, PublicKey, Trusted, add_block, add_to_sector,
    append_block, locate, new_sector,
};
#[cfg(feature = "ecdsa")]
pub use support::{Support, blocks_of, support};

mod trust;
pub use trust::{DigestSlot, EfuseTrust, SlotDigest, Version, needs_revision};

use crate::crc::crc_b;
use crate::read::{ReadError, Reader};
use crate::rsa_pss::{self, Montgomery3072, PssError};
use core::fmt;
use sha2::{Digest, Sha256};

/// One 1216-byte block: magic, version, hash and curve are known and its CRC holds. That is no proof of anything yet;
/// [`Self::key_digest`] must be one that the device trusts, and [`Self::verify`] must succeed.
/// The 16 bytes behind the CRC are read by nobody, silicon included.
#[doc(alias = "ets_secure_boot_sig_block_t")]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SignatureBlock<'a> {
    bytes: &'a [u8; BLOCK_LEN],
    scheme: Scheme,
}

impl<'a> SignatureBlock<'a> {
    /// Parses exactly [`BLOCK_LEN`] bytes.
    ///
    /// # Errors
    /// [`SignatureError`]; the checks are made in the order of the ROM: magic, version, CRC.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SignatureError> {
        let mut reader = Reader::new(bytes);
        let whole = reader.take(BLOCK_LEN)?;
        reader.finish()?;
        let bytes: &[u8; BLOCK_LEN] = whole.try_into().expect("take returned as many bytes as asked");

        if bytes[0] != MAGIC {
            return Err(SignatureError::Magic { found: bytes[0] });
        }
        let stored = u32::from_le_bytes(field(bytes, CRC));
        let computed = crc_b(&bytes[..CRC]);
        let scheme = match (bytes[1], bytes[2]) {
            (2, _) => Ok(Scheme::Rsa3072),
            (3, 0) => match bytes[36] {
                1 => Ok(Scheme::EcdsaP192),
                2 => Ok(Scheme::EcdsaP256),
                curve => Err(SignatureError::Curve { found: curve }),
            },
            (3, 1) if bytes[52] == 3 => Ok(Scheme::EcdsaP384),
            (3, 1) => Err(SignatureError::Curve { found: bytes[52] }),
            (3, hash) => Err(SignatureError::Hash { found: hash }),
            (version, _) => return Err(SignatureError::Version { found: version }),
        };
        if stored != computed {
            return Err(SignatureError::Crc { stored, computed });
        }
        Ok(Self { bytes, scheme: scheme? })
    }

    /// The block as it is in flash.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8; BLOCK_LEN] {
        self.bytes
    }

    /// How it is signed.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The digest of the content that the signer saw: SHA-256, or SHA-384 for P-384.
    #[must_use]
    pub fn image_digest(&self) -> &'a [u8] {
        match self.scheme {
            Scheme::EcdsaP384 => &self.bytes[4..52],
            _ => &self.bytes[4..36],
        }
    }

    /// What an eFuse digest block holds if the device trusts this block's key: SHA-256 of its key fields.
    #[must_use]
    pub fn key_digest(&self) -> [u8; 32] {
        let key = match self.scheme {
            Scheme::Rsa3072 => &self.bytes[36..SIGNATURE],
            Scheme::EcdsaP192 | Scheme::EcdsaP256 => &self.bytes[36..101],
            Scheme::EcdsaP384 => &self.bytes[52..149],
        };
        Sha256::digest(key).into()
    }

    /// The RSA key, if it is one.
    #[must_use]
    pub fn rsa_key(&self) -> Option<RsaPublicKey> {
        let key =
            || RsaPublicKey { n_be: reversed(&field(self.bytes, 36)), e: u32::from_le_bytes(field(self.bytes, 420)) };
        (self.scheme == Scheme::Rsa3072).then(key)
    }

    /// Verifies the signature over this content. Whether the key is trusted is another question.
    /// `content_digest`: SHA-256 of the padded content, see [`content_digest`].
    ///
    /// # Errors
    /// [`SignatureError::Digest`] if it signs other content, [`SignatureError::Scheme`] for ECDSA,
    /// [`SignatureError::Constants`] or [`SignatureError::Pss`] if key or signature are bad.
    pub fn verify(&self, content_digest: &[u8; 32]) -> Result<(), SignatureError> {
        let key = self.rsa_key().ok_or(SignatureError::Scheme(self.scheme))?;
        if self.image_digest() != content_digest {
            return Err(SignatureError::Digest);
        }
        // The RSA peripheral computes with the constants as they stand in the block.
        let constants = Montgomery3072::new(&key.n_be)?;
        if constants.r_squared_le != field(self.bytes, 424)
            || constants.m_prime != u32::from_le_bytes(field(self.bytes, 808))
        {
            return Err(SignatureError::Constants);
        }
        let signature: [u8; 384] = reversed(&field(self.bytes, SIGNATURE));
        Ok(rsa_pss::verify_3072(&key.n_be, key.e, content_digest, &signature)?)
    }
}

impl fmt::Debug for SignatureBlock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignatureBlock").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

/// How a block is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Scheme {
    Rsa3072,
    EcdsaP192,
    EcdsaP256,
    EcdsaP384,
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa3072 => "RSA-3072",
            Self::EcdsaP192 => "ECDSA P-192",
            Self::EcdsaP256 => "ECDSA P-256",
            Self::EcdsaP384 => "ECDSA P-384",
        })
    }
}

/// An RSA-3072 public key as the signature block and the eFuses need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RsaPublicKey {
    /// Modulus, big-endian.
    pub n_be: [u8; 384],
    /// Public exponent, usually 65537.
    pub e: u32,
}

impl RsaPublicKey {
    /// The digest to burn into an eFuse block so that a device trusts this key.
    ///
    /// # Errors
    /// [`PssError::Modulus`] if the modulus is even or shorter than 3072 bits.
    pub fn key_digest(&self) -> Result<[u8; 32], PssError> {
        Ok(Sha256::digest(self.fields()?).into())
    }

    /// n, e, R^2 and M' as they stand in a block.
    fn fields(&self) -> Result<[u8; SIGNATURE - 36], PssError> {
        let constants = Montgomery3072::new(&self.n_be)?;
        let mut out = [0; SIGNATURE - 36];
        out[..384].copy_from_slice(&reversed(&self.n_be));
        out[384..388].copy_from_slice(&self.e.to_le_bytes());
        out[388..772].copy_from_slice(&constants.r_squared_le);
        out[772..].copy_from_slice(&constants.m_prime.to_le_bytes());
        Ok(out)
    }
}

/// The sector behind the content: blocks from the start without a gap, the rest erased.
#[doc(alias = "ets_secure_boot_signature_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignatureSector<'a> {
    blocks: [Option<SignatureBlock<'a>>; MAX_BLOCKS],
    ended_by: Option<SignatureError>,
}

impl<'a> SignatureSector<'a> {
    /// Parses exactly [`SECTOR_LEN`] bytes. As the ROM does, it stops at the first block that is not one.
    ///
    /// # Errors
    /// What is wrong with the first block; what ended the list later is told by [`Self::ended_by`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SignatureError> {
        let mut reader = Reader::new(bytes);
        let sector = reader.take(SECTOR_LEN)?;
        reader.finish()?;
        let mut parsed = Self { blocks: [None; MAX_BLOCKS], ended_by: None };
        for (index, (slot, bytes)) in parsed.blocks.iter_mut().zip(sector.chunks_exact(BLOCK_LEN)).enumerate() {
            match SignatureBlock::parse(bytes) {
                Ok(block) => *slot = Some(block),
                Err(refusal) if index == 0 => return Err(refusal),
                Err(_) if bytes.iter().all(|&byte| byte == 0xff) => break,
                Err(refusal) => {
                    parsed.ended_by = Some(refusal);
                    break;
                }
            }
        }
        Ok(parsed)
    }

    /// The blocks, one to three.
    pub fn blocks(&self) -> impl Iterator<Item = &SignatureBlock<'a>> {
        self.blocks.iter().flatten()
    }

    /// Why the next block was not read, if what is there is not erased.
    #[must_use]
    pub const fn ended_by(&self) -> Option<SignatureError> {
        self.ended_by
    }
}

/// A file with a signature sector at its end.
#[derive(Clone, Copy, Debug)]
pub struct SignedFile<'a> {
    /// What is signed, padding included.
    pub content: &'a [u8],
    /// By whom.
    pub signatures: SignatureSector<'a>,
}

impl<'a> SignedFile<'a> {
    /// Takes the last sector of the file for the signatures.
    ///
    /// # Errors
    /// [`SignatureError::Magic`] if the file is not signed, or what is wrong with the first block.
    pub fn parse(file: &'a [u8]) -> Result<Self, SignatureError> {
        let (content, sector) = match file.len().checked_sub(SECTOR_LEN) {
            Some(len) => file.split_at(len),
            None => (&[][..], file),
        };
        Ok(Self { content, signatures: SignatureSector::parse(sector)? })
    }

    /// Verifies that a block of this key (by its eFuse digest) signs the content; returns the block's number.
    /// A bad block of an untrusted key does not matter. The content is taken as it stands, padded or not.
    ///
    /// # Errors
    /// [`SignatureError::Untrusted`] if no block has that key, else what is wrong with the first that has it.
    pub fn verify(&self, trusted_key_digest: &[u8; 32]) -> Result<usize, SignatureError> {
        let digest = Sha256::digest(self.content).into();
        let mut refusal = SignatureError::Untrusted;
        for (index, block) in self.signatures.blocks().enumerate() {
            if block.key_digest() == *trusted_key_digest {
                match block.verify(&digest) {
                    Ok(()) => return Ok(index),
                    Err(bad) if refusal == SignatureError::Untrusted => refusal = bad,
                    Err(_) => {}
                }
            }
        }
        Err(refusal)
    }
}

/// Length of the content once it is padded to whole sectors.
#[must_use]
pub const fn content_padded_len(len: usize) -> usize {
    len.div_ceil(SECTOR_LEN).saturating_mul(SECTOR_LEN)
}

/// SHA-256 of the content with its padding, whether or not `content` already has it.
#[must_use]
pub fn content_digest(content: &[u8]) -> [u8; 32] {
    let padding = content_padded_len(content.len()) - content.len();
    Sha256::new().chain_update(content).chain_update(&[0xff; SECTOR_LEN][..padding]).finalize().into()
}

fn field<const N: usize>(block: &[u8; BLOCK_LEN], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&block[at..at + N]);
    out
}

/// Between the block's little-endian numbers and the big-endian ones of everybody else.
fn reversed<const N: usize>(bytes: &[u8; N]) -> [u8; N] {
    let mut out = *bytes;
    out.reverse();
    out
}

/// Bytes of one block.
pub const BLOCK_LEN: usize = 1216;
/// Bytes of the sector with the blocks.
pub const SECTOR_LEN: usize = 4096;
/// Blocks that fit into the sector.
#[doc(alias = "SECURE_BOOT_NUM_BLOCKS")]
pub const MAX_BLOCKS: usize = 3;
const MAGIC: u8 = 0xe7;
/// Offset of the RSA signature; the key fields end here.
const SIGNATURE: usize = 812;
/// Offset of the CRC, which covers everything before it.
const CRC: usize = 1196;

/// Why a block or a signature was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not as long as a block or a sector.
    #[error("signature block: {0}")]
    Read(#[from] ReadError),
    /// Not a block at all; 0xFF if nobody signed.
    #[error("signature block: begins with {found:#04x} instead of 0xe7")]
    Magic {
        /// First byte.
        found: u8,
    },
    /// Neither RSA (2) nor ECDSA (3).
    #[error("signature block: unknown version {found}")]
    Version {
        /// Second byte.
        found: u8,
    },
    /// An ECDSA block with a hash other than SHA-256 and SHA-384.
    #[error("signature block: unknown hash {found}")]
    Hash {
        /// Its hash id.
        found: u8,
    },
    /// An ECDSA block with a curve that is unknown or does not go with its hash.
    #[error("signature block: unknown curve {found}")]
    Curve {
        /// Its curve id.
        found: u8,
    },
    /// The block is damaged.
    #[error("signature block: stored CRC {stored:#010x}, calculated {computed:#010x}")]
    Crc {
        /// As in the block.
        stored: u32,
        /// Of the block.
        computed: u32,
    },
    /// The block signs other content than this.
    #[error("signature block: image digest does not match the content")]
    Digest,
    /// R^2 or M' do not belong to the modulus; the chip would compute nonsense.
    #[error("signature block: Montgomery constants do not belong to the modulus")]
    Constants,
    /// The signature or the key is bad.
    #[error("signature block: {0}")]
    Pss(#[from] PssError),
    /// A block that this library reads but does not verify.
    #[error("signature block: {0} signatures are not supported")]
    Scheme(Scheme),
    /// No block has the trusted key.
    #[error("signed by no trusted key")]
    Untrusted,
}

#[cfg(test)]
mod tests;
