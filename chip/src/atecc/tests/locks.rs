//! What locks do, and what is no command at all. Every command in every lock state: `tests/element_locks.rs`.

use super::*;

#[test]
fn random_numbers_say_that_the_configuration_is_open() {
    let mut host = Host::new();
    assert_eq!(host.ok(Opcode::RANDOM, 0, 0, &[]), hex!("ffff0000").repeat(8));
    assert_eq!(host.ok(Opcode::NONCE, 0, 0, &[0; 20]), hex!("ffff0000").repeat(8));
    host.ok(Opcode::LOCK, 0x80, 0, &[]);
    let numbers = [host.ok(Opcode::RANDOM, 0, 0, &[]), host.ok(Opcode::RANDOM, 1, 0, &[])];
    assert!(numbers[0] != numbers[1] && !numbers.contains(&hex!("ffff0000").repeat(8)));
}

#[test]
fn locks_hold_for_ever_and_want_the_right_crc() {
    let mut host = Host::configured(&DEMO, 0);
    let summary = u16::from_le_bytes(crc(&host.part.config().0));
    assert_eq!(host.refused(Opcode::LOCK, 1, 0, &[]), Status::EXECUTION, "data before configuration");
    assert_eq!(host.refused(Opcode::LOCK, 0, summary ^ 1, &[]), Status::EXECUTION);
    host.ok(Opcode::LOCK, 0, summary, &[]);
    assert_eq!(host.refused(Opcode::LOCK, 0x80, 0, &[]), Status::EXECUTION, "locked");
    host.write_slot(8, b"not private");
    // Every slot but those with private keys, then OTP.
    let slots = (0..16).filter(|slot| ![0, 2, 7].contains(slot));
    let mut content = Vec::new();
    for slot in slots {
        let start = content.len();
        content.resize(
            start
                + if slot < 8 {
                    36
                } else if slot == 8 {
                    416
                } else {
                    72
                },
            0xff,
        );
        if slot == 8 {
            content[start..start + 32].fill(0);
            content[start..start + 11].copy_from_slice(b"not private");
        }
    }
    content.extend([0xff; 64]);
    let summary = u16::from_le_bytes(crc(&content));
    assert_eq!(host.refused(Opcode::LOCK, 1, summary ^ 1, &[]), Status::EXECUTION);
    host.ok(Opcode::LOCK, 1, summary, &[]);
    assert_eq!(host.refused(Opcode::LOCK, 0x81, 0, &[]), Status::EXECUTION, "locked");
    assert_eq!(&host.part.config().0[86..88], [0, 0]);
}

#[test]
fn a_locked_slot_never_changes() {
    let mut host = Host::configured(&DEMO, 1);
    host.ok(Opcode::GEN_KEY, 4, 7, &[]);
    for slot in [0_u8, 4, 7, 8] {
        host.ok(Opcode::LOCK, slot << 2 | 2, 0, &[]);
        assert_eq!(host.refused(Opcode::LOCK, slot << 2 | 2, 0, &[]), Status::EXECUTION, "{slot}");
    }
    assert_eq!(host.refused(Opcode::GEN_KEY, 4, 7, &[]), Status::EXECUTION);
    assert_eq!(host.refused(Opcode::PRIV_WRITE, 0, 7, &[1; 36]), Status::EXECUTION);
    assert_eq!(host.refused(Opcode::WRITE, 0x82, 8 << 3, &[1; 32]), Status::EXECUTION);
    host.ok(Opcode::GEN_KEY, 0, 7, &[]);
    assert_eq!(host.part.config().0[88..90], [0x6e, 0xfe]);
}

#[test]
fn wrong_lengths_and_parameters_are_parse_errors() {
    let mut host = Host::configured(&DEMO, 2);
    for (opcode, param1, param2, len) in [
        (Opcode::INFO, 5, 0, 0),
        (Opcode::INFO, 0, 0, 1),
        (Opcode::RANDOM, 2, 0, 0),
        (Opcode::NONCE, 0, 0, 19),
        (Opcode::NONCE, 2, 0, 20),
        (Opcode::NONCE, 3, 0, 33),
        (Opcode::NONCE, 0xa3, 0, 64),
        (Opcode::NONCE, 0xc3, 0, 32),
        (Opcode::READ, 3, 0, 0),
        (Opcode::READ, 0x40, 0, 0),
        (Opcode::READ, 0, 32, 0),
        (Opcode::READ, 1, 16, 0),
        (Opcode::READ, 0x82, 0x240, 1),
        (Opcode::READ, 0x82, 0x348, 0),
        (Opcode::READ, 2, 0x80, 0),
        (Opcode::WRITE, 0x82, 8 << 3, 31),
        (Opcode::WRITE, 0x82, 8 << 3, 63),
        (Opcode::WRITE, 2, 8 << 3, 36),
        (Opcode::LOCK, 3, 0, 0),
        (Opcode::LOCK, 0x40, 0, 0),
        (Opcode::LOCK, 4, 0, 0),
        (Opcode::GEN_KEY, 0x20, 2, 0),
        (Opcode::GEN_KEY, 4, 16, 0),
        (Opcode::SIGN, 0x20, 2, 0),
        (Opcode::SIGN, 0x80, 16, 0),
        (Opcode::SIGN, 0x80, 2, 1),
        (Opcode::VERIFY, 2, 4, 64),
        (Opcode::VERIFY, 2, 7, 128),
        (Opcode::VERIFY, 4, 8, 64),
        (Opcode::ECDH, 0, 0, 63),
        (Opcode::ECDH, 0x02, 0, 64),
        (Opcode::ECDH, 0x10, 0, 64),
        (Opcode::SHA, 0, 1, 0),
        (Opcode::SHA, 1, 65, 65),
        (Opcode::SHA, 1, 3, 4),
        (Opcode::SHA, 0x82, 0, 0),
        (Opcode::COUNTER, 0, 2, 0),
        (Opcode::COUNTER, 2, 0, 0),
        (Opcode::UPDATE_EXTRA, 4, 0, 0),
        (Opcode::UPDATE_EXTRA, 0, 0x100, 0),
        (Opcode::AES, 2, 0, 16),
        (Opcode::AES, 0, 0xffff, 15),
        (Opcode::KDF, 0x80, 0, 20),
        (Opcode::KDF, 0, 0, 3),
        (Opcode::CHECK_MAC, 0, 4, 76),
        (Opcode::CHECK_MAC, 8, 4, 77),
        (Opcode::MAC, 0x80, 4, 32),
        (Opcode::MAC, 0, 4, 31),
        (Opcode::DERIVE_KEY, 1, 3, 0),
        (Opcode::PRIV_WRITE, 0x41, 2, 68),
        (Opcode::PRIV_WRITE, 0x40, 2, 36),
        (Opcode::SECURE_BOOT, 4, 0, 96),
        (Opcode::SECURE_BOOT, 5, 0, 33),
        (Opcode::SELF_TEST, 0x40, 0, 0),
    ] {
        // AES is there for its length to matter, and so is TempKey.
        host.ok(Opcode::NONCE, 0x23, 0, &[1; 64]);
        let status = host.refused(opcode, param1, param2, &[1; 128][..len]);
        assert_eq!(status, Status::PARSE, "{opcode:?} {param1:#x} {param2:#x} with {len}");
    }
}
