//! The authorization matrix: who may do what, for every command, against the real binary on both stores.
//!
//! Sixteen kinds of people stand in the columns, from somebody without a session to somebody who blocks the person that
//! a command is about. [`rows`] names every command, so one that is added does not compile until it says what each of
//! them is answered. What is expected is taken from `docs/PROTOCOL.md`.

use protocol::{
    Command, Decode, Encoding, Reply, Request, direct_conversation,
    v1::{self, ErrorCode, EventKind, PresenceState, Role},
};
use tests::harness::{Account, Connection, Daemon, Setup, User, Web, hello, login, message_id, text};

mod rows;
mod strangers;

use rows::{
    ALL,
    Cell::{self, Nothing, Yes},
    Row, Who, rows,
};

/// A daemon with everybody.
struct Stage {
    daemon: Daemon,
    /// Whom commands about a person are about.
    person: User,
    owner: User,
    admin: User,
    member: User,
    former: User,
    /// A member whom commands about a member are about.
    bystander: User,
    device: User,
    script: Account,
    /// Stranger, friend, former friend, asker, asked, blocked, blocker.
    others: Vec<(Who, User)>,
    revoked: v1::Hello,
    logins: u32,
}

/// A group as it is before a request about it.
struct Group {
    id: u64,
    /// Of the bystander, who is a member.
    message: u64,
}

impl Stage {
    fn new(setup: Setup) -> Self {
        let daemon = setup.start();
        let mut person = daemon.register("person");
        let [owner, admin, member, former, bystander] =
            daemon.register_all(["otto", "adam", "mia", "fay", "ben"]);
        let device = daemon.login("mia", "another");
        let script = Account::of(Web::to(daemon.address()).granted("", login("mia")));
        let kinds = [
            Who::Stranger,
            Who::Ended,
            Who::Friend,
            Who::FormerFriend,
            Who::Asker,
            Who::Asked,
            Who::Blocked,
            Who::Blocker,
        ];
        let mut others = Vec::new();
        for who in kinds {
            let mut user = daemon.register(&format!("{who:?}").to_lowercase());
            let pair = user.direct(person.id);
            person.text(pair, "hello");
            relate(who, &mut user, &mut person);
            others.push((who, user));
        }
        for user in [&owner, &admin, &member, &former] {
            let pair = user.direct(person.id);
            person.text(pair, "hello");
        }
        let mut gone = daemon.register("gone");
        let revoked = gone.hello_again();
        gone.get(v1::LogoutRequest {});
        Self {
            daemon,
            person,
            owner,
            admin,
            member,
            former,
            bystander,
            device,
            script,
            others,
            revoked,
            logins: 0,
        }
    }

    fn other(&mut self, who: Who) -> &mut User {
        let found = self.others.iter_mut().find(|(other, _)| *other == who);
        &mut found.unwrap().1
    }

    fn user(&mut self, who: Who) -> Option<&mut User> {
        match who {
            Who::Nobody | Who::Revoked | Who::Script => None,
            Who::Member => Some(&mut self.member),
            Who::Former => Some(&mut self.former),
            Who::Admin => Some(&mut self.admin),
            Who::Owner => Some(&mut self.owner),
            Who::Device => Some(&mut self.device),
            Who::Stranger
            | Who::Ended
            | Who::Friend
            | Who::FormerFriend
            | Who::Asker
            | Who::Asked
            | Who::Blocked
            | Who::Blocker => Some(self.other(who)),
        }
    }

    /// A new group for one request.
    fn group(&mut self, who: Who) -> Group {
        let ended = self.other(Who::Ended).id;
        let bystander = self.bystander.id;
        let mut ids = vec![self.admin.id, self.member.id, self.former.id, bystander];
        if who == Who::Ended {
            ids.push(ended);
        }
        let id = self.owner.group("a group", &ids);
        self.owner.set_role(id, self.admin.id, Role::Admin).unwrap();
        let (former, message) = (self.former.id, self.bystander.text(id, "said").seq);
        self.owner.remove(id, former).unwrap();
        if who == Who::Ended {
            self.owner.disband(id).unwrap();
        }
        Group { id, message }
    }

    /// The member whom the request of a row is about.
    fn subject(&self, row: &str) -> u64 {
        match row.rsplit_once(": ") {
            Some((_, "the admin")) => self.admin.id,
            Some((_, "the owner")) => self.owner.id,
            _ => self.bystander.id,
        }
    }

    /// The request of a row.
    fn request(&mut self, command: Command, row: &str, who: Who, group: &Group) -> Request {
        let person = self.person.id;
        let asker = match self.user(who) {
            Some(user) => user.id,
            None => self.member.id,
        };
        let pair = direct_conversation(asker, person).map_or(0, |id| id.get());
        let two_others = direct_conversation(person, self.former.id).map_or(0, |id| id.get());
        let two_others = if asker == self.former.id {
            direct_conversation(person, self.owner.id).map_or(0, |id| id.get())
        } else {
            two_others
        };
        let about = |kind: EventKind, conversation_id, target_seq| {
            let mut send = text(conversation_id, "changed");
            send.kind = kind.into();
            send.target_seq = target_seq;
            match kind {
                EventKind::Recall => send.content = None,
                EventKind::Reaction => {
                    send.content = None;
                    send.reaction = "+1".to_owned();
                }
                _ => {}
            }
            Request::Send(send)
        };
        let unstored = |conversation_id| {
            Request::Send(v1::SendRequest {
                quality: v1::QualityOfService::AtMostOnce.into(),
                ..text(conversation_id, "passing")
            })
        };
        let history = |conversation_id| {
            Request::History(v1::HistoryRequest {
                conversation_id,
                limit: 5,
                ..v1::HistoryRequest::default()
            })
        };
        let conversation_id = group.id;
        let client_msg_id = message_id();
        match (command, row) {
            (_, "send: edit another's") => about(EventKind::Edit, group.id, group.message),
            (_, "send: recall another's") => about(EventKind::Recall, group.id, group.message),
            (_, "send: react") => about(EventKind::Reaction, group.id, group.message),
            (_, "send: unstored") => unstored(group.id),
            (_, "send: to the person") => Request::Send(text(pair, "to you")),
            (_, "send: edit the person's") => about(EventKind::Edit, pair, 1),
            (_, "send: recall the person's") => about(EventKind::Recall, pair, 1),
            (_, "send: react to the person") => {
                // Taken back where it was left by somebody else's cell of the same user.
                about(EventKind::Reaction, pair, 1)
            }
            (_, "send: unstored to the person") => unstored(pair),
            (_, "send: to two others") => Request::Send(text(two_others, "to them")),
            (_, "send: unstored to two others") => unstored(two_others),
            (_, "send: to the person's own log") => Request::Send(text(person, "for you")),
            (_, "history: with the person") => history(pair),
            (_, "history: of the person's own log") => history(person),
            (_, "history: of two others") => history(two_others),
            (_, "get_conversation: of two others") => Request::GetConversation(v1::GetConversationRequest {
                conversation_id: two_others,
            }),
            (_, "typing: to the person") => Request::Typing(v1::TypingRequest {
                conversation_id: pair,
                typing: true,
            }),
            (_, "typing: to two others") => Request::Typing(v1::TypingRequest {
                conversation_id: two_others,
                typing: true,
            }),
            (Command::Hello, _) => Request::Hello(hello("again")),
            (Command::Ping, _) => Request::Ping(v1::Ping {}),
            (Command::Register, _) => {
                self.logins += 1;
                Request::Register(v1::RegisterRequest {
                    name: format!("new.{}", self.logins),
                    password: tests::harness::PASSWORD.to_owned(),
                    display_name: String::new(),
                })
            }
            (Command::Login, _) => Request::Login(login("gone")),
            (Command::Logout, _) => Request::Logout(v1::LogoutRequest {}),
            (Command::LogoutOthers, _) => Request::LogoutOthers(v1::LogoutOthersRequest {}),
            (Command::ListDevices, _) => Request::ListDevices(v1::ListDevicesRequest {}),
            (Command::GetUsers, _) => Request::GetUsers(v1::GetUsersRequest {
                user_ids: vec![person],
            }),
            (Command::FindUser, _) => Request::FindUser(v1::FindUserRequest {
                name: "person".to_owned(),
            }),
            (Command::SearchUsers, _) => Request::SearchUsers(v1::SearchUsersRequest {
                query: "perso".to_owned(),
                limit: 5,
            }),
            (Command::UpdateProfile, _) => Request::UpdateProfile(v1::UpdateProfileRequest {
                status: Some("here".to_owned()),
                ..v1::UpdateProfileRequest::default()
            }),
            (Command::Send, _) => Request::Send(text(group.id, "text")),
            (Command::History, _) => history(group.id),
            (Command::Sync, _) => Request::Sync(v1::SyncRequest {
                limit: 500,
                ..v1::SyncRequest::default()
            }),
            (Command::ListConversations, _) => Request::ListConversations(v1::ListConversationsRequest {
                limit: 200,
                ..v1::ListConversationsRequest::default()
            }),
            (Command::GetConversation, _) => {
                Request::GetConversation(v1::GetConversationRequest { conversation_id })
            }
            (Command::GetConversations, _) => Request::GetConversations(v1::GetConversationsRequest {
                conversation_ids: vec![conversation_id],
            }),
            (Command::Delivered, _) => Request::Delivered(v1::DeliveredRequest {
                up_to: vec![v1::Head {
                    conversation_id,
                    seq: 1,
                }],
            }),
            (Command::Read, _) => Request::Read(v1::ReadRequest {
                conversation_id,
                seq: 1,
            }),
            (Command::SetEntry, _) => Request::SetEntry(v1::SetEntryRequest {
                key: "app/x".to_owned(),
                value: client_msg_id.clone(),
                client_msg_id,
            }),
            (Command::RemoveEntry, _) => Request::RemoveEntry(v1::RemoveEntryRequest {
                client_msg_id,
                key: "app/nothing".to_owned(),
            }),
            (Command::ListEntries, _) => Request::ListEntries(v1::ListEntriesRequest {
                limit: 5,
                ..v1::ListEntriesRequest::default()
            }),
            (Command::RequestFriend, _) => Request::RequestFriend(v1::RequestFriendRequest {
                client_msg_id,
                user_id: person,
                greeting: String::new(),
            }),
            (Command::AnswerFriend, _) => Request::AnswerFriend(v1::AnswerFriendRequest {
                client_msg_id,
                user_id: person,
                accept: true,
            }),
            (Command::WithdrawFriend, _) => Request::WithdrawFriend(v1::WithdrawFriendRequest {
                client_msg_id,
                user_id: person,
            }),
            (Command::RemoveFriend, _) => Request::RemoveFriend(v1::RemoveFriendRequest {
                client_msg_id,
                user_id: person,
            }),
            (Command::UpdateFriend, _) => Request::UpdateFriend(v1::UpdateFriendRequest {
                client_msg_id,
                user_id: person,
                remark: "you".to_owned(),
                tags: Vec::new(),
            }),
            (Command::ListFriends, _) => Request::ListFriends(v1::ListFriendsRequest {
                after_user_id: 0,
                limit: 5,
            }),
            (Command::BlockUser, _) => Request::BlockUser(v1::BlockUserRequest {
                client_msg_id,
                user_id: person,
            }),
            (Command::UnblockUser, _) => Request::UnblockUser(v1::UnblockUserRequest {
                client_msg_id,
                user_id: person,
            }),
            (Command::ListBlocked, _) => Request::ListBlocked(v1::ListBlockedRequest {
                after_user_id: 0,
                limit: 5,
            }),
            (Command::CreateGroup, _) => Request::CreateGroup(v1::CreateGroupRequest {
                client_msg_id,
                name: "with you".to_owned(),
                user_ids: vec![person],
            }),
            (Command::AddMembers, _) => Request::AddMembers(v1::AddMembersRequest {
                conversation_id,
                client_msg_id,
                user_ids: vec![self.other(Who::Stranger).id],
            }),
            (Command::RemoveMember, row) => Request::RemoveMember(v1::RemoveMemberRequest {
                conversation_id,
                client_msg_id,
                user_id: self.subject(row),
            }),
            (Command::LeaveGroup, _) => Request::LeaveGroup(v1::LeaveGroupRequest {
                conversation_id,
                client_msg_id,
            }),
            (Command::SetRole, row) => Request::SetRole(v1::SetRoleRequest {
                conversation_id,
                client_msg_id,
                user_id: self.subject(row),
                role: Role::Admin.into(),
            }),
            (Command::RenameGroup, _) => Request::RenameGroup(v1::RenameGroupRequest {
                conversation_id,
                client_msg_id,
                name: "renamed".to_owned(),
            }),
            (Command::DisbandGroup, _) => Request::DisbandGroup(v1::DisbandGroupRequest {
                conversation_id,
                client_msg_id,
            }),
            (Command::ListMembers, _) => Request::ListMembers(v1::ListMembersRequest {
                conversation_id,
                limit: 5,
                ..v1::ListMembersRequest::default()
            }),
            (Command::Typing, _) => Request::Typing(v1::TypingRequest {
                conversation_id,
                typing: true,
            }),
            (Command::WatchPresence, _) => Request::WatchPresence(v1::WatchPresenceRequest {
                user_ids: vec![person],
            }),
            (Command::SetAway, _) => Request::SetAway(v1::SetAwayRequest { away: true }),
            (command, row) => panic!("{command:?} is no request ({row})"),
        }
    }

    /// What who asks is answered, on a connection that is new where the request may end its session.
    #[expect(clippy::unwrap_in_result, reason = "a failed unwrap is the failing assertion")]
    fn asked_by(&mut self, who: Who, command: Command, request: &Request) -> Result<Reply, ErrorCode> {
        let ends = matches!(command, Command::Logout | Command::LogoutOthers);
        if who == Who::Script {
            let mut web = Web::to(self.daemon.address());
            let token = if ends {
                self.logins += 1;
                web.register(&format!("script.{}", self.logins)).token
            } else {
                self.script.token.clone()
            };
            let body = String::from_utf8(request.to_frame(Encoding::Json, 1).body.to_vec()).unwrap();
            let response = web.call(&token, command.name(), &body);
            if response.status != 200 {
                return Err(response.refusal().code());
            }
            let body = bytes::Bytes::copy_from_slice(&response.body);
            let reply = <Reply as Decode>::decode(command, Encoding::Json, body);
            return Ok(reply.unwrap());
        }
        let address = self.daemon.address();
        let mut ending = None;
        if ends && !matches!(who, Who::Nobody | Who::Revoked) {
            self.logins += 1;
            ending = Some(self.daemon.register(&format!("ends.{}", self.logins)));
        }
        let mut conn = match (ending, who) {
            (Some(user), _) => user.conn,
            (None, Who::Nobody) => {
                let mut conn = Connection::to(address);
                conn.ask(hello("first")).unwrap();
                conn
            }
            (None, Who::Revoked) => {
                let mut conn = Connection::to(address);
                let refusal = conn.ask(self.revoked.clone()).unwrap_err();
                assert_eq!(refusal.code(), ErrorCode::Unauthenticated);
                if command != Command::Hello {
                    conn.ask(hello("first")).unwrap();
                }
                conn
            }
            (None, _) => self.user(who).unwrap().resumed().conn,
        };
        let seq = conn.take_seq();
        let frame = request.to_frame(Encoding::Protobuf, seq);
        conn.write_frame(frame.kind, seq, frame.body);
        let answer = conn.answer_any(seq);
        if let Some(user) = self.user(who).filter(|_| !ends) {
            if matches!(command, Command::Hello | Command::Register | Command::Login) {
                // It was closed.
                *user = user.resumed();
            } else {
                user.conn = conn;
            }
        }
        answer.map(|reply| *reply).map_err(|refusal| refusal.code())
    }

    fn cell(&mut self, command: Command, row: &Row, who: Who) -> Cell {
        let group = if is_about_group(command, row.name) {
            self.group(who)
        } else {
            Group { id: 0, message: 0 }
        };
        let request = self.request(command, row.name, who, &group);
        let found = match self.asked_by(who, command, &request) {
            Err(code) => Cell::No(code),
            Ok(reply) if says_something(&reply, group.id) => Yes,
            Ok(_) => Nothing,
        };
        self.restore(command, who);
        found
    }

    /// Takes back what a cell has done between the one who asked and the person.
    fn restore(&mut self, command: Command, who: Who) {
        let between = matches!(
            command,
            Command::RequestFriend
                | Command::AnswerFriend
                | Command::WithdrawFriend
                | Command::RemoveFriend
                | Command::BlockUser
                | Command::UnblockUser
                | Command::UpdateFriend
        );
        let mut person = self.person.resumed();
        let asked = if who == Who::Script { Who::Member } else { who };
        if let Some(user) = self.user(asked) {
            if between {
                relate(asked, user, &mut person);
            }
            if command == Command::Send {
                let pair = user.direct(person.id);
                _ = user.about(EventKind::Reaction, pair, 1, "");
            }
        }
        self.person = person;
    }
}

/// Makes it so between somebody and the person, whatever it was.
fn relate(who: Who, user: &mut User, person: &mut User) {
    let (mine, theirs) = (user.id, person.id);
    for (one, other) in [(&mut *user, theirs), (&mut *person, mine)] {
        let (client_msg_id, user_id) = (message_id(), other);
        _ = one.ask(v1::UnblockUserRequest {
            client_msg_id,
            user_id,
        });
        let client_msg_id = message_id();
        _ = one.ask(v1::WithdrawFriendRequest {
            client_msg_id,
            user_id,
        });
        let client_msg_id = message_id();
        _ = one.ask(v1::RemoveFriendRequest {
            client_msg_id,
            user_id,
        });
    }
    let ask = |from: &mut User, to: u64| {
        from.get(v1::RequestFriendRequest {
            client_msg_id: message_id(),
            user_id: to,
            greeting: String::new(),
        });
    };
    let block = |from: &mut User, of: u64| {
        from.get(v1::BlockUserRequest {
            client_msg_id: message_id(),
            user_id: of,
        });
    };
    match who {
        Who::Friend | Who::FormerFriend => {
            ask(user, theirs);
            ask(person, mine);
            if who == Who::FormerFriend {
                user.get(v1::RemoveFriendRequest {
                    client_msg_id: message_id(),
                    user_id: theirs,
                });
            }
        }
        Who::Asker => ask(user, theirs),
        Who::Asked => ask(person, mine),
        Who::Blocked => block(person, mine),
        Who::Blocker => block(user, theirs),
        Who::Nobody
        | Who::Revoked
        | Who::Stranger
        | Who::Former
        | Who::Member
        | Who::Admin
        | Who::Owner
        | Who::Device
        | Who::Script
        | Who::Ended => {}
    }
}

/// Whether the request of a row is about the group.
fn is_about_group(command: Command, row: &str) -> bool {
    let is_elsewhere = row.contains("person") || row.contains("two others");
    let mut of_conversations = vec![Command::Send, Command::History, Command::GetConversation];
    of_conversations.extend([Command::GetConversations, Command::Typing, Command::Sync]);
    of_conversations.extend([Command::ListConversations, Command::Delivered, Command::Read]);
    let is_of_groups = (5001..5100).contains(&command.number()) && command != Command::CreateGroup;
    !is_elsewhere && (is_of_groups || of_conversations.contains(&command))
}

/// Whether an answer says anything of the group, or of the person where that is what was asked for.
fn says_something(reply: &Reply, group: u64) -> bool {
    match reply {
        Reply::Sync(sync) => sync
            .conversations
            .iter()
            .any(|change| change.conversation_id == group),
        Reply::ListConversations(list) => list
            .conversations
            .iter()
            .any(|conversation| conversation.conversation_id == group),
        Reply::GetConversations(get) => !get.conversations.is_empty(),
        Reply::WatchPresence(watch) => watch
            .presences
            .iter()
            .any(|presence| presence.state() != PresenceState::Offline || presence.last_seen_ms > 0),
        _ => true,
    }
}

fn run(setup: Setup) {
    let mut stage = Stage::new(setup);
    let (mut cells, mut wrong) = (0, Vec::new());
    for command in Command::requests() {
        let rows = rows(command);
        assert!(!rows.is_empty(), "{command:?} has no row");
        for row in rows {
            for who in ALL {
                let (expected, found) = (row.expected(who), stage.cell(command, &row, who));
                cells += 1;
                if expected != found {
                    let name = row.name;
                    wrong.push(format!(
                        "{name} by {who:?}: expected {expected:?}, found {found:?}"
                    ));
                }
            }
        }
    }
    println!("{cells} cells");
    assert!(wrong.is_empty(), "of {cells} cells:\n{}", wrong.join("\n"));
    assert!(cells >= 600, "{cells} cells");
}

#[test]
fn everybody_is_answered_as_the_matrix_says_on_the_embedded_store() {
    run(Setup::default());
}

#[test]
fn everybody_is_answered_as_the_matrix_says_on_postgresql() {
    run(Setup {
        store: Some(services::fresh_database().unwrap()),
        ..Setup::default()
    });
}
