//! Real servers: that they start, end, come back and vanish as told.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use services::{Postgres, PostgresSetup, REDIS_VARIABLE, Redis, RedisSetup, fresh_database, shared_redis};

/// What a statement gives, unaligned, or what psql complains of.
fn ask(url: &str, statement: &str) -> Result<String, String> {
    let output = Command::new("psql")
        .args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            url,
            "-c",
            statement,
        ])
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// The first line of what Redis answers to a command.
fn say(url: &str, command: &str) -> Result<String, std::io::Error> {
    let (_, place) = url.split_once("://").expect("a URL");
    let address = place
        .trim_end_matches('/')
        .rsplit('@')
        .next()
        .expect("an address");
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(format!("{command}\r\n").as_bytes())?;
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") {
        stream.read_exact(&mut byte)?;
        line.extend(byte);
    }
    Ok(String::from_utf8_lossy(&line).trim().to_owned())
}

#[test]
fn a_postgres_keeps_its_data_and_place_through_stops_and_kills() {
    let mut server = Postgres::start().expect("a server");
    let url = server.database().expect("a database");
    ask(&url, "CREATE TABLE kept (n int)").expect("a table");
    for (n, settings) in (1..).zip(["fsync", "synchronous_commit", "full_page_writes"]) {
        assert_eq!(ask(&url, &format!("SHOW {settings}")).as_deref(), Ok("on"));
        ask(&url, &format!("INSERT INTO kept VALUES ({n})")).expect("inserted");
        match n {
            1 => server.stop().expect("stopped"),
            2 => server.kill().expect("killed"),
            _ => server.stop_immediate().expect("stopped"),
        }
        let error = ask(&url, "SELECT 1").expect_err("nobody is there");
        assert!(error.contains("refused"), "{error}");
        server.start_again().expect("started");
        assert_eq!(ask(&url, "SELECT count(*) FROM kept"), Ok(n.to_string()));
    }
    server.restart_immediate().expect("restarted");
    assert_eq!(ask(&url, "SELECT count(*) FROM kept").as_deref(), Ok("3"));
}

#[test]
fn a_killed_postgres_comes_back_while_it_was_busy() {
    let mut server = Postgres::start().expect("a server");
    let mut busy = Command::new("psql")
        .args(["-X", "-q", "-d", &server.url(), "-c", "SELECT pg_sleep(600)"])
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("psql");
    let at_it = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'";
    until(|| ask(&server.url(), at_it).as_deref() == Ok("1"));
    server.kill().expect("killed");
    assert!(!busy.wait().expect("its status").success());
    server.start_again().expect("started");
    assert_eq!(ask(&server.url(), "SELECT 1").as_deref(), Ok("1"));
}

#[test]
fn a_standby_follows_until_it_is_promoted() {
    let primary = Postgres::start().expect("a server");
    ask(&primary.url(), "CREATE TABLE kept (n int)").expect("a table");
    let mut standby = primary.standby().expect("a standby");
    ask(&primary.url(), "INSERT INTO kept VALUES (1)").expect("inserted");
    let count = "SELECT count(*) FROM kept";
    until(|| ask(&standby.url(), count).as_deref() == Ok("1"));
    let timeline = "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)";
    ask(&standby.url(), timeline).expect_err("a standby has none");
    standby.stop().expect("stopped");
    ask(&primary.url(), "INSERT INTO kept VALUES (2)").expect("inserted");
    let address = primary.address();
    drop(primary);
    standby.listen_at(address);
    standby.start_again().expect("started");
    assert_eq!(standby.address(), address);
    standby.promote().expect("promoted");
    assert_eq!(ask(&standby.url(), timeline).as_deref(), Ok("00000002"));
    assert_eq!(ask(&standby.url(), count).as_deref(), Ok("1"), "the tail is lost");
}

#[test]
fn data_is_put_back_and_dumped() {
    let mut server = Postgres::start().expect("a server");
    ask(&server.url(), "CREATE TABLE kept AS SELECT 1 AS n").expect("a table");
    server.copy_data().expect_err("it runs");
    server.stop().expect("stopped");
    let copy = server.copy_data().expect("a copy");
    server.start_again().expect("started");
    ask(&server.url(), "INSERT INTO kept VALUES (2)").expect("inserted");
    let dump = services::dump_database(&server.url(), &[]).expect("a dump");
    server.put_back(&copy).expect("put back");
    server.start_again().expect("started");
    let count = "SELECT count(*) FROM kept";
    assert_eq!(ask(&server.url(), count).as_deref(), Ok("1"));
    let fresh = server.database().expect("a database");
    services::load_database(&fresh, &dump).expect("loaded");
    assert_eq!(ask(&fresh, count).as_deref(), Ok("2"));
    services::load_database(&fresh, &dump).expect_err("it is there");
}

#[test]
fn databases_are_fresh_and_apart() {
    let first = fresh_database().expect("a database");
    let second = fresh_database().expect("a database");
    assert_ne!(first, second);
    ask(&first, "CREATE TABLE t (n int)").expect("a table");
    ask(&second, "CREATE TABLE t (n int)").expect("not there yet");
}

#[test]
fn a_password_is_asked_for() {
    let setup = PostgresSetup {
        password: Some("secret".to_owned()),
        ..PostgresSetup::default()
    };
    let server = setup.start().expect("a server");
    let url = server.database().expect("a database");
    assert_eq!(ask(&url, "SELECT 1").as_deref(), Ok("1"));
    let error = ask(&url.replace("secret", "guess"), "SELECT 1").expect_err("refused");
    assert!(error.contains("password authentication failed"), "{error}");
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let setup = PostgresSetup {
        config: "max_connections = many".to_owned(),
        ..PostgresSetup::default()
    };
    let error = setup.start().expect_err("no such number").to_string();
    assert!(error.contains("max_connections"), "{error}");
    let setup = RedisSetup {
        arguments: vec!["--no-such-setting".to_owned(), "1".to_owned()],
        ..RedisSetup::default()
    };
    let error = setup.start().expect_err("no such setting").to_string();
    assert!(error.contains("no-such-setting"), "{error}");
}

#[test]
fn a_redis_comes_back_empty_at_its_place() {
    let mut server = Redis::start().expect("a server");
    for killed in [false, true] {
        assert_eq!(say(&server.url(), "SET key 1").expect("an answer"), "+OK");
        if killed {
            server.kill().expect("killed");
        } else {
            server.stop().expect("stopped");
        }
        say(&server.url(), "PING").expect_err("nobody is there");
        server.start_again().expect("started");
        assert_eq!(say(&server.url(), "EXISTS key").expect("an answer"), ":0");
    }
}

#[test]
fn a_redis_has_the_limits_it_was_given() {
    let setup = RedisSetup {
        password: Some("secret".to_owned()),
        ..RedisSetup::default()
    };
    let server = setup.start().expect("a server");
    assert!(
        say(&server.url(), "PING")
            .expect("an answer")
            .starts_with("-NOAUTH")
    );
    let setup = RedisSetup {
        maxmemory_bytes: Some(1024),
        ..RedisSetup::default()
    };
    let server = setup.start().expect("a server");
    assert!(
        say(&server.url(), "SET key 1")
            .expect("an answer")
            .starts_with("-OOM")
    );
}

/// Also run by the test below, as a process of its own.
#[test]
fn the_shared_redis_answers() {
    let url = shared_redis().expect("a server");
    assert_eq!(shared_redis().as_ref(), Ok(&url));
    assert_eq!(say(&url, "PING").expect("an answer"), "+PONG");
    println!("\nshared: {url}");
}

#[test]
fn a_shared_server_ends_with_the_process_that_started_it() {
    let output = Command::new(std::env::current_exe().expect("this test's path"))
        .args(["--exact", "the_shared_redis_answers", "--nocapture"])
        .env_remove(REDIS_VARIABLE)
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let url = text
        .lines()
        .find_map(|line| line.strip_prefix("shared: "))
        .expect("its URL");
    until(|| say(url, "PING").is_err());
}

/// Waits until it has come about.
fn until(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "it did not come about");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}
