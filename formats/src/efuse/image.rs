//! The eFuse registers as software sees them, and the file in which espefuse's virtual chip keeps them.
//!
//! The file (`espefuse --virt --path-efuse-file F`) is the whole register file, byte-reversed. A read-protected block
//! is zero in it: the file has lost that key. Source: esptool 5.6.0 `espefuse/efuse/emulate_efuse_controller_base.py`.

use super::coding::{Coding, three_quarters};
use super::field::{EfuseBlock, Field};
use super::key_purpose::KeyPurpose;
use super::map::{ChipRevision, EfuseMap, Family};
use crate::chip::Chip;
use core::ops::Deref;

/// Size of the largest register file; that of a chip is [`EfuseMap::image_len`].
pub const IMAGE_LEN: usize = 0x200;

/// The register file of a chip.
#[derive(Clone, PartialEq, Eq)]
pub struct EfuseImage {
    map: EfuseMap,
    registers: [u8; IMAGE_LEN],
}

impl EfuseImage {
    /// A chip on which nothing is burned, not even a MAC.
    #[must_use]
    pub const fn blank(chip: Chip) -> Self {
        Self { map: EfuseMap::of(chip), registers: [0; IMAGE_LEN] }
    }

    /// Reads espefuse's file. The map is that of the revision which the file itself tells.
    ///
    /// # Errors
    /// [`EfuseImageError::Length`].
    pub fn from_virtual_file(chip: Chip, file: &[u8]) -> Result<Self, EfuseImageError> {
        let mut image = Self::blank(chip);
        let expected = image.map.image_len;
        if file.len() != expected {
            return Err(EfuseImageError::Length { expected, got: file.len() });
        }
        image.registers.iter_mut().zip(file.iter().rev()).for_each(|(register, byte)| *register = *byte);
        Ok(image.with_map_of_its_revision())
    }

    /// Reads a register file as it is in memory, lowest address first.
    ///
    /// # Errors
    /// [`EfuseImageError::Length`].
    pub fn from_registers(chip: Chip, registers: &[u8]) -> Result<Self, EfuseImageError> {
        let mut image = Self::blank(chip);
        let expected = image.map.image_len;
        let target = image.registers.get_mut(..expected).filter(|target| target.len() == registers.len());
        target.ok_or(EfuseImageError::Length { expected, got: registers.len() })?.copy_from_slice(registers);
        Ok(image.with_map_of_its_revision())
    }

    /// The same registers by the map of the revision that they tell.
    #[must_use]
    pub fn with_map_of_its_revision(self) -> Self {
        let map = EfuseMap::of_revision(self.map.chip, self.revision());
        Self { map, ..self }
    }

    /// What espefuse's file holds.
    #[must_use]
    pub fn to_virtual_file(&self) -> VirtualFile {
        let mut file = VirtualFile { bytes: [0; IMAGE_LEN], len: self.map.image_len };
        file.bytes.iter_mut().zip(self.registers().iter().rev()).for_each(|(byte, register)| *byte = *register);
        file
    }

    /// The register file, lowest address first.
    #[must_use]
    pub fn registers(&self) -> &[u8] {
        self.registers.get(..self.map.image_len).unwrap_or(&self.registers)
    }

    /// The map by which this is read.
    #[must_use]
    pub const fn map(&self) -> &EfuseMap {
        &self.map
    }

    /// How a block is coded in the cells. What is read here is decoded.
    #[must_use]
    pub fn coding(&self, block: EfuseBlock) -> Coding {
        match (block, self.map.family) {
            (EfuseBlock::SETTINGS, _) => Coding::None,
            (_, Family::Esp32) => Coding::of_esp32(self.value(&super::esp32::CODING_SCHEME)),
            _ => Coding::ReedSolomon,
        }
    }

    /// How many bytes of a block are data: all that can be read, but 24 under the 3/4 coding of the ESP32.
    #[must_use]
    pub fn data_len(&self, block: EfuseBlock) -> Option<usize> {
        let layout = self.map.block(block)?;
        Some(if self.coding(block) == Coding::ThreeQuarters { three_quarters::DATA } else { layout.len() })
    }

    /// The readable data of a block, lowest address first; `None` if there is no such block.
    #[must_use]
    pub fn block(&self, block: EfuseBlock) -> Option<&[u8]> {
        let (start, len) = (self.map.block(block)?.read_offset, self.data_len(block)?);
        self.registers.get(start..start + len)
    }

    /// As [`Self::block`], to be changed: this is an image, not a chip, and knows no protection.
    #[must_use]
    pub fn block_mut(&mut self, block: EfuseBlock) -> Option<&mut [u8]> {
        let (start, len) = (self.map.block(block)?.read_offset, self.data_len(block)?);
        self.registers.get_mut(start..start + len)
    }

    /// Replaces a block. `data` is as long as the block, or 24 bytes of an ESP32 block under the 3/4 coding; `None`, and
    /// nothing changed, if it is not.
    pub fn set_block(&mut self, block: EfuseBlock, data: &[u8]) -> Option<()> {
        let layout = self.map.block(block)?;
        let is_coded = self.map.family == Family::Esp32 && block != EfuseBlock::SETTINGS;
        if data.len() != layout.len() && !(is_coded && data.len() == three_quarters::DATA) {
            return None;
        }
        let target = self.registers.get_mut(layout.read_offset..layout.read_offset + layout.len())?;
        target.fill(0);
        target.get_mut(..data.len())?.copy_from_slice(data);
        Some(())
    }

    /// A 32-bit register that is not a block, by its offset; `None` past the end.
    #[must_use]
    pub fn register(&self, offset: usize) -> Option<u32> {
        let bytes = self.registers().get(offset..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes))
    }

    /// Sets a register; `None` past the end.
    #[must_use]
    pub fn set_register(&mut self, offset: usize, value: u32) -> Option<()> {
        let bytes = self.registers.get_mut(..self.map.image_len)?.get_mut(offset..)?.first_chunk_mut()?;
        *bytes = value.to_le_bytes();
        Some(())
    }

    /// The value of a field of this chip, as the number that its bits spell; 0 if it is hidden.
    ///
    /// # Panics
    /// For a field longer than 32 bits or of another chip: fields are constants, so this is a slip of the pen.
    #[must_use]
    pub fn value(&self, field: &Field) -> u32 {
        let start = self.map.block(field.block).expect("a field of this chip").read_offset;
        let block = self.registers.get(start..).unwrap_or_default();
        field.read(block).expect("a field of up to 32 bits")
    }

    /// The value of a field of any length, lowest byte first; a whole block is as long as its data.
    #[must_use]
    pub fn bytes(&self, field: &Field) -> FieldBytes {
        let block = self.block(field.block).unwrap_or_default();
        let bits = usize::from(field.len).min((8 * block.len()).saturating_sub(usize::from(field.bit)));
        let cut = Field { len: u16::try_from(bits).unwrap_or(0), ..*field };
        FieldBytes { bytes: cut.read_bytes(block).unwrap_or([0; 32]), len: bits.div_ceil(8) }
    }

    /// The value of a field by its name; `None` if this chip has no such field of up to 32 bits.
    #[must_use]
    pub fn value_named(&self, name: &str) -> Option<u32> {
        self.map.field(name).filter(|field| field.len <= 32).map(|field| self.value(field))
    }

    /// True if any bit of the field is set.
    #[must_use]
    pub fn is_set(&self, field: &Field) -> bool {
        self.bytes(field).iter().any(|byte| *byte != 0)
    }

    /// True if software may read the field, all of it.
    #[must_use]
    pub fn is_readable(&self, field: &Field) -> bool {
        self.value(self.map.rd_dis()) & u32::from(field.read_protect_mask) == 0
    }

    /// True if bits of the field can still be burned.
    #[must_use]
    pub fn is_writable(&self, field: &Field) -> bool {
        !self.is_frozen(field.write_protect_bit)
    }

    /// True if software may read the block, all of it.
    #[must_use]
    pub fn is_block_readable(&self, block: EfuseBlock) -> bool {
        let mask = self.map.block(block).map_or(0, |layout| layout.read_protect_mask);
        self.value(self.map.rd_dis()) & u32::from(mask) == 0
    }

    /// True if bits of the block can still be burned; of block 0, it depends on the field.
    #[must_use]
    pub fn is_block_writable(&self, block: EfuseBlock) -> bool {
        !self.is_frozen(self.map.block(block).and_then(|layout| layout.write_protect_bit))
    }

    fn is_frozen(&self, bit: Option<u8>) -> bool {
        bit.is_some_and(|bit| self.value(self.map.wr_dis()) >> bit & 1 == 1)
    }

    /// The purpose of a key block; `None` if it is no key block, or a chip whose key blocks have none.
    #[must_use]
    pub fn key_purpose(&self, block: EfuseBlock) -> Option<KeyPurpose> {
        let (low, high) = self.map.key_purpose_fields(block)?;
        let high = high.map_or(0, |high| self.value(high)).checked_shl(u32::from(low.len))?;
        u8::try_from(high | self.value(low)).ok().map(KeyPurpose)
    }

    /// The factory MAC, in the order in which it is written.
    #[must_use]
    pub fn mac(&self) -> [u8; 6] {
        let field = self.map.field("MAC").map(|field| self.bytes(field));
        let mut mac = field.and_then(|bytes| bytes.first_chunk().copied()).unwrap_or_default();
        mac.reverse();
        mac
    }

    /// The revision of the chip.
    ///
    /// Off-spec: of the ESP32, one bit of the major revision is in no eFuse but in a register of the APB; it is taken
    /// for set, as espefuse's virtual chip has it. So v3 is told as such, and what would be v1 or v2 is v0.
    #[must_use]
    pub fn revision(&self) -> ChipRevision {
        let value = |name| self.value_named(name).and_then(|value| u16::try_from(value).ok()).unwrap_or(0);
        let minor = match self.map.chip {
            Chip::Esp32S2 | Chip::Esp32S3 | Chip::Esp32C3 => {
                value("WAFER_VERSION_MINOR_HI") << 3 | value("WAFER_VERSION_MINOR_LO")
            }
            _ => value("WAFER_VERSION_MINOR"),
        };
        let major = match self.map.chip {
            Chip::Esp32 if value("CHIP_VER_REV1") & value("CHIP_VER_REV2") == 1 => 3,
            Chip::Esp32 => 0,
            Chip::Esp32P4 => value("WAFER_VERSION_MAJOR_HI") << 2 | value("WAFER_VERSION_MAJOR_LO"),
            _ => value("WAFER_VERSION_MAJOR"),
        };
        if self.map.chip == Chip::Esp32S3 && self.is_first_esp32s3(minor) {
            return ChipRevision(0);
        }
        ChipRevision(100 * major + minor)
    }

    /// The first ESP32-S3 used the fields of its revision for something else, under block version v1.1.
    fn is_first_esp32s3(&self, minor: u16) -> bool {
        let version = ["BLK_VERSION_MAJOR", "BLK_VERSION_MINOR"].map(|name| self.value_named(name));
        minor & 7 == 0 && version == [Some(1), Some(1)]
    }
}

impl core::fmt::Debug for EfuseImage {
    /// The settings only: key blocks that are still readable stay out of logs.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("EfuseImage").field("chip", &self.map.chip).field("block0", &self.block(EfuseBlock(0))).finish()
    }
}

/// What espefuse's file holds: as many bytes as the register file of the chip has.
pub struct VirtualFile {
    bytes: [u8; IMAGE_LEN],
    len: usize,
}

impl Deref for VirtualFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }
}

impl AsRef<[u8]> for VirtualFile {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// The value of a field, lowest byte first. It may be a key, so it says nothing of itself.
pub struct FieldBytes {
    bytes: [u8; 32],
    len: usize,
}

impl Deref for FieldBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }
}

/// Why bytes are no eFuse image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EfuseImageError {
    /// The file has another length.
    #[error("eFuse image: {got} bytes, but the register file has {expected}")]
    Length {
        /// What it must be.
        expected: usize,
        /// What it is.
        got: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::efuse::{esp32c3, unary};

    // espefuse v5.6.0 --chip esp32c3 --virt, see vectors/efuse/README.md
    const PRODUCTION: &[u8] = include_bytes!("../../../vectors/efuse/esp32c3-prod.bin");
    const TWO_DIGESTS: &[u8] = include_bytes!("../../../vectors/efuse/esp32c3-sbv2.bin");
    const READABLE_KEY: &[u8] = include_bytes!("../../../vectors/efuse/esp32c3-xts-readable.bin");
    const BITS: &[u8] = include_bytes!("../../../vectors/efuse/esp32c3-bit.bin");
    const DIGEST: &[u8] = include_bytes!("../../../vectors/efuse/digest-rsa3072_a.bin");
    const KEY_FILE: &[u8; 32] = include_bytes!("../../../vectors/efuse/fe_key_256.bin");

    fn image(file: &[u8]) -> EfuseImage {
        EfuseImage::from_virtual_file(Chip::Esp32C3, file).unwrap()
    }

    #[test]
    fn reads_the_settings_of_a_production_burn() {
        let image = image(PRODUCTION);
        for field in [
            esp32c3::SECURE_BOOT_EN,
            esp32c3::DIS_DOWNLOAD_MANUAL_ENCRYPT,
            esp32c3::DIS_DOWNLOAD_ICACHE,
            esp32c3::DIS_PAD_JTAG,
            esp32c3::DIS_USB_JTAG,
            esp32c3::DIS_DIRECT_BOOT,
            esp32c3::SECURE_BOOT_KEY_REVOKE1,
            esp32c3::SECURE_BOOT_KEY_REVOKE2,
            esp32c3::ENABLE_SECURITY_DOWNLOAD,
        ] {
            assert!(image.is_set(&field), "{}", field.name);
        }
        assert!(!image.is_set(&esp32c3::SECURE_BOOT_KEY_REVOKE0));
        assert!(unary::is_odd(image.value(&esp32c3::SPI_BOOT_CRYPT_CNT)));
        assert_eq!(image.value(&esp32c3::SECURE_VERSION), 3);
        assert_eq!(image.value(&esp32c3::RD_DIS), 0b110);
        let purposes = [0, 1, 2, 3].map(|index| image.key_purpose(EfuseBlock::key(index).unwrap()).unwrap());
        let expected =
            [KeyPurpose::SECURE_BOOT_DIGEST0, KeyPurpose::XTS_AES_128_KEY, KeyPurpose::HMAC_UP, KeyPurpose::USER];
        assert_eq!(purposes, expected);
        assert_eq!(image.block(EfuseBlock(5)), Some(&[0; 32][..]), "read-protected keys are zero");
    }

    #[test]
    fn digests_are_stored_forwards_and_flash_keys_backwards() {
        assert_eq!(image(TWO_DIGESTS).block(EfuseBlock(4)), Some(DIGEST));
        let mut key = *KEY_FILE;
        KeyPurpose::XTS_AES_128_KEY.reorder(&mut key);
        assert_eq!(image(READABLE_KEY).block(EfuseBlock(4)), Some(&key[..]));
    }

    #[test]
    fn bits_count_from_the_lowest_address() {
        // burn-bit BLOCK3 0 7 31 255, and 0x80000081 in the log
        let image = image(BITS);
        let block = image.block(EfuseBlock(3)).unwrap();
        let set = (0..256).filter(|bit| block[bit / 8] >> (bit % 8) & 1 == 1);
        assert!(set.eq([0, 7, 31, 255]));
    }

    #[test]
    fn a_file_survives_the_round_trip() {
        for file in [PRODUCTION, TWO_DIGESTS, READABLE_KEY, BITS] {
            assert_eq!(&image(file).to_virtual_file()[..], file);
        }
    }

    #[test]
    fn refuses_other_lengths() {
        let short = EfuseImage::from_virtual_file(Chip::Esp32C3, &[0; 288]);
        assert_eq!(short, Err(EfuseImageError::Length { expected: 512, got: 288 }));
        let long = EfuseImage::from_registers(Chip::Esp32, &[0; 512]);
        assert_eq!(long, Err(EfuseImageError::Length { expected: 288, got: 512 }));
    }

    #[test]
    fn the_revision_picks_the_map() {
        let mut wide = EfuseImage::blank(Chip::Esp32P4);
        wide.block_mut(EfuseBlock(1)).unwrap()[8] = 0x30;
        let wide = EfuseImage::from_registers(Chip::Esp32P4, wide.registers()).unwrap();
        assert_eq!(wide.revision(), ChipRevision(300));
        assert!(wide.map().field("KEY_PURPOSE_0_H").is_some());
    }
}
