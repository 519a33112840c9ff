//! Conversations as one user sees them, and what changed for that user.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row};

use super::{
    failure::Failure,
    lookup,
    row::{self, collect, first, sql},
};
use crate::{
    read::{Changes, ConversationView, CursorView},
    shape::Shape,
    snapshot::Snapshot,
    types::{ConversationId, ConversationKind, Position, UserId},
};

/// The columns that [`view`] reads: of `conversations c`, of the viewer's newest interval `s`, and of the
/// viewer's cursor `k`. A former member's head is where they went.
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

fn view(row: &Row<'_>, viewer: UserId) -> Result<ConversationView, Failure> {
    let id = row::conversation_id(row, 0)?;
    let shape = Shape::of(id).ok_or_else(|| Failure::damaged("a conversation has an impossible id"))?;
    let head_ordinal = row::number(row, 3)?;
    let member = row::flag(row, 9)?;
    let role = row::role(row, 8)?;
    // Nothing before joining counts, and nothing that was read.
    let seen_ordinal = row::number(row, 15)?.max(row::number(row, 7)?);
    Ok(ConversationView {
        id,
        kind: shape.kind(),
        name: row.get(1)?,
        peer: shape.peer_of(viewer),
        head: row::seq(row, 2)?,
        head_ordinal,
        head_position: row::position(row, 4)?,
        last_at: row::time(row, 5)?,
        first: row::seq(row, 6)?,
        role: (member && shape.kind() == ConversationKind::Group).then_some(role),
        member,
        member_count: row.get(10)?,
        disbanded: row::flag(row, 11)?,
        roster: row::seq(row, 12)?,
        delivered: row::seq(row, 13)?,
        read: row::seq(row, 14)?,
        unread: head_ordinal.saturating_sub(seen_ordinal),
    })
}

pub(super) fn one(
    connection: &Connection,
    viewer: UserId,
    conversation: ConversationId,
) -> Result<Option<ConversationView>, Failure> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        view_columns!(),
        " FROM members s JOIN conversations c ON c.id = s.conversation
               LEFT JOIN cursors k ON k.conversation = s.conversation AND k.user = s.user
          WHERE s.conversation = ?2 AND s.user = ?1 ORDER BY s.joined_seq DESC LIMIT 1"
    ))?;
    first(statement.query([sql(viewer.0), sql(conversation.0)])?, |row| {
        view(row, viewer)
    })
}

pub(super) fn newest(
    connection: &Connection,
    viewer: UserId,
    before: Option<Position>,
    limit: usize,
) -> Result<Vec<ConversationView>, Failure> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        view_columns!(),
        from_all!(),
        "WHERE place < ?2 ORDER BY place DESC LIMIT ?3"
    ))?;
    let before = before.map_or(i64::MAX, |before| row::bound(before.0));
    collect(
        statement.query([sql(viewer.0), before, row::limit(limit)])?,
        |row| view(row, viewer),
    )
}

/// One entry of a list of changes.
enum Change {
    Conversation(ConversationView),
    Cursor(CursorView),
}

/// To be called within a transaction.
pub(super) fn changes(
    connection: &Connection,
    viewer: UserId,
    since: Position,
    limit: usize,
) -> Result<Changes, Failure> {
    let mut by_position: BTreeMap<Position, Vec<Change>> = BTreeMap::new();
    for view in changed_conversations(connection, viewer, since, limit)? {
        let place = by_position.entry(view.head_position).or_default();
        place.push(Change::Conversation(view));
    }
    for cursor in moved_cursors(connection, viewer, since, limit)? {
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
        None => lookup::position(connection)?,
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

/// One more than the limit, if there is one.
fn changed_conversations(
    connection: &Connection,
    viewer: UserId,
    since: Position,
    limit: usize,
) -> Result<Vec<ConversationView>, Failure> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        view_columns!(),
        from_all!(),
        "WHERE place > ?2 ORDER BY place LIMIT ?3"
    ))?;
    let key = [
        sql(viewer.0),
        row::bound(since.0),
        row::limit(limit.saturating_add(1)),
    ];
    collect(statement.query(key)?, |row| view(row, viewer))
}

/// More than the limit, if there are more: one more, or all of a first position that alone has more and one
/// behind it, so that the answer does not end there unnoticed.
fn moved_cursors(
    connection: &Connection,
    viewer: UserId,
    since: Position,
    limit: usize,
) -> Result<Vec<CursorView>, Failure> {
    let end = Position(u64::MAX);
    let cursors = cursors_between(connection, viewer, since, end, limit.saturating_add(1))?;
    let first = match (cursors.first(), cursors.get(limit)) {
        (Some(first), Some(last)) if first.position == last.position => first.position,
        _ => return Ok(cursors),
    };
    let mut cursors = cursors_between(connection, viewer, since, first, usize::MAX)?;
    cursors.extend(cursors_between(connection, viewer, first, end, 1)?);
    Ok(cursors)
}

fn cursors_between(
    connection: &Connection,
    viewer: UserId,
    since: Position,
    until: Position,
    limit: usize,
) -> Result<Vec<CursorView>, Failure> {
    let mut statement = connection.prepare_cached(
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
    collect(statement.query(key)?, |row| {
        Ok(CursorView {
            conversation: row::conversation_id(row, 0)?,
            user: row::user_id(row, 1)?,
            delivered: row::seq(row, 2)?,
            read: row::seq(row, 3)?,
            position: row::position(row, 4)?,
        })
    })
}
