//! The image header and the flash settings in it.
//!
//! Source: ESP-IDF 6.2-dev `esp_app_format.h`; frequency codes as esptool 5.6.0 writes them.

use crate::chip::Chip;
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The first 24 bytes of an image.
#[doc(alias = "esp_image_header_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct ImageHeader {
    /// [`Self::MAGIC`].
    pub magic: u8,
    /// Padding segments included.
    pub segment_count: u8,
    /// How the ROM reads the flash.
    pub flash_mode: FlashMode,
    /// Low nibble: frequency code, whose meaning depends on the chip; high nibble: [`FlashSize`].
    pub flash_speed_size: u8,
    /// Where execution begins.
    pub entry: U32,
    /// GPIO of the flash's WP pin, 0xEE if none.
    pub wp_pin: u8,
    /// Drive strengths as nibbles, low first: clk, q, d, cs, hd, wp.
    pub drive: [u8; 3],
    /// [`Chip::image_chip_id`].
    pub chip_id: U16,
    /// Minimum revision in the old format; nothing reads it any more.
    pub min_revision_legacy: u8,
    /// Lowest chip revision that may run this: major * 100 + minor.
    pub min_revision: U16,
    /// Highest chip revision that may run this; 65535 is no limit.
    pub max_revision: U16,
    /// Zero.
    pub reserved: [u8; 4],
    /// 1 if a SHA-256 follows the checksum.
    pub hash_appended: u8,
}

impl ImageHeader {
    /// First byte of every image.
    #[doc(alias = "ESP_IMAGE_HEADER_MAGIC")]
    pub const MAGIC: u8 = 0xe9;

    /// The flash size the image was built for.
    #[must_use]
    pub const fn flash_size(&self) -> FlashSize {
        FlashSize(self.flash_speed_size >> 4)
    }

    /// The frequency that this chip takes from the code; `None` if it knows no such code.
    /// Where two frequencies share a code (ESP32-C6), the higher.
    #[must_use]
    pub fn flash_frequency(&self, chip: Chip) -> Option<FlashFrequency> {
        let code = self.flash_speed_size & 0x0f;
        FlashFrequency::codes(chip).iter().find(|row| row.1 == code).map(|row| FlashFrequency(row.0))
    }
}

const _: () = assert!(size_of::<ImageHeader>() == HEADER_LEN);

/// Bytes of the header.
pub const HEADER_LEN: usize = 24;
/// Most segments that the ROM loads.
#[doc(alias = "ESP_IMAGE_MAX_SEGMENTS")]
pub const MAX_SEGMENTS: usize = 16;

/// How many data lines the flash is read with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(transparent)]
pub struct FlashMode(pub u8);

#[allow(missing_docs)]
impl FlashMode {
    pub const QIO: Self = Self(0);
    pub const QOUT: Self = Self(1);
    pub const DIO: Self = Self(2);
    pub const DOUT: Self = Self(3);
    pub const FAST_READ: Self = Self(4);
    pub const SLOW_READ: Self = Self(5);
}

/// Size code of the flash: 0 is 1 MiB, each further one doubles it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlashSize(pub u8);

#[allow(missing_docs)]
impl FlashSize {
    pub const MIB_1: Self = Self(0);
    pub const MIB_2: Self = Self(1);
    pub const MIB_4: Self = Self(2);
    pub const MIB_8: Self = Self(3);
    pub const MIB_16: Self = Self(4);
    pub const MIB_32: Self = Self(5);
    pub const MIB_64: Self = Self(6);
    pub const MIB_128: Self = Self(7);

    /// The size in bytes; `None` for a code above 7.
    #[must_use]
    pub const fn bytes(self) -> Option<u32> {
        if self.0 < 8 { Some(0x10_0000 << self.0) } else { None }
    }
}

/// Flash clock in MHz.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlashFrequency(pub u8);

impl FlashFrequency {
    /// The code 0, which every chip boots with.
    #[must_use]
    pub const fn default_of(chip: Chip) -> Self {
        match chip {
            Chip::Esp32C2 => Self(30),
            Chip::Esp32H2 | Chip::Esp32H21 | Chip::Esp32H4 => Self(24),
            _ => Self(40),
        }
    }

    /// The nibble for the header; `None` if the chip cannot run its flash at this frequency.
    #[must_use]
    pub fn code(self, chip: Chip) -> Option<u8> {
        Self::codes(chip).iter().find(|row| row.0 == self.0).map(|row| row.1)
    }

    /// (MHz, code) pairs of a chip.
    const fn codes(chip: Chip) -> &'static [(u8, u8)] {
        match chip {
            Chip::Esp32 | Chip::Esp32S2 | Chip::Esp32S3 | Chip::Esp32C3 | Chip::Esp32P4 => {
                &[(80, 0xf), (40, 0), (26, 1), (20, 2)]
            }
            Chip::Esp32C2 => &[(60, 0xf), (30, 0), (20, 1), (15, 2)],
            Chip::Esp32C5 | Chip::Esp32C61 | Chip::Esp32S31 => &[(80, 0xf), (40, 0), (20, 2)],
            // The ROM's divider is off by one setting, so 80 MHz is written like 40 MHz.
            Chip::Esp32C6 => &[(80, 0), (40, 0), (20, 2)],
            Chip::Esp32H2 => &[(48, 0xf), (24, 0), (16, 1), (12, 2)],
            Chip::Esp32H21 | Chip::Esp32H4 => &[(48, 0xf), (24, 0)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_leads_back_to_a_frequency_with_that_code() {
        for chip in Chip::ALL {
            assert_eq!(FlashFrequency::default_of(chip).code(chip), Some(0));
            for &(mhz, code) in FlashFrequency::codes(chip) {
                let mut header = ImageHeader::read_from_bytes(&[0; HEADER_LEN]).unwrap();
                header.flash_speed_size = 0x20 | code;
                let back = header.flash_frequency(chip).unwrap();
                assert_eq!((back.code(chip), header.flash_size()), (Some(code), FlashSize::MIB_4), "{chip} {mhz}");
            }
        }
        assert_eq!(FlashFrequency(80).code(Chip::Esp32H2), None);
    }

    #[test]
    fn sizes_double() {
        assert_eq!(FlashSize::MIB_1.bytes(), Some(1 << 20));
        assert_eq!(FlashSize::MIB_128.bytes(), Some(128 << 20));
        assert_eq!(FlashSize(8).bytes(), None);
    }
}
