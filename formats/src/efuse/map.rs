//! The eFuse map of a chip: its blocks and fields, which of them protect which, and where the keys go.
//!
//! Source: esptool 5.6.0 `espefuse/efuse/<chip>/{mem_definition,fields}.py`.

use super::field::{BlockLayout, EfuseBlock, Field};
use super::key_purpose::{KeyPurpose, Purpose, PurposeValue};
use super::{
    esp32, esp32c2, esp32c3, esp32c5, esp32c6, esp32c61, esp32h2, esp32h4, esp32h21, esp32p4, esp32p4_v3, esp32s2,
    esp32s3, esp32s31, key_purpose,
};
use crate::chip::Chip;
use core::fmt;

/// The revision of a chip: 100 times the major one plus the minor one, as image headers count it.
#[doc(alias = "efuse_hal_chip_revision")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ChipRevision(pub u16);

impl fmt::Display for ChipRevision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}", self.0 / 100, self.0 % 100)
    }
}

/// How the blocks of a chip are laid out, written and coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// ESP32: four blocks with write registers of their own, coded as the field `CODING_SCHEME` says.
    Esp32,
    /// ESP32-C2: four blocks, RS-coded but for block 0, one key block of two halves.
    Esp32C2,
    /// All others: eleven blocks (ten on the ESP32-S31), RS-coded but for block 0.
    Many,
}

/// Everything known about the eFuses of one chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EfuseMap {
    /// Which chip.
    pub chip: Chip,
    /// How its blocks work.
    pub family: Family,
    /// Size in bytes of the register file, and of espefuse's file.
    #[doc(alias = "EFUSE_MEM_SIZE")]
    pub image_len: usize,
    /// Blocks, in order of their number.
    pub blocks: &'static [BlockLayout],
    /// Fields, in order of block and bit.
    pub fields: &'static [Field],
    /// Further fields that lie over those: halves and wholes of blocks, and bits that only some revisions have.
    pub views: &'static [Field],
    /// What a key can be burned for.
    pub purposes: &'static [Purpose],
    /// The `KEY_PURPOSE_n` fields, in order of the key blocks; empty on the ESP32 and ESP32-C2.
    pub key_purposes: &'static [Field],
    /// The fields of their fifth bits, where those are apart (ESP32-P4 from v3.0).
    pub key_purposes_high: &'static [Field],
    /// `SECURE_BOOT_KEY_REVOKE0` to `2`; empty on the ESP32 and ESP32-C2.
    pub key_revokes: &'static [Field],
}

impl EfuseMap {
    /// The map of a chip of unknown revision: that of its first one, which is also what espefuse takes a blank file for.
    #[must_use]
    pub const fn of(chip: Chip) -> Self {
        Self::of_revision(chip, ChipRevision(0))
    }

    /// The map of a chip of a revision. Only those of the ESP32-H2 (v1.2) and ESP32-P4 (v3.0) differ.
    #[must_use]
    pub const fn of_revision(chip: Chip, revision: ChipRevision) -> Self {
        macro_rules! many {
            ($module:ident, $purposes:ident) => {
                Self {
                    chip,
                    family: Family::Many,
                    image_len: 0x200,
                    blocks: &ELEVEN,
                    fields: $module::FIELDS,
                    views: &USER_BLOCK,
                    purposes: key_purpose::$purposes,
                    key_purposes: &$module::KEY_PURPOSES,
                    key_purposes_high: &[],
                    key_revokes: &$module::KEY_REVOKES,
                }
            };
        }
        macro_rules! four {
            ($module:ident, $family:ident, $len:literal, $purposes:ident) => {
                Self {
                    chip,
                    family: Family::$family,
                    image_len: $len,
                    blocks: &$module::BLOCKS,
                    fields: $module::FIELDS,
                    views: &$module::VIEWS,
                    purposes: key_purpose::$purposes,
                    key_purposes: &[],
                    key_purposes_high: &[],
                    key_revokes: &[],
                }
            };
        }
        match chip {
            Chip::Esp32 => four!(esp32, Esp32, 0x120, ESP32),
            Chip::Esp32C2 => four!(esp32c2, Esp32C2, 0x200, ESP32C2),
            Chip::Esp32S2 => many!(esp32s2, ESP32S),
            Chip::Esp32S3 => many!(esp32s3, ESP32S),
            Chip::Esp32C3 => many!(esp32c3, ESP32C3),
            Chip::Esp32C5 => many!(esp32c5, ESP32C5),
            Chip::Esp32C6 => many!(esp32c6, ESP32C3),
            Chip::Esp32C61 => many!(esp32c61, ESP32C61),
            Chip::Esp32H2 if revision.0 <= 101 => Self { views: &ESP32H2_TO_V1_1, ..many!(esp32h2, ESP32H2) },
            Chip::Esp32H2 => many!(esp32h2, ESP32H2),
            Chip::Esp32H21 => Self { blocks: &ELEVEN_READABLE_LAST, ..many!(esp32h21, ESP32H2) },
            Chip::Esp32H4 => many!(esp32h4, ESP32H4),
            Chip::Esp32P4 if revision.0 < 300 => many!(esp32p4, ESP32P4),
            Chip::Esp32P4 => Self { key_purposes_high: &esp32p4_v3::KEY_PURPOSES_HIGH, ..many!(esp32p4_v3, ESP32P4) },
            Chip::Esp32S31 => Self { blocks: &esp32s31::BLOCKS, ..many!(esp32s31, ESP32S31) },
        }
    }

    /// A field by any of its names, reserved ones too. A name of a whole block means the whole block.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        let mut fields = self.views.iter().chain(self.fields);
        fields.find(|field| field.name == name || field.alternates.contains(&name))
    }

    /// The field that freezes others.
    ///
    /// # Panics
    /// Never: every map has it.
    #[must_use]
    pub fn wr_dis(&self) -> &'static Field {
        self.field("WR_DIS").expect("every map has WR_DIS")
    }

    /// The field that hides others.
    ///
    /// # Panics
    /// Never: every map has it.
    #[must_use]
    pub fn rd_dis(&self) -> &'static Field {
        self.field("RD_DIS").expect("every map has RD_DIS")
    }

    /// The layout of a block.
    #[must_use]
    pub fn block(&self, block: EfuseBlock) -> Option<&'static BlockLayout> {
        self.blocks.get(usize::from(block.0))
    }

    /// A block by any of its names: `BLOCK_KEY0`, `BLOCK4`.
    #[must_use]
    pub fn block_named(&self, name: &str) -> Option<EfuseBlock> {
        let numbers = (0..=u8::MAX).map(EfuseBlock);
        let mut blocks = numbers.zip(self.blocks);
        blocks.find(|(_, layout)| layout.name == name || layout.alternates.contains(&name)).map(|(block, _)| block)
    }

    /// The numbers of all blocks.
    pub fn block_numbers(&self) -> impl DoubleEndedIterator<Item = EfuseBlock> + use<> {
        (0..u8::try_from(self.blocks.len()).unwrap_or(0)).map(EfuseBlock)
    }

    /// The first key block and how many there are.
    const fn keys(&self) -> (u8, u8) {
        match (self.family, self.chip) {
            (Family::Esp32, _) => (1, 3),
            (Family::Esp32C2, _) => (3, 1),
            (Family::Many, Chip::Esp32S31) => (4, 5),
            (Family::Many, _) => (4, EfuseBlock::KEYS),
        }
    }

    /// The block of key `index`: blocks 1 to 3 on the ESP32, block 3 on the ESP32-C2, from block 4 on elsewhere.
    #[must_use]
    pub const fn key_block(&self, index: u8) -> Option<EfuseBlock> {
        let (first, count) = self.keys();
        if index < count { Some(EfuseBlock(first + index)) } else { None }
    }

    /// Which key a block holds; `None` if it is no key block.
    #[must_use]
    pub const fn key_index(&self, block: EfuseBlock) -> Option<u8> {
        let (first, count) = self.keys();
        if block.0 >= first && block.0 < first + count { Some(block.0 - first) } else { None }
    }

    /// All key blocks, in order.
    pub fn key_blocks(&self) -> impl DoubleEndedIterator<Item = EfuseBlock> + use<> {
        let (first, count) = self.keys();
        (first..first + count).map(EfuseBlock)
    }

    /// The field that says what a key block is for, and that of its fifth bit if this is apart.
    #[must_use]
    pub fn key_purpose_fields(&self, block: EfuseBlock) -> Option<(&'static Field, Option<&'static Field>)> {
        let index = usize::from(self.key_index(block)?);
        Some((self.key_purposes.get(index)?, self.key_purposes_high.get(index)))
    }

    /// The purpose that espefuse calls so, if this chip has it; `CUSTOM_n` and `CUSTOM_DIGEST_n` too.
    #[must_use]
    pub fn purpose_named(&self, name: &str) -> Option<Purpose> {
        let listed = self.purposes.iter().find(|purpose| purpose.name == name).copied();
        let is_free =
            |custom: &Purpose| name.ends_with("_MAX") || !self.purposes.iter().any(|p| p.value == custom.value);
        listed.or_else(|| Purpose::custom(name).filter(|custom| self.has_custom_purposes() && is_free(custom)))
    }

    /// What this chip calls the value of a key purpose; `None` if it gives it no meaning.
    #[must_use]
    pub fn purpose(&self, value: KeyPurpose) -> Option<&'static Purpose> {
        self.purposes.iter().find(|purpose| purpose.value == PurposeValue::Burned(value))
    }

    /// The registers that tell coding errors, by offset, in espefuse's order.
    #[must_use]
    pub const fn error_registers(&self) -> &'static [usize] {
        match self.chip {
            Chip::Esp32 => &[0x11c],
            Chip::Esp32C2 => &[0x080, 0x084],
            Chip::Esp32S2 | Chip::Esp32S3 | Chip::Esp32C3 | Chip::Esp32C6 => {
                &[0x17c, 0x180, 0x184, 0x188, 0x190, 0x1c0, 0x1c4]
            }
            Chip::Esp32H2 | Chip::Esp32P4 => &[0x17c, 0x180, 0x184, 0x188, 0x18c, 0x1c0, 0x1c4],
            Chip::Esp32C5 | Chip::Esp32C61 | Chip::Esp32H21 | Chip::Esp32H4 => {
                &[0x17c, 0x180, 0x184, 0x188, 0x18c, 0x190, 0x194]
            }
            Chip::Esp32S31 => &[0x168, 0x16c, 0x170, 0x174, 0x178, 0x17c, 0x180, 0x184, 0x188, 0x18c],
        }
    }

    /// True if espefuse also takes unassigned values, as `CUSTOM_n`.
    #[must_use]
    pub const fn has_custom_purposes(&self) -> bool {
        matches!(self.chip, Chip::Esp32C5 | Chip::Esp32H4 | Chip::Esp32P4 | Chip::Esp32S31)
    }

    /// True if the last key block cannot hold a key of a purpose whose name begins with `XTS_AES`.
    #[doc(alias = "SOC_EFUSE_BLOCK9_KEY_PURPOSE_QUIRK")]
    #[must_use]
    pub const fn has_key5_quirk(&self) -> bool {
        matches!(self.chip, Chip::Esp32C3 | Chip::Esp32C6 | Chip::Esp32H2 | Chip::Esp32H4 | Chip::Esp32S3)
    }
}

/// The blocks of most chips.
pub static ELEVEN: [BlockLayout; 11] = eleven(1 << 6);

/// The same where the last block cannot be hidden (ESP32-H21).
static ELEVEN_READABLE_LAST: [BlockLayout; 11] = eleven(0);

const fn eleven(last_read_protect_mask: u8) -> [BlockLayout; 11] {
    [
        BlockLayout::new("BLOCK0", &[], 0x02c, 0, 6, None, 0),
        BlockLayout::new("MAC_SPI_8M_0", &["BLOCK1"], 0x044, 0, 6, Some(20), 0),
        BlockLayout::new("BLOCK_SYS_DATA", &["BLOCK2"], 0x05c, 0, 8, Some(21), 0),
        BlockLayout::new("BLOCK_USR_DATA", &["BLOCK3"], 0x07c, 0, 8, Some(22), 0),
        BlockLayout::new("BLOCK_KEY0", &["BLOCK4"], 0x09c, 0, 8, Some(23), 1),
        BlockLayout::new("BLOCK_KEY1", &["BLOCK5"], 0x0bc, 0, 8, Some(24), 1 << 1),
        BlockLayout::new("BLOCK_KEY2", &["BLOCK6"], 0x0dc, 0, 8, Some(25), 1 << 2),
        BlockLayout::new("BLOCK_KEY3", &["BLOCK7"], 0x0fc, 0, 8, Some(26), 1 << 3),
        BlockLayout::new("BLOCK_KEY4", &["BLOCK8"], 0x11c, 0, 8, Some(27), 1 << 4),
        BlockLayout::new("BLOCK_KEY5", &["BLOCK9"], 0x13c, 0, 8, Some(28), 1 << 5),
        BlockLayout::new("BLOCK_SYS_DATA2", &["BLOCK10"], 0x15c, 0, 8, Some(29), last_read_protect_mask),
    ]
}

const WHOLE_USER_BLOCK: Field = Field::whole("BLOCK_USR_DATA", &["USER_DATA"], EfuseBlock(3), 256, 22, 0);
static USER_BLOCK: [Field; 1] = [WHOLE_USER_BLOCK];
static ESP32H2_TO_V1_1: [Field; 2] = [WHOLE_USER_BLOCK, esp32h2::ECDSA_FORCE_USE_HARDWARE_K];

#[cfg(test)]
mod tests {
    use super::*;

    fn maps() -> impl Iterator<Item = EfuseMap> {
        let later = [(Chip::Esp32H2, 102), (Chip::Esp32P4, 300)];
        let later = later.map(|(chip, revision)| EfuseMap::of_revision(chip, ChipRevision(revision)));
        Chip::ALL.into_iter().map(EfuseMap::of).chain(later)
    }

    #[test]
    fn fields_are_found_by_any_name() {
        let map = EfuseMap::of(Chip::Esp32C3);
        assert_eq!(map.field("SECURE_VERSION"), Some(&esp32c3::SECURE_VERSION));
        assert_eq!(map.field("KEY0_PURPOSE"), Some(&esp32c3::KEY_PURPOSE_0));
        assert_eq!(map.field("ABS_DONE_1"), None);
        assert_eq!(map.block_named("BLOCK4"), map.block_named("BLOCK_KEY0"));
        assert_eq!(EfuseMap::of(Chip::Esp32).block_named("secure_boot_v2"), Some(EfuseBlock(2)));
    }

    #[test]
    fn fields_stay_inside_their_block_and_do_not_overlap() {
        for map in maps() {
            for pair in map.fields.windows(2) {
                let [a, b] = pair else { unreachable!("windows of two") };
                let apart = a.block < b.block || (a.block == b.block && a.bit + a.len <= b.bit);
                assert!(apart, "{}: {} and {}", map.chip, a.name, b.name);
            }
            for field in map.fields.iter().chain(map.views) {
                let block = map.block(field.block).unwrap();
                assert!(usize::from(field.bit + field.len) <= 8 * block.len(), "{}: {}", map.chip, field.name);
                assert!(field.write_protect_bit.is_none_or(|bit| u16::from(bit) < map.wr_dis().len), "{}", field.name);
                assert!(u32::from(field.read_protect_mask) <= map.rd_dis().all_ones(), "{}", field.name);
            }
        }
    }

    #[test]
    fn every_field_has_names_of_its_own() {
        for map in maps() {
            for field in map.fields {
                let names = core::iter::once(&field.name).chain(field.alternates);
                for name in names {
                    let same = map.fields.iter().filter(|other| other.name == *name || other.alternates.contains(name));
                    assert_eq!(same.count(), 1, "{}: {name}", map.chip);
                }
            }
        }
    }

    #[test]
    fn blocks_do_not_overlap_and_end_before_the_register_file_does() {
        for map in maps() {
            for pair in map.blocks.windows(2) {
                assert!(pair[0].read_offset + pair[0].len() <= pair[1].read_offset, "{}: {}", map.chip, pair[1].name);
            }
            let last = map.blocks.last().unwrap();
            assert!(last.read_offset + last.len() <= map.image_len, "{}", map.chip);
        }
    }

    #[test]
    fn key_blocks_have_a_purpose_each() {
        for map in maps().filter(|map| map.family == Family::Many) {
            assert_eq!(map.key_blocks().count(), map.key_purposes.len(), "{}", map.chip);
            for block in map.key_blocks() {
                assert_eq!(map.key_block(map.key_index(block).unwrap()), Some(block));
                let layout = map.block(block).unwrap();
                assert!(layout.name.starts_with("BLOCK_KEY"), "{}: {}", map.chip, layout.name);
            }
        }
    }

    #[test]
    fn later_revisions_have_other_fields() {
        assert!(EfuseMap::of(Chip::Esp32H2).field("ECDSA_FORCE_USE_HARDWARE_K").is_some());
        let later = EfuseMap::of_revision(Chip::Esp32H2, ChipRevision(102));
        assert_eq!(later.field("ECDSA_FORCE_USE_HARDWARE_K"), None);
        let wide = EfuseMap::of_revision(Chip::Esp32P4, ChipRevision(300));
        assert_eq!(wide.field("KEY_PURPOSE_5_H").unwrap().bit, 164);
        assert_eq!(EfuseMap::of(Chip::Esp32P4).field("KEY_PURPOSE_5_H"), None);
    }
}
