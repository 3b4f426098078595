//! Power cuts at every transaction: the part starts again from its stored memory, before the transaction or after it.
//!
//! Afterwards the identity is the one that was there, counters did not go back, locks hold, and the driver goes on.

use crate::bench::{DEMO, Driver, Fault, KINDS, blank, restored, slot};
use crate::commands::{holds, sign};
use crate::noise::{WORK_MAX, identity, is_of_noise};
use cotter_device::atecc::Error;
use cotter_device::atecc::command::counter::{CounterId, Increment, ReadCounter};
use cotter_device::atecc::command::key::{CreateKey, GetPublicKey, KeyPlace};
use cotter_device::atecc::command::lock::Lock;
use cotter_device::atecc::command::sha::{EndKind, Hash, Start, Target};
use cotter_device::atecc::command::zone::{ReadConfig, ReadSlot, WriteConfig, WriteSlot};
use cotter_formats::atecc::ConfigZone;
use sha2::{Digest, Sha256};

const CUTS: [Fault; 2] = [Fault::CutBefore, Fault::CutAfter];

/// A day of a device: a count, a reading hashed and signed, something stored.
fn day(driver: &mut Driver) -> Result<(), Error> {
    driver.run(Increment(CounterId::One))?;
    let digest = driver.run(Hash::new(Start::Digest, &[7; 130], Target::Output, EndKind::Common))?;
    assert_eq!(digest[..], Sha256::digest([7; 130])[..]);
    sign(driver, 2, &digest)?;
    driver.run(WriteSlot::new(slot(13), &[9; 64]))?;
    driver.run(Increment(CounterId::One))?;
    Ok(())
}

#[test]
fn a_power_cut_at_any_transaction_harms_nothing() {
    let (state, public) = identity();
    for kind in KINDS {
        let (desk, mut driver) = restored(kind, &state);
        desk.calm();
        day(&mut driver).unwrap();
        let transactions = desk.count();
        assert!(transactions > 60, "{transactions}");
        for at in 0..transactions {
            for cut in CUTS {
                let (desk, mut driver) = restored(kind, &state);
                desk.fault_at(at, cut);
                let result = day(&mut driver);
                assert!(desk.count() < transactions + WORK_MAX, "{cut:?} at {at}");
                if let Err(error) = result {
                    assert!(is_of_noise(error), "{cut:?} at {at}: {error}");
                }
                desk.calm();
                let count = driver.run(ReadCounter(CounterId::One)).unwrap().value();
                assert!(count <= 2 && (result.is_err() || count == 2), "{cut:?} at {at}: {count}");
                assert_eq!(driver.run(GetPublicKey(KeyPlace::Slot(slot(2)))), Ok(public), "{cut:?} at {at}");
                let signature = sign(&mut driver, 2, &[1; 32]).unwrap();
                assert!(holds(&public, &[1; 32], &signature));
                let mut stored = [0; 64];
                driver.run(ReadSlot::new(slot(13), &mut stored)).unwrap();
                for block in stored.chunks(32) {
                    assert!(block == [9; 32] || block == [0xff; 32], "{cut:?} at {at}");
                }
            }
        }
    }
}

#[test]
fn a_second_cut_during_the_recovery_harms_nothing_either() {
    let (state, public) = identity();
    let (desk, mut driver) = restored(KINDS[0], &state);
    desk.calm();
    day(&mut driver).unwrap();
    let transactions = desk.count();
    for at in (0..transactions).step_by(3) {
        for gap in 1..12 {
            let (desk, mut driver) = restored(KINDS[gap % 2], &state);
            desk.trouble(move |number| (number == at || number == at + gap).then_some(CUTS[gap % 2]));
            let result = day(&mut driver);
            desk.calm();
            let count = driver.run(ReadCounter(CounterId::One)).unwrap().value();
            assert!(count <= 2 && (result.is_err() || count == 2), "{at}, {gap}");
            assert_eq!(driver.run(GetPublicKey(KeyPlace::Slot(slot(2)))), Ok(public));
            day(&mut driver).unwrap();
        }
    }
}

/// A birth: configuration, lock, key, lock. It can be begun again after a cut, since it reads what is there first.
fn birth(driver: &mut Driver) -> Result<(), Error> {
    let mut zone = driver.run(ReadConfig::default())?;
    if !zone.is_config_locked() {
        driver.run(WriteConfig::new(&ConfigZone(DEMO)))?;
        zone = driver.run(ReadConfig::default())?;
        assert_eq!((&zone.0[16..84], &zone.0[88..]), (&DEMO[16..84], &DEMO[88..]));
        driver.run(Lock::config(&zone))?;
    }
    if !zone.is_data_locked() {
        driver.run(CreateKey(KeyPlace::Slot(slot(2))))?;
        driver.run(Lock::data_unchecked())?;
    }
    Ok(())
}

#[test]
fn a_birth_that_is_cut_anywhere_is_finished_by_the_next_attempt() {
    for kind in KINDS {
        let (desk, mut driver) = blank(kind);
        let fresh = desk.state();
        desk.calm();
        birth(&mut driver).unwrap();
        let transactions = desk.count();
        for at in 0..transactions {
            let cut = CUTS[at % 2];
            let (desk, mut driver) = restored(kind, &fresh);
            desk.fault_at(at, cut);
            if let Err(error) = birth(&mut driver) {
                assert!(is_of_noise(error), "{cut:?} at {at}: {error}");
                let before = desk.config();
                birth(&mut driver).unwrap_or_else(|error| panic!("{cut:?} at {at}: {error}"));
                assert!(!before.is_config_locked() || desk.config().is_config_locked());
            }
            desk.calm();
            let config = desk.config();
            assert!(config.is_config_locked() && config.is_data_locked(), "{cut:?} at {at}");
            assert_eq!((&config.0[16..84], &config.0[88..]), (&DEMO[16..84], &DEMO[88..]), "{cut:?} at {at}");
            let public = driver.run(GetPublicKey(KeyPlace::Slot(slot(2)))).unwrap();
            assert!(holds(&public, &[1; 32], &sign(&mut driver, 2, &[1; 32]).unwrap()), "{cut:?} at {at}");
        }
    }
}
