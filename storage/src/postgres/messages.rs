//! Independent messages, appended by one statement: the function of the schema. It must never get writes that depend on
//! one another; the plan ensures that.

use std::sync::Arc;

use postgres::Row;

use super::{
    failure::Failure,
    plan::Plan,
    row::{self, get, sql},
    session::Session,
};
use crate::{
    error::Refused,
    shape::Shape,
    types::{Event, EventKind, Position, Seq},
    write::{Action, Append, Appended, Outcome, Write},
};

/// A place in the batch, and the answer for it.
pub(super) type Answered = (usize, Result<Outcome, Refused>);

/// A message, and its place in the batch.
type Placed<'a> = (usize, &'a Append);

/// The batch as the function's arrays: its rows by conversation and place, and the numbers that follow from that order.
/// Rows and conversations are numbered from 1, as in SQL.
#[derive(Default)]
struct Columns<'a> {
    /// For each conversation, in the order of ids: itself, and its last row.
    ids: Vec<i64>,
    ends: Vec<i32>,
    /// For each conversation and sender, in this order: the last row.
    lasts: Vec<i32>,
    /// For each row: the number of its conversation, and its own among those of the conversation.
    groups: Vec<i32>,
    ranks: Vec<i64>,
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
    /// Builds the arrays; the messages are sorted by conversation and place.
    fn of(appends: &[Placed<'a>], plan: &Plan) -> Result<Self, Failure> {
        let mut columns = Self::with_capacity(appends.len());
        let mut pairs = Vec::with_capacity(appends.len());
        for of_one in appends.chunk_by(|(_, one), (_, next)| one.conversation == next.conversation) {
            for ((place, append), rank) in of_one.iter().zip(1..) {
                columns.push(plan.number(*place), append)?;
                columns.groups.push(number(columns.ids.len() + 1));
                columns.ranks.push(rank);
                pairs.push((
                    sql(append.conversation.0),
                    sql(append.sender.0),
                    number(columns.indexes.len()),
                ));
            }
            if let Some((_, append)) = of_one.last() {
                columns.ids.push(sql(append.conversation.0));
                columns.ends.push(number(columns.indexes.len()));
            }
        }
        pairs.sort_unstable();
        let of_pairs = pairs.chunk_by(|one, next| (one.0, one.1) == (next.0, next.1));
        columns.lasts = of_pairs
            .filter_map(|rows| rows.last())
            .map(|pair| pair.2)
            .collect();
        Ok(columns)
    }

    fn with_capacity(rows: usize) -> Self {
        Self {
            ids: Vec::with_capacity(rows),
            ends: Vec::with_capacity(rows),
            lasts: Vec::new(),
            groups: Vec::with_capacity(rows),
            ranks: Vec::with_capacity(rows),
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

    fn push(&mut self, number: i64, append: &'a Append) -> Result<(), Failure> {
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
        self.indexes.push(number);
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

/// A batch has far fewer rows than this type can count.
fn number(rows: usize) -> i32 {
    i32::try_from(rows).unwrap_or(i32::MAX)
}

/// The two users of a 1:1 conversation, or the one of a log; 0 for a group, -1 if the sender may never write.
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

/// Appends the writes at these places, in one round trip, and answers in their order. Without an open transaction it is
/// one of its own.
pub(super) fn append(session: &mut Session, writes: &[Write], plan: &Plan) -> Result<Vec<Answered>, Failure> {
    let mut appends: Vec<Placed<'_>> = Vec::with_capacity(plan.messages.len());
    for place in &plan.messages {
        let Some(Write::Append(append)) = writes.get(*place) else {
            return Err(Failure::damaged("something else was taken for an append"));
        };
        appends.push((*place, append));
    }
    appends.sort_unstable_by_key(|(place, append)| (sql(append.conversation.0), *place));
    let columns = Columns::of(&appends, plan)?;
    let life = session.life();
    let rows = session.query(
        "SELECT * FROM append_in_order($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
        &[
            &columns.ids,
            &columns.ends,
            &columns.groups,
            &columns.ranks,
            &columns.lasts,
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
            &life.generation,
            &life.started,
        ],
    )?;
    let mut answers = read(&appends, &columns, &rows)?;
    answers.sort_unstable_by_key(|(place, _)| *place);
    Ok(answers)
}

/// The answers, in the order of the appends. No message counts as stored unless the server has counted it.
fn read(appends: &[Placed<'_>], columns: &Columns<'_>, rows: &[Row]) -> Result<Vec<Answered>, Failure> {
    let unanswered = || Failure::damaged("not every message was answered");
    let (all, known) = rows.split_first().ok_or_else(unanswered)?;
    let heads = Heads::read(all)?;
    let verdicts: Vec<i32> = get(all, 2)?;
    let new_ranks: Option<Vec<i64>> = get(all, 6)?;
    let ranks = new_ranks.as_ref().unwrap_or(&columns.ranks);
    let appended = verdicts.iter().filter(|verdict| **verdict == 0).count();
    if get::<i64>(all, 1)? != row::limit(appended) || [verdicts.len(), ranks.len()] != [appends.len(); 2] {
        return Err(unanswered());
    }
    let mut known = known.iter();
    let mut answers = Vec::with_capacity(appends.len());
    let followed = columns.indexes.iter().zip(&columns.groups).zip(ranks);
    for (((place, append), verdict), ((index, group), rank)) in appends.iter().zip(verdicts).zip(followed) {
        let event = match verdict {
            0 => Ok(heads.follow(*index, append, *group, *rank)?),
            1 => {
                let row = known.next().ok_or_else(unanswered)?;
                if get::<i32>(row, 7)? != number(answers.len() + 1) {
                    return Err(Failure::damaged("a message was answered in another's place"));
                }
                Ok(row::event(row, 8)?)
            }
            2 => Err(Refused::Conflict),
            3 => Err(Refused::NotFound),
            4 => Err(Refused::Forbidden),
            5 => Err(Refused::Gone),
            other => return Err(Failure::damaged(format!("no verdict has the number {other}"))),
        };
        let outcome = event.map(|event| {
            Outcome::Appended(Appended {
                event: Arc::new(event),
                others: Vec::new(),
                duplicate: verdict == 1,
            })
        });
        answers.push((*place, outcome));
    }
    Ok(answers)
}

/// The conversations before the batch; a new one has none.
struct Heads {
    /// The position of the batch's first write, if anything was appended.
    base: Option<i64>,
    seqs: Vec<Option<i64>>,
    ordinals: Vec<Option<i64>>,
    rosters: Vec<Option<i64>>,
}

impl Heads {
    fn read(row: &Row) -> Result<Self, Failure> {
        Ok(Self {
            base: get(row, 0)?,
            seqs: get(row, 3)?,
            ordinals: get(row, 4)?,
            rosters: get(row, 5)?,
        })
    }

    /// The event of this append: the SQL function computes the same.
    fn follow(&self, index: i64, append: &Append, group: i32, rank: i64) -> Result<Event, Failure> {
        let Action::Message {
            kind,
            body,
            expires_at,
            ..
        } = &append.action
        else {
            return Err(Failure::damaged("something else was taken for a message"));
        };
        let of_conversation = |values: &[Option<i64>]| {
            let place = usize::try_from(group).ok().and_then(|group| group.checked_sub(1));
            let value = place.and_then(|place| values.get(place)).copied().flatten();
            value.ok_or_else(|| Failure::damaged("a message is in no conversation"))
        };
        let base = self
            .base
            .ok_or_else(|| Failure::damaged("a message was appended to nothing"))?;
        let next = |head: i64| head.saturating_add(rank).cast_unsigned();
        Ok(Event {
            position: Position(base.saturating_add(index).cast_unsigned()),
            conversation: append.conversation,
            seq: Seq(next(of_conversation(&self.seqs)?)),
            ordinal: next(of_conversation(&self.ordinals)?),
            roster: Seq(of_conversation(&self.rosters)?.cast_unsigned()),
            sender: append.sender,
            client_id: append.client_id,
            at: append.at,
            kind: EventKind::Message(*kind),
            target: Seq(0),
            body: body.clone(),
            change: None,
            entry: None,
            expires_at: *expires_at,
            recalled: false,
        })
    }
}
