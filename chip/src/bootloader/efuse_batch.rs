//! eFuses as ESP-IDF burns them: fields are collected, then each block is burned in one command, the highest first,
//! block 0 last, each read back and burned again up to twice if it does not read as it should.
//!
//! Nothing is checked beforehand: bits that `WR_DIS` has frozen are found out when they do not read back, after three
//! commands. Source: ESP-IDF 6.2-dev `components/efuse/src/esp_efuse_api.c`, `<chip>/esp_efuse_utility.c`
//! (`esp_efuse_utility_burn_chip_opt`), `efuse_controller/keys/*/esp_efuse_api_key.c`.

use crate::efuse::Efuses;
use crate::efuse::controller::BLOCK_MAX;
use crate::fault::PowerLost;
use crate::report::{Record, RefusalCode};
use cotter_formats::chip::Chip;
use cotter_formats::efuse::coding::Coding;
use cotter_formats::efuse::{EfuseBlock, EfuseImage, EfuseMap, Field, KeyPurpose};
use zeroize::Zeroizing;

/// Fields that wait to be burned.
pub(crate) struct EfuseBatch<'a> {
    efuses: &'a Efuses,
    /// The registers, which do not change before the commit.
    registers: EfuseImage,
    blocks: Vec<Zeroizing<[u8; BLOCK_MAX]>>,
    /// Whether begin and end are told.
    is_batch: bool,
}

impl<'a> EfuseBatch<'a> {
    /// Begins to collect.
    #[doc(alias = "esp_efuse_batch_write_begin")]
    pub(crate) fn begin(efuses: &'a Efuses, record: &mut Record) -> Result<Self, PowerLost> {
        record.line("efuse: Batch mode of writing fields is enabled");
        Ok(Self { is_batch: true, ..Self::single(efuses)? })
    }

    /// For one field that is burned at once.
    pub(crate) fn single(efuses: &'a Efuses) -> Result<Self, PowerLost> {
        let registers = efuses.image()?;
        let blocks = registers.map().blocks.iter().map(|_| Zeroizing::new([0; BLOCK_MAX])).collect();
        Ok(Self { efuses, registers, blocks, is_batch: false })
    }

    pub(crate) fn chip(&self) -> Chip {
        self.registers.map().chip
    }

    pub(crate) const fn registers(&self) -> &EfuseImage {
        &self.registers
    }

    pub(crate) const fn map(&self) -> &EfuseMap {
        self.registers.map()
    }

    /// Sets every bit of a field. A chip without the field has nothing to set.
    #[doc(alias = "esp_efuse_write_field_bit")]
    pub(crate) fn set(&mut self, name: &str) {
        if let Some(field) = self.map().field(name) {
            self.write(field, field.all_ones());
        }
    }

    /// Sets the bits of a value that are not set yet.
    #[doc(alias = "esp_efuse_write_field_blob")]
    pub(crate) fn write(&mut self, field: &Field, value: u32) {
        let missing = value & !self.registers.value(field);
        if let Some(block) = self.blocks.get_mut(usize::from(field.block.0)) {
            field.merge(missing, &mut **block).expect("the value fits into the field");
        }
    }

    /// Sets the lowest `count` bits that are not set yet.
    #[doc(alias = "esp_efuse_write_field_cnt")]
    pub(crate) fn count_up(&mut self, field: &Field, count: u32) {
        let mut bits = self.registers.value(field);
        for _ in 0..count {
            bits |= bits.wrapping_add(1);
        }
        self.write(field, bits & field.all_ones());
    }

    /// Freezes a field and all that share its bit of `WR_DIS`.
    pub(crate) fn freeze(&mut self, name: &str) {
        if let Some(bit) = self.map().field(name).and_then(|field| field.write_protect_bit) {
            self.write_dis(bit);
        }
    }

    /// Puts bytes into a block, from a byte of it on.
    #[doc(alias = "esp_efuse_write_block")]
    pub(crate) fn put(&mut self, block: EfuseBlock, at: usize, bytes: &[u8]) {
        if let Some(target) = self.blocks.get_mut(usize::from(block.0)) {
            target.iter_mut().skip(at).zip(bytes).for_each(|(byte, more)| *byte |= more);
        }
    }

    /// Freezes a key block.
    #[doc(alias = "esp_efuse_set_key_dis_write")]
    pub(crate) fn freeze_block(&mut self, block: EfuseBlock) {
        if let Some(bit) = self.map().block(block).and_then(|layout| layout.write_protect_bit) {
            self.write_dis(bit);
        }
    }

    /// Hides a key block, or the halves of it that `mask` leaves.
    #[doc(alias = "esp_efuse_set_key_dis_read")]
    pub(crate) fn hide_block(&mut self, block: EfuseBlock, mask: u32) {
        let layout = self.map().block(block).map_or(0, |layout| u32::from(layout.read_protect_mask));
        let rd_dis = self.map().rd_dis();
        self.write(rd_dis, layout & mask);
    }

    fn write_dis(&mut self, bit: u8) {
        let wr_dis = self.map().wr_dis();
        self.write(wr_dis, 1 << bit);
    }

    /// The first key blocks that nothing was ever burned into, and their keys under these purposes.
    ///
    /// # Errors
    /// [`RefusalCode::NoFreeKeyBlock`], also if the only free one has the defect of `BLOCK_KEY5`.
    #[doc(alias = "esp_efuse_write_keys")]
    pub(crate) fn put_keys(
        &mut self,
        keys: &[(KeyPurpose, Zeroizing<[u8; 32]>)],
        record: &mut Record,
    ) -> Result<(), RefusalCode> {
        let free: Vec<_> = self.map().key_blocks().filter(|block| is_unused(&self.registers, *block)).collect();
        if free.len() < keys.len() {
            let (required, free) = (keys.len(), free.len());
            record.line(format!("efuse: Not enough unused key blocks available. Required {required}, was {free}"));
            return Err(RefusalCode::NoFreeKeyBlock);
        }
        for ((purpose, key), block) in keys.iter().zip(free) {
            self.announce(block, purpose.0, record);
            self.put_key(block, *purpose, key, record)?;
        }
        Ok(())
    }

    /// A key, its purpose, and the protections of both.
    #[doc(alias = "esp_efuse_write_key")]
    pub(crate) fn put_key(
        &mut self,
        block: EfuseBlock,
        purpose: KeyPurpose,
        key: &[u8; 32],
        record: &mut Record,
    ) -> Result<(), RefusalCode> {
        let index = self.map().key_index(block).unwrap_or(0);
        if index == 5 && self.map().has_key5_quirk() && !purpose.is_allowed_in_key5() {
            let purpose = purpose.0;
            record.line(format!(
                "efuse: BLOCK9 can not have the {purpose} purpose because of HW bug (see TRM for more details)"
            ));
            record.line(format!("efuse: Failed to write EFUSE_BLK_KEY{index} with purpose {purpose}. Can't continue."));
            return Err(RefusalCode::NoFreeKeyBlock);
        }
        self.put(block, 0, key);
        self.freeze_block(block);
        if purpose.wants_read_protection() {
            self.hide_block(block, u32::MAX);
        }
        if let Some((low, high)) = self.map().key_purpose_fields(block) {
            let value = u32::from(purpose.0);
            self.write(low, value & low.all_ones());
            low.write_protect_bit.into_iter().for_each(|bit| self.write_dis(bit));
            if let Some(high) = high.filter(|_| value > low.all_ones()) {
                self.write(high, value >> low.len);
                high.write_protect_bit.into_iter().for_each(|bit| self.write_dis(bit));
            }
        }
        Ok(())
    }

    /// What is printed before a key. `purpose` as ESP-IDF counts them for this chip.
    pub(crate) fn announce(&self, block: EfuseBlock, purpose: u8, record: &mut Record) {
        let index = self.map().key_index(block).unwrap_or(0);
        record.line(format!("efuse: Writing EFUSE_BLK_KEY{index} with purpose {purpose}"));
    }

    /// Forgets it all.
    #[doc(alias = "esp_efuse_batch_write_cancel")]
    pub(crate) fn cancel(self, record: &mut Record) {
        if self.is_batch {
            record.line("efuse: Batch mode of writing fields is cancelled");
        }
    }

    /// Burns it.
    ///
    /// # Errors
    /// [`RefusalCode::EfuseBurnFailed`] if a coded block holds something already, or bits do not read back.
    #[doc(alias = "esp_efuse_batch_write_commit")]
    pub(crate) fn commit(self, record: &mut Record) -> Result<(), RefusalCode> {
        for block in self.needed() {
            let is_coded = matches!(self.registers.coding(block), Coding::ReedSolomon);
            let holds = |block| self.registers.block(block).is_some_and(|data| data.iter().any(|byte| *byte != 0));
            if is_coded && holds(block) {
                record.line("efuse: Bits are not empty. Write operation is forbidden.");
                return Err(RefusalCode::EfuseBurnFailed);
            }
        }
        let mut verdict = Ok(());
        for block in self.needed().into_iter().rev() {
            let number = block.0;
            if verdict.is_err() {
                // A key that was burned wrong must not be hidden.
                record.line(format!(
                    "efuse: BLOCK{number} can not be burned because a previous block got an error, skipped."
                ));
                continue;
            }
            verdict = self.burn(block, record);
            if verdict == Err(RefusalCode::PowerLost) {
                return verdict;
            }
        }
        if self.is_batch && verdict.is_ok() {
            record.line("efuse: Batch mode. Prepared fields are committed");
        }
        verdict
    }

    fn needed(&self) -> Vec<EfuseBlock> {
        let is_needed = |block: &EfuseBlock| self.blocks[usize::from(block.0)].iter().any(|byte| *byte != 0);
        self.map().block_numbers().filter(is_needed).collect()
    }

    fn burn(&self, block: EfuseBlock, record: &mut Record) -> Result<(), RefusalCode> {
        let (number, data) = (block.0, &self.blocks[usize::from(block.0)]);
        let was_damaged = self.efuses.is_damaged(block)?;
        if was_damaged {
            record.line(format!("efuse: BLOCK{number} already has a coding error"));
        }
        for attempt in 1..=ATTEMPTS {
            record.line(format!("efuse: BURN BLOCK{number}"));
            record.doing(format!("burning eFuse {block}"));
            self.efuses.program(block, &**data)?;
            let is_damaged = !was_damaged && self.efuses.is_damaged(block)?;
            if is_damaged {
                record.line(format!("efuse: BLOCK{number} got a coding error"));
            }
            let registers = self.efuses.image()?;
            let burned = registers.block(block).unwrap_or_default();
            let is_equal = burned.iter().eq(data.iter().take(burned.len()));
            let has_all = burned.iter().zip(data.iter()).all(|(burned, wanted)| wanted & !burned == 0);
            record.line(match (is_equal, has_all) {
                (true, _) => format!("efuse: BURN BLOCK{number} - OK (write block == read block)"),
                (_, true) => format!("efuse: BURN BLOCK{number} - OK (all write block bits are set)"),
                _ => format!("efuse: BURN BLOCK{number} - ERROR (written bits != read bits)"),
            });
            if has_all && !is_damaged {
                return Ok(());
            }
            record.line(format!("efuse: BLOCK{number}: next retry to fix an error [{attempt}/{ATTEMPTS}]..."));
        }
        Err(RefusalCode::EfuseBurnFailed)
    }
}

/// How often a block is burned at most.
const ATTEMPTS: u32 = 3;

/// True if nothing was ever burned for a key block: no bit of it, no purpose, no protection.
#[doc(alias = "esp_efuse_key_block_unused")]
pub(crate) fn is_unused(registers: &EfuseImage, block: EfuseBlock) -> bool {
    let purpose = registers.map().key_purpose_fields(block);
    let is_free = purpose
        .is_none_or(|(low, _)| registers.key_purpose(block) == Some(KeyPurpose::USER) && registers.is_writable(low));
    is_free && !is_hidden(registers, block) && registers.is_block_writable(block) && is_empty(registers, block)
}

/// True if the block is read-protected. The ESP32-C2's is as soon as its flash key is, unless that takes all of it.
#[doc(alias = "esp_efuse_get_key_dis_read")]
pub(crate) fn is_hidden(registers: &EfuseImage, block: EfuseBlock) -> bool {
    let map = registers.map();
    let bits = registers.value(map.rd_dis()) & map.block(block).map_or(0, |layout| u32::from(layout.read_protect_mask));
    match map.chip {
        Chip::Esp32C2 if registers.value_named("XTS_KEY_LENGTH_256") == Some(1) => bits == 0b11,
        Chip::Esp32C2 => bits & 1 != 0,
        _ => bits != 0,
    }
}

/// True if the block reads as zeros, which a hidden one does as well.
#[doc(alias = "esp_efuse_block_is_empty")]
pub(crate) fn is_empty(registers: &EfuseImage, block: EfuseBlock) -> bool {
    registers.block(block).is_none_or(|data| data.iter().all(|byte| *byte == 0))
}
