//! otadata entries and the choice between two of them.

use cotter_formats::otadata::{ENTRY_LEN, OtaEntry, PARTITION_LEN, next_seq, parse_partition, select, slot_of};

/// Entries survive a round trip; the next sequence number is higher and stands for the slot that was asked for.
pub fn otadata(data: &[u8]) {
    match OtaEntry::parse(data) {
        Ok(entry) => assert_eq!(entry.encode(), data, "an entry changed in a round trip"),
        Err(_) => assert_ne!(data.len(), ENTRY_LEN, "any {ENTRY_LEN} bytes are an entry"),
    }
    // As a whole partition, and its two entries directly behind each other (a smaller input for the fuzzer).
    let whole = parse_partition(data);
    assert_eq!(whole.is_ok(), data.len() == PARTITION_LEN);
    let adjacent = data.as_chunks::<ENTRY_LEN>().0;
    if let [first, second, ..] = adjacent {
        let entry = |bytes: &[u8; ENTRY_LEN]| OtaEntry::parse(bytes).expect("the length is right");
        choose([entry(first), entry(second)]);
    }
    if let Ok(entries) = whole {
        choose(entries);
    }
}

fn choose(entries: [OtaEntry; 2]) {
    let active = select(&entries);
    match active {
        Some(index) => {
            assert!(entries[index].is_valid(), "an invalid entry was chosen");
            let other = entries[1 - index];
            assert!(!other.is_valid() || other.seq <= entries[index].seq, "the lower sequence number was chosen");
        }
        None => assert!(entries.iter().all(|entry| !entry.is_valid())),
    }
    let current = active.map_or(0, |index| entries[index].seq);
    for count in 0..=16 {
        assert_eq!(slot_of(current, count).is_some(), count > 0);
        for wanted in 0..=count {
            if let Some(next) = next_seq(current, wanted, count) {
                assert!(next > current && next != u32::MAX);
                assert_eq!(slot_of(next, count), Some(wanted));
            }
        }
    }
}
