//! `im` as people use it: in a real terminal, from scripts, and against servers that lie.

mod lines;
mod odd;
mod pane;
mod screen;
mod signals;

use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tests::harness::{Daemon, PATIENCE, im_binary};

const PASSWORD: &str = "correct horse battery staple";

/// One person at one profile.
struct Person {
    server: String,
    profile: TempDir,
}

impl Person {
    /// Nobody is logged in yet.
    fn at(server: &str) -> Self {
        Self {
            server: server.to_owned(),
            profile: tempfile::tempdir().unwrap(),
        }
    }

    fn registered(daemon: &Daemon, name: &str) -> Self {
        let person = Self::at(&daemon.address().to_string());
        person.ok(&["register", name]);
        person
    }

    /// The same account on another device.
    fn elsewhere(&self, name: &str) -> Self {
        let person = Self::at(&self.server);
        person.ok(&["login", name]);
        person
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(im_binary());
        command
            .args(["--server", &self.server, "--profile"])
            .arg(self.profile.path())
            .args(arguments)
            .env("IM_PASSWORD", PASSWORD)
            .env("TZ", "<+0545>-5:45")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let mut all = vec!["--json"];
        all.extend(arguments);
        let lines = self.ok(&all);
        lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// What the server counts as unread in a conversation, and up to where it is read.
    fn unread(&self, conversation: &str) -> (u64, u64) {
        let listed = self.json(&["list"]);
        let found = listed.iter().find(|row| row["conversation"] == conversation);
        found.map_or((0, 0), |row| {
            (row["unread"].as_u64().unwrap(), row["read_seq"].as_u64().unwrap())
        })
    }
}

/// Waits until it is so.
#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !is_so() {
        assert!(std::time::Instant::now() < deadline, "{what} did not come about");
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
}
