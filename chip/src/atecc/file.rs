//! The part on disk: one file of fixed length, written whole.
//!
//! 24 bytes that say what it is, configuration zone, OTP zone, the slots one after the other, two bytes (little-endian) with
//! a bit for each slot that holds a private key, and the SHA-256 of all that. Private keys are in it in the clear, so it
//! is for its owner only (0600).

use super::memory::{DATA_LEN, Memory};
use super::sha::digest;
use super::{Entropy, SecureElement};
use crate::flash::replace_file;
use cotter_formats::atecc::{CONFIG_LEN, ConfigZone, OTP_LEN};
use std::io;
use std::path::Path;
use zeroize::Zeroizing;

/// Bytes of a file.
pub const STATE_LEN: usize = MAGIC.len() + CONFIG_LEN + OTP_LEN + DATA_LEN + 2 + 32;

const MAGIC: &[u8; 24] = b"cotter secure element 1\n";

/// Why a file is no part.
#[derive(Debug, thiserror::Error)]
pub enum ElementFileError {
    /// The system says so.
    #[error("secure element: {0}")]
    Io(#[from] io::Error),
    /// Too short, too long, or of something else.
    #[error(
        "secure element: expected a file of {STATE_LEN} bytes that begins with \"cotter secure element 1\", got {len}"
    )]
    Format {
        /// What it has.
        len: usize,
    },
    /// Damaged.
    #[error("secure element: the checksum at the end of the file does not hold")]
    Checksum,
}

impl SecureElement {
    /// Reads what [`Self::save`] wrote. The part is asleep then.
    ///
    /// # Errors
    /// [`ElementFileError`].
    pub fn load(path: &Path, entropy: Entropy) -> Result<Self, ElementFileError> {
        let file = std::fs::File::open(path)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(STATE_LEN + 1));
        io::Read::read_to_end(&mut io::Read::take(file, STATE_LEN as u64 + 1), &mut bytes)?;
        Self::from_bytes(&bytes, entropy)
    }

    /// Replaces the file in one step, so that it holds the part as it was before or as it is now.
    ///
    /// # Errors
    /// [`ElementFileError::Io`].
    pub fn save(&self, path: &Path) -> Result<(), ElementFileError> {
        Ok(replace_file(path, &self.to_bytes())?)
    }

    /// The content of a file.
    ///
    /// # Errors
    /// [`ElementFileError::Format`], [`ElementFileError::Checksum`].
    pub fn from_bytes(bytes: &[u8], entropy: Entropy) -> Result<Self, ElementFileError> {
        let format = || ElementFileError::Format { len: bytes.len() };
        let (content, checksum) = bytes.split_last_chunk::<32>().ok_or_else(format)?;
        let rest = content.strip_prefix(MAGIC).ok_or_else(format)?;
        let (config, rest) = rest.split_first_chunk::<CONFIG_LEN>().ok_or_else(format)?;
        let (otp, rest) = rest.split_first_chunk::<OTP_LEN>().ok_or_else(format)?;
        let (data, private_keys) = rest.split_last_chunk::<2>().ok_or_else(format)?;
        if data.len() != DATA_LEN {
            return Err(format());
        }
        if digest(&[content]) != *checksum {
            return Err(ElementFileError::Checksum);
        }
        let private_keys = u16::from_le_bytes(*private_keys);
        let memory = Memory::restored(ConfigZone(*config), *otp, Zeroizing::new(data.to_vec()), private_keys);
        Ok(Self::with_memory(memory, entropy))
    }

    /// The same for writing. It holds the private keys.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let memory = &self.part.memory;
        let mut bytes = Zeroizing::new(Vec::with_capacity(STATE_LEN));
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&memory.config().0);
        bytes.extend_from_slice(memory.otp());
        bytes.extend_from_slice(memory.data());
        bytes.extend_from_slice(&memory.private_keys().to_le_bytes());
        let checksum = digest(&[&bytes]);
        bytes.extend_from_slice(&checksum);
        bytes
    }
}
