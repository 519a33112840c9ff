//! Ownership of and trust in a store's files: the locks that keep other processes out, and the end of all use when a
//! process finds a reason that no process may ignore.
//!
//! The lock that counts is on the database file itself (`flock`, another lock space than SQLite's own): other names of
//! the same file, and a removed lock file, change nothing. Its descriptor is opened before SQLite's first connection
//! and closed after the last one, because closing *any* descriptor of a file releases the locks that SQLite has on it
//! in this process. So this module never opens the database again; it examines the file by its path alone.

use std::{
    fmt,
    fs::{File, TryLockError},
    io::{Error, Read, Seek, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::UNIX_EPOCH,
};

use super::{
    failure::Failure,
    names::{self, DAMAGED, Found, LOCK, OF_SQLITE, WITNESS},
    profile, schema,
    witness::Witness,
};
use crate::{
    error::{OpenError, ReadError},
    fate::{Doom, Fate},
};

/// Files that SQLite keeps open beside the database, and goes on writing to even if they are removed.
const OF_LOG: [&str; 2] = [WAL, "-shm"];

/// What the name of the write-ahead log adds to that of the database.
pub(super) const WAL: &str = "-wal";

/// Identifies a file, so that a copy of it differs. Without the device: its number changes with a reboot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct FileIdentity {
    pub(super) inode: u64,
    /// Nanoseconds since 1970, if the file system knows them.
    pub(super) born: Option<i64>,
}

impl FileIdentity {
    pub(super) fn of(file: &File) -> std::io::Result<Self> {
        let found = file.metadata()?;
        let born = found.created().ok();
        let born = born.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        Ok(Self {
            inode: found.ino(),
            born: born.and_then(|since| i64::try_from(since.as_nanos()).ok()),
        })
    }
}

/// The lock file: it names the process that uses a store, and keeps two processes from creating one.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// One process per store: others are refused at once, instead of waiting for each other's transactions.
    pub(super) fn take(path: &Path) -> Result<Self, OpenError> {
        let path = names::resolved(path)?;
        let name = names::beside(&path, LOCK);
        let cannot = |error: Error| {
            OpenError::failed(
                format!(
                    "the lock file {} cannot be opened ({error}): check that its directory exists and may be written",
                    name.display()
                ),
                error,
            )
        };
        names::make_private(&name).map_err(cannot)?;
        let mut file = match names::create_private(&name) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                File::options().read(true).write(true).open(&name)
            }
            other => other,
        }
        .map_err(cannot)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut process = String::new();
                let _ = Read::by_ref(&mut file).take(20).read_to_string(&mut process);
                return Err(in_use(&path, process.trim()));
            }
            Err(TryLockError::Error(error)) => return Err(cannot_lock(&name, error)),
        }
        // Informational: a full disk must not prevent a start.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { path, _file: file })
    }

    /// The store's path without symbolic links.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn in_use(path: &Path, process: &str) -> OpenError {
    let process = if process.is_empty() {
        String::new()
    } else {
        format!(" (process {process})")
    };
    OpenError::InUse(format!(
        "another imserver uses {}{process}: stop it first, or name another data directory",
        path.display()
    ))
}

fn cannot_lock(path: &Path, error: Error) -> OpenError {
    OpenError::failed(
        format!(
            "{} cannot be locked ({error}): its file system must support locks",
            path.display()
        ),
        error,
    )
}

/// A store's files, locked for this process as long as this lives, and the trust in them. Drop it after the last
/// connection.
pub(super) struct Files {
    /// Serves also to flush after checkpoints.
    database: File,
    lock: Lock,
    device: u64,
    identity: FileIdentity,
    /// Device and inode of the files of the write-ahead log, once a connection keeps them open.
    log: OnceLock<[(u64, u64); 2]>,
    pub(super) witness: Witness,
    pub(super) fate: Fate,
}

impl Files {
    /// Locks an existing store of this program. No connection may be open yet.
    pub(super) fn open(lock: Lock) -> Result<Self, OpenError> {
        let path = lock.path();
        let cannot = |error: Error| {
            OpenError::failed(
                format!("{} cannot be opened ({error}): check who owns it", path.display()),
                error,
            )
        };
        if names::examine(path)? == Found::Nothing {
            return Err(OpenError::Missing(format!(
                "there is no store at {}",
                path.display()
            )));
        }
        let database = File::options()
            .read(true)
            .write(true)
            .open(path)
            .map_err(cannot)?;
        match database.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(path, "")),
            Err(TryLockError::Error(error)) => return Err(cannot_lock(path, error)),
        }
        // The first connection to a file of this program, and the first change.
        schema::check_owner(&profile::connect_raw(path)?, path)?;
        for suffix in OF_SQLITE.iter().chain(&["", WITNESS]) {
            names::make_private(&names::beside(path, suffix)).map_err(cannot)?;
        }
        let found = database.metadata().map_err(cannot)?;
        let files = Self {
            device: found.dev(),
            identity: FileIdentity::of(&database).map_err(cannot)?,
            log: OnceLock::new(),
            witness: Witness::open(&names::beside(path, WITNESS))?,
            database,
            lock,
            fate: Fate::default(),
        };
        files
            .check_name()
            .map_err(|failure| OpenError::Refused(failure.to_string()))?;
        Ok(files)
    }

    pub(super) fn path(&self) -> &Path {
        self.lock.path()
    }

    pub(super) const fn identity(&self) -> FileIdentity {
        self.identity
    }

    /// Remembers the files of the write-ahead log. A connection must be open, and stay open as long as
    /// [`Files::check_name`] is called.
    pub(super) fn note_log(&self) -> Result<(), OpenError> {
        let found = self
            .find_log()
            .map_err(|failure| OpenError::Refused(failure.to_string()))?;
        self.log.get_or_init(|| found);
        Ok(())
    }

    fn find_log(&self) -> Result<[(u64, u64); 2], Failure> {
        let mut found = [(0, 0); 2];
        for (suffix, place) in OF_LOG.iter().zip(&mut found) {
            let path = names::beside(self.path(), suffix);
            let state = path.symlink_metadata().map_err(|error| {
                Failure::Lost(format!(
                    "{} cannot be looked at any more: {error}",
                    path.display()
                ))
            })?;
            *place = (state.dev(), state.ino());
        }
        Ok(found)
    }

    /// Checks that the path still leads to the locked file, and that the file has no other name: a file that was moved
    /// away, or put in its place, belongs to another owner now. The same for its write-ahead log: writes to a removed
    /// one are lost.
    pub(super) fn check_name(&self) -> Result<(), Failure> {
        let shown = self.path().display();
        let found = self
            .path()
            .symlink_metadata()
            .map_err(|error| Failure::Lost(format!("{shown} cannot be looked at any more: {error}")))?;
        if (found.dev(), found.ino()) != (self.device, self.identity.inode) {
            return Err(Failure::Lost(format!(
                "{shown} is another file than the one that was opened"
            )));
        }
        if found.nlink() != 1 {
            return Err(Failure::Lost(format!(
                "{shown} has {} names (hard links)",
                found.nlink()
            )));
        }
        if let Some(log) = self.log.get()
            && *log != self.find_log()?
        {
            return Err(Failure::Lost(format!(
                "the write-ahead log of {shown} is another file than it was"
            )));
        }
        Ok(())
    }

    /// Flushes the database's file.
    pub(super) fn sync(&self) -> std::io::Result<()> {
        self.database.sync_data()
    }

    /// Ends the trust if the failure demands it.
    pub(super) fn judge(&self, failure: &Failure) {
        if failure.is_damage() {
            mark_damaged(self.path(), failure);
        }
        if failure.is_final() {
            self.fate.doom(Doom::Failed(failure.clone().into()));
        }
    }

    /// A reader's answer, after its failure was [judged](Files::judge).
    pub(super) fn judged<T>(&self, answer: Result<T, Failure>) -> Result<T, ReadError> {
        answer.map_err(|failure| {
            self.judge(&failure);
            failure.into()
        })
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Files")
            .field("lock", &self.lock)
            .finish_non_exhaustive()
    }
}

/// Remembers over restarts that a store is damaged: until an operator has checked it, it is not opened. Damage that
/// cannot be noted here is found again.
pub(super) fn mark_damaged(path: &Path, failure: &Failure) {
    let mark = names::beside(path, DAMAGED);
    let Ok(mut file) = names::create_private(&mark) else {
        return;
    };
    let written = writeln!(file, "{failure}")
        .and_then(|()| file.sync_all())
        .and_then(|()| names::sync_directory(&mark));
    match written {
        Ok(()) => log::error!("{} is damaged: {failure}", path.display()),
        Err(error) => log::error!("{} cannot be written: {error}", mark.display()),
    }
}

/// Refuses a store that was [found damaged](mark_damaged).
pub(super) fn refuse_damaged(path: &Path) -> Result<(), OpenError> {
    let mark = names::beside(path, DAMAGED);
    match std::fs::read_to_string(&mark) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        found => Err(OpenError::Damaged(format!(
            "{} was found damaged ({}): restore a backup; or let `imserver past keep` check all of it, which allows \
             it again if it is sound",
            path.display(),
            found.unwrap_or_else(|error| error.to_string()).trim()
        ))),
    }
}

/// The operator has checked the store.
pub(super) fn unmark_damaged(path: &Path) -> Result<(), OpenError> {
    let mark = names::beside(path, DAMAGED);
    match std::fs::remove_file(&mark) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(OpenError::failed(
            format!("{} cannot be removed: {error}", mark.display()),
            error,
        )),
        _ => Ok(()),
    }
}
