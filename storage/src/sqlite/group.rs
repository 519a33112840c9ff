//! Who may do what to a group. Decisions only, nothing is written here.

use std::collections::BTreeSet;

use super::{
    append::{Case, Draft},
    failure::{Failure, Stop},
    lookup::{self, Head},
    state::{self, Stay},
};
use crate::{
    error::Refused,
    shape::Shape,
    types::{EventKind, GroupChange, Role, Seq, UserId},
    write::Action,
};

pub(super) fn decide<'a>(case: &Case<'a>) -> Result<Draft<'a>, Stop> {
    match &case.append.action {
        Action::CreateGroup { name, members } => create(case, name, members),
        Action::AddMembers { users } => add(case, users),
        Action::RemoveMember { user } => remove(case, *user),
        Action::Leave => leave(case),
        Action::SetRole { user, role } => set_role(case, *user, *role),
        Action::Rename { name } => {
            group_as(case, Role::Admin)?;
            let present = lookup::name(case.moment.connection, case.append.conversation)?;
            if present.as_ref() == Some(name) {
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
    let head = case.head.ok_or(Refused::NotFound)?;
    if Shape::of(case.append.conversation) != Some(Shape::Group) || stay.role < least {
        return Err(Refused::Forbidden.into());
    }
    Ok((head, stay))
}

fn create<'a>(case: &Case<'a>, name: &str, members: &[UserId]) -> Result<Draft<'a>, Stop> {
    if Shape::of(case.append.conversation) != Some(Shape::Group) {
        return Err(Refused::NotFound.into());
    }
    if case.head.is_some() {
        return Err(Refused::Conflict.into());
    }
    let users: BTreeSet<UserId> = members.iter().copied().chain([case.append.sender]).collect();
    all_exist(case, &users)?;
    room_for(case, &users, 0, Some(case.append.sender))?;
    let change = GroupChange {
        users: users.into_iter().collect(),
        role: None,
        name: Some(name.to_owned()),
    };
    Ok(Draft::group(EventKind::GroupCreated, change))
}

fn add<'a>(case: &Case<'a>, users: &[UserId]) -> Result<Draft<'a>, Stop> {
    let least = if case.rules.members_may_add {
        Role::Member
    } else {
        Role::Admin
    };
    let (head, _) = group_as(case, least)?;
    let mut new: BTreeSet<UserId> = users.iter().copied().collect();
    all_exist(case, &new)?;
    let mut went = Vec::new();
    for user in new.clone() {
        match state::newest_stay(case.moment.connection, case.append.conversation, user)? {
            None => {}
            Some(Stay { left: Some(left), .. }) => went.push(left.seq),
            Some(_) => {
                new.remove(&user);
            }
        }
    }
    if new.is_empty() {
        return Err(Refused::NothingToDo.into());
    }
    left_before(case, &went)?;
    room_for(case, &new, head.member_count, None)?;
    let change = GroupChange {
        users: new.into_iter().collect(),
        ..GroupChange::default()
    };
    Ok(Draft::group(EventKind::MembersAdded, change))
}

fn remove<'a>(case: &Case<'a>, user: UserId) -> Result<Draft<'a>, Stop> {
    let (_, own) = group_as(case, Role::Admin)?;
    let other = member(case, user)?.ok_or(Refused::NotFound)?;
    let allowed = match own.role {
        Role::Owner => user != case.append.sender,
        Role::Admin => other.role == Role::Member,
        Role::Member => false,
    };
    if !allowed {
        return Err(Refused::Forbidden.into());
    }
    Ok(about(EventKind::MemberRemoved, user, None))
}

fn leave<'a>(case: &Case<'a>) -> Result<Draft<'a>, Stop> {
    let (head, own) = group_as(case, Role::Member)?;
    if own.role == Role::Owner && head.member_count > 1 && owners(case)? == 1 {
        return Err(Refused::Forbidden.into());
    }
    Ok(about(EventKind::MemberLeft, case.append.sender, None))
}

fn set_role<'a>(case: &Case<'a>, user: UserId, role: Role) -> Result<Draft<'a>, Stop> {
    group_as(case, Role::Owner)?;
    let other = member(case, user)?.ok_or(Refused::NotFound)?;
    if other.role == role {
        return Err(Refused::NothingToDo.into());
    }
    if other.role == Role::Owner && owners(case)? == 1 {
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

fn member(case: &Case<'_>, user: UserId) -> Result<Option<Stay>, Failure> {
    lookup::member(case.moment.connection, case.append.conversation, user)
}

fn all_exist(case: &Case<'_>, users: &BTreeSet<UserId>) -> Result<(), Stop> {
    for user in users {
        if !lookup::user_exists(case.moment.connection, *user)? {
            return Err(Refused::NotFound.into());
        }
    }
    Ok(())
}

/// Nobody is put back who went by one of these events, if they left by themselves and a short time ago.
fn left_before(case: &Case<'_>, went: &[Seq]) -> Result<(), Stop> {
    let pause_ms = case.rules.put_back_after_ms;
    if pause_ms == 0 {
        return Ok(());
    }
    let append = case.append;
    for seq in went {
        let entry = lookup::event_at(&case.moment, append.conversation, *seq)?
            .ok_or_else(|| Failure::damaged("the event by which a member went is not in the log"))?;
        let event = &entry.event;
        if event.kind == EventKind::MemberLeft && append.at.0 < event.at.0.saturating_add(pause_ms) {
            return Err(Refused::Forbidden.into());
        }
    }
    Ok(())
}

/// Room in a group of `present` members for these, and in their lists of groups for it. Who makes it may be in more
/// groups than those who are put into it.
fn room_for(
    case: &Case<'_>,
    new: &BTreeSet<UserId>,
    present: u64,
    founder: Option<UserId>,
) -> Result<(), Stop> {
    let rules = &case.rules;
    if present + new.len() as u64 > u64::from(rules.group_members_max) {
        return Err(Refused::LimitReached.into());
    }
    for user in new {
        let most = if founder == Some(*user) {
            rules.groups_per_user_max
        } else {
            rules.groups_put_into_max
        };
        if groups(case, *user)? >= u64::from(most) {
            return Err(Refused::LimitReached.into());
        }
    }
    Ok(())
}

fn groups(case: &Case<'_>, user: UserId) -> Result<u64, Failure> {
    Ok(state::memberships_of(case.moment.connection, user)?.groups)
}

/// How many owners the group has.
fn owners(case: &Case<'_>) -> Result<u64, Failure> {
    let members = state::members_of(case.moment.connection, case.append.conversation)?;
    let owners = members.iter().filter(|stay| stay.role == Role::Owner);
    Ok(owners.count() as u64)
}
