//! The write-behind index of the log: from (conversation, seq) and from client ids to positions, heads, and the cursor
//! moves that sending implies. A commit writes events alone. When enough have come together, their index is sorted and
//! written in slices, each in the transaction of a batch. Until then it is in memory, here and in [`Unindexed`]; after a
//! crash it is rebuilt from the log beyond the watermark.
//!
//! Nothing here may be needed to know what was committed: the log alone proves that.

use std::sync::Arc;

use foldhash::HashMap;
use rusqlite::{CachedStatement, Connection};

use super::{
    failure::Failure,
    row::{self, Parameters, first, sql},
    state::{self, Head},
    sum,
    unindexed::{Entry, Unindexed},
};
use crate::types::{ClientId, ConversationId, Event, Position, Seq, UserId};

/// The least number of index rows in a slice: with fewer, the next slice would write the same pages again. A slice
/// takes one to two milliseconds.
const SLICE_ROWS_MIN: usize = 512;
/// Rows due for each new event: an event needs two, so the index keeps up.
const ROWS_DUE_PER_EVENT: usize = 3;

/// The index data of an event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Indexed {
    pub(super) conversation: ConversationId,
    pub(super) entry: Entry,
}

impl Indexed {
    pub(super) const fn new(event: &Event) -> Self {
        Self {
            conversation: event.conversation,
            entry: Entry {
                seq: event.seq,
                ordinal: event.ordinal,
                position: event.position,
                at: event.at,
                roster: event.roster,
                sender: event.sender,
                client_id: event.client_id,
            },
        }
    }

    const fn request(&self) -> Request {
        (self.entry.client_id, self.conversation, self.entry.sender)
    }
}

type Request = (ClientId, ConversationId, UserId);

/// Events whose index is being written.
#[derive(Debug)]
struct Generation {
    by_place: Vec<Indexed>,
    /// Readers look here, too: events that are indexed by place have left the unindexed entries.
    by_client_id: Arc<[Indexed]>,
    /// Rows written and committed: first by place, then by client id.
    places_done: usize,
    requests_done: usize,
    up_to: Position,
}

/// The part of the index that a transaction wrote; it counts once the transaction is committed.
#[derive(Debug, Default)]
pub(super) struct Slice {
    places: usize,
    requests: usize,
    /// Rows that are still due after it.
    rows_due: usize,
    /// With it, the index has everything up to here.
    pub(super) watermark: Option<Position>,
}

/// The writer's half of the index.
#[derive(Debug)]
pub(super) struct DeferredIndex {
    /// In the order of their positions.
    pending: Vec<Indexed>,
    generation: Option<Generation>,
    /// Client ids that are not in the index.
    requests: HashMap<Request, Position>,
    /// The greatest client id in the index. Ids that are made from the time are greater.
    greatest_id: Option<ClientId>,
    /// Rows of the index that are due since the last slice.
    rows_due: usize,
    /// The number of events in a generation: sorted, many of them fall into the same pages.
    size: usize,
}

impl DeferredIndex {
    pub(super) fn new(connection: &Connection, size: usize) -> Result<Self, Failure> {
        let mut statement =
            connection.prepare("SELECT client_id FROM requests ORDER BY client_id DESC LIMIT 1")?;
        let greatest_id = first(statement.query([])?, |row| Ok(ClientId(row.get(0)?)))?;
        Ok(Self {
            pending: Vec::new(),
            generation: None,
            requests: HashMap::default(),
            greatest_id,
            rows_due: 0,
            size: size.max(1),
        })
    }

    /// An event of the open batch.
    pub(super) fn enter(&mut self, event: &Event, unindexed: &Unindexed) {
        let indexed = Indexed::new(event);
        self.pending.push(indexed);
        self.requests.insert(indexed.request(), event.position);
        unindexed.enter(indexed.conversation, indexed.entry);
    }

    /// Forgets uncommitted events of an earlier batch: all above the log's position.
    pub(super) fn reconcile(&mut self, position: Position, unindexed: &Unindexed) {
        while let Some(last) = self.pending.pop_if(|last| last.entry.position > position) {
            self.requests.remove(&last.request());
            unindexed.take_back(last.conversation);
        }
    }

    /// The position of a request's event that is not indexed.
    pub(super) fn position_of(
        &self,
        client_id: ClientId,
        conversation: ConversationId,
        sender: UserId,
    ) -> Option<Position> {
        self.requests.get(&(client_id, conversation, sender)).copied()
    }

    /// Whether the index may have this client id.
    pub(super) fn may_be_indexed(&self, client_id: ClientId) -> bool {
        self.greatest_id.is_some_and(|greatest| client_id <= greatest)
    }

    /// Begins a generation when enough events have come together. Every entered event must be committed.
    pub(super) fn prepare(&mut self, unindexed: &Unindexed) {
        if self.generation.is_some() || self.pending.len() < self.size {
            return;
        }
        let Some(up_to) = self.pending.last().map(|last| last.entry.position) else {
            return;
        };
        let mut by_place = std::mem::take(&mut self.pending);
        let mut by_client_id = by_place.clone();
        // Stable: the seqs of a conversation are in order already.
        by_place.sort_by_key(|indexed| indexed.conversation);
        // By the id alone and as a number, which compares faster; the order of equal ones does not matter.
        by_client_id.sort_unstable_by_key(|indexed| u128::from_be_bytes(indexed.entry.client_id.0));
        let by_client_id: Arc<[Indexed]> = by_client_id.into();
        unindexed.index_begins(Arc::clone(&by_client_id));
        self.generation = Some(Generation {
            by_place,
            by_client_id,
            places_done: 0,
            requests_done: 0,
            up_to,
        });
    }

    /// Writes a part of the index into the open transaction, which has this many new events.
    pub(super) fn write_slice(&self, connection: &Connection, events: usize) -> Result<Slice, Failure> {
        let Some(generation) = &self.generation else {
            return Ok(Slice::default());
        };
        let rows = self
            .rows_due
            .saturating_add(events.saturating_mul(ROWS_DUE_PER_EVENT));
        if rows < SLICE_ROWS_MIN.min(self.size) {
            return Ok(Slice {
                rows_due: rows,
                ..Slice::default()
            });
        }
        let places = generation.places(rows);
        write_places(connection, places)?;
        let requests = generation.requests(rows - places.len());
        write_requests(connection, requests)?;
        let complete = generation.requests_done + requests.len() == generation.by_client_id.len();
        Ok(Slice {
            places: places.len(),
            requests: requests.len(),
            rows_due: 0,
            watermark: complete.then_some(generation.up_to),
        })
    }

    /// The slice was committed.
    pub(super) fn committed(&mut self, slice: &Slice, unindexed: &Unindexed) {
        self.rows_due = slice.rows_due;
        let Some(generation) = &mut self.generation else {
            return;
        };
        if slice.places > 0 {
            unindexed.written(newest_of_each(generation.places(slice.places)));
        }
        for written in generation.requests(slice.requests) {
            self.requests.remove(&written.request());
            self.greatest_id = self.greatest_id.max(Some(written.entry.client_id));
        }
        generation.places_done += slice.places;
        generation.requests_done += slice.requests;
        if slice.watermark.is_some() {
            self.generation = None;
            unindexed.index_is_complete();
        }
    }
}

impl Generation {
    /// The next rows by place, at most this many.
    fn places(&self, rows: usize) -> &[Indexed] {
        next(&self.by_place, self.places_done, rows)
    }

    fn requests(&self, rows: usize) -> &[Indexed] {
        next(&self.by_client_id, self.requests_done, rows)
    }
}

fn next(all: &[Indexed], done: usize, rows: usize) -> &[Indexed] {
    let rest = all.get(done..).unwrap_or_default();
    rest.get(..rows).unwrap_or(rest)
}

fn newest_of_each(places: &[Indexed]) -> Vec<(ConversationId, Seq)> {
    places
        .chunk_by(|one, other| one.conversation == other.conversation)
        .filter_map(<[Indexed]>::last)
        .map(|last| (last.conversation, last.entry.seq))
        .collect()
}

/// Writes the places of events, sorted by conversation and seq, and the heads and cursors that follow. Rows that were
/// written before may be written again.
pub(super) fn write_places(connection: &Connection, places: &[Indexed]) -> Result<(), Failure> {
    write_rows(connection, &PLACES, places, |indexed, row| {
        row.bind(sql(indexed.conversation.0))?;
        row.bind(sql(indexed.entry.seq.0))?;
        row.bind(sql(indexed.entry.position.0))
    })?;
    for run in places.chunk_by(|one, other| one.conversation == other.conversation) {
        if let Some(last) = run.last() {
            move_head(connection, last)?;
        }
        let mut senders: Vec<&Indexed> = run.iter().collect();
        // Stable: the last of each sender is the newest.
        senders.sort_by_key(|indexed| indexed.entry.sender);
        for sent in senders.chunk_by(|one, other| one.entry.sender == other.entry.sender) {
            if let Some(last) = sent.last() {
                move_sender(connection, last)?;
            }
        }
    }
    Ok(())
}

/// Writes the requests of events. Rows that were written before may be written again.
pub(super) fn write_requests(connection: &Connection, requests: &[Indexed]) -> Result<(), Failure> {
    write_rows(connection, &REQUESTS, requests, |indexed, row| {
        row.bind(indexed.entry.client_id.0)?;
        row.bind(sql(indexed.conversation.0))?;
        row.bind(sql(indexed.entry.sender.0))?;
        row.bind(sql(indexed.entry.position.0))
    })
}

/// A table of the index.
struct Table {
    columns: &'static str,
    row: &'static str,
    /// The error if the row exists with another position.
    otherwise: &'static str,
}

const PLACES: Table = Table {
    columns: "event_seqs (conversation, seq, position)",
    row: "(?, ?, ?)",
    otherwise: "two events have the same seq",
};

const REQUESTS: Table = Table {
    columns: "requests (client_id, conversation, sender, position)",
    row: "(?, ?, ?, ?)",
    otherwise: "two events have the same client id",
};

/// Rows of one statement: beginning and ending a statement costs more than a row.
const ROWS_AT_ONCE: usize = 32;

impl Table {
    /// Writes the rows that do not exist yet.
    fn insert<'c>(&self, connection: &'c Connection, rows: usize) -> Result<CachedStatement<'c>, Failure> {
        let rows = vec![self.row; rows].join(", ");
        let text = format!("INSERT OR IGNORE INTO {} VALUES {rows}", self.columns);
        Ok(connection.prepare_cached(&text)?)
    }

    /// Writes a row that may exist already, with the same position.
    fn repeat<'c>(&self, connection: &'c Connection) -> Result<CachedStatement<'c>, Failure> {
        let text = format!(
            "INSERT INTO {} VALUES {} ON CONFLICT DO UPDATE SET position = excluded.position
             WHERE position = excluded.position",
            self.columns, self.row
        );
        Ok(connection.prepare_cached(&text)?)
    }
}

fn write_rows(
    connection: &Connection,
    table: &Table,
    rows: &[Indexed],
    bind: impl Fn(&Indexed, &mut Parameters<'_, '_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let execute = |statement: &mut CachedStatement<'_>, rows: &[Indexed]| {
        let mut parameters = Parameters::of(statement);
        rows.iter()
            .try_for_each(|indexed| bind(indexed, &mut parameters))?;
        Ok::<_, Failure>(statement.raw_execute()?)
    };
    let (many, one_by_one) = rows.split_at(rows.len() - rows.len() % ROWS_AT_ONCE);
    for (rows, at_once) in [(many, ROWS_AT_ONCE), (one_by_one, 1)] {
        if rows.is_empty() {
            continue;
        }
        let mut insert = table.insert(connection, at_once)?;
        for rows in rows.chunks(at_once) {
            if execute(&mut insert, rows)? == rows.len() {
                continue;
            }
            let mut repeat = table.repeat(connection)?;
            for row in rows {
                one_row(execute(&mut repeat, std::slice::from_ref(row))?, table.otherwise)?;
            }
        }
    }
    Ok(())
}

fn move_head(connection: &Connection, newest: &Indexed) -> Result<(), Failure> {
    let entry = &newest.entry;
    let head = Head {
        conversation: newest.conversation,
        seq: entry.seq,
        ordinal: entry.ordinal,
        position: entry.position,
        at: entry.at,
        roster: entry.roster,
    };
    let changed = connection
        .prepare_cached(
            "UPDATE conversations SET head_seq = ?2, head_ordinal = ?3, head_position = ?4, head_at = ?5,
                                      roster = ?6, head_sum = ?7
             WHERE id = ?1 AND head_seq <= ?2",
        )?
        .execute([
            sql(newest.conversation.0),
            sql(entry.seq.0),
            sql(entry.ordinal),
            sql(entry.position.0),
            sql(entry.at.0),
            sql(entry.roster.0),
            sql(sum::of_head(&head)),
        ])?;
    if changed == 0 {
        // It was written before, with a later head; or there is no such conversation.
        let mut statement =
            connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM conversations WHERE id = ?1)")?;
        let found = first(statement.query([sql(newest.conversation.0)])?, |row| {
            row::flag(row, 0)
        })?;
        one_row(usize::from(found == Some(true)), "an event has no conversation")?;
    }
    Ok(())
}

/// Sending marks everything before the message as read and delivered for the sender. The cursor's `position` stays:
/// other devices infer this from the event.
fn move_sender(connection: &Connection, newest: &Indexed) -> Result<(), Failure> {
    let (conversation, user) = (newest.conversation, newest.entry.sender);
    if user == UserId::SERVER {
        return Ok(());
    }
    let before = state::cursor_of(connection, conversation, user)?;
    let after = before.with_sent(Some(&newest.entry));
    if after == before {
        return Ok(());
    }
    state::move_cursor(connection, &after)
}

fn one_row(changed: usize, otherwise: &str) -> Result<(), Failure> {
    if changed == 1 {
        Ok(())
    } else {
        Err(Failure::damaged(otherwise))
    }
}
