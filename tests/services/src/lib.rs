//! Throwaway PostgreSQL and Redis servers for tests: each on a port of its own on the loopback network, with a
//! directory of its own, gone when the test ends, however it ends.
//!
//! It owns finding the programs, starting and ending them, and the server that one run of the suite shares. It
//! must never touch a server that it did not start or was not told of, and never leave one behind.
//!
//! A test that stops or kills its server starts one with [`Postgres::start`] or [`Redis::start`]. All others take
//! a fresh database of the [shared PostgreSQL](shared_postgres), or keys with a prefix of their own on the
//! [shared Redis](shared_redis).

mod account;
mod address;
mod directory;
mod pgbouncer;
mod postgres;
mod process;
mod programs;
mod python;
mod redis;
mod shared;

pub use pgbouncer::PgBouncer;
pub use postgres::{DataCopy, Postgres, PostgresSetup, dump_database, load_database};
pub use python::Python;
pub use redis::{Redis, RedisSetup};
pub use shared::{POSTGRES_VARIABLE, REDIS_VARIABLE, fresh_database, shared_postgres, shared_redis};

/// Whether the programs of PostgreSQL are here; else the sentence that says what to install.
///
/// # Errors
/// They are not.
pub fn find_postgres() -> Result<(), ServiceError> {
    programs::Postgres::find().map(drop)
}

/// Whether the program of Redis is here; else the sentence that says what to install.
///
/// # Errors
/// It is not.
pub fn find_redis() -> Result<(), ServiceError> {
    programs::redis().map(drop)
}

/// The program tmux, the terminal of tests; else the sentence that says what to install.
///
/// # Errors
/// It is not here.
pub fn find_tmux() -> Result<std::path::PathBuf, ServiceError> {
    programs::tmux()
}

/// The program python3, which runs `tests/document`; else the sentence that says what to install.
///
/// # Errors
/// It is not here.
pub fn find_python() -> Result<std::path::PathBuf, ServiceError> {
    programs::python()
}

/// A server that could not be started, asked or ended, as a sentence for whoever runs the tests, with the
/// server's own last words where it had any.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct ServiceError(String);

impl ServiceError {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// For `map_err`: what was tried, and why it failed.
    fn because<E: std::fmt::Display>(what: &str) -> impl FnOnce(E) -> Self {
        move |error| Self(format!("{what}: {error}"))
    }
}

type Result<T, E = ServiceError> = std::result::Result<T, E>;
