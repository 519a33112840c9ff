//! One port for those who speak TLS and those who do not.

use crate::support::{Authority, Client, Event, Tls, any_port, client_connection, start_on};
use netcore::Timeouts;
use netcore::limits::{FIRST_BYTES_MAX, TLS_FIRST_BYTE};
use netcore::tls::ClientCertificates;
use std::io::{Read, Write};
use std::time::Duration;

#[test]
fn the_first_byte_tells_who_speaks_tls() {
    let authority = Authority::new();
    let listen = any_port()
        .tls_or_plain(authority.server(ClientCertificates::Unwanted, &[b"chat/1"]))
        .tag(3);
    let running = start_on(listen, |builder| builder);
    let mut plain = Client(running.stream(0));
    let mut sealed = running.connect(authority.client(None, &[b"chat/1"]));
    for _ in 0..2 {
        assert_eq!(plain.ask("encrypted").unwrap(), "false");
        assert_eq!(sealed.ask("encrypted").unwrap(), "true");
        assert_eq!(sealed.ask("alpn").unwrap(), "chat/1");
        assert_eq!(plain.ask("alpn").unwrap(), "");
        assert_eq!(plain.ask("tag").unwrap(), "3");
        assert_eq!(sealed.ask("tag").unwrap(), "3");
    }
    drop((plain, sealed));
    // What comes with the first byte is not lost, however much it is, and neither is what follows.
    let mut plain = Client(running.stream(0));
    let long = "x".repeat(3 * FIRST_BYTES_MAX);
    assert_eq!(plain.ask(&long).unwrap(), long);
    assert_eq!(plain.ask("again").unwrap(), "again");
}

#[test]
fn a_byte_at_a_time_is_as_good() {
    let authority = Authority::new();
    let running = start_on(
        any_port().tls_or_plain(authority.server(ClientCertificates::Unwanted, &[])),
        |builder| builder,
    );
    let mut stream = running.stream(0);
    for byte in *b"\0\0\0\x09encrypted" {
        stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(Client(stream).receive().unwrap(), b"false");
    let mut stream = running.stream(0);
    let mut connection = client_connection(authority.client(None, &[]));
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    assert_eq!(hello.first(), Some(&TLS_FIRST_BYTE));
    for byte in hello {
        stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(
        Client(Tls::new(connection, stream)).ask("encrypted").unwrap(),
        "true"
    );
}

#[test]
fn behind_a_header_of_a_proxy_it_is_the_next_byte() {
    let authority = Authority::new();
    let listen = any_port()
        .proxy_protocol(vec!["127.0.0.0/8".parse().unwrap()])
        .tls_or_plain(authority.server(ClientCertificates::Unwanted, &[]));
    let running = start_on(listen, |builder| builder);
    let header = b"PROXY TCP4 192.0.2.1 192.0.2.2 1234 443\r\n";
    for together in [false, true] {
        let mut connection = client_connection(authority.client(None, &[]));
        let mut first = header.to_vec();
        if together {
            connection.write_tls(&mut first).unwrap();
        }
        let mut stream = running.stream(0);
        stream.write_all(&first).unwrap();
        let mut client = Client(Tls::new(connection, stream));
        assert_eq!(client.ask("who").unwrap(), "192.0.2.1:1234");
        assert_eq!(client.ask("encrypted").unwrap(), "true");

        let mut first = header.to_vec();
        if together {
            first.extend(b"\0\0\0\x03who");
        }
        let mut stream = running.stream(0);
        stream.write_all(&first).unwrap();
        let mut client = Client(stream);
        if together {
            assert_eq!(client.receive().unwrap(), b"192.0.2.1:1234");
        }
        assert_eq!(client.ask("encrypted").unwrap(), "false");
    }
}

#[test]
fn whoever_sends_nothing_is_closed_and_so_is_half_a_handshake() {
    let authority = Authority::new();
    let timeouts = Timeouts {
        tls_handshake: Duration::from_millis(100),
        ..Timeouts::default()
    };
    let running = start_on(
        any_port().tls_or_plain(authority.server(ClientCertificates::Unwanted, &[])),
        |builder| builder.timeouts(timeouts),
    );
    let mut silent = running.stream(0);
    assert_eq!(silent.read(&mut [0; 1]).unwrap(), 0);
    assert_eq!(
        running.next(),
        Event::Closed("handshake took too long".to_owned())
    );
    let mut half = running.stream(0);
    half.write_all(&[TLS_FIRST_BYTE, 3, 1, 2]).unwrap();
    assert_eq!(half.read(&mut [0; 1]).unwrap(), 0);
    assert_eq!(
        running.next(),
        Event::Closed("the TLS handshake took too long".to_owned())
    );
    let mut garbage = running.stream(0);
    garbage.write_all(&[TLS_FIRST_BYTE; 64]).unwrap();
    garbage.read_to_end(&mut Vec::new()).unwrap();
    assert!(running.closed().starts_with("TLS error"));
    drop(running.stream(0));
    assert_eq!(
        running.next(),
        Event::Closed("the peer closed the connection".to_owned())
    );
}
