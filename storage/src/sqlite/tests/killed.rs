//! A process that ends in the middle: what it had acknowledged is there.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
};

use super::*;

/// Names the database for the process that is to end.
const VARIABLE: &str = "STORAGE_TEST_KILLED_DATABASE";
/// Commits that the other process is allowed.
const COMMITS: usize = 20;

/// The other process: commits and says so until it is ended. Without the variable it is a test like others,
/// with nothing to do.
#[test]
fn a_process_to_be_killed() {
    let Some(path) = std::env::var_os(VARIABLE).map(PathBuf::from) else {
        return;
    };
    let store = SqliteStore::open(SqliteOptions::new(path)).unwrap();
    let mut writer = store.open_writer().unwrap();
    for number in 0.. {
        writer.commit(&messages(number * 3..number * 3 + 3)).unwrap();
        println!("committed {number}");
    }
}

#[test]
fn what_was_acknowledged_is_there() {
    let place = Place::new();
    drop(place.with_messages(0));
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "sqlite::tests::killed::a_process_to_be_killed",
            "--nocapture",
        ])
        .env(VARIABLE, place.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let acknowledged = lines
        .map(Result::unwrap)
        .filter(|line| line.contains("committed "))
        .take(COMMITS)
        .count();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(acknowledged, COMMITS);
    let store = place.open();
    let found = bodies(&store);
    assert!(found.len() >= COMMITS * 3, "{} are there", found.len());
    assert_eq!(found.len() % 3, 0, "whole batches only");
    for (index, body) in found.iter().enumerate() {
        assert_eq!(*body, format!("message {index}"));
    }
    // And it goes on, knowing what it has.
    let mut writer = store.open_writer().unwrap();
    assert!(appended(&mut writer, message(0, "message 0")).duplicate);
    let next = appended(&mut writer, message(u64::MAX, "next"));
    assert_eq!(next.event.seq, Seq(found.len() as u64 + 1));
}
