//! The read pool: one pool of connections for the queries of all readers, with a breaker before it. It decides which
//! query is sent to the server and which is refused at once; it must never write, and never send a query more than
//! twice.
//!
//! A query waits for connections no longer than the pool's acquire timeout, a repetition included. The first queries
//! that wait in vain while no other has a connection open the breaker. From then on queries are refused at once, except
//! for a probe from time to time.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    connections::{Connector, NoConnection, PostgresManager},
    failure::{Failure, Known},
    options::PostgresOptions,
    past::Node,
    session::Session,
};
use crate::{
    error::{OpenError, ReadError},
    fate::Doom,
};
use pool::breaker::{BreakerSettings, BreakerState};
use pool::guarded::{CallSettings, Guarded, Judge, Trouble};
use pool::shared_breaker::{SharedBreaker, SlowStart, Wording};
use pool::{ConnectError, DriverTimeouts, Init, Lease, Pool, PoolPolicy, Reset, Statistics, Status};

/// One failure is enough, because it is not a single one: the pool has tried to connect again and again by then, or a
/// query was lost on two connections. The pauses are short, because a probe costs the server nothing while the pool has
/// no connection to it, and the pool's maximum protects a server that has just started.
const BREAKER: BreakerSettings = BreakerSettings {
    failures_in_a_row: 1,
    calls_min: 20,
    failed_percent: 50,
    pause_min: Duration::from_millis(250),
    pause_max: Duration::from_secs(1),
    probe_within: Duration::from_secs(1),
    recovery: Duration::from_secs(1),
};

const WORDS: Wording = Wording {
    whom: "PostgreSQL (reading)",
    meanwhile: "questions are refused until it does",
};

/// The state of the connections.
#[derive(Clone, Debug)]
pub struct PostgresStatus {
    /// The pool of reading connections, at this moment.
    pub pool: Status,
    /// Its history so far.
    pub statistics: Statistics,
    /// The breaker of queries.
    pub breaker: BreakerState,
    /// How often it has opened.
    pub openings: u64,
    /// The breaker of writes.
    pub writing: BreakerState,
    /// How often it has opened.
    pub writing_openings: u64,
}

/// Answers queries, each on a leased connection. Shared between threads.
pub(super) struct ReadConnections {
    guarded: Guarded<PostgresManager, Errors>,
    node: Arc<Node>,
    acquire_timeout: Duration,
}

impl ReadConnections {
    /// Makes the first connection, so that a store that is open has one.
    pub(super) fn open(connector: Arc<Connector>, options: &PostgresOptions) -> Result<Self, OpenError> {
        let policy = Policy {
            timeouts: DriverTimeouts {
                connect: options.connect_timeout,
                answer: options.deadline.max(options.statement_timeout),
            },
        };
        let node = Arc::clone(connector.node());
        let pool = Pool::builder(PostgresManager { connector })
            .settings(options.readers.clone())
            .policy(policy)
            .init(Init::One {
                within: options.connect_timeout.max(options.deadline),
            })
            .build()
            .map_err(|error| {
                OpenError::failed(format!("the connections to PostgreSQL that read: {error}"), error)
            })?;
        let breaker = SharedBreaker::new(WORDS, SlowStart::Fewer, BREAKER, Instant::now());
        Ok(Self {
            guarded: Guarded::new(pool, Arc::new(breaker), Errors),
            node,
            acquire_timeout: options.readers.acquire_timeout,
        })
    }

    pub(super) fn pool(&self) -> (Status, Statistics) {
        (self.guarded.pool().status(), self.guarded.pool().statistics())
    }

    pub(super) fn breaker(&self) -> (BreakerState, u64) {
        (self.guarded.breaker(), self.guarded.openings())
    }

    /// Refuses queries from now on, and waits for those in progress.
    pub(super) fn close(&self, within: Duration) -> Result<(), OpenError> {
        let left = self.guarded.pool().close(within);
        if left.leased > 0 {
            return Err(OpenError::Refused(format!(
                "questions to PostgreSQL are still under way on {} connections",
                left.leased
            )));
        }
        Ok(())
    }

    /// Runs a query on a leased connection, and repeats it on another one if the first turns out to be lost, or leads
    /// to a server that was restarted since. Damage ends the trust in the store.
    pub(super) fn ask<T>(
        &self,
        question: impl FnMut(&mut Session) -> Result<T, Failure>,
    ) -> Result<T, ReadError> {
        let over = |doom: &Doom| ReadError::Fatal(doom.clone().into());
        if let Some(doom) = self.node.fate.reason() {
            return Err(over(doom));
        }
        let settings = CallSettings {
            wait: self.acquire_timeout,
            repeatable: true,
        };
        let answer = self.guarded.call(Instant::now(), settings, question);
        if let Err(Trouble::Failed(failure)) = &answer
            && failure.known() == Known::Damage
        {
            self.node.fate.doom(Doom::Failed(failure.clone().into()));
        }
        match (answer, self.node.fate.reason()) {
            (_, Some(doom)) => Err(over(doom)),
            (Ok(answer), None) => Ok(answer),
            (Err(Trouble::LeftAlone(wait)), None) => Err(Failure::LeftAlone(wait).into()),
            (Err(Trouble::Failed(failure)), None) => Err(failure.into()),
            (Err(Trouble::Unleased(error)), None) => Err(ReadError::failed(error)),
        }
    }
}

/// The meaning of failed queries for the pool.
struct Errors;

impl Judge<PostgresManager> for Errors {
    type Error = Failure;

    fn spoil(&self, lease: &mut Lease<PostgresManager>, failure: &Failure) {
        if failure.known() == Known::Lost {
            // Returned as broken, so that the pool suspects all others, too.
            lease.give_up();
        } else if failure.spoils_connection() {
            lease.taint();
        }
    }

    fn is_worth_repeating(&self, failure: &Failure) -> bool {
        matches!(failure.known(), Known::Lost | Known::Again)
    }

    fn reached(&self, failure: &Failure) -> Option<bool> {
        Some(failure.known() != Known::Lost)
    }

    /// The server is there if connections are.
    fn reached_without(&self, _: &NoConnection, pool: &Status) -> Option<bool> {
        (pool.total == 0).then_some(false)
    }
}

impl fmt::Debug for ReadConnections {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ReadConnections")
            .field("guarded", &self.guarded)
            .finish_non_exhaustive()
    }
}

/// The pool's policy for these connections.
struct Policy {
    timeouts: DriverTimeouts,
}

impl PoolPolicy<PostgresManager> for Policy {
    /// A query that failed in its transaction leaves the transaction open.
    fn reset(&self, session: &mut Session) -> Reset {
        if session.in_transaction() {
            Reset::Clean
        } else {
            Reset::Keep
        }
    }

    fn clean(&self, session: &mut Session) -> Result<(), NoConnection> {
        if session.recover() {
            return Ok(());
        }
        Err(Failure::Unreachable("a transaction could not be rolled back".to_owned()).into())
    }

    fn connect_error(&self, error: &NoConnection) -> ConnectError {
        if error.is_permanent() {
            ConnectError::Permanent
        } else {
            ConnectError::Transient
        }
    }

    fn driver_timeouts(&self) -> Option<DriverTimeouts> {
        Some(self.timeouts)
    }
}
