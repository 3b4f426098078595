//! NVS against Espressif's `esp_idf_nvs_partition_gen`: random CSV files give the same bytes there and here, in the clear
//! and encrypted, and the device's store mounts them; what the device's store writes is decrypted by Espressif's tool.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test that cannot go on has failed")]

use cotter_chip::fault::Fault;
use cotter_chip::flash::Flash;
use cotter_device::nvs::{Nvs, NvsError};
use cotter_device::platform::Region;
use cotter_formats::addr::{FlashAddr, FlashLen};
use cotter_formats::nvs::entry::Key;
use cotter_formats::nvs::image::BuildError;
use cotter_formats::nvs::page::Version;
use cotter_formats::nvs::{NvsImage, NvsKeys, Value, read_partition};
use cotter_formats::secret::Secret;
use cotter_interop::{Generator, temp_dir, tools};
use std::fmt::Write;
use std::fs;
use std::path::Path;

struct Row {
    namespace: Key,
    key: Key,
    value: Value<'static>,
    encoding: &'static str,
}

/// Rows of all encodings; `bulk` makes blobs and strings long.
fn rows(random: &mut Generator, count: usize, bulk: usize) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut namespace: Key = random.word(15).parse().unwrap();
    for number in 0..count {
        if random.below(12) == 0 {
            namespace = unique(random, number);
        }
        let key = unique(random, number);
        let long = random.below(bulk);
        let (encoding, value) = match random.below(11) {
            0 => ("u8", Value::U8(random.array::<1>()[0])),
            1 => ("i8", Value::I8(i8::from_le_bytes(random.array()))),
            2 => ("u16", Value::U16(u16::from_le_bytes(random.array()))),
            3 => ("i16", Value::I16(i16::from_le_bytes(random.array()))),
            4 => ("u32", Value::U32(random.next_u32())),
            5 => ("i32", Value::I32(i32::from_le_bytes(random.array()))),
            6 => ("u64", Value::U64(random.next_u64())),
            7 => ("i64", Value::I64(i64::from_le_bytes(random.array()))),
            8 => {
                let letters = ["a", "Z", "0", " ", "-", "ä", "€", "𝄞"];
                ("string", Value::string((0..long / 2).map(|_| *random.pick(&letters)).collect::<String>()))
            }
            9 => ("hex2bin", Value::blob(random.bytes(long))),
            _ => ("binary", Value::blob(random.bytes(long * 3))),
        };
        rows.push(Row { namespace, key, value, encoding });
    }
    rows
}

/// A key of 3 to 15 characters that no other number gives.
fn unique(random: &mut Generator, number: usize) -> Key {
    let length = random.between(1, 11);
    format!("{number}-{}", random.word(length)).parse().unwrap()
}

/// The CSV file that says the same; long blobs go into files beside it.
fn csv(rows: &[Row], folder: &Path) -> String {
    let mut csv = String::from("key,type,encoding,value\n");
    let mut namespace = None;
    for row in rows {
        if namespace != Some(row.namespace) {
            namespace = Some(row.namespace);
            writeln!(csv, "{},namespace,,", row.namespace).unwrap();
        }
        let (kind, text) = match &row.value {
            Value::U8(value) => ("data", value.to_string()),
            Value::I8(value) => ("data", value.to_string()),
            Value::U16(value) => ("data", value.to_string()),
            Value::I16(value) => ("data", value.to_string()),
            Value::U32(value) => ("data", value.to_string()),
            Value::I32(value) => ("data", value.to_string()),
            Value::U64(value) => ("data", value.to_string()),
            Value::I64(value) => ("data", value.to_string()),
            Value::String(text) => ("data", text.to_string()),
            Value::Blob(bytes) if row.encoding == "hex2bin" => {
                ("data", bytes.iter().map(|byte| format!("{byte:02x}")).collect())
            }
            Value::Blob(bytes) => {
                let path = folder.join(format!("{}.blob", row.key));
                fs::write(&path, bytes).unwrap();
                ("file", path.to_str().unwrap().to_owned())
            }
            other => panic!("no encoding for {other:?}"),
        };
        writeln!(csv, "{},{kind},{},{text}", row.key, row.encoding).unwrap();
    }
    csv
}

fn build(rows: &[Row], size: u32, version: Version) -> Result<NvsImage, BuildError> {
    let mut image = NvsImage::new(FlashLen(size), version)?;
    rows.iter().try_for_each(|row| image.put(&row.namespace, &row.key, &row.value)).map(|()| image)
}

fn assert_same(ours: &[u8], theirs: &[u8], what: &str) {
    let first = ours.iter().zip(theirs).position(|(ours, theirs)| ours != theirs);
    assert!(
        ours.len() == theirs.len() && first.is_none(),
        "{what}: {} and {} bytes, {first:x?}",
        ours.len(),
        theirs.len()
    );
}

fn random_keys(random: &mut Generator, path: &Path) -> [u8; 64] {
    let keys = random.array::<64>();
    let mut partition = [0; 4096];
    NvsKeys::new(Secret::from_slice(&keys).unwrap()).encode(&mut partition);
    fs::write(path, partition).unwrap();
    keys
}

fn keys_of(bytes: &[u8; 64]) -> NvsKeys {
    NvsKeys::new(Secret::from_slice(bytes).unwrap())
}

/// Every value that the device's store has a call for, read back through it.
fn mounts(content: &[u8], rows: &[Row], keys: Option<NvsKeys>, what: &str) {
    let flash = Flash::with_content(content.to_vec(), Fault::new(0)).unwrap();
    let len = FlashLen(u32::try_from(content.len()).unwrap());
    let mut store = Nvs::mount(Region::new(flash.clone(), FlashAddr(0), len).unwrap(), keys).unwrap();
    assert_eq!(flash.fault().operations(), 0, "{what}: there is nothing to repair");
    let mut buffer = vec![0; 64 * 1024];
    for Row { namespace, key, value, .. } in rows {
        match value {
            Value::U32(value) => assert_eq!(store.u32(namespace, key), Ok(Some(*value))),
            Value::U64(value) => assert_eq!(store.u64(namespace, key), Ok(Some(*value))),
            Value::String(text) => assert_eq!(store.string(namespace, key, &mut buffer), Ok(Some(&**text))),
            Value::Blob(bytes) => {
                assert_eq!(store.blob(namespace, key, &mut buffer), Ok(Some(bytes.len())), "{what}: {key}");
                assert_eq!(buffer[..bytes.len()], **bytes);
            }
            _ => assert!(matches!(store.u32(namespace, key), Err(NvsError::Type { .. })), "{what}: {key}"),
        }
    }
}

#[test]
fn random_partitions_equal_the_generators() {
    let (tools, folder, mut random) = (tools(), temp_dir(), Generator::seeded());
    let at = |name: &str| folder.path().join(name);
    let keys = random_keys(&mut random, &at("keys.bin"));
    let (mut equal, mut full, mut too_long) = (0, 0, 0);
    for round in 0..24 {
        let pages = [1, 2, 3, 4, 5, 8, 16][random.below(7)];
        let size = pages * 0x1000;
        let (version, number) = if random.below(4) == 0 { (Version::V1, "1") } else { (Version::V2, "2") };
        let (count, bulk) = *random.pick(&[(12, 2500), (3, 4500), (60, 300), (150, 40), (30, 900)]);
        let rows = rows(&mut random, count, bulk);
        fs::write(at("in.csv"), csv(&rows, folder.path())).unwrap();
        let (input, output, size_text) = (at("in.csv"), at("out.bin"), format!("{size:#x}"));
        let what = format!("round {round}: {count} rows, version {number}, {size_text}");
        for encrypted in [false, true] {
            let _ = fs::remove_file(&output);
            let mut arguments =
                vec![if encrypted { "encrypt" } else { "generate" }.into(), input.clone().into_os_string()];
            arguments.extend([
                output.clone().into_os_string(),
                size_text.clone().into(),
                "--version".into(),
                number.into(),
            ]);
            if encrypted {
                arguments.extend(["--inputkey".into(), at("keys.bin").into_os_string()]);
            }
            let run = tools.nvs_partition_gen(&arguments);
            let image = match build(&rows, size, version) {
                Ok(image) => image,
                Err(refusal) => {
                    assert!(
                        !run.success(),
                        "{what}: we refused ({refusal}), the generator did not\n{}",
                        run.evidence()
                    );
                    match refusal {
                        BuildError::Full { .. } => full += 1,
                        BuildError::TooLong { .. } => too_long += 1,
                        other => panic!("{what}: {other}"),
                    }
                    continue;
                }
            };
            run.accepted();
            let theirs = fs::read(&output).unwrap();
            let ours = if encrypted { image.finish_encrypted(&keys_of(&keys)) } else { image.finish() };
            assert_same(&ours, &theirs, &what);
            let reader_keys = encrypted.then(|| keys_of(&keys));
            let items = read_partition(&theirs, reader_keys.as_ref()).unwrap();
            assert_eq!(items.len(), rows.len(), "{what}");
            assert!(items.iter().all(|item| rows.iter().any(|row| row.key == item.key && row.value == item.value)));
            if pages >= 3 {
                mounts(&theirs, &rows, reader_keys, &what);
            }
            equal += 1;
        }
    }
    println!("{equal} images equal, {full} refused as full and {too_long} as too long by both");
    assert!(equal >= 12, "{equal}");
}

#[test]
fn espressifs_tool_decrypts_what_the_device_wrote() {
    let (tools, folder, mut random) = (tools(), temp_dir(), Generator::seeded());
    let at = |name: &str| folder.path().join(name);
    let keys = random_keys(&mut random, &at("keys.bin"));
    let flash = Flash::with_content(vec![0xFF; 0x4000], Fault::new(0)).unwrap();
    let region = Region::new(flash.clone(), FlashAddr(0), FlashLen(0x4000)).unwrap();
    let mut store = Nvs::mount(region, Some(keys_of(&keys))).unwrap();
    let namespace = Key::literal("cotter");
    for _ in 0..300 {
        let key: Key = random.word(1).parse().unwrap();
        match random.below(3) {
            0 => store.set_u32(&namespace, &key, random.next_u32()).unwrap(),
            1 => store.set_string(&namespace, &key, &random.word(40)).unwrap(),
            _ => store.set_blob(&namespace, &key, &random.bytes(75)).unwrap(),
        }
    }
    let encrypted = flash.content();
    fs::write(at("encrypted.bin"), &encrypted).unwrap();
    tools
        .nvs_partition_gen([
            "decrypt".as_ref(),
            at("encrypted.bin").as_os_str(),
            at("keys.bin").as_os_str(),
            at("plain.bin").as_os_str(),
        ])
        .accepted();
    let plain = fs::read(at("plain.bin")).unwrap();
    assert_eq!(plain.len(), encrypted.len());
    let items = read_partition(&plain, None).unwrap();
    assert!(items.len() > 10, "{}", items.len());
    assert_eq!(items, read_partition(&encrypted, Some(&keys_of(&keys))).unwrap());
}
