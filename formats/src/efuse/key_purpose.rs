//! What a key block is for, and what follows from that when it is burned.

use core::fmt;

/// The value of a `KEY_PURPOSE_n` field. Unknown values survive; nothing may be read into them.
#[doc(alias = "esp_efuse_purpose_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyPurpose(pub u8);

impl KeyPurpose {
    /// Software's own use; also what a blank chip says.
    pub const USER: Self = Self(0);
    /// Flash encryption, XTS-AES-128.
    pub const XTS_AES_128_KEY: Self = Self(4);
    /// HMAC peripheral, every downstream use.
    pub const HMAC_DOWN_ALL: Self = Self(5);
    /// HMAC peripheral, to switch JTAG on again.
    pub const HMAC_DOWN_JTAG: Self = Self(6);
    /// HMAC peripheral, for the digital signature peripheral.
    pub const HMAC_DOWN_DIGITAL_SIGNATURE: Self = Self(7);
    /// HMAC peripheral, for software.
    pub const HMAC_UP: Self = Self(8);
    /// Secure Boot V2, first key digest.
    pub const SECURE_BOOT_DIGEST0: Self = Self(9);
    /// Secure Boot V2, second key digest.
    pub const SECURE_BOOT_DIGEST1: Self = Self(10);
    /// Secure Boot V2, third key digest.
    pub const SECURE_BOOT_DIGEST2: Self = Self(11);

    /// The purposes of the three Secure Boot digests, in order.
    pub const SECURE_BOOT_DIGESTS: [Self; 3] =
        [Self::SECURE_BOOT_DIGEST0, Self::SECURE_BOOT_DIGEST1, Self::SECURE_BOOT_DIGEST2];

    /// Espressif's name, if this value has one.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::USER => "USER",
            Self::XTS_AES_128_KEY => "XTS_AES_128_KEY",
            Self::HMAC_DOWN_ALL => "HMAC_DOWN_ALL",
            Self::HMAC_DOWN_JTAG => "HMAC_DOWN_JTAG",
            Self::HMAC_DOWN_DIGITAL_SIGNATURE => "HMAC_DOWN_DIGITAL_SIGNATURE",
            Self::HMAC_UP => "HMAC_UP",
            Self::SECURE_BOOT_DIGEST0 => "SECURE_BOOT_DIGEST0",
            Self::SECURE_BOOT_DIGEST1 => "SECURE_BOOT_DIGEST1",
            Self::SECURE_BOOT_DIGEST2 => "SECURE_BOOT_DIGEST2",
            _ => return None,
        })
    }

    /// True if the hardware reads the key backwards, so that it is burned byte-reversed.
    #[must_use]
    pub const fn is_burned_reversed(self) -> bool {
        matches!(self, Self::XTS_AES_128_KEY)
    }

    /// True if the key must be hidden from software: all keys, but not the digests, which the ROM reads.
    #[must_use]
    pub const fn wants_read_protection(self) -> bool {
        matches!(
            self,
            Self::XTS_AES_128_KEY
                | Self::HMAC_DOWN_ALL
                | Self::HMAC_DOWN_JTAG
                | Self::HMAC_DOWN_DIGITAL_SIGNATURE
                | Self::HMAC_UP
        )
    }

    /// True if a key of this purpose may sit in `BLOCK_KEY5`.
    #[doc(alias = "SOC_EFUSE_BLOCK9_KEY_PURPOSE_QUIRK")]
    #[must_use]
    pub const fn is_allowed_in_key5(self) -> bool {
        !matches!(self, Self::XTS_AES_128_KEY)
    }

    /// Turns the bytes of a key file into those of the key block, or back, in place.
    pub fn reorder(self, key: &mut [u8; 32]) {
        if self.is_burned_reversed() {
            key.reverse();
        }
    }
}

impl fmt::Display for KeyPurpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "purpose {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_flash_encryption_keys_are_reversed() {
        let reversed = (0..=u8::MAX).map(KeyPurpose).filter(|purpose| purpose.is_burned_reversed());
        assert!(reversed.eq([KeyPurpose::XTS_AES_128_KEY]));
    }

    #[test]
    fn digests_stay_readable() {
        assert!(KeyPurpose::SECURE_BOOT_DIGESTS.iter().all(|purpose| !purpose.wants_read_protection()));
        assert!(KeyPurpose::HMAC_UP.wants_read_protection());
    }
}
