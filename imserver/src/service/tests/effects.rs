//! What an answer does beside being one: to the session, to other devices, to what is cached.

use bytes::Bytes;
use netcore::ConnId;
use protocol::{
    Call, Push, Reply, Request,
    v1::{self, GoAwayReason},
};
use storage::{Rules, SessionId, Timestamp, UserId};

use super::{
    fixture::{BEGIN_MS, EPOCH, Fixture, Group},
    requests::{self, text},
};
use crate::{
    config::Config,
    delivery::{Kick, KickTo, Route, connections},
    message::{Effect, Reached},
    principal::Principal,
    wire::Format,
};

/// Gives each of these sessions a route, in its order.
pub(super) fn connect(fixture: &Fixture, sessions: &[Principal]) -> Vec<ConnId> {
    let ids = connections(sessions.len());
    let routes = &fixture.context.routes;
    for (who, conn) in sessions.iter().zip(&ids) {
        let route = Route {
            conn: *conn,
            session: who.session,
            format: Format::Protobuf,
            since: Timestamp(0),
            is_away: false,
        };
        routes.insert(who.user, route, routes.revocations()).unwrap();
    }
    ids
}

#[test]
fn a_logout_ends_this_session_and_no_other() {
    let mut group = Group::new();
    let (member, other) = (group.member, group.other_device);
    connect(&group.fixture, &[member, other]);
    let before = group.fixture.context.routes.revocations();
    let answered = group
        .fixture
        .answered(member, v1::LogoutRequest {}.into_request());
    assert!(matches!(answered.effect, Effect::LoggedOut));
    // Its own loop ends the connection, after the answer; whoever was checked meanwhile is checked again.
    assert_eq!(group.fixture.context.routes.take_kicks(0), []);
    assert!(group.fixture.context.routes.revocations() > before);
    assert!(group.fixture.context.routes.ended_lately(member.session));
    let devices = devices(&mut group.fixture, other);
    assert_eq!(devices, [(other.session, true, true)]);
}

#[test]
fn a_logout_of_others_ends_their_connections_and_not_this_one() {
    let mut group = Group::new();
    let (member, other) = (group.member, group.other_device);
    let conns = connect(&group.fixture, &[member, other, group.admin]);
    let request = v1::LogoutOthersRequest {}.into_request();
    let answered = group.fixture.answered(member, request);
    assert!(matches!(answered.effect, Effect::None));
    assert_eq!(
        answered.reply,
        Reply::LogoutOthers(v1::LogoutOthersResponse { sessions: 1 })
    );
    let kick = Kick {
        conn: conns[1],
        what: KickTo::End(GoAwayReason::Revoked),
    };
    assert_eq!(group.fixture.context.routes.take_kicks(0), [kick]);
    assert_eq!(
        devices(&mut group.fixture, member),
        [(member.session, true, true)]
    );
}

/// Session, whether it is online, whether it is the one that asks.
fn devices(fixture: &mut Fixture, who: Principal) -> Vec<(SessionId, bool, bool)> {
    match fixture
        .answered(who, v1::ListDevicesRequest {}.into_request())
        .reply
    {
        Reply::ListDevices(list) => list
            .sessions
            .iter()
            .map(|session| (SessionId(session.session_id), session.online, session.current))
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_profile_is_another_for_everybody_once_it_was_changed() {
    let mut group = Group::new();
    let get = v1::GetUsersRequest {
        user_ids: vec![group.member.user.0],
    };
    let status = |fixture: &mut Fixture| match fixture.answered(group.owner, get.clone().into_request()).reply
    {
        Reply::GetUsers(got) => got.users.first().unwrap().status.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(status(&mut group.fixture), "");
    let update = v1::UpdateProfileRequest {
        status: Some("away".into()),
        ..v1::UpdateProfileRequest::default()
    };
    group.fixture.answered(group.member, update.into_request());
    assert_eq!(status(&mut group.fixture), "away");
}

fn sync(group: &mut Group, token: &Bytes, limit: u32) -> (v1::SyncResponse, Reached, bool) {
    let request = v1::SyncRequest {
        token: token.clone(),
        limit,
    };
    let answered = group.fixture.answered(group.member, request.into_request());
    match (answered.reply, answered.effect) {
        (
            Reply::Sync(sync),
            Effect::Synced {
                reached,
                started_over,
            },
        ) => (sync, reached, started_over),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_device_is_in_step_after_the_last_page_of_a_sync() {
    let mut group = Group::new();
    let another = requests::create("another", &[]);
    group.fixture.answered(group.member, another);
    let (first, reached, started_over) = sync(&mut group, &Bytes::new(), 1);
    assert!(first.more && !started_over && !first.restarted);
    assert!(matches!(reached, Reached::Part(token) if *token == first.token));
    assert_eq!((first.conversations.len(), first.epoch), (1, EPOCH));
    let (last, reached, _) = sync(&mut group, &first.token, 100);
    assert!(!last.more && matches!(reached, Reached::All(_)));
    assert_eq!(last.conversations.len(), 1);
    // Nothing is new, then one message is, and comes along.
    let (none, ..) = sync(&mut group, &last.token, 100);
    assert!(none.conversations.is_empty() && none.pages.is_empty());
    let (id, bystander) = (group.id, group.bystander);
    let seq = group.fixture.send(bystander, id, "news");
    let (news, ..) = sync(&mut group, &none.token, 100);
    let page = news.pages.first().unwrap();
    assert_eq!(
        (page.conversation_id, page.from_seq, page.events.len()),
        (id, seq, 1)
    );
}

#[test]
fn a_device_of_another_past_starts_over() {
    let mut group = Group::new();
    let (first, ..) = sync(&mut group, &Bytes::new(), 100);
    // A token of another log.
    let (restarted, reached, started_over) = sync(&mut group, &Bytes::from(vec![0; 64]), 100);
    assert!(restarted.restarted && !started_over && matches!(reached, Reached::All(_)));
    assert!(restarted.pages.is_empty());
    assert_eq!(restarted.conversations, first.conversations);
    // It has said itself that it has more than there is.
    group.fixture.starts_over = true;
    let (again, _, started_over) = sync(&mut group, &first.token, 100);
    assert!(again.restarted && started_over);
    assert_eq!(again.conversations, first.conversations);
}

#[track_caller]
fn relayed(fixture: &mut Fixture, who: Principal, request: Request) -> (Vec<UserId>, Push) {
    let relay = fixture.answered(who, request).relay.unwrap();
    (relay.members.to_vec(), relay.push)
}

#[test]
fn typing_is_told_to_who_is_a_member_now() {
    let mut group = Group::new();
    let (id, member) = (group.id, group.member);
    let (mut members, push) = relayed(&mut group.fixture, member, requests::typing(id));
    members.sort_unstable();
    let expected = [group.member, group.admin, group.owner, group.bystander];
    let mut expected: Vec<UserId> = expected.map(|who| who.user).into();
    expected.sort_unstable();
    assert_eq!(members, expected);
    let typing = v1::TypingPush {
        conversation_id: id,
        user_id: member.user.0,
        typing: true,
    };
    assert_eq!(push, Push::TypingPush(typing));
    // Of two people, without a message before; and of one.
    let direct = requests::direct(member.user, group.stranger.user);
    let (both, _) = relayed(&mut group.fixture, member, requests::typing(direct));
    assert_eq!(both.len(), 2);
    assert!(both.contains(&member.user) && both.contains(&group.stranger.user));
    let own = requests::typing(member.user.0);
    assert_eq!(relayed(&mut group.fixture, member, own).0, [member.user]);
}

#[test]
fn large_groups_see_no_typing_but_what_is_sent_at_most_once() {
    let mut config = Config::default();
    config.groups.receipts_up_to = 3;
    let mut group = Group::in_fixture(Fixture::with(Rules::default(), config));
    let (id, member) = (group.id, group.member);
    let (nobody, _) = relayed(&mut group.fixture, member, requests::typing(id));
    assert!(nobody.is_empty());
    let once = requests::at_most_once(text(id, "text")).into_request();
    assert_eq!(relayed(&mut group.fixture, member, once).0.len(), 4);
}

#[test]
fn what_is_sent_at_most_once_is_relayed_and_not_stored() {
    let mut group = Group::new();
    let (id, member) = (group.id, group.member);
    let send = requests::at_most_once(text(id, "text"));
    let answered = group.fixture.answered(member, send.clone().into_request());
    let answer = v1::SendResponse {
        conversation_id: id,
        epoch: EPOCH,
        sent_at_ms: BEGIN_MS,
        ..v1::SendResponse::default()
    };
    assert_eq!(answered.reply, Reply::Send(answer));
    let push = v1::TransientPush {
        conversation_id: id,
        sender_id: member.user.0,
        kind: send.kind,
        content: send.content.clone(),
        client_msg_id: send.client_msg_id,
    };
    assert_eq!(answered.relay.unwrap().push, Push::TransientPush(push));
    let page = match group
        .fixture
        .answered(member, requests::history(id, group.message).into_request())
        .reply
    {
        Reply::History(history) => history.page.unwrap(),
        other => panic!("{other:?}"),
    };
    assert!(page.events.iter().all(|event| event.sender_id != member.user.0));
    // What has expired on the way is for nobody, and answered all the same.
    let mut expired = requests::at_most_once(text(id, "text"));
    expired.content.as_mut().unwrap().expires_at_ms = BEGIN_MS;
    let answered = group.fixture.answered(member, expired.into_request());
    assert!(answered.relay.is_none());
    // What was stored before is answered with what was stored, and told nobody again.
    let mut stored = text(id, "stored");
    group.fixture.answered(member, stored.clone().into_request());
    stored.quality = v1::QualityOfService::AtMostOnce.into();
    let answered = group.fixture.answered(member, stored.into_request());
    assert!(answered.relay.is_none());
    assert!(matches!(answered.reply, Reply::Send(sent) if sent.duplicate && sent.seq > 0));
}

#[test]
fn what_was_read_counts_before_it_is_written() {
    let mut group = Group::new();
    let (id, member, head) = (group.id, group.member, group.head);
    let view = |group: &mut Group| match group.fixture.answered(member, requests::get(id)).reply {
        Reply::GetConversation(got) => {
            let own = |cursor: &&v1::Cursor| cursor.user_id == member.user.0;
            let cursor = got.cursors.iter().find(own).unwrap().read_seq;
            let view = got.conversation.unwrap();
            assert_eq!(cursor, view.read_seq);
            (view.read_seq, view.unread)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(view(&mut group), (0, 2));
    let read = v1::ReadRequest {
        conversation_id: id,
        seq: head,
    };
    let answered = group.fixture.answered(member, read.into_request());
    assert_eq!(answered.reply, Reply::Read(v1::Empty {}));
    assert!(matches!(answered.effect, Effect::None) && answered.relay.is_none());
    let told = view(&mut group);
    assert_eq!(told, (head, 0));
    assert_eq!(group.fixture.write_lazily().len(), 1);
    assert_eq!(view(&mut group), told);
}

#[test]
fn a_list_is_paged_by_its_own_marks() {
    let mut group = Group::new();
    group
        .fixture
        .answered(group.member, requests::create("another", &[]));
    let page = |group: &mut Group, before: &Bytes| match group
        .fixture
        .answered(group.member, requests::list(before, 1))
        .reply
    {
        Reply::ListConversations(list) => list,
        other => panic!("{other:?}"),
    };
    let first = page(&mut group, &Bytes::new());
    assert!(first.more && !first.sync_token.is_empty());
    let last = page(&mut group, &first.before);
    assert!(!last.more && last.sync_token.is_empty());
    let ids = [&first, &last].map(|list| list.conversations.first().unwrap().conversation_id);
    assert!(ids[0] != ids[1] && ids[1] == group.id);
    // Another kind of token is no mark.
    let wrong = requests::list(&first.sync_token, 1);
    group.fixture.ask(group.member, wrong).unwrap_err();
}
