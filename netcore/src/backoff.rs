//! Owns how long to wait before another attempt. Must never read a clock or a random source: the caller gives
//! the randomness.

use std::time::Duration;

/// Growing, jittered pauses between attempts to connect: each is drawn from the whole range between nothing and
/// a bound that doubles ("full jitter", so that clients that lost one server do not return in step).
///
/// ```
/// use netcore::Backoff;
/// use std::time::Duration;
///
/// let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(15));
/// // The random number decides where in the range; here always at its end.
/// assert_eq!(backoff.next_pause(u64::MAX), Duration::from_millis(100));
/// assert_eq!(backoff.next_pause(u64::MAX), Duration::from_millis(200));
/// backoff.reset();
/// assert_eq!(backoff.next_pause(u64::MAX), Duration::from_millis(100));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    bound: Duration,
}

impl Default for Backoff {
    /// From 100 milliseconds to 15 seconds.
    fn default() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(15))
    }
}

impl Backoff {
    /// The first pause lasts up to `initial`, none lasts longer than `max`.
    #[must_use]
    pub fn new(initial: Duration, max: Duration) -> Self {
        let initial = initial.min(max);
        Self {
            initial,
            max,
            bound: initial,
        }
    }

    /// The pause before the next attempt. `random` should be uniform over all of its values.
    pub fn next_pause(&mut self, random: u64) -> Duration {
        let bound = u64::try_from(self.bound.as_nanos()).unwrap_or(u64::MAX);
        self.bound = self.bound.saturating_mul(2).min(self.max);
        let share = (u128::from(bound) * (u128::from(random) + 1)) >> 64;
        Duration::from_nanos(share as u64)
    }

    /// An attempt succeeded: the next pause is short again.
    pub const fn reset(&mut self) {
        self.bound = self.initial;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_maximum_and_stay_there() {
        let mut backoff = Backoff::new(Duration::from_millis(300), Duration::from_secs(1));
        let pauses: Vec<u128> = (0..4).map(|_| backoff.next_pause(u64::MAX).as_millis()).collect();
        assert_eq!(pauses, [300, 600, 1000, 1000]);
    }

    #[test]
    fn the_random_number_chooses_within_the_range() {
        let pause = |random| Backoff::default().next_pause(random);
        assert_eq!(pause(0), Duration::ZERO);
        assert_eq!(pause(u64::MAX / 2), Duration::from_millis(50));
        let mut longest = Backoff::new(Duration::MAX, Duration::MAX);
        assert!(longest.next_pause(u64::MAX) > Duration::from_secs(1 << 33));
        assert!(longest.next_pause(1) < Duration::from_secs(100));
    }
}
