//! Clients that others made: the programs of `examples/clients`, and the commands of the README.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tests::harness::{Daemon, PASSWORD, body};

/// Where Debian keeps packages of Node.
const NODE_PACKAGES: &str = "/usr/share/nodejs";
/// The version of Python's library, for which `websockets.txt` has the hash.
const WEBSOCKETS: &str = "websockets-17.4";
/// Where the README says that the server is.
const ADDRESS_SHOWN: &str = "127.0.0.1:7400";

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A program that was started; ended when the test is over.
struct Program {
    process: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Program {
    fn start(command: &mut Command) -> Self {
        let program = command.get_program().to_owned();
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; is its package installed?", program.display()));
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    /// The next line that it prints.
    #[track_caller]
    fn line(&mut self) -> String {
        self.lines.next().expect("a line, and not the end").unwrap()
    }

    /// The lines up to the one that begins so.
    #[track_caller]
    fn line_that_begins(&mut self, start: &str) -> String {
        loop {
            let line = self.line();
            if line.starts_with(start) {
                return line;
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A native user talks with the program in both ways of writing messages.
fn answers_in_both_ways(program: impl Fn() -> Command) {
    let daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    for (name, option) in [("texts", None), ("frames", Some("--binary"))] {
        let mut command = program();
        command
            .arg(format!("ws://{}/v1/socket", daemon.address()))
            .args([name, PASSWORD])
            .args(option);
        let mut bot = Program::start(&mut command);
        assert_eq!(bot.line(), format!("listening as {name}"));
        let found = ada.get(protocol::v1::FindUserRequest {
            name: name.to_owned(),
        });
        let conversation = ada.direct(found.user.unwrap().user_id);
        for number in 0..10 {
            let text = format!("caf\u{e9} \u{1f600} {number} {}", "long ".repeat(number * 80));
            ada.text(conversation, &text);
            assert_eq!(body(&ada.pushed()), text);
            let answer = ada.pushed();
            assert_ne!(answer.sender_id, ada.id);
            assert_eq!(body(&answer), text);
        }
    }
}

/// Where the library is, which is installed if it is not there.
fn websockets() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(WEBSOCKETS);
    if !directory.is_dir() {
        // Installed beside it and then moved, so that what is there is whole.
        let beside = directory.with_extension(std::process::id().to_string());
        let done = Command::new(services::find_python().unwrap())
            .args(["-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"])
            .args(["--only-binary", ":all:", "--platform", "any", "--target"])
            .arg(&beside)
            .arg("-r")
            .arg(top().join("tests/tests/it/doors/websockets.txt"))
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{WEBSOCKETS} is missing and cannot be installed: {done:?}"
        );
        std::fs::rename(&beside, &directory).unwrap();
    }
    directory
}

#[test]
fn the_client_in_python_chats_in_texts_and_in_frames() {
    let library = websockets();
    answers_in_both_ways(|| {
        let mut command = Command::new(services::find_python().unwrap());
        command
            .env("PYTHONPATH", &library)
            .arg("-B")
            .arg(top().join("examples/clients/echo.py"));
        command
    });
}

#[test]
fn the_client_in_node_chats_in_texts_and_in_frames() {
    let own = "--experimental-websocket";
    let has_own = Command::new("node")
        .args([own, "-e", ""])
        .stderr(Stdio::null())
        .status();
    let has_own = has_own.expect("node is installed: package nodejs").success();
    answers_in_both_ways(|| {
        let mut command = Command::new("node");
        if has_own {
            command.args(["--no-warnings", own]);
        }
        command
            .env("NODE_PATH", NODE_PACKAGES)
            .arg(top().join("examples/clients/echo.mjs"));
        command
    });
}

/// The commands of one block of the README, which begins with this line.
fn readme(first: &str) -> String {
    let text = std::fs::read_to_string(top().join("README.md")).unwrap();
    let mut blocks = text
        .split("```sh\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap());
    let block = blocks.find(|block| block.starts_with(first));
    block
        .unwrap_or_else(|| panic!("the README has no block that begins with {first}"))
        .to_owned()
}

#[test]
fn the_chat_with_curl_in_the_readme_runs_as_it_stands() {
    let daemon = Daemon::start();
    let setup = readme("im=");
    assert!(setup.contains(ADDRESS_SHOWN));
    let setup = setup.replace(ADDRESS_SHOWN, &daemon.address().to_string());
    let mut shell = Program::start(Command::new("bash").arg("--norc").stderr(Stdio::inherit()));
    let mut input = shell.process.stdin.take().unwrap();
    let mut run = |commands: &str| {
        input.write_all(commands.as_bytes()).unwrap();
        input.flush().unwrap();
    };
    run(&setup);
    run(&readme("curl -sN"));
    shell.line_that_begins("event: sync");
    run(&readme("id_of()"));
    let stored = shell.line_that_begins("{");
    assert!(stored.contains("\"seq\":\"1\""), "{stored}");
    run("echo; ");
    run(&readme("curl -s \"$im/v1/call/history\""));
    run("echo; kill %1; wait; exit\n");
    let mut rest = Vec::new();
    while let Some(Ok(line)) = shell.lines.next() {
        rest.push(line);
    }
    drop(input);
    assert!(rest.iter().any(|line| line == "Hello, Bob"), "{rest:#?}");
    assert!(!OsStr::new(&rest.concat()).is_empty());
}
