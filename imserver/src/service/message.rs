//! Messages: sending, reading them back, and how far somebody is.

use bytes::Bytes;
use prost::Message;
use protocol::{
    AppendCommand, Refusal, Reply,
    v1::{self, ErrorCode, EventKind, QualityOfService},
    validate::{Limits, fits_kind},
};
use storage::{Action, Append, ConversationId, CursorMove, Direction, MessageKinds, Seq, Timestamp};

use super::{
    append::Planning,
    transient,
    work::{Answer, Asking, Body, Failure, Size, Work, at_most},
};
use crate::{message::Effect, principal::Principal, wire};

const SEND: AppendCommand = AppendCommand::of::<v1::SendRequest>();

pub(super) fn send(
    who: Principal,
    mut send: v1::SendRequest,
    planning: &Planning<'_>,
) -> Result<Work, Refusal> {
    if send.quality() == QualityOfService::AtMostOnce {
        return transient::send(who, send, planning);
    }
    Ok(Work::Append(SEND, append(who, &mut send, planning)?))
}

/// The append that a request asks for; its content is taken.
pub(super) fn append(
    who: Principal,
    send: &mut v1::SendRequest,
    planning: &Planning<'_>,
) -> Result<Append, Refusal> {
    // How it is to be delivered is not part of what was asked: a retry may ask for another quality.
    send.quality = 0;
    let canonical = send.encode_to_vec();
    let action = action(send, planning.limits)?;
    planning.append(
        SEND,
        who,
        send.conversation_id,
        &send.client_msg_id,
        &canonical,
        action,
    )
}

pub(super) fn history(who: Principal, history: v1::HistoryRequest) -> Work {
    Work::ask(Size::Events(history.limit), move |asking| {
        answer_history(asking, who, &history)
    })
}

fn answer_history(
    asking: &mut Asking<'_>,
    who: Principal,
    request: &v1::HistoryRequest,
) -> Result<Answer, Failure> {
    let epoch = asking.context.epoch;
    if request.epoch != 0 && request.epoch != epoch {
        let refusal = Refusal::new(ErrorCode::EpochMismatch, "this epoch is over: sync anew");
        return Err(refusal.with_field("epoch").into());
    }
    let Ok(from) = i64::try_from(request.from_seq) else {
        return Err(Refusal::invalid("from_seq", "is not a seq").into());
    };
    let forward = request.direction() == v1::Direction::Forward;
    let page = asking.reader.events(
        who.user,
        ConversationId(request.conversation_id),
        Seq(if forward { from.max(1) as u64 } else { from as u64 }),
        if forward {
            Direction::Forward
        } else {
            Direction::Backward
        },
        at_most(request.limit, asking.page.events),
        asking.page.bytes,
    )?;
    let Some(page) = page else {
        return Err(Failure::not_found("no such conversation"));
    };
    if request.from_seq > page.head.0.saturating_add(1) {
        // Whoever asks for what follows a seq says that it has that.
        let refusal = Refusal::new(ErrorCode::OutOfRange, "beyond the head").with_field("from_seq");
        return Err(Failure::RefusedAnd(refusal, Box::new(Effect::StartOver)));
    }
    let mut raw = wire::page(&page, request.conversation_id, epoch, asking.now);
    wire::fit(&mut raw, forward);
    Ok(Answer {
        body: Body::History(raw),
        effect: Effect::None,
        relay: None,
    })
}

pub(super) fn delivered(who: Principal, delivered: &v1::DeliveredRequest) -> Work {
    let moves = delivered.up_to.iter().map(|head| CursorMove {
        conversation: ConversationId(head.conversation_id),
        user: who.user,
        delivered: Seq(head.seq),
        read: Seq(0),
    });
    Work::Receipts(moves.collect(), Reply::Delivered(v1::Empty {}))
}

pub(super) fn read(who: Principal, read: &v1::ReadRequest) -> Work {
    let moved = CursorMove {
        conversation: ConversationId(read.conversation_id),
        user: who.user,
        delivered: Seq(read.seq),
        read: Seq(read.seq),
    };
    Work::Receipts(vec![moved], Reply::Read(v1::Empty {}))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "which kinds are displayable stands in one table, that of the protocol"
)]
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
        entry: None,
    };
    body.encode_to_vec().into()
}
