//! The eFuses that ROM and hardware look at, by what they mean: chips call them differently, or lack them.

use cotter_formats::efuse::{EfuseImage, EfuseMap, Field};

macro_rules! settings {
    ($($(#[$doc:meta])* $setting:ident [$($name:literal)+])+) => {
        /// A setting that the silicon obeys. A chip that lacks one never has it set.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Setting { $($(#[$doc])* $setting,)+ }

        impl Setting {
            const ALL: &[Self] = &[$(Self::$setting,)+];

            /// Its names, of which a chip has one.
            const fn names(self) -> &'static [&'static str] {
                match self { $(Self::$setting => &[$($name,)+],)+ }
            }
        }
    };
}

settings! {
    /// Flash encryption is on while an odd number of its bits is set.
    FlashCryptCount ["SPI_BOOT_CRYPT_CNT" "FLASH_CRYPT_CNT"]
    /// Which address bits go into the key of the ESP32's own scheme.
    FlashCryptConfig ["FLASH_CRYPT_CONFIG"]
    /// Secure Boot V2.
    SecureBoot ["SECURE_BOOT_EN" "ABS_DONE_1"]
    /// A bad signature by a trusted key costs that key.
    AggressiveRevoke ["SECURE_BOOT_AGGRESSIVE_REVOKE"]
    /// Digests 0, 1, 2 no longer count.
    Revoke0 ["SECURE_BOOT_KEY_REVOKE0"]
    Revoke1 ["SECURE_BOOT_KEY_REVOKE1"]
    Revoke2 ["SECURE_BOOT_KEY_REVOKE2"]
    /// No download mode at all.
    DownloadDisabled ["DIS_DOWNLOAD_MODE" "UART_DOWNLOAD_DIS"]
    /// Download mode without reading.
    SecureDownload ["ENABLE_SECURITY_DOWNLOAD"]
    /// Download mode does not encrypt what it writes.
    ManualEncryptDisabled ["DIS_DOWNLOAD_MANUAL_ENCRYPT" "DISABLE_DL_ENCRYPT"]
    DownloadIcacheDisabled ["DIS_DOWNLOAD_ICACHE" "DISABLE_DL_CACHE"]
    DownloadDcacheDisabled ["DIS_DOWNLOAD_DCACHE"]
    /// When the ROM prints.
    UartPrint ["UART_PRINT_CONTROL"]
    /// The lowest secure version that may run, a counter of bits.
    SecureVersion ["SECURE_VERSION"]
    /// JTAG is off until an HMAC opens it, while an odd number of its bits is set.
    SoftJtag ["SOFT_DIS_JTAG"]
    /// JTAG on the pins is off for ever.
    PadJtag ["DIS_PAD_JTAG" "HARD_DIS_JTAG" "JTAG_DISABLE"]
    UsbJtag ["DIS_USB_JTAG"]
    UsbSerialJtag ["DIS_USB_SERIAL_JTAG" "DIS_USB"]
    /// The ESP32-C2's flash key is a whole block instead of a half.
    XtsKey256 ["XTS_KEY_LENGTH_256"]
    /// The highest revision that an image names does not count.
    RevisionUnlimited ["DISABLE_WAFER_VERSION_MAJOR"]
}

impl Setting {
    /// Its value as registers tell it; 0 if the chip has none.
    pub(crate) fn read(self, registers: &EfuseImage) -> u32 {
        let value = |name: &&'static str| registers.value_named(name);
        self.names().iter().find_map(value).unwrap_or(0)
    }
}

/// The fields of one chip that are settings.
#[derive(Clone)]
pub(super) struct Settings(Vec<Option<&'static Field>>);

impl Settings {
    pub(super) fn of(map: &EfuseMap) -> Self {
        let field = |setting: &Setting| setting.names().iter().find_map(|name| map.field(name));
        Self(Setting::ALL.iter().map(field).collect())
    }

    /// The field of this chip; `None` if it has none.
    pub(super) fn field(&self, setting: Setting) -> Option<&'static Field> {
        self.0.get(setting as usize).copied().flatten()
    }
}
