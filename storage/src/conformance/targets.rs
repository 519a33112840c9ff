//! Edits, recalls and reactions.

use super::{
    cases,
    world::{ANN, BOB, CAT, DAN, GROUP, OWN, PAIR, World, edit, message, react, recall},
};
use crate::{
    Action, Event, EventKind, EventView, MessageKinds, Refused, Role, Rules, Seq, Timestamp, UserId,
};
use std::sync::Arc;

cases![
    an_edit_is_the_newest_revision,
    only_one_s_own_is_edited,
    targets_are_visible_messages,
    former_members_and_strangers_change_nothing,
    a_recall_erases_the_message_and_its_edits,
    a_recalled_message_is_gone,
    admins_recall_what_others_wrote,
    nobody_recalls_the_other_s_in_a_pair,
    a_reaction_takes_the_place_of_the_last,
    a_reaction_is_taken_back,
    a_reaction_that_is_there_is_not_made_again,
    an_edit_expires_with_its_message,
    what_has_expired_is_gone,
    an_edit_fits_what_it_replaces,
    reactions_are_cut_and_counted,
    what_came_after_one_left_stays_hidden,
    what_came_while_one_was_away_stays_hidden,
    a_message_of_an_earlier_stay_can_be_changed,
    who_was_away_counts_what_they_see,
    a_message_is_edited_so_often with Rules { message_edits_max: 2, ..super::RULES },
    a_message_has_so_many_reactions with Rules { message_reactions_max: 2, ..super::RULES },
];

fn first(world: &mut World, viewer: UserId, seq: Seq) -> EventView {
    let page = world.page(viewer, GROUP);
    let view = page.events.into_iter().find(|view| view.event.seq == seq);
    view.expect("a visible event")
}

fn an_edit_is_the_newest_revision(world: &mut World) {
    world.people();
    world.say(PAIR, ANN, "one");
    assert_eq!(world.page(BOB, PAIR).events[0].revision, None);
    world.act(PAIR, ANN, edit(Seq(1), "two"));
    let third = world.act(PAIR, ANN, edit(Seq(1), "three"));
    assert_eq!((third.kind, third.target), (EventKind::Edit, Seq(1)));
    let page = world.page(BOB, PAIR);
    assert_eq!(page.events[0].event.body, "one", "the event is as it was");
    let revision = page.events[0].revision.as_ref().expect("a revision");
    assert_eq!((revision.seq, &revision.body[..]), (Seq(3), &b"three"[..]));
    assert_eq!(page.events[1].event.body, "two");
    assert_eq!(page.events[1].revision, None);
}

fn only_one_s_own_is_edited(world: &mut World) {
    world.people();
    world.group_of(&[BOB]);
    world.say(GROUP, BOB, "mine");
    world.refuse(GROUP, ANN, edit(Seq(2), "ours"), Refused::Forbidden);
    world.say(OWN, ANN, "note");
    world.act(OWN, ANN, edit(Seq(1), "better note"));
}

fn targets_are_visible_messages(world: &mut World) {
    world.people();
    world.group_of(&[BOB]);
    world.say(GROUP, ANN, "one");
    world.act(GROUP, ANN, edit(Seq(2), "two"));
    for seq in [0, 1, 3, 4, u64::MAX] {
        let seq = Seq(seq);
        world.refuse(GROUP, ANN, edit(seq, ""), Refused::NotFound);
        world.refuse(GROUP, ANN, recall(seq), Refused::NotFound);
        world.refuse(GROUP, ANN, react(seq, "+"), Refused::NotFound);
    }
    world.add(ANN, CAT);
    world.promote(CAT, Role::Admin);
    world.refuse(GROUP, CAT, recall(Seq(2)), Refused::NotFound);
    world.refuse(GROUP, CAT, react(Seq(2), "+"), Refused::NotFound);
}

fn former_members_and_strangers_change_nothing(world: &mut World) {
    world.people();
    for action in [edit(Seq(1), ""), recall(Seq(1)), react(Seq(1), "+")] {
        world.refuse(PAIR, ANN, action.clone(), Refused::NotFound);
        world.refuse(GROUP, ANN, action, Refused::NotFound);
    }
    world.group_of(&[BOB, CAT]);
    world.say(GROUP, BOB, "mine");
    world.remove(ANN, BOB);
    for action in [edit(Seq(2), ""), recall(Seq(2)), react(Seq(2), "+")] {
        world.refuse(GROUP, BOB, action.clone(), Refused::Forbidden);
        world.refuse(GROUP, DAN, action, Refused::NotFound);
    }
    world.act(GROUP, ANN, Action::Disband);
    for action in [edit(Seq(2), ""), recall(Seq(2)), react(Seq(2), "+")] {
        world.refuse(GROUP, CAT, action, Refused::Gone);
    }
}

fn a_recall_erases_the_message_and_its_edits(world: &mut World) {
    world.people();
    world.say(PAIR, ANN, "one");
    world.act(PAIR, ANN, edit(Seq(1), "two"));
    world.act(PAIR, BOB, react(Seq(1), "+"));
    world.say(PAIR, ANN, "other");
    let event = world.act(PAIR, ANN, recall(Seq(1)));
    assert_eq!(
        (event.kind, event.target, event.recalled),
        (EventKind::Recall, Seq(1), false)
    );
    assert!(event.body.is_empty());
    let page = world.page(BOB, PAIR);
    for view in &page.events[..2] {
        assert!(view.event.recalled && view.event.body.is_empty());
        assert_eq!(view.revision, None);
    }
    assert_eq!(page.events[0].event.ordinal, 1, "it keeps its place");
    assert_eq!(page.events[2].event.body, "reaction");
    assert_eq!(page.events[3].event.body, "other");
    assert!(!page.events[3].event.recalled);
}

fn a_recalled_message_is_gone(world: &mut World) {
    world.people();
    world.say(PAIR, ANN, "one");
    world.act(PAIR, ANN, recall(Seq(1)));
    world.refuse(PAIR, ANN, recall(Seq(1)), Refused::Gone);
    world.refuse(PAIR, ANN, edit(Seq(1), "two"), Refused::Gone);
    world.refuse(PAIR, BOB, react(Seq(1), "+"), Refused::Gone);
    // The sender is checked first.
    world.refuse(PAIR, BOB, edit(Seq(1), "two"), Refused::Forbidden);
    world.refuse(PAIR, BOB, recall(Seq(1)), Refused::Forbidden);
}

fn admins_recall_what_others_wrote(world: &mut World) {
    world.people();
    world.group_of(&[BOB, CAT]);
    world.promote(BOB, Role::Admin);
    let (of_ann, of_cat) = (world.say(GROUP, ANN, "a"), world.say(GROUP, CAT, "c"));
    world.refuse(GROUP, CAT, recall(of_ann), Refused::Forbidden);
    world.act(GROUP, BOB, recall(of_ann));
    world.act(GROUP, ANN, recall(of_cat));
}

fn nobody_recalls_the_other_s_in_a_pair(world: &mut World) {
    world.people();
    world.say(PAIR, ANN, "mine");
    world.refuse(PAIR, BOB, recall(Seq(1)), Refused::Forbidden);
    world.act(PAIR, ANN, recall(Seq(1)));
}

fn a_reaction_takes_the_place_of_the_last(world: &mut World) {
    world.people();
    world.group_of(&[BOB]);
    world.say(GROUP, ANN, "look");
    world.act(GROUP, BOB, react(Seq(2), "+"));
    world.act(GROUP, ANN, react(Seq(2), "!"));
    let event = world.act(GROUP, BOB, react(Seq(2), "-"));
    assert_eq!((event.kind, event.target), (EventKind::Reaction, Seq(2)));
    assert_eq!(event.body, "reaction");
    let view = first(world, ANN, Seq(2));
    let found: Vec<_> = view
        .reactions
        .iter()
        .map(|reaction| (reaction.user, reaction.reaction.as_str(), reaction.seq))
        .collect();
    assert_eq!(
        found,
        [(BOB, "-", Seq(5)), (ANN, "!", Seq(4))],
        "the newest first"
    );
    assert_eq!(view.reactions_total, 2);
}

fn a_reaction_is_taken_back(world: &mut World) {
    world.people();
    world.group_of(&[BOB]);
    world.say(GROUP, ANN, "look");
    world.act(GROUP, BOB, react(Seq(2), "+"));
    world.act(GROUP, BOB, react(Seq(2), ""));
    let view = first(world, ANN, Seq(2));
    assert_eq!((view.reactions.len(), view.reactions_total), (0, 0));
}

fn a_reaction_that_is_there_is_not_made_again(world: &mut World) {
    world.people();
    world.group_of(&[BOB]);
    world.say(GROUP, ANN, "look");
    world.refuse(GROUP, BOB, react(Seq(2), ""), Refused::NothingToDo);
    world.act(GROUP, BOB, react(Seq(2), "+"));
    world.refuse(GROUP, BOB, react(Seq(2), "+"), Refused::NothingToDo);
    world.act(GROUP, ANN, react(Seq(2), "+"));
    world.act(GROUP, BOB, react(Seq(2), ""));
    world.refuse(GROUP, BOB, react(Seq(2), ""), Refused::NothingToDo);
    world.act(GROUP, BOB, react(Seq(2), "+"));
}

/// A message of [`PAIR`] that has expired at this time, and one that never does.
fn expiring(world: &mut World, expires_at: u64) -> Seq {
    let action = Action::Message {
        kind: 1,
        body: "secret".into(),
        expires_at: Timestamp(expires_at),
        reply_to: Seq(0),
    };
    world.act(PAIR, ANN, action).seq
}

/// The same request with another time of the server's clock.
fn at(world: &mut World, sender: UserId, action: Action, time: u64) -> Result<Arc<Event>, Refused> {
    let mut request = world.request(PAIR, sender, action);
    request.at = Timestamp(time);
    world.append(request).map(|appended| appended.event)
}

fn an_edit_expires_with_its_message(world: &mut World) {
    world.people();
    let seq = expiring(world, 5_000);
    let edited = at(world, ANN, edit(seq, "other"), 4_999).expect("it lasts still");
    assert_eq!(edited.expires_at, Timestamp(5_000));
    let page = world.page(BOB, PAIR);
    assert!(
        page.events
            .iter()
            .all(|view| view.event.expires_at == Timestamp(5_000))
    );
    let lasting = world.say(PAIR, ANN, "for ever");
    let edited = world.act(PAIR, ANN, edit(lasting, "for ever and ever"));
    assert_eq!(edited.expires_at, Timestamp(0));
}

fn what_has_expired_is_gone(world: &mut World) {
    world.people();
    let seq = expiring(world, 5_000);
    at(world, BOB, react(seq, "+"), 4_999).expect("it lasts still");
    for time in [5_000, 9_000] {
        for action in [edit(seq, "other"), react(seq, "-"), react(seq, "")] {
            assert_eq!(at(world, ANN, action, time), Err(Refused::Gone));
        }
        assert_eq!(at(world, BOB, react(seq, "+"), time), Err(Refused::Gone));
        // The sender is checked first.
        assert_eq!(at(world, BOB, edit(seq, "mine"), time), Err(Refused::Forbidden));
    }
    at(world, ANN, recall(seq), 9_000).expect("it can be erased");
    let page = world.page(BOB, PAIR);
    assert!(page.events[0].event.recalled && page.events[0].event.body.is_empty());
}

fn an_edit_fits_what_it_replaces(world: &mut World) {
    world.people();
    for kind in [1, 2, 8, 31] {
        let message = Action::Message {
            kind,
            body: "it".into(),
            expires_at: Timestamp(0),
            reply_to: Seq(0),
        };
        let target = world.act(PAIR, ANN, message).seq;
        let as_kinds = |fits| Action::Edit {
            target,
            body: "other".into(),
            fits,
        };
        let others = (1..=31).filter(|other| *other != kind);
        let others = others.fold(MessageKinds::NONE, MessageKinds::and);
        world.refuse(PAIR, ANN, as_kinds(MessageKinds::NONE), Refused::Unfit);
        world.refuse(PAIR, ANN, as_kinds(others), Refused::Unfit);
        world.act(PAIR, ANN, as_kinds(MessageKinds::NONE.and(kind)));
    }
}

fn reactions_are_cut_and_counted(world: &mut World) {
    let count = EventView::REACTIONS_MAX as u64 + 3;
    world.accounts(count);
    let others: Vec<UserId> = (2..=count).map(UserId).collect();
    world.group_of(&others);
    world.say(GROUP, ANN, "look");
    for user in 1..=count {
        world.act(GROUP, UserId(user), react(Seq(2), "+"));
    }
    let view = first(world, ANN, Seq(2));
    assert_eq!(view.reactions.len(), EventView::REACTIONS_MAX);
    assert_eq!(u64::from(view.reactions_total), count);
    assert_eq!(view.reactions[0].user, UserId(count));
    assert!(
        view.reactions
            .is_sorted_by_key(|reaction| std::cmp::Reverse(reaction.seq))
    );
}

fn what_came_after_one_left_stays_hidden(world: &mut World) {
    world.people();
    world.group_of(&[BOB]);
    world.say(GROUP, ANN, "one");
    world.act(GROUP, ANN, edit(Seq(2), "two"));
    world.remove(ANN, BOB);
    world.act(GROUP, ANN, edit(Seq(2), "three"));
    world.act(GROUP, ANN, react(Seq(2), "+"));
    let of_bob = first(world, BOB, Seq(2));
    assert_eq!(of_bob.revision.expect("a revision").body, "two");
    assert_eq!((of_bob.reactions.len(), of_bob.reactions_total), (0, 0));
    let of_ann = first(world, ANN, Seq(2));
    assert_eq!(of_ann.revision.expect("a revision").body, "three");
    assert_eq!(of_ann.reactions_total, 1);
    // An erased body is erased for all.
    world.act(GROUP, ANN, recall(Seq(2)));
    let of_bob = first(world, BOB, Seq(2));
    assert!(of_bob.event.recalled && of_bob.event.body.is_empty() && of_bob.revision.is_none());
}

fn what_came_while_one_was_away_stays_hidden(world: &mut World) {
    world.people();
    world.group_of(&[BOB]);
    world.say(GROUP, ANN, "one");
    world.remove(ANN, BOB);
    world.act(GROUP, ANN, edit(Seq(2), "two"));
    world.add(ANN, BOB);
    assert_eq!(first(world, BOB, Seq(2)).revision, None);
    world.act(GROUP, ANN, edit(Seq(2), "three"));
    assert_eq!(
        first(world, BOB, Seq(2)).revision.expect("a revision").body,
        "three"
    );
}

fn a_message_of_an_earlier_stay_can_be_changed(world: &mut World) {
    world.people();
    world.group_of(&[BOB]);
    let early = world.say(GROUP, BOB, "early");
    world.remove(ANN, BOB);
    let away = world.say(GROUP, ANN, "away");
    world.add(ANN, BOB);
    world.act(GROUP, BOB, edit(early, "late"));
    world.refuse(GROUP, BOB, react(away, "+"), Refused::NotFound);
    world.act(GROUP, BOB, message("back"));
}

fn who_was_away_counts_what_they_see(world: &mut World) {
    world.people();
    world.group_of(&[BOB, CAT, DAN]);
    world.say(GROUP, ANN, "look");
    world.act(GROUP, ANN, react(Seq(2), "a"));
    world.act(GROUP, CAT, react(Seq(2), "c"));
    world.remove(ANN, BOB);
    // While Bob is away one reaction is new, and one replaces another that he saw.
    world.act(GROUP, DAN, react(Seq(2), "d"));
    world.act(GROUP, CAT, react(Seq(2), "away"));
    world.act(GROUP, ANN, edit(Seq(2), "away"));
    let of_bob = first(world, BOB, Seq(2));
    assert_eq!((of_bob.reactions.len(), of_bob.reactions_total), (2, 2));
    world.add(ANN, BOB);
    let of_bob = first(world, BOB, Seq(2));
    assert_eq!((of_bob.reactions.len(), of_bob.reactions_total), (2, 2));
    assert_eq!((&*of_bob.reactions[0].reaction, of_bob.revision), ("c", None));
    world.act(GROUP, DAN, react(Seq(2), "back"));
    world.act(GROUP, ANN, react(Seq(2), ""));
    world.act(GROUP, BOB, react(Seq(2), "b"));
    world.remove(ANN, BOB);
    world.add(ANN, BOB);
    let of_bob = first(world, BOB, Seq(2));
    let users: Vec<UserId> = of_bob.reactions.iter().map(|reaction| reaction.user).collect();
    assert_eq!((users, of_bob.reactions_total), (vec![BOB, DAN, CAT], 3));
    assert_eq!(first(world, ANN, Seq(2)).reactions_total, 3);
}

fn a_message_is_edited_so_often(world: &mut World) {
    world.people();
    world.say(PAIR, ANN, "one");
    world.say(PAIR, ANN, "other");
    world.act(PAIR, ANN, edit(Seq(1), "two"));
    let request = world.request(PAIR, ANN, edit(Seq(1), "three"));
    world.append(request.clone()).expect("the last one");
    world.refuse(PAIR, ANN, edit(Seq(1), "four"), Refused::LimitReached);
    // The earlier rules come first.
    world.refuse(PAIR, BOB, edit(Seq(1), ""), Refused::Forbidden);
    assert!(world.append(request).expect("the same").duplicate);
    world.act(PAIR, ANN, edit(Seq(2), "another's edits do not count"));
    world.act(PAIR, ANN, recall(Seq(1)));
    world.refuse(PAIR, ANN, edit(Seq(1), ""), Refused::Gone);
}

fn a_message_has_so_many_reactions(world: &mut World) {
    world.people();
    world.group_of(&[BOB, CAT]);
    world.say(GROUP, ANN, "look");
    world.say(GROUP, ANN, "and look");
    for user in [ANN, BOB] {
        world.act(GROUP, user, react(Seq(2), "+"));
    }
    world.refuse(GROUP, CAT, react(Seq(2), "+"), Refused::LimitReached);
    world.act(GROUP, CAT, react(Seq(3), "+"));
    world.act(GROUP, BOB, react(Seq(2), "-"));
    world.refuse(GROUP, CAT, react(Seq(2), ""), Refused::NothingToDo);
    assert_eq!(first(world, ANN, Seq(2)).reactions_total, 2);
    world.act(GROUP, BOB, react(Seq(2), ""));
    world.act(GROUP, CAT, react(Seq(2), "+"));
    world.refuse(GROUP, BOB, react(Seq(2), "+"), Refused::LimitReached);
    assert_eq!(first(world, ANN, Seq(2)).reactions_total, 2);
}
