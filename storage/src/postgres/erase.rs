//! Erases bodies that no reader can see any more, a slice at a time: those of the edits of recalled messages, and those
//! of expired events. It owns the tables `erasures` and `expirations`, which list the rest; their rows are written in
//! the transaction of their cause, so any node goes on where another one was. It must never decide about recalls.
//!
//! Several nodes erase at the same time. They skip rows of these tables that another node has locked. An edit's event
//! is waited for, but only before any expired event is locked, and that never waits: so there is no circle of waits.

use super::{
    derive::one_row,
    failure::Failure,
    row::{self, get, sql},
    session::Session,
};
use crate::{
    erasing::{self, Room},
    types::{Event, Timestamp},
    write::{ERASED_BODIES_MAX, Outcome},
};

/// Erases the body of a message, and notes those of its edits for erasure: from now on no reader sees them.
pub(super) fn recall(session: &mut Session, event: &Event) -> Result<(), Failure> {
    let recalled = session.execute(
        "WITH begun AS (
            INSERT INTO erasures (conversation, target, next)
            SELECT $1, $2, d.seq FROM edits d WHERE d.conversation = $1 AND d.target = $2
            ORDER BY d.seq DESC LIMIT 1
         )
         UPDATE events SET body = '', recalled = true WHERE conversation = $1 AND seq = $2",
        &[&sql(event.conversation.0), &sql(event.target.0)],
    )?;
    one_row(recalled, "what was recalled is not in the log")
}

/// Notes the body of an event for erasure after its expiry.
pub(super) fn when_expired(session: &mut Session, event: &Event) -> Result<(), Failure> {
    let Some(expires_at) = erasing::expires(event).filter(|_| !event.body.is_empty()) else {
        return Ok(());
    };
    session.execute(
        "INSERT INTO expirations (conversation, seq, expires_at) VALUES ($1, $2, $3)",
        &[&sql(event.conversation.0), &sql(event.seq.0), &expires_at],
    )?;
    Ok(())
}

/// Erases the next bodies, last those that had expired by `now`.
pub(super) fn slice(session: &mut Session, now: Timestamp) -> Result<Outcome, Failure> {
    let mut room = Room::default();
    while !room.is_full() && erase_edits(session, &mut room)? {}
    if !room.is_full() {
        erase_expired(session, now, &mut room)?;
    }
    Ok(Outcome::Erased(room.is_used()))
}

/// Erases bodies of one message. False if there is none.
fn erase_edits(session: &mut Session, room: &mut Room) -> Result<bool, Failure> {
    let found = session.first(
        "SELECT conversation, target, next FROM erasures
         ORDER BY conversation, target LIMIT 1 FOR UPDATE SKIP LOCKED",
        &[],
    )?;
    let Some(found) = found else { return Ok(false) };
    let (conversation, target, next): (i64, i64, i64) = (get(&found, 0)?, get(&found, 1)?, get(&found, 2)?);
    // One more than a slice has, to know where the next one begins. The lengths are known without the bodies. Locked
    // first, so that the rows can be found again and changed in place.
    let rows = session.query(
        "SELECT d.seq, e.bytes FROM (
            SELECT d.seq FROM edits d WHERE d.conversation = $1 AND d.target = $2 AND d.seq <= $3
            ORDER BY d.seq DESC LIMIT $4
         ) d CROSS JOIN LATERAL (
            SELECT length(e.body)::bigint AS bytes FROM events e
            WHERE e.conversation = $1 AND e.seq = d.seq LIMIT 1 FOR NO KEY UPDATE
         ) e ORDER BY d.seq DESC",
        &[&conversation, &target, &next, &row::limit(ERASED_BODIES_MAX + 1)],
    )?;
    let mut seqs: Vec<i64> = Vec::with_capacity(rows.len());
    let mut next: Option<i64> = None;
    for row in &rows {
        if room.is_full() {
            next = Some(get(row, 0)?);
            break;
        }
        room.take(bytes(row::number(row, 1)?));
        seqs.push(get(row, 0)?);
    }
    let erased = session.execute(
        "UPDATE events SET body = '', recalled = true WHERE ctid = ANY (ARRAY (
            SELECT e.ctid FROM unnest($2::bigint[]) AS i (seq) CROSS JOIN LATERAL (
                SELECT e.ctid FROM events e WHERE e.conversation = $1 AND e.seq = i.seq LIMIT 1) e))",
        &[&conversation, &seqs],
    )?;
    if erased != seqs.len() as u64 {
        return Err(Failure::damaged("an edit is not in the log"));
    }
    match next {
        Some(next) => session.execute(
            "UPDATE erasures SET next = $3 WHERE conversation = $1 AND target = $2",
            &[&conversation, &target, &next],
        )?,
        None => session.execute(
            "DELETE FROM erasures WHERE conversation = $1 AND target = $2",
            &[&conversation, &target],
        )?,
    };
    Ok(true)
}

fn erase_expired(session: &mut Session, now: Timestamp, room: &mut Room) -> Result<(), Failure> {
    // Both rows are locked, or neither.
    let rows = session.query(
        "SELECT x.conversation, x.seq, e.bytes FROM (
            SELECT conversation, seq FROM expirations WHERE expires_at <= $1
            ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
         ) x CROSS JOIN LATERAL (
            SELECT length(e.body)::bigint AS bytes FROM events e
            WHERE e.conversation = x.conversation AND e.seq = x.seq LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
         ) e",
        &[&row::bound(now.0), &row::limit(ERASED_BODIES_MAX)],
    )?;
    let (mut conversations, mut seqs): (Vec<i64>, Vec<i64>) = (Vec::new(), Vec::new());
    for row in &rows {
        if room.is_full() {
            break;
        }
        room.take(bytes(row::number(row, 2)?));
        conversations.push(get(row, 0)?);
        seqs.push(get(row, 1)?);
    }
    if seqs.is_empty() {
        return Ok(());
    }
    session.execute(
        "UPDATE events SET body = '' WHERE ctid = ANY (ARRAY (
            SELECT e.ctid FROM unnest($1::bigint[], $2::bigint[]) AS i (conversation, seq) CROSS JOIN LATERAL (
                SELECT e.ctid FROM events e WHERE e.conversation = i.conversation AND e.seq = i.seq LIMIT 1) e))",
        &[&conversations, &seqs],
    )?;
    session.execute(
        "DELETE FROM expirations WHERE (conversation, seq) IN (
            SELECT i.conversation, i.seq FROM unnest($1::bigint[], $2::bigint[]) AS i (conversation, seq))",
        &[&conversations, &seqs],
    )?;
    Ok(())
}

fn bytes(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
