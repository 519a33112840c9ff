//! Ends of the daemon: killed, drained, or never begun because something is wrong with how it was started.

use std::{ffi::OsString, path::Path};

use protocol::{Push, v1::GoAwayReason};
use tests::harness::{Daemon, Ended, Incoming, Setup, text};

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    let mut daemon = Daemon::start();
    let [mut alice, bob] = daemon.register_all(["alice", "bob"]);
    let conversation = alice.direct(bob.id);
    let sent: Vec<u64> = (0..50)
        .map(|number| alice.text(conversation, &format!("message {number}")).seq)
        .collect();
    daemon.restart();
    // Both resume by token, and both read the same.
    let (mut alice, mut bob) = (alice.resumed(), bob.resumed());
    let history = bob.history(conversation);
    assert_eq!(history.iter().map(|event| event.seq).collect::<Vec<_>>(), sent);
    assert_eq!(history, alice.history(conversation));
    // And the log goes on where it was.
    assert_eq!(alice.text(conversation, "after").seq, 51);
}

#[test]
fn a_send_repeated_after_a_kill_is_the_same_message() {
    let mut daemon = Daemon::start();
    let [mut alice, bob] = daemon.register_all(["alice", "bob"]);
    let conversation = alice.direct(bob.id);
    let request = text(conversation, "once");
    let first = alice.get(request.clone());
    daemon.restart();
    let mut alice = alice.resumed();
    let again = alice.get(request);
    assert_eq!(
        (again.epoch, again.seq, again.duplicate),
        (first.epoch, first.seq, true)
    );
    assert_eq!(alice.texts(conversation), ["once"]);
}

#[test]
fn a_drain_says_goodbye_answers_and_ends_well() {
    let mut daemon = Daemon::start();
    let [mut alice, mut bob] = daemon.register_all(["alice", "bob"]);
    let conversation = alice.direct(bob.id);
    let acknowledged = alice.text(conversation, "before").seq;
    daemon.ask_to_end();
    for user in [&mut alice, &mut bob] {
        let rest = user.conn.rest();
        let goodbye = rest.iter().find_map(|incoming| match incoming {
            Incoming::Push(Push::GoAway(go_away)) => Some(go_away.reason()),
            _ => None,
        });
        assert_eq!(goodbye, Some(GoAwayReason::Draining), "{rest:?}");
    }
    assert_eq!(daemon.ended().code(), Some(0));
    // A drained store is one file.
    assert!(!daemon.data_dir().join("imserver.db-wal").exists());
    daemon.start_again();
    let history = bob.resumed().history(conversation);
    assert_eq!(history.last().map(|event| event.seq), Some(acknowledged));
}

#[test]
fn a_drain_without_connections_ends_at_once() {
    let mut daemon = Daemon::start();
    daemon.ask_to_end();
    assert_eq!(daemon.ended().code(), Some(0));
}

fn run(arguments: &[&str]) -> Ended {
    let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
    Daemon::run_to_end(&arguments)
}

/// It did not start, and said why in one sentence that names what is to blame.
#[track_caller]
fn refuses(ended: &Ended, blames: &str) {
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert_eq!(ended.stdout, "", "nothing listens");
    let said: Vec<&str> = ended
        .stderr
        .lines()
        .filter(|line| line.starts_with("imserver: "))
        .collect();
    assert_eq!(said.len(), 1, "one sentence: {ended:?}");
    assert!(said[0].contains(blames), "{said:?} names {blames}");
}

fn with_config(text: &str, arguments: &[&str]) -> Ended {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("imserver.toml");
    std::fs::write(&path, text).unwrap();
    let data = directory.path().join("data");
    let mut all = vec![
        "--config",
        as_text(&path),
        "--data-dir",
        as_text(&data),
        "--listen",
        "127.0.0.1:0",
    ];
    all.extend(arguments);
    run(&all)
}

fn as_text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_good_configuration_checks_and_nothing_starts() {
    let ended = with_config("[groups]\nmembers = 10\n", &["--check-config"]);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(ended.stdout, "configuration ok\n");
}

#[test]
fn a_bad_configuration_is_one_sentence() {
    for (config, blames) in [
        ("[limits]\ntext_bites = 1\n", "text_bites"),
        ("[limits]\nframe_bytes = 1\n", "limits.frame_bytes"),
        (
            "[timeouts]\nidle_ms = 300\nheartbeat_ms = 300\n",
            "timeouts.idle_ms",
        ),
        ("[server]\nlisten = \"nowhere\"\n", "line 2"),
        ("this is not toml", "line 1"),
        ("[limits]\nexempt = [\"everyone\"]\n", "everyone"),
    ] {
        refuses(&with_config(config, &[]), blames);
        refuses(&with_config(config, &["--check-config"]), blames);
    }
    refuses(
        &run(&["--config", "/nonexistent/imserver.toml"]),
        "/nonexistent/imserver.toml",
    );
}

#[test]
fn a_taken_port_is_one_sentence() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let ended = run(&[
        "--listen",
        &address,
        "--data-dir",
        as_text(&directory.path().join("data")),
    ]);
    refuses(&ended, &address);
}

#[test]
fn an_unusable_store_is_one_sentence() {
    let directory = tempfile::tempdir().unwrap();
    // A file where the directory should be.
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    refuses(
        &run(&["--listen", "127.0.0.1:0", "--data-dir", as_text(&file)]),
        "file",
    );
    // Something that is no database.
    let data = directory.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(
        data.join("imserver.db"),
        "this is no database, and long enough to be taken for one".repeat(99),
    )
    .unwrap();
    refuses(
        &run(&["--listen", "127.0.0.1:0", "--data-dir", as_text(&data)]),
        "imserver.db",
    );
}

#[test]
fn a_store_has_one_daemon() {
    let daemon = Setup::default().start();
    let data = daemon.data_dir();
    let ended = run(&["--listen", "127.0.0.1:0", "--data-dir", as_text(&data)]);
    refuses(&ended, "another");
}
