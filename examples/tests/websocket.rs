//! Runs `websocket` as its users do: as a process, over a socket, and under the conformance suite of Autobahn.

mod support;

use netcore::websocket::handshake::Request;
use netcore::websocket::{CloseCode, Opcode, encode, encode_close, encode_masked};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use support::Program;

const WEBSOCKET: &str = env!("CARGO_BIN_EXE_websocket");

const KEY: [u8; 4] = [3, 1, 4, 1];

const REQUEST: Request<'static> = Request {
    host: "a",
    target: "/",
    key: [7; 16],
    headers: &[],
};

/// A connection that has become a WebSocket.
fn open(program: &Program) -> TcpStream {
    let mut stream = program.connect();
    stream
        .write_all(&REQUEST.to_bytes().expect("valid"))
        .expect("written");
    let mut answer = Vec::new();
    while REQUEST.check(&answer).expect("an agreement").is_none() {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a head");
        answer.extend(byte);
    }
    stream
}

#[track_caller]
fn expect(stream: &mut TcpStream, frame: &[u8]) {
    let mut got = vec![0; frame.len()];
    stream.read_exact(&mut got).expect("a frame");
    assert_eq!(got, frame);
}

/// What is left until the end of the connection.
#[track_caller]
fn expect_end(stream: &mut TcpStream, last: &[u8]) {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("an end");
    assert_eq!(rest, last);
}

#[test]
fn every_message_comes_back() {
    let program = Program::start(WEBSOCKET);
    let mut stream = open(&program);
    for length in [0, 1, 125, 126, 65_535, 65_536, 1_000_000] {
        let payload = vec![b'x'; length];
        for opcode in [Opcode::Text, Opcode::Binary] {
            stream
                .write_all(&encode_masked(opcode, &payload, KEY))
                .expect("written");
            expect(&mut stream, &encode(opcode, &payload));
        }
    }
    stream
        .write_all(&encode_masked(Opcode::Close, &4321_u16.to_be_bytes(), KEY))
        .expect("written");
    let code = CloseCode::new(4321).expect("a code of applications");
    expect_end(&mut stream, &encode_close(code, ""));
}

#[test]
fn a_ping_is_answered_within_a_message() {
    let program = Program::start(WEBSOCKET);
    let mut stream = open(&program);
    let fragment = |first: u8, payload: &[u8]| {
        let mut frame = encode_masked(Opcode::Text, payload, KEY).to_vec();
        frame[0] = first;
        frame
    };
    stream.write_all(&fragment(0x01, b"he")).expect("written");
    stream
        .write_all(&encode_masked(Opcode::Ping, b"?", KEY))
        .expect("written");
    expect(&mut stream, &encode(Opcode::Pong, b"?"));
    stream.write_all(&fragment(0x80, b"y")).expect("written");
    expect(&mut stream, &encode(Opcode::Text, b"hey"));
}

#[test]
fn frames_may_come_with_the_request_and_byte_by_byte() {
    let program = Program::start(WEBSOCKET);
    let mut stream = program.connect();
    let all = [
        REQUEST.to_bytes().expect("valid"),
        encode_masked(Opcode::Text, b"early", KEY),
    ]
    .concat();
    for byte in all {
        stream.write_all(&[byte]).expect("written");
    }
    let mut answer = Vec::new();
    while REQUEST.check(&answer).expect("an agreement").is_none() {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a head");
        answer.extend(byte);
    }
    expect(&mut stream, &encode(Opcode::Text, b"early"));
}

#[test]
fn who_breaks_the_protocol_is_told_and_closed() {
    let program = Program::start(WEBSOCKET);
    let unmasked = encode(Opcode::Text, b"hi");
    let endless = [0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4];
    for (sent, code) in [
        (&unmasked[..], CloseCode::PROTOCOL),
        (&b"\x83\x80\x01\x02\x03\x04"[..], CloseCode::PROTOCOL),
        (&b"\x81\x81\x00\x00\x00\x00\xff"[..], CloseCode::INVALID_DATA),
        (&endless[..], CloseCode::TOO_LARGE),
    ] {
        let mut stream = open(&program);
        stream.write_all(sent).expect("written");
        expect_end(&mut stream, &encode_close(code, ""));
    }
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "426 Upgrade Required"),
        ("GET / HTTP/1.1\r\n\r\n", "400 Bad Request"),
        (
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "505 HTTP Version Not Supported",
        ),
    ] {
        let answer = program.until_closed(request.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
    }
}

/// The version of the suite, for which `kosoku.txt` has the hashes.
const SUITE: &str = "kosoku-0.1.0";

/// Cases of the groups 1 to 7, 9 and 10. The others are about compression, which is declined.
const CASES: usize = 301;

/// Where the suite is, which is installed if it is not there.
fn suite() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(SUITE);
    if !directory.is_dir() {
        // Installed beside it and then moved, so that what is there is whole.
        let beside = directory.with_extension(std::process::id().to_string());
        let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kosoku.txt");
        let mut install = Command::new("python3");
        install.args(["-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]);
        install
            .args(["--only-binary", ":all:", "--target"])
            .arg(&beside)
            .arg("-r")
            .arg(requirements);
        let done = run(&mut install);
        assert!(
            done.status.success(),
            "{SUITE} is missing and cannot be installed: {done:?}"
        );
        std::fs::rename(&beside, &directory).expect("moved");
    }
    directory
}

fn run(command: &mut Command) -> Output {
    match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            panic!("python3 is missing: install the packages python3 and python3-pip")
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_conformance_suite_finds_no_failure() {
    const SCRIPT: &str = "
import json, sys
import kosoku._cli as cli
report = sys.argv[1] + '/index.json'
sys.argv = ['kosoku'] + sys.argv[2:]
try:
    cli.main()
finally:
    with open(report) as file:
        cases = next(iter(json.load(file).values()))
    for name, case in cases.items():
        print('case', name, case['behavior'], case['behaviorClose'])
";
    let program = Program::start(WEBSOCKET);
    let report = tempfile::tempdir().expect("a directory");
    let directory = report.path().to_str().expect("a path in UTF-8");
    let mut suite_run = Command::new("python3");
    suite_run
        .env("PYTHONPATH", suite())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    suite_run.args([
        "-c",
        SCRIPT,
        directory,
        "--mode",
        "fuzzingclient",
        "--outdir",
        directory,
    ]);
    for group in ["[1-7].*", "9.*", "10.*"] {
        suite_run.args(["--include", group]);
    }
    let done = run(suite_run.arg(program.address.to_string()));
    let said = String::from_utf8_lossy(&done.stdout);
    let lines = said.lines().filter_map(|line| line.strip_prefix("case "));
    let cases: Vec<Vec<_>> = lines.map(|line| line.split(' ').collect()).collect();
    let complaint = || format!("{said}{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(cases.len(), CASES, "{}", complaint());
    for case in &cases {
        // Text that is not UTF-8 is refused with its frame, and not with the segment of TCP that shows it: 6.4.3, 6.4.4.
        let late = matches!(case[..], ["6.4.3" | "6.4.4", "NON-STRICT", "OK"]);
        let fine = case[1..]
            .iter()
            .all(|outcome| ["OK", "INFORMATIONAL"].contains(outcome));
        assert!(fine || late, "{case:?}");
    }
    assert!(done.status.success(), "{}", complaint());
}
