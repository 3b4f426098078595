//! `Read` (9.16) and `Write` (9.21).

use super::super::part::{Answer, Part, array, done};
use super::super::sha::digest;
use cotter_formats::atecc::slot::WriteRule;
use cotter_formats::atecc::{BLOCK_LEN, CONFIG_LEN, Command, OTP_LEN, Slot, Status};
use subtle::ConstantTimeEq;

/// Where an access goes.
#[derive(Clone, Copy)]
enum Place {
    Config { at: usize },
    Otp { at: usize },
    Data { slot: Slot, at: usize },
}

/// Zone and address as both commands encode them (9.1.4). `size` is 4 or 32; a block is aligned whatever the low three
/// bits say. That bits which mean nothing must be zero is not documented.
fn place(zone: u8, address: u16, size: usize) -> Result<Place, Status> {
    let offset = if size == BLOCK_LEN { 0 } else { 4 * usize::from(address & 7) };
    let block_at = |block: u16| usize::from(block) * BLOCK_LEN + offset;
    let within = |at: usize, len: usize| if at < len { Ok(at) } else { Err(Status::PARSE) };
    match zone & 3 {
        0 => Ok(Place::Config { at: within(block_at(address >> 3), CONFIG_LEN)? }),
        1 => Ok(Place::Otp { at: within(block_at(address >> 3), OTP_LEN)? }),
        2 if address & 0x80 == 0 => {
            let slot = Slot::from_low_bits(address >> 3);
            Ok(Place::Data { slot, at: within(block_at(address >> 8), slot.len())? })
        }
        _ => Err(Status::PARSE),
    }
}

const fn size(zone: u8) -> usize {
    if zone & 0x80 != 0 { BLOCK_LEN } else { 4 }
}

pub(in super::super) fn read(part: &mut Part, command: &Command<'_>) -> Answer {
    let zone = command.param1;
    if zone & 0x7c != 0 || !command.data.is_empty() {
        return Err(Status::PARSE);
    }
    let size = size(zone);
    match place(zone, command.param2, size)? {
        Place::Config { at } => Ok(part.memory.config().0[at..at + size].to_vec()),
        Place::Otp { .. } | Place::Data { .. } if !part.is_data_locked() => Err(Status::EXECUTION),
        Place::Otp { at } => Ok(part.memory.otp()[at..at + size].to_vec()),
        Place::Data { slot, at } => read_slot(part, slot, at, size),
    }
}

fn read_slot(part: &Part, slot: Slot, at: usize, size: usize) -> Answer {
    let rules = part.slot_config(slot);
    if part.key_config(slot).is_private() || (rules.is_secret() && (size == 4 || !rules.encrypts_reads())) {
        return Err(Status::EXECUTION);
    }
    if size == 4 {
        return part.memory.slot(slot).get(at..at + 4).map(<[u8]>::to_vec).ok_or(Status::PARSE);
    }
    let mut block = part.memory.slot_block(slot, at / BLOCK_LEN).ok_or(Status::PARSE)?;
    if rules.encrypts_reads() {
        let key = &part.sram.temp_key;
        let is_right = key.flags.gen_dig && key.is_random() && key.flags.key == rules.read_key().number();
        let pad = key.value().filter(|_| is_right).ok_or(Status::EXECUTION)?;
        block.iter_mut().zip(pad).for_each(|(byte, pad)| *byte ^= pad);
    }
    Ok(block.to_vec())
}

pub(in super::super) fn write(part: &mut Part, command: &Command<'_>) -> Answer {
    let zone = command.param1;
    if zone & 0x3c != 0 {
        return Err(Status::PARSE);
    }
    let size = size(zone);
    let (value, mac) = command.data.split_at_checked(size).ok_or(Status::PARSE)?;
    let mac = match mac.len() {
        0 => None,
        32 if size == BLOCK_LEN => Some(array(mac)?),
        _ => return Err(Status::PARSE),
    };
    match place(zone, command.param2, size)? {
        Place::Config { at } => write_config(part, zone, at, value)?,
        Place::Otp { at } => write_otp(part, command, at, value, mac)?,
        Place::Data { slot, at } => write_slot(part, command, slot, at, value, mac)?,
    }
    done()
}

/// Never bytes 0 to 15, never 84 to 87.
fn write_config(part: &mut Part, zone: u8, at: usize, value: &[u8]) -> Result<(), Status> {
    let touches = |range: std::ops::Range<usize>| at < range.end && range.start < at + value.len();
    if part.is_config_locked() || zone & ENCRYPTED != 0 || touches(0..16) || touches(84..88) {
        return Err(Status::EXECUTION);
    }
    part.memory.write_config(at, value);
    Ok(())
}

/// Only in blocks, and only between the two locks: the ATECC608 has no consumption mode.
fn write_otp(
    part: &mut Part,
    command: &Command<'_>,
    at: usize,
    value: &[u8],
    mac: Option<[u8; 32]>,
) -> Result<(), Status> {
    if !part.is_config_locked() || part.is_data_locked() || value.len() != BLOCK_LEN {
        return Err(Status::EXECUTION);
    }
    let value = match command.param1 & ENCRYPTED {
        0 => array(value)?,
        _ => decrypt(part, command, &array(value)?, mac)?,
    };
    part.memory.write_otp(at, &value);
    Ok(())
}

fn write_slot(
    part: &mut Part,
    command: &Command<'_>,
    slot: Slot,
    at: usize,
    value: &[u8],
    mac: Option<[u8; 32]>,
) -> Result<(), Status> {
    let (key, rules) = (part.key_config(slot), part.slot_config(slot));
    if !part.is_config_locked() || key.is_private() || part.memory.config().is_slot_locked(slot) {
        return Err(Status::EXECUTION);
    }
    let is_word = value.len() == 4;
    let is_encrypted = if part.is_data_locked() {
        match rules.write_rule() {
            WriteRule::Never => return Err(Status::EXECUTION),
            WriteRule::PublicKeyInvalid if key.is_validated_public_key() && part.memory.is_validated(slot) => {
                return Err(Status::EXECUTION);
            }
            WriteRule::PublicKeyInvalid | WriteRule::Always => false,
            WriteRule::Encrypted => true,
        }
    } else {
        command.param1 & ENCRYPTED != 0
    };
    let allows_words = part.is_data_locked() && !rules.is_secret() && rules.write_rule() == WriteRule::Always;
    if is_word && !(allows_words && command.param1 & ENCRYPTED == 0) {
        return Err(Status::EXECUTION);
    }
    if is_encrypted {
        if part.is_data_locked() {
            let flags = part.sram.temp_key.flags;
            if !flags.gen_dig || flags.key != rules.write_key().number() {
                return Err(Status::EXECUTION);
            }
        }
        let plain = decrypt(part, command, &array(value)?, mac)?;
        part.memory.write_slot(slot, at, &plain);
    } else {
        part.memory.write_slot(slot, at, value);
    }
    if slot.holds_public_keys() && key.is_validated_public_key() {
        part.memory.set_validated(slot, false);
    }
    Ok(())
}

/// 9.21.1: the plain text, if the MAC says that it is what was meant.
fn decrypt(part: &Part, command: &Command<'_>, value: &[u8; 32], mac: Option<[u8; 32]>) -> Result<[u8; 32], Status> {
    let key = part.sram.temp_key.value().ok_or(Status::EXECUTION)?;
    let mac = mac.ok_or(Status::PARSE)?;
    let mut plain = *value;
    plain.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
    let [low, high] = command.param2.to_le_bytes();
    let header = [command.opcode.0, command.param1, low, high];
    let expected = digest(&[&key, &header, &part.serial(), &[0; 25], &plain]);
    if expected.ct_eq(&mac).into() { Ok(plain) } else { Err(Status::EXECUTION) }
}

/// Bit 6 of the zone.
const ENCRYPTED: u8 = 0x40;
