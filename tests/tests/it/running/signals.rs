//! SIGHUP: of an operator, and of a terminal that hangs up.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Instant,
};

use protocol::Push;
use rustix::process::{Pid, Signal, kill_process};
use tests::harness::{Connection, Daemon, Incoming, Setup, User};

use super::{PATIENCE, logged};

fn hang_up(daemon: &Daemon) {
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
}

/// A daemon without a terminal, as supervisors start it; whoever runs the tests may have one.
fn without_terminal(config: &str) -> Setup {
    Setup {
        wrapper: vec!["setsid".into()],
        ..Setup::config(config)
    }
}

#[test]
fn a_hang_up_reads_the_configuration_again_and_kills_nobody() {
    let daemon = without_terminal("[log]\nlevel = \"info\"\n")
        .allow_errors()
        .start();
    let mut ann = daemon.register("ann");
    let own = ann.own();
    hang_up(&daemon);
    logged(&daemon, &["was read again", "nothing has changed"]);
    std::fs::write(
        daemon.config_file(),
        "[log]\nlevel = \"debug\"\n[limits]\ntext_bytes = 100\n[groups]\nmembers = 7\n",
    )
    .unwrap();
    hang_up(&daemon);
    logged(
        &daemon,
        &[
            "WARN",
            "in force: log.level; these have changed and wait for the next start: limits.text_bytes, groups.members",
        ],
    );
    // What is wrong changes nothing.
    std::fs::write(daemon.config_file(), "[limits]\ntext_bytes = 0\n").unwrap();
    hang_up(&daemon);
    logged(&daemon, &["ERROR", "stays as it was", "limits.text_bytes"]);
    ann.text(own, "still here");
    assert_eq!(ann.texts(own), ["still here"]);
}

#[test]
fn who_ignores_hang_ups_keeps_ignoring_them() {
    let daemon = Setup {
        wrapper: vec!["nohup".into()],
        ..Setup::default()
    }
    .start();
    let mut ann = daemon.register("ann");
    let own = ann.own();
    hang_up(&daemon);
    ann.text(own, "still here");
    assert!(!daemon.log().iter().any(|line| line.contains("read again")));
}

/// The program `script` gives it a terminal; ending that one hangs up.
#[test]
fn when_its_terminal_hangs_up_it_drains() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let config = path("imserver.toml");
    std::fs::write(&config, format!("[log]\nfile = {:?}\n", path("log"))).unwrap();
    let command = format!(
        "{} --config {config} --data-dir {} --listen 127.0.0.1:0",
        Daemon::binary().display(),
        path("data")
    );
    let terminal = Command::new("script")
        .args(["--quiet", "--flush", "--command", &command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut terminal) = terminal else {
        eprintln!("script is not installed and was not tried: install the package bsdutils");
        return;
    };
    let mut said = BufReader::new(terminal.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    let address = line
        .trim()
        .strip_prefix("listening on ")
        .unwrap()
        .parse()
        .unwrap();
    let mut ann = User::register(address, "ann");
    let own = ann.own();
    ann.text(own, "kept");
    terminal.kill().unwrap();
    terminal.wait().unwrap();
    // It says goodbye, and ends in order.
    let told = ann.conn.rest();
    assert!(
        told.iter()
            .any(|told| matches!(told, Incoming::Push(Push::GoAway(_)))),
        "{told:?}"
    );
    let deadline = Instant::now() + PATIENCE;
    loop {
        let log = std::fs::read_to_string(path("log")).unwrap_or_default();
        if log.contains("ended: 1 connections drained") {
            break;
        }
        assert!(Instant::now() < deadline, "{log}");
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
    assert!(Connection::try_to(address).is_err(), "it is gone");
}
