//! How to reach a PostgreSQL store, and the safety of the connection: a password or a superuser never crosses a network
//! in plain text. It owns the parsing of the address; it must never print a secret.

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use postgres::{Config, config::Host};

use crate::{error::OpenError, sqlite::Identity, write::Rules};
use pool::PoolSettings;

/// How to open a [`PostgresStore`](super::PostgresStore).
#[derive(Clone, Eq, PartialEq)]
pub struct PostgresOptions {
    /// `postgresql://user@host:port/database?sslmode=…`, or the `key=value` form. `sslmode` is `disable`, `prefer` (the
    /// default), `require` or `verify-full`. The last two are the same here: a server whose certificate does not prove
    /// its name is never used. `prefer` means the same if the server is on another machine. Without encryption only the
    /// loopback and Unix sockets are allowed.
    pub url: String,
    /// Replaces the URL's password.
    pub password: Option<String>,
    /// A file with the password, read again for every connection; replaces both.
    pub password_file: Option<PathBuf>,
    /// A file of PEM certificates to trust, as `/etc/ssl/certs/ca-certificates.crt`; nothing else is trusted.
    pub root_certificates: Option<PathBuf>,
    /// The limits, enforced from now on; existing data may exceed them.
    pub rules: Rules,
    /// The identity of a new database; an existing one keeps its own. Both numbers are random if the epoch is 0.
    pub identity: Identity,
    /// The name in `pg_stat_activity`.
    pub application_name: String,
    /// How many writers may commit at once.
    pub writers_max: usize,
    /// The pool of reading connections, shared by all readers. A query's longest wait for connections, a repetition
    /// included, is [`PoolSettings::acquire_timeout`].
    pub readers: PoolSettings,
    /// How long making a connection may take.
    pub connect_timeout: Duration,
    /// How long a statement may take before the server gives it up.
    pub statement_timeout: Duration,
    /// How long a statement may wait for another transaction's lock.
    pub lock_timeout: Duration,
    /// How long to look for a commit whose outcome was lost with its connection, before the outcome is reported as
    /// unknown.
    pub deadline: Duration,
    /// Which commits a promoted standby may lack. [`Failover::Lossy`] unless the operator vouches for the other.
    pub failover: Failover,
    /// Accept a server that does not keep what it acknowledged (`fsync`, `full_page_writes` or
    /// `synchronous_commit` off). For tests.
    pub unsafe_durability: bool,
}

/// What is known of a standby that becomes the primary.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Failover {
    /// It may lack acknowledged commits: another timeline is another past.
    #[default]
    Lossy,
    /// Replication is synchronous, and only a synchronous standby is ever promoted: another timeline counts as a start
    /// of the server, unless a process remembers more.
    Lossless,
}

impl PostgresOptions {
    /// The defaults: [`Rules::default`], a random identity, four writers, 1 s to connect, 3 s for a statement,
    /// 2 s for a lock, 3 s to find out about a lost commit; up to ten connections that read, two of them kept when
    /// idle, and 500 ms to wait for one.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            password: None,
            password_file: None,
            root_certificates: None,
            rules: Rules::default(),
            identity: Identity::default(),
            application_name: "imserver".to_owned(),
            writers_max: 4,
            readers: PoolSettings {
                name: "postgres-readers".to_owned(),
                min_idle: Some(2),
                acquire_timeout: Duration::from_millis(500),
                retry_longest: RETRY_LONGEST,
                leak_after: Some(Duration::from_secs(30)),
                ..PoolSettings::default()
            },
            connect_timeout: Duration::from_secs(1),
            statement_timeout: Duration::from_secs(3),
            lock_timeout: Duration::from_millis(800),
            deadline: Duration::from_millis(900),
            failover: Failover::default(),
            unsafe_durability: false,
        }
    }

    /// The options in the driver's form, without the password of a file.
    pub(super) fn config(&self) -> Result<Config, OpenError> {
        // The driver knows nothing beyond `require`, and asks its caller to verify.
        let url = self.url.replace("sslmode=verify-full", "sslmode=require");
        // The driver's error may repeat parts of the URL.
        let mut config: Config = url.parse().map_err(|_| {
            OpenError::Refused(
                "the PostgreSQL address cannot be read: write postgresql://user@host:5432/database"
                    .to_owned(),
            )
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(OpenError::Refused(
                "the PostgreSQL address names no host: write postgresql://user@host:5432/database".to_owned(),
            ));
        }
        if let Some(password) = &self.password {
            config.password(password);
        }
        let asked = self
            .asked()
            .map(|(name, value)| format!("-c {name}={}", value.replace(' ', "\\ ")));
        let own = asked.join(" ");
        // Every statement finds its rows by an index, one after the other, and is planned once: the statistics of a
        // young table would mislead the planner soon after. The operator's settings come last and win.
        let options = match config.get_options() {
            Some(theirs) => format!("{own} {theirs}"),
            None => own,
        };
        config
            .options(&options)
            .application_name(&self.application_name)
            .connect_timeout(self.connect_timeout)
            .tcp_user_timeout(self.deadline)
            .keepalives(true)
            .keepalives_idle(KEEPALIVE)
            .keepalives_interval(KEEPALIVE)
            .keepalives_retries(3);
        Ok(config)
    }
}

impl PostgresOptions {
    /// The settings that each connection requests, and that are read back before it is used: times in milliseconds.
    pub(super) fn asked(&self) -> [(&'static str, String); 11] {
        let milliseconds = |duration: Duration| duration.as_millis().max(1).to_string();
        let word = |word: &str| word.to_owned();
        [
            ("statement_timeout", milliseconds(self.statement_timeout)),
            ("lock_timeout", milliseconds(self.lock_timeout)),
            (
                "idle_in_transaction_session_timeout",
                milliseconds(IDLE_IN_TRANSACTION),
            ),
            ("default_transaction_isolation", word("read committed")),
            ("synchronous_commit", word("on")),
            ("client_min_messages", word("warning")),
            ("jit", word("off")),
            ("plan_cache_mode", word("force_generic_plan")),
            ("enable_seqscan", word("off")),
            ("enable_hashjoin", word("off")),
            ("enable_mergejoin", word("off")),
        ]
    }

    /// The settings that the operator's own options in the URL leave unchanged.
    pub(super) fn demanded(&self) -> Vec<(&'static str, String)> {
        let url = self.url.parse::<Config>().ok();
        let theirs = url
            .as_ref()
            .and_then(Config::get_options)
            .unwrap_or_default()
            .to_owned();
        let is_ours = |(name, _): &(&'static str, String)| !theirs.contains(name);
        self.asked().into_iter().filter(is_ours).collect()
    }
}

/// A server that is back is noticed within this time.
const RETRY_LONGEST: Duration = Duration::from_secs(1);
/// A transaction that its client forgot, for example after a pause of the machine, releases its locks after this time.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(10);
/// A silent peer is probed after this time, and again at the same interval.
const KEEPALIVE: Duration = Duration::from_secs(5);

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PostgresOptions")
            .field("rules", &self.rules)
            .field("application_name", &self.application_name)
            .field("writers_max", &self.writers_max)
            .field("readers", &self.readers)
            .finish_non_exhaustive()
    }
}

/// Every host is this machine.
pub(super) fn is_local(config: &Config) -> bool {
    let named = config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    });
    let addressed = config.get_hostaddrs();
    if addressed.is_empty() {
        named
    } else {
        addressed.iter().all(IpAddr::is_loopback)
    }
}

/// The password in a file, without the line's end.
pub(super) fn read_password(path: &Path) -> Result<String, OpenError> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        OpenError::failed(
            format!("the password file {} cannot be read: {error}", path.display()),
            error,
        )
    })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
