//! A blocking pool of connections for any [`r2d2::ManageConnection`], so that `r2d2_postgres`, `r2d2_sqlite` and the
//! `r2d2` feature of `redis` work in it unchanged. It decides which caller gets which connection, and when a connection
//! is opened, tested or closed; it must never know what a connection is for.
//!
//! **A caller waits for the pool and for nothing else**: never in `connect`, `is_valid` or a close, and never past
//! its deadline.
//!
//! # Guide
//!
//! ```
//! use r2d2::ManageConnection;
//! use std::time::Duration;
//! use pool::{CloseReason, DriverTimeouts, GetError, Init, Pool, PoolPolicy, PoolSettings, Reset};
//!
//! /// A "database" of numbers; a real one comes with its r2d2 adapter.
//! struct Numbers;
//!
//! struct Connection { sum: u64, in_transaction: bool }
//!
//! impl ManageConnection for Numbers {
//!     type Connection = Connection;
//!     type Error = std::io::Error;
//!
//!     fn connect(&self) -> Result<Connection, std::io::Error> {
//!         Ok(Connection { sum: 0, in_transaction: false })
//!     }
//!     fn is_valid(&self, _: &mut Connection) -> Result<(), std::io::Error> {
//!         Ok(())
//!     }
//!     fn has_broken(&self, _: &mut Connection) -> bool {
//!         false
//!     }
//! }
//!
//! /// What the pool must know about this database.
//! struct Policy;
//!
//! impl PoolPolicy<Numbers> for Policy {
//!     /// No caller gets a connection in the middle of another caller's transaction.
//!     fn reset(&self, connection: &mut Connection) -> Reset {
//!         if connection.in_transaction { Reset::Discard } else { Reset::Keep }
//!     }
//!     fn driver_timeouts(&self) -> Option<DriverTimeouts> {
//!         let second = Duration::from_secs(1);
//!         Some(DriverTimeouts { connect: second, answer: second })
//!     }
//! }
//!
//! let pool = Pool::builder(Numbers)
//!     .settings(PoolSettings { name: "numbers".to_owned(), max: 2, ..PoolSettings::default() })
//!     .policy(Policy)
//!     .init(Init::One { within: Duration::from_secs(5) })
//!     .build()?;
//!
//! let mut lease = pool.get()?;
//! lease.sum += 1;
//! drop(lease); // and back it is
//!
//! let mut lease = pool.get()?;
//! lease.in_transaction = true;
//! drop(lease); // closed, and replaced when somebody needs it
//! assert_eq!(pool.statistics().closed(CloseReason::Reset), 1);
//!
//! let left = pool.close(Duration::from_secs(5));
//! assert_eq!(left.total, 0);
//! assert!(matches!(pool.get(), Err(GetError::Closed)));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # How it works
//!
//! - **First come, first served.** A connection that comes back is handed to the caller who has waited longest;
//!   newcomers queue up behind. Idle connections are handed out last in, first out.
//! - **Opened by demand.** The pool opens as many as callers wait for beyond those on their way, and keeps
//!   [`min_idle`](PoolSettings::min_idle) ready. After a failure the pauses grow from [`RETRY_FIRST`] to
//!   [`retry_longest`](PoolSettings::retry_longest), one attempt at a time, and attempts end when no connection is
//!   wanted any more. An error that the policy calls [`Permanent`](ConnectError::Permanent) ends the wait of all
//!   callers at once.
//! - **Tested elsewhere.** A connection that has been idle for less than
//!   [`validate_after_idle`](PoolSettings::validate_after_idle) is handed out as it is; otherwise a thread of the pool
//!   tests it while the caller waits in the queue. When one connection comes back broken or fails its test, all others
//!   are suspected and tested before they are handed out.
//! - **Not for ever.** Lifetimes are checked at check-in, check-out and in between, and vary a little at random. A
//!   connection is never closed while it is leased, and its replacement is opened first.
//! - **Not back at any price.** A connection is closed if its user panicked, [tainted](Lease::taint) it or broke it, or
//!   if the policy does not want it back ([`PoolPolicy::reset`]). Open transactions through a guard that rolls back
//!   when it is dropped; `reset` is for code that did not.
//!
//! # Rules for threads
//!
//! Everything may be called from any thread, but for the manager and the policy: `connect` and `prepare` run on the
//! connecting threads, `is_valid` and `clean` on the testing thread, closes on the closing thread (or on that of the
//! caller, if more than [`CLOSING_MAX`] wait for it), `has_broken` and `reset` on the thread that gives a lease back:
//! they must be quick. No lock is held during any of them. **A call of a blocking driver cannot be interrupted.** Set
//! the driver's own limits and say so in [`PoolPolicy::driver_timeouts`]: `connect_timeout`, `tcp_user_timeout` and
//! `statement_timeout` for PostgreSQL, connection, read and write timeouts for Redis, `busy_timeout` for `SQLite`.
//!
//! A thread that takes a second lease while it holds one can wait for others that do the same. With `n` leases a
//! thread at most, `threads × (n − 1) + 1` connections exclude it; the pool warns once when it sees a second lease.
//!
//! # Sizes
//!
//! A small pool in which threads wait is right: about `cores × 2 + disks` *of the database*, divided by the processes
//! that use it. More connections than threads that use them are waste. Keep short and long work in pools of their
//! own. The defaults make a pool of fixed size, which never opens a connection while a burst is going on.
//!
//! `SQLite`: one pool of exactly 1 for writing and one for reading (WAL, `query_only`), both from
//! [`PoolSettings::ageless`]. A pool over `:memory:` must have exactly 1 connection, or a shared cache, or every
//! connection is a database of its own.
//!
//! # Limits
//!
//! | what | limit | beyond it |
//! |---|---|---|
//! | connections open | [`PoolSettings::max`], up to [`CONNECTIONS_MAX`]; [`REPLACEMENTS_MAX`] more while one is replaced | callers wait |
//! | callers that wait | [`PoolSettings::waiting_max`] | [`GetError::Overloaded`] |
//! | a caller's wait | [`PoolSettings::acquire_timeout`], or its own deadline | [`GetError::Timeout`] |
//! | attempts to connect at once | [`PoolSettings::connectors`]; 1 after a failure | demand waits |
//! | tests at once | 1 | they queue, at most one for each connection |
//! | connections that wait to be closed | [`CLOSING_MAX`] | the thread that gives one up closes it |
//! | expired connections closed in a turn of the housekeeper | [`RETIRED_PER_TURN_MAX`] | the next turn |
//!
//! Connections that wait to be closed are still open for the database: leave it room for a few more than `max`.
//!
//! # Beside r2d2
//!
//! | | r2d2 0.8 | here |
//! |---|---|---|
//! | order of callers | the quickest first | first come, first served |
//! | test at check-out | by the caller, without limit | by a thread of the pool, within the caller's deadline, only after idle time or suspicion |
//! | `max_lifetime` | on idle connections, every 30 s | at check-in, check-out and in between |
//! | `idle_timeout` | closes all, then opens `min_idle` again | closes only those beyond `min_idle` |
//! | user panics | the connection goes back | it is closed |
//! | database is down | every place tries for ever, with or without need | one attempt at a time, while needed |
//! | panic in `connect` | a place is lost | counted as a failure |
//! | error | a text, perhaps | what kind, how full the pool was, the last error of the driver |
//! | close, pause, resize, retire | – | ✓ |
//! | leases held too long | – | reported with the place in the code |

/// The examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod borrower;
pub mod breaker;
mod builder;
mod clock;
mod error;
pub mod guarded;
mod lease;
#[cfg(test)]
#[cfg(pool_models)]
mod models;
mod policy;
mod report;
mod settings;
mod shared;
pub mod shared_breaker;
mod state;
mod statistics;
mod sync;
#[cfg(test)]
#[cfg(not(pool_models))]
mod tests;
mod threads;

pub use builder::{Init, PoolBuilder};
pub use clock::Clock;
pub use error::{BuildError, GetError};
pub use lease::Lease;
pub use policy::{CloseReason, ConnectError, DriverTimeouts, PoolPolicy, Reset};
pub use settings::{
    CLOCK_LEAP, CLOSING_MAX, CONNECTIONS_MAX, CONNECTORS_MAX, KEEPALIVE_JITTER_PER_MILLE,
    LIFETIME_JITTER_PER_MILLE, PoolSettings, REPLACEMENTS_MAX, RETIRED_PER_TURN_MAX, RETRY_FIRST,
    RETRY_LONGEST, SettingsError,
};
pub use statistics::{HISTOGRAM_BUCKETS, Histogram, Statistics, Status};

use r2d2::ManageConnection;
use shared::Shared;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use sync::Mutex;

/// A handle to a pool of connections; clones are handles to the same pool, which any thread may use. Dropping the
/// last handle closes the pool without waiting; leases stay usable.
pub struct Pool<M: ManageConnection> {
    handle: Arc<Handle<M>>,
}

struct Handle<M: ManageConnection> {
    shared: Arc<Shared<M>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl<M: ManageConnection> Drop for Handle<M> {
    fn drop(&mut self) {
        self.shared.tell(|state, _| state.close_pool());
    }
}

impl<M: ManageConnection> Clone for Pool<M> {
    fn clone(&self) -> Self {
        Self {
            handle: Arc::clone(&self.handle),
        }
    }
}

impl<M: ManageConnection> fmt::Debug for Pool<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("name", &self.handle.shared.name)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

impl<M: ManageConnection> Pool<M> {
    /// Takes a connection, and waits for one up to [`PoolSettings::acquire_timeout`], behind earlier callers.
    ///
    /// # Errors
    /// See [`GetError`].
    #[track_caller]
    pub fn get(&self) -> Result<Lease<M>, GetError<M::Error>> {
        self.handle.shared.get(None, Location::caller())
    }

    /// Like [`get`](Self::get), but waits until `deadline`. A connection that is handed over just then still counts.
    ///
    /// # Errors
    /// See [`GetError`].
    #[track_caller]
    pub fn get_by(&self, deadline: Instant) -> Result<Lease<M>, GetError<M::Error>> {
        self.handle.shared.get(Some(deadline), Location::caller())
    }

    /// Takes a connection if one lies ready that needs no test, and no caller waits.
    #[track_caller]
    #[must_use]
    pub fn try_get(&self) -> Option<Lease<M>> {
        self.handle.shared.try_get(Location::caller())
    }

    /// The pool at this moment.
    #[must_use]
    pub fn status(&self) -> Status {
        self.handle.shared.status()
    }

    /// The history of the pool since it was built.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.handle.shared.statistics()
    }

    /// Replaces every connection: idle ones now, leased ones when they come back. For new credentials, or a database
    /// that has moved.
    pub fn retire_all(&self) {
        self.handle.shared.tell(|state, now| state.retire_all(now));
    }

    /// Changes the maximum of connections, within 1 to [`CONNECTIONS_MAX`]. Connections beyond it are closed: idle ones
    /// now, leased ones when they come back.
    pub fn set_max(&self, max: u32) {
        let max = max.clamp(1, CONNECTIONS_MAX);
        self.handle.shared.tell(|state, now| state.set_max(max, now));
    }

    /// Hands out and opens nothing until [`resume`](Self::resume); callers wait, within their deadlines.
    pub fn pause(&self) {
        self.handle.shared.tell(|state, _| state.pause());
    }

    /// Ends [`pause`](Self::pause).
    pub fn resume(&self) {
        self.handle.shared.tell(|state, now| state.resume(now));
    }

    /// Ends the pool. Waiting callers get [`GetError::Closed`] at once; then this waits, at most `within`, for leases
    /// to come back and for the threads to end. The returned status shows the leases that are still out: each is closed
    /// when it is given back, and a thread ends when the driver's call returns.
    #[allow(clippy::must_use_candidate, reason = "closing is the point, not the status")]
    pub fn close(&self, within: Duration) -> Status {
        let shared = &self.handle.shared;
        shared.tell(|state, _| state.close_pool());
        let begun = Instant::now();
        let mut inner = shared.inner.lock();
        loop {
            let status = inner.state.status();
            let left = within.saturating_sub(begun.elapsed());
            let ended = inner.threads == 0;
            if ended && status.leased == 0 || left.is_zero() {
                drop(inner);
                if ended {
                    self.join();
                }
                return status;
            }
            shared.watchers.wait_for(&mut inner, left);
        }
    }

    /// Called when all threads have used the pool for the last time.
    fn join(&self) {
        let threads = std::mem::take(&mut *self.handle.threads.lock());
        for thread in threads {
            if thread.join().is_err() {
                log::error!("{}: a thread of the pool panicked", self.handle.shared.name);
            }
        }
    }
}
