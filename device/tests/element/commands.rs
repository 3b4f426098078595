//! The commands that need no session, and what the host computes beside them.

use crate::bench::{DEMO, Driver, KINDS, blank, configured, slot, write_key};
use cotter_chip::atecc::{Entropy, Model as Simulated, SecureElement};
use cotter_device::atecc::command::MessageBuffer;
use cotter_device::atecc::command::aes::{Aes, AesKey, Direction, Multiply};
use cotter_device::atecc::command::counter::{CounterId, Increment, ReadCounter, UpdateExtra};
use cotter_device::atecc::command::info::{Gpio, KeyValid, Revision, SelfTest, State, Tests};
use cotter_device::atecc::command::key::{CreateKey, GetPublicKey, KeyPlace, PublicKey};
use cotter_device::atecc::command::lock::Lock;
use cotter_device::atecc::command::nonce::{Buffer, Load, Random, RandomNonce, Seed};
use cotter_device::atecc::command::sha::{
    End, EndKind, Hash, HashPublicKey, ReadContext, Start, Stream, Target, Update, WriteContext,
};
use cotter_device::atecc::command::sign::{Sign, SignDigest, Signature};
use cotter_device::atecc::command::verify::{Verify, VerifyingKey};
use cotter_device::atecc::command::zone::{
    ReadBlock, ReadConfig, ReadSlot, ReadWord, WriteBlock, WriteSlot, WriteWord, Zone,
};
use cotter_device::atecc::{Error, Model, SlotSigner};
use cotter_device::signer::Signer;
use cotter_formats::atecc::ConfigZone;
use cotter_formats::atecc::config::ClockDivider;
use cotter_formats::atecc::counter::Count;
use cotter_formats::atecc::packet::Crc;
use hex_literal::hex;
use hmac::{Hmac, KeyInit, Mac};
use p256::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
use p256::ecdsa::{SigningKey, VerifyingKey as HostKey};
use p256::elliptic_curve::point::AffineCoordinates;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// A key pair of the host.
pub(crate) fn pair(seed: u8) -> (SigningKey, PublicKey) {
    let key = SigningKey::from_slice(&[seed; 32]).unwrap();
    let public = key.verifying_key().to_sec1_point(false);
    (key, PublicKey(public.as_bytes()[1..].try_into().unwrap()))
}

pub(crate) fn host_signature(key: &SigningKey, digest: &[u8; 32]) -> Signature {
    let signature: p256::ecdsa::Signature = key.sign_prehash(digest).unwrap();
    Signature(signature.to_bytes().into())
}

/// Whether a signature holds, after p256.
pub(crate) fn holds(key: &PublicKey, digest: &[u8; 32], signature: &Signature) -> bool {
    let key = HostKey::from_sec1_bytes(&key.to_sec1()).unwrap();
    key.verify_prehash(digest, &p256::ecdsa::Signature::from_slice(&signature.0).unwrap()).is_ok()
}

/// The host's side of ECDH.
pub(crate) fn agree(seed: u8, public: &PublicKey) -> [u8; 32] {
    let ours = p256::SecretKey::from_slice(&[seed; 32]).unwrap();
    let theirs = p256::PublicKey::from_sec1_bytes(&public.to_sec1()).unwrap();
    (theirs.to_projective() * *ours.to_nonzero_scalar()).to_affine().x().into()
}

pub(crate) fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

pub(crate) fn sign(driver: &mut Driver, number: u16, digest: &[u8; 32]) -> Result<Signature, Error> {
    driver.run(SignDigest::new(slot(number), digest, MessageBuffer::Digest))
}

fn message(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

#[test]
fn parts_say_what_they_are() {
    for kind in KINDS {
        for (model, expected) in [(Simulated::Atecc608A, Model::Atecc608A), (Simulated::Atecc608B, Model::Atecc608B)] {
            let element = SecureElement::fresh(model, [1, 2, 3, 4, 5, 6], Entropy::known(1));
            let mut driver = Driver::new(kind, &crate::bench::Desk::new(element));
            let part = driver.identify().unwrap();
            assert_eq!((part.model, part.serial.0), (expected, hex!("012301020304 0506ee")));
            assert_eq!((part.clock, part.has_aes), (ClockDivider::M0, true));
        }
    }
    assert_eq!(Model::from_revision([0, 0, 0x50, 0]), Ok(Model::Atecc508A));
    assert_eq!(Model::from_revision([0, 2, 0, 9]), Err(Error::Revision([0, 2, 0, 9])), "an ATSHA204A");
    assert_eq!(Model::Atecc508A.message_buffer(), MessageBuffer::TempKey);
}

#[test]
fn a_blank_parts_random_numbers_are_refused() {
    for kind in KINDS {
        let (_, mut driver) = blank(kind);
        assert_eq!(driver.run(Random { seed: Seed::Update }).err(), Some(Error::NotRandom));
        let nonce = RandomNonce { input: &[1; 20], seed: Seed::Keep };
        assert_eq!(driver.run(nonce).err(), Some(Error::NotRandom));
        let (_, mut driver) = configured(kind, &DEMO, |_, _| {});
        let first = driver.run(Random { seed: Seed::Update }).unwrap();
        let second = driver.run(Random { seed: Seed::Keep }).unwrap();
        assert!(!first.ct_eq(&second));
        assert!(driver.run(State).map(|state| !state.is_temp_key_valid()).unwrap());
        driver.run(nonce).unwrap();
        assert!(driver.run(State).map(|state| state.is_temp_key_valid() && !state.is_temp_key_input()).unwrap());
        driver.run(SelfTest(Tests::ALL)).map(|failed| assert_eq!(failed, Tests::NONE)).unwrap();
        assert_eq!(driver.run(Gpio::Read), Err(Error::Execution));
    }
}

#[test]
fn idle_between_commands_keeps_the_buffers_and_sleep_does_not() {
    for kind in KINDS {
        let (desk, mut driver) = configured(kind, &DEMO, |driver, _| {
            driver.run(CreateKey(KeyPlace::Slot(slot(2)))).unwrap();
        });
        let from_digest = Sign { slot: slot(2), from: MessageBuffer::Digest };
        driver.run(Load { into: Buffer::Digest, bytes: &[1; 32] }).unwrap();
        desk.pass(Duration::from_secs(3_600));
        driver.run(from_digest).unwrap();
        driver.wake().unwrap();
        driver.run(from_digest).unwrap();
        driver.sleep().unwrap();
        assert_eq!(driver.run(from_digest), Err(Error::Execution));
    }
}

#[test]
fn signatures_hold_and_wrong_ones_do_not() {
    for kind in KINDS {
        let mut public = PublicKey([0; 64]);
        let (_, mut driver) = configured(kind, &DEMO, |driver, _| {
            assert_eq!(driver.run(KeyValid(slot(2))), Ok(false));
            public = driver.run(CreateKey(KeyPlace::Slot(slot(2)))).unwrap();
        });
        assert_eq!(driver.run(KeyValid(slot(2))), Ok(true));
        assert_eq!(driver.run(GetPublicKey(KeyPlace::Slot(slot(2)))), Ok(public));
        let digest = [7; 32];
        let mut through_temp_key = sign(&mut driver, 2, &digest).unwrap();
        assert!(holds(&public, &digest, &through_temp_key));
        let signature = driver.run(SignDigest::new(slot(2), &digest, MessageBuffer::TempKey)).unwrap();
        assert!(holds(&public, &digest, &signature));
        driver.run(Load { into: Buffer::TempKey, bytes: &digest }).unwrap();
        let key = VerifyingKey::External(&public);
        let verify = Verify { key, signature: &signature, message: MessageBuffer::TempKey };
        assert_eq!(driver.run(verify), Ok(()));
        assert_eq!(driver.run(verify), Err(Error::Execution), "TempKey is used up");
        through_temp_key.0[0] ^= 1;
        driver.run(Load { into: Buffer::Digest, bytes: &digest }).unwrap();
        let wrong = Verify { key, signature: &through_temp_key, message: MessageBuffer::Digest };
        assert_eq!(driver.run(wrong), Err(Error::Miscompare));
        assert_eq!(sign(&mut driver, 4, &digest), Err(Error::Execution), "no private key");
    }
}

#[test]
fn a_key_in_a_slot_is_a_signer() {
    let (desk, _) = configured(KINDS[0], &DEMO, |driver, _| {
        driver.run(CreateKey(KeyPlace::Slot(slot(2)))).unwrap();
    });
    let mut element = cotter_device::atecc::blocking::Element::new(desk.clone(), desk);
    let part = element.identify().unwrap();
    let mut signer = SlotSigner::new(&mut element, &part, slot(2));
    let public = PublicKey(signer.public_key().unwrap());
    let message = message(500);
    let digest: [u8; 32] = Sha256::digest(&message).into();
    for signature in [signer.sign(&message).unwrap(), signer.sign_digest(&digest).unwrap()] {
        assert!(holds(&public, &digest, &Signature(signature)));
    }
    assert_eq!(SlotSigner::new(&mut element, &part, slot(4)).sign(&message), Err(Error::Execution));
}

#[test]
fn messages_of_every_length_hash_as_sha2_hashes_them() {
    for kind in KINDS {
        let (_, mut driver) = configured(kind, &DEMO, |driver, _| write_key(driver, 4, 4));
        for len in (0..=330).step_by(3).chain([63, 64, 65, 127, 128, 129, 191, 192, 193, 256]) {
            let message = message(len);
            let expected: [u8; 32] = Sha256::digest(&message).into();
            let hash = Hash::new(Start::Digest, &message, Target::Output, EndKind::Common);
            assert_eq!(driver.run(hash).unwrap(), expected, "{len}");
            let hash = Hash::new(Start::Hmac(slot(4)), &message, Target::Output, EndKind::Common);
            assert_eq!(driver.run(hash).unwrap()[..], hmac(&[4; 32], &message), "{len}");
        }
    }
}

#[test]
fn a_message_in_pieces_hashes_as_the_whole() {
    for kind in KINDS {
        let (_, mut driver) = configured(kind, &DEMO, |_, _| {});
        let message = message(300);
        let expected: [u8; 32] = Sha256::digest(&message).into();
        for piece in [1, 7, 63, 64, 65, 128, 200, 300] {
            let mut stream = Stream::default();
            driver.run(Start::Digest).unwrap();
            for piece in message.chunks(piece) {
                driver.run(stream.push(piece)).unwrap();
            }
            assert_eq!(driver.run(stream.end(Target::TempKey, EndKind::Common)).unwrap(), expected, "{piece}");
        }
        driver.run(Load { into: Buffer::TempKey, bytes: &[6; 32] }).unwrap();
        let hash = Hash::new(Start::HmacTempKey, &message, Target::Digest, EndKind::Common);
        assert_eq!(driver.run(hash).unwrap()[..], hmac(&[6; 32], &message));
    }
}

#[test]
fn a_context_is_put_away_and_taken_up_again() {
    for kind in KINDS {
        let (_, mut driver) = configured(kind, &DEMO, |_, _| {});
        let message = message(140);
        driver.run(Start::Digest).unwrap();
        driver.run(Update(&message[..64])).unwrap();
        driver.run(Update(&message[64..100])).unwrap();
        let context = driver.run(ReadContext).unwrap();
        assert_eq!(context.bytes()[..4], 100_u32.to_le_bytes());
        assert_eq!(context.bytes().len(), 36 + 36);
        driver.run(Start::Digest).unwrap();
        let end = End { rest: &[], target: Target::Output, kind: EndKind::Common };
        assert_eq!(driver.run(end).unwrap()[..], Sha256::digest(b"")[..]);
        driver.run(WriteContext(&context)).unwrap();
        let end = End { rest: &message[100..], target: Target::Output, kind: EndKind::Common };
        assert_eq!(driver.run(end).unwrap()[..], Sha256::digest(&message)[..]);
        assert_eq!(driver.run(end), Err(Error::Execution), "it is over");
        assert!(matches!(driver.run(Update(&message[..65])), Err(Error::Parameter(_))));
        driver.run(Start::HmacTempKey).unwrap_err();
    }
}

#[test]
fn a_public_key_in_a_slot_is_part_of_a_message() {
    for kind in KINDS {
        let (_, public) = pair(6);
        let mut config = DEMO;
        config[96 + 22..96 + 24].copy_from_slice(&[0x10, 0]);
        let (_, mut driver) =
            configured(kind, &config, |driver, _| crate::bench::write_public_key(driver, 11, &public));
        driver.run(Start::Digest).unwrap();
        driver.run(HashPublicKey(slot(11))).unwrap();
        let end = End { rest: &[], target: Target::Output, kind: EndKind::Common };
        assert_eq!(driver.run(end).unwrap()[..], Sha256::digest(public.0)[..]);
        let mut content = [0; 72];
        driver.run(ReadSlot::new(slot(11), &mut content)).unwrap();
        assert_eq!(PublicKey::from_slot(&content), public);
    }
}

#[test]
fn zones_read_as_they_were_written() {
    for kind in KINDS {
        // Slot 8 takes writes in the clear.
        let mut config = DEMO;
        config[36..38].copy_from_slice(&[0x0f, 0x0f]);
        let content = message(416);
        let (_, mut driver) = configured(kind, &config, |driver, _| {
            driver.run(WriteSlot::new(slot(8), &content)).unwrap();
            driver.run(WriteBlock { zone: Zone::Otp, block: 1, value: &[5; 32] }).unwrap();
            let word = WriteWord { zone: Zone::Data(slot(8)), block: 0, word: 0, value: &[0; 4] };
            assert_eq!(driver.run(word), Err(Error::Execution), "words come after the lock");
        });
        let mut found = [0; 416];
        driver.run(ReadSlot::new(slot(8), &mut found)).unwrap();
        assert_eq!(found[..], content);
        driver.run(WriteWord { zone: Zone::Data(slot(8)), block: 12, word: 3, value: &[1, 2, 3, 4] }).unwrap();
        let word = ReadWord { zone: Zone::Data(slot(8)), block: 12, word: 3 };
        assert_eq!(driver.run(word), Ok([1, 2, 3, 4]));
        assert_eq!(driver.run(ReadBlock { zone: Zone::Otp, block: 1 }), Ok([5; 32]));
        assert_eq!(driver.run(ReadBlock { zone: Zone::Otp, block: 2 }), Err(Error::Parse));
        let mut more = [0; 417];
        assert!(matches!(driver.run(ReadSlot::new(slot(8), &mut more)), Err(Error::Parameter(_))) || more[416] == 0);
        assert!(matches!(driver.run(WriteSlot::new(slot(3), &[0; 37])), Err(Error::Parameter(_))));
    }
}

#[test]
fn locks_want_the_content_that_is_there() {
    for kind in KINDS {
        let (desk, mut driver) = blank(kind);
        let zone = driver.run(ReadConfig::default()).unwrap();
        let mut other = zone.clone();
        other.0[20] ^= 1;
        assert_eq!(driver.run(Lock::config(&other)), Err(Error::Execution));
        assert!(!desk.config().is_config_locked());
        driver.run(Lock::config(&zone)).unwrap();
        assert_eq!(driver.run(Lock::config_unchecked()), Err(Error::Execution), "it is locked");
        driver.run(WriteSlot::new(slot(8), &[3; 416])).unwrap();
        // All slots in their order but those for private keys, and then the OTP zone.
        let mut crc = Crc::default();
        for number in (0..16).map(slot).filter(|slot| !desk.config().key_config(*slot).is_private()) {
            let fill = if number == slot(8) { 3 } else { 0xff };
            crc.update(&vec![fill; number.len()]);
        }
        let mut wrong = crc;
        crc.update(&[0xff; 64]);
        wrong.update(&[0xfe; 64]);
        assert_eq!(driver.run(Lock::data(wrong)), Err(Error::Execution));
        driver.run(Lock::data(crc)).unwrap();
        assert!(desk.config().is_data_locked());
        let lockable = (0..16).map(slot).find(|slot| desk.config().key_config(*slot).is_lockable()).unwrap();
        driver.run(Lock::slot(lockable)).unwrap();
        assert!(desk.config().is_slot_locked(lockable));
        assert_eq!(driver.run(Lock::slot(lockable)), Err(Error::Execution));
    }
}

#[test]
fn counters_count_and_extra_bytes_are_written_once() {
    for kind in KINDS {
        let (desk, mut driver) = configured(kind, &DEMO, |_, _| {});
        for expected in 1..=40 {
            assert_eq!(driver.run(Increment(CounterId::One)).unwrap().value(), expected);
        }
        assert_eq!(driver.run(ReadCounter(CounterId::One)), Ok(Count::new(40).unwrap()));
        assert_eq!(driver.run(ReadCounter(CounterId::Zero)), Ok(Count::new(0).unwrap()));
        driver.run(UpdateExtra::UserExtra(0x5a)).unwrap();
        assert_eq!(driver.run(UpdateExtra::UserExtra(0x5b)), Err(Error::Execution));
        driver.run(UpdateExtra::UserExtraAdd(0x6a)).unwrap();
        assert_eq!(desk.config().0[84..86], [0x5a, 0x6a]);
        driver.run(UpdateExtra::UseKey(slot(2))).unwrap();
    }
}

#[test]
fn aes_is_that_of_nist() {
    // SP 800-38A F.1.1; test case 2 of the GCM specification.
    let key = hex!("2b7e151628aed2a6abf7158809cf4f3c");
    let (plain, cipher) = (hex!("6bc1bee22e409f96e93d7e117393172a"), hex!("3ad77bb40d7a3660a89ecaf32466ef97"));
    for kind in KINDS {
        let (_, mut driver) = configured(kind, &DEMO, |_, _| {});
        driver.run(Load { into: Buffer::TempKey, bytes: &[[0; 16], key, key, key].concat() }).unwrap();
        for index in 1..4 {
            let key = AesKey { slot: None, index };
            let encrypted = driver.run(Aes { direction: Direction::Encrypt, key, block: &plain }).unwrap();
            assert_eq!(encrypted.into_public(), cipher);
            let decrypted = driver.run(Aes { direction: Direction::Decrypt, key, block: &cipher }).unwrap();
            assert_eq!(decrypted.expose(), &plain);
        }
        let beyond = Aes { direction: Direction::Encrypt, key: AesKey { slot: None, index: 4 }, block: &plain };
        assert!(matches!(driver.run(beyond), Err(Error::Parameter(_))));
        let (h, x) = (hex!("66e94bd4ef8a2c3b884cfa59ca342b2e"), hex!("0388dace60b6a392f328c2b971b2fe78"));
        assert_eq!(driver.run(Multiply { h: &h, x: &x }), Ok(hex!("5e2ec746917062882c85b0685353deb7")));
    }
}

#[test]
fn buffers_take_what_fits_them() {
    for kind in KINDS {
        let (desk, mut driver) = configured(kind, &DEMO, |_, _| {});
        desk.calm();
        for (into, len) in [(Buffer::TempKey, 33), (Buffer::AlternateKey, 64), (Buffer::Digest, 0)] {
            let refused = driver.run(Load { into, bytes: &vec![1; len] });
            assert!(matches!(refused, Err(Error::Parameter(_))), "{into:?} {len}");
        }
        assert_eq!(desk.count(), 0, "nothing was sent");
        for (into, len) in [(Buffer::TempKey, 64), (Buffer::AlternateKey, 32), (Buffer::Digest, 64)] {
            driver.run(Load { into, bytes: &vec![1; len] }).unwrap();
        }
    }
}

#[test]
fn slow_clocks_are_waited_for() {
    // M2 and the long watchdog, without which a verification would not fit.
    let mut config = DEMO;
    config[19] = 0x0d << 3 | 1 << 2;
    for kind in KINDS {
        let (desk, mut driver) = configured(kind, &config, |driver, _| {
            driver.run(CreateKey(KeyPlace::Slot(slot(2)))).unwrap();
        });
        assert_eq!(driver.identify().unwrap().clock, ClockDivider::M2);
        let before = desk.now();
        let signature = sign(&mut driver, 2, &[1; 32]).unwrap();
        let public = driver.run(GetPublicKey(KeyPlace::Slot(slot(2)))).unwrap();
        let verify =
            Verify { key: VerifyingKey::External(&public), signature: &signature, message: MessageBuffer::Digest };
        driver.run(verify).unwrap();
        assert_eq!(driver.run(SelfTest(Tests::ALL)), Ok(Tests::NONE));
        assert!(desk.now() - before > Duration::from_millis(665 + 653 + 1_085 + 2_324));
    }
    // Without it the part says so, and nothing is executed.
    config[19] = 0x0d << 3;
    let (_, mut driver) = configured(KINDS[0], &config, |_, _| {});
    assert_eq!(driver.run(SelfTest(Tests::ALL)), Err(Error::Watchdog));
    assert_eq!(driver.run(Revision), Ok([0, 0, 0x60, 2]));
}

#[test]
fn the_time_that_commands_take_is_noticed_soon() {
    let (desk, mut driver) = configured(KINDS[0], &DEMO, |_, _| {});
    desk.calm();
    let before = desk.now();
    driver.run(Revision).unwrap();
    assert!(desk.now() - before < Duration::from_millis(12), "{:?}", desk.now() - before);
    assert!(desk.count() < 15, "{}", desk.count());
    let before = desk.now();
    driver.run(CreateKey(KeyPlace::Slot(slot(2)))).unwrap();
    assert!(desk.now() - before < Duration::from_millis(115 * 6 / 5 + 20), "{:?}", desk.now() - before);
}

#[test]
fn config_writes_leave_out_what_is_not_to_be_written() {
    let (desk, mut driver) = blank(KINDS[0]);
    let mut zone = ConfigZone(DEMO);
    zone.0[..16].fill(0xaa);
    zone.0[84..88].fill(0xaa);
    driver.run(cotter_device::atecc::command::zone::WriteConfig::new(&zone)).unwrap();
    assert_eq!(desk.config().0[84..88], [0, 0, 0x55, 0x55]);
    assert_eq!(desk.config().0[16..84], DEMO[16..84]);
    assert_eq!(desk.config().0[88..], DEMO[88..]);
}
