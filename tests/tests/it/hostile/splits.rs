//! A stream means the same however it is cut.

use protocol::{Push, Reply, v1};
use tests::{
    harness::{Connection, Incoming, User, text},
    random::Random,
};

use super::Stage;

/// Hello, a message, a ping; each time the same bytes.
fn stream(ada: &User, send: &v1::SendRequest) -> Vec<u8> {
    let mut conn = Connection::to(ada.address);
    let frames = [
        conn.frame(ada.hello_again()).1,
        conn.frame(send.clone()).1,
        conn.frame(v1::Ping {}).1,
    ];
    frames.concat()
}

/// What the three frames are answered with: the first time the message is new and pushed, then it is known.
fn check(conn: &mut Connection, own: u64, pushed: bool) {
    let welcome = conn.answer::<v1::Hello>(1).unwrap();
    assert!(welcome.session.is_some());
    let ack = conn.answer::<v1::SendRequest>(2).unwrap();
    assert_eq!((ack.conversation_id, ack.seq, ack.duplicate), (own, 1, !pushed));
    conn.answer::<v1::Ping>(3).unwrap();
    if pushed {
        assert!(matches!(conn.push(), Push::EventsPush(page) if page.to_seq == 1));
    }
    conn.finish();
    conn.end();
}

#[test]
fn a_stream_means_the_same_at_every_split_point() {
    let mut stage = Stage::new();
    let ada = stage.daemon.register("ada");
    let own = ada.own();
    let bytes = stream(&ada, &text(own, "cut"));
    let mut conn = stage.stranger();
    conn.write(&bytes);
    check(&mut conn, own, true);
    for split in 1..bytes.len() {
        let mut conn = stage.stranger();
        conn.write(&bytes[..split]);
        conn.write(&bytes[split..]);
        check(&mut conn, own, false);
    }
    stage.still_serves();
}

#[test]
fn a_stream_means_the_same_byte_by_byte_and_in_random_pieces() {
    let mut stage = Stage::new();
    let ada = stage.daemon.register("ada");
    let own = ada.own();
    let bytes = stream(&ada, &text(own, "cut"));
    let mut conn = stage.stranger();
    for byte in &bytes {
        conn.write(&[*byte]);
    }
    check(&mut conn, own, true);
    let seed = Random::seed("SPLIT_SEED");
    println!("SPLIT_SEED={seed}");
    let mut random = Random::new(seed);
    for _ in 0..50 {
        let mut conn = stage.stranger();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(1 + random.below(rest.len() as u64) as usize);
            conn.write(piece);
            rest = later;
        }
        check(&mut conn, own, false);
    }
    stage.still_serves();
}

#[test]
fn a_thousand_frames_in_one_write_are_all_answered_and_one_conversations_in_order() {
    const FRAMES: u64 = 1_000;
    let mut stage = Stage::new();
    let mut ada = stage.daemon.register("ada");
    let own = ada.own();
    let mut bytes = Vec::new();
    let mut seqs = Vec::new();
    for number in 0..FRAMES {
        let (seq, frame) = ada.conn.frame(text(own, &number.to_string()));
        seqs.push(seq);
        bytes.extend(frame);
    }
    ada.conn.write(&bytes);
    let (mut acks, mut pushes) = (Vec::new(), Vec::new());
    while acks.len() + pushes.len() < 2 * FRAMES as usize {
        match ada.conn.next() {
            Incoming::Reply(seq, reply) => match *reply {
                Reply::Send(ack) => acks.push((seq, ack.seq)),
                other => panic!("{other:?}"),
            },
            Incoming::Push(Push::EventsPush(page)) => pushes.push(page.to_seq),
            other => panic!("{other:?}"),
        }
    }
    let expected: Vec<(u16, u64)> = seqs.into_iter().zip(1..).collect();
    assert_eq!(acks, expected);
    assert_eq!(pushes, (1..=FRAMES).collect::<Vec<u64>>());
    let texts: Vec<String> = (0..FRAMES).map(|number| number.to_string()).collect();
    assert_eq!(ada.texts(own), texts);
    stage.still_serves();
}

#[test]
fn a_thousand_requests_of_every_kind_in_one_write_are_each_answered_once() {
    const ROUNDS: u64 = 200;
    let mut stage = Stage::new();
    let mut ada = stage.daemon.register("ada");
    let own = ada.own();
    ada.text(own, "something to read");
    ada.pushed();
    let id = ada.id;
    let mut bytes = Vec::new();
    let mut open = std::collections::BTreeSet::new();
    let mut add = |(seq, frame): (u16, bytes::Bytes)| {
        open.insert(seq);
        bytes.extend(frame);
    };
    for _ in 0..ROUNDS {
        add(ada.conn.frame(v1::Ping {}));
        add(ada.conn.frame(v1::GetUsersRequest { user_ids: vec![id] }));
        add(ada.conn.frame(v1::HistoryRequest {
            conversation_id: own,
            from_seq: 1,
            limit: 1,
            ..v1::HistoryRequest::default()
        }));
        add(ada.conn.frame(v1::ReadRequest {
            conversation_id: own,
            seq: 1,
        }));
        add(ada.conn.frame(v1::TypingRequest {
            conversation_id: own,
            typing: true,
        }));
    }
    ada.conn.write(&bytes);
    while !open.is_empty() {
        match ada.conn.next() {
            Incoming::Reply(seq, _) => assert!(open.remove(&seq), "{seq} was answered twice"),
            Incoming::Push(Push::CursorsPush(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    stage.still_serves();
}
