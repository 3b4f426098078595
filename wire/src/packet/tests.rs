extern crate std;
use super::*;
use crate::keys::RootKey;
use cotter_formats::secret::Secret;
use proptest::prelude::*;
use std::string::String;
use std::vec::Vec;

/// Sealed by Python, see /vectors/wire/README.md: compressed, and not.
const COMPRESSED: &str = include_str!("../../../vectors/wire/packet-compressed.json");
const IDENTITY: &str = include_str!("../../../vectors/wire/packet-identity.json");
/// Authentic, but padded or compressed wrongly.
const BAD_PADDING: [&str; 4] = [
    include_str!("../../../vectors/wire/packet-padding-zero.json"),
    include_str!("../../../vectors/wire/packet-padding-17.json"),
    include_str!("../../../vectors/wire/packet-padding-mixed.json"),
    include_str!("../../../vectors/wire/packet-padding-none.json"),
];
const BOMB: &str = include_str!("../../../vectors/wire/packet-bomb.json");
const READING: &[u8] = include_bytes!("../../../vectors/wire/heatshrink/reading.bin");
const RANDOM: &[u8] = include_bytes!("../../../vectors/wire/heatshrink/max_random.bin");

fn keys() -> DeviceKeys {
    DeviceKeys::derive(&root(), &device(), KeyEpoch(1))
}

fn root() -> RootKey {
    RootKey::new(Secret::filled_by(|key| (0..).zip(key).for_each(|(value, byte)| *byte = value)))
}

fn device() -> DeviceId {
    "esp32-001".parse().expect("legal")
}

const IV: [u8; 16] = [0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf];

fn receive(text: &[u8]) -> Result<Vec<u8>, PacketError> {
    let keys = keys();
    let mut out = [0; MAX_READING];
    let verified = Packet::parse(text)?.verify(&keys.telemetry_mac)?;
    verified.open(&keys.telemetry_cipher, &mut out).map(<[u8]>::to_vec)
}

#[test]
fn opens_what_python_sealed() {
    assert_eq!(receive(COMPRESSED.as_bytes()).as_deref(), Ok(READING));
    assert_eq!(receive(IDENTITY.as_bytes()).as_deref(), Ok(RANDOM));
    let packet = Packet::parse(COMPRESSED.as_bytes()).expect("canonical");
    assert_eq!((*packet.device(), packet.epoch(), packet.nonce()), (device(), KeyEpoch(1), Nonce(10001)));
}

#[test]
fn seals_what_python_seals() {
    let mut out = [0; MAX_PACKET];
    let sealed = seal(&keys(), &device(), KeyEpoch(1), Nonce(10001), &IV, READING, &mut out).expect("fits");
    assert_eq!(core::str::from_utf8(sealed), Ok(COMPRESSED));
    let sealed = seal(&keys(), &device(), KeyEpoch(1), Nonce(10002), &IV, RANDOM, &mut out).expect("fits");
    assert_eq!(core::str::from_utf8(sealed), Ok(IDENTITY));
}

#[test]
fn the_digest_is_of_the_whole_packet() {
    let verified =
        Packet::parse(COMPRESSED.as_bytes()).expect("canonical").verify(&keys().telemetry_mac).expect("ours");
    assert_eq!(verified.packet_digest(), <[u8; 32]>::from(Sha256::digest(COMPRESSED)));
}

#[test]
fn refuses_truncation_at_every_length() {
    for len in 0..COMPRESSED.len() {
        let refusal = receive(&COMPRESSED.as_bytes()[..len]).expect_err("too short");
        assert!(matches!(refusal, PacketError::Canonical(CanonicalError::Truncated { .. })), "{len}: {refusal}");
    }
}

#[test]
fn refuses_every_flipped_bit() {
    for bit in 0..8 * COMPRESSED.len() {
        let mut flipped = COMPRESSED.as_bytes().to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let refusal = receive(&flipped).expect_err("a flipped bit is noticed");
        // Never Padding or Codec: nothing is decrypted before the MAC holds.
        assert!(matches!(refusal, PacketError::Canonical(_) | PacketError::Mac), "bit {bit}: {refusal}");
    }
}

/// `COMPRESSED` with the first `old` replaced.
fn with(old: &str, new: &str) -> String {
    assert!(COMPRESSED.contains(old), "{old}");
    COMPRESSED.replacen(old, new, 1)
}

#[test]
fn every_field_is_under_the_mac() {
    let changed = [
        with("esp32-001", "esp32-002"),
        with("\"epoch\":1", "\"epoch\":2"),
        with("\"nonce\":10001", "\"nonce\":10002"),
        with("\"compressed\":true", "\"compressed\":false"),
        with("a0a1", "a0a2"),
    ];
    for text in changed {
        assert_eq!(receive(text.as_bytes()), Err(PacketError::Mac), "{text}");
    }
    // One payload under another packet's header.
    let other = IDENTITY.replacen("10002", "10003", 1);
    assert_eq!(receive(other.as_bytes()), Err(PacketError::Mac));
}

#[test]
fn a_packet_in_the_clear_is_refused() {
    assert_eq!(receive(with("\"encrypted\":true", "\"encrypted\":false").as_bytes()), Err(PacketError::NotEncrypted));
}

#[test]
fn every_second_spelling_is_refused_by_its_own_error() {
    use CanonicalError::*;
    const HEAD: &str = "{\"version\":1,\"device_id\":\"";
    let at = |token: &str| COMPRESSED.find(token).expect("is there");
    let nonce = at("10001");
    let iv = at("a0a1");
    let payload = at("\"payload\":\"") + 11;
    let end = at("\",\"mac\"");
    let cases = [
        // Members: duplicate, missing, reordered, unknown.
        (
            with(",\"nonce\":10001", ",\"nonce\":10001,\"nonce\":10002"),
            Expected { at: nonce + 5, literal: ",\"encrypted\":" },
        ),
        (with(",\"nonce\":10001", ""), Expected { at: nonce - 9, literal: ",\"nonce\":" }),
        (with("\"version\":1,", ""), Expected { at: 0, literal: HEAD }),
        (
            with("\"epoch\":1,\"nonce\":10001", "\"nonce\":10001,\"epoch\":1"),
            Expected { at: at("\",\"epoch\""), literal: "\",\"epoch\":" },
        ),
        (with("\"}", "\",\"x\":1}"), Expected { at: COMPRESSED.len() - 2, literal: "\"}" }),
        (with("\"version\":1", "\"version\":2"), Expected { at: 0, literal: HEAD }),
        (with("\"nonce\"", "\"n\\u006fnce\""), Expected { at: nonce - 9, literal: ",\"nonce\":" }),
        // White space, byte order mark, trailing bytes.
        (with("\"nonce\":", "\"nonce\": "), Whitespace { at: nonce }),
        (with("{", "{ "), Whitespace { at: 1 }),
        (with("{", "\u{feff}{"), ByteOrderMark { at: 0 }),
        (with("\"}", "\"}\n"), Trailing { at: COMPRESSED.len() }),
        (with("\"}", "\"}{}"), Trailing { at: COMPRESSED.len() }),
        // Numbers.
        (with("10001", "10001.0"), Fraction { at: nonce + 5 }),
        (with("10001", "1e4"), Fraction { at: nonce + 1 }),
        (with("10001", "010001"), LeadingZero { at: nonce }),
        (with("10001", "4294967296"), Overflow { at: nonce }),
        (with("10001", "-1"), Number { at: nonce }),
        (with("10001", "\"10001\""), Number { at: nonce }),
        (with("10001", "true"), Number { at: nonce }),
        // Hexadecimal and text.
        (with("a0a1", "A0a1"), UpperCaseHex { at: iv }),
        (with("a0a1", "a0a"), HexDigit { at: iv + 31 }),
        (with("esp32-001", "ESP32-001"), Character { at: HEAD.len() }),
        (with("esp32-001", ""), Empty { at: HEAD.len() }),
        (with("esp32-001", &"a".repeat(33)), TooLong { at: HEAD.len(), max: 32 }),
        // Base64.
        (with(&COMPRESSED[payload..=payload], "-"), Base64Url { at: payload }),
        (with(&COMPRESSED[payload..end], &COMPRESSED[payload..end - 1]), Base64Padding { at: end - 4 }),
        (with(&COMPRESSED[payload..end], "AAAAAAAAAAAAAAAAAAAAAB=="), Base64TrailingBits { at: payload + 21 }),
        (with(&COMPRESSED[payload..end], "AAAAAAAA AAAAAAAAAAAAA=="), Base64Alphabet { at: payload + 8 }),
        (with(&COMPRESSED[payload..end], ""), Empty { at: payload }),
        (with(&COMPRESSED[payload..end], &"A".repeat(708)), TooLong { at: payload, max: 704 }),
        (" ".repeat(2049), TooLong { at: 0, max: 2048 }),
    ];
    for (text, refusal) in cases {
        assert_eq!(receive(text.as_bytes()), Err(PacketError::Canonical(refusal)), "{text}");
    }
    assert_eq!(
        receive(with(&COMPRESSED[payload..end], "AAAA").as_bytes()),
        Err(PacketError::PayloadLength(3)),
        "not a whole block"
    );
}

#[test]
fn authentic_nonsense_is_refused_by_name() {
    for packet in BAD_PADDING {
        assert_eq!(receive(packet.as_bytes()), Err(PacketError::Padding), "{packet}");
    }
    assert_eq!(receive(BOMB.as_bytes()), Err(PacketError::Codec(CodecError::OutputTooLong)));
}

#[test]
fn another_device_another_epoch_or_another_use_has_another_key() {
    let parse = || Packet::parse(COMPRESSED.as_bytes()).expect("canonical");
    let elsewhere = [
        DeviceKeys::derive(&root(), &"esp32-002".parse().expect("legal"), KeyEpoch(1)).telemetry_mac,
        DeviceKeys::derive(&root(), &device(), KeyEpoch(2)).telemetry_mac,
        TelemetryMacKey::new(Secret::filled_by(|key| *key = *keys().request.expose())),
    ];
    for key in elsewhere {
        assert_eq!(parse().verify(&key).err(), Some(PacketError::Mac));
    }
}

#[test]
fn buffers_are_bounded() {
    let mut out = [0; MAX_PACKET];
    assert_eq!(
        seal(&keys(), &device(), KeyEpoch(1), Nonce(1), &IV, &[0; 513], &mut out),
        Err(PacketError::Codec(CodecError::InputTooLong(513)))
    );
    for len in 0..COMPRESSED.len() {
        let short = seal(&keys(), &device(), KeyEpoch(1), Nonce(10001), &IV, READING, &mut out[..len]);
        assert_eq!(short, Err(PacketError::OutputFull), "{len}");
    }
    let keys = keys();
    let verified = Packet::parse(COMPRESSED.as_bytes()).expect("canonical").verify(&keys.telemetry_mac).expect("ours");
    assert_eq!(verified.open(&keys.telemetry_cipher, &mut [0; 49]), Err(PacketError::Codec(CodecError::OutputFull)));
}

proptest! {
    #[test]
    fn round_trips(
        plain in proptest::collection::vec(any::<u8>(), 0..=MAX_READING),
        id in "[a-z0-9-]{1,32}",
        epoch: u32,
        nonce: u32,
        iv: [u8; 16],
    ) {
        let device: DeviceId = id.parse().expect("legal");
        let keys = DeviceKeys::derive(&root(), &device, KeyEpoch(epoch));
        let (mut text, mut out) = ([0; MAX_PACKET], [0; MAX_READING]);
        let sealed = seal(&keys, &device, KeyEpoch(epoch), Nonce(nonce), &iv, &plain, &mut text).expect("fits");
        let verified = Packet::parse(sealed).expect("canonical").verify(&keys.telemetry_mac).expect("ours");
        prop_assert_eq!((verified.device(), verified.nonce()), (&device, Nonce(nonce)));
        prop_assert_eq!(verified.open(&keys.telemetry_cipher, &mut out), Ok(&plain[..]));
    }

    #[test]
    fn survives_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Packet::parse(&bytes).is_err());
    }

    #[test]
    fn survives_any_change(at in 0..COMPRESSED.len(), remove in 0usize..8, insert in proptest::collection::vec(any::<u8>(), 0..8)) {
        let mut changed = COMPRESSED.as_bytes().to_vec();
        let end = (at + remove).min(changed.len());
        changed.splice(at..end, insert);
        prop_assert!(changed == COMPRESSED.as_bytes() || receive(&changed).is_err());
    }
}
