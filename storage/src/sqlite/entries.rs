//! The entries of users' own logs: their present rows, written with the events that change them, and what they close or
//! open between two people. It must never decide: an event in the log is decided.

use rusqlite::{Connection, Row};

use super::{
    failure::Failure,
    log, lookup,
    row::{self, first, sql},
    state, sum,
};
use crate::{
    entry::{self, BLOCK, EntryClass, EntryPage, EntryView, MESSAGE_ME, PAGE_BYTES_MAX, Reason},
    shape::Shape,
    types::{ConversationId, Event, EventKind, Position, Seq, Timestamp, UserId},
};

/// The row of an entry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    pub(super) conversation: ConversationId,
    pub(super) key: String,
    pub(super) seq: Seq,
    pub(super) position: Position,
    /// Below 2^63, as SQL orders it.
    pub(super) at: Timestamp,
    pub(super) class: EntryClass,
}

/// The columns that [`entry_row`] reads.
macro_rules! entry_columns {
    () => {
        "conversation, key, seq, position, at, class, sum"
    };
}

fn entry_row(row: &Row<'_>) -> Result<Entry, Failure> {
    let entry = Entry {
        conversation: row::conversation_id(row, 0)?,
        key: row.get(1)?,
        seq: row::seq(row, 2)?,
        position: row::position(row, 3)?,
        at: row::time(row, 4)?,
        class: EntryClass::of_number(row.get(5)?).map_err(Failure::damaged)?,
    };
    if row::number(row, 6)? == sum::of_entry(&entry) {
        Ok(entry)
    } else {
        Err(Failure::damaged(format!(
            "an entry of conversation {} is not what was written",
            entry.conversation.0
        )))
    }
}

fn find(connection: &Connection, conversation: ConversationId, key: &str) -> Result<Option<Entry>, Failure> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        entry_columns!(),
        " FROM entries WHERE conversation = ?1 AND key = ?2"
    ))?;
    let found = first(statement.query((sql(conversation.0), key))?, entry_row)?;
    match &found {
        Some(found) if found.key == key => {}
        Some(_) => return Err(Failure::damaged("an index has another key for an entry")),
        None => state::prove_absence(
            connection,
            "SELECT 1 FROM entries INDEXED BY entries_again WHERE conversation = ?1 AND key = ?2",
            (sql(conversation.0), key),
            || format!("an entry of conversation {}", conversation.0),
        )?,
    }
    Ok(found)
}

/// Erases the body of the event that has been the state of this event's entry.
pub(super) fn erase_before(connection: &Connection, event: &Event) -> Result<(), Failure> {
    let name = name_of(event)?;
    let Some(before) = find(connection, event.conversation, &name.key)? else {
        return Ok(());
    };
    let stored = lookup::stored(connection, before.position)?;
    if stored.event.body.is_empty() {
        return Ok(());
    }
    log::erase(connection, stored)
}

fn name_of(event: &Event) -> Result<&entry::EntryName, Failure> {
    let name = event.entry.as_deref();
    name.ok_or_else(|| Failure::damaged("an event of an entry does not say which"))
}

/// Applies an event of an entry.
pub(super) fn apply(connection: &Connection, event: &Event) -> Result<(), Failure> {
    let name = name_of(event)?;
    let before = find(connection, event.conversation, &name.key)?;
    if event.kind == EventKind::EntryRemoved {
        connection
            .prepare_cached("DELETE FROM entries WHERE conversation = ?1 AND key = ?2")?
            .execute((sql(event.conversation.0), &name.key))?;
    } else {
        let now = Entry {
            conversation: event.conversation,
            key: name.key.clone(),
            seq: event.seq,
            position: event.position,
            at: Timestamp(row::bound(event.at.0).cast_unsigned()),
            class: name.class,
        };
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO entries (conversation, key, seq, position, at, class, sum)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute((
                sql(now.conversation.0),
                &now.key,
                sql(now.seq.0),
                sql(now.position.0),
                sql(now.at.0),
                now.class.number(),
                sql(sum::of_entry(&now)),
            ))?;
    }
    close(connection, event, before.map(|before| before.class))
}

/// The 1:1 conversation that an event of an entry may close or open.
pub(super) fn closes(event: &Event) -> Option<ConversationId> {
    let name = event.entry.as_deref()?;
    let Some(Shape::Own(user)) = Shape::of(event.conversation) else {
        return None;
    };
    ConversationId::between(user, entry::person_of(&name.key)?)
}

/// Closes or opens what two people write in, if they do.
fn close(connection: &Connection, event: &Event, before: Option<EntryClass>) -> Result<(), Failure> {
    let Some(between) = closes(event) else {
        return Ok(());
    };
    let Some((_, rest)) = state::conversation_of(connection, between)? else {
        return Ok(());
    };
    let (name, whose) = (name_of(event)?, UserId(event.conversation.0));
    let closed = if name.key.starts_with(BLOCK) {
        let blocks = name.class == EntryClass::Blocked;
        rest.closed.with(between, whose, Reason::Blocks, blocks)
    } else if name.class == EntryClass::Friends {
        rest.closed.with(between, whose, Reason::NotFriends, false)
    } else if before == Some(EntryClass::Friends) {
        let setting = find(connection, event.conversation, MESSAGE_ME)?;
        let only = setting.is_some_and(|setting| setting.class == EntryClass::FriendsOnly);
        rest.closed.with(between, whose, Reason::NotFriends, only)
    } else {
        rest.closed
    };
    if closed != rest.closed {
        state::change_conversation(connection, between, |rest| rest.closed = closed)?;
    }
    Ok(())
}

/// Whether the row of an event that is the newest of its entry is there.
pub(super) fn is_known(connection: &Connection, event: &Event) -> Result<bool, Failure> {
    let found = find(connection, event.conversation, &name_of(event)?.key)?;
    Ok(match found {
        Some(found) => {
            found.seq > event.seq
                || (found.seq == event.seq
                    && found.position == event.position
                    && event.kind == EventKind::EntrySet)
        }
        // A later event has removed it.
        None => event.kind == EventKind::EntryRemoved || event.body.is_empty(),
    })
}

fn view(connection: &Connection, entry: Entry) -> Result<EntryView, Failure> {
    let event = lookup::stored(connection, entry.position)?.event;
    let is_it = event.kind == EventKind::EntrySet
        && (event.conversation, event.seq) == (entry.conversation, entry.seq)
        && event.entry.is_some_and(|name| name.key == entry.key);
    if !is_it {
        return Err(Failure::damaged("the place of an entry is that of another event"));
    }
    Ok(EntryView {
        key: entry.key,
        seq: entry.seq,
        at: event.at,
        class: entry.class,
        value: event.body,
    })
}

pub(super) fn one(connection: &Connection, of: UserId, key: &str) -> Result<Option<EntryView>, Failure> {
    let found = find(connection, ConversationId::own(of), key)?;
    found.map(|entry| view(connection, entry)).transpose()
}

pub(super) fn classes(
    connection: &Connection,
    asked: &[(UserId, String)],
) -> Result<Vec<Option<EntryClass>>, Failure> {
    let mut classes = Vec::with_capacity(asked.len());
    for (user, key) in asked {
        let found = find(connection, ConversationId::own(*user), key)?;
        classes.push(found.map(|entry| entry.class));
    }
    Ok(classes)
}

/// How many entries of this class are younger than a time.
pub(super) fn count(
    connection: &Connection,
    user: UserId,
    class: EntryClass,
    since: Timestamp,
) -> Result<u64, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT count(*) FROM entries INDEXED BY entries_by_class
         WHERE conversation = ?1 AND class = ?2 AND at > ?3",
    )?;
    let key = (sql(user.0), class.number(), younger_than(since));
    let count = first(statement.query(key)?, |row| row::number(row, 0))?;
    Ok(count.unwrap_or(0))
}

/// A bound for times that SQL compares: 0 is before them all.
fn younger_than(since: Timestamp) -> i64 {
    if since == Timestamp(0) {
        i64::MIN
    } else {
        row::bound(since.0)
    }
}

pub(super) fn oldest(
    connection: &Connection,
    of: UserId,
    class: EntryClass,
) -> Result<Option<String>, Failure> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        entry_columns!(),
        " FROM entries INDEXED BY entries_by_class WHERE conversation = ?1 AND class = ?2
          ORDER BY at, seq LIMIT 1"
    ))?;
    let found = first(statement.query((sql(of.0), class.number()))?, entry_row)?;
    Ok(found.map(|entry| entry.key))
}

/// Entries whose keys have this beginning, behind a key.
pub(super) fn page(
    connection: &Connection,
    of: UserId,
    prefix: &str,
    after: &str,
    limit: usize,
) -> Result<EntryPage, Failure> {
    let limit = limit.max(1);
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        entry_columns!(),
        " FROM entries WHERE conversation = ?1 AND key >= ?2 AND key > ?3 AND (?4 IS NULL OR key < ?4)
          ORDER BY key LIMIT ?5"
    ))?;
    let key = (
        sql(of.0),
        prefix,
        after,
        entry::behind(prefix),
        row::limit(limit.saturating_add(1)),
    );
    let found = row::collect(statement.query(key)?, entry_row)?;
    let mut page = EntryPage::default();
    let mut bytes = 0;
    for entry in found {
        if page.entries.len() >= limit || bytes > PAGE_BYTES_MAX {
            page.more = true;
            break;
        }
        let view = view(connection, entry)?;
        bytes += view.value.len();
        page.entries.push(view);
    }
    Ok(page)
}
