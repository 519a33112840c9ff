//! `[redis]`: where nodes share what may vanish.

use std::path::PathBuf;

use serde::Deserialize;

use super::{ConfigError, SecretUrl, section::section};

/// Bytes of a prefix, at most.
const PREFIX_BYTES_MAX: usize = 64;

section! {
    /// what may vanish, shared by several nodes; without it each node keeps to itself what others need not know
    pub struct Redis in [redis] {
        /// redis://HOST:PORT/DATABASE or rediss://; empty: none
        url: SecretUrl = SecretUrl::default();
        /// else the password is in the URL or in IMSERVER_REDIS_PASSWORD
        password_file: PathBuf = PathBuf::new();
        /// what all keys begin with, so that several systems can share a server
        prefix: String = "imserver:".to_owned();
        /// how nodes tell each other of news: pubsub or streams
        hints: HintsBy = HintsBy::PubSub;
        /// connecting, in milliseconds
        connect_ms: u64 = 1_000, in 10..=60_000;
        /// an answer
        read_ms: u64 = 100, in 10..=60_000;
        /// a command, until it is sent
        write_ms: u64 = 200, in 10..=60_000;
    }
}

/// The two ways of hints.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum HintsBy {
    /// Publish and subscribe: quickest, and lost while a node is not connected.
    PubSub,
    /// Bounded streams: a node that was cut off for a moment finds what it missed.
    Streams,
}

impl Redis {
    /// What no range says.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let scheme = self.url.expose().split_once("://").map(|(scheme, _)| scheme);
        if !self.url.is_empty() && !matches!(scheme, Some("redis" | "rediss")) {
            return Err(ConfigError::Refused(
                "redis.url must begin with redis:// or rediss://".to_owned(),
            ));
        }
        let length = 1..=PREFIX_BYTES_MAX;
        if !length.contains(&self.prefix.len()) || self.prefix.contains(['*', '?', '[', ' ']) {
            return Err(ConfigError::Refused(format!(
                "redis.prefix must have 1 to {PREFIX_BYTES_MAX} bytes, and none of * ? [ or space"
            )));
        }
        Ok(())
    }
}
