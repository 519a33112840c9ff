//! Everything that follows from an event beyond the log, the head and the sender's cursor: members, edits, reactions,
//! bodies to erase. It must never decide: an event in the log is decided.

use std::borrow::Cow;

use super::{entries, erase, failure::Failure, lookup, row::sql, session::Session};
use crate::{
    kind::Effect,
    page::PAST_REACTIONS_MAX,
    setting::GroupSettings,
    shape::Shape,
    types::{Event, EventKind, GroupChange, Role, Seq},
};

/// A text as PostgreSQL can keep it: it has no U+0000.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{FFFD}"))
    } else {
        Cow::Borrowed(text)
    }
}

pub(super) fn apply(session: &mut Session, event: &Event, reaction: &str) -> Result<(), Failure> {
    if event.seq == Seq(1) {
        let shape = Shape::of(event.conversation)
            .ok_or_else(|| Failure::damaged("an event's conversation has an impossible id"))?;
        let fixed: Vec<i64> = shape.fixed_members().map(|user| sql(user.0)).collect();
        if !fixed.is_empty() {
            // Nothing was displayed before the first event, of any kind.
            join(session, event, &fixed, 0, None)?;
        }
    }
    erase::when_expired(session, event)?;
    match event.kind.effect() {
        Effect::Message | Effect::Notice => Ok(()),
        Effect::Edit => add_edit(session, event),
        Effect::Recall => erase::recall(session, event),
        Effect::Reaction => react(session, event, reaction),
        Effect::Join => add_members(session, event),
        Effect::Leave => remove_members(session, event),
        Effect::Role => set_role(session, event),
        Effect::Settings => set_settings(session, event),
        Effect::End => disband(session, event),
        Effect::Entry => entries::apply(session, event),
    }
}

fn add_edit(session: &mut Session, event: &Event) -> Result<(), Failure> {
    session.execute(
        "WITH entered AS (INSERT INTO edits (conversation, target, seq) VALUES ($1, $2, $3))
         INSERT INTO message_counts AS n (conversation, message, edits, reactions, past) VALUES ($1, $2, 1, 0, 0)
         ON CONFLICT (conversation, message) DO UPDATE SET edits = n.edits + 1",
        &[
            &sql(event.conversation.0),
            &sql(event.target.0),
            &sql(event.seq.0),
        ],
    )?;
    Ok(())
}

/// The newest membership interval in the conversation $1 of each of the users $2, over or not, found by the end of the
/// key, however many there were before. No other transaction changes these rows: the conversation is locked.
macro_rules! newest_stays {
    ($over:literal) => {
        concat!(
            "ctid = ANY (ARRAY (
                SELECT m.ctid FROM unnest($2::bigint[]) AS u (id) CROSS JOIN LATERAL (
                    SELECT m.ctid, m.left_seq FROM members m WHERE m.conversation = $1 AND m.user_id = u.id
                    ORDER BY m.joined_seq DESC LIMIT 1) m
                WHERE m.left_seq ",
            $over,
            "))"
        )
    };
}

/// Enters members, one of them as the owner.
fn join(
    session: &mut Session,
    event: &Event,
    users: &[i64],
    joined_ordinal: u64,
    owner: Option<i64>,
) -> Result<(), Failure> {
    session.execute(
        "INSERT INTO members (conversation, user_id, joined_seq, joined_ordinal, role)
         SELECT $1, u.id, $3, $4, CASE WHEN u.id = $5 THEN $6 ELSE 0::smallint END
         FROM unnest($2::bigint[]) AS u (id)",
        &[
            &sql(event.conversation.0),
            &users,
            &sql(event.seq.0),
            &sql(joined_ordinal),
            &owner,
            &Role::Owner.number(),
        ],
    )?;
    Ok(())
}

fn react(session: &mut Session, event: &Event, reaction: &str) -> Result<(), Failure> {
    let conversation = sql(event.conversation.0);
    let target = sql(event.target.0);
    let user = sql(event.sender.0);
    end_reaction(session, event)?;
    if !reaction.is_empty() {
        session.execute(
            "WITH entered AS (
                INSERT INTO reactions (conversation, target, user_id, seq, reaction) VALUES ($1, $2, $3, $4, $5)
             )
             INSERT INTO message_counts AS n (conversation, message, edits, reactions, past)
             VALUES ($1, $2, 0, 1, 0)
             ON CONFLICT (conversation, message) DO UPDATE SET reactions = n.reactions + 1",
            &[&conversation, &target, &user, &sql(event.seq.0), &text(reaction)],
        )?;
    }
    Ok(())
}

/// The sender's present reaction, if any, is over; former members still see it.
fn end_reaction(session: &mut Session, event: &Event) -> Result<(), Failure> {
    session.execute(
        // The condition is that of `page::is_kept`.
        "WITH gone AS (
            DELETE FROM reactions WHERE conversation = $1 AND target = $2 AND user_id = $3 RETURNING seq, reaction
         ), kept AS (
            INSERT INTO past_reactions (conversation, target, user_id, seq, reaction, until)
            SELECT $1, $2, $3, gone.seq, gone.reaction, $4::bigint
            FROM gone JOIN message_counts n ON n.conversation = $1 AND n.message = $2
            WHERE gone.seq <= $5 AND n.past < $6 RETURNING 1
         )
         UPDATE message_counts SET reactions = reactions - 1, past = past + (SELECT count(*) FROM kept)
         WHERE conversation = $1 AND message = $2 AND EXISTS (SELECT 1 FROM gone)",
        &[
            &sql(event.conversation.0),
            &sql(event.target.0),
            &sql(event.sender.0),
            &sql(event.seq.0),
            &sql(event.roster.0),
            &sql(PAST_REACTIONS_MAX),
        ],
    )?;
    Ok(())
}

fn change_of(event: &Event) -> Result<&GroupChange, Failure> {
    let change = event.change.as_ref();
    change.ok_or_else(|| Failure::damaged("a group event does not say what changed"))
}

fn users_of(event: &Event) -> Result<Vec<i64>, Failure> {
    let users = &change_of(event)?.users;
    Ok(users.iter().map(|user| sql(user.0)).collect())
}

fn set_settings(session: &mut Session, event: &Event) -> Result<(), Failure> {
    let mut settings = if event.seq == Seq(1) {
        GroupSettings::default()
    } else {
        lookup::settings(session, event.conversation)?
    };
    settings.change(&change_of(event)?.settings);
    session.execute(
        "UPDATE conversations SET settings = $2 WHERE id = $1",
        &[&sql(event.conversation.0), &settings.to_text()],
    )?;
    Ok(())
}

fn add_members(session: &mut Session, event: &Event) -> Result<(), Failure> {
    let users = users_of(event)?;
    let founder = (event.kind == EventKind::GroupCreated).then(|| sql(event.sender.0));
    if founder.is_some() {
        set_settings(session, event)?;
    } else {
        // Their earlier intervals, if any, are no longer the newest.
        session.execute(
            concat!(
                "UPDATE members SET newest = false WHERE ",
                newest_stays!("IS NOT NULL")
            ),
            &[&sql(event.conversation.0), &users],
        )?;
    }
    join(session, event, &users, event.ordinal, founder)?;
    count(session, event, &users, 1)
}

fn remove_members(session: &mut Session, event: &Event) -> Result<(), Failure> {
    let users = users_of(event)?;
    // A member who goes sees the group without themselves.
    count(session, event, &users, -1)?;
    leave(session, event, &users)
}

fn set_role(session: &mut Session, event: &Event) -> Result<(), Failure> {
    let role = change_of(event)?
        .role
        .ok_or_else(|| Failure::damaged("a change of role does not say which"))?;
    let changed = session.execute(
        concat!("UPDATE members SET role = $3 WHERE ", newest_stays!("IS NULL")),
        &[&sql(event.conversation.0), &users_of(event)?, &role.number()],
    )?;
    one_row(changed, "someone got a role who was no member")
}

fn leave(session: &mut Session, event: &Event, users: &[i64]) -> Result<(), Failure> {
    let changed = session.execute(
        concat!(
            "UPDATE members SET left_seq = $3, left_ordinal = $4, left_position = $5, left_at = $6,
                    (left_settings, left_count) =
                        (SELECT c.settings, c.member_count FROM conversations c WHERE c.id = $1)
             WHERE ",
            newest_stays!("IS NULL")
        ),
        &[
            &sql(event.conversation.0),
            &users,
            &sql(event.seq.0),
            &sql(event.ordinal),
            &sql(event.position.0),
            &sql(event.at.0),
        ],
    )?;
    one_row(changed, "someone went who was no member")
}

/// Adds this many members to the group, and one group to each of them; or subtracts. Their users' rows are locked.
fn count(session: &mut Session, event: &Event, users: &[i64], more: i64) -> Result<(), Failure> {
    session.execute(
        "WITH counted AS (
            INSERT INTO group_counts AS g (user_id, groups)
            SELECT u.id, $3 FROM unnest($2::bigint[]) AS u (id) ORDER BY 1
            ON CONFLICT (user_id) DO UPDATE SET groups = g.groups + excluded.groups
         )
         UPDATE conversations SET member_count = member_count + $3 * cardinality($2::bigint[]) WHERE id = $1",
        &[&sql(event.conversation.0), &users, &more],
    )?;
    Ok(())
}

fn disband(session: &mut Session, event: &Event) -> Result<(), Failure> {
    session.execute(
        "WITH counted AS (
            UPDATE group_counts SET groups = groups - 1 WHERE user_id = ANY (ARRAY (
                SELECT user_id FROM members WHERE conversation = $1 AND left_seq IS NULL))
         )
         UPDATE conversations SET disbanded = true WHERE id = $1",
        &[&sql(event.conversation.0)],
    )?;
    Ok(())
}

pub(super) fn one_row(changed: u64, otherwise: &str) -> Result<(), Failure> {
    if changed == 1 {
        Ok(())
    } else {
        Err(Failure::damaged(otherwise))
    }
}
