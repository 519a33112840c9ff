//! Backups and what is made of them.

use super::{ANN, BOB, PAIR, Place, appended, message};
use crate::{
    Direction, Seq, Store,
    sqlite::{
        SqliteOptions, SqliteStore,
        backup::{Contents, backup, restore},
    },
};

fn seqs(store: &SqliteStore) -> Vec<u64> {
    let mut reader = store.reader().unwrap();
    let page = reader
        .events(BOB, PAIR, Seq(1), Direction::Forward, 100, usize::MAX)
        .unwrap()
        .unwrap();
    page.events.iter().map(|view| view.event.seq.0).collect()
}

#[test]
fn a_store_in_use_is_copied_as_it_is_at_one_moment() {
    let place = Place::new();
    let store = place.with_messages(5);
    let copy = place.beside(".backup");
    let expected = Contents {
        users: 3,
        conversations: 1,
        events: 5,
    };
    assert_eq!(backup(&place.path(), &copy).unwrap(), expected);
    drop(store);
    let store = place.open();
    let mut writer = store.open_writer().unwrap();
    appended(&mut writer, message(5, "later"));
    let again = backup(&place.path(), &copy).unwrap_err().to_string();
    assert!(again.contains("cannot be made"), "{again}");

    let restored = place.beside(".restored");
    assert_eq!(restore(&copy, &restored).unwrap(), expected);
    let restored = SqliteStore::open(SqliteOptions::new(restored)).unwrap();
    assert_eq!(seqs(&restored), [1, 2, 3, 4, 5]);
    assert_eq!(seqs(&store), [1, 2, 3, 4, 5, 6]);
    assert_ne!(
        restored.epoch(),
        store.epoch(),
        "what came after the backup is lost"
    );
    assert_ne!(restored.log_id(), store.log_id());
    // It goes on where the backup ended.
    let mut writer = restored.open_writer().unwrap();
    assert_eq!(appended(&mut writer, message(9, "new")).event.seq, Seq(6));
    assert_eq!(restored.reader().unwrap().users(&[ANN, BOB]).unwrap().len(), 2);
}

#[test]
fn what_is_no_store_is_not_copied() {
    let place = Place::new();
    place.stranger().execute_batch("CREATE TABLE other (x)").unwrap();
    let copy = place.beside(".backup");
    assert!(backup(&place.path(), &copy).is_err());
    assert!(backup(&place.beside(".missing"), &copy).is_err());
    assert!(!copy.exists());
}

#[test]
fn a_damaged_backup_is_refused_and_leaves_nothing() {
    let place = Place::new();
    drop(place.with_messages(20));
    let copy = place.beside(".backup");
    backup(&place.path(), &copy).unwrap();
    let damaged = rusqlite::Connection::open(&copy).unwrap();
    damaged
        .execute("DELETE FROM event_seqs WHERE seq = 7", [])
        .unwrap();
    drop(damaged);
    let restored = place.beside(".restored");
    let refusal = restore(&copy, &restored).unwrap_err().to_string();
    assert!(refusal.contains("not found by their seq"), "{refusal}");
    assert!(!restored.exists() && !place.beside(".restored.partial").exists());
}

#[test]
fn a_store_that_is_there_is_not_written_over() {
    let place = Place::new();
    let store = place.with_messages(3);
    let copy = place.beside(".backup");
    backup(&place.path(), &copy).unwrap();
    assert!(restore(&copy, &place.path()).is_err());
    assert_eq!(seqs(&store), [1, 2, 3]);
}
