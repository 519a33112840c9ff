//! One connection with the statements that were prepared on it.
//! It must never go on with a transaction after a failure in it: the server would roll back and say so to nobody.

use std::{collections::HashMap, fmt};

use postgres::{Client, Row, Statement, types::ToSql};

use super::failure::Failure;

/// More than there are statements in this crate.
const STATEMENTS_MAX: usize = 128;

pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A connection whose settings were checked.
pub struct Session {
    client: Client,
    /// By their text. Statements are constants of this crate, so there are few.
    statements: HashMap<&'static str, Statement>,
    /// A transaction was begun and is not over.
    open: bool,
    /// A statement found the connection gone, which the driver may not have noticed.
    lost: bool,
}

impl Session {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            statements: HashMap::new(),
            open: false,
            lost: false,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lost || self.client.is_closed()
    }

    /// It must not be used again.
    pub(super) const fn give_up(&mut self) {
        self.lost = true;
    }

    pub(super) const fn in_transaction(&self) -> bool {
        self.open
    }

    /// For what is not asked again and again: streams of rows, and statements that are made up.
    pub(super) const fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Asks the server for a sign of life.
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
        let statement = self.statement(sql)?;
        Ok(self.client.query(&statement, parameters)?)
    }

    /// The first row, if there is one.
    pub(super) fn first(
        &mut self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Option<Row>, Failure> {
        Ok(self.query(sql, parameters)?.into_iter().next())
    }

    /// How many rows it changed.
    pub(super) fn execute(&mut self, sql: &'static str, parameters: Parameters<'_>) -> Result<u64, Failure> {
        let statement = self.statement(sql)?;
        Ok(self.client.execute(&statement, parameters)?)
    }

    pub(super) fn begin(&mut self, how: &'static str) -> Result<(), Failure> {
        self.client.batch_execute(how)?;
        self.open = true;
        Ok(())
    }

    /// Only where every statement since [`Session::begin`] succeeded.
    pub(super) fn commit(&mut self) -> Result<(), Failure> {
        self.client.batch_execute("COMMIT")?;
        self.open = false;
        Ok(())
    }

    /// Leaves no transaction open. False where the connection is of no use any more.
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
