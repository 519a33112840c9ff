//! Requests that append an event: how each becomes a write.

use std::collections::BTreeSet;

use bytes::Bytes;
use prost::Message;
use protocol::{
    ClientMessageId, Refusal, Request,
    v1::{self, EventKind},
    validate::{Limits, fits_kind},
};
use storage::{Action, Append, ClientId, ConversationId, MessageKinds, Seq, Timestamp, UserId};

use super::wire;
use crate::token;

/// The append that a validated request asks for; `None` for a request that appends nothing, which stays as it is. Of
/// any other the content is taken.
///
/// # Errors
/// A field that validation lets through but no append can use.
pub fn from_request(
    sender: UserId,
    request: &mut Request,
    at: Timestamp,
    limits: &Limits,
) -> Result<Option<Append>, Refusal> {
    let command = request.command().number();
    let make = |conversation: u64, client_id: &Bytes, canonical: Vec<u8>, action: Action| {
        let client_id = ClientMessageId::parse(client_id)
            .ok_or_else(|| Refusal::invalid("client_msg_id", "must have 16 bytes"))?;
        let client_id = ClientId(client_id.0);
        let conversation = match &action {
            Action::CreateGroup { .. } => token::group_id(sender, client_id),
            _ => ConversationId(conversation),
        };
        let fingerprint = token::fingerprint(command, &canonical);
        Ok(Some(Append {
            conversation,
            sender,
            client_id,
            fingerprint,
            at,
            action,
        }))
    };
    match request {
        Request::Send(send) => {
            // How it is to be delivered is not part of what was asked: a retry may ask for another quality.
            send.quality = 0;
            let canonical = send.encode_to_vec();
            let action = action(send, limits)?;
            make(send.conversation_id, &send.client_msg_id, canonical, action)
        }
        Request::CreateGroup(create) => make(
            0,
            &create.client_msg_id,
            v1::CreateGroupRequest {
                user_ids: as_set(&create.user_ids, Some(sender)),
                ..create.clone()
            }
            .encode_to_vec(),
            Action::CreateGroup {
                name: create.name.clone(),
                members: users(&create.user_ids),
            },
        ),
        Request::AddMembers(add) => make(
            add.conversation_id,
            &add.client_msg_id,
            v1::AddMembersRequest {
                user_ids: as_set(&add.user_ids, None),
                ..add.clone()
            }
            .encode_to_vec(),
            Action::AddMembers {
                users: users(&add.user_ids),
            },
        ),
        Request::RemoveMember(remove) => make(
            remove.conversation_id,
            &remove.client_msg_id,
            remove.encode_to_vec(),
            Action::RemoveMember {
                user: UserId(remove.user_id),
            },
        ),
        Request::LeaveGroup(leave) => make(
            leave.conversation_id,
            &leave.client_msg_id,
            leave.encode_to_vec(),
            Action::Leave,
        ),
        Request::SetRole(set) => {
            let role = wire::role(set.role()).ok_or_else(|| Refusal::invalid("role", "is not a role"))?;
            make(
                set.conversation_id,
                &set.client_msg_id,
                set.encode_to_vec(),
                Action::SetRole {
                    user: UserId(set.user_id),
                    role,
                },
            )
        }
        Request::RenameGroup(rename) => make(
            rename.conversation_id,
            &rename.client_msg_id,
            rename.encode_to_vec(),
            Action::Rename {
                name: rename.name.clone(),
            },
        ),
        Request::DisbandGroup(disband) => make(
            disband.conversation_id,
            &disband.client_msg_id,
            disband.encode_to_vec(),
            Action::Disband,
        ),
        _ => Ok(None),
    }
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

fn action(send: &mut v1::SendRequest, limits: &Limits) -> Result<Action, Refusal> {
    let target = Seq(send.target_seq);
    match send.kind() {
        EventKind::Edit => Ok(Action::Edit {
            target,
            fits: kinds(send.content.as_ref(), limits),
            body: body(send),
        }),
        EventKind::Recall => Ok(Action::Recall { target }),
        EventKind::Reaction => Ok(Action::React {
            target,
            reaction: send.reaction.clone(),
            body: body(send),
        }),
        kind if protocol::validate::is_displayable(kind) => {
            let content = send.content.as_ref();
            let expires_at = content.map_or(0, |content| content.expires_at_ms);
            let reply_to = content.map_or(0, |content| content.reply_to);
            if expires_at > i64::MAX as u64 {
                return Err(Refusal::invalid("content.expires_at_ms", "is not a time"));
            }
            if reply_to > i64::MAX as u64 {
                return Err(Refusal::invalid("content.reply_to", "is not a seq"));
            }
            Ok(Action::Message {
                // Displayable kinds are 1 to 31.
                kind: kind as i32 as u8,
                body: body(send),
                expires_at: Timestamp(expires_at),
                reply_to: Seq(reply_to),
            })
        }
        _ => Err(Refusal::invalid("kind", "cannot be sent")),
    }
}

/// The kinds of messages that could be sent with a content.
fn kinds(content: Option<&v1::Content>, limits: &Limits) -> MessageKinds {
    let Some(content) = content else {
        return MessageKinds::NONE;
    };
    let all = (1..=31_u8).filter(|number| {
        // A kind that this release does not know cannot be checked by it.
        EventKind::try_from(i32::from(*number)).is_ok_and(|kind| fits_kind(content, kind, limits))
    });
    all.fold(MessageKinds::NONE, MessageKinds::and)
}

fn body(send: &mut v1::SendRequest) -> Bytes {
    let body = v1::EventBody {
        content: send.content.take(),
        group: None,
        reaction: send.reaction.clone(),
    };
    body.encode_to_vec().into()
}
