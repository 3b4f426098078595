//! Keys of NVS encryption, made by the application on its first start.

use super::*;
use crate::fault::CutPoint;
use crate::report::{RefusalCode, Stage, StrandedAt};
use cotter_formats::nvs::NvsKeys;

fn in_partition() -> SecondStage {
    SecondStage { nvs_keys: NvsKeySource::Partition, ..encrypting(FlashEncryptionMode::Release, FlashKeyKind::Aes128) }
}

fn by_hmac(key: u8) -> SecondStage {
    SecondStage { nvs_keys: NvsKeySource::Hmac { key }, ..SecondStage::default() }
}

fn partition_of_keys(board: &VirtualChip) -> Vec<u8> {
    let mut bytes = vec![0; 0x1000];
    view(board).read_at(FlashAddr(NVS_KEYS), &mut bytes).unwrap();
    bytes
}

fn refused(report: &BootReport) -> Option<RefusalCode> {
    report.steps.iter().filter(|step| step.stage == Stage::Application).find_map(|step| step.refusal)
}

#[test]
fn the_flash_key_makes_the_keys_of_the_partition() {
    for chip in CHIPS {
        let board = board(chip, &in_partition());
        let report = ended_well(&board, chip.name());
        contains_in_order(
            &report,
            &[
                "boot: Resetting with flash encryption enabled...",
                "nvs: Failed to read NVS security cfg: [0x1116] (ESP_ERR_NVS_KEYS_NOT_INITIALIZED)",
                "nvs: Generating NVS encr-keys...",
                "nvs: NVS partition \"nvs\" is encrypted.",
            ],
        );
        // The patterns lie in flash as they are; through the cipher they are this chip's keys.
        let raw = board.external_readout();
        let at = NVS_KEYS as usize;
        assert_eq!((raw[at], raw[at + 16], raw[at + 32], raw[at + 48]), (0xff, 0x99, 0xee, 0x88), "{chip}");
        assert!(NvsKeys::parse(&partition_of_keys(&board)).is_ok(), "{chip}: our reader takes the partition");

        let keys = partition_of_keys(&board);
        let again = ended_well(&board, chip.name());
        assert!(!again.lines.iter().any(|line| line.contains("Generating NVS")), "{chip}: once");
        assert!(keys == partition_of_keys(&board), "{chip}");
    }
}

#[test]
fn without_flash_encryption_everybody_knows_the_keys() {
    let config = SecondStage { nvs_keys: NvsKeySource::Partition, ..SecondStage::default() };
    let board = board(Chip::Esp32C3, &config);
    let report = ended_well(&board, "plain");
    let step = report.steps.iter().find(|step| step.what == "NVS keys").unwrap();
    assert_eq!(step.found, "written to 0xf000, known to everybody: the flash is plain");
    let line = "nvs: Failed to read NVS security cfg: [0x1116] (ESP_ERR_NVS_KEYS_NOT_INITIALIZED)";
    assert!(report.lines.contains(&line.to_owned()), "{:#?}", report.lines);
}

#[test]
fn an_hmac_key_is_burned_where_the_chip_has_the_peripheral() {
    let mut chips = 0;
    for chip in CHIPS {
        let config = by_hmac(3);
        let registers = cotter_formats::efuse::EfuseImage::blank(chip);
        if config.check(chip, registers.revision()).is_err() {
            continue;
        }
        chips += 1;
        let board = board(chip, &config);
        let report = ended_well(&board, chip.name());
        contains_in_order(
            &report,
            &[
                "nvs_sec_provider: Could not find HMAC key in configured eFuse block!",
                "nvs: Failed to read NVS security cfg: [0x4305] (ESP_ERR_NVS_SEC_HMAC_KEY_NOT_FOUND)",
                "nvs: Generating NVS encr-keys...",
                "efuse: Batch mode. Prepared fields are committed",
                "nvs: NVS partition \"nvs\" is encrypted.",
            ],
        );
        let block = EfuseBlock::key(3).unwrap();
        let registers = board.efuses().image().unwrap();
        assert_eq!(registers.key_purpose(block), Some(KeyPurpose::HMAC_UP), "{chip}");
        assert!(!registers.is_block_readable(block) && !registers.is_block_writable(block), "{chip}");
        let keys = |board: &VirtualChip| NvsKeys::from_hmac(|message| board.hmac(block, message)).unwrap();
        let mut first = [0; 4096];
        keys(&board).encode(&mut first);
        ended_well(&board, chip.name());
        let mut second = [0; 4096];
        keys(&board).encode(&mut second);
        assert!(first == second, "{chip}: the same keys on the second start");
    }
    assert_eq!(chips, 7, "S2, S3, C3, C5, C6, H2, P4");
}

#[test]
fn a_block_that_holds_something_else_is_refused_at_each_start() {
    let board = board(Chip::Esp32C3, &by_hmac(0));
    board.efuses().program(EfuseBlock(4), &[0x55; 32]).unwrap();
    for _ in 0..2 {
        let report = board.power_on();
        assert!(report.booted().is_some(), "the second stage has nothing against it");
        assert_eq!(refused(&report), Some(RefusalCode::HmacBlockTaken));
        let stranded = report.stranded.unwrap();
        assert_eq!((stranded.at, stranded.remedy), (StrandedAt::HalfBurnedHmacKey, Remedy::OtherKeyBlock));
    }
}

/// esp-idf#13909: Secure Boot freezes `RD_DIS` on its first boot, and a key that comes later cannot be hidden any more.
/// ESP-IDF says so once; on the next start it takes the key as it is.
#[test]
fn after_secure_boot_the_key_stays_readable() {
    let secure_boot = SecureBoot::V2(SecureBootV2::default());
    let board = board(Chip::Esp32C3, &SecondStage { secure_boot, ..by_hmac(5) });
    let report = ended_well(&board, "first");
    assert_eq!(refused(&report), Some(RefusalCode::EfuseBurnFailed));
    contains_in_order(
        &report,
        &[
            "efuse: BURN BLOCK0 - ERROR (written bits != read bits)",
            "nvs_sec_provider: Failed to write the HMAC key to eFuse",
        ],
    );
    let again = ended_well(&board, "second");
    assert_eq!(refused(&again), None);
    assert!(board.efuses().image().unwrap().is_block_readable(EfuseBlock(9)), "a secret that software can read");
}

#[test]
fn power_cuts_of_the_partition_give_the_same_keys() {
    let board = board(Chip::Esp32C6, &in_partition());
    let undisturbed = board.duplicate().unwrap();
    ended_well(&undisturbed, "undisturbed");
    let expected = partition_of_keys(&undisturbed);
    // Flash encryption is behind us: only the application's own operations are cut.
    let cuts = survey(&board, 1).unwrap();
    let points: Vec<CutPoint> =
        cuts.iter().filter(|cut| cut.doing.starts_with("writing NVS keys")).map(|cut| cut.point).collect();
    assert!(points.len() >= 12, "an erase and three programs: {}", points.len());
    for point in &points {
        let chip = board.duplicate_on(Fault::new(point.op)).unwrap();
        // The same flash key as in the undisturbed chip.
        chip.fault().cut_at(*point);
        let _cut = chip.power_on();
        ended_well(&chip, "after the cut");
        assert!(partition_of_keys(&chip) == expected, "{point:?}");
    }
    // And again while it makes them anew.
    let mut twice = 0;
    for (point, again) in points.iter().flat_map(|point| (0..6).map(move |op| (point, op))) {
        for phase in Phase::ALL {
            let chip = board.duplicate_on(Fault::new(again)).unwrap();
            for point in [*point, CutPoint { op: again, phase }] {
                chip.fault().restart_count();
                chip.fault().cut_at(point);
                let _cut = chip.power_on();
            }
            chip.fault().forget_cut();
            ended_well(&chip, "after two cuts");
            assert!(partition_of_keys(&chip) == expected, "{point:?}, then {again} {phase:?}");
            twice += 1;
        }
    }
    println!("NVS keys in a partition: {} power cuts, {twice} pairs of them", points.len());
}

#[test]
fn power_cuts_of_the_hmac_key() {
    let mut total = 0;
    for chip in
        [Chip::Esp32S2, Chip::Esp32S3, Chip::Esp32C3, Chip::Esp32C5, Chip::Esp32C6, Chip::Esp32H2, Chip::Esp32P4]
    {
        let cuts = survey(&board(chip, &by_hmac(2)), 1).unwrap();
        print_table(&format!("{chip} NVS by HMAC"), &cuts);
        total += cuts.len();
        for cut in cuts {
            let is_key = cut.doing == "burning eFuse BLOCK6";
            let is_settings = cut.doing == "burning eFuse BLOCK0";
            match cut.aftermath {
                Aftermath::ComesBack => assert!(!is_key || cut.point.phase == Phase::Before, "{chip} {cut:?}"),
                Aftermath::Stays(_) => assert!(is_key || is_settings, "{chip} {cut:?}"),
            }
        }
    }
    println!("NVS keys by HMAC: {total} power cuts on 7 chips");
}
