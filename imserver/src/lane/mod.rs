//! The lane: the one thread that writes to the store.
//!
//! It takes whatever has queued up, commits it as one transaction, and only then answers and pushes. It
//! owns the store's writer. It must never acknowledge before a commit, never wait for a loop or a worker,
//! and never go on after the store said that it cannot be trusted.

mod cursors;
mod job;
mod run;

pub use cursors::{LazyFull, LazyWrites};
pub use job::{Job, NewLogin, NewSessionMade, Then};
pub use run::{Lane, LaneHandle, LaneParts, SubmitError, new_session_job};
