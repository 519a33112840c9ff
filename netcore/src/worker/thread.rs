//! Owns the threads of a pool. Must never let a panic of a task end a thread.

use super::queue::{Next, Queue};
use super::{PoolError, Task};
use crate::limits::WORKER_REBUILD_RETRY;
use parking_lot::Mutex;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, ThreadId};

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type MakeWorker<T> = dyn Fn(usize) -> Result<<T as Task>::Worker, BoxError> + Send + Sync;

/// The running threads; stopped and joined when dropped.
pub(super) struct Threads<T: Task> {
    queue: Arc<Queue<T>>,
    handles: Mutex<Vec<JoinHandle<()>>>,
    ids: Vec<ThreadId>,
}

impl<T: Task> Threads<T> {
    /// No threads: the owner of the queue runs the tasks.
    #[cfg(test)]
    pub(super) fn none(queue: &Arc<Queue<T>>) -> Self {
        Self {
            queue: Arc::clone(queue),
            handles: Mutex::default(),
            ids: Vec::new(),
        }
    }

    pub(super) fn stop_and_join(&self) {
        self.queue.stop();
        if self.ids.contains(&thread::current().id()) {
            return;
        }
        // The lock is held so that a second caller returns only when the threads have ended, too.
        let mut handles = self.handles.lock();
        for handle in mem::take(&mut *handles) {
            if handle.join().is_err() {
                log::error!("a worker thread panicked outside of a task");
            }
        }
    }
}

impl<T: Task> Drop for Threads<T> {
    fn drop(&mut self) {
        self.stop_and_join();
    }
}

/// Starts `count` threads and waits until all of them have their state.
pub(super) fn start<T: Task>(
    queue: &Arc<Queue<T>>,
    count: usize,
    name: &str,
    make_worker: Arc<MakeWorker<T>>,
) -> Result<Threads<T>, PoolError> {
    let (report, reports) = crossbeam_channel::bounded(count);
    let alive = Arc::new(AtomicUsize::new(count));
    let mut threads = Threads {
        queue: Arc::clone(queue),
        handles: Mutex::new(Vec::new()),
        ids: Vec::new(),
    };
    for index in 0..count {
        let worker_thread = WorkerThread {
            index,
            queue: Arc::clone(queue),
            make_worker: Arc::clone(&make_worker),
            alive: Arc::clone(&alive),
        };
        let report = report.clone();
        let handle = thread::Builder::new()
            .name(format!("{name}-{index}"))
            .spawn(move || worker_thread.main(report))
            .map_err(PoolError::Thread)?;
        threads.ids.push(handle.thread().id());
        threads.handles.lock().push(handle);
    }
    drop(report);
    for (index, outcome) in reports {
        outcome.map_err(|source| PoolError::Worker { index, source })?;
    }
    Ok(threads)
}

type Report = crossbeam_channel::Sender<(usize, Result<(), BoxError>)>;

struct WorkerThread<T: Task> {
    index: usize,
    queue: Arc<Queue<T>>,
    make_worker: Arc<MakeWorker<T>>,
    alive: Arc<AtomicUsize>,
}

impl<T: Task> WorkerThread<T> {
    fn main(&self, report: Report) {
        match self.make() {
            Ok(worker) => {
                // The receiver waits for all reports, so this cannot fail.
                let _ = report.send((self.index, Ok(())));
                // The starter waits until no thread can report any more.
                drop(report);
                self.serve(worker);
            }
            Err(error) => {
                let _ = report.send((self.index, Err(error)));
            }
        }
        if self.alive.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.queue.drop_rest();
        }
    }

    fn serve(&self, worker: T::Worker) {
        let mut worker = Some(worker);
        while let Some(mut turn) = self.queue.take_strand() {
            while let Next::Run(task) = self.queue.next_task(&mut turn) {
                let Some(state) = &mut worker else { break };
                let outcome = catch_unwind(AssertUnwindSafe(|| task.run(state)));
                self.queue.finished(outcome.is_err());
                if outcome.is_err() {
                    log::error!("a task with key {} panicked on worker {}", turn.key, self.index);
                    worker = None;
                    // Other threads can go on with the strand while this one is being set up again.
                    turn.end();
                }
            }
            if worker.is_none() {
                worker = self.make_again();
                if worker.is_none() {
                    return;
                }
            }
        }
    }

    fn make(&self) -> Result<T::Worker, BoxError> {
        catch_unwind(AssertUnwindSafe(|| (self.make_worker)(self.index)))
            .unwrap_or_else(|_| Err("the factory panicked".into()))
    }

    /// Tries until it succeeds or the pool stops.
    fn make_again(&self) -> Option<T::Worker> {
        loop {
            match self.make() {
                Ok(worker) => return Some(worker),
                Err(error) => {
                    log::error!("worker {} could not be set up again: {error}", self.index);
                    if self.queue.wait_or_stop(WORKER_REBUILD_RETRY) {
                        return None;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
#[cfg(loom)]
#[path = "models.rs"]
mod loom_models;
