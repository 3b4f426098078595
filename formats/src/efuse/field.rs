//! Blocks and fields of eFuses, and the map that a chip has of them.

use super::esp32c3;
use crate::chip::Chip;
use core::fmt;

/// The number of an eFuse block: 0 holds the settings, 4..=9 the keys 0..=5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EfuseBlock(pub u8);

impl EfuseBlock {
    /// Block 0: repeat-coded in hardware, any bit can be burned at any time.
    pub const SETTINGS: Self = Self(0);
    /// Block 1: the factory MAC and more.
    pub const MAC: Self = Self(1);
    /// How many key blocks there are.
    pub const KEYS: u8 = 6;

    /// The block of key `index`, 0..=5.
    #[must_use]
    pub const fn key(index: u8) -> Option<Self> {
        if index < Self::KEYS { Some(Self(4 + index)) } else { None }
    }

    /// Which key this block holds, 0..=5; `None` if it is no key block.
    #[must_use]
    pub const fn key_index(self) -> Option<u8> {
        match self.0 {
            4..=9 => Some(self.0 - 4),
            _ => None,
        }
    }
}

impl fmt::Display for EfuseBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BLOCK{}", self.0)
    }
}

/// Where a block is read, and which bits protect it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockLayout {
    /// Espressif's name.
    pub name: &'static str,
    /// Offset of its first word in the register image.
    pub read_offset: usize,
    /// Its readable length in 32-bit words.
    pub words: usize,
    /// The bit of `WR_DIS` that freezes the whole block.
    pub write_protect_bit: Option<u8>,
    /// The bit of `RD_DIS` that hides it.
    pub read_protect_bit: Option<u8>,
}

impl BlockLayout {
    /// Readable length in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        4 * self.words
    }

    /// Never: every block has words.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.words == 0
    }
}

/// A run of bits with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Espressif's name.
    pub name: &'static str,
    /// Other names that espefuse takes.
    pub alternates: &'static [&'static str],
    /// The block it is in.
    pub block: EfuseBlock,
    /// Its lowest bit, counted from the lowest bit of the first word of the block.
    pub bit: u16,
    /// How many bits.
    pub len: u16,
    /// The bit of `WR_DIS` that freezes it, often shared with other fields.
    pub write_protect_bit: Option<u8>,
    /// The bit of `RD_DIS` that hides it.
    pub read_protect_bit: Option<u8>,
}

impl Field {
    /// Reads the field from the bytes of its block; `None` if it is longer than 32 bits or the block too short.
    #[must_use]
    pub fn read(&self, block: &[u8]) -> Option<u32> {
        let mut value = 0;
        for index in 0..self.len {
            let bit = usize::from(self.bit + index);
            let set = block.get(bit / 8)? >> (bit % 8) & 1;
            value |= u32::from(set).checked_shl(u32::from(index))?;
        }
        (self.len <= 32).then_some(value)
    }

    /// Sets the bits of `value` in the bytes of the field's block; nothing is ever cleared.
    /// `None`, and nothing set, if the value or the block does not fit.
    #[must_use]
    pub fn merge(&self, value: u32, block: &mut [u8]) -> Option<()> {
        let end = usize::from(self.bit + self.len);
        if end > 8 * block.len() || (self.len < 32 && value >> self.len != 0) {
            return None;
        }
        for index in (0..self.len.min(32)).filter(|index| value >> index & 1 == 1) {
            let bit = usize::from(self.bit + index);
            block[bit / 8] |= 1 << (bit % 8);
        }
        Some(())
    }

    /// All bits of the field set.
    #[must_use]
    pub const fn all_ones(&self) -> u32 {
        if self.len >= 32 { u32::MAX } else { (1 << self.len) - 1 }
    }
}

/// Everything known about the eFuses of one chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EfuseMap {
    /// Which chip.
    pub chip: Chip,
    /// Blocks, in order of their number.
    pub blocks: &'static [BlockLayout],
    /// Fields, in order of block and bit.
    pub fields: &'static [Field],
}

impl EfuseMap {
    /// The map of a chip; `None` for one whose eFuses are not mapped yet.
    #[must_use]
    pub const fn of(chip: Chip) -> Option<Self> {
        match chip {
            Chip::Esp32C3 => Some(Self { chip, blocks: &esp32c3::BLOCKS, fields: esp32c3::FIELDS }),
            _ => None,
        }
    }

    /// A field by any of its names.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name || field.alternates.contains(&name))
    }

    /// The layout of a block.
    #[must_use]
    pub fn block(&self, block: EfuseBlock) -> Option<&'static BlockLayout> {
        self.blocks.get(usize::from(block.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: EfuseMap = match EfuseMap::of(Chip::Esp32C3) {
        Some(map) => map,
        None => panic!("mapped"),
    };

    #[test]
    fn fields_are_found_by_any_name() {
        assert_eq!(MAP.field("SECURE_VERSION"), Some(&esp32c3::SECURE_VERSION));
        assert_eq!(MAP.field("KEY0_PURPOSE"), Some(&esp32c3::KEY_PURPOSE_0));
        assert_eq!(MAP.field("ABS_DONE_1"), None);
    }

    #[test]
    fn fields_stay_inside_their_block_and_do_not_overlap() {
        for pair in MAP.fields.windows(2) {
            let [a, b] = pair else { unreachable!("windows of two") };
            let apart = a.block < b.block || (a.block == b.block && a.bit + a.len <= b.bit);
            assert!(apart, "{} and {}", a.name, b.name);
        }
        for field in MAP.fields {
            let block = MAP.block(field.block).unwrap();
            assert!(usize::from(field.bit + field.len) <= 8 * block.len(), "{}", field.name);
        }
    }

    #[test]
    fn merging_sets_exactly_the_bits_of_the_field() {
        for field in MAP.fields.iter().filter(|field| field.len <= 32) {
            let mut block = [0; 32];
            field.merge(field.all_ones(), &mut block).unwrap();
            assert_eq!(field.read(&block), Some(field.all_ones()), "{}", field.name);
            assert_eq!(block.iter().map(|byte| byte.count_ones()).sum::<u32>(), u32::from(field.len));
        }
    }

    #[test]
    fn refuses_values_that_do_not_fit() {
        let mut block = [0; 24];
        assert_eq!(esp32c3::SPI_BOOT_CRYPT_CNT.merge(8, &mut block), None);
        assert_eq!(block, [0; 24]);
        assert_eq!(esp32c3::BLOCK_KEY0.read(&[0; 32]), None);
        assert_eq!(esp32c3::SECURE_VERSION.merge(1, &mut [0; 8]), None);
    }
}
