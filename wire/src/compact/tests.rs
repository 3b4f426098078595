extern crate std;
use super::*;
use crate::packet::{self, MAX_PACKET};
use crate::{ids::Nonce, ids::SecureVersion, keys::DeviceKeys, version::Version};
use cotter_formats::secret::Secret;
use hex_literal::hex;
use proptest::prelude::*;
use std::string::String;
use std::vec::Vec;

/// Sealed by pycose, see /vectors/wire/README.md.
const VECTORS: &str = include_str!("../../../vectors/wire/compact.txt");
/// The first of them.
const FOUR: &[u8] = &hex!(
    "d0 83 43 a10101 a1 06 4107 582b
     e11aff8952b804f8355502a55203ac7c87fb364963d21f839574ee 8d6c032afcaa885cef90f5fbcf9e9503"
);
/// Its parts: tag, array, protected header, unprotected header, and where the ciphertext begins.
const PROTECTED_AT: usize = 2;
const UNPROTECTED_AT: usize = 6;
const SEALED_AT: usize = 10;

fn root() -> RootKey {
    RootKey::new(Secret::filled_by(|key| (0..).zip(key).for_each(|(value, byte)| *byte = value)))
}

fn device() -> DeviceId {
    "esp32-001".parse().expect("legal")
}

fn uplink() -> Channel {
    Channel::derive(&root(), &device(), KeyEpoch(1), Direction::Up)
}

fn number(sequence: u64) -> Sequence {
    Sequence::new(sequence).expect("40 bits")
}

fn receive(packet: &[u8]) -> Result<Vec<u8>, CompactError> {
    let mut out = [0; MAX_PLAIN];
    Ok(CompactPacket::parse(packet)?.open(&uplink(), &mut out)?.content().to_vec())
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hex")).collect()
}

/// `FOUR` with other bytes in place of `from..to`.
fn with(from: usize, to: usize, bytes: &[u8]) -> Vec<u8> {
    [&FOUR[..from], bytes, &FOUR[to..]].concat()
}

#[test]
fn seals_what_pycose_seals_and_opens_it() {
    let mut compared = 0;
    for line in VECTORS.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [_, device, epoch, direction, sequence, plain, packet] = words[..] else { panic!("{line}") };
        let direction = if direction == "0" { Direction::Up } else { Direction::Down };
        let epoch = KeyEpoch(epoch.parse().expect("u32"));
        let channel = Channel::derive(&root(), &device.parse().expect("legal"), epoch, direction);
        let (sequence, packet) = (number(sequence.parse().expect("u64")), unhex(packet));
        let plain = if plain == "-" { Vec::new() } else { unhex(plain) };
        let mut out = [0; MAX_COMPACT];
        assert_eq!(channel.seal(sequence, &plain, &mut out), Ok(&packet[..]), "{line}");
        let mut out = [0; MAX_PLAIN];
        let opened = CompactPacket::parse(&packet).expect("canonical").open(&channel, &mut out).expect("ours");
        assert_eq!((opened.sequence(), opened.content()), (sequence, &plain[..]), "{line}");
        assert_eq!(opened.packet_digest(), <[u8; 32]>::from(Sha256::digest(&packet)));
        compared += 1;
    }
    assert_eq!(compared, 5);
}

/// Four values: uptime and raw values at their longest, and what counts slowly below 24. Version 1 takes more than four times that.
#[test]
fn a_reading_of_four_values_takes_at_most_55_bytes() {
    let sizes = |boots: u32, sequence: u64| {
        let mut reading = Reading::new(u32::MAX, boots, Version::new(1, 10, 0), SecureVersion(3));
        (0..4).for_each(|register| reading.push(register, u16::MAX).expect("four fit"));
        let (mut compact, mut plain) = ([0; MAX_COMPACT], [0; 128]);
        let content = reading.encode_compact(&mut plain).expect("fits");
        let compact = uplink().seal(number(sequence), content, &mut compact).expect("fits").len();
        let keys = DeviceKeys::derive(&root(), &device(), KeyEpoch(1));
        let nonce = Nonce(u32::try_from(sequence).unwrap_or(u32::MAX));
        let mut out = [0; MAX_PACKET];
        let content = reading.encode(&mut plain).expect("fits");
        let packet = packet::seal(&keys, &device(), KeyEpoch(1), nonce, &[0; 16], content, &mut out).expect("fits");
        (compact, packet.len())
    };
    assert_eq!(sizes(23, 255).0, 55);
    assert_eq!(sizes(255, 65_535).0, 57);
    assert_eq!(sizes(u32::MAX, Sequence::MAX.get()).0, 63);
    for (boots, sequence) in [(7, 7), (7, 10_001), (300, 1_000_000)] {
        let (compact, packet) = sizes(boots, sequence);
        std::println!("boot {boots}, sequence {sequence}: v1 {packet} bytes, v2 {compact} bytes");
        assert!(4 * compact < packet, "{compact}, {packet}");
    }
}

#[test]
fn refuses_truncation_at_every_length() {
    for len in 0..FOUR.len() {
        let refusal = receive(&FOUR[..len]).expect_err("too short");
        assert!(matches!(refusal, CompactError::Cbor(CborError::Truncated { .. })), "{len}: {refusal}");
    }
}

#[test]
fn refuses_every_flipped_bit() {
    let (mut unopened, mut unread) = (0, 0);
    for bit in 0..8 * FOUR.len() {
        let mut flipped = FOUR.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match receive(&flipped).expect_err("a flipped bit is noticed") {
            CompactError::NotAuthentic => unopened += 1,
            CompactError::PlainLength(_) | CompactError::OutputFull => panic!("bit {bit}"),
            _ => unread += 1,
        }
    }
    // The sequence number, ciphertext and tag are the key's to judge; every other byte has one value. A sequence number
    // of 0 is one too, and byte 11 says a length.
    assert_eq!((unopened, unread), (8 + 8 * 43, 8 * 11));
}

#[test]
fn every_second_spelling_is_refused_by_its_own_error() {
    use CborError::{Expected, Indefinite, NotShortest, Trailing, Truncated};
    use Header::{Protected, Unprotected};
    let cbor = CompactError::Cbor;
    let missing = |header, label| CompactError::MissingLabel { header, label };
    let duplicate = |header, label| CompactError::DuplicateLabel { header, label };
    let unknown = |header, label| CompactError::UnknownLabel { header, label };
    let protected = |bytes: &[u8]| with(PROTECTED_AT, UNPROTECTED_AT, bytes);
    let unprotected = |bytes: &[u8]| with(UNPROTECTED_AT, SEALED_AT, bytes);
    let sealed = |bytes: &[u8]| with(SEALED_AT, FOUR.len(), bytes);
    let cases: &[(Vec<u8>, CompactError)] = &[
        // Another message.
        (FOUR[1..].to_vec(), cbor(Expected { at: 0, expected: "a tag" })),
        (with(0, 1, &hex!("d1")), CompactError::NotEncrypt0 { tag: 17 }),
        (with(0, 1, &hex!("d810")), cbor(NotShortest { at: 0 })),
        (with(0, 1, &hex!("d9d9f7d0")), CompactError::NotEncrypt0 { tag: 55799 }),
        (with(0, 0, &hex!("d0")), cbor(Expected { at: 1, expected: "an array" })),
        (with(1, 2, &hex!("82")), CompactError::Items(2)),
        (with(1, 2, &hex!("84")), CompactError::Items(4)),
        (with(1, 2, &hex!("9803")), cbor(NotShortest { at: 1 })),
        ([&with(1, 2, &hex!("9f"))[..], &hex!("ff")].concat(), cbor(Indefinite { at: 1 })),
        // The protected header.
        (protected(&hex!("40")), CompactError::Protected(Truncated { at: 0 })),
        (protected(&hex!("41a0")), missing(Protected, 1)),
        (protected(&hex!("45a201010101")), duplicate(Protected, 1)),
        (protected(&hex!("45a201010201")), unknown(Protected, 2)),
        (protected(&hex!("43a10201")), unknown(Protected, 2)),
        (protected(&hex!("43a12001")), unknown(Protected, -1)),
        (protected(&hex!("43a10103")), CompactError::Algorithm(3)),
        (protected(&hex!("43a1010a")), CompactError::Algorithm(10)),
        (protected(&hex!("44a1011818")), CompactError::Algorithm(24)),
        (protected(&hex!("43a10126")), CompactError::Algorithm(-7)),
        (protected(&hex!("44a1011801")), CompactError::Protected(NotShortest { at: 2 })),
        (protected(&hex!("44a1180101")), CompactError::Protected(NotShortest { at: 1 })),
        (protected(&hex!("44b8010101")), CompactError::Protected(NotShortest { at: 0 })),
        (protected(&hex!("44bf0101ff")), CompactError::Protected(Indefinite { at: 0 })),
        (protected(&hex!("44a1010100")), CompactError::Protected(Trailing { at: 3 })),
        (protected(&hex!("42a101")), CompactError::Protected(Truncated { at: 2 })),
        (protected(&hex!("44a1613101")), CompactError::Protected(Expected { at: 1, expected: "an integer" })),
        (protected(&hex!("5803a10101")), cbor(NotShortest { at: 2 })),
        (protected(&hex!("5f43a10101ff")), cbor(Indefinite { at: 2 })),
        (protected(&hex!("a10101")), cbor(Expected { at: 2, expected: "a byte string" })),
        // The unprotected header.
        (unprotected(&hex!("a0")), missing(Unprotected, 6)),
        (unprotected(&hex!("a20641070641 07")), duplicate(Unprotected, 6)),
        (unprotected(&hex!("a2044101064107")), unknown(Unprotected, 4)),
        (unprotected(&hex!("a2064107044101")), unknown(Unprotected, 4)),
        (unprotected(&hex!("a2064107 0101")), unknown(Unprotected, 1)),
        (unprotected(&hex!("a105 4c000000000000000000000000")), unknown(Unprotected, 5)),
        (unprotected(&hex!("a118064107")), cbor(NotShortest { at: 7 })),
        (unprotected(&hex!("b801064107")), cbor(NotShortest { at: 6 })),
        (unprotected(&hex!("bf064107ff")), cbor(Indefinite { at: 6 })),
        (unprotected(&hex!("a106580107")), cbor(NotShortest { at: 8 })),
        (unprotected(&hex!("a1065f4107ff")), cbor(Indefinite { at: 8 })),
        (unprotected(&hex!("a10607")), cbor(Expected { at: 8, expected: "a byte string" })),
        (unprotected(&hex!("a10640")), CompactError::Sequence { len: 0 }),
        (unprotected(&hex!("a106420007")), CompactError::Sequence { len: 2 }),
        (unprotected(&hex!("a106420000")), CompactError::Sequence { len: 2 }),
        (unprotected(&hex!("a10646010000000000")), CompactError::Sequence { len: 6 }),
        // The ciphertext.
        (sealed(&hex!("f6")), cbor(Expected { at: 10, expected: "a byte string" })),
        (sealed(&hex!("40")), CompactError::SealedLength(0)),
        (sealed(&[&[0x4f][..], &[0; 15]].concat()), CompactError::SealedLength(15)),
        (sealed(&[&[0x58, 0x7b][..], &[0; 123]].concat()), CompactError::SealedLength(123)),
        (with(SEALED_AT, SEALED_AT + 1, &hex!("5900")), cbor(NotShortest { at: 10 })),
        ([FOUR, &[0]].concat(), cbor(Trailing { at: FOUR.len() })),
        ([FOUR, FOUR].concat(), cbor(Trailing { at: FOUR.len() })),
        (std::vec![0xd0; MAX_COMPACT + 1], CompactError::TooLong(MAX_COMPACT + 1)),
        (Vec::new(), cbor(Truncated { at: 0 })),
    ];
    for (packet, refusal) in cases {
        assert_eq!(receive(packet), Err(*refusal), "{}", shown(packet));
    }
}

fn shown(packet: &[u8]) -> String {
    packet.iter().map(|byte| std::format!("{byte:02x}")).collect()
}

/// With the right key, so that it is the additional data that says no.
#[test]
fn the_tag_covers_device_epoch_direction_and_number() {
    let elsewhere = |change: fn(&mut Channel)| {
        let mut channel = uplink();
        change(&mut channel);
        CompactPacket::parse(FOUR).expect("canonical").open(&channel, &mut [0; MAX_PLAIN]).map(|_| ())
    };
    assert_eq!(elsewhere(|_| ()), Ok(()));
    assert_eq!(elsewhere(|it| it.direction = Direction::Down), Err(CompactError::NotAuthentic));
    assert_eq!(elsewhere(|it| it.epoch = KeyEpoch(2)), Err(CompactError::NotAuthentic));
    assert_eq!(elsewhere(|it| it.device = "esp32-002".parse().expect("legal")), Err(CompactError::NotAuthentic));
    assert_eq!(receive(&with(9, 10, &[8])), Err(CompactError::NotAuthentic), "another sequence number");
    // The tag is over all of it: a shorter one does not do.
    assert_eq!(receive(&[&FOUR[..11], &[0x2a], &FOUR[12..54]].concat()), Err(CompactError::NotAuthentic));
}

#[test]
fn another_device_epoch_or_direction_has_other_keys() {
    let all = [
        uplink(),
        Channel::derive(&root(), &device(), KeyEpoch(1), Direction::Down),
        Channel::derive(&root(), &device(), KeyEpoch(2), Direction::Up),
        Channel::derive(&root(), &"esp32-002".parse().expect("legal"), KeyEpoch(1), Direction::Up),
    ];
    for (one, first) in all.iter().enumerate() {
        for second in &all[..one] {
            assert_ne!(first.key.expose(), second.key.expose());
            assert_ne!(first.iv.expose(), second.iv.expose());
        }
        let v1 = DeviceKeys::derive(&root(), &device(), first.epoch);
        assert_ne!(first.key.expose(), v1.telemetry_cipher.expose(), "version 1 has others");
    }
}

#[test]
fn no_two_sequence_numbers_share_a_nonce() {
    let channel = uplink();
    let ends = [0, 1, 255, 256, u32::MAX.into(), 1 << 32, Sequence::MAX.get()];
    let nonces: std::collections::BTreeSet<_> = ends.iter().map(|end| channel.nonce(number(*end))).collect();
    assert_eq!(nonces.len(), ends.len());
    assert_eq!(channel.nonce(number(0)), *channel.iv.expose());
    assert_eq!(Sequence::new(Sequence::MAX.get() + 1), None);
}

#[test]
fn buffers_are_bounded() {
    let mut out = [0; MAX_COMPACT];
    let refused = uplink().seal(number(1), &[0; MAX_PLAIN + 1], &mut out).expect_err("too long");
    assert_eq!(refused, CompactError::PlainLength(MAX_PLAIN + 1));
    for len in 0..MAX_COMPACT {
        let short = uplink().seal(Sequence::MAX, &[0; MAX_PLAIN], &mut out[..len]);
        assert_eq!(short, Err(CompactError::OutputFull), "{len}");
    }
    assert_eq!(uplink().seal(Sequence::MAX, &[0; MAX_PLAIN], &mut out).map(<[u8]>::len), Ok(MAX_COMPACT));
    let refused = CompactPacket::parse(FOUR).expect("canonical").open(&uplink(), &mut [0; 26]).map(|_| ());
    assert_eq!(refused, Err(CompactError::OutputFull));
}

proptest! {
    #[test]
    fn round_trips(
        plain in proptest::collection::vec(any::<u8>(), 0..=MAX_PLAIN),
        id in "[a-z0-9-]{1,32}",
        epoch: u32,
        sequence in 0..=Sequence::MAX.get(),
        up: bool,
    ) {
        let direction = if up { Direction::Up } else { Direction::Down };
        let channel = Channel::derive(&root(), &id.parse().expect("legal"), KeyEpoch(epoch), direction);
        let (mut out, mut opened) = ([0; MAX_COMPACT], [0; MAX_PLAIN]);
        let packet = channel.seal(number(sequence), &plain, &mut out).expect("fits");
        let opened = CompactPacket::parse(packet).expect("canonical").open(&channel, &mut opened).expect("ours");
        prop_assert_eq!((opened.sequence().get(), opened.content()), (sequence, &plain[..]));
    }

    #[test]
    fn survives_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(receive(&bytes).is_err());
    }

    #[test]
    fn survives_any_change(at in 0..FOUR.len(), remove in 0usize..8, insert in proptest::collection::vec(any::<u8>(), 0..8)) {
        let mut changed = FOUR.to_vec();
        let end = (at + remove).min(changed.len());
        changed.splice(at..end, insert);
        prop_assert!(changed == FOUR || receive(&changed).is_err());
    }
}
