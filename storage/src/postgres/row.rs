//! Rows as values of the domain and back. A row that no version of this program writes is an error, never a panic and
//! never a guess.

use bytes::Bytes;
use postgres::{Row, types::FromSql};

use super::failure::Failure;
pub(super) use crate::numbers::{bound, limit, sql};
use crate::{
    entry::{Closed, EntryName},
    setting::GroupSettings,
    types::{
        ClientId, ConversationId, DeviceClass, Event, EventKind, Fingerprint, GroupChange, Position, Role,
        Seq, Session, SessionId, Timestamp, User, UserId,
    },
};

pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T, Failure> {
    Ok(row.try_get(column)?)
}

pub(super) fn number(row: &Row, column: usize) -> Result<u64, Failure> {
    Ok(get::<i64>(row, column)?.cast_unsigned())
}

pub(super) fn seq(row: &Row, column: usize) -> Result<Seq, Failure> {
    number(row, column).map(Seq)
}

pub(super) fn user_id(row: &Row, column: usize) -> Result<UserId, Failure> {
    number(row, column).map(UserId)
}

pub(super) fn position(row: &Row, column: usize) -> Result<Position, Failure> {
    number(row, column).map(Position)
}

pub(super) fn time(row: &Row, column: usize) -> Result<Timestamp, Failure> {
    number(row, column).map(Timestamp)
}

pub(super) fn conversation_id(row: &Row, column: usize) -> Result<ConversationId, Failure> {
    number(row, column).map(ConversationId)
}

pub(super) fn flag(row: &Row, column: usize) -> Result<bool, Failure> {
    get(row, column)
}

pub(super) fn blob(row: &Row, column: usize) -> Result<Bytes, Failure> {
    Ok(Bytes::copy_from_slice(get(row, column)?))
}

pub(super) fn array<const N: usize>(row: &Row, column: usize) -> Result<[u8; N], Failure> {
    get::<&[u8]>(row, column)?
        .try_into()
        .map_err(|_| Failure::damaged(format!("a value of {N} bytes has another length")))
}

pub(super) fn role_of(number: i16) -> Result<Role, Failure> {
    Role::of_number(i64::from(number)).map_err(Failure::damaged)
}

pub(super) fn role(row: &Row, column: usize) -> Result<Role, Failure> {
    role_of(get(row, column)?)
}

/// Reads a text that holds the settings of a group.
pub(super) fn settings(row: &Row, column: usize) -> Result<GroupSettings, Failure> {
    GroupSettings::of_text(get(row, column)?).map_err(Failure::damaged)
}

/// Reads why a conversation is closed.
pub(super) fn closed(row: &Row, column: usize) -> Result<Closed, Failure> {
    let number: i16 = get(row, column)?;
    let reasons =
        u8::try_from(number).map_err(|_| Failure::damaged("a conversation is closed for no reason"))?;
    Ok(Closed(reasons))
}

fn class(row: &Row, column: usize) -> Result<DeviceClass, Failure> {
    let number: i16 = get(row, column)?;
    DeviceClass::of_number(i64::from(number)).map_err(Failure::damaged)
}

/// Whether one of `events e` is recalled: an edit (kind 32) is recalled with its message, whether its row is marked yet
/// or not.
macro_rules! is_recalled {
    () => {
        "(e.recalled OR e.kind = 32 AND EXISTS (
            SELECT 1 FROM erasures x WHERE x.conversation = e.conversation AND x.target = e.target))"
    };
}
pub(super) use is_recalled;

/// The columns that [`event`] reads, of `events e`.
macro_rules! event_columns {
    () => {
        concat!(
            "e.position, e.conversation, e.seq, e.ordinal, e.roster, e.sender, e.client_id, e.at, e.kind, \
             e.target, e.expires_at, ",
            $crate::postgres::row::is_recalled!(),
            " AS recalled, e.users, e.role, e.label, e.body"
        )
    };
}
pub(super) use event_columns;

/// The number of [`event_columns`].
pub(super) const EVENT_COLUMNS: usize = 16;

/// Reads [`event_columns`] from the column `first` on.
pub(super) fn event(row: &Row, first: usize) -> Result<Event, Failure> {
    let stored = StoredKind {
        kind: get(row, first + 8)?,
        users: get(row, first + 12)?,
        role: get(row, first + 13)?,
        label: get(row, first + 14)?,
    };
    let Content { kind, change, entry } = stored.read()?;
    let recalled = flag(row, first + 11)?;
    Ok(Event {
        position: position(row, first)?,
        conversation: conversation_id(row, first + 1)?,
        seq: seq(row, first + 2)?,
        ordinal: number(row, first + 3)?,
        roster: seq(row, first + 4)?,
        sender: user_id(row, first + 5)?,
        client_id: ClientId(array(row, first + 6)?),
        at: time(row, first + 7)?,
        kind,
        target: seq(row, first + 9)?,
        expires_at: time(row, first + 10)?,
        recalled,
        change,
        entry,
        // It may wait to be erased.
        body: if recalled {
            Bytes::new()
        } else {
            blob(row, first + 15)?
        },
    })
}

pub(super) fn fingerprint(row: &Row, column: usize) -> Result<Fingerprint, Failure> {
    Ok(Fingerprint(array(row, column)?))
}

/// The columns with the content of an event.
pub(super) struct StoredKind {
    pub(super) kind: i16,
    pub(super) users: Option<Vec<i64>>,
    pub(super) role: Option<i16>,
    pub(super) label: Option<String>,
}

/// The content of an event beside its body.
pub(super) struct Content {
    pub(super) kind: EventKind,
    pub(super) change: Option<GroupChange>,
    pub(super) entry: Option<Box<EntryName>>,
}

impl StoredKind {
    pub(super) fn read(self) -> Result<Content, Failure> {
        let kind = kind(self.kind)?;
        let mut content = Content {
            kind,
            change: None,
            entry: None,
        };
        if kind.is_entry() {
            let name = EntryName::of_text(self.label.as_deref().unwrap_or_default());
            content.entry = Some(Box::new(name.map_err(Failure::damaged)?));
        }
        if !kind.changes_group() {
            return Ok(content);
        }
        let users = self.users.unwrap_or_default();
        let users = users.into_iter().map(|user| UserId(user.cast_unsigned()));
        let role = self.role.map(role_of).transpose()?;
        let change = GroupChange::stored(users.collect(), role, self.label.as_deref());
        content.change = Some(change.map_err(Failure::damaged)?);
        Ok(content)
    }
}

pub(super) fn kind(number: i16) -> Result<EventKind, Failure> {
    u8::try_from(number)
        .ok()
        .and_then(EventKind::from_number)
        .ok_or_else(|| Failure::damaged(format!("no event has the kind {number}")))
}

/// The columns that [`user`] reads, of `users u`.
macro_rules! user_columns {
    () => {
        "u.id, u.name, u.display_name, u.avatar, u.status, u.version, u.created_at"
    };
}
pub(super) use user_columns;

/// The number of [`user_columns`].
pub(super) const USER_COLUMNS: usize = 7;

/// Reads [`user_columns`] from the column `first` on.
pub(super) fn user(row: &Row, first: usize) -> Result<User, Failure> {
    Ok(User {
        id: user_id(row, first)?,
        name: get(row, first + 1)?,
        display_name: get(row, first + 2)?,
        avatar: get(row, first + 3)?,
        status: get(row, first + 4)?,
        version: number(row, first + 5)?,
        created_at: time(row, first + 6)?,
    })
}

/// The columns that [`session`] reads, of `sessions s`.
macro_rules! session_columns {
    () => {
        "s.id, s.user_id, s.device_id, s.class, s.device_name, s.created_at, s.last_seen_at"
    };
}
pub(super) use session_columns;

/// The number of [`session_columns`].
pub(super) const SESSION_COLUMNS: usize = 7;

/// Reads [`session_columns`] from the first column on.
pub(super) fn session(row: &Row) -> Result<Session, Failure> {
    Ok(Session {
        id: SessionId(number(row, 0)?),
        user: user_id(row, 1)?,
        device_id: get(row, 2)?,
        class: class(row, 3)?,
        device_name: get(row, 4)?,
        created_at: time(row, 5)?,
        last_seen_at: time(row, 6)?,
    })
}
