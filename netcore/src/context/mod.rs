//! Owns the state that a handler can reach during a callback: its connections and its loop. Must never touch a socket:
//! sends are queued, closes and connects are noted, and the reactor carries them out at the end of the turn.

mod conn;
mod groups;
mod loop_cx;
mod timers;

pub use conn::{ConnCx, TooManyGroups, TooManyTimers};
pub use loop_cx::{Connect, ConnectError, Delivery, LoopCx};

use crate::address::{Address, CompactPeer};
use crate::close::SendError;
use crate::config::{Settings, Timeouts};
use crate::conn::{Core, Pause, Phase, Spare};
use crate::handler::{Handler, Reason};
use crate::id::{ConnId, LoopId};
use crate::reactor::Shared;
use crate::reactor::slots::Slots;
use crate::remote::Remote;
use crate::time::{Tick, Ticks};
use crate::tls::{TlsClient, TlsInfo};
use crate::worker::{SubmitError, WorkerPool};
use groups::Groups;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;
use timers::Timers;

/// One open connection of a loop.
pub(crate) struct Slot<H: Handler> {
    pub(crate) core: Core<H::Codec>,
    pub(crate) conn: H::Conn,
    /// State that few connections have.
    pub(crate) rare: Option<Box<Rare<H>>>,
    pub(crate) peer: CompactPeer,
    /// The inbox's memory when it was last counted.
    pub(crate) held_bytes: u32,
    /// The out-queue's bytes when they were last counted.
    pub(crate) queued_bytes: u32,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The end of the peer's stream was announced: reads must go on until it is found.
    pub(crate) end_announced: bool,
    /// TLS holds ciphertext that must be written.
    pub(crate) sealed_output: bool,
    /// In the list of connections to settle at the end of the turn.
    pub(crate) touched: bool,
    /// In the list of connections to read in the next turn.
    pub(crate) queued: bool,
    /// Not to be looked up any more: it is removed at the end of the turn.
    pub(crate) over: bool,
}

/// The part of a connection that few connections need.
pub(crate) struct Rare<H: Handler> {
    /// The task that the worker pool refused.
    pub(crate) task: Option<H::Task>,
    pub(crate) timers: Timers,
    /// The groups of the connection.
    pub(crate) groups: Vec<groups::Membership>,
    pub(crate) tls: Option<TlsInfo>,
    /// Since when the socket has taken no ciphertext.
    pub(crate) sealed_since: Tick,
}

impl<H: Handler> Default for Rare<H> {
    fn default() -> Self {
        Self {
            task: None,
            timers: Timers::default(),
            groups: Vec::new(),
            tls: None,
            sealed_since: Tick::NEVER,
        }
    }
}

impl<H: Handler> Slot<H> {
    pub(crate) fn new(core: Core<H::Codec>, conn: H::Conn, peer: CompactPeer) -> Self {
        Self {
            core,
            conn,
            rare: None,
            peer,
            held_bytes: 0,
            queued_bytes: 0,
            readable: false,
            writable: true,
            end_announced: false,
            sealed_output: false,
            touched: false,
            queued: false,
            over: false,
        }
    }

    pub(crate) fn rare(&mut self) -> &mut Rare<H> {
        self.rare.get_or_insert_default()
    }

    /// A task waits for room in the worker pool.
    pub(crate) fn has_task(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.task.is_some())
    }

    /// Updates the sum of all queued bytes with this connection's.
    pub(crate) fn count_queued(&mut self, sum: &mut usize) {
        let queued = u32::try_from(self.core.queued_bytes()).unwrap_or(u32::MAX);
        *sum = (*sum + queued as usize).saturating_sub(self.queued_bytes as usize);
        self.queued_bytes = queued;
    }

    /// Whether there is something to write and the socket may take it.
    pub(crate) fn wants_output(&self) -> bool {
        self.core.wants_output() || (self.sealed_output && self.core.phase() != Phase::Closed)
    }

    /// The next time at which the reactor must look at the connection.
    pub(crate) fn next_deadline(&self, settings: &Settings) -> Tick {
        let core = self.core.next_deadline(settings);
        match &self.rare {
            None => core,
            Some(rare) if self.core.phase() == Phase::Open => core
                .min(rare.timers.next())
                .min(rare.sealed_since.after(settings.write_stall)),
            Some(rare) => core.min(rare.sealed_since.after(settings.write_stall)),
        }
    }
}

/// The stage of a connection that is not open yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stage {
    /// Waits until it is time to connect.
    Waiting,
    Connecting,
    /// Waits for the PROXY header.
    Header,
    /// Waits for the first byte, which tells whether it speaks TLS.
    FirstByte,
    /// Waits until there is room for another TLS handshake.
    Queued,
    Handshaking,
}

/// A connection on its way to being open.
pub(crate) struct Pending<H: Handler> {
    pub(crate) stage: Stage,
    /// The application knows of it: it must hear of the end.
    pub(crate) accepted: Option<(H::Codec, H::Conn)>,
    pub(crate) target: Option<Target>,
    pub(crate) peer: CompactPeer,
    /// When the stage ends, by success or failure.
    pub(crate) deadline: Tick,
    /// The beginning of the PROXY header, or the bytes behind it.
    pub(crate) header: Vec<u8>,
    /// The reason for which it will not be opened.
    pub(crate) failed: Option<Reason<H>>,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) end_announced: bool,
    /// In the list of connections to read in the next turn.
    pub(crate) queued: bool,
}

/// The limits of each stage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spans {
    pub(crate) connect: Ticks,
    pub(crate) proxy_header: Ticks,
    pub(crate) tls_handshake: Ticks,
}

impl Spans {
    pub(crate) fn new(timeouts: &Timeouts) -> Self {
        Self {
            connect: Ticks::from_duration(timeouts.connect),
            proxy_header: Ticks::from_duration(timeouts.proxy_header),
            tls_handshake: Ticks::from_duration(timeouts.tls_handshake),
        }
    }
}

/// The destination of a connection.
pub(crate) struct Target {
    pub(crate) address: Address,
    pub(crate) tls: Option<TlsClient>,
    pub(crate) within: Option<Ticks>,
}

/// The part of a loop that handlers can reach.
pub(crate) struct LoopState<H: Handler> {
    pub(crate) slots: Slots<Slot<H>, Pending<H>>,
    pub(crate) touched: Vec<ConnId>,
    /// Pending connections that the reactor must look at.
    pub(crate) stirred: Vec<ConnId>,
    pub(crate) groups: Groups,
    pub(crate) settings: Settings,
    pub(crate) remote: Remote<H::Msg>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) now: Instant,
    pub(crate) tick: Tick,
    pub(crate) loop_id: LoopId,
    pub(crate) draining: bool,
    /// Bytes queued for all peers.
    pub(crate) queued_bytes: usize,
    pub(crate) queued_bytes_max: usize,
    /// Frames queued in this turn.
    pub(crate) sent_frames: u64,
    pub(crate) spare: Spare,
    pub(crate) pool: Option<WorkerPool<H::Task>>,
    /// Connections whose task the pool refused, in the order of refusal.
    pub(crate) waiting: VecDeque<ConnId>,
}

impl<H: Handler> LoopState<H> {
    /// Gives a task to the pool. If the pool has no room, the task is kept, and reading of its connection pauses until
    /// there is room; a second task is not kept.
    pub(crate) fn offload(&mut self, id: ConnId, task: H::Task) -> Result<(), SubmitError<H::Task>> {
        let Some(slot) = self.slots.get_mut(id) else {
            return Err(SubmitError::Full(task));
        };
        if slot.has_task() {
            return Err(SubmitError::Full(task));
        }
        let Some(pool) = &self.pool else {
            return Err(SubmitError::Stopped(task));
        };
        let task = match pool.try_submit(task) {
            Ok(()) => return Ok(()),
            Err(SubmitError::Full(task) | SubmitError::KeyFull(task)) => task,
            Err(SubmitError::Stopped(task)) => return Err(SubmitError::Stopped(task)),
        };
        if slot.core.phase() == Phase::Closed {
            return Err(SubmitError::Full(task));
        }
        slot.rare().task = Some(task);
        slot.core.pause(Pause::Workers, self.tick);
        self.waiting.push_back(id);
        if self.waiting.len() > 2 * self.slots.len() + 64 {
            // Connections that ended while they waited.
            let slots = &self.slots;
            self.waiting
                .retain(|id| slots.get(*id).is_some_and(|slot| slot.has_task()));
        }
        Ok(())
    }

    /// Puts the connection on the list of connections to settle, once.
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
        Some(ConnCx::new(self, id))
    }

    /// Calls `act` on the core, has the reactor settle the connection, and updates the sum of queued bytes.
    pub(crate) fn with_core<R>(
        &mut self,
        id: ConnId,
        act: impl FnOnce(&mut Core<H::Codec>, &Settings, Tick) -> R,
    ) -> Option<R> {
        self.with_core_and_spare(id, |core, settings, now, _| act(core, settings, now))
    }

    /// Likewise, with the memory for out-queues.
    fn with_core_and_spare<R>(
        &mut self,
        id: ConnId,
        act: impl FnOnce(&mut Core<H::Codec>, &Settings, Tick, &mut Spare) -> R,
    ) -> Option<R> {
        let slot = self.slots.get_mut(id)?;
        let result = act(&mut slot.core, &self.settings, self.tick, &mut self.spare);
        slot.count_queued(&mut self.queued_bytes);
        let touched = std::mem::replace(&mut slot.touched, true);
        if !touched {
            self.touched.push(id);
        }
        Some(result)
    }

    /// Queues something for a connection, unless the loop is short of memory and the connection has enough.
    pub(crate) fn queue<R>(
        &mut self,
        id: ConnId,
        act: impl FnOnce(&mut Core<H::Codec>, &Settings, Tick) -> Result<R, SendError>,
    ) -> Result<R, SendError> {
        let short = self.queued_bytes >= self.queued_bytes_max;
        let act = |core: &mut Core<H::Codec>, settings: &Settings, now| {
            if short && core.queued_bytes() >= core.outbound(settings).low_water {
                return Err(core.refuse(settings, now));
            }
            act(core, settings, now)
        };
        self.queue_in_any_case(id, act)
    }

    /// Queues something for a connection.
    pub(crate) fn queue_in_any_case<R>(
        &mut self,
        id: ConnId,
        act: impl FnOnce(&mut Core<H::Codec>, &Settings, Tick) -> Result<R, SendError>,
    ) -> Result<R, SendError> {
        let queued = self.with_core_and_spare(id, |core, settings, now, spare| {
            core.lend(now, spare);
            let queued = act(core, settings, now);
            core.give_back(spare);
            queued
        });
        let queued = queued.unwrap_or(Err(SendError::Closing));
        self.sent_frames += u64::from(queued.is_ok());
        queued
    }
}
