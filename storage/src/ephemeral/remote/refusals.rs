//! Error answers of Redis: counted by kind, and logged for each kind at first and then at intervals. An error answer
//! proves neither that Redis is down nor that it is healthy.
//!
//! It must never repeat a message of the server: the message may contain what was sent.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use log::Level;
use parking_lot::Mutex;
use redis::{ErrorKind, RedisError};

/// A kind that continues is logged again after this.
const AGAIN: Duration = Duration::from_mins(5);
/// Kinds that are distinguished, at most; the server has about twenty.
const KINDS_MAX: usize = 32;
/// Bytes of a kind's name, at most.
const KIND_BYTES_MAX: usize = 32;

/// An error answer of Redis.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Refusal(String);

impl Refusal {
    /// `None` if the error is not an answer of the server: a time-out, a lost connection.
    pub(super) fn of(error: &RedisError) -> Option<Self> {
        if error.is_io_error() || error.is_timeout() || error.is_connection_dropped() {
            return None;
        }
        let of_several = error.clone().into_server_errors();
        let first = of_several.as_ref().and_then(|errors| errors.first());
        let code = error.code().or_else(|| first.map(|(_, error)| error.code()));
        let kind = match (code, error.kind()) {
            // An unknown script is sent again; that is no error.
            (Some("NOSCRIPT"), _) => return None,
            (_, ErrorKind::AuthenticationFailed) => "WRONGPASS",
            (Some(code), _) => code,
            (None, ErrorKind::UnexpectedReturnType | ErrorKind::Parse) => "UNEXPECTED",
            (None, _) => return None,
        };
        let is_name = kind
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let kind = if is_name && kind.len() <= KIND_BYTES_MAX {
            kind
        } else {
            "ERR"
        };
        Some(Self(kind.to_owned()))
    }

    pub(super) fn kind(&self) -> &str {
        &self.0
    }

    /// Its level in the log, its meaning and the remedy.
    fn meaning(&self) -> (Level, &'static str) {
        match self.kind() {
            "NOPERM" => (
                Level::Error,
                "its user lacks rights: give it all commands on the keys and channels that begin with redis.prefix",
            ),
            "NOAUTH" => (
                Level::Error,
                "it wants a password: set redis.password_file or IMSERVER_REDIS_PASSWORD",
            ),
            "WRONGPASS" => (
                Level::Error,
                "it does not take the user and password: check redis.url and redis.password_file",
            ),
            "MOVED" | "ASK" | "CROSSSLOT" | "CLUSTERDOWN" | "TRYAGAIN" => (
                Level::Error,
                "it is a Redis Cluster, and imserver needs one primary: name a server that is not part of a cluster",
            ),
            "WRONGTYPE" | "UNEXPECTED" => (
                Level::Error,
                "keys that begin with redis.prefix hold what imserver did not write: choose another redis.prefix, or \
                 delete them",
            ),
            "READONLY" => (Level::Error, "it is a replica: name the primary"),
            "OOM" => (
                Level::Warn,
                "its memory is full: raise maxmemory, or set maxmemory-policy to allkeys-lru",
            ),
            "MISCONF" => (
                Level::Error,
                "it takes no writes because it cannot save: mend its disk, or switch its persistence off",
            ),
            "FULL" => (
                Level::Error,
                "it has as many nodes as it may have: are their names made up anew at each start?",
            ),
            "LOADING" | "MASTERDOWN" | "BUSY" => (Level::Warn, "it is not ready yet"),
            _ => (
                Level::Error,
                "it refuses a command: imserver needs Redis 6 or newer, and a user that may run scripts and every command in \
                 them",
            ),
        }
    }
}

/// A sentence for people.
impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, meaning) = self.meaning();
        write!(formatter, "Redis answers with the error {}: {meaning}", self.0)
    }
}

#[derive(Clone, Copy, Debug)]
struct Kind {
    count: u64,
    said_at: Instant,
    unsaid: u64,
}

/// All refusals so far. Shared by every thread.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    kinds: Mutex<BTreeMap<Refusal, Kind>>,
}

impl Refusals {
    /// Counts a refusal, and logs it if it is due.
    pub(super) fn note(&self, refusal: Refusal, now: Instant) {
        let (level, _) = refusal.meaning();
        let sentence = refusal.to_string();
        if let Some(unsaid) = self.to_say(refusal, now) {
            match unsaid {
                0 => log::log!(level, "{sentence}; doing without what it refuses"),
                _ => log::log!(level, "{sentence}; {unsaid} more of them since this was said"),
            }
        }
    }

    /// If it is due in the log now: how many were not logged since the last time.
    fn to_say(&self, refusal: Refusal, now: Instant) -> Option<u64> {
        let mut kinds = self.kinds.lock();
        if let Some(kind) = kinds.get_mut(&refusal) {
            kind.count += 1;
            if now.saturating_duration_since(kind.said_at) < AGAIN {
                kind.unsaid += 1;
                return None;
            }
            kind.said_at = now;
            return Some(std::mem::take(&mut kind.unsaid));
        }
        if kinds.len() >= KINDS_MAX {
            return None;
        }
        let new = Kind {
            count: 1,
            said_at: now,
            unsaid: 0,
        };
        kinds.insert(refusal, new);
        Some(0)
    }

    /// Each kind with its number.
    pub(super) fn counts(&self) -> Vec<(String, u64)> {
        let kinds = self.kinds.lock();
        let counts = kinds
            .iter()
            .map(|(refusal, kind)| (refusal.0.clone(), kind.count));
        counts.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_said_once_and_then_now_and_then() {
        let refusals = Refusals::default();
        let start = Instant::now();
        let of = |kind: &str| Refusal(kind.to_owned());
        assert_eq!(refusals.to_say(of("OOM"), start), Some(0));
        assert_eq!(refusals.to_say(of("OOM"), start), None);
        assert_eq!(refusals.to_say(of("NOPERM"), start), Some(0));
        assert_eq!(refusals.to_say(of("OOM"), start + AGAIN / 2), None);
        assert_eq!(refusals.to_say(of("OOM"), start + AGAIN), Some(2));
        assert_eq!(
            refusals.counts(),
            [("NOPERM".to_owned(), 1), ("OOM".to_owned(), 4)]
        );
        for number in 0..2 * KINDS_MAX {
            refusals.note(of(&format!("E{number}")), start);
        }
        assert_eq!(refusals.counts().len(), KINDS_MAX);
    }

    #[test]
    fn every_kind_says_what_to_do() {
        for kind in [
            "NOPERM",
            "NOAUTH",
            "WRONGPASS",
            "MOVED",
            "WRONGTYPE",
            "READONLY",
            "OOM",
            "MISCONF",
            "LOADING",
            "ERR",
        ] {
            let sentence = Refusal(kind.to_owned()).to_string();
            assert!(
                sentence.starts_with(&format!("Redis answers with the error {kind}: it"))
                    || sentence.contains("keys that begin with"),
                "{sentence}"
            );
        }
    }
}
