//! Opening the store that the configuration names.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use storage::{
    Store,
    postgres::{PostgresOptions, PostgresStore},
    sqlite::{Identity, SqliteOptions, SqliteStore},
};

use crate::{
    config::{Config, SecretUrl, StoreUrl},
    daemon::DaemonError,
    token,
};

/// Holds PostgreSQL's password, where neither the URL nor a file does.
const PASSWORD_VARIABLE: &str = "IMSERVER_STORE_PASSWORD";

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

/// For people: which engine, and where.
pub fn describe(config: &Config) -> String {
    match &config.store.url {
        StoreUrl::Postgres(url) => format!("{url} (PostgreSQL)"),
        _ => {
            let file = config.sqlite_file();
            let directory = file.parent().unwrap_or_else(|| Path::new(".")).to_owned();
            let directory = directory.canonicalize().unwrap_or(directory);
            format!("{} (SQLite)", directory.display())
        }
    }
}

fn open_postgres(config: &Config, url: &SecretUrl) -> Result<Arc<dyn Store>, DaemonError> {
    let millis = Duration::from_millis;
    let settings = &config.store;
    let set = |path: &PathBuf| (!path.as_os_str().is_empty()).then(|| path.clone());
    let mut options = PostgresOptions::new(url.expose());
    options.password = std::env::var(PASSWORD_VARIABLE).ok();
    options.password_file = set(&settings.password_file);
    options.root_certificates = set(&settings.root_certificates);
    options.rules = config.rules();
    options.application_name = format!("imserver {}", config.server.node);
    options.writers_max = config.lanes();
    options.connect_timeout = millis(settings.connect_ms);
    options.statement_timeout = millis(settings.statement_ms);
    options.lock_timeout = millis(settings.lock_ms);
    options.deadline = millis(settings.request_ms);
    let store = PostgresStore::open(options).map_err(|error| DaemonError(error.to_string()))?;
    Ok(Arc::new(store))
}

fn open_sqlite(config: &Config) -> Result<Arc<dyn Store>, DaemonError> {
    let random = || token::random_u63().map_err(|error| DaemonError(error.to_string()));
    let mut options = SqliteOptions::new(config.sqlite_file());
    options.rules = config.rules();
    options.identity = Identity {
        epoch: random()?,
        log_id: random()?,
    };
    let store = SqliteStore::open(options).map_err(|error| DaemonError(error.to_string()))?;
    Ok(Arc::new(store))
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
    builder.create(directory).map_err(|error| {
        DaemonError(format!(
            "cannot make the data directory {}: {error}",
            directory.display()
        ))
    })
}
