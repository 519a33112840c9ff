//! Conversations and cursors as one user sees them.

use std::{cmp::Reverse, collections::BTreeSet};

use rusqlite::Row;

use super::{
    failure::Failure,
    moment::Moment,
    row::{self, collect, first, sql},
};
use crate::{
    read::{ConversationView, CursorView},
    types::{ConversationId, Position, Seq, UserId},
    visible::{self, Cursor, Place, State, Stay},
};

/// The columns that [`view`] reads: of `conversations c`, of the viewer's newest interval `s`, and of the
/// viewer's cursor `k`. A former member's place is where they went; a member's may be newer than the tables have it.
macro_rules! view_columns {
    () => {
        "c.id, coalesce(s.left_position, c.head_position) AS place,
         c.head_seq, c.head_ordinal, c.head_position, c.head_at, c.roster, c.name, c.member_count, c.disbanded,
         (SELECT f.joined_seq FROM members f WHERE f.conversation = s.conversation AND f.user = s.user
          ORDER BY f.joined_seq LIMIT 1),
         s.joined_seq, s.joined_ordinal, s.role,
         s.left_seq, s.left_ordinal, s.left_position, s.left_at, s.left_name, s.left_count,
         coalesce(k.delivered, 0), coalesce(k.read, 0), coalesce(k.read_ordinal, 0)"
    };
}

/// All conversations of the user ?1, each with their newest interval.
macro_rules! from_all {
    () => {
        " FROM members s INDEXED BY members_newest CROSS JOIN conversations c ON c.id = s.conversation
               LEFT JOIN cursors k ON k.conversation = s.conversation AND k.user = ?1
          WHERE s.user = ?1 AND s.newest = 1 "
    };
}

fn view(row: &Row<'_>, viewer: UserId, moment: &Moment<'_>) -> Result<ConversationView, Failure> {
    let id = row::conversation_id(row, 0)?;
    let mut now = State {
        head: Place {
            seq: row::seq(row, 2)?,
            ordinal: row::number(row, 3)?,
            position: row::position(row, 4)?,
            at: row::time(row, 5)?,
            roster: row::seq(row, 6)?,
        },
        name: row.get(7)?,
        member_count: row.get(8)?,
        disbanded: row::flag(row, 9)?,
    };
    if let Some(newest) = moment.recent.newest(id)? {
        now.head = Place {
            seq: newest.seq,
            ordinal: newest.ordinal,
            position: newest.position,
            at: newest.at,
            roster: newest.roster,
        };
    }
    let stay = Stay {
        first: row::seq(row, 10)?,
        joined: row::seq(row, 11)?,
        joined_ordinal: row::number(row, 12)?,
        role: row::role(row, 13)?,
        left: left(row)?,
    };
    let cursor = Cursor {
        delivered: row::seq(row, 20)?,
        read: row::seq(row, 21)?,
        read_ordinal: row::number(row, 22)?,
    };
    let cursor = cursor.with_sent(moment.recent.sent(id, viewer)?.as_ref());
    visible::view(id, viewer, now, stay, cursor)
        .ok_or_else(|| Failure::damaged("a conversation has an impossible id"))
}

/// The conversation as it was when the viewer went.
fn left(row: &Row<'_>) -> Result<Option<State>, Failure> {
    if row.get::<_, Option<i64>>(14)?.is_none() {
        return Ok(None);
    }
    let seq = row::seq(row, 14)?;
    let head = Place {
        seq,
        ordinal: row::number(row, 15)?,
        position: row::position(row, 16)?,
        at: row::time(row, 17)?,
        // The event by which somebody goes changes who is a member.
        roster: seq,
    };
    Ok(Some(State {
        head,
        name: row.get(18)?,
        member_count: row.get(19)?,
        // Nobody leaves what has ended.
        disbanded: false,
    }))
}

pub(super) fn one(
    moment: &Moment<'_>,
    viewer: UserId,
    conversation: ConversationId,
) -> Result<Option<ConversationView>, Failure> {
    let mut statement = moment.connection.prepare_cached(concat!(
        "SELECT ",
        view_columns!(),
        " FROM members s JOIN conversations c ON c.id = s.conversation
               LEFT JOIN cursors k ON k.conversation = s.conversation AND k.user = s.user
          WHERE s.conversation = ?2 AND s.user = ?1 ORDER BY s.joined_seq DESC LIMIT 1"
    ))?;
    first(statement.query([sql(viewer.0), sql(conversation.0)])?, |row| {
        view(row, viewer, moment)
    })
}

pub(super) fn newest(
    moment: &Moment<'_>,
    viewer: UserId,
    before: Option<Position>,
    limit: usize,
) -> Result<Vec<ConversationView>, Failure> {
    let statement = concat!(
        "SELECT ",
        view_columns!(),
        from_all!(),
        "AND place < ?2 ORDER BY place DESC LIMIT ?3"
    );
    let below = before.map_or(i64::MAX, |before| row::bound(before.0));
    let mut views = placed(moment, viewer, statement, below, limit, |view| {
        before.is_none_or(|before| view.head_position < before)
    })?;
    views.sort_unstable_by_key(|view| Reverse(view.head_position));
    views.truncate(limit);
    Ok(views)
}

/// Those whose newest visible event is beyond `since`, the oldest first: at most `limit`, or more.
pub(super) fn beyond(
    moment: &Moment<'_>,
    viewer: UserId,
    since: Position,
    limit: usize,
) -> Result<Vec<ConversationView>, Failure> {
    let statement = concat!(
        "SELECT ",
        view_columns!(),
        from_all!(),
        "AND place > ?2 ORDER BY place LIMIT ?3"
    );
    placed(moment, viewer, statement, row::bound(since.0), limit, |view| {
        view.head_position > since
    })
}

/// The user's conversations that `statement` finds by the place of their head, at most `limit`, and those of the
/// conversations whose head is newer than the tables say that `wanted` accepts.
fn placed(
    moment: &Moment<'_>,
    viewer: UserId,
    statement: &str,
    place: i64,
    limit: usize,
    wanted: impl Fn(&ConversationView) -> bool,
) -> Result<Vec<ConversationView>, Failure> {
    let newer = newer_than_indexed(moment, viewer)?;
    let mut statement = moment.connection.prepare_cached(statement)?;
    let limit = row::limit(limit.saturating_add(newer.len()));
    let mut views = collect(statement.query([sql(viewer.0), place, limit])?, |row| {
        view(row, viewer, moment)
    })?;
    // The tables found these by a head they no longer have.
    views.retain(|view| !newer.contains(&view.id));
    for conversation in newer {
        let view = one(moment, viewer, conversation)?;
        views.extend(view.filter(&wanted));
    }
    Ok(views)
}

/// Conversations that the user is a member of and whose head the tables do not have.
fn newer_than_indexed(moment: &Moment<'_>, viewer: UserId) -> Result<BTreeSet<ConversationId>, Failure> {
    let mut statement = moment.connection.prepare_cached(
        "SELECT conversation FROM members INDEXED BY members_newest
         WHERE user = ?1 AND newest = 1 AND left_seq IS NULL",
    )?;
    let mut rows = statement.query([sql(viewer.0)])?;
    let mut newer = BTreeSet::new();
    while let Some(row) = rows.next()? {
        let conversation = row::conversation_id(row, 0)?;
        if moment.recent.newest(conversation)?.is_some() {
            newer.insert(conversation);
        }
    }
    Ok(newer)
}

/// Reads conversation, user, delivered, read and position from the first column on.
pub(super) fn cursor(row: &Row<'_>, moment: &Moment<'_>) -> Result<CursorView, Failure> {
    let (conversation, user) = (row::conversation_id(row, 0)?, row::user_id(row, 1)?);
    let sent = moment.recent.sent(conversation, user)?;
    let sent = sent.map_or(Seq(0), |sent| sent.seq);
    Ok(CursorView {
        conversation,
        user,
        delivered: row::seq(row, 2)?.max(sent),
        read: row::seq(row, 3)?.max(sent),
        position: row::position(row, 4)?,
    })
}
