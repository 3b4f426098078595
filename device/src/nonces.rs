//! The packet nonce: a counter in NVS that never gives the same number twice, whatever happens to the power.

use crate::nvs::{Nvs, NvsError};
use cotter_formats::nvs::entry::Key;
use cotter_wire::ids::Nonce;
use embedded_storage::nor_flash::NorFlash;

/// Where the last nonce given out is stored, as `u32`.
pub const NAMESPACE: Key = Key::literal("ecowatt");
/// See [`NAMESPACE`].
pub const KEY: Key = Key::literal("nonce");

/// The last nonce ever given out. The number after it stays unused, so that no arithmetic on a nonce, here or on the
/// server, comes near the end of its range.
pub const LAST: Nonce = Nonce(u32::MAX - 1);

/// Gives out nonces above a floor that the factory set.
#[derive(Clone, Copy, Debug)]
pub struct NonceCounter {
    floor: Nonce,
}

impl NonceCounter {
    /// A counter whose first nonce is `floor` + 1, or higher if more have been used.
    #[must_use]
    pub const fn new(floor: Nonce) -> Self {
        Self { floor }
    }

    /// Stores the floor if nothing is stored. For the factory, or a first boot that is known to be one.
    ///
    /// # Errors
    /// The store's.
    pub fn provision<F: NorFlash>(&self, store: &mut Nvs<F>) -> Result<(), NonceError<F::Error>> {
        if store.u32(&NAMESPACE, &KEY)?.is_none() {
            store.set_u32(&NAMESPACE, &KEY, self.floor.0)?;
        }
        Ok(())
    }

    /// The next nonce. It is on flash before it is returned: a power cut may skip a number, never repeat one.
    ///
    /// # Errors
    /// [`NonceError::Missing`] if no counter is stored: starting again at the floor could repeat nonces, so that is left
    /// to [`Self::provision`]. [`NonceError::Exhausted`] after [`LAST`]. The store's; then no nonce was given out.
    pub fn next<F: NorFlash>(&self, store: &mut Nvs<F>) -> Result<Nonce, NonceError<F::Error>> {
        let stored = store.u32(&NAMESPACE, &KEY)?.ok_or(NonceError::Missing)?;
        let used = stored.max(self.floor.0);
        if used >= LAST.0 {
            return Err(NonceError::Exhausted);
        }
        let nonce = used + 1;
        store.set_u32(&NAMESPACE, &KEY, nonce)?;
        Ok(Nonce(nonce))
    }
}

/// Why there is no nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NonceError<E> {
    /// The store.
    #[error("nonce: {0}")]
    Store(#[from] NvsError<E>),
    /// The device was never given a counter, or lost it.
    #[error("nonce: no counter is stored")]
    Missing,
    /// All have been used.
    #[error("nonce: all up to {} are used", LAST.0)]
    Exhausted,
}
