//! The part of a conversation that a user may see: their membership intervals in it, as far as a page needs them. A
//! user may have come and gone any number of times, so nothing here reads all of them.

use super::{
    failure::Failure,
    row::{self, get, sql},
    session::Session,
};
use crate::{
    page::{Stay, Stretch, Walk},
    read::Direction,
    types::{ConversationId, UserId},
};

/// The newest interval. `None` for a user who never was a member.
pub(super) fn newest(
    session: &mut Session,
    conversation: ConversationId,
    viewer: UserId,
) -> Result<Option<Stay>, Failure> {
    let found = session.first(
        "SELECT m.joined_seq, coalesce(m.left_seq, c.head_seq), m.left_seq IS NULL
         FROM members m JOIN conversations c ON c.id = m.conversation
         WHERE m.user_id = $2 AND m.conversation = $1 AND m.newest",
        &[&sql(conversation.0), &sql(viewer.0)],
    )?;
    let stay = |row: postgres::Row| {
        Ok(Stay {
            seen: stretch(&row)?,
            open: row::flag(&row, 2)?,
        })
    };
    found.map(stay).transpose()
}

/// Walks through a viewer's intervals from the one that contains a seq, or is next to it in the direction. This many
/// are enough: each contains a visible event.
pub(super) fn walk(
    session: &mut Session,
    (conversation, viewer): (ConversationId, UserId),
    newest: Stay,
    (from, direction): (u64, Direction),
    (walk, enough): (&mut Walk, usize),
) -> Result<(), Failure> {
    if newest.seen.first <= from {
        let more = walk.pass(newest);
        if !more || direction == Direction::Forward {
            return Ok(());
        }
    }
    let rows = session.query(
        match direction {
            Direction::Forward => {
                "SELECT joined_seq, left_seq FROM members
                 WHERE conversation = $1 AND user_id = $2 AND joined_seq < $4 AND joined_seq >= coalesce(
                    (SELECT joined_seq FROM members WHERE conversation = $1 AND user_id = $2 AND joined_seq <= $3
                     ORDER BY joined_seq DESC LIMIT 1), 0)
                 ORDER BY joined_seq LIMIT $5"
            }
            Direction::Backward => {
                "SELECT joined_seq, left_seq FROM members
                 WHERE conversation = $1 AND user_id = $2 AND joined_seq < $4 AND joined_seq <= $3
                 ORDER BY joined_seq DESC LIMIT $5"
            }
        },
        &[
            &sql(conversation.0),
            &sql(viewer.0),
            &row::bound(from),
            &sql(newest.seen.first),
            // The first may end before the requested range.
            &row::limit(enough.saturating_add(1)),
        ],
    )?;
    for row in &rows {
        let stay = Stay {
            seen: stretch(row)?,
            open: false,
        };
        if !walk.pass(stay) {
            return Ok(());
        }
    }
    if direction == Direction::Forward {
        walk.pass(newest);
    }
    Ok(())
}

fn stretch(row: &postgres::Row) -> Result<Stretch, Failure> {
    let last: Option<i64> = get(row, 1)?;
    Ok(Stretch {
        first: row::number(row, 0)?,
        last: last
            .ok_or_else(|| Failure::damaged("a stay that is over has no end"))?
            .cast_unsigned(),
    })
}
