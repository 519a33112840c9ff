//! Everything in this process. It owns the state and its bounds; nothing here does any I/O.

mod codes;
mod expiring;
mod hints;
mod presence;
mod rates;
mod sessions;

pub(super) use codes::hash as code_hash;

use std::time::Instant;

use parking_lot::Mutex;

use super::Limits;
use super::contract::{
    Checked, Codes, Ended, Heartbeat, HintTarget, Hints, Lookup, Node, Presence, Rate, RateLimits, Route,
    SessionCache, Taken, Ticket,
};
use super::queue::HintReceiver;
use crate::{Session, SessionId, TokenHash, User, UserId};

/// All ephemeral state, in this process: for a single node.
#[derive(Debug)]
pub struct Memory {
    limits: Limits,
    sessions: Mutex<sessions::Sessions>,
    presence: Mutex<presence::Routes>,
    codes: Mutex<codes::Issued>,
    rates: Mutex<rates::Rates>,
    hints: Mutex<hints::Subscribers>,
}

impl Memory {
    /// Empty. `now` must not be after the time of any later call.
    pub fn new(limits: Limits, now: Instant) -> Self {
        Self {
            sessions: Mutex::new(sessions::Sessions::new(limits.sessions_max)),
            presence: Mutex::default(),
            codes: Mutex::new(codes::Issued::new(limits.codes_max)),
            rates: Mutex::new(rates::Rates::new(now)),
            hints: Mutex::default(),
            limits,
        }
    }
}

impl SessionCache for Memory {
    fn find(&self, token: &TokenHash, now: Instant) -> Lookup {
        self.sessions.lock().find(token, now)
    }

    fn keep(&self, token: &TokenHash, found: Option<(&Session, &User)>, ticket: Ticket, now: Instant) {
        self.sessions.lock().keep(&self.limits, token, found, ticket, now);
    }

    fn end(&self, ended: Ended, now: Instant) {
        self.sessions.lock().end(&self.limits, ended, now);
    }
}

impl Presence for Memory {
    fn heartbeat(&self, node: &Node, now: Instant) -> Heartbeat {
        self.presence.lock().heartbeat(&self.limits, node, now)
    }

    fn leave(&self, node: &Node, _now: Instant) {
        self.presence.lock().leave(node);
    }

    fn announce(&self, node: &Node, sessions: &[(UserId, SessionId)], _now: Instant) -> bool {
        self.presence.lock().announce(&self.limits, node, sessions)
    }

    fn withdraw(&self, node: &Node, sessions: &[(UserId, SessionId)], _now: Instant) -> bool {
        self.presence.lock().withdraw(node, sessions);
        true
    }

    fn routes(&self, users: &[UserId], now: Instant) -> Option<Vec<Vec<Route>>> {
        Some(self.presence.lock().routes(users, now))
    }

    fn nodes(&self, now: Instant) -> Option<Vec<Node>> {
        Some(self.presence.lock().nodes(now))
    }
}

impl Codes for Memory {
    fn issue(&self, purpose: &str, code: &str, now: Instant) -> bool {
        self.codes.lock().issue(&self.limits, purpose, code, now)
    }

    fn check(&self, purpose: &str, code: &str, now: Instant) -> Checked {
        self.codes.lock().check(&self.limits, purpose, code, now)
    }
}

impl RateLimits for Memory {
    fn take(&self, key: &str, rate: Rate, count: u32, now: Instant) -> Taken {
        self.rates.lock().take(&self.limits, key, rate, count, now)
    }
}

impl Hints for Memory {
    fn publish(&self, target: HintTarget<'_>, bytes: &[u8], _now: Instant) -> bool {
        bytes.len() <= self.limits.hint_bytes_max && self.hints.lock().publish(target, bytes)
    }

    fn subscribe(&self, node: &str) -> HintReceiver {
        self.hints.lock().subscribe(&self.limits, node)
    }
}
