//! Secure Boot V1 as the ESP32's ROM does it: a digest of the second stage under the key in BLOCK2.
//!
//! Source: ESP-IDF 6.2-dev `docs/en/security/secure-boot-v1.rst`. Not observed: the lines.

use crate::crypt::TransparentFlash;
use crate::efuse::Efuses;
use crate::report::{Record, RefusalCode, Stage};
use cotter_formats::addr::FlashAddr;
use cotter_formats::efuse::EfuseBlock;
use cotter_formats::secure_boot::v1::{BootloaderError, BootloaderKey, DigestedBootloader};
use zeroize::Zeroizing;

/// Verifies the digest at flash address 0 over IV and bootloader; prints the verdict, after which the ROM halts.
pub(super) fn verify(flash: &TransparentFlash, efuses: &Efuses, record: &mut Record) -> Result<(), RefusalCode> {
    // The key stands in the eFuses with its last byte first; 24 bytes of it under the 3/4 coding.
    let key = efuses.hardware_block(KEY);
    let len = efuses.data_len(KEY).min(key.expose().len());
    let file = Zeroizing::new(key.expose()[..len].iter().rev().copied().collect::<Vec<u8>>());
    let key = BootloaderKey::from_file(&file).map_err(|_| RefusalCode::NoTrustedKey)?;

    let mut bytes = vec![0; LARGEST.min(flash.raw().size().0 as usize)];
    flash.read_at(FlashAddr(0), &mut bytes)?;
    let verdict = DigestedBootloader::parse(&bytes).and_then(|bootloader| bootloader.verify(&key));
    match verdict {
        Ok(()) => {
            record.step(Stage::Rom, "Secure Boot", "V1: the digest of the second stage holds");
            Ok(())
        }
        Err(error) => {
            record.line("secure boot check fail");
            Err(match error {
                BootloaderError::Mismatch => RefusalCode::SignedDigestMismatch,
                BootloaderError::Image(cotter_formats::image::ImageError::Checksum { .. }) => {
                    RefusalCode::ChecksumMismatch
                }
                _ => RefusalCode::MalformedImage,
            })
        }
    }
}

/// Where the key is.
const KEY: EfuseBlock = EfuseBlock(2);
/// No second stage is longer: the partition table is at 0x10000 at the latest where ESP-IDF puts it.
const LARGEST: usize = 0x1_0000;
