//! Which caller gets which connection, and what comes back.

use super::*;

#[test]
fn the_connection_used_last_is_handed_out_first() {
    let mut world = World::new(&settings()).with_idle(3);
    assert_eq!(world.get(), Some(2));
    assert_eq!(world.get(), Some(1));
    world.give_back(0, Verdict::Good);
    assert_eq!(world.idle(), [0, 2]);
}

#[test]
fn a_newcomer_does_not_overtake_those_who_wait() {
    let mut world = World::new(&PoolSettings { max: 1, ..settings() }).with_idle(1);
    world.get();
    assert_eq!((world.get(), world.get()), (None, None));
    world.give_back(0, Verdict::Good);
    // Handed over, not put aside: the next newcomer queues behind.
    assert_eq!((world.leases.len(), world.waiting.len()), (1, 1));
    assert_eq!(world.get(), None);
    assert_eq!(world.waiting.len(), 2);
}

#[test]
fn a_caller_who_gives_up_leaves_the_others_in_order() {
    let mut world = World::new(&PoolSettings { max: 1, ..settings() }).with_idle(1);
    world.get();
    for _ in 0..3 {
        world.get();
    }
    let (_, ticket) = world.waiting.remove(1).unwrap();
    world.pass(ms(7));
    assert_eq!(world.state.give_up(ticket, world.now), Some(ms(7)));
    for _ in 0..3 {
        world.give_back(0, Verdict::Good);
    }
    assert_eq!((world.state.status().idle, world.state.status().waiting), (1, 0));
    let statistics = world.state.statistics();
    assert_eq!((statistics.timeouts, statistics.wait_longest), (1, ms(7)));
}

#[test]
fn an_answer_that_was_given_before_the_deadline_is_found() {
    let mut world = World::new(&PoolSettings { max: 1, ..settings() }).with_idle(1);
    world.get();
    world.get();
    let ticket = world.waiting[0].1;
    world.give_back(0, Verdict::Good);
    assert_eq!(world.state.give_up(ticket, world.now), None);
    assert_eq!(world.state.statistics().timeouts, 0);
}

#[test]
fn more_callers_than_may_wait_are_refused() {
    let settings = PoolSettings {
        waiting_max: 2,
        ..settings()
    };
    let mut world = World::new(&settings);
    for _ in 0..3 {
        world.get();
    }
    assert_eq!(world.refused, [(2, "Overloaded".to_owned())]);
    assert_eq!(world.state.statistics().overloads, 1);
}

#[test]
fn what_must_not_come_back_is_closed_for_its_reason() {
    let bad = [
        CloseReason::Broken,
        CloseReason::Tainted,
        CloseReason::Panicked,
        CloseReason::Reset,
    ];
    for reason in bad {
        let mut world = World::new(&settings()).with_idle(1);
        world.get();
        world.give_back(0, Verdict::Bad(reason));
        assert_eq!(
            (world.closed.as_slice(), world.closed_for(reason)),
            ([0].as_slice(), 1)
        );
        assert_eq!(world.state.status().total, 0);
    }
}

#[test]
fn a_broken_connection_makes_all_others_suspect() {
    let mut world = World::new(&settings()).with_idle(3);
    assert_eq!((world.get(), world.get()), (Some(2), Some(1)));
    world.give_back(0, Verdict::Bad(CloseReason::Broken));
    // Fresh as it is, it must be tested first.
    assert_eq!(world.get(), None);
    assert_eq!(world.ask_check(), Some(0));
    world.check_ends(true);
    assert_eq!(world.leases.len(), 2);
    // So must the one that was out when the other broke, once a caller waits for it.
    world.get();
    world.give_back(0, Verdict::Good);
    assert_eq!(world.ask_check(), Some(1));
    world.check_ends(true);
    assert!(world.waiting.is_empty());
}

#[test]
fn a_dirty_connection_is_cleaned_before_anyone_gets_it() {
    let mut world = World::new(&PoolSettings { max: 1, ..settings() }).with_idle(1);
    world.get();
    world.get();
    world.give_back(0, Verdict::Dirty);
    assert_eq!((world.ask_check(), world.leases.len()), (Some(0), 0));
    assert_eq!(world.checks[0].kind, CheckKind::Clean);
    world.check_ends(true);
    assert_eq!(world.leases.len(), 1);
}

#[test]
fn an_idle_connection_is_tested_after_the_bypass_and_not_before() {
    let mut world = World::new(&settings()).with_idle(1);
    world.pass(ms(499));
    assert_eq!(world.get(), Some(0));
    world.give_back(0, Verdict::Good);
    world.pass(ms(500));
    assert_eq!(world.get(), None);
    assert_eq!(world.ask_check(), Some(0));
    world.check_ends(true);
    assert_eq!(world.leases.len(), 1);
    // Nothing was opened for the caller that the test would serve.
    assert_eq!(world.open_wanted(), 0);
}

#[test]
fn a_failed_test_leads_on_to_the_next_connection_and_then_to_a_new_one() {
    let mut world = World::new(&settings()).with_idle(2);
    world.pass(ms(600));
    world.get();
    for number in [1, 0] {
        assert_eq!(world.ask_check(), Some(number));
        world.check_ends(false);
    }
    assert_eq!(world.closed_for(CloseReason::Invalid), 2);
    assert_eq!(world.open_wanted(), 1);
    assert_eq!(world.leases.len(), 1);
}

#[test]
fn whoever_only_looks_finds_a_tested_connection_the_next_time() {
    let mut world = World::new(&settings()).with_idle(1);
    world.pass(ms(600));
    world.state.passed_by(world.now);
    assert_eq!(world.ask_check(), Some(0));
    world.check_ends(true);
    assert_eq!(world.get(), Some(0));
}

#[test]
fn a_detached_connection_makes_room_for_another() {
    let mut world = World::new(&PoolSettings { max: 1, ..settings() }).with_idle(1);
    world.get();
    world.get();
    let conn = world.leases.remove(0);
    assert_eq!(world.state.detach(conn, world.now), 0);
    world.collect();
    assert_eq!((world.open_wanted(), world.leases.len()), (1, 1));
    assert_eq!(world.closed_for(CloseReason::Detached), 1);
}

#[test]
fn a_paused_pool_hands_out_nothing_and_opens_nothing() {
    let mut world = World::new(&settings()).with_idle(1);
    world.state.pause();
    assert_eq!((world.get(), world.get()), (None, None));
    assert_eq!(world.open_wanted(), 0);
    world.state.resume(world.now);
    world.collect();
    assert_eq!(
        (world.leases.len(), world.open_wanted(), world.leases.len()),
        (1, 1, 2)
    );
}

#[test]
fn a_smaller_maximum_closes_idle_connections_now_and_others_as_they_come_back() {
    let mut world = World::new(&settings()).with_idle(3);
    world.get();
    world.get();
    world.state.set_max(1, world.now);
    world.collect();
    assert_eq!(world.closed, [0]);
    world.give_back_all();
    assert_eq!(
        (world.closed_for(CloseReason::Surplus), world.idle()),
        (2, vec![1])
    );
}

#[test]
fn retired_connections_never_come_back() {
    let mut world = World::new(&settings()).with_idle(2);
    world.get();
    world.state.retire_all(world.now);
    world.collect();
    world.give_back_all();
    assert_eq!(
        (world.closed_for(CloseReason::Retired), world.state.status().total),
        (2, 0)
    );
    // One whose opening had begun is as old.
    world.get();
    world.ask_connect();
    world.state.retire_all(world.now);
    world.connect_ends(Ok(()));
    assert_eq!(
        (world.closed_for(CloseReason::Retired), world.leases.len()),
        (3, 0)
    );
    world.open_wanted();
    assert_eq!(world.leases.len(), 1);
}

#[test]
fn the_end_is_told_to_all_who_wait_and_closes_whatever_comes_back() {
    let mut world = World::new(&PoolSettings { max: 2, ..settings() }).with_idle(2);
    world.pass(ms(600));
    world.get();
    world.ask_check();
    world.check_ends(true);
    for _ in 0..3 {
        world.get();
    }
    assert_eq!(world.ask_check(), Some(0));
    world.state.close_pool();
    world.collect();
    assert_eq!(world.refused.len(), 3);
    world.check_ends(true);
    world.give_back_all();
    let status = world.state.status();
    assert_eq!((status.total, status.waiting, world.closed.len()), (0, 0, 2));
    world.get();
    assert_eq!(world.refused.last(), Some(&(6, "Closed".to_owned())));
}

#[test]
fn what_the_closing_thread_cannot_take_is_closed_by_whoever_gave_it_up() {
    let many = 70;
    let settings = PoolSettings {
        max: many,
        ..settings()
    };
    let mut world = World::new(&settings).with_idle(many);
    world.state.retire_all(world.now);
    assert_eq!(world.state.out().dropped.len(), many as usize - CLOSING_MAX);
    world.collect();
    assert_eq!(world.closed.len(), many as usize);
}
