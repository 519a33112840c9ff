//! Running it: what an operator does, and what the daemon says.

mod disk;
mod modes;
mod names;
mod oddities;
mod pooler;
mod redis;
mod signals;
mod start;
mod status;
mod supervised;

use std::{
    ffi::OsString,
    time::{Duration, Instant},
};

use tests::harness::{Daemon, Ended};

/// How long a test waits for what must come about.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the daemon's binary to its end.
fn run(arguments: &[&str]) -> Ended {
    let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
    Daemon::run_to_end(&arguments)
}

/// Waits until a line of the log has all parts; returns it.
#[track_caller]
fn logged(daemon: &Daemon, parts: &[&str]) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let log = daemon.log();
        if let Some(line) = log
            .iter()
            .find(|line| parts.iter().all(|part| line.contains(part)))
        {
            return line.clone();
        }
        assert!(Instant::now() < deadline, "{parts:?} is not in {log:#?}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}
