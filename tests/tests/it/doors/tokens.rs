//! Whose call it is: tokens that are missing, wrong, or were good until just now.

use protocol::v1::{self, ErrorCode};
use tests::harness::{Account, Daemon, PASSWORD, Web, login};

#[test]
fn without_a_token_that_is_good_a_call_is_refused_with_how_to_ask() {
    let daemon = Daemon::start();
    let mut web = Web::to(daemon.address());
    let ada = web.register("ada");
    let headers = |value: String| vec![("Authorization".to_owned(), value)];
    let wrong = [
        vec![],
        headers(String::new()),
        headers("Bearer".to_owned()),
        headers("Bearer ".to_owned()),
        headers("Bearer imt1_00".to_owned()),
        headers(format!("Basic {}", ada.token)),
        headers(ada.token.clone()),
        headers(format!("Bearer {}0", ada.token)),
        headers(format!("Bearer {} {}", ada.token, ada.token)),
    ];
    for headers in &wrong {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        for (method, target) in [
            ("POST", "/v1/call/list_devices"),
            ("POST", "/v1/events/ticket"),
            ("GET", "/v1/events"),
        ] {
            let response = web.request(method, target, &headers, "");
            response.is_refused(401, ErrorCode::Unauthenticated);
            assert_eq!(response.header("www-authenticate"), Some("Bearer"), "{headers:?}");
        }
    }
    // A token in a URL is none.
    let target = format!("/v1/call/list_devices?token={0}&access_token={0}", ada.token);
    web.request("POST", &target, &[], "")
        .is_refused(401, ErrorCode::Unauthenticated);
    // The scheme is a word in either case, and the connection is as good as before.
    let bearer = format!("bEARER {}", ada.token);
    let response = web.request("POST", "/v1/call/list_devices", &[("Authorization", &bearer)], "");
    assert_eq!(response.status, 200);
}

#[test]
fn a_wrong_password_is_refused_and_the_connection_stays() {
    let daemon = Daemon::start();
    let mut web = Web::to(daemon.address());
    web.register("ada");
    for _ in 0..2 {
        let request = v1::LoginRequest {
            password: "not this one".to_owned(),
            ..login("ada")
        };
        let (status, refusal) = web.ask("", request).unwrap_err();
        assert_eq!((status, refusal.code()), (401, ErrorCode::BadCredentials));
    }
    let again = v1::RegisterRequest {
        name: "ada".to_owned(),
        password: PASSWORD.to_owned(),
        ..v1::RegisterRequest::default()
    };
    let (status, refusal) = web.ask("", again).unwrap_err();
    assert_eq!((status, refusal.code()), (409, ErrorCode::NameTaken));
    web.granted("", login("ada"));
}

/// The token was checked on this very connection just before, by which later calls are spared the check.
#[test]
fn a_revoked_session_calls_nothing_more_on_a_kept_connection() {
    let daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    let mut web = Web::to(daemon.address());
    for _ in 0..5 {
        let script = Account::of(web.granted("", login("ada")));
        for _ in 0..3 {
            assert_eq!(web.call(&script.token, "list_devices", "").status, 200);
        }
        assert_eq!(ada.get(v1::LogoutOthersRequest {}).sessions, 1);
        let response = web.call(&script.token, "list_devices", "");
        response.is_refused(401, ErrorCode::Unauthenticated);
        // Whoever is still logged in is served on the same connection.
        assert_eq!(web.call(&ada.token, "list_devices", "").status, 200);
    }
}

#[test]
fn a_session_that_logged_out_by_a_call_is_over_everywhere() {
    let daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    let mut web = Web::to(daemon.address());
    let response = web.call(&ada.token, "logout", "");
    assert_eq!(response.status, 200, "{}", response.text());
    // Its live connection is told, and closed.
    assert_eq!(ada.conn.go_away().reason(), v1::GoAwayReason::Revoked);
    ada.conn.end();
    let mut web = Web::to(daemon.address());
    web.call(&ada.token, "list_devices", "")
        .is_refused(401, ErrorCode::Unauthenticated);
}
