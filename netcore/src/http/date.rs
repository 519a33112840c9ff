//! Owns the form of a date in a header. Must never read a clock.

use std::fmt;
use std::time::SystemTime;

/// A point of time as a header states it: `Sun, 06 Nov 1994 08:49:37 GMT`. A program makes one each second, and copies
/// it into its responses.
///
/// ```
/// use netcore::http::Date;
/// use std::time::{Duration, UNIX_EPOCH};
///
/// let date = Date::new(UNIX_EPOCH + Duration::from_secs(784_111_777));
/// assert_eq!(date.as_str(), "Sun, 06 Nov 1994 08:49:37 GMT");
/// ```
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct Date([u8; Self::BYTES]);

impl Date {
    /// Bytes of every date.
    pub const BYTES: usize = 29;

    /// The second of this time. A time before 1970, or behind the year 9999, counts as the nearest that has a form.
    #[must_use]
    pub fn new(time: SystemTime) -> Self {
        let seconds = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs().min(LAST_SECOND));
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        let text = httpdate::HttpDate::from(time).to_string();
        Self(text.as_bytes().try_into().unwrap_or(*EPOCH))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The last second of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

const EPOCH: &[u8; Date::BYTES] = b"Thu, 01 Jan 1970 00:00:00 GMT";

impl fmt::Debug for Date {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(formatter)
    }
}

#[cfg(test)]
#[path = "date_tests.rs"]
mod tests;
