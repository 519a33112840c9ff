//! The rights of group members: every kind of person tries every action.

use super::{
    cases,
    world::{ANN, GROUP, World, add, edit, message, react, recall, rename, reply},
};
use crate::{Action, Refused, Role, Rules, Seq, UserId};

cases![
    everyone_tries_everything with Rules { members_may_add: false, ..super::RULES },
    everyone_may_add,
    owners_and_admins_remove_below_them,
];

const OWNER: UserId = ANN;
const ADMIN: UserId = UserId(2);
const MEMBER: UserId = UserId(3);
const FORMER: UserId = UserId(4);
const STRANGER: UserId = UserId(5);
/// Plain members on whom the others act.
const OTHER: UserId = UserId(6);
const SECOND_ADMIN: UserId = UserId(7);
const SECOND_OWNER: UserId = UserId(8);
/// Has an account and is in no group.
const OUTSIDE: UserId = UserId(9);

const OK: Result<(), Refused> = Ok(());
const FORBIDDEN: Result<(), Refused> = Err(Refused::Forbidden);
const NOT_FOUND: Result<(), Refused> = Err(Refused::NotFound);

/// The results for owner, admin, plain member, former member and stranger.
type Row = (Action, [Result<(), Refused>; 5]);

fn settle(world: &mut World) -> Seq {
    world.accounts(9);
    world.group_of(&[ADMIN, MEMBER, FORMER, OTHER, SECOND_ADMIN, SECOND_OWNER]);
    world.promote(ADMIN, Role::Admin);
    world.promote(SECOND_ADMIN, Role::Admin);
    world.promote(SECOND_OWNER, Role::Owner);
    let seq = world.say(GROUP, OTHER, "theirs");
    world.remove(OWNER, FORMER);
    seq
}

fn matrix(seq: Seq) -> Vec<Row> {
    let anyone = [OK, OK, OK, FORBIDDEN, NOT_FOUND];
    let admins = [OK, OK, FORBIDDEN, FORBIDDEN, NOT_FOUND];
    let owners = [OK, FORBIDDEN, FORBIDDEN, FORBIDDEN, NOT_FOUND];
    let nobody = [FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN, NOT_FOUND];
    let set = |user, role| Action::SetRole { user, role };
    vec![
        (message("hello"), anyone),
        (reply(seq), anyone),
        (react(seq, "+"), anyone),
        (edit(seq, "ours"), nobody),
        (recall(seq), admins),
        (add(&[OUTSIDE]), admins),
        (Action::RemoveMember { user: OTHER }, admins),
        (Action::RemoveMember { user: SECOND_ADMIN }, owners),
        (Action::RemoveMember { user: SECOND_OWNER }, owners),
        (Action::Leave, anyone),
        (set(OTHER, Role::Admin), owners),
        (set(SECOND_ADMIN, Role::Member), owners),
        (set(SECOND_OWNER, Role::Member), owners),
        (rename("new"), admins),
        (Action::Disband, owners),
    ]
}

/// Refused actions are all tried in one group, which they leave unchanged; allowed ones each in a copy of it.
fn everyone_tries_everything(world: &mut World) {
    let seq = settle(world);
    let people = [OWNER, ADMIN, MEMBER, FORMER, STRANGER];
    for (action, expected) in matrix(seq) {
        for (person, expected) in people.into_iter().zip(expected) {
            match expected {
                Err(refused) => world.refuse(GROUP, person, action.clone(), refused),
                Ok(()) => allowed(world, person, &action),
            }
        }
    }
}

/// Makes the same group again under another id, and performs an action there that must succeed.
fn allowed(world: &mut World, person: UserId, action: &Action) {
    let number = 1_000 + world.position().0;
    let id = super::world::group(number);
    let members = vec![ADMIN, MEMBER, OTHER, SECOND_ADMIN, SECOND_OWNER];
    let name = "copy".to_owned();
    world.act(id, OWNER, Action::CreateGroup { name, members });
    for (user, role) in [
        (ADMIN, Role::Admin),
        (SECOND_ADMIN, Role::Admin),
        (SECOND_OWNER, Role::Owner),
    ] {
        world.act(id, OWNER, Action::SetRole { user, role });
    }
    let target = world.say(id, OTHER, "theirs");
    let action = match action.clone() {
        Action::React { reaction, body, .. } => Action::React {
            target,
            reaction,
            body,
        },
        Action::Recall { .. } => recall(target),
        Action::Message { reply_to, .. } if reply_to != Seq(0) => reply(target),
        other => other,
    };
    world.act(id, person, action);
}

fn everyone_may_add(world: &mut World) {
    settle(world);
    world.refuse(GROUP, FORMER, add(&[OUTSIDE]), Refused::Forbidden);
    world.refuse(GROUP, STRANGER, add(&[OUTSIDE]), Refused::NotFound);
    world.add(MEMBER, OUTSIDE);
}

fn owners_and_admins_remove_below_them(world: &mut World) {
    settle(world);
    let remove = |user| Action::RemoveMember { user };
    for (remover, removed, refused) in [
        (OWNER, OWNER, Refused::Forbidden),
        (ADMIN, ADMIN, Refused::Forbidden),
        (ADMIN, OWNER, Refused::Forbidden),
        (ADMIN, SECOND_ADMIN, Refused::Forbidden),
        (MEMBER, MEMBER, Refused::Forbidden),
        (MEMBER, OTHER, Refused::Forbidden),
        (MEMBER, STRANGER, Refused::Forbidden),
        (ADMIN, STRANGER, Refused::NotFound),
        (OWNER, FORMER, Refused::NotFound),
    ] {
        world.refuse(GROUP, remover, remove(removed), refused);
    }
    for (remover, removed) in [(ADMIN, OTHER), (OWNER, SECOND_ADMIN), (OWNER, SECOND_OWNER)] {
        world.remove(remover, removed);
    }
}
