//! Rows that writes look up, within the caller's transaction.

use super::{
    failure::Failure,
    row::{self, event_columns, get, session_columns, sql, user_columns},
    session::Session,
};
use crate::{
    page::Counts,
    rules::{Head, Membership, Target},
    setting::GroupSettings,
    types::{
        ClientId, ConversationId, Event, Fingerprint, Role, Seq, Session as DeviceSession, User, UserId,
    },
};

/// The facts for the decision about an append.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) head: Option<Head>,
    pub(super) membership: Option<Membership>,
    /// A displayable message that the sender can see, with the numbers of its edits and reactions.
    pub(super) target: Option<Target>,
    pub(super) counts: Counts,
}

pub(super) fn facts(
    session: &mut Session,
    conversation: ConversationId,
    sender: UserId,
    target: Seq,
) -> Result<Facts, Failure> {
    let found = session.first(
        "SELECT c.head_seq, c.head_ordinal, c.roster, c.member_count, c.disbanded,
                m.role, m.left_seq IS NOT NULL, t.sender, t.recalled, coalesce(n.edits, 0), coalesce(n.reactions, 0),
                t.kind, t.expires_at, c.closed
         FROM (VALUES (1)) one
            LEFT JOIN conversations c ON c.id = $1 AND c.head_seq > 0
            LEFT JOIN LATERAL (SELECT role, left_seq FROM members
                               WHERE conversation = $1 AND user_id = $2 ORDER BY joined_seq DESC LIMIT 1) m ON true
            LEFT JOIN LATERAL (SELECT left_seq IS NULL OR left_seq >= $3 AS it FROM members
                               WHERE conversation = $1 AND user_id = $2 AND joined_seq <= $3
                               ORDER BY joined_seq DESC LIMIT 1) sees ON true
            LEFT JOIN events t ON t.conversation = $1 AND t.seq = $3 AND t.kind BETWEEN 1 AND 31 AND sees.it
            LEFT JOIN message_counts n ON n.conversation = $1 AND n.message = $3",
        &[&sql(conversation.0), &sql(sender.0), &row::bound(target.0)],
    )?;
    let row = found.ok_or_else(|| Failure::damaged("no answer about a conversation"))?;
    let head = match get::<Option<i64>>(&row, 0)? {
        None => None,
        Some(_) => Some(Head {
            seq: row::seq(&row, 0)?,
            ordinal: row::number(&row, 1)?,
            roster: row::seq(&row, 2)?,
            member_count: row::number(&row, 3)?,
            disbanded: row::flag(&row, 4)?,
            closed: row::closed(&row, 13)?,
        }),
    };
    let membership = match get::<Option<i16>>(&row, 5)? {
        None => None,
        Some(role) => Some(Membership {
            role: row::role_of(role)?,
            is_over: row::flag(&row, 6)?,
        }),
    };
    let target = match get::<Option<i64>>(&row, 7)? {
        None => None,
        Some(sender) => Some(Target {
            sender: UserId(sender.cast_unsigned()),
            recalled: row::flag(&row, 8)?,
            kind: u8::try_from(get::<i16>(&row, 11)?)
                .map_err(|_| Failure::damaged("a message has an impossible kind"))?,
            expires_at: row::time(&row, 12)?,
        }),
    };
    let counts = Counts {
        edits: row::number(&row, 9)?,
        reactions: row::number(&row, 10)?,
    };
    Ok(Facts {
        head,
        membership,
        target,
        counts,
    })
}

/// The user's reaction to the message, if they have one.
pub(super) fn reaction_of(
    session: &mut Session,
    conversation: ConversationId,
    message: Seq,
    user: UserId,
) -> Result<Option<String>, Failure> {
    let found = session.first(
        "SELECT reaction FROM reactions WHERE conversation = $1 AND target = $2 AND user_id = $3",
        &[&sql(conversation.0), &row::bound(message.0), &sql(user.0)],
    )?;
    found.map(|row| get(&row, 0)).transpose()
}

/// A group's present settings.
pub(super) fn settings(
    session: &mut Session,
    conversation: ConversationId,
) -> Result<GroupSettings, Failure> {
    let found = session.first(
        "SELECT settings FROM conversations WHERE id = $1",
        &[&sql(conversation.0)],
    )?;
    found.map_or_else(|| Ok(GroupSettings::default()), |row| row::settings(&row, 0))
}

/// The result of the same request, if it was made before.
pub(super) fn event_by_request(
    session: &mut Session,
    conversation: ConversationId,
    sender: UserId,
    client_id: ClientId,
) -> Result<Option<(Event, Fingerprint)>, Failure> {
    let found = session.first(
        concat!(
            "SELECT ",
            event_columns!(),
            ", e.fingerprint FROM events e WHERE e.conversation = $1 AND e.sender = $2 AND e.client_id = $3"
        ),
        &[&sql(conversation.0), &sql(sender.0), &&client_id.0[..]],
    )?;
    found
        .map(|row| Ok((row::event(&row, 0)?, row::fingerprint(&row, row::EVENT_COLUMNS)?)))
        .transpose()
}

/// The role of a present member.
pub(super) fn member(
    session: &mut Session,
    conversation: ConversationId,
    user: UserId,
) -> Result<Option<Role>, Failure> {
    let found = session.first(
        "SELECT m.role FROM (
            SELECT role, left_seq FROM members
            WHERE conversation = $1 AND user_id = $2 ORDER BY joined_seq DESC LIMIT 1) m
         WHERE m.left_seq IS NULL",
        &[&sql(conversation.0), &sql(user.0)],
    )?;
    found.map(|row| row::role(&row, 0)).transpose()
}

pub(super) fn user(session: &mut Session, id: UserId) -> Result<Option<User>, Failure> {
    let found = session.first(
        concat!("SELECT ", user_columns!(), " FROM users u WHERE u.id = $1"),
        &[&sql(id.0)],
    )?;
    found.map(|row| row::user(&row, 0)).transpose()
}

/// Whether every one of these, all different, has an account.
pub(super) fn all_exist(session: &mut Session, users: &[i64]) -> Result<bool, Failure> {
    let found = session.first("SELECT count(*) FROM users WHERE id = ANY ($1)", &[&users])?;
    let count = found.map(|row| row::number(&row, 0)).transpose()?;
    Ok(count == Some(users.len() as u64))
}

/// A user's sessions, by id, locked in the tables' order of ids.
pub(super) fn sessions(session: &mut Session, user: UserId) -> Result<Vec<DeviceSession>, Failure> {
    let rows = session.query(
        concat!(
            "SELECT ",
            session_columns!(),
            " FROM sessions s WHERE s.user_id = $1 ORDER BY s.id FOR UPDATE"
        ),
        &[&sql(user.0)],
    )?;
    let mut sessions = rows.iter().map(row::session).collect::<Result<Vec<_>, _>>()?;
    // Not in SQL: ids above 2^63 are negative there.
    sessions.sort_by_key(|session| session.id);
    Ok(sessions)
}
