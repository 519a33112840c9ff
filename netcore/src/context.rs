//! Owns what a handler can do to the connections of its loop. Must never touch a socket: sends are queued,
//! closes are noted, and the reactor acts on both at the end of the turn.

use crate::close::{CloseHow, CloseReason, Queued, SendError};
use crate::codec::Codec;
use crate::config::{Outbound, Settings};
use crate::conn::{Core, Pause, Phase};
use crate::handler::{Handler, Peer};
use crate::id::{ConnId, LoopId};
use crate::reactor::slots::Slots;
use crate::remote::Remote;
use crate::time::Tick;
use bytes::Bytes;
use std::fmt;
use std::time::Instant;

/// One connection of a loop.
pub(crate) struct Slot<H: Handler> {
    pub(crate) core: Core<H::Codec>,
    pub(crate) conn: H::Conn,
    pub(crate) peer: Peer,
    /// The task that the worker pool refused.
    pub(crate) task: Option<Box<H::Task>>,
    /// Where the one valid entry of this connection in the wheel is.
    pub(crate) timer_at: Tick,
    /// Memory held by the inbox when it was last looked at.
    pub(crate) held_bytes: u32,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The peer's end was announced: reads must go on until it is found.
    pub(crate) end_announced: bool,
    /// In the list of connections to settle at the end of the turn.
    pub(crate) touched: bool,
    /// In the list of connections to read in the next turn.
    pub(crate) queued: bool,
    /// Not to be looked up any more: removed at the end of the turn.
    pub(crate) over: bool,
}

/// The part of a loop that handlers can reach.
pub(crate) struct LoopState<H: Handler> {
    pub(crate) slots: Slots<Slot<H>>,
    pub(crate) touched: Vec<ConnId>,
    pub(crate) settings: Settings,
    pub(crate) remote: Remote<H::Msg>,
    pub(crate) now: Instant,
    pub(crate) tick: Tick,
    pub(crate) loop_id: LoopId,
    pub(crate) draining: bool,
}

impl<H: Handler> LoopState<H> {
    /// Puts the connection on the list of those to settle, once.
    pub(crate) fn touch(&mut self, id: ConnId) {
        if let Some(slot) = self.slots.get_mut(id)
            && !slot.touched
        {
            slot.touched = true;
            self.touched.push(id);
        }
    }

    /// The connection, unless it is over.
    pub(crate) fn context(&mut self, id: ConnId) -> Option<ConnCx<'_, H>> {
        let slot = self.slots.get(id)?;
        if slot.over || slot.core.phase() == Phase::Closed {
            return None;
        }
        Some(ConnCx { state: self, id })
    }
}

/// A connection, during a callback on its loop.
pub struct ConnCx<'a, H: Handler> {
    state: &'a mut LoopState<H>,
    /// Slots are freed at the end of a turn only, so this one exists as long as the context does.
    id: ConnId,
}

impl<H: Handler> fmt::Debug for ConnCx<'_, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnCx")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl<'a, H: Handler> ConnCx<'a, H> {
    /// The name of the connection.
    #[must_use]
    pub const fn id(&self) -> ConnId {
        self.id
    }

    /// Who the connection is with.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.slot().peer
    }

    /// When this turn of the loop began.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.state.now
    }

    /// The application's state of the connection.
    pub fn conn(&mut self) -> &mut H::Conn {
        &mut self.slot_mut().conn
    }

    /// The codec of the connection.
    pub fn codec(&mut self) -> &mut H::Codec {
        self.slot_mut().core.codec()
    }

    /// Encodes a frame and queues it; it is written at the end of the turn.
    ///
    /// # Errors
    /// Nothing was queued; see [`SendError`].
    pub fn send(&mut self, out: &<H::Codec as Codec>::Out) -> Result<Queued, SendError> {
        self.with_core(|core, settings, now| core.send(settings, now, out))
    }

    /// Queues an encoded frame, without copying it unless it is small; it is written at the end of the turn.
    ///
    /// # Errors
    /// Nothing was queued; see [`SendError`].
    pub fn send_encoded(&mut self, frame: Bytes) -> Result<Queued, SendError> {
        self.with_core(|core, settings, now| core.send_encoded(settings, now, frame))
    }

    /// Like [`send_encoded`](Self::send_encoded) for the answer to an admitted request: it may use the
    /// [`reply_reserve`](Outbound::reply_reserve) beyond the limit.
    ///
    /// # Errors
    /// Nothing was queued; see [`SendError`].
    pub fn send_reply(&mut self, frame: Bytes) -> Result<Queued, SendError> {
        self.with_core(|core, settings, now| core.send_reply(settings, now, frame))
    }

    /// Bytes queued for the peer and not yet written.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.slot().core.queued_bytes()
    }

    /// Ends the handshake deadline.
    pub fn established(&mut self) {
        self.with_core(|core, _, _| core.establish());
    }

    /// Gives this connection water marks of its own, in bytes; see [`Outbound`]. The reserve for replies stays
    /// as configured.
    pub fn set_outbound_limit(&mut self, low_water: usize, high_water: usize, limit: usize) {
        self.with_core(|core, settings, _| {
            let reply_reserve = settings.outbound.reply_reserve;
            core.set_outbound(Outbound {
                low_water,
                high_water,
                limit,
                reply_reserve,
            });
        });
    }

    /// Stops reading of this connection: no `on_frame` until [`resume_reading`](Self::resume_reading). The
    /// frame, idle and pong deadlines stand still.
    pub fn pause_reading(&mut self) {
        self.with_core(|core, _, now| core.pause(Pause::Application, now));
    }

    /// Goes on reading, unless the library has a reason of its own to pause. What was kept comes first; calls
    /// of `on_frame` begin after this callback.
    pub fn resume_reading(&mut self) {
        self.with_core(|core, _, now| core.resume(Pause::Application, now));
    }

    /// Reading is paused, by the application or by the library.
    #[must_use]
    pub fn is_reading_paused(&self) -> bool {
        self.slot().core.is_paused()
    }

    /// The connection is closing: sends are refused.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.slot().core.phase() != Phase::Open
    }

    /// Closes the connection with a code of the application, which `on_close` gets back as
    /// [`CloseReason::Local`]. No further frame of it is handled.
    pub fn close(&mut self, code: u16, how: CloseHow) {
        self.with_core(|core, _, now| core.close(CloseReason::Local(code), how, now));
    }

    /// The loop.
    pub const fn loop_cx(&mut self) -> LoopCx<'_, H> {
        LoopCx { state: self.state }
    }

    pub(crate) const fn new(state: &'a mut LoopState<H>, id: ConnId) -> Self {
        Self { state, id }
    }

    /// Runs `act` on the core and has the reactor look at the connection at the end of the turn.
    fn with_core<R>(&mut self, act: impl FnOnce(&mut Core<H::Codec>, &Settings, Tick) -> R) -> R {
        let state = &mut *self.state;
        state.touch(self.id);
        match state.slots.get_mut(self.id) {
            Some(slot) => act(&mut slot.core, &state.settings, state.tick),
            None => unreachable!("slots are freed at the end of a turn only"),
        }
    }

    fn slot(&self) -> &Slot<H> {
        match self.state.slots.get(self.id) {
            Some(slot) => slot,
            None => unreachable!("slots are freed at the end of a turn only"),
        }
    }

    fn slot_mut(&mut self) -> &mut Slot<H> {
        match self.state.slots.get_mut(self.id) {
            Some(slot) => slot,
            None => unreachable!("slots are freed at the end of a turn only"),
        }
    }
}

/// A loop, during a callback on it.
pub struct LoopCx<'a, H: Handler> {
    state: &'a mut LoopState<H>,
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

    /// The connection with this name; `None` if it is over or belongs to another loop.
    pub fn conn(&mut self, id: ConnId) -> Option<ConnCx<'_, H>> {
        self.state.context(id)
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

    /// The names of all connections of this loop, those that are closing included; a list made for this call,
    /// because whoever goes through it may close some of them.
    #[must_use]
    pub fn connection_ids(&self) -> Vec<ConnId> {
        let mut ids = Vec::with_capacity(self.state.slots.len());
        let mut from = 0;
        while let Some(id) = self.state.slots.first_from(from) {
            ids.push(id);
            from = id.index() + 1;
        }
        ids
    }

    /// Connections of this loop, those that are closing included.
    #[must_use]
    pub const fn connections(&self) -> usize {
        self.state.slots.len()
    }

    /// The server is draining.
    #[must_use]
    pub const fn draining(&self) -> bool {
        self.state.draining
    }
}
