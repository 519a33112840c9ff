//! Owns what the pool must know about a database beyond the manager's methods. Must never decide when it is asked.

use r2d2::ManageConnection;
use std::fmt;
use std::time::Duration;

/// The knowledge that r2d2's [`ManageConnection`] lacks. The defaults change nothing; `()` is a policy of defaults.
///
/// A panic in any of these loses its connection, and nothing else.
pub trait PoolPolicy<M: ManageConnection>: Send + Sync + 'static {
    /// Makes a new connection ready for use, on the thread that opened it: session settings, prepared statements.
    ///
    /// # Errors
    /// The connection cannot be used; this counts as a failed attempt to connect.
    fn prepare(&self, connection: &mut M::Connection) -> Result<(), M::Error> {
        let _ = connection;
        Ok(())
    }

    /// Looks at a connection that comes back unbroken, on the caller's thread. Must not wait for the database: work
    /// that needs a round trip, such as a rollback, is [`Reset::Clean`].
    fn reset(&self, connection: &mut M::Connection) -> Reset {
        let _ = connection;
        Reset::Keep
    }

    /// Does the work that [`reset`](Self::reset) requested with [`Reset::Clean`], on the pool's validating thread.
    ///
    /// # Errors
    /// The connection is closed.
    fn clean(&self, connection: &mut M::Connection) -> Result<(), M::Error> {
        let _ = connection;
        Ok(())
    }

    /// Whether another attempt can help after this error.
    fn connect_error(&self, error: &M::Error) -> ConnectError {
        let _ = error;
        ConnectError::Transient
    }

    /// The limits of the driver itself. Without them nothing ends a call to a database that is silent, and the threads
    /// that connect and test can be held for ever; the pool warns once when it is built.
    fn driver_timeouts(&self) -> Option<DriverTimeouts> {
        None
    }
}

impl<M: ManageConnection> PoolPolicy<M> for () {}

/// What happens to a connection that comes back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reset {
    /// It can be used again as it is.
    Keep,
    /// [`PoolPolicy::clean`] cleans it, on another thread.
    Clean,
    /// It is closed.
    Discard,
}

/// The kind of an error of an attempt to connect.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ConnectError {
    /// The database may answer later: callers go on waiting.
    Transient,
    /// Only an operator can mend it, for example a wrong password: all waiting callers get the error at once.
    Permanent,
}

/// How long the driver waits, at most.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DriverTimeouts {
    /// For a connection to be opened: `connect_timeout` of PostgreSQL and Redis.
    pub connect: Duration,
    /// For the answer to a test: `tcp_user_timeout` with `statement_timeout` of PostgreSQL, the read and write timeouts
    /// of Redis, `busy_timeout` of `SQLite`.
    pub answer: Duration,
}

/// Why a connection was closed or left the pool.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum CloseReason {
    /// It reached its lifetime.
    Lifetime,
    /// It was unused for too long.
    Idle,
    /// It came back broken.
    Broken,
    /// Its user tainted it.
    Tainted,
    /// Its user panicked while having it, or the manager or the policy did when it came back.
    Panicked,
    /// A test or a clean-up failed or panicked.
    Invalid,
    /// The policy did not want it back.
    Reset,
    /// All connections were to be replaced.
    Retired,
    /// The pool had more than its maximum.
    Surplus,
    /// The pool was closed.
    Closed,
    /// Its user detached it from the pool.
    Detached,
}

impl CloseReason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Lifetime,
        Self::Idle,
        Self::Broken,
        Self::Tainted,
        Self::Panicked,
        Self::Invalid,
        Self::Reset,
        Self::Retired,
        Self::Surplus,
        Self::Closed,
        Self::Detached,
    ];

    /// One lower-case word, for a label of a metric.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lifetime => "lifetime",
            Self::Idle => "idle",
            Self::Broken => "broken",
            Self::Tainted => "tainted",
            Self::Panicked => "panicked",
            Self::Invalid => "invalid",
            Self::Reset => "reset",
            Self::Retired => "retired",
            Self::Surplus => "surplus",
            Self::Closed => "closed",
            Self::Detached => "detached",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
