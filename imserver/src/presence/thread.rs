//! The thread of presence: takes what is said, looks at routes, reads the store and the medium, and posts what the
//! machine says. It may wait for the store and the medium; nobody waits for it.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use netcore::ConnId;
use protocol::{Push, Refusal, Reply, v1, v1::ErrorCode};
use storage::{Reader, UserId};

use super::{
    handle::{PresenceHandle, Said, Watching},
    machine::{Change, Limits, Machine, NewWatch, NoRoom, Now, Shown, State},
    telling::Telling,
    told::{Told, USERS_MAX},
};
use crate::{
    delivery::{Outboxes, Routes, planner},
    metrics::Metrics,
    reply::ReplyTo,
    wire::Format,
};

/// What is taken from the queue before the thread acts, at most.
const SAID_AT_ONCE: usize = 4_096;
/// Users whose nodes are read in one call.
const READ_AT_ONCE: usize = 500;
/// Such calls before the thread acts.
const READS_AT_ONCE: usize = 20;
/// Changes in one delivery.
const CHANGES_AT_ONCE: usize = 1_024;
/// How often the nodes are listed while somebody is watched.
const NODES_EVERY_MS: u64 = 1_000;
/// How often the thread looks whether to end, and at marks.
const LOOK_MS: u64 = 250;

/// What the thread works with.
pub(crate) struct PresenceParts {
    /// Who is connected here.
    pub routes: Arc<Routes>,
    /// The way to the loops.
    pub outboxes: Arc<Outboxes>,
    /// Its end of the store.
    pub reader: Box<dyn Reader>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// How long somebody without a connection is shown as before. Milliseconds.
    pub grace_ms: u64,
    /// How long a node without a heartbeat counts as alive. Milliseconds.
    pub node_ttl_ms: u64,
    /// Watches of all connections of this node.
    pub watches_max: usize,
}

impl std::fmt::Debug for PresenceParts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PresenceParts").finish_non_exhaustive()
    }
}

/// The running thread, to be ended.
#[derive(Debug)]
pub(crate) struct Presence {
    thread: JoinHandle<()>,
    ending: Arc<AtomicBool>,
}

impl Presence {
    /// Starts it. To be called when the cluster has been.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(handle: &PresenceHandle, parts: PresenceParts) -> std::io::Result<Self> {
        let ending = Arc::new(AtomicBool::new(false));
        let (handle, ended) = (handle.clone(), Arc::clone(&ending));
        let thread = std::thread::Builder::new()
            .name("presence".to_owned())
            .spawn(move || Running::new(handle, parts).run(&ended))?;
        Ok(Self { thread, ending })
    }

    /// Ends it. Whoever still waits to watch is gone.
    pub(crate) fn end(self) {
        self.ending.store(true, Ordering::Release);
        if self.thread.join().is_err() {
            log::error!("the thread of presence could not be joined");
        }
    }
}

pub(super) struct Running {
    handle: PresenceHandle,
    parts: PresenceParts,
    machine: Machine,
    telling: Telling,
    /// Users whose routes are to be looked at.
    changed: BTreeSet<UserId>,
    nodes_at_ms: u64,
}

impl Running {
    pub(super) fn new(handle: PresenceHandle, parts: PresenceParts) -> Self {
        let limits = Limits {
            grace_ms: parts.grace_ms,
            node_ttl_ms: parts.node_ttl_ms,
            watches_max: parts.watches_max,
        };
        let shared = &handle.shared;
        // Whoever was connected to an earlier process of this name is not connected to this one.
        shared.others.tell(Told::Nobody(shared.node.to_string()));
        let machine = Machine::new(limits, Arc::clone(&shared.node), shared.now());
        Self {
            handle,
            parts,
            machine,
            telling: Telling::default(),
            changed: BTreeSet::new(),
            nodes_at_ms: 0,
        }
    }

    fn run(mut self, ending: &AtomicBool) {
        let said = self.handle.shared.said.clone();
        while !ending.load(Ordering::Acquire) {
            let now = self.handle.shared.now();
            let wait_ms = self
                .due_ms()
                .map_or(LOOK_MS, |due_ms| due_ms.saturating_sub(now.at_ms));
            if let Ok(first) = said.recv_timeout(Duration::from_millis(wait_ms.min(LOOK_MS))) {
                self.take(first);
                said.try_iter()
                    .take(SAID_AT_ONCE)
                    .for_each(|said| self.take(said));
            }
            self.turn();
        }
        for said in said.try_iter() {
            if let Said::Watch(_, reply) = said {
                reply.forget();
            }
        }
    }

    fn due_ms(&self) -> Option<u64> {
        let nodes = (self.looks_elsewhere()).then_some(self.nodes_at_ms);
        let due = [self.machine.due_ms(), self.telling.due_ms(), nodes];
        due.into_iter().flatten().min()
    }

    fn looks_elsewhere(&self) -> bool {
        self.handle.shared.others.may_be() && self.machine.looks_elsewhere()
    }

    /// Takes one thing that was said.
    pub(super) fn take(&mut self, said: Said) {
        let now = self.handle.shared.now();
        match said {
            Said::Changed(user) => {
                self.changed.insert(user);
                if self.handle.shared.others.may_be() {
                    self.telling.changed(user);
                }
            }
            Said::Watch(watching, reply) => self.watch(*watching, reply),
            Said::Told(Told::Are(node, users)) => self.machine.told(&Arc::from(node), users, now),
            Said::Told(Told::Nobody(node)) => self.machine.leaves(&node, now),
            Said::Told(Told::ReadAgain) => self.machine.read_again(now),
            Said::Told(Told::Ask(users)) => {
                for user in users {
                    // Whoever reads the shared routes takes those who are there for online.
                    if self.parts.routes.presence(user).0 == State::Away {
                        self.telling.changed(user);
                    }
                }
            }
            Said::Rights(user) => self.machine.rights_changed(user),
        }
    }

    /// Does what is due.
    fn turn(&mut self) {
        let changes = self.settle();
        self.post(changes);
        self.tell();
        let watches = u64::try_from(self.machine.watches()).unwrap_or(u64::MAX);
        self.parts.metrics.presence.watches.set(watches);
    }

    /// Finds out how things are; returns what is to be told of that.
    fn settle(&mut self) -> Vec<Change> {
        self.look_at_marks();
        let now = self.handle.shared.now();
        for user in std::mem::take(&mut self.changed) {
            if self.machine.is_watched(user) || self.machine.watches_with(user) {
                let (state, connections) = self.parts.routes.presence(user);
                self.machine.here(user, state, &connections, now);
            }
        }
        self.check(now);
        self.read();
        self.machine.step(self.handle.shared.now())
    }

    /// What was not said for want of room is found out.
    fn look_at_marks(&mut self) {
        let now = self.handle.shared.now();
        let shared = &self.handle.shared;
        let taken = |mark: &AtomicBool| mark.load(Ordering::Acquire) && mark.swap(false, Ordering::AcqRel);
        if taken(&shared.routes_missed) {
            self.changed.extend(self.machine.concerned());
            self.telling.all_changed();
        }
        if taken(&shared.told_missed) {
            self.machine.read_again(now);
        }
        if taken(&shared.rights_missed) {
            self.machine.all_rights_changed();
        }
    }

    /// Asks the store who may see whom, before anything is told.
    fn check(&mut self, now: Now) {
        for (watcher, targets) in self.machine.take_to_check(now) {
            let shared = &self.handle.shared;
            match shared.rights.may_see(&mut *self.parts.reader, watcher, &targets) {
                Ok(may_see) => {
                    for (target, may_see) in targets.iter().zip(may_see) {
                        self.machine.checked(watcher, *target, may_see, now);
                    }
                }
                Err(error) => {
                    log::debug!("it is not known who may see whom: {error}");
                    self.machine.not_checked(watcher, &targets, now);
                }
            }
        }
    }

    /// Asks the medium where those who are watched are, and which nodes live.
    fn read(&mut self) {
        let shared = Arc::clone(&self.handle.shared);
        if !shared.others.may_be() {
            // There is nobody to ask, now or later.
            self.machine.take_to_read(usize::MAX, shared.now());
            return;
        }
        for _ in 0..READS_AT_ONCE {
            let asked_at = shared.now();
            let users = self.machine.take_to_read(READ_AT_ONCE, asked_at);
            if users.is_empty() {
                break;
            }
            let Some(nodes) = shared.others.nodes_with(&users) else {
                self.machine.not_read(users, shared.now());
                break;
            };
            for (user, nodes) in users.iter().zip(nodes) {
                self.machine.read(*user, &nodes, asked_at, shared.now());
            }
        }
        let now = shared.now();
        if self.machine.looks_elsewhere() && now.at_ms >= self.nodes_at_ms {
            self.nodes_at_ms = now.at_ms + NODES_EVERY_MS;
            let nodes = shared.others.nodes();
            self.machine.nodes(nodes.as_deref(), shared.now());
        }
        loop {
            let users = self.machine.take_to_ask(USERS_MAX);
            if users.is_empty() {
                break;
            }
            // Not asked, they count as online; they are read again.
            shared.others.tell(Told::Ask(users));
        }
    }

    /// Tells other nodes who has changed here.
    fn tell(&mut self) {
        let shared = &self.handle.shared;
        let routes = &self.parts.routes;
        let told = self
            .telling
            .take(&shared.node, shared.now(), |user| routes.presence(user).0);
        for told in told {
            if !shared.others.tell(told) {
                self.telling.all_changed();
            }
        }
    }

    fn post(&self, changes: Vec<Change>) {
        let outboxes = &self.parts.outboxes;
        for changes in changes.chunks(CHANGES_AT_ONCE) {
            let pushes = changes.iter().map(|change| {
                let push = Push::PresencePush(presence(change.user, change.shown));
                (push, &change.to[..])
            });
            outboxes.post_transient(planner::to_connections(outboxes.loops(), pushes));
        }
        self.parts.metrics.presence.changes.add(changes.len() as u64);
    }

    fn watch(&mut self, watching: Watching, reply: ReplyTo) {
        match self.begin(watching, reply.conn(), reply.format()) {
            Ok(presences) => {
                reply.ok(&Reply::WatchPresence(v1::WatchPresenceResponse { presences }));
            }
            Err(refusal) => reply.refuse(&refusal),
        }
    }

    /// A connection watches. Returns what it is told of each.
    fn begin(
        &mut self,
        watching: Watching,
        conn: ConnId,
        format: Format,
    ) -> Result<Vec<v1::Presence>, Refusal> {
        let shared = &self.handle.shared;
        let now = shared.now();
        let (_, connections) = self.parts.routes.presence(watching.user);
        if !connections.contains(&conn) {
            // It was closed meanwhile, or is about to be.
            return Err(Refusal::new(ErrorCode::Unauthenticated, "this session has ended"));
        }
        let mut targets = watching.targets;
        let users: Vec<UserId> = targets.iter().map(|target| target.user).collect();
        for target in &mut targets {
            target.here = self.parts.routes.presence(target.user).0;
        }
        let answer = self.machine.watch(
            NewWatch {
                conn,
                user: watching.user,
                format,
                targets,
                read_at: watching.read_at,
            },
            now,
        );
        if shared.rights_at.load(Ordering::Acquire) != watching.rights_at {
            // Perhaps with one of these, and before they were known here.
            self.machine.rights_changed(watching.user);
        }
        match answer {
            Ok(shown) => {
                let presences = users.iter().zip(shown);
                Ok(presences.map(|(user, shown)| presence(*user, shown)).collect())
            }
            Err(NoRoom::OfUser) => Err(Refusal::new(
                ErrorCode::LimitReached,
                "too many people are watched on all connections of this user",
            )),
            Err(NoRoom::OfAll) => Err(Refusal::new(
                ErrorCode::Overloaded,
                "this server has no room for more watches of presence",
            )),
        }
    }
}

fn presence(user: UserId, shown: Shown) -> v1::Presence {
    let state = match shown.state {
        State::Offline => v1::PresenceState::Offline,
        State::Away => v1::PresenceState::Away,
        State::Online => v1::PresenceState::Online,
    };
    v1::Presence {
        user_id: user.0,
        state: state.into(),
        last_seen_ms: shown.last_seen_ms,
    }
}

/// How present a user is here, by their routes.
trait OfRoutes {
    fn presence(&self, user: UserId) -> (State, Vec<ConnId>);
}

impl OfRoutes for Routes {
    fn presence(&self, user: UserId) -> (State, Vec<ConnId>) {
        let (mut state, mut connections) = (State::Offline, Vec::new());
        self.of(user, |route| {
            let of_route = if route.is_away { State::Away } else { State::Online };
            state = state.max(of_route);
            connections.push(route.conn);
        });
        (state, connections)
    }
}

#[cfg(test)]
#[path = "thread_tests.rs"]
mod tests;
