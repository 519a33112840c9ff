//! Reading and replacing one small file.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::Path,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::StoreError;

/// Version of every file's format.
const VERSION: u32 = 1;
/// No file of a profile is nearly as large: what is, was not written by this program.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[derive(Deserialize, Serialize)]
struct Versioned<T> {
    version: u32,
    content: T,
}

fn io(path: &Path, error: std::io::Error) -> StoreError {
    StoreError::Io {
        path: path.to_owned(),
        error,
    }
}

/// Creates the directory, for its owner only.
pub(super) fn create_directory(path: &Path) -> Result<(), StoreError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| io(path, error))
}

/// Options for a file that only its owner may read.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// The content of a file; `None` when there is none.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    let corrupt = |reason: String| StoreError::Corrupt {
        path: path.to_owned(),
        reason,
    };
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX => return Err(corrupt("too large".to_owned())),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(path, error)),
    }
    let text = fs::read(path).map_err(|error| io(path, error))?;
    let versioned: Versioned<T> =
        serde_json::from_slice(&text).map_err(|error| corrupt(error.to_string()))?;
    if versioned.version != VERSION {
        return Err(corrupt(format!("version {}", versioned.version)));
    }
    Ok(Some(versioned.content))
}

/// How much a replaced file must survive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Durability {
    /// The end of this program, however sudden.
    Program,
    /// The end of the machine as well: waits for the disk.
    Machine,
}

/// Replaces a file as a whole: after a crash it holds the old content or the new one.
pub(super) fn replace<T: Serialize>(
    path: &Path,
    content: &T,
    durability: Durability,
) -> Result<(), StoreError> {
    let versioned = Versioned {
        version: VERSION,
        content,
    };
    let text = serde_json::to_vec(&versioned).map_err(|error| io(path, error.into()))?;
    let beside = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = private().write(true).create(true).truncate(true).open(&beside)?;
        file.write_all(&text)?;
        if durability == Durability::Machine {
            file.sync_all()?;
        }
        fs::rename(&beside, path)?;
        match path.parent() {
            Some(directory) if durability == Durability::Machine => File::open(directory)?.sync_all(),
            _ => Ok(()),
        }
    };
    write().map_err(|error| io(path, error))
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(path, error)),
        _ => Ok(()),
    }
}
