//! Frames as they go out: header and body in one piece, encoded once for any number of receivers.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use protocol::{Command, Encoding, Frame, HEADER_BYTES, MessageType, Push, RawPage, Refusal, Reply};
use storage::{Event, Timestamp};

use crate::service::wire;

/// A frame's bytes.
pub fn frame(frame: &Frame) -> Bytes {
    let mut bytes = BytesMut::with_capacity(HEADER_BYTES + frame.body.len());
    match frame.encode(&mut bytes) {
        Ok(()) => bytes.freeze(),
        // Nothing this server builds comes near 4 GiB.
        Err(error) => {
            log::error!("a frame was not sent: {error}");
            Bytes::new()
        }
    }
}

/// An answer's bytes.
pub fn reply(reply: &Reply, encoding: Encoding, seq: u16) -> Bytes {
    frame(&reply.to_frame(encoding, seq))
}

/// A refusal's bytes.
pub fn refusal(refusal: &Refusal, encoding: Encoding, seq: u16) -> Bytes {
    frame(&protocol::encode_error(refusal, encoding, seq))
}

/// A push's bytes.
pub fn push(push: &Push, encoding: Encoding) -> Bytes {
    frame(&push.to_frame(encoding))
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
        Encoding::Protobuf => protobuf(MessageType::request(Command::EventsPush.number()), 0, &page),
        Encoding::Json => push(&Push::EventsPush(page.to_page()), Encoding::Json),
    }
}

/// Header and protobuf body, in one allocation.
pub fn protobuf(kind: MessageType, seq: u16, message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(HEADER_BYTES + length);
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    bytes.put_u16(kind.to_bits());
    bytes.put_u16(seq);
    // The buffer grows by itself, so there is always room.
    if let Err(error) = message.encode(&mut bytes) {
        log::error!("a frame was not encoded: {error}");
    }
    bytes.freeze()
}
