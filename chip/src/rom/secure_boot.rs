//! Secure Boot V2 as the ROM does it, with the schemes that the chip knows.
//!
//! Observed on the ESP32-C3 and the ESP32, both of which know RSA-3072 only.

use crate::crypt::TransparentFlash;
use crate::efuse::{Efuses, Setting};
use crate::flash_image::{FlashImage, SignedContent, WalkError};
use crate::report::{Record, RefusalCode, Stage};
use crate::trusted_keys::TrustedKeys;
use cotter_formats::addr::FlashLen;
use cotter_formats::chip::Chip;
use cotter_formats::efuse::KeyPurpose;
use cotter_formats::secure_boot::v2::{
    BLOCK_LEN, ContentDigests, EfuseTrust, Scheme, SignatureBlock, SignatureError, Support, blocks_of, support,
};

/// Verifies the image; prints the reason of a refusal, then the verdict, after which the ROM halts.
pub(super) fn verify(
    image: &FlashImage,
    flash: &TransparentFlash,
    efuses: &Efuses,
    record: &mut Record,
) -> Result<(), RefusalCode> {
    if efuses.chip() == Chip::Esp32 {
        record.line("secure boot v2 enabled");
    }
    let verdict = check(image, flash, efuses, record);
    match verdict {
        Ok(number) => {
            record.line("secure boot verification succeeded");
            record.step(Stage::Rom, "Secure Boot", format!("signed with the key of digest {number}"));
        }
        Err(RefusalCode::PowerLost) => {}
        Err(_) => {
            record.line("secure boot verification failed");
            if efuses.chip() == Chip::Esp32C3 {
                record.line("ets_main.c 333");
            }
        }
    }
    verdict.map(|_| ())
}

fn check(
    image: &FlashImage,
    flash: &TransparentFlash,
    efuses: &Efuses,
    record: &mut Record,
) -> Result<usize, RefusalCode> {
    let chip = efuses.chip();
    // 1. Which digests count: the right purpose, not revoked. Without any there is no reason line.
    let keys = TrustedKeys::read(&efuses.image()?);
    if keys.is_empty() {
        return Err(RefusalCode::NoTrustedKey);
    }
    if chip != Chip::Esp32 {
        let numbers: Vec<String> = keys.numbers().map(|number| number.to_string()).collect();
        record.line(format!("Valid secure boot key blocks: {}", numbers.join(" ")));

        // 2. The appended SHA-256 must be there and right. Not observed: a line for the case that it is absent. The
        //    ESP32 does not look at it.
        let digest = image.parsed().digest().ok_or(RefusalCode::HashMissing)?;
        if digest.stored != digest.computed {
            record.line("SHA-256 simple hash comparison failed.");
            return Err(RefusalCode::HashMismatch);
        }
    }

    // 3. The content is padded to whole sectors, the next sector holds up to three signature blocks.
    let at = chip.bootloader_offset();
    let limit = FlashLen(flash.raw().size().0.saturating_sub(at.0));
    let content = match image.signed_content(flash, at, limit) {
        Err(WalkError::DoesNotFit) => return Err(RefusalCode::Unsigned),
        content => content?,
    };
    if chip == Chip::Esp32 && content.bytes.len() > ESP32_STAGING {
        record.line("Bootloader is too large for 48KB staging area.");
        return Err(RefusalCode::BootloaderTooLarge);
    }
    check_blocks(&content, &keys, efuses, record)
}

/// 4. The first block that is signed right by a trusted key decides. A block that is none ends the list; one of an
///    untrusted key, or with a bad signature, does not.
fn check_blocks(
    content: &SignedContent,
    keys: &TrustedKeys,
    efuses: &Efuses,
    record: &mut Record,
) -> Result<usize, RefusalCode> {
    let (chip, trust) = (efuses.chip(), EfuseTrust::of(&efuses.image()?));
    let mut refusal = RefusalCode::Unsigned;
    for (number, bytes) in content.sector.chunks_exact(BLOCK_LEN).take(blocks_of(chip)).enumerate() {
        let block = match SignatureBlock::parse(bytes) {
            Ok(block) => block,
            Err(error) => {
                // 4a. Magic byte and CRC. Behind the first block, erased flash ends the list without a word.
                if let Some(code) = refuse_block(chip, number, &error, record) {
                    refusal = code;
                }
                break;
            }
        };
        // Not observed: a line for a scheme that this ROM does not know. With SECURE_BOOT_SHA384_EN it is P-384 alone.
        let is_wide = block.scheme() == Scheme::EcdsaP384;
        if support(chip, block.scheme()) == Support::No || trust.sha384.unwrap_or(is_wide) != is_wide {
            refusal = RefusalCode::SignatureBlockInvalid;
            break;
        }
        // 4b. It must be for this content.
        let digests = ContentDigests::of_schemes(&content.bytes, [block.scheme()]);
        if block.image_digest() != digests.of_scheme(block.scheme()) {
            record.line(format!("Sig block {number} invalid: Image digest does not match"));
            refusal = RefusalCode::SignedDigestMismatch;
            break;
        }
        // 4c. Its key must be trusted.
        let Some(key) = keys.number_of(&block) else {
            record.line(format!("Sig block {number} signed with untrusted key"));
            refusal = RefusalCode::UntrustedKey;
            continue;
        };
        // 4d. RSA-PSS or ECDSA.
        if block.verify_any(&digests).is_ok() {
            return Ok(key);
        }
        record.line("Signature Check Failed");
        record.line(format!("Sig block {number} signature verification failed"));
        refusal = RefusalCode::BadSignature;
        revoke_aggressively(key, efuses, record)?;
    }
    Err(refusal)
}

/// What the ESP32's ROM loads to verify it.
const ESP32_STAGING: usize = 48 << 10;

/// What the ROM says to a block that is none; `None` if it just ends the list.
fn refuse_block(chip: Chip, number: usize, error: &SignatureError, record: &mut Record) -> Option<RefusalCode> {
    match error {
        SignatureError::Magic { found } if number == 0 => {
            record.line(format!(
                "No signature block magic byte found at signature sector (found {found:#x} not 0xe7). Image not V2 signed?"
            ));
            Some(RefusalCode::Unsigned)
        }
        SignatureError::Magic { .. } => None,
        SignatureError::Crc { stored, computed } if chip == Chip::Esp32 => {
            record.line(format!("Sig block {number} invalid: Stored CRC {stored:#x} calculated {computed:#x}"));
            Some(RefusalCode::SignatureBlockInvalid)
        }
        SignatureError::Crc { stored, computed } => {
            let [stored, calculated] = [stored, computed].map(|crc| crc & 0xffff);
            record.line(format!(
                "Sig block {number} invalid: Stored CRC ends {stored:#x} calculated ends {calculated:#x}"
            ));
            Some(RefusalCode::SignatureBlockInvalid)
        }
        // Not observed: a line for another version.
        _ => Some(RefusalCode::SignatureBlockInvalid),
    }
}

/// With SECURE_BOOT_AGGRESSIVE_REVOKE, a bad signature by a trusted key costs that key, there and then.
fn revoke_aggressively(key: usize, efuses: &Efuses, record: &mut Record) -> Result<(), RefusalCode> {
    if efuses.sensed(Setting::AggressiveRevoke) == 0 {
        return Ok(());
    }
    efuses.set([Setting::Revoke0, Setting::Revoke1, Setting::Revoke2][key], 1)?;
    let purpose = KeyPurpose::SECURE_BOOT_DIGESTS[key];
    record.line(format!("Aggressive revoke enabled. Revoked key block for purpose ETS_EFUSE_KEY_PURPOSE_{purpose}"));
    record.step(Stage::Rom, "aggressive revoke", format!("burned KEY_REVOKE{key}"));
    Ok(())
}
