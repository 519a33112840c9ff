//! What hostile peers send to the HTTP door, each kind in its variants. Two people chat meanwhile, one of them natively
//! and one by calls and a stream, and notice nothing.

use std::{
    io::{ErrorKind, Read, Write},
    time::{Duration, Instant},
};

use protocol::v1::{self, ErrorCode};
use tests::harness::{
    Account, Daemon, Events, PATIENCE, Response, Setup, User, Web, body, hello,
    socket::{Message, Socket, masked, opcode},
    text,
};

use super::direct;

/// A daemon, and two who chat on it.
pub(super) struct Stage {
    pub(super) daemon: Daemon,
    ada: User,
    bob: Account,
    web: Web,
    events: Events,
    sent: u64,
}

impl Stage {
    fn new() -> Self {
        Self::with("")
    }

    pub(super) fn with(config: &str) -> Self {
        let daemon = Setup::config(config).start();
        let ada = daemon.register("ada");
        let mut web = Web::to(daemon.address());
        let bob = web.register("bob");
        let mut events = Events::open(daemon.address(), &bob.token);
        events.synced();
        Self {
            daemon,
            ada,
            bob,
            web,
            events,
            sent: 0,
        }
    }

    /// Both send, and both see it.
    #[track_caller]
    pub(super) fn still_serves(&mut self) {
        let conversation = direct(self.ada.id, self.bob.id);
        self.ada.text(conversation, "undisturbed");
        let stored = self.web.granted(&self.bob.token, text(conversation, "so am I"));
        self.sent += 2;
        assert_eq!(stored.seq, self.sent);
        for seq in [self.sent - 1, self.sent] {
            let [one, other] = [self.events.pushed(), self.ada.pushed()];
            assert_eq!((one.seq, body(&one)), (seq, body(&other)));
        }
    }

    /// Sends bytes on a new connection, and takes what comes until it is closed.
    #[track_caller]
    fn refuses(&self, bytes: impl AsRef<[u8]>) -> Response {
        let mut web = Web::to(self.daemon.address());
        let _ = web.try_write(&bytes);
        let response = web.response();
        let shown = String::from_utf8_lossy(bytes.as_ref())
            .chars()
            .take(120)
            .collect::<String>();
        assert_eq!(response.header("connection"), Some("close"), "{shown:?}");
        assert!(response.status >= 400, "{shown:?}");
        web.end();
        response
    }
}

/// A request that would be taken as another one by whoever reads it otherwise, with what would be smuggled behind it.
#[test]
fn what_can_be_read_in_two_ways_is_read_in_none() {
    const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut stage = Stage::new();
    let post = |headers: &str, body: &str| {
        format!("POST /v1/call/login HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{body}{SMUGGLED}")
    };
    let refused = [
        // Two lengths.
        post("Content-Length: 2\r\nContent-Length: 3\r\n", "{}"),
        post("Content-Length: 2, 3\r\n", "{}"),
        post("Content-Length: 2\r\ncontent-length: 0\r\n", "{}"),
        // Numbers that are none.
        post("Content-Length: +2\r\n", "{}"),
        post("Content-Length: -2\r\n", "{}"),
        post("Content-Length: 0x2\r\n", "{}"),
        post("Content-Length: 2 \t3\r\n", "{}"),
        post("Content-Length: \r\n", "{}"),
        post("Content-Length: 2;\r\n", "{}"),
        // A length and chunks.
        post("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
        // Codings that are not, or not only, chunks.
        post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
        post(
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            "0\r\n\r\n",
        ),
        post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding:\r\n", "{}"),
        // Names that some would cut or join.
        post("Content-Length : 2\r\n", "{}"),
        post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
        post(" Content-Length: 2\r\n", "{}"),
        post("X: a\r\n Content-Length: 2\r\n", "{}"),
        post("X: a\r\n\tTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        post("X\r\nContent-Length: 2\r\n", "{}"),
        post(": 2\r\n", "{}"),
        post("Content Length: 2\r\n", "{}"),
        // Ends of lines that are some's and not others'.
        post("X: a\nContent-Length: 2\r\n", "{}"),
        post("X: a\rContent-Length: 2\r\n", "{}"),
        post("X: a\r\r\nContent-Length: 2\r\n", "{}"),
        post("X: a\0Content-Length: 2\r\n", "{}"),
        "POST /v1/call/login HTTP/1.1\nHost: localhost\nContent-Length: 2\n\n{}".to_owned(),
        // Chunks whose sizes or ends are not.
        post("Transfer-Encoding: chunked\r\n", "g\r\n{}\r\n0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\n", "0x2\r\n{}\r\n0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\n", "+2\r\n{}\r\n0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\n", "2 2\r\n{}\r\n0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\n", "2\n{}\r\n0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\n", "2\r\n{}0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\n", "2\r\n{}\n0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\n", "1\r\n{}\r\n0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\n", "\r\n{}\r\n0\r\n\r\n"),
        post(
            "Transfer-Encoding: chunked\r\n",
            "fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        ),
        // Hosts.
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: localhost, other\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: user@localhost\r\n\r\n".to_owned(),
        "GET http://other.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        // First lines.
        "GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        "GET / HTTP/1.1 \r\nHost: localhost\r\n\r\n".to_owned(),
        "GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        "GET\t/ HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        "GET / http/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        "GET /\r\nHost: localhost\r\n\r\n".to_owned(),
        "GET / HTTP/0.9\r\nHost: localhost\r\n\r\n".to_owned(),
        "GET / HTTP/1.2.3\r\nHost: localhost\r\n\r\n".to_owned(),
        "GET / HTTP/2.0\r\nHost: localhost\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n".to_owned(),
        "G\u{e9}T / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        // An older version has no chunks.
        "POST /v1/call/login HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
    ];
    for bytes in &refused {
        let response = stage.refuses(bytes);
        let shown = bytes.replace('\r', "\\r").replace('\n', "\\n");
        assert!(
            matches!(response.status, 400 | 413 | 501 | 505),
            "{} to {shown}",
            response.status
        );
        assert_eq!(
            response.header("content-type"),
            Some("application/json"),
            "{shown}"
        );
    }
    // The same lengths twice are one, as some proxies write them; or refused: never another request.
    let mut web = Web::to(stage.daemon.address());
    web.write(post("Content-Length: 2\r\nContent-Length: 2\r\n", "{}"));
    let response = web.response();
    assert!(response.status == 400, "{response:?}");
    stage.still_serves();
}

/// What surrounds the chunks of a body may be so much and no more, so that a body costs little more than its limit.
#[test]
fn a_body_of_tiny_chunks_is_refused_before_it_costs_much() {
    let mut stage = Stage::new();
    let body = |chunks: usize| {
        format!(
            "POST /v1/call/login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{}2\r\n{{}}\r\n0\r\n\r\n",
            "1\r\n \r\n".repeat(chunks)
        )
    };
    let mut web = Web::to(stage.daemon.address());
    web.write(body(4_000));
    let response = web.response();
    assert_eq!(
        (response.status, response.refusal().code()),
        (400, ErrorCode::Invalid)
    );
    for chunks in [8_000, 20_000] {
        stage.refuses(body(chunks)).is_refused(400, ErrorCode::Protocol);
    }
    stage.still_serves();
}

#[test]
fn heads_that_are_too_large_are_refused_when_that_is_known() {
    let mut stage = Stage::new();
    let get =
        |target: &str, headers: &str| format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
    for (bytes, status) in [
        (get(&format!("/{}", "a".repeat(9_000)), ""), 414),
        (get("/", &format!("X: {}\r\n", "a".repeat(20_000))), 431),
        (get("/", &format!("{}: a\r\n", "X".repeat(20_000))), 431),
        (get("/", &"X: a\r\n".repeat(200)), 431),
        (
            format!("{} / HTTP/1.1\r\nHost: localhost\r\n\r\n", "A".repeat(1_000)),
            501,
        ),
        // Without an end of any line.
        ("GET /".to_owned() + &"a".repeat(100_000), 414),
        ("GET / HTTP/1.1\r\nX: ".to_owned() + &"a".repeat(100_000), 431),
        ("A".repeat(100_000), 414),
    ] {
        let response = stage.refuses(&bytes);
        assert_eq!(response.status, status, "{bytes:.60}");
    }
    stage.still_serves();
}

/// The time for a whole request, on a connection that is new and on one that was kept.
#[test]
fn a_request_that_does_not_become_whole_is_told_and_its_connection_freed() {
    let mut stage = Stage::with("[timeouts]\nframe_ms = 800\nhandshake_ms = 3000\n");
    let parts = [
        "G",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: ",
        "POST /v1/call/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n",
        "POST /v1/call/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{\"a",
        "POST /v1/call/login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /v1/call/login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"",
        "POST /v1/call/login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
    ];
    let mut webs = Vec::new();
    for part in parts {
        let mut fresh = Web::to(stage.daemon.address());
        fresh.write(part);
        webs.push(fresh);
        let mut kept = Web::to(stage.daemon.address());
        assert_eq!(
            kept.request("GET", "/healthz", &[("X-Request-Id", "before")], "")
                .status,
            200
        );
        kept.write(part);
        webs.push(kept);
    }
    stage.still_serves();
    for web in &mut webs {
        let response = web.response();
        response.is_refused(408, ErrorCode::Timeout);
        assert_eq!(response.header("connection"), Some("close"));
        assert_eq!(
            response.header("x-request-id"),
            None,
            "that was another request's"
        );
        web.end();
    }
    // A byte now and then does not extend it.
    let mut slow = Web::to(stage.daemon.address());
    slow.write("GET /");
    let began = Instant::now();
    let mut ended = false;
    slow.stream()
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    let mut seen = Vec::new();
    while !ended {
        assert!(
            began.elapsed() < PATIENCE,
            "a byte now and then keeps a connection"
        );
        let _ = slow.try_write("a");
        let mut buffer = [0; 1024];
        match slow.stream().read(&mut buffer) {
            Ok(0) => ended = true,
            Ok(count) => seen.extend_from_slice(&buffer[..count]),
            Err(error) => ended = !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }
    assert!(
        seen.starts_with(b"HTTP/1.1 408 "),
        "{}",
        String::from_utf8_lossy(&seen)
    );
    stage.still_serves();
}

/// Writes the same bytes until the other side has closed; returns how many went out, and what the daemon used more at
/// most.
fn endlessly(daemon: &Daemon, stream: &std::net::TcpStream, bytes: &[u8]) -> (u64, u64) {
    let before = daemon.memory().unwrap_or(0);
    let (mut sent, mut most) = (0, 0);
    let mut stream = stream;
    stream
        .set_write_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    loop {
        match stream.write(bytes) {
            Ok(count) => sent += count as u64,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return (sent, most),
        }
        most = most.max(daemon.memory().unwrap_or(0).saturating_sub(before));
        assert!(sent < 1 << 30, "nobody ends it");
    }
}

#[test]
fn what_never_ends_is_ended() {
    const MIB: u64 = 1024 * 1024;
    let mut stage = Stage::with("[timeouts]\nidle_ms = 120000\nframe_ms = 2000\nwrite_stall_ms = 1000\n");
    let chunked = "POST /v1/call/login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("400\r\n{}\r\n", "a".repeat(0x400));
    for (first, endless) in [
        // A head, a header, a body in large and in tiny chunks, an extension of a chunk, trailers.
        ("GET / HTTP/1.1\r\nHost: localhost\r\n", "X: a\r\n".repeat(100)),
        ("GET / HTTP/1.1\r\nX: ", "a".repeat(1_000)),
        (chunked, chunk),
        (chunked, "1\r\na\r\n".repeat(100)),
        (&format!("{chunked}1;"), "a".repeat(1_000)),
        (&format!("{chunked}0\r\n"), "X: a\r\n".repeat(100)),
        // A length that nobody has.
        (
            "POST /v1/call/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 18446744073709551615\r\n\r\n",
            "a".repeat(1_000),
        ),
        // Requests whose answers are not read.
        ("", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100)),
        (
            "",
            "POST /v1/call/history HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100),
        ),
    ] {
        let mut web = Web::to(stage.daemon.address());
        web.write(first);
        let (sent, grown) = endlessly(&stage.daemon, web.stream(), endless.as_bytes());
        assert!(grown < 24 * MIB, "{grown} bytes after {sent} of {first:.40}…");
        stage.still_serves();
    }
}

// ---- the WebSocket --------------------------------------------------------------------------------------

/// Bytes that break RFC 6455, with the code by which one hears of it.
#[test]
fn what_is_no_websocket_ends_it_with_its_code() {
    let mut stage = Stage::new();
    let ping = br#"{"type":"ping","seq":1}"#;
    let with = |change: fn(&mut Vec<u8>)| {
        let mut frame = masked(true, opcode::TEXT, ping);
        change(&mut frame);
        frame
    };
    let header = |bytes: &[u8]| bytes.to_vec();
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        (
            "not masked",
            with(|frame| {
                frame[1] &= 0x7f;
                frame.drain(2..6);
            }),
            1002,
        ),
        ("a control frame that is not masked", header(&[0x89, 0]), 1002),
        ("a reserved bit", with(|frame| frame[0] |= 0x40), 1002),
        ("another", with(|frame| frame[0] |= 0x20), 1002),
        ("the third", with(|frame| frame[0] |= 0x10), 1002),
        ("an unknown opcode", with(|frame| frame[0] = 0x83), 1002),
        ("an unknown control opcode", with(|frame| frame[0] = 0x8b), 1002),
        ("a ping in fragments", masked(false, opcode::PING, b""), 1002),
        ("a ping too long", masked(true, opcode::PING, &[0; 126]), 1002),
        (
            "a continuation of nothing",
            masked(true, opcode::CONTINUATION, b"x"),
            1002,
        ),
        (
            "a message within another",
            [
                masked(false, opcode::TEXT, b"{"),
                masked(true, opcode::TEXT, b"}"),
            ]
            .concat(),
            1002,
        ),
        (
            "a length in more bytes than it needs",
            header(&[0x81, 0xfe, 0, 5, 1, 2, 3, 4, 1, 2, 3, 4, 5]),
            1002,
        ),
        (
            "a long one in more than it needs",
            header(&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 5, 1, 2, 3, 4, 1, 2, 3, 4, 5]),
            1002,
        ),
        (
            "a length with its highest bit",
            header(&[0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]),
            1002,
        ),
        (
            "a length of 64 bits",
            header(&[
                0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4,
            ]),
            1009,
        ),
        (
            "a message beyond the limit",
            masked(true, opcode::BINARY, &[0; 10_000]),
            1009,
        ),
        (
            "fragments beyond the limit",
            (0..3)
                .flat_map(|number| {
                    masked(
                        false,
                        if number == 0 {
                            opcode::TEXT
                        } else {
                            opcode::CONTINUATION
                        },
                        &[b' '; 2_000],
                    )
                })
                .collect(),
            1009,
        ),
        (
            "too many fragments",
            (0..80)
                .flat_map(|number| {
                    masked(
                        false,
                        if number == 0 {
                            opcode::TEXT
                        } else {
                            opcode::CONTINUATION
                        },
                        b" ",
                    )
                })
                .collect(),
            1008,
        ),
        (
            "a text that is no UTF-8",
            masked(true, opcode::TEXT, b"\"\xff\""),
            1007,
        ),
        (
            "UTF-8 that is broken off",
            masked(true, opcode::TEXT, b"\"\xe2\x82"),
            1007,
        ),
        (
            "a surrogate in UTF-8",
            masked(true, opcode::TEXT, b"\xed\xa0\x80"),
            1007,
        ),
        ("a close of one byte", masked(true, opcode::CLOSE, b"\x03"), 1002),
        (
            "a close with a code that is none",
            masked(true, opcode::CLOSE, &1005_u16.to_be_bytes()),
            1002,
        ),
        (
            "another",
            masked(true, opcode::CLOSE, &999_u16.to_be_bytes()),
            1002,
        ),
        (
            "a reason that is no UTF-8",
            masked(true, opcode::CLOSE, b"\x03\xe8\xff"),
            1007,
        ),
        (
            "half a frame of ours",
            masked(true, opcode::BINARY, &[0, 0, 0, 9, 0]),
            1007,
        ),
        (
            "a frame of ours and more",
            masked(true, opcode::BINARY, &[0, 0, 0, 0, 3, 0xea, 0, 1, 0]),
            1007,
        ),
        (
            "nothing as a frame of ours",
            masked(true, opcode::BINARY, b""),
            1007,
        ),
    ];
    for (what, bytes, code) in &cases {
        let mut socket = Socket::open(stage.daemon.address());
        // However it is cut.
        for part in bytes.chunks(3) {
            if socket.try_write(part).is_err() {
                break;
            }
        }
        let mut said = socket.message();
        while matches!(said, Message::Pong(_)) {
            said = socket.message();
        }
        assert!(
            matches!(said, Message::Close(told, _) if told == *code),
            "{what}: {said:?}"
        );
        assert_eq!(socket.message(), Message::End, "{what}");
    }
    stage.still_serves();
}

#[test]
fn a_frame_within_a_message_that_lies_ends_it_as_natively() {
    let mut stage = Stage::new();
    let mut socket = Socket::open(stage.daemon.address());
    // More than an unauthenticated frame may have.
    let mut frame = 5_000_u32.to_be_bytes().to_vec();
    frame.extend([3, 0xe9, 0, 1]);
    frame.resize(8 + 4_000, 0);
    socket.send(true, opcode::BINARY, &frame);
    let closed = loop {
        match socket.message() {
            Message::Close(code, _) => break code,
            Message::Frame(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(closed, 1007..=1009), "{closed}");
    // Reserved bits of the header.
    let mut socket = Socket::open(stage.daemon.address());
    socket.send(true, opcode::BINARY, &[0, 0, 0, 0, 0x43, 0xe9, 0, 1]);
    let said = socket.message();
    assert!(
        matches!(&said, Message::Frame(frame) if frame.kind == protocol::MessageType::ERROR),
        "{said:?}"
    );
    assert_eq!(socket.closed().0, 1008);
    stage.still_serves();
}

#[test]
fn a_socket_that_never_takes_its_pongs_or_fragments_for_ever_is_ended() {
    const MIB: u64 = 1024 * 1024;
    let mut stage = Stage::with(
        "[timeouts]\nidle_ms = 120000\nframe_ms = 1500\nwrite_stall_ms = 1000\nhandshake_ms = 3000\n",
    );
    let pings = masked(true, opcode::PING, &[7; 125]).repeat(100);
    let empty = masked(false, opcode::CONTINUATION, b"").repeat(100);
    for is_known in [false, true] {
        for (first, endless) in [(vec![], &pings), (masked(false, opcode::TEXT, b""), &empty)] {
            let mut socket = if is_known {
                let other = Web::to(stage.daemon.address())
                    .granted("", tests::harness::login("ada"))
                    .token;
                Socket::resume_text(stage.daemon.address(), &other)
            } else {
                Socket::open(stage.daemon.address())
            };
            socket.write(&first);
            let (sent, grown) = endlessly(&stage.daemon, socket.stream(), endless);
            assert!(grown < 24 * MIB, "{grown} bytes after {sent}");
            stage.still_serves();
        }
    }
}

#[test]
fn a_message_that_stops_ends_with_the_silence() {
    let daemon = Setup::config("[timeouts]\nheartbeat_ms = 500\nidle_ms = 1500\n").start();
    let ada = daemon.register("ada");
    let mut socket = Socket::resume_text(daemon.address(), &ada.token);
    socket.send(false, opcode::TEXT, b"{");
    let Message::Text(said) = socket.message() else {
        panic!("a text was expected")
    };
    assert_eq!(said["body"]["reason"], "GO_AWAY_REASON_IDLE", "{said}");
    assert_eq!(socket.closed().0, 4006);
}

// ---- everything at once ---------------------------------------------------------------------------------

#[test]
fn bytes_by_chance_harm_nobody() {
    let mut stage = Stage::with("[timeouts]\nframe_ms = 500\nhandshake_ms = 1000\n");
    let mut random = tests::random::Random::new(tests::random::Random::seed("DOORS_SEED"));
    let whole = "POST /v1/call/login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nX: a\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    for _ in 0..300 {
        let mut bytes = whole.repeat(2).into_bytes();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len() as u64) as usize;
            match random.below(3) {
                0 => bytes[at] = random.next() as u8,
                1 => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(4)),
            }
        }
        let mut web = Web::to(stage.daemon.address());
        let _ = web.try_write(&bytes);
        web.finish();
        // Whatever is answered, it ends.
        let _ = web.rest();
    }
    stage.still_serves();
    let hello = serde_json::json!({"type": "hello", "seq": 1, "body": serde_json::Value::Null}).to_string();
    for _ in 0..300 {
        let mut bytes = masked(true, opcode::TEXT, hello.as_bytes());
        bytes.extend(masked(true, opcode::PING, b"x"));
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = random.next() as u8;
        }
        let mut socket = Socket::open(stage.daemon.address());
        let _ = socket.try_write(&bytes);
        let _ = socket.stream().shutdown(std::net::Shutdown::Write);
        let _ = (&mut socket.stream()).read_to_end(&mut Vec::new());
    }
    stage.still_serves();
    // And a native hello where a request was expected is a native one.
    let mut conn = stage.daemon.connect();
    conn.ask(hello_of_device()).unwrap();
}

fn hello_of_device() -> v1::Hello {
    hello("device")
}
