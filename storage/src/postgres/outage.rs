//! When the server is not asked to write: the breaker of all writers. It owns its numbers, and how small batches are
//! after an outage; it must never refuse a batch whose server answers.
//!
//! **One for all writers, and not the readers'.** The writers' connections are alike, so what one of them finds out
//! spares the others the wait. But a server may well answer questions and take no writes: when it has become a standby,
//! when it has no connection left for one of few writers. With one breaker for both, writes that fail would shut out
//! questions that have answers, and their answers would open it for writes again and again.
//!
//! **Slow start by size.** Writers are few and each has one batch under way, so the number of commits is no danger to a
//! server that has just started; their size is, as long as every page must be read from its disk: a batch that takes
//! longer than a statement may is refused whole, and comes again as large. So batches are small at first. What does not
//! fit waits in the lanes' queues, which are bounded; nobody is refused only because the server recovers.

use std::time::{Duration, Instant};

use pool::breaker::BreakerSettings;
use pool::shared_breaker::{SharedBreaker, SlowStart, Wording};

/// One writer alone may be refused a connection, by a server that has none left, while the others go on: hence several
/// failures, with no success of anybody between them. The pauses are so short that a server which is back is used again
/// within one and a half seconds, and their probes so few that it does not notice.
pub(super) const BREAKER: BreakerSettings = BreakerSettings {
    failures_in_a_row: 3,
    calls_min: 20,
    failed_percent: 50,
    pause_min: Duration::from_millis(250),
    pause_max: Duration::from_secs(1),
    probe_within: Duration::from_secs(2),
    recovery: Duration::from_secs(2),
};

/// The gate before all writers of a store.
pub(super) const fn gate(now: Instant) -> SharedBreaker {
    let words = Wording {
        whom: "PostgreSQL (writing)",
        meanwhile: "writes are refused until it does",
    };
    SharedBreaker::new(words, SlowStart::Smaller, BREAKER, now)
}

/// This share, in percent, of a number of writes; at least one.
pub(super) fn share_of(writes: usize, percent: u32) -> usize {
    let percent = usize::try_from(percent).unwrap_or(100).min(100);
    // Batches are far from the limits of multiplication; a larger one is as good as whole.
    writes
        .checked_mul(percent)
        .map_or(writes, |part| part / 100)
        .max(1)
}

#[cfg(test)]
#[path = "outage_tests.rs"]
mod tests;
