//! Pages of events: their events, and the interval of seqs that they cover.

use super::{
    cases,
    world::{ANN, BOB, GROUP, PAIR, World, edit, listed, message, react},
};
use crate::{Direction, EventPage, Seq, UserId};

cases![
    forward_from_a_seq,
    backward_from_a_seq,
    beyond_the_head,
    bodies_fill_a_page,
    edits_fill_a_page_too,
    listed_reactions_fill_a_page_too,
    a_page_speaks_for_what_it_does_not_show,
    a_former_member_s_pages_end,
    strangers_get_no_page,
];

/// from, to, seqs.
fn page(
    world: &mut World,
    viewer: UserId,
    from: u64,
    direction: Direction,
    limit: usize,
) -> (u64, u64, Vec<u64>) {
    let page = world
        .reader
        .events(viewer, GROUP, Seq(from), direction, limit, usize::MAX);
    told(&page.expect("an answer").expect("a page"))
}

fn told(page: &EventPage) -> (u64, u64, Vec<u64>) {
    (page.from.0, page.to.0, listed(page))
}

fn five(world: &mut World) {
    world.people();
    world.group_of(&[]);
    for _ in 0..4 {
        world.say(GROUP, ANN, "12345");
    }
}

fn forward_from_a_seq(world: &mut World) {
    five(world);
    let forward = Direction::Forward;
    assert_eq!(page(world, ANN, 0, forward, 9), (1, 5, vec![1, 2, 3, 4, 5]));
    assert_eq!(page(world, ANN, 1, forward, 5), (1, 5, vec![1, 2, 3, 4, 5]));
    assert_eq!(page(world, ANN, 1, forward, 2), (1, 2, vec![1, 2]));
    assert_eq!(page(world, ANN, 3, forward, 2), (3, 4, vec![3, 4]));
    assert_eq!(page(world, ANN, 5, forward, 2), (5, 5, vec![5]));
    assert_eq!(page(world, ANN, 4, forward, 0), (4, 4, vec![4]), "always one");
}

fn backward_from_a_seq(world: &mut World) {
    five(world);
    let backward = Direction::Backward;
    assert_eq!(page(world, ANN, 0, backward, 9), (1, 5, vec![1, 2, 3, 4, 5]));
    assert_eq!(page(world, ANN, 0, backward, 2), (4, 5, vec![4, 5]));
    assert_eq!(page(world, ANN, 3, backward, 2), (2, 3, vec![2, 3]));
    assert_eq!(page(world, ANN, 1, backward, 2), (1, 1, vec![1]));
    assert_eq!(page(world, ANN, 4, backward, 0), (4, 4, vec![4]), "always one");
}

fn beyond_the_head(world: &mut World) {
    five(world);
    for from in [6, 7, u64::MAX] {
        assert_eq!(page(world, ANN, from, Direction::Forward, 2), (from, 5, vec![]));
        assert_eq!(page(world, ANN, from, Direction::Backward, 2), (4, 5, vec![4, 5]));
    }
}

fn bodies_fill_a_page(world: &mut World) {
    five(world);
    let mut sized = |from: u64, direction, bytes| {
        let page = world.reader.events(ANN, GROUP, Seq(from), direction, 9, bytes);
        told(&page.expect("an answer").expect("a page"))
    };
    assert_eq!(sized(1, Direction::Forward, 10), (1, 3, vec![1, 2, 3]));
    assert_eq!(sized(1, Direction::Forward, 9), (1, 2, vec![1, 2]));
    assert_eq!(
        sized(2, Direction::Forward, 0),
        (2, 2, vec![2]),
        "the first one always"
    );
    assert_eq!(sized(0, Direction::Backward, 11), (4, 5, vec![4, 5]));
    assert_eq!(sized(0, Direction::Backward, 20), (1, 5, vec![1, 2, 3, 4, 5]));
}

fn edits_fill_a_page_too(world: &mut World) {
    world.people();
    world.say(PAIR, ANN, "1");
    world.say(PAIR, ANN, "2");
    world.act(PAIR, ANN, edit(Seq(2), "1234"));
    let page = world.reader.events(BOB, PAIR, Seq(1), Direction::Forward, 9, 5);
    assert_eq!(told(&page.expect("an answer").expect("a page")), (1, 1, vec![1]));
    let page = world.reader.events(BOB, PAIR, Seq(1), Direction::Forward, 9, 6);
    assert_eq!(
        told(&page.expect("an answer").expect("a page")),
        (1, 2, vec![1, 2])
    );
}

fn listed_reactions_fill_a_page_too(world: &mut World) {
    five(world);
    world.act(GROUP, ANN, react(Seq(2), "four"));
    let mut sized = |bytes| {
        let page = world
            .reader
            .events(ANN, GROUP, Seq(1), Direction::Forward, 9, bytes);
        told(&page.expect("an answer").expect("a page")).1
    };
    // Before it there are no bytes; it has five, and the reaction four more and those of its row.
    let bytes = 5 + 4 + crate::ReactionView::BYTES;
    assert_eq!((sized(bytes - 1), sized(bytes)), (1, 2));
}

fn a_page_speaks_for_what_it_does_not_show(world: &mut World) {
    world.people();
    world.group_of(&[]);
    world.say(GROUP, ANN, "");
    world.add(ANN, BOB);
    world.remove(ANN, BOB);
    world.say(GROUP, ANN, "");
    world.say(GROUP, ANN, "");
    world.add(ANN, BOB);
    world.say(GROUP, ANN, "");
    let (forward, backward) = (Direction::Forward, Direction::Backward);
    assert_eq!(page(world, BOB, 1, forward, 9), (1, 8, vec![3, 4, 7, 8]));
    assert_eq!(page(world, BOB, 1, forward, 2), (1, 4, vec![3, 4]));
    assert_eq!(page(world, BOB, 5, forward, 1), (5, 7, vec![7]));
    assert_eq!(page(world, BOB, 0, backward, 9), (1, 8, vec![3, 4, 7, 8]));
    assert_eq!(page(world, BOB, 6, backward, 1), (4, 6, vec![4]));
    assert_eq!(
        page(world, BOB, 2, backward, 1),
        (1, 2, vec![]),
        "nothing more, and it says so"
    );
}

fn a_former_member_s_pages_end(world: &mut World) {
    world.people();
    world.group_of(&[BOB]);
    world.remove(ANN, BOB);
    world.act(GROUP, ANN, message("unseen"));
    assert_eq!(page(world, BOB, 1, Direction::Forward, 9), (1, 2, vec![1, 2]));
    assert_eq!(page(world, BOB, 3, Direction::Forward, 9), (3, 2, vec![]));
    assert_eq!(page(world, BOB, 0, Direction::Backward, 9), (1, 2, vec![1, 2]));
    assert_eq!(world.page(BOB, GROUP).head, Seq(2));
}

fn strangers_get_no_page(world: &mut World) {
    five(world);
    assert_eq!(world.page_of(BOB, GROUP, 1), None);
    assert_eq!(world.page_of(UserId(u64::MAX), GROUP, 1), None);
}
