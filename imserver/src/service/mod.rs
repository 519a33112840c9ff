//! What the server does when asked: a request becomes a value that says what is to be written, read or told, and what
//! the store says becomes the protocol's messages. One file a domain.
//!
//! Nothing here knows connections, loops or threads, but for [`worker`] and [`hashing`], which carry out what the
//! others say.

pub(crate) mod attempts;
pub(crate) mod hashing;
pub(crate) mod worker;

mod account;
mod append;
mod conversation;
mod device;
mod entry;
mod friend;
mod group;
mod login;
mod message;
mod presence;
mod sync;

mod told;
mod transient;
pub(crate) mod work;

use std::sync::Arc;

use protocol::{Refusal, Request, v1::ErrorCode};

pub(crate) use append::Planning;
pub(crate) use attempts::Attempts;
pub(crate) use hashing::{Hasher, HasherHandle};
pub(crate) use work::{Ask, PageLimits, Work};
pub(crate) use worker::{SharedStore, Worker, WorkerContext, WorkerTask};

use crate::{
    cluster::ClusterHandle, config::Config, delivery::Routes, lane::LazyWrites, presence::PresenceHandle,
    principal::Principal, token::Tokens,
};

/// What services know beside the store.
#[derive(Debug)]
pub(crate) struct Context {
    /// The configuration.
    pub config: Arc<Config>,
    /// The store's epoch.
    pub epoch: u64,
    /// Makes and reads what devices carry of the store's past.
    pub tokens: Tokens,
    /// Who is connected.
    pub routes: Arc<Routes>,
    /// The other nodes.
    pub cluster: ClusterHandle,
    /// How present users are.
    pub presence: PresenceHandle,
    /// What was said of cursors and is not written yet.
    pub lazy: Arc<LazyWrites>,
    /// How often passwords may be tried.
    pub attempts: Attempts,
}

/// What an admitted request of an authenticated session comes to.
///
/// # Errors
/// A field that validation lets through but nothing can be done with.
pub(crate) fn plan(request: Request, who: Principal, planning: &Planning<'_>) -> Result<Work, Refusal> {
    Ok(match request {
        Request::Send(send) => message::send(who, send, planning)?,
        Request::Delivered(delivered) => message::delivered(who, &delivered),
        Request::Read(read) => message::read(who, &read),
        Request::History(history) => message::history(who, history),
        Request::Sync(sync) => sync::sync(who, sync),
        Request::ListConversations(list) => conversation::list(who, list),
        Request::GetConversation(get) => conversation::get(who, get),
        Request::GetConversations(get) => conversation::get_several(who, get),
        Request::SetEntry(set) => entry::set(who, set, planning)?,
        Request::RemoveEntry(remove) => entry::remove(who, remove, planning)?,
        Request::ListEntries(list) => entry::list(who, list),
        Request::RequestFriend(request) => friend::request(who, request, planning)?,
        Request::AnswerFriend(answer) => friend::answer(who, &answer, planning)?,
        Request::WithdrawFriend(withdraw) => friend::withdraw(who, &withdraw, planning)?,
        Request::RemoveFriend(remove) => friend::remove(who, &remove, planning)?,
        Request::UpdateFriend(update) => friend::update(who, update, planning)?,
        Request::ListFriends(list) => friend::list(who, list),
        Request::BlockUser(block) => friend::block(who, &block, planning)?,
        Request::UnblockUser(unblock) => friend::unblock(who, &unblock, planning)?,
        Request::ListBlocked(list) => friend::list_blocked(who, list),
        Request::Typing(typing) => transient::typing(who, typing),
        Request::WatchPresence(watch) => presence::watch(who, watch),
        Request::SetAway(set) => presence::set_away(&set),
        Request::CreateGroup(create) => group::create(who, create, planning)?,
        Request::AddMembers(add) => group::add_members(who, add, planning)?,
        Request::RemoveMember(remove) => group::remove_member(who, &remove, planning)?,
        Request::LeaveGroup(leave) => group::leave(who, &leave, planning)?,
        Request::SetRole(set) => group::set_role(who, &set, planning)?,
        Request::RenameGroup(rename) => group::rename(who, rename, planning)?,
        Request::DisbandGroup(disband) => group::disband(who, &disband, planning)?,
        Request::ListMembers(list) => group::list_members(who, list),
        Request::GetUsers(get) => account::get_users(get),
        Request::FindUser(find) => account::find_user(find),
        Request::SearchUsers(search) => account::search_users(&search)?,
        Request::UpdateProfile(update) => account::update_profile(who, update),
        Request::ListDevices(_) => device::list_devices(who),
        Request::Logout(_) => device::logout(who),
        Request::LogoutOthers(_) => device::logout_others(who),
        // The session lets none of them through once it is authenticated, and answers pings itself.
        Request::Hello(_) | Request::Ping(_) | Request::Register(_) | Request::Login(_) => {
            return Err(Refusal::new(
                ErrorCode::Protocol,
                "this connection is authenticated already",
            ));
        }
    })
}

#[cfg(test)]
mod tests;
