//! `Counter` (9.3) and `UpdateExtra` (9.19).

use super::super::part::{Answer, Part, done, slot};
use cotter_formats::atecc::{Command, Status};

pub(in super::super) fn counter(part: &mut Part, command: &Command<'_>) -> Answer {
    if command.param1 > 1 || command.param2 > 1 || !command.data.is_empty() {
        return Err(Status::PARSE);
    }
    let index = usize::from(command.param2);
    let mut count = part.memory.counter(index);
    if command.param1 == 1 {
        count = count.next().ok_or(Status::EXECUTION)?;
        part.memory.set_counter(index, count);
    }
    Ok(count.value().to_le_bytes().to_vec())
}

/// Byte 84 or 85 of the configuration zone, while it is zero; mode 2 uses a limited key up. Locks do not matter:
/// cryptoauthlib's `atcab_write_config_zone` ends with this command.
pub(in super::super) fn update_extra(part: &mut Part, command: &Command<'_>) -> Answer {
    let [value, high] = command.param2.to_le_bytes();
    if command.param1 > 3 || high != 0 || !command.data.is_empty() {
        return Err(Status::PARSE);
    }
    if command.param1 & 2 != 0 {
        if part.slot_config(slot(command.param2)?).is_limited() {
            part.count_use()?;
        }
        return done();
    }
    let at = 84 + usize::from(command.param1);
    let config = part.memory.config();
    let is_free = command.param1 == 1 && config.chip_mode() & 1 == 0;
    if config.0[at] != 0 && !is_free {
        return Err(Status::EXECUTION);
    }
    part.memory.write_config(at, &[value]);
    done()
}
