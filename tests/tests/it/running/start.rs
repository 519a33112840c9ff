//! A start: what is left of one that is refused, what it says of itself, and of nothing that is as it should be.

use std::net::{SocketAddr, TcpListener};

use tests::harness::{Daemon, Setup};

use super::run;

#[test]
fn a_start_that_is_refused_leaves_no_directory() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let data = data.to_str().unwrap();
    for (arguments, code, named) in [
        (&["--listen", &taken][..], 1, &taken[..]),
        // An address of nobody here (RFC 5737).
        (
            &["--listen", "192.0.2.1:7400"],
            1,
            "none of this machine's addresses",
        ),
        (
            &["--listen", "127.0.0.1:0", "--redis", "redis://127.0.0.1:1"],
            1,
            "redis.url",
        ),
        (&["--listen", "127.0.0.1:0", "--redis", "http://x"], 1, "redis://"),
    ] {
        let all = [arguments, &["--data-dir", data]].concat();
        let ended = run(&all);
        assert_eq!(ended.status.code(), Some(code), "{ended:?}");
        assert!(ended.stderr.contains(named), "{named} is not in {ended:?}");
        assert_eq!(ended.stdout, "");
        assert!(
            !std::path::Path::new(data).exists(),
            "{arguments:?} left a directory"
        );
    }
}

#[test]
fn what_it_says_to_connect_with_can_be_connected_to() {
    for (listen, expected) in [("0.0.0.0:0", "127.0.0.1:"), ("[::]:0", "[::1]:")] {
        let directory = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new(Daemon::binary())
            .args(["--listen", listen, "--data-dir"])
            .arg(directory.path().join("data"))
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        let said: Vec<String> = lines.take(3).map(|line| line.unwrap_or_default()).collect();
        if said[0].is_empty() && listen.starts_with('[') {
            println!("skipped: there is no IPv6 here");
            child.wait().unwrap();
            continue;
        }
        let words: Vec<&str> = said[2].split(' ').collect();
        assert_eq!(&words[..4], ["connect", "with:", "im", "--server"]);
        assert!(words[4].starts_with(expected), "{said:?}");
        let address: SocketAddr = words[4].parse().unwrap();
        tests::harness::User::register(address, "ann");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_default_start_over_postgresql_warns_of_nothing() {
    let daemon = Setup {
        store: Some(services::fresh_database().unwrap()),
        ..Setup::default()
    }
    .start();
    daemon.register("ann");
    let log = daemon.log();
    assert!(!log.iter().any(|line| line.contains("WARN")), "{log:#?}");
}
