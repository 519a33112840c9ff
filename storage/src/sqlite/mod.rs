//! The store in one SQLite file: its opening, its options and who may use it.
//!
//! The log is `events`, appended in commit order. `derive` makes the state of conversations from it in the same
//! transaction; the index, by which events are found and heads known, is written `behind` it, and what it lacks
//! is `recent`. One connection writes, others only read, one copies the write-ahead log into the database beside
//! them. Nothing here may acknowledge what SQLite has not flushed.

mod append;
pub mod backup;
mod behind;
mod changes;
mod checkpoint;
mod cursors;
mod derive;
mod failure;
mod group;
mod log;
mod lookup;
mod moment;
mod page;
mod people;
mod profile;
mod reader;
mod rebuild;
mod recent;
mod row;
mod schema;
mod tail;
#[cfg(test)]
mod tests;
mod views;
pub(crate) mod whole;
mod writer;

use std::{
    ffi::OsString,
    fmt,
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use rusqlite::Connection;

use crate::{
    error::OpenError,
    fate::{Doom, Fate},
    past::{Generation, TokenKey},
    read::{Reader, Store},
    types::Position,
    write::{Rules, Writer},
};
use checkpoint::Checkpointer;
use profile::Use;
use reader::SqliteReader;
use recent::Recent;
use writer::SqliteWriter;

/// Names a store and the order of its log.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Identity {
    /// See [`Store::epoch`].
    pub epoch: u64,
    /// See [`Store::log_id`].
    pub log_id: u64,
}

impl Identity {
    /// Both drawn from the system's source of randomness, both below 2^63 and never 0.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn random() -> Result<Self, OpenError> {
        let draw = || {
            getrandom::u64()
                .map(|number| (number >> 1).max(1))
                .map_err(|error| OpenError(format!("the system gives no random numbers: {error}")))
        };
        Ok(Self {
            epoch: draw()?,
            log_id: draw()?,
        })
    }

    /// Until stores keep a key of their own.
    pub(crate) fn interim_key(self) -> TokenKey {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&self.epoch.to_be_bytes());
        key[8..16].copy_from_slice(&self.log_id.to_be_bytes());
        TokenKey(key)
    }
}

/// How to open a [`SqliteStore`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SqliteOptions {
    /// The database file, made where there is none. Its directory must exist, on a local file system.
    /// Files of the same name with `-wal`, `-shm` and `.lock` added stand beside it; the first belongs to it.
    pub path: PathBuf,
    /// Enforced from now on; what is in the store already may exceed them.
    pub rules: Rules,
    /// What a new database is called; one that exists keeps its own. Both are random where the epoch is 0.
    pub identity: Identity,
    /// Memory for the writer's pages, in KiB.
    pub writer_cache_kib: u32,
    /// Memory for each reader's pages, in KiB.
    pub reader_cache_kib: u32,
    /// Events whose index is written together, in slices beside later commits. Up to twice as many are in memory,
    /// about 300 bytes each, and are indexed when the store is opened after a crash.
    pub index_events: u32,
}

impl SqliteOptions {
    /// The defaults: [`Rules::default`], a random identity, 64 MiB for the writer and 8 MiB for each reader, the index by
    /// 8,192 events.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            rules: Rules::default(),
            identity: Identity::default(),
            writer_cache_kib: 64 << 10,
            reader_cache_kib: 8 << 10,
            index_events: 8_192,
        }
    }
}

/// A store in one SQLite file. Shared between threads; its readers and its writer keep the file locked for
/// this process as long as any of them lives.
pub struct SqliteStore {
    options: SqliteOptions,
    identity: Identity,
    fate: Arc<Fate>,
    recent: Arc<Recent>,
    checkpointer: Mutex<Checkpointer>,
    writer_taken: AtomicBool,
    /// After the connections.
    files: Arc<Files>,
}

/// Files that stay open until the last connection of this process is closed: until then no other process may come,
/// and closing the database's file would give up the locks that SQLite holds on it.
struct Files {
    /// To flush what checkpoints copied.
    database: File,
    _lock: File,
}

impl SqliteStore {
    /// Opens a database, or makes one. Brings its schema up to date, and what is derived from its log.
    ///
    /// # Errors
    /// Another process has it open, it is not this program's or of a newer version, it is damaged, or the
    /// file system does not give what durability rests on.
    pub fn open(options: SqliteOptions) -> Result<Self, OpenError> {
        profile::check_version()?;
        let path = &options.path;
        let lock = lock(path)?;
        // The profile writes to the file, so it comes after the question whose file it is.
        schema::check_owner(&profile::connect_raw(path, true)?, path)?;
        let mut connection = profile::connect(path, Use::Write, options.writer_cache_kib)?;
        schema::migrate(&mut connection, path)?;
        let identity = schema::identity(&connection, path, options.identity)?;
        catch_up(&connection, path)?;
        let database = File::open(path)
            .map_err(|error| OpenError(format!("{} cannot be opened: {error}", path.display())))?;
        let files = Arc::new(Files {
            database,
            _lock: lock,
        });
        drop(connection);
        let checkpointer = Checkpointer::start(path, Arc::clone(&files))?;
        Ok(Self {
            identity,
            fate: Arc::default(),
            files,
            recent: Arc::default(),
            checkpointer: Mutex::new(checkpointer),
            writer_taken: AtomicBool::new(false),
            options,
        })
    }

    fn open_writer(&self) -> Result<SqliteWriter, OpenError> {
        if self.writer_taken.swap(true, Ordering::Relaxed) {
            return Err(OpenError(
                "this store has one writer, and it was handed out before".to_owned(),
            ));
        }
        let options = &self.options;
        let connection = profile::connect(&options.path, Use::Write, options.writer_cache_kib)?;
        let signal = self.checkpointer.lock().signal();
        SqliteWriter::new(
            connection,
            options,
            signal,
            Arc::clone(&self.recent),
            Arc::clone(&self.files),
        )
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("options", &self.options)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl Store for SqliteStore {
    fn epoch(&self) -> u64 {
        self.identity.epoch
    }

    fn log_id(&self) -> u64 {
        self.identity.log_id
    }

    fn token_key(&self) -> TokenKey {
        self.identity.interim_key()
    }

    fn told(&self, _: Position) -> Generation {
        Generation(1)
    }

    fn fate(&self) -> &Fate {
        &self.fate
    }

    fn begin_past(&self, why: &str) -> Result<(), OpenError> {
        self.fate.doom(Doom::PastOver(why.to_owned()));
        Ok(())
    }

    fn writers_max(&self) -> usize {
        1
    }

    fn writer(&self) -> Result<Box<dyn Writer>, OpenError> {
        Ok(Box::new(self.open_writer()?))
    }

    fn reader(&self) -> Result<Box<dyn Reader>, OpenError> {
        let options = &self.options;
        let connection = profile::connect(&options.path, Use::Read, options.reader_cache_kib)?;
        let recent = Arc::clone(&self.recent);
        Ok(Box::new(SqliteReader::new(
            connection,
            recent,
            Arc::clone(&self.files),
        )))
    }

    fn close(&self) -> Result<(), OpenError> {
        let options = &self.options;
        let connection = profile::connect(&options.path, Use::Write, options.writer_cache_kib)?;
        catch_up(&connection, &options.path)?;
        drop(connection);
        self.checkpointer.lock().close()
    }
}

/// Makes what is missing of the index.
fn catch_up(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    rebuild::catch_up(connection, path).map_err(|failure| {
        OpenError(format!(
            "{} cannot be used: {failure}; restore it from a backup",
            path.display()
        ))
    })
}

/// One process per database: others are told so at once, instead of waiting for each other's transactions.
fn lock(path: &Path) -> Result<File, OpenError> {
    let mut name = OsString::from(path);
    name.push(".lock");
    let lock_path = PathBuf::from(name);
    let cannot = |error: std::io::Error| {
        OpenError(format!(
            "the lock file {} cannot be opened ({error}): check that its directory exists and may be written",
            lock_path.display()
        ))
    };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path)
        .map_err(cannot)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError(format!(
            "another imserver uses {}: stop it first, or name another data directory",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(OpenError(format!(
            "{} cannot be locked ({error}): its file system must support locks",
            lock_path.display()
        ))),
    }
}
