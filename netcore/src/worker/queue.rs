//! Owns the waiting tasks and who may run next. Must never call foreign code, tasks' `key` included, under its
//! lock.

use super::{PoolStats, SubmitError, Task};
use crate::sync::{Condvar, Mutex};
use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

type RoomCall = Arc<dyn Fn() + Send + Sync>;

/// The tasks of one key, present only while it has any, waiting or running.
struct Strand<T> {
    waiting: VecDeque<(T, Instant)>,
    refused: bool,
}

struct Inner<T> {
    strands: HashMap<u64, Strand<T>>,
    /// Keys with waiting tasks that nobody is running, each once.
    runnable: VecDeque<u64>,
    room_calls: Vec<RoomCall>,
    refused: bool,
    stopping: bool,
    stats: PoolStats,
}

/// The shared state of a pool.
pub(super) struct Queue<T> {
    inner: Mutex<Inner<T>>,
    work: Condvar,
    limit: usize,
    per_key: usize,
}

/// What a worker does next.
pub(super) enum Next<T> {
    Run(T),
    /// Another key's turn; ask again for a strand.
    Yield,
}

impl<T: Task> Queue<T> {
    pub(super) fn new(limit: usize, per_key: usize) -> Self {
        let inner = Inner {
            strands: HashMap::new(),
            runnable: VecDeque::new(),
            room_calls: Vec::new(),
            refused: false,
            stopping: false,
            stats: PoolStats::default(),
        };
        Self {
            inner: Mutex::new(inner),
            work: Condvar::new(),
            limit,
            per_key,
        }
    }

    pub(super) fn push(&self, task: T) -> Result<(), SubmitError<T>> {
        let key = task.key();
        let now = Instant::now();
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        if inner.stopping {
            return Err(SubmitError::Stopped(task));
        }
        if inner.stats.queued >= self.limit {
            inner.refused = true;
            inner.stats.refused += 1;
            return Err(SubmitError::Full(task));
        }
        match inner.strands.get_mut(&key) {
            Some(strand) if strand.waiting.len() >= self.per_key => {
                strand.refused = true;
                inner.stats.refused += 1;
                return Err(SubmitError::KeyFull(task));
            }
            Some(strand) => strand.waiting.push_back((task, now)),
            None => {
                let strand = Strand {
                    waiting: VecDeque::from([(task, now)]),
                    refused: false,
                };
                inner.strands.insert(key, strand);
                inner.runnable.push_back(key);
                self.work.notify_one();
            }
        }
        inner.stats.queued += 1;
        Ok(())
    }

    /// Waits for a key that can be run; `None` when the pool has stopped and nothing is left.
    pub(super) fn take_strand(&self) -> Option<u64> {
        let mut inner = self.inner.lock();
        loop {
            if let Some(key) = inner.runnable.pop_front() {
                return Some(key);
            }
            if inner.stopping && inner.stats.queued == 0 {
                return None;
            }
            self.work.wait(&mut inner);
        }
    }

    /// The next task of a strand that the caller owns. With `may_continue` false, or without tasks left, the
    /// strand is given up.
    pub(super) fn next_task(&self, key: u64, may_continue: bool) -> Next<T> {
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        let Some(strand) = inner.strands.get_mut(&key) else {
            return Next::Yield;
        };
        if strand.waiting.is_empty() {
            inner.strands.remove(&key);
            return Next::Yield;
        }
        if !may_continue {
            inner.runnable.push_back(key);
            self.work.notify_one();
            return Next::Yield;
        }
        let Some((task, since)) = strand.waiting.pop_front() else {
            return Next::Yield;
        };
        let key_has_room = mem::replace(&mut strand.refused, false);
        let waited = since.elapsed();
        let stats = &mut inner.stats;
        stats.queued -= 1;
        stats.running += 1;
        stats.waited += waited;
        stats.waited_longest = stats.waited_longest.max(waited);
        let pool_has_room = inner.refused && inner.stats.queued <= self.limit / 2;
        if pool_has_room {
            inner.refused = false;
        }
        if inner.stopping && inner.stats.queued == 0 {
            self.work.notify_all();
        }
        let calls = if key_has_room || pool_has_room {
            inner.room_calls.clone()
        } else {
            Vec::new()
        };
        drop(guard);
        for call in calls {
            call();
        }
        Next::Run(task)
    }

    /// The task that was run last by the caller is over.
    pub(super) fn finished(&self, panicked: bool) {
        let mut inner = self.inner.lock();
        inner.stats.running -= 1;
        if panicked {
            inner.stats.panicked += 1;
        } else {
            inner.stats.completed += 1;
        }
    }

    pub(super) fn on_room(&self, call: RoomCall) {
        self.inner.lock().room_calls.push(call);
    }

    pub(super) fn stats(&self) -> PoolStats {
        self.inner.lock().stats
    }

    pub(super) fn stop(&self) {
        self.inner.lock().stopping = true;
        self.work.notify_all();
    }

    /// Waits, but not after the pool began to stop; returns whether it has.
    pub(super) fn wait_or_stop(&self, span: Duration) -> bool {
        let mut inner = self.inner.lock();
        if !inner.stopping {
            self.work.wait_for(&mut inner, span);
        }
        // The wake may have been meant for someone who could do the work.
        self.work.notify_one();
        inner.stopping
    }

    /// Throws away what is left when there is no worker that could run it. Whoever waits for room learns that the
    /// pool has stopped.
    pub(super) fn drop_rest(&self) {
        let mut inner = self.inner.lock();
        let dropped = inner.stats.queued;
        inner.stats.dropped += dropped as u64;
        inner.stats.queued = 0;
        inner.runnable.clear();
        let strands = mem::take(&mut inner.strands);
        let waited_for = mem::take(&mut inner.refused) || strands.values().any(|strand| strand.refused);
        let calls = if waited_for {
            inner.room_calls.clone()
        } else {
            Vec::new()
        };
        drop(inner);
        self.work.notify_all();
        if dropped > 0 {
            log::error!("the worker pool dropped {dropped} tasks: no worker could be set up again");
        }
        // Tasks can own anything, so they go without the lock.
        drop(strands);
        for call in calls {
            call();
        }
    }
}
