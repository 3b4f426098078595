//! What ESP-IDF wants of a chip in release mode, as a table: which fields, on which chips, for which feature.
//!
//! Source: ESP-IDF 6.2-dev at 10212290, `components/bootloader_support/src/flash_encrypt.c`
//! (`esp_flash_encryption_cfg_verify_release_mode`), `secure_boot.c` (`esp_secure_boot_cfg_verify_release_mode`),
//! `<chip>/{flash_encryption,secure_boot}_secure_features.c` and `soc_caps.h` of each chip. The keys and their protection
//! are not in this table: see [`super::lint`].

use super::lint::{Rule, State};
use super::map::{ChipRevision, EfuseMap};
use crate::chip::Chip::{self, *};
use alloc::vec::Vec;

/// What is switched on, on the chip that the list is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Flash encryption, for good.
    pub flash_encryption: bool,
    /// Secure Boot, if any.
    pub secure_boot: Option<Scheme>,
}

/// Secure Boot as far as the eFuses tell schemes apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// ESP32 only, symmetric: `ABS_DONE_0`.
    V1,
    /// RSA-3072, or ECDSA over SHA-256.
    V2,
    /// ECDSA P-384 over SHA-384.
    V2Sha384,
}

/// One line of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Espressif's name.
    pub field: &'static str,
    /// What it must be.
    pub want: Want,
    /// Which features ask for it.
    pub asked_by: AskedBy,
    /// The finding if it is not so.
    pub rule: Rule,
    /// What it does, for ever.
    pub meaning: &'static str,
    chips: &'static [Chip],
    /// Only from this revision on.
    since: ChipRevision,
}

/// What a field must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// This number.
    Value(u32),
    /// Not zero; the number that ESP-IDF burns.
    AtLeast(u32),
    /// All bits, or frozen at an odd count.
    Counter,
    /// Left as it is, and write-protected.
    Frozen,
    /// Write-protected, or this number, which locks by itself.
    FrozenOr(u32),
}

/// Which features ask for a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedBy {
    /// Flash encryption in release mode.
    FlashEncryption,
    /// Either of the two.
    Either,
    /// Secure Boot of any version.
    SecureBoot,
    /// Secure Boot V1 only.
    SecureBootV1,
    /// Secure Boot V2 only.
    SecureBootV2,
    /// Secure Boot V2 over SHA-256.
    SecureBootSha256,
    /// Secure Boot V2 over SHA-384.
    SecureBootSha384,
}

impl AskedBy {
    const fn applies(self, features: &Features) -> bool {
        let scheme = features.secure_boot;
        match self {
            Self::FlashEncryption => features.flash_encryption,
            Self::Either => features.flash_encryption || scheme.is_some(),
            Self::SecureBoot => scheme.is_some(),
            Self::SecureBootV1 => matches!(scheme, Some(Scheme::V1)),
            Self::SecureBootV2 => matches!(scheme, Some(Scheme::V2 | Scheme::V2Sha384)),
            Self::SecureBootSha256 => matches!(scheme, Some(Scheme::V2)),
            Self::SecureBootSha384 => matches!(scheme, Some(Scheme::V2Sha384)),
        }
    }
}

impl Requirement {
    pub(super) fn is_met(&self, state: &State<'_>) -> bool {
        let value = state.value(self.field);
        match self.want {
            Want::Value(wanted) => value == wanted,
            Want::AtLeast(_) => value != 0,
            Want::Counter => {
                let whole = state.all_ones(self.field);
                value == whole || (value.count_ones() % 2 == 1 && state.is_frozen(self.field))
            }
            Want::Frozen => state.is_frozen(self.field),
            Want::FrozenOr(locked) => state.is_frozen(self.field) || value == locked,
        }
    }
}

/// The list for a chip. `revision`: `None` if it is not known, and then what the newest asks for.
///
/// Settings come before what switches a feature on, and write protections last: burned in this order, nothing is locked
/// out. The download mode is not in it, because there is a choice: see [`DOWNLOAD_MODES`].
#[must_use]
pub fn requirements(map: &EfuseMap, revision: Option<ChipRevision>, features: &Features) -> Vec<&'static Requirement> {
    let newest = ChipRevision(u16::MAX);
    LIST.iter()
        .filter(|line| line.chips.contains(&map.chip) && revision.unwrap_or(newest) >= line.since)
        .filter(|line| line.asked_by.applies(features) && map.field(line.field).is_some())
        .collect()
}

/// The fields of which one must be burned: the loader is gone, or it is secure. (ESP32: only gone, and only with V2.)
#[must_use]
pub const fn download_modes(chip: Chip) -> &'static [&'static str] {
    match chip {
        Esp32 => &["UART_DOWNLOAD_DIS"],
        _ => DOWNLOAD_MODES,
    }
}

/// On all chips but the ESP32.
pub const DOWNLOAD_MODES: &[&str] = &["DIS_DOWNLOAD_MODE", "ENABLE_SECURITY_DOWNLOAD"];

const XTS: &[Chip] =
    &[Esp32S2, Esp32S3, Esp32C2, Esp32C3, Esp32C5, Esp32C6, Esp32C61, Esp32H2, Esp32H21, Esp32H4, Esp32P4, Esp32S31];
const WITHOUT_S2: &[Chip] =
    &[Esp32S3, Esp32C2, Esp32C3, Esp32C5, Esp32C6, Esp32C61, Esp32H2, Esp32H21, Esp32H4, Esp32P4, Esp32S31];
const ESP32: &[Chip] = &[Esp32];
const FIRST: ChipRevision = ChipRevision(0);

const fn line(
    field: &'static str,
    want: Want,
    asked_by: AskedBy,
    rule: Rule,
    chips: &'static [Chip],
    meaning: &'static str,
) -> Requirement {
    Requirement { field, want, asked_by, rule, meaning, chips, since: FIRST }
}

/// Restrictions, then what switches on, then write protections.
static LIST: &[Requirement] = &[
    // Restrictions.
    line(
        "FLASH_CRYPT_CONFIG",
        Want::Value(0xf),
        AskedBy::FlashEncryption,
        Rule::CryptConfig,
        ESP32,
        "the address changes every part of the flash key",
    ),
    line(
        "DISABLE_DL_ENCRYPT",
        Want::Value(1),
        AskedBy::FlashEncryption,
        Rule::ManualEncryptOpen,
        ESP32,
        "the serial loader cannot encrypt for anyone",
    ),
    line(
        "DISABLE_DL_DECRYPT",
        Want::Value(1),
        AskedBy::FlashEncryption,
        Rule::DownloadDecryptOpen,
        ESP32,
        "the serial loader cannot decrypt",
    ),
    line(
        "DISABLE_DL_CACHE",
        Want::Value(1),
        AskedBy::FlashEncryption,
        Rule::DownloadCacheOpen,
        ESP32,
        "the serial loader cannot read flash through the cache",
    ),
    line(
        "DIS_DOWNLOAD_MANUAL_ENCRYPT",
        Want::Value(1),
        AskedBy::FlashEncryption,
        Rule::ManualEncryptOpen,
        XTS,
        "the serial loader cannot encrypt for anyone",
    ),
    line(
        "DIS_DOWNLOAD_ICACHE",
        Want::Value(1),
        AskedBy::FlashEncryption,
        Rule::DownloadCacheOpen,
        &[Esp32S2, Esp32S3, Esp32C2, Esp32C3, Esp32C6],
        "the serial loader cannot read flash through the cache",
    ),
    line(
        "DIS_DOWNLOAD_DCACHE",
        Want::Value(1),
        AskedBy::FlashEncryption,
        Rule::DownloadCacheOpen,
        &[Esp32S2, Esp32S3],
        "the serial loader cannot read flash through the data cache",
    ),
    // C5, C61, H4: burned by ESP-IDF's second stage, though its check does not ask for it.
    line(
        "SPI_DOWNLOAD_MSPI_DIS",
        Want::Value(1),
        AskedBy::FlashEncryption,
        Rule::DownloadFlashOpen,
        &[Esp32P4, Esp32S31, Esp32C5, Esp32C61, Esp32H4],
        "the serial loader cannot read flash through the memory controller",
    ),
    line(
        "XTS_DPA_PSEUDO_LEVEL",
        Want::AtLeast(1),
        AskedBy::FlashEncryption,
        Rule::PseudoRoundsOff,
        &[Esp32C5, Esp32C61, Esp32H21, Esp32H4, Esp32S31],
        "pseudo rounds hide the flash key in the supply current",
    ),
    Requirement {
        field: "XTS_DPA_PSEUDO_LEVEL",
        want: Want::AtLeast(1),
        asked_by: AskedBy::FlashEncryption,
        rule: Rule::PseudoRoundsOff,
        meaning: "pseudo rounds hide the flash key in the supply current (from chip revision v1.2 on)",
        chips: &[Esp32H2],
        since: ChipRevision(102),
    },
    Requirement {
        field: "XTS_DPA_PSEUDO_LEVEL",
        want: Want::AtLeast(1),
        asked_by: AskedBy::FlashEncryption,
        rule: Rule::PseudoRoundsOff,
        meaning: "pseudo rounds hide the flash key in the supply current (from chip revision v3.0 on)",
        chips: &[Esp32P4],
        since: ChipRevision(300),
    },
    line("JTAG_DISABLE", Want::Value(1), AskedBy::Either, Rule::JtagOpen, ESP32, "no JTAG"),
    line("HARD_DIS_JTAG", Want::Value(1), AskedBy::Either, Rule::JtagOpen, &[Esp32S2], "no JTAG on the pads"),
    line("DIS_PAD_JTAG", Want::Value(1), AskedBy::Either, Rule::JtagOpen, WITHOUT_S2, "no JTAG on the pads"),
    line(
        "DIS_USB_JTAG",
        Want::Value(1),
        AskedBy::Either,
        Rule::JtagOpen,
        &[Esp32S3, Esp32C3, Esp32C5, Esp32C6, Esp32C61, Esp32H2, Esp32H21, Esp32H4, Esp32P4, Esp32S31],
        "no JTAG over USB",
    ),
    line(
        "CONSOLE_DEBUG_DISABLE",
        Want::Value(1),
        AskedBy::Either,
        Rule::ConsoleOpen,
        ESP32,
        "no BASIC interpreter in the ROM",
    ),
    line(
        "DIS_DIRECT_BOOT",
        Want::Value(1),
        AskedBy::Either,
        Rule::DirectBootOpen,
        WITHOUT_S2,
        "no boot around the second stage",
    ),
    line(
        "DIS_LEGACY_SPI_BOOT",
        Want::Value(1),
        AskedBy::Either,
        Rule::DirectBootOpen,
        &[Esp32S2],
        "no boot around the second stage",
    ),
    line(
        "DIS_BOOT_REMAP",
        Want::Value(1),
        AskedBy::Either,
        Rule::BootRemapOpen,
        &[Esp32S2],
        "RAM cannot take the place of the ROM",
    ),
    line(
        "SECURE_BOOT_SHA384_EN",
        Want::Value(1),
        AskedBy::SecureBootSha384,
        Rule::Sha384Open,
        &[Esp32C5, Esp32H4, Esp32S31],
        "signatures are over SHA-384",
    ),
    // What switches on.
    line(
        "FLASH_CRYPT_CNT",
        Want::Counter,
        AskedBy::FlashEncryption,
        Rule::FlashEncryptionDevelopment,
        ESP32,
        "flash encryption is on, for good",
    ),
    line(
        "SPI_BOOT_CRYPT_CNT",
        Want::Counter,
        AskedBy::FlashEncryption,
        Rule::FlashEncryptionDevelopment,
        XTS,
        "flash encryption is on, for good",
    ),
    line(
        "ABS_DONE_0",
        Want::Value(1),
        AskedBy::SecureBootV1,
        Rule::SecureBootOff,
        ESP32,
        "the ROM boots only what carries the digest made with the key in BLOCK2",
    ),
    line(
        "ABS_DONE_1",
        Want::Value(1),
        AskedBy::SecureBootV2,
        Rule::SecureBootOff,
        ESP32,
        "the ROM boots signed images only (from chip revision v3.0 on)",
    ),
    line(
        "SECURE_BOOT_EN",
        Want::Value(1),
        AskedBy::SecureBootV2,
        Rule::SecureBootOff,
        XTS,
        "the ROM boots signed images only",
    ),
    // Write protections.
    line(
        "XTS_KEY_LENGTH_256",
        Want::Frozen,
        AskedBy::FlashEncryption,
        Rule::CryptKeyLengthOpen,
        &[Esp32C2],
        "how the flash key is derived stays as it is",
    ),
    line(
        "DIS_CACHE",
        Want::Frozen,
        AskedBy::FlashEncryption,
        Rule::CacheBitOpen,
        ESP32,
        "nobody can burn the cache away",
    ),
    line(
        "DIS_ICACHE",
        Want::Frozen,
        AskedBy::FlashEncryption,
        Rule::CacheBitOpen,
        &[Esp32S2, Esp32S3, Esp32C3, Esp32C5, Esp32C6, Esp32C61, Esp32H2, Esp32H21],
        "nobody can burn the cache away",
    ),
    Requirement {
        field: "ECDSA_CURVE_MODE",
        want: Want::FrozenOr(3),
        asked_by: AskedBy::SecureBootV2,
        rule: Rule::CurveModeOpen,
        meaning: "the curves of the ECDSA peripheral stay as they are (from chip revision v1.2 on)",
        chips: &[Esp32H2],
        since: ChipRevision(102),
    },
    line(
        "ECDSA_CURVE_MODE",
        Want::FrozenOr(3),
        AskedBy::SecureBootV2,
        Rule::CurveModeOpen,
        &[Esp32H21],
        "the curves of the ECDSA peripheral stay as they are",
    ),
    line(
        "SECURE_BOOT_SHA384_EN",
        Want::Frozen,
        AskedBy::SecureBootSha256,
        Rule::Sha384Open,
        &[Esp32C5, Esp32H4],
        "nobody can demand SHA-384 signatures and lock the product out",
    ),
    line(
        "RD_DIS",
        Want::Frozen,
        AskedBy::SecureBootV2,
        Rule::RdDisOpen,
        ESP32,
        "nobody can hide the digest; no key burned later can be hidden",
    ),
    line(
        "RD_DIS",
        Want::Frozen,
        AskedBy::SecureBootV2,
        Rule::RdDisOpen,
        XTS,
        "nobody can hide the digest; no key burned later can be hidden",
    ),
];
