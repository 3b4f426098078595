//! What lies where in a copy of a whole flash, by its partition table.

use cotter_formats::addr::FlashAddr;
use cotter_formats::chip::Chip;
use cotter_formats::flash_encryption::extent::{extents, places};
use cotter_formats::partition::finding::{Finding, Rules, SecureBoot, findings};
use cotter_formats::partition::rows::Rows;
use cotter_formats::partition::{DEFAULT_OFFSET, PartitionTable, TABLE_LEN};
use md5::{Digest, Md5};

/// The lenient and the strict reader of a table agree on what is sound; places lie in order and apart; what is encrypted
/// lies in the image. The input is the table, as much of it as there is, and then also the flash.
pub fn flash_layout(data: &[u8]) {
    let mut table = [0xFF; TABLE_LEN];
    let used = data.len().min(TABLE_LEN);
    table[..used].copy_from_slice(&data[..used]);
    laid_out(&table, data);
    if let Some(row) = table.as_chunks::<32>().0.iter().position(|row| row.starts_with(&[0xEB, 0xEB])) {
        let digest = Md5::digest(&table[..row * 32]);
        table[row * 32 + 2..row * 32 + 16].fill(0xFF);
        table[row * 32 + 16..row * 32 + 32].copy_from_slice(&digest);
        laid_out(&table, data);
    }
}

fn laid_out(bytes: &[u8; TABLE_LEN], flash: &[u8]) {
    let rows = Rows::read(bytes);
    let rules = Rules { table: DEFAULT_OFFSET, flash_size: None, secure_boot: SecureBoot::None, checksum: true };
    let found = findings(&rows.partitions, &rules);
    let Ok(table) = PartitionTable::parse(bytes) else {
        assert!(!rows.problems.is_empty() || found.iter().any(Finding::forbids), "refused without a reason");
        return;
    };
    assert!(rows.problems.is_empty(), "the strict reader accepts what the lenient one does not");
    assert_eq!((rows.partitions.as_slice(), rows.checksummed), (table.partitions(), table.is_checksummed()));
    for chip in Chip::ALL {
        for table_at in [DEFAULT_OFFSET, FlashAddr(0x1000), FlashAddr(0xFFFF_F000), FlashAddr(1)] {
            let Ok(placed) = places(chip, table_at, &table, flash) else {
                assert!(extents(chip, table_at, &table, flash).is_err());
                continue;
            };
            for (before, after) in placed.iter().zip(&placed[1..]) {
                assert!(before.end <= after.start.0.into(), "{} overlaps {}", before.name, after.name);
            }
            let extents = extents(chip, table_at, &table, flash).expect("the places are known");
            assert!(extents.len() <= placed.len());
            for extent in extents {
                let range = extent.range();
                assert!(range.end <= flash.len(), "{} goes past the image", extent.name);
                let place = placed.iter().find(|place| place.start == extent.address).expect("an extent has a place");
                assert!(place.start.0 as usize == range.start && range.end as u64 <= place.end);
            }
        }
    }
}
