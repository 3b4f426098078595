//! `KDF`: TLS 1.2 PRF, HKDF's steps, AES.
//!
//! Microchip publishes no description. Modes and details are cryptoauthlib's; that the PRF is P_SHA256 over the message
//! as it comes, and AES one block with zeros behind, was checked against the vectors of its tests. Not documented: which
//! half of `TempKey` a short key is taken from, what a slot must allow to be a target.

use super::super::part::{Answer, Part, Use, array, done, slot};
use super::super::sram::{Buffer, Flags};
use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use cotter_formats::atecc::config::OutputRule;
use cotter_formats::atecc::{Command, Slot, Status};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

type Secret = Zeroizing<Vec<u8>>;

pub(in super::super) fn kdf(part: &mut Part, command: &Command<'_>) -> Answer {
    let mode = command.param1;
    let (details, message) = command.data.split_first_chunk::<4>().ok_or(Status::PARSE)?;
    let details = u32::from_le_bytes(*details);
    if mode & 0x80 != 0 || !part.is_config_locked() {
        return Err(if mode & 0x80 != 0 { Status::PARSE } else { Status::EXECUTION });
    }
    let [source_slot, target_slot] = command.param2.to_le_bytes();
    match mode & 0x60 {
        0x00 => {
            exact_message(details, message)?;
            let key_len = 16 * (1 + (details as usize & 3));
            let key = source(part, mode, source_slot, key_len)?;
            let len = if details & 0x100 != 0 { 64 } else { 32 };
            let secret = prf(&key, message, len);
            if details & 0x600 == 0x200 {
                // For AEAD: the first half stays, the second goes out.
                let (kept, given) = secret.split_at_checked(32).ok_or(Status::PARSE)?;
                if given.is_empty() || mode & 0x10 != 0 {
                    return Err(Status::PARSE);
                }
                deliver(part, mode, target_slot, kept)?;
                return output(part, given, false);
            }
            deliver(part, mode, target_slot, &secret)
        }
        0x20 => {
            let config = part.memory.config();
            if !config.has_aes() || !config.chip_options().kdf_has_aes() {
                return Err(Status::EXECUTION);
            }
            let mut block = array::<16>(message)?.into();
            let at = 16 * (details as usize & 3);
            let key = source(part, mode, source_slot, at + 16)?;
            Aes128::new(&array::<16>(&key[at..])?.into()).encrypt_block(&mut block);
            let secret = Zeroizing::new([&block[..], &[0; 16]].concat());
            deliver(part, mode, target_slot, &secret)
        }
        0x40 => {
            let message = hkdf_message(part, details, message, target_slot)?;
            let key = if details & 4 != 0 { Zeroizing::new(vec![0; 32]) } else { source(part, mode, source_slot, 32)? };
            let secret = hmac(&key, &[&message]);
            deliver(part, mode, target_slot, &secret)
        }
        _ => Err(Status::PARSE),
    }
}

/// The top byte of the details is the length.
fn exact_message(details: u32, message: &[u8]) -> Result<(), Status> {
    let len = (details >> 24) as usize;
    if len == message.len() && len <= 128 { Ok(()) } else { Err(Status::PARSE) }
}

fn hkdf_message(part: &mut Part, details: u32, message: &[u8], target_slot: u8) -> Result<Secret, Status> {
    match details & 3 {
        0 => {
            let slot = slot(u16::from(target_slot))?;
            Ok(Zeroizing::new(part.secret(slot, Use::Plain)?.to_vec()))
        }
        1 => {
            let temp = part.sram.temp_key.whole().filter(|_| !part.sram.temp_key.flags.is_private);
            Ok(Zeroizing::new(temp.ok_or(Status::EXECUTION)?.to_vec()))
        }
        location => {
            exact_message(details, message)?;
            let (at, expected) = part.memory.config().kdf_initialization();
            let is_initialization = message.get(at..at + 2) == Some(&expected[..]);
            if location == 3 && !is_initialization {
                return Err(Status::EXECUTION);
            }
            Ok(Zeroizing::new(message.to_vec()))
        }
    }
}

/// Bits 1 and 0 of the mode: `TempKey`, its upper half, a slot, the alternate key buffer.
fn source(part: &mut Part, mode: u8, source_slot: u8, len: usize) -> Result<Secret, Status> {
    let bytes = match mode & 3 {
        0 | 1 => {
            let temp = part.sram.temp_key.whole().filter(|_| !part.sram.temp_key.flags.is_private);
            let at = if mode & 3 == 1 { 32 } else { 0 };
            temp.and_then(|temp| temp.get(at..at + len)).ok_or(Status::EXECUTION)?
        }
        2 => {
            let slot = slot(u16::from(source_slot))?;
            part.secret(slot, Use::Plain)?;
            part.memory.slot(slot).get(..len).ok_or(Status::EXECUTION)?
        }
        _ => part.sram.alternate_key.as_ref().and_then(|buffer| buffer.bytes().get(..len)).ok_or(Status::EXECUTION)?,
    };
    Ok(Zeroizing::new(bytes.to_vec()))
}

/// Bits 4 to 2 of the mode.
fn deliver(part: &mut Part, mode: u8, target_slot: u8, secret: &[u8]) -> Answer {
    match mode >> 2 & 7 {
        0 => part.sram.temp_key.load(secret, Flags { is_input: true, ..Flags::default() }),
        1 => {
            let half = array(secret)?;
            if !part.sram.temp_key.is_valid() {
                return Err(Status::EXECUTION);
            }
            part.sram.temp_key.load_upper(&half);
        }
        2 => store(part, slot(u16::from(target_slot))?, secret)?,
        3 => part.sram.alternate_key = Some(Buffer::new(secret).ok_or(Status::PARSE)?),
        4 => return output(part, secret, false),
        5 => return output(part, secret, true),
        _ => return Err(Status::PARSE),
    }
    done()
}

/// A slot for secrets whose `KeyConfig` lets KDF write it.
fn store(part: &mut Part, slot: Slot, secret: &[u8]) -> Result<(), Status> {
    let key = part.key_config(slot);
    let is_permitted = !key.is_private() && !key.is_validated_public_key() && key.public_info();
    if !is_permitted || part.memory.config().is_slot_locked(slot) || slot.len() < secret.len() {
        return Err(Status::EXECUTION);
    }
    part.memory.write_slot(slot, 0, secret);
    Ok(())
}

fn output(part: &mut Part, secret: &[u8], is_encrypted: bool) -> Answer {
    match part.memory.config().chip_options().kdf_output() {
        OutputRule::Clear if !is_encrypted => Ok(secret.to_vec()),
        OutputRule::Clear | OutputRule::Encrypted => part.protect_output(secret),
        OutputRule::Inside | OutputRule::Invalid => Err(Status::EXECUTION),
    }
}

fn hmac(key: &[u8], pieces: &[&[u8]]) -> Secret {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    pieces.iter().for_each(|piece| mac.update(piece));
    Zeroizing::new(mac.finalize().into_bytes().to_vec())
}

/// P_SHA256 of RFC 5246 section 5.
fn prf(key: &[u8], seed: &[u8], len: usize) -> Secret {
    let mut out = Zeroizing::new(Vec::with_capacity(len + 32));
    let mut chain = hmac(key, &[seed]);
    while out.len() < len {
        out.extend_from_slice(&hmac(key, &[&chain, seed]));
        chain = hmac(key, &[&chain]);
    }
    out.truncate(len);
    out
}
