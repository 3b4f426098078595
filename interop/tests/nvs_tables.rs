//! CSV tables against Espressif's `esp_idf_nvs_partition_gen`: the same file, every encoding, gives the same bytes there
//! and here, in the clear, encrypted, and under the HMAC scheme; and it decrypts what a batch made.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test that cannot go on has failed")]

use cotter_factory::nvs::keys::HmacUpKey;
use cotter_factory::nvs::table::Habits;
use cotter_factory::nvs::{Batch, Table, keys};
use cotter_formats::addr::FlashLen;
use cotter_formats::nvs::csv::write_record;
use cotter_formats::nvs::page::Version;
use cotter_formats::nvs::{NvsKeys, read_partition};
use cotter_interop::{Generator, hex, temp_dir, tools};
use std::fs;
use std::path::Path;

const QUIRKS: Habits = Habits { generator_quirks: true, wifi_extras: false };

/// Rows of every encoding, with quotes, commas, line breaks, repeated namespaces, files, and Wi-Fi credentials.
fn csv(random: &mut Generator, folder: &Path) -> String {
    let mut csv = String::new();
    write_record(&mut csv, ["key", "type", "encoding", "value"]);
    let spaces = ["one", "two", "three"];
    write_record(&mut csv, [spaces[0], "namespace", "", ""]);
    for number in 0..random.between(5, 60) {
        let key = format!("k{number}");
        let text: String =
            (0..random.below(50)).map(|_| *random.pick(&["a", " ", ",", "\"", "\n", "ä", "Z", "'"])).collect();
        let length = random.below(300);
        let bytes = random.bytes(length);
        let word = random.word(9);
        let size = random.between(9, 200);
        match random.below(14) {
            0 => write_record(&mut csv, [*random.pick(&spaces), "namespace", "", ""]),
            1 => csv.push_str("# a comment, \"with a quote\r\n\r\n"),
            2 => write_record(&mut csv, [&key, "data", "string", &text]),
            3 => write_record(&mut csv, [&key, "data", "hex2bin", &format!(" {} ", hex(&bytes).to_uppercase())]),
            4 => write_record(&mut csv, [&key, "data", "binary", &word]),
            5 => write_record(&mut csv, [&key, "data", &format!("blob_fill({size};0xA5)"), &word]),
            6 => write_record(&mut csv, [&key, "data", &format!("blob_sz_fill({size};0x00)"), &word]),
            7 => write_record(&mut csv, [&key, "data", "i64", &format!("-{}", random.next_u32())]),
            8 => write_record(&mut csv, [&key, "data", "u64", &format!(" {} ", random.next_u64())]),
            9 => write_record(&mut csv, [&key, "data", "u8", &format!("00{}", random.below(256))]),
            10 => write_record(&mut csv, [&key, "data", "base64", "SGVsbG8gTlZTIQ=="]),
            kind => {
                let path = folder.join(format!("{key}.txt"));
                let (encoding, content) = match kind {
                    11 => ("string", text.into_bytes()),
                    12 => ("hex2bin", format!("{}\n", hex(&bytes)).into_bytes()),
                    _ => ("binary", bytes),
                };
                fs::write(&path, content).unwrap();
                write_record(&mut csv, [&key, "file", encoding, path.to_str().unwrap()]);
            }
        }
    }
    for key in ["sta.ssid", "sta.pswd", "ap.ssid", "ap.passwd"] {
        write_record(&mut csv, [key, "data", "string", &random.word(12)]);
    }
    write_record(&mut csv, ["ap.authmode", "data", "u8", *random.pick(&["0", "3"])]);
    csv
}

fn table(csv: &str, size: FlashLen, version: Version) -> Table {
    let mut table = Table::new(size, version, QUIRKS).unwrap();
    table.add_csv(csv.as_bytes(), Path::new("")).unwrap();
    table
}

fn write_keys(path: &Path, keys: &NvsKeys) {
    let mut partition = [0; 4096];
    keys.encode(&mut partition);
    fs::write(path, partition).unwrap();
}

#[test]
fn random_tables_equal_the_generators_plain_encrypted_and_by_hmac() {
    let (tools, folder, mut random) = (tools(), temp_dir(), Generator::seeded());
    let at = |name: &str| folder.path().join(name);
    let path = |name: &str| at(name).into_os_string();
    for round in 0..12 {
        let text = csv(&mut random, folder.path());
        fs::write(at("in.csv"), &text).unwrap();
        let (version, number) = if round % 3 == 0 { (Version::V1, "1") } else { (Version::V2, "2") };
        let size = FlashLen(0x10000);
        let keys = keys::generate().unwrap();
        write_keys(&at("keys.bin"), &keys);
        let hmac = HmacUpKey::generate().unwrap();
        fs::write(at("hmac.bin"), hmac.expose()).unwrap();
        tools
            .nvs_partition_gen([
                "generate-key".into(),
                "--key_protect_hmac".into(),
                "--kp_hmac_inputkey".into(),
                path("hmac.bin"),
                "--keyfile".into(),
                "by-hmac.bin".into(),
                "--outdir".into(),
                folder.path().into(),
            ])
            .accepted();
        for kind in ["plain", "encrypted", "hmac"] {
            let mut arguments = vec![if kind == "plain" { "generate" } else { "encrypt" }.into(), path("in.csv")];
            arguments.extend([path("out.bin"), "0x10000".into(), "--version".into(), number.into()]);
            match kind {
                "encrypted" => arguments.extend(["--inputkey".into(), path("keys.bin")]),
                "hmac" => arguments.extend(["--inputkey".into(), path("keys/by-hmac.bin")]),
                _ => {}
            }
            tools.nvs_partition_gen(&arguments).accepted();
            let theirs = fs::read(at("out.bin")).unwrap();
            let image = table(&text, size, version).into_image();
            let ours = match kind {
                "encrypted" => image.finish_encrypted(&keys),
                "hmac" => image.finish_encrypted(&hmac.nvs_keys()),
                _ => image.finish(),
            };
            let first = ours.iter().zip(&theirs).position(|(ours, theirs)| ours != theirs);
            assert!(ours.len() == theirs.len() && first.is_none(), "round {round}, {kind}: {first:x?}\n{text}");
        }
    }
}

#[test]
fn espressifs_tool_decrypts_every_device_of_a_batch() {
    let (tools, folder, mut random) = (tools(), temp_dir(), Generator::seeded());
    let at = |name: &str| folder.path().join(name);
    let template = b"factory,namespace,\nserial,data,string\nrevision,data,u8,REPEAT\nsecret,data,hex2bin\n";
    let mut values = String::from("id,serial,revision,secret\n");
    for number in 0..6 {
        let repeat = if number == 0 { "7" } else { "" };
        values.push_str(&format!("{number},SN-{},{repeat},{}\n", random.word(8), hex(&random.bytes(48))));
    }
    let batch = Batch::parse(template, values.as_bytes(), Some("id")).unwrap();
    for device in batch.devices() {
        let keys = keys::generate().unwrap();
        write_keys(&at("keys.bin"), &keys);
        let shape = (FlashLen(0x4000), Version::V2, Habits::default());
        let image = batch.table(device, shape, folder.path()).unwrap().into_image();
        fs::write(at("device.bin"), image.finish_encrypted(&keys)).unwrap();
        let files = ["device.bin", "keys.bin", "plain.bin"].map(|name| at(name).into_os_string());
        tools.nvs_partition_gen([&["decrypt".into()][..], &files].concat()).accepted();
        let plain = fs::read(at("plain.bin")).unwrap();
        assert_eq!(read_partition(&plain, None).unwrap().len(), 3);
        // Their generator makes the same of the CSV file that the batch writes.
        fs::write(at("device.csv"), batch.csv(device, folder.path()).as_bytes()).unwrap();
        let files = ["device.csv", "theirs.bin"].map(|name| at(name).into_os_string());
        tools.nvs_partition_gen([&["generate".into()][..], &files, &["0x4000".into()]].concat()).accepted();
        assert!(fs::read(at("theirs.bin")).unwrap() == plain);
    }
}
