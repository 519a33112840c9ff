//! Ownership and schema of a file. It must never change a file that is not this program's or that a newer version
//! wrote.

use std::path::Path;

use rusqlite::Connection;

use super::profile::cannot_open;
use crate::error::OpenError;

mod embedded {
    refinery::embed_migrations!("src/sqlite/migrations");
}

/// "imsv" in ASCII: marks the file as this program's.
pub(super) const APPLICATION_ID: i32 = 0x696d_7376;

/// Refuses files of other programs and of newer versions, before anything is written to them.
pub(super) fn check_owner(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let fail = |error: rusqlite::Error| cannot_open(path, error);
    let application: i32 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(fail)?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(fail)?;
    if tables == 0 && (application == 0 || application == APPLICATION_ID) {
        return Err(OpenError::Refused(format!(
            "{} is a database without tables, so it is not a store any more: restore a backup, or, if there never was \
             a store, remove it",
            path.display()
        )));
    }
    if application != APPLICATION_ID {
        return Err(OpenError::Refused(format!(
            "{} is another program's database: name another file",
            path.display()
        )));
    }
    let found = version(connection).map_err(fail)?;
    let known = newest_known();
    if found > known {
        return Err(OpenError::Newer(format!(
            "{} was written by a newer version (schema {found}, this one knows {known}): use that version, or \
             restore a backup from before it",
            path.display()
        )));
    }
    let founded: bool = connection
        .query_row("SELECT EXISTS (SELECT 1 FROM store)", [], |row| row.get(0))
        .map_err(fail)?;
    if !founded {
        return Err(OpenError::Damaged(format!(
            "{} has lost what it is called, so it is not a store any more: restore a backup",
            path.display()
        )));
    }
    Ok(())
}

/// Migrates the schema to this version.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    connection
        .pragma_update(None, "application_id", APPLICATION_ID)
        .map_err(|error| cannot_open(path, error))?;
    // The migrations' own history is read only if there is a migration to do: a damaged row of it makes the library
    // panic.
    if is_current(connection, path)? {
        return Ok(());
    }
    embedded::migrations::runner().run(connection).map_err(|error| {
        OpenError::failed(
            format!(
                "the schema of {} cannot be brought up to date: {error}",
                path.display()
            ),
            error,
        )
    })?;
    Ok(())
}

/// Whether it has the tables of this version.
pub(super) fn is_current(connection: &Connection, path: &Path) -> Result<bool, OpenError> {
    let fail = |error: rusqlite::Error| cannot_open(path, error);
    Ok(version(connection).map_err(fail)? == newest_known())
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    let has_history: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'refinery_schema_history')",
        [],
        |row| row.get(0),
    )?;
    if !has_history {
        return Ok(0);
    }
    connection.query_row(
        "SELECT coalesce(max(version), 0) FROM refinery_schema_history",
        [],
        |row| row.get(0),
    )
}

fn newest_known() -> i64 {
    let runner = embedded::migrations::runner();
    let versions = runner.get_migrations().iter();
    versions
        .map(|migration| i64::from(migration.version()))
        .max()
        .unwrap_or(0)
}
