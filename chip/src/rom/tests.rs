//! The verdict table of the C3's ROM (2021-02-07), row by row: case, what is printed at the end, refusal.
//!
//! Images and signatures are espsecure's and esptool's (5.6.0, see vectors/sbv2 and vectors/image), except where a row
//! needs one that they do not make.

use super::*;
use crate::efuse::{BurnSet, KeyProtection};
use crate::fault::{CutPoint, Fault, Phase};
use crate::fixtures::{FLASH_KEY, encrypted_for, own_public, signed_by_us};
use crate::flash::Flash;
use crate::report::Outcome;
use cotter_formats::addr::FlashAddr;
use cotter_formats::crc::crc_b;
use cotter_formats::efuse::esp32c3::*;
use cotter_formats::efuse::{EfuseBlock, Field, KeyPurpose};
use cotter_formats::secret::Secret;
use cotter_formats::secure_boot::v2::BLOCK_LEN;

const UNSIGNED: &[u8] = include_bytes!("../../../vectors/image/esp32c3-bootloader.bin");
const SIGNED_A: &[u8] = include_bytes!("../../../vectors/sbv2/signed-rsa3072_a.bin");
const SIGNED_B: &[u8] = include_bytes!("../../../vectors/sbv2/signed-rsa3072_b.bin");
const SIGNED_AB: &[u8] = include_bytes!("../../../vectors/sbv2/signed-rsa-ab.bin");
const SIGNED_ECDSA: &[u8] = include_bytes!("../../../vectors/sbv2/signed-ecdsa_p256.bin");
const DIGEST_A: &[u8] = include_bytes!("../../../vectors/sbv2/digest-rsa3072_a.bin");
const DIGEST_B: &[u8] = include_bytes!("../../../vectors/sbv2/digest-rsa3072_b.bin");

/// Offset of the signature sector in the signed images above.
fn sector() -> usize {
    SIGNED_A.len() - 4096
}

struct Bench {
    efuses: Efuses,
    flash: Flash,
}

impl Bench {
    fn new(image: &[u8]) -> Self {
        let fault = Fault::new(5);
        let efuses = Efuses::fresh(Chip::Esp32C3, [2, 0, 0, 0, 0, 1], fault.clone());
        let flash = Flash::erased(FlashLen(0x1_0000), fault).unwrap();
        flash.overwrite_externally(FlashAddr(0), image).unwrap();
        Self { efuses, flash }
    }

    fn burn(self, field: &Field, value: u32) -> Self {
        let mut set = BurnSet::new(Chip::Esp32C3);
        set.field(field, value).unwrap();
        self.efuses.burn(&set).unwrap();
        self
    }

    fn key(self, block: u8, purpose: KeyPurpose, key: &[u8]) -> Self {
        let mut set = BurnSet::new(Chip::Esp32C3);
        let key = Secret::from_slice(key).unwrap();
        set.key(EfuseBlock::key(block).unwrap(), purpose, &key, KeyProtection::of(purpose)).unwrap();
        self.efuses.burn(&set).unwrap();
        self
    }

    /// Secure Boot on, trusting key A under DIGEST0.
    fn trusting_a(self) -> Self {
        self.key(0, KeyPurpose::SECURE_BOOT_DIGEST0, DIGEST_A).burn(&SECURE_BOOT_EN, 1)
    }

    /// Secure Boot on, trusting A and B.
    fn trusting_both(self) -> Self {
        self.trusting_a().key(1, KeyPurpose::SECURE_BOOT_DIGEST1, DIGEST_B)
    }

    fn encrypted(self) -> Self {
        self.key(3, KeyPurpose::XTS_AES_128_KEY, FLASH_KEY).burn(&SPI_BOOT_CRYPT_CNT, 1)
    }

    fn boot(&self) -> (Vec<String>, Result<(), RefusalCode>) {
        let mut record = Record::default();
        let view = TransparentFlash::new(self.flash.clone(), self.efuses.clone());
        let verdict = boot(&view, &self.efuses, &mut record);
        (record.close(Outcome::Refused(RefusalCode::NoBootableApp)).lines, verdict)
    }

    /// The lines from the first of `expected` on must be exactly `expected`.
    fn expect(&self, case: &str, verdict: Result<(), RefusalCode>, expected: &[&str]) {
        let (lines, got) = self.boot();
        let tail = lines.len().saturating_sub(expected.len());
        assert_eq!(lines[tail..], *expected, "{case}: {lines:#?}");
        assert_eq!(got, verdict, "{case}");
    }
}

fn changed(image: &[u8], at: usize, flip: u8) -> Vec<u8> {
    let mut image = image.to_vec();
    image[at] ^= flip;
    image
}

/// Changes a byte of signature block 0 and mends its CRC.
fn changed_in_block(at: usize) -> Vec<u8> {
    let mut image = changed(SIGNED_A, sector() + at, 1);
    mend_crc(&mut image);
    image
}

fn mend_crc(image: &mut [u8]) {
    let block = &mut image[sector()..sector() + BLOCK_LEN];
    let crc = crc_b(&block[..1196]);
    block[1196..1200].copy_from_slice(&crc.to_le_bytes());
}

fn low_half(crc: u32) -> String {
    format!("{:#x}", crc & 0xffff)
}

const FAILED: [&str; 2] = ["secure boot verification failed", "ets_main.c 333"];

fn failed<'a>(reasons: &[&'a str]) -> Vec<&'a str> {
    [reasons, &FAILED[..]].concat()
}

#[test]
fn secure_boot_off() {
    let entry = format!("entry {:#x}", u32::from_le_bytes(UNSIGNED[4..8].try_into().unwrap()));
    let checksum_at = UNSIGNED.len() - 33;
    let stored = UNSIGNED[checksum_at];

    Bench::new(UNSIGNED).expect("none", Ok(()), &[&entry]);
    Bench::new(&changed(UNSIGNED, 12, 5)).expect(
        "wrong chip id",
        Err(RefusalCode::WrongChip),
        &["Invalid chip id. Expected 5 read 0. Bootloader for wrong chip?"],
    );
    Bench::new(&changed(UNSIGNED, checksum_at, 1)).expect(
        "bad checksum byte",
        Err(RefusalCode::ChecksumMismatch),
        &[&format!("Checksum failure. Calculated {stored:#04x} stored {:#04x}", stored ^ 1)],
    );
    Bench::new(&changed(UNSIGNED, 1, UNSIGNED[1] ^ 17)).expect(
        "17 segments",
        Err(RefusalCode::TooManySegments),
        &["Invalid image block count: 17 (max 16)"],
    );
    let mut bad_magic = UNSIGNED.to_vec();
    bad_magic[..4].copy_from_slice(&0x2f02_01e8_u32.to_le_bytes());
    Bench::new(&bad_magic).expect("bad magic", Err(RefusalCode::InvalidHeader), &["invalid header: 0x2f0201e8"]);

    let (lines, verdict) = Bench::new(&changed(UNSIGNED, UNSIGNED.len() - 1, 1)).boot();
    assert_eq!(verdict, Ok(()), "bad appended SHA-256");
    let warning = lines.iter().position(|line| line == "SHA-256 comparison failed:").unwrap();
    assert!(lines[warning + 1].starts_with("Calculated: ") && lines[warning + 2].starts_with("Expected: "));
    assert_eq!(lines[warning + 3..], ["Attempting to boot anyway...", &entry]);

    let mut from_the_future = changed(UNSIGNED, 16, 0x7f);
    from_the_future[17] = 1;
    let (_, verdict) = Bench::new(&from_the_future).boot();
    assert_eq!(verdict, Ok(()), "minimum revision fields");
}

#[test]
fn the_banner_is_the_real_one() {
    let (lines, _) = Bench::new(UNSIGNED).boot();
    assert_eq!(lines[0], "ESP-ROM:esp32c3-api1-20210207");
    assert_eq!(lines[2], "rst:0x1 (POWERON),boot:0x8 (SPI_FAST_FLASH_BOOT)");
    assert_eq!(lines[4], "mode:DIO, clock div:2");
}

#[test]
fn secure_boot_v2() {
    let valid = "Valid secure boot key blocks: 0";
    let boots = ["secure boot verification succeeded"];
    let accepted = |case: &str, bench: Bench, valid: &str| {
        let (lines, verdict) = bench.boot();
        assert_eq!(verdict, Ok(()), "{case}: {lines:#?}");
        assert_eq!(lines[5..7], [valid, boots[0]], "{case}");
    };
    accepted("accept", Bench::new(SIGNED_A).trusting_a(), valid);

    Bench::new(SIGNED_B).trusting_a().expect(
        "key not in eFuse",
        Err(RefusalCode::UntrustedKey),
        &failed(&[valid, "Sig block 0 signed with untrusted key"]),
    );
    Bench::new(&changed(SIGNED_A, 0x40, 1)).trusting_a().expect(
        "flipped byte in the body",
        Err(RefusalCode::HashMismatch),
        &failed(&[valid, "SHA-256 simple hash comparison failed."]),
    );
    let wrong_digest = failed(&[valid, "Sig block 0 invalid: Image digest does not match"]);
    assert_eq!(SIGNED_A[sector() - 1], 0xff, "padding");
    for (case, image) in [
        ("flipped padding byte", changed(SIGNED_A, sector() - 1, 1)),
        ("changed digest in the block, CRC mended", changed_in_block(4)),
    ] {
        Bench::new(&image).trusting_a().expect(case, Err(RefusalCode::SignedDigestMismatch), &wrong_digest);
    }

    let flipped = changed(SIGNED_A, sector() + 100, 1);
    let stored = u32::from_le_bytes(flipped[sector() + 1196..][..4].try_into().unwrap());
    let calculated = crc_b(&flipped[sector()..sector() + 1196]);
    let reason =
        format!("Sig block 0 invalid: Stored CRC ends {} calculated ends {}", low_half(stored), low_half(calculated));
    Bench::new(&flipped).trusting_a().expect(
        "flipped byte in the block",
        Err(RefusalCode::SignatureBlockInvalid),
        &failed(&[valid, &reason]),
    );
    Bench::new(&changed_in_block(812 + 383)).trusting_a().expect(
        "flipped RSA byte, CRC mended",
        Err(RefusalCode::BadSignature),
        &failed(&[valid, "Signature Check Failed", "Sig block 0 signature verification failed"]),
    );
    Bench::new(UNSIGNED).trusting_a().expect(
        "unsigned",
        Err(RefusalCode::Unsigned),
        &failed(&[
            valid,
            "No signature block magic byte found at signature sector (found 0xff not 0xe7). Image not V2 signed?",
        ]),
    );
    Bench::new(SIGNED_ECDSA).trusting_a().expect(
        "ECDSA, which this ROM does not know",
        Err(RefusalCode::SignatureBlockInvalid),
        &failed(&[valid]),
    );

    let both = "Valid secure boot key blocks: 0 1";
    accepted("two digests, first key", Bench::new(SIGNED_A).trusting_both(), both);
    accepted("two digests, second key", Bench::new(SIGNED_B).trusting_both(), both);
    accepted("two digests, both blocks", Bench::new(SIGNED_AB).trusting_both(), both);
    let revoked = |image| Bench::new(image).trusting_both().burn(&SECURE_BOOT_KEY_REVOKE0, 1);
    let second = "Valid secure boot key blocks: 1";
    accepted("KEY_REVOKE0, second key", revoked(SIGNED_B), second);
    revoked(SIGNED_A).expect(
        "KEY_REVOKE0, first key",
        Err(RefusalCode::UntrustedKey),
        &failed(&[second, "Sig block 0 signed with untrusted key"]),
    );
    let (lines, verdict) = revoked(SIGNED_AB).boot();
    assert_eq!(verdict, Ok(()), "KEY_REVOKE0, both blocks");
    assert_eq!(lines[5..8], [second, "Sig block 0 signed with untrusted key", boots[0]]);
}

#[test]
fn without_a_usable_digest_there_is_no_reason_line() {
    let refused = Err(RefusalCode::NoTrustedKey);
    let mode = "mode:DIO, clock div:2";
    let none = Bench::new(SIGNED_A).burn(&SECURE_BOOT_EN, 1);
    none.expect("no digest", refused, &failed(&[mode]));
    let user = Bench::new(SIGNED_A).key(0, KeyPurpose::USER, DIGEST_A).burn(&SECURE_BOOT_EN, 1);
    user.expect("purpose USER", refused, &failed(&[mode]));
    let revoked = Bench::new(SIGNED_A).trusting_a().burn(&SECURE_BOOT_KEY_REVOKE0, 1);
    revoked.expect("all revoked", refused, &failed(&[mode]));
}

#[test]
fn aggressive_revoke_burns_the_key_of_a_bad_signature_and_of_nothing_else() {
    let bench = |image: &[u8]| Bench::new(image).trusting_a().burn(&SECURE_BOOT_AGGRESSIVE_REVOKE, 1);
    let is_revoked = |bench: &Bench| bench.efuses.image().unwrap().is_set(&SECURE_BOOT_KEY_REVOKE0);

    let bad = bench(&changed_in_block(900));
    bad.expect(
        "bad signature",
        Err(RefusalCode::BadSignature),
        &failed(&[
            "Signature Check Failed",
            "Sig block 0 signature verification failed",
            "Aggressive revoke enabled. Revoked key block for purpose ETS_EFUSE_KEY_PURPOSE_SECURE_BOOT_DIGEST0",
        ]),
    );
    assert!(is_revoked(&bad));
    for (case, image) in [("untrusted key", SIGNED_B.to_vec()), ("body flip", changed(SIGNED_A, 0x40, 1))] {
        let bench = bench(&image);
        assert!(bench.boot().1.is_err(), "{case}");
        assert!(!is_revoked(&bench), "{case}");
    }
}

#[test]
fn aggressive_revoke_survives_power_cut() {
    for phase in Phase::ALL {
        let bench = Bench::new(&changed_in_block(900)).trusting_a().burn(&SECURE_BOOT_AGGRESSIVE_REVOKE, 1);
        bench.efuses.fault().restart_count();
        bench.efuses.fault().cut_at(CutPoint { op: 0, phase });
        assert_eq!(bench.boot().1, Err(RefusalCode::PowerLost));
        bench.efuses.fault().restore_power();
        let second = bench.boot().1.unwrap_err();
        assert!(matches!(second, RefusalCode::BadSignature | RefusalCode::NoTrustedKey), "{phase:?}: {second}");
        assert_eq!(bench.boot().1, Err(RefusalCode::NoTrustedKey));
    }
}

#[test]
fn secure_boot_needs_the_appended_hash() {
    let trusting_us = |image: &[u8]| {
        let digest = own_public().key_digest().unwrap();
        Bench::new(image).key(0, KeyPurpose::SECURE_BOOT_DIGEST0, &digest).burn(&SECURE_BOOT_EN, 1)
    };
    assert_eq!(trusting_us(&signed_by_us(UNSIGNED)).boot().1, Ok(()));
    let mut without = UNSIGNED[..UNSIGNED.len() - 32].to_vec();
    without[23] = 0;
    trusting_us(&signed_by_us(&without)).expect("hash_appended = 0", Err(RefusalCode::HashMissing), &FAILED);
}

#[test]
fn flash_encryption() {
    let signed = encrypted_for(0, SIGNED_A);
    assert_eq!(Bench::new(&signed).trusting_a().encrypted().boot().1, Ok(()), "sign, then encrypt");

    for (case, image) in
        [("wrong address", encrypted_for(0x1000, SIGNED_A)), ("plaintext in an encrypted slot", SIGNED_A.to_vec())]
    {
        let bench = Bench::new(&image).trusting_a().encrypted();
        let mut word = [0; 4];
        let view = TransparentFlash::new(bench.flash.clone(), bench.efuses.clone());
        view.read_at(FlashAddr(0), &mut word).unwrap();
        let line = format!("invalid header: {:#010x}", u32::from_le_bytes(word));
        bench.expect(case, Err(RefusalCode::InvalidHeader), &[&line]);
    }

    Bench::new(&changed(&signed, 0x40, 1)).trusting_a().encrypted().expect(
        "flipped ciphertext byte",
        Err(RefusalCode::HashMismatch),
        &failed(&["SHA-256 simple hash comparison failed."]),
    );
}

#[test]
fn download_modes() {
    let enter = |bench: Bench| {
        let mut record = Record::default();
        let mode = download(&bench.efuses, &mut record);
        (record.close(Outcome::Refused(RefusalCode::NoBootableApp)).lines.pop().unwrap_or_default(), mode)
    };
    let bench = || Bench::new(UNSIGNED);
    assert_eq!(enter(bench()), ("waiting for download".into(), Ok(DownloadMode::Full)));
    let secure = ("wait uart download(secure mode)".into(), Ok(DownloadMode::Secure));
    assert_eq!(enter(bench().burn(&ENABLE_SECURITY_DOWNLOAD, 1)), secure);
    let disabled = ("Download boot modes disabled".into(), Err(RefusalCode::DownloadModeDisabled));
    assert_eq!(enter(bench().burn(&DIS_DOWNLOAD_MODE, 1)), disabled);
}

#[test]
fn uart_print_control_3_silences_the_rom() {
    let bench = Bench::new(&changed(UNSIGNED, 12, 5)).burn(&UART_PRINT_CONTROL, 3);
    assert_eq!(bench.boot(), (vec![], Err(RefusalCode::WrongChip)));
}

#[test]
fn no_flipped_byte_of_a_signed_image_boots() {
    // Every byte of header, segments, checksum and digest, and a sample of the padding and of what counts in the block.
    let end = UNSIGNED.len();
    let padding = (end..sector()).step_by(97);
    let block = (sector()..sector() + 1200).step_by(7);
    for at in (0..end).chain(padding).chain(block) {
        assert!(Bench::new(&changed(SIGNED_A, at, 0x10)).trusting_a().boot().1.is_err(), "byte {at:#x}");
    }
}

#[test]
fn a_hostile_length_is_refused() {
    for len in [u32::MAX, 0x7fff_fff0, 0x1_0000, 0xffe0] {
        let mut image = UNSIGNED.to_vec();
        image[28..32].copy_from_slice(&len.to_le_bytes());
        assert_eq!(Bench::new(&image).boot().1, Err(RefusalCode::MalformedImage), "{len:#x}");
    }
    let mut cut = vec![0; 24];
    cut[..2].copy_from_slice(&[0xe9, 0]);
    cut[12] = 5;
    assert_eq!(Bench::new(&cut).boot().1, Err(RefusalCode::MalformedImage), "no segments");
}
