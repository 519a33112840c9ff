//! The store in one SQLite file: opening, options and ownership.
//!
//! The log is `events`, appended in commit order. `derive` makes the state of conversations from it in the same
//! transaction. The index, which finds events and heads, is written behind the log, by `deferred_index`; events that are
//! not indexed yet are in `unindexed`. One connection writes, others only read, and one copies the write-ahead log into
//! the database. Nothing here may acknowledge a commit that SQLite has not flushed.

mod append;
pub mod backup;
mod changes;
mod check;
mod checkpoint;
mod cursors;
mod deferred_index;
mod derive;
mod entries;
mod erase;
mod failure;
mod files;
mod log;
mod lookup;
mod members;
mod names;
pub mod operator;
mod page;
mod past;
mod people;
mod profile;
mod read_view;
mod reader;
mod rebuild;
mod replay;
mod room;
mod row;
mod schema;
mod scrub;
mod standing;
mod state;
mod stays;
mod sum;
mod tail;
#[cfg(test)]
mod tests;
mod unindexed;
mod views;
pub(crate) mod whole;
mod witness;
mod words;
mod writer;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use rusqlite::Connection;

use crate::{
    error::{Cause, OpenError},
    fate::{Doom, Fate},
    past::{Generation, TokenKey},
    read::{Reader, Store},
    status::{SqliteStatus, Status},
    types::Position,
    write::{Rules, Writer},
};
use checkpoint::Checkpointer;
use files::{Files, Lock};
use names::{Found, Unnamed};
use past::Past;
use profile::Use;
use reader::SqliteReader;
use unindexed::Unindexed;
use writer::SqliteWriter;

/// The names of a store and of the order of its log.
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
    /// The system has no randomness.
    pub fn random() -> Result<Self, OpenError> {
        let draw = || {
            getrandom::u64()
                .map(|number| (number >> 1).max(1))
                .map_err(|error| {
                    OpenError::failed(
                        format!("the system gives no random numbers: {error}"),
                        Cause::text(error.to_string()),
                    )
                })
        };
        Ok(Self {
            epoch: draw()?,
            log_id: draw()?,
        })
    }
}

/// How to open a [`SqliteStore`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SqliteOptions {
    /// The database file, created if there is nothing at all. Its directory must exist, on a local file system. Files
    /// of the same name with `-wal`, `-shm`, `.lock` and `.witness` added stand beside it; the first is part of the
    /// data, and the last tells whether commits were lost.
    pub path: PathBuf,
    /// The limits, enforced from now on; existing data may exceed them.
    pub rules: Rules,
    /// The identity of a new database; an existing one keeps its own. Both numbers are random if the epoch is 0.
    pub identity: Identity,
    /// Memory for the writer's pages, in KiB.
    pub writer_cache_kib: u32,
    /// Memory for each reader's pages, in KiB.
    pub reader_cache_kib: u32,
    /// Events whose index is written together, in slices beside later commits. Up to twice as many are in memory, about
    /// 300 bytes each, and are indexed when the store is opened after a crash.
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
    past: Past,
    unindexed: Arc<Unindexed>,
    checkpointer: Mutex<Checkpointer>,
    writer_taken: AtomicBool,
    /// Dropped after the connections.
    files: Arc<Files>,
}

impl SqliteStore {
    /// Opens a database, or creates one if there is nothing at all. Migrates its schema, brings the derived tables up
    /// to its log, and begins a generation of its past.
    ///
    /// # Errors
    /// Another process has it open, it is not this program's or of a newer version, it is damaged or the remains of
    /// one, or the file system does not give the guarantees that durability needs.
    pub fn open(options: SqliteOptions) -> Result<Self, OpenError> {
        let path = options.path.clone();
        Self::open_as_it_is(options).map_err(|error| room::explained(error, &path))
    }

    fn open_as_it_is(mut options: SqliteOptions) -> Result<Self, OpenError> {
        profile::check_version()?;
        let lock = Lock::take(&options.path)?;
        options.path = lock.path().to_owned();
        if names::examine(&options.path)? == Found::Nothing {
            make(&options.path, options.identity)?;
        }
        let (files, mut connection) = open_files(lock, options.writer_cache_kib)?;
        let files = Arc::new(files);
        schema::migrate(&mut connection, &options.path)?;
        check::log_at_start(&connection, &options.path)?;
        catch_up(&connection, &options.path)?;
        check::derived_at_start(&connection, &options.path)?;
        let past = past::begin(&mut connection, &files)?;
        drop(connection);
        let checkpointer = Checkpointer::start(Arc::clone(&files))?;
        files.note_log()?;
        Ok(Self {
            past,
            files,
            unindexed: Arc::default(),
            checkpointer: Mutex::new(checkpointer),
            writer_taken: AtomicBool::new(false),
            options,
        })
    }

    /// A connection could not be opened: it may have met damage, which ends the trust for all.
    fn judge_opening(&self) {
        let Ok(connection) = profile::connect_raw(&self.options.path) else {
            return;
        };
        if let Err(error) = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())) {
            self.files.judge(&error.into());
        }
    }

    fn open_writer(&self) -> Result<SqliteWriter, OpenError> {
        if self.writer_taken.swap(true, Ordering::Relaxed) {
            return Err(OpenError::Refused(
                "this store has one writer, and it was handed out before".to_owned(),
            ));
        }
        let options = &self.options;
        let connection = profile::connect(&options.path, Use::Write, options.writer_cache_kib)?;
        let signal = self.checkpointer.lock().signal();
        SqliteWriter::new(
            connection,
            options,
            self.past.standing,
            signal,
            Arc::clone(&self.unindexed),
            Arc::clone(&self.files),
        )
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("options", &self.options)
            .field("past", &self.past)
            .finish_non_exhaustive()
    }
}

impl Store for SqliteStore {
    fn epoch(&self) -> u64 {
        self.past.identity.epoch
    }

    fn log_id(&self) -> u64 {
        self.past.identity.log_id
    }

    fn token_key(&self) -> TokenKey {
        self.past.key
    }

    fn told(&self, _: Position) -> Generation {
        self.past.standing.generation
    }

    fn fate(&self) -> &Fate {
        &self.files.fate
    }

    fn begin_past(&self, why: &str) -> Result<(), OpenError> {
        // First: nothing more may be acknowledged in the past that is over.
        self.files.fate.doom(Doom::PastOver(why.to_owned()));
        let options = &self.options;
        let mut connection = profile::connect(&options.path, Use::Write, options.reader_cache_kib)?;
        past::abandon(&mut connection, self.past.identity.log_id, why)
    }

    fn writers_max(&self) -> usize {
        1
    }

    fn writer(&self) -> Result<Box<dyn Writer>, OpenError> {
        Ok(Box::new(self.open_writer()?))
    }

    fn reader(&self) -> Result<Box<dyn Reader>, OpenError> {
        let options = &self.options;
        let connection = profile::connect(&options.path, Use::Read, options.reader_cache_kib)
            .inspect_err(|_| self.judge_opening())?;
        let unindexed = Arc::clone(&self.unindexed);
        Ok(Box::new(SqliteReader::new(
            connection,
            unindexed,
            Arc::clone(&self.files),
        )))
    }

    fn status(&self) -> Status {
        let path = &self.options.path;
        let mut wal = path.as_os_str().to_owned();
        wal.push(files::WAL);
        let bytes = |path: &Path| path.metadata().map_or(0, |metadata| metadata.len());
        Status::Sqlite(SqliteStatus {
            database_bytes: bytes(path),
            wal_bytes: bytes(Path::new(&wal)),
        })
    }

    fn close(&self) -> Result<(), OpenError> {
        let options = &self.options;
        if let Some(doom) = self.files.fate.reason() {
            // The write-ahead log stays as it is: a new process replays all of it.
            return Err(OpenError::failed(doom.to_string(), doom.clone()));
        }
        let connection = profile::connect(&options.path, Use::Write, options.writer_cache_kib)?;
        catch_up(&connection, &options.path)?;
        drop(connection);
        self.checkpointer.lock().close(&self.files)
    }
}

/// Locks the files of an existing store and opens the first connection. The files are dropped last.
fn open_files(lock: Lock, cache_kib: u32) -> Result<(Files, Connection), OpenError> {
    files::refuse_damaged(lock.path())?;
    let files = Files::open(lock)?;
    // The pragmas write to the file, so ownership is checked before.
    let connection = profile::connect(files.path(), Use::Write, cache_kib)?;
    Ok((files, connection))
}

/// Creates a store. It gets its name when it is whole.
fn make(path: &Path, identity: Identity) -> Result<(), OpenError> {
    let new = Unnamed::store(path)?;
    let file = files::FileIdentity::of(new.file()).map_err(|error| {
        OpenError::failed(
            format!("{} cannot be looked at: {error}", new.path().display()),
            error,
        )
    })?;
    let mut connection = profile::connect_raw(new.path())?;
    schema::migrate(&mut connection, new.path())?;
    let identity = if identity.epoch == 0 {
        Identity::random()?
    } else {
        identity
    };
    past::found(&connection, identity, file)?;
    profile::close(connection, new.path())?;
    new.publish()
}

/// Writes the missing part of the index.
fn catch_up(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    rebuild::catch_up(connection, path).map_err(|failure| failure.unusable(path))
}
