//! The terminal client as scripts use it: what it prints, and how it ends.

use std::{
    io::Read,
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;
use tests::harness::{Daemon, Setup, im_binary};

const PASSWORD: &str = "correct horse battery staple";

struct Im {
    server: String,
    profile: TempDir,
}

struct Done {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Done {
    /// One JSON object a line.
    fn objects(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl Im {
    /// A profile of its own; nobody is logged in yet.
    fn of(daemon: &Daemon) -> Self {
        Self {
            server: daemon.address().to_string(),
            profile: tempfile::tempdir().unwrap(),
        }
    }

    fn registered(daemon: &Daemon, name: &str) -> Self {
        let im = Self::of(daemon);
        im.ok(&["register", name]);
        im
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(im_binary());
        command
            .args(["--server", &self.server, "--profile"])
            .arg(self.profile.path())
            .args(arguments)
            .env("IM_PASSWORD", PASSWORD)
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Done {
        let output = self.command(arguments).output().unwrap();
        Done {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> Done {
        let done = self.run(arguments);
        assert_eq!(
            done.code,
            Some(0),
            "{arguments:?}: {}{}",
            done.stdout,
            done.stderr
        );
        done
    }

    #[track_caller]
    fn ends(&self, arguments: &[&str], code: i32) -> Done {
        let done = self.run(arguments);
        assert_eq!(
            done.code,
            Some(code),
            "{arguments:?}: {}{}",
            done.stdout,
            done.stderr
        );
        done
    }

    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let mut all = vec!["--json"];
        all.extend(arguments);
        self.ok(&all).objects()
    }

    /// The texts that `recv` gets.
    fn received(&self, count: usize) -> Vec<String> {
        texts(&self.json(&["recv", "--count", &count.to_string(), "--timeout", "20"]))
    }
}

fn texts(messages: &[Value]) -> Vec<String> {
    messages
        .iter()
        .map(|message| message["text"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn two_people_chat_and_the_one_who_was_away_gets_everything_once() {
    let mut daemon = Daemon::start();
    let (alice, bob) = (Im::registered(&daemon, "alice"), Im::registered(&daemon, "bob"));
    alice.ok(&["send", "@bob", "Hello", "Bob"]);
    assert_eq!(bob.received(1), ["Hello Bob"]);
    let sent: Vec<String> = (0..10)
        .map(|number| format!("while you were away {number}"))
        .collect();
    for text in &sent {
        alice.ok(&["send", "@bob", text]);
    }
    daemon.restart();
    assert_eq!(bob.received(10), sent);
    // Nothing comes twice.
    bob.ends(&["recv", "--count", "1", "--timeout", "1"], 4);
    assert_eq!(bob.json(&["history", "@alice", "--limit", "100"]).len(), 11);
}

#[test]
fn after_a_restore_nothing_that_was_said_since_is_skipped() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let run = |arguments: &[&str]| {
        let arguments: Vec<_> = arguments.iter().map(std::ffi::OsString::from).collect();
        let ended = Daemon::run_to_end(&arguments);
        assert!(ended.status.success(), "{ended:?}");
    };
    let embedded = |name: &str| Setup {
        data_dir: Some(directory.path().join(name)),
        ..Setup::default()
    };
    let daemon = embedded("first").start();
    let [mut alice, mut bob, mut carol] = ["alice", "bob", "carol"].map(|name| Im::registered(&daemon, name));
    alice.ok(&["send", "@bob", "kept"]);
    alice.ok(&["send", "@carol", "kept"]);
    assert_eq!(bob.received(1), ["kept"]);
    assert_eq!(carol.received(1), ["kept"]);
    let store = format!("sqlite:{}", daemon.database().display());
    run(&["backup", "--to", &path("backup.db"), "--store", &store]);
    // What bob has is more than the backup has, and what carol has is not.
    alice.ok(&["send", "@bob", "lost"]);
    assert_eq!(bob.received(1), ["lost"]);
    drop(daemon);

    let restored = format!("sqlite:{}", path("second/imserver.db"));
    run(&["restore", "--from", &path("backup.db"), "--store", &restored]);
    let daemon = embedded("second").start();
    for im in [&mut alice, &mut bob, &mut carol] {
        im.server = daemon.address().to_string();
    }
    for to in ["@bob", "@carol"] {
        alice.ok(&["send", to, "new one"]);
        alice.ok(&["send", to, "new two"]);
    }
    assert_eq!(
        bob.received(3),
        ["kept", "new one", "new two"],
        "again, and then what is new"
    );
    assert_eq!(
        carol.received(2),
        ["new one", "new two"],
        "what was printed stands"
    );
    for im in [&bob, &carol] {
        im.ends(&["recv", "--count", "1", "--timeout", "1"], 4);
    }
    alice.ok(&["send", "@bob", "new three"]);
    assert_eq!(bob.received(1), ["new three"]);
}

#[test]
fn a_group_by_its_name() {
    let daemon = Daemon::start();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| Im::registered(&daemon, name));
    alice.ok(&["group", "create", "team", "bob"]);
    alice.ok(&["send", "#team", "to the two of us"]);
    assert_eq!(bob.received(1), ["to the two of us"]);
    alice.ok(&["group", "add", "#team", "carol"]);
    alice.ok(&["send", "#team", "to all three"]);
    assert_eq!(carol.received(1), ["to all three"]);
    alice.ok(&["group", "remove", "#team", "carol"]);
    carol.ends(&["send", "#team", "am I still here?"], 1);
    bob.ok(&["group", "leave", "#team"]);
    assert_eq!(alice.json(&["group", "members", "#team"]).len(), 1);
    let listed = alice.json(&["list"]);
    assert_eq!(listed[0]["conversation"], "#team");
}

#[test]
fn a_message_as_json() {
    let daemon = Daemon::start();
    let (alice, bob) = (Im::registered(&daemon, "alice"), Im::registered(&daemon, "bob"));
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    let sent = alice.json(&["send", "@bob", "hi", "--client-id", id]);
    assert_eq!(sent[0]["seq"], 1);
    assert_eq!(sent[0]["duplicate"], false);
    // Under the same id it is the same message, and another text is refused.
    let again = alice.json(&["send", "@bob", "hi", "--client-id", id]);
    assert_eq!(
        (&again[0]["seq"], &again[0]["duplicate"]),
        (&sent[0]["seq"], &Value::Bool(true))
    );
    alice.ends(&["send", "@bob", "something else", "--client-id", id], 1);
    let got = bob.json(&["recv", "--count", "1", "--timeout", "20"]);
    for (field, value) in [
        ("type", Value::from("message")),
        ("conversation", "@alice".into()),
        ("sender", "alice".into()),
        ("kind", "text".into()),
        ("text", "hi".into()),
        ("seq", 1.into()),
        ("ordinal", 1.into()),
        ("client_id", id.into()),
    ] {
        assert_eq!(got[0][field], value, "{field} of {}", got[0]);
    }
}

#[test]
fn exit_codes_tell_success_from_refusal_from_unreachable() {
    let mut daemon = Daemon::start();
    let alice = Im::registered(&daemon, "alice");
    alice.ok(&["whoami"]);
    alice.ends(&["send", "@nobody", "hello"], 1);
    alice.ends(&["call", "find_user", r#"{"name":"nobody"}"#], 1);
    alice.ends(&["no-such-command"], 2);
    Im::of(&daemon).ends(&["send", "@alice", "not logged in"], 5);
    Im::of(&daemon).ends(&["register", "alice"], 1);
    let found = alice.ok(&["call", "find_user", r#"{"name":"alice"}"#]).objects();
    assert_eq!(found[0]["user"]["name"], "alice");
    alice.ok(&["logout"]);
    daemon.kill();
    let unreachable = Im::of(&daemon);
    unreachable.ends(&["register", "bob"], 3);
}

#[test]
fn flags_stand_before_or_after_the_subcommand() {
    let daemon = Daemon::start();
    let im = Im::registered(&daemon, "alice");
    let profile = im.profile.path().to_str().unwrap();
    let output = Command::new(im_binary())
        .args(["whoami", "--profile", profile, "--json", "--server", &im.server])
        .output()
        .unwrap();
    assert!(output.status.success());
    let who: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(who["name"], "alice");
}

#[test]
fn a_receiver_that_is_killed_loses_nothing() {
    let daemon = Daemon::start();
    let (alice, bob) = (Im::registered(&daemon, "alice"), Im::registered(&daemon, "bob"));
    for number in 0..20 {
        alice.ok(&["send", "@bob", &format!("message {number}")]);
    }
    let mut killed = bob
        .command(&["recv", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Some of it was printed when it is killed, at whatever point.
    let mut first = [0; 200];
    killed.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    killed.kill().unwrap();
    let mut printed = first.to_vec();
    killed.stdout.take().unwrap().read_to_end(&mut printed).unwrap();
    killed.wait().unwrap();
    let printed = String::from_utf8(printed).unwrap();
    let whole = printed.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let mut seen: Vec<u64> = whole
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["seq"]
                .as_u64()
                .unwrap()
        })
        .collect();
    let rest = bob.json(&["recv", "--timeout", "2"]);
    seen.extend(rest.iter().map(|message| message["seq"].as_u64().unwrap()));
    // What was printed when it died may come once more, and nothing is missing.
    seen.dedup();
    assert_eq!(seen, (1..=20).collect::<Vec<_>>());
}

#[test]
fn a_password_is_never_an_argument() {
    let help = Command::new(im_binary())
        .args(["login", "--help"])
        .output()
        .unwrap();
    assert!(!String::from_utf8(help.stdout).unwrap().contains("--password"));
}
