//! Owns the keys, their values, and when they expire. Must never hold more bytes than it may, apart from what
//! one command adds, and must know neither the protocol nor the clock.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::time::Instant;

/// A stored string. Replies share it: all is on one thread, so counting references needs no atomics.
pub(crate) type Shared = Rc<[u8]>;

/// What a key costs beside its own bytes and those of its value, about.
const KEY_OVERHEAD_BYTES: usize = 128;

/// What a member of a collection costs beside its own bytes, about.
pub(crate) const MEMBER_OVERHEAD_BYTES: usize = 48;

/// What a key holds.
#[derive(Debug)]
pub(crate) enum Value {
    Text(Shared),
    List(List),
    Set(Box<Set>),
    Hash(Box<Hash>),
    Sorted(Box<Sorted>),
}

pub(crate) type List = VecDeque<Shared>;
pub(crate) type Set = HashSet<Shared>;
pub(crate) type Hash = HashMap<Shared, Shared>;

/// Members in the order of their scores, and of their bytes where those are alike.
#[derive(Debug, Default)]
pub(crate) struct Sorted {
    scores: HashMap<Shared, Score>,
    order: BTreeSet<(Score, Shared)>,
}

/// A number that is one, in its order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Score(f64);

impl Score {
    /// `None` for what is no number.
    pub(crate) fn new(value: f64) -> Option<Self> {
        // There is one zero.
        (!value.is_nan()).then_some(Self(value + 0.0))
    }

    pub(crate) const fn get(self) -> f64 {
        self.0
    }
}

impl Eq for Score {}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Sorted {
    pub(crate) fn len(&self) -> usize {
        self.scores.len()
    }

    #[cfg(test)]
    pub(crate) fn members(&self) -> impl Iterator<Item = &Shared> {
        self.scores.keys()
    }

    pub(crate) fn score(&self, member: &[u8]) -> Option<Score> {
        self.scores.get(member).copied()
    }

    /// Gives a member a score; true if it is new.
    pub(crate) fn insert(&mut self, member: Shared, score: Score) -> bool {
        let before = self.scores.insert(Shared::clone(&member), score);
        if let Some(before) = before {
            self.order.remove(&(before, Shared::clone(&member)));
        }
        self.order.insert((score, member));
        before.is_none()
    }

    /// Takes the member with the lowest score out.
    pub(crate) fn pop_first(&mut self) -> Option<(Shared, Score)> {
        let (score, member) = self.order.pop_first()?;
        self.scores.remove(&member);
        Some((member, score))
    }
}

/// The key holds a value of another type than the command works on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct WrongType;

/// What happens to the deadline of a key that gets a new value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Deadline {
    Keep,
    Never,
    At(Instant),
}

/// A value that has members, and that is gone with the last of them.
pub(crate) trait Collection: Default {
    fn of(value: &Value) -> Option<&Self>;
    fn of_mut(value: &mut Value) -> Option<&mut Self>;
    fn into_value(self) -> Value;
    fn is_empty(&self) -> bool;
}

#[derive(Debug)]
struct Entry {
    value: Value,
    expires: Option<Instant>,
    /// What the value counts for.
    bytes: usize,
}

impl Entry {
    fn is_due(&self, now: Instant) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}

/// All keys.
#[derive(Debug)]
pub(crate) struct Store {
    entries: HashMap<Shared, Entry>,
    /// The keys that expire, the next one first: as many as there are, so it needs no limit of its own.
    deadlines: BTreeSet<(Instant, Shared)>,
    bytes: usize,
    bytes_max: usize,
}

impl Store {
    /// An empty store for about so many bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            entries: HashMap::new(),
            deadlines: BTreeSet::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// Keys, those included that are due but have not been swept.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Keys with a deadline.
    pub(crate) fn deadlines(&self) -> usize {
        self.deadlines.len()
    }

    /// What all keys and values count for.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Nothing may be added until something has been removed.
    pub(crate) const fn is_full(&self) -> bool {
        self.bytes >= self.bytes_max
    }

    /// Removes everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.bytes_max);
    }

    /// The value of `key`.
    pub(crate) fn get(&mut self, now: Instant, key: &[u8]) -> Option<&Value> {
        self.entry(now, key).map(|entry| &entry.value)
    }

    /// The string at `key`.
    pub(crate) fn text(&mut self, now: Instant, key: &[u8]) -> Result<Option<&Shared>, WrongType> {
        match self.get(now, key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(WrongType),
        }
    }

    /// Stores a string, whatever was there before.
    pub(crate) fn set_text(&mut self, now: Instant, key: &[u8], text: Shared, deadline: Deadline) {
        let bytes = text.len();
        if let Some(entry) = self.entry(now, key) {
            entry.value = Value::Text(text);
            let before = std::mem::replace(&mut entry.bytes, bytes);
            let expires = entry.expires;
            self.bytes = self.bytes + bytes - before;
            match deadline {
                Deadline::Never if expires.is_none() => {}
                Deadline::Keep => {}
                Deadline::Never => self.set_deadline(now, key, None),
                Deadline::At(at) => self.set_deadline(now, key, Some(at)),
            }
        } else {
            self.insert(key, Value::Text(text), bytes);
            if let Deadline::At(at) = deadline {
                self.set_deadline(now, key, Some(at));
            }
        }
    }

    /// Looks at the collection at `key`.
    pub(crate) fn read<C: Collection>(&mut self, now: Instant, key: &[u8]) -> Result<Option<&C>, WrongType> {
        match self.get(now, key) {
            None => Ok(None),
            Some(value) => C::of(value).map(Some).ok_or(WrongType),
        }
    }

    /// Changes the collection at `key`, which is made if it is missing and removed if nothing is left of it.
    /// `change` also keeps account of the bytes of its members.
    pub(crate) fn update<C: Collection, R>(
        &mut self,
        now: Instant,
        key: &[u8],
        change: impl FnOnce(&mut C, &mut usize) -> R,
    ) -> Result<R, WrongType> {
        let Some(entry) = self.entry(now, key) else {
            let (mut collection, mut bytes) = (C::default(), 0);
            let result = change(&mut collection, &mut bytes);
            if !collection.is_empty() {
                self.insert(key, collection.into_value(), bytes);
            }
            return Ok(result);
        };
        let collection = C::of_mut(&mut entry.value).ok_or(WrongType)?;
        let before = entry.bytes;
        let result = change(collection, &mut entry.bytes);
        let (empty, after) = (collection.is_empty(), entry.bytes);
        self.bytes = self.bytes + after - before;
        if empty {
            self.remove(now, key);
        }
        Ok(result)
    }

    /// Removes `key`; returns whether it was there.
    pub(crate) fn remove(&mut self, now: Instant, key: &[u8]) -> bool {
        let Some((key, entry)) = self.entries.remove_entry(key) else {
            return false;
        };
        self.bytes -= cost(&key) + entry.bytes;
        let due = entry.is_due(now);
        if let Some(at) = entry.expires {
            self.deadlines.remove(&(at, key));
        }
        !due
    }

    /// When `key` expires: `None` if there is no such key, `Some(None)` if never.
    pub(crate) fn deadline(&mut self, now: Instant, key: &[u8]) -> Option<Option<Instant>> {
        self.entry(now, key).map(|entry| entry.expires)
    }

    /// Gives `key` a deadline, or takes it away.
    pub(crate) fn set_deadline(&mut self, now: Instant, key: &[u8], deadline: Option<Instant>) {
        if self.entry(now, key).is_none() {
            return;
        }
        let Some((key, _)) = self.entries.get_key_value(key) else {
            return;
        };
        let key = Shared::clone(key);
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        if let Some(before) = std::mem::replace(&mut entry.expires, deadline) {
            self.deadlines.remove(&(before, Shared::clone(&key)));
        }
        if let Some(at) = deadline {
            self.deadlines.insert((at, key));
        }
    }

    /// Removes keys that are due, at most `keys_max` of them.
    pub(crate) fn sweep(&mut self, now: Instant, keys_max: usize) {
        for _ in 0..keys_max {
            match self.deadlines.first() {
                Some((at, key)) if *at <= now => {
                    let key = Shared::clone(key);
                    self.remove(now, &key);
                }
                _ => return,
            }
        }
    }

    /// The entry of a key that is there and not due. What is due goes when it is met.
    fn entry(&mut self, now: Instant, key: &[u8]) -> Option<&mut Entry> {
        // As long as no deadline at all has passed, one look into the table is enough.
        let any_due = self.deadlines.first().is_some_and(|(at, _)| *at <= now);
        if any_due && self.entries.get(key).is_some_and(|entry| entry.is_due(now)) {
            self.remove(now, key);
        }
        self.entries.get_mut(key)
    }

    fn insert(&mut self, key: &[u8], value: Value, bytes: usize) {
        self.bytes += cost(key) + bytes;
        let entry = Entry {
            value,
            expires: None,
            bytes,
        };
        self.entries.insert(key.into(), entry);
    }
}

const fn cost(key: &[u8]) -> usize {
    key.len() + KEY_OVERHEAD_BYTES
}

impl Collection for List {
    fn of(value: &Value) -> Option<&Self> {
        match value {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    fn of_mut(value: &mut Value) -> Option<&mut Self> {
        match value {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    fn into_value(self) -> Value {
        Value::List(self)
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

impl Collection for Set {
    fn of(value: &Value) -> Option<&Self> {
        match value {
            Value::Set(set) => Some(set),
            _ => None,
        }
    }

    fn of_mut(value: &mut Value) -> Option<&mut Self> {
        match value {
            Value::Set(set) => Some(set),
            _ => None,
        }
    }

    fn into_value(self) -> Value {
        Value::Set(Box::new(self))
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

impl Collection for Hash {
    fn of(value: &Value) -> Option<&Self> {
        match value {
            Value::Hash(hash) => Some(hash),
            _ => None,
        }
    }

    fn of_mut(value: &mut Value) -> Option<&mut Self> {
        match value {
            Value::Hash(hash) => Some(hash),
            _ => None,
        }
    }

    fn into_value(self) -> Value {
        Value::Hash(Box::new(self))
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

impl Collection for Sorted {
    fn of(value: &Value) -> Option<&Self> {
        match value {
            Value::Sorted(sorted) => Some(sorted),
            _ => None,
        }
    }

    fn of_mut(value: &mut Value) -> Option<&mut Self> {
        match value {
            Value::Sorted(sorted) => Some(sorted),
            _ => None,
        }
    }

    fn into_value(self) -> Value {
        Value::Sorted(Box::new(self))
    }

    fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
