//! TLS handshakes that are broken off leave nothing in memory: counted by the allocator, over real sockets. It owns its
//! process, because everything in it is counted; so it is one test.

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

/// Never hears of anybody: no handshake ends well.
struct Nobody;

impl Handler for Nobody {
    type Codec = LengthPrefixed;
    type Conn = ();
    type Msg = ();
    type Task = NoTask;

    fn on_accept(&mut self, _: &Peer) -> Result<(LengthPrefixed, ()), Refusal> {
        Ok((LengthPrefixed::new(1024), ()))
    }

    fn on_frame(&mut self, _: &mut ConnCx<'_, Self>, _: &[u8]) -> Flow<Self> {
        Flow::Close(1)
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
fn handshakes_that_are_broken_off_leave_nothing() {
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
    let server = Server::builder::<Nobody>()
        .loops(1)
        .listen(Listen::from(any_port).tls(tls))
        .start(|_, _| Nobody)
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
    assert!(blocks_later <= blocks + ticks + 30);
}
