//! One database connection with its prepared statements. It must never go on with a transaction after a failure in it:
//! the server would roll back silently.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use postgres::{Client, Row, Statement, types::ToSql};

use super::{
    failure::Failure,
    past::{Life, Node},
};
use crate::types::Position;

/// More than the number of statements in this crate.
const STATEMENTS_MAX: usize = 128;

pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A connection whose settings and past were checked.
pub struct Session {
    client: Client,
    /// The generation and the start it was compared with.
    life: Life,
    node: Arc<Node>,
    /// A commit on it may be on no other server.
    unreplicated: Arc<AtomicBool>,
    /// The row of this connection's writer exists.
    pub(super) has_row: bool,
    /// By their text. Statements are constants of this crate, so there are few.
    statements: HashMap<&'static str, Statement>,
    /// A transaction was begun and is not over.
    open: bool,
    /// A statement found the connection lost, which the driver may not have noticed.
    lost: bool,
}

impl Session {
    pub(super) fn new(client: Client, life: Life, node: Arc<Node>, unreplicated: Arc<AtomicBool>) -> Self {
        Self {
            client,
            life,
            node,
            unreplicated,
            has_row: false,
            statements: HashMap::new(),
            open: false,
            lost: false,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lost || self.client.is_closed()
    }

    /// The generation that every transaction on it compares.
    pub(super) const fn life(&self) -> Life {
        self.life
    }

    pub(super) const fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Notes a set that was read here, before it leaves the store.
    pub(super) fn saw(&self, ceiling: Position) -> Result<(), Failure> {
        if self.node.saw(self.life, ceiling) {
            return Ok(());
        }
        Err(Failure::Outdated)
    }

    pub(super) fn is_unreplicated(&self) -> bool {
        self.unreplicated.load(Ordering::SeqCst)
    }

    /// Marks the connection as unusable.
    pub(super) const fn give_up(&mut self) {
        self.lost = true;
    }

    pub(super) const fn in_transaction(&self) -> bool {
        self.open
    }

    /// For statements that are not repeated: streams of rows, and generated statements.
    pub(super) const fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Sends the server a probe.
    pub(super) fn probe(&mut self) -> Result<(), Failure> {
        Ok(self.client.batch_execute("")?)
    }

    fn statement(&mut self, sql: &'static str) -> Result<Statement, Failure> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        if self.statements.len() >= STATEMENTS_MAX {
            self.statements.clear();
        }
        let statement = self.client.prepare(sql)?;
        self.statements.insert(sql, statement.clone());
        Ok(statement)
    }

    pub(super) fn query(
        &mut self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, Failure> {
        self.run(sql, |client, statement| client.query(statement, parameters))
    }

    /// The first row, if there is one.
    pub(super) fn first(
        &mut self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Option<Row>, Failure> {
        Ok(self.query(sql, parameters)?.into_iter().next())
    }

    /// Executes a statement; returns the number of changed rows.
    pub(super) fn execute(&mut self, sql: &'static str, parameters: Parameters<'_>) -> Result<u64, Failure> {
        self.run(sql, |client, statement| client.execute(statement, parameters))
    }

    /// If the server has dropped the prepared statements, as behind a pooler, or the tables have changed, everything is
    /// prepared anew: at once if no transaction was lost by it, otherwise when the batch is tried again.
    fn run<T>(
        &mut self,
        sql: &'static str,
        mut exchange: impl FnMut(&mut Client, &Statement) -> Result<T, postgres::Error>,
    ) -> Result<T, Failure> {
        let statement = self.statement(sql)?;
        let failure = match exchange(&mut self.client, &statement) {
            Ok(done) => return Ok(done),
            Err(error) => Failure::from(error),
        };
        if !failure.is_stale() {
            return Err(failure);
        }
        self.statements.clear();
        if self.open {
            return Err(failure);
        }
        let statement = self.statement(sql)?;
        Ok(exchange(&mut self.client, &statement)?)
    }

    pub(super) fn begin(&mut self, how: &'static str) -> Result<(), Failure> {
        // If there are several statements, one may fail after the transaction has begun.
        self.open = true;
        self.client.batch_execute(how)?;
        Ok(())
    }

    /// Commits. Call it only if every statement since [`Session::begin`] succeeded.
    pub(super) fn commit(&mut self) -> Result<(), Failure> {
        self.client.batch_execute("COMMIT")?;
        self.open = false;
        Ok(())
    }

    pub(super) fn roll_back(&mut self) -> Result<(), Failure> {
        self.client.batch_execute("ROLLBACK")?;
        self.open = false;
        Ok(())
    }

    /// Leaves no transaction open. False if the connection is unusable.
    pub(super) fn recover(&mut self) -> bool {
        if self.is_closed() {
            return false;
        }
        if self.open && self.client.batch_execute("ROLLBACK").is_err() {
            return false;
        }
        self.open = false;
        true
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Session")
            .field("statements", &self.statements.len())
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}
