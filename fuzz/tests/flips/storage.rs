//! What lies in flash beside the images: NVS, its keys, the partition table, otadata.

use crate::tally::{Tally, Verdict};
use crate::vector;
use cotter_formats::nvs::page::{ENTRIES, ENTRY_SIZE, EntryState, MAP_OFFSET, PAGE_SIZE, StateMap};
use cotter_formats::nvs::partition::inspect;
use cotter_formats::nvs::{NvsKeys, read_partition};
use cotter_formats::otadata::{OtaEntry, OtaState, parse_partition, select};
use cotter_formats::partition::PartitionTable;

/// The generator's pages: plain and encrypted.
pub(crate) fn nvs_pages() -> Vec<Tally> {
    let keys = NvsKeys::parse(&vector("nvs/nvs_keys_fixed.bin")).unwrap();
    vec![
        nvs_page("NVS page, version 2", &vector("nvs/basic-ro-0x1000.bin"), None),
        nvs_page("NVS page, version 1", &first_page("nvs/wifi_keys-v1.bin", None), None),
        nvs_page("NVS page, encrypted", &first_page("nvs/wifi_keys-v2-enc.bin", Some(&keys)), Some(&keys)),
    ]
}

/// A page that holds all its values itself.
fn first_page(path: &str, keys: Option<&NvsKeys>) -> Vec<u8> {
    let page = vector(path)[..PAGE_SIZE].to_vec();
    assert!(read_partition(&page, keys).is_ok(), "{path} needs more than one page");
    page
}

fn nvs_page(name: &str, page: &[u8], keys: Option<&NvsKeys>) -> Tally {
    let items = inspect(page, keys).unwrap().items;
    assert!(items.len() > 2);
    let map = |page: &[u8]| StateMap(page[MAP_OFFSET..2 * MAP_OFFSET].try_into().unwrap());
    let before = map(page);
    Tally::of(name, page, |flipped, at| {
        let contents = inspect(flipped, keys).unwrap();
        if let Some(fault) = contents.faults.first() {
            return Verdict::refused(&fault.kind);
        }
        if contents.items == items {
            return Verdict::Harmless(match at {
                0..4 => "active or full: the page is read either way",
                32..64 => "the map's last four bits, which stand for no entry",
                64.. if before.state((at - 2 * MAP_OFFSET) / ENTRY_SIZE) == EntryState::Written => {
                    "behind a string or blob, in what its size leaves of the last entry"
                }
                64.. => "an entry that is marked as dropped",
                _ => unreachable!("byte {at} of the header"),
            });
        }
        let dropped = (0..ENTRIES)
            .any(|entry| before.state(entry) == EntryState::Written && map(flipped).state(entry) == EntryState::Erased);
        assert!(dropped && contents.items.len() < items.len(), "byte {at}: other values without a fault");
        Verdict::Unseen("the map says dropped, as after a deletion")
    })
}

/// The sector with the keys of an encrypted partition.
pub(crate) fn nvs_keys() -> Vec<Tally> {
    let sector = vector("nvs/nvs_keys_fixed.bin");
    vec![Tally::of("NVS keys", &sector, |flipped, at| match NvsKeys::parse(flipped) {
        Err(refusal) => Verdict::refused(&refusal),
        Ok(_) if at >= 68 => Verdict::Harmless("behind the CRC, where ESP-IDF does not look"),
        Ok(_) => unreachable!("byte {at} changed and the CRC holds"),
    })]
}

/// With its MD5 row; without one, what the rules of the table alone refuse.
pub(crate) fn partition_table() -> Vec<Tally> {
    let table = vector("partition/two_ota_sec.bin");
    vec![Tally::of("partition table with MD5", &table, |flipped, at| match PartitionTable::parse(flipped) {
        Err(refusal) => Verdict::refused(&refusal),
        Ok(_) => unreachable!("byte {at} changed and the table is accepted"),
    })]
}

/// Two entries that a bootloader chooses between.
pub(crate) fn otadata() -> Vec<Tally> {
    let entries = [OtaEntry::new(1, OtaState::VALID), OtaEntry::new(2, OtaState::VALID)];
    let file = cotter_formats::otadata::build_partition(&entries);
    let read = |file: &[u8]| parse_partition(file).unwrap();
    vec![Tally::of("otadata", &file, |flipped, at| {
        let (now, number) = (read(flipped), at / PAGE_SIZE);
        if at % PAGE_SIZE >= 32 {
            return Verdict::Harmless("behind the entry, where nobody looks");
        }
        let (entry, before) = (&now[number], &entries[number]);
        if entry.is_valid() {
            let same = OtaEntry { label: before.label, state: before.state, ..*entry } == *before;
            assert!(same && select(&now) == select(&entries), "byte {at}");
            return match entry.state {
                OtaState::VALID => Verdict::Harmless("the label, which no bootloader reads"),
                OtaState::NEW | OtaState::PENDING_VERIFY => Verdict::Unseen("the state says not yet confirmed"),
                _ => Verdict::Harmless("an unknown state, which boots without condition"),
            };
        }
        match entry.state {
            OtaState::INVALID | OtaState::ABORTED => Verdict::Unseen("the state says that the image was given up"),
            _ => Verdict::Refused("CRC: the entry does not count".into()),
        }
    })]
}
