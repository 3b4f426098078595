//! Every single flipped bit of a page, plain and encrypted: a fault, or one of the names below.

extern crate std;
use super::*;
use crate::nvs::NvsKeys;
use crate::nvs::whole::encrypt_partition;
use alloc::format;
use std::println;

const PAGE: &[u8; 0x1000] = include_bytes!("../../../vectors/nvs/basic-ro-0x1000.bin");

/// Where no fault is found, what the flip did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Unseen {
    /// The page counts as full instead of active: nothing is written to it any more; all values are there.
    PageIsFull,
    /// The map has four bits more than there are entries.
    MapTail,
    /// Behind the data of a string or blob, up to the end of its last entry; no CRC covers it and nobody reads it.
    Padding,
    /// The entry is marked as erased, as a device does to delete it. No CRC covers the map, so the format cannot tell the
    /// two apart: the value is missing. Never another value, and never part of one.
    Deleted,
}

fn keys() -> NvsKeys {
    NvsKeys::parse(include_bytes!("../../../vectors/nvs/nvs_keys_fixed.bin")).unwrap()
}

/// The bytes of each entry that hold neither head nor data, of the plain page.
fn is_padding(page: &[u8], at: usize) -> bool {
    let map = map_of(page);
    let mut index = 0;
    while index < ENTRIES {
        let head = entry_offset(index);
        if map.state(index) == EntryState::Written {
            let mut bytes = [0; ENTRY_SIZE];
            bytes.copy_from_slice(&page[head..head + ENTRY_SIZE]);
            let entry = Entry::from_bytes(bytes);
            let end = head + ENTRY_SIZE * entry.span();
            if entry.kind().has_data() && (head + ENTRY_SIZE + usize::from(entry.data_size())..end).contains(&at) {
                return true;
            }
            index += entry.span();
        } else {
            index += 1;
        }
    }
    false
}

fn every_flip(page: &[u8], keys: Option<&NvsKeys>) {
    let good = read_partition(page, keys).unwrap();
    assert!(!good.is_empty());
    let (mut faults, mut unseen) = (BTreeMap::<String, usize>::new(), BTreeMap::<Unseen, usize>::new());
    for bit in 0..8 * page.len() {
        let mut flipped = page.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match read_partition(&flipped, keys) {
            Err(NvsError::Fault(fault)) => {
                let kind = format!("{:?}", fault.kind);
                *faults.entry(kind.split([' ', '(', '{']).next().unwrap().into()).or_default() += 1;
            }
            Err(size) => panic!("{size}"),
            Ok(items) => {
                let name = match bit / 8 {
                    0..4 => Unseen::PageIsFull,
                    32..64 if bit - 8 * 32 >= 2 * ENTRIES => Unseen::MapTail,
                    32..64 => Unseen::Deleted,
                    at if keys.is_none() => {
                        assert!(is_padding(PAGE, at), "byte {at:#x} is protected by nothing");
                        Unseen::Padding
                    }
                    // A flip garbles its block of 16 bytes, none of which may be anything else.
                    at => {
                        assert!((at / 16 * 16..at / 16 * 16 + 16).all(|at| is_padding(PAGE, at)), "byte {at:#x}");
                        Unseen::Padding
                    }
                };
                match name {
                    Unseen::Deleted => {
                        assert!(items.len() < good.len() && items.iter().all(|item| good.contains(item)), "bit {bit}");
                    }
                    _ => assert_eq!(items, good, "{name:?}, bit {bit}"),
                }
                *unseen.entry(name).or_default() += 1;
            }
        }
    }
    let detected: usize = faults.values().sum();
    println!("NVS page, encrypted {}: {detected} flips detected {faults:?}, not detected {unseen:?}", keys.is_some());
    assert_eq!(detected + unseen.values().sum::<usize>(), 8 * page.len());
}

#[test]
fn every_flipped_bit_of_a_plain_page_is_a_fault_or_has_a_name() {
    every_flip(PAGE, None);
}

#[test]
fn every_flipped_bit_of_an_encrypted_page_is_a_fault_or_has_a_name() {
    let mut page = *PAGE;
    encrypt_partition(&keys(), &mut page).unwrap();
    every_flip(&page, Some(&keys()));
}
