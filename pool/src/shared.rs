//! Owns the one lock around the state machine, and the places where callers and the pool's threads wait. Must never
//! call a manager or a policy, log, or drop a connection while the lock is held.

use super::borrower::Borrower;
use super::clock::Time;
use super::lease::Lease;
use super::report;
use super::state::{Answer, Conn, Parts, Refusal, State, Verdict};
use super::sync::{Condvar, Mutex, MutexGuard};
use super::{CloseReason, GetError, PoolPolicy, PoolSettings, Reset, Statistics, Status};
use r2d2::ManageConnection;
use std::marker::PhantomData;
use std::mem;
use std::panic::{self, AssertUnwindSafe, Location};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The types that the state machine carries for a manager.
pub(super) struct Carried<M>(PhantomData<fn() -> M>);

impl<M: ManageConnection> Parts for Carried<M> {
    type Connection = M::Connection;
    type Error = M::Error;
    type Waiter = Arc<Seat<M>>;
}

type AnswerOf<M> = Answer<<M as ManageConnection>::Connection, <M as ManageConnection>::Error>;

/// The place where one caller waits. It is filled under the pool's lock, so a caller that is no longer in the queue
/// finds its answer here without waiting.
pub(super) struct Seat<M: ManageConnection> {
    answer: Mutex<Option<AnswerOf<M>>>,
    answered: Condvar,
}

pub(super) struct Inner<M: ManageConnection> {
    pub(super) state: State<Carried<M>>,
    /// Threads of the pool that have not ended.
    pub(super) threads: u32,
}

pub(super) struct Shared<M: ManageConnection> {
    /// Distinguishes the pools of one process.
    id: u64,
    pub(super) name: String,
    pub(super) manager: M,
    pub(super) policy: Box<dyn PoolPolicy<M>>,
    pub(super) time: Time,
    pub(super) housekeeping: Duration,
    acquire_timeout: Duration,
    pub(super) inner: Mutex<Inner<M>>,
    pub(super) connectors: Condvar,
    pub(super) checker: Condvar,
    pub(super) closer: Condvar,
    pub(super) housekeeper: Condvar,
    /// Wakes callers that wait for the pool to fill or to empty.
    pub(super) watchers: Condvar,
    pub(super) warned_of_second: AtomicBool,
}

/// A deadline that is too far away for the clock becomes this one, a year away.
pub(super) const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

impl<M: ManageConnection> Shared<M> {
    pub(super) fn new(
        settings: &PoolSettings,
        manager: M,
        policy: Box<dyn PoolPolicy<M>>,
        time: Time,
    ) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        let inner = Inner {
            state: State::new(settings),
            threads: 0,
        };
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            name: settings.name.clone(),
            manager,
            policy,
            time,
            housekeeping: settings.housekeeping,
            acquire_timeout: settings.acquire_timeout,
            inner: Mutex::new(inner),
            connectors: Condvar::new(),
            checker: Condvar::new(),
            closer: Condvar::new(),
            housekeeper: Condvar::new(),
            watchers: Condvar::new(),
            warned_of_second: AtomicBool::new(false),
        }
    }

    #[inline]
    pub(super) fn get(
        self: &Arc<Self>,
        deadline: Option<Instant>,
        location: &'static Location<'static>,
    ) -> Result<Lease<M>, GetError<M::Error>> {
        let now = self.time.now();
        let (borrower, again) = Borrower::current(self.id, location);
        if again {
            self.warn_of_second(&borrower);
        }
        let mut inner = self.inner.lock();
        match inner.state.acquire(now, borrower) {
            Ok(conn) => {
                self.settle(inner);
                Ok(Lease::new(conn, Arc::clone(self)))
            }
            Err(borrower) => {
                let far = || now.checked_add(self.acquire_timeout).unwrap_or(now + FOREVER);
                self.wait(inner, now, deadline.unwrap_or_else(far), borrower)
            }
        }
    }

    pub(super) fn try_get(self: &Arc<Self>, location: &'static Location<'static>) -> Option<Lease<M>> {
        let now = self.time.now();
        let (borrower, _) = Borrower::current(self.id, location);
        let mut inner = self.inner.lock();
        let found = inner.state.acquire(now, borrower);
        if found.is_err() {
            inner.state.passed_by(now);
        }
        self.settle(inner);
        found.ok().map(|conn| Lease::new(conn, Arc::clone(self)))
    }

    /// Queues up under the same lock as the failed attempt, and waits.
    #[cold]
    fn wait(
        self: &Arc<Self>,
        mut inner: MutexGuard<'_, Inner<M>>,
        now: Instant,
        deadline: Instant,
        borrower: Borrower,
    ) -> Result<Lease<M>, GetError<M::Error>> {
        let seat = Arc::new(Seat::new());
        let queued = inner.state.wait(now, borrower, Arc::clone(&seat));
        let at = inner.state.status();
        self.settle(inner);
        let ticket = match queued {
            Ok(ticket) => ticket,
            Err(Refusal::Closed) => return Err(GetError::Closed),
            Err(Refusal::Overloaded) => return Err(GetError::Overloaded { at }),
        };
        let answer = match seat.wait(&self.time, deadline) {
            Some(answer) => answer,
            None => self.give_up(&seat, ticket)?,
        };
        match answer {
            Answer::Conn(conn) => Ok(Lease::new(conn, Arc::clone(self))),
            Answer::Failed(error) => Err(GetError::Connect(error)),
            Answer::Closed => Err(GetError::Closed),
        }
    }

    /// The deadline has passed; an answer given until now still counts.
    fn give_up(&self, seat: &Seat<M>, ticket: u64) -> Result<AnswerOf<M>, GetError<M::Error>> {
        let mut inner = self.inner.lock();
        let Some(waited) = inner.state.give_up(ticket, self.time.now()) else {
            drop(inner);
            return seat.take().ok_or(GetError::Closed);
        };
        let (at, last) = (inner.state.status(), inner.state.last_error());
        self.settle(inner);
        Err(GetError::Timeout { waited, at, last })
    }

    /// A lease ends. Asks the manager and the policy first, without the lock.
    #[inline]
    pub(super) fn give_back(&self, mut conn: Conn<M::Connection>, tainted: bool) {
        let verdict = if thread::panicking() {
            Verdict::Bad(CloseReason::Panicked)
        } else if tainted {
            Verdict::Bad(CloseReason::Tainted)
        } else {
            let judge = AssertUnwindSafe(|| self.judge(&mut conn.inner));
            panic::catch_unwind(judge).unwrap_or(Verdict::Bad(CloseReason::Panicked))
        };
        let now = self.time.now();
        let mut inner = self.inner.lock();
        inner.state.give_back(conn, verdict, now);
        self.settle(inner);
    }

    fn judge(&self, connection: &mut M::Connection) -> Verdict {
        if self.manager.has_broken(connection) {
            return Verdict::Bad(CloseReason::Broken);
        }
        match self.policy.reset(connection) {
            Reset::Keep => Verdict::Good,
            Reset::Clean => Verdict::Dirty,
            Reset::Discard => Verdict::Bad(CloseReason::Reset),
        }
    }

    pub(super) fn detach(&self, conn: Conn<M::Connection>) -> M::Connection {
        let now = self.time.now();
        let mut inner = self.inner.lock();
        let connection = inner.state.detach(conn, now);
        self.settle(inner);
        connection
    }

    /// Applies an event to the state machine.
    pub(super) fn tell(&self, event: impl FnOnce(&mut State<Carried<M>>, Instant)) {
        let now = self.time.now();
        let mut inner = self.inner.lock();
        event(&mut inner.state, now);
        self.settle(inner);
    }

    pub(super) fn status(&self) -> Status {
        self.inner.lock().state.status()
    }

    pub(super) fn statistics(&self) -> Statistics {
        self.inner.lock().state.statistics()
    }

    /// Performs the effects of the state machine: answers under the lock, everything else after it. Every change of the
    /// state ends with this.
    #[inline]
    pub(super) fn settle(&self, mut inner: MutexGuard<'_, Inner<M>>) {
        let out = inner.state.out();
        let first = out.answers.pop_front().map(|(seat, answer)| seat.fill(answer));
        let rest: Vec<Arc<Seat<M>>> = out
            .answers
            .drain(..)
            .map(|(seat, answer)| seat.fill(answer))
            .collect();
        let dropped = mem::take(&mut out.dropped);
        let events = mem::take(&mut out.events);
        let wake_connector = mem::take(&mut out.wake_connector);
        let wake_checker = mem::take(&mut out.wake_checker);
        let wake_closer = mem::take(&mut out.wake_closer);
        let changed = mem::take(&mut out.changed);
        let ending = (wake_connector || wake_checker) && inner.state.closed();
        let last_error = if events.is_empty() {
            None
        } else {
            inner.state.last_error()
        };
        drop(inner);
        for seat in first.iter().chain(&rest) {
            seat.answered.notify_one();
        }
        if wake_connector {
            self.connectors.notify_one();
        }
        if wake_checker {
            self.checker.notify_one();
        }
        if wake_closer {
            self.closer.notify_one();
        }
        if changed {
            self.watchers.notify_all();
        }
        if ending {
            self.connectors.notify_all();
            self.housekeeper.notify_all();
        }
        for connection in dropped {
            close(connection);
        }
        for event in events {
            report::event(&self.name, &event, last_error.as_deref());
        }
    }

    #[cold]
    fn warn_of_second(&self, borrower: &Borrower) {
        if !self.warned_of_second.swap(true, Ordering::Relaxed) {
            report::second_lease(&self.name, borrower);
        }
    }
}

impl<M: ManageConnection> Seat<M> {
    pub(super) fn new() -> Self {
        Self {
            answer: Mutex::new(None),
            answered: Condvar::new(),
        }
    }

    fn fill(self: Arc<Self>, answer: AnswerOf<M>) -> Arc<Self> {
        *self.answer.lock() = Some(answer);
        self
    }

    fn take(&self) -> Option<AnswerOf<M>> {
        self.answer.lock().take()
    }

    /// The answer, or `None` once the deadline has passed.
    fn wait(&self, time: &Time, deadline: Instant) -> Option<AnswerOf<M>> {
        let mut answer = self.answer.lock();
        while answer.is_none() {
            let left = deadline.saturating_duration_since(time.now());
            if left.is_zero() {
                return None;
            }
            self.answered.wait_for(&mut answer, left);
        }
        answer.take()
    }
}

/// Drops a connection. Its code may panic.
pub(super) fn close<C>(connection: C) {
    let closing = AssertUnwindSafe(move || drop(connection));
    if panic::catch_unwind(closing).is_err() {
        log::warn!("a connection panicked when it was closed");
    }
}
