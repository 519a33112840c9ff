//! Drives the relay with sockets: all reads of a round, one commit, all writes. It must never write what is not
//! committed, and decides nothing else.

use crate::relay::{Broken, Relay};
use crate::store::Store;
use crate::wire::{BODY_BYTES_MAX, HEADER_BYTES};
use bench_netcore::poller::{self, Events, Poller};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// What one read takes beyond a frame that is incomplete.
const READ_BYTES: usize = 256 * 1024;

/// The token of the listening socket. Connections have their place in the list.
const LISTENER: u64 = u64::MAX;

/// A connection's socket and what is half read.
#[derive(Debug)]
struct Socket {
    stream: OwnedFd,
    /// There may be something to read: edge-triggered events come once.
    readable: bool,
    /// The beginning of a frame whose end has not come.
    partial: Vec<u8>,
    /// The kernel did not take everything. Nothing is read until it does.
    blocked: bool,
    /// It is in the list of those that have more to read than one round takes.
    again: bool,
}

/// The relay on its port.
#[derive(Debug)]
pub(crate) struct Server {
    poller: Poller,
    listener: OwnedFd,
    relay: Relay,
    sockets: Vec<Option<Socket>>,
    free: Vec<usize>,
    /// Places with more to read than one round takes.
    again: Vec<usize>,
    buffer: Vec<u8>,
}

impl Server {
    /// Listens.
    pub(crate) fn start(address: SocketAddr, store: Store) -> io::Result<Self> {
        let poller = Poller::new()?;
        let listener = poller::listen(address)?;
        poller.add_listener(&listener, LISTENER)?;
        poller::raise_descriptor_limit()?;
        Ok(Self {
            poller,
            listener,
            relay: Relay::new(store),
            sockets: Vec::new(),
            free: Vec::new(),
            again: Vec::new(),
            buffer: vec![0; READ_BYTES + HEADER_BYTES + BODY_BYTES_MAX],
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        poller::local_address(&self.listener)
    }

    /// Serves until the store or the poller fails.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        let mut events = Events::new();
        let (mut places, mut unread, mut blocked) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let wait = (!self.again.is_empty()).then_some(Duration::ZERO);
            self.poller.wait(&mut events, wait)?;
            for ready in events.iter() {
                if ready.token == LISTENER {
                    self.accept()?;
                    continue;
                }
                // An event names each connection once, so its place cannot have a new owner yet.
                let place = ready.token as usize;
                if let Some(Some(socket)) = self.sockets.get_mut(place) {
                    socket.readable |= ready.readable;
                    if socket.blocked {
                        // Behind what is committed there may be what is not yet.
                        blocked.push(place);
                    }
                }
                self.read(place, ready.ended)?;
            }
            std::mem::swap(&mut unread, &mut self.again);
            for place in unread.drain(..) {
                if let Some(Some(socket)) = self.sockets.get_mut(place) {
                    socket.again = false;
                }
                self.read(place, false)?;
            }
            self.relay.commit(&mut places)?;
            for place in places.drain(..).chain(blocked.drain(..)) {
                self.write(place);
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        while let Some(stream) = poller::accept(&self.listener)? {
            let place = self.free.pop().unwrap_or(self.sockets.len());
            self.poller.add_connection(&stream, place as u64)?;
            let socket = Some(Socket {
                stream,
                readable: false,
                partial: Vec::new(),
                blocked: false,
                again: false,
            });
            match self.sockets.get_mut(place) {
                Some(free) => *free = socket,
                None => self.sockets.push(socket),
            }
            self.relay.connected(place);
        }
        Ok(())
    }

    /// Reads once; whoever has more is read from in the next round, so that none holds up the flush.
    fn read(&mut self, place: usize, ended: bool) -> io::Result<()> {
        let Some(Some(socket)) = self.sockets.get_mut(place) else {
            return Ok(());
        };
        if !socket.readable || socket.blocked {
            return Ok(());
        }
        match socket.receive(&mut self.relay, place, &mut self.buffer, ended) {
            Ok(()) => {
                if socket.readable && !socket.again {
                    socket.again = true;
                    self.again.push(place);
                }
                Ok(())
            }
            Err(Broken::Connection) => {
                self.close(place);
                Ok(())
            }
            Err(Broken::Store(error)) => Err(error),
        }
    }

    /// Writes once what is committed for `place`.
    fn write(&mut self, place: usize) {
        let (Some(Some(socket)), Some(peer)) = (self.sockets.get_mut(place), self.relay.peer(place)) else {
            return;
        };
        if peer.given_up {
            return self.close(place);
        }
        if peer.out.is_empty() {
            return;
        }
        match poller::send(&socket.stream, &peer.out) {
            Ok(sent) => {
                peer.out.drain(..sent);
                socket.blocked = !peer.out.is_empty();
                if !socket.blocked && socket.readable && !socket.again {
                    socket.again = true;
                    self.again.push(place);
                }
            }
            Err(_) => self.close(place),
        }
    }

    fn close(&mut self, place: usize) {
        self.relay.disconnected(place);
        if let Some(socket) = self.sockets.get_mut(place)
            && socket.take().is_some()
        {
            self.free.push(place);
        }
    }
}

impl Socket {
    fn receive(
        &mut self,
        relay: &mut Relay,
        place: usize,
        buffer: &mut [u8],
        ended: bool,
    ) -> Result<(), Broken> {
        let held = self.partial.len();
        let Some((front, room)) = buffer.split_at_mut_checked(held) else {
            return Err(Broken::Connection);
        };
        front.copy_from_slice(&self.partial);
        let room_bytes = room.len();
        let received = match poller::receive(&self.stream, room) {
            Ok(Some(0)) | Err(_) => return Err(Broken::Connection),
            Ok(Some(received)) => received,
            Ok(None) => {
                self.readable = false;
                return Ok(());
            }
        };
        // A short read has emptied the socket, unless the end is there, which is announced only once.
        self.readable = ended || received == room_bytes;
        let bytes = buffer.get(..held + received).unwrap_or_default();
        let used = relay.receive(place, bytes)?;
        self.partial.clear();
        self.partial
            .extend_from_slice(bytes.get(used..).unwrap_or_default());
        Ok(())
    }
}
