//! Owns the ends of a loop: draining in good order, and stopping. Must never stop before every connection has
//! had its `on_close`.

use super::Reactor;
use super::io::Io;
use crate::close::{CloseHow, CloseReason};
use crate::conn::Phase;
use crate::handler::{Handler, Reason};
use crate::limits::DRAIN_NOTICES_PER_TURN_MAX;
use std::time::Instant;

/// How far the drain of a loop is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// The slot to be told next; `None` if nobody is to be told.
    announce_from: Option<usize>,
    /// When the rest is aborted.
    deadline: Option<Instant>,
}

impl Progress {
    pub(super) const fn is_announcing(&self) -> bool {
        self.announce_from.is_some()
    }

    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

impl<H: Handler, I: Io> Reactor<H, I> {
    pub(super) fn begin_drain(&mut self) {
        self.stop_accepting();
        self.drain.deadline = self.shared.drain().deadline;
        if !self.state.draining {
            self.state.draining = true;
            self.drain.announce_from = Some(0);
        }
    }

    /// Tells some connections of the drain, and aborts all when its time is over.
    pub(super) fn handle_drain(&mut self) {
        if self
            .drain
            .deadline
            .is_some_and(|deadline| deadline <= self.state.now)
        {
            self.drain = Progress::default();
            self.abort_all(|| CloseReason::Drained);
        }
        for _ in 0..DRAIN_NOTICES_PER_TURN_MAX {
            let Some(from) = self.drain.announce_from else {
                return;
            };
            let next = self.state.slots.first_from(from);
            self.drain.announce_from = next.map(|id| id.index() + 1);
            let Some(id) = next else { return };
            if self
                .state
                .slots
                .get(id)
                .is_some_and(|slot| slot.core.phase() == Phase::Open)
            {
                self.call_conn("on_drain", id, |handler, cx| handler.on_drain(cx));
            }
        }
    }

    /// Writes what can be written at once and ends every connection and the mailbox.
    pub(super) fn stop(&mut self) {
        self.stop_accepting();
        self.settle_touched();
        self.abort_all(|| CloseReason::Stopped);
        while !self.state.touched.is_empty() {
            self.settle_touched();
        }
        self.remove_over();
        self.mailbox.stop();
        for (stream, _) in self.shared.take_over(self.state.loop_id) {
            self.turn_away(stream);
        }
    }

    fn abort_all(&mut self, reason: impl Fn() -> Reason<H>) {
        let mut from = 0;
        while let Some(id) = self.state.slots.first_from(from) {
            from = id.index() + 1;
            if let Some(slot) = self.state.slots.get_mut(id) {
                slot.core.close(reason(), CloseHow::Abort, self.state.tick);
            }
            self.state.touch(id);
        }
    }
}
