//! The commit: one transaction per batch, and what is known about it when something goes wrong.
//! It keeps nothing of the database in memory, so that a failed batch leaves nothing to forget; and it never
//! repeats a COMMIT that failed for any other reason than a lock.

use std::{fs::File, sync::Arc};

use rusqlite::Connection;

use super::{
    append, checkpoint,
    checkpoint::Signal,
    cursors,
    failure::{Failure, Stop},
    lookup, people,
    row::sql,
};
use crate::{
    error::{CommitError, Refused},
    types::Position,
    write::{Outcome, Rules, Write, Writer},
};

/// How often a COMMIT is tried that only waited for a lock.
const COMMIT_ATTEMPTS: u32 = 4;

pub(super) struct SqliteWriter {
    pub(super) connection: Connection,
    rules: Rules,
    signal: Arc<Signal>,
    /// Why nothing can be committed any more.
    broken: Option<String>,
    _lock: Arc<File>,
}

/// One transaction, as the writes in it see it.
pub(super) struct Batch<'a> {
    pub(super) connection: &'a Connection,
    pub(super) rules: Rules,
    /// The newest position given.
    position: Position,
}

impl Batch<'_> {
    pub(super) const fn next_position(&mut self) -> Position {
        self.position.0 += 1;
        self.position
    }

    fn write(&mut self, write: &Write) -> Result<Outcome, Stop> {
        match write {
            Write::Append(append) => append::append(self, append).map(Outcome::Appended),
            Write::Cursors(moves) => cursors::move_all(self, moves),
            Write::CreateUser(new) => people::create_user(self.connection, new),
            Write::UpdateProfile(change) => people::update_profile(self.connection, change),
            Write::CreateSession(new) => people::create_session(self.connection, new),
            Write::RevokeSessions(revoke) => people::revoke(self.connection, *revoke),
            Write::TouchSessions(touched) => people::touch(self.connection, touched),
        }
    }
}

type Answers = Vec<Result<Outcome, Refused>>;

impl Writer for SqliteWriter {
    fn commit(&mut self, writes: &[Write]) -> Result<Answers, CommitError> {
        if let Some(reason) = &self.broken {
            return Err(CommitError::Fatal(reason.clone()));
        }
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        if self.signal.take_restart() {
            checkpoint::finish_copying(&self.connection);
        }
        let result = self.transact(writes);
        match &result {
            Ok(_) => self.signal.committed(checkpoint::pages_after_commit()),
            Err(CommitError::Fatal(reason)) => self.broken = Some(reason.clone()),
            Err(_) => {}
        }
        result
    }
}

impl SqliteWriter {
    pub(super) fn new(connection: Connection, rules: Rules, signal: Arc<Signal>, lock: Arc<File>) -> Self {
        checkpoint::count_pages(&connection);
        Self {
            connection,
            rules,
            signal,
            broken: None,
            _lock: lock,
        }
    }

    fn transact(&self, writes: &[Write]) -> Result<Answers, CommitError> {
        if let Err(error) = self.execute("BEGIN IMMEDIATE") {
            return Err(self.abandon(&error));
        }
        let answers = self.apply(writes).map_err(|failure| self.abandon(&failure))?;
        self.finish()?;
        Ok(answers)
    }

    fn apply(&self, writes: &[Write]) -> Result<Answers, Failure> {
        let before = lookup::position(&self.connection)?;
        let mut batch = Batch {
            connection: &self.connection,
            rules: self.rules,
            position: before,
        };
        let mut answers = Vec::with_capacity(writes.len());
        for write in writes {
            answers.push(match batch.write(write) {
                Ok(outcome) => Ok(outcome),
                Err(Stop::Refused(refused)) => Err(refused),
                Err(Stop::Failed(failure)) => return Err(failure),
            });
        }
        if batch.position != before {
            // Everything is derived in this same transaction: the watermark is the newest position.
            self.connection
                .prepare_cached("UPDATE store SET position = ?1, watermark = ?1")?
                .execute([sql(batch.position.0)])?;
        }
        Ok(answers)
    }

    fn finish(&self) -> Result<(), CommitError> {
        let mut attempt = 1;
        loop {
            let Err(failure) = self.execute("COMMIT") else {
                return Ok(());
            };
            if failure.is_io() || failure.is_damage() {
                // What reached the disk is not known, and a second flush could succeed without it.
                return Err(CommitError::Fatal(format!("the commit failed: {failure}")));
            }
            let open = !self.connection.is_autocommit();
            if open && failure.is_busy() && attempt < COMMIT_ATTEMPTS {
                attempt += 1;
                continue;
            }
            if !open && !failure.is_full() {
                return Err(CommitError::Unknown(format!("the commit failed: {failure}")));
            }
            return Err(self.abandon(&failure));
        }
    }

    /// Ends the transaction after a failure before or in its COMMIT. SQLite may have rolled it back by itself.
    fn abandon(&self, failure: &Failure) -> CommitError {
        if !self.connection.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK")
            && !self.connection.is_autocommit()
        {
            return CommitError::Fatal(format!("{failure}; and then the rollback failed: {error}"));
        }
        if failure.is_damage() {
            return CommitError::Fatal(failure.to_string());
        }
        CommitError::NotApplied {
            reason: failure.to_string(),
            full: failure.is_full(),
        }
    }

    fn execute(&self, sql: &str) -> Result<(), Failure> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}
