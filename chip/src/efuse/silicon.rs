//! The cells of every block, coded as the chip codes them, and what its controller does to them.

use super::controller::{self, BLOCK_MAX};
use super::setting::{Setting, Settings};
use crate::fault::Extent;
use cotter_formats::chip::Chip;
use cotter_formats::efuse::coding::{self, CHECK, Coding, DATA, three_quarters};
use cotter_formats::efuse::{EfuseBlock, EfuseImage, EfuseMap, Field, KeyPurpose, esp32};
use zeroize::Zeroizing;

/// Bytes that are kept for a block: 32 data bytes and 12 check bytes of RS, or the block's own bytes, and zeros.
pub(super) const CELLS: usize = DATA + CHECK;

/// What stands in the cells of one block.
pub(super) type CodeWord = Zeroizing<[u8; CELLS]>;

/// Blocks of one chip; nothing is hidden here.
pub(super) struct Silicon {
    map: EfuseMap,
    settings: Settings,
    cells: Vec<CodeWord>,
    controller: Controller,
}

/// What the last program command left in the registers of the controller.
enum Controller {
    Reset,
    Used { check: [u8; CHECK] },
}

impl Silicon {
    pub(super) fn blank(chip: Chip) -> Self {
        let map = EfuseMap::of(chip);
        let cells = map.blocks.iter().map(|_| Zeroizing::new([0; CELLS])).collect();
        Self { map, settings: Settings::of(&map), cells, controller: Controller::Reset }
    }

    /// The cells that read like this image.
    pub(super) fn of(image: &EfuseImage) -> Self {
        let mut silicon = Self::blank(image.map().chip);
        for block in image.map().block_numbers() {
            let word = silicon.code_word(block, image.block(block).unwrap_or_default());
            silicon.merge(block, &word);
        }
        silicon
    }

    /// A second chip with the same cells, after a reset.
    pub(super) fn duplicate(&self) -> Self {
        Self {
            map: self.map,
            settings: self.settings.clone(),
            cells: self.cells.clone(),
            controller: Controller::Reset,
        }
    }

    pub(super) const fn chip(&self) -> Chip {
        self.map.chip
    }

    /// The map of the revision that the cells tell.
    pub(super) const fn map(&self) -> &EfuseMap {
        &self.map
    }

    /// The purpose of a key block; `None` if it is no key block, or a chip whose key blocks have none.
    pub(super) fn key_purpose(&self, block: EfuseBlock) -> Option<KeyPurpose> {
        let (low, high) = self.map.key_purpose_fields(block)?;
        let high = high.map_or(0, |high| self.value(high)).checked_shl(low.len.into())?;
        u8::try_from(high | self.value(low)).ok().map(KeyPurpose)
    }

    /// A reset: the controller forgets what the last program command left in its registers.
    pub(super) const fn reset_controller(&mut self) {
        self.controller = Controller::Reset;
    }

    /// All cells, block after block.
    pub(super) fn cells(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.cells.iter().flat_map(|cells| cells.iter().copied()).collect())
    }

    /// The number of bytes of [`Self::cells`].
    pub(super) const fn cells_len(&self) -> usize {
        self.cells.len() * CELLS
    }

    /// Takes over what [`Self::cells`] gave, of the same length.
    pub(super) fn set_cells(&mut self, cells: &[u8]) {
        for (to, from) in self.cells.iter_mut().zip(cells.chunks_exact(CELLS)) {
            to.copy_from_slice(from);
        }
        self.follow_revision();
    }

    /// What the cells of a block hold, decoded; as long as the longest block.
    pub(super) fn data(&self, block: EfuseBlock) -> Zeroizing<[u8; BLOCK_MAX]> {
        let mut data = Zeroizing::new([0; BLOCK_MAX]);
        let Some(cells) = self.cells.get(usize::from(block.0)) else { return data };
        match self.coding(block) {
            Coding::ThreeQuarters => {
                let chunks = data.chunks_mut(three_quarters::CHUNK).zip(cells.chunks_exact(8)).take(4);
                chunks.for_each(|(data, coded)| data.iter_mut().zip(coded).for_each(|(to, from)| *to = *from));
            }
            Coding::ReedSolomon => data.iter_mut().zip(&cells[..DATA]).for_each(|(to, from)| *to = *from),
            Coding::None | Coding::Repeat => data.iter_mut().zip(cells.iter()).for_each(|(to, from)| *to = *from),
        }
        data
    }

    /// The value of a field, whether software may read it or not.
    pub(super) fn value(&self, field: &Field) -> u32 {
        field.read(&*self.data(field.block)).expect("a field of up to 32 bits of this chip")
    }

    /// The value of a setting; 0 if the chip has none.
    pub(super) fn setting(&self, setting: Setting) -> u32 {
        self.settings.field(setting).map_or(0, |field| self.value(field))
    }

    pub(super) const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The registers if nothing were hidden.
    pub(super) fn open_image(&self) -> EfuseImage {
        let mut image = EfuseImage::blank(self.map.chip);
        for block in self.map.block_numbers() {
            let data = self.data(block);
            if let Some(readable) = image.block_mut(block) {
                readable.iter_mut().zip(data.iter()).for_each(|(to, from)| *to = *from);
            }
        }
        image.with_map_of_its_revision()
    }

    /// The registers as software reads them.
    pub(super) fn image(&self) -> EfuseImage {
        let mut image = self.open_image();
        controller::hide(&mut image);
        if let Controller::Used { check } = &self.controller {
            controller::leave_registers(&mut image, Some(*check));
        }
        image
    }

    /// True if the cells of a coded block are no code word.
    pub(super) fn is_damaged(&self, block: EfuseBlock) -> bool {
        let cells = self.cells.get(usize::from(block.0));
        cells.is_some_and(|cells| **cells != *self.code_word(block, &*self.data(block)))
    }

    /// What is burned for the data of a block.
    pub(super) fn code_word(&self, block: EfuseBlock, data: &[u8]) -> CodeWord {
        let mut word = Zeroizing::new([0; CELLS]);
        word.iter_mut().zip(data).for_each(|(to, from)| *to = *from);
        match self.coding(block) {
            Coding::None | Coding::Repeat => {}
            Coding::ReedSolomon => {
                let data: &[u8; DATA] = word.first_chunk().expect("a code word is longer than its data");
                let check = coding::check_bytes(data);
                word[DATA..].copy_from_slice(&check);
            }
            Coding::ThreeQuarters => {
                let data = word.first_chunk().expect("a code word is longer than its data");
                let coded = three_quarters::encode(data);
                word[..coded.len()].copy_from_slice(&coded);
            }
        }
        word
    }

    /// One program command with data that the controller codes; bits that are frozen are left alone without a word.
    pub(super) fn program(&mut self, block: EfuseBlock, data: &[u8], extent: Extent) {
        let word = self.code_word(block, data);
        self.program_word(block, word, extent);
    }

    /// One program command with a code word that software has made, right or wrong.
    pub(super) fn program_word(&mut self, block: EfuseBlock, mut word: CodeWord, extent: Extent) {
        let is_coded = self.coding(block) == Coding::ReedSolomon;
        let check = if is_coded { word.last_chunk().copied().unwrap_or_default() } else { self.last_check() };
        self.controller = Controller::Used { check };
        let frozen = self.frozen(block);
        word.iter_mut().zip(frozen).for_each(|(byte, frozen)| *byte &= !frozen);
        if let Extent::Torn(mut noise) = extent {
            word.iter_mut().for_each(|byte| *byte &= noise.byte());
        }
        self.merge(block, &word);
    }

    /// Sets bits of the cells.
    pub(super) fn merge(&mut self, block: EfuseBlock, word: &CodeWord) {
        if let Some(cells) = self.cells.get_mut(usize::from(block.0)) {
            cells.iter_mut().zip(word.iter()).for_each(|(cell, byte)| *cell |= byte);
        }
        self.follow_revision();
    }

    /// Takes the map of the revision that the cells tell now.
    fn follow_revision(&mut self) {
        self.map = *self.open_image().map();
        self.settings = Settings::of(&self.map);
    }

    /// The cells of a block that `WR_DIS` has frozen.
    pub(super) fn frozen(&self, block: EfuseBlock) -> [u8; CELLS] {
        let bits = controller::frozen(&self.open_image(), block);
        let mut frozen = [0; CELLS];
        frozen.iter_mut().zip(bits).for_each(|(to, from)| *to = from);
        if bits == [0xff; BLOCK_MAX] {
            frozen.fill(0xff);
        }
        frozen
    }

    /// True if `word` asks for nothing that the cells of the block contradict: no cell is set that the word lacks.
    pub(super) fn can_become(&self, block: EfuseBlock, word: &CodeWord) -> bool {
        let cells = self.cells.get(usize::from(block.0));
        cells.is_some_and(|cells| cells.iter().zip(word.iter()).all(|(cell, bit)| cell & !bit == 0))
    }

    /// How a block is coded.
    ///
    /// Off-spec: the repeat coding of the ESP32, which no tool supports, is taken for none.
    pub(super) fn coding(&self, block: EfuseBlock) -> Coding {
        match (block, self.map.chip) {
            (EfuseBlock::SETTINGS, _) => Coding::None,
            (_, Chip::Esp32) => {
                let settings = self.cells.first().map_or(&[][..], |cells| &cells[..]);
                Coding::of_esp32(esp32::CODING_SCHEME.read(settings).expect("2 bits of block 0"))
            }
            _ => Coding::ReedSolomon,
        }
    }

    fn last_check(&self) -> [u8; CHECK] {
        match self.controller {
            Controller::Reset => [0; CHECK],
            Controller::Used { check } => check,
        }
    }
}
