//! What the fields are for, in words, and what their values are called.
//!
//! The value names are those of esptool 5.6.0 `espefuse/efuse_defs/*.yaml`. The words are ours, after those tables, the
//! technical reference manuals and ESP-IDF's `components/efuse/<chip>/esp_efuse_table.csv`.

use super::field::Field;
use crate::chip::Chip;

/// Under which heading a field is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Decides who may run, read or change code and secrets.
    Security,
    /// Key blocks and what they are for.
    Keys,
    /// Which chip this is: MAC addresses, revisions, packages.
    Identity,
    /// How the chip starts and what it is connected to.
    Config,
    /// Measured in Espressif's factory.
    Calibration,
    /// Kept by Espressif.
    Reserved,
}

impl Group {
    /// In the order in which they are shown.
    pub const ALL: [Self; 6] =
        [Self::Security, Self::Keys, Self::Identity, Self::Config, Self::Calibration, Self::Reserved];

    /// In small letters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Security => "security",
            Self::Keys => "keys",
            Self::Identity => "identity",
            Self::Config => "config",
            Self::Calibration => "calibration",
            Self::Reserved => "reserved",
        }
    }
}

impl Field {
    /// Under which heading it is shown.
    #[must_use]
    pub fn group(&self) -> Group {
        let has = |parts: &[&str]| parts.iter().any(|part| self.name.contains(part));
        if self.reserved {
            Group::Reserved
        } else if self.name.starts_with("KEY_PURPOSE") || has(&["BLOCK_KEY", "BLOCK1", "BLOCK2", "BLOCK3"]) {
            Group::Keys
        } else if has(SECURITY) {
            Group::Security
        } else if has(CALIBRATION) {
            Group::Calibration
        } else if has(IDENTITY) {
            Group::Identity
        } else {
            Group::Config
        }
    }

    /// What it is for, in a few words; empty if there is nothing to add to its name.
    #[must_use]
    pub fn description(&self) -> &'static str {
        let exact = DESCRIPTIONS.iter().find(|(name, _)| *name == self.name);
        let family = || PREFIXES.iter().find(|(prefix, _)| self.name.starts_with(prefix));
        exact.or_else(family).map_or("", |(_, description)| description)
    }

    /// What a value of this field is called on a chip, if it has a name.
    #[must_use]
    pub fn value_name(&self, chip: Chip, value: u32) -> Option<&'static str> {
        let names = value_names(chip, self.name);
        names.iter().find(|(named, _)| *named == value).map(|(_, name)| *name)
    }

    /// True if the number of its set bits counts, and not the number that they spell.
    #[must_use]
    pub fn is_counter(&self) -> bool {
        ["FLASH_CRYPT_CNT", "SPI_BOOT_CRYPT_CNT", "SECURE_VERSION"].iter().any(|part| self.name.contains(part))
    }
}

/// Parts of the names of security fields.
const SECURITY: &[&str] = &[
    "WR_DIS",
    "RD_DIS",
    "CRYPT",
    "SECUR",
    "ABS_DONE",
    "JTAG",
    "DOWNLOAD",
    "DISABLE_DL",
    "CONSOLE_DEBUG",
    "DIRECT_BOOT",
    "LEGACY_SPI_BOOT",
    "BOOT_REMAP",
    "DPA",
    "ECDSA",
    "ECC_FORCE",
    "KEY_MANAGER",
    "KM_",
    "HUK",
    "XTS",
    "SW_INIT_KEY",
    "ANTI_ROLLBACK",
    "GLITCH",
    "DIS_SWD",
    "SDC_",
    "DIS_SM_CRYPT",
    "CODING_SCHEME",
    "DIS_CACHE",
    "DIS_ICACHE",
    "DIS_DCACHE",
    "KEY_STATUS",
];

const IDENTITY: &[&str] =
    &["MAC", "VERSION", "VER_REV", "PKG", "PACKAGE", "UNIQUE_ID", "FLASH_CAP", "FLASH_VENDOR", "FLASH_TEMP", "PSRAM"];

const CALIBRATION: &[&str] = &[
    "ADC",
    "LDO",
    "DBIAS",
    "_HVT",
    "CALI",
    "OCODE",
    "TEMPERATURE",
    "LSLP",
    "DSLP",
    "RXIQ",
    "PVT_",
    "PUMP_DRV",
    "TRIM_",
    "REF_CURR",
    "_DIFF_1P8",
    "RES_TUNE",
    "DCDC_1V",
    "SLP_DCDC",
    "ADJUST_1V",
    "VOL_LEVEL",
    "CLK8M",
    "VDD_3V4",
    "RTCCALIB",
];

/// By name.
const DESCRIPTIONS: &[(&str, &str)] = &[
    ("WR_DIS", "each bit freezes the fields or the block that share it"),
    ("RD_DIS", "each bit hides a key block from software"),
    ("FLASH_CRYPT_CNT", "flash encryption is on while an odd number of bits is set"),
    ("SPI_BOOT_CRYPT_CNT", "flash encryption is on while an odd number of bits is set"),
    ("FLASH_CRYPT_CONFIG", "which address bits tweak the flash encryption key; 0xf in production"),
    ("UART_DOWNLOAD_DIS", "no UART download mode (from v3.0 on)"),
    ("CODING_SCHEME", "how blocks 1 to 3 are coded, and so how long they are"),
    ("CONSOLE_DEBUG_DISABLE", "no BASIC interpreter in ROM when nothing boots"),
    ("ABS_DONE_0", "Secure Boot V1 is on"),
    ("ABS_DONE_1", "Secure Boot V2 is on (from v3.0 on)"),
    ("JTAG_DISABLE", "no JTAG, for good"),
    ("DISABLE_DL_ENCRYPT", "the download mode cannot write encrypted flash"),
    ("DISABLE_DL_DECRYPT", "the download mode cannot read flash decrypted"),
    ("DISABLE_DL_CACHE", "the download mode cannot read flash through the cache"),
    ("KEY_STATUS", "block 3 holds a key (reserved)"),
    ("DIS_CACHE", "no cache; its WR_DIS bit is part of a release"),
    ("DIS_ICACHE", "no instruction cache; its WR_DIS bit is part of a release"),
    ("DIS_DCACHE", "no data cache"),
    ("DIS_DOWNLOAD_ICACHE", "the download mode cannot use the instruction cache"),
    ("DIS_DOWNLOAD_DCACHE", "the download mode cannot use the data cache"),
    ("DIS_DOWNLOAD_MANUAL_ENCRYPT", "the download mode cannot write encrypted flash"),
    ("SPI_DOWNLOAD_MSPI_DIS", "the download mode cannot read flash through the memory bus"),
    ("DIS_DOWNLOAD_MODE", "no download mode at all: no more esptool"),
    ("ENABLE_SECURITY_DOWNLOAD", "download mode with flash commands only: eFuses can no longer be read"),
    ("DIS_FORCE_DOWNLOAD", "software cannot force the download mode"),
    ("DIS_DIRECT_BOOT", "no boot straight from flash, which no signature guards"),
    ("DIS_LEGACY_SPI_BOOT", "no legacy SPI boot, which no signature guards"),
    ("DIS_BOOT_REMAP", "RAM cannot take the place of ROM"),
    ("DIS_USB_SERIAL_JTAG_DOWNLOAD_MODE", "no download over USB-Serial-JTAG"),
    ("DIS_USB_OTG_DOWNLOAD_MODE", "no download over USB-OTG"),
    ("DIS_USB_DOWNLOAD_MODE", "no download over USB-OTG"),
    ("DOWNLOAD_MODE_XPD_ON", "power on the flash in download mode"),
    ("DIS_PAD_JTAG", "no JTAG on the pads, for good"),
    ("HARD_DIS_JTAG", "no JTAG, for good"),
    ("SOFT_DIS_JTAG", "no JTAG while an odd number of bits is set, until an HMAC key enables it"),
    ("DIS_USB_JTAG", "no JTAG over USB"),
    ("DIS_USB_SERIAL_JTAG", "no USB-Serial-JTAG at all"),
    ("DIS_USB_SERIAL_JTAG_ROM_PRINT", "no boot messages over USB"),
    ("JTAG_SEL_ENABLE", "a strapping pin chooses between JTAG on pads and over USB"),
    ("STRAP_JTAG_SEL", "a strapping pin chooses between JTAG on pads and over USB"),
    ("RE_ENABLE_JTAG_SOURCE", "what can enable JTAG again: 0 SDC, 1 HMAC"),
    ("SECURE_BOOT_EN", "Secure Boot is on: only signed bootloaders run"),
    ("SECURE_BOOT_AGGRESSIVE_REVOKE", "a key whose signature fails is revoked at once"),
    ("SECURE_BOOT_KEY_REVOKE0", "the first Secure Boot key is revoked"),
    ("SECURE_BOOT_KEY_REVOKE1", "the second Secure Boot key is revoked"),
    ("SECURE_BOOT_KEY_REVOKE2", "the third Secure Boot key is revoked"),
    ("SECURE_BOOT_DISABLE_FAST_WAKE", "verify in full also when waking up"),
    ("SECURE_BOOT_SHA384_EN", "Secure Boot may use SHA-384"),
    ("SECURE_VERSION", "anti-rollback version of the application: the number of bits set"),
    ("BOOTLOADER_ANTI_ROLLBACK_EN", "anti-rollback of the bootloader is on"),
    ("BOOTLOADER_ANTI_ROLLBACK_UPDATE_IN_ROM", "the ROM raises the bootloader's anti-rollback version"),
    ("XTS_KEY_LENGTH_256", "flash encryption takes 256 bits of key"),
    ("KM_XTS_KEY_LENGTH_256", "flash encryption by the key manager: 0 XTS-AES-256, 1 XTS-AES-128"),
    ("SEC_DPA_LEVEL", "against power analysis: how much the clock is randomised"),
    ("CRYPT_DPA_ENABLE", "against power analysis of the crypto peripherals"),
    ("XTS_DPA_PSEUDO_LEVEL", "against power analysis: pseudo rounds of XTS-AES (0 off to 3)"),
    ("XTS_DPA_CLK_ENABLE", "against power analysis: random clock of XTS-AES"),
    ("ECC_FORCE_CONST_TIME", "elliptic curves always in constant time"),
    ("ECDSA_CURVE_MODE", "curves of ECDSA: 0 P-256, 1 P-192, 2 both, 3 P-256 for good"),
    ("ECDSA_DISABLE_P192", "no ECDSA on P-192"),
    ("ECDSA_FORCE_USE_HARDWARE_K", "ECDSA nonces from hardware only"),
    ("ECDSA_DISABLE_SOFT_K", "ECDSA nonces from hardware only"),
    ("ECDSA_ENABLE_SOFT_K", "ECDSA nonces from software allowed"),
    ("DIS_SM_CRYPT", "no SM2, SM3"),
    ("ENA_XTS_SHADOW", "a shadow core guards XTS-AES against injected faults"),
    ("ENA_SPI_BOOT_CRYPT_SCRAMBLER", "ciphertext in external memory is scrambled"),
    ("KM_DISABLE_DEPLOY_MODE", "key manager: kinds of keys that can no longer be deployed"),
    ("KM_DEPLOY_ONLY_ONCE", "key manager: kinds of keys that can be deployed once"),
    ("KM_RND_SWITCH_CYCLE", "key manager: how often its random numbers change"),
    ("FORCE_USE_KEY_MANAGER_KEY", "kinds of keys that must come from the key manager, not from eFuses"),
    ("FORCE_DISABLE_SW_INIT_KEY", "key manager: only the init key in eFuses counts"),
    ("LOCK_KM_KEY", "key manager: keys are locked once deployed"),
    ("HUK_GEN_STATE", "state of the hardware unique key"),
    ("KM_HUK_GEN_STATE", "state of the hardware unique key"),
    ("POWERGLITCH_EN", "guard against power glitches"),
    ("POWERGLITCH_EN1", "guard against power glitches at power-on"),
    ("POWER_GLITCH_EN", "guard against power glitches"),
    ("DIS_SWD", "no super watchdog"),
    ("BLOCK1", "flash encryption key"),
    ("BLOCK2", "Secure Boot V1 key, or digest of the Secure Boot V2 key"),
    ("BLOCK3", "user data, custom MAC, SECURE_VERSION"),
    ("BLOCK_KEY0_LOW_128", "flash encryption key of 128 bits"),
    ("BLOCK_KEY0_HI_128", "first half of the digest of the Secure Boot key"),
    ("BLOCK_USR_DATA", "user data"),
    ("BLOCK_SYS_DATA2", "system data"),
    ("MAC", "factory MAC"),
    ("MAC_CRC", "CRC-8 of the factory MAC"),
    ("MAC_EXT", "middle bytes of the 64-bit MAC"),
    ("MAC_VERSION", "1: block 3 holds a custom MAC"),
    ("CUSTOM_MAC", "custom MAC"),
    ("CUSTOM_MAC_CRC", "CRC-8 of the custom MAC"),
    ("CUSTOM_MAC_USED", "a custom MAC is burned"),
    ("OPTIONAL_UNIQUE_ID", "unique number of this chip"),
    ("DISABLE_WAFER_VERSION_MAJOR", "images for another major revision may run"),
    ("DISABLE_BLK_VERSION_MAJOR", "another major version of the eFuse blocks may run"),
    ("PKG_VERSION", "package"),
    ("FLASH_CAP", "size of the flash in the package"),
    ("FLASH_VENDOR", "maker of the flash in the package"),
    ("FLASH_TEMP", "temperature rating of the flash in the package"),
    ("PSRAM_CAP", "size of the PSRAM in the package"),
    ("PSRAM_VENDOR", "maker of the PSRAM in the package"),
    ("PSRAM_TEMP", "temperature rating of the PSRAM in the package"),
    ("DISABLE_APP_CPU", "no second core"),
    ("DIS_APP_CPU", "no second core"),
    ("DIS_CORE1", "no second core"),
    ("DISABLE_BT", "no Bluetooth"),
    ("DISABLE_SDIO_HOST", "no SDIO host"),
    ("DIS_TWAI", "no CAN"),
    ("DIS_WIFI6", "no Wi-Fi 6"),
    ("DIS_WDT", "no watchdog"),
    ("DIS_USB", "no USB-OTG"),
    ("DIS_USB_OTG", "no USB-OTG"),
    ("DIS_RTC_RAM_BOOT", "no boot from RTC RAM"),
    ("WDT_DELAY_SEL", "timeout of the boot watchdog, in slow clock cycles"),
    ("UART_PRINT_CONTROL", "whether the ROM prints boot messages"),
    ("UART_PRINT_CHANNEL", "where the ROM prints boot messages"),
    ("FORCE_SEND_RESUME", "the ROM wakes the flash before it boots"),
    ("FLASH_TPUW", "wait after power-on of the flash, in milliseconds"),
    ("FLASH_TYPE", "data lines of the flash"),
    ("FLASH_ECC_MODE", "error correction of the flash in ROM"),
    ("FLASH_ECC_EN", "error correction of the flash at boot"),
    ("FLASH_PAGE_SIZE", "page size of the flash"),
    ("ERR_RST_ENABLE", "BLOCK0 is checked against its error registers"),
    ("PIN_POWER_SELECTION", "supply of GPIO33 to GPIO37"),
    ("VDD_SPI_FORCE", "VDD_SPI is as VDD_SPI_XPD and VDD_SPI_TIEH say, whatever the strapping pin"),
    ("VDD_SPI_XPD", "with VDD_SPI_FORCE: the regulator of VDD_SPI is on"),
    ("VDD_SPI_TIEH", "with VDD_SPI_FORCE: voltage of VDD_SPI"),
    ("VDD_SPI_AS_GPIO", "the VDD_SPI pin is a GPIO"),
    ("XPD_SDIO_FORCE", "VDD_SDIO is as XPD_SDIO_REG and XPD_SDIO_TIEH say, whatever GPIO12"),
    ("XPD_SDIO_REG", "with XPD_SDIO_FORCE: the regulator of VDD_SDIO is on"),
    ("XPD_SDIO_TIEH", "with XPD_SDIO_FORCE: voltage of VDD_SDIO"),
    ("BLK3_PART_RESERVE", "part of block 3 holds ADC calibration"),
    ("CHIP_CPU_FREQ_RATED", "the maximum CPU frequency is rated"),
    ("CHIP_CPU_FREQ_LOW", "with CHIP_CPU_FREQ_RATED: 160 MHz"),
    ("CLK8M_FREQ", "frequency of the 8 MHz clock"),
    ("USB_PHY_SEL", "which USB is on the internal PHY"),
    ("USB_EXT_PHY_ENABLE", "external USB PHY"),
    ("XTAL_48M_SEL", "48 MHz crystal while an odd number of bits is set"),
    ("XTAL_48M_SEL_MODE", "0: a strapping pin chooses the crystal, 1: XTAL_48M_SEL"),
];

/// By the beginning of the name.
const PREFIXES: &[(&str, &str)] = &[
    ("BLOCK_KEY", "key, as its purpose says"),
    ("KEY_PURPOSE_", "what the key block is for"),
    ("BOOTLOADER_ANTI_ROLLBACK_SECURE_VERSION", "anti-rollback version of the bootloader"),
    ("RECOVERY_BOOTLOADER_FLASH_SECTOR", "flash sector of the recovery bootloader"),
    ("SDC_", "secure debug control"),
    ("PVT_", "guard against power glitches"),
    ("WAFER_VERSION", "revision of the chip"),
    ("CHIP_VER_REV", "revision of the chip"),
    ("CHIP_PACKAGE", "package"),
    ("BLK_VERSION", "version of the eFuse blocks"),
    ("BLOCK0_VERSION", "version of the eFuse blocks"),
    ("SPI_PAD_CONFIG", "pin of the flash"),
    ("ADC", "ADC calibration"),
    ("TEMP", "temperature calibration"),
    ("RXIQ", "radio calibration"),
    ("RTCCALIB", "ADC calibration"),
    ("HYS_EN_PAD", "hysteresis of pads"),
    ("KM_", "key manager"),
    ("FORCE_USE_KEY_MANAGER_KEY", "kinds of keys that must come from the key manager"),
    ("USB_", "USB pins"),
];

const OFF_ON: &[(u32, &str)] = &[(0, "Enable"), (1, "Disable")];
const CRYPT_COUNT: &[(u32, &str)] = &[(0, "Disable"), (1, "Enable"), (3, "Disable"), (7, "Enable")];
const TEMPERATURE: &[(u32, &str)] = &[(0, "None"), (1, "105C"), (2, "85C")];

/// Every named value of a field.
#[must_use]
pub fn value_names(chip: Chip, field: &str) -> &'static [(u32, &'static str)] {
    use Chip::{Esp32, Esp32C2, Esp32C3, Esp32C5, Esp32C6, Esp32H2, Esp32H21, Esp32S2, Esp32S3};
    match (field, chip) {
        ("XPD_SDIO_TIEH", Esp32) => &[(0, "1.8V"), (1, "3.3V")],
        ("CODING_SCHEME", Esp32) => &[
            (0, "NONE (BLK1-3 len=256 bits)"),
            (1, "3/4 (BLK1-3 len=192 bits)"),
            (2, "REPEAT (BLK1-3 len=128 bits) not supported"),
            (3, "NONE (BLK1-3 len=256 bits)"),
        ],
        ("MAC_VERSION", Esp32) => &[(1, "Custom MAC in BLOCK3")],
        ("WDT_DELAY_SEL", Esp32C2 | Esp32C3 | Esp32S2 | Esp32S3) => {
            &[(0, "40000"), (1, "80000"), (2, "160000"), (3, "320000")]
        }
        ("SPI_BOOT_CRYPT_CNT", _) => CRYPT_COUNT,
        ("XTS_KEY_LENGTH_256", Esp32C2) => &[(0, "128 bits key"), (1, "256 bits key")],
        ("UART_PRINT_CONTROL", Esp32S2 | Esp32S3) => &[
            (0, "Enable"),
            (1, "Enable when GPIO46 is low at reset"),
            (2, "Enable when GPIO46 is high at reset"),
            (3, "Disable"),
        ],
        ("UART_PRINT_CONTROL", Esp32C2 | Esp32C3 | Esp32C5 | Esp32C6 | Esp32H2 | Esp32H21) => &[
            (0, "Enable"),
            (1, "Enable when GPIO8 is low at reset"),
            (2, "Enable when GPIO8 is high at reset"),
            (3, "Disable"),
        ],
        ("BLK_VERSION_MINOR", Esp32C2) => &[(0, "No calib"), (1, "With calib")],
        ("BLK_VERSION_MINOR", Esp32S2) => &[(0, "No calib"), (1, "ADC calib V1"), (2, "ADC calib V2")],
        ("BLK_VERSION_MAJOR", Esp32C3) => &[(0, "No calibration"), (1, "With calibration")],
        ("BLK_VERSION_MAJOR", Esp32S3) => &[(0, "No calib"), (1, "ADC calib V1")],
        ("FLASH_VENDOR", Esp32C3) => &[(0, "None"), (1, "XMC"), (2, "GD"), (3, "FM"), (4, "TT"), (5, "ZBIT")],
        ("FLASH_VENDOR", Esp32S3) => &[(0, "None"), (1, "XMC"), (2, "GD"), (3, "FM"), (4, "TT"), (5, "BY")],
        ("FLASH_TEMP", Esp32C3 | Esp32S3) | ("PSRAM_TEMP", Esp32S3) => TEMPERATURE,
        ("FLASH_CAP", Esp32C3) => &[(0, "None"), (1, "4M"), (2, "2M"), (3, "1M"), (4, "8M")],
        ("FLASH_CAP", Esp32S3) => &[(0, "None"), (1, "8M"), (2, "4M")],
        ("PSRAM_CAP", Esp32S3) => &[(0, "None"), (1, "8M"), (2, "2M"), (3, "16M"), (4, "4M")],
        ("PSRAM_VENDOR", Esp32S3) => &[(0, "None"), (1, "AP_3v3"), (2, "AP_1v8")],
        ("DIS_USB_SERIAL_JTAG", Esp32C3) | ("DIS_USB_SERIAL_JTAG_ROM_PRINT", Esp32C3 | Esp32S3) => OFF_ON,
        ("ERR_RST_ENABLE", Esp32C3) => &[(0, "without check"), (1, "with check")],
        ("USB_PHY_SEL", Esp32S3) => &[
            (0, "internal PHY is assigned to USB Device while external PHY is assigned to USB OTG"),
            (1, "internal PHY is assigned to USB OTG while external PHY is assigned to USB Device"),
        ],
        ("FLASH_TYPE", Esp32S2 | Esp32S3) => &[(0, "4 data lines"), (1, "8 data lines")],
        ("VDD_SPI_TIEH", Esp32S2 | Esp32S3) => {
            &[(0, "VDD_SPI connects to 1.8 V LDO"), (1, "VDD_SPI connects to VDD3P3_RTC_IO")]
        }
        ("UART_PRINT_CHANNEL", Esp32S2) => &[(0, "UART0"), (1, "UART1")],
        ("PIN_POWER_SELECTION", Esp32S2 | Esp32S3) => &[(0, "VDD3P3_CPU"), (1, "VDD_SPI")],
        ("FLASH_ECC_MODE", Esp32S3) => &[(0, "16to18 byte"), (1, "16to17 byte")],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::efuse::EfuseMap;

    #[test]
    fn every_security_field_says_what_it_is_for() {
        for map in Chip::ALL.map(EfuseMap::of) {
            let fields = map.fields.iter().chain(map.views);
            for field in fields.filter(|field| matches!(field.group(), Group::Security | Group::Keys)) {
                assert_ne!(field.description(), "", "{}: {}", map.chip, field.name);
            }
        }
    }

    #[test]
    fn values_have_the_names_that_espefuse_gives_them() {
        let field = EfuseMap::of(Chip::Esp32S3).field("UART_PRINT_CONTROL").unwrap();
        assert_eq!(field.value_name(Chip::Esp32S3, 1), Some("Enable when GPIO46 is low at reset"));
        assert_eq!(field.value_name(Chip::Esp32C3, 1), Some("Enable when GPIO8 is low at reset"));
        assert_eq!(field.value_name(Chip::Esp32P4, 1), None);
    }
}
