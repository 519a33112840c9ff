//! Copies the write-ahead log into the database beside the commits, and makes the log start again from its beginning
//! from time to time: a log that only grows costs twice per flush. It must never make a commit wait for a copy of more
//! than a few pages.
//!
//! Only two errors are forgiven here: another connection was in the way, or the disk is full. A flush that fails once
//! may succeed the next time although Linux dropped the pages, and each descriptor reports it once; a process that goes
//! on would then start the log again over commits that are nowhere else. So the store is doomed, nothing touches the
//! log any more, and a new process replays all of it. A full disk differs: the write was refused, not dropped, the log
//! keeps the pages, and the copy is made when there is room. (A flush that finds no room is no such refusal, and
//! dooms.)
use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, config::DbConfig};

use super::{
    Files,
    failure::Failure,
    profile::{self, Use},
    scrub::Scrub,
};
use crate::error::OpenError;

/// Pages written since the last copy that trigger the next one.
const PAGES_PER_CHECKPOINT: u32 = 1_000;
/// Written pages are copied after this time at the latest.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);
/// A log of this many pages (16 MiB) must start again from its beginning.
const PAGES_BEFORE_RESTART: u32 = 4_096;
/// A log of this many pages (64 MiB) is worth a brief stop of the writer.
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

/// Call this on the thread that committed.
pub(super) fn pages_after_commit() -> u32 {
    WAL_PAGES.get()
}

#[derive(Debug, Default)]
struct Progress {
    /// Pages in the log.
    written: u32,
    /// Of these, in the database.
    copied: u32,
    /// There were commits after the last checkpoint began.
    dirty: bool,
    stop: bool,
}

/// The state that the writer and the checkpointing thread share.
#[derive(Debug, Default)]
pub(super) struct Signal {
    progress: Mutex<Progress>,
    changed: Condvar,
    /// The log is long: the writer must copy the small rest, so that the log starts again.
    restart: AtomicBool,
}

impl Signal {
    /// The log has this many pages after a commit.
    pub(super) fn committed(&self, pages: u32) {
        let mut progress = self.progress.lock();
        if pages < progress.copied {
            progress.copied = 0;
        }
        let due_before = progress.is_due();
        progress.written = pages;
        progress.dirty = true;
        if progress.is_due() && !due_before {
            self.changed.notify_one();
        }
    }

    /// Nothing was copied: try again in a second, or after many more pages.
    fn try_again(&self) {
        let mut progress = self.progress.lock();
        progress.dirty = true;
        progress.copied = progress.written;
    }

    /// True once for each time the log is long.
    pub(super) fn take_restart(&self) -> bool {
        self.restart.load(Ordering::Relaxed) && self.restart.swap(false, Ordering::Relaxed)
    }

    /// Waits until there are enough pages to copy, or for a second.
    fn wait(&self) -> Next {
        let mut progress = self.progress.lock();
        let deadline = Instant::now() + CHECKPOINT_INTERVAL;
        while !progress.is_due() && !progress.stop {
            if self.changed.wait_until(&mut progress, deadline).timed_out() {
                break;
            }
        }
        let dirty = std::mem::take(&mut progress.dirty);
        match (progress.stop, dirty) {
            (true, _) => Next::Stop,
            (false, true) => Next::Copy,
            (false, false) => Next::Idle,
        }
    }
}

/// The next step of the checkpointing thread.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Next {
    /// There were commits.
    Copy,
    Idle,
    Stop,
}

impl Progress {
    const fn is_due(&self) -> bool {
        self.written.saturating_sub(self.copied) >= PAGES_PER_CHECKPOINT
    }
}

/// The kinds of checkpoints.
#[derive(Clone, Copy, Debug)]
enum Mode {
    /// Copies as much as possible without waiting for other connections.
    Passive,
    /// Waits, copies everything and empties the log's file.
    Truncate,
}

/// SQLite's report of a checkpoint.
#[derive(Clone, Copy, Debug)]
struct Copied {
    /// Another connection was in the way.
    busy: bool,
    /// Pages in the log.
    log: u32,
    /// Of these, in the database now.
    copied: u32,
}

fn checkpoint(connection: &Connection, mode: Mode) -> Result<Copied, Failure> {
    let sql = match mode {
        Mode::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
        Mode::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
    };
    Ok(connection.prepare_cached(sql)?.query_row([], |row| {
        let pages = |column| Ok::<_, rusqlite::Error>(u32::try_from(row.get::<_, i64>(column)?).unwrap_or(0));
        Ok(Copied {
            busy: row.get::<_, i64>(0)? != 0,
            log: pages(1)?,
            copied: pages(2)?,
        })
    })?)
}

/// On the writer's connection, between two batches: copies the small rest, so that the next commit starts the log
/// again. No other connection writes meanwhile, so the copy ends; readers may still be in the way, then the next long
/// log asks again.
pub(super) fn finish_copying(connection: &Connection) -> Result<(), Failure> {
    match checkpoint(connection, Mode::Passive) {
        Ok(_) => Ok(()),
        Err(failure) if failure.passes() => Ok(()),
        Err(failure) => Err(failed(&failure)),
    }
}

/// A checkpoint forgives no failure except those that [pass](Failure::passes).
fn failed(failure: &Failure) -> Failure {
    Failure::Lost(format!("copying the write-ahead log failed: {failure}"))
}

/// The checkpointing thread.
#[derive(Debug)]
pub(super) struct Checkpointer {
    signal: Arc<Signal>,
    /// Returns the connection for the last checkpoint.
    thread: Option<JoinHandle<Connection>>,
}

impl Checkpointer {
    pub(super) fn start(files: Arc<Files>) -> Result<Self, OpenError> {
        let connection = profile::connect(files.path(), Use::Checkpoint, CACHE_KIB)?;
        let signal = Arc::new(Signal::default());
        let thread = std::thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn({
                let signal = Arc::clone(&signal);
                move || run(connection, &signal, &files)
            })
            .map_err(|error| OpenError::failed(format!("no thread could be started: {error}"), error))?;
        Ok(Self {
            signal,
            thread: Some(thread),
        })
    }

    pub(super) fn signal(&self) -> Arc<Signal> {
        Arc::clone(&self.signal)
    }

    /// Stops the thread and copies the rest. The second call has nothing to do.
    pub(super) fn close(&mut self, files: &Files) -> Result<(), OpenError> {
        let Some(connection) = self.stop() else {
            return Ok(());
        };
        // The thread may have found a failure last.
        if let Some(doom) = files.fate.reason() {
            return Err(OpenError::failed(doom.to_string(), doom.clone()));
        }
        let done = checkpoint(&connection, Mode::Truncate).map_err(|failure| {
            if !failure.passes() {
                files.judge(&failed(&failure));
            }
            OpenError::failed(
                format!("the last checkpoint failed, nothing is lost, the next start makes it: {failure}"),
                failure,
            )
        })?;
        if done.busy {
            return Err(OpenError::Refused(
                "the last checkpoint was kept from finishing by a reader, nothing is lost".to_owned(),
            ));
        }
        // All pages are in the database, and flushed: the last connection may remove the log.
        connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)
            .map(drop)
            .map_err(|error| OpenError::failed(error.to_string(), error))
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
    let (mut full, mut scrub) = (false, Scrub::new(Instant::now()));
    loop {
        let next = signal.wait();
        // This thread may find the next failure itself, but it does not touch a store after another thread found one.
        if next == Next::Stop || files.fate.reason().is_some() {
            return connection;
        }
        if let Err(failure) = files.check_name() {
            files.judge(&failure);
            return connection;
        }
        if let Err(failure) = scrub.tick(&connection, next == Next::Idle, Instant::now())
            && failure.is_final()
        {
            files.judge(&failure);
            return connection;
        }
        if next == Next::Idle {
            continue;
        }
        match step(&connection, signal, files) {
            Ok(()) => full = false,
            Err(failure) if failure.passes() => {
                if !std::mem::replace(&mut full, failure.is_full()) && failure.is_full() {
                    log::warn!("the disk is too full to copy the write-ahead log; it is tried every second");
                }
                signal.try_again();
            }
            Err(failure) => {
                files.judge(&failed(&failure));
                return connection;
            }
        }
    }
}

fn step(connection: &Connection, signal: &Signal, files: &Files) -> Result<(), Failure> {
    let mut done = checkpoint(connection, Mode::Passive)?;
    if done.log >= PAGES_BEFORE_TRUNCATION {
        connection.busy_timeout(TRUNCATION_PATIENCE)?;
        done = checkpoint(connection, Mode::Truncate)?;
    }
    signal.progress.lock().copied = done.copied;
    // All may be copied by now, but the writer has written more: it must finish the copy itself. The copied pages are
    // flushed here first, so that little is left to flush while a commit waits.
    if done.log >= PAGES_BEFORE_RESTART {
        files.sync().map_err(|error| {
            Failure::Lost(format!("what a checkpoint copied could not be flushed: {error}"))
        })?;
        signal.restart.store(true, Ordering::Relaxed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::tests::Place;

    #[test]
    fn waits_for_pages_or_time() {
        let signal = Signal::default();
        signal.committed(PAGES_PER_CHECKPOINT);
        assert_eq!(signal.wait(), Next::Copy);
        assert!(!signal.progress.lock().dirty);
        signal.progress.lock().copied = PAGES_PER_CHECKPOINT;
        // The log started again: copied pages of the old one do not count any more.
        signal.committed(10);
        assert_eq!(signal.progress.lock().copied, 0);
        assert_eq!(signal.wait(), Next::Copy);
        assert_eq!(signal.wait(), Next::Idle);
        signal.progress.lock().stop = true;
        assert_eq!(signal.wait(), Next::Stop);
    }

    /// After any copy, the next commit would only make the log longer.
    #[test]
    fn a_long_log_is_to_start_again_though_all_of_it_is_copied() {
        let place = Place::new();
        let store = place.open();
        let writer = place.stranger();
        writer
            .execute_batch("PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (body)")
            .unwrap();
        let signal = Signal::default();
        let copier = place.stranger();
        step(&copier, &signal, &store.files).unwrap();
        assert!(!signal.take_restart(), "it is short");
        let bytes = i64::from(PAGES_BEFORE_RESTART) * 4_096;
        writer
            .execute("INSERT INTO t VALUES (zeroblob(?1))", [bytes])
            .unwrap();
        step(&copier, &signal, &store.files).unwrap();
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
