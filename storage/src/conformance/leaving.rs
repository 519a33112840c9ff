//! Former members see a group as it was when they went, in every answer, until they come back.

use super::{
    cases,
    world::{ANN, BOB, CAT, DAN, GROUP, World, add, cursor, react, recall, rename, set},
};
use crate::{Action, ConversationView, GroupSetting, Role, Seq, Snapshot};

cases![
    who_was_removed_sees_the_group_as_it_was,
    who_left_sees_the_group_as_it_was,
    who_comes_back_sees_what_is,
    who_goes_again_sees_what_was_then,
    a_former_member_s_cursor_is_their_own_business,
    reactions_stay_what_they_were_for_who_went,
];

/// Bob's view, which must be the same in each answer that has it.
fn seen_by_bob(world: &mut World) -> ConversationView {
    let view = world.view(BOB, GROUP);
    let listed = world.reader.conversations(BOB, None, 9).expect("a list");
    let changed = world.changes(BOB, crate::Position(0), 9);
    assert_eq!((&listed, &changed.conversations), (&vec![view.clone()], &listed));
    view
}

/// Changes everything about the group that can change, without Bob.
fn go_on(world: &mut World) {
    world.say(GROUP, CAT, "unseen");
    for setting in GroupSetting::ALL {
        world.act(GROUP, ANN, set(*setting, "unseen"));
    }
    world.act(GROUP, ANN, add(&[DAN]));
    world.promote(CAT, Role::Admin);
    world.act(GROUP, CAT, Action::Leave);
    world.cursors(&[cursor(GROUP, DAN, 9, 9)]);
    world.act(GROUP, ANN, Action::Disband);
}

fn who_was_removed_sees_the_group_as_it_was(world: &mut World) {
    world.people();
    world.group_of(&[BOB, CAT]);
    world.say(GROUP, ANN, "seen");
    let went = world.remove(ANN, BOB);
    let then = seen_by_bob(world);
    assert_eq!(
        (then.settings.get(GroupSetting::Name), then.member_count),
        ("group", 2),
        "without them"
    );
    assert_eq!((then.roster, then.head, then.disbanded), (went, went, false));
    go_on(world);
    assert_eq!(seen_by_bob(world), then);
    let now = world.view(ANN, GROUP);
    assert_eq!(
        (now.settings.get(GroupSetting::Name), now.disbanded),
        ("unseen", true)
    );
    assert_eq!(world.seqs(BOB, GROUP), [1, 2, 3]);
}

fn who_left_sees_the_group_as_it_was(world: &mut World) {
    world.people();
    world.group_of(&[BOB, CAT]);
    let said = world.say(GROUP, ANN, "seen");
    world.act(GROUP, BOB, Action::Leave);
    let then = seen_by_bob(world);
    go_on(world);
    assert_eq!(seen_by_bob(world), then);
    let page = world.page(BOB, GROUP);
    assert!(page.events.iter().all(|view| view.event.seq <= then.head));
    assert_eq!(page.events[1].event.seq, said);
    // Their view stays as it was; but erased bodies are erased for all.
    assert!(!page.events[1].event.recalled);
}

fn who_comes_back_sees_what_is(world: &mut World) {
    world.people();
    world.group_of(&[BOB, CAT]);
    let said = world.say(GROUP, ANN, "seen");
    world.remove(ANN, BOB);
    world.say(GROUP, ANN, "unseen");
    world.act(GROUP, ANN, rename("plot"));
    world.act(GROUP, ANN, recall(said));
    let back = world.add(ANN, BOB);
    let view = seen_by_bob(world);
    assert_eq!(
        (view.settings.get(GroupSetting::Name), view.member_count),
        ("plot", 3)
    );
    assert_eq!((view.first, view.joined, view.roster), (Seq(1), back, back));
    assert_eq!((view.joined_ordinal, view.head_ordinal, view.unread), (2, 2, 0));
    assert_eq!(world.seqs(BOB, GROUP), [1, 2, 3, back.0]);
}

fn who_goes_again_sees_what_was_then(world: &mut World) {
    world.people();
    world.group_of(&[BOB, CAT]);
    world.remove(ANN, BOB);
    world.act(GROUP, ANN, rename("second"));
    world.add(ANN, BOB);
    world.say(GROUP, ANN, "unread");
    world.act(GROUP, BOB, Action::Leave);
    let then = seen_by_bob(world);
    assert_eq!(
        (then.settings.get(GroupSetting::Name), then.first, then.joined),
        ("second", Seq(1), Seq(4))
    );
    assert_eq!((then.unread, then.read), (0, then.head), "who leaves has read it");
    go_on(world);
    assert_eq!(seen_by_bob(world), then);
}

/// The reactions to a message that this user sees, the newest first.
fn reactions(world: &mut World, viewer: crate::UserId, message: Seq) -> Vec<String> {
    let page = world.page(viewer, GROUP);
    let view = page.events.iter().find(|view| view.event.seq == message);
    let view = view.expect("the message");
    assert_eq!(view.reactions_total as usize, view.reactions.len());
    view.reactions
        .iter()
        .map(|reaction| reaction.reaction.clone())
        .collect()
}

fn reactions_stay_what_they_were_for_who_went(world: &mut World) {
    world.people();
    world.group_of(&[BOB, CAT]);
    let said = world.say(GROUP, ANN, "seen");
    world.act(GROUP, ANN, react(said, "a1"));
    world.act(GROUP, CAT, react(said, "c1"));
    // No member comes or goes between the two, so no user sees only the first one.
    world.act(GROUP, CAT, react(said, "c2"));
    world.remove(ANN, BOB);
    world.act(GROUP, ANN, react(said, "a2"));
    world.act(GROUP, CAT, react(said, ""));
    assert_eq!(reactions(world, BOB, said), ["c2", "a1"]);
    assert_eq!(reactions(world, CAT, said), ["a2"]);
    world.act(GROUP, ANN, react(said, "a3"));
    world.act(GROUP, CAT, react(said, "c3"));
    assert_eq!(reactions(world, BOB, said), ["c2", "a1"]);
    // After his return he sees new changes, and of the earlier ones those that he saw before.
    world.add(ANN, BOB);
    assert_eq!(reactions(world, BOB, said), ["c2", "a1"]);
    world.act(GROUP, CAT, react(said, ""));
    assert_eq!(reactions(world, BOB, said), ["a1"], "he saw it taken back");
    world.act(GROUP, ANN, react(said, "a4"));
    assert_eq!(reactions(world, BOB, said), ["a4"]);
    world.act(GROUP, BOB, Action::Leave);
    world.act(GROUP, ANN, react(said, ""));
    assert_eq!(reactions(world, BOB, said), ["a4"]);
    assert!(reactions(world, CAT, said).is_empty());
}

fn a_former_member_s_cursor_is_their_own_business(world: &mut World) {
    world.people();
    world.group_of(&[BOB, CAT]);
    world.say(GROUP, ANN, "unread");
    world.remove(ANN, BOB);
    assert_eq!(world.view(BOB, GROUP).unread, 1);
    let since = world.position();
    let (moved, _) = world.cursors(&[cursor(GROUP, BOB, 2, 2)]);
    assert_eq!(moved, [cursor(GROUP, BOB, 2, 2)]);
    assert_eq!(world.view(BOB, GROUP).unread, 0);
    for (viewer, shown) in [(ANN, 0), (BOB, 1), (CAT, 0), (DAN, 0)] {
        let changes = world.reader.changes(viewer, &Snapshot::at(since), 9);
        assert_eq!(changes.expect("changes").cursors.len(), shown, "{viewer:?}");
    }
    world.add(ANN, BOB);
    let changes = world.changes(ANN, since, 9);
    assert_eq!(changes.cursors.len(), 1, "a member's again");
}
