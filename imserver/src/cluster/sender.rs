//! The sender thread: sends queued hints, and the heartbeats of this node.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use parking_lot::RwLock;
use storage::{
    SessionId, Timestamp, UserId,
    ephemeral::{Ended, Heartbeat, HintTarget, Node},
};

use super::{ADDRESSES_MAX, Hint, Medium};
use crate::delivery::Routes;

/// The time between heartbeats: a third of the time after which other nodes take this one for dead.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// The time to the next heartbeat after one that was not answered, or whose answer asks for all routes anew.
const HEARTBEAT_SOON: Duration = Duration::from_secs(1);
/// How often all routes are announced: the medium keeps a route for a day.
const ANNOUNCE_AGAIN: Duration = Duration::from_hours(8);
/// Routes in one announcement.
const ANNOUNCE: usize = 500;
/// Queued hints that are sent together, at most.
const SAYS_AT_ONCE: usize = 512;
/// How often the thread checks whether to end.
const LOOK: Duration = Duration::from_millis(100);

/// What the sender has to send.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum HintJob {
    Committed,
    Hint(Hint),
    Connected(UserId, SessionId, Timestamp),
    Disconnected(UserId, SessionId),
    Leave,
    Ended(Ended),
}

pub(super) struct HintSender {
    pub(super) medium: Medium,
    pub(super) own: u64,
    pub(super) node: Node,
    pub(super) committed: Arc<AtomicBool>,
    pub(super) others: Arc<RwLock<Vec<String>>>,
    pub(super) routes: Arc<Routes>,
    pub(super) ending: Arc<AtomicBool>,
    /// Set when this node takes no more clients.
    pub(super) left: bool,
    /// When all routes were announced last.
    pub(super) announced_at: Instant,
}

impl HintSender {
    pub(super) fn run(mut self, says: &Receiver<HintJob>) {
        // A later process of this name has a higher generation.
        self.node.generation = self.node.since.0.max(1);
        let mut beat_at = Instant::now();
        loop {
            if !self.left && beat_at <= Instant::now() {
                beat_at = Instant::now() + self.beat();
            }
            let ending = self.ending.load(Ordering::Acquire);
            let first = match says.recv_timeout(if ending { Duration::ZERO } else { LOOK }) {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) if !ending => continue,
                Err(_) => break,
            };
            let mut all = vec![first];
            while all.len() < SAYS_AT_ONCE
                && let Ok(say) = says.try_recv()
            {
                all.push(say);
            }
            self.say(all);
        }
        if !self.left {
            self.medium.presence.leave(&self.node, Instant::now());
        }
    }

    fn say(&mut self, all: Vec<HintJob>) {
        let (mut came, mut went) = (BTreeSet::new(), BTreeSet::new());
        for say in all {
            match say {
                HintJob::Committed => {
                    // Reset before the hint is sent: a commit after this is announced again.
                    self.committed.store(false, Ordering::Release);
                    self.publish(&Hint::Committed);
                }
                HintJob::Hint(hint) => self.publish(&hint),
                HintJob::Connected(user, session, at) => {
                    self.publish(&Hint::Connected(user, session, at));
                    went.remove(&(user, session));
                    came.insert((user, session));
                }
                HintJob::Ended(ended) => self.medium.sessions.end(ended, Instant::now()),
                HintJob::Leave => {
                    self.left = true;
                    self.medium.presence.leave(&self.node, Instant::now());
                }
                HintJob::Disconnected(user, session) => {
                    came.remove(&(user, session));
                    went.insert((user, session));
                }
            }
        }
        if self.left {
            return;
        }
        let presence = &self.medium.presence;
        let came: Vec<_> = came.into_iter().collect();
        let went: Vec<_> = went.into_iter().collect();
        if !came.is_empty() && !presence.announce(&self.node, &came, Instant::now()) {
            log::debug!("routes could not be announced: they will be, all of them");
        }
        if !went.is_empty() {
            presence.withdraw(&self.node, &went, Instant::now());
        }
    }

    fn publish(&self, hint: &Hint) {
        let bytes = hint.to_bytes(self.own);
        if !self.medium.hints.publish(HintTarget::All, &bytes, Instant::now()) {
            log::debug!("a hint was not published");
        }
    }

    /// Sends a heartbeat; returns when the next one is due.
    fn beat(&mut self) -> Duration {
        let again = match self.medium.presence.heartbeat(&self.node, Instant::now()) {
            Heartbeat::Kept => {
                (self.medium.testify)();
                HEARTBEAT
            }
            Heartbeat::Unknown => HEARTBEAT_SOON,
            Heartbeat::Repeat => {
                self.node.generation += 1;
                self.announce_all();
                // What was announced counts once a heartbeat has its generation.
                self.medium.presence.heartbeat(&self.node, Instant::now());
                HEARTBEAT_SOON
            }
        };
        if self.announced_at.elapsed() > ANNOUNCE_AGAIN {
            self.announce_all();
        }
        self.learn();
        again
    }

    fn announce_all(&mut self) {
        self.announced_at = Instant::now();
        for slice in self.routes.sessions().chunks(ANNOUNCE) {
            if !self.medium.presence.announce(&self.node, slice, Instant::now()) {
                // The next answered heartbeat asks for the routes again.
                return;
            }
        }
    }

    /// Reads the addresses that clients may go to.
    fn learn(&self) {
        let Some(nodes) = self.medium.presence.nodes(Instant::now()) else {
            return;
        };
        let others = nodes
            .into_iter()
            .filter(|node| node.name != self.node.name && !node.address.is_empty())
            .map(|node| node.address)
            .take(ADDRESSES_MAX);
        *self.others.write() = others.collect();
    }
}
