//! Rows of edits and reactions, and their numbers for a message.

use rusqlite::{Connection, Row};

use super::{prove, prove_absence};
use crate::{
    sqlite::{
        failure::Failure,
        row::{self, first, sql},
        sum,
    },
    types::{ConversationId, Position, Seq, UserId},
};

/// An edit of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::sqlite) struct Edit {
    pub(in crate::sqlite) conversation: ConversationId,
    pub(in crate::sqlite) target: Seq,
    pub(in crate::sqlite) seq: Seq,
    pub(in crate::sqlite) position: Position,
    /// The seq of the edit before it, 0 for the first. No column has it: the row before does.
    pub(in crate::sqlite) previous: Seq,
}

/// The edits of a message, the newest first, without the links to their predecessors.
pub(in crate::sqlite) const EDITS: &str = "SELECT conversation, target, seq, position, sum FROM edits \
                                WHERE conversation = ?1 AND target = ?2 ORDER BY seq DESC";

/// Walks through the rows of [`EDITS`]: the next, older row proves each of them, and the message's counts the newest.
pub(in crate::sqlite) struct Edits<'s> {
    rows: rusqlite::Rows<'s>,
    /// The row that is not proven yet, and its sum.
    open: Option<(Edit, u64)>,
    expected: Seq,
}

impl<'s> Edits<'s> {
    pub(in crate::sqlite) const fn new(rows: rusqlite::Rows<'s>, counts: &Counts) -> Self {
        Self::up_to(rows, counts.last_edit)
    }

    /// The edits up to `newest`, which is the newest of them.
    pub(in crate::sqlite) const fn up_to(rows: rusqlite::Rows<'s>, newest: Seq) -> Self {
        Self {
            rows,
            open: None,
            expected: newest,
        }
    }

    fn read(&mut self) -> Result<Option<(Edit, u64)>, Failure> {
        let Some(row) = self.rows.next()? else {
            return Ok(None);
        };
        let edit = Edit {
            conversation: row::conversation_id(row, 0)?,
            target: row::seq(row, 1)?,
            seq: row::seq(row, 2)?,
            position: row::position(row, 3)?,
            previous: Seq(0),
        };
        Ok(Some((edit, row::number(row, 4)?)))
    }

    pub(in crate::sqlite) fn next(&mut self) -> Result<Option<Edit>, Failure> {
        let current = match self.open.take() {
            Some(open) => Some(open),
            None => self.read()?,
        };
        let wrong = || Failure::damaged("the edits of a message are not what was written");
        let Some((mut edit, sum)) = current else {
            return if self.expected == Seq(0) {
                Ok(None)
            } else {
                Err(wrong())
            };
        };
        self.open = self.read()?;
        edit.previous = self.open.map_or(Seq(0), |(before, _)| before.seq);
        if edit.seq != self.expected || sum != sum::of_edit(&edit) {
            return Err(wrong());
        }
        self.expected = edit.previous;
        Ok(Some(edit))
    }
}

/// Writes a new edit, which is the newest.
pub(in crate::sqlite) fn insert_edit(connection: &Connection, edit: &Edit) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "INSERT INTO edits (conversation, target, seq, position, sum) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute([
            sql(edit.conversation.0),
            sql(edit.target.0),
            sql(edit.seq.0),
            sql(edit.position.0),
            sql(sum::of_edit(edit)),
        ])?;
    Ok(())
}

/// A reaction to a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::sqlite) struct Reaction<'a> {
    pub(in crate::sqlite) conversation: ConversationId,
    pub(in crate::sqlite) target: Seq,
    pub(in crate::sqlite) user: UserId,
    pub(in crate::sqlite) seq: Seq,
    pub(in crate::sqlite) reaction: &'a str,
}

/// The columns that [`reaction`] reads, of `reactions`.
macro_rules! reaction_columns {
    () => {
        "conversation, target, user, seq, reaction, sum"
    };
}
pub(in crate::sqlite) use reaction_columns;

/// Reads [`reaction_columns`].
pub(in crate::sqlite) fn reaction<'r>(row: &'r Row<'_>) -> Result<Reaction<'r>, Failure> {
    let reaction = Reaction {
        conversation: row::conversation_id(row, 0)?,
        target: row::seq(row, 1)?,
        user: row::user_id(row, 2)?,
        seq: row::seq(row, 3)?,
        reaction: row::text(row, 4)?,
    };
    prove(row, 5, sum::of_reaction(&reaction), || {
        format!("a reaction in conversation {}", reaction.conversation.0)
    })?;
    Ok(reaction)
}

/// Writes a reaction.
pub(in crate::sqlite) fn insert_reaction(
    connection: &Connection,
    reaction: &Reaction<'_>,
) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "INSERT INTO reactions (conversation, target, user, seq, reaction, sum) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((
            sql(reaction.conversation.0),
            sql(reaction.target.0),
            sql(reaction.user.0),
            sql(reaction.seq.0),
            reaction.reaction,
            sql(sum::of_reaction(reaction)),
        ))?;
    Ok(())
}

/// A reaction that was replaced or removed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::sqlite) struct PastReaction<'a> {
    pub(in crate::sqlite) was: Reaction<'a>,
    /// The event that ended it.
    pub(in crate::sqlite) until: Seq,
}

/// The columns that [`past_reaction`] reads, of `past_reactions`.
macro_rules! past_reaction_columns {
    () => {
        "conversation, target, user, seq, reaction, until, sum"
    };
}
pub(in crate::sqlite) use past_reaction_columns;

/// Reads [`past_reaction_columns`].
pub(in crate::sqlite) fn past_reaction<'r>(row: &'r Row<'_>) -> Result<PastReaction<'r>, Failure> {
    let past = PastReaction {
        was: Reaction {
            conversation: row::conversation_id(row, 0)?,
            target: row::seq(row, 1)?,
            user: row::user_id(row, 2)?,
            seq: row::seq(row, 3)?,
            reaction: row::text(row, 4)?,
        },
        until: row::seq(row, 5)?,
    };
    prove(row, 6, sum::of_past_reaction(&past), || {
        format!("a past reaction in conversation {}", past.was.conversation.0)
    })?;
    Ok(past)
}

/// Writes a past reaction.
pub(in crate::sqlite) fn insert_past_reaction(
    connection: &Connection,
    past: &PastReaction<'_>,
) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "INSERT INTO past_reactions (conversation, target, user, seq, reaction, until, sum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute((
            sql(past.was.conversation.0),
            sql(past.was.target.0),
            sql(past.was.user.0),
            sql(past.was.seq.0),
            past.was.reaction,
            sql(past.until.0),
            sql(sum::of_past_reaction(past)),
        ))?;
    Ok(())
}

/// The numbers of a message's edits and reactions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::sqlite) struct Counts {
    pub(in crate::sqlite) conversation: ConversationId,
    pub(in crate::sqlite) message: Seq,
    pub(in crate::sqlite) edits: u64,
    pub(in crate::sqlite) reactions: u64,
    /// Past reactions, as far as they are kept.
    pub(in crate::sqlite) past: u64,
    /// The newest edit; 0 without one.
    pub(in crate::sqlite) last_edit: Seq,
}

impl Counts {
    pub(in crate::sqlite) const fn none(conversation: ConversationId, message: Seq) -> Self {
        Self {
            conversation,
            message,
            edits: 0,
            reactions: 0,
            past: 0,
            last_edit: Seq(0),
        }
    }
}

/// The columns that [`counts`] reads, of `message_counts n`.
macro_rules! counts_columns {
    () => {
        "n.conversation, n.message, n.edits, n.reactions, n.past, n.last_edit, n.sum"
    };
}
pub(in crate::sqlite) use counts_columns;

/// Reads [`counts_columns`].
pub(in crate::sqlite) fn counts(row: &Row<'_>) -> Result<Counts, Failure> {
    let counts = Counts {
        conversation: row::conversation_id(row, 0)?,
        message: row::seq(row, 1)?,
        edits: row::number(row, 2)?,
        reactions: row::number(row, 3)?,
        past: row::number(row, 4)?,
        last_edit: row::seq(row, 5)?,
    };
    prove(row, 6, sum::of_counts(&counts), || {
        format!(
            "the number of edits and reactions of message {} in conversation {}",
            counts.message.0, counts.conversation.0
        )
    })?;
    Ok(counts)
}

pub(in crate::sqlite) fn counts_of(
    connection: &Connection,
    conversation: ConversationId,
    message: Seq,
) -> Result<Counts, Failure> {
    let key = [sql(conversation.0), row::bound(message.0)];
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        counts_columns!(),
        " FROM message_counts n WHERE n.conversation = ?1 AND n.message = ?2"
    ))?;
    if let Some(found) = first(statement.query(key)?, counts)? {
        return Ok(found);
    }
    prove_absence(
        connection,
        "SELECT 1 FROM message_counts INDEXED BY message_counts_again WHERE conversation = ?1 AND message = ?2",
        key,
        || {
            format!(
                "what message {} of conversation {} has",
                message.0, conversation.0
            )
        },
    )?;
    Ok(Counts::none(conversation, message))
}

/// Writes the counts of a message.
pub(in crate::sqlite) fn store_counts(connection: &Connection, counts: &Counts) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO message_counts (conversation, message, edits, reactions, past, last_edit, sum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute([
            sql(counts.conversation.0),
            sql(counts.message.0),
            sql(counts.edits),
            sql(counts.reactions),
            sql(counts.past),
            sql(counts.last_edit.0),
            sql(sum::of_counts(counts)),
        ])?;
    Ok(())
}
