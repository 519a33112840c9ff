//! The certificate: at start, and under connections that go on while it is replaced.

use std::time::{Duration, Instant};

use protocol::v1;
use tests::harness::{Connection, Daemon, PATIENCE, Setup, User, hello, text};

use super::Pki;

/// Waits until a new connection is shown another certificate than this one.
fn until_another_is_shown(pki: &Pki, daemon: &Daemon, old: &[u8]) {
    let deadline = Instant::now() + PATIENCE;
    while pki.connect(daemon).certificate().unwrap() == old {
        assert!(Instant::now() < deadline, "the old certificate is shown still");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Accounts with sessions, made before the daemon starts: hashing so many passwords would take a while.
fn provisioned(data: &std::path::Path, count: usize) -> Vec<String> {
    let count = count.to_string();
    let arguments = ["provision", "--count", &count, "--prefix", "u", "--data-dir"];
    let mut arguments: Vec<std::ffi::OsString> = arguments.iter().map(Into::into).collect();
    arguments.push(data.into());
    let ended = Daemon::run_to_end(&arguments);
    assert!(ended.status.success(), "{ended:?}");
    let token = |line: &str| line.split('\t').nth(2).unwrap().to_owned();
    ended.stdout.lines().map(token).collect()
}

fn resumed(mut conn: Connection, token: &str, number: usize) -> User {
    let hello = v1::Hello {
        session_token: token.to_owned(),
        ..hello("provisioned")
    };
    let device = format!("device-{number}");
    let welcome = conn.ask(hello).unwrap();
    let address = conn.stream().peer_addr().unwrap();
    let session = v1::Session {
        token: token.to_owned(),
        ..welcome.session.unwrap()
    };
    User::of(address, conn, &device, session)
}

fn chats_while_certificates_are_replaced(connections: usize) {
    let pki = Pki::new();
    let data = tempfile::tempdir().unwrap();
    let data = data.path().join("data");
    let tokens = provisioned(&data, connections);
    let daemon = Setup {
        data_dir: Some(data),
        ..Setup::config(&pki.section())
    }
    .start();
    let mut users: Vec<User> = tokens
        .iter()
        .enumerate()
        .map(|(number, token)| resumed(pki.connect(&daemon), token, number))
        .collect();
    let old = users[0].conn.certificate().unwrap();
    for round in 0..3 {
        // All have an unanswered message while the certificate is replaced.
        let sent: Vec<u16> = users
            .iter_mut()
            .map(|user| {
                let own = user.own();
                user.conn.submit(text(own, &format!("round {round}")))
            })
            .collect();
        let shown = pki.connect(&daemon).certificate().unwrap();
        pki.renew();
        daemon.ask_to_reload();
        for (user, seq) in users.iter_mut().zip(sent) {
            user.conn.answer::<v1::SendRequest>(seq).unwrap();
        }
        until_another_is_shown(&pki, &daemon, &shown);
    }
    for user in &mut users {
        let own = user.own();
        assert_eq!(user.texts(own), ["round 0", "round 1", "round 2"]);
        assert_eq!(user.conn.certificate().unwrap(), old, "it is the same connection");
    }
}

/// 200; `xtask test --all` has the time for 1,000.
#[test]
fn hundreds_of_connections_notice_nothing_of_a_reload() {
    let is_long = std::env::var("DISASTERS").is_ok_and(|wanted| wanted == "all");
    chats_while_certificates_are_replaced(if is_long { 1_000 } else { 200 });
}

#[test]
fn a_certificate_that_changes_is_shown_without_being_asked_for() {
    let pki = Pki::new();
    let daemon = pki.daemon();
    let mut conn = pki.connect(&daemon);
    let old = conn.certificate().unwrap();
    pki.renew();
    until_another_is_shown(&pki, &daemon, &old);
    conn.ask(hello("stays")).unwrap();
    // Half a renewal is none: the old one is shown until the key is there, too.
    let shown = pki.connect(&daemon).certificate().unwrap();
    std::fs::write(pki.path("cert.pem"), "-----BEGIN CERTIFICATE-----\nbroken").unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !daemon.log().iter().any(|line| line.contains("stays as it was")) {
        assert!(Instant::now() < deadline, "{:#?}", daemon.log());
        std::thread::park_timeout(Duration::from_millis(20));
    }
    assert_eq!(pki.connect(&daemon).certificate().unwrap(), shown);
    pki.renew();
    until_another_is_shown(&pki, &daemon, &shown);
}

#[test]
fn what_cannot_be_served_with_is_named_and_nothing_is_made() {
    let pki = Pki::new();
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let file = directory.path().join("imserver.toml");
    let refused = |named: &str| {
        for check in [false, true] {
            let mut arguments: Vec<std::ffi::OsString> = ["--listen", "127.0.0.1:0", "--config"]
                .iter()
                .map(Into::into)
                .collect();
            arguments.push(file.clone().into());
            arguments.extend(["--data-dir".into(), data.clone().into()]);
            arguments.extend(check.then(|| "--check-config".into()));
            let ended = Daemon::run_to_end(&arguments);
            assert_eq!(ended.status.code(), Some(1), "{ended:?}");
            assert!(ended.stderr.contains(named), "{named}: {ended:?}");
            assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
            assert!(!data.exists());
        }
    };
    std::fs::write(&file, pki.section()).unwrap();
    let good = std::fs::read(pki.path("key.pem")).unwrap();
    for (name, content, named) in [
        ("key.pem", &b"no key"[..], "key.pem"),
        ("key.pem", &good, "key.pem"),
        ("cert.pem", b"no certificate", "holds no certificate"),
    ] {
        pki.renew();
        std::fs::write(pki.path(name), content).unwrap();
        refused(named);
    }
    std::fs::remove_file(pki.path("cert.pem")).unwrap();
    refused("cannot be read");
}

/// A reload that cannot be done is none: neither the rest of the file counts.
#[test]
fn a_certificate_that_cannot_be_used_leaves_everything_as_it_was() {
    let pki = Pki::new();
    let daemon = Setup::config(&pki.section()).allow_errors().start();
    let shown = pki.connect(&daemon).certificate().unwrap();
    std::fs::write(pki.path("other.pem"), "no key").unwrap();
    let section = pki.section().replace("key.pem", "other.pem");
    std::fs::write(
        daemon.config_file(),
        format!("{section}[log]\nlevel = \"debug\"\n"),
    )
    .unwrap();
    daemon.ask_to_reload();
    let deadline = Instant::now() + PATIENCE;
    let is_said = |line: &String| line.contains("ERROR") && line.contains("other.pem");
    while !daemon.log().iter().any(is_said) {
        assert!(Instant::now() < deadline, "{:#?}", daemon.log());
        std::thread::park_timeout(Duration::from_millis(20));
    }
    assert_eq!(pki.connect(&daemon).certificate().unwrap(), shown);
    assert!(!daemon.log().iter().any(|line| line.contains("DEBUG")));
}
