//! Plain copies that are put back, and what devices, tokens and the terminal client make of it.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use bytes::Bytes;
use disk::cache::{Cache, Image, put};
use protocol::v1::{self, ErrorCode};
use tests::harness::{Daemon, PASSWORD, PATIENCE, body, im_binary, refused, text};

use crate::world::{Account, World, end, setup};

const STORE_FAILED: i32 = 70;

/// A device's token, by a sync from `from` to its end.
fn sync(account: &Account, daemon: &Daemon, from: &Bytes) -> (Bytes, bool) {
    let mut user = account.resume(daemon.address());
    let (mut token, mut restarted) = (from.clone(), false);
    loop {
        let part = user.get(v1::SyncRequest {
            token: token.clone(),
            limit: 100,
        });
        token = part.token;
        restarted |= part.restarted;
        if !part.more {
            return (token, restarted);
        }
    }
}

fn epoch(account: &Account, daemon: &Daemon) -> u64 {
    account.resume(daemon.address()).epoch
}

fn say(account: &Account, daemon: &Daemon, conversation: u64, words: &str) {
    account.resume(daemon.address()).text(conversation, words);
}

fn texts(account: &Account, daemon: &Daemon, conversation: u64) -> Vec<String> {
    account.resume(daemon.address()).texts(conversation)
}

/// The files of a store that is not in use.
fn copy(place: &Path) -> Image {
    Cache::of(place).visible()
}

/// Removes the store's files and makes them again from a copy: other files with the same bytes.
fn remove_and_copy(image: &Image, place: &Path) {
    for entry in std::fs::read_dir(place).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    // Else the system may give the new file the number of the old one.
    let keeps = place.join("keeps-a-number");
    std::fs::write(&keeps, "x").unwrap();
    put(image, place);
    let _ = std::fs::remove_file(keeps);
}

/// A daemon that was ahead of the copy that is put back: ada's follower knows it, bob's knows an older state.
struct Ahead {
    daemon: Daemon,
    copy: Image,
    newest: Bytes,
    older: Bytes,
    epoch: u64,
}

impl Ahead {
    fn of(world: &World) -> Self {
        let mut daemon = setup(&world.place()).start();
        say(&world.users[0], &daemon, world.pair, "kept");
        let (older, _) = sync(&world.followers[1], &daemon, &Bytes::new());
        assert!(end(&mut daemon).success());
        let copy = copy(&world.place());
        daemon.start_again();
        for number in 0..5 {
            say(&world.users[0], &daemon, world.pair, &format!("lost {number}"));
        }
        let (newest, _) = sync(&world.followers[0], &daemon, &Bytes::new());
        let epoch = epoch(&world.users[0], &daemon);
        Self {
            daemon,
            copy,
            newest,
            older,
            epoch,
        }
    }

    /// The past is another one, everybody is told, and what is acknowledged in it is seen by all.
    fn judge(self, world: &World, what: &str) {
        self.judge_after(world, what, |_| true);
    }

    /// The same, where only some texts are `judged`.
    fn judge_after(mut self, world: &World, what: &str, judged: impl Fn(&str) -> bool) {
        let now = epoch(&world.users[0], &self.daemon);
        assert_ne!(now, self.epoch, "{what}: the epoch is another one");
        for number in 0..3 {
            say(
                &world.users[1],
                &self.daemon,
                world.pair,
                &format!("new {number}"),
            );
        }
        for (account, token) in [
            (&world.followers[0], &self.newest),
            (&world.followers[1], &self.older),
            // A second time changes nothing more.
            (&world.followers[0], &self.newest),
        ] {
            let (_, restarted) = sync(account, &self.daemon, token);
            assert!(restarted, "{what}: a device is told that the past is another one");
        }
        assert_eq!(
            epoch(&world.users[0], &self.daemon),
            now,
            "{what}: no second new past"
        );
        let expected = ["kept", "new 0", "new 1", "new 2"];
        for account in world.users.iter().chain(&world.followers) {
            let mut found = texts(account, &self.daemon, world.pair);
            found.retain(|text| judged(text));
            assert_eq!(found, expected, "{what}");
        }
        assert!(end(&mut self.daemon).success());
        println!(
            "{what}: another past, 4 devices told, {} messages checked, violations: 0",
            4 * 4
        );
    }
}

#[test]
fn a_copy_that_takes_the_place_of_the_store_begins_another_past() {
    let world = World::new();
    let mut ahead = Ahead::of(&world);
    assert!(end(&mut ahead.daemon).success());
    remove_and_copy(&ahead.copy, &world.place());
    ahead.daemon.start_again();
    ahead.judge(&world, "removed and copied");
}

#[test]
fn a_copy_written_over_the_store_is_testified_by_the_first_device_that_was_ahead() {
    let world = World::new();
    let mut ahead = Ahead::of(&world);
    assert!(end(&mut ahead.daemon).success());
    // The witness beside the store goes with it, as when a whole directory or volume is put back.
    put(&ahead.copy, &world.place());
    ahead.daemon.start_again();
    assert_eq!(
        epoch(&world.users[0], &ahead.daemon),
        ahead.epoch,
        "nothing says so yet"
    );
    // An older token proves nothing, and is no reason for anything.
    let (_, restarted) = sync(&world.followers[1], &ahead.daemon, &ahead.older);
    assert!(!restarted);
    // The newest one is of something that this store does not have: it ends, and begins another past.
    let mut user = world.followers[0].resume(ahead.daemon.address());
    user.conn.submit(v1::SyncRequest {
        token: ahead.newest.clone(),
        limit: 100,
    });
    assert_eq!(ahead.daemon.ended().code(), Some(STORE_FAILED));
    ahead.daemon.start_again();
    ahead.judge(&world, "copied over");
}

#[test]
fn a_copy_written_over_the_store_alone_is_testified_by_the_witness_beside_it() {
    let world = World::new();
    let mut ahead = Ahead::of(&world);
    assert!(end(&mut ahead.daemon).success());
    for (path, bytes) in &ahead.copy {
        if path.to_string_lossy().ends_with(".db") {
            disk::cache::overwrite(path, bytes);
        }
    }
    ahead.daemon.start_again();
    ahead.judge(&world, "the database alone copied over");
}

#[test]
fn files_that_are_replaced_under_the_daemon_end_it() {
    for replace in [remove_and_copy, |image: &Image, place: &Path| put(image, place)] {
        let world = World::new();
        let mut ahead = Ahead::of(&world);
        replace(&ahead.copy, &world.place());
        let until = Instant::now() + PATIENCE;
        let mut tried = 0;
        while ahead.daemon.has_ended().is_none() {
            assert!(Instant::now() < until, "the daemon noticed nothing");
            let Some(mut user) = world.users[0].try_resume(ahead.daemon.address()) else {
                continue;
            };
            tried += 1;
            let _ = crate::world::try_ask(&mut user.conn, text(world.pair, &format!("meanwhile {tried}")));
        }
        ahead.daemon.start_again();
        ahead.judge_after(&world, "replaced in use", |text| !text.starts_with("meanwhile"));
    }
}

#[test]
fn a_log_that_is_removed_under_the_daemon_ends_it() {
    let world = World::new();
    let mut daemon = setup(&world.place()).start();
    say(&world.users[0], &daemon, world.pair, "one");
    std::fs::remove_file(world.place().join("imserver.db-wal")).unwrap();
    // Nothing need be written for it to be noticed.
    assert_eq!(daemon.ended().code(), Some(STORE_FAILED));
}

#[test]
fn a_forged_token_is_invalid_and_no_reason_for_another_past() {
    let world = World::new();
    let mut daemon = setup(&world.place()).start();
    say(&world.users[0], &daemon, world.pair, "one");
    let (token, _) = sync(&world.followers[0], &daemon, &Bytes::new());
    let before = epoch(&world.users[0], &daemon);
    let mut user = world.followers[0].resume(daemon.address());
    let mut tried = 0;
    for at in 0..token.len() {
        for bit in 0..8 {
            let mut forged = token.to_vec();
            forged[at] ^= 1 << bit;
            let answer = user.ask(v1::SyncRequest {
                token: forged.into(),
                limit: 100,
            });
            // Of another log id it is a token of another past; else it is forged.
            match answer {
                Ok(answer) => assert!(answer.restarted && at < 8, "byte {at}: {answer:?}"),
                answer @ Err(_) => assert_eq!(refused(answer), ErrorCode::Invalid, "byte {at}"),
            }
            tried += 1;
        }
    }
    assert_eq!(epoch(&world.users[0], &daemon), before);
    assert!(end(&mut daemon).success());
    println!("forged tokens: {tried}, none begins another past, violations: 0");
}

/// The terminal client with a profile of its own.
struct Im {
    profile: tempfile::TempDir,
    server: String,
}

impl Im {
    fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new(im_binary())
            .args(["--server", &self.server, "--profile"])
            .arg(self.profile.path())
            .args(arguments)
            .env("IM_PASSWORD", PASSWORD)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}{errors}");
        said
    }

    /// What `recv` prints until nothing has come for a while.
    fn received(&self, count: usize) -> String {
        self.run(&["recv", "--count", &count.to_string(), "--timeout", "20"])
    }
}

#[test]
fn after_a_restore_everything_that_was_acknowledged_in_the_new_epoch_is_received() {
    const NEW: usize = 5;
    let world = World::new();
    let mut daemon = setup(&world.place()).start();
    let server = daemon.address().to_string();
    let im = |name: &str| {
        let im = Im {
            profile: tempfile::tempdir().unwrap(),
            server: server.clone(),
        };
        im.run(&["register", name]);
        im
    };
    let (cyd, dan) = (im("cyd"), im("dan"));
    cyd.run(&["send", "@dan", "kept"]);
    assert!(dan.received(1).contains("kept"));
    let backup = world.beside("backup.db");
    embedded(&daemon, &["backup", "--to"], &backup);
    for number in 0..3 {
        cyd.run(&["send", "@dan", &format!("lost {number}")]);
    }
    assert!(dan.received(3).contains("lost 2"));
    assert!(end(&mut daemon).success());
    for entry in std::fs::read_dir(world.place()).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    embedded(&daemon, &["restore", "--from"], &backup);
    daemon.start_again();
    // Before the device comes back.
    for number in 0..NEW {
        cyd.run(&["send", "@dan", &format!("new {number}")]);
    }
    let mut said = String::new();
    // What was received before the restore may come again; what is new must come.
    for _ in 0..=NEW {
        if (0..NEW).all(|number| said.contains(&format!("new {number}"))) {
            break;
        }
        said += &dan.received(1);
    }
    for number in 0..NEW {
        assert!(
            said.contains(&format!("new {number}")),
            "`im recv` never printed new {number}: {said}"
        );
    }
    println!("after a restore: {NEW} messages of the new epoch received, violations: 0");
}

fn embedded(daemon: &Daemon, words: &[&str], file: &PathBuf) {
    let output = Command::new(Daemon::binary())
        .arg("--config")
        .arg(daemon.config_file())
        .arg("--data-dir")
        .arg(daemon.data_dir())
        .args(words)
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{words:?}: {errors}");
}

/// What the old texts say is only what they said before.
#[test]
fn a_store_that_is_only_restarted_keeps_its_past() {
    let world = World::new();
    let mut daemon = setup(&world.place()).start();
    let before = epoch(&world.users[0], &daemon);
    say(&world.users[0], &daemon, world.pair, "one");
    let (token, _) = sync(&world.followers[0], &daemon, &Bytes::new());
    for kill in [true, false, true] {
        if kill {
            daemon.kill();
        } else {
            assert!(end(&mut daemon).success());
        }
        daemon.start_again();
        assert_eq!(epoch(&world.users[0], &daemon), before);
        let (_, restarted) = sync(&world.followers[0], &daemon, &token);
        assert!(!restarted);
    }
    let history = world.users[1].resume(daemon.address()).history(world.pair);
    assert_eq!(history.iter().map(body).collect::<Vec<_>>(), ["one"]);
}
