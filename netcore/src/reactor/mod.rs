//! Owns one event loop: it waits, moves bytes between sockets and connection cores, and calls the handler. Must never
//! decide for a protocol or an application: the core knows the rules, the handler the meaning.
//!
//! One turn: wait; take messages and signals; note which sockets are ready; handle messages; accept; advance pending
//! connections; read ready connections within budgets; deadlines; `on_tick`; `on_turn_end`; then *settle* every
//! connection that was touched: write its queued bytes, once; report low water and the peer's end; shut down; re-arm
//! its timer. A connection with a long answer is settled right after it was read. Connections that are over leave at
//! the very end, so no name of an open connection can change its owner during a turn.
//!
//! Invariants: readiness that was not used up is remembered (`readable`, `writable`), because edge-triggered events
//! come once. A live connection has one valid entry in the wheel, at or before its deadline; the entry belongs to its
//! slot, and the next owner takes it over. Nothing is written while a callback runs.

mod accept;
mod drain;
pub(crate) mod io;
mod pending;
mod read;
mod sealed;
mod settle;
mod shared;
pub(crate) mod slots;
#[cfg(test)]
mod tests;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod world;

pub(crate) use accept::Acceptor;
pub use shared::Phase as ServerPhase;
pub(crate) use shared::{Handover, ListenerInfo, Shared};

use crate::address::CompactPeer;
use crate::admission::Refused;
use crate::close::{CloseHow, CloseReason, SendError};
use crate::config::{Budgets, Limits, Settings};
use crate::conn::{Core, Expiry, Phase, Spare};
use crate::context::{ConnCx, LoopCx, LoopState, Slot, Spans};
use crate::handler::{Handler, Reason};
use crate::id::{ConnId, LoopId};
use crate::limits::{CONNECTIONS_PER_LOOP_MAX, EXPIRIES_PER_TURN_MAX, READ_BUFFER_BYTES, SLEEP_MAX};
use crate::mailbox::{Mailbox, Signals};
use crate::observer::{Observer, Turn};
use crate::remote::{Command, Remote};
use crate::time::Tick;
use crate::tls::Session;
use crate::wheel::Wheel;
use crate::worker::WorkerPool;
use bytes::Bytes;
use io::{Io, Readiness};
use slots::{Entry, Slots};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The slot number that no connection has: its tokens name the waker and the listeners.
const SPECIAL_INDEX: usize = CONNECTIONS_PER_LOOP_MAX;

/// The token of the waker of a loop.
pub(crate) const fn waker_token(loop_id: LoopId) -> u64 {
    ConnId::new(loop_id, u32::MAX, SPECIAL_INDEX).as_u64()
}

/// The token of a listener.
const fn listener_token(loop_id: LoopId, listener: usize) -> u64 {
    ConnId::new(loop_id, listener as u32, SPECIAL_INDEX).as_u64()
}

/// The parts of a loop, apart from its handler and its sockets.
pub(crate) struct Parts<H: Handler, I: Io> {
    pub(crate) loop_id: LoopId,
    pub(crate) io: I,
    pub(crate) acceptor: Option<Acceptor<I>>,
    pub(crate) mailbox: Arc<Mailbox<Command<H::Msg>>>,
    pub(crate) remote: Remote<H::Msg>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) handover: Arc<Handover<I::Stream>>,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) pool: Option<WorkerPool<H::Task>>,
    pub(crate) settings: Settings,
    pub(crate) spans: Spans,
    pub(crate) limits: Limits,
    pub(crate) budgets: Budgets,
    pub(crate) tick: Option<Duration>,
}

/// A socket, and what is between it and the connection.
struct Link<S> {
    stream: S,
    tls: Option<Box<Session>>,
}

pub(crate) struct Reactor<H: Handler, I: Io> {
    handler: H,
    state: LoopState<H>,
    /// The sockets, at the slot numbers of their connections; dropped before the poll in `io`.
    links: Vec<Option<Link<I::Stream>>>,
    acceptor: Option<Acceptor<I>>,
    io: I,
    mailbox: Arc<Mailbox<Command<H::Msg>>>,
    handover: Arc<Handover<I::Stream>>,
    observer: Option<Arc<dyn Observer>>,
    /// The numbers of this turn for the observer.
    meter: Turn,
    spans: Spans,
    limits: Limits,
    budgets: Budgets,
    start: Instant,
    /// Slots by the deadlines of the connections in them.
    wheel: Wheel<u32>,
    due: Vec<(Tick, u32)>,
    /// The one read buffer.
    buffer: Box<[u8]>,
    /// Decrypted bytes; empty until there is a TLS connection.
    plain: Box<[u8]>,
    /// The memory of all inboxes together.
    held_bytes: usize,
    events: Vec<Readiness>,
    messages: VecDeque<Command<H::Msg>>,
    /// Connections to read in the next turn, each once.
    ready: VecDeque<ConnId>,
    /// The number of TLS handshakes in progress, and the connections that wait for one.
    handshakes: usize,
    handshake_queue: VecDeque<ConnId>,
    /// Connections to remove at the end of the turn, each once.
    over: Vec<ConnId>,
    started: bool,
    /// When the earliest deadline was due that the loop went to sleep for.
    due_at: Option<Instant>,
    tick_every: Option<Duration>,
    tick_at: Instant,
    drain: drain::Progress,
}

impl<H: Handler, I: Io> Reactor<H, I> {
    pub(crate) fn new(mut parts: Parts<H, I>, handler: H) -> std::io::Result<Self> {
        let now = parts.io.now();
        if let Some(acceptor) = &mut parts.acceptor {
            acceptor.register(&mut parts.io, parts.loop_id)?;
        }
        if let Some(pool) = &parts.pool {
            let mailbox = Arc::downgrade(&parts.mailbox);
            pool.on_room(move || {
                if let Some(mailbox) = mailbox.upgrade() {
                    mailbox.signal(Signals::WORKERS_ROOM);
                }
            });
        }
        let state = LoopState {
            slots: Slots::new(parts.loop_id),
            touched: Vec::new(),
            stirred: Vec::new(),
            groups: Default::default(),
            settings: parts.settings,
            remote: parts.remote,
            shared: parts.shared,
            now,
            tick: Tick(0),
            loop_id: parts.loop_id,
            draining: false,
            queued_bytes: 0,
            queued_bytes_max: parts.limits.queued_bytes,
            sent_frames: 0,
            spare: Spare::default(),
            pool: parts.pool,
            waiting: VecDeque::new(),
        };
        Ok(Self {
            handler,
            state,
            links: Vec::new(),
            acceptor: parts.acceptor,
            io: parts.io,
            mailbox: parts.mailbox,
            handover: parts.handover,
            observer: parts.observer,
            meter: Turn::default(),
            spans: parts.spans,
            limits: parts.limits,
            budgets: parts.budgets,
            start: now,
            wheel: Wheel::new(Tick(0)),
            due: Vec::new(),
            buffer: vec![0; READ_BUFFER_BYTES].into_boxed_slice(),
            plain: Box::default(),
            held_bytes: 0,
            events: Vec::new(),
            messages: VecDeque::new(),
            ready: VecDeque::new(),
            handshakes: 0,
            handshake_queue: VecDeque::new(),
            over: Vec::new(),
            started: false,
            due_at: None,
            tick_every: parts.tick,
            tick_at: parts.tick.map_or(now, |every| now + every),
            drain: drain::Progress::default(),
        })
    }

    #[cfg(feature = "testing")]
    pub(crate) const fn handler(&mut self) -> &mut H {
        &mut self.handler
    }

    /// One turn; `false` after the loop was told to stop.
    ///
    /// # Errors
    /// The operating system no longer gives events.
    pub(crate) fn turn(&mut self) -> std::io::Result<bool> {
        let timeout = self.timeout();
        self.io.wait(timeout, &mut self.events)?;
        self.state.now = self.io.now();
        self.state.tick = Tick::from_elapsed(self.state.now.saturating_duration_since(self.start));
        self.begin_metering();
        let signals = self.mailbox.receive(&mut self.messages);
        if !self.started {
            self.started = true;
            self.call_loop("on_start", |handler, cx| handler.on_start(cx));
        }
        self.handle_events();
        if signals.has(Signals::STOP) {
            self.stop();
            return Ok(false);
        }
        self.handle_signals(signals);
        self.handle_messages();
        self.accept();
        self.advance_pending();
        self.read_ready();
        self.handle_deadlines();
        self.handle_drain();
        self.handle_tick();
        self.call_loop("on_turn_end", |handler, cx| handler.on_turn_end(cx));
        self.settle_touched();
        self.remove_over();
        self.end_metering();
        Ok(true)
    }

    fn begin_metering(&mut self) {
        let lag = self.due_at.take().map_or(Duration::ZERO, |due| {
            self.state.now.saturating_duration_since(due)
        });
        self.meter = Turn {
            lag,
            events: self.events.len() as u64,
            ..Turn::default()
        };
    }

    fn end_metering(&mut self) {
        let Some(observer) = &self.observer else { return };
        let now = self.io.now();
        self.meter.work = now.saturating_duration_since(self.state.now);
        self.meter.connections = self.state.slots.len();
        self.meter.ready = self.ready.len();
        self.meter.messages_waiting = self.messages.len() + self.mailbox.len();
        self.meter.tasks_waiting = self.state.waiting.len();
        self.meter.undecoded_bytes = self.held_bytes;
        self.meter.queued_bytes = self.state.queued_bytes;
        self.meter.sent_frames = std::mem::take(&mut self.state.sent_frames);
        observer.turn(self.state.loop_id, &self.meter);
    }

    /// How long the loop may sleep: not at all while work is left.
    fn timeout(&mut self) -> Duration {
        let work_left = !self.ready.is_empty()
            || !self.state.touched.is_empty()
            || !self.state.stirred.is_empty()
            || !self.messages.is_empty()
            || self.acceptor.as_ref().is_some_and(Acceptor::has_work);
        if work_left || !self.mailbox.prepare_sleep() {
            return Duration::ZERO;
        }
        let now = self.io.now();
        let due = self.wheel.next_due().map(|tick| self.start + tick.to_elapsed());
        let tick = self.tick_every.map(|_| self.tick_at);
        let retry = self.acceptor.as_ref().and_then(Acceptor::retry_at);
        self.due_at = [due, tick].into_iter().flatten().min();
        let wake_at = [self.due_at, retry, self.drain.next_step(now)]
            .into_iter()
            .flatten()
            .min();
        wake_at.map_or(SLEEP_MAX, |at| at.saturating_duration_since(now).min(SLEEP_MAX))
    }

    /// Notes which sockets became ready. Events are hints: the connection may be gone.
    fn handle_events(&mut self) {
        let mut events = std::mem::take(&mut self.events);
        for event in events.drain(..) {
            let id = ConnId::from_bits(event.token);
            if id.index() == SPECIAL_INDEX {
                if let Some(acceptor) = &mut self.acceptor {
                    acceptor.note_ready(id.generation());
                }
                continue;
            }
            let Some(slot) = self.state.slots.get_mut(id) else {
                self.note_pending(id, event);
                continue;
            };
            if event.broken && !slot.core.wants_input() {
                // Reading is paused, so no read would find the error, and the peer of the pending bytes is gone.
                self.abort(id, CloseReason::Reset);
                continue;
            }
            slot.readable |= event.readable || event.end;
            slot.end_announced |= event.end;
            slot.writable |= event.writable;
            if slot.readable && slot.core.wants_input() && !slot.queued {
                slot.queued = true;
                self.ready.push_back(id);
            }
            if slot.writable && slot.wants_output() {
                self.state.touch(id);
            }
        }
        // Keeps the memory of the list.
        self.events = events;
    }

    fn handle_signals(&mut self, signals: Signals) {
        if signals.has(Signals::STOP_ACCEPTING) {
            self.stop_accepting();
        }
        if signals.has(Signals::DRAIN) {
            self.begin_drain();
        }
        if signals.has(Signals::HANDOVER) {
            self.take_over();
        }
        if signals.has(Signals::WORKERS_ROOM) {
            self.retry_tasks();
        }
    }

    fn handle_messages(&mut self) {
        for _ in 0..self.budgets.commands.max(1) {
            let Some(command) = self.messages.pop_front() else {
                return;
            };
            self.meter.messages += 1;
            match command {
                Command::Message(message) => {
                    self.call_loop("on_msg", |handler, cx| handler.on_msg(cx, message));
                }
                Command::Send(id, frame) => self.deliver_posted(id, &frame),
                Command::SendMany(ids, frame) => {
                    for id in ids {
                        self.deliver_posted(id, &frame);
                    }
                }
                Command::SendToGroup { group, except, frame } => {
                    // `on_undelivered` may change the group, so the list is one of its own.
                    for id in self.state.groups.members(group).to_vec() {
                        if Some(id) != except {
                            self.deliver_posted(id, &frame);
                        }
                    }
                }
                Command::Close(id, code, how) => {
                    if let Some(mut cx) = self.state.context(id) {
                        cx.close(code, how);
                    }
                }
            }
        }
    }

    /// Queues a frame that another thread sent, or tells the handler that it did not fit.
    fn deliver_posted(&mut self, id: ConnId, frame: &Bytes) {
        let queued = self.state.queue(id, |core, settings, now| {
            core.send_encoded(settings, now, frame.clone())
        });
        if queued == Err(SendError::Full) {
            self.call_conn("on_undelivered", id, |handler, cx| {
                handler.on_undelivered(cx, frame);
            });
        }
    }

    fn handle_tick(&mut self) {
        let Some(every) = self.tick_every else { return };
        if self.state.now >= self.tick_at {
            self.tick_at = self.state.now + every;
            self.call_loop("on_tick", |handler, cx| handler.on_tick(cx));
        }
    }

    fn handle_deadlines(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel
            .expire(self.state.tick, EXPIRIES_PER_TURN_MAX, &mut due);
        for (tick, index) in due.drain(..) {
            let index = index as usize;
            if self.state.slots.timer(index) != tick {
                // An earlier deadline was set after this entry was made.
                continue;
            }
            self.state.slots.set_timer(index, Tick::NEVER);
            // The entry's connection may be gone; the deadline serves its successor as well.
            let Some(id) = self.state.slots.at(index) else {
                continue;
            };
            let Some(slot) = self.state.slots.get_mut(id) else {
                self.handle_pending_deadline(id);
                continue;
            };
            let stalled = slot.rare.as_ref().is_some_and(|rare| {
                self.state.tick >= rare.sealed_since.after(self.state.settings.write_stall)
            });
            let expiry = if stalled {
                Expiry::Close(CloseReason::WriteStalled)
            } else {
                slot.core.handle_deadline(&self.state.settings, self.state.tick)
            };
            self.state.touch(id);
            match expiry {
                Expiry::Close(CloseReason::WriteStalled) => self.abort(id, CloseReason::WriteStalled),
                Expiry::Close(reason) => self.close_by_library(id, reason),
                Expiry::Nothing | Expiry::Pinged | Expiry::Closed => {}
            }
            self.fire_timers(id);
        }
        self.due = due;
    }

    /// Calls back for the timers of a connection that are due.
    fn fire_timers(&mut self, id: ConnId) {
        while let Some(slot) = self.state.slots.get_mut(id)
            && slot.core.phase() == Phase::Open
            && let Some(rare) = &mut slot.rare
            && let Some(key) = rare.timers.pop_due(self.state.tick)
        {
            self.call_conn("on_timer", id, |handler, cx| handler.on_timer(cx, key));
        }
    }

    /// Gives a new socket a slot and tells the handler. The socket is closed if a limit or the handler refuses it.
    fn open(&mut self, stream: I::Stream, peer: CompactPeer, codec: H::Codec, conn: H::Conn) {
        let (settings, now) = (&self.state.settings, self.state.tick);
        let id = self.state.slots.insert(|id| {
            let core = Core::new(codec, now, jitter(id), settings);
            Entry::Open(Slot::new(core, conn, peer))
        });
        let Some(id) = id else {
            return self.turn_away(stream, &peer, Refused::Connections);
        };
        if let Err(error) = self.watch(id, stream) {
            log::warn!("connection {id} cannot be watched: {error}");
            self.abort(id, CloseReason::Io(error));
            return;
        }
        self.opened(id);
    }

    /// Registers the socket of this connection with the system.
    fn watch(&mut self, id: ConnId, mut stream: I::Stream) -> std::io::Result<()> {
        self.io.open(&mut stream, id.as_u64())?;
        if self.links.len() <= id.index() {
            self.links.resize_with(id.index() + 1, || None);
        }
        if let Some(place) = self.links.get_mut(id.index()) {
            *place = Some(Link { stream, tls: None });
        }
        Ok(())
    }

    /// Tells the handler of a connection that is open now.
    fn opened(&mut self, id: ConnId) {
        self.state.touch(id);
        if let Some(observer) = &self.observer {
            observer.opened(self.state.loop_id);
        }
        self.call_conn("on_open", id, |handler, cx| handler.on_open(cx));
    }

    /// Closes a socket that was counted but has no slot.
    fn turn_away(&mut self, stream: I::Stream, peer: &CompactPeer, why: Refused) {
        drop(stream);
        self.note_refused(why);
        self.state.shared.leave(self.state.loop_id, peer, self.state.now);
    }

    fn note_refused(&self, why: Refused) {
        log::debug!("a connection was turned away: {why:?}");
        if let Some(observer) = &self.observer {
            observer.refused(self.state.loop_id, why);
        }
    }

    /// Ends a connection for a rule or deadline; the handler can send a last frame.
    fn close_by_library(&mut self, id: ConnId, reason: Reason<H>) {
        let now = self.state.tick;
        self.state.touch(id);
        let Some(slot) = self.state.slots.get_mut(id) else {
            return;
        };
        if slot.core.phase() != Phase::Open {
            // It is closing already. Only a panic leaves it unable to go on.
            if matches!(reason, CloseReason::HandlerPanicked) {
                slot.core.close(reason, CloseHow::Abort, now);
            }
            return;
        }
        log::debug!("connection {id} is being closed: {reason}");
        slot.core.close(reason, CloseHow::Flush, now);
        let Some(reason) = slot.core.take_reason() else {
            return;
        };
        slot.core.allow_last_words(true);
        let mut cx = ConnCx::new(&mut self.state, id);
        let told = guard("on_closing", || self.handler.on_closing(&mut cx, &reason));
        let Some(slot) = self.state.slots.get_mut(id) else {
            return;
        };
        slot.core.allow_last_words(false);
        slot.core.restore_reason(reason);
        if told.is_none() {
            slot.core
                .close(CloseReason::HandlerPanicked, CloseHow::Abort, now);
        }
    }

    /// Ends a connection that can exchange nothing any more.
    fn abort(&mut self, id: ConnId, reason: Reason<H>) {
        self.state.touch(id);
        if let Some(slot) = self.state.slots.get_mut(id) {
            slot.core.close(reason, CloseHow::Abort, self.state.tick);
        }
    }

    /// Calls back for a connection; a panic closes it.
    fn call_conn<R>(
        &mut self,
        name: &'static str,
        id: ConnId,
        call: impl FnOnce(&mut H, &mut ConnCx<'_, H>) -> R,
    ) -> Option<R> {
        let mut cx = self.state.context(id)?;
        let result = guard(name, || call(&mut self.handler, &mut cx));
        if result.is_none() {
            self.close_by_library(id, CloseReason::HandlerPanicked);
        }
        result
    }

    /// Calls back for the loop.
    fn call_loop(&mut self, name: &'static str, call: impl FnOnce(&mut H, &mut LoopCx<'_, H>)) {
        let mut cx = LoopCx::new(&mut self.state);
        guard(name, || call(&mut self.handler, &mut cx));
    }
}

/// Runs foreign code; `None` if it panicked. Only the foreign code itself sees its half-changed state: complete calls
/// alone change ours.
fn guard<R>(name: &'static str, call: impl FnOnce() -> R) -> Option<R> {
    let result = catch_unwind(AssertUnwindSafe(call));
    if result.is_err() {
        log::error!("the handler panicked in {name}");
    }
    result.ok()
}

/// A number that differs between connections, to spread their actions over time.
const fn jitter(id: ConnId) -> u16 {
    // One more, so that the first connection of the first loop does not get 0.
    ((id.as_u64().wrapping_add(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as u16
}
