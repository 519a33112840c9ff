//! Copies of a store in one file: made while the store is in use, checked, and turned into a store again. It must never
//! write to the store it copies, nor over an existing file. A copy gets its name last, when all of it is on the disk:
//! after an interruption at any step there is none, or a whole one.

use std::path::Path;

use rusqlite::Connection;

use super::{
    check,
    files::FileIdentity,
    names::{self, DAMAGED, Found, Unnamed, WITNESS},
    past,
    profile::{self, cannot_open, connect_raw},
    rebuild, schema,
};
use crate::error::OpenError;

/// The content of a copy.
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
/// `to` exists, `from` is not a store of this program, there is no room, or the copy is damaged. No file `to` is left
/// then.
pub fn backup(from: &Path, to: &Path) -> Result<Contents, OpenError> {
    let source = open(from)?;
    copy(&source, from, to, None)
}

/// Makes a new store at `to` from a backup. It has a new past (epoch, log id, key), because the commits after the
/// backup are lost: devices that have more than the backup start over instead of losing count.
///
/// # Errors
/// As [`backup`]; a store at `to`, or a part of one, is left as it is.
pub fn restore(from: &Path, to: &Path) -> Result<Contents, OpenError> {
    for suffix in names::OF_SQLITE.iter().chain(&[WITNESS, DAMAGED]) {
        let beside = names::beside(to, suffix);
        if beside.symlink_metadata().is_ok() {
            return Err(OpenError::Refused(format!(
                "{} belongs to a store: move it away first, with all files beside it",
                beside.display()
            )));
        }
    }
    let source = open(from)?;
    check::whole(&source, from)?;
    copy(&source, from, to, Some("the store was restored from a backup"))
}

fn open(path: &Path) -> Result<Connection, OpenError> {
    if names::examine(path)? == Found::Nothing {
        return Err(OpenError::Missing(format!(
            "{} cannot be opened: there is no such file",
            path.display()
        )));
    }
    let connection = connect_raw(path)?;
    schema::check_owner(&connection, path)?;
    if contents(&connection, path).is_err() {
        return Err(OpenError::Refused(format!("{} holds no store", path.display())));
    }
    Ok(connection)
}

/// Copies a store, with a new past if there is a reason for one.
fn copy(source: &Connection, from: &Path, to: &Path, new_past: Option<&str>) -> Result<Contents, OpenError> {
    if to.symlink_metadata().is_ok() {
        return Err(OpenError::Refused(format!(
            "{} cannot be made: it exists",
            to.display()
        )));
    }
    let unnamed = Unnamed::copy(to)?;
    let partial = unnamed.path();
    let name = partial
        .to_str()
        .ok_or_else(|| OpenError::Refused(format!("{} is no UTF-8", partial.display())))?;
    source.execute("VACUUM INTO ?1", [name]).map_err(|error| {
        OpenError::failed(
            format!("{} cannot be copied to {name} ({error})", from.display()),
            error,
        )
    })?;
    let made = connect_raw(partial)?;
    if let Some(why) = new_past {
        let file = FileIdentity::of(unnamed.file())
            .map_err(|error| OpenError::failed(format!("{name} cannot be looked at: {error}"), error))?;
        past::begin_anew(&made, file, why)?;
    }
    // A store in use is behind its log; a copy need not be.
    rebuild::catch_up(&made, partial)?;
    check::whole(&made, partial)?;
    let contents = contents(&made, partial)?;
    profile::close(made, partial)?;
    unnamed.publish()?;
    Ok(contents)
}

fn contents(connection: &Connection, path: &Path) -> Result<Contents, OpenError> {
    let found = connection.query_row(
        "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM conversations),
                (SELECT count(*) FROM events), (SELECT epoch FROM store)",
        [],
        |row| {
            // The last column tells that there is a store: it is not null.
            row.get::<_, i64>(3)?;
            Ok(Contents {
                users: row.get::<_, i64>(0)?.cast_unsigned(),
                conversations: row.get::<_, i64>(1)?.cast_unsigned(),
                events: row.get::<_, i64>(2)?.cast_unsigned(),
            })
        },
    );
    found.map_err(|error| cannot_open(path, error))
}
