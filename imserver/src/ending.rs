//! Sees to it that a drain ends by its deadline, whatever is under way: questions are interrupted, writes that have
//! not begun are refused, and if something still hangs, the process ends as it is. Must never touch what was
//! acknowledged, which is durable by then.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crossbeam_channel::{Sender, bounded};
use netcore::WorkerPool;
use parking_lot::Mutex;
use storage::Interrupter;

use crate::service::{WorkerTask, worker::UNANSWERED};

/// After the deadline: when lanes begin no further batch.
const LANES_GRACE: Duration = Duration::from_millis(300);
/// After the deadline: when the process ends in any case.
const PROCESS_GRACE: Duration = Duration::from_millis(900);
/// How long questions that are interrupted may take to notice; after that they are waited for.
const NOTICE: Duration = Duration::from_millis(500);
/// A statement that begins just after an interruption does not hear of it: so there are more.
const INTERRUPT_EVERY: Duration = Duration::from_millis(5);
/// The exit code of a process that ended without closing its store.
const EXIT_UNFINISHED: i32 = 1;

/// What ends the questions that the workers are at.
#[derive(Default)]
pub(crate) struct Interrupters {
    of_workers: Mutex<HashMap<usize, Interrupter>>,
}

impl std::fmt::Debug for Interrupters {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Interrupters").finish_non_exhaustive()
    }
}

impl Interrupters {
    /// Keeps the one of this worker in the place of an earlier one.
    pub(crate) fn keep(&self, worker: usize, interrupter: Option<Interrupter>) {
        let mut of_workers = self.of_workers.lock();
        match interrupter {
            Some(interrupter) => _ = of_workers.insert(worker, interrupter),
            None => _ = of_workers.remove(&worker),
        }
    }

    /// Interrupts until no worker has a question.
    pub(crate) fn end_all(&self, workers: &WorkerPool<WorkerTask>) {
        UNANSWERED.hush();
        let until = Instant::now() + NOTICE;
        while workers.stats().running > 0 && Instant::now() < until {
            for interrupter in self.of_workers.lock().values() {
                interrupter();
            }
            std::thread::park_timeout(INTERRUPT_EVERY);
        }
    }
}

/// The watch over a drain; dropped, the drain has ended.
#[derive(Debug)]
pub(crate) struct Ending {
    _over: Sender<()>,
}

impl Ending {
    /// Watches over a drain that may take so long; lanes look at `given_up` before each batch.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn begin(within: Duration, given_up: Arc<AtomicBool>) -> std::io::Result<Self> {
        let (over, is_over) = bounded::<()>(0);
        let deadline = Instant::now() + within;
        std::thread::Builder::new()
            .name("drain-end".to_owned())
            .spawn(move || {
                let goes_on =
                    |at: Instant| matches!(is_over.recv_deadline(at), Err(error) if error.is_timeout());
                if !goes_on(deadline + LANES_GRACE) {
                    return;
                }
                given_up.store(true, Ordering::Relaxed);
                if goes_on(deadline + PROCESS_GRACE) {
                    log::warn!(
                        "the drain did not end in time; nothing that was acknowledged is lost by that"
                    );
                    std::process::exit(EXIT_UNFINISHED);
                }
            })?;
        Ok(Self { _over: over })
    }
}
