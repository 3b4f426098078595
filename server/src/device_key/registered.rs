//! Which keys a device has: given and taken by administrators, asked for when it connects.

use super::{DeviceKey, DeviceKeyError, KeyFormat};
use crate::administrator::Administrator;
use crate::audit::Audit;
use crate::clock::Clock;
use crate::device_token::RegisteredKey;
use crate::store::device_keys::{DeviceKeyAdded, DeviceKeyRecord, MOST_KEYS};
use crate::store::{Store, StoreError};
use cotter_wire::ids::{DeviceId, KeyId, UnixTime};
use std::sync::Arc;

/// The keys of all devices.
pub struct DeviceKeys {
    /// Where they are.
    pub store: Arc<dyn Store>,
    /// Who notes what changes.
    pub audit: Arc<Audit>,
    /// When a key was added, and whether it has expired.
    pub clock: Arc<dyn Clock>,
}

impl DeviceKeys {
    /// Gives a device one more key; those of its keys that have expired go. `expires_at` is in Unix seconds.
    ///
    /// # Errors
    /// [`DeviceKeyRefusal`].
    pub async fn add(
        &self,
        device: DeviceId,
        format: KeyFormat,
        pem: &[u8],
        expires_at: Option<u64>,
        by: &Administrator,
    ) -> Result<RegisteredKey, DeviceKeyRefusal> {
        let key = DeviceKey::from_pem(format, pem)?;
        let added_at = self.clock.unix();
        if expires_at.is_some_and(|expires_at| expires_at <= added_at) {
            return Err(DeviceKeyRefusal::Expired);
        }
        let id = key.id();
        let record = DeviceKeyRecord { device, id, spki: key.spki().to_vec(), added_at, expires_at };
        let until = expires_at.map_or_else(String::new, |expires_at| format!(", until {expires_at}"));
        let detail = format!("{} {id}{until}", key.algorithm());
        let note = self.audit.note(&by.name, "device-key-added", device.to_string(), detail);
        match self.store.add_device_key(record, note).await? {
            DeviceKeyAdded::Added => Ok(RegisteredKey { key, expires_at: expires_at.map(UnixTime) }),
            DeviceKeyAdded::AlreadyThere => Err(DeviceKeyRefusal::AlreadyThere { key: id }),
            DeviceKeyAdded::OfOtherDevice => Err(DeviceKeyRefusal::OfOtherDevice { key: id }),
            DeviceKeyAdded::Full => Err(DeviceKeyRefusal::Full),
            DeviceKeyAdded::UnknownDevice => Err(DeviceKeyRefusal::UnknownDevice { device }),
        }
    }

    /// Takes a key from a device. False if the device has no such key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove(&self, device: DeviceId, key: KeyId, by: &Administrator) -> Result<bool, StoreError> {
        let note = self.audit.note(&by.name, "device-key-removed", device.to_string(), key.to_string());
        self.store.remove_device_key(device, key, note).await
    }

    /// What a token of this device is verified with; empty also if there is no such device.
    ///
    /// # Errors
    /// [`StoreError`]; `Corrupt` for a key that we never stored.
    pub async fn of(&self, device: DeviceId) -> Result<Vec<RegisteredKey>, StoreError> {
        let records = self.store.device_keys(device).await?.unwrap_or_default();
        let read = |record: &DeviceKeyRecord| {
            let key = DeviceKey::from_spki(&record.spki).ok().filter(|key| key.id() == record.id);
            let key = key.ok_or(StoreError::Corrupt { column: "device_key.spki" })?;
            Ok(RegisteredKey { key, expires_at: record.expires_at.map(UnixTime) })
        };
        records.iter().map(read).collect()
    }
}

/// Why a device is given no key.
#[derive(Debug, thiserror::Error)]
pub enum DeviceKeyRefusal {
    /// Not a key that we verify with.
    #[error(transparent)]
    Key(#[from] DeviceKeyError),
    /// It would never count.
    #[error("device key: it would have expired already")]
    Expired,
    /// The device has it; to change when it expires, remove it first.
    #[error("device key: the device has the key {key} already")]
    AlreadyThere {
        /// Which.
        key: KeyId,
    },
    /// A token names no device, so each could pass as the other.
    #[error("device key: another device has the key {key}; each device needs its own")]
    OfOtherDevice {
        /// Which.
        key: KeyId,
    },
    /// No more than [`MOST_KEYS`].
    #[error("device key: the device has {MOST_KEYS} keys that have not expired; remove one first")]
    Full,
    /// Nobody of that name was enrolled.
    #[error("device key: there is no device {device}")]
    UnknownDevice {
        /// Its name.
        device: DeviceId,
    },
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl DeviceKeyRefusal {
    /// A stable name; `None` if the server itself is at fault.
    #[must_use]
    pub const fn code(&self) -> Option<&'static str> {
        match self {
            Self::Key(error) => Some(error.code()),
            Self::Expired => Some("device-key-expired"),
            Self::AlreadyThere { .. } => Some("device-key-already-there"),
            Self::OfOtherDevice { .. } => Some("device-key-of-other-device"),
            Self::Full => Some("device-key-full"),
            Self::UnknownDevice { .. } => Some("device-key-unknown-device"),
            Self::Store(_) => None,
        }
    }
}
