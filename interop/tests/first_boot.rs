//! First boots against Espressif's tools: the flash that the chip encrypts in place is what espsecure makes of the same
//! plaintext and key, espefuse reads the eFuses that were burned, and what espsecure signed is believed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]

mod bench;

use bench::Bench;
use cotter_chip::board::VirtualChip;
use cotter_chip::efuse::{CELLS_FILE, REGISTERS_FILE};
use cotter_chip::second_stage::{
    FlashEncryption, FlashEncryptionMode, FlashKeyKind, SecondStage, SecureBoot, SecureBootV1, SecureBootV2,
};
use cotter_formats::addr::{FlashAddr, FlashLen};
use cotter_formats::chip::Chip;
use cotter_formats::partition::{DEFAULT_OFFSET, Label, Partition, PartitionFlags, PartitionType, Subtype, build};
use cotter_formats::secure_boot::v1::VerifyingKey;
use cotter_interop::{Generator, temp_dir, tools};
use sha2::{Digest, Sha256};
use std::path::Path;

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/");

fn vector(name: &str) -> Vec<u8> {
    std::fs::read(format!("{VECTORS}{name}")).unwrap()
}

fn partition(label: &str, kind: PartitionType, subtype: Subtype, offset: u32, size: u32) -> Partition {
    let (offset, size) = (FlashAddr(offset), FlashLen(size));
    Partition { label: Label::new(label).unwrap(), kind, subtype, offset, size, flags: PartitionFlags::NONE }
}

/// An image by hand with random content, so many times 16 bytes.
fn image(chip: Chip, units: usize, random: &mut Generator) -> Vec<u8> {
    let len = u32::try_from(16 * units).unwrap();
    let mut segment = random.bytes(len as usize);
    segment[..4].copy_from_slice(&0xabcd_5432_u32.to_le_bytes());
    segment[4..256].fill(0);
    let id = chip.image_chip_id().to_le_bytes();
    let mut image = vec![0xe9, 1, 2, 0x2f];
    image.extend(0x4038_0000_u32.to_le_bytes());
    image.extend([0xee, 0, 0, 0, id[0], id[1], 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 1]);
    image.extend(0x3c00_0020_u32.to_le_bytes());
    image.extend(len.to_le_bytes());
    let checksum = segment.iter().fold(0xef, |sum, byte| sum ^ byte);
    image.extend(segment);
    image.resize((image.len() | 15) + 1, 0);
    *image.last_mut().unwrap() = checksum;
    image.extend(Sha256::digest(&image));
    image
}

struct Product {
    board: VirtualChip,
    boot: Vec<u8>,
    app: Vec<u8>,
    table: Vec<u8>,
    secret: Vec<u8>,
}

const APP: u32 = 0x1_0000;
const SECRET: u32 = 0x4_0000;

impl Product {
    fn new(chip: Chip, config: SecondStage, boot: Vec<u8>, app: Vec<u8>, random: &mut Generator) -> Self {
        let board = VirtualChip::new(chip, [2; 6]).unwrap().with_second_stage(config).unwrap();
        let secret = partition("secret", PartitionType::DATA, Subtype(0x06), SECRET, 0x2000);
        let rows = [
            partition("factory", PartitionType::APP, Subtype::APP_FACTORY, APP, 0x3_0000),
            Partition { flags: PartitionFlags::ENCRYPTED, ..secret },
        ];
        let product = Self { board, boot, app, table: build(&rows).unwrap().to_vec(), secret: random.bytes(0x2000) };
        let flash = product.board.raw_flash();
        for (at, bytes) in product.pieces() {
            flash.overwrite_externally(FlashAddr(at), bytes).unwrap();
        }
        product
    }

    fn pieces(&self) -> [(u32, &[u8]); 4] {
        let boot = self.board.chip().bootloader_offset().0;
        [(boot, &self.boot), (DEFAULT_OFFSET.0, &self.table), (APP, &self.app), (SECRET, &self.secret)]
    }

    /// Encrypts each piece, filled up to whole sectors, with espsecure, and compares with the flash.
    fn is_as_espsecure_encrypts(&self, key_file: &[u8], directory: &Path) {
        let chip = self.board.chip();
        let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
        std::fs::write(path("key"), key_file).unwrap();
        let flash = self.board.external_readout();
        for (at, bytes) in self.pieces() {
            let mut sectors = bytes.to_vec();
            sectors.resize(bytes.len().next_multiple_of(0x1000), 0xff);
            std::fs::write(path("plain"), &sectors).unwrap();
            let (key, address, plain, cipher) = (path("key"), format!("{at:#x}"), path("plain"), path("cipher"));
            let mut arguments = vec!["encrypt-flash-data", "-k", &key, "-a", &address, "-o", &cipher];
            if chip != Chip::Esp32 {
                arguments.push("--aes-xts");
            }
            arguments.push(&plain);
            tools().espsecure(arguments).accepted();
            let theirs = std::fs::read(&cipher).unwrap();
            assert!(flash[at as usize..][..theirs.len()] == theirs, "{chip}: {} bytes at {at:#x}", theirs.len());
        }
    }

    /// A block as it was burned, read by software or not, in reverse: espsecure's key file.
    fn key_file(&self, blocks: &[usize], len: usize, directory: &Path) -> Vec<u8> {
        self.board.efuses().save(directory).unwrap();
        let cells = std::fs::read(directory.join(CELLS_FILE)).unwrap();
        let key = |block: &usize| cells[block * 44..][..len].iter().rev().copied().collect::<Vec<u8>>();
        blocks.iter().flat_map(key).collect()
    }

    fn summary(&self, directory: &Path) -> serde_json::Value {
        let chip = self.board.chip().name();
        let file = directory.join(REGISTERS_FILE);
        let file = file.to_str().unwrap();
        let arguments = ["--chip", chip, "--virt", "--path-efuse-file", file, "summary", "--format", "json"];
        let run = tools().espefuse(arguments).accepted();
        let json = run.find('{').map(|at| run[at..].to_owned()).unwrap();
        serde_json::Deserializer::from_str(&json).into_iter().next().unwrap().unwrap()
    }
}

#[test]
fn espsecure_makes_the_same_flash_of_the_key_that_the_chip_generated() {
    let mut random = Generator::seeded();
    use FlashKeyKind::{Aes128, Aes128Derived, Aes256};
    let kinds: [(Chip, FlashKeyKind, &[usize], usize); 8] = [
        (Chip::Esp32, Aes128, &[1], 32),
        (Chip::Esp32S2, Aes256, &[4, 5], 32),
        (Chip::Esp32S3, Aes256, &[4, 5], 32),
        (Chip::Esp32C2, Aes128, &[3], 32),
        (Chip::Esp32C2, Aes128Derived, &[3], 16),
        (Chip::Esp32C3, Aes128, &[4], 32),
        (Chip::Esp32C6, Aes128, &[4], 32),
        (Chip::Esp32H2, Aes128, &[4], 32),
    ];
    for (chip, kind, blocks, len) in kinds {
        let directory = temp_dir();
        let encryption = FlashEncryption::new(FlashEncryptionMode::Release, kind);
        let config = SecondStage { flash_encryption: Some(encryption), ..SecondStage::default() };
        let (boot_units, app_units) = (random.between(0x40, 0x240), random.between(0x40, 0x640));
        let boot = image(chip, boot_units, &mut random);
        let app = image(chip, app_units, &mut random);
        let product = Product::new(chip, config, boot, app, &mut random);
        let report = product.board.power_on();
        assert!(report.booted().is_some(), "{chip}: {:#?}", report.lines);
        let key_file = product.key_file(blocks, len, directory.path());
        product.is_as_espsecure_encrypts(&key_file, directory.path());

        let summary = product.summary(directory.path());
        let (counter, block) = match chip {
            Chip::Esp32 => ("FLASH_CRYPT_CNT", "BLOCK1"),
            Chip::Esp32C2 => ("SPI_BOOT_CRYPT_CNT", "BLOCK_KEY0_LOW_128"),
            _ => ("SPI_BOOT_CRYPT_CNT", "BLOCK_KEY0"),
        };
        assert!(
            summary[counter]["value"] != "Disable" && summary[counter]["value"] != 0,
            "{chip}: {}",
            summary[counter]
        );
        assert_eq!(summary[block]["readable"], false, "{chip}: {}", summary[block]);
    }
}

#[test]
fn a_key_that_espefuse_burned_is_used() {
    let mut random = Generator::seeded();
    let directory = temp_dir();
    let chip = Chip::Esp32C3;
    let encryption = FlashEncryption::new(FlashEncryptionMode::Development, FlashKeyKind::Aes128);
    let config = SecondStage { flash_encryption: Some(encryption), ..SecondStage::default() };
    let (boot, app) = (vector("image/esp32c3-bootloader.bin"), vector("image/esp32c3.bin"));
    let product = Product::new(chip, config, boot, app, &mut random);

    let key_file = random.bytes(32);
    let key_path = directory.path().join("flash.key");
    std::fs::write(&key_path, &key_file).unwrap();
    let mut bench = Bench::on_a_socket(&product.board);
    bench.espefuse(&format!("burn-key BLOCK_KEY0 {} XTS_AES_128_KEY", key_path.display())).accepted();
    bench.stop();
    let report = product.board.power_on();
    assert!(report.booted().is_some(), "{:#?}", report.lines);
    assert!(report.lines.iter().any(|line| line == "flash_encrypt: Using pre-loaded flash encryption key in efuse"));
    product.is_as_espsecure_encrypts(&key_file, directory.path());
}

#[test]
fn espsecure_makes_the_same_digest_of_the_boot_key_that_the_chip_generated() {
    let mut random = Generator::seeded();
    let directory = temp_dir();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let signing_key = format!("{VECTORS}keys/ecdsa_p256.pem");

    // An application that espsecure signs, for the key that is compiled in.
    let units = random.between(0x40, 0x240);
    std::fs::write(path("app"), image(Chip::Esp32, units, &mut random)).unwrap();
    tools().espsecure(["sign-data", "-v", "1", "-k", &signing_key, "-o", &path("signed"), &path("app")]).accepted();
    tools().espsecure(["extract-public-key", "-v", "1", "-k", &signing_key, &path("public")]).accepted();
    let public = std::fs::read(path("public")).unwrap();
    let verification_key = VerifyingKey::from_raw(&public.try_into().unwrap()).unwrap();

    let config =
        SecondStage { secure_boot: SecureBoot::V1(SecureBootV1 { verification_key }), ..SecondStage::default() };
    let boot = vector("image/esp32-bootloader.bin");
    let product = Product::new(Chip::Esp32, config, boot.clone(), std::fs::read(path("signed")).unwrap(), &mut random);
    let report = product.board.power_on();
    assert!(report.booted().is_some_and(|booted| booted.is_verified), "{:#?}", report.lines);

    let flash = product.board.external_readout();
    std::fs::write(path("key"), product.key_file(&[2], 32, directory.path())).unwrap();
    std::fs::write(path("iv"), &flash[..128]).unwrap();
    std::fs::write(path("boot"), boot).unwrap();
    let arguments =
        ["digest-secure-bootloader", "-k", &path("key"), "--iv", &path("iv"), "-o", &path("digested"), &path("boot")];
    tools().espsecure(arguments).accepted();
    let theirs = std::fs::read(path("digested")).unwrap();
    assert!(flash[..192] == theirs[..192], "IV and digest");
    let again = product.board.power_on();
    assert!(again.booted().is_some(), "{:#?}", again.lines);
}

#[test]
fn espefuse_finds_the_digest_of_the_key_that_espsecure_signed_with() {
    let mut random = Generator::seeded();
    let directory = temp_dir();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let signing_key = format!("{VECTORS}keys/rsa3072_a.pem");
    let sign = |name: &str, bytes: &[u8]| {
        std::fs::write(path(name), bytes).unwrap();
        let signed = path(&format!("{name}.signed"));
        tools().espsecure(["sign-data", "-v", "2", "-k", &signing_key, "-o", &signed, &path(name)]).accepted();
        std::fs::read(signed).unwrap()
    };
    let digest = path("digest");
    tools().espsecure(["digest-sbv2-public-key", "-k", &signing_key, "-o", &digest]).accepted();
    let digest = std::fs::read(digest).unwrap();
    for chip in [Chip::Esp32, Chip::Esp32S3, Chip::Esp32C3, Chip::Esp32C6] {
        let boot = sign("boot", &image(chip, 0x140, &mut random));
        let app = sign("app", &image(chip, 0x180, &mut random));
        let config = SecondStage { secure_boot: SecureBoot::V2(SecureBootV2::default()), ..SecondStage::default() };
        let product = Product::new(chip, config, boot, app, &mut random);
        let report = product.board.power_on();
        assert!(report.booted().is_some_and(|booted| booted.is_verified), "{chip}: {:#?}", report.lines);
        product.board.efuses().save(directory.path()).unwrap();
        let summary = product.summary(directory.path());
        let block = if chip == Chip::Esp32 { "BLOCK2" } else { "BLOCK_KEY0" };
        let hex = digest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
        assert_eq!(summary[block]["value"], hex, "{chip}");
        assert_eq!(summary[block]["writeable"], false, "{chip}");
    }
}
