//! An operator's commands about the past of a store that no daemon uses.

use std::path::Path;

use rusqlite::Connection;

use super::{
    check,
    failure::Failure,
    files::{self, Files, Lock},
    names::{self, Found},
    past,
    profile::{self, Use},
    schema, standing,
};
use crate::{error::OpenError, past::PastReport};

/// Memory for pages.
const CACHE_KIB: u32 = 8 << 10;

fn refused(path: &Path) -> impl Fn(Failure) -> OpenError + '_ {
    |failure| OpenError::failed(format!("{}: {failure}", path.display()), failure)
}

/// The past of the store at `path`, which a daemon may be using.
///
/// # Errors
/// There is no store, or it cannot be read.
pub fn report(path: &Path) -> Result<PastReport, OpenError> {
    let path = &names::resolved(path)?;
    if names::examine(path)? == Found::Nothing {
        return Err(no_store(path));
    }
    let connection = profile::connect_raw(path)?;
    schema::check_owner(&connection, path)?;
    let transaction = connection
        .unchecked_transaction()
        .map_err(|error| profile::cannot_open(path, error))?;
    let mut report = past::report(&transaction).map_err(refused(path))?;
    if let Err(remark) = files::refuse_damaged(path) {
        report.remarks.push(remark.to_string());
    }
    Ok(report)
}

/// Makes a new past of the store at `path`, which must not be in use: a new epoch, log id, generation and token key.
/// Every device starts over.
///
/// # Errors
/// There is no store, it is in use, or it is damaged.
pub fn begin_past(path: &Path, why: &str) -> Result<PastReport, OpenError> {
    let lock = Lock::take(path)?;
    files::refuse_damaged(lock.path())?;
    let (files, connection) = open(lock)?;
    past::begin_anew(&connection, files.identity(), why)?;
    let standing = standing::read(&connection).map_err(refused(path))?;
    files.witness.begin(&standing).map_err(|error| {
        OpenError::failed(
            format!("the witness of {} cannot be written: {error}", path.display()),
            error,
        )
    })?;
    past::report(&connection).map_err(refused(path))
}

/// Checks all of the store at `path`, which must not be in use, and then vouches for it: the store is in this file,
/// although it was moved, and the remarks of [`report`] are known. A witness still counts at the next start.
///
/// # Errors
/// There is no store, it is in use, or it is damaged.
pub fn keep_past(path: &Path) -> Result<PastReport, OpenError> {
    let (files, mut connection) = open(Lock::take(path)?)?;
    check::whole(&connection, files.path())?;
    past::keep(&mut connection, files.identity()).map_err(refused(path))?;
    files::unmark_damaged(files.path())?;
    past::report(&connection).map_err(refused(path))
}

fn open(lock: Lock) -> Result<(Files, Connection), OpenError> {
    if names::examine(lock.path())? == Found::Nothing {
        return Err(no_store(lock.path()));
    }
    let files = Files::open(lock)?;
    let connection = profile::connect(files.path(), Use::Write, CACHE_KIB)?;
    if schema::is_current(&connection, files.path())? {
        return Ok((files, connection));
    }
    Err(OpenError::Refused(format!(
        "{} is of an older version: start this version of imserver on it once",
        files.path().display()
    )))
}

fn no_store(path: &Path) -> OpenError {
    OpenError::Missing(format!("there is no store at {}", path.display()))
}
