//! A pool behind a breaker: calls to a dependency that may be down. It owns the order of the steps: ask the breaker,
//! lease a connection, make the call and perhaps repeat it, report what the result shows. It must never make a call
//! more than twice, and never wait for connections longer than its caller allows.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use r2d2::ManageConnection;

use super::{GetError, Lease, Pool, Status};
use crate::{
    breaker::BreakerState,
    shared_breaker::{Cause, SharedBreaker},
};

/// How a [`Guarded`] pool reads the errors of its connections. All methods are called on the caller's thread.
pub trait Judge<M: ManageConnection> {
    /// The error of a call on the connection it got.
    type Error: fmt::Display;

    /// A call failed on this connection. [Taint](Lease::taint) it or mark it as broken if it must not be used again.
    fn spoil(&self, lease: &mut Lease<M>, error: &Self::Error);

    /// Whether another connection may do better, at once.
    fn is_worth_repeating(&self, error: &Self::Error) -> bool;

    /// Whether the failure shows that the dependency can be used; `None` if it shows nothing.
    fn reached(&self, error: &Self::Error) -> Option<bool>;

    /// The same for a failure to connect, with the state of the pool.
    fn reached_without(&self, error: &M::Error, pool: &Status) -> Option<bool>;

    /// The error that every call gets, for the log; `None` if there was no answer.
    fn answered(&self, _: &Trouble<Self::Error, M::Error>) -> Option<String> {
        None
    }
}

/// Why a call has no result. `E` is the error of calls, `C` the error of connecting.
pub enum Trouble<E, C> {
    /// The breaker is open: nothing was tried. The value is the time before which asking again is of no use.
    LeftAlone(Duration),
    /// The call got no connection.
    Unleased(GetError<C>),
    /// The call failed on the connection it got.
    Failed(E),
}

impl<E: fmt::Debug, C: fmt::Debug> fmt::Debug for Trouble<E, C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeftAlone(wait) => formatter.debug_tuple("LeftAlone").field(wait).finish(),
            Self::Unleased(error) => formatter.debug_tuple("Unleased").field(error).finish(),
            Self::Failed(error) => formatter.debug_tuple("Failed").field(error).finish(),
        }
    }
}

impl<E: fmt::Display, C: fmt::Display> fmt::Display for Trouble<E, C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeftAlone(_) => formatter.write_str("it does not answer, and is tried now and then"),
            Self::Unleased(error) => error.fmt(formatter),
            Self::Failed(error) => error.fmt(formatter),
        }
    }
}

impl<E: std::error::Error + 'static, C: std::error::Error + 'static> std::error::Error for Trouble<E, C> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::LeftAlone(_) => None,
            Self::Unleased(error) => error.source(),
            Self::Failed(error) => error.source(),
        }
    }
}

/// How one call is made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CallSettings {
    /// The longest wait for connections, a repetition included.
    pub wait: Duration,
    /// Whether the call may be made twice.
    pub repeatable: bool,
}

/// A pool behind a breaker, for any number of threads.
pub struct Guarded<M: ManageConnection, J> {
    pool: Pool<M>,
    breaker: Arc<SharedBreaker>,
    judge: J,
}

impl<M: ManageConnection, J: Judge<M>> Guarded<M, J> {
    /// Combines a pool and a breaker; both may be shared with others.
    pub const fn new(pool: Pool<M>, breaker: Arc<SharedBreaker>, judge: J) -> Self {
        Self { pool, breaker, judge }
    }

    /// The pool itself, for its statistics and its end.
    pub const fn pool(&self) -> &Pool<M> {
        &self.pool
    }

    /// The state of the breaker.
    pub fn breaker(&self) -> BreakerState {
        self.breaker.state()
    }

    /// How often the breaker has opened.
    pub fn openings(&self) -> u64 {
        self.breaker.openings()
    }

    /// Makes a call on a leased connection, and repeats it on another one if the call may be made twice and the judge
    /// allows it. `now` is the breaker's time.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub fn call<T>(
        &self,
        now: Instant,
        settings: CallSettings,
        mut call: impl FnMut(&mut M::Connection) -> Result<T, J::Error>,
    ) -> Result<T, Trouble<J::Error, M::Error>> {
        let permit = self.breaker.enter(now).map_err(Trouble::LeftAlone)?;
        let began = Instant::now();
        let until = began + settings.wait;
        let mut answer = self.attempt(until, &mut call);
        if let Err(Trouble::Failed(error)) = &answer
            && settings.repeatable
            && self.judge.is_worth_repeating(error)
        {
            answer = self.attempt(until, &mut call);
        }
        let trouble = answer.as_ref().err();
        let error = trouble.and_then(|trouble| self.judge.answered(trouble));
        let cause = match (&error, trouble) {
            (Some(error), _) => Some(Cause::Answer(error)),
            (None, Some(trouble)) => Some(Cause::Silence(trouble)),
            (None, None) => None,
        };
        let at = now + began.elapsed();
        self.breaker.leave(permit, at, self.reached(trouble), cause);
        answer
    }

    fn attempt<T>(
        &self,
        until: Instant,
        call: &mut impl FnMut(&mut M::Connection) -> Result<T, J::Error>,
    ) -> Result<T, Trouble<J::Error, M::Error>> {
        let mut lease = self.pool.get_by(until).map_err(Trouble::Unleased)?;
        call(&mut lease).map_err(|error| {
            self.judge.spoil(&mut lease, &error);
            Trouble::Failed(error)
        })
    }

    /// Whether the failure shows that the dependency can be used; `None` if it shows nothing. In a pool that is too
    /// small, other callers have the connections.
    fn reached(&self, trouble: Option<&Trouble<J::Error, M::Error>>) -> Option<bool> {
        match trouble {
            None => Some(true),
            Some(Trouble::Failed(error)) => self.judge.reached(error),
            Some(Trouble::Unleased(GetError::Timeout { at, .. })) => (at.leased == 0).then_some(false),
            Some(Trouble::Unleased(GetError::Connect(error))) => {
                self.judge.reached_without(error, &self.pool.status())
            }
            Some(
                Trouble::Unleased(GetError::Overloaded { .. } | GetError::Closed) | Trouble::LeftAlone(_),
            ) => None,
        }
    }
}

impl<M: ManageConnection, J> fmt::Debug for Guarded<M, J> {
    /// Leaves out the manager, which may know a password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Guarded")
            .field("pool", &self.pool)
            .field("breaker", &self.breaker.state())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(not(pool_models))]
#[path = "guarded_tests.rs"]
mod tests;
