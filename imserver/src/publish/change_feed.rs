//! The change feed: the thread that feeds the publisher on a node of several. The node's own lanes hand it what they
//! committed; what other nodes committed it reads from the tail of the log, at once when it is told of it, and at latest
//! after the interval.
//!
//! It owns the publisher and the order of what is published. It must never wait for a loop, and a lane never
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
    Publisher,
    published::{Certainty, Published, Unpublished},
};
use crate::{clock, delivery::Routes};

/// Commits that wait for the change feed, at most.
const QUEUE_MAX: usize = 1_024;
/// Commits taken before the loops are posted to.
const COMMITS_AT_ONCE: usize = 64;
/// Entries read of a tail at once, at most, and after pages of this size could not be read, at least.
const TAIL_PAGE: (usize, usize) = (2_000, 50);

/// What the change feed works with.
pub(crate) struct ChangeFeedParts {
    /// Is fed.
    pub publisher: Publisher,
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
    /// Hears why the process must end.
    pub fatal: Sender<String>,
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

/// The end of the change feed that others hold. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ChangeFeedHandle {
    orders: Sender<Order>,
    fatal: Sender<String>,
}

impl ChangeFeedHandle {
    /// Hands on what a commit did. What does not fit is read from the store instead.
    pub(crate) fn committed(&self, effects: Vec<Outcome>) {
        match self.orders.try_send(Order::Committed(effects)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                log::debug!("the change feed is busy: it will read what was committed");
            }
            // It ends after its last handle, unless it fails.
            Err(TrySendError::Disconnected(_)) => end(&self.fatal, "nobody delivers what is committed"),
        }
    }

    /// Another node committed: look now. A full queue looks anyway.
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
                // What it has delivered is unknown, and a node that goes on without it shows nobody anything.
                if catch_unwind(AssertUnwindSafe(|| Running::new(parts).run(&receiver))).is_err() {
                    end(&fatal, "the change feed panicked");
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

/// The first reason counts.
fn end(fatal: &Sender<String>, why: &str) {
    log::error!("{why}; ending the process");
    let _ = fatal.try_send(why.to_owned());
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

    /// True when the store has what must be read now.
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

    /// Pushes what a commit of this node did, unless a tail must come first.
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

    /// Reads what others committed, all of it.
    fn look(&mut self) {
        loop {
            let tail = self.parts.reader.tail(self.published.delivered(), self.page);
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

#[cfg(test)]
mod tests;
