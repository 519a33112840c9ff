//! Groups, frames from other threads, and timers.

use super::harness::{Harness, Message, Options, harness};
use crate::close::CloseHow;
use crate::config::{Limits, Outbound, WhenFull};
use crate::limits::TICK;
use bytes::Bytes;

fn told() -> Bytes {
    Bytes::from_static(b"\x04told")
}

/// A loop whose peers have an out-queue of so many bytes.
fn with_limit(limit: usize, when_full: WhenFull) -> Harness {
    harness(Options {
        outbound: Outbound {
            low_water: 0,
            high_water: limit,
            limit,
            reply_reserve: 0,
            when_full,
        },
        ..Options::default()
    })
}

#[test]
fn a_group_has_those_who_joined_and_have_not_left() {
    let mut loop_ = harness(Options::default());
    let sockets: Vec<usize> = (0..4).map(|_| loop_.connect()).collect();
    for socket in &sockets[..3] {
        loop_.feed(*socket, &["join:7", "join:7", "join:8"]);
    }
    loop_.feed(sockets[1], &["leave:7", "leave:7"]);
    loop_.run();
    loop_.diary();
    loop_.feed(sockets[0], &["tell:7"]);
    loop_.run();
    let heard: Vec<usize> = sockets
        .iter()
        .map(|socket| loop_.written(*socket).len())
        .collect();
    assert_eq!(heard, [0, 0, 1, 0]);
    // A connection that is gone has left the group.
    loop_.world.borrow_mut().end(sockets[2]);
    loop_.run();
    loop_.remote.send_to_group(7, &told(), None).unwrap();
    loop_
        .remote
        .send_to_group(8, &told(), Some(loop_.id(sockets[0])))
        .unwrap();
    loop_.run();
    let heard: Vec<usize> = sockets
        .iter()
        .map(|socket| loop_.written(*socket).len())
        .collect();
    assert_eq!(heard, [1, 1, 0, 0]);
}

#[test]
fn whoever_leaves_or_ends_leaves_nobody_else_behind() {
    let mut loop_ = harness(Options::default());
    let sockets: Vec<usize> = (0..4).map(|_| loop_.connect()).collect();
    for socket in &sockets {
        loop_.feed(*socket, &["join:7"]);
    }
    loop_.run();
    // The last one takes the place of the first, and leaves from there.
    loop_.feed(sockets[0], &["leave:7"]);
    loop_.run();
    loop_.feed(sockets[3], &["leave:7"]);
    loop_.run();
    loop_.diary();
    loop_.feed(sockets[3], &["tell:7"]);
    loop_.run();
    let delivery = |loop_: &Harness| loop_.diary()[1].clone();
    assert_eq!(delivery(&loop_), "Delivery { queued: 2, full: 0, gone: 0 }");
    loop_.world.borrow_mut().end(sockets[1]);
    loop_.run();
    loop_.diary();
    loop_.feed(sockets[3], &["tell:7"]);
    loop_.run();
    assert_eq!(delivery(&loop_), "Delivery { queued: 1, full: 0, gone: 0 }");
    assert_eq!(loop_.written(sockets[2]), ["told", "told"]);
}

#[test]
fn frames_from_other_threads_reach_those_they_are_for() {
    let mut loop_ = harness(Options::default());
    let (first, second, third) = (loop_.connect(), loop_.connect(), loop_.connect());
    let gone = loop_.connect();
    let gone_id = loop_.id(gone);
    loop_.world.borrow_mut().end(gone);
    loop_.run();
    let (first_id, second_id) = (loop_.id(first), loop_.id(second));
    loop_.remote.send(first_id, told()).unwrap();
    loop_
        .remote
        .send_many(&[first_id, second_id, gone_id], &told())
        .unwrap();
    loop_.remote.close(second_id, 5, CloseHow::Flush).unwrap();
    loop_.run();
    assert_eq!(loop_.written(first), ["told", "told"]);
    assert_eq!(loop_.written(second), ["told"]);
    assert!(loop_.written(third).is_empty());
    loop_.world.borrow_mut().end(second);
    loop_.run();
    assert_eq!(
        loop_.diary().last().map(String::as_str),
        Some("1: closed Local(5)")
    );
}

#[test]
fn a_frame_that_does_not_fit_is_told() {
    let mut loop_ = with_limit(10, WhenFull::Refuse);
    let socket = loop_.connect();
    let id = loop_.id(socket);
    loop_.diary();
    loop_.world.borrow_mut().make_room(socket, 0);
    for _ in 0..3 {
        loop_.remote.send(id, told()).unwrap();
    }
    loop_.run();
    assert_eq!(loop_.diary(), ["0: undelivered 5"]);
    loop_.world.borrow_mut().make_room(socket, usize::MAX);
    loop_.run();
    assert_eq!(loop_.diary(), ["0: writable"]);
    assert_eq!(loop_.written(socket).len(), 2);
}

#[test]
fn a_peer_that_does_not_keep_up_is_closed_where_that_is_wanted() {
    let mut loop_ = with_limit(10, WhenFull::Close);
    let (slow, other) = (loop_.connect(), loop_.connect());
    let ids = [loop_.id(slow), loop_.id(other)];
    loop_.diary();
    loop_.world.borrow_mut().make_room(slow, 0);
    for _ in 0..3 {
        loop_.remote.send_many(&ids, &told()).unwrap();
        loop_.run();
    }
    assert!(loop_.is_closed(slow) && !loop_.is_closed(other));
    assert_eq!(loop_.diary(), ["0: closed OutboundFull { queued: 10 }"]);
    assert_eq!(loop_.written(other).len(), 3);
}

#[test]
fn a_loop_short_of_memory_queues_no_more_for_those_who_have_enough() {
    let mut loop_ = harness(Options {
        limits: Limits {
            queued_bytes: 12,
            ..Limits::default()
        },
        outbound: Outbound {
            low_water: 8,
            high_water: 100,
            limit: 100,
            reply_reserve: 0,
            ..Outbound::default()
        },
        ..Options::default()
    });
    let sockets: Vec<usize> = (0..2).map(|_| loop_.connect()).collect();
    let ids: Vec<_> = sockets.iter().map(|socket| loop_.id(*socket)).collect();
    loop_.diary();
    for socket in &sockets {
        loop_.world.borrow_mut().make_room(*socket, 0);
    }
    for _ in 0..3 {
        loop_.remote.send(ids[0], told()).unwrap();
    }
    loop_.run();
    assert_eq!(
        loop_.diary(),
        Vec::<String>::new(),
        "15 bytes are above 12 only once they are queued"
    );
    loop_.remote.send_many(&ids, &told()).unwrap();
    loop_.remote.send_many(&ids, &told()).unwrap();
    loop_.run();
    assert_eq!(loop_.diary(), ["0: undelivered 5", "0: undelivered 5"]);
    loop_.world.borrow_mut().make_room(sockets[0], usize::MAX);
    loop_.run();
    assert_eq!(loop_.diary(), ["0: writable"]);
    loop_.remote.send_many(&ids, &told()).unwrap();
    loop_.run();
    assert_eq!(loop_.written(sockets[0]).len(), 4);
}

#[test]
fn what_is_queued_is_forgotten_with_its_connection() {
    let mut loop_ = harness(Options {
        limits: Limits {
            queued_bytes: 5,
            ..Limits::default()
        },
        ..Options::default()
    });
    let (first, second) = (loop_.connect(), loop_.connect());
    loop_.world.borrow_mut().make_room(first, 0);
    loop_.feed(first, &["many:100", "abort"]);
    loop_.run();
    assert!(loop_.is_closed(first));
    loop_.diary();
    loop_.feed(second, &["many:1", "many:1"]);
    loop_.run();
    assert_eq!(loop_.diary(), ["1: many:1", "1: many:1"], "nothing is full");
}

#[test]
fn timers_fire_once_and_in_order_and_end_with_the_connection() {
    let mut loop_ = harness(Options::default());
    let (socket, other) = (loop_.connect(), loop_.connect());
    loop_.feed(
        socket,
        &[
            "timer:1,300",
            "timer:2,100",
            "timer:3,200",
            "untimer:3",
            "untimer:3",
        ],
    );
    loop_.feed(other, &["timer:9,100", "abort"]);
    loop_.run();
    loop_.diary();
    loop_.pass(TICK);
    assert_eq!(loop_.diary(), Vec::<String>::new());
    loop_.pass(TICK * 2);
    assert_eq!(loop_.diary(), ["0: timer 2"]);
    loop_.feed(socket, &["timer:1,1000"]);
    loop_.run();
    loop_.pass(TICK * 10);
    assert_eq!(loop_.diary(), ["0: timer:1,1000"]);
    loop_.pass(TICK * 11);
    assert_eq!(loop_.diary(), ["0: timer 1"]);
    loop_.pass(TICK * 30);
    assert_eq!(loop_.diary(), Vec::<String>::new());
}

#[test]
fn timers_of_a_connection_that_is_closing_do_not_fire() {
    let mut loop_ = harness(Options::default());
    let socket = loop_.connect();
    loop_.world.borrow_mut().make_room(socket, 0);
    loop_.feed(socket, &["timer:1,100"]);
    loop_.run();
    loop_.feed(socket, &["say:x", "flush"]);
    loop_.run();
    loop_.diary();
    loop_.pass(TICK * 20);
    assert_eq!(loop_.diary(), Vec::<String>::new());
}

#[test]
fn a_message_for_all_loops_is_refused_by_those_that_are_full() {
    let mut loop_ = harness(Options {
        loops: 2,
        ..Options::default()
    });
    for _ in 0..100 {
        loop_.post(Message::Note("x"));
    }
    let refused = loop_.remote.send_to_group(1, &told(), None).unwrap_err();
    assert_eq!(refused, [crate::id::LoopId(0)]);
    // Closing has places of its own.
    let socket_id = crate::id::ConnId::new(crate::id::LoopId(0), 0, 0);
    assert!(loop_.remote.send(socket_id, told()).is_err());
    assert!(loop_.remote.close(socket_id, 1, CloseHow::Abort).is_ok());
    loop_.run();
    assert!(loop_.remote.send(socket_id, told()).is_ok());
}
