use std::time::Duration;

use bytes::Bytes;
use protocol::v1;

use super::{Profile, SENT_MAX, StoreError, applied::LINES_MAX};
use crate::{
    new_client_id,
    sync::{Mark, Snapshot},
    trust::Trust,
};

fn open(directory: &tempfile::TempDir) -> Result<Profile, StoreError> {
    Profile::open(directory.path(), "im test", Duration::ZERO)
}

fn session(user_id: u64, name: &str) -> v1::Session {
    v1::Session {
        user: Some(v1::User {
            user_id,
            name: name.to_owned(),
            ..v1::User::default()
        }),
        token: "secret".to_owned(),
        ..v1::Session::default()
    }
}

fn event(conversation_id: u64, seq: u64) -> v1::Event {
    v1::Event {
        conversation_id,
        seq,
        sent_at_ms: 1_000 + seq,
        sender_id: 7,
        kind: 1,
        client_msg_id: Bytes::from_static(&[0, 255, 16]),
        ..v1::Event::default()
    }
}

fn snapshot() -> Snapshot {
    Snapshot {
        epoch: u64::MAX,
        token: Some(Bytes::from_static(&[0, 255, 16])),
        cursors: [(u64::MAX >> 1, 1), (2, u64::MAX >> 1)].into(),
        marks: [(2, Mark::of(&event(2, 9))), (3, Mark::unknown(4))].into(),
        ahead: [(2, 7)].into(),
    }
}

#[test]
fn what_is_stored_is_there_the_next_time() {
    let directory = tempfile::tempdir().unwrap();
    let mut profile = open(&directory).unwrap();
    let device = profile.account().device_id.clone();
    assert_eq!(profile.sync().unwrap(), None);
    profile
        .log_in("localhost:1", &Trust::System, &session(7, "anna"))
        .unwrap();
    profile.save_sync(&snapshot()).unwrap();
    drop(profile);

    let mut profile = open(&directory).unwrap();
    assert_eq!(profile.account().device_id, device);
    assert_eq!(profile.account().session.as_ref().unwrap().name, "anna");
    assert_eq!(profile.sync().unwrap(), Some(snapshot()));
}

#[test]
fn single_events_are_noted_between_snapshots_and_a_torn_note_is_not_believed() {
    let directory = tempfile::tempdir().unwrap();
    let mut profile = open(&directory).unwrap();
    profile
        .log_in("localhost:1", &Trust::System, &session(7, "anna"))
        .unwrap();
    let marks = |seqs: &[(u64, u64)]| {
        let of = |(id, seq): &(u64, u64)| (*id, Mark::of(&event(*id, *seq)));
        seqs.iter().map(of).collect()
    };
    let at = |first, second| Snapshot {
        cursors: [(1, first), (2, second)].into(),
        marks: marks(&[(1, first), (2, second)]),
        ahead: [(1, 1), (2, 1)].into(),
        ..snapshot()
    };
    let unasked = || panic!("no snapshot is due");
    let before = Snapshot {
        ahead: [].into(),
        ..at(1, 1)
    };
    profile.save_sync(&before).unwrap();
    profile.note_applied(&event(1, 2), unasked).unwrap();
    profile.note_applied(&event(2, 5), unasked).unwrap();
    drop(profile);

    let mut profile = open(&directory).unwrap();
    assert_eq!(
        profile.sync().unwrap(),
        Some(at(2, 5)),
        "the token covers neither"
    );
    profile.note_applied(&event(1, 3), unasked).unwrap();
    let log = directory.path().join("applied.log");
    let mut text = std::fs::read_to_string(&log).unwrap();
    assert_eq!(profile.sync().unwrap(), Some(at(3, 5)));
    text.truncate(text.len() - 1);
    std::fs::write(&log, &text).unwrap();
    assert_eq!(profile.sync().unwrap(), Some(at(2, 5)));
    profile.note_applied(&event(1, 3), || at(3, 5)).unwrap();
    assert_eq!(
        profile.sync().unwrap(),
        Some(at(3, 5)),
        "nothing is written behind the torn line"
    );

    // What was noted before a snapshot says nothing about what comes after it.
    let old = text.clone() + "\n";
    profile.save_sync(&at(9, 1)).unwrap();
    std::fs::write(&log, old).unwrap();
    assert_eq!(profile.sync().unwrap(), Some(at(9, 1)));

    // After a rewind the cursor stands where the last note does.
    profile.save_sync(&at(9, 1)).unwrap();
    profile.note_applied(&event(1, 4), unasked).unwrap();
    assert_eq!(profile.sync().unwrap(), Some(at(4, 1)));
}

#[test]
fn notes_are_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let mut profile = open(&directory).unwrap();
    profile
        .log_in("localhost:1", &Trust::System, &session(7, "anna"))
        .unwrap();
    profile.save_sync(&snapshot()).unwrap();
    let mut asked = 0;
    for seq in 1..=LINES_MAX as u64 + 1 {
        let all = || {
            asked += 1;
            Snapshot {
                cursors: [(1, seq)].into(),
                ..snapshot()
            }
        };
        profile.note_applied(&event(1, seq), all).unwrap();
    }
    assert_eq!(asked, 1);
    assert_eq!(directory.path().join("applied.log").metadata().unwrap().len(), 0);
    assert_eq!(
        profile.sync().unwrap().unwrap().cursors,
        [(1, LINES_MAX as u64 + 1)].into()
    );
}

#[test]
fn the_same_user_goes_on_and_another_one_starts_afresh() {
    let directory = tempfile::tempdir().unwrap();
    let mut profile = open(&directory).unwrap();
    profile
        .log_in("localhost:1", &Trust::System, &session(7, "anna"))
        .unwrap();
    profile.save_sync(&snapshot()).unwrap();
    profile
        .log_in("localhost:1", &Trust::System, &session(7, "anna"))
        .unwrap();
    assert!(profile.sync().unwrap().is_some());
    profile
        .log_in("localhost:1", &Trust::System, &session(8, "bert"))
        .unwrap();
    assert!(profile.sync().unwrap().is_none());

    profile.save_sync(&snapshot()).unwrap();
    profile
        .log_in("localhost:2", &Trust::System, &session(8, "bert"))
        .unwrap();
    assert!(profile.sync().unwrap().is_none(), "another server has other logs");

    profile.save_sync(&snapshot()).unwrap();
    profile.log_out().unwrap();
    assert!(profile.sync().unwrap().is_none());
    assert!(profile.account().session.is_none());
}

#[test]
fn damage_is_an_error_that_names_the_file_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut profile = open(&directory).unwrap();
    let path = directory.path().join("sync.json");
    for damaged in [
        "",
        "{",
        "{\"version\":2,\"content\":{\"user_id\":1,\"generation\":1,\"epoch\":1,\"token\":null,\"cursors\":{}}}",
        "[]",
    ] {
        std::fs::write(&path, damaged).unwrap();
        let error = profile.sync().unwrap_err();
        assert!(matches!(&error, StoreError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains("sync.json"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), damaged);
    }
    drop(profile);
    std::fs::write(directory.path().join("account.json"), "garbage").unwrap();
    assert!(matches!(open(&directory), Err(StoreError::Corrupt { .. })));
}

#[test]
fn one_program_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(&directory).unwrap();
    let error = open(&directory).unwrap_err();
    assert!(matches!(&error, StoreError::Locked { .. }));
    let own = format!("im test, process {}", std::process::id());
    assert!(error.to_string().contains(&own), "{error}");
    drop(first);
    open(&directory).unwrap();
}

#[test]
fn sent_ids_are_remembered_up_to_a_limit() {
    let directory = tempfile::tempdir().unwrap();
    let profile = open(&directory).unwrap();
    let first = new_client_id();
    profile.note_sent(first).unwrap();
    profile.note_sent(first).unwrap();
    assert_eq!(profile.sent(), [first]);

    let known: Vec<String> = (0..SENT_MAX)
        .map(|number| format!("\"00000000-0000-7000-8000-{number:012}\""))
        .collect();
    let full = format!(
        "{{\"version\":1,\"content\":{{\"client_ids\":[{}]}}}}",
        known.join(",")
    );
    std::fs::write(directory.path().join("sent.json"), full).unwrap();
    let oldest = profile.sent()[0];
    profile.note_sent(first).unwrap();
    let sent = profile.sent();
    assert_eq!(sent.len(), SENT_MAX);
    assert_eq!(sent.last(), Some(&first));
    assert!(!sent.contains(&oldest));
}

#[cfg(unix)]
#[test]
fn only_its_owner_reads_a_profile() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("profile");
    let mut profile = Profile::open(&directory, "im test", Duration::ZERO).unwrap();
    profile
        .log_in("localhost:1", &Trust::System, &session(7, "anna"))
        .unwrap();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&directory.join("account.json")), 0o600);
    assert!(!format!("{profile:?}").contains("secret"));
}
