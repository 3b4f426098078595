//! NVS encryption: XTS-AES-256, each 32-byte entry its own data unit, tweaked by its offset inside the partition (so a
//! partition can move). Unlike flash encryption, no byte is reversed.

use super::keys::NvsKeys;
use super::page::ENTRY_SIZE;
use aes::Aes256;
use aes::cipher::{Array, KeyInit};
use core::fmt;
use xts_mode::Xts128;

/// The expanded keys of one partition.
pub struct EntryCipher(Xts128<Aes256>);

impl EntryCipher {
    /// Expands `keys`: the first half encrypts the data, the second the tweak.
    #[must_use]
    pub fn new(keys: &NvsKeys) -> Self {
        let (data, tweak) = keys.halves();
        Self(Xts128::new(Aes256::new(data.into()), Aes256::new(tweak.into())))
    }

    /// Encrypts the entry that starts `offset` bytes into the partition.
    pub fn encrypt(&self, offset: u32, entry: &mut [u8; ENTRY_SIZE]) {
        self.0.encrypt_sector(entry, Array(u128::from(offset).to_le_bytes()));
    }

    /// Undoes [`Self::encrypt`].
    pub fn decrypt(&self, offset: u32, entry: &mut [u8; ENTRY_SIZE]) {
        self.0.decrypt_sector(entry, Array(u128::from(offset).to_le_bytes()));
    }
}

impl fmt::Debug for EntryCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EntryCipher(..)")
    }
}

/// Encrypts one entry; [`EntryCipher`] is the better choice for many.
pub fn encrypt_entry(keys: &NvsKeys, offset_in_partition: u32, entry: &mut [u8; ENTRY_SIZE]) {
    EntryCipher::new(keys).encrypt(offset_in_partition, entry);
}

/// Decrypts one entry.
pub fn decrypt_entry(keys: &NvsKeys, offset_in_partition: u32, entry: &mut [u8; ENTRY_SIZE]) {
    EntryCipher::new(keys).decrypt(offset_in_partition, entry);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_generator_on_every_written_entry() {
        let keys = NvsKeys::parse(include_bytes!("../../../vectors/nvs/nvs_keys_fixed.bin")).unwrap();
        let plain = include_bytes!("../../../vectors/nvs/basic-v2.bin");
        let encrypted = include_bytes!("../../../vectors/nvs/basic-v2-enc.bin");
        let mut seen = 0;
        for offset in (64..4096_u32).step_by(32) {
            let at = offset as usize;
            let mut entry: [u8; 32] = encrypted[at..at + 32].try_into().unwrap();
            if entry == [0xFF; 32] {
                continue;
            }
            decrypt_entry(&keys, offset, &mut entry);
            assert_eq!(entry, plain[at..at + 32]);
            encrypt_entry(&keys, offset, &mut entry);
            assert_eq!(entry, encrypted[at..at + 32]);
            seen += 1;
        }
        assert!(seen > 20, "{seen}");
    }
}
