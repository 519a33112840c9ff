//! Everything in a Redis that several nodes share. It owns the keys, whose names all begin with the configured
//! prefix and which all expire, and the scripts that change several of them as one step.

mod codes;
mod connect;
mod hints;
mod link;
mod pasts;
mod presence;
mod rates;
mod refusals;
mod rehearsal;
mod sessions;
mod settings;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::contract::{Ended, Limits};
use super::memory::Memory;
use link::Link;
pub use link::LinkStatus;
pub use settings::{HintsBy, RemoteError, RemoteSettings, UrlError};

/// What the scripts count on lives for so long after its last use: longer than anything that rests on it.
const STATE_TTL: Duration = Duration::from_hours(7 * 24);

/// All that may vanish, in Redis.
#[derive(Debug)]
pub struct Remote {
    link: Arc<Link>,
    limits: Limits,
    prefix: String,
    log_id: u64,
    hints_by: HintsBy,
    /// Ends of sessions that could not be told yet.
    owed: Mutex<Owed>,
    /// By node, what the newest answered heartbeat met.
    heard: Mutex<BTreeMap<String, presence::Heard>>,
    /// Decides rates while Redis does not.
    local: Memory,
}

/// Ends that could not be told, each with the version of its newest addition.
#[derive(Clone, Debug, Default)]
struct Owed {
    ends: BTreeMap<Ended, u64>,
    /// There were too many: everything cached is to be forgotten.
    all: Option<u64>,
    version: u64,
}

/// Ends that are told one by one. It is cheaper to forget everything than to tell of more.
const OWED_MAX: usize = 100;

impl Remote {
    /// Does not connect yet; that is done by the first call, and again by later ones. Starts the pool's threads.
    ///
    /// # Errors
    /// The URL is not one of Redis, or there can be no pool of connections.
    pub fn new(settings: RemoteSettings, now: Instant) -> Result<Self, RemoteError> {
        Ok(Self {
            link: Arc::new(Link::new(&settings, now)?),
            local: Memory::new(settings.limits.clone(), now),
            limits: settings.limits,
            prefix: settings.prefix,
            log_id: settings.log_id,
            hints_by: settings.hints_by,
            owed: Mutex::default(),
            heard: Mutex::default(),
        })
    }

    /// For metrics: how the connections and the breaker are.
    pub fn status(&self) -> LinkStatus {
        self.link.status()
    }

    /// Of what is true in one past only: in another one it is not found, and expires.
    fn key(&self, kind: &str, name: &str) -> String {
        format!("{}{:016x}:{kind}:{name}", self.prefix, self.log_id)
    }

    /// Of what does not depend on the past.
    fn shared_key(&self, kind: &str, name: &str) -> String {
        format!("{}{kind}:{name}", self.prefix)
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// Up to a tenth less, so that what was written together does not expire together.
fn jittered(duration: Duration) -> u64 {
    let milliseconds = milliseconds(duration);
    milliseconds - u64::from(link::random()) % (milliseconds / 10 + 1)
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
