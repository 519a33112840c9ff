//! A lane's thread: drain, commit, answer, push.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use protocol::{
    Refusal,
    v1::{ErrorClass, ErrorCode},
};
use storage::{Cause, CommitError, DevicePolicy, Doom, Outcome, Write, Writer, cached::ReadCache};

use super::{
    complete::{Completer, refuse_all},
    erasing::{self, Erasing},
    handle::{LaneHandle, Order, Places, Queue},
    job::Completion,
    lazy::LazyWrites,
    turn::Turn,
};
use crate::{
    clock,
    cluster::ClusterHandle,
    delivery::{Outboxes, Routes},
    error::Fatal,
    metrics::Metrics,
    publish::Publishing,
    request_id::RequestId,
};

/// How long a cursor waits for others, to be written together with them.
const LAZY_DELAY: Duration = Duration::from_millis(50);
/// How long after a failed batch lazy writes are tried again: at first and at most; it doubles.
const LAZY_RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Minimum retry-after while the breaker is open, so that clients do not all return at the moment of its probe.
const RETRY_AFTER_LEAST: Duration = Duration::from_millis(100);

/// What all lanes work with.
#[derive(Clone, Debug)]
pub(crate) struct LaneParts {
    /// A revocation ends connections here.
    pub routes: Arc<Routes>,
    /// Forgets changed entries, before the change is answered or pushed.
    pub cache: Arc<ReadCache>,
    /// Cursors and session times that wait.
    pub lazy: Arc<LazyWrites>,
    /// Other nodes, and what they cache of sessions.
    pub cluster: ClusterHandle,
    /// The loops.
    pub outboxes: Arc<Outboxes>,
    /// The limit on a user's sessions.
    pub policy: DevicePolicy,
    /// The store's epoch.
    pub epoch: u64,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Writes in one transaction, at most.
    pub batch_max: usize,
    /// Takes the reason for which the process must end.
    pub fatal: Sender<Fatal>,
}

/// The lanes' threads, to be joined.
#[derive(Debug)]
pub(crate) struct Lanes {
    threads: Vec<JoinHandle<()>>,
    given_up: Arc<AtomicBool>,
}

impl Lanes {
    /// Starts one lane for each writer; each has a queue for `queue_max` jobs.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(
        lanes: Vec<(Box<dyn Writer>, Publishing)>,
        parts: &LaneParts,
        queue_max: usize,
    ) -> std::io::Result<(Self, LaneHandle)> {
        let mut queues = Vec::new();
        let mut threads = Vec::new();
        let given_up = Arc::new(AtomicBool::new(false));
        for (index, (writer, publishing)) in lanes.into_iter().enumerate() {
            let (queue, orders, places) = Queue::new(queue_max);
            queues.push(queue);
            let running = Running {
                writer,
                completer: Completer::new(publishing, parts.clone()),
                lazy: (index == 0).then(|| Arc::clone(&parts.lazy)),
                erasing: Erasing::new(index == 0, Instant::now()),
                batch_max: parts.batch_max,
                fatal: parts.fatal.clone(),
                places,
                given_up: Arc::clone(&given_up),
                waiting: Turn::default(),
                oldest: None,
                metrics: Arc::clone(&parts.metrics),
                index,
                failing_since: None,
                lazy_retry: LAZY_RETRY.0,
            };
            let thread = std::thread::Builder::new()
                .name(format!("lane-{index}"))
                .spawn(move || {
                    if catch_unwind(AssertUnwindSafe(|| running.run(&orders))).is_err() {
                        // What the store holds is unknown; any further acknowledgement would be a guess.
                        log::error!("a lane panicked; ending the process");
                        std::process::abort();
                    }
                })?;
            threads.push(thread);
        }
        let handle = LaneHandle::new(queues, Arc::clone(&parts.lazy));
        Ok((Self { threads, given_up }, handle))
    }

    /// Once set, no further batch begins: waiting jobs are refused.
    pub(crate) fn given_up(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.given_up)
    }

    /// Waits until every handle is gone, everything queued is committed and the writers are closed.
    pub(crate) fn join(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                log::error!("a lane's thread could not be joined");
            }
        }
    }
}

struct Running {
    writer: Box<dyn Writer>,
    completer: Completer,
    batch_max: usize,
    fatal: Sender<Fatal>,
    /// Only one lane writes lazily.
    lazy: Option<Arc<LazyWrites>>,
    lazy_retry: Duration,
    /// When this lane erases bodies that no reader can see any more.
    erasing: Erasing,
    places: Arc<Places>,
    /// The drain's deadline is over.
    given_up: Arc<AtomicBool>,
    /// Jobs from the queue and follow-ups of the last batch; they go into the next one.
    waiting: Turn,
    /// When the oldest of the jobs that came since the last batch was handed over.
    oldest: Option<Instant>,
    metrics: Arc<Metrics>,
    index: usize,
    failing_since: Option<Instant>,
}

impl Running {
    fn run(mut self, orders: &Receiver<Order>) {
        let mut lazy_due: Option<Instant> = None;
        loop {
            if self.waiting.is_empty() {
                let due = lazy_due.into_iter().chain(self.erasing.due()).min();
                match next(orders, due) {
                    Next::Order(order) => self.take(order),
                    Next::Due => {}
                    Next::Ended => break,
                }
            }
            while self.waiting.len() < self.batch_max
                && let Ok(order) = orders.try_recv()
            {
                self.take(order);
            }
            if self.given_up.load(Ordering::Relaxed) {
                let thens = self.waiting.take_all().into_iter().map(|job| job.then).collect();
                let refusal = Refusal::new(ErrorCode::Draining, "this server is going away");
                refuse_all(thens, &refusal);
                lazy_due = None;
                continue;
            }
            if self.erasing.is_due(Instant::now(), self.waiting.is_empty())
                && matches!(self.erase(), Batch::Fatal)
            {
                return;
            }
            let jobs = self.waiting.take(self.writer.batch_size(self.batch_max));
            let jobs = jobs.into_iter().map(|job| (job.write, job.then));
            let (mut writes, thens): (Vec<Write>, Vec<Completion>) = jobs.unzip();
            if lazy_due.is_none() && self.lazy_waits() {
                lazy_due = Some(Instant::now() + LAZY_DELAY);
            }
            if lazy_due.is_some_and(|due| due <= Instant::now()) {
                writes.extend(self.take_lazy());
                lazy_due = self.lazy_waits().then(Instant::now);
            }
            if writes.is_empty() {
                continue;
            }
            match self.batch(writes, thens) {
                Batch::Committed => self.lazy_retry = LAZY_RETRY.0,
                Batch::Failed if self.lazy_waits() => {
                    lazy_due = Some(Instant::now() + self.lazy_retry);
                    self.lazy_retry = (self.lazy_retry * 2).min(LAZY_RETRY.1);
                }
                Batch::Failed => {}
                Batch::Fatal => return,
            }
        }
        self.flush();
    }

    fn take(&mut self, order: Order) {
        if let Order::Jobs(jobs, handed_over_at) = order {
            self.places.give_back(jobs.len());
            self.oldest.get_or_insert(handed_over_at);
            self.waiting.extend(jobs);
        }
    }

    /// Erases a slice of bodies, in a transaction of its own.
    fn erase(&mut self) -> Batch {
        let committed = self
            .writer
            .commit(&[Write::Erase(erasing::expired_by(clock::wall()))]);
        let now = Instant::now();
        match committed {
            Ok(answers) => {
                self.recovered();
                let more = answers
                    .iter()
                    .any(|answer| matches!(answer, Ok(Outcome::Erased(true))));
                self.erasing.erased(more, now);
                Batch::Committed
            }
            Err(CommitError::NotApplied { reason, .. } | CommitError::Unknown(reason)) => {
                self.failing(&reason);
                self.erasing.failed(now);
                Batch::Failed
            }
            Err(CommitError::Fatal(reason)) => {
                self.fatal(&reason);
                Batch::Fatal
            }
        }
    }

    fn fatal(&self, reason: &Cause) {
        let doom = Doom::of(reason);
        log::error!("{doom}");
        // A store that found the reason itself has reported it already; this channel keeps the first reason.
        let _ = self.fatal.try_send(doom.into());
    }

    /// Writes everything lazy at the end. What the store does not commit now is lost, and devices report it again.
    fn flush(&mut self) {
        while self.lazy_waits() {
            let writes = self.take_lazy();
            if !matches!(self.batch(writes, Vec::new()), Batch::Committed) {
                log::warn!("cursors could not be written at the end");
                return;
            }
        }
    }

    fn lazy_waits(&self) -> bool {
        self.lazy.as_ref().is_some_and(|lazy| !lazy.is_empty())
    }

    fn take_lazy(&self) -> Vec<Write> {
        self.lazy.as_ref().map(|lazy| lazy.take()).unwrap_or_default()
    }

    /// Lazy writes of a failed batch wait again.
    fn put_back(&self, writes: Vec<Write>) {
        if let Some(lazy) = &self.lazy {
            writes.into_iter().for_each(|write| lazy.put_back(write));
        }
    }

    /// Commits a batch and answers its requesters. `thens` belong to the first writes, in order; the rest have no
    /// requester.
    fn batch(&mut self, writes: Vec<Write>, mut thens: Vec<Completion>) -> Batch {
        thens.resize_with(writes.len(), || Completion::Nothing);
        // Read before the commit. A revocation of a session created by this batch then always has a larger count.
        let checked_at = self.completer.revocations();
        let began = Instant::now();
        let row = self.metrics.of_lane(self.index);
        let waited = self.oldest.take();
        row.begins(
            writes.len(),
            waited.map(|since| began.saturating_duration_since(since)),
        );
        let committed = self.writer.commit(&writes);
        row.ended(&committed, began.elapsed());
        match committed {
            Ok(results) => {
                self.recovered();
                if writes.iter().any(erasing::is_recall) {
                    self.erasing.begin(Instant::now());
                }
                let next = self.completer.committed(results, thens, checked_at);
                next.into_iter()
                    .rev()
                    .for_each(|job| self.waiting.push_front(job));
                Batch::Committed
            }
            Err(CommitError::NotApplied {
                reason,
                full,
                retry_after,
            }) => {
                self.failing(&reason);
                refuse_all(thens, &not_applied(full, retry_after));
                self.put_back(writes);
                Batch::Failed
            }
            Err(CommitError::Unknown(reason)) => {
                self.failing(&reason);
                let refusal = Refusal::new(ErrorCode::Unavailable, "the store did not answer")
                    .with_class(ErrorClass::UnknownOutcome);
                // The batch may be committed, but its events were not published.
                self.completer.missed();
                refuse_all(thens, &refusal);
                self.put_back(writes);
                Batch::Failed
            }
            Err(CommitError::Fatal(reason)) => {
                let refusal = Refusal::new(ErrorCode::Unavailable, "the store failed")
                    .with_class(ErrorClass::UnknownOutcome);
                refuse_all(thens, &refusal);
                self.fatal(&reason);
                Batch::Fatal
            }
        }
    }

    fn failing(&mut self, reason: &dyn std::fmt::Display) {
        if self.failing_since.is_none() {
            self.failing_since = Some(Instant::now());
            let from = RequestId::upcoming();
            log::error!("a batch was not committed: {reason} (requests that are refused from {from} on)");
        }
    }

    fn recovered(&mut self) {
        if let Some(since) = self.failing_since.take() {
            log::warn!(
                "the store takes writes again after {} ms (requests that were refused before {})",
                since.elapsed().as_millis(),
                RequestId::upcoming()
            );
        }
    }
}

/// The refusal of a batch that was not applied.
fn not_applied(full: bool, retry_after: Option<Duration>) -> Refusal {
    let refusal = if full {
        Refusal::new(ErrorCode::ResourceExhausted, "the store is full")
    } else {
        Refusal::new(ErrorCode::Unavailable, "the store did not take it")
    };
    // Earlier attempts under the same client ids may have been committed, hence RETRY.
    let refusal = refusal.with_class(ErrorClass::Retry);
    not_before(refusal, retry_after)
}

/// Adds the time after which the client may come back, if it is known how long the breaker stays open.
pub(crate) fn not_before(refusal: Refusal, retry_after: Option<Duration>) -> Refusal {
    let Some(wait) = retry_after else {
        return refusal;
    };
    let wait_ms = wait.max(RETRY_AFTER_LEAST).as_millis();
    refusal.with_retry_after_ms(u32::try_from(wait_ms).unwrap_or(u32::MAX))
}

/// How a batch ended.
enum Batch {
    Committed,
    /// The store did not commit it; it may commit the next.
    Failed,
    /// The lane must end.
    Fatal,
}

enum Next {
    Order(Order),
    /// A timer is due; there is no order.
    Due,
    Ended,
}

fn next(orders: &Receiver<Order>, due: Option<Instant>) -> Next {
    match due {
        None => orders.recv().map_or(Next::Ended, Next::Order),
        Some(due) => match orders.recv_deadline(due) {
            Ok(order) => Next::Order(order),
            Err(RecvTimeoutError::Timeout) => Next::Due,
            Err(RecvTimeoutError::Disconnected) => Next::Ended,
        },
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
