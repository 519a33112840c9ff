//! SIGHUP: of an operator, and of a terminal that hangs up.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, Stdio},
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
fn started_with_nohup_it_reads_the_configuration_again_too() {
    let daemon = Setup {
        wrapper: vec!["setsid".into(), "nohup".into()],
        ..Setup::default()
    }
    .start();
    hang_up(&daemon);
    logged(&daemon, &["was read again", "nothing has changed"]);
}

/// A daemon that `script` gave a terminal of its own; ending that program hangs up.
struct AtTerminal {
    directory: tempfile::TempDir,
    script: Child,
    process: Pid,
    address: SocketAddr,
    /// Open, so that `script` can pass on the rest.
    _said: BufReader<ChildStdout>,
}

impl AtTerminal {
    /// Started by a shell that does this before; `None` where `script` is not installed.
    fn start(before: &str) -> Option<Self> {
        let mut version = Command::new("script");
        let installed = version.arg("--version").stdout(Stdio::null()).status().is_ok();
        if !installed {
            eprintln!("script is not installed and was not tried: install the package bsdutils");
        }
        installed.then(|| Self::new(before))
    }

    fn new(before: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        std::fs::write(
            path("imserver.toml"),
            format!("[log]\nfile = {:?}\n", path("log")),
        )
        .unwrap();
        let command = format!(
            "{before} echo process $$; exec {} --config {} --data-dir {} --listen 127.0.0.1:0",
            Daemon::binary().display(),
            path("imserver.toml"),
            path("data")
        );
        // Whoever runs the tests with `nohup` has everything below them ignore hang-ups.
        let script = Command::new("env")
            .args([
                "--default-signal=HUP",
                "script",
                "--quiet",
                "--flush",
                "--command",
            ])
            .args([&command, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut script = script.expect("env");
        let mut said = BufReader::new(script.stdout.take().unwrap());
        let mut process = None;
        let mut line = String::new();
        while said.read_line(&mut line).unwrap() > 0 {
            if let Some(number) = line.trim().strip_prefix("process ") {
                process = Pid::from_raw(number.parse().unwrap());
            }
            if let Some(address) = line.trim().strip_prefix("listening on ") {
                return Self {
                    directory,
                    script,
                    process: process.unwrap(),
                    address: address.parse().unwrap(),
                    _said: said,
                };
            }
            line.clear();
        }
        panic!("it ended: {}", script.wait().unwrap());
    }

    fn hang_up(&mut self) {
        self.script.kill().unwrap();
        self.script.wait().unwrap();
    }

    fn until_logged(&self, wanted: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            if log.contains(wanted) {
                return;
            }
            assert!(Instant::now() < deadline, "{log}");
            std::thread::park_timeout(std::time::Duration::from_millis(10));
        }
    }
}

impl Drop for AtTerminal {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
        // It may have ended by itself.
        let _ = kill_process(self.process, Signal::KILL);
    }
}

#[test]
fn when_its_terminal_hangs_up_it_drains() {
    let Some(mut daemon) = AtTerminal::start("") else {
        return;
    };
    let mut ann = User::register(daemon.address, "ann");
    let own = ann.own();
    ann.text(own, "kept");
    daemon.hang_up();
    // It says goodbye, and ends in order.
    let told = ann.conn.rest();
    assert!(
        told.iter()
            .any(|told| matches!(told, Incoming::Push(Push::GoAway(_)))),
        "{told:?}"
    );
    daemon.until_logged("ended: 1 connections drained");
    assert!(Connection::try_to(daemon.address).is_err(), "it is gone");
}

#[test]
fn started_to_outlive_its_terminal_it_does() {
    // As `nohup` does, which would also have the output go to a file.
    let Some(mut daemon) = AtTerminal::start("trap '' HUP;") else {
        return;
    };
    let mut ann = User::register(daemon.address, "ann");
    let own = ann.own();
    daemon.hang_up();
    daemon.until_logged("was read again");
    ann.text(own, "still here");
    assert_eq!(ann.texts(own), ["still here"]);
}
