//! Owns the date of responses, written once per second. Must never be more than a second behind.

use crate::response::Date;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The date, and how long it holds.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    written: Option<(Date, Instant)>,
}

impl Clock {
    /// The date `now`.
    pub(crate) fn date(&mut self, now: Instant) -> Date {
        match self.written {
            Some((date, until)) if now < until => date,
            _ => self.write(now, SystemTime::now()),
        }
    }

    fn write(&mut self, now: Instant, wall: SystemTime) -> Date {
        let mut date = *b"Thu, 01 Jan 1970 00:00:00 GMT";
        let since_epoch = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        let text = httpdate::fmt_http_date(UNIX_EPOCH + since_epoch);
        // The format has one length, until the year 10000.
        if text.len() == date.len() {
            date.copy_from_slice(text.as_bytes());
        }
        let rest = Duration::from_secs(1) - Duration::from_nanos(u64::from(since_epoch.subsec_nanos()));
        self.written = Some((date, now + rest));
        date
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_holds_until_its_second_is_over() {
        let (mut clock, start) = (Clock::default(), Instant::now());
        let wall = UNIX_EPOCH + Duration::from_millis(784_111_777_600);
        assert_eq!(&clock.write(start, wall), b"Sun, 06 Nov 1994 08:49:37 GMT");
        let (_, until) = clock.written.unwrap();
        assert_eq!(until, start + Duration::from_millis(400));
        let last = until - Duration::from_nanos(1);
        assert_eq!(&clock.date(last), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_ne!(&clock.date(until), b"Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
