//! Secure Boot V1 on the first boot of an ESP32: a key that nobody knows, and the digest of the second stage under it.
//!
//! Source: ESP-IDF 6.2-dev (33a3616) `components/bootloader_support/src/secure_boot_v1/secure_boot.c`.

use super::efuse_batch::{EfuseBatch, is_empty, is_hidden};
use super::features;
use super::first_boot::FirstBoot;
use super::flash_encryption::plain_bootloader;
use crate::efuse::Efuses;
use crate::report::{Record, RefusalCode, Stage};
use crate::second_stage::SecondStage;
use cotter_formats::addr::SECTOR;
use cotter_formats::efuse::EfuseBlock;
use cotter_formats::secure_boot::v1::{BootloaderKey, DIGEST_LEN, IV_LEN, add_digest};
use embedded_storage::nor_flash::NorFlash;
use zeroize::Zeroizing;

/// Where the key is.
pub(super) const KEY: EfuseBlock = EfuseBlock(2);

/// True if `ABS_DONE_0` is burned.
pub(super) fn is_on(efuses: &Efuses) -> Result<bool, RefusalCode> {
    Ok(efuses.image()?.value_named("ABS_DONE_0") == Some(1))
}

/// Makes the key if there is none, then writes IV and digest to flash address 0.
///
/// A key that was torn by a power cut is taken for one that was burned by hand: it works, but part of it may be zeros.
#[doc(alias = "esp_secure_boot_generate_digest")]
pub(super) fn write_digest(first_boot: &mut FirstBoot<'_>, record: &mut Record) -> Result<(), RefusalCode> {
    let FirstBoot { flash, efuses, config, entropy, .. } = first_boot;
    if is_on(efuses)? {
        record.line(
            "secure_boot_v1: bootloader secure boot is already enabled. No need to generate digest. continuing..",
        );
        return Ok(());
    }
    let Some(bootloader) = plain_bootloader(flash, efuses, config)? else {
        record.line("secure_boot_v1: bootloader image appears invalid!");
        return Err(RefusalCode::MalformedImage);
    };

    // 1. Random bytes go into the eFuses as they come; the hardware reads them backwards.
    let registers = efuses.image()?;
    if registers.is_block_writable(KEY) && !is_hidden(&registers, KEY) && is_empty(&registers, KEY) {
        record.line("secure_boot_v1: Generating new secure boot key...");
        let mut key = Zeroizing::new([0; 32]);
        let key = &mut key[..registers.data_len(KEY).unwrap_or(32).min(32)];
        entropy.fill(key);
        let mut batch = EfuseBatch::single(efuses)?;
        batch.put(KEY, 0, key);
        // ESP-IDF does not look at the result.
        match batch.commit(record) {
            Err(RefusalCode::PowerLost) => return Err(RefusalCode::PowerLost),
            _ => record.step(Stage::SecondStage, "boot key", "generated"),
        }
    } else {
        record.line("secure_boot_v1: Using pre-loaded secure boot key in EFUSE block 2");
    }

    // 2. IV and digest over the second stage as the cache shows it; they are encrypted if flash encryption is on.
    record.line("secure_boot_v1: Generating secure boot digest...");
    let mut iv = [0; IV_LEN];
    entropy.fill(&mut iv);
    let key = efuses.hardware_block(KEY);
    let len = efuses.data_len(KEY).min(32);
    let file = Zeroizing::new(key.expose()[..len].iter().rev().copied().collect::<Vec<u8>>());
    let made = BootloaderKey::from_file(&file).and_then(|key| add_digest(&key, &iv, bootloader.bytes()));
    let Ok(made) = made else {
        record.line("secure_boot_v1: secure boot generation failed");
        return Err(RefusalCode::MalformedImage);
    };
    record.doing("writing the digest of the second stage, sector at 0x0".to_owned());
    flash.erase(0, SECTOR)?;
    flash.write(0, &made[..IV_LEN + DIGEST_LEN])?;
    record.line("secure_boot_v1: Digest generation complete.");
    record.step(Stage::SecondStage, "boot digest", "written to flash address 0x0");
    Ok(())
}

/// Hides and freezes the key, and switches Secure Boot on.
#[doc(alias = "esp_secure_boot_permanently_enable")]
pub(super) fn switch_on(efuses: &Efuses, config: &SecondStage, record: &mut Record) -> Result<(), RefusalCode> {
    record.line("boot: Checking secure boot...");
    if is_on(efuses)? {
        record.line("secure_boot_v1: bootloader secure boot is already enabled, continuing..");
        return Ok(());
    }
    let registers = efuses.image()?;
    let (is_read_protected, is_frozen) = (is_hidden(&registers, KEY), !registers.is_block_writable(KEY));
    if is_read_protected != is_frozen {
        let missing = if is_read_protected { "write" } else { "read" };
        record.line(format!(
            "secure_boot_v1: Pre-loaded key is not {missing} protected. Refusing to blow secure boot efuse."
        ));
        record.line("boot: FAILED TO ENABLE SECURE BOOT (259).");
        return Err(RefusalCode::BootKeyHalfProtected);
    }
    let mut batch = EfuseBatch::begin(efuses, record)?;
    record.line("secure_boot_v1: blowing secure boot efuse...");
    features::secure_boot_v1(&mut batch, config, record);
    batch.commit(record)?;
    record.line("secure_boot_v1: secure boot is now enabled for bootloader image");
    record.step(Stage::SecondStage, "Secure Boot", "V1 is on");
    Ok(())
}
