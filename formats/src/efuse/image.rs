//! The eFuse registers as software sees them, and the file in which espefuse's virtual chip keeps them.
//!
//! The file (`espefuse --virt --path-efuse-file F`) is the whole register file, byte-reversed. A read-protected block
//! is zero in it: the file has lost that key. Source: esptool 5.6.0 `espefuse/efuse/emulate_efuse_controller_base.py`.

use super::field::{EfuseBlock, EfuseMap, Field};
use super::key_purpose::KeyPurpose;
use crate::chip::Chip;

/// Size of the register file, and of espefuse's file.
#[doc(alias = "EFUSE_MEM_SIZE")]
pub const IMAGE_LEN: usize = 0x200;

/// The register file of a chip with eleven blocks.
#[derive(Clone, PartialEq, Eq)]
pub struct EfuseImage {
    map: EfuseMap,
    registers: [u8; IMAGE_LEN],
}

impl EfuseImage {
    /// A chip on which nothing is burned, not even a MAC.
    ///
    /// # Errors
    /// [`EfuseImageError::Unmapped`] for a chip without an [`EfuseMap`].
    pub const fn blank(chip: Chip) -> Result<Self, EfuseImageError> {
        match EfuseMap::of(chip) {
            Some(map) => Ok(Self { map, registers: [0; IMAGE_LEN] }),
            None => Err(EfuseImageError::Unmapped { chip }),
        }
    }

    /// Reads espefuse's file.
    ///
    /// # Errors
    /// [`EfuseImageError`] if the file has another length or the chip no map.
    pub fn from_virtual_file(chip: Chip, file: &[u8]) -> Result<Self, EfuseImageError> {
        let mut image = Self::blank(chip)?;
        if file.len() != IMAGE_LEN {
            return Err(EfuseImageError::Length { expected: IMAGE_LEN, got: file.len() });
        }
        image.registers.copy_from_slice(file);
        image.registers.reverse();
        Ok(image)
    }

    /// What espefuse's file holds.
    #[must_use]
    pub fn to_virtual_file(&self) -> [u8; IMAGE_LEN] {
        let mut file = self.registers;
        file.reverse();
        file
    }

    /// The map by which this is read.
    #[must_use]
    pub const fn map(&self) -> &EfuseMap {
        &self.map
    }

    /// The readable bytes of a block, lowest address first; `None` if there is no such block.
    #[must_use]
    pub fn block(&self, block: EfuseBlock) -> Option<&[u8]> {
        let layout = self.map.block(block)?;
        self.registers.get(layout.read_offset..layout.read_offset + layout.len())
    }

    /// As [`Self::block`], to be changed: this is an image, not a chip, and knows no protection.
    #[must_use]
    pub fn block_mut(&mut self, block: EfuseBlock) -> Option<&mut [u8]> {
        let layout = self.map.block(block)?;
        self.registers.get_mut(layout.read_offset..layout.read_offset + layout.len())
    }

    /// A 32-bit register that is not a block, by its offset; `None` past the end.
    #[must_use]
    pub fn register(&self, offset: usize) -> Option<u32> {
        let bytes = self.registers.get(offset..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes))
    }

    /// Sets a register; `None` past the end.
    #[must_use]
    pub fn set_register(&mut self, offset: usize, value: u32) -> Option<()> {
        let bytes = self.registers.get_mut(offset..)?.first_chunk_mut()?;
        *bytes = value.to_le_bytes();
        Some(())
    }

    /// The value of a field of this chip, as the number that its bits spell; 0 if it is hidden.
    ///
    /// # Panics
    /// For a field longer than 32 bits or of another chip: fields are constants, so this is a slip of the pen.
    #[must_use]
    pub fn value(&self, field: &Field) -> u32 {
        let block = self.block(field.block).expect("a field of this chip");
        field.read(block).expect("a field of up to 32 bits")
    }

    /// True if any bit of the field is set.
    #[must_use]
    pub fn is_set(&self, field: &Field) -> bool {
        self.value(field) != 0
    }

    /// The purpose of a key block; `None` if it is no key block.
    #[must_use]
    pub fn key_purpose(&self, block: EfuseBlock) -> Option<KeyPurpose> {
        let index = usize::from(block.key_index()?);
        let field = super::esp32c3::KEY_PURPOSES.get(index)?;
        Some(KeyPurpose(self.value(field).to_le_bytes()[0]))
    }

    /// The factory MAC, in the order in which it is written.
    #[must_use]
    pub fn mac(&self) -> [u8; 6] {
        let mut mac = [0; 6];
        let block = self.block(EfuseBlock::MAC).and_then(|block| block.first_chunk::<6>());
        if let Some(stored) = block {
            mac = *stored;
            mac.reverse();
        }
        mac
    }
}

impl core::fmt::Debug for EfuseImage {
    /// The settings only: key blocks that are still readable stay out of logs.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("EfuseImage").field("chip", &self.map.chip).field("block0", &self.block(EfuseBlock(0))).finish()
    }
}

/// Why bytes are no eFuse image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EfuseImageError {
    /// The eFuses of this chip are not mapped yet.
    #[error("eFuse image: no map of the eFuses of {chip}")]
    Unmapped {
        /// Which one.
        chip: Chip,
    },
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
    fn refuses_other_lengths_and_unmapped_chips() {
        let short = EfuseImage::from_virtual_file(Chip::Esp32C3, &[0; 288]);
        assert_eq!(short, Err(EfuseImageError::Length { expected: 512, got: 288 }));
        assert_eq!(EfuseImage::blank(Chip::Esp32), Err(EfuseImageError::Unmapped { chip: Chip::Esp32 }));
    }
}
