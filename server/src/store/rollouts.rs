//! Rollouts: who is offered which release, how far each device is, and what follows from what it reports.

use super::{AuditEntry, Pending, ReleaseRecord};
use crate::rollout::RolloutId;
use crate::rollout::decision::{Act, State, Tally};
use crate::rollout::plan::Plan;
use crate::rollout::tag::Tag;
use cotter_wire::ids::{DeviceId, ReleaseId, SecureVersion};
use cotter_wire::trust::TrustNumber;
use cotter_wire::version::Version;

/// The durable state of rollouts. What a rollout decides by itself happens in the transaction of the report that it
/// follows from, with its line in the audit log, so that a crash leaves both or neither.
pub trait Rollouts {
    /// Makes a rollout that is not started. The subject of `note` becomes its number.
    fn add_rollout(&self, new: NewRollout, note: AuditEntry) -> Pending<'_, RolloutAdded>;

    /// One rollout.
    fn rollout(&self, id: RolloutId) -> Pending<'_, Option<RolloutRecord>>;

    /// Rollouts, newest first, those before `before`, at most `limit`.
    fn rollouts(&self, before: Option<RolloutId>, limit: usize) -> Pending<'_, Vec<RolloutRecord>>;

    /// Starts, pauses, resumes, aborts or advances. `reason` is kept with the rollout.
    fn change_rollout(&self, id: RolloutId, act: Act, reason: String, note: AuditEntry) -> Pending<'_, Changed>;

    /// Offers it again to devices that have failed or come back: to one of them, or to all. How many that were.
    fn retry(&self, id: RolloutId, device: Option<DeviceId>, note: AuditEntry) -> Pending<'_, Option<u64>>;

    /// Devices that were offered it, by name, those after `after`, at most `limit`.
    fn rollout_devices(
        &self,
        id: RolloutId,
        after: Option<DeviceId>,
        limit: usize,
    ) -> Pending<'_, Vec<(DeviceId, Assignment)>>;

    /// What a device was offered, newest rollout first, at most `limit`.
    fn assignments(&self, device: DeviceId, limit: usize) -> Pending<'_, Vec<Assignment>>;

    /// A device asks for something newer. Notes what it runs and what it is offered, if that is not known yet: a device
    /// that asks again writes nothing.
    ///
    /// Unlike other writes, this one is queued only after a first look: a future that is dropped early may leave nothing.
    fn poll(&self, poll: Poll) -> Pending<'_, Polled>;

    /// The length of the artifact of a release that this device is offered now; `None` if it is not.
    fn may_download(&self, device: DeviceId, release: ReleaseId) -> Pending<'_, Option<u32>>;

    /// Notes that a device has fetched so many bytes of an artifact; never fewer than before.
    fn record_progress(&self, device: DeviceId, release: ReleaseId, bytes: u32, at: u64) -> Pending<'_, ()>;

    /// What a device runs by its own word; `None` if it never said.
    fn running(&self, device: DeviceId) -> Pending<'_, Option<Running>>;

    /// Puts a tag on a device.
    fn add_tag(&self, device: DeviceId, tag: Tag, note: AuditEntry) -> Pending<'_, Tagged>;

    /// Takes a tag off a device.
    fn remove_tag(&self, device: DeviceId, tag: Tag, note: AuditEntry) -> Pending<'_, Tagged>;

    /// The tags of a device, by name.
    fn tags(&self, device: DeviceId) -> Pending<'_, Vec<Tag>>;
}

/// What is to be rolled out.
#[derive(Debug, Clone)]
pub struct NewRollout {
    /// The release, which is there.
    pub release: ReleaseId,
    /// How.
    pub plan: Plan,
    /// Unix seconds.
    pub at: u64,
}

/// What became of [`Rollouts::add_rollout`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RolloutAdded {
    /// Made, as this number.
    Added(RolloutId),
    /// No such release.
    UnknownRelease,
    /// A published release is at least as new.
    NotNewer {
        /// Version of the newest published release.
        newest: Version,
        /// Its anti-rollback counter.
        secure_version: SecureVersion,
    },
    /// There are too many that have not ended.
    TooMany,
    /// Devices at this number would refuse the release.
    RefusedAt(TrustNumber),
}

/// A rollout as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutRecord {
    /// Its number.
    pub id: RolloutId,
    /// Its release.
    pub release: ReleaseId,
    /// Version of the release.
    pub version: Version,
    /// How it was planned.
    pub plan: Plan,
    /// Where it stands.
    pub state: State,
    /// The current stage, counted from 0.
    pub stage: usize,
    /// Why it stands there; may be empty.
    pub reason: String,
    /// Unix seconds.
    pub created_at: u64,
    /// When its state or stage changed last.
    pub changed_at: u64,
    /// How far each stage is.
    pub tallies: Vec<Tally>,
}

/// What became of [`Rollouts::change_rollout`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It is in this state now.
    To(State),
    /// Not from this state.
    Forbidden(State),
    /// There is no stage after this one.
    LastStage,
    /// Devices at this number would refuse the release.
    RefusedAt(TrustNumber),
    /// No such rollout.
    Unknown,
}

/// What became of a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tagged {
    /// It is as asked for now.
    Changed,
    /// It was so before; nothing changed.
    AsBefore,
    /// The device has as many as it may.
    TooMany,
    /// No such device.
    UnknownDevice,
}

/// A device asking.
#[derive(Debug, Clone)]
pub struct Poll {
    /// The device, as authenticated by its session.
    pub device: DeviceId,
    /// Whose firmware it takes.
    pub project: String,
    /// What it runs.
    pub version: Version,
    /// Its anti-rollback counter.
    pub secure_version: SecureVersion,
    /// Whose manifests it believes.
    pub trust: TrustNumber,
    /// Unix seconds.
    pub at: u64,
}

/// How far a device is with what it was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It was told.
    Offered,
    /// It has fetched something.
    Downloading,
    /// It runs it and has confirmed it.
    Installed,
    /// It failed, and is offered it again until it has failed too often.
    Failed,
    /// It ran it, and runs an older version again. It is not offered it again.
    RolledBack,
    /// It is to be offered it again, because somebody said so.
    Retry,
    /// It was offered something newer.
    Superseded,
}

/// What a device was offered, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// By which rollout.
    pub rollout: RolloutId,
    /// Which release.
    pub release: ReleaseId,
    /// Its version.
    pub version: Version,
    /// The stage of the device, counted from 0.
    pub stage: usize,
    /// How far it is.
    pub step: Step,
    /// Bytes of the artifact that it has fetched at least.
    pub progress: u32,
    /// Length of the artifact.
    pub size: u32,
    /// How often it has failed.
    pub failures: u32,
    /// What the device said about it last; may be empty.
    pub reason: String,
    /// When it was offered last.
    pub offered_at: u64,
    /// When anything changed last.
    pub changed_at: u64,
}

/// What a device runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// By its own word.
    pub version: Version,
    /// Its anti-rollback counter, by its own word.
    pub secure_version: SecureVersion,
    /// When it said so first.
    pub said_at: u64,
}

/// What a poll leads to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Polled {
    /// What the device is offered.
    pub offer: Option<ReleaseRecord>,
    /// What followed from what it said that it runs.
    pub reported: Reported,
}

/// What followed from what a device said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reported {
    /// A rollout went on, ended or stopped: what was known of who may download what is to be forgotten.
    pub decided: bool,
    /// The device has come back to an older version than this one, which it had confirmed.
    pub came_back_from: Option<Version>,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Offered,
        Self::Downloading,
        Self::Installed,
        Self::Failed,
        Self::RolledBack,
        Self::Retry,
        Self::Superseded,
    ];

    /// Stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offered => "offered",
            Self::Downloading => "downloading",
            Self::Installed => "installed",
            Self::Failed => "failed",
            Self::RolledBack => "rolled-back",
            Self::Retry => "retry",
            Self::Superseded => "superseded",
        }
    }

    /// The step with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == name)
    }
}
