//! WebSockets: what a native connection does, in another dress; the handshake, both kinds of messages, and how one ends.

use protocol::{
    Encoding, MessageType, Push, Request,
    v1::{self, ErrorCode, GoAwayReason},
};
use serde_json::json;
use tests::harness::{
    Daemon, PASSWORD, Setup, Web, body, hello, login,
    socket::{Message, Socket, masked, opcode},
    text,
};

#[test]
fn a_session_begins_and_chats_in_every_way_of_writing() {
    let daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    let register = |name: &str| v1::RegisterRequest {
        name: name.to_owned(),
        password: PASSWORD.to_owned(),
        ..v1::RegisterRequest::default()
    };
    let mut sockets = Vec::new();
    for (name, encoding) in [("bob", Encoding::Protobuf), ("cyd", Encoding::Json)] {
        let mut socket = Socket::open(daemon.address());
        socket.encoding = encoding;
        assert_eq!(socket.ask(hello("tab")).unwrap().version, protocol::VERSION);
        let session = socket.ask(register(name)).unwrap();
        assert!(!session.token.is_empty());
        socket
            .ask(text(ada.direct(session.user.unwrap().user_id), "hello"))
            .unwrap();
        sockets.push(socket);
    }
    let mut socket = Socket::open(daemon.address());
    socket.ask_text(hello("tab")).unwrap();
    let session = socket.ask_text(register("eve")).unwrap();
    let eve = session.user.unwrap().user_id;
    socket.ask_text(text(ada.direct(eve), "hello")).unwrap();
    for _ in 0..3 {
        assert_eq!(body(&ada.pushed()), "hello");
    }
    // An answer, a refusal, a push.
    let page = socket.ask_text(super::history(ada.direct(eve))).unwrap();
    assert_eq!(page.page.unwrap().events.len(), 1);
    let refusal = socket.ask_text(super::history(ada.direct(eve) ^ 1)).unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::NotFound);
    ada.text(ada.direct(eve), "welcome");
    // Its own message was pushed to it before, unless the answer stood for it.
    let event = loop {
        let event = socket.pushed();
        if event.sender_id == ada.id {
            break event;
        }
    };
    assert_eq!(body(&event), "welcome");
    assert!(
        !socket
            .ask_text(v1::SyncRequest {
                limit: 10,
                ..v1::SyncRequest::default()
            })
            .unwrap()
            .token
            .is_empty()
    );
    assert!(!socket.ask_text(v1::Ping {}).unwrap().sync_token.is_empty());
}

#[test]
fn sessions_of_one_user_see_the_same_in_the_same_order_whatever_they_speak() {
    const ROUNDS: u64 = 50;
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let address = daemon.address();
    let device = |name: &str| Web::to(address).granted("", login(name)).token;
    let mut protobuf = Socket::resume(address, Encoding::Protobuf, &device("bob"));
    let mut json = Socket::resume(address, Encoding::Json, &device("bob"));
    let mut texts = Socket::resume_text(address, &device("bob"));
    let conversation = ada.direct(bob.id);
    for round in 0..ROUNDS {
        ada.text(conversation, &format!("round {round}"));
        bob.text(conversation, "from the native one");
    }
    for seq in 1..=2 * ROUNDS {
        let native = bob.pushed();
        assert_eq!(native.seq, seq);
        for socket in [&mut protobuf, &mut json, &mut texts] {
            assert_eq!(socket.pushed(), native);
        }
    }
}

#[test]
fn the_first_message_decides_how_all_are_written() {
    let daemon = Daemon::start();
    // Texts after a hello in binary, and the other way round.
    let mut socket = Socket::open(daemon.address());
    socket.ask(hello("tab")).unwrap();
    socket.text(r#"{"type":"ping","seq":7}"#);
    let Message::Frame(frame) = socket.message() else {
        panic!("a frame was expected")
    };
    assert_eq!(frame.seq, 7);
    let error: v1::Error = Encoding::Protobuf.decode(frame.body).unwrap();
    assert_eq!(error.code(), ErrorCode::Protocol);
    assert_eq!(socket.closed().0, 1008);
    let mut socket = Socket::open(daemon.address());
    socket.ask_text(hello("tab")).unwrap();
    socket.submit(v1::Ping {});
    let said = socket.next_text();
    assert_eq!(
        (&said["type"], &said["error"]["code"]),
        (&json!("error"), &json!("ERROR_CODE_PROTOCOL"))
    );
    assert_eq!(socket.closed().0, 1008);
}

#[test]
fn texts_that_are_no_requests_are_told_as_such() {
    let daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    let mut socket = Socket::resume_text(daemon.address(), &ada.token);
    ada.conn.go_away();
    // An unknown name is refused, and the session goes on.
    socket.text(r#"{"type":"no_such_command","seq":9,"body":{"a":[1,2]}}"#);
    let said = socket.next_text();
    assert_eq!(
        (&said["seq"], &said["error"]["code"]),
        (&json!(9), &json!("ERROR_CODE_UNKNOWN_COMMAND"))
    );
    // So is a body that is no message of its command, and members that nobody knows are none of ours.
    socket.text(r#"{"type":"send","seq":10,"body":{"conversation_id":"x"}}"#);
    assert_eq!(socket.next_text()["error"]["code"], "ERROR_CODE_INVALID");
    socket.text(r#"{"later":{"x":1},"body":null,"seq":11,"type":"list_devices"}"#);
    let said = socket.next_text();
    assert_eq!(
        (&said["seq"], &said["answer"], &said["type"]),
        (&json!(11), &json!(true), &json!("list_devices"))
    );
    let token = ada.token.clone();
    for wrong in [
        "",
        "{",
        "[]",
        "7",
        "null",
        "\"ping\"",
        r#"{"seq":1}"#,
        r#"{"type":5,"seq":1}"#,
        r#"{"type":"ping","seq":-1}"#,
        r#"{"type":"ping","seq":65536}"#,
        r#"{"type":"ping","seq":1.5}"#,
        r#"{"type":"send","body":{}}"#,
        r#"{"type":"events","seq":3}"#,
        r#"{"type":"go_away","seq":3}"#,
        r#"{"type":"ping","type":"ping","seq":1}"#,
    ] {
        let mut socket = Socket::resume_text(daemon.address(), &token);
        socket.text(wrong);
        let said = socket.next_text();
        assert_eq!(said["error"]["code"], "ERROR_CODE_PROTOCOL", "{wrong}: {said}");
        assert_eq!(socket.closed().0, 1008, "{wrong}");
    }
}

#[test]
fn messages_may_come_in_fragments_with_pings_between() {
    let daemon = Daemon::start();
    let ada = daemon.register("ada");
    let mut socket = Socket::open(daemon.address());
    let said = json!({"type": "hello", "seq": 1, "body": {
        "magic": protocol::MAGIC, "version_min": 1, "version_max": 1, "session_token": ada.token,
        "device": {"device_id": "first", "class": "DEVICE_CLASS_DESKTOP"}, "client": "caf\u{e9}"}})
    .to_string();
    let bytes = said.as_bytes();
    let size = bytes.len().div_ceil(60);
    let count = bytes.chunks(size).count();
    assert!(count > 50);
    for (number, part) in bytes.chunks(size).enumerate() {
        let opcode = if number == 0 {
            opcode::TEXT
        } else {
            opcode::CONTINUATION
        };
        socket.send(number + 1 == count, opcode, part);
        if number % 10 == 5 {
            let payload = [number as u8; 125];
            socket.send(true, opcode::PING, &payload);
            assert_eq!(socket.message(), Message::Pong(payload.to_vec()));
        }
    }
    let welcome = socket.next_text();
    assert_eq!(
        (&welcome["type"], &welcome["answer"]),
        (&json!("hello"), &json!(true)),
        "{welcome}"
    );
    // Empty ones, and byte by byte.
    for payload in [&b""[..], b"x"] {
        socket.send(true, opcode::PING, payload);
        assert_eq!(socket.message(), Message::Pong(payload.to_vec()));
    }
    for byte in masked(true, opcode::TEXT, br#"{"type":"ping","seq":2}"#) {
        socket.write(&[byte]);
    }
    assert_eq!(socket.next_text()["seq"], 2);
    // A pong that nobody asked for is a sign of life, and no more.
    socket.send(true, opcode::PONG, b"here");
    socket.text(r#"{"type":"ping","seq":3}"#);
    assert_eq!(socket.next_text()["seq"], 3);
}

/// In 64 fragments a message is whole, and with the next one it is refused, in the way in which the session writes.
#[test]
fn a_message_in_too_many_fragments_is_refused_with_an_error() {
    let daemon = Daemon::start();
    let ada = daemon.register("ada");
    for is_text in [true, false] {
        let open = || {
            if is_text {
                Socket::resume_text(daemon.address(), &ada.token)
            } else {
                Socket::resume(daemon.address(), Encoding::Protobuf, &ada.token)
            }
        };
        let ping = br#"{"type":"ping","seq":2}"#;
        let frame = Request::Ping(v1::Ping {}).to_bytes(Encoding::Protobuf, 2);
        let (opcode, message) = if is_text {
            (opcode::TEXT, &ping[..])
        } else {
            (opcode::BINARY, &frame[..])
        };
        let send = |socket: &mut Socket, fragments: usize, is_whole: bool| {
            for number in 0..fragments {
                let (opcode, part) = match number {
                    0 => (opcode, message),
                    _ => (opcode::CONTINUATION, &b""[..]),
                };
                socket.send(is_whole && number + 1 == fragments, opcode, part);
            }
        };
        let mut socket = open();
        send(&mut socket, 64, true);
        match socket.message() {
            Message::Text(said) => assert!(is_text && said["seq"] == 2, "{said}"),
            Message::Frame(frame) => assert!(!is_text && frame.seq == 2, "{frame:?}"),
            other => panic!("{other:?}"),
        }
        let mut socket = open();
        send(&mut socket, 65, false);
        match socket.message() {
            Message::Text(said) => assert_eq!(said["error"]["code"], "ERROR_CODE_PROTOCOL", "{said}"),
            Message::Frame(frame) => assert_eq!((frame.kind, frame.seq), (MessageType::ERROR, 0)),
            other => panic!("{other:?}"),
        }
        assert_eq!(socket.closed().0, 1008);
    }
}

#[test]
fn the_close_code_says_why() {
    let daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    let go_away = |socket: &mut Socket| match socket.push() {
        Push::GoAway(go_away) => go_away.reason(),
        other => panic!("a go-away was expected, not {other:?}"),
    };
    // Replaced by a connection of the same session, whichever way it came.
    let mut first = Socket::resume(daemon.address(), Encoding::Protobuf, &ada.token);
    assert_eq!(ada.conn.go_away().reason(), GoAwayReason::Replaced);
    let mut second = Socket::resume_text(daemon.address(), &ada.token);
    assert_eq!(go_away(&mut first), GoAwayReason::Replaced);
    assert_eq!(first.closed().0, 4002);
    // Logged out by another.
    let mut other = daemon.login("ada", "other");
    other.get(v1::LogoutOthersRequest {});
    assert_eq!(go_away(&mut second), GoAwayReason::Revoked);
    assert_eq!(second.closed().0, 4004);
    // By itself.
    let mut itself = Socket::resume(daemon.address(), Encoding::Json, &other.token);
    itself.ask(v1::LogoutRequest {}).unwrap();
    assert_eq!(itself.closed().0, 1000);
    // The client's own word is repeated.
    for code in [1000_u16, 1001, 3000, 4999] {
        let mut socket = Socket::open(daemon.address());
        socket.send(true, opcode::CLOSE, &code.to_be_bytes());
        assert_eq!(socket.closed().0, code);
    }
    let mut socket = Socket::open(daemon.address());
    socket.send(true, opcode::CLOSE, b"");
    assert_eq!(socket.closed().0, 1000);
    // Refused.
    let mut socket = Socket::open(daemon.address());
    let seq = socket.submit(super::history(7));
    let refusal = socket.answer::<v1::HistoryRequest>(seq).unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::Protocol);
    assert_eq!(socket.closed().0, 1008);
}

#[test]
fn a_displaced_device_is_told_by_its_close_code() {
    let daemon = Setup::config("[devices]\nweb = 1\n").start();
    daemon.register("ada");
    let web = |socket: &mut Socket, device: &str| {
        let hello = v1::Hello {
            device: Some(v1::Device {
                device_id: device.to_owned(),
                class: v1::DeviceClass::Web.into(),
                name: String::new(),
            }),
            ..hello(device)
        };
        socket.ask(hello).unwrap();
        socket.ask(login("ada")).unwrap();
    };
    let mut first = Socket::open(daemon.address());
    web(&mut first, "one");
    let mut second = Socket::open(daemon.address());
    web(&mut second, "two");
    assert!(matches!(first.push(), Push::GoAway(go_away) if go_away.reason() == GoAwayReason::Displaced));
    assert_eq!(first.closed().0, 4003);
}

#[test]
fn a_server_that_goes_away_says_so_and_when_to_come_back() {
    let mut daemon = Daemon::start();
    let ada = daemon.register("ada");
    let mut greeted = Socket::resume_text(daemon.address(), &ada.token);
    let mut silent = Socket::open(daemon.address());
    daemon.ask_to_end();
    assert!(matches!(greeted.push(), Push::GoAway(go_away) if go_away.reason() == GoAwayReason::Draining));
    assert_eq!(greeted.closed().0, 1001);
    assert!(matches!(silent.push(), Push::GoAway(_)));
    assert_eq!(silent.closed().0, 1001);
    assert!(daemon.ended().success());
}

#[test]
fn silence_ends_it_and_pings_of_either_kind_keep_it() {
    let daemon =
        Setup::config("[timeouts]\nheartbeat_ms = 500\nidle_ms = 1500\nhandshake_ms = 1000\n").start();
    let [ada, bob, cyd] = daemon.register_all(["ada", "bob", "cyd"]);
    let mut silent = Socket::resume_text(daemon.address(), &ada.token);
    let mut pinging = Socket::resume_text(daemon.address(), &bob.token);
    let mut ponging = Socket::resume_text(daemon.address(), &cyd.token);
    silent.stream().set_nonblocking(false).unwrap();
    // Until the silent one is told, the others say that they are there, each in its way.
    let (told, is_told) = std::sync::mpsc::sync_channel(1);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            assert!(matches!(silent.push(), Push::GoAway(go_away) if go_away.reason() == GoAwayReason::Idle));
            assert_eq!(silent.closed().0, 4006);
            told.send(()).unwrap();
        });
        while is_told
            .recv_timeout(std::time::Duration::from_millis(200))
            .is_err()
        {
            pinging.send(true, opcode::PING, b"");
            assert_eq!(pinging.message(), Message::Pong(Vec::new()));
            ponging.send(true, opcode::PONG, b"");
        }
    });
    assert!(
        !pinging
            .ask_text(v1::ListDevicesRequest {})
            .unwrap()
            .sessions
            .is_empty()
    );
    assert!(
        !ponging
            .ask_text(v1::ListDevicesRequest {})
            .unwrap()
            .sessions
            .is_empty()
    );
    // Before a login, nothing extends the time for it.
    let mut stranger = Socket::open(daemon.address());
    let Message::Frame(frame) = stranger.message() else {
        panic!("a frame was expected")
    };
    let error: v1::Error = Encoding::Protobuf.decode(frame.body).unwrap();
    assert_eq!((frame.seq, error.code()), (0, ErrorCode::Timeout));
    assert_eq!(stranger.closed().0, 1008);
}

#[test]
fn a_handshake_that_is_none_is_refused_with_what_would_be_one() {
    let daemon = Daemon::start();
    let mut web = Web::to(daemon.address());
    let key = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    let version = ("Sec-WebSocket-Version", "13");
    let upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
    let plain = web.get("/v1/socket");
    assert_eq!(plain.status, 426);
    assert_eq!(plain.header("upgrade"), Some("websocket"));
    for (headers, status) in [
        (vec![upgrade[0], upgrade[1], key], 426),
        (
            vec![upgrade[0], upgrade[1], key, ("Sec-WebSocket-Version", "8")],
            426,
        ),
        (vec![upgrade[0], upgrade[1], version], 400),
        (
            vec![upgrade[0], upgrade[1], version, ("Sec-WebSocket-Key", "short")],
            400,
        ),
        (vec![upgrade[1], version, key], 426),
    ] {
        let response = Web::to(daemon.address()).request("GET", "/v1/socket", &headers, "");
        assert_eq!(response.status, status, "{headers:?}");
        if status == 426 {
            assert_eq!(
                response.header("sec-websocket-version"),
                Some("13"),
                "{headers:?}"
            );
        }
    }
    let post =
        Web::to(daemon.address()).request("POST", "/v1/socket", &[upgrade[0], upgrade[1], version, key], "");
    assert_eq!((post.status, post.header("allow")), (405, Some("GET")));
    // A client that offers subprotocols is given the one there is.
    assert!(
        Socket::try_open(
            daemon.address(),
            &[("Sec-WebSocket-Protocol", "other, imserver.v1")]
        )
        .is_ok()
    );
    assert!(
        Socket::try_open(
            daemon.address(),
            &[("Sec-WebSocket-Extensions", "permessage-deflate")]
        )
        .is_ok()
    );
}

/// The tokens of a page are not sent with a handshake: what a browser adds by itself opens nothing.
#[test]
fn nothing_in_a_handshake_logs_anybody_in() {
    let daemon = Daemon::start();
    let ada = daemon.register("ada");
    let bearer = format!("Bearer {}", ada.token);
    let cookie = format!("token={}", ada.token);
    let mut socket = Socket::try_open(
        daemon.address(),
        &[("Authorization", &bearer), ("Cookie", &cookie)],
    )
    .unwrap();
    socket.ask(hello("tab")).unwrap();
    let seq = socket.submit(v1::ListDevicesRequest {});
    let refusal = socket.answer::<v1::ListDevicesRequest>(seq).unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::Unauthenticated);
}

/// A pong says what the session was told, and a session that begins on a connection of calls was told nothing by them.
#[test]
fn a_socket_has_not_what_calls_on_its_connection_have_synced() {
    let daemon = Daemon::start();
    let mut web = Web::to(daemon.address());
    let ada = web.register("ada");
    let sync = v1::SyncRequest {
        limit: 10,
        ..v1::SyncRequest::default()
    };
    let synced = web.granted(&ada.token, sync.clone());
    assert!(!synced.token.is_empty());
    let mut socket = Socket::upgrade(web, &[]).unwrap();
    let hello = v1::Hello {
        session_token: ada.token,
        ..hello("first")
    };
    socket.ask_text(hello).unwrap();
    assert_eq!(socket.ask_text(v1::Ping {}).unwrap().sync_token.len(), 0);
    socket.ask_text(sync).unwrap();
    assert_ne!(socket.ask_text(v1::Ping {}).unwrap().sync_token.len(), 0);
}

#[test]
fn every_socket_is_pushed_the_same() {
    const SOCKETS: usize = 200;
    let daemon =
        Setup::config("[limits]\nconnections_per_address = 1000\n[devices]\nscript = 1000\n").start();
    let [mut ada, bob] = daemon.register_all(["ada", "bob"]);
    let address = daemon.address();
    let mut sockets: Vec<Socket> = (0..SOCKETS)
        .map(|_| Socket::resume_text(address, &Web::to(address).granted("", login("bob")).token))
        .collect();
    let conversation = ada.direct(bob.id);
    ada.text(conversation, "one framing for all");
    let first = sockets[0].message();
    assert!(matches!(&first, Message::Text(text) if text["type"] == "events"));
    for socket in &mut sockets[1..] {
        assert_eq!(socket.message(), first);
    }
}
