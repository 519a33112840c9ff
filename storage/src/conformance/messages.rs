//! Messages: permissions, seqs and ordinals, and repeated requests.

use bytes::Bytes;

use super::{
    cases,
    world::{
        ANN, BOB, CAT, DAN, GROUP, NOBODY, OWN, PAIR, World, cursor, direct, edit, message, react, recall,
        reply,
    },
};
use crate::{
    Action, ConversationId, ConversationKind, EventKind, Fingerprint, Outcome, Position, Refused, Role, Seq,
    Timestamp, Write,
};

cases![
    the_first_message_makes_a_pair,
    a_pair_is_for_its_two,
    an_own_log_is_for_its_user,
    impossible_conversations_are_not_found,
    groups_take_messages_of_members,
    message_kinds_are_1_to_31,
    seqs_and_ordinals_have_no_holes,
    a_clock_that_was_wrong_dates_one_message_alone,
    an_event_says_all_about_itself,
    a_repeated_request_meets_itself,
    a_repeated_request_meets_itself_within_a_batch,
    another_request_under_the_same_id_conflicts,
    client_ids_are_of_a_sender_in_a_conversation,
    a_duplicate_comes_before_permission,
    a_duplicate_shows_the_event_as_it_is_now,
    a_refused_request_may_come_again,
    refusals_leave_the_rest_of_a_batch_alone,
    writes_see_those_before_them,
    sending_is_reading,
    replies_need_a_visible_message,
];

fn the_first_message_makes_a_pair(world: &mut World) {
    world.people();
    assert_eq!(world.view_of(ANN, PAIR), None);
    assert_eq!(world.page_of(BOB, PAIR, 0), None);
    assert_eq!(world.say(PAIR, BOB, "hello"), Seq(1));
    let view = world.view(ANN, PAIR);
    assert_eq!(view.kind, ConversationKind::Direct);
    assert_eq!((view.peer, view.role, view.member), (Some(BOB), None, true));
    assert_eq!((view.member_count, view.first, view.roster), (2, Seq(1), Seq(0)));
    assert_eq!((view.head, view.head_ordinal, view.unread), (Seq(1), 1, 1));
    assert_eq!(world.view(BOB, PAIR).peer, Some(ANN));
    assert_eq!(world.view(BOB, PAIR).unread, 0);
    let members = world.reader.members(ANN, PAIR, NOBODY, 9).expect("members");
    assert_eq!(members, Some(Vec::new()));
    let members = world
        .reader
        .members(ANN, PAIR, crate::UserId(0), 9)
        .expect("members")
        .expect("some");
    let found: Vec<_> = members
        .iter()
        .map(|member| (member.user.id, member.role, member.joined))
        .collect();
    assert_eq!(found, [(ANN, Role::Member, Seq(1)), (BOB, Role::Member, Seq(1))]);
}

fn a_pair_is_for_its_two(world: &mut World) {
    world.people();
    world.refuse(PAIR, CAT, message(""), Refused::NotFound);
    world.refuse(direct(1, 99), ANN, message(""), Refused::NotFound);
    world.refuse(direct(1, 99), NOBODY, message(""), Refused::NotFound);
    world.say(PAIR, ANN, "");
    world.refuse(PAIR, CAT, message(""), Refused::NotFound);
    assert_eq!(world.view_of(CAT, PAIR), None);
    assert_eq!(world.page_of(CAT, PAIR, 1), None);
}

fn an_own_log_is_for_its_user(world: &mut World) {
    world.people();
    world.refuse(OWN, BOB, message(""), Refused::NotFound);
    world.refuse(ConversationId(99), NOBODY, message(""), Refused::NotFound);
    assert_eq!(world.say(OWN, ANN, "note"), Seq(1));
    let view = world.view(ANN, OWN);
    assert_eq!(view.kind, ConversationKind::Own);
    assert_eq!((view.peer, view.role, view.member_count), (None, None, 1));
    assert_eq!(world.view_of(BOB, OWN), None);
}

fn impossible_conversations_are_not_found(world: &mut World) {
    world.people();
    for id in [
        0,
        1 << 40,
        1 << 63,
        u64::MAX,
        direct(2, 1).0,
        direct(1, 1).0,
        direct(0, 1).0,
    ] {
        world.refuse(ConversationId(id), ANN, message(""), Refused::NotFound);
        assert_eq!(world.view_of(ANN, ConversationId(id)), None);
        assert_eq!(world.page_of(ANN, ConversationId(id), 1), None);
    }
}

fn groups_take_messages_of_members(world: &mut World) {
    world.people();
    world.refuse(GROUP, ANN, message(""), Refused::NotFound);
    world.group_of(&[BOB, CAT]);
    world.say(GROUP, BOB, "");
    world.refuse(GROUP, DAN, message(""), Refused::NotFound);
    world.remove(ANN, BOB);
    world.refuse(GROUP, BOB, message(""), Refused::Forbidden);
    world.act(GROUP, ANN, Action::Disband);
    world.refuse(GROUP, CAT, message(""), Refused::Gone);
    // Strangers and former members do not learn that the group has ended.
    world.refuse(GROUP, BOB, message(""), Refused::Forbidden);
    world.refuse(GROUP, DAN, message(""), Refused::NotFound);
}

fn message_kinds_are_1_to_31(world: &mut World) {
    world.people();
    let of_kind = |kind| Action::Message {
        kind,
        body: Bytes::new(),
        expires_at: Timestamp(0),
        reply_to: Seq(0),
    };
    for kind in [0, 32, 64, 255] {
        world.refuse(PAIR, ANN, of_kind(kind), Refused::Forbidden);
    }
    assert_eq!(world.act(PAIR, ANN, of_kind(1)).kind, EventKind::Message(1));
    assert_eq!(world.act(PAIR, ANN, of_kind(31)).kind, EventKind::Message(31));
}

fn seqs_and_ordinals_have_no_holes(world: &mut World) {
    world.people();
    let created = world.group_of(&[BOB]);
    assert_eq!(
        (created.seq, created.ordinal, created.roster),
        (Seq(1), 0, Seq(1))
    );
    let first = world.act(GROUP, BOB, message("one"));
    assert_eq!((first.seq, first.ordinal, first.roster), (Seq(2), 1, Seq(1)));
    world.refuse(GROUP, CAT, message(""), Refused::NotFound);
    let changed = world.act(GROUP, BOB, edit(Seq(2), "two"));
    assert_eq!(
        (changed.seq, changed.ordinal, changed.target),
        (Seq(3), 1, Seq(2))
    );
    let added = world.act(GROUP, BOB, super::world::add(&[CAT]));
    assert_eq!((added.seq, added.ordinal, added.roster), (Seq(4), 1, Seq(4)));
    let renamed = world.act(GROUP, ANN, super::world::rename("renamed"));
    assert_eq!((renamed.seq, renamed.roster), (Seq(5), Seq(4)));
    let last = world.act(GROUP, CAT, message("three"));
    assert_eq!((last.seq, last.ordinal, last.roster), (Seq(6), 2, Seq(4)));
    assert!(created.position < first.position && first.position < last.position);
    assert_eq!(world.position(), last.position);
}

fn a_clock_that_was_wrong_dates_one_message_alone(world: &mut World) {
    world.people();
    const TEN_YEARS: u64 = 10 * 365 * 86_400_000;
    // One after the other, and in one batch.
    for at in [50, 50 + TEN_YEARS, 60, 0] {
        let mut request = world.request(PAIR, ANN, message(""));
        request.at = Timestamp(at);
        let event = world.append(request).expect("appended").event;
        assert_eq!(event.at, Timestamp(at));
        assert_eq!(world.view(ANN, PAIR).last_at, Timestamp(at));
    }
    let times = [70, 70 + TEN_YEARS, 80, 79, u64::MAX, 81];
    let batch: Vec<Write> = times
        .iter()
        .map(|at| {
            let mut request = world.request(PAIR, BOB, message(""));
            request.at = Timestamp(*at);
            Write::Append(request)
        })
        .collect();
    for (outcome, at) in world.commit(&batch).into_iter().zip(times) {
        let Ok(Outcome::Appended(appended)) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(appended.event.at, Timestamp(at));
    }
    let page = world.page(ANN, PAIR);
    let kept = page.events.iter().map(|shown| shown.event.at.0);
    assert_eq!(
        kept.collect::<Vec<_>>(),
        [
            50,
            50 + TEN_YEARS,
            60,
            0,
            70,
            70 + TEN_YEARS,
            80,
            79,
            u64::MAX,
            81
        ]
    );
    assert_eq!(world.view(ANN, PAIR).last_at, Timestamp(81));
}

fn an_event_says_all_about_itself(world: &mut World) {
    world.people();
    let request = world.request(
        PAIR,
        BOB,
        Action::Message {
            kind: 7,
            body: Bytes::from_static(b"\0\xff body"),
            expires_at: Timestamp(u64::MAX),
            reply_to: Seq(0),
        },
    );
    let event = world.append(request.clone()).expect("appended").event;
    assert_eq!((event.conversation, event.sender), (PAIR, BOB));
    assert_eq!(
        (event.client_id, event.kind),
        (request.client_id, EventKind::Message(7))
    );
    assert_eq!(&event.body[..], b"\0\xff body");
    assert_eq!((event.expires_at, event.target), (Timestamp(u64::MAX), Seq(0)));
    assert_eq!((event.change.as_ref(), event.recalled), (None, false));
    assert_eq!(world.page(ANN, PAIR).events[0].event, event, "as it is read");
}

fn a_repeated_request_meets_itself(world: &mut World) {
    world.people();
    let request = world.request(PAIR, ANN, message("once"));
    let first = world.append(request.clone()).expect("appended");
    world.say(PAIR, BOB, "between");
    let position = world.position();
    let again = world.append(request).expect("a duplicate");
    assert!(!first.duplicate && again.duplicate);
    assert_eq!(first.event, again.event);
    assert_eq!(world.position(), position);
    assert_eq!(world.seqs(ANN, PAIR), [1, 2]);
}

fn a_repeated_request_meets_itself_within_a_batch(world: &mut World) {
    world.people();
    let request = Write::Append(world.request(PAIR, ANN, message("once")));
    let answers = world.commit(&[request.clone(), request]);
    let duplicates: Vec<bool> = answers
        .into_iter()
        .map(|answer| match answer {
            Ok(Outcome::Appended(appended)) => appended.duplicate,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(duplicates, [false, true]);
    assert_eq!(world.seqs(ANN, PAIR), [1]);
}

fn another_request_under_the_same_id_conflicts(world: &mut World) {
    world.people();
    let mut request = world.request(PAIR, ANN, message("one"));
    world.append(request.clone()).expect("appended");
    request.fingerprint = Fingerprint([9; 16]);
    assert_eq!(world.append(request), Err(Refused::Conflict));
    assert_eq!(world.seqs(ANN, PAIR), [1]);
}

fn client_ids_are_of_a_sender_in_a_conversation(world: &mut World) {
    world.people();
    let request = world.request(PAIR, ANN, message(""));
    let mut of_bob = request.clone();
    of_bob.sender = BOB;
    let mut elsewhere = request.clone();
    elsewhere.conversation = OWN;
    for request in [request, of_bob, elsewhere] {
        assert!(!world.append(request).expect("appended").duplicate);
    }
}

fn a_duplicate_comes_before_permission(world: &mut World) {
    world.people();
    world.group_of(&[BOB]);
    let request = world.request(GROUP, BOB, message("hi"));
    world.append(request.clone()).expect("appended");
    world.remove(ANN, BOB);
    assert!(world.append(request.clone()).expect("a duplicate").duplicate);
    let mut other = request;
    other.fingerprint = Fingerprint([9; 16]);
    assert_eq!(world.append(other), Err(Refused::Conflict));
}

fn a_duplicate_shows_the_event_as_it_is_now(world: &mut World) {
    world.people();
    let request = world.request(PAIR, ANN, message("secret"));
    let seq = world.append(request.clone()).expect("appended").event.seq;
    world.act(PAIR, ANN, recall(seq));
    let again = world.append(request).expect("a duplicate").event;
    assert!(again.recalled && again.body.is_empty());
}

fn a_refused_request_may_come_again(world: &mut World) {
    world.people();
    let request = world.request(GROUP, BOB, message("early"));
    assert_eq!(world.append(request.clone()), Err(Refused::NotFound));
    world.group_of(&[BOB]);
    assert!(!world.append(request).expect("appended").duplicate);
}

fn refusals_leave_the_rest_of_a_batch_alone(world: &mut World) {
    world.people();
    let good = Write::Append(world.request(PAIR, ANN, message("1")));
    let bad = Write::Append(world.request(PAIR, CAT, message("2")));
    let last = Write::Append(world.request(PAIR, BOB, message("3")));
    let answers = world.commit(&[good, bad, last]);
    assert!(answers[0].is_ok() && answers[2].is_ok());
    assert_eq!(answers[1], Err(Refused::NotFound));
    assert_eq!(world.seqs(ANN, PAIR), [1, 2]);
    assert_eq!(world.position(), Position(2));
    assert_eq!(world.commit(&[]), []);
}

fn writes_see_those_before_them(world: &mut World) {
    world.people();
    let create = Action::CreateGroup {
        name: "now".to_owned(),
        members: vec![BOB],
    };
    let batch = [
        Write::Append(world.request(GROUP, ANN, create)),
        Write::Append(world.request(GROUP, BOB, message("in"))),
        Write::Append(world.request(GROUP, ANN, Action::RemoveMember { user: BOB })),
        Write::Append(world.request(GROUP, BOB, message("out"))),
        Write::Cursors(vec![cursor(GROUP, ANN, 2, 2)]),
        Write::Append(world.request(GROUP, ANN, react(Seq(2), "+"))),
    ];
    let answers = world.commit(&batch);
    assert_eq!(answers[3], Err(Refused::Forbidden));
    // Removing a member counts as sending, which implies reading.
    assert_eq!(
        answers[4],
        Ok(Outcome::Cursors(Vec::new(), Position(0), Vec::new()))
    );
    assert!(answers[5].is_ok());
    assert_eq!(world.page(ANN, GROUP).events[1].reactions_total, 1);
}

fn sending_is_reading(world: &mut World) {
    world.people();
    world.say(PAIR, ANN, "1");
    world.say(PAIR, ANN, "2");
    assert_eq!(world.view(BOB, PAIR).unread, 2);
    let since = world.position();
    world.act(PAIR, BOB, react(Seq(1), "+"));
    let view = world.view(BOB, PAIR);
    assert_eq!((view.delivered, view.read, view.unread), (Seq(3), Seq(3), 0));
    // Other devices infer it from the event.
    assert!(world.changes(ANN, since, 9).cursors.is_empty());
}

fn replies_need_a_visible_message(world: &mut World) {
    world.people();
    world.refuse(PAIR, ANN, reply(Seq(1)), Refused::NotFound);
    world.group_of(&[BOB]);
    world.say(GROUP, ANN, "old");
    world.add(ANN, CAT);
    world.act(GROUP, BOB, reply(Seq(2)));
    world.refuse(GROUP, CAT, reply(Seq(2)), Refused::NotFound);
    world.refuse(GROUP, BOB, reply(Seq(1)), Refused::NotFound);
    world.refuse(GROUP, BOB, reply(Seq(77)), Refused::NotFound);
    world.refuse(GROUP, BOB, reply(Seq(u64::MAX)), Refused::NotFound);
    world.act(GROUP, CAT, reply(Seq(4)));
    world.act(GROUP, ANN, recall(Seq(2)));
    world.act(GROUP, BOB, reply(Seq(2)));
}
