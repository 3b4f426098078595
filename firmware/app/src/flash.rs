//! The two views of the flash that the device crate asks for, on esp-storage.

use core::cell::RefCell;
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};
use esp_hal::peripherals::FLASH;
use esp_storage::{FlashStorage, FlashStorageError, flash_encryption};

/// The SPI flash; both views borrow it.
pub(crate) struct Flash<'d>(RefCell<FlashStorage<'d>>);

impl<'d> Flash<'d> {
    /// Once per boot.
    pub(crate) fn new(flash: FLASH<'d>) -> Self {
        Self(RefCell::new(FlashStorage::new(flash)))
    }

    /// What is on the flash, byte for byte: NVS, which encrypts itself.
    pub(crate) fn raw(&self) -> Raw<'_, 'd> {
        Raw(&self.0)
    }

    /// Decrypted on the way in and encrypted on the way out by the chip, if its eFuses say so: everything else.
    pub(crate) fn transparent(&self) -> Transparent<'_, 'd> {
        Transparent(&self.0)
    }
}

/// See [`Flash::raw`].
pub(crate) struct Raw<'f, 'd>(&'f RefCell<FlashStorage<'d>>);

impl ErrorType for Raw<'_, '_> {
    type Error = FlashError;
}

impl ReadNorFlash for Raw<'_, '_> {
    const READ_SIZE: usize = FlashStorage::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        self.0.borrow_mut().read_nor(offset, bytes).map_err(FlashError)
    }

    fn capacity(&self) -> usize {
        self.0.borrow().capacity()
    }
}

impl NorFlash for Raw<'_, '_> {
    const WRITE_SIZE: usize = FlashStorage::WRITE_SIZE;
    const ERASE_SIZE: usize = FlashStorage::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        self.0.borrow_mut().erase(from, to).map_err(FlashError)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.0.borrow_mut().write_nor(offset, bytes).map_err(FlashError)
    }
}

/// See [`Flash::transparent`].
///
/// Off-spec: the ROM encrypts 32 bytes at a time, the device crate writes 16. With flash encryption on, esp-storage
/// therefore rewrites the whole sector, and a power cut in the middle loses that sector, not only the 16 bytes. otadata
/// is made for that: its other sector names the slot that boots then. Nothing else is written through this view here.
pub(crate) struct Transparent<'f, 'd>(&'f RefCell<FlashStorage<'d>>);

impl ErrorType for Transparent<'_, '_> {
    type Error = FlashError;
}

impl ReadNorFlash for Transparent<'_, '_> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        let mut flash = self.0.borrow_mut();
        let read = if flash_encryption() { flash.read_encrypted(offset, bytes) } else { flash.read_nor(offset, bytes) };
        read.map_err(FlashError)
    }

    fn capacity(&self) -> usize {
        self.0.borrow().capacity()
    }
}

impl NorFlash for Transparent<'_, '_> {
    const WRITE_SIZE: usize = 16;
    const ERASE_SIZE: usize = FlashStorage::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        self.0.borrow_mut().erase(from, to).map_err(FlashError)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        let mut flash = self.0.borrow_mut();
        let written =
            if flash_encryption() { flash.write_encrypted(offset, bytes) } else { flash.write_nor(offset, bytes) };
        written.map_err(FlashError)
    }
}

/// What esp-storage says, with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?}")]
pub(crate) struct FlashError(FlashStorageError);

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        self.0.kind()
    }
}
