//! Cursors that users move: two statements, however many. The moves that sending implies are written by the append.

use std::collections::BTreeMap;

use super::{
    batch::Batch,
    failure::{Failure, Stop},
    row::{self, get, sql},
};
use crate::{
    rules::Moves,
    types::{ConversationId, Position, Seq, UserId},
    write::{CursorMove, Outcome},
};

type Key = (ConversationId, UserId);

/// A cursor, and the ordinal at its read seq.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    at: CursorMove,
    read_ordinal: u64,
}

/// The store's facts about a requested move.
struct Found {
    /// The user's visible head.
    head: Seq,
    old: Cursor,
    /// The ordinal at the requested read seq, or at the head if that is before it.
    ordinal: u64,
}

pub(super) fn move_all(batch: &mut Batch<'_>, wanted: &[CursorMove]) -> Result<Outcome, Stop> {
    let mut moves = Moves::default();
    if wanted.is_empty() {
        return Ok(moves.outcome(Position(0)));
    }
    let found = find(batch, wanted)?;
    let mut now: BTreeMap<Key, Cursor> = BTreeMap::new();
    for (wanted, found) in wanted.iter().zip(found) {
        let Some(found) = found else { continue };
        let key = (wanted.conversation, wanted.user);
        let old = now.get(&key).copied().unwrap_or(found.old);
        let Some(at) = moves.judge(wanted, found.head, &old.at) else {
            continue;
        };
        let read_ordinal = if at.read == old.at.read {
            old.read_ordinal
        } else {
            found.ordinal
        };
        now.insert(key, Cursor { at, read_ordinal });
    }
    if !now.is_empty() {
        store(batch, &now)?;
    }
    Ok(moves.outcome(Position(batch.position().cast_unsigned())))
}

/// For each move, in their order; `None` for a user who never was a member.
fn find(batch: &mut Batch<'_>, moves: &[CursorMove]) -> Result<Vec<Option<Found>>, Failure> {
    let column =
        |value: fn(&CursorMove) -> u64| moves.iter().map(|one| sql(value(one))).collect::<Vec<i64>>();
    let reads: Vec<i64> = moves.iter().map(|one| row::bound(one.read.0)).collect();
    let rows = batch.session.query(
        "SELECT m.head, coalesce(k.delivered, 0), coalesce(k.read, 0), coalesce(k.read_ordinal, 0),
                CASE WHEN least(i.read, m.head) <= coalesce(k.read, 0) THEN 0
                     WHEN i.read >= m.head THEN m.head_ordinal
                     ELSE (SELECT e.ordinal FROM events e WHERE e.conversation = i.conversation AND e.seq = i.read)
                END
         FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) WITH ORDINALITY
                AS i (conversation, user_id, read, place)
            LEFT JOIN LATERAL (
                SELECT coalesce(s.left_seq, c.head_seq) AS head,
                       coalesce(s.left_ordinal, c.head_ordinal) AS head_ordinal
                FROM members s JOIN conversations c ON c.id = s.conversation
                WHERE s.conversation = i.conversation AND s.user_id = i.user_id
                ORDER BY s.joined_seq DESC LIMIT 1) m ON true
            LEFT JOIN cursors k ON k.conversation = i.conversation AND k.user_id = i.user_id
         ORDER BY i.place",
        &[
            &column(|one| one.conversation.0),
            &column(|one| one.user.0),
            &reads,
        ],
    )?;
    if rows.len() != moves.len() {
        return Err(Failure::damaged("not every cursor was looked at"));
    }
    rows.iter()
        .zip(moves)
        .map(|(row, wanted)| {
            let Some(head) = get::<Option<i64>>(row, 0)? else {
                return Ok(None);
            };
            let ordinal = get::<Option<i64>>(row, 4)?
                .ok_or_else(|| Failure::damaged("a seq below the head has no event"))?;
            Ok(Some(Found {
                head: Seq(head.cast_unsigned()),
                old: Cursor {
                    at: CursorMove {
                        delivered: row::seq(row, 1)?,
                        read: row::seq(row, 2)?,
                        ..*wanted
                    },
                    read_ordinal: row::number(row, 3)?,
                },
                ordinal: ordinal.cast_unsigned(),
            }))
        })
        .collect()
}

/// In the order of their keys. If another transaction created one meanwhile, the larger values stay. A cursor whose
/// position comes from a later transaction number is not moved: its position would go back, and perhaps the horizon
/// with it. The batch then comes again under an even later number.
fn store(batch: &mut Batch<'_>, cursors: &BTreeMap<Key, Cursor>) -> Result<(), Failure> {
    let keys = |part: fn(&Key) -> u64| cursors.keys().map(|key| sql(part(key))).collect::<Vec<i64>>();
    let values = |part: fn(&Cursor) -> u64| {
        cursors
            .values()
            .map(|cursor| sql(part(cursor)))
            .collect::<Vec<i64>>()
    };
    let position = batch.position();
    let moved = batch.session.execute(
        "INSERT INTO cursors AS k (conversation, user_id, delivered, read, read_ordinal, position)
         SELECT i.conversation, i.user_id, i.delivered, i.read, i.read_ordinal, $6
         FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
              AS i (conversation, user_id, delivered, read, read_ordinal)
         ORDER BY i.conversation, i.user_id
         ON CONFLICT (conversation, user_id) DO UPDATE
         SET delivered = greatest(k.delivered, excluded.delivered), read = greatest(k.read, excluded.read),
             read_ordinal = greatest(k.read_ordinal, excluded.read_ordinal), position = excluded.position
         WHERE k.position <= excluded.position",
        &[
            &keys(|key| key.0.0),
            &keys(|key| key.1.0),
            &values(|cursor| cursor.at.delivered.0),
            &values(|cursor| cursor.at.read.0),
            &values(|cursor| cursor.read_ordinal),
            &position,
        ],
    )?;
    if moved == cursors.len() as u64 {
        return Ok(());
    }
    Err(Failure::Overtaken)
}
