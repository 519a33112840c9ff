//! A [breaker](crate::breaker) that threads share, before one kind of work for one dependency, and its sentences in the
//! log. It owns which reports count; it must never wait, and never hold its lock while anything else runs.
//!
//! A report counts if its call was admitted since the breaker last opened: what began before an outage says nothing of
//! what is there after it.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

use log::Level;
use parking_lot::Mutex;

use crate::breaker::{Breaker, BreakerSettings, BreakerState, Permission};

/// How a dependency that answers again is spared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SlowStart {
    /// Calls are refused by chance, fewer and fewer of them.
    Fewer,
    /// Calls are made smaller by their callers, less and less so: see [`Gate::share`].
    Smaller,
}

/// The words of one gate in the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    /// What is asked, with the kind of work where there are several.
    pub(crate) whom: &'static str,
    /// What happens while it does not answer.
    pub(crate) meanwhile: &'static str,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Gate {
    words: Words,
    slow_start: SlowStart,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    breaker: Breaker,
    /// How often it has opened.
    openings: u64,
}

/// Why a call failed.
#[derive(Clone, Copy)]
pub(crate) enum Cause<'a> {
    /// There was no answer.
    Silence(&'a dyn Display),
    /// The answer was an error that every call would get.
    Answer(&'a str),
}

/// An admitted call; to be [reported](Gate::leave).
#[must_use]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass {
    openings: u64,
    probe: bool,
}

impl Pass {
    /// How often the breaker had opened before. A connection that was last used under another number may be gone.
    pub(crate) const fn openings(self) -> u64 {
        self.openings
    }

    /// It is the call by which the others will know.
    pub(crate) const fn is_probe(self) -> bool {
        self.probe
    }
}

impl Gate {
    pub(crate) const fn new(
        words: Words,
        slow_start: SlowStart,
        settings: BreakerSettings,
        now: Instant,
    ) -> Self {
        Self {
            words,
            slow_start,
            inner: Mutex::new(Inner {
                breaker: Breaker::new(settings, now),
                openings: 0,
            }),
        }
    }

    pub(crate) fn state(&self) -> BreakerState {
        self.inner.lock().breaker.state()
    }

    /// See [`Breaker::share`].
    pub(crate) fn share(&self, now: Instant) -> u32 {
        self.inner.lock().breaker.share(now)
    }

    /// Whether a call may be made now; else how long it is of no use to ask again.
    pub(crate) fn enter(&self, now: Instant) -> Result<Pass, Duration> {
        let random = random();
        let mut inner = self.inner.lock();
        let before = inner.breaker.state();
        let permission = match self.slow_start {
            SlowStart::Fewer => inner.breaker.allow(now, random),
            SlowStart::Smaller => inner.breaker.allow_smaller(now, random),
        };
        let after = inner.breaker.state();
        let pass = Pass {
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

    /// How an admitted call went: whether the dependency can be used, or `None` where the outcome says nothing of it.
    /// `why` is for the log, should it open now.
    pub(crate) fn leave(&self, pass: Pass, now: Instant, reached: Option<bool>, why: Option<Cause<'_>>) {
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

/// What the log says of a change, if it is one: of probes that fail only to whoever looks closely.
fn sentence(
    words: Words,
    before: BreakerState,
    after: BreakerState,
    why: Option<Cause<'_>>,
) -> Option<(Level, String)> {
    use BreakerState::{Closed, HalfOpen, Open, Recovering};
    let Words { whom, meanwhile } = words;
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

/// A random number. Without the system's source, the middle one.
pub(crate) fn random() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
