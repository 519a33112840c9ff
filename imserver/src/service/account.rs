//! Accounts and profiles.

use protocol::{Reply, v1, validate};
use storage::{Outcome, ProfileChange, UserId, Write, ephemeral::Ended};

use super::work::{Failure, Size, Work};
use crate::{
    lane::{Done, other_outcome},
    message::Effect,
    principal::Principal,
    wire,
};

pub(super) fn get_users(get: v1::GetUsersRequest) -> Work {
    Work::ask(Size::Named(get.user_ids.len()), move |asking| {
        let mut ids: Vec<UserId> = get.user_ids.into_iter().map(UserId).collect();
        ids.sort_unstable();
        ids.dedup();
        let users = asking.reader.users(&ids)?;
        let users = users.iter().map(wire::user).collect();
        Ok(Reply::GetUsers(v1::GetUsersResponse { users }).into())
    })
}

pub(super) fn find_user(find: v1::FindUserRequest) -> Work {
    Work::ask(Size::Short, move |asking| {
        let found = asking
            .reader
            .user_by_name(&validate::canonical_name(&find.name))?;
        let Some(user) = found else {
            return Err(Failure::not_found("no user of that name"));
        };
        let user = Some(wire::user(&user));
        Ok(Reply::FindUser(v1::FindUserResponse { user }).into())
    })
}

pub(super) fn update_profile(who: Principal, update: v1::UpdateProfileRequest) -> Work {
    let change = ProfileChange {
        user: who.user,
        display_name: update.display_name,
        avatar: update.avatar,
        status: update.status,
    };
    Work::write(Write::UpdateProfile(change), |outcome, aftermath| {
        let Outcome::User(user) = outcome else {
            return Err(other_outcome());
        };
        aftermath.cache.profile_changed(user.id);
        aftermath.cluster.ended(Ended::User(user.id));
        let user = Some(wire::user(&user));
        let reply = Reply::UpdateProfile(v1::UpdateProfileResponse { user });
        Ok(Done::Answer(reply, Effect::None))
    })
}
