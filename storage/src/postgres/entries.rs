//! The entries of users' own logs: their present rows, written with the events that change them, and what they close or
//! open between two people. It must never decide: an event in the log is decided.
//!
//! An append that changes entries has locked all its logs, and with them their entries; other appends only look at what
//! was committed.

use postgres::Row;

use super::{
    derive::text,
    failure::Failure,
    row::{self, get, sql},
    session::Session,
};
use crate::{
    entry::{self, BLOCK, EntryClass, EntryName, EntryPage, EntryView, MESSAGE_ME, PAGE_BYTES_MAX, Reason},
    types::{ConversationId, Event, EventKind, Timestamp, UserId},
};

/// Applies an event of an entry: what was the state has no body any more.
pub(super) fn apply(session: &mut Session, event: &Event) -> Result<(), Failure> {
    let name = event.entry.as_deref();
    let name = name.ok_or_else(|| Failure::damaged("an event of an entry does not say which"))?;
    let (conversation, key) = (sql(event.conversation.0), text(&name.key));
    let found = session.first(
        "WITH old AS (
            SELECT seq, class FROM entries WHERE conversation = $1 AND key = $2
         ), erased AS (
            UPDATE events SET body = '' WHERE conversation = $1 AND seq = (SELECT seq FROM old)
         )
         SELECT class FROM old",
        &[&conversation, &key],
    )?;
    let before = found.map(|row| class(&row, 0)).transpose()?;
    if event.kind == EventKind::EntryRemoved {
        session.execute(
            "DELETE FROM entries WHERE conversation = $1 AND key = $2",
            &[&conversation, &key],
        )?;
    } else {
        session.execute(
            "INSERT INTO entries (conversation, key, seq, at, class) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (conversation, key) DO UPDATE
             SET seq = excluded.seq, at = excluded.at, class = excluded.class",
            &[
                &conversation,
                &key,
                &sql(event.seq.0),
                &row::bound(event.at.0),
                &i16::from(name.class.number()),
            ],
        )?;
    }
    close(session, event, name, before)
}

/// Closes or opens what two people write in, if they do. That conversation is locked with the two logs.
fn close(
    session: &mut Session,
    event: &Event,
    name: &EntryName,
    before: Option<EntryClass>,
) -> Result<(), Failure> {
    let whose = UserId(event.conversation.0);
    let between = entry::person_of(&name.key).and_then(|person| ConversationId::between(whose, person));
    let Some(between) = between else { return Ok(()) };
    let found = session.first(
        "SELECT closed FROM conversations WHERE id = $1 AND head_seq > 0",
        &[&sql(between.0)],
    )?;
    let Some(closed) = found.map(|row| row::closed(&row, 0)).transpose()? else {
        return Ok(());
    };
    let now = if name.key.starts_with(BLOCK) {
        closed.with(between, whose, Reason::Blocks, name.class == EntryClass::Blocked)
    } else if name.class == EntryClass::Friends {
        closed.with(between, whose, Reason::NotFriends, false)
    } else if before == Some(EntryClass::Friends) {
        let setting = classes(session, &[(whose, MESSAGE_ME.to_owned())])?;
        let only = setting.first() == Some(&Some(EntryClass::FriendsOnly));
        closed.with(between, whose, Reason::NotFriends, only)
    } else {
        closed
    };
    if now != closed {
        session.execute(
            "UPDATE conversations SET closed = $2 WHERE id = $1",
            &[&sql(between.0), &i16::from(now.0)],
        )?;
    }
    Ok(())
}

fn class(row: &Row, column: usize) -> Result<EntryClass, Failure> {
    let number: i16 = get(row, column)?;
    EntryClass::of_number(i64::from(number)).map_err(Failure::damaged)
}

/// The columns that [`view`] reads, of `entries n` and the `events e` that have their values.
macro_rules! view_columns {
    () => {
        "n.key, n.seq, e.at, n.class, e.body"
    };
}

/// Joins an entry to its event by the order of the key, so that it is never taken for a good idea to read the log.
macro_rules! its_event {
    () => {
        " CROSS JOIN LATERAL (
            SELECT e.at, e.body FROM events e WHERE e.conversation = n.conversation AND e.seq = n.seq LIMIT 1) e"
    };
}

fn view(row: &Row) -> Result<EntryView, Failure> {
    Ok(EntryView {
        key: get(row, 0)?,
        seq: row::seq(row, 1)?,
        at: row::time(row, 2)?,
        class: class(row, 3)?,
        value: row::blob(row, 4)?,
    })
}

pub(super) fn one(session: &mut Session, of: UserId, key: &str) -> Result<Option<EntryView>, Failure> {
    let found = session.first(
        concat!(
            "SELECT ",
            view_columns!(),
            " FROM entries n",
            its_event!(),
            " WHERE n.conversation = $1 AND n.key = $2"
        ),
        &[&sql(of.0), &text(key)],
    )?;
    found.map(|row| view(&row)).transpose()
}

pub(super) fn classes(
    session: &mut Session,
    asked: &[(UserId, String)],
) -> Result<Vec<Option<EntryClass>>, Failure> {
    let users: Vec<i64> = asked.iter().map(|(user, _)| sql(user.0)).collect();
    let keys: Vec<_> = asked.iter().map(|(_, key)| text(key)).collect();
    let rows = session.query(
        "SELECT (SELECT n.class FROM entries n WHERE n.conversation = i.user_id AND n.key = i.key)
         FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS i (user_id, key, place) ORDER BY i.place",
        &[&users, &keys],
    )?;
    rows.iter()
        .map(|row| {
            let found: Option<i16> = get(row, 0)?;
            found.map(|_| class(row, 0)).transpose()
        })
        .collect()
}

/// How many entries of this class are younger than a time.
pub(super) fn count(
    session: &mut Session,
    user: UserId,
    of: EntryClass,
    since: Timestamp,
) -> Result<u64, Failure> {
    let since = if since == Timestamp(0) {
        i64::MIN
    } else {
        row::bound(since.0)
    };
    let found = session.first(
        "SELECT count(*) FROM entries WHERE conversation = $1 AND class = $2 AND at > $3",
        &[&sql(user.0), &i16::from(of.number()), &since],
    )?;
    Ok(found.map(|row| row::number(&row, 0)).transpose()?.unwrap_or(0))
}

pub(super) fn oldest(
    session: &mut Session,
    of: UserId,
    class: EntryClass,
) -> Result<Option<String>, Failure> {
    let found = session.first(
        "SELECT key FROM entries WHERE conversation = $1 AND class = $2 ORDER BY at, seq LIMIT 1",
        &[&sql(of.0), &i16::from(class.number())],
    )?;
    found.map(|row| get(&row, 0)).transpose()
}

/// Entries whose keys have this beginning, behind a key.
pub(super) fn page(
    session: &mut Session,
    of: UserId,
    prefix: &str,
    after: &str,
    limit: usize,
) -> Result<EntryPage, Failure> {
    let limit = limit.max(1);
    let (prefix, after) = (text(prefix), text(after));
    let rows = session.query(
        concat!(
            "SELECT ",
            view_columns!(),
            " FROM (SELECT * FROM entries n
                    WHERE n.conversation = $1 AND n.key >= $2 AND n.key > $3 AND ($4::text IS NULL OR n.key < $4)
                    ORDER BY n.key LIMIT $5) n",
            its_event!(),
            " ORDER BY n.key"
        ),
        &[
            &sql(of.0),
            &prefix,
            &after,
            &entry::behind(&prefix),
            &row::limit(limit.saturating_add(1)),
        ],
    )?;
    let mut page = EntryPage::default();
    let mut bytes = 0;
    for row in &rows {
        if page.entries.len() >= limit || bytes > PAGE_BYTES_MAX {
            page.more = true;
            break;
        }
        let view = view(row)?;
        bytes += view.value.len();
        page.entries.push(view);
    }
    Ok(page)
}
