//! Errors that come with every request while something is down: logged when they begin, and with their number
//! once in a while as long as they last.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// An error that goes on is logged so often.
const EVERY: Duration = Duration::from_secs(5);

/// One thing that may fail for many at once. Shared by every thread.
#[derive(Debug)]
pub(crate) struct LogThrottle {
    what: &'static str,
    said: Mutex<Option<Said>>,
    hushed: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
struct Said {
    at: Instant,
    unsaid: u64,
}

impl LogThrottle {
    /// `what` is the beginning of a sentence, as in "the store did not answer".
    pub(crate) const fn new(what: &'static str) -> Self {
        Self {
            what,
            said: Mutex::new(None),
            hushed: AtomicBool::new(false),
        }
    }

    /// From now on it fails because it is made to.
    pub(crate) fn hush(&self) {
        self.hushed.store(true, Ordering::Relaxed);
    }

    /// It failed, for this reason.
    pub(crate) fn failed(&self, reason: &dyn std::fmt::Display) {
        if self.hushed.load(Ordering::Relaxed) {
            return;
        }
        if let Some(unsaid) = self.to_say(Instant::now()) {
            match unsaid {
                0 => log::error!("{}: {reason}", self.what),
                _ => log::error!("{}, and {unsaid} times before: {reason}", self.what),
            }
        }
    }

    /// Whether to say it now, and how often it was not said.
    fn to_say(&self, now: Instant) -> Option<u64> {
        let mut said = self.said.lock();
        let unsaid = match &mut *said {
            Some(said) if now.saturating_duration_since(said.at) < EVERY => {
                said.unsaid += 1;
                return None;
            }
            Some(said) => said.unsaid,
            None => 0,
        };
        *said = Some(Said { at: now, unsaid: 0 });
        Some(unsaid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_at_once_and_then_now_and_then() {
        let log_throttle = LogThrottle::new("the moon did not shine");
        let start = Instant::now();
        assert_eq!(log_throttle.to_say(start), Some(0));
        assert_eq!(log_throttle.to_say(start), None);
        assert_eq!(log_throttle.to_say(start + EVERY / 2), None);
        assert_eq!(log_throttle.to_say(start + EVERY), Some(2));
        assert_eq!(log_throttle.to_say(start + EVERY), None);
        assert_eq!(log_throttle.to_say(start + EVERY * 3), Some(1));
    }
}
