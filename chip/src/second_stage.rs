//! What the second stage was compiled with. Code in flash is not executed, so the board must be told.
//!
//! Fields are named by what they do; `doc(alias)` has Espressif's name of the setting in `sdkconfig`. The default
//! neither burns nor encrypts anything, and checks signatures if the eFuses say that Secure Boot V2 is on.
//! Source: ESP-IDF 6.2-dev `components/bootloader/Kconfig.projbuild`, `components/nvs_sec_provider/Kconfig`.

use cotter_formats::addr::FlashAddr;
use cotter_formats::chip::Chip;
use cotter_formats::efuse::{ChipRevision, EfuseMap, KeyPurpose};
use cotter_formats::hmac_key::HmacKey;
use cotter_formats::partition::DEFAULT_OFFSET;
use cotter_formats::secure_boot::v1::VerifyingKey;
use cotter_formats::secure_boot::v2::{Scheme, Support, needs_revision, support};

/// A second stage, and as much of the application as ESP-IDF runs before `app_main`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecondStage {
    /// Where the partition table lies.
    #[doc(alias = "CONFIG_PARTITION_TABLE_OFFSET")]
    pub partition_table: FlashAddr,
    /// A new application gets one boot to confirm itself, else the one before it runs again.
    #[doc(alias = "CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE")]
    pub app_rollback: bool,
    /// An application whose secure version is below what the eFuses count does not run.
    #[doc(alias = "CONFIG_BOOTLOADER_APP_ANTI_ROLLBACK")]
    pub anti_rollback: bool,
    /// Which signatures it checks, and what the first boot burns for them.
    #[doc(alias = "CONFIG_SECURE_BOOT")]
    pub secure_boot: SecureBoot,
    /// Whether it encrypts the flash on the first boot.
    #[doc(alias = "CONFIG_SECURE_FLASH_ENC_ENABLED")]
    pub flash_encryption: Option<FlashEncryption>,
    /// What becomes of download mode on the serial port.
    #[doc(alias = "CONFIG_SECURE_UART_ROM_DL_MODE")]
    pub download_mode: DownloadPolicy,
    /// JTAG is left as it is.
    #[doc(alias = "CONFIG_SECURE_BOOT_ALLOW_JTAG")]
    pub allow_jtag: bool,
    /// The BASIC interpreter in the ESP32's ROM is left as it is.
    #[doc(alias = "CONFIG_SECURE_BOOT_ALLOW_ROM_BASIC")]
    pub allow_rom_basic: bool,
    /// `RD_DIS` stays writable once Secure Boot V2 is on, so that a digest can be hidden and nothing boots any more.
    #[doc(alias = "CONFIG_SECURE_BOOT_V2_ALLOW_EFUSE_RD_DIS")]
    pub allow_read_protection: bool,
    /// Where the application gets the keys of its NVS partition from.
    #[doc(alias = "CONFIG_NVS_ENCRYPTION")]
    pub nvs_keys: NvsKeySource,
}

impl Default for SecondStage {
    fn default() -> Self {
        Self {
            partition_table: DEFAULT_OFFSET,
            app_rollback: true,
            anti_rollback: true,
            secure_boot: SecureBoot::AsBurned,
            flash_encryption: None,
            download_mode: DownloadPolicy::Open,
            allow_jtag: false,
            allow_rom_basic: false,
            allow_read_protection: false,
            nvs_keys: NvsKeySource::None,
        }
    }
}

/// Secure Boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SecureBoot {
    /// V2 if the eFuses say that it is on; switches nothing on. No setting of ESP-IDF: whichever was compiled in.
    #[default]
    AsBurned,
    /// Compiled without: an application is not asked for a signature, whatever the eFuses say.
    Off,
    /// The ESP32's first scheme.
    #[doc(alias = "CONFIG_SECURE_BOOT_V1_ENABLED")]
    V1(SecureBootV1),
    /// Signature blocks behind the images, key digests in the eFuses.
    #[doc(alias = "CONFIG_SECURE_BOOT_V2_ENABLED")]
    V2(SecureBootV2),
}

/// Secure Boot V1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecureBootV1 {
    /// Checks the application's signature.
    #[doc(alias = "CONFIG_SECURE_BOOT_VERIFICATION_KEY")]
    pub verification_key: VerifyingKey,
}

/// Secure Boot V2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecureBootV2 {
    /// Refuses to boot unless Secure Boot is on already.
    #[doc(alias = "CONFIG_SECURE_BOOT_REQUIRE_ALREADY_ENABLED")]
    pub require_already_enabled: bool,
    /// Key digests that are not used stay open for later.
    #[doc(alias = "CONFIG_SECURE_BOOT_ALLOW_UNUSED_DIGEST_SLOTS")]
    pub allow_unused_digests: bool,
    /// A bad signature by a trusted key costs that key.
    #[doc(alias = "CONFIG_SECURE_BOOT_ENABLE_AGGRESSIVE_KEY_REVOKE")]
    pub aggressive_revoke: bool,
}

/// Flash encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlashEncryption {
    /// How final it is.
    pub mode: FlashEncryptionMode,
    /// The key that is generated if none has been burned. The ESP32 has one kind only and ignores this.
    #[doc(alias = "CONFIG_SECURE_FLASH_ENCRYPTION_KEYSIZE")]
    pub key: FlashKeyKind,
    /// Refuses to boot unless flash encryption is on already.
    #[doc(alias = "CONFIG_SECURE_FLASH_REQUIRE_ALREADY_ENABLED")]
    pub require_already_enabled: bool,
    /// Download mode may still encrypt what it writes.
    #[doc(alias = "CONFIG_SECURE_FLASH_UART_BOOTLOADER_ALLOW_ENC")]
    pub allow_download_encrypt: bool,
    /// Download mode may still decrypt (ESP32).
    #[doc(alias = "CONFIG_SECURE_FLASH_UART_BOOTLOADER_ALLOW_DEC")]
    pub allow_download_decrypt: bool,
    /// Download mode may still use the cache, which decrypts.
    #[doc(alias = "CONFIG_SECURE_FLASH_UART_BOOTLOADER_ALLOW_CACHE")]
    pub allow_download_cache: bool,
    /// The bit that switches the cache off for ever stays writable.
    #[doc(alias = "CONFIG_SECURE_FLASH_SKIP_WRITE_PROTECTION_CACHE")]
    pub skip_cache_protection: bool,
    /// Of a partition with an application, only the image is encrypted (default since ESP-IDF 5.3), else all of it.
    #[doc(alias = "CONFIG_SECURE_FLASH_ENCRYPT_ONLY_IMAGE_LEN_IN_APP_PART")]
    pub only_image_length: bool,
    /// Strength of the pseudo rounds against power analysis, 1 to 3, on chips that have them.
    #[doc(alias = "CONFIG_SECURE_FLASH_PSEUDO_ROUND_FUNC")]
    pub pseudo_rounds: Option<u8>,
}

impl FlashEncryption {
    /// As menuconfig sets it up for a mode.
    #[must_use]
    pub const fn new(mode: FlashEncryptionMode, key: FlashKeyKind) -> Self {
        Self {
            mode,
            key,
            require_already_enabled: false,
            allow_download_encrypt: matches!(mode, FlashEncryptionMode::Development),
            allow_download_decrypt: false,
            allow_download_cache: false,
            skip_cache_protection: false,
            only_image_length: true,
            pseudo_rounds: Some(1),
        }
    }
}

/// How final flash encryption is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlashEncryptionMode {
    /// Plaintext can be flashed again: one bit of the count is burned.
    #[doc(alias = "CONFIG_SECURE_FLASH_ENCRYPTION_MODE_DEVELOPMENT")]
    Development,
    /// For ever: every bit of the count is burned.
    #[doc(alias = "CONFIG_SECURE_FLASH_ENCRYPTION_MODE_RELEASE")]
    Release,
}

/// What kind of flash key is generated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlashKeyKind {
    /// XTS-AES-128, one block.
    #[default]
    #[doc(alias = "CONFIG_SECURE_FLASH_ENCRYPTION_AES128")]
    Aes128,
    /// XTS-AES-128 derived from 16 bytes, half of the ESP32-C2's block.
    #[doc(alias = "CONFIG_SECURE_FLASH_ENCRYPTION_AES128_DERIVED")]
    Aes128Derived,
    /// XTS-AES-256, two blocks.
    #[doc(alias = "CONFIG_SECURE_FLASH_ENCRYPTION_AES256")]
    Aes256,
}

/// Download mode after the first boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DownloadPolicy {
    /// As it is.
    #[default]
    #[doc(alias = "CONFIG_SECURE_INSECURE_ALLOW_DL_MODE")]
    Open,
    /// Writes flash, reads nothing.
    #[doc(alias = "CONFIG_SECURE_ENABLE_SECURE_ROM_DL_MODE")]
    Secure,
    /// Gone.
    #[doc(alias = "CONFIG_SECURE_DISABLE_ROM_DL_MODE")]
    Disabled,
}

/// Where NVS keys come from. ESP-IDF does this in the application, in `nvs_flash_init`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NvsKeySource {
    /// NVS is not encrypted, or the application does it by itself.
    #[default]
    None,
    /// The `nvs_keys` partition, filled on the first start if it is erased.
    #[doc(alias = "CONFIG_NVS_SEC_KEY_PROTECT_USING_FLASH_ENC")]
    Partition,
    /// An eFuse key of purpose `HMAC_UP`, burned on the first start if it is not there.
    #[doc(alias = "CONFIG_NVS_SEC_KEY_PROTECT_USING_HMAC")]
    Hmac {
        /// Which key block, from 0.
        #[doc(alias = "CONFIG_NVS_SEC_HMAC_EFUSE_KEY_ID")]
        key: u8,
    },
}

impl SecondStage {
    /// The key purposes of a flash key that it would generate on this chip; empty where key blocks have no purposes.
    pub(crate) fn flash_key_purposes(kind: FlashKeyKind) -> &'static [KeyPurpose] {
        match kind {
            FlashKeyKind::Aes256 => &[KeyPurpose::XTS_AES_256_KEY_1, KeyPurpose::XTS_AES_256_KEY_2],
            FlashKeyKind::Aes128 | FlashKeyKind::Aes128Derived => &[KeyPurpose::XTS_AES_128_KEY],
        }
    }

    /// Whether menuconfig would have let this be built for the chip.
    ///
    /// # Errors
    /// [`SecondStageError`].
    pub fn check(&self, chip: Chip, revision: ChipRevision) -> Result<(), SecondStageError> {
        let map = EfuseMap::of_revision(chip, revision);
        match &self.secure_boot {
            SecureBoot::V1(_) if chip != Chip::Esp32 => return Err(SecondStageError::SecureBootV1 { chip }),
            SecureBoot::V2(_) => {
                let schemes = [Scheme::Rsa3072, Scheme::EcdsaP256, Scheme::EcdsaP384];
                let known = schemes.into_iter().filter(|scheme| support(chip, *scheme) != Support::No);
                let mut needed = known.map(|scheme| needs_revision(chip, scheme));
                if !needed.any(|needed| needed.is_none_or(|needed| revision.0 >= needed.0)) {
                    return Err(SecondStageError::SecureBootV2 { chip, revision });
                }
            }
            _ => {}
        }
        if let Some(encryption) = &self.flash_encryption {
            let has = |purpose| map.purpose(purpose).is_some();
            let known = match (chip, encryption.key) {
                (Chip::Esp32, kind) => kind == FlashKeyKind::Aes128,
                (Chip::Esp32C2, kind) => kind != FlashKeyKind::Aes256,
                // The key manager of the ESP32-C5 knows it, its eFuses do not.
                (Chip::Esp32C5, kind) => kind == FlashKeyKind::Aes128,
                (_, FlashKeyKind::Aes128Derived) => false,
                (_, kind) => Self::flash_key_purposes(kind).iter().all(|purpose| has(*purpose)),
            };
            if !known {
                return Err(SecondStageError::FlashKey { chip });
            }
            let is_derived = encryption.key == FlashKeyKind::Aes128Derived;
            if chip == Chip::Esp32C2 && matches!(self.secure_boot, SecureBoot::V2(_)) && !is_derived {
                return Err(SecondStageError::OneKeyBlock);
            }
        }
        match self.nvs_keys {
            NvsKeySource::Hmac { key } if !HmacKey::is_supported_by(chip) || map.key_block(key).is_none() => {
                Err(SecondStageError::Hmac { chip, key })
            }
            _ => Ok(()),
        }
    }
}

/// Why there is no such second stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecondStageError {
    /// Only the ESP32 has it.
    #[error("second stage: Secure Boot V1 is for the ESP32, not for {chip}")]
    SecureBootV1 {
        /// Which chip it is.
        chip: Chip,
    },
    /// Not this chip, or not yet.
    #[error("second stage: {chip} v{}.{} does not know Secure Boot V2", revision.0 / 100, revision.0 % 100)]
    SecureBootV2 {
        /// Which chip it is.
        chip: Chip,
        /// Of which revision.
        revision: ChipRevision,
    },
    /// No such key.
    #[error("second stage: {chip} has no flash key of that kind in its eFuses")]
    FlashKey {
        /// Which chip it is.
        chip: Chip,
    },
    /// Both must fit into the ESP32-C2's key block.
    #[error("second stage: with Secure Boot, only a derived flash key fits into the key block of the esp32c2")]
    OneKeyBlock,
    /// No HMAC peripheral, or no such key block.
    #[error("second stage: {chip} has no HMAC key {key}")]
    Hmac {
        /// Which chip it is.
        chip: Chip,
        /// The key block that was asked for.
        key: u8,
    },
}
