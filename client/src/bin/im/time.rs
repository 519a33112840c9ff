//! Times as people read them: in the zone of the person, with the zone said where a time stands alone.

use jiff::{Timestamp, Zoned, civil::Date, tz::TimeZone};

/// The zone of whoever sits here: `TZ`, or the system's.
pub(crate) fn local_zone() -> TimeZone {
    TimeZone::system()
}

/// A server's time in a zone; what no calendar has counts as its last day.
fn zoned(at_ms: u64, zone: &TimeZone) -> Zoned {
    let timestamp = i64::try_from(at_ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    timestamp.unwrap_or(Timestamp::MAX).to_zoned(zone.clone())
}

/// `14:03`.
pub(crate) fn clock(at_ms: u64, zone: &TimeZone) -> String {
    zoned(at_ms, zone).strftime("%H:%M").to_string()
}

/// `2026-11-21 14:03+01:00`.
pub(crate) fn date_and_clock(at_ms: u64, zone: &TimeZone) -> String {
    zoned(at_ms, zone).strftime("%Y-%m-%d %H:%M%:z").to_string()
}

/// Its day.
pub(crate) fn day(at_ms: u64, zone: &TimeZone) -> Date {
    zoned(at_ms, zone).date()
}

/// `Saturday 2026-11-21 (UTC+01:00)`.
pub(crate) fn day_title(at_ms: u64, zone: &TimeZone) -> String {
    zoned(at_ms, zone).strftime("%A %Y-%m-%d (UTC%:z)").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar_and_the_zone() {
        let utc = TimeZone::UTC;
        assert_eq!(date_and_clock(0, &utc), "1970-01-01 00:00+00:00");
        assert_eq!(date_and_clock(951_827_640_000, &utc), "2000-02-29 12:34+00:00");
        assert_eq!(date_and_clock(4_102_444_799_000, &utc), "2099-12-31 23:59+00:00");
        let kathmandu = TimeZone::posix("<+0545>-5:45").unwrap();
        assert_eq!(date_and_clock(0, &kathmandu), "1970-01-01 05:45+05:45");
        assert_eq!(clock(0, &kathmandu), "05:45");
        assert_eq!(day_title(0, &kathmandu), "Thursday 1970-01-01 (UTC+05:45)");
        let west = TimeZone::posix("<-08>8").unwrap();
        assert_eq!(date_and_clock(0, &west), "1969-12-31 16:00-08:00");
        assert_ne!(day(0, &west), day(0, &kathmandu));
    }

    #[test]
    fn times_that_no_calendar_has_do_no_harm() {
        for at_ms in [u64::MAX, u64::MAX / 2, 253_402_300_800_000] {
            assert!(date_and_clock(at_ms, &TimeZone::UTC).starts_with("9999-12-"));
        }
    }
}
