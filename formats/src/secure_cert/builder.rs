//! Writes a partition, entry by entry.

use super::entry::{Entry, Flags, TlvType};
use super::{MAX_PARTITION_SIZE, MAX_SUBTYPE};
use crate::crc::crc_a;
use alloc::vec::Vec;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A partition in the making. It is wiped on drop, since keys may be in it.
pub struct Builder {
    bytes: Zeroizing<Vec<u8>>,
    taken: Vec<(TlvType, u8)>,
    limit: usize,
    /// Where the first signature is.
    signed: Option<usize>,
    encrypted: bool,
}

impl Builder {
    /// An empty partition of at most `limit` bytes, see [`super::PARTITION_SIZE`].
    ///
    /// # Errors
    /// [`BuildError::Limit`] above 64 KiB.
    pub fn new(limit: usize) -> Result<Self, BuildError> {
        if limit > MAX_PARTITION_SIZE {
            return Err(BuildError::Limit { limit });
        }
        // All at once, so that no copy is left behind when it grows.
        let bytes = Zeroizing::new(Vec::with_capacity(limit));
        Ok(Self { bytes, taken: Vec::new(), limit, signed: None, encrypted: false })
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// [`BuildError`]: a type and subtype that is there already, a second entry encrypted under the one nonce, an entry
    /// behind a signature that the signature would not cover, or no room.
    pub fn add(&mut self, kind: TlvType, subtype: u8, flags: Flags, data: &[u8]) -> Result<(), BuildError> {
        if !kind.is_storable() || subtype > MAX_SUBTYPE {
            return Err(BuildError::Name { kind, subtype });
        }
        if self.taken.contains(&(kind, subtype)) {
            return Err(BuildError::Duplicate { kind, subtype });
        }
        if self.signed.is_some() && !matches!(kind, TlvType::SIGNATURE | TlvType::INTEGRITY) {
            return Err(BuildError::AfterSignature { kind });
        }
        if flags == Flags::HMAC_ENCRYPTED && self.encrypted {
            return Err(BuildError::SecondEncrypted);
        }
        let too_long = BuildError::Full { kind, needed: Entry::len_with(data.len()), remaining: self.remaining() };
        let len = u16::try_from(data.len()).map_err(|_| too_long)?;
        if Entry::len_with(data.len()) > self.remaining() {
            return Err(too_long);
        }
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&Entry::MAGIC.to_le_bytes());
        self.bytes.extend_from_slice(&[flags.0, 0, 0, 0, kind.0, subtype]);
        self.bytes.extend_from_slice(&len.to_le_bytes());
        self.bytes.extend_from_slice(data);
        self.bytes.resize(at + Entry::len_with(data.len()) - Entry::CRC_LEN, 0);
        let crc = crc_a(&self.bytes[at..]);
        self.bytes.extend_from_slice(&crc.to_le_bytes());
        self.taken.push((kind, subtype));
        self.encrypted |= flags == Flags::HMAC_ENCRYPTED;
        if kind == TlvType::SIGNATURE && self.signed.is_none() {
            self.signed = Some(at);
        }
        Ok(())
    }

    /// Adds the SHA-256 of everything so far.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn add_integrity(&mut self) -> Result<(), BuildError> {
        let digest: [u8; 32] = Sha256::digest(&*self.bytes).into();
        self.add(TlvType::INTEGRITY, 0, Flags::NONE, &digest)
    }

    /// What a signature covers: everything before the first one.
    #[must_use]
    pub fn signed_bytes(&self) -> &[u8] {
        &self.bytes[..self.signed.unwrap_or(self.bytes.len())]
    }

    /// The entries so far.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes used so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// True before the first entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The entries alone, as Espressif's tool leaves them.
    #[must_use]
    pub fn finish(self) -> Zeroizing<Vec<u8>> {
        self.bytes
    }

    /// The whole partition: the rest is 0xFF.
    #[must_use]
    pub fn finish_filled(mut self) -> Zeroizing<Vec<u8>> {
        self.bytes.resize(self.limit, 0xFF);
        self.bytes
    }

    fn remaining(&self) -> usize {
        self.limit - self.bytes.len()
    }
}

impl core::fmt::Debug for Builder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Builder({} entries, {} of {} bytes)", self.taken.len(), self.bytes.len(), self.limit)
    }
}

/// Why an entry was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The firmware counts offsets in 16 bits.
    #[error("secure cert: a partition of {limit:#x} bytes; the firmware reads at most 0x10000")]
    Limit {
        /// Asked for.
        limit: usize,
    },
    /// A type that means something else to the firmware, or a subtype above 16.
    #[error("secure cert: type {} with subtype {subtype} cannot be stored", .kind.0)]
    #[allow(missing_docs)]
    Name { kind: TlvType, subtype: u8 },
    /// The firmware reads the first of two and never the second.
    #[error("secure cert: a second entry \"{kind}\" with subtype {subtype}")]
    #[allow(missing_docs)]
    Duplicate { kind: TlvType, subtype: u8 },
    /// It would not be covered by the signature before it.
    #[error("secure cert: an entry \"{kind}\" behind the signature, which would not cover it")]
    #[allow(missing_docs)]
    AfterSignature { kind: TlvType },
    /// All entries are encrypted under one key and one nonce, and AES-GCM gives both away if that happens twice.
    #[error("secure cert: a second encrypted entry; the nonce is the same for all, so only one may be")]
    SecondEncrypted,
    /// Too long for the rest of the partition.
    #[error("secure cert: entry \"{kind}\" takes {needed} bytes, but only {remaining} remain")]
    #[allow(missing_docs)]
    Full { kind: TlvType, needed: usize, remaining: usize },
}
