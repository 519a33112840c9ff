//! Owns the ends of a loop: a clean drain, and stopping. Must never stop before every connection has had its
//! `on_close`.

use super::Reactor;
use super::io::Io;
use crate::admission::Refused;
use crate::close::{CloseHow, CloseReason};
use crate::conn::Phase;
use crate::handler::{Handler, Reason};
use crate::limits::DRAIN_NOTICES_PER_TURN_MAX;
use crate::reactor::shared::Phase as ServerPhase;
use std::time::{Duration, Instant};

/// The progress of a loop's drain.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// The announcements; `None` if there is no connection to tell.
    announcing: Option<Announcing>,
    /// When the remaining connections are aborted.
    deadline: Option<Instant>,
    /// The remaining connections have been aborted.
    aborted: bool,
}

/// Tells the connections of a loop of the drain, one after the other, evenly over some time.
#[derive(Clone, Copy, Debug)]
struct Announcing {
    /// The slot of the next connection to tell.
    from: usize,
    told: usize,
    /// The approximate number of connections to tell.
    all: usize,
    began: Instant,
    spread: Duration,
}

/// The time between announcements that are spread.
const ANNOUNCE_EVERY: Duration = Duration::from_millis(10);

impl Announcing {
    /// How many connections may have been told by now.
    fn quota(&self, now: Instant) -> usize {
        let elapsed = now.saturating_duration_since(self.began);
        if elapsed >= self.spread {
            return usize::MAX;
        }
        let share = elapsed.as_nanos() * self.all as u128 / self.spread.as_nanos().max(1);
        usize::try_from(share).unwrap_or(usize::MAX)
    }
}

impl Progress {
    /// The deadline has passed: a connection that ends now was aborted, even if its end had begun before.
    pub(super) const fn is_over(&self) -> bool {
        self.aborted
    }

    /// When the loop must go on with the drain.
    pub(super) fn next_step(&self, now: Instant) -> Option<Instant> {
        let announce = self.announcing.map(|announcing| {
            if announcing.told < announcing.quota(now) {
                now
            } else {
                now + ANNOUNCE_EVERY
            }
        });
        announce.into_iter().chain(self.deadline).min()
    }
}

impl<H: Handler, I: Io> Reactor<H, I> {
    pub(super) fn begin_drain(&mut self) {
        self.stop_accepting();
        let drain = self.state.shared.drain();
        self.drain.deadline = drain.deadline;
        if !self.state.draining {
            self.state.draining = true;
            self.fail_pending(|| CloseReason::Drained);
            self.drain.announcing = Some(Announcing {
                from: 0,
                told: 0,
                all: self.state.slots.len(),
                began: self.state.now,
                spread: drain.spread,
            });
        }
    }

    /// Tells some connections of the drain; aborts all when its time is over.
    pub(super) fn handle_drain(&mut self) {
        if self
            .drain
            .deadline
            .is_some_and(|deadline| deadline <= self.state.now)
        {
            self.drain.deadline = None;
            self.drain.aborted = true;
            self.announced();
            self.state.shared.advance(ServerPhase::Aborting);
            self.abort_all(|| CloseReason::Drained);
        }
        for _ in 0..DRAIN_NOTICES_PER_TURN_MAX {
            let Some(announcing) = &mut self.drain.announcing else {
                return;
            };
            let Some(id) = self.state.slots.first_open_from(announcing.from) else {
                return self.announced();
            };
            if announcing.told >= announcing.quota(self.state.now) {
                return;
            }
            announcing.told += 1;
            announcing.from = id.index() + 1;
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

    fn announced(&mut self) {
        if self.drain.announcing.take().is_some() {
            self.state.shared.note_announced();
        }
    }

    /// Writes as much as sockets take at once and ends every connection and the mailbox.
    pub(super) fn stop(&mut self) {
        self.stop_accepting();
        self.settle_touched();
        self.fail_pending(|| CloseReason::Stopped);
        self.give_up_failed();
        self.abort_all(|| CloseReason::Stopped);
        while !self.state.touched.is_empty() {
            self.settle_touched();
        }
        self.remove_over();
        self.mailbox.stop();
        for (stream, peer) in self.handover.take(self.state.loop_id) {
            self.turn_away(stream, &peer, Refused::Draining);
        }
    }

    fn abort_all(&mut self, reason: impl Fn() -> Reason<H>) {
        let mut from = 0;
        while let Some(id) = self.state.slots.first_open_from(from) {
            from = id.index() + 1;
            if let Some(slot) = self.state.slots.get_mut(id) {
                slot.core.close(reason(), CloseHow::Abort, self.state.tick);
            }
            self.state.touch(id);
        }
    }
}
