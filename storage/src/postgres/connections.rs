//! The setup of every connection: the settings that the store's promises rest on, requested and checked. It must never
//! hand out a connection to a server whose settings, role or identity it has not verified.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use postgres::{
    Client, Config,
    config::SslMode,
    error::{DbError, Severity},
};

use super::{
    failure::{Failure, Known},
    options::{self, Failover, PostgresOptions},
    past::{self, Life, Node, Rights},
    row::get,
    schema,
    session::Session,
    tls::Tls,
};
use crate::{error::OpenError, fate::Doom};

/// The oldest supported release: it has everything that is used here.
const OLDEST_SERVER: i32 = 140_000;
/// After a failed attempt to connect, its owner tries again no earlier than this. This is no back-off, which is the
/// breaker's: it only keeps one owner, if only its connection is refused, from asking again for every batch.
const CONNECT_PAUSE: Duration = Duration::from_millis(100);

/// What the operator must do about a pooler.
const POOLER: &str = "connect to PostgreSQL itself (a node has a pool of its own), or through a proxy that passes \
                      connections on as they are";

/// A connection that was unused for this long is tested before it is used again.
const IDLE: Duration = Duration::from_secs(1);

/// Makes connections to one database.
pub(super) struct Connector {
    config: Config,
    password_file: Option<PathBuf>,
    tls: Tls,
    /// Whether all traffic stays on this machine.
    local: bool,
    unsafe_durability: bool,
    /// Requested settings, which must be in force on every connection.
    demanded: Vec<(&'static str, String)>,
    /// Whether a promoted standby has every acknowledged commit.
    lossless: bool,
    node: Arc<Node>,
}

impl Connector {
    /// Connects once, creates or migrates the schema, and finds the past in which this process will live.
    pub(super) fn open(options: &PostgresOptions) -> Result<Self, OpenError> {
        let connector = Self::new(options)?;
        let (mut client, rights) = connector.unsettled().map_err(cannot_open)?;
        connector.refuse_shared(&mut client).map_err(cannot_open)?;
        schema::prepare(&mut client, rights, options.identity)?;
        warn_without_checksums(&mut client).map_err(cannot_open)?;
        connector.settle(&mut client, rights).map_err(cannot_open)?;
        Ok(connector)
    }

    /// Reads the options without asking the server.
    pub(super) fn new(options: &PostgresOptions) -> Result<Self, OpenError> {
        let config = options.config()?;
        let local = options::is_local(&config);
        if config.get_ssl_mode() == SslMode::Disable && !local {
            return Err(OpenError::Refused(
                "without encryption PostgreSQL may be on this machine only: use sslmode=require".to_owned(),
            ));
        }
        let tls = Tls::new(options.root_certificates.as_deref())?;
        if tls.is_plain() && (!local || config.get_ssl_mode() == SslMode::Require) {
            return Err(OpenError::Refused(
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
            demanded: options.demanded(),
            lossless: options.failover == Failover::Lossless,
            node: Arc::default(),
        };
        if !local {
            // Never falls back to plain text.
            connector.config.ssl_mode(SslMode::Require);
        }
        Ok(connector)
    }

    /// This process' memory of the store.
    pub(super) const fn node(&self) -> &Arc<Node> {
        &self.node
    }

    pub(super) fn connect(&self) -> Result<Session, Failure> {
        let (mut client, warned) = self.client()?;
        let rights = self.check_server(&mut client)?;
        let life = self.settle(&mut client, rights)?;
        Ok(Session::new(client, life, Arc::clone(&self.node), warned))
    }

    /// A connection to a sound server, of any past.
    pub(super) fn unsettled(&self) -> Result<(Client, Rights), Failure> {
        let (mut client, _) = self.client()?;
        let rights = self.check_server(&mut client)?;
        Ok((client, rights))
    }

    fn settle(&self, client: &mut Client, rights: Rights) -> Result<Life, Failure> {
        let settled = past::settle(client, rights, &self.node, self.lossless);
        if let Err(failure @ Failure::Replaced(_)) = &settled
            && self.node.lived().is_some()
        {
            self.node.fate.doom(Doom::PastOver(failure.to_string()));
        }
        settled
    }

    /// Also collects the server's notices: one may report that a commit was not replicated as required.
    fn client(&self) -> Result<(Client, Arc<AtomicBool>), Failure> {
        let mut config = self.config.clone();
        if let Some(path) = &self.password_file {
            let password =
                options::read_password(path).map_err(|error| Failure::Unreachable(error.to_string()))?;
            config.password(password);
        }
        let warned = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&warned);
        config.notice_callback(move |notice| {
            if is_unreplicated(&notice) {
                flag.store(true, Ordering::SeqCst);
            }
            if notice.parsed_severity() == Some(Severity::Warning) {
                log::warn!("PostgreSQL: {}", notice.message());
            }
        });
        let client = self.tls.connect(&config).map_err(|error| match error.as_db_error() {
            Some(answer) if answer.message().contains("startup parameter") => Failure::Misconfigured(format!(
                "the server refuses the settings that a connection asks for ({}), as PgBouncer does: {POOLER}",
                answer.message()
            )),
            _ => Failure::unconnected(error),
        })?;
        Ok((client, warned))
    }

    /// Refuses an address behind which connections share the server's, such as a pooler in transaction mode: prepared
    /// statements and settings of one would belong to another at the next transaction. While a second connection has a
    /// transaction open, the first must still be served by the same server process.
    fn refuse_shared(&self, client: &mut Client) -> Result<(), Failure> {
        const PROCESS: &str = "SELECT pg_backend_pid(), extract(epoch FROM backend_start)::text
                               FROM pg_stat_activity WHERE pid = pg_backend_pid()";
        let process = |client: &mut Client| -> Result<(String, String), Failure> {
            let rows = client.simple_query(PROCESS)?;
            let row = rows.iter().find_map(|message| {
                if let postgres::SimpleQueryMessage::Row(row) = message {
                    Some(row)
                } else {
                    None
                }
            });
            let text = |column| row.and_then(|row| row.get(column)).unwrap_or_default().to_owned();
            Ok((text(0), text(1)))
        };
        let before = process(client)?;
        let (mut other, _) = self.client()?;
        other.simple_query("BEGIN")?;
        let others = process(&mut other)?;
        let after = process(client)?;
        other.simple_query("ROLLBACK")?;
        if before == after && before != others {
            return Ok(());
        }
        Err(Failure::Misconfigured(format!(
            "connections to PostgreSQL share the server's, as behind PgBouncer with pool_mode = transaction or \
             statement: {POOLER}"
        )))
    }

    /// Checks that the settings requested at the connection's start are in force.
    fn check_settings(&self, client: &mut Client) -> Result<(), Failure> {
        let names: Vec<&str> = self.demanded.iter().map(|(name, _)| *name).collect();
        let rows = client.query(
            "SELECT name, setting FROM pg_settings WHERE name = ANY ($1)",
            &[&names],
        )?;
        for (name, asked) in &self.demanded {
            let found = rows.iter().find(|row| row.get::<_, &str>(0) == *name);
            let found: &str = found.map(|row| get(row, 1)).transpose()?.unwrap_or("unknown");
            if found != asked {
                return Err(Failure::Misconfigured(format!(
                    "PostgreSQL has {name} = {found} on a connection that asked for {asked}, as behind PgBouncer with \
                     ignore_startup_parameters = options: {POOLER}"
                )));
            }
        }
        Ok(())
    }

    /// Checks that the server keeps acknowledged commits, takes writes, and gives no more rights than needed.
    fn check_server(&self, client: &mut Client) -> Result<Rights, Failure> {
        let sql = format!(
            "SELECT current_setting('server_version_num')::integer, pg_is_in_recovery(),
                    current_setting('transaction_read_only') = 'on', current_setting('server_encoding'),
                    current_setting('is_superuser') = 'on', current_setting('fsync'),
                    current_setting('full_page_writes'), current_setting('synchronous_commit'), {}",
            Rights::COLUMNS
        );
        self.check_settings(client)?;
        let row = client.query_one(&sql, &[])?;
        let refuse = |reason: &str| Err(Failure::Misconfigured(reason.to_owned()));
        // The server that is the primary may change by itself.
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
        Rights::read(&row, 8)
    }
}

/// Without checksums a damaged page is served as if it were sound.
fn warn_without_checksums(client: &mut Client) -> Result<(), Failure> {
    let row = client.query_one("SELECT current_setting('data_checksums')", &[])?;
    if get::<&str>(&row, 0)? != "on" {
        log::warn!(
            "the PostgreSQL server has data_checksums off: it does not notice a page that its disk has damaged"
        );
    }
    Ok(())
}

/// An operator has ended a wait for the synchronous standbys: the commit is here, and perhaps nowhere else. It is
/// recognised by the place in the server's source, because its text is in the server's language.
fn is_unreplicated(notice: &DbError) -> bool {
    notice.routine() == Some("SyncRepWaitForLSN")
}

pub(super) fn cannot_open(failure: Failure) -> OpenError {
    OpenError::failed(
        format!("the PostgreSQL database cannot be opened: {failure}"),
        failure,
    )
}

/// The source of a writer's connection: one connection is kept, and made again when it is lost.
#[derive(Debug)]
pub(super) struct Kept {
    connector: Arc<Connector>,
    session: Option<Session>,
    /// When it was last taken.
    used: Option<Instant>,
    /// The count of outages at that time.
    outages: u64,
    /// After a failed attempt: the time of the next one.
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

    /// The connection, which may be a new one. `outages` counts how often the breaker has opened so far.
    pub(super) fn get(&mut self, outages: u64) -> Result<&mut Session, Failure> {
        let now = Instant::now();
        let doubtful = outages != self.outages || self.used.is_some_and(|used| now - used > IDLE);
        self.used = Some(now);
        self.outages = outages;
        // A connection that the server closed meanwhile looks open until it is used: a commit sent over it would be in
        // doubt.
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
                    Known::Nothing | Known::Again | Known::Lost => Failure::Unreachable(failure.to_string()),
                })
            }
        }
    }

    /// Whether the server reported that a commit on this connection may be on no other server.
    pub(super) fn is_unreplicated(&self) -> bool {
        self.session.as_ref().is_some_and(Session::is_unreplicated)
    }

    /// After a failure: leaves no open transaction, or no connection.
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
            .field("node", &self.node)
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
    /// Another attempt is of no use until an operator acts, for example after a wrong password.
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

/// Makes and tests connections for a pool.
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
