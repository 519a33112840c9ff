//! Client ids: a repeated request gets the first answer, and another one under its client id is refused.

use protocol::{
    Call, Command, Decode, Encoding, Kind, Reply, Request,
    v1::{self, ErrorCode},
};
use storage::UserId;

use crate::principal::Principal;

use super::{
    fixture::{BEGIN_MS, EPOCH, Group},
    matrix::one_request,
    refusals::refused,
    requests::{self, content, text},
};

#[test]
fn a_client_id_of_the_wrong_length_is_refused_by_every_command_that_appends() {
    let group = Group::new();
    for command in appending() {
        // Fifteen bytes.
        let request = under("AAAAAAAAAAAAAAAAAAAA", &one_request(command, &group).unwrap());
        let refusal = group.fixture.plan(group.owner, request).unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::Invalid, "{command:?}");
        assert_eq!(refusal.0.field, "client_msg_id", "{command:?}");
    }
}

fn appending() -> impl Iterator<Item = Command> {
    Command::requests().filter(|command| command.kind() == Some(Kind::Append))
}

/// What stands before a client id in the JSON of every request that has one.
const FIELD: &str = "\"client_msg_id\":\"";

/// The JSON of a request up to its client id, the client id, and the rest.
fn parts(request: &Request) -> [String; 3] {
    let json = String::from_utf8(request.encode(Encoding::Json).into()).unwrap();
    let begin = json.find(FIELD).expect("a client id") + FIELD.len();
    let end = begin + json[begin..].find('"').unwrap();
    [&json[..begin], &json[begin..end], &json[end..]].map(str::to_owned)
}

fn client_id(request: &Request) -> String {
    let [_, id, _] = parts(request);
    id
}

/// The same request under another client id.
fn under(id: &str, request: &Request) -> Request {
    let [before, _, after] = parts(request);
    let json = format!("{before}{id}{after}");
    Request::decode(request.command(), Encoding::Json, json.into()).unwrap()
}

/// The answer to any request that appends.
fn sent(reply: &Reply) -> v1::SendResponse {
    assert_eq!(reply.command().kind(), Some(Kind::Append));
    Encoding::Protobuf
        .decode(reply.encode(Encoding::Protobuf))
        .unwrap()
}

/// What must have been before a request of [`one_request`] changes anything.
fn prepare(command: Command, group: &mut Group) {
    let (owner, bystander) = (group.owner, group.bystander);
    let ask = |group: &mut Group, who: Principal, of: Principal| {
        let request = v1::RequestFriendRequest {
            client_msg_id: requests::fresh(),
            user_id: of.user.0,
            greeting: String::new(),
        };
        group.fixture.answered(who, Request::RequestFriend(request));
    };
    if command == Command::RemoveEntry {
        let set = v1::SetEntryRequest {
            client_msg_id: requests::fresh(),
            key: "app/kept".into(),
            value: bytes::Bytes::new(),
        };
        group.fixture.answered(owner, Request::SetEntry(set));
    }
    if command == Command::AnswerFriend {
        ask(group, bystander, owner);
    }
    if command == Command::WithdrawFriend {
        ask(group, owner, bystander);
    }
    if matches!(command, Command::RemoveFriend | Command::UpdateFriend) {
        // Who asks whom who has asked says yes.
        ask(group, bystander, owner);
        ask(group, owner, bystander);
    }
    if command == Command::UnblockUser {
        let block = one_request(Command::BlockUser, group).unwrap();
        group.fixture.answered(owner, block);
    }
}

#[test]
fn a_repeated_request_gets_the_first_answer_and_another_under_its_client_id_a_conflict() {
    for command in appending() {
        let mut group = Group::new();
        // An owner may do all of it but leave.
        let who = if command == Command::LeaveGroup {
            group.member
        } else {
            group.owner
        };
        prepare(command, &mut group);
        let request = one_request(command, &group).unwrap();
        let id = client_id(&request);
        let first = group.fixture.answered(who, request.clone()).reply;
        assert_eq!(first.command(), command);
        let first = sent(&first);
        assert!(!first.duplicate && first.seq > 0, "{command:?}");
        assert_eq!((first.epoch, first.sent_at_ms), (EPOCH, BEGIN_MS));
        group.fixture.now_ms += 1_000;
        let again = group.fixture.answered(who, request).reply;
        assert_eq!(again.command(), command);
        let duplicate = v1::SendResponse {
            duplicate: true,
            ..first
        };
        assert_eq!(sent(&again), duplicate, "{command:?}");
        // Another command, and for the text another text.
        let other = if command == Command::RenameGroup {
            requests::disband(first.conversation_id)
        } else {
            requests::rename(first.conversation_id, "something else")
        };
        let text = under(&id, &text(first.conversation_id, "something else").into_request());
        for request in [under(&id, &other), text.clone()] {
            let (code, _) = refused(&mut group.fixture, who, request.clone());
            assert_eq!(code, ErrorCode::Conflict, "{request:?} after {command:?}");
        }
        // It is the sender's: another's is another event.
        if command == Command::Send {
            let other = sent(&group.fixture.answered(group.member, text).reply);
            assert!(!other.duplicate && other.seq > first.seq);
        }
    }
}

#[test]
fn requests_that_mean_the_same_are_the_same() {
    let mut group = Group::new();
    let (owner, stranger, member) = (group.owner, group.stranger.user, group.member.user);
    let mut sends = text(group.id, "text");
    let first = sent(&group.fixture.answered(owner, sends.clone().into_request()).reply);
    // How it is delivered is not part of it, not even that it should not be stored.
    for quality in [1, 2] {
        sends.quality = quality;
        let again = sent(&group.fixture.answered(owner, sends.clone().into_request()).reply);
        assert!(again.duplicate && again.seq == first.seq, "quality {quality}");
    }
    sends.content = Some(content("another"));
    let (code, _) = refused(&mut group.fixture, owner, sends.into_request());
    assert_eq!(code, ErrorCode::Conflict);
    // People are a set, and who creates a group is one of them.
    let create = requests::create("people", &[stranger, member]);
    let same = |users: &[UserId]| under(&client_id(&create), &requests::create("people", users));
    let first = sent(&group.fixture.answered(owner, create.clone()).reply);
    for users in [
        &[member, stranger, member][..],
        &[owner.user, stranger, member][..],
    ] {
        let again = sent(&group.fixture.answered(owner, same(users)).reply);
        assert!(again.duplicate && again.seq == first.seq);
    }
    let (code, _) = refused(&mut group.fixture, owner, same(&[member]));
    assert_eq!(code, ErrorCode::Conflict);
}
