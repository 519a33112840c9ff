//! HTTP/1.1 itself: connections that are kept, requests that are sent ahead, bodies in their forms, and the end.

use std::net::SocketAddr;

use protocol::v1::{self, ErrorCode};
use serde_json::json;
use tests::harness::{Daemon, PASSWORD, Setup, Web};

use super::{direct, history};

fn send_body(conversation: u64, text: &str) -> String {
    // In JSON a body is base64; these texts are made of letters that it leaves as they are.
    json!({"conversation_id": conversation.to_string(), "kind": "EVENT_KIND_TEXT", "content": {"body": text}})
        .to_string()
}

#[test]
fn calls_that_are_sent_ahead_are_answered_in_their_order() {
    const SENDS: u64 = 30;
    let daemon = Daemon::start();
    let mut web = Web::to(daemon.address());
    let [ada, bob] = ["ada", "bob"].map(|name| web.register(name));
    let conversation = direct(ada.id, bob.id);
    let send = |body: &str| web.call_bytes(&ada.token, "send", &[], &send_body(conversation, body));
    let page =
        json!({"conversation_id": conversation.to_string(), "from_seq": "1", "limit": 100}).to_string();
    let mut bytes = Vec::new();
    for _ in 0..SENDS {
        bytes.extend(send("abcd"));
    }
    bytes.extend(web.call_bytes(&bob.token, "history", &[], &page));
    bytes.extend(web.request_bytes("GET", "/healthz", &[], b""));
    bytes.extend(web.call_bytes(&ada.token, "no_such", &[], ""));
    bytes.extend(send("efgh"));
    web.write(bytes);
    for seq in 1..=SENDS {
        let response = web.response();
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.json()["seq"], seq.to_string());
    }
    let page = web.response().json();
    assert_eq!(
        page["page"]["events"].as_array().unwrap().len() as u64,
        SENDS,
        "what came before is seen"
    );
    assert_eq!(web.response().json()["status"], "ok");
    assert_eq!(web.response().status, 404);
    assert_eq!(web.response().json()["seq"], (SENDS + 1).to_string());
}

#[test]
fn calls_before_the_client_finished_are_all_answered() {
    let daemon = Daemon::start();
    let mut web = Web::to(daemon.address());
    let ada = web.register("ada");
    for count in [1, 2, 5] {
        let mut web = Web::to(daemon.address());
        let bytes = web.call_bytes(&ada.token, "list_devices", &[], "");
        web.write(bytes.repeat(count));
        web.finish();
        for _ in 0..count {
            assert_eq!(web.response().status, 200, "of {count}");
        }
        web.end();
    }
}

#[test]
fn a_connection_ends_when_the_client_says_so_and_not_before() {
    let daemon = Daemon::start();
    let mut web = Web::to(daemon.address());
    let ada = web.register("ada");
    for headers in [
        &[][..],
        &[("Connection", "keep-alive")],
        &[("Connection", "x-hop")],
    ] {
        let response = web.call_with(&ada.token, "list_devices", headers, "");
        assert_eq!((response.status, response.header("connection")), (200, None));
    }
    for value in ["close", "Close", "x-hop, close"] {
        let mut web = Web::to(daemon.address());
        let call = web.call_bytes(&ada.token, "list_devices", &[("Connection", value)], "");
        // What comes behind it is not looked at.
        web.write([&call[..], &call[..]].concat());
        let response = web.response();
        assert_eq!(
            (response.status, response.header("connection")),
            (200, Some("close"))
        );
        web.end();
    }
}

#[test]
fn the_older_version_is_answered_and_closed_unless_it_asks_otherwise() {
    let daemon = Daemon::start();
    let mut web = Web::to(daemon.address());
    web.write("GET /healthz HTTP/1.0\r\n\r\n");
    let response = web.response();
    assert_eq!(
        (response.status, response.header("connection")),
        (200, Some("close"))
    );
    web.end();
    let mut web = Web::to(daemon.address());
    for _ in 0..2 {
        web.write("GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let response = web.response();
        assert_eq!(
            (response.status, response.header("connection")),
            (200, Some("keep-alive"))
        );
    }
}

#[test]
fn a_head_alone_is_answered_with_what_the_whole_would_have() {
    let daemon = Daemon::start();
    let mut web = Web::to(daemon.address());
    for path in ["/", "/healthz", "/style.css"] {
        let whole = web.get(path);
        let head = web.request("HEAD", path, &[], "");
        assert_eq!(head.status, 200);
        assert!(head.body.is_empty());
        assert_eq!(
            head.header("content-length"),
            Some(whole.body.len().to_string().as_str())
        );
        assert_eq!(head.header("content-type"), whole.header("content-type"));
        assert_eq!(head.header("etag"), whole.header("etag"));
    }
}

#[test]
fn a_client_that_waits_for_the_word_is_given_it() {
    let daemon = Daemon::start();
    let mut web = Web::to(daemon.address());
    let ada = web.register("ada");
    let expects = [("Expect", "100-continue")];
    let call = web.call_bytes(&ada.token, "find_user", &expects, "{\"name\":\"ada\"}");
    let end = call.windows(4).position(|part| part == b"\r\n\r\n").unwrap() + 4;
    web.write(&call[..end]);
    assert_eq!(web.response().status, 100);
    web.write(&call[end..]);
    assert_eq!(web.response().status, 200);
    // Not for a body that is too large, and for nothing else.
    let head = |more: &str| format!("POST /v1/call/send HTTP/1.1\r\nHost: localhost\r\n{more}\r\n");
    web.write(head("Expect: 100-continue\r\nContent-Length: 100000000\r\n"));
    web.response().is_refused(413, ErrorCode::FrameTooLarge);
    web.end();
    let mut web = Web::to(daemon.address());
    web.write(head("Expect: coffee\r\nContent-Length: 2\r\n"));
    assert_eq!(web.response().status, 417);
    web.end();
}

#[test]
fn a_body_may_come_in_chunks_however_they_are_cut() {
    let daemon = Daemon::start();
    let mut web = Web::to(daemon.address());
    let ada = web.register("ada");
    let conversation = protocol::self_conversation(ada.id).unwrap().get();
    let body = send_body(conversation, "abcd");
    for size in [1, 2, 3, 7, body.len()] {
        let mut bytes = format!(
            "POST /v1/call/send HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nTransfer-Encoding: Chunked\r\n\r\n",
            ada.token
        );
        for chunk in body.as_bytes().chunks(size) {
            let text = std::str::from_utf8(chunk).unwrap();
            bytes += &format!("{:x};name=\"value\"\r\n{text}\r\n", chunk.len());
        }
        bytes += "0\r\nX-Trailer: dropped\r\n\r\n";
        for part in bytes.as_bytes().chunks(100) {
            web.write(part);
        }
        let response = web.response();
        assert_eq!(response.status, 200, "{}", response.text());
    }
    assert_eq!(
        web.granted(&ada.token, history(conversation))
            .page
            .unwrap()
            .events
            .len(),
        5
    );
}

#[test]
fn a_body_has_as_many_bytes_as_a_frame_and_no_more() {
    const LIMIT: usize = 8 * 1024;
    let daemon = Setup::config("[limits]\nframe_bytes = 8192\ntext_bytes = 1000\n").start();
    let mut web = Web::to(daemon.address());
    let ada = web.register("ada");
    let call = |bytes: usize, web: &Web| {
        web.call_bytes(
            &ada.token,
            "list_devices",
            &[],
            &format!("{{{}}}", " ".repeat(bytes - 2)),
        )
    };
    let bytes = call(LIMIT, &web);
    web.write(bytes);
    assert_eq!(web.response().status, 200);
    let bytes = call(LIMIT + 1, &web);
    // It is refused at the head: the body may not find a reader any more.
    let _ = web.try_write(bytes);
    let response = web.response();
    response.is_refused(413, ErrorCode::FrameTooLarge);
    assert_eq!(response.header("connection"), Some("close"));
    // In chunks nothing is announced.
    let mut web = Web::to(daemon.address());
    web.write("POST /v1/call/login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = format!("{:x}\r\n{}\r\n", 1000, " ".repeat(1000));
    for _ in 0..9 {
        let _ = web.try_write(&chunk);
    }
    web.response().is_refused(413, ErrorCode::FrameTooLarge);
}

#[test]
fn a_requests_own_name_is_repeated_if_it_can_stand_in_a_header() {
    let daemon = Daemon::start();
    let mut web = Web::to(daemon.address());
    let longest = "a".repeat(64);
    for name in ["1", "req-7_8.9:0", &longest] {
        for (target, status) in [("/healthz", 200), ("/nowhere", 404), ("/v1/events", 401)] {
            let response = web.request("GET", target, &[("X-Request-Id", name)], "");
            assert_eq!(
                (response.status, response.header("x-request-id")),
                (status, Some(name))
            );
        }
    }
    let too_long = "a".repeat(65);
    for name in ["", "two words", "a\"b", "caf\u{e9}", "<script>", &too_long] {
        let response = web.request("GET", "/healthz", &[("X-Request-Id", name)], "");
        assert_eq!(
            (response.status, response.header("x-request-id")),
            (200, None),
            "{name}"
        );
    }
    // Nor that of the request before.
    assert_eq!(web.get("/healthz").header("x-request-id"), None);
}

// ---- the end --------------------------------------------------------------------------------------------

/// Registrations on connections of their own, which the one hasher works on one after the other.
fn registrations(address: SocketAddr, count: usize) -> Vec<Web> {
    (0..count)
        .map(|number| {
            let mut web = Web::to(address);
            let register = json!({"name": format!("user{number}"), "password": PASSWORD}).to_string();
            let bytes = web.call_bytes("", "register", &[], &register);
            web.write(bytes);
            web
        })
        .collect()
}

#[test]
fn a_call_under_way_is_answered_before_the_server_goes() {
    let mut daemon = Setup::config("[server]\nloops = 1\nhashers = 1\n").start();
    let mut idle = Web::to(daemon.address());
    assert_eq!(idle.get("/readyz").status, 200);
    let mut webs = registrations(daemon.address(), 4);
    // The one loop has read what was written before this is answered.
    assert_eq!(idle.get("/healthz").status, 200);
    daemon.ask_to_end();
    for web in &mut webs {
        let response = web.response();
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.header("connection"), Some("close"));
        web.end();
    }
    // What waits for nothing is closed without a word.
    idle.end();
    assert!(daemon.ended().success());
}

#[test]
fn what_was_sent_ahead_of_the_servers_end_is_not_done_by_halves() {
    let mut daemon = Setup::config("[server]\nloops = 1\nhashers = 1\n").start();
    let mut web = Web::to(daemon.address());
    let ada = web.register("ada");
    let own = protocol::self_conversation(ada.id).unwrap().get();
    let mut others = registrations(daemon.address(), 3);
    let register = json!({"name": "bob", "password": PASSWORD}).to_string();
    let mut bytes = web.call_bytes("", "register", &[], &register);
    bytes.extend(web.call_bytes(&ada.token, "send", &[], &send_body(own, "abcd")));
    web.write(bytes);
    others.push(Web::to(daemon.address()));
    assert_eq!(others[3].get("/healthz").status, 200);
    daemon.ask_to_end();
    // The one under way is answered. The one behind it is not looked at, and the client knows that by the close.
    let response = web.response();
    assert_eq!(
        (response.status, response.header("connection")),
        (200, Some("close"))
    );
    web.end();
    assert!(daemon.ended().success());
    daemon.start_again();
    let mut web = Web::to(daemon.address());
    assert_eq!(web.get("/readyz").status, 200);
    let (status, refusal) = web.ask(&ada.token, history(own)).unwrap_err();
    assert_eq!(
        (status, refusal.code()),
        (404, ErrorCode::NotFound),
        "nothing was sent"
    );
    let (status, _) = web
        .ask(
            "",
            v1::RegisterRequest {
                name: "bob".to_owned(),
                password: PASSWORD.to_owned(),
                ..v1::RegisterRequest::default()
            },
        )
        .unwrap_err();
    assert_eq!(status, 409, "bob is registered");
}
