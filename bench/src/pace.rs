//! When things are meant to happen. Times are nanoseconds since the load began; nothing here reads a clock.

use protocol::limits;

/// Turns that are evenly spread over `slots`, in turn: number `k` is slot `k % slots` and due at `k / rate`.
///
/// The times depend on nothing that happens, so a server that stalls is measured by when a message should
/// have been sent, not by when a sender that waited for it got round to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    start_ns: u64,
    per_second: f64,
    slots: u64,
    next: u64,
}

impl Pace {
    /// From `start_ns` on, `per_second` turns a second over `slots` (both at least above 0).
    pub(crate) fn new(start_ns: u64, per_second: f64, slots: usize) -> Self {
        Self {
            start_ns,
            per_second: per_second.max(1e-9),
            slots: (slots as u64).max(1),
            next: 0,
        }
    }

    /// The slot whose turn is due at `now_ns`, if one is.
    pub(crate) fn take_due(&mut self, now_ns: u64) -> Option<usize> {
        if self.next_ns() > now_ns {
            return None;
        }
        let slot = self.next % self.slots;
        self.next += 1;
        usize::try_from(slot).ok()
    }

    /// When the next turn is due.
    pub(crate) fn next_ns(&self) -> u64 {
        self.at(self.next)
    }

    /// When turn number `round` of `slot` is due.
    pub(crate) fn intended_ns(&self, slot: usize, round: u64) -> u64 {
        self.at(round.saturating_mul(self.slots).saturating_add(slot as u64))
    }

    fn at(&self, turn: u64) -> u64 {
        let after = turn as f64 * 1e9 / self.per_second;
        // A conversion to an integer stops at the largest.
        self.start_ns.saturating_add(after as u64)
    }
}

/// Bytes that a slow reader may take: so many a second, and no more at once than a second's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Throttle {
    bytes_per_second: u64,
    allowance: u64,
    since_ns: u64,
}

impl Throttle {
    pub(crate) const fn new(bytes_per_second: u64, now_ns: u64) -> Self {
        Self {
            bytes_per_second,
            allowance: 0,
            since_ns: now_ns,
        }
    }

    /// How many bytes may be read now.
    pub(crate) fn allowance(&mut self, now_ns: u64) -> usize {
        let passed = now_ns.saturating_sub(self.since_ns);
        let more = u128::from(passed) * u128::from(self.bytes_per_second) / 1_000_000_000;
        if more > 0 {
            self.since_ns = now_ns;
            let more = u64::try_from(more).unwrap_or(u64::MAX);
            self.allowance = self.allowance.saturating_add(more).min(self.bytes_per_second);
        }
        usize::try_from(self.allowance).unwrap_or(usize::MAX)
    }

    pub(crate) const fn read(&mut self, bytes: usize) {
        self.allowance = self.allowance.saturating_sub(bytes as u64);
    }
}

/// How long a client that lost its connection waits before it tries again: a random time below a bound that
/// doubles with every failure, as docs/PROTOCOL.md asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    bound_ms: u64,
}

impl Backoff {
    const FIRST_MS: u64 = limits::RECONNECT_FIRST_MS as u64;
    const LAST_MS: u64 = limits::RECONNECT_MAX_MS as u64;

    pub(crate) const fn new() -> Self {
        Self {
            bound_ms: Self::FIRST_MS,
        }
    }

    /// The next wait, in nanoseconds, of a random number.
    pub(crate) const fn next_ns(&mut self, random: u64) -> u64 {
        let bound_ns = self.bound_ms * 1_000_000;
        self.bound_ms = if self.bound_ms * 2 < Self::LAST_MS {
            self.bound_ms * 2
        } else {
            Self::LAST_MS
        };
        random % bound_ns
    }
}

/// Random numbers that are good enough to spread things in time (splitmix64).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_evenly_spread_whenever_they_are_taken() {
        let mut pace = Pace::new(1_000, 1_000.0, 3);
        assert_eq!(pace.take_due(999), None);
        assert_eq!(pace.take_due(1_000), Some(0));
        assert_eq!(pace.take_due(1_000), None);
        assert_eq!(pace.next_ns(), 1_001_000);
        // After a stall all that was due comes, each with the time it was meant for.
        let late: Vec<_> = std::iter::from_fn(|| pace.take_due(4_001_000)).collect();
        assert_eq!(late, [1, 2, 0, 1]);
        assert_eq!(pace.intended_ns(0, 1), 3_001_000);
        assert_eq!(pace.intended_ns(1, 1), 4_001_000);
    }

    #[test]
    fn a_throttle_gives_its_rate_and_saves_up_one_second_at_most() {
        let mut throttle = Throttle::new(1_024, 0);
        assert_eq!(throttle.allowance(0), 0);
        assert_eq!(throttle.allowance(500_000_000), 512);
        throttle.read(500);
        assert_eq!(throttle.allowance(500_000_000), 12);
        assert_eq!(throttle.allowance(1_000_000_000), 524);
        assert_eq!(throttle.allowance(60_000_000_000), 1_024);
    }

    #[test]
    fn a_client_waits_longer_each_time_and_never_beyond_the_last_bound() {
        let (mut backoff, mut dice) = (Backoff::new(), Dice(7));
        let bounds = [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000];
        for bound_ms in bounds {
            let (mut other, bound_ns) = (backoff, bound_ms * 1_000_000);
            assert_eq!(other.next_ns(bound_ns - 1), bound_ns - 1);
            assert!(backoff.next_ns(dice.roll()) < bound_ns);
        }
        assert_ne!(dice.roll(), dice.roll());
    }
}
