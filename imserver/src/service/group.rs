//! Groups: who is in them, and what they are called.

use std::collections::BTreeSet;

use prost::Message;
use protocol::{Refusal, Reply, v1};
use storage::{Action, ConversationId, GroupSetting, UserId};

use super::{
    append::Planning,
    told,
    work::{ENTRIES_MAX, Failure, Size, Work, at_most},
};
use crate::{principal::Principal, wire};

/// Members in one page, at most.
const MEMBERS_PAGE: usize = ENTRIES_MAX;

pub(super) fn create(
    who: Principal,
    create: v1::CreateGroupRequest,
    planning: &Planning<'_>,
) -> Result<Work, Refusal> {
    let members = users(&create.user_ids);
    let canonical = v1::CreateGroupRequest {
        user_ids: as_set(&create.user_ids, Some(who.user)),
        ..create
    };
    let bytes = canonical.encode_to_vec();
    let action = Action::CreateGroup {
        name: canonical.name,
        members,
    };
    planning.work::<v1::CreateGroupRequest>(who, 0, &canonical.client_msg_id, &bytes, action)
}

pub(super) fn add_members(
    who: Principal,
    add: v1::AddMembersRequest,
    planning: &Planning<'_>,
) -> Result<Work, Refusal> {
    let action = Action::AddMembers {
        users: users(&add.user_ids),
    };
    let canonical = v1::AddMembersRequest {
        user_ids: as_set(&add.user_ids, None),
        ..add
    };
    let bytes = canonical.encode_to_vec();
    let (conversation, client_id) = (canonical.conversation_id, &canonical.client_msg_id);
    planning.work::<v1::AddMembersRequest>(who, conversation, client_id, &bytes, action)
}

pub(super) fn remove_member(
    who: Principal,
    remove: &v1::RemoveMemberRequest,
    planning: &Planning<'_>,
) -> Result<Work, Refusal> {
    let action = Action::RemoveMember {
        user: UserId(remove.user_id),
    };
    let (bytes, client_id) = (remove.encode_to_vec(), &remove.client_msg_id);
    planning.work::<v1::RemoveMemberRequest>(who, remove.conversation_id, client_id, &bytes, action)
}

pub(super) fn leave(
    who: Principal,
    leave: &v1::LeaveGroupRequest,
    planning: &Planning<'_>,
) -> Result<Work, Refusal> {
    let (bytes, client_id) = (leave.encode_to_vec(), &leave.client_msg_id);
    let conversation = leave.conversation_id;
    planning.work::<v1::LeaveGroupRequest>(who, conversation, client_id, &bytes, Action::Leave)
}

pub(super) fn set_role(
    who: Principal,
    set: &v1::SetRoleRequest,
    planning: &Planning<'_>,
) -> Result<Work, Refusal> {
    let role = wire::role(set.role()).ok_or_else(|| Refusal::invalid("role", "is not a role"))?;
    let action = Action::SetRole {
        user: UserId(set.user_id),
        role,
    };
    let (bytes, client_id) = (set.encode_to_vec(), &set.client_msg_id);
    planning.work::<v1::SetRoleRequest>(who, set.conversation_id, client_id, &bytes, action)
}

pub(super) fn rename(
    who: Principal,
    rename: v1::RenameGroupRequest,
    planning: &Planning<'_>,
) -> Result<Work, Refusal> {
    let bytes = rename.encode_to_vec();
    let (conversation, client_id) = (rename.conversation_id, rename.client_msg_id);
    let action = Action::Set {
        setting: GroupSetting::Name,
        value: rename.name,
    };
    planning.work::<v1::RenameGroupRequest>(who, conversation, &client_id, &bytes, action)
}

pub(super) fn disband(
    who: Principal,
    disband: &v1::DisbandGroupRequest,
    planning: &Planning<'_>,
) -> Result<Work, Refusal> {
    let (bytes, client_id) = (disband.encode_to_vec(), &disband.client_msg_id);
    let conversation = disband.conversation_id;
    planning.work::<v1::DisbandGroupRequest>(who, conversation, client_id, &bytes, Action::Disband)
}

pub(super) fn list_members(who: Principal, list: v1::ListMembersRequest) -> Work {
    Work::ask(Size::List(list.limit), move |asking| {
        let id = ConversationId(list.conversation_id);
        let limit = at_most(list.limit, MEMBERS_PAGE.min(asking.page.entries));
        let after = UserId(list.after_user_id);
        let Some(mut members) = asking.reader.members(who.user, id, after, limit + 1)? else {
            return Err(Failure::not_found("no such conversation"));
        };
        let more = members.len() > limit;
        members.truncate(limit);
        told::member(asking, who.user, id, &mut members)?;
        let members = members.iter().map(wire::member).collect();
        Ok(Reply::ListMembers(v1::ListMembersResponse { members, more }).into())
    })
}

/// The people that a request means, for comparing it with another: their order, who is named twice and the creator of a
/// group, who is in it anyway, make no difference.
fn as_set(ids: &[u64], creator: Option<UserId>) -> Vec<u64> {
    let people = ids.iter().copied();
    let others: BTreeSet<u64> = people.filter(|id| Some(UserId(*id)) != creator).collect();
    others.into_iter().collect()
}

fn users(ids: &[u64]) -> Vec<UserId> {
    ids.iter().copied().map(UserId).collect()
}
