//! Registering and logging in.

use protocol::v1::{self, ErrorClass, ErrorCode};
use tests::harness::{Connection, Daemon, PASSWORD, Setup, User, hello, login, refused, text, unnamed};

fn register(conn: &mut Connection, name: &str, password: &str) -> Result<v1::Session, v1::Error> {
    conn.ask(v1::RegisterRequest {
        name: name.to_owned(),
        password: password.to_owned(),
        display_name: String::new(),
    })
}

fn greeted(daemon: &Daemon) -> Connection {
    let mut conn = daemon.connect();
    conn.ask(hello("one")).unwrap();
    conn
}

#[test]
fn registering_makes_an_account_and_a_session() {
    let daemon = Daemon::start();
    let mut conn = greeted(&daemon);
    let session = register(&mut conn, "Ada.L", PASSWORD).unwrap();
    let user = session.user.clone().unwrap();
    assert_eq!(
        (user.name.as_str(), user.display_name.as_str()),
        ("ada.l", "Ada.L"),
        "the account's name is compared in lower case, and shown as it was written"
    );
    assert!(user.user_id > 0 && user.created_at_ms > 1_600_000_000_000);
    assert!(session.token.starts_with("imt1_"));
    let mut ada = User::of(daemon.address(), conn, "one", session);
    ada.text(ada.own(), "a note to myself");
    let mut again = ada.resumed();
    assert_eq!((again.id, again.epoch), (ada.id, ada.epoch));
    assert_eq!(again.texts(again.own()), ["a note to myself"]);
}

#[test]
fn a_resumed_session_is_not_told_its_token_again() {
    let daemon = Daemon::start();
    let ada = daemon.register("ada");
    let welcome = daemon.connect().ask(ada.hello_again()).unwrap();
    let session = welcome.session.unwrap();
    assert!(session.token.is_empty());
    assert_eq!(session.user.unwrap().user_id, ada.id);
}

#[test]
fn a_name_is_taken_once_in_any_case() {
    let daemon = Daemon::start();
    daemon.register("ada");
    for (name, other) in [("ada", "bob"), ("ADA", "cyd"), ("aDa", "dan")] {
        let mut conn = greeted(&daemon);
        assert_eq!(refused(register(&mut conn, name, PASSWORD)), ErrorCode::NameTaken);
        // The connection stays, and may try another name.
        register(&mut conn, other, PASSWORD).unwrap();
    }
}

#[test]
fn of_many_who_register_one_name_at_once_one_gets_it() {
    let daemon = Daemon::start();
    let mut conns: Vec<Connection> = (0..8).map(|_| greeted(&daemon)).collect();
    let seqs: Vec<u16> = conns
        .iter_mut()
        .map(|conn| {
            conn.submit(v1::RegisterRequest {
                name: "ada".to_owned(),
                password: PASSWORD.to_owned(),
                display_name: String::new(),
            })
        })
        .collect();
    let mut made = 0;
    for (mut conn, seq) in conns.into_iter().zip(seqs) {
        match conn.answer::<v1::RegisterRequest>(seq) {
            Ok(_) => made += 1,
            Err(refusal) => assert_eq!(refusal.code(), ErrorCode::NameTaken),
        }
    }
    assert_eq!(made, 1);
}

#[test]
fn names_and_passwords_have_rules() {
    let daemon = Daemon::start();
    let long = "x".repeat(33);
    let names = [
        "",
        ".ada",
        "-ada",
        "a da",
        "ada\n",
        "ada\u{1b}[31m",
        "ädä",
        "ada%s\0",
        "\u{202e}ada",
        "a@b",
        long.as_str(),
    ];
    for name in names {
        let mut conn = greeted(&daemon);
        let refusal = register(&mut conn, name, PASSWORD).unwrap_err();
        assert_eq!(
            (refusal.code(), refusal.field.as_str()),
            (ErrorCode::Invalid, "name"),
            "{name:?}"
        );
        // It may be typed again.
        assert!(register(&mut conn, name, PASSWORD).is_err());
    }
    for password in [
        "",
        "short",
        &"x".repeat(129),
        &"ä".repeat(257),
        &"x".repeat(3_000),
    ] {
        let mut conn = greeted(&daemon);
        let refusal = register(&mut conn, "ada", password).unwrap_err();
        assert_eq!(
            (refusal.code(), refusal.field.as_str()),
            (ErrorCode::Invalid, "password")
        );
    }
    // At the limits.
    daemon.register(&"x".repeat(32));
    register(&mut greeted(&daemon), "ada", &"ä".repeat(128)).unwrap();
}

#[test]
fn a_login_with_the_right_password_makes_a_session_of_its_own() {
    let daemon = Daemon::start();
    let ada = daemon.register("ada");
    let second = daemon.login("ADA", "second");
    assert_eq!(second.id, ada.id);
    assert_ne!((second.session, &second.token), (ada.session, &ada.token));
}

#[test]
fn a_wrong_password_and_an_unknown_name_are_refused_alike() {
    let daemon = Daemon::start();
    daemon.register("ada");
    let attempts = [
        ("ada", "the wrong password"),
        ("ada", ""),
        ("ada", "x"),
        ("nobody", PASSWORD),
        ("nobody", ""),
    ];
    let mut answers: Vec<v1::Error> = attempts
        .into_iter()
        .map(|(name, password)| {
            let request = v1::LoginRequest {
                name: name.to_owned(),
                password: password.to_owned(),
            };
            unnamed(greeted(&daemon).ask(request).unwrap_err())
        })
        .collect();
    assert_eq!(answers[0].code(), ErrorCode::BadCredentials);
    assert_eq!(answers[0].class(), ErrorClass::NotApplied);
    answers.dedup();
    assert_eq!(answers.len(), 1, "nothing tells them apart: {answers:?}");
}

#[test]
fn after_a_wrong_password_the_right_one_is_taken_on_the_same_connection() {
    let daemon = Daemon::start();
    daemon.register("ada");
    let mut conn = greeted(&daemon);
    for _ in 0..2 {
        let wrong = v1::LoginRequest {
            password: "the wrong password".to_owned(),
            ..login("ada")
        };
        assert_eq!(refused(conn.ask(wrong)), ErrorCode::BadCredentials);
    }
    conn.ask(login("ada")).unwrap();
}

#[test]
fn registration_can_be_closed() {
    let mut daemon = Daemon::start();
    daemon.register("ada");
    daemon.kill();
    std::fs::write(daemon.config_file(), "[accounts]\nregistration = false\n").unwrap();
    daemon.start_again();
    let mut conn = greeted(&daemon);
    assert_eq!(
        refused(register(&mut conn, "bob", PASSWORD)),
        ErrorCode::RegistrationClosed
    );
    conn.ask(login("ada")).unwrap();
}

#[test]
fn what_is_sent_behind_a_login_waits_for_it() {
    let daemon = Daemon::start();
    let ada = daemon.register("ada");
    let mut conn = daemon.connect();
    // One segment: hello, login, and two messages behind it.
    let (_, hello) = conn.frame(hello("second"));
    let (login_seq, login) = conn.frame(login("ada"));
    let (first, one) = conn.frame(text(ada.own(), "one"));
    let (second, two) = conn.frame(text(ada.own(), "two"));
    conn.write(&[hello, login, one, two].concat());
    let session = conn.answer::<v1::LoginRequest>(login_seq).unwrap();
    assert_eq!(conn.answer::<v1::SendRequest>(first).unwrap().seq, 1);
    assert_eq!(conn.answer::<v1::SendRequest>(second).unwrap().seq, 2);
    let mut ada = User::of(daemon.address(), conn, "second", session);
    assert_eq!(ada.texts(ada.own()), ["one", "two"]);
}

#[test]
fn what_is_sent_behind_a_refused_login_is_not_done() {
    let daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    let mut conn = daemon.connect();
    let wrong = v1::LoginRequest {
        password: "the wrong password".to_owned(),
        ..login("ada")
    };
    let (_, hello) = conn.frame(hello("second"));
    let (login_seq, login) = conn.frame(wrong);
    let (send_seq, send) = conn.frame(text(ada.own(), "one"));
    conn.write(&[hello, login, send].concat());
    assert_eq!(
        refused(conn.answer::<v1::LoginRequest>(login_seq)),
        ErrorCode::BadCredentials
    );
    assert_eq!(
        refused(conn.answer::<v1::SendRequest>(send_seq)),
        ErrorCode::Unauthenticated
    );
    assert!(conn.rest().len() <= 1, "only the welcome is left");
    assert_eq!(ada.page(ada.own(), 1, 1).unwrap_err().code(), ErrorCode::NotFound);
}

#[test]
fn nothing_secret_is_logged_or_stored_in_the_clear() {
    let daemon = Setup::config("[log]\nlevel = \"trace\"\n").start();
    let mut ada = daemon.register("ada");
    ada.text(ada.own(), "between me and myself");
    let second = daemon.login("ada", "second");
    let log = daemon.log().join("\n");
    let mut database = std::fs::read(daemon.database()).unwrap();
    let mut wal = daemon.database().into_os_string();
    wal.push("-wal");
    database.extend(std::fs::read(wal).unwrap_or_default());
    for secret in [PASSWORD, ada.token.as_str(), second.token.as_str()] {
        assert!(!log.contains(secret), "the log has {secret}");
        let stored = database
            .windows(secret.len())
            .any(|window| window == secret.as_bytes());
        assert!(!stored, "the database has {secret}");
    }
    assert!(!log.contains("between me"), "the log has a body");
}
