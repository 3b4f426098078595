//! The reader on the generator's images, on damaged ones, and on what our builder makes.

use super::*;
use crate::addr::FlashLen;
use crate::nvs::NvsImage;
use alloc::format;
use alloc::vec;
use proptest::collection::vec as many;
use proptest::prelude::*;

const BASIC: &[u8; 0x4000] = include_bytes!("../../../vectors/nvs/basic-v2.bin");
const MULTIPAGE: &[u8; 0x8000] = include_bytes!("../../../vectors/nvs/multipage-v2.bin");

fn key(text: &str) -> Key {
    text.parse().unwrap()
}

fn keys() -> NvsKeys {
    NvsKeys::parse(include_bytes!("../../../vectors/nvs/nvs_keys_fixed.bin")).unwrap()
}

fn value<'a>(items: &'a [Item], name: &str) -> &'a Value<'static> {
    &items.iter().find(|item| item.key == key(name)).unwrap().value
}

#[test]
fn reads_the_generators_values() {
    let items = read_partition(BASIC, None).unwrap();
    assert_eq!(items.len(), 17);
    assert_eq!(items[0], Item { namespace: key("storage"), key: key("u8"), value: Value::U8(255) });
    assert_eq!(value(&items, "i64"), &Value::I64(i64::MIN));
    assert_eq!(value(&items, "str_empty"), &Value::string(""));
    assert_eq!(value(&items, "str32"), &Value::string("b".repeat(32)));
    assert_eq!(value(&items, "b64blob"), &Value::blob(b"Hello NVS".as_slice()));
    let small = include_bytes!("../../../vectors/nvs/blob_small.bin");
    assert_eq!(value(&items, "filebin"), &Value::blob(small.as_slice()));
    let items = read_partition(MULTIPAGE, None).unwrap();
    let big = include_bytes!("../../../vectors/nvs/blob_big.bin");
    assert_eq!(value(&items, "bigblob"), &Value::blob(big.as_slice()));
}

#[test]
fn encrypted_and_version_1_images_read_the_same() {
    let plain = read_partition(BASIC, None).unwrap();
    let encrypted = include_bytes!("../../../vectors/nvs/basic-v2-enc.bin");
    assert_eq!(read_partition(encrypted, Some(&keys())).unwrap(), plain);
    assert_eq!(read_partition(include_bytes!("../../../vectors/nvs/basic-v1.bin"), None).unwrap(), plain);
}

/// A finding about the generator: `again` follows a second `storage` row, yet lands in `wifi`.
#[test]
fn the_generator_ignores_a_repeated_namespace() {
    let items = read_partition(BASIC, None).unwrap();
    assert_eq!(items.last().unwrap(), &Item { namespace: key("wifi"), key: key("again"), value: Value::U8(1) });
}

#[test]
fn without_the_keys_nothing_is_read() {
    let contents = inspect(include_bytes!("../../../vectors/nvs/basic-v2-enc.bin"), None).unwrap();
    assert_eq!(contents.items, vec![]);
    let crc = |fault: &Fault| matches!(fault.kind, FaultKind::Entry(EntryError::Crc { .. }));
    assert!(!contents.faults.is_empty() && contents.faults.iter().all(crc));
}

#[test]
fn refuses_other_sizes() {
    for len in [0, 1, 4095, 4097] {
        assert_eq!(read_partition(&vec![0xFF; len], None).err(), Some(NvsError::Size { len }));
    }
}

#[test]
fn an_erased_partition_is_empty() {
    assert_eq!(read_partition(&[0xFF; 0x3000], None), Ok(vec![]));
}

#[test]
fn names_the_damaged_page() {
    for (at, byte, kind) in [
        (0, 0, FaultKind::PageState(PageState(0xFFFF_FF00))),
        (0, 0xFF, FaultKind::NotErased),
        (4, 0x01, FaultKind::HeaderCrc),
    ] {
        let mut image = *BASIC;
        image[at] = byte;
        let fault = Fault { page: 0, entry: None, kind };
        assert_eq!(read_partition(&image, None), Err(NvsError::Fault(fault)));
    }
    let mut image = *BASIC;
    image[..32].copy_from_slice(&PageHeader::active(0, Version(0xFD)).to_bytes());
    let fault = Fault { page: 0, entry: None, kind: FaultKind::Version(Version(0xFD)) };
    assert_eq!(read_partition(&image, None), Err(NvsError::Fault(fault)));
}

#[test]
fn an_entry_in_an_illegal_state_is_named_and_the_rest_read() {
    let mut image = *BASIC;
    image[32] = image[32] & !0b1100 | 0b0100;
    let contents = inspect(&image, None).unwrap();
    assert_eq!(contents.faults, [Fault { page: 0, entry: Some(1), kind: FaultKind::IllegalState }]);
    assert_eq!(contents.items.len(), 16);
}

#[test]
fn a_blob_without_a_chunk_is_named() {
    // bigblob starts on page 0; drop page 1, which holds its second chunk.
    let mut image = MULTIPAGE.to_vec();
    image[0x1000..0x2000].fill(0xFF);
    let contents = inspect(&image, None).unwrap();
    let kinds: Vec<_> = contents.faults.iter().map(|fault| fault.kind).collect();
    assert_eq!(kinds, [FaultKind::MissingChunk(1), FaultKind::OrphanChunk(2), FaultKind::OrphanChunk(3)]);
}

#[test]
fn the_newer_of_two_values_counts() {
    let mut image = NvsImage::new(FlashLen(0x3000), Version::V2).unwrap();
    image.put(&key("n"), &key("a"), &Value::U8(1)).unwrap();
    image.put(&key("n"), &key("b"), &Value::U8(2)).unwrap();
    let mut image = image.finish();
    let newer = Entry::number(1, &key("a"), ItemType::U8, [2, 255, 255, 255, 255, 255, 255, 255]);
    image[128..160].copy_from_slice(&newer.to_bytes());
    let contents = inspect(&image, None).unwrap();
    assert_eq!(contents.faults, [Fault { page: 0, entry: Some(1), kind: FaultKind::Superseded }]);
    assert_eq!(contents.items, [Item { namespace: key("n"), key: key("a"), value: Value::U8(2) }]);
}

/// A flipped bit may hide in padding or in the map, but it never invents a value.
#[test]
fn every_flipped_bit_is_noticed_or_harmless() {
    let whole = read_partition(BASIC, None).unwrap();
    let mut noticed = 0;
    for bit in 0..0x1000 * 8 {
        let mut image = *BASIC;
        image[bit / 8] ^= 1 << (bit % 8);
        let contents = inspect(&image, None).unwrap();
        let known = |item: &Item| whole.contains(item);
        let lost = whole.iter().filter(|item| !contents.items.contains(item)).count();
        assert!(contents.items.iter().all(known), "bit {bit} invented a value");
        // Erasing by a flip in the map is what the map is for; everything else that is lost is named.
        assert!(lost == 0 || !contents.faults.is_empty() || (32 * 8..64 * 8).contains(&bit), "bit {bit}");
        noticed += usize::from(!contents.faults.is_empty());
    }
    assert!(noticed > 10_000, "{noticed}");
}

fn any_value() -> impl Strategy<Value = Value<'static>> {
    prop_oneof![
        any::<u8>().prop_map(Value::U8),
        any::<i16>().prop_map(Value::I16),
        any::<u32>().prop_map(Value::U32),
        any::<i64>().prop_map(Value::I64),
        "[^\u{0}]{0,300}".prop_map(Value::string),
        many(any::<u8>(), 0..6000).prop_map(Value::blob),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn reads_back_what_the_builder_wrote(
        values in many(any_value(), 0..24),
        encrypted: bool,
    ) {
        let mut image = NvsImage::new(FlashLen(0x4_0000), Version::V2).unwrap();
        let mut items = Vec::new();
        for (number, value) in values.into_iter().enumerate() {
            let item = Item { namespace: key(&format!("n{}", number % 3)), key: key(&format!("k{number}")), value };
            image.put(&item.namespace, &item.key, &item.value).unwrap();
            items.push(item);
        }
        let keys = encrypted.then(keys);
        let bytes = match &keys {
            Some(keys) => image.finish_encrypted(keys),
            None => image.finish(),
        };
        prop_assert_eq!(read_partition(&bytes, keys.as_ref()), Ok(items));
    }

    #[test]
    fn never_panics_on_noise(mut bytes in many(any::<u8>(), 0x2000), headers: [bool; 2]) {
        for (page, valid) in headers.into_iter().enumerate() {
            if valid {
                let header = PageHeader::active(u32::try_from(page).unwrap(), Version::V2).to_bytes();
                bytes[page * 0x1000..page * 0x1000 + 32].copy_from_slice(&header);
            }
        }
        inspect(&bytes, None).unwrap();
        inspect(&bytes, Some(&keys())).unwrap();
    }
}
