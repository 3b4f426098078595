//! Who reads what on the finished chip: the flash part, hidden keys, eFuses; the serial loader and JTAG.

use super::{Trial, Trials};
use crate::efuse::{Burn, DownloadMode, FlashEncryptionMode, JtagMode, SecureBootMode};
use crate::plan::Step;
use crate::rehearse::RehearsalError;
use cotter_chip::board::{Download, DownloadError};
use cotter_chip::flash::FlashError;
use cotter_chip::peripheral::Jtag;
use cotter_chip::report::RefusalCode;
use cotter_formats::addr::{FlashAddr, FlashLen};
use cotter_formats::chip::Chip;
use cotter_formats::efuse::{EfuseBlock, EfuseImage};

impl Trials<'_> {
    /// Somebody reads the flash part: no 16-byte block of anything encrypted may be there in clear.
    pub(super) fn flash_readout(&self) -> Result<Trial, RehearsalError> {
        let mut clear = 0;
        for step in self.plan.steps() {
            let Step::Write(piece) = step else { continue };
            if piece.through_cipher {
                let (plain, stored) = self.both(piece.at, piece.bytes.len())?;
                clear += plain.chunks_exact(16).zip(stored.chunks_exact(16)).filter(|(a, b)| a == b).count();
            }
        }
        Ok(Trial::new("flash readout", "0 blocks in clear", format!("{clear} blocks in clear")))
    }

    /// Software reads each secret key that the plan burns.
    pub(super) fn key_readouts(&self) -> Result<Vec<Trial>, RehearsalError> {
        let image = self.chip.duplicate()?.efuses().image().map_err(|_| FlashError::PowerLost)?;
        let mut trials = Vec::new();
        if self.plan.burns().next().is_none() {
            return Ok(self.keys_of_the_first_boot(&image));
        }
        for (_, burn) in self.plan.efuses().burns() {
            let Burn::Key { block, purpose, key, read_protect, .. } = burn else { continue };
            let is_secret = self.plan.efuses().keys.iter().any(|input| input.name == *key && input.secret);
            if !is_secret {
                continue;
            }
            let number = image.map().block_named(block);
            let bytes = number.and_then(|number| image.block(number)).unwrap_or_default();
            // The ESP32-C2 hides halves of its one block.
            let part = if purpose.contains("DERIVED") { &bytes[..bytes.len() / 2] } else { bytes };
            let seen = if part.iter().all(|byte| *byte == 0) { HIDDEN } else { READABLE };
            let expected = if *read_protect { HIDDEN } else { READABLE };
            trials.push(Trial::new(&format!("{block} readout ({purpose})"), expected, seen));
        }
        Ok(trials)
    }

    /// Software reads each key that the device has made for itself.
    fn keys_of_the_first_boot(&self, image: &EfuseImage) -> Vec<Trial> {
        let encrypted = self.policy.flash_encryption != FlashEncryptionMode::Off;
        let v1 = self.policy.secure_boot == SecureBootMode::V1;
        let fixed = match self.plan.chip() {
            Chip::Esp32 => vec![(EfuseBlock(1), "flash encryption", encrypted), (EfuseBlock(2), "Secure Boot V1", v1)],
            _ => Vec::new(),
        };
        let made = image.map().key_blocks().filter_map(|block| Some((block, image.key_purpose(block)?)));
        let hidden = made.filter(|(_, purpose)| purpose.wants_read_protection());
        let hidden = hidden.map(|(block, purpose)| (block, purpose.to_string()));
        let fixed = fixed.into_iter().filter(|(.., used)| *used).map(|(block, purpose, _)| (block, purpose.to_owned()));
        let trial = |(block, purpose): (EfuseBlock, String)| {
            let is_zero = image.block(block).is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0));
            let name = image.map().block(block).map_or_else(|| block.to_string(), |layout| layout.name.to_owned());
            Trial::new(&format!("{name} readout ({purpose})"), HIDDEN, if is_zero { HIDDEN } else { READABLE })
        };
        fixed.chain(hidden).map(trial).collect()
    }

    /// Somebody at the serial port reads the eFuses.
    pub(super) fn loader_reads_efuses(&self) -> Result<Trial, RehearsalError> {
        let seen = self.through_the_loader(|session| session.read_efuses().map(|_| ()))?;
        Ok(Trial::new("loader reads eFuses", self.loader_says(), seen))
    }

    /// Somebody at the serial port reads the flash.
    pub(super) fn loader_reads_flash(&self) -> Result<Trial, RehearsalError> {
        let seen = self.through_the_loader(|session| session.read_flash(FlashAddr(0), FlashLen(16)).map(|_| ()))?;
        Ok(Trial::new("loader reads flash", self.loader_says(), seen))
    }

    /// Somebody with a probe.
    pub(super) fn jtag(&self) -> Trial {
        let expected = match self.policy.jtag {
            JtagMode::Disabled => "disabled",
            JtagMode::Soft => "locked by an HMAC key",
            JtagMode::Open => "open",
        };
        let seen = match self.chip.jtag() {
            Jtag::Gone => "disabled",
            Jtag::Locked => "locked by an HMAC key",
            Jtag::Open => "open",
        };
        Trial::new("JTAG", expected, seen)
    }

    fn through_the_loader(
        &self,
        read: impl FnOnce(&Download) -> Result<(), DownloadError>,
    ) -> Result<String, RehearsalError> {
        Ok(match self.chip.duplicate()?.power_on_in_download_mode() {
            Err(code) => code.as_str().to_owned(),
            Ok(session) => match read(&session) {
                Ok(()) => LOADER_OPEN.to_owned(),
                Err(DownloadError::SecureMode) => SECURE_MODE.to_owned(),
                Err(error) => error.to_string(),
            },
        })
    }

    fn loader_says(&self) -> &'static str {
        match self.policy.download {
            DownloadMode::Disabled => RefusalCode::DownloadModeDisabled.as_str(),
            DownloadMode::Secure => SECURE_MODE,
            DownloadMode::Open => LOADER_OPEN,
        }
    }
}

const HIDDEN: &str = "reads as zero";
const READABLE: &str = "readable: the policy leaves it so";
const LOADER_OPEN: &str = "reads: the loader is open";
const SECURE_MODE: &str = "secure-mode";
