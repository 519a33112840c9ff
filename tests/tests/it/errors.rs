//! Every code that a refusal can have, and something that brings it about.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use protocol::{
    Command, MessageType,
    v1::{self, ErrorClass, ErrorCode},
};
use rusqlite::Connection as Database;
use tests::harness::{Connection, Daemon, PASSWORD, PATIENCE, Setup, hello, login, message_id, text};

/// How a code comes about, or why it cannot from outside.
enum Source {
    From(fn() -> v1::Error),
    NotFromOutside(&'static str),
}

/// No wildcard: a new code needs a line here before this compiles.
fn source(code: ErrorCode) -> Source {
    use Source::{From, NotFromOutside};
    match code {
        ErrorCode::Unspecified => NotFromOutside("it is what a refusal without a code would be"),
        ErrorCode::Internal => NotFromOutside("it would take a defect of the server"),
        ErrorCode::ResourceExhausted => NotFromOutside("it takes a full disk: see restart::a_full_disk"),
        ErrorCode::Unavailable => From(unavailable),
        ErrorCode::Overloaded => From(overloaded),
        ErrorCode::RateLimited => From(rate_limited),
        ErrorCode::Draining => From(draining),
        ErrorCode::Protocol => From(protocol),
        ErrorCode::FrameTooLarge => From(frame_too_large),
        ErrorCode::UnsupportedVersion => From(unsupported_version),
        ErrorCode::UnknownCommand => From(unknown_command),
        ErrorCode::Invalid => From(invalid),
        ErrorCode::TooMany => From(too_many),
        ErrorCode::Timeout => From(timeout),
        ErrorCode::Unauthenticated => From(unauthenticated),
        ErrorCode::BadCredentials => From(bad_credentials),
        ErrorCode::NameTaken => From(name_taken),
        ErrorCode::Forbidden => From(forbidden),
        ErrorCode::NotFound => From(not_found),
        ErrorCode::RegistrationClosed => From(registration_closed),
        ErrorCode::Conflict => From(conflict),
        ErrorCode::EpochMismatch => From(epoch_mismatch),
        ErrorCode::OutOfRange => From(out_of_range),
        ErrorCode::Gone => From(gone),
        ErrorCode::LimitReached => From(limit_reached),
    }
}

/// Codes whose refusal says "later" and therefore when.
const RETRY: [ErrorCode; 5] = [
    ErrorCode::Unavailable,
    ErrorCode::Overloaded,
    ErrorCode::RateLimited,
    ErrorCode::Draining,
    ErrorCode::ResourceExhausted,
];

#[test]
fn every_code_is_brought_about_by_something() {
    let codes: Vec<ErrorCode> = (0..=255)
        .filter_map(|number| ErrorCode::try_from(number).ok())
        .collect();
    let mut produced = 0;
    for code in codes {
        match source(code) {
            Source::From(produce) => {
                let refusal = produce();
                assert_eq!(refusal.code(), code, "{refusal:?}");
                assert!(
                    !refusal.message.is_empty() && refusal.message.len() <= 256,
                    "{refusal:?}"
                );
                let class = if RETRY.contains(&code) {
                    ErrorClass::Retry
                } else {
                    ErrorClass::NotApplied
                };
                assert_eq!(refusal.class(), class, "{refusal:?}");
                assert_eq!(refusal.retry_after_ms > 0, RETRY.contains(&code), "{refusal:?}");
                produced += 1;
            }
            Source::NotFromOutside(reason) => println!("{}: {reason}", code.as_str_name()),
        }
    }
    assert_eq!(produced, 22);
}

fn welcomed(daemon: &Daemon) -> Connection {
    let mut conn = daemon.connect();
    conn.ask(hello("one")).unwrap();
    conn
}

/// Takes the store's write lock from another process's place.
pub(crate) fn lock(database: &Path) -> Database {
    let database = Database::open(database).unwrap();
    database.busy_timeout(PATIENCE).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    database
}

fn unavailable() -> v1::Error {
    let daemon = Setup::default().allow_errors().start();
    let mut ada = daemon.register("ada");
    let own = ada.own();
    let lock = lock(&daemon.database());
    let send = text(own, "not now");
    let refusal = ada.ask(send.clone()).unwrap_err();
    // Reading goes on meanwhile, and writing once it can.
    ada.get(v1::ListDevicesRequest {});
    drop(lock);
    assert!(!ada.get(send).duplicate, "it was not applied");
    refusal
}

fn overloaded() -> v1::Error {
    let daemon = Setup::config("[server]\nhashers = 1\n[limits]\nhash_queue = 1\n").start();
    daemon.register("ada");
    let mut conns: Vec<(Connection, u16)> = (0..12)
        .map(|_| {
            let mut conn = welcomed(&daemon);
            let seq = conn.submit(v1::LoginRequest {
                password: "not the password".to_owned(),
                ..login("ada")
            });
            (conn, seq)
        })
        .collect();
    let refusals: Vec<v1::Error> = conns
        .iter_mut()
        .map(|(conn, seq)| conn.refusal_of(*seq))
        .collect();
    refusals
        .into_iter()
        .find(|refusal| refusal.code() == ErrorCode::Overloaded)
        .expect("twelve at once do not fit one place")
}

fn rate_limited() -> v1::Error {
    let daemon = Setup::config("[limits]\nexempt = []\nsends_burst = 3\nsends_per_second = 1\n").start();
    let mut ada = daemon.register("ada");
    let own = ada.own();
    let sends: Vec<v1::SendRequest> = (0..50).map(|number| text(own, &number.to_string())).collect();
    let seqs: Vec<u16> = sends.iter().map(|send| ada.conn.submit(send.clone())).collect();
    let refused: Vec<(v1::SendRequest, v1::Error)> = sends
        .into_iter()
        .zip(seqs)
        .filter_map(|(send, seq)| Some((send, ada.conn.answer::<v1::SendRequest>(seq).err()?)))
        .collect();
    assert!(refused.len() <= 47, "the burst was granted");
    let (send, refusal) = refused.into_iter().next().expect("fifty at once are too many");
    // After the wait that it names, it is taken.
    let until = Instant::now() + Duration::from_millis(u64::from(refusal.retry_after_ms));
    while Instant::now() < until {
        let left = until.saturating_duration_since(Instant::now());
        ada.conn.poll(left);
    }
    ada.get(send);
    refusal
}

fn draining() -> v1::Error {
    let mut daemon = Setup::default().allow_errors().start();
    let mut ada = daemon.register("ada");
    let own = ada.own();
    // With a send in flight, the connection is there to be told.
    let lock = lock(&daemon.database());
    let in_flight = ada.conn.submit(text(own, "in flight"));
    daemon.ask_to_end();
    assert_eq!(ada.conn.go_away().reason(), v1::GoAwayReason::Draining);
    let refusal = ada.ask(text(own, "too late")).unwrap_err();
    drop(lock);
    // Answered either way, before the end.
    let _ = ada.conn.answer::<v1::SendRequest>(in_flight);
    assert!(daemon.ended().success());
    refusal
}

fn protocol() -> v1::Error {
    let daemon = Daemon::start();
    daemon.connect().ask(login("ada")).unwrap_err()
}

fn frame_too_large() -> v1::Error {
    let daemon = Daemon::start();
    let mut conn = daemon.connect();
    conn.write(&[0xFF; 8]);
    conn.refusal()
}

fn unsupported_version() -> v1::Error {
    let daemon = Daemon::start();
    let newer = v1::Hello {
        version_min: 2,
        version_max: 3,
        ..hello("one")
    };
    daemon.connect().ask(newer).unwrap_err()
}

fn unknown_command() -> v1::Error {
    let daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    ada.conn.write_frame(MessageType::request(4_999), 900, &b""[..]);
    ada.conn.refusal_of(900)
}

fn invalid() -> v1::Error {
    let daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    ada.conn
        .write_frame(MessageType::request(Command::Send.number()), 900, &b"\xFF"[..]);
    ada.conn.refusal_of(900)
}

fn too_many() -> v1::Error {
    let daemon = Daemon::start();
    let user_ids = vec![1; 1_001];
    daemon
        .register("ada")
        .ask(v1::GetUsersRequest { user_ids })
        .unwrap_err()
}

fn timeout() -> v1::Error {
    let daemon = Setup::config("[timeouts]\nhandshake_ms = 200\n").start();
    let mut conn = daemon.connect();
    conn.write(&[0]);
    conn.refusal()
}

fn unauthenticated() -> v1::Error {
    let daemon = Daemon::start();
    welcomed(&daemon).ask(v1::ListDevicesRequest {}).unwrap_err()
}

fn bad_credentials() -> v1::Error {
    let daemon = Daemon::start();
    welcomed(&daemon).ask(login("nobody")).unwrap_err()
}

fn register(conn: &mut Connection, name: &str) -> v1::Error {
    conn.ask(v1::RegisterRequest {
        name: name.to_owned(),
        password: PASSWORD.to_owned(),
        display_name: String::new(),
    })
    .unwrap_err()
}

fn name_taken() -> v1::Error {
    let daemon = Daemon::start();
    daemon.register("ada");
    register(&mut welcomed(&daemon), "ada")
}

fn forbidden() -> v1::Error {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let group = ada.group("us", &[bob.id]);
    bob.disband(group).unwrap_err()
}

fn not_found() -> v1::Error {
    let daemon = Daemon::start();
    let name = "nobody".to_owned();
    daemon
        .register("ada")
        .ask(v1::FindUserRequest { name })
        .unwrap_err()
}

fn registration_closed() -> v1::Error {
    let daemon = Setup::config("[accounts]\nregistration = false\n").start();
    register(&mut welcomed(&daemon), "ada")
}

fn conflict() -> v1::Error {
    let daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    let own = ada.own();
    let send = text(own, "one");
    ada.get(send.clone());
    ada.ask(v1::SendRequest {
        client_msg_id: send.client_msg_id,
        ..text(own, "two")
    })
    .unwrap_err()
}

fn epoch_mismatch() -> v1::Error {
    let daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    let own = ada.own();
    ada.text(own, "one");
    ada.ask(v1::HistoryRequest {
        conversation_id: own,
        epoch: ada.epoch ^ 1,
        from_seq: 1,
        limit: 1,
        ..v1::HistoryRequest::default()
    })
    .unwrap_err()
}

fn out_of_range() -> v1::Error {
    let daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    let own = ada.own();
    ada.text(own, "one");
    ada.page(own, 3, 1).unwrap_err()
}

fn gone() -> v1::Error {
    let daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    let group = ada.group("me", &[]);
    ada.disband(group).unwrap();
    ada.ask(text(group, "anyone?")).unwrap_err()
}

fn limit_reached() -> v1::Error {
    let daemon = Setup::config("[groups]\nper_user = 1\n").start();
    let mut ada = daemon.register("ada");
    ada.group("one", &[]);
    ada.ask(v1::CreateGroupRequest {
        client_msg_id: message_id(),
        name: "two".to_owned(),
        user_ids: vec![],
    })
    .unwrap_err()
}
