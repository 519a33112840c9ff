//! Owns the way of a connection to a caller and back: first come, first served, and no caller overtakes.

use super::{
    Answer, Borrower, Check, CheckKind, CloseReason, Conn, Event, Idle, Parts, Record, Stage, State, Waiting,
    count,
};
use std::time::{Duration, Instant};

/// Why a caller may not even wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    Closed,
    Overloaded,
}

/// The condition of a connection that comes back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Good,
    /// It must be cleaned first.
    Dirty,
    /// It must not come back.
    Bad(CloseReason),
}

impl<P: Parts> State<P> {
    /// A caller takes a connection if it is its turn and one lies ready. Otherwise it must [`wait`](Self::wait) under
    /// the same lock; else it would miss a connection that comes back in between.
    #[inline]
    pub(crate) fn acquire(
        &mut self,
        now: Instant,
        borrower: Borrower,
    ) -> Result<Conn<P::Connection>, Borrower> {
        if !self.waiting.is_empty() || self.stage != Stage::Running {
            return Err(borrower);
        }
        let ready = |top: &Idle<_>| self.fresh(top, now) && self.outlived(&top.conn.meta, now).is_none();
        if !self.idle.back().is_some_and(ready) {
            return Err(borrower);
        }
        let Some(top) = self.idle.pop_back() else {
            return Err(borrower);
        };
        self.statistics.wait.record_none();
        self.lend(&top.conn, borrower, now);
        self.want_connections();
        Ok(top.conn)
    }

    /// A caller found nothing ready and does not wait: tests a connection that lies there untested, for the next one.
    pub(crate) fn passed_by(&mut self, now: Instant) {
        if self.stage == Stage::Running && self.waiting.is_empty() && self.checking == 0 {
            self.check_top(now);
        }
    }

    /// A caller queues up. It is answered through [`Output::answers`](super::Output::answers), unless it
    /// [gives up](Self::give_up) before.
    pub(crate) fn wait(
        &mut self,
        now: Instant,
        borrower: Borrower,
        waiter: P::Waiter,
    ) -> Result<u64, Refusal> {
        if self.stage == Stage::Closed {
            return Err(Refusal::Closed);
        }
        if count(self.waiting.len()) >= self.waiting_max {
            self.statistics.overloads += 1;
            return Err(Refusal::Overloaded);
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let since = now;
        self.waiting.push_back(Waiting {
            ticket,
            since,
            borrower,
            waiter,
        });
        self.balance(now);
        Ok(ticket)
    }

    /// A caller's deadline has passed. `None` if it was answered before.
    pub(crate) fn give_up(&mut self, ticket: u64, now: Instant) -> Option<Duration> {
        let place = self
            .waiting
            .binary_search_by_key(&ticket, |waiting| waiting.ticket)
            .ok()?;
        let waiting = self.waiting.remove(place)?;
        let waited = now.saturating_duration_since(waiting.since);
        self.statistics.timeouts += 1;
        self.statistics.wait_longest = self.statistics.wait_longest.max(waited);
        Some(waited)
    }

    /// A lease ends.
    #[inline]
    pub(crate) fn give_back(&mut self, conn: Conn<P::Connection>, verdict: Verdict, now: Instant) {
        self.end_lease(&conn, now);
        let reason = match verdict {
            Verdict::Bad(reason) => {
                // One broken connection is often the first of many.
                if reason == CloseReason::Broken {
                    self.suspect_all();
                }
                Some(reason)
            }
            _ if self.stage == Stage::Closed => Some(CloseReason::Closed),
            _ if self.open() >= self.max => Some(CloseReason::Surplus),
            Verdict::Good | Verdict::Dirty => self.outlived(&conn.meta, now),
        };
        if let Some(reason) = reason {
            self.close(conn, reason);
            self.balance(now);
        } else if verdict == Verdict::Dirty {
            self.check(conn, CheckKind::Clean, now);
        } else if conn.meta.proven != self.suspicion && self.serving() {
            self.check(conn, CheckKind::Validate, now);
        } else {
            self.offer(conn, now, now);
        }
    }

    /// A lease ends, and its connection leaves the pool.
    pub(crate) fn detach(&mut self, conn: Conn<P::Connection>, now: Instant) -> P::Connection {
        self.end_lease(&conn, now);
        self.statistics.count_closed(CloseReason::Detached);
        self.slots_free.push(conn.meta.slot);
        self.out.changed = true;
        self.balance(now);
        conn.inner
    }

    /// The next connection to be tested or cleaned: first those that callers wait for.
    pub(crate) fn next_check(&mut self, now: Instant) -> Option<Check<P::Connection>> {
        if let Some(mut check) = self.checks.pop_front() {
            check.suspicion = self.suspicion;
            return Some(check);
        }
        self.next_due(now)
    }

    /// A test has ended.
    pub(crate) fn checked(
        &mut self,
        check: Check<P::Connection>,
        passed: bool,
        took: Duration,
        now: Instant,
    ) {
        let Check {
            mut conn,
            idle_since,
            suspicion,
            ..
        } = check;
        self.checking -= 1;
        self.statistics.checks += 1;
        self.statistics.check.record(took);
        self.window_checks = self.window_checks.saturating_add(1);
        if !passed {
            self.statistics.check_failures += 1;
            self.window_failures = self.window_failures.saturating_add(1);
            self.suspect_all();
            self.close(conn, CloseReason::Invalid);
            return self.balance(now);
        }
        conn.meta.proven = suspicion;
        let reason = match self.stage {
            Stage::Closed => Some(CloseReason::Closed),
            _ if self.open() >= self.max => Some(CloseReason::Surplus),
            Stage::Running | Stage::Paused => self.outlived(&conn.meta, now),
        };
        if let Some(reason) = reason {
            self.close(conn, reason);
            self.balance(now);
        } else if suspicion != self.suspicion && self.serving() {
            // Another connection has broken meanwhile.
            self.check(conn, CheckKind::Validate, idle_since);
        } else {
            self.offer(conn, idle_since, now);
        }
    }

    /// Whether a waiter can be served.
    fn serving(&self) -> bool {
        self.stage == Stage::Running && !self.waiting.is_empty()
    }

    /// Gives a connection that needs no test to the caller who has waited longest, or lets it rest.
    pub(super) fn offer(&mut self, conn: Conn<P::Connection>, since: Instant, now: Instant) {
        if self.stage == Stage::Running
            && let Some(head) = self.waiting.pop_front()
        {
            self.serve(head, conn, now);
        } else {
            self.rest(conn, since, now);
        }
    }

    fn serve(&mut self, head: Waiting<P::Waiter>, conn: Conn<P::Connection>, now: Instant) {
        let waited = now.saturating_duration_since(head.since);
        self.statistics.wait.record(waited);
        self.statistics.wait_longest = self.statistics.wait_longest.max(waited);
        self.lend(&conn, head.borrower, now);
        self.out.answers.push_back((head.waiter, Answer::Conn(conn)));
    }

    fn lend(&mut self, conn: &Conn<P::Connection>, borrower: Borrower, now: Instant) {
        self.leased += 1;
        self.statistics.leases += 1;
        if let Some(record) = self.records.get_mut(conn.meta.slot as usize) {
            let since = now;
            *record = Some(Record {
                borrower,
                since,
                reported: false,
            });
        }
    }

    fn end_lease(&mut self, conn: &Conn<P::Connection>, now: Instant) {
        self.leased -= 1;
        let record = self.records.get_mut(conn.meta.slot as usize);
        let Some(Record {
            borrower,
            since,
            reported,
        }) = record.and_then(Option::take)
        else {
            return;
        };
        let held = now.saturating_duration_since(since);
        self.statistics.hold.record(held);
        if reported {
            self.out.events.push(Event::LeakEnded { borrower, held });
        }
    }

    /// Matches callers and connections after a change other than a connection that comes back: every caller has a
    /// connection on its way, as far as there are any.
    pub(super) fn balance(&mut self, now: Instant) {
        while self.serving() {
            let Some(top) = self.idle.back() else { break };
            if self.outlived(&top.conn.meta, now).is_none() && self.fresh(top, now) {
                if let (Some(top), Some(head)) = (self.idle.pop_back(), self.waiting.pop_front()) {
                    self.serve(head, top.conn, now);
                }
            } else if count(self.waiting.len()) <= self.checking || !self.check_top(now) {
                break;
            }
        }
        self.want_connections();
    }

    /// Has the most recently used connection tested, or closed if it is too old; returns whether there was one.
    fn check_top(&mut self, now: Instant) -> bool {
        let Some(Idle { conn, since, .. }) = self.idle.pop_back() else {
            return false;
        };
        match self.outlived(&conn.meta, now) {
            Some(reason) => self.close(conn, reason),
            None => self.check(conn, CheckKind::Validate, since),
        }
        true
    }

    fn check(&mut self, conn: Conn<P::Connection>, kind: CheckKind, idle_since: Instant) {
        let suspicion = self.suspicion;
        self.checking += 1;
        self.checks.push_back(Check {
            conn,
            kind,
            idle_since,
            suspicion,
        });
        self.out.wake_checker = true;
    }
}
