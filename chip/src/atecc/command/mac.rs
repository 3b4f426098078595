//! `MAC` (9.11) and `CheckMac` (9.2).

use super::super::part::{Answer, Part, Use, array, compared};
use super::super::sha::digest;
use super::super::sram::Flags;
use cotter_formats::atecc::{Command, Slot, Status};
use subtle::ConstantTimeEq;

/// The second half of the message is `TempKey`.
const SECOND_IS_TEMP_KEY: u8 = 1;
/// The first half is.
const FIRST_IS_TEMP_KEY: u8 = 2;
/// `TempKey` came from outside.
const SOURCE_IS_INPUT: u8 = 4;

pub(in super::super) fn mac(part: &mut Part, command: &Command<'_>) -> Answer {
    let (mode, data) = (command.param1, command.data);
    let wants_challenge = mode & SECOND_IS_TEMP_KEY == 0;
    if mode & 0x88 != 0 || !(data.len() == 32 || data.is_empty() && !wants_challenge) {
        return Err(Status::PARSE);
    }
    let temp = temp_key(part, mode)?;
    if temp.is_some() && part.sram.temp_key.flags.no_mac {
        return Err(Status::EXECUTION);
    }
    let first = match temp {
        Some(temp) if mode & FIRST_IS_TEMP_KEY != 0 => temp,
        _ => {
            let slot = Slot::from_low_bits(command.param2);
            if part.is_data_locked() && part.slot_config(slot).is_no_mac() {
                return Err(Status::EXECUTION);
            }
            part.secret(slot, Use::Fresh)?
        }
    };
    let second = match temp {
        Some(temp) if !wants_challenge => temp,
        _ => array(data)?,
    };
    let [low, high] = command.param2.to_le_bytes();
    let header = [command.opcode.0, mode, low, high];
    let otp = otp_bytes(part, mode);
    let serial = part.memory.config().serial_number();
    let (mut sn4, mut sn2) = ([0; 4], [0; 2]);
    if mode & 0x40 != 0 {
        sn4.copy_from_slice(&serial[4..8]);
        sn2.copy_from_slice(&serial[2..4]);
    }
    Ok(digest(&[&first, &second, &header, &otp, &serial[8..], &sn4, &serial[..2], &sn2]).to_vec())
}

/// The first 88 or 64 bits of OTP, else zeros.
fn otp_bytes(part: &Part, mode: u8) -> [u8; 11] {
    let mut out = [0; 11];
    let len = match mode & 0x30 {
        0 => 0,
        0x20 => 8,
        _ => 11,
    };
    out[..len].copy_from_slice(&part.memory.otp()[..len]);
    out
}

/// `TempKey`, if the mode uses it; refused unless it is valid and comes from where the mode says.
fn temp_key(part: &Part, mode: u8) -> Result<Option<[u8; 32]>, Status> {
    if mode & (FIRST_IS_TEMP_KEY | SECOND_IS_TEMP_KEY) == 0 {
        return Ok(None);
    }
    let is_input = mode & SOURCE_IS_INPUT != 0;
    let value = part.sram.temp_key.value().filter(|_| part.sram.temp_key.flags.is_input == is_input);
    value.map(Some).ok_or(Status::EXECUTION)
}

/// Data are 32 bytes of challenge, 32 of response, 13 of what the other side hashed besides.
///
/// Success authorises the key if it was in the first half and `TempKey` in the second (9.2; 2.2.5 says that bit 1 must
/// be set, which would leave the key out). Modes 1 and 5 then copy the target key into `TempKey`, where its `ReadKey` is
/// zero.
pub(in super::super) fn check_mac(part: &mut Part, command: &Command<'_>) -> Answer {
    let mode = command.param1;
    if mode & !0x27 != 0 || command.data.len() != 77 {
        return Err(Status::PARSE);
    }
    let (challenge, rest) = command.data.split_at(32);
    let (response, other) = rest.split_at(32);
    let temp = temp_key(part, mode)?;
    let slot = Slot::from_low_bits(command.param2);
    let first = match temp {
        Some(temp) if mode & FIRST_IS_TEMP_KEY != 0 => temp,
        _ => part.secret(slot, Use::Fresh)?,
    };
    let second = match temp {
        Some(temp) if mode & SECOND_IS_TEMP_KEY != 0 => temp,
        _ => array(challenge)?,
    };
    let mut otp = [0; 8];
    if mode & 0x20 != 0 {
        otp.copy_from_slice(&part.memory.otp()[..8]);
    }
    let [sn8, sn0, sn1] = part.serial();
    let expected =
        digest(&[&first, &second, &other[..4], &otp, &other[4..7], &[sn8], &other[7..11], &[sn0, sn1], &other[11..]]);
    let is_equal: bool = expected.ct_eq(response).into();
    part.sram.temp_key.clear();
    if is_equal && mode & (FIRST_IS_TEMP_KEY | SECOND_IS_TEMP_KEY) == SECOND_IS_TEMP_KEY {
        part.sram.authorized = Some(slot);
        let target = Slot::from_low_bits(u16::from(slot.number() | 1));
        let target = if slot.number().is_multiple_of(2) { target } else { slot };
        let is_copied = matches!(mode, 1 | 5) && part.slot_config(target).read_key().number() == 0;
        if is_copied && !part.key_config(target).is_private() {
            let key = part.memory.key(target);
            part.sram.temp_key.load(&key, Flags { is_input: true, ..Flags::default() });
        }
    }
    compared(is_equal)
}
