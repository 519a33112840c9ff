//! Owns where the connections of a loop live, and that their names are never reused. Must never hand out a
//! connection for the name of an earlier one.

use crate::id::{ConnId, LoopId};
use crate::limits::CONNECTIONS_PER_LOOP_MAX;
use slab::Slab;

/// A slab whose slots count their owners.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    loop_id: LoopId,
    /// `None` is a retired slot.
    entries: Slab<Option<T>>,
    generations: Vec<u32>,
    len: usize,
    retired: usize,
}

impl<T> Slots<T> {
    pub(crate) const fn new(loop_id: LoopId) -> Self {
        Self {
            loop_id,
            entries: Slab::new(),
            generations: Vec::new(),
            len: 0,
            retired: 0,
        }
    }

    /// Connections, without retired slots.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Stores what `make` makes for the name it is given; `None` if there is no slot left.
    pub(crate) fn insert(&mut self, make: impl FnOnce(ConnId) -> T) -> Option<ConnId> {
        if self.entries.len() >= CONNECTIONS_PER_LOOP_MAX {
            return None;
        }
        let vacant = self.entries.vacant_entry();
        let index = vacant.key();
        if self.generations.len() <= index {
            self.generations.resize(index + 1, 0);
        }
        let generation = self.generations.get(index).copied().unwrap_or_default();
        let id = ConnId::new(self.loop_id, generation, index);
        vacant.insert(Some(make(id)));
        self.len += 1;
        Some(id)
    }

    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut T> {
        if !self.is_current(id) {
            return None;
        }
        self.entries.get_mut(id.index()).and_then(Option::as_mut)
    }

    pub(crate) fn get(&self, id: ConnId) -> Option<&T> {
        if !self.is_current(id) {
            return None;
        }
        self.entries.get(id.index()).and_then(Option::as_ref)
    }

    /// Takes the connection out and frees its slot for another name, or retires it when it has none left.
    pub(crate) fn remove(&mut self, id: ConnId) -> Option<T> {
        if !self.is_current(id) {
            return None;
        }
        let value = self.entries.get_mut(id.index()).and_then(Option::take)?;
        self.len -= 1;
        let generation = self.generations.get_mut(id.index())?;
        match generation.checked_add(1) {
            Some(next) => {
                *generation = next;
                self.entries.remove(id.index());
            }
            None => self.retired += 1,
        }
        Some(value)
    }

    /// The first connection whose slot is at least `from`.
    pub(crate) fn first_from(&self, from: usize) -> Option<ConnId> {
        (from..self.generations.len()).find_map(|index| {
            let value = self.entries.get(index)?;
            let generation = self.generations.get(index)?;
            value
                .as_ref()
                .map(|_| ConnId::new(self.loop_id, *generation, index))
        })
    }

    fn is_current(&self, id: ConnId) -> bool {
        id.loop_id() == self.loop_id && self.generations.get(id.index()) == Some(&id.generation())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_name_does_not_reach_the_next_owner_of_its_slot() {
        let mut slots = Slots::new(LoopId(3));
        let first = slots.insert(|_| 'a').unwrap();
        assert_eq!(slots.remove(first), Some('a'));
        let second = slots.insert(|_| 'b').unwrap();
        assert_eq!(first.index(), second.index());
        assert_ne!(first, second);
        assert_eq!(slots.get(first), None);
        assert_eq!(slots.get_mut(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.get(second), Some(&'b'));
        assert_eq!(slots.len(), 1);
    }

    #[test]
    fn a_name_of_another_loop_is_unknown() {
        let mut slots = Slots::new(LoopId(0));
        let id = slots.insert(|_| ()).unwrap();
        assert!(
            slots
                .get(ConnId::new(LoopId(1), id.generation(), id.index()))
                .is_none()
        );
    }

    #[test]
    fn a_slot_without_names_left_is_retired() {
        let mut slots = Slots::new(LoopId(0));
        let first = slots.insert(|_| ()).unwrap();
        slots.remove(first).unwrap();
        slots.generations[0] = u32::MAX;
        let last = slots.insert(|_| ()).unwrap();
        assert_eq!((last.index(), last.generation()), (0, u32::MAX));
        slots.remove(last).unwrap();
        assert!(slots.get(last).is_none());
        let next = slots.insert(|_| ()).unwrap();
        assert_eq!((next.index(), slots.len(), slots.retired), (1, 1, 1));
        assert_eq!(slots.first_from(0), Some(next));
        assert_eq!(slots.first_from(2), None);
    }
}
