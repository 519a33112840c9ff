//! Owns the operations of a handler on its loop: reach connections, make new ones, send to many.

use super::{ConnCx, LoopState, Pending, Stage, Target};
use crate::address::{Address, CompactPeer, Origin};
use crate::close::SendError;
use crate::handler::Handler;
use crate::id::{ConnId, LoopId};
use crate::reactor::slots::Entry;
use crate::remote::Remote;
use crate::time::Ticks;
use crate::tls::TlsClient;
use bytes::Bytes;
use std::fmt;
use std::time::{Duration, Instant};

/// A loop, during a callback on it.
///
/// ```
/// use netcore::{Handler, LoopCx};
///
/// /// To be called in `on_tick`: tells all clients of this loop how many they are.
/// fn count<H: Handler>(cx: &mut LoopCx<'_, H>) {
///     let frame = bytes::Bytes::from(format!("{} here\n", cx.connections()));
///     let ids = cx.connection_ids();
///     let delivery = cx.send_to(ids, &frame);
///     if delivery.full > 0 {
///         eprintln!("{} do not keep up", delivery.full);
///     }
/// }
/// ```
pub struct LoopCx<'a, H: Handler> {
    state: &'a mut LoopState<H>,
}

/// A connection to be made, see [`LoopCx::connect`].
///
/// ```
/// use netcore::Connect;
/// use std::net::SocketAddr;
/// use std::time::Duration;
///
/// let connect = Connect::to("192.0.2.1:7000".parse::<SocketAddr>()?)
///     .after(Duration::from_millis(250))
///     .within(Duration::from_secs(3));
/// # let _ = connect;
/// # Ok::<_, std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Connect {
    to: Address,
    after: Duration,
    within: Option<Duration>,
    tls: Option<TlsClient>,
}

impl Connect {
    /// Connects to this address, at once, within [`Timeouts::connect`](crate::Timeouts::connect).
    #[must_use]
    pub fn to(address: impl Into<Address>) -> Self {
        Self {
            to: address.into(),
            after: Duration::ZERO,
            within: None,
            tls: None,
        }
    }

    /// Connects after a pause, such as [`Backoff`](crate::Backoff) gives.
    #[must_use]
    pub const fn after(mut self, pause: Duration) -> Self {
        self.after = pause;
        self
    }

    /// With a deadline of its own, counted from the end of the pause.
    #[must_use]
    pub const fn within(mut self, deadline: Duration) -> Self {
        self.within = Some(deadline);
        self
    }

    /// With TLS; the connection is open when the handshake is over.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, client: TlsClient) -> Self {
        self.tls = Some(client);
        self
    }
}

/// Why a connection was not begun; gives the codec and the state back.
///
/// ```
/// use netcore::{ConnectError, Handler};
///
/// /// Keeps a connection that `connect` refused for another try, in `on_tick`.
/// fn keep<H: Handler>(refused: ConnectError<H>, waiting: &mut Vec<(H::Codec, H::Conn)>) {
///     log::warn!("not connecting: {refused}");
///     waiting.push((refused.codec, refused.conn));
/// }
/// ```
#[derive(thiserror::Error)]
#[error("{why}")]
pub struct ConnectError<H: Handler> {
    /// The codec that was given.
    pub codec: H::Codec,
    /// The state that was given.
    pub conn: H::Conn,
    why: &'static str,
}

impl<H: Handler> fmt::Debug for ConnectError<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConnectError").field(&self.why).finish()
    }
}

/// The result of sending a frame to many connections.
///
/// ```
/// use netcore::Delivery;
///
/// /// Whether the frame was too much for some of the open connections.
/// fn share_missed(delivery: Delivery) -> f64 {
///     let reached = delivery.queued + delivery.full;
///     if reached == 0 { 0.0 } else { delivery.full as f64 / reached as f64 }
/// }
/// assert_eq!(share_missed(Delivery { queued: 3, full: 1, gone: 5 }), 0.25);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Delivery {
    /// Connections with the frame in their out-queues.
    pub queued: usize,
    /// Connections whose out-queue is full; [`on_undelivered`](crate::Handler::on_undelivered) is called for them if
    /// the frame came from another thread.
    pub full: usize,
    /// Connections that are over or closing.
    pub gone: usize,
}

impl<H: Handler> fmt::Debug for LoopCx<'_, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopCx")
            .field("loop_id", &self.state.loop_id)
            .finish_non_exhaustive()
    }
}

impl<'a, H: Handler> LoopCx<'a, H> {
    pub(crate) const fn new(state: &'a mut LoopState<H>) -> Self {
        Self { state }
    }

    /// The connection with this name; `None` if it is over, not open yet, or of another loop.
    pub fn conn(&mut self, id: ConnId) -> Option<ConnCx<'_, H>> {
        self.state.context(id)
    }

    /// Begins to make a connection and names it. `on_open` is called when it is made, TLS included; `on_close` when it
    /// could not be made, or is over. To try again, call this in `on_close` with a pause.
    ///
    /// # Errors
    /// The limit of connections is reached, or the server is draining.
    pub fn connect(
        &mut self,
        connect: Connect,
        codec: H::Codec,
        conn: H::Conn,
    ) -> Result<ConnId, ConnectError<H>> {
        let state = &mut *self.state;
        let refused = |codec, conn, why| Err(ConnectError { codec, conn, why });
        if state.draining {
            return refused(codec, conn, "the server is draining");
        }
        if !state.shared.enter(state.loop_id) {
            return refused(codec, conn, "there are too many connections");
        }
        let peer = CompactPeer::new(&connect.to, Origin::OUTBOUND);
        let start = match connect.after {
            Duration::ZERO => state.tick,
            pause => state.tick.after(Ticks::from_duration(pause)),
        };
        let within = connect.within.map(Ticks::from_duration);
        let mut accepted = Some((codec, conn));
        let id = state.slots.insert(|_| {
            Entry::Pending(Box::new(Pending {
                stage: Stage::Waiting,
                accepted: accepted.take(),
                target: Some(Target {
                    address: connect.to,
                    tls: connect.tls,
                    within,
                }),
                peer,
                deadline: start,
                header: Vec::new(),
                failed: None,
                readable: false,
                writable: false,
                end_announced: false,
                queued: false,
            }))
        });
        match (id, accepted) {
            (Some(id), _) => {
                state.stirred.push(id);
                Ok(id)
            }
            (None, Some((codec, conn))) => {
                state.shared.leave(state.loop_id, &peer, state.now);
                refused(codec, conn, "the loop has too many connections")
            }
            (None, None) => unreachable!("what was not stored was not taken"),
        }
    }

    /// Gives up a connection that is being made; `on_close` is called with code `code`. `false` if there is none of
    /// this name, or it is open already.
    ///
    /// ```
    /// # use netcore::{CloseHow, ConnId, Handler, LoopCx};
    /// const NOT_NEEDED: u16 = 4;
    ///
    /// /// Another node answered first.
    /// fn give_up<H: Handler>(cx: &mut LoopCx<'_, H>, slower: ConnId) {
    ///     if !cx.cancel_connect(slower, NOT_NEEDED)
    ///         && let Some(mut open) = cx.conn(slower)
    ///     {
    ///         open.close(NOT_NEEDED, CloseHow::Flush);
    ///     }
    /// }
    /// ```
    pub fn cancel_connect(&mut self, id: ConnId, code: u16) -> bool {
        let Some(pending) = self.state.slots.pending_mut(id) else {
            return false;
        };
        if pending.target.is_none() {
            return false;
        }
        pending.failed.get_or_insert(crate::CloseReason::Local(code));
        self.state.stirred.push(id);
        true
    }

    /// Queues an encoded frame for connections of this loop. The bytes are shared, not copied, unless the frame is
    /// small.
    pub fn send_to(&mut self, ids: impl IntoIterator<Item = ConnId>, frame: &Bytes) -> Delivery {
        let mut delivery = Delivery::default();
        for id in ids {
            self.deliver(id, frame, &mut delivery);
        }
        delivery
    }

    /// Queues an encoded frame for the members of a group on this loop, except for one connection if it is given. For
    /// members on other loops see [`Remote::send_to_group`].
    ///
    /// ```
    /// use bytes::Bytes;
    /// use netcore::{ConnId, Handler, LoopCx};
    ///
    /// /// Sends a word to the others on this loop; returns how many get it, of how many members.
    /// fn say<H: Handler>(cx: &mut LoopCx<'_, H>, room: u64, from: ConnId, word: &Bytes) -> (usize, usize) {
    ///     let delivery = cx.send_to_group(room, word, Some(from));
    ///     (delivery.queued, cx.group_members(room).len())
    /// }
    /// ```
    pub fn send_to_group(&mut self, group: u64, frame: &Bytes, except: Option<ConnId>) -> Delivery {
        let mut delivery = Delivery::default();
        // By position, because a member that cannot take it may be closed, but leaves at the end of the turn.
        let mut position = 0;
        while let Some(id) = self.state.groups.members(group).get(position).copied() {
            position += 1;
            if Some(id) != except {
                self.deliver(id, frame, &mut delivery);
            }
        }
        delivery
    }

    /// The connections of this loop in a group.
    #[must_use]
    pub fn group_members(&self, group: u64) -> &[ConnId] {
        self.state.groups.members(group)
    }

    /// Posts to the loops of this server.
    #[must_use]
    pub const fn remote(&self) -> &Remote<H::Msg> {
        &self.state.remote
    }

    /// When this turn of the loop began.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.state.now
    }

    /// This loop.
    #[must_use]
    pub const fn loop_id(&self) -> LoopId {
        self.state.loop_id
    }

    /// The names of all open connections of this loop, including those that are closing. The list is made for this
    /// call, because the caller may close some of them meanwhile.
    #[must_use]
    pub fn connection_ids(&self) -> Vec<ConnId> {
        let mut ids = Vec::with_capacity(self.state.slots.len());
        let mut from = 0;
        while let Some(id) = self.state.slots.first_open_from(from) {
            ids.push(id);
            from = id.index() + 1;
        }
        ids
    }

    /// The number of connections of this loop, including those that are not open yet or closing.
    #[must_use]
    pub const fn connections(&self) -> usize {
        self.state.slots.len()
    }

    /// Bytes queued for the peers of all connections of this loop, and not yet written; see
    /// [`Limits::queued_bytes`](crate::Limits::queued_bytes).
    ///
    /// ```
    /// use netcore::{Handler, LoopCx};
    ///
    /// /// Whether this loop may begin something with a long answer.
    /// fn has_room<H: Handler>(cx: &LoopCx<'_, H>, answer_bytes_max: usize) -> bool {
    ///     cx.queued_bytes() + answer_bytes_max <= 64 * 1024 * 1024
    /// }
    /// ```
    #[must_use]
    pub const fn queued_bytes(&self) -> usize {
        self.state.queued_bytes
    }

    /// Whether the server is draining.
    ///
    /// ```
    /// # use netcore::{Handler, LoopCx};
    /// use std::time::{Duration, Instant};
    ///
    /// /// To be called in `on_tick`: a line every minute, by the first loop, until the server drains.
    /// fn report<H: Handler>(cx: &LoopCx<'_, H>, last: &mut Instant) {
    ///     let due = cx.now().duration_since(*last) >= Duration::from_secs(60);
    ///     if due && cx.loop_id().index() == 0 && !cx.draining() {
    ///         *last = cx.now();
    ///         log::info!("{} connections on one of {} loops", cx.connections(), cx.remote().loop_count());
    ///     }
    /// }
    /// ```
    #[must_use]
    pub const fn draining(&self) -> bool {
        self.state.draining
    }

    fn deliver(&mut self, id: ConnId, frame: &Bytes, delivery: &mut Delivery) {
        let queued = self.state.queue(id, |core, settings, now| {
            core.send_encoded(settings, now, frame.clone())
        });
        match queued {
            Ok(_) => delivery.queued += 1,
            Err(SendError::Full) => delivery.full += 1,
            Err(_) => delivery.gone += 1,
        }
    }
}
