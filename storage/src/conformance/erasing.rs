//! Recalled and expired messages: hidden at once, and erased in slices.

use super::{
    cases,
    world::{ANN, BOB, PAIR, World, edit, recall},
};
use crate::{
    Action, Direction, ERASED_BODIES_MAX, Event, EventKind, Outcome, Seq, Snapshot, Timestamp, Write,
};
use std::sync::Arc;

cases![
    nothing_waits_to_be_erased_at_first,
    what_is_recalled_has_no_body_before_it_is_erased,
    what_expired_is_erased,
    what_never_expires_is_never_erased,
    what_was_recalled_and_has_expired_is_erased_once,
];

/// Erases a slice. Whether it erased any body.
fn slice(world: &mut World, now: u64) -> bool {
    match world.write(Write::Erase(Timestamp(now))) {
        Ok(Outcome::Erased(any)) => any,
        other => panic!("{other:?}"),
    }
}

fn bodies(world: &mut World) -> Vec<Vec<u8>> {
    let page = world.page(BOB, PAIR);
    page.events.iter().map(|view| view.event.body.to_vec()).collect()
}

fn expiring(world: &mut World, body: &'static str, expires_at: u64) -> Seq {
    let action = Action::Message {
        kind: 1,
        body: body.into(),
        expires_at: Timestamp(expires_at),
        reply_to: Seq(0),
    };
    world.act(PAIR, ANN, action).seq
}

fn nothing_waits_to_be_erased_at_first(world: &mut World) {
    world.people();
    assert!(!slice(world, u64::MAX));
    let seq = world.say(PAIR, ANN, "one");
    world.act(PAIR, ANN, edit(seq, "two"));
    let before = world.position();
    assert!(!slice(world, u64::MAX));
    assert_eq!(world.position(), before);
    assert_eq!(bodies(world), [b"one", b"two"]);
}

fn what_is_recalled_has_no_body_before_it_is_erased(world: &mut World) {
    world.people();
    let target = world.say(PAIR, ANN, "one");
    let edits = 2 * ERASED_BODIES_MAX + 5;
    let requests: Vec<_> = (0..edits)
        .map(|number| world.request(PAIR, ANN, edit(target, &format!("secret {number}"))))
        .collect();
    for request in &requests {
        world.append(request.clone()).expect("an edit");
    }
    let other = world.say(PAIR, BOB, "other");
    let kept = world.act(PAIR, BOB, edit(other, "kept"));
    let recalled = world.act(PAIR, ANN, recall(target));
    loop {
        is_hidden(world, recalled.seq, edits, &kept);
        let last = &requests[0];
        let again = world.append(last.clone()).expect("it was made before");
        assert!(again.duplicate && again.event.recalled && again.event.body.is_empty());
        let made = world
            .reader
            .made_by(PAIR, ANN, last.client_id)
            .expect("an answer");
        let (event, fingerprint) = made.expect("an event");
        assert_eq!((event, fingerprint), (again.event, last.fingerprint));
        // It neither takes long nor a position.
        let before = world.position();
        let any = slice(world, 0);
        assert_eq!(world.position(), before);
        if !any {
            break;
        }
    }
    is_hidden(world, recalled.seq, edits, &kept);
}

/// In pages in both directions, and in the log's tail.
fn is_hidden(world: &mut World, last: Seq, edits: usize, kept: &Event) {
    let hidden = |event: &Event| {
        let of_it = event.seq == Seq(1) || event.target == Seq(1) && event.kind == EventKind::Edit;
        assert_eq!(event.recalled, of_it, "{event:?}");
        assert!(event.body.is_empty() || !of_it, "{event:?}");
        of_it
    };
    let whole = edits + 4;
    for (from, direction) in [(Seq(1), Direction::Forward), (last, Direction::Backward)] {
        // Hidden bodies take no room in a page.
        let page = world.reader.events(BOB, PAIR, from, direction, usize::MAX, 64);
        let page = page.expect("an answer").expect("a page");
        assert_eq!(page.events.len(), whole);
        assert_eq!(
            page.events.iter().filter(|view| hidden(&view.event)).count(),
            edits + 1
        );
        let revisions = page.events.iter().filter_map(|view| view.revision.as_ref());
        assert!(revisions.map(|revision| revision.seq).eq([kept.seq]));
    }
    let tail = world
        .reader
        .tail(&Snapshot::default(), usize::MAX)
        .expect("a tail");
    assert_eq!(
        tail.events.iter().filter(|event| hidden(event)).count(),
        edits + 1
    );
    assert!(tail.events.iter().any(|event| event.body == "kept"));
}

fn what_expired_is_erased(world: &mut World) {
    world.people();
    let seq = expiring(world, "early", 5_000);
    let edited: Arc<Event> = world.act(PAIR, ANN, edit(seq, "early too"));
    assert_eq!(edited.expires_at, Timestamp(5_000));
    let late = world.request(
        PAIR,
        ANN,
        Action::Message {
            kind: 1,
            body: "late".into(),
            expires_at: Timestamp(6_000),
            reply_to: Seq(0),
        },
    );
    world.append(late.clone()).expect("a message");
    world.say(PAIR, ANN, "for ever");
    let all = ["early", "early too", "late", "for ever"];
    assert!(!slice(world, 4_999));
    assert_eq!(bodies(world), all.map(|body| body.as_bytes().to_vec()));
    assert!(slice(world, 5_000));
    assert!(!slice(world, 5_000));
    let rest = ["", "", "late", "for ever"];
    assert_eq!(bodies(world), rest.map(|body| body.as_bytes().to_vec()));
    assert!(slice(world, u64::MAX));
    assert!(!slice(world, u64::MAX));
    let rest = ["", "", "", "for ever"];
    assert_eq!(bodies(world), rest.map(|body| body.as_bytes().to_vec()));
    let page = world.page(BOB, PAIR);
    assert!(page.events.iter().all(|view| !view.event.recalled));
    // It was made before all the same.
    let again = world.append(late).expect("it was made before");
    assert!(again.duplicate && again.event.body.is_empty() && !again.event.recalled);
}

fn what_never_expires_is_never_erased(world: &mut World) {
    world.people();
    let seq = expiring(world, "for ever", u64::MAX);
    world.act(PAIR, ANN, edit(seq, "and ever"));
    assert!(!slice(world, u64::MAX));
    assert_eq!(
        bodies(world),
        ["for ever", "and ever"].map(|body| body.as_bytes().to_vec())
    );
}

fn what_was_recalled_and_has_expired_is_erased_once(world: &mut World) {
    world.people();
    let seq = expiring(world, "secret", 5_000);
    world.act(PAIR, ANN, edit(seq, "other secret"));
    world.act(PAIR, ANN, recall(seq));
    while slice(world, u64::MAX) {}
    let page = world.page(BOB, PAIR);
    for view in &page.events[..2] {
        assert!(view.event.recalled && view.event.body.is_empty());
    }
    // And the other way round.
    let seq = expiring(world, "secret", 5_000);
    world.act(PAIR, ANN, edit(seq, "other secret"));
    while slice(world, 5_000) {}
    world.act(PAIR, ANN, recall(seq));
    while slice(world, u64::MAX) {}
    let page = world.page(BOB, PAIR);
    for view in &page.events[3..5] {
        assert!(view.event.recalled && view.event.body.is_empty());
    }
}
