use super::*;
use proptest::prelude::*;
use std::time::Duration;

/// What the store should count, found the slow way.
fn recount(store: &Store) -> usize {
    let text = |text: &Shared| text.len();
    let value = |value: &Value| -> usize {
        match value {
            Value::Text(it) => text(it),
            Value::List(list) => list.iter().map(|item| text(item) + MEMBER_OVERHEAD_BYTES).sum(),
            Value::Set(set) => set.iter().map(|item| text(item) + MEMBER_OVERHEAD_BYTES).sum(),
            Value::Hash(hash) => hash
                .iter()
                .map(|(field, value)| text(field) + text(value) + MEMBER_OVERHEAD_BYTES)
                .sum(),
            Value::Sorted(sorted) => sorted
                .members()
                .map(|member| 2 * (text(member) + MEMBER_OVERHEAD_BYTES))
                .sum(),
        }
    };
    let entries = store.entries.iter();
    entries
        .map(|(key, entry)| key.len() + KEY_OVERHEAD_BYTES + value(&entry.value))
        .sum()
}

/// The deadlines there should be.
fn deadlines(store: &Store) -> BTreeSet<(Instant, Shared)> {
    let entries = store.entries.iter();
    entries
        .filter_map(|(key, entry)| entry.expires.map(|at| (at, Shared::clone(key))))
        .collect()
}

fn shared(text: &str) -> Shared {
    text.as_bytes().into()
}

fn push(list: &mut List, bytes: &mut usize) {
    *bytes += 1 + MEMBER_OVERHEAD_BYTES;
    list.push_back(shared("x"));
}

#[test]
fn a_key_is_gone_at_its_deadline() {
    let (mut store, now) = (Store::new(usize::MAX), Instant::now());
    let at = now + Duration::from_secs(1);
    store.set_text(now, b"k", shared("v"), Deadline::At(at));
    assert!(store.get(at - Duration::from_nanos(1), b"k").is_some());
    assert!(store.get(at, b"k").is_none());
    assert_eq!((store.len(), store.bytes(), store.deadlines()), (0, 0, 0));
}

#[test]
fn a_key_that_is_due_is_not_there_to_be_removed() {
    let (mut store, now) = (Store::new(usize::MAX), Instant::now());
    store.set_text(now, b"k", shared("v"), Deadline::At(now + Duration::from_secs(1)));
    assert!(!store.remove(now + Duration::from_secs(1), b"k"));
    assert_eq!(store.len(), 0);
}

#[test]
fn a_sweep_removes_what_is_due_and_no_more_than_it_may() {
    let (mut store, now) = (Store::new(usize::MAX), Instant::now());
    for second in 1..=5_u8 {
        let at = now + Duration::from_secs(second.into());
        store.set_text(now, &[second], shared("v"), Deadline::At(at));
    }
    let third = now + Duration::from_secs(3);
    store.sweep(third, 2);
    assert_eq!(store.len(), 3);
    store.sweep(third, 100);
    assert_eq!((store.len(), store.deadlines()), (2, 2));
}

#[test]
fn a_new_value_keeps_the_deadline_only_if_told_so() {
    let (mut store, now) = (Store::new(usize::MAX), Instant::now());
    let at = now + Duration::from_secs(1);
    store.set_text(now, b"k", shared("v"), Deadline::At(at));
    store.set_text(now, b"k", shared("w"), Deadline::Keep);
    assert_eq!(store.deadline(now, b"k"), Some(Some(at)));
    store.set_text(now, b"k", shared("x"), Deadline::Never);
    assert_eq!(store.deadline(now, b"k"), Some(None));
    assert_eq!(store.deadlines(), 0);
}

#[test]
fn the_store_is_full_when_it_holds_what_it_may() {
    let (mut store, now) = (Store::new(KEY_OVERHEAD_BYTES + 3), Instant::now());
    store.set_text(now, b"k", shared("v"), Deadline::Never);
    assert!(!store.is_full());
    store.set_text(now, b"k", shared("vw"), Deadline::Never);
    assert!(store.is_full());
    store.remove(now, b"k");
    assert!(!store.is_full());
}

proptest! {
    #[test]
    fn what_is_counted_is_what_is_there(
        steps in proptest::collection::vec((0..8_u8, 0..3_u8, 0..4_u64), 0..60),
    ) {
        let (mut store, mut now) = (Store::new(usize::MAX), Instant::now());
        for (step, key, number) in steps {
            let key = [key];
            let at = now + Duration::from_secs(number);
            match step {
                0 => store.set_text(now, &key, shared(&"v".repeat(number as usize)), Deadline::At(at)),
                1 => store.set_text(now, &key, shared("text"), Deadline::Keep),
                2 => store.set_text(now, &key, shared("other"), Deadline::Never),
                3 => {
                    let _ = store.update(now, &key, push);
                }
                4 => {
                    let _ = store.update(now, &key, |list: &mut List, bytes| {
                        if list.pop_front().is_some() {
                            *bytes -= 1 + MEMBER_OVERHEAD_BYTES;
                        }
                    });
                }
                5 => {
                    store.remove(now, &key);
                }
                6 => store.set_deadline(now, &key, (number > 0).then_some(at)),
                _ => {
                    now = at;
                    store.sweep(now, number as usize);
                }
            }
            prop_assert_eq!(store.bytes(), recount(&store));
            prop_assert_eq!(&store.deadlines, &deadlines(&store));
            let empty = |entry: &Entry| matches!(&entry.value, Value::List(list) if list.is_empty());
            prop_assert_eq!(store.entries.values().filter(|entry| empty(entry)).count(), 0);
        }
    }
}
