//! Secure Boot V2 on the first boot, alone and with flash encryption.

use super::*;
use crate::report::{AppSlot, RefusalCode, StrandedAt};
use cotter_formats::efuse::EfuseImage;
use cotter_formats::efuse::lint::{Expectation, Profile, Severity, findings};

// Signed by espsecure 5.6.0 with a key that is not ours, see vectors/sbv2.
const APP_OF_A: &[u8] = include_bytes!("../../../../../vectors/sbv2/app-esp32c3-signed-rsa_a.bin");

fn verifying() -> SecondStage {
    SecondStage {
        secure_boot: SecureBoot::V2(SecureBootV2::default()),
        download_mode: DownloadPolicy::Secure,
        ..SecondStage::default()
    }
}

fn everything(chip: Chip) -> SecondStage {
    let key = if chip == Chip::Esp32C2 { FlashKeyKind::Aes128Derived } else { FlashKeyKind::Aes128 };
    SecondStage {
        flash_encryption: Some(FlashEncryption::new(FlashEncryptionMode::Release, key)),
        download_mode: if chip == Chip::Esp32 { DownloadPolicy::Disabled } else { DownloadPolicy::Secure },
        ..verifying()
    }
}

fn digest_block(chip: Chip) -> EfuseBlock {
    match chip {
        Chip::Esp32 => EfuseBlock(2),
        Chip::Esp32C2 => EfuseBlock(3),
        _ => EfuseBlock(4),
    }
}

fn holds_digest(chip: Chip, registers: &EfuseImage) -> bool {
    let data = registers.block(digest_block(chip)).unwrap();
    let digest = key_digest(chip);
    if chip == Chip::Esp32C2 { data[16..] == digest[..16] } else { data == digest }
}

#[test]
fn every_chip_trusts_the_key_of_its_second_stage() {
    for chip in CHIPS {
        let context = chip.name();
        let board = board(chip, &verifying());
        let report = ended_well(&board, context);
        contains_in_order(
            &report,
            &[
                "secure_boot_v2: Secure boot V2 is not enabled yet and eFuse digest keys are not set",
                "secure_boot_v2: Signature verified successfully!",
                "boot: Loaded app from partition at offset 0x10000",
                "secure_boot_v2: enabling secure boot v2...",
                "efuse: Batch mode of writing fields is enabled",
                "secure_boot_v2: Secure boot digests absent, generating..",
                "secure_boot_v2: 1 signature block(s) found appended to the bootloader.",
                "secure_boot_v2: Burning public key hash to eFuse",
                "secure_boot_v2: 1 signature block(s) found appended to the app.",
                "secure_boot_v2: Application key(0) matches with bootloader key(0).",
                "secure_boot_v2: blowing secure boot efuse...",
                "efuse: Batch mode. Prepared fields are committed",
                "secure_boot_v2: Secure boot permanently enabled",
            ],
        );
        assert!(report.booted().unwrap().is_verified, "{context}");
        let registers = board.efuses().image().unwrap();
        assert!(holds_digest(chip, &registers), "{context}");
        assert!(!registers.is_block_writable(digest_block(chip)) && registers.is_block_readable(digest_block(chip)));
        assert!(!registers.is_writable(registers.map().rd_dis()), "{context}: nobody hides the digest");
        let revoked: Vec<bool> = registers.map().key_revokes.iter().map(|field| registers.is_set(field)).collect();
        assert!(revoked.is_empty() || revoked == [false, true, true], "{context}: {revoked:?}");
        let secure = registers.value_named("ENABLE_SECURITY_DOWNLOAD");
        assert_eq!(secure, (chip != Chip::Esp32).then_some(1), "{context}");
        if let Some(field) = registers.map().field("SOFT_DIS_JTAG") {
            let bits = if chip == Chip::Esp32C61 { 0 } else { field.all_ones() };
            assert_eq!(registers.value(field), bits, "{context}");
        }

        let again = ended_well(&board, context);
        contains_in_order(
            &again,
            &["secure boot verification succeeded", "secure_boot_v2: secure boot v2 is already enabled, continuing.."],
        );
        // From now on the ROM refuses what we did not sign.
        board.raw_flash().overwrite_externally(chip.bootloader_offset(), &image(chip, 0xb1)).unwrap();
        assert!(board.power_on().booted().is_none(), "{context}");
    }
}

#[test]
fn with_flash_encryption_both_are_on_and_released() {
    for chip in CHIPS {
        let context = chip.name();
        let board = board(chip, &everything(chip));
        let plain = board.external_readout();
        let report = ended_well(&board, context);
        contains_in_order(
            &report,
            &[
                "secure_boot_v2: enabling secure boot v2...",
                "secure_boot_v2: blowing secure boot efuse...",
                "boot: Checking flash encryption...",
                "flash_encrypt: Generating new flash encryption key...",
                "flash_encrypt: bootloader encrypted successfully",
                "flash_encrypt: Setting CRYPT_CNT for permanent encryption",
                "boot: Resetting with flash encryption enabled...",
                "secure boot verification succeeded",
            ],
        );
        holds_what_the_host_would_make(&board, plain, context);

        // ESP-IDF's own list for release mode has nothing to say that would be an error.
        let registers = board.efuses().image().unwrap();
        let expectation = Expectation { secure_boot: true, flash_encryption: true, profile: Profile::Release };
        let found = findings(&registers, &expectation);
        let bad: Vec<_> =
            found.iter().filter(|finding| finding.severity != Severity::Advice).map(ToString::to_string).collect();
        println!("{context}: {} findings, of which {} are no mere advice", found.len(), bad.len());
        assert!(bad.is_empty(), "{context}: {bad:#?}");
    }
}

#[test]
fn two_keys_leave_one_digest_to_revoke() {
    let chip = Chip::Esp32C3;
    let board = board(chip, &verifying());
    let twice = {
        let once = signed(chip, &image(chip, 0xb0));
        // Both blocks of the same key: the count of blocks is what matters here.
        let block: [u8; 1216] = once[once.len() - 4096..][..1216].try_into().unwrap();
        cotter_formats::secure_boot::v2::add_block(&once, &block).unwrap()
    };
    board.raw_flash().overwrite_externally(FlashAddr(0), &twice).unwrap();
    let report = ended_well(&board, "two blocks");
    contains_in_order(
        &report,
        &[
            "secure_boot_v2: 2 signature block(s) found appended to the bootloader.",
            "efuse: Writing EFUSE_BLK_KEY0 with purpose 9",
            "efuse: Writing EFUSE_BLK_KEY1 with purpose 10",
            "secure_boot_v2: Revoking empty key digest slot (2)...",
        ],
    );
}

#[test]
fn unused_digests_stay_open_and_bad_signatures_cost_keys_if_it_is_compiled_so() {
    let secure_boot = SecureBootV2 { allow_unused_digests: true, aggressive_revoke: true, ..SecureBootV2::default() };
    let config = SecondStage { secure_boot: SecureBoot::V2(secure_boot), allow_jtag: true, ..SecondStage::default() };
    let board = board(Chip::Esp32S3, &config);
    let report = ended_well(&board, "open");
    contains_in_order(
        &report,
        &[
            "secure_boot: UART ROM Download mode kept enabled - SECURITY COMPROMISED",
            "secure_boot: Not disabling JTAG - SECURITY COMPROMISED",
        ],
    );
    let registers = board.efuses().image().unwrap();
    let value = |name| registers.value_named(name);
    assert_eq!(value("SECURE_BOOT_AGGRESSIVE_REVOKE"), Some(1));
    assert_eq!((value("SECURE_BOOT_KEY_REVOKE1"), value("DIS_USB_JTAG")), (Some(0), Some(0)));
}

#[test]
fn refuses_what_would_never_boot_again() {
    // The application is signed with another key than the second stage.
    let other = board(Chip::Esp32C3, &verifying());
    let whole = other.with_flash(FlashLen(0x10_0000)).unwrap();
    let put = |at: u32, content: &[u8]| whole.raw_flash().overwrite_externally(FlashAddr(at), content).unwrap();
    put(0, &signed(Chip::Esp32C3, &image(Chip::Esp32C3, 0xb0)));
    let rows = [partition("factory", PartitionType::APP, Subtype::APP_FACTORY, 0x1_0000, 0x4_0000)];
    put(DEFAULT_OFFSET.0, &build(&rows).unwrap());
    put(0x1_0000, APP_OF_A);
    let report = whole.power_on();
    contains_in_order(
        &report,
        &[
            "secure_boot_v2: No application key digest matches the bootloader key digest.",
            "efuse: Batch mode of writing fields is cancelled",
            "boot: Factory app partition is not bootable",
        ],
    );
    assert_eq!(report.slot_refusal(AppSlot::Factory), Some(RefusalCode::KeysDiffer));
    let registers = whole.efuses().image().unwrap();
    assert!(crate::bootloader::efuse_batch::is_empty(&registers, EfuseBlock(4)), "nothing was burned");

    // The second stage is not signed at all.
    let unsigned = board(Chip::Esp32C3, &verifying());
    unsigned.raw_flash().overwrite_externally(FlashAddr(0), &[0xff; 0x3000]).unwrap();
    unsigned.raw_flash().overwrite_externally(FlashAddr(0), &image(Chip::Esp32C3, 0xb0)).unwrap();
    assert_eq!(unsigned.power_on().slot_refusal(AppSlot::Ota(0)), Some(RefusalCode::Unsigned));

    let secure_boot = SecureBootV2 { require_already_enabled: true, ..SecureBootV2::default() };
    let config = SecondStage { secure_boot: SecureBoot::V2(secure_boot), ..SecondStage::default() };
    let report = board(Chip::Esp32C3, &config).power_on();
    assert_eq!(report.slot_refusal(AppSlot::Ota(0)), Some(RefusalCode::NotEnabledBefore));
}

#[test]
fn an_old_esp32_cannot_be_built_for() {
    let chip = VirtualChip::of_revision(Chip::Esp32, cotter_formats::efuse::ChipRevision(100), [2; 6]).unwrap();
    assert!(chip.with_second_stage(verifying()).is_err());
    let both = SecondStage {
        flash_encryption: encrypting(FlashEncryptionMode::Release, FlashKeyKind::Aes128).flash_encryption,
        ..verifying()
    };
    let chip = VirtualChip::new(Chip::Esp32C2, [2; 6]).unwrap();
    assert!(matches!(
        chip.with_second_stage(both),
        Err(crate::board::BoardError::SecondStage(SecondStageError::OneKeyBlock))
    ));
}

#[test]
fn power_cuts_of_secure_boot_alone() {
    let mut total = 0;
    for chip in CHIPS {
        let config = SecondStage { download_mode: DownloadPolicy::Open, ..verifying() };
        let cuts = survey(&board(chip, &config), 1).unwrap();
        print_table(&format!("{chip} Secure Boot V2"), &cuts);
        total += cuts.len();
        for cut in &cuts {
            let context = format!("{chip} {cut:?}");
            // Torn eFuses are the only danger, and a person with espefuse can finish them while download mode is open.
            match cut.aftermath {
                Aftermath::ComesBack => {}
                Aftermath::Stays(remedy) => {
                    assert_eq!(cut.point.phase, Phase::Torn, "{context}");
                    assert!(cut.doing.starts_with("burning eFuse"), "{context}");
                    assert_ne!(remedy, Remedy::Reflash, "{context}");
                }
            }
        }
    }
    println!("first boot with Secure Boot V2: {total} power cuts on {} chips", CHIPS.len());
}

#[test]
fn power_cuts_of_secure_boot_and_flash_encryption() {
    let mut total = 0;
    for chip in CHIPS {
        let board = board(chip, &everything(chip));
        // Exhaustive where the path differs: no purposes, one key block, RSA, ECDSA. The others take the ESP32-C3's with
        // other names of fields, and signatures cost time.
        let step = if matches!(chip, Chip::Esp32 | Chip::Esp32C2 | Chip::Esp32C3 | Chip::Esp32C61) { 1 } else { 11 };
        let cuts = survey(&board, step).unwrap();
        print_table(&format!("{chip} Secure Boot V2 and flash encryption, release"), &cuts);
        total += cuts.len();
        let encrypting: Vec<&Cut> = cuts.iter().filter(|cut| cut.doing.contains("encrypting")).skip(1).collect();
        for cut in encrypting {
            // Secure download mode still writes; without download mode nothing helps. On the ESP32-C2 plaintext does not
            // help either: ESP-IDF refuses to go on with one of the two.
            let expected = match chip {
                Chip::Esp32 | Chip::Esp32C2 => Remedy::None,
                _ => Remedy::Reflash,
            };
            assert_eq!(cut.aftermath, Aftermath::Stays(expected), "{chip} {cut:?}");
        }
    }
    println!("first boot with both: {total} power cuts on {} chips", CHIPS.len());
}

#[test]
fn the_c2_is_lost_between_its_two_switches() {
    let chip = board(Chip::Esp32C2, &everything(Chip::Esp32C2));
    let cuts = survey(&chip, 1).unwrap();
    let first = cuts.iter().find(|cut| cut.doing.contains("encrypting")).unwrap();
    assert_eq!((first.point.phase, first.aftermath), (Phase::Before, Aftermath::Stays(Remedy::None)));
    chip.fault().cut_at(first.point);
    let _cut = chip.power_on();
    let report = chip.power_on();
    assert!(
        report
            .lines
            .iter()
            .any(|line| line.starts_with("boot: Secure Boot and Flash Encryption cannot be enabled separately"))
    );
    assert_eq!(report.slot_refusal(AppSlot::Ota(0)), Some(RefusalCode::OnlyOneOfTwo));
    let stranded = report.stranded.unwrap();
    assert_eq!((stranded.at, stranded.remedy), (StrandedAt::OnlyOneOfTwo, Remedy::None));
}
