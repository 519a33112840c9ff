//! The import of another store's rows into an empty database: the mark that keeps all other processes out meanwhile,
//! and the transactions in between. It must never remove the mark except in the transaction that has compared
//! everything.

use std::{sync::Arc, time::Duration};

use postgres::Client;

use super::{
    connections::{Connector, cannot_open},
    failure::Failure,
    options::PostgresOptions,
    past::{self, Rights},
    row::get,
    session::Session,
};
use crate::{error::OpenError, snapshot::Snapshot, sqlite::Identity};

/// Longer than any statement: one here may read or sort everything.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// An import over one connection. If the connection is lost, the copy fails.
pub(crate) struct Filling {
    session: Session,
}

impl Filling {
    /// Marks an empty database, and gives it the identity of the store to come.
    pub(crate) fn begin(mut options: PostgresOptions, identity: Identity) -> Result<Self, OpenError> {
        options.statement_timeout = STATEMENT_TIMEOUT;
        options.identity = identity;
        let connector = Arc::new(Connector::open(&options)?);
        let (_, rights) = connector.unsettled().map_err(cannot_open)?;
        let mut session = connector.connect().map_err(cannot_open)?;
        mark(&mut session, rights, identity)?;
        Ok(Self { session })
    }

    pub(crate) const fn client(&mut self) -> &mut Client {
        self.session.client()
    }

    /// Begins a transaction, and returns the first position that is its own.
    pub(crate) fn begin_batch(&mut self) -> Result<i64, OpenError> {
        self.session
            .begin("BEGIN; LOCK TABLE events IN ROW EXCLUSIVE MODE")?;
        Ok(self.transaction()? << Snapshot::COMMIT_BITS)
    }

    /// Commits the transaction begun at `base`, if every statement since then succeeded.
    pub(crate) fn commit_batch(&mut self, base: i64) -> Result<(), OpenError> {
        // The server would accept the COMMIT of a failed transaction silently, but not this.
        if self.transaction()? << Snapshot::COMMIT_BITS != base {
            return Err(OpenError::Refused("a transaction became another one".to_owned()));
        }
        Ok(self.session.commit()?)
    }

    /// Begins the transaction that [`Filling::complete`] ends, on the present snapshot.
    pub(crate) fn begin_comparing(&mut self) -> Result<(), OpenError> {
        Ok(self.session.begin("BEGIN ISOLATION LEVEL REPEATABLE READ")?)
    }

    /// Admits other processes.
    pub(crate) fn complete(mut self) -> Result<(), OpenError> {
        self.session.execute(
            "UPDATE registrations SET users = (SELECT coalesce(max(id), 0) FROM users) WHERE id = 1",
            &[],
        )?;
        let marked = self.session.execute(
            "UPDATE store SET filling = false, written_by = pg_current_xact_id()::text::bigint WHERE filling",
            &[],
        )?;
        if marked != 1 {
            return Err(OpenError::Refused(
                "somebody else has taken the mark away".to_owned(),
            ));
        }
        Ok(self.session.commit()?)
    }

    /// The transaction's number as positions have it.
    fn transaction(&mut self) -> Result<i64, Failure> {
        let row = self.session.first(
            "SELECT pg_current_xact_id()::text::bigint + past_offset FROM store",
            &[],
        )?;
        get(
            &row.ok_or_else(|| Failure::damaged("a transaction has no number"))?,
            0,
        )
    }
}

impl From<postgres::Error> for OpenError {
    fn from(error: postgres::Error) -> Self {
        Failure::from(error).into()
    }
}

fn mark(session: &mut Session, rights: Rights, identity: Identity) -> Result<(), OpenError> {
    session.begin("BEGIN")?;
    // A second import waits here, and then finds the mark.
    let row = session.first("SELECT filling FROM store FOR UPDATE", &[])?;
    let row = row.ok_or_else(|| Failure::damaged("the table `store` is empty"))?;
    if get::<bool>(&row, 0)? {
        return Err(cannot_open(half_filled()));
    }
    // A connected node would go on under the identity that it knows.
    let row = session.first(
        "SELECT EXISTS (SELECT 1 FROM users) OR EXISTS (SELECT 1 FROM sessions) OR EXISTS (SELECT 1 FROM events)
                OR EXISTS (SELECT 1 FROM conversations),
                EXISTS (SELECT 1 FROM pg_stat_activity
                        WHERE datname = current_database() AND pid <> pg_backend_pid()
                          AND application_name LIKE 'imserver%'
                          AND application_name <> current_setting('application_name'))",
        &[],
    )?;
    let row = row.ok_or_else(|| Failure::damaged("no answer about the tables"))?;
    if get::<bool>(&row, 0)? {
        return Err(OpenError::Refused(
            "the PostgreSQL database is not empty: copy into a new one".to_owned(),
        ));
    }
    if get::<bool>(&row, 1)? {
        return Err(OpenError::InUse(
            "an imserver is connected to the PostgreSQL database: stop it first".to_owned(),
        ));
    }
    past::begin_past_as(
        session.client(),
        rights,
        identity,
        "copied from an embedded store",
    )?;
    session.execute(
        "UPDATE store SET filling = true, written_by = pg_current_xact_id()::text::bigint",
        &[],
    )?;
    Ok(session.commit()?)
}

/// The error for all other processes.
pub(super) fn half_filled() -> Failure {
    Failure::Replaced(
        "a copy into it is not complete; while `imserver copy` runs, wait for it; if it was broken off, drop the \
         database, create it again and copy again"
            .to_owned(),
    )
}
