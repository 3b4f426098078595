//! Partition tables against ESP-IDF's generator, both ways, on random ones; and OpenSSL recomputes the MD5 row.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use cotter_formats::addr::{FlashAddr, FlashLen};
use cotter_formats::partition::csv::{self, CsvOptions};
use cotter_formats::partition::finding::{Finding, Rules, SecureBoot, findings};
use cotter_formats::partition::rows::Rows;
use cotter_formats::partition::{
    Label, Partition, PartitionError, PartitionFlags, PartitionTable, PartitionType, Subtype, TABLE_LEN, build,
};
use cotter_interop::{Generator, temp_dir, tools};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How many random tables are built by both.
const TABLES: usize = 800;

/// Reads `N.json` in the folder of argv 1 and `N.csv`, writes `N.bin` and `N.back.csv`, or `N.refused` with the reason.
const GENERATOR: &str = r"
import json, pathlib, sys
from esp_idf_defs.partitions import PartitionTable
for path in pathlib.Path(sys.argv[1]).glob('*.json'):
    how = json.loads(path.read_text())
    try:
        with open(path.with_suffix('.csv'), 'rb') as file:
            table, _ = PartitionTable.from_file(file, how['offset'], how['bootloader'], how['recovery'])
        table.verify(how['offset'], how['secure'])
        if how['flash']:
            table.verify_size_fits(how['flash'])
        binary = table.to_binary(how['md5'])
        back = PartitionTable.from_binary(binary, how['md5'])
        back.verify(how['offset'], how['secure'])
        path.with_suffix('.bin').write_bytes(binary)
        path.with_suffix('.back').write_text(back.to_csv(), encoding='utf-8')
    except Exception as error:
        path.with_suffix('.refused').write_text(f'{type(error).__name__}: {error}', encoding='utf-8')
";

/// What both are told besides the CSV.
struct Settings {
    table: FlashAddr,
    bootloader: Option<FlashAddr>,
    recovery: Option<FlashAddr>,
    secure_boot: SecureBoot,
    flash: Option<FlashLen>,
    checksum: bool,
}

impl Settings {
    fn random(random: &mut Generator) -> Self {
        Self {
            table: FlashAddr(*random.pick(&[0x8000, 0x8000, 0x9000, 0xc000, 0x1_0000])),
            bootloader: random
                .pick(&[None, Some(FlashAddr(0)), Some(FlashAddr(0x1000)), Some(FlashAddr(0x2000))])
                .to_owned(),
            recovery: random.pick(&[None, Some(FlashAddr(0x20_0000))]).to_owned(),
            secure_boot: *random.pick(&[SecureBoot::None, SecureBoot::V1, SecureBoot::V2]),
            flash: random.pick(&[None, Some(FlashLen(4 << 20)), Some(FlashLen(16 << 20))]).to_owned(),
            checksum: random.below(6) > 0,
        }
    }

    fn json(&self) -> String {
        let number = |address: Option<FlashAddr>| address.map_or("null".to_owned(), |address| address.0.to_string());
        let secure = match self.secure_boot {
            SecureBoot::None => "null",
            SecureBoot::V1 => "\"v1\"",
            SecureBoot::V2 => "\"v2\"",
        };
        format!(
            r#"{{"offset":{},"bootloader":{},"recovery":{},"secure":{secure},"flash":{},"md5":{}}}"#,
            self.table.0,
            number(self.bootloader),
            number(self.recovery),
            self.flash.map_or(0, |size| size.0),
            self.checksum,
        )
    }

    /// Binary table and CSV, or the codes of what forbids it.
    fn build(&self, text: &str) -> Result<([u8; TABLE_LEN], String), Vec<&'static str>> {
        let options =
            CsvOptions { table: self.table, bootloader: self.bootloader, recovery: self.recovery, variables: None };
        let partitions = csv::parse(text, &options)
            .map_err(|errors| errors.iter().map(|error| problem(&error.problem)).collect::<Vec<_>>())?;
        let rules =
            Rules { table: self.table, flash_size: self.flash, secure_boot: self.secure_boot, checksum: self.checksum };
        let forbidden: Vec<_> =
            findings(&partitions, &rules).iter().filter(|finding| finding.forbids()).map(Finding::code).collect();
        if !forbidden.is_empty() {
            return Err(forbidden);
        }
        Ok((Rows::write(&partitions, self.checksum).unwrap(), csv::write(&partitions).unwrap()))
    }
}

/// A problem's name, without what was found.
fn problem(problem: &csv::Problem) -> &'static str {
    use csv::Problem as P;
    match problem {
        P::NoName => "no-name",
        P::LongName { .. } => "long-name",
        P::Fixed { .. } => "fixed",
        P::Surplus { .. } => "surplus",
        _ => "field",
    }
}

/// Where ours is stricter than the generator, each with its reason in `formats/src/partition`.
const STRICTER: [&str; 9] =
    ["no-name", "long-name", "fixed", "surplus", "empty", "ota-gap", "duplicate-slot", "read-only", "too-many"];

/// A table as a person would write it, and now and then as nobody should.
fn random_csv(random: &mut Generator, settings: &Settings) -> String {
    let mut text = String::from(*random.pick(&["", "", "# Name, Type, SubType, Offset, Size, Flags\n", "\u{feff}"]));
    let (mut end, mut slots) = (settings.table.0 + 0x1000, 0);
    let rows = if random.below(20) == 0 { random.between(90, 97) } else { random.between(1, 10) };
    for index in 0..rows {
        let kind =
            *random.pick(&["app", "app", "data", "data", "data", "data", "bootloader", "partition_table", "user"]);
        let kind = if rows > 50 { "data" } else { kind };
        let (named, subtypes): (String, &[&str]) = match kind {
            "app" => (["app", "APP", "0"][random.below(3)].into(), &["factory", "test", "tee_0", "tee_1", "0x30"]),
            "data" => (
                ["data", "data", "1"][random.below(3)].into(),
                &[
                    "nvs",
                    "phy",
                    "fat",
                    "spiffs",
                    "littlefs",
                    "nvs_keys",
                    "coredump",
                    "efuse",
                    "undefined",
                    "esphttpd",
                    "0x40",
                    "",
                    "ota",
                    "tee_ota",
                    "OTA",
                ],
            ),
            "bootloader" => ("bootloader".into(), &["primary", "ota", "recovery", "7"]),
            "partition_table" => ("partition_table".into(), &["primary", "ota", "", "5"]),
            _ => ((0x40 + random.below(0xbf)).to_string(), &["", "1", "0xfe"]),
        };
        let mut subtype = (*random.pick(subtypes)).to_owned();
        if rows > 50 {
            subtype = "fat".to_owned();
        } else if kind == "app" && random.below(3) > 0 {
            subtype = format!("ota_{slots}");
            slots = (slots + 1).min(15);
        }
        let alignment: u32 = if kind == "app" { 0x1_0000 } else { 0x1000 };
        let mut size = 0x1000 * *random.pick(&[1u32, 2, 3, 4, 6, 16, 64, 256]);
        if subtype.eq_ignore_ascii_case("ota") && kind == "data" || subtype == "tee_ota" {
            size = 0x2000;
        }
        if kind == "app" && random.below(2) == 0 {
            size = 0x1_0000 * *random.pick(&[1u32, 2, 16]);
        }
        if random.below(40) == 0 {
            size = *random.pick(&[0, 1, 0x800, 0x1001]);
        }
        let start = end.next_multiple_of(alignment) + if random.below(5) == 0 { alignment } else { 0 };
        let spelled = |random: &mut Generator, number: u32| match random.below(4) {
            0 => number.to_string(),
            1 if number.is_multiple_of(1024) => format!("{}K", number / 1024),
            2 if number.is_multiple_of(1 << 20) => format!("{}m", number >> 20),
            _ => format!("{number:#x}"),
        };
        let fixed = matches!(kind, "bootloader" | "partition_table");
        let offset = match random.below(20) {
            0..9 => String::new(),
            _ if fixed && random.below(4) > 0 => String::new(),
            9 => spelled(random, start + 0x800),
            10 => spelled(random, start.saturating_sub(0x1_0000)),
            _ => spelled(random, start),
        };
        let start = if offset.is_empty() { end.next_multiple_of(alignment) } else { start };
        let written = match random.below(30) {
            0 => format!("-{}", spelled(random, start + size)),
            _ if fixed && random.below(4) > 0 => String::new(),
            1 => String::new(),
            _ => spelled(random, size),
        };
        let name = match random.below(40) {
            0 => "seventeen bytes!!".to_owned(),
            1 => "ota_0".to_owned(),
            2 => String::new(),
            3 => format!("Größe {index}"),
            _ => format!("{}{index}", random.word(4)),
        };
        let flags = *random.pick(&["", "", "", "", "encrypted", "readonly", "encrypted:readonly", ":", "bogus"]);
        let flags = if random.below(3) == 0 { flags } else { "" };
        let gap = *random.pick(&["", " ", "\t", "  "]);
        let fields = [name.as_str(), &named, &subtype, &offset, &written, flags];
        let line = fields.join(&format!(",{gap}"));
        let _ = write!(text, "{line}{}", random.pick(&["\n", "\n", "\r\n", "\n# more\n\n"]));
        if kind != "bootloader" || subtype != "primary" {
            end = start + size;
        }
    }
    text
}

#[test]
fn the_generator_of_esp_idf_builds_the_same_bytes_and_the_same_csv() {
    let (dir, mut random) = (temp_dir(), Generator::seeded());
    let path = |index: usize, kind: &str| dir.path().join(format!("{index}.{kind}"));
    let cases: Vec<_> = (0..TABLES)
        .map(|index| {
            let settings = Settings::random(&mut random);
            let text = random_csv(&mut random, &settings);
            std::fs::write(path(index, "csv"), &text).unwrap();
            std::fs::write(path(index, "json"), settings.json()).unwrap();
            (settings, text)
        })
        .collect();
    tools().python(["-c", GENERATOR, dir.path().to_str().unwrap()]).accepted();

    let (mut same, mut refused, mut stricter, mut wider) = (0, 0, BTreeMap::<&str, usize>::new(), 0);
    for (index, (settings, text)) in cases.iter().enumerate() {
        let theirs = std::fs::read(path(index, "bin"));
        match (settings.build(text), theirs) {
            (Ok((ours, back)), Ok(theirs)) => {
                assert!(ours[..] == theirs, "{}\n{text}", settings.json());
                assert_eq!(back, std::fs::read_to_string(path(index, "back")).unwrap(), "{text}");
                same += 1;
            }
            (Err(_), Err(_)) => refused += 1,
            (Err(reasons), Ok(_)) => {
                assert!(
                    reasons.iter().all(|reason| STRICTER.contains(reason)),
                    "{reasons:?} {}\n{text}",
                    settings.json()
                );
                *stricter.entry(reasons[0]).or_default() += 1;
            }
            (Ok(_), Err(_)) => {
                let reason = std::fs::read_to_string(path(index, "refused")).unwrap();
                let known = reason.contains("Previous partition ends") || reason.contains("bootloader offset is not");
                assert!(known, "{reason} {}\n{text}", settings.json());
                wider += 1;
            }
        }
    }
    println!(
        "{same} tables the same, {refused} refused by both, by us alone {stricter:?}, by the generator alone {wider}"
    );
    assert!(same > TABLES / 10 && refused > TABLES / 10, "the inputs tell nothing: {same} {refused}");
}

/// The generator is lenient with its own binary; what matters is what it makes of ours after one bit has flipped.
#[test]
fn every_flipped_bit_of_a_random_table_is_detected() {
    let mut random = Generator::seeded();
    let mut flips = 0;
    for _ in 0..20 {
        let partitions = random_table(&mut random).unwrap();
        let table = build(&partitions).unwrap();
        for bit in 0..8 * TABLE_LEN {
            let mut flipped = table;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(PartitionTable::parse(&flipped).is_err(), "{} partitions, bit {bit}", partitions.len());
            flips += 1;
        }
    }
    println!("{flips} single-bit flips of tables with an MD5 row: all detected, none harmless");
}

fn random_table(random: &mut Generator) -> Result<Vec<Partition>, PartitionError> {
    let mut offset = 0x9000;
    (0..random.below(95))
        .map(|index| {
            let size = 0x1000 * (1 + random.next_u32() % 64);
            let label = format!("{}{index}", random.word(10));
            let partition = Partition {
                label: Label::new(&label)?,
                kind: PartitionType(0x40 + (random.next_u32() % 0xbf).to_le_bytes()[0]),
                subtype: Subtype(random.next_u32().to_le_bytes()[0]),
                offset: FlashAddr(offset),
                size: FlashLen(size),
                flags: *random.pick(&[PartitionFlags::NONE, PartitionFlags::ENCRYPTED, PartitionFlags::READONLY]),
            };
            offset += size;
            Ok(partition)
        })
        .collect()
}

#[test]
fn openssl_computes_the_same_md5_row() {
    let (dir, mut random) = (temp_dir(), Generator::seeded());
    let file = dir.path().join("entries");
    for _ in 0..20 {
        let partitions = random_table(&mut random).unwrap();
        let table = build(&partitions).unwrap();
        assert_eq!(PartitionTable::parse(&table).unwrap().partitions(), partitions);

        let (entries, rest) = table.split_at(32 * partitions.len());
        std::fs::write(&file, entries).unwrap();
        let digest = tools().openssl(["dgst".as_ref(), "-md5".as_ref(), "-r".as_ref(), file.as_os_str()]).accepted();
        let row: String = rest[16..32].iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(digest.starts_with(&row), "{} partitions: {row}, {digest}", partitions.len());
        assert_eq!(rest[..16], [[0xeb; 2].as_slice(), &[0xff; 14]].concat());
        assert!(rest[32..].iter().all(|&byte| byte == 0xff));
    }
}
