//! The connections that answer questions: one pool for all readers, and a breaker before it. It owns who asks the
//! server and who is refused at once; it must never write, and never ask a question more than twice.
//!
//! A question waits for connections no longer than the pool's acquire timeout, a repetition included. The first who
//! wait so long in vain while nobody else has a connection open the breaker: from then on questions are refused at once,
//! but for one now and then that tries.

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

/// One failure is enough, because it is no single one: the pool has tried to connect again and again by then, or a
/// question was lost on two connections. The pauses are short, because a probe costs the server nothing while the pool
/// has no connection to it, and the pool's maximum is what protects a server that has just started.
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

/// How the connections are.
#[derive(Clone, Debug)]
pub struct PostgresStatus {
    /// The pool of those that read, at this moment.
    pub pool: Status,
    /// What it has done so far.
    pub statistics: Statistics,
    /// Whether the server is asked questions.
    pub breaker: BreakerState,
    /// Whether it is given writes.
    pub writing: BreakerState,
}

impl fmt::Display for PostgresStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pool,
            statistics,
            breaker,
            writing,
        } = self;
        write!(
            formatter,
            "PostgreSQL: reading {breaker}, {pool}, longest wait {:.1?}; writing {writing}",
            statistics.wait_longest
        )
    }
}

/// Answers questions on connections that are leased for one question each. Shared between threads.
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
            .map_err(|error| OpenError(format!("the connections to PostgreSQL that read: {error}")))?;
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

    pub(super) fn breaker(&self) -> BreakerState {
        self.guarded.breaker()
    }

    /// Refuses questions from now on, and waits for those under way.
    pub(super) fn close(&self, within: Duration) -> Result<(), OpenError> {
        let left = self.guarded.pool().close(within);
        if left.leased > 0 {
            return Err(OpenError(format!(
                "questions to PostgreSQL are still under way on {} connections",
                left.leased
            )));
        }
        Ok(())
    }

    /// Asks on a leased connection, and once more on another one if that turns out to be gone, or is one to a server
    /// that was started anew since. What is found to be damaged ends the trust in the store.
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
            self.node.fate.doom(Doom::Failed(failure.to_string()));
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

/// What failures of questions say.
struct Errors;

impl Judge<PostgresManager> for Errors {
    type Error = Failure;

    fn spoil(&self, lease: &mut Lease<PostgresManager>, failure: &Failure) {
        if failure.known() == Known::Lost {
            // Comes back broken, so that the pool suspects all others too.
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

    /// Where there are connections, the server is there.
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

/// What the pool has to know of these connections.
struct Policy {
    timeouts: DriverTimeouts,
}

impl PoolPolicy<PostgresManager> for Policy {
    /// A question that failed in its transaction leaves that open.
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
