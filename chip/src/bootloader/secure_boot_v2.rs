//! Secure Boot V2 on the first boot: the digests of the keys that signed the second stage go into the eFuses.
//!
//! Source: ESP-IDF 6.2-dev (18f50fe) `components/bootloader_support/src/secure_boot_v2/secure_boot.c`.

use super::efuse_batch::{EfuseBatch, is_empty, is_hidden, is_unused};
use super::features;
use super::first_boot::FirstBoot;
use super::flash_encryption::{self, plain_bootloader};
use crate::crypt::TransparentFlash;
use crate::efuse::{Efuses, Setting};
use crate::flash_image::{FlashImage, WalkError};
use crate::report::{Record, RefusalCode, Stage};
use crate::second_stage::SecureBootV2;
use cotter_formats::addr::{FlashAddr, FlashLen};
use cotter_formats::chip::Chip;
use cotter_formats::efuse::{Coding, EfuseBlock, KeyPurpose};
use cotter_formats::secure_boot::v2::{
    BLOCK_LEN, BlockRefusal, ContentDigests, SignatureBlock, SignatureError, blocks_of,
};
use zeroize::Zeroizing;

/// True if `SECURE_BOOT_EN` (`ABS_DONE_1`) is burned.
pub(super) fn is_on(efuses: &Efuses) -> bool {
    efuses.sensed(Setting::SecureBoot) != 0
}

/// Says that it is on.
pub(super) fn tell(efuses: &Efuses, record: &mut Record) {
    if is_on(efuses) {
        record.line("secure_boot_v2: Secure boot permanently enabled");
        record.step(Stage::SecondStage, "Secure Boot", "V2 is on");
    }
}

/// The digests, the revocation of what stays unused, and the settings that go with it.
#[doc(alias = "esp_secure_boot_v2_permanently_enable")]
pub(super) fn prepare(
    batch: &mut EfuseBatch<'_>,
    first_boot: &FirstBoot<'_>,
    secure_boot: SecureBootV2,
    record: &mut Record,
) -> Result<(), RefusalCode> {
    let FirstBoot { flash, efuses, config, partition, .. } = first_boot;
    let chip = batch.chip();
    // 1. The second stage must be sound.
    if chip == Chip::Esp32 && batch.registers().coding(BLOCK2) != Coding::None {
        record.line("secure_boot_v2: No coding schemes are supported in secure boot v2.");
        return Err(RefusalCode::NoFreeKeyBlock);
    }
    let Some(bootloader) = plain_bootloader(flash, efuses, config)? else {
        record.line("secure_boot_v2: bootloader image appears invalid!");
        return Err(RefusalCode::MalformedImage);
    };

    // 2. Digests that somebody burned before count; else those of the keys that signed the second stage are burned.
    let present = burned_digests(batch, record)?;
    let state = if present.is_some() { "already present" } else { "absent, generating.." };
    record.line(format!("secure_boot_v2: Secure boot digests {state}"));
    let trusted = match present {
        Some(digests) => {
            record.line("secure_boot_v2: Using pre-loaded public key digest in eFuse");
            digests
        }
        None => burn_digests(batch, flash, &bootloader, record)?,
    };

    // 3. The application must be signed with one of these keys, or it would never boot again.
    let app = super::app::Verified::read(flash, efuses, partition, config, record).map_err(|refusal| refusal.code)?;
    let (at, limit) = (partition.offset, partition.size);
    let keys = key_digests(app.image(), flash, at, limit, record).inspect_err(|_| {
        record.line("secure_boot_v2: Application signature block is invalid.");
    })?;
    if keys.is_empty() {
        record.line("secure_boot_v2: No valid applications signature blocks found.");
        return Err(RefusalCode::Unsigned);
    }
    record.line(format!("secure_boot_v2: {} signature block(s) found appended to the app.", keys.len()));
    if keys.len() > trusted.len() {
        let (app, boot) = (keys.len(), trusted.len());
        record.line(format!("secure_boot_v2: App has {app} signature blocks but bootloader only has {boot}. Some keys missing from bootloader?"));
    }
    let compared = digest_len(chip);
    let mut is_known = false;
    for (i, trusted) in trusted.iter().enumerate() {
        if batch.map().key_revokes.get(i).is_some_and(|field| batch.registers().is_set(field)) {
            record.line(format!("secure_boot_v2: Key block({i}) has been revoked."));
            continue;
        }
        for (j, _) in keys.iter().enumerate().filter(|(_, key)| key[..compared] == trusted[..compared]) {
            record.line(format!("secure_boot_v2: Application key({j}) matches with bootloader key({i})."));
            is_known = true;
        }
    }
    if !is_known {
        record.line("secure_boot_v2: No application key digest matches the bootloader key digest.");
        return Err(RefusalCode::KeysDiffer);
    }

    // 4. Places that stay empty are revoked, so that nobody adds a key.
    let revokes = batch.map().key_revokes;
    for (i, field) in revokes.iter().enumerate().skip(trusted.len()) {
        if secure_boot.allow_unused_digests {
            record.line(format!("secure_boot_v2: Unused key digest slot ({i}) left un-revoked due to the config SECURE_BOOT_ALLOW_UNUSED_DIGEST_SLOTS"));
        } else {
            record.line(format!("secure_boot_v2: Revoking empty key digest slot ({i})..."));
            batch.write(field, 1);
        }
    }
    record.line("secure_boot_v2: blowing secure boot efuse...");
    let encrypted = flash_encryption::is_on(efuses);
    features::secure_boot_v2(batch, config, secure_boot.aggressive_revoke, encrypted, record);
    Ok(())
}

/// Digests in the eFuses that are not revoked; `None` if none was ever burned.
fn burned_digests(batch: &mut EfuseBatch<'_>, record: &mut Record) -> Result<Option<Vec<[u8; 32]>>, RefusalCode> {
    let registers = batch.registers().clone();
    let with_purpose = |purpose| batch.map().key_blocks().find(|block| registers.key_purpose(*block) == Some(purpose));
    let blocks: Vec<Option<EfuseBlock>> = match batch.chip() {
        Chip::Esp32 => vec![Some(BLOCK2).filter(|block| !is_unused(&registers, *block))],
        Chip::Esp32C2 => vec![Some(C2_BLOCK).filter(|block| !is_unused(&registers, *block))],
        _ => KeyPurpose::SECURE_BOOT_DIGESTS.into_iter().map(with_purpose).collect(),
    };
    if blocks.iter().all(Option::is_none) {
        return Ok(None);
    }
    let is_revoked = |index| batch.map().key_revokes.get(index).is_some_and(|field| registers.is_set(field));
    let mut digests = Vec::new();
    let used: Vec<_> = blocks.into_iter().enumerate().filter(|(index, _)| !is_revoked(*index)).collect();
    for block in used.into_iter().filter_map(|(_, block)| block) {
        let number = block.0;
        if batch.chip() != Chip::Esp32C2 && is_hidden(&registers, block) {
            record.line(format!("secure_boot_v2: Key digest (BLK{number}) read protected, aborting..."));
            return Err(RefusalCode::NoTrustedKey);
        }
        if is_empty(&registers, block) {
            record.line(format!("secure_boot_v2: {number} eFuse block is empty, aborting..."));
            return Err(RefusalCode::NoTrustedKey);
        }
        batch.freeze_block(block);
        let bytes = registers.block(block).unwrap_or_default();
        let bytes = if batch.chip() == Chip::Esp32C2 { bytes.get(16..).unwrap_or_default() } else { bytes };
        let mut digest = [0; 32];
        digest.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        digests.push(digest);
    }
    if digests.is_empty() {
        record.line("secure_boot_v2: No valid pre-loaded public key digest in eFuse");
        return Err(RefusalCode::NoTrustedKey);
    }
    Ok(Some(digests))
}

fn burn_digests(
    batch: &mut EfuseBatch<'_>,
    flash: &TransparentFlash,
    bootloader: &FlashImage,
    record: &mut Record,
) -> Result<Vec<[u8; 32]>, RefusalCode> {
    let chip = batch.chip();
    let at = chip.bootloader_offset();
    let limit = FlashLen(flash.raw().size().0.saturating_sub(at.0));
    let digests = key_digests(bootloader, flash, at, limit, record).inspect_err(|_| {
        record.line("secure_boot_v2: Bootloader signature block is invalid");
    })?;
    if digests.is_empty() {
        record.line("secure_boot_v2: No valid bootloader signature blocks found.");
        return Err(RefusalCode::Unsigned);
    }
    let count = digests.len();
    record.line(format!("secure_boot_v2: {count} signature block(s) found appended to the bootloader."));
    record.line("secure_boot_v2: Burning public key hash to eFuse");
    match chip {
        Chip::Esp32 | Chip::Esp32C2 => {
            let (block, at) = if chip == Chip::Esp32 { (BLOCK2, 0) } else { (C2_BLOCK, 16) };
            batch.announce(block, NUMBER_WITHOUT_PURPOSES, record);
            batch.put(block, at, &digests[0][..digest_len(chip)]);
            batch.freeze_block(block);
        }
        _ => {
            let purposes = KeyPurpose::SECURE_BOOT_DIGESTS.into_iter();
            let keys: Vec<_> = purposes.zip(digests.iter().map(|digest| Zeroizing::new(*digest))).collect();
            batch.put_keys(&keys, record).inspect_err(|_| {
                record.line(format!("secure_boot_v2: Bootloader signatures({count}) more than available key slots."));
            })?;
        }
    }
    let hex = |digest: &[u8; 32]| digest[..4].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let list = digests.iter().map(hex).collect::<Vec<_>>().join(", ");
    record.step(Stage::SecondStage, "key digests", format!("of the keys that signed the second stage: {list}"));
    Ok(digests)
}

/// The digests of the keys whose signatures over the image hold, up to the first block that is none.
#[doc(alias = "s_calculate_image_public_key_digests")]
fn key_digests(
    image: &FlashImage,
    flash: &TransparentFlash,
    at: FlashAddr,
    limit: FlashLen,
    record: &mut Record,
) -> Result<Vec<[u8; 32]>, RefusalCode> {
    let content = match image.signed_content(flash, at, limit) {
        Ok(content) => content,
        Err(WalkError::DoesNotFit) => return Ok(Vec::new()),
        Err(WalkError::PowerLost) => return Err(RefusalCode::PowerLost),
    };
    let mut digests = Vec::new();
    for (number, bytes) in content.sector.chunks_exact(BLOCK_LEN).take(blocks_of(flash.chip())).enumerate() {
        let block = match SignatureBlock::parse(bytes) {
            Ok(block) => block,
            Err(SignatureError::Magic { .. }) => break,
            Err(_) => {
                record.line("secure_boot_v2: Magic byte correct but incorrect crc.");
                break;
            }
        };
        let content = ContentDigests::of_schemes(&content.bytes, [block.scheme()]);
        match block.verify_any(&content) {
            Ok(()) => digests.push(block.key_digest()),
            Err(BlockRefusal::Block(SignatureError::Digest)) => {
                record.line("secure_boot_v2: Magic byte & CRC correct but incorrect image digest.");
                break;
            }
            Err(_) => {
                record.line(format!("secure_boot_v2: Secure boot key ({number}) verification failed."));
                return Err(RefusalCode::BadSignature);
            }
        }
    }
    if !digests.is_empty() {
        let (count, offset) = (digests.len(), at.0);
        record.line(format!(
            "secure_boot_v2: Digests successfully calculated, {count} valid signatures (image offset {offset:#x})"
        ));
    }
    Ok(digests)
}

/// As much of a digest as the eFuses hold.
const fn digest_len(chip: Chip) -> usize {
    if matches!(chip, Chip::Esp32C2) { 16 } else { 32 }
}

/// The ESP32's place for a digest.
const BLOCK2: EfuseBlock = EfuseBlock(2);
/// The ESP32-C2's only key block; the digest is its upper half.
const C2_BLOCK: EfuseBlock = EfuseBlock(3);
/// ESP-IDF's number for a digest on chips without purposes.
const NUMBER_WITHOUT_PURPOSES: u8 = 3;
