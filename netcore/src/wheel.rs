//! Owns the order of deadlines of one loop: a hashed timer wheel. Must never cancel or move an entry; owners
//! keep their true deadline and put themselves back when an entry comes up before it.
//!
//! An entry is the value alone, so a million slot numbers cost 4 MB. An entry beyond one revolution is put at the end
//! of the revolution and comes up early.

use crate::limits::WHEEL_SLOTS;
use crate::time::{Tick, Ticks};

const WORD_BITS: usize = u64::BITS as usize;

/// The memory that a slot keeps after it has come up, in entries.
const KEPT_ENTRIES_MAX: usize = 64;

const _: () = assert!(WHEEL_SLOTS.is_multiple_of(WORD_BITS));

/// Values that come up at given ticks, or earlier if they lie more than a revolution ahead, but never later
/// than asked for.
///
/// ```
/// use netcore::time::Tick;
/// use netcore::wheel::Wheel;
///
/// let mut wheel = Wheel::new(Tick(0));
/// wheel.insert(Tick(5), "tea");
/// wheel.insert(Tick(2), "egg");
/// assert_eq!((wheel.len(), wheel.next_due()), (2, Some(Tick(2))));
/// let mut due = Vec::new();
/// wheel.expire(Tick(3), 10, &mut due);
/// assert_eq!(due, [(Tick(2), "egg")]);
/// assert!(!wheel.is_empty());
/// ```
#[derive(Debug)]
pub struct Wheel<T> {
    slots: Vec<Vec<T>>,
    occupied: [u64; WHEEL_SLOTS / WORD_BITS],
    /// The next tick that has not come up completely.
    next: Tick,
    len: usize,
}

impl<T> Default for Wheel<T> {
    fn default() -> Self {
        Self::new(Tick(0))
    }
}

impl<T> Wheel<T> {
    /// An empty wheel at `now`.
    #[must_use]
    pub fn new(now: Tick) -> Self {
        let slots = std::iter::repeat_with(Vec::new).take(WHEEL_SLOTS).collect();
        Self {
            slots,
            occupied: [0; WHEEL_SLOTS / WORD_BITS],
            next: now,
            len: 0,
        }
    }

    /// Entries in the wheel.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing will come up.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts `value` in to come up at `at`, and returns the tick at which it really will: later than `at` if that has
    /// passed already, earlier if it is more than a revolution away.
    ///
    /// ```
    /// use netcore::time::Tick;
    /// use netcore::wheel::Wheel;
    ///
    /// // What the owner keeps for each entry.
    /// let true_deadline = Tick(5000);
    /// let mut wheel = Wheel::new(Tick(0));
    /// let early = wheel.insert(true_deadline, 'a');
    /// assert!(early < true_deadline);
    /// let mut due = Vec::new();
    /// wheel.expire(early, 10, &mut due);
    /// for (_, name) in due {
    ///     // Not its time yet: back with it.
    ///     wheel.insert(true_deadline, name);
    /// }
    /// assert_eq!(wheel.len(), 1);
    /// ```
    pub fn insert(&mut self, at: Tick, value: T) -> Tick {
        let last = self.next.after(Ticks(WHEEL_SLOTS as u32 - 1));
        let at = at.clamp(self.next, last);
        let slot = Self::slot(at);
        if let Some(entries) = self.slots.get_mut(slot) {
            entries.push(value);
            self.occupied[slot / WORD_BITS] |= 1 << (slot % WORD_BITS);
            self.len += 1;
        }
        at
    }

    /// Moves the entries that are due at `now` into `due`, each with its tick, but at most `max` entries; the rest
    /// comes up at the next call.
    pub fn expire(&mut self, now: Tick, max: usize, due: &mut Vec<(Tick, T)>) {
        let mut room = max;
        while self.next <= now && self.len > 0 {
            let slot = Self::slot(self.next);
            let Some(entries) = self.slots.get_mut(slot) else {
                return;
            };
            let taken = entries.len().min(room);
            let rest = entries.len() - taken;
            due.extend(entries.drain(rest..).map(|value| (self.next, value)));
            self.len -= taken;
            room -= taken;
            if rest > 0 {
                return;
            }
            if entries.capacity() > KEPT_ENTRIES_MAX {
                *entries = Vec::new();
            }
            self.occupied[slot / WORD_BITS] &= !(1 << (slot % WORD_BITS));
            self.next = self.next.after(Ticks(1));
        }
        if self.len == 0 {
            // Nothing to skip over: the whole revolution lies ahead again.
            self.next = self.next.max(now);
        }
    }

    /// The tick at which the next entry comes up.
    #[must_use]
    pub fn next_due(&self) -> Option<Tick> {
        if self.len == 0 {
            return None;
        }
        let start = Self::slot(self.next);
        let words = self.occupied.len();
        for step in 0..=words {
            let index = (start / WORD_BITS + step) % words;
            let mut word = self.occupied[index];
            if step == 0 {
                word &= u64::MAX << (start % WORD_BITS);
            } else if step == words {
                word &= !(u64::MAX << (start % WORD_BITS));
            }
            if word != 0 {
                let slot = index * WORD_BITS + word.trailing_zeros() as usize;
                let ahead = (slot + WHEEL_SLOTS - start) % WHEEL_SLOTS;
                return Some(self.next.after(Ticks(ahead as u32)));
            }
        }
        None
    }

    const fn slot(at: Tick) -> usize {
        at.0 as usize % WHEEL_SLOTS
    }
}

#[cfg(test)]
#[path = "wheel_tests.rs"]
mod tests;
