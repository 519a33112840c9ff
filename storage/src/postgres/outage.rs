//! The write breaker: decides whether the server is asked to write, for all writers. It owns its numbers, and the size
//! of batches after an outage; it must never refuse a batch whose server answers.
//!
//! **One for all writers, and not the readers'.** The writers' connections are alike, so a finding of one spares the
//! others the wait. But a server may well answer queries and take no writes: when it has become a standby, or when it
//! has no connection left for one of few writers. With one breaker for both, failed writes would refuse queries that
//! have answers, and those answers would open it for writes again and again.
//!
//! **Slow start by size.** There are few writers, each with one batch in progress, so the number of commits is no
//! danger to a server that has just started. The size of batches is, as long as every page must be read from its disk:
//! a batch that exceeds the statement timeout is refused whole, and comes again as large. So batches are small at
//! first. Other writes wait in the lanes' queues, which are bounded; no write is refused only because the server
//! recovers.

use std::time::{Duration, Instant};

use pool::breaker::BreakerSettings;
use pool::shared_breaker::{SharedBreaker, SlowStart, Wording};

/// A single writer may be refused a connection, by a server that has none left, while the others go on: hence several
/// failures without a success of any writer in between. The pauses are so short that a server that is back is used
/// again within one and a half seconds, and the probes so few that it does not notice them.
pub(super) const BREAKER: BreakerSettings = BreakerSettings {
    failures_in_a_row: 3,
    calls_min: 20,
    failed_percent: 50,
    pause_min: Duration::from_millis(250),
    pause_max: Duration::from_secs(1),
    probe_within: Duration::from_secs(2),
    recovery: Duration::from_secs(2),
};

/// The breaker before all writers of a store.
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
    // Batches are far too small to overflow; a larger one may as well be whole.
    writes
        .checked_mul(percent)
        .map_or(writes, |part| part / 100)
        .max(1)
}

#[cfg(test)]
#[path = "outage_tests.rs"]
mod tests;
