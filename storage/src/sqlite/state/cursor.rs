//! Rows of cursors.

use rusqlite::{Connection, Row};

use super::prove;
use crate::{
    sqlite::{
        failure::Failure,
        row::{self, first, sql},
        sum,
    },
    types::{ConversationId, Position, Seq, UserId},
};

/// A member's cursor, by their own moves and by their indexed messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::sqlite) struct Cursor {
    pub(in crate::sqlite) conversation: ConversationId,
    pub(in crate::sqlite) user: UserId,
    pub(in crate::sqlite) delivered: Seq,
    pub(in crate::sqlite) read: Seq,
    /// Displayable messages up to `read`.
    pub(in crate::sqlite) read_ordinal: u64,
    /// The position of the user's last move.
    pub(in crate::sqlite) position: Position,
}

/// The columns that [`cursor`] reads, of `cursors k`.
macro_rules! cursor_columns {
    () => {
        "k.conversation, k.user, k.delivered, k.read, k.read_ordinal, k.position, k.sum"
    };
}
pub(in crate::sqlite) use cursor_columns;

/// The number of [`cursor_columns`].
pub(in crate::sqlite) const CURSOR_COLUMNS: usize = 7;

/// Reads [`cursor_columns`] from the column `at` on.
pub(in crate::sqlite) fn cursor(row: &Row<'_>, at: usize) -> Result<Cursor, Failure> {
    let cursor = Cursor {
        conversation: row::conversation_id(row, at)?,
        user: row::user_id(row, at + 1)?,
        delivered: row::seq(row, at + 2)?,
        read: row::seq(row, at + 3)?,
        read_ordinal: row::number(row, at + 4)?,
        position: row::position(row, at + 5)?,
    };
    prove(row, at + 6, sum::of_cursor(&cursor), || {
        format!(
            "the cursor of user {} in conversation {}",
            cursor.user.0, cursor.conversation.0
        )
    })?;
    Ok(cursor)
}

/// The cursor of a present or former member, which must exist.
pub(in crate::sqlite) fn cursor_of(
    connection: &Connection,
    conversation: ConversationId,
    user: UserId,
) -> Result<Cursor, Failure> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        cursor_columns!(),
        " FROM cursors k WHERE k.conversation = ?1 AND k.user = ?2"
    ))?;
    let found = first(statement.query([sql(conversation.0), sql(user.0)])?, |row| {
        cursor(row, 0)
    })?;
    found.ok_or_else(|| {
        Failure::damaged(format!(
            "user {} has no cursor in conversation {}",
            user.0, conversation.0
        ))
    })
}

/// Moves an existing cursor.
pub(in crate::sqlite) fn move_cursor(connection: &Connection, to: &Cursor) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "UPDATE cursors SET delivered = ?3, read = ?4, read_ordinal = ?5, position = ?6, sum = ?7
             WHERE conversation = ?1 AND user = ?2",
        )?
        .execute([
            sql(to.conversation.0),
            sql(to.user.0),
            sql(to.delivered.0),
            sql(to.read.0),
            sql(to.read_ordinal),
            sql(to.position.0),
            sql(sum::of_cursor(to)),
        ])?;
    Ok(())
}

/// A user became a member. A former member keeps their cursor.
pub(in crate::sqlite) fn begin_cursor(
    connection: &Connection,
    conversation: ConversationId,
    user: UserId,
) -> Result<(), Failure> {
    let cursor = Cursor {
        conversation,
        user,
        delivered: Seq(0),
        read: Seq(0),
        read_ordinal: 0,
        position: Position(0),
    };
    connection
        .prepare_cached(
            "INSERT INTO cursors (conversation, user, delivered, read, read_ordinal, position, sum)
             VALUES (?1, ?2, 0, 0, 0, 0, ?3) ON CONFLICT DO NOTHING",
        )?
        .execute([sql(conversation.0), sql(user.0), sql(sum::of_cursor(&cursor))])?;
    Ok(())
}
