//! An embedded store whose file was copied, put back, emptied, opened twice or written to by a stranger: the daemon
//! notices, says so, and acknowledges nothing that it cannot keep.

use std::{ffi::OsString, path::Path};

use protocol::v1;
use rusqlite::Connection as Database;
use tests::harness::{Daemon, Ended, Setup, text};

fn run(arguments: &[&str], daemon: &Daemon) -> Ended {
    let store = format!("sqlite:{}", daemon.database().display());
    let arguments: Vec<OsString> = arguments
        .iter()
        .chain(&["--store", &store])
        .map(OsString::from)
        .collect();
    Daemon::run_to_end(&arguments)
}

#[track_caller]
fn past(arguments: &[&str], daemon: &Daemon) -> String {
    let arguments: Vec<&str> = ["past"].iter().chain(arguments).copied().collect();
    let ended = run(&arguments, daemon);
    assert!(ended.status.success(), "{ended:?}");
    ended.stdout
}

fn end(daemon: &mut Daemon) {
    daemon.ask_to_end();
    assert_eq!(daemon.ended().code(), Some(0));
}

/// The same content in another file, as `rm` and `cp` would leave it.
fn replace_by_a_copy(database: &Path) {
    let copy = database.with_extension("copy");
    std::fs::copy(database, &copy).unwrap();
    std::fs::rename(&copy, database).unwrap();
}

fn embedded() -> Daemon {
    Setup::default().allow_errors().start()
}

#[test]
fn a_copied_store_has_a_new_past_unless_an_operator_vouches() {
    let mut daemon = embedded();
    let mut ada = daemon.register("ada");
    let own = ada.own();
    ada.text(own, "before");
    end(&mut daemon);
    replace_by_a_copy(&daemon.database());
    // Without a terminal nobody can say yes: it says what it would do, and does nothing.
    let asked = run(&["past", "keep"], &daemon);
    assert!(
        !asked.status.success() && asked.stdout.contains("you vouch"),
        "{asked:?}"
    );
    assert!(asked.stderr.contains("--yes"), "{asked:?}");
    past(&["keep", "--yes"], &daemon);
    daemon.start_again();
    let mut again = ada.resumed();
    assert_eq!(again.epoch, ada.epoch, "it was only moved");
    again.text(own, "after");
    end(&mut daemon);
    replace_by_a_copy(&daemon.database());
    daemon.start_again();
    let mut copied = again.resumed();
    assert_ne!(copied.epoch, ada.epoch);
    assert_eq!(copied.texts(own), ["before", "after"]);
    // It can be looked at while it runs, and is remarked until somebody knows.
    assert!(past(&["show"], &daemon).contains("remark: the file is a copy"));
    end(&mut daemon);
    assert!(!past(&["keep", "--yes"], &daemon).contains("remark: "));
    daemon.start_again();
    assert_eq!(copied.resumed().epoch, copied.epoch);
}

#[test]
fn a_store_that_was_put_back_is_noticed_at_the_next_start() {
    let mut daemon = embedded();
    let mut ada = daemon.register("ada");
    let own = ada.own();
    ada.text(own, "before");
    end(&mut daemon);
    let old = std::fs::read(daemon.database()).unwrap();
    daemon.start_again();
    let mut ada = ada.resumed();
    for number in 0..5 {
        ada.text(own, &number.to_string());
    }
    daemon.kill();
    // Over the file, which stays the same one.
    std::fs::write(daemon.database(), old).unwrap();
    for suffix in ["-wal", "-shm"] {
        let mut beside = daemon.database().into_os_string();
        beside.push(suffix);
        std::fs::remove_file(beside).unwrap();
    }
    daemon.start_again();
    let mut again = ada.resumed();
    assert_ne!(again.epoch, ada.epoch);
    assert_eq!(again.texts(own), ["before"]);
    let said = past(&["show"], &daemon);
    assert!(
        said.contains("lost its tail") && said.contains("5 positions"),
        "{said}"
    );
}

#[test]
fn a_new_past_by_hand_is_one_for_every_device() {
    let mut daemon = embedded();
    let mut ada = daemon.register("ada");
    let own = ada.own();
    ada.text(own, "kept");
    let in_use = run(&["past", "new", "--yes"], &daemon);
    assert!(
        !in_use.status.success() && in_use.stderr.contains("another imserver uses"),
        "{in_use:?}"
    );
    end(&mut daemon);
    let said = past(&["new", "--yes", "--why", "the volume was put back"], &daemon);
    assert!(
        said.contains("the volume was put back") && !said.contains("remark: "),
        "{said}"
    );
    daemon.start_again();
    let mut again = ada.resumed();
    assert_ne!(again.epoch, ada.epoch);
    assert_eq!(again.texts(own), ["kept"]);
}

#[test]
fn what_is_left_of_a_store_is_refused() {
    let mut daemon = embedded();
    let mut ada = daemon.register("ada");
    let own = ada.own();
    ada.text(own, "kept");
    daemon.kill();
    let kept = std::fs::read(daemon.database()).unwrap();
    let directory = daemon.data_dir();
    let start = || {
        let arguments = [
            OsString::from("--listen"),
            "127.0.0.1:0".into(),
            "--data-dir".into(),
            directory.clone().into(),
        ];
        Daemon::run_to_end(&arguments)
    };
    for (left, says) in [(Some(&b""[..]), "is empty"), (None, "its database")] {
        match left {
            Some(left) => std::fs::write(daemon.database(), left).unwrap(),
            None => std::fs::remove_file(daemon.database()).unwrap(),
        }
        let ended = start();
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert!(ended.stderr.contains(says), "{ended:?}");
        assert_eq!(
            std::fs::read(daemon.database()).ok().as_deref(),
            left,
            "left alone"
        );
    }
    std::fs::write(daemon.database(), kept).unwrap();
    // Another file than it was, with a log that has everything: a copy.
    daemon.start_again();
    assert_eq!(ada.resumed().texts(own), ["kept"]);
}

#[test]
fn a_second_daemon_finds_no_way_in() {
    let daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    let own = ada.own();
    let mut lock = daemon.database().into_os_string();
    lock.push(".lock");
    std::fs::remove_file(&lock).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link.db");
    std::os::unix::fs::symlink(daemon.database(), &link).unwrap();
    let directory = elsewhere.path().join("data");
    std::os::unix::fs::symlink(daemon.data_dir(), &directory).unwrap();
    let through = directory.join("imserver.db");
    for path in [daemon.database(), link, through] {
        let store = format!("sqlite:{}", path.display());
        let arguments = ["--listen", "127.0.0.1:0", "--store", &store].map(OsString::from);
        let ended = Daemon::run_to_end(&arguments);
        assert!(!ended.status.success(), "{ended:?}");
        assert!(ended.stderr.contains("another imserver uses"), "{ended:?}");
        let _ = std::fs::remove_file(&lock);
    }
    ada.text(own, "undisturbed");
}

#[test]
fn a_stranger_s_write_ends_it_with_nothing_acknowledged() {
    let mut daemon = embedded();
    let mut ada = daemon.register("ada");
    let own = ada.own();
    ada.text(own, "before");
    Database::open(daemon.database())
        .unwrap()
        .execute("UPDATE store SET position = position + 1", [])
        .unwrap();
    ada.conn.submit(text(own, "lost"));
    assert_eq!(daemon.ended().code(), Some(70));
    Database::open(daemon.database())
        .unwrap()
        .execute("UPDATE store SET position = position - 1", [])
        .unwrap();
    daemon.start_again();
    let mut ada = ada.resumed();
    assert_eq!(ada.texts(own), ["before"]);
}

#[test]
fn damage_that_a_reader_meets_ends_it_and_is_remembered() {
    let mut daemon = embedded();
    let mut ada = daemon.register("ada");
    let own = ada.own();
    ada.text(own, "one");
    ada.text(own, "two");
    Database::open(daemon.database())
        .unwrap()
        .execute("UPDATE events SET body = x'00' WHERE seq = 2", [])
        .unwrap();
    ada.conn.submit(v1::HistoryRequest {
        conversation_id: own,
        ..v1::HistoryRequest::default()
    });
    assert_eq!(daemon.ended().code(), Some(70));
    let ended = run(&["--listen", "127.0.0.1:0"], &daemon);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains("was found damaged"), "{ended:?}");
    assert!(past(&["show"], &daemon).contains("remark: "));
    let kept = run(&["past", "keep", "--yes"], &daemon);
    assert!(!kept.status.success(), "{kept:?}");
}
