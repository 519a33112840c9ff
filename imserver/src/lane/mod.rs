//! The lanes: the threads that write to the store, one for each writer it has.
//!
//! A lane takes the queued writes, commits them as one transaction, and only then answers and pushes. It owns a writer
//! of the store. It must never acknowledge before a commit, never wait for a loop or a worker, and never go on after
//! the store reported that it cannot be trusted.

mod complete;
mod erasing;
mod handle;
mod job;
mod lazy;
mod run;
mod turn;

pub(crate) use handle::{Collected, LaneHandle, SubmitError};
pub(crate) use job::{After, Aftermath, Completion, Done, Job, Pending, other_outcome};
pub(crate) use lazy::LazyWrites;
pub(crate) use run::{LaneParts, Lanes, not_before};
