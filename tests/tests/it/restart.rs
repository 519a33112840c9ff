//! Ending and starting again: killed, told to end, out of space.

use std::{ffi::OsString, path::PathBuf, process::Command};

use protocol::{
    Push, Reply,
    v1::{self, ErrorClass, ErrorCode, GoAwayReason},
};
use tests::harness::{Daemon, Incoming, Setup, User, text};

use crate::errors::lock;

#[test]
fn nothing_acknowledged_is_missing_after_a_kill() {
    let mut daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    let mut acked = 0;
    for round in 0..10 {
        let sends: Vec<v1::SendRequest> = (0..60)
            .map(|number| text(conversation, &format!("{round}.{number}")))
            .collect();
        let seqs: Vec<u16> = sends.iter().map(|send| ada.conn.submit(send.clone())).collect();
        // Some are acknowledged when it dies, some are on their way.
        for seq in &seqs[..20] {
            acked = acked.max(ada.conn.answer::<v1::SendRequest>(*seq).unwrap().seq);
        }
        daemon.restart();
        ada = ada.resumed();
        bob = bob.resumed();
        let before = bob.history(conversation);
        assert!(before.len() as u64 >= acked, "an acknowledged message is missing");
        // Repeated under their ids, all are there once.
        for send in sends {
            ada.get(send);
        }
        assert_eq!(
            bob.history(conversation)[..before.len()],
            before[..],
            "what was there stays"
        );
    }
    let events = bob.history(conversation);
    let seqs: Vec<u64> = events.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=600).collect::<Vec<u64>>());
    let expected: Vec<String> = (0..600)
        .map(|number| format!("{}.{}", number / 60, number % 60))
        .collect();
    assert_eq!(bob.texts(conversation), expected);
}

#[test]
fn an_epoch_and_positions_last_over_kills() {
    let mut daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    let own = ada.own();
    for number in 1..=3 {
        assert_eq!(ada.text(own, "again").seq, number);
        daemon.restart();
        let again = ada.resumed();
        assert_eq!(again.epoch, ada.epoch);
        ada = again;
    }
}

#[test]
fn told_to_end_it_says_goodbye_and_answers_what_was_asked() {
    let mut daemon = Daemon::start();
    let [mut ada, mut idle] = daemon.register_all(["ada", "idle"]);
    let own = ada.own();
    let sends: Vec<v1::SendRequest> = (0..200).map(|number| text(own, &number.to_string())).collect();
    let mut open: std::collections::BTreeMap<u16, usize> = (0..)
        .zip(&sends)
        .map(|(index, send)| (ada.conn.submit(send.clone()), index))
        .collect();
    // The first answer shows that it is at it.
    let mut goodbyes = 0;
    let mut acked = Vec::new();
    let first = *open.keys().next().unwrap();
    ada.conn.answer::<v1::SendRequest>(first).unwrap();
    acked.push(open.remove(&first).unwrap());
    daemon.ask_to_end();
    for incoming in ada.conn.rest() {
        match incoming {
            Incoming::Reply(seq, reply) => {
                assert!(matches!(*reply, Reply::Send(_)));
                acked.push(open.remove(&seq).expect("answered once"));
            }
            Incoming::Refused(seq, refusal) => {
                assert_eq!(
                    (refusal.code(), refusal.class()),
                    (ErrorCode::Draining, ErrorClass::Retry)
                );
                open.remove(&seq).expect("answered once");
            }
            Incoming::Push(Push::GoAway(go_away)) => {
                assert_eq!(go_away.reason(), GoAwayReason::Draining);
                goodbyes += 1;
            }
            Incoming::Push(Push::EventsPush(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(goodbyes, 1);
    let go_away = idle.conn.go_away();
    assert_eq!(go_away.reason(), GoAwayReason::Draining);
    assert!(go_away.reconnect_in_ms < 2_000, "spread over the configured time");
    idle.conn.end();
    assert_eq!(daemon.ended().code(), Some(0));
    daemon.start_again();
    let mut ada = ada.resumed();
    let texts = ada.texts(own);
    for index in acked {
        assert!(texts.contains(&index.to_string()), "{index} was acknowledged");
    }
    for send in sends {
        ada.get(send);
    }
    let expected: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    let mut texts = ada.texts(own);
    texts.sort_by_key(|text| text.parse::<u32>().unwrap());
    assert_eq!(texts, expected);
}

#[test]
fn told_to_end_without_connections_it_ends_at_once() {
    // Were it to wait for the drain's deadline, this would not end in time.
    let mut daemon = Setup::config("[timeouts]\ndrain_ms = 3600000\n").start();
    daemon.ask_to_end();
    assert_eq!(daemon.ended().code(), Some(0));
    daemon.start_again();
    let mut ada = daemon.register("ada");
    ada.text(ada.own(), "x");
    drop(ada);
    daemon.ask_to_end();
    assert_eq!(daemon.ended().code(), Some(0));
}

#[test]
fn a_second_signal_ends_it_without_waiting() {
    let mut daemon = Setup::config("[timeouts]\ndrain_ms = 3600000\n")
        .allow_errors()
        .start();
    let mut ada = daemon.register("ada");
    let lock = lock(&daemon.database());
    ada.conn.submit(text(ada.own(), "in flight"));
    daemon.ask_to_end();
    ada.conn.go_away();
    daemon.ask_to_end();
    assert_eq!(daemon.ended().code(), Some(1));
    drop(lock);
    daemon.start_again();
    ada.resumed();
}

#[test]
fn a_drained_store_is_left_clean() {
    let mut daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    let own = ada.own();
    for number in 0..100 {
        ada.text(own, &number.to_string());
    }
    drop(ada.conn);
    daemon.ask_to_end();
    assert!(daemon.ended().success());
    let mut wal = daemon.database().into_os_string();
    wal.push("-wal");
    let left = std::fs::metadata(wal).map_or(0, |wal| wal.len());
    assert_eq!(left, 0, "what was in the write-ahead log is in the database");
    // A copy of the one file is a backup now.
    let copy = rusqlite::Connection::open(daemon.database()).unwrap();
    let sound: String = copy
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sound, "ok");
}

#[test]
fn a_killed_store_is_sound() {
    let mut daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    let own = ada.own();
    for _ in 0..200 {
        ada.conn.submit(text(own, "hurry"));
    }
    ada.conn.next();
    daemon.kill();
    let database = rusqlite::Connection::open(daemon.database()).unwrap();
    let sound: String = database
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sound, "ok");
}

/// What starts a daemon in a file system of its own, of so many bytes, at `directory`; it goes when the process
/// does. `None` where this user may not.
fn small_disk(directory: &std::path::Path, bytes: u64) -> Option<Vec<OsString>> {
    let script = format!("mount -t tmpfs -o size={bytes},mode=0700 none \"$0\" && exec \"$@\"");
    let wrapper: Vec<OsString> = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        &script,
    ]
    .iter()
    .map(OsString::from)
    .chain([directory.into()])
    .collect();
    let works = Command::new(&wrapper[0]).args(&wrapper[1..]).arg("true").output();
    works
        .is_ok_and(|output| output.status.success())
        .then_some(wrapper)
}

#[test]
fn a_full_disk_refuses_sends_and_nothing_else_and_recovers() {
    const BALLAST: u64 = 6 * 1024 * 1024;
    let disk = tempfile::tempdir().unwrap();
    let Some(wrapper) = small_disk(disk.path(), 16 * 1024 * 1024) else {
        println!("skipped: this user may not mount a small file system");
        return;
    };
    let daemon = Setup {
        data_dir: Some(disk.path().join("data")),
        wrapper,
        ..Setup::default()
    }
    .allow_errors()
    .start();
    let [mut ada, bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    let first = ada.text(conversation, "there is room");
    // The daemon's file system is reached through its own root.
    let inside = PathBuf::from(format!("/proc/{}/root", daemon.pid()));
    let ballast = inside
        .join(disk.path().strip_prefix("/").unwrap())
        .join("ballast");
    std::fs::write(&ballast, vec![0; BALLAST as usize]).unwrap();

    let large = |number: u32| v1::SendRequest {
        kind: v1::EventKind::Custom.into(),
        ..text(conversation, &format!("{number}{}", "x".repeat(50_000)))
    };
    let mut acked = vec![first.seq];
    let (refused, refusal) = (0..1_000)
        .find_map(|number| {
            let send = large(number);
            match ada.ask(send.clone()) {
                Ok(ack) => {
                    acked.push(ack.seq);
                    None
                }
                Err(refusal) => Some((send, refusal)),
            }
        })
        .expect("the disk is full in the end");
    assert_eq!(
        (refusal.code(), refusal.class()),
        (ErrorCode::ResourceExhausted, ErrorClass::Retry)
    );
    assert!(refusal.retry_after_ms > 0);
    // Reading and coming back go on.
    let mut bob = bob.resumed();
    assert_eq!(bob.history(conversation).len(), acked.len());
    bob.get(v1::FindUserRequest {
        name: "ada".to_owned(),
    });
    // With room again, the same request is taken, once.
    std::fs::remove_file(&ballast).unwrap();
    let ack = ada.get(refused.clone());
    assert_eq!((ack.seq, ack.duplicate), (acked.len() as u64 + 1, false));
    assert!(ada.get(refused).duplicate);
    let seqs: Vec<u64> = bob.history(conversation).iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=ack.seq).collect::<Vec<u64>>());
}

#[test]
fn while_the_store_is_held_up_reading_goes_on_and_sends_wait_or_are_refused() {
    let daemon = Setup::default().allow_errors().start();
    let [mut ada, bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    ada.text(conversation, "before");
    let held = lock(&daemon.database());
    let sends: Vec<v1::SendRequest> = (0..5)
        .map(|number| text(conversation, &number.to_string()))
        .collect();
    let seqs: Vec<u16> = sends.iter().map(|send| ada.conn.submit(send.clone())).collect();
    // Somebody else resumes and reads while the sends are stuck.
    let mut bob: User = bob.resumed();
    assert_eq!(bob.texts(conversation), ["before"]);
    bob.get(v1::ListDevicesRequest {});
    for seq in seqs {
        let refusal = ada.conn.answer::<v1::SendRequest>(seq).unwrap_err();
        assert_eq!(
            (refusal.code(), refusal.class()),
            (ErrorCode::Unavailable, ErrorClass::Retry)
        );
    }
    drop(held);
    for (expected, send) in (2..).zip(sends) {
        let ack = ada.get(send);
        assert_eq!(
            (ack.seq, ack.duplicate),
            (expected, false),
            "a failed batch leaves no hole"
        );
    }
}
