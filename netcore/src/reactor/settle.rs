//! Owns the end of a turn: one write per connection, its consequences, timers, and the removal of connections that are
//! over. Must never leave a touched connection without a valid timer.

use super::Reactor;
use super::io::Io;
use super::slots::Entry;
use crate::address::CompactPeer;
use crate::close::{CloseHow, CloseReason};
use crate::conn::{Ending, Phase};
use crate::handler::{Eof, Handler, Reason};
use crate::id::ConnId;
use crate::limits::{WRITE_SLICES_MAX, WRITES_PER_TURN_MAX};
use crate::time::Tick;
use std::io::{ErrorKind, IoSlice};
use std::mem;

/// Callbacks at the end of a turn can touch connections again; after this many rounds they wait for the next turn.
const ROUNDS_MAX: usize = 4;

impl<H: Handler, I: Io> Reactor<H, I> {
    pub(super) fn settle_touched(&mut self) {
        for _ in 0..ROUNDS_MAX {
            if self.state.touched.is_empty() {
                return;
            }
            let mut touched = mem::take(&mut self.state.touched);
            for id in touched.drain(..) {
                // A connection that was settled after it was put on the list needs it no more.
                if self.state.slots.get(id).is_some_and(|slot| slot.touched) {
                    self.settle(id);
                }
            }
            if self.state.touched.is_empty() {
                // Keeps the memory of the list.
                self.state.touched = touched;
            }
        }
    }

    /// Removes connections that are over and tells the handler.
    pub(super) fn remove_over(&mut self) {
        let mut over = mem::take(&mut self.over);
        for id in over.drain(..) {
            let Some(Entry::Open(mut slot)) = self.state.slots.remove(id) else {
                continue;
            };
            if let Some(link) = self.links.get_mut(id.index()).and_then(Option::take) {
                self.io
                    .close(link.stream, slot.core.was_cut_off() || slot.sealed_output);
            }
            self.held_bytes -= slot.held_bytes as usize;
            for membership in slot.rare.iter_mut().flat_map(|rare| rare.groups.drain(..)) {
                self.state.leave_group(membership);
            }
            let reason = slot.core.take_reason().unwrap_or(CloseReason::Stopped);
            self.closed(id, slot.conn, &slot.peer, &reason);
        }
        self.over = over;
    }

    /// Tells the handler of a connection that is over.
    pub(super) fn closed(&mut self, id: ConnId, conn: H::Conn, peer: &CompactPeer, reason: &Reason<H>) {
        log::debug!("connection {id} is over: {reason}");
        if let Some(observer) = &self.observer {
            observer.closed(self.state.loop_id, reason.initiator(), reason.name());
        }
        self.call_loop("on_close", |handler, cx| handler.on_close(cx, id, conn, reason));
        let shared = &self.state.shared;
        if self.state.draining {
            shared.note_drained(self.drain.is_over());
        }
        shared.leave(self.state.loop_id, peer, self.state.now);
    }

    pub(super) fn settle(&mut self, id: ConnId) {
        let Some(slot) = self.state.slots.get_mut(id) else {
            return;
        };
        slot.touched = false;
        self.write(id);
        let Some(mut slot) = self.state.slots.get_mut(id) else {
            return;
        };
        if slot.core.has_news() || slot.core.is_shutdown_due() {
            self.report(id);
            self.shut_down(id);
            let Some(changed) = self.state.slots.get_mut(id) else {
                return;
            };
            slot = changed;
        }
        if slot.over {
            return;
        }
        slot.count_queued(&mut self.state.queued_bytes);
        let held = slot.core.held_bytes();
        self.held_bytes = self.held_bytes + held - slot.held_bytes as usize;
        slot.held_bytes = u32::try_from(held).unwrap_or(u32::MAX);
        if slot.core.phase() == Phase::Closed {
            slot.over = true;
            self.over.push(id);
            return;
        }
        let more = slot.core.has_undecoded() || (slot.readable && slot.core.wants_input());
        if more && !slot.queued {
            slot.queued = true;
            self.ready.push_back(id);
        }
        let deadline = slot.next_deadline(&self.state.settings);
        self.remind(id, deadline);
    }

    /// Ensures that the wheel returns this connection at its deadline, or earlier.
    pub(super) fn remind(&mut self, id: ConnId, deadline: Tick) {
        if deadline < self.state.slots.timer(id.index()) {
            let at = self.wheel.insert(deadline, id.index() as u32);
            self.state.slots.set_timer(id.index(), at);
        }
    }

    /// Writes queued bytes until there are none left, the socket takes no more, or the budget is spent.
    pub(super) fn write(&mut self, id: ConnId) {
        let Some(slot) = self.state.slots.get_mut(id) else {
            return;
        };
        let Some(link) = self.links.get_mut(id.index()).and_then(Option::as_mut) else {
            return;
        };
        if link.tls.is_some() {
            return self.write_sealed(id);
        }
        for _ in 0..WRITES_PER_TURN_MAX {
            if !slot.writable || !slot.core.wants_output() {
                return slot.core.shrink();
            }
            self.meter.writes += 1;
            let (result, offered) = match slot.core.slice() {
                // Preparing all the slices costs more than everything else here.
                Some(slice) => {
                    let result = self.io.write(&mut link.stream, &[IoSlice::new(slice)]);
                    (result, slice.len())
                }
                None => {
                    let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX];
                    let (count, offered) = slot.core.slices(&mut slices);
                    let slices = slices.get(..count).unwrap_or_default();
                    (self.io.write(&mut link.stream, slices), offered)
                }
            };
            match result {
                Ok(0) => {
                    return slot
                        .core
                        .close(CloseReason::Reset, CloseHow::Abort, self.state.tick);
                }
                Ok(written) => {
                    self.meter.written_bytes += written as u64;
                    let (settings, spare) = (&self.state.settings, &mut self.state.spare);
                    slot.core.written(settings, self.state.tick, written, spare);
                    slot.writable = written == offered || !I::SHORT_TRANSFER_MEANS_BLOCKED;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => slot.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    return slot
                        .core
                        .close(CloseReason::from_io(error), CloseHow::Abort, self.state.tick);
                }
            }
        }
        // The rest in the next turn.
        self.state.touch(id);
    }

    /// Tells the handler that there is room again, or that the peer has finished.
    fn report(&mut self, id: ConnId) {
        let Some(slot) = self.state.slots.get_mut(id) else {
            return;
        };
        if slot.core.poll_writable() {
            self.call_conn("on_writable", id, |handler, cx| handler.on_writable(cx));
        }
        let Some(slot) = self.state.slots.get_mut(id) else {
            return;
        };
        match slot.core.poll_end() {
            None => {}
            Some(Ending::Truncated { have }) => {
                let next = self.call_conn("on_truncated", id, |handler, cx| handler.on_truncated(cx, have));
                if next == Some(Eof::Close) {
                    self.close_by_library(id, CloseReason::TruncatedFrame { have });
                }
            }
            Some(Ending::Clean) => {
                let next = self.call_conn("on_eof", id, |handler, cx| handler.on_eof(cx));
                if next == Some(Eof::Close)
                    && let Some(slot) = self.state.slots.get_mut(id)
                {
                    slot.core
                        .close(CloseReason::Eof, CloseHow::Flush, self.state.tick);
                    if slot.core.wants_output() {
                        self.state.touch(id);
                    }
                }
            }
        }
    }

    fn shut_down(&mut self, id: ConnId) {
        let Some(slot) = self.state.slots.get_mut(id) else {
            return;
        };
        if slot.sealed_output || !slot.core.is_shutdown_due() {
            return;
        }
        let link = self.links.get_mut(id.index()).and_then(Option::as_mut);
        if let Some(session) = link.and_then(|link| link.tls.as_mut()) {
            // `close_notify` must be the last bytes written: a peer that misses it must take the end for an attack.
            session.end();
            self.write_sealed(id);
        }
        let Some(slot) = self.state.slots.get_mut(id) else {
            return;
        };
        if slot.sealed_output || !slot.core.poll_shutdown(self.state.tick) {
            return;
        }
        let Some(link) = self.links.get_mut(id.index()).and_then(Option::as_mut) else {
            return;
        };
        if let Err(error) = self.io.shut_down(&mut link.stream) {
            slot.core
                .close(CloseReason::from_io(error), CloseHow::Abort, self.state.tick);
        }
    }
}
