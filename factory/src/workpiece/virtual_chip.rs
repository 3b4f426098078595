//! A virtual chip in download mode: what the rehearsal burns, and what becomes the twin.

use super::Workpiece;
use cotter_chip::board::{Download, DownloadError};
use cotter_chip::efuse::BurnSet;
use cotter_formats::addr::{FlashAddr, FlashLen};
use cotter_formats::chip::Chip;

impl Workpiece for Download {
    type Error = DownloadError;

    fn chip(&self) -> Chip {
        self.board().chip()
    }

    fn burn(&mut self, set: &BurnSet) -> Result<(), DownloadError> {
        Self::burn(self, set)
    }

    fn resume(&mut self, set: &BurnSet) -> Result<(), DownloadError> {
        self.resume_burn(set)
    }

    fn write_flash(&mut self, at: FlashAddr, bytes: &[u8]) -> Result<(), DownloadError> {
        Self::write_flash(self, at, bytes)
    }

    fn read_flash(&mut self, at: FlashAddr, len: FlashLen) -> Result<Option<Vec<u8>>, DownloadError> {
        match Self::read_flash(self, at, len) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(DownloadError::SecureMode) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
