//! `Verify` (9.20).

use super::super::curve::verify as signature_holds;
use super::super::part::{Answer, Part, Use, array, compared, slot};
use super::super::sha::digest;
use cotter_formats::atecc::{Command, KeyType, Slot, Status};

const STORED: u8 = 0;
const VALIDATE_EXTERNAL: u8 = 1;
const EXTERNAL: u8 = 2;
const VALIDATE: u8 = 3;
const INVALIDATE: u8 = 7;

/// The message is in the digest buffer, not in `TempKey`.
const DIGEST_BUFFER: u8 = 0x20;
/// The answer is a MAC under the I/O protection key.
const MAC: u8 = 0x80;

pub(in super::super) fn verify(part: &mut Part, command: &Command<'_>) -> Answer {
    let mode = command.param1;
    let data_len = match mode & 7 {
        STORED | VALIDATE_EXTERNAL => 64,
        EXTERNAL => 128,
        VALIDATE | INVALIDATE => 64 + 19,
        _ => return Err(Status::PARSE),
    };
    if mode & 0x58 != 0 || command.data.len() != data_len {
        return Err(Status::PARSE);
    }
    let (signature, rest) = command.data.split_at(64);
    let signature = array(signature)?;
    let is_right = match mode & 7 {
        EXTERNAL => {
            if command.param2 != u16::from(KeyType::P256.0) {
                return Err(Status::PARSE);
            }
            signature_holds(&array(rest)?, &message(part, mode)?, &signature)?
        }
        STORED => {
            let slot = slot(command.param2)?;
            let key = stored_key(part, slot)?;
            let message = message(part, mode)?;
            part.use_key(slot, Use::Fresh)?;
            let is_right = signature_holds(&key, &message, &signature)?;
            if is_right {
                part.sram.authorized = Some(slot);
            }
            is_right
        }
        _ => change_validity(part, command, &signature, rest)?,
    };
    if mode & MAC != 0 && is_right {
        return Ok(validating_mac(part, command, &signature)?.to_vec());
    }
    compared(is_right)
}

/// The digest that was signed.
fn message(part: &Part, mode: u8) -> Result<[u8; 32], Status> {
    let message = match mode & DIGEST_BUFFER {
        0 => part.sram.temp_key.value().filter(|_| !part.sram.temp_key.flags.is_private),
        _ => part.sram.digest.as_ref().map(super::super::sram::Buffer::lower),
    };
    message.ok_or(Status::EXECUTION)
}

/// A public key that may verify signatures.
pub(super) fn stored_key(part: &Part, slot: Slot) -> Result<[u8; 64], Status> {
    let key = part.key_config(slot);
    let is_usable = part.is_config_locked() && !key.is_private() && key.key_type() == KeyType::P256;
    let is_validated = !key.public_info() || part.memory.is_validated(slot) || !part.is_data_locked();
    let public = part.memory.public_key(slot).filter(|_| slot.holds_public_keys());
    public.filter(|_| is_usable && is_validated).ok_or(Status::EXECUTION)
}

/// Validate, invalidate, and validate by a certificate: the parent's signature changes four bits of the key.
fn change_validity(part: &mut Part, command: &Command<'_>, signature: &[u8; 64], other: &[u8]) -> Result<bool, Status> {
    let (mode, slot) = (command.param1 & 7, slot(command.param2)?);
    let key = part.key_config(slot);
    let is_for_this = slot.holds_public_keys() && key.is_validated_public_key() && part.is_config_locked();
    if !is_for_this {
        return Err(Status::EXECUTION);
    }
    let format = part.memory.config().x509_format(key.x509_format());
    let temp = &part.sram.temp_key;
    let value = temp.value().ok_or(Status::EXECUTION)?;
    let message = if mode == VALIDATE_EXTERNAL {
        // Blocks are counted from zero and those of the padding are not: not documented.
        let found = temp.flags.certificate.filter(|found| found.slot == slot);
        let fits = found.is_some_and(|found| found.position == format & 0xf && found.blocks == format >> 4);
        if format == 0 || !fits {
            return Err(Status::EXECUTION);
        }
        value
    } else {
        let is_of_this_key = temp.flags.gen_key && temp.flags.key == slot.number();
        let says_valid = other[17] & 1 != 0;
        if format != 0 || !is_of_this_key || says_valid != (mode == INVALIDATE) {
            return Err(Status::EXECUTION);
        }
        let [sn8, sn0, sn1] = part.serial();
        digest(&[&value, &[0x41], &other[..10], &[sn8], &other[10..14], &[sn0, sn1], &other[14..]])
    };
    let parent = part.slot_config(slot).read_key();
    let public = stored_key(part, parent)?;
    part.use_key(parent, Use::Fresh)?;
    let is_right = signature_holds(&public, &message, signature)?;
    if is_right {
        part.memory.set_validated(slot, mode != INVALIDATE);
    }
    Ok(is_right)
}

/// SHA-256 over I/O protection key, message, the host's nonce, signature, and the command's parameters.
fn validating_mac(part: &Part, command: &Command<'_>, signature: &[u8; 64]) -> Result<[u8; 32], Status> {
    let buffer = part.sram.digest.as_ref().ok_or(Status::EXECUTION)?;
    let is_in_buffer = command.param1 & DIGEST_BUFFER != 0;
    let nonce = if is_in_buffer { buffer.upper().ok_or(Status::EXECUTION)? } else { buffer.lower() };
    let message = message(part, command.param1)?;
    let [low, high] = command.param2.to_le_bytes();
    let header = [command.opcode.0, command.param1, low, high];
    Ok(digest(&[&part.io_key()?, &message, &nonce, signature, &header]))
}
