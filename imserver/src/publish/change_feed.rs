//! The change feed: the thread that feeds the publisher on a node of several. The node's own lanes hand it their
//! commits. It reads the commits of other nodes from the tail of the log: at once after a hint, and at latest after the
//! interval.
//!
//! It owns the publisher and the order of publishing. It must never wait for a loop, and a lane never waits for it: if
//! its queue is full, it reads the commit from the store instead. A node without a change feed pushes nothing, so the
//! feed ends the process if it ends too early, or cannot know any more what it has missed.

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
    CursorMove, Event, Notice, Outcome, Position, ReadError, SessionEnd, Snapshot, TailReader,
    cached::ReadCache,
};

use super::{
    Publisher,
    published::{Certainty, Published, Unpublished},
};
use crate::{clock, delivery::Routes, error::Fatal};

/// Commits that wait for the change feed, at most.
const QUEUE_MAX: usize = 1_024;
/// Commits taken before the loops are posted to.
const COMMITS_AT_ONCE: usize = 64;
/// Entries read of a tail at once: at most, and the least to which failures reduce it.
const TAIL_PAGE: (usize, usize) = (2_000, 50);

/// What the change feed works with.
pub(crate) struct ChangeFeedParts {
    /// Gets the commits in their order.
    pub publisher: Publisher,
    /// A revocation ends connections here.
    pub routes: Arc<Routes>,
    /// Reads the tail of the log.
    pub reader: Box<dyn TailReader>,
    /// The position from which to read.
    pub from: Snapshot,
    /// How long commits of other nodes may stay unseen without a hint.
    pub interval: Duration,
    /// Forgets changed entries.
    pub cache: Arc<ReadCache>,
    /// Takes the reason for which the process must end.
    pub fatal: Sender<Fatal>,
}

impl std::fmt::Debug for ChangeFeedParts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ChangeFeedParts").finish_non_exhaustive()
    }
}

enum Order {
    /// A commit of this node.
    Committed(Vec<Outcome>),
    /// Another node committed.
    Look,
}

/// The handle of the change feed. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ChangeFeedHandle {
    orders: Sender<Order>,
    fatal: Sender<Fatal>,
}

impl ChangeFeedHandle {
    /// Hands over the effects of a commit. If the queue is full, the feed reads them from the store.
    pub(crate) fn committed(&self, effects: Vec<Outcome>) {
        match self.orders.try_send(Order::Committed(effects)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                log::debug!("the change feed is busy: it will read what was committed");
            }
            // The thread ends after its last handle is dropped, or when it fails.
            Err(TrySendError::Disconnected(_)) => end(&self.fatal, Fatal::NotDelivered),
        }
    }

    /// Another node committed: read the tail now. If the queue is full, the feed reads it anyway.
    pub(crate) fn look(&self) {
        let _ = self.orders.try_send(Order::Look);
    }
}

/// The change feed's thread, to be joined.
#[derive(Debug)]
pub(crate) struct ChangeFeed {
    thread: JoinHandle<()>,
}

impl ChangeFeed {
    /// Starts it.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(parts: ChangeFeedParts) -> std::io::Result<(Self, ChangeFeedHandle)> {
        let (orders, receiver) = bounded(QUEUE_MAX);
        let fatal = parts.fatal.clone();
        let handle = ChangeFeedHandle {
            orders,
            fatal: fatal.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("change-feed".to_owned())
            .spawn(move || {
                // It is unknown what was delivered, and a node without a change feed pushes nothing.
                if catch_unwind(AssertUnwindSafe(|| Running::new(parts).run(&receiver))).is_err() {
                    end(&fatal, Fatal::FeedPanicked);
                }
            })?;
        Ok((Self { thread }, handle))
    }

    /// Waits until every handle is gone and what was handed over is delivered.
    pub(crate) fn join(self) {
        if self.thread.join().is_err() {
            log::error!("the change feed's thread could not be joined");
        }
    }
}

/// Reports the reason for which the process must end; the first one counts.
fn end(fatal: &Sender<Fatal>, why: Fatal) {
    log::error!("{why}; ending the process");
    let _ = fatal.try_send(why);
}

struct Running {
    parts: ChangeFeedParts,
    published: Published,
    look_at: Instant,
    failing_since: Option<Instant>,
    certainty: Certainty,
    /// Entries to read at once.
    page: usize,
}

impl Running {
    fn new(parts: ChangeFeedParts) -> Self {
        Self {
            published: Published::new(parts.from.clone()),
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

    /// True if the tail must be read now.
    fn take(&mut self, order: Order) -> bool {
        let Order::Committed(effects) = order else {
            return true;
        };
        self.parts.publisher.committed();
        // One batch may have become several commits.
        let mut commits: BTreeMap<Position, Vec<Outcome>> = BTreeMap::new();
        for effect in effects {
            let position = effect.position();
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

    /// Pushes the effects of a commit of this node. False if a tail must be read first.
    fn push(&mut self, position: Position, effects: &[Outcome]) -> bool {
        let events: Vec<&Event> = effects
            .iter()
            .flat_map(Outcome::new_events)
            .map(Arc::as_ref)
            .collect();
        if !self.published.committed(position, &events) {
            return false;
        }
        let publisher = &mut self.parts.publisher;
        let mut deliveries = publisher.begin(Some(self.published.delivered()), effects.len());
        let now = clock::wall();
        for effect in effects {
            match effect {
                Outcome::Appended(_) => {
                    for event in effect.new_events() {
                        publisher.event(event, now, None, &mut deliveries);
                    }
                }
                Outcome::Cursors(moves, ..) => publisher.cursors(moves, &mut deliveries),
                Outcome::User(_)
                | Outcome::Session(_)
                | Outcome::Revoked(_)
                | Outcome::Erased(_)
                | Outcome::Done => {}
            }
        }
        publisher.post(deliveries);
        true
    }

    /// Reads all commits of other nodes.
    fn look(&mut self) {
        loop {
            let tail = self.parts.reader.tail(self.published.delivered(), self.page);
            self.look_at = Instant::now() + self.parts.interval;
            let tail = match tail {
                Ok(tail) => tail,
                Err(error) => return self.failed(&error),
            };
            if !self.certainty.read(Instant::now()) {
                // The clients of this node come back, here or elsewhere, and their sessions are looked up in the store.
                end(&self.parts.fatal, Fatal::NotRead);
            }
            self.recovered();
            self.page = (self.page * 2).min(TAIL_PAGE.0);
            let fresh = self.published.tail(tail);
            self.deliver(&fresh);
            if !fresh.more {
                return;
            }
        }
    }

    fn deliver(&mut self, fresh: &Unpublished) {
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
        let publisher = &mut self.parts.publisher;
        let mut deliveries = publisher.begin(Some(self.published.delivered()), fresh.events.len());
        let now = clock::wall();
        for event in &fresh.events {
            publisher.event(event, now, None, &mut deliveries);
        }
        for cursor in &fresh.cursors {
            let moved = CursorMove {
                conversation: cursor.conversation,
                user: cursor.user,
                delivered: cursor.delivered,
                read: cursor.read,
            };
            publisher.cursors(&[moved], &mut deliveries);
        }
        publisher.post(deliveries);
    }

    fn failed(&mut self, error: &ReadError) {
        // A page that exceeds the statement's time-out is read in smaller pieces.
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

#[cfg(test)]
mod tests;
