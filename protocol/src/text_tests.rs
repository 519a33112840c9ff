use super::{TextError, frame_of_text, put_text};
use crate::{Encoding, Push, Refusal, Reply, Request, encode_error, samples, v1};

fn text(frame: &[u8]) -> String {
    let mut out = Vec::new();
    put_text(frame, &mut out).expect("a frame");
    String::from_utf8(out).expect("JSON is UTF-8")
}

#[test]
fn each_kind_of_frame_has_its_text() {
    let reply = Reply::Ping(v1::Pong {
        server_time_ms: 7,
        ..v1::Pong::default()
    });
    assert_eq!(
        text(&reply.to_bytes(Encoding::Json, 5)),
        r#"{"type":"ping","seq":5,"answer":true,"body":{"server_time_ms":"7"}}"#
    );
    let refusal = Refusal::new(v1::ErrorCode::NotFound, "no such user");
    let mut frame = bytes::BytesMut::new();
    encode_error(&refusal, Encoding::Json, 6)
        .encode(&mut frame)
        .expect("short");
    let refused = text(&frame);
    assert!(
        refused.starts_with(r#"{"type":"error","seq":6,"error":{"#),
        "{refused}"
    );
    let push = Push::GoAway(v1::GoAway::default());
    assert_eq!(
        text(&push.to_bytes(Encoding::Json)),
        r#"{"type":"go_away","body":{}}"#
    );
}

#[test]
fn every_request_survives_the_way_as_a_text() {
    for request in samples::requests() {
        let command = request.command();
        let body = String::from_utf8(request.encode(Encoding::Json).to_vec()).expect("JSON");
        let text = format!(
            r#"{{"body": {body}, "seq": 9, "type": "{}", "more": [1]}}"#,
            command.name()
        );
        let frame = frame_of_text(&text).expect("a request");
        assert_eq!(frame, request.to_frame(Encoding::Json, 9));
        let decoded = <Request as crate::Decode>::decode(command, Encoding::Json, frame.body);
        assert_eq!(decoded, Ok(request));
    }
}

#[test]
fn a_missing_body_is_an_empty_one() {
    for text in [r#"{"type":"ping"}"#, r#"{"type":"ping","seq":0,"body":null}"#] {
        let frame = frame_of_text(text).expect("a ping");
        assert!(frame.body.is_empty() && frame.seq == 0);
    }
}

#[test]
fn what_is_no_request_is_said() {
    for text in [
        "",
        "1",
        "[]",
        "{}",
        r#"{"type":5}"#,
        r#"{"type":"ping","seq":70000}"#,
        r#"{"type":"ping","seq":-1}"#,
        r#"{"type":"ping"} {"type":"ping"}"#,
        r#"{"type":"ping","type":"ping"}"#,
    ] {
        let error = frame_of_text(text).expect_err(text);
        assert!(matches!(error, TextError::NoFrame { .. }), "{text}: {error}");
    }
    let long = format!(r#"{{"type":"{}","seq":3}}"#, "ü".repeat(100));
    let Err(TextError::UnknownCommand { name, seq: 3 }) = frame_of_text(&long) else {
        panic!("an unknown command");
    };
    assert!(name.len() <= 40);
}

#[test]
fn what_is_no_frame_has_no_text() {
    let mut out = Vec::new();
    for frame in [
        &b""[..],
        &[0; 7],
        &[0, 0, 0, 1, 0, 1, 0, 0],
        &[0, 0, 0, 0, 0x3F, 0xFF, 0, 0],
    ] {
        assert_eq!(put_text(frame, &mut out), None);
    }
    assert!(out.is_empty());
}
