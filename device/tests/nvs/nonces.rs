//! The nonce counter under power cuts.

use crate::bench::{Bench, cuts, key, set};
use cotter_chip::flash::FlashError;
use cotter_device::nonces::{KEY, LAST, NAMESPACE, NonceCounter, NonceError};
use cotter_device::nvs::NvsError;
use cotter_formats::nvs::Value;
use cotter_formats::nvs::entry::ItemType;
use cotter_wire::ids::Nonce;

const COUNTER: NonceCounter = NonceCounter::new(Nonce(10_000));

fn provisioned(encrypted: bool) -> Bench {
    let mut bench = Bench::erased(3, encrypted);
    bench.change(|store| COUNTER.provision(store)).unwrap();
    bench
}

#[test]
fn counts_up_from_the_floor_across_mounts() {
    let mut bench = provisioned(true);
    for expected in 10_001..10_400 {
        assert_eq!(bench.change(|store| COUNTER.next(store)), Ok(Nonce(expected)));
    }
    bench.change(|store| COUNTER.provision(store)).unwrap();
    assert_eq!(bench.change(|store| COUNTER.next(store)), Ok(Nonce(10_400)), "provisioning again changes nothing");
}

#[test]
fn a_stored_counter_below_the_floor_is_lifted() {
    let mut bench = Bench::erased(3, false);
    bench.change(|store| store.set_u32(&NAMESPACE, &KEY, 3)).unwrap();
    assert_eq!(bench.change(|store| COUNTER.next(store)), Ok(Nonce(10_001)));
}

#[test]
fn a_lost_counter_is_not_started_again() {
    let mut store = Bench::erased(3, false).mount();
    assert_eq!(COUNTER.next(&mut store), Err(NonceError::Missing));
    store.set_u64(&NAMESPACE, &KEY, 1).unwrap();
    assert_eq!(COUNTER.next(&mut store), Err(NonceError::Store(NvsError::Type { stored: ItemType::U64 })));
}

#[test]
fn ends_before_the_range_does() {
    let mut store = Bench::erased(3, false).mount();
    store.set_u32(&NAMESPACE, &KEY, LAST.0 - 1).unwrap();
    assert_eq!(COUNTER.next(&mut store), Ok(LAST));
    assert_eq!(COUNTER.next(&mut store), Err(NonceError::Exhausted));
    store.set_u32(&NAMESPACE, &KEY, u32::MAX).unwrap();
    assert_eq!(COUNTER.next(&mut store), Err(NonceError::Exhausted));
    assert_eq!(NonceCounter::new(Nonce(u32::MAX)).next(&mut store), Err(NonceError::Exhausted));
}

/// 400 increments fill the partition and free pages several times over; each operation of each is cut.
#[test]
fn never_gives_a_nonce_twice_wherever_the_power_is_cut() {
    for encrypted in [false, true] {
        let mut bench = provisioned(encrypted);
        bench.change(|store| (0..5).for_each(|number| set(store, &format!("k{number}"), &Value::U32(number)).unwrap()));
        let (mut tried, mut skipped) = (0, 0);
        for last in 10_000..10_400 {
            let next = |store: &mut crate::bench::Store| match COUNTER.next(store) {
                Ok(_) => Ok(()),
                Err(NonceError::Store(error)) => Err(error),
                Err(other) => panic!("{other:?}"),
            };
            for cut in cuts(bench.operations(next), 2) {
                let mut broken = bench.cut(cut, next);
                let first = broken.change(|store| COUNTER.next(store)).unwrap();
                assert!(first.0 > last && first.0 <= last + 2, "{last}, {cut:?}: {first:?}");
                let second = broken.change(|store| COUNTER.next(store)).unwrap();
                assert_eq!(second.0, first.0 + 1);
                tried += 1;
                skipped += u32::from(first.0 == last + 2);
            }
            assert_eq!(bench.change(|store| COUNTER.next(store)), Ok(Nonce(last + 1)));
        }
        println!("encrypted {encrypted}: {tried} cuts, {skipped} nonces skipped, none repeated");
        assert!(tried > 4_000 && skipped > 0 && skipped < tried);
    }
}

#[test]
fn a_nonce_that_was_not_stored_is_not_given_out() {
    let bench = provisioned(false);
    let flash = bench.flash(0);
    let mut store = bench.mount_on(&flash).unwrap();
    flash.fault().cut_now();
    let refusal = COUNTER.next(&mut store);
    assert!(matches!(refusal, Err(NonceError::Store(NvsError::Flash(_)))), "{refusal:?}");
    flash.fault().restore_power();
    let again: Result<_, NonceError<FlashError>> = COUNTER.next(&mut store);
    // Reading failed, not writing: the store is as it was.
    assert_eq!(again, Ok(Nonce(10_001)));
    assert_eq!(store.u32(&key("ecowatt"), &key("nonce")), Ok(Some(10_001)));
}
