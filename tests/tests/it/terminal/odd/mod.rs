//! Odd, bad and hostile uses of `im`, and what a person would want of each. They were listed before they were tried.
//!
//! Whatever is said in a row, all of them end by themselves, without a panic, and print nothing that acts on a terminal.

mod lies;
mod uses;

use std::{
    io::{Read, Write},
    net::TcpListener,
    process::{Command, Stdio},
    thread,
    time::Instant,
};

use tests::harness::{Daemon, PATIENCE};

use self::{lies::LIES, uses::USES};
use super::{PASSWORD, Person};

/// Runs it to its end, and says how it ended and what it said.
#[track_caller]
fn finish(what: &str, mut command: Command, stdin: &str) -> (Option<i32>, String) {
    let mut child = command
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    // It may end without having read it.
    let _ = input.write_all(stdin.as_bytes());
    drop(input);
    let mut stdout = child.stdout.take();
    let mut stderr = child.stderr.take().unwrap();
    let reader = thread::spawn(move || {
        let mut said = Vec::new();
        if let Some(stdout) = &mut stdout {
            stdout.read_to_end(&mut said).unwrap();
        }
        said
    });
    let errors = thread::spawn(move || {
        let mut said = Vec::new();
        stderr.read_to_end(&mut said).unwrap();
        said
    });
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("{what}: it does not end");
        }
        thread::park_timeout(std::time::Duration::from_millis(5));
    };
    let mut said = reader.join().unwrap();
    said.extend(errors.join().unwrap());
    let said = String::from_utf8(said).unwrap_or_else(|_| panic!("{what}: it says what is no text"));
    assert!(!said.contains("panicked"), "{what}: {said}");
    let acts = |character: char| {
        character != '\n' && character.is_control() || matches!(character, '\u{202a}'..='\u{202e}')
    };
    assert!(!said.chars().any(acts), "{what}: {said:?}");
    (status.code(), said)
}

#[test]
fn what_people_do_ends_as_they_would_want() {
    assert!(USES.len() + LIES.len() >= 50);
    let daemon = Daemon::start();
    let [bob, _carol] = ["bob", "carol"].map(|name| Person::registered(&daemon, name));
    let alice = Person::registered(&daemon, "alice");
    bob.ok(&["send", "@alice", "hello"]);
    let mut failures = Vec::new();
    for odd in USES {
        // Each has a profile of its own, since some of them damage it.
        let person = Person::at(&alice.server);
        for file in std::fs::read_dir(alice.profile.path()).unwrap() {
            let file = file.unwrap().path();
            std::fs::copy(&file, person.profile.path().join(file.file_name().unwrap())).unwrap();
        }
        let mut command = person.command(&[]);
        if odd.arguments.contains(&"--server") || odd.arguments.contains(&"--profile") {
            let program = command.get_program().to_owned();
            command = Command::new(program);
            command
                .env("IM_PASSWORD", PASSWORD)
                .env("IM_PROFILE", person.profile.path());
            if !odd.arguments.contains(&"--server") {
                command.env("IM_SERVER", &person.server);
            }
        }
        command.args(odd.arguments).stdout(Stdio::piped());
        command.envs(odd.variables.iter().copied());
        (odd.prepare)(&person, &mut command);
        let (code, said) = finish(odd.what, command, odd.stdin);
        if !code.is_some_and(|code| odd.codes.contains(&code)) || !said.contains(odd.says) {
            failures.push(format!("{}: ended with {code:?} and said {said:?}", odd.what));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    let texts: Vec<String> = bob
        .json(&["history", "@alice", "--limit", "100"])
        .iter()
        .map(|message| message["text"].as_str().unwrap().to_owned())
        .collect();
    for said in ["-v --help", "from a pipe", "and a second line"] {
        assert_eq!(
            texts.iter().filter(|text| *text == said).count(),
            1,
            "{said}: {texts:?}"
        );
    }
    assert!(!texts.iter().any(|text| text.contains("not said any more")));
}

#[test]
fn two_programs_do_not_share_a_profile() {
    let daemon = Daemon::start();
    let alice = Person::registered(&daemon, "alice");
    let mut receiving = alice.command(&["recv"]).stdout(Stdio::null()).spawn().unwrap();
    super::until("the first to hold the profile", || {
        std::fs::read_to_string(alice.profile.path().join("lock"))
            .is_ok_and(|holder| holder.contains("im recv"))
    });
    let mut command = alice.command(&["list"]);
    command.stdout(Stdio::piped());
    let (code, said) = finish("a second program", command, "");
    receiving.kill().unwrap();
    receiving.wait().unwrap();
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("im recv"), "{said}");
}

#[test]
fn servers_that_lie_do_no_harm() {
    let mut failures = Vec::new();
    for lie in LIES {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let person = Person::at(&listener.local_addr().unwrap().to_string());
        let account = r#"{"version":1,"content":{"device_id":"d","server":null,"session":{"token":"t","user_id":1,"name":"alice"}}}"#;
        std::fs::write(person.profile.path().join("account.json"), account).unwrap();
        let tell = lie.tell;
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                thread::spawn(move || tell(stream));
            }
        });
        let mut command = person.command(lie.arguments);
        command.stdout(Stdio::piped());
        let (code, said) = finish(lie.what, command, "");
        if !code.is_some_and(|code| lie.codes.contains(&code)) || !said.contains(lie.says) {
            failures.push(format!("{}: ended with {code:?} and said {said:?}", lie.what));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
