//! Runs `echo-bot` against a real server and talks to it.

use client::link::Identity;
use client::sync::{Snapshot, Start};
use client::{Client, Device, Options, Update, new_client_id};
use protocol::v1::{self, EventKind};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// A test that would hang is to fail; nothing depends on how long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that is ended with the test.
struct Program {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Program {
    fn start(command: &mut Command) -> Self {
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let output = BufReader::new(process.stdout.take().expect("piped"));
        Self { process, output }
    }

    /// The rest of the first line that begins with `words`.
    fn announced(&mut self, words: &str) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(
                self.output.read_line(&mut line).expect("its output"),
                0,
                "it ended without {words:?}"
            );
            if let Some(rest) = line.trim_end().strip_prefix(words) {
                return rest.to_owned();
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has noticed then.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The daemon: from the environment, or where cargo puts it beside the examples.
fn server_binary() -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_echo-bot")).with_file_name("imserver");
    let path = std::env::var_os("IMSERVER_BIN").map_or(beside, PathBuf::from);
    assert!(
        path.exists(),
        "{} is missing: cargo xtask test builds it",
        path.display()
    );
    path
}

fn start_server(data: &Path) -> (Program, String) {
    let mut command = Command::new(server_binary());
    let mut server = Program::start(command.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(data));
    let address = server.announced("listening on ");
    (server, address)
}

fn start_bot(server: &str, profile: &Path) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_echo-bot"));
    command
        .args(["--server", server, "--name", "echo", "--profile"])
        .arg(profile);
    let mut bot = Program::start(command.env("ECHO_BOT_PASSWORD", "a password for a bot"));
    bot.announced("connected to ");
    bot
}

/// A person with a device.
struct Person {
    device: Device,
    id: u64,
}

impl Person {
    fn register(server: &str, name: &str) -> Self {
        let device = v1::Device {
            device_id: name.to_owned(),
            ..v1::Device::default()
        };
        let identity = Identity {
            device,
            program: "test".to_owned(),
            token: None,
        };
        let options = Options {
            server: server.to_owned(),
            trust: client::Trust::default(),
            identity,
        };
        let (client, events) = Client::connect(options).expect("a client");
        let request = v1::RegisterRequest {
            name: name.to_owned(),
            password: "a password for a person".to_owned(),
            ..v1::RegisterRequest::default()
        };
        let session = client.register(request, PATIENCE).expect("an account");
        let id = session.user.expect("a user").user_id;
        Self {
            device: Device::new(client, events, Snapshot::default(), Start::Beginning),
            id,
        }
    }

    fn conversation_with(&self, name: &str) -> u64 {
        let request = protocol::Request::FindUser(v1::FindUserRequest {
            name: name.to_owned(),
        });
        match self.device.client().call(request, PATIENCE).expect("an answer") {
            protocol::Reply::FindUser(found) => {
                let other = found.user.expect("the user").user_id;
                protocol::direct_conversation(self.id, other)
                    .expect("two users")
                    .get()
            }
            other => panic!("another answer: {other:?}"),
        }
    }

    fn say(&self, conversation_id: u64, text: &str) {
        let content = v1::Content {
            body: text.to_owned().into(),
            ..v1::Content::default()
        };
        let request = v1::SendRequest {
            conversation_id,
            client_msg_id: new_client_id().0.to_vec().into(),
            kind: EventKind::Text.into(),
            content: Some(content),
            ..v1::SendRequest::default()
        };
        self.device.client().send(request, PATIENCE).expect("sent");
    }

    /// The next `count` events: who said what.
    fn hear(&mut self, count: usize) -> Vec<(bool, String)> {
        let mut heard = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while heard.len() < count {
            match self.device.next(deadline).expect("an update") {
                Update::Event(event) => {
                    let content = event.body.and_then(|body| body.content).expect("a content");
                    let text = String::from_utf8(content.body.to_vec()).expect("a text");
                    heard.push((event.sender_id == self.id, text));
                }
                Update::Ended(ending) => panic!("the session ended: {ending}"),
                _ => {}
            }
        }
        heard
    }
}

fn said(me: bool, text: &str) -> (bool, String) {
    (me, text.to_owned())
}

#[test]
fn every_text_is_answered_once_even_by_a_bot_that_was_killed() {
    let directory = tempfile::tempdir().expect("a directory");
    let profile = directory.path().join("bot");
    let (_server, address) = start_server(&directory.path().join("data"));
    let bot = start_bot(&address, &profile);
    let mut alice = Person::register(&address, "alice");
    let conversation = alice.conversation_with("echo");

    alice.say(conversation, "hello");
    assert_eq!(alice.hear(2), [said(true, "hello"), said(false, "hello")]);

    drop(bot);
    alice.say(conversation, "are you there?");
    let _bot = start_bot(&address, &profile);
    assert_eq!(
        alice.hear(2),
        [said(true, "are you there?"), said(false, "are you there?")]
    );

    // Were anything answered twice, it would come before this.
    alice.say(conversation, "good");
    assert_eq!(alice.hear(2), [said(true, "good"), said(false, "good")]);
}

#[test]
fn a_bot_that_has_forgotten_everything_answers_nothing_twice() {
    let directory = tempfile::tempdir().expect("a directory");
    let (_server, address) = start_server(&directory.path().join("data"));
    let bot = start_bot(&address, &directory.path().join("first"));
    let mut alice = Person::register(&address, "alice");
    let conversation = alice.conversation_with("echo");
    alice.say(conversation, "hello");
    assert_eq!(alice.hear(2), [said(true, "hello"), said(false, "hello")]);

    drop(bot);
    let _bot = start_bot(&address, &directory.path().join("second"));
    alice.say(conversation, "once more");
    assert_eq!(alice.hear(2), [said(true, "once more"), said(false, "once more")]);
}
