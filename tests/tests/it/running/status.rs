//! `imserver status`: what a running daemon says of itself through its control socket, and what is said without one.

use std::{os::unix::net::UnixListener, path::Path};

use serde_json::Value;
use tests::harness::{Daemon, Ended, Setup};

use super::run;

fn status(data_dir: &Path, flags: &[&str]) -> Ended {
    let data_dir = data_dir.display().to_string();
    let mut arguments = vec!["status", "--data-dir", &data_dir];
    arguments.extend(flags);
    run(&arguments)
}

fn json(data_dir: &Path) -> Value {
    let ended = status(data_dir, &["--json"]);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    serde_json::from_str(&ended.stdout).unwrap()
}

#[test]
fn a_running_daemon_says_how_it_is_and_a_dead_one_is_told_from_it() {
    let mut daemon = Setup::config("[server]\nnode = \"one\"\n").start();
    let data = daemon.data_dir();
    let _ann = daemon.register("ann");
    let _stranger = daemon.connect();
    let said = json(&data);
    assert_eq!(said["node"], "one");
    assert_eq!(said["phase"], "serving");
    assert_eq!(said["process_id"], daemon.pid());
    assert_eq!(said["sessions"], 1);
    assert_eq!(said["store"]["kind"], "sqlite");
    assert!(said["store"]["database_bytes"].as_u64().unwrap() > 0, "{said}");
    assert_eq!(said["addresses"][0], daemon.address().to_string());
    assert!(said["questions"]["done"].as_u64().unwrap() > 0, "{said}");
    let text = status(&data, &[]);
    assert!(text.stdout.starts_with("imserver    "), "{text:?}");
    assert!(text.stdout.contains("as one, process "), "{text:?}");
    let metrics = status(&data, &["--metrics"]);
    assert!(metrics.stdout.contains("\nimserver_sessions 1\n"), "{metrics:?}");

    // The socket stays behind, and is replaced by the next start.
    daemon.kill();
    assert!(data.join("imserver.db.control").exists());
    let dead = status(&data, &[]);
    assert_eq!(dead.status.code(), Some(3), "{dead:?}");
    assert!(dead.stderr.contains("no daemon is running"), "{dead:?}");
    daemon.start_again();
    assert_eq!(json(&data)["process_id"], daemon.pid());
    daemon.ask_to_end();
    assert_eq!(daemon.ended().code(), Some(0));
    assert!(!data.join("imserver.db.control").exists());
    assert_eq!(status(&data, &["--json"]).status.code(), Some(3));
}

#[test]
fn where_users_are_is_said_with_their_devices() {
    let mut daemon = Setup::config("[server]\nnode = \"one\"\n").start();
    let data = daemon.data_dir().display().to_string();
    let ann = daemon.register("ann");
    let mut laptop = daemon.login("ann", "laptop");
    let bob = daemon.register("bob");
    drop(bob.conn);
    laptop.get(protocol::v1::SetAwayRequest { away: true });
    let id = format!("#{}", bob.id);
    let find = |flags: &[&str]| {
        let mut arguments = vec!["where", "--data-dir", &data, "Ann", &id, "nobody", "#x"];
        arguments.extend(flags);
        run(&arguments)
    };
    crate::cluster::until("bob is gone", || find(&[]).stdout.contains("offline"));
    let text = find(&[]);
    assert_eq!(text.status.code(), Some(0), "{text:?}");
    let lines: Vec<Vec<&str>> = text
        .stdout
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    let states: Vec<(&str, &str)> = lines.iter().map(|line| (line[0], line[6])).collect();
    let expected = [
        ("ann", "online"),
        ("ann", "away"),
        ("bob", "offline"),
        ("nobody", "unknown"),
        ("#x", "unknown"),
    ];
    let sorted = |mut all: Vec<(&str, &str)>| {
        all.sort_unstable();
        all.into_iter()
            .map(|(a, b)| format!("{a} {b}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(sorted(states), sorted(expected.to_vec()));
    let json: Value = serde_json::from_str(&find(&["--json"]).stdout).unwrap();
    assert_eq!(json["complete"], true);
    let users = json["users"].as_array().unwrap();
    assert_eq!(users[0]["user_id"], ann.id);
    let devices = users[0]["connections"].as_array().unwrap();
    assert!(devices.iter().all(|at| at["node"] == "one"));
    let laptops = devices.iter().filter(|at| at["device_id"] == "laptop");
    assert_eq!(laptops.map(|at| at["away"].clone()).collect::<Vec<_>>(), [true]);
    assert!(users[1]["last_seen_ms"].as_u64().unwrap() > 0);
    daemon.kill();
    assert_eq!(find(&[]).status.code(), Some(3));
}

#[test]
fn a_socket_that_is_configured_must_be_there_and_the_other_need_not() {
    let place = tempfile::tempdir().unwrap();
    // Longer than the path of a socket can be.
    let deep = place.path().join("d".repeat(120));
    let daemon = Setup {
        data_dir: Some(deep),
        ..Setup::default()
    }
    .start();
    super::logged(
        &daemon,
        &["WARN", "control socket", "set control.socket to have one"],
    );
    drop(daemon);

    let taken = place.path().join("taken");
    let _listener = UnixListener::bind(&taken).unwrap();
    let config = format!("[control]\nsocket = {:?}\n", taken.display().to_string());
    let ended = Setup::config(&config).try_start().unwrap_err();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains("the control socket"), "{ended:?}");
}

#[test]
fn over_postgresql_the_socket_is_where_the_configuration_says() {
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("control");
    let daemon = Setup {
        store: Some(services::fresh_database().unwrap()),
        ..Setup::config(&format!(
            "[control]\nsocket = {:?}\n",
            socket.display().to_string()
        ))
    }
    .start();
    let config = daemon.config_file().display().to_string();
    let ended = run(&[
        "--config",
        &config,
        "status",
        "--json",
        "--store",
        "postgres://nobody@127.0.0.1:1/none",
    ]);
    let said: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(said["store"]["reading"], "closed", "{said}");
    assert_eq!(said["store"]["writing"], "closed", "{said}");
    let none = run(&["status", "--store", "postgres://nobody@127.0.0.1:1/none"]);
    assert_eq!(none.status.code(), Some(1), "{none:?}");
    assert!(none.stderr.contains("control.socket"), "{none:?}");
}

#[test]
fn what_is_no_request_is_said() {
    use std::io::{BufRead, BufReader, Write};

    let daemon = Daemon::start();
    let socket = daemon.data_dir().join("imserver.db.control");
    let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(super::PATIENCE)).unwrap();
    stream
        .write_all(b"{\"command\":\"sing\"}\nstatus\n{\"command\":\"status\"}\n")
        .unwrap();
    let lines: Vec<Value> = BufReader::new(stream)
        .lines()
        .take(3)
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    assert!(lines[0]["error"].as_str().unwrap().contains("sing"), "{lines:?}");
    assert!(lines[1]["error"].is_string(), "{lines:?}");
    assert_eq!(lines[2]["ok"]["phase"], "serving", "{lines:?}");
}
