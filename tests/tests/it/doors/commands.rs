//! Every command through both doors: the same answers and the same refusals.

use protocol::v1::ErrorCode;
use protocol::{Command, Encoding, Reply, Request, samples, v1};
use serde_json::Value;
use tests::harness::{Account, Connection, Daemon, User, Web, hello, login, message_id, text};

use super::{direct, history};

/// The status of a refusal, as the document has it. Written down here once more, so that both must agree.
fn status(code: ErrorCode) -> u16 {
    match code {
        ErrorCode::Invalid
        | ErrorCode::Protocol
        | ErrorCode::TooMany
        | ErrorCode::OutOfRange
        | ErrorCode::UnsupportedVersion => 400,
        ErrorCode::Unauthenticated | ErrorCode::BadCredentials => 401,
        ErrorCode::Forbidden | ErrorCode::RegistrationClosed => 403,
        ErrorCode::NotFound | ErrorCode::UnknownCommand => 404,
        ErrorCode::Timeout => 408,
        ErrorCode::Conflict | ErrorCode::NameTaken | ErrorCode::EpochMismatch | ErrorCode::LimitReached => {
            409
        }
        ErrorCode::Gone => 410,
        ErrorCode::FrameTooLarge => 413,
        ErrorCode::RateLimited => 429,
        ErrorCode::Internal | ErrorCode::Unspecified => 500,
        ErrorCode::Unavailable
        | ErrorCode::Overloaded
        | ErrorCode::Draining
        | ErrorCode::ResourceExhausted => 503,
    }
}

/// The body of the answer to a request, through either door.
fn json(body: &[u8]) -> Value {
    let mut value: Value = serde_json::from_slice(body).unwrap();
    if let Some(members) = value.as_object_mut() {
        // By which a repetition differs from the first.
        members.remove("duplicate");
    }
    value
}

/// Asks natively in JSON.
fn natively(conn: &mut Connection, request: &Request) -> Result<Value, v1::Error> {
    let seq = conn.take_seq();
    let frame = request.to_frame(Encoding::Json, seq);
    conn.write_frame(frame.kind, seq, frame.body);
    conn.answer_any(seq)
        .map(|reply: Box<Reply>| json(&reply.encode(Encoding::Json)))
}

/// Calls, and checks that what comes is what came natively.
#[track_caller]
fn compare(web: &mut Web, token: &str, request: &Request, native: &Result<Value, v1::Error>) {
    let name = request.command().name();
    let body = String::from_utf8(request.to_frame(Encoding::Json, 1).body.to_vec()).unwrap();
    let response = web.call(token, name, &body);
    match native {
        Ok(answer) => {
            assert_eq!(response.status, 200, "{name}: {}", response.text());
            assert_eq!(&json(&response.body), answer, "{name}");
        }
        Err(refusal) => {
            assert_eq!(
                response.status,
                status(refusal.code()),
                "{name}: {}",
                response.text()
            );
            assert_eq!(unnamed(&response.refusal()), unnamed(refusal), "{name}");
        }
    }
}

/// Without the name of its request, which is another one each time.
fn unnamed(refusal: &v1::Error) -> v1::Error {
    v1::Error {
        request_id: String::new(),
        ..refusal.clone()
    }
}

/// Ada's native connection in JSON, and her script's token.
struct World {
    daemon: Daemon,
    ada: User,
    bob: User,
    conn: Connection,
    web: Web,
    token: String,
}

impl World {
    fn new() -> Self {
        let daemon = Daemon::start();
        let [ada, bob] = daemon.register_all(["ada", "bob"]);
        let mut conn = daemon.connect();
        conn.encoding = Encoding::Json;
        conn.ask(hello("second")).unwrap();
        conn.ask(login("ada")).unwrap();
        let mut web = Web::to(daemon.address());
        let token = Account::of(web.granted("", login("ada"))).token;
        Self {
            daemon,
            ada,
            bob,
            conn,
            web,
            token,
        }
    }

    /// A request of a command that is granted and that may be made twice; `None` if there is none.
    fn granted(&mut self, command: Command, group: u64) -> Option<Request> {
        let (ada, bob) = (self.ada.id, self.bob.id);
        let conversation_id = direct(ada, bob);
        Some(match command {
            Command::GetUsers => Request::GetUsers(v1::GetUsersRequest { user_ids: vec![ada, bob] }),
            Command::FindUser => Request::FindUser(v1::FindUserRequest { name: "bob".to_owned() }),
            Command::SearchUsers => Request::SearchUsers(v1::SearchUsersRequest {
                query: "bob".to_owned(),
                limit: 5,
            }),
            Command::UpdateProfile => Request::UpdateProfile(v1::UpdateProfileRequest {
                display_name: Some("Ada".to_owned()),
                ..v1::UpdateProfileRequest::default()
            }),
            Command::Send => Request::Send(text(conversation_id, "once")),
            Command::History => Request::History(history(conversation_id)),
            Command::ListConversations => Request::ListConversations(v1::ListConversationsRequest {
                limit: 10,
                ..v1::ListConversationsRequest::default()
            }),
            Command::GetConversation => Request::GetConversation(v1::GetConversationRequest { conversation_id }),
            Command::GetConversations => Request::GetConversations(v1::GetConversationsRequest {
                conversation_ids: vec![conversation_id, group],
            }),
            Command::Delivered => Request::Delivered(v1::DeliveredRequest {
                up_to: vec![v1::Head { conversation_id, seq: 1 }],
            }),
            Command::Read => Request::Read(v1::ReadRequest { conversation_id, seq: 1 }),
            Command::CreateGroup => Request::CreateGroup(v1::CreateGroupRequest {
                client_msg_id: message_id(),
                name: "another".to_owned(),
                user_ids: vec![bob],
            }),
            Command::AddMembers => Request::AddMembers(v1::AddMembersRequest {
                conversation_id: group,
                client_msg_id: message_id(),
                user_ids: vec![bob],
            }),
            Command::SetRole => Request::SetRole(v1::SetRoleRequest {
                conversation_id: group,
                client_msg_id: message_id(),
                user_id: bob,
                role: v1::Role::Admin.into(),
            }),
            Command::RenameGroup => Request::RenameGroup(v1::RenameGroupRequest {
                conversation_id: group,
                client_msg_id: message_id(),
                name: "renamed".to_owned(),
            }),
            Command::SetEntry => Request::SetEntry(v1::SetEntryRequest {
                client_msg_id: message_id(),
                key: "app/theme".to_owned(),
                value: "dark".into(),
            }),
            Command::RemoveEntry => Request::RemoveEntry(v1::RemoveEntryRequest {
                client_msg_id: message_id(),
                key: "app/theme".to_owned(),
            }),
            Command::ListEntries => Request::ListEntries(v1::ListEntriesRequest {
                limit: 10,
                ..v1::ListEntriesRequest::default()
            }),
            Command::RequestFriend => Request::RequestFriend(v1::RequestFriendRequest {
                client_msg_id: message_id(),
                user_id: bob,
                greeting: "hello".to_owned(),
            }),
            Command::WithdrawFriend => Request::WithdrawFriend(v1::WithdrawFriendRequest {
                client_msg_id: message_id(),
                user_id: bob,
            }),
            Command::ListFriends => Request::ListFriends(v1::ListFriendsRequest {
                after_user_id: 0,
                limit: 10,
            }),
            Command::BlockUser => Request::BlockUser(v1::BlockUserRequest {
                client_msg_id: message_id(),
                user_id: bob,
            }),
            Command::UnblockUser => Request::UnblockUser(v1::UnblockUserRequest {
                client_msg_id: message_id(),
                user_id: bob,
            }),
            Command::ListBlocked => Request::ListBlocked(v1::ListBlockedRequest {
                after_user_id: 0,
                limit: 10,
            }),
            Command::ListMembers => Request::ListMembers(v1::ListMembersRequest {
                conversation_id: group,
                limit: 10,
                ..v1::ListMembersRequest::default()
            }),
            Command::Typing => Request::Typing(v1::TypingRequest { conversation_id, typing: true }),
            Command::RemoveMember => Request::RemoveMember(v1::RemoveMemberRequest {
                conversation_id: group,
                client_msg_id: message_id(),
                user_id: bob,
            }),
            Command::DisbandGroup => Request::DisbandGroup(v1::DisbandGroupRequest {
                conversation_id: group,
                client_msg_id: message_id(),
            }),
            // Whose answers tell the caller's own session or the moment: their tests are elsewhere here.
            Command::Logout
            | Command::LogoutOthers
            | Command::ListDevices
            | Command::Sync
            // Nobody asked Ada, and Bob is no friend: among the refusals.
            | Command::AnswerFriend
            | Command::RemoveFriend
            | Command::UpdateFriend
            // Ada is the owner, who cannot leave: among the refusals.
            | Command::LeaveGroup
            | Command::Register
            | Command::Login
            | Command::Hello
            | Command::Ping
            // They belong to a connection, and are no calls.
            | Command::WatchPresence
            | Command::SetAway
            | Command::GoAway
            | Command::EventsPush
            | Command::HeadsPush
            | Command::CursorsPush
            | Command::TransientPush
            | Command::TypingPush
            | Command::PresencePush => return None,
        })
    }
}

#[test]
fn every_command_is_answered_over_http_as_natively() {
    let mut world = World::new();
    let (bob, conversation) = (world.bob.id, direct(world.ada.id, world.bob.id));
    world.ada.text(conversation, "so that there is something");
    let group = world.ada.group("a group", &[]);
    // By number: members are added before one is removed, and the group is disbanded last.
    let mut compared = 0;
    for command in Command::ALL {
        let last = matches!(command, Command::RemoveMember | Command::DisbandGroup);
        if last {
            continue;
        }
        let Some(request) = world.granted(*command, group) else {
            continue;
        };
        let native = natively(&mut world.conn, &request);
        assert!(native.is_ok(), "{request:?}: {native:?}");
        compare(&mut world.web, &world.token, &request, &native);
        compared += 1;
    }
    for command in [Command::RemoveMember, Command::DisbandGroup] {
        let request = world.granted(command, group).unwrap();
        let native = natively(&mut world.conn, &request);
        assert!(native.is_ok(), "{request:?}: {native:?}");
        compare(&mut world.web, &world.token, &request, &native);
        compared += 1;
    }
    assert_eq!(compared, 28);
    assert_eq!(
        world.bob.view(conversation).head_seq,
        2,
        "once natively, and the call repeated that"
    );
    assert_ne!(bob, 0);
    drop(world.daemon);
}

/// The samples are of users and groups that are not there.
#[test]
fn every_command_is_refused_over_http_as_natively() {
    let mut world = World::new();
    let mut compared = 0;
    for request in samples::requests() {
        let command = request.command();
        // These two would succeed.
        let succeeds = matches!(
            command,
            Command::Logout | Command::LogoutOthers | Command::ListDevices
        );
        if !command.is_callable()
            || succeeds
            || matches!(command, Command::Register | Command::Login | Command::Sync)
        {
            continue;
        }
        let native = natively(&mut world.conn, &request);
        compare(&mut world.web, &world.token, &request, &native);
        compared += usize::from(native.is_err());
    }
    assert!(compared >= 10, "{compared} were refused");
}

#[test]
fn what_is_of_a_connection_is_no_call_and_what_is_unknown_is_not_found() {
    let daemon = Daemon::start();
    let mut web = Web::to(daemon.address());
    let ada = web.register("ada");
    for command in Command::ALL {
        let path = format!("/v1/call/{}", command.name());
        if !command.is_callable() {
            for token in ["", &ada.token] {
                web.call(token, command.name(), "{}")
                    .is_refused(404, ErrorCode::UnknownCommand);
            }
        }
        for method in ["GET", "PUT", "DELETE", "HEAD", "PATCH", "TRACE"] {
            let response = web.request(method, &path, &[], "");
            assert_eq!(response.status, 405, "{method} {path}");
            assert_eq!(response.header("allow"), Some("POST"));
        }
    }
    for name in [
        "",
        "sendd",
        "SEND",
        "send/",
        "../send",
        "%73end",
        "events",
        "a/b",
        &"x".repeat(4_000),
    ] {
        web.call(&ada.token, name, "{}")
            .is_refused(404, ErrorCode::UnknownCommand);
    }
    for path in [
        "/v1",
        "/v1/",
        "/v2/call/send",
        "//",
        "/v1/socket/",
        "/..",
        "/etc/passwd",
    ] {
        web.request("POST", path, &[], "")
            .is_refused(404, ErrorCode::NotFound);
    }
}
