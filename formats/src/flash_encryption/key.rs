//! A key file, and the scheme that it means on a chip.
//!
//! | bytes | ESP32 | C2 | C3, C6, C61, H2 | C5 | S2, S3, P4 |
//! |---|---|---|---|---|---|
//! | 16 | | XTS-AES-128, derived | | | |
//! | 24 | AES-256, 3/4 coding | | | | |
//! | 32 | AES-256 | XTS-AES-128 | XTS-AES-128 | XTS-AES-128 | XTS-AES-128 |
//! | 64 | | | | XTS-AES-256, key manager only | XTS-AES-256 |
//!
//! Source: espsecure 5.6.0 `_load_hardware_key`, ESP-IDF 6.2-dev `soc_caps.h`.

use super::esp32::{self, CryptConfig, Esp32Error, Esp32Key};
use super::xts::{self, XtsError, XtsKey};
use crate::addr::FlashAddr;
use crate::chip::Chip;
use crate::secret::Secret;
use core::fmt;

/// A key that some chip takes, with its scheme.
#[derive(Debug)]
pub enum FlashKey {
    /// The ESP32's own scheme.
    Esp32(Esp32Key, CryptConfig),
    /// Every later chip.
    Xts(XtsKey),
}

/// Where a chip keeps its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyHolder {
    /// In key blocks of its eFuses.
    Efuse,
    /// In flash, wrapped by the key manager (`esp32c5`, `esp32p4`).
    KeyManager,
}

impl FlashKey {
    /// The key in the bytes of an espsecure key file, for this chip. `config` is for the ESP32 only, [`CryptConfig::ALL`]
    /// if not given.
    ///
    /// # Errors
    /// [`FlashKeyError`] if no chip has keys of that length, or this chip has not.
    pub fn for_chip(
        chip: Chip,
        holder: KeyHolder,
        config: Option<CryptConfig>,
        file: &[u8],
    ) -> Result<Self, FlashKeyError> {
        let len = KeyLen::of(file).ok_or(FlashKeyError::Length { len: file.len() })?;
        if holder == KeyHolder::KeyManager && !has_key_manager(chip) {
            return Err(FlashKeyError::KeyManager { chip });
        }
        if chip != Chip::Esp32
            && let Some(config) = config
        {
            return Err(FlashKeyError::Config { chip, config });
        }
        if !len.taken_by(chip, holder) {
            return Err(FlashKeyError::Chip { chip, len });
        }
        let refused = FlashKeyError::Length { len: file.len() };
        let whole = || Secret::<32>::from_slice(file).ok_or(refused);
        Ok(match (len, chip) {
            (KeyLen::Bytes16, _) => Self::Xts(XtsKey::derived(&Secret::from_slice(file).ok_or(refused)?)),
            (KeyLen::Bytes24, _) => {
                let key = Esp32Key::coded(&Secret::from_slice(file).ok_or(refused)?);
                Self::Esp32(key, config.unwrap_or(CryptConfig::ALL))
            }
            (KeyLen::Bytes32, Chip::Esp32) => Self::Esp32(Esp32Key::new(whole()?), config.unwrap_or(CryptConfig::ALL)),
            (KeyLen::Bytes32, _) => Self::Xts(XtsKey::Aes128(whole()?)),
            (KeyLen::Bytes64, _) => Self::Xts(XtsKey::Aes256(Secret::from_slice(file).ok_or(refused)?)),
        })
    }

    /// Encrypts `data` in place for the address at which it will sit in flash.
    ///
    /// # Errors
    /// [`FlashCryptError`] if the hardware has no such range; `data` is then untouched.
    pub fn encrypt(&self, address: FlashAddr, data: &mut [u8]) -> Result<(), FlashCryptError> {
        match self {
            Self::Esp32(key, config) => esp32::encrypt(key, *config, address, data)?,
            Self::Xts(key) => xts::encrypt(key, address, data)?,
        }
        Ok(())
    }

    /// Decrypts `data` in place, read from `address`.
    ///
    /// # Errors
    /// As [`Self::encrypt`]. A wrong key is not an error: it gives noise, as on the chip.
    pub fn decrypt(&self, address: FlashAddr, data: &mut [u8]) -> Result<(), FlashCryptError> {
        match self {
            Self::Esp32(key, config) => esp32::decrypt(key, *config, address, data)?,
            Self::Xts(key) => xts::decrypt(key, address, data)?,
        }
        Ok(())
    }

    /// The scheme's name.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        match self {
            Self::Esp32(..) => "ESP32 AES-256",
            Self::Xts(XtsKey::Aes128(_)) => "XTS-AES-128",
            Self::Xts(XtsKey::Aes256(_)) => "XTS-AES-256",
        }
    }
}

/// The lengths that key files have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum KeyLen {
    Bytes16,
    Bytes24,
    Bytes32,
    Bytes64,
}

impl KeyLen {
    const ALL: [Self; 4] = [Self::Bytes16, Self::Bytes24, Self::Bytes32, Self::Bytes64];

    fn of(file: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|len| len.bytes() == file.len())
    }

    /// That many bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Bytes16 => 16,
            Self::Bytes24 => 24,
            Self::Bytes32 => 32,
            Self::Bytes64 => 64,
        }
    }

    /// True if the chip has keys of this length, in that place.
    #[must_use]
    pub const fn taken_by(self, chip: Chip, holder: KeyHolder) -> bool {
        match self {
            Self::Bytes16 => matches!(chip, Chip::Esp32C2),
            Self::Bytes24 => matches!(chip, Chip::Esp32),
            Self::Bytes32 => true,
            Self::Bytes64 => match chip {
                Chip::Esp32S2 | Chip::Esp32S3 | Chip::Esp32H4 | Chip::Esp32P4 | Chip::Esp32S31 => true,
                Chip::Esp32C5 => matches!(holder, KeyHolder::KeyManager),
                _ => false,
            },
        }
    }
}

const fn has_key_manager(chip: Chip) -> bool {
    matches!(chip, Chip::Esp32C5 | Chip::Esp32H4 | Chip::Esp32P4 | Chip::Esp32S31)
}

/// Why a key file cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum FlashKeyError {
    #[error("flash encryption key: {len} bytes, expected 16, 24, 32 or 64 raw bytes")]
    Length { len: usize },
    /// Another chip takes it.
    #[error("flash encryption key: {chip} takes {}, not {} bytes (for {})", Lengths(*chip), len.bytes(), Takers(*len))]
    Chip { chip: Chip, len: KeyLen },
    #[error("FLASH_CRYPT_CONFIG {config} is for esp32 only: {chip} uses XTS-AES and has no such eFuse")]
    Config { chip: Chip, config: CryptConfig },
    #[error("{chip} has no key manager for flash encryption (esp32c5 and esp32p4 have)")]
    KeyManager { chip: Chip },
}

/// Why a range cannot be encrypted or decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum FlashCryptError {
    #[error(transparent)]
    Esp32(#[from] Esp32Error),
    #[error(transparent)]
    Xts(#[from] XtsError),
}

/// "16 or 32 bytes".
struct Lengths(Chip);

impl fmt::Display for Lengths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let taken = |len: &KeyLen| len.taken_by(self.0, KeyHolder::Efuse);
        for (index, len) in KeyLen::ALL.into_iter().filter(taken).enumerate() {
            write!(f, "{}{}", if index == 0 { "" } else { " or " }, len.bytes())?;
        }
        f.write_str(" bytes")?;
        if self.0 == Chip::Esp32C5 { f.write_str(" (64 in the key manager)") } else { Ok(()) }
    }
}

/// "esp32s2, esp32s3, esp32p4".
struct Takers(KeyLen);

impl fmt::Display for Takers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let taker = |chip: &Chip| self.0.taken_by(*chip, KeyHolder::Efuse);
        for (index, chip) in Chip::ALL.into_iter().filter(taker).enumerate() {
            write!(f, "{}{chip}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::format;
    use std::string::ToString;
    use std::vec;

    fn key(chip: Chip, len: usize) -> Result<FlashKey, FlashKeyError> {
        FlashKey::for_chip(chip, KeyHolder::Efuse, None, &vec![7; len])
    }

    #[test]
    fn each_chip_takes_its_lengths_and_no_other() {
        for chip in Chip::ALL {
            let taken = match chip {
                Chip::Esp32 => [24, 32].as_slice(),
                Chip::Esp32C2 => &[16, 32],
                Chip::Esp32S2 | Chip::Esp32S3 | Chip::Esp32H4 | Chip::Esp32P4 | Chip::Esp32S31 => &[32, 64],
                _ => &[32],
            };
            for len in 0..100 {
                assert_eq!(key(chip, len).is_ok(), taken.contains(&len), "{chip} {len}");
            }
        }
    }

    #[test]
    fn a_refusal_names_the_chips_that_take_the_key() {
        let refusal = key(Chip::Esp32C3, 64).unwrap_err().to_string();
        let takers = "esp32s2, esp32s3, esp32h4, esp32p4, esp32s31";
        let expected = std::format!("flash encryption key: esp32c3 takes 32 bytes, not 64 bytes (for {takers})");
        assert_eq!(refusal, expected);
        assert_eq!(key(Chip::Esp32, 33).unwrap_err(), FlashKeyError::Length { len: 33 });
        let config = CryptConfig::ALL;
        let refused = FlashKey::for_chip(Chip::Esp32S3, KeyHolder::Efuse, Some(config), &[0; 32]);
        assert_eq!(refused.unwrap_err(), FlashKeyError::Config { chip: Chip::Esp32S3, config });
    }

    #[test]
    fn the_key_manager_takes_what_efuses_do_not() {
        assert_eq!(
            key(Chip::Esp32C5, 64).unwrap_err(),
            FlashKeyError::Chip { chip: Chip::Esp32C5, len: KeyLen::Bytes64 }
        );
        assert_eq!(
            FlashKey::for_chip(Chip::Esp32C5, KeyHolder::KeyManager, None, &[0; 64]).unwrap().scheme(),
            "XTS-AES-256"
        );
        let refused = FlashKey::for_chip(Chip::Esp32C3, KeyHolder::KeyManager, None, &[0; 32]);
        assert_eq!(refused.unwrap_err(), FlashKeyError::KeyManager { chip: Chip::Esp32C3 });
    }

    #[test]
    fn the_length_chooses_the_scheme() {
        for (chip, len, scheme) in [
            (Chip::Esp32, 24, "ESP32 AES-256"),
            (Chip::Esp32C2, 16, "XTS-AES-128"),
            (Chip::Esp32C3, 32, "XTS-AES-128"),
            (Chip::Esp32S2, 64, "XTS-AES-256"),
        ] {
            assert_eq!(key(chip, len).unwrap().scheme(), scheme);
        }
        assert!(!format!("{:?}", key(Chip::Esp32, 32).unwrap()).contains('7'));
    }
}
