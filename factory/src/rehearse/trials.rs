//! Attacks on copies of the finished chip, each with the end that it must have: a refusal by its code, or, where the
//! policy leaves a door open, the words that say so.
//!
//! | file | noun |
//! |---|---|
//! | here | the list, and attacks on the boot image |
//! | `application` | attacks on the application, older ones among them |
//! | `readout` | who reads what: flash, keys, eFuses; the serial loader, JTAG |

mod application;
mod readout;

use super::{RehearsalError, good, outcome};
use crate::efuse::{Burn, EfusePolicy, FlashEncryptionMode, SecureBootMode, SigningScheme};
use crate::plan::{Plan, Step};
use crate::policy::OlderImage;
use crate::private_key::PrivateKey;
use crate::public_key::KeyKind;
use cotter_chip::board::VirtualChip;
use cotter_chip::flash::FlashError;
use cotter_chip::report::RefusalCode;
use cotter_formats::addr::{FlashAddr, SECTOR};
use cotter_formats::chip::Chip;
use cotter_formats::efuse::{EfuseBlock, KeyPurpose};
use cotter_formats::image::{Image, ImageHeader};
use cotter_formats::secure_boot::v2::{ContentDigests, Curve, SignedFile, append_block};
use embedded_storage::nor_flash::NorFlash;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::sync::OnceLock;

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
    /// What the device is afterwards, whoever burned it.
    pub(super) policy: &'a EfusePolicy,
    pub(super) chip: &'a VirtualChip,
    pub(super) older: Option<&'a OlderImage>,
}

/// An offset that every image fills with code or constants: behind the headers, before any padding. A whole block of
/// flash encryption begins there.
const INSIDE_FIRST_SEGMENT: u32 = 0x30;
const BLOCK: usize = 16;
/// Where the image lies in the file that a digest of Secure Boot V1 precedes.
const BEHIND_V1_DIGEST: u32 = 0x1000;
const BOOT: &str = "boot image";
const APPLICATION: &str = "application";
const DIGEST0: KeyPurpose = KeyPurpose::SECURE_BOOT_DIGESTS[0];
const SECURE_BOOT_OFF: &str = "boots: Secure Boot is off";

impl Trials<'_> {
    pub(super) fn all(&self, version: &str) -> Result<Vec<Trial>, RehearsalError> {
        let policy = self.policy;
        let encrypted = policy.flash_encryption != FlashEncryptionMode::Off;
        let mut trials =
            vec![Trial::new("power on", good(self.policy, self.chip, version), outcome(&self.chip.duplicate()?))];
        trials.extend(self.boot_images(encrypted)?);
        trials.extend(self.applications(encrypted)?);
        trials.extend(self.older_applications(version)?);
        if encrypted {
            trials.push(self.flash_readout()?);
        }
        trials.extend(self.key_readouts()?);
        trials.push(self.loader_reads_efuses()?);
        trials.push(self.loader_reads_flash()?);
        if policy.secure_boot == SecureBootMode::V2 {
            trials.push(self.second_key()?);
        }
        trials.push(self.jtag());
        trials.push(self.second_burn()?);
        Ok(trials)
    }

    /// Each tampering with the boot image, judged by the ROM.
    fn boot_images(&self, encrypted: bool) -> Result<Vec<Trial>, RehearsalError> {
        let secure_boot = self.policy.secure_boot;
        let mut trials = Vec::new();
        if secure_boot == SecureBootMode::V2 {
            trials.push(Trial::new("unsigned boot image", code(RefusalCode::Unsigned), refusal(&self.unsigned(BOOT)?)));
            let by_somebody = refusal(&self.signed_by_somebody(BOOT)?);
            trials.push(Trial::new("boot image signed by somebody else", code(RefusalCode::UntrustedKey), by_somebody));
        }
        // Secure Boot V2 comes before the checksum, and but for the ESP32 it begins with the appended SHA-256.
        let modified = match (secure_boot, self.plan.chip()) {
            (SecureBootMode::V2, Chip::Esp32) => RefusalCode::SignedDigestMismatch,
            (SecureBootMode::V2, _) => RefusalCode::HashMismatch,
            (SecureBootMode::V1 | SecureBootMode::Off, _) => RefusalCode::ChecksumMismatch,
        };
        trials.push(Trial::new("modified boot image", code(modified), refusal(&self.modified(BOOT)?)));
        let mended = match secure_boot {
            SecureBootMode::Off => SECURE_BOOT_OFF.to_owned(),
            SecureBootMode::V1 | SecureBootMode::V2 => code(RefusalCode::SignedDigestMismatch),
        };
        let chip = self.mended(BOOT)?;
        trials.push(Trial::new("modified boot image, checksum and SHA-256 mended", mended, self.seen_open(&chip)));
        if encrypted {
            let (chip, header) = self.plain(BOOT)?;
            trials.push(Trial::new("plaintext boot image", noise(header, &refusal(&chip)), refusal(&chip)));
        }
        Ok(trials)
    }

    /// Somebody with code on the chip erases the signature.
    fn unsigned(&self, what: &'static str) -> Result<VirtualChip, RehearsalError> {
        let chip = self.chip.duplicate()?;
        let (at, plain, _) = self.views(what)?;
        let end = signed_len(&plain);
        let sector = at.0 + u32::try_from(end).unwrap_or(SECTOR) - SECTOR;
        install(&chip, FlashAddr(sector), &[0xff; SECTOR as usize])?;
        Ok(chip)
    }

    /// Somebody with code on the chip signs with a key of their own.
    fn signed_by_somebody(&self, what: &'static str) -> Result<VirtualChip, RehearsalError> {
        let chip = self.chip.duplicate()?;
        let (at, plain, _) = self.views(what)?;
        let content = &plain[..signed_len(&plain).saturating_sub(SECTOR as usize)];
        let kind = match self.policy.scheme {
            SigningScheme::Rsa3072 => KeyKind::Rsa(3072),
            SigningScheme::Ecdsa256 => KeyKind::Ecdsa(Curve::P256),
            SigningScheme::Ecdsa384 => KeyKind::Ecdsa(Curve::P384),
        };
        let block = somebodys_key(kind)?.sign_block(&ContentDigests::of(content))?;
        install(&chip, at, &append_block(content, &block))?;
        Ok(chip)
    }

    /// Somebody with a clip on the flash part flips one bit. Under flash encryption that changes 16 bytes at random:
    /// the bit is one that the checksum feels.
    fn modified(&self, what: &'static str) -> Result<VirtualChip, RehearsalError> {
        let (at, _) = self.image(what)?;
        let target = FlashAddr(at.0 + INSIDE_FIRST_SEGMENT);
        let sum = |chip: &VirtualChip| {
            let mut block = [0; BLOCK];
            chip.transparent_flash().read_at(target, &mut block)?;
            Ok::<_, FlashError>(block.iter().fold(0, |sum, byte| sum ^ byte))
        };
        let mut chip = self.chip.duplicate()?;
        for bit in 0..8 {
            chip = self.chip.duplicate()?;
            let mut byte = [0];
            chip.raw_flash().read_at(target, &mut byte)?;
            chip.raw_flash().overwrite_externally(target, &[byte[0] ^ (1 << bit)])?;
            if sum(&chip)? != sum(self.chip)? {
                break;
            }
        }
        Ok(chip)
    }

    /// Somebody with code on the chip changes bytes, and makes checksum and appended SHA-256 right again.
    fn mended(&self, what: &'static str) -> Result<VirtualChip, RehearsalError> {
        let chip = self.chip.duplicate()?;
        let (at, mut plain) = self.image(what)?;
        let target = INSIDE_FIRST_SEGMENT as usize;
        plain[target..].iter_mut().take(2).for_each(|byte| *byte ^= 1);
        if let Ok(image) = Image::scan(&plain, self.plan.chip())
            && image.header().hash_appended == 1
        {
            let end = image.len() - DIGEST;
            let digest = Sha256::digest(&plain[..end]);
            plain[end..end + DIGEST].copy_from_slice(&digest);
        }
        install(&chip, at, &plain)?;
        Ok(chip)
    }

    /// Somebody flashes an image as it left the compiler; with what the chip then reads as its first byte.
    fn plain(&self, what: &'static str) -> Result<(VirtualChip, u8), RehearsalError> {
        let chip = self.chip.duplicate()?;
        let (at, plain) = self.image(what)?;
        chip.raw_flash().overwrite_externally(at, &plain)?;
        let mut first = [0];
        chip.transparent_flash().read_at(at, &mut first)?;
        Ok((chip, first[0]))
    }

    /// Somebody with code on the chip burns more bits into the block of the first digest.
    fn second_key(&self) -> Result<Trial, RehearsalError> {
        let chip = self.chip.duplicate()?;
        let image = chip.efuses().image().map_err(|_| FlashError::PowerLost)?;
        let digest = self.plan.efuses().burns().find_map(|(_, burn)| match burn {
            Burn::Key { block, key, .. } if key == "digest0" => image.map().block_named(block),
            _ => None,
        });
        let of_purpose = || image.map().key_blocks().find(|block| image.key_purpose(*block) == Some(DIGEST0));
        // Without purposes: BLOCK2 of the ESP32, the one key block of the ESP32-C2.
        let fixed = if self.plan.chip() == Chip::Esp32 { EfuseBlock(2) } else { EfuseBlock(3) };
        let block = digest.or_else(of_purpose).unwrap_or(fixed);
        let power = |_| FlashError::PowerLost;
        chip.efuses().program(block, &[0xff; 32]).map_err(power)?;
        let after = chip.efuses().image().map_err(power)?;
        let same = after.block(block) == image.block(block) && !chip.efuses().is_damaged(block).map_err(power)?;
        Ok(Trial::new("second Secure Boot key", "changes nothing", if same { "changes nothing" } else { "burned" }))
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

    /// The refusal, or the words for a boot that Secure Boot, being off, cannot refuse.
    fn seen_open(&self, chip: &VirtualChip) -> String {
        let report = chip.power_on();
        match report.refusal() {
            Some(refusal) => code(refusal),
            None if self.policy.secure_boot == SecureBootMode::Off => SECURE_BOOT_OFF.to_owned(),
            None => "booted".to_owned(),
        }
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

    /// The image in a piece, as code on the chip sees it, and where it begins.
    fn image(&self, what: &'static str) -> Result<(FlashAddr, Vec<u8>), RehearsalError> {
        let (at, mut plain, _) = self.views(what)?;
        let is_behind = self.policy.secure_boot == SecureBootMode::V1 && what == BOOT && at.0 == 0;
        let skipped = if is_behind { BEHIND_V1_DIGEST } else { 0 };
        let image = plain.split_off((skipped as usize).min(plain.len()));
        if image.len() <= INSIDE_FIRST_SEGMENT as usize + BLOCK {
            return Err(RehearsalError::NoPiece(what));
        }
        Ok((FlashAddr(at.0 + skipped), image))
    }

    fn both(&self, at: FlashAddr, len: usize) -> Result<(Vec<u8>, Vec<u8>), RehearsalError> {
        let (mut plain, mut stored) = (vec![0; len], vec![0; len]);
        self.chip.transparent_flash().read_at(at, &mut plain)?;
        self.chip.raw_flash().read_at(at, &mut stored)?;
        Ok((plain, stored))
    }
}

const DIGEST: usize = 32;

/// A key that no device trusts: made once, for as long as the process lives, because an RSA key takes its time.
fn somebodys_key(kind: KeyKind) -> Result<&'static PrivateKey, RehearsalError> {
    static KEYS: [OnceLock<PrivateKey>; 3] = [const { OnceLock::new() }; 3];
    let [rsa, p256, p384] = &KEYS;
    let place = match kind {
        KeyKind::Rsa(_) => rsa,
        KeyKind::Ecdsa(Curve::P384) => p384,
        KeyKind::Ecdsa(_) => p256,
    };
    if let Some(key) = place.get() {
        return Ok(key);
    }
    let key = PrivateKey::generate(kind)?;
    Ok(place.get_or_init(|| key))
}

/// Writes as code on the chip does: whole sectors are erased, and what it writes is encrypted on the way.
fn install(chip: &VirtualChip, at: FlashAddr, bytes: &[u8]) -> Result<(), RehearsalError> {
    let mut flash = chip.transparent_flash();
    let mut units = bytes.to_vec();
    units.resize(bytes.len().next_multiple_of(BLOCK), 0xff);
    let len = u32::try_from(units.len()).unwrap_or(u32::MAX).next_multiple_of(SECTOR);
    flash.erase(at.0, at.0.saturating_add(len))?;
    Ok(flash.write(at.0, &units)?)
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

fn code(refusal: RefusalCode) -> String {
    refusal.as_str().to_owned()
}

/// What must come of plaintext on an encrypted chip. It reads noise, which for one key in 256 begins as an image does:
/// then any refusal will do.
fn noise(header: u8, seen: &str) -> String {
    let by_chance = header == ImageHeader::MAGIC && RefusalCode::ALL.iter().any(|code| code.as_str() == seen);
    if by_chance { seen.to_owned() } else { code(RefusalCode::InvalidHeader) }
}
