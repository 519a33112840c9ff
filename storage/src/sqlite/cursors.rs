//! Cursors that users move. What sending implies is the business of what is derived from the log.

use std::collections::HashMap;

use rusqlite::Connection;

use super::{
    failure::{Failure, Stop},
    lookup::{self, Cursor},
    moment::Moment,
    row::sql,
    writer::Batch,
};
use crate::{
    types::{ConversationId, Position, UserId},
    write::{CursorMove, Outcome},
};

pub(super) fn move_all(batch: &mut Batch<'_>, moves: &[CursorMove]) -> Result<Outcome, Stop> {
    let mut moved: Vec<CursorMove> = Vec::new();
    let mut places: HashMap<(ConversationId, UserId), usize> = HashMap::new();
    let mut position = Position(0);
    let mut beyond = Vec::new();
    for wanted in moves {
        let (cursor, is_beyond) = moved_to(&batch.moment(), wanted)?;
        if is_beyond {
            beyond.push((wanted.conversation, wanted.user));
        }
        let Some(cursor) = cursor else { continue };
        if position == Position(0) {
            position = batch.next_position();
        }
        store(batch.connection, wanted, &cursor, position)?;
        let new = CursorMove {
            delivered: cursor.delivered,
            read: cursor.read,
            ..*wanted
        };
        let place = *places.entry((new.conversation, new.user)).or_insert(moved.len());
        match moved.get_mut(place) {
            Some(before) => *before = new,
            None => moved.push(new),
        }
    }
    Ok(Outcome::Cursors(moved, position, beyond))
}

/// Where a cursor would be after a move, if that is elsewhere, and whether the move goes beyond what there is.
fn moved_to(moment: &Moment<'_>, wanted: &CursorMove) -> Result<(Option<Cursor>, bool), Failure> {
    let Some(stay) = lookup::newest_stay(moment.connection, wanted.conversation, wanted.user)? else {
        return Ok((None, false));
    };
    let (head, head_ordinal) = match stay.left {
        Some(left) => left,
        None => lookup::head(moment, wanted.conversation)?
            .map(|head| (head.seq, head.ordinal))
            .ok_or_else(|| Failure::damaged("a conversation with members has no head"))?,
    };
    let is_beyond = wanted.delivered.max(wanted.read) > head;
    let old = lookup::cursor(moment, wanted.conversation, wanted.user)?;
    let read = old.read.max(wanted.read.min(head));
    let delivered = old.delivered.max(wanted.delivered.min(head)).max(read);
    if read == old.read && delivered == old.delivered {
        return Ok((None, is_beyond));
    }
    let read_ordinal = if read == old.read {
        old.read_ordinal
    } else if read == head {
        head_ordinal
    } else {
        lookup::ordinal_at(moment, wanted.conversation, read)?
    };
    let cursor = Cursor {
        delivered,
        read,
        read_ordinal,
    };
    Ok((Some(cursor), is_beyond))
}

fn store(
    connection: &Connection,
    of: &CursorMove,
    cursor: &Cursor,
    position: Position,
) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "INSERT INTO cursors (conversation, user, delivered, read, read_ordinal, position)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET delivered = excluded.delivered, read = excluded.read,
                                       read_ordinal = excluded.read_ordinal, position = excluded.position",
        )?
        .execute([
            sql(of.conversation.0),
            sql(of.user.0),
            sql(cursor.delivered.0),
            sql(cursor.read.0),
            sql(cursor.read_ordinal),
            sql(position.0),
        ])?;
    Ok(())
}
