//! Signing: building blocks around a signature that somebody else makes (a key file, an HSM).

use super::{
    BLOCK_LEN, CRC, MAGIC, MAX_BLOCKS, PssError, RsaPublicKey, SECTOR_LEN, SIGNATURE, SignatureError, SignedFile,
    content_digest, content_padded_len, reversed,
};
use crate::crc::crc_b;
use crate::rsa_pss::verify_3072;
use alloc::vec::Vec;
use sha2::{Digest, Sha256};

/// Pads an unsigned image with 0xFF to whole sectors and appends a signature sector with one block.
/// `sign` gets the SHA-256 digest of the padded image and returns the RSASSA-PSS signature (MGF1-SHA-256, salt 32),
/// big-endian. The signature is verified before anything is returned.
///
/// # Errors
/// [`SignError`]: a bad key, what `sign` returned, or a signature that is not one of this key.
pub fn append_signature<E>(
    image: &[u8],
    key: &RsaPublicKey,
    sign: impl FnOnce(&[u8; 32]) -> Result<[u8; 384], E>,
) -> Result<Vec<u8>, SignError<E>> {
    let block = signed_block(&content_digest(image), key, sign)?;
    let padded = content_padded_len(image.len());
    let mut file = Vec::with_capacity(padded + SECTOR_LEN);
    file.extend_from_slice(image);
    file.resize(padded, 0xff);
    file.extend_from_slice(&block);
    file.resize(padded + SECTOR_LEN, 0xff);
    Ok(file)
}

/// Adds a further block to a signed file, so that devices that trust either key accept it.
///
/// # Errors
/// [`SignError::Unsigned`] if the file has no signature yet, [`SignError::Full`] after three, else as
/// [`append_signature`].
pub fn add_signature<E>(
    signed: &[u8],
    key: &RsaPublicKey,
    sign: impl FnOnce(&[u8; 32]) -> Result<[u8; 384], E>,
) -> Result<Vec<u8>, SignError<E>> {
    let parsed = SignedFile::parse(signed).map_err(SignError::Unsigned)?;
    if let Some(damage) = parsed.signatures.ended_by() {
        return Err(SignError::Unsigned(damage));
    }
    let used = parsed.signatures.blocks().count();
    if used == MAX_BLOCKS {
        return Err(SignError::Full);
    }
    // As it stands: a file made with --skip-padding is signed without padding.
    let block = signed_block(&Sha256::digest(parsed.content).into(), key, sign)?;
    let at = parsed.content.len() + used * BLOCK_LEN;
    let mut file = signed.to_vec();
    file[at..at + BLOCK_LEN].copy_from_slice(&block);
    Ok(file)
}

pub(super) fn signed_block<E>(
    digest: &[u8; 32],
    key: &RsaPublicKey,
    sign: impl FnOnce(&[u8; 32]) -> Result<[u8; 384], E>,
) -> Result<[u8; BLOCK_LEN], SignError<E>> {
    let fields = key.fields().map_err(SignError::Key)?;
    let signature = sign(digest).map_err(SignError::Signer)?;
    verify_3072(&key.n_be, key.e, digest, &signature).map_err(SignError::Signature)?;

    let mut block = [0; BLOCK_LEN];
    block[..2].copy_from_slice(&[MAGIC, 2]);
    block[4..36].copy_from_slice(digest);
    block[36..SIGNATURE].copy_from_slice(&fields);
    block[SIGNATURE..CRC].copy_from_slice(&reversed(&signature));
    let crc = crc_b(&block[..CRC]);
    block[CRC..CRC + 4].copy_from_slice(&crc.to_le_bytes());
    Ok(block)
}

/// Why a file was not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError<E> {
    /// The public key is unusable.
    #[error("signing key: {0}")]
    Key(PssError),
    /// The signer failed.
    #[error("signer: {0}")]
    Signer(E),
    /// The signer returned something that is not a signature of this digest by this key.
    #[error("signer returned a bad signature: {0}")]
    Signature(PssError),
    /// There is no sound signature sector to add to.
    #[error("cannot add a signature: {0}")]
    Unsigned(SignatureError),
    /// All three blocks are taken.
    #[error("cannot add a signature: three are present")]
    Full,
}
