//! Copies that must not begin. Both sides stay as they were.

use std::path::Path;

use storage::{
    Store,
    copy::{CopyError, copy},
    postgres::{PostgresOptions, PostgresStore},
    sqlite::SqliteStore,
};

use crate::{Source, a_bit_of_everything, copied, target};

#[track_caller]
fn refused(from: &Path, to: &PostgresOptions) -> String {
    match copy(from, to.clone(), &mut |_| {}) {
        Err(CopyError::NotBegun(why)) => why.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_store_in_use_is_not_copied() {
    let source = Source::new();
    let store: SqliteStore = source.open();
    let target = target();
    let why = refused(&source.path(), &target);
    assert!(why.contains("another imserver uses"), "{why}");
    drop(store);
    copied(&source, &target);
}

#[test]
fn what_is_no_store_is_not_copied() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.db");
    let target = target();
    let why = refused(&path, &target);
    assert!(why.contains("there is no store at"), "{why}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    std::fs::write(&path, b"").unwrap();
    let why = refused(&path, &target);
    assert!(why.contains("is empty"), "{why}");
    std::fs::write(
        &path,
        b"a text, and nothing that anybody would take for a database",
    )
    .unwrap();
    let why = refused(&path, &target);
    assert!(why.contains("is not a database"), "{why}");
    PostgresStore::open(target).unwrap();
}

#[test]
fn a_damaged_store_is_not_copied() {
    let source = Source::with(&a_bit_of_everything());
    rusqlite::Connection::open(source.path())
        .unwrap()
        .execute("DELETE FROM event_seqs WHERE seq = 3", [])
        .unwrap();
    let why = refused(&source.path(), &target());
    assert!(why.contains("not found by their seq"), "{why}");
}

#[test]
fn a_store_behind_its_log_is_not_copied() {
    let source = Source::with(&a_bit_of_everything());
    rusqlite::Connection::open(source.path())
        .unwrap()
        .execute("UPDATE store SET watermark = 3", [])
        .unwrap();
    let why = refused(&source.path(), &target());
    assert!(why.contains("behind its own log"), "{why}");
}

#[test]
fn a_database_with_anything_in_it_is_not_filled() {
    let (source, target) = (Source::with(&a_bit_of_everything()), target());
    copied(&source, &target);
    let epoch = PostgresStore::open(target.clone()).unwrap().epoch();
    let why = refused(&source.path(), &target);
    assert!(why.contains("not empty"), "{why}");
    // As good as before.
    assert_eq!(PostgresStore::open(target).unwrap().epoch(), epoch);
}

#[test]
fn a_database_with_a_node_on_it_is_not_filled() {
    let source = Source::with(&[]);
    let target = PostgresOptions::new(services::fresh_database().unwrap());
    let mut node = target.clone();
    node.application_name = "imserver node7".to_owned();
    let store = PostgresStore::open(node).unwrap();
    let mut reader = store.reader().unwrap();
    reader.snapshot().unwrap();
    let why = refused(&source.path(), &target);
    assert!(why.contains("stop it first"), "{why}");
    reader.snapshot().unwrap();
}
