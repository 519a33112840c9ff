//! The changes for one user since a position, found in the cheaper of two ways: through all conversations that the user
//! is a member of, or through all changes in the store.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rusqlite::Row;

use super::{
    failure::Failure,
    lookup,
    read_view::ReadView,
    row::{self, collect, first, sql},
    state::{self, CURSOR_COLUMNS, Cursor, HEAD_COLUMNS, cursor_columns, head_columns},
    views,
};
use crate::{
    read::{Changes, ConversationView, CursorView},
    shape::Shape,
    snapshot::Snapshot,
    types::{ConversationId, Position, UserId},
};

/// Changes in the store that are looked at one by one; with more, only the user's own are looked for.
const CHANGED_MAX: usize = 1_024;

/// One entry of a list of changes.
enum Change {
    Conversation(ConversationView),
    Cursor(CursorView),
}

/// Call this within a transaction.
pub(super) fn read(
    read_view: &ReadView<'_>,
    viewer: UserId,
    since: Position,
    limit: usize,
) -> Result<Changes, Failure> {
    let mut by_position: BTreeMap<Position, Vec<Change>> = BTreeMap::new();
    for view in changed_conversations(read_view, viewer, since, limit)? {
        let place = by_position.entry(view.head_position).or_default();
        place.push(Change::Conversation(view));
    }
    for cursor in moved_cursors(read_view, viewer, since, limit)? {
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
        None => lookup::position(read_view.connection)?,
    });
    Ok(changes)
}

/// Returns the first entries, position by position; and the last position if there are more.
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

/// The first entries; more than the limit if there are more.
fn changed_conversations(
    read_view: &ReadView<'_>,
    viewer: UserId,
    since: Position,
    limit: usize,
) -> Result<Vec<ConversationView>, Failure> {
    let Some(changed) = changed_at_all(read_view, since)? else {
        return views::beyond(read_view, viewer, since, limit.saturating_add(1));
    };
    if !fewer_than_memberships(read_view, viewer, changed.len())? {
        return views::beyond(read_view, viewer, since, limit.saturating_add(1));
    }
    let mut found = Vec::new();
    for conversation in changed {
        if may_be_a_member(viewer, conversation) {
            let view = views::one(read_view, viewer, conversation)?;
            found.extend(view.filter(|view| view.head_position > since));
        }
    }
    Ok(found)
}

/// Every conversation with an event beyond `since`, unless there are too many to look at.
fn changed_at_all(
    read_view: &ReadView<'_>,
    since: Position,
) -> Result<Option<BTreeSet<ConversationId>>, Failure> {
    let Some(unindexed) = read_view.unindexed.conversations_beyond(since, CHANGED_MAX)? else {
        return Ok(None);
    };
    let mut changed: BTreeSet<ConversationId> = unindexed.into_iter().collect();
    let entry = |row: &Row<'_>| -> Result<ConversationId, Failure> {
        let head = state::head(row, 0)?;
        agrees(row::position(row, HEAD_COLUMNS)? == head.position)?;
        Ok(head.conversation)
    };
    // The last unchanged one proves that the seek passed none.
    let mut statement = read_view.connection.prepare_cached(concat!(
        "SELECT ",
        head_columns!(),
        ", i.head_position FROM conversations i INDEXED BY conversations_by_head
            LEFT JOIN conversations c ON c.id = i.id
          WHERE i.head_position <= ?1 ORDER BY i.head_position DESC LIMIT 1"
    ))?;
    first(statement.query([row::bound(since.0)])?, entry)?;
    let mut statement = read_view.connection.prepare_cached(concat!(
        "SELECT ",
        head_columns!(),
        ", i.head_position FROM conversations i INDEXED BY conversations_by_head
            LEFT JOIN conversations c ON c.id = i.id
          WHERE i.head_position > ?1 ORDER BY i.head_position LIMIT ?2"
    ))?;
    let rows = statement.query([row::bound(since.0), row::limit(CHANGED_MAX + 1)])?;
    changed.extend(collect(rows, entry)?);
    Ok((changed.len() <= CHANGED_MAX).then_some(changed))
}

/// Checks that an entry of an index equals its row.
fn agrees(agrees: bool) -> Result<(), Failure> {
    if agrees {
        Ok(())
    } else {
        Err(Failure::damaged(
            "an index has another place for a row than the row",
        ))
    }
}

/// Whether it is cheaper to look at this many conversations than at all that the user ever was a member of.
fn fewer_than_memberships(read_view: &ReadView<'_>, viewer: UserId, changed: usize) -> Result<bool, Failure> {
    let mut statement = read_view.connection.prepare_cached(
        "SELECT count(*) FROM (SELECT 1 FROM members INDEXED BY members_newest
                               WHERE user = ?1 AND newest = 1 LIMIT ?2)",
    )?;
    let found = first(
        statement.query([sql(viewer.0), row::limit(changed.saturating_add(1))])?,
        |row| row::number(row, 0),
    )?;
    Ok(found.is_some_and(|memberships| memberships > changed as u64))
}

/// The ids of all conversations except groups tell their members.
fn may_be_a_member(viewer: UserId, conversation: ConversationId) -> bool {
    Shape::of(conversation)
        .is_some_and(|shape| shape == Shape::Group || shape.fixed_members().any(|member| member == viewer))
}

/// The first entries; more than the limit if there are more: one more, or all of a first position that alone has more
/// and one behind it, so that the answer does not end there unnoticed.
fn moved_cursors(
    read_view: &ReadView<'_>,
    viewer: UserId,
    since: Position,
    limit: usize,
) -> Result<Vec<CursorView>, Failure> {
    if let Some(cursors) = moved_at_all(read_view, viewer, since)? {
        return Ok(cursors);
    }
    let end = Position(u64::MAX);
    let cursors = cursors_between(read_view, viewer, since, end, limit.saturating_add(1))?;
    let first = match (cursors.first(), cursors.get(limit)) {
        (Some(first), Some(last)) if first.position == last.position => first.position,
        _ => return Ok(cursors),
    };
    let mut cursors = cursors_between(read_view, viewer, since, first, usize::MAX)?;
    cursors.extend(cursors_between(read_view, viewer, first, end, 1)?);
    Ok(cursors)
}

fn cursors_between(
    read_view: &ReadView<'_>,
    viewer: UserId,
    since: Position,
    until: Position,
    limit: usize,
) -> Result<Vec<CursorView>, Failure> {
    // Conversation by conversation, the first ones of each: no others can be among the first ones of all.
    let mut found = Vec::new();
    let key = |cursor: &CursorView| (cursor.position, cursor.conversation, cursor.user);
    for (_, stay) in views::placed(read_view, viewer)? {
        let conversation = stay.conversation;
        if stay.left.is_none() {
            moved_in(read_view, conversation, since, until, limit, &mut found)?;
        } else {
            let own = state::cursor_of(read_view.connection, conversation, viewer)?;
            if own.position > since && own.position <= until {
                found.push(views::cursor(own, read_view)?);
            }
        }
        if found.len() / 2 > limit {
            found.sort_unstable_by_key(key);
            found.truncate(limit);
        }
    }
    found.sort_unstable_by_key(key);
    found.truncate(limit);
    Ok(found)
}

/// Adds the first cursors of a conversation's members that moved in this range.
fn moved_in(
    read_view: &ReadView<'_>,
    conversation: ConversationId,
    since: Position,
    until: Position,
    limit: usize,
    found: &mut Vec<CursorView>,
) -> Result<(), Failure> {
    let key = [sql(conversation.0), row::bound(since.0)];
    let mut before = read_view.connection.prepare_cached(concat!(
        "SELECT ",
        cursor_columns!(),
        ", i.position FROM cursors i INDEXED BY cursors_by_position
            LEFT JOIN cursors k ON k.conversation = i.conversation AND k.user = i.user
          WHERE i.position > 0 AND (i.conversation, i.position) <= (?1, ?2)
          ORDER BY i.conversation DESC, i.position DESC LIMIT 1"
    ))?;
    first(before.query(key)?, moved)?;
    // Up to the first one outside the range: a damaged entry would be that one.
    let mut beyond = read_view.connection.prepare_cached(concat!(
        "SELECT ",
        cursor_columns!(),
        ", i.position FROM cursors i INDEXED BY cursors_by_position
            LEFT JOIN cursors k ON k.conversation = i.conversation AND k.user = i.user
          WHERE i.position > 0 AND (i.conversation, i.position) > (?1, ?2)
          ORDER BY i.conversation, i.position"
    ))?;
    let mut rows = beyond.query(key)?;
    let enough = found.len().saturating_add(limit);
    while found.len() < enough
        && let Some(row) = rows.next()?
    {
        let cursor = moved(row)?;
        if cursor.conversation != conversation || cursor.position > until {
            break;
        }
        if lookup::member(read_view.connection, conversation, cursor.user)?.is_some() {
            found.push(views::cursor(cursor, read_view)?);
        }
    }
    Ok(())
}

/// Reads a cursor, and its position in an index behind it.
fn moved(row: &Row<'_>) -> Result<Cursor, Failure> {
    let cursor = state::cursor(row, 0)?;
    agrees(row::position(row, CURSOR_COLUMNS)? == cursor.position)?;
    Ok(cursor)
}

/// Cursors that moved beyond `since`, at most this many and one more, the first ones first.
pub(super) fn moved_beyond(
    read_view: &ReadView<'_>,
    since: Position,
    most: usize,
) -> Result<Vec<CursorView>, Failure> {
    let mut before = read_view.connection.prepare_cached(concat!(
        "SELECT ",
        cursor_columns!(),
        ", i.position FROM cursors i INDEXED BY cursors_moved
            LEFT JOIN cursors k ON k.conversation = i.conversation AND k.user = i.user
          WHERE i.position > 0 AND i.position <= ?1 ORDER BY i.position DESC LIMIT 1"
    ))?;
    first(before.query([row::bound(since.0)])?, moved)?;
    let mut beyond = read_view.connection.prepare_cached(concat!(
        "SELECT ",
        cursor_columns!(),
        ", i.position FROM cursors i INDEXED BY cursors_moved
            LEFT JOIN cursors k ON k.conversation = i.conversation AND k.user = i.user
          WHERE i.position > 0 AND i.position > ?1 ORDER BY i.position LIMIT ?2"
    ))?;
    let rows = beyond.query([row::bound(since.0), row::limit(most.saturating_add(1))])?;
    collect(rows, |row| views::cursor(moved(row)?, read_view))
}

/// Every cursor that moved beyond `since` and is visible to the user, unless too many moved in the store to look at.
fn moved_at_all(
    read_view: &ReadView<'_>,
    viewer: UserId,
    since: Position,
) -> Result<Option<Vec<CursorView>>, Failure> {
    let moved = moved_beyond(read_view, since, CHANGED_MAX)?;
    if moved.len() > CHANGED_MAX || !fewer_than_memberships(read_view, viewer, moved.len())? {
        return Ok(None);
    }
    let mut memberships = HashMap::new();
    for cursor in &moved {
        let conversation = cursor.conversation;
        if may_be_a_member(viewer, conversation) && !memberships.contains_key(&conversation) {
            let member = lookup::member(read_view.connection, conversation, viewer)?.is_some();
            memberships.insert(conversation, member);
        }
    }
    let mut shown = Vec::with_capacity(moved.len());
    for cursor in moved {
        let of_members = memberships.get(&cursor.conversation) == Some(&true)
            && lookup::member(read_view.connection, cursor.conversation, cursor.user)?.is_some();
        if cursor.user == viewer || of_members {
            shown.push(cursor);
        }
    }
    let mut moved = shown;
    moved.sort_unstable_by_key(|cursor| (cursor.position, cursor.conversation, cursor.user));
    Ok(Some(moved))
}
