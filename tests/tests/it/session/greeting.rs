//! Hello, welcome, ping, versions.

use protocol::{
    CAPABILITY_ANSWER_IS_EVENT, Command, Encoding, MAGIC, MessageType, VERSION,
    v1::{self, ErrorCode},
};
use tests::harness::{Connection, Daemon, hello, login, refused, text};

#[test]
fn a_hello_is_answered_with_what_the_client_must_know() {
    let daemon = Daemon::start();
    let welcome = daemon.connect().ask(hello("one")).unwrap();
    assert_eq!(welcome.version, VERSION);
    assert!(welcome.server.starts_with("imserver/"), "{}", welcome.server);
    assert_eq!(welcome.node, "imserver");
    assert_eq!((welcome.heartbeat_ms, welcome.idle_ms), (15_000, 40_000));
    assert!(welcome.server_time_ms > 1_600_000_000_000);
    assert_eq!(welcome.session, None);
    let limits = welcome.limits.unwrap();
    assert_eq!(limits.frame_bytes_max, 64 * 1024);
    assert_eq!(limits.text_bytes_max, 4 * 1024);
    assert_eq!(limits.requests_in_flight_max, 32);
    assert_eq!(limits.page_events_max, 500);
    assert_eq!(limits.group_members_max, 2_000);
}

#[test]
fn an_empty_ping_is_answered_before_the_hello() {
    let daemon = Daemon::start();
    let mut conn = daemon.connect();
    for _ in 0..3 {
        let pong = conn.ask(v1::Ping {}).unwrap();
        assert!(pong.sync_token.is_empty());
    }
    conn.ask(hello("one")).unwrap();
    conn.ask(v1::Ping {}).unwrap();
}

#[test]
fn a_ping_may_have_no_seq() {
    let daemon = Daemon::start();
    let mut conn = daemon.connect();
    conn.write(&[0, 0, 0, 0, 0x03, 0xEA, 0, 0]);
    conn.answer::<v1::Ping>(0).unwrap();
}

#[test]
fn the_first_frame_is_a_hello() {
    let daemon = Daemon::start();
    let mut conn = daemon.connect();
    assert_eq!(refused(conn.ask(login("nobody"))), ErrorCode::Protocol);
    conn.end();
}

#[test]
fn a_hello_is_said_once() {
    let daemon = Daemon::start();
    let mut conn = daemon.connect();
    conn.ask(hello("one")).unwrap();
    assert_eq!(refused(conn.ask(hello("one"))), ErrorCode::Protocol);
    conn.end();
}

#[test]
fn a_third_hello_is_tried_and_a_fourth_is_not() {
    let daemon = Daemon::start();
    let mut conn = daemon.connect();
    let unknown = v1::Hello {
        session_token: "imt1_unknown".to_owned(),
        ..hello("one")
    };
    for _ in 0..3 {
        assert_eq!(refused(conn.ask(unknown.clone())), ErrorCode::Unauthenticated);
    }
    assert_eq!(refused(conn.ask(unknown)), ErrorCode::Protocol);
    conn.end();
}

#[test]
fn after_a_refused_token_the_same_connection_may_log_in() {
    let daemon = Daemon::start();
    daemon.register("ada");
    let mut conn = daemon.connect();
    let unknown = v1::Hello {
        session_token: "imt1_unknown".to_owned(),
        ..hello("two")
    };
    assert_eq!(refused(conn.ask(unknown)), ErrorCode::Unauthenticated);
    conn.ask(hello("two")).unwrap();
    conn.ask(login("ada")).unwrap();
}

#[test]
fn what_needs_a_session_is_refused_without_one() {
    let daemon = Daemon::start();
    let ada = daemon.register("ada");
    let mut conn = daemon.connect();
    conn.ask(hello("one")).unwrap();
    assert_eq!(
        refused(conn.ask(text(ada.own(), "not me"))),
        ErrorCode::Unauthenticated
    );
    conn.end();
    let mut ada = ada;
    assert_eq!(
        ada.page(ada.own(), 1, 10).unwrap_err().code(),
        ErrorCode::NotFound
    );
}

#[test]
fn a_client_of_the_next_release_is_welcome() {
    let daemon = Daemon::start();
    let newer = v1::Hello {
        version_min: VERSION,
        version_max: VERSION + 1,
        ..hello("one")
    };
    assert_eq!(daemon.connect().ask(newer).unwrap().version, VERSION);
}

#[test]
fn a_client_of_other_versions_only_is_told_which_are_spoken() {
    let daemon = Daemon::start();
    let mut conn = daemon.connect();
    let newer = v1::Hello {
        version_min: VERSION + 1,
        version_max: VERSION + 2,
        ..hello("one")
    };
    let refusal = conn.ask(newer).unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::UnsupportedVersion);
    assert_eq!((refusal.version_min, refusal.version_max), (VERSION, VERSION));
    conn.end();
}

#[test]
fn unknown_fields_and_capabilities_are_passed_over() {
    let daemon = Daemon::start();
    let mut conn = daemon.connect();
    let hello = v1::Hello {
        capabilities: u64::MAX,
        ..hello("one")
    };
    let mut body = Encoding::Protobuf.encode(&hello).to_vec();
    // Field 1000 as a varint, field 1001 as five bytes.
    body.extend([0xC0, 0x3E, 0x07, 0xCA, 0x3E, 0x05, b'h', b'e', b'l', b'l', b'o']);
    conn.write_frame(MessageType::request(Command::Hello.number()), 9, body);
    let welcome = conn.answer::<v1::Hello>(9).unwrap();
    assert_eq!(welcome.capabilities, CAPABILITY_ANSWER_IS_EVENT);
}

#[test]
fn another_programs_hello_is_refused() {
    let daemon = Daemon::start();
    let wrong_magic = v1::Hello {
        magic: MAGIC + 1,
        ..hello("one")
    };
    let without_device = v1::Hello {
        device: None,
        ..hello("one")
    };
    let backwards = v1::Hello {
        version_min: 2,
        version_max: 1,
        ..hello("one")
    };
    for (hello, code) in [
        (wrong_magic, ErrorCode::Protocol),
        (without_device, ErrorCode::Invalid),
        (backwards, ErrorCode::Invalid),
        (hello("no spaces"), ErrorCode::Invalid),
        (hello(""), ErrorCode::Invalid),
        (hello(&"x".repeat(65)), ErrorCode::Invalid),
    ] {
        let mut conn = daemon.connect();
        assert_eq!(refused(conn.ask(hello.clone())), code, "{hello:?}");
        conn.end();
    }
}

#[test]
fn a_second_authentication_is_an_error_and_changes_nobody() {
    let daemon = Daemon::start();
    let [mut ada, eve] = daemon.register_all(["ada", "eve"]);
    for second in [hello_request, login_request, register_request] {
        let mut eve = eve.resumed();
        assert_eq!(second(&mut eve.conn), ErrorCode::Protocol);
        eve.conn.end();
    }
    let devices = ada.get(v1::ListDevicesRequest {});
    assert_eq!(devices.sessions.len(), 1, "nobody logged in as ada");
}

fn hello_request(conn: &mut Connection) -> ErrorCode {
    refused(conn.ask(hello("first")))
}

fn login_request(conn: &mut Connection) -> ErrorCode {
    refused(conn.ask(login("ada")))
}

fn register_request(conn: &mut Connection) -> ErrorCode {
    refused(conn.ask(v1::RegisterRequest {
        name: "mallory".to_owned(),
        password: "a password of hers".to_owned(),
        display_name: String::new(),
    }))
}

#[test]
fn a_ping_before_the_hello_has_no_body() {
    let daemon = Daemon::start();
    for body in [&b"{}"[..], b"\x0a\x00", b"\xff"] {
        let mut conn = daemon.connect();
        conn.write_frame(MessageType::request(Command::Ping.number()), 1, body);
        assert_eq!(conn.refusal_of(1).code(), ErrorCode::Invalid, "{body:?}");
        conn.end();
    }
    // Later a body is written as the hello said, and fields that nobody knows are passed over.
    let mut conn = daemon.connect();
    conn.ask(hello("one")).unwrap();
    conn.write_frame(MessageType::request(Command::Ping.number()), 7, &b"\x0a\x00"[..]);
    conn.answer::<v1::Ping>(7).unwrap();
}

#[test]
fn a_mistyped_name_does_not_cost_the_connection() {
    let daemon = Daemon::start();
    let mut conn = daemon.connect();
    conn.ask(hello("one")).unwrap();
    let register = |name: &str, password: &str| v1::RegisterRequest {
        name: name.to_owned(),
        password: password.to_owned(),
        display_name: String::new(),
    };
    for (name, password, field) in [
        ("no name", "long enough", "name"),
        ("", "long enough", "name"),
        ("ada", "short", "password"),
    ] {
        let refusal = conn.ask(register(name, password)).unwrap_err();
        assert_eq!(
            (refusal.code(), refusal.field.as_str()),
            (ErrorCode::Invalid, field)
        );
    }
    assert_eq!(refused(conn.ask(login("no name"))), ErrorCode::Invalid);
    conn.ask(register("ada", "long enough")).unwrap();
}
