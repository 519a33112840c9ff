//! Copies the write-ahead log into the database beside the commits, and sees to it that the log starts again
//! from its beginning now and then: one that only grows costs twice per flush.
//! It must never make a commit wait for a copy of more than a few pages.

use std::{
    cell::Cell,
    fs::File,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use super::{
    Files,
    profile::{self, Use},
};
use crate::error::OpenError;

/// Pages written since the last copy that start the next one.
const PAGES_PER_CHECKPOINT: u32 = 1_000;
/// What was written is copied after so long at the latest.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);
/// A log of so many pages (16 MiB) is to be started again from its beginning.
const PAGES_BEFORE_RESTART: u32 = 4_096;
/// A log of so many pages (64 MiB) is worth stopping the writer for, briefly.
const PAGES_BEFORE_TRUNCATION: u32 = 16_384;
/// How long a truncation waits for the writer and the readers before it gives up.
const TRUNCATION_PATIENCE: Duration = Duration::from_millis(50);
/// A checkpoint reads from the log and needs few pages of its own.
const CACHE_KIB: u32 = 1 << 10;

thread_local! {
    /// The pages in the log after this thread's last commit.
    static WAL_PAGES: Cell<u32> = const { Cell::new(0) };
}

/// Counts the pages in the log after each commit of this connection, for [`pages_after_commit`].
pub(super) fn count_pages(connection: &Connection) {
    connection.wal_hook(Some(|_, pages| {
        WAL_PAGES.set(u32::try_from(pages).unwrap_or(0));
        Ok(())
    }));
}

/// To be asked on the thread that committed.
pub(super) fn pages_after_commit() -> u32 {
    WAL_PAGES.get()
}

#[derive(Debug, Default)]
struct Progress {
    /// Pages in the log.
    written: u32,
    /// Of these, in the database.
    copied: u32,
    /// Something was committed since the last checkpoint began.
    dirty: bool,
    stop: bool,
}

/// What the writer and the checkpointing thread tell each other.
#[derive(Debug, Default)]
pub(super) struct Signal {
    progress: Mutex<Progress>,
    changed: Condvar,
    /// The log is long: the writer is to copy the little that is left, so that it starts again.
    restart: AtomicBool,
}

impl Signal {
    /// The log has so many pages after a commit.
    pub(super) fn committed(&self, pages: u32) {
        let mut progress = self.progress.lock();
        if pages < progress.copied {
            progress.copied = 0;
        }
        let first = !progress.dirty;
        let due_before = progress.is_due();
        progress.written = pages;
        progress.dirty = true;
        if first || (progress.is_due() && !due_before) {
            self.changed.notify_one();
        }
    }

    /// Asked once for each time the log is long.
    pub(super) fn take_restart(&self) -> bool {
        self.restart.load(Ordering::Relaxed) && self.restart.swap(false, Ordering::Relaxed)
    }

    /// Waits until there is something to copy; false to stop.
    fn wait(&self) -> bool {
        let mut progress = self.progress.lock();
        while !progress.dirty && !progress.stop {
            self.changed.wait(&mut progress);
        }
        let deadline = Instant::now() + CHECKPOINT_INTERVAL;
        while !progress.is_due() && !progress.stop {
            if self.changed.wait_until(&mut progress, deadline).timed_out() {
                break;
            }
        }
        progress.dirty = false;
        !progress.stop
    }
}

impl Progress {
    const fn is_due(&self) -> bool {
        self.written.saturating_sub(self.copied) >= PAGES_PER_CHECKPOINT
    }
}

/// Which kind of checkpoint.
#[derive(Clone, Copy, Debug)]
enum Mode {
    /// Copies what it can without waiting for anyone.
    Passive,
    /// Waits, copies everything and empties the log's file.
    Truncate,
}

/// What SQLite says about a checkpoint.
#[derive(Clone, Copy, Debug)]
struct Copied {
    /// Someone was in the way.
    busy: bool,
    /// Pages in the log.
    log: u32,
    /// Of these, in the database now.
    copied: u32,
}

fn checkpoint(connection: &Connection, mode: Mode) -> rusqlite::Result<Copied> {
    let sql = match mode {
        Mode::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
        Mode::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
    };
    connection.prepare_cached(sql)?.query_row([], |row| {
        let pages = |column| Ok::<_, rusqlite::Error>(u32::try_from(row.get::<_, i64>(column)?).unwrap_or(0));
        Ok(Copied {
            busy: row.get::<_, i64>(0)? != 0,
            log: pages(1)?,
            copied: pages(2)?,
        })
    })
}

/// On the writer's connection, between two batches: the little that is left, so that the next commit starts the
/// log again. No one else writes meanwhile, so it does come to an end; readers may still be in the way, then the
/// next long log asks again.
pub(super) fn finish_copying(connection: &Connection) {
    if let Err(error) = checkpoint(connection, Mode::Passive) {
        log::warn!("the write-ahead log could not be copied between two batches: {error}");
    }
}

/// The checkpointing thread.
#[derive(Debug)]
pub(super) struct Checkpointer {
    signal: Arc<Signal>,
    /// Gives the connection back for the last checkpoint.
    thread: Option<JoinHandle<Connection>>,
}

impl Checkpointer {
    pub(super) fn start(path: &Path, files: Arc<Files>) -> Result<Self, OpenError> {
        let connection = profile::connect(path, Use::Checkpoint, CACHE_KIB)?;
        let signal = Arc::new(Signal::default());
        let thread = std::thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn({
                let signal = Arc::clone(&signal);
                move || run(connection, &signal, &files)
            })
            .map_err(|error| OpenError(format!("no thread could be started: {error}")))?;
        Ok(Self {
            signal,
            thread: Some(thread),
        })
    }

    pub(super) fn signal(&self) -> Arc<Signal> {
        Arc::clone(&self.signal)
    }

    /// Stops the thread and copies what is left. The second call has nothing to do.
    pub(super) fn close(&mut self) -> Result<(), OpenError> {
        let Some(connection) = self.stop() else {
            return Ok(());
        };
        let done = checkpoint(&connection, Mode::Truncate)
            .map_err(|error| OpenError(format!("the last checkpoint failed, nothing is lost: {error}")))?;
        if done.busy {
            return Err(OpenError(
                "the last checkpoint was kept from finishing by a reader, nothing is lost".to_owned(),
            ));
        }
        Ok(())
    }

    fn stop(&mut self) -> Option<Connection> {
        let thread = self.thread.take()?;
        self.signal.progress.lock().stop = true;
        self.signal.changed.notify_one();
        thread.join().ok()
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(connection: Connection, signal: &Signal, files: &Files) -> Connection {
    while signal.wait() {
        if let Err(error) = step(&connection, signal, &files.database) {
            log::warn!("a checkpoint failed and will be tried again: {error}");
        }
    }
    connection
}

fn step(connection: &Connection, signal: &Signal, database: &File) -> rusqlite::Result<()> {
    let mut done = checkpoint(connection, Mode::Passive)?;
    if done.log >= PAGES_BEFORE_TRUNCATION {
        connection.busy_timeout(TRUNCATION_PATIENCE)?;
        done = checkpoint(connection, Mode::Truncate)?;
    }
    signal.progress.lock().copied = done.copied;
    // All of it may be copied by now, but the writer has written more: it has to finish it itself. What was copied is
    // flushed here first, so that little is left to flush while a commit waits.
    if done.log >= PAGES_BEFORE_RESTART {
        if let Err(error) = database.sync_data() {
            log::warn!("what a checkpoint copied could not be flushed: {error}");
        }
        signal.restart.store(true, Ordering::Relaxed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_pages_or_time() {
        let signal = Signal::default();
        signal.committed(PAGES_PER_CHECKPOINT);
        assert!(signal.wait());
        assert!(!signal.progress.lock().dirty);
        signal.progress.lock().copied = PAGES_PER_CHECKPOINT;
        // The log began again: what was copied of the old one counts no more.
        signal.committed(10);
        assert_eq!(signal.progress.lock().copied, 0);
        signal.progress.lock().stop = true;
        assert!(!signal.wait());
    }

    /// Whatever was copied, the next commit would only make it longer.
    #[test]
    fn a_long_log_is_to_start_again_though_all_of_it_is_copied() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.db");
        let writer = Connection::open(&path).unwrap();
        writer
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (body)")
            .unwrap();
        let signal = Signal::default();
        let copier = Connection::open(&path).unwrap();
        let database = File::open(&path).unwrap();
        step(&copier, &signal, &database).unwrap();
        assert!(!signal.take_restart(), "it is short");
        let bytes = i64::from(PAGES_BEFORE_RESTART) * 4_096;
        writer
            .execute("INSERT INTO t VALUES (zeroblob(?1))", [bytes])
            .unwrap();
        step(&copier, &signal, &database).unwrap();
        assert!(signal.take_restart());
    }

    #[test]
    fn a_long_log_asks_once_for_a_restart() {
        let signal = Signal::default();
        assert!(!signal.take_restart());
        signal.restart.store(true, Ordering::Relaxed);
        assert!(signal.take_restart());
        assert!(!signal.take_restart());
    }
}
