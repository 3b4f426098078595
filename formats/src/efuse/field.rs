//! Blocks and fields of eFuses: runs of bits with a name.

use core::fmt;

/// The number of an eFuse block. Block 0 holds the settings; on chips with eleven blocks 4..=9 hold the keys 0..=5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EfuseBlock(pub u8);

impl EfuseBlock {
    /// Block 0: repeat-coded in hardware, any bit can be burned at any time.
    pub const SETTINGS: Self = Self(0);
    /// Block 1: the factory MAC and more, on chips with eleven blocks.
    pub const MAC: Self = Self(1);
    /// How many key blocks there are on chips with eleven blocks.
    pub const KEYS: u8 = 6;

    /// The block of key `index`, 0..=5, of a chip with eleven blocks. For any chip: [`super::EfuseMap::key_block`].
    #[must_use]
    pub const fn key(index: u8) -> Option<Self> {
        if index < Self::KEYS { Some(Self(4 + index)) } else { None }
    }

    /// Which key this block holds on a chip with eleven blocks, 0..=5; `None` if it is no key block.
    /// For any chip: [`super::EfuseMap::key_index`].
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

/// Where a block is read and written, and which bits protect it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockLayout {
    /// Espressif's name.
    pub name: &'static str,
    /// Other names that espefuse takes.
    pub alternates: &'static [&'static str],
    /// Offset of its first word in the register image.
    pub read_offset: usize,
    /// Offset of the first register into which its words are written: shared by all blocks but on the ESP32.
    pub write_offset: usize,
    /// Its readable length in 32-bit words.
    pub words: usize,
    /// The bit of `WR_DIS` that freezes the whole block.
    pub write_protect_bit: Option<u8>,
    /// The bits of `RD_DIS` that hide it; two of them on the ESP32-C2, for the low and the high half.
    pub read_protect_mask: u8,
}

impl BlockLayout {
    /// In the order of the columns of espefuse's tables.
    pub(super) const fn new(
        name: &'static str,
        alternates: &'static [&'static str],
        read_offset: usize,
        write_offset: usize,
        words: usize,
        write_protect_bit: Option<u8>,
        read_protect_mask: u8,
    ) -> Self {
        Self { name, alternates, read_offset, write_offset, words, write_protect_bit, read_protect_mask }
    }

    /// Readable length in bytes, without regard to coding.
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
    /// The bits of `RD_DIS` that hide it.
    pub read_protect_mask: u8,
    /// Espressif keeps it to itself: espefuse neither shows nor burns it by name.
    pub reserved: bool,
}

impl Field {
    /// A field from bit 0 of its block on.
    pub(super) const fn whole(
        name: &'static str,
        alternates: &'static [&'static str],
        block: EfuseBlock,
        len: u16,
        write_protect_bit: u8,
        read_protect_mask: u8,
    ) -> Self {
        let write_protect_bit = Some(write_protect_bit);
        Self { name, alternates, block, bit: 0, len, write_protect_bit, read_protect_mask, reserved: false }
    }

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

    /// Reads a field of any length, lowest bit first, the rest zero; `None` if the block is too short.
    #[must_use]
    pub fn read_bytes(&self, block: &[u8]) -> Option<[u8; 32]> {
        let mut value = [0; 32];
        for index in 0..usize::from(self.len) {
            let bit = usize::from(self.bit) + index;
            let set = block.get(bit / 8)? >> (bit % 8) & 1;
            *value.get_mut(index / 8)? |= set << (index % 8);
        }
        Some(value)
    }

    /// Sets the bits of `value` in the bytes of the field's block; nothing is ever cleared.
    /// `None`, and nothing set, if the value or the block does not fit.
    #[must_use]
    pub fn merge(&self, value: u32, block: &mut [u8]) -> Option<()> {
        self.merge_bytes(&value.to_le_bytes(), block)
    }

    /// As [`Self::merge`] for a value of any length, lowest byte first.
    #[must_use]
    pub fn merge_bytes(&self, value: &[u8], block: &mut [u8]) -> Option<()> {
        let set = |index: usize| value.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1);
        let len = usize::from(self.len);
        if usize::from(self.bit) + len > 8 * block.len() || (len..8 * value.len()).any(set) {
            return None;
        }
        for index in (0..len).filter(|&index| set(index)) {
            let bit = usize::from(self.bit) + index;
            *block.get_mut(bit / 8)? |= 1 << (bit % 8);
        }
        Some(())
    }

    /// All bits of the field set; of a longer field, the lowest 32.
    #[must_use]
    pub const fn all_ones(&self) -> u32 {
        if self.len >= 32 { u32::MAX } else { (1 << self.len) - 1 }
    }

    /// True if espefuse takes the value of this field as a string of bytes, and not as a number.
    #[must_use]
    pub fn is_bytes(&self) -> bool {
        self.len > 32 || self.name == "MAC_EXT"
    }
}

/// Declares the fields of a chip as constants and as the table `FIELDS`; the rows are explained where it is used.
macro_rules! fields {
    (@bit _) => { None };
    (@bit $bit:literal) => { Some($bit) };
    (@mask _) => { 0 };
    (@mask both) => { 0b11 };
    (@mask $bit:literal) => { 1 << $bit };
    (@alternates [$($alternate:ident)*]) => { &[$(stringify!($alternate)),*] };
    (@alternates {$($alternate:ident)*}) => { &[$(stringify!($alternate)),*] };
    (@reserved [$($alternate:ident)*]) => { false };
    (@reserved {$($alternate:ident)*}) => { true };
    ($($name:ident $block:literal $bit:literal +$len:literal W $write:tt R $read:tt $alternates:tt)*) => {
        $(
            #[doc = concat!("`", stringify!($name), "`: block ", $block, ", bit ", $bit, ", ", $len, " bits.")]
            pub const $name: Field = Field {
                name: stringify!($name),
                alternates: fields!(@alternates $alternates),
                block: EfuseBlock($block),
                bit: $bit,
                len: $len,
                write_protect_bit: fields!(@bit $write),
                read_protect_mask: fields!(@mask $read),
                reserved: fields!(@reserved $alternates),
            };
        )*
        /// All fields, in order of block and bit.
        pub static FIELDS: &[Field] = &[$($name),*];
    };
}
pub(super) use fields;

#[cfg(test)]
mod tests {
    use crate::efuse::esp32c3;

    #[test]
    fn merging_sets_exactly_the_bits_of_the_field() {
        for field in esp32c3::FIELDS.iter().filter(|field| field.len <= 32) {
            let mut block = [0; 32];
            field.merge(field.all_ones(), &mut block).unwrap();
            assert_eq!(field.read(&block), Some(field.all_ones()), "{}", field.name);
            assert_eq!(block.iter().map(|byte| byte.count_ones()).sum::<u32>(), u32::from(field.len));
        }
    }

    #[test]
    fn long_values_come_back_as_they_were_merged() {
        let mut block = [0; 32];
        esp32c3::CUSTOM_MAC.merge_bytes(&[1, 2, 3, 4, 5, 6], &mut block).unwrap();
        assert_eq!(block[25..31], [1, 2, 3, 4, 5, 6]);
        assert_eq!(esp32c3::CUSTOM_MAC.read_bytes(&block).unwrap()[..7], [1, 2, 3, 4, 5, 6, 0]);
    }

    #[test]
    fn refuses_values_that_do_not_fit() {
        let mut block = [0; 24];
        assert_eq!(esp32c3::SPI_BOOT_CRYPT_CNT.merge(8, &mut block), None);
        assert_eq!(esp32c3::CUSTOM_MAC.merge_bytes(&[0; 7], &mut block), None);
        assert_eq!(block, [0; 24]);
        assert_eq!(esp32c3::BLOCK_KEY0.read(&[0; 32]), None);
        assert_eq!(esp32c3::SECURE_VERSION.merge(1, &mut [0; 8]), None);
    }
}
