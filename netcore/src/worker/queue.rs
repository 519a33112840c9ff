//! Owns the waiting tasks of a pool: its lock, its limits and its numbers. Must never call foreign code, tasks' `key`
//! included, under its lock.

use super::schedule::{Schedule, Share, Waiting};
use super::{PoolStats, SubmitError, Task};
use crate::limits::{TASKS_PER_TURN_MAX, TURN_TIME_MAX};
use crate::sync::{Condvar, Mutex, now};
use std::sync::Arc;
use std::time::{Duration, Instant};

type RoomCall = Arc<dyn Fn() + Send + Sync>;

struct Inner<T> {
    schedule: Schedule<T>,
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
}

/// A worker's next step.
pub(super) enum Next<T> {
    Run(T),
    /// Another strand's turn; ask again for one.
    Yield,
}

/// A strand's turn on one thread: it ends after a number of tasks, or after a time.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) key: u64,
    began: Option<Instant>,
    ran: usize,
    over: bool,
}

impl Turn {
    const fn of(key: u64) -> Self {
        Self {
            key,
            began: None,
            ran: 0,
            over: false,
        }
    }

    /// The next task belongs to another turn.
    pub(super) const fn end(&mut self) {
        self.over = true;
    }

    fn spent(&self, now: Instant) -> Duration {
        self.began
            .map_or(Duration::ZERO, |began| now.saturating_duration_since(began))
    }
}

impl<T: Task> Queue<T> {
    pub(super) fn new(limit: usize, share: Share) -> Self {
        let inner = Inner {
            schedule: Schedule::new(share),
            room_calls: Vec::new(),
            refused: false,
            stopping: false,
            stats: PoolStats::default(),
        };
        Self {
            inner: Mutex::new(inner),
            work: Condvar::new(),
            limit,
        }
    }

    pub(super) fn push(&self, task: T) -> Result<(), SubmitError<T>> {
        let key = task.key();
        let waiting = Waiting {
            group: task.group(),
            forgettable: task.is_forgettable(),
            since: now(),
            task,
        };
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        if inner.stopping {
            return Err(SubmitError::Stopped(waiting.task));
        }
        if inner.stats.queued >= self.limit {
            inner.refused = true;
            inner.stats.refused += 1;
            return Err(SubmitError::Full(waiting.task));
        }
        if let Err(task) = inner.schedule.push(key, waiting) {
            inner.stats.refused += 1;
            return Err(SubmitError::KeyFull(task));
        }
        inner.stats.queued += 1;
        if inner.schedule.is_ready() {
            self.work.notify_one();
        }
        Ok(())
    }

    /// Waits for a strand that can run; `None` when the pool has stopped and nothing is left.
    pub(super) fn take_strand(&self) -> Option<Turn> {
        let mut inner = self.inner.lock();
        loop {
            if let Some(key) = inner.schedule.take() {
                return Some(Turn::of(key));
            }
            if inner.stopping && inner.stats.queued == 0 {
                return None;
            }
            self.work.wait(&mut inner);
        }
    }

    /// The next task of a strand whose turn the caller has. When the turn is over, or no tasks are left, the strand is
    /// given up.
    pub(super) fn next_task(&self, turn: &mut Turn) -> Next<T> {
        let now = now();
        let spent = turn.spent(now);
        turn.over |= turn.ran >= TASKS_PER_TURN_MAX || spent >= TURN_TIME_MAX;
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        let taken = if turn.over {
            None
        } else {
            inner.schedule.next(turn.key)
        };
        let Some(taken) = taken else {
            inner.schedule.give_up(turn.key, spent);
            if inner.schedule.is_ready() {
                self.work.notify_one();
            }
            return Next::Yield;
        };
        turn.ran += 1;
        turn.began.get_or_insert(now);
        let waited = now.saturating_duration_since(taken.waiting.since);
        let stats = &mut inner.stats;
        stats.queued -= 1;
        stats.running += 1;
        stats.waited += waited;
        stats.waited_longest = stats.waited_longest.max(waited);
        let calls = self.calls_for_room(inner, taken.has_room);
        drop(guard);
        for call in calls {
            call();
        }
        Next::Run(taken.waiting.task)
    }

    /// Tasks have left the queue: returns the callbacks for room, if a submission was refused and there is room now.
    fn calls_for_room(&self, inner: &mut Inner<T>, has_room: bool) -> Vec<RoomCall> {
        let pool_has_room = inner.refused && inner.stats.queued <= self.limit / 2;
        if pool_has_room {
            inner.refused = false;
        }
        if inner.stopping && inner.stats.queued == 0 {
            self.work.notify_all();
        }
        if has_room || pool_has_room {
            inner.room_calls.clone()
        } else {
            Vec::new()
        }
    }

    /// The last task of the caller has ended.
    pub(super) fn finished(&self, panicked: bool) {
        let mut inner = self.inner.lock();
        inner.stats.running -= 1;
        if panicked {
            inner.stats.panicked += 1;
        } else {
            inner.stats.completed += 1;
        }
    }

    /// Removes the tasks of a key that matter only to a requester who has gone, and returns them.
    pub(super) fn forget(&self, key: u64) -> Vec<T> {
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        let tasks = inner.schedule.forget(key);
        inner.stats.queued -= tasks.len();
        inner.stats.forgotten += tasks.len() as u64;
        // Requesters that were refused for the key have gone with it; the pool and the group may have room.
        let calls = self.calls_for_room(inner, !tasks.is_empty());
        drop(guard);
        for call in calls {
            call();
        }
        tasks
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
        // The wake may have been meant for a thread that could do the work.
        self.work.notify_one();
        inner.stopping
    }

    /// Takes out all waiting tasks, and refuses later ones. Callers that wait for room learn that the pool has stopped.
    pub(super) fn abandon(&self) -> Vec<T> {
        let mut inner = self.inner.lock();
        inner.stopping = true;
        let (tasks, refused) = inner.schedule.clear();
        inner.stats.dropped += tasks.len() as u64;
        inner.stats.queued = 0;
        let calls = if std::mem::take(&mut inner.refused) || refused {
            inner.room_calls.clone()
        } else {
            Vec::new()
        };
        drop(inner);
        self.work.notify_all();
        for call in calls {
            call();
        }
        tasks
    }

    /// Drops the remaining tasks when no worker is left to run them.
    pub(super) fn drop_rest(&self) {
        let dropped = self.abandon();
        if !dropped.is_empty() {
            let count = dropped.len();
            log::error!("the worker pool dropped {count} tasks: no worker could be set up again");
        }
    }
}
