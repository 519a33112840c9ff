//! Bodies in both encodings: round trips, strangers, damage.

use proptest::prelude::*;

use super::*;
use crate::samples;

const ENCODINGS: [Encoding; 2] = [Encoding::Protobuf, Encoding::Json];

fn invalid<T: std::fmt::Debug>(result: Result<T, Refusal>) {
    assert_eq!(result.unwrap_err().code(), ErrorCode::Invalid);
}

macro_rules! survives {
    ($type:ident, $values:expr) => {
        for value in $values {
            for encoding in ENCODINGS {
                let bytes = value.encode(encoding);
                let read = $type::decode(value.command(), encoding, bytes.clone()).unwrap();
                assert_eq!(read, value);
                assert_eq!(read.encode(encoding), bytes, "the same value has the same bytes");
                let empty = $type::decode(value.command(), encoding, Bytes::new()).unwrap();
                let bytes = empty.encode(encoding);
                assert_eq!($type::decode(value.command(), encoding, bytes).unwrap(), empty);
            }
        }
    };
}

#[test]
fn every_body_survives_both_encodings() {
    survives!(Request, samples::requests());
    survives!(Request, samples::sends().into_iter().map(Request::Send));
    survives!(Reply, samples::replies());
    survives!(Push, samples::pushes());
    for encoding in ENCODINGS {
        let frame = encode_error(&samples::refusal(), encoding, 5);
        assert_eq!((frame.kind, frame.seq), (MessageType::ERROR, 5));
        assert_eq!(encoding.decode(frame.body), Ok(samples::refusal().0));
    }
}

#[test]
fn frames_say_what_they_hold() {
    let request = samples::requests().remove(0).to_frame(Encoding::Protobuf, 9);
    assert_eq!((request.kind.to_bits(), request.seq), (1001, 9));
    let reply = samples::replies().remove(0).to_frame(Encoding::Protobuf, 9);
    assert_eq!((reply.kind.to_bits(), reply.seq), (0x8000 | 1001, 9));
    let push = samples::pushes().remove(0).to_frame(Encoding::Protobuf);
    assert_eq!((push.kind.to_bits(), push.seq), (1100, 0));
}

#[test]
fn the_bytes_of_a_frame_are_those_of_its_header_and_its_body() {
    let written = |frame: Frame| {
        let mut bytes = bytes::BytesMut::new();
        frame.encode(&mut bytes).unwrap();
        bytes.freeze()
    };
    for encoding in ENCODINGS {
        for request in samples::requests() {
            assert_eq!(
                request.to_bytes(encoding, 9),
                written(request.to_frame(encoding, 9))
            );
        }
        for reply in samples::replies() {
            assert_eq!(
                reply.to_bytes(encoding, 0x1234),
                written(reply.to_frame(encoding, 0x1234))
            );
        }
        for push in samples::pushes() {
            assert_eq!(push.to_bytes(encoding), written(push.to_frame(encoding)));
        }
        let refusal = samples::refusal();
        assert_eq!(
            encoding.encode_frame(MessageType::ERROR, 5, &refusal.0),
            written(encode_error(&refusal, encoding, 5))
        );
    }
}

#[test]
fn a_hello_that_starts_with_a_brace_is_json() {
    assert_eq!(Encoding::of_hello(b"{\"magic\":1229804337}"), Encoding::Json);
    assert_eq!(Encoding::of_hello(b"{"), Encoding::Json);
    for other in [&b""[..], b" {", b"\xEF\xBB\xBF{", b"[", b"\x0D\x31SMI"] {
        assert_eq!(Encoding::of_hello(other), Encoding::Protobuf);
    }
    for request in samples::requests().into_iter().take(1) {
        for encoding in ENCODINGS {
            assert_eq!(Encoding::of_hello(&request.encode(encoding)), encoding);
        }
    }
}

#[test]
fn json_is_written_as_published() {
    let cursor = v1::CursorsPush {
        cursors: vec![v1::Cursor {
            conversation_id: 1 << 61,
            user_id: 7,
            delivered_seq: 2,
            read_seq: 0,
        }],
    };
    assert_eq!(
        Push::CursorsPush(cursor).encode(Encoding::Json),
        r#"{"cursors":[{"conversation_id":"2305843009213693952","user_id":"7","delivered_seq":"2"}]}"#
    );
    let limits = v1::Limits {
        frame_bytes_max: 65_536,
        ..v1::Limits::default()
    };
    assert_eq!(Encoding::Json.encode(&limits), r#"{"frame_bytes_max":65536}"#);
    let pong = v1::Pong {
        sync_token: Bytes::from_static(&[0xFB, 0xFF, 0]),
        server_time_ms: 0,
    };
    assert_eq!(Encoding::Json.encode(&pong), r#"{"sync_token":"+/8A"}"#);
}

#[test]
fn json_is_read_generously() {
    let read =
        |text: &'static str| Encoding::Json.decode::<v1::SendRequest>(Bytes::from_static(text.as_bytes()));
    let expected = v1::SendRequest {
        conversation_id: 7,
        client_msg_id: Bytes::from_static(&[0xFB, 0xFF]),
        kind: 1,
        ..v1::SendRequest::default()
    };
    for text in [
        r#"{"conversation_id":"7","client_msg_id":"+/8=","kind":"EVENT_KIND_TEXT"}"#,
        r#"{"conversation_id":7,"client_msg_id":"-_8","kind":1}"#,
        r#" { "conversationId" : 7, "clientMsgId": "+/8", "kind": 1, "content": null, "of_the_future": [{}] } "#,
    ] {
        assert_eq!(read(text).as_ref(), Ok(&expected), "{text}");
    }
    for text in [
        "[]",
        "null",
        "{",
        r#"{"conversation_id":-1}"#,
        r#"{"conversation_id":"18446744073709551616"}"#,
        r#"{"client_msg_id":"?"}"#,
        r#"{"kind":"EVENT_KIND_SMELL"}"#,
        r#"{"conversation_id":7,"conversation_id":8}"#,
        r#"{} {}"#,
        "{\"reaction\":\"\u{1}\"}",
    ] {
        invalid(read(text));
    }
    invalid(Encoding::Json.decode::<v1::LoginRequest>(Bytes::from_static(b"{\"name\":\"\xFF\"}")));
}

/// Field 1000, a varint; field 2000, bytes; field 3000, a group of a fixed32.
const STRANGERS: &[u8] = &[
    0xC0, 0x3E, 0x05, 0x82, 0x7D, 0x01, 0x61, 0xC3, 0xBB, 0x01, 0x0D, 1, 2, 3, 4, 0xC4, 0xBB, 0x01,
];

#[test]
fn unknown_fields_are_ignored() {
    for request in samples::requests() {
        let bytes = [STRANGERS, &request.encode(Encoding::Protobuf), STRANGERS].concat();
        let read = Request::decode(request.command(), Encoding::Protobuf, bytes.into());
        assert_eq!(read.as_ref(), Ok(&request));
        let json = request.encode(Encoding::Json);
        let text = std::str::from_utf8(&json).unwrap();
        let comma = if text == "{}" { "" } else { "," };
        let text = format!(r#"{{"of_the_future":{{"a":[1,null,"x"]}}{comma}{}"#, &text[1..]);
        let read = Request::decode(request.command(), Encoding::Json, text.into());
        assert_eq!(read.as_ref(), Ok(&request));
    }
}

#[test]
fn unknown_enumerated_numbers_pass_through() {
    let event = v1::Event {
        kind: 31,
        ..samples::event()
    };
    let page = v1::Page {
        events: vec![event],
        ..samples::page()
    };
    for encoding in ENCODINGS {
        let bytes = encoding.encode(&page);
        assert!(!bytes.is_empty());
        let read: v1::Page = encoding.decode(bytes).unwrap();
        assert_eq!(read, page);
        assert_eq!(read.events[0].kind(), v1::EventKind::Unspecified);
    }
    let json = Encoding::Json.encode(&page);
    assert!(std::str::from_utf8(&json).unwrap().contains(r#""kind":31"#));
}

#[test]
fn damaged_protobuf_is_invalid() {
    let read = |bytes: &[u8]| Encoding::Protobuf.decode::<v1::SendRequest>(Bytes::copy_from_slice(bytes));
    let damaged: [&[u8]; 9] = [
        &[0x08], // a varint that ends before it begins
        &[
            0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1,
        ], // eleven bytes of varint
        &[0x12, 0x05, 1, 2], // longer than the rest
        &[0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F], // far longer
        &[0x0A, 0x00], // conversation_id as bytes
        &[0x00, 0x01], // field number 0
        &[0x0F], // no such wire type
        &[0x0C], // the end of no group
        &[0x32, 0x01, 0xFF], // a string that is not UTF-8
    ];
    for bytes in damaged {
        invalid(read(bytes));
    }
    let nested_groups = [0x7B].repeat(10_000);
    invalid(read(&nested_groups));
    let nested_lists = "[".repeat(10_000);
    invalid(Encoding::Json.decode::<v1::SendRequest>(format!(r#"{{"x":{nested_lists}"#).into()));
}

#[test]
fn every_cut_of_a_body_is_read_or_refused() {
    let request = samples::requests().remove(0);
    for encoding in ENCODINGS {
        let bytes = request.encode(encoding);
        for end in 1..bytes.len() {
            if let Err(refusal) = Request::decode(request.command(), encoding, bytes.slice(..end)) {
                assert_eq!(refusal.code(), ErrorCode::Invalid);
            } else {
                assert_eq!(encoding, Encoding::Protobuf, "half a JSON object is none");
            }
        }
    }
}

#[test]
fn a_repeated_singular_field_counts_last() {
    let mut twice = Encoding::Protobuf
        .encode(&v1::FindUserRequest { name: "a".to_owned() })
        .to_vec();
    twice.extend_from_slice(&Encoding::Protobuf.encode(&v1::FindUserRequest { name: "b".to_owned() }));
    let read: v1::FindUserRequest = Encoding::Protobuf.decode(twice.into()).unwrap();
    assert_eq!(read.name, "b");
}

#[test]
fn a_refusal_repeats_little_of_what_it_refuses() {
    let body = format!(r#"{{"kind":"{}"}}"#, "K".repeat(60_000));
    let refusal = Encoding::Json.decode::<v1::SendRequest>(body.into()).unwrap_err();
    assert!(refusal.0.message.len() <= crate::ERROR_MESSAGE_BYTES_MAX);
}

#[test]
fn bodies_are_cut_out_without_copying() {
    let content = v1::Content {
        body: Bytes::from(vec![7; 1_000]),
        ..v1::Content::default()
    };
    let bytes = Encoding::Protobuf.encode(&content);
    let read: v1::Content = Encoding::Protobuf.decode(bytes.clone()).unwrap();
    assert!(bytes.as_ptr_range().contains(&read.body.as_ptr()));
}

fn raw_event(event: &v1::Event) -> RawEvent {
    RawEvent {
        conversation_id: event.conversation_id,
        seq: event.seq,
        ordinal: event.ordinal,
        roster: event.roster,
        sender_id: event.sender_id,
        sent_at_ms: event.sent_at_ms,
        kind: event.kind,
        target_seq: event.target_seq,
        client_msg_id: event.client_msg_id.to_vec(),
        body: event.body.as_ref().map(|body| body.encode_to_vec().into()),
        recalled: event.recalled,
        expired: event.expired,
        revision: event.revision.clone(),
        reactions: event.reactions.clone(),
        reactions_total: event.reactions_total,
    }
}

fn raw_page(page: &v1::Page) -> RawPage {
    RawPage {
        conversation_id: page.conversation_id,
        epoch: page.epoch,
        from_seq: page.from_seq,
        to_seq: page.to_seq,
        events: page.events.iter().map(raw_event).collect(),
        head_seq: page.head_seq,
    }
}

/// Pages whose fields are each there or not, so that every tag is seen alone and in company.
fn pages() -> impl Strategy<Value = v1::Page> {
    let event = (any::<[bool; 15]>(), any::<u64>()).prop_map(|(there, number)| {
        let full = samples::event();
        let or_not = |index: usize, value: u64| if there[index] { value } else { 0 };
        v1::Event {
            conversation_id: or_not(0, number),
            seq: or_not(1, full.seq),
            ordinal: or_not(2, number >> 7),
            roster: or_not(3, full.roster),
            sender_id: or_not(4, full.sender_id),
            sent_at_ms: or_not(5, full.sent_at_ms),
            kind: if there[6] { number as i32 } else { 0 },
            target_seq: or_not(7, full.target_seq),
            client_msg_id: if there[8] {
                full.client_msg_id
            } else {
                Bytes::new()
            },
            body: match (there[9], number % 2) {
                (false, _) => None,
                (true, 0) => Some(v1::EventBody::default()),
                (true, _) => full.body,
            },
            recalled: there[10],
            expired: there[11],
            revision: full.revision.filter(|_| there[12]),
            reactions: if there[13] { full.reactions } else { Vec::new() },
            reactions_total: or_not(14, 3) as u32,
        }
    });
    (proptest::collection::vec(event, 0..4), any::<[u64; 5]>()).prop_map(|(events, numbers)| v1::Page {
        conversation_id: numbers[0],
        epoch: numbers[1],
        from_seq: numbers[2],
        to_seq: numbers[3],
        events,
        head_seq: numbers[4],
    })
}

proptest! {
    #[test]
    fn a_raw_page_is_the_same_bytes(page in pages()) {
        let raw = raw_page(&page);
        let bytes = page.encode_to_vec();
        prop_assert_eq!(&raw.encode_to_vec(), &bytes);
        prop_assert_eq!(raw.to_page(), page);
        prop_assert_eq!(RawPage::decode(bytes.as_slice()).unwrap(), raw);
    }

    #[test]
    fn any_bytes_are_read_or_invalid(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        for command in Command::ALL {
            for encoding in ENCODINGS {
                if let Err(refusal) = Request::decode(*command, encoding, bytes.clone().into()) {
                    let expected = if command.is_push() { ErrorCode::Protocol } else { ErrorCode::Invalid };
                    prop_assert_eq!(refusal.code(), expected);
                }
            }
        }
    }
}

#[test]
fn a_damaged_body_costs_the_body_alone() {
    let mut raw = raw_page(&samples::page());
    raw.events[0].body = Some(Bytes::from_static(&[0x0A, 0x05]));
    raw.events.push(raw_event(&samples::event()));
    let mut expected = v1::Page {
        events: vec![samples::event(), samples::event()],
        ..samples::page()
    };
    expected.events[0].body = None;
    assert_eq!(raw.to_page(), expected);
}
