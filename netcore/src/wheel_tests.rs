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
