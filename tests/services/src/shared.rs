//! The servers that many tests share: those of this run of the suite, else one for this test process.

use std::sync::OnceLock;

use crate::{Postgres, Redis, Result, postgres, programs};

/// The environment variable that names the PostgreSQL of this run by its URL.
pub const POSTGRES_VARIABLE: &str = "IMSERVER_TEST_POSTGRES";

/// The environment variable that names the Redis of this run by its URL.
pub const REDIS_VARIABLE: &str = "IMSERVER_TEST_REDIS";

/// The URL of a PostgreSQL that other tests use as well: make a [database](fresh_database) for yours.
///
/// It is the one that [`POSTGRES_VARIABLE`] names, else one that is started now and ends with this process.
///
/// # Errors
/// None is named and none starts.
pub fn shared_postgres() -> Result<String> {
    static STARTED: OnceLock<Result<Postgres>> = OnceLock::new();
    match std::env::var(POSTGRES_VARIABLE) {
        Ok(url) => Ok(url),
        Err(_) => Ok(STARTED
            .get_or_init(Postgres::start)
            .as_ref()
            .map_err(Clone::clone)?
            .url()),
    }
}

/// The URL of a Redis that other tests use as well: use keys and channels with a prefix of your own, and leave
/// alone what concerns the whole server.
///
/// It is the one that [`REDIS_VARIABLE`] names, else one that is started now and ends with this process.
///
/// # Errors
/// None is named and none starts.
pub fn shared_redis() -> Result<String> {
    static STARTED: OnceLock<Result<Redis>> = OnceLock::new();
    match std::env::var(REDIS_VARIABLE) {
        Ok(url) => Ok(url),
        Err(_) => Ok(STARTED
            .get_or_init(Redis::start)
            .as_ref()
            .map_err(Clone::clone)?
            .url()),
    }
}

/// The URL of a new, empty database on the [shared PostgreSQL](shared_postgres). It stays as long as the server.
///
/// # Errors
/// There is no server, or it refuses.
pub fn fresh_database() -> Result<String> {
    postgres::database_on(&programs::Postgres::find()?, &shared_postgres()?)
}
