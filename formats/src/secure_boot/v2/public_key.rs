//! Blocks of any scheme: public keys, verification, the whole file, and adding blocks that somebody else signed.

use super::ecdsa::{self, EcdsaPublicKey};
use super::sign::signed_block;
use super::{
    BLOCK_LEN, MAX_BLOCKS, RsaPublicKey, SECTOR_LEN, Scheme, SignError, SignatureBlock, SignatureError,
    SignatureSector, SignedFile, content_padded_len,
};
use crate::rsa_pss::PssError;
use alloc::vec::Vec;
use core::convert::Infallible;
use sha2::{Digest, Sha256, Sha384};

/// What the blocks of a file sign: P-384 comes with SHA-384, everything else with SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentDigests {
    /// For RSA-3072, P-192 and P-256.
    pub sha256: [u8; 32],
    /// For P-384, if it was asked for.
    sha384: Option<[u8; 48]>,
}

/// [`ContentDigests`] of content that comes piece by piece.
pub struct ContentHasher {
    sha256: Sha256,
    sha384: Option<Sha384>,
}

impl ContentHasher {
    /// For blocks of these schemes.
    #[must_use]
    pub fn new(schemes: impl IntoIterator<Item = Scheme>) -> Self {
        let wide = schemes.into_iter().any(|scheme| scheme == Scheme::EcdsaP384);
        Self { sha256: Sha256::new(), sha384: wide.then(Sha384::new) }
    }

    /// The next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.sha256.update(piece);
        if let Some(sha384) = &mut self.sha384 {
            sha384.update(piece);
        }
    }

    /// Of all pieces, in their order.
    #[must_use]
    pub fn finish(self) -> ContentDigests {
        ContentDigests { sha256: self.sha256.finalize().into(), sha384: self.sha384.map(|hash| hash.finalize().into()) }
    }
}

impl ContentDigests {
    /// Of the content as it stands, padding included.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        Self::of_schemes(content, [Scheme::EcdsaP384])
    }

    /// As [`Self::of`] for these schemes only: without P-384 it takes a fraction of the time.
    #[must_use]
    pub fn of_schemes(content: &[u8], schemes: impl IntoIterator<Item = Scheme>) -> Self {
        let mut hasher = ContentHasher::new(schemes);
        hasher.update(content);
        hasher.finish()
    }

    /// What a block claims to sign, whatever the content is.
    #[must_use]
    pub fn claimed_by(block: &SignatureBlock<'_>) -> Self {
        let claimed = block.image_digest();
        Self { sha256: claimed.try_into().unwrap_or([0; 32]), sha384: claimed.try_into().ok() }
    }

    /// The one that this scheme signs. Empty, and so signed by nobody, if the scheme was not asked for.
    #[must_use]
    pub const fn of_scheme(&self, scheme: Scheme) -> &[u8] {
        match scheme {
            Scheme::EcdsaP384 => match &self.sha384 {
                Some(digest) => digest,
                None => &[],
            },
            Scheme::Rsa3072 | Scheme::EcdsaP192 | Scheme::EcdsaP256 => &self.sha256,
        }
    }
}

/// A key that the silicon can be told to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, clippy::large_enum_variant, reason = "few exist at a time")]
pub enum PublicKey {
    Rsa(RsaPublicKey),
    Ecdsa(EcdsaPublicKey),
}

impl PublicKey {
    /// The key in a block.
    ///
    /// # Errors
    /// [`BlockRefusal::Point`] if an ECDSA block has none.
    pub fn of_block(block: &SignatureBlock<'_>) -> Result<Self, BlockRefusal> {
        match block.rsa_key() {
            Some(key) => Ok(Self::Rsa(key)),
            None => EcdsaPublicKey::of_block(block).map(Self::Ecdsa),
        }
    }

    /// The scheme of the blocks that this key signs.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        match self {
            Self::Rsa(_) => Scheme::Rsa3072,
            Self::Ecdsa(key) => key.curve().scheme(),
        }
    }

    /// The digest to burn into an eFuse block so that a device trusts this key.
    ///
    /// # Errors
    /// [`PssError::Modulus`] for an RSA modulus that is even or shorter than 3072 bits.
    pub fn key_digest(&self) -> Result<[u8; 32], PssError> {
        match self {
            Self::Rsa(key) => key.key_digest(),
            Self::Ecdsa(key) => Ok(key.key_digest()),
        }
    }

    /// The block with a signature of this key over the content: 384 bytes big-endian RSASSA-PSS (salt 32), or r then s
    /// big-endian. The signature is verified before anything is returned.
    ///
    /// # Errors
    /// [`BlockRefusal`] if the key is unusable or the signature is not one of this key over this content.
    pub fn block(&self, digests: &ContentDigests, signature: &[u8]) -> Result<[u8; BLOCK_LEN], BlockRefusal> {
        match self {
            Self::Ecdsa(key) => key.block(digests, signature),
            Self::Rsa(key) => {
                let signature = signature.try_into().map_err(|_| BlockRefusal::Numbers)?;
                signed_block(&digests.sha256, key, |_| Ok::<_, Infallible>(signature)).map_err(
                    |refused| match refused {
                        SignError::Key(refused) | SignError::Signature(refused) => SignatureError::Pss(refused).into(),
                        SignError::Unsigned(refused) => refused.into(),
                        SignError::Full | SignError::Signer(_) => BlockRefusal::Numbers,
                    },
                )
            }
        }
    }
}

impl SignatureBlock<'_> {
    /// As [`Self::verify`], for every scheme.
    ///
    /// # Errors
    /// [`BlockRefusal`].
    pub fn verify_any(&self, digests: &ContentDigests) -> Result<(), BlockRefusal> {
        if self.scheme() == Scheme::Rsa3072 {
            return Ok(self.verify(&digests.sha256)?);
        }
        let digest = digests.of_scheme(self.scheme());
        if self.image_digest() != digest {
            return Err(SignatureError::Digest.into());
        }
        ecdsa::verify_block(self, digest)
    }
}

impl SignatureSector<'_> {
    /// The first block whose scheme is not that of block 0. No device boots such a file: its ROM knows one scheme.
    #[must_use]
    pub fn mixed(&self) -> Option<FileRefusal> {
        let first = self.blocks().next()?.scheme();
        let differs = |(_, block): &(usize, &SignatureBlock<'_>)| block.scheme() != first;
        let (block, other) = self.blocks().enumerate().find(differs)?;
        Some(FileRefusal::Mixed { first, block, other: other.scheme() })
    }

    /// As [`SignedFile::verify_any`], for content of which only the digests are at hand.
    ///
    /// # Errors
    /// As there.
    pub fn verify_any(&self, digests: &ContentDigests, trusted: &[[u8; 32]]) -> Result<Trusted, FileRefusal> {
        if let Some(mixed) = self.mixed() {
            return Err(mixed);
        }
        let mut refusal = None;
        for (block, signature) in self.blocks().enumerate() {
            let of_block = signature.key_digest();
            if let Some(digest) = trusted.iter().position(|digest| *digest == of_block) {
                match signature.verify_any(digests) {
                    Ok(()) => return Ok(Trusted { block, digest }),
                    Err(bad) => refusal = refusal.or(Some(FileRefusal::Block { block, refusal: bad })),
                }
            }
        }
        Err(refusal.unwrap_or(FileRefusal::Untrusted))
    }
}

impl SignedFile<'_> {
    /// As [`SignatureSector::mixed`].
    #[must_use]
    pub fn mixed(&self) -> Option<FileRefusal> {
        self.signatures.mixed()
    }

    /// What the blocks have to sign.
    #[must_use]
    pub fn content_digests(&self) -> ContentDigests {
        ContentDigests::of_schemes(self.content, self.signatures.blocks().map(SignatureBlock::scheme))
    }

    /// As [`Self::verify`], for every scheme and several trusted key digests; the first block that holds decides.
    ///
    /// # Errors
    /// [`FileRefusal`]: mixed schemes, no block of a trusted key, or what is wrong with the first that has one.
    pub fn verify_any(&self, trusted: &[[u8; 32]]) -> Result<Trusted, FileRefusal> {
        self.signatures.verify_any(&self.content_digests(), trusted)
    }
}

/// Which block of a file holds, and by which of the trusted digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trusted {
    /// Its number, from 0.
    pub block: usize,
    /// Index of the digest in the list that was given.
    pub digest: usize,
}

/// The signed file in `file`: its last sector holds the signatures, or the one behind the `image_len` bytes of the
/// image does, and something else follows (a partition read back from flash).
///
/// # Errors
/// What is wrong with the last sector, if neither is a signature sector.
pub fn locate(file: &[u8], image_len: Option<usize>) -> Result<SignedFile<'_>, SignatureError> {
    SignedFile::parse(file).or_else(|refusal| {
        let end = image_len.map(content_padded_len).and_then(|at| at.checked_add(SECTOR_LEN));
        end.and_then(|end| file.get(..end)).map_or(Err(refusal), |file| SignedFile::parse(file).map_err(|_| refusal))
    })
}

/// An unsigned image, padded with 0xFF to whole sectors, with this block behind it.
#[must_use]
pub fn append_block(image: &[u8], block: &[u8; BLOCK_LEN]) -> Vec<u8> {
    let padded = content_padded_len(image.len());
    let mut file = Vec::with_capacity(padded + SECTOR_LEN);
    file.extend_from_slice(image);
    file.resize(padded, 0xff);
    file.extend_from_slice(&new_sector(block));
    file
}

/// A signature sector with this block alone.
#[must_use]
pub fn new_sector(block: &[u8; BLOCK_LEN]) -> Vec<u8> {
    let mut sector = block.to_vec();
    sector.resize(SECTOR_LEN, 0xff);
    sector
}

/// A signature sector with a further block.
///
/// # Errors
/// [`FileRefusal`] if the sector is not sound, or has three blocks already, or blocks of another scheme.
pub fn add_to_sector(sector: &[u8], block: &[u8; BLOCK_LEN]) -> Result<Vec<u8>, FileRefusal> {
    let parsed = SignatureSector::parse(sector)?;
    if let Some(damage) = parsed.ended_by() {
        return Err(damage.into());
    }
    let used = parsed.blocks().count();
    if used == MAX_BLOCKS {
        return Err(FileRefusal::Full);
    }
    let mut sector = sector.to_vec();
    sector[used * BLOCK_LEN..][..BLOCK_LEN].copy_from_slice(block);
    match SignatureSector::parse(&sector)?.mixed() {
        Some(mixed) => Err(mixed),
        None => Ok(sector),
    }
}

/// A signed file with a further block.
///
/// # Errors
/// [`FileRefusal`] if the file has no sound signature sector, three blocks already, or blocks of another scheme.
pub fn add_block(signed: &[u8], block: &[u8; BLOCK_LEN]) -> Result<Vec<u8>, FileRefusal> {
    let content = SignedFile::parse(signed)?.content;
    let sector = add_to_sector(&signed[content.len()..], block)?;
    Ok([content, &sector].concat())
}

/// Why a block was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockRefusal {
    /// For a reason that every scheme shares, or RSA has.
    #[error(transparent)]
    Block(#[from] SignatureError),
    /// The key is no point of its curve.
    #[error("signature block: the key is not a point of its curve")]
    Point,
    /// Zero, not below the order of the curve, or of the wrong length.
    #[error("signature block: the signature's numbers are out of range or of the wrong length")]
    Numbers,
    /// A well-formed signature, but of other content or by another key.
    #[error("signature block: the signature does not verify")]
    Mismatch,
}

/// Why a file was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileRefusal {
    /// The signature sector is not one.
    #[error(transparent)]
    Sector(#[from] SignatureError),
    /// Blocks of several schemes; a device knows one.
    #[error("mixed schemes: block 0 is {first}, block {block} is {other}")]
    #[allow(missing_docs)]
    Mixed { first: Scheme, block: usize, other: Scheme },
    /// A block has a trusted key and is bad.
    #[error("block {block}: {refusal}")]
    #[allow(missing_docs)]
    Block { block: usize, refusal: BlockRefusal },
    /// No block has a trusted key.
    #[error("signed by no trusted key")]
    Untrusted,
    /// All three blocks are taken.
    #[error("cannot add a signature: three are present")]
    Full,
}

const _: () = assert!(MAX_BLOCKS * BLOCK_LEN <= SECTOR_LEN);

#[cfg(test)]
#[path = "public_key_tests.rs"]
mod tests;
