//! Lists of conversations, and what changed since.

use super::{
    cases,
    world::{ANN, BOB, CAT, GROUP, OWN, PAIR, World, cursor, direct, message},
};
use crate::{Changes, ConversationId, Position, Seq, Snapshot, Tail, UserId};

cases![
    conversations_come_newest_first,
    former_conversations_stay_in_the_list,
    an_empty_list,
    changes_are_what_came_since,
    changes_end_with_membership,
    changes_are_cut_between_positions,
    cursors_of_one_position_stay_together,
    what_follows_a_large_position_is_not_skipped,
    changes_of_a_future_position,
    a_tail_has_everybodys,
    a_tail_is_cut_between_positions,
];

fn list(world: &mut World, viewer: UserId, before: Option<Position>, limit: usize) -> Vec<ConversationId> {
    let views = world.reader.conversations(viewer, before, limit).expect("a list");
    for view in &views {
        assert_eq!(world.view(viewer, view.id), *view, "the same as alone");
    }
    views.into_iter().map(|view| view.id).collect()
}

fn ids(changes: &Changes) -> Vec<ConversationId> {
    changes.conversations.iter().map(|view| view.id).collect()
}

fn conversations_come_newest_first(world: &mut World) {
    world.people();
    world.say(PAIR, ANN, "");
    world.say(direct(1, 3), CAT, "");
    world.say(OWN, ANN, "");
    world.say(PAIR, BOB, "");
    assert_eq!(list(world, ANN, None, 9), [PAIR, OWN, direct(1, 3)]);
    assert_eq!(list(world, ANN, None, 2), [PAIR, OWN]);
    let before = Some(world.view(ANN, OWN).head_position);
    assert_eq!(list(world, ANN, before, 9), [direct(1, 3)]);
    assert_eq!(list(world, ANN, Some(Position(0)), 9), []);
    assert_eq!(list(world, ANN, Some(Position(u64::MAX)), 9).len(), 3);
    assert_eq!(list(world, BOB, None, 9), [PAIR]);
}

fn former_conversations_stay_in_the_list(world: &mut World) {
    world.people();
    world.group_of(&[BOB]);
    world.remove(ANN, BOB);
    world.say(PAIR, ANN, "");
    world.say(GROUP, ANN, "");
    assert_eq!(list(world, ANN, None, 9), [GROUP, PAIR]);
    assert_eq!(list(world, BOB, None, 9), [PAIR, GROUP], "by what Bob can see");
}

fn an_empty_list(world: &mut World) {
    world.people();
    assert_eq!(list(world, ANN, None, 9), []);
    assert_eq!(list(world, UserId(u64::MAX), None, 9), []);
    let nothing = Changes {
        up_to: Snapshot::at(Position(0)),
        ..Changes::default()
    };
    assert_eq!(world.changes(ANN, Position(0), 9), nothing);
    assert_eq!(
        world
            .reader
            .changes(ANN, &Snapshot::default(), 9)
            .expect("changes"),
        nothing
    );
    assert_eq!(world.position(), Position(0), "accounts are not in the log");
}

fn changes_are_what_came_since(world: &mut World) {
    world.people();
    world.say(PAIR, ANN, "");
    world.say(direct(1, 3), CAT, "");
    let since = world.position();
    let changes = world.changes(ANN, Position(0), 9);
    assert_eq!(ids(&changes), [PAIR, direct(1, 3)], "the oldest first");
    assert_eq!((changes.up_to, changes.more), (Snapshot::at(since), false));
    assert!(ids(&world.changes(ANN, since, 9)).is_empty());
    world.say(PAIR, BOB, "");
    let changes = world.changes(ANN, since, 9);
    assert_eq!(ids(&changes), [PAIR]);
    assert_eq!(changes.conversations[0], world.view(ANN, PAIR));
    assert!(ids(&world.changes(CAT, since, 9)).is_empty());
    assert_eq!(world.changes(CAT, since, 9).up_to, Snapshot::at(world.position()));
}

fn changes_end_with_membership(world: &mut World) {
    world.people();
    world.group_of(&[BOB]);
    let since = world.position();
    world.remove(ANN, BOB);
    let removed = world.position();
    world.say(GROUP, ANN, "unseen");
    let changes = world.changes(BOB, since, 9);
    assert_eq!(
        (ids(&changes), changes.conversations[0].head_position),
        (vec![GROUP], removed)
    );
    assert!(ids(&world.changes(BOB, removed, 9)).is_empty());
}

fn changes_are_cut_between_positions(world: &mut World) {
    world.people();
    world.say(PAIR, BOB, "");
    world.say(direct(1, 3), CAT, "");
    world.say(OWN, ANN, "");
    let first = world.changes(ANN, Position(0), 2);
    assert_eq!(
        (ids(&first), first.up_to.ceiling(), first.more),
        (vec![PAIR, direct(1, 3)], Position(2), true)
    );
    // A conversation that moves meanwhile comes later, and only once.
    world.say(PAIR, BOB, "");
    let second = world.changes(ANN, first.up_to.ceiling(), 2);
    assert_eq!(
        (ids(&second), second.up_to.ceiling(), second.more),
        (vec![OWN, PAIR], Position(4), false)
    );
    let least = world.changes(ANN, Position(0), 0);
    assert_eq!((ids(&least).len(), least.more), (1, true), "always one");
}

fn cursors_of_one_position_stay_together(world: &mut World) {
    world.people();
    world.group_of(&[BOB, CAT]);
    world.say(PAIR, ANN, "");
    let since = world.position();
    let (_, moved) = world.cursors(&[
        cursor(GROUP, BOB, 1, 0),
        cursor(GROUP, CAT, 1, 0),
        cursor(PAIR, BOB, 1, 0),
    ]);
    world.act(PAIR, ANN, message(""));
    // With a limit that is just too small for them, and with a much smaller one.
    assert_eq!(world.changes(ANN, since, 1), world.changes(ANN, since, 2));
    let first = world.changes(ANN, since, 2);
    assert_eq!(
        (first.cursors.len(), ids(&first).len()),
        (3, 0),
        "all of a position, though over the limit"
    );
    assert_eq!((first.up_to.ceiling(), first.more), (moved, true));
    let found: Vec<_> = first
        .cursors
        .iter()
        .map(|view| (view.conversation, view.user))
        .collect();
    assert_eq!(found, [(GROUP, BOB), (GROUP, CAT), (PAIR, BOB)]);
    let second = world.changes(ANN, first.up_to.ceiling(), 2);
    assert_eq!(
        (ids(&second), second.cursors.len(), second.more),
        (vec![PAIR], 0, false)
    );
    // They do not come first in this answer, so they wait for the next.
    let since = world.position();
    world.say(OWN, ANN, "");
    let first = world.position();
    world.cursors(&[cursor(PAIR, BOB, 2, 0), cursor(GROUP, BOB, 1, 1)]);
    let changes = world.changes(ANN, since, 2);
    assert_eq!((ids(&changes), changes.cursors.len()), (vec![OWN], 0));
    assert_eq!((changes.up_to.ceiling(), changes.more), (first, true));
}

fn what_follows_a_large_position_is_not_skipped(world: &mut World) {
    world.people();
    world.group_of(&[BOB, CAT]);
    let since = world.position();
    let (_, first) = world.cursors(&[cursor(GROUP, BOB, 1, 0), cursor(GROUP, CAT, 1, 0)]);
    let (_, second) = world.cursors(&[cursor(GROUP, BOB, 1, 1), cursor(GROUP, CAT, 1, 1)]);
    assert!(first < second);
    let (_, third) = world.cursors(&[cursor(PAIR, BOB, 1, 0)]);
    assert_eq!(third, Position(0));
    world.say(PAIR, ANN, "");
    world.say(GROUP, CAT, "");
    let (_, last) = world.cursors(&[cursor(PAIR, BOB, 1, 0)]);
    let changes = world.changes(ANN, since, 1);
    assert_eq!(
        (changes.cursors.len(), changes.up_to.ceiling(), changes.more),
        (2, second, true)
    );
    // Only cursors moved since then.
    let (_, pair) = world.cursors(&[cursor(GROUP, ANN, 2, 2), cursor(GROUP, BOB, 2, 2)]);
    let (_, end) = world.cursors(&[cursor(PAIR, BOB, 1, 1)]);
    let changes = world.changes(ANN, last, 1);
    assert_eq!(
        (changes.cursors.len(), changes.up_to.ceiling(), changes.more),
        (2, pair, true)
    );
    let changes = world.changes(ANN, pair, 1);
    assert_eq!(
        (changes.cursors.len(), changes.up_to.ceiling(), changes.more),
        (1, end, false)
    );
}

fn changes_of_a_future_position(world: &mut World) {
    world.people();
    world.say(PAIR, ANN, "");
    let changes = world.changes(ANN, Position(u64::MAX), 9);
    assert_eq!(
        (ids(&changes).len(), changes.up_to.ceiling(), changes.more),
        (0, Position(1), false)
    );
}

fn tail(world: &mut World, since: &Snapshot, limit: usize) -> Tail {
    world.reader.tail(since, limit).expect("a tail")
}

/// The seqs of a tail's events, and the users of its cursors.
fn entries(tail: &Tail) -> (Vec<(ConversationId, u64)>, Vec<UserId>) {
    let events = tail.events.iter();
    (
        events.map(|event| (event.conversation, event.seq.0)).collect(),
        tail.cursors.iter().map(|cursor| cursor.user).collect(),
    )
}

fn a_tail_has_everybodys(world: &mut World) {
    world.people();
    assert_eq!(entries(&tail(world, &Snapshot::default(), 9)), (vec![], vec![]));
    let first = world.act(PAIR, ANN, message("one"));
    world.act(direct(1, 3), CAT, message("two"));
    let since = Snapshot::at(world.position());
    world.cursors(&[cursor(PAIR, BOB, 1, 1), cursor(direct(1, 3), ANN, 1, 0)]);
    world.act(PAIR, ANN, message("three"));
    let all = tail(world, &Snapshot::default(), 9);
    assert_eq!(
        entries(&all),
        (vec![(PAIR, 1), (direct(1, 3), 1), (PAIR, 2)], vec![BOB, ANN])
    );
    assert_eq!(all.events[0], first);
    assert_eq!((&all.up_to, all.more), (&Snapshot::at(world.position()), false));
    let later = tail(world, &since, 9);
    assert_eq!(entries(&later), (vec![(PAIR, 2)], vec![BOB, ANN]));
    assert_eq!(
        (later.cursors[0].delivered, later.cursors[0].read),
        (Seq(1), Seq(1))
    );
    assert_eq!(entries(&tail(world, &later.up_to, 9)), (vec![], vec![]));
}

fn a_tail_is_cut_between_positions(world: &mut World) {
    world.people();
    world.say(PAIR, ANN, "");
    world.cursors(&[cursor(PAIR, BOB, 1, 1), cursor(PAIR, ANN, 1, 1)]);
    world.say(direct(1, 3), CAT, "");
    world.cursors(&[cursor(direct(1, 3), ANN, 1, 0), cursor(PAIR, BOB, 1, 1)]);
    world.say(OWN, ANN, "");
    let (mut since, mut found, mut pages) = (Snapshot::default(), Vec::new(), 0);
    loop {
        let page = tail(world, &since, 0);
        assert!(page.events.len() + page.cursors.len() <= 2, "one position a page");
        found.extend(page.events.iter().map(|event| event.position));
        pages += 1;
        since = page.up_to;
        if !page.more {
            break;
        }
    }
    assert!(found.is_sorted() && found.len() == 3, "{found:?}");
    assert!(pages >= 4);
    assert_eq!(since, Snapshot::at(world.position()));
}
