//! Public keys that devices sign their tokens with.

use super::{AuditEntry, Pending};
use cotter_wire::ids::{DeviceId, KeyId};

/// Keys by device, a few each.
pub trait DeviceKeyTable {
    /// Adds a key to a device, and forgets those of its keys that have expired by `added_at`.
    fn add_device_key(&self, key: DeviceKeyRecord, note: AuditEntry) -> Pending<'_, DeviceKeyAdded>;

    /// The keys of a device, expired ones included, oldest first: at most [`MOST_KEYS`]. `None` if there is no such device.
    fn device_keys(&self, device: DeviceId) -> Pending<'_, Option<Vec<DeviceKeyRecord>>>;

    /// Removes a key. False if the device has no such key.
    fn remove_device_key(&self, device: DeviceId, key: KeyId, note: AuditEntry) -> Pending<'_, bool>;
}

/// So many keys a device may have that have not expired: as many as in Cloud IoT Core.
pub const MOST_KEYS: usize = 3;

/// A key of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceKeyRecord {
    /// Whose.
    pub device: DeviceId,
    /// The first 8 bytes of SHA-256 over `spki`.
    pub id: KeyId,
    /// SubjectPublicKeyInfo, DER.
    pub spki: Vec<u8>,
    /// Unix seconds.
    pub added_at: u64,
    /// From when on it does not count, Unix seconds; `None` if it does not end.
    pub expires_at: Option<u64>,
}

/// What became of [`DeviceKeyTable::add_device_key`]. Everything but `Added` changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKeyAdded {
    /// It counts now.
    Added,
    /// It is one of the device's keys already.
    AlreadyThere,
    /// Another device has it: each could pass as the other.
    OfOtherDevice,
    /// The device has [`MOST_KEYS`] that have not expired.
    Full,
    /// No such device.
    UnknownDevice,
}
