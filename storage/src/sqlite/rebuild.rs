//! Brings the derived tables up to the log when a store is opened: nothing to do, or a replay of what is
//! missing, or of everything where the watermark was set to 0.

use std::path::Path;

use rusqlite::Connection;

use super::{
    checkpoint, derive,
    failure::Failure,
    row::{self, event_columns, first, sql},
};

/// Events replayed in one transaction.
const SLICE_EVENTS: i64 = 10_000;

/// How far the log and what is derived from it have got.
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
    log::warn!(
        "{}: deriving everything after position {} again, up to {}",
        path.display(),
        progress.watermark,
        progress.newest_event
    );
    let mut done = progress.watermark;
    while done < progress.newest_event {
        let transaction = connection.unchecked_transaction()?;
        if done == 0 {
            derive::clear(&transaction)?;
        }
        done = replay_slice(&transaction, done)?;
        transaction
            .prepare_cached("UPDATE store SET watermark = ?1")?
            .execute([sql(done)])?;
        transaction.commit()?;
        // Nothing else copies the write-ahead log yet.
        checkpoint::finish_copying(connection);
    }
    connection.execute("UPDATE store SET watermark = position", [])?;
    Ok(())
}

/// Returns the position of the last event applied.
fn replay_slice(connection: &Connection, after: u64) -> Result<u64, Failure> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        event_columns!(),
        " FROM events e WHERE e.position > ?1 ORDER BY e.position LIMIT ?2"
    ))?;
    // Collected first: applying a recall changes the table that would be read.
    let entries = row::collect(statement.query([sql(after), SLICE_EVENTS])?, row::event)?;
    let mut last = after;
    for entry in &entries {
        derive::apply(connection, &entry.event, &entry.reaction)?;
        last = entry.event.position.0;
    }
    if last == after {
        return Err(Failure::damaged("events vanished while they were read"));
    }
    Ok(last)
}

fn progress(connection: &Connection) -> Result<Progress, Failure> {
    let mut statement = connection
        .prepare("SELECT position, watermark, (SELECT coalesce(max(position), 0) FROM events) FROM store")?;
    first(statement.query([])?, |row| {
        Ok(Progress {
            position: row::number(row, 0)?,
            watermark: row::number(row, 1)?,
            newest_event: row::number(row, 2)?,
        })
    })?
    .ok_or_else(|| Failure::damaged("the table `store` is empty"))
}
