//! Owns the seam between the reactor and the operating system. Only this file imports mio. Must never decide
//! anything: it waits, accepts, reads and writes as told.
//!
//! The reactor is generic over [`Io`], so that a scripted or simulated world can take the place of mio.

use crate::limits::EVENTS_MAX;
use mio::event::Source;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

/// What the operating system said about a source. Everything in it is a hint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Readiness {
    pub(crate) token: u64,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The peer has finished sending, or the connection is broken.
    pub(crate) end: bool,
}

/// Sockets, waiting, and the time.
pub(crate) trait Io: 'static {
    type Stream: Send + 'static;
    type Listener: Send + 'static;

    /// A read or write that moves fewer bytes than it could has reached the end of what is possible, and the
    /// next event will come.
    const SHORT_TRANSFER_MEANS_BLOCKED: bool;

    fn now(&mut self) -> Instant;
    fn wait(&mut self, timeout: Duration, ready: &mut Vec<Readiness>) -> io::Result<()>;
    fn listen(&mut self, listener: &mut Self::Listener, token: u64) -> io::Result<()>;
    fn unlisten(&mut self, listener: Self::Listener);
    fn accept(&mut self, listener: &mut Self::Listener) -> io::Result<(Self::Stream, SocketAddr)>;
    /// Gives up the spare descriptor, so that one connection can be accepted when there are no others.
    fn release_spare(&mut self);
    /// Takes a spare descriptor again if there is one.
    fn take_spare(&mut self);
    fn open(&mut self, stream: &mut Self::Stream, token: u64) -> io::Result<()>;
    fn close(&mut self, stream: Self::Stream);
    fn read(&mut self, stream: &mut Self::Stream, buffer: &mut [u8]) -> io::Result<usize>;
    fn write(&mut self, stream: &mut Self::Stream, slices: &[IoSlice<'_>]) -> io::Result<usize>;
    fn shut_down(&mut self, stream: &mut Self::Stream) -> io::Result<()>;
}

/// The production world.
pub(crate) struct MioIo {
    poll: Poll,
    events: Events,
    spare: Option<std::fs::File>,
}

impl MioIo {
    /// A world, and the one waker it has, which must live as long.
    pub(crate) fn new(waker_token: u64) -> io::Result<(Self, Waker)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), Token(waker_token as usize))?;
        Ok((
            Self {
                poll,
                events: Events::with_capacity(EVENTS_MAX),
                spare: None,
            },
            waker,
        ))
    }

    fn register(&self, source: &mut impl Source, token: u64, interest: Interest) -> io::Result<()> {
        self.poll
            .registry()
            .register(source, Token(token as usize), interest)
    }
}

impl Io for MioIo {
    type Stream = TcpStream;
    type Listener = TcpListener;

    // Under epoll and kqueue the kernel's readiness is edge-triggered itself; emulations are not exact.
    const SHORT_TRANSFER_MEANS_BLOCKED: bool = cfg!(any(
        target_os = "linux",
        target_os = "android",
        target_os = "macos",
        target_os = "ios",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd",
        target_os = "dragonfly"
    ));

    fn now(&mut self) -> Instant {
        Instant::now()
    }

    fn wait(&mut self, timeout: Duration, ready: &mut Vec<Readiness>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            // After an interruption the events are those of an earlier call.
            Err(_) => self.events.clear(),
            Ok(()) => {}
        }
        ready.extend(self.events.iter().map(|event| Readiness {
            token: event.token().0 as u64,
            readable: event.is_readable() || event.is_error(),
            writable: event.is_writable() || event.is_error(),
            end: event.is_read_closed() || event.is_error(),
        }));
        Ok(())
    }

    fn listen(&mut self, listener: &mut TcpListener, token: u64) -> io::Result<()> {
        self.register(listener, token, Interest::READABLE)
    }

    fn unlisten(&mut self, mut listener: TcpListener) {
        // Closing it would do, were it not for copies of the descriptor in other processes.
        let _ = self.poll.registry().deregister(&mut listener);
    }

    fn accept(&mut self, listener: &mut TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, address) = listener.accept()?;
        // Linux inherits the option from the listener, which saves a call per connection.
        if !cfg!(target_os = "linux") {
            let _ = stream.set_nodelay(true);
        }
        Ok((stream, address))
    }

    fn release_spare(&mut self) {
        self.spare = None;
    }

    fn take_spare(&mut self) {
        if cfg!(unix) && self.spare.is_none() {
            self.spare = std::fs::File::open("/dev/null").ok();
        }
    }

    fn open(&mut self, stream: &mut TcpStream, token: u64) -> io::Result<()> {
        self.register(stream, token, Interest::READABLE | Interest::WRITABLE)
    }

    fn close(&mut self, mut stream: TcpStream) {
        let _ = self.poll.registry().deregister(&mut stream);
    }

    fn read(&mut self, stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        stream.read(buffer)
    }

    fn write(&mut self, stream: &mut TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            [slice] => stream.write(slice),
            slices => stream.write_vectored(slices),
        }
    }

    fn shut_down(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        stream.shutdown(Shutdown::Write)
    }
}
