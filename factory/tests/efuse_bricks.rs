//! What the lint calls a brick, the virtual ROM of the ESP32-C3 refuses; what it does not, the ROM starts.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use cotter_chip::board::VirtualChip;
use cotter_chip::efuse::BurnSet;
use cotter_formats::addr::FlashAddr;
use cotter_formats::chip::Chip;
use cotter_formats::efuse::lint::{Expectation, Rule, Severity, findings};
use cotter_formats::efuse::{EfuseBlock, EfuseMap};
use cotter_formats::flash_encryption::xts::{self, XtsKey};
use cotter_formats::secret::Secret;

const SIGNED: &[u8] = include_bytes!("../../vectors/sbv2/signed-rsa3072_a.bin");
const DIGEST: &[u8; 32] = include_bytes!("../../vectors/sbv2/digest-rsa3072_a.bin");
const FLASH_KEY: [u8; 32] = *include_bytes!("../../vectors/efuse/fe_key_256.bin");

/// Raw burns: what a careful tool would refuse is the point here.
fn chip(fields: &[(&str, u32)], blocks: &[(u8, [u8; 32])], encrypted: bool) -> VirtualChip {
    let board = VirtualChip::new(Chip::Esp32C3, [2, 0, 0, 0, 0, 7]).unwrap();
    let map = EfuseMap::of(Chip::Esp32C3);
    let mut set = BurnSet::new(Chip::Esp32C3);
    for (block, data) in blocks {
        set.block(EfuseBlock::key(*block).unwrap(), data).unwrap();
    }
    for (name, value) in fields {
        set.field(map.field(name).unwrap(), *value).unwrap();
    }
    board.efuses().burn(&set).unwrap();
    let mut content = SIGNED.to_vec();
    if encrypted {
        let key = XtsKey::Aes128(Secret::from_slice(&FLASH_KEY).unwrap());
        xts::encrypt(&key, FlashAddr(0), &mut content).unwrap();
    }
    board.raw_flash().overwrite_externally(FlashAddr(0), &content).unwrap();
    board
}

/// True if the ROM hands over to the second stage.
fn starts(board: &VirtualChip) -> bool {
    let lines = board.power_on().lines;
    lines.iter().any(|line| line.starts_with("entry 0x"))
}

fn bricks(board: &VirtualChip) -> Vec<Rule> {
    let found = findings(&board.efuses().image().unwrap(), &Expectation::DEVELOPMENT);
    found.iter().filter(|finding| finding.severity == Severity::Brick).map(|finding| finding.rule).collect()
}

const SIGNED_ON: (&str, u32) = ("SECURE_BOOT_EN", 1);
const DIGEST0: (&str, u32) = ("KEY_PURPOSE_0", 9);

#[test]
fn a_chip_without_a_brick_finding_starts() {
    let signed = chip(&[SIGNED_ON, DIGEST0], &[(0, *DIGEST)], false);
    assert_eq!((bricks(&signed), starts(&signed)), (vec![], true));
    let mut key = FLASH_KEY;
    key.reverse();
    let fields = [SIGNED_ON, DIGEST0, ("KEY_PURPOSE_1", 4), ("SPI_BOOT_CRYPT_CNT", 7), ("RD_DIS", 0b10)];
    let both = chip(&fields, &[(0, *DIGEST), (1, key)], true);
    assert_eq!((bricks(&both), starts(&both)), (vec![], true));
}

#[test]
fn what_is_called_a_brick_does_not_start() {
    let mut key = FLASH_KEY;
    key.reverse();
    let cases = [
        (Rule::SecureBootNoDigest, chip(&[SIGNED_ON], &[], false)),
        (Rule::SecureBootNoDigest, chip(&[SIGNED_ON], &[(0, *DIGEST)], false)),
        (
            Rule::SecureBootAllRevoked,
            chip(&[SIGNED_ON, DIGEST0, ("SECURE_BOOT_KEY_REVOKE0", 1)], &[(0, *DIGEST)], false),
        ),
        (Rule::DigestReadProtected, chip(&[SIGNED_ON, DIGEST0, ("RD_DIS", 1)], &[(0, *DIGEST)], false)),
        (Rule::DigestEmpty, chip(&[SIGNED_ON, DIGEST0], &[], false)),
        (Rule::DigestImplausible, chip(&[SIGNED_ON, DIGEST0], &[(0, [0x66; 32])], false)),
        (Rule::FlashKeyMissing, chip(&[("SPI_BOOT_CRYPT_CNT", 1)], &[], true)),
        (Rule::FlashKeyMissing, chip(&[("SPI_BOOT_CRYPT_CNT", 1), ("KEY_PURPOSE_1", 4)], &[], true)),
        (
            Rule::CryptCntFrozenEven,
            chip(&[("SPI_BOOT_CRYPT_CNT", 3), ("KEY_PURPOSE_1", 4), ("WR_DIS", 1 << 4)], &[(1, key)], true),
        ),
    ];
    for (rule, board) in cases {
        assert_eq!(bricks(&board), [rule], "{rule}");
        assert!(!starts(&board), "{rule}: {:#?}", board.power_on().lines);
    }
}
