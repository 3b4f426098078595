//! The bytes on the bus, against those of a real ATECC608A: commands recorded on the board of the demo, its answers,
//! and a token that it signed.

use crate::bench::{DEMO, Desk, Driver, KINDS, Kind, Transaction, blank, configured, slot};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use cotter_device::atecc::command::MessageBuffer;
use cotter_device::atecc::command::info::Revision;
use cotter_device::atecc::command::key::{CreateKey, GetPublicKey, KeyPlace, PublicKey};
use cotter_device::atecc::command::nonce::{Buffer, Load};
use cotter_device::atecc::command::sha::{EndKind, Hash, Start, Target};
use cotter_device::atecc::command::sign::{Sign, Signature};
use cotter_device::atecc::command::verify::{Verify, VerifyingKey};
use cotter_device::atecc::{Error, Settings, WakePulse, timing};
use cotter_formats::atecc::config::ClockDivider;
use cotter_formats::atecc::{Command, Opcode};
use hex_literal::hex;

/// What the driver wrote to the part after its word address for commands.
fn commands(desk: &Desk) -> Vec<Vec<u8>> {
    let of_command = |transaction| match transaction {
        Transaction::Written(0x60, bytes) if bytes[0] == 3 => Some(bytes[1..].to_vec()),
        _ => None,
    };
    desk.take_log().into_iter().filter_map(of_command).collect()
}

/// The token's signing input, 127 bytes: `header.claims`.
const SIGNING_INPUT: &[u8; 127] = b"eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.\
    eyJleHAiOiAxNTczOTQzMTEzLCAiYXVkIjogInN0b2tlZC1heGxlLTI1ODkxMCIsICJpYXQiOiAxNTczODk5OTEzfQ";

/// Its signature, which was base64url.
const SIGNATURE: [u8; 64] = hex!(
    "a1107ea752967147fc06ab90b8b2256de7f1863fc247cafc5a64b87233a70d02"
    "666b4eb5e4907347e3ea4cd4f4a68985477504743f7de998d34bb484ef285311"
);

/// The public key of slot 2.
const PUBLIC: [u8; 64] = hex!(
    "390ecbd69cca62bba25848e40257085faf158b19c0a03af5d3be753c14c267fd"
    "8eb8a086330f7b9dd769f7ea1e55886b407ad4410d7d5152c70a7df6ed971cff"
);

#[test]
fn the_token_of_a_real_part_verifies_on_the_host_and_on_the_simulated_part() {
    let key = PublicKey(PUBLIC);
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.to_sec1()).verify(SIGNING_INPUT, &SIGNATURE).unwrap();
    for kind in KINDS {
        let (_, mut driver) = configured(kind, &DEMO, |_, _| {});
        let digest = driver.run(Hash::new(Start::Digest, SIGNING_INPUT, Target::Digest, EndKind::Common)).unwrap();
        assert_eq!(digest, hex!("ae22fc2991ba3b0c8b4dadc4eb2fa68915f809f265237abbe8e6c4a1de614f69"));
        let signature = Signature(SIGNATURE);
        let mut wrong = signature;
        wrong.0[9] ^= 1;
        let key = VerifyingKey::External(&key);
        let verify = |signature| Verify { key, signature, message: MessageBuffer::Digest };
        driver.run(verify(&signature)).unwrap();
        assert_eq!(driver.run(verify(&wrong)), Err(Error::Miscompare));
    }
}

#[test]
fn the_demos_commands_are_the_demos_bytes() {
    for kind in KINDS {
        let (desk, mut driver) = configured(kind, &DEMO, |_, _| {});
        driver.run(CreateKey(KeyPlace::Slot(slot(2)))).unwrap();
        desk.take_log();
        let digest = driver.run(Hash::new(Start::Digest, SIGNING_INPUT, Target::TempKey, EndKind::Common)).unwrap();
        let sent = commands(&desk);
        assert_eq!(sent[0], hex!("07470000002e85"));
        assert_eq!((&sent[1][..5], &sent[1][5..69]), (&hex!("4747014000")[..], &SIGNING_INPUT[..64]));
        assert_eq!((&sent[2][..5], &sent[2][5..68]), (&hex!("4647023f00")[..], &SIGNING_INPUT[64..]));
        assert_eq!(sent.len(), 3);

        driver.run(Revision).unwrap();
        driver.run(GetPublicKey(KeyPlace::Slot(slot(2)))).unwrap();
        driver.run(Load { into: Buffer::Digest, bytes: &digest }).unwrap();
        let signature = driver.run(Sign { slot: slot(2), from: MessageBuffer::Digest }).unwrap();
        let public = driver.run(GetPublicKey(KeyPlace::Slot(slot(2)))).unwrap();
        let key = VerifyingKey::External(&public);
        driver.run(Verify { key, signature: &signature, message: MessageBuffer::Digest }).unwrap();
        let sent = commands(&desk);
        assert_eq!(sent[0], hex!("0730000000035d"));
        assert_eq!(sent[1], hex!("07400002000685"));
        assert_eq!((&sent[2][..5], &sent[2][5..37]), (&hex!("2716430000")[..], &digest[..]));
        assert_eq!(sent[3], hex!("0741a002007d05"));
        assert_eq!((&sent[5][..5], &sent[5][5..69]), (&hex!("8745220400")[..], &signature.0[..]));
        assert_eq!(sent[5][69..133], public.0);
        for packet in sent {
            Command::parse(&packet).unwrap();
        }
    }
}

#[test]
fn an_exchange_is_wake_send_look_and_idle() {
    let (desk, mut driver) = blank(Kind::Blocking);
    assert_eq!(driver.run(Revision).unwrap(), [0, 0, 0x60, 2]);
    let mut log = desk.take_log();
    log.retain(|transaction| *transaction != Transaction::Read(0x60, 1));
    let expected = [
        Transaction::Written(0, vec![0]),
        Transaction::Read(0x60, 4),
        Transaction::Written(0x60, hex!("030730000000035d").to_vec()),
        Transaction::Read(0x60, 6),
        Transaction::Written(0x60, vec![2]),
    ];
    assert_eq!(log, expected);
}

#[test]
fn a_part_can_be_woken_by_its_own_address_and_have_another_one() {
    for kind in KINDS {
        let mut config = DEMO;
        config[16] = 0x6a;
        let (desk, mut driver) = configured(kind, &config, |_, _| {});
        driver.sleep().unwrap();
        assert_eq!(driver.run(Revision), Err(Error::NoAnswer), "it has moved");
        let settings = Settings { address: 0x35, wake: WakePulse::OwnAddress, ..Settings::default() };
        let mut driver = Driver::with_settings(kind, &desk, settings);
        desk.take_log();
        assert_eq!(driver.run(Revision).unwrap(), [0, 0, 0x60, 2]);
        assert_eq!(desk.take_log()[0], Transaction::Written(0x35, vec![0, 0]));
    }
}

#[test]
fn the_driver_waits_as_long_as_the_simulated_part_takes_at_each_divider() {
    for opcode in 0..=0xff {
        let opcode = Opcode(opcode);
        for divider in [ClockDivider::M0, ClockDivider::M1, ClockDivider::M2] {
            let theirs = cotter_chip::atecc::timing::execution(opcode, divider);
            if theirs != cotter_chip::atecc::timing::REFUSAL {
                assert_eq!(
                    u128::from(timing::execution(opcode, divider)),
                    theirs.as_micros(),
                    "{opcode:?} {divider:?}"
                );
            }
        }
    }
    assert_eq!(u128::from(timing::WAKE), cotter_chip::atecc::timing::WAKE.as_micros());
}
