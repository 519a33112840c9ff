//! The write-ahead log: it starts again, and it is empty in the end.

use super::*;
use crate::sqlite::checkpoint;

/// Commits until the log is shorter than it was, and says how long it became.
fn until_it_restarts(writer: &mut SqliteWriter, batches: u64) -> Option<u32> {
    let mut longest = 0;
    for number in 0..batches {
        writer
            .commit(&[message(1_000 + number, vec![1; 50_000])])
            .unwrap();
        let pages = checkpoint::pages_after_commit();
        if pages < longest {
            return Some(longest);
        }
        longest = pages;
    }
    None
}

#[test]
fn it_starts_again_once_all_is_copied() {
    let place = Place::new();
    drop(place.with_messages(1));
    let store = place.open();
    let mut writer = store.open_writer().unwrap();
    writer.commit(&messages(10..200)).unwrap();
    let before = checkpoint::pages_after_commit();
    checkpoint::finish_copying(&writer.connection).unwrap();
    writer.commit(&messages(300..301)).unwrap();
    assert!(checkpoint::pages_after_commit() < before);
}

#[test]
fn it_does_not_grow_without_end() {
    let place = Place::new();
    drop(place.with_messages(1));
    let store = place.open();
    let mut writer = store.open_writer().unwrap();
    // By itself, while the writer never pauses, as soon as the thread that copies gets its turn on a busy machine.
    let longest = until_it_restarts(&mut writer, 60_000).expect("a restart");
    assert!(longest > 0);
}

#[test]
fn it_is_empty_after_closing() {
    let place = Place::new();
    let store = place.with_messages(100);
    let mut reader = store.reader().unwrap();
    assert!(std::fs::metadata(place.beside("-wal")).unwrap().len() > 0);
    store.close().unwrap();
    assert_eq!(std::fs::metadata(place.beside("-wal")).unwrap().len(), 0);
    // Whoever still reads can go on.
    assert_eq!(page(reader.as_mut(), BOB, PAIR).events.len(), 100);
    store.close().unwrap();
}

#[test]
fn a_reader_in_the_way_of_the_last_checkpoint_is_no_harm() {
    let place = Place::new();
    drop(place.with_messages(1));
    let store = place.open();
    let mut writer = store.open_writer().unwrap();
    writer.commit(&messages(5..10)).unwrap();
    let stranger = place.stranger();
    stranger
        .execute_batch("BEGIN; SELECT count(*) FROM events")
        .unwrap();
    writer.commit(&messages(10..50)).unwrap();
    drop(writer);
    let error = store.close().unwrap_err().to_string();
    assert!(error.contains("by a reader, nothing is lost"), "{error}");
    drop((stranger, store));
    assert_eq!(bodies(&place.open()).len(), 46);
}
