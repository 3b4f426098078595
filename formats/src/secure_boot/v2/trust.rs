//! Which key digests the eFuses of a chip trust.
//!
//! Source: ESP-IDF 6.2-dev `components/bootloader_support/src/secure_boot.c`, `components/efuse/src/esp_efuse_utility.c`,
//! `docs/en/security/secure-boot-v2.rst`; checked against files that espefuse 5.6.0 burned.

use crate::chip::Chip;
use crate::efuse::map::Family;
use crate::efuse::{Coding, EfuseBlock, EfuseImage, KeyPurpose};

/// What the eFuses say about Secure Boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EfuseTrust {
    /// Which Secure Boot is enabled; `None`: the chip boots anything.
    pub enabled: Option<Version>,
    /// Whether the ROM hashes with SHA-384 (`SECURE_BOOT_SHA384_EN`); `None` if the chip has no such eFuse.
    pub sha384: Option<bool>,
    slots: [Option<DigestSlot>; SLOTS],
}

impl EfuseTrust {
    /// Reads the eFuses of any chip.
    #[must_use]
    pub fn of(efuses: &EfuseImage) -> Self {
        let is_set = |name: &str| efuses.map().field(name).map(|field| efuses.is_set(field));
        let enabled = match efuses.map().family {
            // With both, the ROM goes by V2.
            Family::Esp32 if is_set("ABS_DONE_1") == Some(true) => Some(Version::V2),
            Family::Esp32 if is_set("ABS_DONE_0") == Some(true) => Some(Version::V1),
            Family::Esp32 => None,
            _ => is_set("SECURE_BOOT_EN").unwrap_or(false).then_some(Version::V2),
        };
        let mut slots = [None; SLOTS];
        match efuses.map().family {
            Family::Esp32 if enabled == Some(Version::V1) => {}
            Family::Esp32 => slots[0] = esp32(efuses),
            Family::Esp32C2 => slots[0] = esp32c2(efuses),
            Family::Many => {
                for (slot, block) in slots.iter_mut().zip(efuses.map().key_blocks()) {
                    *slot = with_purpose(efuses, block);
                }
            }
        }
        Self { enabled, sha384: is_set("SECURE_BOOT_SHA384_EN"), slots }
    }

    /// The slots that hold a digest, revoked ones too, in the order of their blocks.
    pub fn slots(&self) -> impl Iterator<Item = &DigestSlot> {
        self.slots.iter().flatten()
    }
}

/// Which Secure Boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Version {
    V1,
    V2,
}

/// A place for a key digest that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DigestSlot {
    /// Where it is.
    pub block: EfuseBlock,
    /// 0 to 2: which of the three digests it is.
    pub index: u8,
    /// What it holds.
    pub digest: SlotDigest,
    /// Burned out of use (`SECURE_BOOT_KEY_REVOKE0` to `2`).
    pub revoked: bool,
}

impl DigestSlot {
    /// True if a key with this digest is the one that was burned. Whether it is revoked is another question.
    #[must_use]
    pub fn holds(&self, key_digest: &[u8; 32]) -> bool {
        match &self.digest {
            SlotDigest::Whole(digest) => digest == key_digest,
            SlotDigest::Half(half) => key_digest.starts_with(half),
            SlotDigest::Hidden => false,
        }
    }
}

/// As much of a digest as the eFuses hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotDigest {
    /// All of it.
    Whole([u8; 32]),
    /// ESP32-C2: its first 16 bytes.
    Half([u8; 16]),
    /// The block is read-protected: not even the ROM can read it, so no image boots by it.
    Hidden,
}

/// BLOCK2, without coding, is for V2's digest or V1's key; what is there without V1 being enabled is taken for a digest.
fn esp32(efuses: &EfuseImage) -> Option<DigestSlot> {
    let block = EfuseBlock(2);
    let slot = |digest| Some(DigestSlot { block, index: 0, digest, revoked: false });
    if !efuses.is_block_readable(block) {
        return slot(SlotDigest::Hidden);
    }
    if efuses.coding(block) != Coding::None {
        return None;
    }
    let digest = <[u8; 32]>::try_from(efuses.block(block)?).ok()?;
    if digest == [0; 32] { None } else { slot(SlotDigest::Whole(digest)) }
}

fn esp32c2(efuses: &EfuseImage) -> Option<DigestSlot> {
    let field = &crate::efuse::esp32c2::BLOCK_KEY0_HI_128;
    let slot = |digest| Some(DigestSlot { block: field.block, index: 0, digest, revoked: false });
    if !efuses.is_readable(field) {
        return slot(SlotDigest::Hidden);
    }
    let half = <[u8; 16]>::try_from(&*efuses.bytes(field)).ok()?;
    if half == [0; 16] { None } else { slot(SlotDigest::Half(half)) }
}

fn with_purpose(efuses: &EfuseImage, block: EfuseBlock) -> Option<DigestSlot> {
    let purpose = efuses.key_purpose(block)?;
    let index = KeyPurpose::SECURE_BOOT_DIGESTS.iter().position(|&digest| digest == purpose)?;
    let digest = match efuses.is_block_readable(block) {
        true => SlotDigest::Whole(efuses.block(block)?.try_into().ok()?),
        false => SlotDigest::Hidden,
    };
    let revoked = efuses.map().key_revokes.get(index).is_some_and(|field| efuses.is_set(field));
    Some(DigestSlot { block, index: u8::try_from(index).ok()?, digest, revoked })
}

/// The first revision of the chip whose ROM knows the scheme, where older ones do not: the ESP32 has Secure Boot V2 from
/// v3.0 on, the ESP32-P4 P-384 from v3.0 on (`ESP32P4_SELECTS_REV_LESS_V3`).
#[must_use]
pub fn needs_revision(chip: Chip, scheme: super::Scheme) -> Option<crate::efuse::ChipRevision> {
    match (chip, scheme) {
        (Chip::Esp32, _) | (Chip::Esp32P4, super::Scheme::EcdsaP384) => Some(crate::efuse::ChipRevision(300)),
        _ => None,
    }
}

/// As many as any chip has key blocks.
const SLOTS: usize = EfuseBlock::KEYS as usize;

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_DIGESTS: &[u8] = include_bytes!("../../../../vectors/efuse/esp32c3-sbv2.bin");
    const A: &[u8; 32] = include_bytes!("../../../../vectors/efuse/digest-rsa3072_a.bin");

    #[test]
    fn finds_the_digests_that_espefuse_burned() {
        let efuses = EfuseImage::from_virtual_file(Chip::Esp32C3, TWO_DIGESTS).unwrap();
        let trust = EfuseTrust::of(&efuses);
        let first = trust.slots().next().unwrap();
        assert_eq!((first.index, first.revoked, first.holds(A), trust.slots().count()), (0, false, true, 2));
        assert_eq!((trust.enabled, trust.sha384), (None, None));
    }

    #[test]
    fn a_blank_chip_trusts_nobody_and_checks_nothing() {
        for chip in Chip::ALL {
            let trust = EfuseTrust::of(&EfuseImage::blank(chip));
            assert_eq!((trust.slots().count(), trust.enabled), (0, None), "{chip}");
        }
    }

    #[test]
    fn the_c2_holds_half_a_digest() {
        let mut efuses = EfuseImage::blank(Chip::Esp32C2);
        efuses.block_mut(EfuseBlock(3)).unwrap()[16..].copy_from_slice(&A[..16]);
        let trust = EfuseTrust::of(&efuses);
        assert!(trust.slots().next().unwrap().holds(A));
        let mut other = *A;
        other[15] ^= 1;
        assert!(!trust.slots().next().unwrap().holds(&other));
    }
}
