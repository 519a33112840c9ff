//! Rows of membership intervals, and the counts of them. A user's intervals of a conversation are a chain: each names
//! the one before it.

use rusqlite::{Connection, Row};

use super::{conversation_of, prove, prove_absence};
use crate::{
    sqlite::{
        failure::Failure,
        row::{self, first, sql},
        sum,
    },
    types::{ConversationId, Position, Role, Seq, Timestamp, UserId},
};

/// A membership interval.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::sqlite) struct Stay {
    pub(in crate::sqlite) conversation: ConversationId,
    pub(in crate::sqlite) user: UserId,
    pub(in crate::sqlite) joined: Seq,
    pub(in crate::sqlite) joined_ordinal: u64,
    pub(in crate::sqlite) role: Role,
    /// The event by which the user went.
    pub(in crate::sqlite) left: Option<Left>,
    /// The user has no later one.
    pub(in crate::sqlite) is_newest: bool,
    /// The beginning of the user's earlier interval; 0: there is none.
    pub(in crate::sqlite) previous: Seq,
}

/// The event by which a member went, and the conversation after it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::sqlite) struct Left {
    pub(in crate::sqlite) seq: Seq,
    pub(in crate::sqlite) ordinal: u64,
    pub(in crate::sqlite) position: Position,
    pub(in crate::sqlite) at: Timestamp,
    /// As those of the conversation.
    pub(in crate::sqlite) settings: String,
    pub(in crate::sqlite) member_count: u64,
}

/// The columns that [`stay`] reads, of `members m`.
macro_rules! stay_columns {
    () => {
        "m.conversation, m.user, m.joined_seq, m.joined_ordinal, m.role, m.left_seq, m.left_ordinal, m.left_position, \
         m.left_at, m.left_settings, m.left_count, m.newest, m.previous, m.sum"
    };
}
pub(in crate::sqlite) use stay_columns;

/// The number of [`stay_columns`].
pub(in crate::sqlite) const STAY_COLUMNS: usize = 14;

/// Reads [`stay_columns`] from the column `at` on.
pub(in crate::sqlite) fn stay(row: &Row<'_>, at: usize) -> Result<Stay, Failure> {
    let left = match row.get::<_, Option<i64>>(at + 5)? {
        None => None,
        Some(seq) => Some(Left {
            seq: Seq(seq.cast_unsigned()),
            ordinal: row::number(row, at + 6)?,
            position: row::position(row, at + 7)?,
            at: row::time(row, at + 8)?,
            settings: row.get(at + 9)?,
            member_count: row::number(row, at + 10)?,
        }),
    };
    let stay = Stay {
        conversation: row::conversation_id(row, at)?,
        user: row::user_id(row, at + 1)?,
        joined: row::seq(row, at + 2)?,
        joined_ordinal: row::number(row, at + 3)?,
        role: row::role(row, at + 4)?,
        left,
        is_newest: row::flag(row, at + 11)?,
        previous: row::seq(row, at + 12)?,
    };
    prove(row, at + 13, sum::of_stay(&stay), || {
        format!(
            "the membership of user {} in conversation {}",
            stay.user.0, stay.conversation.0
        )
    })?;
    Ok(stay)
}

/// A user's newest membership interval.
pub(in crate::sqlite) fn newest_stay(
    connection: &Connection,
    conversation: ConversationId,
    user: UserId,
) -> Result<Option<Stay>, Failure> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        stay_columns!(),
        " FROM members m WHERE m.conversation = ?1 AND m.user = ?2 ORDER BY m.joined_seq DESC LIMIT 1"
    ))?;
    let key = [sql(conversation.0), sql(user.0)];
    match first(statement.query(key)?, |row| stay(row, 0))? {
        Some(stay) if stay.is_newest => Ok(Some(stay)),
        Some(_) => Err(damaged_stays(conversation, user)),
        None => {
            prove_absence(
                connection,
                "SELECT 1 FROM members INDEXED BY members_newest
                 WHERE user = ?2 AND conversation = ?1 AND newest = 1",
                key,
                || {
                    format!(
                        "the membership of user {} in conversation {}",
                        user.0, conversation.0
                    )
                },
            )?;
            Ok(None)
        }
    }
}

/// An interval of the user that must exist is missing.
pub(in crate::sqlite) fn damaged_stays(conversation: ConversationId, user: UserId) -> Failure {
    Failure::damaged(format!(
        "memberships of user {} in conversation {} are missing",
        user.0, conversation.0
    ))
}

/// The newest interval that began at or before a seq. No interval in between can be missing unnoticed.
pub(in crate::sqlite) fn stay_at(
    connection: &Connection,
    conversation: ConversationId,
    user: UserId,
    seq: Seq,
) -> Result<Option<Stay>, Failure> {
    let key = [sql(conversation.0), sql(user.0), row::bound(seq.0)];
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        stay_columns!(),
        " FROM members m WHERE m.conversation = ?1 AND m.user = ?2 AND m.joined_seq <= ?3
          ORDER BY m.joined_seq DESC LIMIT 1"
    ))?;
    let found = first(statement.query(key)?, |row| stay(row, 0))?;
    if found.as_ref().is_some_and(|stay| stay.is_newest) {
        return Ok(found);
    }
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        stay_columns!(),
        " FROM members m WHERE m.conversation = ?1 AND m.user = ?2 AND m.joined_seq > ?3
          ORDER BY m.joined_seq LIMIT 1"
    ))?;
    let next = first(statement.query(key)?, |row| stay(row, 0))?;
    let before = found.as_ref().map_or(Seq(0), |stay| stay.joined);
    match next {
        Some(next) if next.previous == before => Ok(found),
        None if found.is_none() => Ok(newest_stay(connection, conversation, user)?.and(None)),
        _ => Err(damaged_stays(conversation, user)),
    }
}

/// The beginning of a user's first interval, found by their newest one.
pub(in crate::sqlite) fn first_joined(connection: &Connection, newest: &Stay) -> Result<Seq, Failure> {
    if newest.previous == Seq(0) {
        return Ok(newest.joined);
    }
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        stay_columns!(),
        " FROM members m WHERE m.conversation = ?1 AND m.user = ?2 ORDER BY m.joined_seq LIMIT 1"
    ))?;
    let key = [sql(newest.conversation.0), sql(newest.user.0)];
    match first(statement.query(key)?, |row| stay(row, 0))? {
        Some(found) if found.previous == Seq(0) => Ok(found.joined),
        _ => Err(damaged_stays(newest.conversation, newest.user)),
    }
}

/// Writes a new interval.
pub(in crate::sqlite) fn insert_stay(connection: &Connection, stay: &Stay) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "INSERT INTO members (conversation, user, joined_seq, joined_ordinal, role, newest, previous, sum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute([
            sql(stay.conversation.0),
            sql(stay.user.0),
            sql(stay.joined.0),
            sql(stay.joined_ordinal),
            i64::from(stay.role.number()),
            i64::from(stay.is_newest),
            sql(stay.previous.0),
            sql(sum::of_stay(stay)),
        ])?;
    Ok(())
}

/// Changes an existing interval.
pub(in crate::sqlite) fn update_stay(connection: &Connection, stay: &Stay) -> Result<(), Failure> {
    let left = |value: fn(&Left) -> u64| stay.left.as_ref().map(|left| sql(value(left)));
    let settings = stay.left.as_ref().map(|left| &left.settings);
    connection
        .prepare_cached(
            "UPDATE members SET role = ?4, left_seq = ?5, left_ordinal = ?6, left_position = ?7, left_at = ?8,
                                left_settings = ?9, left_count = ?10, newest = ?11, sum = ?12
             WHERE conversation = ?1 AND user = ?2 AND joined_seq = ?3",
        )?
        .execute((
            sql(stay.conversation.0),
            sql(stay.user.0),
            sql(stay.joined.0),
            i64::from(stay.role.number()),
            left(|left| left.seq.0),
            left(|left| left.ordinal),
            left(|left| left.position.0),
            left(|left| left.at.0),
            settings,
            left(|left| left.member_count),
            stay.is_newest,
            sql(sum::of_stay(stay)),
        ))?;
    Ok(())
}

/// The numbers of a user's memberships.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::sqlite) struct Memberships {
    pub(in crate::sqlite) user: UserId,
    /// Groups that were not disbanded, now.
    pub(in crate::sqlite) groups: u64,
    /// Conversations that the user was ever a member of.
    pub(in crate::sqlite) conversations: u64,
}

pub(in crate::sqlite) fn memberships_of(
    connection: &Connection,
    user: UserId,
) -> Result<Memberships, Failure> {
    let mut statement = connection
        .prepare_cached("SELECT user, groups, conversations, sum FROM group_counts WHERE user = ?1")?;
    let found = first(statement.query([sql(user.0)])?, |row| {
        let of = Memberships {
            user: row::user_id(row, 0)?,
            groups: row::number(row, 1)?,
            conversations: row::number(row, 2)?,
        };
        prove(row, 3, sum::of_memberships(&of), || {
            format!("the number of groups of user {}", of.user.0)
        })?;
        Ok(of)
    })?;
    if let Some(found) = found {
        return Ok(found);
    }
    prove_absence(
        connection,
        "SELECT 1 FROM members INDEXED BY members_newest WHERE user = ?1 AND newest = 1 LIMIT 1",
        [sql(user.0)],
        || format!("the number of groups of user {}", user.0),
    )?;
    Ok(Memberships {
        user,
        groups: 0,
        conversations: 0,
    })
}

/// Changes the counts of a user's memberships. Call this before the memberships change.
pub(in crate::sqlite) fn count_memberships(
    connection: &Connection,
    user: UserId,
    groups: i64,
    conversations: i64,
) -> Result<(), Failure> {
    let mut of = memberships_of(connection, user)?;
    of.groups = of.groups.wrapping_add_signed(groups);
    of.conversations = of.conversations.wrapping_add_signed(conversations);
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO group_counts (user, groups, conversations, sum) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute([
            sql(user.0),
            sql(of.groups),
            sql(of.conversations),
            sql(sum::of_memberships(&of)),
        ])?;
    Ok(())
}

/// All present members of a conversation, by user.
pub(in crate::sqlite) fn members_of(
    connection: &Connection,
    conversation: ConversationId,
) -> Result<Vec<Stay>, Failure> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        stay_columns!(),
        " FROM members i INDEXED BY members_now
            LEFT JOIN members m ON m.conversation = i.conversation AND m.user = i.user AND m.joined_seq = i.joined_seq
          WHERE i.conversation = ?1 AND i.left_seq IS NULL ORDER BY i.user"
    ))?;
    let members = row::collect(statement.query([sql(conversation.0)])?, |row| stay(row, 0))?;
    let count = match conversation_of(connection, conversation)? {
        Some((_, rest)) => rest.member_count,
        None => 0,
    };
    let in_order = members.is_sorted_by(|one, other| one.user < other.user);
    if members.len() as u64 == count && in_order && members.iter().all(|stay| stay.left.is_none()) {
        return Ok(members);
    }
    Err(Failure::damaged(format!(
        "members of conversation {} are missing",
        conversation.0
    )))
}
