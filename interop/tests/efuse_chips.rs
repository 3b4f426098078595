//! eFuses of every chip against `espefuse --virt`: the same commands leave the same file, and each reads the other's.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use cotter_chip::efuse::session::{FlashVoltage, KeyOptions, KeyToBurn, Session, SessionError};
use cotter_formats::chip::Chip;
use cotter_formats::efuse::dump::{from_joint, from_text, to_joint, to_text};
use cotter_formats::efuse::token::{EfuseToken, TokenKind, token};
use cotter_formats::efuse::{ChipRevision, Coding, EfuseImage, EfuseMap, Family, Field, Group, PurposeValue};
use cotter_interop::{Generator, ToolRun, temp_dir, tools};
use std::path::Path;
use zeroize::Zeroizing;

fn espefuse(chip: Chip, file: &Path, commands: &[String]) -> ToolRun {
    let mut arguments =
        ["--chip", chip.name(), "--virt", "--do-not-confirm", "--path-efuse-file"].map(String::from).to_vec();
    arguments.push(file.display().to_string());
    arguments.extend_from_slice(commands);
    tools().espefuse(arguments)
}

/// Fields that `burn-efuse` takes a number for, and that change neither the coding nor the map.
fn fields(map: &EfuseMap) -> Vec<&'static Field> {
    let fits = |field: &&Field| {
        let changes_the_map = ["CODING_SCHEME", "REV", "WAFER", "BLK_VERSION", "MAC_VERSION", "BLK3_PART"];
        field.len <= 32
            && matches!(field.group(), Group::Security | Group::Config)
            && !matches!(field.name, "WR_DIS" | "RD_DIS")
            && !field.name.starts_with("SPI_PAD")
            && !changes_the_map.iter().any(|part| field.name.contains(part))
            && (field.block.0 == 0 || map.family == Family::Esp32)
    };
    map.fields.iter().filter(fits).collect()
}

struct Batch<'a> {
    random: &'a mut Generator,
    directory: &'a Path,
    session: Session,
    words: Vec<String>,
    refusal: Option<SessionError>,
}

impl Batch<'_> {
    fn record(&mut self, outcome: Result<(), SessionError>) {
        if let Err(refusal) = outcome {
            self.refusal.get_or_insert(refusal);
        }
    }

    fn say(&mut self, words: &[&str]) {
        self.words.extend(words.iter().map(|word| (*word).to_owned()));
    }

    fn key(&mut self, name: &str, len: usize) -> (Zeroizing<Vec<u8>>, String) {
        let data = self.random.bytes(len);
        let path = self.directory.join(format!("{name}.key"));
        std::fs::write(&path, &data).unwrap();
        (Zeroizing::new(data), path.display().to_string())
    }

    fn keys(&mut self, map: &EfuseMap, image: &EfuseImage) {
        let options = KeyOptions { keep_readable: self.random.below(3) == 0, keep_writable: self.random.below(3) == 0 };
        self.say(&["burn-key"]);
        let all = self.random.below(2) == 0;
        let options =
            if map.family == Family::Esp32 { KeyOptions { keep_readable: all, keep_writable: all } } else { options };
        let mut keys = Vec::new();
        match map.family {
            Family::Esp32 => {
                let len = image.data_len(map.key_block(0).unwrap()).unwrap();
                for block in ["flash_encryption", "secure_boot_v1", "BLOCK3"] {
                    if keys.is_empty() || self.random.below(2) == 0 {
                        let (data, path) = self.key(block, len);
                        self.say(&[block, &path]);
                        keys.push(KeyToBurn { block: block.to_owned(), data, purpose: None });
                    }
                }
            }
            Family::Esp32C2 => {
                let halves = ["XTS_AES_128_KEY_DERIVED_FROM_128_EFUSE_BITS", "SECURE_BOOT_DIGEST"];
                let sets = [&["XTS_AES_128_KEY"][..], &halves[..1], &halves[1..], &halves[..]];
                let purposes: &[&str] = sets[self.random.below(sets.len())];
                for purpose in purposes {
                    let len = if *purpose == halves[0] { 16 } else { 32 };
                    let (data, path) = self.key(purpose, len);
                    self.say(&["BLOCK_KEY0", &path, purpose]);
                    keys.push(KeyToBurn { block: "BLOCK_KEY0".to_owned(), data, purpose: Some((*purpose).to_owned()) });
                }
            }
            Family::Many => {
                let takes_no_pem =
                    |name: &str| !name.starts_with("ECDSA_KEY") || name.ends_with("_L") || name.ends_with("_H");
                let purposes: Vec<_> = map.purposes.iter().filter(|purpose| takes_no_pem(purpose.name)).collect();
                let mut has_pair = false;
                for block in map.key_blocks() {
                    let purpose = **self.random.pick(&purposes);
                    let is_pair = matches!(purpose.value, PurposeValue::Pair(..));
                    if self.random.below(3) != 0 || (is_pair && has_pair) {
                        continue;
                    }
                    has_pair |= is_pair;
                    let name = map.block(block).unwrap().name;
                    let (data, path) = self.key(name, if is_pair { 64 } else { 32 });
                    self.say(&[name, &path, purpose.name]);
                    keys.push(KeyToBurn { block: name.to_owned(), data, purpose: Some(purpose.name.to_owned()) });
                }
                if keys.is_empty() {
                    let (data, path) = self.key("BLOCK_KEY0", 32);
                    self.say(&["BLOCK4", &path, "SECURE_BOOT_DIGEST1"]);
                    let purpose = Some("SECURE_BOOT_DIGEST1".to_owned());
                    keys.push(KeyToBurn { block: "BLOCK4".to_owned(), data, purpose });
                }
            }
        }
        // After the keys: in the middle of a batch, espefuse 5.6.0 takes what follows options first for more keys.
        let said = match map.family {
            Family::Esp32 => [(all, "--no-protect-key"), (false, "")],
            _ => [(options.keep_readable, "--no-read-protect"), (options.keep_writable, "--no-write-protect")],
        };
        said.iter().filter(|(said, _)| *said).for_each(|(_, flag)| self.say(&[flag]));
        let outcome = self.session.burn_keys(&keys, options);
        self.record(outcome);
    }

    fn settings(&mut self, map: &EfuseMap) {
        self.say(&["burn-efuse"]);
        let mut some = false;
        for field in fields(map) {
            if self.random.below(5) == 0 || !some {
                some = true;
                let most = field.all_ones() as usize;
                let value = if field.len == 1 { 1 } else { 1 + self.random.below(most) };
                self.say(&[field.name, &value.to_string()]);
                let outcome = self.session.burn_efuse(field.name, Some(&value.to_string()));
                self.record(outcome);
            }
        }
        let outcome = self.session.check_compatible();
        self.record(outcome);
    }

    fn others(&mut self, map: &EfuseMap) {
        if self.random.below(3) == 0 {
            let bits = [self.random.below(96), 8 + self.random.below(80)];
            let bits = bits.map(|bit| u16::try_from(bit).unwrap());
            let block = if map.family == Family::Esp32C2 { "BLOCK1" } else { "BLOCK3" };
            self.say(&["burn-bit", block, &bits[0].to_string(), &bits[1].to_string()]);
            let outcome = self.session.burn_bits(block, &bits);
            self.record(outcome);
        } else if self.random.below(2) == 0 {
            let mac = self.random.array::<5>().map(|byte| format!("{byte:02x}")).join(":");
            let mac = format!("02:{mac}");
            self.say(&["burn-custom-mac", &mac]);
            let outcome = self.session.burn_custom_mac(&mac);
            self.record(outcome);
        }
        if matches!(map.chip, Chip::Esp32 | Chip::Esp32S2 | Chip::Esp32S3) && self.random.below(2) == 0 {
            let (voltage, name) = *self.random.pick(&[
                (FlashVoltage::Off, "OFF"),
                (FlashVoltage::V1_8, "1.8V"),
                (FlashVoltage::V3_3, "3.3V"),
            ]);
            self.say(&["set-flash-voltage", name]);
            let outcome = self.session.set_flash_voltage(voltage);
            self.record(outcome);
        }
        // Last: in the middle of a batch, espefuse 5.6.0 takes the name apart into letters.
        if self.random.below(2) == 0 {
            let protectable: Vec<_> =
                fields(map).into_iter().filter(|field| field.write_protect_bit.is_some()).collect();
            let field = *self.random.pick(&protectable);
            self.say(&["write-protect-efuse", field.name]);
            let outcome = self.session.write_protect(field.name);
            self.record(outcome);
        }
    }
}

/// Burns on from a state; `None` if both refuse. Panics if they differ.
fn burn_on(random: &mut Generator, directory: &Path, before: &EfuseImage, file: &Path) -> Option<EfuseImage> {
    let map = *before.map();
    let session = Session::new(before.clone());
    let mut batch = Batch { random, directory, session, words: Vec::new(), refusal: None };
    match batch.random.below(3) {
        0 => batch.keys(&map, before),
        1 => batch.settings(&map),
        _ => {
            batch.keys(&map, before);
            batch.settings(&map);
        }
    }
    batch.others(&map);
    let Batch { session, words, refusal, .. } = batch;
    let ours = refusal.map_or_else(|| session.burn(), Err);
    let run = espefuse(map.chip, file, &words);
    let evidence = run.evidence();
    match ours {
        Ok(image) => {
            assert!(run.success(), "{}: we burn what espefuse refuses: {evidence}", map.chip);
            let theirs = std::fs::read(file).unwrap();
            let ours = image.to_virtual_file();
            let differs: Vec<_> = (0..theirs.len()).filter(|&at| ours.get(at) != theirs.get(at)).collect();
            assert!(differs.is_empty(), "{}: differs at {differs:?}: {evidence}", map.chip);
            Some(image)
        }
        Err(refusal) => {
            assert!(!run.success(), "{}: we refuse ({refusal}) what espefuse burns: {evidence}", map.chip);
            None
        }
    }
}

/// What espefuse says about a file, field by field, and in each form of its dump.
fn same_reading(image: &EfuseImage, directory: &Path, file: &Path) -> usize {
    let (json, opened, joint) =
        (directory.join("summary.json"), directory.join("token.txt"), directory.join("joint.bin"));
    let text = |path: &Path| path.display().to_string();
    let chip = image.map().chip;
    let commands = ["dump", "summary", "--format", "json", "--file", &text(&json)].map(String::from);
    let printed = espefuse(chip, file, &commands).accepted();
    let commands = ["dump", "--format", "token", "--file-name", &text(&opened)].map(String::from);
    let more = ["dump", "--format", "joint", "--file-name", &text(&joint)].map(String::from);
    espefuse(chip, file, &[&commands[..], &more[..]].concat()).accepted();
    let map = image.map();

    assert!(printed.contains(&to_text(image)), "{chip}: {printed}\n{}", to_text(image));
    assert_eq!(to_joint(&from_text(chip, &printed).unwrap()), to_joint(image), "{chip}");
    let theirs = std::fs::read(&joint).unwrap();
    assert_eq!(theirs, to_joint(image), "{chip}");
    assert_eq!(to_joint(&from_joint(chip, &theirs).unwrap()), theirs, "{chip}");
    let theirs = std::fs::read_to_string(&opened).unwrap();
    assert_eq!(theirs, token(image, TokenKind::Read), "{chip}");
    assert_eq!(to_joint(&EfuseToken::parse(&theirs).unwrap().image), to_joint(image), "{chip}");

    let summary: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let mut compared = 0;
    for (name, theirs) in summary.as_object().unwrap() {
        let number = |key: &str| theirs[key].as_u64();
        let Some(word) = number("word") else { continue };
        let field = map.field(name).unwrap();
        assert_eq!(number("block"), Some(u64::from(field.block.0)), "{chip} {name}");
        assert_eq!(word * 32 + number("pos").unwrap(), u64::from(field.bit), "{chip} {name}");
        if image.coding(field.block) != Coding::ThreeQuarters {
            assert_eq!(number("bit_len"), Some(u64::from(field.len)), "{chip} {name}");
        }
        assert_eq!(theirs["readable"], image.is_readable(field), "{chip} {name}");
        assert_eq!(theirs["writeable"], image.is_writable(field), "{chip} {name}");
        let raw = theirs["raw_value"].as_str().unwrap().trim_start_matches("0x");
        if field.is_bytes() {
            let ours: String = image.bytes(field).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(raw, ours, "{chip} {name}");
        } else {
            assert_eq!(u32::from_str_radix(raw, 16).unwrap(), image.value(field), "{chip} {name}");
        }
        compared += 1;
    }
    compared
}

#[test]
fn random_commands_leave_the_same_file_on_every_chip() {
    let mut random = Generator::seeded();
    let (mut burned, mut refused, mut compared) = (0, 0, 0);
    for chip in Chip::ALL {
        let directory = temp_dir();
        let file = directory.path().join("efuse.bin");
        let mut image = EfuseImage::blank(chip);
        if chip == Chip::Esp32P4 && random.below(2) == 0 || chip == Chip::Esp32H2 && random.below(2) == 0 {
            image = later(chip);
        }
        std::fs::write(&file, image.to_virtual_file()).unwrap();
        for _ in 0..2 {
            match burn_on(&mut random, directory.path(), &image, &file) {
                Some(after) => (image, burned) = (after, burned + 1),
                None => refused += 1,
            }
        }
        // The file is as ours, to the byte: espefuse reads ours.
        compared += same_reading(&image, directory.path(), &file);
    }
    println!("{burned} batches equal, {refused} refused by both, {compared} fields read alike");
    assert!(burned >= 13 && compared > 700, "{burned} {refused} {compared}");
}

/// The revision from which the map is another one.
fn later(chip: Chip) -> EfuseImage {
    let mut image = EfuseImage::blank(chip);
    let (fields, revision): (&[(&str, u32)], u16) = match chip {
        Chip::Esp32P4 => (&[("WAFER_VERSION_MAJOR_LO", 3)], 300),
        _ => (&[("WAFER_VERSION_MAJOR", 1), ("WAFER_VERSION_MINOR", 2)], 102),
    };
    for (name, value) in fields {
        let field = image.map().field(name).unwrap();
        field.merge(*value, image.block_mut(field.block).unwrap()).unwrap();
    }
    assert_eq!(image.revision(), ChipRevision(revision));
    image.with_map_of_its_revision()
}

#[test]
fn the_3_4_coding_of_an_esp32_is_burned_and_read_alike() {
    let mut random = Generator::seeded();
    let directory = temp_dir();
    let file = directory.path().join("efuse.bin");
    let mut session = Session::new(EfuseImage::blank(Chip::Esp32));
    session.burn_efuse("CODING_SCHEME", Some("1")).unwrap();
    let mut image = session.burn().unwrap();
    std::fs::write(&file, image.to_virtual_file()).unwrap();
    for _ in 0..4 {
        if let Some(after) = burn_on(&mut random, directory.path(), &image, &file) {
            image = after;
        }
    }
    assert_eq!(image.coding(cotter_formats::efuse::EfuseBlock(1)), Coding::ThreeQuarters);
    same_reading(&image, directory.path(), &file);
}
