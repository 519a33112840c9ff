//! From committed events to frames in out-queues: finds the connections of all users who may see an event and encodes
//! one frame for all of them.
//!
//! A push is a hint and the log is the truth: a delivery may be dropped if the loop learns that one was dropped.
//! Nothing here may ever block a lane.

pub(crate) mod backlog;
#[cfg(test)]
mod connections;
pub(crate) mod outbox;
pub(crate) mod planner;
pub(crate) mod routes;

pub(crate) use backlog::Backlog;
#[cfg(test)]
pub(crate) use connections::connections;
pub(crate) use outbox::Outboxes;
pub(crate) use planner::Planner;
pub(crate) use routes::{Kick, KickTo, Route, Routes};
