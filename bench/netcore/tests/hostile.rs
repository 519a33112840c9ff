//! Runs `hostile` for a moment: whether its peers do what they are called for and its reports say so, never how
//! fast anything is. netcore's examples belong to another package; the echo server beside it can stand for them.

use bench_netcore::children::{Core, Server, run};
use serde_json::Value;
use std::io;
use std::path::Path;

const HOSTILE: &str = env!("CARGO_BIN_EXE_hostile");
const LIMIT: &str = env!("CARGO_BIN_EXE_echo-limit");
const HEARTBEATS: &str = env!("CARGO_BIN_EXE_heartbeat-server");
const HYPER: &str = env!("CARGO_BIN_EXE_http-hyper");

/// There may be no second processor.
const CORES: [&str; 4] = ["--server-core", "0", "--load-core", "0"];

const FAIRNESS: [&str; 9] = [
    "fairness",
    "--connections",
    "3",
    "--rounds",
    "1",
    "--seconds",
    "0.03",
    "--server",
    LIMIT,
];

const NEVER_READS: [&str; 7] = ["never-reads", "--peers", "3", "--looks", "2", "--server", LIMIT];

const ONE_BYTE: [&str; 7] = [
    "one-byte",
    "--connections",
    "7",
    "--frame-deadline-ms",
    "100",
    "--server",
    HEARTBEATS,
];

const CHURN: [&str; 11] = [
    "churn",
    "--cycles",
    "101",
    "--warmup",
    "20",
    "--open",
    "8",
    "--server",
    LIMIT,
    "--kinds",
    "idle,half-frame",
];

fn hostile(arguments: &[&str]) -> io::Result<String> {
    run(Core::default().command(HOSTILE).args(CORES).args(arguments))
}

fn report(arguments: &[&str]) -> Value {
    let text = hostile(&[arguments, &["--json"]].concat()).expect("a report");
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

/// The rows below the heading, each with as many cells as the heading has.
fn rows(arguments: &[&str]) -> Vec<String> {
    let text = hostile(arguments).expect("a table");
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
    let cells = |line: &str| line.matches('|').count();
    assert!(lines.iter().all(|line| cells(line) == cells(lines[0])), "{text}");
    assert!(!text.contains("NaN") && !text.contains("| - |"), "{text}");
    lines.iter().skip(2).map(|line| (*line).to_owned()).collect()
}

#[test]
fn quiet_peers_are_measured_alone_and_beside_each_size() {
    let report = report(&[&FAIRNESS[..], &["--sizes", "16,70000"]].concat());
    let [small, large] = report.as_array().expect("rows").as_slice() else {
        panic!("{report}");
    };
    assert_eq!((&small["size"], &large["size"]), (&16.into(), &70_000.into()));
    for row in [small, large] {
        let figures = [
            "alone_us_p50",
            "alone_us_p99",
            "beside_us_p50",
            "beside_us_p99",
            "ratio_p99",
        ];
        assert!(
            figures.iter().all(|figure| number(&row[figure]["min"]) > 0.0),
            "{row}"
        );
        assert!(
            number(&row["alone_us_p50"]["max"]) <= number(&row["alone_us_p99"]["max"]),
            "{row}"
        );
    }
    // There is one round, so that the median is of one ratio.
    let ratio = number(&small["beside_us_p99"]["median"]) / number(&small["alone_us_p99"]["median"]);
    assert!(
        (number(&small["ratio_p99"]["median"]) - ratio).abs() < 1e-9,
        "{small}"
    );
    assert_eq!(rows(&FAIRNESS).len(), 3);
}

#[test]
fn a_server_that_answers_something_else_is_not_measured() {
    let error = hostile(&["fairness", "--connections", "1", "--server", HYPER]).expect_err("no echo");
    assert!(error.to_string().contains("hostile: "), "{error}");
}

#[test]
fn a_flood_says_what_came_back() {
    use bench_netcore::children::Answerer;
    use std::time::Duration;
    let server =
        Server::start(Path::new(LIMIT), &["--listen", "127.0.0.1:0"], Core::default()).expect("a server");
    let mut command = Core::default().command(HOSTILE);
    let to = server.address().to_string();
    command.args(CORES).args(["flood", "--size", "100", "--to", &to]);
    let mut flood = Answerer::start(command).expect("a flood");
    let mut bytes = || {
        flood.ask("bytes").expect("asked");
        flood.answer("bytes", Duration::from_secs(30)).expect("an answer")
    };
    // More than any buffer on the way holds: it reads, too.
    while bytes() < 64 * 1024 * 1024 {}
}

#[test]
fn who_never_reads_is_held_up_and_who_behaves_is_not() {
    let report = report(&NEVER_READS);
    assert_eq!(report["peers"], 3, "{report}");
    assert_eq!(report["levelled_off"], true, "{report}");
    assert_eq!(report["ended"], 0, "{report}");
    assert!(number(&report["taken_per_peer"]) > 0.0, "{report}");
    // Each look has 50 frames.
    assert!(
        report["quiet_frames"]
            .as_u64()
            .is_some_and(|frames| frames >= 150 && frames % 50 == 0),
        "{report}"
    );
    assert_eq!(rows(&NEVER_READS).len(), 1);
}

#[test]
fn a_peer_that_the_server_throws_out_is_counted() {
    // No frame may be so long.
    let report = report(&[&NEVER_READS[..], &["--size", "2000000"]].concat());
    assert_eq!(report["ended"], 3, "{report}");
}

#[test]
fn a_frame_in_single_bytes_ends_with_its_deadline() {
    let report = report(&[&ONE_BYTE[..], &["--every-ms", "20"]].concat());
    assert_eq!(
        (&report["connections"], &report["closed"]),
        (&7.into(), &7.into()),
        "{report}"
    );
    assert!(number(&report["seconds"]["min"]) > 0.0, "{report}");
    assert_eq!(rows(&ONE_BYTE).len(), 1);
}

#[test]
fn nobody_waits_until_a_frame_is_finished() {
    let error =
        hostile(&["one-byte", "--every-ms", "1", "--frame-deadline-ms", "600000"]).expect_err("a refusal");
    assert!(error.to_string().contains("a frame would be finished"), "{error}");
}

#[test]
fn everybody_who_came_has_left() {
    let report = report(&CHURN);
    let rows = report["rows"].as_array().expect("rows");
    let kinds: Vec<&Value> = rows.iter().map(|row| &row["kind"]).collect();
    assert_eq!(kinds, ["idle", "half-frame"], "{report}");
    for row in rows {
        assert_eq!(
            (&row["cycles"], &row["resets"]),
            (&101.into(), &50.into()),
            "{row}"
        );
        assert_eq!(row["descriptors_before"], row["descriptors_after"], "{row}");
        assert!(
            number(&row["warm_bytes"]) > 0.0 && number(&row["end_bytes"]) > 0.0,
            "{row}"
        );
    }
    assert_eq!(self::rows(&CHURN).len(), 2);
}

#[test]
fn a_tls_server_that_is_missing_is_skipped() {
    let report = report(&["churn", "--kinds", "tls", "--tls-server", "/no/server"]);
    assert_eq!(report["skipped"][0], "tls, there is no /no/server");
    assert_eq!(report["rows"].as_array().map(Vec::len), Some(0), "{report}");
}

#[test]
fn a_tls_server_gets_a_certificate_and_first_flights() {
    let directory = tempfile::tempdir().expect("a directory");
    let (program, seen) = (directory.path().join("server"), directory.path().join("seen"));
    // Written by another process: a file that this one has open for writing could not be run. The echo server
    // closes whoever sends it a handshake, which is enough.
    let script = format!(
        "printf '%s\\n' '#!/bin/sh' 'cat \"$4\" \"$6\" > {seen} && exec {LIMIT} --listen \"$2\"' > {program} && chmod +x {program}",
        seen = seen.display(),
        program = program.display(),
    );
    run(Core::default().command("sh").args(["-c", &script])).expect("a program");
    let program = program.to_str().expect("a path");
    let arguments = [&CHURN[..9], &["--kinds", "tls", "--tls-server", program]].concat();
    let report = report(&arguments);
    assert_eq!(report["rows"][0]["kind"], "tls", "{report}");
    let seen = std::fs::read_to_string(seen).expect("both files");
    assert!(
        seen.contains("BEGIN CERTIFICATE") && seen.contains("BEGIN PRIVATE KEY"),
        "{seen}"
    );
}
