//! `GenDig` (9.6).

use super::super::part::{Answer, Part, Use, done};
use super::super::sha::digest;
use super::super::sram::Flags;
use cotter_formats::atecc::{Command, Slot, Status};

pub(in super::super) fn gen_dig(part: &mut Part, command: &Command<'_>) -> Answer {
    let (zone, key_id, data) = (command.param1, command.param2, command.data);
    let [low, high] = key_id.to_le_bytes();
    let own = [command.opcode.0, zone, low, high];
    let temp = part.sram.temp_key.value().ok_or(Status::EXECUTION)?;
    let mut flags = Flags { key: 0, gen_dig: false, gen_key: false, certificate: None, ..part.sram.temp_key.flags };
    let serial = part.serial();
    let value = match zone {
        0 | 1 => {
            let (blocks, content): (u16, &[u8]) =
                if zone == 0 { (4, &part.memory.config().0) } else { (2, part.memory.otp()) };
            if key_id >= blocks || !data.is_empty() {
                return Err(Status::PARSE);
            }
            if zone == 1 && !part.is_config_locked() {
                return Err(Status::EXECUTION);
            }
            let block = &content[32 * usize::from(key_id)..][..32];
            digest(&[block, &own, &serial, &[0; 25], &temp])
        }
        2 => {
            // The transport keys from 0x8000 on are in the silicon only.
            if key_id >= 0x8000 {
                return Err(Status::EXECUTION);
            }
            let slot = Slot::from_low_bits(key_id);
            let is_no_mac = part.slot_config(slot).is_no_mac();
            let header = match (is_no_mac, data) {
                (true, &[a, b, c, d]) => [a, b, c, d],
                (true, _) => return Err(Status::PARSE),
                (false, _) => own,
            };
            let key = part.secret(slot, Use::Fresh)?;
            flags = Flags { key: slot.number(), gen_dig: true, no_mac: flags.no_mac || is_no_mac, ..flags };
            digest(&[&key, &header, &serial, &[0; 25], &temp])
        }
        3 => {
            if data.len() != 32 {
                return Err(Status::PARSE);
            }
            let header = [command.opcode.0, zone, low, 0];
            let (first, last): (&[u8], &[u8]) = if key_id & 0x8000 != 0 { (&temp, data) } else { (data, &temp) };
            digest(&[first, &header, &serial, &[0; 25], last])
        }
        4 => {
            if key_id > 1 || !data.is_empty() {
                return Err(Status::PARSE);
            }
            let count = part.memory.counter(usize::from(key_id)).value().to_le_bytes();
            digest(&[&[0; 32], &own, &serial, &[0], &count, &[0; 20], &temp])
        }
        5 => {
            let slot = Slot::new(key_id).filter(|_| data.is_empty()).ok_or(Status::PARSE)?;
            let (rules, key) = (part.slot_config(slot).0.to_le_bytes(), part.key_config(slot).0.to_le_bytes());
            let is_open = u8::from(!part.memory.config().is_slot_locked(slot));
            digest(&[&[0; 32], &own, &serial, &[0], &rules, &key, &[is_open], &[0; 19], &temp])
        }
        _ => return Err(Status::PARSE),
    };
    part.sram.temp_key.load(&value, Flags { is_private: false, ..flags });
    done()
}
