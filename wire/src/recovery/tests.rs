extern crate std;
use super::*;
use crate::keys::RootKey;
use cotter_formats::secret::Secret;
use std::string::String;
use std::vec::Vec;

const OWN: [u8; 16] = [0x11; 16];
const SERVER: [u8; 16] = [0x22; 16];

fn device() -> DeviceId {
    "esp32-001".parse().expect("legal")
}

fn key_of(device: &str) -> RecoveryKey {
    let root = RootKey::new(Secret::filled_by(|key| (0..).zip(key).for_each(|(value, byte)| *byte = value)));
    RecoveryKey::derive(&root, &device.parse().expect("legal"))
}

fn key() -> RecoveryKey {
    key_of("esp32-001")
}

fn recovery() -> Recovery {
    Recovery::new(device(), KeyEpoch(3), OWN)
}

/// Ask, challenge, claim and grant of one recovery.
fn messages() -> [Vec<u8>; 4] {
    let mut out = [0; MAX_MESSAGE];
    let ask = recovery().ask(&key(), &mut out).expect("fits").to_vec();
    let verified = Ask::parse(&ask).expect("canonical").verify(&key()).expect("ours");
    assert_eq!((verified.device_nonce(), verified.with(SERVER)), (&OWN, Nonces { device: OWN, server: SERVER }));
    let challenge = verified.challenge(&key(), &SERVER, &mut out).expect("fits").to_vec();
    let claim = recovery().challenged(&key(), &challenge).expect("ours");
    let claim = claim.write(&key(), &mut out).expect("fits").to_vec();
    let verified = ClaimMessage::parse(&claim).expect("canonical").verify(&key()).expect("ours");
    assert_eq!((verified.epoch(), *verified.nonces()), (KeyEpoch(3), Nonces { device: OWN, server: SERVER }));
    let grant = verified.grant(&key(), KeyEpoch(4), Nonce(10_000), &mut out).expect("fits").to_vec();
    [ask, challenge, claim, grant]
}

/// Hands a message to whoever reads it.
fn read(place: usize, message: &[u8]) -> Result<(), RecoveryError> {
    let key = key();
    match place {
        0 => Ask::parse(message)?.verify(&key).map(drop),
        1 => recovery().challenged(&key, message).map(drop),
        2 => ClaimMessage::parse(message)?.verify(&key).map(drop),
        _ => claim(KeyEpoch(3)).granted(&key, message).map(drop),
    }
}

fn claim(epoch: KeyEpoch) -> Claim {
    Claim { device: device(), epoch, nonces: Nonces { device: OWN, server: SERVER } }
}

#[test]
fn a_recovery_ends_in_a_new_epoch() {
    let grant = claim(KeyEpoch(3)).granted(&key(), &messages()[3]).expect("ours");
    assert_eq!((grant.epoch(), grant.nonce()), (KeyEpoch(4), Nonce(10_000)));
    for own in [4, 5, u32::MAX] {
        let refusal = RecoveryError::Epoch { granted: KeyEpoch(4), own: KeyEpoch(own) };
        assert_eq!(claim(KeyEpoch(own)).granted(&key(), &messages()[3]), Err(refusal));
    }
}

#[test]
fn messages_have_one_spelling() {
    let mac = "0".repeat(64);
    let (own, server) = ("1".repeat(32), "2".repeat(32));
    let expected = [
        std::format!("{{\"version\":1,\"device_id\":\"esp32-001\",\"device_nonce\":\"{own}\",\"mac\":\"{mac}\"}}"),
        std::format!("{{\"server_nonce\":\"{server}\",\"mac\":\"{mac}\"}}"),
        std::format!(
            "{{\"version\":1,\"device_id\":\"esp32-001\",\"epoch\":3,\"device_nonce\":\"{own}\",\
             \"server_nonce\":\"{server}\",\"mac\":\"{mac}\"}}"
        ),
        std::format!("{{\"epoch\":4,\"nonce\":10000,\"mac\":\"{mac}\"}}"),
    ];
    for (place, (message, expected)) in messages().iter().zip(expected).enumerate() {
        let mac_at = message.len() - 66;
        assert_eq!(String::from_utf8_lossy(&message[..mac_at]), expected[..mac_at]);
        assert_eq!(read(place, expected.as_bytes()), Err(RecoveryError::Mac), "a MAC of zeros");
    }
}

#[test]
fn refuses_every_flipped_bit_and_every_cut() {
    for (place, message) in messages().iter().enumerate() {
        assert_eq!(read(place, message), Ok(()));
        for bit in 0..8 * message.len() {
            let mut flipped = message.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let refusal = read(place, &flipped).expect_err("a flipped bit is noticed");
            let by_form_or_key = matches!(refusal, RecoveryError::Canonical(_) | RecoveryError::Mac);
            assert!(by_form_or_key, "message {place}, bit {bit}: {refusal}");
        }
        for len in 0..message.len() {
            let refusal = read(place, &message[..len]).expect_err("too short");
            assert!(matches!(refusal, RecoveryError::Canonical(CanonicalError::Truncated { .. })), "{place} {len}");
        }
        let longer = [message, &b"\n"[..]].concat();
        let trailing = RecoveryError::Canonical(CanonicalError::Trailing { at: message.len() });
        assert_eq!(read(place, &longer), Err(trailing));
    }
}

#[test]
fn a_message_is_of_one_recovery_one_device_and_one_kind() {
    let [ask, challenge, claim_text, grant] = messages();
    // Another device's key; another recovery's nonces.
    assert_eq!(Ask::parse(&ask).expect("canonical").verify(&key_of("esp32-002")).err(), Some(RecoveryError::Mac));
    let other = Recovery::new(device(), KeyEpoch(3), [9; 16]);
    assert_eq!(other.challenged(&key(), &challenge).err(), Some(RecoveryError::Mac));
    let stale = Claim { nonces: Nonces { device: OWN, server: [9; 16] }, ..claim(KeyEpoch(3)) };
    assert_eq!(stale.granted(&key(), &grant), Err(RecoveryError::Mac));
    let stale = Claim { nonces: Nonces { device: [9; 16], server: SERVER }, ..claim(KeyEpoch(3)) };
    assert_eq!(stale.granted(&key(), &grant), Err(RecoveryError::Mac));
    // What the MAC covers, edited.
    for (old, new) in [("\"epoch\":3", "\"epoch\":2"), ("esp32-001", "esp32-002"), ("1111", "1112"), ("2222", "2223")] {
        let edited = String::from_utf8(claim_text.clone()).expect("ASCII").replacen(old, new, 1);
        assert_eq!(read(2, edited.as_bytes()), Err(RecoveryError::Mac), "{old}");
    }
    for (old, new) in [("\"epoch\":4", "\"epoch\":9"), ("10000", "0")] {
        let edited = String::from_utf8(grant.clone()).expect("ASCII").replacen(old, new, 1);
        assert_eq!(read(3, edited.as_bytes()), Err(RecoveryError::Mac), "{old}");
    }
    // The MAC of one kind of message is none of another.
    for from in 0..4 {
        for to in (0..4).filter(|to| *to != from) {
            let (donor, mut taker) = (&messages()[from], messages()[to].clone());
            let (at, mac_at) = (taker.len() - 66, donor.len() - 66);
            taker[at..].copy_from_slice(&donor[mac_at..]);
            assert_eq!(read(to, &taker), Err(RecoveryError::Mac), "{from} {to}");
        }
    }
}

#[test]
fn the_longest_message_fits_and_a_shorter_buffer_is_noticed() {
    let longest = "0123456789abcdef0123456789abcdef";
    let claim = Claim { device: longest.parse().expect("legal"), ..claim(KeyEpoch(u32::MAX)) };
    let mut out = [0; MAX_MESSAGE];
    let len = claim.write(&key_of(longest), &mut out).expect("fits").len();
    for short in 0..len {
        assert_eq!(claim.write(&key_of(longest), &mut out[..short]), Err(RecoveryError::OutputFull), "{short}");
    }
}
