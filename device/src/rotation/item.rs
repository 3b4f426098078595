//! A root key with all that belongs to it, as one NVS item: 100 bytes, little-endian.
//!
//! | offset | bytes | content |
//! |---|---|---|
//! | 0 | 4 | epoch of the keys; a recovery raises it |
//! | 4 | 4 | epoch that the key was offered with |
//! | 8 | 32 | root key |
//! | 40 | 60 | ticket |

use crate::identity::NAMESPACE;
use crate::nvs::{Nvs, NvsError};
use cotter_formats::nvs::entry::Key;
use cotter_formats::secret::Secret;
use cotter_wire::ids::KeyEpoch;
use cotter_wire::keys::RootKey;
use cotter_wire::rotation::Ticket;
use embedded_storage::nor_flash::NorFlash;

/// One generation of keys.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) epoch: KeyEpoch,
    pub(crate) offered_epoch: KeyEpoch,
    pub(crate) root: RootKey,
    pub(crate) ticket: Ticket,
}

impl Item {
    /// Reads it. An item of another length is `None`: nobody but this module writes one.
    pub(crate) fn read<F: NorFlash>(store: &mut Nvs<F>, key: &Key) -> Result<Option<Self>, NvsError<F::Error>> {
        let mut found = None;
        let bytes = Secret::<LEN>::try_filled_by(|bytes| {
            found = match store.blob(&NAMESPACE, key, bytes) {
                Err(NvsError::Room { .. }) => None,
                other => other?,
            };
            Ok::<_, NvsError<F::Error>>(())
        })?;
        if found != Some(LEN) {
            return Ok(None);
        }
        let (epoch, rest) = bytes.expose().split_first_chunk::<4>().expect(FITS);
        let (offered_epoch, rest) = rest.split_first_chunk::<4>().expect(FITS);
        let (root, ticket) = rest.split_first_chunk::<32>().expect(FITS);
        Ok(Some(Self {
            epoch: KeyEpoch(u32::from_le_bytes(*epoch)),
            offered_epoch: KeyEpoch(u32::from_le_bytes(*offered_epoch)),
            root: RootKey::new(Secret::filled_by(|key| *key = *root)),
            ticket: Ticket(*ticket.first_chunk().expect(FITS)),
        }))
    }

    /// Writes it: before, the old item is there; afterwards, this one.
    pub(crate) fn write<F: NorFlash>(&self, store: &mut Nvs<F>, key: &Key) -> Result<(), NvsError<F::Error>> {
        let bytes = Secret::<LEN>::filled_by(|bytes| {
            bytes[..4].copy_from_slice(&self.epoch.0.to_le_bytes());
            bytes[4..8].copy_from_slice(&self.offered_epoch.0.to_le_bytes());
            bytes[8..40].copy_from_slice(self.root.expose());
            bytes[40..].copy_from_slice(&self.ticket.0);
        });
        store.set_blob(&NAMESPACE, key, bytes.expose())
    }
}

const LEN: usize = 40 + Ticket::LEN;
const FITS: &str = "the parts have 100 bytes together";
