//! From committed events to frames in out-queues: who is connected where, who may see what, one encoded
//! frame for all of them.
//!
//! A push is a hint and the log is the truth: whatever cannot be delivered here may be left out as long as
//! the loop learns that something was. Nothing here may ever block a lane.

pub mod backlog;
pub mod outbox;
pub mod planner;
pub mod routes;

pub use backlog::Backlog;
pub use outbox::{LoopMark, Outboxes};
pub use planner::Planner;
pub use routes::{Kick, KickTo, Route, Routes};
