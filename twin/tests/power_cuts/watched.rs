//! The transparent flash of a board, and which of its operations wrote image data.

use cotter_chip::board::VirtualChip;
use cotter_chip::crypt::TransparentFlash;
use cotter_chip::fault::Fault;
use cotter_chip::flash::FlashError;
use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use std::ops::Range;

/// The view, watched.
pub(crate) struct Watched<'a> {
    flash: TransparentFlash,
    fault: Fault,
    operations: &'a mut Vec<Range<u64>>,
}

impl<'a> Watched<'a> {
    /// The operations in application slots go to `operations`, by their numbers.
    pub(crate) fn new(board: &VirtualChip, operations: &'a mut Vec<Range<u64>>) -> Self {
        Self { flash: board.transparent_flash(), fault: board.fault().clone(), operations }
    }

    fn watch<T>(&mut self, at: u32, run: impl FnOnce(&mut TransparentFlash) -> T) -> T {
        let first = self.fault.operations();
        let result = run(&mut self.flash);
        if at >= FIRST_SLOT {
            self.operations.push(first..self.fault.operations());
        }
        result
    }
}

impl ErrorType for Watched<'_> {
    type Error = FlashError;
}

impl ReadNorFlash for Watched<'_> {
    const READ_SIZE: usize = TransparentFlash::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        self.flash.read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.flash.capacity()
    }
}

impl NorFlash for Watched<'_> {
    const WRITE_SIZE: usize = TransparentFlash::WRITE_SIZE;
    const ERASE_SIZE: usize = TransparentFlash::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        self.watch(from, |flash| flash.erase(from, to))
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.watch(offset, |flash| flash.write(offset, bytes))
    }
}

/// Where the application slots begin; everything else of the layout lies before.
const FIRST_SLOT: u32 = 0x2_0000;
