//! First boots of every chip: what is burned, what is encrypted, and what a power cut leaves.

mod flash_encryption;
mod nvs_keys;
mod secure_boot_v1;
mod secure_boot_v2;

use crate::board::VirtualChip;
use crate::crypt::TransparentFlash;
use crate::efuse::Efuses;
use crate::entropy::Entropy;
use crate::fault::{Fault, Phase};
use crate::fixtures::{own_public, signed_by_us};
use crate::flash::Flash;
use crate::power_cuts::{Aftermath, Cut, survey};
use crate::report::{BootReport, Remedy};
use crate::second_stage::*;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use cotter_formats::addr::{FlashAddr, FlashLen};
use cotter_formats::chip::Chip;
use cotter_formats::efuse::{EfuseBlock, KeyPurpose};
use cotter_formats::flash_encryption::extent::{ExtentContent, extents};
use cotter_formats::flash_encryption::key::{FlashKey, KeyHolder};
use cotter_formats::partition::{
    DEFAULT_OFFSET, Label, Partition, PartitionFlags, PartitionTable, PartitionType, Subtype, build,
};
use cotter_formats::secure_boot::v2::{
    ContentDigests, Curve, EcdsaPublicKey, PublicKey, Scheme, Support, append_block, content_padded_len, support,
};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Chips that have a virtual board.
const CHIPS: [Chip; 10] = [
    Chip::Esp32,
    Chip::Esp32S2,
    Chip::Esp32S3,
    Chip::Esp32C2,
    Chip::Esp32C3,
    Chip::Esp32C5,
    Chip::Esp32C6,
    Chip::Esp32C61,
    Chip::Esp32H2,
    Chip::Esp32P4,
];

const SLOTS: [u32; 2] = [0x1_0000, 0x2_0000];
const OTADATA: u32 = 0xd000;
const NVS_KEYS: u32 = 0xf000;
const SECRET: u32 = 0x3_0000;
const OPEN: u32 = 0x3_1000;
const FLASH: u32 = 0x3_2000;

static ECDSA: LazyLock<EcdsaKeyPair> =
    LazyLock::new(|| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap());

fn partition(label: &str, kind: PartitionType, subtype: Subtype, offset: u32, size: u32) -> Partition {
    let (offset, size) = (FlashAddr(offset), FlashLen(size));
    Partition { label: Label::new(label).unwrap(), kind, subtype, offset, size, flags: PartitionFlags::NONE }
}

fn table() -> Vec<u8> {
    let data = PartitionType::DATA;
    let secret = partition("secret", data, Subtype(0x06), SECRET, 0x1000);
    let rows = [
        partition("nvs", data, Subtype::DATA_NVS, 0x9000, 0x3000),
        partition("otadata", data, Subtype::DATA_OTA, OTADATA, 0x2000),
        partition("nvs_keys", data, Subtype::DATA_NVS_KEYS, NVS_KEYS, 0x1000),
        partition("ota_0", PartitionType::APP, Subtype::APP_OTA_0, SLOTS[0], 0x1_0000),
        partition("ota_1", PartitionType::APP, Subtype::APP_OTA_1, SLOTS[1], 0x1_0000),
        Partition { flags: PartitionFlags::ENCRYPTED, ..secret },
        partition("open", data, Subtype(0x06), OPEN, 0x1000),
    ];
    build(&rows).unwrap().to_vec()
}

/// An image by hand: one segment, which begins with a descriptor.
fn image(chip: Chip, fill: u8) -> Vec<u8> {
    let mut segment = vec![fill; 256 + 0x400];
    segment[..4].copy_from_slice(&0xabcd_5432_u32.to_le_bytes());
    segment[4..256].fill(0);
    segment[16..21].copy_from_slice(b"1.0.0");
    let mut image = vec![0xe9, 1, 2, 0x2f];
    image.extend(0x4038_0000_u32.to_le_bytes());
    let id = chip.image_chip_id().to_le_bytes();
    image.extend([0xee, 0, 0, 0, id[0], id[1], 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 1]);
    image.extend(0x3c00_0020_u32.to_le_bytes());
    image.extend(u32::try_from(segment.len()).unwrap().to_le_bytes());
    let checksum = segment.iter().fold(0xef, |sum, byte| sum ^ byte);
    image.extend(segment);
    image.resize((image.len() | 15) + 1, 0);
    *image.last_mut().unwrap() = checksum;
    image.extend(Sha256::digest(&image));
    image
}

/// Signed for Secure Boot V2 with a key of ours, in a scheme that the chip knows.
fn signed(chip: Chip, image: &[u8]) -> Vec<u8> {
    if support(chip, Scheme::Rsa3072) != Support::No {
        return signed_by_us(image);
    }
    let mut content = image.to_vec();
    content.resize(content_padded_len(image.len()), 0xff);
    let signature = ECDSA.sign(&SystemRandom::new(), &content).unwrap();
    let key = EcdsaPublicKey::from_sec1(Curve::P256, ECDSA.public_key().as_ref()).unwrap();
    let block = PublicKey::Ecdsa(key).block(&ContentDigests::of(&content), signature.as_ref()).unwrap();
    append_block(image, &block)
}

fn key_digest(chip: Chip) -> [u8; 32] {
    if support(chip, Scheme::Rsa3072) != Support::No {
        return own_public().key_digest().unwrap();
    }
    EcdsaPublicKey::from_sec1(Curve::P256, ECDSA.public_key().as_ref()).unwrap().key_digest()
}

/// A flashed board: second stage, table, one application, data that is marked encrypted and data that is not.
fn board(chip: Chip, config: &SecondStage) -> VirtualChip {
    let fault = Fault::new(7);
    let efuses = Efuses::fresh(chip, [2, 0, 0, 0, 0, 1], fault.clone());
    let flash = Flash::erased(FlashLen(FLASH), fault.clone()).unwrap();
    let is_signed = matches!(config.secure_boot, SecureBoot::V2(_));
    let put = |at: u32, content: &[u8]| flash.overwrite_externally(FlashAddr(at), content).unwrap();
    let finished = |image: Vec<u8>| if is_signed { signed(chip, &image) } else { image };
    put(chip.bootloader_offset().0, &finished(image(chip, 0xb0)));
    put(DEFAULT_OFFSET.0, &table());
    put(SLOTS[0], &finished(image(chip, 0xa0)));
    put(SECRET, b"a secret of the product");
    put(OPEN, b"no secret at all");
    let board = VirtualChip::from_parts(flash, efuses, fault).with_entropy(Entropy::known(11));
    board.with_second_stage(config.clone()).unwrap()
}

fn encrypting(mode: FlashEncryptionMode, key: FlashKeyKind) -> SecondStage {
    SecondStage { flash_encryption: Some(FlashEncryption::new(mode, key)), ..SecondStage::default() }
}

/// What the chip would decrypt with, from the cells that software cannot read, as espsecure's key file.
fn key_file(board: &VirtualChip) -> Vec<u8> {
    let efuses = board.efuses();
    let reversed = |bytes: &[u8]| bytes.iter().rev().copied().collect::<Vec<u8>>();
    match board.chip() {
        Chip::Esp32 => reversed(efuses.hardware_block(EfuseBlock(1)).expose()),
        Chip::Esp32C2 => {
            let is_whole = efuses.image().unwrap().value_named("XTS_KEY_LENGTH_256") == Some(1);
            reversed(&efuses.hardware_block(EfuseBlock(3)).expose()[..if is_whole { 32 } else { 16 }])
        }
        _ => {
            let key = |purpose| efuses.hardware_key(purpose).map(|key| reversed(key.expose()));
            match key(KeyPurpose::XTS_AES_128_KEY) {
                Some(key) => key,
                None => {
                    [KeyPurpose::XTS_AES_256_KEY_1, KeyPurpose::XTS_AES_256_KEY_2].map(|p| key(p).unwrap()).concat()
                }
            }
        }
    }
}

/// The plain flash as our host-side encryption makes it, for the same key.
fn encrypted_by_host(chip: Chip, plain: &[u8], key_file: &[u8]) -> Vec<u8> {
    let key = FlashKey::for_chip(chip, KeyHolder::Efuse, None, key_file).unwrap();
    let at = DEFAULT_OFFSET.0 as usize;
    let table = PartitionTable::parse(&plain[at..at + 0xc00]).unwrap();
    let mut flash = plain.to_vec();
    for extent in extents(chip, DEFAULT_OFFSET, &table, plain).unwrap() {
        assert!(extent.content != ExtentContent::Plain || extent.encrypted == 0);
        key.encrypt(extent.address, &mut flash[extent.range()]).unwrap();
    }
    flash
}

/// The flash is what the host makes of `plain`, with the otadata of this boot: it is written before anything is encrypted.
fn holds_what_the_host_would_make(board: &VirtualChip, mut plain: Vec<u8>, context: &str) {
    let mut otadata = vec![0; 0x2000];
    view(board).read_at(FlashAddr(OTADATA), &mut otadata).unwrap();
    plain[OTADATA as usize..][..0x2000].copy_from_slice(&otadata);
    let expected = encrypted_by_host(board.chip(), &plain, &key_file(board));
    assert!(board.external_readout() == expected, "{context}: differs from the host's encryption");
}

fn contains_in_order(report: &BootReport, expected: &[&str]) {
    let mut lines = report.lines.iter();
    for line in expected {
        assert!(lines.any(|found| found == line), "{line:?} is not there, or not in order: {:#?}", report.lines);
    }
}

fn ended_well(board: &VirtualChip, context: &str) -> BootReport {
    let report = board.power_on();
    assert!(report.booted().is_some(), "{context}: {:#?}", report.lines);
    report
}

/// Counts of what becomes of the chip, by what was being done.
fn table_of(cuts: &[Cut]) -> BTreeMap<(&'static str, &'static str), u32> {
    let mut counts = BTreeMap::new();
    for cut in cuts {
        let doing = if cut.doing.contains("eFuse") {
            "burning"
        } else if cut.doing.contains("encrypting") {
            "encrypting"
        } else {
            "writing"
        };
        let aftermath = match cut.aftermath {
            Aftermath::ComesBack if cut.missing.is_empty() => "comes back",
            Aftermath::ComesBack => "comes back with less",
            Aftermath::Stays(Remedy::Reflash) => "needs plaintext again",
            Aftermath::Stays(Remedy::FinishEfuses) => "needs espefuse",
            Aftermath::Stays(Remedy::OtherKeyBlock) => "needs another key block",
            Aftermath::Stays(Remedy::None) => "is lost",
        };
        *counts.entry((doing, aftermath)).or_insert(0) += 1;
    }
    counts
}

fn print_table(name: &str, cuts: &[Cut]) {
    let list: Vec<String> =
        table_of(cuts).into_iter().map(|((doing, aftermath), count)| format!("{doing}: {count} {aftermath}")).collect();
    println!("{name}: {} power cuts; {}", cuts.len(), list.join(", "));
}

fn view(board: &VirtualChip) -> TransparentFlash {
    board.transparent_flash()
}

const PHASES: usize = Phase::ALL.len();
