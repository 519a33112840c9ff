//! Conversations as one user sees them, and the changes for that user.

use std::collections::BTreeMap;

use postgres::Row;

use super::{
    failure::Failure,
    row::{self, get, sql},
    seen::{Beyond, Cut, PRESENT_COLUMNS, now},
    session::Session,
};
use crate::{
    read::{Changes, ConversationView, CursorView},
    snapshot::Snapshot,
    types::{ConversationId, Position, UserId},
    visible::{self, Cursor, Place, State, Stay},
};

/// The columns that [`view`] reads: of `conversations c`, of the viewer's newest interval `s`, and of the viewer's
/// cursor `k`. For a former member, the head is the event by which they went.
macro_rules! view_columns {
    () => {
        "c.id, coalesce(s.left_position, c.head_position) AS place,
         c.head_seq, c.head_ordinal, c.head_position, c.head_at, c.roster, c.settings, c.member_count, c.disbanded,
         c.closed,
         (SELECT f.joined_seq FROM members f WHERE f.conversation = s.conversation AND f.user_id = s.user_id
          ORDER BY f.conversation, f.user_id, f.joined_seq LIMIT 1) AS first_seq,
         s.joined_seq, s.joined_ordinal, s.role,
         s.left_seq, s.left_ordinal, s.left_position, s.left_at, s.left_settings, s.left_count,
         coalesce(k.delivered, 0) AS delivered, coalesce(k.read, 0) AS read,
         coalesce(k.read_ordinal, 0) AS read_ordinal"
    };
}

/// The number of those columns.
const VIEW_COLUMNS: usize = 24;

/// All conversations of the user $1, each with their newest interval.
macro_rules! from_all {
    () => {
        " FROM (SELECT m.* FROM members m WHERE m.user_id = $1 AND m.newest) s
               JOIN conversations c ON c.id = s.conversation
               LEFT JOIN cursors k ON k.conversation = s.conversation AND k.user_id = $1 "
    };
}

/// Reads [`view_columns`] from the column `first` on.
fn view(row: &Row, first: usize, viewer: UserId) -> Result<ConversationView, Failure> {
    let id = row::conversation_id(row, first)?;
    let now = State {
        head: Place {
            seq: row::seq(row, first + 2)?,
            ordinal: row::number(row, first + 3)?,
            position: row::position(row, first + 4)?,
            at: row::time(row, first + 5)?,
            roster: row::seq(row, first + 6)?,
        },
        settings: row::settings(row, first + 7)?,
        member_count: members(row, first + 8)?,
        disbanded: row::flag(row, first + 9)?,
        closed: row::closed(row, first + 10)?.is_closed(),
    };
    let stay = Stay {
        first: row::seq(row, first + 11)?,
        joined: row::seq(row, first + 12)?,
        joined_ordinal: row::number(row, first + 13)?,
        role: row::role(row, first + 14)?,
        left: left(row, first + 15)?,
    };
    let cursor = Cursor {
        delivered: row::seq(row, first + 21)?,
        read: row::seq(row, first + 22)?,
        read_ordinal: row::number(row, first + 23)?,
    };
    visible::view(id, viewer, now, stay, cursor)
        .ok_or_else(|| Failure::damaged("a conversation has an impossible id"))
}

/// The conversation as it was when the viewer went, from the column `first` on.
fn left(row: &Row, first: usize) -> Result<Option<State>, Failure> {
    if get::<Option<i64>>(row, first)?.is_none() {
        return Ok(None);
    }
    let seq = row::seq(row, first)?;
    let head = Place {
        seq,
        ordinal: row::number(row, first + 1)?,
        position: row::position(row, first + 2)?,
        at: row::time(row, first + 3)?,
        // The event by which a member goes changes the roster.
        roster: seq,
    };
    Ok(Some(State {
        head,
        settings: row::settings(row, first + 4)?,
        member_count: members(row, first + 5)?,
        // Members of a disbanded group do not leave it.
        disbanded: false,
        closed: false,
    }))
}

fn members(row: &Row, column: usize) -> Result<u32, Failure> {
    u32::try_from(row::number(row, column)?)
        .map_err(|_| Failure::damaged("a group has impossibly many members"))
}

pub(super) fn one(
    session: &mut Session,
    viewer: UserId,
    conversation: ConversationId,
) -> Result<Option<ConversationView>, Failure> {
    let found = session.first(
        concat!(
            "SELECT ",
            view_columns!(),
            " FROM members s JOIN conversations c ON c.id = s.conversation
                   LEFT JOIN cursors k ON k.conversation = s.conversation AND k.user_id = s.user_id
              WHERE s.conversation = $2 AND s.user_id = $1 AND s.newest"
        ),
        &[&sql(viewer.0), &sql(conversation.0)],
    )?;
    found.map(|row| view(&row, 0, viewer)).transpose()
}

/// The conversations that the viewer sees, in the order asked.
pub(super) fn some(
    session: &mut Session,
    viewer: UserId,
    conversations: &[ConversationId],
) -> Result<Vec<ConversationView>, Failure> {
    let ids: Vec<i64> = conversations.iter().map(|id| sql(id.0)).collect();
    let rows = session.query(
        concat!(
            "SELECT ",
            view_columns!(),
            " FROM unnest($2::bigint[]) WITH ORDINALITY AS asked (id, place)
                   JOIN members s ON s.conversation = asked.id AND s.user_id = $1 AND s.newest
                   JOIN conversations c ON c.id = asked.id
                   LEFT JOIN cursors k ON k.conversation = s.conversation AND k.user_id = s.user_id
              ORDER BY asked.place"
        ),
        &[&sql(viewer.0), &ids],
    )?;
    rows.iter().map(|row| view(row, 0, viewer)).collect()
}

pub(super) fn newest(
    session: &mut Session,
    viewer: UserId,
    before: Option<Position>,
    limit: usize,
) -> Result<Vec<ConversationView>, Failure> {
    let before = before.map_or(i64::MAX, |before| row::bound(before.0));
    let rows = session.query(
        concat!(
            "SELECT * FROM (SELECT ",
            view_columns!(),
            from_all!(),
            ") v WHERE v.place < $2 ORDER BY v.place DESC LIMIT $3"
        ),
        &[&sql(viewer.0), &before, &row::limit(limit)],
    )?;
    rows.iter().map(|row| view(row, 0, viewer)).collect()
}

/// The first column of each kind of change.
const VIEWS: usize = PRESENT_COLUMNS + 1;
const CURSORS: usize = VIEWS + VIEW_COLUMNS;

/// One entry of a list of changes.
enum Change {
    Conversation(ConversationView),
    Cursor(CursorView),
}

/// One statement, so one snapshot, which comes with the rows.
pub(super) fn changes(
    session: &mut Session,
    viewer: UserId,
    since: &Snapshot,
    limit: usize,
) -> Result<Changes, Failure> {
    let (beyond, life) = (Beyond::new(since), session.life());
    let rows = session.query(
        concat!(
            "WITH views AS MATERIALIZED (
                SELECT * FROM (SELECT ",
            view_columns!(),
            from_all!(),
            ") v WHERE v.place >= $2 AND (v.place >= $3 OR (v.place >> 20) = ANY ($4))
             ), moves AS MATERIALIZED (
                SELECT k.conversation, k.user_id, k.delivered, k.read, k.position
                FROM members m CROSS JOIN LATERAL (
                    SELECT k.conversation, k.user_id, k.delivered, k.read, k.position FROM cursors k
                    WHERE k.conversation = m.conversation AND k.position > 0 AND k.position >= $2
                    ORDER BY k.position OFFSET 0) k
                WHERE m.user_id = $1 AND m.newest AND m.left_seq IS NULL
                  AND (k.position >= $3 OR (k.position >> 20) = ANY ($4))
                  AND (SELECT true FROM members n
                       WHERE n.conversation = m.conversation AND n.user_id = k.user_id AND n.left_seq IS NULL LIMIT 1)
                UNION ALL
                SELECT k.conversation, k.user_id, k.delivered, k.read, k.position
                FROM members m CROSS JOIN LATERAL (
                    SELECT k.conversation, k.user_id, k.delivered, k.read, k.position FROM cursors k
                    WHERE k.conversation = m.conversation AND k.user_id = $1 LIMIT 1) k
                WHERE m.user_id = $1 AND m.newest AND m.left_seq IS NOT NULL AND k.position > 0 AND k.position >= $2
                  AND (k.position >= $3 OR (k.position >> 20) = ANY ($4))
             ), cut AS MATERIALIZED (
                SELECT max(p.place) | 1048575 AS place
                FROM (SELECT place FROM views UNION ALL SELECT position FROM moves ORDER BY 1 LIMIT $5) p
             )
             SELECT present.*,
                    EXISTS (SELECT 1 FROM views WHERE place > cut.place)
                        OR EXISTS (SELECT 1 FROM moves WHERE position > cut.place),
                    listed.*
             FROM present_in($6, $7) present CROSS JOIN cut LEFT JOIN (views v FULL JOIN moves k ON false) listed
                ON coalesce(listed.place, listed.position) <= cut.place"
        ),
        &[
            &sql(viewer.0),
            &beyond.below,
            &beyond.end,
            &beyond.open,
            &row::limit(limit.saturating_add(1)),
            &life.generation,
            &life.started,
        ],
    )?;
    let now = now(session, &rows)?;
    let beyond_rows = rows
        .first()
        .map(|row| row::flag(row, PRESENT_COLUMNS))
        .transpose()?
        .unwrap_or(false);
    let mut by_position: BTreeMap<Position, Vec<Change>> = BTreeMap::new();
    for row in &rows {
        if get::<Option<i64>>(row, VIEWS)?.is_some() {
            let view = view(row, VIEWS, viewer)?;
            let place = by_position.entry(view.head_position).or_default();
            place.push(Change::Conversation(view));
        } else if get::<Option<i64>>(row, CURSORS)?.is_some() {
            let cursor = cursor(row, CURSORS)?;
            let place = by_position.entry(cursor.position).or_default();
            place.push(Change::Cursor(cursor));
        }
    }
    let mut changes = Changes::default();
    let cut = Cut {
        since,
        now,
        limit,
        beyond: beyond_rows,
    };
    (changes.up_to, changes.more) = cut.take(by_position, |entry| match entry {
        Change::Conversation(view) => changes.conversations.push(view),
        Change::Cursor(cursor) => changes.cursors.push(cursor),
    })?;
    changes
        .cursors
        .sort_by_key(|cursor| (cursor.position, cursor.conversation, cursor.user));
    Ok(changes)
}

/// Reads conversation, user, delivered, read and position from the column `first` on.
pub(super) fn cursor(row: &Row, first: usize) -> Result<CursorView, Failure> {
    Ok(CursorView {
        conversation: row::conversation_id(row, first)?,
        user: row::user_id(row, first + 1)?,
        delivered: row::seq(row, first + 2)?,
        read: row::seq(row, first + 3)?,
        position: row::position(row, first + 4)?,
    })
}
