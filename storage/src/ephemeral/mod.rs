//! What may vanish: cached sessions, who is connected where, verification codes, rates, and hints
//! between nodes.
//!
//! It owns nothing that a promise rests on. Every write here follows the commit of what it says, every answer may
//! be "not known", and then the database is asked or the thing is done without. It must never make a request fail
//! because another system did, never wait longer than its time-outs, and never hold anything without a limit.
//!
//! [`Memory`] keeps all of it in this process, for a node that is alone. [`Remote`] keeps it in a Redis that several
//! nodes share: one primary, not a Redis Cluster, because its scripts touch several keys. Both implement the same
//! interfaces and pass the same tests.
//!
//! Every call takes the time from its caller, who gives times that do not go back. [`Memory`] expires by it;
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
