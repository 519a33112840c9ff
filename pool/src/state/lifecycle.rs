//! Owns the operator's commands: pause, resume, replace all, resize, close.

use super::{Answer, CloseReason, Parts, Stage, State};
use std::time::Instant;

impl<P: Parts> State<P> {
    /// Hands out and opens nothing more; callers wait.
    pub(crate) fn pause(&mut self) {
        if self.stage == Stage::Running {
            self.stage = Stage::Paused;
        }
    }

    pub(crate) fn resume(&mut self, now: Instant) {
        if self.stage == Stage::Paused {
            self.stage = Stage::Running;
            self.balance(now);
        }
    }

    /// Replaces every connection: idle ones now, the others when they come back.
    pub(crate) fn retire_all(&mut self, now: Instant) {
        self.generation = self.generation.wrapping_add(1);
        self.close_idle(CloseReason::Retired);
        self.balance(now);
    }

    pub(crate) fn set_max(&mut self, max: u32, now: Instant) {
        self.max = max;
        self.trim(CloseReason::Surplus, None);
        self.balance(now);
    }

    /// Hands out nothing any more. This is final.
    pub(crate) fn close_pool(&mut self) {
        if self.stage == Stage::Closed {
            return;
        }
        self.stage = Stage::Closed;
        for waiting in self.waiting.drain(..) {
            self.out.answers.push_back((waiting.waiter, Answer::Closed));
        }
        self.close_idle(CloseReason::Closed);
        while let Some(check) = self.checks.pop_front() {
            self.checking -= 1;
            self.close(check.conn, CloseReason::Closed);
        }
        self.out.wake_connector = true;
        self.out.wake_checker = true;
        self.out.wake_closer = true;
        self.out.changed = true;
    }

    pub(crate) fn closed(&self) -> bool {
        self.stage == Stage::Closed
    }

    /// A connection for the closing thread; `Err` tells it to end.
    pub(crate) fn next_close(&mut self) -> Result<Option<P::Connection>, Ended> {
        match self.closing.pop_front() {
            Some(inner) => Ok(Some(inner)),
            None if self.stage == Stage::Closed => {
                self.closer_gone = true;
                Err(Ended)
            }
            None => Ok(None),
        }
    }

    fn close_idle(&mut self, reason: CloseReason) {
        while let Some(idle) = self.idle.pop_front() {
            self.close(idle.conn, reason);
        }
    }
}

/// Whether the pool is closed and no work is left.
#[derive(Debug)]
pub(crate) struct Ended;
