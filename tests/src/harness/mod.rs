//! What drives a daemon from outside: processes, sockets, users.
//!
//! Everything here fails the test that uses it, with a sentence, instead of returning an error: a test has no
//! other use for one.

mod bytes_in;
mod cluster;
mod connection;
mod daemon;
mod events;
pub mod socket;
mod user;
mod web;

use std::time::Duration;

pub use cluster::{Cluster, ClusterSetup};
pub use connection::{Connection, Incoming};
pub use daemon::{Daemon, Ended, Setup};
pub use events::{Event, Events};
pub use protocol::Call;
pub use user::{PASSWORD, User, body, hello, login, message_id, refused, text, unnamed};
pub use web::{Account, Response, Web};

/// How long anything awaited may take before the test fails: long enough for a machine that is busy otherwise.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The terminal client under test.
///
/// # Panics
/// It was not built.
pub fn im_binary() -> std::path::PathBuf {
    daemon::binary("IM_BIN", "im")
}

/// The load generator under test.
///
/// # Panics
/// It was not built.
pub fn imbench_binary() -> std::path::PathBuf {
    daemon::binary("IMBENCH_BIN", "imbench")
}

/// The bare relay that durable chat is compared with.
///
/// # Panics
/// It was not built.
pub fn relay_binary() -> std::path::PathBuf {
    daemon::binary("RELAY_LIMIT_BIN", "relay-limit")
}
