//! The cells that everything is counted in. A cell has one thread that writes it, unless its name says otherwise, and
//! any number of threads that read it; writing one costs a load and a store on memory of the writer's own, no lock and
//! no allocation.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// A number that one thread writes.
#[derive(Debug, Default)]
pub(crate) struct Tally(AtomicU64);

impl Tally {
    /// Adds to it. To be called by one thread only: what another one adds at the same time may be lost.
    #[inline]
    pub(crate) fn add(&self, count: u64) {
        let sum = self.0.load(Ordering::Relaxed).wrapping_add(count);
        self.0.store(sum, Ordering::Relaxed);
    }

    /// Replaces it.
    #[inline]
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds to it, from any thread. For what is rare.
    pub(crate) fn add_shared(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The number.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Buckets of a histogram with a bound, at most.
const BOUNDS_MAX: usize = 16;

/// The upper bounds of a histogram's buckets, ascending, and the size of one unit of them where they are shown.
#[derive(Debug)]
pub(crate) struct Bounds {
    pub(super) values: [u64; BOUNDS_MAX],
    pub(super) unit: f64,
}

/// Times from 100 µs to 10 s, in microseconds, shown in seconds.
pub(crate) static TIMES: Bounds = Bounds {
    values: [
        100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
        2_500_000, 5_000_000, 10_000_000,
    ],
    unit: 1e-6,
};

/// Numbers of things, by powers of two up to 32,768.
pub(crate) static SIZES: Bounds = Bounds {
    values: [
        1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384, 32_768,
    ],
    unit: 1.0,
};

/// Counts values by size; one thread writes it.
#[derive(Debug)]
pub(crate) struct Histogram {
    bounds: &'static Bounds,
    /// The last one has no bound.
    buckets: [Tally; BOUNDS_MAX + 1],
    sum: Tally,
}

impl Histogram {
    /// An empty one.
    pub(crate) fn new(bounds: &'static Bounds) -> Self {
        Self {
            bounds,
            buckets: Default::default(),
            sum: Tally::default(),
        }
    }

    /// Counts a value, in units of the bounds.
    #[inline]
    pub(crate) fn record(&self, value: u64) {
        let index = self.bounds.values.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.buckets.get(index) {
            bucket.add(1);
        }
        self.sum.add(value);
    }

    /// Counts a time; the bounds are [`TIMES`].
    #[inline]
    pub(crate) fn record_time(&self, time: Duration) {
        self.record(micros(time));
    }

    /// Counts a time, from any thread. For what is rare.
    pub(crate) fn record_time_shared(&self, time: Duration) {
        let value = micros(time);
        let index = self.bounds.values.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.buckets.get(index) {
            bucket.add_shared(1);
        }
        self.sum.add_shared(value);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A histogram as it is shown: the sum of several of the same bounds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Distribution {
    pub(super) sum: f64,
    /// Each bucket's bound and its own count.
    pub(super) buckets: Vec<(f64, u64)>,
}

impl Distribution {
    /// Adds up histograms; `None` if there are none.
    pub(crate) fn of<'a>(histograms: impl IntoIterator<Item = &'a Histogram>) -> Option<Self> {
        let mut all: Option<(&'static Bounds, u64, [u64; BOUNDS_MAX + 1])> = None;
        for histogram in histograms {
            let (_, sum, counts) = all.get_or_insert((histogram.bounds, 0, [0; BOUNDS_MAX + 1]));
            *sum = sum.wrapping_add(histogram.sum.get());
            for (count, bucket) in counts.iter_mut().zip(&histogram.buckets) {
                *count += bucket.get();
            }
        }
        let (bounds, sum, counts) = all?;
        // Divided, so that a bound is shown as 0.0025 and not with the error of a product.
        let per_unit = (1.0 / bounds.unit).round();
        let shown = |value: u64| value as f64 / per_unit;
        let limits = bounds
            .values
            .iter()
            .map(|bound| shown(*bound))
            .chain([f64::INFINITY]);
        Some(Self {
            sum: shown(sum),
            buckets: limits.zip(counts).collect(),
        })
    }

    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_falls_into_the_bucket_whose_bound_it_does_not_exceed() {
        let histogram = Histogram::new(&TIMES);
        for micros in [0, 100, 101, 10_000_000, 10_000_001] {
            histogram.record(micros);
        }
        histogram.record_time(Duration::from_millis(3));
        histogram.record_time_shared(Duration::MAX);
        let shown = Distribution::of([&histogram]).unwrap();
        let filled: Vec<(f64, u64)> = shown
            .buckets
            .iter()
            .copied()
            .filter(|(_, count)| *count > 0)
            .collect();
        assert_eq!(
            filled,
            [
                (0.000_1, 2),
                (0.000_25, 1),
                (0.005, 1),
                (10.0, 1),
                (f64::INFINITY, 2)
            ]
        );
        assert_eq!(shown.count(), 7);
    }

    #[test]
    fn several_are_shown_as_one() {
        let rows = [Histogram::new(&SIZES), Histogram::new(&SIZES)];
        rows[0].record(3);
        rows[1].record(3);
        rows[1].record(1);
        let shown = Distribution::of(&rows).unwrap();
        assert_eq!((shown.sum, shown.count()), (7.0, 3));
        assert_eq!(shown.buckets[..3], [(1.0, 1), (2.0, 0), (4.0, 2)]);
        assert_eq!(Distribution::of([]), None);
    }
}
