//! The initial state of an account, and the effect of a change.

use crate::{
    error::Refused,
    types::{User, UserId},
    write::{NewUser, ProfileChange},
};

/// Users' ids stay below this: a conversation's id holds two of them.
const USERS_END: u64 = 1 << 31;

/// The account of the next user to register; the name is free.
pub(crate) fn new_user(id: UserId, new: &NewUser) -> Result<User, Refused> {
    if id.0 >= USERS_END {
        return Err(Refused::LimitReached);
    }
    Ok(User {
        id,
        name: new.name.clone(),
        display_name: new.display_name.clone(),
        avatar: String::new(),
        status: String::new(),
        version: 1,
        created_at: new.at,
    })
}

/// The account after a change; `None` if nothing changed.
pub(crate) fn changed_profile(before: &User, change: &ProfileChange) -> Option<User> {
    let new = |new: &Option<String>, old: &String| new.as_ref().unwrap_or(old).clone();
    let mut user = User {
        display_name: new(&change.display_name, &before.display_name),
        avatar: new(&change.avatar, &before.avatar),
        status: new(&change.status, &before.status),
        ..before.clone()
    };
    if user == *before {
        return None;
    }
    user.version += 1;
    Some(user)
}
