//! The files of a store: their names, and the naming of a file at the end, when all of it is on the disk. Nothing here
//! may open a database that SQLite has open in this process: closing it again releases SQLite's locks.

use std::{
    ffi::OsString,
    fs::File,
    io::{Error, ErrorKind},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, RenameFlags},
    io::Errno,
};

use crate::error::OpenError;

/// For this user alone, whatever the umask and the directory allow.
const PRIVATE: u32 = 0o600;
/// SQLite's files beside a database. They mean nothing without it, and it may be incomplete without them.
pub(super) const OF_SQLITE: [&str; 3] = ["-wal", "-shm", "-journal"];
/// A store under construction.
const NEW: &str = ".new";
/// A copy under construction, of a backup or a restore.
const PARTIAL: &str = ".partial";
/// See `witness.rs`.
pub(super) const WITNESS: &str = ".witness";
/// See `files.rs`.
pub(super) const DAMAGED: &str = ".damaged";
/// See `files.rs`.
pub(super) const LOCK: &str = ".lock";

/// What exists at a path for a store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Found {
    Nothing,
    /// A file that is not empty, under one name.
    File,
}

/// The path with a suffix.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// The path without symbolic links, as SQLite takes it: its files stand beside the target of the links.
pub(super) fn resolved(path: &Path) -> Result<PathBuf, OpenError> {
    match path.symlink_metadata() {
        Ok(found) if found.is_symlink() => path.canonicalize().map_err(|error| {
            OpenError::failed(
                format!(
                    "{} leads nowhere ({error}): restore what it led to, or remove the link",
                    path.display()
                ),
                error,
            )
        }),
        _ => Ok(path.to_owned()),
    }
}

/// Distinguishes a store from nothing at all, and refuses everything between the two: it may be the remains of a store.
pub(super) fn examine(path: &Path) -> Result<Found, OpenError> {
    let shown = path.display();
    let found = match path.metadata() {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return nothing_at(path),
        Err(error) => {
            return Err(OpenError::failed(
                format!("{shown} cannot be looked at: {error}"),
                error,
            ));
        }
    };
    if !found.is_file() {
        return Err(OpenError::Refused(format!(
            "{shown} is no file: name another one"
        )));
    }
    if found.len() == 0 {
        return Err(OpenError::Refused(format!(
            "{shown} is empty, so it is not a store any more: restore a backup, or, if there never was a store, \
             remove it"
        )));
    }
    if found.nlink() != 1 {
        return Err(OpenError::Refused(format!(
            "{shown} has {} names (hard links), and SQLite must know one only: remove the others",
            found.nlink()
        )));
    }
    Ok(Found::File)
}

/// There is no database, so there must be none of its files either.
fn nothing_at(path: &Path) -> Result<Found, OpenError> {
    for suffix in OF_SQLITE {
        let orphan = beside(path, suffix);
        if exists(&orphan) {
            return Err(OpenError::Refused(format!(
                "{} is there and its database {} is not: put the database back, or restore a backup, and only if \
                 nothing of it is needed remove this file",
                orphan.display(),
                path.display()
            )));
        }
    }
    let partial = beside(path, PARTIAL);
    if exists(&partial) {
        return Err(OpenError::Refused(format!(
            "{} is what is left of a restore that was broken off: restore again, or remove it to begin with an \
             empty store",
            partial.display()
        )));
    }
    for suffix in [WITNESS, DAMAGED] {
        let trace = beside(path, suffix);
        if exists(&trace) {
            return Err(OpenError::Refused(format!(
                "{} says that there was a store at {}: put it back, or restore a backup, and only to begin with an \
                 empty store remove this file",
                trace.display(),
                path.display()
            )));
        }
    }
    Ok(Found::Nothing)
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// A file without its final name. It is removed unless it gets the name.
#[derive(Debug)]
pub(super) struct Unnamed {
    path: PathBuf,
    name: PathBuf,
    /// Opened before SQLite opens the file. The lock on it distinguishes a file under construction from a remnant.
    file: File,
    named: bool,
}

impl Unnamed {
    /// For a store with the final name `name`.
    pub(super) fn store(name: &Path) -> Result<Self, OpenError> {
        Self::create(name, NEW)
    }

    /// For a copy with the final name `name`.
    pub(super) fn copy(name: &Path) -> Result<Self, OpenError> {
        Self::create(name, PARTIAL)
    }

    fn create(name: &Path, suffix: &str) -> Result<Self, OpenError> {
        let path = beside(name, suffix);
        let cannot = |error: Error| {
            OpenError::failed(
                format!(
                    "{} cannot be made ({error}): check that its directory exists and may be written",
                    path.display()
                ),
                error,
            )
        };
        if let Ok(left) = File::open(&path) {
            left.try_lock().map_err(|_| {
                OpenError::InUse(format!("{} is being made by another process", path.display()))
            })?;
            // No user was ever told of it: it never had its name.
            remove(&path).map_err(cannot)?;
        }
        let file = create_private(&path).map_err(cannot)?;
        file.try_lock().map_err(|error| {
            OpenError::failed(format!("{} cannot be locked: {error}", path.display()), error)
        })?;
        Ok(Self {
            path,
            name: name.to_owned(),
            file,
            named: false,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its name, unless the name is taken. Its connections must be closed, and its journal empty.
    pub(super) fn publish(mut self) -> Result<(), OpenError> {
        let cannot = |error: Error| {
            OpenError::failed(
                format!(
                    "{} cannot be made out of {}: {error}",
                    self.name.display(),
                    self.path.display()
                ),
                error,
            )
        };
        self.file.sync_all().map_err(cannot)?;
        rename_to_nothing(&self.path, &self.name).map_err(cannot)?;
        self.named = true;
        sync_directory(&self.name).map_err(cannot)
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        if !self.named {
            let _ = remove(&self.path);
        }
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    for suffix in OF_SQLITE {
        let _ = std::fs::remove_file(beside(path, suffix));
    }
    std::fs::remove_file(path)
}

/// Renames a file; an error if the new name exists.
fn rename_to_nothing(from: &Path, to: &Path) -> std::io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            // The file system cannot do it in one step. If it is interrupted between the two, the file has two names,
            // which a start refuses.
            std::fs::hard_link(from, to)?;
            std::fs::remove_file(from)
        }
        other => Ok(other?),
    }
}

/// A new file that this user alone can read and write, whatever the umask is.
pub(super) fn create_private(path: &Path) -> std::io::Result<File> {
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(PRIVATE)
        .open(path)?;
    if file.metadata()?.permissions().mode() & 0o777 != PRIVATE {
        file.set_permissions(std::fs::Permissions::from_mode(PRIVATE))?;
    }
    Ok(file)
}

/// Makes an existing file private to this user. Does nothing if there is no file.
pub(super) fn make_private(path: &Path) -> std::io::Result<()> {
    let found = match path.metadata() {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mode = found.permissions().mode() & 0o777;
    if mode == PRIVATE {
        return Ok(());
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(PRIVATE))?;
    if mode & 0o077 != 0 {
        log::warn!(
            "{} could be used by others (mode {mode:03o}): from now on by its owner alone (600)",
            path.display()
        );
    }
    Ok(())
}

/// A new name is durable only after its directory is flushed.
pub(super) fn sync_directory(path: &Path) -> std::io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}
