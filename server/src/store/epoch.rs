//! The key epoch of a device that asks for a new one.

use super::{AuditEntry, Pending};
use cotter_wire::ids::{DeviceId, KeyEpoch, Nonce};

/// Use cases of key epochs. The factory raises them too, by enrolling again.
pub trait Epochs {
    /// Raises the key epoch of a device, so that its nonces start anew at the enrolled floor. The root key stays. In the
    /// note, which counts on that, the new epoch is put before the detail.
    fn renew_epoch(&self, renewal: Renewal, note: AuditEntry) -> Pending<'_, Renewed>;
}

/// A device that has proven its root key and wants a new epoch.
#[derive(Debug, Clone, Copy)]
pub struct Renewal {
    /// Which.
    pub device: DeviceId,
    /// The epoch that the device knows. It is the higher one if the server was restored from a backup.
    pub known: KeyEpoch,
    /// When the root key that it has proven was rotated last, Unix seconds.
    pub rotated_at: Option<u64>,
    /// Unix seconds.
    pub at: u64,
    /// How many renewals a device gets on one day.
    pub most_a_day: u32,
}

/// What became of a [`Renewal`]. Everything but `Renewed` changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// The epoch counts from now on, durably.
    Renewed {
        /// One above the server's and the device's.
        epoch: KeyEpoch,
        /// What counts as used in it.
        nonce: Nonce,
    },
    /// The device has had as many today as it gets.
    TooOften,
    /// The device has another root key by now.
    Overtaken,
    /// There is no higher epoch.
    Exhausted,
    /// No such device.
    UnknownDevice,
}
