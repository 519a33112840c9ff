//! More than anybody needs.

use std::{io::ErrorKind, time::Duration};

use protocol::{
    Command,
    v1::{self, ErrorCode},
};
use tests::harness::{Connection, Daemon, Incoming, Setup, User, hello, login};

use super::Stage;

const MIB: u64 = 1024 * 1024;

/// What the daemon uses more than before, where the system tells.
pub(super) fn grown(daemon: &Daemon, before: Option<u64>) -> u64 {
    match (before, daemon.memory()) {
        (Some(before), Some(now)) => now.saturating_sub(before),
        _ => 0,
    }
}

#[test]
fn connections_that_promise_much_and_send_a_byte_cost_little() {
    const CONNECTIONS: usize = 400;
    let mut stage = Stage::with("[timeouts]\nhandshake_ms = 3000\n");
    let before = stage.daemon.memory();
    let mut bytes = 4096_u32.to_be_bytes().to_vec();
    bytes.extend(Command::Hello.number().to_be_bytes());
    bytes.extend([0, 1, b'{']);
    let mut conns: Vec<Connection> = (0..CONNECTIONS)
        .map(|_| {
            let mut conn = stage.stranger();
            conn.write(&bytes);
            conn
        })
        .collect();
    stage.still_serves();
    let grown = grown(&stage.daemon, before);
    assert!(grown < CONNECTIONS as u64 * 8 * 1024 + 4 * MIB, "{grown} bytes");
    for conn in &mut conns {
        assert_eq!(conn.refusal().code(), ErrorCode::Timeout);
        conn.end();
    }
    stage.still_serves();
}

/// Pings without reading an answer until the daemon gives up.
fn flood(mut conn: Connection, daemon: &Daemon) {
    let before = daemon.memory();
    let (_, ping) = conn.frame(v1::Ping {});
    let many = ping.repeat(10_000);
    conn.stream()
        .set_write_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let (mut sent, mut offset) = (0_u64, 0);
    loop {
        // Whole frames in the end, however the writes are cut.
        use std::io::Write;
        match conn.stream().write(&many[offset..]) {
            Ok(count) => {
                sent += count as u64;
                offset = (offset + count) % many.len();
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
        let grown = grown(daemon, before);
        assert!(grown < 24 * MIB, "{grown} bytes after {sent} bytes of pings");
    }
}

#[test]
fn a_flood_of_pings_whose_pongs_are_not_read_is_bounded_and_closed() {
    let mut stage = Stage::with("[timeouts]\nwrite_stall_ms = 500\n");
    flood(stage.stranger(), &stage.daemon);
    stage.still_serves();
    let ada = stage.daemon.register("ada");
    flood(ada.conn, &stage.daemon);
    stage.still_serves();
}

#[test]
fn a_flood_of_syncs_is_told_to_wait() {
    let mut stage = Stage::with("[limits]\nexempt = []\nrequests_burst = 20\nrequests_per_second = 1\n");
    let mut ada = stage.daemon.register("ada");
    let mut open = std::collections::BTreeSet::new();
    for _ in 0..1_000 {
        open.insert(ada.conn.submit(v1::SyncRequest {
            token: bytes::Bytes::new(),
            limit: 100,
        }));
    }
    let (mut served, mut told) = (0, 0);
    while !open.is_empty() {
        match ada.conn.next() {
            Incoming::Reply(seq, _) => {
                assert!(open.remove(&seq));
                served += 1;
            }
            Incoming::Refused(seq, refusal) => {
                assert!(open.remove(&seq));
                assert_eq!(refusal.code(), ErrorCode::RateLimited);
                assert!(refusal.retry_after_ms > 0);
                told += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(
        served >= 15 && told >= 800,
        "{served} served, {told} told to wait"
    );
    stage.still_serves();
}

#[test]
fn a_storm_of_logins_is_bounded_and_hurts_no_session() {
    const LOGINS: usize = 100;
    let mut stage = Stage::with("[server]\nhashers = 1\n[limits]\nhash_queue = 8\n");
    stage.daemon.register("ada");
    let mut conns: Vec<(Connection, u16)> = (0..LOGINS)
        .map(|number| {
            let mut conn = stage.stranger();
            conn.ask(hello(&number.to_string())).unwrap();
            let seq = conn.submit(v1::LoginRequest {
                password: "not the password".to_owned(),
                ..login("ada")
            });
            (conn, seq)
        })
        .collect();
    stage.still_serves();
    let (mut wrong, mut later) = (0, 0);
    for (conn, seq) in &mut conns {
        match conn.refusal_of(*seq).code() {
            ErrorCode::BadCredentials => wrong += 1,
            ErrorCode::Overloaded => later += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(
        wrong >= 4 && wrong + later == LOGINS,
        "{wrong} were looked at, {later} sent away"
    );
    stage.still_serves();
}

#[test]
fn a_huge_password_is_refused_without_being_hashed() {
    let mut stage = Stage::with("[server]\nhashers = 1\n[limits]\nhash_queue = 1\n");
    stage.daemon.register("ada");
    // Were they hashed, some of them would find the queue full.
    let mut conns: Vec<(Connection, u16)> = (0..50)
        .map(|_| {
            let mut conn = stage.welcomed();
            let seq = conn.submit(v1::LoginRequest {
                password: "x".repeat(3_900),
                ..login("ada")
            });
            (conn, seq)
        })
        .collect();
    for (conn, seq) in &mut conns {
        assert_eq!(conn.refusal_of(*seq).code(), ErrorCode::Invalid);
    }
    stage.still_serves();
}

#[test]
fn passwords_are_not_tried_at_will() {
    let daemon = Setup::config("[limits]\nexempt = []\npasswords_per_address = 4\n").start();
    let ann = daemon.register("ann");
    let mut guesser = daemon.connect();
    guesser.ask(hello("guesser")).unwrap();
    let mut guess = |password: &str| {
        let request = v1::LoginRequest {
            password: password.to_owned(),
            ..login("ann")
        };
        guesser.ask(request).unwrap_err()
    };
    for password in ["guess", "another", "a third"] {
        assert_eq!(guess(password).code(), ErrorCode::BadCredentials);
    }
    let refusal = guess("a fourth");
    assert_eq!(refusal.code(), ErrorCode::RateLimited);
    assert!((1..=15_000).contains(&refusal.retry_after_ms), "{refusal:?}");
    let register = v1::RegisterRequest {
        name: "bob".to_owned(),
        password: "bob's password".to_owned(),
        ..v1::RegisterRequest::default()
    };
    let refusal = guesser.ask(register).unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::RateLimited);
    // Whoever has a session needs no password.
    let mut ann: User = ann.resumed();
    ann.get(v1::ListDevicesRequest {});
}
