//! Taking connections in, and what goes wrong there.

use super::super::accept::{AcceptError, classify};
use super::harness::{Options, harness};
use crate::config::{Budgets, Limits};
use crate::limits::ACCEPT_RETRY;
use std::io::{Error, ErrorKind};

#[test]
fn errors_are_told_apart() {
    let os = |code| classify(&Error::from_raw_os_error(code));
    let kind = |kind: ErrorKind| classify(&Error::from(kind));
    assert_eq!(kind(ErrorKind::WouldBlock), AcceptError::Nothing);
    assert_eq!(kind(ErrorKind::ConnectionAborted), AcceptError::Skip);
    assert_eq!(kind(ErrorKind::Interrupted), AcceptError::Skip);
    assert_eq!(kind(ErrorKind::OutOfMemory), AcceptError::Pause);
    assert_eq!(kind(ErrorKind::Other), AcceptError::Pause);
    if cfg!(unix) {
        assert_eq!(os(23), AcceptError::Exhausted);
        assert_eq!(os(24), AcceptError::Exhausted);
    }
    if cfg!(target_os = "linux") {
        assert_eq!(os(71), AcceptError::Skip, "EPROTO");
        assert_eq!(os(113), AcceptError::Skip, "EHOSTUNREACH");
        assert_eq!(os(105), AcceptError::Pause, "ENOBUFS");
        assert_eq!(os(12), AcceptError::Pause, "ENOMEM");
    }
}

#[test]
fn without_descriptors_peers_are_turned_away_and_accepting_resumes_by_itself() {
    let mut loop_ = harness(Options::default());
    loop_.world.borrow_mut().exhausted = true;
    loop_.world.borrow_mut().connect();
    loop_.world.borrow_mut().connect();
    loop_.run();
    assert_eq!(
        loop_.world.borrow().turned_away,
        2,
        "the spare descriptor was used"
    );
    assert!(loop_.world.borrow().spare, "and taken again");
    assert_eq!(loop_.shared.connections(), 0);

    // These come while the loop does not look, and no event will come for them again.
    let accepts = loop_.world.borrow().accepts;
    loop_.world.borrow_mut().connect();
    loop_.run();
    assert_eq!(
        loop_.world.borrow().accepts,
        accepts,
        "no spinning on the listener"
    );
    assert!(*loop_.world.borrow().timeouts.last().unwrap() <= ACCEPT_RETRY);
    loop_.world.borrow_mut().exhausted = false;
    loop_.pass(ACCEPT_RETRY);
    assert_eq!(loop_.shared.connections(), 1);
    assert_eq!(loop_.diary(), ["open 0"]);
}

#[test]
fn a_lost_connection_does_not_cost_the_next() {
    let mut loop_ = harness(Options::default());
    loop_.world.borrow_mut().backlog.push_back(Err(103)); // ECONNABORTED on Linux
    loop_.connect();
    assert_eq!(loop_.diary(), ["open 0"]);
}

#[test]
fn an_error_that_does_not_end_does_not_spin() {
    let mut loop_ = harness(Options::default());
    for _ in 0..1000 {
        loop_.world.borrow_mut().backlog.push_back(Err(103));
    }
    loop_.world.borrow_mut().announce_listener();
    loop_.run();
    assert_eq!(loop_.world.borrow().accepts, Budgets::default().accepts);
}

#[test]
fn accepting_is_budgeted() {
    let budgets = Budgets {
        accepts: 3,
        ..Budgets::default()
    };
    let mut loop_ = harness(Options {
        budgets,
        ..Options::default()
    });
    for _ in 0..10 {
        loop_.world.borrow_mut().connect();
    }
    loop_.turn();
    assert_eq!(loop_.shared.connections(), 3);
    loop_.run();
    assert_eq!(loop_.shared.connections(), 10);
}

#[test]
fn beyond_the_limit_connections_are_turned_away_before_the_handler_knows() {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let mut loop_ = harness(Options {
        limits,
        ..Options::default()
    });
    let first = loop_.connect();
    loop_.connect();
    let third = loop_.connect();
    assert_eq!(loop_.diary(), ["open 0", "open 1"]);
    assert!(loop_.world.borrow().sockets[third].token.is_none());
    loop_.feed(first, &["abort"]);
    loop_.run();
    loop_.diary();
    loop_.connect();
    assert_eq!(loop_.diary(), ["open 0"]);
}

#[test]
fn what_the_handler_refuses_is_not_counted() {
    let mut loop_ = harness(Options {
        refuse: true,
        ..Options::default()
    });
    let socket = loop_.connect();
    assert_eq!(loop_.shared.connections(), 0);
    assert!(loop_.world.borrow().sockets[socket].token.is_none());
}

#[test]
fn connections_go_to_the_loop_with_the_fewest() {
    let mut loop_ = harness(Options {
        loops: 3,
        ..Options::default()
    });
    for _ in 0..7 {
        loop_.connect();
    }
    let count = |index| loop_.handover.take(crate::id::LoopId(index)).len();
    assert_eq!((loop_.diary().len(), count(1), count(2)), (3, 2, 2));
}
