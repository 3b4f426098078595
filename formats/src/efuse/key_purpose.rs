//! What a key block is for, on each chip, and what follows from that when it is burned.
//!
//! Source: esptool 5.6.0 `espefuse/efuse/<chip>/fields.py`, `KEY_PURPOSES`.

use core::fmt;

/// The value of a `KEY_PURPOSE_n` field. Unknown values survive; nothing may be read into them.
#[doc(alias = "esp_efuse_purpose_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyPurpose(pub u8);

impl KeyPurpose {
    /// Software's own use; also what a blank chip says.
    pub const USER: Self = Self(0);
    /// ECDSA peripheral, P-256 (on chips older than the other curves: whichever curve).
    pub const ECDSA_KEY_P256: Self = Self(1);
    /// Flash encryption, XTS-AES-256, first half.
    pub const XTS_AES_256_KEY_1: Self = Self(2);
    /// Flash encryption, XTS-AES-256, second half.
    pub const XTS_AES_256_KEY_2: Self = Self(3);
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
    /// Key manager, what its first keys are wrapped with.
    pub const KM_INIT_KEY: Self = Self(12);
    /// PSRAM encryption, XTS-AES-256, first half.
    pub const XTS_AES_256_PSRAM_KEY_1: Self = Self(13);
    /// PSRAM encryption, XTS-AES-256, second half.
    pub const XTS_AES_256_PSRAM_KEY_2: Self = Self(14);
    /// PSRAM encryption, XTS-AES-128.
    pub const XTS_AES_128_PSRAM_KEY: Self = Self(15);
    /// ECDSA peripheral, P-192.
    pub const ECDSA_KEY_P192: Self = Self(16);
    /// ECDSA peripheral, P-384, low 32 bytes.
    pub const ECDSA_KEY_P384_L: Self = Self(17);
    /// ECDSA peripheral, P-384, high 16 bytes.
    pub const ECDSA_KEY_P384_H: Self = Self(18);
    /// Secure debug control, digest of its key.
    pub const SDC_KEY_DIGEST: Self = Self(19);

    /// The purposes of the three Secure Boot digests, in order.
    pub const SECURE_BOOT_DIGESTS: [Self; 3] =
        [Self::SECURE_BOOT_DIGEST0, Self::SECURE_BOOT_DIGEST1, Self::SECURE_BOOT_DIGEST2];

    /// Espressif's name, if this value has one on any chip. What a chip calls it: [`super::EfuseMap::purpose`].
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        self.listed().map(|purpose| purpose.name)
    }

    /// True if the hardware reads the key backwards, so that it is burned byte-reversed.
    #[must_use]
    pub fn is_burned_reversed(self) -> bool {
        self.listed().is_some_and(|purpose| purpose.is_reversed)
    }

    /// True if the key must be hidden from software: all keys, but not the digests, which the ROM reads.
    #[must_use]
    pub fn wants_read_protection(self) -> bool {
        self.listed().is_some_and(|purpose| purpose.is_hidden)
    }

    /// True if a key of this purpose may sit in `BLOCK_KEY5` of a chip with [`super::EfuseMap::has_key5_quirk`].
    #[doc(alias = "SOC_EFUSE_BLOCK9_KEY_PURPOSE_QUIRK")]
    #[must_use]
    pub fn is_allowed_in_key5(self) -> bool {
        !self.listed().is_some_and(|purpose| purpose.name.starts_with("XTS_AES"))
    }

    /// Turns the bytes of a key file into those of the key block, or back, in place.
    pub fn reorder(self, key: &mut [u8; 32]) {
        if self.is_burned_reversed() {
            key.reverse();
        }
    }

    /// The ESP32-S31 has every purpose that any chip has, under the same values.
    fn listed(self) -> Option<&'static Purpose> {
        ESP32S31.iter().find(|purpose| purpose.value == PurposeValue::Burned(self))
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

/// What a key can be burned for on a chip, by espefuse's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purpose {
    /// Espressif's name; of a custom one without its number.
    pub name: &'static str,
    /// What is burned for it.
    pub value: PurposeValue,
    /// The block holds the digest of a public key, which the ROM must be able to read.
    pub is_digest: bool,
    /// The key is burned byte-reversed.
    pub is_reversed: bool,
    /// The key is hidden from software unless asked otherwise.
    pub is_hidden: bool,
}

/// What a purpose becomes when it is burned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurposeValue {
    /// The value of `KEY_PURPOSE_n`.
    Burned(KeyPurpose),
    /// A key of 64 bytes over the named block and the next free one: which purpose each half gets.
    Pair(KeyPurpose, KeyPurpose),
    /// ESP32-C2: all 32 bytes of `BLOCK_KEY0`, and `XTS_KEY_LENGTH_256`.
    WholeBlock,
    /// ESP32-C2: the low 16 bytes of `BLOCK_KEY0`.
    LowHalf,
    /// ESP32-C2: the first 16 bytes of the digest in the high 16 bytes of `BLOCK_KEY0`.
    HighHalf,
}

impl Purpose {
    const fn key(name: &'static str, value: u8, is_reversed: bool) -> Self {
        let value = PurposeValue::Burned(KeyPurpose(value));
        Self { name, value, is_digest: false, is_reversed, is_hidden: true }
    }

    const fn open(name: &'static str, value: u8, is_digest: bool) -> Self {
        let value = PurposeValue::Burned(KeyPurpose(value));
        Self { name, value, is_digest, is_reversed: false, is_hidden: false }
    }

    const fn pair(name: &'static str, first: KeyPurpose, second: KeyPurpose) -> Self {
        let value = PurposeValue::Pair(first, second);
        Self { name, value, is_digest: false, is_reversed: true, is_hidden: true }
    }

    const fn part(name: &'static str, value: PurposeValue, is_digest: bool) -> Self {
        Self { name, value, is_digest, is_reversed: !is_digest, is_hidden: !is_digest }
    }

    /// `CUSTOM_n`, `CUSTOM_DIGEST_n`, `CUSTOM_MAX`, `CUSTOM_DIGEST_MAX`: any value of up to 5 bits.
    pub(super) fn custom(name: &str) -> Option<Self> {
        let number = name.strip_prefix("CUSTOM_")?;
        let (number, is_digest) = match number.strip_prefix("DIGEST_") {
            Some(number) => (number, true),
            None => (number, false),
        };
        let value = match number {
            "MAX" => 31,
            number => number.parse().ok().filter(|value| *value < 32)?,
        };
        Some(Self::open(if is_digest { "CUSTOM_DIGEST" } else { "CUSTOM" }, value, is_digest))
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value {
            PurposeValue::Burned(value) if self.name.starts_with("CUSTOM") => write!(f, "{}_{}", self.name, value.0),
            _ => f.write_str(self.name),
        }
    }
}

const USER: Purpose = Purpose::open("USER", 0, false);
const ECDSA: Purpose = Purpose::key("ECDSA_KEY", 1, true);
const P256: Purpose = Purpose::key("ECDSA_KEY_P256", 1, true);
const XTS_256_1: Purpose = Purpose::key("XTS_AES_256_KEY_1", 2, true);
const XTS_256_2: Purpose = Purpose::key("XTS_AES_256_KEY_2", 3, true);
const XTS_128: Purpose = Purpose::key("XTS_AES_128_KEY", 4, true);
const HMAC_ALL: Purpose = Purpose::key("HMAC_DOWN_ALL", 5, false);
const HMAC_JTAG: Purpose = Purpose::key("HMAC_DOWN_JTAG", 6, false);
const HMAC_DS: Purpose = Purpose::key("HMAC_DOWN_DIGITAL_SIGNATURE", 7, false);
const HMAC_UP: Purpose = Purpose::key("HMAC_UP", 8, false);
const DIGEST0: Purpose = Purpose::open("SECURE_BOOT_DIGEST0", 9, true);
const DIGEST1: Purpose = Purpose::open("SECURE_BOOT_DIGEST1", 10, true);
const DIGEST2: Purpose = Purpose::open("SECURE_BOOT_DIGEST2", 11, true);
const KM_INIT: Purpose = Purpose::key("KM_INIT_KEY", 12, false);
const PSRAM_256_1: Purpose = Purpose::key("XTS_AES_256_PSRAM_KEY_1", 13, true);
const PSRAM_256_2: Purpose = Purpose::key("XTS_AES_256_PSRAM_KEY_2", 14, true);
const PSRAM_128: Purpose = Purpose::key("XTS_AES_128_PSRAM_KEY", 15, true);
const P192: Purpose = Purpose::key("ECDSA_KEY_P192", 16, true);
const P384_LOW: Purpose = Purpose::key("ECDSA_KEY_P384_L", 17, true);
const P384_HIGH: Purpose = Purpose::key("ECDSA_KEY_P384_H", 18, true);
const SDC: Purpose = Purpose::key("SDC_KEY_DIGEST", 19, false);
const XTS_256: Purpose = Purpose::pair("XTS_AES_256_KEY", KeyPurpose::XTS_AES_256_KEY_1, KeyPurpose::XTS_AES_256_KEY_2);
const PSRAM_256: Purpose =
    Purpose::pair("XTS_AES_256_PSRAM_KEY", KeyPurpose::XTS_AES_256_PSRAM_KEY_1, KeyPurpose::XTS_AES_256_PSRAM_KEY_2);
const P384: Purpose = Purpose::pair("ECDSA_KEY_P384", KeyPurpose::ECDSA_KEY_P384_H, KeyPurpose::ECDSA_KEY_P384_L);

const fn reserved(value: u8) -> Purpose {
    Purpose::open("RESERVED", value, false)
}

// The first name of a value is the one that it is shown by.
pub(super) static ESP32: &[Purpose] = &[];
pub(super) static ESP32S: &[Purpose] = &[
    USER,
    reserved(1),
    XTS_256_1,
    XTS_256_2,
    XTS_128,
    HMAC_ALL,
    HMAC_JTAG,
    HMAC_DS,
    HMAC_UP,
    DIGEST0,
    DIGEST1,
    DIGEST2,
    XTS_256,
];
pub(super) static ESP32C2: &[Purpose] = &[
    USER,
    Purpose::part("XTS_AES_128_KEY", PurposeValue::WholeBlock, false),
    Purpose::part("XTS_AES_128_KEY_DERIVED_FROM_128_EFUSE_BITS", PurposeValue::LowHalf, false),
    Purpose::part("SECURE_BOOT_DIGEST", PurposeValue::HighHalf, true),
];
pub(super) static ESP32C3: &[Purpose] =
    &[USER, reserved(1), XTS_128, HMAC_ALL, HMAC_JTAG, HMAC_DS, HMAC_UP, DIGEST0, DIGEST1, DIGEST2];
pub(super) static ESP32C5: &[Purpose] = &[
    USER,
    P256,
    ECDSA,
    reserved(1),
    XTS_128,
    HMAC_ALL,
    HMAC_JTAG,
    HMAC_DS,
    HMAC_UP,
    DIGEST0,
    DIGEST1,
    DIGEST2,
    KM_INIT,
    PSRAM_128,
    P192,
    P384_LOW,
    P384_HIGH,
    P384,
];
pub(super) static ESP32C61: &[Purpose] = &[USER, ECDSA, XTS_128, DIGEST0, DIGEST1, DIGEST2];
pub(super) static ESP32H2: &[Purpose] =
    &[USER, ECDSA, reserved(2), XTS_128, HMAC_ALL, HMAC_JTAG, HMAC_DS, HMAC_UP, DIGEST0, DIGEST1, DIGEST2];
pub(super) static ESP32H4: &[Purpose] = &[
    USER,
    P256,
    ECDSA,
    XTS_256_1,
    XTS_256_2,
    XTS_128,
    HMAC_ALL,
    HMAC_JTAG,
    HMAC_DS,
    HMAC_UP,
    DIGEST0,
    DIGEST1,
    DIGEST2,
    KM_INIT,
    PSRAM_256_1,
    PSRAM_256_2,
    PSRAM_128,
    P192,
    P384_LOW,
    P384_HIGH,
    XTS_256,
    PSRAM_256,
    P384,
];
pub(super) static ESP32P4: &[Purpose] = &[
    USER, P256, ECDSA, XTS_256_1, XTS_256_2, XTS_128, HMAC_ALL, HMAC_JTAG, HMAC_DS, HMAC_UP, DIGEST0, DIGEST1, DIGEST2,
    KM_INIT, XTS_256, P192, P384_LOW, P384_HIGH, P384,
];
pub(super) static ESP32S31: &[Purpose] = &[
    USER,
    P256,
    ECDSA,
    XTS_256_1,
    XTS_256_2,
    XTS_128,
    HMAC_ALL,
    HMAC_JTAG,
    HMAC_DS,
    HMAC_UP,
    DIGEST0,
    DIGEST1,
    DIGEST2,
    KM_INIT,
    PSRAM_256_1,
    PSRAM_256_2,
    PSRAM_128,
    P192,
    P384_LOW,
    P384_HIGH,
    SDC,
    XTS_256,
    PSRAM_256,
    P384,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flash_and_ecdsa_keys_are_reversed() {
        let reversed = (0..=u8::MAX).map(KeyPurpose).filter(|purpose| purpose.is_burned_reversed());
        assert!(reversed.map(|purpose| purpose.0).eq([1, 2, 3, 4, 13, 14, 15, 16, 17, 18]));
    }

    #[test]
    fn digests_stay_readable() {
        assert!(KeyPurpose::SECURE_BOOT_DIGESTS.iter().all(|purpose| !purpose.wants_read_protection()));
        assert!(KeyPurpose::HMAC_UP.wants_read_protection());
    }

    #[test]
    fn custom_purposes_have_five_bits() {
        assert_eq!(Purpose::custom("CUSTOM_20").unwrap().value, PurposeValue::Burned(KeyPurpose(20)));
        assert!(Purpose::custom("CUSTOM_DIGEST_MAX").unwrap().is_digest);
        assert_eq!(Purpose::custom("CUSTOM_32"), None);
        assert_eq!(Purpose::custom("CUSTOM_x"), None);
    }
}
