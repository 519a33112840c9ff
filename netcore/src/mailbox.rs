//! Owns the mailbox of a loop, filled by other threads: messages, in one order, and signals. Must never block, never
//! grow beyond its limits, and never wake a loop that is awake.
//!
//! One lock guards all of it; it is never held while foreign code runs. Invariant: whenever the loop sleeps and the
//! mailbox is not empty, exactly one wake is under way, or a thread holds wakes back and will wake the loop.

use crate::sync::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::fmt;
use std::mem;

/// Signals to a loop; each is remembered once however often it is given.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Signals(u8);

impl Signals {
    pub(crate) const HANDOVER: Self = Self(1);
    pub(crate) const STOP_ACCEPTING: Self = Self(2);
    pub(crate) const DRAIN: Self = Self(4);
    pub(crate) const STOP: Self = Self(8);
    pub(crate) const WORKERS_ROOM: Self = Self(16);

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Why a message was refused; holds nothing, so that the caller can give the message back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refused {
    Full,
    Stopped,
}

pub(crate) struct Mailbox<M> {
    inner: Mutex<Inner<M>>,
    posts_max: usize,
    reservations_max: usize,
    wake: Box<dyn Fn() + Send + Sync>,
}

struct Inner<M> {
    queue: VecDeque<M>,
    /// Messages in the queue that came without a reservation.
    posts: usize,
    /// Places given out and not used, plus messages in the queue that came with one.
    reserved: usize,
    /// Of `reserved`, the messages in the queue.
    redeemed: usize,
    signals: Signals,
    sleeping: bool,
    stopped: bool,
    /// Callers that hold wakes back.
    holding: usize,
}

impl<M> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").finish_non_exhaustive()
    }
}

impl<M> Mailbox<M> {
    pub(crate) fn new(
        posts_max: usize,
        reservations_max: usize,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let inner = Inner {
            queue: VecDeque::new(),
            posts: 0,
            reserved: 0,
            redeemed: 0,
            signals: Signals::default(),
            sleeping: false,
            stopped: false,
            holding: 0,
        };
        Self {
            inner: Mutex::new(inner),
            posts_max,
            reservations_max,
            wake: Box::new(wake),
        }
    }

    /// Queues a message if there is room for one without a reservation.
    pub(crate) fn post(&self, message: M) -> Result<(), (Refused, M)> {
        self.post_beyond(0, message)
    }

    /// Like [`post`](Self::post), with this many places more.
    pub(crate) fn post_beyond(&self, beyond: usize, message: M) -> Result<(), (Refused, M)> {
        let mut inner = self.inner.lock();
        if inner.stopped {
            return Err((Refused::Stopped, message));
        }
        if inner.posts >= self.posts_max.saturating_add(beyond) {
            return Err((Refused::Full, message));
        }
        inner.posts += 1;
        inner.queue.push_back(message);
        self.unlock_and_wake(inner);
        Ok(())
    }

    /// Reserves a place. It stays taken until it is given back or its message has been received.
    pub(crate) fn reserve(&self) -> Result<(), Refused> {
        let mut inner = self.inner.lock();
        if inner.stopped {
            return Err(Refused::Stopped);
        }
        if inner.reserved >= self.reservations_max {
            return Err(Refused::Full);
        }
        inner.reserved += 1;
        Ok(())
    }

    /// Gives a place back.
    pub(crate) fn release(&self) {
        let mut inner = self.inner.lock();
        inner.reserved = inner.reserved.saturating_sub(1);
    }

    /// Queues a message into a reserved place; fails only when the loop has stopped.
    pub(crate) fn redeem(&self, message: M) -> Result<(), M> {
        let mut inner = self.inner.lock();
        if inner.stopped {
            return Err(message);
        }
        inner.redeemed += 1;
        inner.queue.push_back(message);
        self.unlock_and_wake(inner);
        Ok(())
    }

    /// Messages that wait.
    pub(crate) fn len(&self) -> usize {
        self.inner.lock().queue.len()
    }

    /// Gives signals; never refused.
    pub(crate) fn signal(&self, signals: Signals) {
        let mut inner = self.inner.lock();
        inner.signals.0 |= signals.0;
        let wake = mem::replace(&mut inner.sleeping, false);
        drop(inner);
        if wake {
            (self.wake)();
        }
    }

    /// Messages do not wake the loop until [`wake_held`](Self::wake_held) has been called as often as this.
    pub(crate) fn hold_wakes(&self) {
        self.inner.lock().holding += 1;
    }

    /// Ends one call of [`hold_wakes`](Self::hold_wakes). The last one wakes the loop, if there is something for it.
    pub(crate) fn wake_held(&self) {
        let mut inner = self.inner.lock();
        inner.holding = inner.holding.saturating_sub(1);
        if inner.queue.is_empty() {
            return;
        }
        self.unlock_and_wake(inner);
    }

    /// Whether the loop may sleep: the mailbox is empty, and whatever comes will wake the loop.
    pub(crate) fn prepare_sleep(&self) -> bool {
        let mut inner = self.inner.lock();
        inner.sleeping = inner.queue.is_empty() && inner.signals.is_empty();
        inner.sleeping
    }

    /// The loop is awake. Takes the signals, and all messages if `messages` is empty: while the loop has not handled
    /// the messages it took, later ones wait here, so at most twice the limits are held in all.
    pub(crate) fn receive(&self, messages: &mut VecDeque<M>) -> Signals {
        let mut inner = self.inner.lock();
        inner.sleeping = false;
        if messages.is_empty() && !inner.queue.is_empty() {
            mem::swap(messages, &mut inner.queue);
            inner.posts = 0;
            inner.reserved = inner.reserved.saturating_sub(inner.redeemed);
            inner.redeemed = 0;
        }
        mem::take(&mut inner.signals)
    }

    /// Refuses everything from now on and drops what is queued.
    pub(crate) fn stop(&self) {
        let mut inner = self.inner.lock();
        inner.stopped = true;
        let dropped = mem::take(&mut inner.queue);
        drop(inner);
        // Messages can own anything, so they are dropped without the lock.
        drop(dropped);
    }

    fn unlock_and_wake(&self, mut inner: MutexGuard<'_, Inner<M>>) {
        if inner.holding > 0 {
            return;
        }
        let wake = mem::replace(&mut inner.sleeping, false);
        drop(inner);
        if wake {
            (self.wake)();
        }
    }
}

#[cfg(test)]
#[path = "mailbox_tests.rs"]
mod tests;

#[cfg(test)]
#[cfg(loom)]
#[path = "mailbox_models.rs"]
mod loom_models;
