//! What passes through a conversation without being stored: typing, and messages that are delivered at most once.

use std::sync::Arc;

use protocol::{
    ConversationClass, Push, Refusal, Reply,
    v1::{self, ErrorCode},
};
use storage::{Append, ConversationId, ConversationView, Direction, Refused, Seq, UserId, entry};

use super::{
    append::Planning,
    message,
    work::{Answer, Asking, Failure, Relay, Work},
};
use crate::{principal::Principal, wire};

pub(super) fn typing(who: Principal, typing: v1::TypingRequest) -> Work {
    Work::relay(move |asking| {
        let push = Push::TypingPush(v1::TypingPush {
            conversation_id: typing.conversation_id,
            user_id: who.user.0,
            typing: typing.typing,
        });
        let id = ConversationId(typing.conversation_id);
        let shown = asking.context.config.groups.receipts_up_to;
        let members = present_members(asking, who.user, id, Some(shown))?;
        Ok(Answer {
            relay: Some(Relay { members, push }),
            ..Reply::Typing(v1::Empty {}).into()
        })
    })
}

pub(super) fn send(who: Principal, send: v1::SendRequest, planning: &Planning<'_>) -> Result<Work, Refusal> {
    // As which it would be stored: it may have been, under the same client id.
    let append = message::append(who, &mut send.clone(), planning)?;
    Ok(Work::relay(move |asking| pass_on(asking, who, send, &append)))
}

fn pass_on(
    asking: &mut Asking<'_>,
    who: Principal,
    send: v1::SendRequest,
    append: &Append,
) -> Result<Answer, Failure> {
    if let Some(answer) = stored_before(asking, who.user, &send, append)? {
        return Ok(Reply::Send(answer).into());
    }
    let now = asking.now.0;
    let answer = Reply::Send(v1::SendResponse {
        conversation_id: send.conversation_id,
        epoch: asking.context.epoch,
        sent_at_ms: now,
        ..v1::SendResponse::default()
    });
    let members = present_members(asking, who.user, append.conversation, None)?;
    let expires_at = send.content.as_ref().map_or(0, |content| content.expires_at_ms);
    let push = Push::TransientPush(v1::TransientPush {
        conversation_id: send.conversation_id,
        sender_id: who.user.0,
        kind: send.kind,
        content: send.content,
        client_msg_id: send.client_msg_id,
    });
    // From that time on its body is shown to nobody: so it is for nobody.
    let is_shown = expires_at == 0 || expires_at > now;
    Ok(Answer {
        relay: is_shown.then_some(Relay { members, push }),
        ..answer.into()
    })
}

/// Whether what is not to be stored was stored before under the same client id: then that is the answer. And whether
/// what it replies to is there.
fn stored_before(
    asking: &mut Asking<'_>,
    user: UserId,
    send: &v1::SendRequest,
    append: &Append,
) -> Result<Option<v1::SendResponse>, Failure> {
    let id = append.conversation;
    if let Some((event, fingerprint)) = asking.reader.made_by(id, user, append.client_id)? {
        if fingerprint != append.fingerprint {
            return Err(wire::refused(Refused::Conflict).into());
        }
        return Ok(Some(wire::sent(&event, true, asking.context.epoch)));
    }
    let reply_to = send.content.as_ref().map_or(0, |content| content.reply_to);
    if reply_to != 0 {
        let page = asking
            .reader
            .events(user, id, Seq(reply_to), Direction::Forward, 1, 0)?;
        let first = page.and_then(|page| page.events.into_iter().next());
        let is_there = first.is_some_and(|view| {
            let event = &view.event;
            event.seq == Seq(reply_to) && event.kind.is_displayable()
        });
        if !is_there {
            return Err(wire::refused(Refused::NotFound).into());
        }
    }
    Ok(None)
}

/// Members at this moment, or none of them where the group is larger than `members_max`. Of two people and of one that
/// is known without a first message.
fn present_members(
    asking: &mut Asking<'_>,
    user: UserId,
    id: ConversationId,
    members_max: Option<u32>,
) -> Result<Arc<[UserId]>, Failure> {
    let not_found = || Failure::not_found("no such conversation");
    match protocol::ConversationId::parse(id.0).map(protocol::ConversationId::class) {
        Some(ConversationClass::Group) => {}
        Some(ConversationClass::Own { user: owner }) if UserId(owner) == user => {
            return Ok(Arc::new([user]));
        }
        Some(ConversationClass::Direct { low, high }) => {
            let both = [UserId(low), UserId(high)];
            let exist = both.contains(&user) && asking.reader.users(&both)?.len() == both.len();
            if !exist {
                return Err(not_found());
            }
            let peer = if both[0] == user { both[1] } else { both[0] };
            let open = match asking.reader.conversation(user, id)? {
                Some(view) => !view.closed,
                None => entry::may_begin(&asking.reader.entry_classes(&entry::of_first_word(user, peer))?),
            };
            return if open {
                Ok(Arc::new(both))
            } else {
                Err(wire::refused(Refused::Forbidden).into())
            };
        }
        _ => return Err(not_found()),
    }
    let Some(view) = asking.reader.conversation(user, id)? else {
        return Err(not_found());
    };
    if let Some(refusal) = closed_to(&view) {
        return Err(refusal.into());
    }
    if members_max.is_some_and(|max| view.member_count > max) {
        return Ok(Arc::new([]));
    }
    Ok(asking.reader.members_at(id, view.roster)?)
}

fn closed_to(view: &ConversationView) -> Option<Refusal> {
    if !view.member {
        Some(Refusal::new(ErrorCode::Forbidden, "not a member any more"))
    } else if view.disbanded {
        Some(Refusal::new(ErrorCode::Gone, "the group is disbanded"))
    } else {
        None
    }
}
