//! What download mode permits with the eFuses as they are: one set of rules for whoever speaks with it, through
//! [`crate::board::Download`] or through [`crate::loader`].

use crate::efuse::{Efuses, Setting};
use cotter_formats::chip::Chip;
use cotter_formats::efuse::{ChipRevision, EfuseImage};

/// The rules of one chip, at one moment.
pub(crate) struct DownloadRules<'a>(Source<'a>);

enum Source<'a> {
    /// What is burned.
    Cells(&'a Efuses),
    /// What the registers have of it since the last time that the cells were read.
    Registers(&'a EfuseImage),
}

impl<'a> DownloadRules<'a> {
    /// By what is burned.
    pub(crate) const fn of_cells(efuses: &'a Efuses) -> Self {
        Self(Source::Cells(efuses))
    }

    /// By what the registers tell.
    pub(crate) const fn of_registers(registers: &'a EfuseImage) -> Self {
        Self(Source::Registers(registers))
    }

    /// A reset may lead to download mode. An ESP32 before v3 does not know the bit.
    pub(crate) fn begins(&self, revision: ChipRevision) -> bool {
        !self.is_set(Setting::DownloadDisabled) || self.chip() == Chip::Esp32 && revision < ChipRevision(300)
    }

    /// A session that has begun goes on. The ESP32 looks at its bit after a reset only: espefuse 5.6.0 reads back what it
    /// burned. Later chips fall silent at once.
    pub(crate) fn goes_on(&self) -> bool {
        !self.is_set(Setting::DownloadDisabled) || self.chip() == Chip::Esp32
    }

    /// It is more than the secure one: flash, registers and memory can be read, programs loaded, eFuses burned.
    pub(crate) fn is_open(&self) -> bool {
        !self.is_set(Setting::SecureDownload)
    }

    /// It encrypts what it writes to flash, if it is asked to.
    pub(crate) fn encrypts(&self) -> bool {
        !self.is_set(Setting::ManualEncryptDisabled)
    }

    fn chip(&self) -> Chip {
        match self.0 {
            Source::Cells(efuses) => efuses.chip(),
            Source::Registers(registers) => registers.map().chip,
        }
    }

    fn is_set(&self, setting: Setting) -> bool {
        let value = match self.0 {
            Source::Cells(efuses) => efuses.sensed(setting),
            Source::Registers(registers) => setting.read(registers),
        };
        value != 0
    }
}
