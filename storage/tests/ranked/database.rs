//! PostgreSQL databases for tests: one for each process that runs tests, and in it a schema of its own for each store.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use postgres::{Client, NoTls};
use storage::postgres::PostgresOptions;

/// Nothing takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Options for a store that is empty and nobody else's.
pub(crate) fn fresh() -> PostgresOptions {
    fresh_with_client().0
}

/// The same, and a connection to where it will be.
pub(crate) fn fresh_with_client() -> (PostgresOptions, Client) {
    static DATABASE: OnceLock<String> = OnceLock::new();
    let database = DATABASE.get_or_init(|| services::fresh_database().unwrap());
    let schema = format!("store_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let mut client = Client::connect(database, NoTls).unwrap();
    client
        .batch_execute(&format!("CREATE SCHEMA {schema}; SET search_path TO {schema}"))
        .unwrap();
    let mut options = PostgresOptions::new(format!("{database}?options=-csearch_path%3D{schema}"));
    // Many stores of one server, and none that a slow machine makes fail.
    options.readers.min_idle = Some(0);
    options.readers.acquire_timeout = PATIENCE;
    (options, client)
}
