//! Why else a command is refused: by its fields, by what is not there or over, by limits and by roles.

use bytes::Bytes;
use protocol::{
    Call, Reply, Request,
    v1::{self, ErrorCode, EventKind, Role},
};
use storage::{Rules, UserId};

use super::{
    super::work::Failure,
    fixture::{BEGIN_MS, EPOCH, Fixture, Group},
    requests::{self, text},
};
use crate::{config::Config, message::Effect, principal::Principal};

/// How a request is refused: its code and the field to blame.
#[track_caller]
pub(super) fn refused(
    fixture: &mut Fixture,
    who: Principal,
    request: impl Into<Request>,
) -> (ErrorCode, String) {
    match fixture.ask(who, request.into()) {
        Err(Failure::Refused(refusal) | Failure::RefusedAnd(refusal, _)) => (refusal.code(), refusal.0.field),
        other => panic!("{other:?}"),
    }
}

const NOBODY: UserId = UserId(999);

#[test]
fn what_is_not_there_is_not_found() {
    let mut group = Group::new();
    let (id, owner) = (group.id, group.owner);
    let event_of_the_group = 1;
    let of_others = requests::direct(group.admin.user, group.member.user);
    let with_nobody = requests::direct(owner.user, NOBODY);
    let someones = group.member.user.0;
    let table = [
        (
            "find_user",
            Request::FindUser(v1::FindUserRequest {
                name: "nobody".into(),
            }),
        ),
        ("create_group", requests::create("other", &[NOBODY])),
        ("add_members", requests::add(id, &[group.stranger.user, NOBODY])),
        ("remove_member", requests::remove(id, group.stranger.user)),
        ("remove_member, former", requests::remove(id, group.former.user)),
        (
            "set_role",
            requests::set_role(id, group.stranger.user, Role::Admin),
        ),
        ("edit", requests::edit(id, 99, "text").into_request()),
        (
            "edit no message",
            requests::edit(id, event_of_the_group, "text").into_request(),
        ),
        ("recall", requests::recall(id, 99).into_request()),
        ("react", requests::react(id, 99, "+1").into_request()),
        ("reply", requests::reply_to(id, 99).into_request()),
        (
            "reply, at most once",
            requests::at_most_once(requests::reply_to(id, 99)).into_request(),
        ),
        (
            "reply to no message, at most once",
            requests::at_most_once(requests::reply_to(id, event_of_the_group)).into_request(),
        ),
        ("send to others", text(of_others, "text").into_request()),
        ("send to nobody", text(with_nobody, "text").into_request()),
        ("send to another's log", text(someones, "text").into_request()),
        (
            "at most once to others",
            requests::at_most_once(text(of_others, "text")).into_request(),
        ),
        (
            "at most once to nobody",
            requests::at_most_once(text(with_nobody, "text")).into_request(),
        ),
        (
            "at most once to another's log",
            requests::at_most_once(text(someones, "text")).into_request(),
        ),
        ("typing to others", requests::typing(of_others)),
        ("typing to nobody", requests::typing(with_nobody)),
        ("typing to another's log", requests::typing(someones)),
        (
            "history of others",
            requests::history(of_others, 1).into_request(),
        ),
        ("get_conversation of others", requests::get(of_others)),
        ("list_members of others", requests::list_members(of_others)),
    ];
    for (row, request) in table {
        let (code, _) = refused(&mut group.fixture, owner, request);
        assert_eq!(code, ErrorCode::NotFound, "{row}");
    }
}

#[test]
fn what_would_change_nothing_is_a_conflict() {
    let mut group = Group::new();
    let (id, owner) = (group.id, group.owner);
    group
        .fixture
        .answered(owner, requests::react(id, group.message, "+1").into_request());
    let table = [
        ("add_members", requests::add(id, &[group.member.user])),
        (
            "set_role",
            requests::set_role(id, group.member.user, Role::Member),
        ),
        ("rename_group", requests::rename(id, "group")),
        ("react", requests::react(id, group.message, "+1").into_request()),
    ];
    for (row, request) in table {
        let (code, _) = refused(&mut group.fixture, owner, request);
        assert_eq!(code, ErrorCode::Conflict, "{row}");
    }
    // Nothing to take away.
    let none = requests::react(id, group.message, "").into_request();
    let (code, _) = refused(&mut group.fixture, group.admin, none);
    assert_eq!(code, ErrorCode::Conflict);
}

#[test]
fn what_is_over_is_gone() {
    let mut group = Group::new();
    let (id, by) = (group.id, group.bystander);
    let mut expiring = text(id, "short-lived");
    expiring.content.as_mut().unwrap().expires_at_ms = BEGIN_MS + 10;
    let expired = match group.fixture.answered(by, expiring.into_request()).reply {
        Reply::Send(sent) => sent.seq,
        other => panic!("{other:?}"),
    };
    let recalled = group.message;
    group
        .fixture
        .answered(by, requests::recall(id, recalled).into_request());
    group.fixture.now_ms += 10;
    let table = [
        ("edit recalled", requests::edit(id, recalled, "text")),
        ("react to recalled", requests::react(id, recalled, "+1")),
        ("recall recalled", requests::recall(id, recalled)),
        ("edit expired", requests::edit(id, expired, "text")),
        ("react to expired", requests::react(id, expired, "+1")),
    ];
    for (row, request) in table {
        let (code, _) = refused(&mut group.fixture, by, request.into_request());
        assert_eq!(code, ErrorCode::Gone, "{row}");
    }
}

#[test]
fn limits_of_the_store_are_reached_and_not_passed() {
    // A group of the five people of the fixture, one of whom left, has room for one more.
    let rules = Rules {
        group_members_max: 5,
        groups_per_user_max: 2,
        groups_put_into_max: 1,
        message_edits_max: 1,
        message_reactions_max: 1,
        entries_max: 3,
        friends_max: 2,
        friend_requests_max: 2,
        blocks_max: 2,
        ..Rules::default()
    };
    let mut group = Group::in_fixture(Fixture::with(rules, Config::default()));
    let (id, owner, by, stranger) = (group.id, group.owner, group.bystander, group.stranger);
    let outsider = group.fixture.person("outsider");
    let all = [by, group.member, group.admin, stranger, outsider].map(|who| who.user);
    let edit = |to| requests::edit(id, group.message, to).into_request();
    let react = || requests::react(id, group.message, "+1").into_request();
    group.fixture.answered(by, edit("once"));
    group.fixture.answered(by, react());
    let table = [
        ("edit", by, edit("twice")),
        ("react", owner, react()),
        (
            "add_members",
            owner,
            requests::add(id, &[stranger.user, outsider.user]),
        ),
        (
            "create_group, too large",
            outsider,
            requests::create("large", &all),
        ),
        (
            "create_group, member is busy",
            outsider,
            requests::create("busy", &[by.user]),
        ),
    ];
    for (row, who, request) in table {
        let (code, _) = refused(&mut group.fixture, who, request);
        assert_eq!(code, ErrorCode::LimitReached, "{row}");
    }
    // What fits is done: the last place, and the second group of one's own.
    group.fixture.answered(owner, requests::add(id, &[stranger.user]));
    group.fixture.answered(outsider, requests::create("own", &[]));
    group.fixture.answered(outsider, requests::create("own", &[]));
    let (code, _) = refused(&mut group.fixture, outsider, requests::create("own", &[]));
    assert_eq!(code, ErrorCode::LimitReached);
}

#[test]
fn members_add_nobody_where_that_is_for_admins_nor_back_who_left_lately() {
    let rules = Rules {
        members_may_add: false,
        put_back_after_ms: 1_000,
        ..Rules::default()
    };
    let mut group = Group::in_fixture(Fixture::with(rules, Config::default()));
    let id = group.id;
    let (code, _) = refused(
        &mut group.fixture,
        group.member,
        requests::add(id, &[group.stranger.user]),
    );
    assert_eq!(code, ErrorCode::Forbidden);
    group
        .fixture
        .answered(group.admin, requests::add(id, &[group.stranger.user]));
    // Whoever leaves is not put back at once.
    group.fixture.answered(group.stranger, requests::leave(id));
    let again = |group: &Group| requests::add(group.id, &[group.stranger.user]);
    let request = again(&group);
    let (code, _) = refused(&mut group.fixture, group.admin, request);
    assert_eq!(code, ErrorCode::Forbidden);
    group.fixture.now_ms += 1_000;
    let request = again(&group);
    group.fixture.answered(group.admin, request);
}

#[test]
fn roles_end_where_the_next_begins() {
    let mut group = Group::new();
    let (id, owner, admin) = (group.id, group.owner, group.admin);
    let second = group.bystander;
    group
        .fixture
        .answered(owner, requests::set_role(id, second.user, Role::Admin));
    let table = [
        (
            "an admin removes an admin",
            admin,
            requests::remove(id, second.user),
        ),
        (
            "an admin removes an owner",
            admin,
            requests::remove(id, owner.user),
        ),
        (
            "an owner removes themselves",
            owner,
            requests::remove(id, owner.user),
        ),
        (
            "the only owner is one no more",
            owner,
            requests::set_role(id, owner.user, Role::Member),
        ),
    ];
    for (row, who, request) in table {
        let (code, _) = refused(&mut group.fixture, who, request);
        assert_eq!(code, ErrorCode::Forbidden, "{row}");
    }
    // With a second owner the first may go.
    group
        .fixture
        .answered(owner, requests::set_role(id, second.user, Role::Owner));
    group.fixture.answered(owner, requests::leave(id));
}

#[test]
fn fields_that_only_planning_finds_are_named() {
    let mut group = Group::new();
    let (id, owner) = (group.id, group.owner);
    let beyond = i64::MAX as u64 + 1;
    let mut cases: Vec<(&str, Request)> = Vec::new();
    let mut send = |field: &'static str, change: &dyn Fn(&mut v1::SendRequest)| {
        let mut request = text(id, "text");
        change(&mut request);
        cases.push((field, request.clone().into_request()));
        cases.push((field, requests::at_most_once(request).into_request()));
    };
    send("kind", &|send| send.kind = EventKind::GroupRenamed.into());
    send("kind", &|send| send.kind = 0);
    send("client_msg_id", &|send| {
        send.client_msg_id = Bytes::from_static(b"short")
    });
    send("content.expires_at_ms", &|send| {
        send.content.as_mut().unwrap().expires_at_ms = beyond;
    });
    send("content.reply_to", &|send| {
        send.content.as_mut().unwrap().reply_to = beyond
    });
    let mut role = requests::set_role(id, group.member.user, Role::Member);
    if let Request::SetRole(set) = &mut role {
        set.role = 0;
    }
    let junk = Bytes::from_static(b"no token");
    cases.push(("role", role));
    cases.push(("from_seq", requests::history(id, beyond).into_request()));
    cases.push(("before", requests::list(&junk, 10)));
    cases.push(("token", requests::sync(&junk)));
    // An edit that does not fit what it edits: only the store knows what that is.
    let mut image = requests::edit(id, group.message, "");
    image.content = Some(v1::Content {
        blob: Some(v1::BlobRef {
            blob_id: "blob".into(),
            ..v1::BlobRef::default()
        }),
        ..v1::Content::default()
    });
    for (field, request) in cases {
        let said = format!("{request:?}");
        let found = refused(&mut group.fixture, owner, request);
        assert_eq!(found, (ErrorCode::Invalid, field.to_owned()), "{said}");
    }
    let found = refused(&mut group.fixture, group.bystander, image.into_request());
    assert_eq!(found, (ErrorCode::Invalid, "content".to_owned()));
}

#[test]
fn history_of_another_epoch_and_beyond_the_head_is_refused() {
    let mut group = Group::new();
    let (id, member) = (group.id, group.member);
    let other_epoch = v1::HistoryRequest {
        epoch: EPOCH + 1,
        ..requests::history(id, 1)
    };
    let found = refused(&mut group.fixture, member, other_epoch.into_request());
    assert_eq!(found, (ErrorCode::EpochMismatch, "epoch".to_owned()));
    let head = match group.fixture.answered(member, requests::get(id)).reply {
        Reply::GetConversation(got) => got.conversation.unwrap().head_seq,
        other => panic!("{other:?}"),
    };
    // What comes next may be asked for, and is not there yet.
    let next = group
        .fixture
        .answered(member, requests::history(id, head + 1).into_request());
    assert!(matches!(next.effect, Effect::None));
    let beyond = requests::history(id, head + 2).into_request();
    match group.fixture.ask(member, beyond) {
        Err(Failure::RefusedAnd(refusal, effect)) if matches!(*effect, Effect::StartOver) => {
            assert_eq!(refusal.code(), ErrorCode::OutOfRange);
            assert_eq!(refusal.0.field, "from_seq");
        }
        other => panic!("{other:?}"),
    }
}
