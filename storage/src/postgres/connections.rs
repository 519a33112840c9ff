//! How every connection is made: the settings that the store's promises rest on, asked for and checked.
//! It must never hand out a connection to a server whose settings, role or identity it has not verified.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use postgres::{Client, Config, config::SslMode};

use super::{
    failure::{Failure, Known},
    filling,
    options::{self, PostgresOptions},
    row::get,
    schema,
    session::Session,
    tls::Tls,
};
use crate::{error::OpenError, sqlite::Identity};

/// The first release with everything that is used here.
const OLDEST_SERVER: i32 = 140_000;
/// After a connection could not be made, its owner tries again no earlier than this. It is no back-off, which is the
/// breaker's: it only keeps one owner, whose connection alone is refused, from asking again for every batch.
const CONNECT_PAUSE: Duration = Duration::from_millis(100);

/// A connection that was not used for so long is tried before it is used again.
const IDLE: Duration = Duration::from_secs(1);

/// Makes connections to one database.
pub(super) struct Connector {
    config: Config,
    password_file: Option<PathBuf>,
    tls: Tls,
    /// Nothing of it leaves this machine.
    local: bool,
    unsafe_durability: bool,
    /// The database's, from the first connection on.
    identity: OnceLock<Identity>,
}

impl Connector {
    /// Connects once, and makes or updates the schema.
    pub(super) fn open(options: &PostgresOptions) -> Result<Self, OpenError> {
        let config = options.config()?;
        let local = options::is_local(&config);
        if config.get_ssl_mode() == SslMode::Disable && !local {
            return Err(OpenError(
                "without encryption PostgreSQL may be on this machine only: use sslmode=require".to_owned(),
            ));
        }
        let tls = Tls::new(options.root_certificates.as_deref())?;
        if tls.is_plain() && (!local || config.get_ssl_mode() == SslMode::Require) {
            return Err(OpenError(
                "an encrypted connection to PostgreSQL needs certificates to trust: name a file of root certificates"
                    .to_owned(),
            ));
        }
        let mut connector = Self {
            config,
            password_file: options.password_file.clone(),
            tls,
            local,
            unsafe_durability: options.unsafe_durability,
            identity: OnceLock::new(),
        };
        if !local {
            // Never falls back to plain text.
            connector.config.ssl_mode(SslMode::Require);
        }
        let mut client = connector.client().map_err(|failure| cannot_open(&failure))?;
        connector
            .check_server(&mut client)
            .map_err(|failure| cannot_open(&failure))?;
        schema::prepare(&mut client, options.identity)?;
        let found = identity(&mut client).map_err(|failure| cannot_open(&failure))?;
        connector.identity.get_or_init(|| found);
        Ok(connector)
    }

    pub(super) fn identity(&self) -> Identity {
        self.identity.get().copied().unwrap_or_default()
    }

    pub(super) fn connect(&self) -> Result<Session, Failure> {
        let mut client = self.client()?;
        self.check_server(&mut client)?;
        let found = identity(&mut client)?;
        if found != self.identity() {
            return Err(Failure::Replaced(
                "the PostgreSQL database is another one than at the start: restart to use it".to_owned(),
            ));
        }
        Ok(Session::new(client))
    }

    fn client(&self) -> Result<Client, Failure> {
        let mut config = self.config.clone();
        if let Some(path) = &self.password_file {
            let password = options::read_password(path).map_err(|error| Failure::Unreachable(error.0))?;
            config.password(password);
        }
        self.tls.connect(&config).map_err(Failure::unconnected)
    }

    /// The server keeps what it acknowledges, can be written to, and gives no more rights than are needed.
    fn check_server(&self, client: &mut Client) -> Result<(), Failure> {
        let row = client.query_one(
            "SELECT current_setting('server_version_num')::integer, pg_is_in_recovery(),
                    current_setting('transaction_read_only') = 'on', current_setting('server_encoding'),
                    current_setting('is_superuser') = 'on', current_setting('fsync'),
                    current_setting('full_page_writes'), current_setting('synchronous_commit')",
            &[],
        )?;
        let refuse = |reason: &str| Err(Failure::Misconfigured(reason.to_owned()));
        // Which server is the primary may change by itself.
        let refuse_for_now = |reason: &str| Err(Failure::Unreachable(reason.to_owned()));
        if get::<i32>(&row, 0)? < OLDEST_SERVER {
            return refuse("the PostgreSQL server is too old: 14 or newer is needed");
        }
        if get(&row, 1)? {
            return refuse_for_now("the PostgreSQL server is a standby: name the primary");
        }
        if get(&row, 2)? {
            return refuse_for_now("the PostgreSQL server is read-only");
        }
        if get::<&str>(&row, 3)? != "UTF8" {
            return refuse("the PostgreSQL database must have the encoding UTF8");
        }
        if get::<bool>(&row, 4)? && !self.local {
            return refuse("the PostgreSQL role is a superuser: use one that owns this database only");
        }
        for (column, name) in [(5, "fsync"), (6, "full_page_writes"), (7, "synchronous_commit")] {
            if get::<&str>(&row, column)? == "off" && !self.unsafe_durability {
                return refuse(&format!(
                    "the PostgreSQL server has {name} off: it would lose what was acknowledged"
                ));
            }
        }
        Ok(())
    }
}

pub(super) fn cannot_open(failure: &Failure) -> OpenError {
    OpenError(format!("the PostgreSQL database cannot be opened: {failure}"))
}

/// Who the store is, if its schema is known.
fn identity(client: &mut Client) -> Result<Identity, Failure> {
    let row = client.query_opt(
        "SELECT epoch, log_id, (SELECT coalesce(max(version), 0)::bigint FROM refinery_schema_history), filling
         FROM store",
        &[],
    )?;
    let row = row.ok_or_else(|| Failure::Replaced("the PostgreSQL database has become empty".to_owned()))?;
    if get::<i64>(&row, 2)? < schema::newest_known() {
        return Err(Failure::Replaced(
            "the PostgreSQL database has an older schema than at the start".to_owned(),
        ));
    }
    if get(&row, 3)? {
        return Err(filling::half_filled());
    }
    Ok(Identity {
        epoch: get::<i64>(&row, 0)?.cast_unsigned(),
        log_id: get::<i64>(&row, 1)?.cast_unsigned(),
    })
}

/// Where a writer gets its connection: one kept, and made again when it is lost.
#[derive(Debug)]
pub(super) struct Kept {
    connector: Arc<Connector>,
    session: Option<Session>,
    /// When it was last taken.
    used: Option<Instant>,
    /// How often the server had been given up by then.
    outages: u64,
    /// After one could not be made: when to try again.
    pause: Option<Instant>,
}

impl Kept {
    pub(super) const fn new(connector: Arc<Connector>) -> Self {
        Self {
            connector,
            session: None,
            used: None,
            outages: 0,
            pause: None,
        }
    }

    /// The connection, which may be a new one. `outages` counts how often the server was given up so far.
    pub(super) fn get(&mut self, outages: u64) -> Result<&mut Session, Failure> {
        let now = Instant::now();
        let doubtful = outages != self.outages || self.used.is_some_and(|used| now - used > IDLE);
        self.used = Some(now);
        self.outages = outages;
        // One that the server ended meanwhile looks open until it is used: a commit sent over it would be in doubt.
        let lost = |session: &mut Session| session.is_closed() || doubtful && session.probe().is_err();
        if self.session.as_mut().is_some_and(lost) {
            self.session = None;
        }
        if self.session.is_none() {
            self.session = Some(self.reconnect(now)?);
        }
        self.session
            .as_mut()
            .ok_or_else(|| Failure::Unreachable("no connection".to_owned()))
    }

    fn reconnect(&mut self, now: Instant) -> Result<Session, Failure> {
        if let Some(wait) = self.pause.and_then(|until| until.checked_duration_since(now))
            && !wait.is_zero()
        {
            return Err(Failure::LeftAlone(wait));
        }
        match self.connector.connect() {
            Ok(session) => {
                self.pause = None;
                Ok(session)
            }
            Err(failure) => {
                self.pause = Some(Instant::now() + CONNECT_PAUSE);
                Err(match failure.known() {
                    Known::Damage => failure,
                    _ => Failure::Unreachable(failure.to_string()),
                })
            }
        }
    }

    /// After a failure: leaves no transaction open, or no connection.
    pub(super) fn recover(&mut self, failure: &Failure) {
        let usable = !failure.spoils_connection() && self.session.as_mut().is_some_and(Session::recover);
        if !usable {
            self.session = None;
        }
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Connector")
            .field("local", &self.local)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// Why a pool has no connection.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{reason}")]
pub struct NoConnection {
    reason: String,
    permanent: bool,
}

impl NoConnection {
    /// Trying again is of no use until somebody acts, as with a wrong password.
    pub const fn is_permanent(&self) -> bool {
        self.permanent
    }
}

impl From<Failure> for NoConnection {
    fn from(failure: Failure) -> Self {
        Self {
            reason: failure.to_string(),
            permanent: failure.is_permanent(),
        }
    }
}

/// Makes and checks connections for a pool.
#[derive(Clone, Debug)]
pub struct PostgresManager {
    pub(super) connector: Arc<Connector>,
}

impl r2d2::ManageConnection for PostgresManager {
    type Connection = Session;
    type Error = NoConnection;

    fn connect(&self) -> Result<Session, NoConnection> {
        Ok(self.connector.connect()?)
    }

    fn is_valid(&self, session: &mut Session) -> Result<(), NoConnection> {
        Ok(session.probe()?)
    }

    fn has_broken(&self, session: &mut Session) -> bool {
        session.is_closed()
    }
}
