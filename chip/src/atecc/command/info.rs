//! `Info` (9.9) and `SelfTest`.

use super::super::part::{Answer, Part, slot};
use cotter_formats::atecc::{Command, KeyType, Slot, Status};

pub(in super::super) fn info(part: &mut Part, command: &Command<'_>) -> Answer {
    let (mode, param) = (command.param1, command.param2);
    if !command.data.is_empty() {
        return Err(Status::PARSE);
    }
    match mode {
        0 => Ok(part.memory.config().revision().to_vec()),
        1 => Ok(vec![u8::from(is_key_valid(part, slot(param)?)), 0, 0, 0]),
        2 => Ok(state(part)),
        // GPIO, which a part on an I2C bus has not.
        3 => Err(Status::EXECUTION),
        4 => latch(part, param),
        _ => Err(Status::PARSE),
    }
}

fn is_key_valid(part: &Part, slot: Slot) -> bool {
    let key = part.key_config(slot);
    match (key.is_private(), key.key_type()) {
        (true, KeyType::P256) => part.memory.private_key(slot).is_some(),
        (false, KeyType::P256) => !key.public_info() || part.memory.is_validated(slot),
        _ => false,
    }
}

fn state(part: &Part) -> Vec<u8> {
    let sram = &part.sram;
    let authorized = sram.authorized.map_or(0, |slot| slot.number() << 3 | 1 << 2);
    let second = u8::from(sram.temp_key.is_valid()) << 7 | authorized;
    vec![sram.temp_key.flag_byte(), second, 0, 0]
}

/// The persistent latch. It is set by whoever holds the key in `VolatileKeyPermission`; that clearing it takes nothing is
/// not documented.
#[doc(alias = "INFO_MODE_VOL_KEY_PERMIT")]
fn latch(part: &mut Part, param: u16) -> Answer {
    match param {
        0 | 1 => {}
        2 => part.latches.persistent = false,
        3 => {
            let key = part.memory.config().volatile_key().ok_or(Status::EXECUTION)?;
            if part.sram.authorized.take() != Some(key) {
                return Err(Status::EXECUTION);
            }
            part.latches.persistent = true;
        }
        _ => return Err(Status::PARSE),
    }
    Ok(vec![u8::from(part.latches.persistent), 0, 0, 0])
}

/// One byte: the tests that failed, which here is none.
pub(in super::super) fn self_test(command: &Command<'_>) -> Answer {
    if command.param1 & !TESTS != 0 || command.param2 != 0 || !command.data.is_empty() {
        return Err(Status::PARSE);
    }
    Ok(vec![0])
}

/// Random numbers, ECDSA, ECDH, AES, SHA, and the bit that cryptoauthlib's "all" sets besides.
const TESTS: u8 = 0x3f;
