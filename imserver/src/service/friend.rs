//! Friends and blocks: what a user does about a person, and the lists of both.

use prost::Message;
use protocol::{Call, Refusal, Reply, v1};
use storage::{
    Action, EntryView, User, UserId,
    entry::{BLOCK, FRIEND, block_key, friend_key},
    friend::{Friend, FriendState, PersonAct, PersonAction, REQUEST_LASTS_MS},
};

use super::{
    append::Planning,
    work::{Asking, ENTRIES_MAX, Failure, Size, Work, at_most},
};
use crate::{principal::Principal, wire};

/// People in one page, at most.
const PEOPLE_PAGE: usize = ENTRIES_MAX;

/// An act about a person is an append to the own log.
fn act<C: Call<Response = v1::SendResponse> + Message>(
    who: Principal,
    request: &C,
    (user_id, client_id): (u64, &bytes::Bytes),
    act: PersonAct,
    planning: &Planning<'_>,
) -> Result<Work, Refusal> {
    let action = Action::Person(PersonAction {
        with: UserId(user_id),
        act,
    });
    planning.work::<C>(who, who.user.0, client_id, &request.encode_to_vec(), action)
}

pub(super) fn request(
    who: Principal,
    request: v1::RequestFriendRequest,
    planning: &Planning<'_>,
) -> Result<Work, Refusal> {
    let of = (request.user_id, &request.client_msg_id);
    let greeting = request.greeting.clone();
    act(who, &request, of, PersonAct::Request { greeting }, planning)
}

pub(super) fn answer(
    who: Principal,
    answer: &v1::AnswerFriendRequest,
    planning: &Planning<'_>,
) -> Result<Work, Refusal> {
    let accept = answer.accept;
    let of = (answer.user_id, &answer.client_msg_id);
    act(who, answer, of, PersonAct::Answer { accept }, planning)
}

pub(super) fn withdraw(
    who: Principal,
    withdraw: &v1::WithdrawFriendRequest,
    planning: &Planning<'_>,
) -> Result<Work, Refusal> {
    let of = (withdraw.user_id, &withdraw.client_msg_id);
    act(who, withdraw, of, PersonAct::Withdraw, planning)
}

pub(super) fn remove(
    who: Principal,
    remove: &v1::RemoveFriendRequest,
    planning: &Planning<'_>,
) -> Result<Work, Refusal> {
    let of = (remove.user_id, &remove.client_msg_id);
    act(who, remove, of, PersonAct::Remove, planning)
}

pub(super) fn update(
    who: Principal,
    update: v1::UpdateFriendRequest,
    planning: &Planning<'_>,
) -> Result<Work, Refusal> {
    let of = (update.user_id, &update.client_msg_id);
    let note = PersonAct::Note {
        remark: update.remark.clone(),
        tags: update.tags.clone(),
    };
    act(who, &update, of, note, planning)
}

pub(super) fn block(
    who: Principal,
    block: &v1::BlockUserRequest,
    planning: &Planning<'_>,
) -> Result<Work, Refusal> {
    let of = (block.user_id, &block.client_msg_id);
    act(who, block, of, PersonAct::Block, planning)
}

pub(super) fn unblock(
    who: Principal,
    unblock: &v1::UnblockUserRequest,
    planning: &Planning<'_>,
) -> Result<Work, Refusal> {
    let of = (unblock.user_id, &unblock.client_msg_id);
    act(who, unblock, of, PersonAct::Unblock, planning)
}

pub(super) fn list(who: Principal, list: v1::ListFriendsRequest) -> Work {
    Work::ask(Size::List(list.limit), move |asking| {
        let after = after(list.after_user_id, friend_key);
        let (people, more) = people(asking, who.user, FRIEND, &after, list.limit)?;
        let now = asking.now.0;
        let friends = people.into_iter().filter_map(|(user, view)| {
            let friend = Friend::of_value(&view.value)?;
            let is_open =
                friend.state == FriendState::Friends || now < view.at.0.saturating_add(REQUEST_LASTS_MS);
            Some(v1::Friend {
                user: Some(wire::user(&user)),
                state: state(friend.state).into(),
                greeting: friend.greeting,
                remark: friend.remark,
                tags: friend.tags,
                since_ms: friend.since.0,
                expired: !is_open,
            })
        });
        let friends = friends.collect();
        Ok(Reply::ListFriends(v1::ListFriendsResponse { friends, more }).into())
    })
}

pub(super) fn list_blocked(who: Principal, list: v1::ListBlockedRequest) -> Work {
    Work::ask(Size::List(list.limit), move |asking| {
        let after = after(list.after_user_id, block_key);
        let (people, more) = people(asking, who.user, BLOCK, &after, list.limit)?;
        let blocked = people.into_iter().map(|(user, view)| v1::Blocked {
            user: Some(wire::user(&user)),
            since_ms: view.at.0,
        });
        let users = blocked.collect();
        Ok(Reply::ListBlocked(v1::ListBlockedResponse { users, more }).into())
    })
}

const fn state(state: FriendState) -> v1::FriendState {
    match state {
        FriendState::Requested => v1::FriendState::Requested,
        FriendState::Incoming => v1::FriendState::Incoming,
        FriendState::Friends => v1::FriendState::Friends,
    }
}

fn after(user: u64, key: impl Fn(UserId) -> String) -> String {
    if user == 0 {
        String::new()
    } else {
        key(UserId(user))
    }
}

/// A page of entries about people, each with the person.
fn people(
    asking: &mut Asking<'_>,
    of: UserId,
    prefix: &str,
    after: &str,
    limit: u32,
) -> Result<(Vec<(User, EntryView)>, bool), Failure> {
    let limit = at_most(limit, PEOPLE_PAGE.min(asking.page.entries));
    let page = asking.reader.entries(of, prefix, after, limit)?;
    let id = |view: &EntryView| view.key.strip_prefix(prefix)?.parse().ok().map(UserId);
    let of_people: Vec<(UserId, EntryView)> = page
        .entries
        .into_iter()
        .filter_map(|view| Some((id(&view)?, view)))
        .collect();
    let ids: Vec<UserId> = of_people.iter().map(|(id, _)| *id).collect();
    // In the order asked, without those that nobody has: accounts are never deleted, so all are there.
    let users = asking.reader.users(&ids)?;
    let mut views = of_people.into_iter();
    let found = users.into_iter().filter_map(|user| {
        let view = views.find(|(id, _)| *id == user.id)?;
        Some((user, view.1))
    });
    Ok((found.collect(), page.more))
}
