//! Messages that have nothing to do with each other, appended by one statement: the function of the schema.
//! It must never be given writes that depend on one another; the plan sees to that.

use std::sync::Arc;

use postgres::Row;

use super::{
    failure::Failure,
    row::{self, StoredKind, get, sql},
    session::Session,
};
use crate::{
    error::Refused,
    shape::Shape,
    types::{Event, EventKind, Seq},
    write::{Action, Append, Appended, Outcome, Write},
};

/// A place in the batch, and the answer for it.
pub(super) type Answered = (usize, Result<Outcome, Refused>);

/// The batch as the function's columns.
#[derive(Default)]
struct Columns<'a> {
    indexes: Vec<i64>,
    conversations: Vec<i64>,
    senders: Vec<i64>,
    lows: Vec<i64>,
    highs: Vec<i64>,
    client_ids: Vec<&'a [u8]>,
    fingerprints: Vec<&'a [u8]>,
    times: Vec<i64>,
    kinds: Vec<i16>,
    replies: Vec<i64>,
    expiries: Vec<i64>,
    bodies: Vec<&'a [u8]>,
}

impl<'a> Columns<'a> {
    fn with_capacity(rows: usize) -> Self {
        Self {
            indexes: Vec::with_capacity(rows),
            conversations: Vec::with_capacity(rows),
            senders: Vec::with_capacity(rows),
            lows: Vec::with_capacity(rows),
            highs: Vec::with_capacity(rows),
            client_ids: Vec::with_capacity(rows),
            fingerprints: Vec::with_capacity(rows),
            times: Vec::with_capacity(rows),
            kinds: Vec::with_capacity(rows),
            replies: Vec::with_capacity(rows),
            expiries: Vec::with_capacity(rows),
            bodies: Vec::with_capacity(rows),
        }
    }

    fn push(&mut self, place: usize, append: &'a Append) -> Result<(), Failure> {
        let Action::Message {
            kind,
            body,
            expires_at,
            reply_to,
        } = &append.action
        else {
            return Err(Failure::damaged("something else was taken for a message"));
        };
        let (low, high) = people(append);
        self.indexes.push(row::limit(place));
        self.conversations.push(sql(append.conversation.0));
        self.senders.push(sql(append.sender.0));
        self.lows.push(low);
        self.highs.push(high);
        self.client_ids.push(&append.client_id.0);
        self.fingerprints.push(&append.fingerprint.0);
        self.times.push(sql(append.at.0));
        self.kinds.push(i16::from(*kind));
        self.replies.push(sql(reply_to.0));
        self.expiries.push(sql(expires_at.0));
        self.bodies.push(body);
        Ok(())
    }
}

/// The two of a 1:1 conversation, or the one of a log; 0 for a group, -1 where the sender may never write.
fn people(append: &Append) -> (i64, i64) {
    match Shape::of(append.conversation) {
        Some(Shape::Group) => (0, 0),
        Some(Shape::Own(user)) if user == append.sender => (sql(user.0), sql(user.0)),
        Some(Shape::Direct(low, high)) if low == append.sender || high == append.sender => {
            (sql(low.0), sql(high.0))
        }
        _ => (-1, -1),
    }
}

/// Appends the writes at these places, one round trip. Where no transaction is open it is one of its own.
pub(super) fn append(
    session: &mut Session,
    writes: &[Write],
    places: &[usize],
) -> Result<Vec<Answered>, Failure> {
    let mut columns = Columns::with_capacity(places.len());
    let mut appends = Vec::with_capacity(places.len());
    for place in places {
        let Some(Write::Append(append)) = writes.get(*place) else {
            return Err(Failure::damaged("something else was taken for an append"));
        };
        columns.push(*place, append)?;
        appends.push((*place, append));
    }
    let rows = session.query(
        "SELECT * FROM append_messages($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        &[
            &columns.indexes,
            &columns.conversations,
            &columns.senders,
            &columns.lows,
            &columns.highs,
            &columns.client_ids,
            &columns.fingerprints,
            &columns.times,
            &columns.kinds,
            &columns.replies,
            &columns.expiries,
            &columns.bodies,
        ],
    )?;
    if rows.len() != appends.len() {
        return Err(Failure::damaged("not every message was answered"));
    }
    appends
        .into_iter()
        .zip(&rows)
        .map(|((place, append), row)| answer(place, append, row))
        .collect()
}

fn answer(place: usize, append: &Append, row: &Row) -> Result<Answered, Failure> {
    if get::<i64>(row, 0)? != row::limit(place) {
        return Err(Failure::damaged("a message was answered in another's place"));
    }
    let refused = |refused| Ok((place, Err(refused)));
    let duplicate = match get::<i32>(row, 1)? {
        0 => false,
        1 => true,
        2 => return refused(Refused::Conflict),
        3 => return refused(Refused::NotFound),
        4 => return refused(Refused::Forbidden),
        5 => return refused(Refused::Gone),
        other => return Err(Failure::damaged(format!("no verdict has the number {other}"))),
    };
    let mut event = new_event(append, row)?;
    if duplicate {
        make_stored(&mut event, row)?;
    }
    let appended = Appended {
        event: Arc::new(event),
        duplicate,
    };
    Ok((place, Ok(Outcome::Appended(appended))))
}

/// What the caller knows, and what the function added.
fn new_event(append: &Append, row: &Row) -> Result<Event, Failure> {
    let Action::Message {
        kind,
        body,
        expires_at,
        ..
    } = &append.action
    else {
        return Err(Failure::damaged("something else was taken for a message"));
    };
    Ok(Event {
        position: row::position(row, 2)?,
        conversation: append.conversation,
        seq: row::seq(row, 3)?,
        ordinal: row::number(row, 4)?,
        roster: row::seq(row, 5)?,
        sender: append.sender,
        client_id: append.client_id,
        at: row::time(row, 6)?,
        kind: EventKind::Message(*kind),
        target: Seq(0),
        body: body.clone(),
        change: None,
        expires_at: *expires_at,
        recalled: false,
    })
}

/// Puts in the place of what this request says what the first one stored.
fn make_stored(event: &mut Event, row: &Row) -> Result<(), Failure> {
    let stored = StoredKind {
        kind: get(row, 7)?,
        users: get(row, 11)?,
        role: get(row, 12)?,
        label: get(row, 13)?,
    };
    (event.kind, event.change) = stored.read()?;
    event.target = row::seq(row, 8)?;
    event.expires_at = row::time(row, 9)?;
    event.recalled = row::flag(row, 10)?;
    event.body = row::blob(row, 14)?;
    Ok(())
}
