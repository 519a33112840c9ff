//! Batches that do not commit.

use std::time::Duration;

use super::*;
use crate::{CommitError, Position};

#[test]
fn a_full_disk_applies_nothing_and_passes() {
    let place = Place::new();
    let store = place.with_messages(2);
    drop(store);
    let store = place.open();
    let mut writer = store.open_writer().unwrap();
    let limit = |writer: &SqliteWriter, pages: i64| {
        writer
            .connection
            .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
            .unwrap();
    };
    let unlimited: i64 = writer
        .connection
        .pragma_query_value(None, "max_page_count", |row| row.get(0))
        .unwrap();
    // As many pages as there are.
    limit(&writer, 1);
    let large: Vec<Write> = (10..20).map(|number| message(number, vec![7; 100_000])).collect();
    for _ in 0..2 {
        match writer.commit(&large) {
            Err(CommitError::NotApplied { full: true, .. }) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(bodies(&store), ["message 0", "message 1"]);
        assert_eq!(store.reader().unwrap().snapshot().unwrap().ceiling(), Position(2));
    }
    limit(&writer, unlimited);
    assert!(writer.commit(&large).unwrap().iter().all(Result::is_ok));
    assert_eq!(bodies(&store).len(), 12);
}

/// Enters a foreign event at a position that a batch will come to.
fn take(stranger: &Connection, position: i64) {
    stranger
        .execute(
            "INSERT INTO events SELECT ?1, conversation, 999, ordinal, roster, sender, client_id, proof, at, kind,
                                       target, expires_at, recalled, users, role, text, body
                                FROM events WHERE position = 1",
            [position],
        )
        .unwrap();
}

fn give_back(stranger: &Connection, position: i64) {
    stranger
        .execute("DELETE FROM events WHERE position = ?1", [position])
        .unwrap();
}

#[test]
fn a_failure_in_the_middle_leaves_nothing_of_the_batch() {
    let place = Place::new();
    let store = place.with_messages(2);
    drop(store);
    let store = place.open();
    let mut writer = store.open_writer().unwrap();
    // The seventh event will find its position taken.
    let stranger = place.stranger();
    take(&stranger, 7);
    let batch = messages(10..20);
    match writer.commit(&batch) {
        Err(CommitError::NotApplied { full: false, .. }) => {}
        other => panic!("{other:?}"),
    }
    assert!(writer.connection.is_autocommit());
    assert_eq!(store.reader().unwrap().snapshot().unwrap().ceiling(), Position(2));
    assert_eq!(bodies(&store), ["message 0", "message 1"]);
    give_back(&stranger, 7);
    // Seqs and positions go on without a hole.
    let answers = writer.commit(&batch).unwrap();
    for (answer, seq) in answers.iter().zip(3..) {
        let Ok(Outcome::Appended(appended)) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!(
            (appended.event.seq, appended.event.position),
            (Seq(seq), Position(seq))
        );
        assert!(!appended.duplicate);
    }
}

/// One append, two logs: what fails in the second leaves nothing in the first.
#[test]
fn a_failure_between_two_logs_leaves_nothing_in_either() {
    let place = Place::new();
    let store = place.with_messages(1);
    drop(store);
    let store = place.open();
    let mut writer = store.open_writer().unwrap();
    // The second event of the append will find its position taken.
    let stranger = place.stranger();
    take(&stranger, 3);
    let both = Action::Pair {
        other: ConversationId(ANN.0),
        body: "both".into(),
    };
    let batch = [request(5, PAIR, ANN, both)];
    match writer.commit(&batch) {
        Err(CommitError::NotApplied { full: false, .. }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(bodies(&store), ["message 0"]);
    assert_eq!(store.reader().unwrap().snapshot().unwrap().ceiling(), Position(1));
    give_back(&stranger, 3);
    let answers = writer.commit(&batch).unwrap();
    let events: Vec<_> = answers[0].as_ref().unwrap().new_events().collect();
    assert_eq!(
        events.iter().map(|event| event.position).collect::<Vec<_>>(),
        [Position(2), Position(3)]
    );
    assert_eq!(bodies(&store), ["message 0", "both"]);
}

#[test]
fn a_lock_that_stays_applies_nothing() {
    let place = Place::new();
    let store = place.with_messages(1);
    drop(store);
    let store = place.open();
    let mut writer = store.open_writer().unwrap();
    writer.connection.busy_timeout(Duration::from_millis(1)).unwrap();
    let stranger = place.stranger();
    stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
    match writer.commit(&messages(5..6)) {
        Err(CommitError::NotApplied { full: false, .. }) => {}
        other => panic!("{other:?}"),
    }
    stranger.execute_batch("ROLLBACK").unwrap();
    assert_eq!(appended(&mut writer, message(5, "later")).event.seq, Seq(2));
}

#[test]
fn an_empty_batch_is_no_transaction() {
    let place = Place::new();
    let store = place.open();
    let mut writer = store.open_writer().unwrap();
    let stranger = place.stranger();
    stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(writer.commit(&[]).unwrap(), []);
}

#[test]
fn the_writer_is_handed_out_once() {
    let place = Place::new();
    let store = place.open();
    let writer = store.writer().unwrap();
    assert!(store.writer().is_err());
    drop(writer);
    assert!(store.writer().is_err());
}
