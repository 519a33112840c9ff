//! Whose file it is: other names of it, files that are moved away, files that were left.

use std::{
    os::unix::fs::{PermissionsExt, symlink},
    time::{Duration, Instant},
};

use super::*;
use crate::sqlite::backup::{backup, restore};

/// Far longer than it takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn refusal_at(path: &std::path::Path) -> String {
    SqliteStore::open(SqliteOptions::new(path))
        .unwrap_err()
        .to_string()
}

#[test]
fn no_other_name_of_the_file_lets_a_second_process_in() {
    let place = Place::new();
    let store = place.with_messages(1);
    std::fs::remove_file(place.beside(".lock")).unwrap();
    assert!(
        place.refusal().contains("another imserver uses"),
        "the lock file is gone"
    );
    let link = place.beside(".link");
    symlink(place.path(), &link).unwrap();
    assert!(
        refusal_at(&link).contains("another imserver uses"),
        "a symbolic link"
    );
    let elsewhere = place.directory.path().join("elsewhere");
    symlink(place.directory.path(), &elsewhere).unwrap();
    let through = elsewhere.join("test.db");
    std::fs::remove_file(place.beside(".lock")).unwrap();
    assert!(
        refusal_at(&through).contains("another imserver uses"),
        "a linked directory"
    );
    drop(store);
    // By a symbolic link, all files are beside the one that it leads to.
    let store = SqliteStore::open(SqliteOptions::new(&link)).unwrap();
    assert!(place.beside("-wal").exists() && !place.beside(".link-wal").exists());
    assert_eq!(bodies(&store), ["message 0"]);
}

#[test]
fn a_file_of_two_names_is_refused() {
    let place = Place::new();
    drop(place.with_messages(1));
    let other = place.directory.path().join("other.db");
    std::fs::hard_link(place.path(), &other).unwrap();
    for path in [&place.path(), &other] {
        let refusal = refusal_at(path);
        assert!(refusal.contains("2 names"), "{refusal}");
    }
    std::fs::remove_file(&other).unwrap();
    assert_eq!(bodies(&place.open()), ["message 0"]);
}

#[test]
fn a_file_that_is_moved_away_ends_the_process() {
    let place = Place::new();
    let doomed = |store: &SqliteStore| {
        let deadline = Instant::now() + PATIENCE;
        while store.fate().reason().is_none() {
            assert!(Instant::now() < deadline, "it was not noticed");
            std::thread::yield_now();
        }
        store.fate().reason().unwrap().to_string()
    };
    let store = place.with_messages(1);
    let away = place.directory.path().join("away.db");
    std::fs::rename(place.path(), &away).unwrap();
    let why = doomed(&store);
    assert!(why.contains("cannot be looked at any more"), "{why}");
    drop(store);
    std::fs::rename(&away, place.path()).unwrap();
    let store = place.open();
    std::fs::hard_link(place.path(), &away).unwrap();
    let why = doomed(&store);
    assert!(why.contains("2 names"), "{why}");
    std::fs::remove_file(&away).unwrap();
    drop(store);
    let store = place.open();
    let copy = place.directory.path().join("copy.db");
    std::fs::copy(place.path(), &copy).unwrap();
    std::fs::rename(&copy, place.path()).unwrap();
    let why = doomed(&store);
    assert!(why.contains("another file"), "{why}");
}

#[test]
fn what_is_left_of_a_store_is_no_new_one() {
    let place = Place::new();
    let store = place.with_messages(5);
    end_process(&store);
    drop(store);
    let wal = std::fs::read(place.beside("-wal")).unwrap();
    assert!(!wal.is_empty());
    let kept = std::fs::read(place.path()).unwrap();

    // The file was emptied.
    std::fs::write(place.path(), "").unwrap();
    assert!(place.refusal().contains("is empty"));
    assert_eq!(
        std::fs::metadata(place.path()).unwrap().len(),
        0,
        "and left alone"
    );

    // It is gone: its remains are recognised.
    std::fs::remove_file(place.path()).unwrap();
    for suffix in ["-wal", "-shm", ".witness"] {
        let refusal = place.refusal();
        assert!(
            refusal.contains(&format!("test.db{suffix}")),
            "{suffix}: {refusal}"
        );
        assert!(!place.path().exists());
        assert_eq!(
            std::fs::read(place.beside("-wal")).unwrap_or_default(),
            if suffix == "-wal" { wal.clone() } else { vec![] }
        );
        std::fs::remove_file(place.beside(suffix)).unwrap();
    }
    // A restore was broken off.
    std::fs::write(place.beside(".partial"), "half").unwrap();
    assert!(place.refusal().contains("broken off"));
    std::fs::remove_file(place.beside(".partial")).unwrap();

    // A link that leads nowhere.
    symlink(place.beside(".nowhere"), place.path()).unwrap();
    assert!(place.refusal().contains("leads nowhere"));
    std::fs::remove_file(place.path()).unwrap();

    // No user was told of a store that never got its name.
    std::fs::write(place.beside(".new"), "half").unwrap();
    let store = place.open();
    assert!(!place.beside(".new").exists());
    drop(store);

    // Put back, it is as before but for what the other one did to its witness.
    for suffix in ["-wal", "-shm"] {
        std::fs::remove_file(place.beside(suffix)).unwrap();
    }
    std::fs::write(place.path(), kept).unwrap();
    std::fs::write(place.beside("-wal"), wal).unwrap();
    assert_eq!(bodies(&place.open()).len(), 5);
}

#[test]
fn a_database_without_a_store_is_no_new_one() {
    let place = Place::new();
    place
        .stranger()
        .execute_batch("CREATE TABLE t (x); DROP TABLE t")
        .unwrap();
    assert!(place.refusal().contains("without tables"));
    let place = Place::new();
    drop(place.with_messages(1));
    place.stranger().execute("DELETE FROM store", []).unwrap();
    assert!(place.refusal().contains("restore a backup"));
}

/// The log of another store, and that of another time, are told by what the generations say.
#[test]
fn a_log_of_another_store_is_refused_or_noticed() {
    let (place, other) = (Place::new(), Place::new());
    for (place, count) in [(&place, 5), (&other, 30)] {
        let store = place.with_messages(count);
        store.close().unwrap();
        drop(store);
        let store = place.open();
        store.open_writer().unwrap().commit(&messages(100..103)).unwrap();
        end_process(&store);
        drop(store);
    }
    let epoch = crate::sqlite::operator::report(&place.path()).unwrap().epoch;
    std::fs::copy(other.beside("-wal"), place.beside("-wal")).unwrap();
    let _ = std::fs::remove_file(place.beside("-shm"));
    if let Ok(store) = SqliteStore::open(SqliteOptions::new(place.path())) {
        assert_ne!(store.epoch(), epoch);
    }
}

#[test]
fn files_are_for_one_user_alone() {
    let place = Place::new();
    let mode = |suffix: &str| {
        std::fs::metadata(place.beside(suffix))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    let store = place.with_messages(1);
    let of_a_store = ["", "-wal", "-shm", ".lock", ".witness"];
    for suffix in of_a_store {
        assert_eq!(mode(suffix), 0o600, "{suffix}");
    }
    backup(&place.path(), &place.beside(".backup")).unwrap();
    restore(&place.beside(".backup"), &place.beside(".restored")).unwrap();
    assert_eq!((mode(".backup"), mode(".restored")), (0o600, 0o600));
    end_process(&store);
    drop(store);
    // Whatever somebody made of them.
    for suffix in of_a_store {
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(place.beside(suffix), open).unwrap();
    }
    let store = place.open();
    for suffix in of_a_store {
        assert_eq!(mode(suffix), 0o600, "{suffix}");
    }
    drop(store);
}

#[test]
fn a_copy_that_is_broken_off_leaves_no_name() {
    let place = Place::new();
    drop(place.with_messages(3));
    let (copy, restored) = (place.beside(".backup"), place.beside(".restored"));
    // Ended in the middle, before it got its name: the next one begins anew.
    std::fs::write(place.beside(".backup.partial"), "half").unwrap();
    backup(&place.path(), &copy).unwrap();
    std::fs::write(place.beside(".restored.partial"), "half").unwrap();
    assert!(
        refusal_at(&restored).contains("broken off"),
        "a daemon does not take it for new"
    );
    restore(&copy, &restored).unwrap();
    for made in [".backup", ".restored"] {
        assert!(!place.beside(&format!("{made}.partial")).exists());
        // Of one piece, without anything beside it.
        assert!(!place.beside(&format!("{made}-wal")).exists());
    }
    // While one is being made, there is no second.
    let busy = std::fs::File::create(place.beside(".again.partial")).unwrap();
    busy.lock().unwrap();
    let again = backup(&place.path(), &place.beside(".again"))
        .unwrap_err()
        .to_string();
    assert!(again.contains("is being made by another process"), "{again}");
}
