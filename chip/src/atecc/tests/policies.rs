//! What slots allow, with MACs computed by the host.

use super::*;

#[test]
fn the_demos_identity_signs_and_anybody_can_replace_it() {
    let mut host = Host::configured(&DEMO, 2);
    let public = host.ok(Opcode::GEN_KEY, 4, 2, &[]);
    let digest = sha(&[b"header.claims"]);
    host.ok(Opcode::NONCE, 0x43, 0, &digest);
    let signature = host.ok(Opcode::SIGN, 0xa0, 2, &[]);
    assert!(holds(&public, &digest, &signature));
    assert_eq!(host.run(Opcode::VERIFY, 0x22, 4, &[&signature[..], &public].concat()), [0]);
    let mut wrong = signature.clone();
    wrong[5] ^= 1;
    assert_eq!(host.run(Opcode::VERIFY, 0x22, 4, &[&wrong[..], &public].concat()), [1]);
    assert_ne!(host.ok(Opcode::SIGN, 0xa0, 2, &[]), signature, "another nonce each time");
    // The finding of the lint: slot 2 is not lockable and GenKey may write it.
    assert_eq!(host.refused(Opcode::LOCK, 2 << 2 | 2, 0, &[]), Status::EXECUTION);
    assert_ne!(host.ok(Opcode::GEN_KEY, 4, 2, &[]), public);
    assert_eq!(host.refused(Opcode::SIGN, 0xa0, 4, &[]), Status::EXECUTION, "no private key");
}

/// A configuration with an encrypted secret in slot 3, whose keys are in slots 4 (read) and 5 (write).
fn secrets() -> Host {
    let mut config = DEMO;
    config[26..28].copy_from_slice(&[0xc4, 0x45]);
    config[30..32].copy_from_slice(&[0x8f, 0x0f]);
    config[96 + 8..96 + 12].copy_from_slice(&[0x7c, 0, 0x7c, 0]);
    let mut host = Host::configured(&config, 1);
    host.write_slot(3, &[3; 32]);
    host.write_slot(4, &[4; 32]);
    host.write_slot(5, &[5; 32]);
    host.ok(Opcode::LOCK, 0x81, 0, &[]);
    host
}

#[test]
fn encrypted_reads_and_writes_want_the_session_of_their_key() {
    let mut host = secrets();
    let session = host.session(4, &[4; 32]);
    assert_eq!(xor(&host.ok(Opcode::READ, 0x82, 3 << 3, &[]), &session), [3; 32]);
    assert_eq!(host.refused(Opcode::READ, 0x82, 3 << 3, &[]), Status::EXECUTION, "the session is used up");
    host.session(5, &[5; 32]);
    assert_eq!(host.refused(Opcode::READ, 0x82, 3 << 3, &[]), Status::EXECUTION, "another key");
    host.session(4, &[4; 32]);
    assert_eq!(host.refused(Opcode::READ, 2, 3 << 3, &[]), Status::EXECUTION, "four bytes");
    // A nonce that the host chose is not random enough: ReqRandom.
    host.ok(Opcode::NONCE, 3, 0, &[1; 32]);
    assert_eq!(host.refused(Opcode::GEN_DIG, 2, 4, &[]), Status::EXECUTION);

    let write = |host: &mut Host, key: u16, damage: usize| {
        let session = host.session(key, &[u8::try_from(key).unwrap(); 32]);
        let mac = sha(&[&session, &[0x12, 0x82, 3 << 3, 0], &SERIAL, &[0; 25], &[7; 32]]);
        let mut data = [xor(&[7; 32], &session), mac.to_vec()].concat();
        if let Some(byte) = data.get_mut(damage) {
            *byte ^= 1;
        }
        host.run(Opcode::WRITE, 0x82, 3 << 3, &data)
    };
    for damage in 0..64 {
        assert_eq!(write(&mut host, 5, damage), [Status::EXECUTION.0], "{damage}");
    }
    assert_eq!(write(&mut host, 4, 99), [Status::EXECUTION.0], "another key");
    assert_eq!(host.refused(Opcode::WRITE, 0x82, 3 << 3, &[7; 32]), Status::EXECUTION, "in the clear");
    let session = host.session(4, &[4; 32]);
    assert_eq!(xor(&host.ok(Opcode::READ, 0x82, 3 << 3, &[]), &session), [3; 32], "nothing of that was written");
    assert_eq!(write(&mut host, 5, 99), [0]);
    let session = host.session(4, &[4; 32]);
    assert_eq!(xor(&host.ok(Opcode::READ, 0x82, 3 << 3, &[]), &session), [7; 32]);
}

#[test]
fn private_keys_come_in_encrypted() {
    // Slot 7 takes them under the key in slot 4.
    let mut host = Host::configured(&DEMO, 1);
    host.write_slot(4, &[4; 32]);
    let (_, public) = pair(9);
    let plain = [[0; 4].as_slice(), &[9; 32]].concat();
    host.ok(Opcode::PRIV_WRITE, 0, 7, &plain);
    assert_eq!(host.ok(Opcode::GEN_KEY, 0, 7, &[]), public);
    assert_eq!(host.refused(Opcode::PRIV_WRITE, 0, 7, &[0xff; 36]), Status::ECC_FAULT);
    host.ok(Opcode::LOCK, 0x81, 0, &[]);
    assert_eq!(host.refused(Opcode::PRIV_WRITE, 0, 7, &plain), Status::EXECUTION);
    let rules = host.part.config().slot_config(cotter_formats::atecc::Slot::new(7).unwrap());
    assert!(rules.takes_private_keys() && rules.write_key().number() == 4, "{rules:?}");
    let session = host.session(4, &[4; 32]);
    let plain = [[0; 4].as_slice(), &[11; 32]].concat();
    let mac = sha(&[&session, &[0x46, 0x40, 7, 0], &SERIAL, &[0; 21], &plain]);
    let pad = [session, sha(&[&session])].concat();
    host.ok(Opcode::PRIV_WRITE, 0x40, 7, &[xor(&plain, &pad), mac.to_vec()].concat());
    assert_eq!(host.ok(Opcode::GEN_KEY, 0, 7, &[]), pair(11).1);
}

#[test]
fn macs_are_those_of_the_data_sheet_and_check_mac_knows_them() {
    let mut host = Host::configured(&DEMO, 1);
    host.write_slot(4, &[4; 32]);
    host.ok(Opcode::LOCK, 0x81, 0, &[]);
    let serial = host.part.config().serial_number();
    let full = host.ok(Opcode::MAC, 0x40, 4, &[8; 32]);
    let expected = sha(&[
        &[4; 32],
        &[8; 32],
        &[8, 0x40, 4, 0],
        &[0; 11],
        &serial[8..],
        &serial[4..8],
        &serial[..2],
        &serial[2..4],
    ]);
    assert_eq!(full, expected);

    let nonce = host.random_nonce();
    let other = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13];
    let response =
        sha(&[&[4; 32], &nonce, &other[..4], &[0; 8], &other[4..7], &[0xee], &other[7..11], &[1, 0x23], &other[11..]]);
    let data = [&[0; 32][..], &response, &other].concat();
    assert_eq!(host.run(Opcode::CHECK_MAC, 1, 4, &data), [0]);
    assert_eq!(host.ok(Opcode::INFO, 2, 0, &[])[1] & 0x7c, 4 << 3 | 4, "slot 4 is authorised");
    host.random_nonce();
    assert_eq!(host.run(Opcode::CHECK_MAC, 1, 4, &data), [1], "another nonce");
    host.ok(Opcode::NONCE, 3, 0, &nonce);
    assert_eq!(host.refused(Opcode::CHECK_MAC, 1, 4, &data), Status::EXECUTION, "from another source");
}

/// A locked part with a private key in slot 2 and 32 bytes of 4 in slot 4.
fn with_slots_2_and_4(config: &[u8; 128]) -> Host {
    let mut host = Host::configured(config, 1);
    host.write_slot(4, &[4; 32]);
    host.ok(Opcode::GEN_KEY, 4, 2, &[]);
    host.ok(Opcode::LOCK, 0x81, 0, &[]);
    host
}

/// Length of the answer: 64 of a signature, 1 of a status.
fn sign_with_slot_2(host: &mut Host) -> usize {
    host.ok(Opcode::NONCE, 0x43, 0, &[1; 32]);
    host.run(Opcode::SIGN, 0xa0, 2, &[]).len()
}

/// CheckMac with the key in slot 4.
fn authorise_with_slot_4(host: &mut Host) {
    let nonce = host.random_nonce();
    let response = sha(&[&[4; 32], &nonce, &[0; 4], &[0; 8], &[0; 3], &[0xee], &[0; 4], &[1, 0x23], &[0; 2]]);
    host.ok(Opcode::CHECK_MAC, 1, 4, &[&[0; 32][..], &response, &[0; 13]].concat());
}

#[test]
fn a_key_that_needs_authorisation_is_of_use_once() {
    // Slot 2 signs after a CheckMac with slot 4.
    let mut config = DEMO;
    config[96 + 4..96 + 6].copy_from_slice(&[0x93, 0x04]);
    let mut host = with_slots_2_and_4(&config);
    assert_eq!(sign_with_slot_2(&mut host), 1);
    authorise_with_slot_4(&mut host);
    assert_eq!(sign_with_slot_2(&mut host), 64);
    assert_eq!(sign_with_slot_2(&mut host), 1);
}

#[test]
fn the_persistent_latch_wants_its_key_and_ends_with_the_power() {
    // Slot 2 is of no use while the latch is zero; slot 4 is the volatile key of the demo's configuration.
    let mut config = DEMO;
    config[96 + 5] |= 0x10;
    let mut host = with_slots_2_and_4(&config);
    assert_eq!(sign_with_slot_2(&mut host), 1);
    host.ok(Opcode::GEN_KEY, 0, 2, &[]);
    assert_eq!(host.refused(Opcode::INFO, 4, 3, &[]), Status::EXECUTION);
    authorise_with_slot_4(&mut host);
    assert_eq!(host.ok(Opcode::INFO, 4, 3, &[]), [1, 0, 0, 0]);
    host.wake();
    host.part.write(host.now, ADDRESS, &[1]);
    assert_eq!(sign_with_slot_2(&mut host), 64, "sleep leaves it as it is");
    host.part.set_power(false);
    host.part.set_power(true);
    assert_eq!(sign_with_slot_2(&mut host), 1);
}

#[test]
fn counters_only_go_up_and_limit_the_keys_on_them() {
    // Slot 0 of the demo's configuration is limited; its limit is in slot 10.
    let mut host = Host::configured(&DEMO, 1);
    let limit = |limit: u32| [limit.to_le_bytes(), limit.to_le_bytes()].concat();
    host.write_slot(10, &limit(2));
    let public = host.ok(Opcode::GEN_KEY, 4, 0, &[]);
    host.ok(Opcode::LOCK, 0x81, 0, &[]);
    for count in 1..=3_u8 {
        host.ok(Opcode::NONCE, 3, 0, &[1; 32]);
        let answer = host.run(Opcode::SIGN, 0x80, 0, &[]);
        if count <= 2 {
            assert!(holds(&public, &[1; 32], &answer));
        } else {
            assert_eq!(answer, [Status::EXECUTION.0]);
        }
        assert_eq!(host.ok(Opcode::COUNTER, 0, 0, &[]), [count.min(2), 0, 0, 0]);
    }
    host.write_slot(10, &[1, 2, 3, 4, 5, 6, 7, 8]);
    host.ok(Opcode::NONCE, 3, 0, &[1; 32]);
    assert_eq!(host.refused(Opcode::SIGN, 0x80, 0, &[]), Status::EXECUTION, "a limit that is not there twice");
    for count in 1..100_u8 {
        assert_eq!(host.ok(Opcode::COUNTER, 1, 1, &[]), [count, 0, 0, 0]);
    }
}

#[test]
fn both_sides_of_ecdh_agree() {
    let mut host = Host::configured(&DEMO, 2);
    let public = host.ok(Opcode::GEN_KEY, 4, 0xffff, &[]);
    let (_, other) = pair(5);
    let secret = host.ok(Opcode::ECDH, 0x0d, 0, &other);
    let ours = p256::SecretKey::from_slice(&[5; 32]).unwrap();
    let theirs = p256::PublicKey::from_sec1_bytes(&[&[4], &public[..]].concat()).unwrap();
    let shared = (theirs.to_projective() * *ours.to_nonzero_scalar()).to_affine();
    let x: [u8; 32] = p256::elliptic_curve::point::AffineCoordinates::x(&shared).into();
    assert_eq!(secret, x);
    assert_eq!(host.refused(Opcode::ECDH, 0x0d, 0, &other), Status::EXECUTION, "the key was for once");
    host.ok(Opcode::GEN_KEY, 4, 0xffff, &[]);
    assert_eq!(host.refused(Opcode::ECDH, 0x0d, 0, &[1; 64]), Status::ECC_FAULT, "not on the curve");
    host.ok(Opcode::GEN_KEY, 4, 0xffff, &[]);
    assert_eq!(host.refused(Opcode::SIGN, 0x80, 2, &[]), Status::EXECUTION, "a key is no message");
}

#[test]
fn a_public_key_is_validated_and_invalidated_by_its_parent() {
    // Slot 9 is to be validated by the key in slot 11.
    let mut config = DEMO;
    config[20 + 18..20 + 20].copy_from_slice(&[0x0b, 0x1f]);
    config[96 + 18..96 + 20].copy_from_slice(&[0x12, 0]);
    config[96 + 22..96 + 24].copy_from_slice(&[0x10, 0]);
    let mut host = Host::configured(&config, 1);
    let (parent, parent_public) = pair(3);
    let (key, public) = pair(4);
    host.write_public_key(11, &parent_public);
    host.write_public_key(9, &public);
    host.ok(Opcode::LOCK, 0x81, 0, &[]);
    let use_it = |host: &mut Host| {
        host.ok(Opcode::NONCE, 3, 0, &[1; 32]);
        host.run(Opcode::VERIFY, 0, 9, &sign(&key, &[1; 32]))
    };
    assert_eq!(use_it(&mut host), [Status::EXECUTION.0], "not yet");
    let change = |host: &mut Host, mode: u8| {
        let nonce = host.random_nonce();
        host.ok(Opcode::GEN_KEY, 0x10, 9, &[0; 3]);
        let digest = sha(&[&nonce, &[0x40, 0, 0, 0], &SERIAL, &[0; 25], &public]);
        let mut other = [0; 19];
        other[17] = u8::from(mode == 7);
        let message = sha(&[&digest, &[0x41], &other[..10], &[0xee], &other[10..14], &[1, 0x23], &other[14..]]);
        host.run(Opcode::VERIFY, mode, 9, &[sign(&parent, &message), other.to_vec()].concat())
    };
    assert_eq!(change(&mut host, 3), [0]);
    assert_eq!(use_it(&mut host), [0]);
    assert_eq!(host.refused(Opcode::WRITE, 0x82, 9 << 3, &[0; 32]), Status::EXECUTION, "while it is valid");
    assert_eq!(change(&mut host, 7), [0]);
    assert_eq!(use_it(&mut host), [Status::EXECUTION.0]);
    host.ok(Opcode::WRITE, 0x82, 9 << 3, &[0x55; 32]);
    assert_eq!(host.ok(Opcode::READ, 0x82, 9 << 3, &[])[0], 0xa5, "writing it makes it invalid");
}

#[test]
fn derived_keys_are_those_of_the_data_sheet() {
    // Slot 13 rolls itself.
    let mut config = DEMO;
    config[20 + 26..20 + 28].copy_from_slice(&[0x8f, 0x2d]);
    let mut host = Host::configured(&config, 1);
    host.write_slot(13, &[6; 32]);
    host.ok(Opcode::LOCK, 0x81, 0, &[]);
    host.ok(Opcode::NONCE, 3, 0, &[1; 32]);
    assert_eq!(host.refused(Opcode::DERIVE_KEY, 0, 13, &[]), Status::EXECUTION, "from another source");
    host.ok(Opcode::NONCE, 3, 0, &[1; 32]);
    host.ok(Opcode::DERIVE_KEY, 4, 13, &[]);
    let key = sha(&[&[6; 32], &[0x1c, 4, 13, 0], &SERIAL, &[0; 25], &[1; 32]]);
    let mac = host.ok(Opcode::MAC, 0, 13, &[2; 32]);
    let expected = sha(&[&key, &[2; 32], &[8, 0, 13, 0], &[0; 11], &[0xee], &[0; 4], &[1, 0x23], &[0; 2]]);
    assert_eq!(mac, expected);
}

#[test]
fn user_bytes_are_written_once() {
    let mut host = Host::configured(&DEMO, 2);
    host.ok(Opcode::UPDATE_EXTRA, 0, 0x5a, &[]);
    assert_eq!(host.refused(Opcode::UPDATE_EXTRA, 0, 0x5b, &[]), Status::EXECUTION);
    host.ok(Opcode::UPDATE_EXTRA, 1, 0x6a, &[]);
    assert_eq!(host.part.config().0[84..86], [0x5a, 0x6a]);
}

#[test]
fn secure_boot_accepts_what_was_signed_and_remembers_it() {
    // Mode 3 of the demo's configuration: digest in slot 12, public key in slot 11.
    let mut config = DEMO;
    config[96 + 22..96 + 24].copy_from_slice(&[0x10, 0]);
    let mut host = Host::configured(&config, 1);
    let (key, public) = pair(8);
    host.write_public_key(11, &public);
    host.write_slot(4, &[4; 32]);
    host.ok(Opcode::LOCK, 0x81, 0, &[]);
    let boot = host.part.config().secure_boot();
    assert_eq!((boot.digest_slot().number(), boot.key_slot().number()), (12, 11));
    let image = sha(&[b"firmware"]);
    let signed = [&image[..], &sign(&key, &image)].concat();
    assert_eq!(host.run(Opcode::SECURE_BOOT, 6, 0, &image), [1]);
    assert_eq!(host.run(Opcode::SECURE_BOOT, 7, 0, &signed), [0]);
    assert_eq!(host.run(Opcode::SECURE_BOOT, 6, 0, &image), [0]);
    assert_eq!(host.run(Opcode::SECURE_BOOT, 6, 0, &sha(&[b"other"])), [1]);
    let nonce = host.random_nonce();
    let pad = sha(&[&[4; 32], &nonce]);
    let mac = host.ok(Opcode::SECURE_BOOT, 0x86, 0, &xor(&image, &pad));
    assert_eq!(mac, sha(&[&pad, &image, &[0x80, 0x86, 0, 0]]));
    host.ok(Opcode::SECURE_BOOT, 0x46, 0, &image);
    assert_eq!(host.refused(Opcode::SECURE_BOOT, 6, 0, &image), Status::EXECUTION, "until the power is gone");
}
