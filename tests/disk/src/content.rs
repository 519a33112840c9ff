//! What SQLite recovers from a crash image, page by page: whether two images are the same database.
//!
//! It owns a directory for copies. It must never touch the files of the image: the store under test is to recover those
//! by itself.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tempfile::TempDir;

use crate::{
    cache::{Image, overwrite},
    script,
};

/// The suffix that SQLite gives to the name of a write-ahead log.
const LOG_SUFFIX: &str = "-wal";

/// See the module.
#[derive(Debug)]
pub struct Recovery {
    directory: TempDir,
}

impl Recovery {
    /// Makes the directory.
    ///
    /// # Panics
    /// There is no place for temporary files.
    #[expect(
        clippy::new_without_default,
        reason = "a value that makes a directory is no default"
    )]
    pub fn new() -> Self {
        Self {
            directory: crate::directory(),
        }
    }

    /// All pages of the image's database after the recovery of its log.
    ///
    /// # Errors
    /// It is no database, or it cannot be read.
    ///
    /// # Panics
    /// The directory cannot be written to or read.
    pub fn pages(&self, image: &Image, place: &Path) -> rusqlite::Result<Vec<u8>> {
        let original = script::database(place);
        let copy = script::database(self.directory.path());
        for suffix in ["", LOG_SUFFIX, "-shm"] {
            let path = with_suffix(&copy, suffix);
            match image.get(&with_suffix(&original, suffix)) {
                Some(bytes) => overwrite(&path, bytes),
                None => drop(std::fs::remove_file(&path)),
            }
        }
        let connection = Connection::open(&copy)?;
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))?;
        connection.close().map_err(|(_, error)| error)?;
        Ok(read(&copy))
    }
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("the copy")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Cache;

    #[test]
    fn images_with_the_same_commits_have_the_same_pages() {
        let directory = crate::directory();
        let place = directory.path();
        let connection = Connection::open(script::database(place)).unwrap();
        connection
            .query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0))
            .unwrap();
        connection
            .execute_batch("CREATE TABLE t (n); INSERT INTO t VALUES (1)")
            .unwrap();
        let before = Cache::of(place).visible();
        connection.execute_batch("INSERT INTO t VALUES (2)").unwrap();
        let after = Cache::of(place).visible();
        let log = with_suffix(&script::database(place), LOG_SUFFIX);
        let mut torn = after.clone();
        let end = before[&log].len() + 100;
        torn.get_mut(&log).unwrap().truncate(end);
        assert!(torn[&log].len() > before[&log].len());

        let recovery = Recovery::new();
        let pages = |image| recovery.pages(image, place).unwrap();
        assert_eq!(pages(&before), pages(&torn), "half a commit is none");
        assert_ne!(pages(&before), pages(&after));
        assert_eq!(pages(&after), pages(&after));
        assert_eq!(Cache::of(place).visible(), after, "the files are untouched");
    }
}
