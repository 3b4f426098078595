//! `ECDH` (9.5); `TempKey`, targets and encrypted output are the ATECC608's.

use super::super::curve::PrivateKey;
use super::super::part::{Answer, Part, Use, array, done, slot};
use super::super::sram::Flags;
use super::gen_key::{is_private_slot, private_temp_key};
use cotter_formats::atecc::config::OutputRule;
use cotter_formats::atecc::{Command, Slot, Status};
use zeroize::Zeroizing;

const FROM_TEMP_KEY: u8 = 0x01;
const ENCRYPTED: u8 = 0x02;

/// Bits 3 and 2: where the secret goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    /// As the ATECC508A does: where the slot's configuration says.
    Configured,
    Slot,
    TempKey,
    Output,
}

pub(in super::super) fn ecdh(part: &mut Part, command: &Command<'_>) -> Answer {
    let mode = command.param1;
    let target = match mode & 0x0c {
        0x00 => Target::Configured,
        0x04 => Target::Slot,
        0x08 => Target::TempKey,
        _ => Target::Output,
    };
    let is_from_temp_key = mode & FROM_TEMP_KEY != 0;
    let makes_no_sense = match target {
        Target::Configured => mode != 0,
        Target::Slot | Target::TempKey => mode & ENCRYPTED != 0,
        Target::Output => false,
    };
    if mode & 0xf0 != 0 || makes_no_sense {
        return Err(Status::PARSE);
    }
    let point: [u8; 64] = array(command.data)?;
    if !part.is_config_locked() {
        return Err(Status::EXECUTION);
    }
    let (key, own_slot) =
        if is_from_temp_key { (private_temp_key(part)?, None) } else { from_slot(part, slot(command.param2)?)? };
    let secret = key.agree(&point).ok_or(Status::ECC_FAULT)?;
    part.sram.temp_key.clear();
    match (target, own_slot) {
        (Target::TempKey, _) => {
            part.sram.temp_key.load(&*secret, Flags { is_input: true, ..Flags::default() });
            done()
        }
        (Target::Configured, Some(own)) if part.slot_config(own).agrees_into_next_slot() => {
            store(part, next(own)?, &secret)
        }
        (Target::Slot, Some(own)) => store(part, next(own)?, &secret),
        (Target::Slot, None) => store(part, slot(command.param2)?, &secret),
        _ => output(part, &secret, mode & ENCRYPTED != 0),
    }
}

fn from_slot(part: &mut Part, slot: Slot) -> Result<(PrivateKey, Option<Slot>), Status> {
    is_private_slot(part, slot)?;
    if !part.slot_config(slot).agrees() {
        return Err(Status::EXECUTION);
    }
    part.use_key(slot, Use::Plain)?;
    let key = part.memory.private_key(slot).ok_or(Status::EXECUTION)?;
    Ok((PrivateKey::from_bytes(&key).ok_or(Status::ECC_FAULT)?, Some(slot)))
}

/// Only keys in even slots have one.
fn next(slot: Slot) -> Result<Slot, Status> {
    Slot::new(u16::from(slot.number()) + 1).filter(|_| slot.number().is_multiple_of(2)).ok_or(Status::EXECUTION)
}

fn store(part: &mut Part, slot: Slot, secret: &Zeroizing<[u8; 32]>) -> Answer {
    if part.key_config(slot).is_private() || part.memory.config().is_slot_locked(slot) {
        return Err(Status::EXECUTION);
    }
    part.memory.write_slot(slot, 0, &**secret);
    done()
}

/// `ChipOptions` can ask for more protection than the command does.
fn output(part: &mut Part, secret: &Zeroizing<[u8; 32]>, is_encrypted: bool) -> Answer {
    match part.memory.config().chip_options().ecdh_output() {
        OutputRule::Clear if !is_encrypted => Ok(secret.to_vec()),
        OutputRule::Clear | OutputRule::Encrypted => part.protect_output(&**secret),
        OutputRule::Inside | OutputRule::Invalid => Err(Status::EXECUTION),
    }
}
