//! Starting, or saying in one sentence why not.

use std::{ffi::OsString, path::Path};

use tests::harness::{Daemon, Ended, Setup};

fn run(arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Ended {
    let arguments: Vec<OsString> = arguments
        .iter()
        .map(|argument| argument.as_ref().to_owned())
        .collect();
    Daemon::run_to_end(&arguments)
}

/// One sentence on standard error, that names what is meant, and no success.
#[track_caller]
fn says(ended: &Ended, parts: &[&str]) {
    assert!(!ended.status.success(), "{ended:?}");
    assert_eq!(ended.stdout, "");
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "{ended:?}");
    assert!(lines[0].starts_with("imserver: "), "{ended:?}");
    for part in parts {
        assert!(lines[0].contains(part), "{part:?} is not in {:?}", lines[0]);
    }
}

fn with_config(directory: &Path, text: &str) -> Ended {
    let file = directory.join("imserver.toml");
    std::fs::write(&file, text).unwrap();
    run(&[
        &"--config",
        &file,
        &"--data-dir",
        &directory.join("data"),
        &"--listen",
        &"127.0.0.1:0",
    ])
}

#[test]
fn it_says_where_it_listens_where_it_stores_and_how_to_connect() {
    // The harness reads the first line; the rest is for people.
    let directory = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(Daemon::binary())
        .args(["--listen", "127.0.0.1:0", "--data-dir"])
        .arg(directory.path().join("new").join("data"))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let mut line = || lines.next().unwrap().unwrap();
    let address = line().strip_prefix("listening on ").unwrap().to_owned();
    assert!(line().contains("new/data"));
    assert_eq!(
        line(),
        format!("connect with: im --server {address} register NAME")
    );
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_taken_port_is_named() {
    let daemon = Daemon::start();
    let directory = tempfile::tempdir().unwrap();
    let address = daemon.address().to_string();
    let ended = run(&[
        &"--listen",
        &address,
        &"--data-dir",
        &directory.path().join("data"),
    ]);
    says(&ended, &[&address]);
}

#[test]
fn a_store_in_use_is_named() {
    let daemon = Daemon::start();
    let ended = run(&[&"--listen", &"127.0.0.1:0", &"--data-dir", &daemon.data_dir()]);
    says(&ended, &["another", &daemon.database().display().to_string()]);
    let mut daemon = daemon;
    daemon.kill();
    // The lock goes with the process, however it went.
    daemon.start_again();
}

#[test]
fn an_unusable_data_directory_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    for path in [file.clone(), file.join("below")] {
        let ended = run(&[&"--listen", &"127.0.0.1:0", &"--data-dir", &path]);
        says(&ended, &[&path.display().to_string()]);
    }
}

#[test]
fn a_file_that_is_no_store_is_left_alone() {
    for content in [
        &b"not a database at all, but long enough to look at"[..],
        &[0; 4096],
    ] {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("imserver.db");
        std::fs::write(&database, content).unwrap();
        let ended = run(&[&"--listen", &"127.0.0.1:0", &"--data-dir", &directory.path()]);
        says(&ended, &[&database.display().to_string()]);
        assert_eq!(
            std::fs::read(&database).unwrap(),
            content,
            "not a byte of it is changed"
        );
    }
}

#[test]
fn a_configuration_is_refused_with_the_key_that_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let cases = [
        ("[limits]\ntext_byte = 5\n", "text_byte"),
        ("[limit]\n", "limit"),
        ("[limits]\ntext_bytes = \"many\"\n", "line 2"),
        ("[limits]\ntext_bytes = 0\n", "limits.text_bytes"),
        ("[limits]\nframe_bytes = 2000000\n", "limits.frame_bytes"),
        ("[limits]\nexempt = [\"localhost\"]\n", "line 2"),
        (
            "[timeouts]\nidle_ms = 1000\nheartbeat_ms = 1000\n",
            "timeouts.idle_ms",
        ),
        ("[server]\nlisten = \"nowhere\"\n", "line 2"),
        ("[server]\nnode = \"two words\"\n", "server.node"),
        ("[groups]\nmembers = 1\n", "groups.members"),
        ("[devices]\ntotal = 0\n", "devices.total"),
        ("[log]\nlevel = \"loud\"\n", "line 2"),
        ("what is this\n", "line 1"),
    ];
    for (text, named) in cases {
        says(&with_config(directory.path(), text), &[named]);
        assert!(!directory.path().join("data").exists(), "nothing was made");
    }
    let missing = directory.path().join("missing.toml");
    says(&run(&[&"--config", &missing]), &[&missing.display().to_string()]);
}

#[test]
fn a_configuration_can_be_checked_without_starting() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("imserver.toml");
    std::fs::write(&file, "[limits]\ntext_bytes = 1000\n").unwrap();
    let data = directory.path().join("data");
    let ended = run(&[&"--config", &file, &"--data-dir", &data, &"--check-config"]);
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(
        (ended.stdout.as_str(), ended.stderr.as_str()),
        ("configuration ok\n", "")
    );
    assert!(!data.exists());
    std::fs::write(&file, "[limits]\ntext_bytes = 0\n").unwrap();
    says(
        &run(&[&"--config", &file, &"--check-config"]),
        &["limits.text_bytes"],
    );
}

/// An operator begins with it, whatever the file has that is there.
#[test]
fn a_configuration_to_begin_with_is_printed_and_is_good() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("imserver.toml");
    std::fs::write(&file, "[limits]\ntext_bites = 1\n").unwrap();
    let printed = run(&[&"--config", &file, &"--print-config"]);
    assert!(printed.status.success(), "{printed:?}");
    std::fs::write(&file, &printed.stdout).unwrap();
    let checked = run(&[&"--config", &file, &"--check-config"]);
    assert_eq!(checked.stdout, "configuration ok\n", "{checked:?}");
    assert!(printed.stdout.contains("text_bytes = 4096 "), "{printed:?}");
}

#[test]
fn flags_win_over_the_file_and_wrong_ones_are_usage() {
    let daemon =
        Setup::config("[server]\nlisten = \"127.0.0.1:1\"\n[store]\ndata_dir = \"/nowhere\"\n").start();
    daemon.register("ada");
    for flag in ["--lisen", "--log-level=loud", "--listen=nowhere"] {
        let ended = run(&[&flag]);
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        assert_eq!(ended.stdout, "");
    }
    let version = run(&[&"--version"]);
    assert!(
        version.status.success() && version.stdout.starts_with("imserver "),
        "{version:?}"
    );
}

#[cfg(unix)]
#[test]
fn the_data_directory_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let daemon = Daemon::start();
    let mode = std::fs::metadata(daemon.data_dir()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

/// What glibc's allocator is told at a start, of the process that listens.
fn allocator_of(configure: impl FnOnce(&mut std::process::Command)) -> String {
    let directory = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(Daemon::binary());
    command
        .args(["--listen", "127.0.0.1:0", "--data-dir"])
        .arg(directory.path().join("data"))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null());
    configure(&mut command);
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut output, &mut line).unwrap();
    assert!(line.starts_with("listening on "), "{line:?}");
    let environment = std::fs::read(format!("/proc/{}/environ", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    String::from_utf8(environment)
        .unwrap()
        .split('\0')
        .find_map(|entry| entry.strip_prefix("GLIBC_TUNABLES="))
        .unwrap_or("none")
        .to_owned()
}

#[test]
fn its_allocator_has_fixed_thresholds_unless_the_operator_chose() {
    let own = allocator_of(|command| {
        command.env_remove("GLIBC_TUNABLES");
    });
    if cfg!(target_env = "gnu") {
        assert!(own.contains("glibc.malloc.mmap_threshold=131072"));
    } else {
        assert_eq!(own, "none");
    }
    let chosen = allocator_of(|command| {
        command.env("GLIBC_TUNABLES", "");
    });
    assert_eq!(chosen, "");
}
