//! When connections are opened.

use super::*;

fn until(next: Option<NextConnect>, world: &World) -> Duration {
    match next {
        Some(NextConnect::Wait(Some(until))) => until - world.now,
        other => panic!("not a pause: {other:?}"),
    }
}

#[test]
fn a_pool_of_fixed_size_fills_itself() {
    let settings = PoolSettings {
        min_idle: None,
        ..settings()
    };
    let mut world = World::new(&settings);
    assert_eq!(world.open_wanted(), 3);
}

#[test]
fn idle_connections_are_kept_ready_beside_those_leased() {
    let settings = PoolSettings {
        max: 4,
        min_idle: Some(2),
        ..settings()
    };
    let mut world = World::new(&settings);
    assert_eq!(world.open_wanted(), 2);
    world.get();
    assert!(world.state.out().wake_connector);
    assert_eq!(world.open_wanted(), 1);
    world.get();
    world.get();
    assert_eq!(world.open_wanted(), 1, "the maximum holds");
}

#[test]
fn a_burst_that_is_over_before_the_database_answers_opens_little() {
    let settings = PoolSettings {
        max: 50,
        ..settings()
    };
    let mut world = World::new(&settings);
    for _ in 0..50 {
        world.get();
    }
    assert!(world.ask_connect().is_none() && world.ask_connect().is_none());
    world.connect_ends(Ok(()));
    // Quick queries: one connection serves everybody before the second is there.
    for _ in 0..50 {
        world.give_back(0, Verdict::Good);
    }
    world.connect_ends(Ok(()));
    assert_eq!(
        (world.open_wanted(), world.opened, world.waiting.len()),
        (0, 2, 0)
    );
}

#[test]
fn pauses_double_while_the_database_is_down_and_one_attempt_probes() {
    let mut world = World::new(&settings());
    for _ in 0..3 {
        world.get();
    }
    assert!(world.ask_connect().is_none());
    let mut pauses = Vec::new();
    for _ in 0..11 {
        world.connect_ends(Err(("down", false)));
        let next = world.ask_connect();
        let pause = until(next, &world);
        pauses.push(pause.as_millis());
        world.pass(pause);
        assert!(world.ask_connect().is_none());
        assert!(
            matches!(world.ask_connect(), Some(NextConnect::Wait(None))),
            "one at a time"
        );
    }
    assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5000, 5000]);
    assert_eq!(world.state.last_error().as_deref(), Some(&"down"));
    world.connect_ends(Ok(()));
    assert_eq!(world.state.last_error(), None);
    assert_eq!(world.events.last().map(String::as_str), Some("recovered 11"));
    // The others go on at once.
    assert_eq!(world.open_wanted(), 2);
}

#[test]
fn nobody_tries_again_when_nobody_wants_a_connection() {
    let mut world = World::new(&settings());
    world.get();
    world.ask_connect();
    world.connect_ends(Err(("down", false)));
    let (_, ticket) = world.waiting.remove(0).unwrap();
    world.state.give_up(ticket, world.now);
    world.pass(Duration::from_secs(60));
    assert!(matches!(world.ask_connect(), Some(NextConnect::Wait(None))));
    // The next caller wakes a thread that sleeps without a time.
    world.state.out().wake_connector = false;
    world.get();
    assert!(world.state.out().wake_connector);
}

#[test]
fn a_thread_that_waits_for_the_next_attempt_is_not_woken_before() {
    let mut world = World::new(&settings());
    world.get();
    world.ask_connect();
    world.connect_ends(Err(("down", false)));
    let next = world.ask_connect();
    until(next, &world);
    world.state.out().wake_connector = false;
    world.get();
    assert!(!world.state.out().wake_connector);
}

#[test]
fn a_permanent_error_is_told_to_everybody_who_waits() {
    let mut world = World::new(&settings());
    world.get();
    world.get();
    world.ask_connect();
    world.connect_ends(Err(("no such database", true)));
    let told = "no such database".to_owned();
    assert_eq!(world.refused, [(0, told.clone()), (1, told)]);
    assert_eq!(world.state.status().waiting, 0);
}

#[test]
fn a_panic_while_connecting_costs_no_place() {
    let settings = PoolSettings { max: 1, ..settings() };
    let mut world = World::new(&settings);
    world.get();
    world.ask_connect();
    world.attempts.clear();
    world.state.connect_failed(None, 0, world.now);
    assert_eq!(world.state.status().connecting, 0);
    world.pass(ms(10));
    assert_eq!((world.open_wanted(), world.leases.len()), (1, 1));
}
