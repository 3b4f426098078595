//! Noise on the wires: lost bytes, flipped bits both ways, missing acknowledgements, a host that stalls.
//!
//! Of an exchange with one fault in it, each command comes to its right end or to a typed error; those that must not be
//! done twice are done once or not at all.

use crate::bench::{DEMO, Desk, Driver, Fault, KINDS, Kind, configured, restored, slot};
use crate::commands::{holds, sign};
use cotter_device::atecc::command::counter::{CounterId, Increment, ReadCounter};
use cotter_device::atecc::command::info::Revision;
use cotter_device::atecc::command::key::{CreateKey, GetPublicKey, KeyPlace, PublicKey};
use cotter_device::atecc::command::sha::{EndKind, Hash, Start, Target};
use cotter_device::atecc::{Error, Part};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// A locked part with an identity in slot 2.
pub(crate) fn identity() -> (Vec<u8>, PublicKey) {
    let mut public = PublicKey([0; 64]);
    let (desk, _) = configured(Kind::Blocking, &DEMO, |driver, _| {
        public = driver.run(CreateKey(KeyPlace::Slot(slot(2)))).unwrap();
    });
    (desk.state(), public)
}

/// More than one exchange ever needs.
pub(crate) const WORK_MAX: usize = 500;

/// What one bad transaction can be. The rest of the fault's numbers come from `salt`.
fn faults(salt: usize) -> Vec<Fault> {
    let mut faults = vec![Fault::Nack, Fault::Denied, Fault::Broken, Fault::Stall];
    for at in 0..3 {
        faults.extend([Fault::Cut(salt + 11 * at), Fault::Flip(salt + 29 * at), Fault::Lose(salt + 7 * at)]);
    }
    faults
}

/// Errors that noise may lead to; a part that refuses says so because it forgot something.
pub(crate) fn is_of_noise(error: Error) -> bool {
    matches!(
        error,
        Error::NoAnswer
            | Error::Bus
            | Error::AnswerLost
            | Error::Communication
            | Error::Watchdog
            | Error::Execution
            | Error::SelfTest
    )
}

/// Runs `act` with each fault at each of its transactions, on a part as it was before.
fn with_each_fault<T>(
    state: &[u8],
    act: impl Fn(&mut Driver) -> Result<T, Error>,
    judge: impl Fn(Kind, &Desk, &mut Driver, Fault, usize, Result<T, Error>),
) {
    for kind in KINDS {
        let (desk, mut driver) = restored(kind, state);
        desk.calm();
        assert!(act(&mut driver).is_ok(), "without a fault");
        let transactions = desk.count();
        for at in 0..transactions {
            for fault in faults(at) {
                let (desk, mut driver) = restored(kind, state);
                desk.fault_at(at, fault);
                let result = act(&mut driver);
                assert!(desk.count() < WORK_MAX, "{fault:?} at {at}: {} transactions", desk.count());
                desk.calm();
                judge(kind, &desk, &mut driver, fault, at, result);
            }
        }
    }
}

#[test]
fn what_may_be_repeated_survives_any_one_fault() {
    let (state, _) = identity();
    let act = |driver: &mut Driver| driver.run(Revision);
    with_each_fault(&state, act, |_, _, _, fault, at, result| {
        assert_eq!(result, Ok([0, 0, 0x60, 2]), "{fault:?} at {at}");
    });
}

#[test]
fn a_part_identifies_itself_whatever_one_fault_does() {
    let (state, _) = identity();
    let act = |driver: &mut Driver| driver.identify();
    with_each_fault(&state, act, |_, _, _, fault, at, result: Result<Part, Error>| {
        assert_eq!(result.unwrap().serial.0[8], 0xee, "{fault:?} at {at}");
    });
}

#[test]
fn a_counter_counts_once_or_says_that_it_does_not_know() {
    let (state, _) = identity();
    let act = |driver: &mut Driver| driver.run(Increment(CounterId::One));
    with_each_fault(&state, act, |_, _, driver, fault, at, result| {
        let count = driver.run(ReadCounter(CounterId::One)).unwrap().value();
        match result {
            Ok(told) => assert_eq!((told.value(), count), (1, 1), "{fault:?} at {at}"),
            Err(Error::AnswerLost) => assert!(count <= 1, "{fault:?} at {at}: {count}"),
            Err(error) => panic!("{fault:?} at {at}: {error}"),
        }
    });
}

#[test]
fn a_damaged_answer_is_read_again_and_the_command_is_not_repeated() {
    // Only the answer is damaged: then even what must not be repeated always succeeds.
    let (state, _) = identity();
    for bit in 0..7 * 8 {
        let (desk, mut driver) = restored(Kind::Blocking, &state);
        let mut damaged = 0;
        desk.trouble(move |at| {
            // After greeting and command; the first two looks that are answered.
            let is_answer = at > 3 && damaged < 2;
            damaged += usize::from(is_answer);
            is_answer.then_some(Fault::Flip(bit))
        });
        assert_eq!(driver.run(Increment(CounterId::One)).map(|count| count.value()), Ok(1), "{bit}");
    }
}

#[test]
fn a_damaged_command_is_sent_again_even_if_it_counts() {
    // One flipped bit in the packet: the part says that it did not arrive.
    let (state, _) = identity();
    for bit in 8..8 * 8 {
        let (desk, mut driver) = restored(Kind::Blocking, &state);
        desk.fault_at(2, Fault::Flip(bit));
        let result = driver.run(Increment(CounterId::One)).map(|count| count.value());
        // With a greater count it waits for more, and then nothing says whether it ever got a command.
        let waits = bit < 16 && 7 ^ 1 << (bit % 8) > 7;
        assert_eq!(result, if waits { Err(Error::AnswerLost) } else { Ok(1) }, "{bit}");
        let count = driver.run(ReadCounter(CounterId::One)).unwrap().value();
        assert_eq!(count, u32::from(!waits), "{bit}");
    }
}

#[test]
fn a_part_that_slept_in_between_does_not_pass_for_one_that_got_nothing() {
    // It counts, the power goes, and a look wakes it up: it then greets as if no command had come.
    let (state, _) = identity();
    for kind in KINDS {
        for fault in [Fault::CutAfter, Fault::CutBefore, Fault::Stall] {
            let (desk, mut driver) = restored(kind, &state);
            desk.fault_at(if fault == Fault::CutAfter { 2 } else { 3 }, fault);
            assert_eq!(driver.run(Increment(CounterId::One)), Err(Error::AnswerLost), "{fault:?}");
            assert_eq!(driver.run(ReadCounter(CounterId::One)).unwrap().value(), 1, "{fault:?}");
        }
    }
}

#[test]
fn a_new_key_is_one_that_signs_whatever_was_lost() {
    let (state, old) = identity();
    let act = |driver: &mut Driver| driver.run(CreateKey(KeyPlace::Slot(slot(2))));
    with_each_fault(&state, act, |_, _, driver, fault, at, result| {
        let public = driver.run(GetPublicKey(KeyPlace::Slot(slot(2)))).unwrap();
        match result {
            Ok(told) => assert_eq!(told, public, "{fault:?} at {at}"),
            Err(error) => assert_eq!(error, Error::AnswerLost, "{fault:?} at {at}"),
        }
        assert!(result.is_err() || public != old);
        let signature = sign(driver, 2, &[3; 32]).unwrap();
        assert!(holds(&public, &[3; 32], &signature), "{fault:?} at {at}");
    });
}

#[test]
fn a_signature_holds_or_there_is_none() {
    let (state, public) = identity();
    let act = |driver: &mut Driver| sign(driver, 2, &[5; 32]);
    with_each_fault(&state, act, |_, _, driver, fault, at, result| {
        match result {
            Ok(signature) => assert!(holds(&public, &[5; 32], &signature), "{fault:?} at {at}"),
            Err(error) => assert!(is_of_noise(error), "{fault:?} at {at}: {error}"),
        }
        assert_eq!(driver.run(GetPublicKey(KeyPlace::Slot(slot(2)))), Ok(public), "{fault:?} at {at}");
    });
}

#[test]
fn a_digest_is_right_or_there_is_none() {
    let (state, _) = identity();
    let message = [0x5a; 200];
    let expected: [u8; 32] = Sha256::digest(message).into();
    let act = |driver: &mut Driver| driver.run(Hash::new(Start::Digest, &message, Target::Output, EndKind::Common));
    with_each_fault(&state, act, |_, _, driver, fault, at, result| {
        match result {
            Ok(digest) => assert_eq!(digest, expected, "{fault:?} at {at}"),
            Err(error) => assert!(is_of_noise(error), "{fault:?} at {at}: {error}"),
        }
        assert_eq!(act(driver), Ok(expected), "the next one is");
    });
}

#[test]
fn a_part_that_is_not_there_is_not_waited_for_long() {
    for kind in KINDS {
        let (state, _) = identity();
        let (desk, mut driver) = restored(kind, &state);
        desk.set_power(false);
        desk.calm();
        let before = desk.now();
        assert_eq!(driver.run(Revision), Err(Error::NoAnswer));
        assert_eq!(driver.wake(), Err(Error::NoAnswer));
        assert_eq!(driver.sleep(), Err(Error::NoAnswer));
        assert!(desk.now() - before < Duration::from_secs(3 * 2));
        assert!(desk.count() < 60);
        desk.set_power(true);
        desk.trouble(|_| Some(Fault::Broken));
        assert_eq!(driver.run(Revision), Err(Error::Bus));
        desk.calm();
        assert_eq!(driver.run(Revision), Ok([0, 0, 0x60, 2]));
    }
}

#[test]
fn a_part_that_was_left_awake_or_busy_by_another_life_is_reached() {
    let (state, public) = identity();
    for kind in KINDS {
        for wait in [0, 1, 50, 200, 900] {
            let (desk, mut driver) = restored(kind, &state);
            desk.with(|element, now| element.wake(now));
            desk.pass(Duration::from_micros(1_500));
            let half = if wait % 2 == 0 { 8 } else { 4 };
            desk.with(|element, now| element.write(now, 0x60, &hex_literal::hex!("030740000200068500")[..half]));
            desk.pass(Duration::from_millis(wait));
            assert_eq!(driver.run(GetPublicKey(KeyPlace::Slot(slot(2)))), Ok(public), "{wait}");
        }
    }
}

/// xorshift, so that a case is its seed.
pub(crate) fn next(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    usize::try_from(*state >> 11).unwrap_or(usize::MAX)
}

/// A fault of any kind with that chance in a thousand.
pub(crate) fn storm(seed: u64, chance: usize) -> impl FnMut(usize) -> Option<Fault> {
    let mut state = seed | 1;
    move |_| {
        if next(&mut state) % 1_000 >= chance {
            return None;
        }
        let salt = next(&mut state) % 1_300;
        Some(match next(&mut state) % 7 {
            0 => Fault::Nack,
            1 => Fault::Denied,
            2 => Fault::Broken,
            3 => Fault::Stall,
            4 => Fault::Cut(salt),
            5 => Fault::Flip(salt),
            _ => Fault::Lose(salt),
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_storm_never_makes_anything_false(seed in any::<u64>(), chance in 1_usize..400, asynchronous in any::<bool>()) {
        let (state, public) = identity();
        let kind = if asynchronous { Kind::Asynchronous } else { Kind::Blocking };
        let (desk, mut driver) = restored(kind, &state);
        let mut least = 0;
        for round in 0..6_u8 {
            desk.trouble(storm(seed ^ u64::from(round) << 32, chance));
            match driver.run(Increment(CounterId::One)) {
                Ok(count) => prop_assert!(count.value() > least),
                Err(error) => prop_assert!(is_of_noise(error), "{}", error),
            }
            match sign(&mut driver, 2, &[round; 32]) {
                Ok(signature) => prop_assert!(holds(&public, &[round; 32], &signature)),
                Err(error) => prop_assert!(is_of_noise(error), "{}", error),
            }
            match driver.run(Hash::new(Start::Digest, &[round; 150], Target::Output, EndKind::Common)) {
                Ok(digest) => prop_assert_eq!(&digest[..], &Sha256::digest([round; 150])[..]),
                Err(error) => prop_assert!(is_of_noise(error), "{}", error),
            }
            prop_assert!(desk.count() < 12 * WORK_MAX);
            desk.calm();
            let count = driver.run(ReadCounter(CounterId::One)).unwrap().value();
            prop_assert!((least..=least + 1).contains(&count), "{} after {}", count, least);
            least = count;
        }
        prop_assert_eq!(driver.run(GetPublicKey(KeyPlace::Slot(slot(2)))), Ok(public));
    }
}
