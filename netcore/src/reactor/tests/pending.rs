//! Connections that are not open yet: outbound ones, PROXY headers; and who is let in.

use super::harness::{Harness, Message, Options, harness};
use crate::address::Address;
use crate::admission::Admission;
use crate::config::{Limits, Timeouts};
use crate::context::Connect;
use crate::mailbox::Signals;
use crate::observer::Counters;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const HEADER: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.9 5000 443\r\n";

fn somewhere() -> Connect {
    Connect::to(SocketAddr::from(([192, 0, 2, 7], 80)))
}

fn nothing() -> Vec<String> {
    Vec::new()
}

#[test]
fn a_connection_is_open_when_it_is_made_and_works_like_any_other() {
    let mut loop_ = harness(Options::default());
    loop_.post(Message::Connect(somewhere()));
    loop_.run();
    assert_eq!(loop_.diary(), nothing());
    let address = SocketAddr::from(([192, 0, 2, 7], 80));
    assert_eq!(loop_.world.borrow().connects, [Address::Ip(address)]);
    // An event that says nothing.
    loop_.world.borrow_mut().announce(0, false, true, false);
    loop_.run();
    assert_eq!(loop_.diary(), nothing());
    loop_.world.borrow_mut().sockets[0].unconnected = false;
    loop_.world.borrow_mut().announce(0, false, true, false);
    loop_.run();
    assert_eq!(loop_.diary(), ["open 0"]);
    loop_.feed(0, &["hello", "who"]);
    loop_.run();
    assert_eq!(loop_.written(0), ["hello"]);
    let entries = loop_.diary();
    assert_eq!(entries[2], "192.0.2.7:80 at 192.0.2.7:80, proxied: false");
    loop_.world.borrow_mut().end(0);
    loop_.run();
    assert_eq!(loop_.diary(), ["0: eof", "0: closed Eof"]);
    assert_eq!(loop_.shared.connections(), 0);
}

#[test]
fn bytes_that_come_with_the_connection_are_not_lost() {
    let mut loop_ = harness(Options::default());
    loop_.post(Message::Connect(somewhere()));
    loop_.run();
    loop_.world.borrow_mut().sockets[0].unconnected = false;
    loop_.feed(0, &["early"]);
    loop_.world.borrow_mut().announce(0, false, true, false);
    loop_.run();
    assert_eq!(loop_.diary(), ["open 0", "0: early"]);
}

#[test]
fn a_connection_that_cannot_be_made_ends_without_having_been_open() {
    let mut loop_ = harness(Options::default());
    loop_.world.borrow_mut().connect_error = Some(ErrorKind::AddrNotAvailable);
    loop_.post(Message::Connect(somewhere()));
    loop_.run();
    assert_eq!(loop_.diary(), ["0: closed ConnectFailed(Kind(AddrNotAvailable))"]);
    loop_.post(Message::Connect(somewhere()));
    loop_.run();
    loop_.world.borrow_mut().sockets[0].reset = true;
    loop_.world.borrow_mut().announce(0, true, true, true);
    loop_.run();
    assert_eq!(
        loop_.diary(),
        ["0: closed ConnectFailed(Kind(ConnectionRefused))"]
    );
    assert!(loop_.is_closed(0));
    assert_eq!(loop_.shared.connections(), 0);
}

#[test]
fn connecting_has_a_deadline() {
    let mut loop_ = harness(Options::default());
    loop_.post(Message::Connect(somewhere().within(2 * SECOND)));
    loop_.post(Message::Connect(somewhere()));
    loop_.run();
    loop_.pass(3 * SECOND);
    assert_eq!(loop_.diary(), ["0: closed ConnectTimeout"]);
    loop_.pass(8 * SECOND);
    assert_eq!(loop_.diary(), ["1: closed ConnectTimeout"]);
    assert!(loop_.is_closed(0) && loop_.is_closed(1));
}

#[test]
fn a_connection_can_be_begun_after_a_pause_and_given_up_before() {
    let mut loop_ = harness(Options::default());
    loop_.post(Message::Connect(somewhere().after(SECOND)));
    loop_.run();
    assert!(loop_.world.borrow().connects.is_empty());
    loop_.pass(SECOND / 2);
    assert!(loop_.world.borrow().connects.is_empty());
    loop_.pass(SECOND);
    assert_eq!(loop_.world.borrow().connects.len(), 1);
    loop_.post(Message::CancelConnect);
    loop_.run();
    assert_eq!(loop_.diary(), ["cancelled: true", "0: closed Local(8)"]);
    loop_.post(Message::Connect(somewhere().after(SECOND)));
    loop_.post(Message::CancelConnect);
    loop_.run();
    assert_eq!(loop_.diary(), ["cancelled: true", "0: closed Local(8)"]);
    assert_eq!(loop_.world.borrow().connects.len(), 1);
}

#[test]
fn connections_we_make_count_towards_the_limit() {
    let mut loop_ = harness(Options {
        limits: Limits {
            connections: 1,
            ..Limits::default()
        },
        ..Options::default()
    });
    loop_.connect();
    loop_.diary();
    loop_.post(Message::Connect(somewhere()));
    loop_.run();
    assert_eq!(loop_.diary(), ["not connecting: there are too many connections"]);
}

#[test]
fn draining_and_stopping_give_up_what_is_not_open() {
    let mut loop_ = harness(Options::default());
    loop_.post(Message::Connect(somewhere()));
    loop_.run();
    let deadline = loop_.world.borrow().now + SECOND;
    loop_.shared.begin_drain(deadline, Duration::ZERO);
    signal(&loop_, Signals::DRAIN);
    loop_.run();
    assert_eq!(loop_.diary(), ["0: closed Drained"]);
    loop_.post(Message::Connect(somewhere()));
    loop_.run();
    assert_eq!(loop_.diary(), ["not connecting: the server is draining"]);

    let mut loop_ = harness(Options::default());
    loop_.post(Message::Connect(somewhere()));
    loop_.run();
    signal(&loop_, Signals::STOP);
    assert!(!loop_.turn());
    assert_eq!(loop_.diary(), ["0: closed Stopped"]);
    assert_eq!(loop_.shared.connections(), 0);
}

fn signal(loop_: &Harness, signals: Signals) {
    loop_.remote.mailboxes()[0].signal(signals);
}

fn behind_proxy(admission: Admission) -> Harness {
    harness(Options {
        proxies: vec!["127.0.0.0/8".parse().unwrap()],
        admission,
        ..Options::default()
    })
}

#[test]
fn a_proxied_connection_is_that_of_the_client() {
    for cut in [1, 7, HEADER.len() - 1, HEADER.len(), HEADER.len() + 3] {
        let mut loop_ = behind_proxy(Admission::default());
        let socket = loop_.connect();
        assert_eq!(loop_.diary(), nothing(), "nobody hears of it before the header");
        let stream = [HEADER, b"\x03who\x05hello"].concat();
        loop_.world.borrow_mut().feed(socket, &stream[..cut]);
        loop_.run();
        loop_.world.borrow_mut().feed(socket, &stream[cut..]);
        loop_.run();
        assert_eq!(
            loop_.diary(),
            [
                "open 0",
                "0: who",
                "192.0.2.1:5000 at 127.0.0.1:1, proxied: true",
                "0: hello"
            ],
            "{cut}"
        );
        assert_eq!(loop_.written(socket), ["hello"]);
    }
}

#[test]
fn what_comes_behind_a_header_is_read_when_the_connection_is_open() {
    let mut loop_ = behind_proxy(Admission::default());
    let socket = loop_.connect();
    let frames: Vec<u8> = (0..2000).flat_map(|_| *b"\x05hello").collect();
    loop_.world.borrow_mut().feed(socket, &[HEADER, &frames].concat());
    loop_.run();
    assert_eq!(loop_.written(socket).len(), 2000);
    assert!(
        loop_.world.borrow().sockets[socket].reads >= 2,
        "the header is read by itself"
    );
}

#[test]
fn a_proxy_that_says_nothing_or_nonsense_is_closed() {
    let mut loop_ = behind_proxy(Admission::default());
    let (silent, nonsense, ended) = (loop_.connect(), loop_.connect(), loop_.connect());
    loop_.world.borrow_mut().feed(nonsense, b"GET / HTTP/1.1\r\n");
    loop_.world.borrow_mut().feed(ended, b"PROXY");
    loop_.world.borrow_mut().end(ended);
    loop_.run();
    assert!(loop_.is_closed(nonsense) && loop_.is_closed(ended) && !loop_.is_closed(silent));
    loop_.pass(Timeouts::default().proxy_header + SECOND);
    assert!(loop_.is_closed(silent));
    assert_eq!(loop_.diary(), nothing());
    assert_eq!(loop_.shared.connections(), 0);
}

/// A listener that looks at the first byte holds a connection back until there is one, and reads it once.
#[test]
fn the_look_at_the_first_byte_is_the_first_read() {
    let mut loop_ = harness(Options {
        plain_too: true,
        ..Options::default()
    });
    let (talks, silent, ends) = (loop_.connect(), loop_.connect(), loop_.connect());
    assert_eq!(loop_.diary(), nothing());
    loop_.feed(talks, &["hello"]);
    loop_.run();
    assert_eq!(loop_.diary(), ["open 0", "0: hello"]);
    assert_eq!(loop_.written(talks), ["hello"]);
    assert_eq!(loop_.world.borrow().sockets[talks].reads, 1);
    loop_.feed(talks, &["again"]);
    loop_.world.borrow_mut().end(ends);
    loop_.run();
    assert_eq!(loop_.diary(), ["2: closed Eof", "0: again"]);
    loop_.pass(Timeouts::default().tls_handshake + SECOND);
    assert_eq!(loop_.diary(), ["1: closed HandshakeTimeout"]);
    assert!(loop_.is_closed(silent) && loop_.is_closed(ends) && !loop_.is_closed(talks));
    assert_eq!(loop_.shared.connections(), 1);
}

#[test]
fn limits_per_source_count_the_client_behind_the_proxy() {
    let counters = Arc::new(Counters::default());
    let mut loop_ = harness(Options {
        proxies: vec!["127.0.0.0/8".parse().unwrap()],
        admission: Admission {
            per_source: Some(1),
            ..Admission::default()
        },
        observer: Some(counters.clone()),
        ..Options::default()
    });
    let sockets = [loop_.connect(), loop_.connect(), loop_.connect()];
    loop_.world.borrow_mut().feed(sockets[0], HEADER);
    loop_.world.borrow_mut().feed(sockets[1], HEADER);
    loop_
        .world
        .borrow_mut()
        .feed(sockets[2], b"PROXY TCP4 192.0.2.2 192.0.2.9 5000 443\r\n");
    loop_.run();
    let closed: Vec<bool> = sockets.iter().map(|socket| loop_.is_closed(*socket)).collect();
    assert_eq!(closed, [false, true, false]);
    let totals = counters.snapshot();
    assert_eq!((totals.opened, totals.refused), (2, 1));
    // The place is free again when the first is gone.
    loop_.world.borrow_mut().end(sockets[0]);
    loop_.run();
    let again = loop_.connect();
    loop_.world.borrow_mut().feed(again, HEADER);
    loop_.run();
    assert!(!loop_.is_closed(again));
    assert_eq!(counters.snapshot().closed_by_peer, 1);
}

#[test]
fn a_source_with_enough_connections_gets_no_more() {
    let mut loop_ = harness(Options {
        admission: Admission {
            per_source: Some(2),
            ..Admission::default()
        },
        ..Options::default()
    });
    let first = loop_.connect();
    loop_.connect();
    loop_.connect();
    assert_eq!(loop_.diary(), ["open 0", "open 1"]);
    assert_eq!(loop_.shared.connections(), 2);
    loop_.world.borrow_mut().end(first);
    loop_.run();
    loop_.diary();
    loop_.connect();
    assert_eq!(loop_.diary(), ["open 0"]);
}

#[test]
fn beyond_the_rate_connections_wait_in_the_systems_queue() {
    let mut loop_ = harness(Options {
        admission: Admission {
            rate: Some(10),
            ..Admission::default()
        },
        ..Options::default()
    });
    for _ in 0..3 {
        loop_.world.borrow_mut().connect();
    }
    loop_.run();
    assert_eq!(loop_.diary(), ["open 0"]);
    let slept = *loop_.world.borrow().timeouts.last().unwrap();
    assert!(
        slept <= Duration::from_millis(100),
        "it will not wait for an event: {slept:?}"
    );
    loop_.pass(SECOND / 10);
    assert_eq!(loop_.diary(), ["open 1"]);
    loop_.pass(SECOND / 10);
    assert_eq!(loop_.diary(), ["open 2"]);
}

#[test]
fn a_drain_can_be_spread() {
    let mut loop_ = harness(Options::default());
    let sockets: Vec<usize> = (0..10).map(|_| loop_.connect()).collect();
    let deadline = loop_.world.borrow().now + 100 * SECOND;
    loop_.shared.begin_drain(deadline, 10 * SECOND);
    signal(&loop_, Signals::DRAIN);
    let told = |loop_: &mut Harness| {
        // Between announcements the loop sleeps, for a short while.
        loop_.turn();
        loop_.turn();
        sockets
            .iter()
            .filter(|socket| !loop_.world.borrow().sockets[**socket].written.is_empty())
            .count()
    };
    assert_eq!(told(&mut loop_), 0);
    loop_.world.borrow_mut().pass(5 * SECOND);
    assert_eq!(told(&mut loop_), 5);
    assert_eq!(loop_.shared.drain().phase, crate::ServerPhase::Announcing);
    loop_.world.borrow_mut().pass(5 * SECOND);
    assert_eq!(told(&mut loop_), 10);
    loop_.run();
    assert_eq!(loop_.shared.drain().phase, crate::ServerPhase::Finishing);
}
