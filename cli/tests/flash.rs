//! `cotter flash` as a person types it.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use assert_cmd::Command;
use cotter_formats::addr::{FlashAddr, FlashLen};
use cotter_formats::chip::Chip;
use cotter_formats::partition::{Label, Partition, PartitionFlags, PartitionTable, PartitionType, Subtype};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

fn vector(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors")).join(name)
}

/// A folder with keys that only their owner can read.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        for (name, len) in [("k16", 16), ("k24", 24), ("k32", 32), ("k64", 64), ("k31", 31)] {
            desk.put(name, &(0..len).map(|byte: u8| byte.wrapping_mul(7) + 1).collect::<Vec<u8>>());
            std::fs::set_permissions(desk.path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    fn get(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    fn flash(&self, arguments: &str) -> Command {
        let mut command = Command::cargo_bin("cotter").unwrap();
        command.current_dir(self.0.path()).arg("flash").args(arguments.split_whitespace());
        command
    }

    fn accepted(&self, arguments: &str) -> String {
        String::from_utf8(self.flash(arguments).assert().success().get_output().stdout.clone()).unwrap()
    }

    #[track_caller]
    fn refused(&self, arguments: &str, expected: &str) {
        let assert = self.flash(arguments).assert().code(1);
        let error = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
        assert!(error.contains(expected), "{error}");
        assert!(!self.path("out").exists(), "nothing is written");
    }
}

#[test]
fn equals_espsecure_for_every_golden_file_both_ways() {
    let desk = Desk::new();
    let mut compared = 0;
    for entry in std::fs::read_dir(vector("flashenc")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let stem = name.trim_end_matches(".bin").trim_end_matches("-272");
        let Some((scheme, rest)) = stem.split_once("-k") else { continue };
        let mut parts = rest.split(['-']);
        let (bits, address) = (parts.next().unwrap(), parts.next().unwrap().trim_start_matches('a'));
        let config = parts.next().map(|config| format!("--flash-crypt-config {}", &config[1..])).unwrap_or_default();
        let chip = match (scheme, bits) {
            ("esp32", _) => "esp32",
            (_, "128") => "esp32c2",
            (_, "256") => "esp32c3",
            _ => "esp32p4",
        };
        let plain = vector(if name.contains("-272") { "flashenc/plain-272.bin" } else { "flashenc/plain-4k.bin" });
        let key = vector(&format!("keys/fe_key_{bits}.bin"));
        let options = format!("--chip {chip} --key {} --address {address} --force {config}", key.display());
        desk.accepted(&format!("encrypt {options} -o cipher {}", plain.display()));
        assert!(desk.get("cipher") == std::fs::read(vector("flashenc").join(&name)).unwrap(), "{name}");
        desk.accepted(&format!("decrypt {options} -o plain cipher"));
        assert!(desk.get("plain") == std::fs::read(plain).unwrap(), "{name}");
        compared += 1;
    }
    assert_eq!(compared, 47);
    assert_eq!(std::fs::metadata(desk.path("plain")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn keys_are_refused_by_length_and_by_chip() {
    let desk = Desk::new();
    desk.put("in", &[1; 64]);
    for (chip, key, expected) in [
        (
            "esp32c3",
            "k64",
            "cannot use k64: flash encryption key: esp32c3 takes 32 bytes, not 64 bytes (for esp32s2, esp32s3, esp32h4, esp32p4, esp32s31)",
        ),
        ("esp32c3", "k31", "31 bytes, expected 16, 24, 32 or 64 raw bytes"),
        ("esp32s3", "k24", "esp32s3 takes 32 or 64 bytes, not 24 bytes (for esp32)"),
        ("esp32", "k16", "esp32 takes 24 or 32 bytes, not 16 bytes (for esp32c2)"),
        ("esp32c5", "k64", "esp32c5 takes 32 bytes (64 in the key manager), not 64 bytes"),
    ] {
        desk.refused(&format!("encrypt --chip {chip} --key {key} --address 0x1000 -o out in"), expected);
    }
    desk.accepted("encrypt --chip esp32c5 --key k64 --key-manager --address 0x1000 -o out5 in");
    desk.refused("encrypt --chip esp32c3 --key k32 --flash-crypt-config 3 --address 0 -o out in", "is for esp32 only");
    desk.flash("encrypt --chip esp33 --key k32 --address 0 -o out in").assert().code(2);
    desk.flash("encrypt --chip esp32 --key k32 --flash-crypt-config 16 --address 0 -o out in").assert().code(2);
    desk.flash("encrypt --chip esp32c3 --key k32 -o out in").assert().code(2);
}

#[test]
fn a_key_that_others_can_read_is_a_warning_without_its_content() {
    let desk = Desk::new();
    desk.put("in", &[1; 64]);
    let warnings = |arguments| String::from_utf8(desk.flash(arguments).assert().success().get_output().stderr.clone());
    let arguments = "encrypt --chip esp32c3 --key k32 --address 0x1000 -o done in";
    assert_eq!(warnings(arguments).unwrap(), "");
    std::fs::set_permissions(desk.path("k32"), std::fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(warnings(arguments).unwrap(), "warning: k32 can be read by others: chmod 600 it\n");
}

#[test]
fn odd_lengths_are_padded_only_when_asked() {
    let desk = Desk::new();
    for (chip, key) in [("esp32", "k32"), ("esp32c3", "k32")] {
        desk.put("in", &[1; 100]);
        desk.put("padded", &[[1; 100].as_slice(), &[0xff; 12]].concat());
        let options = format!("--chip {chip} --key {key} --address 0x20000");
        desk.refused(&format!("encrypt {options} -o out in"), "in is 100 bytes, not a multiple of 16\nhelp: say --pad");
        desk.refused(&format!("decrypt {options} -o out in"), "in is 100 bytes, not a multiple of 16");
        let report: Value =
            serde_json::from_str(&desk.accepted(&format!("encrypt {options} --pad --json -o ours in"))).unwrap();
        assert_eq!((report["length"].as_u64(), report["padding"].as_u64()), (Some(112), Some(12)));
        desk.accepted(&format!("encrypt {options} -o explicit padded"));
        assert_eq!(desk.get("ours"), desk.get("explicit"));
        desk.put("in", &[]);
        desk.refused(&format!("encrypt {options} -o out in"), "in is empty");
    }
    desk.put("in", &[1; 32]);
    desk.refused("encrypt --chip esp32c3 --key k32 --address 8 -o out in", "0x8 is not a multiple of 16");
    desk.refused("encrypt --chip esp32 --key k32 --address 0xfffff0 -o out in", "pass the 16 MiB");
    desk.refused("encrypt --chip esp32c3 --key k32 --address 0xfffffff0 -o out in", "pass 4 GiB");
}

#[test]
fn streams_through_stdin_and_stdout_as_through_files() {
    let desk = Desk::new();
    let plain: Vec<u8> = (0..3_000_000_u32).map(|at| at.to_le_bytes()[1]).take(2_500_000).collect();
    desk.put("in", &plain);
    for (chip, key) in [("esp32", "k24"), ("esp32s3", "k64")] {
        let options = format!("--chip {chip} --key {key} --address 0x10010");
        desk.accepted(&format!("encrypt {options} -o cipher in"));
        let piped = desk.flash(&format!("encrypt {options} -o - -")).write_stdin(plain.clone()).assert().success();
        assert!(piped.get_output().stdout == desk.get("cipher"));
        desk.accepted(&format!("decrypt {options} -o cipher cipher"));
        assert!(desk.get("cipher") == plain, "in place");
    }
}

/// A flash image with everything: erased behind the applications, `ota_1` empty.
fn flash_image(chip: Chip) -> Vec<u8> {
    let row = |label, kind, subtype, offset, size, flags| Partition {
        label: Label::new(label).unwrap(),
        kind,
        subtype,
        offset: FlashAddr(offset),
        size: FlashLen(size),
        flags,
    };
    let (app, data, plain) = (PartitionType::APP, PartitionType::DATA, PartitionFlags::NONE);
    let table = PartitionTable::new(&[
        row("nvs", data, Subtype::DATA_NVS, 0x9000, 0x4000, plain),
        row("otadata", data, Subtype::DATA_OTA, 0xd000, 0x2000, plain),
        row("nvs_keys", data, Subtype::DATA_NVS_KEYS, 0xf000, 0x1000, plain),
        row("ota_0", app, Subtype::APP_OTA_0, 0x1_0000, 0x1_0000, plain),
        row("ota_1", app, Subtype::APP_OTA_1, 0x2_0000, 0x1_0000, plain),
        row("secret", data, Subtype::DATA_FAT, 0x3_0000, 0x2000, PartitionFlags::ENCRYPTED),
        row("open", data, Subtype::DATA_SPIFFS, 0x3_2000, 0x2000, plain),
    ]);
    let mut image = vec![0xff; 0x3_4000];
    let header =
        |id: u16| [&[0xe9, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0], id.to_le_bytes().as_slice(), &[0; 3000]].concat();
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(chip.bootloader_offset().0 as usize, &header(chip.image_chip_id()));
    put(0x8000, &table.unwrap().encode());
    put(0x9000, b"nvs in the clear");
    put(0x1_0000, &header(chip.image_chip_id()));
    put(0x3_2000, b"open to everybody");
    image
}

#[test]
fn a_whole_image_is_encrypted_where_the_chip_expects_it_and_nowhere_else() {
    for (chip, key) in [(Chip::Esp32, "k32"), (Chip::Esp32C2, "k16"), (Chip::Esp32P4, "k64")] {
        let desk = Desk::new();
        let image = flash_image(chip);
        desk.put("image", &image);
        let options = format!("--chip {chip} --key {key}");
        desk.accepted(&format!("encrypt {options} --whole -o cipher image"));
        let cipher = desk.get("cipher");
        let boot = chip.bootloader_offset().0 as usize;
        let mut left = 0;
        for (at, len, encrypted) in [
            (boot, 0x1000, true),
            (0x8000, 0x1000, true),
            (0x9000, 0x4000, false),
            (0xd000, 0x2000, true),
            (0xf000, 0x1000, true),
            (0x1_0000, 0x1000, true),
            (0x1_1000, 0xf000, false),
            (0x2_0000, 0x1_0000, false),
            (0x3_0000, 0x2000, true),
            (0x3_2000, 0x2000, false),
        ] {
            if encrypted {
                desk.put("part", &image[at..at + len]);
                desk.accepted(&format!("encrypt {options} --address {at:#x} -o part.out part"));
                assert!(cipher[at..at + len] == desk.get("part.out"), "{chip} {at:#x}");
            } else {
                assert!(cipher[at..at + len] == image[at..at + len], "{chip} {at:#x}");
                left += 1;
            }
        }
        assert_eq!(left, 4);
        let report = desk.accepted(&format!("decrypt {options} --whole -o plain cipher --json"));
        assert!(desk.get("plain") == image, "{chip}");
        let report: Value = serde_json::from_str(&report).unwrap();
        let extents = report["extents"].as_array().unwrap();
        let nvs = extents.iter().find(|extent| extent["name"] == "nvs").unwrap();
        assert_eq!((nvs["processed"].as_u64(), nvs["address"].as_u64()), (Some(0), Some(0x9000)));
    }
}

#[test]
fn an_image_is_not_encrypted_twice_unless_forced() {
    let desk = Desk::new();
    let image = flash_image(Chip::Esp32C3);
    desk.put("image", &image);
    desk.put("app", &image[0x1_0000..0x1_1000]);
    let key = "--chip esp32c3 --key k32";
    desk.accepted(&format!("encrypt {key} --whole -o whole image"));
    desk.accepted(&format!("encrypt {key} --address 0x10000 -o part app"));

    let twice = "part is encrypted already: at 0x10000 this key decrypts it to an image for esp32c3";
    desk.refused(&format!("encrypt {key} --address 0x10000 -o out part"), twice);
    let boot = "begins with 0x";
    desk.refused(&format!("encrypt {key} --address 0 -o out part"), boot);
    desk.refused(
        &format!("decrypt {key} --address 0x10000 -o out app"),
        "app is not encrypted: it begins with an image",
    );
    let table = "whole is encrypted already: this key decrypts its partition table at 0x8000";
    desk.refused(&format!("encrypt {key} --whole -o out whole"), table);
    desk.refused(&format!("decrypt {key} --whole -o out image"), "image is not encrypted: its partition table");
    let wrong = "whole: this key decrypts no partition table at 0x8000";
    desk.refused("decrypt --chip esp32s3 --key k64 --whole -o out whole", wrong);
    desk.refused(
        &format!("encrypt {key} --whole --partition-table 0x9000 -o out image"),
        "no plain partition table at 0x9000",
    );
    desk.refused(&format!("encrypt {key} --whole --partition-table 0x40000 -o out image"), "ends before the end");
    desk.refused("encrypt --chip esp32s3 --key k32 --whole -o out image", "is an image for esp32c3, not for esp32s3");

    let mut mixed = image;
    mixed[0x1_0000..0x1_1000].copy_from_slice(&desk.get("part"));
    desk.put("mixed", &mixed);
    let slot = "mixed: ota_0 at 0x10000 is encrypted already";
    desk.refused(&format!("encrypt {key} --whole -o out mixed"), slot);
    mixed[0x1_0000] = 0x42;
    desk.put("mixed", &mixed);
    let magic = "mixed: ota_0 at 0x10000 begins with 0x42, not with the image magic 0xe9";
    desk.refused(&format!("encrypt {key} --whole -o out mixed"), magic);
    desk.accepted(&format!("encrypt {key} --whole --force -o out mixed"));
    desk.accepted(&format!("encrypt {key} --address 0x10000 --force -o out part"));
}
