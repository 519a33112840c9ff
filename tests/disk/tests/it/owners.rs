//! Two daemons on one database, however the second one comes to it, and others who write into it: one writer, and
//! nothing is there twice.

use std::{
    ffi::OsString,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use tests::harness::{Daemon, PATIENCE, Setup};

use crate::world::{Traffic, World, setup};

const STORE_FAILED: i32 = 70;

/// A daemon with traffic behind it and before it.
struct First<'a> {
    daemon: Daemon,
    traffic: Traffic<'a>,
}

impl<'a> First<'a> {
    fn on(world: &'a World) -> Self {
        let daemon = setup(&world.place()).start();
        let mut first = Self {
            traffic: world.traffic(),
            daemon,
        };
        first.traffic.follow(first.daemon.address());
        assert!(first.traffic.send(first.daemon.address(), 20, 0));
        first
    }

    /// It goes on, or has ended with 70; after a new start nothing is missing and nothing there twice.
    fn judge(mut self, what: &str) {
        if !self.traffic.send(self.daemon.address(), 20, 0) {
            assert_eq!(self.daemon.ended().code(), Some(STORE_FAILED));
            self.daemon.start_again();
        }
        let address = self.daemon.address();
        self.traffic.finish(address);
        let checked = self.traffic.acknowledged();
        let broken = self.traffic.judge(address);
        println!(
            "two daemons, {what}: {checked} messages checked, violations: {}",
            broken.len()
        );
        assert!(broken.is_empty(), "{broken:#?}");
    }

    /// Sends until the daemon ends by itself, which it must.
    fn await_end(&mut self) {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.daemon.has_ended() {
                assert_eq!(status.code(), Some(STORE_FAILED));
                return;
            }
            assert!(Instant::now() < until, "the daemon noticed nothing");
            self.traffic.send(self.daemon.address(), 1, 0);
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

/// A second daemon is refused, with a sentence.
#[track_caller]
fn refused(setup: Setup) {
    match setup.try_start() {
        Ok(daemon) => panic!("a second daemon serves {}", daemon.data_dir().display()),
        Err(ended) => {
            assert_eq!(ended.status.code(), Some(1), "{ended:?}");
            assert!(ended.stderr.contains("imserver.db"), "{ended:?}");
        }
    }
}

fn fresh(world: &World) -> PathBuf {
    let other = world.beside("other");
    std::fs::create_dir(&other).unwrap();
    other
}

const FILE: &str = "imserver.db";

#[test]
fn a_symbolic_link_to_the_directory() {
    let world = World::new();
    let first = First::on(&world);
    let other = world.beside("other");
    symlink(world.place(), &other).unwrap();
    refused(setup(&other));
    first.judge("a symbolic link to the directory");
}

#[test]
fn a_symbolic_link_to_the_file() {
    let world = World::new();
    let first = First::on(&world);
    let other = fresh(&world);
    symlink(world.place().join(FILE), other.join(FILE)).unwrap();
    refused(setup(&other));
    first.judge("a symbolic link to the file");
}

#[test]
fn a_hard_link() {
    let world = World::new();
    let first = First::on(&world);
    let other = fresh(&world);
    std::fs::hard_link(world.place().join(FILE), other.join(FILE)).unwrap();
    refused(setup(&other));
    // A file with two names is refused by whoever starts on it.
    std::fs::remove_dir_all(&other).unwrap();
    first.judge("a hard link");
}

#[test]
fn a_removed_lock_file() {
    let world = World::new();
    let first = First::on(&world);
    for entry in std::fs::read_dir(world.place()).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().ends_with(".lock") {
            std::fs::remove_file(path).unwrap();
        }
    }
    refused(setup(&world.place()));
    first.judge("a removed lock file");
}

#[test]
fn a_bind_mount() {
    let world = World::new();
    let first = First::on(&world);
    let other = fresh(&world);
    let mut second = setup(&other);
    second.wrapper = bind(&world.place(), &other);
    refused(second);
    first.judge("a bind mount");
}

/// What starts a program where `at` shows the directory `what`.
fn bind(what: &Path, at: &Path) -> Vec<OsString> {
    let script = "mount --bind \"$0\" \"$1\" && shift && exec \"$@\"";
    let ways: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    for way in ways {
        let mut words: Vec<OsString> = vec!["unshare".into()];
        words.extend(way.iter().map(OsString::from));
        words.extend(["sh".into(), "-c".into(), script.into(), what.into(), at.into()]);
        let tried = Command::new(&words[0]).args(&words[1..]).arg("true").output();
        if tried.is_ok_and(|output| output.status.success()) {
            return words;
        }
    }
    panic!("this user may not make a bind mount: run this as root, or where user namespaces are allowed");
}

#[test]
fn a_file_that_is_renamed_away() {
    let world = World::new();
    let mut first = First::on(&world);
    let (here, away) = (world.place().join(FILE), world.beside("away.db"));
    std::fs::rename(&here, &away).unwrap();
    first.await_end();
    std::fs::rename(&away, &here).unwrap();
    first.daemon.start_again();
    first.judge("a file that is renamed away");
}

#[test]
fn another_program_that_writes_between_two_commits() {
    let world = World::new();
    let mut first = First::on(&world);
    let stranger = rusqlite::Connection::open(world.place().join(FILE)).unwrap();
    stranger.busy_timeout(PATIENCE).unwrap();
    stranger
        .execute("UPDATE store SET position = position + 1", [])
        .unwrap();
    drop(stranger);
    let acknowledged = first.traffic.acknowledged();
    first.await_end();
    assert_eq!(
        first.traffic.acknowledged(),
        acknowledged,
        "nothing was acknowledged after it"
    );
    println!("another program that writes: {acknowledged} messages acknowledged before it, none after it");
}
