//! One connection of the load: its socket and its buffers. It must never know what is spoken.

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use mio::{Interest, Registry, Token, net::TcpStream};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    BenchError,
    dialect::{Dialect, Target},
    pace::Throttle,
};

/// What a slow reader's system keeps for it: little, so that its slowness reaches the server.
const SLOW_RECEIVE_BYTES: usize = 16 * 1024;

/// See the module.
pub(crate) struct Connection {
    pub(crate) dialect: Box<dyn Dialect>,
    stream: Option<TcpStream>,
    is_connected: bool,
    /// Logged in, so it may send.
    pub(crate) is_ready: bool,
    pub(crate) incoming: BytesMut,
    pub(crate) outgoing: BytesMut,
    slow: Option<u64>,
    pub(crate) throttle: Option<Throttle>,
    /// In the list of those with something to write.
    pub(crate) is_dirty: bool,
    /// In the list of those that were not read to the end.
    pub(crate) is_unread: bool,
}

/// How far reading got.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Got {
    /// This many bytes; there may be more.
    Bytes(usize),
    Nothing,
}

impl Connection {
    /// `slow`: it reads only so many bytes a second.
    pub(crate) fn new(dialect: Box<dyn Dialect>, slow: Option<u64>) -> Self {
        Self {
            dialect,
            stream: None,
            is_connected: false,
            is_ready: false,
            incoming: BytesMut::new(),
            outgoing: BytesMut::new(),
            slow,
            throttle: None,
            is_dirty: false,
            is_unread: false,
        }
    }

    /// Starts to connect, and queues what logs in.
    pub(crate) fn open(
        &mut self,
        registry: &Registry,
        token: Token,
        server: SocketAddr,
        source: Option<IpAddr>,
        now_ns: u64,
        reset_on_close: bool,
    ) -> Result<(), BenchError> {
        self.close(registry);
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if let Some(bytes_per_second) = self.slow {
            socket.set_recv_buffer_size(SLOW_RECEIVE_BYTES)?;
            self.throttle = Some(Throttle::new(bytes_per_second, now_ns));
        }
        if reset_on_close {
            socket.set_linger(Some(Duration::ZERO))?;
        }
        if let Some(source) = source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        match socket.connect(&server.into()) {
            Ok(()) => {}
            Err(error) if is_under_way(&error) => {}
            Err(error) => return Err(error.into()),
        }
        let mut stream = TcpStream::from_std(socket.into());
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        self.stream = Some(stream);
        self.dialect.login(&mut self.outgoing);
        Ok(())
    }

    /// Closes it, if it is open. What was not written or not read whole is forgotten.
    pub(crate) fn close(&mut self, registry: &Registry) {
        if let Some(mut stream) = self.stream.take() {
            let _ = registry.deregister(&mut stream);
        }
        self.is_connected = false;
        self.is_ready = false;
        self.throttle = None;
        self.incoming = BytesMut::new();
        self.outgoing = BytesMut::new();
    }

    pub(crate) const fn is_open(&self) -> bool {
        self.stream.is_some()
    }

    /// The socket can be written to; the first time that means it is connected, or never will be. True when it
    /// has just been.
    pub(crate) fn handle_writable(&mut self) -> std::io::Result<bool> {
        if let (Some(stream), false) = (&self.stream, self.is_connected) {
            if let Some(error) = stream.take_error()? {
                return Err(error);
            }
            match stream.peer_addr() {
                Ok(_) => {
                    self.is_connected = true;
                    return Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::NotConnected => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Writes what the socket takes.
    pub(crate) fn flush(&mut self) -> std::io::Result<()> {
        let Some(stream) = self.stream.as_mut().filter(|_| self.is_connected) else {
            return Ok(());
        };
        while !self.outgoing.is_empty() {
            match stream.write(&self.outgoing) {
                Ok(written) => self.outgoing.advance(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads once into `buffer`.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<Got> {
        let Some(stream) = self.stream.as_mut().filter(|_| self.is_connected) else {
            return Ok(Got::Nothing);
        };
        loop {
            match stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => return Ok(Got::Bytes(read)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Got::Nothing),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn send(&mut self, target: &Target, id: u64, body: &[u8]) {
        self.dialect.send(target, id, body, &mut self.outgoing);
    }
}

fn is_under_way(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock
        || error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error())
}
