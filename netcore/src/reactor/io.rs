//! Owns the seam between the reactor and the operating system. Only this file imports mio. Must never decide
//! anything: it waits, accepts, connects, reads and writes as told.
//!
//! The reactor is generic over [`Io`], so that a scripted or simulated world can take the place of mio.

use crate::address::Address;
use crate::limits::EVENTS_MAX;
use mio::event::Source;
use mio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use mio::net::{UnixListener, UnixStream};
use mio::{Events, Interest, Poll, Token, Waker};
#[cfg(target_os = "linux")]
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::time::{Duration, Instant};

/// The operating system's report about a source. Everything in it is a hint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Readiness {
    pub(crate) token: u64,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The peer has finished sending, or the connection is broken.
    pub(crate) end: bool,
    /// The connection is broken: this field is no hint.
    pub(crate) broken: bool,
}

/// Sockets, waiting, and the time.
pub(crate) trait Io: 'static {
    type Stream: Send + 'static;
    type Listener: Send + 'static;

    /// A read or write that moves fewer bytes than it could has reached the limit of the moment, and the next event
    /// will come.
    const SHORT_TRANSFER_MEANS_BLOCKED: bool;

    fn now(&mut self) -> Instant;
    fn wait(&mut self, timeout: Duration, ready: &mut Vec<Readiness>) -> io::Result<()>;
    fn listen(&mut self, listener: &mut Self::Listener, token: u64) -> io::Result<()>;
    fn unlisten(&mut self, listener: Self::Listener);
    fn accept(&mut self, listener: &mut Self::Listener) -> io::Result<(Self::Stream, Address)>;
    /// Whether the system says that the process at the other end belongs to another user, who is not root.
    fn peer_is_other_user(&self, _: &Self::Stream) -> bool {
        false
    }
    /// Gives up the spare descriptor, so that one connection can be accepted when there are no others.
    fn release_spare(&mut self);
    /// Takes a spare descriptor again if there is one.
    fn take_spare(&mut self);
    /// Begins to connect; a writable event tells that there is a result.
    fn connect(&mut self, to: &Address) -> io::Result<Self::Stream>;
    /// Whether the connection is made; `false` if it is still pending.
    fn is_connected(&mut self, stream: &mut Self::Stream) -> io::Result<bool>;
    fn open(&mut self, stream: &mut Self::Stream, token: u64) -> io::Result<()>;
    /// Closes a socket. A socket with unsent bytes is reset: the peer must not take the part it got for the whole, and
    /// the system must not keep the rest for a peer that does not read.
    fn close(&mut self, stream: Self::Stream, cut_off: bool);
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

/// A connected socket.
pub(crate) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// A listening socket.
pub(crate) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

/// Does the same for any kind of socket.
macro_rules! either {
    ($kind:ident, $value:expr, $socket:ident => $act:expr) => {
        match $value {
            $kind::Tcp($socket) => $act,
            #[cfg(unix)]
            $kind::Unix($socket) => $act,
        }
    };
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
    type Stream = Stream;
    type Listener = Listener;

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
            broken: event.is_error(),
        }));
        Ok(())
    }

    fn listen(&mut self, listener: &mut Listener, token: u64) -> io::Result<()> {
        either!(Listener, listener, socket => self.register(socket, token, Interest::READABLE))
    }

    fn unlisten(&mut self, mut listener: Listener) {
        // Closing would suffice, but other processes may have copies of the descriptor.
        let registry = self.poll.registry();
        let _ = either!(Listener, &mut listener, socket => registry.deregister(socket));
    }

    fn accept(&mut self, listener: &mut Listener) -> io::Result<(Stream, Address)> {
        match listener {
            Listener::Tcp(listener) => {
                let (stream, address) = listener.accept()?;
                // Linux inherits the option from the listener, which saves a call per connection.
                if !cfg!(target_os = "linux") {
                    let _ = stream.set_nodelay(true);
                }
                Ok((Stream::Tcp(stream), Address::Ip(address)))
            }
            #[cfg(unix)]
            Listener::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                Ok((Stream::Unix(stream), Address::Unix(None)))
            }
        }
    }

    #[cfg(target_os = "linux")]
    fn peer_is_other_user(&self, stream: &Stream) -> bool {
        let Stream::Unix(stream) = stream else {
            return false;
        };
        let own = rustix::process::geteuid();
        rustix::net::sockopt::socket_peercred(stream).is_ok_and(|peer| peer.uid != own && !peer.uid.is_root())
    }

    fn release_spare(&mut self) {
        self.spare = None;
    }

    fn take_spare(&mut self) {
        if cfg!(unix) && self.spare.is_none() {
            self.spare = std::fs::File::open("/dev/null").ok();
        }
    }

    fn connect(&mut self, to: &Address) -> io::Result<Stream> {
        match to {
            Address::Ip(address) => {
                let stream = TcpStream::connect(*address)?;
                let _ = stream.set_nodelay(true);
                Ok(Stream::Tcp(stream))
            }
            #[cfg(unix)]
            Address::Unix(Some(path)) => UnixStream::connect(path).map(Stream::Unix),
            Address::Unix(_) => Err(io::ErrorKind::AddrNotAvailable.into()),
        }
    }

    fn is_connected(&mut self, stream: &mut Stream) -> io::Result<bool> {
        if let Some(error) = either!(Stream, stream, socket => socket.take_error())? {
            return Err(error);
        }
        let Stream::Tcp(stream) = stream else {
            return Ok(true);
        };
        match stream.peer_addr() {
            Ok(_) => Ok(true),
            // A writable event can come before the connection does.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn open(&mut self, stream: &mut Stream, token: u64) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        either!(Stream, stream, socket => self.register(socket, token, both))
    }

    fn close(&mut self, mut stream: Stream, cut_off: bool) {
        if cut_off && let Stream::Tcp(stream) = &stream {
            // A socket that is broken already takes no options, and needs none.
            let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
        let registry = self.poll.registry();
        let _ = either!(Stream, &mut stream, socket => registry.deregister(socket));
    }

    #[cfg(target_os = "linux")]
    fn read(&mut self, stream: &mut Stream, buffer: &mut [u8]) -> io::Result<usize> {
        // Straight to the kernel: the C library's calls are points of cancellation, which costs 2 % of a small
        // message and is of no use here.
        let received =
            either!(Stream, &*stream, socket => rustix::net::recv(socket, buffer, RecvFlags::empty()));
        received.map(|(count, _)| count).map_err(Into::into)
    }

    #[cfg(target_os = "linux")]
    fn write(&mut self, stream: &mut Stream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let sent = match slices {
            [slice] => {
                either!(Stream, &*stream, socket => rustix::net::send(socket, slice, SendFlags::NOSIGNAL))
            }
            slices => either!(Stream, &*stream, socket => {
                let mut control = SendAncillaryBuffer::default();
                rustix::net::sendmsg(socket, slices, &mut control, SendFlags::NOSIGNAL)
            }),
        };
        sent.map_err(Into::into)
    }

    #[cfg(not(target_os = "linux"))]
    fn read(&mut self, stream: &mut Stream, buffer: &mut [u8]) -> io::Result<usize> {
        use std::io::Read;
        either!(Stream, stream, socket => socket.read(buffer))
    }

    #[cfg(not(target_os = "linux"))]
    fn write(&mut self, stream: &mut Stream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        use std::io::Write;
        match slices {
            [slice] => either!(Stream, stream, socket => socket.write(slice)),
            slices => either!(Stream, stream, socket => socket.write_vectored(slices)),
        }
    }

    fn shut_down(&mut self, stream: &mut Stream) -> io::Result<()> {
        either!(Stream, stream, socket => socket.shutdown(Shutdown::Write))
    }
}
