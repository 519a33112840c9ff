//! The description of the calls, `GET /v1/openapi.json`: a validator accepts it, and a tester that makes requests from it
//! finds no answer that it does not describe.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::Command,
};

use protocol::{Command as Call, v1};
use serde_json::Value;
use services::Python;
use tests::harness::{Daemon, PATIENCE, User, Web};

/// Requests of each operation that schemathesis makes up, beside those at the limits of each member.
const EXAMPLES: &str = "20";
/// The variable that says how many, if not those.
const EXAMPLES_VARIABLE: &str = "SCHEMATHESIS_EXAMPLES";
/// What it draws them from.
const SEED: &str = "16";

/// What it must not call with the session of the other calls: a stream has no end, and without a session there is nothing
/// to see.
const APART: [&str; 2] = ["events", "logout"];

/// That a request is like its schema does not say that it is allowed: whether there is such a conversation, who is in it,
/// and which members belong together is not described.
const NOT_CHECKED: &str = "positive_data_acceptance";

fn python() -> Python {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/requirements.txt");
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("schemathesis-4.32.5");
    Python::with(&requirements, &directory).unwrap_or_else(|error| panic!("{error}"))
}

fn document(daemon: &Daemon) -> Value {
    let mut stream = TcpStream::connect(daemon.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = "GET /v1/openapi.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains("Content-Type: application/json"), "{head}");
    serde_json::from_str(body).unwrap()
}

#[test]
fn a_validator_accepts_the_description_of_every_command() {
    let document = document(&Daemon::start());
    let paths = document["paths"].as_object().unwrap();
    for call in Call::ALL.iter().filter(|call| call.is_callable()) {
        assert!(
            paths.contains_key(&format!("/v1/call/{}", call.name())),
            "{call:?}"
        );
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("openapi.json");
    std::fs::write(&file, document.to_string()).unwrap();
    let mut validate = python().command();
    passed(validate.args(["-m", "openapi_spec_validator"]).arg(&file));
}

#[test]
fn requests_made_from_the_description_find_nothing_that_it_does_not_describe() {
    let daemon = Daemon::start();
    let python = python();
    let [ann, bob] = daemon.register_all(["ann", "bob"]);
    schemathesis(&python, &ann, |run| {
        for operation in APART {
            run.args(["--exclude-operation-id", operation]);
        }
    });
    // The session was good to the end, so the answers were not all that it is over.
    Web::to(daemon.address()).granted(&ann.token, v1::ListDevicesRequest {});
    schemathesis(&python, &bob, |run| {
        run.args(["--include-operation-id", "logout"]);
    });
}

fn schemathesis(python: &Python, user: &User, chosen: impl FnOnce(&mut Command)) {
    let directory = tempfile::tempdir().unwrap();
    let mut run = python.command();
    run.current_dir(directory.path())
        .args([
            "-c",
            "from schemathesis.cli import schemathesis; schemathesis()",
            "run",
        ])
        .arg(format!("http://{}/v1/openapi.json", user.address))
        .args(["--header", &format!("Authorization: Bearer {}", user.token)])
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(["--exclude-checks", NOT_CHECKED])
        .args([
            "--max-examples",
            &std::env::var(EXAMPLES_VARIABLE).unwrap_or_else(|_| EXAMPLES.to_owned()),
        ])
        .args(["--seed", SEED])
        .args(["--continue-on-failure", "--no-color", "--warnings", "off"])
        .args(["--suppress-health-check", "all", "--generation-database", "none"]);
    chosen(&mut run);
    passed(&mut run);
}

fn passed(command: &mut Command) {
    let done = command.output().unwrap();
    let (said, errors) = (
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr),
    );
    assert!(done.status.success(), "{said}{errors}");
    println!("{said}");
}
