//! A scripted world in the place of mio: edge-triggered, in virtual time, in one thread. An event comes once
//! per change and never again. It owns the sockets and the clock of a simulation, and must never decide what happens.

use super::io::{Io, Readiness};
use crate::address::Address;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What the test and the reactor share.
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) sockets: Vec<Socket>,
    /// Sockets and errors that `accept` gives.
    pub(crate) backlog: VecDeque<std::result::Result<usize, i32>>,
    pub(crate) events: Vec<Readiness>,
    pub(crate) timeouts: Vec<Duration>,
    pub(crate) listener_token: Option<u64>,
    pub(crate) spare: bool,
    /// `accept` fails for want of descriptors, unless the spare one has been given up.
    pub(crate) exhausted: bool,
    pub(crate) turned_away: usize,
    pub(crate) accepts: usize,
    /// Where connections were begun to.
    pub(crate) connects: Vec<Address>,
    /// The next connection fails at once.
    pub(crate) connect_error: Option<ErrorKind>,
}

#[derive(Default)]
pub(crate) struct Socket {
    pub(crate) incoming: VecDeque<u8>,
    pub(crate) ended: bool,
    pub(crate) reset: bool,
    pub(crate) written: Vec<u8>,
    pub(crate) write_room: usize,
    pub(crate) token: Option<u64>,
    pub(crate) closed: bool,
    pub(crate) cut_off: bool,
    pub(crate) shut_down: bool,
    /// A connection that the reactor makes, and that is not made yet.
    pub(crate) unconnected: bool,
    /// A connection that the reactor makes or made.
    pub(crate) outbound: bool,
    pub(crate) accepted: bool,
    pub(crate) reads: usize,
    pub(crate) writes: usize,
}

impl World {
    pub(crate) fn new() -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self {
            now: Instant::now(),
            sockets: Vec::new(),
            backlog: VecDeque::new(),
            events: Vec::new(),
            timeouts: Vec::new(),
            listener_token: None,
            spare: false,
            exhausted: false,
            turned_away: 0,
            accepts: 0,
            connects: Vec::new(),
            connect_error: None,
        }))
    }

    /// A peer connects and waits to be accepted.
    pub(crate) fn connect(&mut self) -> usize {
        let socket = self.sockets.len();
        self.sockets.push(Socket {
            write_room: usize::MAX,
            ..Socket::default()
        });
        self.backlog.push_back(Ok(socket));
        self.announce_listener();
        socket
    }

    pub(crate) fn announce_listener(&mut self) {
        if let Some(token) = self.listener_token {
            self.events.push(Readiness {
                token,
                readable: true,
                writable: false,
                end: false,
                broken: false,
            });
        }
    }

    pub(crate) fn feed(&mut self, socket: usize, bytes: &[u8]) {
        self.sockets[socket].incoming.extend(bytes);
        self.announce(socket, true, false, false);
    }

    pub(crate) fn end(&mut self, socket: usize) {
        self.sockets[socket].ended = true;
        self.announce(socket, true, false, true);
    }

    pub(crate) fn make_room(&mut self, socket: usize, bytes: usize) {
        self.sockets[socket].write_room = bytes;
        self.announce(socket, false, true, false);
    }

    pub(crate) fn announce(&mut self, socket: usize, readable: bool, writable: bool, end: bool) {
        let Socket { token, closed, .. } = self.sockets[socket];
        if let (Some(token), false) = (token, closed) {
            self.events.push(Readiness {
                token,
                readable,
                writable,
                end,
                broken: false,
            });
        }
    }

    /// The peer is gone for good, which the system says without being asked.
    pub(crate) fn break_off(&mut self, socket: usize) {
        self.sockets[socket].reset = true;
        self.announce(socket, true, true, true);
        if let Some(event) = self.events.last_mut() {
            event.broken = true;
        }
    }

    /// Whether the reactor gave it up. One that it did not want was never opened.
    #[cfg(feature = "testing")]
    pub(crate) fn is_closed(&self, socket: usize) -> bool {
        let Socket {
            closed,
            accepted,
            token,
            ..
        } = self.sockets[socket];
        closed || accepted && token.is_none()
    }

    /// Where a connection was begun to, and its socket.
    #[cfg(feature = "testing")]
    pub(crate) fn connect_of(&self, number: usize) -> Option<(Address, usize)> {
        let to = self.connects.get(number)?;
        let made = self
            .sockets
            .iter()
            .enumerate()
            .filter(|(_, socket)| socket.outbound);
        made.map(|(socket, _)| (to.clone(), socket)).nth(number)
    }

    /// How long the loop wanted to sleep the last time.
    pub(crate) fn sleep(&self) -> Option<Duration> {
        self.timeouts.last().copied()
    }

    pub(crate) fn pass(&mut self, span: Duration) {
        self.now += span;
    }
}

pub(crate) struct ScriptedIo(pub(crate) Rc<RefCell<World>>);

impl Io for ScriptedIo {
    type Stream = usize;
    type Listener = ();

    const SHORT_TRANSFER_MEANS_BLOCKED: bool = true;

    fn now(&mut self) -> Instant {
        self.0.borrow().now
    }

    fn wait(&mut self, timeout: Duration, ready: &mut Vec<Readiness>) -> Result<()> {
        let mut world = self.0.borrow_mut();
        world.timeouts.push(timeout);
        ready.append(&mut world.events);
        Ok(())
    }

    fn listen(&mut self, (): &mut (), token: u64) -> Result<()> {
        self.0.borrow_mut().listener_token = Some(token);
        Ok(())
    }

    fn unlisten(&mut self, (): ()) {
        self.0.borrow_mut().listener_token = None;
    }

    fn accept(&mut self, (): &mut ()) -> Result<(usize, Address)> {
        let mut world = self.0.borrow_mut();
        world.accepts += 1;
        let Some(next) = world.backlog.front().copied() else {
            return Err(ErrorKind::WouldBlock.into());
        };
        if world.exhausted && world.spare {
            return Err(Error::from_raw_os_error(24));
        }
        world.backlog.pop_front();
        if let Ok(socket) = next {
            world.sockets[socket].accepted = true;
        }
        if world.exhausted {
            world.turned_away += 1;
        }
        let address = |socket: usize| Address::Ip(SocketAddr::from(([127, 0, 0, 1], 1000 + socket as u16)));
        next.map(|socket| (socket, address(socket)))
            .map_err(Error::from_raw_os_error)
    }

    fn connect(&mut self, to: &Address) -> Result<usize> {
        let mut world = self.0.borrow_mut();
        world.connects.push(to.clone());
        if let Some(error) = world.connect_error.take() {
            return Err(error.into());
        }
        let socket = world.sockets.len();
        world.sockets.push(Socket {
            write_room: usize::MAX,
            unconnected: true,
            outbound: true,
            ..Socket::default()
        });
        Ok(socket)
    }

    fn is_connected(&mut self, stream: &mut usize) -> Result<bool> {
        let socket = &mut self.0.borrow_mut().sockets[*stream];
        if socket.reset {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        Ok(!socket.unconnected)
    }

    fn release_spare(&mut self) {
        self.0.borrow_mut().spare = false;
    }

    fn take_spare(&mut self) {
        self.0.borrow_mut().spare = true;
    }

    fn open(&mut self, stream: &mut usize, token: u64) -> Result<()> {
        let mut world = self.0.borrow_mut();
        world.sockets[*stream].token = Some(token);
        // What is there already is announced at registration.
        let Socket {
            ref incoming, ended, ..
        } = world.sockets[*stream];
        let readable = !incoming.is_empty() || ended;
        let writable = !world.sockets[*stream].unconnected;
        world.announce(*stream, readable, writable, ended);
        Ok(())
    }

    fn close(&mut self, stream: usize, cut_off: bool) {
        let mut world = self.0.borrow_mut();
        world.sockets[stream].closed = true;
        world.sockets[stream].cut_off = cut_off;
    }

    fn read(&mut self, stream: &mut usize, buffer: &mut [u8]) -> Result<usize> {
        let mut world = self.0.borrow_mut();
        let socket = &mut world.sockets[*stream];
        socket.reads += 1;
        if socket.reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if socket.incoming.is_empty() {
            return if socket.ended {
                Ok(0)
            } else {
                Err(ErrorKind::WouldBlock.into())
            };
        }
        let count = buffer.len().min(socket.incoming.len());
        for (place, byte) in buffer.iter_mut().zip(socket.incoming.drain(..count)) {
            *place = byte;
        }
        Ok(count)
    }

    fn write(&mut self, stream: &mut usize, slices: &[IoSlice<'_>]) -> Result<usize> {
        let mut world = self.0.borrow_mut();
        let socket = &mut world.sockets[*stream];
        socket.writes += 1;
        assert!(!slices.is_empty() && !socket.shut_down && !socket.closed);
        if socket.write_room == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut written = 0;
        for slice in slices {
            let part = slice.len().min(socket.write_room);
            socket.written.extend_from_slice(&slice[..part]);
            socket.write_room -= if socket.write_room == usize::MAX { 0 } else { part };
            written += part;
        }
        Ok(written)
    }

    fn shut_down(&mut self, stream: &mut usize) -> Result<()> {
        self.0.borrow_mut().sockets[*stream].shut_down = true;
        Ok(())
    }
}
