//! Owns the coarse time of deadlines: a count of ticks since a loop started. Must never read a clock; the caller passes
//! the time.

use crate::limits::TICK;
use std::time::Duration;

/// A point in time in units of [`TICK`] since the loop started. `u32` lasts for 6.8 years.
///
/// ```
/// use netcore::limits::TICK;
/// use netcore::time::{Tick, Ticks};
///
/// let now = Tick::from_elapsed(TICK * 3);
/// assert_eq!(now.after(Ticks(2)), Tick(5));
/// assert_eq!(now.after(Ticks::NEVER), Tick::NEVER);
/// assert_eq!(Tick(9).since(now), Ticks(6));
/// // How long a loop with a deadline at tick 5 can sleep, two and a half ticks after its start.
/// assert_eq!(Tick(5).to_elapsed() - TICK * 5 / 2, TICK * 5 / 2);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Tick(pub u32);

/// A span of time in ticks, rounded up; [`Ticks::NEVER`] never passes.
///
/// ```
/// use netcore::limits::TICK;
/// use netcore::time::{Tick, Ticks};
/// use std::time::Duration;
///
/// // The current tick has begun already, so one more is waited for.
/// let span = Ticks::from_duration(TICK * 3);
/// assert_eq!(span, Ticks(4));
/// assert_eq!(Tick(10).after(span), Tick(14));
/// assert_eq!(Ticks::from_duration(Duration::MAX), Ticks::NEVER);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Ticks(pub u32);

impl Tick {
    /// The tick that never comes.
    pub const NEVER: Self = Self(u32::MAX);

    /// The tick in which the time `elapsed` since the start of the loop lies.
    #[must_use]
    pub fn from_elapsed(elapsed: Duration) -> Self {
        let ticks = elapsed.as_millis() / TICK.as_millis();
        Self(u32::try_from(ticks).unwrap_or(u32::MAX - 1))
    }

    /// Time from the start of the loop to the beginning of this tick.
    #[must_use]
    pub fn to_elapsed(self) -> Duration {
        TICK.saturating_mul(self.0)
    }

    /// This tick moved into the future; [`Tick::NEVER`] if it leaves the range.
    #[must_use]
    pub const fn after(self, span: Ticks) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// Ticks from `earlier` to this one, 0 if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Ticks {
        Ticks(self.0.saturating_sub(earlier.0))
    }
}

impl Ticks {
    /// A span that never passes.
    pub const NEVER: Self = Self(u32::MAX);

    /// `span` in whole ticks, never shorter than asked for: rounded up, plus one because the current tick has
    /// already begun. [`Duration::MAX`] is [`Ticks::NEVER`].
    #[must_use]
    pub fn from_duration(span: Duration) -> Self {
        let ticks = span.as_millis().div_ceil(TICK.as_millis()).saturating_add(1);
        Self(u32::try_from(ticks).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_never_shorter_than_asked_for() {
        assert_eq!(Ticks::from_duration(TICK), Ticks(2));
        assert_eq!(Ticks::from_duration(TICK + Duration::from_millis(1)), Ticks(3));
        assert_eq!(Ticks::from_duration(Duration::MAX), Ticks::NEVER);
    }

    #[test]
    fn never_stays_never() {
        assert_eq!(Tick(7).after(Ticks::NEVER), Tick::NEVER);
        assert_eq!(Tick::NEVER.after(Ticks(1)), Tick::NEVER);
        assert_eq!(Tick(3).since(Tick(5)), Ticks(0));
    }

    #[test]
    fn elapsed_time_round_trips() {
        let tick = Tick::from_elapsed(TICK * 12 + Duration::from_millis(1));
        assert_eq!(tick, Tick(12));
        assert_eq!(tick.to_elapsed(), TICK * 12);
    }
}
