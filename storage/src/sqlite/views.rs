//! Conversations and cursors as one user sees them.

use std::cmp::Reverse;

use super::{
    failure::Failure,
    lookup,
    read_view::ReadView,
    row::{self, sql},
    state::{self, Cursor, Left, STAY_COLUMNS, Stay, head_columns, stay_columns},
};
use crate::{
    read::{ConversationView, CursorView},
    types::{ConversationId, Position, UserId},
    visible::{self, Place, State},
};

fn view(read_view: &ReadView<'_>, stay: &Stay) -> Result<ConversationView, Failure> {
    let (id, viewer) = (stay.conversation, stay.user);
    let (head, rest) = state::conversation_that_is(read_view.connection, id)?;
    let mut now = State {
        head: Place {
            seq: head.seq,
            ordinal: head.ordinal,
            position: head.position,
            at: head.at,
            roster: head.roster,
        },
        settings: row::settings(&rest.settings)?,
        member_count: members(rest.member_count)?,
        disbanded: rest.disbanded,
        closed: rest.closed.is_closed(),
    };
    if let Some(newest) = read_view.unindexed.newest(id)? {
        now.head = Place {
            seq: newest.seq,
            ordinal: newest.ordinal,
            position: newest.position,
            at: newest.at,
            roster: newest.roster,
        };
    }
    let cursor = lookup::cursor(read_view, id, viewer)?;
    let cursor = visible::Cursor {
        delivered: cursor.delivered,
        read: cursor.read,
        read_ordinal: cursor.read_ordinal,
    };
    let stay = visible::Stay {
        first: state::first_joined(read_view.connection, stay)?,
        joined: stay.joined,
        joined_ordinal: stay.joined_ordinal,
        role: stay.role,
        left: stay.left.as_ref().map(left).transpose()?,
    };
    visible::view(id, viewer, now, stay, cursor)
        .ok_or_else(|| Failure::damaged("a conversation has an impossible id"))
}

/// The conversation as it was when the viewer went.
fn left(left: &Left) -> Result<State, Failure> {
    Ok(State {
        head: Place {
            seq: left.seq,
            ordinal: left.ordinal,
            position: left.position,
            at: left.at,
            // The event by which a member goes changes the roster.
            roster: left.seq,
        },
        settings: row::settings(&left.settings)?,
        member_count: members(left.member_count)?,
        // Members of a disbanded group do not leave it.
        disbanded: false,
        closed: false,
    })
}

fn members(count: u64) -> Result<u32, Failure> {
    u32::try_from(count).map_err(|_| Failure::damaged("a conversation has too many members"))
}

pub(super) fn one(
    read_view: &ReadView<'_>,
    viewer: UserId,
    conversation: ConversationId,
) -> Result<Option<ConversationView>, Failure> {
    let stay = state::newest_stay(read_view.connection, conversation, viewer)?;
    stay.map(|stay| view(read_view, &stay)).transpose()
}

pub(super) fn newest(
    read_view: &ReadView<'_>,
    viewer: UserId,
    before: Option<Position>,
    limit: usize,
) -> Result<Vec<ConversationView>, Failure> {
    let mut placed = placed(read_view, viewer)?;
    placed.retain(|(place, _)| before.is_none_or(|before| *place < before));
    placed.sort_unstable_by_key(|(place, _)| Reverse(*place));
    placed.truncate(limit);
    placed.iter().map(|(_, stay)| view(read_view, stay)).collect()
}

/// The conversations whose newest visible event is beyond `since`, the oldest first, at most `limit`.
pub(super) fn beyond(
    read_view: &ReadView<'_>,
    viewer: UserId,
    since: Position,
    limit: usize,
) -> Result<Vec<ConversationView>, Failure> {
    let mut placed = placed(read_view, viewer)?;
    placed.retain(|(place, _)| *place > since);
    placed.sort_unstable_by_key(|(place, _)| *place);
    placed.truncate(limit);
    placed.iter().map(|(_, stay)| view(read_view, stay)).collect()
}

/// The user's newest interval in each conversation, none missing, with the position of the newest event that they see.
pub(super) fn placed(read_view: &ReadView<'_>, viewer: UserId) -> Result<Vec<(Position, Stay)>, Failure> {
    let mut statement = read_view.connection.prepare_cached(concat!(
        "SELECT ",
        stay_columns!(),
        ", ",
        head_columns!(),
        " FROM members i INDEXED BY members_newest
            LEFT JOIN members m ON m.conversation = i.conversation AND m.user = i.user AND m.joined_seq = i.joined_seq
            LEFT JOIN conversations c ON c.id = i.conversation
          WHERE i.user = ?1 AND i.newest = 1"
    ))?;
    let mut rows = statement.query([sql(viewer.0)])?;
    let mut placed = Vec::new();
    while let Some(row) = rows.next()? {
        let (stay, head) = (state::stay(row, 0)?, state::head(row, STAY_COLUMNS)?);
        if stay.user != viewer || !stay.is_newest {
            return Err(state::damaged_stays(stay.conversation, viewer));
        }
        let place = match &stay.left {
            Some(left) => left.position,
            None => match read_view.unindexed.newest(stay.conversation)? {
                Some(newest) => newest.position,
                None => head.position,
            },
        };
        placed.push((place, stay));
    }
    let expected = state::memberships_of(read_view.connection, viewer)?.conversations;
    if placed.len() as u64 == expected {
        return Ok(placed);
    }
    Err(Failure::damaged(format!(
        "user {} has {} conversations of {expected}",
        viewer.0,
        placed.len()
    )))
}

/// A cursor, including the user's unindexed messages.
pub(super) fn cursor(cursor: Cursor, read_view: &ReadView<'_>) -> Result<CursorView, Failure> {
    let sent = read_view.unindexed.sent(cursor.conversation, cursor.user)?;
    let cursor = cursor.with_sent(sent.as_ref());
    Ok(CursorView {
        conversation: cursor.conversation,
        user: cursor.user,
        delivered: cursor.delivered,
        read: cursor.read,
        position: cursor.position,
    })
}
