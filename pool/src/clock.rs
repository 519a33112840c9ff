//! Owns the source of the pool's time.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Tells the time to a pool; tests bring their own. It measures ages and deadlines; the system decides how long a
/// thread really sleeps.
pub trait Clock: Send + Sync + 'static {
    /// The time that never runs backwards.
    fn now(&self) -> Instant;

    /// The time of day since 1970. Only its leaps against [`now`](Self::now) matter: a machine that slept notices
    /// them here.
    fn wall(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

/// The system's clock, called without a pointer on the way of every lease, or another clock.
pub(super) enum Time {
    System,
    Other(Arc<dyn Clock>),
}

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }
}

impl Time {
    #[inline]
    pub(super) fn now(&self) -> Instant {
        match self {
            Self::System => Instant::now(),
            Self::Other(clock) => clock.now(),
        }
    }

    pub(super) fn wall(&self) -> Duration {
        match self {
            Self::System => SystemClock.wall(),
            Self::Other(clock) => clock.wall(),
        }
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Other(_) => "Other",
        })
    }
}
