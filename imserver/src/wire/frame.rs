//! Frames as they go out: header and body in one piece, encoded once for any number of receivers.

use bytes::Bytes;
use prost::Message;
use protocol::{Command, Encoding, MessageType, Push, RawPage, Refusal, Reply, protobuf_frame, v1};
use storage::{Event, Timestamp};

use super::{Format, convert};

/// An answer's bytes.
pub(crate) fn reply(reply: &Reply, format: Format, seq: u16) -> Bytes {
    format.dress(reply.to_bytes(format.encoding(), seq))
}

/// The bytes of an answer that is a page of history.
pub(crate) fn history(page: RawPage, format: Format, seq: u16) -> Bytes {
    match format.encoding() {
        Encoding::Json => reply(
            &Reply::History(v1::HistoryResponse {
                page: Some(page.to_page()),
            }),
            format,
            seq,
        ),
        Encoding::Protobuf => {
            let kind = MessageType::response(Command::History.number());
            format.dress(protobuf_frame(kind, seq, &RawHistory { page: Some(page) }))
        }
    }
}

/// [`v1::HistoryResponse`] over a raw page: the same bytes.
#[derive(Clone, PartialEq, Message)]
struct RawHistory {
    #[prost(message, optional, tag = "1")]
    page: Option<RawPage>,
}

/// A refusal's bytes.
pub(crate) fn refusal(refusal: &Refusal, format: Format, seq: u16) -> Bytes {
    format.dress(
        format
            .encoding()
            .encode_frame(MessageType::ERROR, seq, &refusal.0),
    )
}

/// A push's bytes.
pub(crate) fn push(push: &Push, format: Format) -> Bytes {
    format.dress(push.to_bytes(format.encoding()))
}

/// The push of one event.
pub(crate) fn event(event: &Event, epoch: u64, format: Format, now: Timestamp) -> Bytes {
    let page = RawPage {
        conversation_id: event.conversation.0,
        epoch,
        from_seq: event.seq.0,
        to_seq: event.seq.0,
        events: vec![convert::raw_event(event, now)],
        head_seq: 0,
    };
    match format.encoding() {
        Encoding::Protobuf => format.dress(protobuf_frame(
            MessageType::request(Command::EventsPush.number()),
            0,
            &page,
        )),
        Encoding::Json => push(&Push::EventsPush(page.to_page()), format),
    }
}
