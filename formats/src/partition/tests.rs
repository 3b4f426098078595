extern crate std;
use super::*;
use proptest::prelude::*;
use std::vec::Vec;

const WITH_MD5: &[u8] = include_bytes!("../../../vectors/partition/two_ota_sec.bin");
const WITHOUT_MD5: &[u8] = include_bytes!("../../../vectors/partition/two_ota_sec-nomd5.bin");

fn partition(label: &str, kind: u8, subtype: u8, offset: u32, size: u32, flags: u32) -> Partition {
    Partition {
        label: Label::new(label).unwrap(),
        kind: PartitionType(kind),
        subtype: Subtype(subtype),
        offset: FlashAddr(offset),
        size: FlashLen(size),
        flags: PartitionFlags(flags),
    }
}

/// vectors/partition/two_ota_sec.roundtrip.csv, line by line.
fn two_ota_sec() -> [Partition; 9] {
    [
        partition("nvs", 1, 2, 0x9000, 0x6000, 0),
        partition("otadata", 1, 0, 0xf000, 0x2000, 0),
        partition("phy_init", 1, 1, 0x11000, 0x1000, 0),
        partition("nvs_key", 1, 4, 0x12000, 0x1000, 1),
        partition("esp_secure_cert", 63, 6, 0x13000, 0x2000, 1),
        partition("factory", 0, 0, 0x20000, 0x10_0000, 0),
        partition("ota_0", 0, 0x10, 0x12_0000, 0x10_0000, 0),
        partition("ota_1", 0, 0x11, 0x22_0000, 0x10_0000, 0),
        partition("storage", 1, 0x81, 0x32_0000, 0x1_0000, 3),
    ]
}

#[test]
fn builds_what_gen_esp32part_builds() {
    assert_eq!(build(&two_ota_sec()).unwrap(), WITH_MD5);
    assert_eq!(PartitionTable::new(&two_ota_sec()).unwrap().encode_without_checksum(), WITHOUT_MD5);
}

#[test]
fn reads_and_rebuilds_every_golden_table() {
    for golden in [
        &include_bytes!("../../../vectors/partition/singleapp.bin")[..],
        include_bytes!("../../../vectors/partition/two_ota_sec-off0xC000.bin"),
        include_bytes!("../../../vectors/partition/two_ota_sec-secv1.bin"),
        include_bytes!("../../../vectors/partition/two_ota_sec-secv2.bin"),
        WITH_MD5,
    ] {
        let table = PartitionTable::parse(golden).unwrap();
        assert!(table.is_checksummed());
        assert_eq!(table.encode(), golden);
    }
    let table = PartitionTable::parse(WITHOUT_MD5).unwrap();
    assert!(!table.is_checksummed());
    assert_eq!(table.encode_without_checksum(), WITHOUT_MD5);
    assert_eq!(table.partitions(), two_ota_sec());
}

#[test]
fn finds_by_name_by_type_and_by_slot() {
    let table = PartitionTable::parse(WITH_MD5).unwrap();
    assert_eq!(table.find("nvs_key").unwrap().offset, FlashAddr(0x12000));
    assert_eq!(table.find("nvs_ke"), None);
    assert_eq!(table.find_type(PartitionType::DATA, Subtype::DATA_OTA).unwrap().label.as_str(), "otadata");
    let slots: Vec<_> = table.ota_slots().map(|p| p.label.as_str()).collect();
    assert_eq!(slots, ["ota_0", "ota_1"]);
    assert_eq!(table.ota_slot_count(), 2);
}

#[test]
fn knows_what_flash_encryption_covers() {
    let encrypted: Vec<_> = two_ota_sec().into_iter().filter(is_flash_encrypted).map(|p| p.offset.0).collect();
    assert_eq!(encrypted, [0xf000, 0x12000, 0x13000, 0x20000, 0x12_0000, 0x22_0000, 0x32_0000]);
    // Every combination of a named type with any subtype, without the flag: as `is_partition_encrypted` has it.
    for kind in 0..=5 {
        for subtype in 0..=255 {
            let expected = matches!((kind, subtype), (0 | 2 | 3, _) | (1, 0x00 | 0x04 | 0x90));
            let told = is_flash_encrypted(&partition("p", kind, subtype, 0x10000, 0x2000, 0));
            assert_eq!(told, expected, "{kind} {subtype}");
        }
    }
}

#[test]
fn refuses_a_truncated_or_longer_table() {
    for len in 0..TABLE_LEN {
        let needed = PartitionError::Read(ReadError::Truncated { at: 0, needed: TABLE_LEN, remaining: len });
        assert_eq!(PartitionTable::parse(&WITH_MD5[..len]), Err(needed));
    }
    let longer = [WITH_MD5, &[0xff]].concat();
    let trailing = PartitionError::Read(ReadError::Trailing { at: TABLE_LEN, extra: 1 });
    assert_eq!(PartitionTable::parse(&longer), Err(trailing));
}

#[test]
fn detects_every_single_bit_flip() {
    for bit in 0..8 * TABLE_LEN {
        let mut flipped = WITH_MD5.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(PartitionTable::parse(&flipped).is_err(), "bit {bit}");
    }
}

/// The rule broken by changing the golden table this way.
fn refusal(change: impl FnOnce(&mut [Partition; 9])) -> PartitionError {
    let mut partitions = two_ota_sec();
    change(&mut partitions);
    let refusal = build(&partitions).unwrap_err();
    // The parser says the same of the same bytes.
    let mut raw = [0xff; TABLE_LEN];
    for (row, partition) in raw.chunks_mut(32).zip(partitions) {
        row.copy_from_slice(&partition.encode());
    }
    assert_eq!(PartitionTable::parse(&raw), Err(refusal));
    refusal
}

#[test]
fn refuses_each_broken_rule_by_name() {
    use PartitionError::{Alignment, DuplicateLabel, DuplicateSlot, OtaGap, Overlap, ReadOnly, Size};
    let label = |name| Label::new(name).unwrap();
    assert_eq!(refusal(|p| p[7].label = p[6].label), DuplicateLabel { label: label("ota_0") });
    assert_eq!(refusal(|p| p[6].size = FlashLen(0x10_1000)), Overlap { first: label("ota_0"), second: label("ota_1") });
    assert_eq!(
        refusal(|p| p[7].subtype = Subtype::APP_OTA_0),
        DuplicateSlot { first: label("ota_0"), second: label("ota_1") }
    );
    assert_eq!(refusal(|p| p[7].subtype = Subtype(0x12)), OtaGap { label: label("ota_1") });
    assert_eq!(
        refusal(|p| p[5].offset = FlashAddr(0x21000)),
        Alignment { label: label("factory"), offset: FlashAddr(0x21000), alignment: 0x1_0000 }
    );
    assert_eq!(
        refusal(|p| p[0].offset = FlashAddr(0x9100)),
        Alignment { label: label("nvs"), offset: FlashAddr(0x9100), alignment: 0x1000 }
    );
    for (index, size) in [(1, 0x1000), (5, 0x0f_f800), (3, 0), (8, 0xffff_f000)] {
        let name = two_ota_sec()[index].label;
        assert_eq!(refusal(|p| p[index].size = FlashLen(size)), Size { label: name, size: FlashLen(size) });
    }
    assert_eq!(
        refusal(|p| p[1].flags = PartitionFlags::READONLY),
        ReadOnly { label: label("otadata"), read_only: true }
    );
    assert_eq!(refusal(|p| p[0].size = FlashLen(0x2000)), ReadOnly { label: label("nvs"), read_only: false });
}

#[test]
fn refuses_bad_labels() {
    for name in ["", "seventeen bytes!!", "a\0b"] {
        assert!(matches!(Label::new(name), Err(PartitionError::Label { .. })), "{name:?}");
    }
    assert_eq!(Label::new("sixteen bytes ok").unwrap().as_str(), "sixteen bytes ok");
    for field in [*b"\0hidden\0\0\0\0\0\0\0\0\0", *b"ota\0hidden\0\0\0\0\0\0", [0xff; 16]] {
        let mut raw = WITHOUT_MD5.to_vec();
        raw[12..28].copy_from_slice(&field);
        assert_eq!(PartitionTable::parse(&raw), Err(PartitionError::Label { field }));
    }
}

#[test]
fn refuses_a_table_that_does_not_fit_the_flash() {
    let table = PartitionTable::parse(WITH_MD5).unwrap();
    assert_eq!(table.check_flash(DEFAULT_OFFSET, FlashLen(0x40_0000)), Ok(()));
    let refused = |label| Err(PartitionError::OutsideFlash { label: Label::new(label).unwrap() });
    assert_eq!(table.check_flash(DEFAULT_OFFSET, FlashLen(0x20_0000)), refused("ota_0"));
    assert_eq!(table.check_flash(FlashAddr(0x9000), FlashLen(0x40_0000)), refused("nvs"));
    assert_eq!(table.check_flash(FlashAddr(u32::MAX), FlashLen(0x40_0000)), refused("nvs"));
}

#[test]
fn holds_94_partitions_with_checksum_and_95_without() {
    let many: Vec<_> = (0u32..95).map(|n| partition(&std::format!("p{n}"), 0x40, 0, n << 12, 0x1000, 0)).collect();
    assert_eq!(PartitionTable::parse(&build(&many[..94]).unwrap()).unwrap().partitions(), &many[..94]);
    assert_eq!(build(&many), Err(PartitionError::TooMany));
    let mut raw = [0xff; TABLE_LEN];
    raw.chunks_mut(32).zip(&many).for_each(|(row, partition)| row.copy_from_slice(&partition.encode()));
    assert_eq!(PartitionTable::parse(&raw).unwrap().partitions(), &many[..]);
    let last = raw[..32].to_vec();
    raw[95 * 32..].copy_from_slice(&last);
    assert_eq!(PartitionTable::parse(&raw), Err(PartitionError::TooMany));
}

proptest! {
    #[test]
    fn any_legal_table_survives_a_round_trip(
        rows in prop::collection::vec((0x40u8..=0xfe, any::<u8>(), 1u32..64, any::<u32>(), "[a-z]{1,10}"), 0..=94)
    ) {
        let mut offset = 0x9000;
        let mut partitions = Vec::new();
        for (index, (kind, subtype, sectors, flags, name)) in rows.into_iter().enumerate() {
            let size = sectors * 0x1000;
            partitions.push(partition(&std::format!("{name}{index}"), kind, subtype, offset, size, flags));
            offset += size;
        }
        let table = PartitionTable::parse(&build(&partitions).unwrap()).unwrap();
        prop_assert_eq!(table.partitions(), &partitions[..]);
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(rows in prop::collection::vec(any::<[u8; 30]>(), 96), cut in 0usize..96) {
        let mut raw = [0xff; TABLE_LEN];
        for (row, tail) in raw.chunks_mut(32).zip(rows).take(cut) {
            row[..2].copy_from_slice(&[0xaa, 0x50]);
            row[2..].copy_from_slice(&tail);
        }
        if let Ok(table) = PartitionTable::parse(&raw) {
            prop_assert_eq!(table.encode_without_checksum(), raw);
        }
    }
}
