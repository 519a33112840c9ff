//! Who may do what to a group. Decisions only, nothing is written here.

use std::collections::BTreeSet;

use super::{
    append::{Case, Draft},
    batch::Batch,
    derive,
    failure::{Failure, Stop},
    lookup::{self, Head, Stay},
    row::{self, sql},
};
use crate::{
    error::Refused,
    shape::Shape,
    types::{EventKind, GroupChange, Role, UserId},
    write::Action,
};

pub(super) fn decide<'a>(case: &Case<'a>, batch: &mut Batch<'_>) -> Result<Draft<'a>, Stop> {
    match &case.append.action {
        Action::CreateGroup { name, members } => create(case, batch, name, members),
        Action::AddMembers { users } => add(case, batch, users),
        Action::RemoveMember { user } => remove(case, batch, *user),
        Action::Leave => leave(case, batch),
        Action::SetRole { user, role } => set_role(case, batch, *user, *role),
        Action::Rename { name } => {
            group_as(case, Role::Admin)?;
            let present = lookup::name(batch.session, case.append.conversation)?;
            if present.as_deref() == Some(&*derive::text(name)) {
                return Err(Refused::NothingToDo.into());
            }
            let change = GroupChange {
                name: Some(name.clone()),
                ..GroupChange::default()
            };
            Ok(Draft::group(EventKind::GroupRenamed, change))
        }
        Action::Disband => {
            group_as(case, Role::Owner)?;
            Ok(Draft::group(EventKind::GroupDisbanded, GroupChange::default()))
        }
        Action::Message { .. } | Action::Edit { .. } | Action::Recall { .. } | Action::React { .. } => {
            Err(Failure::damaged("a message was taken for a change of a group").into())
        }
    }
}

/// A group, its sender a member with at least this role.
fn group_as(case: &Case<'_>, least: Role) -> Result<(Head, Stay), Stop> {
    let stay = case.stay()?;
    let head = case.facts.head.ok_or(Refused::NotFound)?;
    if Shape::of(case.append.conversation) != Some(Shape::Group) || stay.role < least {
        return Err(Refused::Forbidden.into());
    }
    Ok((head, stay))
}

fn create<'a>(
    case: &Case<'a>,
    batch: &mut Batch<'_>,
    name: &str,
    members: &[UserId],
) -> Result<Draft<'a>, Stop> {
    if Shape::of(case.append.conversation) != Some(Shape::Group) {
        return Err(Refused::NotFound.into());
    }
    if case.facts.head.is_some() {
        return Err(Refused::Conflict.into());
    }
    let users: BTreeSet<UserId> = members.iter().copied().chain([case.append.sender]).collect();
    all_exist(batch, &users)?;
    room_for(batch, &users, 0, Some(case.append.sender))?;
    let change = GroupChange {
        users: users.into_iter().collect(),
        role: None,
        name: Some(name.to_owned()),
    };
    Ok(Draft::group(EventKind::GroupCreated, change))
}

fn add<'a>(case: &Case<'a>, batch: &mut Batch<'_>, users: &[UserId]) -> Result<Draft<'a>, Stop> {
    let least = if batch.rules.members_may_add {
        Role::Member
    } else {
        Role::Admin
    };
    let (head, _) = group_as(case, least)?;
    let mut new: BTreeSet<UserId> = users.iter().copied().collect();
    all_exist(batch, &new)?;
    for member in members_among(case, batch, &new)? {
        new.remove(&member);
    }
    if new.is_empty() {
        return Err(Refused::NothingToDo.into());
    }
    left_before(case, batch, &new)?;
    room_for(batch, &new, head.member_count, None)?;
    let change = GroupChange {
        users: new.into_iter().collect(),
        ..GroupChange::default()
    };
    Ok(Draft::group(EventKind::MembersAdded, change))
}

fn remove<'a>(case: &Case<'a>, batch: &mut Batch<'_>, user: UserId) -> Result<Draft<'a>, Stop> {
    let (_, own) = group_as(case, Role::Admin)?;
    let other = member(case, batch, user)?.ok_or(Refused::NotFound)?;
    let allowed = match own.role {
        Role::Owner => user != case.append.sender,
        Role::Admin => other == Role::Member,
        Role::Member => false,
    };
    if !allowed {
        return Err(Refused::Forbidden.into());
    }
    Ok(about(EventKind::MemberRemoved, user, None))
}

fn leave<'a>(case: &Case<'a>, batch: &mut Batch<'_>) -> Result<Draft<'a>, Stop> {
    let (head, own) = group_as(case, Role::Member)?;
    if own.role == Role::Owner && head.member_count > 1 && owners(case, batch)? == 1 {
        return Err(Refused::Forbidden.into());
    }
    Ok(about(EventKind::MemberLeft, case.append.sender, None))
}

fn set_role<'a>(case: &Case<'a>, batch: &mut Batch<'_>, user: UserId, role: Role) -> Result<Draft<'a>, Stop> {
    group_as(case, Role::Owner)?;
    let other = member(case, batch, user)?.ok_or(Refused::NotFound)?;
    if other == role {
        return Err(Refused::NothingToDo.into());
    }
    if other == Role::Owner && owners(case, batch)? == 1 {
        return Err(Refused::Forbidden.into());
    }
    Ok(about(EventKind::RoleChanged, user, Some(role)))
}

fn about<'a>(kind: EventKind, user: UserId, role: Option<Role>) -> Draft<'a> {
    let change = GroupChange {
        users: vec![user],
        role,
        name: None,
    };
    Draft::group(kind, change)
}

fn member(case: &Case<'_>, batch: &mut Batch<'_>, user: UserId) -> Result<Option<Role>, Failure> {
    lookup::member(batch.session, case.append.conversation, user)
}

fn numbers(users: &BTreeSet<UserId>) -> Vec<i64> {
    users.iter().map(|user| sql(user.0)).collect()
}

fn members_among(
    case: &Case<'_>,
    batch: &mut Batch<'_>,
    users: &BTreeSet<UserId>,
) -> Result<Vec<UserId>, Failure> {
    let rows = batch.session.query(
        "SELECT m.user_id FROM unnest($2::bigint[]) AS u (id) CROSS JOIN LATERAL (
            SELECT m.user_id, m.left_seq FROM members m WHERE m.conversation = $1 AND m.user_id = u.id
            ORDER BY m.joined_seq DESC LIMIT 1) m
         WHERE m.left_seq IS NULL",
        &[&sql(case.append.conversation.0), &numbers(users)],
    )?;
    rows.iter().map(|row| row::user_id(row, 0)).collect()
}

fn all_exist(batch: &mut Batch<'_>, users: &BTreeSet<UserId>) -> Result<(), Stop> {
    if lookup::all_exist(batch.session, &numbers(users))? {
        Ok(())
    } else {
        Err(Refused::NotFound.into())
    }
}

/// Nobody is put back who left a short time ago.
fn left_before(case: &Case<'_>, batch: &mut Batch<'_>, users: &BTreeSet<UserId>) -> Result<(), Stop> {
    let pause_ms = batch.rules.put_back_after_ms;
    if pause_ms == 0 {
        return Ok(());
    }
    let left = batch.session.query(
        "SELECT m.left_at FROM unnest($2::bigint[]) AS u (id) CROSS JOIN LATERAL (
            SELECT m.left_seq, m.left_at FROM members m WHERE m.conversation = $1 AND m.user_id = u.id
            ORDER BY m.joined_seq DESC LIMIT 1) m CROSS JOIN LATERAL (
            SELECT e.kind FROM events e WHERE e.conversation = $1 AND e.seq = m.left_seq LIMIT 1) e
         WHERE e.kind = $3",
        &[
            &sql(case.append.conversation.0),
            &numbers(users),
            &i16::from(EventKind::MemberLeft.number()),
        ],
    )?;
    for row in &left {
        let at = row::time(row, 0)?;
        if case.append.at.0 < at.0.saturating_add(pause_ms) {
            return Err(Refused::Forbidden.into());
        }
    }
    Ok(())
}

/// Room in a group of `present` members for these, and in their lists of groups for it. Who makes it may be in more
/// groups than those who are put into it.
fn room_for(
    batch: &mut Batch<'_>,
    new: &BTreeSet<UserId>,
    present: u64,
    founder: Option<UserId>,
) -> Result<(), Stop> {
    let rules = batch.rules;
    if present + new.len() as u64 > u64::from(rules.group_members_max) {
        return Err(Refused::LimitReached.into());
    }
    // Whoever has no row yet is in no group.
    let put_into = i64::from(rules.groups_put_into_max);
    let own = i64::from(rules.groups_per_user_max);
    let busy = batch.session.first(
        "SELECT 1 FROM group_counts
         WHERE user_id = ANY ($1) AND groups >= CASE WHEN user_id = $4::bigint THEN $3::bigint ELSE $2::bigint END LIMIT 1",
        &[&numbers(new), &put_into, &own, &founder.map(|user| sql(user.0))],
    )?;
    let is_put_into = new.iter().any(|user| founder != Some(*user));
    let none = put_into == 0 && is_put_into || own == 0 && founder.is_some();
    if busy.is_some() || none {
        return Err(Refused::LimitReached.into());
    }
    Ok(())
}

fn owners(case: &Case<'_>, batch: &mut Batch<'_>) -> Result<u64, Failure> {
    let found = batch.session.first(
        "SELECT count(*) FROM members WHERE conversation = $1 AND left_seq IS NULL AND role = $2",
        &[&sql(case.append.conversation.0), &row::role_number(Role::Owner)],
    )?;
    Ok(found.map(|row| row::number(&row, 0)).transpose()?.unwrap_or(0))
}
