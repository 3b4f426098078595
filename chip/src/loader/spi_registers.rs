//! The registers of the SPI controller: user-defined commands to the flash part.
//!
//! A tool writes the opcode into the low bits of `USR2`, data into `W0`, lengths in bits less one into `MOSI_DLEN` and
//! `MISO_DLEN`, which phases there are into `USR`, and starts it with bit 18 of `CMD`; the answer is in `W0`.
//! Source: esptool 5.6.0 `esptool/loader.py` (`run_spiflash_command`), ESP32 TRM 7.

use super::addresses::SpiAddresses;
use std::collections::BTreeMap;

pub(super) struct SpiRegisters {
    addresses: SpiAddresses,
    /// By offset; only aligned ones below [`LEN`], so there are never many.
    written: BTreeMap<u32, u32>,
    /// log2 of the size of the part.
    capacity: u8,
    /// The three status registers of the part. They forget at power-off only; here at every reset.
    status: [u8; 3],
    may_write: bool,
}

/// Size of the register file.
pub(super) const LEN: u32 = 0x100;

/// `SPI_USR` in `CMD`.
const START: u32 = 1 << 18;
const HAS_MISO: u32 = 1 << 28;
const HAS_MOSI: u32 = 1 << 27;

impl SpiRegisters {
    pub(super) const fn new(addresses: SpiAddresses, flash_size: u32) -> Self {
        let capacity = flash_size.ilog2().to_le_bytes()[0];
        Self { addresses, written: BTreeMap::new(), capacity, status: [0; 3], may_write: false }
    }

    /// The offset of an address inside this peripheral.
    pub(super) fn offset(&self, address: u32) -> Option<u32> {
        address.checked_sub(self.addresses.base).filter(|offset| *offset < LEN)
    }

    pub(super) fn read(&self, offset: u32) -> u32 {
        self.written.get(&offset).copied().unwrap_or(0)
    }

    pub(super) fn write(&mut self, offset: u32, value: u32) {
        if offset == 0 {
            if value & START != 0 {
                self.run();
            }
        } else if offset.is_multiple_of(4) {
            self.written.insert(offset, value);
        }
    }

    fn run(&mut self) {
        let phases = self.read(self.addresses.usr);
        let opcode = self.read(self.addresses.usr2).to_le_bytes()[0];
        let sent = self.read(self.addresses.w0).to_le_bytes();
        let sent_len = if phases & HAS_MOSI == 0 { 0 } else { (self.read(self.addresses.mosi_len) as usize + 1) / 8 };
        let argument = sent.get(..sent_len).unwrap_or(&sent);
        let answer = self.part(opcode, argument);
        if phases & HAS_MISO != 0 {
            let bits = (self.read(self.addresses.miso_len) & 0x1f) + 1;
            self.written.insert(self.addresses.w0, answer & u32::MAX >> (32 - bits));
        }
    }

    /// What the part does and answers, lowest byte first. A part drives nothing if it does not know a command, and the
    /// line is pulled up.
    fn part(&mut self, opcode: u8, argument: &[u8]) -> u32 {
        let status = |index: usize| u32::from(self.status[index]);
        match opcode {
            // RDID: manufacturer, memory type, log2 of the size.
            0x9f => u32::from_le_bytes([MANUFACTURER, MEMORY_TYPE, self.capacity, 0]),
            0x05 => status(0),
            0x35 => status(1),
            0x15 => status(2),
            // WREN, and the enable for volatile bits; WRDI.
            0x06 | 0x50 => self.enable(true),
            0x04 => self.enable(false),
            0x01 => self.write_status(0, argument),
            0x31 => self.write_status(1, argument),
            0x11 => self.write_status(2, argument),
            // Reset: the pair that tools send.
            0x66 => u32::MAX,
            0x99 => self.enable(false),
            // RDSFDP of the beginning: the signature. The tables behind it are not there.
            0x5a if self.read(4) == 0 => u32::from_le_bytes(*b"SFDP"),
            _ => u32::MAX,
        }
    }

    const fn enable(&mut self, may_write: bool) -> u32 {
        self.may_write = may_write;
        u32::MAX
    }

    fn write_status(&mut self, first: usize, values: &[u8]) -> u32 {
        if std::mem::take(&mut self.may_write) {
            self.status.iter_mut().skip(first).zip(values).for_each(|(register, value)| *register = *value);
            // WIP and WEL are not for writing.
            self.status[0] &= !3;
        }
        u32::MAX
    }
}

/// XMC, whose capacity codes esptool 5.6.0 reads as a power of two up to 16 MiB and beyond.
const MANUFACTURER: u8 = 0x20;
const MEMORY_TYPE: u8 = 0x40;
