//! haproxy and nginx in front: limits hold by the address of the client that they name.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    time::{Duration, Instant},
};

use protocol::v1::{self, ErrorCode};
use tempfile::TempDir;
use tests::harness::{Connection, Daemon, PATIENCE, User, hello, login, refused};

use super::{Pki, Running, free, from, program, through};

const LIMITS: &str =
    "[limits]\nexempt = [\"127.0.0.0/8\"]\nconnections_per_address = 3\npasswords_per_address = 5\n";

/// Each client has a share of its own, and guesses passwords on its own account.
fn limits_hold_by_the_clients_address(pki: &Pki, proxy: SocketAddr) {
    let connect = |last: u8| {
        let stream = from([127, 7, 7, last], proxy);
        Connection::on(stream).unwrap().encrypted(&pki.client()).unwrap()
    };
    let mut held: Vec<Connection> = (0..3).map(|_| connect(1)).collect();
    for conn in &mut held {
        conn.ask(hello("one")).unwrap();
    }
    let mut beyond = connect(1);
    beyond.submit(hello("beyond"));
    assert_eq!(beyond.refusal().code(), ErrorCode::Overloaded);
    beyond.end();
    let mut other = connect(2);
    other.ask(hello("two")).unwrap();
    let mut codes = Vec::new();
    for _ in 0..6 {
        codes.push(refused(held[0].ask(login("nobody"))));
    }
    assert_eq!(codes.last(), Some(&ErrorCode::RateLimited), "{codes:?}");
    assert!(
        codes
            .iter()
            .filter(|code| **code == ErrorCode::RateLimited)
            .count()
            <= 2,
        "{codes:?}"
    );
    assert_ne!(refused(other.ask(login("nobody"))), ErrorCode::RateLimited);
}

#[test]
fn haproxy_tells_the_clients_address() {
    let (pki, directory, proxy) = (Pki::new(), TempDir::new().unwrap(), free());
    let daemon = pki.proxied(LIMITS);
    let config = directory.path().join("haproxy.cfg");
    let text = format!(
        "defaults\n  mode tcp\n  timeout connect 10s\n  timeout client 60s\n  timeout server 60s\n\
         listen chat\n  bind {proxy}\n  server daemon {} send-proxy-v2\n",
        daemon.address()
    );
    std::fs::write(&config, text).unwrap();
    let _haproxy = Running::start(program("haproxy").arg("-f").arg(&config), proxy, &config);
    limits_hold_by_the_clients_address(&pki, proxy);
}

#[test]
fn nginx_tells_the_clients_address() {
    let (pki, directory, proxy) = (Pki::new(), TempDir::new().unwrap(), free());
    let daemon = pki.proxied(LIMITS);
    let config = directory.path().join("nginx.conf");
    let log = directory.path().join("error.log");
    let module = Path::new("/usr/lib/nginx/modules/ngx_stream_module.so");
    let load = if module.is_file() {
        format!("load_module {};\n", module.display())
    } else {
        String::new()
    };
    let text = format!(
        "{load}daemon off;\nmaster_process off;\npid {0}/pid;\nerror_log {1};\nevents {{}}\n\
         stream {{ server {{ listen {proxy}; proxy_protocol on; proxy_pass {2}; }} }}\n",
        directory.path().display(),
        log.display(),
        daemon.address()
    );
    std::fs::write(&config, text).unwrap();
    let mut command = program("nginx");
    command
        .arg("-p")
        .arg(directory.path())
        .arg("-c")
        .arg(&config)
        .arg("-e")
        .arg(&log);
    let _nginx = Running::start(&mut command, proxy, &log);
    limits_hold_by_the_clients_address(&pki, proxy);
}

/// Clients who never say what they want do not keep others out.
#[test]
fn silent_connections_of_an_address_are_bounded() {
    let pki = Pki::new();
    let daemon = pki.proxied("[limits]\nconnections_per_address = 3\n");
    // They have a header, and no first byte.
    let silent: Vec<Connection> = (0..200).map(|_| through(&daemon, "192.0.2.1")).collect();
    let is_closed = |conn: &Connection| {
        let stream = conn.stream();
        stream.set_nonblocking(true).unwrap();
        matches!(stream.peek(&mut [0; 1]), Ok(0)) || stream.take_error().unwrap().is_some()
    };
    let deadline = Instant::now() + PATIENCE;
    while silent.iter().filter(|conn| !is_closed(conn)).count() > 3 + 64 {
        assert!(Instant::now() < deadline, "all are kept");
        std::thread::park_timeout(Duration::from_millis(10));
    }
    let mut other = through(&daemon, "192.0.2.2").encrypted(&pki.client()).unwrap();
    other.ask(hello("other")).unwrap();
}

/// What changes is what the file says, for who is connected and who comes.
#[test]
fn a_reload_puts_rates_and_exempt_networks_in_force() {
    let pki = Pki::new();
    let daemon = pki.proxied("[limits]\nsends_per_second = 1\nsends_burst = 2\n");
    let ada = registered(&pki, &daemon, "192.0.2.1", "ada");
    let mut ada = ada;
    let own = ada.own();
    let refusal = (0..5).find_map(|number| ada.ask(tests::harness::text(own, &format!("{number}"))).err());
    assert_eq!(refusal.unwrap().code(), ErrorCode::RateLimited);
    let config = std::fs::read_to_string(daemon.config_file()).unwrap();
    std::fs::write(
        daemon.config_file(),
        config.replace(
            "sends_per_second = 1\nsends_burst = 2\n",
            "sends_per_second = 1000000\nsends_burst = 1000000\n",
        ),
    )
    .unwrap();
    daemon.ask_to_reload();
    let deadline = Instant::now() + PATIENCE;
    // The debt of the old rate is forgotten by the new one at once.
    while ada.ask(tests::harness::text(own, "again")).is_err() {
        assert!(Instant::now() < deadline, "{:#?}", daemon.log());
        std::thread::park_timeout(Duration::from_millis(20));
    }
    for number in 0..50 {
        ada.text(own, &format!("many {number}"));
    }
    let in_force = "in force: limits.sends_per_second, limits.sends_burst";
    assert!(
        daemon.log().iter().any(|line| line.contains(in_force)),
        "{:#?}",
        daemon.log()
    );
}

fn registered(pki: &Pki, daemon: &Daemon, client: &str, name: &str) -> User {
    let mut conn = through(daemon, client).encrypted(&pki.client()).unwrap();
    conn.ask(hello("first")).unwrap();
    let request = v1::RegisterRequest {
        name: name.to_owned(),
        password: tests::harness::PASSWORD.to_owned(),
        display_name: String::new(),
    };
    let session = conn.ask(request).unwrap();
    assert!(client.parse::<IpAddr>().is_ok());
    User::of(daemon.address(), conn, "first", session)
}
