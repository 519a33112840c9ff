//! Deadlines: what is too slow is told so and closed.

use std::time::Duration;

use protocol::v1::{self, ErrorCode, GoAwayReason};
use tests::harness::{Incoming, Setup, hello};

/// Each waits for the daemon, so none of them depends on how fast this machine is.
const TRICKLE: Duration = Duration::from_millis(20);

#[test]
fn a_connection_that_says_nothing_is_closed_at_the_handshake_deadline() {
    let daemon = Setup::config("[timeouts]\nhandshake_ms = 300\n").start();
    let mut begun = daemon.connect();
    begun.write(&[0]);
    assert_eq!(begun.refusal().code(), ErrorCode::Timeout);
    begun.end();
    // What would be understood is not known of whoever has sent nothing.
    daemon.connect().end();
}

#[test]
fn a_connection_that_says_nothing_is_told_where_one_protocol_is_spoken() {
    let config =
        "[timeouts]\nhandshake_ms = 300\n[[listen]]\naddress = \"127.0.0.1:0\"\ndoors = [\"native\"]\n";
    let daemon = Setup {
        listens_itself: true,
        ..Setup::config(config)
    }
    .start();
    let mut conn = daemon.connect();
    assert_eq!(conn.refusal().code(), ErrorCode::Timeout);
    conn.end();
}

#[test]
fn bytes_that_trickle_do_not_extend_the_handshake_deadline() {
    let daemon = Setup::config("[timeouts]\nhandshake_ms = 300\n").start();
    let mut conn = daemon.connect();
    let (_, frame) = conn.frame(hello(&"x".repeat(64)));
    // A byte at a time; the deadline comes before the last one.
    let mut sent = 0;
    let incoming = loop {
        if let Some(incoming) = conn.poll(TRICKLE) {
            break incoming;
        }
        let _ = conn.try_write(&frame[sent..=sent]);
        sent += 1;
    };
    assert!(sent < frame.len());
    assert!(
        matches!(&incoming, Incoming::Refused(0, refusal) if refusal.code() == ErrorCode::Timeout),
        "{incoming:?}"
    );
    conn.end();
}

#[test]
fn pings_and_a_welcome_do_not_extend_the_handshake_deadline() {
    let daemon = Setup::config("[timeouts]\nhandshake_ms = 300\n").start();
    let mut conn = daemon.connect();
    conn.ask(hello("one")).unwrap();
    let refusal = loop {
        let (_, ping) = conn.frame(v1::Ping {});
        let _ = conn.try_write(&ping);
        match conn.poll(TRICKLE) {
            None | Some(Incoming::Reply(..)) => {}
            Some(Incoming::Refused(0, refusal)) => break refusal,
            Some(other) => panic!("{other:?}"),
        }
    };
    assert_eq!(refusal.code(), ErrorCode::Timeout);
}

#[test]
fn a_silent_session_is_closed_at_the_idle_deadline_and_may_come_back() {
    let daemon = Setup::config("[timeouts]\nheartbeat_ms = 200\nidle_ms = 500\n").start();
    let mut ada = daemon.register("ada");
    let go_away = ada.conn.go_away();
    assert_eq!(go_away.reason(), GoAwayReason::Idle);
    ada.conn.end();
    ada.resumed().get(v1::ListDevicesRequest {});
}

#[test]
fn a_session_that_pings_stays() {
    let daemon = Setup::config("[timeouts]\nheartbeat_ms = 200\nidle_ms = 2000\n").start();
    let mut ada = daemon.register("ada");
    let mut silent = daemon.login("ada", "silent");
    // Longer than the deadline of the one that says nothing.
    loop {
        ada.get(v1::Ping {});
        match silent.conn.poll(TRICKLE) {
            None => {}
            Some(Incoming::End) => break,
            Some(Incoming::Push(protocol::Push::GoAway(go_away))) => {
                assert_eq!(go_away.reason(), GoAwayReason::Idle);
            }
            Some(other) => panic!("{other:?}"),
        }
    }
    ada.get(v1::ListDevicesRequest {});
}

#[test]
fn a_frame_that_does_not_become_whole_is_closed_at_its_deadline() {
    let daemon = Setup::config("[timeouts]\nframe_ms = 300\n").start();
    let mut ada = daemon.register("ada");
    let own = ada.own();
    let (_, frame) = ada.conn.frame(tests::harness::text(own, &"x".repeat(4_000)));
    let mut sent = 0;
    let incoming = loop {
        if let Some(incoming) = ada.conn.poll(TRICKLE) {
            break incoming;
        }
        // Every byte is progress, and none of them buys time.
        let _ = ada.conn.try_write(&frame[sent..=sent]);
        sent += 1;
    };
    assert!(sent < frame.len());
    assert!(
        matches!(&incoming, Incoming::Refused(0, refusal) if refusal.code() == ErrorCode::Timeout),
        "{incoming:?}"
    );
    ada.conn.end();
    assert_eq!(
        ada.resumed().page(own, 1, 1).unwrap_err().code(),
        ErrorCode::NotFound
    );
}
