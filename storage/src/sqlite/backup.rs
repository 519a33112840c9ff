//! Copies of a store in one file: made while it is in use, checked, and turned into a store again.
//! It must never write to the store it copies, nor over a file that is there.

use std::{
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use super::{
    Identity,
    profile::{cannot_open, connect_raw},
    rebuild, schema,
};
use crate::error::OpenError;

/// What a copy holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Contents {
    /// Accounts.
    pub users: u64,
    /// Conversations.
    pub conversations: u64,
    /// Events in all of them.
    pub events: u64,
}

/// Copies the store at `from`, as it is at one moment, into the new file `to`, and checks the copy. The store
/// may be in use by a running daemon; while it is copied its write-ahead log grows.
///
/// # Errors
/// `to` exists, `from` is not a store of this program, there is no room, or the copy is damaged. No file `to`
/// is left then.
pub fn backup(from: &Path, to: &Path) -> Result<Contents, OpenError> {
    let source = open(from)?;
    copy(&source, from, to, None)
}

/// Makes a new store at `to` from a backup. It has a new epoch and a new log id, because what was committed
/// after the backup is lost: devices that have more than the backup start anew instead of losing count.
///
/// # Errors
/// As [`backup`]; a store at `to`, or a part of one, stays as it is.
pub fn restore(from: &Path, to: &Path) -> Result<Contents, OpenError> {
    for suffix in ["-wal", "-shm"] {
        let beside = with_suffix(to, suffix);
        if beside.exists() {
            return Err(OpenError(format!(
                "{} belongs to a store: move it away first, with all files beside it",
                beside.display()
            )));
        }
    }
    let source = open(from)?;
    check(&source, from)?;
    copy(&source, from, to, Some(Identity::random()?))
}

fn open(path: &Path) -> Result<Connection, OpenError> {
    let connection = connect_raw(path, false)?;
    schema::check_owner(&connection, path)?;
    if contents(&connection, path).is_err() {
        return Err(OpenError(format!("{} holds no store", path.display())));
    }
    Ok(connection)
}

fn copy(
    source: &Connection,
    from: &Path,
    to: &Path,
    identity: Option<Identity>,
) -> Result<Contents, OpenError> {
    let cannot_make = |error: std::io::Error| OpenError(format!("{} cannot be made ({error})", to.display()));
    // Keeps the name for this copy, and says so if it is taken.
    drop(File::create_new(to).map_err(cannot_make)?);
    let partial = with_suffix(to, ".partial");
    let copied = copy_checked(source, from, &partial, identity).and_then(|contents| {
        std::fs::rename(&partial, to).map_err(cannot_make)?;
        sync_directory(to).map_err(cannot_make)?;
        Ok(contents)
    });
    if copied.is_err() {
        let _ = std::fs::remove_file(&partial);
        let _ = std::fs::remove_file(to);
    }
    copied
}

fn copy_checked(
    source: &Connection,
    from: &Path,
    partial: &Path,
    identity: Option<Identity>,
) -> Result<Contents, OpenError> {
    let name = partial
        .to_str()
        .ok_or_else(|| OpenError(format!("{} is no UTF-8", partial.display())))?;
    source
        .execute("VACUUM INTO ?1", [name])
        .map_err(|error| OpenError(format!("{} cannot be copied to {name} ({error})", from.display())))?;
    let fail = |error: rusqlite::Error| cannot_open(partial, &error);
    let made = connect_raw(partial, false)?;
    if let Some(identity) = identity {
        made.execute(
            "UPDATE store SET epoch = ?1, log_id = ?2",
            [identity.epoch.cast_signed(), identity.log_id.cast_signed()],
        )
        .map_err(fail)?;
    }
    // A store in use is behind its log; a copy need not be.
    rebuild::catch_up(&made, partial)?;
    check(&made, partial)?;
    let contents = contents(&made, partial)?;
    made.close().map_err(|(_, error)| fail(error))?;
    File::open(partial)
        .and_then(|file| file.sync_all())
        .map_err(|error| OpenError(format!("{name} cannot be flushed ({error})")))?;
    Ok(contents)
}

fn check(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    check_by("PRAGMA integrity_check(1)", connection, path)
}

/// Without comparing the indexes with their tables.
pub(super) fn check_quickly(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    check_by("PRAGMA quick_check(1)", connection, path)
}

fn check_by(pragma: &str, connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let verdict: String = connection
        .query_row(pragma, [], |row| row.get(0))
        .map_err(|error| cannot_open(path, &error))?;
    if verdict != "ok" {
        return Err(OpenError(format!("{} is damaged: {verdict}", path.display())));
    }
    let holes: i64 = connection
        .query_row(
            "SELECT count(*) FROM (SELECT 1 FROM event_seqs GROUP BY conversation
                                   HAVING count(*) <> max(seq) OR min(seq) <> 1)",
            [],
            |row| row.get(0),
        )
        .map_err(|error| cannot_open(path, &error))?;
    if holes != 0 {
        return Err(OpenError(format!(
            "{} is damaged: {holes} conversations have holes",
            path.display()
        )));
    }
    Ok(())
}

fn contents(connection: &Connection, path: &Path) -> Result<Contents, OpenError> {
    let found = connection.query_row(
        "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM conversations),
                (SELECT count(*) FROM events), (SELECT epoch FROM store)",
        [],
        |row| {
            // The last column says that there is a store: it is not null.
            row.get::<_, i64>(3)?;
            Ok(Contents {
                users: row.get::<_, i64>(0)?.cast_unsigned(),
                conversations: row.get::<_, i64>(1)?.cast_unsigned(),
                events: row.get::<_, i64>(2)?.cast_unsigned(),
            })
        },
    );
    found.map_err(|error| cannot_open(path, &error))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// The new name itself is durable only with its directory.
fn sync_directory(path: &Path) -> std::io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}
