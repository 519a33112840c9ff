//! Brings index and state up to the log when a store is opened. After a clean end there is nothing to do; after any
//! other the index of the newest events is missing. If the watermark was set to 0, index and state are rebuilt from the
//! first event on.

use std::path::Path;

use rusqlite::Connection;

use super::{
    checkpoint,
    deferred_index::{self, Indexed},
    derive,
    failure::Failure,
    read_view::ReadView,
    row::{self, LogEntry, event_columns, first, sql},
    standing,
    unindexed::{Seen, Unindexed},
};

/// Events replayed in one transaction.
const SLICE_EVENTS: i64 = 10_000;

/// How far the log, the index and the state have got.
#[derive(Debug)]
struct Progress {
    position: u64,
    watermark: u64,
    newest_event: u64,
}

pub(super) fn catch_up(connection: &Connection, path: &Path) -> Result<(), Failure> {
    let progress = progress(connection)?;
    if progress.newest_event > progress.position || progress.watermark > progress.position {
        return Err(Failure::damaged(format!(
            "its counters contradict each other ({progress:?})"
        )));
    }
    if progress.watermark >= progress.newest_event {
        return Ok(());
    }
    let anew = progress.watermark == 0;
    log::info!(
        "{}: making the index of the events after position {} up to {}",
        path.display(),
        progress.watermark,
        progress.newest_event
    );
    if anew {
        let transaction = connection.unchecked_transaction()?;
        derive::clear(&transaction)?;
        transaction.commit()?;
    }
    let mut done = progress.watermark;
    while done < progress.newest_event {
        let transaction = connection.unchecked_transaction()?;
        done = replay_slice(&transaction, done, anew)?;
        // A rebuilt state counts only when it is complete: an interrupted rebuild begins again.
        if !anew {
            standing::set_watermark(&transaction, done)?;
        }
        transaction.commit()?;
        // No other thread copies the write-ahead log yet.
        checkpoint::finish_copying(connection)?;
    }
    standing::set_watermark(connection, progress.position)
}

/// Returns the position of the last event applied.
fn replay_slice(connection: &Connection, after: u64, anew: bool) -> Result<u64, Failure> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        event_columns!(),
        " FROM events e WHERE e.position > ?1 ORDER BY e.position LIMIT ?2"
    ))?;
    // Collected first, because applying a recall changes the table that is being read.
    let entries = row::collect(statement.query([sql(after), SLICE_EVENTS])?, row::event)?;
    if anew {
        for entry in &entries {
            apply(connection, entry)?;
        }
    } else {
        index(connection, entries.iter().collect())?;
    }
    let last = entries.last().map(|entry| entry.event.position.0);
    last.ok_or_else(|| Failure::damaged("events vanished while they were read"))
}

/// Writes state and index of one event: later events may build on both.
fn apply(connection: &Connection, entry: &LogEntry) -> Result<(), Failure> {
    let unindexed = Unindexed::default();
    let read_view = ReadView {
        connection,
        unindexed: Seen::by_writer(&unindexed),
    };
    derive::apply(&read_view, &entry.event, &entry.reaction)?;
    index(connection, vec![entry])
}

fn index(connection: &Connection, mut entries: Vec<&LogEntry>) -> Result<(), Failure> {
    entries.sort_by_key(|entry| entry.event.conversation);
    let indexed: Vec<Indexed> = entries.iter().map(|entry| Indexed::new(&entry.event)).collect();
    deferred_index::write_places(connection, &indexed)?;
    deferred_index::write_requests(connection, &indexed)
}

fn progress(connection: &Connection) -> Result<Progress, Failure> {
    let mut statement = connection.prepare("SELECT coalesce(max(position), 0) FROM events")?;
    let newest_event = first(statement.query([])?, |row| row::number(row, 0))?;
    Ok(Progress {
        position: standing::read(connection)?.position.0,
        watermark: standing::watermark(connection)?,
        newest_event: newest_event.unwrap_or(0),
    })
}
