//! Devices in 200 bytes each: what it takes to make their keys without asking the store. The root keys in it are sealed.

use super::Consumed;
use crate::at_rest::SEALED;
use crate::store::{Place, StoredDevice};
use cotter_formats::chip::Chip;
use cotter_wire::ids::{DeviceId, KeyEpoch};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// At most `capacity` devices. Who comes later is looked for in the store.
pub(super) struct Directory {
    hasher: RandomState,
    // By the hash of the name, which nobody can foresee. If two have the same one, the second stays out.
    places: HashMap<u64, u32>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    capacity: usize,
}

/// One device without a key before the present one.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) id: DeviceId,
    pub(super) chip: Chip,
    pub(super) sealed_root_key: [u8; SEALED],
    pub(super) epoch: KeyEpoch,
    pub(super) place: Place,
    pub(super) consumed: Consumed,
    pub(super) rotated_at: Option<u64>,
}

impl Entry {
    /// `None` if what is stored cannot be a sealed key.
    pub(super) fn of(stored: &StoredDevice) -> Option<Self> {
        Some(Self {
            id: stored.record.id,
            chip: stored.record.chip,
            sealed_root_key: stored.record.sealed_root_key.as_slice().try_into().ok()?,
            epoch: stored.record.epoch,
            place: stored.place,
            consumed: Consumed {
                nonce: stored.last_nonce,
                digest: stored.last_digest,
                minimum: stored.minimum_protocol,
            },
            rotated_at: stored.rotated_at,
        })
    }
}

impl Directory {
    pub(super) fn new(capacity: usize) -> Self {
        let capacity = capacity.min(u32::MAX as usize);
        Self { hasher: RandomState::new(), places: HashMap::new(), entries: Vec::new(), free: Vec::new(), capacity }
    }

    pub(super) fn find(&self, id: &DeviceId) -> Option<&Entry> {
        let place = *self.places.get(&self.hasher.hash_one(id))?;
        self.entries.get(place as usize).filter(|entry| entry.id == *id)
    }

    /// Adds a device that is not there, if there is room.
    pub(super) fn add(&mut self, entry: Entry) {
        let hash = self.hasher.hash_one(entry.id);
        if self.is_full() || self.places.contains_key(&hash) {
            return;
        }
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                self.entries.push(entry);
                u32::try_from(self.entries.len() - 1).expect("the capacity is a u32")
            }
        };
        self.entries[place as usize] = entry;
        self.places.insert(hash, place);
    }

    pub(super) fn is_full(&self) -> bool {
        self.places.len() >= self.capacity
    }

    pub(super) fn remove(&mut self, id: &DeviceId) {
        if self.find(id).is_some() {
            self.free.extend(self.places.remove(&self.hasher.hash_one(id)));
        }
    }

    /// Notes what the store has consumed under the keys of `epoch`.
    pub(super) fn note(&mut self, id: &DeviceId, epoch: KeyEpoch, accepted: Consumed) {
        let Some(place) = self.places.get(&self.hasher.hash_one(id)) else { return };
        let entry = self.entries.get_mut(*place as usize).filter(|entry| entry.id == *id && entry.epoch == epoch);
        if let Some(entry) = entry
            && accepted.nonce > entry.consumed.nonce
        {
            entry.consumed = accepted;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{DeviceRecord, StoredDevice};
    use cotter_wire::ids::{Nonce, Protocol};

    fn entry(name: &str, epoch: u32) -> Entry {
        let record = DeviceRecord {
            id: name.parse().unwrap(),
            chip: Chip::Esp32C3,
            mac: [0; 6],
            epoch: KeyEpoch(epoch),
            sealed_root_key: vec![1; SEALED],
            nonce_floor: Nonce(0),
            secure_boot_digest: [0; 32],
            enrolled_at: 0,
        };
        let stored = StoredDevice {
            record,
            place: Place::nowhere(),
            last_nonce: Nonce(7).into(),
            last_digest: None,
            minimum_protocol: Protocol::V1,
            rotated_at: None,
            previous: None,
        };
        Entry::of(&stored).unwrap()
    }

    fn at(nonce: u32) -> Consumed {
        Consumed { nonce: Nonce(nonce).into(), digest: Some([3; 32]), minimum: Protocol::V1 }
    }

    #[test]
    fn a_device_takes_two_hundred_bytes() {
        assert!(size_of::<Entry>() <= 176, "{}", size_of::<Entry>());
    }

    #[test]
    fn who_comes_when_it_is_full_stays_out_until_somebody_leaves() {
        let mut directory = Directory::new(2);
        for name in ["a", "b", "c"] {
            directory.add(entry(name, 1));
        }
        let ids = ["a", "b", "c"].map(|name| name.parse::<DeviceId>().unwrap());
        assert_eq!(ids.map(|id| directory.find(&id).is_some()), [true, true, false]);
        directory.remove(&ids[0]);
        directory.remove(&ids[2]);
        directory.add(entry("c", 1));
        assert_eq!(ids.map(|id| directory.find(&id).is_some()), [false, true, true]);
        assert_eq!(directory.entries.len(), 2, "a place that is free is used again");
    }

    #[test]
    fn a_nonce_only_rises_and_only_in_its_epoch() {
        let mut directory = Directory::new(2);
        let id = "a".parse().unwrap();
        directory.add(entry("a", 2));
        directory.note(&id, KeyEpoch(1), at(100));
        assert_eq!(directory.find(&id).unwrap().consumed.nonce, Nonce(7).into());
        directory.note(&id, KeyEpoch(2), at(9));
        directory.note(&id, KeyEpoch(2), at(8));
        assert_eq!(directory.find(&id).unwrap().consumed, at(9));
        directory.add(entry("a", 2));
        assert_eq!(directory.find(&id).unwrap().consumed, at(9), "who is there stays as he is");
    }
}
