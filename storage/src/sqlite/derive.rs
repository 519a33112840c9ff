//! The state that events make: conversations, members, edits, reactions. It is written in the transaction of the event,
//! and again for all events when it is rebuilt. This module owns every write to those tables except heads, and the mark
//! of recalled messages. It must never decide: an event in the log is decided.

use rusqlite::Connection;

use super::{
    entries, erase,
    failure::Failure,
    log, lookup,
    read_view::ReadView,
    row::sql,
    state::{self, Counts, Edit, Head, Left, PastReaction, Reaction, Rest, Stay, reaction_columns},
};
use crate::{
    entry::Closed,
    kind::Effect,
    page::is_kept,
    shape::Shape,
    types::{Event, EventKind, GroupChange, Role, Seq, Timestamp, UserId},
};

/// Applies an event. Events come in the order of their positions, each once.
pub(super) fn apply(read_view: &ReadView<'_>, event: &Event, reaction: &str) -> Result<(), Failure> {
    if event.kind == EventKind::Recall {
        recall(read_view, event)?;
    }
    if event.kind.is_entry() {
        entries::erase_before(read_view.connection, event)?;
    }
    if event.expires_at != Timestamp(0) {
        erase::when_expired(read_view.connection, event)?;
    }
    apply_state(read_view.connection, event, reaction)?;
    begin_cursors(read_view.connection, event)
}

/// Every new member gets a cursor. Cursors are no part of the state: no event has the moves of users.
fn begin_cursors(connection: &Connection, event: &Event) -> Result<(), Failure> {
    if event.seq == Seq(1)
        && let Some(shape) = Shape::of(event.conversation)
    {
        for user in shape.fixed_members() {
            state::begin_cursor(connection, event.conversation, user)?;
        }
    }
    if event.kind.effect() == Effect::Join {
        for user in event.change.iter().flat_map(|change| &change.users) {
            state::begin_cursor(connection, event.conversation, *user)?;
        }
    }
    Ok(())
}

/// The same without the bodies to erase: it changes only the tables of the state.
pub(super) fn apply_state(connection: &Connection, event: &Event, reaction: &str) -> Result<(), Failure> {
    if event.seq == Seq(1) {
        create_conversation(connection, event)?;
    }
    match event.kind.effect() {
        Effect::Message | Effect::Recall | Effect::Notice => Ok(()),
        Effect::Edit => add_edit(connection, event),
        Effect::Reaction => react(connection, event, reaction),
        Effect::Join => add_members(connection, event),
        Effect::Leave => remove_members(connection, event),
        Effect::Role => set_roles(connection, event),
        Effect::Settings => set_settings(connection, event),
        Effect::End => disband(connection, event),
        Effect::Entry => entries::apply(connection, event),
    }
}

/// Clears the state, the index and the list of bodies to erase, so that all can be rebuilt from the first event on.
/// Cursors stay: no event has the moves of users.
pub(super) fn clear(connection: &Connection) -> Result<(), Failure> {
    connection.execute_batch(
        "DELETE FROM event_seqs; DELETE FROM requests; DELETE FROM conversations; DELETE FROM members;
         DELETE FROM group_counts; DELETE FROM edits; DELETE FROM reactions; DELETE FROM past_reactions;
         DELETE FROM message_counts; DELETE FROM entries;
         DELETE FROM erasures; DELETE FROM expirations;",
    )?;
    Ok(())
}

fn create_conversation(connection: &Connection, event: &Event) -> Result<(), Failure> {
    let shape = Shape::of(event.conversation)
        .ok_or_else(|| Failure::damaged("an event's conversation has an impossible id"))?;
    let head = Head {
        conversation: event.conversation,
        seq: event.seq,
        ordinal: event.ordinal,
        position: event.position,
        at: event.at,
        roster: event.roster,
    };
    let fixed = shape.fixed_members().count() as u64;
    let rest = Rest {
        conversation: event.conversation,
        settings: String::new(),
        disbanded: false,
        member_count: fixed,
        stays: fixed,
        // Who blocks, or is blocked, begins nothing.
        closed: Closed::default(),
    };
    state::create_conversation(connection, &head, &rest)?;
    for user in shape.fixed_members() {
        state::count_memberships(connection, user, 0, 1)?;
        // Nothing was displayed before the first event, of any kind.
        join(connection, event, user, Role::Member, 0, None)?;
    }
    Ok(())
}

fn join(
    connection: &Connection,
    event: &Event,
    user: UserId,
    role: Role,
    joined_ordinal: u64,
    before: Option<&Stay>,
) -> Result<(), Failure> {
    let stay = Stay {
        conversation: event.conversation,
        user,
        joined: event.seq,
        joined_ordinal,
        role,
        left: None,
        is_newest: true,
        previous: before.map_or(Seq(0), |before| before.joined),
    };
    state::insert_stay(connection, &stay)
}

fn add_edit(connection: &Connection, event: &Event) -> Result<(), Failure> {
    let mut counts = state::counts_of(connection, event.conversation, event.target)?;
    let edit = Edit {
        conversation: event.conversation,
        target: event.target,
        seq: event.seq,
        position: event.position,
        previous: counts.last_edit,
    };
    state::insert_edit(connection, &edit)?;
    counts.edits += 1;
    counts.last_edit = event.seq;
    state::store_counts(connection, &counts)
}

/// Erases the body of a message, and has those of its edits erased.
fn recall(read_view: &ReadView<'_>, event: &Event) -> Result<(), Failure> {
    let connection = read_view.connection;
    let position = lookup::position_at(read_view, event.conversation, event.target)?
        .ok_or_else(|| Failure::damaged("what was recalled is not in the log"))?;
    log::erase(connection, erase::recalled(lookup::stored(connection, position)?))?;
    erase::begin(connection, event.conversation, event.target)
}

fn react(connection: &Connection, event: &Event, reaction: &str) -> Result<(), Failure> {
    let counted = state::counts_of(connection, event.conversation, event.target)?;
    let mut counts = counted;
    end_reaction(connection, event, &mut counts)?;
    if !reaction.is_empty() {
        let reaction = Reaction {
            conversation: event.conversation,
            target: event.target,
            user: event.sender,
            seq: event.seq,
            reaction,
        };
        state::insert_reaction(connection, &reaction)?;
        counts.reactions += 1;
    }
    if counts == counted {
        return Ok(());
    }
    state::store_counts(connection, &counts)
}

/// The sender's present reaction, if any, is over; former members still see it.
fn end_reaction(connection: &Connection, event: &Event, counts: &mut Counts) -> Result<(), Failure> {
    let key = [
        sql(event.conversation.0),
        sql(event.target.0),
        sql(event.sender.0),
    ];
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        reaction_columns!(),
        " FROM reactions WHERE conversation = ?1 AND target = ?2 AND user = ?3"
    ))?;
    let mut rows = statement.query(key)?;
    let Some(row) = rows.next()? else {
        return Ok(());
    };
    let was = state::reaction(row)?;
    if is_kept(was.seq, event.roster, counts.past) {
        let past = PastReaction {
            was,
            until: event.seq,
        };
        state::insert_past_reaction(connection, &past)?;
        counts.past += 1;
    }
    drop(rows);
    connection
        .prepare_cached("DELETE FROM reactions WHERE conversation = ?1 AND target = ?2 AND user = ?3")?
        .execute(key)?;
    counts.reactions = counts.reactions.saturating_sub(1);
    Ok(())
}

fn change_of(event: &Event) -> Result<&GroupChange, Failure> {
    let change = event.change.as_ref();
    change.ok_or_else(|| Failure::damaged("a group event does not say what changed"))
}

fn set_settings(connection: &Connection, event: &Event) -> Result<(), Failure> {
    let mut settings = lookup::settings(connection, event.conversation)?;
    settings.change(&change_of(event)?.settings);
    state::change_conversation(connection, event.conversation, |rest| {
        rest.settings = settings.to_text();
    })?;
    Ok(())
}

fn add_members(connection: &Connection, event: &Event) -> Result<(), Failure> {
    let users = &change_of(event)?.users;
    let is_new = event.kind == EventKind::GroupCreated;
    if is_new {
        set_settings(connection, event)?;
    }
    for user in users {
        let before = if is_new {
            None
        } else {
            supersede_stay(connection, event, *user)?
        };
        let founder = is_new && *user == event.sender;
        let role = if founder { Role::Owner } else { Role::Member };
        state::count_memberships(connection, *user, 1, i64::from(before.is_none()))?;
        join(connection, event, *user, role, event.ordinal, before.as_ref())?;
    }
    let more = users.len() as u64;
    state::change_conversation(connection, event.conversation, |rest| {
        rest.member_count += more;
        rest.stays += more;
    })?;
    Ok(())
}

fn remove_members(connection: &Connection, event: &Event) -> Result<(), Failure> {
    let users = &change_of(event)?.users;
    // A member who goes sees the group without themselves.
    let less = users.len() as u64;
    let then = state::change_conversation(connection, event.conversation, |rest| {
        rest.member_count = rest.member_count.saturating_sub(less);
    })?;
    for user in users {
        leave(connection, event, *user, &then)?;
        state::count_memberships(connection, *user, -1, 0)?;
    }
    Ok(())
}

fn set_roles(connection: &Connection, event: &Event) -> Result<(), Failure> {
    let change = change_of(event)?;
    let role = change
        .role
        .ok_or_else(|| Failure::damaged("a change of role does not say which"))?;
    for user in &change.users {
        set_role(connection, event, *user, role)?;
    }
    Ok(())
}

/// The user's earlier interval, if any, is no longer the newest.
fn supersede_stay(connection: &Connection, event: &Event, user: UserId) -> Result<Option<Stay>, Failure> {
    let before = state::newest_stay(connection, event.conversation, user)?;
    if let Some(before) = &before {
        let superseded = Stay {
            is_newest: false,
            ..before.clone()
        };
        state::update_stay(connection, &superseded)?;
    }
    Ok(before)
}

fn stay_now(connection: &Connection, event: &Event, user: UserId, otherwise: &str) -> Result<Stay, Failure> {
    let stay = lookup::member(connection, event.conversation, user)?;
    stay.ok_or_else(|| Failure::damaged(otherwise))
}

fn leave(connection: &Connection, event: &Event, user: UserId, then: &Rest) -> Result<(), Failure> {
    let mut stay = stay_now(connection, event, user, "someone went who was no member")?;
    stay.left = Some(Left {
        seq: event.seq,
        ordinal: event.ordinal,
        position: event.position,
        at: event.at,
        settings: then.settings.clone(),
        member_count: then.member_count,
    });
    state::update_stay(connection, &stay)
}

fn set_role(connection: &Connection, event: &Event, user: UserId, role: Role) -> Result<(), Failure> {
    let mut stay = stay_now(connection, event, user, "someone got a role who was no member")?;
    stay.role = role;
    state::update_stay(connection, &stay)
}

fn disband(connection: &Connection, event: &Event) -> Result<(), Failure> {
    state::change_conversation(connection, event.conversation, |rest| rest.disbanded = true)?;
    for member in state::members_of(connection, event.conversation)? {
        state::count_memberships(connection, member.user, -1, 0)?;
    }
    Ok(())
}
