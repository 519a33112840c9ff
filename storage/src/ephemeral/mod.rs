//! State that may vanish at any time: cached sessions, the nodes that users are connected to, verification codes,
//! rates, and hints between nodes.
//!
//! No promise depends on it. Every write here follows a commit in the database, and every answer may be "not known":
//! the caller then asks the database, or does without. It must never make a request fail because another system
//! failed, never wait longer than its time-outs, and never hold anything without a limit.
//!
//! [`Memory`] keeps all of it in this process, for a node that is alone. [`Remote`] keeps it in a Redis that several
//! nodes share: one primary, not a Redis Cluster, because its scripts touch several keys. Both implement the same
//! interfaces and pass the same tests.
//!
//! Every call takes the time from its caller; these times must not go back. [`Memory`] expires entries by it;
//! [`Remote`] leaves expiry to Redis and uses it for its [breaker](pool::breaker). All of it may be called from any
//! thread; [`Memory`] holds a lock for microseconds, [`Remote`] blocks for its time-outs at most. Calls to [`Remote`]
//! belong on workers, never on an event loop.

mod contract;
mod encode;
mod memory;
mod queue;
mod remote;
#[cfg(test)]
mod tests;

pub use contract::{
    Checked, Codes, Ended, Heartbeat, HintTarget, Hints, Limits, Lookup, Node, Pasts, Presence, Rate,
    RateLimits, Route, Secret, SessionCache, Taken, Ticket,
};
pub use memory::Memory;
pub use queue::{Hint, HintReceiver};
pub use remote::{HintsBy, LinkStatus, Remote, RemoteError, RemoteSettings, UrlError};
