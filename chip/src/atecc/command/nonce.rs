//! `Nonce` (9.12) and `Random` (9.15).

use super::super::part::{Answer, Part, done};
use super::super::sha::digest;
use super::super::sram::{Buffer, Flags};
use cotter_formats::atecc::{Command, Status};

pub(in super::super) fn random(part: &mut Part, command: &Command<'_>) -> Answer {
    if command.param1 > 1 || command.param2 != 0 || !command.data.is_empty() {
        return Err(Status::PARSE);
    }
    Ok(part.random().to_vec())
}

pub(in super::super) fn nonce(part: &mut Part, command: &Command<'_>) -> Answer {
    let (mode, data) = (command.param1, command.data);
    match mode {
        0 | 1 if data.len() == 20 && command.param2 & 0x7fff == 0 => combine(part, command),
        mode if mode & 0x1f == 3 && command.param2 == 0 => pass_through(part, mode, data),
        _ => Err(Status::PARSE),
    }
}

/// Modes 0 and 1; with bit 15 of param2, `TempKey` stands in for the random number and comes out.
fn combine(part: &mut Part, command: &Command<'_>) -> Answer {
    let (mode, low) = (command.param1, command.param2.to_le_bytes()[0]);
    let message = |first: &[u8; 32]| digest(&[first, command.data, &[0x16, mode, low]]);
    if command.param2 & 0x8000 != 0 {
        let flags = part.sram.temp_key.flags;
        let value = message(&part.sram.temp_key.value().ok_or(Status::EXECUTION)?);
        part.sram.temp_key.load(&value, flags);
        return Ok(value.to_vec());
    }
    let random = part.random();
    part.sram.temp_key.load(&message(&random), Flags::default());
    Ok(random.to_vec())
}

/// Mode 3: into the buffer that bits 7 and 6 name; bit 5 says 64 bytes.
fn pass_through(part: &mut Part, mode: u8, data: &[u8]) -> Answer {
    let len = if mode & 0x20 != 0 { 64 } else { 32 };
    if data.len() != len {
        return Err(Status::PARSE);
    }
    match mode & 0xc0 {
        0x00 => part.sram.temp_key.load(data, Flags { is_input: true, ..Flags::default() }),
        0x40 => part.sram.digest = Buffer::new(data),
        0x80 if len == 32 => part.sram.alternate_key = Buffer::new(data),
        _ => return Err(Status::PARSE),
    }
    done()
}
