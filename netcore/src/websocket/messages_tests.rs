//! What the codec of a server writes, and what the library answers for it.

use super::*;
use crate::websocket::{Close, CloseCode};
use bytes::Bytes;

#[test]
fn each_kind_of_message_is_a_frame() {
    let close = |code| {
        Message::Close(Close {
            code,
            reason: "why".into(),
        })
    };
    for (message, bytes, beat) in [
        (Message::Text("hi".into()), &b"\x81\x02hi"[..], Beat::Data),
        (Message::Binary("hi".into()), b"\x82\x02hi", Beat::Data),
        (Message::Ping("hi".into()), b"\x89\x02hi", Beat::Ping),
        (Message::Pong("hi".into()), b"\x8a\x02hi", Beat::Pong),
        (close(Some(CloseCode::NORMAL)), b"\x88\x05\x03\xe8why", Beat::Data),
        (close(None), b"\x88\x00", Beat::Data),
        (Message::Fragment, b"", Beat::Pong),
    ] {
        let messages = Messages::new(MessageLimits::default());
        let mut dst = BytesMut::new();
        messages.encode(&message, &mut dst).unwrap();
        assert_eq!(&dst[..], bytes);
        assert_eq!(messages.beat(&message), beat);
    }
}

#[test]
fn a_ping_is_answered_with_its_payload() {
    let messages = Messages::new(MessageLimits::default());
    let mut dst = BytesMut::new();
    messages.encode_beat(Beat::Pong, Some(&Message::Ping(Bytes::from("?"))), &mut dst);
    messages.encode_beat(Beat::Ping, None, &mut dst);
    assert_eq!(&dst[..], b"\x8a\x01?\x89\x00");
}
