//! A bounded map of recently read values. It keeps three promises: a read that began earlier does not put a forgotten
//! value back, one thread reads for all that ask for the same, and no value is kept for longer than its time.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::CacheStatistics;

/// The number of locks that share the keys.
const SHARDS: usize = 16;
/// A lifetime is shortened by up to this part at random, so that values that were read together do not expire together.
const JITTER_PART: u32 = 4;

/// The bounds of a cache, in entries and in time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Bounds {
    /// Entries, at most.
    pub(super) entries: usize,
    /// The lifetime of a value, at most.
    pub(super) lifetime: Duration,
    /// The lifetime of an absence, at most.
    pub(super) lifetime_absent: Duration,
    /// How long a thread waits for another that reads the same key; then it reads for itself.
    pub(super) wait: Duration,
}

/// See the module's first lines. Shared by every thread.
pub(super) struct Cache<K, V> {
    bounds: Bounds,
    hasher: RandomState,
    shards: [Shard<K, V>; SHARDS],
    tickets: AtomicU64,
}

struct Shard<K, V> {
    slots: Mutex<HashMap<K, Slot<V>>>,
    hits: AtomicU64,
    misses: AtomicU64,
    /// A read in the shard has ended, with or without a value.
    settled: Condvar,
}

enum Slot<V> {
    /// The thread with this ticket reads it.
    Reading(u64),
    Known {
        value: Option<V>,
        until: Instant,
    },
}

/// What the cache knows of a key.
pub(super) enum Lookup<'a, K: Clone + Eq + Hash, V: Clone> {
    /// A recently read value; `None` if there is none in the store.
    Known(Option<V>),
    /// Unknown: the holder of the ticket reads it.
    Read(Ticket<'a, K, V>),
    /// Another thread reads it.
    Busy,
}

impl<K: Clone + Eq + Hash, V: Clone> Cache<K, V> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Shard {
                slots: Mutex::default(),
                hits: AtomicU64::new(0),
                misses: AtomicU64::new(0),
                settled: Condvar::new(),
            }),
            tickets: AtomicU64::new(0),
        }
    }

    fn shard(&self, key: &K) -> &Shard<K, V> {
        // The index is below the length by the remainder.
        &self.shards[(self.hasher.hash_one(key) % SHARDS as u64) as usize]
    }

    pub(super) fn lookup(&self, key: &K, now: Instant) -> Lookup<'_, K, V> {
        let shard = self.shard(key);
        let mut slots = shard.slots.lock();
        match slots.get(key) {
            Some(Slot::Known { value, until }) if *until > now => {
                shard.hits.fetch_add(1, Ordering::Relaxed);
                return Lookup::Known(value.clone());
            }
            Some(Slot::Reading(_)) => return Lookup::Busy,
            Some(Slot::Known { .. }) | None => {}
        }
        shard.misses.fetch_add(1, Ordering::Relaxed);
        self.make_room(&mut slots, now);
        let number = self.tickets.fetch_add(1, Ordering::Relaxed);
        slots.insert(key.clone(), Slot::Reading(number));
        Lookup::Read(Ticket {
            cache: self,
            key: key.clone(),
            number,
        })
    }

    /// The numbers of this cache so far, and its size now.
    pub(super) fn statistics(&self) -> CacheStatistics {
        let mut sum = CacheStatistics::default();
        for shard in &self.shards {
            sum.hits += shard.hits.load(Ordering::Relaxed);
            sum.misses += shard.misses.load(Ordering::Relaxed);
            sum.entries += shard.slots.lock().len();
        }
        sum
    }

    fn make_room(&self, slots: &mut HashMap<K, Slot<V>>, now: Instant) {
        let most = (self.bounds.entries / SHARDS).max(1);
        if slots.len() < most {
            return;
        }
        slots.retain(|_, slot| match slot {
            Slot::Reading(_) => true,
            Slot::Known { until, .. } => *until > now,
        });
        if slots.len() >= most {
            // Clearing costs one read of each key that is still used, and no bookkeeping on every use.
            slots.retain(|_, slot| matches!(slot, Slot::Reading(_)));
        }
    }

    /// Waits until the thread that reads the key has finished, but not for long.
    pub(super) fn wait(&self, key: &K, now: Instant) {
        let shard = self.shard(key);
        let mut slots = shard.slots.lock();
        while matches!(slots.get(key), Some(Slot::Reading(_))) {
            if shard
                .settled
                .wait_until(&mut slots, now + self.bounds.wait)
                .timed_out()
            {
                return;
            }
        }
    }

    /// Values of this key that were read up to now are not used again.
    pub(super) fn forget(&self, key: &K) {
        let shard = self.shard(key);
        shard.slots.lock().remove(key);
        shard.settled.notify_all();
    }

    /// As [`Cache::forget`], for all keys.
    pub(super) fn clear(&self) {
        for shard in &self.shards {
            shard.slots.lock().clear();
            shard.settled.notify_all();
        }
    }

    /// The cached value, or the answer of `read`; one thread reads for all that ask meanwhile.
    pub(super) fn get<E>(
        &self,
        key: &K,
        now: Instant,
        read: impl FnOnce() -> Result<Option<V>, E>,
    ) -> Result<Option<V>, E> {
        let mut lookup = self.lookup(key, now);
        if matches!(lookup, Lookup::Busy) {
            self.wait(key, now);
            lookup = self.lookup(key, now);
        }
        match lookup {
            Lookup::Known(value) => Ok(value),
            Lookup::Busy => read(),
            Lookup::Read(ticket) => {
                let value = read()?;
                ticket.store(value.clone(), now);
                Ok(value)
            }
        }
    }

    fn lifetime(&self, key: &K, number: u64, present: bool) -> Duration {
        let longest = if present {
            self.bounds.lifetime
        } else {
            self.bounds.lifetime_absent
        };
        let part = (self.hasher.hash_one((key, number)) % 1_024) as u32;
        longest - longest / JITTER_PART * part / 1_024
    }
}

/// The right to set a key's value. If it is dropped, the key stays unknown.
pub(super) struct Ticket<'a, K: Clone + Eq + Hash, V: Clone> {
    cache: &'a Cache<K, V>,
    key: K,
    number: u64,
}

impl<K: Clone + Eq + Hash, V: Clone> Ticket<'_, K, V> {
    /// Sets the value, unless the key was forgotten meanwhile.
    pub(super) fn store(self, value: Option<V>, now: Instant) {
        let until = now + self.cache.lifetime(&self.key, self.number, value.is_some());
        let shard = self.cache.shard(&self.key);
        if let Some(slot) = shard.slots.lock().get_mut(&self.key)
            && matches!(slot, Slot::Reading(number) if *number == self.number)
        {
            *slot = Slot::Known { value, until };
        }
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Drop for Ticket<'_, K, V> {
    fn drop(&mut self) {
        let shard = self.cache.shard(&self.key);
        let mut slots = shard.slots.lock();
        if matches!(slots.get(&self.key), Some(Slot::Reading(number)) if *number == self.number) {
            slots.remove(&self.key);
        }
        drop(slots);
        shard.settled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    const BOUNDS: Bounds = Bounds {
        entries: 64,
        lifetime: Duration::from_secs(60),
        lifetime_absent: Duration::from_secs(4),
        wait: Duration::from_secs(30),
    };

    fn known(cache: &Cache<u32, u32>, key: u32, now: Instant) -> Option<Option<u32>> {
        match cache.lookup(&key, now) {
            Lookup::Known(value) => Some(value),
            Lookup::Read(_) | Lookup::Busy => None,
        }
    }

    fn put(cache: &Cache<u32, u32>, key: u32, value: Option<u32>, now: Instant) {
        match cache.lookup(&key, now) {
            Lookup::Read(ticket) => ticket.store(value, now),
            Lookup::Known(_) | Lookup::Busy => panic!("it was known"),
        }
    }

    #[test]
    fn what_was_read_is_known_for_its_time() {
        let (cache, now) = (Cache::new(BOUNDS), Instant::now());
        put(&cache, 1, Some(10), now);
        put(&cache, 2, None, now);
        assert_eq!(known(&cache, 1, now), Some(Some(10)));
        assert_eq!(known(&cache, 2, now + BOUNDS.lifetime_absent / 2), Some(None));
        assert_eq!(known(&cache, 2, now + BOUNDS.lifetime_absent), None);
        assert_eq!(known(&cache, 1, now + BOUNDS.lifetime / 2), Some(Some(10)));
        assert_eq!(known(&cache, 1, now + BOUNDS.lifetime), None);
    }

    #[test]
    fn lifetimes_differ() {
        let (cache, now) = (Cache::new(BOUNDS), Instant::now());
        (0..60).for_each(|key| put(&cache, key, Some(0), now));
        let late = now + BOUNDS.lifetime * 7 / 8;
        let left = (0..60).filter(|key| known(&cache, *key, late).is_some()).count();
        assert!((1..60).contains(&left), "{left}");
    }

    #[test]
    fn a_read_that_began_before_does_not_bring_back_what_was_forgotten() {
        let (cache, now) = (Cache::new(BOUNDS), Instant::now());
        let Lookup::Read(early) = cache.lookup(&1, now) else {
            panic!("nobody read it")
        };
        cache.forget(&1);
        let Lookup::Read(late) = cache.lookup(&1, now) else {
            panic!("it was forgotten")
        };
        early.store(Some(1), now);
        assert!(matches!(cache.lookup(&1, now), Lookup::Busy));
        late.store(Some(2), now);
        assert_eq!(known(&cache, 1, now), Some(Some(2)));
        cache.clear();
        assert_eq!(known(&cache, 1, now), None);
    }

    #[test]
    fn entries_are_bounded() {
        let (cache, now) = (Cache::new(BOUNDS), Instant::now());
        (0..10_000).for_each(|key| put(&cache, key, Some(key), now));
        let kept: usize = cache.shards.iter().map(|shard| shard.slots.lock().len()).sum();
        assert!(kept <= BOUNDS.entries, "{kept}");
    }

    #[test]
    fn one_reads_for_many() {
        let (cache, now, reads) = (
            Cache::<u32, u32>::new(BOUNDS),
            Instant::now(),
            AtomicUsize::new(0),
        );
        let Lookup::Read(ticket) = cache.lookup(&1, now) else {
            panic!("nobody read it")
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        cache.get(&1, now, || {
                            reads.fetch_add(1, Ordering::Relaxed);
                            Ok::<_, ()>(Some(7))
                        })
                    })
                })
                .collect();
            ticket.store(Some(5), now);
            for thread in threads {
                assert_eq!(thread.join().unwrap(), Ok(Some(5)));
            }
        });
        assert_eq!(reads.into_inner(), 0);
    }

    #[test]
    fn a_read_that_fails_lets_the_next_one_read() {
        let (cache, now) = (Cache::<u32, u32>::new(BOUNDS), Instant::now());
        assert_eq!(cache.get(&1, now, || Err("down")), Err("down"));
        assert_eq!(cache.get(&1, now, || Ok::<_, ()>(Some(1))), Ok(Some(1)));
        assert_eq!(cache.get(&1, now, || Err("down")), Ok(Some(1)));
    }
}
