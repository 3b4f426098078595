//! The birth on a fresh virtual chip, by the very code that burns silicon, and then everything that must not work.
//!
//! Only a plan that came through all of it becomes [`Rehearsed`], and only a [`Rehearsed`] plan can be burned.

use crate::burn::{BurnFailure, apply};
use crate::plan::{FLASH_KEY_BLOCK, Plan, Step};
use crate::policy::{Download, FlashEncryption, Jtag};
use cotter_chip::board::{BoardError, DownloadError, VirtualChip};
use cotter_chip::efuse::{BurnError, BurnSet, KeyProtection};
use cotter_chip::flash::FlashError;
use cotter_chip::report::RefusalCode;
use cotter_formats::addr::{FlashAddr, SECTOR};
use cotter_formats::efuse::{EfuseMap, KeyPurpose};
use cotter_formats::secret::Secret;
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};

/// Something that came through a rehearsal.
#[derive(Debug)]
pub struct Rehearsed<T> {
    inner: T,
    trials: Vec<Trial>,
}

impl<T> Rehearsed<T> {
    /// What was rehearsed.
    pub const fn get(&self) -> &T {
        &self.inner
    }

    /// What was tried, all of it with the expected end.
    #[must_use]
    pub fn trials(&self) -> &[Trial] {
        &self.trials
    }
}

/// One thing that was tried on the rehearsed chip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// What was tried.
    pub name: &'static str,
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
}

/// Applies the plan to a fresh virtual chip, boots it, then attacks copies of it.
/// `version`: what the booted application must say it is.
///
/// # Errors
/// [`RehearsalError::Trials`] with everything that was tried if anything ended otherwise; the plan is gone then.
pub fn rehearse(plan: Plan, version: &str) -> Result<Rehearsed<Plan>, RehearsalError> {
    let chip = VirtualChip::new(plan.chip(), REHEARSAL_MAC)?;
    let mut session = chip.power_on_in_download_mode().map_err(RehearsalError::NoDownloadMode)?;
    apply(&plan, &mut session, |_| Ok(())).map_err(RehearsalError::Birth)?;
    let trials = Trials { plan: &plan, chip: &chip }.all(version)?;
    if trials.iter().all(Trial::passed) {
        Ok(Rehearsed { inner: plan, trials })
    } else {
        Err(RehearsalError::Trials(trials))
    }
}

/// Locally administered, so that it is nobody's.
const REHEARSAL_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 1];

/// An offset that every image fills with code or constants: behind the headers, before any padding.
const INSIDE_FIRST_SEGMENT: u32 = 0x30;

struct Trials<'a> {
    plan: &'a Plan,
    chip: &'a VirtualChip,
}

impl Trials<'_> {
    fn all(&self, version: &str) -> Result<Vec<Trial>, RehearsalError> {
        let policy = self.plan.policy();
        let encrypted = policy.flash_encryption != FlashEncryption::Off;
        let mut trials = vec![self.boots(version)?];
        if policy.secure_boot {
            trials.push(self.unsigned_boot_image()?);
            trials.push(self.modified("modified boot image", "boot image")?);
            trials.push(self.modified("modified application", "application")?);
        }
        if encrypted {
            trials.push(self.plain_boot_image()?);
            trials.push(self.flash_readout()?);
            trials.push(self.key_readout()?);
        }
        if policy.secure_boot || encrypted {
            trials.push(self.second_key()?);
        }
        if policy.jtag == Jtag::Disabled {
            trials.push(self.jtag()?);
        }
        if policy.download != Download::Open {
            trials.push(self.loader_reads_flash()?);
        }
        Ok(trials)
    }

    fn boots(&self, version: &str) -> Result<Trial, RehearsalError> {
        let report = self.chip.duplicate()?.power_on();
        let seen = match (report.booted(), report.refusal()) {
            (Some(app), _) if app.is_verified => format!("verified and booted {}", app.version),
            (Some(app), _) => format!("booted {}", app.version),
            (None, code) => code.map_or("nothing", RefusalCode::as_str).to_owned(),
        };
        let verified = if self.plan.policy().secure_boot { "verified and " } else { "" };
        Ok(Trial { name: "power on", expected: format!("{verified}booted {version}"), seen })
    }

    /// Somebody with code on the chip erases the signature.
    fn unsigned_boot_image(&self) -> Result<Trial, RehearsalError> {
        let chip = self.chip.duplicate()?;
        let (at, len) = self.piece("boot image")?;
        let sector = at.0 + len - SECTOR;
        let mut flash = chip.transparent_flash();
        flash.erase(sector, sector + SECTOR)?;
        flash.write(sector, &[0xff; SECTOR as usize])?;
        Ok(refusal("unsigned boot image", RefusalCode::Unsigned, &chip))
    }

    /// Somebody with a clip on the flash part flips one bit.
    fn modified(&self, name: &'static str, what: &'static str) -> Result<Trial, RehearsalError> {
        let chip = self.chip.duplicate()?;
        let (at, _) = self.piece(what)?;
        let target = FlashAddr(at.0 + INSIDE_FIRST_SEGMENT);
        let mut byte = [0];
        chip.raw_flash().read_at(target, &mut byte)?;
        chip.raw_flash().overwrite_externally(target, &[byte[0] ^ 1])?;
        let expected = match what {
            "application" => RefusalCode::NoBootableApp,
            _ => RefusalCode::HashMismatch,
        };
        Ok(refusal(name, expected, &chip))
    }

    /// Somebody flashes the boot image as it left the compiler.
    fn plain_boot_image(&self) -> Result<Trial, RehearsalError> {
        let chip = self.chip.duplicate()?;
        let (at, plain, _) = self.views("boot image")?;
        chip.raw_flash().overwrite_externally(at, &plain)?;
        // What the ROM sees is noise under the device's key: which check it fails first depends on the key.
        let seen = if chip.power_on().booted().is_none() { "nothing boots" } else { "boots" };
        Ok(Trial { name: "plaintext boot image", expected: "nothing boots".to_owned(), seen: seen.to_owned() })
    }

    /// Somebody reads the flash part: no 16-byte block of anything encrypted may be there in clear.
    fn flash_readout(&self) -> Result<Trial, RehearsalError> {
        let mut clear = 0;
        for step in self.plan.steps() {
            let Step::Write(piece) = step else { continue };
            if piece.encrypted {
                let (_, plain, stored) = self.views(piece.what)?;
                clear += plain.chunks_exact(16).zip(stored.chunks_exact(16)).filter(|(a, b)| a == b).count();
            }
        }
        let seen = format!("{clear} blocks in clear");
        Ok(Trial { name: "flash readout", expected: "0 blocks in clear".to_owned(), seen })
    }

    fn key_readout(&self) -> Result<Trial, RehearsalError> {
        let image = self.chip.duplicate()?.efuses().image().map_err(|_| FlashError::PowerLost)?;
        let hidden = image.block(FLASH_KEY_BLOCK).is_some_and(|block| block.iter().all(|byte| *byte == 0));
        let seen = if hidden { "reads as zero" } else { "readable" }.to_owned();
        Ok(Trial { name: "flash key readout", expected: "reads as zero".to_owned(), seen })
    }

    /// Somebody with code on the chip burns a key of their own.
    fn second_key(&self) -> Result<Trial, RehearsalError> {
        let chip = self.chip.duplicate()?;
        let mut set = BurnSet::new(self.plan.chip());
        let purpose = KeyPurpose::SECURE_BOOT_DIGEST0;
        let own = Secret::filled_by(|key| key.fill(0x66));
        set.key(crate::plan::DIGEST_BLOCK, purpose, &own, KeyProtection::of(purpose))?;
        let seen = match chip.efuses().burn(&set) {
            Ok(()) => "burned",
            Err(BurnError::WriteProtected { .. }) => "write-protected",
            Err(_) => "refused",
        };
        let expected = if self.plan.policy().secure_boot { "write-protected" } else { "burned" };
        Ok(Trial { name: "second Secure Boot key", expected: expected.to_owned(), seen: seen.to_owned() })
    }

    fn jtag(&self) -> Result<Trial, RehearsalError> {
        let chip = self.plan.chip();
        let map = EfuseMap::of(chip);
        let image = self.chip.efuses().image().map_err(|_| FlashError::PowerLost)?;
        let off = ["DIS_PAD_JTAG", "DIS_USB_JTAG"]
            .iter()
            .all(|name| map.field(name).is_some_and(|field| image.is_set(field)));
        let seen = if off { "disabled" } else { "open" }.to_owned();
        Ok(Trial { name: "JTAG", expected: "disabled".to_owned(), seen })
    }

    fn loader_reads_flash(&self) -> Result<Trial, RehearsalError> {
        let seen = match self.chip.duplicate()?.power_on_in_download_mode() {
            Err(code) => code.as_str().to_owned(),
            Ok(session) => match session.read_flash(FlashAddr(0), cotter_formats::addr::FlashLen(16)) {
                Ok(_) => "read".to_owned(),
                Err(DownloadError::SecureMode) => "secure-mode".to_owned(),
                Err(error) => error.to_string(),
            },
        };
        let expected = match self.plan.policy().download {
            Download::Disabled => RefusalCode::DownloadModeDisabled.as_str(),
            _ => "secure-mode",
        };
        Ok(Trial { name: "loader reads flash", expected: expected.to_owned(), seen })
    }

    fn piece(&self, what: &'static str) -> Result<(FlashAddr, u32), RehearsalError> {
        self.plan
            .steps()
            .iter()
            .find_map(|step| match step {
                Step::Write(piece) if piece.what == what => {
                    u32::try_from(piece.bytes.len()).ok().map(|len| (piece.at, len))
                }
                _ => None,
            })
            .ok_or(RehearsalError::NoPiece(what))
    }

    /// A piece as code on the chip sees it, and as the part stores it.
    fn views(&self, what: &'static str) -> Result<(FlashAddr, Vec<u8>, Vec<u8>), RehearsalError> {
        let (at, len) = self.piece(what)?;
        let (mut plain, mut stored) = (vec![0; len as usize], vec![0; len as usize]);
        self.chip.transparent_flash().read(at.0, &mut plain)?;
        self.chip.raw_flash().read_at(at, &mut stored)?;
        Ok((at, plain, stored))
    }
}

fn refusal(name: &'static str, expected: RefusalCode, chip: &VirtualChip) -> Trial {
    let report = chip.power_on();
    let seen = report.refusal().map_or("booted", RefusalCode::as_str).to_owned();
    Trial { name, expected: expected.as_str().to_owned(), seen }
}

/// Why a plan was not rehearsed, or did not come through.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// There is no virtual chip of this kind.
    #[error(transparent)]
    Board(#[from] BoardError),
    /// A fresh chip that does not let anyone in.
    #[error("a fresh chip refuses download mode: {0}")]
    NoDownloadMode(RefusalCode),
    /// The birth itself failed.
    #[error("rehearsed birth: {0}")]
    Birth(BurnFailure<DownloadError>),
    /// The plan writes no such thing.
    #[error("the plan writes no {0}")]
    NoPiece(&'static str),
    /// The virtual flash failed.
    #[error(transparent)]
    Flash(#[from] FlashError),
    /// A trial could not be set up.
    #[error(transparent)]
    Burn(#[from] BurnError),
    /// Something ended otherwise than it had to.
    #[error("rehearsal: {}", failures(.0))]
    Trials(Vec<Trial>),
}

fn failures(trials: &[Trial]) -> String {
    let failed = trials.iter().filter(|trial| !trial.passed());
    failed
        .map(|trial| format!("{}: expected {}, saw {}", trial.name, trial.expected, trial.seen))
        .collect::<Vec<_>>()
        .join("; ")
}
