//! Owns the reports of a server about itself: the trait of an observer, and a ready-made observer that counts. Must
//! never decide anything, and must cost nothing without an observer.

use crate::admission::Refused;
use crate::close::Initiator;
use crate::id::LoopId;
use crate::limits::LOOPS_MAX;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// One turn of a loop, as [`Observer::turn`] gets it. The counts are those of this turn, unless a field says "now".
///
/// ```
/// use netcore::Turn;
/// use std::time::Duration;
///
/// /// Whether a loop has more work than time: it is late, or holds much for later.
/// fn is_overloaded(turn: &Turn) -> bool {
///     turn.lag > Duration::from_millis(100) || turn.ready > 1_000 || turn.messages_waiting > 10_000
/// }
/// assert!(!is_overloaded(&Turn::default()));
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Turn {
    /// The lag: how much later than its earliest deadline the loop handled it. Zero if nothing was due.
    pub lag: Duration,
    /// The time from the end of waiting to the end of the turn.
    pub work: Duration,
    /// Sockets that became ready.
    pub events: u64,
    /// Messages and commands handled.
    pub messages: u64,
    /// Frames given to the handler.
    pub frames: u64,
    /// Frames queued for peers.
    pub sent_frames: u64,
    /// Read calls.
    pub reads: u64,
    /// Bytes received, before decryption.
    pub read_bytes: u64,
    /// Write calls.
    pub writes: u64,
    /// Bytes written, after encryption.
    pub written_bytes: u64,
    /// Connections of the loop, now.
    pub connections: usize,
    /// Connections with more to read in the next turn, now.
    pub ready: usize,
    /// Messages and commands that wait, now.
    pub messages_waiting: usize,
    /// Connections whose task the worker pool refused, now.
    pub tasks_waiting: usize,
    /// Received but undecoded bytes held, now.
    pub undecoded_bytes: usize,
    /// Bytes queued for peers, now.
    pub queued_bytes: usize,
}

/// Observes the events of a server. The methods are called on the threads of the loops, and must not block.
///
/// ```
/// use netcore::{LoopId, Observer, Turn};
/// use std::time::Duration;
///
/// struct Watchdog;
///
/// impl Observer for Watchdog {
///     fn turn(&self, loop_id: LoopId, turn: &Turn) {
///         if turn.work > Duration::from_millis(50) {
///             eprintln!("loop {} was away for {:?}", loop_id.index(), turn.work);
///         }
///     }
/// }
/// ```
pub trait Observer: Send + Sync + 'static {
    /// A loop ended a turn.
    fn turn(&self, _loop_id: LoopId, _turn: &Turn) {}

    /// A connection was opened: its frames can be handled.
    fn opened(&self, _loop_id: LoopId) {}

    /// A connection ended: the side that ended it, and the [name](crate::CloseReason::name) of the reason.
    ///
    /// ```
    /// use netcore::{Initiator, LoopId, Observer};
    /// use std::sync::atomic::{AtomicU64, Ordering};
    ///
    /// /// Counts the times that peers break the protocol.
    /// #[derive(Default)]
    /// struct Violations(AtomicU64);
    ///
    /// impl Observer for Violations {
    ///     fn closed(&self, _loop_id: LoopId, by: Initiator, reason: &'static str) {
    ///         if by == Initiator::Library && reason == "protocol" {
    ///             self.0.fetch_add(1, Ordering::Relaxed);
    ///         }
    ///     }
    /// }
    /// ```
    fn closed(&self, _loop_id: LoopId, _by: Initiator, _reason: &'static str) {}

    /// A connection was refused before it was opened.
    fn refused(&self, _loop_id: LoopId, _why: Refused) {}
}

/// Counts events, for each loop by itself. Can be read from any thread while the loops run, and does not make them
/// wait.
///
/// ```
/// use netcore::Counters;
/// use std::sync::Arc;
///
/// let counters = Arc::new(Counters::default());
/// // .observer(counters.clone()) on the builder, and at any time:
/// let now = counters.snapshot();
/// assert_eq!((now.opened, now.frames), (0, 0));
/// ```
#[derive(Debug)]
pub struct Counters(Box<[Row]>);

/// The numbers of one loop, on cache lines of their own, because each loop writes its row all the time.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Row {
    turns: AtomicU64,
    work_nanos: AtomicU64,
    work_max_nanos: AtomicU64,
    lag_max_nanos: AtomicU64,
    messages: AtomicU64,
    frames: AtomicU64,
    sent_frames: AtomicU64,
    reads: AtomicU64,
    read_bytes: AtomicU64,
    writes: AtomicU64,
    written_bytes: AtomicU64,
    opened: AtomicU64,
    refused: AtomicU64,
    closed_by_library: AtomicU64,
    closed_by_application: AtomicU64,
    closed_by_peer: AtomicU64,
    undecoded_bytes: AtomicU64,
    queued_bytes: AtomicU64,
}

/// Sums over all loops since the start; a field that is not a sum says so.
///
/// ```
/// use netcore::Totals;
///
/// /// Differences between two snapshots: connections opened, and bytes in both directions.
/// fn since(before: &Totals, now: &Totals) -> (u64, u64) {
///     let bytes = |totals: &Totals| totals.read_bytes + totals.written_bytes;
///     (now.opened - before.opened, bytes(now) - bytes(before))
/// }
/// assert_eq!(since(&Totals::default(), &Totals::default()), (0, 0));
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Totals {
    /// Turns of the loops.
    pub turns: u64,
    /// Time spent in turns, without waiting.
    pub work: Duration,
    /// The longest turn.
    pub work_max: Duration,
    /// The largest lag.
    pub lag_max: Duration,
    /// Messages and commands handled.
    pub messages: u64,
    /// Frames given to handlers.
    pub frames: u64,
    /// Frames queued for peers.
    pub sent_frames: u64,
    /// Read calls.
    pub reads: u64,
    /// Bytes received.
    pub read_bytes: u64,
    /// Write calls.
    pub writes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Connections opened.
    pub opened: u64,
    /// Connections turned away.
    pub refused: u64,
    /// Connections that the library ended.
    pub closed_by_library: u64,
    /// Connections that the application ended.
    pub closed_by_application: u64,
    /// Connections that their peers or the network ended.
    pub closed_by_peer: u64,
    /// Received but undecoded bytes held at the end of the loops' latest turns.
    pub undecoded_bytes: u64,
    /// Bytes queued for peers at the end of the loops' latest turns.
    pub queued_bytes: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Self(std::iter::repeat_with(Row::default).take(LOOPS_MAX).collect())
    }
}

impl Counters {
    /// The current numbers; those of different loops may be of slightly different moments.
    ///
    /// ```
    /// use netcore::{Counters, Server};
    /// # use std::io::{Read, Write};
    /// # use std::net::{SocketAddr, TcpStream};
    /// # use std::sync::Arc;
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
    ///
    /// let counters = Arc::new(Counters::default());
    /// let server = Server::builder::<Echo>()
    ///     .loops(2)
    ///     .listen(SocketAddr::from(([127, 0, 0, 1], 0)))
    ///     .observer(counters.clone())
    ///     .start(|_loop, _remote| Echo)?;
    /// let mut client = TcpStream::connect(server.local_addrs()[0])?;
    /// client.write_all(b"\0\0\0\x02hi")?;
    /// client.read_exact(&mut [0; 6])?;
    /// server.shutdown();
    /// let totals = counters.snapshot();
    /// assert_eq!((totals.opened, totals.frames, totals.sent_frames, totals.written_bytes), (1, 1, 1, 6));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn snapshot(&self) -> Totals {
        let sum = |of: fn(&Row) -> &AtomicU64| -> u64 {
            self.0.iter().map(|row| of(row).load(Ordering::Relaxed)).sum()
        };
        let max = |of: fn(&Row) -> &AtomicU64| -> Duration {
            let nanos = self.0.iter().map(|row| of(row).load(Ordering::Relaxed)).max();
            Duration::from_nanos(nanos.unwrap_or_default())
        };
        Totals {
            turns: sum(|row| &row.turns),
            work: Duration::from_nanos(sum(|row| &row.work_nanos)),
            work_max: max(|row| &row.work_max_nanos),
            lag_max: max(|row| &row.lag_max_nanos),
            messages: sum(|row| &row.messages),
            frames: sum(|row| &row.frames),
            sent_frames: sum(|row| &row.sent_frames),
            reads: sum(|row| &row.reads),
            read_bytes: sum(|row| &row.read_bytes),
            writes: sum(|row| &row.writes),
            written_bytes: sum(|row| &row.written_bytes),
            opened: sum(|row| &row.opened),
            refused: sum(|row| &row.refused),
            closed_by_library: sum(|row| &row.closed_by_library),
            closed_by_application: sum(|row| &row.closed_by_application),
            closed_by_peer: sum(|row| &row.closed_by_peer),
            undecoded_bytes: sum(|row| &row.undecoded_bytes),
            queued_bytes: sum(|row| &row.queued_bytes),
        }
    }

    fn add(&self, loop_id: LoopId, of: fn(&Row) -> &AtomicU64, value: u64) {
        if let Some(row) = self.0.get(loop_id.index())
            && value > 0
        {
            of(row).fetch_add(value, Ordering::Relaxed);
        }
    }
}

impl Observer for Counters {
    fn turn(&self, loop_id: LoopId, turn: &Turn) {
        let work = nanos(turn.work);
        self.add(loop_id, |row| &row.turns, 1);
        self.add(loop_id, |row| &row.work_nanos, work);
        self.add(loop_id, |row| &row.messages, turn.messages);
        self.add(loop_id, |row| &row.frames, turn.frames);
        self.add(loop_id, |row| &row.sent_frames, turn.sent_frames);
        self.add(loop_id, |row| &row.reads, turn.reads);
        self.add(loop_id, |row| &row.read_bytes, turn.read_bytes);
        self.add(loop_id, |row| &row.writes, turn.writes);
        self.add(loop_id, |row| &row.written_bytes, turn.written_bytes);
        let Some(row) = self.0.get(loop_id.index()) else {
            return;
        };
        row.work_max_nanos.fetch_max(work, Ordering::Relaxed);
        row.lag_max_nanos.fetch_max(nanos(turn.lag), Ordering::Relaxed);
        row.undecoded_bytes
            .store(turn.undecoded_bytes as u64, Ordering::Relaxed);
        row.queued_bytes
            .store(turn.queued_bytes as u64, Ordering::Relaxed);
    }

    fn opened(&self, loop_id: LoopId) {
        self.add(loop_id, |row| &row.opened, 1);
    }

    fn closed(&self, loop_id: LoopId, by: Initiator, _: &'static str) {
        let of: fn(&Row) -> &AtomicU64 = match by {
            Initiator::Library => |row| &row.closed_by_library,
            Initiator::Local => |row| &row.closed_by_application,
            Initiator::Peer => |row| &row.closed_by_peer,
        };
        self.add(loop_id, of, 1);
    }

    fn refused(&self, loop_id: LoopId, _: Refused) {
        self.add(loop_id, |row| &row.refused, 1);
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
