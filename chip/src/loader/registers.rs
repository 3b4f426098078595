//! The address space as the serial loader opens it to a tool: eFuse and SPI controller, a few words that tell chips
//! apart, and memory that holds what was written to it. Everything else reads 0.

use super::addresses::{Addresses, ESP32_APB_DATE, ROM_MAGIC};
use super::efuse_registers::EfuseRegisters;
use super::spi_registers::SpiRegisters;
use crate::board::VirtualChip;
use crate::fault::PowerLost;
use cotter_formats::chip::Chip;
use cotter_formats::efuse::EfuseImage;
use std::collections::BTreeMap;

pub(super) struct Registers {
    chip: Chip,
    efuse: EfuseRegisters,
    spi: SpiRegisters,
    uart_clock_divider: u32,
    crystal: u32,
    magic: u32,
    constants: &'static [(u32, u32)],
    baud: u32,
    /// Words written elsewhere, at most [`MEMORY_WORDS`].
    memory: BTreeMap<u32, u32>,
}

/// What a peer may have remembered, in words.
const MEMORY_WORDS: usize = 4096;

/// What tools begin with. (The ROM measures the rate of the first SYNC.)
const FIRST_BAUD: u32 = 115_200;

impl Registers {
    /// After a reset.
    pub(super) fn new(board: &VirtualChip) -> Result<Self, PowerLost> {
        let chip = board.chip();
        let Addresses { magic, efuse, spi, uart_clock_divider, crystal, constants } = Addresses::of(chip);
        Ok(Self {
            chip,
            efuse: EfuseRegisters::new(efuse, board.efuses().clone())?,
            spi: SpiRegisters::new(spi, board.raw_flash().size().0),
            uart_clock_divider,
            crystal,
            magic,
            constants,
            baud: FIRST_BAUD,
            memory: BTreeMap::new(),
        })
    }

    /// The eFuses as the last read of the cells left them.
    pub(super) const fn efuses(&self) -> &EfuseImage {
        self.efuse.copies()
    }

    /// How many program commands there were.
    pub(super) const fn burns(&self) -> u64 {
        self.efuse.burns
    }

    /// The line is to run at another rate from now on.
    pub(super) const fn set_baud(&mut self, baud: u32) {
        if baud != 0 {
            self.baud = baud;
        }
    }

    pub(super) fn read(&self, address: u32) -> u32 {
        if !address.is_multiple_of(4) {
            return 0;
        }
        if let Some(offset) = self.efuse.offset(address) {
            return self.efuse.read(offset);
        }
        if let Some(offset) = self.spi.offset(address) {
            return self.spi.read(offset);
        }
        if address == self.uart_clock_divider {
            return (self.crystal * 1_000_000 + self.baud / 2) / self.baud;
        }
        if address == ROM_MAGIC {
            return self.magic;
        }
        if address == ESP32_APB_DATE && self.chip == Chip::Esp32 {
            // In no eFuse, and set on v3 only; the other two bits say whether it is one.
            return u32::from(self.efuses().revision().0 >= 300) << 31;
        }
        if let Some((_, value)) = self.constants.iter().find(|(constant, _)| *constant == address) {
            return *value;
        }
        self.memory.get(&address).copied().unwrap_or(0)
    }

    /// Replaces the bits of `mask`.
    pub(super) fn write(&mut self, address: u32, value: u32, mask: u32) -> Result<(), PowerLost> {
        if !address.is_multiple_of(4) {
            return Ok(());
        }
        let value = self.read(address) & !mask | value & mask;
        if let Some(offset) = self.efuse.offset(address) {
            return self.efuse.write(offset, value);
        }
        if let Some(offset) = self.spi.offset(address) {
            self.spi.write(offset, value);
        } else if self.memory.len() < MEMORY_WORDS || self.memory.contains_key(&address) {
            self.memory.insert(address, value);
        }
        Ok(())
    }
}
