//! Boards: files, download mode, and what it permits once it is locked.

use super::*;
use crate::efuse::KeyProtection;
use crate::fault::{CutPoint, Phase};
use crate::fixtures::{FLASH_KEY, encrypted_for};
use cotter_formats::efuse::{EfuseBlock, Field, KeyPurpose, esp32c3};
use cotter_formats::secret::Secret;

const MAC: [u8; 6] = [0x58, 0xcf, 0x79, 0xaa, 0xbb, 0xcc];
const BOOTLOADER: &[u8] = include_bytes!("../../../vectors/image/esp32c3-bootloader.bin");

fn board() -> VirtualChip {
    VirtualChip::new(Chip::Esp32C3, MAC).unwrap()
}

fn download(board: &VirtualChip) -> Download {
    board.power_on_in_download_mode().unwrap()
}

fn burn(board: &VirtualChip, field: &Field) {
    board.efuses().burn(&setting(field)).unwrap();
}

fn setting(field: &Field) -> BurnSet {
    let mut set = BurnSet::new(Chip::Esp32C3);
    set.field(field, 1).unwrap();
    set
}

fn flash_key() -> BurnSet {
    let mut set = BurnSet::new(Chip::Esp32C3);
    let purpose = KeyPurpose::XTS_AES_128_KEY;
    let key = Secret::from_slice(FLASH_KEY).unwrap();
    set.key(EfuseBlock(4), purpose, &key, KeyProtection::of(purpose)).unwrap();
    set
}

#[test]
fn a_fresh_board_has_nothing_to_boot() {
    let report = board().power_on();
    assert_eq!(report.refusal(), Some(RefusalCode::InvalidHeader));
    assert_eq!(report.lines.last().unwrap(), "invalid header: 0xffffffff");
}

#[test]
fn chips_whose_rom_is_unknown_are_refused() {
    let refused = VirtualChip::new(Chip::Esp32H4, MAC);
    assert!(matches!(refused, Err(BoardError::NotSimulated { chip: Chip::Esp32H4 })));
}

#[test]
fn download_mode_writes_and_reads_what_is_stored() {
    let board = board();
    let download = download(&board);
    assert_eq!(download.mode(), DownloadMode::Full);
    assert_eq!(download.read_efuses().unwrap().mac(), MAC);
    download.write_flash(FlashAddr(0), BOOTLOADER).unwrap();
    let len = FlashLen(u32::try_from(BOOTLOADER.len()).unwrap());
    assert_eq!(download.read_flash(FlashAddr(0), len).unwrap(), BOOTLOADER);
    download.write_flash(FlashAddr(0), &[0x11; 16]).unwrap();
    assert_eq!(download.read_flash(FlashAddr(0), FlashLen(20)).unwrap()[16..], [0xff; 4], "sectors are erased first");
    let refused = download.write_flash(FlashAddr(0x40_0000), &[0; 4]);
    assert!(matches!(refused, Err(DownloadError::Flash(FlashError::OutOfBounds { .. }))));
    let refused = download.write_flash(FlashAddr(0x10), &[0; 4]);
    assert!(matches!(refused, Err(DownloadError::Flash(FlashError::NotAligned { .. }))));
    assert!(download.read_flash(FlashAddr(0x40_0000), FlashLen(u32::MAX)).is_err());
}

#[test]
fn manual_encryption_stores_what_espsecure_would() {
    let board = board();
    let session = download(&board);
    assert_eq!(session.write_flash_encrypted(FlashAddr(0), BOOTLOADER), Err(DownloadError::NoFlashKey));
    session.burn(&flash_key()).unwrap();
    session.write_flash_encrypted(FlashAddr(0), BOOTLOADER).unwrap();
    let stored = board.external_readout();
    assert_eq!(stored[..BOOTLOADER.len()], encrypted_for(0, BOOTLOADER));
    burn(&board, &esp32c3::SPI_BOOT_CRYPT_CNT);
    assert!(board.power_on().lines.iter().any(|line| line.starts_with("entry 0x")));

    burn(&board, &esp32c3::DIS_DOWNLOAD_MANUAL_ENCRYPT);
    let refused = download(&board).write_flash_encrypted(FlashAddr(0), BOOTLOADER);
    assert_eq!(refused, Err(DownloadError::ManualEncryptionDisabled));
}

#[test]
fn secure_download_mode_writes_and_reads_nothing() {
    let board = board();
    let session = download(&board);
    session.burn(&setting(&esp32c3::ENABLE_SECURITY_DOWNLOAD)).unwrap();
    let locked_now = session.read_flash(FlashAddr(0), FlashLen(4));
    assert_eq!(locked_now, Err(DownloadError::SecureMode), "at once, not only after the next reset");

    let session = download(&board);
    assert_eq!(session.mode(), DownloadMode::Secure);
    assert_eq!(session.lines().last().unwrap(), "wait uart download(secure mode)");
    assert_eq!(session.read_flash(FlashAddr(0), FlashLen(4)), Err(DownloadError::SecureMode));
    assert_eq!(session.read_efuses().err(), Some(DownloadError::SecureMode));
    assert_eq!(session.burn(&flash_key()), Err(DownloadError::SecureMode));
    let info = session.security_info().unwrap();
    assert_eq!(info.flags, SecurityFlags::SECURE_DOWNLOAD);
    assert_eq!((info.chip_id, info.flash_crypt_count), (5, 0));
    session.write_flash(FlashAddr(0), BOOTLOADER).unwrap();
    session.erase_flash(FlashAddr(0x1000), FlashLen(0x1000)).unwrap();
}

#[test]
fn security_info_tells_what_is_burned() {
    let board = board();
    let session = download(&board);
    session.burn(&flash_key()).unwrap();
    for field in [&esp32c3::SECURE_BOOT_EN, &esp32c3::SECURE_BOOT_KEY_REVOKE2, &esp32c3::DIS_PAD_JTAG] {
        session.burn(&setting(field)).unwrap();
    }
    let mut set = BurnSet::new(Chip::Esp32C3);
    set.field(&esp32c3::SPI_BOOT_CRYPT_CNT, 7).unwrap();
    session.burn(&set).unwrap();
    let info = session.security_info().unwrap();
    assert_eq!(info.flash_crypt_count, 7, "the bits, not how many there are");
    assert!(info.flags.contains(SecurityFlags::SECURE_BOOT) && info.flags.contains(SecurityFlags::HARD_DISABLE_JTAG));
    assert!(info.flags.is_revoked(2) && !info.flags.is_revoked(0) && !info.flags.is_revoked(200));
    assert!(!info.flags.contains(SecurityFlags::SOFT_DISABLE_JTAG), "an even number of bits");
    assert_eq!(info.key_purposes[0], KeyPurpose::XTS_AES_128_KEY);
}

#[test]
fn disabled_download_mode_is_over() {
    let board = board();
    let session = download(&board);
    session.burn(&setting(&esp32c3::DIS_DOWNLOAD_MODE)).unwrap();
    assert_eq!(session.write_flash(FlashAddr(0), BOOTLOADER), Err(DownloadError::Disabled));
    assert_eq!(board.power_on_in_download_mode().err(), Some(RefusalCode::DownloadModeDisabled));
}

#[test]
fn power_comes_back_when_it_is_switched_on() {
    let board = board();
    let session = download(&board);
    board.fault().restart_count();
    board.fault().cut_at(CutPoint { op: 1, phase: Phase::Before });
    let cut = session.write_flash(FlashAddr(0), BOOTLOADER);
    assert_eq!(cut, Err(DownloadError::Flash(FlashError::PowerLost)));
    assert!(board.fault().is_lost());
    assert_eq!(board.power_on().refusal(), Some(RefusalCode::InvalidHeader));
    download(&board).write_flash(FlashAddr(0), BOOTLOADER).unwrap();
}

#[test]
fn a_duplicate_is_another_board() {
    let board = board();
    download(&board).burn(&flash_key()).unwrap();
    let copy = board.duplicate().unwrap();
    let session = download(&copy);
    session.write_flash_encrypted(FlashAddr(0), BOOTLOADER).unwrap();
    assert_eq!(copy.external_readout()[..BOOTLOADER.len()], encrypted_for(0, BOOTLOADER), "it has the hidden key");
    session.burn(&setting(&esp32c3::DIS_DOWNLOAD_MODE)).unwrap();
    copy.fault().cut_now();
    assert_eq!(board.external_readout()[0], 0xff);
    assert!(!board.fault().is_lost());
    download(&board);
}

#[test]
fn a_saved_board_is_the_same_board() {
    let directory = std::env::temp_dir().join(format!("cotter-board-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let board = board();
    let session = download(&board);
    session.burn(&flash_key()).unwrap();
    session.write_flash_encrypted(FlashAddr(0), BOOTLOADER).unwrap();
    burn(&board, &esp32c3::SPI_BOOT_CRYPT_CNT);
    board.save(&directory).unwrap();
    let again = VirtualChip::load(Chip::Esp32C3, &directory).unwrap();
    assert_eq!(again.power_on(), board.power_on());
    assert!(again.power_on().lines.iter().any(|line| line.starts_with("entry 0x")), "the hidden key is still there");
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(matches!(VirtualChip::load(Chip::Esp32C3, &directory), Err(BoardError::EfuseFile(_))));
}
