//! A bounded map that forgets what was used least recently.

use std::collections::HashMap;
use std::hash::Hash;

/// At most `capacity` entries; the oldest use goes first.
#[derive(Debug)]
pub(crate) struct Lru<K, V> {
    places: HashMap<K, usize>,
    // A ring through `newer` and `older`, in the order of use. In place 0 nothing is kept: there the ring begins and ends.
    entries: Vec<Entry<K, V>>,
    free: Vec<usize>,
    capacity: usize,
}

#[derive(Debug)]
struct Entry<K, V> {
    content: Option<(K, V)>,
    newer: usize,
    older: usize,
}

impl<K: Clone + Eq + Hash, V> Lru<K, V> {
    /// An empty one.
    #[must_use]
    pub(crate) fn new(capacity: usize) -> Self {
        let end = Entry { content: None, newer: 0, older: 0 };
        Self { places: HashMap::new(), entries: vec![end], free: Vec::new(), capacity }
    }

    /// The value of `key`, which becomes the most recently used.
    pub(crate) fn touch(&mut self, key: &K) -> Option<&mut V> {
        let place = *self.places.get(key)?;
        self.unlink(place);
        self.link(place);
        self.entries[place].content.as_mut().map(|(_, value)| value)
    }

    /// Adds or replaces; returns the key that had to go for it.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<K> {
        if let Some(known) = self.touch(&key) {
            *known = value;
            return None;
        }
        let oldest = self.entries[0].newer;
        let full = self.places.len() >= self.capacity;
        let evicted = self.entries[oldest].content.as_ref().filter(|_| full).map(|(key, _)| key.clone());
        if let Some(evicted) = &evicted {
            self.remove(evicted);
        }
        let entry = Entry { content: Some((key.clone(), value)), newer: 0, older: 0 };
        let place = self.free.pop().unwrap_or(self.entries.len());
        match self.entries.get_mut(place) {
            Some(free) => *free = entry,
            None => self.entries.push(entry),
        }
        self.link(place);
        self.places.insert(key, place);
        evicted
    }

    /// Everything that is there, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().filter_map(|entry| entry.content.as_ref().map(|(key, value)| (key, value)))
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Forgets `key`.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let place = self.places.remove(key)?;
        self.unlink(place);
        self.free.push(place);
        self.entries[place].content.take().map(|(_, value)| value)
    }

    fn unlink(&mut self, place: usize) {
        let Entry { newer, older, .. } = self.entries[place];
        self.entries[newer].older = older;
        self.entries[older].newer = newer;
    }

    /// Makes `place` the newest. Around the ring, the oldest is newer than the end, and the newest is older.
    fn link(&mut self, place: usize) {
        let newest = std::mem::replace(&mut self.entries[0].older, place);
        (self.entries[place].newer, self.entries[place].older) = (0, newest);
        self.entries[newest].newer = place;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_the_least_recently_used() {
        let mut lru = Lru::new(2);
        lru.insert(1, "a");
        lru.insert(2, "b");
        assert_eq!(lru.touch(&1), Some(&mut "a"));
        assert_eq!(lru.insert(3, "c"), Some(2));
        assert_eq!([1, 2, 3].map(|key| lru.touch(&key).copied()), [Some("a"), None, Some("c")]);
    }

    #[test]
    fn stays_within_its_capacity() {
        let mut lru = Lru::new(10);
        for key in 0..1_000 {
            lru.insert(key % 37, key);
            lru.touch(&(key % 5));
            assert!(lru.len() <= 10 && lru.iter().count() == lru.len() && lru.entries.len() <= 12);
        }
        for key in 0..37 {
            lru.remove(&key);
        }
        assert!(lru.len() == 0 && lru.iter().next().is_none());
    }

    #[test]
    fn replacing_evicts_nobody() {
        let mut lru = Lru::new(1);
        assert_eq!(lru.insert(1, "a"), None);
        assert_eq!(lru.insert(1, "b"), None);
        assert_eq!(lru.touch(&1), Some(&mut "b"));
    }

    #[test]
    fn forgets_as_a_list_of_uses_would() {
        let (mut lru, mut list, mut state) = (Lru::new(7), Vec::new(), 1_u64);
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (key, what) = (state >> 33 & 15, state >> 40 & 3);
            let known = list.iter().position(|known| *known == key);
            match (what, known) {
                (0, _) => {
                    assert_eq!(lru.remove(&key), known.map(|place| list.remove(place)));
                }
                (1, _) => {
                    assert_eq!(lru.touch(&key).copied(), known.map(|place| list.remove(place)));
                    list.extend(known.map(|_| key));
                }
                (_, Some(place)) => {
                    assert_eq!(lru.insert(key, key), None);
                    list.remove(place);
                    list.push(key);
                }
                (_, None) => {
                    let evicted = (list.len() == 7).then(|| list.remove(0));
                    assert_eq!(lru.insert(key, key), evicted);
                    list.push(key);
                }
            }
            assert_eq!(lru.len(), list.len());
        }
    }
}
