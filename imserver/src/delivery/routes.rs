//! Where each user's devices are connected on this node.
//!
//! The loop that owns a connection makes its route, before the device reads anything, and removes it; other threads
//! only look routes up. A session has one route for its device, and one for a stream of events: a second connection takes
//! the place of the first of its kind, and never that of the other.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use netcore::ConnId;
use parking_lot::{Mutex, RwLock};
use protocol::v1::GoAwayReason;
use storage::{SessionId, Timestamp, UserId};

use crate::wire::Format;

const SHARDS: usize = 64;

/// One connected device.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Route {
    /// Its connection.
    pub conn: ConnId,
    /// Its session.
    pub session: SessionId,
    /// How its frames are written.
    pub format: Format,
    /// When the route was made, by this node's clock.
    pub since: Timestamp,
    /// Its client says that nobody is at the device.
    pub is_away: bool,
}

impl Route {
    /// Whether it is that of a stream of events.
    fn is_stream(&self) -> bool {
        self.format == Format::Stream
    }
}

/// Something that a loop must do with one of its connections.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Kick {
    /// The connection.
    pub conn: ConnId,
    /// What to do.
    pub what: KickTo,
}

/// What to do with a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum KickTo {
    /// End it, and tell the client the reason.
    End(GoAwayReason),
    /// The device has something that the store does not have: it must start over.
    StartOver,
}

/// Looked up for every receiver of every message, so the faster hash is used; the server makes the user ids itself.
type Shard = RwLock<foldhash::HashMap<UserId, Vec<Route>>>;

/// All routes of this node. Shared by every thread.
#[derive(Debug)]
pub(crate) struct Routes {
    shards: Box<[Shard]>,
    /// Grows with every revocation, so that a session that was checked before a revocation is checked again.
    revocations: AtomicU64,
    /// Sessions that ended recently.
    ended: Mutex<EndedLately>,
    /// Connections to end or to let start over, per loop. Bounded by twice the number of connections: one that is to
    /// end has left the routes, and one that is to start over is listed once at most.
    kicks: Box<[Mutex<Vec<Kick>>]>,
}

impl Routes {
    /// No routes yet, for a server with this many loops.
    pub(crate) fn new(loops: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            revocations: AtomicU64::new(0),
            ended: Mutex::default(),
            kicks: (0..loops).map(|_| Mutex::default()).collect(),
        }
    }

    fn shard(&self, user: UserId) -> &Shard {
        // The index is below the length by the remainder.
        &self.shards[(user.0 % SHARDS as u64) as usize]
    }

    /// Read this before looking up a session; [`Routes::insert`] compares it afterwards.
    pub(crate) fn revocations(&self) -> u64 {
        self.revocations.load(Ordering::SeqCst)
    }

    /// Makes a route, unless a session was revoked since `checked_at` was read. Ends an earlier connection of the same
    /// session.
    ///
    /// # Errors
    /// [`Stale`]: a session was revoked in between; look the session up again.
    pub(crate) fn insert(&self, user: UserId, route: Route, checked_at: u64) -> Result<(), Stale> {
        let mut shard = self.shard(user).write();
        if self.revocations() != checked_at {
            return Err(Stale);
        }
        let routes = shard.entry(user).or_default();
        let of_its_kind =
            |other: &Route| other.session == route.session && other.is_stream() == route.is_stream();
        let replaced = routes.iter().position(of_its_kind);
        match replaced {
            Some(index) => {
                let old = std::mem::replace(&mut routes[index], route);
                drop(shard);
                self.kick(old.conn, KickTo::End(GoAwayReason::Replaced));
            }
            None => routes.push(route),
        }
        Ok(())
    }

    /// Removes a connection's route, and never the route of another connection. Returns its session, if that has no
    /// route any more.
    pub(crate) fn remove(&self, user: UserId, conn: ConnId) -> Option<SessionId> {
        let mut shard = self.shard(user).write();
        let routes = shard.get_mut(&user)?;
        let index = routes.iter().position(|route| route.conn == conn)?;
        let session = routes.swap_remove(index).session;
        let is_gone = routes.iter().all(|route| route.session != session);
        if routes.is_empty() {
            shard.remove(&user);
        }
        is_gone.then_some(session)
    }

    /// A connection's client says whether nobody is at the device. Returns whether it said something else before.
    pub(crate) fn set_away(&self, user: UserId, conn: ConnId, is_away: bool) -> bool {
        let mut shard = self.shard(user).write();
        let routes = shard.get_mut(&user).into_iter().flatten();
        let route = routes.into_iter().find(|route| route.conn == conn);
        route.is_some_and(|route| std::mem::replace(&mut route.is_away, is_away) != is_away)
    }

    /// Calls `each` with every route of a user.
    pub(crate) fn of(&self, user: UserId, mut each: impl FnMut(&Route)) {
        if let Some(routes) = self.shard(user).read().get(&user) {
            routes.iter().for_each(&mut each);
        }
    }

    /// The number of sessions that have a route now.
    pub(crate) fn count(&self) -> usize {
        let of = |shard: &Shard| shard.read().values().map(Vec::len).sum::<usize>();
        self.shards.iter().map(of).sum()
    }

    /// Every session that has a route now.
    pub(crate) fn sessions(&self) -> Vec<(UserId, SessionId)> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let shard = shard.read();
            let routes = shard
                .iter()
                .flat_map(|(user, routes)| routes.iter().map(|route| (*user, route.session)));
            all.extend(routes);
        }
        all
    }

    /// Ends an older connection of a session that was connected to another node at this time. A late hint does not end
    /// a newer connection.
    pub(crate) fn replaced_elsewhere(&self, user: UserId, session: SessionId, at: Timestamp) {
        let mut gone = None;
        {
            let mut shard = self.shard(user).write();
            if let Some(routes) = shard.get_mut(&user)
                && let Some(index) = routes
                    .iter()
                    .position(|route| route.session == session && !route.is_stream() && route.since < at)
            {
                gone = Some(routes.swap_remove(index).conn);
                if routes.is_empty() {
                    shard.remove(&user);
                }
            }
        }
        if let Some(conn) = gone {
            self.kick(conn, KickTo::End(GoAwayReason::Replaced));
        }
    }

    /// Whether a session has a route.
    pub(crate) fn is_online(&self, user: UserId, session: SessionId) -> bool {
        let mut online = false;
        self.of(user, |route| online |= route.session == session);
        online
    }

    /// Notes that these sessions have ended. The caller ends their connections elsewhere.
    pub(crate) fn note_revocation(&self, sessions: &[SessionId]) {
        self.ended.lock().add(sessions, Instant::now());
        self.revocations.fetch_add(1, Ordering::SeqCst);
    }

    /// Ends the connections of sessions that are no longer valid. Call it after the store has committed the end of the
    /// sessions.
    pub(crate) fn revoke(&self, user: UserId, sessions: &[SessionId], reason: GoAwayReason) {
        if sessions.is_empty() {
            return;
        }
        self.ended.lock().add(sessions, Instant::now());
        let mut gone = Vec::new();
        {
            let mut shard = self.shard(user).write();
            self.revocations.fetch_add(1, Ordering::SeqCst);
            if let Some(routes) = shard.get_mut(&user) {
                routes.retain(|route| {
                    let ends = sessions.contains(&route.session);
                    if ends {
                        gone.push(route.conn);
                    }
                    !ends
                });
            }
        }
        for conn in gone {
            self.kick(conn, KickTo::End(reason));
        }
    }

    /// The device of a session reported more than the store has.
    pub(crate) fn start_over(&self, user: UserId, session: SessionId) {
        let mut conn = None;
        self.of(user, |route| {
            // A stream reports nothing.
            if route.session == session && route.format != Format::Stream {
                conn = Some(route.conn);
            }
        });
        if let Some(conn) = conn {
            self.kick(conn, KickTo::StartOver);
        }
    }

    /// Whether this session ended so recently that a cache may still hold it, as far as this node knows.
    pub(crate) fn ended_lately(&self, session: SessionId) -> bool {
        self.ended.lock().has(session, Instant::now())
    }

    fn kick(&self, conn: ConnId, what: KickTo) {
        if let Some(kicks) = self.kicks.get(conn.loop_id().index()) {
            let (mut kicks, kick) = (kicks.lock(), Kick { conn, what });
            if what != KickTo::StartOver || !kicks.contains(&kick) {
                kicks.push(kick);
            }
        }
    }

    /// What a loop must do with its connections; it asks at the end of every turn and at every tick.
    pub(crate) fn take_kicks(&self, loop_index: usize) -> Vec<Kick> {
        self.kicks
            .get(loop_index)
            .map(|kicks| std::mem::take(&mut *kicks.lock()))
            .unwrap_or_default()
    }
}

/// How long ends of sessions are remembered: longer than any cache keeps a session.
const REMEMBERED: Duration = Duration::from_secs(180);
/// Sessions that ended recently, at most. With more, every session counts as ended recently for a while.
const ENDED_MAX: usize = 100_000;

#[derive(Debug, Default)]
struct EndedLately {
    sessions: HashMap<SessionId, Instant>,
    /// Ends were forgotten too early: until then, every session counts as ended recently.
    blind_until: Option<Instant>,
}

impl EndedLately {
    fn add(&mut self, sessions: &[SessionId], now: Instant) {
        if self.sessions.len() + sessions.len() > ENDED_MAX {
            self.sessions
                .retain(|_, at| now.saturating_duration_since(*at) < REMEMBERED);
        }
        if self.sessions.len() + sessions.len() > ENDED_MAX {
            self.sessions.clear();
            self.blind_until = Some(now + REMEMBERED);
        }
        self.sessions
            .extend(sessions.iter().map(|session| (*session, now)));
    }

    fn has(&self, session: SessionId, now: Instant) -> bool {
        self.blind_until.is_some_and(|until| now < until)
            || self
                .sessions
                .get(&session)
                .is_some_and(|at| now.saturating_duration_since(*at) < REMEMBERED)
    }
}

/// A session was revoked during the look-up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stale;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_remembered_for_a_while() {
        let (mut ended, now) = (EndedLately::default(), Instant::now());
        ended.add(&[SessionId(1)], now);
        assert!(ended.has(SessionId(1), now) && !ended.has(SessionId(2), now));
        assert!(!ended.has(SessionId(1), now + REMEMBERED));
    }

    #[test]
    fn with_too_many_ends_no_session_is_believed_for_a_while() {
        let (mut ended, now) = (EndedLately::default(), Instant::now());
        let many: Vec<SessionId> = (0..ENDED_MAX as u64).map(SessionId).collect();
        ended.add(&many, now);
        assert!(!ended.has(SessionId(u64::MAX), now));
        ended.add(&[SessionId(u64::MAX - 1)], now);
        assert!(ended.has(SessionId(u64::MAX), now));
        assert!(!ended.has(SessionId(u64::MAX), now + REMEMBERED));
        assert!(ended.sessions.len() <= ENDED_MAX);
    }
}
