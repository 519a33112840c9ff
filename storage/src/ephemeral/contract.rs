//! The interfaces, in terms of the domain, with the limits that both implementations keep.

use std::time::{Duration, Instant};

use super::queue::HintReceiver;
use crate::{Claim, Session, SessionId, Timestamp, TokenHash, User, UserId};

/// How much is kept, and for how long.
#[derive(Clone, Debug)]
pub struct Limits {
    /// A found session is believed for so long, a tenth more or less.
    pub session_ttl: Duration,
    /// That a token belongs to nobody is believed for so long.
    pub absent_ttl: Duration,
    /// A look into the database that took longer is not kept; what ended is remembered beyond all that could be.
    pub lookup_max: Duration,
    /// Sessions and absences, in this process.
    pub sessions_max: usize,
    /// A node that was not heard of for so long is gone.
    pub node_ttl: Duration,
    /// Nodes at once.
    pub nodes_max: usize,
    /// Users with routes, in this process.
    pub routed_users_max: usize,
    /// Routes of one user.
    pub routes_per_user_max: usize,
    /// Routes are kept for so long without being announced again.
    pub route_ttl: Duration,
    /// How long a code is good for.
    pub code_ttl: Duration,
    /// How often a code may be tried.
    pub code_attempts_max: u32,
    /// Codes at once, in this process.
    pub codes_max: usize,
    /// Keys with a rate, in this process.
    pub rates_max: usize,
    /// Hints that wait for a receiver.
    pub hints_max: usize,
    /// And their bytes.
    pub hints_bytes_max: usize,
    /// Bytes of one hint.
    pub hint_bytes_max: usize,
    /// Hashed into codes, so that who reads a stored one cannot find it by trying a million. The same on every node.
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

/// Bytes that are never shown.
#[derive(Clone, Default)]
pub struct Secret(pub Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

// ---- sessions -------------------------------------------------------------------------------------------------

/// Which tokens are good, as the database said a short while ago.
///
/// **An ended session does not come back.** A reader might find a session in the database, be overtaken by its end
/// and by the removal of what is cached, and only then cache what it found. So every look-up that finds nothing
/// gives a [`Ticket`] *before* the database is read: the number of ends so far. What is kept carries its ticket's
/// number; every end takes the next number and notes it for what ended; an entry counts only if its number is at
/// least that of the newest end that concerns it. An end that commits before the database is read is seen there;
/// one that commits later takes a higher number than the ticket, whenever the entry is written. Entries and notes of
/// ends expire, the notes later than any entry that they could concern. Tickets of a cache that has since lost its
/// memory are refused.
///
/// What remains is the time between an end's commit and [`end`](Self::end), and, where Redis could not be reached to
/// be told, until it can be or the entry expires. So live connections are ended by what the nodes tell each other,
/// never by this cache, and [`Limits::session_ttl`] is short.
pub trait SessionCache: Send + Sync {
    /// What is known of a token.
    fn find(&self, token: &TokenHash, now: Instant) -> Lookup;

    /// Keeps what the database said to a question asked *after* the ticket was given: the session, or that there is
    /// none.
    fn keep(&self, token: &TokenHash, found: Option<(&Session, &User)>, ticket: Ticket, now: Instant);

    /// What is cached of it counts no more. To be called after the commit that changed it, for each session that
    /// ended; for a token whose session was created (it may be cached as nobody's); for a user whose profile changed.
    fn end(&self, ended: Ended, now: Instant);
}

/// What a session cache knows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Lookup {
    /// A session and whose it is.
    Found(Box<(Session, User)>),
    /// No session has this token.
    Absent,
    /// Ask the database, and [keep](SessionCache::keep) what it says under this ticket, where there is one.
    Unknown(Option<Ticket>),
}

/// When the database was asked, in ends of sessions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ticket {
    /// Of which memory: a cache that lost it has another.
    pub(super) generation: u64,
    pub(super) number: u64,
    pub(super) taken: Instant,
}

/// What [`SessionCache::end`] concerns.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Ended {
    /// All sessions of a user.
    User(UserId),
    /// One session.
    Session(SessionId),
    /// Whatever the token leads to.
    Token([u8; 32]),
}

// ---- presence -------------------------------------------------------------------------------------------------

/// One node, as it announces itself.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Node {
    /// Unique among the nodes.
    pub name: String,
    /// Where clients reach it.
    pub address: String,
    /// When it started.
    pub since: Timestamp,
    /// Routes count only under the generation that their node's newest heartbeat had. A node that starts takes a
    /// higher one than it had before, and so does one that announces everything anew.
    pub generation: u64,
}

/// Where a session is connected.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Route {
    /// The node's name.
    pub node: String,
    /// The session.
    pub session: SessionId,
}

/// What a heartbeat met.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Heartbeat {
    /// All that this node announced is there.
    Kept,
    /// Something of it was lost or could not be said: announce everything anew under a higher generation, spread over
    /// some seconds, and then take it. Also the answer to the first heartbeat, and to all until then.
    Repeat,
    /// Nobody answered.
    Unknown,
}

/// Who is connected, and to which node.
pub trait Presence: Send + Sync {
    /// Says that this node lives; to be called every third of [`Limits::node_ttl`]. Its routes vanish with it.
    fn heartbeat(&self, node: &Node, now: Instant) -> Heartbeat;

    /// Says that this node is going: its routes count no more.
    fn leave(&self, node: &Node, now: Instant);

    /// Says which sessions are connected to this node, in addition to those before. False: it could not be said, and
    /// the next heartbeat that is answered asks for a repetition; or there was no room for all of them, and then it
    /// does not.
    fn announce(&self, node: &Node, sessions: &[(UserId, SessionId)], now: Instant) -> bool;

    /// Says that sessions are connected to this node no more.
    fn withdraw(&self, node: &Node, sessions: &[(UserId, SessionId)], now: Instant) -> bool;

    /// Where each of these users is connected, ascending, in the order of the users. `None`: not known.
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

/// What nodes have told of a store's past, for nodes that were not there: one more witness where all nodes and the
/// store were put back together.
pub trait Pasts: Send + Sync {
    /// Remembers what was told in the past with this log id: of each generation the newest position. False: it could not
    /// be said; the next time says it again.
    fn remember(&self, log_id: u64, claim: Claim, now: Instant) -> bool;

    /// What is remembered of that past. `None`: not known.
    fn remembered(&self, log_id: u64, now: Instant) -> Option<Vec<Claim>>;
}

// ---- codes ----------------------------------------------------------------------------------------------------

/// What became of a try.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Checked {
    /// It is the code, and is used up by this.
    Right,
    /// It is not.
    Wrong {
        /// So many tries are left; with none the code is gone.
        left: u32,
    },
    /// There is none: never sent, too old, used up, tried too often.
    NoCode,
    /// Nobody answered: say that it does not work just now. It may have counted as a try.
    Unknown,
}

/// Verification codes: each good for a while, for a few tries, and once.
pub trait Codes: Send + Sync {
    /// Stores a hash of the code for this purpose, such as an address to be confirmed; an earlier one is replaced.
    /// False: it was not stored, so do not send it.
    fn issue(&self, purpose: &str, code: &str, now: Instant) -> bool;

    /// Tries a code. Of any number of tries at once with the right one, one is [`Checked::Right`].
    fn check(&self, purpose: &str, code: &str, now: Instant) -> Checked;
}

// ---- rates ----------------------------------------------------------------------------------------------------

/// How often something may happen: on average, and at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    /// One each so often, on average; at least a microsecond counts.
    pub every: Duration,
    /// So many at once after a pause; at least one.
    pub burst: u32,
}

/// Whether it may happen now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Taken {
    /// Yes, and it was counted.
    Allowed,
    /// No, and it was not counted.
    Refused {
        /// It may after so long, if nothing else happens meanwhile. [`Duration::MAX`]: never, it is more than a burst.
        retry_after: Duration,
    },
}

/// Rates by key, by the generic cell rate algorithm: one number a key, the time at which everything taken so far
/// would have been due at the average rate.
pub trait RateLimits: Send + Sync {
    /// Takes `count` at once, or nothing. Where the shared rate is not known, this node's own decides.
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

/// Whom a hint is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HintTarget<'a> {
    /// The node of this name.
    Node(&'a str),
    /// Every node that has subscribed, the sender too if it has.
    All,
}

/// Wake-ups between nodes: heads of conversations, or frames that nobody misses. One that is lost costs latency.
pub trait Hints: Send + Sync {
    /// Sends one. False: it was too large, or could not be sent.
    fn publish(&self, target: HintTarget<'_>, bytes: &[u8], now: Instant) -> bool;

    /// What is sent to this node, or to all, from now on. With [`Remote`](super::Remote), from when its connection is
    /// made, which the receiver shows by [`Hint::Lost`](super::Hint::Lost) first of all.
    fn subscribe(&self, node: &str) -> HintReceiver;
}
