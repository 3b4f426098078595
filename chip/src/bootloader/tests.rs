//! The second stage on whole boards: every refusal, the life of an update, and power cuts in all of it.

use crate::board::VirtualChip;
use crate::efuse::{BurnSet, Efuses, KeyProtection};
use crate::fault::{CutPoint, Fault, Phase};
use crate::fixtures::{FLASH_KEY, encrypted_for, own_public, signed_by_us};
use crate::flash::Flash;
use crate::report::{AppSlot, RefusalCode};
use crate::second_stage::{SecondStage, SecureBoot};
use cotter_formats::addr::{FlashAddr, FlashLen, SECTOR};
use cotter_formats::chip::Chip;
use cotter_formats::crc::crc_b;
use cotter_formats::efuse::esp32c3::*;
use cotter_formats::efuse::{EfuseBlock, Field, KeyPurpose, unary};
use cotter_formats::otadata::{OtaEntry, OtaState, build_partition, parse_partition};
use cotter_formats::partition::{Label, Partition, PartitionFlags, PartitionType, Subtype, build};
use cotter_formats::secret::Secret;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

// Signed by espsecure 5.6.0, see vectors/sbv2.
const BOOTLOADER: &[u8] = include_bytes!("../../../vectors/sbv2/signed-rsa3072_a.bin");
const GOLDEN_APP: &[u8] = include_bytes!("../../../vectors/sbv2/app-esp32c3-signed-rsa_a.bin");
const DIGEST_A: &[u8] = include_bytes!("../../../vectors/sbv2/digest-rsa3072_a.bin");
// Written by otatool, see vectors/otadata.
const SELECTS_OTA_1: &[u8] = include_bytes!("../../../vectors/otadata/otadata-2-slot1.bin");

const OTADATA: u32 = 0xd000;
const SLOTS: [u32; 2] = [0x2_0000, 0x5_0000];
const SLOT_LEN: u32 = 0x3_0000;
const OTA_0: AppSlot = AppSlot::Ota(0);
const OTA_1: AppSlot = AppSlot::Ota(1);

fn partition(label: &str, kind: PartitionType, subtype: Subtype, offset: u32, size: u32) -> Partition {
    let (offset, size) = (FlashAddr(offset), FlashLen(size));
    Partition { label: Label::new(label).unwrap(), kind, subtype, offset, size, flags: PartitionFlags::NONE }
}

fn table() -> Vec<u8> {
    let rows = [
        partition("otadata", PartitionType::DATA, Subtype::DATA_OTA, OTADATA, 0x2000),
        partition("ota_0", PartitionType::APP, Subtype::APP_OTA_0, SLOTS[0], SLOT_LEN),
        partition("ota_1", PartitionType::APP, Subtype::APP_OTA_1, SLOTS[1], SLOT_LEN),
    ];
    build(&rows).unwrap().to_vec()
}

/// An application by hand: one segment with descriptor and version, checksum, SHA-256.
fn app(version: &str, secure_version: u32) -> Vec<u8> {
    let mut descriptor = [0; 256 + 64];
    descriptor[..4].copy_from_slice(&0xabcd_5432_u32.to_le_bytes());
    descriptor[4..8].copy_from_slice(&secure_version.to_le_bytes());
    descriptor[16..16 + version.len()].copy_from_slice(version.as_bytes());
    descriptor[48..58].copy_from_slice(b"cotter-app");
    descriptor[256..].fill(0xc0);
    let mut image = vec![0xe9, 1, 2, 0x2f];
    image.extend(0x4038_0000_u32.to_le_bytes());
    image.extend([0xee, 0, 0, 0, 5, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 1]);
    image.extend(0x3c00_0020_u32.to_le_bytes());
    image.extend(320_u32.to_le_bytes());
    image.extend(descriptor);
    finished(image)
}

/// Adds checksum and SHA-256 to header and segments.
fn finished(mut image: Vec<u8>) -> Vec<u8> {
    let checksum = image[32..].iter().fold(0xef, |sum, byte| sum ^ byte);
    image.resize((image.len() | 15) + 1, 0);
    *image.last_mut().unwrap() = checksum;
    image.extend(Sha256::digest(&image));
    image
}

/// A change before checksum and digest are made, so that they hold.
fn changed_app(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut image = app("1.0.0", 0);
    image.truncate(32 + 320);
    change(&mut image);
    finished(image)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Protection {
    None,
    SecureBoot,
    SecureBootAndEncryption,
}

struct Bench {
    board: VirtualChip,
    protection: Protection,
}

impl Bench {
    fn new(protection: Protection) -> Self {
        Self::seeded(protection, 9)
    }

    /// The seed decides what torn operations leave behind.
    fn seeded(protection: Protection, seed: u64) -> Self {
        let fault = Fault::new(seed);
        let efuses = Efuses::fresh(Chip::Esp32C3, [2, 0, 0, 0, 0, 1], fault.clone());
        let flash = Flash::erased(FlashLen(SLOTS[1] + SLOT_LEN), fault.clone()).unwrap();
        let bench = Self { board: VirtualChip::from_parts(flash, efuses, fault), protection };
        if protection != Protection::None {
            bench.key(0, KeyPurpose::SECURE_BOOT_DIGEST0, DIGEST_A);
            bench.key(1, KeyPurpose::SECURE_BOOT_DIGEST1, &own_public().key_digest().unwrap());
            bench.burn(&SECURE_BOOT_EN, 1);
        }
        if protection == Protection::SecureBootAndEncryption {
            bench.key(2, KeyPurpose::XTS_AES_128_KEY, FLASH_KEY);
            bench.burn(&SPI_BOOT_CRYPT_CNT, 7);
        }
        bench.put(0, BOOTLOADER);
        bench.put(0x8000, &table());
        bench
    }

    fn key(&self, block: u8, purpose: KeyPurpose, key: &[u8]) {
        let mut set = BurnSet::new(Chip::Esp32C3);
        let key = Secret::from_slice(key).unwrap();
        set.key(EfuseBlock::key(block).unwrap(), purpose, &key, KeyProtection::of(purpose)).unwrap();
        self.board.efuses().burn(&set).unwrap();
    }

    fn burn(&self, field: &Field, value: u32) {
        let mut set = BurnSet::new(Chip::Esp32C3);
        set.field(field, value).unwrap();
        self.board.efuses().burn(&set).unwrap();
    }

    /// Puts content into flash from outside, encrypted if the chip expects it.
    fn put(&self, at: u32, content: &[u8]) {
        let encrypted = self.protection == Protection::SecureBootAndEncryption;
        let content = if encrypted { encrypted_for(at, content) } else { content.to_vec() };
        self.board.raw_flash().overwrite_externally(FlashAddr(at), &content).unwrap();
    }

    /// An application in a slot, signed if it has to be.
    fn with_app(self, slot: usize, image: &[u8]) -> Self {
        let image = if self.protection == Protection::None { image.to_vec() } else { signed_by_us(image) };
        self.put(SLOTS[slot], &image);
        self
    }

    fn with_otadata(self, entries: [OtaEntry; 2]) -> Self {
        self.put(OTADATA, &build_partition(&entries));
        self
    }

    fn otadata(&self) -> [OtaEntry; 2] {
        let mut bytes = [0; 2 * SECTOR as usize];
        self.board.transparent_flash().read_at(FlashAddr(OTADATA), &mut bytes).unwrap();
        parse_partition(&bytes).unwrap()
    }

    fn secure_version(&self) -> u32 {
        unary::count(self.board.efuses().image().unwrap().value(&SECURE_VERSION))
    }

    fn slot(&self) -> Result<AppSlot, RefusalCode> {
        let report = self.board.power_on();
        report.booted().map(|booted| booted.slot).ok_or_else(|| report.refusal().unwrap())
    }

    /// What the application does to keep itself: its entry becomes VALID.
    fn confirm(&self, index: usize) {
        let entry = self.otadata()[index];
        self.put(
            OTADATA + SECTOR * u32::try_from(index).unwrap(),
            &OtaEntry { state: OtaState::VALID, ..entry }.encode(),
        );
    }
}

const ALL: [Protection; 3] = [Protection::None, Protection::SecureBoot, Protection::SecureBootAndEncryption];

#[test]
fn boots_what_espsecure_signed_and_otatool_selected() {
    for protection in ALL {
        let bench = Bench::new(protection);
        bench.put(SLOTS[1], GOLDEN_APP);
        bench.put(OTADATA, SELECTS_OTA_1);
        let report = bench.board.power_on();
        let booted = report.booted().unwrap_or_else(|| panic!("{protection:?}: {report:#?}"));
        assert_eq!((booted.slot, booted.offset.0), (OTA_1, SLOTS[1]));
        assert_eq!((booted.version.as_str(), booted.project_name.as_str()), ("v1.2.3-golden", "golden_esp32c3"));
        assert_eq!((booted.secure_version, booted.state), (3, Some(OtaState::UNDEFINED)));
        assert_eq!(booted.is_verified, protection != Protection::None);
        assert_eq!(report.lines.last().unwrap(), "boot: Loaded app from partition at offset 0x50000");
    }
}

#[test]
fn refuses_an_application_for_each_reason() {
    use Protection::{None, SecureBoot};
    type Case = (&'static str, Protection, Vec<u8>, RefusalCode);
    let signed = signed_by_us(&app("1.0.0", 0));
    let in_block = |at: usize| {
        let mut image = signed.clone();
        image[4096 + at] ^= 1;
        let crc = crc_b(&image[4096..4096 + 1196]);
        image[4096 + 1196..4096 + 1200].copy_from_slice(&crc.to_le_bytes());
        image
    };
    let flipped = |image: &[u8], at: usize| {
        let mut image = image.to_vec();
        image[at] ^= 1;
        image
    };
    let plain = app("1.0.0", 0);
    let cases: Vec<Case> = vec![
        ("empty", None, vec![0xff; 64], RefusalCode::InvalidHeader),
        ("chip", None, changed_app(|image| image[12] = 0), RefusalCode::WrongChip),
        ("min revision", None, changed_app(|image| image[15] = 5), RefusalCode::WrongRevision),
        ("max revision", None, changed_app(|image| image[17..19].copy_from_slice(&[3, 0])), RefusalCode::WrongRevision),
        ("segments", None, changed_app(|image| image[1] = 17), RefusalCode::TooManySegments),
        ("length", None, changed_app(|image| image[30] = 3), RefusalCode::MalformedImage),
        ("descriptor", None, changed_app(|image| image[32] = 0), RefusalCode::DescriptorMissing),
        ("body", None, flipped(&plain, 300), RefusalCode::ChecksumMismatch),
        ("hash", None, flipped(&plain, plain.len() - 1), RefusalCode::HashMismatch),
        ("unsigned", SecureBoot, plain.clone(), RefusalCode::Unsigned),
        ("signed body", SecureBoot, flipped(&signed, 300), RefusalCode::ChecksumMismatch),
        ("version text", SecureBoot, flipped(&flipped(&signed, 0x40), 0x41), RefusalCode::SignedDigestMismatch),
        ("padding", SecureBoot, flipped(&signed, 4095), RefusalCode::SignedDigestMismatch),
        ("block", SecureBoot, flipped(&signed, 4096 + 100), RefusalCode::SignatureBlockInvalid),
        ("digest in block", SecureBoot, in_block(4), RefusalCode::SignedDigestMismatch),
        ("key in block", SecureBoot, in_block(36), RefusalCode::UntrustedKey),
        ("signature in block", SecureBoot, in_block(900), RefusalCode::BadSignature),
    ];
    for (case, protection, image, code) in cases {
        let bench = Bench::new(protection).with_app(1, &app("1.0.0", 0));
        bench.put(SLOTS[0], &image);
        let bench = bench.with_otadata([OtaEntry::new(1, OtaState::VALID), OtaEntry::ERASED]);
        let report = bench.board.power_on();
        assert_eq!(report.slot_refusal(OTA_0), Some(code), "{case}: {report:#?}");
        assert_eq!(report.booted().map(|booted| booted.slot), Some(OTA_1), "{case}: the other slot boots");
        assert!(report.lines.contains(&"boot: OTA app partition slot 0 is not bootable".to_owned()), "{case}");

        bench.put(SLOTS[1], &[0xff; 64]);
        assert_eq!(bench.slot(), Err(RefusalCode::NoBootableApp), "{case}: alone");
    }
}

#[test]
fn a_revoked_key_no_longer_boots_an_application() {
    let bench = Bench::new(Protection::SecureBoot).with_app(0, &app("1.0.0", 0));
    assert_eq!(bench.slot(), Ok(OTA_0));
    bench.burn(&SECURE_BOOT_KEY_REVOKE1, 1);
    let report = bench.board.power_on();
    assert_eq!(report.slot_refusal(OTA_0), Some(RefusalCode::UntrustedKey));
    assert_eq!(report.refusal(), Some(RefusalCode::NoBootableApp));
}

#[test]
fn refuses_a_damaged_partition_table() {
    let bench = Bench::new(Protection::None).with_app(0, &app("1.0.0", 0));
    for at in [0, 4, 40, 0x60, 0x70] {
        let mut damaged = table();
        damaged[at] ^= 1;
        bench.put(0x8000, &damaged);
        assert_eq!(bench.slot(), Err(RefusalCode::PartitionTableInvalid), "byte {at:#x}");
    }
    bench.put(0x8000, &table());
    assert_eq!(bench.slot(), Ok(OTA_0));
}

#[test]
fn flash_modified_on_an_encrypted_chip_does_not_boot() {
    let bench = Bench::new(Protection::SecureBootAndEncryption).with_app(0, &app("1.0.0", 0));
    assert_eq!(bench.slot(), Ok(OTA_0));
    let flash = bench.board.raw_flash();
    let content = bench.board.external_readout();
    assert!(!content.windows(10).any(|window| window == b"cotter-app"), "a readout shows ciphertext");
    for at in (0..app("1.0.0", 0).len()).step_by(5) {
        let at = SLOTS[0] as usize + at;
        flash.overwrite_externally(FlashAddr(u32::try_from(at).unwrap()), &[content[at] ^ 4]).unwrap();
        let report = bench.board.power_on();
        assert!(report.slot_refusal(OTA_0).is_some() && report.booted().is_none(), "byte {at:#x}");
        flash.overwrite_externally(FlashAddr(u32::try_from(at).unwrap()), &content[at..=at]).unwrap();
    }
    assert_eq!(bench.slot(), Ok(OTA_0));
}

#[test]
fn the_first_boot_writes_down_what_it_booted() {
    for protection in ALL {
        let bench = Bench::new(protection).with_app(1, &app("1.0.0", 2));
        assert_eq!(bench.slot(), Ok(OTA_1), "{protection:?}");
        let [first, second] = bench.otadata();
        assert_eq!(first, OtaEntry::new(2, OtaState::VALID));
        assert!(!second.is_valid(), "erased, which reads as noise through the decryption");
        assert_eq!(bench.secure_version(), 2);
    }
}

/// Slot 0 runs and is confirmed, slot 1 holds an update that was never booted.
fn updated(protection: Protection, secure_version: u32) -> Bench {
    updated_on(Bench::new(protection), secure_version)
}

fn updated_on(bench: Bench, secure_version: u32) -> Bench {
    bench
        .with_app(0, &app("1.0.0", 0))
        .with_app(1, &app("1.1.0", secure_version))
        .with_otadata([OtaEntry::new(1, OtaState::VALID), OtaEntry::new(2, OtaState::NEW)])
}

#[test]
fn an_unconfirmed_update_is_rolled_back() {
    for protection in ALL {
        let bench = updated(protection, 1);
        let report = bench.board.power_on();
        let booted = report.booted().unwrap();
        assert_eq!((booted.slot, booted.state), (OTA_1, Some(OtaState::PENDING_VERIFY)));
        assert_eq!(bench.otadata()[1].state, OtaState::PENDING_VERIFY);
        for _ in 0..3 {
            assert_eq!(bench.slot(), Ok(OTA_0));
            assert_eq!(bench.otadata()[1].state, OtaState::ABORTED);
        }
        assert_eq!(bench.secure_version(), 0, "it was never confirmed");
    }
}

#[test]
fn a_confirmed_update_stays_and_bars_what_is_older() {
    let bench = updated(Protection::SecureBoot, 1);
    assert_eq!(bench.slot(), Ok(OTA_1));
    assert_eq!(bench.secure_version(), 0, "not before it is confirmed");
    bench.confirm(1);
    assert_eq!(bench.slot(), Ok(OTA_1));
    assert_eq!(bench.secure_version(), 1);

    // Somebody points otadata back at the old application.
    let bench = bench.with_otadata([OtaEntry::new(3, OtaState::VALID), OtaEntry::new(2, OtaState::VALID)]);
    assert_eq!(bench.slot(), Ok(OTA_1), "the entry of an application that is too old is passed over");
    bench.put(SLOTS[1], &[0xff; 64]);
    let report = bench.board.power_on();
    assert_eq!(report.refusal(), Some(RefusalCode::NoBootableApp));
    assert_eq!(report.slot_refusal(OTA_0), Some(RefusalCode::SecureVersionTooLow));
}

#[test]
fn what_is_not_compiled_in_is_not_done() {
    let with = |bench: Bench, config: SecondStage| {
        let Bench { board, protection } = bench;
        Bench { board: board.with_second_stage(config).unwrap(), protection }
    };
    // Without rollback an update that nobody confirms stays.
    let bench = with(updated(Protection::None, 0), SecondStage { app_rollback: false, ..SecondStage::default() });
    for _ in 0..2 {
        assert_eq!(bench.slot(), Ok(OTA_1));
        assert_eq!(bench.otadata()[1].state, OtaState::NEW);
    }
    // Without anti-rollback an old application runs, and nothing is burned for a new one.
    let config = SecondStage { anti_rollback: false, ..SecondStage::default() };
    let bench = with(Bench::new(Protection::None).with_app(0, &app("1.0.0", 3)), config.clone());
    assert_eq!((bench.slot(), bench.secure_version()), (Ok(OTA_0), 0));
    bench.burn(&SECURE_VERSION, 0b1111);
    assert_eq!(bench.slot(), Ok(OTA_0));
    // Without Secure Boot in the second stage, the ROM alone asks for a signature.
    let bench = Bench::new(Protection::SecureBoot).with_app(0, &app("1.0.0", 0));
    bench.put(SLOTS[0], &app("2.0.0", 0));
    assert_eq!(bench.slot(), Err(RefusalCode::NoBootableApp));
    let bench = with(bench, SecondStage { secure_boot: SecureBoot::Off, ..SecondStage::default() });
    assert_eq!(bench.slot(), Ok(OTA_0));
}

#[test]
fn a_forged_descriptor_burns_nothing() {
    let bench = Bench::new(Protection::SecureBoot).with_app(1, &app("1.0.0", 0));
    let mut forged = signed_by_us(&app("9.9.9", 0));
    forged[0x24] = 16;
    bench.put(SLOTS[0], &forged);
    let bench = bench.with_otadata([OtaEntry::new(1, OtaState::VALID), OtaEntry::ERASED]);
    assert_eq!(bench.slot(), Ok(OTA_1));
    assert_eq!(bench.secure_version(), 0);
}

#[test]
fn without_a_good_entry_every_slot_is_tried() {
    let given_up = [OtaEntry::new(1, OtaState::INVALID), OtaEntry::new(2, OtaState::ABORTED)];
    let bench = Bench::new(Protection::None).with_app(1, &app("1.0.0", 0)).with_otadata(given_up);
    assert_eq!(bench.slot(), Ok(OTA_1));
    assert_eq!(bench.otadata(), given_up, "nothing is written down");
}

#[test]
fn a_frozen_secure_version_does_not_stop_the_boot() {
    let bench = updated(Protection::None, 3);
    let mut set = BurnSet::new(Chip::Esp32C3);
    set.write_protect(&SECURE_VERSION).unwrap();
    bench.board.efuses().burn(&set).unwrap();
    bench.slot().unwrap();
    bench.confirm(1);
    assert_eq!((bench.slot(), bench.secure_version()), (Ok(OTA_1), 0));
}

#[test]
fn the_report_names_its_steps() {
    let bench = updated(Protection::SecureBoot, 0);
    let report = bench.board.power_on();
    let booted = report.booted().unwrap();
    assert_eq!((booted.slot.to_string().as_str(), booted.len.0), ("ota_1", 400));
    let steps: Vec<_> = report.steps.iter().map(|step| step.what).collect();
    let expected = ["image header", "Secure Boot", "jump", "partition table", "otadata", "rollback"];
    assert_eq!(steps, expected);
}

/// Cuts a boot at each operation and phase, and the boot after it at each operation and phase again.
/// `settle` looks at the board after two undisturbed boots more.
fn cut_everywhere(
    start: impl Fn() -> Bench,
    allowed: &[AppSlot],
    settle: impl Fn(&Bench, Result<AppSlot, RefusalCode>, &str),
) -> u32 {
    let total = {
        let bench = start();
        bench.board.fault().restart_count();
        bench.slot().unwrap();
        bench.board.fault().operations()
    };
    assert!(total > 0, "nothing to cut");
    let mut cuts = 0;
    for (op, phase) in (0..total).flat_map(|op| Phase::ALL.map(|phase| (op, phase))) {
        for (second, second_phase) in (0..4).flat_map(|op| Phase::ALL.map(|phase| (op, phase))) {
            let bench = start();
            let fault = bench.board.fault().clone();
            for (op, phase) in [(op, phase), (second, second_phase)] {
                fault.restart_count();
                fault.cut_at(CutPoint { op, phase });
                match bench.slot() {
                    Ok(slot) => assert!(allowed.contains(&slot), "op {op} {phase:?}: {slot}"),
                    Err(code) => {
                        assert_eq!(code, RefusalCode::PowerLost, "op {op} {phase:?}");
                        cuts += 1;
                    }
                }
                fault.forget_cut();
            }
            let case = format!("op {op} {phase:?}, then op {second} {second_phase:?}");
            let booted = bench.slot();
            settle(&bench, booted, &case);
        }
    }
    cuts
}

#[test]
fn rollback_survives_power_cut_at_every_operation() {
    let plain = (0..6).map(|seed| (Protection::None, seed));
    for (protection, seed) in plain.chain([(Protection::SecureBootAndEncryption, 9)]) {
        let failed = || {
            let bench = updated_on(Bench::seeded(protection, seed), 0);
            assert_eq!(bench.slot(), Ok(OTA_1));
            bench
        };
        let cuts = cut_everywhere(failed, &[OTA_0], |bench, booted, case| {
            assert_eq!(booted, Ok(OTA_0), "{protection:?} seed {seed} {case}");
            assert_eq!(bench.slot(), Ok(OTA_0), "{protection:?} seed {seed} {case}");
            assert!(
                !bench.otadata()[1].is_valid(),
                "{protection:?} seed {seed} {case}: the failed application is never selected"
            );
        });
        println!("rollback, {protection:?}, seed {seed}: {cuts} power cuts");
    }
}

#[test]
fn probation_survives_power_cut_at_every_operation() {
    let cuts = cut_everywhere(
        || updated(Protection::None, 0),
        &[OTA_0, OTA_1],
        |bench, booted, case| {
            // Either the update is tried (and then rolled back, as nobody confirms it), or it was lost on the way.
            assert!(matches!(booted, Ok(OTA_0 | OTA_1)), "{case}");
            assert_eq!(bench.slot(), Ok(OTA_0), "{case}");
            assert_eq!(bench.slot(), Ok(OTA_0), "{case}");
        },
    );
    println!("probation: {cuts} power cuts");
}

#[test]
fn first_boot_survives_power_cut_at_every_operation() {
    let cuts = cut_everywhere(
        || Bench::new(Protection::SecureBootAndEncryption).with_app(0, &app("1.0.0", 1)),
        &[OTA_0],
        |bench, booted, case| {
            assert_eq!(booted, Ok(OTA_0), "{case}");
            assert_eq!(bench.otadata()[0], OtaEntry::new(1, OtaState::VALID), "{case}");
            assert_eq!(bench.secure_version(), 1, "{case}");
        },
    );
    println!("first boot: {cuts} power cuts");
}

#[test]
fn anti_rollback_burn_survives_power_cut() {
    let confirmed = || {
        let bench = updated(Protection::SecureBoot, 3);
        assert_eq!(bench.slot(), Ok(OTA_1));
        bench.confirm(1);
        bench
    };
    let cuts = cut_everywhere(confirmed, &[OTA_1], |bench, booted, case| {
        assert_eq!((booted, bench.secure_version()), (Ok(OTA_1), 3), "{case}");
    });
    println!("anti-rollback: {cuts} power cuts");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever somebody writes into flash: no panic, and what boots is what was signed.
    #[test]
    fn with_secure_boot_only_signed_content_boots(
        changes in prop::collection::vec((0..SLOTS[1] + SLOT_LEN, prop::collection::vec(any::<u8>(), 1..64)), 1..6),
        near in prop::collection::vec((prop::sample::select(vec![0, 0x8000, OTADATA, OTADATA + SECTOR, SLOTS[0], SLOTS[1]]), 0..400_u32, any::<u8>()), 0..4),
    ) {
        let bench = updated(Protection::SecureBoot, 1);
        let before = bench.board.external_readout();
        let flash = bench.board.raw_flash();
        for (at, bytes) in changes {
            let end = bytes.len().min((SLOTS[1] + SLOT_LEN - at) as usize);
            flash.overwrite_externally(FlashAddr(at), &bytes[..end]).unwrap();
        }
        for (region, offset, byte) in near {
            flash.overwrite_externally(FlashAddr(region + offset), &[byte]).unwrap();
        }
        let after = bench.board.external_readout();
        if let Some(booted) = bench.board.power_on().booted() {
            prop_assert!(booted.is_verified);
            let image = booted.offset.0 as usize..(booted.offset.0 + booted.len.0) as usize;
            prop_assert_eq!(&after[image.clone()], &before[image]);
            prop_assert_eq!(&after[..0x100], &before[..0x100], "the second stage is the signed one as well");
        }
    }
}
