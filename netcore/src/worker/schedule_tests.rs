//! The share of groups in values of time that the tests choose; and, for all orders of events, that every task has
//! its turn once, in its order, and within the limits.

use super::*;
use proptest::prelude::*;
use std::time::Instant;

const MILLI: Duration = Duration::from_millis(1);

fn schedule(threads_per_group: usize) -> Schedule<u32> {
    Schedule::new(Share {
        per_key: 1_000,
        per_group: 1_000,
        threads_per_group,
    })
}

fn push(schedule: &mut Schedule<u32>, group: u64, key: u64, task: u32) {
    let waiting = Waiting {
        task,
        group,
        forgettable: task.is_multiple_of(2),
        since: Instant::now(),
    };
    schedule.push(key, waiting).unwrap();
}

/// Gives one turn of one task that takes `spent`; which task.
fn turn(schedule: &mut Schedule<u32>, spent: Duration) -> Option<u32> {
    let key = schedule.take()?;
    let task = schedule.next(key).map(|taken| taken.waiting.task);
    schedule.give_up(key, spent);
    task
}

#[test]
fn who_asks_for_little_goes_before_who_has_used_much_whatever_waits() {
    let mut schedule = schedule(8);
    for session in 0..10 {
        for task in 0..32 {
            push(&mut schedule, 1, session, task);
        }
    }
    assert!(turn(&mut schedule, 100 * MILLI).is_some());
    for stranger in 100..110 {
        push(&mut schedule, stranger, stranger, 7_000);
        assert_eq!(
            turn(&mut schedule, MILLI),
            Some(7_000),
            "{stranger} waits for nobody"
        );
    }
}

#[test]
fn sessions_share_what_their_user_has() {
    let mut schedule = schedule(8);
    for task in 0..100 {
        for session in 0..10 {
            push(&mut schedule, 1, session, task);
        }
        push(&mut schedule, 2, 20, 1_000 + task);
    }
    let turns: Vec<u32> = (0..100).filter_map(|_| turn(&mut schedule, MILLI)).collect();
    let of_the_other = turns.iter().filter(|task| **task >= 1_000).count();
    assert!((49..=51).contains(&of_the_other), "{of_the_other} of 100");
}

#[test]
fn time_is_shared_and_not_the_number_of_turns() {
    let mut schedule = schedule(8);
    for task in 0..500 {
        push(&mut schedule, 1, 1, task);
        push(&mut schedule, 2, 2, 1_000 + task);
    }
    let (mut long, mut short) = (0, 0);
    for _ in 0..220 {
        let key = schedule.take().unwrap();
        schedule.next(key).unwrap();
        let is_long = key == 1;
        schedule.give_up(key, if is_long { 10 * MILLI } else { MILLI });
        if is_long {
            long += 1;
        } else {
            short += 1;
        }
    }
    assert!((18..=22).contains(&long), "{long} long ones, {short} short ones");
}

#[test]
fn one_expensive_request_at_a_time_is_remembered() {
    let mut schedule = schedule(8);
    push(&mut schedule, 1, 1, 1);
    push(&mut schedule, 3, 3, 3);
    assert_eq!(turn(&mut schedule, 500 * MILLI), Some(1));
    // It had nothing else, and comes again before a group that has used nothing.
    push(&mut schedule, 1, 1, 2);
    push(&mut schedule, 2, 2, 4);
    assert_eq!(turn(&mut schedule, MILLI), Some(3));
    assert_eq!(turn(&mut schedule, MILLI), Some(4));
    assert_eq!(turn(&mut schedule, MILLI), Some(2));
}

#[test]
fn a_debt_ends_although_new_groups_keep_coming() {
    let mut schedule = schedule(8);
    push(&mut schedule, 1, 1, 1);
    push(&mut schedule, 2, 2, 2);
    assert_eq!(turn(&mut schedule, 1_000 * MILLI), Some(1));
    push(&mut schedule, 1, 1, 3);
    let mut turns = 0;
    for stranger in 100_u64.. {
        push(&mut schedule, stranger, stranger, 10_000);
        turns += 1;
        if turn(&mut schedule, MILLI) == Some(3) {
            break;
        }
        assert!(turns < 10_000, "the debtor waits for ever");
    }
}

#[test]
fn a_group_never_has_more_threads_than_its_share() {
    let mut schedule = schedule(2);
    for key in 0..5 {
        push(&mut schedule, 1, key, 1);
    }
    let (first, second) = (schedule.take().unwrap(), schedule.take().unwrap());
    assert_eq!(schedule.take(), None, "the others are for others");
    push(&mut schedule, 2, 20, 2);
    assert_eq!(schedule.take(), Some(20));
    schedule.give_up(first, MILLI);
    assert!(schedule.take().is_some());
    assert_ne!(first, second);
}

#[test]
fn a_key_whose_tasks_change_their_group_takes_turns_of_both() {
    let mut schedule = schedule(8);
    push(&mut schedule, 1, 7, 1);
    push(&mut schedule, 2, 7, 3);
    let key = schedule.take().unwrap();
    assert_eq!(schedule.next(key).map(|taken| taken.waiting.task), Some(1));
    assert!(schedule.next(key).is_none(), "that is for another turn");
    schedule.give_up(key, MILLI);
    assert_eq!(turn(&mut schedule, MILLI), Some(3));
    assert!(schedule.strands.is_empty());
}

#[test]
fn a_full_group_is_told_of_room_when_half_of_it_has_begun() {
    let mut schedule = Schedule::new(Share {
        per_key: 10,
        per_group: 4,
        threads_per_group: 1,
    });
    for key in 0..4 {
        push(&mut schedule, 1, key, 1);
    }
    let waiting = Waiting {
        task: 9,
        group: 1,
        forgettable: false,
        since: Instant::now(),
    };
    assert_eq!(schedule.push(50, waiting), Err(9));
    push(&mut schedule, 2, 60, 2);
    let mut told = Vec::new();
    for _ in 0..5 {
        let key = schedule.take().unwrap();
        let taken = schedule.next(key).unwrap();
        schedule.give_up(key, MILLI);
        if taken.waiting.group == 1 {
            told.push(taken.has_room);
        }
    }
    assert_eq!(told, [false, true, false, false]);
}

#[derive(Clone, Debug)]
enum Event {
    Push { group: u64, key: u64 },
    Take,
    Next(usize),
    GiveUp(usize, u64),
    Forget(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (0..4_u64, 0..6_u64).prop_map(|(group, key)| Event::Push { group, key }),
        3 => Just(Event::Take),
        4 => (0..8_usize).prop_map(Event::Next),
        3 => (0..8_usize, 0..3_000_u64).prop_map(|(turn, millis)| Event::GiveUp(turn, millis)),
        1 => (0..6_u64).prop_map(Event::Forget),
    ];
    proptest::collection::vec(event, 1..300)
}

proptest! {
    #[test]
    fn every_task_has_its_turn_once_in_its_order_and_within_the_limits(
        events in events(),
        threads_per_group in 1..4_usize,
    ) {
        let share = Share { per_key: 8, per_group: 12, threads_per_group };
        let mut schedule = Schedule::new(share);
        let mut expected: HashMap<u64, VecDeque<(u32, u64)>> = HashMap::new();
        let mut turns: Vec<(u64, u64)> = Vec::new();
        let mut number = 0_u32;
        for event in events {
            match event {
                Event::Push { group, key } => {
                    number += 1;
                    let waiting = Waiting { task: number, group, forgettable: number.is_multiple_of(2), since: Instant::now() };
                    let of_key = expected.get(&key).map_or(0, VecDeque::len);
                    let of_group = expected.values().flatten().filter(|task| task.1 == group).count();
                    let taken = schedule.push(key, waiting).is_ok();
                    prop_assert_eq!(taken, of_key < share.per_key && of_group < share.per_group);
                    if taken {
                        expected.entry(key).or_default().push_back((number, group));
                    }
                }
                Event::Take => {
                    if let Some(key) = schedule.take() {
                        prop_assert!(turns.iter().all(|turn| turn.0 != key), "two turns of a key at once");
                        turns.push((key, schedule.strands[&key].group));
                        let group = schedule.strands[&key].group;
                        let at_once = turns.iter().filter(|turn| turn.1 == group).count();
                        prop_assert!(at_once <= threads_per_group);
                    }
                }
                Event::Next(turn) if !turns.is_empty() => {
                    let (key, group) = turns[turn % turns.len()];
                    if let Some(taken) = schedule.next(key) {
                        prop_assert_eq!(taken.waiting.group, group);
                        let first = expected.get_mut(&key).and_then(VecDeque::pop_front);
                        prop_assert_eq!(first, Some((taken.waiting.task, group)));
                    }
                }
                Event::GiveUp(turn, millis) if !turns.is_empty() => {
                    let (key, _) = turns.swap_remove(turn % turns.len());
                    schedule.give_up(key, Duration::from_millis(millis));
                }
                Event::Forget(key) => {
                    let forgotten = schedule.forget(key);
                    let tasks = expected.entry(key).or_default();
                    let also: Vec<u32> = tasks.iter().map(|task| task.0).filter(|task| task % 2 == 0).collect();
                    tasks.retain(|task| task.0 % 2 == 1);
                    prop_assert_eq!(forgotten, also);
                }
                Event::Next(_) | Event::GiveUp(..) => {}
            }
        }
        for (key, _) in turns {
            schedule.give_up(key, MILLI);
        }
        let waiting: usize = expected.values().map(VecDeque::len).sum();
        let mut ran = 0;
        while let Some(key) = schedule.take() {
            while let Some(taken) = schedule.next(key) {
                let first = expected.get_mut(&key).and_then(VecDeque::pop_front);
                prop_assert_eq!(first, Some((taken.waiting.task, taken.waiting.group)));
                ran += 1;
            }
            schedule.give_up(key, MILLI);
        }
        prop_assert_eq!(ran, waiting);
        prop_assert!(schedule.strands.is_empty() && schedule.ready.is_empty() && schedule.busy == 0);
        // What is left are debts.
        prop_assert_eq!(schedule.groups.len(), schedule.in_debt.len());
    }
}
