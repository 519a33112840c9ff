//! TLS in the scripted world: a rustls client at the other end of sockets that take and give as little as they
//! like.

use super::harness::{Harness, Options, frame, harness};
use crate::config::Limits;
use crate::tls::{ClientCertificates, TlsClient, TlsServer};
use proptest::prelude::*;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use std::io::{Read, Write};
use std::mem;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Both sides, with one certificate for all tests: making it takes longer than they do.
fn both() -> (TlsServer, Arc<ClientConfig>) {
    static BOTH: OnceLock<(TlsServer, Arc<ClientConfig>)> = OnceLock::new();
    BOTH.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let server = TlsServer::from_pem(
            certificate.as_bytes(),
            key.as_bytes(),
            ClientCertificates::Unwanted,
            &[],
        );
        let client = TlsClient::config_from_pem(certificate.as_bytes(), None, &[]);
        (server.unwrap(), client.unwrap())
    })
    .clone()
}

fn sealed(limits: Limits) -> Harness {
    harness(Options {
        limits,
        tls: Some(both().0),
        ..Options::default()
    })
}

/// The other end of a socket.
struct Client {
    connection: ClientConnection,
    socket: usize,
    /// Encrypted, and not yet on its way.
    outgoing: Vec<u8>,
    /// Decrypted.
    received: Vec<u8>,
    farewell: bool,
}

impl Client {
    fn connect(loop_: &mut Harness) -> Self {
        let name = ServerName::try_from("localhost").unwrap();
        Self {
            connection: ClientConnection::new(both().1, name).unwrap(),
            socket: loop_.connect(),
            outgoing: Vec::new(),
            received: Vec::new(),
            farewell: false,
        }
    }

    /// Lets so many encrypted bytes arrive, and takes what comes back.
    fn deliver(&mut self, loop_: &mut Harness, bytes: usize) {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.outgoing).unwrap();
        }
        let bytes = bytes.min(self.outgoing.len());
        if bytes > 0 {
            let part: Vec<u8> = self.outgoing.drain(..bytes).collect();
            loop_.world.borrow_mut().feed(self.socket, &part);
        }
        loop_.run();
        let written = mem::take(&mut loop_.world.borrow_mut().sockets[self.socket].written);
        let mut input = &written[..];
        while !input.is_empty() {
            self.connection.read_tls(&mut input).unwrap();
            let state = self.connection.process_new_packets().unwrap();
            self.farewell |= state.peer_has_closed();
            // The end of what there is looks like an error.
            let _ = self.connection.reader().read_to_end(&mut self.received);
        }
    }

    /// Gives the server's socket so much room.
    fn make_room(&mut self, loop_: &mut Harness, bytes: usize) {
        loop_.world.borrow_mut().make_room(self.socket, bytes);
        self.deliver(loop_, 0);
    }

    /// Goes on until nothing more comes.
    fn settle(&mut self, loop_: &mut Harness) {
        self.make_room(loop_, usize::MAX);
        for _ in 0..10 {
            self.deliver(loop_, usize::MAX);
        }
    }
}

#[derive(Clone, Debug)]
enum Act {
    /// The client sends a frame of so many bytes.
    Send(usize),
    /// So many encrypted bytes of it arrive.
    Deliver(usize),
    /// The server's socket takes so many bytes more.
    Room(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0..256_usize).prop_map(Act::Send),
        (0..600_usize).prop_map(Act::Deliver),
        (0..600_usize).prop_map(Act::Room),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn frames_and_farewell_arrive_however_little_the_sockets_move(
        acts in prop::collection::vec(act(), 0..60),
        room_at_the_end in 0..40_usize,
    ) {
        let mut loop_ = sealed(Limits::default());
        let mut client = Client::connect(&mut loop_);
        client.make_room(&mut loop_, 0);
        let mut expected = Vec::new();
        for act in acts {
            match act {
                Act::Send(length) => {
                    let frame = frame(&"z".repeat(length));
                    client.connection.writer().write_all(&frame).unwrap();
                    expected.extend_from_slice(&frame);
                }
                Act::Deliver(bytes) => client.deliver(&mut loop_, bytes),
                Act::Room(bytes) => client.make_room(&mut loop_, bytes),
            }
            prop_assert!(expected.starts_with(&client.received));
        }
        client.settle(&mut loop_);
        prop_assert!(expected == client.received);
        prop_assert!(!client.farewell);
        // The answer to the farewell does not fit, or just so.
        client.make_room(&mut loop_, room_at_the_end);
        client.connection.send_close_notify();
        client.deliver(&mut loop_, usize::MAX);
        let shut_down = loop_.world.borrow().sockets[client.socket].shut_down;
        prop_assert_eq!(shut_down, client.farewell, "not before everything is written");
        client.settle(&mut loop_);
        prop_assert!(client.farewell && loop_.is_closed(client.socket));
    }
}

/// What is encrypted ahead of the socket has a limit: the rest stays in the out-queue, where it counts.
#[test]
fn no_more_is_encrypted_than_the_limit_allows() {
    let mut loop_ = sealed(Limits::default());
    let mut client = Client::connect(&mut loop_);
    client.settle(&mut loop_);
    client.make_room(&mut loop_, 0);
    let many = 2 * crate::limits::TLS_UNWRITTEN_BYTES_MAX / 100;
    let ask = frame(&format!("many:{many}"));
    client.connection.writer().write_all(&ask).unwrap();
    client.deliver(&mut loop_, usize::MAX);
    let queued = loop_.reactor.state.queued_bytes;
    assert!(
        (100 * many - crate::limits::TLS_UNWRITTEN_BYTES_MAX..100 * many).contains(&queued),
        "{queued}"
    );
    client.settle(&mut loop_);
    assert_eq!(client.received.len(), 100 * many);
    assert_eq!(loop_.reactor.state.queued_bytes, 0);
}

/// Of three handshakes with room for one, the first two take too long in the same turn.
#[test]
fn who_waits_is_not_forgotten_when_those_before_it_run_out_of_time() {
    let mut loop_ = sealed(Limits {
        tls_handshakes: 1,
        ..Limits::default()
    });
    let (first, second) = (loop_.connect(), loop_.connect());
    loop_.pass(Duration::from_secs(5));
    let third = loop_.connect();
    loop_.diary();
    loop_.pass(Duration::from_secs(6));
    assert_eq!(loop_.diary(), ["0: closed TlsTimeout", "1: closed TlsTimeout"]);
    assert!(loop_.is_closed(first) && loop_.is_closed(second));
    loop_.world.borrow_mut().feed(third, b"nonsense");
    loop_.run();
    assert!(
        loop_.is_closed(third),
        "it is its turn, and what it says is looked at"
    );
}
