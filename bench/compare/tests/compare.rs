//! Runs the comparison as a program with a server and a load that only pretend, to see that it calls both as
//! they want to be called, prints what it should, and leaves nothing behind.

use bench_netcore::children::{Core, run};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const COMPARE: &str = env!("CARGO_BIN_EXE_compare-chat");

/// Provisions accounts, or says that it listens and stays.
const SERVER: &str = r#"#!/bin/sh
case "$*" in
*provision*) echo "$*" > "$NOTES/provision"; echo account; exit 0 ;;
esac
echo "$$" >> "$NOTES/pids"
echo "listening on 127.0.0.1:9"
exec sleep 600
"#;

/// Notes how it was called and prints a report, or fails in the second round.
const LOAD: &str = r#"#!/bin/sh
echo "$*" >> "$NOTES/calls"
test "$(wc -l < "$NOTES/calls")" -eq 2 && { echo "no answer" >&2; exit 2; }
echo '{"delivered_per_s": 1234, "ack_p50_us": 1, "ack_p99_us": 2, "deliver_p50_us": 3, "deliver_p99_us": 4,
       "server_cpu_us_per_delivered": 5.25, "lost": 0, "duplicated": 1, "misordered": 0, "corrupted": 0}'
exit 1
"#;

fn script(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, text).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("a program");
    path
}

#[test]
fn it_compares_prints_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().expect("a directory");
    let (server, load) = (
        script(directory.path(), "server", SERVER),
        script(directory.path(), "load", LOAD),
    );
    let stores = directory.path().join("stores");
    let mut command = Core(None).command(COMPARE);
    command.env("NOTES", directory.path());
    command.args([
        "--only",
        "imserver",
        "--runs",
        "2",
        "--windows",
        "16",
        "--pairs",
        "3",
    ]);
    for (flag, path) in [
        ("--imserver", &server),
        ("--load", &load),
        ("--directory", &stores),
    ] {
        command.arg(flag).arg(path);
    }
    let text = run(&mut command).expect("a table");
    let row =
        "| imserver | 16 | 1234 (1234..1234) | 1 (1..1) | 2 (2..2) | 3 (3..3) | 4 (4..4) | 5.2 (5.2..5.2) |";
    assert!(text.contains(row), "{text}");
    assert!(
        text.contains("- imserver with 16 outstanding, round 2: no answer"),
        "{text}"
    );
    let duplicated =
        "- imserver with 16 outstanding, round 1: 0 lost, 1 duplicated, 0 misordered, 0 corrupted";
    assert!(text.contains(duplicated), "{text}");

    let notes = |name: &str| fs::read_to_string(directory.path().join(name)).expect("a note");
    assert!(notes("provision").contains("provision --count 6 --prefix b"));
    let calls = notes("calls");
    let call = calls.lines().next().expect("a call");
    let pids = notes("pids");
    let pid = pids.lines().next().expect("a process");
    let expected = format!("--server 127.0.0.1:9 --server-pid {pid} --dialect imserver chat --pairs 3 ");
    assert!(call.starts_with(&expected), "{call}");
    assert!(
        call.contains(" --window 16 ") && call.ends_with(" --json"),
        "{call}"
    );
    for pid in pids.lines() {
        assert!(!Path::new("/proc").join(pid).exists(), "{pid} is still there");
    }
    assert_eq!(fs::read_dir(&stores).expect("a directory").count(), 0);
}
