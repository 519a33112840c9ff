//! Owns the state that the loops of a server share: the number of connections, the next loop to get one, the listeners,
//! and the progress of a drain. Must never be locked while foreign code runs.

use crate::address::{Address, CompactPeer, Origin, Peer};
use crate::admission::{Admission, Refused, Sources};
use crate::config::Outbound;
use crate::context::Stage;
use crate::id::LoopId;
use crate::limits::HANDOVER_MAX;
use crate::network::Network;
use crate::tls::TlsServer;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::mem;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The state that all loops share, of any kind of socket.
pub(crate) struct Shared {
    listeners: Vec<ListenerInfo>,
    loads: Vec<AtomicUsize>,
    connections: AtomicUsize,
    connections_max: usize,
    /// `None` if no limit needs it, so that it is not locked then.
    sources: Option<Mutex<Sources>>,
    drain: Mutex<Drain>,
    changed: Condvar,
    /// The warning about frames that may not fit has been logged.
    warned: AtomicBool,
}

/// What every connection of a listener has in common.
#[derive(Debug)]
pub(crate) struct ListenerInfo {
    pub(crate) local: Address,
    /// The proxies that are trusted to report client addresses.
    pub(crate) proxies: Vec<Network>,
    pub(crate) tls: Option<TlsServer>,
    /// Connections that do not begin as TLS does are welcome, too.
    pub(crate) plain_too: bool,
    /// Peers of other users are turned away.
    pub(crate) own_user_only: bool,
    /// The application's.
    pub(crate) tag: u32,
    /// Every connection of this listener has a header: it is a Unix socket of a trusted proxy.
    pub(crate) proxied_always: bool,
}

impl ListenerInfo {
    /// Whether a connection from this address begins with a PROXY header.
    pub(crate) fn expects_header(&self, address: &Address) -> bool {
        match address.ip() {
            Some(ip) => self.proxies.iter().any(|network| network.contains(ip)),
            None => self.proxied_always,
        }
    }

    /// How a connection begins, behind the PROXY header if there is one; `None` if it is open at once.
    pub(crate) const fn beginning(&self) -> Option<Stage> {
        match (&self.tls, self.plain_too) {
            (_, true) => Some(Stage::FirstByte),
            (Some(_), false) => Some(Stage::Queued),
            (None, false) => None,
        }
    }
}

/// The phase of a server between start and end.
///
/// ```
/// use netcore::{Server, ServerPhase};
/// use std::time::Duration;
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
/// let server = Server::builder::<Echo>().loops(1).start(|_loop, _remote| Echo)?;
/// assert_eq!(server.phase(), ServerPhase::Running);
/// server.drain(Duration::from_secs(1));
/// // Phases only go forward, so they can be compared.
/// assert!(server.wait_for_phase(ServerPhase::Finishing, Duration::from_secs(60)) >= ServerPhase::Finishing);
/// # Ok::<_, netcore::StartError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Phase {
    /// Connections come and go.
    #[default]
    Running,
    /// Nothing is accepted, and the connections are being told that the server drains.
    Announcing,
    /// All have been told, and are finishing.
    Finishing,
    /// The deadline has passed, and the remaining connections are aborted.
    Aborting,
    /// The loops have stopped.
    Stopped,
}

/// The progress of a drain.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Drain {
    pub(crate) phase: Phase,
    /// When connections are aborted; `None` while the server is not draining.
    pub(crate) deadline: Option<Instant>,
    /// The time over which the connections are told.
    pub(crate) spread: Duration,
    /// Loops that have told all of their connections.
    announced: usize,
    pub(crate) drained: usize,
    pub(crate) aborted: usize,
}

impl Shared {
    pub(crate) fn new(
        loops: usize,
        connections_max: usize,
        admission: Admission,
        listeners: Vec<ListenerInfo>,
    ) -> Self {
        let needs_sources =
            admission.rate.is_some() || admission.per_source.is_some() || admission.per_source_rate.is_some();
        Self {
            listeners,
            loads: std::iter::repeat_with(AtomicUsize::default).take(loops).collect(),
            connections: AtomicUsize::new(0),
            connections_max,
            sources: needs_sources.then(|| Mutex::new(Sources::new(admission))),
            drain: Mutex::new(Drain::default()),
            changed: Condvar::new(),
            warned: AtomicBool::new(false),
        }
    }

    /// Warns, once, if a frame of the longest kind can be refused although its connection is read.
    pub(crate) fn check_room(&self, outbound: Outbound, frame_bytes_max: usize) {
        let room = outbound.limit.saturating_sub(outbound.high_water);
        if room < frame_bytes_max && !self.warned.swap(true, Ordering::Relaxed) {
            log::warn!(
                "frames of up to {frame_bytes_max} bytes can be refused: Outbound has room for {room} above high water"
            );
        }
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }

    pub(crate) fn listener(&self, origin: Origin) -> Option<&ListenerInfo> {
        self.listeners.get(origin.index()?)
    }

    /// The embedder's view of a peer.
    pub(crate) fn peer(&self, compact: &CompactPeer) -> Peer {
        let address = compact.address();
        let listener = self.listener(compact.origin);
        Peer {
            local: listener.map_or_else(|| address.clone(), |info| info.local.clone()),
            address,
            proxied: compact.proxied,
            tag: listener.map_or(0, |info| info.tag),
        }
    }

    /// Whether another connection may be accepted now, or when.
    pub(crate) fn next_accept(&self, now: Instant) -> Result<(), Instant> {
        match &self.sources {
            Some(sources) => sources.lock().next_accept(now),
            None => Ok(()),
        }
    }

    /// Other limits from now on, if there were any before.
    pub(crate) fn set_admission(&self, admission: Admission) {
        if let Some(sources) = &self.sources {
            sources.lock().set_limits(admission);
        }
    }

    /// A connection was accepted.
    pub(crate) fn note_accept(&self, now: Instant) {
        if let Some(sources) = &self.sources {
            sources.lock().note_accept(now);
        }
    }

    /// Counts a connection by its source; see [`Sources::enter`].
    pub(crate) fn enter_source(&self, address: IpAddr, now: Instant) -> Result<bool, Refused> {
        match &self.sources {
            Some(sources) => sources.lock().enter(address, now),
            None => Ok(false),
        }
    }

    /// A connection that was counted by its source is gone, or will not be opened.
    pub(crate) fn leave_source(&self, peer: &CompactPeer, now: Instant) {
        if peer.counted
            && let (Some(sources), Some(source)) = (&self.sources, peer.source())
        {
            sources.lock().leave(source, now);
        }
    }

    /// The loop with the fewest connections.
    pub(crate) fn least_loaded(&self) -> LoopId {
        let least = self
            .loads
            .iter()
            .enumerate()
            .min_by_key(|(_, load)| load.load(Ordering::Relaxed))
            .map_or(0, |(index, _)| index);
        LoopId(least as u8)
    }

    /// Counts a new connection of this loop; `false` if there are too many.
    pub(crate) fn enter(&self, loop_id: LoopId) -> bool {
        let below_max = |count: usize| (count < self.connections_max).then_some(count + 1);
        let entered = self
            .connections
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, below_max)
            .is_ok();
        if entered && let Some(load) = self.loads.get(loop_id.index()) {
            load.fetch_add(1, Ordering::Relaxed);
        }
        entered
    }

    /// A counted connection of this loop is gone.
    pub(crate) fn leave(&self, loop_id: LoopId, peer: &CompactPeer, now: Instant) {
        self.leave_source(peer, now);
        if let Some(load) = self.loads.get(loop_id.index()) {
            load.fetch_sub(1, Ordering::Relaxed);
        }
        if self.connections.fetch_sub(1, Ordering::AcqRel) == 1 {
            // A waiting thread has checked the count under this lock.
            drop(self.drain.lock());
            self.changed.notify_all();
        }
    }

    /// Sets the deadline of a drain; an earlier one stays.
    pub(crate) fn begin_drain(&self, deadline: Instant, spread: Duration) {
        let mut drain = self.drain.lock();
        drain.deadline = Some(drain.deadline.map_or(deadline, |earlier| earlier.min(deadline)));
        if drain.phase == Phase::Running {
            drain.phase = Phase::Announcing;
            drain.spread = spread;
        }
        self.changed.notify_all();
    }

    pub(crate) fn drain(&self) -> Drain {
        *self.drain.lock()
    }

    /// A loop has told all of its connections of the drain.
    pub(crate) fn note_announced(&self) {
        let mut drain = self.drain.lock();
        drain.announced += 1;
        if drain.announced == self.loads.len() {
            drop(drain);
            self.advance(Phase::Finishing);
        }
    }

    /// Phases only go forward.
    pub(crate) fn advance(&self, phase: Phase) {
        let mut drain = self.drain.lock();
        drain.phase = drain.phase.max(phase);
        self.changed.notify_all();
    }

    pub(crate) fn note_drained(&self, aborted: bool) {
        let mut drain = self.drain.lock();
        if aborted {
            drain.aborted += 1;
        } else {
            drain.drained += 1;
        }
    }

    /// Waits until there are no connections, but not beyond `latest`.
    pub(crate) fn wait_for_none(&self, latest: Instant) -> Drain {
        let mut drain = self.drain.lock();
        while self.connections() > 0 {
            if self.changed.wait_until(&mut drain, latest).timed_out() {
                break;
            }
        }
        *drain
    }

    /// Waits until the phase is at least this, but not beyond `latest`; returns the phase.
    pub(crate) fn wait_for_phase(&self, phase: Phase, latest: Instant) -> Phase {
        let mut drain = self.drain.lock();
        while drain.phase < phase {
            if self.changed.wait_until(&mut drain, latest).timed_out() {
                break;
            }
        }
        drain.phase
    }
}

/// Accepted sockets on their way to the loops that will own them.
pub(crate) struct Handover<S> {
    per_loop: Vec<Mutex<VecDeque<(S, CompactPeer)>>>,
}

impl<S> Handover<S> {
    pub(crate) fn new(loops: usize) -> Self {
        Self {
            per_loop: std::iter::repeat_with(Mutex::default).take(loops).collect(),
        }
    }

    /// Sends a socket to another loop; gives it back if too many are waiting there.
    pub(crate) fn give(&self, to: LoopId, stream: S, peer: CompactPeer) -> Result<(), S> {
        let Some(waiting) = self.per_loop.get(to.index()) else {
            return Err(stream);
        };
        let mut waiting = waiting.lock();
        if waiting.len() >= HANDOVER_MAX {
            return Err(stream);
        }
        waiting.push_back((stream, peer));
        Ok(())
    }

    /// The sockets sent to this loop.
    pub(crate) fn take(&self, loop_id: LoopId) -> VecDeque<(S, CompactPeer)> {
        self.per_loop
            .get(loop_id.index())
            .map(|waiting| mem::take(&mut *waiting.lock()))
            .unwrap_or_default()
    }
}
