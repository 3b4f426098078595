//! What a product wants of its eFuses, and whether the chip can do it.

use cotter_formats::chip::Chip;
use cotter_formats::efuse::{EfuseMap, Family, KeyPurpose};
use cotter_formats::secure_boot::v2::{Scheme, Support, blocks_of, support};
use serde::{Deserialize, Serialize};

/// Where the chip goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum ProductProfile {
    Development,
    #[default]
    Release,
}

/// Secure Boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum SecureBootMode {
    Off,
    /// ESP32 only, with a symmetric key.
    V1,
    V2,
}

/// How images are signed. Only SHA-384 leaves a trace in the eFuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum SigningScheme {
    Rsa3072,
    Ecdsa256,
    Ecdsa384,
}

/// Flash encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum FlashEncryptionMode {
    Off,
    /// On, but it can be turned off again.
    Development,
    Release,
}

/// Where the NVS keys come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NvsMode {
    /// NVS is not encrypted.
    Off,
    /// A partition that flash encryption protects: nothing to burn.
    Flash,
    /// Derived from an HMAC key in eFuse.
    Hmac,
}

/// The debug port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JtagMode {
    /// As it is.
    Open,
    /// Closed for good.
    Disabled,
    /// Closed, but the holder of an HMAC key can open it.
    Soft,
}

/// The serial loader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DownloadMode {
    /// As it is.
    Open,
    /// Flash writes and the security report only.
    Secure,
    /// Gone.
    Disabled,
}

/// A curve of the ECDSA peripheral.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Curve {
    P192,
    P256,
    P384,
}

/// What is asked for, as a file or a command line says it; the rest follows from the profile and the chip.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[allow(missing_docs, reason = "see EfusePolicy")]
pub struct Wishes {
    pub chip: Option<String>,
    pub profile: Option<ProductProfile>,
    pub secure_boot: Option<SecureBootMode>,
    pub digests: Option<u8>,
    pub scheme: Option<SigningScheme>,
    pub flash_encryption: Option<FlashEncryptionMode>,
    pub key_size: Option<u16>,
    pub nvs: Option<NvsMode>,
    pub ds: Option<u8>,
    pub ds_readable: Option<bool>,
    pub ecdsa: Option<Vec<Curve>>,
    pub jtag: Option<JtagMode>,
    pub download: Option<DownloadMode>,
    pub anti_rollback: Option<u8>,
    pub aggressive_revoke: Option<bool>,
}

impl Wishes {
    /// These, and where they say nothing, those.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            chip: self.chip.or(other.chip),
            profile: self.profile.or(other.profile),
            secure_boot: self.secure_boot.or(other.secure_boot),
            digests: self.digests.or(other.digests),
            scheme: self.scheme.or(other.scheme),
            flash_encryption: self.flash_encryption.or(other.flash_encryption),
            key_size: self.key_size.or(other.key_size),
            nvs: self.nvs.or(other.nvs),
            ds: self.ds.or(other.ds),
            ds_readable: self.ds_readable.or(other.ds_readable),
            ecdsa: self.ecdsa.or(other.ecdsa),
            jtag: self.jtag.or(other.jtag),
            download: self.download.or(other.download),
            anti_rollback: self.anti_rollback.or(other.anti_rollback),
            aggressive_revoke: self.aggressive_revoke.or(other.aggressive_revoke),
        }
    }
}

/// A product's choices, complete, and possible on its chip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EfusePolicy {
    /// Where the chip goes.
    pub profile: ProductProfile,
    /// Secure Boot.
    pub secure_boot: SecureBootMode,
    /// How many keys the ROM trusts.
    pub digests: u8,
    /// How images are signed.
    pub scheme: SigningScheme,
    /// Flash encryption.
    pub flash_encryption: FlashEncryptionMode,
    /// 128 or 256: XTS-AES-128 or -256. The ESP32 always has AES-256.
    pub key_size: u16,
    /// NVS encryption.
    pub nvs: NvsMode,
    /// HMAC keys for the Digital Signature peripheral.
    pub ds: u8,
    /// Software may read those keys, as Espressif's tools leave them on a developer's board.
    #[serde(default)]
    pub ds_readable: bool,
    /// Keys for the ECDSA peripheral.
    pub ecdsa: Vec<Curve>,
    /// The debug port.
    pub jtag: JtagMode,
    /// The serial loader.
    pub download: DownloadMode,
    /// The lowest `secure_version` that boots; a count of bits.
    pub anti_rollback: u8,
    /// The ROM revokes a key whose signature fails.
    pub aggressive_revoke: bool,
}

impl EfusePolicy {
    /// As [`Self::of_map`], for the first revision of a chip.
    ///
    /// # Errors
    /// [`PolicyError`] by name.
    pub fn of(chip: Chip, wishes: &Wishes) -> Result<Self, PolicyError> {
        Self::of_map(&EfuseMap::of(chip), wishes)
    }

    /// Completes what was asked for, and refuses what a chip of the map's revision cannot do.
    ///
    /// # Errors
    /// [`PolicyError`] by name.
    pub fn of_map(map: &EfuseMap, wishes: &Wishes) -> Result<Self, PolicyError> {
        let chip = map.chip;
        let profile = wishes.profile.unwrap_or_default();
        let release = profile == ProductProfile::Release;
        let first_scheme = [SigningScheme::Rsa3072, SigningScheme::Ecdsa256, SigningScheme::Ecdsa384]
            .into_iter()
            .find(|scheme| support(chip, scheme.verified()) != Support::No);
        let download = if chip == Chip::Esp32 { DownloadMode::Disabled } else { DownloadMode::Secure };
        let secure_boot = wishes.secure_boot.unwrap_or(pick(release, SecureBootMode::V2, SecureBootMode::Off));
        let closed = if secure_boot == SecureBootMode::V1 { DownloadMode::Open } else { download };
        let policy = Self {
            profile,
            secure_boot,
            digests: wishes.digests.unwrap_or(1),
            scheme: wishes.scheme.or(first_scheme).unwrap_or(SigningScheme::Rsa3072),
            flash_encryption: wishes.flash_encryption.unwrap_or(pick(
                release,
                FlashEncryptionMode::Release,
                FlashEncryptionMode::Development,
            )),
            key_size: wishes.key_size.unwrap_or(if chip == Chip::Esp32 { 256 } else { 128 }),
            nvs: wishes.nvs.unwrap_or(NvsMode::Off),
            ds: wishes.ds.unwrap_or(0),
            ds_readable: wishes.ds_readable.unwrap_or(false),
            ecdsa: wishes.ecdsa.clone().unwrap_or_default(),
            jtag: wishes.jtag.unwrap_or(pick(release, JtagMode::Disabled, JtagMode::Open)),
            download: wishes.download.unwrap_or(pick(release, closed, DownloadMode::Open)),
            anti_rollback: wishes.anti_rollback.unwrap_or(0),
            aggressive_revoke: wishes.aggressive_revoke.unwrap_or(false),
        };
        policy.check(chip, map)?;
        Ok(policy)
    }

    fn check(&self, chip: Chip, map: &EfuseMap) -> Result<(), PolicyError> {
        let cannot = |what: &'static str| Err(PolicyError::Unsupported { chip, what });
        match self.secure_boot {
            SecureBootMode::Off => {}
            SecureBootMode::V1 if chip != Chip::Esp32 => return cannot("Secure Boot V1 (ESP32 only)"),
            SecureBootMode::V1 => {}
            SecureBootMode::V2 if support(chip, self.scheme.verified()) == Support::No => {
                return cannot(match self.scheme {
                    SigningScheme::Rsa3072 => "Secure Boot V2 with RSA-3072",
                    SigningScheme::Ecdsa256 => "Secure Boot V2 with ECDSA P-256",
                    SigningScheme::Ecdsa384 => "Secure Boot V2 with ECDSA P-384",
                });
            }
            SecureBootMode::V2 => {}
        }
        let most = u8::try_from(blocks_of(chip)).unwrap_or(1);
        if self.secure_boot == SecureBootMode::V2 && !(1..=most).contains(&self.digests) {
            return Err(PolicyError::Digests { chip, asked: self.digests, most });
        }
        self.check_keys(chip, map)?;
        if self.download == DownloadMode::Secure && map.field("ENABLE_SECURITY_DOWNLOAD").is_none() {
            return cannot("a secure download mode");
        }
        if self.jtag == JtagMode::Soft
            && (map.field("SOFT_DIS_JTAG").is_none() || map.purpose(KeyPurpose::HMAC_DOWN_JTAG).is_none())
        {
            return cannot("a soft lock of JTAG");
        }
        if self.aggressive_revoke && map.field("SECURE_BOOT_AGGRESSIVE_REVOKE").is_none() {
            return cannot("revoking a key whose signature fails");
        }
        let versions = map.field("SECURE_VERSION").map_or(0, |field| field.len);
        if u16::from(self.anti_rollback) > versions {
            return Err(PolicyError::Version { chip, asked: self.anti_rollback, most: versions });
        }
        Ok(())
    }

    fn check_keys(&self, chip: Chip, map: &EfuseMap) -> Result<(), PolicyError> {
        let cannot = |what: &'static str| Err(PolicyError::Unsupported { chip, what });
        let encrypted = self.flash_encryption != FlashEncryptionMode::Off;
        match (self.key_size, map.family) {
            (256, Family::Esp32) | (128, Family::Esp32C2 | Family::Many) => {}
            (128, Family::Esp32) => return cannot("flash encryption with a key of 128 bits"),
            (256, _) if map.purpose_named("XTS_AES_256_KEY").is_some() => {}
            (256, _) => return cannot("XTS-AES-256 with a key in eFuse"),
            (other, _) => return Err(PolicyError::KeySize { asked: other }),
        }
        if self.nvs == NvsMode::Flash && !encrypted {
            return Err(PolicyError::NvsNeedsFlashEncryption);
        }
        if self.nvs == NvsMode::Hmac && map.purpose(KeyPurpose::HMAC_UP).is_none() {
            return cannot("NVS encryption by HMAC (it has no HMAC peripheral)");
        }
        // soc_caps.h: the H4 has the purpose but no peripheral.
        let signs = map.purpose(KeyPurpose::HMAC_DOWN_DIGITAL_SIGNATURE).is_some() && chip != Chip::Esp32H4;
        if self.ds > 0 && !signs {
            return cannot("the Digital Signature peripheral");
        }
        if self.ds_readable && self.profile == ProductProfile::Release {
            return Err(PolicyError::ReadableDs);
        }
        for curve in &self.ecdsa {
            if curve.purpose(map).is_none() {
                return cannot(match curve {
                    Curve::P192 => "an ECDSA key on P-192",
                    Curve::P256 => "an ECDSA key on P-256",
                    Curve::P384 => "an ECDSA key on P-384",
                });
            }
        }
        Ok(())
    }
}

impl SigningScheme {
    pub(super) const fn verified(self) -> Scheme {
        match self {
            Self::Rsa3072 => Scheme::Rsa3072,
            Self::Ecdsa256 => Scheme::EcdsaP256,
            Self::Ecdsa384 => Scheme::EcdsaP384,
        }
    }
}

impl Curve {
    /// The purpose as the chip names it, for P-384 that of the first block; `None` if the chip has none.
    pub(super) fn purpose(self, map: &EfuseMap) -> Option<&'static str> {
        let names: &[&'static str] = match self {
            Self::P192 => &["ECDSA_KEY_P192"],
            Self::P256 => &["ECDSA_KEY_P256", "ECDSA_KEY"],
            Self::P384 => &["ECDSA_KEY_P384_H"],
        };
        let fits = self == Self::P256 || has_wide(map);
        names.iter().copied().find(|name| fits && map.purpose_named(name).is_some())
    }
}

/// One value for products, another for desks.
fn pick<T>(release: bool, product: T, desk: T) -> T {
    if release { product } else { desk }
}

/// True if purposes above 15 fit: not on the ESP32-P4 before v3.0.
fn has_wide(map: &EfuseMap) -> bool {
    !map.key_purposes_high.is_empty() || map.key_purposes.first().is_some_and(|field| field.len > 4)
}

/// Why a chip cannot do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// It lacks the feature.
    #[error("the {chip} does not support {what}")]
    Unsupported {
        /// Which chip.
        chip: Chip,
        /// What it cannot do.
        what: &'static str,
    },
    /// It has fewer slots, or none was asked for.
    #[error("Secure Boot V2 on the {chip} takes 1 to {most} digests, not {asked}")]
    Digests {
        /// Which chip.
        chip: Chip,
        /// What was asked for.
        asked: u8,
        /// What it has.
        most: u8,
    },
    /// There are two sizes.
    #[error("a flash key of {asked} bits: there are 128 and 256")]
    KeySize {
        /// What was asked for.
        asked: u16,
    },
    /// The counter is shorter.
    #[error("version {asked}: SECURE_VERSION of the {chip} counts to {most}")]
    Version {
        /// Which chip.
        chip: Chip,
        /// What was asked for.
        asked: u8,
        /// How many bits it has.
        most: u16,
    },
    /// Whoever reads the key opens the box with the private key.
    #[error("a readable Digital Signature key is for the development profile only")]
    ReadableDs,
    /// Keys in a partition that nothing protects.
    #[error("NVS keys protected by flash encryption need flash encryption")]
    NvsNeedsFlashEncryption,
}
