//! The keys of devices: root keys sealed in the store and in a bounded directory of it, derived keys in a bounded cache.

mod directory;

use crate::at_rest::{AtRestError, MasterKey, Use};
use crate::lru::Lru;
use crate::store::rotations::PreviousKey;
use crate::store::{DeviceRecord, Place, Store, StoreError};
use cotter_formats::chip::Chip;
use cotter_wire::compact::Channel;
use cotter_wire::ids::{DeviceId, KeyEpoch, Protocol, Sequence};
use cotter_wire::keys::{DeviceKeys, Direction, RecoveryKey, RootKey};
use directory::{Directory, Entry};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Finds the keys of a device.
pub struct Keyring {
    master: MasterKey,
    store: Arc<dyn Store>,
    cache: Mutex<Cache>,
    // Counts `forget`s, so that what was read before one is not cached after it.
    generation: AtomicU64,
}

struct Cache {
    known: Lru<DeviceId, Arc<KnownDevice>>,
    directory: Directory,
}

/// A device whose keys are at hand.
#[derive(Debug)]
pub struct KnownDevice {
    /// Its name.
    pub id: DeviceId,
    /// Where the store keeps it, if it came from there.
    pub place: Option<Place>,
    /// Its chip.
    pub chip: Chip,
    /// The epoch of `keys`.
    pub epoch: KeyEpoch,
    /// Everything derived from its root key.
    pub keys: DeviceKeys,
    /// What its compact packets are opened with.
    pub uplink: Channel,
    /// What it proves itself with when its nonce counter is lost.
    pub recovery: RecoveryKey,
    /// When its root key was rotated last, Unix seconds.
    pub rotated_at: Option<u64>,
    /// What packets from before the last rotation are opened with, while they count.
    pub previous: Option<Box<PreviousKeys>>,
    consumed: Mutex<Consumed>,
}

/// Keys of packets that were sealed before the root key was rotated.
#[derive(Debug)]
pub struct PreviousKeys {
    /// Their epoch.
    pub epoch: KeyEpoch,
    /// Until when, Unix seconds.
    pub until: u64,
    /// Everything derived from the root key before.
    pub keys: DeviceKeys,
    /// What compact packets are opened with.
    pub uplink: Channel,
}

/// A nonce that is surely consumed; the store may already be further. Good for refusing early, never for accepting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consumed {
    /// The nonce.
    pub nonce: Sequence,
    /// Digest of the packet that consumed it; `None` if that was the enrolled floor.
    pub digest: Option<[u8; 32]>,
    /// Packets of an older protocol are refused.
    pub minimum: Protocol,
}

impl KnownDevice {
    /// The last one that we know of.
    #[must_use]
    pub fn consumed(&self) -> Consumed {
        *self.consumed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, accepted: Consumed) {
        let mut last = self.consumed.lock().unwrap_or_else(PoisonError::into_inner);
        if accepted.nonce > last.nonce {
            *last = accepted;
        }
    }
}

impl Keyring {
    /// Keeps the keys of at most `cached` devices in memory, and of at most `listed` what they are made from.
    #[must_use]
    pub fn new(master: MasterKey, store: Arc<dyn Store>, cached: usize, listed: usize) -> Self {
        let cache = Cache { known: Lru::new(cached), directory: Directory::new(listed) };
        Self { master, store, cache: Mutex::new(cache), generation: AtomicU64::new(0) }
    }

    /// Lists the devices of the store, as far as there is room, so that their first packets need not ask for them.
    ///
    /// # Errors
    /// [`StoreError`]; those that are not listed are found all the same.
    pub async fn list(&self) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let generation = self.generation.load(Ordering::Acquire);
            let page = self.store.devices(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.record.id);
            let mut cache = self.cache();
            // Somebody on this page may have other keys by now: they are all listed when they come.
            if self.generation.load(Ordering::Acquire) == generation {
                let listed = page.iter().filter(|stored| stored.previous.is_none()).filter_map(Entry::of);
                listed.for_each(|entry| cache.directory.add(entry));
            }
            if cache.directory.is_full() {
                return Ok(());
            }
        }
    }

    /// The device of that name, from the cache or the store.
    ///
    /// # Errors
    /// [`KeyringError`] if the store does not answer or its content does not open.
    pub async fn device(&self, id: DeviceId) -> Result<Option<Arc<KnownDevice>>, KeyringError> {
        let (generation, listed) = {
            let mut cache = self.cache();
            if let Some(known) = cache.known.touch(&id) {
                return Ok(Some(Arc::clone(known)));
            }
            (self.generation.load(Ordering::Acquire), cache.directory.find(&id).copied())
        };
        let (entry, previous) = match listed {
            Some(entry) => (entry, None),
            None => {
                let Some(stored) = self.store.device(id).await? else { return Ok(None) };
                let entry = Entry::of(&stored).ok_or(AtRestError::Sealed { usage: Use::DeviceRootKey })?;
                (entry, stored.previous)
            }
        };
        let known = Arc::new(self.open(&entry, previous.as_ref())?);
        let mut cache = self.cache();
        if self.generation.load(Ordering::Acquire) == generation {
            cache.known.insert(id, Arc::clone(&known));
            if previous.is_none() {
                cache.directory.add(entry);
            }
        }
        Ok(Some(known))
    }

    /// Notes what the store has consumed of a device.
    pub fn note(&self, device: &KnownDevice, accepted: Consumed) {
        device.note(accepted);
        self.cache().directory.note(&device.id, device.epoch, accepted);
    }

    /// Devices whose keys are in memory.
    #[must_use]
    pub fn cached(&self) -> usize {
        self.cache().known.len()
    }

    /// Drops what is cached about a device whose record has changed.
    pub fn forget(&self, id: &DeviceId) {
        let mut cache = self.cache();
        self.generation.fetch_add(1, Ordering::Release);
        cache.known.remove(id);
        cache.directory.remove(id);
    }

    /// Seals a root key for [`DeviceRecord::sealed_root_key`](crate::store::DeviceRecord::sealed_root_key).
    ///
    /// # Errors
    /// [`AtRestError::NoRandomness`].
    pub fn seal_root_key(&self, id: &DeviceId, key: &RootKey) -> Result<Vec<u8>, AtRestError> {
        self.master.seal(Use::DeviceRootKey, id.as_bytes(), key.expose())
    }

    /// The root key of a device.
    ///
    /// # Errors
    /// [`AtRestError::Sealed`].
    pub fn root_key(&self, record: &DeviceRecord) -> Result<RootKey, AtRestError> {
        self.master.open(Use::DeviceRootKey, record.id.as_bytes(), &record.sealed_root_key).map(RootKey::new)
    }

    /// Seals a root key that is offered to a device: as it is stored, and as the device's ticket.
    ///
    /// # Errors
    /// [`AtRestError::NoRandomness`].
    pub fn seal_offered(&self, id: &DeviceId, epoch: KeyEpoch, key: &RootKey) -> Result<Vec<u8>, AtRestError> {
        self.master.seal(Use::OfferedRootKey, &offered(id, epoch), key.expose())
    }

    /// Opens what [`Self::seal_offered`] sealed for the same device and epoch.
    ///
    /// # Errors
    /// [`AtRestError::Sealed`].
    pub fn open_offered(&self, id: &DeviceId, epoch: KeyEpoch, sealed: &[u8]) -> Result<RootKey, AtRestError> {
        self.master.open(Use::OfferedRootKey, &offered(id, epoch), sealed).map(RootKey::new)
    }

    /// The key that seals content keys too.
    #[must_use]
    pub const fn master(&self) -> &MasterKey {
        &self.master
    }

    fn open(&self, entry: &Entry, previous: Option<&PreviousKey>) -> Result<KnownDevice, AtRestError> {
        let id = &entry.id;
        let root = RootKey::new(self.master.open(Use::DeviceRootKey, id.as_bytes(), &entry.sealed_root_key)?);
        let previous = previous.map(|previous| {
            let epoch = previous.epoch;
            let root = self.master.open(Use::DeviceRootKey, id.as_bytes(), &previous.sealed_root_key)?;
            let root = RootKey::new(root);
            Ok::<_, AtRestError>(Box::new(PreviousKeys {
                epoch,
                until: previous.until,
                keys: DeviceKeys::derive(&root, id, epoch),
                uplink: Channel::derive(&root, id, epoch, Direction::Up),
            }))
        });
        Ok(KnownDevice {
            id: *id,
            place: Some(entry.place),
            chip: entry.chip,
            epoch: entry.epoch,
            keys: DeviceKeys::derive(&root, id, entry.epoch),
            uplink: Channel::derive(&root, id, entry.epoch, Direction::Up),
            recovery: RecoveryKey::derive(&root, id),
            rotated_at: entry.rotated_at,
            previous: previous.transpose()?,
            consumed: Mutex::new(entry.consumed),
        })
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        // A panic elsewhere leaves at worst a missing entry, which is read again.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Devices that are read at once to be listed.
const PAGE: usize = 256;

/// Whose an offered key is.
fn offered(id: &DeviceId, epoch: KeyEpoch) -> Vec<u8> {
    [&epoch.0.to_be_bytes(), id.as_bytes()].concat()
}

/// Why keys could not be found.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stored key does not open.
    #[error(transparent)]
    AtRest(#[from] AtRestError),
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::audit::note::NoteSigner;
    use crate::store::AuditEntry;
    use crate::store::DeviceRecord;
    use crate::store::sqlite::SqliteStore;
    use cotter_formats::secret::Secret;
    use cotter_wire::ids::Nonce;

    /// A device of that name; its root key is the name, repeated.
    pub(crate) fn known_device(name: &str) -> KnownDevice {
        let id: DeviceId = name.parse().unwrap();
        let root = RootKey::new(root_key(name));
        KnownDevice {
            id,
            place: None,
            chip: Chip::Esp32C3,
            epoch: KeyEpoch(1),
            keys: DeviceKeys::derive(&root, &id, KeyEpoch(1)),
            uplink: Channel::derive(&root, &id, KeyEpoch(1), Direction::Up),
            recovery: RecoveryKey::derive(&root, &id),
            rotated_at: None,
            previous: None,
            consumed: Mutex::new(Consumed { nonce: Nonce(0).into(), digest: None, minimum: Protocol::V1 }),
        }
    }

    fn root_key(name: &str) -> Secret<32> {
        Secret::filled_by(|key| key.iter_mut().zip(name.bytes().cycle()).for_each(|(to, from)| *to = from))
    }

    fn record(keyring: &Keyring, name: &str, epoch: u32) -> DeviceRecord {
        let id = name.parse().unwrap();
        DeviceRecord {
            id,
            chip: Chip::Esp32C3,
            mac: [0; 6],
            epoch: KeyEpoch(epoch),
            sealed_root_key: keyring.seal_root_key(&id, &RootKey::new(root_key(name))).unwrap(),
            nonce_floor: Nonce(7),
            secure_boot_digest: [0; 32],
            enrolled_at: 0,
        }
    }

    fn note() -> AuditEntry {
        let text = String::new;
        AuditEntry { at: 0, by: text(), subject: text(), event: text(), detail: text() }
    }

    fn keyring(directory: &std::path::Path, capacity: usize) -> Keyring {
        let signer = NoteSigner::new(&Secret::filled_by(|seed| seed.fill(2))).unwrap();
        let store = Arc::new(SqliteStore::open(&directory.join("a.db"), signer).unwrap());
        Keyring::new(MasterKey::new(&Secret::filled_by(|key| key.fill(1))), store, capacity, capacity)
    }

    #[tokio::test]
    async fn a_listed_device_is_not_asked_for_and_keeps_its_nonce_when_its_keys_are_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let keyring = Keyring {
            cache: Mutex::new(Cache { known: Lru::new(1), directory: Directory::new(2) }),
            ..keyring(directory.path(), 1)
        };
        for name in ["a", "b", "c"] {
            keyring.store.enrol(record(&keyring, name, 1), note()).await.unwrap();
        }
        keyring.list().await.unwrap();
        let listed = |name: &str| keyring.cache().directory.find(&name.parse().unwrap()).is_some();
        assert_eq!(["a", "b", "c"].map(listed), [true, true, false], "there is room for two");
        let a = keyring.device("a".parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(a.keys.telemetry_mac.expose(), known_device("a").keys.telemetry_mac.expose());
        let accepted = Consumed { nonce: Nonce(9).into(), digest: Some([1; 32]), minimum: Protocol::V1 };
        keyring.note(&a, accepted);
        // These push it out of the cache.
        for name in ["b", "c"] {
            assert!(keyring.device(name.parse().unwrap()).await.unwrap().is_some());
        }
        assert!(keyring.cache().known.touch(&a.id).is_none());
        assert_eq!(keyring.device(a.id).await.unwrap().unwrap().consumed(), accepted);
    }

    #[tokio::test]
    async fn finds_the_keys_of_an_enrolled_device_only() {
        let directory = tempfile::tempdir().unwrap();
        let keyring = keyring(directory.path(), 2);
        keyring.store.enrol(record(&keyring, "a", 1), note()).await.unwrap();
        let found = keyring.device("a".parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(found.keys.telemetry_mac.expose(), known_device("a").keys.telemetry_mac.expose());
        assert_eq!(found.consumed(), Consumed { nonce: Nonce(7).into(), digest: None, minimum: Protocol::V1 });
        assert!(keyring.device("b".parse().unwrap()).await.unwrap().is_none());
        assert!(Arc::ptr_eq(&found, &keyring.device("a".parse().unwrap()).await.unwrap().unwrap()));
    }

    #[tokio::test]
    async fn forgetting_brings_the_new_epoch() {
        let directory = tempfile::tempdir().unwrap();
        let keyring = keyring(directory.path(), 2);
        let id = "a".parse().unwrap();
        keyring.store.enrol(record(&keyring, "a", 1), note()).await.unwrap();
        keyring.list().await.unwrap();
        assert_eq!(keyring.device(id).await.unwrap().unwrap().epoch, KeyEpoch(1));
        keyring.store.enrol(record(&keyring, "a", 2), note()).await.unwrap();
        keyring.forget(&id);
        assert_eq!(keyring.device(id).await.unwrap().unwrap().epoch, KeyEpoch(2));
    }

    #[tokio::test]
    async fn a_key_moved_to_another_row_does_not_open() {
        let directory = tempfile::tempdir().unwrap();
        let keyring = keyring(directory.path(), 2);
        let moved =
            DeviceRecord { sealed_root_key: record(&keyring, "a", 1).sealed_root_key, ..record(&keyring, "b", 1) };
        keyring.store.enrol(moved, note()).await.unwrap();
        assert!(matches!(keyring.device("b".parse().unwrap()).await, Err(KeyringError::AtRest(_))));
    }
}
