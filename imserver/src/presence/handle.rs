//! The way to the thread of presence, from loops, workers and the cluster. Nobody waits for it: what finds no room is
//! marked, and found out by looking.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use crossbeam_channel::{Receiver, Sender, bounded};
use protocol::{Refusal, v1::ErrorCode};
use storage::{Event, ReadError, Reader, UserId};

use super::{
    machine::Target,
    machine::{Now, State},
    rights::Rights,
    told::Told,
};
use crate::{publish::Consumer, reply::ReplyTo};

/// What waits for the thread, at most.
const QUEUE_MAX: usize = 65_536;

/// The other nodes, as presence sees them.
pub(crate) trait Others: Send + Sync {
    /// The nodes that each of these users is connected to, in their order; `None` if that is not known. Blocks for the
    /// medium's time-outs at most.
    fn nodes_with(&self, users: &[UserId]) -> Option<Vec<Vec<Arc<str>>>>;

    /// The nodes that live, this one among them; `None` if that is not known. Blocks likewise.
    fn nodes(&self) -> Option<Vec<Arc<str>>>;

    /// Tells all other nodes. False if it could not be: then they have to be told to look.
    fn tell(&self, told: Told) -> bool;

    /// Whether there may be any.
    fn may_be(&self) -> bool;
}

/// What reaches the thread.
#[derive(Debug)]
pub(super) enum Said {
    /// A route of this user was made, changed or removed.
    Changed(UserId),
    /// A connection watches.
    Watch(Box<Watching>, ReplyTo),
    /// Another node says.
    Told(Told),
    /// What this user may see, or others of them, may have changed.
    Rights(UserId),
}

/// A request to watch, with what a worker has found out for it.
#[derive(Debug)]
pub(crate) struct Watching {
    pub(super) user: UserId,
    pub(super) targets: Vec<Target>,
    /// The time before anything was asked.
    pub(super) read_at: Now,
    /// The number of changes of rights before they were asked for.
    pub(super) rights_at: u64,
}

/// The handle for the rest of the node. Cheap to clone.
#[derive(Clone)]
pub(crate) struct PresenceHandle {
    pub(super) shared: Arc<Shared>,
}

impl std::fmt::Debug for PresenceHandle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("PresenceHandle")
            .field("waiting", &self.shared.queue.len())
            .finish_non_exhaustive()
    }
}

pub(super) struct Shared {
    queue: Sender<Said>,
    pub(super) said: Receiver<Said>,
    pub(super) rights: Box<dyn Rights>,
    pub(super) others: Box<dyn Others>,
    /// The name of this node.
    pub(super) node: Arc<str>,
    /// The zero of the clock.
    started: std::time::Instant,
    /// Changes of routes found no room.
    pub(super) routes_missed: AtomicBool,
    /// What other nodes said found no room, or was lost on its way.
    pub(super) told_missed: AtomicBool,
    /// Changes of rights found no room, or were not heard of.
    pub(super) rights_missed: AtomicBool,
    /// Grows with every change of rights.
    pub(super) rights_at: AtomicU64,
}

impl Shared {
    pub(super) fn now(&self) -> Now {
        Now {
            at_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            wall_ms: crate::clock::wall().0,
        }
    }
}

impl PresenceHandle {
    /// The handle of a node of this name. What is said waits until the thread is started.
    pub(crate) fn new(node: &str, rights: Box<dyn Rights>, others: Box<dyn Others>) -> Self {
        let (queue, said) = bounded(QUEUE_MAX);
        Self {
            shared: Arc::new(Shared {
                queue,
                said,
                rights,
                others,
                node: Arc::from(node),
                started: std::time::Instant::now(),
                routes_missed: AtomicBool::new(false),
                told_missed: AtomicBool::new(false),
                rights_missed: AtomicBool::new(false),
                rights_at: AtomicU64::new(0),
            }),
        }
    }

    /// A route of this user was made, changed or removed. Call it after that.
    pub(crate) fn changed(&self, user: UserId) {
        if self.shared.queue.try_send(Said::Changed(user)).is_err() {
            self.shared.routes_missed.store(true, Ordering::Release);
        }
    }

    /// Another node says something.
    pub(crate) fn told(&self, told: Told) {
        if self.shared.queue.try_send(Said::Told(told)).is_err() {
            self.told_missed();
        }
    }

    /// What other nodes said may have been lost.
    pub(crate) fn told_missed(&self) {
        self.shared.told_missed.store(true, Ordering::Release);
    }

    /// This node takes no more clients, and those that it has go.
    pub(crate) fn leave(&self) {
        self.shared
            .others
            .tell(Told::Nobody(self.shared.node.to_string()));
    }

    /// Finds out what is needed to watch these people. For workers: it waits for the store and the medium.
    ///
    /// # Errors
    /// The store did not answer.
    pub(crate) fn prepare(
        &self,
        reader: &mut dyn Reader,
        user: UserId,
        targets: &[UserId],
    ) -> Result<Watching, ReadError> {
        let shared = &self.shared;
        let (read_at, rights_at) = (shared.now(), shared.rights_at.load(Ordering::Acquire));
        let may_see = shared.rights.may_see(reader, user, targets)?;
        let of_each = targets.iter().zip(&may_see);
        // Of those who may not be seen nothing is asked, so that not even the time tells anything of them.
        let seen: Vec<UserId> = of_each
            .filter(|(_, may_see)| **may_see)
            .map(|(user, _)| *user)
            .collect();
        let nodes = if shared.others.may_be() && !seen.is_empty() {
            shared.others.nodes_with(&seen)
        } else {
            Some(vec![Vec::new(); seen.len()])
        };
        let mut nodes = nodes.map(Vec::into_iter);
        let mut found = Vec::with_capacity(targets.len());
        for (target, may_see) in targets.iter().zip(may_see) {
            let mut target = Target {
                user: *target,
                may_see,
                here: State::Offline,
                elsewhere: Some(Vec::new()),
                last_seen_ms: 0,
            };
            if may_see {
                target.elsewhere = nodes.as_mut().map(|nodes| nodes.next().unwrap_or_default());
                let sessions = reader.sessions(target.user)?;
                let seen = sessions.iter().map(|session| session.last_seen_at.0).max();
                target.last_seen_ms = seen.unwrap_or_default();
            }
            found.push(target);
        }
        Ok(Watching {
            user,
            targets: found,
            read_at,
            rights_at,
        })
    }

    /// A connection watches from now on. It is answered by the thread.
    pub(crate) fn watch(&self, watching: Box<Watching>, reply: ReplyTo) {
        match self.shared.queue.try_send(Said::Watch(watching, reply)) {
            Ok(()) => {}
            Err(error) => {
                if let Said::Watch(_, reply) = error.into_inner() {
                    let message = "too many changes of presence wait";
                    reply.refuse(&Refusal::new(ErrorCode::Overloaded, message));
                }
            }
        }
    }
}

#[cfg(test)]
impl Watching {
    /// What is answered where nobody is connected.
    pub(crate) fn answered_alone(&self) -> protocol::v1::WatchPresenceResponse {
        let of = |target: &Target| protocol::v1::Presence {
            user_id: target.user.0,
            state: protocol::v1::PresenceState::Offline.into(),
            last_seen_ms: target.last_seen_ms,
        };
        protocol::v1::WatchPresenceResponse {
            presences: self.targets.iter().map(of).collect(),
        }
    }
}

/// Hears of the events that change who may see whom.
impl Consumer for PresenceHandle {
    fn committed(&mut self) {}

    fn event(&mut self, event: &Event) {
        let shared = &self.shared;
        if let Some(user) = shared.rights.changed_by(event) {
            shared.rights_at.fetch_add(1, Ordering::AcqRel);
            if shared.queue.try_send(Said::Rights(user)).is_err() {
                shared.rights_missed.store(true, Ordering::Release);
            }
        }
    }

    fn missed(&mut self) {
        self.shared.rights_at.fetch_add(1, Ordering::AcqRel);
        self.shared.rights_missed.store(true, Ordering::Release);
    }
}
