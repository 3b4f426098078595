//! Rotation of root keys: orders, what each device was offered, and the keys that still count for a while.

use super::{AuditEntry, Pending};
use crate::rotation::{Act, RotationId, Scope, State};
use cotter_wire::ids::{DeviceId, KeyEpoch};

/// Orders to rotate, and how far the devices are. A device that has switched stays so, whatever becomes of the order.
pub trait KeyRotations {
    /// Makes an order that runs at once.
    fn add_rotation(&self, new: NewRotation, note: AuditEntry) -> Pending<'_, RotationAdded>;

    /// Pauses, resumes or cancels an order.
    fn change_rotation(&self, id: RotationId, act: Act, at: u64, note: AuditEntry) -> Pending<'_, RotationChanged>;

    /// One order, and how many devices wait for their offer.
    fn rotation(&self, id: RotationId) -> Pending<'_, Option<(RotationRecord, u64)>>;

    /// Orders, newest first, at most `limit`.
    fn rotations(&self, before: Option<RotationId>, limit: usize) -> Pending<'_, Vec<RotationRecord>>;

    /// What there is for a device that asks and has these keys.
    fn due_key(&self, device: DeviceId, epoch: KeyEpoch) -> Pending<'_, Due>;

    /// Stores a new key for a device before it is sent. The key that counts: this one, or one that was stored before; none
    /// if no order wants one for the device any more.
    fn offer_key(&self, offer: NewOffer) -> Pending<'_, Option<OfferedKey>>;

    /// The key that was offered to a device, until it has switched.
    fn offered_key(&self, device: DeviceId) -> Pending<'_, Option<OfferedKey>>;

    /// Makes a new key the present one. The one before counts for packets until the order's overlap is over. Commands that
    /// wait are for the new keys. In the note, which counts on that, the time is put behind the detail.
    fn switch_key(&self, switch: Switch, note: AuditEntry) -> Pending<'_, Switched>;

    /// Deletes the key before of one device. False if there is none.
    fn retire_key(&self, device: DeviceId, note: AuditEntry) -> Pending<'_, bool>;

    /// Deletes the keys whose time is over, at most 500 of them: whose they were. The note is appended once for each, about
    /// it.
    fn retire_keys(&self, now: u64, note: AuditEntry) -> Pending<'_, Vec<DeviceId>>;

    /// Running orders that no device has to do anything for any more.
    fn done_rotations(&self) -> Pending<'_, Vec<RotationId>>;

    /// Ends an order that runs. False if it does not. The note's subject is the order.
    fn finish_rotation(&self, id: RotationId, at: u64, note: AuditEntry) -> Pending<'_, bool>;
}

/// So many orders run or pause at a time.
pub const MOST_ROTATIONS: usize = 16;
/// So many that have ended are kept, the latest.
pub const KEPT_ROTATIONS: usize = 1000;
/// How long the key before counts if the order is not known, in seconds: the database was restored, and is older.
pub const USUAL_OVERLAP_S: u32 = 7 * 24 * 3600;

/// A new order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRotation {
    /// For which devices, of those whose keys are older than the order.
    pub scope: Scope,
    /// Seconds for which packets under the key before count after the switch.
    pub overlap: u32,
    /// Unix seconds.
    pub at: u64,
    /// Administrator.
    pub by: String,
}

/// An order as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotationRecord {
    /// Its number.
    pub id: RotationId,
    /// What was ordered.
    pub new: NewRotation,
    /// Where it stands.
    pub state: State,
    /// Unix seconds of the last act.
    pub changed_at: u64,
    /// Devices that were offered a key, all in all.
    pub offered: u64,
    /// Those of them that have switched.
    pub switched: u64,
    /// Those of them whose key before is deleted.
    pub retired: u64,
}

/// What became of [`KeyRotations::add_rotation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationAdded {
    /// It runs.
    Added(RotationId),
    /// [`MOST_ROTATIONS`] have not ended.
    TooMany,
    /// The one device that it is for is not enrolled.
    UnknownDevice,
}

/// What became of [`KeyRotations::change_rotation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationChanged {
    /// The state now.
    To(State),
    /// Not from the state that it is in.
    Forbidden(State),
    /// No such order.
    Unknown,
}

/// What a device gets that asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// No order is for it, or it has followed all of them.
    Nothing,
    /// The same as before.
    Offered(OfferedKey),
    /// A new key, for this order.
    Wanted(RotationId),
}

/// A key that was offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedKey {
    /// Its epoch.
    pub epoch: KeyEpoch,
    /// It, sealed under the server's master key: the ticket that goes with it.
    pub sealed: Vec<u8>,
}

/// A key for a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOffer {
    /// For whom.
    pub device: DeviceId,
    /// The epoch of its keys now.
    pub present: KeyEpoch,
    /// What it is offered.
    pub key: OfferedKey,
    /// Unix seconds.
    pub at: u64,
}

/// A device that has proven its new key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// Which.
    pub device: DeviceId,
    /// The new epoch.
    pub epoch: KeyEpoch,
    /// The new root key, sealed as an enrolled one.
    pub sealed_root_key: Vec<u8>,
    /// Unix seconds.
    pub at: u64,
}

/// What became of [`KeyRotations::switch_key`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switched {
    /// The new key counts, durably.
    Switched,
    /// The epoch is not above the present one; nothing changed.
    NotNewer {
        /// The present one.
        current: KeyEpoch,
    },
    /// No such device.
    UnknownDevice,
}

/// The key before, while it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousKey {
    /// Its epoch.
    pub epoch: KeyEpoch,
    /// It, sealed as an enrolled one.
    pub sealed_root_key: Vec<u8>,
    /// Until when, Unix seconds.
    pub until: u64,
}
