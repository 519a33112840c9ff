//! The state of a store at one moment, as data. Must hold no text for people: whoever shows a status words it.

use crate::postgres::PostgresStatus;

/// The state of a [`Store`](crate::Store) at one moment.
#[derive(Clone, Debug)]
pub enum Status {
    /// A store in memory. It has nothing to report.
    Model,
    /// A store in a file of SQLite.
    Sqlite(SqliteStatus),
    /// A store in a PostgreSQL database.
    Postgres(Box<PostgresStatus>),
}

/// The state of a store in a file of SQLite.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SqliteStatus {
    /// Bytes of the database file; 0 if it cannot be read.
    pub database_bytes: u64,
    /// Bytes of the write-ahead log; 0 if it is missing or cannot be read.
    pub wal_bytes: u64,
}
