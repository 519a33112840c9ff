//! Which requests become a WebSocket.

use super::*;
use crate::codec::cutting::cut;
use crate::http::{Incoming, RequestLimits, Requests};

const LINES: [&str; 5] = [
    "Host: a",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

fn head(bytes: &[u8]) -> Head {
    let mut frames = cut(&mut Requests::new(RequestLimits::default()), [bytes]).frames;
    match frames.pop() {
        Some(Incoming::Request(request)) => request.head,
        other => panic!("{other:?}"),
    }
}

/// A request of which one line is another.
fn asked(first: &str, instead: Option<(usize, &str)>) -> Head {
    let mut lines = LINES;
    if let Some((at, line)) = instead {
        lines[at] = line;
    }
    let lines: Vec<_> = lines.into_iter().filter(|line| !line.is_empty()).collect();
    head(format!("{first}\r\n{}\r\n\r\n", lines.join("\r\n")).as_bytes())
}

#[test]
fn a_request_that_asks_rightly_is_accepted() {
    for instead in [
        None,
        Some((1, "upgrade: WebSocket, h2c")),
        Some((2, "Connection: keep-alive, UPGRADE")),
        Some((2, "Connection: keep-alive\r\nConnection: upgrade")),
    ] {
        let accepted = check(&asked("GET / HTTP/1.1", instead), &[]).unwrap();
        assert_eq!(&accepted.accept, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(accepted.protocol, None);
    }
}

#[test]
fn what_does_not_ask_rightly_is_refused() {
    let get = "GET / HTTP/1.1";
    let old = "GET / HTTP/1.0";
    for (first, instead, refused, status) in [
        ("POST / HTTP/1.1", None, Refused::Method, 405),
        ("get / HTTP/1.1", None, Refused::Method, 405),
        (old, None, Refused::NotAsked, 426),
        (get, Some((1, "")), Refused::NotAsked, 426),
        (get, Some((1, "Upgrade: websockets")), Refused::NotAsked, 426),
        (get, Some((2, "")), Refused::NotAsked, 426),
        (get, Some((2, "Connection: close")), Refused::NotAsked, 426),
        (get, Some((3, "")), Refused::Version, 426),
        (get, Some((3, "Sec-WebSocket-Version: 8")), Refused::Version, 426),
        (
            get,
            Some((3, "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13")),
            Refused::Version,
            426,
        ),
        (get, Some((4, "")), Refused::Key, 400),
        (
            get,
            Some((4, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ")),
            Refused::Key,
            400,
        ),
        (
            get,
            Some((4, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j")),
            Refused::Key,
            400,
        ),
        (get, Some((4, "Sec-WebSocket-Key: ?")), Refused::Key, 400),
        (
            get,
            Some((
                4,
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Key: x",
            )),
            Refused::Key,
            400,
        ),
    ] {
        assert_eq!(check(&asked(first, instead), &[]), Err(refused), "{instead:?}");
        assert_eq!(refused.status().code(), status);
        let response = String::from_utf8(refused.response(None).to_vec()).unwrap();
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
        let upgrade = "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n";
        assert_eq!(response.contains(upgrade), status == 426, "{response}");
    }
    let body = LINES.join("\r\n");
    let with_body = head(format!("{get}\r\n{body}\r\nContent-Length: 1\r\n\r\nx").as_bytes());
    assert_eq!(check(&with_body, &[]), Err(Refused::NotAsked));
}

#[test]
fn the_subprotocol_is_the_first_of_the_client_that_the_server_has() {
    for (offered, protocol) in [
        ("b, a", Some("b")),
        ("c,a\r\nSec-WebSocket-Protocol: b", Some("a")),
        ("A", None),
        ("c", None),
        ("", None),
    ] {
        let head = asked(
            "GET / HTTP/1.1",
            Some((0, &format!("Host: a\r\nSec-WebSocket-Protocol: {offered}"))),
        );
        let accepted = check(&head, &["a", "b"]).unwrap();
        assert_eq!(accepted.protocol, protocol, "{offered}");
        let response = String::from_utf8(accepted.response(None).to_vec()).unwrap();
        assert_eq!(response.contains("Sec-WebSocket-Protocol"), protocol.is_some());
        assert!(
            response.ends_with("\r\n\r\n") && !response.contains("Content-Length"),
            "{response}"
        );
    }
}

const REQUEST: Request<'static> = Request {
    host: "a:80",
    target: "/chat?x",
    key: *b"the sample nonce",
    headers: &[("Origin", "http://a")],
};

#[test]
fn both_ends_agree() {
    let head = head(&REQUEST.to_bytes().unwrap());
    assert_eq!((head.target(), head.host()), ("/chat?x", Some("a:80")));
    assert_eq!(head.header("origin"), Some(&b"http://a"[..]));
    let response = check(&head, &[]).unwrap().response(None);
    for at in 0..response.len() {
        assert_eq!(REQUEST.check(&response[..at]), Ok(None));
    }
    let behind = [&response[..], b"\x81\x00"].concat();
    assert_eq!(REQUEST.check(&behind), Ok(Some(response.len())));
}

#[test]
fn an_answer_that_is_no_agreement_is_refused() {
    let ok = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    assert!(REQUEST.check(ok.as_bytes()).is_ok_and(|end| end.is_some()));
    for (from, to, failed) in [
        ("101 Switching Protocols", "403 Forbidden", Failed::Status(403)),
        ("Upgrade: websocket", "Upgrade: h2c", Failed::Headers),
        ("Connection: Upgrade", "Connection: close", Failed::Headers),
        ("s3pP", "s3pQ", Failed::Headers),
        ("Sec-WebSocket-Accept", "X-Accept", Failed::Headers),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
            Failed::Headers,
        ),
        ("HTTP/1.1", "SSH-2.0", Failed::Malformed),
    ] {
        assert_eq!(
            REQUEST.check(ok.replace(from, to).as_bytes()),
            Err(failed),
            "{to}"
        );
    }
    let endless = format!("HTTP/1.1 101 OK\r\nX: {}", "x".repeat(ANSWER_BYTES_MAX));
    assert_eq!(REQUEST.check(endless.as_bytes()), Err(Failed::Malformed));
}

#[test]
fn a_request_cannot_become_two() {
    let refused = |request: Request<'_>| request.to_bytes().is_err();
    assert!(refused(Request {
        host: "a\r\nX: y",
        ..REQUEST
    }));
    assert!(refused(Request {
        target: "/ HTTP/1.1\r\n",
        ..REQUEST
    }));
    assert!(refused(Request {
        target: "x",
        ..REQUEST
    }));
    assert!(refused(Request {
        headers: &[("X", "a\nb")],
        ..REQUEST
    }));
}
