//! The seam between the load and what is spoken: one [`Dialect`] value per connection, bytes in, events out.
//!
//! A dialect owns what a protocol remembers about one client: what is in flight, and where the client stands
//! in what it receives. It must never touch a socket, a clock or a random source, and never check what is in
//! a body: that is the load's part, the same for every dialect.

pub(crate) mod http;
pub(crate) mod imserver;
pub(crate) mod mqtt;
pub(crate) mod nats;
pub(crate) mod relay;
pub(crate) mod tls;
#[cfg(test)]
mod transcript;
pub(crate) mod websocket;
pub(crate) mod xmpp;

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;

use crate::BenchError;

/// One client's side of a protocol.
pub(crate) trait Dialect {
    /// Queues what logs a new connection in. [`Event::Ready`] comes from `receive` when the client may send
    /// and is delivered to, and has everything that it missed.
    ///
    /// Called again when the connection was lost and made anew: what was in flight is forgotten (the load
    /// repeats its sends under the same ids), what was received stays received.
    fn login(&mut self, out: &mut BytesMut);

    /// Queues one message to `target`; its acknowledgement comes back as [`Event::Acked`] with this `id`.
    ///
    /// Ids of one connection count up from 0. One that comes a second time is the same message again.
    fn send(&mut self, target: &Target, id: u64, body: &[u8], out: &mut BytesMut);

    /// Queues a heartbeat; [`Event::Pong`] answers it.
    fn ping(&mut self, out: &mut BytesMut);

    /// Takes what whole frames there are out of `incoming` and reports what they say; what the client itself
    /// must answer goes to `out`.
    ///
    /// # Errors
    /// The connection cannot go on: what came makes no sense.
    fn receive(
        &mut self,
        incoming: &mut BytesMut,
        out: &mut BytesMut,
        event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), BenchError>;

    /// Messages that may be sent and not acknowledged at a time.
    fn in_flight_max(&self) -> usize {
        32
    }
}

/// What a client hears.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// Logged in and in step.
    Ready,
    /// The message with this id is stored, or whatever this protocol promises.
    Acked(u64),
    /// The body of a message, once each, in the order in which the client takes them. The sender's own
    /// messages may be among them.
    Delivered(&'a [u8]),
    /// The answer to a heartbeat.
    Pong,
    /// Something was refused.
    Refused {
        /// The message, if it was one.
        id: Option<u64>,
        /// Repeating it after this long may succeed. `None`: it never will.
        retry_after: Option<Duration>,
        /// For people.
        reason: String,
    },
    /// The server is about to close the connection.
    GoAway {
        /// Coming back after this long is welcome. `None`: it is not.
        retry_after: Option<Duration>,
        /// For people.
        reason: String,
    },
}

/// Who a connection is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    /// Its number among all of this load, from 0.
    pub(crate) index: usize,
    /// Its number at the server.
    pub(crate) user: u64,
    pub(crate) name: String,
    /// What logs it in without a password; empty where there is none.
    pub(crate) token: String,
    /// What logs it in otherwise; empty where it is not known.
    pub(crate) password: String,
    /// The groups it is in, known before it logs in.
    pub(crate) groups: Vec<u64>,
}

/// Whom a message is for.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// One other account.
    User(Arc<Account>),
    /// Everyone in a group.
    Group(u64),
}

/// What a connection is for, where it cannot be both.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    /// It sends, and hears what became of that.
    Sends,
    /// It hears what others send.
    Receives,
}

/// How much of a device a connection is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Follow {
    /// Logged in and no more.
    Nothing,
    /// In step with all conversations, from where they stood at the first login.
    Everything,
}

impl Follow {
    /// Everything if that is asked for, and otherwise nothing.
    pub(crate) const fn if_asked(everything: bool) -> Self {
        if everything {
            Self::Everything
        } else {
            Self::Nothing
        }
    }
}
