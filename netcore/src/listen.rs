//! Owns listening sockets until a loop takes them: addresses, options, and the sockets themselves. Must never leave
//! anything behind when one of them cannot be opened.

use crate::address::Address;
use crate::limits::{LISTEN_BACKLOG, LISTENERS_MAX};
use crate::network::Network;
use crate::reactor::ListenerInfo;
use crate::reactor::io::Listener;
use crate::tls::TlsServer;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
#[cfg(unix)]
use std::path::{Path, PathBuf};

/// Something to listen on, and how its connections begin.
///
/// ```
/// use netcore::Listen;
/// use std::net::SocketAddr;
///
/// // An address; port 0 is any free one.
/// let public = Listen::from(SocketAddr::from(([0, 0, 0, 0], 0)));
/// // Behind a load balancer of ours, which reports the addresses of its clients.
/// let balanced = Listen::from(SocketAddr::from(([127, 0, 0, 1], 0)))
///     .proxy_protocol(vec!["10.0.0.0/8".parse()?]);
/// // A socket that someone else opened.
/// let given = Listen::from(std::net::TcpListener::bind("127.0.0.1:0").expect("a free port"));
/// # Ok::<_, netcore::InvalidNetwork>(())
/// ```
#[derive(Debug)]
pub struct Listen {
    source: Source,
    proxies: Vec<Network>,
    proxied_always: bool,
    tls: Option<TlsServer>,
    plain_too: bool,
    own_user_only: bool,
    tag: u32,
}

#[derive(Debug)]
enum Source {
    Address(SocketAddr),
    Tcp(TcpListener),
    Bound(Socket, SocketAddr),
    #[cfg(unix)]
    Path {
        path: PathBuf,
        mode: Option<u32>,
    },
    #[cfg(unix)]
    Unix(UnixListener),
    #[cfg(unix)]
    BoundPath(UnixListener, SocketFile),
}

impl From<Source> for Listen {
    fn from(source: Source) -> Self {
        Self {
            source,
            proxies: Vec::new(),
            proxied_always: false,
            tls: None,
            plain_too: false,
            own_user_only: false,
            tag: 0,
        }
    }
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Source::Address(address).into()
    }
}

impl From<TcpListener> for Listen {
    fn from(socket: TcpListener) -> Self {
        Source::Tcp(socket).into()
    }
}

#[cfg(unix)]
impl From<UnixListener> for Listen {
    fn from(socket: UnixListener) -> Self {
        Source::Unix(socket).into()
    }
}

impl Listen {
    /// Binds an address now, and listens on it when the server starts. Returns the address with the port that the
    /// system chose, if 0 was asked for. For programs that must not begin some work if the address is taken. Until the
    /// server starts, connections are refused. One loop's [`Accept`](crate::Accept) serves it, as any given socket.
    ///
    /// # Errors
    /// [`StartError::Bind`](crate::StartError::Bind): the address is in use, or does not belong to this machine.
    ///
    /// ```
    /// use netcore::Listen;
    ///
    /// let (listen, address) = Listen::reserve("127.0.0.1:0".parse()?)?;
    /// assert!(std::net::TcpStream::connect(address).is_err(), "nobody listens yet");
    /// # drop(listen);
    /// let other = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// assert!(Listen::reserve(other.local_addr()?).is_err());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn reserve(address: SocketAddr) -> Result<(Self, SocketAddr), crate::StartError> {
        let reserved = || {
            let socket = bind(address, false)?;
            let local = socket.local_addr()?.as_socket().unwrap_or(address);
            Ok((socket, local))
        };
        let (socket, local) = reserved().map_err(|source: io::Error| crate::StartError::Bind {
            on: address.to_string(),
            source,
        })?;
        Ok((Source::Bound(socket, local).into(), local))
    }

    /// A Unix socket at this path. The path must not exist, or must be a socket without a listener, which is replaced.
    /// The file is removed when the server ends. With `mode`, its permission bits are set (`0o660`: the owner and the
    /// group); without, the process' umask decides.
    ///
    /// ```
    /// use netcore::{Address, Listen, Server};
    /// use std::os::unix::net::UnixStream;
    /// # use netcore::codec::LengthPrefixed;
    /// # use netcore::{ConnCx, Flow, Handler, NoTask, Peer, Refusal};
    /// # struct Echo;
    /// # impl Handler for Echo {
    /// #     type Codec = LengthPrefixed;
    /// #     type Conn = ();
    /// #     type Msg = ();
    /// #     type Task = NoTask;
    /// #     fn on_accept(&mut self, _: &Peer) -> Result<(LengthPrefixed, ()), Refusal> {
    /// #         Ok((LengthPrefixed::new(1024), ()))
    /// #     }
    /// #     fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, frame: &[u8]) -> Flow<Self> {
    /// #         cx.send(frame).map_or(Flow::Close(1), |_| Flow::Continue)
    /// #     }
    /// # }
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("chat.sock");
    ///
    /// let server = Server::builder::<Echo>()
    ///     .loops(1)
    ///     .listen(Listen::unix(&path, Some(0o660)))
    ///     .start(|_loop, _remote| Echo)?;
    /// assert_eq!(server.addresses(), [Address::Unix(Some(path.as_path().into()))]);
    /// UnixStream::connect(&path)?;
    /// server.shutdown();
    /// assert!(!path.exists());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(unix)]
    #[must_use]
    pub fn unix(path: impl Into<PathBuf>, mode: Option<u32>) -> Self {
        Source::Path {
            path: path.into(),
            mode,
        }
        .into()
    }

    /// Makes a Unix socket now, as [`reserve`](Self::reserve) does with an address. Until the server starts, clients that
    /// connect wait. The file is removed when the server ends, or when this is dropped.
    ///
    /// # Errors
    /// [`StartError::Bind`](crate::StartError::Bind): somebody listens there, or the path is none for a socket.
    ///
    /// ```
    /// use netcore::Listen;
    ///
    /// let directory = tempfile::tempdir()?;
    /// let path = directory.path().join("chat.sock");
    /// let listen = Listen::reserve_unix(&path, Some(0o660))?;
    /// assert!(Listen::reserve_unix(&path, None).is_err(), "it is taken");
    /// # drop(listen);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(unix)]
    pub fn reserve_unix(path: impl Into<PathBuf>, mode: Option<u32>) -> Result<Self, crate::StartError> {
        let path = path.into();
        let on = path.display().to_string();
        match bind_path(path, mode) {
            Ok((listener, file)) => Ok(Source::BoundPath(listener, file).into()),
            Err(source) => Err(crate::StartError::Bind { on, source }),
        }
    }

    /// The sockets that the service manager opened for this process and passed in `LISTEN_FDS` (systemd's socket
    /// activation); an empty list if there are none. Takes them: a second call finds none.
    ///
    /// # Errors
    /// A passed descriptor is neither a TCP nor a Unix stream socket that listens.
    ///
    /// ```
    /// use netcore::{Builder, Handler, Listen};
    /// use std::net::SocketAddr;
    ///
    /// /// Listens on the sockets that the service manager has opened, or else on an address of our own.
    /// fn listen<H: Handler>(builder: Builder<H>, otherwise: SocketAddr) -> std::io::Result<Builder<H>> {
    ///     let given = Listen::activated()?;
    ///     if given.is_empty() {
    ///         return Ok(builder.listen(otherwise));
    ///     }
    ///     Ok(given.into_iter().fold(builder, Builder::listen))
    /// }
    /// ```
    #[cfg(feature = "activation")]
    pub fn activated() -> io::Result<Vec<Self>> {
        let mut given = listenfd::ListenFd::from_env();
        let mut listen = Vec::new();
        for index in 0..given.len() {
            let socket = match given.take_tcp_listener(index) {
                Ok(Some(socket)) => Self::from(socket),
                Ok(None) => continue,
                #[cfg(unix)]
                Err(_) => match given.take_unix_listener(index)? {
                    Some(socket) => Self::from(socket),
                    None => continue,
                },
                #[cfg(not(unix))]
                Err(error) => return Err(error),
            };
            listen.push(socket);
        }
        Ok(listen)
    }

    /// Connections from these networks begin with a PROXY header, version 1 or 2, and count as connections of the
    /// client that it names; without a header they are closed. Connections from elsewhere are direct. On a Unix socket,
    /// every connection must begin with a header, whatever the networks.
    #[must_use]
    pub fn proxy_protocol(mut self, from: Vec<Network>) -> Self {
        self.proxies = from;
        self.proxied_always = true;
        self
    }

    /// Connections come from processes of the user that this process runs as, or of root; those of others are closed at
    /// once. For a Unix socket on Linux, where the system knows the user (`SO_PEERCRED`); elsewhere it changes nothing,
    /// and the mode of the socket's file decides.
    ///
    /// ```
    /// let private = netcore::Listen::unix("/run/chat/control.sock", Some(0o600)).own_user_only();
    /// ```
    #[cfg(unix)]
    #[must_use]
    pub fn own_user_only(mut self) -> Self {
        self.own_user_only = true;
        self
    }

    /// Connections speak TLS, after the PROXY header if there is one.
    ///
    /// ```
    /// use netcore::tls::{ClientCertificates, TlsServer};
    /// use netcore::{Listen, Server};
    /// # use netcore::tls::TlsClient;
    /// # use std::io::{Read, Write};
    /// # use std::net::{SocketAddr, TcpStream};
    /// # use netcore::codec::LengthPrefixed;
    /// # use netcore::{ConnCx, Flow, Handler, NoTask, Peer, Refusal};
    /// # struct Echo;
    /// # impl Handler for Echo {
    /// #     type Codec = LengthPrefixed;
    /// #     type Conn = ();
    /// #     type Msg = ();
    /// #     type Task = NoTask;
    /// #     fn on_accept(&mut self, _: &Peer) -> Result<(LengthPrefixed, ()), Refusal> {
    /// #         Ok((LengthPrefixed::new(1024), ()))
    /// #     }
    /// #     fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, frame: &[u8]) -> Flow<Self> {
    /// #         cx.send(frame).map_or(Flow::Close(1), |_| Flow::Continue)
    /// #     }
    /// # }
    /// # let names = ["chat.example.org".to_owned()];
    /// # let (old, new) = (
    /// #     rcgen::generate_simple_self_signed(names.clone())?,
    /// #     rcgen::generate_simple_self_signed(names)?,
    /// # );
    /// # let (chain, key) = (old.cert.pem().into_bytes(), old.signing_key.serialize_pem().into_bytes());
    /// # let (new_chain, new_key) = (new.cert.pem().into_bytes(), new.signing_key.serialize_pem().into_bytes());
    ///
    /// let tls = TlsServer::from_pem(&chain, &key, ClientCertificates::Unwanted, &[])?;
    /// let address = SocketAddr::from(([127, 0, 0, 1], 0));
    /// let server = Server::builder::<Echo>()
    ///     .listen(Listen::from(address).tls(tls.clone()))
    ///     .start(|_loop, _remote| Echo)?;
    /// // Later the certificate is renewed, for connections that come from then on.
    /// tls.replace_by(&TlsServer::from_pem(&new_chain, &new_key, ClientCertificates::Unwanted, &[])?);
    /// # let config = TlsClient::config_from_pem(&new_chain, None, &[])?;
    /// # let session = netcore::rustls::ClientConnection::new(config, "chat.example.org".try_into()?)?;
    /// # let stream = TcpStream::connect(server.local_addrs()[0])?;
    /// # let mut client = netcore::rustls::StreamOwned::new(session, stream);
    /// # client.write_all(b"\0\0\0\x02hi")?;
    /// # client.read_exact(&mut [0; 6])?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, server: TlsServer) -> Self {
        self.tls = Some(server);
        self.plain_too = false;
        self
    }

    /// Connections speak TLS or not, as they like: the first byte tells, behind the PROXY header if there is one. A TLS
    /// handshake begins with [`TLS_FIRST_BYTE`](crate::limits::TLS_FIRST_BYTE), so what is spoken without TLS must
    /// begin otherwise, and the client must be the one who begins. [`ConnCx::is_encrypted`](crate::ConnCx::is_encrypted)
    /// tells which it was, from `on_open` on. A client that sends nothing within
    /// [`Timeouts::tls_handshake`](crate::Timeouts::tls_handshake) is closed for
    /// [`CloseReason::HandshakeTimeout`](crate::CloseReason::HandshakeTimeout).
    ///
    /// ```
    /// use netcore::tls::TlsServer;
    /// use netcore::Listen;
    /// use std::net::SocketAddr;
    ///
    /// /// One port for everybody, and one for those who can be trusted to come from this machine.
    /// fn listen(everywhere: SocketAddr, here: SocketAddr, tls: &TlsServer) -> [Listen; 2] {
    ///     [Listen::from(everywhere).tls_or_plain(tls.clone()).tag(1), Listen::from(here).tag(2)]
    /// }
    /// ```
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls_or_plain(mut self, server: TlsServer) -> Self {
        self.tls = Some(server);
        self.plain_too = true;
        self
    }

    /// Marks the connections that come from here: [`Peer::tag`](crate::Peer::tag) is this number. What it means is the
    /// application's; unmarked listeners have 0.
    #[must_use]
    pub const fn tag(mut self, tag: u32) -> Self {
        self.tag = tag;
        self
    }

    /// Its name in an error.
    pub(crate) fn name(&self) -> String {
        match &self.source {
            Source::Address(address) | Source::Bound(_, address) => address.to_string(),
            Source::Tcp(_) => "a given socket".to_owned(),
            #[cfg(unix)]
            Source::Path { path, .. } => path.display().to_string(),
            #[cfg(unix)]
            Source::Unix(_) => "a given socket".to_owned(),
            #[cfg(unix)]
            Source::BoundPath(_, file) => file.path.display().to_string(),
        }
    }

    pub(crate) const fn is_too_many(count: usize) -> bool {
        count > LISTENERS_MAX
    }

    /// Opens `copies` sockets, if the system can share an address between sockets; otherwise one.
    pub(crate) fn open(self, copies: usize) -> io::Result<Opened> {
        let mut file = None;
        let (sockets, local) = match self.source {
            Source::Address(address) => open_address(address, copies)?,
            Source::Tcp(socket) => {
                let (socket, local) = prepare(Socket::from(socket))?;
                (vec![socket], local)
            }
            Source::Bound(socket, _) => {
                socket.listen(LISTEN_BACKLOG)?;
                let (socket, local) = prepare(socket)?;
                (vec![socket], local)
            }
            #[cfg(unix)]
            Source::Path { path, mode } => {
                let (listener, guard) = bind_path(path, mode)?;
                file = Some(guard);
                let (socket, local) = prepare_unix(listener)?;
                (vec![socket], local)
            }
            #[cfg(unix)]
            Source::BoundPath(listener, guard) => {
                file = Some(guard);
                let (socket, local) = prepare_unix(listener)?;
                (vec![socket], local)
            }
            #[cfg(unix)]
            Source::Unix(listener) => {
                let (socket, local) = prepare_unix(listener)?;
                (vec![socket], local)
            }
        };
        Ok(Opened {
            sockets,
            info: ListenerInfo {
                local,
                proxies: self.proxies,
                proxied_always: self.proxied_always,
                tls: self.tls,
                plain_too: self.plain_too,
                own_user_only: self.own_user_only,
                tag: self.tag,
            },
            file,
        })
    }
}

/// Sockets that listen on the same thing.
pub(crate) struct Opened {
    /// At least one.
    pub(crate) sockets: Vec<Listener>,
    pub(crate) info: ListenerInfo,
    pub(crate) file: Option<SocketFile>,
}

/// The file of a Unix socket; removed when dropped, unless a successor has replaced it meanwhile.
#[derive(Debug)]
pub(crate) struct SocketFile {
    #[cfg(unix)]
    path: PathBuf,
    #[cfg(unix)]
    identity: FileIdentity,
}

/// The device, the number, and when it was made in seconds and nanoseconds: numbers are used again at once.
#[cfg(unix)]
type FileIdentity = (u64, u64, i64, i64);

#[cfg(unix)]
fn identity(path: &Path) -> io::Result<FileIdentity> {
    use std::os::unix::fs::MetadataExt;
    let file = std::fs::symlink_metadata(path)?;
    // Nothing is ever written to the file, so this stays; the time of its change is that of a `chmod`, too.
    Ok((file.dev(), file.ino(), file.mtime(), file.mtime_nsec()))
}

#[cfg(unix)]
impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity != self.identity) {
            return;
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            log::warn!("the socket {} cannot be removed: {error}", self.path.display());
        }
    }
}

fn open_address(address: SocketAddr, copies: usize) -> io::Result<(Vec<Listener>, Address)> {
    let copies = if cfg!(unix) { copies.max(1) } else { 1 };
    let listening = |address, share| {
        let socket = bind(address, share)?;
        socket.listen(LISTEN_BACKLOG)?;
        prepare(socket)
    };
    let (first, local) = listening(address, copies > 1)?;
    let mut sockets = vec![first];
    // The others need the port that the first one got.
    let Address::Ip(bound) = local else {
        return Ok((sockets, local));
    };
    for _ in 1..copies {
        sockets.push(listening(bound, true)?.0);
    }
    Ok((sockets, local))
}

fn bind(address: SocketAddr, share: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // On Windows the option would allow others to take the port over.
    if cfg!(unix) {
        socket.set_reuse_address(true)?;
    }
    #[cfg(unix)]
    if share {
        socket.set_reuse_port(true)?;
    }
    #[cfg(not(unix))]
    let _ = share;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn prepare(socket: Socket) -> io::Result<(Listener, Address)> {
    socket.set_nonblocking(true)?;
    // Accepted sockets inherit it on Linux.
    socket.set_tcp_nodelay(true)?;
    // As with the other option, connections inherit it.
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(crate::limits::UNSENT_BYTES_MAX)?;
    let listener = TcpListener::from(socket);
    let address = listener.local_addr()?;
    let listener = mio::net::TcpListener::from_std(listener);
    Ok((Listener::Tcp(listener), Address::Ip(address)))
}

#[cfg(unix)]
fn prepare_unix(listener: UnixListener) -> io::Result<(Listener, Address)> {
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let path = address.as_pathname().map(|path| path.into());
    let listener = mio::net::UnixListener::from_std(listener);
    Ok((Listener::Unix(listener), Address::Unix(path)))
}

/// Binds a path. A socket file without a listener was left by a process that was killed; it is replaced.
#[cfg(unix)]
fn bind_path(path: PathBuf, mode: Option<u32>) -> io::Result<(UnixListener, SocketFile)> {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};

    let abandoned = |path: &Path| {
        let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
        is_socket
            && UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    };
    if abandoned(&path) {
        std::fs::remove_file(&path)?;
    }
    // The backlog of the standard library is the system's largest.
    let listener = UnixListener::bind(&path)?;
    let file = SocketFile {
        identity: identity(&path)?,
        path,
    };
    if let Some(mode) = mode {
        std::fs::set_permissions(&file.path, std::fs::Permissions::from_mode(mode))?;
    }
    Ok((listener, file))
}
