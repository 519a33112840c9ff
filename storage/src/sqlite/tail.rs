//! Everything committed since a position. The only writer needs no change feed; this serves the conformance suite, so
//! cursors have no index for it.

use std::{collections::BTreeMap, sync::Arc};

use rusqlite::Connection;

use super::{
    changes::{self, first_of},
    erase,
    failure::Failure,
    lookup,
    read_view::ReadView,
    row::{self, collect, event_columns},
};
use crate::{
    read::{CursorView, Tail},
    snapshot::Snapshot,
    types::{Event, Position},
};

enum Committed {
    Event(Arc<Event>),
    Cursor(CursorView),
}

/// Call this within a transaction.
pub(super) fn read(read_view: &ReadView<'_>, since: Position, limit: usize) -> Result<Tail, Failure> {
    let mut by_position: BTreeMap<Position, Vec<Committed>> = BTreeMap::new();
    for event in events(read_view.connection, since, limit.saturating_add(1))? {
        let place = by_position.entry(event.position).or_default();
        place.push(Committed::Event(Arc::new(event)));
    }
    for cursor in cursors(read_view, since)? {
        let place = by_position.entry(cursor.position).or_default();
        place.push(Committed::Cursor(cursor));
    }
    let mut tail = Tail::default();
    let cut = first_of(by_position, since, limit, |entry| match entry {
        Committed::Event(event) => tail.events.push(event),
        Committed::Cursor(cursor) => tail.cursors.push(cursor),
    });
    tail.more = cut.is_some();
    tail.up_to = Snapshot::at(match cut {
        Some(last) => last,
        None => lookup::position(read_view.connection)?,
    });
    Ok(tail)
}

fn events(connection: &Connection, since: Position, limit: usize) -> Result<Vec<Event>, Failure> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        event_columns!(),
        " FROM events e WHERE e.position > ?1 ORDER BY e.position LIMIT ?2"
    ))?;
    let rows = statement.query([row::bound(since.0), row::limit(limit)])?;
    let mut events = collect(rows, |row| Ok(row::event(row)?.event))?;
    for event in &mut events {
        erase::hide(connection, event)?;
    }
    Ok(events)
}

fn cursors(read_view: &ReadView<'_>, since: Position) -> Result<Vec<CursorView>, Failure> {
    let mut moved = changes::moved_beyond(read_view, since, usize::MAX)?;
    moved.sort_unstable_by_key(|cursor| (cursor.position, cursor.conversation, cursor.user));
    Ok(moved)
}
