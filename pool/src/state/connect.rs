//! Owns the times at which connections are opened: as many as callers wait for and no more, with pauses that grow while
//! the database does not answer, and then one attempt at a time.

use super::super::settings::{LIFETIME_JITTER_PER_MILLE, REPLACEMENTS_MAX, RETRY_FIRST};
use super::{Answer, CloseReason, Conn, Event, Meta, Parts, Stage, State, count, shortened};
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An attempt to connect that is under way; ends with [`State::connected`] or [`State::connect_failed`].
#[derive(Debug)]
pub(crate) struct Attempt {
    generation: u32,
    pub(super) suspicion: u32,
}

/// The next step of a connecting thread.
#[derive(Debug)]
pub(crate) enum NextConnect {
    Start(Attempt),
    /// Ask again at this time, or when woken.
    Wait(Option<Instant>),
    Stop,
}

impl<P: Parts> State<P> {
    /// Connections to open now, regardless of pauses.
    fn wanted(&self) -> u32 {
        if self.stage != Stage::Running {
            return 0;
        }
        let supply = count(self.idle.len()) + self.checking + self.connecting;
        let demand = count(self.waiting.len()).saturating_add(self.spare());
        let there = self.open() + self.connecting;
        let wanted = demand.saturating_sub(supply).min(self.max.saturating_sub(there));
        let replacement = self.replacing && self.connecting == 0 && there < self.max + REPLACEMENTS_MAX;
        wanted.max(u32::from(replacement))
    }

    /// Wakes a connecting thread if there is a connection to open, and no thread that will notice by itself.
    pub(super) fn want_connections(&mut self) {
        self.out.wake_connector |= !self.retry_awaited && self.wanted() > 0;
    }

    pub(crate) fn next_connect(&mut self, now: Instant) -> NextConnect {
        if self.stage == Stage::Closed {
            return NextConnect::Stop;
        }
        self.retry_awaited = false;
        let probing = self.failures > 0 && self.connecting > 0;
        if self.wanted() == 0 || probing {
            return NextConnect::Wait(None);
        }
        if let Some(retry_at) = self.retry_at.filter(|retry_at| now < *retry_at) {
            self.retry_awaited = true;
            return NextConnect::Wait(Some(retry_at));
        }
        self.connecting += 1;
        // One thread is woken at a time, and wakes the next.
        self.out.wake_connector = self.failures == 0 && self.wanted() > 0;
        NextConnect::Start(Attempt {
            generation: self.generation,
            suspicion: self.suspicion,
        })
    }

    /// An attempt succeeded. `share` is a random number of thousandths.
    pub(crate) fn connected(
        &mut self,
        attempt: Attempt,
        inner: P::Connection,
        share: u32,
        took: Duration,
        now: Instant,
    ) {
        self.connecting -= 1;
        self.statistics.connects += 1;
        self.statistics.connect.record(took);
        if self.failures > 0 {
            let failures = self.failures;
            self.out.events.push(Event::ConnectRecovered { failures });
        }
        self.failures = 0;
        self.retry_at = None;
        self.last_error = None;
        let replacing = mem::take(&mut self.replacing);
        let slot = self.slots_free.pop().unwrap_or_else(|| {
            self.records.push(None);
            count(self.records.len() - 1)
        });
        let lifetime = self.max_lifetime;
        let meta = Meta {
            slot,
            born: now,
            expires: lifetime
                .and_then(|whole| now.checked_add(shortened(whole, share, LIFETIME_JITTER_PER_MILLE))),
            generation: attempt.generation,
            proven: attempt.suspicion,
            share,
        };
        let conn = Conn { inner, meta };
        let reason = if self.stage == Stage::Closed {
            Some(CloseReason::Closed)
        } else if self.open() >= self.max + u32::from(replacing) {
            Some(CloseReason::Surplus)
        } else {
            self.outlived(&meta, now)
        };
        match reason {
            Some(reason) => self.close(conn, reason),
            None => self.offer(conn, now, now),
        }
        // If the old connection was leased meanwhile, the next one that comes back is closed instead.
        self.trim(CloseReason::Lifetime, Some(slot));
        self.balance(now);
    }

    /// An attempt failed, with an error or, if it panicked, without one. `share` is a random number of thousandths.
    pub(crate) fn connect_failed(&mut self, error: Option<(Arc<P::Error>, bool)>, share: u32, now: Instant) {
        self.connecting -= 1;
        self.statistics.connect_failures += 1;
        let doublings = self.failures.min(16);
        let bound = RETRY_FIRST.saturating_mul(1 << doublings).min(self.retry_longest);
        let pause = shortened(bound, share, 500);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now.checked_add(pause);
        // The housekeeper asks for the replacement again.
        self.replacing = false;
        self.out.changed = true;
        let failures = self.failures;
        self.out.events.push(Event::ConnectFailed { failures, pause });
        if let Some((error, permanent)) = error {
            self.last_error = Some(Arc::clone(&error));
            if permanent {
                for waiting in self.waiting.drain(..) {
                    let answer = Answer::Failed(Arc::clone(&error));
                    self.out.answers.push_back((waiting.waiter, answer));
                }
            }
        }
        self.want_connections();
    }

    /// Closes idle connections beyond the maximum, except that of one slot; those that expire first go first.
    pub(super) fn trim(&mut self, reason: CloseReason, except: Option<u32>) {
        while self.open() > self.max {
            let found = self.take_idle(|idle| {
                let Meta { slot, expires, .. } = idle.conn.meta;
                (Some(slot) != except).then_some((expires.is_none(), expires, idle.since))
            });
            let Some(idle) = found else { break };
            self.close(idle.conn, reason);
        }
    }
}
