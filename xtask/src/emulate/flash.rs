//! The flash part beside the emulated chip: 4 MiB of NOR cells.

use anyhow::{Result, ensure};

/// Cells that programming clears and only erasing sets.
#[derive(Clone)]
pub(crate) struct Flash(Vec<u8>);

impl Flash {
    /// Bytes in the part.
    pub(crate) const LEN: usize = 0x40_0000;
    /// What it answers to a read of its identity: manufacturer, type, log2 of its size.
    pub(crate) const IDENTITY: [u8; 4] = [0xef, 0x40, 0x16, 0];

    /// As it leaves the fab.
    pub(crate) fn erased() -> Self {
        Self(vec![0xff; Self::LEN])
    }

    /// `len` bytes from `at`.
    pub(crate) fn read(&self, at: u32, len: usize) -> Result<&[u8]> {
        let at = at as usize;
        ensure!(at.checked_add(len).is_some_and(|end| end <= Self::LEN), "{len} bytes at {at:#x} are not in the flash");
        Ok(&self.0[at..at + len])
    }

    /// Programs: a bit that is 0 stays 0.
    pub(crate) fn program(&mut self, at: u32, bytes: &[u8]) -> Result<()> {
        self.read(at, bytes.len())?;
        self.0[at as usize..].iter_mut().zip(bytes).for_each(|(cell, byte)| *cell &= byte);
        Ok(())
    }

    /// Sets all bits of `len` bytes from `at`.
    pub(crate) fn erase(&mut self, at: u32, len: usize) -> Result<()> {
        self.read(at, len)?;
        self.0[at as usize..at as usize + len].fill(0xff);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programming_never_sets_a_bit() {
        let mut flash = Flash::erased();
        flash.program(8, &[0x0f, 0xf0]).unwrap();
        flash.program(8, &[0xf1, 0xff]).unwrap();
        assert_eq!(flash.read(7, 4).unwrap(), [0xff, 0x01, 0xf0, 0xff]);
        flash.erase(8, 1).unwrap();
        assert_eq!(flash.read(8, 2).unwrap(), [0xff, 0xf0]);
    }

    #[test]
    fn nothing_is_beyond_the_end() {
        let end = u32::try_from(Flash::LEN).unwrap();
        assert_eq!(Flash::erased().read(end, 1).unwrap_err().to_string(), "1 bytes at 0x400000 are not in the flash");
        assert!(Flash::erased().program(end - 1, &[0, 0]).is_err());
    }
}
