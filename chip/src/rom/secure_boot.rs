//! Secure Boot V2 as the C3's ROM does it, RSA-3072 only.

use crate::crypt::TransparentFlash;
use crate::efuse::Efuses;
use crate::flash_image::{FlashImage, SignedContent, WalkError};
use crate::report::{Record, RefusalCode, Stage};
use crate::trusted_keys::TrustedKeys;
use cotter_formats::addr::FlashLen;
use cotter_formats::chip::Chip;
use cotter_formats::efuse::coding::DATA;
use cotter_formats::efuse::{EfuseBlock, KeyPurpose, esp32c3};
use cotter_formats::secure_boot::v2::{BLOCK_LEN, MAX_BLOCKS, Scheme, SignatureBlock, SignatureError};

/// Verifies the image; prints the reason of a refusal, then the verdict, after which the ROM halts.
pub(super) fn verify(
    image: &FlashImage,
    flash: &TransparentFlash,
    efuses: &Efuses,
    record: &mut Record,
) -> Result<(), RefusalCode> {
    let verdict = check(image, flash, efuses, record);
    match verdict {
        Ok(number) => {
            record.line("secure boot verification succeeded");
            record.step(Stage::Rom, "Secure Boot", format!("signed with the key of digest {number}"));
        }
        Err(RefusalCode::PowerLost) => {}
        Err(_) => {
            record.line("secure boot verification failed");
            record.line("ets_main.c 333");
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
    // 1. Which digests count: the right purpose, not revoked. Without any there is no reason line.
    let keys = TrustedKeys::read(&efuses.image()?);
    if keys.is_empty() {
        return Err(RefusalCode::NoTrustedKey);
    }
    let numbers: Vec<String> = keys.numbers().map(|number| number.to_string()).collect();
    record.line(format!("Valid secure boot key blocks: {}", numbers.join(" ")));

    // 2. The appended SHA-256 must be there and right. Not observed: a line for the case that it is absent.
    let digest = image.parsed().digest().ok_or(RefusalCode::HashMissing)?;
    if digest.stored != digest.computed {
        record.line("SHA-256 simple hash comparison failed.");
        return Err(RefusalCode::HashMismatch);
    }

    // 3. The content is padded to whole sectors, the next sector holds up to three signature blocks.
    let at = Chip::Esp32C3.bootloader_offset();
    let limit = FlashLen(flash.raw().size().0 - at.0);
    let content = match image.signed_content(flash, at, limit) {
        Err(WalkError::DoesNotFit) => return Err(RefusalCode::Unsigned),
        content => content?,
    };
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
    let mut refusal = RefusalCode::Unsigned;
    for (number, bytes) in content.sector.chunks_exact(BLOCK_LEN).take(MAX_BLOCKS).enumerate() {
        let block = match SignatureBlock::parse(bytes) {
            Ok(block) => block,
            Err(error) => {
                // 4a. Magic byte and CRC. Behind the first block, erased flash ends the list without a word.
                if let Some(code) = refuse_block(number, &error, record) {
                    refusal = code;
                }
                break;
            }
        };
        // Not observed: a line for an ECDSA block; this ROM knows RSA only.
        if block.scheme() != Scheme::Rsa3072 {
            refusal = RefusalCode::SignatureBlockInvalid;
            break;
        }
        // 4b. It must be for this content.
        if block.image_digest() != content.digest {
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
        // 4d. RSA-PSS.
        if block.verify(&content.digest).is_ok() {
            return Ok(key);
        }
        record.line("Signature Check Failed");
        record.line(format!("Sig block {number} signature verification failed"));
        refusal = RefusalCode::BadSignature;
        revoke_aggressively(key, efuses, record)?;
    }
    Err(refusal)
}

/// What the ROM says to a block that is none; `None` if it just ends the list.
fn refuse_block(number: usize, error: &SignatureError, record: &mut Record) -> Option<RefusalCode> {
    match error {
        SignatureError::Magic { found } if number == 0 => {
            record.line(format!(
                "No signature block magic byte found at signature sector (found {found:#x} not 0xe7). Image not V2 signed?"
            ));
            Some(RefusalCode::Unsigned)
        }
        SignatureError::Magic { .. } => None,
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
    if !efuses.image()?.is_set(&esp32c3::SECURE_BOOT_AGGRESSIVE_REVOKE) {
        return Ok(());
    }
    let mut settings = [0; DATA];
    esp32c3::KEY_REVOKES[key].merge(1, &mut settings).expect("one bit of block 0");
    efuses.program(EfuseBlock::SETTINGS, &settings)?;
    let purpose = KeyPurpose::SECURE_BOOT_DIGESTS[key];
    record.line(format!("Aggressive revoke enabled. Revoked key block for purpose ETS_EFUSE_KEY_PURPOSE_{purpose}"));
    record.step(Stage::Rom, "aggressive revoke", format!("burned KEY_REVOKE{key}"));
    Ok(())
}
