//! A plan: every bit and key that is burned, in stages, each with its meaning. It holds no key, only their names.
//!
//! As JSON it is what `cotter efuse plan` writes and other verbs read. Stages are burned one after the other, each as one
//! batch; within a batch the tool burns key blocks first and protections last, as espefuse does.

use super::policy::EfusePolicy;
use cotter_formats::chip::Chip;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The plan for one kind of chip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EfusePlan {
    /// `cotter-efuse-plan/1`.
    pub format: String,
    /// The chip, as esptool spells it.
    #[serde(serialize_with = "chip_name", deserialize_with = "chip_by_name")]
    pub chip: Chip,
    /// What the plan is meant to achieve.
    pub policy: EfusePolicy,
    /// What has to be at hand when it is burned.
    pub keys: Vec<KeyInput>,
    /// What is burned, in order.
    pub stages: Vec<Stage>,
    /// What the chip that the plan was made for has burned already.
    pub already: Vec<String>,
    /// What stays open afterwards, and who can use it.
    pub open: Vec<String>,
}

/// The only format there is.
pub(super) const FORMAT: &str = "cotter-efuse-plan/1";

/// A key that is burned; the plan knows its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyInput {
    /// `digest0`, `flash`, `nvs-hmac`, ...
    pub name: String,
    /// How many bytes its file has, before any reversing.
    pub bytes: usize,
    /// True if nobody may know it; false for digests of public keys.
    pub secret: bool,
    /// Each device has one of its own.
    pub per_device: bool,
}

/// One batch of burns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Which one.
    pub stage: StageName,
    /// What is done by hand: the flash content.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instructions: Vec<String>,
    /// What is burned.
    pub burns: Vec<Burn>,
}

/// The stages, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageName {
    /// Nothing acts on them yet.
    Keys,
    /// The flash content that these keys are for. Nothing is burned.
    Content,
    /// What nobody may do any more.
    Restrictions,
    /// From here on the chip acts on its keys.
    Enables,
    /// Write protections, and last of all the loader.
    Locks,
}

impl StageName {
    /// In one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Content => "content",
            Self::Restrictions => "restrictions",
            Self::Enables => "enables",
            Self::Locks => "locks",
        }
    }
}

/// One thing that is burned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "burn", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Burn {
    /// A key with its purpose and the write protection of the purpose.
    Key {
        /// The block, as Espressif names it.
        block: String,
        /// The purpose, as espefuse names it; on the ESP32 the other name of the block.
        purpose: String,
        /// Which [`KeyInput`].
        key: String,
        /// Which half of it, 1 or 2, if it takes two blocks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        half: Option<u8>,
        /// Hide it from software.
        read_protect: bool,
        /// Freeze the block.
        write_protect: bool,
        /// What it does, for ever.
        meaning: String,
    },
    /// Bits of a field.
    Field {
        /// Espressif's name.
        field: String,
        /// The bits that are set afterwards.
        value: u32,
        /// What it does, for ever.
        meaning: String,
        /// The fields that share its write protection: frozen together, at any time.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        shares: Vec<String>,
    },
    /// Hides a block that is burned already.
    ReadProtect {
        /// The block.
        block: String,
        /// What it does, for ever.
        meaning: String,
    },
    /// Freezes a field, and with it all that share its protection; or a block.
    WriteProtect {
        /// A field or a block.
        name: String,
        /// The bit of `WR_DIS`.
        bit: u8,
        /// What else it freezes.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        freezes: Vec<String>,
        /// What it does, for ever.
        meaning: String,
    },
}

impl Burn {
    /// What it is about: a field or a block.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Key { block, .. } | Self::ReadProtect { block, .. } => block,
            Self::Field { field, .. } => field,
            Self::WriteProtect { name, .. } => name,
        }
    }

    /// What it does, for ever.
    #[must_use]
    pub fn meaning(&self) -> &str {
        match self {
            Self::Key { meaning, .. }
            | Self::Field { meaning, .. }
            | Self::ReadProtect { meaning, .. }
            | Self::WriteProtect { meaning, .. } => meaning,
        }
    }

    /// What can never be undone.
    #[must_use]
    pub fn irreversible(&self) -> String {
        match self {
            Self::Key { read_protect, write_protect, .. } => {
                let fate = match (read_protect, write_protect) {
                    (true, true) => "can never be read again, nor changed",
                    (true, false) => "can never be read again",
                    (false, true) => "stays readable, and can never be changed",
                    (false, false) => "stays readable",
                };
                format!("the block is spent; the key {fate}")
            }
            Self::Field { .. } => "a burned bit stays burned".to_owned(),
            Self::ReadProtect { .. } => "nobody can read it again".to_owned(),
            Self::WriteProtect { freezes, .. } if freezes.is_empty() => "it stays as it is".to_owned(),
            Self::WriteProtect { freezes, .. } => format!("it stays as it is, and so do {}", freezes.join(", ")),
        }
    }
}

impl EfusePlan {
    /// Every burn with its stage, in order.
    pub fn burns(&self) -> impl Iterator<Item = (StageName, &Burn)> {
        self.stages.iter().flat_map(|stage| stage.burns.iter().map(|burn| (stage.stage, burn)))
    }

    /// Reads a plan.
    ///
    /// # Errors
    /// [`PlanFormatError`].
    pub fn from_json(text: &[u8]) -> Result<Self, PlanFormatError> {
        let plan: Self = serde_json::from_slice(text)?;
        if plan.format != FORMAT {
            return Err(PlanFormatError::Format { got: plan.format });
        }
        Ok(plan)
    }
}

/// Why a file is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanFormatError {
    /// Not JSON, or another shape.
    #[error("eFuse plan: {0}")]
    Json(#[from] serde_json::Error),
    /// Another version.
    #[error("eFuse plan: format {got:?}, expected {FORMAT:?}")]
    Format {
        /// What it says.
        got: String,
    },
}

fn chip_name<S: Serializer>(chip: &Chip, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(chip.name())
}

fn chip_by_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Chip, D::Error> {
    let name = String::deserialize(deserializer)?;
    Chip::from_name(&name).ok_or_else(|| serde::de::Error::custom(format_args!("unknown chip {name:?}")))
}
