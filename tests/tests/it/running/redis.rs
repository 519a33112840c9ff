//! Redis that answers with errors: said once a kind, shown by the status, and no empty list of nodes.

use services::{Redis, RedisSetup};
use tests::harness::{ClusterSetup, Daemon, Setup};

use super::{logged, run};

/// A Redis with these arguments, prepared by commands of `redis-cli`'s form.
fn redis(arguments: &[&str]) -> Redis {
    let setup = RedisSetup {
        arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
        ..RedisSetup::default()
    };
    setup.start().unwrap()
}

/// Sends one inline command.
fn tell(redis: &Redis, command: &str) {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(redis.address()).unwrap();
    stream.write_all(format!("{command}\r\n").as_bytes()).unwrap();
    let mut answer = [0; 1];
    stream.read_exact(&mut answer).unwrap();
    assert_ne!(answer, *b"-", "{command}");
}

/// Every kind of error: the server, how it is reached, and the kind that is to be named.
fn troubles() -> Vec<(Redis, String, &'static str)> {
    let url = |redis: &Redis, user: &str| format!("redis://{user}{}", redis.address());
    let mut troubles = Vec::new();
    for (rules, kind) in [
        ("~other:* &* +@all", "NOPERM"),
        ("~* &* +@all -eval -evalsha", "NOPERM"),
        ("~* &* +@all -hset", "ERR"),
    ] {
        let server = redis(&[]);
        tell(&server, &format!("ACL SETUSER im on >pw {rules}"));
        troubles.push((url(&server, "im:pw@"), server, kind));
    }
    let server = redis(&["--requirepass", "secret"]);
    troubles.push((url(&server, ""), server, "NOAUTH"));
    let server = redis(&["--requirepass", "secret"]);
    troubles.push((url(&server, ":wrong@"), server, "WRONGPASS"));
    let server = redis(&[]);
    for key in ["nodes:until", "nodes:known"] {
        tell(&server, &format!("SET imserver:{key} x"));
    }
    troubles.push((url(&server, ""), server, "WRONGTYPE"));
    let server = redis(&["--maxmemory", "1", "--maxmemory-policy", "noeviction"]);
    troubles.push((url(&server, ""), server, "OOM"));
    let server = redis(&["--replicaof", "127.0.0.1 1", "--replica-serve-stale-data", "yes"]);
    troubles.push((url(&server, ""), server, "READONLY"));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let bus = free.local_addr().unwrap().port().to_string();
    drop(free);
    let server = redis(&["--cluster-enabled", "yes", "--cluster-port", &bus]);
    troubles.push((url(&server, ""), server, "CLUSTERDOWN"));
    troubles
        .into_iter()
        .map(|(url, server, kind)| (server, url, kind))
        .collect()
}

#[test]
fn a_list_of_nodes_that_cannot_be_had_is_no_empty_list() {
    for (_server, url, kind) in troubles() {
        let ended = run(&["nodes", "--redis", &url]);
        assert_eq!(ended.status.code(), Some(1), "{kind}: {ended:?}");
        assert_eq!(ended.stdout, "", "{kind}");
        // The log may have a word beside it.
        let mut lines = ended.stderr.lines();
        let last = lines.find(|line| line.starts_with("imserver: redis://"));
        let last = last.unwrap_or_else(|| panic!("{kind}: {ended:?}"));
        assert!(
            last.contains("names no nodes: Redis answers with the error ") && last.contains(kind),
            "{kind}: {ended:?}"
        );
        assert!(!last.contains("pw") && !last.contains("wrong"), "{last}");
    }
    // None are there, and that can be known.
    let server = redis(&[]);
    let ended = run(&["nodes", "--redis", &server.url()]);
    assert!(ended.status.success() && ended.stdout.is_empty(), "{ended:?}");
    let ended = run(&["nodes", "--redis", "redis://127.0.0.1:1"]);
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("Redis does not answer"), "{ended:?}");
}

#[test]
fn an_error_is_said_once_and_stands_in_the_status() {
    for (_server, url, kind) in troubles() {
        let daemon = Setup {
            store: Some(services::fresh_database().unwrap()),
            redis: Some(url),
            ..Setup::default()
        }
        .allow_errors()
        .start();
        // Whatever Redis says, people talk.
        let [mut ann, bob] = daemon.register_all(["ann", "bob"]);
        let pair = ann.direct(bob.id);
        ann.text(pair, "hello");
        let sentence = format!("Redis answers with the error {kind}: ");
        logged(&daemon, &[&sentence]);
        daemon.ask_for_status();
        let status = logged(&daemon, &["sessions connected", "answered with errors: "]);
        assert!(status.contains(&format!("{kind} ")), "{status}");
        let said = daemon.log();
        let times = said.iter().filter(|line| line.contains(&sentence)).count();
        assert_eq!(times, 1, "{said:#?}");
    }
}

#[test]
fn nodes_have_different_names_by_default_and_one_name_is_noticed() {
    let cluster = ClusterSetup::nodes(0).allow_errors().start();
    let url = cluster.redis.as_ref().unwrap().url();
    let node = |name: Option<&str>| Setup {
        node: name.map(str::to_owned),
        ..cluster.node_setup()
    };
    let started = |name| node(name).start();
    let two = [started(None), started(None)];
    let listed = |count: usize| {
        let deadline = std::time::Instant::now() + super::PATIENCE;
        loop {
            let ended = run(&["nodes", "--redis", &url]);
            if ended.stdout.lines().count() == count {
                return ended.stdout;
            }
            assert!(std::time::Instant::now() < deadline, "{ended:?}");
        }
    };
    let names = listed(2);
    for daemon in &two {
        let port = format!(":{}\t", daemon.address().port());
        assert!(names.contains(&port), "{names}");
    }
    let alike: [Daemon; 2] = [started(Some("twin")), started(Some("twin"))];
    let complaint = "another node is called twin, too";
    let deadline = std::time::Instant::now() + super::PATIENCE;
    let said = |daemon: &Daemon| daemon.log().iter().any(|line| line.contains(complaint));
    while !alike.iter().any(said) {
        assert!(std::time::Instant::now() < deadline, "nobody noticed");
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
    assert!(two.iter().all(|daemon| !said(daemon)));
}
