//! An offline full scan of a store, which no other process may use meanwhile. It must never write to it.

use std::path::Path;

use rusqlite::Connection;

use super::{
    check,
    files::{self, Files, Lock},
    profile::{self, Use, cannot_open},
    schema,
};
use crate::error::OpenError;

/// Memory for pages.
const CACHE_KIB: u32 = 64 << 10;

/// The store, locked for this process.
pub(crate) struct Whole {
    connection: Connection,
    epoch: u64,
    /// Dropped after the connection, so that no other process opens the store before the connection is closed.
    _files: Files,
}

impl Whole {
    /// Opens a store of this version that is not damaged.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        profile::check_version()?;
        if !path.is_file() {
            return Err(OpenError::Missing(format!(
                "there is no store at {}",
                path.display()
            )));
        }
        let lock = Lock::take(path)?;
        files::refuse_damaged(lock.path())?;
        let files = Files::open(lock)?;
        let connection = profile::connect(files.path(), Use::Read, CACHE_KIB)?;
        if !schema::is_current(&connection, path)? {
            return Err(OpenError::Refused(format!(
                "{} holds no store, or one of an older version: start this version of imserver on it once",
                path.display()
            )));
        }
        let epoch = epoch(&connection, path)?;
        check::whole(&connection, path)?;
        Ok(Self {
            connection,
            epoch,
            _files: files,
        })
    }

    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) const fn connection(&self) -> &Connection {
        &self.connection
    }
}

/// The epoch of a store whose derived tables are complete.
fn epoch(connection: &Connection, path: &Path) -> Result<u64, OpenError> {
    let (epoch, complete) = connection
        .query_row(
            "SELECT epoch, watermark >= (SELECT coalesce(max(position), 0) FROM events) FROM store",
            [],
            |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, bool>(1)?)),
        )
        .map_err(|error| cannot_open(path, error))?;
    if complete {
        return Ok(epoch);
    }
    Err(OpenError::Refused(format!(
        "{} is behind its own log: start imserver on it once",
        path.display()
    )))
}
