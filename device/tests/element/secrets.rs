//! Commands with keys in them: encrypted zones, MACs, derived keys, protected answers, authorisation.

use crate::bench::{DEMO, Driver, KINDS, configured, slot, write_key, write_public_key};
use crate::commands::{pair, sign};
use cotter_device::atecc::command::counter::{CounterId, Increment};
use cotter_device::atecc::command::ecdh::{Agree, AgreeOut, Output, Path};
use cotter_device::atecc::command::gen_dig::{GenDig, Order};
use cotter_device::atecc::command::info::{KeyValid, Latch, State};
use cotter_device::atecc::command::kdf::{
    Algorithm, Derivation, HkdfKey, HkdfMessage, Kdf, KdfOut, KdfSplit, PrfLen, Source, Target,
};
use cotter_device::atecc::command::key::{
    Action, CreateKey, DeriveKey, DigestKey, DigestStoredKey, GetPublicKey, KeyPlace, WritePrivateKey,
};
use cotter_device::atecc::command::mac::{CheckMac, First, Mac, OtpPart, Second};
use cotter_device::atecc::command::nonce::{Buffer, Load, MixedNonce, RandomNonce, Seed};
use cotter_device::atecc::command::secure_boot::{Check, ProtectedSecureBoot, SecureBoot, Then};
use cotter_device::atecc::command::sign::{Purpose, SerialPart, SignInternal};
use cotter_device::atecc::command::verify::{ProtectedVerify, Validate, Validity, Verify, VerifyingKey};
use cotter_device::atecc::command::zone::{ReadBlock, WriteBlock, Zone};
use cotter_device::atecc::command::{MessageBuffer, TempKeySource};
use cotter_device::atecc::hash::{self, InternalMessage, TempKey};
use cotter_device::atecc::identify::SerialNumber;
use cotter_device::atecc::session::{Authorize, DataZone, EncryptedPrivateKey, EncryptedRead, EncryptedWrite, Session};
use cotter_device::atecc::{Error, Step};
use cotter_formats::atecc::counter::Count;
use cotter_formats::secret::Secret;
use hex_literal::hex;
use sha2::{Digest, Sha256};

fn secret(byte: u8) -> Secret<32> {
    Secret::filled_by(|out| out.fill(byte))
}

fn serial() -> SerialNumber {
    SerialNumber(hex!("012310ba68e82c53ee"))
}

fn session<'a>(number: u16, key: &'a Secret<32>, input: &'a [u8; 20]) -> Session<'a> {
    Session { slot: slot(number), key, input, serial: serial() }
}

fn random_nonce(driver: &mut Driver) -> TempKey {
    driver.run(RandomNonce { input: &[9; 20], seed: Seed::Update }).unwrap()
}

#[test]
fn secrets_are_written_and_read_encrypted() {
    // Slot 3 is read under the key in slot 4 and written under that in slot 5.
    let mut config = DEMO;
    config[26..28].copy_from_slice(&[0xc4, 0x45]);
    config[30..32].copy_from_slice(&[0x8f, 0x0f]);
    config[96 + 8..96 + 12].copy_from_slice(&[0x7c, 0, 0x7c, 0]);
    for kind in KINDS {
        let (_, mut driver) = configured(kind, &config, |driver, _| {
            write_key(driver, 4, 4);
            write_key(driver, 5, 5);
            let key = secret(5);
            driver
                .run(EncryptedWrite::new(session(5, &key, &[1; 20]), slot(3), 0, &secret(3), DataZone::Open))
                .unwrap();
        });
        let (read_key, write_key) = (secret(4), secret(5));
        let read = |driver: &mut Driver, key: u16| {
            let wrong = if key == 4 { &read_key } else { &write_key };
            driver.run(EncryptedRead::new(session(key, wrong, &[2; 20]), slot(3), 0))
        };
        assert_eq!(read(&mut driver, 4).unwrap().expose(), &[3; 32]);
        assert_eq!(read(&mut driver, 5).err(), Some(Error::Execution), "the wrong key's session");
        let write = |driver: &mut Driver, key: &Secret<32>, value: &Secret<32>| {
            driver.run(EncryptedWrite::new(session(5, key, &[3; 20]), slot(3), 0, value, DataZone::Locked))
        };
        assert_eq!(write(&mut driver, &secret(6), &secret(7)), Err(Error::Execution), "a key the part does not have");
        assert_eq!(read(&mut driver, 4).unwrap().expose(), &[3; 32]);
        write(&mut driver, &write_key, &secret(7)).unwrap();
        assert_eq!(read(&mut driver, 4).unwrap().expose(), &[7; 32]);
        let plain = WriteBlock { zone: Zone::Data(slot(3)), block: 0, value: &[1; 32] };
        assert_eq!(driver.run(plain), Err(Error::Execution));
        assert_eq!(driver.run(ReadBlock { zone: Zone::Data(slot(3)), block: 0 }), Err(Error::Execution));
    }
}

#[test]
fn private_keys_come_in_clear_before_the_lock_and_encrypted_after_it() {
    for kind in KINDS {
        let (_, mut driver) = configured(kind, &DEMO, |driver, _| {
            write_key(driver, 4, 4);
            driver.run(WritePrivateKey { slot: slot(7), key: &secret(9) }).unwrap();
            let invalid = driver.run(WritePrivateKey { slot: slot(7), key: &secret(0xff) });
            assert_eq!(invalid, Err(Error::EccFault));
        });
        let public = |driver: &mut Driver| driver.run(GetPublicKey(KeyPlace::Slot(slot(7)))).unwrap();
        assert_eq!(public(&mut driver), pair(9).1);
        assert_eq!(driver.run(WritePrivateKey { slot: slot(7), key: &secret(8) }), Err(Error::Execution));
        let (key, wrong) = (secret(4), secret(5));
        let write = |key| EncryptedPrivateKey::new(session(4, key, &[1; 20]), slot(7), &NEW);
        static NEW: std::sync::LazyLock<Secret<32>> = std::sync::LazyLock::new(|| secret(11));
        assert_eq!(driver.run(write(&wrong)), Err(Error::Execution));
        assert_eq!(public(&mut driver), pair(9).1);
        driver.run(write(&key)).unwrap();
        assert_eq!(public(&mut driver), pair(11).1);
    }
}

#[test]
fn macs_are_what_the_host_computes() {
    for kind in KINDS {
        let (_, mut driver) = configured(kind, &DEMO, |driver, _| write_key(driver, 4, 4));
        let key = secret(4);
        for serial_part in [SerialPart::Common, SerialPart::Whole] {
            for (otp, used) in [(OtpPart::None, 0), (OtpPart::Eight, 8), (OtpPart::Eleven, 11)] {
                let challenge = [8; 32];
                let (first, second) = (First::Key, Second::Challenge(&challenge));
                let source = TempKeySource::Random;
                let request = Mac { slot: slot(4), first, second, source, otp, serial: serial_part };
                let mut otp_bytes = [0; 11];
                otp_bytes[..used].fill(0xff);
                assert_eq!(driver.run(request).unwrap(), hash::mac(&request, &key, &challenge, &otp_bytes, serial()));
            }
        }
        // Both halves out of TempKey, which is used up.
        driver.run(Load { into: Buffer::TempKey, bytes: &[5; 32] }).unwrap();
        let request = Mac {
            slot: slot(4),
            first: First::TempKey,
            second: Second::TempKey,
            source: TempKeySource::Input,
            otp: OtpPart::None,
            serial: SerialPart::Common,
        };
        assert_eq!(driver.run(request).unwrap(), hash::mac(&request, &secret(5), &[5; 32], &[0; 11], serial()));
        assert_eq!(driver.run(request), Err(Error::Execution));

        let other = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13];
        let challenge = [6; 32];
        let response = hash::check_mac(&key, &challenge, &other, &[0; 8], serial());
        let mut wrong = response;
        wrong[31] ^= 0x80;
        let check = |response| CheckMac {
            slot: slot(4),
            first: First::Key,
            second: Second::Challenge(&[6; 32]),
            source: TempKeySource::Random,
            otp: OtpPart::None,
            response,
            other: &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13],
        };
        driver.run(check(&response)).unwrap();
        assert_eq!(driver.run(check(&wrong)), Err(Error::Miscompare));
        let eleven = CheckMac { otp: OtpPart::Eleven, ..check(&response) };
        assert!(matches!(driver.run(eleven), Err(Error::Parameter(_))));
    }
}

#[test]
fn an_authorised_key_is_of_use_once_and_sets_the_latch() {
    // Slot 2 signs after a CheckMac with slot 4, which is also the key of the persistent latch.
    let mut config = DEMO;
    config[96 + 4..96 + 6].copy_from_slice(&[0x93, 0x04]);
    for kind in KINDS {
        let (desk, mut driver) = configured(kind, &config, |driver, _| {
            write_key(driver, 4, 4);
            driver.run(CreateKey(KeyPlace::Slot(slot(2)))).unwrap();
        });
        let (key, wrong) = (secret(4), secret(5));
        assert_eq!(sign(&mut driver, 2, &[1; 32]), Err(Error::Execution));
        assert_eq!(driver.run(Authorize::new(session(4, &wrong, &[3; 20]))), Err(Error::Miscompare));
        driver.run(Authorize::new(session(4, &key, &[3; 20]))).unwrap();
        assert_eq!(driver.run(State).unwrap().authorized(), Some(slot(4)));
        sign(&mut driver, 2, &[1; 32]).unwrap();
        assert_eq!(sign(&mut driver, 2, &[1; 32]), Err(Error::Execution));
        assert_eq!(driver.run(Latch::Set), Err(Error::Execution));
        driver.run(Authorize::new(session(4, &key, &[4; 20]))).unwrap();
        assert_eq!(driver.run(Latch::Set), Ok(true));
        driver.sleep().unwrap();
        assert_eq!(driver.run(Latch::Read), Ok(true), "sleep leaves it as it is");
        assert_eq!(driver.run(Latch::Clear), Ok(false));
        desk.set_power(false);
        desk.set_power(true);
        assert_eq!(driver.run(Latch::Read), Ok(false));
    }
}

#[test]
fn temp_key_is_what_the_host_computes_whatever_goes_in() {
    for kind in KINDS {
        let (desk, mut driver) = configured(kind, &DEMO, |driver, _| {
            write_key(driver, 4, 4);
            driver.run(CreateKey(KeyPlace::Slot(slot(2)))).unwrap();
        });
        let config = desk.config();
        // MAC over TempKey shows what is in it.
        let holds = |driver: &mut Driver, expected: &TempKey, what: &str| {
            let first = expected.expose();
            let request = Mac {
                slot: slot(4),
                first: First::TempKey,
                second: Second::TempKey,
                source: TempKeySource::Random,
                otp: OtpPart::None,
                serial: SerialPart::Common,
            };
            let key = Secret::from_slice(first).unwrap();
            assert_eq!(driver.run(request).unwrap(), hash::mac(&request, &key, first, &[0; 11], serial()), "{what}");
        };
        let nonce = random_nonce(&mut driver);
        holds(&mut driver, &nonce, "nonce");
        random_nonce(&mut driver);
        let mixed = driver.run(MixedNonce { input: &[1; 20] }).unwrap();
        holds(&mut driver, &mixed, "mixed nonce");
        let shared = [7; 32];
        let block: [u8; 32] = config.0[32..64].try_into().unwrap();
        let keys = GenDig::Key { slot: slot(4), header: None };
        let (before, after) = (Order::NonceFirst, Order::TempKeyFirst);
        for (gen_dig, value) in [
            (GenDig::Config(1), Secret::from_slice(&block).unwrap()),
            (GenDig::Otp(0), secret(0xff)),
            (keys, secret(4)),
            (GenDig::Shared { nonce: &shared, order: before }, secret(7)),
            (GenDig::Shared { nonce: &shared, order: after }, secret(7)),
        ] {
            let nonce = random_nonce(&mut driver);
            driver.run(gen_dig).unwrap();
            holds(&mut driver, &nonce.after_gen_dig(&gen_dig, &value, serial()), &format!("{gen_dig:?}"));
        }
        let count = driver.run(Increment(CounterId::One)).unwrap();
        assert_eq!(count, Count::new(1).unwrap());
        let nonce = random_nonce(&mut driver);
        driver.run(GenDig::Counter(CounterId::One)).unwrap();
        holds(&mut driver, &nonce.after_counter(CounterId::One, count, serial()), "counter");
        let nonce = random_nonce(&mut driver);
        driver.run(GenDig::KeyConfig(slot(2))).unwrap();
        holds(&mut driver, &nonce.after_key_config(slot(2), &config, serial()), "configuration of a key");
        let nonce = random_nonce(&mut driver);
        let digest = DigestKey { slot: slot(2), action: Action::Use };
        let public = driver.run(digest).unwrap();
        holds(&mut driver, &nonce.after_gen_key(digest.header(), &public, serial()), "digest of a key");
    }
}

#[test]
fn derived_keys_are_what_the_host_computes() {
    // Slot 13 rolls itself.
    let mut config = DEMO;
    config[20 + 26..20 + 28].copy_from_slice(&[0x8f, 0x2d]);
    for kind in KINDS {
        let (_, mut driver) = configured(kind, &config, |driver, _| write_key(driver, 13, 6));
        driver.run(Load { into: Buffer::TempKey, bytes: &[1; 32] }).unwrap();
        let derive = DeriveKey { slot: slot(13), source: TempKeySource::Input, mac: None };
        driver.run(derive).unwrap();
        assert_eq!(driver.run(derive), Err(Error::Execution), "TempKey is used up");
        let key = hash::derived_key(&derive, &secret(6), &TempKey::loaded(&[1; 32]), serial());
        let challenge = [2; 32];
        let request = Mac {
            slot: slot(13),
            first: First::Key,
            second: Second::Challenge(&challenge),
            source: TempKeySource::Random,
            otp: OtpPart::None,
            serial: SerialPart::Common,
        };
        assert_eq!(driver.run(request).unwrap(), hash::mac(&request, &key, &challenge, &[0; 11], serial()));
    }
}

#[test]
fn derivation_with_a_mac_wants_the_right_one() {
    // Slot 13 is derived from its parent in slot 4, with a MAC.
    let mut config = DEMO;
    config[20 + 26..20 + 28].copy_from_slice(&[0x8f, 0xb4]);
    for kind in KINDS {
        let (_, mut driver) = configured(kind, &config, |driver, _| {
            write_key(driver, 4, 4);
            write_key(driver, 13, 6);
        });
        let plain = DeriveKey { slot: slot(13), source: TempKeySource::Input, mac: None };
        let mac = hash::derive_key_mac(&plain, &secret(4), serial());
        let mut wrong = mac;
        wrong[0] ^= 1;
        for (mac, expected) in [(&wrong, Err(Error::Execution)), (&mac, Ok(()))] {
            driver.run(Load { into: Buffer::TempKey, bytes: &[1; 32] }).unwrap();
            assert_eq!(driver.run(DeriveKey { mac: Some(mac), ..plain }), expected);
        }
    }
}

#[test]
fn ecdh_agrees_with_the_other_side_in_the_clear_and_protected() {
    for kind in KINDS {
        let (_, mut driver) = configured(kind, &DEMO, |driver, _| {
            write_key(driver, 4, 4);
            driver.run(CreateKey(KeyPlace::Slot(slot(2)))).unwrap();
        });
        let (_, other) = pair(5);
        let (place, io_key) = (KeyPlace::Slot(slot(2)), secret(4));
        let ours = driver.run(GetPublicKey(place)).unwrap();
        let expected = crate::commands::agree(5, &ours);
        let clear = driver.run(AgreeOut { key: place, public: &other, output: Output::Clear }).unwrap();
        assert_eq!(clear.expose(), &expected);
        let hidden = driver.run(AgreeOut { key: place, public: &other, output: Output::Encrypted(&io_key) }).unwrap();
        assert_eq!(hidden.expose(), &expected);
        // A key for once.
        let once = driver.run(CreateKey(KeyPlace::TempKey)).unwrap();
        assert_eq!(driver.run(GetPublicKey(KeyPlace::TempKey)).unwrap(), once);
        let out = || AgreeOut { key: KeyPlace::TempKey, public: &other, output: Output::Encrypted(&io_key) };
        assert_eq!(driver.run(out()).unwrap().expose(), &crate::commands::agree(5, &once));
        assert_eq!(driver.run(out()).err(), Some(Error::Execution), "it was for once");
        // Into TempKey, which then is a key of HMAC.
        driver.run(Agree { path: Path::SlotToTempKey(slot(2)), public: &other }).unwrap();
        let hkdf = Algorithm::Hkdf { message: HkdfMessage::Input(b"label"), key: HkdfKey::Source };
        let derivation = Derivation { source: Source::TempKey, algorithm: hkdf };
        let derived: Secret<32> = driver.run(KdfOut { derivation, io_key: None }).unwrap();
        assert_eq!(derived.expose()[..], crate::commands::hmac(&expected, b"label"));
        driver.run(CreateKey(KeyPlace::TempKey)).unwrap();
        driver.run(Agree { path: Path::TempKeyToTempKey, public: &other }).unwrap();
        // X and Y that are no point.
        let none = cotter_device::atecc::command::key::PublicKey([1; 64]);
        let fault = driver.run(AgreeOut { key: place, public: &none, output: Output::Clear });
        assert_eq!(fault.err(), Some(Error::EccFault));
    }
}

#[test]
fn kdf_gives_what_cryptoauthlib_expects() {
    // KDF may use AES. cryptoauthlib 20260505 test/api_atcab/atca_tests_kdf.c
    let mut config = DEMO;
    config[90] |= 4;
    let key = hex!("000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f");
    let expected = hex!(
        "1ebcbe62005ab948fdffe1c402aaba354ec676050c9bc1aae1ff5b1509a4a04a"
        "44254664c2a480f5b77ea2d1020c7ba4b3640c4ac793324c26d6fddfdb1f011a"
    );
    for kind in KINDS {
        let (_, mut driver) = configured(kind, &config, |driver, _| write_key(driver, 4, 4));
        driver.run(Load { into: Buffer::TempKey, bytes: &key }).unwrap();
        let io_key = secret(4);
        let prf = Algorithm::Prf { message: &key[..16], key_len: 32, len: PrfLen::Bytes64 };
        let derivation = Derivation { source: Source::TempKey, algorithm: prf };
        for io_key in [None, Some(&io_key)] {
            let found: Secret<64> = driver.run(KdfOut { derivation, io_key }).unwrap();
            assert_eq!(found.expose(), &expected);
        }
        let wrong_len: Result<Secret<32>, _> = driver.run(KdfOut { derivation, io_key: None });
        assert!(matches!(wrong_len, Err(Error::Parameter(_))));
        let message: &[u8; 16] = key.first_chunk().unwrap();
        let aes = Derivation { source: Source::TempKey, algorithm: Algorithm::Aes { message, key_index: 0 } };
        let found: Secret<32> = driver.run(KdfOut { derivation: aes, io_key: None }).unwrap();
        assert_eq!(found.expose()[..16], hex!("0a940bb5416ef045f1c39458c653ea5a"));
        // The first half stays in the alternate key buffer, the second comes out.
        let second = driver.run(KdfSplit { derivation, into: Target::AlternateKey }).unwrap();
        assert_eq!(second.expose()[..], expected[32..]);
        let hkdf = Algorithm::Hkdf { message: HkdfMessage::Input(b"x"), key: HkdfKey::Source };
        let derivation = Derivation { source: Source::AlternateKey, algorithm: hkdf };
        let found: Secret<32> = driver.run(KdfOut { derivation, io_key: None }).unwrap();
        assert_eq!(found.expose()[..], crate::commands::hmac(&expected[..32], b"x"));
        driver.run(Kdf { derivation, into: Target::TempKey }).unwrap();
    }
}

#[test]
fn a_protected_verification_has_the_parts_mac() {
    for kind in KINDS {
        let (desk, mut driver) = configured(kind, &DEMO, |driver, _| write_key(driver, 4, 4));
        let (key, public) = pair(3);
        let digest = [0x11; 32];
        let mut signature = crate::commands::host_signature(&key, &digest);
        let (io_key, wrong) = (secret(4), secret(5));
        let nonce = [0x22; 32];
        let key = VerifyingKey::External(&public);
        driver.run(ProtectedVerify::new(key, &signature, &digest, &nonce, &io_key)).unwrap();
        let mac = driver.run(ProtectedVerify::new(key, &signature, &digest, &nonce, &wrong));
        assert_eq!(mac, Err(Error::AnswerMac));
        signature.0[63] ^= 1;
        let refused = driver.run(ProtectedVerify::new(key, &signature, &digest, &nonce, &io_key));
        assert_eq!(refused, Err(Error::Miscompare));
        drop(desk);
    }
}

#[test]
fn a_public_key_is_validated_and_invalidated_by_an_internal_signature() {
    // Slot 9 is to be validated by the key in slot 11, whose private key this part has in slot 2 as well.
    let mut config = DEMO;
    config[20 + 18..20 + 20].copy_from_slice(&[0x0b, 0x1f]);
    config[96 + 18..96 + 20].copy_from_slice(&[0x12, 0]);
    config[96 + 22..96 + 24].copy_from_slice(&[0x10, 0]);
    for kind in KINDS {
        let (key, public) = pair(4);
        let (desk, mut driver) = configured(kind, &config, |driver, _| {
            let parent = driver.run(CreateKey(KeyPlace::Slot(slot(2)))).unwrap();
            write_public_key(driver, 11, &parent);
            write_public_key(driver, 9, &public);
        });
        let config = desk.config();
        let message = [0x33; 32];
        let signature = crate::commands::host_signature(&key, &message);
        let use_it = |driver: &mut Driver| {
            driver.run(Load { into: Buffer::Digest, bytes: &message }).unwrap();
            let key = VerifyingKey::Stored(slot(9));
            driver.run(Verify { key, signature: &signature, message: MessageBuffer::Digest })
        };
        assert_eq!(use_it(&mut driver), Err(Error::Execution), "not yet");
        let change = |driver: &mut Driver, into: Validity| {
            let purpose = match into {
                Validity::Valid => Purpose::Validation,
                Validity::Invalid => Purpose::Invalidation,
            };
            let sign = SignInternal { slot: slot(2), serial: SerialPart::Whole, purpose };
            let digest = DigestStoredKey { slot: slot(9), header: [0; 3] };
            let input = [5; 32];
            driver.run(Load { into: Buffer::TempKey, bytes: &input }).unwrap();
            driver.run(digest).unwrap();
            assert!(driver.run(State).unwrap().is_temp_key_from_gen_key());
            let is_valid = driver.run(KeyValid(slot(9))).unwrap();
            let proof = driver.run(sign).unwrap();
            let told = InternalMessage { sign: &sign, config: &config, slot: slot(9), flags: 0x50, is_valid };
            let temp_key = TempKey::loaded(&input).after_gen_key([0; 3], &public, serial());
            let parent = driver.run(GetPublicKey(KeyPlace::Slot(slot(2)))).unwrap();
            assert!(crate::commands::holds(&parent, &told.digest(&temp_key), &proof), "{into:?}");
            driver.run(Load { into: Buffer::TempKey, bytes: &input }).unwrap();
            driver.run(digest).unwrap();
            driver.run(Validate { slot: slot(9), signature: &proof, other: &told.other_data(), into })
        };
        let changed = change(&mut driver, Validity::Valid);
        assert_eq!(changed, Ok(()));
        assert_eq!(use_it(&mut driver), Ok(()));
        assert_eq!(driver.run(KeyValid(slot(9))), Ok(true));
        assert_eq!(change(&mut driver, Validity::Invalid), Ok(()));
        assert_eq!(use_it(&mut driver), Err(Error::Execution));
    }
}

#[test]
fn secure_boot_accepts_what_was_signed() {
    // Mode 3 of the demo's configuration: digest in slot 12, public key in slot 11.
    let mut config = DEMO;
    config[96 + 22..96 + 24].copy_from_slice(&[0x10, 0]);
    for kind in KINDS {
        let (key, public) = pair(8);
        let (desk, mut driver) = configured(kind, &config, |driver, _| {
            write_public_key(driver, 11, &public);
            write_key(driver, 4, 4);
        });
        let digest: [u8; 32] = Sha256::digest(b"firmware").into();
        let signature = crate::commands::host_signature(&key, &digest);
        let kept = Check::Kept { signature: None };
        let boot = |check| SecureBoot { digest: &digest, check, then: Then::Allow };
        assert_eq!(driver.run(boot(kept)), Err(Error::Miscompare), "nothing is kept yet");
        driver.run(boot(Check::Signature(&signature))).unwrap();
        driver.run(boot(Check::Keep(&signature))).unwrap();
        driver.run(boot(kept)).unwrap();
        let (io_key, wrong) = (secret(4), secret(5));
        driver.run(ProtectedSecureBoot::new(boot(kept), &[1; 20], &io_key)).unwrap();
        driver.run(ProtectedSecureBoot::new(boot(Check::Signature(&signature)), &[2; 20], &io_key)).unwrap();
        let forged = driver.run(ProtectedSecureBoot::new(boot(kept), &[1; 20], &wrong));
        assert_eq!(forged, Err(Error::Miscompare), "the digest came out wrong");
        driver.run(SecureBoot { then: Then::Prohibit, ..boot(kept) }).unwrap();
        assert_eq!(driver.run(boot(kept)), Err(Error::Execution), "until the power is gone");
        desk.set_power(false);
        desk.set_power(true);
        driver.run(boot(kept)).unwrap();
    }
}

#[test]
fn nothing_secret_is_printed() {
    let temp_key = TempKey::loaded(&[0x41; 32]);
    assert_eq!(format!("{temp_key:?}"), "TempKey(Secret<32>(..))");
    let key = secret(0x41);
    assert!(!format!("{:?}", session(4, &key, &[1; 20])).contains("65"));
    assert_eq!(format!("{:?}", Step::<()>::Done(())), "Done(())");
}
