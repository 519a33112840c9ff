//! Owns the application's timers of one connection. Must never hold more than the limit.

use crate::limits::TIMERS_PER_CONNECTION_MAX;
use crate::time::Tick;

/// Deadlines with the keys of the application, each key once, the latest first.
#[derive(Debug, Default)]
pub(crate) struct Timers(Vec<(Tick, u32)>);

impl Timers {
    /// Sets the timer of this key; `false` if there are too many.
    pub(crate) fn set(&mut self, key: u32, at: Tick) -> bool {
        self.clear(key);
        if self.0.len() >= TIMERS_PER_CONNECTION_MAX {
            return false;
        }
        let place = self.0.partition_point(|(other, _)| *other > at);
        self.0.insert(place, (at, key));
        true
    }

    /// Unsets the timer of this key; returns whether it was set.
    pub(crate) fn clear(&mut self, key: u32) -> bool {
        let place = self.0.iter().position(|(_, other)| *other == key);
        place.is_some_and(|place| {
            self.0.remove(place);
            true
        })
    }

    /// When the next one is due; `NEVER` if there is none.
    pub(crate) fn next(&self) -> Tick {
        self.0.last().map_or(Tick::NEVER, |(at, _)| *at)
    }

    /// Takes the key of a timer that is due.
    pub(crate) fn pop_due(&mut self, now: Tick) -> Option<u32> {
        self.0.pop_if(|(at, _)| *at <= now).map(|(_, key)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_come_in_the_order_of_their_times_and_each_once() {
        let mut timers = Timers::default();
        assert_eq!(timers.next(), Tick::NEVER);
        assert!(timers.set(1, Tick(30)) && timers.set(2, Tick(10)) && timers.set(3, Tick(20)));
        assert_eq!(timers.next(), Tick(10));
        assert_eq!(timers.pop_due(Tick(9)), None);
        assert_eq!(timers.pop_due(Tick(25)), Some(2));
        assert_eq!(timers.pop_due(Tick(25)), Some(3));
        assert_eq!(timers.pop_due(Tick(25)), None);
        assert_eq!(timers.next(), Tick(30));
    }

    #[test]
    fn setting_a_timer_again_moves_it_and_clearing_removes_it() {
        let mut timers = Timers::default();
        timers.set(1, Tick(30));
        timers.set(1, Tick(5));
        assert_eq!((timers.next(), timers.0.len()), (Tick(5), 1));
        assert!(timers.clear(1));
        assert!(!timers.clear(1));
        assert_eq!(timers.next(), Tick::NEVER);
    }

    #[test]
    fn there_are_only_so_many() {
        let mut timers = Timers::default();
        for key in 0..TIMERS_PER_CONNECTION_MAX as u32 {
            assert!(timers.set(key, Tick(key)));
        }
        assert!(!timers.set(u32::MAX, Tick(1)));
        assert!(timers.set(0, Tick(99)));
    }
}
