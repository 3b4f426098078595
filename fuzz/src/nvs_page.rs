//! NVS: header, entries, and a whole partition of a few pages.

use cotter_formats::addr::FlashLen;
use cotter_formats::crc::crc_a;
use cotter_formats::nvs::entry::Entry;
use cotter_formats::nvs::keys::KEYS_PARTITION_SIZE;
use cotter_formats::nvs::page::{ENTRY_SIZE, PAGE_SIZE, PageHeader, StateMap, Version};
use cotter_formats::nvs::partition::{Item, inspect};
use cotter_formats::nvs::whole::{decrypt_partition, encrypt_partition};
use cotter_formats::nvs::{NvsImage, NvsKeys, read_partition};
use cotter_formats::secret::Secret;

/// More pages add nothing but time.
const MAX_PAGES: usize = 4;

/// Headers and entries survive a round trip; a partition without faults can be built anew from what was read.
pub fn nvs_page(data: &[u8]) {
    for row in data.as_chunks::<ENTRY_SIZE>().0 {
        assert_eq!(PageHeader::from_bytes(*row).to_bytes(), *row);
        assert_eq!(Entry::from_bytes(*row).to_bytes(), *row);
        let _ = Entry::from_bytes(*row).check(0);
        let _ = StateMap(*row).state(125);
    }
    if let Ok(keys) = NvsKeys::parse(data) {
        let mut partition = [0; KEYS_PARTITION_SIZE];
        keys.encode(&mut partition);
        assert_eq!(partition[..68], data[..68], "keys changed in a round trip");
    }
    // A short last page is filled up with erased flash.
    let pages = data.len().div_ceil(PAGE_SIZE).clamp(1, MAX_PAGES);
    let mut partition = data.to_vec();
    partition.resize(pages * PAGE_SIZE, 0xFF);
    whole(&partition);
    mend(&mut partition);
    whole(&partition);
}

fn whole(partition: &[u8]) {
    let keys = NvsKeys::new(Secret::filled_by(|key| key.fill(0x22)));
    assert!(inspect(partition, Some(&keys)).is_ok(), "inspect refuses the size only");
    let mut crypted = partition.to_vec();
    let entries = encrypt_partition(&keys, &mut crypted).expect("whole pages");
    assert_eq!(decrypt_partition(&keys, &mut crypted), Ok(entries));
    assert_eq!(crypted, partition, "decrypting does not undo encrypting");
    let Ok(items) = read_partition(partition, None) else { return };
    let size = u32::try_from(partition.len()).expect("a few pages");
    // Room for worse page breaks than the original's: a page per value.
    let room = FlashLen(4 * size + u32::try_from(items.len() * PAGE_SIZE).expect("a few hundred values"));
    let mut image = NvsImage::new(room, Version::V2).expect("whole pages");
    for Item { namespace, key, value } in &items {
        image.put(namespace, key, value).expect("what was read can be written");
    }
    let again = read_partition(&image.finish(), None).expect("our own image has no fault");
    assert_eq!(sorted(items), sorted(again), "values changed in a round trip");
}

fn sorted(mut items: Vec<Item>) -> Vec<Item> {
    items.sort_by_key(|item| (item.namespace, item.key));
    items
}

/// Makes the header's and all entries' checksums hold.
fn mend(partition: &mut [u8]) {
    for page in partition.as_chunks_mut::<PAGE_SIZE>().0 {
        let header = crc_a(&page[4..28]);
        page[28..32].copy_from_slice(&header.to_le_bytes());
        for entry in page[2 * ENTRY_SIZE..].as_chunks_mut::<ENTRY_SIZE>().0 {
            let mut covered = [0; 28];
            covered[..4].copy_from_slice(&entry[..4]);
            covered[4..].copy_from_slice(&entry[8..]);
            let written = entry.iter().any(|&byte| byte != 0xFF);
            if written {
                entry[4..8].copy_from_slice(&crc_a(&covered).to_le_bytes());
            }
        }
    }
}
