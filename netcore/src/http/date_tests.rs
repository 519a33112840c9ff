use super::*;
use std::time::{Duration, UNIX_EPOCH};

#[test]
fn every_time_has_a_form() {
    for (seconds, text) in [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (LAST_SECOND, "Fri, 31 Dec 9999 23:59:59 GMT"),
        (LAST_SECOND + 1, "Fri, 31 Dec 9999 23:59:59 GMT"),
    ] {
        assert_eq!(
            Date::new(UNIX_EPOCH + Duration::from_secs(seconds)).as_str(),
            text
        );
    }
    let before = UNIX_EPOCH - Duration::from_secs(1);
    assert_eq!(Date::new(before).as_str(), "Thu, 01 Jan 1970 00:00:00 GMT");
}
