//! The birth of a device as a list of steps, each with its meaning, before anything is irreversible.
//!
//! The order is the one that cannot lock itself out: keys, then flash content, then restrictions, then the bits that
//! switch protection on, then the locks. Within one burn, [`BurnSet`] keeps that order by itself.

use crate::layout::Piece;
use crate::policy::{Download, FlashEncryption, Jtag, Policy};
use cotter_chip::efuse::{BurnError, BurnSet, KeyProtection};
use cotter_formats::chip::Chip;
use cotter_formats::efuse::{EfuseBlock, EfuseMap, KeyPurpose};
use cotter_formats::secret::Secret;

/// Key block that holds the Secure Boot digest.
pub const DIGEST_BLOCK: EfuseBlock = EfuseBlock(4);
/// Key block that holds the flash-encryption key.
pub const FLASH_KEY_BLOCK: EfuseBlock = EfuseBlock(5);

/// Steps for one device. It carries the device's keys: it is neither cloned nor printed whole.
#[derive(Debug)]
pub struct Plan {
    policy: Policy,
    steps: Vec<Step>,
}

/// One step.
#[derive(Debug)]
pub enum Step {
    /// Burns eFuses; never undone.
    Burn {
        /// What this burn is for.
        title: &'static str,
        /// Each bit or key with its meaning.
        items: Vec<Item>,
        /// The bits themselves.
        set: Box<BurnSet>,
    },
    /// Writes flash; can be repeated.
    Write(Piece),
}

/// One burned field or key, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// eFuse field or block, as Espressif names it.
    pub name: &'static str,
    /// The value, or what kind of key.
    pub value: String,
    /// What it does, for ever.
    pub meaning: &'static str,
}

/// What is burned as keys.
pub struct Keys<'a> {
    /// SHA-256 of the Secure Boot public key.
    pub secure_boot_digest: [u8; 32],
    /// The flash-encryption key, in file order.
    pub flash_encryption: &'a Secret<32>,
}

impl Plan {
    /// Turns a policy, keys and flash content into steps.
    ///
    /// # Errors
    /// [`PlanError`] for a chip that cannot be rehearsed, or a burn that the chip's map refuses.
    pub fn new(policy: &Policy, keys: &Keys<'_>, pieces: Vec<Piece>) -> Result<Self, PlanError> {
        if policy.chip != Chip::Esp32C3 {
            return Err(PlanError::NotRehearsed(policy.chip));
        }
        let mut steps = Vec::new();
        steps.extend(burn_keys(policy, keys)?);
        steps.extend(pieces.into_iter().map(Step::Write));
        steps.extend(burn_settings(policy)?);
        Ok(Self { policy: *policy, steps })
    }

    /// The chip that the plan is for.
    #[must_use]
    pub const fn chip(&self) -> Chip {
        self.policy.chip
    }

    /// What the plan is meant to achieve.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The steps, in order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Every eFuse that will be burned, in order.
    pub fn burns(&self) -> impl Iterator<Item = &Item> {
        self.steps.iter().flat_map(|step| match step {
            Step::Burn { items, .. } => items.as_slice(),
            Step::Write(_) => &[],
        })
    }
}

impl Step {
    /// What the step is, in a few words.
    #[must_use]
    pub const fn title(&self) -> &'static str {
        match self {
            Self::Burn { title, .. } => title,
            Self::Write(piece) => piece.what,
        }
    }
}

fn burn_keys(policy: &Policy, keys: &Keys<'_>) -> Result<Option<Step>, PlanError> {
    let mut set = BurnSet::new(policy.chip);
    let mut items = Vec::new();
    if policy.secure_boot {
        let purpose = KeyPurpose::SECURE_BOOT_DIGEST0;
        let digest = Secret::filled_by(|secret| secret.copy_from_slice(&keys.secure_boot_digest));
        set.key(DIGEST_BLOCK, purpose, &digest, KeyProtection::of(purpose))?;
        items.push(Item {
            name: "BLOCK_KEY0",
            value: format!("SECURE_BOOT_DIGEST0 {}", hex(&keys.secure_boot_digest[..4])),
            meaning: "the key whose signature the ROM accepts; stays readable, cannot be changed",
        });
    }
    if policy.flash_encryption != FlashEncryption::Off {
        let purpose = KeyPurpose::XTS_AES_128_KEY;
        set.key(FLASH_KEY_BLOCK, purpose, keys.flash_encryption, KeyProtection::of(purpose))?;
        items.push(Item {
            name: "BLOCK_KEY1",
            value: "XTS_AES_128_KEY (hidden)".to_owned(),
            meaning: "the key of the flash content; software can never read it again",
        });
    }
    Ok((!items.is_empty()).then_some(Step::Burn { title: "keys", items, set: Box::new(set) }))
}

/// A setting with the policy that asks for it.
struct Setting {
    wanted: bool,
    field: &'static str,
    value: u32,
    freeze: bool,
    meaning: &'static str,
}

fn burn_settings(policy: &Policy) -> Result<Option<Step>, PlanError> {
    let map = EfuseMap::of(policy.chip);
    let mut set = BurnSet::new(policy.chip);
    let mut items = Vec::new();
    for setting in settings(policy).into_iter().filter(|setting| setting.wanted) {
        let field = map.field(setting.field).ok_or(PlanError::NoField(setting.field))?;
        if setting.value != 0 {
            set.field(field, setting.value)?;
        }
        if setting.freeze {
            set.write_protect(field)?;
        }
        let value = match (setting.value, setting.freeze) {
            (0, _) => "frozen".to_owned(),
            (value, true) => format!("{value} (frozen)"),
            (value, false) => value.to_string(),
        };
        items.push(Item { name: field.name, value, meaning: setting.meaning });
    }
    Ok((!items.is_empty()).then_some(Step::Burn { title: "settings and locks", items, set: Box::new(set) }))
}

/// Source: ESP-IDF v5.5 `flash_encrypt.c` and `secure_boot.c`, the release-mode lists.
fn settings(policy: &Policy) -> Vec<Setting> {
    let release = policy.flash_encryption == FlashEncryption::Release;
    let no_jtag = policy.jtag == Jtag::Disabled;
    let set = |wanted, field, value, freeze, meaning| Setting { wanted, field, value, freeze, meaning };
    vec![
        set(policy.secure_boot, "SECURE_BOOT_KEY_REVOKE1", 1, true, "unused digest slot: nobody can add a key there"),
        set(policy.secure_boot, "SECURE_BOOT_KEY_REVOKE2", 1, true, "unused digest slot: nobody can add a key there"),
        set(no_jtag, "DIS_PAD_JTAG", 1, false, "no JTAG on the pads"),
        set(no_jtag, "DIS_USB_JTAG", 1, false, "no JTAG over USB"),
        set(release, "DIS_DOWNLOAD_ICACHE", 1, false, "the loader cannot read flash through the cache"),
        set(release, "DIS_DOWNLOAD_MANUAL_ENCRYPT", 1, false, "the loader cannot encrypt for anyone"),
        set(release || policy.secure_boot, "DIS_DIRECT_BOOT", 1, false, "no boot around the second stage"),
        set(release, "DIS_ICACHE", 0, true, "the cache cannot be turned off; freezes the fields that share the bit"),
        set(release, "SPI_BOOT_CRYPT_CNT", 0b111, true, "flash encryption on, for good"),
        set(
            policy.flash_encryption == FlashEncryption::Development,
            "SPI_BOOT_CRYPT_CNT",
            0b001,
            false,
            "flash encryption on; can be turned off once more",
        ),
        set(policy.secure_boot, "SECURE_BOOT_EN", 1, true, "the ROM boots signed images only"),
        set(policy.secure_boot, "RD_DIS", 0, true, "nobody can hide the digest and brick the chip"),
        set(
            policy.download == Download::Secure,
            "ENABLE_SECURITY_DOWNLOAD",
            1,
            false,
            "the serial loader writes flash and reports, nothing else",
        ),
        set(policy.download == Download::Disabled, "DIS_DOWNLOAD_MODE", 1, false, "no serial loader at all"),
    ]
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A chip on whose virtual twin nothing can be rehearsed.
    #[error("no plan for {0}: the rehearsal knows the esp32c3 only")]
    NotRehearsed(Chip),
    /// The chip has no such field.
    #[error("this chip has no eFuse {0}")]
    NoField(&'static str),
    /// The burn would be wrong.
    #[error(transparent)]
    Burn(#[from] BurnError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(policy: &Policy) -> Plan {
        let key = Secret::filled_by(|key| key.fill(9));
        Plan::new(policy, &Keys { secure_boot_digest: [1; 32], flash_encryption: &key }, Vec::new()).unwrap()
    }

    #[test]
    fn release_leaves_room_for_secure_version() {
        // WR_DIS bit 18 would freeze SECURE_VERSION with the download fields: anti-rollback would be dead.
        let plan = plan(&Policy::release(Chip::Esp32C3));
        assert!(plan.burns().all(|item| !(item.name == "ENABLE_SECURITY_DOWNLOAD" && item.value.contains("frozen"))));
        assert!(plan.burns().any(|item| item.name == "SECURE_BOOT_EN"));
    }

    #[test]
    fn nothing_is_burned_when_nothing_is_asked_for() {
        let policy = Policy {
            chip: Chip::Esp32C3,
            secure_boot: false,
            flash_encryption: FlashEncryption::Off,
            jtag: Jtag::Open,
            download: Download::Open,
        };
        assert_eq!(plan(&policy).steps().len(), 0);
    }

    #[test]
    fn keys_come_before_settings() {
        let plan = plan(&Policy::release(Chip::Esp32C3));
        let titles: Vec<_> = plan.steps().iter().map(Step::title).collect();
        assert_eq!(titles, ["keys", "settings and locks"]);
    }
}
