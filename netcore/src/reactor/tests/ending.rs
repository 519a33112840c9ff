//! Every way a connection, and a loop, can end.

use super::harness::{Harness, Message, Options, frame, harness};
use crate::config::Timeouts;
use crate::limits::TICK;
use crate::mailbox::Signals;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn signal(loop_: &Harness, signals: Signals) {
    loop_.remote.mailboxes()[0].signal(signals);
}

#[test]
fn a_peer_that_finishes_after_its_request_gets_the_reply() {
    let mut loop_ = harness(Options::default());
    let socket = loop_.connect();
    loop_.diary();
    loop_.feed(socket, &["question"]);
    loop_.world.borrow_mut().end(socket);
    loop_.run();
    assert_eq!(loop_.written(socket), ["question"]);
    assert_eq!(loop_.diary(), ["0: question", "0: eof", "0: closed Eof"]);
    assert!(loop_.is_closed(socket));
}

#[test]
fn the_end_in_the_same_event_as_a_short_read_is_found() {
    let mut loop_ = harness(Options::default());
    let socket = loop_.connect();
    // One event for both, as the kernel does when they arrive together.
    loop_.world.borrow_mut().sockets[socket]
        .incoming
        .extend(frame("a"));
    loop_.world.borrow_mut().end(socket);
    loop_.run();
    assert!(loop_.is_closed(socket));
}

#[test]
fn an_application_can_keep_writing_after_the_end() {
    let mut loop_ = harness(Options::default());
    let socket = loop_.connect();
    let id = loop_.id(socket);
    loop_.feed(socket, &["keep"]);
    loop_.world.borrow_mut().end(socket);
    loop_.run();
    assert!(!loop_.is_closed(socket));
    loop_.post(Message::Say(id, "late"));
    loop_.post(Message::Close(id));
    loop_.run();
    assert_eq!(loop_.written(socket), ["late"]);
    assert!(loop_.is_closed(socket));
    assert_eq!(
        loop_.diary().last().map(String::as_str),
        Some("0: closed Local(4)")
    );
}

#[test]
fn finishing_to_send_writes_shuts_down_and_reads_on() {
    let mut loop_ = harness(Options::default());
    let socket = loop_.connect();
    loop_.diary();
    loop_.world.borrow_mut().sockets[socket].write_room = 2;
    loop_.feed(socket, &["say:last", "finish"]);
    loop_.run();
    assert!(!loop_.world.borrow().sockets[socket].shut_down);
    loop_.world.borrow_mut().make_room(socket, usize::MAX);
    loop_.run();
    assert_eq!(loop_.written(socket), ["last"]);
    assert!(loop_.world.borrow().sockets[socket].shut_down);
    loop_.feed(socket, &["many:1"]);
    loop_.run();
    loop_.world.borrow_mut().end(socket);
    loop_.run();
    assert!(loop_.is_closed(socket), "both sides have ended");
    assert_eq!(
        loop_.diary(),
        ["0: say:last", "0: finish", "0: many:1", "0: eof", "0: closed Eof"]
    );
    assert!(loop_.written(socket).is_empty(), "nothing comes behind the end");
}

#[test]
fn a_flushed_close_writes_shuts_down_and_waits_for_the_peer() {
    let mut loop_ = harness(Options::default());
    let socket = loop_.connect();
    loop_.world.borrow_mut().sockets[socket].write_room = 2;
    loop_.feed(socket, &["say:goodbye", "flush", "ignored"]);
    loop_.run();
    assert!(
        !loop_.world.borrow().sockets[socket].shut_down,
        "not everything is written"
    );
    loop_.world.borrow_mut().make_room(socket, usize::MAX);
    loop_.run();
    assert_eq!(loop_.written(socket), ["goodbye"]);
    assert!(loop_.world.borrow().sockets[socket].shut_down);
    assert!(
        !loop_.is_closed(socket),
        "an early close could destroy what the peer has not read"
    );
    loop_.feed(socket, &["ignored, too"]);
    loop_.run();
    assert!(
        loop_.world.borrow().sockets[socket].incoming.is_empty(),
        "read and discarded"
    );
    loop_.world.borrow_mut().end(socket);
    loop_.run();
    assert!(loop_.is_closed(socket));
    assert_eq!(
        loop_.diary(),
        ["open 0", "0: say:goodbye", "0: flush", "0: closed Local(1)"]
    );
}

#[test]
fn a_peer_that_does_not_close_gets_the_linger_time() {
    let mut loop_ = harness(Options::default());
    let socket = loop_.connect();
    loop_.feed(socket, &["close"]);
    loop_.run();
    assert!(loop_.world.borrow().sockets[socket].shut_down && !loop_.is_closed(socket));
    loop_.pass(Timeouts::default().linger + 3 * TICK);
    assert!(loop_.is_closed(socket));
    assert_eq!(
        loop_.diary().last().map(String::as_str),
        Some("0: closed Local(3)")
    );
}

#[test]
fn an_abort_drops_what_is_queued() {
    let mut loop_ = harness(Options::default());
    let socket = loop_.connect();
    loop_.feed(socket, &["say:never", "abort"]);
    loop_.run();
    assert!(loop_.is_closed(socket));
    assert!(loop_.written(socket).is_empty());
    assert_eq!(loop_.shared.connections(), 0);
}

#[test]
fn a_reset_ends_at_once() {
    let mut loop_ = harness(Options::default());
    let socket = loop_.connect();
    loop_.world.borrow_mut().sockets[socket].reset = true;
    loop_.world.borrow_mut().announce(socket, true, true, true);
    loop_.run();
    assert_eq!(loop_.diary(), ["open 0", "0: closed Reset"]);
}

#[test]
fn a_peer_that_is_gone_is_noticed_although_nothing_is_read() {
    let mut loop_ = harness(Options::default());
    let socket = loop_.connect();
    loop_.feed(socket, &["pause"]);
    loop_.run();
    loop_.diary();
    loop_.world.borrow_mut().break_off(socket);
    loop_.run();
    assert_eq!(loop_.diary(), ["0: closed Reset"]);
    assert!(loop_.is_closed(socket));
}

#[test]
fn an_application_can_answer_what_came_before_half_a_frame() {
    let mut loop_ = harness(Options::default());
    let socket = loop_.connect();
    let id = loop_.id(socket);
    loop_.feed(socket, &["keep"]);
    loop_.run();
    loop_.diary();
    loop_.world.borrow_mut().feed(socket, b"\x07half");
    loop_.world.borrow_mut().end(socket);
    loop_.run();
    assert_eq!(loop_.diary(), ["0: truncated 5"]);
    loop_.post(Message::Say(id, "late"));
    loop_.post(Message::Close(id));
    loop_.run();
    assert_eq!(loop_.written(socket), ["late"]);
    assert!(loop_.is_closed(socket));
}

#[test]
fn a_peer_that_has_not_got_everything_is_reset_and_others_are_not() {
    let mut loop_ = harness(Options::default());
    let sockets = [loop_.connect(), loop_.connect()];
    loop_.world.borrow_mut().sockets[sockets[0]].write_room = 10;
    for socket in sockets {
        loop_.feed(socket, &["many:3", "abort"]);
    }
    loop_.run();
    let world = loop_.world.borrow();
    let cut_off = sockets.map(|socket| (world.sockets[socket].closed, world.sockets[socket].cut_off));
    assert_eq!(
        cut_off,
        [(true, true), (true, true)],
        "nothing is written within a turn"
    );
    drop(world);
    let socket = loop_.connect();
    loop_.feed(socket, &["a", "flush"]);
    loop_.world.borrow_mut().end(socket);
    loop_.run();
    assert!(loop_.is_closed(socket) && !loop_.world.borrow().sockets[socket].cut_off);
}

#[test]
fn a_protocol_error_has_last_words() {
    let mut loop_ = harness(Options::default());
    let socket = loop_.connect();
    loop_.diary();
    loop_.world.borrow_mut().feed(socket, b"\x01a\xff");
    loop_.world.borrow_mut().end(socket);
    loop_.run();
    assert_eq!(loop_.written(socket), ["a", "bye"]);
    let diary = loop_.diary();
    assert_eq!(diary[1], "0: closing TruncatedFrame { have: 1 }");
    assert_eq!(diary[2], "0: closed TruncatedFrame { have: 1 }");
}

#[test]
fn deadlines_come_up_and_activity_moves_them() {
    let timeouts = Timeouts {
        idle: 10 * SECOND,
        ..Timeouts::default()
    };
    let mut loop_ = harness(Options {
        timeouts,
        ..Options::default()
    });
    let (silent, busy) = (loop_.connect(), loop_.connect());
    loop_.diary();
    for _ in 0..11 {
        loop_.feed(busy, &["a"]);
        loop_.pass(SECOND);
    }
    let diary = loop_.diary();
    assert!(diary.contains(&"0: closing IdleTimeout".to_owned()));
    assert_eq!(loop_.written(silent), ["bye"]);
    loop_.pass(3 * SECOND);
    assert!(loop_.is_closed(silent) && !loop_.is_closed(busy));
    loop_.pass(11 * SECOND);
    loop_.pass(3 * SECOND);
    assert!(loop_.is_closed(busy));
}

#[test]
fn a_frame_that_does_not_end_is_ended() {
    let timeouts = Timeouts {
        frame: 2 * SECOND,
        ..Timeouts::default()
    };
    let mut loop_ = harness(Options {
        timeouts,
        ..Options::default()
    });
    let socket = loop_.connect();
    for byte in &frame("slowly")[..4] {
        loop_.world.borrow_mut().feed(socket, &[*byte]);
        loop_.pass(SECOND);
    }
    assert_eq!(loop_.written(socket), ["bye"]);
    assert!(loop_.diary().contains(&"0: closing FrameTimeout".to_owned()));
}

#[test]
fn timers_do_not_pile_up() {
    let timeouts = Timeouts {
        frame: 10 * SECOND,
        ..Timeouts::default()
    };
    let mut loop_ = harness(Options {
        timeouts,
        ..Options::default()
    });
    let socket = loop_.connect();
    let frame = frame("now and then");
    for _ in 0..200 {
        loop_.world.borrow_mut().feed(socket, &frame[..3]);
        loop_.pass(SECOND);
        loop_.world.borrow_mut().feed(socket, &frame[3..]);
        loop_.pass(SECOND);
        assert!(loop_.reactor.wheel.len() <= 6, "{}", loop_.reactor.wheel.len());
    }
    assert_eq!(loop_.written(socket).len(), 200);
}

#[test]
fn a_stalled_peer_is_aborted() {
    let timeouts = Timeouts {
        write_stall: 5 * SECOND,
        ..Timeouts::default()
    };
    let mut loop_ = harness(Options {
        timeouts,
        ..Options::default()
    });
    let socket = loop_.connect();
    loop_.world.borrow_mut().sockets[socket].write_room = 0;
    loop_.feed(socket, &["a"]);
    loop_.run();
    loop_.pass(4 * SECOND);
    loop_.world.borrow_mut().make_room(socket, 1);
    loop_.run();
    loop_.pass(4 * SECOND);
    assert!(!loop_.is_closed(socket), "a byte was written meanwhile");
    loop_.pass(2 * SECOND);
    assert!(loop_.is_closed(socket));
    assert_eq!(
        loop_.diary().last().map(String::as_str),
        Some("0: closed WriteStalled")
    );
}

#[test]
fn a_drain_tells_everyone_and_aborts_the_rest_at_its_deadline() {
    let mut loop_ = harness(Options::default());
    let (quick, stubborn) = (loop_.connect(), loop_.connect());
    loop_.diary();
    loop_
        .shared
        .begin_drain(loop_.world.borrow().now + 10 * SECOND, Duration::ZERO);
    signal(&loop_, Signals::DRAIN);
    loop_.run();
    assert!(
        loop_.world.borrow().listener_token.is_none(),
        "no new connections"
    );
    assert_eq!(loop_.written(quick), ["drain"]);
    assert_eq!(loop_.written(stubborn), ["drain"]);
    loop_.feed(quick, &["still served", "close"]);
    loop_.world.borrow_mut().end(quick);
    loop_.run();
    assert_eq!(loop_.written(quick), ["still served"]);
    assert!(loop_.is_closed(quick) && !loop_.is_closed(stubborn));
    loop_.pass(10 * SECOND);
    assert!(loop_.is_closed(stubborn));
    let drain = loop_.shared.drain();
    assert_eq!((drain.drained, drain.aborted), (1, 1));
    assert_eq!(
        loop_.diary().last().map(String::as_str),
        Some("1: closed Drained")
    );
}

#[test]
fn a_stop_writes_what_it_can_and_closes_everything() {
    let mut loop_ = harness(Options::default());
    let socket = loop_.connect();
    loop_.diary();
    signal(&loop_, Signals::STOP);
    assert!(!loop_.turn());
    assert!(loop_.is_closed(socket));
    assert_eq!(loop_.diary(), ["0: closed Stopped"]);
    assert_eq!(loop_.shared.connections(), 0);
    assert!(
        loop_
            .remote
            .post(crate::id::LoopId(0), Message::Note("late"))
            .is_err()
    );
}

#[test]
fn connections_that_come_and_go_leave_no_timers_behind() {
    let mut loop_ = harness(Options::default());
    for _ in 0..100 {
        let socket = loop_.connect();
        // Half a frame has a deadline of its own.
        loop_.world.borrow_mut().feed(socket, &[5, b'h']);
        loop_.run();
        loop_.world.borrow_mut().end(socket);
        loop_.run();
        assert!(loop_.is_closed(socket));
    }
    assert!(loop_.reactor.wheel.len() <= 2, "{}", loop_.reactor.wheel.len());
}
