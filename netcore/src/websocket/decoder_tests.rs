//! What is a message, what is refused and with which code, and that neither depends on how the bytes arrive.

use super::*;
use crate::codec::Codec;
use crate::codec::cutting::{Cut, cut};
use crate::websocket::{CloseCode, Messages, encode, encode_close, encode_masked};
use proptest::prelude::*;

const LIMITS: MessageLimits = MessageLimits {
    message_bytes: 100_000,
    fragments: 5,
};

const KEY: [u8; 4] = [0x12, 0xff, 0x00, 0x9a];

/// A frame of a client, of any kind.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = encode_masked(Opcode::Binary, payload, KEY).to_vec();
    frame[0] = first;
    frame
}

/// Decodes a stream at once, byte by byte, and in all ways of cutting it in two.
#[track_caller]
fn all_ways(stream: &[u8]) -> Cut<Message, Error> {
    let whole = cut(&mut Messages::new(LIMITS), [stream]);
    assert_eq!(
        cut(&mut Messages::new(LIMITS), stream.chunks(1)),
        whole,
        "byte by byte"
    );
    let step = 1 + stream.len() / 300;
    for at in (1..stream.len()).step_by(step) {
        let (before, behind) = stream.split_at(at);
        assert_eq!(
            cut(&mut Messages::new(LIMITS), [before, behind]),
            whole,
            "in two at {at}"
        );
    }
    whole
}

#[track_caller]
fn messages(stream: &[u8]) -> Vec<Message> {
    let cut = all_ways(stream);
    assert_eq!((cut.error, cut.left), (None, 0));
    cut.frames
}

#[track_caller]
fn refused(stream: &[u8]) -> Error {
    let cut = all_ways(stream);
    cut.error
        .unwrap_or_else(|| panic!("not refused: {:?}", cut.frames))
}

#[test]
fn a_message_of_one_frame_has_any_length() {
    for length in [0, 1, 3, 4, 7, 8, 9, 125, 126, 127, 65_535, 65_536, 100_000] {
        let payload: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        assert_eq!(
            messages(&frame(0x82, &payload)),
            [Message::Binary(payload.into())]
        );
        let text = "x".repeat(length);
        assert_eq!(
            messages(&frame(0x81, text.as_bytes())),
            [Message::Text(text.into())]
        );
    }
}

#[test]
fn a_mask_is_that_of_the_standard() {
    // RFC 6455, section 5.7.
    let hello = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(messages(hello), [Message::Text("Hello".into())]);
    assert_eq!(
        encode_masked(Opcode::Text, b"Hello", [0x37, 0xfa, 0x21, 0x3d]),
        &hello[..]
    );
    for length in 0..40 {
        let payload: Vec<u8> = (0..length).collect();
        let masked = encode_masked(Opcode::Binary, &payload, KEY);
        let expected: Vec<u8> = (0..length).map(|at| at ^ KEY[usize::from(at) % 4]).collect();
        assert_eq!(&masked[6..], expected);
    }
}

#[test]
fn a_message_is_put_together_and_controls_come_between() {
    let stream = [
        frame(0x01, "gr\u{fc}".as_bytes().split_at(3).0),
        frame(0x89, b"ping"),
        frame(0x00, "gr\u{fc}".as_bytes().split_at(3).1),
        frame(0x8a, b""),
        frame(0x80, b"ezi"),
        frame(0x02, b""),
        frame(0x80, b""),
        frame(0x88, &[]),
    ];
    assert_eq!(
        messages(&stream.concat()),
        [
            Message::Fragment,
            Message::Ping("ping".into()),
            Message::Fragment,
            Message::Pong(Bytes::new()),
            Message::Text("gr\u{fc}ezi".into()),
            Message::Fragment,
            Message::Binary(Bytes::new()),
            Message::Close(Close {
                code: None,
                reason: Bytes::new()
            }),
        ]
    );
}

#[test]
fn the_end_has_a_code_and_a_reason() {
    for (code, valid) in [
        (0, false),
        (999, false),
        (1000, true),
        (1003, true),
        (1004, false),
        (1005, false),
        (1006, false),
        (1007, true),
        (1014, true),
        (1015, false),
        (1016, false),
        (2999, false),
        (3000, true),
        (4999, true),
        (5000, false),
        (65535, false),
    ] {
        let stream = frame(0x88, &[&u16::to_be_bytes(code), &b"why"[..]].concat());
        if valid {
            let [Message::Close(close)] = &messages(&stream)[..] else {
                panic!("{code}");
            };
            assert_eq!(
                (close.code.map(CloseCode::get), close.reason()),
                (Some(code), "why")
            );
        } else {
            assert_eq!(refused(&stream), Error::CloseCode, "{code}");
        }
    }
}

#[test]
fn what_breaks_the_protocol_is_refused_with_its_code() {
    let long = u64::MAX.to_be_bytes();
    let length = |first: u8, length: &[u8]| [&[0x82, 0x80 | first], length, &KEY].concat();
    for (stream, error, code) in [
        (frame(0xc1, b""), Error::ReservedBit, 1002),
        (frame(0xa1, b""), Error::ReservedBit, 1002),
        (frame(0x99, b""), Error::ReservedBit, 1002),
        (frame(0x83, b""), Error::Opcode, 1002),
        (frame(0x87, b""), Error::Opcode, 1002),
        (frame(0x8b, b""), Error::Opcode, 1002),
        (frame(0x8f, b""), Error::Opcode, 1002),
        (frame(0x09, b""), Error::FragmentedControl, 1002),
        (frame(0x0a, b""), Error::FragmentedControl, 1002),
        (frame(0x08, b""), Error::FragmentedControl, 1002),
        (frame(0x89, &[0; 126]), Error::LongControl, 1002),
        (frame(0x88, &[0; 65_536]), Error::LongControl, 1002),
        (length(126, &[0, 125]), Error::Length, 1002),
        (length(127, &65_535_u64.to_be_bytes()), Error::Length, 1002),
        (length(127, &long), Error::Length, 1002),
        (length(127, &(1_u64 << 63).to_be_bytes()), Error::Length, 1002),
        (encode(Opcode::Text, b"hi").to_vec(), Error::Unmasked, 1002),
        (encode(Opcode::Ping, b"").to_vec(), Error::Unmasked, 1002),
        (frame(0x80, b""), Error::NothingToContinue, 1002),
        (frame(0x00, b""), Error::NothingToContinue, 1002),
        (
            [frame(0x02, b""), frame(0x82, b"")].concat(),
            Error::Interrupted,
            1002,
        ),
        (
            [frame(0x02, b""), frame(0x01, b"")].concat(),
            Error::Interrupted,
            1002,
        ),
        (frame(0x88, &[3]), Error::CloseCode, 1002),
        (frame(0x88, b"\x03\xe8\xff"), Error::Utf8, 1007),
        (frame(0x81, b"a\xff"), Error::Utf8, 1007),
        (frame(0x81, "\u{fc}".as_bytes().split_at(1).0), Error::Utf8, 1007),
        // The third frame shows that no text can come of it, whatever follows.
        (
            [frame(0x01, b"a"), frame(0x00, b"\xed"), frame(0x00, b"\xa0")].concat(),
            Error::Utf8,
            1007,
        ),
        (
            [frame(0x01, b"\xe2\x82"), frame(0x80, b"")].concat(),
            Error::Utf8,
            1007,
        ),
        (
            length(127, &(1_u64 << 62).to_be_bytes()),
            Error::TooLarge { max: 100_000 },
            1009,
        ),
        (
            length(127, &100_001_u64.to_be_bytes()),
            Error::TooLarge { max: 100_000 },
            1009,
        ),
        (
            [frame(0x02, b"x"), length(127, &100_000_u64.to_be_bytes())]
                .concat()
                .into_iter()
                .enumerate()
                // The second frame continues the first.
                .map(|(at, byte)| if at == 7 { 0 } else { byte })
                .collect(),
            Error::TooLarge { max: 100_000 },
            1009,
        ),
        (
            [frame(0x02, b""), frame(0x00, b"").repeat(5)].concat(),
            Error::TooManyFragments { max: 5 },
            1008,
        ),
    ] {
        assert_eq!(
            refused(&stream),
            error,
            "{}",
            stream[..stream.len().min(30)].escape_ascii()
        );
        assert_eq!(error.close_code().get(), code);
    }
    let five = [frame(0x02, b""), frame(0x00, b"").repeat(3), frame(0x80, b"")].concat();
    assert_eq!(messages(&five).len(), 5);
}

#[test]
fn a_length_is_refused_before_its_payload_has_come() {
    let mut decoder = Messages::new(LIMITS);
    let header = [&[0x82, 0xff][..], &100_001_u64.to_be_bytes()].concat();
    assert!(matches!(decoder.decode(&header), Ok(Decoded::Need { .. })));
    let header = [&header[..], &KEY].concat();
    assert_eq!(decoder.decode(&header), Err(Error::TooLarge { max: 100_000 }));
    // Controls are refused by their first bytes.
    assert_eq!(
        Messages::new(LIMITS).decode(&[0x09]),
        Err(Error::FragmentedControl)
    );
    assert_eq!(
        Messages::new(LIMITS).decode(&[0x89, 0xfe]),
        Err(Error::LongControl)
    );
}

#[test]
fn a_client_reads_what_a_server_sends() {
    let mut client = Decoder::client(LIMITS);
    let close = encode_close(CloseCode::GOING_AWAY, "bye");
    let Ok(Decoded::Frame {
        frame: Message::Close(got),
        used,
    }) = client.decode(&close)
    else {
        panic!("the frame is whole");
    };
    assert_eq!(
        (got.code, got.reason(), used.get()),
        (Some(CloseCode::GOING_AWAY), "bye", close.len())
    );
    assert_eq!(client.decode(&frame(0x81, b"")), Err(Error::Masked));
}

#[test]
fn a_reason_that_is_too_long_loses_whole_characters() {
    let close = encode_close(CloseCode::NORMAL, &"\u{20ac}".repeat(50));
    let Ok(Decoded::Frame {
        frame: Message::Close(got),
        ..
    }) = Decoder::client(LIMITS).decode(&close)
    else {
        panic!("the frame is whole");
    };
    assert_eq!(got.reason(), "\u{20ac}".repeat(41));
}

#[test]
fn nothing_is_held_between_two_messages() {
    let mut messages = Decoder::server(LIMITS);
    let mut used = 0;
    let stream = [frame(0x01, b"a"), frame(0x80, b"b")].concat();
    while used < stream.len() {
        let Ok(Decoded::Frame { used: taken, .. }) = messages.decode(&stream[used..]) else {
            panic!("the frames are whole");
        };
        used += taken.get();
        assert_eq!(messages.is_within_message(), used < stream.len());
    }
}

proptest! {
    #[test]
    fn what_is_sent_arrives_however_it_is_fragmented(
        payload in proptest::collection::vec(any::<u8>(), 0..200),
        text in "\\PC{0,60}",
        sizes in proptest::collection::vec(1_usize..50, 5),
        key in any::<[u8; 4]>(),
    ) {
        for (opcode, payload) in [(Opcode::Binary, &payload[..]), (Opcode::Text, text.as_bytes())] {
            let mut rest = payload;
            let mut stream = Vec::new();
            for (index, size) in sizes.iter().enumerate() {
                let last = index == 4;
                let (part, behind) = rest.split_at(if last { rest.len() } else { rest.len().min(*size) });
                rest = behind;
                let mut frame = encode_masked(if index == 0 { opcode } else { Opcode::Continuation }, part, key).to_vec();
                if !last {
                    frame[0] &= 0x7f;
                }
                stream.extend(frame);
            }
            let cut = all_ways(&stream);
            prop_assert_eq!(cut.error, None);
            let expected = match opcode {
                Opcode::Text => Message::Text(Bytes::copy_from_slice(payload)),
                _ => Message::Binary(Bytes::copy_from_slice(payload)),
            };
            prop_assert_eq!(cut.frames.last(), Some(&expected));
        }
    }

    #[test]
    fn any_frames_give_the_same_however_they_are_cut(
        frames in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..20)), 1..8),
        tail in proptest::collection::vec(any::<u8>(), 0..10),
    ) {
        let mut stream: Vec<u8> = Vec::new();
        for (first, payload) in frames {
            // Mostly without reserved bits.
            stream.extend(frame(if first < 230 { first & 0x8f } else { first }, &payload));
        }
        stream.extend(tail);
        all_ways(&stream);
    }
}
