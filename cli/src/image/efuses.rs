//! What the eFuses of a chip make of a signed file.

use super::signatures::{Signed, hex};
use super::verify::Trust;
use crate::file::File;
use anyhow::Context;
use cotter_formats::chip::Chip;
use cotter_formats::efuse::EfuseImage;
use cotter_formats::secure_boot::v2::{DigestSlot, EfuseTrust, Scheme, SlotDigest, Version, needs_revision};

/// The eFuses in a file of espefuse's virtual chip.
pub(super) struct Efuses {
    chip: Chip,
    name: String,
    image: EfuseImage,
    trust: EfuseTrust,
}

impl Efuses {
    pub(super) fn read(file: &File, chip: Chip) -> anyhow::Result<Self> {
        let image = EfuseImage::from_virtual_file(chip, &file.read()?).with_context(|| file.to_string())?;
        let trust = EfuseTrust::of(&image);
        Ok(Self { chip, name: file.to_string(), image, trust })
    }

    /// Adds the digests that are trusted, and notes on what else there is.
    pub(super) fn trust(&self, signed: Option<&Signed>, trusted: &mut Vec<Trust>, notes: &mut Vec<String>) {
        match self.trust.enabled {
            Some(Version::V2) => {}
            Some(Version::V1) => notes.push(format!(
                "Secure Boot V1 is enabled in these eFuses: {} is its bootloader key, and no digest of V2",
                self.block(2)
            )),
            None => notes.push("Secure Boot is not enabled in these eFuses: the chip boots anything".to_owned()),
        }
        for slot in self.trust.slots() {
            let source = self.source(slot);
            match slot.digest {
                SlotDigest::Hidden => {
                    notes.push(format!(
                        "{source} is read-protected: the ROM cannot read it either, and boots nothing by it"
                    ));
                }
                SlotDigest::Whole(digest) if slot.revoked => {
                    notes.push(format!("{source} is revoked: {}", hex(&digest)));
                }
                SlotDigest::Whole(digest) => trusted.push(Trust { source, digest }),
                SlotDigest::Half(half) => {
                    // Only 16 bytes are burned, so the whole digest is the block's own.
                    let keys: Vec<_> = signed.iter().flat_map(|signed| signed.key_digests()).collect();
                    let before = trusted.len();
                    let held = keys.into_iter().filter(|key| slot.holds(key));
                    trusted.extend(held.map(|digest| Trust { source: format!("{source}, first 16 bytes"), digest }));
                    if trusted.len() == before {
                        notes.push(format!("{source} trusts a key whose digest begins with {}", hex(&half)));
                    }
                }
            }
        }
        if self.trust.slots().next().is_none() && self.trust.enabled != Some(Version::V1) {
            notes.push(format!("{} holds no Secure Boot key digest", self.name));
        }
    }

    /// The block of a revoked key, if one signed the file.
    pub(super) fn revoked(&self, signed: &Signed) -> Option<String> {
        signed.key_digests().into_iter().enumerate().find_map(|(index, digest)| {
            let slot = self.trust.slots().find(|slot| slot.revoked && slot.holds(&digest))?;
            Some(format!("block {index} is signed by a revoked key, {}", self.source(slot)))
        })
    }

    /// Why a chip with these eFuses refuses a scheme that its kind knows.
    pub(super) fn refuses(&self, scheme: Scheme) -> Option<String> {
        let (chip, found) = (self.chip, self.image.revision());
        if let Some(needed) = needs_revision(chip, scheme).filter(|&needed| found < needed) {
            return Some(format!("{scheme} needs an {chip} of revision {needed}, this one is {found}"));
        }
        match (self.trust.sha384, scheme) {
            (Some(false), Scheme::EcdsaP384) => {
                Some(format!("{scheme} needs SECURE_BOOT_SHA384_EN, which is not burned in {}", self.name))
            }
            _ => None,
        }
    }

    /// "SECURE_BOOT_DIGEST0 (BLOCK_KEY0) of FILE".
    fn source(&self, slot: &DigestSlot) -> String {
        format!("SECURE_BOOT_DIGEST{} ({}) of {}", slot.index, self.block(slot.block.0), self.name)
    }

    fn block(&self, number: u8) -> &'static str {
        let block = cotter_formats::efuse::EfuseBlock(number);
        self.image.map().block(block).map_or("a block", |layout| layout.name)
    }
}
