//! `[store]`: which engine stores, where, and how patient this process is with it.

use std::path::PathBuf;

use serde::Deserialize;

use super::{Config, StoreUrl, section::section, units::DAY};

/// The default of `store.lanes`.
const LANES: usize = 4;

section! {
    /// where to store
    pub struct StoreSettings in [store] {
        /// sqlite:PATH, or postgres://USER@HOST:PORT/DATABASE; empty: SQLite in data_dir
        url: StoreUrl = StoreUrl::Default;
        /// made if missing, for this user only; not used with PostgreSQL
        data_dir: PathBuf = PathBuf::from("imserver-data");
        #[above = "The rest is for PostgreSQL alone; times are in milliseconds."]
        /// else the password is in the URL or in IMSERVER_STORE_PASSWORD
        password_file: PathBuf = PathBuf::new();
        /// PEM, for TLS; empty: the system's
        root_certificates: PathBuf = PathBuf::new();
        /// threads and connections that write; 0: 4
        lanes: usize = 0, in 0..=64;
        /// connections that read, at most; 0: one for each worker and two more
        connections: usize = 0, in 0..=1_024;
        /// of them kept when idle
        connections_idle: usize = 2, in 0..=1_024;
        /// a question waits so long for one of them
        acquire_ms: u64 = 500, in 10..=60_000;
        /// one that is idle beyond connections_idle is closed after this
        idle_ms: u64 = 600_000, in 1_000..=DAY;
        /// every connection is replaced after this
        lifetime_ms: u64 = 1_800_000, in 10_000..=DAY;
        /// one that is held longer is reported
        leak_ms: u64 = 30_000, in 1_000..=DAY;
        /// connecting
        connect_ms: u64 = 1_000, in 10..=60_000;
        /// a statement
        statement_ms: u64 = 3_000, in 100..=600_000;
        /// of it, waiting for a lock
        lock_ms: u64 = 800, in 10..=600_000;
        /// a write is not repeated after this; one more statement or connection may end later
        request_ms: u64 = 900, in 100..=60_000;
        /// what a promoted standby may lack; "lossless" where replication is synchronous, see below
        failover: Failover = Failover::Lossy;
    }
}

/// What is known of a standby of PostgreSQL that becomes the primary.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Failover {
    /// It may lack what was acknowledged: a new epoch begins.
    Lossy,
    /// Replication is synchronous, and only a synchronous standby is ever promoted: the epoch stays.
    Lossless,
}

impl Config {
    /// Lanes to start on a store that takes several.
    pub const fn lanes(&self) -> usize {
        if self.store.lanes == 0 {
            LANES
        } else {
            self.store.lanes
        }
    }

    /// The embedded store's file.
    pub fn sqlite_file(&self) -> PathBuf {
        match &self.store.url {
            StoreUrl::Sqlite(path) => path.clone(),
            StoreUrl::Default | StoreUrl::Postgres(_) => self.store.data_dir.join("imserver.db"),
        }
    }
}
