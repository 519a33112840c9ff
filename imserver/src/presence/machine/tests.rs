use super::*;
use crate::delivery::connections;

const GRACE_MS: u64 = 30_000;
const TTL_MS: u64 = 30_000;
const OWN: &str = "own";
const ANNA: UserId = UserId(1);
const BEN: UserId = UserId(2);
const CARL: UserId = UserId(3);
/// A wall clock's time at the start, some seconds after a whole minute.
const WALL_MS: u64 = 1_700_000_040_000 + 7_000;

fn at(at_ms: u64) -> Now {
    Now {
        at_ms,
        wall_ms: WALL_MS + at_ms,
    }
}

fn name(node: &str) -> Arc<str> {
    Arc::from(node)
}

fn machine() -> Machine {
    let limits = Limits {
        grace_ms: GRACE_MS,
        node_ttl_ms: TTL_MS,
        watches_max: 6_000,
    };
    Machine::new(limits, name(OWN), at(0))
}

fn target(user: UserId, here: State) -> Target {
    Target {
        user,
        may_see: true,
        here,
        elsewhere: Some(Vec::new()),
        last_seen_ms: 0,
    }
}

fn stranger(user: UserId, here: State) -> Target {
    Target {
        may_see: false,
        last_seen_ms: WALL_MS,
        elsewhere: Some(vec![name("b")]),
        ..target(user, here)
    }
}

fn watch(
    machine: &mut Machine,
    conn: ConnId,
    user: UserId,
    targets: Vec<Target>,
    now: Now,
) -> Result<Vec<Shown>, NoRoom> {
    machine.watch(
        NewWatch {
            conn,
            user,
            format: Format::Json,
            targets,
            read_at: now,
        },
        now,
    )
}

const fn shown(state: State) -> Shown {
    Shown {
        state,
        last_seen_ms: 0,
    }
}

/// Steps so often that nothing is late, and notes what is told, with the time.
fn run(machine: &mut Machine, from_ms: u64, to_ms: u64) -> Vec<(u64, Shown)> {
    let mut all = Vec::new();
    for at_ms in (from_ms..=to_ms).step_by(100) {
        all.extend(
            machine
                .step(at(at_ms))
                .into_iter()
                .map(|change| (at_ms, change.shown)),
        );
    }
    all
}

/// Anna watches Ben, who is online here.
fn watching() -> (Machine, ConnId) {
    let conn = connections(1)[0];
    let mut machine = machine();
    let answer = watch(&mut machine, conn, ANNA, vec![target(BEN, State::Online)], at(0));
    assert_eq!(answer, Ok(vec![shown(State::Online)]));
    (machine, conn)
}

#[test]
fn a_reconnect_within_the_grace_shows_nothing() {
    let (mut machine, _) = watching();
    machine.here(BEN, State::Offline, &[], at(5_000));
    assert_eq!(run(&mut machine, 5_000, 34_900), []);
    machine.here(BEN, State::Online, &[], at(34_900));
    assert_eq!(run(&mut machine, 34_900, 200_000), []);
}

#[test]
fn a_reconnect_to_another_node_shows_nothing() {
    let (mut machine, _) = watching();
    machine.here(BEN, State::Offline, &[], at(5_000));
    machine.told(&name("b"), [(BEN, State::Online)], at(20_000));
    assert_eq!(run(&mut machine, 5_000, 40_000), []);
    machine.told(&name("b"), [(BEN, State::Offline)], at(40_000));
    machine.told(&name("c"), [(BEN, State::Online)], at(60_000));
    assert_eq!(run(&mut machine, 40_000, 100_000), []);
}

#[test]
fn whoever_does_not_come_back_is_offline_since_they_went() {
    let (mut machine, conn) = watching();
    machine.here(BEN, State::Offline, &[], at(5_000));
    assert_eq!(machine.due_ms(), Some(35_000));
    assert_eq!(machine.step(at(34_999)), []);
    let offline = Shown {
        state: State::Offline,
        // 12 seconds after the minute.
        last_seen_ms: WALL_MS - 7_000,
    };
    let expected = Change {
        user: BEN,
        shown: offline,
        to: vec![(conn, Format::Json)],
    };
    assert_eq!(machine.step(at(35_000)), [expected]);
}

#[test]
fn the_first_change_is_shown_at_once_and_what_follows_once_a_second() {
    let (mut machine, _) = watching();
    for (at_ms, state) in [
        (2_000, State::Away),
        (2_100, State::Online),
        (2_200, State::Away),
        (2_300, State::Online),
    ] {
        machine.here(BEN, state, &[], at(at_ms));
        let expected = (at_ms == 2_000).then_some((2_000, shown(State::Away)));
        assert_eq!(run(&mut machine, at_ms, at_ms), Vec::from_iter(expected));
    }
    assert_eq!(run(&mut machine, 2_400, 9_000), [(3_000, shown(State::Online))]);
}

#[test]
fn a_device_that_comes_back_has_a_second_to_say_that_nobody_is_at_it() {
    let (mut machine, _) = watching();
    machine.here(BEN, State::Away, &[], at(2_000));
    assert_eq!(run(&mut machine, 2_000, 5_000), [(2_000, shown(State::Away))]);
    machine.here(BEN, State::Offline, &[], at(5_000));
    machine.here(BEN, State::Online, &[], at(6_000));
    assert_eq!(run(&mut machine, 6_000, 6_800), []);
    machine.here(BEN, State::Away, &[], at(6_900));
    assert_eq!(run(&mut machine, 6_900, 9_000), []);
}

#[test]
fn somebody_is_as_present_as_their_most_present_connection() {
    use State::{Away, Offline, Online};
    for (here, b, c, expected) in [
        (Offline, Offline, Offline, Offline),
        (Away, Offline, Offline, Away),
        (Away, Online, Offline, Online),
        (Offline, Away, Online, Online),
        (Offline, Away, Away, Away),
        (Online, Away, Away, Online),
    ] {
        let mut machine = machine();
        let conn = connections(1)[0];
        watch(&mut machine, conn, ANNA, vec![target(BEN, Offline)], at(0)).unwrap();
        machine.here(BEN, here, &[], at(5_000));
        machine.told(&name("b"), [(BEN, b)], at(5_000));
        machine.told(&name("c"), [(BEN, c)], at(5_000));
        let expected = (expected > Offline).then_some((5_000, shown(expected)));
        assert_eq!(run(&mut machine, 5_000, 9_000), Vec::from_iter(expected));
    }
}

#[test]
fn the_answer_is_the_same_about_any_stranger_and_they_are_never_told_of() {
    let conn = connections(1)[0];
    let mut answers = Vec::new();
    for here in [State::Offline, State::Away, State::Online] {
        let mut machine = machine();
        answers.push(watch(&mut machine, conn, ANNA, vec![stranger(BEN, here)], at(0)));
        machine.here(BEN, State::Online, &[], at(5_000));
        machine.told(&name("b"), [(BEN, State::Away)], at(6_000));
        machine.here(BEN, State::Offline, &[], at(7_000));
        machine.nodes(Some(&[name(OWN)]), at(8_000));
        machine.nodes(Some(&[name(OWN)]), at(80_000));
        assert_eq!(run(&mut machine, 5_000, 120_000), []);
        assert_eq!(machine.take_to_read(9, at(120_000)), [], "a look that takes time");
    }
    assert_eq!(answers, vec![Ok(vec![Shown::default()]); 3]);
}

#[test]
fn whoever_may_see_no_more_is_told_what_a_stranger_is_and_nothing_after() {
    let (mut machine, conn) = watching();
    machine.rights_changed(CARL);
    assert_eq!(
        machine.take_to_check(at(1_000)),
        [],
        "of whom nobody is concerned"
    );
    machine.rights_changed(BEN);
    assert_eq!(machine.take_to_check(at(1_000)), [(ANNA, vec![BEN])]);
    machine.checked(ANNA, BEN, false, at(1_000));
    let told = Change {
        user: BEN,
        shown: Shown::default(),
        to: vec![(conn, Format::Json)],
    };
    assert_eq!(machine.step(at(1_000)), [told]);
    machine.here(BEN, State::Away, &[], at(5_000));
    machine.here(BEN, State::Offline, &[], at(9_000));
    assert_eq!(run(&mut machine, 5_000, 60_000), []);
    // And they are friends again.
    machine.here(BEN, State::Online, &[], at(60_000));
    machine.rights_changed(ANNA);
    assert_eq!(machine.take_to_check(at(60_000)), [(ANNA, vec![BEN])]);
    machine.checked(ANNA, BEN, true, at(60_000));
    assert_eq!(
        run(&mut machine, 60_000, 60_000),
        [(60_000, shown(State::Online))]
    );
    assert_eq!(machine.take_to_read(9, at(60_000)), [BEN]);
}

#[test]
fn while_it_cannot_be_found_out_who_may_see_nobody_does() {
    let (mut machine, _) = watching();
    machine.rights_changed(BEN);
    for (watcher, targets) in machine.take_to_check(at(1_000)) {
        machine.not_checked(watcher, &targets, at(1_000));
    }
    assert_eq!(run(&mut machine, 1_000, 1_000), [(1_000, Shown::default())]);
    machine.here(BEN, State::Away, &[], at(1_500));
    assert_eq!(run(&mut machine, 1_500, 1_500), []);
    assert_eq!(machine.take_to_check(at(1_900)), []);
    assert_eq!(machine.due_ms(), Some(2_000));
    assert_eq!(machine.take_to_check(at(2_000)), [(ANNA, vec![BEN])]);
    machine.checked(ANNA, BEN, true, at(2_000));
    assert_eq!(run(&mut machine, 2_000, 2_000), [(2_000, shown(State::Away))]);
}

#[test]
fn a_node_that_died_has_nobody_and_its_people_had_their_grace() {
    let (mut machine, _) = watching();
    let all = [name(OWN), name("b")];
    machine.told(&name("b"), [(BEN, State::Away)], at(1_000));
    machine.here(BEN, State::Offline, &[], at(1_000));
    assert_eq!(run(&mut machine, 1_000, 3_000), [(1_000, shown(State::Away))]);
    for at_ms in (3_000..=30_000).step_by(1_000) {
        machine.nodes(Some(&all), at(at_ms));
    }
    assert_eq!(run(&mut machine, 3_000, 30_000), []);
    machine.nodes(Some(&all[..1]), at(31_000));
    let told = run(&mut machine, 31_000, 31_000);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].1.state, State::Offline);
    assert!(told[0].1.last_seen_ms <= WALL_MS + 1_000);
}

#[test]
fn a_medium_that_has_lost_its_memory_takes_nobody_away() {
    let (mut machine, _) = watching();
    let all = [name(OWN), name("b")];
    machine.told(&name("b"), [(BEN, State::Online)], at(1_000));
    machine.here(BEN, State::Offline, &[], at(1_000));
    machine.nodes(Some(&all), at(1_000));
    machine.nodes(Some(&all), at(30_000));
    machine.nodes(Some(&[]), at(31_000));
    for at_ms in (32_000..46_000).step_by(1_000) {
        machine.nodes(Some(&all[..1]), at(at_ms));
    }
    assert_eq!(run(&mut machine, 31_000, 46_000), []);
    machine.nodes(Some(&all), at(46_000));
    machine.nodes(Some(&all), at(60_000));
    assert_eq!(run(&mut machine, 46_000, 200_000), []);
}

#[test]
fn without_the_medium_nobody_is_elsewhere_for_longer_than_a_node_lives() {
    let (mut machine, _) = watching();
    machine.told(&name("b"), [(BEN, State::Online)], at(1_000));
    machine.here(BEN, State::Offline, &[], at(1_000));
    machine.nodes(Some(&[name(OWN), name("b")]), at(2_000));
    for at_ms in (3_000..32_000).step_by(1_000) {
        machine.nodes(None, at(at_ms));
    }
    assert_eq!(run(&mut machine, 3_000, 31_900), []);
    machine.nodes(None, at(32_000));
    assert_eq!(run(&mut machine, 32_000, 32_000)[0].1.state, State::Offline);
    // And it answers again: everything is read anew.
    machine.take_to_read(9, at(33_000));
    machine.nodes(Some(&[name(OWN), name("b")]), at(90_000));
    assert_eq!(machine.take_to_read(9, at(90_000)), [BEN]);
    machine.read(BEN, &[name("b")], at(90_000), at(90_000));
    assert_eq!(
        run(&mut machine, 90_000, 90_000),
        [(90_000, shown(State::Online))]
    );
}

#[test]
fn a_node_that_takes_its_leave_leaves_its_people_their_grace() {
    let (mut machine, _) = watching();
    machine.told(&name("b"), [(BEN, State::Online)], at(1_000));
    machine.here(BEN, State::Offline, &[], at(1_000));
    let all = [name(OWN), name("b")];
    machine.nodes(Some(&all), at(1_000));
    machine.nodes(Some(&all), at(30_000));
    machine.leaves("b", at(31_000));
    machine.nodes(Some(&all[..1]), at(32_000));
    assert_eq!(run(&mut machine, 31_000, 50_000), []);
    machine.told(&name("c"), [(BEN, State::Online)], at(50_000));
    assert_eq!(run(&mut machine, 50_000, 200_000), []);
}

#[test]
fn what_a_node_has_just_said_counts_more_than_the_shared_routes() {
    let (mut machine, _) = watching();
    machine.here(BEN, State::Offline, &[], at(1_000));
    // It said that they came, and the routes do not have them yet.
    machine.told(&name("b"), [(BEN, State::Away)], at(2_000));
    machine.read(BEN, &[], at(2_500), at(3_000));
    assert_eq!(run(&mut machine, 2_000, 4_000), [(3_000, shown(State::Away))]);
    // It said that they went, and the routes still have them.
    machine.told(&name("b"), [(BEN, State::Offline)], at(5_000));
    machine.read(BEN, &[name("b")], at(5_500), at(6_000));
    assert_eq!(run(&mut machine, 6_000, 40_000).len(), 1);
    // Later they are right, whatever was said.
    machine.read(BEN, &[name("b")], at(40_000), at(40_000));
    assert_eq!(
        run(&mut machine, 40_000, 40_000),
        [(40_000, shown(State::Online))]
    );
    machine.read(BEN, &[], at(50_000), at(50_000));
    assert_eq!(run(&mut machine, 50_000, 90_000)[0].1.state, State::Offline);
}

#[test]
fn what_is_new_in_the_shared_routes_is_asked_after() {
    let (mut machine, _) = watching();
    let mut read = |at_ms: u64, user: UserId, nodes: &[&str]| -> Vec<UserId> {
        if user == ANNA {
            machine.told(&name("b"), [(BEN, State::Away)], at(at_ms));
        }
        let nodes: Vec<Arc<str>> = nodes.iter().map(|node| name(node)).collect();
        machine.read(user, &nodes, at(at_ms), at(at_ms));
        machine.take_to_ask(9)
    };
    assert_eq!(read(1_000, BEN, &["b", OWN]), [BEN]);
    assert_eq!(read(2_000, BEN, &["b", OWN]), []);
    assert_eq!(read(3_000, ANNA, &["b"]), [], "she is not watched");
    assert_eq!(read(9_000, BEN, &["b"]), []);
    assert_eq!(read(19_000, BEN, &[OWN]), []);
    assert_eq!(read(29_000, BEN, &["b", "c"]), [BEN]);
}

#[test]
fn what_could_not_be_read_is_read_later() {
    let conn = connections(1)[0];
    let mut machine = machine();
    let unread = Target {
        elsewhere: None,
        ..target(BEN, State::Offline)
    };
    watch(&mut machine, conn, ANNA, vec![unread], at(0)).unwrap();
    let users = machine.take_to_read(9, at(0));
    assert_eq!(users, [BEN]);
    machine.not_read(users, at(0));
    assert_eq!(machine.take_to_read(9, at(999)), []);
    assert_eq!(machine.due_ms(), Some(1_000));
    assert_eq!(machine.take_to_read(9, at(1_000)), [BEN]);
    // Whatever happens, all of it is read again from time to time.
    assert_eq!(machine.due_ms(), Some(60_000));
    machine.step(at(60_000));
    assert_eq!(machine.take_to_read(9, at(60_000)), [BEN]);
}

#[test]
fn a_watch_replaces_the_former_one_and_ends_with_its_connection() {
    let connections = connections(2);
    let mut machine = machine();
    for conn in &connections {
        watch(&mut machine, *conn, ANNA, vec![target(BEN, State::Online)], at(0)).unwrap();
    }
    let second = vec![target(CARL, State::Online), target(CARL, State::Online)];
    let answer = watch(&mut machine, connections[0], ANNA, second, at(0));
    assert_eq!(answer, Ok(vec![shown(State::Online); 2]));
    assert_eq!(machine.watches(), 2);
    machine.here(BEN, State::Away, &[], at(5_000));
    let to = |changes: Vec<Change>| -> Vec<ConnId> {
        changes
            .into_iter()
            .flat_map(|change| change.to)
            .map(|(conn, _)| conn)
            .collect()
    };
    assert_eq!(to(machine.step(at(5_000))), [connections[1]]);
    machine.here(ANNA, State::Online, &connections[..1], at(6_000));
    assert!(!machine.is_watched(BEN) && machine.is_watched(CARL));
    assert_eq!(machine.watches(), 1);
    watch(&mut machine, connections[0], ANNA, Vec::new(), at(7_000)).unwrap();
    assert!(machine.concerned().is_empty());
    assert_eq!((machine.watches(), machine.due_ms()), (0, None));
}

#[test]
fn beyond_a_limit_a_watch_is_refused_and_the_former_one_stays() {
    let connections = connections(12);
    let mut machine = machine();
    let many = |first: u64| -> Vec<Target> {
        (first..first + 500)
            .map(|user| target(UserId(user), State::Offline))
            .collect()
    };
    for conn in &connections[..10] {
        watch(&mut machine, *conn, ANNA, many(10), at(0)).unwrap();
    }
    assert_eq!(machine.watches(), WATCHES_PER_USER_MAX);
    assert_eq!(
        watch(&mut machine, connections[10], ANNA, many(10), at(0)),
        Err(NoRoom::OfUser)
    );
    // In the place of the former one it has room.
    watch(&mut machine, connections[9], ANNA, many(1_000), at(0)).unwrap();
    watch(&mut machine, connections[10], BEN, many(10), at(0)).unwrap();
    watch(&mut machine, connections[10], BEN, many(1_000), at(0)).unwrap();
    watch(&mut machine, connections[11], CARL, many(10), at(0)).unwrap();
    let more = (0..501)
        .map(|user| target(UserId(10_000 + user), State::Offline))
        .collect();
    assert_eq!(
        watch(&mut machine, connections[11], CARL, more, at(0)),
        Err(NoRoom::OfAll)
    );
    assert_eq!(machine.watches(), 6_000);
    machine.here(UserId(10), State::Online, &[], at(5_000));
    assert!(
        machine.step(at(5_000))[0]
            .to
            .contains(&(connections[11], Format::Json))
    );
}
