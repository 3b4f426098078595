//! The keys of an encrypted NVS partition, and the `nvs_keys` partition that carries them.
//!
//! That partition holds them in the clear: only flash encryption, which always covers the subtype `nvs_keys`, keeps them
//! secret. Chips with an HMAC peripheral need no such partition; there the keys come from an eFuse key.

use crate::crc::crc_a;
use crate::read::{ReadError, Reader};
use crate::secret::Secret;
use core::fmt;

/// Data key (32 bytes), then tweak key (32 bytes).
#[doc(alias = "nvs_sec_cfg_t")]
pub struct NvsKeys(Secret<64>);

/// Size of the `nvs_keys` partition, most of it 0xFF.
pub const KEYS_PARTITION_SIZE: usize = 4096;

/// What the eFuse key is asked to HMAC for the data key.
const DATA_KEY_SEED: [u8; 4] = [0x5A, 0x5A, 0xBE, 0xAE];
/// What the eFuse key is asked to HMAC for the tweak key.
const TWEAK_KEY_SEED: [u8; 4] = [0xA5, 0xA5, 0xDE, 0xCE];

impl NvsKeys {
    /// Data key and tweak key, one after the other.
    #[must_use]
    pub const fn new(keys: Secret<64>) -> Self {
        Self(keys)
    }

    /// The HMAC scheme: `hmac` is HMAC-SHA256 under the eFuse key with purpose `HMAC_UP`, in the peripheral or in
    /// software. It is called twice, and what it returns is wiped.
    ///
    /// # Errors
    /// Whatever `hmac` returns.
    pub fn from_hmac<E>(mut hmac: impl FnMut(&[u8; 32]) -> Result<Secret<32>, E>) -> Result<Self, E> {
        Secret::try_filled_by(|keys| {
            for (half, seed) in keys.chunks_exact_mut(32).zip([DATA_KEY_SEED, TWEAK_KEY_SEED]) {
                let mut message = [0; 32];
                message.chunks_exact_mut(4).for_each(|word| word.copy_from_slice(&seed));
                half.copy_from_slice(hmac(&message)?.expose());
            }
            Ok(())
        })
        .map(Self)
    }

    /// Reads an `nvs_keys` partition; bytes after the CRC are ignored, as ESP-IDF does.
    ///
    /// # Errors
    /// [`KeysError`]: too short, erased, or a CRC that does not hold.
    pub fn parse(partition: &[u8]) -> Result<Self, KeysError> {
        let mut reader = Reader::new(partition);
        let keys = reader.take(64)?;
        let stored = reader.u32_le()?;
        if keys.iter().all(|&byte| byte == 0xFF) && stored == u32::MAX {
            return Err(KeysError::Erased);
        }
        if stored != crc_a(keys) {
            return Err(KeysError::Crc { stored });
        }
        Ok(Self(Secret::filled_by(|secret| secret.copy_from_slice(keys))))
    }

    /// Writes the `nvs_keys` partition into `partition`. The caller wipes it once it is on flash.
    pub fn encode(&self, partition: &mut [u8; KEYS_PARTITION_SIZE]) {
        let (keys, rest) = partition.split_at_mut(64);
        keys.copy_from_slice(self.0.expose());
        rest.fill(0xFF);
        rest[..4].copy_from_slice(&crc_a(keys).to_le_bytes());
    }

    /// Data key and tweak key, for the cipher.
    pub(super) fn halves(&self) -> (&[u8; 32], &[u8; 32]) {
        let (data, tweak) = self.0.expose().split_at(32);
        let half = "64 bytes are two halves of 32";
        (data.try_into().expect(half), tweak.try_into().expect(half))
    }
}

impl fmt::Debug for NvsKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NvsKeys(..)")
    }
}

/// Why a partition holds no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// Too short.
    #[error("nvs_keys: {0}")]
    Read(#[from] ReadError),
    /// All 0xFF: the keys were never written.
    #[error("nvs_keys: the partition is erased")]
    Erased,
    /// Damaged, or read without the flash decryption it was written with.
    #[error("nvs_keys: CRC {stored:#010x} does not belong to the keys")]
    Crc {
        /// In the partition. (What the keys would give is theirs to keep.)
        stored: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use hmac::{Hmac, KeyInit, Mac};
    use sha2::Sha256;

    const FIXED: &[u8; 4096] = include_bytes!("../../../vectors/nvs/nvs_keys_fixed.bin");

    #[test]
    fn round_trips_the_partition() {
        let mut out = [0; KEYS_PARTITION_SIZE];
        NvsKeys::parse(FIXED).unwrap().encode(&mut out);
        assert_eq!(&out, FIXED);
    }

    #[test]
    fn hmac_scheme_gives_the_generators_keys() {
        let efuse_key = include_bytes!("../../../vectors/nvs/hmac_key.bin");
        let keys = NvsKeys::from_hmac(|message| {
            let mut hmac = Hmac::<Sha256>::new_from_slice(efuse_key).unwrap();
            hmac.update(message);
            Ok::<_, ()>(Secret::from_slice(&hmac.finalize().into_bytes()).unwrap())
        });
        let mut out = [0; KEYS_PARTITION_SIZE];
        keys.unwrap().encode(&mut out);
        assert_eq!(out, *include_bytes!("../../../vectors/nvs/nvs_keys_from_hmac.bin"));
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        for bit in 0..68 * 8 {
            let mut flipped = *FIXED;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(NvsKeys::parse(&flipped), Err(KeysError::Crc { .. })), "bit {bit}");
        }
    }

    #[test]
    fn tells_erased_from_damaged_and_truncated() {
        assert_eq!(NvsKeys::parse(&[0xFF; 4096]).err(), Some(KeysError::Erased));
        let truncated = ReadError::Truncated { at: 64, needed: 4, remaining: 3 };
        assert_eq!(NvsKeys::parse(&FIXED[..67]).err(), Some(KeysError::Read(truncated)));
    }
}
