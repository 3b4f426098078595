//! Where keys and secrets may also come from and go to: slots of every kind, and certificates.

use crate::bench::{DEMO, Driver, KINDS, configured, slot, write_key, write_public_key};
use crate::commands::{agree, hmac, host_signature, pair};
use cotter_device::atecc::Error;
use cotter_device::atecc::command::aes::{Aes, AesKey, Direction};
use cotter_device::atecc::command::ecdh::{Agree, AgreeOut, Output, Path};
use cotter_device::atecc::command::info::KeyValid;
use cotter_device::atecc::command::kdf::{Algorithm, Derivation, HkdfKey, HkdfMessage, Kdf, KdfOut, Source, Target};
use cotter_device::atecc::command::key::{CreateKey, GetPublicKey, KeyPlace};
use cotter_device::atecc::command::mac::{First, Mac, OtpPart, Second};
use cotter_device::atecc::command::sha::{End, EndKind, HashPublicKey, Start, Target as Digested, Update};
use cotter_device::atecc::command::sign::SerialPart;
use cotter_device::atecc::command::verify::ValidateByCertificate;
use cotter_device::atecc::command::zone::WriteSlot;
use cotter_device::atecc::command::{TempKeySource, nonce::Buffer, nonce::Load};
use cotter_device::atecc::hash;
use cotter_device::atecc::identify::SerialNumber;
use cotter_formats::secret::Secret;
use hex_literal::hex;
use sha2::{Digest, Sha256};

/// A MAC tells whether a slot holds a key.
fn holds_key(driver: &mut Driver, number: u16, key: &[u8; 32]) -> bool {
    let request = Mac {
        slot: slot(number),
        first: First::Key,
        second: Second::Challenge(&[2; 32]),
        source: TempKeySource::Random,
        otp: OtpPart::None,
        serial: SerialPart::Common,
    };
    let key = Secret::from_slice(key).unwrap();
    let expected = hash::mac(&request, &key, &[2; 32], &[0; 11], SerialNumber(hex!("012310ba68e82c53ee")));
    driver.run(request).unwrap() == expected
}

#[test]
fn shared_secrets_go_where_they_are_told() {
    for kind in KINDS {
        let (_, mut driver) = configured(kind, &DEMO, |driver, _| {
            driver.run(CreateKey(KeyPlace::Slot(slot(2)))).unwrap();
        });
        let (_, other) = pair(5);
        let ours = driver.run(GetPublicKey(KeyPlace::Slot(slot(2)))).unwrap();
        driver.run(Agree { path: Path::SlotToNext(slot(2)), public: &other }).unwrap();
        assert!(holds_key(&mut driver, 3, &agree(5, &ours)));
        let once = driver.run(CreateKey(KeyPlace::TempKey)).unwrap();
        driver.run(Agree { path: Path::TempKeyToSlot(slot(13)), public: &other }).unwrap();
        assert!(holds_key(&mut driver, 13, &agree(5, &once)));
        // As on the ATECC508A: the configuration of slot 2 lets it out.
        let out = AgreeOut { key: KeyPlace::Slot(slot(2)), public: &other, output: Output::Configured };
        assert_eq!(driver.run(out).unwrap().expose(), &agree(5, &ours));
        let stays = Agree { path: Path::Configured(slot(2)), public: &other };
        assert_eq!(driver.run(stays), Err(Error::Length { got: 32, expected: 1 }), "it came out");
        let nowhere = AgreeOut { key: KeyPlace::TempKey, public: &other, output: Output::Configured };
        assert!(matches!(driver.run(nowhere), Err(Error::Parameter(_))));
    }
}

#[test]
fn keys_in_slots_encrypt_and_derive() {
    // Slot 9 is for AES keys, KDF may write slot 14.
    let mut config = DEMO;
    config[96 + 18..96 + 20].copy_from_slice(&[0x18, 0]);
    config[96 + 28..96 + 30].copy_from_slice(&[0x1e, 0]);
    let key = hex!("2b7e151628aed2a6abf7158809cf4f3c");
    let (plain, cipher) = (hex!("6bc1bee22e409f96e93d7e117393172a"), hex!("3ad77bb40d7a3660a89ecaf32466ef97"));
    for kind in KINDS {
        let (_, mut driver) = configured(kind, &config, |driver, _| {
            driver.run(WriteSlot::new(slot(9), &[[0; 16], key].concat())).unwrap();
            write_key(driver, 13, 6);
        });
        let aes = Aes { direction: Direction::Encrypt, key: AesKey { slot: Some(slot(9)), index: 1 }, block: &plain };
        assert_eq!(driver.run(aes).unwrap().into_public(), cipher);
        let from =
            |message, key| Derivation { source: Source::Slot(slot(13)), algorithm: Algorithm::Hkdf { message, key } };
        let derivation = from(HkdfMessage::Input(b"label"), HkdfKey::Source);
        driver.run(Kdf { derivation, into: Target::Slot(slot(14)) }).unwrap();
        let derived: [u8; 32] = hmac(&[6; 32], b"label").try_into().unwrap();
        assert!(holds_key(&mut driver, 14, &derived));
        assert_eq!(driver.run(Kdf { derivation, into: Target::Slot(slot(13)) }), Err(Error::Execution));
        // The extraction step: zeros for a salt, and a message that never left the part.
        let extract = from(HkdfMessage::Slot(slot(14)), HkdfKey::Zero);
        let found: Secret<32> = driver.run(KdfOut { derivation: extract, io_key: None }).unwrap();
        assert_eq!(found.expose()[..], hmac(&[0; 32], &derived));
        driver.run(Load { into: Buffer::TempKey, bytes: &[7; 32] }).unwrap();
        let over = from(HkdfMessage::TempKey, HkdfKey::Source);
        let found: Secret<32> = driver.run(KdfOut { derivation: over, io_key: None }).unwrap();
        assert_eq!(found.expose()[..], hmac(&[6; 32], &[7; 32]));
        let two_slots = Kdf { derivation: extract, into: Target::Slot(slot(13)) };
        assert!(matches!(driver.run(two_slots), Err(Error::Parameter(_))));
    }
}

#[test]
fn a_certificate_validates_the_key_in_it() {
    // Slot 9 by the key in slot 11; certificates have the key in their second block of two.
    let mut config = DEMO;
    config[20 + 18..20 + 20].copy_from_slice(&[0x0b, 0x1f]);
    config[92] = 0x21;
    config[96 + 18..96 + 20].copy_from_slice(&[0x12, 0]);
    config[96 + 22..96 + 24].copy_from_slice(&[0x10, 0]);
    for kind in KINDS {
        let ((parent, parent_public), (_, public)) = (pair(3), pair(4));
        let (_, mut driver) = configured(kind, &config, |driver, _| {
            write_public_key(driver, 11, &parent_public);
            write_public_key(driver, 9, &public);
        });
        let head = [0x30; 64];
        let digest: [u8; 32] = Sha256::digest([head, public.0].concat()).into();
        let signature = host_signature(&parent, &digest);
        driver.run(Start::Digest).unwrap();
        driver.run(Update(&head)).unwrap();
        driver.run(HashPublicKey(slot(9))).unwrap();
        let end = End { rest: &[], target: Digested::TempKey, kind: EndKind::Common };
        assert_eq!(driver.run(end).unwrap(), digest);
        assert_eq!(driver.run(KeyValid(slot(9))), Ok(false));
        let validate = ValidateByCertificate { slot: slot(9), signature: &signature };
        assert_eq!(driver.run(validate), Ok(()));
        assert_eq!(driver.run(KeyValid(slot(9))), Ok(true));
        assert_eq!(driver.run(validate), Err(Error::Execution), "TempKey is used up");
    }
}
