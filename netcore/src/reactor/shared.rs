//! Owns what the loops of a server share: how many connections there are, who takes the next one, and how a
//! drain goes. Must never be locked while foreign code runs.

use crate::handler::Peer;
use crate::id::LoopId;
use crate::limits::HANDOVER_MAX;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

pub(crate) struct Shared<S> {
    loops: Vec<PerLoop<S>>,
    connections: AtomicUsize,
    connections_max: usize,
    drain: Mutex<Drain>,
    changed: Condvar,
}

struct PerLoop<S> {
    /// Accepted sockets on their way to the loop.
    handover: Mutex<VecDeque<(S, Peer)>>,
    load: AtomicUsize,
}

/// A drain so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Drain {
    /// When connections are aborted; `None` while the server is not draining.
    pub(crate) deadline: Option<Instant>,
    pub(crate) drained: usize,
    pub(crate) aborted: usize,
}

impl<S> Shared<S> {
    pub(crate) fn new(loops: usize, connections_max: usize) -> Self {
        let per_loop = || PerLoop {
            handover: Mutex::new(VecDeque::new()),
            load: AtomicUsize::new(0),
        };
        Self {
            loops: std::iter::repeat_with(per_loop).take(loops).collect(),
            connections: AtomicUsize::new(0),
            connections_max,
            drain: Mutex::new(Drain::default()),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }

    /// Counts a new connection and chooses the loop with the fewest; `None` if there are too many.
    pub(crate) fn admit(&self) -> Option<LoopId> {
        let below_max = |count: usize| (count < self.connections_max).then_some(count + 1);
        self.connections
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, below_max)
            .ok()?;
        let least = self
            .loops
            .iter()
            .enumerate()
            .min_by_key(|(_, per_loop)| per_loop.load.load(Ordering::Relaxed))
            .map_or(0, |(index, _)| index);
        if let Some(per_loop) = self.loops.get(least) {
            per_loop.load.fetch_add(1, Ordering::Relaxed);
        }
        Some(LoopId(least as u8))
    }

    /// A counted connection of this loop is gone.
    pub(crate) fn leave(&self, loop_id: LoopId) {
        if let Some(per_loop) = self.loops.get(loop_id.index()) {
            per_loop.load.fetch_sub(1, Ordering::Relaxed);
        }
        if self.connections.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Whoever waits has checked the count under this lock.
            drop(self.drain.lock());
            self.changed.notify_all();
        }
    }

    /// Puts a socket on its way to another loop; gives it back if too many are waiting there.
    pub(crate) fn hand_over(&self, to: LoopId, stream: S, peer: Peer) -> Result<(), S> {
        let Some(per_loop) = self.loops.get(to.index()) else {
            return Err(stream);
        };
        let mut handover = per_loop.handover.lock();
        if handover.len() >= HANDOVER_MAX {
            return Err(stream);
        }
        handover.push_back((stream, peer));
        Ok(())
    }

    /// The sockets on their way to this loop.
    pub(crate) fn take_over(&self, loop_id: LoopId) -> VecDeque<(S, Peer)> {
        self.loops
            .get(loop_id.index())
            .map(|per_loop| mem::take(&mut *per_loop.handover.lock()))
            .unwrap_or_default()
    }

    /// Sets the deadline of a drain; an earlier one stays.
    pub(crate) fn begin_drain(&self, deadline: Instant) {
        let mut drain = self.drain.lock();
        drain.deadline = Some(drain.deadline.map_or(deadline, |earlier| earlier.min(deadline)));
    }

    pub(crate) fn drain(&self) -> Drain {
        *self.drain.lock()
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
}
