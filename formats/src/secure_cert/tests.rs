//! Partitions against the golden files of Espressif's tool, every flipped bit and every truncation of a small one.

extern crate std;

use super::*;
use crate::ds::EfuseKeyId;
use crate::secure_cert::{BuildError, Builder, CustFlash, CustFlashError, CustFlashKey, security_config};
use std::collections::BTreeMap;
use std::string::ToString;
use std::vec;
use std::vec::Vec;

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(std::format!("{}/../vectors/securecert/{name}.bin", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Everything but notes, and what the notes are that the caller wants to know about.
fn kinds(bytes: &[u8]) -> Vec<FindingKind> {
    inspect(bytes, None).findings.into_iter().map(|finding| finding.kind).collect()
}

const SOUND: [&str; 16] = [
    "derived-hmac-ecdsa",
    "derived-hmac-encrypted",
    "ecdsaperiph-h2",
    "plain-p256-der",
    "plain-p256",
    "rsads-c3",
    "rsads-c5",
    "rsads-s3",
    "rsads3072-c3",
    "rsads4096-s2",
    "signed-p256",
    "signed-p256_signed",
    "signed-p384",
    "signed-p384_signed",
    "signed-rsa",
    "signed-rsa_signed",
];

#[test]
fn every_golden_partition_is_written_again_to_the_same_bytes() {
    for name in SOUND {
        let bytes = golden(name);
        let read = inspect(&bytes, None);
        let mut builder = Builder::new(0x2000).unwrap();
        for entry in &read.entries {
            // Our writer refuses to put anything behind a signature, as the tool's misordered files do.
            let refused = builder.add(entry.kind, entry.subtype, entry.flags, entry.data);
            if matches!(name, "signed-p256" | "signed-p384" | "signed-rsa") && entry.kind == TlvType::CA_CERT {
                assert_eq!(refused, Err(BuildError::AfterSignature { kind: TlvType::CA_CERT }));
                break;
            }
            refused.unwrap();
        }
        let mark = usize::from(name.ends_with("_signed")) * 4;
        let again = builder.finish();
        assert!(again[..] == bytes[..again.len()], "{name}");
        let misordered = name.starts_with("signed") && mark == 0;
        assert!(misordered || again.len() == bytes.len() - mark, "{name}");
    }
}

#[test]
fn the_defects_of_the_tool_are_named() {
    use FindingKind::{PeripheralKeyInFlash, PlainKey, SignatureFirst, Unsigned};
    for (name, expected) in [
        ("plain-p256", vec![PlainKey]),
        ("plain-p256-der", vec![PlainKey]),
        ("rsads-c3", vec![]),
        ("rsads3072-c3", vec![]),
        ("rsads4096-s2", vec![]),
        ("derived-hmac-ecdsa", vec![]),
        ("derived-hmac-encrypted", vec![]),
        ("ecdsaperiph-h2", vec![PeripheralKeyInFlash]),
        ("signed-p256_signed", vec![PlainKey]),
        ("signed-rsa_signed", vec![PlainKey]),
    ] {
        assert_eq!(kinds(&golden(name)), expected, "{name}");
    }
    for name in ["signed-p256", "signed-p384", "signed-rsa"] {
        let found = kinds(&golden(name));
        assert_eq!(found[0], SignatureFirst, "{name}");
        for kind in [TlvType::CA_CERT, TlvType::DEVICE_CERT, TlvType::PRIVATE_KEY] {
            assert!(found.contains(&Unsigned(kind)), "{name}: {found:?}");
        }
    }
    let bytes = golden("rsads-c5");
    let found = inspect(&bytes, Some(Chip::Esp32C5)).findings;
    let width = FindingKind::DsWidth { chip: Chip::Esp32C5, expected: 1200, got: 1584 };
    assert_eq!(found, [Finding { at: Some(0), kind: width }]);
    assert_eq!(width.to_string(), "1584 bytes of DS ciphertext, but the esp32c5 reads 1200");
    let bytes = golden("rsads-s3");
    assert_eq!(inspect(&bytes, Some(Chip::Esp32S3)).findings, []);
    let none = FindingKind::NoDsPeripheral(Chip::Esp32C2);
    assert_eq!(inspect(&bytes, Some(Chip::Esp32C2)).findings, [Finding { at: Some(0), kind: none }]);
}

/// CA-less: user data of odd length, a derived key with its salt, integrity.
fn small() -> Vec<u8> {
    let mut builder = Builder::new(0x1000).unwrap();
    builder.add(TlvType::USER_DATA_1, 3, Flags::NONE, b"serial 4711").unwrap();
    builder.add(TlvType::ECDSA_SALT, 0, Flags::NONE, &[0x5A; 32]).unwrap();
    builder.add(TlvType::PRIVATE_KEY, 0, Flags::HMAC_DERIVED, &[]).unwrap();
    builder.add_integrity().unwrap();
    builder.finish_filled()[..256].to_vec()
}

#[test]
fn every_flipped_bit_of_a_small_partition_is_detected_or_harmless_by_name() {
    let bytes = small();
    assert_eq!(kinds(&bytes), []);
    let end = inspect(&bytes, None).end;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for bit in 0..8 * bytes.len() {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let read = inspect(&flipped, None);
        assert!(!read.is_sound(), "bit {bit} is not detected: {:?}", read.findings);
        let has = |wanted: fn(&FindingKind) -> bool| read.findings.iter().any(|finding| wanted(&finding.kind));
        let name = if bit / 8 >= end {
            assert_eq!(read.findings, [Finding { at: Some(end), kind: FindingKind::Tail }]);
            "behind the entries: not erased"
        } else if has(|kind| matches!(kind, FindingKind::Tlv(TlvError::Crc { .. }))) {
            "CRC"
        } else if has(|kind| matches!(kind, FindingKind::Tlv(TlvError::Truncated { .. }))) {
            "beyond the partition"
        } else if has(|kind| *kind == FindingKind::NoEntries) {
            "no entries"
        } else {
            assert!(has(|kind| *kind == FindingKind::Tail), "bit {bit}: {:?}", read.findings);
            "the list ends early"
        };
        *counts.entry(name).or_default() += 1;
    }
    std::println!("{} flips, all detected: {counts:?}", 8 * bytes.len());
    assert_eq!(counts.values().sum::<usize>(), 2048);
}

#[test]
fn every_flipped_bit_of_the_golden_signed_partition_is_detected() {
    let bytes = golden("signed-p256_signed");
    let sound = kinds(&bytes);
    let mut detected = 0;
    for bit in 0..8 * (bytes.len() - 4) {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let found = inspect(&flipped, None);
        assert!(found.findings.iter().any(|finding| finding.kind.weight() == Weight::Broken), "bit {bit}");
        assert_ne!(kinds(&flipped), sound);
        detected += 1;
    }
    std::println!("{detected} flips of a signed partition, all detected");
}

#[test]
fn every_truncation_is_detected() {
    let bytes = small();
    let end = inspect(&bytes, None).end;
    for len in 0..end {
        let found = kinds(&bytes[..len]);
        let boundary = Entries::new(&bytes).flatten().any(|entry| entry.offset == len);
        let named = match len {
            0..4 => found[0] == FindingKind::NoEntries,
            // Only the missing integrity entry tells, and behind the salt the key that needs it is gone too.
            _ if boundary => found.contains(&FindingKind::NoIntegrity),
            _ => found
                .iter()
                .any(|kind| matches!(kind, FindingKind::Tlv(TlvError::Truncated { .. }) | FindingKind::Tail)),
        };
        assert!(named, "{len}: {found:?}");
    }
    assert_eq!(kinds(&bytes[..end]), []);
}

#[test]
fn unknown_types_and_reserved_bits_survive_and_are_told() {
    let mut builder = Builder::new(0x1000).unwrap();
    builder.add(TlvType(77), 16, Flags::NONE, b"x").unwrap();
    builder.add(TlvType::MATTER_2, 0, Flags::NONE, &[]).unwrap();
    builder.add(TlvType::USER_DATA_1, 0, Flags(0x41), &[]).unwrap();
    let bytes = builder.finish();
    let read = inspect(&bytes, None);
    let names: Vec<_> = read.entries.iter().map(|entry| entry.kind.to_string()).collect();
    assert_eq!(names, ["type 77", "Matter 2", "user data 1"]);
    assert_eq!(kinds(&bytes), [FindingKind::Flags(Flags(0x41)), FindingKind::NoIntegrity]);
}

#[test]
fn what_belongs_together_is_missed() {
    use FindingKind as K;
    let kinds_of = |entries: &[(TlvType, u8, Flags, &[u8])]| {
        let mut builder = Builder::new(0x2000).unwrap();
        for &(kind, subtype, flags, data) in entries {
            builder.add(kind, subtype, flags, data).unwrap();
        }
        builder.add_integrity().unwrap();
        kinds(&builder.finish())
    };
    let (key, salt) = (TlvType::PRIVATE_KEY, TlvType::ECDSA_SALT);
    assert_eq!(kinds_of(&[(key, 0, Flags::HMAC_DERIVED, &[])]), [K::NoSalt]);
    assert_eq!(kinds_of(&[(key, 1, Flags::HMAC_DERIVED, &[]), (salt, 0, Flags::NONE, &[0; 32])]), [K::NoSalt]);
    assert_eq!(
        kinds_of(&[(salt, 0, Flags::NONE, &[0; 31]), (key, 0, Flags::HMAC_DERIVED, b"k")]),
        [K::SaltLength(31), K::DerivedKeyNotEmpty]
    );
    assert_eq!(kinds_of(&[(key, 0, Flags::ECDSA_PERIPHERAL, &[])]), [K::NoSecurityConfig]);
    let config = security_config(EfuseKeyId::new(5).unwrap());
    let peripheral = (key, 0, Flags::ECDSA_PERIPHERAL, &[][..]);
    assert_eq!(kinds_of(&[(TlvType::SECURITY_CONFIG, 0, Flags::NONE, &config), peripheral]), []);
    assert_eq!(kinds_of(&[(TlvType::SECURITY_CONFIG, 0, Flags::NONE, &[3; 40]), peripheral]), [K::SecurityConfig]);
    assert_eq!(kinds_of(&[(key, 0, Flags::NONE, &[])]), [K::EmptyKey]);
    assert_eq!(kinds_of(&[(key, 0, Flags::HMAC_ENCRYPTED, &[0; 16])]), [K::EncryptedTooShort]);
    let ds = &golden("rsads-c3")[12..12 + 1220];
    assert_eq!(kinds_of(&[(TlvType::DS_DATA, 0, Flags::NONE, ds)]), [K::NoDsContext]);
    assert_eq!(kinds_of(&[(TlvType::DS_CONTEXT, 0, Flags::NONE, &[0, 0, 0, 0, 1, 0, 0, 8])]), [K::NoDsData]);
    let wrong = (TlvType::DS_CONTEXT, 0, Flags::NONE, &[0, 0, 0, 0, 1, 0, 0, 12][..]);
    let lengths = K::DsLengths { data: 2048, context: 3072 };
    assert_eq!(kinds_of(&[(TlvType::DS_DATA, 0, Flags::NONE, ds), wrong]), [lengths]);
}

#[test]
fn the_writer_refuses_by_name() {
    let mut builder = Builder::new(0x60).unwrap();
    builder.add(TlvType::USER_DATA_1, 0, Flags::HMAC_ENCRYPTED, &[0; 17]).unwrap();
    let add = |builder: &mut Builder, kind, subtype, flags, data: &[u8]| builder.add(kind, subtype, flags, data);
    let twice = BuildError::Duplicate { kind: TlvType::USER_DATA_1, subtype: 0 };
    assert_eq!(add(&mut builder, TlvType::USER_DATA_1, 0, Flags::NONE, &[]), Err(twice));
    let second = add(&mut builder, TlvType::USER_DATA_1, 1, Flags::HMAC_ENCRYPTED, &[]);
    assert_eq!(second, Err(BuildError::SecondEncrypted));
    for (kind, subtype) in [(TlvType(50), 0), (TlvType(254), 0), (TlvType(255), 0), (TlvType::CA_CERT, 17)] {
        assert_eq!(add(&mut builder, kind, subtype, Flags::NONE, &[]), Err(BuildError::Name { kind, subtype }));
    }
    let full = BuildError::Full { kind: TlvType::CA_CERT, needed: 0x40, remaining: 0x30 };
    assert_eq!(add(&mut builder, TlvType::CA_CERT, 0, Flags::NONE, &[1; 33]), Err(full));
    assert_eq!(add(&mut builder, TlvType::CA_CERT, 0, Flags::NONE, &[1; 32]), Ok(()));
    assert_eq!(builder.finish_filled().len(), 0x60);
    assert!(matches!(Builder::new(0x1_0001), Err(BuildError::Limit { .. })));
    let mut builder = Builder::new(0x1_0000).unwrap();
    let long = vec![0; 0x1_0000];
    assert!(matches!(builder.add(TlvType::CA_CERT, 0, Flags::NONE, &long), Err(BuildError::Full { .. })));
}

#[test]
fn legacy_partitions_are_read_and_every_flipped_bit_that_counts_is_refused() {
    let bytes = golden("legacy-custflash-nods");
    assert!(CustFlash::recognise(&bytes));
    let read = CustFlash::parse(&bytes).unwrap();
    assert!(read.device_cert.starts_with(b"-----BEGIN CERTIFICATE") && read.device_cert.ends_with(b"\0"));
    assert!(read.ca_cert.is_some_and(|ca| ca.len() == 592));
    assert!(matches!(read.key, CustFlashKey::Plain(key) if key.len() == 228));

    let bytes = golden("legacy-custflash-ds-c3");
    let read = CustFlash::parse(&bytes).unwrap();
    let CustFlashKey::Ds { ciphertext, iv, rsa_bits, .. } = read.key else { panic!("not DS") };
    assert_eq!((rsa_bits, iv), (2048, include_bytes!("../../../vectors/ds/iv.bin")));
    assert!(ciphertext == include_bytes!("../../../vectors/ds/c-esp32c3-rsa2048_dev.bin"));

    let (mut refused, mut harmless) = (0, 0);
    for bit in 0..8 * bytes.len() {
        let at = bit / 8;
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (bit % 8);
        let ca_at = 2112;
        let free = matches!(at, 6..8 | 14..16 | 22..24 | 33..36 | 40..64)
            || (64 + read.device_cert.len()..ca_at).contains(&at)
            || (ca_at + 592..6208).contains(&at)
            || (6208 + 1200..6208 + 1216).contains(&at)
            || at >= 6208 + 1216 + 16;
        match CustFlash::parse(&flipped) {
            Ok(changed) if free => {
                assert_eq!(changed, read);
                harmless += 1;
            }
            // Key length and key block have no CRC in this format.
            Ok(changed) => {
                assert!((30..33).contains(&at) && changed != read, "{at}");
                harmless += 1;
            }
            Err(_) => {
                assert!(!free, "{at}");
                refused += 1;
            }
        }
    }
    std::println!("cust_flash: {refused} flips refused, {harmless} in unused bytes or in fields without a CRC");
    for len in (0..6208 + 1232).step_by(7) {
        assert!(CustFlash::parse(&bytes[..len]).is_err(), "{len}");
    }
    assert_eq!(
        CustFlash::parse(&[0xFF; 64]),
        Err(CustFlashError::Length { what: "device certificate", len: 65535, limit: 2048 })
    );
}
