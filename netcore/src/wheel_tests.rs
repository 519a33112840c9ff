//! The wheel against a plain sorted list, with random insertions and jumps of the clock.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Operation {
    Insert { ahead: u32 },
    Pass { ticks: u32, max: usize },
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let ahead = prop_oneof![0_u32..20, 0_u32..3000, Just(WHEEL_SLOTS as u32), Just(u32::MAX)];
    let ticks = prop_oneof![Just(0_u32), 1_u32..5, 1_u32..2500];
    let max = prop_oneof![Just(usize::MAX), 1_usize..4];
    let operation = prop_oneof![
        ahead.prop_map(|ahead| Operation::Insert { ahead }),
        (ticks, max).prop_map(|(ticks, max)| Operation::Pass { ticks, max }),
    ];
    proptest::collection::vec(operation, 0..120)
}

proptest! {
    #[test]
    fn behaves_like_a_sorted_list(operations in operations()) {
        let mut wheel = Wheel::new(Tick(0));
        let mut model: BTreeMap<usize, Tick> = BTreeMap::new();
        let mut now = Tick(0);
        for (id, operation) in operations.into_iter().enumerate() {
            match operation {
                Operation::Insert { ahead } => {
                    let asked = now.after(Ticks(ahead));
                    let granted = wheel.insert(asked, id);
                    // Never later than asked, but for the tick that has just been swept; early only when
                    // it is further away than a revolution, counted from what has not come up yet.
                    let oldest = model.values().copied().min().unwrap_or(now).min(now);
                    let far = asked.since(oldest) >= Ticks(WHEEL_SLOTS as u32 - 1);
                    prop_assert!(granted <= asked.max(now.after(Ticks(1))));
                    prop_assert!(granted >= asked || far);
                    model.insert(id, granted);
                }
                Operation::Pass { ticks, max } => {
                    now = now.after(Ticks(ticks));
                    let mut due = Vec::new();
                    wheel.expire(now, max, &mut due);
                    prop_assert!(due.len() <= max);
                    let expected = model.values().filter(|at| **at <= now).count();
                    prop_assert_eq!(due.len(), expected.min(max));
                    prop_assert!(due.is_sorted_by_key(|(tick, _)| *tick), "the earliest first");
                    for (tick, id) in due {
                        prop_assert_eq!(model.remove(&id), Some(tick));
                    }
                }
            }
            prop_assert_eq!(wheel.len(), model.len());
            prop_assert_eq!(wheel.next_due(), model.values().min().copied());
        }
    }
}

proptest! {
    /// Owners as the reactor has them: a deadline that moves later is not told to the wheel, one that moves
    /// earlier gets a second entry, and an entry that comes up early is put back.
    #[test]
    fn owners_that_put_themselves_back_are_called_exactly_in_time(
        deadlines in proptest::collection::vec(1_u32..5000, 1..20),
        changes in proptest::collection::vec((1_u32..3000, any::<proptest::sample::Index>(), 1_u32..4000), 0..20),
    ) {
        let mut wheel = Wheel::new(Tick(0));
        let mut deadlines: Vec<Option<Tick>> = deadlines.into_iter().map(|at| Some(Tick(at))).collect();
        let mut entries: Vec<Tick> = Vec::new();
        for (owner, deadline) in deadlines.iter().flatten().enumerate() {
            entries.push(wheel.insert(*deadline, owner));
        }
        let mut due = Vec::new();
        for now in (1..10_000).map(Tick) {
            for (_, owner, ahead) in changes.iter().filter(|(at, ..)| *at == now.0) {
                let owner = owner.index(deadlines.len());
                if deadlines[owner].is_some() {
                    let deadline = now.after(Ticks(*ahead));
                    deadlines[owner] = Some(deadline);
                    if deadline < entries[owner] {
                        entries[owner] = wheel.insert(deadline, owner);
                    }
                }
            }
            wheel.expire(now, usize::MAX, &mut due);
            for (tick, owner) in due.drain(..) {
                let Some(deadline) = deadlines[owner].filter(|_| tick == entries[owner]) else {
                    continue;
                };
                if deadline <= now {
                    prop_assert_eq!(deadline, now);
                    deadlines[owner] = None;
                } else {
                    entries[owner] = wheel.insert(deadline, owner);
                }
            }
            let late = deadlines.iter().flatten().any(|deadline| *deadline <= now);
            prop_assert!(!late, "somebody was not called at {:?}", now);
        }
        prop_assert!(deadlines.iter().all(Option::is_none));
    }
}

#[test]
fn a_long_sleep_ends_with_everything_due() {
    let mut wheel = Wheel::new(Tick(5));
    for at in 0..3000 {
        wheel.insert(Tick(at), at);
    }
    let mut due = Vec::new();
    wheel.expire(Tick(1_000_000), usize::MAX, &mut due);
    assert_eq!(due.len(), 3000);
    assert!(wheel.is_empty());
    assert_eq!(wheel.insert(Tick(1_000_010), 0), Tick(1_000_010));
}
