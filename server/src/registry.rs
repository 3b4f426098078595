//! Enrolment: a record sealed by the factory becomes a device that may talk.

use crate::administrator::Administrator;
use crate::at_rest::AtRestError;
use crate::audit::Audit;
use crate::clock::Clock;
use crate::keyring::Keyring;
use crate::sessions::Sessions;
use crate::store::protocol::MinimumRaised;
use crate::store::{DeviceRecord, Enrolled, Store, StoreError};
use cotter_wire::enrolment::{EnrolmentError, MAX_CERTIFICATE, SealedEnrolment};
use cotter_wire::ids::{DeviceId, KeyEpoch, Nonce, Protocol};
use cotter_wire::keys::EnrolmentKey;
use std::sync::Arc;

/// Takes devices in.
pub struct Registry {
    /// Opens the factory's records.
    pub enrolment_key: EnrolmentKey,
    /// Where devices are kept.
    pub store: Arc<dyn Store>,
    /// Seals root keys for rest.
    pub keyring: Arc<Keyring>,
    /// Ended when a device gets new keys.
    pub sessions: Arc<Sessions>,
    /// Who notes it.
    pub audit: Arc<Audit>,
    /// When a device was enrolled.
    pub clock: Arc<dyn Clock>,
    /// The first packet's nonce must be above this.
    pub nonce_floor: Nonce,
}

/// A device that was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enrolment {
    /// Its name.
    pub device: DeviceId,
    /// The epoch of its keys.
    pub epoch: KeyEpoch,
    /// Whether it was known before, with older keys.
    pub renewed: bool,
}

impl Registry {
    /// Opens a record, seals its root key for rest, and stores it. The same record again is refused as stale, so a
    /// replayed record cannot lower a nonce.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn enrol(&self, record: &[u8], by: &Administrator) -> Result<Enrolment, RegistryError> {
        let device = self.open(record)?;
        let (id, epoch) = (device.id, device.epoch);
        let note = self.audit.note(&by.name, "device-enrolled", id.to_string(), format!("key epoch {epoch}"));
        let renewed = match self.store.enrol(device, note).await? {
            Enrolled::New => false,
            Enrolled::NewEpoch => true,
            Enrolled::Stale { current } => return Err(RegistryError::Stale { device: id, current }),
        };
        self.keyring.forget(&id);
        self.sessions.end_all_of(&id);
        Ok(Enrolment { device: id, epoch, renewed })
    }

    /// Takes no packet of an older protocol from this device any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn raise_minimum_protocol(
        &self,
        device: DeviceId,
        minimum: Protocol,
        by: &Administrator,
    ) -> Result<MinimumRaised, StoreError> {
        let detail = format!("protocol {minimum}");
        let note = self.audit.note(&by.name, "minimum-protocol-raised", device.to_string(), detail);
        let raised = self.store.raise_minimum_protocol(device, minimum, note).await?;
        self.keyring.forget(&device);
        Ok(raised)
    }

    fn open(&self, record: &[u8]) -> Result<DeviceRecord, RegistryError> {
        let mut certificate = [0; MAX_CERTIFICATE];
        let (enrolment, root_key) = SealedEnrolment::parse(record)?.open(&self.enrolment_key, &mut certificate)?;
        Ok(DeviceRecord {
            id: enrolment.device,
            chip: enrolment.chip,
            mac: enrolment.mac,
            epoch: enrolment.epoch,
            sealed_root_key: self.keyring.seal_root_key(&enrolment.device, &root_key)?,
            nonce_floor: self.nonce_floor,
            secure_boot_digest: enrolment.secure_boot,
            enrolled_at: self.clock.unix(),
        })
    }
}

/// Why a record enrols nobody.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Not a record, or not sealed by our factory.
    #[error(transparent)]
    Record(#[from] EnrolmentError),
    /// Its epoch is not above the enrolled one.
    #[error("{device} is enrolled with key epoch {current} already")]
    Stale {
        /// Which device.
        device: DeviceId,
        /// The epoch that it has.
        current: KeyEpoch,
    },
    /// The root key could not be sealed.
    #[error(transparent)]
    AtRest(#[from] AtRestError),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RegistryError {
    /// A stable name; `None` if the server itself is at fault.
    #[must_use]
    pub const fn code(&self) -> Option<&'static str> {
        match self {
            Self::Record(EnrolmentError::NotAuthentic) => Some("enrolment-not-authentic"),
            Self::Record(_) => Some("enrolment-malformed"),
            Self::Stale { .. } => Some("enrolment-stale"),
            Self::AtRest(_) | Self::Store(_) => None,
        }
    }
}
