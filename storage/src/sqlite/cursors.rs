//! Cursors that users move. What sending implies is the business of what is derived from the log.

use std::collections::HashMap;

use super::{
    failure::{Failure, Stop},
    lookup,
    moment::Moment,
    state::{self, Cursor},
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
        state::move_cursor(batch.connection, &Cursor { position, ..cursor })?;
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
    let Some(stay) = state::newest_stay(moment.connection, wanted.conversation, wanted.user)? else {
        return Ok((None, false));
    };
    let (head, head_ordinal) = match &stay.left {
        Some(left) => (left.seq, left.ordinal),
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
        ..old
    };
    Ok((Some(cursor), is_beyond))
}
