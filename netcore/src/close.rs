//! Owns the vocabulary of endings: why a connection closes, which side began it, and how. Must never decide to close
//! anything.

use std::io;

/// Why a connection ended. `E` is the error of the codec.
///
/// ```
/// use netcore::{CloseReason, Initiator};
///
/// fn should_log<E>(why: &CloseReason<E>) -> bool {
///     // The ends that peers cause all day are not worth a line.
///     why.initiator() == Initiator::Library
/// }
/// assert!(!should_log::<()>(&CloseReason::Eof));
/// assert!(should_log::<()>(&CloseReason::PongTimeout));
/// assert_eq!(CloseReason::<()>::PongTimeout.name(), "pong_timeout");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason<E> {
    /// A connection that we made failed.
    #[error("cannot connect: {0}")]
    ConnectFailed(#[source] io::Error),
    /// A connection that we made took too long.
    #[error("connecting took too long")]
    ConnectTimeout,
    /// The server is draining and the drain deadline passed.
    #[error("drain deadline passed")]
    Drained,
    /// The peer finished sending, between two frames.
    #[error("the peer closed the connection")]
    Eof,
    /// A frame took too long from its first byte to its last.
    #[error("a frame took too long to arrive")]
    FrameTimeout,
    /// A callback of the handler, or the codec, panicked on this connection.
    #[error("the handler panicked")]
    HandlerPanicked,
    /// The application did not declare the connection established in time, or nothing came that tells whether it speaks
    /// TLS.
    #[error("handshake took too long")]
    HandshakeTimeout,
    /// Nothing arrived for too long.
    #[error("nothing was received for too long")]
    IdleTimeout,
    /// The operating system reported an error on the socket.
    #[error("socket error: {0}")]
    Io(#[source] io::Error),
    /// The application closed the connection with this code of its own.
    #[error("closed by the application with code {0}")]
    Local(u16),
    /// The handler offloaded work, but the server was built without workers.
    #[error("work was offloaded, but there is no worker pool")]
    NoWorkers,
    /// A frame did not fit into the out-queue, and [`WhenFull::Close`](crate::WhenFull::Close) is set.
    #[error("the peer does not keep up: {queued} bytes are queued for it")]
    OutboundFull {
        /// Bytes in the out-queue.
        queued: usize,
    },
    /// A ping was not answered.
    #[error("a ping was not answered in time")]
    PongTimeout,
    /// A trusted proxy sent no valid PROXY header, or sent none in time (`None`).
    #[error("no usable PROXY header")]
    Proxy(#[source] Option<crate::proxy::ProxyError>),
    /// The peer sent something that is not a frame.
    #[error("protocol error: {0}")]
    Protocol(#[source] E),
    /// The peer, or something on the way, aborted the connection.
    #[error("the connection was reset")]
    Reset,
    /// The loop, or the worker pool it offloads to, has stopped.
    #[error("the server stopped")]
    Stopped,
    /// The TLS handshake failed, or the TLS stream was broken.
    #[error("TLS error: {0}")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The TLS handshake took too long.
    #[error("the TLS handshake took too long")]
    TlsTimeout,
    /// The peer finished sending in the middle of a frame.
    #[error("the peer closed the connection {have} bytes into a frame")]
    TruncatedFrame {
        /// Bytes of the frame that had arrived.
        have: usize,
    },
    /// The peer did not take the bytes that were sent to it.
    #[error("the peer stopped reading")]
    WriteStalled,
}

/// The side that ended the connection.
///
/// ```
/// use netcore::{CloseReason, Initiator};
///
/// /// Whether to connect again by ourselves: not if we ended it on purpose.
/// fn is_worth_another_try(by: Initiator) -> bool {
///     match by {
///         Initiator::Library | Initiator::Peer => true,
///         Initiator::Local => false,
///     }
/// }
/// assert!(is_worth_another_try(CloseReason::<()>::Eof.initiator()));
/// assert!(!is_worth_another_try(CloseReason::<()>::Local(0).initiator()));
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Initiator {
    /// The library, because the peer broke a rule or a deadline passed.
    Library,
    /// The application.
    Local,
    /// The peer or the network.
    Peer,
}

impl<E> CloseReason<E> {
    /// A short name of the kind of reason, for metrics and logs: `snake_case`, never changed.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ConnectFailed(_) => "connect_failed",
            Self::ConnectTimeout => "connect_timeout",
            Self::Drained => "drained",
            Self::Eof => "eof",
            Self::FrameTimeout => "frame_timeout",
            Self::HandlerPanicked => "handler_panicked",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::Io(_) => "io",
            Self::Local(_) => "local",
            Self::NoWorkers => "no_workers",
            Self::OutboundFull { .. } => "outbound_full",
            Self::PongTimeout => "pong_timeout",
            Self::Protocol(_) => "protocol",
            Self::Proxy(_) => "proxy",
            Self::Reset => "reset",
            Self::Stopped => "stopped",
            Self::Tls(_) => "tls",
            Self::TlsTimeout => "tls_timeout",
            Self::TruncatedFrame { .. } => "truncated_frame",
            Self::WriteStalled => "write_stalled",
        }
    }

    /// The side that ended the connection.
    #[must_use]
    pub const fn initiator(&self) -> Initiator {
        match self {
            Self::ConnectFailed(_) | Self::Eof | Self::TruncatedFrame { .. } | Self::Reset | Self::Io(_) => {
                Initiator::Peer
            }
            Self::Local(_) => Initiator::Local,
            Self::ConnectTimeout
            | Self::Drained
            | Self::FrameTimeout
            | Self::HandlerPanicked
            | Self::HandshakeTimeout
            | Self::IdleTimeout
            | Self::NoWorkers
            | Self::OutboundFull { .. }
            | Self::PongTimeout
            | Self::Protocol(_)
            | Self::Proxy(_)
            | Self::Stopped
            | Self::Tls(_)
            | Self::TlsTimeout
            | Self::WriteStalled => Initiator::Library,
        }
    }

    /// The reason that belongs to an error of a socket call.
    ///
    /// ```
    /// use netcore::CloseReason;
    /// use std::io;
    ///
    /// let reset = CloseReason::<()>::from_io(io::ErrorKind::BrokenPipe.into());
    /// assert!(matches!(reset, CloseReason::Reset));
    /// let other = CloseReason::<()>::from_io(io::ErrorKind::HostUnreachable.into());
    /// assert!(matches!(other, CloseReason::Io(_)));
    /// ```
    #[must_use]
    pub fn from_io(error: io::Error) -> Self {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the standard library's list of errors is open"
        )]
        match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected => Self::Reset,
            _ => Self::Io(error),
        }
    }
}

/// What happens to queued frames when a connection is closed.
///
/// ```
/// use netcore::conn::{Core, Phase};
/// use netcore::{CloseHow, CloseReason};
/// # use netcore::codec::LengthPrefixed;
/// # use netcore::time::Tick;
/// # use netcore::{Outbound, Settings, Timeouts};
/// # let settings = Settings::new(&Timeouts::default(), Outbound::default());
/// # let mut core = Core::new(LengthPrefixed::new(100), Tick(0), 0, &settings);
///
/// core.send(&settings, Tick(1), b"goodbye").unwrap();
/// core.close(CloseReason::Local(0), CloseHow::Flush, Tick(1));
/// assert_eq!((core.phase(), core.queued_bytes()), (Phase::Flushing, 11));
/// // It takes too long: drop the bytes that are left.
/// core.close(CloseReason::Local(1), CloseHow::Abort, Tick(2));
/// assert_eq!((core.phase(), core.queued_bytes()), (Phase::Closed, 0));
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum CloseHow {
    /// They are dropped, and the socket is closed at the end of the turn.
    Abort,
    /// They are written first, then our side is shut down, and the peer gets the linger time to close its own.
    /// Nothing more is read or queued. Ends early if nothing can be written for the write-stall time.
    Flush,
}

/// What [`Core::send`](crate::conn::Core::send) did with a frame that it queued.
///
/// ```
/// use netcore::{Outbound, Queued, Settings, Timeouts};
/// # use netcore::{codec::LengthPrefixed, conn::Core, time::Tick};
///
/// let marks = Outbound { low_water: 10, high_water: 20, ..Outbound::default() };
/// let settings = Settings::new(&Timeouts::default(), marks);
/// let mut core = Core::new(LengthPrefixed::new(100), Tick(0), 0, &settings);
/// assert_eq!(core.send(&settings, Tick(1), b"a small frame"), Ok(Queued::Buffered));
/// // It is queued, but the producer of frames should pause now.
/// assert_eq!(core.send(&settings, Tick(1), b"another frame"), Ok(Queued::AboveHighWater));
/// assert!(core.is_paused());
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Queued {
    /// It is queued, and above the high water mark: reading of this connection pauses until the peer has
    /// caught up.
    AboveHighWater,
    /// It is queued and will be written in this turn.
    Buffered,
}

/// Why a frame was not queued.
///
/// ```
/// # #[cfg(feature = "reactor")] mod example {
/// use netcore::{ConnCx, Handler, SendError};
/// use bytes::Bytes;
///
/// /// Sends a frame if that is possible; returns whether the connection is worth keeping.
/// fn offer<H: Handler>(cx: &mut ConnCx<'_, H>, frame: Bytes) -> bool {
///     match cx.send_encoded(frame) {
///         Ok(_) | Err(SendError::Closing) => true,
///         // Later, in `on_writable`.
///         Err(SendError::Full) => true,
///         Err(SendError::Encode) => false,
///     }
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum SendError {
    /// The connection is closing.
    #[error("the connection is closing")]
    Closing,
    /// The codec has no representation for it; the reason is logged at debug level.
    #[error("the frame cannot be encoded")]
    Encode,
    /// The queue would pass its limit. `on_writable` is called once the queue has fallen to low water. A frame
    /// larger than the limit itself can never be sent.
    #[error("the outbound queue is full")]
    Full,
}
