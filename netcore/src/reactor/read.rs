//! Owns the way of bytes from a socket to the handler, and of tasks to the worker pool. Must never read more from one
//! connection in a turn than the budgets allow, and never forget that there is more.

use super::io::Io;
use super::{Reactor, guard};
use crate::close::{CloseHow, CloseReason};
use crate::config::Budgets;
use crate::conn::{Pause, Source, Step};
use crate::context::ConnCx;
use crate::handler::{Flow, Handler, Reason};
use crate::id::ConnId;
use crate::limits::{READ_BYTES_UNDER_PRESSURE, WRITE_EARLY_BYTES};
use crate::worker::SubmitError;
use std::io::ErrorKind;
use std::mem;

/// Why the delivery of frames was interrupted.
enum Stop<H: Handler> {
    /// Everything has been delivered or is kept.
    Done,
    /// The out-queue is above high water; if the socket takes the bytes, there is no reason to pause.
    Write,
    Offload(H::Task),
    Close(u16),
    Failed(Reason<H>),
}

/// The budget that one connection has left in this turn.
pub(super) struct Budget {
    reads: usize,
    bytes: usize,
    frames: usize,
}

impl Budget {
    pub(super) fn new(budgets: &Budgets) -> Self {
        Self {
            reads: budgets.reads.max(1),
            bytes: budgets.bytes.max(1),
            frames: budgets.frames.max(1),
        }
    }
}

/// The outcome of one read.
enum Received {
    Bytes {
        count: usize,
        /// There is no more to read now.
        last: bool,
    },
    Sealed(usize),
    Nothing,
    TryAgain,
}

impl<H: Handler, I: Io> Reactor<H, I> {
    /// Reads the connections that are ready, each once; one that spends its budget is read again next turn.
    pub(super) fn read_ready(&mut self) {
        let mut buffer = mem::take(&mut self.buffer);
        for _ in 0..self.ready.len() {
            let Some(id) = self.ready.pop_front() else { break };
            if let Some(slot) = self.state.slots.get_mut(id) {
                slot.queued = false;
                self.read_connection(id, &mut buffer);
                self.finish_reading(id);
            }
        }
        self.buffer = buffer;
    }

    /// The pool has room: submits the tasks that it refused, in the order of refusal.
    pub(super) fn retry_tasks(&mut self) {
        for _ in 0..self.state.waiting.len() {
            let Some(id) = self.state.waiting.pop_front() else {
                return;
            };
            let Some(slot) = self.state.slots.get_mut(id) else {
                continue;
            };
            let Some(task) = slot.rare.as_mut().and_then(|rare| rare.task.take()) else {
                continue;
            };
            slot.core.resume(Pause::Workers, self.state.tick);
            self.state.touch(id);
            self.submit(id, task);
        }
    }

    /// Has a connection settled, which puts it back on the list if it has more to read.
    ///
    /// Long answers are written at once and not at the end of the turn: they are still in the processor's cache, and
    /// the next connection's answers can use their memory. Short ones wait, because more may come, and because it is
    /// cheaper to wake peers together.
    fn finish_reading(&mut self, id: ConnId) {
        let Some(slot) = self.state.slots.get_mut(id) else {
            return;
        };
        if slot.core.queued_bytes() >= WRITE_EARLY_BYTES {
            self.settle(id);
        } else if !mem::replace(&mut slot.touched, true) {
            self.state.touched.push(id);
        }
    }

    fn read_connection(&mut self, id: ConnId, buffer: &mut [u8]) {
        let mut budget = Budget::new(&self.budgets);
        if self
            .state
            .slots
            .get(id)
            .is_some_and(|slot| slot.core.has_undecoded())
        {
            self.deliver(id, &[], &mut budget);
        }
        while budget.reads > 0 && budget.bytes > 0 && budget.frames > 0 {
            match self.receive(id, buffer) {
                Received::Nothing => return,
                Received::TryAgain => budget.reads -= 1,
                Received::Bytes { count, last } => {
                    budget.reads -= 1;
                    budget.bytes = budget.bytes.saturating_sub(count);
                    self.deliver(id, buffer.get(..count).unwrap_or_default(), &mut budget);
                    if last {
                        return;
                    }
                }
                Received::Sealed(count) => {
                    budget.reads -= 1;
                    budget.bytes = budget.bytes.saturating_sub(count);
                    self.unseal(id, buffer.get(..count).unwrap_or_default(), &mut budget);
                }
            }
        }
    }

    fn receive(&mut self, id: ConnId, buffer: &mut [u8]) -> Received {
        let Some(slot) = self.state.slots.get_mut(id) else {
            return Received::Nothing;
        };
        let Some(link) = self.links.get_mut(id.index()).and_then(Option::as_mut) else {
            return Received::Nothing;
        };
        if !slot.readable || !slot.core.wants_input() {
            return Received::Nothing;
        }
        let pressed = self.held_bytes > self.limits.undecoded_bytes;
        let room = if pressed {
            READ_BYTES_UNDER_PRESSURE
        } else {
            buffer.len()
        }
        .min(buffer.len());
        self.meter.reads += 1;
        match self.io.read(&mut link.stream, &mut buffer[..room]) {
            Ok(0) => {
                slot.readable = false;
                slot.core.handle_end();
                Received::Nothing
            }
            Ok(count) => {
                // The end is announced once: after the announcement, only reading finds it.
                if count < room && I::SHORT_TRANSFER_MEANS_BLOCKED && !slot.end_announced {
                    slot.readable = false;
                }
                slot.core.handle_received(self.state.tick);
                self.meter.read_bytes += count as u64;
                if link.tls.is_some() {
                    Received::Sealed(count)
                } else {
                    Received::Bytes {
                        count,
                        last: !slot.readable,
                    }
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                slot.readable = false;
                Received::Nothing
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Received::TryAgain,
            Err(error) => {
                self.abort(id, CloseReason::from_io(error));
                Received::Nothing
            }
        }
    }

    /// Decodes the held bytes and `input`, and hands the frames to the handler. Takes all of `input`.
    pub(super) fn deliver(&mut self, id: ConnId, input: &[u8], budget: &mut Budget) {
        let Some(slot) = self.state.slots.get_mut(id) else {
            return;
        };
        // Taken out of the connection, so that a frame can lie in it while the handler uses the connection.
        let mut source = slot.core.source(input);
        loop {
            let stop = guard("on_frame", || {
                self.deliver_some(id, &mut source, &mut budget.frames)
            });
            match stop {
                Some(Stop::Done) => break,
                Some(Stop::Write) => self.write(id),
                Some(Stop::Offload(task)) => self.submit(id, task),
                Some(Stop::Close(code)) => {
                    if let Some(slot) = self.state.slots.get_mut(id) {
                        slot.core
                            .close(CloseReason::Local(code), CloseHow::Flush, self.state.tick);
                    }
                }
                Some(Stop::Failed(reason)) => self.close_by_library(id, reason),
                None => self.close_by_library(id, CloseReason::HandlerPanicked),
            }
        }
        if let Some(slot) = self.state.slots.get_mut(id) {
            slot.core.finish(source);
        }
    }

    fn deliver_some(&mut self, id: ConnId, source: &mut Source<'_>, frames: &mut usize) -> Stop<H> {
        loop {
            if source.is_spent() {
                return Stop::Done;
            }
            let Some(slot) = self.state.slots.get_mut(id) else {
                return Stop::Done;
            };
            if slot.core.is_paused_by(Pause::Outbound) && slot.writable && slot.wants_output() {
                return Stop::Write;
            }
            if *frames == 0 {
                return Stop::Done;
            }
            let frame = match slot.core.step(&self.state.settings, self.state.tick, source) {
                Step::Frame(frame) => frame,
                Step::Beat => {
                    *frames -= 1;
                    continue;
                }
                Step::Again => continue,
                Step::Idle => return Stop::Done,
                Step::Failed(reason) => return Stop::Failed(reason),
            };
            *frames -= 1;
            self.meter.frames += 1;
            let mut cx = ConnCx::new(&mut self.state, id);
            match self.handler.on_frame(&mut cx, frame) {
                Flow::Continue => {}
                Flow::Offload(task) => return Stop::Offload(task),
                Flow::Close(code) => return Stop::Close(code),
            }
        }
    }

    /// Gives a task to the pool, or keeps it and pauses its connection.
    fn submit(&mut self, id: ConnId, task: H::Task) {
        if self.state.pool.is_none() {
            log::error!("a handler offloads work, but the server has no worker pool");
            return self.close_by_library(id, CloseReason::NoWorkers);
        }
        match guard("Task::key", || self.state.offload(id, task)) {
            Some(Ok(())) => {}
            Some(Err(SubmitError::Full(_) | SubmitError::KeyFull(_))) => {
                if self.state.context(id).is_some() {
                    log::error!("a handler offloads a second task while the first one waits for room");
                    self.close_by_library(id, CloseReason::NoWorkers);
                }
            }
            Some(Err(SubmitError::Stopped(_))) => self.close_by_library(id, CloseReason::Stopped),
            None => self.close_by_library(id, CloseReason::HandlerPanicked),
        }
    }
}
