//! The eFuses: cells that can only go from 0 to 1, behind a controller that honours `WR_DIS` and `RD_DIS`.
//!
//! | file | noun |
//! |---|---|
//! | here | the silicon and its controller: what hardware does, silently |
//! | `burn` | a set of burns as a careful tool does it: checked, ordered, verified |
//! | `controller` | what a program command does to the register file, as espefuse's virtual chip has it |
//! | `session` | espefuse's commands on a register file: its checks, its order, its refusals, for every chip |
//! | `file` | the silicon in two files, one of which espefuse reads |
//!
//! A counted operation (see [`crate::fault`]) is one program command for one block. Torn, it leaves any subset of the
//! bits that it should have set. Blocks 1 to 10 are RS-coded: 32 data bytes and 12 check bytes are burned in one go, so
//! a second value on top of the first leaves neither, and the same value again mends a torn burn.

pub mod burn;
pub mod controller;
mod file;
pub mod session;

use crate::fault::{Extent, Fault, PowerLost};
use cotter_formats::chip::Chip;
use cotter_formats::efuse::coding::{self, CHECK, DATA};
use cotter_formats::efuse::{EfuseBlock, EfuseImage, EfuseMap, Field, KeyPurpose, esp32c3};
use cotter_formats::secret::Secret;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use burn::{BurnError, BurnSet, KeyProtection, Pass};
pub use file::{CELLS_FILE, EfuseFileError, REGISTERS_FILE};

/// A shared handle on the eFuses of one chip.
#[derive(Clone)]
pub struct Efuses {
    silicon: Arc<Mutex<Silicon>>,
    fault: Fault,
}

impl Efuses {
    /// The eFuses of a chip fresh from Espressif: a MAC and a wafer revision (v0.4), nothing else.
    #[must_use]
    pub fn fresh(chip: Chip, mac: [u8; 6], fault: Fault) -> Self {
        let mut image = EfuseImage::blank(chip);
        let block = image.block_mut(EfuseBlock::MAC).expect("every map has block 1");
        let stored = block.iter_mut().zip(mac.iter().rev());
        stored.for_each(|(cell, byte)| *cell = *byte);
        esp32c3::WAFER_VERSION_MINOR_LO.merge(4, block).expect("3 bits in block 1");
        Self::from_image(&image, fault)
    }

    /// The eFuses of a chip whose registers read like this; a hidden key reads as zero, and so it is lost.
    #[must_use]
    pub fn from_image(image: &EfuseImage, fault: Fault) -> Self {
        let mut silicon = Silicon::blank(*image.map());
        for index in 0..BLOCKS {
            let block = EfuseBlock(index);
            silicon.merge_cells(block, &code_word(block, &padded(image.block(block).unwrap_or_default())));
        }
        Self { silicon: Arc::new(Mutex::new(silicon)), fault }
    }

    /// Another chip with the same cells, on another supply.
    pub(crate) fn duplicate(&self, fault: Fault) -> Self {
        let silicon = self.silicon();
        let copy = Silicon { map: silicon.map, cells: silicon.cells, controller: Controller::Reset };
        Self { silicon: Arc::new(Mutex::new(copy)), fault }
    }

    /// The registers as software reads them: blocks hidden by `RD_DIS` are zero.
    ///
    /// # Errors
    /// [`PowerLost`].
    pub fn image(&self) -> Result<EfuseImage, PowerLost> {
        self.fault.check()?;
        Ok(self.silicon().image())
    }

    /// Burns 32 bytes into a block as the controller does: frozen bits are left alone without a word, and nothing is
    /// checked. Prefer [`Self::burn`].
    ///
    /// # Errors
    /// [`PowerLost`].
    pub fn program(&self, block: EfuseBlock, data: &[u8; DATA]) -> Result<(), PowerLost> {
        self.fault.operation(|extent| self.silicon().program(block, data, extent))
    }

    /// True if the cells of an RS-coded block are no code word: a burn was torn, or two were laid on top of each other.
    ///
    /// Off-spec: the hardware corrects up to 6 damaged bytes; here a damaged block reads as its data cells are.
    ///
    /// # Errors
    /// [`PowerLost`].
    pub fn is_damaged(&self, block: EfuseBlock) -> Result<bool, PowerLost> {
        self.fault.check()?;
        Ok(self.silicon().is_damaged(block))
    }

    /// Which chip this is.
    #[must_use]
    pub fn chip(&self) -> Chip {
        self.silicon().map.chip
    }

    /// The supply that the controller hangs on.
    #[must_use]
    pub const fn fault(&self) -> &Fault {
        &self.fault
    }

    /// The key that the hardware uses for a purpose, in the order in which it was burned, hidden or not: the first
    /// block that has the purpose.
    pub(crate) fn hardware_key(&self, purpose: KeyPurpose) -> Option<Secret<32>> {
        let silicon = self.silicon();
        let image = silicon.image();
        let block = (0..EfuseBlock::KEYS)
            .filter_map(EfuseBlock::key)
            .find(|block| image.key_purpose(*block) == Some(purpose))?;
        Secret::from_slice(silicon.data(block))
    }

    /// The value of a field as the hardware sees it, whether software may read it or not; works without power.
    pub(crate) fn sensed(&self, field: &Field) -> u32 {
        field.read(self.silicon().data(field.block)).expect("a field of up to 32 bits of this chip")
    }

    /// A reset: the controller forgets what the last program command left in its registers.
    pub(crate) fn reset_controller(&self) {
        self.silicon().controller = Controller::Reset;
    }

    fn silicon(&self) -> MutexGuard<'_, Silicon> {
        self.silicon.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Efuses {
    /// No content: cells hold keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Efuses").finish_non_exhaustive()
    }
}

const BLOCKS: u8 = 11;
const CODE_WORD: usize = DATA + CHECK;

struct Silicon {
    map: EfuseMap,
    cells: [[u8; CODE_WORD]; BLOCKS as usize],
    controller: Controller,
}

/// What the last program command left in the registers of the controller.
enum Controller {
    Reset,
    Used { check: [u8; CHECK] },
}

impl Silicon {
    const fn blank(map: EfuseMap) -> Self {
        Self { map, cells: [[0; CODE_WORD]; BLOCKS as usize], controller: Controller::Reset }
    }

    fn data(&self, block: EfuseBlock) -> &[u8] {
        self.cells.get(usize::from(block.0)).map_or(&[], |cells| &cells[..DATA])
    }

    fn is_damaged(&self, block: EfuseBlock) -> bool {
        let data = padded(self.data(block));
        self.cells.get(usize::from(block.0)).is_some_and(|cells| *cells != code_word(block, &data))
    }

    fn merge_cells(&mut self, block: EfuseBlock, word: &[u8; CODE_WORD]) {
        if let Some(cells) = self.cells.get_mut(usize::from(block.0)) {
            cells.iter_mut().zip(word).for_each(|(cell, byte)| *cell |= byte);
        }
    }

    fn image(&self) -> EfuseImage {
        let mut image = EfuseImage::blank(self.map.chip);
        let hidden = esp32c3::RD_DIS.read(self.data(EfuseBlock::SETTINGS)).expect("7 bits of block 0");
        for (index, layout) in (0..BLOCKS).zip(self.map.blocks) {
            let block = EfuseBlock(index);
            if hidden & u32::from(layout.read_protect_mask) != 0 {
                continue;
            }
            if let Some(readable) = image.block_mut(block) {
                readable.copy_from_slice(&self.data(block)[..readable.len()]);
            }
        }
        if let Controller::Used { check } = &self.controller {
            let words = check.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
            let left = CHECK_VALUE.into_iter().zip(words).chain(LEFT_BY_A_BURN);
            left.for_each(|(offset, value)| image.set_register(offset, value).expect("inside the register file"));
        }
        image
    }

    fn program(&mut self, block: EfuseBlock, data: &[u8; DATA], extent: Extent) {
        let check = if block == EfuseBlock::SETTINGS { self.last_check() } else { coding::check_bytes(data) };
        self.controller = Controller::Used { check };
        let mut word = code_word(block, data);
        let frozen = self.frozen(block);
        word.iter_mut().zip(frozen).for_each(|(byte, frozen)| *byte &= !frozen);
        if let Extent::Torn(mut noise) = extent {
            word.iter_mut().for_each(|byte| *byte &= noise.byte());
        }
        self.merge_cells(block, &word);
    }

    fn last_check(&self) -> [u8; CHECK] {
        match self.controller {
            Controller::Reset => [0; CHECK],
            Controller::Used { check } => check,
        }
    }

    /// The cells of a block that `WR_DIS` has frozen.
    fn frozen(&self, block: EfuseBlock) -> [u8; CODE_WORD] {
        let write_disabled = esp32c3::WR_DIS.read(self.data(EfuseBlock::SETTINGS)).expect("32 bits of block 0");
        let is_frozen = |bit: Option<u8>| bit.is_some_and(|bit| write_disabled >> bit & 1 == 1);
        if self.map.block(block).is_none_or(|layout| is_frozen(layout.write_protect_bit)) {
            return [0xff; CODE_WORD];
        }
        let mut frozen = [0; CODE_WORD];
        let fields = self.map.fields.iter().filter(|field| field.block == block && is_frozen(field.write_protect_bit));
        for field in fields.filter(|field| field.len <= 32) {
            field.merge(field.all_ones(), &mut frozen).expect("a field of this block");
        }
        frozen
    }
}

/// What is burned for the data of a block: block 0 has no check bytes.
fn code_word(block: EfuseBlock, data: &[u8; DATA]) -> [u8; CODE_WORD] {
    let mut word = [0; CODE_WORD];
    word[..DATA].copy_from_slice(data);
    if block != EfuseBlock::SETTINGS {
        word[DATA..].copy_from_slice(&coding::check_bytes(data));
    }
    word
}

/// The data of a shorter block, extended with zeros.
fn padded(block: &[u8]) -> [u8; DATA] {
    let mut data = [0; DATA];
    data.iter_mut().zip(block).for_each(|(byte, stored)| *byte = *stored);
    data
}

/// `EFUSE_CHECK_VALUE0..2_REG`: espefuse leaves the check bytes of the last RS-coded block here, a secret key's too.
const CHECK_VALUE: [usize; 3] = [0x020, 0x024, 0x028];

/// Operation code and timing, as espefuse 5.6.0 sets them for a 40 MHz crystal: `EFUSE_CONF_REG`,
/// `EFUSE_DAC_CONF_REG`, `EFUSE_WR_TIM_CONF1_REG`, `EFUSE_WR_TIM_CONF2_REG`.
const LEFT_BY_A_BURN: [(usize, u32); 4] = [(0x1cc, 0x5aa5), (0x1e8, 0x28), (0x1f0, 0x3000), (0x1f4, 0x190)];

#[cfg(test)]
mod tests;
