//! `Sign` (9.18).

use super::super::curve::PrivateKey;
use super::super::part::{Answer, Part, Use, slot};
use super::super::sha::digest;
use super::gen_key::is_private_slot;
use cotter_formats::atecc::{Command, Slot, Status};

const EXTERNAL: u8 = 0x80;
const FULL_SERIAL: u8 = 0x40;
/// The message is in the digest buffer, not in `TempKey`.
const DIGEST_BUFFER: u8 = 0x20;
const FOR_INVALIDATION: u8 = 0x01;

pub(in super::super) fn sign(part: &mut Part, command: &Command<'_>) -> Answer {
    let (mode, slot) = (command.param1, slot(command.param2)?);
    let is_external = mode & EXTERNAL != 0;
    let allowed = if is_external { EXTERNAL | FULL_SERIAL | DIGEST_BUFFER } else { FULL_SERIAL | FOR_INVALIDATION };
    if mode & !allowed != 0 || !command.data.is_empty() {
        return Err(Status::PARSE);
    }
    is_private_slot(part, slot)?;
    let rules = part.slot_config(slot);
    let is_permitted = if is_external { rules.signs_external() } else { rules.signs_internal() };
    if !part.is_config_locked() || !is_permitted || (!is_external && !part.is_data_locked()) {
        return Err(Status::EXECUTION);
    }
    let message = if !is_external {
        internal(part, command)
    } else if mode & DIGEST_BUFFER != 0 {
        part.sram.digest.as_ref().map(super::super::sram::Buffer::lower)
    } else {
        part.sram.temp_key.value().filter(|_| !part.sram.temp_key.flags.is_private)
    };
    let message = message.ok_or(Status::EXECUTION)?;
    part.use_key(slot, Use::Plain)?;
    let key = part.memory.private_key(slot).ok_or(Status::EXECUTION)?;
    let key = PrivateKey::from_bytes(&key).ok_or(Status::ECC_FAULT)?;
    Ok(key.sign(&message, &part.entropy).to_vec())
}

/// The digest of the 55 bytes that say how `TempKey` came about.
fn internal(part: &Part, command: &Command<'_>) -> Option<[u8; 32]> {
    let temp = &part.sram.temp_key;
    let value = temp.value().filter(|_| temp.flags.gen_dig || temp.flags.gen_key)?;
    let key = Slot::from_low_bits(u16::from(temp.flags.key));
    let (rules, config) = (part.slot_config(key).0.to_le_bytes(), part.key_config(key).0.to_le_bytes());
    let serial = part.memory.config().serial_number();
    let (mut sn4, mut sn2) = ([0; 4], [0; 2]);
    if command.param1 & FULL_SERIAL != 0 {
        sn4.copy_from_slice(&serial[4..8]);
        sn2.copy_from_slice(&serial[2..4]);
    }
    let [low, high] = command.param2.to_le_bytes();
    let is_open = u8::from(!part.memory.config().is_slot_locked(key));
    let is_valid = u8::from(part.key_config(key).is_validated_public_key() && part.memory.is_validated(key));
    Some(digest(&[
        &value,
        &[command.opcode.0, command.param1, low, high],
        &rules,
        &config,
        &[temp.flag_byte(), 0, 0, serial[8]],
        &sn4,
        &serial[..2],
        &sn2,
        &[is_open, is_valid, 0],
    ]))
}
