//! `imserver backup` and `imserver restore`.

use std::io::Write;

use storage::sqlite::backup::{self, Contents};

use super::cannot_write;
use crate::{
    config::{Backup, Config, Restore, StoreUrl},
    error::DaemonError,
};

/// Copies the embedded store, which may be in use, into a file.
pub(super) fn backup(arguments: &Backup, config: &Config, output: &mut dyn Write) -> Result<(), DaemonError> {
    embedded(
        config,
        "pg_dump or the continuous archiving of PostgreSQL backs it up",
    )?;
    let contents = backup::backup(&config.sqlite_file(), &arguments.to)?;
    say(output, "backed up and checked", contents)
}

/// Makes the embedded store that is configured from a backup.
pub(super) fn restore(
    arguments: &Restore,
    config: &Config,
    output: &mut dyn Write,
) -> Result<(), DaemonError> {
    embedded(config, "restore it with the tools of PostgreSQL")?;
    let file = config.sqlite_file();
    let directory = file
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty());
    let made = directory.filter(|directory| !directory.exists());
    if let Some(directory) = made {
        crate::stores::create_private(directory)?;
    }
    let contents = backup::restore(&arguments.from, &file).inspect_err(|_| {
        // Only if nothing is in it.
        let _ = made.map(std::fs::remove_dir);
    })?;
    say(output, "checked and restored", contents)
}

fn embedded(config: &Config, instead: &str) -> Result<(), DaemonError> {
    match config.store.url {
        StoreUrl::Postgres(_) => Err(DaemonError::Refused(format!(
            "this is for the embedded store; the configured one is in PostgreSQL: {instead}"
        ))),
        StoreUrl::Default | StoreUrl::Sqlite(_) => Ok(()),
    }
}

fn say(output: &mut dyn Write, what: &str, contents: Contents) -> Result<(), DaemonError> {
    let Contents {
        users,
        conversations,
        events,
    } = contents;
    writeln!(
        output,
        "{what}: {users} accounts, {conversations} conversations, {events} events"
    )
    .map_err(cannot_write)
}
