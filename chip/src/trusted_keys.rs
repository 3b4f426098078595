//! The Secure Boot keys that a chip trusts: the digests in its eFuses that are not revoked.

use cotter_formats::efuse::{EfuseBlock, EfuseImage, KeyPurpose, esp32c3};
use cotter_formats::secure_boot::v2::SignatureBlock;

/// Up to three key digests, each under the number of its purpose `SECURE_BOOT_DIGEST0..2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TrustedKeys([Option<[u8; 32]>; 3]);

impl TrustedKeys {
    /// Reads them as the ROM does, through the registers: a read-protected digest is zero and matches no key.
    pub(crate) fn read(image: &EfuseImage) -> Self {
        let blocks = || (0..EfuseBlock::KEYS).filter_map(EfuseBlock::key);
        let digest = |index: usize| {
            let purpose = KeyPurpose::SECURE_BOOT_DIGESTS[index];
            let block = blocks().find(|block| image.key_purpose(*block) == Some(purpose))?;
            let is_revoked = image.is_set(&esp32c3::KEY_REVOKES[index]);
            image.block(block).and_then(|data| data.first_chunk().copied()).filter(|_| !is_revoked)
        };
        Self([0, 1, 2].map(digest))
    }

    /// The numbers of the digests that count.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().filter(|(_, digest)| digest.is_some()).map(|(number, _)| number)
    }

    /// True if there is no usable digest.
    pub(crate) fn is_empty(&self) -> bool {
        self.numbers().next().is_none()
    }

    /// The number of the digest that the block's key has.
    pub(crate) fn number_of(&self, block: &SignatureBlock<'_>) -> Option<usize> {
        let digest = block.key_digest();
        self.0.iter().position(|trusted| *trusted == Some(digest))
    }
}
