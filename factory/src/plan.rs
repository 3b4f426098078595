//! The birth of a device as a list of steps, each with its meaning, before anything is irreversible.
//!
//! It is an [`EfusePlan`] with the keys and the flash content filled in: keys, then flash content, then restrictions,
//! then the bits that switch protection on, then the locks. Within one burn, [`BurnSet`] keeps that order by itself.

mod keys;

use crate::efuse::{Burn, EfusePlan, EfusePolicy, PolicyError, Refusal, StageName, Wishes, build};
use crate::layout::Piece;
use cotter_chip::efuse::session::{KeyOptions, Session, SessionError};
use cotter_chip::efuse::{BurnError, BurnSet};
use cotter_formats::chip::Chip;
use cotter_formats::efuse::EfuseImage;

pub use keys::{KeyFiles, KeyRefusal};

/// Steps for one device. It carries the device's keys: it is neither cloned nor printed whole.
#[derive(Debug)]
pub struct Plan {
    efuses: EfusePlan,
    steps: Vec<Step>,
}

/// One step.
#[derive(Debug)]
pub enum Step {
    /// Burns eFuses; never undone.
    Burn {
        /// What this burn is for: the stage of the eFuse plan.
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
    pub name: String,
    /// The value, or what kind of key.
    pub value: String,
    /// What it does, for ever.
    pub meaning: String,
}

impl Plan {
    /// Fills keys and flash content into the plan of the eFuses. `image`: the chip that the plan was made for.
    ///
    /// # Errors
    /// [`PlanError`] if a key is missing or of the wrong length, or the chip's map refuses a burn.
    pub fn new(efuses: EfusePlan, image: &EfuseImage, keys: &KeyFiles, pieces: Vec<Piece>) -> Result<Self, PlanError> {
        keys.check(&efuses)?;
        let mut steps = Vec::new();
        let mut pieces = Some(pieces);
        for stage in &efuses.stages {
            if stage.stage > StageName::Keys {
                steps.extend(pieces.take().into_iter().flatten().map(Step::Write));
            }
            if stage.burns.is_empty() {
                continue;
            }
            let set = Box::new(bits(&stage.burns, image, keys)?);
            let item = |burn: &Burn| Item {
                name: burn.name().to_owned(),
                value: value(burn),
                meaning: burn.meaning().to_owned(),
            };
            steps.push(Step::Burn { title: stage.stage.name(), items: stage.burns.iter().map(item).collect(), set });
        }
        steps.extend(pieces.take().into_iter().flatten().map(Step::Write));
        Ok(Self { efuses, steps })
    }

    /// The release plan of a chip on which nothing is burned: Secure Boot with one digest, flash encryption, no JTAG, a
    /// loader that only writes.
    ///
    /// # Errors
    /// As [`Self::new`], or [`PlanError::Policy`] for a chip that cannot do this.
    pub fn release(chip: Chip, keys: &KeyFiles, pieces: Vec<Piece>) -> Result<Self, PlanError> {
        let image = EfuseImage::blank(chip);
        let efuses = build(&EfusePolicy::of(chip, &Wishes::default())?, &image)?;
        Self::new(efuses, &image, keys, pieces)
    }

    /// The chip that the plan is for.
    #[must_use]
    pub const fn chip(&self) -> Chip {
        self.efuses.chip
    }

    /// What the plan is meant to achieve.
    #[must_use]
    pub const fn policy(&self) -> &EfusePolicy {
        &self.efuses.policy
    }

    /// The burns without their keys.
    #[must_use]
    pub const fn efuses(&self) -> &EfusePlan {
        &self.efuses
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
    pub fn title(&self) -> &str {
        match self {
            Self::Burn { title, .. } => title,
            Self::Write(piece) => &piece.what,
        }
    }
}

/// The bits of one stage: keys as espefuse places them, then fields and protections.
fn bits(burns: &[Burn], image: &EfuseImage, keys: &KeyFiles) -> Result<BurnSet, PlanError> {
    let mut session = Session::new(image.clone());
    for burn in burns {
        if let Burn::Key { key, purpose, block, half, read_protect, write_protect, .. } = burn {
            let options = KeyOptions { keep_readable: !read_protect, keep_writable: !write_protect };
            keys::Wanted { key, purpose, block, half: *half, options }.prepare(&mut session, keys)?;
        }
    }
    let (mut set, map) = (session.into_set(), image.map());
    let unknown = |name: &str| PlanError::NoField(name.to_owned());
    for burn in burns {
        let (field, value) = match burn {
            Burn::Key { .. } => continue,
            Burn::Field { field, value, .. } => (map.field(field).ok_or_else(|| unknown(field))?, *value),
            Burn::ReadProtect { block, .. } => {
                let layout = map.block_named(block).and_then(|block| map.block(block));
                (map.rd_dis(), layout.ok_or_else(|| unknown(block))?.read_protect_mask.into())
            }
            Burn::WriteProtect { bit, name, .. } => {
                (map.wr_dis(), 1_u32.checked_shl((*bit).into()).ok_or_else(|| unknown(name))?)
            }
        };
        set.field(field, value)?;
    }
    Ok(set)
}

fn value(burn: &Burn) -> String {
    match burn {
        Burn::Key { purpose, read_protect, .. } if *read_protect => format!("{purpose} (hidden)"),
        Burn::Key { purpose, .. } => purpose.clone(),
        Burn::Field { value, .. } => format!("{value:#x}"),
        Burn::ReadProtect { .. } => "hidden".to_owned(),
        Burn::WriteProtect { .. } => "frozen".to_owned(),
    }
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The chip has no such field or block.
    #[error("this chip has no eFuse {0}")]
    NoField(String),
    /// A key file.
    #[error(transparent)]
    Key(#[from] KeyRefusal),
    /// What is wanted is not possible.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A chip that was burned before.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A key that its block does not take.
    #[error(transparent)]
    Block(#[from] SessionError),
    /// The burn would be wrong.
    #[error(transparent)]
    Burn(#[from] BurnError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::efuse::{FlashEncryptionMode, JtagMode, NvsMode};

    fn plan(chip: Chip, wishes: &Wishes) -> Plan {
        let image = EfuseImage::blank(chip);
        let efuses = build(&EfusePolicy::of(chip, wishes).unwrap(), &image).unwrap();
        let mut keys = KeyFiles::default();
        for input in &efuses.keys {
            keys.insert(&input.name, &vec![9; input.bytes]);
        }
        Plan::new(efuses, &image, &keys, Vec::new()).unwrap()
    }

    #[test]
    fn release_leaves_room_for_secure_version() {
        // WR_DIS bit 18 would freeze SECURE_VERSION with the download fields: anti-rollback would be dead.
        let plan = plan(Chip::Esp32C3, &Wishes::default());
        assert!(plan.burns().all(|item| !(item.name == "ENABLE_SECURITY_DOWNLOAD" && item.value == "frozen")));
        assert!(plan.burns().any(|item| item.name == "SECURE_BOOT_EN"));
    }

    #[test]
    fn nothing_is_burned_when_nothing_is_asked_for() {
        let wishes = Wishes {
            profile: Some(crate::efuse::ProductProfile::Development),
            flash_encryption: Some(FlashEncryptionMode::Off),
            jtag: Some(JtagMode::Open),
            nvs: Some(NvsMode::Off),
            ..Wishes::default()
        };
        assert_eq!(plan(Chip::Esp32C3, &wishes).burns().count(), 0);
    }

    #[test]
    fn keys_come_first_and_locks_last_on_every_chip() {
        for chip in Chip::ALL.into_iter().filter(|chip| *chip != Chip::Esp32H4) {
            let plan = plan(chip, &Wishes::default());
            let titles: Vec<_> = plan.steps().iter().map(Step::title).collect();
            assert_eq!((titles.first(), titles.last()), (Some(&"keys"), Some(&"locks")), "{chip}: {titles:?}");
        }
    }

    #[test]
    fn a_missing_or_short_key_is_named() {
        let image = EfuseImage::blank(Chip::Esp32S3);
        let efuses = build(&EfusePolicy::of(Chip::Esp32S3, &Wishes::default()).unwrap(), &image).unwrap();
        let none = Plan::new(efuses.clone(), &image, &KeyFiles::default(), Vec::new());
        assert_eq!(none.unwrap_err().to_string(), "key digest0 is missing: 32 bytes");
        let mut keys = KeyFiles::default();
        keys.insert("digest0", &[1; 31]);
        let short = Plan::new(efuses, &image, &keys, Vec::new());
        assert_eq!(short.unwrap_err().to_string(), "key digest0 has 31 bytes instead of 32");
    }
}
