//! Owns the effects of passing time: lifetimes, idle time, keepalives, leases held for too long, clocks that leap.

use super::super::settings::{CLOCK_LEAP, KEEPALIVE_JITTER_PER_MILLE, RETIRED_PER_TURN_MAX};
use super::{Check, CheckKind, CloseReason, Event, Parts, Stage, State, count, shortened};
use std::time::{Duration, Instant};

/// Tests in one turn below which the share of failures proves nothing.
const WINDOW_CHECKS_MIN: u32 = 10;

/// A connection is replaced early only within the last part of its lifetime: one part of this many.
const LATE_PART: u32 = 5;

impl<P: Parts> State<P> {
    /// One turn of the housekeeper. `wall` is the time of day, which serves only to find leaps.
    pub(crate) fn tick(&mut self, now: Instant, wall: Duration) {
        if self.stage == Stage::Closed {
            return;
        }
        self.look_at_clocks(now, wall);
        self.report_leaks(now);
        self.report_failing_checks();
        self.retire(now);
        self.close_unused(now);
        self.sweeping = Some(now);
        self.out.wake_checker = true;
        self.balance(now);
    }

    /// The next idle connection that is due for a keepalive, or suspected; one at a time, so that callers find the
    /// others.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<Check<P::Connection>> {
        let begun = self.sweeping.filter(|_| self.stage == Stage::Running)?;
        let (keepalive, suspicion) = (self.keepalive, self.suspicion);
        let found = self.take_idle(|idle| {
            let due = keepalive.is_some_and(|whole| {
                let after = shortened(whole, idle.conn.meta.share, KEEPALIVE_JITTER_PER_MILLE);
                now.saturating_duration_since(idle.used) >= after
            });
            (idle.used < begun && (due || idle.conn.meta.proven != suspicion)).then_some(idle.used)
        });
        let Some(idle) = found else {
            self.sweeping = None;
            return None;
        };
        self.checking += 1;
        Some(Check {
            conn: idle.conn,
            kind: CheckKind::Validate,
            idle_since: idle.since,
            suspicion,
        })
    }

    /// A machine that slept, was moved, or got another time cannot trust its measured times.
    fn look_at_clocks(&mut self, now: Instant, wall: Duration) {
        if let Some((last, wall_last)) = self.last_turn {
            let monotonic = now.saturating_duration_since(last);
            let backwards = wall < wall_last;
            let passed = wall.abs_diff(wall_last);
            let leapt = (backwards && passed > CLOCK_LEAP)
                || (!backwards && passed.abs_diff(monotonic) > CLOCK_LEAP)
                || monotonic > self.period.saturating_add(CLOCK_LEAP);
            if leapt {
                self.statistics.clock_leaps += 1;
                self.out.events.push(Event::ClockLeapt {
                    monotonic,
                    wall: passed,
                });
                self.suspect_all();
            }
        }
        self.last_turn = Some((now, wall));
    }

    fn report_leaks(&mut self, now: Instant) {
        let Some(limit) = self.leak_after else { return };
        for record in self.records.iter_mut().flatten() {
            let held = now.saturating_duration_since(record.since);
            if held >= limit && !record.reported {
                record.reported = true;
                self.statistics.leaks += 1;
                let borrower = record.borrower.clone();
                self.out.events.push(Event::Leak { borrower, held });
            }
        }
    }

    /// A test that always fails turns a pool into one connection for each caller.
    fn report_failing_checks(&mut self) {
        if self.window_checks < WINDOW_CHECKS_MIN {
            return;
        }
        let (failed, of) = (self.window_failures, self.window_checks);
        if failed > of / 2 {
            self.out.events.push(Event::ChecksFail { failed, of });
        }
        self.window_checks = 0;
        self.window_failures = 0;
    }

    /// Closes a few of the idle connections that have expired, and asks for a replacement of the next one that will
    /// expire before the next turn.
    fn retire(&mut self, now: Instant) {
        for _ in 0..RETIRED_PER_TURN_MAX {
            let expired = |expires: &Instant| *expires <= now;
            let Some(idle) = self.take_idle(|idle| idle.conn.meta.expires.filter(expired)) else {
                break;
            };
            self.close(idle.conn, CloseReason::Lifetime);
        }
        // However rare the turns are, a young connection is not replaced.
        let late_share = self
            .max_lifetime
            .map_or(Duration::ZERO, |whole| whole / LATE_PART);
        let ahead = self.period.saturating_mul(2).min(late_share);
        let soon = |expires: Instant| expires.saturating_duration_since(now) <= ahead;
        // Connections beyond the kept number need no replacement.
        let kept = count(self.idle.len()) <= self.spare();
        self.replacing = kept
            && self
                .idle
                .iter()
                .any(|idle| idle.conn.meta.expires.is_some_and(soon));
    }

    /// Closes connections that were unused for too long, the longest unused first.
    fn close_unused(&mut self, now: Instant) {
        let Some(limit) = self.idle_timeout else { return };
        while count(self.idle.len()) > self.spare() {
            let unused = |since: Instant| now.saturating_duration_since(since) >= limit;
            match self.idle.pop_front() {
                Some(idle) if unused(idle.since) => self.close(idle.conn, CloseReason::Idle),
                Some(idle) => return self.idle.push_front(idle),
                None => return,
            }
        }
    }
}
