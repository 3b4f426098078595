//! What ESP-IDF does in the application before `app_main`, as far as it burns eFuses or writes flash: the download mode
//! that was compiled in, two bits that Secure Boot V2 wants frozen, and the keys of the NVS partition. The application
//! itself is not executed.
//!
//! Source: ESP-IDF 6.2-dev `components/efuse/src/esp_efuse_startup.c`, `components/esp_security/src/init.c`
//! (`esp_security_init`), `components/nvs_flash/src/nvs_api.cpp`
//! (`nvs_flash_init`, `nvs_flash_generate_keys`, `nvs_flash_read_security_cfg`), and
//! `components/nvs_sec_provider/nvs_sec_provider.c` (499edb4). It is assumed that the application calls `nvs_flash_init`.

use crate::bootloader::efuse_batch::{EfuseBatch, is_unused};
use crate::crypt::TransparentFlash;
use crate::efuse::Efuses;
use crate::entropy::Entropy;
use crate::report::{Record, RefusalCode, Stage, Step};
use crate::second_stage::{DownloadPolicy, NvsKeySource, SecondStage, SecureBoot};
use cotter_formats::addr::{FlashAddr, FlashLen};
use cotter_formats::chip::Chip;
use cotter_formats::crc::crc_a;
use cotter_formats::efuse::KeyPurpose;
use cotter_formats::nvs::NvsKeys;
use cotter_formats::nvs::keys::KeysError;
use cotter_formats::partition::{PartitionTable, PartitionType, Subtype, TABLE_LEN};
use embedded_storage::nor_flash::NorFlash;
use zeroize::Zeroizing;

/// Starts the application. What fails is a step of the report; only a power cut ends it.
pub(crate) fn start(
    flash: &mut TransparentFlash,
    efuses: &Efuses,
    config: &SecondStage,
    entropy: &Entropy,
    record: &mut Record,
) -> Result<(), RefusalCode> {
    restrict_download_mode(efuses, config, record)?;
    freeze_schemes(efuses, config, record)?;
    let verdict = match config.nvs_keys {
        NvsKeySource::None => Ok(()),
        NvsKeySource::Partition => keys_in_partition(flash, config.partition_table, record),
        NvsKeySource::Hmac { key } => keys_by_hmac(efuses, key, entropy, record),
    };
    match verdict {
        Err(RefusalCode::PowerLost) => Err(RefusalCode::PowerLost),
        Err(code) => {
            let found = format!("nvs_flash_init fails at each start: {code}");
            let stage = Stage::Application;
            record.push(Step { stage, what: "NVS keys", slot: None, found, refusal: Some(code) });
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn restrict_download_mode(efuses: &Efuses, config: &SecondStage, record: &mut Record) -> Result<(), RefusalCode> {
    // menuconfig offers the choice with either of the two only.
    if config.flash_encryption.is_none() && !matches!(config.secure_boot, SecureBoot::V2(_)) {
        return Ok(());
    }
    let names: &[&str] = match config.download_mode {
        DownloadPolicy::Secure if efuses.chip() != Chip::Esp32 => &["ENABLE_SECURITY_DOWNLOAD"],
        DownloadPolicy::Disabled => &["DIS_DOWNLOAD_MODE", "UART_DOWNLOAD_DIS"],
        _ => return Ok(()),
    };
    let registers = efuses.image()?;
    if names.iter().any(|name| registers.value_named(name) == Some(1)) {
        return Ok(());
    }
    let mut batch = EfuseBatch::single(efuses)?;
    names.iter().for_each(|name| batch.set(name));
    match batch.commit(record) {
        Err(RefusalCode::PowerLost) => return Err(RefusalCode::PowerLost),
        // It asserts; the lines have told.
        Err(_) => {}
        Ok(()) => record.step(Stage::Application, "download mode", "restricted as it was compiled in"),
    }
    Ok(())
}

/// With Secure Boot V2 compiled in, nobody must change which curves and hashes count.
fn freeze_schemes(efuses: &Efuses, config: &SecondStage, record: &mut Record) -> Result<(), RefusalCode> {
    let registers = efuses.image()?;
    let name = match efuses.chip() {
        Chip::Esp32C5 => "SECURE_BOOT_SHA384_EN",
        Chip::Esp32H2 if registers.revision().0 >= 102 => "ECDSA_CURVE_MODE",
        _ => return Ok(()),
    };
    let field = registers.map().field(name).filter(|field| registers.is_writable(field));
    // A product that signs with P-384 has the bit set, and ESP-IDF leaves it at that.
    let is_done = field.is_none_or(|field| name == "SECURE_BOOT_SHA384_EN" && registers.value(field) != 0);
    if is_done || !matches!(config.secure_boot, SecureBoot::V2(_)) {
        return Ok(());
    }
    let mut batch = EfuseBatch::single(efuses)?;
    batch.freeze(name);
    match batch.commit(record) {
        Err(RefusalCode::PowerLost) => Err(RefusalCode::PowerLost),
        Err(_) => {
            record.line(format!("esp_security: Failed to write protect the {name} efuse bit."));
            Ok(())
        }
        Ok(()) => {
            record.step(Stage::Application, "Secure Boot", format!("{name} frozen"));
            Ok(())
        }
    }
}

/// The `nvs_keys` partition. Known patterns are written as they are and read through the cipher, so that the flash key
/// makes the keys: the same ones again, if a power cut makes ESP-IDF start over.
#[doc(alias = "nvs_flash_generate_keys")]
fn keys_in_partition(flash: &mut TransparentFlash, table: FlashAddr, record: &mut Record) -> Result<(), RefusalCode> {
    let mut bytes = [0; TABLE_LEN];
    flash.read_at(table, &mut bytes)?;
    let table = PartitionTable::parse(&bytes).ok();
    let partition = table.and_then(|table| table.find_type(PartitionType::DATA, Subtype::DATA_NVS_KEYS).copied());
    let Some(partition) = partition else {
        record.line("nvs_sec_provider: Partition with subtype \"nvs_keys\" not found");
        return Err(RefusalCode::PartitionTableInvalid);
    };
    let (at, size) = (partition.offset, partition.size);
    if let Err(error) = read_keys(flash, at)? {
        let code = match error {
            KeysError::Crc { .. } => "0x1117] (ESP_ERR_NVS_CORRUPT_KEY_PART)",
            _ => "0x1116] (ESP_ERR_NVS_KEYS_NOT_INITIALIZED)",
        };
        record.line(format!("nvs: Failed to read NVS security cfg: [{code}"));
        record.line("nvs: Generating NVS encr-keys...");
        record.doing(format!("writing NVS keys to {at}"));
        flash.raw().erase_at(at, size)?;
        let pattern = |even: u8, odd: u8| -> [u8; 32] {
            std::array::from_fn(|index| if index / 16 % 2 == 0 { even } else { odd })
        };
        let after = |len| at.checked_add(FlashLen(len)).ok_or(RefusalCode::PartitionTableInvalid);
        flash.raw().program_at(at, &pattern(0xff, 0x99))?;
        flash.raw().program_at(after(32)?, &pattern(0xee, 0x88))?;
        let mut keys = Zeroizing::new([0; 64]);
        flash.read_at(at, &mut *keys)?;
        let mut last = [0xff; 16];
        last[..4].copy_from_slice(&crc_a(&*keys).to_le_bytes());
        flash.write(after(64)?.0, &last)?;
        let source =
            if flash.is_encrypted() { "made by the flash key" } else { "known to everybody: the flash is plain" };
        record.step(Stage::Application, "NVS keys", format!("written to {at}, {source}"));
    }
    record.line("nvs: NVS partition \"nvs\" is encrypted.");
    Ok(())
}

fn read_keys(flash: &TransparentFlash, at: FlashAddr) -> Result<Result<NvsKeys, KeysError>, RefusalCode> {
    let mut bytes = Zeroizing::new([0; 68]);
    flash.raw().read_at(at, &mut *bytes)?;
    if bytes.iter().all(|byte| *byte == 0xff) {
        return Ok(Err(KeysError::Erased));
    }
    flash.read_at(at, &mut *bytes)?;
    Ok(NvsKeys::parse(&*bytes))
}

/// An eFuse key of purpose `HMAC_UP`. ESP-IDF looks at the purpose only: a key that was burned without its protections
/// is used as it is, and a block that holds a torn key without purpose is never used again.
#[doc(alias = "generate_keys_hmac")]
fn keys_by_hmac(efuses: &Efuses, key: u8, entropy: &Entropy, record: &mut Record) -> Result<(), RefusalCode> {
    let registers = efuses.image()?;
    let block = registers.map().key_block(key).ok_or(RefusalCode::HmacBlockTaken)?;
    if registers.key_purpose(block) != Some(KeyPurpose::HMAC_UP) {
        record.line("nvs_sec_provider: Could not find HMAC key in configured eFuse block!");
        record.line("nvs: Failed to read NVS security cfg: [0x4305] (ESP_ERR_NVS_SEC_HMAC_KEY_NOT_FOUND)");
        record.line("nvs: Generating NVS encr-keys...");
        let mut secret = Zeroizing::new([0; 32]);
        entropy.fill(&mut *secret);
        let mut batch = EfuseBatch::begin(efuses, record)?;
        let written = if is_unused(&registers, block) {
            match batch.put_key(block, KeyPurpose::HMAC_UP, &secret, record) {
                Ok(()) => batch.commit(record),
                Err(code) => Err(code),
            }
        } else {
            batch.cancel(record);
            Err(RefusalCode::HmacBlockTaken)
        };
        if let Err(code) = written {
            if code != RefusalCode::PowerLost {
                record.line("nvs_sec_provider: Failed to write the HMAC key to eFuse");
            }
            return Err(code);
        }
        record.step(Stage::Application, "NVS keys", format!("eFuse key generated in {block}"));
    }
    record.line("nvs: NVS partition \"nvs\" is encrypted.");
    Ok(())
}
