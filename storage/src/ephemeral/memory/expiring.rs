//! A bounded map whose entries expire: all state in this process is kept in such maps.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Instant;

/// Entries, at most. If there is no room, the entry that expires first is evicted.
#[derive(Debug)]
pub(super) struct Expiring<K, V> {
    entries: HashMap<K, (Instant, V)>,
    /// The same keys in the order of expiry.
    order: BTreeSet<(Instant, K)>,
    entries_max: usize,
}

impl<K: Clone + Eq + Hash + Ord, V> Expiring<K, V> {
    pub(super) fn new(entries_max: usize) -> Self {
        Self {
            entries: HashMap::new(),
            order: BTreeSet::new(),
            entries_max: entries_max.max(1),
        }
    }

    /// The value, if it has not expired.
    pub(super) fn get(&mut self, key: &K, now: Instant) -> Option<&mut V> {
        let (until, value) = self.entries.get_mut(key)?;
        (now < *until).then_some(value)
    }

    /// Puts an entry, and returns the entry that was evicted for it.
    pub(super) fn put(&mut self, key: K, value: V, until: Instant, now: Instant) -> Option<(Instant, V)> {
        self.remove(&key);
        let mut evicted = None;
        while let Some((first, oldest)) = self.order.first()
            && (*first <= now || self.entries.len() >= self.entries_max)
        {
            let oldest = oldest.clone();
            evicted = self.remove(&oldest).filter(|(until, _)| now < *until).or(evicted);
        }
        self.order.insert((until, key.clone()));
        self.entries.insert(key, (until, value));
        evicted
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<(Instant, V)> {
        let (until, value) = self.entries.remove(key)?;
        self.order.remove(&(until, key.clone()));
        Some((until, value))
    }

    /// There is no room for another key: the map is full of entries that have not expired.
    pub(super) fn is_full(&self, key: &K, now: Instant) -> bool {
        let is_expired = self.order.first().is_some_and(|(first, _)| *first <= now);
        self.entries.len() >= self.entries_max && !is_expired && !self.entries.contains_key(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_expires_first_goes_first() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut map = Expiring::new(2);
        assert_eq!(map.put("a", 1, at(10), start), None);
        assert_eq!(map.put("b", 2, at(5), start), None);
        assert!(map.is_full(&"c", start) && !map.is_full(&"b", start) && !map.is_full(&"c", at(5)));
        assert_eq!(map.put("c", 3, at(7), start), Some((at(5), 2)));
        assert_eq!(map.get(&"b", start), None);
        assert_eq!(map.get(&"c", at(6)), Some(&mut 3));
        assert_eq!(map.get(&"c", at(7)), None);
        assert_eq!(map.put("d", 4, at(20), at(7)), None, "an expired one made room");
        assert_eq!(map.get(&"a", at(7)), Some(&mut 1));
        assert_eq!(map.entries.len(), map.order.len());
    }
}
