//! `AES`: one block under AES-128, or one multiplication in the field of GCM.

use super::super::part::{Answer, Part, Use, array, slot};
use aes::Aes128;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use cotter_formats::atecc::{Command, KeyType, Status};
use ghash::GHash;
use ghash::universal_hash::UniversalHash;

const ENCRYPT: u8 = 0;
const DECRYPT: u8 = 1;
const MULTIPLY: u8 = 3;

pub(in super::super) fn aes(part: &mut Part, command: &Command<'_>) -> Answer {
    let (mode, data) = (command.param1, command.data);
    if mode & 0x3c != 0 || (mode & 3 == MULTIPLY && mode != MULTIPLY) {
        return Err(Status::PARSE);
    }
    if !part.memory.config().has_aes() {
        return Err(Status::EXECUTION);
    }
    match mode & 3 {
        MULTIPLY => {
            let (h, x) = data.split_at_checked(16).ok_or(Status::PARSE)?;
            let (h, x): ([u8; 16], [u8; 16]) = (array(h)?, array(x)?);
            let mut hash = GHash::new(&h.into());
            hash.update(&[x.into()]);
            Ok(hash.finalize().to_vec())
        }
        ENCRYPT | DECRYPT => {
            let block: [u8; 16] = array(data)?;
            let cipher = Aes128::new(&key(part, command)?.into());
            let mut block = block.into();
            if mode & 3 == ENCRYPT {
                cipher.encrypt_block(&mut block)
            } else {
                cipher.decrypt_block(&mut block)
            }
            Ok(block.to_vec())
        }
        _ => Err(Status::PARSE),
    }
}

/// Bits 7 and 6 of the mode say which 16 bytes of the slot or of `TempKey`.
fn key(part: &mut Part, command: &Command<'_>) -> Result<[u8; 16], Status> {
    let at = 16 * usize::from(command.param1 >> 6);
    if command.param2 == 0xffff {
        let temp = part.sram.temp_key.whole().filter(|_| !part.sram.temp_key.flags.is_private);
        return array(temp.and_then(|temp| temp.get(at..at + 16)).ok_or(Status::EXECUTION)?);
    }
    let slot = slot(command.param2)?;
    let key = part.key_config(slot);
    if !part.is_config_locked() || key.is_private() || key.key_type() != KeyType::AES {
        return Err(Status::EXECUTION);
    }
    part.use_key(slot, Use::Plain)?;
    array(part.memory.slot(slot).get(at..at + 16).ok_or(Status::EXECUTION)?)
}
