//! Erases bodies that no reader can see any more, a slice at a time: those of the edits of recalled messages, and those
//! of expired events. It owns the tables `erasures` and `expirations`, which list the rest; their rows are written in
//! the transaction of their cause, so a store that is opened again goes on where it was. It must never decide about
//! recalls, nor show a body that waits to be erased.

use bytes::Bytes;
use rusqlite::Connection;

use super::{
    failure::Failure,
    log, lookup,
    read_view::ReadView,
    row::{self, LogEntry, collect, first, sql},
    state::{self, Edits},
    sum,
};
use crate::{
    erasing::{self, Room},
    types::{ConversationId, Event, EventKind, Seq, Timestamp},
    write::{ERASED_BODIES_MAX, Outcome},
};

/// A recalled message whose edits still have bodies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Erasure {
    pub(super) conversation: ConversationId,
    pub(super) target: Seq,
    /// The newest edit with a body. Edits are erased from the newest on.
    pub(super) next: Seq,
}

/// The columns that [`erasure`] reads.
macro_rules! erasure_columns {
    () => {
        "conversation, target, next, sum"
    };
}

fn erasure(row: &rusqlite::Row<'_>) -> Result<Erasure, Failure> {
    let erasure = Erasure {
        conversation: row::conversation_id(row, 0)?,
        target: row::seq(row, 1)?,
        next: row::seq(row, 2)?,
    };
    if row::number(row, 3)? == sum::of_erasure(&erasure) {
        Ok(erasure)
    } else {
        Err(Failure::damaged(format!(
            "what is to be erased of message {} of conversation {} is not what was written",
            erasure.target.0, erasure.conversation.0
        )))
    }
}

/// Notes the bodies of a message's edits for erasure. From now on no reader sees them.
pub(super) fn begin(
    connection: &Connection,
    conversation: ConversationId,
    target: Seq,
) -> Result<(), Failure> {
    let next = state::counts_of(connection, conversation, target)?.last_edit;
    if next == Seq(0) {
        return Ok(());
    }
    put(
        connection,
        &Erasure {
            conversation,
            target,
            next,
        },
    )
}

fn put(connection: &Connection, erasure: &Erasure) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO erasures (conversation, target, next, sum) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute([
            sql(erasure.conversation.0),
            sql(erasure.target.0),
            sql(erasure.next.0),
            sql(sum::of_erasure(erasure)),
        ])?;
    Ok(())
}

/// Notes the body of an event for erasure after its expiry.
pub(super) fn when_expired(connection: &Connection, event: &Event) -> Result<(), Failure> {
    let Some(expires_at) = erasing::expires(event).filter(|_| !event.body.is_empty()) else {
        return Ok(());
    };
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO expirations (conversation, seq, expires_at) VALUES (?1, ?2, ?3)",
        )?
        .execute([sql(event.conversation.0), sql(event.seq.0), expires_at])?;
    Ok(())
}

/// An edit of a recalled message counts as recalled, whether its row is marked yet or not.
pub(super) fn hide(connection: &Connection, event: &mut Event) -> Result<(), Failure> {
    if event.kind == EventKind::Edit
        && !event.recalled
        && waits(connection, event.conversation, event.target)?
    {
        event.recalled = true;
        event.body = Bytes::new();
    }
    Ok(())
}

/// Whether edits of this message are still to be erased.
pub(super) fn waits(
    connection: &Connection,
    conversation: ConversationId,
    target: Seq,
) -> Result<bool, Failure> {
    let key = [sql(conversation.0), sql(target.0)];
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        erasure_columns!(),
        " FROM erasures WHERE conversation = ?1 AND target = ?2"
    ))?;
    if first(statement.query(key)?, erasure)?.is_some() {
        return Ok(true);
    }
    state::prove_absence(
        connection,
        "SELECT 1 FROM erasures INDEXED BY erasures_again WHERE conversation = ?1 AND target = ?2",
        key,
        || {
            format!(
                "what is to be erased of message {} of conversation {}",
                target.0, conversation.0
            )
        },
    )?;
    Ok(false)
}

/// Whether the event is listed for erasure, if it expires and has a body.
pub(super) fn is_noted(connection: &Connection, event: &Event) -> Result<bool, Failure> {
    let Some(expires_at) = erasing::expires(event).filter(|_| !event.body.is_empty()) else {
        return Ok(true);
    };
    let mut statement = connection.prepare_cached(
        "SELECT 1 FROM expirations WHERE conversation = ?1 AND seq = ?2 AND expires_at = ?3",
    )?;
    let key = [sql(event.conversation.0), sql(event.seq.0), expires_at];
    Ok(first(statement.query(key)?, |_| Ok(()))?.is_some())
}

/// Erases the next bodies, last those that had expired by `now`.
pub(super) fn slice(read_view: &ReadView<'_>, now: Timestamp) -> Result<Outcome, Failure> {
    let mut room = Room::default();
    while !room.is_full()
        && let Some(erasure) = next_erasure(read_view.connection)?
    {
        erase_edits(read_view.connection, &erasure, &mut room)?;
    }
    erase_expired(read_view, now, &mut room)?;
    Ok(Outcome::Erased(room.is_used()))
}

fn next_erasure(connection: &Connection) -> Result<Option<Erasure>, Failure> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        erasure_columns!(),
        " FROM erasures ORDER BY conversation, target LIMIT 1"
    ))?;
    first(statement.query([])?, erasure)
}

fn erase_edits(connection: &Connection, erasure: &Erasure, room: &mut Room) -> Result<(), Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT conversation, target, seq, position, sum FROM edits
         WHERE conversation = ?1 AND target = ?2 AND seq <= ?3 ORDER BY seq DESC",
    )?;
    let key = [
        sql(erasure.conversation.0),
        sql(erasure.target.0),
        sql(erasure.next.0),
    ];
    let mut edits = Edits::up_to(statement.query(key)?, erasure.next);
    let mut next = erasure.next;
    while !room.is_full()
        && let Some(edit) = edits.next()?
    {
        let entry = lookup::stored(connection, edit.position)?;
        let event = &entry.event;
        if event.kind != EventKind::Edit
            || (event.conversation, event.target, event.seq) != (edit.conversation, edit.target, edit.seq)
        {
            return Err(Failure::damaged("the place of an edit is that of another event"));
        }
        room.take(event.body.len());
        if !event.recalled || !event.body.is_empty() {
            log::erase(connection, recalled(entry))?;
        }
        next = edit.previous;
    }
    if next == Seq(0) {
        connection
            .prepare_cached("DELETE FROM erasures WHERE conversation = ?1 AND target = ?2")?
            .execute([key[0], key[1]])?;
        return Ok(());
    }
    put(connection, &Erasure { next, ..*erasure })
}

/// The same, marked.
pub(super) const fn recalled(mut entry: LogEntry) -> LogEntry {
    entry.event.recalled = true;
    entry
}

fn erase_expired(read_view: &ReadView<'_>, now: Timestamp, room: &mut Room) -> Result<(), Failure> {
    let connection = read_view.connection;
    let mut statement = connection.prepare_cached(
        "SELECT conversation, seq, expires_at FROM expirations INDEXED BY expirations_by_time
         WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2",
    )?;
    let due = collect(
        statement.query([row::bound(now.0), row::limit(ERASED_BODIES_MAX)])?,
        |row| {
            Ok((
                row::conversation_id(row, 0)?,
                row::seq(row, 1)?,
                row::time(row, 2)?,
            ))
        },
    )?;
    for (conversation, seq, expires_at) in due {
        if room.is_full() {
            break;
        }
        let entry = lookup::event_at(read_view, conversation, seq)?
            .filter(|entry| entry.event.expires_at == expires_at)
            .ok_or_else(|| Failure::damaged("what is to be erased expires at another time"))?;
        room.take(entry.event.body.len());
        // An edit that was recalled has none here: it is erased with the others of its message.
        if !entry.event.body.is_empty() {
            log::erase(connection, entry)?;
        }
        connection
            .prepare_cached("DELETE FROM expirations WHERE conversation = ?1 AND seq = ?2")?
            .execute([sql(conversation.0), sql(seq.0)])?;
    }
    Ok(())
}
