//! Single rows that both writes and reads look up, each in whatever transaction is open.

use rusqlite::Connection;

use super::{
    failure::Failure,
    moment::Moment,
    recent::Entry,
    row::{self, LogEntry, event_columns, first, session_columns, sql, user_columns},
};
use crate::page::Counts;
use crate::types::{ClientId, ConversationId, Event, Position, Role, Seq, Session, Timestamp, User, UserId};
pub(super) use crate::visible::Cursor;

/// A conversation's newest state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) seq: Seq,
    pub(super) ordinal: u64,
    pub(super) at: Timestamp,
    pub(super) roster: Seq,
    pub(super) member_count: u64,
    pub(super) disbanded: bool,
}

impl Head {
    /// The state after an event that changes nothing but the log.
    pub(super) const fn followed_by(self, event: &Event) -> Self {
        Self {
            seq: event.seq,
            ordinal: event.ordinal,
            at: event.at,
            roster: event.roster,
            ..self
        }
    }
}

pub(super) fn head(moment: &Moment<'_>, id: ConversationId) -> Result<Option<Head>, Failure> {
    let mut statement = moment.connection.prepare_cached(
        "SELECT head_seq, head_ordinal, head_at, roster, member_count, disbanded FROM conversations WHERE id = ?1",
    )?;
    let head = first(statement.query([sql(id.0)])?, |row| {
        Ok(Head {
            seq: row::seq(row, 0)?,
            ordinal: row::number(row, 1)?,
            at: row::time(row, 2)?,
            roster: row::seq(row, 3)?,
            member_count: row::number(row, 4)?,
            disbanded: row::flag(row, 5)?,
        })
    })?;
    Ok(match (head, moment.recent.newest(id)?) {
        (Some(head), Some(newest)) => Some(Head {
            seq: newest.seq,
            ordinal: newest.ordinal,
            at: newest.at,
            roster: newest.roster,
            ..head
        }),
        (head, _) => head,
    })
}

/// A user's newest membership interval.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stay {
    pub(super) role: Role,
    /// The event by which they went, and the ordinal there.
    pub(super) left: Option<(Seq, u64)>,
}

pub(super) fn newest_stay(
    connection: &Connection,
    conversation: ConversationId,
    user: UserId,
) -> Result<Option<Stay>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT role, left_seq IS NULL, coalesce(left_seq, 0), coalesce(left_ordinal, 0) FROM members
         WHERE conversation = ?1 AND user = ?2 ORDER BY joined_seq DESC LIMIT 1",
    )?;
    first(statement.query([sql(conversation.0), sql(user.0)])?, |row| {
        let left = (row::seq(row, 2)?, row::number(row, 3)?);
        Ok(Stay {
            role: row::role(row, 0)?,
            left: (!row::flag(row, 1)?).then_some(left),
        })
    })
}

/// A member now.
pub(super) fn member(
    connection: &Connection,
    conversation: ConversationId,
    user: UserId,
) -> Result<Option<Stay>, Failure> {
    Ok(newest_stay(connection, conversation, user)?.filter(|stay| stay.left.is_none()))
}

/// Any of the user's intervals covers this seq.
pub(super) fn sees(
    connection: &Connection,
    conversation: ConversationId,
    user: UserId,
    seq: Seq,
) -> Result<bool, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT left_seq IS NULL OR left_seq >= ?3 FROM members
         WHERE conversation = ?1 AND user = ?2 AND joined_seq <= ?3 ORDER BY joined_seq DESC LIMIT 1",
    )?;
    let found = first(
        statement.query([sql(conversation.0), sql(user.0), row::bound(seq.0)])?,
        |row| row::flag(row, 0),
    )?;
    Ok(found == Some(true))
}

/// How many edits and reactions a message has.
pub(super) fn counts(
    connection: &Connection,
    conversation: ConversationId,
    message: Seq,
) -> Result<Counts, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT edits, reactions FROM message_counts WHERE conversation = ?1 AND message = ?2",
    )?;
    let found = first(
        statement.query([sql(conversation.0), row::bound(message.0)])?,
        |row| {
            Ok(Counts {
                edits: row::number(row, 0)?,
                reactions: row::number(row, 1)?,
            })
        },
    )?;
    Ok(found.unwrap_or_default())
}

/// The user's reaction to the message, if they have one.
pub(super) fn reaction_of(
    connection: &Connection,
    conversation: ConversationId,
    message: Seq,
    user: UserId,
) -> Result<Option<String>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT reaction FROM reactions WHERE conversation = ?1 AND target = ?2 AND user = ?3",
    )?;
    let key = [sql(conversation.0), row::bound(message.0), sql(user.0)];
    first(statement.query(key)?, |row| Ok(row.get(0)?))
}

/// A conversation's name now.
pub(super) fn name(connection: &Connection, conversation: ConversationId) -> Result<Option<String>, Failure> {
    let mut statement = connection.prepare_cached("SELECT name FROM conversations WHERE id = ?1")?;
    first(statement.query([sql(conversation.0)])?, |row| Ok(row.get(0)?))
}

/// Where in the log an event is.
pub(super) fn position_at(
    moment: &Moment<'_>,
    conversation: ConversationId,
    seq: Seq,
) -> Result<Option<Position>, Failure> {
    if let Some(entry) = moment.recent.at(conversation, seq)? {
        return Ok(Some(entry.position));
    }
    let mut statement = moment
        .connection
        .prepare_cached("SELECT position FROM event_seqs WHERE conversation = ?1 AND seq = ?2")?;
    first(
        statement.query([sql(conversation.0), row::bound(seq.0)])?,
        |row| row::position(row, 0),
    )
}

pub(super) fn event(connection: &Connection, position: Position) -> Result<LogEntry, Failure> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        event_columns!(),
        " FROM events e WHERE e.position = ?1"
    ))?;
    first(statement.query([sql(position.0)])?, row::event)?
        .ok_or_else(|| Failure::damaged("an event that has a place is not in the log"))
}

pub(super) fn event_at(
    moment: &Moment<'_>,
    conversation: ConversationId,
    seq: Seq,
) -> Result<Option<LogEntry>, Failure> {
    let Some(position) = position_at(moment, conversation, seq)? else {
        return Ok(None);
    };
    let entry = event(moment.connection, position)?;
    if (entry.event.conversation, entry.event.seq) != (conversation, seq) {
        return Err(Failure::damaged("the place of an event is that of another one"));
    }
    Ok(Some(entry))
}

/// Where the event is that the same request made before, if the index has it.
pub(super) fn position_by_request(
    connection: &Connection,
    conversation: ConversationId,
    sender: UserId,
    client_id: ClientId,
) -> Result<Option<Position>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT position FROM requests WHERE client_id = ?1 AND conversation = ?2 AND sender = ?3",
    )?;
    first(
        statement.query((client_id.0, sql(conversation.0), sql(sender.0)))?,
        |row| row::position(row, 0),
    )
}

/// What the same request made before, for readers.
pub(super) fn event_by_request(
    moment: &Moment<'_>,
    conversation: ConversationId,
    sender: UserId,
    client_id: ClientId,
) -> Result<Option<LogEntry>, Failure> {
    let position = match moment.recent.made_by(conversation, sender, client_id)? {
        Some(entry) => Some(entry.position),
        None => position_by_request(moment.connection, conversation, sender, client_id)?,
    };
    let Some(position) = position else { return Ok(None) };
    let entry = event(moment.connection, position)?;
    let event = &entry.event;
    if (event.conversation, event.sender, event.client_id) != (conversation, sender, client_id) {
        return Err(Failure::damaged("the event of a request is that of another one"));
    }
    Ok(Some(entry))
}

/// Displayable messages up to and including this seq.
pub(super) fn ordinal_at(
    moment: &Moment<'_>,
    conversation: ConversationId,
    seq: Seq,
) -> Result<u64, Failure> {
    if seq == Seq(0) {
        return Ok(0);
    }
    if let Some(entry) = moment.recent.at(conversation, seq)? {
        return Ok(entry.ordinal);
    }
    event_at(moment, conversation, seq)?
        .map(|entry| entry.event.ordinal)
        .ok_or_else(|| Failure::damaged("a seq below the head has no event"))
}

impl Cursor {
    /// Sending is having read.
    pub(in crate::sqlite) fn with_sent(self, sent: Option<&Entry>) -> Self {
        sent.map_or(self, |sent| Self {
            delivered: self.delivered.max(sent.seq),
            read: self.read.max(sent.seq),
            read_ordinal: self.read_ordinal.max(sent.ordinal),
        })
    }
}

pub(super) fn cursor(
    moment: &Moment<'_>,
    conversation: ConversationId,
    user: UserId,
) -> Result<Cursor, Failure> {
    let mut statement = moment.connection.prepare_cached(
        "SELECT delivered, read, read_ordinal FROM cursors WHERE conversation = ?1 AND user = ?2",
    )?;
    let found = first(statement.query([sql(conversation.0), sql(user.0)])?, |row| {
        Ok(Cursor {
            delivered: row::seq(row, 0)?,
            read: row::seq(row, 1)?,
            read_ordinal: row::number(row, 2)?,
        })
    })?;
    let sent = moment.recent.sent(conversation, user)?;
    Ok(found.unwrap_or_default().with_sent(sent.as_ref()))
}

pub(super) fn user(connection: &Connection, id: UserId) -> Result<Option<User>, Failure> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        user_columns!(),
        " FROM users u WHERE u.id = ?1"
    ))?;
    first(statement.query([sql(id.0)])?, |row| row::user(row, 0))
}

pub(super) fn user_exists(connection: &Connection, id: UserId) -> Result<bool, Failure> {
    let mut statement = connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM users WHERE id = ?1)")?;
    let found = first(statement.query([sql(id.0)])?, |row| row::flag(row, 0))?;
    Ok(found == Some(true))
}

/// A user's sessions, by id.
pub(super) fn sessions(connection: &Connection, user: UserId) -> Result<Vec<Session>, Failure> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        session_columns!(),
        " FROM sessions s WHERE s.user = ?1"
    ))?;
    let mut sessions = row::collect(statement.query([sql(user.0)])?, row::session)?;
    // Not by SQL: ids above 2^63 are negative there.
    sessions.sort_by_key(|session| session.id);
    Ok(sessions)
}

/// The newest position given.
pub(super) fn position(connection: &Connection) -> Result<Position, Failure> {
    let mut statement = connection.prepare_cached("SELECT position FROM store")?;
    first(statement.query([])?, |row| row::position(row, 0))?
        .ok_or_else(|| Failure::damaged("the table `store` is empty"))
}
