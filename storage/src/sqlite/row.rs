//! Rows as values of the domain and back. A row that no version of this program writes is an error, never a panic and
//! never a guess.

use bytes::Bytes;
use rusqlite::{CachedStatement, Row, ToSql};

use super::{failure::Failure, sum};
pub(super) use crate::numbers::{bound, limit, sql};
use crate::{
    entry::EntryName,
    setting::GroupSettings,
    types::{
        ClientId, ConversationId, DeviceClass, Event, EventKind, Fingerprint, GroupChange, Position, Role,
        Seq, Session, SessionId, Timestamp, TokenHash, User, UserId,
    },
};

pub(super) fn number(row: &Row<'_>, column: usize) -> Result<u64, Failure> {
    Ok(row.get::<_, i64>(column)?.cast_unsigned())
}

pub(super) fn seq(row: &Row<'_>, column: usize) -> Result<Seq, Failure> {
    number(row, column).map(Seq)
}

pub(super) fn user_id(row: &Row<'_>, column: usize) -> Result<UserId, Failure> {
    number(row, column).map(UserId)
}

pub(super) fn position(row: &Row<'_>, column: usize) -> Result<Position, Failure> {
    number(row, column).map(Position)
}

pub(super) fn time(row: &Row<'_>, column: usize) -> Result<Timestamp, Failure> {
    number(row, column).map(Timestamp)
}

pub(super) fn conversation_id(row: &Row<'_>, column: usize) -> Result<ConversationId, Failure> {
    number(row, column).map(ConversationId)
}

pub(super) fn flag(row: &Row<'_>, column: usize) -> Result<bool, Failure> {
    Ok(row.get::<_, bool>(column)?)
}

/// The parameters of a statement, bound one after the other. All must be bound.
pub(super) struct Parameters<'s, 'c> {
    statement: &'s mut CachedStatement<'c>,
    bound: usize,
}

impl<'s, 'c> Parameters<'s, 'c> {
    pub(super) const fn of(statement: &'s mut CachedStatement<'c>) -> Self {
        Self { statement, bound: 0 }
    }

    pub(super) fn bind(&mut self, value: impl ToSql) -> Result<(), Failure> {
        self.bound += 1;
        Ok(self.statement.raw_bind_parameter(self.bound, value)?)
    }
}

pub(super) fn role(row: &Row<'_>, column: usize) -> Result<Role, Failure> {
    Role::of_number(row.get(column)?).map_err(Failure::damaged)
}

fn class(row: &Row<'_>, column: usize) -> Result<DeviceClass, Failure> {
    DeviceClass::of_number(row.get(column)?).map_err(Failure::damaged)
}

/// The columns that [`event`] reads, of `events e`.
macro_rules! event_columns {
    () => {
        "e.position, e.conversation, e.seq, e.ordinal, e.roster, e.sender, e.client_id, e.at, e.kind, \
         e.target, e.expires_at, e.recalled, e.users, e.role, e.text, e.body, e.proof"
    };
}
pub(super) use event_columns;

/// An event as the log keeps it, with the columns that an [`Event`] does not show.
pub(super) struct LogEntry {
    pub(super) event: Event,
    pub(super) fingerprint: Fingerprint,
    /// With reactions.
    pub(super) reaction: String,
}

/// Reads [`event_columns`] from the first column on, and proves them by their sum.
pub(super) fn event(row: &Row<'_>) -> Result<LogEntry, Failure> {
    let kind_number: u8 = row.get(8)?;
    let kind = EventKind::from_number(kind_number)
        .ok_or_else(|| Failure::damaged(format!("no event has the kind {kind_number}")))?;
    let text: Option<String> = row.get(14)?;
    let mut entry = None;
    let (change, reaction) = if kind.changes_group() {
        let users = match row.get_ref(12)?.as_blob_or_null().map_err(conversion)? {
            Some(blob) => users_from_blob(blob)?,
            None => Vec::new(),
        };
        let role = match row.get::<_, Option<i64>>(13)? {
            Some(_) => Some(role(row, 13)?),
            None => None,
        };
        let change = GroupChange::stored(users, role, text.as_deref()).map_err(Failure::damaged)?;
        (Some(change), String::new())
    } else if kind.is_entry() {
        let name = EntryName::of_text(text.as_deref().unwrap_or_default()).map_err(Failure::damaged)?;
        entry = Some(Box::new(name));
        (None, String::new())
    } else {
        (None, text.unwrap_or_default())
    };
    let event = Event {
        position: position(row, 0)?,
        conversation: conversation_id(row, 1)?,
        seq: seq(row, 2)?,
        ordinal: number(row, 3)?,
        roster: seq(row, 4)?,
        sender: user_id(row, 5)?,
        client_id: ClientId(row.get(6)?),
        at: time(row, 7)?,
        kind,
        target: seq(row, 9)?,
        body: blob(row, 15)?,
        change,
        entry,
        expires_at: time(row, 10)?,
        recalled: flag(row, 11)?,
    };
    let (fingerprint, sum) = proven_by(row, 16)?;
    let entry = LogEntry {
        event,
        fingerprint,
        reaction,
    };
    if sum != sum::of_event(&entry.event, entry.fingerprint, &entry.reaction) {
        return Err(Failure::damaged(format!(
            "the event at position {} is not what was written",
            entry.event.position.0
        )));
    }
    Ok(entry)
}

/// The column `proof` of an event: its request's fingerprint, and the sum of its row.
pub(super) fn proof(event: &Event, fingerprint: Fingerprint, reaction: &str) -> [u8; 24] {
    let mut proof = [0; 24];
    proof[..16].copy_from_slice(&fingerprint.0);
    proof[16..].copy_from_slice(&sum::of_event(event, fingerprint, reaction).to_le_bytes());
    proof
}

fn proven_by(row: &Row<'_>, column: usize) -> Result<(Fingerprint, u64), Failure> {
    let proof = row.get_ref(column)?.as_blob().map_err(conversion)?;
    let parts = (proof.first_chunk::<16>(), proof.last_chunk::<8>());
    match parts {
        (Some(fingerprint), Some(sum)) if proof.len() == 24 => {
            Ok((Fingerprint(*fingerprint), u64::from_le_bytes(*sum)))
        }
        _ => Err(Failure::damaged("what proves an event has another length")),
    }
}

pub(super) fn text<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r str, Failure> {
    row.get_ref(column)?.as_str().map_err(conversion)
}

/// Reads a text that holds the settings of a group.
pub(super) fn settings(text: &str) -> Result<GroupSettings, Failure> {
    GroupSettings::of_text(text).map_err(Failure::damaged)
}

pub(super) fn blob(row: &Row<'_>, column: usize) -> Result<Bytes, Failure> {
    let bytes = row.get_ref(column)?.as_blob().map_err(conversion)?;
    Ok(Bytes::copy_from_slice(bytes))
}

fn conversion(error: rusqlite::types::FromSqlError) -> Failure {
    Failure::damaged(error.to_string())
}

pub(super) fn users_to_blob(users: &[UserId]) -> Vec<u8> {
    // Ids are below 2^31.
    users
        .iter()
        .flat_map(|user| (user.0 as u32).to_le_bytes())
        .collect()
}

fn users_from_blob(blob: &[u8]) -> Result<Vec<UserId>, Failure> {
    let (ids, rest) = blob.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(Failure::damaged("a list of users ends within an id"));
    }
    Ok(ids
        .iter()
        .map(|id| UserId(u64::from(u32::from_le_bytes(*id))))
        .collect())
}

/// The columns that [`user`] reads, of `users u`.
macro_rules! user_columns {
    () => {
        "u.id, u.name, u.display_name, u.avatar, u.status, u.version, u.created_at, u.password_hash, u.sum"
    };
}
pub(super) use user_columns;

/// The number of [`user_columns`].
pub(super) const USER_COLUMNS: usize = 9;

/// Reads [`user_columns`] from the column `first` on, and proves them by their sum.
pub(super) fn user(row: &Row<'_>, first: usize) -> Result<User, Failure> {
    let user = User {
        id: user_id(row, first)?,
        name: row.get(first + 1)?,
        display_name: row.get(first + 2)?,
        avatar: row.get(first + 3)?,
        status: row.get(first + 4)?,
        version: number(row, first + 5)?,
        created_at: time(row, first + 6)?,
    };
    let password_hash = row.get_ref(first + 7)?.as_str().map_err(conversion)?;
    if number(row, first + 8)? != sum::of_user(&user, password_hash) {
        return Err(Failure::damaged(format!(
            "the user {} is not what was written",
            user.id.0
        )));
    }
    Ok(user)
}

/// The columns that [`session`] reads, of `sessions s`.
macro_rules! session_columns {
    () => {
        "s.id, s.user, s.device_id, s.class, s.device_name, s.created_at, s.last_seen_at, s.token_hash, s.sum"
    };
}
pub(super) use session_columns;

/// The number of [`session_columns`].
pub(super) const SESSION_COLUMNS: usize = 9;

/// Reads [`session_columns`] from the first column on, and proves them by their sum.
pub(super) fn session(row: &Row<'_>) -> Result<Session, Failure> {
    let session = Session {
        id: SessionId(number(row, 0)?),
        user: user_id(row, 1)?,
        device_id: row.get(2)?,
        class: class(row, 3)?,
        device_name: row.get(4)?,
        created_at: time(row, 5)?,
        last_seen_at: time(row, 6)?,
    };
    if number(row, 8)? != sum::of_session(&session, &token_hash(row)?) {
        return Err(Failure::damaged(format!(
            "the session {} is not what was written",
            session.id.0
        )));
    }
    Ok(session)
}

/// Reads the additional columns of [`session_columns`].
pub(super) fn token_hash(row: &Row<'_>) -> Result<TokenHash, Failure> {
    Ok(TokenHash(row.get(7)?))
}

/// All rows of a statement, each read by `read`.
pub(super) fn collect<T>(
    mut rows: rusqlite::Rows<'_>,
    mut read: impl FnMut(&Row<'_>) -> Result<T, Failure>,
) -> Result<Vec<T>, Failure> {
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(read(row)?);
    }
    Ok(all)
}

/// The first row of a statement, if it has one.
pub(super) fn first<T>(
    mut rows: rusqlite::Rows<'_>,
    read: impl FnOnce(&Row<'_>) -> Result<T, Failure>,
) -> Result<Option<T>, Failure> {
    rows.next()?.map(read).transpose()
}
