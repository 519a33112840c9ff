//! The state that events make: conversations, members, edits, reactions. Written in the transaction of the event, and
//! again for all of them where it has to be made anew. It owns every write to those tables but of heads, and the
//! erasing of recalled bodies. It must never decide: an event in the log has been decided.

use rusqlite::Connection;

use super::{
    behind::one_row,
    failure::Failure,
    log, lookup,
    moment::Moment,
    row::{self, collect, role_number, sql},
};
use crate::{
    shape::Shape,
    types::{Event, EventKind, Role, Seq, UserId},
};

/// Enters an event. Events come in the order of their positions, each once.
pub(super) fn apply(moment: &Moment<'_>, event: &Event, reaction: &str) -> Result<(), Failure> {
    if event.kind == EventKind::Recall {
        erase(moment, event)?;
    }
    apply_state(moment.connection, event, reaction)
}

/// The same, but for the erasing of what was recalled: it changes the tables of the state alone.
pub(super) fn apply_state(connection: &Connection, event: &Event, reaction: &str) -> Result<(), Failure> {
    if event.seq == Seq(1) {
        create_conversation(connection, event)?;
    }
    match event.kind {
        EventKind::Message(_) | EventKind::Recall => Ok(()),
        EventKind::Edit => add_edit(connection, event),
        EventKind::Reaction => react(connection, event, reaction),
        _ => change_group(connection, event),
    }
}

/// Forgets the state and the index, so that both can be made again from the first event on. Cursors stay: what their
/// users moved is in no event.
pub(super) fn clear(connection: &Connection) -> Result<(), Failure> {
    connection.execute_batch(
        "DELETE FROM event_seqs; DELETE FROM requests; DELETE FROM conversations; DELETE FROM members;
         DELETE FROM group_counts; DELETE FROM edits; DELETE FROM reactions; DELETE FROM message_counts;",
    )?;
    Ok(())
}

fn create_conversation(connection: &Connection, event: &Event) -> Result<(), Failure> {
    let shape = Shape::of(event.conversation)
        .ok_or_else(|| Failure::damaged("an event's conversation has an impossible id"))?;
    connection
        .prepare_cached(
            "INSERT INTO conversations (id, name, disbanded, member_count, head_seq, head_ordinal,
                                        head_position, head_at, roster)
             VALUES (?1, '', 0, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute((
            sql(event.conversation.0),
            shape.fixed_members().count() as i64,
            sql(event.seq.0),
            sql(event.ordinal),
            sql(event.position.0),
            sql(event.at.0),
            sql(event.roster.0),
        ))?;
    for user in shape.fixed_members() {
        // Nothing was displayed before the first event, whatever that is.
        join(connection, event, user, Role::Member, 0)?;
    }
    Ok(())
}

fn join(
    connection: &Connection,
    event: &Event,
    user: UserId,
    role: Role,
    joined_ordinal: u64,
) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "INSERT INTO members (conversation, user, joined_seq, joined_ordinal, role)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute([
            sql(event.conversation.0),
            sql(user.0),
            sql(event.seq.0),
            sql(joined_ordinal),
            role_number(role),
        ])?;
    Ok(())
}

fn add_edit(connection: &Connection, event: &Event) -> Result<(), Failure> {
    connection
        .prepare_cached("INSERT INTO edits (conversation, target, seq, position) VALUES (?1, ?2, ?3, ?4)")?
        .execute([
            sql(event.conversation.0),
            sql(event.target.0),
            sql(event.seq.0),
            sql(event.position.0),
        ])?;
    count_message(connection, event, 1, 0)
}

/// So many more edits and reactions of the message that an event is about; or less.
fn count_message(connection: &Connection, event: &Event, edits: i64, reactions: i64) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "INSERT INTO message_counts (conversation, message, edits, reactions) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET edits = edits + excluded.edits, reactions = reactions + excluded.reactions",
        )?
        .execute([
            sql(event.conversation.0),
            sql(event.target.0),
            edits,
            reactions,
        ])?;
    Ok(())
}

fn erase(moment: &Moment<'_>, event: &Event) -> Result<(), Failure> {
    let position = lookup::position_at(moment, event.conversation, event.target)?
        .ok_or_else(|| Failure::damaged("what was recalled is not in the log"))?;
    let connection = moment.connection;
    log::erase(connection, position)?;
    let mut statement =
        connection.prepare_cached("SELECT position FROM edits WHERE conversation = ?1 AND target = ?2")?;
    let key = [sql(event.conversation.0), sql(event.target.0)];
    for edit in collect(statement.query(key)?, |row| row::position(row, 0))? {
        log::erase(connection, edit)?;
    }
    Ok(())
}

fn react(connection: &Connection, event: &Event, reaction: &str) -> Result<(), Failure> {
    let key = (
        sql(event.conversation.0),
        sql(event.target.0),
        sql(event.sender.0),
    );
    let before = connection
        .prepare_cached("DELETE FROM reactions WHERE conversation = ?1 AND target = ?2 AND user = ?3")?
        .execute(key)? as i64;
    let now = i64::from(!reaction.is_empty());
    if now > 0 {
        connection
            .prepare_cached(
                "INSERT INTO reactions (conversation, target, user, seq, reaction) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((key.0, key.1, key.2, sql(event.seq.0), reaction))?;
    }
    if now == before {
        return Ok(());
    }
    count_message(connection, event, 0, now - before)
}

fn change_group(connection: &Connection, event: &Event) -> Result<(), Failure> {
    let change = event
        .change
        .as_ref()
        .ok_or_else(|| Failure::damaged("a group event does not say what changed"))?;
    if let Some(name) = &change.name {
        connection
            .prepare_cached("UPDATE conversations SET name = ?2 WHERE id = ?1")?
            .execute((sql(event.conversation.0), name))?;
    }
    match event.kind {
        EventKind::GroupCreated | EventKind::MembersAdded => {
            for user in &change.users {
                if event.kind == EventKind::MembersAdded {
                    supersede_stay(connection, event, *user)?;
                }
                let founder = event.kind == EventKind::GroupCreated && *user == event.sender;
                let role = if founder { Role::Owner } else { Role::Member };
                join(connection, event, *user, role, event.ordinal)?;
                count_group(connection, *user, 1)?;
            }
            count_members(connection, event, change.users.len() as i64)
        }
        EventKind::MemberRemoved | EventKind::MemberLeft => {
            // Whoever goes sees the group without them.
            count_members(connection, event, -(change.users.len() as i64))?;
            for user in &change.users {
                leave(connection, event, *user)?;
                count_group(connection, *user, -1)?;
            }
            Ok(())
        }
        EventKind::RoleChanged => {
            let role = change
                .role
                .ok_or_else(|| Failure::damaged("a change of role does not say which"))?;
            for user in &change.users {
                set_role(connection, event, *user, role)?;
            }
            Ok(())
        }
        EventKind::GroupDisbanded => disband(connection, event),
        _ => Ok(()),
    }
}

/// An earlier stay of the user, if there is one, is not the newest any more.
fn supersede_stay(connection: &Connection, event: &Event, user: UserId) -> Result<(), Failure> {
    connection
        .prepare_cached("UPDATE members SET newest = 0 WHERE user = ?2 AND conversation = ?1 AND newest = 1")?
        .execute([sql(event.conversation.0), sql(user.0)])?;
    Ok(())
}

fn leave(connection: &Connection, event: &Event, user: UserId) -> Result<(), Failure> {
    let changed = connection
        .prepare_cached(
            "UPDATE members INDEXED BY members_now
             SET left_seq = ?3, left_ordinal = ?4, left_position = ?5, left_at = ?6,
                 (left_name, left_count) = (SELECT name, member_count FROM conversations WHERE id = ?1)
             WHERE conversation = ?1 AND user = ?2 AND left_seq IS NULL",
        )?
        .execute([
            sql(event.conversation.0),
            sql(user.0),
            sql(event.seq.0),
            sql(event.ordinal),
            sql(event.position.0),
            sql(event.at.0),
        ])?;
    one_row(changed, "someone went who was no member")
}

fn set_role(connection: &Connection, event: &Event, user: UserId, role: Role) -> Result<(), Failure> {
    let changed = connection
        .prepare_cached(
            "UPDATE members INDEXED BY members_now SET role = ?3
             WHERE conversation = ?1 AND user = ?2 AND left_seq IS NULL",
        )?
        .execute([sql(event.conversation.0), sql(user.0), role_number(role)])?;
    one_row(changed, "someone got a role who was no member")
}

fn count_members(connection: &Connection, event: &Event, more: i64) -> Result<(), Failure> {
    connection
        .prepare_cached("UPDATE conversations SET member_count = member_count + ?2 WHERE id = ?1")?
        .execute([sql(event.conversation.0), more])?;
    Ok(())
}

fn count_group(connection: &Connection, user: UserId, more: i64) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "INSERT INTO group_counts (user, groups) VALUES (?1, ?2)
             ON CONFLICT DO UPDATE SET groups = groups + excluded.groups",
        )?
        .execute([sql(user.0), more])?;
    Ok(())
}

fn disband(connection: &Connection, event: &Event) -> Result<(), Failure> {
    let group = [sql(event.conversation.0)];
    connection
        .prepare_cached("UPDATE conversations SET disbanded = 1 WHERE id = ?1")?
        .execute(group)?;
    connection
        .prepare_cached(
            "UPDATE group_counts SET groups = groups - 1 WHERE user IN
                (SELECT user FROM members INDEXED BY members_now
                 WHERE conversation = ?1 AND left_seq IS NULL)",
        )?
        .execute(group)?;
    Ok(())
}
