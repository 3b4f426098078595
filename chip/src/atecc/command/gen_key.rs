//! `GenKey` (9.7) and `PrivWrite` (9.14).

use super::super::curve::PrivateKey;
use super::super::part::{Answer, Part, Use, array, done, slot};
use super::super::sha::digest;
use super::super::sram::Flags;
use cotter_formats::atecc::{Command, KeyType, Slot, Status};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

const CREATE: u8 = 0x04;
const DIGEST: u8 = 0x08;
const STORED_PUBLIC_KEY: u8 = 0x10;

/// Param2 for a private key in `TempKey`.
const TEMP_KEY: u16 = 0xffff;

pub(in super::super) fn gen_key(part: &mut Part, command: &Command<'_>) -> Answer {
    let mode = command.param1;
    if mode & !(CREATE | DIGEST | STORED_PUBLIC_KEY) != 0 || !matches!(command.data.len(), 0 | 3) {
        return Err(Status::PARSE);
    }
    if !part.is_config_locked() {
        return Err(Status::EXECUTION);
    }
    if mode & STORED_PUBLIC_KEY != 0 {
        return digest_stored_key(part, command);
    }
    if command.param2 == TEMP_KEY {
        return in_temp_key(part, mode);
    }
    let slot = slot(command.param2)?;
    is_private_slot(part, slot)?;
    let key = if mode & CREATE != 0 { create(part, slot)? } else { existing(part, slot)? };
    let public = key.public();
    if mode & DIGEST != 0 {
        let [low, high] = command.param2.to_le_bytes();
        digest_key(part, slot, [mode, low, high], &public)?;
    }
    Ok(public.to_vec())
}

/// The slot is for private keys of the one curve.
pub(super) fn is_private_slot(part: &Part, slot: Slot) -> Result<(), Status> {
    let key = part.key_config(slot);
    let is_right = key.is_private() && key.key_type() == KeyType::P256 && part.slot_config(slot).is_secret();
    if is_right { Ok(()) } else { Err(Status::EXECUTION) }
}

fn create(part: &mut Part, slot: Slot) -> Result<PrivateKey, Status> {
    let is_forbidden = part.is_data_locked() && !part.slot_config(slot).creates_keys();
    if is_forbidden || part.memory.config().is_slot_locked(slot) {
        return Err(Status::EXECUTION);
    }
    part.use_key(slot, Use::Generate)?;
    let key = PrivateKey::generate(&part.entropy);
    part.memory.write_private_key(slot, &key.bytes());
    Ok(key)
}

fn existing(part: &mut Part, slot: Slot) -> Result<PrivateKey, Status> {
    if part.is_data_locked() && !part.key_config(slot).public_info() {
        return Err(Status::EXECUTION);
    }
    part.use_key(slot, Use::Generate)?;
    let key = part.memory.private_key(slot).ok_or(Status::EXECUTION)?;
    PrivateKey::from_bytes(&key).ok_or(Status::ECC_FAULT)
}

/// The ATECC608 makes a key for one ECDH.
fn in_temp_key(part: &mut Part, mode: u8) -> Answer {
    let key = match mode {
        CREATE => {
            let key = PrivateKey::generate(&part.entropy);
            part.sram.temp_key.load(&*key.bytes(), Flags { is_private: true, ..Flags::default() });
            key
        }
        0 => private_temp_key(part)?,
        _ => return Err(Status::PARSE),
    };
    Ok(key.public().to_vec())
}

/// The private key in `TempKey`.
pub(super) fn private_temp_key(part: &Part) -> Result<PrivateKey, Status> {
    let value = part.sram.temp_key.value().filter(|_| part.sram.temp_key.flags.is_private);
    PrivateKey::from_bytes(&Zeroizing::new(value.ok_or(Status::EXECUTION)?)).ok_or(Status::ECC_FAULT)
}

fn digest_stored_key(part: &mut Part, command: &Command<'_>) -> Answer {
    let slot = slot(command.param2)?;
    let other = array(command.data)?;
    let key = part.key_config(slot);
    let public = part.memory.public_key(slot).filter(|_| slot.holds_public_keys());
    let public = public.filter(|_| !key.is_private() && key.key_type() == KeyType::P256).ok_or(Status::EXECUTION)?;
    part.use_key(slot, Use::Plain)?;
    digest_key(part, slot, other, &public)?;
    done()
}

fn digest_key(part: &mut Part, slot: Slot, header: [u8; 3], public: &[u8; 64]) -> Result<(), Status> {
    let temp = part.sram.temp_key.value().ok_or(Status::EXECUTION)?;
    if part.is_data_locked() && part.key_config(slot).requires_random() && !part.sram.temp_key.is_random() {
        return Err(Status::EXECUTION);
    }
    let value = digest(&[&temp, &[0x40], &header, &part.serial(), &[0; 25], public]);
    let flags = part.sram.temp_key.flags;
    let flags =
        Flags { key: slot.number(), gen_dig: false, gen_key: true, is_private: false, certificate: None, ..flags };
    part.sram.temp_key.load(&value, flags);
    Ok(())
}

/// Data are 36 bytes of key and 32 of MAC.
pub(in super::super) fn priv_write(part: &mut Part, command: &Command<'_>) -> Answer {
    let (zone, slot) = (command.param1, slot(command.param2)?);
    if zone & !0x40 != 0 {
        return Err(Status::PARSE);
    }
    let (value, mac) = command.data.split_at_checked(36).ok_or(Status::PARSE)?;
    let is_encrypted = zone & 0x40 != 0;
    if !(mac.len() == 32 || mac.is_empty() && !is_encrypted) {
        return Err(Status::PARSE);
    }
    is_private_slot(part, slot)?;
    if !part.is_config_locked() || part.memory.config().is_slot_locked(slot) {
        return Err(Status::EXECUTION);
    }
    let rules = part.slot_config(slot);
    let flags = part.sram.temp_key.flags;
    let is_authorized = flags.gen_dig && flags.key == rules.write_key().number();
    if part.is_data_locked() && !(rules.takes_private_keys() && is_encrypted && is_authorized) {
        return Err(Status::EXECUTION);
    }
    let mut plain = Zeroizing::new(array::<36>(value)?);
    if is_encrypted {
        let temp = part.sram.temp_key.value().ok_or(Status::EXECUTION)?;
        let pad = temp.into_iter().chain(digest(&[&temp]));
        plain.iter_mut().zip(pad).for_each(|(byte, pad)| *byte ^= pad);
        let [low, high] = command.param2.to_le_bytes();
        let header = [command.opcode.0, zone, low, high];
        let expected = digest(&[&temp, &header, &part.serial(), &[0; 21], &*plain]);
        if !bool::from(expected.ct_eq(mac)) {
            return Err(Status::EXECUTION);
        }
    }
    let mut key = Zeroizing::new([0; 32]);
    key.copy_from_slice(&plain[4..]);
    // Not documented: what is no scalar of the curve.
    let key = PrivateKey::from_bytes(&key).ok_or(Status::ECC_FAULT)?;
    part.memory.write_private_key(slot, &key.bytes());
    done()
}
