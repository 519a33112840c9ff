//! Runs `proxy` as its users do: as a process between a client and a server, both of which are the test.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;
use support::{Program, expect, refusal};

const PROXY: &str = env!("CARGO_BIN_EXE_proxy");

/// A proxy, and the server behind it.
struct Network {
    proxy: Program,
    server: TcpListener,
}

impl Network {
    fn start(arguments: &[&str]) -> Self {
        let server = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let to = server.local_addr().expect("an address").to_string();
        let arguments = [&["--threads", "2", "--to", &to], arguments].concat();
        Self {
            proxy: Program::start_with(PROXY, &arguments),
            server,
        }
    }

    /// The client's end and the server's.
    fn connect(&self) -> (TcpStream, TcpStream) {
        let client = self.proxy.connect();
        let (server, _) = self.server.accept().expect("a connection");
        server
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a timeout");
        (client, server)
    }

    /// Asks until the proxy holds so many bytes.
    fn wait_for_held(&mut self, bytes: usize) {
        let held = format!(", {bytes} bytes held");
        while !self.proxy.ask("status").ends_with(&held) {
            thread::yield_now();
        }
    }
}

fn send(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).expect("written");
}

/// Whether there is nothing to read at this moment.
fn has_nothing(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).expect("an option");
    let read = stream.read(&mut [0; 1]);
    stream.set_nonblocking(false).expect("an option");
    read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

/// Everything up to the end, be it in good order or not.
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return rest,
            Ok(count) => rest.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return rest,
            Err(error) => panic!("no end: {error}"),
        }
    }
}

#[test]
fn bytes_go_both_ways_and_each_connection_has_its_own() {
    let network = Network::start(&[]);
    let mut pairs: Vec<_> = (0..6).map(|_| network.connect()).collect();
    for (number, (client, server)) in pairs.iter_mut().enumerate() {
        send(client, &format!("question {number}"));
        expect(server, &format!("question {number}"));
        send(server, &format!("answer {number}"));
    }
    for (number, (client, _)) in pairs.iter_mut().enumerate() {
        expect(client, &format!("answer {number}"));
    }
}

#[test]
fn the_end_of_one_side_is_passed_on_and_the_other_goes_on() {
    let mut network = Network::start(&[]);
    let (mut client, mut server) = network.connect();
    send(&mut client, "that is all");
    client.shutdown(Shutdown::Write).expect("shut down");
    assert_eq!(rest(&mut server), b"that is all");
    send(&mut server, "here is much more");
    expect(&mut client, "here is much more");
    server.shutdown(Shutdown::Write).expect("shut down");
    assert_eq!(client.read(&mut [0; 1]).expect("an end"), 0);
    while network.proxy.ask("status") != "ok: 0 connections, 0 bytes held" {
        thread::yield_now();
    }
}

#[test]
fn more_than_any_buffer_holds_goes_both_ways_to_readers_that_begin_late() {
    let network = Network::start(&[]);
    let (client, server) = network.connect();
    let bytes = 16 * 1024 * 1024;
    let ends = [client, server].map(|stream| {
        let mut writing = stream.try_clone().expect("a second handle");
        let writer = thread::spawn(move || {
            for piece in 0..bytes / 4096 {
                writing.write_all(&[piece as u8; 4096]).expect("written");
            }
            writing.shutdown(Shutdown::Write).expect("shut down");
        });
        (stream, writer)
    });
    // One after the other: whatever is read first must come although nobody reads the other way.
    for (mut stream, writer) in ends {
        let mut piece = [0; 4096];
        for number in 0..bytes / 4096 {
            stream.read_exact(&mut piece).expect("a piece");
            assert!(piece == [number as u8; 4096], "piece {number} is another");
        }
        assert_eq!(stream.read(&mut piece).expect("an end"), 0);
        drop(writer);
    }
}

#[test]
fn a_delay_and_a_black_hole_hold_what_is_sent_until_they_end() {
    for fault in ["delay 3600000", "black-hole on"] {
        let mut network = Network::start(&[]);
        let (mut client, mut server) = network.connect();
        send(&mut client, "before");
        expect(&mut server, "before");
        assert_eq!(network.proxy.ask(fault), "ok: 1 connections, 0 bytes held");
        send(&mut client, "held");
        send(&mut server, "back");
        network.wait_for_held(8);
        assert!(has_nothing(&mut server) && has_nothing(&mut client));
        client.shutdown(Shutdown::Write).expect("shut down");
        assert_eq!(network.proxy.ask("clear"), "ok: 1 connections, 0 bytes held");
        expect(&mut client, "back");
        assert_eq!(rest(&mut server), b"held");
    }
}

#[test]
fn delayed_and_throttled_bytes_arrive_in_the_end() {
    let network = Network::start(&["--delay", "60", "--throttle", "20000"]);
    let (mut client, mut server) = network.connect();
    let text = "0123456789".repeat(500);
    send(&mut client, &text);
    client.shutdown(Shutdown::Write).expect("shut down");
    assert_eq!(rest(&mut server), text.as_bytes());
}

#[test]
fn a_held_direction_is_not_read_without_end() {
    let mut network = Network::start(&["--black-hole"]);
    let (client, mut server) = network.connect();
    let mut writing = client.try_clone().expect("a second handle");
    let bytes = 32 * 1024 * 1024;
    let writer = thread::spawn(move || {
        writing.write_all(&vec![7; bytes]).expect("written");
        writing.shutdown(Shutdown::Write).expect("shut down");
    });
    // As much as it takes, and far from all: it has stopped reading when the number stays the same for long.
    let (mut before, mut same) = (String::new(), 0);
    let held = loop {
        let now = network.proxy.ask("status");
        let held: usize = now
            .trim_end_matches(" bytes held")
            .rsplit(' ')
            .next()
            .and_then(|number| number.parse().ok())
            .expect("a number");
        same = if now == before { same + 1 } else { 0 };
        if held > 0 && same == 500 {
            break held;
        }
        before = now;
    };
    assert!(held < 2 * 1024 * 1024, "{held}");
    assert!(network.proxy.ask("clear").starts_with("ok: 1 connections"));
    assert_eq!(rest(&mut server).len(), bytes);
    writer.join().expect("everything written");
    drop(client);
}

#[test]
fn a_cut_ends_all_connections_and_no_later_ones() {
    let mut network = Network::start(&[]);
    let mut pairs = [network.connect(), network.connect()];
    for (client, server) in &mut pairs {
        send(client, "hello");
        expect(server, "hello");
    }
    assert!(network.proxy.ask("cut").starts_with("ok: "));
    for (client, server) in &mut pairs {
        assert_eq!((rest(client), rest(server)), (vec![], vec![]));
    }
    let (mut client, mut server) = network.connect();
    send(&mut client, "hello");
    expect(&mut server, "hello");
}

#[test]
fn a_connection_is_cut_after_so_many_bytes() {
    let mut network = Network::start(&["--cut-after", "10"]);
    let (mut client, mut server) = network.connect();
    send(&mut client, "0123456");
    expect(&mut server, "0123456");
    send(&mut client, "789abc");
    assert_eq!(rest(&mut server), b"789");
    assert_eq!(rest(&mut client), b"");
    assert!(network.proxy.ask("clear").starts_with("ok: "));
    let (mut client, mut server) = network.connect();
    send(&mut client, "more than ten bytes");
    expect(&mut server, "more than ten bytes");
}

#[test]
fn one_end_that_breaks_breaks_the_other() {
    let mut network = Network::start(&[]);
    let (mut client, mut server) = network.connect();
    send(&mut client, "unread");
    let mut one = [0; 1];
    server.read_exact(&mut one).expect("a byte");
    // With bytes unread, closing is a reset.
    drop(server);
    assert_eq!(rest(&mut client), b"");
    // And more than an end: the proxy has not kept the other direction open.
    while network.proxy.ask("status") != "ok: 0 connections, 0 bytes held" {
        thread::yield_now();
    }
}

#[test]
fn without_a_server_the_client_is_closed() {
    let Network { proxy, server } = Network::start(&[]);
    drop(server);
    assert_eq!(rest(&mut proxy.connect()), b"");
}

#[test]
fn what_is_no_command_is_answered_and_changes_nothing() {
    let mut network = Network::start(&[]);
    let (mut client, mut server) = network.connect();
    let answer = network.proxy.ask("explode");
    assert!(answer.starts_with("error: expected `delay MS`"), "{answer}");
    send(&mut client, "hello");
    expect(&mut server, "hello");
}

#[test]
fn an_address_in_use_is_an_error_and_not_a_panic() {
    let network = Network::start(&[]);
    let address = network.proxy.address.to_string();
    let (code, complaint) = refusal(PROXY, &["--to", &address, "--listen", &address]);
    assert_eq!(code, Some(1));
    assert!(
        complaint.starts_with(&format!("proxy: cannot listen on {address}")),
        "{complaint}"
    );
}
