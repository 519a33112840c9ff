//! The thread that says what is queued, and that this node lives.

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

/// How often this node says that it lives: thrice before the others take it for dead.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// After a heartbeat that nobody answered, or that asks for everything anew.
const HEARTBEAT_SOON: Duration = Duration::from_secs(1);
/// Routes are kept for a day unless they are announced again.
const ANNOUNCE_AGAIN: Duration = Duration::from_hours(8);
/// Routes in one announcement.
const ANNOUNCE: usize = 500;
/// What is said before the medium is asked.
const SAYS_AT_ONCE: usize = 512;
/// How often the thread sees whether it should end.
const LOOK: Duration = Duration::from_millis(100);

/// What is to be said.
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
    /// Nobody is to be sent here any more.
    pub(super) left: bool,
    /// When everything was announced last.
    pub(super) announced_at: Instant,
}

impl HintSender {
    pub(super) fn run(mut self, says: &Receiver<HintJob>) {
        // A later process of this name has a higher one.
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
                    // Before it is published: a commit after this is announced again.
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

    /// Says that this node lives; returns when to say it again.
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
                // The next heartbeat that is answered asks for it again.
                return;
            }
        }
    }

    /// Where clients may go instead.
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
