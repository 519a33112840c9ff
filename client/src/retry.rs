//! Whether an idempotent request is worth another attempt, and when: the decision, without the waiting.

use std::time::{Duration, Instant};

use crate::{
    backoff::Backoff,
    error::{Error, Outcome},
};

/// First upper bound of the delay before an attempt is repeated.
pub const RETRY_BASE: Duration = Duration::from_millis(200);
/// Last upper bound of that delay.
pub const RETRY_CAP: Duration = Duration::from_secs(5);

/// One logical request over all its attempts.
#[derive(Debug)]
pub struct Attempts {
    deadline: Instant,
    backoff: Backoff,
}

/// What to do after a failed attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Repeat it, under the same client id, no earlier than this.
    At(Instant),
    /// Report this.
    GiveUp(Error),
}

impl Attempts {
    /// Attempts until `deadline`.
    pub const fn new(deadline: Instant, seed: u64) -> Self {
        Self {
            deadline,
            backoff: Backoff::new(RETRY_BASE, RETRY_CAP, seed),
        }
    }

    /// When all attempts together must be over.
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What follows from an attempt that failed at `now`. A server's retry-after is the least that is
    /// waited; an attempt that could only begin after the deadline is not made.
    pub fn after(&mut self, error: Error, now: Instant) -> Next {
        if error.outcome() != Outcome::Unknown {
            return Next::GiveUp(error);
        }
        let asked = if let Error::Refused(refusal) = &error {
            Duration::from_millis(refusal.retry_after_ms.into())
        } else {
            Duration::ZERO
        };
        let at = now + self.backoff.next_delay().max(asked);
        if at >= self.deadline {
            return Next::GiveUp(error);
        }
        Next::At(at)
    }
}

#[cfg(test)]
mod tests {
    use protocol::v1::{self, ErrorClass, ErrorCode};

    use super::*;
    use crate::error::Ending;

    fn refused(class: ErrorClass, retry_after_ms: u32) -> Error {
        Error::Refused(v1::Error {
            code: ErrorCode::Unavailable.into(),
            class: class.into(),
            retry_after_ms,
            ..v1::Error::default()
        })
    }

    #[test]
    fn only_what_is_not_definite_is_repeated() {
        let now = Instant::now();
        let cases = [
            (refused(ErrorClass::NotApplied, 0), false),
            (refused(ErrorClass::UnknownOutcome, 0), true),
            (refused(ErrorClass::Retry, 0), true),
            (refused(ErrorClass::Unspecified, 0), true),
            (Error::Unreachable(String::new()), true),
            (Error::ConnectionLost(String::new()), true),
            (Error::Timeout, true),
            (Error::Untrusted(String::new()), false),
            (Error::NotLoggedIn, false),
            (Error::Ended(Ending::Replaced), false),
            (Error::Closed, false),
        ];
        for (error, repeated) in cases {
            let mut attempts = Attempts::new(now + Duration::from_secs(60), 3);
            let next = attempts.after(error.clone(), now);
            assert_eq!(matches!(next, Next::At(_)), repeated, "{error}");
        }
    }

    #[test]
    fn the_server_says_how_long_at_least() {
        let now = Instant::now();
        let mut attempts = Attempts::new(now + Duration::from_secs(60), 3);
        let Next::At(at) = attempts.after(refused(ErrorClass::Retry, 9_000), now) else {
            panic!("must be repeated");
        };
        assert_eq!(at, now + Duration::from_secs(9));
    }

    #[test]
    fn nothing_begins_after_the_deadline() {
        let now = Instant::now();
        let mut attempts = Attempts::new(now + Duration::from_secs(5), 3);
        let error = refused(ErrorClass::Retry, 5_000);
        assert_eq!(attempts.after(error.clone(), now), Next::GiveUp(error));
    }
}
