//! Owns the counts and measurements of a pool. Must do nothing but add and read.

use super::CloseReason;
use std::fmt;
use std::time::Duration;

/// A pool at one moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Status {
    /// The maximum of connections.
    pub max: u32,
    /// Connections that are open: idle, leased and under test.
    pub total: u32,
    /// Connections that lie idle.
    pub idle: u32,
    /// Connections that are leased.
    pub leased: u32,
    /// Connections being tested or cleaned.
    pub checking: u32,
    /// Connections being opened; not in `total`.
    pub connecting: u32,
    /// Callers that wait for a connection.
    pub waiting: u32,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            max,
            total,
            idle,
            leased,
            checking,
            connecting,
            waiting,
        } = self;
        write!(
            f,
            "{total} of {max} open: {idle} idle, {leased} leased, {checking} checking; \
             {connecting} connecting, {waiting} waiting"
        )
    }
}

/// The history of a pool since it was built.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Statistics {
    /// Leases given.
    pub leases: u64,
    /// Callers whose deadline passed.
    pub timeouts: u64,
    /// Callers refused because too many waited.
    pub overloads: u64,
    /// Connections opened.
    pub connects: u64,
    /// Attempts to connect that failed.
    pub connect_failures: u64,
    /// Tests of connections, keepalives and clean-ups among them.
    pub checks: u64,
    /// Tests that failed.
    pub check_failures: u64,
    /// Leases reported as held for too long.
    pub leaks: u64,
    /// How often the clock leapt.
    pub clock_leaps: u64,
    /// The longest wait of a caller, with or without success.
    pub wait_longest: Duration,
    /// Waits of callers that got a connection.
    pub wait: Histogram,
    /// Durations of leases.
    pub hold: Histogram,
    /// Durations of opening connections.
    pub connect: Histogram,
    /// Durations of tests.
    pub check: Histogram,
    closed: [u64; CloseReason::ALL.len()],
}

impl Statistics {
    /// Connections closed for this reason.
    #[must_use]
    pub fn closed(&self, reason: CloseReason) -> u64 {
        self.closed.get(reason as usize).copied().unwrap_or(0)
    }

    pub(super) fn count_closed(&mut self, reason: CloseReason) {
        if let Some(count) = self.closed.get_mut(reason as usize) {
            *count += 1;
        }
    }
}

/// Buckets of a [`Histogram`]; the last takes everything from 2^38 ns, that is 275 s, on.
pub const HISTOGRAM_BUCKETS: usize = 40;

/// Durations by powers of two: bucket 0 counts zero, bucket `n` counts from 2^(n-1) to below 2^n nanoseconds.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Histogram {
    counts: [u64; HISTOGRAM_BUCKETS],
    sum: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: [0; HISTOGRAM_BUCKETS],
            sum: Duration::ZERO,
        }
    }
}

impl Histogram {
    pub(super) fn record(&mut self, value: Duration) {
        let nanoseconds = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
        let bits = (u64::BITS - nanoseconds.leading_zeros()) as usize;
        if let Some(count) = self.counts.get_mut(bits.min(HISTOGRAM_BUCKETS - 1)) {
            *count += 1;
        }
        self.sum = self.sum.saturating_add(value);
    }

    /// Records a duration of zero.
    pub(super) fn record_none(&mut self) {
        self.counts[0] += 1;
    }

    /// The number of durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all durations.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        self.sum
    }

    /// The buckets with an upper bound: the bound that their values stay below, and the number of values. Values that
    /// are missing from [`count`](Self::count) lie above the last bound.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        let bounded = self.counts.iter().take(HISTOGRAM_BUCKETS - 1);
        bounded
            .enumerate()
            .map(|(bits, count)| (Duration::from_nanos(1 << bits), *count))
    }

    /// A bound that at least this share of the values stays below, exact to a power of two; `None` if there are no
    /// values or the bound lies in the last bucket.
    #[must_use]
    pub fn below(&self, share: f64) -> Option<Duration> {
        let count = self.count();
        let rank = (share.clamp(0.0, 1.0) * count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        self.buckets()
            .find(|(_, inside)| {
                seen += inside;
                seen >= rank
            })
            .map(|(bound, _)| bound)
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count())
            .field("sum", &self.sum)
            .field("median_below", &self.below(0.5))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(not(pool_models))]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_powers_of_two() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.below(0.5), None);
        histogram.record_none();
        for nanoseconds in [1, 3, 1023, 1024] {
            histogram.record(Duration::from_nanos(nanoseconds));
        }
        let filled: Vec<(u128, u64)> = histogram
            .buckets()
            .filter(|(_, count)| *count > 0)
            .map(|(bound, count)| (bound.as_nanos(), count))
            .collect();
        assert_eq!(filled, [(1, 1), (2, 1), (4, 1), (1024, 1), (2048, 1)]);
        assert_eq!(histogram.below(0.6), Some(Duration::from_nanos(4)));
        assert_eq!(histogram.sum(), Duration::from_nanos(2051));
        histogram.record(Duration::MAX);
        assert_eq!(histogram.count(), 6);
        assert_eq!(histogram.below(1.0), None);
    }

    #[test]
    fn every_reason_has_its_own_count() {
        let mut statistics = Statistics::default();
        for (number, reason) in CloseReason::ALL.into_iter().enumerate() {
            for _ in 0..=number {
                statistics.count_closed(reason);
            }
        }
        for (number, reason) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(statistics.closed(reason), number as u64 + 1, "{reason}");
        }
    }
}
