//! Tables against images of `esp_idf_nvs_partition_gen` 0.3.0 (`vectors/nvs`), and refusals.

use super::*;
use cotter_formats::nvs::{NvsKeys, read_partition};
use proptest::prelude::*;
use std::fs;

const QUIRKS: Habits = Habits { generator_quirks: true, wifi_extras: false };
const SIZE: FlashLen = FlashLen(0x4000);

fn vectors() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "vectors", "nvs"].iter().collect()
}

fn table(csv: &str, version: Version, habits: Habits) -> Result<Table, TableError> {
    let mut table = Table::new(SIZE, version, habits).unwrap();
    table.add_csv(csv.as_bytes(), &vectors()).map(|()| table)
}

fn refusal(rows: &str) -> String {
    let csv = format!("key,type,encoding,value\nspace,namespace,,\n{rows}\n");
    match table(&csv, Version::V2, Habits::default()) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{rows} was taken"),
    }
}

#[test]
fn every_vector_is_the_generators_byte_for_byte() {
    let keys = NvsKeys::parse(&fs::read(vectors().join("nvs_keys_fixed.bin")).unwrap()).unwrap();
    let mut compared = 0;
    for name in ["basic", "fill", "edge_blob_tail", "edge_string_fill", "multipage", "wifi_keys"] {
        for (number, version) in [(1, Version::V1), (2, Version::V2)] {
            let Ok(expected) = fs::read(vectors().join(format!("{name}-v{number}.bin"))) else { continue };
            let csv = fs::read(vectors().join(format!("{name}.csv"))).unwrap();
            let build = || {
                let size = FlashLen(u32::try_from(expected.len()).unwrap());
                let mut table = Table::new(size, version, QUIRKS).unwrap();
                table.add_csv(&csv, &vectors()).unwrap();
                table.into_image()
            };
            assert!(build().finish() == expected, "{name} V{number}");
            let encrypted = fs::read(vectors().join(format!("{name}-v{number}-enc.bin"))).unwrap();
            assert!(build().finish_encrypted(&keys) == encrypted, "{name} V{number} encrypted");
            compared += 1;
        }
    }
    assert_eq!(compared, 11, "all but multipage-v1, which the generator cannot write");
}

#[test]
fn a_repeated_namespace_is_taken_up_again_unless_asked_otherwise() {
    let csv = "key,type,encoding,value\na,namespace,,\nb,namespace,,\na,namespace,,\nx,data,u8,1\n";
    for (habits, expected) in [(Habits::default(), "a"), (QUIRKS, "b")] {
        let table = table(csv, Version::V2, habits).unwrap();
        assert!(table.has_repeated_namespace());
        let items = read_partition(&table.into_image().finish(), None).unwrap();
        assert_eq!(items[0].namespace.to_string(), expected);
    }
}

#[test]
fn wifi_extras_are_optional() {
    let csv = fs::read_to_string(vectors().join("wifi_keys.csv")).unwrap();
    let bare = table(&csv, Version::V2, Habits::default()).unwrap();
    assert_eq!((bare.values(), bare.has_bare_wifi_keys()), (2, true));
    let full = table(&csv, Version::V2, Habits { wifi_extras: true, ..Habits::default() }).unwrap();
    assert_eq!((full.values(), full.has_bare_wifi_keys()), (5, false));
    let hex = "key,type,encoding,value\nn,namespace,,\nap.ssid,data,hex2bin,00\n";
    let refused = table(hex, Version::V2, QUIRKS).err().unwrap().to_string();
    assert_eq!(refused, "line 3, key \"ap.ssid\": Wi-Fi side entries can only be computed from a data row with text");
}

#[test]
fn every_refusal_names_the_line_and_the_key_but_not_the_value() {
    for (row, expected) in [
        ("x,data,string,a,b", "5 fields, expected 4; a value with a comma wants double quotes around it"),
        ("sixteen_letters_,data,u8,1", "NVS key is 16 bytes, at most 15 fit"),
        ("x,date,u8,1", "type \"date\" is none of namespace, data, file"),
        ("x,data,u8,secret", "the value is not a decimal number"),
        ("x,data,u8,300", "the value is out of the type's range"),
        ("x,data,hex2bin,secret", "the value is not hexadecimal in whole bytes"),
        ("x,data,string", "no value"),
        ("x,namespace,u8,1", "a namespace row has only a key"),
        ("x,data,u8,1\nx,data,u8,2", "NVS value space/x is given twice"),
        ("x,data,blob_fill(508001;0x00),", "the length of the fill is more than the 508000 bytes of a blob"),
        ("x,data,blob_fill(508000;0x00),", "the values do not fit the 0x4000 bytes of the NVS partition"),
    ] {
        let refused = refusal(row);
        assert!(refused.ends_with(expected), "{row}: {refused}");
        assert!(refused.starts_with("line ") && !refused.contains("secret"), "{row}: {refused}");
    }
    assert!(refusal("x,data,U9,1").starts_with("line 3, key \"x\": encoding \"U9\" is none of u8, "));
    assert!(refusal("x,file,binary,no-such-file").contains("no-such-file: "));
    let no_namespace = table("key,type,encoding,value\nx,data,u8,1", Version::V2, QUIRKS).err().unwrap().to_string();
    assert_eq!(no_namespace, "line 2, key \"x\": no namespace row comes before this value");
    for header in ["", "key,type,value", "key,type,encoding,value,x", "clé,type,encoding,value"] {
        assert!(matches!(table(header, Version::V2, QUIRKS), Err(TableError::NoHeader { line: 1 })), "{header}");
    }
}

proptest! {
    #[test]
    fn no_csv_panics(
        rows in prop::collection::vec(("[a-c.]{0,3}", "data|file|namespace|x", "u8|string|hex2bin|base64|binary|blob_fill\\([0-9]{0,9};0x[0-9a]{2}\\)|blob_sz_fill\\(9;0x00\\)", "[ -~\n\"]{0,9}"), 0..20),
        version in 1..=2_u8,
    ) {
        let mut csv = String::from("key,type,encoding,value\nn,namespace,,\n");
        for (key, kind, encoding, value) in rows {
            csv.push_str(&format!("{key},{kind},{encoding},{value}\n"));
        }
        let version = if version == 1 { Version::V1 } else { Version::V2 };
        if let Ok(table) = table(&csv, version, QUIRKS) {
            prop_assert!(read_partition(&table.into_image().finish(), None).is_ok());
        }
    }
}
