//! Whether a store is whole: SQLite's check of its file, and the log's proof of itself.
//!
//! It owns the answer, never the reaction to it, and writes nothing.

use std::path::Path;

use rusqlite::Connection;

use super::{
    failure::Failure,
    profile::{cannot_open, connect_raw},
    replay::Replay,
    row::{self, LogEntry, event_columns, session_columns, sql, user_columns},
    standing,
    state::{self, cursor_columns, head_columns},
    sum, words,
};
use crate::{error::OpenError, types::Position};

/// A database up to this size, in bytes, is checked as a whole at every start: about a second.
const WHOLE_AT_START_BYTES: u64 = 64 << 20;
/// Of a larger one, this many of the newest events: the rest is checked while it runs.
const EVENTS_AT_START: u64 = 20_000;

/// At a start, before anything is derived from the log: all of it if that takes a second at most, otherwise the newest
/// part.
pub(super) fn log_at_start(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    if is_small(path) {
        log::debug!("{}: checking all of it", path.display());
        file(connection, path)?;
        return in_one_moment(connection, path, log_is_whole);
    }
    log::info!(
        "{}: checking the newest {EVENTS_AT_START} events; the rest of so large a store is checked while it runs",
        path.display()
    );
    in_one_moment(connection, path, newest_are_whole)
}

/// At a start, after everything is derived.
pub(super) fn derived_at_start(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    if is_small(path) {
        derived(connection, path)
    } else {
        Ok(())
    }
}

/// Checks everything except the log: that it follows from the log, or is what was written.
fn derived(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    in_one_moment(connection, path, |connection| {
        index_is_whole(connection)?;
        state_is_whole(connection)?;
        people_are_whole(connection)
    })?;
    // On a connection of its own, see `replay.rs`.
    let own = connect_raw(path)?;
    let replay = Replay::begin(&own).map_err(|failure| failure.unusable(path))?;
    in_one_moment(&own, path, |connection| {
        walk(connection, Position(0), u64::MAX, |entry| {
            replay.apply(&entry.event, &entry.reaction)
        })?;
        replay.compare()
    })
}

fn is_small(path: &Path) -> bool {
    path.metadata().map_or(0, |found| found.len()) <= WHOLE_AT_START_BYTES
}

/// Checks everything: the file, its indexes, every event, and that none is missing. The derived tables must be
/// complete.
pub(super) fn whole(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    file(connection, path)?;
    in_one_moment(connection, path, log_is_whole)?;
    derived(connection, path)
}

/// SQLite's check of the file.
fn file(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let verdict: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(|error| cannot_open(path, error))?;
    if verdict == "ok" {
        Ok(())
    } else {
        Err(Failure::damaged(verdict).unusable(path))
    }
}

/// The store may be in use.
fn in_one_moment(
    connection: &Connection,
    path: &Path,
    check: impl FnOnce(&Connection) -> Result<(), Failure>,
) -> Result<(), OpenError> {
    let check = || -> Result<(), Failure> {
        let transaction = connection.unchecked_transaction()?;
        check(&transaction)
    };
    check().map_err(|failure| failure.unusable(path))
}

/// Checks that every event is what was written, and that none is missing: together they make the chain that the store
/// has.
fn log_is_whole(connection: &Connection) -> Result<(), Failure> {
    let standing = standing::read(connection)?;
    let mut chain = 0;
    let last = walk(connection, Position(0), u64::MAX, |entry| {
        chain = sum::chained(chain, &entry.event, entry.fingerprint);
        Ok(())
    })?;
    if chain != standing.chain || last > standing.position {
        return Err(Failure::damaged(
            "events are missing from the log, or are more than were written",
        ));
    }
    Ok(())
}

/// Reads, and so proves, this many events behind a position. Returns the last one's position.
pub(super) fn walk(
    connection: &Connection,
    after: Position,
    most: u64,
    mut see: impl FnMut(&LogEntry) -> Result<(), Failure>,
) -> Result<Position, Failure> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        event_columns!(),
        " FROM events e WHERE e.position > ?1 ORDER BY e.position LIMIT ?2"
    ))?;
    let mut rows = statement.query([sql(after.0), row::bound(most)])?;
    let mut last = after;
    while let Some(row) = rows.next()? {
        let entry = row::event(row)?;
        see(&entry)?;
        last = entry.event.position;
    }
    Ok(last)
}

/// Checks that accounts and sessions are what was written. No account is ever removed.
fn people_are_whole(connection: &Connection) -> Result<(), Failure> {
    let mut statement =
        connection.prepare(concat!("SELECT ", user_columns!(), " FROM users u ORDER BY u.id"))?;
    let mut rows = statement.query([])?;
    let mut next = 1;
    while let Some(row) = rows.next()? {
        let user = row::user(row, 0)?;
        if user.id.0 != next {
            return Err(Failure::damaged(format!("the user {next} is missing")));
        }
        words::are_whole(connection, &user)?;
        next += 1;
    }
    let mut statement = connection.prepare(concat!("SELECT ", session_columns!(), " FROM sessions s"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        row::session(row)?;
    }
    Ok(())
}

/// Checks that cursors and heads are what was written; the rest of the state is compared with a replay of the log.
fn state_is_whole(connection: &Connection) -> Result<(), Failure> {
    let mut statement = connection.prepare(concat!("SELECT ", cursor_columns!(), " FROM cursors k"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        state::cursor(row, 0)?;
    }
    let mut statement = connection.prepare(concat!("SELECT ", head_columns!(), " FROM conversations c"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        state::head(row, 0)?;
    }
    Ok(())
}

/// Checks that the index leads to every event up to the watermark, and to nothing else; and that no conversation has a
/// hole.
fn index_is_whole(connection: &Connection) -> Result<(), Failure> {
    let watermark = standing::watermark(connection)?.to_string();
    for (wrong, sql) in [
        (
            "conversations have holes",
            "SELECT count(*) FROM (SELECT 1 FROM events GROUP BY conversation
                                   HAVING count(*) <> max(seq) OR min(seq) <> 1)",
        ),
        (
            "events are not found by their seq",
            "SELECT count(*) FROM events e LEFT JOIN event_seqs s ON s.conversation = e.conversation AND s.seq = e.seq
             WHERE s.position IS NOT e.position AND e.position <= ?1",
        ),
        (
            "events are not found by their client id",
            "SELECT count(*) FROM events e
                    LEFT JOIN requests r ON r.client_id = e.client_id AND r.conversation = e.conversation
                                            AND r.sender = e.sender
             WHERE r.position IS NOT e.position AND e.position <= ?1",
        ),
        (
            "places are of no event",
            "SELECT (SELECT count(*) FROM event_seqs) > (SELECT count(*) FROM events)",
        ),
        (
            "requests are of no event",
            "SELECT (SELECT count(*) FROM requests) > (SELECT count(*) FROM events)",
        ),
        (
            "members have no cursor",
            "SELECT count(*) FROM members m LEFT JOIN cursors k ON k.conversation = m.conversation AND k.user = m.user
             WHERE k.user IS NULL",
        ),
        (
            "cursors are of no event",
            "SELECT count(*) FROM cursors k
                    LEFT JOIN event_seqs s ON s.conversation = k.conversation AND s.seq = k.read
                    LEFT JOIN events e ON e.position = s.position
                    LEFT JOIN conversations c ON c.id = k.conversation
             WHERE k.delivered < k.read OR c.head_seq IS NULL OR k.delivered > c.head_seq
                   OR coalesce(e.ordinal, 0) <> k.read_ordinal",
        ),
    ] {
        let sql = sql.replace("?1", &watermark);
        let count: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
        if count != 0 {
            return Err(Failure::damaged(format!("{count} {wrong}")));
        }
    }
    Ok(())
}

fn newest_are_whole(connection: &Connection) -> Result<(), Failure> {
    let position = standing::read(connection)?.position.0;
    let after = Position(position.saturating_sub(EVENTS_AT_START));
    walk(connection, after, u64::MAX, |_| Ok(())).map(drop)
}
