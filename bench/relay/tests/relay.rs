//! Runs the relay as a program: over real sockets it acknowledges and delivers what is stored, with each store.

use bench_netcore::children::{Core, Server};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

const RELAY: &str = env!("CARGO_BIN_EXE_relay-limit");

fn start(directory: &Path, store: &str) -> Server {
    let arguments = [
        "--store",
        store,
        "--log-bytes",
        "65536",
        "--data-dir",
        directory.to_str().expect("a plain path"),
    ];
    Server::start(Path::new(RELAY), &arguments, Core::default()).expect("a relay")
}

fn frame(kind: u16, seq: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("a short body");
    [
        &length.to_be_bytes()[..],
        &kind.to_be_bytes(),
        &seq.to_be_bytes(),
        body,
    ]
    .concat()
}

#[track_caller]
fn expect(stream: &mut TcpStream, frame: &[u8]) {
    let mut bytes = vec![0; frame.len()];
    stream.read_exact(&mut bytes).expect("a frame");
    assert_eq!(bytes, frame);
}

fn log_in(server: &Server, user: u32) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).expect("a connection");
    // A test that would hang is to fail; nothing depends on how long.
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a timeout");
    stream
        .write_all(&frame(1, 1, &user.to_be_bytes()))
        .expect("a login");
    expect(&mut stream, &frame(0x8001, 1, &[]));
    stream
}

fn relays(store: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let server = start(directory.path(), store);
    let (mut one, mut other) = (log_in(&server, 1), log_in(&server, 2));
    let sent = [7, 8].map(|seq| frame(3, seq, b"\0\0\0\x02text")).concat();
    let (first, second) = sent.split_at(21);
    one.write_all(first).expect("a part");
    one.write_all(second).expect("the rest");
    expect(&mut one, &[7, 8].map(|seq| frame(0x8003, seq, &[])).concat());
    let delivery = frame(5, 0, b"\0\0\0\x01text");
    expect(&mut other, &[&delivery[..], &delivery].concat());
    one.write_all(&frame(4, 9, &[])).expect("a ping");
    expect(&mut one, &frame(0x8004, 9, &[]));
}

#[test]
fn what_is_in_the_file_is_acknowledged_and_delivered() {
    relays("file");
}

#[test]
fn what_is_in_the_table_is_acknowledged_and_delivered() {
    relays("sqlite");
}

#[test]
fn it_relays_without_a_store() {
    relays("none");
}

/// The receiver does not read until more is on its way than the kernel holds, so the relay has to wait for room.
#[test]
fn everything_arrives_in_order_when_the_kernel_has_no_room() {
    const MESSAGES: u32 = 200;
    let directory = tempfile::tempdir().expect("a directory");
    let server = start(directory.path(), "none");
    let (mut one, mut other) = (log_in(&server, 1), log_in(&server, 2));
    let payload = |number: u32| [&number.to_be_bytes()[..], &[0; 60_000]].concat();
    for number in 0..MESSAGES {
        let body = [&2u32.to_be_bytes()[..], &payload(number)].concat();
        one.write_all(&frame(3, 1, &body)).expect("a message");
        expect(&mut one, &frame(0x8003, 1, &[]));
    }
    for number in 0..MESSAGES {
        let body = [&1u32.to_be_bytes()[..], &payload(number)].concat();
        expect(&mut other, &frame(5, 0, &body));
    }
}

#[test]
fn who_sends_nonsense_is_closed_and_the_others_are_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = start(directory.path(), "none");
    let (mut one, mut other) = (log_in(&server, 1), log_in(&server, 2));
    one.write_all(&frame(99, 1, &[0; 4])).expect("nonsense");
    // Closing with unread input may be a reset.
    assert!(matches!(one.read(&mut [0]), Ok(0) | Err(_)));
    other.write_all(&frame(4, 3, &[])).expect("a ping");
    expect(&mut other, &frame(0x8004, 3, &[]));
}
