//! Frames as they go out: header and body in one piece, encoded once for any number of receivers.

use bytes::Bytes;
use protocol::{Command, Encoding, MessageType, Push, RawPage, Refusal, Reply, protobuf_frame};
use storage::{Event, Timestamp};

use crate::service::wire;

/// An answer's bytes.
pub fn reply(reply: &Reply, encoding: Encoding, seq: u16) -> Bytes {
    reply.to_bytes(encoding, seq)
}

/// A refusal's bytes.
pub fn refusal(refusal: &Refusal, encoding: Encoding, seq: u16) -> Bytes {
    encoding.encode_frame(MessageType::ERROR, seq, &refusal.0)
}

/// A push's bytes.
pub fn push(push: &Push, encoding: Encoding) -> Bytes {
    push.to_bytes(encoding)
}

/// The push of one event.
pub fn event(event: &Event, epoch: u64, encoding: Encoding, now: Timestamp) -> Bytes {
    let page = RawPage {
        conversation_id: event.conversation.0,
        epoch,
        from_seq: event.seq.0,
        to_seq: event.seq.0,
        events: vec![wire::raw_event(event, now)],
        head_seq: 0,
    };
    match encoding {
        Encoding::Protobuf => protobuf_frame(MessageType::request(Command::EventsPush.number()), 0, &page),
        Encoding::Json => push(&Push::EventsPush(page.to_page()), Encoding::Json),
    }
}
