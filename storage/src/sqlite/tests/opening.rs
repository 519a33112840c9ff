//! Opening: a new file, an old one, someone else's, one in use.

use super::*;
use crate::{
    CursorMove, ProfileChange,
    sqlite::{
        Identity,
        profile::{self, Use},
    },
};

#[test]
fn a_new_store_keeps_its_identity_and_its_data() {
    let place = Place::new();
    let mut options = SqliteOptions::new(place.path());
    options.identity = Identity {
        epoch: 1 << 63 | 5,
        log_id: u64::MAX,
    };
    let store = SqliteStore::open(options.clone()).unwrap();
    assert_eq!((store.epoch(), store.log_id()), (1 << 63 | 5, u64::MAX));
    let mut writer = store.open_writer().unwrap();
    writer.commit(&accounts()).unwrap();
    writer.commit(&messages(0..3)).unwrap();
    drop(writer);
    store.close().unwrap();
    drop(store);
    options.identity = Identity { epoch: 6, log_id: 7 };
    let store = SqliteStore::open(options).unwrap();
    assert_eq!((store.epoch(), store.log_id()), (1 << 63 | 5, u64::MAX));
    assert_eq!(bodies(&store), ["message 0", "message 1", "message 2"]);
}

/// A start checks all of so small a store.
#[test]
fn a_changed_name_has_its_own_words_alone() {
    let place = Place::new();
    let store = place.open();
    let mut writer = store.open_writer().unwrap();
    writer.commit(&accounts()).unwrap();
    for name in ["New Old", "明 b c", ""] {
        let change = Write::UpdateProfile(ProfileChange {
            user: BOB,
            display_name: Some(name.to_owned()),
            avatar: None,
            status: None,
        });
        writer.commit(&[change]).unwrap().remove(0).unwrap();
    }
    drop(writer);
    store.close().unwrap();
    drop(store);
    drop(place.open());
}

/// The library that runs migrations takes its own rows for sound, and panics where they are not.
#[test]
fn a_damaged_history_of_migrations_is_not_read_where_nothing_is_to_be_done() {
    let place = Place::new();
    drop(place.with_messages(1));
    place
        .stranger()
        .execute(
            "UPDATE refinery_schema_history SET checksum = 'x', applied_on = 'y'",
            [],
        )
        .unwrap();
    assert_eq!(bodies(&place.open()), ["message 0"]);
}

#[test]
fn a_name_is_drawn_where_none_is_given() {
    let (first, second) = (Place::new(), Place::new());
    let (first, second) = (first.open(), second.open());
    assert_ne!(first.epoch(), 0);
    assert_ne!((first.epoch(), first.log_id()), (second.epoch(), second.log_id()));
}

#[test]
fn a_position_given_to_cursors_is_not_given_again_after_opening() {
    let place = Place::new();
    let store = place.with_messages(1);
    drop(store);
    let store = place.open();
    let mut writer = store.open_writer().unwrap();
    let cursor = CursorMove {
        conversation: PAIR,
        user: BOB,
        delivered: Seq(1),
        read: Seq(0),
    };
    let moved = writer.commit(&[Write::Cursors(vec![cursor])]).unwrap();
    let Ok(Outcome::Cursors(_, position, _)) = &moved[0] else {
        panic!("{moved:?}")
    };
    drop((writer, store));
    let store = place.open();
    assert_eq!(store.reader().unwrap().snapshot().unwrap().ceiling(), *position);
    let next = appended(&mut store.open_writer().unwrap(), message(9, "next"));
    assert!(next.event.position > *position);
}

#[test]
fn one_process_at_a_time() {
    let place = Place::new();
    let store = place.open();
    let refusal = place.refusal();
    assert!(
        refusal.contains("another imserver uses") && refusal.contains("test.db"),
        "{refusal}"
    );
    // Readers hold on to it too.
    let reader = store.reader().unwrap();
    drop(store);
    assert!(place.refusal().contains("another imserver uses"));
    drop(reader);
    place.open();
}

#[test]
fn every_connection_has_the_profile() {
    let place = Place::new();
    let store = place.open();
    let writer = store.open_writer().unwrap();
    for setting in profile::settings(Use::Write, store.options.writer_cache_kib) {
        let found = setting.read_back(&writer.connection).unwrap();
        assert_eq!(found, setting.read_back, "{}", setting.name);
    }
    let ask = |connection: &Connection, name: &str| -> i64 {
        connection
            .pragma_query_value(None, name, |row| row.get(0))
            .unwrap()
    };
    for what_for in [Use::Write, Use::Read, Use::Checkpoint] {
        let connection = profile::connect(&place.path(), what_for, 100).unwrap();
        assert_eq!(ask(&connection, "synchronous"), 2);
        assert_eq!(ask(&connection, "foreign_keys"), 1);
        assert_eq!(ask(&connection, "wal_autocheckpoint"), 0);
        assert_eq!(ask(&connection, "query_only"), i64::from(what_for == Use::Read));
        assert_eq!(ask(&connection, "cache_size"), -100);
    }
}

#[test]
fn a_setting_that_does_not_hold_is_found() {
    // A database in memory has no write-ahead log.
    let error = profile::connect(":memory:".as_ref(), Use::Write, 100).unwrap_err();
    assert!(error.to_string().contains("journal_mode"), "{error}");
}

#[test]
fn readers_cannot_write() {
    let place = Place::new();
    place.open();
    let connection = profile::connect(&place.path(), Use::Read, 100).unwrap();
    assert!(connection.execute("DELETE FROM events", []).is_err());
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let place = Place::new();
    drop(place.with_messages(1));
    let stranger = place.stranger();
    stranger
        .execute(
            "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
             VALUES (99, 'future', '2030-01-01T00:00:00Z', '1')",
            [],
        )
        .unwrap();
    let refusal = place.refusal();
    assert!(refusal.contains("newer version (schema 99"), "{refusal}");
    stranger
        .execute("DELETE FROM refinery_schema_history WHERE version = 99", [])
        .unwrap();
    assert_eq!(bodies(&place.open()), ["message 0"]);
}

#[test]
fn another_program_s_database_is_refused_and_left_alone() {
    let place = Place::new();
    place
        .stranger()
        .execute_batch("CREATE TABLE theirs (id INTEGER)")
        .unwrap();
    assert!(place.refusal().contains("another program's database"));
    let tables: i64 = place
        .stranger()
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .unwrap();
    assert_eq!(tables, 1);
    let mode: String = place
        .stranger()
        .pragma_query_value(None, "journal_mode", |row| row.get(0))
        .unwrap();
    assert_eq!(mode, "delete");
}

#[test]
fn what_is_no_database_is_refused_and_left_alone() {
    let place = Place::new();
    let text = "this is a letter to a friend, and no database. ".repeat(100);
    std::fs::write(place.path(), &text).unwrap();
    assert!(place.refusal().contains("is not a database"));
    assert_eq!(std::fs::read_to_string(place.path()).unwrap(), text);
}

#[test]
fn a_missing_directory_is_named() {
    let place = Place::new();
    let path = place.directory.path().join("missing").join("test.db");
    let error = SqliteStore::open(SqliteOptions::new(&path))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("missing") && error.contains("directory exists"),
        "{error}"
    );
}

#[test]
fn the_error_tells_what_is_in_the_way() {
    use crate::OpenError;

    let place = Place::new();
    let opened = || SqliteStore::open(SqliteOptions::new(place.path())).map(drop);
    let missing = crate::sqlite::operator::report(&place.path());
    assert!(matches!(missing, Err(OpenError::Missing(_))), "{missing:?}");
    let store = place.with_messages(1);
    let found = opened();
    assert!(matches!(found, Err(OpenError::InUse(_))), "{found:?}");
    drop(store);
    std::fs::write(place.beside(".damaged"), "a flipped bit").unwrap();
    let found = opened();
    assert!(matches!(found, Err(OpenError::Damaged(_))), "{found:?}");
    std::fs::remove_file(place.beside(".damaged")).unwrap();
    place
        .stranger()
        .execute("UPDATE refinery_schema_history SET version = 99", [])
        .unwrap();
    let found = opened();
    assert!(matches!(found, Err(OpenError::Newer(_))), "{found:?}");
    std::fs::write(
        place.path(),
        "no database, but a text that is long enough to be read",
    )
    .unwrap();
    let found = opened();
    assert!(matches!(found, Err(OpenError::Refused(_))), "{found:?}");
    // What the system said comes along.
    let nowhere = SqliteStore::open(SqliteOptions::new(place.directory.path().join("none/test.db")));
    let error = nowhere.map(drop).unwrap_err();
    let source = std::error::Error::source(&error);
    assert!(
        matches!(error, OpenError::Failed { .. })
            && source.is_some_and(|source| source.is::<std::io::Error>()),
        "{error:?}"
    );
}
