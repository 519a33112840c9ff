//! Opening the store that the configuration names.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use pool::{CONNECTIONS_MAX, PoolSettings};
use storage::{
    Store, Testimony,
    ephemeral::{
        self, Hints, Pasts, Presence, RateLimits, Remote, RemoteError, RemoteSettings, SessionCache,
    },
    postgres::{self, PostgresOptions, PostgresStore},
    sqlite::{Identity, SqliteOptions, SqliteStore},
};

use crate::{
    cluster::Medium,
    config::{Config, Failover, HintsBy, Redis, SecretUrl, StoreUrl},
    error::DaemonError,
    token,
};

/// Holds PostgreSQL's password, where neither the URL nor a file does.
const PASSWORD_VARIABLE: &str = "IMSERVER_STORE_PASSWORD";
/// Likewise Redis's.
const REDIS_PASSWORD_VARIABLE: &str = "IMSERVER_REDIS_PASSWORD";
/// Readers beside the workers': the planner's and the change feed's.
const READERS_BESIDE_WORKERS: usize = 2;
/// Connections beyond those that can be used at once which are nobody's mistake.
const CONNECTIONS_SPARE: usize = 4;

/// Opens the configured store, or makes it.
///
/// # Errors
/// It cannot be used as it is; the text says what to do.
pub fn open(config: &Config) -> Result<Arc<dyn Store>, DaemonError> {
    match &config.store.url {
        StoreUrl::Default => {
            create_private(&config.store.data_dir)?;
            open_sqlite(config)
        }
        StoreUrl::Sqlite(_) => open_sqlite(config),
        StoreUrl::Postgres(url) => open_postgres(config, url),
    }
}

/// Opens the configured store and what the nodes share. Where nodes have left word there of commits that the store does
/// not have, its tail was lost: a new past begins, and the store is opened in that.
///
/// # Errors
/// One of the two cannot be used as it is; the text says what to do.
pub(crate) fn open_all(config: &Config) -> Result<(Arc<dyn Store>, Option<Medium>), DaemonError> {
    let store = open(config)?;
    let Some((medium, remote)) = shared(config, Some(&store))? else {
        return Ok((store, None));
    };
    // It need not be there.
    let claims = remote.remembered(store.log_id(), Instant::now());
    let mut reader = store.reader()?;
    for claim in claims.unwrap_or_default() {
        if reader.testimony(claim)? == Testimony::Witness {
            let why = "a lost tail: nodes have left word in Redis of commits that are not there";
            store.begin_past(why)?;
            drop(reader);
            let store = open(config)?;
            let medium = shared(config, Some(&store))?.map(|(medium, _)| medium);
            return Ok((store, medium));
        }
    }
    Ok((store, Some(medium)))
}

/// For people: which store, and where.
pub fn describe(config: &Config) -> String {
    match &config.store.url {
        StoreUrl::Postgres(url) => format!("{url} (PostgreSQL)"),
        StoreUrl::Default | StoreUrl::Sqlite(_) => {
            let file = config.sqlite_file();
            let directory = file.parent().unwrap_or_else(|| Path::new(".")).to_owned();
            let directory = directory.canonicalize().unwrap_or(directory);
            format!("{} (SQLite)", directory.display())
        }
    }
}

/// What the nodes share that may vanish, if anything: a Redis, which need not be there yet.
///
/// # Errors
/// Its URL or its password file cannot be read.
pub(crate) fn medium(config: &Config) -> Result<Option<Medium>, DaemonError> {
    Ok(shared(config, None)?.map(|(medium, _)| medium))
}

/// The same, in the past of this store.
fn shared(
    config: &Config,
    store: Option<&Arc<dyn Store>>,
) -> Result<Option<(Medium, Arc<Remote>)>, DaemonError> {
    if config.redis.url.is_empty() {
        return Ok(None);
    }
    let millis = Duration::from_millis;
    let settings = &config.redis;
    let mut remote = RemoteSettings::new(redis_url(settings)?);
    remote.prefix.clone_from(&settings.prefix);
    remote.log_id = store.map_or(0, |store| store.log_id());
    remote.connect_timeout = millis(settings.connect_ms);
    remote.read_timeout = millis(settings.read_ms);
    remote.write_timeout = millis(settings.write_ms);
    remote.hints_by = match settings.hints {
        HintsBy::PubSub => ephemeral::HintsBy::PubSub,
        HintsBy::Streams => ephemeral::HintsBy::Streams,
    };
    let remote = Remote::new(remote, Instant::now()).map_err(|error| match error {
        RemoteError::Url(error) => DaemonError::Refused(format!("redis.url: {error}")),
        error @ RemoteError::Pool(_) => DaemonError::failed(error.to_string(), error),
    })?;
    let remote = Arc::new(remote);
    let (of_status, of_nodes, witness) = (Arc::clone(&remote), Arc::clone(&remote), Arc::clone(&remote));
    // The store may end before the threads that say something.
    let told = store.map(Arc::downgrade);
    let testify = move || {
        let Some(store) = told.as_ref().and_then(Weak::upgrade) else {
            return;
        };
        if let Some(claim) = store.claim()
            && !witness.remember(store.log_id(), claim, Instant::now())
        {
            log::debug!("what this node has told could not be left in Redis");
        }
    };
    let medium = Medium {
        hints: Arc::clone(&remote) as Arc<dyn Hints>,
        presence: Arc::clone(&remote) as Arc<dyn Presence>,
        sessions: Arc::clone(&remote) as Arc<dyn SessionCache>,
        rates: Arc::clone(&remote) as Arc<dyn RateLimits>,
        testify: Arc::new(testify),
        nodes: Arc::new(move || of_nodes.list_nodes(Instant::now())),
        status: Arc::new(move || of_status.status()),
    };
    Ok(Some((medium, remote)))
}

/// With the password that stands elsewhere, if it does.
fn redis_url(settings: &Redis) -> Result<String, DaemonError> {
    let url = settings.url.expose();
    let password = if settings.password_file.as_os_str().is_empty() {
        std::env::var(REDIS_PASSWORD_VARIABLE).ok()
    } else {
        let file = &settings.password_file;
        let text = std::fs::read_to_string(file)
            .map_err(DaemonError::because(format!("cannot read {}", file.display())))?;
        Some(text.trim_end_matches(['\r', '\n']).to_owned())
    };
    let Some(password) = password else {
        return Ok(url.to_owned());
    };
    let Some((scheme, rest)) = url.split_once("://") else {
        return Ok(url.to_owned());
    };
    let (user, host) = match rest.rsplit_once('@') {
        Some((userinfo, host)) => (userinfo.split(':').next().unwrap_or_default(), host),
        None => ("", rest),
    };
    Ok(format!("{scheme}://{user}:{}@{host}", percent_encoded(&password)))
}

/// As the part of a URL before its host needs it.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

fn open_postgres(config: &Config, url: &SecretUrl) -> Result<Arc<dyn Store>, DaemonError> {
    Ok(Arc::new(PostgresStore::open(postgres_options(config, url))?))
}

/// How to reach the PostgreSQL at `url`, with everything else as configured.
pub fn postgres_options(config: &Config, url: &SecretUrl) -> PostgresOptions {
    let millis = Duration::from_millis;
    let settings = &config.store;
    let set = |path: &PathBuf| (!path.as_os_str().is_empty()).then(|| path.clone());
    let mut options = PostgresOptions::new(url.expose());
    options.password = std::env::var(PASSWORD_VARIABLE).ok();
    options.password_file = set(&settings.password_file);
    options.root_certificates = set(&settings.root_certificates);
    options.rules = config.rules();
    options.application_name = format!("imserver {}", config.server.node).trim_end().to_owned();
    options.writers_max = config.lanes();
    options.connect_timeout = millis(settings.connect_ms);
    options.statement_timeout = millis(settings.statement_ms);
    options.lock_timeout = millis(settings.lock_ms);
    options.deadline = millis(settings.request_ms);
    options.readers = reading_connections(config, options.readers);
    options.failover = match settings.failover {
        Failover::Lossy => postgres::Failover::Lossy,
        Failover::Lossless => postgres::Failover::Lossless,
    };
    options
}

/// What the configuration says of the connections that read.
fn reading_connections(config: &Config, defaults: PoolSettings) -> PoolSettings {
    let (settings, workers) = (&config.store, config.workers());
    let max = if settings.connections == 0 {
        workers + READERS_BESIDE_WORKERS
    } else {
        settings.connections
    };
    if max > workers + READERS_BESIDE_WORKERS + CONNECTIONS_SPARE {
        log::warn!(
            "store.connections is {max}, but no more than {} are used at once by {workers} workers: \
             the others only cost the server memory",
            workers + READERS_BESIDE_WORKERS
        );
    }
    let max = u32::try_from(max).unwrap_or(CONNECTIONS_MAX).min(CONNECTIONS_MAX);
    let kept = u32::try_from(settings.connections_idle).unwrap_or(max);
    let lifetime = Duration::from_millis(settings.lifetime_ms);
    PoolSettings {
        max,
        min_idle: Some(kept.min(max)),
        acquire_timeout: Duration::from_millis(settings.acquire_ms),
        idle_timeout: Some(Duration::from_millis(settings.idle_ms)),
        max_lifetime: Some(lifetime),
        keepalive: defaults.keepalive.map(|keepalive| keepalive.min(lifetime / 2)),
        leak_after: Some(Duration::from_millis(settings.leak_ms)),
        ..defaults
    }
}

fn open_sqlite(config: &Config) -> Result<Arc<dyn Store>, DaemonError> {
    let random = || token::random_u63().map_err(|error| DaemonError::failed(error.to_string(), error));
    let mut options = SqliteOptions::new(config.sqlite_file());
    options.rules = config.rules();
    options.identity = Identity {
        epoch: random()?,
        log_id: random()?,
    };
    Ok(Arc::new(SqliteStore::open(options)?))
}

/// Makes a directory that only this user may enter, if it is missing.
///
/// # Errors
/// It cannot be made.
pub fn create_private(directory: &Path) -> Result<(), DaemonError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory).map_err(DaemonError::because(format!(
        "cannot make the data directory {}",
        directory.display()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pool_that_can_be_configured_can_be_built() {
        let defaults = || PostgresOptions::new("").readers;
        let mut config = Config::default();
        config.server.workers = 6;
        let settings = reading_connections(&config, defaults());
        assert_eq!((settings.max, settings.min_idle), (8, Some(2)));
        assert_eq!(settings.check(), Ok(()));
        config.store.connections = 1;
        config.store.lifetime_ms = 10_000;
        config.store.idle_ms = 1_000;
        let settings = reading_connections(&config, defaults());
        assert_eq!((settings.max, settings.min_idle), (1, Some(1)));
        assert_eq!(settings.check(), Ok(()));
        config.store.connections = 1_024;
        config.store.connections_idle = 1_024;
        assert_eq!(reading_connections(&config, defaults()).check(), Ok(()));
    }

    #[test]
    fn a_password_of_a_file_goes_into_the_url() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        std::fs::write(&file, "p@ss:word/\n").unwrap();
        for (url, whole) in [
            ("redis://cache:6379/1", "redis://:p%40ss%3Aword%2F@cache:6379/1"),
            ("rediss://ann@cache", "rediss://ann:p%40ss%3Aword%2F@cache"),
            ("redis://ann:old@cache", "redis://ann:p%40ss%3Aword%2F@cache"),
        ] {
            let settings = Redis {
                url: url.into(),
                password_file: file.clone(),
                ..Redis::default()
            };
            assert_eq!(redis_url(&settings).unwrap(), whole);
        }
        let missing = Redis {
            url: "redis://cache".into(),
            password_file: directory.path().join("none"),
            ..Redis::default()
        };
        assert!(redis_url(&missing).is_err());
    }
}
