//! The store in a PostgreSQL database that several processes share: its opening, its options, what is safe about it.
//!
//! **Order.** A conversation's row is locked from before an append is decided until it is committed, so in one
//! conversation the order of seqs is the order of commits. Between conversations there is no order: positions are made
//! of the transaction's number (see [`Position`]), and snapshots tell what is new.
//!
//! **One round trip.** Independent messages are appended by one statement (`messages.rs`); a batch of nothing else is
//! that statement alone. Other writes, and messages that may depend on another write of the batch, go one by one
//! through a transaction (`batch.rs`). `plan.rs` separates them.
//!
//! **Locks** are taken in one order by all transactions: conversations by id, users by id, the count of registrations,
//! cursors by key; all before anything is decided. Transactions that take them so can wait for each other, but not in a
//! circle. Rows that do not exist yet cannot be locked ahead (a cursor's first row, a session's token): two batches
//! that create the same ones in opposite orders can deadlock, and PostgreSQL ends one of them after a second. That one
//! is tried again; then the rows exist and are locked in order. Every wait for a lock ends with the lock timeout.
//!
//! **Commits.** Nothing here may acknowledge a commit that the server has not confirmed. If the connection is lost
//! during a commit, the outcome is found out: messages are sent again, and their client ids tell what was stored; any
//! other batch leaves a number in a row of its writer, which only its own transaction can have written. An outcome that
//! is not found out until the deadline is reported as unknown.
//!
//! **The past.** Every connection is compared with what is known of the server (`past/`), and every transaction
//! compares again.
//!
//! **Queries** lease a connection each from one pool, behind a breaker (`lending.rs`). A writer owns its connection;
//! all writers share another breaker (`outage.rs`).
//!
//! Texts lose characters that PostgreSQL cannot keep: U+0000 becomes U+FFFD.

mod append;
mod batch;
mod connections;
mod cursors;
mod derive;
mod entries;
mod erase;
mod failure;
pub(crate) mod filling;
mod held;
mod lending;
mod lookup;
mod messages;
#[cfg(test)]
mod numbers_tests;
mod options;
mod outage;
mod page;
pub mod past;
mod people;
mod plan;
mod reader;
mod row;
mod schema;
mod seen;
mod session;
mod stays;
mod tail;
mod tls;
mod views;
mod words;
mod writer;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use crate::{
    error::OpenError,
    fate::{Doom, Fate},
    past::{Claim, Generation, TokenKey},
    read::{Reader, Store},
    status::Status,
    types::Position,
    write::Writer,
};
use connections::Connector;
use lending::ReadConnections;
use past::Lived;
use pool::shared_breaker::SharedBreaker;
use reader::PostgresReader;
use writer::PostgresWriter;

pub use connections::{NoConnection, PostgresManager};
pub(crate) use derive::text;
pub use lending::PostgresStatus;
pub use options::{Failover, PostgresOptions};
pub use session::Session;

/// A store in a PostgreSQL database. Shared between threads; any number of processes may have it open.
pub struct PostgresStore {
    options: PostgresOptions,
    /// The past that this process lives in until its end.
    lived: Lived,
    connector: Arc<Connector>,
    readers: Arc<ReadConnections>,
    writers: AtomicUsize,
    writing: Arc<SharedBreaker>,
}

impl PostgresStore {
    /// Opens a database, and creates or migrates its schema. If that is up to date, it changes nothing and waits for no
    /// other process.
    ///
    /// # Errors
    /// The database cannot be reached, belongs to another program or a newer version, or its server does not give the
    /// guarantees that durability needs; or the settings of the read pool cannot be used.
    pub fn open(options: PostgresOptions) -> Result<Self, OpenError> {
        let connector = Arc::new(Connector::open(&options)?);
        let readers = Arc::new(ReadConnections::open(Arc::clone(&connector), &options)?);
        let lived = connector.node().lived();
        Ok(Self {
            options,
            lived: lived.ok_or_else(|| OpenError::Refused("the store has no past".to_owned()))?,
            connector,
            readers,
            writers: AtomicUsize::new(0),
            writing: Arc::new(outage::gate(Instant::now())),
        })
    }

    /// The state of the connections and of the breakers. For metrics.
    pub fn status(&self) -> PostgresStatus {
        let (pool, statistics) = self.readers.pool();
        let (breaker, openings) = self.readers.breaker();
        PostgresStatus {
            pool,
            statistics,
            breaker,
            openings,
            writing: self.writing.state(),
            writing_openings: self.writing.openings(),
        }
    }

    /// Makes connections to this store for a pool.
    pub fn manager(&self) -> PostgresManager {
        PostgresManager {
            connector: Arc::clone(&self.connector),
        }
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PostgresStore")
            .field("options", &self.options)
            .field("connector", &self.connector)
            .field("readers", &self.readers)
            .finish_non_exhaustive()
    }
}

impl Store for PostgresStore {
    fn epoch(&self) -> u64 {
        self.lived.identity.epoch
    }

    fn log_id(&self) -> u64 {
        self.lived.identity.log_id
    }

    fn token_key(&self) -> TokenKey {
        self.lived.key
    }

    fn told(&self, ceiling: Position) -> Generation {
        self.connector.node().told(ceiling)
    }

    fn claim(&self) -> Option<Claim> {
        Some(self.connector.node().claim())
    }

    fn fate(&self) -> &Fate {
        &self.connector.node().fate
    }

    fn begin_past(&self, why: &str) -> Result<(), OpenError> {
        let made = self
            .connector
            .unsettled()
            .map_err(OpenError::from)
            .and_then(|(mut client, rights)| {
                past::end_past(&mut client, rights, Some(self.connector.node()), why)
            });
        self.fate().doom(Doom::PastOver(why.to_owned()));
        made
    }

    fn writers_max(&self) -> usize {
        self.options.writers_max
    }

    fn writer(&self) -> Result<Box<dyn Writer>, OpenError> {
        let take = |taken: usize| (taken < self.options.writers_max).then_some(taken + 1);
        if self
            .writers
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_err()
        {
            return Err(OpenError::Refused(format!(
                "this store has {} writers, and they were handed out before",
                self.options.writers_max
            )));
        }
        let mut writer = PostgresWriter::new(
            Arc::clone(&self.connector),
            Arc::clone(&self.writing),
            self.options.rules,
            self.options.deadline,
        )?;
        writer.connect()?;
        Ok(Box::new(writer))
    }

    fn reader(&self) -> Result<Box<dyn Reader>, OpenError> {
        Ok(Box::new(PostgresReader::new(Arc::clone(&self.readers))))
    }

    fn status(&self) -> Status {
        Status::Postgres(Box::new(Self::status(self)))
    }

    /// Closes the reading connections: refuses queries from now on, and waits for those in progress, within the
    /// deadline of a commit.
    fn close(&self) -> Result<(), OpenError> {
        self.readers.close(self.options.deadline)
    }
}
