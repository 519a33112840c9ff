//! Exponential back-off with full jitter, as a value that gets its randomness from the caller.
//!
//! It owns the arithmetic of waiting. It must never sleep, read a clock or draw randomness of its own.

use std::time::Duration;

use protocol::limits;

/// First upper bound of a reconnect's delay.
pub const RECONNECT_BASE: Duration = Duration::from_millis(limits::RECONNECT_FIRST_MS as u64);
/// Last upper bound of a reconnect's delay.
pub const RECONNECT_CAP: Duration = Duration::from_millis(limits::RECONNECT_MAX_MS as u64);

/// Delays whose upper bound doubles with every attempt, each drawn evenly from zero to that bound, so
/// that clients that lost the same server do not come back in step.
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    attempts: u32,
    state: u64,
}

impl Backoff {
    /// Delays up to `base` at first, never above `cap`. Two values of the same `seed` behave alike.
    pub const fn new(base: Duration, cap: Duration, seed: u64) -> Self {
        Self {
            base,
            cap,
            attempts: 0,
            state: seed,
        }
    }

    /// The delay before the next attempt.
    pub fn next_delay(&mut self) -> Duration {
        let bound = self.bound();
        self.attempts = self.attempts.saturating_add(1);
        let nanoseconds = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX - 1);
        Duration::from_nanos(self.draw() % nanoseconds.saturating_add(1))
    }

    /// The longest delay that [`next_delay`](Self::next_delay) can return now.
    pub fn bound(&self) -> Duration {
        let factor = 1_u32.checked_shl(self.attempts).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.cap)
    }

    /// Starts over: the last attempt went well.
    pub const fn reset(&mut self) {
        self.attempts = 0;
    }

    /// One step of a splitmix64 generator: uniform enough for jitter, and no secret depends on it.
    const fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_double_up_to_the_cap_and_start_over() {
        let mut backoff = Backoff::new(RECONNECT_BASE, RECONNECT_CAP, 7);
        let mut bounds = Vec::new();
        for _ in 0..7 {
            bounds.push(backoff.bound().as_millis());
            backoff.next_delay();
        }
        assert_eq!(bounds, [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
        for _ in 0..100 {
            assert!(backoff.next_delay() <= RECONNECT_CAP);
        }
        backoff.reset();
        assert_eq!(backoff.bound(), RECONNECT_BASE);
    }

    #[test]
    fn delays_fill_the_whole_range() {
        let mut backoff = Backoff::new(RECONNECT_CAP, RECONNECT_CAP, 1);
        let delays: Vec<_> = (0..1_000).map(|_| backoff.next_delay().as_secs_f64()).collect();
        let mean = delays.iter().sum::<f64>() / 1_000.0;
        assert!((6.5..8.5).contains(&mean), "mean {mean}");
        assert!(delays.iter().any(|delay| *delay < 1.0));
        assert!(delays.iter().any(|delay| *delay > 14.0));
    }
}
