//! Requests, short. Client ids that a test does not name are those of one client that never repeats itself.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use protocol::{
    Call, Request,
    v1::{self, Content, EventKind, QualityOfService, Role},
};
use storage::UserId;

/// Not one of a fixture's own.
pub(super) fn fresh() -> Bytes {
    static NEXT: AtomicU64 = AtomicU64::new(1 << 32);
    NEXT.fetch_add(1, Ordering::Relaxed)
        .to_be_bytes()
        .repeat(2)
        .into()
}

/// The conversation of two.
pub(super) fn direct(one: UserId, other: UserId) -> u64 {
    protocol::direct_conversation(one.0, other.0).unwrap().get()
}

pub(super) fn content(text: &str) -> Content {
    Content {
        body: text.to_owned().into(),
        ..Content::default()
    }
}

pub(super) fn text(conversation: u64, text: &str) -> v1::SendRequest {
    v1::SendRequest {
        conversation_id: conversation,
        client_msg_id: fresh(),
        kind: EventKind::Text.into(),
        content: Some(content(text)),
        ..v1::SendRequest::default()
    }
}

pub(super) fn reply_to(conversation: u64, target: u64) -> v1::SendRequest {
    v1::SendRequest {
        content: Some(Content {
            reply_to: target,
            ..content("reply")
        }),
        ..text(conversation, "")
    }
}

pub(super) fn at_most_once(send: v1::SendRequest) -> v1::SendRequest {
    v1::SendRequest {
        quality: QualityOfService::AtMostOnce.into(),
        ..send
    }
}

pub(super) fn edit(conversation: u64, target: u64, to: &str) -> v1::SendRequest {
    v1::SendRequest {
        kind: EventKind::Edit.into(),
        target_seq: target,
        ..text(conversation, to)
    }
}

pub(super) fn recall(conversation: u64, target: u64) -> v1::SendRequest {
    v1::SendRequest {
        kind: EventKind::Recall.into(),
        target_seq: target,
        content: None,
        ..text(conversation, "")
    }
}

pub(super) fn react(conversation: u64, target: u64, reaction: &str) -> v1::SendRequest {
    v1::SendRequest {
        kind: EventKind::Reaction.into(),
        target_seq: target,
        reaction: reaction.into(),
        content: None,
        ..text(conversation, "")
    }
}

pub(super) fn create(name: &str, users: &[UserId]) -> Request {
    v1::CreateGroupRequest {
        client_msg_id: fresh(),
        name: name.into(),
        user_ids: users.iter().map(|user| user.0).collect(),
    }
    .into_request()
}

pub(super) fn add(conversation: u64, users: &[UserId]) -> Request {
    v1::AddMembersRequest {
        conversation_id: conversation,
        client_msg_id: fresh(),
        user_ids: users.iter().map(|user| user.0).collect(),
    }
    .into_request()
}

pub(super) fn remove(conversation: u64, user: UserId) -> Request {
    v1::RemoveMemberRequest {
        conversation_id: conversation,
        client_msg_id: fresh(),
        user_id: user.0,
    }
    .into_request()
}

pub(super) fn leave(conversation: u64) -> Request {
    v1::LeaveGroupRequest {
        conversation_id: conversation,
        client_msg_id: fresh(),
    }
    .into_request()
}

pub(super) fn set_role(conversation: u64, user: UserId, role: Role) -> Request {
    v1::SetRoleRequest {
        conversation_id: conversation,
        client_msg_id: fresh(),
        user_id: user.0,
        role: role.into(),
    }
    .into_request()
}

pub(super) fn rename(conversation: u64, name: &str) -> Request {
    v1::RenameGroupRequest {
        conversation_id: conversation,
        client_msg_id: fresh(),
        name: name.into(),
    }
    .into_request()
}

pub(super) fn disband(conversation: u64) -> Request {
    v1::DisbandGroupRequest {
        conversation_id: conversation,
        client_msg_id: fresh(),
    }
    .into_request()
}

pub(super) fn list_members(conversation: u64) -> Request {
    v1::ListMembersRequest {
        conversation_id: conversation,
        after_user_id: 0,
        limit: 100,
    }
    .into_request()
}

pub(super) fn history(conversation: u64, from: u64) -> v1::HistoryRequest {
    v1::HistoryRequest {
        conversation_id: conversation,
        epoch: 0,
        from_seq: from,
        limit: 100,
        direction: v1::Direction::Forward.into(),
    }
}

pub(super) fn sync(token: &Bytes) -> Request {
    v1::SyncRequest {
        token: token.clone(),
        limit: 100,
    }
    .into_request()
}

pub(super) fn list(before: &Bytes, limit: u32) -> Request {
    v1::ListConversationsRequest {
        before: before.clone(),
        limit,
    }
    .into_request()
}

pub(super) fn get(conversation: u64) -> Request {
    v1::GetConversationRequest {
        conversation_id: conversation,
    }
    .into_request()
}

pub(super) fn typing(conversation: u64) -> Request {
    v1::TypingRequest {
        conversation_id: conversation,
        typing: true,
    }
    .into_request()
}
