//! What goes through an open connection, and its ends.

use crate::support::{Authority, Client, Event, client_connection, encode, start};
use netcore::rustls::ClientConnection;
use netcore::tls::ClientCertificates;
use netcore::{Outbound, limits};
use parking_lot::Mutex;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::thread;

#[test]
fn more_than_any_buffer_holds_comes_back_while_both_sides_push() {
    let authority = Authority::new();
    let running = start(authority.server(ClientCertificates::Unwanted, &[]), |builder| {
        builder
    });
    let connection = Arc::new(Mutex::new(client_connection(authority.client(None, &[]))));
    let mut stream = running.stream(0);
    // The handshake, then both directions at once.
    connection.lock().complete_io(&mut stream).unwrap();
    let frames = 10_000_u32;
    let body = |number: u32| {
        [
            &number.to_be_bytes()[..],
            &vec![number as u8; number as usize % 2000],
        ]
        .concat()
    };
    let writer = {
        let (connection, mut stream) = (Arc::clone(&connection), stream.try_clone().unwrap());
        thread::spawn(move || {
            for number in 0..frames {
                let mut sealed = Vec::new();
                {
                    let mut connection = connection.lock();
                    connection.writer().write_all(&encode(&body(number))).unwrap();
                    seal(&mut connection, &mut sealed);
                }
                stream.write_all(&sealed).unwrap();
            }
            let mut sealed = Vec::new();
            let mut connection = connection.lock();
            connection.send_close_notify();
            seal(&mut connection, &mut sealed);
            stream.write_all(&sealed).unwrap();
        })
    };
    let mut client = Client(Half {
        connection,
        stream,
        sealed: Vec::new(),
    });
    for number in 0..frames {
        assert!(
            client.receive().unwrap() == body(number),
            "frame {number} came back changed"
        );
    }
    assert_eq!(client.receive().unwrap(), b"goodbye");
    client.expect_end();
    writer.join().unwrap();
    assert_eq!(running.closed(), "the peer closed the connection");
}

fn seal(connection: &mut ClientConnection, sealed: &mut Vec<u8>) {
    while connection.wants_write() {
        connection.write_tls(sealed).unwrap();
    }
}

/// The receiving half of a connection whose other half is another thread's.
struct Half {
    connection: Arc<Mutex<ClientConnection>>,
    stream: TcpStream,
    /// Received and not yet decrypted.
    sealed: Vec<u8>,
}

impl Read for Half {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match self.connection.lock().reader().read(buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
            if self.sealed.is_empty() {
                // Without the lock, so that the writer goes on while nothing comes.
                self.sealed.resize(4096, 0);
                let count = self.stream.read(&mut self.sealed)?;
                self.sealed.truncate(count);
            }
            let mut connection = self.connection.lock();
            let taken = connection.read_tls(&mut &self.sealed[..])?;
            self.sealed.drain(..taken);
            connection.process_new_packets().map_err(std::io::Error::other)?;
        }
    }
}

impl Write for Half {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is queued is more than the socket, TLS and the water marks hold: all of it, and the farewell behind it, waits
/// for a peer that begins to read late.
#[test]
fn a_reader_that_begins_late_gets_everything_and_a_farewell() {
    let authority = Authority::new();
    let outbound = Outbound {
        limit: 64 * 1024 * 1024,
        ..Outbound::default()
    };
    let running = start(authority.server(ClientCertificates::Unwanted, &[]), |builder| {
        builder.outbound(outbound)
    });
    let frames = 20_000_u32;
    assert!(frames as usize * 1000 > 100 * limits::TLS_UNWRITTEN_BYTES_MAX);
    for last_word in ["close", "finish"] {
        let mut client = running.connect(authority.client(None, &[]));
        assert_eq!(client.ask("ready").unwrap(), "ready");
        client.send(format!("flood:{frames}").as_bytes()).unwrap();
        client.send(last_word.as_bytes()).unwrap();
        for number in 0..frames {
            assert!(
                client.receive().unwrap() == [number as u8; 1000],
                "frame {number} is another"
            );
        }
        if last_word == "finish" {
            assert_eq!(client.receive().unwrap(), b"last");
        }
        client.expect_end();
    }
}

#[test]
fn a_client_that_has_said_farewell_gets_its_answers_and_one_in_return() {
    let authority = Authority::new();
    let running = start(authority.server(ClientCertificates::Unwanted, &[]), |builder| {
        builder
    });
    let mut client = running.connect(authority.client(None, &[]));
    client.send(b"one").unwrap();
    client.send(b"two").unwrap();
    client.0.conn.send_close_notify();
    client.0.flush().unwrap();
    // The socket stays open: it is the farewell that ends the stream.
    for answer in ["one", "two", "goodbye"] {
        assert_eq!(client.receive().unwrap(), answer.as_bytes());
    }
    client.expect_end();
    client.0.sock.shutdown(Shutdown::Write).unwrap();
    assert_eq!(running.closed(), "the peer closed the connection");
}

#[test]
fn a_server_that_has_said_farewell_hears_the_client_out() {
    let authority = Authority::new();
    let running = start(authority.server(ClientCertificates::Unwanted, &[]), |builder| {
        builder
    });
    let mut client = running.connect(authority.client(None, &[]));
    assert_eq!(client.ask("finish").unwrap(), "last");
    client.expect_end();
    client.send(b"note:and another thing").unwrap();
    assert_eq!(running.next(), Event::Opened);
    assert_eq!(running.next(), Event::Noted("and another thing".to_owned()));
    client.0.conn.send_close_notify();
    client.0.flush().unwrap();
    assert_eq!(running.closed(), "the peer closed the connection");
}

#[test]
fn broken_ciphertext_ends_its_connection_only() {
    let authority = Authority::new();
    let running = start(authority.server(ClientCertificates::Unwanted, &[]), |builder| {
        builder
    });
    let mut good = running.connect(authority.client(None, &[]));
    let mut bad = running.connect(authority.client(None, &[]));
    assert_eq!(bad.ask("hello").unwrap(), "hello");
    // A record of application data that nobody encrypted.
    bad.0.sock.write_all(&[23, 3, 3, 0, 32]).unwrap();
    bad.0.sock.write_all(&[0; 32]).unwrap();
    bad.receive().unwrap_err();
    assert!(running.closed().starts_with("TLS error"));
    assert_eq!(good.ask("hello").unwrap(), "hello");
}
