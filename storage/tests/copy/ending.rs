//! Copies that end early, and copies that are not what they should be: the database opens for nobody.

use postgres::{Client, NoTls};
use storage::{
    copy::{CopyError, Progress, Step, copy},
    postgres::{PostgresOptions, PostgresStore},
};

use crate::{Source, a_bit_of_everything, copied, target};

fn client(target: &PostgresOptions) -> Client {
    Client::connect(&target.url, NoTls).unwrap()
}

#[track_caller]
fn opens_for_nobody(source: &Source, target: &PostgresOptions) {
    let error = PostgresStore::open(target.clone()).unwrap_err().to_string();
    assert!(
        error.contains("a copy into it is not complete") && error.contains("copy again"),
        "{error}"
    );
    match copy(&source.path(), target.clone(), &mut |_| {}) {
        Err(CopyError::NotBegun(why)) => assert_eq!(why.to_string(), error),
        other => panic!("{other:?}"),
    }
}

/// Ends the copy's connection at the first progress of which this holds.
fn broken_off(
    source: &Source,
    target: &PostgresOptions,
    when: impl Fn(&Progress) -> bool,
) -> Result<(), CopyError> {
    let mut target = target.clone();
    target.application_name = format!("broken off {}", target.url);
    // The server keeps no more of a name.
    target.application_name.truncate(63);
    let (mut client, name) = (client(&target), target.application_name.clone());
    let mut done = false;
    copy(&source.path(), target, &mut |progress| {
        if !done && when(&progress) {
            done = true;
            let ended = client.query(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = $1",
                &[&name],
            );
            assert!(ended.unwrap().iter().all(|row| row.get(0)));
        }
    })
    .map(|_| assert!(!done, "it was broken off"))
}

#[test]
fn a_copy_that_is_broken_off_is_begun_anew() {
    let source = Source::with(&a_bit_of_everything());
    let moments: [fn(&Progress) -> bool; 3] = [
        |progress| progress.step == Step::Copying && progress.rows == 0,
        |progress| progress.step == Step::Copying && progress.rows > 10,
        |progress| progress.step == Step::Comparing,
    ];
    for moment in moments {
        let target = target();
        let error = broken_off(&source, &target, moment).unwrap_err();
        assert!(matches!(error, CopyError::BrokenOff(_)), "{error:?}");
        assert!(error.to_string().ends_with("and copy again"), "{error}");
        opens_for_nobody(&source, &target);
        // As in a database that was made anew.
        client(&target)
            .batch_execute(
                "DO $$ DECLARE here text := current_schema(); BEGIN
                    EXECUTE format('DROP SCHEMA %I CASCADE', here); EXECUTE format('CREATE SCHEMA %I', here);
                 END $$",
            )
            .unwrap();
        copied(&source, &target);
        PostgresStore::open(target).unwrap();
    }
}

#[test]
fn a_copy_that_differs_is_found_out() {
    const GROUP: u64 = 1 << 61 | 1;
    const DIRECT: u64 = 1 << 62 | 1 << 31 | 2;
    let source = Source::with(&a_bit_of_everything());
    let group = format!("conversation = {GROUP}");
    let cases: Vec<(String, &str, u64)> = vec![
        (
            "UPDATE users SET password_hash = 'mine' WHERE id = 2".to_owned(),
            "user",
            2,
        ),
        (
            "INSERT INTO users SELECT 9, 'nine', '', '', '', '', 1, 1".to_owned(),
            "user",
            9,
        ),
        (
            "UPDATE sessions SET user_id = 3 WHERE id = 2".to_owned(),
            "session",
            2,
        ),
        ("DELETE FROM sessions WHERE id = 1".to_owned(), "session", 1),
        (
            format!("UPDATE events SET body = 'x' WHERE {group} AND seq = 4"),
            "an event of conversation",
            GROUP,
        ),
        (
            format!(
                "UPDATE events SET fingerprint = client_id WHERE {group} AND seq = 4; \
                     UPDATE events SET at = at + 1 WHERE conversation = {DIRECT} AND seq = 2"
            ),
            "an event of conversation",
            DIRECT,
        ),
        (
            format!("UPDATE events SET label = label || '!' WHERE {group} AND seq = 1"),
            "an event of conversation",
            GROUP,
        ),
        (
            format!("UPDATE conversations SET head_ordinal = 1 WHERE id = {GROUP}"),
            "conversation",
            GROUP,
        ),
        (
            format!("UPDATE members SET role = 1 WHERE {group} AND user_id = 2"),
            "a member of conversation",
            GROUP,
        ),
        (
            "UPDATE group_counts SET groups = 9 WHERE user_id = 2".to_owned(),
            "the number of groups of user",
            2,
        ),
        (
            format!("DELETE FROM edits WHERE {group} AND target = 2"),
            "an edit in conversation",
            GROUP,
        ),
        (
            format!("UPDATE reactions SET reaction = '-1' WHERE {group}"),
            "a reaction in conversation",
            GROUP,
        ),
        (
            format!("UPDATE cursors SET read = 1 WHERE {group} AND user_id = 3"),
            "a cursor in conversation",
            GROUP,
        ),
        (
            format!("UPDATE cursors SET position = 0 WHERE conversation = {DIRECT} AND user_id = 1"),
            "a cursor in conversation",
            DIRECT,
        ),
        (
            format!(
                "UPDATE events e SET position = (SELECT max(position) + 1 FROM events) WHERE {group} AND seq = 4"
            ),
            "the place of an event of conversation",
            GROUP,
        ),
        (
            format!("UPDATE conversations SET head_position = head_position + 1 WHERE id = {GROUP}"),
            "the head of conversation",
            GROUP,
        ),
        (
            format!("UPDATE members SET left_position = left_position + 1 WHERE {group}"),
            "the end of a membership in conversation",
            GROUP,
        ),
    ];
    for (tampering, expected, whose) in cases {
        let target = target();
        let mut client = client(&target);
        let result = copy(&source.path(), target.clone(), &mut |progress| {
            if progress.step == Step::Comparing && progress.rows == 0 {
                client.batch_execute(&tampering).unwrap();
            }
        });
        match result {
            Err(CopyError::Differs { what, id }) => assert_eq!((what, id), (expected, whose), "{tampering}"),
            other => panic!("{tampering}: {other:?}"),
        }
        opens_for_nobody(&source, &target);
    }
}
