//! The connections to Redis: few, with time-outs, behind a breaker. Whatever goes wrong, the caller gets `None`.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use redis::io::tcp::TcpSettings;
use redis::io::tcp::socket2::TcpKeepalive;
use redis::{Client, Connection, RedisError, RedisResult};

use super::settings::{RemoteSettings, UrlError};
use crate::breaker::{Breaker, BreakerState, Permission};

/// A peer that vanished without a word is noticed after about so long, on connections that only wait.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Whether a call may be made twice.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Repeatable {
    Yes,
    No,
}

/// How the connections and the breaker are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LinkStatus {
    /// Whether Redis is asked.
    pub breaker: BreakerState,
    /// Connections that a call uses now.
    pub in_use: usize,
    /// Connections that wait for one.
    pub idle: usize,
    /// Calls so far, those that were not made included.
    pub calls: u64,
    /// Calls without an answer, for whatever reason.
    pub unanswered: u64,
}

pub(super) struct Link {
    client: Client,
    connect_timeout: Duration,
    read_timeout: Duration,
    write_timeout: Duration,
    connections_max: usize,
    connections: Mutex<Connections>,
    returned: Condvar,
    breaker: Mutex<Breaker>,
    calls: AtomicU64,
    unanswered: AtomicU64,
}

#[derive(Default)]
struct Connections {
    idle: Vec<Connection>,
    in_use: usize,
}

/// The right to one connection. Given back with it, or without one that is broken.
struct Place<'a> {
    link: &'a Link,
    connection: Option<Connection>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut connections = self.link.connections.lock();
        connections.in_use -= 1;
        connections.idle.extend(self.connection.take());
        drop(connections);
        self.link.returned.notify_one();
    }
}

impl fmt::Debug for Link {
    /// Without the client, which knows the password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Link").field(&self.status()).finish()
    }
}

impl Link {
    pub(super) fn new(settings: &RemoteSettings, now: Instant) -> Result<Self, UrlError> {
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(TcpKeepalive::new().with_time(KEEPALIVE));
        let info = settings.info()?.set_tcp_settings(tcp);
        Ok(Self {
            client: Client::open(info).map_err(|_| UrlError)?,
            connect_timeout: settings.connect_timeout,
            read_timeout: settings.read_timeout,
            write_timeout: settings.write_timeout,
            connections_max: settings.connections_max.max(1),
            connections: Mutex::default(),
            returned: Condvar::new(),
            breaker: Mutex::new(Breaker::new(settings.breaker, now)),
            calls: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
        })
    }

    pub(super) fn status(&self) -> LinkStatus {
        let connections = self.connections.lock();
        LinkStatus {
            breaker: self.breaker.lock().state(),
            in_use: connections.in_use,
            idle: connections.idle.len(),
            calls: self.calls.load(Ordering::Relaxed),
            unanswered: self.unanswered.load(Ordering::Relaxed),
        }
    }

    /// Asks Redis. `None`: no answer, or one that is an error.
    pub(super) fn call<T>(
        &self,
        now: Instant,
        repeatable: Repeatable,
        ask: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Option<T> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let answer = self.try_call(now, repeatable, ask);
        if answer.is_none() {
            self.unanswered.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    fn try_call<T>(
        &self,
        now: Instant,
        repeatable: Repeatable,
        ask: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Option<T> {
        // First the place: a permission that is not used would have to be given back.
        let place = self.place()?;
        if self.breaker.lock().allow(now, random()) != Permission::Allowed {
            return None;
        }
        let began = Instant::now();
        let answer = self.attempt(place, repeatable, ask);
        let reached = answer
            .as_ref()
            .map_or_else(|error| !shows_failure(error), |_| true);
        self.report(now + began.elapsed(), reached, answer.as_ref().err());
        answer.ok()
    }

    fn attempt<T>(
        &self,
        mut place: Place<'_>,
        repeatable: Repeatable,
        mut ask: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> RedisResult<T> {
        if let Some(mut connection) = place.connection.take() {
            let answer = ask(&mut connection);
            // It may have been closed while it was idle: that says nothing about the server.
            let closed = answer.as_ref().is_err_and(RedisError::is_connection_dropped);
            if !closed || repeatable == Repeatable::No {
                keep(&mut place, connection, &answer);
                return answer;
            }
            // Those that were idle as long are most likely closed as well.
            self.connections.lock().idle.clear();
        }
        let mut connection = self.connect()?;
        connection.set_read_timeout(Some(self.read_timeout))?;
        let answer = ask(&mut connection);
        keep(&mut place, connection, &answer);
        answer
    }

    /// A connection of its own, logged in, that waits without end for answers.
    pub(super) fn connect(&self) -> RedisResult<Connection> {
        let connection = self.client.get_connection_with_timeout(self.connect_timeout)?;
        connection.set_write_timeout(Some(self.write_timeout))?;
        Ok(connection)
    }

    /// Waits for one as long as for an answer.
    fn place(&self) -> Option<Place<'_>> {
        let mut connections = self.connections.lock();
        let full = |connections: &mut Connections| connections.in_use >= self.connections_max;
        self.returned
            .wait_while_for(&mut connections, full, self.read_timeout);
        if full(&mut connections) {
            return None;
        }
        connections.in_use += 1;
        let connection = connections.idle.pop();
        Some(Place {
            link: self,
            connection,
        })
    }

    fn report(&self, now: Instant, reached: bool, error: Option<&RedisError>) {
        let mut breaker = self.breaker.lock();
        let before = breaker.state();
        breaker.record(now, reached);
        let after = breaker.state();
        drop(breaker);
        // Once each time, and never more than the kind: a message can hold what was sent.
        match (before, after) {
            (BreakerState::Closed, BreakerState::Open) => log::warn!(
                "Redis does not answer ({:?}); doing without it",
                error.map(RedisError::kind)
            ),
            (BreakerState::HalfOpen, BreakerState::Recovering) => log::info!("Redis answers again"),
            _ => {}
        }
    }
}

/// A connection is used again only after an answer: after a time-out that answer is still to come.
fn keep<T>(place: &mut Place<'_>, connection: Connection, answer: &RedisResult<T>) {
    let answered = answer
        .as_ref()
        .map_or_else(|error| !shows_failure(error), |_| true);
    place.connection = answered.then_some(connection);
}

/// Whether the error shows that Redis cannot be relied upon just now. An answer that refuses does not: while its
/// memory is full, for example, it still answers questions.
fn shows_failure(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_connection_dropped()
        || error.is_unrecoverable_error()
        || matches!(
            error.code(),
            Some("LOADING" | "MASTERDOWN" | "READONLY" | "NOAUTH" | "WRONGPASS")
        )
}

/// A random number. Without the system's source, the middle one.
pub(super) fn random() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}

/// Another.
pub(super) fn random_long() -> u64 {
    u64::from(random()) << 32 | u64::from(random())
}
