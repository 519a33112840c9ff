//! The gateway: connections on the event loops, between the session machine and everything behind it.
//!
//! It runs on the loops' threads. It must never block, read the store, or hash a password: it judges a frame, hands it
//! on with the place of its answer reserved, and writes the answer that comes back.

mod answers;
mod asks;
mod connection;
mod handler;
mod http;
mod park;
mod pushes;
mod requests;
mod terms;

pub(crate) use handler::LOW_WATER;
pub(crate) use handler::{Gateway, Shared};
pub(crate) use http::Tickets;
pub(crate) use terms::Terms;
