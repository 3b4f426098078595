//! Every eFuse of every chip as `espefuse summary --format json` shows it, beside our map and `cotter efuse show`.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use assert_cmd::Command;
use cotter_formats::chip::Chip;
use cotter_formats::efuse::{EfuseImage, Field, Group};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What espefuse computes from other fields; it says no place for them.
const COMPUTED: [&str; 7] = [
    "BOOTLOADER_ANTI_ROLLBACK_SECURE_VERSION",
    "MAC_EUI64",
    "PKG_VERSION",
    "PSRAM_CAPACITY",
    "RECOVERY_BOOTLOADER_FLASH_SECTOR",
    "WAFER_VERSION_MAJOR",
    "WAFER_VERSION_MINOR",
];

fn vectors() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/efuse")).canonicalize().unwrap()
}

/// Name of the summaries, without the ending.
fn summaries() -> Vec<String> {
    let files = std::fs::read_dir(vectors()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = files.filter_map(|file| file.strip_suffix(".json").map(str::to_owned)).collect();
    names.sort();
    names
}

fn chip(name: &str) -> Chip {
    let name = name.strip_prefix("blank-").unwrap_or(name);
    Chip::from_name(name.split('-').next().unwrap()).unwrap()
}

/// One file as espefuse and as `cotter efuse show` see it.
struct Sides {
    chip: Chip,
    image: EfuseImage,
    theirs: serde_json::Map<String, Value>,
    ours: Value,
}

fn read(name: &str) -> Sides {
    let (chip, file) = (chip(name), format!("{name}.bin"));
    let image = EfuseImage::from_virtual_file(chip, &std::fs::read(vectors().join(&file)).unwrap()).unwrap();
    let theirs = std::fs::read(vectors().join(format!("{name}.json"))).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cotter"));
    command.current_dir(vectors()).args(["--json", "efuse", "show", "--reveal", "--chip", chip.name(), &file]);
    let output = command.assert().success().get_output().stdout.clone();
    Sides {
        chip,
        image,
        theirs: serde_json::from_slice(&theirs).unwrap(),
        ours: serde_json::from_slice(&output).unwrap(),
    }
}

fn row<'a>(rows: &'a Value, name: &str) -> Option<&'a Value> {
    rows.as_array().unwrap().iter().find(|row| row["name"] == name)
}

/// Lowest byte first, as espefuse and our JSON print values longer than a number.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn same_map(sides: &Sides, field: &Field, theirs: &Value) {
    let (chip, name) = (sides.chip, field.name);
    let number = |key: &str| theirs[key].as_u64().unwrap();
    assert_eq!(number("block"), u64::from(field.block.0), "{chip} {name}");
    assert_eq!(32 * number("word") + number("pos"), u64::from(field.bit), "{chip} {name}");
    assert_eq!(number("bit_len"), u64::from(field.len), "{chip} {name}");
    let kind = theirs["efuse_type"].as_str().unwrap();
    let len = match kind.split_once(':') {
        Some(("bytes", count)) => 8 * count.parse::<u16>().unwrap(),
        Some((_, count)) => count.parse().unwrap(),
        None => 1,
    };
    assert_eq!(len, field.len, "{chip} {name}: {kind}");
    assert_eq!(kind.starts_with("bytes"), field.is_bytes(), "{chip} {name}: {kind}");
}

/// True if espefuse's words for the value were compared too.
fn same_row(sides: &Sides, field: &Field, theirs: &Value) -> bool {
    let (chip, name) = (sides.chip, field.name);
    let raw = theirs["raw_value"].as_str().unwrap().trim_start_matches("0x");
    let bytes = sides.image.bytes(field);
    if let Some(key) = row(&sides.ours["keys"], name) {
        assert_eq!(key["readable"], theirs["readable"], "{chip} {name}");
        assert_eq!(key["writable"], theirs["writeable"], "{chip} {name}");
        assert_eq!(key["content"].as_str().unwrap_or(&"0".repeat(64)), raw, "{chip} {name}");
        return false;
    }
    if sides.image.map().views.contains(field) && field.len > 32 {
        // A half of a key block, or a whole one under another name: shown as the block.
        assert_eq!(hex(&bytes), raw, "{chip} {name}");
        assert_eq!(sides.image.is_readable(field), theirs["readable"], "{chip} {name}");
        assert_eq!(sides.image.is_writable(field), theirs["writeable"], "{chip} {name}");
        return false;
    }
    let row = row(&sides.ours["fields"], name).unwrap_or_else(|| unreachable!("{chip}: {name} is not shown"));
    for (ours, theirs) in [("readable", "readable"), ("writable", "writeable")].map(|(a, b)| (&row[a], &theirs[b])) {
        assert_eq!(ours, theirs, "{chip} {name}");
    }
    for (ours, expected) in [("block", field.block.0.into()), ("bit", field.bit), ("length", field.len)] {
        assert_eq!(row[ours], expected, "{chip} {name} {ours}");
    }
    let text = theirs["value"].as_str();
    if field.is_bytes() {
        assert_eq!(hex(&bytes), raw, "{chip} {name}");
        match text.filter(|text| text.contains(':')) {
            Some(mac) if field.len == 48 => assert_eq!(row["content"], mac[..17], "{chip} {name}"),
            _ if field.len > 32 => assert_eq!(row["content"], raw, "{chip} {name}"),
            _ => {}
        }
        return false;
    }
    assert_eq!(row["number"], u64::from_str_radix(raw, 16).unwrap(), "{chip} {name}");
    if let Some(text) = text {
        assert_eq!(row["meaning"], text, "{chip} {name}");
    }
    text.is_some()
}

#[test]
fn every_field_is_where_espefuse_has_it_and_reads_as_it_reads_it() {
    let (mut compared, mut worded, mut chips) = (0, 0, BTreeSet::new());
    for name in summaries() {
        let sides = read(&name);
        for (field, theirs) in &sides.theirs {
            if theirs["word"].is_null() {
                assert!(COMPUTED.contains(&field.as_str()), "{name}: {field} has no place");
                continue;
            }
            let field =
                sides.image.map().field(field).unwrap_or_else(|| unreachable!("{name}: {field} is not in our map"));
            same_map(&sides, field, theirs);
            worded += usize::from(same_row(&sides, field, theirs));
            compared += 1;
        }
        chips.insert(sides.chip.name());
    }
    assert_eq!(chips.len(), Chip::ALL.len());
    println!("{compared} fields of {} chips, {worded} of them with espefuse's words for the value", chips.len());
    assert!(compared > 1000 && worded > 100, "{compared} {worded}");
}

#[test]
fn nothing_is_shown_that_espefuse_does_not_know() {
    for name in summaries() {
        let sides = read(&name);
        let fields = sides.image.map().fields.iter().filter(|field| !field.reserved).map(|field| field.name);
        let rows = sides.ours["fields"].as_array().unwrap().iter().chain(sides.ours["keys"].as_array().unwrap());
        let shown = fields.chain(rows.map(|row| row["name"].as_str().unwrap()));
        let unknown = shown.filter(|shown| !sides.theirs.contains_key(*shown));
        // Espressif's tool shows what the factory measured once the chip says that it was measured.
        let group = |name: &str| sides.image.map().field(name).map(Field::group);
        let others: Vec<&str> = unknown.filter(|name| group(name) != Some(Group::Calibration)).collect();
        assert_eq!(others, Vec::<&str>::new(), "{name}");
    }
}
