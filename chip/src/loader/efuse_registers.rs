//! The registers of the eFuse controller, as a tool on the serial line writes and reads them.
//!
//! What software reads are copies of the cells, made at reset and by the read command: what was burned shows, and
//! counts for the loader, only after that. Program: data (and on later chips check bytes) into the write registers,
//! 0x5A5A into `CONF`, 2 into `CMD`, with the block number from bit 2 on. Read: 0x5AA5 into `CONF`, 1 into `CMD`. Both
//! are done at once here. Source: ESP32 TRM 20.4, ESP32-C3 TRM 4.3, esptool 5.6.0 `espefuse/efuse/<chip>/fields.py`.

use super::addresses::EfuseAddresses;
use crate::efuse::Efuses;
use crate::fault::PowerLost;
use cotter_formats::efuse::coding::{CHECK, DATA};
use cotter_formats::efuse::{EfuseBlock, EfuseImage, Family};
use zeroize::Zeroizing;

pub(super) struct EfuseRegisters {
    addresses: EfuseAddresses,
    efuses: Efuses,
    /// The copies: blocks and coding errors.
    copies: EfuseImage,
    /// What was written to the registers.
    written: Zeroizing<[u8; LEN as usize]>,
    /// How many program commands there were.
    pub(super) burns: u64,
}

/// Size of the register file.
pub(super) const LEN: u32 = 0x200;

const PROGRAM_CODE: u32 = 0x5a5a;
const READ_CODE: u32 = 0x5aa5;
const PROGRAM: u32 = 2;
const READ: u32 = 1;

impl EfuseRegisters {
    /// After a reset.
    pub(super) fn new(addresses: EfuseAddresses, efuses: Efuses) -> Result<Self, PowerLost> {
        let copies = efuses.image()?;
        let mut registers = Self { addresses, efuses, copies, written: Zeroizing::new([0; LEN as usize]), burns: 0 };
        registers.read_cells()?;
        Ok(registers)
    }

    /// What software, and the loader, knows of the eFuses.
    pub(super) const fn copies(&self) -> &EfuseImage {
        &self.copies
    }

    /// The offset of an address inside this peripheral.
    pub(super) fn offset(&self, address: u32) -> Option<u32> {
        address.checked_sub(self.addresses.base).filter(|offset| *offset < LEN)
    }

    pub(super) fn read(&self, offset: u32) -> u32 {
        let at = offset as usize;
        if offset == self.addresses.command {
            return 0;
        }
        if self.is_copy(at) {
            return self.copies.register(at).unwrap_or(0);
        }
        word(self.written.as_slice(), at)
    }

    /// # Errors
    /// [`PowerLost`].
    pub(super) fn write(&mut self, offset: u32, value: u32) -> Result<(), PowerLost> {
        let at = offset as usize;
        if offset == self.addresses.command {
            let code = word(self.written.as_slice(), self.addresses.conf as usize);
            return match (code, value & 3) {
                (PROGRAM_CODE, PROGRAM) => self.program(value >> 2 & 0xf),
                (READ_CODE, READ) => self.read_cells(),
                _ => Ok(()),
            };
        }
        if !self.is_copy(at)
            && let Some(register) = self.written.get_mut(at..at + 4)
        {
            register.copy_from_slice(&value.to_le_bytes());
        }
        Ok(())
    }

    fn is_copy(&self, at: usize) -> bool {
        let map = self.copies.map();
        let in_block =
            map.blocks.iter().any(|block| (block.read_offset..block.read_offset + block.len()).contains(&at));
        in_block || map.error_registers().contains(&at)
    }

    fn program(&mut self, block: u32) -> Result<(), PowerLost> {
        self.burns += 1;
        let map = *self.copies.map();
        if map.family == Family::Esp32 {
            // Every block at once, each from write registers of its own, coded by the tool.
            for (block, layout) in map.block_numbers().zip(map.blocks) {
                let data = self.window(layout.write_offset, layout.len());
                if data.iter().any(|byte| *byte != 0) {
                    self.efuses.program_word(block, &data)?;
                }
            }
            return Ok(());
        }
        let block = EfuseBlock(u8::try_from(block).expect("four bits"));
        let len = if block == EfuseBlock::SETTINGS { DATA } else { DATA + CHECK };
        self.efuses.program_word(block, &self.window(0, len))
    }

    fn window(&self, at: usize, len: usize) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.written.iter().skip(at).take(len).copied().collect())
    }

    fn read_cells(&mut self) -> Result<(), PowerLost> {
        self.copies = self.efuses.image()?;
        let map = *self.copies.map();
        for block in map.block_numbers().filter(|block| *block != EfuseBlock::SETTINGS) {
            if !self.efuses.is_damaged(block)? {
                continue;
            }
            let place = 4 * (u32::from(block.0) - 1);
            if map.family == Family::Esp32 {
                // Not observed: which of the 12 bits tell which chunk of which block. Tools ask whether any is set.
                self.raise(0, 0xf << place);
                continue;
            }
            // Off-spec: the hardware corrects and counts up to 5 damaged bytes. Here any damage is beyond that.
            self.raise(place / 32 * 4, 7 << (place % 32));
            let fail = place + self.addresses.fail_bit;
            self.raise(fail / 32 * 4, 1 << (fail % 32));
        }
        Ok(())
    }

    fn raise(&mut self, register: u32, bits: u32) {
        let at = (self.addresses.errors + register) as usize;
        let before = self.copies.register(at).unwrap_or(0);
        // The last fail bit of the ESP32-C3 has no register.
        let _beyond = self.copies.set_register(at, before | bits);
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
}
