//! Owns every decision of the pool as a state machine: calls, connections and time go in; connections, work for the
//! pool's threads and answers to waiting callers come out. Must never read a clock or a random source, take a lock,
//! start anything, or drop a connection: connections to be closed are handed out.
//!
//! Three kinds of methods. *Events* report what happened ([`State::acquire`], [`State::give_back`],
//! [`State::connected`] …). *Work* is fetched by the thread that does it ([`State::next_connect`],
//! [`State::next_check`], [`State::next_close`]). After any of them the driver empties [`State::out`].
//!
//! Costs: taking and giving back are constant; leaving the queue of callers is a search and a shift of it; a turn of
//! the housekeeper looks at every connection once.
//!
//! Invariants, checked by the model test: a connection is in one place; no caller waits while a connection lies
//! ready; callers are served in the order in which they came; there are never more connections than the maximum,
//! one that is being replaced aside.

mod connect;
mod housekeeping;
mod lend;
mod lifecycle;

use super::borrower::Borrower;
use super::settings::CLOSING_MAX;
use super::{CloseReason, PoolSettings, Statistics, Status};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) use connect::NextConnect;
pub(super) use lend::{Refusal, Verdict};

/// Types that the machine carries without looking into them: connections, errors, and the places where callers wait.
pub(super) trait Parts {
    type Connection;
    type Error;
    type Waiter;
}

/// A connection with the pool's knowledge of it.
pub(super) struct Conn<C> {
    pub(super) inner: C,
    pub(super) meta: Meta,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Meta {
    /// The record of its lease.
    slot: u32,
    pub(super) born: Instant,
    expires: Option<Instant>,
    /// The count of requests to replace all connections when its opening began.
    generation: u32,
    /// The newest suspicion that it has disproved.
    proven: u32,
    /// Its random share, in thousandths.
    share: u32,
}

struct Idle<C> {
    conn: Conn<C>,
    /// When its last user gave it back.
    since: Instant,
    /// When it was last used or tested.
    used: Instant,
}

/// A current lease.
struct Record {
    borrower: Borrower,
    since: Instant,
    reported: bool,
}

/// A caller that waits.
struct Waiting<W> {
    ticket: u64,
    since: Instant,
    borrower: Borrower,
    waiter: W,
}

/// The answer to a waiting caller.
pub(super) enum Answer<C, E> {
    Conn(Conn<C>),
    Failed(Arc<E>),
    Closed,
}

/// A connection to be tested.
pub(super) struct Check<C> {
    pub(super) conn: Conn<C>,
    pub(super) kind: CheckKind,
    /// When its last user gave it back.
    idle_since: Instant,
    /// The suspicion that it disproves by passing.
    suspicion: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum CheckKind {
    /// Ask the manager.
    Validate,
    /// Let the policy clean it.
    Clean,
}

/// Facts for the operator; logged after the lock is released.
#[derive(Debug)]
pub(super) enum Event {
    Leak { borrower: Borrower, held: Duration },
    LeakEnded { borrower: Borrower, held: Duration },
    ClockLeapt { monotonic: Duration, wall: Duration },
    ChecksFail { failed: u32, of: u32 },
    ConnectFailed { failures: u32, pause: Duration },
    ConnectRecovered { failures: u32 },
}

/// Effects for the driver to perform.
pub(super) struct Output<C, E, W> {
    pub(super) answers: VecDeque<(W, Answer<C, E>)>,
    /// The driver drops them, without the lock.
    pub(super) dropped: Vec<C>,
    pub(super) events: Vec<Event>,
    pub(super) wake_connector: bool,
    pub(super) wake_checker: bool,
    pub(super) wake_closer: bool,
    /// Wakes callers that wait for the pool to fill or to empty.
    pub(super) changed: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    Running,
    Paused,
    Closed,
}

pub(super) struct State<P: Parts> {
    // Fixed, or nearly.
    max: u32,
    min_idle: Option<u32>,
    waiting_max: u32,
    bypass: Duration,
    idle_timeout: Option<Duration>,
    max_lifetime: Option<Duration>,
    keepalive: Option<Duration>,
    leak_after: Option<Duration>,
    period: Duration,
    retry_longest: Duration,

    stage: Stage,
    /// The most recently used last.
    idle: VecDeque<Idle<P::Connection>>,
    waiting: VecDeque<Waiting<P::Waiter>>,
    checks: VecDeque<Check<P::Connection>>,
    closing: VecDeque<P::Connection>,
    /// By slot.
    records: Vec<Option<Record>>,
    slots_free: Vec<u32>,
    next_ticket: u64,
    leased: u32,
    /// Tests that wait in `checks`, and those that run.
    checking: u32,
    connecting: u32,
    generation: u32,
    suspicion: u32,

    failures: u32,
    retry_at: Option<Instant>,
    /// The connecting thread that asked last sleeps until then at most.
    retry_awaited: bool,
    last_error: Option<Arc<P::Error>>,
    /// A connection beyond the maximum is wanted, to replace one that expires.
    replacing: bool,
    /// The checker must look for connections that are due and have not been used since then.
    sweeping: Option<Instant>,
    closer_gone: bool,

    last_turn: Option<(Instant, Duration)>,
    window_checks: u32,
    window_failures: u32,
    statistics: Statistics,
    out: Output<P::Connection, P::Error, P::Waiter>,
}

impl<P: Parts> State<P> {
    pub(super) fn new(settings: &PoolSettings) -> Self {
        Self {
            max: settings.max,
            min_idle: settings.min_idle,
            waiting_max: settings.waiting_max,
            bypass: settings.validate_after_idle,
            idle_timeout: settings.idle_timeout,
            max_lifetime: settings.max_lifetime,
            keepalive: settings.keepalive,
            leak_after: settings.leak_after,
            period: settings.housekeeping,
            retry_longest: settings.retry_longest,
            stage: Stage::Running,
            idle: VecDeque::new(),
            waiting: VecDeque::new(),
            checks: VecDeque::new(),
            closing: VecDeque::new(),
            records: Vec::new(),
            slots_free: Vec::new(),
            next_ticket: 0,
            leased: 0,
            checking: 0,
            connecting: 0,
            generation: 0,
            suspicion: 0,
            failures: 0,
            retry_at: None,
            retry_awaited: false,
            last_error: None,
            replacing: false,
            sweeping: None,
            closer_gone: false,
            last_turn: None,
            window_checks: 0,
            window_failures: 0,
            statistics: Statistics::default(),
            out: Output {
                answers: VecDeque::new(),
                dropped: Vec::new(),
                events: Vec::new(),
                wake_connector: false,
                wake_checker: false,
                wake_closer: false,
                changed: false,
            },
        }
    }

    pub(super) const fn out(&mut self) -> &mut Output<P::Connection, P::Error, P::Waiter> {
        &mut self.out
    }

    pub(super) fn status(&self) -> Status {
        Status {
            max: self.max,
            total: self.open(),
            idle: count(self.idle.len()),
            leased: self.leased,
            checking: self.checking,
            connecting: self.connecting,
            waiting: count(self.waiting.len()),
        }
    }

    pub(super) fn statistics(&self) -> Statistics {
        self.statistics.clone()
    }

    pub(super) fn last_error(&self) -> Option<Arc<P::Error>> {
        self.last_error.clone()
    }

    fn open(&self) -> u32 {
        count(self.idle.len()) + self.leased + self.checking
    }

    /// The number of idle connections that are kept for the next callers.
    fn spare(&self) -> u32 {
        self.min_idle.unwrap_or(self.max).min(self.max)
    }

    /// Whether the connection is young enough to be handed out.
    fn outlived(&self, meta: &Meta, now: Instant) -> Option<CloseReason> {
        if meta.generation != self.generation {
            Some(CloseReason::Retired)
        } else if meta.expires.is_some_and(|expires| expires <= now) {
            Some(CloseReason::Lifetime)
        } else {
            None
        }
    }

    /// Whether the connection needs no test before it is handed out.
    fn fresh(&self, idle: &Idle<P::Connection>, now: Instant) -> bool {
        idle.conn.meta.proven == self.suspicion && now.saturating_duration_since(idle.used) < self.bypass
    }

    /// Gives a connection to the closing thread, or to the driver if that thread has too many.
    fn close(&mut self, conn: Conn<P::Connection>, reason: CloseReason) {
        self.statistics.count_closed(reason);
        self.slots_free.push(conn.meta.slot);
        self.out.changed = true;
        if self.closing.len() < CLOSING_MAX && !self.closer_gone {
            self.closing.push_back(conn.inner);
            self.out.wake_closer = true;
        } else {
            self.out.dropped.push(conn.inner);
        }
    }

    /// From now on, every idle connection must be tested before it is handed out.
    const fn suspect_all(&mut self) {
        self.suspicion = self.suspicion.wrapping_add(1);
    }

    /// Puts a connection among the idle ones, which stay sorted by the time of their return.
    fn rest(&mut self, conn: Conn<P::Connection>, since: Instant, used: Instant) {
        let idle = Idle { conn, since, used };
        self.out.changed = true;
        if self.idle.back().is_none_or(|last| last.since <= since) {
            self.idle.push_back(idle);
        } else {
            let place = self.idle.partition_point(|other| other.since <= since);
            self.idle.insert(place, idle);
        }
    }

    /// Takes out the idle connection that satisfies `choose` and comes first in the order of `key`.
    fn take_idle<K: Ord>(
        &mut self,
        key: impl Fn(&Idle<P::Connection>) -> Option<K>,
    ) -> Option<Idle<P::Connection>> {
        let keyed = self.idle.iter().enumerate();
        let (place, _) = keyed
            .filter_map(|(place, idle)| Some((place, key(idle)?)))
            .min_by(|(_, one), (_, other)| one.cmp(other))?;
        self.idle.remove(place)
    }
}

/// Collections here are bounded by settings of 32 bits.
fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// `whole` less `random` of at most `per_mille` thousandths of it.
fn shortened(whole: Duration, share: u32, per_mille: u32) -> Duration {
    let thousandths = share.min(1000) * per_mille / 1000;
    whole.saturating_sub(whole / 1000 * thousandths)
}

#[cfg(test)]
#[cfg(not(pool_models))]
mod tests;
