//! Where bytes sit in flash: addresses and lengths as types, so that neither is taken for the other.

use core::fmt;

/// Size of the smallest erasable unit, in bytes.
#[doc(alias = "SPI_FLASH_SEC_SIZE")]
pub const SECTOR: u32 = 0x1000;

/// A byte offset from the start of flash (not a CPU address).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlashAddr(pub u32);

/// A number of bytes of flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlashLen(pub u32);

impl FlashAddr {
    /// This address plus `len`; `None` past 4 GiB.
    #[must_use]
    pub const fn checked_add(self, len: FlashLen) -> Option<Self> {
        match self.0.checked_add(len.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// True if the address is a multiple of `unit` (a power of two is not required).
    #[must_use]
    pub const fn is_aligned(self, unit: u32) -> bool {
        self.0.is_multiple_of(unit)
    }
}

impl fmt::Display for FlashAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for FlashLen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}
