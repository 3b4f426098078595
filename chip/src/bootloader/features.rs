//! The eFuses that the second stage burns beside keys, chip by chip, and what it prints about them.
//!
//! Source: ESP-IDF 6.2-dev `components/bootloader_support/src/<chip>/flash_encryption_secure_features.c` and
//! `secure_boot_secure_features.c`.

use super::efuse_batch::EfuseBatch;
use crate::report::Record;
use crate::second_stage::{DownloadPolicy, FlashEncryption, SecondStage, SecureBoot};
use cotter_formats::chip::Chip;
use cotter_formats::efuse::{ChipRevision, unary};

/// What goes with flash encryption.
#[doc(alias = "esp_flash_encryption_enable_secure_features")]
pub(super) fn flash_encryption(
    batch: &mut EfuseBatch<'_>,
    config: &SecondStage,
    encryption: &FlashEncryption,
    record: &mut Record,
) {
    let chip = batch.chip();
    if chip == Chip::Esp32 {
        record.line("flash_encrypt: Setting CRYPT_CONFIG efuse to 0xF");
        match batch.registers().value_named("FLASH_CRYPT_CONFIG").unwrap_or(0) {
            0 => batch.set("FLASH_CRYPT_CONFIG"),
            0xf => {}
            other => record.line(format!("flash_encrypt: EFUSE_ENCRYPT_CONFIG should be set 0xF but it is {other:#x}")),
        }
    }
    if encryption.allow_download_encrypt {
        record.line("flash_encrypt: Not disabling UART bootloader encryption");
    } else {
        record.line("flash_encrypt: Disable UART bootloader encryption...");
        ["DIS_DOWNLOAD_MANUAL_ENCRYPT", "DISABLE_DL_ENCRYPT"].iter().for_each(|name| batch.set(name));
    }
    if chip == Chip::Esp32 {
        if encryption.allow_download_decrypt {
            record.line("flash_encrypt: Not disabling UART bootloader decryption - SECURITY COMPROMISED");
        } else {
            record.line("flash_encrypt: Disable UART bootloader decryption...");
            batch.set("DISABLE_DL_DECRYPT");
        }
    }
    let (cache, cache_fields) = download_cache(chip);
    if !cache_fields.is_empty() {
        if encryption.allow_download_cache {
            record.line(format!("flash_encrypt: Not disabling UART bootloader {cache} - SECURITY COMPROMISED"));
        } else {
            record.line(format!("flash_encrypt: Disable UART bootloader {cache}..."));
            cache_fields.iter().for_each(|name| batch.set(name));
        }
    }
    if config.allow_jtag {
        record.line("flash_encrypt: Not disabling JTAG - SECURITY COMPROMISED");
    } else {
        record.line("flash_encrypt: Disable JTAG...");
        HARD_JTAG.iter().for_each(|name| batch.set(name));
    }
    if chip == Chip::Esp32 {
        rom_basic(batch, config, "flash_encrypt", record);
    }
    other_boots(chip).iter().for_each(|name| batch.set(name));
    let revision = batch.registers().revision();
    if let Some(level) = encryption.pseudo_rounds.filter(|_| has_pseudo_rounds(chip, revision))
        && let Some(field) = batch.map().field("XTS_DPA_PSEUDO_LEVEL")
    {
        record.line("flash_encrypt: Enable XTS-AES pseudo rounds function...");
        batch.write(field, u32::from(level) & field.all_ones());
    }
    // With Secure Boot this waits until here, because the flash key could not be hidden any more.
    if matches!(config.secure_boot, SecureBoot::V2(_)) && !config.allow_read_protection && chip != Chip::Esp32C2 {
        batch.freeze("RD_DIS");
    }
    if !encryption.skip_cache_protection {
        match chip {
            Chip::Esp32 => batch.freeze("DIS_CACHE"),
            Chip::Esp32C2 | Chip::Esp32P4 => {}
            _ => batch.freeze("DIS_ICACHE"),
        }
    }
}

/// What goes with Secure Boot V2. `encrypted`: flash encryption is on already.
#[doc(alias = "esp_secure_boot_enable_secure_features")]
pub(super) fn secure_boot_v2(
    batch: &mut EfuseBatch<'_>,
    config: &SecondStage,
    aggressive_revoke: bool,
    encrypted: bool,
    record: &mut Record,
) {
    let chip = batch.chip();
    if chip == Chip::Esp32 {
        batch.set("ABS_DONE_1");
        jtag_of_secure_boot(batch, config, record);
        rom_basic(batch, config, "secure_boot", record);
        download_mode(batch, config.download_mode, record);
    } else {
        other_boots(chip).iter().for_each(|name| batch.set(name));
        download_mode(batch, config.download_mode, record);
        jtag_of_secure_boot(batch, config, record);
        if aggressive_revoke && chip != Chip::Esp32C2 {
            batch.set("SECURE_BOOT_AGGRESSIVE_REVOKE");
        }
        batch.set("SECURE_BOOT_EN");
    }
    if config.allow_read_protection {
        record.line("secure_boot: Allowing read disabling of additional efuses - SECURITY COMPROMISED");
    } else if chip == Chip::Esp32C2 || config.flash_encryption.is_none() || encrypted {
        record.line("secure_boot: Prevent read disabling of additional efuses...");
        batch.freeze("RD_DIS");
    }
}

/// What goes with Secure Boot V1.
pub(super) fn secure_boot_v1(batch: &mut EfuseBatch<'_>, config: &SecondStage, record: &mut Record) {
    record.line("secure_boot: Read & write protecting new key...");
    batch.hide_block(super::secure_boot_v1::KEY, u32::MAX);
    batch.freeze_block(super::secure_boot_v1::KEY);
    batch.set("ABS_DONE_0");
    jtag_of_secure_boot(batch, config, record);
    rom_basic(batch, config, "secure_boot", record);
}

/// What becomes of download mode; also burned by the application when it starts.
pub(crate) fn download_mode(batch: &mut EfuseBatch<'_>, policy: DownloadPolicy, record: &mut Record) {
    match policy {
        DownloadPolicy::Secure if batch.chip() != Chip::Esp32 => {
            record.line("secure_boot: Enabling Security download mode...");
            batch.set("ENABLE_SECURITY_DOWNLOAD");
        }
        DownloadPolicy::Disabled => {
            record.line("secure_boot: Disable ROM Download mode...");
            ["DIS_DOWNLOAD_MODE", "UART_DOWNLOAD_DIS"].iter().for_each(|name| batch.set(name));
        }
        _ => record.line("secure_boot: UART ROM Download mode kept enabled - SECURITY COMPROMISED"),
    }
}

fn jtag_of_secure_boot(batch: &mut EfuseBatch<'_>, config: &SecondStage, record: &mut Record) {
    if config.allow_jtag {
        record.line("secure_boot: Not disabling JTAG - SECURITY COMPROMISED");
        return;
    }
    let chip = batch.chip();
    record.line(match chip {
        Chip::Esp32 => "secure_boot: Disable JTAG...",
        _ => "secure_boot: Disable hardware & software JTAG...",
    });
    // The ESP32-S2 has no USB-JTAG; the name is not in its map.
    HARD_JTAG.iter().for_each(|name| batch.set(name));
    // ESP-IDF leaves it out on the ESP32-C61.
    if chip != Chip::Esp32C61
        && let Some(field) = batch.map().field("SOFT_DIS_JTAG")
    {
        let missing = field.all_ones().count_ones() - unary::count(batch.registers().value(field));
        batch.count_up(field, missing);
    }
}

fn rom_basic(batch: &mut EfuseBatch<'_>, config: &SecondStage, tag: &str, record: &mut Record) {
    if config.allow_rom_basic {
        record.line(format!("{tag}: Not disabling ROM BASIC fallback - SECURITY COMPROMISED"));
    } else {
        record.line(format!("{tag}: Disable ROM BASIC interpreter fallback..."));
        batch.set("CONSOLE_DEBUG_DISABLE");
    }
}

/// Younger silicon of some chips only.
const fn has_pseudo_rounds(chip: Chip, revision: ChipRevision) -> bool {
    match chip {
        Chip::Esp32C5 | Chip::Esp32C61 => true,
        Chip::Esp32H2 => revision.0 >= 102,
        Chip::Esp32P4 => revision.0 >= 300,
        _ => false,
    }
}

/// The ways to a probe; each chip has some of them.
const HARD_JTAG: [&str; 4] = ["JTAG_DISABLE", "HARD_DIS_JTAG", "DIS_PAD_JTAG", "DIS_USB_JTAG"];

/// How the line calls what download mode could read plaintext through, and its fields.
pub(super) const fn download_cache(chip: Chip) -> (&'static str, &'static [&'static str]) {
    match chip {
        Chip::Esp32 => ("MMU cache", &["DISABLE_DL_CACHE"]),
        Chip::Esp32S2 | Chip::Esp32S3 => ("cache", &["DIS_DOWNLOAD_DCACHE", "DIS_DOWNLOAD_ICACHE"]),
        Chip::Esp32C2 | Chip::Esp32C3 | Chip::Esp32C6 => ("cache", &["DIS_DOWNLOAD_ICACHE"]),
        Chip::Esp32C5 | Chip::Esp32C61 | Chip::Esp32P4 => ("cache", &["SPI_DOWNLOAD_MSPI_DIS"]),
        _ => ("cache", &[]),
    }
}

/// The ways around the second stage.
pub(super) const fn other_boots(chip: Chip) -> &'static [&'static str] {
    match chip {
        Chip::Esp32 => &[],
        Chip::Esp32S2 => &["DIS_BOOT_REMAP", "DIS_LEGACY_SPI_BOOT"],
        _ => &["DIS_DIRECT_BOOT"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cotter_formats::efuse::EfuseMap;

    /// A misspelt name would burn nothing without a word.
    #[test]
    fn every_field_is_one_of_its_chip() {
        for chip in Chip::ALL {
            let map = EfuseMap::of(chip);
            for name in other_boots(chip).iter().chain(download_cache(chip).1) {
                assert!(map.field(name).is_some(), "{chip}: {name}");
            }
            assert!(HARD_JTAG.iter().any(|name| map.field(name).is_some()), "{chip}: JTAG");
            let has = |names: &[&str]| names.iter().any(|name| map.field(name).is_some());
            assert!(has(&["DIS_DOWNLOAD_MANUAL_ENCRYPT", "DISABLE_DL_ENCRYPT"]), "{chip}");
            assert!(has(&["DIS_DOWNLOAD_MODE", "UART_DOWNLOAD_DIS"]), "{chip}");
            assert!(has(&["ENABLE_SECURITY_DOWNLOAD"]) || chip == Chip::Esp32, "{chip}");
            assert!(has(&["SECURE_BOOT_EN", "ABS_DONE_1"]), "{chip}");
            let freezes = |name: &str| map.field(name).is_some_and(|field| field.write_protect_bit.is_some());
            assert!(freezes("RD_DIS"), "{chip}");
            assert!(
                freezes("DIS_ICACHE")
                    || freezes("DIS_CACHE")
                    || matches!(chip, Chip::Esp32C2 | Chip::Esp32P4 | Chip::Esp32S31 | Chip::Esp32H4 | Chip::Esp32H21),
                "{chip}"
            );
        }
    }
}
