//! A start on a disk without room.

use std::process::{Command, Stdio};

use tests::harness::Daemon;

/// Runs the daemon in a small file system of its own that is filled first. `None` where this user may not mount one.
fn on_a_full_disk(left_bytes: u32) -> Option<String> {
    let directory = tempfile::tempdir().unwrap();
    let script = format!(
        "mount -t tmpfs -o size=1m,mode=0700 none \"$0\" || exit 99
         cat /dev/zero > \"$0/ballast\" 2>/dev/null
         [ {left_bytes} -eq 0 ] || truncate -s -{left_bytes} \"$0/ballast\"
         exec \"$1\" --listen 127.0.0.1:0 --data-dir \"$0/data\""
    );
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .arg(directory.path())
        .arg(Daemon::binary())
        .stdin(Stdio::null())
        .output();
    let Some(output) = output
        .ok()
        .filter(|output| !matches!(output.status.code(), Some(99) | None))
    else {
        println!("skipped: this user may not mount a small file system");
        return None;
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    Some(said)
}

#[test]
fn a_start_on_a_full_disk_says_that_it_is_full() {
    // Not a byte, and too few for the database, its log and its shared memory.
    for left_bytes in [0, 8 * 1024, 64 * 1024] {
        let Some(said) = on_a_full_disk(left_bytes) else {
            return;
        };
        let last = said.lines().last().unwrap();
        assert!(last.starts_with("imserver: "), "{said}");
        assert!(
            last.contains("full") || last.contains("No space left"),
            "with {left_bytes} bytes: {said}"
        );
        assert!(
            last.contains("make room") || last.contains("data directory"),
            "{said}"
        );
    }
}
