//! Bytes in, frames, bytes out.

use super::harness::{Harness, Message, Options, frame, harness};
use crate::config::{Budgets, Limits, Outbound};
use crate::limits::READ_BYTES_UNDER_PRESSURE;
use crate::worker::WorkerPool;
use std::time::Duration;

#[test]
fn frames_of_one_turn_are_answered_with_one_write() {
    let mut loop_ = harness(Options::default());
    let socket = loop_.connect();
    loop_.feed(socket, &["a", "b", "c"]);
    loop_.turn();
    assert_eq!(loop_.written(socket), ["a", "b", "c"]);
    let world = loop_.world.borrow();
    assert_eq!(
        (world.sockets[socket].reads, world.sockets[socket].writes),
        (1, 1)
    );
}

#[test]
fn an_idle_loop_sleeps_and_owns_nothing_for_its_connections() {
    let mut loop_ = harness(Options::default());
    let socket = loop_.connect();
    loop_.feed(socket, &["a"]);
    loop_.world.borrow_mut().feed(socket, &frame("later")[..3]);
    loop_.run();
    assert!(loop_.reactor.held_bytes > 0);
    loop_.world.borrow_mut().feed(socket, &frame("later")[3..]);
    loop_.run();
    assert_eq!(loop_.written(socket), ["a", "later"]);
    assert_eq!(loop_.reactor.held_bytes, 0);
    let id = loop_.id(socket);
    assert!(loop_.reactor.state.slots.get(id).unwrap().core.is_idle());
    // The first deadline is the idle one, two minutes away; the wheel looks once per revolution.
    assert!(*loop_.world.borrow().timeouts.last().unwrap() > Duration::from_secs(30));
}

#[test]
fn events_for_a_connection_that_is_gone_do_not_reach_the_next_owner_of_its_slot() {
    let mut loop_ = harness(Options::default());
    let first = loop_.connect();
    let stale = loop_.id(first);
    loop_.feed(first, &["abort"]);
    loop_.turn();
    assert!(loop_.is_closed(first));
    let second = loop_.connect();
    assert_eq!(loop_.id(second).index(), stale.index(), "the slot is used again");
    loop_.diary();

    // The kernel had queued these for the first connection.
    let token = stale.as_u64();
    for (readable, writable, end) in [(true, false, false), (true, true, true)] {
        let event = super::super::io::Readiness {
            token,
            readable,
            writable,
            end,
            broken: false,
        };
        loop_.world.borrow_mut().events.push(event);
    }
    loop_.post(Message::Say(stale, "wrong"));
    loop_.run();
    assert_eq!(loop_.diary(), ["nobody"]);
    assert_eq!(loop_.world.borrow().sockets[second].reads, 0);
    assert!(loop_.written(second).is_empty() && !loop_.is_closed(second));
}

#[test]
fn a_slot_is_not_used_again_within_the_turn_that_frees_it() {
    let mut loop_ = harness(Options::default());
    let first = loop_.connect();
    loop_.feed(first, &["abort"]);
    let second = loop_.world.borrow_mut().connect();
    loop_.run();
    assert_ne!(loop_.id(first).index(), loop_.id(second).index());
}

#[test]
fn pausing_stops_frames_that_were_read_already_and_resuming_needs_no_event() {
    let mut loop_ = harness(Options::default());
    let socket = loop_.connect();
    loop_.diary();
    loop_.feed(socket, &["pause", "a"]);
    loop_.run();
    loop_.feed(socket, &["b"]);
    loop_.run();
    assert_eq!(loop_.diary(), ["0: pause"]);
    loop_.post(Message::Resume(loop_.id(socket)));
    loop_.run();
    assert_eq!(loop_.diary(), ["0: a", "0: b"]);
    assert_eq!(loop_.written(socket), ["a", "b"]);
}

#[test]
fn a_short_write_is_completed_when_there_is_room() {
    let mut loop_ = harness(Options::default());
    let socket = loop_.connect();
    loop_.world.borrow_mut().sockets[socket].write_room = 3;
    loop_.feed(socket, &["hello", "you"]);
    loop_.run();
    assert_eq!(
        loop_.world.borrow().sockets[socket].writes,
        1,
        "a short write means no room"
    );
    loop_.world.borrow_mut().make_room(socket, usize::MAX);
    loop_.run();
    assert_eq!(loop_.written(socket), ["hello", "you"]);
}

#[test]
fn a_connection_at_full_speed_leaves_every_turn_to_the_others() {
    let budgets = Budgets {
        reads: 2,
        bytes: 100_000,
        frames: 10,
        ..Budgets::default()
    };
    let mut loop_ = harness(Options {
        budgets,
        ..Options::default()
    });
    let (hot, cold) = (loop_.connect(), loop_.connect());
    let flood = frame("x").repeat(5_000);
    loop_.world.borrow_mut().feed(hot, &flood);
    loop_.diary();
    for turn in 1..=20 {
        loop_.feed(cold, &["ping"]);
        loop_.turn();
        assert_eq!(loop_.written(cold), ["ping"], "in turn {turn}");
        assert!(loop_.written(hot).len() <= 10, "in turn {turn}");
        assert!(loop_.world.borrow().timeouts.last().unwrap().is_zero() || turn == 1);
    }
    // And the hot one loses nothing.
    loop_.diary();
    loop_.run();
    assert_eq!(loop_.written(hot).len(), 5_000 - 20 * 10);
}

#[test]
fn a_peer_that_does_not_read_is_not_read_from_and_others_are_not_affected() {
    let outbound = Outbound {
        low_water: 100,
        high_water: 1000,
        limit: 2000,
        reply_reserve: 0,
        ..Outbound::default()
    };
    let mut loop_ = harness(Options {
        outbound,
        ..Options::default()
    });
    let (slow, other) = (loop_.connect(), loop_.connect());
    loop_.world.borrow_mut().sockets[slow].write_room = 0;
    loop_.diary();
    for _ in 0..100 {
        loop_.feed(slow, &["many:5"]);
        loop_.feed(other, &["a"]);
        loop_.run();
    }
    assert_eq!(loop_.written(other).len(), 100);
    let handled = loop_.diary().iter().filter(|entry| *entry == "0: many:5").count();
    assert_eq!(handled, 3, "1500 bytes are above high water");
    let id = loop_.id(slow);
    let core = &loop_.reactor.state.slots.get(id).unwrap().core;
    assert_eq!(core.queued_bytes(), 1500);
    assert!(core.held_bytes() < 100, "what is not handled stays in the kernel");

    loop_.world.borrow_mut().make_room(slow, usize::MAX);
    loop_.run();
    let diary = loop_.diary();
    assert_eq!(diary.first().map(String::as_str), Some("0: writable"));
    assert_eq!(diary.iter().filter(|entry| *entry == "0: many:5").count(), 97);
}

#[test]
fn a_refused_frame_is_followed_by_on_writable() {
    let outbound = Outbound {
        low_water: 100,
        high_water: 1000,
        limit: 1000,
        reply_reserve: 0,
        ..Outbound::default()
    };
    let mut loop_ = harness(Options {
        outbound,
        ..Options::default()
    });
    let socket = loop_.connect();
    loop_.world.borrow_mut().sockets[socket].write_room = 0;
    loop_.diary();
    loop_.feed(socket, &["many:11"]);
    loop_.run();
    assert_eq!(loop_.diary(), ["0: many:11", "full"]);
    loop_.world.borrow_mut().make_room(socket, usize::MAX);
    loop_.run();
    assert_eq!(loop_.diary(), ["0: writable"]);
}

fn undecoded(loop_: &Harness) -> usize {
    loop_.reactor.held_bytes
}

#[test]
fn a_loop_that_holds_too_much_reads_little_at_a_time() {
    let limits = Limits {
        undecoded_bytes: 10_000,
        ..Limits::default()
    };
    let mut loop_ = harness(Options {
        limits,
        ..Options::default()
    });
    let (first, second) = (loop_.connect(), loop_.connect());
    let flood = [frame("pause"), frame("x").repeat(15_000)].concat();
    loop_.world.borrow_mut().feed(first, &flood);
    loop_.run();
    let held = undecoded(&loop_);
    assert!(held > 10_000, "one connection can fill the budget");
    loop_.world.borrow_mut().feed(second, &flood);
    loop_.run();
    assert!(undecoded(&loop_) - held <= READ_BYTES_UNDER_PRESSURE);
    loop_.post(Message::Resume(loop_.id(first)));
    loop_.post(Message::Resume(loop_.id(second)));
    loop_.run();
    assert_eq!(loop_.written(first).len(), 15_000);
    assert_eq!(loop_.written(second).len(), 15_000);
    assert_eq!(undecoded(&loop_), 0);
}

#[test]
fn a_refused_task_is_kept_and_reading_goes_on_when_there_is_room() {
    let (permit, permissions) = crossbeam_channel::bounded(10);
    let (began, begins) = crossbeam_channel::bounded(10);
    let pool = WorkerPool::builder()
        .threads(1)
        .queue(1)
        .start(move |_| Ok::<_, String>(permissions.clone()))
        .unwrap();
    pool.on_room(move || began.send(()).unwrap());
    let mut loop_ = harness(Options {
        pool: Some(pool.clone()),
        ..Options::default()
    });
    let socket = loop_.connect();
    loop_.diary();
    // One runs, or waits; at most one more waits; so at most three fit and the fourth frame is not handled.
    loop_.feed(socket, &["work", "work", "work", "after"]);
    loop_.run();
    let refused = loop_.diary().len();
    assert!((2..=3).contains(&refused), "{refused}");
    assert!(loop_.written(socket).is_empty());

    for _ in 0..3 {
        permit.send(()).unwrap();
    }
    while loop_.written(socket).is_empty() {
        begins.recv_timeout(Duration::from_secs(60)).unwrap();
        loop_.run();
        if loop_.diary().contains(&"0: after".to_owned()) {
            break;
        }
    }
    pool.shutdown();
    assert_eq!(pool.stats().completed, 3, "every task ran once");
}

#[test]
fn any_callback_offloads_and_one_task_waits_for_room() {
    let (permit, permissions) = crossbeam_channel::bounded(10);
    let (began, begins) = crossbeam_channel::bounded(10);
    let pool = WorkerPool::builder()
        .threads(1)
        .queue(1)
        .start(move |_| permissions.clone())
        .unwrap();
    pool.on_room(move || began.send(()).unwrap());
    let mut loop_ = harness(Options {
        pool: Some(pool.clone()),
        ..Options::default()
    });
    let socket = loop_.connect();
    loop_.diary();
    // One runs, or waits; at most one more waits in the pool, and one here. The others come back.
    loop_.feed(socket, &["offload:5", "after"]);
    loop_.run();
    let refused = loop_.diary().iter().filter(|entry| *entry == "not taken").count();
    assert!((2..=3).contains(&refused), "{refused}");
    assert!(loop_.written(socket).is_empty(), "reading pauses meanwhile");

    for _ in 0..3 {
        permit.send(()).unwrap();
    }
    while loop_.written(socket).is_empty() {
        begins.recv_timeout(Duration::from_secs(60)).unwrap();
        loop_.run();
        if loop_.diary().contains(&"0: after".to_owned()) {
            break;
        }
    }
    pool.shutdown();
    assert_eq!(pool.stats().completed, 5 - refused as u64);
}

#[test]
fn without_a_pool_a_task_comes_back() {
    let mut loop_ = harness(Options::default());
    let socket = loop_.connect();
    loop_.diary();
    loop_.feed(socket, &["offload:1", "after"]);
    loop_.run();
    assert_eq!(loop_.diary(), ["0: offload:1", "not taken", "0: after"]);
}

#[test]
fn a_panic_in_a_frame_costs_its_connection_only() {
    let mut loop_ = harness(Options::default());
    let (bad, good) = (loop_.connect(), loop_.connect());
    loop_.diary();
    loop_.feed(bad, &["a", "panic", "b"]);
    loop_.feed(good, &["c"]);
    loop_.run();
    assert_eq!(
        loop_.diary(),
        ["0: a", "0: panic", "0: closing HandlerPanicked", "1: c"]
    );
    assert_eq!(loop_.written(bad), ["a", "bye"]);
    loop_.world.borrow_mut().end(bad);
    loop_.run();
    assert_eq!(loop_.diary(), ["0: closed HandlerPanicked"]);
    loop_.post(Message::Panic);
    loop_.post(Message::Note("still here"));
    loop_.run();
    assert_eq!(loop_.diary(), ["still here"]);
}

#[test]
fn messages_beyond_the_budget_wait_for_the_next_turn() {
    let budgets = Budgets {
        commands: 2,
        ..Budgets::default()
    };
    let mut loop_ = harness(Options {
        budgets,
        ..Options::default()
    });
    for text in ["a", "b", "c"] {
        loop_.post(Message::Note(text));
    }
    loop_.turn();
    assert_eq!(loop_.diary(), ["a", "b"]);
    loop_.turn();
    assert!(loop_.world.borrow().timeouts.last().unwrap().is_zero());
    assert_eq!(loop_.diary(), ["c"]);
}

#[test]
fn the_end_of_a_turn_is_called_once_and_what_it_sends_is_written_at_once() {
    let mut loop_ = harness(Options::default());
    let socket = loop_.connect();
    let before = loop_.reactor.handler.turn_ends;
    loop_.post(Message::SayAtTurnEnd(loop_.id(socket), "together"));
    loop_.feed(socket, &["a", "b"]);
    loop_.turn();
    assert_eq!(loop_.reactor.handler.turn_ends, before + 1);
    assert_eq!(loop_.written(socket), ["a", "b", "together"]);
    assert_eq!(loop_.world.borrow().sockets[socket].writes, 1);
}

#[test]
fn ticks_come_every_so_often() {
    let every = Duration::from_millis(100);
    let mut loop_ = harness(Options {
        tick: Some(every),
        ..Options::default()
    });
    loop_.run();
    assert!(loop_.diary().is_empty());
    assert_eq!(*loop_.world.borrow().timeouts.last().unwrap(), every);
    loop_.pass(every);
    loop_.pass(every / 2);
    assert_eq!(loop_.diary(), ["tick"]);
    loop_.pass(10 * every);
    assert_eq!(loop_.diary(), ["tick"], "missed ones are not made up for");
}

#[test]
fn all_connections_of_a_loop_can_be_named() {
    let mut loop_ = harness(Options::default());
    let sockets = [loop_.connect(), loop_.connect(), loop_.connect()];
    loop_.feed(sockets[1], &["abort"]);
    loop_.run();
    let cx = crate::context::LoopCx::new(&mut loop_.reactor.state);
    let named = cx.connection_ids();
    assert_eq!(named, [loop_.id(sockets[0]), loop_.id(sockets[2])]);
}

#[test]
fn an_idle_connection_is_small() {
    let slot = size_of::<crate::context::Slot<super::harness::Obedient>>();
    assert!(slot <= 200, "{slot} bytes");
}
