//! `SecureBoot`: whether the host's firmware is the one that was signed.

use super::super::curve::verify as signature_holds;
use super::super::part::{Answer, Part, array, compared};
use super::super::sha::digest;
use super::verify::stored_key;
use cotter_formats::atecc::config::SecureBootMode;
use cotter_formats::atecc::{Command, Status};
use subtle::ConstantTimeEq;

const FULL: u8 = 5;
const FULL_STORE: u8 = 6;
const FULL_COPY: u8 = 7;
/// No more until the power is gone.
const PROHIBIT: u8 = 0x40;
/// The digest comes encrypted, and success is answered by a MAC.
const PROTECTED: u8 = 0x80;

pub(in super::super) fn secure_boot(part: &mut Part, command: &Command<'_>) -> Answer {
    let mode = command.param1;
    if mode & 0x38 != 0 || !matches!(mode & 7, FULL..=FULL_COPY) || command.param2 != 0 {
        return Err(Status::PARSE);
    }
    let (sent, signature) = command.data.split_at_checked(32).ok_or(Status::PARSE)?;
    let signature: Option<[u8; 64]> = if signature.is_empty() { None } else { Some(array(signature)?) };
    let config = part.memory.config().secure_boot();
    let is_locked = part.is_config_locked() && part.is_data_locked();
    if config.mode() == SecureBootMode::Disabled || part.latches.no_secure_boot || !is_locked {
        return Err(Status::EXECUTION);
    }
    if config.requires_random() && !part.sram.temp_key.is_random() {
        return Err(Status::EXECUTION);
    }
    let mut image: [u8; 32] = array(sent)?;
    let pad = match mode & PROTECTED {
        0 => None,
        _ => {
            let nonce = part.sram.temp_key.value().ok_or(Status::EXECUTION)?;
            Some(digest(&[&part.io_key()?, &nonce]))
        }
    };
    if let Some(pad) = pad {
        image.iter_mut().zip(pad).for_each(|(byte, pad)| *byte ^= pad);
    }
    let (is_right, signature) = judge(part, mode & 7, &image, signature)?;
    if is_right && config.sets_latch() {
        part.latches.persistent = true;
    }
    if mode & PROHIBIT != 0 {
        part.latches.no_secure_boot = true;
    }
    if let Some(pad) = pad.filter(|_| is_right) {
        let header = [command.opcode.0, mode, 0, 0];
        let signature: &[u8] = signature.as_ref().map_or(&[], |signature| signature);
        return Ok(digest(&[&pad, &image, signature, &header]).to_vec());
    }
    compared(is_right)
}

/// Whether the digest is the right one, and the signature that says so.
fn judge(
    part: &mut Part,
    mode: u8,
    image: &[u8; 32],
    signature: Option<[u8; 64]>,
) -> Result<(bool, Option<[u8; 64]>), Status> {
    let config = part.memory.config().secure_boot();
    let (store, key_slot) = (config.digest_slot(), config.key_slot());
    if mode == FULL_STORE {
        return match config.mode() {
            SecureBootMode::StoredDigest => Ok((part.memory.key(store).ct_eq(image).into(), None)),
            SecureBootMode::StoredSignature => {
                let stored: [u8; 64] = array(part.memory.slot(store).get(..64).ok_or(Status::EXECUTION)?)?;
                let key = stored_key(part, key_slot)?;
                Ok((signature_holds(&key, image, &stored)?, Some(stored)))
            }
            SecureBootMode::Full | SecureBootMode::Disabled => Err(Status::EXECUTION),
        };
    }
    let signature = signature.ok_or(Status::PARSE)?;
    let key = stored_key(part, key_slot)?;
    let is_right = signature_holds(&key, image, &signature)?;
    if mode == FULL_COPY {
        let content: &[u8] = match config.mode() {
            SecureBootMode::StoredDigest => image,
            SecureBootMode::StoredSignature => &signature,
            SecureBootMode::Full | SecureBootMode::Disabled => return Err(Status::EXECUTION),
        };
        let is_closed = part.memory.config().is_slot_locked(store) || part.key_config(store).is_private();
        if is_closed || store.len() < content.len() {
            return Err(Status::EXECUTION);
        }
        if is_right {
            part.memory.write_slot(store, 0, content);
        }
    }
    Ok((is_right, Some(signature)))
}
