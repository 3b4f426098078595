//! What an image says about itself, at the start of its first segment (file offset 0x20).
//!
//! Source: ESP-IDF 6.2-dev `esp_app_desc.h`, `esp_bootloader_desc.h`.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Description of an application, 256 bytes.
#[doc(alias = "esp_app_desc_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[allow(missing_docs)]
pub struct AppDescriptor {
    /// [`Self::MAGIC`].
    pub magic: U32,
    /// Compared with the number of bits burnt into SECURE_VERSION; an older image does not boot.
    pub secure_version: U32,
    pub reserved_1: [u8; 8],
    pub version_field: [u8; 32],
    pub project_name_field: [u8; 32],
    pub time_field: [u8; 16],
    pub date_field: [u8; 16],
    pub idf_version_field: [u8; 32],
    /// SHA-256 of the ELF file.
    pub app_elf_sha256: [u8; 32],
    /// Lowest revision of the eFuse block that this runs on: major * 100 + minor.
    pub min_efuse_revision: U16,
    /// Highest revision of the eFuse block that this runs on.
    pub max_efuse_revision: U16,
    /// Binary logarithm of the flash MMU's page; 0 is the chip's default.
    pub mmu_page_size: u8,
    pub reserved_3: [u8; 3],
    pub reserved_2: [u8; 72],
}

impl AppDescriptor {
    /// First word.
    #[doc(alias = "ESP_APP_DESC_MAGIC_WORD")]
    pub const MAGIC: u32 = 0xabcd_5432;
    /// Bytes of the descriptor; a custom descriptor may follow directly.
    pub const LEN: usize = 256;
    /// Where [`Self::app_elf_sha256`] is in the image file.
    pub const ELF_SHA256_OFFSET: u32 = 0xb0;

    /// Reads a descriptor at the start of a segment.
    #[must_use]
    pub fn of(segment: &[u8]) -> Option<&Self> {
        Self::ref_from_prefix(segment).ok().map(|(descriptor, _)| descriptor).filter(|d| d.magic == Self::MAGIC)
    }

    /// The application's version.
    #[must_use]
    pub fn version(&self) -> &str {
        text(&self.version_field)
    }

    /// The project.
    #[must_use]
    pub fn project_name(&self) -> &str {
        text(&self.project_name_field)
    }

    /// Time of compilation.
    #[must_use]
    pub fn time(&self) -> &str {
        text(&self.time_field)
    }

    /// Date of compilation.
    #[must_use]
    pub fn date(&self) -> &str {
        text(&self.date_field)
    }

    /// What it was built with.
    #[must_use]
    pub fn idf_version(&self) -> &str {
        text(&self.idf_version_field)
    }
}

/// Description of a second stage, 80 bytes.
#[doc(alias = "esp_bootloader_desc_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[allow(missing_docs)]
pub struct BootDescriptor {
    /// [`Self::MAGIC`].
    pub magic: u8,
    pub reserved_1: [u8; 2],
    /// For the chips whose ROM refuses older bootloaders.
    pub secure_version: u8,
    /// The project's own number.
    pub version: U32,
    pub idf_version_field: [u8; 32],
    pub date_time_field: [u8; 24],
    pub reserved_2: [u8; 16],
}

impl BootDescriptor {
    /// First byte.
    #[doc(alias = "ESP_BOOTLOADER_DESC_MAGIC_BYTE")]
    pub const MAGIC: u8 = 0x50;

    /// Reads a descriptor at the start of a segment. One byte of magic and two of zeros are weak evidence.
    #[must_use]
    pub fn of(segment: &[u8]) -> Option<&Self> {
        let (descriptor, _) = Self::ref_from_prefix(segment).ok()?;
        (descriptor.magic == Self::MAGIC && descriptor.reserved_1 == [0; 2]).then_some(descriptor)
    }

    /// What it was built with.
    #[must_use]
    pub fn idf_version(&self) -> &str {
        text(&self.idf_version_field)
    }

    /// When it was built.
    #[must_use]
    pub fn date_time(&self) -> &str {
        text(&self.date_time_field)
    }
}

const _: () = assert!(size_of::<AppDescriptor>() == AppDescriptor::LEN);
const _: () = assert!(size_of::<BootDescriptor>() == 80);

/// A C string in a fixed field: up to NUL or the end, or up to what is no UTF-8.
fn text(field: &[u8]) -> &str {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    match core::str::from_utf8(&field[..end]) {
        Ok(text) => text,
        Err(error) => core::str::from_utf8(&field[..error.valid_up_to()]).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_ends_at_nul_at_the_end_or_before_bad_utf8() {
        assert_eq!(text(b"ab\0cd"), "ab");
        assert_eq!(text(b"abcd"), "abcd");
        assert_eq!(text(b"ab\xffcd"), "ab");
        assert_eq!(text(b""), "");
    }

    #[test]
    fn needs_its_magic_and_all_its_bytes() {
        let mut bytes = [0; AppDescriptor::LEN];
        assert_eq!(AppDescriptor::of(&bytes), None);
        bytes[..4].copy_from_slice(&AppDescriptor::MAGIC.to_le_bytes());
        assert!(AppDescriptor::of(&bytes).is_some());
        assert_eq!(AppDescriptor::of(&bytes[..255]), None);
        assert!(BootDescriptor::of(&[0x50; 80]).is_none());
    }
}
