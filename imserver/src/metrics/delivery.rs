//! Pushes, and what slow connections get in their place. Counted by the loops.

use super::{
    cell::{Distribution, Histogram, TIMES, Tally},
    exposition::Shown,
    table,
};

/// The deliveries of one loop.
#[derive(Debug)]
pub(crate) struct Deliveries {
    /// Frames pushed.
    pub pushes: Tally,
    /// Frames of heads, and calls to sync.
    pub heads: Tally,
    /// Connections that became slow.
    pub slow: Tally,
    /// From publishing to the out-queues.
    pub delay: Histogram,
}

impl Default for Deliveries {
    fn default() -> Self {
        Self {
            pushes: Tally::default(),
            heads: Tally::default(),
            slow: Tally::default(),
            delay: Histogram::new(&TIMES),
        }
    }
}

/// Shows those of all loops together.
pub(super) fn show<'a>(shown: &mut Shown, loops: impl Iterator<Item = &'a Deliveries> + Clone) {
    let sum = |of: fn(&Deliveries) -> &Tally| -> u64 { loops.clone().map(|row| of(row).get()).sum() };
    shown.count(&table::PUSHES, sum(|row| &row.pushes));
    shown.count(&table::HEADS, sum(|row| &row.heads));
    shown.count(&table::SLOW_CONNECTIONS, sum(|row| &row.slow));
    shown.histogram(&table::DELIVERY, Distribution::of(loops.map(|row| &row.delay)));
}
