//! Getting and setting with the power on.

use crate::bench::{Bench, NAMESPACE, get, key, set};
use cotter_chip::fault::Fault;
use cotter_chip::flash::Flash;
use cotter_device::nvs::{MAX_BLOB, MAX_STRING, Nvs, NvsError};
use cotter_device::platform::Region;
use cotter_formats::addr::{FlashAddr, FlashLen};
use cotter_formats::nvs::Value;
use cotter_formats::nvs::entry::ItemType;

#[test]
fn every_type_survives_a_remount() {
    for encrypted in [false, true] {
        let mut bench = Bench::erased(3, encrypted);
        let values = [
            ("number", Value::U32(0xDEAD_BEEF)),
            ("long", Value::U64(u64::MAX - 1)),
            ("text", Value::string("pässword")),
            ("empty", Value::string("")),
            ("blob", Value::blob((0..=255).collect::<Vec<u8>>())),
            ("nothing", Value::blob(vec![])),
            ("ones", Value::blob(vec![0xFF; 96])),
        ];
        bench.change(|store| values.iter().for_each(|(name, value)| set(store, name, value).unwrap()));
        for (name, value) in &values {
            assert_eq!(get(&mut bench.mount(), name).unwrap().as_ref(), Some(value));
        }
        assert_eq!(bench.values().len(), values.len());
        assert_eq!(bench.mount_operations(), 0, "there is nothing to repair");
    }
}

#[test]
fn a_value_may_change_its_type() {
    let mut store = Bench::erased(3, false).mount();
    for value in [Value::U32(1), Value::blob(vec![2; 50]), Value::string("3"), Value::blob(vec![4; 70]), Value::U64(5)]
    {
        set(&mut store, "a", &value).unwrap();
        assert_eq!(get(&mut store, "a").unwrap(), Some(value));
    }
    assert_eq!(store.u32(&NAMESPACE, &key("a")), Err(NvsError::Type { stored: ItemType::U64 }));
}

#[test]
fn an_erased_key_is_gone_and_stays_gone() {
    let mut bench = Bench::erased(3, true);
    bench.change(|store| {
        set(store, "a", &Value::blob(vec![1; 100])).unwrap();
        set(store, "b", &Value::U32(2)).unwrap();
        assert_eq!(store.erase_key(&NAMESPACE, &key("a")), Ok(true));
        assert_eq!(store.erase_key(&NAMESPACE, &key("a")), Ok(false));
        assert_eq!(store.erase_key(&key("elsewhere"), &key("b")), Ok(false));
    });
    assert_eq!(get(&mut bench.mount(), "a"), Ok(None));
    assert_eq!(bench.values().into_iter().collect::<Vec<_>>(), [("b".into(), Value::U32(2))]);
}

#[test]
fn the_same_value_again_costs_no_operation() {
    let mut bench = Bench::erased(3, true);
    for value in [Value::U32(1), Value::string("text"), Value::blob(vec![3; 100])] {
        bench.change(|store| set(store, "a", &value)).unwrap();
        assert_eq!(bench.operations(|store| set(store, "a", &value)), 0);
    }
}

#[test]
fn namespaces_are_apart() {
    let mut store = Bench::erased(3, false).mount();
    for number in 0..20 {
        store.set_u32(&key(&format!("n{number}")), &key("a"), number).unwrap();
    }
    for number in 0..20 {
        assert_eq!(store.u32(&key(&format!("n{number}")), &key("a")), Ok(Some(number)));
    }
    assert_eq!(store.u32(&key("n20"), &key("a")), Ok(None));
}

#[test]
fn refuses_what_is_too_long_before_writing() {
    let bench = Bench::erased(3, false);
    let flash = bench.flash(0);
    let mut store = bench.mount_on(&flash).unwrap();
    let (len, limit) = (MAX_BLOB + 1, MAX_BLOB);
    assert_eq!(set(&mut store, "a", &Value::blob(vec![0; len])), Err(NvsError::TooLong { len, limit }));
    let (len, limit) = (MAX_STRING + 1, MAX_STRING);
    assert_eq!(set(&mut store, "a", &Value::string("x".repeat(len))), Err(NvsError::TooLong { len, limit }));
    assert_eq!(set(&mut store, "a", &Value::string("a\0b")), Err(NvsError::NulInString));
    assert_eq!(flash.fault().operations(), 0);
    set(&mut store, "a", &Value::blob(vec![1; MAX_BLOB])).unwrap();
    set(&mut store, "b", &Value::string("x".repeat(MAX_STRING))).unwrap();
    let (needed, room) = (MAX_BLOB, MAX_BLOB - 1);
    assert_eq!(store.blob(&NAMESPACE, &key("a"), &mut vec![0; room]), Err(NvsError::Room { needed, room }));
}

#[test]
fn a_full_store_says_so_and_keeps_working() {
    for encrypted in [false, true] {
        let mut bench = Bench::erased(4, encrypted);
        let stored = bench.change(|store| {
            let mut stored: u32 = 0;
            while set(store, &format!("k{stored}"), &Value::U32(stored)).is_ok() {
                stored += 1;
            }
            assert_eq!(set(store, "one_more", &Value::U32(0)), Err(NvsError::NoSpace { needed: 1 }));
            stored
        });
        assert!(stored >= 3 * 126 - 2, "{stored}");
        assert_eq!(bench.values().len(), stored as usize);
        bench.change(|store| {
            assert_eq!(store.erase_key(&NAMESPACE, &key("k7")), Ok(true));
            for round in 0..300 {
                set(store, "one_more", &Value::U32(round)).unwrap_or_else(|error| panic!("round {round}: {error:?}"));
                assert_eq!(get(store, "one_more"), Ok(Some(Value::U32(round))));
                assert_eq!(store.erase_key(&NAMESPACE, &key("one_more")), Ok(true));
            }
            for number in (0..stored).filter(|number| *number != 7) {
                assert_eq!(get(store, &format!("k{number}")), Ok(Some(Value::U32(number))));
            }
        });
    }
}

#[test]
fn pages_without_resting_values_wear_alike() {
    let bench = Bench::erased(6, false);
    let flash = bench.flash(0);
    let mut store = bench.mount_on(&flash).unwrap();
    for round in 0..126 * 20 {
        set(&mut store, "a", &Value::U32(round)).unwrap();
    }
    let sequence = |page: usize| u32::from_le_bytes(flash.content()[page * 4096 + 4..][..4].try_into().unwrap());
    let used: Vec<u32> = (0..6).map(sequence).filter(|number| *number != u32::MAX).collect();
    // The page with the namespace rests, as with ESP-IDF; one page is free; the other four take turns.
    assert_eq!(used, [0, 17, 18, 19, 20]);
}

#[test]
fn refuses_partitions_it_cannot_write() {
    for size in [0x1000, 0x2000, 0x3800, 0x4_1000] {
        let flash = Flash::with_content(vec![0xFF; 0x5_0000], Fault::new(0)).unwrap();
        let region = Region::new(flash, FlashAddr(0x1000), FlashLen(size)).unwrap();
        assert_eq!(Nvs::mount(region, None).err(), Some(NvsError::Size { len: FlashLen(size) }));
    }
}

#[test]
fn wrong_keys_destroy_nothing() {
    let mut bench = Bench::erased(3, true);
    bench.change(|store| set(store, "a", &Value::U32(1))).unwrap();
    let flash = bench.flash(0);
    let plain = Bench { encrypted: false, ..bench.clone() };
    assert_eq!(plain.mount_on(&flash).err(), Some(NvsError::NothingReadable));
    assert_eq!(flash.content(), bench.content);
    assert_eq!(flash.fault().operations(), 0);
}
