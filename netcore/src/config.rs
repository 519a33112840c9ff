//! Owns the settings of an embedder: limits, deadlines, water marks and budgets, with their defaults. Must never read
//! files or the environment.

use crate::limits::READ_BUFFER_BYTES;
use crate::time::Ticks;
use std::time::Duration;

/// Deadlines. [`Duration::MAX`] switches a deadline off; the resolution is [`TICK`](crate::limits::TICK). While we
/// pause reading of a connection, its `frame`, `idle` and pong deadlines stand still.
///
/// ```
/// use netcore::Timeouts;
/// use std::time::Duration;
///
/// // Mobile clients: pinged every five minutes, dead half a minute later.
/// let timeouts = Timeouts {
///     ping_after: Some(Duration::from_secs(300)),
///     pong_within: Duration::from_secs(30),
///     idle: Duration::MAX,
///     ..Timeouts::default()
/// };
/// # assert!(timeouts.handshake == Duration::MAX);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timeouts {
    /// From the start of an attempt to connect until the connection is made, for connections that we make.
    pub connect: Duration,
    /// From accept to the whole PROXY header, where one is expected.
    pub proxy_header: Duration,
    /// From the connection to the end of the TLS handshake, and as much again for waiting to begin it, see
    /// [`Limits::tls_handshakes`].
    pub tls_handshake: Duration,
    /// From accept until the application calls `established`, whatever arrives meanwhile. Off by default,
    /// which also means that connections count as established at once: a protocol with a login sets it.
    pub handshake: Duration,
    /// From the first byte of a frame to its last.
    pub frame: Duration,
    /// How long the peer may send nothing at all.
    pub idle: Duration,
    /// How long an established peer may be silent before it is pinged; `None` never pings. Spread by 10 % either way,
    /// and over the whole span the first time, so that a mass reconnect does not ping in step.
    pub ping_after: Option<Duration>,
    /// From a ping to the first byte from the peer, of any kind: a peer in the middle of sending a large frame cannot
    /// send a pong.
    pub pong_within: Duration,
    /// How long the socket may take none of the bytes queued for the peer.
    pub write_stall: Duration,
    /// How long a closing connection may take to flush its last frames if the library ends it, and then how long the
    /// peer may take to close its side.
    pub linger: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            proxy_header: Duration::from_secs(5),
            tls_handshake: Duration::from_secs(10),
            handshake: Duration::MAX,
            frame: Duration::from_secs(30),
            idle: Duration::from_secs(120),
            ping_after: None,
            pong_within: Duration::from_secs(25),
            write_stall: Duration::from_secs(120),
            linger: Duration::from_secs(2),
        }
    }
}

/// What happens when a frame does not fit into an out-queue.
///
/// ```
/// use netcore::{Outbound, WhenFull};
///
/// /// A client that reconnects reads a feed again from the beginning; a request's answer it cannot.
/// fn marks(is_feed: bool) -> Outbound {
///     let when_full = if is_feed { WhenFull::Close } else { WhenFull::Refuse };
///     Outbound { when_full, ..Outbound::default() }
/// }
/// assert_eq!(marks(false), Outbound::default());
/// assert_eq!(marks(true).when_full, WhenFull::Close);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum WhenFull {
    /// The frame is refused with an error to its sender; the connection goes on.
    #[default]
    Refuse,
    /// The connection is closed with [`CloseReason::OutboundFull`](crate::CloseReason::OutboundFull): the peer
    /// does not read, so the queued bytes cannot be written.
    Close,
}

/// Water marks of the bytes queued for one connection, in bytes. Above `high_water` reading of the connection
/// pauses until the queue has fallen to `low_water`; frames that would pass `limit` are refused.
///
/// A relay, which queues frames of other senders for a peer, sets `high_water` to `limit`: the peer's own bytes have
/// nothing to do with those it does not read, and two relays that stop reading each other would wait for ever.
///
/// ```
/// use netcore::{Outbound, WhenFull};
///
/// // A market feed: a peer that is a megabyte behind is cut off.
/// let outbound = Outbound { limit: 1024 * 1024, when_full: WhenFull::Close, ..Outbound::default() };
/// # assert!(outbound.low_water < outbound.high_water);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Outbound {
    /// The mark at which the application is told to go on.
    pub low_water: usize,
    /// The mark above which reading pauses.
    pub high_water: usize,
    /// The mark beyond which frames are refused.
    pub limit: usize,
    /// How far beyond `limit` replies and pongs may go: they answer an admitted request.
    pub reply_reserve: usize,
    /// What happens to a connection whose queue would pass the limit.
    pub when_full: WhenFull,
}

impl Default for Outbound {
    fn default() -> Self {
        Self {
            low_water: 32 * 1024,
            high_water: 64 * 1024,
            limit: 1024 * 1024,
            reply_reserve: 256 * 1024,
            when_full: WhenFull::Refuse,
        }
    }
}

impl Outbound {
    /// Marks between which one more frame of up to this many bytes, header included, always fits: a handler that
    /// answers each frame with at most one is never refused.
    ///
    /// ```
    /// use netcore::Outbound;
    ///
    /// let outbound = Outbound::for_frames_of(4 + 1024 * 1024);
    /// assert_eq!(outbound.limit - outbound.high_water, 4 + 1024 * 1024);
    /// ```
    #[must_use]
    pub const fn for_frames_of(bytes: usize) -> Self {
        // The answers to one read fit into one write.
        let high_water = READ_BUFFER_BYTES;
        Self {
            low_water: high_water / 2,
            high_water,
            limit: high_water.saturating_add(bytes),
            reply_reserve: 256 * 1024,
            when_full: WhenFull::Refuse,
        }
    }

    /// The same marks in ascending order; marks out of order are raised.
    ///
    /// ```
    /// use netcore::Outbound;
    ///
    /// // Only one mark was configured; the others follow.
    /// let marks = Outbound { low_water: 2 * 1024 * 1024, ..Outbound::default() }.ordered();
    /// assert_eq!((marks.high_water, marks.limit), (marks.low_water, marks.low_water));
    /// ```
    #[must_use]
    pub fn ordered(self) -> Self {
        let high_water = self.high_water.max(self.low_water);
        Self {
            high_water,
            limit: self.limit.max(high_water),
            ..self
        }
    }
}

/// How connections are accepted.
///
/// ```
/// use netcore::Accept;
///
/// /// Short connections come by the thousand in a second; long ones should be spread evenly.
/// fn accept(new_connections_per_second: u32) -> Accept {
///     if new_connections_per_second > 10_000 { Accept::ReusePort } else { Accept::Dispatch }
/// }
/// assert_eq!(accept(50), Accept::default());
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Accept {
    /// The first loop accepts, and gives each connection to the loop with the fewest: balanced, whatever connects.
    #[default]
    Dispatch,
    /// Every loop listens by itself (`SO_REUSEPORT`) and keeps what the kernel gives it, by a hash of the
    /// addresses: more connections per second, but a connection waits for its loop even if others are idle, and
    /// stopping one listener resets what waited there (before Linux 5.14). Another process of the same user
    /// can listen on the port, too. Addresses only: a listening socket that is given, and Unix sockets, are
    /// accepted by the first loop, which then keeps them.
    ReusePort,
}

/// The processors that the loops run on.
///
/// ```
/// use netcore::Pinning;
///
/// // Four loops on the first four processors; the workers keep away from them by other means.
/// let pinning = Pinning::Processors((0..4).collect());
/// # assert_ne!(pinning, Pinning::Free);
/// ```
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub enum Pinning {
    /// Any: the system chooses.
    #[default]
    Free,
    /// Loop `n` runs on processor `n` of this list; with more loops, the list starts again. Linux only; on other
    /// systems the server does not start with it.
    Processors(Vec<usize>),
}

/// Limits on the number of connections and on their memory.
///
/// ```
/// use netcore::Limits;
///
/// // A small machine.
/// let limits = Limits { connections: 5_000, queued_bytes: 32 * 1024 * 1024, ..Limits::default() };
/// # assert!(limits.undecoded_bytes > 0);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Connections of the whole server; further ones are accepted and closed at once.
    pub connections: usize,
    /// Received but undecoded bytes held by all connections of one loop. Above it the loop reads
    /// [`READ_BYTES_UNDER_PRESSURE`](crate::limits::READ_BYTES_UNDER_PRESSURE) bytes at a time.
    pub undecoded_bytes: usize,
    /// Bytes queued for the peers of all connections of one loop. Above it, and until it has fallen below again, no
    /// connection may queue beyond its low water mark; replies and pongs still may. A frame that many connections share
    /// counts for each of them.
    pub queued_bytes: usize,
    /// TLS handshakes of one loop at the same time. Further ones wait: a handshake costs as much as thousands of
    /// messages.
    pub tls_handshakes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 100_000,
            undecoded_bytes: 64 * 1024 * 1024,
            queued_bytes: 512 * 1024 * 1024,
            tls_handshakes: 256,
        }
    }
}

/// The budgets of one turn of a loop. Work left over continues in the next turn without sleeping. All are at least 1.
///
/// ```
/// use netcore::Budgets;
///
/// // Frames are expensive here: after a few of them, other connections get their turn.
/// let budgets = Budgets { frames: 8, ..Budgets::default() };
/// # assert!(budgets.reads > 0);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Budgets {
    /// Read calls per connection and turn.
    pub reads: usize,
    /// Bytes read per connection and turn.
    pub bytes: usize,
    /// Frames handled per connection and turn, pings included.
    pub frames: usize,
    /// Sockets accepted per listener and turn.
    pub accepts: usize,
    /// Messages handled per turn.
    pub commands: usize,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            reads: 16,
            bytes: 256 * 1024,
            frames: 128,
            accepts: 64,
            commands: 4096,
        }
    }
}

/// [`Timeouts`] and [`Outbound`] in the units of the connection core.
///
/// ```
/// use netcore::codec::LengthPrefixed;
/// use netcore::conn::Core;
/// use netcore::time::{Tick, Ticks};
/// use netcore::{Outbound, Settings, Timeouts};
/// use std::time::Duration;
///
/// let timeouts = Timeouts { idle: Duration::from_secs(30), ..Timeouts::default() };
/// // One value serves all connections of a loop.
/// let settings = Settings::new(&timeouts, Outbound::default());
/// let core = Core::new(LengthPrefixed::new(100), Tick(7), 0, &settings);
/// let idle = Ticks::from_duration(Duration::from_secs(30));
/// assert_eq!(core.next_deadline(&settings), Tick(7).after(idle));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub(crate) handshake: Ticks,
    pub(crate) frame: Ticks,
    pub(crate) idle: Ticks,
    pub(crate) ping_after: Option<Ticks>,
    pub(crate) pong_within: Ticks,
    pub(crate) write_stall: Ticks,
    pub(crate) linger: Ticks,
    pub(crate) outbound: Outbound,
}

impl Settings {
    /// Converts durations to ticks and puts the water marks in order.
    #[must_use]
    pub fn new(timeouts: &Timeouts, outbound: Outbound) -> Self {
        Self {
            handshake: Ticks::from_duration(timeouts.handshake),
            frame: Ticks::from_duration(timeouts.frame),
            idle: Ticks::from_duration(timeouts.idle),
            ping_after: timeouts.ping_after.map(Ticks::from_duration),
            pong_within: Ticks::from_duration(timeouts.pong_within),
            write_stall: Ticks::from_duration(timeouts.write_stall),
            linger: Ticks::from_duration(timeouts.linger),
            outbound: outbound.ordered(),
        }
    }
}
