//! From committed events to frames in out-queues: who is connected where, who may see what, one encoded
//! frame for all of them.
//!
//! A push is a hint and the log is the truth: whatever cannot be delivered here may be left out as long as
//! the loop learns that something was. Nothing here may ever block a lane.

pub(crate) mod backlog;
pub(crate) mod outbox;
pub(crate) mod planner;
pub(crate) mod routes;

pub(crate) use backlog::Backlog;
pub(crate) use outbox::Outboxes;
pub(crate) use planner::Planner;
pub(crate) use routes::{Kick, KickTo, Route, Routes};
