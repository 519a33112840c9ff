//! Rows of conversations: the head, which every event moves, and the rest have a sum each.

use rusqlite::{Connection, Row};

use super::{prove, prove_absence};
use crate::{
    entry::Closed,
    sqlite::{
        failure::Failure,
        row::{self, first, sql},
        sum,
    },
    types::{ConversationId, Position, Seq, Timestamp},
};

/// A conversation's newest indexed event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::sqlite) struct Head {
    pub(in crate::sqlite) conversation: ConversationId,
    pub(in crate::sqlite) seq: Seq,
    pub(in crate::sqlite) ordinal: u64,
    pub(in crate::sqlite) position: Position,
    pub(in crate::sqlite) at: Timestamp,
    pub(in crate::sqlite) roster: Seq,
}

/// The columns that [`head`] reads, of `conversations c`.
macro_rules! head_columns {
    () => {
        "c.id, c.head_seq, c.head_ordinal, c.head_position, c.head_at, c.roster, c.head_sum"
    };
}
pub(in crate::sqlite) use head_columns;

/// The number of [`head_columns`].
pub(in crate::sqlite) const HEAD_COLUMNS: usize = 7;

/// Reads [`head_columns`] from the column `at` on.
pub(in crate::sqlite) fn head(row: &Row<'_>, at: usize) -> Result<Head, Failure> {
    let head = Head {
        conversation: row::conversation_id(row, at)?,
        seq: row::seq(row, at + 1)?,
        ordinal: row::number(row, at + 2)?,
        position: row::position(row, at + 3)?,
        at: row::time(row, at + 4)?,
        roster: row::seq(row, at + 5)?,
    };
    prove(row, at + 6, sum::of_head(&head), || {
        format!("the head of conversation {}", head.conversation.0)
    })?;
    Ok(head)
}

/// A conversation's row without its head.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::sqlite) struct Rest {
    pub(in crate::sqlite) conversation: ConversationId,
    /// See [`GroupSettings::to_text`](crate::GroupSettings): read by the few that need them.
    pub(in crate::sqlite) settings: String,
    pub(in crate::sqlite) disbanded: bool,
    pub(in crate::sqlite) member_count: u64,
    /// The number of its membership intervals.
    pub(in crate::sqlite) stays: u64,
    pub(in crate::sqlite) closed: Closed,
}

/// The columns that [`rest`] reads, of `conversations c`.
macro_rules! rest_columns {
    () => {
        "c.id, c.settings, c.disbanded, c.member_count, c.stays, c.closed, c.sum"
    };
}

/// Reads [`rest_columns`] from the column `at` on.
pub(in crate::sqlite) fn rest(row: &Row<'_>, at: usize) -> Result<Rest, Failure> {
    let rest = Rest {
        conversation: row::conversation_id(row, at)?,
        settings: row.get(at + 1)?,
        disbanded: row::flag(row, at + 2)?,
        member_count: row::number(row, at + 3)?,
        stays: row::number(row, at + 4)?,
        closed: Closed(row.get(at + 5)?),
    };
    prove(row, at + 6, sum::of_rest(&rest), || {
        format!("conversation {}", rest.conversation.0)
    })?;
    Ok(rest)
}

/// A conversation, which must exist if it ever had a member.
pub(in crate::sqlite) fn conversation_of(
    connection: &Connection,
    id: ConversationId,
) -> Result<Option<(Head, Rest)>, Failure> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        head_columns!(),
        ", ",
        rest_columns!(),
        " FROM conversations c WHERE c.id = ?1"
    ))?;
    let found = first(statement.query([sql(id.0)])?, |row| {
        Ok((head(row, 0)?, rest(row, HEAD_COLUMNS)?))
    })?;
    if found.is_none() {
        prove_absence(
            connection,
            "SELECT 1 FROM members m WHERE m.conversation = ?1 LIMIT 1",
            [sql(id.0)],
            || format!("conversation {}", id.0),
        )?;
    }
    Ok(found)
}

/// The same for one that has a member.
pub(in crate::sqlite) fn conversation_that_is(
    connection: &Connection,
    id: ConversationId,
) -> Result<(Head, Rest), Failure> {
    conversation_of(connection, id)?
        .ok_or_else(|| Failure::damaged(format!("conversation {} has members and no row", id.0)))
}

/// Writes a new conversation.
pub(in crate::sqlite) fn create_conversation(
    connection: &Connection,
    head: &Head,
    rest: &Rest,
) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "INSERT INTO conversations (id, settings, disbanded, member_count, stays, closed, sum, head_seq,
                                        head_ordinal, head_position, head_at, roster, head_sum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute((
            sql(head.conversation.0),
            &rest.settings,
            rest.disbanded,
            sql(rest.member_count),
            sql(rest.stays),
            rest.closed.0,
            sql(sum::of_rest(rest)),
            sql(head.seq.0),
            sql(head.ordinal),
            sql(head.position.0),
            sql(head.at.0),
            sql(head.roster.0),
            sql(sum::of_head(head)),
        ))?;
    Ok(())
}

/// Changes a conversation's row without its head, and returns it.
pub(in crate::sqlite) fn change_conversation(
    connection: &Connection,
    id: ConversationId,
    change: impl FnOnce(&mut Rest),
) -> Result<Rest, Failure> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        rest_columns!(),
        " FROM conversations c WHERE c.id = ?1"
    ))?;
    let found = first(statement.query([sql(id.0)])?, |row| rest(row, 0))?;
    let mut rest = found.ok_or_else(|| Failure::damaged("a conversation changed that is not there"))?;
    change(&mut rest);
    connection
        .prepare_cached(
            "UPDATE conversations SET settings = ?2, disbanded = ?3, member_count = ?4, stays = ?5, closed = ?6, sum = ?7
             WHERE id = ?1",
        )?
        .execute((
            sql(id.0),
            &rest.settings,
            rest.disbanded,
            sql(rest.member_count),
            sql(rest.stays),
            rest.closed.0,
            sql(sum::of_rest(&rest)),
        ))?;
    Ok(rest)
}
