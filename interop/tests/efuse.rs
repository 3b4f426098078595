//! Our eFuses against espefuse 5.6.0's virtual chip, both ways: the same burns leave the same file, each reads the
//! other's, and both refuse the same.

// The helpers are tests too: a broken expectation is a panic.
#![allow(clippy::unwrap_used)]

use cotter_chip::efuse::{BurnError, BurnSet, Efuses, KeyProtection, REGISTERS_FILE};
use cotter_chip::fault::Fault;
use cotter_formats::chip::Chip;
use cotter_formats::efuse::{EfuseBlock, EfuseImage, EfuseMap, Field, KeyPurpose, esp32c3};
use cotter_formats::secret::Secret;
use cotter_interop::{Generator, ToolRun, temp_dir, tools};
use std::path::Path;

const CHIP: Chip = Chip::Esp32C3;

fn espefuse(file: &Path, commands: &[String]) -> ToolRun {
    let mut arguments =
        ["--chip", "esp32c3", "--virt", "--do-not-confirm", "--path-efuse-file"].map(String::from).to_vec();
    arguments.push(file.display().to_string());
    arguments.extend_from_slice(commands);
    tools().espefuse(arguments)
}

fn blank() -> Efuses {
    Efuses::from_image(&EfuseImage::blank(CHIP), Fault::default())
}

fn file_of(efuses: &Efuses) -> Vec<u8> {
    efuses.image().unwrap().to_virtual_file().to_vec()
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(String::from).collect()
}

/// Settings that a plan burns. (Not those that espefuse asks extra questions about.)
const SETTINGS: [Field; 18] = [
    esp32c3::DIS_ICACHE,
    esp32c3::DIS_USB_JTAG,
    esp32c3::DIS_DOWNLOAD_ICACHE,
    esp32c3::DIS_FORCE_DOWNLOAD,
    esp32c3::DIS_TWAI,
    esp32c3::SOFT_DIS_JTAG,
    esp32c3::DIS_PAD_JTAG,
    esp32c3::DIS_DOWNLOAD_MANUAL_ENCRYPT,
    esp32c3::WDT_DELAY_SEL,
    esp32c3::SPI_BOOT_CRYPT_CNT,
    esp32c3::SECURE_BOOT_KEY_REVOKE1,
    esp32c3::SECURE_BOOT_KEY_REVOKE2,
    esp32c3::SECURE_BOOT_EN,
    esp32c3::SECURE_BOOT_AGGRESSIVE_REVOKE,
    esp32c3::DIS_DIRECT_BOOT,
    esp32c3::ENABLE_SECURITY_DOWNLOAD,
    esp32c3::UART_PRINT_CONTROL,
    esp32c3::SECURE_VERSION,
];

const PURPOSES: [KeyPurpose; 8] = [
    KeyPurpose::XTS_AES_128_KEY,
    KeyPurpose::HMAC_DOWN_ALL,
    KeyPurpose::HMAC_DOWN_JTAG,
    KeyPurpose::HMAC_DOWN_DIGITAL_SIGNATURE,
    KeyPurpose::HMAC_UP,
    KeyPurpose::SECURE_BOOT_DIGEST0,
    KeyPurpose::SECURE_BOOT_DIGEST1,
    KeyPurpose::USER,
];

/// A random plan, and the espefuse commands that say the same.
fn random_plan(random: &mut Generator, directory: &Path) -> (BurnSet, Vec<String>) {
    let mut set = BurnSet::new(CHIP);
    let mut commands = Vec::new();
    for index in 0..EfuseBlock::KEYS {
        let purpose = PURPOSES[random.below(PURPOSES.len())];
        if random.below(2) == 0 || (index == 5 && !purpose.is_allowed_in_key5()) {
            continue;
        }
        let mut key = [0; 32];
        random.fill(&mut key);
        let path = directory.join(format!("key{index}.bin"));
        std::fs::write(&path, key).unwrap();
        let mut protection = KeyProtection::of(purpose);
        let mut options = Vec::new();
        if protection.hidden && random.below(4) == 0 {
            protection.hidden = false;
            options.push("--no-read-protect".to_owned());
        }
        if random.below(4) == 0 {
            protection.frozen = false;
            options.push("--no-write-protect".to_owned());
        }
        let key = Secret::from_slice(&key).unwrap();
        set.key(EfuseBlock::key(index).unwrap(), purpose, &key, protection).unwrap();
        commands.push("burn-key".to_owned());
        commands.extend([format!("BLOCK_KEY{index}"), path.display().to_string(), purpose.to_string()]);
        commands.extend(options);
    }
    let mut fields = Vec::new();
    for field in &SETTINGS {
        if random.below(2) == 0 {
            continue;
        }
        let value = 1 + u32::try_from(random.below(field.all_ones() as usize)).unwrap();
        set.field(field, value).unwrap();
        fields.extend([field.name.to_owned(), value.to_string()]);
    }
    if !fields.is_empty() {
        commands.push("burn-efuse".to_owned());
        commands.extend(fields);
    }
    if random.below(2) == 0 {
        let field = SETTINGS[random.below(SETTINGS.len())];
        set.write_protect(&field).unwrap();
        commands.extend(["write-protect-efuse".to_owned(), field.name.to_owned()]);
    }
    (set, commands)
}

#[test]
fn the_same_burns_leave_the_same_file() {
    let mut random = Generator::seeded();
    for round in 0..12 {
        let directory = temp_dir();
        let (set, commands) = random_plan(&mut random, directory.path());
        if commands.is_empty() {
            continue;
        }
        let theirs = directory.path().join("theirs.bin");
        espefuse(&theirs, &commands).accepted();
        let ours = blank();
        ours.burn(&set).unwrap();
        let theirs = std::fs::read(theirs).unwrap();
        let difference = file_of(&ours).iter().zip(&theirs).position(|(a, b)| a != b);
        assert_eq!(difference, None, "round {round}, {commands:?}");
    }
}

#[test]
fn espefuse_reads_every_field_of_our_file_as_we_do() {
    let mut random = Generator::seeded();
    let directory = temp_dir();
    let (set, _) = random_plan(&mut random, directory.path());
    let ours = Efuses::fresh(CHIP, [0x58, 0xcf, 0x79, 1, 2, 3], Fault::default());
    ours.burn(&set).unwrap();
    ours.save(directory.path()).unwrap();

    let json = directory.path().join("summary.json");
    let commands = ["summary", "--format", "json", "--file"].map(String::from);
    let commands = [&commands[..], &[json.display().to_string()]].concat();
    espefuse(&directory.path().join(REGISTERS_FILE), &commands).accepted();
    let summary: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();

    let image = ours.image().unwrap();
    let map = EfuseMap::of(CHIP);
    let mut compared = 0;
    for (name, theirs) in summary.as_object().unwrap() {
        let Some(field) = map.field(name).filter(|field| field.len <= 32) else { continue };
        let number = |key: &str| theirs[key].as_u64().unwrap();
        assert_eq!(number("block"), u64::from(field.block.0), "{name}");
        assert_eq!(number("word") * 32 + number("pos"), u64::from(field.bit), "{name}");
        assert_eq!(number("bit_len"), u64::from(field.len), "{name}");
        let raw = theirs["raw_value"].as_str().unwrap().trim_start_matches("0x");
        assert_eq!(u32::from_str_radix(raw, 16).unwrap(), image.value(field), "{name}");
        compared += 1;
    }
    assert!(compared > 40, "{compared} fields");
    assert_eq!(summary["MAC"]["value"], "58:cf:79:01:02:03 (OK)");
    for index in 0..EfuseBlock::KEYS {
        let block = EfuseBlock::key(index).unwrap();
        let theirs = &summary[format!("BLOCK_KEY{index}")];
        let is_hidden = image.value(&esp32c3::RD_DIS) >> index & 1 == 1;
        assert_eq!(theirs["readable"], !is_hidden, "BLOCK_KEY{index}");
        let ours: String = image.block(block).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(theirs["raw_value"], format!("0x{ours}"), "BLOCK_KEY{index}");
    }
}

#[test]
fn espefuse_burns_on_where_we_stopped() {
    let directory = temp_dir();
    let file = directory.path().join(REGISTERS_FILE);
    let mut set = BurnSet::new(CHIP);
    let purpose = KeyPurpose::XTS_AES_128_KEY;
    let key = Secret::filled_by(|key| key.fill(0x77));
    set.key(EfuseBlock(4), purpose, &key, KeyProtection::of(purpose)).unwrap();
    let ours = blank();
    ours.burn(&set).unwrap();
    ours.save(directory.path()).unwrap();

    espefuse(&file, &words("burn-efuse SECURE_VERSION 7 DIS_PAD_JTAG 1 burn-bit BLOCK3 5 200")).accepted();
    let after = Efuses::load(CHIP, directory.path(), Fault::default()).unwrap();
    let mut more = BurnSet::new(CHIP);
    let mut bits = [0; 32];
    (bits[0], bits[25]) = (1 << 5, 1);
    more.field(&esp32c3::SECURE_VERSION, 7).unwrap().field(&esp32c3::DIS_PAD_JTAG, 1).unwrap();
    more.block(EfuseBlock(3), &bits).unwrap();
    ours.burn(&more).unwrap();
    let (after, ours) = (after.image().unwrap(), ours.image().unwrap());
    for block in (0..11).map(EfuseBlock) {
        assert_eq!(after.block(block), ours.block(block), "{block}");
    }
}

#[test]
fn both_refuse_the_same() {
    let directory = temp_dir();
    let file = directory.path().join("efuse.bin");
    let key_file = directory.path().join("key.bin");
    std::fs::write(&key_file, [0x42; 32]).unwrap();
    let key = Secret::filled_by(|key| key.fill(0x42));
    let path = key_file.display();
    let set = || BurnSet::new(CHIP);
    let ours = blank();

    // BLOCK_KEY5 cannot hold a flash encryption key.
    let purpose = KeyPurpose::XTS_AES_128_KEY;
    let refused = set().key(EfuseBlock(9), purpose, &key, KeyProtection::of(purpose)).err();
    assert_eq!(refused, Some(BurnError::QuirkOfKey5 { purpose }));
    let output = espefuse(&file, &words(&format!("burn-key BLOCK_KEY5 {path} XTS_AES_128_KEY"))).refused();
    assert!(output.contains("hardware bug"), "{output}");

    // A value that the field cannot hold.
    assert!(matches!(set().field(&esp32c3::SPI_BOOT_CRYPT_CNT, 8), Err(BurnError::DoesNotFit { .. })));
    espefuse(&file, &words("burn-efuse SPI_BOOT_CRYPT_CNT 8")).refused();

    // A coded block is burned once.
    let mut first = set();
    first.key(EfuseBlock(4), KeyPurpose::USER, &key, KeyProtection { hidden: false, frozen: false }).unwrap();
    ours.burn(&first).unwrap();
    espefuse(&file, &words(&format!("burn-key BLOCK_KEY0 {path} USER --no-write-protect"))).accepted();
    let mut second = set();
    second.block(EfuseBlock(4), &[0x43; 32]).unwrap();
    assert_eq!(ours.burn(&second), Err(BurnError::AlreadyBurned { block: EfuseBlock(4) }));
    espefuse(&file, &words("burn-bit BLOCK4 0 2")).refused();

    // What is frozen stays as it is.
    let mut freeze = set();
    freeze.write_protect(&esp32c3::DIS_PAD_JTAG).unwrap();
    ours.burn(&freeze).unwrap();
    espefuse(&file, &words("write-protect-efuse DIS_PAD_JTAG")).accepted();
    let mut frozen = set();
    frozen.field(&esp32c3::DIS_USB_JTAG, 1).unwrap();
    assert_eq!(ours.burn(&frozen), Err(BurnError::WriteProtected { block: EfuseBlock(0) }));
    espefuse(&file, &words("burn-efuse DIS_USB_JTAG 1")).refused();

    assert_eq!(file_of(&ours), std::fs::read(&file).unwrap());
}
