//! Flash that no store wrote: flipped bits, illegal states, forged entries, noise. A typed error or a working store; never
//! a panic, an endless loop, or a value that nobody stored.

use crate::bench::{Bench, NAMESPACE, get, key, keys, set};
use cotter_device::nvs::NvsError;
use cotter_formats::crc::crc_a;
use cotter_formats::nvs::Value;
use cotter_formats::nvs::entry::{BlobIndex, Entry, ItemType, NOT_A_CHUNK};
use cotter_formats::nvs::page::{EntryState, PageHeader, PageState, StateMap, Version, entry_offset};
use proptest::collection::vec;
use proptest::prelude::*;

/// One page of values and a second one just begun.
fn furnished(pages: usize, encrypted: bool) -> Bench {
    let mut bench = Bench::erased(pages, encrypted);
    bench.change(|store| {
        set(store, "number", &Value::U32(1)).unwrap();
        set(store, "blob", &Value::blob(vec![0xA5; 70])).unwrap();
        set(store, "text", &Value::string("some text")).unwrap();
        (0..120).for_each(|round| set(store, "busy", &Value::U32(round)).unwrap());
    });
    bench
}

#[test]
fn any_flipped_bit_costs_at_most_the_values_it_hits() {
    for encrypted in [false, true] {
        let bench = furnished(4, encrypted);
        let whole = bench.values();
        assert_eq!(whole.len(), 4);
        let (mut untouched, mut refused) = (0, 0);
        // Header, map and the entries in use of both pages.
        let bits = (0..0x1000 * 8).step_by(3).chain(0x1000 * 8..0x1140 * 8);
        for bit in bits {
            let mut flipped = bench.clone();
            flipped.content[bit / 8] ^= 1 << (bit % 8);
            let flash = flipped.flash(0);
            let mut store = match flipped.mount_on(&flash) {
                Ok(store) => store,
                Err(error) => panic!("bit {bit}: {error:?}"),
            };
            let mut lost = 0;
            for (name, value) in &whole {
                match get(&mut store, name) {
                    Ok(Some(now)) if now == *value => {}
                    Ok(Some(Value::U32(older))) if name == "busy" && older < 119 => lost += 1,
                    Ok(None) => lost += 1,
                    Err(NvsError::Damaged) => refused += 1,
                    other => panic!("bit {bit}: {name} became {other:?}"),
                }
            }
            untouched += usize::from(lost == 0);
            set(&mut store, "number", &Value::U32(2)).unwrap();
            set(&mut store, "blob", &Value::blob(vec![1; 90])).unwrap();
            assert_eq!(get(&mut store, "blob"), Ok(Some(Value::blob(vec![1; 90]))));
        }
        println!("encrypted {encrypted}: {untouched} flips cost nothing, {refused} reads were refused");
        assert!(refused > 0);
    }
}

/// ESP-IDF would erase the newest page here, taking it for the unfinished copy.
#[test]
fn a_page_that_wrongly_says_freeing_costs_nothing() {
    for pages in [3, 4] {
        let bench = furnished(pages, true);
        assert_eq!(bench.content[..4], PageState::FULL.0.to_le_bytes());
        let whole = bench.values();
        let mut flipped = bench;
        flipped.content[..4].copy_from_slice(&PageState::FREEING.0.to_le_bytes());
        let mut store = flipped.mount();
        for (name, value) in whole {
            assert_eq!(get(&mut store, &name), Ok(Some(value)));
        }
    }
}

#[test]
fn every_page_freeing_is_worked_off() {
    let mut bench = furnished(6, false);
    for page in 0..2 {
        bench.content[page * 4096..page * 4096 + 4].copy_from_slice(&PageState::FREEING.0.to_le_bytes());
    }
    let whole = furnished(6, false).values();
    let mut store = bench.mount();
    for (name, value) in whole {
        assert_eq!(get(&mut store, &name), Ok(Some(value)));
    }
}

#[test]
fn no_free_page_is_refused() {
    let mut bench = furnished(3, false);
    let header = PageHeader::active(9, Version::V2).to_bytes();
    bench.content[0x2000..0x2020].copy_from_slice(&header);
    assert_eq!(bench.mount_on(&bench.flash(0)).err(), Some(NvsError::NoFreePage));
}

#[test]
fn a_newer_format_is_refused_untouched() {
    let mut bench = furnished(3, false);
    let version = Version(0xFD);
    bench.content[0x1000..0x1020].copy_from_slice(&PageHeader::active(1, version).to_bytes());
    let flash = bench.flash(0);
    assert_eq!(bench.mount_on(&flash).err(), Some(NvsError::Version { page: 1, version }));
    assert_eq!(flash.content(), bench.content);
}

#[test]
fn the_last_sequence_number_is_a_typed_end() {
    let mut bench = furnished(3, false);
    bench.content[0x1000..0x1020].copy_from_slice(&PageHeader::active(u32::MAX, Version::V2).to_bytes());
    let mut store = bench.mount();
    let error = (0..200).find_map(|round| set(&mut store, "busy", &Value::U32(round)).err());
    assert_eq!(error, Some(NvsError::SequenceExhausted));
}

/// A forged page: any entries, each with a good CRC.
struct Forgery {
    page: Vec<u8>,
    next: usize,
}

impl Forgery {
    fn new(sequence: u32) -> Self {
        let mut page = vec![0xFF; 4096];
        page[..32].copy_from_slice(&PageHeader::active(sequence, Version::V2).to_bytes());
        Self { page, next: 0 }
    }

    fn push(&mut self, mut entry: [u8; 32], state: EntryState) {
        let mut covered = entry[..4].to_vec();
        covered.extend_from_slice(&entry[8..]);
        entry[4..8].copy_from_slice(&crc_a(&covered).to_le_bytes());
        self.page[entry_offset(self.next)..][..32].copy_from_slice(&entry);
        let mut map = StateMap(self.page[32..64].try_into().unwrap());
        map.set(self.next, state);
        self.page[32..64].copy_from_slice(&map.0);
        self.next += 1;
    }

    fn bench(self) -> Bench {
        let mut bench = Bench::erased(3, false);
        bench.content[..4096].copy_from_slice(&self.page);
        bench
    }
}

fn namespace_entry(index: u8) -> Entry {
    Entry::number(0, &NAMESPACE, ItemType::U8, [index, 255, 255, 255, 255, 255, 255, 255])
}

#[test]
fn a_blob_without_its_chunks_is_damaged_until_it_is_set_again() {
    for index in [
        BlobIndex { size: 10, chunks: 1, first_chunk: 0 },
        BlobIndex { size: 0, chunks: 255, first_chunk: 0x80 },
        BlobIndex { size: 5, chunks: 0, first_chunk: 0 },
    ] {
        let mut forgery = Forgery::new(0);
        forgery.push(namespace_entry(1).to_bytes(), EntryState::Written);
        forgery.push(Entry::blob_index(1, &key("blob"), index).to_bytes(), EntryState::Written);
        let mut store = forgery.bench().mount();
        assert_eq!(get(&mut store, "blob"), Err(NvsError::Damaged), "{index:?}");
        set(&mut store, "blob", &Value::blob(vec![1; 10])).unwrap();
        assert_eq!(get(&mut store, "blob"), Ok(Some(Value::blob(vec![1; 10]))));
    }
}

#[test]
fn a_blob_of_four_gigabytes_is_refused_by_its_size() {
    let mut forgery = Forgery::new(0);
    forgery.push(namespace_entry(1).to_bytes(), EntryState::Written);
    let index = BlobIndex { size: u32::MAX, chunks: 1, first_chunk: 0 };
    forgery.push(Entry::blob_index(1, &key("blob"), index).to_bytes(), EntryState::Written);
    let mut store = forgery.bench().mount();
    let needed = u32::MAX as usize;
    assert_eq!(store.blob(&NAMESPACE, &key("blob"), &mut [0; 8]), Err(NvsError::Room { needed, room: 8 }));
}

#[test]
fn unusable_namespace_indices_are_replaced() {
    for index in [0, 255] {
        let mut forgery = Forgery::new(0);
        forgery.push(namespace_entry(index).to_bytes(), EntryState::Written);
        let mut store = forgery.bench().mount();
        assert_eq!(get(&mut store, "a"), Ok(None));
        set(&mut store, "a", &Value::U32(1)).unwrap();
        assert_eq!(get(&mut store, "a"), Ok(Some(Value::U32(1))));
    }
}

/// Data that look like an entry stay data, at every cut of writing and erasing them.
#[test]
fn entries_inside_a_blob_never_come_alive() {
    let forged = Entry::number(1, &key("number"), ItemType::U32, [66, 0, 0, 0, 255, 255, 255, 255]).to_bytes();
    let mut bench = Bench::erased(3, false);
    bench.change(|store| set(store, "number", &Value::U32(1))).unwrap();
    let content = forged.repeat(30);
    let check = |broken: &Bench, what: &str| {
        assert_eq!(get(&mut broken.mount(), "number"), Ok(Some(Value::U32(1))), "{what}");
    };
    let write = |store: &mut crate::bench::Store| set(store, "blob", &Value::blob(content.clone()));
    for cut in crate::bench::cuts(bench.operations(write), 8) {
        check(&bench.cut(cut, write), &format!("writing, {cut:?}"));
    }
    bench.change(write).unwrap();
    let erase = |store: &mut crate::bench::Store| store.erase_key(&NAMESPACE, &key("blob")).map(|_| ());
    for cut in crate::bench::cuts(bench.operations(erase), 8) {
        let broken = bench.cut(cut, erase);
        check(&broken, &format!("erasing, {cut:?}"));
        for second in crate::bench::cuts(broken.mount_operations(), 8) {
            check(&broken.cut_mount(second), &format!("erasing, {cut:?}, {second:?}"));
        }
    }
}

fn any_state() -> impl Strategy<Value = EntryState> {
    prop_oneof![
        8 => Just(EntryState::Written),
        1 => Just(EntryState::Empty),
        1 => Just(EntryState::Erased),
        1 => Just(EntryState::Illegal),
    ]
}

fn any_entry() -> impl Strategy<Value = [u8; 32]> {
    let kind = prop_oneof![
        Just(ItemType::U8),
        Just(ItemType::U32),
        Just(ItemType::STRING),
        Just(ItemType::BLOB),
        Just(ItemType::BLOB_DATA),
        Just(ItemType::BLOB_INDEX),
        any::<u8>().prop_map(ItemType),
    ];
    let span = prop_oneof![Just(1_u8), 0..6_u8, any::<u8>()];
    let chunk = prop_oneof![Just(NOT_A_CHUNK), 0..4_u8, 0x80..0x84_u8];
    let size = prop_oneof![0..200_u16, any::<u16>()];
    (0..3_u8, kind, span, chunk, 0..4_usize, size, any::<[u8; 6]>()).prop_map(
        |(namespace, kind, span, chunk, name, size, rest)| {
            let name = [&b"bench"[..], b"a", b"b", b""][name];
            let mut entry = [0; 32];
            entry[..4].copy_from_slice(&[namespace, kind.0, span, chunk]);
            entry[8..8 + name.len()].copy_from_slice(name);
            entry[24..26].copy_from_slice(&size.to_le_bytes());
            entry[26..].copy_from_slice(&rest);
            entry
        },
    )
}

/// Whatever was found, what is set now is read back, and what is read is not a panic.
fn use_it(bench: &Bench) {
    let flash = bench.flash(1);
    let Ok(mut store) = bench.mount_on(&flash) else { return };
    for name in ["bench", "a", "b"] {
        let _ = get(&mut store, name);
    }
    for round in 0..130 {
        match set(&mut store, "a", &Value::U32(round)) {
            Ok(()) => assert_eq!(get(&mut store, "a"), Ok(Some(Value::U32(round)))),
            Err(NvsError::NoSpace { .. } | NvsError::SequenceExhausted | NvsError::TooManyNamespaces) => return,
            Err(other) => panic!("{other:?}"),
        }
    }
    let settled = Bench { content: flash.content(), encrypted: bench.encrypted };
    assert_eq!(get(&mut settled.mount(), "a"), Ok(Some(Value::U32(129))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn forged_entries_do_no_harm(
        pages in vec((vec((any_entry(), any_state()), 0..126), 0..5_u32, 0..4_usize), 1..4),
    ) {
        let mut bench = Bench::erased(4, false);
        for (number, (entries, sequence, state)) in pages.into_iter().enumerate() {
            let mut forgery = Forgery::new(sequence);
            entries.into_iter().for_each(|(entry, state)| forgery.push(entry, state));
            let state = [PageState::ACTIVE, PageState::FULL, PageState::FREEING, PageState::CORRUPT][state];
            forgery.page[..4].copy_from_slice(&state.0.to_le_bytes());
            bench.content[number * 4096..(number + 1) * 4096].copy_from_slice(&forgery.page);
        }
        use_it(&bench);
    }

    #[test]
    fn noise_does_no_harm(
        seed: u64,
        headers in vec(proptest::option::of((any::<u32>(), 0..3_usize)), 3),
        encrypted: bool,
    ) {
        let mut state = seed | 1;
        let noise = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        });
        let mut bench = Bench { content: noise.take(3 * 4096).collect(), encrypted };
        for (number, header) in headers.into_iter().enumerate() {
            let Some((sequence, state)) = header else { continue };
            let mut header = PageHeader::active(sequence, Version::V2);
            header.set_state([PageState::ACTIVE, PageState::FULL, PageState::FREEING][state]);
            bench.content[number * 4096..number * 4096 + 32].copy_from_slice(&header.to_bytes());
        }
        use_it(&bench);
    }
}

#[test]
fn the_test_keys_are_not_all_alike() {
    let mut partition = [0; 4096];
    keys().encode(&mut partition);
    assert_ne!(partition[..32], partition[32..64], "XTS with equal halves would be no XTS");
}
