//! The Secure Boot keys that a chip trusts: the digests in its eFuses that are not revoked.

use cotter_formats::efuse::EfuseImage;
use cotter_formats::secure_boot::v2::{DigestSlot, EfuseTrust, SignatureBlock};

/// Up to three key digests, each under the number of its purpose `SECURE_BOOT_DIGEST0..2`; chips without purposes have
/// one, number 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TrustedKeys([Option<DigestSlot>; 3]);

impl TrustedKeys {
    /// Reads them as the ROM does, through the registers: a read-protected digest matches no key. The first block that
    /// has a purpose is the one that counts.
    pub(crate) fn read(image: &EfuseImage) -> Self {
        let trust = EfuseTrust::of(image);
        let slot = |index| trust.slots().find(|slot| slot.index == index).filter(|slot| !slot.revoked).copied();
        Self([0, 1, 2].map(slot))
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
        self.0.iter().position(|slot| slot.is_some_and(|slot| slot.holds(&digest)))
    }
}
