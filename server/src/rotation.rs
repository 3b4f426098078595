//! Rotation of the root keys of devices: an order, then for each device an offer, a switch, an overlap, and the end of the
//! key before.
//!
//! A new root key is made when its device asks, and stored before it is sent. The switch is one transaction, with the
//! device's proof that it has stored the key. So whoever is killed, and whichever message is lost: the device confirms
//! again, and either is answered as before or asks again under the key that both still have.

use crate::administrator::Administrator;
use crate::at_rest::AtRestError;
use crate::audit::Audit;
use crate::clock::Clock;
use crate::keyring::{Keyring, KeyringError, KnownDevice};
use crate::rollout::tag::Tag;
use crate::sessions::Sessions;
use crate::store::rotations::{
    Due, MOST_ROTATIONS, NewOffer, NewRotation, OfferedKey, RotationAdded, RotationChanged, Switch, Switched,
};
use crate::store::{Store, StoreError};
use cotter_formats::secret::Secret;
use cotter_wire::ids::{DeviceId, KeyEpoch};
use cotter_wire::keys::{ConfirmationKey, OfferKey, RootKey};
use cotter_wire::rotation::{Asked, ConfirmMessage, MAX_MESSAGE, Offered, RotationError, Ticket};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// An order's number, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RotationId(pub u32);

impl fmt::Display for RotationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RotationId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// For which devices an order is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All that are enrolled.
    All,
    /// Those with this tag when they ask.
    Tag(Tag),
    /// One.
    Device(DeviceId),
}

impl Scope {
    /// From [`Self::kind`] and [`Self::target`].
    #[must_use]
    pub fn new(kind: &str, target: &str) -> Option<Self> {
        match kind {
            "all" => target.is_empty().then_some(Self::All),
            "tag" => target.parse().ok().map(Self::Tag),
            "device" => target.parse().ok().map(Self::Device),
            _ => None,
        }
    }

    /// `all`, `tag` or `device`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Tag(_) => "tag",
            Self::Device(_) => "device",
        }
    }

    /// Which tag or device; empty for all.
    #[must_use]
    pub fn target(&self) -> &str {
        match self {
            Self::All => "",
            Self::Tag(tag) => tag.as_str(),
            Self::Device(device) => device.as_str(),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all devices"),
            Self::Tag(tag) => write!(f, "devices with the tag {tag}"),
            Self::Device(device) => device.fmt(f),
        }
    }
}

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Devices that ask are offered new keys.
    Running,
    /// No offers; what was offered may be taken.
    Paused,
    /// No device has to do anything for it any more.
    Finished,
    /// No offers ever again; what was offered may be taken.
    Cancelled,
}

impl State {
    const ALL: [Self; 4] = [Self::Running, Self::Paused, Self::Finished, Self::Cancelled];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Finished => "finished",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// What an administrator does with an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Stops offers.
    Pause,
    /// Goes on.
    Resume,
    /// Stops offers for good.
    Cancel,
}

impl Act {
    const ALL: [Self; 3] = [Self::Pause, Self::Resume, Self::Cancel];

    /// The act of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.as_str() == name)
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
        }
    }

    const fn event(self) -> &'static str {
        match self {
            Self::Pause => "rotation-paused",
            Self::Resume => "rotation-resumed",
            Self::Cancel => "rotation-cancelled",
        }
    }

    /// The state after it; `None` if it is not allowed from there.
    #[must_use]
    pub const fn from(self, state: State) -> Option<State> {
        match (self, state) {
            (Self::Pause, State::Running) => Some(State::Paused),
            (Self::Resume, State::Paused) => Some(State::Running),
            (Self::Cancel, State::Running | State::Paused) => Some(State::Cancelled),
            _ => None,
        }
    }
}

/// Rotates root keys.
pub struct Rotations {
    /// Where orders and keys are.
    pub store: Arc<dyn Store>,
    /// Seals keys for rest.
    pub keyring: Arc<Keyring>,
    /// Ended when a device switches.
    pub sessions: Arc<Sessions>,
    /// Who notes it.
    pub audit: Arc<Audit>,
    /// When it was.
    pub clock: Arc<dyn Clock>,
}

impl Rotations {
    /// Orders a rotation.
    ///
    /// # Errors
    /// [`RotationRefusal`].
    pub async fn start(&self, scope: Scope, overlap: u32, by: &Administrator) -> Result<RotationId, RotationRefusal> {
        if overlap > LONGEST_OVERLAP_S {
            return Err(RotationRefusal::Overlap);
        }
        let detail = format!("{scope}; keys before count for {overlap} s");
        let note = self.audit.note(&by.name, "rotation-started", String::new(), detail);
        let new = NewRotation { scope, overlap, at: self.clock.unix(), by: by.name.to_string() };
        match self.store.add_rotation(new, note).await? {
            RotationAdded::Added(id) => Ok(id),
            RotationAdded::TooMany => Err(RotationRefusal::TooMany),
            RotationAdded::UnknownDevice => Err(RotationRefusal::UnknownDevice),
        }
    }

    /// Pauses, resumes or cancels one.
    ///
    /// # Errors
    /// [`RotationRefusal`].
    pub async fn act(&self, id: RotationId, act: Act, by: &Administrator) -> Result<State, RotationRefusal> {
        let note = self.audit.note(&by.name, act.event(), String::new(), String::new());
        match self.store.change_rotation(id, act, self.clock.unix(), note).await? {
            RotationChanged::To(state) => Ok(state),
            RotationChanged::Forbidden(state) => Err(RotationRefusal::Forbidden { act, state }),
            RotationChanged::Unknown => Err(RotationRefusal::Unknown),
        }
    }

    /// Answers a device that asks in its session whether there is a new key for it.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn ask(&self, device: &KnownDevice, device_nonce: &[u8; 16]) -> Result<Option<Vec<u8>>, Refused> {
        // 1. What was offered before, or a key that is stored before it is sent.
        let key = match self.store.due_key(device.id, device.epoch).await? {
            Due::Nothing => return Ok(None),
            Due::Offered(key) => key,
            Due::Wanted(_) => match self.store.offer_key(self.new_offer(device)?).await? {
                Some(key) => key,
                None => return Ok(None),
            },
        };
        // 2. The present key, which seals it.
        let stored = self.store.device(device.id).await?.filter(|stored| stored.record.epoch == device.epoch);
        let Some(stored) = stored else { return Ok(None) };
        let present = self.keyring.root_key(&stored.record)?;
        // 3. The offer, under a fresh nonce each time.
        let root = self.keyring.open_offered(&device.id, key.epoch, &key.sealed)?;
        let ticket =
            <[u8; Ticket::LEN]>::try_from(key.sealed).map_err(|_| StoreError::Corrupt { column: "sealed_key" })?;
        let mut nonce = [0; 12];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| AtRestError::NoRandomness)?;
        let asked = Asked { device: &device.id, epoch: device.epoch, device_nonce };
        let offered = Offered { epoch: key.epoch, root, ticket: Ticket(ticket) };
        let offer_key = OfferKey::derive(&present, &device.id);
        Ok(Some(asked.offer(&offer_key, &offered, nonce, &mut [0; MAX_MESSAGE])?.to_vec()))
    }

    fn new_offer(&self, device: &KnownDevice) -> Result<NewOffer, Refused> {
        let epoch = KeyEpoch(device.epoch.0.checked_add(1).ok_or(Refused::Exhausted)?);
        let root = Secret::try_filled_by(|key: &mut [u8; 32]| {
            aws_lc_rs::rand::fill(key).map_err(|_| AtRestError::NoRandomness)
        })?;
        let sealed = self.keyring.seal_offered(&device.id, epoch, &RootKey::new(root))?;
        let key = OfferedKey { epoch, sealed };
        Ok(NewOffer { device: device.id, present: device.epoch, key, at: self.clock.unix() })
    }

    /// Answers a confirmation that was posted for `path_device` with an acknowledgement, once the new key durably counts.
    /// It needs no session, and the same again is answered again.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn confirm(&self, path_device: DeviceId, body: &[u8]) -> Result<Vec<u8>, Refused> {
        // 1. The one spelling of a confirmation, of this device.
        let message = ConfirmMessage::parse(body).map_err(|why| {
            self.audit.stranger("rotation-malformed", &path_device, &why);
            Refused::Malformed
        })?;
        if *message.device() != path_device {
            self.audit.stranger("rotation-of-another-device", &path_device, message.device());
            return Err(Refused::Confirmation);
        }
        // 2. Of the key that counts already: the acknowledgement was lost, or the device wants to be sure.
        if let Some(ack) = self.acknowledged(&message).await? {
            return Ok(ack);
        }
        // 3. Of a key that we sealed for it: as its ticket says, or as we stored it.
        let Some(root) = self.offered(&message).await? else {
            self.audit.stranger("rotation-of-unknown-key", &path_device, &"no such key was offered");
            return Err(Refused::Confirmation);
        };
        let key = ConfirmationKey::derive(&root, &path_device);
        let confirmed = message.verify(&key).map_err(|why| {
            self.audit.stranger("rotation-forged", &path_device, &why);
            Refused::Confirmation
        })?;
        // 4. One transaction.
        let epoch = message.epoch();
        let note = self.audit.note(
            &path_device,
            "root-key-rotated",
            path_device.to_string(),
            format!("key epoch {epoch}, as the device has confirmed"),
        );
        let sealed_root_key = self.keyring.seal_root_key(&path_device, &root)?;
        let switch = Switch { device: path_device, epoch, sealed_root_key, at: self.clock.unix() };
        let switched = self.store.switch_key(switch, note).await?;
        // 5. Whatever holds the old keys ends.
        self.keyring.forget(&path_device);
        match switched {
            Switched::Switched => {
                self.sessions.end_all_of(&path_device);
                Ok(confirmed.acknowledge(&key, &mut [0; MAX_MESSAGE])?.to_vec())
            }
            // The same confirmation, twice at once; or a key that was replaced since.
            Switched::NotNewer { current } => self.acknowledged(&message).await?.ok_or_else(|| {
                let why = format!("key epoch {epoch} is not above {current}");
                self.audit.device("rotation-stale", &path_device, &why);
                Refused::Confirmation
            }),
            Switched::UnknownDevice => Err(Refused::Confirmation),
        }
    }

    async fn acknowledged(&self, message: &ConfirmMessage) -> Result<Option<Vec<u8>>, Refused> {
        let Some(stored) = self.store.device(*message.device()).await? else {
            self.audit.stranger("rotation-of-unknown-device", message.device(), &"not enrolled");
            return Err(Refused::Confirmation);
        };
        let key = ConfirmationKey::derive(&self.keyring.root_key(&stored.record)?, message.device());
        match message.verify(&key) {
            Ok(confirmed) => Ok(Some(confirmed.acknowledge(&key, &mut [0; MAX_MESSAGE])?.to_vec())),
            Err(_) => Ok(None),
        }
    }

    async fn offered(&self, message: &ConfirmMessage) -> Result<Option<RootKey>, Refused> {
        let (device, epoch) = (message.device(), message.epoch());
        if let Ok(root) = self.keyring.open_offered(device, epoch, &message.ticket().0) {
            return Ok(Some(root));
        }
        // The ticket is of another master key.
        let stored = self.store.offered_key(*device).await?.filter(|stored| stored.epoch == epoch);
        Ok(stored.and_then(|stored| self.keyring.open_offered(device, epoch, &stored.sealed).ok()))
    }

    /// Deletes the keys whose overlap is over, and ends the orders that are done. Of silent devices too.
    ///
    /// # Errors
    /// The store's.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        loop {
            let detail = "its overlap is over".to_owned();
            let note = self.audit.note(&"server", "root-key-retired", String::new(), detail);
            let retired = self.store.retire_keys(self.clock.unix(), note).await?;
            if retired.is_empty() {
                break;
            }
            retired.iter().for_each(|device| self.keyring.forget(device));
        }
        for id in self.store.done_rotations().await? {
            let note = self.audit.note(&"server", "rotation-finished", format!("rotation {id}"), String::new());
            self.store.finish_rotation(id, self.clock.unix(), note).await?;
        }
        Ok(())
    }
}

/// 90 days: then the next rotation is due.
pub const LONGEST_OVERLAP_S: u32 = 90 * 24 * 3600;

/// Why an administrator's wish is not done.
#[derive(Debug, thiserror::Error)]
pub enum RotationRefusal {
    /// Keys would never be retired.
    #[error("keys before count for 0 to {LONGEST_OVERLAP_S} seconds")]
    Overlap,
    /// Too many at a time.
    #[error("{MOST_ROTATIONS} rotations run or pause already")]
    TooMany,
    /// The one device that it is for is not enrolled.
    #[error("no such device is enrolled")]
    UnknownDevice,
    /// No such order.
    #[error("no such rotation")]
    Unknown,
    /// Not from this state.
    #[error("cannot {} a rotation that is {}", act.as_str(), state.as_str())]
    Forbidden {
        /// What was asked for.
        act: Act,
        /// Where it stands.
        state: State,
    },
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RotationRefusal {
    /// A stable name; `None` if the server itself is at fault.
    #[must_use]
    pub const fn code(&self) -> Option<&'static str> {
        match self {
            Self::Overlap => Some("rotation-overlap"),
            Self::TooMany => Some("rotation-too-many"),
            Self::UnknownDevice => Some("rotation-unknown-device"),
            Self::Unknown => Some("rotation-unknown"),
            Self::Forbidden { .. } => Some("rotation-state"),
            Self::Store(_) => None,
        }
    }
}

/// Why a device gets no answer; it learns only "refused".
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Not a message.
    #[error("rotation: malformed")]
    Malformed,
    /// Not from the device, or of a key that does not count.
    #[error("rotation: refused")]
    Confirmation,
    /// There is no higher epoch.
    #[error("rotation: there is no higher key epoch")]
    Exhausted,
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key at rest.
    #[error(transparent)]
    AtRest(#[from] AtRestError),
    /// The keys were not found.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The answer does not fit.
    #[error(transparent)]
    Answer(#[from] RotationError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_has_ended_stays_so() {
        use State::{Cancelled, Finished, Paused, Running};
        let next = |act: Act| State::ALL.map(|state| act.from(state));
        assert_eq!(next(Act::Pause), [Some(Paused), None, None, None]);
        assert_eq!(next(Act::Resume), [None, Some(Running), None, None]);
        assert_eq!(next(Act::Cancel), [Some(Cancelled), Some(Cancelled), None, None]);
        for state in [Running, Paused, Finished, Cancelled] {
            assert_eq!(State::from_name(state.as_str()), Some(state));
        }
        assert_eq!((State::from_name("Running"), Act::from_name("stop")), (None, None));
    }

    #[test]
    fn a_scope_has_one_spelling() {
        for (kind, target) in [("all", ""), ("tag", "field.north"), ("device", "solar-0001")] {
            let scope = Scope::new(kind, target).unwrap();
            assert_eq!((scope.kind(), scope.target()), (kind, target));
        }
        for (kind, target) in [("all", "x"), ("tag", ""), ("tag", "A"), ("device", ""), ("none", "")] {
            assert_eq!(Scope::new(kind, target), None, "{kind} {target}");
        }
    }
}
