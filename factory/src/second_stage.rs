//! What a product's second stage was compiled with, from a file: a short one of ours, or the project's own `sdkconfig`.
//!
//! ```toml
//! partition-table-offset = 0x8000
//! download-mode = "secure"                 # open, secure, disabled
//! nvs-keys = { hmac = 3 }                  # or "partition"
//!
//! [secure-boot]
//! scheme = "v2"                            # v1 with verification-key = "key.pem", v2, off, as-burned
//!
//! [flash-encryption]
//! mode = "release"                         # or development
//! key = "aes-128"                          # aes-256, aes-128-derived
//! ```
//!
//! What is left out is as menuconfig has it by default. Paths count from the folder of the file.

mod sdkconfig;

use crate::public_key::{PublicKey, PublicKeyError};
use cotter_chip::second_stage::{
    DownloadPolicy, FlashEncryption, FlashEncryptionMode, FlashKeyKind, NvsKeySource, SecondStage, SecureBoot,
    SecureBootV1, SecureBootV2,
};
use cotter_formats::addr::FlashAddr;
use cotter_formats::chip::Chip;
use cotter_formats::partition::DEFAULT_OFFSET;
use cotter_formats::secure_boot::v1::VerifyingKey;
use sdkconfig::SdkConfig;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The file, as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SecondStageFile {
    /// By default 0x8000; in the policy of a rehearsal, where the policy has it.
    pub partition_table_offset: Option<u32>,
    /// On unless it is switched off.
    pub app_rollback: Option<bool>,
    /// On unless it is switched off.
    pub anti_rollback: Option<bool>,
    /// By default secure, where the chip has it, something is switched on, and not for development.
    pub download_mode: Option<DownloadName>,
    /// JTAG stays as it is.
    pub allow_jtag: bool,
    /// BASIC in the ESP32's ROM stays as it is.
    pub allow_rom_basic: bool,
    /// `RD_DIS` stays writable.
    pub allow_read_protection: bool,
    /// By default V2 if the eFuses say so.
    pub secure_boot: Option<SecureBootTable>,
    /// By default nothing is encrypted.
    pub flash_encryption: Option<FlashEncryptionTable>,
    /// By default NVS is not encrypted.
    pub nvs_keys: Option<NvsKeys>,
}

/// Secure Boot.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SecureBootTable {
    /// Which.
    pub scheme: Scheme,
    /// V1: PEM, or the 64 bytes that ESP-IDF compiles in.
    pub verification_key: Option<PathBuf>,
    /// Refuses to boot unless it is on already.
    #[serde(default)]
    pub require_already_enabled: bool,
    /// Digests that are not used stay open.
    #[serde(default)]
    pub allow_unused_digests: bool,
    /// A bad signature costs its key.
    #[serde(default)]
    pub aggressive_revoke: bool,
}

/// Which Secure Boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Scheme {
    AsBurned,
    Off,
    V1,
    V2,
}

/// Flash encryption.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FlashEncryptionTable {
    /// How final.
    pub mode: ModeName,
    /// By default the one kind that fits.
    pub key: Option<KeyName>,
    /// Refuses to boot unless it is on already.
    #[serde(default)]
    pub require_already_enabled: bool,
    /// By default in development only.
    pub allow_download_encrypt: Option<bool>,
    /// ESP32.
    #[serde(default)]
    pub allow_download_decrypt: bool,
    /// Download mode reads through the cache.
    #[serde(default)]
    pub allow_download_cache: bool,
    /// The cache can be switched off for ever.
    #[serde(default)]
    pub skip_cache_protection: bool,
    /// By default only the image of an application is encrypted.
    #[serde(default)]
    pub whole_app_partitions: bool,
    /// 1 to 3, 0 for none; 1 by default.
    pub pseudo_rounds: Option<u8>,
}

/// Where NVS keys come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NvsKeys {
    /// The `nvs_keys` partition.
    Partition,
    /// An eFuse key, by the number of its block.
    Hmac(u8),
}

/// Download mode after the first boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum DownloadName {
    Open,
    Secure,
    Disabled,
}

/// How final flash encryption is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum ModeName {
    Development,
    Release,
}

/// Which flash key is generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[allow(missing_docs)]
pub enum KeyName {
    #[serde(rename = "aes-128")]
    Aes128,
    #[serde(rename = "aes-128-derived")]
    Aes128Derived,
    #[serde(rename = "aes-256")]
    Aes256,
}

impl SecondStageFile {
    /// Reads a file of ours, or an `sdkconfig`, for a chip.
    ///
    /// # Errors
    /// [`SecondStageFileError`].
    pub fn load(path: &Path, chip: Chip) -> Result<SecondStage, SecondStageFileError> {
        let io = |source| SecondStageFileError::Io { path: path.into(), source };
        let text = fs::read_to_string(path).map_err(io)?;
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        let file = match SdkConfig::parse(&text) {
            Some(config) => config.second_stage(chip)?,
            None => toml::from_str(&text)?,
        };
        file.resolve(chip, folder)
    }

    /// What the second stage of this chip is then. `folder`: from which paths count.
    ///
    /// # Errors
    /// [`SecondStageFileError`] about the verification key of Secure Boot V1.
    pub fn resolve(&self, chip: Chip, folder: &Path) -> Result<SecondStage, SecondStageFileError> {
        let secure_boot = match &self.secure_boot {
            None => SecureBoot::AsBurned,
            Some(table) => table.resolve(folder)?,
        };
        let has_v2 = matches!(secure_boot, SecureBoot::V2(_));
        let flash_encryption = self.flash_encryption.as_ref().map(|table| table.resolve(chip, has_v2));
        let is_development =
            flash_encryption.is_some_and(|encryption| encryption.mode == FlashEncryptionMode::Development);
        let is_secure = (has_v2 || flash_encryption.is_some()) && !is_development && chip != Chip::Esp32;
        let download_mode = match self.download_mode {
            Some(DownloadName::Open) => DownloadPolicy::Open,
            Some(DownloadName::Secure) => DownloadPolicy::Secure,
            Some(DownloadName::Disabled) => DownloadPolicy::Disabled,
            None if is_secure => DownloadPolicy::Secure,
            None => DownloadPolicy::Open,
        };
        Ok(SecondStage {
            partition_table: self.partition_table_offset.map_or(DEFAULT_OFFSET, FlashAddr),
            app_rollback: self.app_rollback.unwrap_or(true),
            anti_rollback: self.anti_rollback.unwrap_or(true),
            secure_boot,
            flash_encryption,
            download_mode,
            allow_jtag: self.allow_jtag,
            allow_rom_basic: self.allow_rom_basic,
            allow_read_protection: self.allow_read_protection,
            nvs_keys: match self.nvs_keys {
                None => NvsKeySource::None,
                Some(NvsKeys::Partition) => NvsKeySource::Partition,
                Some(NvsKeys::Hmac(key)) => NvsKeySource::Hmac { key },
            },
        })
    }
}

impl SecureBootTable {
    fn resolve(&self, folder: &Path) -> Result<SecureBoot, SecondStageFileError> {
        Ok(match (self.scheme, &self.verification_key) {
            (Scheme::AsBurned, _) => SecureBoot::AsBurned,
            (Scheme::Off, _) => SecureBoot::Off,
            (Scheme::V1, Some(path)) => {
                SecureBoot::V1(SecureBootV1 { verification_key: verification_key(&folder.join(path))? })
            }
            (Scheme::V1, None) => return Err(SecondStageFileError::NoVerificationKey),
            (Scheme::V2, _) => SecureBoot::V2(SecureBootV2 {
                require_already_enabled: self.require_already_enabled,
                allow_unused_digests: self.allow_unused_digests,
                aggressive_revoke: self.aggressive_revoke,
            }),
        })
    }
}

impl FlashEncryptionTable {
    fn resolve(&self, chip: Chip, has_v2: bool) -> FlashEncryption {
        let mode = match self.mode {
            ModeName::Development => FlashEncryptionMode::Development,
            ModeName::Release => FlashEncryptionMode::Release,
        };
        let key = match self.key {
            Some(KeyName::Aes128) => FlashKeyKind::Aes128,
            Some(KeyName::Aes128Derived) => FlashKeyKind::Aes128Derived,
            Some(KeyName::Aes256) => FlashKeyKind::Aes256,
            // Beside a digest there is room for no other.
            None if chip == Chip::Esp32C2 && has_v2 => FlashKeyKind::Aes128Derived,
            None => FlashKeyKind::Aes128,
        };
        let usual = FlashEncryption::new(mode, key);
        FlashEncryption {
            require_already_enabled: self.require_already_enabled,
            allow_download_encrypt: self.allow_download_encrypt.unwrap_or(usual.allow_download_encrypt),
            allow_download_decrypt: self.allow_download_decrypt,
            allow_download_cache: self.allow_download_cache,
            skip_cache_protection: self.skip_cache_protection,
            only_image_length: !self.whole_app_partitions,
            pseudo_rounds: self
                .pseudo_rounds
                .map_or(usual.pseudo_rounds, |level| Some(level).filter(|level| *level > 0)),
            ..usual
        }
    }
}

/// PEM, or the 64 bytes that ESP-IDF compiles in.
fn verification_key(path: &Path) -> Result<VerifyingKey, SecondStageFileError> {
    let bytes = fs::read(path).map_err(|source| SecondStageFileError::Io { path: path.into(), source })?;
    let wrong = |source| SecondStageFileError::VerificationKey { path: path.into(), source };
    match <&[u8; 64]>::try_from(&bytes[..]) {
        Ok(raw) => VerifyingKey::from_raw(raw).map_err(|_| wrong(PublicKeyError::NotPem)),
        Err(_) => PublicKey::from_pem(&bytes).and_then(|key| key.secure_boot_v1()).map_err(wrong),
    }
}

/// Why a file does not describe a second stage.
#[derive(Debug, thiserror::Error)]
pub enum SecondStageFileError {
    /// The file system.
    #[error("{}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not what such a file looks like.
    #[error("second stage")]
    Toml(#[from] toml::de::Error),
    /// The project is for something else.
    #[error("sdkconfig: the project is for {target}, not for {chip}")]
    OtherTarget {
        /// `CONFIG_IDF_TARGET`.
        target: String,
        /// The chip that was asked for.
        chip: Chip,
    },
    /// Something other than a number where one must be.
    #[error("sdkconfig: {name} is {value}, which is no number that fits")]
    Number {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// Secure Boot V1 needs one.
    #[error("second stage: Secure Boot V1 needs a verification key")]
    NoVerificationKey,
    /// Not one.
    #[error("{}: no key that verifies Secure Boot V1", path.display())]
    VerificationKey {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: PublicKeyError,
    },
}

#[cfg(test)]
mod tests;
