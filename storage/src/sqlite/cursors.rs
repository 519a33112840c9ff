//! Cursors that users move. The moves that sending implies follow from the log.

use super::{
    failure::{Failure, Stop},
    lookup,
    state::{self, Cursor},
    writer::Batch,
};
use crate::{
    rules::Moves,
    types::Position,
    write::{CursorMove, Outcome},
};

pub(super) fn move_all(batch: &mut Batch<'_>, wanted: &[CursorMove]) -> Result<Outcome, Stop> {
    let mut moves = Moves::default();
    let mut position = Position(0);
    for wanted in wanted {
        let Some(cursor) = moved_to(batch, wanted, &mut moves)? else {
            continue;
        };
        if position == Position(0) {
            position = batch.next_position();
        }
        state::move_cursor(batch.connection, &Cursor { position, ..cursor })?;
    }
    Ok(moves.outcome(position))
}

/// The value of a cursor after a move, if it differs.
fn moved_to(batch: &Batch<'_>, wanted: &CursorMove, moves: &mut Moves) -> Result<Option<Cursor>, Failure> {
    let read_view = batch.read_view();
    let Some(stay) = state::newest_stay(read_view.connection, wanted.conversation, wanted.user)? else {
        return Ok(None);
    };
    let (head, head_ordinal) = match &stay.left {
        Some(left) => (left.seq, left.ordinal),
        None => lookup::head(&read_view, wanted.conversation)?
            .map(|head| (head.seq, head.ordinal))
            .ok_or_else(|| Failure::damaged("a conversation with members has no head"))?,
    };
    let old = lookup::cursor(&read_view, wanted.conversation, wanted.user)?;
    let before = CursorMove {
        delivered: old.delivered,
        read: old.read,
        ..*wanted
    };
    let Some(new) = moves.judge(wanted, head, &before) else {
        return Ok(None);
    };
    let read_ordinal = if new.read == old.read {
        old.read_ordinal
    } else if new.read == head {
        head_ordinal
    } else {
        lookup::ordinal_at(&read_view, wanted.conversation, new.read)?
    };
    Ok(Some(Cursor {
        delivered: new.delivered,
        read: new.read,
        read_ordinal,
        ..old
    }))
}
