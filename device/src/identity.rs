//! Who this device is: written once by the factory into the encrypted NVS partition, namespace `cotter`.
//!
//! | key | type | content |
//! |---|---|---|
//! | `device_id` | string | 1 to 32 of `a-z 0-9 -` |
//! | `epoch` | u32 | generation of the keys |
//! | `root_key` | blob, 32 bytes | the root of all keys of this device |
//! | `project` | string | the project that its firmware belongs to |
//! | `fw_key0` .. `fw_key3` | blob | public keys that sign firmware (SPKI, DER), without a gap |
//! | `fw_required` | u32 | how many of them must sign |
//!
//! `sign_key` is beside them in devices that sign tokens without better hardware ([`crate::signer::stored_key`]).
//!
//! `trust` (see [`crate::trust`]) takes the place of the last two once the device has followed a statement.
//!
//! A rotation of the root key puts the new one, with its epoch, into one item of its own ([`crate::rotation`]) and erases
//! the factory's. Should both be there, the one of the higher epoch counts.
//!
//! Whoever can change these keys owns the device. NVS encryption keeps them from being read, and from being changed
//! into something chosen.

use crate::nvs::{Nvs, NvsError};
use crate::rotation::{Item, ROTATED};
use crate::trust;
use cotter_formats::nvs::entry::Key;
use cotter_formats::secret::Secret;
use cotter_wire::compact::Channel;
use cotter_wire::firmware_key::{FirmwareKey, KeyError};
use cotter_wire::ids::{DeviceId, DeviceIdError, KeyEpoch};
use cotter_wire::keys::{ConfirmationKey, DeviceKeys, Direction, OfferKey, RecoveryKey, RootKey};
use cotter_wire::manifest::{PolicyError, Project, VerifyPolicy};
use cotter_wire::rotation::Ticket;
use cotter_wire::trust::TrustNumber;
use embedded_storage::nor_flash::NorFlash;
use heapless::Vec;

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
/// See the table above.
pub const FIRMWARE_KEYS: [Key; 4] =
    [Key::literal("fw_key0"), Key::literal("fw_key1"), Key::literal("fw_key2"), Key::literal("fw_key3")];
/// See the table above.
pub const FIRMWARE_REQUIRED: Key = Key::literal("fw_required");

/// A device's identity, about 1.2 KB. The root key is wiped on drop.
#[derive(Debug)]
pub struct Identity {
    /// Its name.
    pub device: DeviceId,
    /// The generation of its keys.
    pub epoch: KeyEpoch,
    root: RootKey,
    /// The epoch that the root key was offered with, and its ticket; `None` if it is the factory's.
    rotated: Option<(KeyEpoch, Ticket)>,
    project: Project,
    trust: TrustNumber,
    firmware_policy: VerifyPolicy,
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
        let Present { epoch, root, rotated } = Present::load(store)?;
        let project = store.string(&NAMESPACE, &PROJECT, &mut text)?;
        let project = project.ok_or(IdentityError::Missing { key: PROJECT })?;
        let project = Project::new(project).ok_or(IdentityError::Project)?;

        let (trust, firmware_policy) = match trust::stored(store, &project)? {
            Some(statement) => (statement.number, statement.policy),
            None => (TrustNumber::BEGINNING, factory_policy(store)?),
        };
        Ok(Self { device, epoch, root, rotated, project, trust, firmware_policy })
    }

    /// All keys of this device, derived anew; drop them soon.
    #[must_use]
    pub fn keys(&self) -> DeviceKeys {
        DeviceKeys::derive(&self.root, &self.device, self.epoch)
    }

    /// What it proves itself with when its counter is lost.
    #[must_use]
    pub fn recovery_key(&self) -> RecoveryKey {
        RecoveryKey::derive(&self.root, &self.device)
    }

    /// What a new root key is sealed with for it.
    #[must_use]
    pub fn offer_key(&self) -> OfferKey {
        OfferKey::derive(&self.root, &self.device)
    }

    /// What it confirms its root key with.
    #[must_use]
    pub fn confirmation_key(&self) -> ConfirmationKey {
        ConfirmationKey::derive(&self.root, &self.device)
    }

    /// The epoch that its root key was offered with, and the ticket for it; `None` for a key of the factory's.
    #[must_use]
    pub const fn rotated(&self) -> Option<(KeyEpoch, Ticket)> {
        self.rotated
    }

    /// What its compact packets are sealed with.
    #[must_use]
    pub fn uplink(&self) -> Channel {
        Channel::derive(&self.root, &self.device, self.epoch, Direction::Up)
    }

    /// The project that its firmware belongs to.
    #[must_use]
    pub const fn project(&self) -> &Project {
        &self.project
    }

    /// How many statements about that it has followed.
    #[must_use]
    pub const fn trust(&self) -> TrustNumber {
        self.trust
    }

    /// Whose signatures its firmware needs.
    #[must_use]
    pub const fn firmware_policy(&self) -> &VerifyPolicy {
        &self.firmware_policy
    }
}

fn factory_policy<F: NorFlash>(store: &mut Nvs<F>) -> Result<VerifyPolicy, IdentityError<F::Error>> {
    let mut firmware_keys = Vec::<_, { FIRMWARE_KEYS.len() }>::new();
    let mut der = [0; FirmwareKey::MAX_SPKI];
    for key in FIRMWARE_KEYS {
        let Some(len) = store.blob(&NAMESPACE, &key, &mut der)? else { break };
        let parsed = FirmwareKey::from_spki(&der[..len]);
        let parsed = parsed.map_err(|source| IdentityError::FirmwareKey { key, source })?;
        firmware_keys.push(parsed).expect("as many places as names");
    }
    let required = store.u32(&NAMESPACE, &FIRMWARE_REQUIRED)?;
    let required = required.ok_or(IdentityError::Missing { key: FIRMWARE_REQUIRED })?;
    Ok(VerifyPolicy::new(firmware_keys, usize::try_from(required).unwrap_or(usize::MAX))?)
}

/// The root key in use.
struct Present {
    epoch: KeyEpoch,
    root: RootKey,
    rotated: Option<(KeyEpoch, Ticket)>,
}

impl Present {
    fn load<F: NorFlash>(store: &mut Nvs<F>) -> Result<Self, IdentityError<F::Error>> {
        if let Some(Item { epoch, offered_epoch, root, ticket }) = rotated(store)? {
            return Ok(Self { epoch, root, rotated: Some((offered_epoch, ticket)) });
        }
        let epoch = store.u32(&NAMESPACE, &EPOCH)?.ok_or(IdentityError::Missing { key: EPOCH })?;
        let root = RootKey::new(Secret::try_filled_by(|secret| match store.blob(&NAMESPACE, &ROOT_KEY, secret)? {
            Some(32) => Ok(()),
            Some(len) => Err(IdentityError::RootKey { len }),
            None => Err(IdentityError::Missing { key: ROOT_KEY }),
        })?);
        Ok(Self { epoch: KeyEpoch(epoch), root, rotated: None })
    }
}

/// Stores a higher epoch for the root key in use.
pub(crate) fn raise_epoch<F: NorFlash>(store: &mut Nvs<F>, epoch: KeyEpoch) -> Result<(), NvsError<F::Error>> {
    match rotated(store)? {
        Some(item) => Item { epoch, ..item }.write(store, &ROTATED),
        None => store.set_u32(&NAMESPACE, &EPOCH, epoch.0),
    }
}

/// The rotated key, unless the factory has given the device a newer one since.
fn rotated<F: NorFlash>(store: &mut Nvs<F>) -> Result<Option<Item>, NvsError<F::Error>> {
    let Some(item) = Item::read(store, &ROTATED)? else { return Ok(None) };
    let factory = store.u32(&NAMESPACE, &EPOCH)?;
    Ok(Some(item).filter(|item| factory.is_none_or(|factory| item.epoch > KeyEpoch(factory))))
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
    /// Not what an image's project name can be.
    #[error("identity: the project name is not 1 to 31 printable characters")]
    Project,
    /// A firmware key.
    #[error("identity: {key}: {source}")]
    FirmwareKey {
        /// Which one.
        key: Key,
        /// What is wrong with it.
        source: KeyError,
    },
    /// The firmware keys together.
    #[error("identity: {0}")]
    Policy(#[from] PolicyError),
}

#[cfg(test)]
mod tests;
