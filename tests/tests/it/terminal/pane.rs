//! A terminal of tmux with a program in it: what is typed, pasted and seen.

use std::{
    fs::File,
    path::PathBuf,
    process::{Command, Stdio},
};

use rustix::{
    process::{Pid, Signal, kill_process},
    termios::{LocalModes, tcgetattr},
};
use tempfile::TempDir;
use tests::harness::im_binary;

use super::{Person, until};

/// Runs a program, says how it ended, and stays.
const SCRIPT: &str = "#!/bin/sh\n\
    sh -c 'echo $$ > \"$0/pid\"; exec \"$@\"' \"$0.d\" \"$@\"\n\
    echo \"ended with $?\"\n\
    while read -r line; do echo \"shell read $line\"; done\n";

pub(super) struct Pane {
    tmux: PathBuf,
    directory: TempDir,
}

impl Pane {
    /// The full-screen chat of a person.
    pub(super) fn chat(person: &Person, columns: u16, lines: u16) -> Self {
        Self::run(person, &[], columns, lines, &[])
    }

    /// A command of a person, with these variables.
    pub(super) fn run(
        person: &Person,
        arguments: &[&str],
        columns: u16,
        lines: u16,
        variables: &[(&str, &str)],
    ) -> Self {
        let tmux = match services::find_tmux() {
            Ok(tmux) => tmux,
            Err(error) => panic!("{error}"),
        };
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("run");
        std::fs::write(&script, SCRIPT).unwrap();
        std::fs::create_dir(directory.path().join("run.d")).unwrap();
        let pane = Self { tmux, directory };
        let mut command = pane.tmux();
        command.args(["-f", "/dev/null", "-u", "new-session", "-d"]);
        command.args(["-x", &columns.to_string(), "-y", &lines.to_string()]);
        let mut settings = Vec::new();
        for (name, value) in [("LC_ALL", "C.UTF-8"), ("TZ", "<+0545>-5:45")]
            .iter()
            .chain(variables)
        {
            settings.push(format!("{name}={value}"));
        }
        command
            .arg("sh")
            .arg(&script)
            .arg("env")
            .args(settings)
            .arg(im_binary());
        command.args(["--server", &person.server, "--profile"]);
        command.arg(person.profile.path()).args(arguments);
        // What the developer's own terminal says is not meant for this one.
        for name in ["NO_COLOR", "TMUX", "IM_PASSWORD", "IM_SERVER", "IM_PROFILE"] {
            command.env_remove(name);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        pane.control(&["set-option", "-g", "status", "off"]);
        pane.control(&[
            "resize-window",
            "-x",
            &columns.to_string(),
            "-y",
            &lines.to_string(),
        ]);
        pane
    }

    fn tmux(&self) -> Command {
        let mut command = Command::new(&self.tmux);
        command.arg("-S").arg(self.directory.path().join("socket"));
        command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        command
    }

    fn control(&self, arguments: &[&str]) -> String {
        let output = self.tmux().args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What is on the screen.
    pub(super) fn screen(&self) -> Vec<String> {
        self.control(&["capture-pane", "-p"])
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// The same with what gives it colours.
    pub(super) fn painted(&self) -> String {
        self.control(&["capture-pane", "-p", "-e"])
    }

    /// With what has scrolled away.
    pub(super) fn everything(&self) -> String {
        self.control(&["capture-pane", "-p", "-J", "-S", "-"])
    }

    #[track_caller]
    pub(super) fn until(&self, what: &str, is_so: impl Fn(&[String]) -> bool) -> Vec<String> {
        let mut screen = Vec::new();
        let deadline = std::time::Instant::now() + tests::harness::PATIENCE;
        while std::time::Instant::now() < deadline {
            screen = self.screen();
            if is_so(&screen) {
                return screen;
            }
            std::thread::park_timeout(std::time::Duration::from_millis(20));
        }
        panic!("{what} was never seen: {screen:#?}");
    }

    #[track_caller]
    pub(super) fn until_shows(&self, wanted: &str) -> Vec<String> {
        self.until(wanted, |screen| screen.iter().any(|line| line.contains(wanted)))
    }

    #[track_caller]
    pub(super) fn until_hides(&self, unwanted: &str) -> Vec<String> {
        self.until(&format!("a screen without {unwanted}"), |screen| {
            !screen.iter().any(|line| line.contains(unwanted))
        })
    }

    /// Types text.
    pub(super) fn types(&self, text: &str) {
        self.control(&["send-keys", "-l", "--", text]);
    }

    /// Presses keys, by the names that tmux has for them.
    pub(super) fn press(&self, keys: &[&str]) {
        let mut arguments = vec!["send-keys"];
        arguments.extend(keys);
        self.control(&arguments);
    }

    /// Sends bytes as a terminal would.
    pub(super) fn sends(&self, bytes: &[u8]) {
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut arguments = vec!["send-keys", "-H"];
        arguments.extend(hex.iter().map(String::as_str));
        self.control(&arguments);
    }

    /// Pastes, as a terminal does: marked, if the program asks for it.
    pub(super) fn pastes(&self, text: &str) {
        let file = self.directory.path().join("paste");
        std::fs::write(&file, text).unwrap();
        self.control(&["load-buffer", "-b", "paste", &file.display().to_string()]);
        self.control(&["paste-buffer", "-p", "-d", "-b", "paste"]);
    }

    pub(super) fn resize(&self, columns: u16, lines: u16) {
        self.control(&[
            "resize-window",
            "-x",
            &columns.to_string(),
            "-y",
            &lines.to_string(),
        ]);
    }

    pub(super) fn signal(&self, signal: Signal) {
        let text = std::fs::read_to_string(self.directory.path().join("run.d/pid")).unwrap();
        let pid = Pid::from_raw(text.trim().parse().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// The terminal is as a shell wants it: line by line, showing what is typed, and not the other screen.
    pub(super) fn is_given_back(&self) -> bool {
        let tty = self.control(&["display-message", "-p", "#{pane_tty}"]);
        let tty = File::open(tty.trim()).unwrap();
        let modes = tcgetattr(&tty).unwrap().local_modes;
        let cooked = modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        cooked && self.control(&["display-message", "-p", "#{alternate_on}"]).trim() == "0"
    }

    #[track_caller]
    pub(super) fn until_given_back(&self) {
        until("a terminal that is given back", || self.is_given_back());
    }
}

impl Drop for Pane {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the last screen: {:#?}", self.screen());
        }
        // It ends with its only program anyway.
        let _ = self.tmux().arg("kill-server").output();
    }
}
