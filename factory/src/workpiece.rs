//! What a plan is applied to: a virtual chip today, real silicon behind a serial port the same way.

mod virtual_chip;

use cotter_chip::efuse::BurnSet;
use cotter_formats::addr::{FlashAddr, FlashLen};
use cotter_formats::chip::Chip;
use std::error::Error;

/// A chip in download mode.
pub trait Workpiece {
    /// Why the chip, or the way to it, failed.
    type Error: Error + Send + Sync + 'static;

    /// Which chip it is.
    fn chip(&self) -> Chip;

    /// Checks the whole set, then burns it in its order and reads it back. Nothing undoes it.
    ///
    /// # Errors
    /// If the set is refused nothing was burned.
    fn burn(&mut self, set: &BurnSet) -> Result<(), Self::Error>;

    /// Finishes a burn of the same set that was cut short: what is burned already is left alone, a key that is hidden
    /// already is taken for burned.
    ///
    /// # Errors
    /// As [`Self::burn`].
    fn resume(&mut self, set: &BurnSet) -> Result<(), Self::Error>;

    /// Erases the sectors and writes `bytes` as they are.
    ///
    /// # Errors
    /// Whatever the chip answers.
    fn write_flash(&mut self, at: FlashAddr, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Reads flash as it is stored; `None` if the chip no longer lets the loader read.
    ///
    /// # Errors
    /// Whatever the chip answers.
    fn read_flash(&mut self, at: FlashAddr, len: FlashLen) -> Result<Option<Vec<u8>>, Self::Error>;
}
