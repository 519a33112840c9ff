//! Owns the bare system calls of the programs that use no library: an epoll instance, a listening socket, the
//! limit of descriptors. Must never buffer or retry anything.

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Events taken by one wait.
const EVENTS_MAX: usize = 1024;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// One thing that became ready.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// What it was added with.
    pub token: u64,
    /// There is something to read, or the peer has finished, or the connection is broken.
    pub readable: bool,
    /// The peer has finished sending or the connection is broken: only reading to the end will tell.
    pub ended: bool,
}

/// What one wait found; its memory is used again.
pub struct Events(Vec<epoll::Event>);

impl fmt::Debug for Events {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}

impl Events {
    /// Nothing, with room for one wait.
    #[must_use]
    pub fn new() -> Self {
        Self(Vec::with_capacity(EVENTS_MAX))
    }

    /// What became ready, each source once.
    pub fn iter(&self) -> impl Iterator<Item = Ready> + '_ {
        use epoll::EventFlags as Flags;
        let ended = Flags::RDHUP | Flags::HUP | Flags::ERR;
        self.0.iter().map(move |event| {
            let flags = event.flags;
            Ready {
                token: event.data.u64(),
                readable: flags.intersects(Flags::IN | ended),
                ended: flags.intersects(ended),
            }
        })
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}

/// An epoll instance.
#[derive(Debug)]
pub struct Poller(OwnedFd);

impl Poller {
    /// A poller that watches nothing.
    ///
    /// # Errors
    /// There is no descriptor for it.
    pub fn new() -> io::Result<Self> {
        Ok(Self(epoll::create(epoll::CreateFlags::CLOEXEC)?))
    }

    /// Watches a connection, edge-triggered, in both directions: room to write is announced only after a short
    /// write, so asking for it costs nothing.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn add_connection(&self, socket: impl AsFd, token: u64) -> io::Result<()> {
        use epoll::EventFlags as Flags;
        self.add(socket, token, Flags::IN | Flags::OUT | Flags::RDHUP | Flags::ET)
    }

    /// Watches a listening socket, level-triggered.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn add_listener(&self, socket: impl AsFd, token: u64) -> io::Result<()> {
        self.add(socket, token, epoll::EventFlags::IN)
    }

    /// Waits until something is ready or `timeout` has passed. An interruption finds nothing.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        events.0.clear();
        match epoll::wait(&self.0, spare_capacity(&mut events.0), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// As [`wait`](Self::wait), but a timeout is not rounded up to whole milliseconds, for one system call more.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn wait_exactly(&self, events: &mut Events, timeout: Duration) -> io::Result<()> {
        let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => self.wait(events, Some(Duration::ZERO)),
            Err(error) => Err(error.into()),
        }
    }

    fn add(&self, socket: impl AsFd, token: u64, flags: epoll::EventFlags) -> io::Result<()> {
        Ok(epoll::add(
            &self.0,
            socket,
            epoll::EventData::new_u64(token),
            flags,
        )?)
    }
}

/// A listening socket that does not block; what it accepts sends at once (`TCP_NODELAY` is inherited).
///
/// # Errors
/// The address cannot be had.
pub fn listen(address: SocketAddr) -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = net::socket_with(family(address), SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    net::bind(&socket, &address)?;
    net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// A connection to `server` from the address `source`; it does not block any more.
///
/// # Errors
/// The connection is refused, or the source has no port left.
pub fn connect(source: SocketAddr, server: SocketAddr) -> io::Result<OwnedFd> {
    let socket = net::socket_with(family(server), SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    net::bind(&socket, &source)?;
    net::connect(&socket, &server)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

/// The address a listening socket was given.
///
/// # Errors
/// It has none.
pub fn local_address(socket: impl AsFd) -> io::Result<SocketAddr> {
    Ok(SocketAddr::try_from(net::getsockname(socket)?)?)
}

const fn family(address: SocketAddr) -> AddressFamily {
    match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    }
}

/// The next connection that waits, or `None` when there is none.
///
/// # Errors
/// There is no descriptor or memory for it.
pub fn accept(listener: impl AsFd) -> io::Result<Option<OwnedFd>> {
    match net::accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
        Ok(stream) => Ok(Some(stream)),
        Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads once; `None` when there is nothing to read, 0 at the end.
///
/// # Errors
/// The connection is broken.
pub fn receive(stream: impl AsFd, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        return match net::recv(&stream, &mut *buffer, net::RecvFlags::empty()) {
            Ok((count, _)) => Ok(Some(count)),
            Err(Errno::AGAIN) => Ok(None),
            Err(Errno::INTR) => continue,
            Err(error) => Err(error.into()),
        };
    }
}

/// Writes once and returns how much the kernel took.
///
/// # Errors
/// The connection is broken.
pub fn send(stream: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    loop {
        return match net::send(&stream, bytes, net::SendFlags::NOSIGNAL) {
            Ok(count) => Ok(count),
            Err(Errno::AGAIN) => Ok(0),
            Err(Errno::INTR) => continue,
            Err(error) => Err(error.into()),
        };
    }
}

/// Raises the limit of descriptors to what is allowed and returns it.
///
/// # Errors
/// The kernel refuses.
pub fn raise_descriptor_limit() -> io::Result<usize> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised)?;
    Ok(limit
        .maximum
        .map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX)))
}
