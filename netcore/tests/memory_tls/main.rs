//! TLS handshakes that are broken off leave nothing in memory, and connections that could have spoken TLS and did not
//! have nothing of their own there: counted by the allocator, over real sockets. It owns its process, because everything
//! in it is counted; so it is one test.

// In tests a failed unwrap is the failing assertion.
#![allow(clippy::unwrap_used)]

use netcore::codec::LengthPrefixed;
use netcore::limits::TICK;
use netcore::rustls::ClientConnection;
use netcore::rustls::pki_types::ServerName;
use netcore::tls::{ClientCertificates, TlsClient, TlsServer};
use netcore::{ConnCx, Flow, Handler, Listen, NoTask, Peer, Refusal, Server};
use socket2::SockRef;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// After so many handshakes the memory is looked at for the first time.
const FIRST: usize = 200;
/// And so many later again.
const LATER: usize = 2_000;
/// What the wheel keeps for one tick on which deadlines fell.
const TICK_BYTES: usize = 512;
/// For lists that double.
const TABLE_BYTES: usize = 8 * 1024;

/// Plain connections at once.
const PLAIN: usize = 400;
/// Lists and tables of a loop, each of which is a block that grows.
const TABLES_MAX: usize = 30;

/// Sends every frame back. Of TLS it never hears: no handshake ends well.
struct Echo;

impl Handler for Echo {
    type Codec = LengthPrefixed;
    type Conn = ();
    type Msg = ();
    type Task = NoTask;

    fn on_accept(&mut self, _: &Peer) -> Result<(LengthPrefixed, ()), Refusal> {
        Ok((LengthPrefixed::new(1024), ()))
    }

    fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, frame: &[u8]) -> Flow<Self> {
        assert!(!cx.is_encrypted());
        cx.send(frame).unwrap();
        Flow::Continue
    }
}

/// What a client sends first.
fn first_flight(certificate: &str) -> Vec<u8> {
    let config = TlsClient::config_from_pem(certificate.as_bytes(), None, &[]).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(config, name).unwrap();
    let mut flight = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut flight).unwrap();
    }
    flight
}

/// Begins a handshake, waits until the server is in the middle of it, and goes, every other time by a reset.
fn break_off(server: SocketAddr, flight: &[u8], number: usize) {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.write_all(flight).unwrap();
    stream.read_exact(&mut [0; 1]).unwrap();
    if number.is_multiple_of(2) {
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// Bytes and blocks in use once the server has nobody any more.
fn in_use(server: &Server<()>) -> (usize, usize) {
    while server.connections() > 0 {
        thread::yield_now();
    }
    let stats = dhat::HeapStats::get();
    (stats.curr_bytes, stats.curr_blocks)
}

#[test]
fn handshakes_that_are_broken_off_leave_nothing_and_plain_connections_have_nothing() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let tls = TlsServer::from_pem(
        certificate.as_bytes(),
        key.as_bytes(),
        ClientCertificates::Unwanted,
        &[],
    )
    .unwrap();
    let flight = first_flight(&certificate);

    let _counting = dhat::Profiler::builder().testing().build();
    let any_port: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let server = Server::builder::<Echo>()
        .loops(1)
        .listen(Listen::from(any_port).tls_or_plain(tls))
        .start(|_, _| Echo)
        .unwrap();
    let address = server.local_addrs()[0];
    let break_off_all = |count: usize| (0..count).for_each(|number| break_off(address, &flight, number));

    break_off_all(FIRST);
    let (began, (bytes, blocks)) = (Instant::now(), in_use(&server));
    break_off_all(LATER);
    let (bytes_later, blocks_later) = in_use(&server);
    let ticks = (began.elapsed().as_millis() / TICK.as_millis()) as usize + 1;
    println!(
        "{bytes} bytes in {blocks} blocks after {FIRST} handshakes, {bytes_later} in {blocks_later} after {LATER} more"
    );
    assert!(bytes_later <= bytes + ticks * TICK_BYTES + TABLE_BYTES);
    assert!(blocks_later <= blocks + ticks + TABLES_MAX);
    plain_connections(&server);
}

/// Once a connection is open, what waited for its first byte is gone: there are the tables, and one list for each tick on
/// which deadlines fell.
fn plain_connections(server: &Server<()>) {
    let (began, empty) = (Instant::now(), in_use(server));
    let streams: Vec<TcpStream> = (0..PLAIN)
        .map(|_| {
            let mut stream = TcpStream::connect(server.local_addrs()[0]).unwrap();
            stream.write_all(b"\0\0\0\x02hi").unwrap();
            stream.read_exact(&mut [0; 6]).unwrap();
            stream
        })
        .collect();
    let blocks = dhat::HeapStats::get().curr_blocks.saturating_sub(empty.1);
    let ticks = (began.elapsed().as_millis() / TICK.as_millis()) as usize + 1;
    println!("{blocks} blocks for {PLAIN} plain connections");
    assert!(blocks <= TABLES_MAX + ticks);
    drop(streams);
}
