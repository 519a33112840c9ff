//! Bodies erased a slice at a time: what a slice takes, what an interruption leaves, and that in the end the files have
//! nothing of them.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    time::Instant,
};

use super::{damage::holds, *};
use crate::{
    ERASED_BODIES_MAX, ERASED_BYTES_MAX,
    sqlite::{
        backup::{backup, restore},
        scrub::Scrub,
    },
    write::MessageKinds,
};

/// Names the database for the process that is to end.
const VARIABLE: &str = "STORAGE_TEST_ERASING_DATABASE";
/// In every body that is to be erased.
const CANARY: &[u8] = b"-secret";
const EDITS: u64 = 2 * ERASED_BODIES_MAX as u64 + 7;

fn expiring(number: u64, body: impl Into<Bytes>) -> Write {
    let action = Action::Message {
        kind: 1,
        body: body.into(),
        expires_at: Timestamp(5_000),
        reply_to: Seq(0),
    };
    request(number, PAIR, ANN, action)
}

fn edit(number: u64, body: impl Into<Bytes>) -> Write {
    let action = Action::Edit {
        target: Seq(1),
        body: body.into(),
        fits: MessageKinds::ALL,
    };
    request(number, PAIR, ANN, action)
}

/// A message that was edited often, and is recalled.
fn recall_one(place: &Place) -> (SqliteStore, SqliteWriter) {
    let store = place.open();
    let mut writer = store.open_writer().unwrap();
    writer.commit(&accounts()).unwrap();
    writer
        .commit(&[message(1, "the-first-secret"), message(2, "harmless")])
        .unwrap();
    let edits: Vec<Write> = (0..EDITS)
        .map(|number| edit(10 + number, format!("the-{number}-secret").repeat(3)))
        .collect();
    writer.commit(&edits).unwrap();
    let recall = Action::Recall { target: Seq(1) };
    writer.commit(&[request(3, PAIR, ANN, recall)]).unwrap();
    (store, writer)
}

fn slice(writer: &mut SqliteWriter, now: u64) -> bool {
    match writer.commit(&[Write::Erase(Timestamp(now))]).unwrap().remove(0) {
        Ok(Outcome::Erased(any)) => any,
        other => panic!("{other:?}"),
    }
}

fn erase_all(store: &SqliteStore) {
    let mut writer = store.open_writer().unwrap();
    while slice(&mut writer, 5_000) {}
}

fn count(place: &Place, sql: &str) -> u64 {
    let count: i64 = place.stranger().query_row(sql, [], |row| row.get(0)).unwrap();
    count.cast_unsigned()
}

/// Edits that have bodies on the disk.
fn left(place: &Place) -> u64 {
    count(
        place,
        "SELECT count(*) FROM events WHERE kind = 32 AND length(body) > 0",
    )
}

fn nobody_sees_a_secret(store: &SqliteStore) {
    let shown = bodies(store);
    assert_eq!(shown.len() as u64, EDITS + 3);
    for body in shown {
        assert!(
            !body.windows(CANARY.len()).any(|window| window == CANARY),
            "{body:?}"
        );
    }
}

/// A whole round.
fn scrub(place: &Place) -> Result<(), crate::sqlite::failure::Failure> {
    let connection = place.stranger();
    let mut scrub = Scrub::new(Instant::now());
    (0..3).try_for_each(|_| scrub.tick(&connection, true, Instant::now()))
}

#[test]
fn a_slice_is_bounded_by_bodies_and_by_bytes() {
    let place = Place::new();
    let (store, mut writer) = recall_one(&place);
    assert_eq!(left(&place), EDITS, "a recall itself erases the message alone");
    nobody_sees_a_secret(&store);
    for after in [EDITS - ERASED_BODIES_MAX as u64, 7, 0] {
        assert!(slice(&mut writer, 0));
        assert_eq!(left(&place), after);
        nobody_sees_a_secret(&store);
        scrub(&place).unwrap();
    }
    assert!(!slice(&mut writer, 0));

    let large = Place::new();
    let store = large.open();
    let mut writer = store.open_writer().unwrap();
    writer.commit(&accounts()).unwrap();
    let size = ERASED_BYTES_MAX / 4;
    writer.commit(&[message(1, "one")]).unwrap();
    let edits: Vec<Write> = (0..6).map(|number| edit(10 + number, vec![b'x'; size])).collect();
    writer.commit(&edits).unwrap();
    writer
        .commit(&[request(2, PAIR, ANN, Action::Recall { target: Seq(1) })])
        .unwrap();
    assert!(slice(&mut writer, 0));
    assert_eq!(left(&large), 2);
    assert!(slice(&mut writer, 0));
    assert_eq!(left(&large), 0);
}

#[test]
fn with_nothing_to_erase_nothing_is_written() {
    let place = Place::new();
    drop(place.with_messages(3));
    let store = place.open();
    let mut writer = store.open_writer().unwrap();
    let before = count(&place, "SELECT commits FROM store");
    assert!(!slice(&mut writer, u64::MAX));
    assert_eq!(count(&place, "SELECT commits FROM store"), before);
}

/// The other process: recalls, erases a slice, says so and waits for its end. Without the variable it is a test like
/// others, with nothing to do.
#[test]
fn a_process_to_be_killed_between_slices() {
    let Some(path) = std::env::var_os(VARIABLE).map(PathBuf::from) else {
        return;
    };
    let store = SqliteStore::open(SqliteOptions::new(path)).unwrap();
    let mut writer = store.open_writer().unwrap();
    assert!(slice(&mut writer, 0));
    println!("erased a slice");
    loop {
        std::thread::park();
    }
}

#[test]
fn what_a_killed_process_left_is_erased_by_the_next() {
    let place = Place::new();
    drop(recall_one(&place));
    assert!(holds(&place, CANARY), "the test can find what is there");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "sqlite::tests::erasing::a_process_to_be_killed_between_slices",
            "--nocapture",
        ])
        .env(VARIABLE, place.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let erased = lines
        .map(Result::unwrap)
        .any(|line| line.contains("erased a slice"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(erased);
    // Opening it proves all of it, and that the state follows from the log.
    let store = place.open();
    assert_eq!(left(&place), EDITS - ERASED_BODIES_MAX as u64);
    nobody_sees_a_secret(&store);
    erase_all(&store);
    store.close().unwrap();
    drop(store);
    assert!(!holds(&place, CANARY));
    assert!(holds(&place, b"harmless"));
    nobody_sees_a_secret(&place.open());
}

#[test]
fn what_waits_to_be_erased_is_known_again_when_all_is_derived_anew() {
    let place = Place::new();
    let (store, mut writer) = recall_one(&place);
    writer.commit(&[expiring(900, "an-expiring-secret")]).unwrap();
    assert!(slice(&mut writer, 0));
    drop(writer);
    store.close().unwrap();
    drop(store);
    let forgetting = "DELETE FROM erasures; DELETE FROM expirations; UPDATE store SET watermark = 0";
    place.stranger().execute_batch(forgetting).unwrap();
    let store = place.open();
    assert!(left(&place) > 0);
    assert_eq!(count(&place, "SELECT count(*) FROM erasures"), 1);
    assert_eq!(count(&place, "SELECT count(*) FROM expirations"), 1);
    erase_all(&store);
    store.close().unwrap();
    assert!(!holds(&place, CANARY));
}

#[test]
fn what_expired_is_nowhere_in_the_files() {
    let place = Place::new();
    let store = place.open();
    let mut writer = store.open_writer().unwrap();
    writer.commit(&accounts()).unwrap();
    // One within a page, one over many, and an edit; more than a statement writes at a time.
    writer
        .commit(&[
            expiring(1, "the-small-secret"),
            expiring(2, b"the-large-secret".repeat(2_000)),
            message(3, "harmless"),
            edit(4, "the-other-secret"),
        ])
        .unwrap();
    let many: Vec<Write> = (0..20)
        .map(|number| expiring(10 + number, "one-more-secret"))
        .collect();
    writer.commit(&many).unwrap();
    assert!(!slice(&mut writer, 4_999));
    assert!(holds(&place, CANARY), "the test can find what is there");
    assert!(slice(&mut writer, 5_000));
    assert!(!slice(&mut writer, 5_000));
    scrub(&place).unwrap();
    assert_eq!(count(&place, "SELECT count(*) FROM expirations"), 0);
    drop(writer);
    store.close().unwrap();
    drop(store);
    assert!(!holds(&place, CANARY));
    assert!(holds(&place, b"harmless"));
    place.open();
}

#[test]
fn a_backup_shows_nothing_that_waits_and_what_is_made_of_it_erases_it() {
    let place = Place::new();
    let (_store, mut writer) = recall_one(&place);
    assert!(slice(&mut writer, 0));
    let (copy, restored) = (place.beside(".backup"), place.beside(".restored"));
    backup(&place.path(), &copy).unwrap();
    restore(&copy, &restored).unwrap();
    let store = SqliteStore::open(SqliteOptions::new(&restored)).unwrap();
    nobody_sees_a_secret(&store);
    erase_all(&store);
    store.close().unwrap();
    let file = std::fs::read(&restored).unwrap();
    assert!(!file.windows(CANARY.len()).any(|window| window == CANARY));
}

#[test]
fn a_lost_note_of_what_is_to_be_erased_is_found() {
    for change in [
        "DELETE FROM erasures",
        "UPDATE erasures SET next = next - 1",
        "UPDATE erasures SET target = 2",
        "DELETE FROM expirations",
        "UPDATE expirations SET expires_at = expires_at + 1",
    ] {
        let place = Place::new();
        let (store, mut writer) = recall_one(&place);
        writer.commit(&[expiring(900, "an-expiring-secret")]).unwrap();
        drop(writer);
        store.close().unwrap();
        drop(store);
        scrub(&place).unwrap();
        assert_eq!(place.stranger().execute(change, []).unwrap(), 1);
        assert!(scrub(&place).unwrap_err().is_damage(), "{change}");
    }
}
