//! `SHA` (9.17); contexts, the choice of the target and updates of any length are the ATECC608's.
//!
//! The ATECC608 keeps the context through other commands and refused ones, as Microchip's data sheets of the TNGTLS and
//! TFLXTLS parts say (section "SHA Command").

use super::super::part::{Answer, Part, Use, array, done, slot};
use super::super::sha::ShaContext;
use super::super::sram::{Buffer, Flags};
use cotter_formats::atecc::{Command, KeyType, Slot, Status};

pub(in super::super) fn sha(part: &mut Part, command: &Command<'_>) -> Answer {
    let (mode, length, data) = (command.param1, command.param2, command.data);
    let is_end = matches!(mode & 7, 2 | 5);
    if mode & 0x38 != 0 || (mode & 0xc0 != 0 && !is_end && mode & 7 != 4) {
        return Err(Status::PARSE);
    }
    let takes_message = matches!(mode & 7, 1 | 2 | 5 | 7);
    if data.len() != if takes_message { usize::from(length) } else { 0 } {
        return Err(Status::PARSE);
    }
    match mode & 7 {
        0 if length == 0 => part.sram.sha = Some(ShaContext::new()),
        1 if data.len() <= 64 => part.sram.sha.as_mut().ok_or(Status::EXECUTION)?.update(data),
        2 if data.len() <= 64 => return finish(part, mode & 0xc0, data),
        3 => public_key(part, slot(length)?)?,
        4 => part.sram.sha = Some(ShaContext::hmac(hmac_key(part, length)?)),
        6 if length == 0 => return part.sram.sha.as_ref().and_then(ShaContext::export).ok_or(Status::EXECUTION),
        7 if (36..=99).contains(&data.len()) => {
            part.sram.sha = Some(ShaContext::import(data).ok_or(Status::EXECUTION)?);
        }
        _ => return Err(Status::PARSE),
    }
    done()
}

/// Into `TempKey`, into the digest buffer, or only out.
fn finish(part: &mut Part, target: u8, data: &[u8]) -> Answer {
    if target == 0x80 {
        return Err(Status::PARSE);
    }
    let mut context = part.sram.sha.take().ok_or(Status::EXECUTION)?;
    context.update(data);
    let (digest, certificate) = context.finish();
    match target {
        0x00 => part.sram.temp_key.load(&digest, Flags { is_input: true, certificate, ..Flags::default() }),
        0x40 => part.sram.digest = Buffer::new(&digest),
        _ => {}
    }
    Ok(digest.to_vec())
}

fn public_key(part: &mut Part, slot: Slot) -> Result<(), Status> {
    let key = part.key_config(slot);
    let is_public = part.is_config_locked() && !key.is_private() && key.key_type() == KeyType::P256;
    let public = part.memory.public_key(slot).filter(|_| is_public).ok_or(Status::EXECUTION)?;
    let context = part.sram.sha.as_mut().filter(|context| !context.is_hmac()).ok_or(Status::EXECUTION)?;
    context.set_public_key(slot);
    context.update(&public);
    Ok(())
}

/// A secret in a slot, or `TempKey`.
fn hmac_key(part: &mut Part, key: u16) -> Result<[u8; 32], Status> {
    if key == 0xffff {
        let temp = &part.sram.temp_key;
        let is_usable = !temp.flags.no_mac && !temp.flags.is_private;
        return temp.value().filter(|_| is_usable).ok_or(Status::EXECUTION);
    }
    let slot = slot(key)?;
    if part.is_data_locked() && part.slot_config(slot).is_no_mac() {
        return Err(Status::EXECUTION);
    }
    array(&part.secret(slot, Use::Plain)?)
}
