//! The wall clock, for times that people read. Nothing is ordered by it; deadlines use the loops' own
//! monotonic clock.

use std::time::{SystemTime, UNIX_EPOCH};

use storage::Timestamp;

/// Milliseconds since 1970. A clock before that reads as 0.
pub(crate) fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX >> 1))
}
