//! Conversations and cursors as one user sees them.

use std::{cmp::Reverse, collections::BTreeSet};

use rusqlite::Row;

use super::{
    failure::Failure,
    lookup::Cursor,
    moment::Moment,
    row::{self, collect, first, sql},
};
use crate::{
    read::{ConversationView, CursorView},
    shape::Shape,
    types::{ConversationId, ConversationKind, Position, Seq, UserId},
};

/// The columns that [`view`] reads: of `conversations c`, of the viewer's newest interval `s`, and of the
/// viewer's cursor `k`. A former member's head is where they went; a member's may be newer than the tables have it.
macro_rules! view_columns {
    () => {
        "c.id, c.name, coalesce(s.left_seq, c.head_seq), coalesce(s.left_ordinal, c.head_ordinal),
         coalesce(s.left_position, c.head_position) AS place, coalesce(s.left_at, c.head_at), s.joined_seq,
         s.joined_ordinal, s.role, s.left_seq IS NULL, c.member_count, c.disbanded, c.roster,
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
    let shape = Shape::of(id).ok_or_else(|| Failure::damaged("a conversation has an impossible id"))?;
    let member = row::flag(row, 9)?;
    let role = row::role(row, 8)?;
    let cursor = Cursor {
        delivered: row::seq(row, 13)?,
        read: row::seq(row, 14)?,
        read_ordinal: row::number(row, 15)?,
    };
    let cursor = cursor.with_sent(moment.recent.sent(id, viewer)?.as_ref());
    let mut view = ConversationView {
        id,
        kind: shape.kind(),
        name: row.get(1)?,
        peer: shape.peer_of(viewer),
        head: row::seq(row, 2)?,
        head_ordinal: row::number(row, 3)?,
        head_position: row::position(row, 4)?,
        last_at: row::time(row, 5)?,
        first: row::seq(row, 6)?,
        role: (member && shape.kind() == ConversationKind::Group).then_some(role),
        member,
        member_count: row.get(10)?,
        disbanded: row::flag(row, 11)?,
        roster: row::seq(row, 12)?,
        delivered: cursor.delivered,
        read: cursor.read,
        unread: 0,
    };
    if let Some(newest) = moment.recent.newest(id)? {
        view.roster = newest.roster;
        if member {
            view.head = newest.seq;
            view.head_ordinal = newest.ordinal;
            view.head_position = newest.position;
            view.last_at = newest.at;
        }
    }
    // Nothing before joining counts, and nothing that was read.
    let seen_ordinal = cursor.read_ordinal.max(row::number(row, 7)?);
    view.unread = view.head_ordinal.saturating_sub(seen_ordinal);
    Ok(view)
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
