//! Who may ask at all: the page that asks, and the name it asked for.

use protocol::v1::ErrorCode;
use tests::harness::{Daemon, Setup, Web, socket::Socket};

use super::hostile::Stage;

const CONFIGURED: &str = "[http]\norigins = [\"https://chat.example.org\"]\nhosts = [\"chat.example.org\"]\n";

#[test]
fn a_request_from_this_machine_asks_for_this_machine() {
    let mut stage = Stage::with(CONFIGURED);
    let address = stage.daemon.address();
    let mut web = Web::to(address);
    let own = address.to_string();
    for good in [
        own.as_str(),
        "localhost",
        "localhost:7400",
        "LocalHost",
        "127.0.0.1",
        "127.0.0.1:80",
        "[::1]:7400",
        "chat.example.org",
        "Chat.Example.ORG:443",
    ] {
        assert_eq!(
            web.request("GET", "/healthz", &[("Host", good)], "").status,
            200,
            "{good}"
        );
    }
    // A name of somebody else's that was made to mean this address.
    for wrong in [
        "rebound.example.net",
        "rebound.example.net:7400",
        "localhost.example.net",
        "127.0.0.1.example.net",
        "chat.example.org.example.net",
        "192.0.2.1",
        "[2001:db8::1]",
    ] {
        for target in ["/healthz", "/", "/v1/call/login", "/v1/events", "/v1/socket"] {
            web.request("GET", target, &[("Host", wrong)], "")
                .is_refused(403, ErrorCode::Forbidden);
        }
        let refused = Socket::try_open(address, &[("Host", wrong)]).unwrap_err();
        assert_eq!(refused.status, 403);
        stage.still_serves();
    }
}

#[test]
fn behind_a_proxy_any_name_is_asked_for() {
    let daemon = Setup::config("[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n").start();
    let mut web = Web::to(daemon.address());
    let headers = [("Host", "chat.example.org"), ("X-Forwarded-For", "192.0.2.1")];
    assert_eq!(web.request("GET", "/healthz", &headers, "").status, 200);
}

#[test]
fn a_page_of_another_origin_is_refused_and_reads_nothing() {
    let mut stage = Stage::with(CONFIGURED);
    let address = stage.daemon.address();
    let mut web = Web::to(address);
    let carol = web.register("carol");
    let bearer = format!("Bearer {}", carol.token);
    let own = address.to_string();
    for foreign in [
        "https://example.net",
        "http://chat.example.org",
        "https://chat.example.org:8443",
        "https://chat.example.org.example.net",
        "null",
        "",
        "https://chat.example.org, https://example.net",
        "file://",
    ] {
        for (method, target) in [
            ("POST", "/v1/call/list_devices"),
            ("GET", "/v1/events"),
            ("GET", "/"),
        ] {
            let headers = [("Origin", foreign), ("Authorization", bearer.as_str())];
            let response = web.request(method, target, &headers, "");
            response.is_refused(403, ErrorCode::Forbidden);
            assert_eq!(
                response.header("access-control-allow-origin"),
                None,
                "{foreign:?}"
            );
        }
        let refused = Socket::try_open(address, &[("Origin", foreign)]).unwrap_err();
        assert_eq!(refused.status, 403, "{foreign:?}");
        stage.still_serves();
        let preflight = web.request("OPTIONS", "/v1/call/send", &[("Origin", foreign)], "");
        assert_eq!(preflight.status, 403);
        assert_eq!(preflight.header("access-control-allow-methods"), None);
    }
    // Its own pages may, and need no permission to read.
    let origin = format!("http://{own}");
    let headers = [("Origin", origin.as_str()), ("Authorization", bearer.as_str())];
    let response = web.request("POST", "/v1/call/list_devices", &headers, "");
    assert_eq!(
        (response.status, response.header("access-control-allow-origin")),
        (200, None)
    );
    assert!(Socket::try_open(address, &[("Origin", &origin)]).is_ok());
}

#[test]
fn a_page_of_a_listed_origin_may_call_and_read() {
    const ORIGIN: (&str, &str) = ("Origin", "https://chat.example.org");
    let daemon = Setup::config(CONFIGURED).start();
    let mut web = Web::to(daemon.address());
    let ada = web.register("ada");
    let bearer = format!("Bearer {}", ada.token);
    let asks = [
        ORIGIN,
        ("Access-Control-Request-Method", "POST"),
        (
            "Access-Control-Request-Headers",
            "authorization, content-type, idempotency-key",
        ),
    ];
    for target in [
        "/v1/call/send",
        "/v1/call/login",
        "/v1/events",
        "/v1/events/ticket",
    ] {
        let preflight = web.request("OPTIONS", target, &asks, "");
        assert_eq!(preflight.status, 204);
        assert_eq!(preflight.header("access-control-allow-origin"), Some(ORIGIN.1));
        assert_eq!(preflight.header("vary"), Some("Origin"));
        let methods = preflight.header("access-control-allow-methods").unwrap();
        assert!(methods.contains("POST") && methods.contains("GET"), "{methods}");
        let headers = preflight
            .header("access-control-allow-headers")
            .unwrap()
            .to_ascii_lowercase();
        for name in [
            "authorization",
            "content-type",
            "idempotency-key",
            "last-event-id",
            "x-request-id",
        ] {
            assert!(headers.contains(name), "{name} of {headers}");
        }
        // A page's own credentials are never sent along.
        assert_eq!(preflight.header("access-control-allow-credentials"), None);
    }
    for (name, expected) in [("list_devices", 200), ("no_such", 404)] {
        let response = web.call_with(&ada.token, name, &[ORIGIN], "");
        assert_eq!(response.status, expected);
        assert_eq!(response.header("access-control-allow-origin"), Some(ORIGIN.1));
        assert_eq!(response.header("vary"), Some("Origin"));
        assert!(
            response
                .header("access-control-expose-headers")
                .unwrap()
                .contains("Retry-After")
        );
    }
    let events = tests::harness::Events::open_at(daemon.address(), &ada.token, "/v1/events", &[ORIGIN]);
    assert_eq!(events.head.header("access-control-allow-origin"), Some(ORIGIN.1));
    assert!(Socket::try_open(daemon.address(), &[ORIGIN, ("Authorization", &bearer)]).is_ok());
}

#[test]
fn a_preflight_without_an_origin_gives_nothing_away() {
    let daemon = Daemon::start();
    let mut web = Web::to(daemon.address());
    let response = web.request("OPTIONS", "/v1/call/send", &[], "");
    assert_eq!(response.status, 204);
    assert!(
        response
            .headers
            .iter()
            .all(|(name, _)| !name.starts_with("access-control"))
    );
    assert_eq!(web.request("OPTIONS", "/nowhere", &[], "").status, 404);
}
