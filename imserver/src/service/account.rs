//! Accounts and profiles.

use protocol::{Refusal, Reply, v1, validate};
use storage::{Outcome, PeopleQuery, ProfileChange, UserId, Write, ephemeral::Ended};

use super::work::{Failure, Size, Work, at_most};
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

pub(super) fn search_users(search: &v1::SearchUsersRequest) -> Result<Work, Refusal> {
    let query = PeopleQuery::new(&search.query)
        .ok_or_else(|| Refusal::invalid("query", "needs a word of two letters, or of one that is a word"))?;
    let limit = at_most(search.limit, validate::FOUND_USERS_MAX);
    // A name is more than its words: exactly this one is wanted first.
    let name =
        validate::account_name("query", &search.query).map(|()| validate::canonical_name(&search.query));
    Ok(Work::ask(Size::List(search.limit), move |asking| {
        let limit = limit.min(asking.page.entries);
        let exact = match &name {
            Ok(name) => asking.reader.user_by_name(name)?,
            Err(_) => None,
        };
        let found = asking.reader.people(&query, limit)?;
        let mut users: Vec<v1::User> = exact.iter().map(wire::user).collect();
        let others = found
            .users
            .iter()
            .filter(|user| exact.as_ref().is_none_or(|exact| exact.id != user.id));
        users.extend(others.map(wire::user));
        let more = found.more || users.len() > limit;
        users.truncate(limit);
        Ok(Reply::SearchUsers(v1::SearchUsersResponse { users, more }).into())
    }))
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
