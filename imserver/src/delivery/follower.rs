//! The follower: the thread that delivers on a node of several. Its own lanes hand it what they committed; what
//! other nodes committed it reads from the store, at once when it is told of it, and at latest after the
//! interval.
//!
//! It owns the node's planner and the order of its deliveries. It must never wait for a loop, and a lane never
//! waits for it: what does not fit its queue is found in the store. A node without it is deaf: when it ends before
//! its time, or cannot know any more what it has missed, it ends the process.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use protocol::v1::GoAwayReason;
use storage::{
    CursorMove, Event, Notice, Outcome, Position, ReadError, Reader, SessionEnd, Snapshot, cached::ReadCache,
};

use super::{
    Outboxes, Planner, Routes,
    follow::{Certainty, Follow, Fresh},
};
use crate::clock;

/// Commits that wait for the follower, at most.
const QUEUE_MAX: usize = 1_024;
/// Commits taken before the loops are posted to.
const COMMITS_AT_ONCE: usize = 64;
/// Entries read of a tail at once, at most, and after pages of this size could not be read, at least.
const TAIL_PAGE: (usize, usize) = (2_000, 50);

/// What the follower works with.
pub struct FollowerParts {
    /// Pushes.
    pub planner: Planner,
    /// Where they go.
    pub outboxes: Arc<Outboxes>,
    /// Whose connections a revocation ends.
    pub routes: Arc<Routes>,
    /// Reads the tail.
    pub reader: Box<dyn Reader>,
    /// From where on.
    pub from: Snapshot,
    /// How long others' commits may stay unseen where no hint comes.
    pub interval: Duration,
    /// Forgets what was changed.
    pub cache: Arc<ReadCache>,
    /// Told after every commit of this node.
    pub announce: Box<dyn Fn() + Send>,
    /// Hears why the process must end.
    pub fatal: Sender<String>,
}

impl std::fmt::Debug for FollowerParts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("FollowerParts").finish_non_exhaustive()
    }
}

enum Order {
    /// A commit of this node.
    Committed(Vec<Outcome>),
    /// Another node committed.
    Look,
}

/// The end of the follower that others hold. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FollowerHandle {
    orders: Sender<Order>,
    fatal: Sender<String>,
}

impl FollowerHandle {
    /// Hands on what a commit did. What does not fit is read from the store instead.
    pub fn committed(&self, effects: Vec<Outcome>) {
        match self.orders.try_send(Order::Committed(effects)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                log::debug!("the follower is busy: it will read what was committed");
            }
            // It ends after its last handle, unless it fails.
            Err(TrySendError::Disconnected(_)) => end(&self.fatal, "nobody delivers what is committed"),
        }
    }

    /// Another node committed: look now. A full queue looks anyway.
    pub fn look(&self) {
        let _ = self.orders.try_send(Order::Look);
    }
}

/// The follower's thread, to be joined.
#[derive(Debug)]
pub struct Follower {
    thread: JoinHandle<()>,
}

impl Follower {
    /// Starts it.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(parts: FollowerParts) -> std::io::Result<(Self, FollowerHandle)> {
        let (orders, receiver) = bounded(QUEUE_MAX);
        let fatal = parts.fatal.clone();
        let handle = FollowerHandle {
            orders,
            fatal: fatal.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("follower".to_owned())
            .spawn(move || {
                // What it has delivered is unknown, and a node that goes on without it shows nobody anything.
                if catch_unwind(AssertUnwindSafe(|| Running::new(parts).run(&receiver))).is_err() {
                    end(&fatal, "the follower panicked");
                }
            })?;
        Ok((Self { thread }, handle))
    }

    /// Waits until every handle is gone and what was handed over is delivered.
    pub fn join(self) {
        if self.thread.join().is_err() {
            log::error!("the follower's thread could not be joined");
        }
    }
}

/// The first reason counts.
fn end(fatal: &Sender<String>, why: &str) {
    log::error!("{why}; ending the process");
    let _ = fatal.try_send(why.to_owned());
}

struct Running {
    parts: FollowerParts,
    follow: Follow,
    look_at: Instant,
    failing_since: Option<Instant>,
    certainty: Certainty,
    /// Entries to read at once.
    page: usize,
}

impl Running {
    fn new(parts: FollowerParts) -> Self {
        Self {
            follow: Follow::new(parts.from.clone()),
            look_at: Instant::now() + parts.interval,
            failing_since: None,
            certainty: Certainty::new(Instant::now()),
            page: TAIL_PAGE.0,
            parts,
        }
    }

    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let mut look = match orders.recv_deadline(self.look_at) {
                Ok(order) => self.take(order),
                Err(RecvTimeoutError::Timeout) => true,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            for _ in 1..COMMITS_AT_ONCE {
                let Ok(order) = orders.try_recv() else { break };
                look |= self.take(order);
            }
            if look || self.look_at <= Instant::now() {
                self.look();
            }
        }
    }

    /// True when the store has what must be read now.
    fn take(&mut self, order: Order) -> bool {
        let Order::Committed(effects) = order else {
            return true;
        };
        (self.parts.announce)();
        // One batch may have become several commits.
        let mut commits: BTreeMap<Position, Vec<Outcome>> = BTreeMap::new();
        for effect in effects {
            let position = position(&effect);
            if position.0 > 0 {
                let last = Snapshot::last_of_commit(position);
                commits.entry(last).or_default().push(effect);
            }
        }
        let mut look = false;
        for (position, effects) in commits {
            look |= !self.push(position, &effects);
        }
        look
    }

    /// Pushes what a commit of this node did, unless a tail must come first.
    fn push(&mut self, position: Position, effects: &[Outcome]) -> bool {
        let events: Vec<&Event> = effects.iter().filter_map(event).map(Arc::as_ref).collect();
        if !self.follow.committed(position, &events) {
            return false;
        }
        let delivered = self.follow.delivered();
        let mut deliveries = self.parts.planner.empty(Some(delivered), effects.len());
        let now = clock::wall();
        for effect in effects {
            let planned = match effect {
                Outcome::Appended(appended) => {
                    self.parts
                        .planner
                        .event(&appended.event, now, None, &mut deliveries)
                }
                Outcome::Cursors(moves, ..) => self.parts.planner.cursors(moves, &mut deliveries),
                _ => Ok(()),
            };
            self.checked(planned);
        }
        self.parts.outboxes.post(deliveries);
        true
    }

    /// Reads what others committed, all of it.
    fn look(&mut self) {
        loop {
            let tail = self.parts.reader.tail(self.follow.delivered(), self.page);
            self.look_at = Instant::now() + self.parts.interval;
            let tail = match tail {
                Ok(tail) => tail,
                Err(error) => return self.failed(&error),
            };
            if !self.certainty.read(Instant::now()) {
                // Its sessions come back, here or elsewhere, and are looked up in the store.
                end(
                    &self.parts.fatal,
                    "the store could not be read for so long that ended sessions may have been missed",
                );
            }
            self.recovered();
            self.page = (self.page * 2).min(TAIL_PAGE.0);
            let fresh = self.follow.tail(tail);
            self.deliver(&fresh);
            if !fresh.more {
                return;
            }
        }
    }

    fn deliver(&mut self, fresh: &Fresh) {
        for notice in &fresh.notices {
            if let Notice::SessionEnded { user, session, why } = notice {
                let reason = match why {
                    SessionEnd::Revoked => GoAwayReason::Revoked,
                    SessionEnd::Replaced => GoAwayReason::Replaced,
                    SessionEnd::Displaced => GoAwayReason::Displaced,
                };
                self.parts.routes.revoke(*user, &[*session], reason);
            }
            self.parts.cache.noticed(notice);
        }
        let delivered = self.follow.delivered();
        let mut deliveries = self.parts.planner.empty(Some(delivered), fresh.events.len());
        let now = clock::wall();
        for event in &fresh.events {
            let planned = self.parts.planner.event(event, now, None, &mut deliveries);
            self.checked(planned);
        }
        for cursor in &fresh.cursors {
            let moved = CursorMove {
                conversation: cursor.conversation,
                user: cursor.user,
                delivered: cursor.delivered,
                read: cursor.read,
            };
            let planned = self.parts.planner.cursors(&[moved], &mut deliveries);
            self.checked(planned);
        }
        self.parts.outboxes.post(deliveries);
    }

    fn checked(&self, planned: Result<(), ReadError>) {
        if let Err(error) = planned {
            log::error!("members could not be read, sessions will pull: {error}");
            self.parts.outboxes.miss_all();
        }
    }

    fn failed(&mut self, error: &ReadError) {
        // A page that takes longer than a statement may is tried in smaller pieces.
        self.page = (self.page / 4).max(TAIL_PAGE.1);
        if self.failing_since.is_none() {
            self.failing_since = Some(Instant::now());
            log::error!("other nodes' commits cannot be read: {error}");
        }
    }

    fn recovered(&mut self) {
        if let Some(since) = self.failing_since.take() {
            log::warn!(
                "other nodes' commits can be read again after {} ms",
                since.elapsed().as_millis()
            );
        }
    }
}

const fn event(effect: &Outcome) -> Option<&Arc<Event>> {
    match effect {
        Outcome::Appended(appended) => Some(&appended.event),
        _ => None,
    }
}

/// Where an outcome stands in the commit order; 0 where it does not.
pub fn position(effect: &Outcome) -> Position {
    match effect {
        Outcome::Appended(appended) => appended.event.position,
        Outcome::Cursors(_, position, _) => *position,
        _ => Position(0),
    }
}

#[cfg(test)]
mod tests;
