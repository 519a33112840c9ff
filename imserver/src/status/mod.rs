//! What a running daemon says of itself, as data: how it serves, what waits, and the state of what it depends on.
//!
//! It owns the names of all fields, which are those of the JSON that `imserver status --json` prints and that
//! `/debug/status` answers with. It must never ask anything that may not answer: what is in it is known already.

mod whereabouts;
mod words;

use std::{collections::BTreeMap, time::Duration};

use pool::{Statistics, breaker::BreakerState};
use serde::{Deserialize, Serialize};
use storage::{ephemeral::LinkStatus, postgres::PostgresStatus};

pub use whereabouts::{UserWhereabouts, Whereabout, Whereabouts};

/// A daemon at one moment.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Status {
    /// Of the program.
    pub version: String,
    /// The node's name; empty if it has none.
    pub node: String,
    /// Of the process.
    pub process_id: u32,
    /// Milliseconds since 1970.
    pub started_at_ms: u64,
    /// Milliseconds since it serves.
    pub uptime_ms: u64,
    /// What it does now.
    pub phase: Phase,
    /// The addresses it listens on.
    pub addresses: Vec<String>,
    /// The address of the admin listener, if there is one.
    #[serde(default)]
    pub admin_address: Option<String>,
    /// Connections, with those that have no session.
    pub connections: u64,
    /// Sessions that are connected.
    pub sessions: u64,
    /// Questions to the store, and logins.
    pub questions: Tasks,
    /// Passwords to hash and to verify.
    pub passwords: Tasks,
    /// Writes that wait, for each lane.
    pub writes_waiting: Vec<u64>,
    /// The store.
    pub store: Store,
    /// Redis, if nodes share one.
    pub redis: Option<Redis>,
}

/// What a daemon does now.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It serves.
    Serving,
    /// It answers what was asked, and ends.
    Draining,
    /// The store cannot be relied upon any more: the process ends.
    Failed,
}

/// Tasks of threads that share a queue.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Tasks {
    /// Done since the start.
    pub done: u64,
    /// Dropped because whoever asked had gone.
    pub dropped: u64,
    /// Waiting now.
    pub waiting: u64,
    /// Under way now.
    pub running: u64,
    /// The longest that one has waited. Milliseconds.
    pub longest_wait_ms: f64,
}

/// A store.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Store {
    /// In memory.
    Memory,
    /// A file of SQLite.
    Sqlite {
        /// Of the database file.
        database_bytes: u64,
        /// Of the write-ahead log.
        wal_bytes: u64,
    },
    /// A PostgreSQL database.
    Postgres {
        /// Whether questions are asked.
        reading: Breaker,
        /// The connections that read.
        pool: Pool,
        /// Whether writes are tried.
        writing: Breaker,
    },
}

/// A Redis.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Redis {
    /// Whether it is asked.
    pub breaker: Breaker,
    /// The connections to it.
    pub pool: Pool,
    /// Calls so far, those that were not made included.
    pub calls: u64,
    /// Calls without an answer, and those whose answer was an error.
    pub unanswered: u64,
    /// Errors that it answered with, by kind.
    pub errors: BTreeMap<String, u64>,
}

/// A pool of connections.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Pool {
    /// Connections at once, at most.
    pub max: u32,
    /// Open: idle, leased and under test.
    pub open: u32,
    /// Idle.
    pub idle: u32,
    /// In use.
    pub leased: u32,
    /// Being tested.
    pub checking: u32,
    /// Being made; not open yet.
    pub connecting: u32,
    /// Callers that wait for one.
    pub waiting: u32,
    /// The longest that a caller has waited. Milliseconds.
    pub longest_wait_ms: f64,
}

/// The state of a circuit breaker.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Breaker {
    /// Asked as usual.
    Closed,
    /// Left alone.
    Open,
    /// One call is trying.
    HalfOpen,
    /// Asked for more and more.
    Recovering,
}

impl From<netcore::PoolStats> for Tasks {
    fn from(stats: netcore::PoolStats) -> Self {
        Self {
            done: stats.completed,
            dropped: stats.forgotten,
            waiting: stats.queued as u64,
            running: stats.running as u64,
            longest_wait_ms: milliseconds(stats.waited_longest),
        }
    }
}

impl From<&storage::Status> for Store {
    fn from(status: &storage::Status) -> Self {
        match status {
            storage::Status::Model => Self::Memory,
            storage::Status::Sqlite(files) => Self::Sqlite {
                database_bytes: files.database_bytes,
                wal_bytes: files.wal_bytes,
            },
            storage::Status::Postgres(status) => {
                let PostgresStatus {
                    pool,
                    statistics,
                    breaker,
                    writing,
                    ..
                } = &**status;
                Self::Postgres {
                    reading: (*breaker).into(),
                    pool: Pool::new(pool, statistics),
                    writing: (*writing).into(),
                }
            }
        }
    }
}

impl From<&LinkStatus> for Redis {
    fn from(status: &LinkStatus) -> Self {
        let LinkStatus {
            breaker,
            pool,
            statistics,
            calls,
            unanswered,
            refused,
            ..
        } = status;
        Self {
            breaker: (*breaker).into(),
            pool: Pool::new(pool, statistics),
            calls: *calls,
            unanswered: *unanswered,
            errors: refused.iter().cloned().collect(),
        }
    }
}

impl Pool {
    fn new(now: &pool::Status, so_far: &Statistics) -> Self {
        Self {
            max: now.max,
            open: now.total,
            idle: now.idle,
            leased: now.leased,
            checking: now.checking,
            connecting: now.connecting,
            waiting: now.waiting,
            longest_wait_ms: milliseconds(so_far.wait_longest),
        }
    }
}

impl From<BreakerState> for Breaker {
    fn from(state: BreakerState) -> Self {
        match state {
            BreakerState::Closed => Self::Closed,
            BreakerState::Open => Self::Open,
            BreakerState::HalfOpen => Self::HalfOpen,
            BreakerState::Recovering => Self::Recovering,
        }
    }
}

/// With microseconds behind the point.
fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1_000.0
}
