//! Where things lie in a product's flash, and the bytes that go there, encrypted for their addresses.

use cotter_formats::addr::{FlashAddr, FlashLen, SECTOR};
use cotter_formats::chip::Chip;
use cotter_formats::flash_encryption::key::{FlashCryptError, FlashKey};
use cotter_formats::nvs::keys::KEYS_PARTITION_SIZE;
use cotter_formats::partition::{
    self, Label, Partition, PartitionError, PartitionFlags, PartitionTable, PartitionType, Subtype, is_flash_encrypted,
};
use std::fmt;
use zeroize::Zeroizing;

/// Partition type of `esp_secure_cert`, in the range left to the user.
pub const SECURE_CERT: PartitionType = PartitionType(0x3f);

/// A flash part and its partition table.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Which chip; it decides where the boot image lies.
    pub chip: Chip,
    /// Size of the part.
    pub flash: FlashLen,
    /// What lies where.
    pub table: PartitionTable,
}

impl Layout {
    /// Two OTA slots of 1 MiB, otadata, encrypted NVS with its keys, and room for `esp_secure_cert`, in 4 MiB.
    ///
    /// # Errors
    /// [`PartitionError`] never for this table; the checks run all the same.
    pub fn two_slots(chip: Chip) -> Result<Self, PartitionError> {
        let row = |label, kind, subtype, offset, size, flags| {
            Ok::<_, PartitionError>(Partition {
                label: Label::new(label)?,
                kind,
                subtype,
                offset: FlashAddr(offset),
                size: FlashLen(size),
                flags,
            })
        };
        let (plain, encrypted) = (PartitionFlags::NONE, PartitionFlags::ENCRYPTED);
        let (app, data) = (PartitionType::APP, PartitionType::DATA);
        let table = PartitionTable::new(&[
            row("nvs", data, Subtype::DATA_NVS, 0x9000, 0x6000, plain)?,
            row("otadata", data, Subtype::DATA_OTA, 0xf000, 0x2000, plain)?,
            row("nvs_keys", data, Subtype::DATA_NVS_KEYS, 0x11000, 0x1000, encrypted)?,
            row("esp_secure_cert", SECURE_CERT, Subtype(0), 0x12000, 0x2000, encrypted)?,
            row("ota_0", app, Subtype::APP_OTA_0, 0x20000, 0x10_0000, plain)?,
            row("ota_1", app, Subtype::APP_OTA_1, 0x12_0000, 0x10_0000, plain)?,
        ])?;
        let layout = Self { chip, flash: FlashLen(0x40_0000), table };
        layout.table.check_flash(partition::DEFAULT_OFFSET, layout.flash)?;
        Ok(layout)
    }

    /// Lays out what a new device needs; with `key`, whatever the chip reads through flash encryption is encrypted.
    ///
    /// # Errors
    /// [`LayoutError`] if something is missing in the table or does not fit.
    pub fn pieces(&self, content: &Content<'_>, key: Option<&FlashKey>) -> Result<Vec<Piece>, LayoutError> {
        let boot = self.chip.bootloader_offset();
        let table_at = partition::DEFAULT_OFFSET;
        let table = self.table.encode();
        let mut pieces = vec![
            Piece::sealed("boot image", boot, FlashLen(table_at.0 - boot.0), content.boot, key)?,
            Piece::sealed("partition table", table_at, FlashLen(SECTOR), &table, key)?,
        ];
        for (what, label, bytes) in [
            ("NVS", "nvs", content.nvs),
            ("NVS keys", "nvs_keys", content.nvs_keys.as_slice()),
            ("application", "ota_0", content.app),
        ] {
            let partition = self.table.find(label).ok_or(LayoutError::NoPartition(label))?;
            pieces.push(Piece::in_partition(what, partition, bytes, key)?);
        }
        Ok(pieces)
    }
}

/// What a new device is flashed with, in plain.
pub struct Content<'a> {
    /// Signed boot image.
    pub boot: &'a [u8],
    /// Signed application, for the first slot.
    pub app: &'a [u8],
    /// NVS partition; it encrypts itself, flash encryption leaves it alone.
    pub nvs: &'a [u8],
    /// The NVS key partition.
    pub nvs_keys: &'a Zeroizing<[u8; KEYS_PARTITION_SIZE]>,
}

/// Bytes for one place in flash, as the part stores them.
pub struct Piece {
    /// What it is, for people.
    pub what: String,
    /// Where it begins.
    pub at: FlashAddr,
    /// The bytes as the part stores them.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Whether the bytes are encrypted.
    pub encrypted: bool,
    /// Whether the chip reads this place through flash encryption, once that is on.
    pub through_cipher: bool,
}

impl Piece {
    /// As [`Self::sealed`], if the chip reads this partition through flash encryption; else as it is.
    pub(crate) fn in_partition(
        what: &str,
        partition: &Partition,
        bytes: &[u8],
        key: Option<&FlashKey>,
    ) -> Result<Self, LayoutError> {
        let through_cipher = is_flash_encrypted(partition);
        let key = key.filter(|_| through_cipher);
        let piece = Self::sealed(what, partition.offset, partition.size, bytes, key)?;
        Ok(Self { through_cipher, ..piece })
    }

    /// Encrypted for its address if there is a key, filled up to whole units with 0xFF.
    pub(crate) fn sealed(
        what: &str,
        at: FlashAddr,
        room: FlashLen,
        bytes: &[u8],
        key: Option<&FlashKey>,
    ) -> Result<Self, LayoutError> {
        if bytes.len() > room.0 as usize {
            return Err(LayoutError::TooLarge { what: what.to_owned(), len: bytes.len(), room });
        }
        let mut bytes = Zeroizing::new(bytes.to_vec());
        if let Some(key) = key {
            let whole = bytes.len().next_multiple_of(16);
            bytes.resize(whole, 0xff);
            key.encrypt(at, &mut bytes)?;
        }
        Ok(Self { what: what.to_owned(), at, bytes, encrypted: key.is_some(), through_cipher: true })
    }

    /// The whole sectors that this piece lies in.
    #[must_use]
    pub fn sectors(&self) -> FlashLen {
        FlashLen(u32::try_from(self.bytes.len().next_multiple_of(SECTOR as usize)).expect("checked against the layout"))
    }
}

impl fmt::Debug for Piece {
    /// Without the bytes: some of them are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Piece({} at {}, {} bytes)", self.what, self.at, self.bytes.len())
    }
}

/// Why something has no place.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The table is not sound.
    #[error(transparent)]
    Partition(#[from] PartitionError),
    /// The table lacks a partition.
    #[error("the partition table has no partition \"{0}\"")]
    NoPartition(&'static str),
    /// Too large for its place.
    #[error("{what} is {len:#x} bytes, its place holds {room}")]
    TooLarge {
        /// What.
        what: String,
        /// Its length in bytes.
        len: usize,
        /// The room it has.
        room: FlashLen,
    },
    /// The encryption refused the address or length.
    #[error(transparent)]
    Encryption(#[from] FlashCryptError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use cotter_formats::flash_encryption::xts::XtsKey;
    use cotter_formats::secret::Secret;

    #[test]
    fn encrypts_what_the_chip_decrypts_and_nothing_else() {
        let layout = Layout::two_slots(Chip::Esp32C3).unwrap();
        let keys = Zeroizing::new([0x33; KEYS_PARTITION_SIZE]);
        let content = Content { boot: &[1; 8192], app: &[2; 8192], nvs: &[3; 4096], nvs_keys: &keys };
        let plain = layout.pieces(&content, None).unwrap();
        let key = FlashKey::Xts(XtsKey::Aes128(Secret::filled_by(|key| key.fill(7))));
        let stored = layout.pieces(&content, Some(&key)).unwrap();
        for (plain, stored) in plain.iter().zip(&stored) {
            assert_eq!(plain.bytes == stored.bytes, plain.what == "NVS", "{}", plain.what);
        }
    }

    #[test]
    fn refuses_a_boot_image_that_reaches_into_the_partition_table() {
        let layout = Layout::two_slots(Chip::Esp32C3).unwrap();
        let keys = Zeroizing::new([0x33; KEYS_PARTITION_SIZE]);
        let content = Content { boot: &[1; 0x9000], app: &[], nvs: &[], nvs_keys: &keys };
        let refused = layout.pieces(&content, None).err().unwrap();
        assert_eq!(refused.to_string(), "boot image is 0x9000 bytes, its place holds 0x8000");
    }
}
