//! The client's side of a connection as a state machine: greeting, resuming, pairing answers with
//! requests, heartbeat, and when to come back.
//!
//! It owns every decision about the connection. It must never touch a socket, a thread, a clock or a
//! random source: time comes in with each call, frames come in and go out as values, and the shell in
//! `transport` does what [`Action`]s say.
//!
//! Inputs are the `handle_*` methods, [`Link::start`] and [`Link::submit`]; after each of them take
//! [`Link::next_action`] until it is `None`, and call [`Link::handle_timeout`] at
//! [`Link::next_timeout`].

mod answered;
mod flights;
mod state;

#[cfg(test)]
mod tests;

use std::time::Duration;

use protocol::{Frame, Push, Reply, limits, v1};

use crate::error::{Ending, Error};

pub use state::Link;

/// Requests that may be unanswered at once, whatever the server allows.
pub const IN_FLIGHT_MAX: usize = limits::REQUESTS_IN_FLIGHT_MAX as usize;
/// Requests that may wait for a place or for a connection.
pub const WAITING_MAX: usize = 256;
/// The greeting must be answered within this.
pub const GREETING_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that lasted this long was a good one: the next back-off starts from its base.
pub const STABLE_AFTER: Duration = Duration::from_secs(5);
/// The longest a server can ask to stay away.
pub const STAY_AWAY_MAX: Duration = Duration::from_secs(600);
/// Other addresses remembered from a farewell.
pub const ADDRESSES_MAX: usize = 8;

/// What a link says about itself in its greeting.
#[derive(Clone, Debug)]
pub struct Identity {
    /// This installation.
    pub device: v1::Device,
    /// Name and version of the program.
    pub program: String,
    /// The session to resume.
    pub token: Option<String>,
}

/// What the shell must do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Open a connection and report it with [`Link::handle_connected`] or [`Link::handle_closed`].
    Connect {
        /// Try these first; they come from the server.
        preferred: Vec<String>,
    },
    /// Write this frame.
    Send(Frame),
    /// Drop the connection; nothing of it is to be reported any more.
    Close,
    /// The request of this ticket is finished.
    Complete {
        /// As given to [`Link::submit`].
        ticket: u64,
        /// How it went.
        result: Result<Reply, Error>,
    },
    /// Tell the program.
    Event(Event),
}

/// What happens on a connection without having been asked for, in the order of the wire.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A connection stands and its session is authenticated.
    Connected {
        /// Whose session, and the store's epoch.
        session: v1::Session,
        /// What the server allows.
        limits: v1::Limits,
    },
    /// The connection is gone, or could not be made.
    Disconnected {
        /// For people.
        reason: String,
        /// When the next attempt begins; `None` when there is no reason for one.
        retry_in: Option<Duration>,
    },
    /// Something the server started.
    Push(Push),
    /// A heartbeat was answered.
    Pong(v1::Pong),
    /// A request begun with `Client::start` is finished.
    Reply {
        /// As given when it began.
        tag: u64,
        /// How it went.
        result: Result<Reply, Error>,
    },
    /// The session is over; there is no automatic return.
    Ended(Ending),
}
