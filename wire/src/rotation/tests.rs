extern crate std;
use super::*;
use std::string::String;
use std::vec::Vec;

const OWN: [u8; 16] = [0x11; 16];
const TICKET: Ticket = Ticket([0x22; Ticket::LEN]);
const IV: [u8; 12] = [0x33; 12];

fn device() -> DeviceId {
    "esp32-001".parse().expect("legal")
}

fn present() -> RootKey {
    RootKey::new(Secret::filled_by(|key| (0..).zip(key).for_each(|(value, byte)| *byte = value)))
}

fn new_root() -> RootKey {
    RootKey::new(Secret::filled_by(|key| (0x80..).zip(key).for_each(|(value, byte)| *byte = value)))
}

fn offer_key() -> OfferKey {
    OfferKey::derive(&present(), &device())
}

fn confirmation_key() -> ConfirmationKey {
    ConfirmationKey::derive(&new_root(), &device())
}

fn asking() -> Asking {
    Asking::new(device(), KeyEpoch(3), OWN)
}

fn offered(epoch: u32) -> Offered {
    Offered { epoch: KeyEpoch(epoch), root: new_root(), ticket: TICKET }
}

fn offer(epoch: u32) -> Vec<u8> {
    let asked = Asked { device: &device(), epoch: KeyEpoch(3), device_nonce: &OWN };
    asked.offer(&offer_key(), &offered(epoch), IV, &mut [0; MAX_MESSAGE]).expect("fits").to_vec()
}

fn confirmation() -> Confirmation {
    Confirmation { device: device(), epoch: KeyEpoch(4), device_nonce: OWN, ticket: TICKET }
}

/// Offer, confirmation and acknowledgement of one rotation.
fn messages() -> [Vec<u8>; 3] {
    let mut out = [0; MAX_MESSAGE];
    let confirm = confirmation().write(&confirmation_key(), &mut out).expect("fits").to_vec();
    let parsed = ConfirmMessage::parse(&confirm).expect("canonical");
    assert_eq!((*parsed.device(), parsed.epoch(), *parsed.ticket()), (device(), KeyEpoch(4), TICKET));
    let confirmed = parsed.verify(&confirmation_key()).expect("ours");
    let ack = confirmed.acknowledge(&confirmation_key(), &mut out).expect("fits").to_vec();
    assert_eq!(confirmed.acknowledge(&confirmation_key(), &mut out), Ok(&ack[..]), "the same again");
    [offer(4), confirm, ack]
}

/// Hands a message to whoever reads it.
fn read(place: usize, message: &[u8]) -> Result<(), RotationError> {
    match place {
        0 => asking().offered(&offer_key(), message).map(drop),
        1 => ConfirmMessage::parse(message)?.verify(&confirmation_key()).map(drop),
        _ => confirmation().acknowledged(&confirmation_key(), message),
    }
}

#[test]
fn an_offer_brings_a_key_of_a_higher_epoch() {
    let opened = asking().offered(&offer_key(), &offer(4)).expect("ours");
    assert_eq!((opened.epoch, opened.ticket), (KeyEpoch(4), TICKET));
    assert_eq!(opened.root.expose(), new_root().expose());
    for epoch in [0, 3] {
        let refusal = RotationError::Epoch { offered: KeyEpoch(epoch), own: KeyEpoch(3) };
        assert_eq!(read(0, &offer(epoch)), Err(refusal));
    }
    assert_eq!(asking().path().as_str(), "/v1/devices/esp32-001/key?nonce=11111111111111111111111111111111");
}

#[test]
fn messages_have_one_spelling() {
    let (own, ticket, iv) = ("1".repeat(32), "2".repeat(120), "3".repeat(24));
    let (mac, sealed) = ("0".repeat(64), "0".repeat(96));
    let expected = [
        std::format!("{{\"epoch\":4,\"ticket\":\"{ticket}\",\"nonce\":\"{iv}\",\"sealed\":\"{sealed}\"}}"),
        std::format!(
            "{{\"version\":1,\"device_id\":\"esp32-001\",\"epoch\":4,\"device_nonce\":\"{own}\",\
             \"ticket\":\"{ticket}\",\"mac\":\"{mac}\"}}"
        ),
        std::format!("{{\"epoch\":4,\"mac\":\"{mac}\"}}"),
    ];
    let refusals = [RotationError::NotAuthentic, RotationError::Mac, RotationError::Mac];
    for (place, (message, expected)) in messages().iter().zip(expected).enumerate() {
        let proof_at = message.len() - if place == 0 { 98 } else { 66 };
        assert_eq!(String::from_utf8_lossy(&message[..proof_at]), expected[..proof_at]);
        assert_eq!(read(place, expected.as_bytes()), Err(refusals[place]), "a proof of zeros");
    }
}

#[test]
fn refuses_every_flipped_bit_and_every_cut() {
    for (place, message) in messages().iter().enumerate() {
        assert_eq!(read(place, message), Ok(()));
        let by_key = if place == 0 { RotationError::NotAuthentic } else { RotationError::Mac };
        for bit in 0..8 * message.len() {
            let mut flipped = message.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let refusal = read(place, &flipped).expect_err("a flipped bit is noticed");
            let by_form = matches!(refusal, RotationError::Canonical(_));
            assert!(by_form || refusal == by_key, "message {place}, bit {bit}: {refusal}");
        }
        for len in 0..message.len() {
            let refusal = read(place, &message[..len]).expect_err("too short");
            assert!(matches!(refusal, RotationError::Canonical(CanonicalError::Truncated { .. })), "{place} {len}");
        }
        let longer = [message, &b"\n"[..]].concat();
        let trailing = RotationError::Canonical(CanonicalError::Trailing { at: message.len() });
        assert_eq!(read(place, &longer), Err(trailing));
    }
}

#[test]
fn an_offer_is_for_one_ask_of_one_device_in_one_epoch() {
    let offer = offer(4);
    let refused = |asking: Asking, key: &OfferKey| asking.offered(key, &offer).err();
    let key = offer_key();
    let other: DeviceId = "esp32-002".parse().expect("legal");
    // A recorded offer to a later ask; another device, with the key of either; another epoch; the new key's.
    assert_eq!(refused(Asking::new(device(), KeyEpoch(3), [9; 16]), &key), Some(RotationError::NotAuthentic));
    assert_eq!(refused(Asking::new(other, KeyEpoch(3), OWN), &key), Some(RotationError::NotAuthentic));
    let others = OfferKey::derive(&present(), &other);
    assert_eq!(refused(asking(), &others), Some(RotationError::NotAuthentic));
    assert_eq!(refused(Asking::new(device(), KeyEpoch(2), OWN), &key), Some(RotationError::NotAuthentic));
    let of_new = OfferKey::derive(&new_root(), &device());
    assert_eq!(refused(asking(), &of_new), Some(RotationError::NotAuthentic));
    // What the seal covers, edited.
    for (old, new) in [("\"epoch\":4", "\"epoch\":9"), ("2222", "2223"), ("3333", "3334")] {
        let edited = String::from_utf8(offer.clone()).expect("ASCII").replacen(old, new, 1);
        assert_eq!(read(0, edited.as_bytes()), Err(RotationError::NotAuthentic), "{old}");
    }
}

#[test]
fn a_confirmation_is_of_one_key_one_device_and_one_kind() {
    let [_, confirm, ack] = messages();
    let other: DeviceId = "esp32-002".parse().expect("legal");
    for key in [ConfirmationKey::derive(&present(), &device()), ConfirmationKey::derive(&new_root(), &other)] {
        assert_eq!(ConfirmMessage::parse(&confirm).expect("canonical").verify(&key).err(), Some(RotationError::Mac));
        assert_eq!(confirmation().acknowledged(&key, &ack), Err(RotationError::Mac));
    }
    for (old, new) in [("\"epoch\":4", "\"epoch\":5"), ("esp32-001", "esp32-002"), ("1111", "1112"), ("2222", "2223")] {
        let edited = String::from_utf8(confirm.clone()).expect("ASCII").replacen(old, new, 1);
        assert_eq!(read(1, edited.as_bytes()), Err(RotationError::Mac), "{old}");
    }
    // The acknowledgement of an earlier confirmation, and one of another epoch that the server did acknowledge.
    let later = Confirmation { device_nonce: [9; 16], ..confirmation() };
    assert_eq!(later.acknowledged(&confirmation_key(), &ack), Err(RotationError::Mac));
    let mut out = [0; MAX_MESSAGE];
    let fifth = Confirmation { epoch: KeyEpoch(5), ..confirmation() };
    let fifth = Confirmed(&fifth).acknowledge(&confirmation_key(), &mut out).expect("fits");
    assert_eq!(confirmation().acknowledged(&confirmation_key(), fifth), Err(RotationError::Mac));
    // The MAC of one kind of message is none of another.
    for (donor, taker, place) in [(&confirm, &ack, 2), (&ack, &confirm, 1)] {
        let mut taker = taker.clone();
        let at = taker.len() - 66;
        taker[at..].copy_from_slice(&donor[donor.len() - 66..]);
        assert_eq!(read(place, &taker), Err(RotationError::Mac), "{place}");
    }
}

#[test]
fn the_longest_messages_fit_and_a_shorter_buffer_is_noticed() {
    let longest: DeviceId = "0123456789abcdef0123456789abcdef".parse().expect("legal");
    let confirmation = Confirmation { device: longest, epoch: KeyEpoch(u32::MAX), ..confirmation() };
    let key = confirmation_key();
    let mut out = [0; MAX_MESSAGE];
    let len = confirmation.write(&key, &mut out).expect("fits").len();
    for short in 0..len {
        assert_eq!(confirmation.write(&key, &mut out[..short]), Err(RotationError::OutputFull), "{short}");
    }
    let asked = Asked { device: &longest, epoch: KeyEpoch(3), device_nonce: &OWN };
    let len = asked.offer(&offer_key(), &offered(u32::MAX), IV, &mut out).expect("fits").len();
    for short in 0..len {
        let refused = asked.offer(&offer_key(), &offered(u32::MAX), IV, &mut out[..short]);
        assert_eq!(refused, Err(RotationError::OutputFull), "{short}");
    }
}

/// Made by Python's `cryptography`; see `vectors/wire/README.md`.
#[test]
fn reads_what_python_makes() {
    let mut lines = include_str!("../../../vectors/wire/rotation.txt").lines();
    let mut next = |name: &str| lines.next().and_then(|line| line.strip_prefix(name)).expect("a line of that name");
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| std::format!("{byte:02x}")).collect() };
    assert_eq!(hex(offer_key().expose()), next("offer-key "));
    assert_eq!(hex(confirmation_key().expose()), next("confirmation-key "));
    let [offer, confirm, ack] = messages();
    for message in [offer, confirm, ack] {
        assert_eq!(String::from_utf8_lossy(&message), next("message "));
    }
    assert_eq!(lines.next(), None);
}
