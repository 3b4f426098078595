//! Flash encryption on the first boot: key, settings, everything that is to be encrypted, and the count at last.
//!
//! Nothing tells how far an encryption in place has come. If power goes after the first sector of the second stage was
//! erased and before the count is burned, the ROM finds ciphertext that it does not decrypt: ESP-IDF says so itself
//! (comment in `bootloader_utility.c`, `load_image`), and somebody has to flash plaintext again.
//! Source: ESP-IDF 6.2-dev (9b51373) `components/bootloader_support/src/flash_encryption/flash_encrypt.c`.

use super::app::Verified;
use super::efuse_batch::{EfuseBatch, is_hidden, is_unused};
use super::features;
use crate::crypt::{TransparentFlash, encrypt};
use crate::efuse::{Efuses, Setting};
use crate::entropy::Entropy;
use crate::flash_image::{FlashImage, read_header};
use crate::report::{Record, RefusalCode, Stage};
use crate::second_stage::{FlashEncryption, FlashEncryptionMode, FlashKeyKind, SecondStage, SecureBoot};
use cotter_formats::addr::{FlashAddr, FlashLen, SECTOR};
use cotter_formats::chip::Chip;
use cotter_formats::efuse::{EfuseBlock, KeyPurpose, unary};
use cotter_formats::image::ImageHeader;
use cotter_formats::partition::{Partition, PartitionTable, PartitionType, TABLE_LEN, is_flash_encrypted};
use cotter_formats::secure_boot::v2;
use zeroize::Zeroizing;

/// True if the count is odd.
pub(super) fn is_on(efuses: &Efuses) -> bool {
    unary::is_odd(efuses.sensed(Setting::FlashCryptCount))
}

/// True if the count was ever burned.
#[doc(alias = "esp_flash_encrypt_initialized_once")]
pub(super) fn was_begun(efuses: &Efuses) -> bool {
    efuses.sensed(Setting::FlashCryptCount) != 0
}

/// Says how often plaintext can still be flashed, if it is on.
#[doc(alias = "esp_flash_encrypt_state")]
pub(super) fn tell_state(efuses: &Efuses, record: &mut Record) -> Result<bool, RefusalCode> {
    if !is_on(efuses) {
        return Ok(false);
    }
    let field = efuses.setting_field(Setting::FlashCryptCount).expect("every chip has the count");
    let burned = unary::count(efuses.sensed(Setting::FlashCryptCount));
    let is_frozen = !efuses.image()?.is_writable(field);
    let left = if is_frozen { 0 } else { (u32::from(field.len) - burned) / 2 };
    record.line(format!("flash_encrypt: flash encryption is enabled ({left} plaintext flashes left)"));
    Ok(true)
}

/// Refuses a count that cannot be burned.
#[doc(alias = "esp_flash_encrypt_is_write_protected")]
pub(super) fn check_count(efuses: &Efuses, record: &mut Record) -> Result<(), RefusalCode> {
    let field = efuses.setting_field(Setting::FlashCryptCount).expect("every chip has the count");
    if efuses.image()?.is_writable(field) {
        return Ok(());
    }
    let count = unary::count(efuses.sensed(Setting::FlashCryptCount));
    record.line(format!("flash_encrypt: Flash Encryption cannot be enabled (CRYPT_CNT ({count}) is write protected)"));
    Err(RefusalCode::CryptCountFrozen)
}

/// The flash key and the settings that go with it, once in the life of a chip.
#[doc(alias = "esp_flash_encrypt_init")]
pub(super) fn prepare(
    batch: &mut EfuseBatch<'_>,
    config: &SecondStage,
    encryption: &FlashEncryption,
    entropy: &Entropy,
    record: &mut Record,
) -> Result<(), RefusalCode> {
    check_or_make_key(batch, encryption.key, entropy, record)?;
    features::flash_encryption(batch, config, encryption, record);
    Ok(())
}

fn check_or_make_key(
    batch: &mut EfuseBatch<'_>,
    kind: FlashKeyKind,
    entropy: &Entropy,
    record: &mut Record,
) -> Result<(), RefusalCode> {
    let registers = batch.registers();
    let chip = batch.chip();
    let with_purpose = |purpose| batch.map().key_blocks().find(|block| registers.key_purpose(*block) == Some(purpose));
    let blocks: Vec<Option<EfuseBlock>> = match chip {
        Chip::Esp32 => vec![Some(EfuseBlock(1)).filter(|block| !is_unused(registers, *block))],
        Chip::Esp32C2 => vec![Some(EfuseBlock(3)).filter(|block| !is_unused(registers, *block))],
        _ => SecondStage::flash_key_purposes(kind).iter().map(|purpose| with_purpose(*purpose)).collect(),
    };
    if kind == FlashKeyKind::Aes256 && with_purpose(KeyPurpose::XTS_AES_128_KEY).is_some() {
        record.line("flash_encrypt: XTS_AES_128_KEY is already in use, XTS_AES_256_KEY_1/2 can not be used");
        return Err(RefusalCode::NoFreeKeyBlock);
    }
    if blocks.iter().any(Option::is_some) && blocks.iter().any(Option::is_none) {
        record.line("flash_encrypt: Invalid efuse key blocks: Both AES-256 key blocks must be set.");
        return Err(RefusalCode::FlashKeyNotProtected);
    }
    let burned: Vec<EfuseBlock> = blocks.into_iter().flatten().collect();
    if burned.is_empty() {
        return make_key(batch, kind, entropy, record);
    }
    let is_protected = |block: &EfuseBlock| {
        let purpose = batch.map().key_purpose_fields(*block);
        let is_frozen = purpose.is_none_or(|(low, _)| !registers.is_writable(low));
        !registers.is_block_writable(*block) && is_hidden(registers, *block) && is_frozen
    };
    if !burned.iter().all(is_protected) {
        record.line("flash_encrypt: Invalid key state, check read&write protection for key and keypurpose(if exists)");
        return Err(RefusalCode::FlashKeyNotProtected);
    }
    record.line("flash_encrypt: Using pre-loaded flash encryption key in efuse");
    record.step(Stage::SecondStage, "flash key", format!("in the eFuses already, {}", listed(&burned)));
    Ok(())
}

/// Random bytes go into the eFuses as they come; the key file that espsecure would need is them in reverse.
fn make_key(
    batch: &mut EfuseBatch<'_>,
    kind: FlashKeyKind,
    entropy: &Entropy,
    record: &mut Record,
) -> Result<(), RefusalCode> {
    record.line("flash_encrypt: Generating new flash encryption key...");
    let random = |len: usize| {
        let mut key = Zeroizing::new([0; 32]);
        entropy.fill(&mut key[..len]);
        key
    };
    let made = match batch.chip() {
        Chip::Esp32 => {
            let block = EfuseBlock(1);
            let len = batch.registers().data_len(block).unwrap_or(32).min(32);
            batch.announce(block, ESP32_FLASH_ENCRYPTION, record);
            batch.put(block, 0, &random(len)[..len]);
            batch.freeze_block(block);
            batch.hide_block(block, u32::MAX);
            Ok(())
        }
        Chip::Esp32C2 => {
            let block = EfuseBlock(3);
            let is_whole = kind == FlashKeyKind::Aes128;
            let (len, purpose, hidden) = if is_whole { (32, 1, 0b11) } else { (16, 2, 0b01) };
            batch.announce(block, purpose, record);
            batch.put(block, 0, &random(len)[..len]);
            if is_whole {
                batch.set("XTS_KEY_LENGTH_256");
            }
            batch.hide_block(block, hidden);
            batch.freeze_block(block);
            Ok(())
        }
        _ => {
            let purposes = SecondStage::flash_key_purposes(kind);
            let keys: Vec<_> = purposes.iter().map(|purpose| (*purpose, random(32))).collect();
            batch.put_keys(&keys, record)
        }
    };
    match made {
        Ok(()) => record.step(Stage::SecondStage, "flash key", "generated"),
        Err(RefusalCode::NoFreeKeyBlock) => {
            let needed = SecondStage::flash_key_purposes(kind).len();
            record.line(format!("flash_encrypt: Not enough free efuse key blocks (need {needed}) to continue"));
        }
        Err(_) => {}
    }
    made
}

/// ESP-IDF's number for it on the ESP32, whose eFuses have no purposes.
const ESP32_FLASH_ENCRYPTION: u8 = 2;

/// Encrypts everything that is to be encrypted, sector by sector in place.
#[doc(alias = "esp_flash_encrypt_contents")]
pub(super) fn encrypt_contents(
    flash: &TransparentFlash,
    efuses: &Efuses,
    config: &SecondStage,
    encryption: &FlashEncryption,
    record: &mut Record,
) -> Result<(), RefusalCode> {
    // 1. The second stage, if it is plaintext. From here on the chip does not start without the count.
    encrypt_bootloader(flash, efuses, config, record)?;

    // 2. The sector of the partition table.
    let mut bytes = [0; TABLE_LEN];
    flash.raw().read_at(config.partition_table, &mut bytes)?;
    let Ok(table) = PartitionTable::parse(&bytes) else {
        record.line("flash_encrypt: Failed to read partition table data - not plaintext?");
        return Err(RefusalCode::PartitionTableInvalid);
    };
    encrypt_region("partition table", config.partition_table, FlashLen(SECTOR), flash, efuses, record)?;
    record.line("flash_encrypt: partition table encrypted and loaded successfully");

    // 3. Partitions: applications that are whole, and data that the running system reads through the cipher.
    let mut encrypted = Vec::new();
    for (index, partition) in table.partitions().iter().enumerate() {
        let Some(len) = len_to_encrypt(partition, flash, efuses, config, encryption, record)? else { continue };
        let (offset, shown) = (partition.offset, len.0);
        record.line(format!(
            "flash_encrypt: Encrypting partition {index} at offset {:#x} (length {shown:#x})...",
            offset.0
        ));
        encrypt_region(partition.label.as_str(), offset, len, flash, efuses, record)?;
        record.line("flash_encrypt: Done encrypting");
        encrypted.push(partition.label.as_str().to_owned());
    }
    let list = ["bootloader", "partition table"].into_iter().chain(encrypted.iter().map(String::as_str));
    record.step(Stage::SecondStage, "flash encryption", format!("in place: {}", list.collect::<Vec<_>>().join(", ")));
    Ok(())
}

fn encrypt_bootloader(
    flash: &TransparentFlash,
    efuses: &Efuses,
    config: &SecondStage,
    record: &mut Record,
) -> Result<(), RefusalCode> {
    let at = efuses.chip().bootloader_offset();
    let Some(image) = plain_bootloader(flash, efuses, config)? else {
        record.line("flash_encrypt: no valid bootloader was found");
        return Err(RefusalCode::InvalidHeader);
    };
    let len = match config.secure_boot {
        SecureBoot::V2(_) => v2::content_padded_len(image.len().0 as usize) + v2::SECTOR_LEN,
        _ => image.len().0 as usize,
    };
    let len = FlashLen(u32::try_from(len).unwrap_or(u32::MAX));
    if matches!(config.secure_boot, SecureBoot::V2(_))
        && at.checked_add(len).is_none_or(|end| end > config.partition_table)
    {
        let table = config.partition_table.0;
        record.line(format!("flash_encrypt: Bootloader is too large to fit Secure Boot V2 signature sector and partition table (configured offset {table:#x})"));
        return Err(RefusalCode::NoRoomForSignature);
    }
    encrypt_region("bootloader", at, len, flash, efuses, record)?;
    if matches!(config.secure_boot, SecureBoot::V1(_)) {
        encrypt_region("digest of the bootloader", FlashAddr(0), FlashLen(SECTOR), flash, efuses, record)?;
    }
    record.line("flash_encrypt: bootloader encrypted successfully");
    Ok(())
}

/// The second stage in plain flash, if it is one and its checksum holds. Its digest and signature are not looked at.
#[doc(alias = "esp_image_verify_bootloader_data")]
pub(super) fn plain_bootloader(
    flash: &TransparentFlash,
    efuses: &Efuses,
    config: &SecondStage,
) -> Result<Option<FlashImage>, RefusalCode> {
    let at = efuses.chip().bootloader_offset();
    let limit = FlashLen(config.partition_table.0.saturating_sub(at.0));
    if read_header(flash, at)?.magic != ImageHeader::MAGIC {
        return Ok(None);
    }
    match FlashImage::read(flash, at, limit) {
        Ok(image) => {
            let checksum = image.parsed().checksum();
            Ok((checksum.stored == checksum.computed).then_some(image))
        }
        Err(error) if RefusalCode::from(error) == RefusalCode::PowerLost => Err(RefusalCode::PowerLost),
        Err(_) => Ok(None),
    }
}

/// How much of a partition; `None` if nothing.
fn len_to_encrypt(
    partition: &Partition,
    flash: &TransparentFlash,
    efuses: &Efuses,
    config: &SecondStage,
    encryption: &FlashEncryption,
    record: &mut Record,
) -> Result<Option<FlashLen>, RefusalCode> {
    match partition.kind {
        PartitionType::APP => match Verified::read(flash, efuses, partition, config, record) {
            Ok(image) if encryption.only_image_length => Ok(Some(image.len_with_signature())),
            Ok(_) => Ok(Some(partition.size)),
            Err(refusal) if refusal.code == RefusalCode::PowerLost => Err(refusal.code),
            Err(refusal) => {
                // An empty slot, most of the time.
                record.line(refusal.line);
                Ok(None)
            }
        },
        PartitionType::BOOTLOADER | PartitionType::PARTITION_TABLE => Ok(None),
        _ => Ok(is_flash_encrypted(partition).then_some(partition.size)),
    }
}

/// Whole sectors are read, erased, and written as ciphertext.
#[doc(alias = "esp_flash_encrypt_region")]
fn encrypt_region(
    name: &str,
    at: FlashAddr,
    len: FlashLen,
    flash: &TransparentFlash,
    efuses: &Efuses,
    record: &mut Record,
) -> Result<(), RefusalCode> {
    let raw = flash.raw();
    let mut sector = Zeroizing::new(vec![0; SECTOR as usize]);
    for offset in (0..len.0).step_by(SECTOR as usize) {
        let at = at.checked_add(FlashLen(offset)).ok_or(RefusalCode::PartitionTableInvalid)?;
        record.doing(format!("encrypting {name}, sector at {at}"));
        raw.read_at(at, &mut sector)?;
        raw.erase_at(at, FlashLen(SECTOR))?;
        encrypt(efuses, at, &mut sector)?;
        raw.program_at(at, &sector)?;
    }
    Ok(())
}

/// Burns the count: encryption is on.
#[doc(alias = "esp_flash_encrypt_enable")]
pub(super) fn switch_on(efuses: &Efuses, encryption: &FlashEncryption, record: &mut Record) -> Result<(), RefusalCode> {
    if !is_on(efuses) {
        check_count(efuses, record)?;
        let field = efuses.setting_field(Setting::FlashCryptCount).expect("every chip has the count");
        let burned = unary::count(efuses.sensed(Setting::FlashCryptCount));
        let more = match encryption.mode {
            FlashEncryptionMode::Development => 1,
            FlashEncryptionMode::Release => {
                record.line("flash_encrypt: Setting CRYPT_CNT for permanent encryption");
                u32::from(field.len) - burned
            }
        };
        let mut batch = EfuseBatch::single(efuses)?;
        batch.count_up(field, more);
        batch.commit(record)?;
        // A key of 16 bytes must not become one of 32 later.
        let is_derived = efuses.chip() == Chip::Esp32C2;
        if is_derived && encryption.mode == FlashEncryptionMode::Release {
            let mut batch = EfuseBatch::single(efuses)?;
            batch.freeze(field.name);
            batch.commit(record)?;
        }
        let count = unary::count(efuses.sensed(Setting::FlashCryptCount));
        record.step(
            Stage::SecondStage,
            "flash encryption",
            format!("on: {} has {count} of {} bits", field.name, field.len),
        );
    }
    record.line("flash_encrypt: Flash encryption completed");
    Ok(())
}

fn listed(blocks: &[EfuseBlock]) -> String {
    blocks.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}
