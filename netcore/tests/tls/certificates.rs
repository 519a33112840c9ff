//! Who shows which certificate to whom, and what else is agreed on.

use crate::support::{Authority, Call, Client, Event, Tls, any_port, client_connection, start, start_on};
use netcore::Connect;
use netcore::tls::{ClientCertificates, TlsClient};
use std::io::Write;

#[test]
fn frames_come_back_and_the_server_knows_with_whom_it_speaks() {
    let authority = Authority::new();
    let running = start(authority.server(ClientCertificates::Unwanted, &[]), |builder| {
        builder
    });
    let mut client = running.connect(authority.client(None, &[]));
    assert_eq!(client.ask("hello").unwrap(), "hello");
    assert_eq!(client.ask("name").unwrap(), "localhost");
    assert_eq!(client.ask("alpn").unwrap(), "");
    assert_eq!(client.ask("certificates").unwrap(), "0");
    assert_eq!(running.next(), Event::Opened);
}

#[test]
fn the_application_protocol_is_the_first_of_the_server_that_the_client_has() {
    let authority = Authority::new();
    let tls = authority.server(ClientCertificates::Unwanted, &[b"new", b"old"]);
    let running = start(tls, |builder| builder);
    let mut client = running.connect(authority.client(None, &[b"ancient", b"old"]));
    assert_eq!(client.ask("alpn").unwrap(), "old");
    let mut stranger = running.connect(authority.client(None, &[b"other"]));
    stranger.ask("alpn").unwrap_err();
    assert!(running.closed().starts_with("TLS error"));
}

#[test]
fn clients_are_asked_for_certificates_as_configured() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (own, foreign) = (authority.issue("client"), other.issue("client"));
    for required in [false, true] {
        let clients = if required {
            ClientCertificates::Required(authority.pem.as_bytes())
        } else {
            ClientCertificates::Optional(authority.pem.as_bytes())
        };
        let running = start(authority.server(clients, &[]), |builder| builder);
        let mut with = running.connect(authority.client(Some(&own), &[]));
        assert_eq!(with.ask("certificates").unwrap(), "1");

        let mut without = running.connect(authority.client(None, &[]));
        let answer = without.ask("certificates");
        if required {
            answer.unwrap_err();
            assert!(running.closed().starts_with("TLS error"));
        } else {
            assert_eq!(answer.unwrap(), "0");
        }

        let mut wrong = running.connect(authority.client(Some(&foreign), &[]));
        wrong.ask("certificates").unwrap_err();
        assert!(running.closed().starts_with("TLS error"));
    }
}

#[test]
fn a_certificate_is_replaced_without_dropping_anybody() {
    let authority = Authority::new();
    let tls = authority.server(ClientCertificates::Unwanted, &[]);
    let running = start(tls.clone(), |builder| builder);
    let shown = |client: &Client<Tls>| client.0.conn.peer_certificates().unwrap().to_vec();
    let mut before = running.connect(authority.client(None, &[]));
    assert_eq!(before.ask("a").unwrap(), "a");
    tls.replace_by(&authority.server(ClientCertificates::Unwanted, &[]));
    let mut after = running.connect(authority.client(None, &[]));
    assert_eq!(after.ask("b").unwrap(), "b");
    assert_ne!(shown(&before), shown(&after));
    assert_eq!(before.ask("c").unwrap(), "c");
}

#[test]
fn a_connection_we_make_is_open_only_if_the_name_is_right() {
    let authority = Authority::new();
    let running = start(authority.server(ClientCertificates::Unwanted, &[]), |builder| {
        builder
    });
    let call = |name: &str| {
        let tls = TlsClient::new(authority.client(None, &[]), name).unwrap();
        let connect = Connect::to(running.server.local_addrs()[0]).tls(tls);
        let first = running.server.remote().loops().next().unwrap();
        running.server.remote().post(first, Call(connect)).unwrap();
    };
    call("localhost");
    // Both ends are of this server.
    assert_eq!((running.next(), running.next()), (Event::Opened, Event::Opened));
    assert_eq!(running.next(), Event::Noted("hello".to_owned()));
    running.closed();
    running.closed();
    call("example.org");
    // Of the client we are, and of the server that it turned away.
    let reasons = [running.next(), running.next()].map(|event| match event {
        Event::Closed(reason) => reason,
        other => panic!("{other:?}"),
    });
    assert!(
        reasons.iter().all(|reason| reason.starts_with("TLS error")),
        "{reasons:?}"
    );
    assert!(
        reasons.iter().any(|reason| reason.contains("example.org")),
        "{reasons:?}"
    );
}

#[test]
fn the_header_of_a_proxy_comes_before_the_handshake() {
    let authority = Authority::new();
    let tls = authority.server(ClientCertificates::Unwanted, &[]);
    let listen = any_port()
        .proxy_protocol(vec!["127.0.0.0/8".parse().unwrap()])
        .tls(tls);
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
    }
    // Without a header it is not a connection of the proxy.
    running
        .connect(authority.client(None, &[]))
        .ask("who")
        .unwrap_err();
}
