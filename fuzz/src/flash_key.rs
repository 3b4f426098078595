//! Key files of flash encryption.

use cotter_formats::addr::FlashAddr;
use cotter_formats::chip::Chip;
use cotter_formats::flash_encryption::key::{FlashKey, KeyHolder};

/// Only the four lengths are keys, and only of chips that have them; what is encrypted decrypts to the same.
pub fn flash_key(data: &[u8]) {
    let mut taken = false;
    for chip in Chip::ALL {
        for holder in [KeyHolder::Efuse, KeyHolder::KeyManager] {
            let Ok(key) = FlashKey::for_chip(chip, holder, None, data) else { continue };
            taken = true;
            let plain = [0x5a; 256];
            let mut bytes = plain;
            key.encrypt(FlashAddr(0x1_0000), &mut bytes).expect("a whole range");
            assert_ne!(bytes, plain);
            key.decrypt(FlashAddr(0x1_0000), &mut bytes).expect("a whole range");
            assert_eq!(bytes, plain, "{chip}: not its own inverse");
        }
    }
    assert_eq!(taken, matches!(data.len(), 16 | 24 | 32 | 64));
}
