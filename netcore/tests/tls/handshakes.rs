//! Handshakes that fail, that never end, and that are too many at once.

use crate::support::{Authority, Client, Tls, any_port, client_connection, start};
use netcore::tls::ClientCertificates;
use netcore::{Limits, Timeouts};
use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

#[test]
fn plaintext_is_closed_and_harms_nobody_else() {
    let authority = Authority::new();
    let running = start(authority.server(ClientCertificates::Unwanted, &[]), |builder| {
        builder
    });
    let mut good = running.connect(authority.client(None, &[]));
    assert_eq!(good.ask("before").unwrap(), "before");
    let mut plain = running.stream(0);
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).unwrap();
    // At most an alert: 7 bytes that begin with its type.
    assert!(
        answer.len() <= 7 && answer.first().is_none_or(|first| *first == 21),
        "{answer:?}"
    );
    assert!(running.closed().starts_with("TLS error"));
    assert_eq!(good.ask("after").unwrap(), "after");
}

#[test]
fn a_handshake_has_a_deadline() {
    let authority = Authority::new();
    let timeouts = Timeouts {
        tls_handshake: Duration::from_millis(100),
        ..Timeouts::default()
    };
    let running = start(authority.server(ClientCertificates::Unwanted, &[]), |builder| {
        builder.timeouts(timeouts)
    });
    let mut silent = running.stream(0);
    let mut half = running.stream(0);
    half.write_all(&[22, 3, 1, 2]).unwrap();
    assert_eq!(silent.read(&mut [0; 1]).unwrap(), 0);
    assert_eq!(half.read(&mut [0; 1]).unwrap(), 0);
    for _ in 0..2 {
        assert_eq!(running.closed(), "the TLS handshake took too long");
    }
}

#[test]
fn handshakes_beyond_the_limit_wait_and_then_get_through() {
    let authority = Authority::new();
    let limits = Limits {
        tls_handshakes: 1,
        ..Limits::default()
    };
    let running = start(authority.server(ClientCertificates::Unwanted, &[]), |builder| {
        builder.limits(limits).listen(any_port())
    });
    let mut probe = Client(running.stream(1));
    // Has the loop take whatever lies in its sockets by now, several times.
    let mut turns = || {
        for _ in 0..10 {
            assert_eq!(probe.ask("turn").unwrap(), "turn");
        }
    };
    let silent = running.stream(0);
    turns();
    let mut waiting: Vec<Tls> = (0..3)
        .map(|_| {
            let mut tls = Tls::new(client_connection(authority.client(None, &[])), running.stream(0));
            tls.conn.write_tls(&mut tls.sock).unwrap();
            tls
        })
        .collect();
    turns();
    for tls in &mut waiting {
        tls.sock.set_nonblocking(true).unwrap();
        let read = tls.sock.read(&mut [0; 1]);
        assert_eq!(read.unwrap_err().kind(), ErrorKind::WouldBlock, "it was answered");
        tls.sock.set_nonblocking(false).unwrap();
    }
    // One gives up while it waits.
    drop(waiting.remove(1));
    drop(silent);
    // The second does not depend on the first being done with its handshake for good.
    for tls in waiting {
        assert_eq!(Client(tls).ask("through").unwrap(), "through");
    }
}
