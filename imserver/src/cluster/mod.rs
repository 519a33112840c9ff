//! One node among several: what it tells the others, and what it does when it is told.
//!
//! Two threads stand between the node and whatever carries hints and presence, so that nothing else ever waits for
//! it: one says what is queued, one hears. Nothing here is needed for a promise. What is not heard is found by
//! the change feed within its interval, and a full queue drops hints, never messages.

mod hint;
mod sender;

use std::{
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
        Ended, Hint as Heard, HintReceiver, Hints, Lookup, Node, Presence, RateLimits, SessionCache, Ticket,
    },
};

pub(crate) use hint::Hint;
use sender::{HintJob, HintSender};

use crate::{
    delivery::{Outboxes, Routes, planner},
    publish::{ChangeFeedHandle, Consumer},
    token,
};

/// What waits to be said, at most.
const QUEUE_MAX: usize = 8_192;
/// How long the hearing thread waits before it sees whether it should end.
const HEAR: Duration = Duration::from_millis(250);
/// Addresses of other nodes that a farewell names, at most.
const ADDRESSES_MAX: usize = 8;

/// What the nodes share that may vanish.
#[derive(Clone)]
pub(crate) struct Medium {
    /// Carries hints.
    pub hints: Arc<dyn Hints>,
    /// Knows who is connected where.
    pub presence: Arc<dyn Presence>,
    /// Knows which session tokens are good.
    pub sessions: Arc<dyn SessionCache>,
    /// Counts what may not happen too often.
    pub rates: Arc<dyn RateLimits>,
    /// Tells what this process has told of the store's past, for nodes that will not have been there.
    pub testify: Arc<dyn Fn() + Send + Sync>,
    /// The nodes that live, or in a sentence why that cannot be known.
    pub nodes: Arc<dyn Fn() -> Result<Vec<Node>, String> + Send + Sync>,
    /// How it is, for people.
    pub status: Arc<dyn Fn() -> String + Send + Sync>,
}

impl std::fmt::Debug for Medium {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Medium").finish_non_exhaustive()
    }
}

/// What hearing works with.
#[derive(Clone, Debug)]
pub(crate) struct Hearing {
    /// Looks at once when another node committed.
    pub feed: ChangeFeedHandle,
    /// Who is connected here.
    pub routes: Arc<Routes>,
    /// The way to them.
    pub outboxes: Arc<Outboxes>,
}

/// The end that the rest of the node holds. Cheap to clone; until the cluster is started, it does nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClusterHandle {
    inner: Arc<OnceLock<Inner>>,
}

#[derive(Debug)]
struct Inner {
    queue: Sender<HintJob>,
    /// "Something was committed" is queued already: once is enough.
    committed: Arc<AtomicBool>,
    /// Where clients of this node may go instead.
    others: Arc<RwLock<Vec<String>>>,
    medium: Medium,
}

/// Other nodes are told that this one has committed something, so that they look at once.
impl Consumer for ClusterHandle {
    fn committed(&mut self) {
        let Some(inner) = self.inner.get() else { return };
        if !inner.committed.swap(true, Ordering::AcqRel) && !inner.say(HintJob::Committed) {
            inner.committed.store(false, Ordering::Release);
        }
    }
}

impl ClusterHandle {
    /// To be pushed to whoever of these is connected to another node.
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

    /// What is cached of sessions counts no more, after the commit that changed it.
    pub(crate) fn ended(&self, ended: Ended) {
        if let Some(inner) = self.inner.get() {
            inner.say(HintJob::Ended(ended));
        }
    }

    /// What is known of a session token without asking the store. Blocks for the medium's time-outs at most: not
    /// for loops.
    pub(crate) fn find_session(&self, token: &TokenHash) -> Lookup {
        match self.inner.get() {
            Some(inner) => inner.medium.sessions.find(token, Instant::now()),
            None => Lookup::Unknown(None),
        }
    }

    /// What the store said of a token after [`ClusterHandle::find_session`] gave a ticket. Blocks likewise.
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

    /// No client is to be sent here any more; commits are still announced.
    pub(crate) fn leave(&self) {
        if let Some(inner) = self.inner.get() {
            inner.say(HintJob::Leave);
        }
    }

    /// Where clients of this node may go when it drains.
    pub(crate) fn addresses_of_others(&self) -> Vec<String> {
        let known = self.inner.get().map(|inner| inner.others.read().clone());
        known.unwrap_or_default()
    }

    /// How the medium is, for people; `None` without one.
    pub(crate) fn status(&self) -> Option<String> {
        let inner = self.inner.get()?;
        Some((inner.medium.status)())
    }

    /// The sessions of a user that are connected to any node; `None` where that is not known. Blocks for the
    /// medium's time-outs at most: not for loops.
    pub(crate) fn sessions_online(&self, user: UserId) -> Option<Vec<SessionId>> {
        let inner = self.inner.get()?;
        let routes = inner.medium.presence.routes(&[user], Instant::now())?;
        Some(routes.into_iter().flatten().map(|route| route.session).collect())
    }
}

impl Inner {
    /// False if it was dropped.
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

/// The threads, to be ended.
#[derive(Debug)]
pub(crate) struct Cluster {
    saying: JoinHandle<()>,
    hearing: JoinHandle<()>,
    ending: Arc<AtomicBool>,
}

impl Cluster {
    /// Joins the others under this name and address; from now on `handle` says what it is told.
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
        // Tells this process from an earlier one of the same name.
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

    /// Says what is queued, leaves the others and ends the threads.
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
            Some(Heard::Lost) => parts.feed.look(),
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
