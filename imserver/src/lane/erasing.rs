//! When a lane erases bodies that are shown to nobody any more: soon after a recall of its own, and the first lane now and
//! then besides, for what has expired and for what an earlier process or another node left. Slices are made while nothing
//! else is to be done, or, on a lane that is always busy, at a distance.
//! It decides over times alone; it must never ask a store or a clock.

use std::time::{Duration, Instant};

use storage::{Action, Append, Timestamp, Write};

/// What expired so long ago is erased: by then it has expired by the clocks of all nodes. Milliseconds.
const AFTER_EXPIRY_MS: u64 = 30_000;
/// Between two looks for what has expired. With nothing to do one costs less than a message.
const EVERY: Duration = Duration::from_secs(30);
/// After the start, because of what an earlier process left; then everything else has begun.
const FIRST: Duration = Duration::from_secs(1);
/// So long a slice waits for an idle moment.
const PATIENCE: Duration = Duration::from_millis(250);
/// Until it is tried again when the store did not take it.
const RETRY: Duration = Duration::from_secs(5);

/// The next slice of a lane.
#[derive(Debug)]
pub(super) struct Erasing {
    /// It looks now and then, even if nothing is known to wait.
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

    /// When an idle lane makes the next slice.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// A slice is to be made now.
    pub(super) fn is_due(&self, now: Instant, idle: bool) -> bool {
        let patience = if idle { Duration::ZERO } else { PATIENCE };
        self.due.is_some_and(|due| due + patience <= now)
    }

    /// Something is to be erased.
    pub(super) fn begin(&mut self, now: Instant) {
        self.due = Some(self.due.map_or(now, |due| due.min(now)));
    }

    /// A slice was made; there may be more.
    pub(super) fn erased(&mut self, more: bool, now: Instant) {
        self.due = if more {
            Some(now)
        } else {
            self.looks.then(|| now + EVERY)
        };
    }

    /// The store did not take it.
    pub(super) fn failed(&mut self, now: Instant) {
        self.due = Some(now + RETRY);
    }
}

/// What had expired by then is erased at this time of the wall clock.
pub(super) const fn expired_by(now: Timestamp) -> Timestamp {
    Timestamp(now.0.saturating_sub(AFTER_EXPIRY_MS))
}

/// It leaves something to be erased.
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
        // More recalls do not put it off.
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
