//! What the serial loader tells about protection, in every download mode.

use crate::efuse::{Efuses, Setting};
use cotter_formats::chip::Chip;
use cotter_formats::efuse::{KeyPurpose, unary};

/// The answer to `GET_SECURITY_INFO`: the only look at the eFuses that secure download mode leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityInfo {
    /// What is switched on.
    pub flags: SecurityFlags,
    /// `SPI_BOOT_CRYPT_CNT` as it is burned: an odd number of bits means that flash encryption is on.
    pub flash_crypt_count: u32,
    /// `KEY_PURPOSE_0` to `KEY_PURPOSE_5`; 0, the user's, where the chip has fewer.
    pub key_purposes: [KeyPurpose; 6],
    /// As in an image header.
    pub chip_id: u32,
}

/// The flags word. Source: esptool 5.6.0 `SECURITY_INFO_FLAG_MAP`; bits 8 to 10 as the fields of the chips suggest them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityFlags(pub u32);

impl SecurityFlags {
    /// Secure Boot is on.
    pub const SECURE_BOOT: Self = Self(1 << 0);
    /// A bad signature costs the key.
    pub const AGGRESSIVE_REVOKE: Self = Self(1 << 1);
    /// Download mode is the secure one.
    pub const SECURE_DOWNLOAD: Self = Self(1 << 2);
    /// JTAG is off until the HMAC peripheral switches it on (an odd number of bits).
    pub const SOFT_DISABLE_JTAG: Self = Self(1 << 6);
    /// The JTAG pads are off for good.
    pub const HARD_DISABLE_JTAG: Self = Self(1 << 7);

    /// True if all bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// True if Secure Boot digest `index`, 0 to 2, is revoked.
    #[must_use]
    pub const fn is_revoked(self, index: u8) -> bool {
        index < 3 && self.0 >> (3 + index) & 1 == 1
    }
}

impl SecurityInfo {
    pub(crate) fn of(efuses: &Efuses) -> Self {
        let is_set = |setting| efuses.sensed(setting) != 0;
        let flags = [
            is_set(Setting::SecureBoot),
            is_set(Setting::AggressiveRevoke),
            is_set(Setting::SecureDownload),
            is_set(Setting::Revoke0),
            is_set(Setting::Revoke1),
            is_set(Setting::Revoke2),
            unary::is_odd(efuses.sensed(Setting::SoftJtag)),
            is_set(Setting::PadJtag),
            is_set(Setting::UsbSerialJtag),
            is_set(Setting::DownloadDcacheDisabled),
            is_set(Setting::DownloadIcacheDisabled),
        ];
        let word = flags.iter().rev().fold(0, |word, flag| word << 1 | u32::from(*flag));
        Self {
            flags: SecurityFlags(word),
            flash_crypt_count: efuses.sensed(Setting::FlashCryptCount),
            key_purposes: efuses.key_purposes(),
            chip_id: efuses.chip().image_chip_id().into(),
        }
    }

    /// As the loader sends it: flags, count, seven purposes of which the last is not used, chip id, API version.
    /// The ESP32 does not answer at all, the ESP32-S2 without chip id and version. Source: esptool 5.6.0 `loader.py`.
    pub(crate) fn to_bytes(self, chip: Chip) -> Option<Vec<u8>> {
        let mut bytes = self.flags.0.to_le_bytes().to_vec();
        bytes.push(self.flash_crypt_count.to_le_bytes()[0]);
        bytes.extend(self.key_purposes.map(|purpose| purpose.0));
        bytes.push(0);
        match chip {
            Chip::Esp32 => return None,
            Chip::Esp32S2 => {}
            _ => bytes.extend([self.chip_id, API_VERSION].into_iter().flat_map(u32::to_le_bytes)),
        }
        Some(bytes)
    }
}

/// Of the ROM.
const API_VERSION: u32 = 0;
