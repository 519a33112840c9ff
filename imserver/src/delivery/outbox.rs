//! What goes to the loops: deliveries, and the mark for what could not be posted.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

use netcore::{HeldWakes, LoopId, PostError, Remote};

use crate::message::{Delivery, Entry, ToLoop};

/// Whether something could not be posted to a loop.
#[derive(Debug, Default)]
pub(crate) struct LoopMark(AtomicBool);

impl LoopMark {
    /// Notes that something did not go out. Called before anything later is posted.
    pub(crate) fn missed(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether something was missed since the last call. The loop asks before it applies a delivery.
    pub(crate) fn take(&self) -> bool {
        self.0.load(Ordering::Acquire) && self.0.swap(false, Ordering::AcqRel)
    }
}

/// Posts deliveries to the loops of this node. Shared by the lane and the workers, which are there before
/// the loops are.
#[derive(Debug)]
pub(crate) struct Outboxes {
    remote: OnceLock<Remote<ToLoop>>,
    marks: Box<[LoopMark]>,
}

impl Outboxes {
    /// For a server of so many loops.
    pub(crate) fn new(loops: usize) -> Self {
        Self {
            remote: OnceLock::new(),
            marks: (0..loops).map(|_| LoopMark::default()).collect(),
        }
    }

    /// The loops have started. Until then nobody is connected and there is nothing to post.
    pub(crate) fn connect(&self, remote: &Remote<ToLoop>) {
        self.remote.get_or_init(|| remote.clone());
    }

    /// Holds back the wakes of what is posted to the loops while the value lives; then each is woken once.
    pub(crate) fn hold_wakes(&self) -> Option<HeldWakes<ToLoop>> {
        self.remote.get().map(Remote::hold_wakes)
    }

    /// How many loops there are.
    pub(crate) fn loops(&self) -> usize {
        self.marks.len()
    }

    /// A loop's mark.
    pub(crate) fn mark(&self, loop_index: usize) -> Option<&LoopMark> {
        self.marks.get(loop_index)
    }

    /// Posts a delivery to each loop, in the order of [`Remote::loops`]. Of one that does not fit the pushes are dropped
    /// and leave their mark, and the answers go alone.
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
        // The answers have places of their own.
        for entry in delivery.entries {
            if let Entry::Answer(answer) = entry {
                answer.post();
            }
        }
    }

    /// Tells every loop that something was not planned.
    pub(crate) fn miss_all(&self) {
        self.marks.iter().for_each(LoopMark::missed);
    }

    /// Posts what is not stored; what does not fit is dropped.
    pub(crate) fn post_transient(&self, deliveries: Vec<Delivery>) {
        let Some(remote) = self.remote.get() else { return };
        for (loop_id, delivery) in remote.loops().zip(deliveries) {
            if !delivery.is_empty() && remote.post(loop_id, ToLoop::Deliver(delivery)).is_err() {
                log::debug!("a transient frame was dropped: loop {} is full", loop_id.index());
            }
        }
    }
}
