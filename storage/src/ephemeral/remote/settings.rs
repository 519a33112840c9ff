//! The settings of the connection to Redis.

use std::fmt;
use std::time::Duration;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

use crate::ephemeral::Limits;
use pool::breaker::BreakerSettings;

/// How Redis is reached and used.
#[derive(Clone)]
pub struct RemoteSettings {
    /// `redis://[user:password@]host[:port][/database]`, or `rediss://` for TLS, whose certificates the system's
    /// roots must vouch for.
    pub url: String,
    /// What every key and channel begins with: two clusters may share a server.
    pub prefix: String,
    /// Names the past of the store: state of another past is not found.
    pub log_id: u64,
    /// How long making a connection may take, logging in included. Looking a name up may take longer.
    pub connect_timeout: Duration,
    /// How long Redis may take to answer; also how long a call waits for a connection in use.
    pub read_timeout: Duration,
    /// How long sending may block.
    pub write_timeout: Duration,
    /// Connections at once, besides one for each subscription. At least 1, at most what a [pool](pool) can have.
    pub connections_max: usize,
    /// The settings of the circuit breaker.
    pub breaker: BreakerSettings,
    /// The transport of hints.
    pub hints_by: HintsBy,
    /// How much is kept, and for how long.
    pub limits: Limits,
}

/// How hints travel.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum HintsBy {
    /// By channels: nothing is stored, and a node loses the hints that are sent while it is not connected.
    #[default]
    PubSub,
    /// By streams: a node that was disconnected for a short time gets the hints that it missed.
    Streams,
}

impl RemoteSettings {
    /// The defaults, for this server.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: "im:".to_owned(),
            log_id: 0,
            connect_timeout: Duration::from_secs(1),
            read_timeout: Duration::from_millis(100),
            write_timeout: Duration::from_millis(200),
            connections_max: 8,
            breaker: BreakerSettings::default(),
            hints_by: HintsBy::default(),
            limits: Limits::default(),
        }
    }

    pub(super) fn info(&self) -> Result<ConnectionInfo, UrlError> {
        // The parser's own message may repeat the URL, including the password.
        let info = self.url.as_str().into_connection_info().map_err(|_| UrlError)?;
        if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            // Named, because a program in which several are compiled has no default. It fails where there is one.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        Ok(info)
    }
}

impl fmt::Debug for RemoteSettings {
    /// Without the URL, which may hold a password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RemoteSettings")
            .field("prefix", &self.prefix)
            .field("log_id", &self.log_id)
            .field("connect_timeout", &self.connect_timeout)
            .field("read_timeout", &self.read_timeout)
            .field("write_timeout", &self.write_timeout)
            .field("connections_max", &self.connections_max)
            .field("hints_by", &self.hints_by)
            .finish_non_exhaustive()
    }
}

/// The URL of Redis cannot be used. It is not repeated: it may hold a password.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the URL of Redis is not like redis://[user:password@]host[:port][/database] or rediss://…")]
pub struct UrlError;

/// Why Redis cannot be used at all.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RemoteError {
    /// See [`UrlError`].
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The pool of connections cannot be made: a setting is beyond its limits, or the system gives no threads.
    #[error("the connections to Redis: {0}")]
    Pool(String),
}
