//! Headers that lie, streams that break off.

use protocol::{
    Command, MessageType, limits,
    v1::{self, ErrorCode},
};
use tests::harness::{Incoming, hello, text};

use super::Stage;

fn header(length: u32, kind: u16, seq: u16) -> Vec<u8> {
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(kind.to_be_bytes());
    bytes.extend(seq.to_be_bytes());
    bytes
}

#[test]
fn a_length_beyond_the_limit_is_refused_at_the_header() {
    let mut stage = Stage::new();
    let before = limits::HANDSHAKE_FRAME_BYTES_MAX + 1;
    for length in [u32::MAX, 0x8000_0000, 0x7FFF_FFFF, 1 << 20, before] {
        for welcomed in [false, true] {
            let mut conn = if welcomed {
                stage.welcomed()
            } else {
                stage.stranger()
            };
            conn.write(&header(length, Command::Hello.number(), 1));
            assert_eq!(conn.refusal().code(), ErrorCode::FrameTooLarge, "{length}");
            conn.end();
        }
    }
    let ada = stage.daemon.register("ada");
    for length in [
        u32::MAX,
        0x8000_0000,
        0x7FFF_FFFF,
        limits::FRAME_BYTES_DEFAULT + 1,
    ] {
        let mut ada = ada.resumed();
        ada.conn.write(&header(length, Command::Send.number(), 9));
        assert_eq!(ada.conn.refusal().code(), ErrorCode::FrameTooLarge, "{length}");
        ada.conn.end();
    }
    stage.still_serves();
}

#[test]
fn a_frame_of_exactly_the_limit_is_taken() {
    let mut stage = Stage::new();
    // An unknown field fills a frame without meaning anything: tag and length take four bytes.
    let filled = |body: Vec<u8>, limit: usize| {
        let fill = limit - body.len() - 5;
        let mut body = body;
        body.extend([0xC2, 0x3E]);
        body.extend([
            (fill & 0x7F) as u8 | 0x80,
            (fill >> 7 & 0x7F) as u8 | 0x80,
            (fill >> 14) as u8,
        ]);
        body.resize(limit, 0);
        body
    };
    let mut conn = stage.stranger();
    let hello = protocol::Encoding::Protobuf.encode(&hello("exact")).to_vec();
    let body = filled(hello, limits::HANDSHAKE_FRAME_BYTES_MAX as usize);
    conn.write_frame(MessageType::request(Command::Hello.number()), 1, body);
    conn.answer::<v1::Hello>(1).unwrap();

    let mut ada = stage.daemon.register("ada");
    let own = ada.own();
    let send = protocol::Encoding::Protobuf.encode(&text(own, "full")).to_vec();
    let body = filled(send, limits::FRAME_BYTES_DEFAULT as usize);
    ada.conn
        .write_frame(MessageType::request(Command::Send.number()), 900, body);
    assert_eq!(ada.conn.answer::<v1::SendRequest>(900).unwrap().seq, 1);
    stage.still_serves();
}

#[test]
fn reserved_bits_end_the_connection() {
    let mut stage = Stage::new();
    for bits in [0x4000 | Command::Hello.number(), 0xC000 | Command::Hello.number()] {
        let mut conn = stage.stranger();
        conn.write(&header(0, bits, 1));
        assert_eq!(conn.refusal().code(), ErrorCode::Protocol);
        conn.end();
    }
    let mut ada = stage.daemon.register("ada");
    ada.conn.write(&header(0, 0x4000 | Command::Ping.number(), 1));
    assert_eq!(ada.conn.refusal().code(), ErrorCode::Protocol);
    ada.conn.end();
    stage.still_serves();
}

#[test]
fn what_only_a_server_says_is_not_for_clients_to_say() {
    let mut stage = Stage::new();
    let pushes = [
        Command::GoAway,
        Command::EventsPush,
        Command::HeadsPush,
        Command::CursorsPush,
        Command::TransientPush,
        Command::TypingPush,
    ];
    let kinds = pushes
        .iter()
        .map(|push| MessageType::request(push.number()))
        .chain(
            Command::ALL
                .iter()
                .map(|command| MessageType::response(command.number())),
        )
        .chain([MessageType::ERROR]);
    let ada = stage.daemon.register("ada");
    for kind in kinds {
        let mut conn = stage.stranger();
        conn.write_frame(kind, 1, &b""[..]);
        assert_eq!(conn.refusal_of(1).code(), ErrorCode::Protocol, "{kind:?}");
        conn.end();
        let mut ada = ada.resumed();
        ada.conn.write_frame(kind, 900, &b""[..]);
        assert_eq!(ada.conn.refusal_of(900).code(), ErrorCode::Protocol, "{kind:?}");
        ada.conn.end();
    }
    stage.still_serves();
}

#[test]
fn a_request_without_a_seq_or_with_one_in_flight_ends_the_connection() {
    let mut stage = Stage::new();
    let ada = stage.daemon.register("ada");
    let own = ada.own();
    let mut without = ada.resumed();
    let body = protocol::Encoding::Protobuf.encode(&text(own, "no seq"));
    without
        .conn
        .write_frame(MessageType::request(Command::Send.number()), 0, body);
    assert_eq!(without.conn.refusal_of(0).code(), ErrorCode::Protocol);
    without.conn.end();

    // Both in one write, and the store is far slower than the parser.
    let mut twice = ada.resumed();
    let send = text(own, "one");
    let one = protocol::Request::Send(send.clone()).to_frame(protocol::Encoding::Protobuf, 7);
    let mut bytes = bytes::BytesMut::new();
    for _ in 0..50 {
        one.encode(&mut bytes).unwrap();
    }
    let _ = twice.conn.try_write(&bytes);
    let rest = twice.conn.rest();
    let refused = rest.iter().any(
        |incoming| matches!(incoming, Incoming::Refused(7, refusal) if refusal.code() == ErrorCode::Protocol),
    );
    assert!(refused, "{rest:?}");
    let mut ada = ada.resumed();
    ada.get(send);
    assert_eq!(ada.texts(own), ["one"], "one client id, one message");
    stage.still_serves();
}

#[test]
fn a_stream_that_ends_within_a_frame_does_nothing() {
    let mut stage = Stage::new();
    let ada = stage.daemon.register("ada");
    let own = ada.own();
    for cut in [1, 4, 7, 8, 9, 20] {
        let mut stranger = stage.stranger();
        let (_, frame) = stranger.frame(hello("cut"));
        stranger.write(&frame[..cut]);
        stranger.finish();
        stranger.end();
        let mut ada = ada.resumed();
        let (_, frame) = ada.conn.frame(text(own, "never whole"));
        ada.conn.write(&frame[..cut]);
        ada.conn.finish();
        ada.conn.end();
    }
    assert_eq!(
        ada.resumed().page(own, 1, 1).unwrap_err().code(),
        ErrorCode::NotFound
    );
    stage.still_serves();
}

#[test]
fn a_peer_that_says_it_has_finished_still_gets_its_answers() {
    let mut stage = Stage::new();
    let ada = stage.daemon.register("ada");
    let own = ada.own();
    for round in 0..20 {
        let mut ada = ada.resumed();
        let send = ada.conn.submit(text(own, "and that was it"));
        let history = ada.conn.submit(v1::GetUsersRequest {
            user_ids: vec![ada.id],
        });
        ada.conn.finish();
        assert_eq!(ada.conn.answer::<v1::SendRequest>(send).unwrap().seq, round + 1);
        assert_eq!(
            ada.conn
                .answer::<v1::GetUsersRequest>(history)
                .unwrap()
                .users
                .len(),
            1
        );
        // The push of the message may come before the end, and that of the round before, which is planned
        // after its answer, to this connection too.
        assert!(ada.conn.rest().len() <= 2);
    }
    stage.still_serves();
}

#[test]
fn a_connection_that_is_reset_right_after_a_send_has_sent_it_once_or_not_at_all() {
    let mut stage = Stage::new();
    let ada = stage.daemon.register("ada");
    let own = ada.own();
    let sends: Vec<v1::SendRequest> = (0..20).map(|number| text(own, &number.to_string())).collect();
    for send in &sends {
        let mut ada = ada.resumed();
        // Closing with something unread resets: the pong is there, and nobody takes it.
        ada.conn.submit(v1::Ping {});
        ada.conn.stream().peek(&mut [0]).unwrap();
        ada.conn.submit(send.clone());
    }
    // Asked again under the same ids, each is there once, in whatever order they were decided.
    let mut ada = ada.resumed();
    for send in sends {
        ada.get(send);
    }
    let mut numbers: Vec<u32> = ada.texts(own).iter().map(|text| text.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..20).collect::<Vec<u32>>());
    stage.still_serves();
}

#[test]
fn a_peer_that_goes_silent_in_the_middle_is_given_up() {
    let mut stage = Stage::with("[timeouts]\nframe_ms = 300\nheartbeat_ms = 200\nidle_ms = 800\n");
    let ada = stage.daemon.register("ada");
    let own = ada.own();
    let mut half = ada.resumed();
    let (_, frame) = half.conn.frame(text(own, "half"));
    half.conn.write(&frame[..frame.len() / 2]);
    assert_eq!(half.conn.refusal().code(), ErrorCode::Timeout);
    half.conn.end();
    stage = Stage {
        control: stage.control.resumed(),
        ..stage
    };
    stage.still_serves();
}
