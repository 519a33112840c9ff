//! Ephemeral state in a Redis that several nodes share. It owns the keys, which all begin with the configured prefix
//! and all expire, and the scripts that change several keys in one step.

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

/// How long the scripts' own state lives after its last use: longer than any entry that depends on it.
const STATE_TTL: Duration = Duration::from_hours(7 * 24);

/// All ephemeral state, in Redis.
#[derive(Debug)]
pub struct Remote {
    link: Arc<Link>,
    limits: Limits,
    prefix: String,
    log_id: u64,
    hints_by: HintsBy,
    /// Ends of sessions that Redis was not told yet.
    owed: Mutex<Owed>,
    /// By node, the result of the newest answered heartbeat.
    heard: Mutex<BTreeMap<String, presence::Heard>>,
    /// Decides rates while Redis does not answer.
    local: Memory,
}

/// Ends that Redis was not told, each with the version of its newest addition.
#[derive(Clone, Debug, Default)]
struct Owed {
    ends: BTreeMap<Ended, u64>,
    /// There were too many: the whole cache must be invalidated.
    all: Option<u64>,
    version: u64,
}

/// Ends that are sent one by one, at most. For more it is cheaper to invalidate the whole cache.
const OWED_MAX: usize = 100;

impl Remote {
    /// Starts the pool's threads. It does not connect: the first call does, and later calls do so again if necessary.
    ///
    /// # Errors
    /// The URL is not one of Redis, or the pool cannot be made.
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

    /// For metrics: the state of the connections and of the breaker.
    pub fn status(&self) -> LinkStatus {
        self.link.status()
    }

    /// The key of state that belongs to one past of the store: other pasts do not find it, and it expires.
    fn key(&self, kind: &str, name: &str) -> String {
        format!("{}{:016x}:{kind}:{name}", self.prefix, self.log_id)
    }

    /// The key of state that does not depend on the past.
    fn shared_key(&self, kind: &str, name: &str) -> String {
        format!("{}{kind}:{name}", self.prefix)
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// Up to a tenth less, so that entries written together do not expire together.
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
