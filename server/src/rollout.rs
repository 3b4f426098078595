//! Rollouts: a release reaches the fleet in stages, and stops by itself if too many devices fail.
//!
//! | file | noun |
//! |---|---|
//! | here | what administrators do |
//! | `plan` | stages, conditions, thresholds; which stage has which device |
//! | `tag` | a word on a device |
//! | `decision` | states, and when a rollout goes on or stops |
//!
//! Nothing of a rollout is in memory: a killed server goes on where the store stands.

pub mod decision;
pub mod plan;
pub mod tag;

use crate::administrator::Administrator;
use crate::audit::Audit;
use crate::clock::Clock;
use crate::firmware::Firmware;
use crate::store::rollouts::{Changed, NewRollout, RolloutAdded, Tagged};
use crate::store::{Store, StoreError};
use cotter_wire::ids::{DeviceId, ReleaseId, SecureVersion};
use cotter_wire::trust::TrustNumber;
use cotter_wire::version::Version;
use decision::{Act, State};
use plan::Plan;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use tag::Tag;

/// A rollout's number, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RolloutId(pub u32);

impl fmt::Display for RolloutId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RolloutId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// Makes rollouts and changes them.
pub struct Rollouts {
    /// Where they are.
    pub store: Arc<dyn Store>,
    /// Hands out what they offer.
    pub firmware: Arc<Firmware>,
    /// Who notes it.
    pub audit: Arc<Audit>,
    /// When it was.
    pub clock: Arc<dyn Clock>,
}

impl Rollouts {
    /// Makes a rollout of a release that was accepted and has not expired. It is offered to nobody before it is started.
    ///
    /// # Errors
    /// [`RolloutRefusal`].
    pub async fn create(
        &self,
        release: ReleaseId,
        plan: Plan,
        by: &Administrator,
    ) -> Result<RolloutId, RolloutRefusal> {
        let record = self.store.release(release).await?.ok_or(RolloutRefusal::UnknownRelease)?;
        let at = self.clock.unix();
        if record.expires <= at {
            return Err(RolloutRefusal::Expired);
        }
        if let Some(chip) = plan.conditions.chip.as_deref().filter(|chip| *chip != record.chip.name()) {
            return Err(RolloutRefusal::Chip { wanted: chip.to_owned(), release: record.chip.name() });
        }
        let detail = format!("version {}, {} stages", record.version, plan.stages.len());
        let note = self.audit.note(&by.name, "rollout-created", String::new(), detail);
        match self.store.add_rollout(NewRollout { release, plan, at }, note).await? {
            RolloutAdded::Added(id) => Ok(id),
            RolloutAdded::UnknownRelease => Err(RolloutRefusal::UnknownRelease),
            RolloutAdded::NotNewer { newest, secure_version } => {
                Err(RolloutRefusal::NotNewer { newest, secure_version })
            }
            RolloutAdded::TooMany => Err(RolloutRefusal::TooMany),
            RolloutAdded::RefusedAt(number) => Err(RolloutRefusal::RefusedAt { number }),
        }
    }

    /// Starts, pauses, resumes, aborts or advances it.
    ///
    /// # Errors
    /// [`RolloutRefusal`].
    pub async fn act(&self, id: RolloutId, act: Act, by: &Administrator) -> Result<State, RolloutRefusal> {
        let reason = format!("{} by {}", act.as_str(), by.name);
        let note = self.audit.note(&by.name, act.event(), String::new(), String::new());
        let changed = self.store.change_rollout(id, act, reason, note).await;
        self.firmware.forget_offers();
        match changed? {
            Changed::To(state) => Ok(state),
            Changed::Forbidden(state) => Err(RolloutRefusal::Forbidden { act, state }),
            Changed::LastStage => Err(RolloutRefusal::LastStage),
            Changed::RefusedAt(number) => Err(RolloutRefusal::RefusedAt { number }),
            Changed::Unknown => Err(RolloutRefusal::Unknown),
        }
    }

    /// Offers it again to one device that has failed or come back, or to all of them. How many that were.
    ///
    /// # Errors
    /// [`RolloutRefusal::Unknown`] or the store's.
    pub async fn retry(
        &self,
        id: RolloutId,
        device: Option<DeviceId>,
        by: &Administrator,
    ) -> Result<u64, RolloutRefusal> {
        let detail = device.map_or_else(|| "all devices".to_owned(), |device| device.to_string());
        let note = self.audit.note(&by.name, "rollout-retried", String::new(), detail);
        self.store.retry(id, device, note).await?.ok_or(RolloutRefusal::Unknown)
    }

    /// Puts a tag on a device, or takes it off.
    ///
    /// # Errors
    /// [`RolloutRefusal::UnknownDevice`], [`RolloutRefusal::TooManyTags`] or the store's.
    pub async fn tag(&self, device: DeviceId, tag: Tag, put: Put, by: &Administrator) -> Result<(), RolloutRefusal> {
        let event = if put == Put::On { "device-tagged" } else { "device-untagged" };
        let note = self.audit.note(&by.name, event, device.to_string(), tag.to_string());
        let tagged = match put {
            Put::On => self.store.add_tag(device, tag, note).await?,
            Put::Off => self.store.remove_tag(device, tag, note).await?,
        };
        match tagged {
            Tagged::Changed | Tagged::AsBefore => Ok(()),
            Tagged::TooMany => Err(RolloutRefusal::TooManyTags { device }),
            Tagged::UnknownDevice => Err(RolloutRefusal::UnknownDevice),
        }
    }
}

/// What is done with a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The device has it from now on.
    On,
    /// The device does not have it any more.
    Off,
}

/// Why a rollout is not made, or not changed.
#[derive(Debug, thiserror::Error)]
pub enum RolloutRefusal {
    /// No such release.
    #[error("rollout: no such release")]
    UnknownRelease,
    /// Past its expiry.
    #[error("rollout: the release is expired")]
    Expired,
    /// The conditions name another chip than the release.
    #[error("rollout: for {wanted}, but the release is for {release}")]
    Chip {
        /// By the conditions.
        wanted: String,
        /// By the release.
        release: &'static str,
    },
    /// A downgrade.
    #[error("rollout: not newer than the published {newest} with secure_version {secure_version}")]
    NotNewer {
        /// The newest published version.
        newest: Version,
        /// Its anti-rollback counter.
        secure_version: SecureVersion,
    },
    /// Devices would refuse the release.
    #[error("rollout: devices at trust number {number} would refuse it: in a change of keys, both sides must sign")]
    RefusedAt {
        /// Which devices.
        number: TrustNumber,
    },
    /// Too many that have not ended.
    #[error("rollout: there are too many that have not ended")]
    TooMany,
    /// No such rollout.
    #[error("rollout: unknown")]
    Unknown,
    /// Not from this state.
    #[error("rollout: it is {}, so {} makes no sense", state.as_str(), act.as_str())]
    Forbidden {
        /// What was asked.
        act: Act,
        /// Where it stands.
        state: State,
    },
    /// There is nothing to advance to.
    #[error("rollout: this is its last stage")]
    LastStage,
    /// No such device.
    #[error("tag: no such device")]
    UnknownDevice,
    /// It has as many as it may.
    #[error("tag: {device} has {most} tags already", most = Tag::MOST)]
    TooManyTags {
        /// Which device.
        device: DeviceId,
    },
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RolloutRefusal {
    /// A stable name; `None` if the server itself is at fault.
    #[must_use]
    pub const fn code(&self) -> Option<&'static str> {
        Some(match self {
            Self::UnknownRelease => "release-unknown",
            Self::Expired => "release-expired",
            Self::Chip { .. } => "rollout-wrong-chip",
            Self::NotNewer { .. } => "release-not-newer",
            Self::TooMany => "rollout-too-many",
            Self::RefusedAt { .. } => "release-refused-by-devices",
            Self::Unknown => "rollout-unknown",
            Self::Forbidden { .. } => "rollout-state",
            Self::LastStage => "rollout-last-stage",
            Self::UnknownDevice => "device-unknown",
            Self::TooManyTags { .. } => "device-too-many-tags",
            Self::Store(_) => return None,
        })
    }
}
