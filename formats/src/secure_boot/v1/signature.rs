//! The ECDSA P-256 signature behind a partition table or an application, 68 bytes: a version word that is zero, r and s
//! (32 bytes each, big-endian), over the SHA-256 of everything before it.

use crate::chip::Chip;
use crate::image::Image;
use crate::partition::TABLE_LEN;
use crate::read::{ReadError, Reader};

/// A signature. r and s may be anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    /// r then s, big-endian.
    pub numbers: [u8; 64],
}

impl Signature {
    /// Parses exactly [`SIGNATURE_LEN`] bytes.
    ///
    /// # Errors
    /// [`SignatureError::Read`] or [`SignatureError::Version`].
    pub fn parse(bytes: &[u8]) -> Result<Self, SignatureError> {
        let mut reader = Reader::new(bytes);
        let (version, numbers) = (reader.u32_le()?, reader.array()?);
        reader.finish()?;
        if version != VERSION {
            return Err(SignatureError::Version { found: version });
        }
        Ok(Self { numbers })
    }

    /// As it stands in flash.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; SIGNATURE_LEN] {
        let mut bytes = [0; SIGNATURE_LEN];
        bytes[..4].copy_from_slice(&VERSION.to_le_bytes());
        bytes[4..].copy_from_slice(&self.numbers);
        bytes
    }
}

/// A file with a signature behind what it signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedFile<'a> {
    /// What is signed.
    pub content: &'a [u8],
    /// By whom is not said.
    pub signature: Signature,
}

impl<'a> SignedFile<'a> {
    /// Takes the signature from where the bootloader looks for it ([`signature_at`]); of any other file, from its end.
    /// What follows it in a partition is ignored.
    ///
    /// # Errors
    /// [`SignatureError::Read`] if the file ends before, [`SignatureError::Version`] if what is there is no signature.
    pub fn parse(file: &'a [u8]) -> Result<Self, SignatureError> {
        let at = signature_at(file).unwrap_or(file.len().saturating_sub(SIGNATURE_LEN));
        let mut reader = Reader::new(file);
        let content = reader.take(at)?;
        Ok(Self { content, signature: Signature::parse(reader.take(SIGNATURE_LEN)?)? })
    }
}

/// Where the second stage looks for the signature: directly behind an image, and at 0xC00 of a partition table.
/// `None` if the file begins like neither.
#[must_use]
pub fn signature_at(file: &[u8]) -> Option<usize> {
    match file {
        [0xaa, 0x50, ..] => Some(TABLE_LEN),
        _ => Image::scan(file, Chip::Esp32).ok().map(|image| image.len()),
    }
}

#[cfg(feature = "ecdsa")]
pub use verify::VerifyingKey;

#[cfg(feature = "ecdsa")]
mod verify {
    use super::{SignatureError, SignedFile};
    use crate::secure_boot::v2::{BlockRefusal, Curve, EcdsaPublicKey};
    use sha2::{Digest, Sha256};

    /// The public key that is compiled into the second stage: a point of P-256.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct VerifyingKey(EcdsaPublicKey);

    impl VerifyingKey {
        /// From the 64 bytes that ESP-IDF compiles in: x then y, big-endian.
        ///
        /// # Errors
        /// [`SignatureError::Key`] if that is no point of the curve.
        pub fn from_raw(point: &[u8; 64]) -> Result<Self, SignatureError> {
            let mut sec1 = [4; 65];
            sec1[1..].copy_from_slice(point);
            EcdsaPublicKey::from_sec1(Curve::P256, &sec1).map(Self).map_err(|_| SignatureError::Key)
        }

        /// From a key of any curve; `None` unless it is P-256.
        #[must_use]
        pub fn new(key: EcdsaPublicKey) -> Option<Self> {
            (key.curve() == Curve::P256).then_some(Self(key))
        }

        /// x then y, big-endian, 64 bytes.
        #[must_use]
        pub fn raw(&self) -> &[u8] {
            self.0.point()
        }

        /// Verifies the signature of a file.
        ///
        /// # Errors
        /// [`SignatureError::Numbers`] if r or s is out of range, [`SignatureError::Mismatch`] if it is not this key's
        /// over this content.
        pub fn verify(&self, file: &SignedFile<'_>) -> Result<(), SignatureError> {
            let digest: [u8; 32] = Sha256::digest(file.content).into();
            self.0.verify(&digest, &file.signature.numbers).map_err(|refusal| match refusal {
                BlockRefusal::Numbers => SignatureError::Numbers,
                _ => SignatureError::Mismatch,
            })
        }
    }
}

/// Bytes of a signature.
pub const SIGNATURE_LEN: usize = 68;
const VERSION: u32 = 0;

/// Why a signature was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum SignatureError {
    /// The file ends before its signature does.
    #[error("Secure Boot V1 signature: {0}")]
    Read(#[from] ReadError),
    #[error("Secure Boot V1 signature: version {found:#x} instead of 0")]
    Version { found: u32 },
    #[error("Secure Boot V1 signature: r or s is out of range")]
    Numbers,
    #[error("Secure Boot V1 signature: does not verify")]
    Mismatch,
    #[error("Secure Boot V1 key: not a point of P-256")]
    Key,
}

#[cfg(test)]
mod tests;
