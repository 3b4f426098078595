//! The partition table.

use cotter_formats::addr::FlashLen;
use cotter_formats::partition::{DEFAULT_OFFSET, PartitionTable, TABLE_LEN, build};
use md5::{Digest, Md5};

/// There is one spelling of every accepted table, and its entries do not overlap.
pub fn partition_table(data: &[u8]) {
    accepted(data);
    if data.len() <= TABLE_LEN {
        // The rest erased, then the MD5 row made to hold.
        let mut table = data.to_vec();
        table.resize(TABLE_LEN, 0xFF);
        accepted(&table);
        if let Some(row) = table.as_chunks::<32>().0.iter().position(|row| row.starts_with(&[0xEB, 0xEB])) {
            let digest = Md5::digest(&table[..row * 32]);
            table[row * 32 + 16..row * 32 + 32].copy_from_slice(&digest);
            accepted(&table);
        }
    }
}

fn accepted(bytes: &[u8]) {
    let Ok(table) = PartitionTable::parse(bytes) else { return };
    if table.is_checksummed() {
        assert_eq!(table.encode(), bytes, "a table changed in a round trip");
        assert_eq!(build(table.partitions()).as_ref().map(|built| &built[..]), Ok(bytes), "parsed but not buildable");
    } else {
        assert_eq!(table.encode_without_checksum(), bytes, "a table changed in a round trip");
    }
    for (index, a) in table.partitions().iter().enumerate() {
        assert!(a.end() <= 1 << 32);
        assert_eq!(table.find(a.label.as_str()).map(|found| found.offset), Some(a.offset), "names are unique");
        for b in &table.partitions()[..index] {
            assert!(a.end() <= b.offset.0.into() || b.end() <= a.offset.0.into(), "{} overlaps {}", a.label, b.label);
        }
    }
    let _ = table.ota_slot_count();
    let _ = table.check_flash(DEFAULT_OFFSET, FlashLen(4 << 20));
}
