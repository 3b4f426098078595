//! The C3's ROM beyond the table of verdicts, which is data and held by `tests/rom_parity.rs`: power cuts, every byte,
//! hostile lengths, download mode.
//!
//! Images and signatures are espsecure's and esptool's (5.6.0, see vectors/sbv2 and vectors/image), except where a row
//! needs one that they do not make.

use super::*;
use crate::efuse::{BurnSet, KeyProtection};
use crate::fault::{CutPoint, Fault, Phase};
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
const DIGEST_A: &[u8] = include_bytes!("../../../vectors/sbv2/digest-rsa3072_a.bin");

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

    fn boot(&self) -> (Vec<String>, Result<(), RefusalCode>) {
        let mut record = Record::default();
        let view = TransparentFlash::new(self.flash.clone(), self.efuses.clone());
        let verdict = boot(&view, &self.efuses, Reset::PowerOn, &mut record);
        (record.close(Outcome::Refused(RefusalCode::NoBootableApp)).lines, verdict)
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
