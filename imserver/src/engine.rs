//! Opening the store that the configuration names.

use std::{path::Path, sync::Arc};

use storage::{
    Store,
    sqlite::{Identity, SqliteOptions, SqliteStore},
};

use crate::{
    config::{Config, StoreUrl},
    daemon::DaemonError,
    token,
};

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
        StoreUrl::Postgres(_) => Err(DaemonError("PostgreSQL is not there yet".to_owned())),
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
