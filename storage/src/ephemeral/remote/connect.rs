//! Connections to Redis for a [pool](pool): connecting, time-outs, tests. It decides which errors end a connection. It
//! must never report more of an error than its kind: the message may contain what was sent.
//!
//! The `redis` crate's own manager connects without a time-out, and does not notice a connection that was reset.

use std::fmt;
use std::time::Duration;

use r2d2::ManageConnection;
use redis::io::tcp::TcpSettings;
use redis::io::tcp::socket2::TcpKeepalive;
use redis::{Client, Connection, RedisError, RedisResult};

use super::settings::{RemoteSettings, UrlError};
use pool::{ConnectError, DriverTimeouts, PoolPolicy, PoolSettings, RETRY_FIRST};

/// How long until a peer that vanished silently is noticed, approximately, on connections that only wait.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// A connection that was idle for this long is tested before it is used again, because not every call may be repeated.
const IDLE: Duration = Duration::from_secs(1);

/// Makes and tests connections.
pub(super) struct RedisManager {
    client: Client,
    connect_timeout: Duration,
    read_timeout: Duration,
    write_timeout: Duration,
}

/// One connection.
pub(super) struct Pooled {
    pub(super) connection: Connection,
    /// The server has closed it.
    pub(super) gone: bool,
}

impl RedisManager {
    pub(super) fn new(settings: &RemoteSettings) -> Result<Self, UrlError> {
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(TcpKeepalive::new().with_time(KEEPALIVE));
        let info = settings.info()?.set_tcp_settings(tcp);
        Ok(Self {
            client: Client::open(info).map_err(|_| UrlError)?,
            connect_timeout: settings.connect_timeout,
            read_timeout: settings.read_timeout,
            write_timeout: settings.write_timeout,
        })
    }

    /// A connection outside the pool, logged in, without a time limit for answers.
    pub(super) fn connect_alone(&self) -> RedisResult<Connection> {
        let connection = self.client.get_connection_with_timeout(self.connect_timeout)?;
        connection.set_write_timeout(Some(self.write_timeout))?;
        Ok(connection)
    }
}

impl ManageConnection for RedisManager {
    type Connection = Pooled;
    type Error = NoRedis;

    fn connect(&self) -> Result<Pooled, NoRedis> {
        let connection = self.connect_alone()?;
        connection
            .set_read_timeout(Some(self.read_timeout))
            .map_err(NoRedis)?;
        Ok(Pooled {
            connection,
            gone: false,
        })
    }

    fn is_valid(&self, pooled: &mut Pooled) -> Result<(), NoRedis> {
        Ok(redis::cmd("PING").exec(&mut pooled.connection)?)
    }

    fn has_broken(&self, pooled: &mut Pooled) -> bool {
        pooled.gone || !redis::ConnectionLike::is_open(&pooled.connection)
    }
}

/// The pool's settings. The pool connects only while a call waits for a connection, and a call waits only if the
/// breaker has let it through. So no attempt bypasses the breaker, and it alone decides the pauses between attempts.
pub(super) fn pool_settings(settings: &RemoteSettings) -> PoolSettings {
    PoolSettings {
        name: "redis".to_owned(),
        max: u32::try_from(settings.connections_max).unwrap_or(u32::MAX),
        min_idle: Some(0),
        acquire_timeout: settings.connect_timeout + settings.read_timeout,
        max_lifetime: None,
        keepalive: None,
        validate_after_idle: IDLE,
        retry_longest: RETRY_FIRST,
        ..PoolSettings::default()
    }
}

/// What the pool needs to know of connections.
pub(super) struct Policy {
    timeouts: DriverTimeouts,
}

impl Policy {
    pub(super) const fn new(settings: &RemoteSettings) -> Self {
        Self {
            timeouts: DriverTimeouts {
                connect: settings.connect_timeout,
                answer: settings.read_timeout,
            },
        }
    }
}

impl PoolPolicy<RedisManager> for Policy {
    /// The first failed attempt is reported to the callers that wait; the breaker decides whether there is another.
    fn connect_error(&self, _: &NoRedis) -> ConnectError {
        ConnectError::Permanent
    }

    fn driver_timeouts(&self) -> Option<DriverTimeouts> {
        Some(self.timeouts)
    }
}

/// Why there is no connection.
pub(super) struct NoRedis(pub(super) RedisError);

impl From<RedisError> for NoRedis {
    fn from(error: RedisError) -> Self {
        Self(error)
    }
}

impl fmt::Display for NoRedis {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        kind(&self.0).fmt(formatter)
    }
}

impl fmt::Debug for NoRedis {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl std::error::Error for NoRedis {}

/// The kind of an error, without its message.
pub(super) fn kind(error: &RedisError) -> impl fmt::Display {
    match error.code() {
        _ if error.is_timeout() => "timed out".to_owned(),
        _ if error.is_connection_refusal() => "connection refused".to_owned(),
        _ if error.is_connection_dropped() => "connection closed".to_owned(),
        Some(code) => code.to_owned(),
        None => format!("{:?}", error.kind()),
    }
}
