//! Which bytes of a whole flash image are encrypted.
//!
//! As ESP-IDF's first boot does it (6.2-dev, 1021229, `flash_encryption/flash_encrypt.c`: `encrypt_bootloader`,
//! `encrypt_and_load_partition_table`, `encrypt_partition`): the boot image, the table's sector, application images, and
//! every partition of data that [`is_flash_encrypted`] names. What lies below the boot image stays as it is: on ESP32-C5
//! and P4 the two sectors there hold the key manager's recovery information, which the ROM reads in plain.
//! Two rules for erased flash:
//! - Data partitions are encrypted to their end, erased or not, because the chip reads them through the cipher:
//!   an erased otadata must decrypt to 0xFF.
//! - The boot image and applications are encrypted up to the last sector that holds anything; what is erased behind
//!   them stays erased (ESP-IDF's `SECURE_FLASH_ENCRYPT_ONLY_IMAGE_LEN_IN_APP_PART`), and an empty slot stays empty.

use crate::addr::{FlashAddr, FlashLen, SECTOR};
use crate::chip::Chip;
use crate::partition::{Label, Partition, PartitionError, PartitionTable, PartitionType, is_flash_encrypted};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// A range of flash, and whether it is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// What it is.
    pub name: ExtentName,
    /// What it holds.
    pub content: ExtentContent,
    /// Where it begins, in flash and in the image.
    pub address: FlashAddr,
    /// How many bytes of it are encrypted: none if all are left alone. Never goes past the image.
    pub encrypted: usize,
}

impl Extent {
    /// The bytes of the image that are encrypted.
    #[must_use]
    pub const fn range(&self) -> Range<usize> {
        self.address.0 as usize..self.address.0 as usize + self.encrypted
    }
}

/// What an extent holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtentContent {
    /// Begins with the image magic, unless it is erased.
    Image,
    /// Anything else that is encrypted.
    Data,
    /// Never encrypted.
    Plain,
}

/// What an extent is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtentName {
    /// IV and digest of Secure Boot V1, in the first sector of an ESP32's flash.
    BootDigest,
    /// The second stage at the chip's own address.
    Bootloader,
    /// The table's sector, with its signature if there is one.
    PartitionTable,
    /// An entry of the table.
    Partition(Label),
}

impl fmt::Display for ExtentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BootDigest => f.write_str("(boot digest)"),
            Self::Bootloader => f.write_str("(bootloader)"),
            Self::PartitionTable => f.write_str("(partition table)"),
            Self::Partition(label) => label.fmt(f),
        }
    }
}

/// Where something sits in flash, known from the table alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What it is.
    pub name: ExtentName,
    /// What it holds.
    pub content: ExtentContent,
    /// Where it begins, a multiple of a sector.
    pub start: FlashAddr,
    /// First byte after it. Wider than an address, because it may be 4 GiB.
    pub end: u64,
}

/// The places of a flash of any size, in order of their addresses; none overlaps another.
/// `table_at`: where the table sits, a multiple of a sector. `first_sector`: what flash begins with, plain or encrypted.
///
/// # Errors
/// [`ExtentError`] if the table does not fit the places that the chip fixes.
pub fn places(
    chip: Chip,
    table_at: FlashAddr,
    table: &PartitionTable,
    first_sector: &[u8],
) -> Result<Vec<Place>, ExtentError> {
    let boot_at = chip.bootloader_offset();
    let table_end =
        table_at.checked_add(FlashLen(SECTOR)).filter(|_| table_at.is_aligned(SECTOR) && table_at > boot_at);
    let table_end = table_end.ok_or(ExtentError::TableAddress { table_at, chip })?;
    table.check_flash(table_at, FlashLen(u32::MAX))?;

    let mut places = Vec::new();
    let mut push = |name, content, start, end| places.push(Place { name, content, start, end });
    if boot_at.0 != 0
        && chip == Chip::Esp32
        && programmed(&first_sector[..first_sector.len().min(SECTOR as usize)]) != 0
    {
        push(ExtentName::BootDigest, ExtentContent::Data, FlashAddr(0), SECTOR.into());
    }
    push(ExtentName::Bootloader, ExtentContent::Image, boot_at, table_at.0.into());
    push(ExtentName::PartitionTable, ExtentContent::Data, table_at, table_end.0.into());
    for partition in table.partitions() {
        // A table may list what sits at the fixed places too.
        let fixed = match partition.kind {
            PartitionType::BOOTLOADER => partition.offset == boot_at && partition.end() <= table_at.0.into(),
            PartitionType::PARTITION_TABLE => partition.offset == table_at && partition.end() <= table_end.0.into(),
            _ => false,
        };
        if fixed {
            continue;
        }
        if partition.offset < table_end {
            return Err(ExtentError::Overlap { label: partition.label });
        }
        push(ExtentName::Partition(partition.label), content(partition), partition.offset, partition.end());
    }
    places.sort_by_key(|place| place.start);
    Ok(places)
}

/// The extents of `image`, a copy of flash from address 0 that may end anywhere; what lies past its end is left out.
/// Works on plain and on encrypted images alike: ciphertext is never a whole erased sector.
///
/// # Errors
/// As [`places`].
pub fn extents(
    chip: Chip,
    table_at: FlashAddr,
    table: &PartitionTable,
    image: &[u8],
) -> Result<Vec<Extent>, ExtentError> {
    let places = places(chip, table_at, table, image)?;
    let extent = |Place { name, content, start, end }| {
        let clip = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(image.len());
        let bytes = &image[clip(start.0.into())..clip(end)];
        let encrypted = match content {
            ExtentContent::Image => programmed(bytes),
            ExtentContent::Data => bytes.len(),
            ExtentContent::Plain => 0,
        };
        (!bytes.is_empty()).then_some(Extent { name, content, address: start, encrypted })
    };
    Ok(places.into_iter().filter_map(extent).collect())
}

fn content(partition: &Partition) -> ExtentContent {
    match partition.kind {
        PartitionType::APP | PartitionType::BOOTLOADER => ExtentContent::Image,
        _ if is_flash_encrypted(partition) => ExtentContent::Data,
        _ => ExtentContent::Plain,
    }
}

/// The length up to the end of the last sector that is not erased. `bytes` begin with a sector and may end within one.
#[must_use]
pub fn programmed(bytes: &[u8]) -> usize {
    const ERASED: [u8; SECTOR as usize] = [0xff; SECTOR as usize];
    let last = bytes.chunks(SECTOR as usize).rposition(|sector| sector != &ERASED[..sector.len()]);
    last.map_or(0, |last| bytes.len().min((last + 1) * SECTOR as usize))
}

/// Why the extents of an image cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum ExtentError {
    #[error("partition table at {table_at}: not a whole sector behind the boot image of {chip}")]
    TableAddress { table_at: FlashAddr, chip: Chip },
    #[error(transparent)]
    Table(#[from] PartitionError),
    #[error("partition {label} overlaps the boot image or the partition table")]
    Overlap { label: Label },
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::partition::{PartitionFlags, Subtype};
    use std::string::ToString;
    use std::vec;

    fn row(
        label: &str,
        kind: PartitionType,
        subtype: Subtype,
        offset: u32,
        size: u32,
        flags: PartitionFlags,
    ) -> Partition {
        let label = Label::new(label).unwrap();
        Partition { label, kind, subtype, offset: FlashAddr(offset), size: FlashLen(size), flags }
    }

    fn table() -> PartitionTable {
        use PartitionType as T;
        PartitionTable::new(&[
            row("nvs", T::DATA, Subtype::DATA_NVS, 0x9000, 0x4000, PartitionFlags::NONE),
            row("otadata", T::DATA, Subtype::DATA_OTA, 0xd000, 0x2000, PartitionFlags::NONE),
            row("nvs_keys", T::DATA, Subtype::DATA_NVS_KEYS, 0xf000, 0x1000, PartitionFlags::NONE),
            row("ota_0", T::APP, Subtype::APP_OTA_0, 0x1_0000, 0x1_0000, PartitionFlags::NONE),
            row("ota_1", T::APP, Subtype::APP_OTA_1, 0x2_0000, 0x1_0000, PartitionFlags::NONE),
            row("config", T::DATA, Subtype::DATA_FAT, 0x3_0000, 0x2000, PartitionFlags::ENCRYPTED),
            row("logs", T::DATA, Subtype::DATA_SPIFFS, 0x3_2000, 0x2000, PartitionFlags::NONE),
        ])
        .unwrap()
    }

    #[test]
    fn images_end_with_their_last_sector_and_data_with_its_partition() {
        let mut image = vec![0xff; 0x3_1000];
        image[0x5010] = 0;
        image[0x1_1234] = 0;
        let extents = extents(Chip::Esp32C3, FlashAddr(0x8000), &table(), &image).unwrap();
        let told: Vec<_> =
            extents.iter().map(|extent| (extent.name.to_string(), extent.address.0, extent.encrypted)).collect();
        let expected = [
            ("(bootloader)", 0, 0x6000),
            ("(partition table)", 0x8000, 0x1000),
            ("nvs", 0x9000, 0),
            ("otadata", 0xd000, 0x2000),
            ("nvs_keys", 0xf000, 0x1000),
            ("ota_0", 0x1_0000, 0x2000),
            ("ota_1", 0x2_0000, 0),
            ("config", 0x3_0000, 0x1000), // the image ends there
        ];
        assert_eq!(told, expected.map(|(name, at, len)| (name.to_string(), at, len)));
    }

    #[test]
    fn the_digest_of_secure_boot_v1_is_encrypted_if_it_is_there() {
        let mut image = vec![0xff; 0x9000];
        let first = |image: &[u8]| extents(Chip::Esp32, FlashAddr(0x8000), &table(), image).unwrap()[0].clone();
        assert_eq!(first(&image).name, ExtentName::Bootloader);
        image[5] = 0;
        assert_eq!((first(&image).name, first(&image).range()), (ExtentName::BootDigest, 0..0x1000));
    }

    #[test]
    fn refuses_tables_that_overlap_the_fixed_places() {
        let chip = Chip::Esp32C3;
        let refused = |table_at| extents(chip, FlashAddr(table_at), &table(), &[]).unwrap_err();
        for table_at in [0, 0x8010, 0xffff_f000] {
            let table_at = FlashAddr(table_at);
            assert_eq!(refused(table_at.0), ExtentError::TableAddress { table_at, chip });
        }
        let label = Label::new("nvs").unwrap();
        assert_eq!(refused(0x9000), PartitionError::OutsideFlash { label }.into());
        let hidden = row("boot2", PartitionType::BOOTLOADER, Subtype(0), 0x4000, 0x4000, PartitionFlags::NONE);
        let table = PartitionTable::new(&[hidden]).unwrap();
        let refused = extents(chip, FlashAddr(0x8000), &table, &[]).unwrap_err();
        assert_eq!(refused, ExtentError::Overlap { label: hidden.label });
    }
}
