//! Flash encryption on the first boot.

use super::*;
use crate::efuse::{BurnSet, KeyProtection};
use crate::fault::CutPoint;
use crate::power_cuts::Survey;
use crate::report::{AppSlot, RefusalCode, StrandedAt};
use cotter_formats::efuse::EfuseImage;
use cotter_formats::secret::Secret;

use FlashEncryptionMode::{Development, Release};
use FlashKeyKind::{Aes128, Aes128Derived, Aes256};

/// Every kind of key of every chip.
fn kinds() -> Vec<(Chip, FlashKeyKind)> {
    let kinds = CHIPS.into_iter().flat_map(|chip| [Aes128, Aes128Derived, Aes256].map(|kind| (chip, kind)));
    let is_known = |(chip, kind): &(Chip, FlashKeyKind)| {
        let revision = EfuseImage::blank(*chip).revision();
        encrypting(Development, *kind).check(*chip, revision).is_ok()
    };
    kinds.filter(is_known).collect()
}

#[test]
fn every_chip_encrypts_itself_as_the_host_would() {
    let kinds = kinds();
    assert_eq!(kinds.len(), 14, "ten chips, the ESP32-C2 with two keys, S2, S3 and P4 with two: {kinds:?}");
    for (chip, kind) in kinds {
        for mode in [Development, Release] {
            let context = format!("{chip} {kind:?} {mode:?}");
            let board = board(chip, &encrypting(mode, kind));
            let plain = board.external_readout();
            let report = ended_well(&board, &context);
            contains_in_order(
                &report,
                &[
                    "boot: Loaded app from partition at offset 0x10000",
                    "boot: Checking flash encryption...",
                    "efuse: Batch mode of writing fields is enabled",
                    "flash_encrypt: Generating new flash encryption key...",
                    "efuse: Batch mode. Prepared fields are committed",
                    "flash_encrypt: bootloader encrypted successfully",
                    "flash_encrypt: partition table encrypted and loaded successfully",
                    "flash_encrypt: Encrypting partition 1 at offset 0xd000 (length 0x2000)...",
                    "flash_encrypt: Done encrypting",
                    "flash_encrypt: Encrypting partition 2 at offset 0xf000 (length 0x1000)...",
                    "flash_encrypt: Encrypting partition 3 at offset 0x10000 (length 0x550)...",
                    "esp_image: image at 0x20000 has invalid magic byte (nothing flashed here?)",
                    "flash_encrypt: Encrypting partition 5 at offset 0x30000 (length 0x1000)...",
                    "flash_encrypt: Flash encryption completed",
                    "boot: Resetting with flash encryption enabled...",
                    "boot: Loaded app from partition at offset 0x10000",
                ],
            );
            holds_what_the_host_would_make(&board, plain, &context);

            let registers = board.efuses().image().unwrap();
            let value = |name: &str| registers.value_named(name);
            let count = value("SPI_BOOT_CRYPT_CNT").or(value("FLASH_CRYPT_CNT")).unwrap().count_ones();
            let all = if chip == Chip::Esp32 { 7 } else { 3 };
            assert_eq!(count, if mode == Release { all } else { 1 }, "{context}");
            let encrypt = value("DIS_DOWNLOAD_MANUAL_ENCRYPT").or(value("DISABLE_DL_ENCRYPT"));
            assert_eq!(encrypt, Some(u32::from(mode == Release)), "{context}");
            let again = ended_well(&board, &context);
            let left = (all - count) / 2;
            assert!(
                again
                    .lines
                    .contains(&format!("flash_encrypt: flash encryption is enabled ({left} plaintext flashes left)")),
                "{context}"
            );
        }
    }
}

#[test]
fn keys_and_settings_are_protected_as_esp_idf_does() {
    for (chip, kind) in kinds() {
        let board = board(chip, &encrypting(Release, kind));
        ended_well(&board, chip.name());
        let registers = board.efuses().image().unwrap();
        let set = |name: &str| registers.value_named(name);
        let blocks: Vec<EfuseBlock> = match chip {
            Chip::Esp32 => vec![EfuseBlock(1)],
            Chip::Esp32C2 => vec![EfuseBlock(3)],
            _ if kind == Aes256 => vec![EfuseBlock(4), EfuseBlock(5)],
            _ => vec![EfuseBlock(4)],
        };
        for block in blocks {
            let half_of_c2 = chip == Chip::Esp32C2 && kind == Aes128Derived;
            assert_eq!(registers.value(registers.map().rd_dis()) & 1, 1, "{chip}");
            assert!(half_of_c2 || !registers.is_block_readable(block), "{chip} {kind:?}: {block}");
            assert!(!registers.is_block_writable(block), "{chip} {kind:?}: {block}");
            if let Some((low, _)) = registers.map().key_purpose_fields(block) {
                assert!(!registers.is_writable(low), "{chip}: purpose of {block}");
            }
        }
        // Derived keys: the length must not change later.
        let count = registers.map().field("SPI_BOOT_CRYPT_CNT").or_else(|| registers.map().field("FLASH_CRYPT_CNT"));
        assert_eq!(registers.is_writable(count.unwrap()), chip != Chip::Esp32C2, "{chip}");
        match chip {
            Chip::Esp32 => {
                assert_eq!(set("FLASH_CRYPT_CONFIG"), Some(0xf));
                let names = ["DISABLE_DL_DECRYPT", "DISABLE_DL_CACHE", "JTAG_DISABLE", "CONSOLE_DEBUG_DISABLE"];
                assert!(names.iter().all(|name| set(name) == Some(1)));
            }
            Chip::Esp32S2 => assert_eq!((set("DIS_BOOT_REMAP"), set("HARD_DIS_JTAG")), (Some(1), Some(1))),
            _ => assert_eq!(set("DIS_DIRECT_BOOT"), Some(1), "{chip}"),
        }
        let cache = registers.map().field("DIS_ICACHE").or_else(|| registers.map().field("DIS_CACHE"));
        let is_open = cache.is_none_or(|field| registers.is_writable(field));
        assert_eq!(
            is_open,
            matches!(chip, Chip::Esp32C2 | Chip::Esp32P4),
            "{chip}: the bit that switches the cache off"
        );
    }
}

#[test]
fn a_key_that_was_burned_before_is_used() {
    let key = Secret::from_slice(crate::fixtures::FLASH_KEY).unwrap();
    let burned = |protection| {
        let board = board(Chip::Esp32C3, &encrypting(Development, Aes128));
        let mut set = BurnSet::new(Chip::Esp32C3);
        set.key(EfuseBlock(6), KeyPurpose::XTS_AES_128_KEY, &key, protection).unwrap();
        board.efuses().burn(&set).unwrap();
        board
    };
    let board = burned(KeyProtection::of(KeyPurpose::XTS_AES_128_KEY));
    let report = ended_well(&board, "protected");
    assert!(report.lines.contains(&"flash_encrypt: Using pre-loaded flash encryption key in efuse".to_owned()));
    assert_eq!(key_file(&board), crate::fixtures::FLASH_KEY);

    let board = burned(KeyProtection { hidden: false, frozen: true });
    let report = board.power_on();
    let line = "flash_encrypt: Invalid key state, check read&write protection for key and keypurpose(if exists)";
    assert!(report.lines.contains(&line.to_owned()), "{:#?}", report.lines);
    assert_eq!(report.slot_refusal(AppSlot::Ota(0)), Some(RefusalCode::FlashKeyNotProtected));
    assert_eq!(report.refusal(), Some(RefusalCode::NoBootableApp));
}

#[test]
fn refuses_what_esp_idf_refuses() {
    let mut config = encrypting(Development, Aes128);
    config.flash_encryption.as_mut().unwrap().require_already_enabled = true;
    let report = board(Chip::Esp32C3, &config).power_on();
    assert_eq!(report.slot_refusal(AppSlot::Ota(0)), Some(RefusalCode::NotEnabledBefore));

    let config = encrypting(Development, Aes128);
    let frozen = board(Chip::Esp32C3, &config);
    let mut set = BurnSet::new(Chip::Esp32C3);
    set.write_protect(&cotter_formats::efuse::esp32c3::SPI_BOOT_CRYPT_CNT).unwrap();
    frozen.efuses().burn(&set).unwrap();
    assert_eq!(frozen.power_on().slot_refusal(AppSlot::Ota(0)), Some(RefusalCode::CryptCountFrozen));

    let full = board(Chip::Esp32C3, &config);
    for index in 0..6 {
        full.efuses().program(EfuseBlock::key(index).unwrap(), &[index + 1; 32]).unwrap();
    }
    let report = full.power_on();
    assert_eq!(report.slot_refusal(AppSlot::Ota(0)), Some(RefusalCode::NoFreeKeyBlock));
    contains_in_order(
        &report,
        &[
            "efuse: Not enough unused key blocks available. Required 1, was 0",
            "flash_encrypt: Not enough free efuse key blocks (need 1) to continue",
            "efuse: Batch mode of writing fields is cancelled",
        ],
    );
}

#[test]
fn the_whole_partition_is_encrypted_if_it_is_compiled_so() {
    let mut config = encrypting(Development, Aes128);
    config.flash_encryption.as_mut().unwrap().only_image_length = false;
    let board = board(Chip::Esp32C6, &config);
    let report = ended_well(&board, "whole partition");
    contains_in_order(&report, &["flash_encrypt: Encrypting partition 3 at offset 0x10000 (length 0x10000)..."]);
    let content = board.external_readout();
    assert!(content[SLOTS[0] as usize..][..0x1_0000].chunks(0x1000).all(|sector| sector != [0xff; 0x1000]));
}

#[test]
fn plaintext_in_development_is_encrypted_again() {
    let board = board(Chip::Esp32S3, &encrypting(Development, Aes128));
    let plain = board.external_readout();
    ended_well(&board, "first");
    // idf.py flash on a chip in development: the count goes to 2, plaintext is written, the count goes to 3.
    board.efuses().set(crate::efuse::Setting::FlashCryptCount, 0b10).unwrap();
    board.power_on_in_download_mode().unwrap().write_flash(FlashAddr(0), &plain).unwrap();
    let report = ended_well(&board, "second");
    assert!(!report.lines.iter().any(|line| line.contains("Generating")), "the key stays");
    assert_eq!(board.efuses().image().unwrap().value_named("SPI_BOOT_CRYPT_CNT"), Some(0b111));
}

/// The exhaustive cut of every chip and mode. What must hold is what ESP-IDF's own comment in `load_image` says.
#[test]
fn power_cuts_of_a_first_boot_end_as_esp_idf_says() {
    let mut total = 0;
    for (chip, kind) in kinds() {
        for mode in [Development, Release] {
            let board = board(chip, &encrypting(mode, kind));
            let cuts = survey(&board, 1).unwrap();
            print_table(&format!("{chip} {kind:?} {mode:?}"), &cuts);
            total += cuts.len();
            let first = cuts.iter().position(|cut| cut.doing.contains("encrypting")).unwrap();
            let last = cuts.iter().rposition(|cut| cut.doing.contains("encrypting")).unwrap();
            for (index, cut) in cuts.iter().enumerate() {
                let context = format!("{chip} {kind:?} {mode:?} {cut:?}");
                let purposes = !matches!(chip, Chip::Esp32 | Chip::Esp32C2);
                match cut.aftermath {
                    // The first erase had not begun, or the count was burned.
                    Aftermath::ComesBack => assert!(index <= first || index > last, "{context}"),
                    Aftermath::Stays(Remedy::Reflash) => assert!(index > first, "{context}"),
                    Aftermath::Stays(Remedy::FinishEfuses) => {
                        let is_key = cut.doing == "burning eFuse BLOCK0" || !purposes;
                        assert!(index < first && is_key, "{context}");
                    }
                    // A torn BLOCK0 can freeze settings beside the cache's before they are set: ESP-IDF burns them in
                    // vain at each boot. Nothing but another second stage, with other settings, gets past that.
                    Aftermath::Stays(Remedy::None) => {
                        let is_torn = cut.point.phase == Phase::Torn && cut.doing == "burning eFuse BLOCK0";
                        assert!(index < first && is_torn, "{context}");
                    }
                    Aftermath::Stays(Remedy::OtherKeyBlock) => panic!("{context}"),
                }
            }
        }
    }
    println!("first boot with flash encryption: {total} power cuts on {} chips", CHIPS.len());
}

/// Block 0 is burned in one command: which of its bits a cut leaves is chance. Each chip, forty times.
#[test]
fn a_torn_block_0_comes_back_or_is_told() {
    for (chip, kind) in kinds() {
        let board = board(chip, &encrypting(Release, kind));
        let survey = Survey::new(&board).unwrap();
        let cut = |op, seed| survey.cut(CutPoint { op, phase: Phase::Torn }, seed).unwrap();
        let is_block_0 = |op: &u64| cut(*op, 0).doing == "burning eFuse BLOCK0";
        let first = (0..survey.operations()).find(is_block_0).unwrap();
        let cuts: Vec<Cut> = (0..40).map(|seed| cut(first, seed)).collect();
        print_table(&format!("{chip} {kind:?}, block 0 torn"), &cuts);
        for cut in cuts {
            let is_told = matches!(cut.aftermath, Aftermath::Stays(Remedy::FinishEfuses | Remedy::None));
            assert!(cut.aftermath == Aftermath::ComesBack || is_told, "{chip} {kind:?} {cut:?}");
        }
    }
}

#[test]
fn a_second_cut_while_it_goes_on_is_no_worse() {
    let first = board(Chip::Esp32C3, &encrypting(Release, Aes128));
    let before = survey(&first, 1).unwrap();
    let end = before.iter().position(|cut| cut.doing.contains("encrypting")).unwrap();
    let mut total = 0;
    for cut in before[..end].iter().filter(|cut| cut.aftermath == Aftermath::ComesBack) {
        let chip = first.duplicate_on(Fault::new(cut.point.op)).unwrap();
        chip.fault().cut_at(cut.point);
        let _lost = chip.power_on();
        chip.fault().forget_cut();
        for second in survey(&chip, 13).unwrap() {
            total += 1;
            let is_block_0 = second.doing == "burning eFuse BLOCK0" && second.point.phase == Phase::Torn;
            let is_known = match second.aftermath {
                Aftermath::ComesBack => true,
                Aftermath::Stays(Remedy::Reflash) => second.doing.contains("encrypting") || is_block_0,
                Aftermath::Stays(Remedy::FinishEfuses | Remedy::None) => is_block_0,
                Aftermath::Stays(Remedy::OtherKeyBlock) => false,
            };
            assert!(is_known, "{cut:?}, then {second:?}");
        }
    }
    println!("a second cut: {total}");
}

#[test]
fn the_report_after_a_cut_says_where_the_chip_stands() {
    let board = board(Chip::Esp32C3, &encrypting(Release, Aes128));
    let undisturbed = board.duplicate().unwrap();
    ended_well(&undisturbed, "undisturbed");
    let operations = undisturbed.fault().operations();
    board.fault().cut_at(CutPoint { op: operations / 2, phase: Phase::Torn });
    let cut = board.power_on();
    assert_eq!(cut.refusal(), Some(RefusalCode::PowerLost));
    let step = cut.steps.last().unwrap();
    assert_eq!((step.what, step.found.as_str()), ("power lost", "encrypting otadata, sector at 0xe000"));

    let after = board.power_on();
    assert_eq!(after.refusal(), Some(RefusalCode::InvalidHeader));
    let stranded = after.stranded.unwrap();
    assert_eq!((stranded.at, stranded.remedy), (StrandedAt::HalfEncryptedFlash, Remedy::Reflash));
}

/// A count of which two of three bits were burned is even: only flashing again helps. Of which one was burned, it is
/// odd: the chip runs, but is not released.
#[test]
fn a_torn_count_is_not_what_was_asked_for() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..60 {
        let board = board(Chip::Esp32C3, &encrypting(Release, Aes128)).duplicate_on(Fault::new(seed)).unwrap();
        let undisturbed = board.duplicate().unwrap();
        ended_well(&undisturbed, "undisturbed");
        board.fault().cut_at(CutPoint { op: undisturbed.fault().operations() - 1, phase: Phase::Torn });
        let _cut = board.power_on();
        let burned = board.efuses().sensed(crate::efuse::Setting::FlashCryptCount).count_ones();
        let runs = board.power_on().booted().is_some();
        assert_eq!(runs, burned % 2 == 1, "{burned} bits");
        seen.insert(burned);
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
}

#[test]
fn a_cut_of_the_key_costs_a_block_where_blocks_have_purposes() {
    let chip = board(Chip::Esp32C3, &encrypting(Development, Aes128));
    // The application's otadata entry comes first: three programs and an erase.
    let cuts = survey(&chip, 1).unwrap();
    let key = cuts.iter().find(|cut| cut.doing == "burning eFuse BLOCK4" && cut.point.phase == Phase::Torn).unwrap();
    chip.fault().cut_at(key.point);
    let _cut = chip.power_on();
    let report = ended_well(&chip, "the next block");
    assert!(report.lines.contains(&"efuse: Writing EFUSE_BLK_KEY1 with purpose 4".to_owned()));
    assert_eq!(cuts.len() % PHASES, 0);
}
