//! The write-ahead log: it starts again, and it is empty in the end.

use std::time::{Duration, Instant};

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
    // A reader that is still open can go on.
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

/// A checkpoint that could not copy: here because the log was cut short under it, on a bad day because the disk says so.
#[test]
fn a_copy_that_fails_is_not_forgiven() {
    let place = Place::new();
    drop(place.with_messages(1));
    let store = place.open();
    let mut writer = store.open_writer().unwrap();
    writer.commit(&messages(5..50)).unwrap();
    let wal = std::fs::File::options()
        .write(true)
        .open(place.beside("-wal"))
        .unwrap();
    wal.set_len(0).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while store.fate().reason().is_none() {
        assert!(Instant::now() < deadline, "it was forgiven");
        std::thread::yield_now();
    }
    let why = store.fate().reason().unwrap().to_string();
    assert!(why.contains("copying the write-ahead log failed"), "{why}");
    assert!(matches!(
        writer.commit(&messages(50..51)),
        Err(crate::CommitError::Fatal(_))
    ));
    assert!(store.close().is_err());
}

/// A process that ends does not touch the log except in a clean end, whatever happened before.
#[test]
fn no_connection_copies_or_removes_it_when_it_closes() {
    let place = Place::new();
    let store = place.with_messages(100);
    end_process(&store);
    let mut wal = std::fs::read(place.beside("-wal")).unwrap();
    drop(store);
    assert!(std::fs::read(place.beside("-wal")).unwrap() == wal);
    // The one in another process that makes a backup, neither.
    crate::sqlite::backup::backup(&place.path(), &place.beside(".backup")).unwrap();
    assert!(std::fs::read(place.beside("-wal")).unwrap() == wal);
    let store = place.open();
    store.close().unwrap();
    drop(store);
    wal = std::fs::read(place.beside("-wal")).unwrap_or_default();
    assert!(wal.is_empty());
    assert_eq!(bodies(&place.open()).len(), 100);
}
