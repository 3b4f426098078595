//! Commands and results: one spelling each, for one device, epoch and counter.

extern crate std;
use super::*;
use crate::keys::{DeviceKeys, RootKey};
use cotter_formats::secret::Secret;
use proptest::prelude::*;
use std::string::String;
use std::vec::Vec;

fn device(name: &str) -> (DeviceId, DeviceKeys) {
    keys_of(name, KeyEpoch(1))
}

fn keys_of(name: &str, epoch: KeyEpoch) -> (DeviceId, DeviceKeys) {
    let id = name.parse().unwrap();
    (id, DeviceKeys::derive(&RootKey::new(Secret::filled_by(|key| key.fill(9))), &id, epoch))
}

fn to(device: &DeviceId, epoch: u32, counter: u32) -> Address<'_> {
    Address { device, epoch: KeyEpoch(epoch), counter: CommandCounter(counter) }
}

fn command() -> Command {
    let mut command = Command::new("set-interval".parse().unwrap());
    command.push("seconds".parse().unwrap(), Value::Integer(-30)).unwrap();
    command.push("at-once".parse().unwrap(), Value::Boolean(true)).unwrap();
    command.push("why".parse().unwrap(), Value::text("it is \"late\"").unwrap()).unwrap();
    command
}

fn sealed(name: &str, epoch: u32, counter: u32) -> Vec<u8> {
    let (id, keys) = keys_of(name, KeyEpoch(epoch));
    let mut out = [0; MAX_COMMAND];
    seal(&keys.command, &to(&id, epoch, counter), [7; 12], UnixTime(99), &command(), &mut out).unwrap().to_vec()
}

#[test]
fn a_device_opens_what_is_sealed_for_it() {
    let (id, keys) = device("a");
    let opened = SealedCommand::parse(&sealed("a", 1, 7)).unwrap().open(&keys.command, &id).unwrap();
    let expected = OpenedCommand { counter: CommandCounter(7), expires: UnixTime(99), command: command() };
    assert_eq!(opened, expected);
    assert_eq!(opened.command.value("seconds"), Some(&Value::Integer(-30)));
    assert_eq!(opened.command.value("minutes"), None);
}

#[test]
fn another_device_epoch_or_counter_does_not_open_it() {
    let (id, keys) = device("a");
    let refused = |raw: &[u8]| SealedCommand::parse(raw).unwrap().open(&keys.command, &id).unwrap_err();
    assert_eq!(refused(&sealed("b", 1, 7)), CommandError::NotAuthentic);
    assert_eq!(refused(&sealed("a", 2, 7)), CommandError::NotAuthentic);
    let honest = String::from_utf8(sealed("a", 1, 7)).unwrap();
    assert_eq!(refused(honest.replace("\"counter\":7", "\"counter\":8").as_bytes()), CommandError::NotAuthentic);
    assert_eq!(refused(honest.replace("\"epoch\":1", "\"epoch\":2").as_bytes()), CommandError::NotAuthentic);
}

#[test]
fn no_flipped_bit_and_no_truncation_is_accepted() {
    let (id, keys) = device("a");
    let honest = sealed("a", 1, 7);
    for bit in 0..8 * honest.len() {
        let mut changed = honest.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let opened = SealedCommand::parse(&changed).and_then(|sealed| sealed.open(&keys.command, &id));
        assert!(opened.is_err(), "bit {bit}");
    }
    for len in 0..honest.len() {
        assert!(SealedCommand::parse(&honest[..len]).is_err(), "cut at {len}");
    }
    assert!(matches!(SealedCommand::parse(&[b' '; MAX_COMMAND + 1]), Err(CommandError::Canonical(_))));
}

#[test]
fn the_longest_command_fits() {
    let long = |number: usize| {
        let name: String = std::format!("{number:a>32}", number = std::format!("a{number}"));
        name.parse::<CommandName>().unwrap()
    };
    let mut command = Command::new(long(0));
    for number in 0..MAX_PARAMETERS {
        command.push(long(number), Value::text(&"x".repeat(MAX_TEXT)).unwrap()).unwrap();
    }
    assert_eq!(command.push(long(9), Value::Boolean(true)), Err(ContentError::Count(9)));
    assert_eq!(command.push(long(1), Value::Boolean(true)), Err(ContentError::Duplicate));
    let id: DeviceId = "0123456789abcdef0123456789abcdef".parse().unwrap();
    let (_, keys) = device("0123456789abcdef0123456789abcdef");
    let mut out = [0; MAX_COMMAND];
    let to = to(&id, u32::MAX, u32::MAX);
    let sealed = seal(&keys.command, &to, [1; 12], UnixTime(u64::MAX), &command, &mut out).unwrap();
    assert_eq!(SealedCommand::parse(sealed).unwrap().open(&keys.command, &id).unwrap().command, command);
}

#[test]
fn content_has_one_encoding() {
    assert_eq!(Command::decode(b"\x01a\x09"), Err(ContentError::Count(9)));
    assert_eq!(Command::decode(b"\x00\x00"), Err(ContentError::Name));
    assert_eq!(Command::decode(b"\x01A\x00"), Err(ContentError::Name));
    assert_eq!(Command::decode(b"\x01a\x01\x01b\x00\x02"), Err(ContentError::Boolean(2)));
    assert_eq!(Command::decode(b"\x01a\x01\x01b\x03"), Err(ContentError::Kind(3)));
    assert_eq!(Command::decode(b"\x01a\x01\x01b\x02\x01\x07"), Err(ContentError::Text));
    assert_eq!(Command::decode(b"\x01a\x02\x01b\x00\x01\x01b\x00\x01"), Err(ContentError::Duplicate));
    assert!(matches!(Command::decode(b"\x01a\x00\x00"), Err(ContentError::Read(_))));
    assert_eq!(Value::text(&"x".repeat(65)), Err(ContentError::Text));
    assert_eq!("a".repeat(33).parse::<CommandName>(), Err(ContentError::Name));
}

#[test]
fn a_result_is_of_one_device_epoch_counter_and_outcome() {
    let ((a, keys_a), (b, keys_b)) = (device("a"), device("b"));
    let result = CommandResult::new(CommandCounter(7), Outcome::Failed, "sensor \"3\" is gone\n");
    assert_eq!(result.detail(), "sensor ?3? is gone?");
    let mut out = [0; MAX_RESULT];
    let raw = result.write(&keys_a.command_result, &to(&a, 1, 7), &mut out).unwrap().to_vec();
    let verify = |raw: &[u8], keys: &DeviceKeys, id: &DeviceId, epoch| {
        UnverifiedResult::parse(raw).and_then(|result| result.verify(&keys.command_result, &to(id, epoch, 7)))
    };
    assert_eq!(verify(&raw, &keys_a, &a, 1), Ok(result));
    assert_eq!(verify(&raw, &keys_b, &b, 1), Err(CommandError::Mac), "by another device");
    assert_eq!(verify(&raw, &keys_a, &b, 1), Err(CommandError::Mac), "under another name");
    let other = CommandError::OtherEpoch { own: KeyEpoch(2), got: KeyEpoch(1) };
    assert_eq!(verify(&raw, &keys_a, &a, 2), Err(other));
    let text = String::from_utf8(raw.clone()).unwrap();
    for (from, to) in [("\"counter\":7", "\"counter\":8"), ("failed", "done"), ("gone", "here")] {
        assert_eq!(verify(text.replace(from, to).as_bytes(), &keys_a, &a, 1), Err(CommandError::Mac), "{to}");
    }
    for bit in 0..8 * raw.len() {
        let mut changed = raw.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(&changed, &keys_a, &a, 1).is_err(), "bit {bit}");
    }
    for len in 0..raw.len() {
        assert!(UnverifiedResult::parse(&raw[..len]).is_err(), "cut at {len}");
    }
    let unknown = text.replace("failed", "fine");
    assert!(matches!(UnverifiedResult::parse(unknown.as_bytes()), Err(CommandError::Canonical(_))));
}

#[test]
fn every_outcome_has_a_name_and_its_own_number() {
    let (id, keys) = device("a");
    for (number, outcome) in (0..).zip(Outcome::ALL) {
        assert_eq!(outcome.number(), number);
        let result = CommandResult::new(CommandCounter(1), outcome, &"x".repeat(65));
        let mut out = [0; MAX_RESULT];
        let raw = result.write(&keys.command_result, &to(&id, 1, 1), &mut out).unwrap();
        let read = UnverifiedResult::parse(raw).unwrap().verify(&keys.command_result, &to(&id, 1, 1));
        assert_eq!((read, result.detail().len()), (Ok(result.clone()), 64));
    }
}

proptest! {
    #[test]
    fn what_decodes_encodes_to_the_same_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(command) = Command::decode(&bytes) {
            let mut out = [0; MAX_CONTENT];
            prop_assert_eq!(command.encode(&mut out), Ok(&bytes[..]));
        }
    }

    #[test]
    fn round_trips(
        name in "[a-z0-9-]{1,32}",
        values in proptest::collection::btree_map("[a-z0-9-]{1,32}", prop_oneof![
            any::<bool>().prop_map(Value::Boolean),
            any::<i64>().prop_map(Value::Integer),
            "[ -~]{0,64}".prop_map(|text| Value::text(&text).unwrap()),
        ], 0..=8),
    ) {
        let mut command = Command::new(name.parse().unwrap());
        for (name, value) in values {
            command.push(name.parse().unwrap(), value).unwrap();
        }
        let mut out = [0; MAX_CONTENT];
        let bytes = command.encode(&mut out).unwrap();
        prop_assert_eq!(Command::decode(bytes), Ok(command));
    }
}
