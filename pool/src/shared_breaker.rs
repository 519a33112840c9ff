//! A [breaker](crate::breaker) that threads share, before one kind of work for one dependency, and its sentences in the
//! log. It decides which reports count; it must never wait, and never hold its lock while anything else runs.
//!
//! A report counts if its call was admitted since the breaker last opened: a call that began before an outage tells
//! nothing about the dependency after it.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

use log::Level;
use parking_lot::Mutex;

use crate::breaker::{Breaker, BreakerSettings, BreakerState, Permission};

/// How the load on a dependency that answers again grows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SlowStart {
    /// Calls are refused at random, fewer and fewer of them.
    Fewer,
    /// The callers make their calls smaller, less and less so: see [`SharedBreaker::share`].
    Smaller,
}

/// The words of one breaker in the log.
#[derive(Clone, Copy, Debug)]
pub struct Wording {
    /// The dependency, with the kind of work if there are several.
    pub whom: &'static str,
    /// The consequence while it does not answer.
    pub meanwhile: &'static str,
}

/// A breaker with a lock around it, for any number of threads.
///
/// ```
/// use pool::breaker::BreakerSettings;
/// use pool::shared_breaker::{Cause, SharedBreaker, SlowStart, Wording};
/// use std::time::Instant;
///
/// let wording = Wording { whom: "the database", meanwhile: "requests are refused" };
/// let settings = BreakerSettings { failures_in_a_row: 1, ..BreakerSettings::default() };
/// let breaker = SharedBreaker::new(wording, SlowStart::Fewer, settings, Instant::now());
///
/// let permit = breaker.enter(Instant::now()).unwrap();
/// // The call is made, without any lock, and fails.
/// breaker.leave(permit, Instant::now(), Some(false), Some(Cause::Silence(&"connection refused")));
/// let retry_after = breaker.enter(Instant::now()).unwrap_err();
/// assert!(retry_after <= settings.pause_max);
/// ```
#[derive(Debug)]
pub struct SharedBreaker {
    words: Wording,
    slow_start: SlowStart,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    breaker: Breaker,
    /// How often the breaker has opened.
    openings: u64,
}

/// Why a call failed.
#[derive(Clone, Copy)]
pub enum Cause<'a> {
    /// There was no answer.
    Silence(&'a dyn Display),
    /// The answer was an error that any call would get.
    Answer(&'a str),
}

/// An admitted call; to be [reported](SharedBreaker::leave).
#[must_use]
#[derive(Clone, Copy, Debug)]
pub struct Permit {
    openings: u64,
    probe: bool,
}

impl std::fmt::Debug for Cause<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Silence(why) => write!(formatter, "Silence({why})"),
            Self::Answer(error) => write!(formatter, "Answer({error})"),
        }
    }
}

impl Permit {
    /// How often the breaker had opened before. A connection that was last used under another number may be gone.
    pub const fn openings(self) -> u64 {
        self.openings
    }

    /// Whether the call is the probe of the breaker.
    pub const fn is_probe(self) -> bool {
        self.probe
    }
}

impl SharedBreaker {
    /// A closed breaker.
    #[must_use]
    pub const fn new(words: Wording, slow_start: SlowStart, settings: BreakerSettings, now: Instant) -> Self {
        Self {
            words,
            slow_start,
            inner: Mutex::new(Inner {
                breaker: Breaker::new(settings, now),
                openings: 0,
            }),
        }
    }

    /// The state of the breaker.
    pub fn state(&self) -> BreakerState {
        self.inner.lock().breaker.state()
    }

    /// How often the breaker has opened.
    pub fn openings(&self) -> u64 {
        self.inner.lock().openings
    }

    /// See [`Breaker::share`].
    pub fn share(&self, now: Instant) -> u32 {
        self.inner.lock().breaker.share(now)
    }

    /// Asks whether a call may be made now.
    ///
    /// # Errors
    /// The call is refused; the value is the time before which asking again is of no use.
    pub fn enter(&self, now: Instant) -> Result<Permit, Duration> {
        let random = random();
        let mut inner = self.inner.lock();
        let before = inner.breaker.state();
        let permission = match self.slow_start {
            SlowStart::Fewer => inner.breaker.allow(now, random),
            SlowStart::Smaller => inner.breaker.allow_smaller(now, random),
        };
        let after = inner.breaker.state();
        let pass = Permit {
            openings: inner.openings,
            probe: after == BreakerState::HalfOpen,
        };
        drop(inner);
        self.say(before, after, None);
        match permission {
            Permission::Allowed => Ok(pass),
            Permission::Refused { retry_after } => Err(retry_after),
        }
    }

    /// Reports the result of an admitted call: whether the dependency can be used, or `None` if the result tells
    /// nothing about it. `why` is for the log, if the breaker opens now.
    pub fn leave(&self, pass: Permit, now: Instant, reached: Option<bool>, why: Option<Cause<'_>>) {
        let mut inner = self.inner.lock();
        if inner.openings != pass.openings {
            return;
        }
        let before = inner.breaker.state();
        match reached {
            Some(reached) => inner.breaker.record(now, reached),
            None if pass.probe => inner.breaker.unused(now),
            None => {}
        }
        let after = inner.breaker.state();
        if before != BreakerState::Open && after == BreakerState::Open && reached == Some(false) {
            inner.openings += 1;
        }
        drop(inner);
        self.say(before, after, why);
    }

    fn say(&self, before: BreakerState, after: BreakerState, why: Option<Cause<'_>>) {
        if let Some((level, sentence)) = sentence(self.words, before, after, why) {
            log::log!(level, "{sentence}");
        }
    }
}

/// The log line for a breaker transition, if there was one. Failed probes are logged at DEBUG.
fn sentence(
    words: Wording,
    before: BreakerState,
    after: BreakerState,
    why: Option<Cause<'_>>,
) -> Option<(Level, String)> {
    use BreakerState::{Closed, HalfOpen, Open, Recovering};
    let Wording { whom, meanwhile } = words;
    let why = match why {
        None => String::new(),
        Some(Cause::Silence(why)) => format!(" ({why})"),
        Some(Cause::Answer(error)) => {
            let said = match (before, after) {
                (Closed | Recovering, Open) => (
                    Level::Warn,
                    format!("{whom} answers with the error {error}; {meanwhile}"),
                ),
                (HalfOpen, Open) => (
                    Level::Debug,
                    format!("{whom} still answers with the error {error}"),
                ),
                _ => return None,
            };
            return Some(said);
        }
    };
    let said = match (before, after) {
        (Closed, Open) => (Level::Warn, format!("{whom} does not answer{why}; {meanwhile}")),
        (Recovering, Open) => (
            Level::Warn,
            format!("{whom} has ceased to answer again{why}; {meanwhile}"),
        ),
        (HalfOpen, Open) => (Level::Debug, format!("{whom} still does not answer{why}")),
        (Open, HalfOpen) => (Level::Debug, format!("{whom} is tried")),
        (HalfOpen, Recovering) => (
            Level::Info,
            format!("{whom} answers again, and is asked for more and more"),
        ),
        (Recovering, Closed) => (Level::Info, format!("{whom} is asked as usual again")),
        _ => return None,
    };
    Some(said)
}

/// A random number; the middle of the range if the system's source fails.
pub fn random() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}

#[cfg(test)]
#[path = "shared_breaker_tests.rs"]
mod tests;
