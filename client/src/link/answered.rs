//! The event that the answer to a message stands for: what the server would have pushed. It owns how it is put together
//! from the request and its answer; everything in it is in one of the two.

use protocol::v1;

/// The page of one event.
pub(super) fn page(message: v1::SendRequest, sent: &v1::SendResponse, sender_id: u64) -> v1::Page {
    let expires_at = message
        .content
        .as_ref()
        .map_or(0, |content| content.expires_at_ms);
    let expired = expires_at != 0 && expires_at <= sent.sent_at_ms;
    let body = v1::EventBody {
        content: message.content,
        group: None,
        reaction: message.reaction,
        entry: None,
    };
    let empty = body.content.is_none() && body.reaction.is_empty();
    let event = v1::Event {
        conversation_id: sent.conversation_id,
        seq: sent.seq,
        ordinal: sent.ordinal,
        roster: sent.roster,
        sender_id,
        sent_at_ms: sent.sent_at_ms,
        kind: message.kind,
        client_msg_id: message.client_msg_id,
        body: (!expired && !empty).then_some(body),
        expired,
        ..v1::Event::default()
    };
    v1::Page {
        conversation_id: sent.conversation_id,
        epoch: sent.epoch,
        from_seq: sent.seq,
        to_seq: sent.seq,
        events: vec![event],
        head_seq: 0,
    }
}
