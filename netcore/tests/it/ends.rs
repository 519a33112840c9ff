//! How connections and servers end.

use crate::support::{Message, PATIENCE, start};
use netcore::{Limits, Server, StartError, Timeouts};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

#[test]
fn a_half_closed_client_gets_the_answers_that_are_under_way() {
    let running = start(|builder| builder);
    let mut client = running.connect();
    client.send(&[b"work:1", b"work:2", b"echo"]);
    client.finish();
    let mut answers: Vec<_> = (0..3).map(|_| client.receive_text()).collect();
    assert_eq!(client.receive(), None);
    answers.sort();
    assert_eq!(answers, ["done:1", "done:2", "echo"]);
    assert_eq!(running.closed(), "Local(7)");
}

#[test]
fn what_is_not_a_frame_is_answered_with_a_last_word() {
    let running = start(|builder| builder);
    let mut client = running.connect();
    std::io::Write::write_all(&mut client.0, &[0xff; 100]).unwrap();
    assert!(client.receive_text().starts_with("closing: protocol error"));
    assert_eq!(client.receive(), None);
    drop(client);
    assert!(running.closed().starts_with("Protocol(TooLong"));
}

#[test]
fn a_panic_ends_its_connection_and_no_other() {
    let running = start(|builder| builder.loops(1));
    let (mut bad, mut good) = (running.connect(), running.connect());
    bad.send(&[b"before", b"panic"]);
    assert_eq!(bad.receive_text(), "before");
    assert_eq!(bad.receive_text(), "closing: the handler panicked");
    assert_eq!(bad.receive(), None);
    good.send(&[b"hello"]);
    assert_eq!(good.receive_text(), "hello");
}

#[test]
fn deadlines_close_connections() {
    let short = Duration::from_millis(100);
    let timeouts = Timeouts {
        handshake: short,
        ..Timeouts::default()
    };
    let running = start(|builder| builder.timeouts(timeouts));
    assert_eq!(
        running.connect().receive_text(),
        "closing: handshake took too long"
    );

    let running = start(|builder| {
        builder.timeouts(Timeouts {
            idle: short,
            ..Timeouts::default()
        })
    });
    assert_eq!(
        running.connect().receive_text(),
        "closing: nothing was received for too long"
    );

    let running = start(|builder| {
        builder.timeouts(Timeouts {
            frame: short,
            ..Timeouts::default()
        })
    });
    let mut client = running.connect();
    std::io::Write::write_all(&mut client.0, &[0, 0]).unwrap();
    assert_eq!(client.receive_text(), "closing: a frame took too long to arrive");
}

#[test]
fn a_drain_without_connections_returns_at_once() {
    let running = start(|builder| builder);
    let report = running.server.drain(Duration::MAX);
    assert_eq!((report.drained, report.aborted), (0, 0));
}

#[test]
fn a_drain_under_load_loses_no_answer_of_what_was_taken() {
    let running = start(|builder| builder);
    let address = running.server.local_addrs()[0];
    let clients: Vec<_> = (0..8).map(|_| running.connect()).collect();
    let threads: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            thread::spawn(move || {
                // One request in flight until the goodbye; whatever was answered before was answered in order.
                for number in 0.. {
                    client.send(&[format!("work:{number}").as_bytes()]);
                    match client.receive_text().as_str() {
                        "goodbye" => break,
                        answer => assert_eq!(answer, format!("done:{number}")),
                    }
                }
                // The request behind the goodbye was either taken, and is answered, or was never read.
                let rest = client.receive();
                assert!(rest.is_none() || rest.unwrap().starts_with(b"done:"));
            })
        })
        .collect();
    for _ in 0..8 {
        running.opened();
    }
    while running.pool.stats().completed < 100 {
        thread::yield_now();
    }
    // Without a deadline: it is the end of the last connection that ends the wait.
    let report = running.server.drain(Duration::MAX);
    assert_eq!((report.drained, report.aborted), (8, 0));
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(running.server.connections(), 0);
    assert!(
        std::net::TcpStream::connect(address).is_err(),
        "the listener is closed"
    );
    for loop_id in running.server.remote().loops() {
        let message = Message::ToAll(bytes::Bytes::new());
        running.server.remote().post(loop_id, message).unwrap();
    }
}

#[test]
fn a_drain_aborts_what_does_not_end_in_time() {
    let running = start(|builder| builder);
    let clients = [running.connect(), running.connect()];
    running.opened();
    running.opened();
    let report = running.server.drain(Duration::ZERO);
    assert_eq!((report.drained, report.aborted), (0, 2));
    assert_eq!(running.server.connections(), 0);
    assert_eq!(running.closed(), "Drained");
    drop(clients);
}

#[test]
fn stopping_accepting_keeps_connections() {
    let running = start(|builder| builder);
    let mut client = running.connect();
    running.opened();
    running.server.stop_accepting();
    while std::net::TcpStream::connect(running.server.local_addrs()[0]).is_ok() {
        thread::yield_now();
    }
    client.send(&[b"still here"]);
    assert_eq!(client.receive_text(), "still here");
}

#[test]
fn a_shutdown_ends_connections_and_tells_the_handler() {
    let running = start(|builder| builder);
    let mut client = running.connect();
    running.opened();
    running.server.shutdown();
    assert_eq!(client.receive(), None);
    let reason = match running.events.recv_timeout(PATIENCE).unwrap() {
        crate::support::Event::Closed(reason) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason, "Stopped");
}

#[test]
fn connections_beyond_the_limit_are_closed_at_once() {
    let running = start(|builder| {
        builder.limits(Limits {
            connections: 1,
            ..Limits::default()
        })
    });
    let mut first = running.connect();
    running.opened();
    let mut second = running.connect();
    assert_eq!(second.receive(), None);
    first.send(&[b"a"]);
    assert_eq!(first.receive_text(), "a");
    first.finish();
    assert_eq!(first.receive(), None);
    running.closed();
    while running.server.connections() > 0 {
        thread::yield_now();
    }
    let mut third = running.connect();
    third.send(&[b"b"]);
    assert_eq!(third.receive_text(), "b");
}

#[test]
fn an_address_in_use_is_named() {
    let running = start(|builder| builder);
    let taken: SocketAddr = running.server.local_addrs()[0];
    let error = Server::builder::<crate::support::Commands>()
        .listen(taken)
        .start(|_, _| Err::<crate::support::Commands, _>("not reached"))
        .unwrap_err();
    assert!(matches!(error, StartError::Bind { on, .. } if on == taken.to_string()));
}

#[test]
fn a_handler_that_cannot_be_made_fails_the_start() {
    let error = Server::builder::<crate::support::Commands>()
        .loops(3)
        .start(|_, _| Err::<crate::support::Commands, _>("no configuration"))
        .unwrap_err();
    assert!(error.to_string().ends_with("could not be made: no configuration"));
}
