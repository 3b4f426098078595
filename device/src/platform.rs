//! What the board gives the device logic: random bytes and flash, and the window onto one partition.
//!
//! Flash is [`embedded_storage`]'s `NorFlash`. A chip with flash encryption offers two of them, and the partition
//! decides which one is right: the raw view (NVS, which encrypts itself) and the transparent view that encrypts on the
//! way in and decrypts on the way out (app slots, otadata).

use cotter_formats::addr::{FlashAddr, FlashLen};
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

/// A source of random bytes fit for keys, IVs and challenges: on the chip, the hardware RNG with its entropy source on.
pub trait Random {
    /// Fills all of `out`.
    fn fill(&mut self, out: &mut [u8]);
}

impl<R: Random + ?Sized> Random for &mut R {
    fn fill(&mut self, out: &mut [u8]) {
        (**self).fill(out);
    }
}

/// One partition: a window of `flash` whose offset 0 is the partition's first byte. Nothing outside it can be reached.
#[derive(Debug)]
pub struct Region<F> {
    flash: F,
    start: u32,
    len: u32,
}

impl<F: ReadNorFlash> Region<F> {
    /// The window of `len` bytes at `start`.
    ///
    /// # Errors
    /// [`RegionError::OutOfBounds`] if it does not lie inside the flash.
    pub fn new(flash: F, start: FlashAddr, len: FlashLen) -> Result<Self, RegionError<F::Error>> {
        let capacity = flash.capacity();
        let refused = RegionError::OutOfBounds { offset: start.0, len: len.0, capacity };
        let end = start.checked_add(len).ok_or(refused)?;
        match usize::try_from(end.0) {
            Ok(end) if end <= capacity => Ok(Self { flash, start: start.0, len: len.0 }),
            _ => Err(RegionError::OutOfBounds { offset: start.0, len: len.0, capacity }),
        }
    }
}

impl<F> Region<F> {
    /// Where the window starts in flash.
    #[must_use]
    pub const fn start(&self) -> FlashAddr {
        FlashAddr(self.start)
    }

    /// How long the window is.
    #[must_use]
    pub const fn len(&self) -> FlashLen {
        FlashLen(self.len)
    }

    /// True for a window of no bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Gives the flash back.
    pub fn into_flash(self) -> F {
        self.flash
    }

    /// The flash address of `offset`, if `len` bytes from there stay inside the window.
    fn translate<E>(&self, offset: u32, len: usize) -> Result<u32, RegionError<E>> {
        let capacity = usize::try_from(self.len).unwrap_or(usize::MAX);
        let outside = || RegionError::OutOfBounds { offset, len: u32::try_from(len).unwrap_or(u32::MAX), capacity };
        let end = u32::try_from(len).ok().and_then(|len| offset.checked_add(len)).ok_or_else(outside)?;
        if end > self.len {
            return Err(outside());
        }
        self.start.checked_add(offset).ok_or_else(outside)
    }
}

impl<F: ErrorType> ErrorType for Region<F> {
    type Error = RegionError<F::Error>;
}

impl<F: ReadNorFlash> ReadNorFlash for Region<F> {
    const READ_SIZE: usize = F::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        let at = self.translate(offset, bytes.len())?;
        self.flash.read(at, bytes).map_err(RegionError::Flash)
    }

    fn capacity(&self) -> usize {
        usize::try_from(self.len).unwrap_or(usize::MAX)
    }
}

impl<F: NorFlash> NorFlash for Region<F> {
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        let Some(len) = to.checked_sub(from) else {
            return Err(RegionError::OutOfBounds { offset: from, len: 0, capacity: self.capacity() });
        };
        let at = self.translate(from, usize::try_from(len).unwrap_or(usize::MAX))?;
        self.flash.erase(at, at + len).map_err(RegionError::Flash)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        let at = self.translate(offset, bytes.len())?;
        self.flash.write(at, bytes).map_err(RegionError::Flash)
    }
}

/// Why a [`Region`] refused or failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegionError<E> {
    /// The range leaves the window (or, in [`Region::new`], the window leaves the flash).
    #[error("{len} bytes at {offset:#x} do not lie inside {capacity:#x} bytes")]
    OutOfBounds {
        /// First byte asked for.
        offset: u32,
        /// How many.
        len: u32,
        /// Size of what they must lie in.
        capacity: usize,
    },
    /// The flash itself failed.
    #[error("flash: {0}")]
    Flash(E),
}

impl<E: NorFlashError> NorFlashError for RegionError<E> {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::OutOfBounds { .. } => NorFlashErrorKind::OutOfBounds,
            Self::Flash(error) => error.kind(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::convert::Infallible;

    struct Ram([u8; 0x4000]);

    impl ErrorType for Ram {
        type Error = Infallible;
    }

    impl ReadNorFlash for Ram {
        const READ_SIZE: usize = 1;
        fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Infallible> {
            bytes.copy_from_slice(&self.0[offset as usize..][..bytes.len()]);
            Ok(())
        }
        fn capacity(&self) -> usize {
            self.0.len()
        }
    }

    impl NorFlash for Ram {
        const WRITE_SIZE: usize = 4;
        const ERASE_SIZE: usize = 0x1000;
        fn erase(&mut self, from: u32, to: u32) -> Result<(), Infallible> {
            self.0[from as usize..to as usize].fill(0xFF);
            Ok(())
        }
        fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Infallible> {
            self.0[offset as usize..][..bytes.len()].copy_from_slice(bytes);
            Ok(())
        }
    }

    fn window(start: u32, len: u32) -> Result<Region<Ram>, RegionError<Infallible>> {
        Region::new(Ram([0; 0x4000]), FlashAddr(start), FlashLen(len))
    }

    #[test]
    fn moves_every_operation_by_its_start() {
        let mut region = window(0x1000, 0x1000).unwrap();
        region.erase(0, 0x1000).unwrap();
        region.write(4, &[1, 2, 3, 4]).unwrap();
        let mut back = [0; 4];
        region.read(4, &mut back).unwrap();
        assert_eq!(back, [1, 2, 3, 4]);
        let ram = region.into_flash().0;
        assert_eq!(ram[0x1000..0x1009], [0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4, 0xFF]);
        assert_eq!((ram[0xFFF], ram[0x2000]), (0, 0));
    }

    #[test]
    fn refuses_to_leave_the_window() {
        let mut region = window(0x1000, 0x1000).unwrap();
        let refused = |offset, len| Err(RegionError::OutOfBounds { offset, len, capacity: 0x1000 });
        assert_eq!(region.write(0xFFC, &[0; 8]), refused(0xFFC, 8));
        assert_eq!(region.read(u32::MAX, &mut [0; 4]), refused(u32::MAX, 4));
        assert_eq!(region.erase(0, 0x2000), refused(0, 0x2000));
        assert_eq!(region.erase(0x1000, 0), refused(0x1000, 0));
        assert!(region.into_flash().0.iter().all(|&byte| byte == 0), "nothing was touched");
    }

    #[test]
    fn refuses_a_window_outside_the_flash() {
        let refused = |offset, len| Some(RegionError::OutOfBounds { offset, len, capacity: 0x4000 });
        assert_eq!(window(0x3000, 0x2000).err(), refused(0x3000, 0x2000));
        assert_eq!(window(u32::MAX, 2).err(), refused(u32::MAX, 2));
        assert!(window(0x3000, 0x1000).is_ok());
    }
}
