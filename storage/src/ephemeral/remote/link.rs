//! Calls to Redis: over a few connections of a pool, behind a breaker, with time-outs. After any failure the caller
//! gets `None`, within the time-outs.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::{Connection, RedisError, RedisResult};

use super::connect::{NoRedis, Policy, RedisManager, pool_settings};
use super::refusals::{Refusal, Refusals};
use super::settings::{RemoteError, RemoteSettings};
use pool::breaker::BreakerState;
use pool::guarded::{CallSettings, Guarded, Judge, Trouble};
pub(super) use pool::shared_breaker::random;
use pool::shared_breaker::{SharedBreaker, SlowStart, Wording};
use pool::{GetError, Init, Lease, Pool, Statistics, Status};

const WORDS: Wording = Wording {
    whom: "Redis",
    meanwhile: "doing without it",
};

/// Whether a call may be made twice.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Repeatable {
    Yes,
    No,
}

/// The state of the connections and of the breaker.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LinkStatus {
    /// Whether Redis is asked.
    pub breaker: BreakerState,
    /// How often the breaker has opened.
    pub openings: u64,
    /// The connections, at this moment.
    pub pool: Status,
    /// Their history so far.
    pub statistics: Statistics,
    /// Calls so far, including those that the breaker refused.
    pub calls: u64,
    /// Calls without an answer, for any reason, and calls that were answered with an error.
    pub unanswered: u64,
    /// Error answers of Redis, by kind.
    pub refused: Vec<(String, u64)>,
}

pub(super) struct Link {
    guarded: Guarded<RedisManager, Errors>,
    /// Makes the connections outside the pool.
    apart: RedisManager,
    connect_timeout: Duration,
    read_timeout: Duration,
    calls: AtomicU64,
    unanswered: AtomicU64,
    refusals: Refusals,
}

/// Why a call has no answer.
type NoAnswer = Trouble<NoRedis, NoRedis>;

/// The error of Redis or of the connection, if there was one.
fn error_of(trouble: &NoAnswer) -> Option<&RedisError> {
    match trouble {
        Trouble::Failed(error) => Some(&error.0),
        Trouble::Unleased(GetError::Connect(error)) => Some(&error.0),
        Trouble::Unleased(GetError::Timeout { .. } | GetError::Overloaded { .. } | GetError::Closed)
        | Trouble::LeftAlone(_) => None,
    }
}

impl fmt::Debug for Link {
    /// Without the managers, which hold the password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Link").field(&self.status()).finish()
    }
}

impl Link {
    pub(super) fn new(settings: &RemoteSettings, now: Instant) -> Result<Self, RemoteError> {
        let pool = Pool::builder(RedisManager::new(settings)?)
            .settings(pool_settings(settings))
            .policy(Policy::new(settings))
            .init(Init::Lazy)
            .build()
            .map_err(|error| RemoteError::Pool(error.to_string()))?;
        let breaker = SharedBreaker::new(WORDS, SlowStart::Fewer, settings.breaker, now);
        Ok(Self {
            guarded: Guarded::new(pool, Arc::new(breaker), Errors),
            apart: RedisManager::new(settings)?,
            connect_timeout: settings.connect_timeout,
            read_timeout: settings.read_timeout,
            calls: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
            refusals: Refusals::default(),
        })
    }

    pub(super) fn status(&self) -> LinkStatus {
        LinkStatus {
            breaker: self.guarded.breaker(),
            openings: self.guarded.openings(),
            pool: self.guarded.pool().status(),
            statistics: self.guarded.pool().statistics(),
            calls: self.calls.load(Ordering::Relaxed),
            unanswered: self.unanswered.load(Ordering::Relaxed),
            refused: self.refusals.counts(),
        }
    }

    /// Asks Redis. `None`: no answer, or an error as the answer.
    pub(super) fn call<T>(
        &self,
        now: Instant,
        repeatable: Repeatable,
        ask: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Option<T> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let answer = self.try_call(now, repeatable, ask);
        if let Err(trouble) = &answer {
            self.unanswered.fetch_add(1, Ordering::Relaxed);
            if let Some(error) = error_of(trouble) {
                self.note(error);
            }
        }
        answer.ok()
    }

    /// The same, with the reason for a missing answer as a sentence.
    pub(super) fn ask<T>(
        &self,
        now: Instant,
        ask: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, String> {
        self.try_call(now, Repeatable::Yes, ask).map_err(|trouble| {
            if let Trouble::LeftAlone(_) = trouble {
                return "Redis does not answer".to_owned();
            }
            match error_of(&trouble).and_then(Refusal::of) {
                Some(refusal) => refusal.to_string(),
                None => format!("Redis does not answer ({trouble})"),
            }
        })
    }

    /// Counts and logs an error answer that came outside of a call.
    pub(super) fn note(&self, error: &RedisError) {
        if let Some(refusal) = Refusal::of(error) {
            self.refusals.note(refusal, Instant::now());
        }
    }

    fn try_call<T>(
        &self,
        now: Instant,
        repeatable: Repeatable,
        mut ask: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, NoAnswer> {
        let settings = CallSettings {
            wait: self.wait(),
            repeatable: repeatable == Repeatable::Yes,
        };
        self.guarded.call(now, settings, |pooled| {
            ask(&mut pooled.connection).map_err(NoRedis)
        })
    }

    /// How long a call waits for connections, including a repetition: for a connection in use, as long as for an
    /// answer; if the pool has room for another, as long as connecting may take.
    fn wait(&self) -> Duration {
        let status = self.guarded.pool().status();
        let is_full = status.total.saturating_add(status.waiting) >= status.max && status.idle == 0;
        let connecting = if is_full {
            Duration::ZERO
        } else {
            self.connect_timeout
        };
        self.read_timeout + connecting
    }

    /// A connection outside the pool and the breaker, without a time limit for answers.
    pub(super) fn connect(&self) -> RedisResult<Connection> {
        self.apart.connect_alone()
    }
}

/// The meaning of errors of calls.
struct Errors;

impl Judge<RedisManager> for Errors {
    type Error = NoRedis;

    /// A connection is used again only after an answer: after a time-out the answer may still come. If a connection was
    /// closed, the pool tests all others.
    fn spoil(&self, lease: &mut Lease<RedisManager>, error: &NoRedis) {
        if error.0.is_connection_dropped() {
            lease.gone = true;
        } else if shows_failure(&error.0) {
            lease.taint();
        }
    }

    /// It may have been closed while it was idle: that tells nothing about the server.
    fn is_worth_repeating(&self, error: &NoRedis) -> bool {
        error.0.is_connection_dropped()
    }

    /// A refusal of one command tells nothing about others.
    fn reached(&self, error: &NoRedis) -> Option<bool> {
        match Refusal::of(&error.0) {
            Some(refusal) => is_useless(&refusal).then_some(false),
            None => Some(!shows_failure(&error.0)),
        }
    }

    fn reached_without(&self, error: &NoRedis, _: &Status) -> Option<bool> {
        self.reached(error)
    }

    fn answered(&self, trouble: &NoAnswer) -> Option<String> {
        let refusal = error_of(trouble).and_then(Refusal::of)?;
        Some(refusal.kind().to_owned())
    }
}

/// Whether the error shows that the connection is unusable, or Redis for now. The refusal of one command does not: with
/// full memory, for example, Redis still answers reads.
fn shows_failure(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_connection_dropped()
        || error.is_unrecoverable_error()
        || Refusal::of(error).is_some_and(|refusal| is_useless(&refusal))
}

/// Errors that Redis gives for every command.
fn is_useless(refusal: &Refusal) -> bool {
    matches!(
        refusal.kind(),
        "LOADING" | "MASTERDOWN" | "READONLY" | "NOAUTH" | "WRONGPASS" | "MOVED" | "CLUSTERDOWN"
    )
}

/// A longer random number.
pub(super) fn random_long() -> u64 {
    u64::from(random()) << 32 | u64::from(random())
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
