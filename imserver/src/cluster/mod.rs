//! One node among several: what it tells the others, and what it does with their hints.
//!
//! Two threads, a sender and a receiver, isolate the node from Redis; nothing else blocks on it. Correctness does not
//! depend on this module: the change feed finds a commit within its interval if the hint is lost, and a full queue
//! drops hints, never messages.

mod hint;
mod sender;

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crossbeam_channel::{Sender, TrySendError, bounded};
use parking_lot::RwLock;
use protocol::Push;
use storage::{
    Session, SessionId, Timestamp, TokenHash, User, UserId,
    ephemeral::{
        Ended, Hint as Heard, HintReceiver, Hints, LinkStatus, Lookup, Node, Presence, RateLimits, Route,
        SessionCache, Ticket,
    },
};

pub(crate) use hint::Hint;
use sender::{HintJob, HintSender};

use crate::{
    delivery::{Outboxes, Routes, planner},
    presence::{Others, PresenceHandle, Told},
    publish::{ChangeFeedHandle, Consumer},
    token,
};

/// Hints that wait to be sent, at most.
const QUEUE_MAX: usize = 8_192;
/// How long the receiver waits before it checks whether to end.
const HEAR: Duration = Duration::from_millis(250);
/// Addresses of other nodes that a farewell names, at most.
const ADDRESSES_MAX: usize = 8;

/// State that the nodes share and that may vanish.
#[derive(Clone)]
pub(crate) struct Medium {
    /// Carries hints.
    pub hints: Arc<dyn Hints>,
    /// Knows which node each user is connected to.
    pub presence: Arc<dyn Presence>,
    /// Caches valid session tokens.
    pub sessions: Arc<dyn SessionCache>,
    /// Counts actions that have a limited rate.
    pub rates: Arc<dyn RateLimits>,
    /// Repeats this process' testimony about the store's past, for nodes that start later.
    pub testify: Arc<dyn Fn() + Send + Sync>,
    /// The live nodes; or a sentence that says why they cannot be known.
    pub nodes: Arc<dyn Fn() -> Result<Vec<Node>, String> + Send + Sync>,
    /// The state of the medium.
    pub status: Arc<dyn Fn() -> LinkStatus + Send + Sync>,
}

impl std::fmt::Debug for Medium {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Medium").finish_non_exhaustive()
    }
}

/// What the receiver works with.
#[derive(Clone, Debug)]
pub(crate) struct Hearing {
    /// Told when another node committed, so that it reads the tail at once.
    pub feed: ChangeFeedHandle,
    /// Finds connections of this node.
    pub routes: Arc<Routes>,
    /// Posts to the loops of this node.
    pub outboxes: Arc<Outboxes>,
    /// Hears of presence on other nodes.
    pub presence: PresenceHandle,
}

/// The handle for the rest of the node. Cheap to clone; it does nothing until the cluster is started.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClusterHandle {
    inner: Arc<OnceLock<Inner>>,
}

#[derive(Debug)]
struct Inner {
    queue: Sender<HintJob>,
    /// Whether a `Committed` hint is queued already: one is enough.
    committed: Arc<AtomicBool>,
    /// Addresses of other nodes that clients of this node may go to.
    others: Arc<RwLock<Vec<String>>>,
    medium: Medium,
}

/// Tells other nodes that this node committed something, so that they read the tail of the log at once.
impl Consumer for ClusterHandle {
    fn committed(&mut self) {
        let Some(inner) = self.inner.get() else { return };
        if !inner.committed.swap(true, Ordering::AcqRel) && !inner.say(HintJob::Committed) {
            inner.committed.store(false, Ordering::Release);
        }
    }
}

impl ClusterHandle {
    /// Sends a push to those of these users who are connected to other nodes.
    pub(crate) fn transient(&self, users: &[UserId], push: &Push) {
        let Some(inner) = self.inner.get() else { return };
        for users in users.chunks(hint::USERS_MAX) {
            inner.say(HintJob::Hint(Hint::Transient(
                users.to_vec(),
                Box::new(push.clone()),
            )));
        }
    }

    /// A session has a route here now.
    pub(crate) fn connected(&self, user: UserId, session: SessionId, at: Timestamp) {
        if let Some(inner) = self.inner.get() {
            inner.say(HintJob::Connected(user, session, at));
        }
    }

    /// A session has no route here any more.
    pub(crate) fn disconnected(&self, user: UserId, session: SessionId) {
        if let Some(inner) = self.inner.get() {
            inner.say(HintJob::Disconnected(user, session));
        }
    }

    /// Drops cached sessions. Call it after the commit that changed them.
    pub(crate) fn ended(&self, ended: Ended) {
        if let Some(inner) = self.inner.get() {
            inner.say(HintJob::Ended(ended));
        }
    }

    /// What is known of a session token without asking the store. Blocks for the medium's time-outs at most, so loops
    /// must not call it.
    pub(crate) fn find_session(&self, token: &TokenHash) -> Lookup {
        match self.inner.get() {
            Some(inner) => inner.medium.sessions.find(token, Instant::now()),
            None => Lookup::Unknown(None),
        }
    }

    /// Caches the store's answer for a token, if [`ClusterHandle::find_session`] gave a ticket. May block likewise.
    pub(crate) fn keep_session(
        &self,
        token: &TokenHash,
        found: Option<&(Session, User)>,
        ticket: Option<Ticket>,
    ) {
        if let (Some(inner), Some(ticket)) = (self.inner.get(), ticket) {
            let found = found.map(|(session, user)| (session, user));
            inner.medium.sessions.keep(token, found, ticket, Instant::now());
        }
    }

    /// This node takes no more clients; commits are still announced.
    pub(crate) fn leave(&self) {
        if let Some(inner) = self.inner.get() {
            inner.say(HintJob::Leave);
        }
    }

    /// Addresses that clients of this node may go to when it drains.
    pub(crate) fn addresses_of_others(&self) -> Vec<String> {
        let known = self.inner.get().map(|inner| inner.others.read().clone());
        known.unwrap_or_default()
    }

    /// The state of the medium; `None` without one.
    pub(crate) fn status(&self) -> Option<LinkStatus> {
        let inner = self.inner.get()?;
        Some((inner.medium.status)())
    }

    /// The nodes and sessions that each of these users is connected to, in their order; `None` if that is not known.
    /// Blocks for the medium's time-outs at most, so loops must not call it.
    pub(crate) fn routes(&self, users: &[UserId]) -> Option<Vec<Vec<Route>>> {
        self.inner.get()?.medium.presence.routes(users, Instant::now())
    }

    /// The sessions of a user that are connected to any node; `None` if unknown. Blocks likewise.
    pub(crate) fn sessions_online(&self, user: UserId) -> Option<Vec<SessionId>> {
        let routes = self.routes(&[user])?;
        Some(routes.into_iter().flatten().map(|route| route.session).collect())
    }
}

/// What presence needs of the other nodes.
impl Others for ClusterHandle {
    fn nodes_with(&self, users: &[UserId]) -> Option<Vec<Vec<Arc<str>>>> {
        let routes = self.routes(users)?;
        let mut known: HashMap<String, Arc<str>> = HashMap::new();
        let mut names = |routes: Vec<Route>| -> Vec<Arc<str>> {
            let mut names: Vec<Arc<str>> = Vec::with_capacity(routes.len());
            for route in routes {
                let name = known
                    .entry(route.node)
                    .or_insert_with_key(|name| Arc::from(&**name));
                if !names.contains(name) {
                    names.push(Arc::clone(name));
                }
            }
            names
        };
        Some(routes.into_iter().map(&mut names).collect())
    }

    fn nodes(&self) -> Option<Vec<Arc<str>>> {
        let nodes = self.inner.get()?.medium.presence.nodes(Instant::now())?;
        Some(nodes.into_iter().map(|node| Arc::from(node.name)).collect())
    }

    fn tell(&self, told: Told) -> bool {
        let job = HintJob::Hint(Hint::Presence(told));
        self.inner.get().is_none_or(|inner| inner.say(job))
    }

    fn may_be(&self) -> bool {
        self.inner.get().is_some()
    }
}

impl Inner {
    /// False if the hint was dropped.
    fn say(&self, what: HintJob) -> bool {
        match self.queue.try_send(what) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                log::debug!("a hint was dropped: too many wait");
                false
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }
}

/// The threads of the cluster, to be ended.
#[derive(Debug)]
pub(crate) struct Cluster {
    saying: JoinHandle<()>,
    hearing: JoinHandle<()>,
    ending: Arc<AtomicBool>,
}

impl Cluster {
    /// Joins the other nodes under this name and address; from now on `handle` sends hints.
    ///
    /// # Errors
    /// The system gives no threads or no randomness.
    pub(crate) fn start(
        handle: &ClusterHandle,
        medium: Medium,
        name: &str,
        address: String,
        hearing: Hearing,
    ) -> std::io::Result<Self> {
        // Distinguishes this process from an earlier one of the same name.
        let own = token::random_u63().map_err(std::io::Error::other)?;
        let (queue, says) = bounded(QUEUE_MAX);
        let committed = Arc::new(AtomicBool::new(false));
        let others = Arc::new(RwLock::new(Vec::new()));
        let ending = Arc::new(AtomicBool::new(false));
        let node = Node {
            name: name.to_owned(),
            address,
            since: crate::clock::wall(),
            generation: 0,
        };
        let receiver = medium.hints.subscribe(name);
        let sayer = HintSender {
            medium: medium.clone(),
            own,
            node,
            committed: Arc::clone(&committed),
            others: Arc::clone(&others),
            routes: Arc::clone(&hearing.routes),
            ending: Arc::clone(&ending),
            left: false,
            announced_at: Instant::now(),
        };
        let saying = std::thread::Builder::new()
            .name("cluster-say".to_owned())
            .spawn(move || sayer.run(&says))?;
        let ended = Arc::clone(&ending);
        let hearing = std::thread::Builder::new()
            .name("cluster-hear".to_owned())
            .spawn(move || hear(&receiver, own, &hearing, &ended))?;
        let inner = Inner {
            queue,
            committed,
            others,
            medium,
        };
        // It is started once.
        handle.inner.get_or_init(|| inner);
        Ok(Self {
            saying,
            hearing,
            ending,
        })
    }

    /// Sends the queued hints, leaves the other nodes and ends the threads.
    pub(crate) fn end(self) {
        self.ending.store(true, Ordering::Release);
        for thread in [self.saying, self.hearing] {
            if thread.join().is_err() {
                log::error!("a thread of the cluster could not be joined");
            }
        }
    }
}

fn hear(hints: &HintReceiver, own: u64, parts: &Hearing, ending: &AtomicBool) {
    while !ending.load(Ordering::Acquire) {
        match hints.receive(HEAR) {
            None => {}
            Some(Heard::Lost) => {
                parts.feed.look();
                parts.presence.told_missed();
            }
            Some(Heard::Bytes(bytes)) => match Hint::parse(bytes) {
                Some((from, _)) if from == own => {}
                Some((_, hint)) => act(hint, parts),
                None => log::debug!("a hint could not be read"),
            },
        }
    }
}

fn act(hint: Hint, parts: &Hearing) {
    match hint {
        Hint::Committed => parts.feed.look(),
        Hint::Presence(told) => parts.presence.told(told),
        Hint::Connected(user, session, at) => parts.routes.replaced_elsewhere(user, session, at),
        Hint::Transient(users, push) => {
            let deliveries = planner::transient(
                &parts.routes,
                parts.outboxes.loops(),
                users.into_iter(),
                None,
                &push,
            );
            parts.outboxes.post_transient(deliveries);
        }
    }
}
