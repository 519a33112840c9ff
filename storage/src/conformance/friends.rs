//! Friends, blocks, and what they close.

use super::{
    cases,
    world::{ANN, BOB, CAT, DAN, GROUP, OWN, PAIR, World, add, direct, edit, message, react, recall},
};
use crate::{
    Action, Appended, ConversationId, EntryClass, EventKind, Refused, Rules, Seq, Timestamp, UserId,
    entry::{ADD_TO_GROUPS, MESSAGE_ME, block_key, friend_key},
    friend::{Friend, FriendState, PersonAct, PersonAction, REQUEST_LASTS_MS},
};

const SMALL: Rules = Rules {
    friends_max: 1,
    friend_requests_max: 2,
    blocks_max: 1,
    ..super::RULES
};

cases![
    a_request_is_in_both_logs,
    yes_makes_friends_in_one_transaction,
    no_is_not_told,
    requests_that_cross_make_friends,
    a_request_is_withdrawn,
    requests_expire,
    private_words_stay_private_and_stay,
    the_end_is_on_both_sides,
    there_is_room_for_so_many with SMALL,
    the_oldest_request_goes_for_a_new_one with SMALL,
    the_blocked_are_not_told,
    a_block_closes_and_ends_what_was,
    friends_alone_may_begin,
    the_end_of_a_friendship_may_close,
    people_say_who_may_add_them,
    nobody_acts_in_anothers_log,
];

fn person(with: UserId, act: PersonAct) -> Action {
    Action::Person(PersonAction { with, act })
}

fn ask(with: UserId) -> Action {
    let greeting = "hello".to_owned();
    person(with, PersonAct::Request { greeting })
}

fn answer(with: UserId, accept: bool) -> Action {
    person(with, PersonAct::Answer { accept })
}

fn own(user: UserId) -> ConversationId {
    ConversationId::own(user)
}

fn set(key: &str, value: &'static str) -> Action {
    Action::SetEntry {
        key: key.to_owned(),
        value: value.as_bytes().into(),
    }
}

/// Acts in the own log; it must succeed.
fn act(world: &mut World, who: UserId, action: Action) -> Appended {
    let request = world.request(own(who), who, action);
    world.append(request).expect("it may")
}

fn befriend(world: &mut World, one: UserId, other: UserId) {
    act(world, one, ask(other));
    act(world, other, answer(one, true));
}

fn class(world: &mut World, of: UserId, key: String) -> Option<EntryClass> {
    let classes = world.reader.entry_classes(&[(of, key)]).expect("an answer");
    classes[0]
}

/// What a person is to a user.
fn is(world: &mut World, to: UserId, person: UserId) -> Option<EntryClass> {
    class(world, to, friend_key(person))
}

fn friend(world: &mut World, of: UserId, with: UserId) -> Friend {
    let key = friend_key(with);
    let page = world.reader.entries(of, &key, "", 1).expect("a page");
    Friend::of_value(&page.entries[0].value).expect("a friend")
}

fn a_request_is_in_both_logs(world: &mut World) {
    world.people();
    let asked = act(world, ANN, ask(BOB));
    let [told] = &asked.others[..] else {
        panic!("{asked:?}")
    };
    assert_eq!((asked.event.conversation, asked.event.sender), (own(ANN), ANN));
    assert_eq!((told.conversation, told.sender), (own(BOB), UserId::SERVER));
    assert!(asked.event.position < told.position);
    assert_eq!(is(world, ANN, BOB), Some(EntryClass::Requested));
    assert_eq!(is(world, BOB, ANN), Some(EntryClass::Incoming));
    let seen = friend(world, BOB, ANN);
    assert_eq!(
        (seen.state, seen.greeting.as_str()),
        (FriendState::Incoming, "hello")
    );
    // The same again is the same one, and what the server wrote is nobody's sending.
    world.refuse(own(ANN), ANN, ask(BOB), Refused::NothingToDo);
    let view = world.view(BOB, own(BOB));
    assert_eq!((view.head, view.unread, view.read), (Seq(1), 0, Seq(0)));
    // It can be repeated, for ever.
    let request = world.request(own(CAT), CAT, ask(BOB));
    let first = world.append(request.clone()).expect("asked");
    act(world, BOB, answer(CAT, true));
    let again = world.append(request).expect("the first answer");
    assert!(again.duplicate && again.event.seq == first.event.seq && again.others.is_empty());
}

fn yes_makes_friends_in_one_transaction(world: &mut World) {
    world.people();
    act(world, ANN, ask(BOB));
    let yes = act(world, BOB, answer(ANN, true));
    let logs: Vec<ConversationId> = yes.others.iter().map(|event| event.conversation).collect();
    assert_eq!(logs, [own(ANN), PAIR]);
    assert_eq!(yes.others[1].kind, EventKind::BecameFriends);
    for (to, person) in [(ANN, BOB), (BOB, ANN)] {
        assert_eq!(is(world, to, person), Some(EntryClass::Friends));
        assert_eq!(world.view(to, PAIR).unread, 0);
    }
    // What the entry was before has no body any more.
    let page = world.page(ANN, own(ANN));
    let bodies: Vec<bool> = page
        .events
        .iter()
        .map(|view| view.event.body.is_empty())
        .collect();
    assert_eq!(bodies, [true, false]);
    world.refuse(own(ANN), ANN, ask(BOB), Refused::NothingToDo);
    world.refuse(own(ANN), ANN, answer(BOB, true), Refused::NotFound);
}

fn no_is_not_told(world: &mut World) {
    world.people();
    act(world, ANN, ask(BOB));
    let no = act(world, BOB, answer(ANN, false));
    assert_eq!(no.others, []);
    assert_eq!(is(world, ANN, BOB), Some(EntryClass::Requested));
    assert_eq!(is(world, BOB, ANN), None);
    world.refuse(own(BOB), BOB, answer(ANN, true), Refused::NotFound);
}

fn requests_that_cross_make_friends(world: &mut World) {
    world.people();
    act(world, ANN, ask(BOB));
    // Also after a no.
    act(world, BOB, answer(ANN, false));
    act(world, BOB, ask(ANN));
    for (to, person) in [(ANN, BOB), (BOB, ANN)] {
        assert_eq!(is(world, to, person), Some(EntryClass::Friends));
    }
}

fn a_request_is_withdrawn(world: &mut World) {
    world.people();
    act(world, ANN, ask(BOB));
    act(world, ANN, person(BOB, PersonAct::Withdraw));
    assert_eq!((is(world, ANN, BOB), is(world, BOB, ANN)), (None, None));
    let withdraw = person(BOB, PersonAct::Withdraw);
    world.refuse(own(ANN), ANN, withdraw, Refused::NothingToDo);
}

fn requests_expire(world: &mut World) {
    world.people();
    let at = |world: &mut World, who, action, ms| {
        let mut request = world.request(own(who), who, action);
        request.at = Timestamp(ms);
        world.append(request)
    };
    at(world, ANN, ask(BOB), 1_000).expect("asked");
    let last = 1_000 + REQUEST_LASTS_MS - 1;
    assert_eq!(at(world, ANN, ask(BOB), last), Err(Refused::NothingToDo));
    assert_eq!(
        at(world, BOB, answer(ANN, true), last + 1),
        Err(Refused::NotFound)
    );
    at(world, ANN, ask(BOB), last + 1).expect("asked anew");
    at(world, BOB, answer(ANN, true), last + 2).expect("friends");
}

fn private_words_stay_private_and_stay(world: &mut World) {
    world.people();
    let note = || {
        let (remark, tags) = ("Bobby".to_owned(), vec!["work".to_owned()]);
        person(BOB, PersonAct::Note { remark, tags })
    };
    world.refuse(own(ANN), ANN, note(), Refused::NotFound);
    befriend(world, ANN, BOB);
    let since = friend(world, ANN, BOB).since;
    let noted = act(world, ANN, note());
    assert_eq!(noted.others, []);
    world.refuse(own(ANN), ANN, note(), Refused::NothingToDo);
    let seen = friend(world, ANN, BOB);
    assert_eq!((seen.remark.as_str(), seen.since), ("Bobby", since));
    assert_eq!(friend(world, BOB, ANN).remark, "");
}

fn the_end_is_on_both_sides(world: &mut World) {
    world.people();
    let end = || person(ANN, PersonAct::Remove);
    world.refuse(own(BOB), BOB, end(), Refused::NothingToDo);
    befriend(world, ANN, BOB);
    act(world, BOB, end());
    assert_eq!((is(world, ANN, BOB), is(world, BOB, ANN)), (None, None));
    // Everybody may write to both: nothing is closed.
    world.say(PAIR, ANN, "why");
}

fn there_is_room_for_so_many(world: &mut World) {
    world.accounts(6);
    befriend(world, ANN, BOB);
    act(world, ANN, ask(CAT));
    world.refuse(own(CAT), CAT, answer(ANN, true), Refused::LimitReached);
    act(world, UserId(6), ask(ANN));
    world.refuse(own(ANN), ANN, answer(UserId(6), true), Refused::LimitReached);
    world.refuse(own(ANN), ANN, ask(UserId(6)), Refused::LimitReached);
    act(world, ANN, ask(DAN));
    world.refuse(own(ANN), ANN, ask(UserId(5)), Refused::LimitReached);
    act(world, ANN, person(CAT, PersonAct::Withdraw));
    act(world, ANN, ask(UserId(5)));
    act(world, ANN, person(CAT, PersonAct::Block));
    let block = person(DAN, PersonAct::Block);
    world.refuse(own(ANN), ANN, block, Refused::LimitReached);
}

fn the_oldest_request_goes_for_a_new_one(world: &mut World) {
    world.accounts(6);
    for who in [BOB, CAT] {
        act(world, who, ask(ANN));
    }
    let asked = act(world, DAN, ask(ANN));
    let kinds: Vec<EventKind> = asked.others.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::EntryRemoved, EventKind::EntrySet]);
    assert_eq!(is(world, ANN, BOB), None);
    assert_eq!(is(world, BOB, ANN), Some(EntryClass::Requested), "it is not told");
    assert_eq!(is(world, ANN, CAT), Some(EntryClass::Incoming));
    assert_eq!(is(world, ANN, DAN), Some(EntryClass::Incoming));
}

fn the_blocked_are_not_told(world: &mut World) {
    world.people();
    let block = act(world, ANN, person(BOB, PersonAct::Block));
    assert_eq!(block.others, []);
    let asked = act(world, BOB, ask(ANN));
    assert_eq!(asked.others, []);
    assert_eq!(is(world, BOB, ANN), Some(EntryClass::Requested));
    assert_eq!(is(world, ANN, BOB), None);
    world.refuse(own(ANN), ANN, ask(BOB), Refused::Forbidden);
    world.refuse(own(ANN), ANN, person(BOB, PersonAct::Block), Refused::NothingToDo);
    // Nobody says the first word.
    world.refuse(PAIR, BOB, message("hello"), Refused::Forbidden);
    world.refuse(PAIR, ANN, message("hello"), Refused::Forbidden);
    act(world, ANN, person(BOB, PersonAct::Unblock));
    world.refuse(
        own(ANN),
        ANN,
        person(BOB, PersonAct::Unblock),
        Refused::NothingToDo,
    );
    assert_eq!(class(world, ANN, block_key(BOB)), None);
    world.say(PAIR, BOB, "hello");
    // His request is open still.
    act(world, ANN, ask(BOB));
    assert_eq!(is(world, ANN, BOB), Some(EntryClass::Friends));
}

fn a_block_closes_and_ends_what_was(world: &mut World) {
    world.people();
    befriend(world, ANN, BOB);
    let said = world.say(PAIR, BOB, "hello");
    act(world, ANN, person(BOB, PersonAct::Block));
    assert_eq!((is(world, ANN, BOB), is(world, BOB, ANN)), (None, None));
    for user in [ANN, BOB] {
        assert!(world.view(user, PAIR).closed);
        world.refuse(PAIR, user, message("again"), Refused::Forbidden);
        world.refuse(PAIR, user, react(said, "+"), Refused::Forbidden);
    }
    world.refuse(PAIR, BOB, edit(said, "other"), Refused::Forbidden);
    world.act(PAIR, BOB, recall(said));
    // Each has their own block.
    act(world, BOB, person(ANN, PersonAct::Block));
    act(world, ANN, person(BOB, PersonAct::Unblock));
    world.refuse(PAIR, ANN, message("again"), Refused::Forbidden);
    act(world, BOB, person(ANN, PersonAct::Unblock));
    assert!(!world.view(ANN, PAIR).closed);
    world.say(PAIR, ANN, "again");
}

fn friends_alone_may_begin(world: &mut World) {
    world.people();
    act(world, ANN, set(MESSAGE_ME, "friends"));
    world.refuse(PAIR, BOB, message("hello"), Refused::Forbidden);
    // Who begins may be answered.
    world.say(PAIR, ANN, "hello");
    world.say(PAIR, BOB, "hello");
    let other = direct(1, 3);
    world.refuse(other, CAT, message("hello"), Refused::Forbidden);
    befriend(world, CAT, ANN);
    world.say(other, CAT, "hello");
    // In one batch: what comes after the first word finds it said.
    let third = direct(1, 4);
    let batch = [
        world.request(third, DAN, message("too early")),
        world.request(third, ANN, message("hello")),
        world.request(third, DAN, message("hello")),
    ];
    let answers = world.commit(&batch.map(crate::Write::Append));
    let done: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(done, [false, true, true]);
    assert_eq!(answers[0], Err(Refused::Forbidden));
    assert_eq!(world.view(DAN, third).head, Seq(2));
}

fn the_end_of_a_friendship_may_close(world: &mut World) {
    world.people();
    befriend(world, ANN, BOB);
    world.say(PAIR, BOB, "hello");
    act(world, ANN, set(MESSAGE_ME, "friends"));
    world.say(PAIR, BOB, "nothing is closed by that");
    act(world, BOB, person(ANN, PersonAct::Remove));
    world.refuse(PAIR, BOB, message("why"), Refused::Forbidden);
    world.refuse(PAIR, ANN, message("so"), Refused::Forbidden);
    act(world, ANN, set(MESSAGE_ME, "everyone"));
    world.refuse(PAIR, BOB, message("why"), Refused::Forbidden);
    befriend(world, BOB, ANN);
    world.say(PAIR, BOB, "friends again");
}

fn people_say_who_may_add_them(world: &mut World) {
    world.people();
    act(world, BOB, set(ADD_TO_GROUPS, "friends"));
    act(world, CAT, set(ADD_TO_GROUPS, "nobody"));
    let create = |members: &[UserId]| Action::CreateGroup {
        name: "group".to_owned(),
        members: members.to_vec(),
    };
    for members in [[BOB, DAN], [CAT, DAN]] {
        world.refuse(GROUP, ANN, create(&members), Refused::Forbidden);
    }
    befriend(world, ANN, BOB);
    befriend(world, ANN, CAT);
    world.refuse(GROUP, ANN, create(&[BOB, CAT]), Refused::Forbidden);
    world.act(GROUP, ANN, create(&[BOB]));
    world.refuse(GROUP, ANN, add(&[CAT]), Refused::Forbidden);
    act(world, DAN, person(ANN, PersonAct::Block));
    world.refuse(GROUP, ANN, add(&[DAN]), Refused::Forbidden);
    act(world, CAT, set(ADD_TO_GROUPS, "everyone"));
    world.act(GROUP, ANN, add(&[CAT]));
    // Whom somebody else adds is a matter between those two.
    world.act(GROUP, BOB, add(&[DAN]));
}

fn nobody_acts_in_anothers_log(world: &mut World) {
    world.people();
    world.refuse(OWN, BOB, ask(CAT), Refused::NotFound);
    world.refuse(PAIR, ANN, ask(CAT), Refused::NotFound);
    world.refuse(OWN, BOB, set("a", "x"), Refused::NotFound);
    world.refuse(own(ANN), ANN, ask(ANN), Refused::NotFound);
    world.refuse(own(ANN), ANN, ask(super::world::NOBODY), Refused::NotFound);
    let nobody = super::world::NOBODY;
    world.refuse(own(nobody), nobody, ask(ANN), Refused::NotFound);
}
