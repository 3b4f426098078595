//! Rotation of the root key: a new one is fetched, kept beside the present one, confirmed, and only then takes its place.
//!
//! | state | on flash | the device does |
//! |---|---|---|
//! | nothing to do | the present key | asks now and then: [`Rotation::begin`] |
//! | offered | the present key, and the new one under [`PENDING`] | confirms: [`Confirming::pending`], after a reset too |
//! | switched | the new key under [`ROTATED`]; the others are erased | goes on with it |
//!
//! Each step is one item of NVS, so a cut leaves the state before or the one after. Counters go on over a rotation.
//!
//! Nothing strands the device. If an answer is lost, it confirms again. If the server does not know the pending key, the
//! present one still counts, and the device asks again. If the server was restored from a backup and does not know the
//! present key any more, [`Confirming::present`] brings it back. So a device that is refused confirms first what is pending,
//! then what is present, and only then recovers ([`crate::recovery`]).
//!
//! An erased item is gone for this code, but its ciphertext stays on flash until NVS needs the page.

mod item;

pub(crate) use item::Item;

use crate::identity::{self, Identity, IdentityError};
use crate::nvs::{Nvs, NvsError};
use crate::platform::Random;
use cotter_formats::nvs::entry::Key;
use cotter_wire::api::Path;
use cotter_wire::ids::KeyEpoch;
use cotter_wire::keys::{ConfirmationKey, OfferKey};
use cotter_wire::rotation::{Asking, Confirmation, MAX_MESSAGE, RotationError};
use embedded_storage::nor_flash::NorFlash;

/// Where the present root key is once it was rotated, in [`identity::NAMESPACE`].
pub const ROTATED: Key = Key::literal("rotated_key");
/// Where an offered root key waits.
pub const PENDING: Key = Key::literal("pending_key");

/// An ask for a new root key, which waits for its offer.
#[derive(Debug)]
pub struct Rotation {
    key: OfferKey,
    asking: Asking,
}

impl Rotation {
    /// Draws the nonce of a new ask.
    pub fn begin(identity: &Identity, random: &mut impl Random) -> Self {
        let mut nonce = [0; 16];
        random.fill(&mut nonce);
        Self { key: identity.offer_key(), asking: Asking::new(identity.device, identity.epoch, nonce) }
    }

    /// What to GET, in a session. 204: there is nothing to do.
    #[must_use]
    pub fn path(&self) -> Path {
        self.asking.path()
    }

    /// Takes the body of the answer and stores the key that is in it. It is to be confirmed next.
    ///
    /// # Errors
    /// [`OfferError`]; after a failure of the store, the key is there or not.
    pub fn offered<F: NorFlash>(self, offer: &[u8], store: &mut Nvs<F>) -> Result<(), OfferError<F::Error>> {
        let offered = self.asking.offered(&self.key, offer)?;
        let (epoch, offered_epoch) = (offered.epoch, offered.epoch);
        Item { epoch, offered_epoch, root: offered.root, ticket: offered.ticket }.write(store, &PENDING)?;
        Ok(())
    }
}

/// A confirmation that waits for its acknowledgement.
#[derive(Debug)]
pub struct Confirming {
    key: ConfirmationKey,
    confirmation: Confirmation,
    /// The epoch of the pending item; `None` confirms the present key.
    pending: Option<KeyEpoch>,
}

impl Confirming {
    /// Confirms the pending key, if there is one. To be called after each reset: it also erases what an interrupted
    /// rotation left behind.
    ///
    /// # Errors
    /// The store's.
    pub fn pending<F: NorFlash>(
        identity: &Identity,
        store: &mut Nvs<F>,
        random: &mut impl Random,
    ) -> Result<Option<Self>, NvsError<F::Error>> {
        if identity.rotated().is_some() {
            store.erase_key(&identity::NAMESPACE, &identity::ROOT_KEY)?;
        }
        // A key of an epoch that is not above the present one was overtaken: by itself, or by a recovery.
        let Some(item) = Item::read(store, &PENDING)?.filter(|item| item.epoch > identity.epoch) else {
            store.erase_key(&identity::NAMESPACE, &PENDING)?;
            return Ok(None);
        };
        let key = ConfirmationKey::derive(&item.root, &identity.device);
        let mut device_nonce = [0; 16];
        random.fill(&mut device_nonce);
        let confirmation =
            Confirmation { device: identity.device, epoch: item.offered_epoch, device_nonce, ticket: item.ticket };
        Ok(Some(Self { key, confirmation, pending: Some(item.epoch) }))
    }

    /// Confirms the present key again, for a server that may have forgotten it. `None` if it is the factory's.
    #[must_use]
    pub fn present(identity: &Identity, random: &mut impl Random) -> Option<Self> {
        let (epoch, ticket) = identity.rotated()?;
        let mut device_nonce = [0; 16];
        random.fill(&mut device_nonce);
        let confirmation = Confirmation { device: identity.device, epoch, device_nonce, ticket };
        Some(Self { key: identity.confirmation_key(), confirmation, pending: None })
    }

    /// The body of the request to [`api::key`](cotter_wire::api::key). It needs no session.
    #[must_use]
    pub fn message<'o>(&self, out: &'o mut [u8; MAX_MESSAGE]) -> &'o [u8] {
        self.confirmation.write(&self.key, out).expect("MAX_MESSAGE bytes are always enough")
    }

    /// Takes the acknowledgement: the pending key becomes the present one, and the one before is erased. Returns the
    /// identity with it. `identity` and whatever borrows it ends: while keys change, nothing is sealed.
    ///
    /// # Errors
    /// [`SwitchError`]. After a failure of the store the device starts anew, with the key before or the new one.
    pub fn acknowledged<F: NorFlash>(
        self,
        identity: Identity,
        ack: &[u8],
        store: &mut Nvs<F>,
    ) -> Result<Identity, SwitchError<F::Error>> {
        self.confirmation.acknowledged(&self.key, ack)?;
        drop(identity);
        if let Some(epoch) = self.pending
            && let Some(item) = Item::read(store, &PENDING)?.filter(|item| item.epoch == epoch)
        {
            item.write(store, &ROTATED)?;
            store.erase_key(&identity::NAMESPACE, &PENDING)?;
            store.erase_key(&identity::NAMESPACE, &identity::ROOT_KEY)?;
        }
        Ok(Identity::load(store)?)
    }
}

/// Why a new key is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferError<E> {
    /// The offer is not the server's, or not to this ask.
    #[error(transparent)]
    Rotation(#[from] RotationError),
    /// The key could not be stored.
    #[error("rotation: {0}")]
    Store(#[from] NvsError<E>),
}

/// Why the new key is not the present one yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SwitchError<E> {
    /// The answer is not the server's, or to another confirmation.
    #[error(transparent)]
    Rotation(#[from] RotationError),
    /// The key could not be stored.
    #[error("rotation: {0}")]
    Store(#[from] NvsError<E>),
    /// The identity does not load any more.
    #[error(transparent)]
    Identity(#[from] IdentityError<E>),
}

#[cfg(test)]
mod tests;
