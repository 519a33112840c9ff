//! The client over real sockets against a scripted server: what only shows with threads and TCP.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is the failing assertion")]

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use client::{
    Client, Device, EVENTS_MAX, Error, Events, Options, Trust, Update, link::Event, link::Identity, sync,
};
use protocol::{
    Command, Decode, Encoding, Frame, FrameCodec, HEADER_BYTES, Push, Refusal, Reply, Request, Split,
    encode_error,
    v1::{self, ErrorCode},
};

const LONG: Duration = Duration::from_secs(30);

/// The server's end of one connection.
struct Peer {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Peer {
    fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().unwrap();
        Self {
            stream,
            buffer: BytesMut::new(),
        }
    }

    /// Accepts and lets the session be resumed.
    fn resumed(listener: &TcpListener) -> Self {
        let mut peer = Self::accept(listener);
        let (seq, hello) = peer.request();
        assert_eq!(hello.command(), Command::Hello);
        let welcome = v1::Welcome {
            version: 1,
            session: Some(v1::Session {
                epoch: 1,
                ..v1::Session::default()
            }),
            limits: Some(v1::Limits {
                requests_in_flight_max: 32,
                ..v1::Limits::default()
            }),
            heartbeat_ms: 15_000,
            ..v1::Welcome::default()
        };
        peer.answer(seq, &Reply::Hello(welcome));
        peer
    }

    fn request(&mut self) -> (u16, Request) {
        let codec = FrameCodec::new(1 << 20);
        loop {
            if let Split::Frame(frame) = codec.split(&self.buffer).unwrap() {
                let _ = self.buffer.split_to(HEADER_BYTES + frame.body.len());
                let command = Command::from_number(frame.kind.command()).unwrap();
                return (
                    frame.seq,
                    Request::decode(command, Encoding::Protobuf, frame.body).unwrap(),
                );
            }
            let mut chunk = [0; 4096];
            let read = self.stream.read(&mut chunk).unwrap();
            assert_ne!(read, 0, "the client closed the connection");
            self.buffer.extend_from_slice(&chunk[..read]);
        }
    }

    fn write(&mut self, frame: &Frame) {
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes).unwrap();
        self.stream.write_all(&bytes).unwrap();
    }

    fn answer(&mut self, seq: u16, reply: &Reply) {
        self.write(&reply.to_frame(Encoding::Protobuf, seq));
    }

    fn push(&mut self, push: &Push) {
        self.write(&push.to_frame(Encoding::Protobuf));
    }
}

fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

fn connect(server: String) -> (Client, Events) {
    let identity = Identity {
        device: v1::Device::default(),
        program: "test".to_owned(),
        token: Some("token".to_owned()),
    };
    let trust = Trust::System;
    Client::connect(Options {
        server,
        trust,
        identity,
    })
    .unwrap()
}

fn message(id: u8) -> v1::SendRequest {
    v1::SendRequest {
        conversation_id: 1,
        client_msg_id: vec![id; 16].into(),
        ..v1::SendRequest::default()
    }
}

#[test]
fn a_send_is_repeated_under_its_id_until_the_outcome_is_definite() {
    let (listener, address) = listen();
    let server = thread::spawn(move || {
        let mut ids = Vec::new();
        let mut take = |request: Request| match request {
            Request::Send(send) => ids.push(send.client_msg_id.to_vec()),
            other => panic!("{other:?}"),
        };
        // Lost without an answer, refused for now, of unknown outcome, stored.
        let mut peer = Peer::resumed(&listener);
        take(peer.request().1);
        drop(peer);
        let mut peer = Peer::resumed(&listener);
        for code in [ErrorCode::Overloaded, ErrorCode::Internal] {
            let (seq, request) = peer.request();
            take(request);
            let refusal = Refusal::new(code, "").with_retry_after_ms(1);
            peer.write(&encode_error(&refusal, Encoding::Protobuf, seq));
        }
        let (seq, request) = peer.request();
        take(request);
        let stored = v1::SendResponse {
            seq: 9,
            duplicate: true,
            ..v1::SendResponse::default()
        };
        peer.answer(seq, &Reply::Send(stored));
        ids
    });
    let (client, _) = connect(address);
    let sent = client.send(message(7), LONG).unwrap();
    assert_eq!((sent.seq, sent.duplicate), (9, true));
    assert_eq!(server.join().unwrap(), vec![vec![7; 16]; 4]);
}

#[test]
fn a_definite_refusal_is_not_repeated() {
    let (listener, address) = listen();
    let server = thread::spawn(move || {
        let mut peer = Peer::resumed(&listener);
        let (seq, _) = peer.request();
        let refusal = Refusal::new(ErrorCode::Forbidden, "no");
        peer.write(&encode_error(&refusal, Encoding::Protobuf, seq));
        // Whatever comes next is not another attempt.
        let (seq, request) = peer.request();
        assert_eq!(request.command(), Command::FindUser);
        peer.answer(seq, &Reply::FindUser(v1::FindUserResponse::default()));
    });
    let (client, _) = connect(address);
    let Err(Error::Refused(refusal)) = client.send(message(1), LONG) else {
        panic!("it must be refused");
    };
    assert_eq!(refusal.code(), ErrorCode::Forbidden);
    client
        .call(Request::FindUser(v1::FindUserRequest::default()), LONG)
        .unwrap();
    server.join().unwrap();
}

#[test]
fn nobody_there_is_told_at_once() {
    let (listener, address) = listen();
    drop(listener);
    let (client, _) = connect(address);
    let error = client
        .call(Request::FindUser(v1::FindUserRequest::default()), LONG)
        .unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error}");
}

#[test]
fn events_that_nobody_takes_stop_the_reading_and_none_is_lost() {
    let (listener, address) = listen();
    let total = 3 * EVENTS_MAX as u64;
    let server = thread::spawn(move || {
        let mut peer = Peer::resumed(&listener);
        for seq in 1..=total {
            let head = v1::Head {
                conversation_id: 1,
                seq,
            };
            peer.push(&Push::HeadsPush(v1::HeadsPush {
                heads: vec![head],
                ..v1::HeadsPush::default()
            }));
        }
        peer
    });
    let (_client, events) = connect(address);
    let peer = server.join().unwrap();
    let mut seen = Vec::new();
    while seen.len() < total as usize {
        match events.recv_timeout(LONG) {
            Some(Event::Push(Push::HeadsPush(heads))) => seen.push(heads.heads[0].seq),
            Some(Event::Connected { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(seen.into_iter().eq(1..=total));
    drop(peer);
}

#[test]
fn calls_go_on_after_the_events_were_dropped() {
    let (listener, address) = listen();
    let server = thread::spawn(move || {
        let mut peer = Peer::resumed(&listener);
        for _ in 0..3 * EVENTS_MAX {
            peer.push(&Push::HeadsPush(v1::HeadsPush::default()));
        }
        let (seq, _) = peer.request();
        peer.answer(seq, &Reply::FindUser(v1::FindUserResponse::default()));
    });
    let (client, events) = connect(address);
    drop(events);
    client
        .call(Request::FindUser(v1::FindUserRequest::default()), LONG)
        .unwrap();
    server.join().unwrap();
}

/// A page of one conversation as `history` answers it.
fn page(from: u64, to: u64) -> v1::Page {
    let event = |seq| v1::Event {
        conversation_id: 1,
        seq,
        ..v1::Event::default()
    };
    v1::Page {
        conversation_id: 1,
        epoch: 1,
        from_seq: from,
        to_seq: to,
        events: (from..=to).map(event).collect(),
        head_seq: 0,
    }
}

#[test]
fn a_device_pulls_what_it_missed_and_its_own_calls_are_not_held_up() {
    let (listener, address) = listen();
    let (finish, finished) = mpsc::sync_channel::<()>(1);
    let server = thread::spawn(move || {
        let mut peer = Peer::resumed(&listener);
        let (seq, request) = peer.request();
        assert!(matches!(request, Request::Sync(sync) if sync.token == "t0"));
        // More pushes than the queue holds, none of which can be applied yet.
        for number in 0..2 * EVENTS_MAX as u64 {
            peer.push(&Push::EventsPush(page(10 + 2 * number, 10 + 2 * number)));
        }
        peer.answer(
            seq,
            &Reply::Sync(v1::SyncResponse {
                token: "t1".into(),
                epoch: 1,
                ..v1::SyncResponse::default()
            }),
        );
        let head = 10 + 4 * EVENTS_MAX as u64;
        loop {
            let (seq, request) = peer.request();
            match request {
                Request::History(history) => {
                    let to = (history.from_seq + 49).min(head);
                    let answer = v1::Page {
                        head_seq: head,
                        ..page(history.from_seq, to)
                    };
                    peer.answer(seq, &Reply::History(v1::HistoryResponse { page: Some(answer) }));
                }
                Request::FindUser(_) => peer.answer(seq, &Reply::FindUser(v1::FindUserResponse::default())),
                Request::Delivered(delivered) => {
                    peer.answer(seq, &Reply::Delivered(v1::Empty {}));
                    if delivered.up_to[0].seq == head {
                        break;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        finished.recv().unwrap();
        head
    });
    let (client, events) = connect(address);
    let snapshot = sync::Snapshot {
        epoch: 1,
        token: Some("t0".into()),
        cursors: [(1, 0)].into(),
        ..sync::Snapshot::default()
    };
    let mut device = Device::new(client, events, snapshot, sync::Start::Heads);
    let deadline = Instant::now() + LONG;
    let mut applied = Vec::new();
    let mut stored = false;
    while !(stored && device.is_caught_up()) {
        match device.next(deadline).expect("in time") {
            Update::Event(event) => {
                applied.push(event.seq);
                if event.seq % 50 == 0 {
                    let find = Request::FindUser(v1::FindUserRequest::default());
                    device.call(find, LONG).unwrap();
                }
            }
            Update::Store => {
                assert_eq!(device.snapshot().token, Some("t1".into()));
                stored = true;
            }
            _ => {}
        }
    }
    device.acknowledge(LONG).unwrap();
    finish.send(()).unwrap();
    let head = server.join().unwrap();
    assert!(applied.into_iter().eq(1..=head));
    assert_eq!(device.snapshot().cursors, [(1, head)].into());
}

/// What a server does whose past is over: it turns a sync away, says farewell, comes back with another epoch.
#[test]
fn a_device_comes_back_to_a_server_that_starts_over_and_goes_on() {
    let (listener, address) = listen();
    let server = thread::spawn(move || {
        let mut peer = Peer::resumed(&listener);
        let (seq, request) = peer.request();
        assert!(matches!(request, Request::Sync(sync) if sync.token == "t0"));
        let refusal = Refusal::new(ErrorCode::Unavailable, "the server starts over").with_retry_after_ms(10);
        peer.write(&encode_error(&refusal, Encoding::Protobuf, seq));
        let (seq, request) = peer.request();
        assert!(matches!(request, Request::Sync(_)), "it is asked for again");
        peer.push(&Push::GoAway(v1::GoAway {
            reason: v1::GoAwayReason::Draining.into(),
            ..v1::GoAway::default()
        }));
        peer.write(&encode_error(&refusal, Encoding::Protobuf, seq));
        drop(peer);
        let mut peer = Peer::resumed(&listener);
        let other_past = |token: &'static str, restarted| {
            Reply::Sync(v1::SyncResponse {
                token: token.into(),
                epoch: 2,
                restarted,
                conversations: vec![v1::Conversation {
                    conversation_id: 1,
                    head_seq: 2,
                    ..v1::Conversation::default()
                }],
                ..v1::SyncResponse::default()
            })
        };
        let (seq, request) = peer.request();
        assert!(matches!(request, Request::Sync(sync) if sync.token == "t0"));
        peer.answer(seq, &other_past("t1", true));
        let (seq, request) = peer.request();
        assert!(matches!(request, Request::Sync(sync) if sync.token.is_empty()));
        peer.answer(seq, &other_past("t2", false));
        let (seq, request) = peer.request();
        assert!(matches!(request, Request::History(history) if (history.epoch, history.from_seq) == (2, 1)));
        let page = v1::Page {
            epoch: 2,
            head_seq: 2,
            ..page(1, 2)
        };
        peer.answer(seq, &Reply::History(v1::HistoryResponse { page: Some(page) }));
        let (seq, _) = peer.request();
        peer.answer(seq, &Reply::Delivered(v1::Empty {}));
    });
    let (client, events) = connect(address);
    let snapshot = sync::Snapshot {
        epoch: 1,
        token: Some("t0".into()),
        cursors: [(1, 7)].into(),
        ..sync::Snapshot::default()
    };
    let mut device = Device::new(client, events, snapshot, sync::Start::Heads);
    let deadline = Instant::now() + LONG;
    let mut told = Vec::new();
    loop {
        match device.next(deadline).expect("in time") {
            Update::Restarted => told.push("restarted".to_owned()),
            Update::Rewound { conversation, to } => told.push(format!("{conversation} back to {to}")),
            Update::Event(event) => told.push(event.seq.to_string()),
            Update::Store if device.snapshot().token == Some("t2".into()) => break,
            _ => {}
        }
    }
    assert_eq!(told, ["restarted", "1 back to 0", "1", "2"]);
    device.acknowledge(LONG).unwrap();
    server.join().unwrap();
}
