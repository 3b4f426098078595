//! `Lock` (9.10): nothing ever unlocks.

use super::super::part::{Answer, Part, done};
use cotter_formats::atecc::packet::crc;
use cotter_formats::atecc::{Command, Slot, Status};

pub(in super::super) fn lock(part: &mut Part, command: &Command<'_>) -> Answer {
    let mode = command.param1;
    let is_slot = mode & 3 == 2;
    if mode & 0x40 != 0 || mode & 3 == 3 || (!is_slot && mode & 0x3c != 0) || !command.data.is_empty() {
        return Err(Status::PARSE);
    }
    let is_checked = mode & 0x80 == 0;
    let holds = |expected: u16| !is_checked || expected == command.param2;
    let config = part.memory.config();
    let is_allowed = match mode & 3 {
        0 => !config.is_config_locked() && holds(u16::from_le_bytes(crc(&config.0))),
        1 => config.is_config_locked() && !config.is_data_locked() && holds(part.memory.data_crc()),
        _ => {
            let slot = Slot::from_low_bits(u16::from(mode >> 2));
            config.is_config_locked() && config.key_config(slot).is_lockable() && !config.is_slot_locked(slot)
        }
    };
    if !is_allowed {
        return Err(Status::EXECUTION);
    }
    match mode & 3 {
        0 => part.memory.lock_config(),
        1 => part.memory.lock_data(),
        _ => part.memory.lock_slot(Slot::from_low_bits(u16::from(mode >> 2))),
    }
    done()
}
