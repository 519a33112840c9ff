//! Entries of own logs: the newest event of a key is its state.

use super::{
    cases,
    world::{ANN, BOB, OWN, World},
};
use crate::{Action, EventKind, Refused, Rules, Seq, UserId};

cases![
    the_newest_event_is_the_state,
    pages_of_entries_go_on,
    a_page_ends_before_it_is_too_long,
    so_many_entries with Rules { entries_max: 2, ..super::RULES },
    entries_in_one_batch,
];

fn set(key: &str, value: &str) -> Action {
    Action::SetEntry {
        key: key.to_owned(),
        value: value.as_bytes().to_vec().into(),
    }
}

fn remove(key: &str) -> Action {
    Action::RemoveEntry { key: key.to_owned() }
}

/// The entries of a user, with their seqs.
fn entries(world: &mut World, of: UserId, prefix: &str) -> Vec<(String, u64, String)> {
    let page = world.reader.entries(of, prefix, "", 100).expect("a page");
    assert!(!page.more);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    page.entries
        .iter()
        .map(|entry| (entry.key.clone(), entry.seq.0, text(&entry.value)))
        .collect()
}

fn the_newest_event_is_the_state(world: &mut World) {
    world.people();
    world.act(OWN, ANN, set("a", "1"));
    world.say(OWN, ANN, "a note");
    world.act(OWN, ANN, set("a", "2"));
    world.act(OWN, ANN, set("b", ""));
    world.refuse(OWN, ANN, set("a", "2"), Refused::NothingToDo);
    world.refuse(OWN, ANN, remove("c"), Refused::NothingToDo);
    let listed = entries(world, ANN, "");
    let expected = [
        ("a".to_owned(), 3, "2".to_owned()),
        ("b".to_owned(), 4, String::new()),
    ];
    assert_eq!(listed, expected);
    let page = world.page(ANN, OWN);
    let bodies: Vec<&[u8]> = page.events.iter().map(|view| &view.event.body[..]).collect();
    assert_eq!(bodies, [&b""[..], b"a note", b"2", b""]);
    world.act(OWN, ANN, remove("a"));
    assert_eq!(entries(world, ANN, "a"), []);
    let page = world.page(ANN, OWN);
    assert!(page.events[2].event.body.is_empty(), "what was removed is erased");
    let last = &page.events[4].event;
    let name = last.entry.as_ref().expect("an entry");
    assert_eq!((last.kind, name.key.as_str()), (EventKind::EntryRemoved, "a"));
    // They are no messages, and the user has read them.
    let view = world.view(ANN, OWN);
    assert_eq!(
        (view.head, view.head_ordinal, view.unread, view.read),
        (Seq(5), 1, 0, Seq(5))
    );
    world.act(OWN, ANN, set("a", "1"));
    assert_eq!(entries(world, ANN, "a"), [("a".to_owned(), 6, "1".to_owned())]);
    assert_eq!(entries(world, BOB, ""), []);
}

fn pages_of_entries_go_on(world: &mut World) {
    world.people();
    let keys = ["a", "app/1", "app/2", "app/\u{1F44D}", "apq", "b"];
    for key in keys {
        world.act(OWN, ANN, set(key, key));
    }
    for (prefix, expected) in [("", &keys[..]), ("app/", &keys[1..4]), ("c", &[])] {
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let page = world.reader.entries(ANN, prefix, &after, 2).expect("a page");
            assert!(page.entries.len() <= 2);
            found.extend(page.entries.iter().map(|entry| entry.key.clone()));
            if !page.more {
                break;
            }
            after.clone_from(found.last().expect("a key"));
        }
        assert_eq!(found, expected, "{prefix}");
    }
}

fn a_page_ends_before_it_is_too_long(world: &mut World) {
    world.people();
    let long = "x".repeat(100 << 10);
    for key in ["a", "b", "c", "d"] {
        world.act(OWN, ANN, set(key, &long));
    }
    let page = world.reader.entries(ANN, "", "", 100).expect("a page");
    assert_eq!((page.entries.len(), page.more), (3, true));
}

fn so_many_entries(world: &mut World) {
    world.people();
    world.act(OWN, ANN, set("a", "1"));
    world.act(OWN, ANN, set("setting/message_me", "friends"));
    world.refuse(OWN, ANN, set("c", "1"), Refused::LimitReached);
    world.act(OWN, ANN, set("a", "2"));
    world.act(OWN, ANN, remove("a"));
    world.act(OWN, ANN, set("c", "1"));
}

fn entries_in_one_batch(world: &mut World) {
    world.people();
    let batch = [
        world.request(OWN, ANN, set("a", "1")),
        world.request(OWN, ANN, set("a", "1")),
        world.request(OWN, ANN, set("a", "2")),
        world.request(OWN, ANN, remove("a")),
        world.request(OWN, ANN, set("a", "3")),
    ];
    let answers = world.commit(&batch.map(crate::Write::Append));
    let done: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(done, [true, false, true, true, true]);
    assert_eq!(entries(world, ANN, ""), [("a".to_owned(), 4, "3".to_owned())]);
}
