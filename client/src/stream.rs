//! The byte stream of a connection, encrypted or not, for two threads: one writes, the other reads. It owns the
//! sockets, and the TLS state that both threads share. It must never wait for the peer while it holds a lock that the
//! other thread needs.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream, ToSocketAddrs},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustls::{ClientConfig, ClientConnection, pki_types::ServerName};

use crate::servers::ServerAddress;

/// An attempt to connect to one address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The whole TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A write that makes no progress for this long means that the connection is dead.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes encrypted at once.
const SLICE_BYTES: usize = 64 * 1024;
/// Encrypted bytes asked of the socket at once.
const RECEIVED_BYTES: usize = 16 * 1024;

/// One end of a connection. Clones are the same connection.
#[derive(Clone, Debug)]
pub(crate) enum Stream {
    Plain(Arc<TcpStream>),
    Sealed(Arc<Sealed>),
}

/// A connection with TLS.
#[derive(Debug)]
pub(crate) struct Sealed {
    socket: TcpStream,
    /// Never locked while a thread waits for the socket.
    tls: Mutex<ClientConnection>,
    /// Held while bytes are encrypted and written, so that they are sent in the order of encryption. Locked before
    /// `tls`.
    writing: Mutex<()>,
}

impl Stream {
    /// Connects, and with TLS waits for the end of the handshake.
    ///
    /// # Errors
    /// The server is not trusted, for which [`is_distrust`] is true, or cannot be reached.
    pub(crate) fn open(server: &ServerAddress, tls: Option<&Arc<ClientConfig>>) -> io::Result<Self> {
        let socket = connect(server)?;
        let Some(config) = tls.filter(|_| server.tls) else {
            return Ok(Self::Plain(Arc::new(socket)));
        };
        let name = ServerName::try_from(server.host.clone()).map_err(io::Error::other)?;
        let mut connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        // Frames have limits of their own.
        connection.set_buffer_limit(None);
        shake_hands(&mut connection, &socket)?;
        Ok(Self::Sealed(Arc::new(Sealed {
            socket,
            tls: Mutex::new(connection),
            writing: Mutex::new(()),
        })))
    }

    /// Writes all of it.
    pub(crate) fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(socket) => (&mut &**socket).write_all(bytes),
            Self::Sealed(sealed) => bytes
                .chunks(SLICE_BYTES)
                .try_for_each(|slice| sealed.write(slice)),
        }
    }

    /// The reading end, for one thread.
    pub(crate) fn reader(&self) -> Reader {
        Reader {
            stream: self.clone(),
            received: Vec::new(),
            used: 0,
        }
    }

    /// Ends both directions; a thread that reads finds the end.
    pub(crate) fn shut_down(&self) {
        let socket = match self {
            Self::Plain(socket) => socket,
            Self::Sealed(sealed) => &sealed.socket,
        };
        // It may be closed already; there is nothing to do about it either way. Frames tell whether they are whole, so TLS
        // needs no farewell, which a peer that does not read could hold up.
        let _ = socket.shutdown(Shutdown::Both);
    }
}

/// What one thread reads from a connection.
#[derive(Debug)]
pub(crate) struct Reader {
    stream: Stream,
    /// Encrypted bytes; TLS takes only as many at a time as it has room for.
    received: Vec<u8>,
    used: usize,
}

impl Reader {
    /// Reads what there is, and waits until there is something; 0 at the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let sealed = match &self.stream {
            Stream::Plain(socket) => return (&mut &**socket).read(buffer),
            Stream::Sealed(sealed) => sealed,
        };
        loop {
            match sealed.tls.lock().reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            if self.used == self.received.len() {
                self.received.resize(RECEIVED_BYTES, 0);
                let count = (&sealed.socket).read(&mut self.received)?;
                if count == 0 {
                    // Without a farewell. Frames tell whether that was between two of them.
                    return Ok(0);
                }
                self.received.truncate(count);
                self.used = 0;
            }
            let wants_write = {
                let mut tls = sealed.tls.lock();
                let mut rest = self.received.get(self.used..).unwrap_or_default();
                self.used += tls.read_tls(&mut rest)?;
                tls.process_new_packets().map_err(io::Error::other)?;
                tls.wants_write()
            };
            if wants_write {
                sealed.answer()?;
            }
        }
    }
}

impl Sealed {
    fn write(&self, plain: &[u8]) -> io::Result<()> {
        let _writing = self.writing.lock();
        let sealed = {
            let mut tls = self.tls.lock();
            tls.writer().write_all(plain)?;
            take_sealed(&mut tls)?
        };
        (&self.socket).write_all(&sealed)
    }

    /// Writes the messages that TLS itself has to send.
    fn answer(&self) -> io::Result<()> {
        let _writing = self.writing.lock();
        let sealed = take_sealed(&mut self.tls.lock())?;
        (&self.socket).write_all(&sealed)
    }
}

fn take_sealed(tls: &mut ClientConnection) -> io::Result<Vec<u8>> {
    let mut sealed = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut sealed)?;
    }
    Ok(sealed)
}

fn connect(server: &ServerAddress) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no such address");
    for address in (server.host.as_str(), server.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The handshake, within its time however slowly the bytes come.
fn shake_hands(tls: &mut ClientConnection, socket: &TcpStream) -> io::Result<()> {
    let deadline = Instant::now() + HANDSHAKE_TIMEOUT;
    let late = || io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long");
    while tls.is_handshaking() || tls.wants_write() {
        if tls.wants_write() {
            tls.write_tls(&mut &*socket)?;
            continue;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(late());
        }
        socket.set_read_timeout(Some(left))?;
        match tls.read_tls(&mut &*socket) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, NO_TLS)),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Err(late());
            }
            Err(error) => return Err(error),
        }
        if let Err(error) = tls.process_new_packets() {
            // The alert that tells the server why.
            let _ = tls.write_tls(&mut &*socket);
            return Err(io::Error::other(error));
        }
    }
    socket.set_read_timeout(None)
}

/// Whether a connection was given up because of the certificate that the server showed.
pub(crate) fn is_distrust(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    matches!(cause, Some(rustls::Error::InvalidCertificate(_)))
}

/// The explanation of a handshake that the server ended: it has no TLS, or refuses ours.
const NO_TLS: &str = "the server ended the TLS handshake; perhaps it has no TLS there";
