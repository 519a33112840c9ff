//! A client as a program uses it: calls that block, sends that are repeated until their outcome is
//! definite, and events in a bounded queue.

use std::{
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded};
use protocol::{Call, Reply, Request, v1};

use crate::{
    error::Error,
    link::{Event, Identity},
    retry::{Attempts, Next},
    servers::Servers,
    transport::{Driver, ORDERS_MAX, Order, Sink},
    trust::Trust,
};

/// Events that were not yet taken by the program. While the queue is full nothing is read from the socket.
pub const EVENTS_MAX: usize = 64;
/// One attempt of a request that is repeated.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// The server to connect to, and the identity of this client.
#[derive(Clone, Debug)]
pub struct Options {
    /// `HOST:PORT`, or `tls://HOST:PORT`; several with commas between them, which are tried in turn. See
    /// [`ServerAddress`](crate::ServerAddress).
    pub server: String,
    /// What the certificate of a server with TLS must be.
    pub trust: Trust,
    /// Device id, program and session.
    pub identity: Identity,
}

/// A handle on a connection that keeps itself alive. Clones share the connection; when the last one is
/// dropped it closes. Every method may be called from any thread.
#[derive(Clone, Debug)]
pub struct Client {
    orders: Sender<Order>,
    seed: u64,
}

/// The events of a connection that answer no call, in the order of the wire. A program that does not want them drops
/// the receiver; one that keeps it must take events, because a full queue stops the reading of the socket, and with it
/// the answers to calls.
#[derive(Debug)]
pub struct Events(Receiver<Event>);

impl Events {
    /// The next event; `None` when none came in time, or when the client is gone.
    pub fn recv_timeout(&self, timeout: Duration) -> Option<Event> {
        self.0.recv_timeout(timeout).ok()
    }

    /// The next event; `None` when none came by then, or when the client is gone.
    pub fn recv_deadline(&self, deadline: Instant) -> Option<Event> {
        self.0.recv_deadline(deadline).ok()
    }

    /// The next event, if there is one.
    pub fn try_recv(&self) -> Option<Event> {
        self.0.try_recv().ok()
    }
}

impl Client {
    /// Starts a client. It connects at once when there is a session to resume, else with its first
    /// request, and comes back by itself whenever the connection is lost.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when the servers' addresses make no sense, or the machine gives no thread or no randomness.
    pub fn connect(options: Options) -> Result<(Self, Events), Error> {
        let servers = Servers::parse(&options.server)?;
        let seed = crate::random::seed()?;
        let (orders, order_queue) = bounded(ORDERS_MAX);
        let (event_queue, events) = bounded(EVENTS_MAX);
        Driver::spawn(
            servers,
            options.trust,
            options.identity,
            seed,
            order_queue,
            event_queue,
        )
        .map_err(|error| Error::Unreachable(error.to_string()))?;
        Ok((Self { orders, seed }, Events(events)))
    }

    /// Makes a request and waits for its answer. While no connection stands it waits for the attempt
    /// that is under way or due.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::outcome`] says what may be concluded.
    pub fn call(&self, request: Request, timeout: Duration) -> Result<Reply, Error> {
        self.call_until(request, Instant::now() + timeout)
    }

    /// The same for a request of a known type: the response is of the type that belongs to it.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn ask<C: Call>(&self, request: C, timeout: Duration) -> Result<C::Response, Error> {
        response::<C>(self.call(request.into_request(), timeout)?)
    }

    fn call_until(&self, request: Request, deadline: Instant) -> Result<Reply, Error> {
        let (answer, wait) = bounded(1);
        self.submit(Sink::Caller(answer), request, deadline)?;
        // The link answers at the deadline by itself; the margin is for a machine under load.
        match wait.recv_deadline(deadline + Duration::from_secs(1)) {
            Ok(result) => result,
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => Err(Error::Timeout),
            Err(crossbeam_channel::RecvTimeoutError::Disconnected) => Err(Error::Closed),
        }
    }

    /// Begins a request whose answer comes as [`Event::Reply`] with this tag, in its place among the
    /// other events.
    ///
    /// # Errors
    /// [`Error::Closed`], or [`Error::Timeout`] when there was no room for it.
    pub fn start(&self, tag: u64, request: Request, timeout: Duration) -> Result<(), Error> {
        self.submit(Sink::Events(tag), request, Instant::now() + timeout)
    }

    /// Makes an idempotent request, one that carries a client id or changes nothing, until its outcome is
    /// definite or `timeout` has passed. Each attempt is the same request.
    ///
    /// # Errors
    /// A definite refusal, or the last attempt's error when time is over: then the outcome may be unknown,
    /// and repeating it later under the same client id finds out.
    pub fn call_until_definite(&self, request: Request, timeout: Duration) -> Result<Reply, Error> {
        let mut attempts = Attempts::new(Instant::now() + timeout, self.seed ^ clock_noise());
        let mut telling = None;
        loop {
            let deadline = attempts.deadline().min(Instant::now() + ATTEMPT_TIMEOUT);
            let error = match self.call_until(request.clone(), deadline) {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let now = Instant::now();
            match attempts.after(error.clone(), now) {
                Next::At(at) => thread::sleep(at.saturating_duration_since(now)),
                // Why it failed before says more than that time is over now.
                Next::GiveUp(Error::Timeout) => return Err(telling.unwrap_or(Error::Timeout)),
                Next::GiveUp(error) => return Err(error),
            }
            telling = Some(error);
        }
    }

    /// The same for a request of a known type.
    ///
    /// # Errors
    /// As [`call_until_definite`](Self::call_until_definite).
    pub fn ask_until_definite<C: Call>(&self, request: C, timeout: Duration) -> Result<C::Response, Error> {
        response::<C>(self.call_until_definite(request.into_request(), timeout)?)
    }

    /// Sends a message: exactly one log entry for its client id, however often the connection breaks.
    ///
    /// # Errors
    /// As [`call_until_definite`](Self::call_until_definite).
    pub fn send(&self, request: v1::SendRequest, timeout: Duration) -> Result<v1::SendResponse, Error> {
        self.ask_until_definite(request, timeout)
    }

    /// Creates an account and logs in. Not repeated: after a lost connection log in instead.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn register(&self, request: v1::RegisterRequest, timeout: Duration) -> Result<v1::Session, Error> {
        self.ask(request, timeout)
    }

    /// Logs in.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn login(&self, request: v1::LoginRequest, timeout: Duration) -> Result<v1::Session, Error> {
        self.ask(request, timeout)
    }

    /// Closes the connection and starts a new one, because the server contradicted itself on it.
    pub fn reconnect(&self, reason: &str) {
        // A client that is closing needs no reconnect.
        let _ = self.orders.send(Order::Reconnect(reason.to_owned()));
    }

    pub(crate) const fn seed(&self) -> u64 {
        self.seed
    }

    fn submit(&self, sink: Sink, request: Request, deadline: Instant) -> Result<(), Error> {
        let order = Order::Submit {
            sink,
            request: Box::new(request),
            deadline,
        };
        self.orders
            .send_deadline(order, deadline)
            .map_err(|error| match error {
                crossbeam_channel::SendTimeoutError::Timeout(_) => Error::Timeout,
                crossbeam_channel::SendTimeoutError::Disconnected(_) => Error::Closed,
            })
    }
}

/// An answer of another command than the request's: the link refuses those, so this is never seen.
fn response<C: Call>(reply: Reply) -> Result<C::Response, Error> {
    C::response(reply)
        .map_err(|reply| Error::Protocol(format!("an unexpected answer: {}", reply.command().name())))
}

/// A part of the seed of each call's back-off, so that the calls of one client do not repeat in step.
fn clock_noise() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| u64::from(since.subsec_nanos()))
}
