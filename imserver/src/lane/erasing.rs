//! Decides when a lane erases bodies that no reader can see any more. Every lane erases soon after a recall of its own.
//! The first lane also does so at intervals, for expired bodies and for those that an earlier process or another node
//! left. A slice is erased while the lane is idle, or, on a lane that is always busy, at intervals.
//! The decision depends on times alone; it must never ask a store or a clock.

use std::time::{Duration, Instant};

use storage::{Action, Append, Timestamp, Write};

/// A body is erased this long after its expiry: by then it has expired by the clocks of all nodes. Milliseconds.
const AFTER_EXPIRY_MS: u64 = 30_000;
/// Between two searches for expired bodies. A search that finds nothing costs less than a message.
const EVERY: Duration = Duration::from_secs(30);
/// The time from the start to the first search, for bodies that an earlier process left; the start is over by then.
const FIRST: Duration = Duration::from_secs(1);
/// How long a slice waits for an idle moment.
const PATIENCE: Duration = Duration::from_millis(250);
/// The pause after a slice that the store did not commit.
const RETRY: Duration = Duration::from_secs(5);

/// The next slice of a lane.
#[derive(Debug)]
pub(super) struct Erasing {
    /// Searches at intervals, even if nothing is known to wait.
    looks: bool,
    due: Option<Instant>,
}

impl Erasing {
    pub(super) fn new(looks: bool, now: Instant) -> Self {
        Self {
            looks,
            due: looks.then(|| now + FIRST),
        }
    }

    /// When the lane makes the next slice, if it is idle then.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether a slice must be made now.
    pub(super) fn is_due(&self, now: Instant, idle: bool) -> bool {
        let patience = if idle { Duration::ZERO } else { PATIENCE };
        self.due.is_some_and(|due| due + patience <= now)
    }

    /// There are bodies to erase.
    pub(super) fn begin(&mut self, now: Instant) {
        self.due = Some(self.due.map_or(now, |due| due.min(now)));
    }

    /// A slice was committed; there may be more to erase.
    pub(super) fn erased(&mut self, more: bool, now: Instant) {
        self.due = if more {
            Some(now)
        } else {
            self.looks.then(|| now + EVERY)
        };
    }

    /// The slice was not committed.
    pub(super) fn failed(&mut self, now: Instant) {
        self.due = Some(now + RETRY);
    }
}

/// Bodies with an expiry up to the result are erased when the wall clock shows `now`.
pub(super) const fn expired_by(now: Timestamp) -> Timestamp {
    Timestamp(now.0.saturating_sub(AFTER_EXPIRY_MS))
}

/// Whether the write leaves a body to be erased.
pub(super) const fn is_recall(write: &Write) -> bool {
    matches!(
        write,
        Write::Append(Append {
            action: Action::Recall { .. },
            ..
        })
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_recalled_is_erased_at_once_and_in_one_go_on_an_idle_lane() {
        let now = Instant::now();
        let mut erasing = Erasing::new(false, now);
        assert_eq!(erasing.due(), None);
        erasing.begin(now);
        for _ in 0..3 {
            assert!(erasing.is_due(now, true));
            erasing.erased(true, now);
        }
        erasing.erased(false, now);
        assert_eq!(erasing.due(), None);
    }

    #[test]
    fn a_busy_lane_makes_slices_at_a_distance() {
        let now = Instant::now();
        let mut erasing = Erasing::new(false, now);
        erasing.begin(now);
        let later = now + PATIENCE;
        // Further recalls do not delay the slice.
        erasing.begin(later);
        assert!(!erasing.is_due(later - Duration::from_millis(1), false));
        assert!(erasing.is_due(later, false));
        erasing.erased(true, later);
        assert!(!erasing.is_due(later, false) && erasing.is_due(later, true));
    }

    #[test]
    fn the_first_lane_looks_now_and_then_and_soon_after_a_recall() {
        let now = Instant::now();
        let mut erasing = Erasing::new(true, now);
        assert_eq!(erasing.due(), Some(now + FIRST));
        erasing.erased(false, now);
        assert_eq!(erasing.due(), Some(now + EVERY));
        erasing.begin(now);
        assert!(erasing.is_due(now, true));
        erasing.failed(now);
        assert!(!erasing.is_due(now, true));
        assert_eq!(erasing.due(), Some(now + RETRY));
    }

    #[test]
    fn nothing_has_expired_before_there_was_time() {
        assert_eq!(expired_by(Timestamp(5)), Timestamp(0));
        assert_eq!(expired_by(Timestamp(AFTER_EXPIRY_MS + 5)), Timestamp(5));
    }
}
