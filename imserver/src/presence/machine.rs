//! Whom connections of this node watch, where those people are, and what the watchers are told: events and time in,
//! pushes out. No clock, no thread, no store.
//!
//! A person is as present as the most present of their connections, on any node. What watchers are *shown* follows what
//! *is*, with two rules: changes within [`COALESCE_MS`] are one, and who has no connection left is shown as before for
//! the grace, so that nobody sees a reconnect, whichever node it goes to. So whoever watches waits, and a node tells the
//! others at once.
//!
//! Every event says how things are now, not what changed: a lost, repeated or late event costs until the next one, and
//! nothing else. Must never show anything to a watcher who may not see it: those are kept in a set of their own, and are
//! answered without a look at anything that is known of the person.

mod watched;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use netcore::ConnId;
use storage::UserId;

pub(crate) use watched::State;
use watched::Watched;

use crate::wire::Format;

/// Changes of one person within this time are shown as one.
pub(super) const COALESCE_MS: u64 = 1_000;
/// What a node said of a person counts for so long against what is read of the shared routes: those follow later.
const SETTLE_MS: u64 = 5_000;
/// How long a listing of nodes must have named this node before a node that it lacks counts as gone: a medium that has
/// lost its memory names nobody until all have sent a heartbeat.
const TRUSTED_MS: u64 = 15_000;
/// How often what other nodes have is read again, whether or not anything was lost.
const REREAD_MS: u64 = 60_000;
/// How long after a question without an answer the next one is asked.
const RETRY_MS: u64 = 1_000;
/// Watches of one user, over all of their connections.
pub(super) const WATCHES_PER_USER_MAX: usize = 5_000;

/// The time, by two clocks, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Now {
    /// Since the start of this process.
    pub at_ms: u64,
    /// Since 1970.
    pub wall_ms: u64,
}

/// Times and limits that are configured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How long somebody without a connection is shown as before. Milliseconds.
    pub grace_ms: u64,
    /// Without an answer from the medium for so long, nobody counts as connected to another node. Milliseconds.
    pub node_ttl_ms: u64,
    /// Watches of all connections: one for each person on each connection's list.
    pub watches_max: usize,
}

/// What a watcher is shown of a person.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Shown {
    /// How present.
    pub state: State,
    /// When the person was here last, in milliseconds since 1970, rounded down to a minute. 0: not known, or not to be
    /// known, or here now.
    pub last_seen_ms: u64,
}

/// One person of a new watch.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Whom.
    pub user: UserId,
    /// Whether the watcher may see them.
    pub may_see: bool,
    /// How present they are on this node.
    pub here: State,
    /// The other nodes that they are connected to; `None` if that could not be read.
    pub elsewhere: Option<Vec<Arc<str>>>,
    /// When they were here last, as far as is stored. Milliseconds since 1970.
    pub last_seen_ms: u64,
}

/// A connection begins to watch these people, and no others.
#[derive(Clone, Debug)]
pub(super) struct NewWatch {
    /// Which connection.
    pub conn: ConnId,
    /// Whose.
    pub user: UserId,
    /// How it is written to.
    pub format: Format,
    /// Whom.
    pub targets: Vec<Target>,
    /// When the other nodes of these people were read.
    pub read_at: Now,
}

/// There is no room for a watch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NoRoom {
    /// This user watches too many people on all connections together.
    OfUser,
    /// All users together do.
    OfAll,
}

/// What connections are told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Change {
    /// Of whom.
    pub user: UserId,
    /// What.
    pub shown: Shown,
    /// Which connections.
    pub to: Vec<(ConnId, Format)>,
}

#[derive(Debug)]
struct Watcher {
    user: UserId,
    format: Format,
    targets: BTreeSet<UserId>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Machine {
    limits: Limits,
    /// The name of this node.
    own: Arc<str>,
    watched: BTreeMap<UserId, Watched>,
    watchers: HashMap<ConnId, Watcher>,
    /// The connections that watch, by their user.
    connections: HashMap<UserId, BTreeSet<ConnId>>,
    watches: usize,
    /// When to look at whom.
    due: BTreeSet<(u64, UserId)>,
    /// People whose other nodes are to be read; and not before, as the medium did not answer.
    to_read: BTreeSet<UserId>,
    read_from_ms: u64,
    reread_at_ms: u64,
    /// People who were read to be on another node, which has not said how present they are there.
    to_ask: BTreeSet<UserId>,
    /// Users with whom what others may see, or what they may see of others, may have changed.
    to_check: BTreeSet<UserId>,
    /// Not before, as the store did not answer.
    check_from_ms: u64,
    /// Pushes that wait for no time.
    at_once: Vec<Change>,
    /// The medium answered last.
    heard_at_ms: u64,
    /// Since when every listing of nodes named this one.
    listed_since_ms: Option<u64>,
}

impl Machine {
    /// Nobody watches anybody. `own` is the name of this node.
    pub(super) fn new(limits: Limits, own: Arc<str>, now: Now) -> Self {
        Self {
            limits,
            own,
            watched: BTreeMap::new(),
            watchers: HashMap::new(),
            connections: HashMap::new(),
            watches: 0,
            due: BTreeSet::new(),
            to_read: BTreeSet::new(),
            read_from_ms: 0,
            reread_at_ms: now.at_ms + REREAD_MS,
            to_ask: BTreeSet::new(),
            to_check: BTreeSet::new(),
            check_from_ms: 0,
            at_once: Vec::new(),
            heard_at_ms: now.at_ms,
            listed_since_ms: None,
        }
    }

    /// Watches, over all connections.
    pub(super) const fn watches(&self) -> usize {
        self.watches
    }

    /// Whether anybody watches this user, so that it matters how present they are.
    pub(super) fn is_watched(&self, user: UserId) -> bool {
        self.watched.contains_key(&user)
    }

    /// Whether this user has connections that watch.
    pub(super) fn watches_with(&self, user: UserId) -> bool {
        self.connections.contains_key(&user)
    }

    /// Users that watch or are watched: of whom the routes of this node matter.
    pub(super) fn concerned(&self) -> Vec<UserId> {
        let all: BTreeSet<UserId> = self
            .watched
            .keys()
            .chain(self.connections.keys())
            .copied()
            .collect();
        all.into_iter().collect()
    }

    /// Whether anybody who is watched may be connected elsewhere.
    pub(super) fn looks_elsewhere(&self) -> bool {
        !self.watched.is_empty()
    }

    // ---- what is -------------------------------------------------------------------------------------------

    /// A user is so present on this node, with these connections. Those of their connections that are not there any
    /// more watch nobody.
    pub(super) fn here(&mut self, user: UserId, state: State, connections: &[ConnId], now: Now) {
        if let Some(watching) = self.connections.get(&user) {
            let gone: Vec<ConnId> = watching
                .iter()
                .filter(|conn| !connections.contains(conn))
                .copied()
                .collect();
            gone.into_iter().for_each(|conn| self.unwatch(conn));
        }
        if let Some(watched) = self.watched.get_mut(&user) {
            watched.here = state;
            self.look(user, now);
        }
    }

    /// Another node says how present these users are there.
    pub(super) fn told(
        &mut self,
        node: &Arc<str>,
        users: impl IntoIterator<Item = (UserId, State)>,
        now: Now,
    ) {
        if *node == self.own {
            return;
        }
        for (user, state) in users {
            if let Some(watched) = self.watched.get_mut(&user) {
                watched.told(node, state, now);
                self.look(user, now);
            }
        }
    }

    /// Another node takes its leave: its users go elsewhere, or nowhere.
    pub(super) fn leaves(&mut self, node: &str, now: Now) {
        self.each_at(node, now, |watched, node| watched.told(node, State::Offline, now));
    }

    /// What is known of other nodes may be wrong: reads all of it again.
    pub(super) fn read_again(&mut self, now: Now) {
        self.reread_at_ms = now.at_ms + REREAD_MS;
        let seen = self.watched.iter().filter(|(_, watched)| watched.is_seen());
        self.to_read.extend(seen.map(|(user, _)| *user));
    }

    /// Takes so many of the users whose other nodes are to be read. What is not known then has to be put back by
    /// [`Machine::not_read`].
    pub(super) fn take_to_read(&mut self, most: usize, now: Now) -> Vec<UserId> {
        let mut taken = Vec::new();
        while now.at_ms >= self.read_from_ms
            && taken.len() < most
            && let Some(user) = self.to_read.pop_first()
        {
            taken.push(user);
        }
        taken
    }

    /// The medium did not answer: these are still to be read, in a while.
    pub(super) fn not_read(&mut self, users: Vec<UserId>, now: Now) {
        self.read_from_ms = now.at_ms + RETRY_MS;
        let watched = users.into_iter().filter(|user| self.watched.contains_key(user));
        self.to_read.extend(watched);
    }

    /// The medium says to which nodes a user is connected; it was asked at `asked_at`.
    pub(super) fn read(&mut self, user: UserId, nodes: &[Arc<str>], asked_at: Now, now: Now) {
        self.heard_at_ms = now.at_ms;
        let Some(watched) = self.watched.get_mut(&user) else {
            return;
        };
        if watched.read(nodes, &self.own, asked_at) {
            self.to_ask.insert(user);
        }
        self.look(user, now);
    }

    /// Takes so many of the users whose other nodes are to be asked how present they are there.
    pub(super) fn take_to_ask(&mut self, most: usize) -> Vec<UserId> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(user) = self.to_ask.pop_first()
        {
            taken.push(user);
        }
        taken
    }

    /// The medium lists the nodes that live; `None` if it did not answer.
    pub(super) fn nodes(&mut self, nodes: Option<&[Arc<str>]>, now: Now) {
        let Some(nodes) = nodes else {
            if now.at_ms.saturating_sub(self.heard_at_ms) >= self.limits.node_ttl_ms {
                // A node that died meanwhile would be believed for ever.
                self.forget_elsewhere(&|_| true, now);
            }
            return;
        };
        if now.at_ms.saturating_sub(self.heard_at_ms) >= self.limits.node_ttl_ms {
            self.read_again(now);
        }
        self.heard_at_ms = now.at_ms;
        if !nodes.contains(&self.own) {
            self.listed_since_ms = None;
            return;
        }
        let since_ms = *self.listed_since_ms.get_or_insert(now.at_ms);
        if now.at_ms - since_ms >= TRUSTED_MS {
            self.forget_elsewhere(&|node| !nodes.iter().any(|other| **other == *node), now);
        }
    }

    /// Nobody is connected to these nodes: they have been silent for longer than the grace.
    fn forget_elsewhere(&mut self, is_gone: &dyn Fn(&str) -> bool, now: Now) {
        let grace_ms = self.limits.grace_ms;
        let mut changed = Vec::new();
        for (user, watched) in &mut self.watched {
            if watched.forget(is_gone) {
                watched.gone_for(grace_ms, now);
                changed.push(*user);
            }
        }
        changed.into_iter().for_each(|user| self.look(user, now));
    }

    fn each_at(&mut self, node: &str, now: Now, mut each: impl FnMut(&mut Watched, &Arc<str>)) {
        let mut changed = Vec::new();
        for (user, watched) in &mut self.watched {
            if let Some(node) = watched.knows(node) {
                each(watched, &node);
                changed.push(*user);
            }
        }
        changed.into_iter().for_each(|user| self.look(user, now));
    }

    // ---- watches -------------------------------------------------------------------------------------------

    /// A connection watches these people from now on, and nobody else. Returns what it is shown of each, in their order.
    ///
    /// # Errors
    /// There is no room; then it watches whom it did before.
    pub(super) fn watch(&mut self, new: NewWatch, now: Now) -> Result<Vec<Shown>, NoRoom> {
        let before = self
            .watchers
            .get(&new.conn)
            .map_or(0, |watcher| watcher.targets.len());
        let targets: BTreeSet<UserId> = new.targets.iter().map(|target| target.user).collect();
        let others = self.connections.get(&new.user).map_or(0, |connections| {
            let of = |conn| self.watchers.get(conn).map_or(0, |watcher| watcher.targets.len());
            connections.iter().map(of).sum()
        });
        if others - before + targets.len() > WATCHES_PER_USER_MAX {
            return Err(NoRoom::OfUser);
        }
        if self.watches - before + targets.len() > self.limits.watches_max {
            return Err(NoRoom::OfAll);
        }
        let mut shown = Vec::with_capacity(new.targets.len());
        for target in &new.targets {
            shown.push(self.target(new.conn, target, new.read_at, now));
        }
        // Whoever stays on the list was not forgotten in between.
        let former = self.watchers.remove(&new.conn);
        for user in former.iter().flat_map(|former| &former.targets) {
            if !targets.contains(user) {
                self.leave(*user, new.conn);
            }
        }
        self.watches = self.watches - before + targets.len();
        if targets.is_empty() {
            self.forget_connection(new.user, new.conn);
            return Ok(shown);
        }
        self.connections.entry(new.user).or_default().insert(new.conn);
        self.watchers.insert(
            new.conn,
            Watcher {
                user: new.user,
                format: new.format,
                targets,
            },
        );
        Ok(shown)
    }

    /// A connection watches a person.
    fn target(&mut self, conn: ConnId, target: &Target, read_at: Now, now: Now) -> Shown {
        let is_first = !self.watched.get(&target.user).is_some_and(Watched::is_seen);
        let watched = self.watched.entry(target.user).or_default();
        watched.admit(conn, target.may_see);
        watched.here = target.here;
        if !target.may_see {
            return Shown::default();
        }
        match &target.elsewhere {
            Some(nodes) => {
                if watched.read(nodes, &self.own, read_at) {
                    self.to_ask.insert(target.user);
                }
            }
            None => {
                self.to_read.insert(target.user);
            }
        }
        if is_first {
            watched.begin(target.last_seen_ms);
        } else {
            self.look(target.user, now);
        }
        self.watched
            .get(&target.user)
            .map_or_else(Shown::default, Watched::shown)
    }

    /// A connection watches nobody any more.
    fn unwatch(&mut self, conn: ConnId) {
        let Some(watcher) = self.watchers.remove(&conn) else {
            return;
        };
        self.watches -= watcher.targets.len();
        for user in &watcher.targets {
            self.leave(*user, conn);
        }
        self.forget_connection(watcher.user, conn);
    }

    fn forget_connection(&mut self, user: UserId, conn: ConnId) {
        if let Some(connections) = self.connections.get_mut(&user) {
            connections.remove(&conn);
            if connections.is_empty() {
                self.connections.remove(&user);
            }
        }
    }

    fn leave(&mut self, user: UserId, conn: ConnId) {
        if let Some(watched) = self.watched.get_mut(&user)
            && watched.dismiss(conn)
        {
            self.watched.remove(&user);
            self.to_read.remove(&user);
            self.to_ask.remove(&user);
        }
    }

    // ---- who may see whom ----------------------------------------------------------------------------------

    /// What this user may see, or what others may see of them, may have changed.
    pub(super) fn rights_changed(&mut self, user: UserId) {
        if self.is_watched(user) || self.watches_with(user) {
            self.to_check.insert(user);
        }
    }

    /// It may have changed for everybody.
    pub(super) fn all_rights_changed(&mut self) {
        self.to_check.extend(self.connections.keys());
    }

    /// Takes the watches to check: watchers, and whom each watches. None of them is shown anything until
    /// [`Machine::checked`] says that it may be.
    pub(super) fn take_to_check(&mut self, now: Now) -> Vec<(UserId, Vec<UserId>)> {
        let mut pairs: BTreeMap<UserId, BTreeSet<UserId>> = BTreeMap::new();
        if now.at_ms < self.check_from_ms {
            return Vec::new();
        }
        for user in std::mem::take(&mut self.to_check) {
            for conn in self.connections.get(&user).into_iter().flatten() {
                if let Some(watcher) = self.watchers.get(conn) {
                    pairs.entry(user).or_default().extend(&watcher.targets);
                }
            }
            for conn in self.watched.get(&user).into_iter().flat_map(Watched::connections) {
                if let Some(watcher) = self.watchers.get(&conn) {
                    pairs.entry(watcher.user).or_default().insert(user);
                }
            }
        }
        let list = |(watcher, targets): (UserId, BTreeSet<UserId>)| (watcher, targets.into_iter().collect());
        pairs.into_iter().map(list).collect()
    }

    /// It could not be found out whom this user may see: they see nobody, until it can be.
    pub(super) fn not_checked(&mut self, watcher: UserId, targets: &[UserId], now: Now) {
        for target in targets {
            self.checked(watcher, *target, false, now);
        }
        self.rights_changed(watcher);
        self.check_from_ms = now.at_ms + RETRY_MS;
    }

    /// A user may see a person, or may not. A watch of theirs that this changes is told: where they may not, what a
    /// stranger is.
    pub(super) fn checked(&mut self, watcher: UserId, target: UserId, may_see: bool, now: Now) {
        let Some(watched) = self.watched.get_mut(&target) else {
            return;
        };
        let was_seen = watched.is_seen();
        let mut to = Vec::new();
        for conn in self.connections.get(&watcher).into_iter().flatten() {
            if let Some(watcher) = self.watchers.get(conn)
                && watched.connections().any(|other| other == *conn)
                && watched.admit(*conn, may_see)
            {
                to.push((*conn, watcher.format));
            }
        }
        if to.is_empty() {
            return;
        }
        if may_see && !was_seen {
            watched.begin(0);
            self.to_read.insert(target);
        }
        let seen = watched.shown();
        if seen != Shown::default() {
            self.at_once.push(Change {
                user: target,
                shown: if may_see { seen } else { Shown::default() },
                to,
            });
        }
        self.look(target, now);
    }

    // ---- what is shown -------------------------------------------------------------------------------------

    /// Looks at a person as soon as it may be shown what they did.
    fn look(&mut self, user: UserId, now: Now) {
        let Some(watched) = self.watched.get_mut(&user) else {
            return;
        };
        if let Some(at_ms) = watched.next_look(self.limits.grace_ms, now)
            && at_ms != watched.due_ms.unwrap_or(u64::MAX)
        {
            if let Some(due_ms) = watched.due_ms.replace(at_ms) {
                self.due.remove(&(due_ms, user));
            }
            self.due.insert((at_ms, user));
        }
    }

    /// When there is something to do without any event, in milliseconds since the start.
    pub(super) fn due_ms(&self) -> Option<u64> {
        let first = self.due.first().map(|(at_ms, _)| *at_ms);
        let at_once = (!self.at_once.is_empty() || !self.to_ask.is_empty()).then_some(0);
        let check = (!self.to_check.is_empty()).then_some(self.check_from_ms);
        let read = (!self.to_read.is_empty()).then_some(self.read_from_ms);
        let reread = self.looks_elsewhere().then_some(self.reread_at_ms);
        [first, at_once, check, read, reread].into_iter().flatten().min()
    }

    /// What is to be told now.
    pub(super) fn step(&mut self, now: Now) -> Vec<Change> {
        if now.at_ms >= self.reread_at_ms {
            self.read_again(now);
        }
        let mut changes = std::mem::take(&mut self.at_once);
        while let Some((at_ms, user)) = self.due.first().copied()
            && at_ms <= now.at_ms
        {
            self.due.pop_first();
            let Some(watched) = self.watched.get_mut(&user) else {
                continue;
            };
            watched.due_ms = None;
            if watched.catch_up(self.limits.grace_ms, now) {
                let shown = watched.shown();
                let to: Vec<_> = watched
                    .seeing()
                    .filter_map(|conn| self.watchers.get(&conn).map(|watcher| (conn, watcher.format)))
                    .collect();
                if !to.is_empty() {
                    changes.push(Change { user, shown, to });
                }
            }
            self.look(user, now);
        }
        changes
    }
}

#[cfg(test)]
mod properties_tests;
#[cfg(test)]
mod tests;
