//! Lists of a conversation's members, of which none can be missing unnoticed. It must never report a cursor from an
//! unproven row.

use super::{
    failure::Failure,
    read_view::ReadView,
    row::{self, USER_COLUMNS, collect, sql, user_columns},
    state::{self, STAY_COLUMNS, cursor_columns, stay_columns},
};
use crate::{
    read::{Interval, MemberView},
    types::{ConversationId, Seq, UserId},
};

/// Members after a user, by id.
pub(super) fn page(
    read_view: &ReadView<'_>,
    conversation: ConversationId,
    after: UserId,
    limit: usize,
) -> Result<Vec<MemberView>, Failure> {
    let senders = read_view.unindexed.senders(conversation)?;
    let mut statement = read_view.connection.prepare_cached(concat!(
        "SELECT ",
        user_columns!(),
        ", ",
        stay_columns!(),
        ", ",
        cursor_columns!(),
        " FROM members i INDEXED BY members_now
            LEFT JOIN members m ON m.conversation = i.conversation AND m.user = i.user AND m.joined_seq = i.joined_seq
            LEFT JOIN users u ON u.id = i.user
            LEFT JOIN cursors k ON k.conversation = i.conversation AND k.user = i.user
          WHERE i.conversation = ?1 AND i.user > ?2 AND i.left_seq IS NULL ORDER BY i.user LIMIT ?3"
    ))?;
    let key = [sql(conversation.0), row::bound(after.0), row::limit(limit)];
    let mut last = after;
    let mut in_order = true;
    let members = collect(statement.query(key)?, |row| {
        let user = row::user(row, 0)?;
        let stay = state::stay(row, USER_COLUMNS)?;
        let cursor = state::cursor(row, USER_COLUMNS + STAY_COLUMNS)?;
        in_order &= user.id > last && stay.left.is_none();
        last = user.id;
        let sent = senders.get(&user.id).map_or(Seq(0), |sent| sent.seq);
        Ok(MemberView {
            role: stay.role,
            joined: stay.joined,
            delivered: cursor.delivered.max(sent),
            read: cursor.read.max(sent),
            user,
        })
    })?;
    // The end of the list proves that no member is missing.
    if members.len() < limit {
        count(read_view, conversation)?;
    }
    if in_order {
        Ok(members)
    } else {
        Err(missing(conversation))
    }
}

fn count(read_view: &ReadView<'_>, conversation: ConversationId) -> Result<(), Failure> {
    let mut statement = read_view.connection.prepare_cached(
        "SELECT count(*) FROM members INDEXED BY members_now WHERE conversation = ?1 AND left_seq IS NULL",
    )?;
    let found = row::first(statement.query([sql(conversation.0)])?, |row| row::number(row, 0))?;
    let (_, rest) = state::conversation_that_is(read_view.connection, conversation)?;
    if found == Some(rest.member_count) {
        Ok(())
    } else {
        Err(missing(conversation))
    }
}

fn missing(conversation: ConversationId) -> Failure {
    Failure::damaged(format!("members of conversation {} are missing", conversation.0))
}

/// The users who see part of the conversation from a seq on: its members, and those who went at that seq or later.
pub(super) fn intervals(
    read_view: &ReadView<'_>,
    conversation: ConversationId,
    from: Seq,
) -> Result<Vec<Interval>, Failure> {
    let mut stays = state::members_of(read_view.connection, conversation)?;
    let mut statement = read_view.connection.prepare_cached(concat!(
        "SELECT ",
        stay_columns!(),
        " FROM members i INDEXED BY members_left
            LEFT JOIN members m ON m.conversation = i.conversation AND m.user = i.user AND m.joined_seq = i.joined_seq
          WHERE i.conversation = ?1 AND i.left_seq IS NOT NULL AND i.left_seq >= ?2"
    ))?;
    let rows = statement.query([sql(conversation.0), row::bound(from.0)])?;
    stays.extend(collect(rows, |row| state::stay(row, 0))?);
    if from == Seq(0) && !stays.is_empty() {
        let (_, rest) = state::conversation_that_is(read_view.connection, conversation)?;
        if rest.stays != stays.len() as u64 {
            return Err(missing(conversation));
        }
    }
    stays.sort_unstable_by_key(|stay| (stay.user, stay.joined));
    let interval = |stay: state::Stay| Interval {
        user: stay.user,
        joined: stay.joined,
        left: stay.left.map(|left| left.seq),
    };
    Ok(stays.into_iter().map(interval).collect())
}
