//! What both implementations do.

use std::time::Duration;

use bytes::Bytes;

use super::world::{World, next, node, session, shared, token};
use crate::ephemeral::{
    Checked, Ended, Heartbeat, Hint, HintTarget, HintsBy, Limits, Lookup, Rate, RemoteSettings, Route, Taken,
    Ticket,
};
use crate::{SessionId, UserId};

macro_rules! suite {
    ($($name:ident($limits:expr);)*) => {
        mod memory {
            $(#[test] fn $name() { super::$name(&super::World::memory($limits)); })*
            use super::*;
        }
        mod remote {
            $(#[test] fn $name() { super::$name(&super::World::remote($limits)); })*
            use super::*;
        }
    };
}

suite! {
    a_session_is_found_once_it_is_kept(Limits::default());
    an_ended_session_does_not_come_back(Limits::default());
    a_new_session_is_not_taken_for_absent(Limits::default());
    a_slow_look_up_is_not_kept(Limits { lookup_max: Duration::from_millis(50), ..Limits::default() });
    what_is_cached_expires(short());
    routes_are_of_living_nodes_and_their_generation(Limits::default());
    a_node_that_falls_silent_is_gone_with_its_routes(short());
    a_user_has_so_many_routes(Limits { routes_per_user_max: 2, ..Limits::default() });
    there_are_so_many_nodes(Limits { nodes_max: 1, ..Limits::default() });
    a_code_is_good_once_and_for_a_few_tries(Limits::default());
    a_code_is_used_by_one_of_many(Limits::default());
    a_rate_allows_a_burst_and_then_its_average(Limits::default());
    hints_reach_whom_they_are_for(Limits { hint_bytes_max: 100, ..Limits::default() });
}

/// Everything expires while a test waits for it.
fn short() -> Limits {
    let moment = Duration::from_millis(200);
    Limits {
        session_ttl: moment,
        absent_ttl: moment,
        node_ttl: moment,
        code_ttl: moment,
        ..Limits::default()
    }
}

fn ticket(world: &World, number: u8) -> Ticket {
    match world.store.find(&token(number), world.now()) {
        Lookup::Unknown(Some(ticket)) => ticket,
        other => panic!("{other:?} is no ticket"),
    }
}

fn keep(world: &World, number: u8, id: u64, user: u64, ticket: Ticket) {
    let (session, user) = session(id, user);
    world
        .store
        .keep(&token(number), Some((&session, &user)), ticket, world.now());
}

fn is_found(world: &World, number: u8) -> bool {
    matches!(world.store.find(&token(number), world.now()), Lookup::Found(_))
}

fn a_session_is_found_once_it_is_kept(world: &World) {
    let before = ticket(world, 1);
    keep(world, 1, u64::MAX, 7, before);
    let found = world.store.find(&token(1), world.now());
    assert_eq!(found, Lookup::Found(Box::new(session(u64::MAX, 7))));
    world.store.keep(&token(2), None, ticket(world, 2), world.now());
    assert_eq!(world.store.find(&token(2), world.now()), Lookup::Absent);
    ticket(world, 3);
}

fn an_ended_session_does_not_come_back(world: &World) {
    keep(world, 9, 99, 8, ticket(world, 9));
    let token_ended = Ended::Token(token(1).0);
    for ended in [Ended::User(UserId(7)), Ended::Session(SessionId(5)), token_ended] {
        // Read from the database before it ended, kept after.
        let late = ticket(world, 1);
        world.store.end(ended, world.now());
        keep(world, 1, 5, 7, late);
        assert!(!is_found(world, 1), "{ended:?} came back");
        // It was kept before it ended.
        keep(world, 1, 5, 7, ticket(world, 1));
        assert!(is_found(world, 1), "{ended:?}: a later look-up counts");
        world.store.end(ended, world.now());
        assert!(!is_found(world, 1), "{ended:?} is still there");
        assert!(is_found(world, 9), "{ended:?} was somebody else's");
    }
}

fn a_new_session_is_not_taken_for_absent(world: &World) {
    let late = ticket(world, 1);
    world.store.end(Ended::Token(token(1).0), world.now());
    world.store.keep(&token(1), None, late, world.now());
    ticket(world, 1);
    world.store.keep(&token(1), None, ticket(world, 1), world.now());
    assert_eq!(world.store.find(&token(1), world.now()), Lookup::Absent);
    world.store.end(Ended::Token(token(1).0), world.now());
    ticket(world, 1);
}

fn a_slow_look_up_is_not_kept(world: &World) {
    let slow = ticket(world, 1);
    let from = world.now();
    world.until(|now| now.duration_since(from) > Duration::from_millis(50));
    keep(world, 1, 5, 7, slow);
    assert!(!is_found(world, 1));
}

fn what_is_cached_expires(world: &World) {
    keep(world, 1, 5, 7, ticket(world, 1));
    world.store.keep(&token(2), None, ticket(world, 2), world.now());
    world.until(|now| matches!(world.store.find(&token(1), now), Lookup::Unknown(Some(_))));
    world.until(|now| matches!(world.store.find(&token(2), now), Lookup::Unknown(Some(_))));
    assert!(world.store.issue("a", "123456", world.now()));
    world.until(|now| world.store.check("a", "000000", now) == Checked::NoCode);
}

fn route(node: &str, session: u64) -> Route {
    Route {
        node: node.to_owned(),
        session: SessionId(session),
    }
}

fn routes_are_of_living_nodes_and_their_generation(world: &World) {
    let store = &world.store;
    let (first, second) = (node("a:b", 2), node("c", 1));
    assert_eq!(store.heartbeat(&node("a:b", 1), world.now()), Heartbeat::Repeat);
    assert_eq!(store.heartbeat(&node("a:b", 1), world.now()), Heartbeat::Repeat);
    let sessions = [(UserId(1), SessionId(10)), (UserId(2), SessionId(20))];
    assert!(store.announce(&first, &sessions, world.now()));
    assert_eq!(
        store.routes(&[UserId(1)], world.now()),
        Some(vec![vec![]]),
        "not yet"
    );
    assert_eq!(store.heartbeat(&first, world.now()), Heartbeat::Kept);
    store.heartbeat(&second, world.now());
    assert!(store.announce(&second, &[(UserId(1), SessionId(11))], world.now()));
    assert!(
        store.announce(&second, &[(UserId(1), SessionId(11))], world.now()),
        "twice is once"
    );

    let users = [UserId(1), UserId(2), UserId(3)];
    let expected = vec![
        vec![route("a:b", 10), route("c", 11)],
        vec![route("a:b", 20)],
        vec![],
    ];
    assert_eq!(store.routes(&users, world.now()), Some(expected));
    assert_eq!(
        store.is_online(&users, world.now()),
        Some(vec![true, true, false])
    );
    assert_eq!(
        store.nodes_of(&users, world.now()),
        Some(vec!["a:b".to_owned(), "c".to_owned()])
    );
    assert_eq!(
        store.nodes(world.now()),
        Some(vec![first.clone(), second.clone()])
    );

    assert!(store.withdraw(&first, &sessions[..1], world.now()));
    assert_eq!(
        store.routes(&users[..1], world.now()),
        Some(vec![vec![route("c", 11)]])
    );
    assert_eq!(store.heartbeat(&node("a:b", 3), world.now()), Heartbeat::Kept);
    assert_eq!(
        store.is_online(&users, world.now()),
        Some(vec![true, false, false]),
        "announced anew"
    );
    store.leave(&second, world.now());
    assert_eq!(store.is_online(&users, world.now()), Some(vec![false; 3]));
    assert_eq!(store.nodes(world.now()), Some(vec![node("a:b", 3)]));
}

fn a_node_that_falls_silent_is_gone_with_its_routes(world: &World) {
    world.store.heartbeat(&node("a", 1), world.now());
    assert!(
        world
            .store
            .announce(&node("a", 1), &[(UserId(1), SessionId(1))], world.now())
    );
    world.until(|now| world.store.is_online(&[UserId(1)], now) == Some(vec![false]));
    world.until(|now| world.store.nodes(now) == Some(vec![]));
}

fn a_user_has_so_many_routes(world: &World) {
    let store = &world.store;
    store.heartbeat(&node("a", 1), world.now());
    let sessions = [1, 2, 3].map(|session| (UserId(1), SessionId(session)));
    assert!(store.announce(&node("a", 1), &sessions[..2], world.now()));
    assert!(!store.announce(&node("a", 1), &sessions[2..], world.now()));
    let full = Some(vec![vec![route("a", 1), route("a", 2)]]);
    assert_eq!(store.routes(&[UserId(1)], world.now()), full);
    // Those of an earlier generation make room.
    store.heartbeat(&node("a", 2), world.now());
    assert!(store.announce(&node("a", 2), &sessions[1..], world.now()));
    let full = Some(vec![vec![route("a", 2), route("a", 3)]]);
    assert_eq!(store.routes(&[UserId(1)], world.now()), full);
}

fn there_are_so_many_nodes(world: &World) {
    assert_eq!(
        world.store.heartbeat(&node("a", 1), world.now()),
        Heartbeat::Repeat
    );
    assert_eq!(
        world.store.heartbeat(&node("b", 1), world.now()),
        Heartbeat::Unknown
    );
    assert_eq!(world.store.nodes(world.now()), Some(vec![node("a", 1)]));
}

fn a_code_is_good_once_and_for_a_few_tries(world: &World) {
    let (store, now) = (&world.store, world.now());
    assert_eq!(store.check("a", "123456", now), Checked::NoCode);
    assert!(store.issue("a", "123456", now));
    assert!(store.issue("b", "654321", now));
    assert_eq!(store.check("a", "654321", now), Checked::Wrong { left: 4 });
    assert_eq!(store.check("a", "123456", now), Checked::Right);
    assert_eq!(store.check("a", "123456", now), Checked::NoCode);
    for left in [4, 3, 2, 1, 0] {
        assert_eq!(store.check("b", "000000", now), Checked::Wrong { left });
    }
    assert_eq!(store.check("b", "654321", now), Checked::NoCode);
    assert!(store.issue("b", "111111", now));
    assert_eq!(store.check("b", "000000", now), Checked::Wrong { left: 4 });
    assert!(store.issue("b", "222222", now));
    assert_eq!(
        store.check("b", "111111", now),
        Checked::Wrong { left: 4 },
        "counted anew"
    );
    assert_eq!(store.check("b", "222222", now), Checked::Right);
}

fn a_code_is_used_by_one_of_many(world: &World) {
    let now = world.now();
    assert!(world.store.issue("a", "123456", now));
    let tries: Vec<_> = (0..8)
        .map(|_| {
            let store = std::sync::Arc::clone(&world.store);
            std::thread::spawn(move || store.check("a", "123456", now))
        })
        .collect();
    let right = tries.into_iter().filter_map(|thread| thread.join().ok());
    assert_eq!(right.filter(|checked| *checked == Checked::Right).count(), 1);
}

fn a_rate_allows_a_burst_and_then_its_average(world: &World) {
    let (store, now) = (&world.store, world.now());
    let hour = Duration::from_hours(1);
    let rate = Rate {
        every: hour,
        burst: 3,
    };
    assert_eq!(store.take("a", rate, 2, now), Taken::Allowed);
    assert_eq!(store.take("a", rate, 1, now), Taken::Allowed);
    for _ in 0..2 {
        let Taken::Refused { retry_after } = store.take("a", rate, 1, world.now()) else {
            panic!("more than a burst");
        };
        assert!(retry_after <= hour && retry_after > hour / 2, "{retry_after:?}");
    }
    let forever = Taken::Refused {
        retry_after: Duration::MAX,
    };
    assert_eq!(store.take("b", rate, 4, now), forever);
    assert_eq!(store.take("b", rate, 3, now), Taken::Allowed, "another key");

    let quick = Rate {
        every: Duration::from_millis(50),
        burst: 1,
    };
    assert_eq!(store.take("c", quick, 1, world.now()), Taken::Allowed);
    world.until(|now| store.take("c", quick, 1, now) == Taken::Allowed);
}

fn hint(text: &'static str) -> Hint {
    Hint::Bytes(Bytes::from_static(text.as_bytes()))
}

fn hints_reach_whom_they_are_for(world: &World) {
    let (store, now) = (&world.store, world.now());
    let (first, second) = (store.subscribe("a"), store.subscribe("b"));
    assert_eq!((next(&first), next(&second)), (Hint::Lost, Hint::Lost));
    for (target, text) in [
        (HintTarget::Node("a"), "1"),
        (HintTarget::Node("nobody"), "2"),
        (HintTarget::Node("b"), "3:\0"),
        (HintTarget::Node("a"), ""),
    ] {
        assert!(store.publish(target, text.as_bytes(), now));
    }
    assert_eq!((next(&first), next(&first)), (hint("1"), hint("")));
    assert_eq!(next(&second), hint("3:\0"));
    assert!(store.publish(HintTarget::All, b"all", now));
    assert_eq!((next(&first), next(&second)), (hint("all"), hint("all")));
    assert!(!store.publish(HintTarget::All, &[0; 101], now));
}

#[test]
fn an_end_that_had_to_be_forgotten_still_counts() {
    let world = World::memory(Limits {
        sessions_max: 2,
        ..Limits::default()
    });
    let late = ticket(&world, 1);
    world.store.end(Ended::Session(SessionId(5)), world.now());
    for other in 100..103 {
        world.store.end(Ended::Session(SessionId(other)), world.now());
    }
    keep(&world, 1, 5, 7, late);
    assert!(!is_found(&world, 1));
    keep(&world, 1, 5, 7, ticket(&world, 1));
    assert!(is_found(&world, 1));
}

#[test]
fn streams_carry_hints_as_channels_do() {
    let limits = Limits {
        hint_bytes_max: 100,
        ..Limits::default()
    };
    hints_reach_whom_they_are_for(&World::of(RemoteSettings {
        hints_by: HintsBy::Streams,
        ..shared(limits)
    }));
}
