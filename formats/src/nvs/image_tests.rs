//! The builder against images of `esp_idf_nvs_partition_gen` 0.3.0 (`vectors/nvs`), from the same CSV files.

use super::*;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use std::path::PathBuf;

extern crate std;

fn key(text: &str) -> Key {
    text.parse().unwrap()
}

fn vector(name: &str) -> Vec<u8> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "vectors", "nvs", name].iter().collect();
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn keys() -> NvsKeys {
    NvsKeys::parse(&vector("nvs_keys_fixed.bin")).unwrap()
}

/// The rows of a CSV file of the vectors, which use neither quotes nor escapes.
fn rows(name: &str) -> Vec<(Key, Key, Value<'static>)> {
    let csv = String::from_utf8(vector(name)).unwrap();
    let mut namespace = None;
    let mut rows: Vec<(Key, Key, Value<'static>)> = Vec::new();
    for line in csv.lines().skip(1).filter(|line| !line.starts_with('#')) {
        let [name, kind, encoding, value] = line.splitn(4, ',').collect::<Vec<_>>().try_into().unwrap();
        if kind == "namespace" {
            // The generator's way with a repeated namespace: the one created last goes on.
            let known = rows.iter().any(|(used, ..)| *used == key(name));
            namespace = if known { namespace } else { Some(key(name)) };
            continue;
        }
        let value = match encoding {
            "u8" => Value::U8(value.parse().unwrap()),
            "i8" => Value::I8(value.parse().unwrap()),
            "u16" => Value::U16(value.parse().unwrap()),
            "i16" => Value::I16(value.parse().unwrap()),
            "u32" => Value::U32(value.parse().unwrap()),
            "i32" => Value::I32(value.parse().unwrap()),
            "u64" => Value::U64(value.parse().unwrap()),
            "i64" => Value::I64(value.parse().unwrap()),
            "string" if kind == "file" => Value::string(String::from_utf8(vector(value)).unwrap()),
            "string" => Value::string(value.to_string()),
            "binary" => Value::blob(vector(value)),
            "hex2bin" => {
                let digit = |at: usize| u8::from_str_radix(&value[at..at + 2], 16).unwrap();
                Value::blob((0..value.len()).step_by(2).map(digit).collect::<Vec<_>>())
            }
            "base64" => {
                assert_eq!(value, "SGVsbG8gTlZT");
                Value::blob(b"Hello NVS".to_vec())
            }
            "blob_fill(40;0xAA)" => Value::blob([value.as_bytes(), &vec![0xAA; 40 - value.len()]].concat()),
            "blob_sz_fill(40;0x55)" => {
                let size = u32::try_from(value.len()).unwrap().to_le_bytes();
                Value::blob([&size, value.as_bytes(), &vec![0x55; 40 - value.len()]].concat())
            }
            other => panic!("encoding {other}"),
        };
        rows.push((namespace.unwrap(), key(name), value));
    }
    rows
}

fn build(rows: &[(Key, Key, Value<'_>)], size: u32, version: Version) -> NvsImage {
    let mut image = NvsImage::new(FlashLen(size), version).unwrap();
    for (namespace, key, value) in rows {
        image.put(namespace, key, value).unwrap();
    }
    image
}

fn assert_same(ours: &[u8], theirs: &[u8], what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}: length");
    if let Some(at) = ours.iter().zip(theirs).position(|(a, b)| a != b) {
        panic!("{what}: first difference at {at:#x}");
    }
}

fn check(csv: &str, name: &str, size: u32, version: Version) {
    let rows = rows(csv);
    assert_same(&build(&rows, size, version).finish(), &vector(&format!("{name}.bin")), name);
    let encrypted = build(&rows, size, version).finish_encrypted(&keys());
    assert_same(&encrypted, &vector(&format!("{name}-enc.bin")), &format!("{name}-enc"));
}

#[test]
fn equals_the_generator_in_version_2() {
    for name in ["basic", "edge_blob_tail", "edge_string_fill", "fill"] {
        check(&format!("{name}.csv"), &format!("{name}-v2"), 0x4000, Version::V2);
    }
}

#[test]
fn equals_the_generator_in_version_1() {
    for name in ["basic", "edge_blob_tail", "edge_string_fill", "fill"] {
        check(&format!("{name}.csv"), &format!("{name}-v1"), 0x4000, Version::V1);
    }
}

#[test]
fn equals_the_generator_over_several_pages() {
    check("multipage.csv", "multipage-v2", 0x8000, Version::V2);
}

#[test]
fn equals_the_generator_on_one_read_only_page() {
    let image = build(&rows("basic.csv"), 0x1000, Version::V2).finish();
    assert_same(&image, &vector("basic-ro-0x1000.bin"), "basic-ro-0x1000");
}

#[test]
fn equals_the_generator_under_keys_from_the_hmac_scheme() {
    let keys = NvsKeys::parse(&vector("nvs_keys_from_hmac.bin")).unwrap();
    let image = build(&rows("basic.csv"), 0x4000, Version::V2).finish_encrypted(&keys);
    assert_same(&image, &vector("basic-v2-hmacenc.bin"), "basic-v2-hmacenc");
}

#[test]
fn equals_the_generator_once_its_wifi_extras_are_put_by_hand() {
    let mut rows = rows("wifi_keys.csv");
    let wifi = rows[0].0;
    let extras = [("sta.apinfo", vec![0xFF; 140]), ("sta.pmk", vec![0; 32]), ("sta.apsw", vec![0; 2])];
    rows.splice(1..1, extras.map(|(name, bytes)| (wifi, key(name), Value::blob(bytes))));
    for (version, name) in [(Version::V1, "wifi_keys-v1.bin"), (Version::V2, "wifi_keys-v2.bin")] {
        assert_same(&build(&rows, 0x4000, version).finish(), &vector(name), name);
    }
}

#[test]
fn refuses_what_does_not_fit() {
    let (namespace, name) = (key("n"), key("k"));
    let put = |size: u32, version, value: Value<'_>| {
        NvsImage::new(FlashLen(size), version).unwrap().put(&namespace, &name, &value)
    };
    let too_long = |len, limit| Err(BuildError::TooLong { key: name, len, limit });
    assert_eq!(put(0x4000, Version::V2, Value::string("x".repeat(3967))), Ok(()));
    assert_eq!(put(0x4000, Version::V2, Value::string("x".repeat(3968))), too_long(3969, 3968));
    assert_eq!(put(0x4000, Version::V1, Value::blob(vec![0; 1985])), too_long(1985, 1984));
    assert_eq!(put(0x4000, Version::V1, Value::string("x".repeat(1983))), Ok(()));
    assert_eq!(put(0x4000, Version::V1, Value::string("x".repeat(1984))), too_long(1985, 1984));
    assert_eq!(put(0x4000, Version::V2, Value::blob(vec![0; 0x4000])), Err(BuildError::Full { size: 0x4000 }));
    let limit = 127 * 125 * 32;
    assert_eq!(put(0x10_0000, Version::V2, Value::blob(vec![0; limit + 1])), too_long(limit + 1, limit));
}

#[test]
fn refuses_a_size_that_is_no_multiple_of_a_page() {
    for size in [0, 1, 0xFFF, 0x1001] {
        let refusal = NvsImage::new(FlashLen(size), Version::V2).err();
        assert_eq!(refusal, Some(BuildError::Size { size: FlashLen(size) }));
    }
    let refusal = NvsImage::new(FlashLen(0x3000), Version(0xFD)).err();
    assert_eq!(refusal, Some(BuildError::Version { version: 0xFD }));
}

#[test]
fn refuses_duplicates_nuls_and_a_255th_namespace() {
    let mut image = NvsImage::new(FlashLen(0x8000), Version::V2).unwrap();
    let (namespace, name) = (key("n"), key("k"));
    image.put(&namespace, &name, &Value::U8(1)).unwrap();
    let refusal = image.put(&namespace, &name, &Value::U32(1));
    assert_eq!(refusal, Err(BuildError::Duplicate { namespace, key: name }));
    let refusal = image.put(&namespace, &key("s"), &Value::string("a\0b"));
    assert_eq!(refusal, Err(BuildError::NulInString { key: key("s") }));
    for number in 1..254 {
        image.put(&key(&format!("n{number}")), &name, &Value::U8(1)).unwrap();
    }
    let refusal = image.put(&key("one_too_many"), &name, &Value::U8(1));
    assert_eq!(refusal, Err(BuildError::TooManyNamespaces));
}
