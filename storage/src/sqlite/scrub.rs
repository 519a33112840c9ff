//! Reads a store over and over while it is in use, a little at a time, so that a flipped bit is found even in rows that
//! are never read: every event with its sum, the whole log by its chain, the way to each event, the state that follows
//! from it, accounts and sessions. It keeps its progress in memory alone, and writes nothing.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::{
    check, entries, erase,
    failure::Failure,
    row::{self, LogEntry, first, session_columns, sql, user_columns},
    standing, state, sum, words,
};
use crate::{
    kind::Effect,
    types::{Event, EventKind, Position, UserId},
};

/// Rows of a slice without commits meanwhile: some tens of milliseconds.
const ROWS_IDLE: u64 = 1_000;
/// Rows of a slice with commits meanwhile.
const ROWS_BUSY: u64 = 100;
/// The rest between two slices with commits meanwhile, and between two rounds.
const REST: Duration = Duration::from_secs(60);

/// The progress of a round.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Log { after: Position, chain: u64 },
    Users { after: i64 },
    Sessions { after: i64 },
}

impl Stage {
    const FIRST: Self = Self::Log {
        after: Position(0),
        chain: 0,
    };
}

/// One store's scrubbing.
#[derive(Debug)]
pub(super) struct Scrub {
    stage: Stage,
    /// The time of the last slice.
    last: Instant,
    /// A round has ended, and the next one must wait.
    resting: bool,
}

impl Scrub {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            stage: Stage::FIRST,
            last: now,
            resting: false,
        }
    }

    /// Call this about once a second; `idle` tells that there were no commits in that second.
    pub(super) fn tick(&mut self, connection: &Connection, idle: bool, now: Instant) -> Result<(), Failure> {
        if (!idle || self.resting) && now.saturating_duration_since(self.last) < REST {
            return Ok(());
        }
        self.last = now;
        self.resting = false;
        self.slice(connection, if idle { ROWS_IDLE } else { ROWS_BUSY })
    }

    /// Checks this many rows, in one snapshot of the store.
    fn slice(&mut self, connection: &Connection, rows: u64) -> Result<(), Failure> {
        let transaction = connection.unchecked_transaction()?;
        self.stage = match self.stage {
            Stage::Log { after, chain } => log(&transaction, after, chain, rows)?,
            Stage::Users { after } => {
                let sql = concat!(
                    "SELECT ",
                    user_columns!(),
                    " FROM users u WHERE u.id > ?1 ORDER BY u.id LIMIT ?2"
                );
                let check = |row: &rusqlite::Row<'_>| words::are_whole(&transaction, &row::user(row, 0)?);
                match each(&transaction, sql, after, rows, check)? {
                    Some(after) => Stage::Users { after },
                    None => Stage::Sessions { after: i64::MIN },
                }
            }
            Stage::Sessions { after } => {
                let sql = concat!(
                    "SELECT ",
                    session_columns!(),
                    " FROM sessions s WHERE s.id > ?1 ORDER BY s.id LIMIT ?2"
                );
                match each(&transaction, sql, after, rows, |row| row::session(row).map(drop))? {
                    Some(after) => Stage::Sessions { after },
                    None => {
                        self.resting = true;
                        Stage::FIRST
                    }
                }
            }
        };
        Ok(())
    }
}

/// Checks rows behind an id. Returns the last one's id, if there may be more.
fn each(
    connection: &Connection,
    sql: &str,
    after: i64,
    most: u64,
    check: impl Fn(&rusqlite::Row<'_>) -> Result<(), Failure>,
) -> Result<Option<i64>, Failure> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([after, row::bound(most)])?;
    let (mut last, mut count) = (after, 0);
    while let Some(row) = rows.next()? {
        check(row)?;
        last = row.get(0)?;
        count += 1;
    }
    Ok((count == most).then_some(last))
}

fn log(connection: &Connection, after: Position, mut chain: u64, most: u64) -> Result<Stage, Failure> {
    let (watermark, mut count) = (Position(standing::watermark(connection)?), 0);
    let after = check::walk(connection, after, most, |entry| {
        chain = sum::chained(chain, &entry.event, entry.fingerprint);
        count += 1;
        if entry.event.position <= watermark {
            check_index(connection, entry)?;
        }
        check_state(connection, &entry.event)?;
        check_erasing(connection, &entry.event)
    })?;
    if count == most {
        return Ok(Stage::Log { after, chain });
    }
    // The end of the log in this snapshot.
    if chain != standing::read(connection)?.chain {
        return Err(Failure::damaged("events are missing from the log"));
    }
    Ok(Stage::Users { after: i64::MIN })
}

fn check_index(connection: &Connection, entry: &LogEntry) -> Result<(), Failure> {
    let event = &entry.event;
    let by_seq = position(
        connection,
        "SELECT position FROM event_seqs WHERE conversation = ?1 AND seq = ?2",
        [sql(event.conversation.0), sql(event.seq.0)],
    )?;
    let by_request = position(
        connection,
        "SELECT position FROM requests WHERE client_id = ?1 AND conversation = ?2 AND sender = ?3",
        (event.client_id.0, sql(event.conversation.0), sql(event.sender.0)),
    )?;
    if by_seq == Some(event.position) && by_request == Some(event.position) {
        return Ok(());
    }
    Err(Failure::damaged(format!(
        "the index does not lead to the event at position {}",
        event.position.0
    )))
}

/// Checks that the state that follows from the event is there and whole.
fn check_state(connection: &Connection, event: &Event) -> Result<(), Failure> {
    state::conversation_that_is(connection, event.conversation)?;
    if event.sender != UserId::SERVER {
        state::newest_stay(connection, event.conversation, event.sender)?;
        state::cursor_of(connection, event.conversation, event.sender)?;
    }
    if matches!(event.kind, EventKind::Edit | EventKind::Reaction) {
        state::counts_of(connection, event.conversation, event.target)?;
    }
    for user in event.change.iter().flat_map(|change| &change.users) {
        state::newest_stay(connection, event.conversation, *user)?;
        state::cursor_of(connection, event.conversation, *user)?;
        state::memberships_of(connection, *user)?;
    }
    let key = [sql(event.conversation.0), sql(event.seq.0)];
    let whole = match event.kind.effect() {
        Effect::Edit => {
            position(
                connection,
                "SELECT position FROM edits WHERE conversation = ?1 AND seq = ?2 AND target = ?3",
                [key[0], key[1], sql(event.target.0)],
            )? == Some(event.position)
        }
        Effect::Join => every_user(event, |user| {
            let found = position(
                connection,
                "SELECT joined_ordinal FROM members WHERE conversation = ?1 AND joined_seq = ?2 AND user = ?3",
                [key[0], key[1], sql(user.0)],
            )?;
            Ok(found == Some(Position(event.ordinal)))
        })?,
        Effect::Leave => every_user(event, |user| {
            let found = position(
                connection,
                "SELECT left_position FROM members WHERE conversation = ?1 AND left_seq = ?2 AND user = ?3",
                [key[0], key[1], sql(user.0)],
            )?;
            Ok(found == Some(event.position))
        })?,
        Effect::Entry => entries::is_known(connection, event)?,
        Effect::Message
        | Effect::Recall
        | Effect::Reaction
        | Effect::Notice
        | Effect::Role
        | Effect::Settings
        | Effect::End => true,
    };
    if whole {
        return Ok(());
    }
    Err(Failure::damaged(format!(
        "what follows from the event at position {} is missing",
        event.position.0
    )))
}

/// Checks that every body that must be erased, now or later, will be.
fn check_erasing(connection: &Connection, event: &Event) -> Result<(), Failure> {
    let mut forgotten = !erase::is_noted(connection, event)?;
    if event.kind == EventKind::Edit && !event.recalled {
        let mut statement = connection.prepare_cached(
            "SELECT e.recalled FROM event_seqs s JOIN events e ON e.position = s.position
             WHERE s.conversation = ?1 AND s.seq = ?2",
        )?;
        let key = [sql(event.conversation.0), sql(event.target.0)];
        let recalled = first(statement.query(key)?, |row| row::flag(row, 0))?;
        forgotten |= recalled == Some(true) && !erase::waits(connection, event.conversation, event.target)?;
    }
    if !forgotten {
        return Ok(());
    }
    Err(Failure::damaged(format!(
        "nothing will erase the event at position {}",
        event.position.0
    )))
}

fn every_user(event: &Event, has: impl Fn(UserId) -> Result<bool, Failure>) -> Result<bool, Failure> {
    for user in event.change.iter().flat_map(|change| &change.users) {
        if !has(*user)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn position(
    connection: &Connection,
    sql: &str,
    key: impl rusqlite::Params,
) -> Result<Option<Position>, Failure> {
    first(connection.prepare_cached(sql)?.query(key)?, |row| {
        row::position(row, 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Store, Writer,
        sqlite::tests::{Place, messages},
    };

    /// A whole round, in slices of this many rows.
    fn round(connection: &Connection, rows: u64) -> Result<(), Failure> {
        let mut scrub = Scrub::new(Instant::now());
        while !scrub.resting {
            scrub.slice(connection, rows)?;
        }
        Ok(())
    }

    #[test]
    fn finds_nothing_in_a_whole_store_while_that_grows() {
        let place = Place::new();
        drop(place.with_messages(20));
        let store = place.open();
        let mut writer = store.open_writer().unwrap();
        let connection = place.stranger();
        for rows in [1, 3, 1_000] {
            round(&connection, rows).unwrap();
        }
        let mut scrub = Scrub::new(Instant::now());
        for number in 20..40 {
            writer.commit(&messages(number..number + 1)).unwrap();
            scrub.slice(&connection, 2).unwrap();
        }
        while !scrub.resting {
            scrub.slice(&connection, 2).unwrap();
        }
    }

    #[test]
    fn finds_what_was_changed() {
        for change in [
            "UPDATE events SET body = x'00' WHERE position = 7",
            "UPDATE events SET ordinal = ordinal + 1 WHERE position = 7",
            "UPDATE events SET recalled = 1 WHERE position = 7",
            "DELETE FROM events WHERE position = 7",
            "DELETE FROM events WHERE position = 20",
            "DELETE FROM event_seqs WHERE position = 7",
            "UPDATE event_seqs SET position = 8 WHERE position = 7",
            "DELETE FROM requests WHERE position = 7",
            "UPDATE users SET password_hash = 'x' WHERE id = 2",
            "UPDATE users SET id = 9 WHERE id = 3",
            "DELETE FROM user_words WHERE user = 2",
            "UPDATE user_words SET word = 'x' WHERE user = 2",
            "UPDATE cursors SET read = read - 1 WHERE user = 1",
            "DELETE FROM cursors WHERE user = 1",
            "UPDATE conversations SET head_at = head_at + 1",
            "UPDATE conversations SET stays = stays + 1",
            "UPDATE members SET role = 1 WHERE user = 1",
        ] {
            let place = Place::new();
            let store = place.with_messages(20);
            store.close().unwrap();
            drop(store);
            let connection = place.stranger();
            round(&connection, 4).unwrap();
            assert_eq!(connection.execute(change, []).unwrap(), 1);
            assert!(round(&connection, 4).unwrap_err().is_damage(), "{change}");
            // And at a start, of so small a store.
            let refusal = place.refusal();
            assert!(refusal.contains("damaged"), "{change}: {refusal}");
        }
    }

    #[test]
    fn rests_between_rounds_and_beside_commits() {
        let place = Place::new();
        drop(place.with_messages(20));
        let connection = place.stranger();
        let begin = Instant::now();
        let mut scrub = Scrub::new(begin);
        let tick = |scrub: &mut Scrub, idle, seconds| {
            let now = begin + Duration::from_secs(seconds);
            scrub.tick(&connection, idle, now).unwrap();
        };
        tick(&mut scrub, false, 59);
        assert!(matches!(
            scrub.stage,
            Stage::Log {
                after: Position(0),
                ..
            }
        ));
        tick(&mut scrub, false, 60);
        assert!(matches!(scrub.stage, Stage::Users { .. }));
        for second in 61..64 {
            tick(&mut scrub, true, second);
        }
        assert!(scrub.resting && matches!(scrub.stage, Stage::Log { .. }));
    }
}
