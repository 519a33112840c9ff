//! Everything that any process committed beyond a snapshot: the log, cursors, notices.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    failure::Failure,
    people::{PROFILE_CHANGED, end_of_number},
    row::{self, EVENT_COLUMNS, event_columns, get},
    seen::{Beyond, Cut, PRESENT_COLUMNS, now},
    session::Session,
    views,
};
use crate::{
    read::{CursorView, Notice, Tail},
    snapshot::Snapshot,
    types::{Event, Position, SessionId, UserId},
};

enum Committed {
    Event(Arc<Event>),
    Cursor(CursorView),
    Notice(Position, Notice),
}

/// The first column of each kind.
const EVENTS: usize = PRESENT_COLUMNS + 1;
const CURSORS: usize = EVENTS + EVENT_COLUMNS;
const NOTICES: usize = CURSORS + 5;

/// One statement, so one snapshot, which comes with the rows. Each kind is read by its index on positions.
pub(super) fn read(session: &mut Session, since: &Snapshot, limit: usize) -> Result<Tail, Failure> {
    let (beyond, life) = (Beyond::new(since), session.life());
    let rows = session.query(
        concat!(
            "WITH places AS MATERIALIZED (
                (SELECT position FROM events
                 WHERE position >= $1 AND (position >= $2 OR (position >> 20) = ANY ($3)) ORDER BY 1 LIMIT $4)
                UNION ALL
                (SELECT position FROM cursors
                 WHERE position > 0 AND position >= $1 AND (position >= $2 OR (position >> 20) = ANY ($3))
                 ORDER BY 1 LIMIT $4)
                UNION ALL
                (SELECT position FROM notices
                 WHERE position >= $1 AND (position >= $2 OR (position >> 20) = ANY ($3)) ORDER BY 1 LIMIT $4)
             ), cut AS MATERIALIZED (
                SELECT max(p.position) | 1048575 AS place
                FROM (SELECT position FROM places ORDER BY 1 LIMIT $4) p
             ), listed_events AS MATERIALIZED (
                SELECT ",
            event_columns!(),
            " FROM events e WHERE e.position >= $1 AND (e.position >= $2 OR (e.position >> 20) = ANY ($3))
                    AND e.position <= (SELECT place FROM cut)
             ), listed_cursors AS MATERIALIZED (
                SELECT k.conversation, k.user_id, k.delivered, k.read, k.position FROM cursors k
                WHERE k.position > 0 AND k.position >= $1 AND (k.position >= $2 OR (k.position >> 20) = ANY ($3))
                  AND k.position <= (SELECT place FROM cut)
             ), listed_notices AS MATERIALIZED (
                SELECT n.position, n.kind, n.user_id, n.session_id FROM notices n
                WHERE n.position >= $1 AND (n.position >= $2 OR (n.position >> 20) = ANY ($3))
                  AND n.position <= (SELECT place FROM cut)
             ), rest AS MATERIALIZED (
                -- Once, and each from the end of its index: not for every row.
                SELECT coalesce((SELECT max(position) FROM events) > place, false)
                    OR coalesce((SELECT max(position) FROM cursors WHERE position > 0) > place, false)
                    OR coalesce((SELECT max(position) FROM notices) > place, false) AS more
                FROM cut
             )
             SELECT present.*, rest.more, listed.*
             FROM present_in($5, $6) present CROSS JOIN rest LEFT JOIN (
                listed_events e FULL JOIN listed_cursors k ON false FULL JOIN listed_notices n ON false) listed
             ON true"
        ),
        &[
            &beyond.below,
            &beyond.end,
            &beyond.open,
            &row::limit(limit.saturating_add(1)),
            &life.generation,
            &life.started,
        ],
    )?;
    let now = now(session, &rows)?;
    // Everything above the cut is beyond `since`, unless `since` covers it.
    let rest = rows
        .first()
        .map(|row| get::<Option<bool>>(row, PRESENT_COLUMNS))
        .transpose()?;
    let mut by_position: BTreeMap<Position, Vec<Committed>> = BTreeMap::new();
    for row in &rows {
        let Some((position, entry)) = committed(row)? else {
            continue;
        };
        by_position.entry(position).or_default().push(entry);
    }
    let mut tail = Tail::default();
    let cut = Cut {
        since,
        now,
        limit,
        beyond: rest.flatten() == Some(true),
    };
    (tail.up_to, tail.more) = cut.take(by_position, |entry| match entry {
        Committed::Event(event) => tail.events.push(event),
        Committed::Cursor(cursor) => tail.cursors.push(cursor),
        Committed::Notice(position, notice) => tail.notices.push((position, notice)),
    })?;
    session
        .node()
        .read(tail.events.iter().map(|event| event.position));
    tail.cursors
        .sort_by_key(|cursor| (cursor.position, cursor.conversation, cursor.user));
    Ok(tail)
}

fn committed(row: &postgres::Row) -> Result<Option<(Position, Committed)>, Failure> {
    if get::<Option<i64>>(row, EVENTS)?.is_some() {
        let event = row::event(row, EVENTS)?;
        return Ok(Some((event.position, Committed::Event(Arc::new(event)))));
    }
    if get::<Option<i64>>(row, CURSORS)?.is_some() {
        let cursor = views::cursor(row, CURSORS)?;
        return Ok(Some((cursor.position, Committed::Cursor(cursor))));
    }
    if get::<Option<i64>>(row, NOTICES)?.is_some() {
        let position = row::position(row, NOTICES)?;
        let notice = notice(
            get(row, NOTICES + 1)?,
            row::user_id(row, NOTICES + 2)?,
            SessionId(row::number(row, NOTICES + 3)?),
        )?;
        return Ok(Some((position, Committed::Notice(position, notice))));
    }
    Ok(None)
}

fn notice(kind: i16, user: UserId, session: SessionId) -> Result<Notice, Failure> {
    if kind == PROFILE_CHANGED {
        return Ok(Notice::ProfileChanged(user));
    }
    let why =
        end_of_number(kind).ok_or_else(|| Failure::damaged(format!("no notice has the kind {kind}")))?;
    Ok(Notice::SessionEnded { user, session, why })
}
