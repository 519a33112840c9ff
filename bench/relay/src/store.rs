//! Owns what messages are written to before anybody hears of them. It must never hold more than one round.

use crate::wire::GROUP;
use rusqlite::{Connection, OpenFlags};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What the log is filled with at a time before the start.
const FILL_BYTES: usize = 1024 * 1024;

/// Where messages go.
#[derive(Debug)]
pub(crate) enum Store {
    File(Log),
    Sqlite(Table),
    None,
}

impl Store {
    /// A log of `bytes` bytes, all of them written: overwriting costs one flush less than growing.
    pub(crate) fn file(path: &Path, bytes: u64) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(path)?;
        let zeros = vec![0; FILL_BYTES];
        let mut filled = 0;
        while filled < bytes {
            let part = zeros
                .len()
                .min(usize::try_from(bytes - filled).unwrap_or(FILL_BYTES));
            file.write_all_at(zeros.get(..part).unwrap_or_default(), filled)?;
            filled += part as u64;
        }
        file.sync_all()?;
        Ok(Self::File(Log {
            file,
            bytes,
            end: 0,
            round: Vec::new(),
        }))
    }

    /// A table in a new database.
    pub(crate) fn sqlite(path: &Path) -> io::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(io::Error::other)?;
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL;
                 PRAGMA synchronous = FULL;
                 CREATE TABLE events (
                     conversation INTEGER NOT NULL, seq INTEGER NOT NULL, sender INTEGER NOT NULL,
                     payload BLOB NOT NULL, PRIMARY KEY (conversation, seq)
                 ) WITHOUT ROWID;",
            )
            .map_err(io::Error::other)?;
        Ok(Self::Sqlite(Table {
            connection,
            heads: HashMap::new(),
            open: false,
        }))
    }

    /// Takes a message into this round.
    pub(crate) fn append(&mut self, sender: u32, target: u32, payload: &[u8]) -> io::Result<()> {
        match self {
            Self::File(log) => log.append(sender, target, payload),
            Self::Sqlite(table) => table.append(sender, target, payload).map_err(io::Error::other)?,
            Self::None => {}
        }
        Ok(())
    }

    /// Ends the round: returns when all of it is on the disk.
    pub(crate) fn commit(&mut self) -> io::Result<()> {
        match self {
            Self::File(log) => log.commit(),
            Self::Sqlite(table) => table.commit().map_err(io::Error::other),
            Self::None => Ok(()),
        }
    }
}

/// Records one behind the other: length of the payload, sender, target, payload.
#[derive(Debug)]
pub(crate) struct Log {
    file: File,
    bytes: u64,
    end: u64,
    round: Vec<u8>,
}

impl Log {
    fn append(&mut self, sender: u32, target: u32, payload: &[u8]) {
        for number in [payload.len() as u32, sender, target] {
            self.round.extend_from_slice(&number.to_be_bytes());
        }
        self.round.extend_from_slice(payload);
    }

    fn commit(&mut self) -> io::Result<()> {
        if self.round.is_empty() {
            return Ok(());
        }
        // A limit is not read again: what matters is that no round makes the file grow.
        if self.end + self.round.len() as u64 > self.bytes {
            self.end = 0;
        }
        self.file.write_all_at(&self.round, self.end)?;
        self.file.sync_data()?;
        self.end += self.round.len() as u64;
        self.round.clear();
        Ok(())
    }
}

/// The table, and how far each conversation has come.
#[derive(Debug)]
pub(crate) struct Table {
    connection: Connection,
    heads: HashMap<i64, i64>,
    /// A transaction of this round is open.
    open: bool,
}

impl Table {
    fn append(&mut self, sender: u32, target: u32, payload: &[u8]) -> rusqlite::Result<()> {
        if !self.open {
            self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute(())?;
            self.open = true;
        }
        let conversation = conversation(sender, target);
        let head = self.heads.entry(conversation).or_default();
        *head += 1;
        self.connection
            .prepare_cached("INSERT INTO events VALUES (?1, ?2, ?3, ?4)")?
            .execute((conversation, *head, sender, payload))?;
        Ok(())
    }

    fn commit(&mut self) -> rusqlite::Result<()> {
        if self.open {
            self.connection.prepare_cached("COMMIT")?.execute(())?;
            self.open = false;
        }
        Ok(())
    }
}

/// One number for both directions between two users; a group's is its own.
fn conversation(sender: u32, target: u32) -> i64 {
    if target & GROUP != 0 {
        return i64::from(target);
    }
    // Users are below the groups' bit, so this does not become negative.
    i64::from(sender.min(target)) << 32 | i64::from(sender.max(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_written_whole_and_the_log_never_grows() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        let mut store = Store::file(&path, 40).expect("a log");
        for payload in [b"first", b"other", b"third"] {
            store.append(1, 2, payload).expect("room");
            store.commit().expect("a disk");
        }
        let bytes = std::fs::read(&path).expect("a log");
        assert_eq!(bytes.len(), 40);
        let record = |text: &[u8]| [&[0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2], text].concat();
        assert_eq!(bytes[..34], [record(b"third"), record(b"other")].concat());
    }

    #[test]
    fn both_directions_are_one_conversation_in_order() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("db");
        let mut store = Store::sqlite(&path).expect("a database");
        store.commit().expect("nothing to do");
        for (sender, target) in [(1, 2), (2, 1), (1, GROUP | 1), (3, 1)] {
            store.append(sender, target, b"x").expect("a row");
        }
        store.commit().expect("a disk");
        store.append(1, 2, b"y").expect("a row");
        store.commit().expect("a disk");
        let reader = Connection::open(&path).expect("a database");
        let mut statement = reader
            .prepare("SELECT conversation, seq, sender FROM events ORDER BY 1, 2")
            .expect("a table");
        let rows: Vec<(i64, i64, i64)> = statement
            .query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .expect("rows")
            .collect::<Result<_, _>>()
            .expect("numbers");
        let (pair, other, group) = (1 << 32 | 2, 1 << 32 | 3, i64::from(GROUP) + 1);
        assert_eq!(
            rows,
            [
                (group, 1, 1),
                (pair, 1, 1),
                (pair, 2, 2),
                (pair, 3, 1),
                (other, 1, 3)
            ]
        );
    }
}
