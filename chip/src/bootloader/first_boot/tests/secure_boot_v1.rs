//! Secure Boot V1 on the first boot of an ESP32, and the signature of its application.

use super::*;
use crate::fault::CutPoint;
use crate::power_cuts::Survey;
use crate::report::{AppSlot, RefusalCode};
use cotter_formats::efuse::ChipRevision;
use cotter_formats::secure_boot::v1::{Signature, VerifyingKey};

// Signed by espsecure 5.6.0, see vectors/sbv1.
const GOLDEN_APP: &[u8] = include_bytes!("../../../../../vectors/sbv1/esp32-app-signed-v1.bin");
const GOLDEN_KEY: &[u8; 64] = include_bytes!("../../../../../vectors/sbv1/pubkey-v1-raw64.bin");

fn own_key() -> VerifyingKey {
    let point = ECDSA.public_key().as_ref();
    VerifyingKey::from_raw(point[1..].try_into().unwrap()).unwrap()
}

fn config(verification_key: VerifyingKey) -> SecondStage {
    SecondStage { secure_boot: SecureBoot::V1(SecureBootV1 { verification_key }), ..SecondStage::default() }
}

fn encrypted(verification_key: VerifyingKey) -> SecondStage {
    let encryption = FlashEncryption::new(FlashEncryptionMode::Release, FlashKeyKind::Aes128);
    SecondStage { flash_encryption: Some(encryption), ..config(verification_key) }
}

fn signed_app() -> Vec<u8> {
    let mut app = image(Chip::Esp32, 0xa0);
    let numbers = ECDSA.sign(&SystemRandom::new(), &app).unwrap();
    app.extend(Signature { numbers: numbers.as_ref().try_into().unwrap() }.to_bytes());
    app
}

fn v1_board(config: &SecondStage) -> VirtualChip {
    let board = board(Chip::Esp32, config);
    board.raw_flash().overwrite_externally(FlashAddr(SLOTS[0]), &signed_app()).unwrap();
    board
}

#[test]
fn the_rom_accepts_the_digest_that_the_first_boot_made() {
    for revision in [100, 300] {
        let config = config(own_key());
        let fault = Fault::new(3);
        let efuses = Efuses::fresh_of(Chip::Esp32, ChipRevision(revision), [2; 6], fault.clone());
        let flash = Flash::with_content(v1_board(&config).external_readout(), fault.clone()).unwrap();
        let board = VirtualChip::from_parts(flash, efuses, fault).with_second_stage(config).unwrap();
        let report = ended_well(&board, "first boot");
        contains_in_order(
            &report,
            &[
                "esp_image: Verifying image signature...",
                "boot: Loaded app from partition at offset 0x10000",
                "secure_boot_v1: Generating new secure boot key...",
                "efuse: BURN BLOCK2",
                "efuse: BURN BLOCK2 - OK (write block == read block)",
                "secure_boot_v1: Generating secure boot digest...",
                "secure_boot_v1: Digest generation complete.",
                "boot: Checking secure boot...",
                "secure_boot_v1: blowing secure boot efuse...",
                "secure_boot: Read & write protecting new key...",
                "secure_boot: Disable JTAG...",
                "secure_boot: Disable ROM BASIC interpreter fallback...",
                "secure_boot_v1: secure boot is now enabled for bootloader image",
            ],
        );
        assert!(report.booted().unwrap().is_verified);
        let registers = board.efuses().image().unwrap();
        let key = EfuseBlock(2);
        assert!(!registers.is_block_readable(key) && !registers.is_block_writable(key));
        assert_eq!(registers.value_named("ABS_DONE_0"), Some(1));

        let again = ended_well(&board, "second boot");
        let found: Vec<_> = again.steps.iter().map(|step| step.found.as_str()).collect();
        assert!(found.contains(&"V1: the digest of the second stage holds"), "{found:?}");
        // Another second stage has another digest.
        board.raw_flash().overwrite_externally(FlashAddr(0x1000), &image(Chip::Esp32, 0xb1)).unwrap();
        let refused = board.power_on();
        assert_eq!(refused.refusal(), Some(RefusalCode::SignedDigestMismatch), "v{revision}");
    }
}

#[test]
fn with_flash_encryption_the_digest_is_encrypted_as_well() {
    let board = v1_board(&encrypted(own_key()));
    let report = ended_well(&board, "both");
    contains_in_order(
        &report,
        &[
            "secure_boot_v1: Digest generation complete.",
            "boot: Checking flash encryption...",
            "flash_encrypt: bootloader encrypted successfully",
            "flash_encrypt: Flash encryption completed",
            "boot: Checking secure boot...",
            "secure_boot_v1: secure boot is now enabled for bootloader image",
            "boot: Resetting with flash encryption enabled...",
            "secure_boot_v1: bootloader secure boot is already enabled. No need to generate digest. continuing..",
        ],
    );
    let mut plain = vec![0; FLASH as usize];
    view(&board).read_at(FlashAddr(0), &mut plain).unwrap();
    let mut expected = board.external_readout();
    // What is not encrypted reads as noise through the cipher; take it from the flash as it is.
    let host = encrypted_by_host(Chip::Esp32, &plain, &key_file(&board));
    for range in [0..0x3000, 0x8000..0x9000, 0xd000..0x1_0000, 0x1_0000..0x1_1000, 0x3_0000..0x3_1000] {
        assert!(host[range.clone()] == expected[range.clone()], "{range:x?}");
    }
    assert_eq!(expected.split_off(OPEN as usize)[..16], *b"no secret at all");
}

#[test]
fn the_application_must_be_signed_with_the_key_that_is_compiled_in() {
    let refusal = |change: &dyn Fn(&mut Vec<u8>)| {
        let board = board(Chip::Esp32, &config(own_key()));
        let mut app = signed_app();
        change(&mut app);
        board.raw_flash().overwrite_externally(FlashAddr(SLOTS[0]), &app).unwrap();
        let report = board.power_on();
        assert_eq!(report.booted(), None);
        assert_eq!(board.efuses().image().unwrap().value_named("ABS_DONE_0"), Some(0), "nothing was burned");
        (report.slot_refusal(AppSlot::Ota(0)).unwrap(), report.lines)
    };
    let len = signed_app().len();
    let (code, lines) = refusal(&|app| app[len - 68..].fill(0xff));
    assert_eq!(code, RefusalCode::Unsigned);
    let line = "secure_boot: image has invalid signature version field 0xffffffff (image without a signature?)";
    assert!(lines.contains(&line.to_owned()), "{lines:#?}");
    assert_eq!(refusal(&|app| app[len - 1] ^= 1).0, RefusalCode::BadSignature);
    assert_eq!(refusal(&|app| app[0x50] ^= 1).0, RefusalCode::ChecksumMismatch);
    // Two flips that leave the checksum: only the signature notices.
    assert_eq!(refusal(&|app| [0x140, 0x141].iter().for_each(|at| app[*at] ^= 1)).0, RefusalCode::BadSignature);

    let board = v1_board(&config(VerifyingKey::from_raw(GOLDEN_KEY).unwrap()));
    assert_eq!(board.power_on().slot_refusal(AppSlot::Ota(0)), Some(RefusalCode::BadSignature), "another key");
}

#[test]
fn boots_what_espsecure_signed() {
    let config = config(VerifyingKey::from_raw(GOLDEN_KEY).unwrap());
    let board = board(Chip::Esp32, &config).with_flash(FlashLen(0x4_0000)).unwrap();
    let put = |at: u32, content: &[u8]| board.raw_flash().overwrite_externally(FlashAddr(at), content).unwrap();
    put(0x1000, include_bytes!("../../../../../vectors/image/esp32-bootloader.bin"));
    let rows = [partition("factory", PartitionType::APP, Subtype::APP_FACTORY, 0x1_0000, 0x3_0000)];
    put(DEFAULT_OFFSET.0, &build(&rows).unwrap());
    put(0x1_0000, GOLDEN_APP);
    let report = ended_well(&board, "golden");
    assert!(report.booted().unwrap().is_verified);
    ended_well(&board, "golden, with Secure Boot on");
}

#[test]
fn power_cuts_of_secure_boot_v1() {
    let mut total = 0;
    for (name, config) in [("alone", config(own_key())), ("with flash encryption", encrypted(own_key()))] {
        let cuts = survey(&v1_board(&config), 1).unwrap();
        print_table(&format!("esp32 Secure Boot V1 {name}"), &cuts);
        total += cuts.len();
        for cut in cuts {
            // The digest is written again if it was cut; only the eFuses that enable can be torn for good.
            if cut.doing.starts_with("writing the digest") || cut.doing == "burning eFuse BLOCK2" {
                assert_eq!(cut.aftermath, Aftermath::ComesBack, "{cut:?}");
            }
            if let Aftermath::Stays(remedy) = cut.aftermath {
                assert_ne!(remedy, Remedy::None, "{cut:?}");
            }
        }
    }
    println!("first boot with Secure Boot V1: {total} power cuts");
}

#[test]
fn key_and_digest_survive_two_cuts() {
    let board = v1_board(&config(own_key()));
    let survey = Survey::new(&board).unwrap();
    let mut pairs = 0;
    let ends = |op: u64| survey.cut(CutPoint { op, phase: Phase::Torn }, op).unwrap();
    let last = (0..survey.operations()).take_while(|op| ends(*op).doing != "burning eFuse BLOCK0").count();
    let points = || (0..last as u64).flat_map(|op| Phase::ALL.map(|phase| CutPoint { op, phase }));
    for (first, second) in points().flat_map(|first| points().map(move |second| (first, second))) {
        let chip = board.duplicate_on(Fault::new(first.op ^ second.op)).unwrap();
        for point in [first, second] {
            chip.fault().restart_count();
            chip.fault().cut_at(point);
            let _cut = chip.power_on();
        }
        chip.fault().forget_cut();
        if chip.power_on().booted().is_none() {
            // The second cut came to the eFuses that switch it on, which had come nearer.
            let registers = chip.efuses().image().unwrap();
            assert_ne!(registers.value(registers.map().wr_dis()), 0, "{first:?}, then {second:?}");
        }
        pairs += 1;
    }
    println!("key and digest of Secure Boot V1: {pairs} pairs of power cuts");
}
