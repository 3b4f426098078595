//! A bounded map that forgets what was used least recently.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// At most `capacity` entries; the oldest use goes first.
#[derive(Debug)]
pub(crate) struct Lru<K, V> {
    entries: HashMap<K, (u64, V)>,
    // Use number -> key; the numbers only grow, so the first is the oldest.
    uses: BTreeMap<u64, K>,
    next_use: u64,
    capacity: usize,
}

impl<K: Clone + Eq + Hash, V: Clone> Lru<K, V> {
    /// An empty one.
    #[must_use]
    pub(crate) fn new(capacity: usize) -> Self {
        Self { entries: HashMap::new(), uses: BTreeMap::new(), next_use: 0, capacity }
    }

    /// The value of `key`, which becomes the most recently used.
    pub(crate) fn touch(&mut self, key: &K) -> Option<V> {
        let (last_use, value) = self.entries.get_mut(key)?;
        self.uses.remove(last_use);
        *last_use = self.next_use;
        self.uses.insert(self.next_use, key.clone());
        self.next_use += 1;
        Some(value.clone())
    }

    /// Adds or replaces; returns the key that had to go for it.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<K> {
        self.remove(&key);
        let evicted = if self.entries.len() < self.capacity { None } else { self.uses.pop_first().map(|(_, key)| key) };
        if let Some(evicted) = &evicted {
            self.entries.remove(evicted);
        }
        self.entries.insert(key.clone(), (self.next_use, value));
        self.uses.insert(self.next_use, key);
        self.next_use += 1;
        evicted
    }

    /// Everything that is there, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, (_, value))| (key, value))
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Forgets `key`.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let (last_use, value) = self.entries.remove(key)?;
        self.uses.remove(&last_use);
        Some(value)
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
        assert_eq!(lru.touch(&1), Some("a"));
        assert_eq!(lru.insert(3, "c"), Some(2));
        assert_eq!((lru.touch(&1), lru.touch(&2), lru.touch(&3)), (Some("a"), None, Some("c")));
    }

    #[test]
    fn stays_within_its_capacity() {
        let mut lru = Lru::new(10);
        for key in 0..1_000 {
            lru.insert(key % 37, key);
            lru.touch(&(key % 5));
            assert!(lru.entries.len() <= 10 && lru.uses.len() == lru.entries.len());
        }
        for key in 0..37 {
            lru.remove(&key);
        }
        assert!(lru.entries.is_empty() && lru.uses.is_empty());
    }

    #[test]
    fn replacing_evicts_nobody() {
        let mut lru = Lru::new(1);
        assert_eq!(lru.insert(1, "a"), None);
        assert_eq!(lru.insert(1, "b"), None);
        assert_eq!(lru.touch(&1), Some("b"));
    }
}
