//! `sdkconfig`, as menuconfig writes it: `CONFIG_NAME=y`, `CONFIG_NAME="text"`, `# CONFIG_NAME is not set`.

use super::{
    DownloadName, FlashEncryptionTable, KeyName, ModeName, NvsKeys, Scheme, SecondStageFile, SecondStageFileError,
    SecureBootTable,
};
use cotter_formats::chip::Chip;
use std::collections::HashMap;
use std::path::PathBuf;

/// What is set.
pub(super) struct SdkConfig<'a>(HashMap<&'a str, &'a str>);

impl<'a> SdkConfig<'a> {
    /// `None` if no line of the text is one of a `sdkconfig`. A later line counts, as in `sdkconfig.defaults`.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let set = text.lines().filter_map(|line| line.trim().strip_prefix("CONFIG_")?.split_once('='));
        let values: HashMap<_, _> = set.map(|(name, value)| (name.trim(), value.trim().trim_matches('"'))).collect();
        (!values.is_empty()).then_some(Self(values))
    }

    /// The settings that this chip's second stage and application look at.
    pub(super) fn second_stage(&self, chip: Chip) -> Result<SecondStageFile, SecondStageFileError> {
        if let Some(target) = self.text("IDF_TARGET")
            && Chip::from_name(target) != Some(chip)
        {
            return Err(SecondStageFileError::OtherTarget { target: target.to_owned(), chip });
        }
        let download_mode = if self.is_set("SECURE_DISABLE_ROM_DL_MODE") {
            Some(DownloadName::Disabled)
        } else if self.is_set("SECURE_ENABLE_SECURE_ROM_DL_MODE") {
            Some(DownloadName::Secure)
        } else {
            // A whole sdkconfig says so; sdkconfig.defaults says nothing, and menuconfig's default holds.
            self.is_set("SECURE_INSECURE_ALLOW_DL_MODE").then_some(DownloadName::Open)
        };
        Ok(SecondStageFile {
            partition_table_offset: self.number("PARTITION_TABLE_OFFSET")?,
            app_rollback: Some(self.is_set("BOOTLOADER_APP_ROLLBACK_ENABLE")),
            anti_rollback: Some(self.is_set("BOOTLOADER_APP_ANTI_ROLLBACK")),
            download_mode,
            allow_jtag: self.is_set("SECURE_BOOT_ALLOW_JTAG"),
            allow_rom_basic: self.is_set("SECURE_BOOT_ALLOW_ROM_BASIC"),
            allow_read_protection: self.is_set("SECURE_BOOT_V2_ALLOW_EFUSE_RD_DIS"),
            secure_boot: Some(self.secure_boot()),
            flash_encryption: self.flash_encryption()?,
            nvs_keys: self.nvs_keys()?,
        })
    }

    fn secure_boot(&self) -> SecureBootTable {
        let scheme = if self.is_set("SECURE_BOOT_V2_ENABLED") {
            Scheme::V2
        } else if self.is_set("SECURE_BOOT_V1_ENABLED") {
            Scheme::V1
        } else {
            Scheme::Off
        };
        SecureBootTable {
            scheme,
            verification_key: self.text("SECURE_BOOT_VERIFICATION_KEY").map(PathBuf::from),
            require_already_enabled: self.is_set("SECURE_BOOT_REQUIRE_ALREADY_ENABLED"),
            allow_unused_digests: self.is_set("SECURE_BOOT_ALLOW_UNUSED_DIGEST_SLOTS"),
            aggressive_revoke: self.is_set("SECURE_BOOT_ENABLE_AGGRESSIVE_KEY_REVOKE"),
        }
    }

    fn flash_encryption(&self) -> Result<Option<FlashEncryptionTable>, SecondStageFileError> {
        if !self.is_set("SECURE_FLASH_ENC_ENABLED") {
            return Ok(None);
        }
        let mode = match self.is_set("SECURE_FLASH_ENCRYPTION_MODE_RELEASE") {
            true => ModeName::Release,
            false => ModeName::Development,
        };
        let kinds = [
            ("SECURE_FLASH_ENCRYPTION_AES256", KeyName::Aes256),
            ("SECURE_FLASH_ENCRYPTION_AES128_DERIVED", KeyName::Aes128Derived),
            ("SECURE_FLASH_ENCRYPTION_AES128", KeyName::Aes128),
        ];
        let key = kinds.into_iter().find(|(name, _)| self.is_set(name)).map(|(_, kind)| kind);
        Ok(Some(FlashEncryptionTable {
            mode,
            key,
            require_already_enabled: self.is_set("SECURE_FLASH_REQUIRE_ALREADY_ENABLED"),
            allow_download_encrypt: self.is_set("SECURE_FLASH_UART_BOOTLOADER_ALLOW_ENC").then_some(true),
            allow_download_decrypt: self.is_set("SECURE_FLASH_UART_BOOTLOADER_ALLOW_DEC"),
            allow_download_cache: self.is_set("SECURE_FLASH_UART_BOOTLOADER_ALLOW_CACHE"),
            skip_cache_protection: self.is_set("SECURE_FLASH_SKIP_WRITE_PROTECTION_CACHE"),
            // Off before ESP-IDF 5.3, whose sdkconfig does not have it.
            whole_app_partitions: !self.is_set("SECURE_FLASH_ENCRYPT_ONLY_IMAGE_LEN_IN_APP_PART"),
            pseudo_rounds: self.number("SECURE_FLASH_PSEUDO_ROUND_FUNC_STRENGTH")?,
        }))
    }

    fn nvs_keys(&self) -> Result<Option<NvsKeys>, SecondStageFileError> {
        if !self.is_set("NVS_ENCRYPTION") {
            return Ok(None);
        }
        if !self.is_set("NVS_SEC_KEY_PROTECT_USING_HMAC") {
            return Ok(Some(NvsKeys::Partition));
        }
        // ESP-IDF refuses to build with a number that is out of range, which is its default.
        let key: Option<u8> = self.number("NVS_SEC_HMAC_EFUSE_KEY_ID")?;
        Ok(Some(NvsKeys::Hmac(key.unwrap_or(u8::MAX))))
    }

    fn is_set(&self, name: &str) -> bool {
        self.0.get(name) == Some(&"y")
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).copied().filter(|value| !value.is_empty())
    }

    fn number<N: TryFrom<u32>>(&self, name: &'static str) -> Result<Option<N>, SecondStageFileError> {
        let Some(value) = self.text(name) else { return Ok(None) };
        let number = match value.strip_prefix("0x") {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => value.parse(),
        };
        let number = number.ok().and_then(|number| N::try_from(number).ok());
        number.map(Some).ok_or_else(|| SecondStageFileError::Number { name, value: value.to_owned() })
    }
}
