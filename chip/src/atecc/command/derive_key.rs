//! `DeriveKey` (9.4).

use super::super::part::{Answer, Part, Use, done, slot};
use super::super::sha::digest;
use cotter_formats::atecc::{Command, Slot, Status};
use subtle::ConstantTimeEq;

pub(in super::super) fn derive_key(part: &mut Part, command: &Command<'_>) -> Answer {
    let (mode, target) = (command.param1, slot(command.param2)?);
    if mode & !4 != 0 || !matches!(command.data.len(), 0 | 32) {
        return Err(Status::PARSE);
    }
    let rules = part.slot_config(target);
    if !part.is_config_locked()
        || part.key_config(target).is_private()
        || part.memory.config().is_slot_locked(target)
        || !rules.creates_keys()
    {
        return Err(Status::EXECUTION);
    }
    let is_input = mode & 4 != 0;
    let flags = part.sram.temp_key.flags;
    let temp = part.sram.temp_key.value().filter(|_| flags.is_input == is_input && !flags.no_mac);
    let temp = temp.ok_or(Status::EXECUTION)?;
    let [low, high] = command.param2.to_le_bytes();
    let header = [command.opcode.0, mode, low, high];
    let serial = part.serial();
    let parent = rules.write_key();
    if rules.derives_with_mac() {
        let key = if rules.derives_from_parent() { part.memory.key(parent) } else { part.secret(parent, Use::Plain)? };
        let expected = digest(&[&key, &header, &serial]);
        if part.key_config(parent).is_private() || !bool::from(expected.ct_eq(command.data)) {
            return Err(Status::EXECUTION);
        }
    } else if !command.data.is_empty() {
        return Err(Status::PARSE);
    }
    let source = if rules.derives_from_parent() { part.secret(parent, Use::Fresh)? } else { rolled_key(part, target)? };
    let key = digest(&[&source, &header, &serial, &[0; 25], &temp]);
    part.memory.write_slot(target, 0, &key);
    done()
}

/// The target's own key, whose limit of uses does not count here.
fn rolled_key(part: &mut Part, target: Slot) -> Result<[u8; 32], Status> {
    if part.key_config(target).requires_random() && part.is_data_locked() && !part.sram.temp_key.is_random() {
        return Err(Status::EXECUTION);
    }
    part.use_key(target, Use::Uncounted)?;
    Ok(part.memory.key(target))
}
