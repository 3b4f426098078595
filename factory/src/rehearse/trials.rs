//! Attacks on copies of the finished chip, each with the end that it must have.

use super::{RehearsalError, good, outcome};
use crate::efuse::{Burn, DownloadMode, FlashEncryptionMode, JtagMode, SecureBootMode, SigningScheme};
use crate::plan::{Plan, Step};
use crate::private_key::PrivateKey;
use crate::public_key::KeyKind;
use cotter_chip::board::{DownloadError, VirtualChip};
use cotter_chip::flash::FlashError;
use cotter_chip::peripheral::Jtag;
use cotter_chip::report::RefusalCode;
use cotter_formats::addr::{FlashAddr, FlashLen, SECTOR};
use cotter_formats::chip::Chip;
use cotter_formats::efuse::EfuseBlock;
use cotter_formats::secure_boot::v2::{ContentDigests, Curve, SignedFile, append_block};
use embedded_storage::nor_flash::NorFlash;
use serde::Serialize;

/// One thing that was tried on the rehearsed chip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trial {
    /// What was tried.
    pub name: String,
    /// What had to come of it.
    pub expected: String,
    /// What came of it.
    pub seen: String,
}

impl Trial {
    /// True if it ended as it had to.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.expected == self.seen
    }

    fn new(name: &str, expected: impl Into<String>, seen: impl Into<String>) -> Self {
        Self { name: name.to_owned(), expected: expected.into(), seen: seen.into() }
    }
}

pub(super) struct Trials<'a> {
    pub(super) plan: &'a Plan,
    pub(super) chip: &'a VirtualChip,
}

/// An offset that every image fills with code or constants: behind the headers, before any padding.
const INSIDE_FIRST_SEGMENT: u32 = 0x30;
const BOOT: &str = "boot image";
const APPLICATION: &str = "application";

impl Trials<'_> {
    pub(super) fn all(&self, version: &str) -> Result<Vec<Trial>, RehearsalError> {
        let policy = self.plan.policy();
        let encrypted = policy.flash_encryption != FlashEncryptionMode::Off;
        let mut trials = vec![Trial::new("power on", good(self.plan, version), outcome(&self.chip.duplicate()?))];
        if policy.secure_boot == SecureBootMode::V2 {
            trials.push(self.unsigned_boot_image()?);
            trials.push(self.signed_by_somebody(BOOT, RefusalCode::UntrustedKey)?);
            trials.push(self.signed_by_somebody(APPLICATION, RefusalCode::NoBootableApp)?);
            let modified = if self.plan.chip() == Chip::Esp32 {
                RefusalCode::SignedDigestMismatch
            } else {
                RefusalCode::HashMismatch
            };
            trials.push(self.modified(BOOT, modified.as_str())?);
            trials.push(self.modified(APPLICATION, RefusalCode::NoBootableApp.as_str())?);
        }
        if policy.secure_boot == SecureBootMode::V1 {
            // Which check fails first depends on the byte: the digest, or the checksum that bounds it.
            trials.push(self.modified(BOOT, "nothing boots")?);
        }
        if encrypted {
            trials.push(self.plain_boot_image()?);
            trials.push(self.flash_readout()?);
        }
        trials.extend(self.key_readouts()?);
        if policy.secure_boot == SecureBootMode::V2 {
            trials.push(self.second_key()?);
        }
        if policy.jtag == JtagMode::Disabled {
            trials.push(self.jtag());
        }
        if policy.download != DownloadMode::Open {
            trials.push(self.loader_reads_flash()?);
        }
        trials.push(self.second_burn()?);
        Ok(trials)
    }

    /// Somebody with code on the chip erases the signature.
    fn unsigned_boot_image(&self) -> Result<Trial, RehearsalError> {
        let chip = self.chip.duplicate()?;
        let (at, plain, _) = self.views(BOOT)?;
        let end = signed_len(&plain);
        let sector = at.0 + u32::try_from(end).unwrap_or(SECTOR) - SECTOR;
        let mut flash = chip.transparent_flash();
        flash.erase(sector, sector + SECTOR)?;
        flash.write(sector, &[0xff; SECTOR as usize])?;
        Ok(Trial::new("unsigned boot image", RefusalCode::Unsigned.as_str(), refusal(&chip)))
    }

    /// Somebody with code on the chip signs with a key of their own.
    fn signed_by_somebody(&self, what: &'static str, expected: RefusalCode) -> Result<Trial, RehearsalError> {
        let chip = self.chip.duplicate()?;
        let (at, plain, _) = self.views(what)?;
        let content = &plain[..signed_len(&plain).saturating_sub(SECTOR as usize)];
        let kind = match self.plan.policy().scheme {
            SigningScheme::Rsa3072 => KeyKind::Rsa(3072),
            SigningScheme::Ecdsa256 => KeyKind::Ecdsa(Curve::P256),
            SigningScheme::Ecdsa384 => KeyKind::Ecdsa(Curve::P384),
        };
        let key = PrivateKey::generate(kind)?;
        let signed = append_block(content, &key.sign_block(&ContentDigests::of(content))?);
        let mut flash = chip.transparent_flash();
        let len = u32::try_from(signed.len()).unwrap_or(0);
        flash.erase(at.0, at.0 + len)?;
        flash.write(at.0, &signed)?;
        Ok(Trial::new(&format!("{what} signed by somebody else"), expected.as_str(), refusal(&chip)))
    }

    /// Somebody with a clip on the flash part flips one bit.
    fn modified(&self, what: &'static str, expected: &str) -> Result<Trial, RehearsalError> {
        let chip = self.chip.duplicate()?;
        let (at, _) = self.piece(what)?;
        let skipped =
            if self.plan.policy().secure_boot == SecureBootMode::V1 && what == BOOT && at.0 == 0 { 0x1000 } else { 0 };
        let target = FlashAddr(at.0 + skipped + INSIDE_FIRST_SEGMENT);
        let mut byte = [0];
        chip.raw_flash().read_at(target, &mut byte)?;
        chip.raw_flash().overwrite_externally(target, &[byte[0] ^ 1])?;
        let seen = if expected == "nothing boots" { boots(&chip).to_owned() } else { refusal(&chip) };
        Ok(Trial::new(&format!("modified {what}"), expected, seen))
    }

    /// Somebody flashes the boot image as it left the compiler.
    fn plain_boot_image(&self) -> Result<Trial, RehearsalError> {
        let chip = self.chip.duplicate()?;
        let (at, plain, _) = self.views(BOOT)?;
        chip.raw_flash().overwrite_externally(at, &plain)?;
        // What the ROM sees is noise under the device's key: which check it fails first depends on the key.
        Ok(Trial::new("plaintext boot image", "nothing boots", boots(&chip)))
    }

    /// Somebody reads the flash part: no 16-byte block of anything encrypted may be there in clear.
    fn flash_readout(&self) -> Result<Trial, RehearsalError> {
        let mut clear = 0;
        for step in self.plan.steps() {
            let Step::Write(piece) = step else { continue };
            if piece.encrypted {
                let (plain, stored) = self.both(piece.at, piece.bytes.len())?;
                clear += plain.chunks_exact(16).zip(stored.chunks_exact(16)).filter(|(a, b)| a == b).count();
            }
        }
        Ok(Trial::new("flash readout", "0 blocks in clear", format!("{clear} blocks in clear")))
    }

    /// Software reads each key that the plan hides.
    fn key_readouts(&self) -> Result<Vec<Trial>, RehearsalError> {
        let image = self.chip.duplicate()?.efuses().image().map_err(|_| FlashError::PowerLost)?;
        let mut trials = Vec::new();
        for (_, burn) in self.plan.efuses().burns() {
            let Burn::Key { block, purpose, read_protect: true, .. } = burn else { continue };
            let number = image.map().block_named(block);
            let bytes = number.and_then(|number| image.block(number)).unwrap_or_default();
            // The ESP32-C2 hides halves of its one block.
            let part = if purpose.contains("DERIVED") { &bytes[..bytes.len() / 2] } else { bytes };
            let seen = if part.iter().all(|byte| *byte == 0) { "reads as zero" } else { "readable" };
            trials.push(Trial::new(&format!("{block} readout ({purpose})"), "reads as zero", seen));
        }
        Ok(trials)
    }

    /// Somebody with code on the chip burns more bits into the block of the first digest.
    fn second_key(&self) -> Result<Trial, RehearsalError> {
        let chip = self.chip.duplicate()?;
        let image = chip.efuses().image().map_err(|_| FlashError::PowerLost)?;
        let digest = self.plan.efuses().burns().find_map(|(_, burn)| match burn {
            Burn::Key { block, key, .. } if key == "digest0" => image.map().block_named(block),
            _ => None,
        });
        let block = digest.unwrap_or(EfuseBlock::SETTINGS);
        let power = |_| FlashError::PowerLost;
        chip.efuses().program(block, &[0xff; 32]).map_err(power)?;
        let after = chip.efuses().image().map_err(power)?;
        let same = after.block(block) == image.block(block) && !chip.efuses().is_damaged(block).map_err(power)?;
        Ok(Trial::new("second Secure Boot key", "changes nothing", if same { "changes nothing" } else { "burned" }))
    }

    fn jtag(&self) -> Trial {
        Trial::new("JTAG", "disabled", if self.chip.jtag() == Jtag::Gone { "disabled" } else { "open" })
    }

    fn loader_reads_flash(&self) -> Result<Trial, RehearsalError> {
        let seen = match self.chip.duplicate()?.power_on_in_download_mode() {
            Err(code) => code.as_str().to_owned(),
            Ok(session) => match session.read_flash(FlashAddr(0), FlashLen(16)) {
                Ok(_) => "read".to_owned(),
                Err(DownloadError::SecureMode) => "secure-mode".to_owned(),
                Err(error) => error.to_string(),
            },
        };
        let expected = match self.plan.policy().download {
            DownloadMode::Disabled => RefusalCode::DownloadModeDisabled.as_str(),
            _ => "secure-mode",
        };
        Ok(Trial::new("loader reads flash", expected, seen))
    }

    /// The line burns the same device again: nothing may change.
    fn second_burn(&self) -> Result<Trial, RehearsalError> {
        let chip = self.chip.duplicate()?;
        let before = chip.efuses().image().map_err(|_| FlashError::PowerLost)?;
        for step in self.plan.steps() {
            if let Step::Burn { set, .. } = step {
                // Refused or already there: both are well.
                let _either_way = chip.efuses().resume_burn(set);
            }
        }
        chip.efuses().reset();
        let after = chip.efuses().image().map_err(|_| FlashError::PowerLost)?;
        let same = before.map().block_numbers().all(|block| before.block(block) == after.block(block));
        Ok(Trial::new("second burn", "changes nothing", if same { "changes nothing" } else { "changes eFuses" }))
    }

    fn piece(&self, what: &'static str) -> Result<(FlashAddr, usize), RehearsalError> {
        let found = self.plan.steps().iter().find_map(|step| match step {
            Step::Write(piece) if piece.what == what => Some((piece.at, piece.bytes.len())),
            _ => None,
        });
        found.ok_or(RehearsalError::NoPiece(what))
    }

    /// A piece as code on the chip sees it, and as the part stores it.
    fn views(&self, what: &'static str) -> Result<(FlashAddr, Vec<u8>, Vec<u8>), RehearsalError> {
        let (at, len) = self.piece(what)?;
        let (plain, stored) = self.both(at, len)?;
        Ok((at, plain, stored))
    }

    fn both(&self, at: FlashAddr, len: usize) -> Result<(Vec<u8>, Vec<u8>), RehearsalError> {
        let (mut plain, mut stored) = (vec![0; len], vec![0; len]);
        self.chip.transparent_flash().read_at(at, &mut plain)?;
        self.chip.raw_flash().read_at(at, &mut stored)?;
        Ok((plain, stored))
    }
}

/// Length with the signature sector: padding of the piece may follow it.
fn signed_len(plain: &[u8]) -> usize {
    let whole = plain.len() - plain.len() % SECTOR as usize;
    let ends = (1..=whole / SECTOR as usize).rev().map(|sectors| sectors * SECTOR as usize);
    ends.into_iter().find(|end| SignedFile::parse(&plain[..*end]).is_ok()).unwrap_or(whole)
}

fn refusal(chip: &VirtualChip) -> String {
    chip.power_on().refusal().map_or("booted", RefusalCode::as_str).to_owned()
}

fn boots(chip: &VirtualChip) -> &'static str {
    if chip.power_on().booted().is_none() { "nothing boots" } else { "boots" }
}
