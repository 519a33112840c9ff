//! Conversations as one user sees them, and what changed for that user.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use rusqlite::Row;

use super::{
    failure::Failure,
    lookup::{self, Cursor},
    moment::Moment,
    row::{self, collect, first, sql},
};
use crate::{
    read::{Changes, ConversationView, CursorView},
    shape::Shape,
    snapshot::Snapshot,
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

/// All conversations of the user ?1, each with their newest interval: SQLite takes the other columns from the
/// row that has the maximum.
macro_rules! from_all {
    () => {
        " FROM (SELECT conversation, max(joined_seq) AS joined_seq, joined_ordinal, role, left_seq, left_ordinal,
                       left_position, left_at
                FROM members WHERE user = ?1 GROUP BY conversation) s
               JOIN conversations c ON c.id = s.conversation
               LEFT JOIN cursors k ON k.conversation = s.conversation AND k.user = ?1 "
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
        "WHERE place < ?2 ORDER BY place DESC LIMIT ?3"
    );
    let below = before.map_or(i64::MAX, |before| row::bound(before.0));
    let mut views = placed(moment, viewer, statement, below, limit, |view| {
        before.is_none_or(|before| view.head_position < before)
    })?;
    views.sort_unstable_by_key(|view| Reverse(view.head_position));
    views.truncate(limit);
    Ok(views)
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
    let mut statement = moment
        .connection
        .prepare_cached("SELECT conversation FROM members WHERE user = ?1 AND left_seq IS NULL")?;
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

/// One entry of a list of changes.
enum Change {
    Conversation(ConversationView),
    Cursor(CursorView),
}

/// To be called within a transaction.
pub(super) fn changes(
    moment: &Moment<'_>,
    viewer: UserId,
    since: Position,
    limit: usize,
) -> Result<Changes, Failure> {
    let mut by_position: BTreeMap<Position, Vec<Change>> = BTreeMap::new();
    for view in changed_conversations(moment, viewer, since, limit)? {
        let place = by_position.entry(view.head_position).or_default();
        place.push(Change::Conversation(view));
    }
    for cursor in moved_cursors(moment, viewer, since, limit)? {
        let place = by_position.entry(cursor.position).or_default();
        place.push(Change::Cursor(cursor));
    }
    let mut changes = Changes::default();
    let cut = first_of(by_position, since, limit, |entry| match entry {
        Change::Conversation(view) => changes.conversations.push(view),
        Change::Cursor(cursor) => changes.cursors.push(cursor),
    });
    changes.more = cut.is_some();
    changes.up_to = Snapshot::at(match cut {
        Some(last) => last,
        None => lookup::position(moment.connection)?,
    });
    Ok(changes)
}

/// Hands on the first entries, position by position; where that is not all of them, returns the last
/// position.
pub(super) fn first_of<T>(
    by_position: BTreeMap<Position, Vec<T>>,
    since: Position,
    limit: usize,
    mut take: impl FnMut(T),
) -> Option<Position> {
    let (mut taken, mut last) = (0, since);
    for (position, entries) in by_position {
        if taken > 0 && taken + entries.len() > limit {
            return Some(last);
        }
        taken += entries.len();
        last = position;
        entries.into_iter().for_each(&mut take);
    }
    None
}

/// More than the limit, if there are more.
fn changed_conversations(
    moment: &Moment<'_>,
    viewer: UserId,
    since: Position,
    limit: usize,
) -> Result<Vec<ConversationView>, Failure> {
    let statement = concat!(
        "SELECT ",
        view_columns!(),
        from_all!(),
        "WHERE place > ?2 ORDER BY place LIMIT ?3"
    );
    let above = row::bound(since.0);
    placed(
        moment,
        viewer,
        statement,
        above,
        limit.saturating_add(1),
        |view| view.head_position > since,
    )
}

/// More than the limit, if there are more: one more, or all of a first position that alone has more and one
/// behind it, so that the answer does not end there unnoticed.
fn moved_cursors(
    moment: &Moment<'_>,
    viewer: UserId,
    since: Position,
    limit: usize,
) -> Result<Vec<CursorView>, Failure> {
    let end = Position(u64::MAX);
    let cursors = cursors_between(moment, viewer, since, end, limit.saturating_add(1))?;
    let first = match (cursors.first(), cursors.get(limit)) {
        (Some(first), Some(last)) if first.position == last.position => first.position,
        _ => return Ok(cursors),
    };
    let mut cursors = cursors_between(moment, viewer, since, first, usize::MAX)?;
    cursors.extend(cursors_between(moment, viewer, first, end, 1)?);
    Ok(cursors)
}

fn cursors_between(
    moment: &Moment<'_>,
    viewer: UserId,
    since: Position,
    until: Position,
    limit: usize,
) -> Result<Vec<CursorView>, Failure> {
    let mut statement = moment.connection.prepare_cached(
        "SELECT k.conversation, k.user, k.delivered, k.read, k.position
         FROM members m JOIN cursors k ON k.conversation = m.conversation
         WHERE m.user = ?1 AND m.left_seq IS NULL AND k.position > 0 AND k.position > ?2 AND k.position <= ?3
         ORDER BY k.position, k.conversation, k.user LIMIT ?4",
    )?;
    let key = [
        sql(viewer.0),
        row::bound(since.0),
        row::bound(until.0),
        row::limit(limit),
    ];
    collect(statement.query(key)?, |row| cursor(row, moment))
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
