//! The sending side of the lanes: which lane a write belongs to, and whether its queue has room. It must never block: a
//! full queue gives the job back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use storage::{Revoke, Write};

use super::{job::Job, lazy::LazyWrites};

/// The number of collected jobs at which they are handed over before the turn ends, so that a long turn does not keep
/// an idle lane waiting.
const COLLECTED_MAX: usize = 64;

/// What a lane receives.
pub(super) enum Order {
    /// Each job holds a place in the lane's queue. With the time when they were handed over.
    Jobs(Vec<Job>, Instant),
    /// Cursors wait.
    Lazy,
}

/// The sending end of one lane's queue.
#[derive(Debug)]
pub(super) struct Queue {
    orders: Sender<Order>,
    places: Arc<Places>,
}

/// Counts the jobs that wait for a lane.
#[derive(Debug)]
pub(super) struct Places {
    taken: AtomicUsize,
    max: usize,
}

impl Places {
    fn take(&self) -> bool {
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        if taken >= self.max {
            self.give_back(1);
        }
        taken < self.max
    }

    pub(super) fn give_back(&self, count: usize) {
        self.taken.fetch_sub(count, Ordering::Relaxed);
    }
}

/// The handle of all lanes. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct LaneHandle {
    /// Never empty.
    lanes: Arc<[Queue]>,
    lazy: Arc<LazyWrites>,
}

/// Jobs of one turn of a loop: a lane that sleeps is woken once for all of them, and commits them together.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    /// By lane.
    jobs: Vec<Vec<Job>>,
}

/// A job that was not queued, given back.
#[derive(Debug)]
pub(crate) enum SubmitError {
    /// The queue is full: try again when there is room.
    Full(Box<Job>),
    /// The lane has ended.
    Stopped(Box<Job>),
}

impl LaneHandle {
    /// The handle of the lanes with these queues, of which there is at least one.
    pub(super) fn new(lanes: Vec<Queue>, lazy: Arc<LazyWrites>) -> Self {
        Self {
            lanes: lanes.into(),
            lazy,
        }
    }

    /// Queues a job with the lane of its conversation or user, so the jobs of one conversation or user are committed in
    /// the order of submission. Never blocks.
    ///
    /// # Errors
    /// Gives the job back.
    pub(crate) fn submit(&self, job: Box<Job>) -> Result<(), SubmitError> {
        let Some(lane) = self.lanes.get(lane_of(&job.write, self.lanes.len())) else {
            return Err(SubmitError::Stopped(job));
        };
        if !lane.places.take() {
            return Err(SubmitError::Full(job));
        }
        lane.send(vec![*job]);
        Ok(())
    }

    /// Like [`submit`](Self::submit), but the lane sees the job only when the jobs are [handed over](Self::hand_over).
    ///
    /// # Errors
    /// Gives the job back.
    pub(crate) fn collect(&self, job: Box<Job>, collected: &mut Collected) -> Result<(), SubmitError> {
        let index = lane_of(&job.write, self.lanes.len());
        let Some(lane) = self.lanes.get(index) else {
            return Err(SubmitError::Stopped(job));
        };
        if !lane.places.take() {
            return Err(SubmitError::Full(job));
        }
        if collected.jobs.len() <= index {
            collected.jobs.resize_with(self.lanes.len(), Vec::new);
        }
        if let Some(jobs) = collected.jobs.get_mut(index) {
            jobs.push(*job);
            if jobs.len() >= COLLECTED_MAX {
                lane.send(std::mem::take(jobs));
            }
        }
        Ok(())
    }

    /// Hands the collected jobs to their lanes.
    pub(crate) fn hand_over(&self, collected: &mut Collected) {
        for (lane, jobs) in self.lanes.iter().zip(&mut collected.jobs) {
            if !jobs.is_empty() {
                lane.send(std::mem::take(jobs));
            }
        }
    }

    /// The jobs that wait for each lane.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = usize> {
        self.lanes
            .iter()
            .map(|lane| lane.places.taken.load(Ordering::Relaxed))
    }

    /// The writes that may wait.
    pub(crate) fn lazy(&self) -> &LazyWrites {
        &self.lazy
    }

    /// Tells the first lane that lazy writes wait. If the queue is full, nothing is lost: the lane checks after every
    /// batch.
    pub(crate) fn wake_lazy(&self) {
        let first = self.lanes.first().map(|lane| lane.orders.try_send(Order::Lazy));
        if let Some(Err(TrySendError::Disconnected(_))) = first {
            log::debug!("cursors came after the lane had ended");
        }
    }
}

impl Queue {
    /// A queue with room for so many jobs, and what its lane has of it.
    pub(super) fn new(max: usize) -> (Self, Receiver<Order>, Arc<Places>) {
        // One place more, for the order that tells of lazy writes.
        let (orders, received) = bounded(max.saturating_add(1));
        let places = Arc::new(Places {
            taken: AtomicUsize::new(0),
            max,
        });
        let queue = Self {
            orders,
            places: Arc::clone(&places),
        };
        (queue, received, places)
    }

    /// Sends jobs that hold places. Each job is in at most one order, so there is room for the order. If the lane has
    /// ended, the jobs are dropped, which refuses them.
    fn send(&self, jobs: Vec<Job>) {
        let count = jobs.len();
        match self.orders.try_send(Order::Jobs(jobs, Instant::now())) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                log::error!("a lane's queue has fewer places than it gave out");
                self.places.give_back(count);
            }
            Err(TrySendError::Disconnected(_)) => self.places.give_back(count),
        }
    }
}

/// The lane that a write belongs to.
fn lane_of(write: &Write, lanes: usize) -> usize {
    let key = match write {
        Write::Append(append) => append.conversation.0,
        Write::UpdateProfile(change) => change.user.0,
        Write::CreateSession(new) => new.session.user.0,
        Write::RevokeSessions(Revoke::One(user, _) | Revoke::Others(user, _)) => user.0,
        Write::Cursors(_) | Write::CreateUser(_) | Write::TouchSessions(_) | Write::Erase(_) => 0,
    };
    // Ids of 1:1 conversations differ in their high and in their low bits.
    let mixed = (key ^ key >> 31).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    (mixed % lanes.max(1) as u64) as usize
}
