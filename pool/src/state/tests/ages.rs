//! What happens because time passes.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn aging() -> PoolSettings {
    PoolSettings {
        max_lifetime: Some(SECOND * 100),
        idle_timeout: Some(SECOND * 50),
        keepalive: None,
        validate_after_idle: Duration::MAX,
        housekeeping: SECOND * 10,
        ..settings()
    }
}

#[test]
fn a_lifetime_ends_at_check_in() {
    let mut world = World::new(&aging()).with_idle(1);
    world.get();
    world.pass(SECOND * 100);
    world.tick();
    assert_eq!(world.closed, [], "not while it is leased");
    world.give_back(0, Verdict::Good);
    assert_eq!(
        (
            world.closed_for(CloseReason::Lifetime),
            world.state.status().total
        ),
        (1, 0)
    );
}

#[test]
fn a_lifetime_ends_at_check_out() {
    let mut world = World::new(&aging()).with_idle(2);
    world.pass(SECOND * 100);
    assert_eq!(world.get(), None);
    assert_eq!(
        (world.closed_for(CloseReason::Lifetime), world.open_wanted()),
        (2, 1)
    );
    assert_eq!(world.leases[0].inner, 2);
}

#[test]
fn the_housekeeper_retires_few_at_a_time() {
    let settings = PoolSettings {
        max: 5,
        idle_timeout: None,
        ..aging()
    };
    let mut world = World::new(&settings).with_idle(5);
    world.pass(SECOND * 100);
    world.tick();
    assert_eq!(world.closed, [0, 1]);
}

#[test]
fn chance_shortens_lifetimes_by_a_fortieth_at_most() {
    let whole = SECOND * 1000;
    assert_eq!(shortened(whole, 0, 25), whole);
    assert_eq!(shortened(whole, 1000, 25), SECOND * 975);
    assert_eq!(shortened(whole, u32::MAX, 25), SECOND * 975);
}

#[test]
fn a_replacement_is_opened_before_the_old_connection_is_closed() {
    let settings = PoolSettings {
        max: 1,
        min_idle: None,
        ..aging()
    };
    let mut world = World::new(&settings);
    assert_eq!(world.open_wanted(), 1);
    world.pass(SECOND * 79);
    world.tick();
    assert_eq!(world.open_wanted(), 0);
    world.pass(SECOND * 10);
    world.tick();
    assert!(world.ask_connect().is_none());
    assert_eq!((world.idle(), world.closed.len()), (vec![0], 0));
    assert!(matches!(world.ask_connect(), Some(NextConnect::Wait(None))));
    world.connect_ends(Ok(()));
    assert_eq!(
        (world.idle(), world.closed_for(CloseReason::Lifetime)),
        (vec![1], 1)
    );
    assert_eq!(world.open_wanted(), 0);
}

#[test]
fn rare_turns_do_not_replace_young_connections() {
    let settings = PoolSettings {
        max: 1,
        min_idle: None,
        housekeeping: SECOND * 3600,
        ..aging()
    };
    let mut world = World::new(&settings);
    world.open_wanted();
    world.pass(SECOND * 79);
    world.tick();
    assert_eq!(world.open_wanted(), 0);
    world.pass(SECOND);
    world.tick();
    assert_eq!(world.open_wanted(), 1);
}

#[test]
fn a_replaced_connection_that_is_leased_goes_when_it_comes_back() {
    let settings = PoolSettings {
        max: 1,
        min_idle: None,
        ..aging()
    };
    let mut world = World::new(&settings);
    world.open_wanted();
    world.pass(SECOND * 89);
    world.tick();
    world.ask_connect();
    assert_eq!(world.get(), Some(0));
    world.connect_ends(Ok(()));
    assert_eq!(world.idle(), [1]);
    world.give_back(0, Verdict::Good);
    assert_eq!((world.idle(), world.closed), (vec![1], vec![0]));
}

#[test]
fn unused_connections_go_oldest_first_down_to_those_kept() {
    let settings = PoolSettings {
        max: 4,
        min_idle: Some(1),
        max_lifetime: None,
        ..aging()
    };
    let mut world = World::new(&settings);
    world.open_wanted();
    let mut world = world.with_idle(4);
    world.pass(SECOND * 20);
    let used = world.get().unwrap();
    world.give_back_all();
    world.pass(SECOND * 49);
    world.tick();
    assert_eq!(world.closed_for(CloseReason::Idle), 3);
    assert_eq!(world.idle(), [used]);
    world.pass(SECOND * 100);
    world.tick();
    assert_eq!((world.idle(), world.open_wanted()), (vec![used], 0));
}

#[test]
fn in_a_pool_of_fixed_size_idle_time_means_nothing() {
    let settings = PoolSettings {
        min_idle: None,
        max_lifetime: None,
        ..aging()
    };
    let mut world = World::new(&settings);
    world.open_wanted();
    world.pass(SECOND * 1000);
    world.tick();
    assert_eq!(world.idle().len(), 3);
}

#[test]
fn keepalives_test_one_connection_at_a_time_and_leave_its_place() {
    let settings = PoolSettings {
        keepalive: Some(SECOND * 30),
        max_lifetime: None,
        ..aging()
    };
    let mut world = World::new(&settings).with_idle(1);
    world.pass(SECOND * 20);
    let mut world = world.with_two_more();
    world.pass(SECOND * 10);
    world.tick();
    assert_eq!((world.ask_check(), world.ask_check()), (Some(0), None));
    assert_eq!(world.get(), Some(2), "the others are there meanwhile");
    world.give_back_all();
    world.check_ends(true);
    assert_eq!(world.idle(), [0, 1, 2]);
    assert_eq!(world.state.idle[0].used, world.now);
}

impl World {
    fn with_two_more(mut self) -> Self {
        for _ in 0..3 {
            self.get();
        }
        self.open_wanted();
        // The first stays unused since the beginning.
        let first = self.leases.remove(0);
        let long_ago = self.now - SECOND * 20;
        self.state.give_back(first, Verdict::Good, long_ago);
        self.give_back_all();
        self
    }
}

#[test]
fn a_connection_that_does_not_answer_the_keepalive_is_closed() {
    let settings = PoolSettings {
        keepalive: Some(SECOND * 30),
        ..aging()
    };
    let mut world = World::new(&settings).with_idle(1);
    world.pass(SECOND * 30);
    world.tick();
    world.ask_check();
    world.check_ends(false);
    assert_eq!(
        (world.closed_for(CloseReason::Invalid), world.open_wanted()),
        (1, 0)
    );
}

#[test]
fn a_lease_held_too_long_is_told_once_and_again_when_it_ends() {
    let settings = PoolSettings {
        max_lifetime: None,
        ..aging()
    };
    let mut world = World::new(&settings).with_idle(1);
    world.get();
    for _ in 0..9 {
        world.pass(SECOND * 10);
        world.tick();
    }
    world.give_back_all();
    assert_eq!(world.events, ["leak 60s", "leak ended 90s"]);
    assert_eq!(world.state.statistics().leaks, 1);
}

#[test]
fn clocks_that_leap_have_every_connection_tested() {
    for (monotonic, wall) in [(10, 100), (100, 100), (10, -40), (10, 45)] {
        let settings = PoolSettings {
            max_lifetime: None,
            idle_timeout: None,
            ..aging()
        };
        let mut world = World::new(&settings).with_idle(2);
        world.tick();
        world.now += SECOND * monotonic;
        world.wall = Duration::from_secs((1_000_000 + wall) as u64);
        world.tick();
        assert_eq!(world.events, ["leap"], "{monotonic} {wall}");
        assert_eq!(
            (world.ask_check(), world.ask_check(), world.ask_check()),
            (Some(0), Some(1), None)
        );
    }
    let mut world = World::new(&aging()).with_idle(1);
    world.tick();
    world.pass(SECOND * 12);
    world.wall += SECOND;
    world.tick();
    assert!(world.events.is_empty() && world.ask_check().is_none());
}

#[test]
fn tests_that_mostly_fail_are_reported() {
    let mut world = World::new(&PoolSettings {
        validate_after_idle: Duration::ZERO,
        ..aging()
    });
    for round in 0..10 {
        world.get();
        world.open_wanted();
        world.give_back_all();
        world.get();
        world.ask_check().unwrap();
        world.check_ends(round >= 6);
        world.open_wanted();
        let place = world.leases.len() - 1;
        world.give_back(place, Verdict::Bad(CloseReason::Tainted));
    }
    world.tick();
    assert_eq!(world.events, ["6 of 10 failed"]);
    world.tick();
    assert_eq!(world.events.len(), 1);
}
