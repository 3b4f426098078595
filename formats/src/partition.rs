//! The partition table: 32-byte entries, an MD5 row, erased bytes to 0xC00.
//!
//! Source: ESP-IDF 6.2-dev `gen_esp32part.py` (v1.5) and `esp_flash_partitions.h`. Every [`PartitionTable`] has passed
//! the generator's own checks, so nothing that reads one needs to ask again whether entries overlap.

#[cfg(feature = "alloc")]
pub mod csv;
#[cfg(feature = "alloc")]
pub mod finding;
mod names;
#[cfg(feature = "alloc")]
pub mod rows;

use crate::addr::{FlashAddr, FlashLen, SECTOR};
use crate::read::{ReadError, Reader};
use core::fmt;
use md5::{Digest, Md5};

/// A whole table whose entries are known to be legal together.
#[derive(Clone, PartialEq, Eq)]
pub struct PartitionTable {
    entries: [Partition; CAPACITY],
    count: usize,
    checksummed: bool,
}

impl PartitionTable {
    /// Parses the [`TABLE_LEN`] bytes found at the table's address, already decrypted.
    /// The MD5 row may be missing (bootloaders before ESP-IDF 3.1); see [`Self::is_checksummed`].
    ///
    /// # Errors
    /// [`PartitionError`] names the first entry that is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, PartitionError> {
        let mut reader = Reader::new(bytes);
        let body = reader.take(TABLE_LEN)?;
        reader.finish()?;

        let mut table = Self { entries: [Partition::NONE; CAPACITY], count: 0, checksummed: false };
        let (rows, _) = body.as_chunks::<ENTRY_LEN>();
        for (index, row) in rows.iter().enumerate() {
            let at = index * ENTRY_LEN;
            match (row[0], row[1]) {
                (0xaa, 0x50) if !table.checksummed => {
                    let slot = table.entries.get_mut(table.count).ok_or(PartitionError::TooMany)?;
                    *slot = Partition::decode(row)?;
                    table.count += 1;
                }
                (0xeb, 0xeb) if !table.checksummed => {
                    let (padding, stored) = row[2..].split_at(14);
                    if padding != [0xff; 14] || stored != &Md5::digest(&body[..at])[..] {
                        return Err(PartitionError::Checksum { at });
                    }
                    table.checksummed = true;
                }
                _ if row == &[0xff; ENTRY_LEN] => {
                    if body[at..].iter().any(|&byte| byte != 0xff) {
                        return Err(PartitionError::AfterEnd { at });
                    }
                    check(table.partitions())?;
                    return Ok(table);
                }
                (low, high) => return Err(PartitionError::Magic { at, found: u16::from_le_bytes([low, high]) }),
            }
        }
        Err(PartitionError::NoEnd)
    }

    /// A table of these partitions, in this order.
    ///
    /// # Errors
    /// [`PartitionError`] if any rule of the generator is broken.
    pub fn new(partitions: &[Partition]) -> Result<Self, PartitionError> {
        let mut entries = [Partition::NONE; CAPACITY];
        // One row is the MD5, one is the end.
        if partitions.len() > CAPACITY - 1 {
            return Err(PartitionError::TooMany);
        }
        entries[..partitions.len()].copy_from_slice(partitions);
        check(partitions)?;
        Ok(Self { entries, count: partitions.len(), checksummed: true })
    }

    /// The bytes for flash, with the MD5 row.
    /// A parsed table without one that has no room for it (95 entries) loses nothing but the row.
    #[must_use]
    pub fn encode(&self) -> [u8; TABLE_LEN] {
        let mut out = self.encode_without_checksum();
        let at = self.count * ENTRY_LEN;
        if self.count < CAPACITY {
            let digest = Md5::digest(&out[..at]);
            out[at..at + 2].fill(0xeb);
            out[at + 16..at + 32].copy_from_slice(&digest);
        }
        out
    }

    /// The bytes for flash, without the MD5 row: only for bootloaders older than ESP-IDF 3.1.
    #[must_use]
    pub fn encode_without_checksum(&self) -> [u8; TABLE_LEN] {
        let mut out = [0xff; TABLE_LEN];
        for (row, partition) in out.as_chunks_mut::<ENTRY_LEN>().0.iter_mut().zip(self.partitions()) {
            *row = partition.encode();
        }
        out
    }

    /// The partitions in the order of the table.
    #[must_use]
    pub fn partitions(&self) -> &[Partition] {
        &self.entries[..self.count]
    }

    /// True if an MD5 row protects the entries against corruption (it is no protection against an attacker).
    #[must_use]
    pub const fn is_checksummed(&self) -> bool {
        self.checksummed
    }

    /// The partition of that name.
    #[must_use]
    pub fn find(&self, label: &str) -> Option<&Partition> {
        self.partitions().iter().find(|partition| partition.label.as_str() == label)
    }

    /// The first partition of that type and subtype.
    #[must_use]
    pub fn find_type(&self, kind: PartitionType, subtype: Subtype) -> Option<&Partition> {
        self.partitions().iter().find(|partition| partition.kind == kind && partition.subtype == subtype)
    }

    /// The over-the-air slots `ota_0`, `ota_1`, .. without a gap, in order of their number.
    pub fn ota_slots(&self) -> impl Iterator<Item = &Partition> {
        (0..16).map_while(|slot| self.find_type(PartitionType::APP, Subtype::ota(slot)?))
    }

    /// How many slots `otadata` rotates through.
    #[must_use]
    pub fn ota_slot_count(&self) -> u32 {
        self.ota_slots().fold(0, |count, _| count + 1)
    }

    /// Checks the table against the flash it will sit in: everything except the bootloader's and the table's own
    /// entries lies between the end of the table's sector and the end of flash.
    ///
    /// # Errors
    /// [`PartitionError::OutsideFlash`] names the first partition that does not fit.
    pub fn check_flash(&self, table: FlashAddr, flash_size: FlashLen) -> Result<(), PartitionError> {
        for partition in self.partitions() {
            let own = matches!(partition.kind, PartitionType::BOOTLOADER | PartitionType::PARTITION_TABLE);
            let start = if own { Some(0) } else { table.0.checked_add(SECTOR) };
            let fits = start.is_some_and(|start| partition.offset.0 >= start) && partition.end() <= flash_size.0.into();
            if !fits {
                return Err(PartitionError::OutsideFlash { label: partition.label });
            }
        }
        Ok(())
    }
}

impl fmt::Debug for PartitionTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.partitions()).finish()
    }
}

/// The flash bytes of a table of these partitions, with the MD5 row.
///
/// # Errors
/// [`PartitionError`] if any rule of the generator is broken.
pub fn build(partitions: &[Partition]) -> Result<[u8; TABLE_LEN], PartitionError> {
    PartitionTable::new(partitions).map(|table| table.encode())
}

/// One entry.
#[doc(alias = "esp_partition_info_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Unique name.
    pub label: Label,
    /// What it is.
    pub kind: PartitionType,
    /// What kind of that it is; the meaning depends on [`Self::kind`].
    pub subtype: Subtype,
    /// Where it begins.
    pub offset: FlashAddr,
    /// How long it is.
    pub size: FlashLen,
    /// See [`PartitionFlags`].
    pub flags: PartitionFlags,
}

impl Partition {
    const NONE: Self = Self {
        label: Label([0; 16]),
        kind: PartitionType(0),
        subtype: Subtype(0),
        offset: FlashAddr(0),
        size: FlashLen(0),
        flags: PartitionFlags(0),
    };

    /// First byte after the partition. Wider than an address, because the last partition may end at 4 GiB.
    #[must_use]
    pub fn end(&self) -> u64 {
        u64::from(self.offset.0) + u64::from(self.size.0)
    }

    /// True for the first bootloader and the table itself: they alone may lie before the end of the table's sector.
    #[must_use]
    pub const fn is_primary(&self) -> bool {
        matches!(self.kind, PartitionType::BOOTLOADER | PartitionType::PARTITION_TABLE) && self.subtype.0 == 0
    }

    fn decode(row: &[u8; ENTRY_LEN]) -> Result<Self, PartitionError> {
        let mut reader = Reader::new(row);
        reader.take(2)?; // magic
        let (kind, subtype) = (PartitionType(reader.u8()?), Subtype(reader.u8()?));
        let (offset, size) = (FlashAddr(reader.u32_le()?), FlashLen(reader.u32_le()?));
        let label = Label::from_field(reader.array()?)?;
        let flags = PartitionFlags(reader.u32_le()?);
        reader.finish()?;
        Ok(Self { label, kind, subtype, offset, size, flags })
    }

    fn encode(&self) -> [u8; ENTRY_LEN] {
        let mut row = [0; ENTRY_LEN];
        row[..4].copy_from_slice(&[0xaa, 0x50, self.kind.0, self.subtype.0]);
        row[4..8].copy_from_slice(&self.offset.0.to_le_bytes());
        row[8..12].copy_from_slice(&self.size.0.to_le_bytes());
        row[12..28].copy_from_slice(&self.label.0);
        row[28..].copy_from_slice(&self.flags.0.to_le_bytes());
        row
    }
}

/// True if the chip keeps this partition encrypted once flash encryption is on.
/// NVS is not among them: it has an encryption of its own.
///
/// Source: ESP-IDF 6.2-dev (1021229) `esp_partition/partition.c` `is_partition_encrypted`, which decides what the running
/// system reads through the cipher, and `bootloader_support/src/flash_encryption/flash_encrypt.c` `encrypt_partition`.
#[must_use]
pub fn is_flash_encrypted(partition: &Partition) -> bool {
    match (partition.kind, partition.subtype) {
        (PartitionType::APP | PartitionType::BOOTLOADER | PartitionType::PARTITION_TABLE, _)
        | (PartitionType::DATA, Subtype::DATA_OTA | Subtype::DATA_TEE_OTA | Subtype::DATA_NVS_KEYS) => true,
        _ => partition.flags.contains(PartitionFlags::ENCRYPTED),
    }
}

/// A partition's name: at most 16 bytes of UTF-8 without NUL.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Label([u8; 16]);

impl Label {
    /// The name as the table stores it. Unlike the generator this never cuts a long name short.
    ///
    /// # Errors
    /// [`PartitionError::Label`] if it is empty, longer than 16 bytes or holds a NUL.
    pub fn new(name: &str) -> Result<Self, PartitionError> {
        let mut field = [0; 16];
        let len = name.len();
        if len == 0 || name.contains('\0') {
            return Err(PartitionError::Label { field });
        }
        field.get_mut(..len).ok_or(PartitionError::Label { field: [0; 16] })?.copy_from_slice(name.as_bytes());
        Ok(Self(field))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let len = self.0.iter().position(|&byte| byte == 0).unwrap_or(self.0.len());
        core::str::from_utf8(&self.0[..len]).unwrap_or_default()
    }

    fn from_field(field: [u8; 16]) -> Result<Self, PartitionError> {
        let len = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
        let (name, padding) = field.split_at(len);
        if len == 0 || padding.iter().any(|&byte| byte != 0) || core::str::from_utf8(name).is_err() {
            return Err(PartitionError::Label { field });
        }
        Ok(Self(field))
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Open: values 0x40-0xFE are the user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PartitionType(pub u8);

#[allow(missing_docs)]
impl PartitionType {
    pub const APP: Self = Self(0);
    pub const DATA: Self = Self(1);
    pub const BOOTLOADER: Self = Self(2);
    pub const PARTITION_TABLE: Self = Self(3);

    /// What an offset must be a multiple of: the flash mapping's page for apps, else a sector.
    #[must_use]
    pub const fn alignment(self) -> u32 {
        match self {
            Self::APP => 0x1_0000,
            _ => SECTOR,
        }
    }
}

/// Open; the prefix of a constant's name is the type under which it has that meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subtype(pub u8);

#[allow(missing_docs)]
impl Subtype {
    pub const APP_FACTORY: Self = Self(0x00);
    pub const APP_OTA_0: Self = Self(0x10);
    pub const APP_OTA_1: Self = Self(0x11);
    pub const APP_TEST: Self = Self(0x20);
    pub const DATA_OTA: Self = Self(0x00);
    pub const DATA_PHY: Self = Self(0x01);
    pub const DATA_NVS: Self = Self(0x02);
    pub const DATA_COREDUMP: Self = Self(0x03);
    pub const DATA_NVS_KEYS: Self = Self(0x04);
    pub const DATA_EFUSE: Self = Self(0x05);
    pub const DATA_FAT: Self = Self(0x81);
    pub const DATA_SPIFFS: Self = Self(0x82);
    pub const DATA_LITTLEFS: Self = Self(0x83);
    pub const DATA_TEE_OTA: Self = Self(0x90);
    /// What the generator writes for a blank subtype of any type but app.
    pub const UNDEFINED: Self = Self(0x06);

    /// `ota_N` for N below 16.
    #[must_use]
    pub const fn ota(slot: u8) -> Option<Self> {
        if slot < 16 { Some(Self(0x10 + slot)) } else { None }
    }

    /// The N of `ota_N`, if this is the subtype of an app partition.
    #[must_use]
    pub const fn ota_slot(self) -> Option<u8> {
        match self.0 {
            0x10..=0x1f => Some(self.0 - 0x10),
            _ => None,
        }
    }
}

/// Flag bits of an entry; unknown bits survive a round trip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PartitionFlags(pub u32);

impl PartitionFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// Encrypted in flash although its type does not require it.
    pub const ENCRYPTED: Self = Self(1);
    /// ESP-IDF's partition API refuses writes.
    pub const READONLY: Self = Self(2);

    /// True if all bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets of bits.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The generator's rules, entry by entry and between entries.
fn check(partitions: &[Partition]) -> Result<(), PartitionError> {
    for (index, partition) in partitions.iter().enumerate() {
        check_alone(partition)?;
        let label = partition.label;
        for earlier in &partitions[..index] {
            if earlier.label == label {
                return Err(PartitionError::DuplicateLabel { label });
            }
            if u64::from(earlier.offset.0) < partition.end() && u64::from(partition.offset.0) < earlier.end() {
                return Err(PartitionError::Overlap { first: earlier.label, second: label });
            }
            let singular = match (partition.kind, partition.subtype) {
                (PartitionType::APP, Subtype::APP_FACTORY | Subtype::APP_TEST)
                | (PartitionType::DATA, Subtype::DATA_OTA | Subtype::DATA_TEE_OTA) => true,
                (PartitionType::APP, subtype) => subtype.ota_slot().is_some(),
                _ => false,
            };
            if singular && (earlier.kind, earlier.subtype) == (partition.kind, partition.subtype) {
                return Err(PartitionError::DuplicateSlot { first: earlier.label, second: label });
            }
        }
        // The second stage indexes slots by number, so a gap would be an empty slot that it tries to boot.
        if let (PartitionType::APP, Some(slot)) = (partition.kind, partition.subtype.ota_slot()) {
            let below =
                |p: &&Partition| p.kind == PartitionType::APP && p.subtype.ota_slot().is_some_and(|other| other < slot);
            if partitions.iter().filter(below).count() < slot.into() {
                return Err(PartitionError::OtaGap { label });
            }
        }
    }
    Ok(())
}

fn check_alone(partition: &Partition) -> Result<(), PartitionError> {
    let &Partition { label, kind, subtype, offset, size, flags } = partition;
    let app = kind == PartitionType::APP;
    let alignment = kind.alignment();
    if !offset.is_aligned(alignment) {
        return Err(PartitionError::Alignment { label, offset, alignment });
    }
    let fixed = kind == PartitionType::DATA && matches!(subtype, Subtype::DATA_OTA | Subtype::DATA_TEE_OTA);
    let size_is_legal = size.0 != 0
        && partition.end() <= 1 << 32
        && (!app || size.0.is_multiple_of(SECTOR))
        && (!fixed || size.0 == 2 * SECTOR);
    if !size_is_legal {
        return Err(PartitionError::Size { label, size });
    }
    let read_only = flags.contains(PartitionFlags::READONLY);
    let must_be_written = matches!(
        (kind, subtype),
        (PartitionType::DATA, Subtype::DATA_OTA | Subtype::DATA_COREDUMP | Subtype::DATA_TEE_OTA)
    );
    let too_small_to_write = (kind, subtype) == (PartitionType::DATA, Subtype::DATA_NVS) && size.0 < 3 * SECTOR;
    if (read_only && must_be_written) || (!read_only && too_small_to_write) {
        return Err(PartitionError::ReadOnly { label, read_only });
    }
    Ok(())
}

/// Bytes of table data; the rest of its sector may hold a signature.
#[doc(alias = "ESP_PARTITION_TABLE_MAX_LEN")]
pub const TABLE_LEN: usize = 0xc00;
/// Most partitions a table without MD5 row can hold; with the row it is one less.
pub const CAPACITY: usize = TABLE_LEN / ENTRY_LEN - 1;
/// Where the table sits unless the project moves it.
pub const DEFAULT_OFFSET: FlashAddr = FlashAddr(0x8000);
const ENTRY_LEN: usize = 32;

/// Why a table was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum PartitionError {
    /// Not exactly [`TABLE_LEN`] bytes.
    #[error("partition table: {0}")]
    Read(#[from] ReadError),
    /// A row is neither entry, MD5 nor end.
    #[error("partition table: row at {at:#x} begins with {found:#06x}")]
    Magic { at: usize, found: u16 },
    /// The MD5 row does not fit the rows before it.
    #[error("partition table: MD5 at {at:#x} does not match the entries")]
    Checksum { at: usize },
    /// Something follows the end row.
    #[error("partition table: bytes after the end at {at:#x}")]
    AfterEnd { at: usize },
    /// No end row within the table.
    #[error("partition table: no end row")]
    NoEnd,
    /// More partitions than rows.
    #[error("partition table: too many partitions")]
    TooMany,
    /// The name is empty, too long, not UTF-8, or goes on after its NUL.
    #[error("partition table: bad label {field:02x?}")]
    Label { field: [u8; 16] },
    #[error("partition {label}: name used twice")]
    DuplicateLabel { label: Label },
    #[error("partitions {first} and {second}: same type and subtype")]
    DuplicateSlot { first: Label, second: Label },
    #[error("partitions {first} and {second} overlap")]
    Overlap { first: Label, second: Label },
    #[error("partition {label}: offset {offset} is not a multiple of {alignment:#x}")]
    Alignment { label: Label, offset: FlashAddr, alignment: u32 },
    /// Zero, past 4 GiB, an app not in whole sectors, or otadata that is not two sectors.
    #[error("partition {label}: size {size} is not allowed")]
    Size { label: Label, size: FlashLen },
    /// otadata and coredump must be writable; an NVS below three sectors must not be.
    #[error("partition {label}: may not have the readonly flag {read_only}")]
    ReadOnly { label: Label, read_only: bool },
    /// `ota_N` without `ota_0` to `ota_(N-1)`.
    #[error("partition {label}: a lower OTA slot is missing")]
    OtaGap { label: Label },
    #[error("partition {label} does not lie between the table and the end of flash")]
    OutsideFlash { label: Label },
}

#[cfg(test)]
mod tests;
