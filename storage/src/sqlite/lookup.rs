//! Single rows that both writes and reads look up, within the caller's transaction.

use rusqlite::Connection;

use super::{
    erase,
    failure::Failure,
    read_view::ReadView,
    row::{self, LogEntry, event_columns, first, session_columns, sql, user_columns},
    standing,
    state::{self, Cursor, Stay, reaction_columns},
    unindexed::Entry,
};
use crate::{
    rules::Head,
    setting::GroupSettings,
    types::{ClientId, ConversationId, Position, Seq, Session, User, UserId},
};

pub(super) fn head(read_view: &ReadView<'_>, id: ConversationId) -> Result<Option<Head>, Failure> {
    let Some((head, rest)) = state::conversation_of(read_view.connection, id)? else {
        return Ok(None);
    };
    let head = Head {
        seq: head.seq,
        ordinal: head.ordinal,
        roster: head.roster,
        member_count: rest.member_count,
        disbanded: rest.disbanded,
        closed: rest.closed,
    };
    Ok(Some(match read_view.unindexed.newest(id)? {
        None => head,
        Some(newest) => Head {
            seq: newest.seq,
            ordinal: newest.ordinal,
            roster: newest.roster,
            ..head
        },
    }))
}

/// Whether the user is a member now.
pub(super) fn member(
    connection: &Connection,
    conversation: ConversationId,
    user: UserId,
) -> Result<Option<Stay>, Failure> {
    Ok(state::newest_stay(connection, conversation, user)?.filter(|stay| stay.left.is_none()))
}

/// Whether any of the user's intervals covers this seq.
pub(super) fn sees(
    connection: &Connection,
    conversation: ConversationId,
    user: UserId,
    seq: Seq,
) -> Result<bool, Failure> {
    let stay = state::stay_at(connection, conversation, user, seq)?;
    Ok(stay.is_some_and(|stay| stay.left.is_none_or(|left| left.seq >= seq)))
}

/// The user's reaction to the message, if they have one.
pub(super) fn reaction_of(
    connection: &Connection,
    conversation: ConversationId,
    message: Seq,
    user: UserId,
) -> Result<Option<String>, Failure> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        reaction_columns!(),
        " FROM reactions WHERE conversation = ?1 AND target = ?2 AND user = ?3"
    ))?;
    let key = [sql(conversation.0), row::bound(message.0), sql(user.0)];
    first(statement.query(key)?, |row| {
        Ok(state::reaction(row)?.reaction.to_owned())
    })
}

/// A group's present settings.
pub(super) fn settings(
    connection: &Connection,
    conversation: ConversationId,
) -> Result<GroupSettings, Failure> {
    let found = state::conversation_of(connection, conversation)?;
    found.map_or_else(
        || Ok(GroupSettings::default()),
        |(_, rest)| row::settings(&rest.settings),
    )
}

/// The position of an event.
pub(super) fn position_at(
    read_view: &ReadView<'_>,
    conversation: ConversationId,
    seq: Seq,
) -> Result<Option<Position>, Failure> {
    if let Some(entry) = read_view.unindexed.at(conversation, seq)? {
        return Ok(Some(entry.position));
    }
    let mut statement = read_view
        .connection
        .prepare_cached("SELECT position FROM event_seqs WHERE conversation = ?1 AND seq = ?2")?;
    first(
        statement.query([sql(conversation.0), row::bound(seq.0)])?,
        |row| row::position(row, 0),
    )
}

/// The event at a position, as answers show it.
pub(super) fn event(connection: &Connection, position: Position) -> Result<LogEntry, Failure> {
    let mut entry = stored(connection, position)?;
    erase::hide(connection, &mut entry.event)?;
    Ok(entry)
}

/// The event as the log has it, perhaps with a body that waits to be erased: it must not be shown.
pub(super) fn stored(connection: &Connection, position: Position) -> Result<LogEntry, Failure> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        event_columns!(),
        " FROM events e WHERE e.position = ?1"
    ))?;
    first(statement.query([sql(position.0)])?, row::event)?
        .ok_or_else(|| Failure::damaged("an event that has a place is not in the log"))
}

pub(super) fn event_at(
    read_view: &ReadView<'_>,
    conversation: ConversationId,
    seq: Seq,
) -> Result<Option<LogEntry>, Failure> {
    let Some(position) = position_at(read_view, conversation, seq)? else {
        return Ok(None);
    };
    let entry = event(read_view.connection, position)?;
    if (entry.event.conversation, entry.event.seq) != (conversation, seq) {
        return Err(Failure::damaged("the place of an event is that of another one"));
    }
    Ok(Some(entry))
}

/// The position of the event that the same request made, if it is indexed.
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

/// Displayable messages up to and including this seq.
pub(super) fn ordinal_at(
    read_view: &ReadView<'_>,
    conversation: ConversationId,
    seq: Seq,
) -> Result<u64, Failure> {
    if seq == Seq(0) {
        return Ok(0);
    }
    if let Some(entry) = read_view.unindexed.at(conversation, seq)? {
        return Ok(entry.ordinal);
    }
    event_at(read_view, conversation, seq)?
        .map(|entry| entry.event.ordinal)
        .ok_or_else(|| Failure::damaged("a seq below the head has no event"))
}

impl Cursor {
    /// Sending marks everything before the message as read and delivered for the sender.
    pub(in crate::sqlite) fn with_sent(self, sent: Option<&Entry>) -> Self {
        sent.map_or(self, |sent| Self {
            delivered: self.delivered.max(sent.seq),
            read: self.read.max(sent.seq),
            read_ordinal: self.read_ordinal.max(sent.ordinal),
            ..self
        })
    }
}

/// The cursor of a present or former member.
pub(super) fn cursor(
    read_view: &ReadView<'_>,
    conversation: ConversationId,
    user: UserId,
) -> Result<Cursor, Failure> {
    let found = state::cursor_of(read_view.connection, conversation, user)?;
    let sent = read_view.unindexed.sent(conversation, user)?;
    Ok(found.with_sent(sent.as_ref()))
}

pub(super) fn user(connection: &Connection, id: UserId) -> Result<Option<User>, Failure> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        user_columns!(),
        " FROM users u WHERE u.id = ?1"
    ))?;
    let found = first(statement.query([sql(id.0)])?, |row| row::user(row, 0))?;
    if found.is_none() {
        state::prove_absence(
            connection,
            "SELECT 1 FROM users INDEXED BY users_again_by_id WHERE id = ?1",
            [sql(id.0)],
            || format!("user {}", id.0),
        )?;
    }
    Ok(found)
}

pub(super) fn user_exists(connection: &Connection, id: UserId) -> Result<bool, Failure> {
    Ok(user(connection, id)?.is_some())
}

/// A user's sessions, by id.
pub(super) fn sessions(connection: &Connection, user: UserId) -> Result<Vec<Session>, Failure> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        session_columns!(),
        " FROM sessions s INDEXED BY sessions_by_device WHERE s.user = ?1"
    ))?;
    let mut sessions = row::collect(statement.query([sql(user.0)])?, row::session)?;
    let mut statement = connection
        .prepare_cached("SELECT count(*) FROM sessions INDEXED BY sessions_again_by_user WHERE user = ?1")?;
    let count = first(statement.query([sql(user.0)])?, |row| row::number(row, 0))?;
    if count != Some(sessions.len() as u64) {
        return Err(Failure::damaged(format!(
            "sessions of user {} are missing",
            user.0
        )));
    }
    // Not in SQL: ids above 2^63 are negative there.
    sessions.sort_by_key(|session| session.id);
    Ok(sessions)
}

/// The newest position assigned.
pub(super) fn position(connection: &Connection) -> Result<Position, Failure> {
    Ok(standing::read(connection)?.position)
}
