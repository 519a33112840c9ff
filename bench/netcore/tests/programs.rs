//! Runs the programs that measure, for a moment: whether they work together and notice what is wrong, never how
//! fast anything is.

use bench_netcore::children::{Core, Server, run};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

const LIMIT: &str = env!("CARGO_BIN_EXE_echo-limit");
const TOKIO: &str = env!("CARGO_BIN_EXE_echo-tokio");
const HYPER: &str = env!("CARGO_BIN_EXE_http-hyper");
const HEARTBEATS: &str = env!("CARGO_BIN_EXE_heartbeat-server");
const LOAD: &str = env!("CARGO_BIN_EXE_echo-load");
const COMPARE: &str = env!("CARGO_BIN_EXE_compare");
const RIVALS: &str = env!("CARGO_BIN_EXE_rivals");
const SWARM: &str = env!("CARGO_BIN_EXE_swarm");

fn start(program: &str, more: &[&str]) -> Server {
    let arguments = [&["--listen", "127.0.0.1:0"], more].concat();
    Server::start(Path::new(program), &arguments, Core::default()).expect("a server")
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address()).expect("a connection");
    // A test that would hang is to fail; nothing depends on how long.
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a timeout");
    stream
}

fn receive(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("a length");
    let mut body = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut body).expect("a body");
    body
}

fn frame(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("a short body");
    [&length.to_be_bytes(), body].concat()
}

/// The report of a program that is told to print JSON.
fn report(program: &str, arguments: &[&str]) -> Value {
    let text = run(Core::default().command(program).args(arguments)).expect("a report");
    serde_json::from_str(&text).expect("JSON")
}

fn load(server: &Server, connections: &str, size: &str, window: &str, windows: &str) -> Value {
    let (address, pid) = (server.address().to_string(), server.pid().to_string());
    report(
        LOAD,
        &[
            "--server",
            &address,
            "--server-pid",
            &pid,
            "--connections",
            connections,
            "--size",
            size,
            "--window",
            window,
            "--windows",
            windows,
            "--json",
        ],
    )
}

/// Small frames, frames above any read buffer, and more than the socket buffers hold.
fn every_load_comes_back(server: &Server) {
    for (connections, size, window, windows, messages) in [
        ("1", "8", "1", "3", 3),
        ("20", "16", "16", "5", 1600),
        ("3", "200000", "1", "4", 12),
        ("2", "70000", "100", "2", 400),
    ] {
        let report = load(server, connections, size, window, windows);
        assert_eq!(report["messages"], messages, "{report}");
    }
}

/// Frames come back however they are cut, and one that is too long ends its connection only.
fn frames_are_respected(server: &Server) {
    let (mut cut, mut bad) = (connect(server), connect(server));
    let bodies: [&[u8]; 3] = [b"hello", b"", b"world"];
    for byte in bodies.map(frame).concat() {
        cut.write_all(&[byte]).expect("written");
    }
    bad.write_all(&u32::MAX.to_be_bytes()).expect("written");
    assert_eq!(bad.read(&mut [0; 1]).expect("an end"), 0);
    for body in bodies {
        assert_eq!(receive(&mut cut), body);
    }
}

#[test]
fn the_limit_is_an_echo_server() {
    let server = start(LIMIT, &[]);
    every_load_comes_back(&server);
    frames_are_respected(&server);
}

#[test]
fn tokio_is_an_echo_server_both_ways() {
    for more in [&[][..], &["--forward"]] {
        let server = start(TOKIO, more);
        every_load_comes_back(&server);
        frames_are_respected(&server);
    }
}

#[test]
fn a_load_without_a_right_answer_fails() {
    let server = start(HYPER, &[]);
    let (address, pid) = (server.address().to_string(), server.pid().to_string());
    let flags = ["--server", &address, "--server-pid", &pid, "--windows", "1"];
    let error = run(Core::default().command(LOAD).args(flags)).expect_err("no echo");
    assert!(error.to_string().contains("echo-load: "), "{error}");
}

#[test]
fn a_server_ends_with_its_owner() {
    let server = start(LIMIT, &[]);
    let process = format!("/proc/{}", server.pid());
    assert!(Path::new(&process).exists());
    drop(server);
    assert!(!Path::new(&process).exists());
}

#[test]
fn compare_reports_every_server_in_every_cell() {
    // netcore's example belongs to another package; any echo server can stand for it.
    let flags = [
        "--netcore",
        LIMIT,
        "--cell",
        "2x16x1",
        "--cell",
        "1x1024x4",
        "--runs",
        "1",
        "--seconds",
        "0.05",
        "--warmup",
        "0.01",
        "--server-core",
        "0",
        "--load-core",
        "0",
    ];
    let table = run(Core::default().command(COMPARE).args(flags)).expect("a table");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ")).collect();
    let [heading, first, second] = rows.as_slice() else {
        panic!("{table}");
    };
    assert!(first.starts_with("| 2 | 16 | 1 | ") && second.starts_with("| 1 | 1024 | 4 | "));
    assert_eq!(
        first.matches(" | ").count(),
        heading.matches(" | ").count(),
        "{table}"
    );
    assert!(!table.contains("| - |") && !table.contains("NaN"), "{table}");
}

#[test]
fn a_cell_that_is_none_is_refused() {
    let error = run(Core::default().command(COMPARE).args(["--cell", "16x1"])).expect_err("a refusal");
    assert!(error.to_string().contains("16x1 is not like 100x16x1"), "{error}");
}

#[test]
fn the_heartbeat_server_pings_who_is_silent() {
    let server = start(HEARTBEATS, &["--ping-after-ms", "1"]);
    let mut stream = connect(&server);
    for _ in 0..2 {
        assert_eq!(receive(&mut stream), b"");
        stream.write_all(&frame(b"")).expect("written");
    }
    // Its echo may come behind another ping.
    stream.write_all(&frame(b"hello")).expect("written");
    let answer = std::iter::repeat_with(|| receive(&mut stream))
        .find(|body| !body.is_empty())
        .expect("an answer");
    assert_eq!(answer, b"hello");
}

#[test]
fn the_answer_to_a_ping_is_not_echoed() {
    let server = start(HEARTBEATS, &["--ping-after-ms", "1000000000"]);
    let mut stream = connect(&server);
    stream
        .write_all(&[frame(b"").repeat(10), frame(b"hello")].concat())
        .expect("written");
    let pings = std::iter::repeat_with(|| receive(&mut stream))
        .take_while(|body| body != b"hello")
        .count();
    // The first ping may come at once, the second one only after days.
    assert!(pings <= 1, "{pings} empty frames");
}

#[test]
fn who_does_not_answer_a_ping_is_dropped() {
    let server = start(HEARTBEATS, &["--ping-after-ms", "1", "--pong-within-ms", "1"]);
    let mut received = Vec::new();
    connect(&server).read_to_end(&mut received).expect("an end");
    assert_eq!(received, frame(b""), "one ping, and then the end");
}

#[test]
fn a_swarm_holds_all_its_connections_in_several_processes() {
    let flags = [
        "--server",
        HEARTBEATS,
        "--connections",
        "50",
        "--per-process",
        "20",
        "--seconds",
        "0.01",
        "--ping-after-ms",
        "1",
        "--server-core",
        "0",
        "--client-core",
        "0",
        "--json",
    ];
    let report = report(SWARM, &flags);
    assert_eq!(report["connections"], 50, "{report}");
    assert_eq!(report["pairs_of_processes"], 3, "{report}");
}

#[test]
fn hyper_answers_13_bytes_to_each_of_several_requests() {
    let server = start(HYPER, &[]);
    let mut stream = connect(&server);
    let last = "GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";
    let requests = format!("GET / HTTP/1.1\r\nHost: here\r\n\r\n{last}");
    stream.write_all(requests.as_bytes()).expect("written");
    let mut answers = String::new();
    stream.read_to_string(&mut answers).expect("an end");
    assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 2, "{answers}");
    assert_eq!(answers.matches("content-length: 13\r\n").count(), 2, "{answers}");
    assert_eq!(answers.matches("\r\n\r\nHello, world!").count(), 2, "{answers}");
}

#[test]
fn rivals_that_are_missing_are_skipped() {
    let mut command = Core::default().command("env");
    // Neither tool is found, so nothing is compared; what is in the directories of administrators does not count.
    command.args(["PATH=/nowhere", RIVALS, "--only-resp"]);
    let text = run(&mut command).expect("notes");
    assert!(
        text.contains("Skipped: redis-benchmark is not installed."),
        "{text}"
    );
}
