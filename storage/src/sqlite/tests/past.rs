//! Generations, copies, lost tails: which past a store has.

use std::{collections::BTreeSet, os::unix::fs::FileExt};

use super::*;
use crate::{
    Claim, CommitError, Doom, Generation, PastReport, Position, Testimony,
    sqlite::{
        backup::{backup, restore},
        operator,
    },
};

fn report(place: &Place) -> PastReport {
    operator::report(&place.path()).unwrap()
}

fn testimony(store: &SqliteStore, generation: Generation, ceiling: u64) -> Testimony {
    let claim = Claim {
        generation,
        ceiling: Position(ceiling),
    };
    store.reader().unwrap().testimony(claim).unwrap()
}

/// Puts the database file of `from` in the place of another one, which keeps its inode.
fn write_over(place: &Place, from: &[u8]) {
    std::fs::write(place.path(), from).unwrap();
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(place.beside(suffix));
    }
}

#[test]
fn every_start_is_a_generation_that_ends_where_the_next_begins() {
    let place = Place::new();
    let store = place.with_messages(3);
    let (first, epoch, key) = (store.told(Position(3)), store.epoch(), store.token_key());
    assert_eq!(testimony(&store, first, 3), Testimony::Known);
    assert_eq!(
        testimony(&store, first, 4),
        Testimony::Witness,
        "above what there is"
    );
    drop(store);
    let store = place.open();
    let second = store.told(Position(3));
    store.open_writer().unwrap().commit(&messages(3..5)).unwrap();
    assert_ne!(first, second);
    assert_eq!((store.epoch(), store.token_key()), (epoch, key), "the same past");
    assert_eq!(testimony(&store, first, 3), Testimony::Known);
    assert_eq!(testimony(&store, first, 4), Testimony::Witness, "it ended before");
    assert_eq!(testimony(&store, second, 5), Testimony::Known);
    assert_eq!(testimony(&store, second, 6), Testimony::Witness);
    assert_eq!(
        testimony(&store, Generation(77), 1),
        Testimony::Witness,
        "never heard of"
    );
    let report = report(&place);
    let seen: Vec<(Generation, u64, Option<u64>)> = report
        .generations
        .iter()
        .map(|generation| {
            let ends = generation.ends.map(|ends| ends.0);
            (generation.generation, generation.begins.0, ends)
        })
        .collect();
    // The first one made the store.
    assert_eq!(seen[1..], [(first, 0, Some(3)), (second, 3, None)]);
    assert_eq!((report.horizon, report.remarks), (Position(5), vec![]));
}

#[test]
fn a_copy_in_the_place_of_the_file_is_a_new_past() {
    let place = Place::new();
    let store = place.with_messages(3);
    let (old, told) = (
        (store.epoch(), store.log_id(), store.token_key()),
        store.told(Position(3)),
    );
    store.close().unwrap();
    drop(store);
    let copy = place.beside(".copy");
    std::fs::copy(place.path(), &copy).unwrap();
    std::fs::rename(&copy, place.path()).unwrap();
    let store = place.open();
    let new = (store.epoch(), store.log_id(), store.token_key());
    assert!(old.0 != new.0 && old.1 != new.1 && old.2 != new.2);
    assert_eq!(bodies(&store).len(), 3, "nothing is lost");
    assert_eq!(
        testimony(&store, told, 3),
        Testimony::Witness,
        "a generation of the past before is unknown in this one"
    );
    drop(store);
    assert!(report(&place).remarks[0].contains("is a copy"));
    // It is one once.
    let store = place.open();
    assert_eq!(store.epoch(), new.0);
    drop(store);
    let confirmed = operator::keep_past(&place.path()).unwrap();
    assert_eq!(confirmed.remarks, [""; 0]);
    assert_eq!(place.open().epoch(), new.0);
}

#[test]
fn a_move_that_an_operator_vouches_for_is_none() {
    let place = Place::new();
    let store = place.with_messages(3);
    let epoch = store.epoch();
    store.close().unwrap();
    drop(store);
    let copy = place.beside(".copy");
    std::fs::copy(place.path(), &copy).unwrap();
    std::fs::rename(&copy, place.path()).unwrap();
    operator::keep_past(&place.path()).unwrap();
    assert_eq!(place.open().epoch(), epoch);
}

#[test]
fn an_older_copy_over_the_file_is_a_lost_tail() {
    for (later, vouched, name) in [
        (3..6, false, "messages"),
        (0..0, false, "an account"),
        (3..6, true, "messages, and an operator who vouched"),
    ] {
        let place = Place::new();
        let store = place.with_messages(3);
        store.close().unwrap();
        drop(store);
        let old = std::fs::read(place.path()).unwrap();
        let store = place.open();
        let epoch = store.epoch();
        let mut writer = store.open_writer().unwrap();
        if later.is_empty() {
            writer.commit(&[account("dan")]).unwrap();
        }
        writer.commit(&messages(later.clone())).unwrap();
        drop((writer, store));
        write_over(&place, &old);
        if vouched {
            // What the witness says still counts.
            operator::keep_past(&place.path()).unwrap();
        }
        let store = place.open();
        assert_ne!(store.epoch(), epoch, "{name}");
        drop(store);
        let missing = format!("with {} positions are missing", later.count());
        assert!(
            report(&place).remarks[0].contains(&missing),
            "{name}: {:?}",
            report(&place).remarks
        );
    }
}

#[test]
fn an_older_copy_that_has_caught_up_is_told_by_its_commits() {
    let place = Place::new();
    let store = place.with_messages(3);
    store.close().unwrap();
    drop(store);
    let (old, witness) = (std::fs::read(place.path()).unwrap(), place.beside(".witness"));
    let store = place.open();
    store.open_writer().unwrap().commit(&messages(3..6)).unwrap();
    let epoch = store.epoch();
    drop(store);
    let said = std::fs::read(&witness).unwrap();
    // Elsewhere other messages take the same positions, and more.
    write_over(&place, &old);
    std::fs::remove_file(&witness).unwrap();
    let store = place.open();
    let mut writer = store.open_writer().unwrap();
    writer.commit(&messages(50..58)).unwrap();
    writer.commit(&messages(58..60)).unwrap();
    drop((writer, store));
    std::fs::write(&witness, said).unwrap();
    let store = place.open();
    assert_ne!(store.epoch(), epoch);
    drop(store);
    assert!(report(&place).remarks[0].contains("other commits"));
}

/// A witness that is behind, as after a power cut, raises no alarm.
#[test]
fn an_older_witness_says_less() {
    let place = Place::new();
    let store = place.with_messages(3);
    let epoch = store.epoch();
    let said = std::fs::read(place.beside(".witness")).unwrap();
    drop(store);
    let store = place.open();
    let mut end = store.open_writer().unwrap();
    end.commit(&messages(3..9)).unwrap();
    // The fold over what came since does not need bodies.
    let recall = |number, target| request(number, PAIR, ANN, Action::Recall { target: Seq(target) });
    end.commit(&[recall(20, 4), recall(21, 5)]).unwrap();
    drop((end, store));
    std::fs::write(place.beside(".witness"), said).unwrap();
    assert_eq!(place.open().epoch(), epoch);
    // Nor does one that is gone, or garbled, or of another store.
    for garbage in [None, Some(vec![7; 4_160])] {
        match garbage {
            None => std::fs::remove_file(place.beside(".witness")).unwrap(),
            Some(garbage) => std::fs::write(place.beside(".witness"), garbage).unwrap(),
        }
        assert_eq!(place.open().epoch(), epoch);
    }
    assert_eq!(report(&place).remarks, [""; 0]);
}

/// It is written after the flush: what was not committed is not vouched for.
#[test]
fn a_commit_that_failed_is_no_lost_tail() {
    let place = Place::new();
    drop(place.with_messages(3));
    let store = place.open();
    let epoch = store.epoch();
    let mut writer = store.open_writer().unwrap();
    writer.connection.commit_hook(Some(|| true)).unwrap();
    assert!(writer.commit(&messages(3..4)).is_err());
    drop((writer, store));
    assert_eq!(place.open().epoch(), epoch);
    assert_eq!(report(&place).remarks, [""; 0]);
}

/// SQLite ends its recovery at the first bad checksum and says nothing. We do.
#[test]
fn a_flipped_bit_in_the_log_never_takes_messages_away_unnoticed() {
    let place = Place::new();
    let store = place.with_messages(0);
    store.close().unwrap();
    drop(store);
    let store = place.open();
    let mut writer = store.open_writer().unwrap();
    for number in 0..12 {
        writer.commit(&messages(number * 2..number * 2 + 2)).unwrap();
    }
    let epoch = store.epoch();
    // Stopped, so that it copies nothing while the files are kept.
    end_process(&store);
    drop((writer, store));
    let files = ["", "-wal", ".witness"].map(|suffix| (suffix, std::fs::read(place.beside(suffix)).unwrap()));
    let wal_bytes = files[1].1.len();
    let mut outcomes = BTreeSet::new();
    for step in 0..60 {
        for (suffix, bytes) in &files {
            std::fs::write(place.beside(suffix), bytes).unwrap();
        }
        for suffix in ["-shm", ".damaged"] {
            let _ = std::fs::remove_file(place.beside(suffix));
        }
        let wal = std::fs::File::options()
            .write(true)
            .open(place.beside("-wal"))
            .unwrap();
        let at = wal_bytes * step / 60 + step % 5;
        wal.write_at(&[files[1].1[at] ^ 1 << (step % 8)], at as u64)
            .unwrap();
        drop(wal);
        let outcome = match SqliteStore::open(SqliteOptions::new(place.path())) {
            Err(_) => "refused",
            Ok(store) if store.epoch() != epoch => "a new past",
            Ok(store) => {
                let expected: Vec<String> = (0..24).map(|number| format!("message {number}")).collect();
                assert_eq!(bodies(&store), expected, "byte {at}");
                "whole"
            }
        };
        outcomes.insert(outcome);
    }
    assert!(outcomes.contains("a new past"), "{outcomes:?}");
}

#[test]
fn testimony_ends_the_past_and_the_process() {
    let place = Place::new();
    let store = place.with_messages(3);
    drop(store);
    let store = place.open();
    let mut writer = store.open_writer().unwrap();
    let (epoch, log_id) = (store.epoch(), store.log_id());
    store.begin_past("a device had more").unwrap();
    store.begin_past("another one, too").unwrap();
    assert!(matches!(store.fate().reason(), Some(Doom::PastOver(_))));
    match writer.commit(&messages(3..4)) {
        Err(CommitError::Fatal(reason)) => {
            assert!(reason.to_string().contains("a device had more"), "{reason}")
        }
        other => panic!("{other:?}"),
    }
    drop((writer, store));
    let store = place.open();
    assert!(store.epoch() != epoch && store.log_id() != log_id);
    assert_eq!(bodies(&store).len(), 3);
    drop(store);
    let report = report(&place);
    assert_eq!(report.remarks.len(), 1, "once a past: {:?}", report.remarks);
    assert!(report.remarks[0].contains("a device had more"));
}

#[test]
fn a_stranger_s_commit_ends_the_process_and_nothing_is_written() {
    let changes = [
        "UPDATE store SET position = position + 1",
        "UPDATE store SET generation = 5",
        "UPDATE store SET commits = commits + 1",
        "UPDATE store SET chain = chain + 1",
    ];
    for change in changes {
        let place = Place::new();
        drop(place.with_messages(3));
        let store = place.open();
        let mut writer = store.open_writer().unwrap();
        writer.commit(&messages(3..4)).unwrap();
        place.stranger().execute(change, []).unwrap();
        for _ in 0..2 {
            match writer.commit(&messages(4..5)) {
                Err(CommitError::Fatal(reason)) => {
                    assert!(reason.to_string().contains("another process"), "{reason}")
                }
                other => panic!("{change}: {other:?}"),
            }
        }
        assert!(store.fate().reason().is_some());
        let events: i64 = place
            .stranger()
            .query_row("SELECT count(*) FROM events", [], |row| row.get(0))
            .unwrap();
        assert_eq!(events, 4, "{change}");
    }
}

#[test]
fn a_batch_that_changes_nothing_writes_nothing() {
    let place = Place::new();
    drop(place.with_messages(3));
    let store = place.open();
    let mut writer = store.open_writer().unwrap();
    let files = || ["-wal", ".witness"].map(|suffix| std::fs::read(place.beside(suffix)).unwrap());
    let before = files();
    assert!(appended(&mut writer, message(1, "message 1")).duplicate);
    assert!(files() == before);
    writer.commit(&messages(3..4)).unwrap();
    assert!(files()[0] != before[0] && files()[1] != before[1]);
}

#[test]
fn a_new_past_by_hand_and_by_a_restore() {
    let place = Place::new();
    let store = place.with_messages(3);
    let names = (store.epoch(), store.token_key());
    let in_use = operator::begin_past(&place.path(), "by hand")
        .unwrap_err()
        .to_string();
    assert!(in_use.contains("another imserver uses"), "{in_use}");
    assert!(operator::keep_past(&place.path()).is_err());
    store.close().unwrap();
    drop(store);
    let made = operator::begin_past(&place.path(), "by hand").unwrap();
    assert_eq!(made.generations.last().unwrap().why, "by hand");
    assert_eq!(made.remarks, [""; 0], "it was asked for");
    let store = place.open();
    assert_eq!(store.epoch(), made.epoch);
    assert!(store.epoch() != names.0 && store.token_key() != names.1);
    drop(store);
    let (copy, restored) = (place.beside(".backup"), place.beside(".restored"));
    backup(&place.path(), &copy).unwrap();
    restore(&copy, &restored).unwrap();
    let store = SqliteStore::open(SqliteOptions::new(&restored)).unwrap();
    assert_ne!(store.epoch(), made.epoch);
    drop(store);
    let report = operator::report(&restored).unwrap();
    assert_eq!(report.remarks, [""; 0]);
    assert!(
        report
            .generations
            .iter()
            .any(|generation| generation.why.contains("restored"))
    );
    // A backup that is used as it is is a copy.
    let store = SqliteStore::open(SqliteOptions::new(&copy)).unwrap();
    assert_ne!(store.epoch(), made.epoch);
}
