//! The interfaces in terms of the domain, and the limits that both implementations respect.

use std::time::{Duration, Instant};

use super::queue::HintReceiver;
use crate::{Claim, Session, SessionId, Timestamp, TokenHash, User, UserId};

/// How many entries are kept, and for how long.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How long a cached session counts, a tenth more or less.
    pub session_ttl: Duration,
    /// How long it counts that a token has no session.
    pub absent_ttl: Duration,
    /// The result of a database query that took longer is not cached. Ends of sessions are remembered for longer than
    /// any entry that they may concern.
    pub lookup_max: Duration,
    /// Cached sessions and tokens without a session, in this process.
    pub sessions_max: usize,
    /// A node without a heartbeat for this long is gone.
    pub node_ttl: Duration,
    /// Nodes at once.
    pub nodes_max: usize,
    /// Users with routes, in this process.
    pub routed_users_max: usize,
    /// Routes of one user.
    pub routes_per_user_max: usize,
    /// How long a route is kept without being announced again.
    pub route_ttl: Duration,
    /// How long a code is valid.
    pub code_ttl: Duration,
    /// How often a code may be tried.
    pub code_attempts_max: u32,
    /// Codes at once, in this process.
    pub codes_max: usize,
    /// Keys with a rate, in this process.
    pub rates_max: usize,
    /// Hints that wait for a receiver.
    pub hints_max: usize,
    /// Bytes of hints that wait for a receiver.
    pub hints_bytes_max: usize,
    /// Bytes of one hint.
    pub hint_bytes_max: usize,
    /// Hashed into codes: a reader of the stored hash cannot find the code by trying all codes. The same on every node.
    pub code_secret: Secret,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            session_ttl: Duration::from_secs(60),
            absent_ttl: Duration::from_secs(5),
            lookup_max: Duration::from_secs(10),
            sessions_max: 100_000,
            node_ttl: Duration::from_secs(30),
            nodes_max: 1_000,
            routed_users_max: 1_000_000,
            routes_per_user_max: 64,
            route_ttl: Duration::from_hours(24),
            code_ttl: Duration::from_secs(300),
            code_attempts_max: 5,
            codes_max: 100_000,
            rates_max: 100_000,
            hints_max: 10_000,
            hints_bytes_max: 16 * 1024 * 1024,
            hint_bytes_max: 64 * 1024,
            code_secret: Secret::default(),
        }
    }
}

/// Secret bytes; `Debug` does not show them.
#[derive(Clone, Default)]
pub struct Secret(pub Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

// ---- sessions -------------------------------------------------------------------------------------------------

/// The sessions of tokens, as the database had them a short while ago.
///
/// **An ended session does not come back.** A reader might find a session in the database, be overtaken by its end
/// and by the removal of the cache entry, and only then write the entry. So every look-up that finds nothing
/// gives a [`Ticket`] *before* the database is read: the number of ends so far. An entry carries its ticket's
/// number; every end takes the next number and notes it for the session that ended; an entry counts only if its
/// number is at
/// least that of the newest end that concerns it. An end that commits before the database is read is seen there;
/// one that commits later takes a higher number than the ticket, whenever the entry is written. Entries and notes of
/// ends expire, the notes later than any entry that they could concern. Tickets of a cache that has since lost its
/// memory are refused.
///
/// What remains is the time between an end's commit and [`end`](Self::end), and, where Redis could not be reached to
/// be told, until it can be or the entry expires. So live connections are ended by what the nodes tell each other,
/// never by this cache, and [`Limits::session_ttl`] is short.
pub trait SessionCache: Send + Sync {
    /// Looks a token up.
    fn find(&self, token: &TokenHash, now: Instant) -> Lookup;

    /// Keeps what the database said to a question asked *after* the ticket was given: the session, or that there is
    /// none.
    fn keep(&self, token: &TokenHash, found: Option<(&Session, &User)>, ticket: Ticket, now: Instant);

    /// Invalidates the entries that the commit concerns. Call it after the commit: for each session that ended, for
    /// the token of each new session (it may be cached as one without a session), and for each user whose profile
    /// changed.
    fn end(&self, ended: Ended, now: Instant);
}

/// A cache's answer about a token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Lookup {
    /// A session and its user.
    Found(Box<(Session, User)>),
    /// No session has this token.
    Absent,
    /// Not known: ask the database. If there is a ticket, [keep](SessionCache::keep) its answer under it.
    Unknown(Option<Ticket>),
}

/// The number of ends of sessions when the database was asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ticket {
    /// Names the cache's memory: a cache that lost its memory has another one.
    pub(super) generation: u64,
    pub(super) number: u64,
    pub(super) taken: Instant,
}

/// The entries that [`SessionCache::end`] invalidates.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Ended {
    /// All sessions of a user.
    User(UserId),
    /// One session.
    Session(SessionId),
    /// The entry of a token.
    Token([u8; 32]),
}

// ---- presence -------------------------------------------------------------------------------------------------

/// One node, as it announces itself.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Node {
    /// Unique among the nodes.
    pub name: String,
    /// The addresses at which clients reach it.
    pub address: String,
    /// When it started.
    pub since: Timestamp,
    /// Routes count only under the generation that their node's newest heartbeat had. A node that starts takes a
    /// higher one than it had before, and so does one that announces everything anew.
    pub generation: u64,
}

/// The node that a session is connected to.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Route {
    /// The node's name.
    pub node: String,
    /// The session.
    pub session: SessionId,
}

/// The answer to a heartbeat.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Heartbeat {
    /// Everything that this node announced is stored.
    Kept,
    /// Some of it was lost or could not be sent: announce everything again under a higher generation, spread over some
    /// seconds, then use that generation in heartbeats. Also the answer to the first heartbeat and to all before
    /// the new generation.
    Repeat,
    /// Nobody answered.
    Unknown,
}

/// The nodes, and the users that are connected to each.
pub trait Presence: Send + Sync {
    /// The heartbeat of this node: call it every third of [`Limits::node_ttl`]. Without it the node's routes stop
    /// counting.
    fn heartbeat(&self, node: &Node, now: Instant) -> Heartbeat;

    /// This node leaves: its routes stop counting.
    fn leave(&self, node: &Node, now: Instant);

    /// Adds sessions that are connected to this node. False if they could not be sent, and then the next answered
    /// heartbeat asks to announce everything again; or if there was no room for all of them, and then it does not.
    fn announce(&self, node: &Node, sessions: &[(UserId, SessionId)], now: Instant) -> bool;

    /// Removes sessions that are no longer connected to this node.
    fn withdraw(&self, node: &Node, sessions: &[(UserId, SessionId)], now: Instant) -> bool;

    /// The routes of each of these users, ascending, in the order of the users. `None`: not known.
    fn routes(&self, users: &[UserId], now: Instant) -> Option<Vec<Vec<Route>>>;

    /// The nodes that live, by name. `None`: not known.
    fn nodes(&self, now: Instant) -> Option<Vec<Node>>;

    /// Whether each of these users is connected anywhere. `None`: not known.
    fn is_online(&self, users: &[UserId], now: Instant) -> Option<Vec<bool>> {
        let routes = self.routes(users, now)?;
        Some(routes.iter().map(|routes| !routes.is_empty()).collect())
    }

    /// The names of the nodes that any of these users is connected to, ascending, each once. `None`: not known.
    fn nodes_of(&self, users: &[UserId], now: Instant) -> Option<Vec<String>> {
        let routes = self.routes(users, now)?;
        let mut names: Vec<String> = routes.into_iter().flatten().map(|route| route.node).collect();
        names.sort_unstable();
        names.dedup();
        Some(names)
    }
}

// ---- pasts ----------------------------------------------------------------------------------------------------

/// Reports of nodes about a store's past, for nodes that were not running then: one more witness if the store and all
/// nodes were restored from a backup.
pub trait Pasts: Send + Sync {
    /// Remembers a report about the past with this log id: the newest position of each generation. False: it could not
    /// be stored; the next report repeats it.
    fn remember(&self, log_id: u64, claim: Claim, now: Instant) -> bool;

    /// The reports about that past. `None`: not known.
    fn remembered(&self, log_id: u64, now: Instant) -> Option<Vec<Claim>>;
}

// ---- codes ----------------------------------------------------------------------------------------------------

/// The result of a try.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Checked {
    /// The code is right, and is used up now.
    Right,
    /// The code is wrong.
    Wrong {
        /// The tries that are left; after the last one the code is gone.
        left: u32,
    },
    /// There is no code: it was never sent, is too old, used up, or was tried too often.
    NoCode,
    /// Redis did not answer: the user must try again later. It may have counted as a try.
    Unknown,
}

/// Verification codes. Each is valid for a limited time, for a few tries, and only once.
pub trait Codes: Send + Sync {
    /// Stores a hash of the code for this purpose, such as an address to be confirmed; an earlier one is replaced.
    /// False: it was not stored; do not send it.
    fn issue(&self, purpose: &str, code: &str, now: Instant) -> bool;

    /// Tries a code. Of several concurrent tries with the right code exactly one is [`Checked::Right`].
    fn check(&self, purpose: &str, code: &str, now: Instant) -> Checked;
}

// ---- rates ----------------------------------------------------------------------------------------------------

/// How often something may happen: the average rate and the burst.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    /// The average distance between two; at least a microsecond.
    pub every: Duration,
    /// The burst after a pause; at least one.
    pub burst: u32,
}

/// Whether it may happen now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Taken {
    /// Yes, and it was counted.
    Allowed,
    /// No, and it was not counted.
    Refused {
        /// The wait until it may, if nothing else happens meanwhile. [`Duration::MAX`]: never, it exceeds the burst.
        retry_after: Duration,
    },
}

/// Rates by key, by the generic cell rate algorithm: one number a key, the time at which everything taken so far
/// would have been due at the average rate.
pub trait RateLimits: Send + Sync {
    /// Takes all of `count`, or nothing. If the shared rate is not known, this node's own rate decides.
    fn take(&self, key: &str, rate: Rate, count: u32, now: Instant) -> Taken;
}

/// The algorithm, in microseconds: what is due so far (as a time, in the past where nothing is) becomes what is due
/// then, or how long to wait.
pub(super) fn take(due: u64, now: u64, rate: Rate, count: u32) -> Result<u64, Duration> {
    let (every, tolerance) = microseconds(rate);
    if count > rate.burst.max(1) {
        return Err(Duration::MAX);
    }
    let due = due
        .max(now)
        .saturating_add(every.saturating_mul(u64::from(count)));
    let allowed_from = due.saturating_sub(tolerance);
    if allowed_from <= now {
        Ok(due)
    } else {
        Err(Duration::from_micros(allowed_from - now))
    }
}

/// The average distance, and how much may be due at once. Bounded, so that a script's floating-point numbers are
/// exact.
pub(super) fn microseconds(rate: Rate) -> (u64, u64) {
    const MOST: u64 = 1 << 50;
    let every = u64::try_from(rate.every.as_micros())
        .unwrap_or(MOST)
        .clamp(1, MOST);
    let tolerance = every.saturating_mul(u64::from(rate.burst.max(1))).min(MOST);
    (every.min(tolerance), tolerance)
}

// ---- hints ----------------------------------------------------------------------------------------------------

/// The receivers of a hint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HintTarget<'a> {
    /// The node of this name.
    Node(&'a str),
    /// Every node that has subscribed, the sender too if it has.
    All,
}

/// Wake-ups between nodes: heads of conversations, or frames that need not arrive. A lost hint costs only latency.
pub trait Hints: Send + Sync {
    /// Sends a hint. False: it was too large, or could not be sent.
    fn publish(&self, target: HintTarget<'_>, bytes: &[u8], now: Instant) -> bool;

    /// Receives the hints that are sent to this node, or to all, from now on. With [`Remote`](super::Remote) that is
    /// from the moment the connection is made: the first thing received is [`Hint::Lost`](super::Hint::Lost).
    fn subscribe(&self, node: &str) -> HintReceiver;
}
