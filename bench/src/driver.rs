//! The event loop of the load: all connections of this process on one thread.
//!
//! It owns sockets, readiness and the clock, and hands what is heard to a [`Handler`]. Whatever is queued
//! during a turn is written at its end, once per connection. It must never decide what is sent or when.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use mio::{Events, Poll, Token};

use crate::{
    BenchError,
    connection::{Connection, Got},
    dialect::{Dialect, Event, Target},
    timer::Timer,
};

/// Bytes asked of a socket at once.
const READ_BYTES: usize = 64 * 1024;
/// Reads of one connection before the others have their turn.
const READS_PER_TURN_MAX: usize = 8;
/// Connections that are ready in one turn, at most.
const EVENTS_MAX: usize = 1024;
/// How often readers that were made slow are looked at.
const SLOW_LOOK_NS: u64 = 50_000_000;
/// Connections that log in at once before anything is measured.
const LOGINS_AT_ONCE: usize = 128;
/// How long logging in may make no progress.
const LOGIN_STALL: Duration = Duration::from_secs(30);

const TIMER: Token = Token(usize::MAX - 1);

/// What the load makes of what it hears.
pub(crate) trait Handler {
    /// A connection heard something at `now_ns`.
    ///
    /// # Errors
    /// The run cannot go on.
    fn event(&mut self, now_ns: u64, connection: usize, event: Event<'_>) -> Result<(), BenchError>;

    /// A connection is made; it logs in next.
    fn connected(&mut self, _now_ns: u64, _connection: usize) {}

    /// A connection was closed, or could not be made.
    ///
    /// # Errors
    /// The run cannot go on without it.
    fn lost(&mut self, _now_ns: u64, _connection: usize, reason: &str) -> Result<(), BenchError> {
        Err(BenchError::Other(format!("a connection was lost: {reason}")))
    }
}

/// See the module.
pub(crate) struct Driver {
    poll: Poll,
    events: Events,
    timer: Timer,
    /// What the timer is set to; 0 when it is not.
    armed_ns: u64,
    connections: Vec<Connection>,
    dirty: Vec<usize>,
    unread: Vec<usize>,
    lost: Vec<(usize, String)>,
    buffer: Vec<u8>,
    scratch: BytesMut,
    server: SocketAddr,
    source: Option<IpAddr>,
    reset_on_close: bool,
    began: Instant,
}

impl Driver {
    /// `source`: the address that connections are made from, where it matters.
    pub(crate) fn new(server: SocketAddr, source: Option<IpAddr>) -> Result<Self, BenchError> {
        let poll = Poll::new()?;
        let timer = Timer::new(poll.registry(), TIMER)?;
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            timer,
            armed_ns: 0,
            connections: Vec::new(),
            dirty: Vec::new(),
            unread: Vec::new(),
            lost: Vec::new(),
            buffer: vec![0; READ_BYTES],
            scratch: BytesMut::with_capacity(READ_BYTES),
            server,
            source,
            reset_on_close: false,
            began: Instant::now(),
        })
    }

    /// Nanoseconds since the load began.
    pub(crate) fn now_ns(&self) -> u64 {
        nanoseconds(self.began)
    }

    /// Connections that are opened from now on are reset when they are closed, and leave nothing behind in the
    /// system.
    pub(crate) const fn reset_on_close(&mut self) {
        self.reset_on_close = true;
    }

    /// A connection that is not open yet; they are numbered from 0. `slow`: it reads so many bytes a second.
    pub(crate) fn add(&mut self, dialect: Box<dyn Dialect>, slow: Option<u64>) -> usize {
        self.connections.push(Connection::new(dialect, slow));
        self.connections.len() - 1
    }

    pub(crate) const fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether it may send.
    pub(crate) fn is_ready(&self, connection: usize) -> bool {
        self.connections
            .get(connection)
            .is_some_and(|connection| connection.is_ready)
    }

    pub(crate) fn in_flight_max(&self, connection: usize) -> usize {
        self.connections
            .get(connection)
            .map_or(0, |connection| connection.dialect.in_flight_max())
    }

    /// Starts to connect and to log in.
    pub(crate) fn open(&mut self, connection: usize) -> Result<(), BenchError> {
        let now = self.now_ns();
        if let Some(found) = self.connections.get_mut(connection) {
            let token = Token(connection);
            found.open(
                self.poll.registry(),
                token,
                self.server,
                self.source,
                now,
                self.reset_on_close,
            )?;
            self.mark_dirty(connection);
        }
        Ok(())
    }

    pub(crate) fn close(&mut self, connection: usize) {
        if let Some(connection) = self.connections.get_mut(connection) {
            connection.close(self.poll.registry());
        }
    }

    pub(crate) fn send(&mut self, connection: usize, target: &Target, id: u64, body: &[u8]) {
        if let Some(found) = self.connections.get_mut(connection) {
            found.send(target, id, body);
            self.mark_dirty(connection);
        }
    }

    /// Sends a heartbeat on a connection that is logged in.
    pub(crate) fn ping(&mut self, connection: usize) -> bool {
        let Some(found) = self
            .connections
            .get_mut(connection)
            .filter(|found| found.is_ready)
        else {
            return false;
        };
        found.dialect.ping(&mut found.outgoing);
        self.mark_dirty(connection);
        true
    }

    /// Slow readers read as fast as they can from now on.
    pub(crate) fn lift_throttles(&mut self) {
        for connection in &mut self.connections {
            connection.throttle = None;
        }
    }

    /// Opens these connections, a few at a time, and returns when all of them are logged in.
    ///
    /// # Errors
    /// One was refused or lost, or none made progress for a while.
    pub(crate) fn open_all(
        &mut self,
        connections: impl IntoIterator<Item = usize>,
        handler: &mut dyn Handler,
    ) -> Result<(), BenchError> {
        let mut waiting = connections.into_iter();
        let mut opened: Vec<usize> = Vec::new();
        let mut last_progress = Instant::now();
        loop {
            let before = opened.len();
            opened.retain(|connection| !self.is_ready(*connection));
            while opened.len() < LOGINS_AT_ONCE
                && let Some(connection) = waiting.next()
            {
                self.open(connection)?;
                opened.push(connection);
            }
            if opened.is_empty() {
                return Ok(());
            }
            if opened.len() != before {
                last_progress = Instant::now();
            } else if last_progress.elapsed() > LOGIN_STALL {
                return Err(BenchError::Other(format!(
                    "{} connections are not logged in after {LOGIN_STALL:?}",
                    opened.len()
                )));
            }
            self.turn(self.now_ns() + 100_000_000, handler)?;
        }
    }

    /// Writes what was queued, waits until something can be read or until `until_ns`, and hands out what was
    /// heard.
    ///
    /// # Errors
    /// The handler gave up, or what came makes no sense.
    pub(crate) fn turn(&mut self, until_ns: u64, handler: &mut dyn Handler) -> Result<(), BenchError> {
        self.flush();
        self.wait(until_ns)?;
        // Taken out, so that connections can be handled while they are gone through.
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            let index = event.token().0;
            if event.is_writable()
                && let Some(connection) = self.connections.get_mut(index)
            {
                match connection.handle_writable() {
                    Err(error) => self.lose(index, &error),
                    Ok(is_new) => {
                        if !connection.outgoing.is_empty() {
                            self.mark_dirty(index);
                        }
                        if is_new {
                            handler.connected(self.now_ns(), index);
                        }
                    }
                }
            }
            if event.is_readable() {
                self.read(index, event.is_read_closed() || event.is_error(), handler)?;
            }
        }
        self.events = events;
        for index in std::mem::take(&mut self.unread) {
            if let Some(connection) = self.connections.get_mut(index) {
                connection.is_unread = false;
                self.read(index, true, handler)?;
            }
        }
        while let Some((index, reason)) = self.lost.pop() {
            handler.lost(self.now_ns(), index, &reason)?;
        }
        Ok(())
    }

    fn flush(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for index in dirty.drain(..) {
            let Some(connection) = self.connections.get_mut(index) else {
                continue;
            };
            connection.is_dirty = false;
            if let Err(error) = connection.flush() {
                self.lose(index, &error);
            }
        }
        // Its room is used again.
        self.dirty = dirty;
    }

    fn wait(&mut self, until_ns: u64) -> Result<(), BenchError> {
        let mut until_ns = until_ns;
        if !self.lost.is_empty() {
            until_ns = 0;
        }
        let throttled = |index: &usize| {
            self.connections
                .get(*index)
                .is_some_and(|connection| connection.throttle.is_some())
        };
        let now = self.now_ns();
        if !self.unread.is_empty() {
            let all = self.unread.iter().all(throttled);
            until_ns = until_ns.min(if all { now + SLOW_LOOK_NS } else { 0 });
        }
        let wait = Duration::from_nanos(until_ns.saturating_sub(now));
        if !wait.is_zero() && self.armed_ns != until_ns {
            self.timer.set(wait)?;
            self.armed_ns = until_ns;
        }
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Ok(()),
            result => Ok(result?),
        }
    }

    fn read(&mut self, index: usize, to_end: bool, handler: &mut dyn Handler) -> Result<(), BenchError> {
        for _ in 0..READS_PER_TURN_MAX {
            let now = self.now_ns();
            let Some(connection) = self.connections.get_mut(index) else {
                return Ok(());
            };
            let mut want = self.buffer.len();
            if let Some(throttle) = &mut connection.throttle {
                want = want.min(throttle.allowance(now));
            }
            if want == 0 {
                self.mark_unread(index);
                return Ok(());
            }
            let read = match connection.read(self.buffer.get_mut(..want).unwrap_or_default()) {
                Ok(Got::Bytes(read)) => read,
                Ok(Got::Nothing) => return Ok(()),
                Err(error) => {
                    self.lose(index, &error);
                    return Ok(());
                }
            };
            if let Some(throttle) = &mut connection.throttle {
                throttle.read(read);
            }
            let bytes = self.buffer.get(..read).unwrap_or_default();
            let heard = hear(connection, &mut self.scratch, bytes, &mut |event| {
                handler.event(now, index, event)
            });
            let is_dirty = !connection.outgoing.is_empty();
            if is_dirty {
                self.mark_dirty(index);
            }
            heard?;
            // Less than was asked for means that there was no more, unless the end stands behind it.
            if read < want && !to_end {
                return Ok(());
            }
        }
        self.mark_unread(index);
        Ok(())
    }

    fn mark_dirty(&mut self, index: usize) {
        if let Some(connection) = self.connections.get_mut(index).filter(|found| !found.is_dirty) {
            connection.is_dirty = true;
            self.dirty.push(index);
        }
    }

    fn mark_unread(&mut self, index: usize) {
        if let Some(connection) = self.connections.get_mut(index).filter(|found| !found.is_unread) {
            connection.is_unread = true;
            self.unread.push(index);
        }
    }

    fn lose(&mut self, index: usize, error: &std::io::Error) {
        let Some(connection) = self.connections.get_mut(index).filter(|found| found.is_open()) else {
            return;
        };
        connection.close(self.poll.registry());
        let reason = match error.kind() {
            std::io::ErrorKind::UnexpectedEof => "the server closed it".to_owned(),
            _ => error.to_string(),
        };
        self.lost.push((index, reason));
    }
}

/// Gives the dialect what came. Most of the time that is whole frames, and then nothing is kept for the
/// connection.
fn hear(
    connection: &mut Connection,
    scratch: &mut BytesMut,
    bytes: &[u8],
    handler: &mut dyn FnMut(Event<'_>) -> Result<(), BenchError>,
) -> Result<(), BenchError> {
    let Connection {
        dialect,
        incoming,
        outgoing,
        is_ready,
        ..
    } = connection;
    let mut failed = None;
    let mut note = |event: Event<'_>| {
        *is_ready |= matches!(event, Event::Ready);
        if failed.is_none() {
            failed = handler(event).err();
        }
    };
    if incoming.is_empty() {
        scratch.clear();
        scratch.extend_from_slice(bytes);
        dialect.receive(scratch, outgoing, &mut note)?;
        incoming.extend_from_slice(scratch);
    } else {
        incoming.extend_from_slice(bytes);
        dialect.receive(incoming, outgoing, &mut note)?;
        if incoming.is_empty() {
            *incoming = BytesMut::new();
        }
    }
    failed.map_or(Ok(()), Err)
}

fn nanoseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
