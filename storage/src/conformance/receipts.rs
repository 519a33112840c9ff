//! Cursors: how far people have got.

use super::{
    cases,
    world::{ANN, BOB, CAT, GROUP, NOBODY, PAIR, World, cursor, direct},
};
use crate::{ConversationId, CursorView, Position, Seq};

cases![
    cursors_move_forward_only,
    reading_is_having,
    cursors_end_at_the_visible_head,
    reports_beyond_the_visible_head_are_named,
    cursors_of_nobody_stay_where_they_are,
    unread_is_what_was_not_read,
    a_batch_of_cursors_shares_a_position,
    the_same_cursor_twice_is_told_once,
    positions_of_cursors_are_not_given_again,
    changes_show_cursors_of_members,
];

fn cursors_move_forward_only(world: &mut World) {
    world.people();
    for _ in 0..5 {
        world.say(PAIR, ANN, "");
    }
    let (moved, position) = world.cursors(&[cursor(PAIR, BOB, 4, 2)]);
    assert_eq!((moved, position), (vec![cursor(PAIR, BOB, 4, 2)], Position(6)));
    for still in [
        cursor(PAIR, BOB, 4, 2),
        cursor(PAIR, BOB, 1, 1),
        cursor(PAIR, BOB, 0, 0),
    ] {
        assert_eq!(world.cursors(&[still]), (Vec::new(), Position(0)));
    }
    // One cursor moves, the other one stays.
    assert_eq!(
        world.cursors(&[cursor(PAIR, BOB, 1, 3)]).0,
        [cursor(PAIR, BOB, 4, 3)]
    );
    assert_eq!(
        world.cursors(&[cursor(PAIR, BOB, 5, 1)]).0,
        [cursor(PAIR, BOB, 5, 3)]
    );
    let view = world.view(BOB, PAIR);
    assert_eq!((view.delivered, view.read), (Seq(5), Seq(3)));
}

fn reading_is_having(world: &mut World) {
    world.people();
    world.say(PAIR, ANN, "");
    world.say(PAIR, ANN, "");
    assert_eq!(
        world.cursors(&[cursor(PAIR, BOB, 1, 2)]).0,
        [cursor(PAIR, BOB, 2, 2)]
    );
}

fn reports_beyond_the_visible_head_are_named(world: &mut World) {
    world.people();
    world.group_of(&[BOB]);
    world.say(GROUP, ANN, "2");
    let up_to_head = [
        cursor(GROUP, BOB, 2, 2),
        cursor(GROUP, CAT, 9, 9),
        cursor(PAIR, BOB, 9, 0),
    ];
    assert_eq!(world.beyond(&up_to_head), [], "nor what they cannot see");
    // Whether the report moves a cursor or not.
    for beyond in [cursor(GROUP, BOB, 3, 0), cursor(GROUP, BOB, 0, 3)] {
        assert_eq!(world.beyond(&[cursor(GROUP, ANN, 2, 0), beyond]), [(GROUP, BOB)]);
    }
    world.remove(ANN, BOB);
    world.say(GROUP, ANN, "4");
    assert_eq!(world.beyond(&[cursor(GROUP, BOB, 3, 0)]), []);
    assert_eq!(world.beyond(&[cursor(GROUP, BOB, 4, 0)]), [(GROUP, BOB)]);
}

fn cursors_end_at_the_visible_head(world: &mut World) {
    world.people();
    world.group_of(&[BOB]);
    world.say(GROUP, ANN, "2");
    world.say(GROUP, ANN, "3");
    assert_eq!(
        world.cursors(&[cursor(GROUP, BOB, u64::MAX, 0)]).0,
        [cursor(GROUP, BOB, 3, 0)]
    );
    world.remove(ANN, BOB);
    world.say(GROUP, ANN, "5");
    assert_eq!(
        world.cursors(&[cursor(GROUP, BOB, 9, 9)]).0,
        [cursor(GROUP, BOB, 4, 4)]
    );
    assert_eq!(world.view(BOB, GROUP).unread, 0);
}

fn cursors_of_nobody_stay_where_they_are(world: &mut World) {
    world.people();
    world.say(PAIR, ANN, "");
    for of in [
        cursor(PAIR, CAT, 1, 1),
        cursor(PAIR, NOBODY, 1, 1),
        cursor(direct(2, 3), BOB, 1, 1),
        cursor(GROUP, BOB, 1, 1),
        cursor(ConversationId(u64::MAX), BOB, 1, 1),
    ] {
        assert_eq!(world.cursors(&[of]), (Vec::new(), Position(0)));
    }
    assert_eq!(world.cursors(&[]), (Vec::new(), Position(0)));
    assert_eq!(world.position(), Position(1));
}

fn unread_is_what_was_not_read(world: &mut World) {
    world.people();
    world.group_of(&[BOB]);
    for number in 2..=6 {
        assert_eq!(world.say(GROUP, ANN, ""), Seq(number));
    }
    world.act(GROUP, ANN, super::world::edit(Seq(2), "edits do not count"));
    assert_eq!(world.view(BOB, GROUP).unread, 5);
    for (read, unread) in [(1, 5), (2, 4), (4, 2), (7, 0)] {
        world.read_up_to(GROUP, BOB, read);
        assert_eq!(world.view(BOB, GROUP).unread, unread);
    }
    world.say(GROUP, ANN, "");
    assert_eq!(world.view(BOB, GROUP).unread, 1);
    world.act(GROUP, ANN, super::world::recall(Seq(8)));
    assert_eq!(
        world.view(BOB, GROUP).unread,
        1,
        "a recalled message keeps its place"
    );
}

fn a_batch_of_cursors_shares_a_position(world: &mut World) {
    world.people();
    world.group_of(&[BOB, CAT]);
    world.say(PAIR, ANN, "");
    let moves = [
        cursor(GROUP, CAT, 1, 1),
        cursor(GROUP, NOBODY, 1, 1),
        cursor(PAIR, BOB, 1, 0),
    ];
    let (moved, position) = world.cursors(&moves);
    assert_eq!(moved, [moves[0], moves[2]], "in the order asked");
    assert_eq!((position, world.position()), (Position(3), Position(3)));
    assert_eq!(world.say(PAIR, ANN, ""), Seq(2));
    assert_eq!(world.position(), Position(4));
}

fn the_same_cursor_twice_is_told_once(world: &mut World) {
    world.people();
    for _ in 0..3 {
        world.say(PAIR, ANN, "");
    }
    let (moved, position) = world.cursors(&[cursor(PAIR, BOB, 1, 1), cursor(PAIR, BOB, 3, 2)]);
    assert_eq!((moved, position), (vec![cursor(PAIR, BOB, 3, 2)], Position(4)));
}

fn positions_of_cursors_are_not_given_again(world: &mut World) {
    world.people();
    world.say(PAIR, ANN, "");
    let (_, position) = world.cursors(&[cursor(PAIR, BOB, 1, 1)]);
    assert_eq!(world.position(), position);
    world.say(PAIR, ANN, "");
    let head = world.view(ANN, PAIR).head_position;
    assert!(head > position, "{head:?}");
}

fn changes_show_cursors_of_members(world: &mut World) {
    world.people();
    world.group_of(&[BOB, CAT]);
    world.say(GROUP, ANN, "");
    let since = world.position();
    let (_, position) = world.cursors(&[cursor(GROUP, BOB, 2, 1)]);
    let expected = CursorView {
        conversation: GROUP,
        user: BOB,
        delivered: Seq(2),
        read: Seq(1),
        position,
    };
    for viewer in [ANN, BOB, CAT] {
        let changes = world.changes(viewer, since, 9);
        assert_eq!(
            (changes.cursors, changes.up_to.ceiling()),
            (vec![expected], position)
        );
        assert!(changes.conversations.is_empty());
        assert!(world.changes(viewer, position, 9).cursors.is_empty());
    }
    assert!(world.changes(NOBODY, since, 9).cursors.is_empty());
    world.remove(ANN, CAT);
    assert!(
        world.changes(CAT, since, 9).cursors.is_empty(),
        "a former member does not hear of them"
    );
}
