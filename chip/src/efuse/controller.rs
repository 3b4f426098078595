//! The eFuse controller as espefuse's virtual chip has it: what a program command does to the register file.
//!
//! Everything is a value: the family decides about write registers and coding, a table about what a burn leaves behind.
//! A hidden block is zeroed in the registers, and so the key is lost; [`super::Efuses`] is the chip that keeps it.
//! Source: esptool 5.6.0 `espefuse/efuse/emulate_efuse_controller_base.py` and `<chip>/fields.py` (`set_efuse_timing`).

use cotter_formats::chip::Chip;
use cotter_formats::efuse::coding::{self, CHECK, DATA};
use cotter_formats::efuse::{Coding, EfuseBlock, EfuseImage, Group};

/// The longest block: block 0 of the ESP32-S31.
pub(crate) const BLOCK_MAX: usize = 36;

/// Burns the data of a block: frozen bits are left alone without a word, and nothing is checked.
pub fn program(image: &mut EfuseImage, block: EfuseBlock, data: &[u8]) {
    let frozen = frozen(image, block);
    let is_coded = image.coding(block) == Coding::ReedSolomon;
    if let Some(cells) = image.block_mut(block) {
        let new = data.iter().zip(frozen).map(|(data, frozen)| data & !frozen);
        cells.iter_mut().zip(new).for_each(|(cell, data)| *cell |= data);
    }
    hide(image);
    let mut word = [0; DATA];
    word.iter_mut().zip(data).for_each(|(to, from)| *to = *from);
    leave_registers(image, is_coded.then(|| coding::check_bytes(&word)));
}

/// The bits of a block that `WR_DIS` has frozen.
#[must_use]
pub fn frozen(image: &EfuseImage, block: EfuseBlock) -> [u8; BLOCK_MAX] {
    if !image.is_block_writable(block) {
        return [0xff; BLOCK_MAX];
    }
    let mut frozen = [0; BLOCK_MAX];
    for field in image.map().fields.iter().filter(|field| field.block == block && !image.is_writable(field)) {
        // Off-spec: espefuse's virtual chip lets reserved fields through. The hardware does not.
        let _fits = field.merge_bytes(&ones(field.len), &mut frozen);
    }
    frozen
}

fn ones(len: u16) -> Vec<u8> {
    let (whole, rest) = (usize::from(len / 8), len % 8);
    let mut ones = vec![0xff; whole];
    if rest > 0 {
        ones.push((1 << rest) - 1);
    }
    ones
}

/// Zeroes what `RD_DIS` hides: blocks, halves of the key block of the ESP32-C2, fields of block 0 of the ESP32.
pub(super) fn hide(image: &mut EfuseImage) {
    let map = *image.map();
    let hidden = image.value(map.rd_dis());
    for (block, layout) in map.block_numbers().zip(map.blocks) {
        let Some(cells) = image.block_mut(block) else { continue };
        let mask = u32::from(layout.read_protect_mask);
        match (map.chip, hidden & mask) {
            (_, 0) => {}
            (Chip::Esp32C2, bits) => {
                let (low, high) = cells.split_at_mut(cells.len() / 2);
                [(low, 1), (high, 2)].into_iter().filter(|(_, bit)| bits & bit != 0).for_each(|(half, _)| half.fill(0));
            }
            _ => cells.fill(0),
        }
    }
    let settings = map.fields.iter().filter(|field| field.block == EfuseBlock::SETTINGS);
    // What is hidden first: to tell the group of a field takes its time.
    let hidden = settings.filter(|field| hidden & u32::from(field.read_protect_mask) != 0);
    for field in hidden.filter(|field| field.group() != Group::Reserved) {
        if let Some(cells) = image.block_mut(EfuseBlock::SETTINGS) {
            for bit in field.bit..field.bit + field.len {
                if let Some(byte) = cells.get_mut(usize::from(bit / 8)) {
                    *byte &= !(1 << (bit % 8));
                }
            }
        }
    }
}

/// What a burn leaves in the registers beside the blocks: operation code, timing, and the check bytes of the last
/// RS-coded block, a secret key's too.
pub(super) fn leave_registers(image: &mut EfuseImage, check: Option<[u8; CHECK]>) {
    let chip = image.map().chip;
    let (conf, timing) = left_by_a_burn(chip);
    let mut set = |offset, value| image.set_register(offset, value).expect("inside the register file");
    set(conf, 0x5aa5);
    // The ESP32 has no check bytes, and for the ESP32-S31 espefuse clears them.
    if let Some(check) = check.filter(|_| chip != Chip::Esp32S31) {
        let words = check.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
        [0x020, 0x024, 0x028].into_iter().zip(words).for_each(|(offset, word)| set(offset, word));
    }
    for (offset, value) in timing {
        let before = image.register(*offset).expect("inside the register file");
        image.set_register(*offset, before | value).expect("inside the register file");
    }
}

/// `EFUSE_CONF_REG`, and the clock and timing registers with what espefuse sets in them.
const fn left_by_a_burn(chip: Chip) -> (usize, &'static [(usize, u32)]) {
    match chip {
        Chip::Esp32 => (0x0fc, &[(0x0f8, 0xa0), (0x118, 0x50)]),
        Chip::Esp32C2 => (0x08c, &[(0x108, 0x28), (0x114, 0x3000), (0x118, 0x190)]),
        Chip::Esp32S2 => (0x1cc, &[(0x1e8, 0x50), (0x1ec, 1), (0x1f0, 1), (0x1f4, 0x5101), (0x1f8, 0x80)]),
        Chip::Esp32S3 => (0x1cc, &[(0x1e8, 0x28), (0x1f4, 0x3000), (0x1f8, 0x190)]),
        Chip::Esp32C5 => (0x1cc, &[(0x1ec, 0x28), (0x1f4, 0x3000), (0x1f8, 0x190)]),
        Chip::Esp32C3 | Chip::Esp32C6 | Chip::Esp32C61 | Chip::Esp32H2 => {
            (0x1cc, &[(0x1e8, 0x28), (0x1f0, 0x3000), (0x1f4, 0x190)])
        }
        Chip::Esp32H21 | Chip::Esp32H4 | Chip::Esp32P4 | Chip::Esp32S31 => (0x1cc, &[]),
    }
}
