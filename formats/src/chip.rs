//! Which chip: a value, never a Cargo feature, with the constants that the formats need.
//!
//! Source: esptool 5.6.0 `esptool/targets/*.py`, ESP-IDF 6.2-dev `soc_caps.h`.

use crate::addr::FlashAddr;
use core::fmt;
use core::ops::Range;

/// A member of the ESP32 family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Chip {
    Esp32,
    Esp32S2,
    Esp32S3,
    Esp32C2,
    Esp32C3,
    Esp32C5,
    Esp32C6,
    Esp32C61,
    Esp32H2,
    Esp32H21,
    Esp32H4,
    Esp32P4,
    Esp32S31,
}

impl Chip {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 13] = [
        Self::Esp32,
        Self::Esp32S2,
        Self::Esp32S3,
        Self::Esp32C2,
        Self::Esp32C3,
        Self::Esp32C5,
        Self::Esp32C6,
        Self::Esp32C61,
        Self::Esp32H2,
        Self::Esp32H21,
        Self::Esp32H4,
        Self::Esp32P4,
        Self::Esp32S31,
    ];

    /// Lower-case name without dashes, as esptool spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The chip whose [`Self::name`] this is.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|chip| chip.name() == name)
    }

    /// Chip id in the image header (offset 12).
    #[doc(alias = "esp_chip_id_t")]
    #[must_use]
    pub const fn image_chip_id(self) -> u16 {
        self.row().image_chip_id
    }

    /// The chip with that id in the image header.
    #[must_use]
    pub fn from_image_chip_id(id: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|chip| chip.image_chip_id() == id)
    }

    /// Where the ROM looks for the second stage.
    #[doc(alias = "CONFIG_BOOTLOADER_OFFSET_IN_FLASH")]
    #[must_use]
    pub const fn bootloader_offset(self) -> FlashAddr {
        FlashAddr(self.row().bootloader_offset)
    }

    /// CPU addresses of instructions mapped from flash.
    #[must_use]
    pub const fn irom(self) -> Range<u32> {
        self.row().irom.0..self.row().irom.1
    }

    /// CPU addresses of constants mapped from flash.
    #[must_use]
    pub const fn drom(self) -> Range<u32> {
        self.row().drom.0..self.row().drom.1
    }

    /// True if a CPU address is mapped from flash rather than loaded into RAM.
    #[must_use]
    pub fn maps_from_flash(self, address: u32) -> bool {
        self.irom().contains(&address) || self.drom().contains(&address)
    }

    const fn row(self) -> Row {
        match self {
            Self::Esp32 => Row::new("esp32", 0, 0x1000, (0x400d_0000, 0x4040_0000), (0x3f40_0000, 0x3f80_0000)),
            Self::Esp32S2 => Row::new("esp32s2", 2, 0x1000, (0x4008_0000, 0x40b8_0000), (0x3f00_0000, 0x3f3f_0000)),
            Self::Esp32S3 => Row::new("esp32s3", 9, 0, (0x4200_0000, 0x4400_0000), (0x3c00_0000, 0x3e00_0000)),
            Self::Esp32C2 => Row::new("esp32c2", 12, 0, (0x4200_0000, 0x4240_0000), (0x3c00_0000, 0x3c40_0000)),
            Self::Esp32C3 => Row::new("esp32c3", 5, 0, (0x4200_0000, 0x4280_0000), (0x3c00_0000, 0x3c80_0000)),
            Self::Esp32C5 => Row::new("esp32c5", 23, 0x2000, (0x4200_0000, 0x4400_0000), (0x4200_0000, 0x4400_0000)),
            Self::Esp32C6 => Row::new("esp32c6", 13, 0, (0x4200_0000, 0x4280_0000), (0x4280_0000, 0x4300_0000)),
            Self::Esp32C61 => Row::new("esp32c61", 20, 0, (0x4200_0000, 0x4280_0000), (0x4280_0000, 0x4300_0000)),
            Self::Esp32H2 => Row::new("esp32h2", 16, 0, (0x4200_0000, 0x4280_0000), (0x4280_0000, 0x4300_0000)),
            Self::Esp32H21 => Row::new("esp32h21", 25, 0, (0x4200_0000, 0x4300_0000), (0x4200_0000, 0x4300_0000)),
            Self::Esp32H4 => Row::new("esp32h4", 28, 0x2000, (0x4200_0000, 0x4400_0000), (0x4200_0000, 0x4400_0000)),
            Self::Esp32P4 => Row::new("esp32p4", 18, 0x2000, (0x4000_0000, 0x4c00_0000), (0x4000_0000, 0x4c00_0000)),
            Self::Esp32S31 => Row::new("esp32s31", 32, 0x2000, (0x4000_0000, 0x5400_0000), (0x4000_0000, 0x5400_0000)),
        }
    }
}

impl fmt::Display for Chip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

struct Row {
    name: &'static str,
    image_chip_id: u16,
    bootloader_offset: u32,
    irom: (u32, u32),
    drom: (u32, u32),
}

impl Row {
    const fn new(
        name: &'static str,
        image_chip_id: u16,
        bootloader_offset: u32,
        irom: (u32, u32),
        drom: (u32, u32),
    ) -> Self {
        Self { name, image_chip_id, bootloader_offset, irom, drom }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_find_their_chip() {
        for chip in Chip::ALL {
            assert_eq!(Chip::from_name(chip.name()), Some(chip));
            assert_eq!(Chip::from_image_chip_id(chip.image_chip_id()), Some(chip));
        }
        assert_eq!(Chip::from_name("esp8266"), None);
    }
}
