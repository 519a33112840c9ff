//! The pragmas of every connection: the settings that the store's promises rest on, each set and read back. It must
//! never hand out a connection whose settings it has not verified.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, config::DbConfig, types::ValueRef};

use crate::error::OpenError;

/// Older releases have a bug in resetting the WAL while another connection checkpoints.
const OLDEST_SQLITE: i32 = 3_051_003;
/// How long a statement waits for another connection's lock.
const BUSY_TIMEOUT: Duration = Duration::from_millis(2_000);
/// The WAL file is cut back to this when it restarts.
pub(super) const WAL_BYTES_KEPT: i64 = 64 << 20;
/// More than the number of statements in this crate.
const CACHED_STATEMENTS: usize = 128;

/// The use of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Use {
    Write,
    Read,
    Checkpoint,
}

/// Opens a connection to an existing file, and changes nothing.
pub(super) fn connect_raw(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let fail = |error: rusqlite::Error| cannot_open(path, error);
    let connection = Connection::open_with_flags(path, flags).map_err(fail)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(fail)?;
    // Without this the last connection would copy the write-ahead log and remove it, even after a failed copy: see
    // `checkpoint.rs`.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(fail)?;
    // Copies are made with this connection, too: a body that is erased later must not survive in the free part of a
    // page.
    connection
        .execute_batch("PRAGMA secure_delete = 1")
        .map_err(fail)?;
    Ok(connection)
}

/// Closes the only connection to a file that was made with [`connect_raw`]; afterwards all data is in that file.
pub(super) fn close(connection: Connection, path: &Path) -> Result<(), OpenError> {
    let fail = |error: rusqlite::Error| cannot_open(path, error);
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get(0))
        .map_err(fail)?;
    if mode != "delete" {
        return Err(OpenError::Refused(format!(
            "{} keeps its journal ({mode})",
            path.display()
        )));
    }
    connection.close().map_err(|(_, error)| fail(error))
}

/// Opens a connection with all settings.
pub(super) fn connect(path: &Path, what_for: Use, cache_kib: u32) -> Result<Connection, OpenError> {
    let fail = |error: rusqlite::Error| cannot_open(path, error);
    let connection = connect_raw(path)?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)
        .map_err(fail)?;
    for setting in settings(what_for, cache_kib) {
        setting.apply(&connection).map_err(fail)?;
        let found = setting.read_back(&connection).map_err(fail)?;
        if found != setting.read_back {
            return Err(OpenError::Refused(format!(
                "SQLite keeps {} at {found:?} where {:?} is needed for {}: its file system does not give what \
                 this store needs",
                setting.name,
                setting.read_back,
                path.display()
            )));
        }
    }
    Ok(connection)
}

/// A pragma, the value to set, and the answer that is expected then.
pub(super) struct Setting {
    pub(super) name: &'static str,
    value: String,
    pub(super) read_back: String,
}

impl Setting {
    fn plain(name: &'static str, value: i64) -> Self {
        Self {
            name,
            value: value.to_string(),
            read_back: value.to_string(),
        }
    }

    fn named(name: &'static str, value: &str, read_back: &str) -> Self {
        Self {
            name,
            value: value.to_owned(),
            read_back: read_back.to_owned(),
        }
    }

    fn apply(&self, connection: &Connection) -> rusqlite::Result<()> {
        // Some answer with the new value, which is read back separately.
        let ignore = |_: &rusqlite::Row<'_>| Ok(());
        let done = match self.value.parse::<i64>() {
            Ok(number) => connection.pragma_update_and_check(None, self.name, number, ignore),
            Err(_) => connection.pragma_update_and_check(None, self.name, &self.value, ignore),
        };
        match done {
            Err(rusqlite::Error::QueryReturnedNoRows) => Ok(()),
            other => other,
        }
    }

    pub(super) fn read_back(&self, connection: &Connection) -> rusqlite::Result<String> {
        // If no memory can be mapped, SQLite answers nothing.
        let mut found = String::from(if self.name == "mmap_size" { "0" } else { "" });
        connection.pragma_query(None, self.name, |row| {
            found = match row.get_ref(0)? {
                ValueRef::Integer(number) => number.to_string(),
                ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                other @ (ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_)) => format!("{other:?}"),
            };
            Ok(())
        })?;
        Ok(found)
    }
}

pub(super) fn settings(what_for: Use, cache_kib: u32) -> Vec<Setting> {
    let mut all = vec![
        // First: on a damaged file no other setting is worth trying.
        Setting::plain("cell_size_check", 1),
        Setting::plain("trusted_schema", 0),
        Setting::plain("mmap_size", 0),
        Setting::named("journal_mode", "WAL", "wal"),
        Setting::named("synchronous", "FULL", "2"),
        Setting::plain("wal_autocheckpoint", 0),
        Setting::plain("foreign_keys", 1),
        Setting::named("temp_store", "MEMORY", "2"),
        Setting::plain("journal_size_limit", WAL_BYTES_KEPT),
        Setting::plain("busy_timeout", BUSY_TIMEOUT.as_millis() as i64),
        Setting::plain("cache_size", -i64::from(cache_kib)),
    ];
    match what_for {
        // An erased body must not survive in the free parts of a page.
        Use::Write => all.push(Setting::plain("secure_delete", 1)),
        Use::Read => all.push(Setting::plain("query_only", 1)),
        Use::Checkpoint => {}
    }
    all
}

/// Checks that the library is new enough.
pub(super) fn check_version() -> Result<(), OpenError> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        return Err(OpenError::Refused(format!(
            "SQLite {} is too old for this store: 3.51.3 or newer is needed",
            rusqlite::version()
        )));
    }
    Ok(())
}

/// An error of opening, in words for the operator.
pub(super) fn cannot_open(path: &Path, error: rusqlite::Error) -> OpenError {
    let path = path.display();
    let text = match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => {
            return OpenError::Refused(format!(
                "{path} is not a database: name another file, or move this one away"
            ));
        }
        Some(rusqlite::ErrorCode::DatabaseCorrupt) => {
            return OpenError::Damaged(format!("{path} is damaged ({error}): restore it from a backup"));
        }
        Some(rusqlite::ErrorCode::CannotOpen) => {
            format!("{path} cannot be opened ({error}): check that its directory exists and may be written")
        }
        Some(rusqlite::ErrorCode::DiskFull) => format!("{path} cannot be opened: the disk is full"),
        _ => format!("{path} cannot be opened: {error}"),
    };
    OpenError::failed(text, error)
}
