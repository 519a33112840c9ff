//! Owns the table of connections of one loop and their names. Must never give a name twice: a slot whose
//! generations are used up is retired.
//!
//! The table grows by whole chunks and never moves its entries: with a million connections, growing by copying would
//! stop the loop.

use crate::id::{ConnId, LoopId};
use crate::limits::{CONNECTIONS_PER_LOOP_MAX, SLOTS_PER_CHUNK};
use crate::time::Tick;
use slab::Slab;

/// Connections by name: open ones, and pending ones, which only the reactor sees.
pub(crate) struct Slots<T, P> {
    loop_id: LoopId,
    chunks: Vec<Chunk<T, P>>,
    /// Chunks with free slots.
    with_room: Vec<usize>,
    len: usize,
    retired: usize,
}

struct Chunk<T, P> {
    /// `None` is a retired slot.
    entries: Slab<Option<Entry<T, P>>>,
    generations: Box<[u32]>,
    /// The tick of the one valid entry of each slot in the wheel. It stays when the slot changes its owner, so that
    /// connections that come and go do not leave entries behind.
    timers: Box<[Tick]>,
}

/// The value of a name.
pub(crate) enum Entry<T, P> {
    Open(T),
    Pending(Box<P>),
}

impl<T, P> Slots<T, P> {
    pub(crate) const fn new(loop_id: LoopId) -> Self {
        Self {
            loop_id,
            chunks: Vec::new(),
            with_room: Vec::new(),
            len: 0,
            retired: 0,
        }
    }

    /// Names in use.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Creates and stores a value for a new name; `None` if there is no slot left.
    pub(crate) fn insert(&mut self, make: impl FnOnce(ConnId) -> Entry<T, P>) -> Option<ConnId> {
        if self.len + self.retired >= CONNECTIONS_PER_LOOP_MAX {
            return None;
        }
        if self.with_room.is_empty() {
            self.with_room.push(self.chunks.len());
            self.chunks.push(Chunk {
                entries: Slab::with_capacity(SLOTS_PER_CHUNK),
                generations: vec![0; SLOTS_PER_CHUNK].into_boxed_slice(),
                timers: vec![Tick::NEVER; SLOTS_PER_CHUNK].into_boxed_slice(),
            });
        }
        let number = self.with_room.last().copied()?;
        let chunk = self.chunks.get_mut(number)?;
        let vacant = chunk.entries.vacant_entry();
        let key = vacant.key();
        let generation = chunk.generations.get(key).copied().unwrap_or_default();
        let id = ConnId::new(self.loop_id, generation, number * SLOTS_PER_CHUNK + key);
        vacant.insert(Some(make(id)));
        if chunk.entries.len() == SLOTS_PER_CHUNK {
            self.with_room.pop();
        }
        self.len += 1;
        Some(id)
    }

    /// The open connection of this name.
    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut T> {
        match self.entry_mut(id) {
            Some(Some(Entry::Open(value))) => Some(value),
            _ => None,
        }
    }

    /// The open connection of this name.
    pub(crate) fn get(&self, id: ConnId) -> Option<&T> {
        match self.entry(id) {
            Some(Some(Entry::Open(value))) => Some(value),
            _ => None,
        }
    }

    /// The connection of this name, if it is pending.
    pub(crate) fn pending_mut(&mut self, id: ConnId) -> Option<&mut P> {
        match self.entry_mut(id) {
            Some(Some(Entry::Pending(pending))) => Some(pending),
            _ => None,
        }
    }

    /// Makes a pending connection an open one; returns whether there was one.
    pub(crate) fn promote(&mut self, id: ConnId, make: impl FnOnce(P) -> T) -> bool {
        let Some(entry) = self.entry_mut(id) else {
            return false;
        };
        match entry.take() {
            Some(Entry::Pending(pending)) => {
                *entry = Some(Entry::Open(make(*pending)));
                true
            }
            other => {
                *entry = other;
                false
            }
        }
    }

    /// Removes the connection and frees its slot for another name, or retires the slot when it has no names left.
    pub(crate) fn remove(&mut self, id: ConnId) -> Option<Entry<T, P>> {
        let value = self.entry_mut(id)?.take()?;
        self.len -= 1;
        let (number, key) = place(id.index());
        let chunk = self.chunks.get_mut(number)?;
        let generation = chunk.generations.get_mut(key)?;
        match generation.checked_add(1) {
            Some(next) => {
                *generation = next;
                if chunk.entries.len() == SLOTS_PER_CHUNK {
                    self.with_room.push(number);
                }
                chunk.entries.remove(key);
            }
            None => self.retired += 1,
        }
        Some(value)
    }

    /// The tick of the slot's valid entry in the wheel; `NEVER` if there is none.
    pub(crate) fn timer(&self, index: usize) -> Tick {
        let (number, key) = place(index);
        let timer = self.chunks.get(number).and_then(|chunk| chunk.timers.get(key));
        timer.copied().unwrap_or(Tick::NEVER)
    }

    pub(crate) fn set_timer(&mut self, index: usize, at: Tick) {
        let (number, key) = place(index);
        if let Some(timer) = self
            .chunks
            .get_mut(number)
            .and_then(|chunk| chunk.timers.get_mut(key))
        {
            *timer = at;
        }
    }

    /// The connection in this slot, if there is one.
    pub(crate) fn at(&self, index: usize) -> Option<ConnId> {
        let (number, key) = place(index);
        let chunk = self.chunks.get(number)?;
        chunk.entries.get(key)?.as_ref()?;
        Some(ConnId::new(self.loop_id, *chunk.generations.get(key)?, index))
    }

    /// The first connection whose slot is at least `from`, and whether it is open.
    pub(crate) fn first_from(&self, from: usize) -> Option<(ConnId, bool)> {
        let (first, key) = place(from);
        (first..self.chunks.len()).find_map(|number| {
            let chunk = self.chunks.get(number)?;
            let start = if number == first { key } else { 0 };
            (start..SLOTS_PER_CHUNK).find_map(|key| {
                let entry = chunk.entries.get(key)?.as_ref()?;
                let generation = *chunk.generations.get(key)?;
                let id = ConnId::new(self.loop_id, generation, number * SLOTS_PER_CHUNK + key);
                Some((id, matches!(entry, Entry::Open(_))))
            })
        })
    }

    /// The first open connection whose slot is at least `from`.
    pub(crate) fn first_open_from(&self, mut from: usize) -> Option<ConnId> {
        loop {
            let (id, open) = self.first_from(from)?;
            if open {
                return Some(id);
            }
            from = id.index() + 1;
        }
    }

    fn entry(&self, id: ConnId) -> Option<&Option<Entry<T, P>>> {
        let (number, key) = place(id.index());
        let chunk = self.chunks.get(number)?;
        let current = id.loop_id() == self.loop_id && chunk.generations.get(key) == Some(&id.generation());
        if current { chunk.entries.get(key) } else { None }
    }

    fn entry_mut(&mut self, id: ConnId) -> Option<&mut Option<Entry<T, P>>> {
        let (number, key) = place(id.index());
        let chunk = self.chunks.get_mut(number)?;
        let current = id.loop_id() == self.loop_id && chunk.generations.get(key) == Some(&id.generation());
        if current { chunk.entries.get_mut(key) } else { None }
    }
}

/// The chunk of a slot, and its index there.
const fn place(index: usize) -> (usize, usize) {
    (index / SLOTS_PER_CHUNK, index % SLOTS_PER_CHUNK)
}

#[cfg(test)]
#[path = "slots_tests.rs"]
mod tests;
