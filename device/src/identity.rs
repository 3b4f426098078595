//! Who this device is: written once by the factory into the encrypted NVS partition, namespace `cotter`.
//!
//! | key | type | content |
//! |---|---|---|
//! | `device_id` | string | 1 to 32 of `a-z 0-9 -` |
//! | `epoch` | u32 | generation of the keys |
//! | `root_key` | blob, 32 bytes | the root of all keys of this device |
//! | `project` | string | the project that its firmware belongs to |
//!
//! Whoever can change these keys owns the device. NVS encryption keeps them from being read, and from being changed
//! into something chosen.

use crate::nvs::{Nvs, NvsError};
use cotter_formats::nvs::entry::Key;
use cotter_formats::secret::Secret;
use cotter_wire::ids::{DeviceId, DeviceIdError, KeyEpoch};
use cotter_wire::keys::{DeviceKeys, RootKey};
use embedded_storage::nor_flash::NorFlash;
use heapless::String;

/// Where all of it is.
pub const NAMESPACE: Key = Key::literal("cotter");
/// See the table above.
pub const DEVICE_ID: Key = Key::literal("device_id");
/// See the table above.
pub const EPOCH: Key = Key::literal("epoch");
/// See the table above.
pub const ROOT_KEY: Key = Key::literal("root_key");
/// See the table above.
pub const PROJECT: Key = Key::literal("project");

/// A device's identity, about 120 bytes. The root key is wiped on drop.
#[derive(Debug)]
pub struct Identity {
    /// Its name.
    pub device: DeviceId,
    /// The generation of its keys.
    pub epoch: KeyEpoch,
    root: RootKey,
    project: String<32>,
}

impl Identity {
    /// Reads it from the mounted store.
    ///
    /// # Errors
    /// [`IdentityError`] names the first key that is missing or wrong: such a device must not go on.
    pub fn load<F: NorFlash>(store: &mut Nvs<F>) -> Result<Self, IdentityError<F::Error>> {
        let mut text = [0; 33];
        let device = store.string(&NAMESPACE, &DEVICE_ID, &mut text)?;
        let device = device.ok_or(IdentityError::Missing { key: DEVICE_ID })?.parse()?;
        let epoch = store.u32(&NAMESPACE, &EPOCH)?.ok_or(IdentityError::Missing { key: EPOCH })?;
        let root = RootKey::new(Secret::try_filled_by(|secret| match store.blob(&NAMESPACE, &ROOT_KEY, secret)? {
            Some(32) => Ok(()),
            Some(len) => Err(IdentityError::RootKey { len }),
            None => Err(IdentityError::Missing { key: ROOT_KEY }),
        })?);
        let project = store.string(&NAMESPACE, &PROJECT, &mut text)?;
        let project = project.ok_or(IdentityError::Missing { key: PROJECT })?;
        let project = String::try_from(project).map_err(|_| IdentityError::Project)?;
        Ok(Self { device, epoch: KeyEpoch(epoch), root, project })
    }

    /// All keys of this device, derived anew; drop them soon.
    #[must_use]
    pub fn keys(&self) -> DeviceKeys {
        DeviceKeys::derive(&self.root, &self.device, self.epoch)
    }

    /// The project that its firmware belongs to.
    #[must_use]
    pub fn project(&self) -> &str {
        &self.project
    }
}

/// Why there is no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError<E> {
    /// The store.
    #[error("identity: {0}")]
    Store(#[from] NvsError<E>),
    /// Nothing under this key.
    #[error("identity: {key} is missing")]
    Missing {
        /// Which one.
        key: Key,
    },
    /// The name.
    #[error("identity: {0}")]
    DeviceId(#[from] DeviceIdError),
    /// Not 32 bytes.
    #[error("identity: root key of {len} bytes, expected 32")]
    RootKey {
        /// Its length.
        len: usize,
    },
    /// Longer than an image's project name can be.
    #[error("identity: project name longer than 32 bytes")]
    Project,
}

#[cfg(test)]
mod tests;
