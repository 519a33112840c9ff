//! Posts deliveries to the loops, and marks a loop when one could not be posted.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

use netcore::{HeldWakes, LoopId, PostError, Remote};

use crate::message::{Delivery, Entry, ToLoop};

/// Whether a loop missed a delivery.
#[derive(Debug, Default)]
pub(crate) struct LoopMark(AtomicBool);

impl LoopMark {
    /// Notes a missed delivery. Must be called before anything later is posted.
    pub(crate) fn missed(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether a delivery was missed since the last call. The loop asks before it applies a delivery.
    pub(crate) fn take(&self) -> bool {
        self.0.load(Ordering::Acquire) && self.0.swap(false, Ordering::AcqRel)
    }
}

/// Posts deliveries to the loops of this node. The lanes, the change feed and the workers share it; they exist before
/// the loops do.
#[derive(Debug)]
pub(crate) struct Outboxes {
    remote: OnceLock<Remote<ToLoop>>,
    marks: Box<[LoopMark]>,
}

impl Outboxes {
    /// For a server with this many loops.
    pub(crate) fn new(loops: usize) -> Self {
        Self {
            remote: OnceLock::new(),
            marks: (0..loops).map(|_| LoopMark::default()).collect(),
        }
    }

    /// Called when the loops have started. Before that there are no connections and there is nothing to post.
    pub(crate) fn connect(&self, remote: &Remote<ToLoop>) {
        self.remote.get_or_init(|| remote.clone());
    }

    /// While the value lives, loops are not woken for deliveries; when it is dropped, each loop with deliveries is
    /// woken once.
    pub(crate) fn hold_wakes(&self) -> Option<HeldWakes<ToLoop>> {
        self.remote.get().map(Remote::hold_wakes)
    }

    /// The number of loops.
    pub(crate) fn loops(&self) -> usize {
        self.marks.len()
    }

    /// The mark of a loop.
    pub(crate) fn mark(&self, loop_index: usize) -> Option<&LoopMark> {
        self.marks.get(loop_index)
    }

    /// Posts a delivery to each loop, in the order of [`Remote::loops`]. If one does not fit, its pushes are dropped
    /// and the loop is marked; its answers are posted alone.
    pub(crate) fn post(&self, deliveries: Vec<Delivery>) {
        let Some(remote) = self.remote.get() else { return };
        for (loop_id, delivery) in remote.loops().zip(deliveries) {
            if !delivery.is_empty() {
                self.post_one(remote, loop_id, delivery);
            }
        }
    }

    fn post_one(&self, remote: &Remote<ToLoop>, loop_id: LoopId, delivery: Delivery) {
        let Err(PostError::Full(ToLoop::Deliver(delivery))) = remote.post(loop_id, ToLoop::Deliver(delivery))
        else {
            return;
        };
        if let Some(mark) = self.marks.get(loop_id.index()) {
            log::warn!("loop {} is full: its sessions will pull", loop_id.index());
            mark.missed();
        }
        // The answers have reserved places.
        for entry in delivery.entries {
            if let Entry::Answer(answer) = entry {
                answer.post();
            }
        }
    }

    /// Marks every loop: events were committed that the planner did not see.
    pub(crate) fn miss_all(&self) {
        self.marks.iter().for_each(LoopMark::missed);
    }

    /// Posts pushes that are not stored. Those that do not fit are dropped.
    pub(crate) fn post_transient(&self, deliveries: Vec<Delivery>) {
        let Some(remote) = self.remote.get() else { return };
        for (loop_id, delivery) in remote.loops().zip(deliveries) {
            if !delivery.is_empty() && remote.post(loop_id, ToLoop::Deliver(delivery)).is_err() {
                log::debug!("a transient frame was dropped: loop {} is full", loop_id.index());
            }
        }
    }
}
