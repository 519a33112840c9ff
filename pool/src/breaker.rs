//! A circuit breaker: whether another system is worth asking at all.
//!
//! It owns the decision and nothing else: time and randomness come in, and the caller reports the result. It must never
//! wait, and never refuse for longer than it says.
//!
//! - **Closed**: every call is allowed. Five failures in a row, or half of at least twenty calls within ten
//!   seconds, open it.
//! - **Open**: every call is refused: for a second the first time, and twice as long each further time, up to half a
//!   minute, with a quarter of that more or less so that many clients do not come back at once.
//! - **Half open**: one call is allowed, the probe. Its failure opens the breaker again.
//! - **Recovering**: a tenth of the calls, then half of them, then all, over ten seconds, so that a system that has
//!   just started does not get the whole load at once. Then it is closed. Callers that can make calls smaller instead
//!   of fewer ask with [`allow_smaller`](Breaker::allow_smaller), and make them that [share](Breaker::share) of their
//!   size.

use std::fmt;
use std::time::{Duration, Instant};

/// Seconds over which failures are counted.
const WINDOW_SECONDS: usize = 10;

/// Shares of calls, in percent, that a recovering system gets, each for as long as the others.
const SHARES: [u32; 3] = [10, 50, 100];

/// When a breaker opens and for how long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BreakerSettings {
    /// This many failures in a row open it.
    pub failures_in_a_row: u32,
    /// Calls within ten seconds that are enough to judge by the share of failures.
    pub calls_min: u32,
    /// This share of failed calls opens it.
    pub failed_percent: u32,
    /// How long it is open the first time.
    pub pause_min: Duration,
    /// How long it is open at most, before the jitter of a quarter.
    pub pause_max: Duration,
    /// A probe that was not reported for this long counts as lost, and another one is allowed.
    pub probe_within: Duration,
    /// How long recovery takes.
    pub recovery: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            failures_in_a_row: 5,
            calls_min: 20,
            failed_percent: 50,
            pause_min: Duration::from_secs(1),
            pause_max: Duration::from_secs(30),
            probe_within: Duration::from_secs(5),
            recovery: Duration::from_secs(10),
        }
    }
}

/// The answer to [`Breaker::allow`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Permission {
    /// Make the call, and [`record`](Breaker::record) its result.
    Allowed,
    /// Do not make the call; there is nothing to record.
    Refused {
        /// Asking again earlier is of no use. Never zero.
        retry_after: Duration,
    },
}

/// The state of a breaker, for metrics.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BreakerState {
    /// Every call is allowed.
    Closed,
    /// Every call is refused.
    Open,
    /// One call was allowed, the probe.
    HalfOpen,
    /// Some calls are allowed.
    Recovering,
}

impl fmt::Display for BreakerState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half open",
            Self::Recovering => "recovering",
        })
    }
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed,
    Open { until: Instant },
    Probing { since: Instant },
    Recovering { since: Instant },
}

/// A circuit breaker. It is not shared: put a lock around it.
#[derive(Clone, Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    state: State,
    /// The next pause, without jitter.
    pause: Duration,
    /// The newest random number given: the jitter of the next pause.
    random: u32,
    failures_in_a_row: u32,
    /// Of the recent seconds, the newest last.
    window: Window,
}

impl Breaker {
    /// A closed breaker.
    pub const fn new(settings: BreakerSettings, now: Instant) -> Self {
        Self {
            settings,
            state: State::Closed,
            pause: settings.pause_min,
            random: u32::MAX / 2,
            failures_in_a_row: 0,
            window: Window::new(now),
        }
    }

    /// Whether a call may be made now. `random` must be uniform over all numbers.
    pub fn allow(&mut self, now: Instant, random: u32) -> Permission {
        let permission = self.allow_smaller(now, random);
        let by_chance = u64::from(random) * 100 < u64::from(self.share(now)) << 32;
        if matches!(self.state, State::Recovering { .. }) && !by_chance {
            return Permission::Refused {
                retry_after: Duration::from_millis(100),
            };
        }
        permission
    }

    /// Like [`allow`](Self::allow), but no call is refused because the other system recovers: the caller makes each
    /// call [smaller](Self::share).
    pub fn allow_smaller(&mut self, now: Instant, random: u32) -> Permission {
        self.random = random;
        self.settle(now);
        match self.state {
            State::Closed | State::Recovering { .. } => Permission::Allowed,
            State::Open { until } if now < until => Permission::Refused {
                retry_after: until.duration_since(now),
            },
            State::Open { .. } => self.probe(now),
            State::Probing { since } => {
                let lost_at = since + self.settings.probe_within;
                if now < lost_at {
                    // A probe takes no longer than a call does, most likely far less.
                    let retry_after = lost_at.duration_since(now).min(Duration::from_millis(100));
                    Permission::Refused { retry_after }
                } else {
                    self.probe(now)
                }
            }
        }
    }

    /// An allowed call was not made, or shows nothing about the other system. If it was the probe, another may be made.
    pub const fn unused(&mut self, now: Instant) {
        if matches!(self.state, State::Probing { .. }) {
            self.state = State::Open { until: now };
        }
    }

    /// The share of the usual load that the other system should get now, in percent. While it is not known to answer,
    /// this is as little as at the beginning of its recovery.
    pub fn share(&self, now: Instant) -> u32 {
        let [first, second, third] = SHARES;
        let State::Recovering { since } = self.state else {
            return if matches!(self.state, State::Closed) {
                100
            } else {
                first
            };
        };
        let elapsed = now.saturating_duration_since(since);
        let part = self.settings.recovery / 3;
        match elapsed {
            elapsed if elapsed < part => first,
            elapsed if elapsed < part * 2 => second,
            _ => third,
        }
    }

    /// The result of an allowed call. An answer of the other system that refuses something is a good answer: only an
    /// error that shows that the system cannot be relied upon is a failure.
    pub fn record(&mut self, now: Instant, ok: bool) {
        self.settle(now);
        match self.state {
            // A call from before it opened proves nothing about the present.
            State::Open { .. } => {}
            State::Probing { .. } if ok => {
                self.forget(now);
                self.state = State::Recovering { since: now };
            }
            State::Probing { .. } => self.open(now),
            State::Closed | State::Recovering { .. } => {
                self.window.add(now, ok);
                self.failures_in_a_row = if ok {
                    0
                } else {
                    self.failures_in_a_row.saturating_add(1)
                };
                if !ok && self.is_bad() {
                    self.open(now);
                }
            }
        }
    }

    /// The state of the breaker.
    pub const fn state(&self) -> BreakerState {
        match self.state {
            State::Closed => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::Probing { .. } => BreakerState::HalfOpen,
            State::Recovering { .. } => BreakerState::Recovering,
        }
    }

    fn is_bad(&self) -> bool {
        let (calls, failed) = self.window.counts();
        let many = calls >= self.settings.calls_min
            && u64::from(failed) * 100 >= u64::from(calls) * u64::from(self.settings.failed_percent);
        many || self.failures_in_a_row >= self.settings.failures_in_a_row
    }

    /// State changes that time alone causes.
    fn settle(&mut self, now: Instant) {
        if let State::Recovering { since } = self.state
            && now.saturating_duration_since(since) >= self.settings.recovery
        {
            self.state = State::Closed;
            self.pause = self.settings.pause_min;
        }
    }

    const fn probe(&mut self, now: Instant) -> Permission {
        self.state = State::Probing { since: now };
        Permission::Allowed
    }

    fn open(&mut self, now: Instant) {
        // Three quarters to five quarters.
        let jitter = 0.75 + 0.5 * (f64::from(self.random) / f64::from(u32::MAX));
        self.state = State::Open {
            until: now + self.pause.mul_f64(jitter),
        };
        self.pause = (self.pause * 2).min(self.settings.pause_max);
        self.forget(now);
    }

    const fn forget(&mut self, now: Instant) {
        self.failures_in_a_row = 0;
        self.window = Window::new(now);
    }
}

/// Calls and failures of recent seconds.
#[derive(Clone, Copy, Debug)]
struct Window {
    /// When the newest second began.
    since: Instant,
    /// Calls and failures, the newest second first.
    seconds: [(u32, u32); WINDOW_SECONDS],
}

impl Window {
    const fn new(now: Instant) -> Self {
        Self {
            since: now,
            seconds: [(0, 0); WINDOW_SECONDS],
        }
    }

    fn add(&mut self, now: Instant, ok: bool) {
        let passed = now.saturating_duration_since(self.since).as_secs();
        let shift = usize::try_from(passed)
            .unwrap_or(WINDOW_SECONDS)
            .min(WINDOW_SECONDS);
        self.seconds.rotate_right(shift);
        for second in self.seconds.iter_mut().take(shift) {
            *second = (0, 0);
        }
        self.since += Duration::from_secs(passed);
        let [(calls, failed), ..] = &mut self.seconds;
        *calls = calls.saturating_add(1);
        *failed = failed.saturating_add(u32::from(!ok));
    }

    fn counts(&self) -> (u32, u32) {
        self.seconds.iter().fold((0, 0), |(calls, failed), second| {
            (calls.saturating_add(second.0), failed.saturating_add(second.1))
        })
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
