use super::*;
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};

type Table = Slots<char, char>;

fn open(slots: &mut Table, value: char) -> ConnId {
    slots.insert(|_| Entry::Open(value)).unwrap()
}

fn value(entry: Option<Entry<char, char>>) -> Option<char> {
    entry.map(|entry| match entry {
        Entry::Open(value) => value,
        Entry::Pending(value) => *value,
    })
}

#[test]
fn an_old_name_does_not_reach_the_next_owner_of_its_slot() {
    let mut slots = Slots::new(LoopId(3));
    let first = open(&mut slots, 'a');
    assert_eq!(value(slots.remove(first)), Some('a'));
    let second = open(&mut slots, 'b');
    assert_eq!(first.index(), second.index());
    assert_ne!(first, second);
    assert_eq!(slots.get(first), None);
    assert_eq!(slots.get_mut(first), None);
    assert_eq!(value(slots.remove(first)), None);
    assert_eq!(slots.get(second), Some(&'b'));
    assert_eq!(slots.len(), 1);
}

#[test]
fn a_name_of_another_loop_is_unknown() {
    let mut slots = Slots::new(LoopId(0));
    let id = open(&mut slots, 'a');
    let other = ConnId::new(LoopId(1), id.generation(), id.index());
    assert!(slots.get(other).is_none() && slots.get_mut(other).is_none());
}

#[test]
fn a_slot_without_names_left_is_retired() {
    let mut slots = Slots::new(LoopId(0));
    let first = open(&mut slots, 'a');
    slots.remove(first).unwrap();
    slots.chunks[0].generations[0] = u32::MAX;
    let last = open(&mut slots, 'b');
    assert_eq!((last.index(), last.generation()), (0, u32::MAX));
    slots.remove(last).unwrap();
    assert!(slots.get(last).is_none());
    let next = open(&mut slots, 'c');
    assert_eq!((next.index(), slots.len(), slots.retired), (1, 1, 1));
    assert_eq!(slots.first_open_from(0), Some(next));
    assert_eq!(slots.first_open_from(2), None);
}

#[test]
fn a_pending_connection_is_not_seen_until_it_is_promoted() {
    let mut slots: Table = Slots::new(LoopId(0));
    let id = slots.insert(|_| Entry::Pending(Box::new('p'))).unwrap();
    assert_eq!(slots.get(id), None);
    assert_eq!(slots.get_mut(id), None);
    assert_eq!(slots.pending_mut(id), Some(&mut 'p'));
    assert_eq!(
        (slots.first_open_from(0), slots.first_from(0)),
        (None, Some((id, false)))
    );
    assert!(slots.promote(id, |pending| pending.to_ascii_uppercase()));
    assert_eq!(slots.get(id), Some(&'P'));
    assert_eq!(slots.pending_mut(id), None);
    assert!(!slots.promote(id, |_| unreachable!()));
    assert_eq!(slots.first_open_from(0), Some(id));
    assert_eq!(slots.len(), 1);
}

proptest! {
    #[test]
    fn names_are_never_given_twice_and_find_their_values(removals in prop::collection::vec(any::<u16>(), 0..3000)) {
        let mut slots: Table = Slots::new(LoopId(1));
        let (mut alive, mut given) = (Vec::new(), HashSet::new());
        let mut values = HashMap::new();
        for (step, removal) in removals.iter().enumerate() {
            let value = char::from(b'a' + (step % 26) as u8);
            let id = open(&mut slots, value);
            prop_assert!(given.insert(id));
            alive.push(id);
            values.insert(id, value);
            // More come than go, so that several chunks are used.
            if removal % 3 == 0 {
                let gone = alive.swap_remove(usize::from(*removal) % alive.len());
                prop_assert!(slots.remove(gone).is_some());
                prop_assert_eq!(slots.get(gone), None);
            }
        }
        prop_assert_eq!(slots.len(), alive.len());
        for id in &alive {
            prop_assert_eq!(slots.get(*id), values.get(id));
        }
        let mut seen = HashSet::new();
        let mut from = 0;
        while let Some(id) = slots.first_open_from(from) {
            seen.insert(id);
            from = id.index() + 1;
        }
        prop_assert_eq!(seen, alive.into_iter().collect::<HashSet<_>>());
    }
}
