//! What the daemon counts, read as Prometheus reads it.

mod admin;
mod doors;
mod moved;
mod prometheus;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Instant,
};

use tests::harness::{Daemon, PATIENCE};

/// Where the admin listener of a daemon is, which was given port 0: the daemon logs it.
pub(crate) fn admin_of(daemon: &Daemon) -> SocketAddr {
    let address = |line: &String| line.split("http://").nth(1)?.trim().parse().ok();
    let until = Instant::now() + PATIENCE;
    loop {
        let log = daemon.log();
        let mut lines = log
            .iter()
            .filter(|line| line.contains("metrics, status and health are at"));
        if let Some(address) = lines.rfind(|line| address(line).is_some()).and_then(address) {
            return address;
        }
        assert!(Instant::now() < until, "{log:#?}");
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
}

/// Sends a request; the status and the whole response.
pub(crate) fn get(address: SocketAddr, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
    )
    .unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let status = response.split(' ').nth(1).unwrap().parse().unwrap();
    (status, response)
}

/// The metrics as text.
fn scrape(address: SocketAddr) -> String {
    let (status, response) = get(address, "/metrics", "");
    assert_eq!(status, 200, "{response}");
    response.split_once("\r\n\r\n").unwrap().1.to_owned()
}
