//! A board with one chip: power, flash, eFuses, and the two ways to start it.

mod security_info;

use crate::application;
use crate::bootloader::{self, Ended};
use crate::crypt::{TransparentFlash, flash_key, has_flash_key};
use crate::download_rules::DownloadRules;
use crate::efuse::{BurnError, BurnSet, EfuseFileError, Efuses};
use crate::entropy::Entropy;
use crate::fault::Fault;
use crate::flash::{Flash, FlashError, FlashFileError};
use crate::power_cuts;
use crate::report::{BootReport, Outcome, Record, RefusalCode};
use crate::rom::{self, DownloadMode, Reset};
use crate::second_stage::{SecondStage, SecondStageError};
use cotter_formats::addr::{FlashAddr, FlashLen, SECTOR};
use cotter_formats::chip::Chip;
use cotter_formats::efuse::{ChipRevision, EfuseImage};
use std::path::Path;

pub use security_info::{SecurityFlags, SecurityInfo};

/// A virtual chip on its board. Clones are handles on the same one.
#[derive(Clone, Debug)]
pub struct VirtualChip {
    flash: Flash,
    efuses: Efuses,
    fault: Fault,
    second_stage: SecondStage,
    entropy: Entropy,
}

/// Size of the flash on a board made by [`VirtualChip::new`].
pub const FLASH_SIZE: FlashLen = FlashLen(4 << 20);

/// The flash content in a saved board.
pub const FLASH_FILE: &str = "flash.bin";

impl VirtualChip {
    /// A board fresh from the reel: erased 4 MiB flash, blank eFuses but for this factory MAC.
    ///
    /// # Errors
    /// [`BoardError::NotSimulated`] for a chip whose ROM is not known well enough: ESP32-H21, H4, S31.
    pub fn new(chip: Chip, mac: [u8; 6]) -> Result<Self, BoardError> {
        let fault = Fault::default();
        simulated(chip)?;
        Self::around(Efuses::fresh(chip, mac, fault.clone()), fault)
    }

    /// As [`Self::new`], with a chip of that revision.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of_revision(chip: Chip, revision: ChipRevision, mac: [u8; 6]) -> Result<Self, BoardError> {
        let fault = Fault::default();
        simulated(chip)?;
        Self::around(Efuses::fresh_of(chip, revision, mac, fault.clone()), fault)
    }

    fn around(efuses: Efuses, fault: Fault) -> Result<Self, BoardError> {
        let flash = Flash::erased(FLASH_SIZE, fault.clone())?;
        Ok(Self::from_parts(flash, efuses, fault))
    }

    /// The same chip on a board with an erased flash part of that size.
    ///
    /// # Errors
    /// [`BoardError::FlashFile`] if the size is no whole number of sectors.
    pub fn with_flash(self, size: FlashLen) -> Result<Self, BoardError> {
        let flash = Flash::erased(size, self.fault.clone())?;
        Ok(Self { flash, ..self })
    }

    /// A board from its parts, which should hang on the same supply.
    #[must_use]
    pub fn from_parts(flash: Flash, efuses: Efuses, fault: Fault) -> Self {
        Self { flash, efuses, fault, second_stage: SecondStage::default(), entropy: Entropy::system() }
    }

    /// The same board with a second stage in its flash that was compiled like this.
    ///
    /// # Errors
    /// [`BoardError::SecondStage`] if it cannot be built for this chip.
    pub fn with_second_stage(self, second_stage: SecondStage) -> Result<Self, BoardError> {
        let registers = self.efuses.image().map_err(|_| BoardError::PowerLost)?;
        second_stage.check(self.chip(), registers.revision())?;
        Ok(Self { second_stage, ..self })
    }

    /// The same board with other random numbers.
    #[must_use]
    pub fn with_entropy(self, entropy: Entropy) -> Self {
        Self { entropy, ..self }
    }

    /// Another board with the same flash and eFuse content, hidden keys included, on a supply of its own: what is done
    /// to it is not done to this one.
    ///
    /// # Errors
    /// [`BoardError::FlashFile`], which no existing board causes.
    pub fn duplicate(&self) -> Result<Self, BoardError> {
        self.duplicate_on(Fault::default())
    }

    /// As [`Self::duplicate`], on the given supply: its seed decides how operations tear.
    ///
    /// # Errors
    /// As [`Self::duplicate`].
    pub fn duplicate_on(&self, fault: Fault) -> Result<Self, BoardError> {
        let flash = self.flash.duplicate(fault.clone());
        let efuses = self.efuses.duplicate(fault.clone());
        Ok(Self { flash, efuses, fault, second_stage: self.second_stage.clone(), entropy: self.entropy.fork() })
    }

    /// True if both have the same flash content, the same eFuses, hidden keys included, and the same second stage: from
    /// a reset on, one does what the other does.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.second_stage == other.second_stage && self.efuses.holds(&other.efuses) && self.flash.holds(&other.flash)
    }

    /// Reads a board that [`Self::save`] wrote.
    ///
    /// # Errors
    /// [`BoardError`].
    pub fn load(chip: Chip, directory: &Path) -> Result<Self, BoardError> {
        simulated(chip)?;
        let fault = Fault::default();
        let efuses = Efuses::load(chip, directory, fault.clone())?;
        let flash = Flash::load(&directory.join(FLASH_FILE), fault.clone())?;
        Ok(Self::from_parts(flash, efuses, fault))
    }

    /// Writes the board into a directory: `flash.bin`, `efuse.bin` (which espefuse reads), `efuse-cells.bin`.
    ///
    /// # Errors
    /// [`BoardError`].
    pub fn save(&self, directory: &Path) -> Result<(), BoardError> {
        self.flash.save(&directory.join(FLASH_FILE))?;
        Ok(self.efuses.save(directory)?)
    }

    /// Switches the board on (if power was lost, it is back) and boots from flash. A first boot that ends in a reset goes
    /// on with the boot after it.
    #[must_use]
    pub fn power_on(&self) -> BootReport {
        self.reset();
        let mut record = Record::default();
        let mut reset = Reset::PowerOn;
        let verdict = loop {
            match self.boot(reset, &mut record) {
                Ok(Ended::Jump(booted)) => break Ok(booted),
                Ok(Ended::Reset) => {
                    self.efuses.reset();
                    reset = Reset::Software;
                }
                Err(code) => break Err(code),
            }
        };
        let mut report = record.close(verdict.map_or_else(Outcome::Refused, Outcome::Booted));
        report.stranded = power_cuts::stranded(self, &report);
        report
    }

    fn boot(&self, reset: Reset, record: &mut Record) -> Result<Ended, RefusalCode> {
        let mut view = self.transparent_flash();
        let verdict = rom::boot(&view, &self.efuses, reset, record);
        record.silence(false);
        verdict?;
        let ended = bootloader::boot(&mut view, &self.efuses, &self.second_stage, &self.entropy, record)?;
        if let Ended::Jump(_) = ended {
            application::start(&mut view, &self.efuses, &self.second_stage, &self.entropy, record)?;
        }
        Ok(ended)
    }

    /// Switches the board on with the boot button held: download mode, as far as the eFuses permit.
    ///
    /// # Errors
    /// [`RefusalCode::DownloadModeDisabled`].
    pub fn power_on_in_download_mode(&self) -> Result<Download, RefusalCode> {
        let (mode, lines) = self.wait_for_download();
        mode.map(|mode| Download { board: self.clone(), mode, lines })
    }

    /// As [`Self::power_on_in_download_mode`], with what the ROM prints in either case.
    pub(crate) fn wait_for_download(&self) -> (Result<DownloadMode, RefusalCode>, Vec<String>) {
        self.reset();
        let mut record = Record::default();
        let mode = rom::download(&self.efuses, &mut record);
        (mode, record.close(Outcome::Refused(RefusalCode::NoBootableApp)).lines)
    }

    /// What the second stage was compiled with.
    #[must_use]
    pub const fn second_stage(&self) -> &SecondStage {
        &self.second_stage
    }

    /// Which chip is on the board.
    #[must_use]
    pub fn chip(&self) -> Chip {
        self.efuses.chip()
    }

    /// The flash as it is stored; with flash encryption on, ciphertext.
    #[must_use]
    pub fn raw_flash(&self) -> Flash {
        self.flash.clone()
    }

    /// The flash as code on the chip sees it.
    #[must_use]
    pub fn transparent_flash(&self) -> TransparentFlash {
        TransparentFlash::new(self.flash.clone(), self.efuses.clone())
    }

    /// The eFuse controller.
    #[must_use]
    pub const fn efuses(&self) -> &Efuses {
        &self.efuses
    }

    /// Its random numbers.
    pub(crate) const fn entropy(&self) -> &Entropy {
        &self.entropy
    }

    /// The supply.
    #[must_use]
    pub const fn fault(&self) -> &Fault {
        &self.fault
    }

    /// What somebody reads who takes the flash part off the board.
    #[must_use]
    pub fn external_readout(&self) -> Vec<u8> {
        self.flash.content()
    }

    fn reset(&self) {
        self.fault.restore_power();
        self.efuses.reset();
    }
}

/// A session with the ROM's serial loader. The eFuses are looked at for each command, as the ROM does.
#[derive(Clone, Debug)]
pub struct Download {
    board: VirtualChip,
    mode: DownloadMode,
    lines: Vec<String>,
}

impl Download {
    /// The board of this session.
    #[must_use]
    pub const fn board(&self) -> &VirtualChip {
        &self.board
    }

    /// What the ROM printed on the way here.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// What this session can do.
    #[must_use]
    pub const fn mode(&self) -> DownloadMode {
        self.mode
    }

    /// Erases the sectors that `bytes` touches, then writes them as they are: no encryption.
    ///
    /// # Errors
    /// [`DownloadError`].
    pub fn write_flash(&self, addr: FlashAddr, bytes: &[u8]) -> Result<(), DownloadError> {
        self.check()?;
        let len = u32::try_from(bytes.len()).ok().and_then(|len| len.checked_next_multiple_of(SECTOR));
        let out_of_bounds =
            FlashError::OutOfBounds { addr, len: bytes.len(), capacity: self.board.flash.size().0 as usize };
        self.board.flash.erase_at(addr, FlashLen(len.ok_or(out_of_bounds)?))?;
        Ok(self.board.flash.program_at(addr, bytes)?)
    }

    /// As [`Self::write_flash`], but the chip encrypts on the way (`esptool write-flash --encrypt`).
    /// `addr` and length must be multiples of 16.
    ///
    /// # Errors
    /// [`DownloadError::ManualEncryptionDisabled`] once `DIS_DOWNLOAD_MANUAL_ENCRYPT` is burned.
    pub fn write_flash_encrypted(&self, addr: FlashAddr, bytes: &[u8]) -> Result<(), DownloadError> {
        self.check()?;
        if !self.rules().encrypts() {
            return Err(DownloadError::ManualEncryptionDisabled);
        }
        if !has_flash_key(&self.board.efuses) {
            return Err(DownloadError::NoFlashKey);
        }
        let mut units = bytes.to_vec();
        let not_aligned = FlashError::NotAligned { addr, len: bytes.len(), unit: 16 };
        flash_key(&self.board.efuses).encrypt(addr, &mut units).map_err(|_| not_aligned)?;
        self.write_flash(addr, &units)
    }

    /// Erases whole sectors.
    ///
    /// # Errors
    /// [`DownloadError`].
    pub fn erase_flash(&self, addr: FlashAddr, len: FlashLen) -> Result<(), DownloadError> {
        self.check()?;
        Ok(self.board.flash.erase_at(addr, len)?)
    }

    /// Reads flash as it is stored: download mode never decrypts.
    ///
    /// # Errors
    /// [`DownloadError::SecureMode`] in secure download mode.
    pub fn read_flash(&self, addr: FlashAddr, len: FlashLen) -> Result<Vec<u8>, DownloadError> {
        self.check_open()?;
        let size = self.board.flash.size();
        if len > size {
            let (len, capacity) = (len.0 as usize, size.0 as usize);
            return Err(FlashError::OutOfBounds { addr, len, capacity }.into());
        }
        let mut out = vec![0; len.0 as usize];
        self.board.flash.read_at(addr, &mut out)?;
        Ok(out)
    }

    /// Reads the eFuses through the registers.
    ///
    /// # Errors
    /// [`DownloadError::SecureMode`] in secure download mode.
    pub fn read_efuses(&self) -> Result<EfuseImage, DownloadError> {
        self.check_open()?;
        self.board.efuses.image().map_err(|_| FlashError::PowerLost.into())
    }

    /// What is protected; the loader answers this in secure download mode too.
    ///
    /// # Errors
    /// [`DownloadError::Disabled`].
    pub fn security_info(&self) -> Result<SecurityInfo, DownloadError> {
        self.check()?;
        Ok(SecurityInfo::of(&self.board.efuses))
    }

    /// Burns eFuses, see [`Efuses::burn`].
    ///
    /// # Errors
    /// [`DownloadError::SecureMode`] in secure download mode, [`DownloadError::Burn`].
    pub fn burn(&self, set: &BurnSet) -> Result<(), DownloadError> {
        self.check_open()?;
        Ok(self.board.efuses.burn(set)?)
    }

    /// Finishes an interrupted burn of the same set, see [`Efuses::resume_burn`].
    ///
    /// # Errors
    /// As [`Self::burn`].
    pub fn resume_burn(&self, set: &BurnSet) -> Result<(), DownloadError> {
        self.check_open()?;
        Ok(self.board.efuses.resume_burn(set)?)
    }

    const fn rules(&self) -> DownloadRules<'_> {
        DownloadRules::of_cells(&self.board.efuses)
    }

    fn check(&self) -> Result<(), DownloadError> {
        if self.rules().goes_on() { Ok(()) } else { Err(DownloadError::Disabled) }
    }

    /// A session that was open before its own burn of `ENABLE_SECURITY_DOWNLOAD` is no longer.
    fn check_open(&self) -> Result<(), DownloadError> {
        self.check()?;
        if !self.rules().is_open() || self.mode == DownloadMode::Secure {
            return Err(DownloadError::SecureMode);
        }
        Ok(())
    }
}

/// Why the serial loader did not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DownloadError {
    /// `DIS_DOWNLOAD_MODE` is burned.
    #[error("download mode is disabled")]
    Disabled,
    /// `ENABLE_SECURITY_DOWNLOAD` is burned.
    #[error("secure download mode: neither flash nor registers can be read, eFuses cannot be burned")]
    SecureMode,
    /// `DIS_DOWNLOAD_MANUAL_ENCRYPT` is burned.
    #[error("download mode: manual flash encryption is disabled")]
    ManualEncryptionDisabled,
    /// No key block has the purpose.
    #[error("download mode: no flash encryption key is burned")]
    NoFlashKey,
    /// The flash part.
    #[error(transparent)]
    Flash(#[from] FlashError),
    /// The eFuses.
    #[error(transparent)]
    Burn(#[from] BurnError),
}

fn simulated(chip: Chip) -> Result<(), BoardError> {
    match chip {
        Chip::Esp32H21 | Chip::Esp32H4 | Chip::Esp32S31 => Err(BoardError::NotSimulated { chip }),
        _ => Ok(()),
    }
}

/// Why there is no board.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// A chip about whose ROM too little is known.
    #[error("no virtual board of {chip}: too little is known about its ROM")]
    NotSimulated {
        /// Which.
        chip: Chip,
    },
    /// A second stage that cannot be built for the chip.
    #[error(transparent)]
    SecondStage(#[from] SecondStageError),
    /// The supply is off.
    #[error("the board has no power")]
    PowerLost,
    /// The eFuse files.
    #[error(transparent)]
    EfuseFile(#[from] EfuseFileError),
    /// The flash file.
    #[error(transparent)]
    FlashFile(#[from] FlashFileError),
}

#[cfg(test)]
mod tests;
