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
use pool::shared_breaker::{Cause, SharedBreaker, SlowStart, Wording};
use pool::{ConnectError, DriverTimeouts, GetError, Init, Pool, PoolPolicy, Reset, Statistics, Status};

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
    pool: Pool<PostgresManager>,
    node: Arc<Node>,
    gate: SharedBreaker,
    acquire_timeout: Duration,
}

/// Why a question has no answer.
enum Trouble {
    /// It got no connection.
    Unleased(GetError<NoConnection>),
    /// It failed on the one it got.
    Failed(Failure),
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
        Ok(Self {
            pool,
            node,
            gate: SharedBreaker::new(WORDS, SlowStart::Fewer, BREAKER, Instant::now()),
            acquire_timeout: options.readers.acquire_timeout,
        })
    }

    pub(super) fn pool(&self) -> (Status, Statistics) {
        (self.pool.status(), self.pool.statistics())
    }

    pub(super) fn breaker(&self) -> BreakerState {
        self.gate.state()
    }

    /// Refuses questions from now on, and waits for those under way.
    pub(super) fn close(&self, within: Duration) -> Result<(), OpenError> {
        let left = self.pool.close(within);
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
        mut question: impl FnMut(&mut Session) -> Result<T, Failure>,
    ) -> Result<T, ReadError> {
        let over = |doom: &Doom| ReadError::Fatal(doom.to_string());
        if let Some(doom) = self.node.fate.reason() {
            return Err(over(doom));
        }
        let begun = Instant::now();
        let pass = self.gate.enter(begun).map_err(Failure::LeftAlone)?;
        let until = begun + self.acquire_timeout;
        let mut answer = self.attempt(until, &mut question);
        if matches!(&answer, Err(Trouble::Failed(failure)) if matches!(failure.known(), Known::Lost | Known::Again))
        {
            answer = self.attempt(until, &mut question);
        }
        let trouble = answer.as_ref().err();
        let why = trouble.map(|trouble| Cause::Silence(trouble));
        self.gate.leave(pass, Instant::now(), self.reached(trouble), why);
        if let Err(Trouble::Failed(failure)) = &answer
            && failure.known() == Known::Damage
        {
            self.node.fate.doom(Doom::Failed(failure.to_string()));
        }
        match (answer, self.node.fate.reason()) {
            (_, Some(doom)) => Err(over(doom)),
            (answer, None) => answer.map_err(|trouble| ReadError::Failed(trouble.to_string())),
        }
    }

    fn attempt<T>(
        &self,
        until: Instant,
        question: &mut impl FnMut(&mut Session) -> Result<T, Failure>,
    ) -> Result<T, Trouble> {
        let mut lease = self.pool.get_by(until).map_err(Trouble::Unleased)?;
        question(&mut lease).map_err(|failure| {
            if failure.known() == Known::Lost {
                // Comes back broken, so that the pool suspects all others too.
                lease.give_up();
            } else if failure.spoils_connection() {
                lease.taint();
            }
            Trouble::Failed(failure)
        })
    }

    /// Whether the server answered, unless the outcome says nothing about it: in a pool that is too small, others have
    /// the connections.
    fn reached(&self, trouble: Option<&Trouble>) -> Option<bool> {
        match trouble {
            None => Some(true),
            Some(Trouble::Failed(failure)) => Some(failure.known() != Known::Lost),
            Some(Trouble::Unleased(GetError::Timeout { at, .. })) => (at.leased == 0).then_some(false),
            Some(Trouble::Unleased(GetError::Connect(_))) => (self.pool.status().total == 0).then_some(false),
            Some(Trouble::Unleased(GetError::Overloaded { .. } | GetError::Closed)) => None,
        }
    }
}

impl fmt::Debug for ReadConnections {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ReadConnections")
            .field("pool", &self.pool)
            .field("breaker", &self.gate.state())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unleased(error) => error.fmt(formatter),
            Self::Failed(failure) => failure.fmt(formatter),
        }
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
