//! Nobody learns by any command whether somebody is online who does not show them: two users of one kind ask the same, one
//! about a person who is online and one about a person who is not, and are answered with the same bytes.
//!
//! Both doors are asked. Replaced before the answers are compared: ids and names by what they stand for, moments and marks by
//! nothing. The moment when somebody was last here is none of these.

use protocol::{
    Command, Encoding, Push, Request, direct_conversation,
    v1::{self, EventKind, PresenceState, QualityOfService, Role},
};
use serde_json::Value;
use tests::harness::{Account, Daemon, Setup, User, Web, login, message_id, text};

use crate::cluster::until;

/// What the one who asks has to do with the person.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// Nothing, not even a group.
    Stranger,
    /// They are in one group, as in all that follow, and have talked.
    Member,
    FormerFriend,
    Asker,
    Asked,
    /// A friend who was blocked then.
    Blocked,
    /// A friend who blocked the person then.
    Blocker,
    /// A friend of somebody who shows nobody how present they are.
    Unshown,
    /// A friend, who may know: by whom it is seen that a difference would be found.
    Friend,
}

/// Somebody, the person whom they ask about, and their group.
struct Pair {
    asker: User,
    script: String,
    person: Account,
    person_name: String,
    /// Of the person, where they are online.
    online: Option<User>,
    group: u64,
}

/// An id that nobody has.
const NOBODY: u64 = 2_000_000;

impl Pair {
    fn new(world: &World, kind: Kind, number: usize, is_online: bool) -> Self {
        let side = u8::from(is_online);
        let [asker_name, person_name] = ["asker", "person"].map(|role| format!("{role}{number}{side}"));
        let mut asker = world.daemon.register(&asker_name);
        let mut online = world.daemon.register(&person_name);
        let mut web = Web::to(world.daemon.address());
        let script = Account::of(web.granted("", login(&asker_name))).token;
        let person = Account::of(web.granted("", login(&person_name)));
        let mut members = vec![world.bystander];
        if kind != Kind::Stranger {
            members.push(person.id);
            online.text(online.direct(asker.id), "hello");
        }
        let group = asker.group("a group", &members);
        relate(kind, &mut asker, &mut online);
        // Whoever is offline was here before, as whoever is online.
        let online = is_online.then_some(online);
        Self {
            asker,
            script,
            person,
            person_name,
            online,
            group,
        }
    }

    fn pair(&self) -> u64 {
        direct_conversation(self.asker.id, self.person.id).unwrap().get()
    }

    /// What an answer says, the same for whoever stands at the same place.
    fn masked(&self, value: &mut Value) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    let is_moment =
                        name.ends_with("_at_ms") || name.ends_with("time_ms") || name == "since_ms";
                    let is_mark = [
                        "token",
                        "sync_token",
                        "before",
                        "epoch",
                        "request_id",
                        "client_msg_id",
                    ]
                    .contains(&name.as_str());
                    if is_moment || is_mark {
                        *value = Value::Null;
                    } else if ["name", "display_name"].contains(&name.as_str())
                        && *value == self.person_name.as_str()
                    {
                        *value = "the person".into();
                    } else if ["name", "display_name"].contains(&name.as_str())
                        && *value == self.asker.name.as_str()
                    {
                        *value = "the asker".into();
                    } else if name == "key" {
                        let key = value.as_str().unwrap_or_default();
                        *value = key.replace(&self.person.id.to_string(), "the person").into();
                    } else if name == "value" {
                        // Of a friend it has a moment in it.
                        *value = value.as_str().map(str::len).into();
                    } else if name.ends_with("_id") || name.ends_with("_ids") || name == "mentions" {
                        self.masked_ids(value);
                    } else {
                        self.masked(value);
                    }
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.masked(value)),
            _ => {}
        }
    }

    fn masked_ids(&self, value: &mut Value) {
        let known = [
            (self.asker.id, "the asker"),
            (self.person.id, "the person"),
            (self.pair(), "the pair"),
            (self.group, "the group"),
        ];
        match value {
            Value::Array(values) => values.iter_mut().for_each(|value| self.masked_ids(value)),
            Value::String(id) => {
                let found = known.iter().find(|(known, _)| *id == known.to_string());
                *value = found.map_or("another", |(_, what)| what).into();
            }
            _ => {}
        }
    }

    /// What both doors answer.
    fn asked(&mut self, web: &mut Web, request: &Request) -> Vec<String> {
        let mut all = Vec::new();
        let seq = self.asker.conn.take_seq();
        let frame = request.to_frame(Encoding::Protobuf, seq);
        self.asker.conn.write_frame(frame.kind, seq, frame.body);
        let (what, body) = match self.asker.conn.answer_any(seq) {
            Ok(reply) => ("granted", reply.encode(Encoding::Json)),
            Err(refusal) => ("refused", Encoding::Json.encode(&refusal)),
        };
        all.push(format!("{what}: {}", self.said(&body)));
        if request.command().is_callable() {
            let body = request.to_frame(Encoding::Json, 1).body;
            let body = String::from_utf8(body.to_vec()).unwrap();
            let response = web.call(&self.script, request.command().name(), &body);
            all.push(format!("{}: {}", response.status, self.said(&response.body)));
        }
        all
    }

    fn said(&self, body: &[u8]) -> String {
        let mut value: Value = serde_json::from_slice(body).unwrap();
        self.masked(&mut value);
        value.to_string()
    }
}

/// A daemon, and who is in every group.
struct World {
    daemon: Daemon,
    bystander: u64,
}

impl World {
    /// Whether this user is, as the operator is told.
    fn is_connected(&self, name: &str) -> bool {
        let config = self.daemon.config_file().display().to_string();
        let found = Daemon::run_to_end(&["--config", &config, "where", name].map(Into::into));
        assert_eq!(found.status.code(), Some(0), "{found:?}");
        !found.stdout.contains("\toffline")
    }
}

/// Makes it so between the two.
fn relate(kind: Kind, asker: &mut User, person: &mut User) {
    let request = |user_id| v1::RequestFriendRequest {
        client_msg_id: message_id(),
        user_id,
        greeting: String::new(),
    };
    let block = |user_id| v1::BlockUserRequest {
        client_msg_id: message_id(),
        user_id,
    };
    let (asker_id, person_id) = (asker.id, person.id);
    // Whoever asks whom who has asked makes friends.
    if !matches!(kind, Kind::Stranger | Kind::Member | Kind::Asked) {
        asker.get(request(person_id));
    }
    if !matches!(kind, Kind::Stranger | Kind::Member | Kind::Asker) {
        person.get(request(asker_id));
    }
    match kind {
        Kind::FormerFriend => {
            person.get(v1::RemoveFriendRequest {
                client_msg_id: message_id(),
                user_id: asker_id,
            });
        }
        Kind::Unshown => {
            person.get(v1::SetEntryRequest {
                client_msg_id: message_id(),
                key: "setting/presence".to_owned(),
                value: "nobody".into(),
            });
        }
        Kind::Blocked => {
            person.get(block(asker_id));
        }
        Kind::Blocker => {
            asker.get(block(person_id));
        }
        Kind::Stranger | Kind::Member | Kind::Asker | Kind::Asked | Kind::Friend => {}
    }
}

/// What a command can ask about the person, or about what the two have together. A command that is added does not compile
/// until it is here.
fn about(command: Command, of: &Pair) -> Vec<Request> {
    let (person, pair, group, client_msg_id) = (of.person.id, of.pair(), of.group, message_id());
    let sent = |conversation_id, change: &dyn Fn(&mut v1::SendRequest)| {
        let mut send = text(conversation_id, "text");
        change(&mut send);
        Request::Send(send)
    };
    let about_first = |kind: EventKind| {
        sent(pair, &move |send: &mut v1::SendRequest| {
            send.kind = kind.into();
            send.target_seq = 1;
            if kind != EventKind::Edit {
                send.content = None;
            }
            if kind == EventKind::Reaction {
                send.reaction = "+1".to_owned();
            }
        })
    };
    match command {
        Command::GetUsers => vec![Request::GetUsers(v1::GetUsersRequest {
            user_ids: vec![person, NOBODY],
        })],
        Command::FindUser => vec![Request::FindUser(v1::FindUserRequest {
            name: of.person_name.clone(),
        })],
        Command::SearchUsers => vec![Request::SearchUsers(v1::SearchUsersRequest {
            query: of.person_name.clone(),
            limit: 5,
        })],
        Command::Send => vec![
            sent(pair, &|_| {}),
            sent(pair, &|send| send.quality = QualityOfService::AtMostOnce.into()),
            sent(group, &|send| {
                send.content.as_mut().unwrap().mentions = vec![person];
            }),
            sent(person, &|_| {}),
            about_first(EventKind::Edit),
            about_first(EventKind::Recall),
            about_first(EventKind::Reaction),
        ],
        Command::History => [pair, group, person]
            .map(|conversation_id| {
                Request::History(v1::HistoryRequest {
                    conversation_id,
                    limit: 100,
                    ..v1::HistoryRequest::default()
                })
            })
            .to_vec(),
        Command::Sync => vec![Request::Sync(v1::SyncRequest {
            limit: 500,
            ..v1::SyncRequest::default()
        })],
        Command::ListConversations => vec![Request::ListConversations(v1::ListConversationsRequest {
            limit: 100,
            ..v1::ListConversationsRequest::default()
        })],
        Command::GetConversation => [pair, group, person]
            .map(|conversation_id| Request::GetConversation(v1::GetConversationRequest { conversation_id }))
            .to_vec(),
        Command::GetConversations => vec![Request::GetConversations(v1::GetConversationsRequest {
            conversation_ids: vec![pair, group, person],
        })],
        Command::Delivered => vec![Request::Delivered(v1::DeliveredRequest {
            up_to: vec![v1::Head {
                conversation_id: pair,
                seq: 1,
            }],
        })],
        Command::Read => vec![Request::Read(v1::ReadRequest {
            conversation_id: pair,
            seq: 1,
        })],
        Command::SetEntry => vec![Request::SetEntry(v1::SetEntryRequest {
            client_msg_id,
            key: format!("friend/{person}"),
            value: "{}".into(),
        })],
        Command::RemoveEntry => vec![Request::RemoveEntry(v1::RemoveEntryRequest {
            client_msg_id,
            key: format!("block/{person}"),
        })],
        Command::ListEntries => vec![Request::ListEntries(v1::ListEntriesRequest {
            prefix: format!("friend/{person}"),
            limit: 5,
            ..v1::ListEntriesRequest::default()
        })],
        Command::UpdateFriend => vec![Request::UpdateFriend(v1::UpdateFriendRequest {
            client_msg_id,
            user_id: person,
            remark: "you".to_owned(),
            tags: Vec::new(),
        })],
        Command::ListFriends => vec![Request::ListFriends(v1::ListFriendsRequest {
            after_user_id: 0,
            limit: 5,
        })],
        Command::ListBlocked => vec![Request::ListBlocked(v1::ListBlockedRequest {
            after_user_id: 0,
            limit: 5,
        })],
        Command::CreateGroup => vec![Request::CreateGroup(v1::CreateGroupRequest {
            client_msg_id,
            name: "with you".to_owned(),
            user_ids: vec![person],
        })],
        Command::AddMembers => vec![Request::AddMembers(v1::AddMembersRequest {
            conversation_id: group,
            client_msg_id,
            user_ids: vec![person],
        })],
        Command::RemoveMember => vec![Request::RemoveMember(v1::RemoveMemberRequest {
            conversation_id: group,
            client_msg_id,
            user_id: person,
        })],
        Command::SetRole => vec![Request::SetRole(v1::SetRoleRequest {
            conversation_id: group,
            client_msg_id,
            user_id: person,
            role: Role::Admin.into(),
        })],
        Command::ListMembers => vec![Request::ListMembers(v1::ListMembersRequest {
            conversation_id: group,
            limit: 100,
            ..v1::ListMembersRequest::default()
        })],
        Command::Typing => [pair, group]
            .map(|conversation_id| {
                Request::Typing(v1::TypingRequest {
                    conversation_id,
                    typing: true,
                })
            })
            .to_vec(),
        Command::WatchPresence => vec![Request::WatchPresence(v1::WatchPresenceRequest {
            user_ids: vec![person, NOBODY, person],
        })],
        Command::RemoveFriend => vec![Request::RemoveFriend(v1::RemoveFriendRequest {
            client_msg_id,
            user_id: person,
        })],
        Command::WithdrawFriend => vec![Request::WithdrawFriend(v1::WithdrawFriendRequest {
            client_msg_id,
            user_id: person,
        })],
        // A yes would make them friends, who may know.
        Command::AnswerFriend => vec![Request::AnswerFriend(v1::AnswerFriendRequest {
            client_msg_id,
            user_id: person,
            accept: false,
        })],
        Command::BlockUser => vec![Request::BlockUser(v1::BlockUserRequest {
            client_msg_id,
            user_id: person,
        })],
        Command::UnblockUser => vec![Request::UnblockUser(v1::UnblockUserRequest {
            client_msg_id,
            user_id: person,
        })],
        Command::RequestFriend => vec![Request::RequestFriend(v1::RequestFriendRequest {
            client_msg_id,
            user_id: person,
            greeting: String::new(),
        })],
        // These name nobody, or change only what others are told of the asker.
        Command::Hello
        | Command::Ping
        | Command::Register
        | Command::Login
        | Command::Logout
        | Command::LogoutOthers
        | Command::ListDevices
        | Command::UpdateProfile
        | Command::SetAway
        | Command::LeaveGroup
        | Command::RenameGroup
        | Command::DisbandGroup
        | Command::GoAway
        | Command::EventsPush
        | Command::HeadsPush
        | Command::CursorsPush
        | Command::TransientPush
        | Command::TypingPush
        | Command::PresencePush => Vec::new(),
    }
}

/// Every command, and those last that change what is between the two; the one that may make them friends is the last.
fn in_order() -> Vec<Command> {
    let rank = |command: &Command| match command {
        Command::UpdateFriend
        | Command::RemoveFriend
        | Command::WithdrawFriend
        | Command::AnswerFriend
        | Command::BlockUser
        | Command::UnblockUser => 1,
        Command::RequestFriend => 2,
        _ => 0,
    };
    let mut all: Vec<Command> = Command::requests().collect();
    all.sort_by_key(rank);
    all
}

/// How present the friend of a person says that they are.
fn is_online(witness: &mut User, person: u64) -> Option<bool> {
    let watch = v1::WatchPresenceRequest {
        user_ids: vec![person],
    };
    let presence = witness.get(watch).presences[0];
    match presence.state() {
        PresenceState::Online => Some(true),
        PresenceState::Offline if presence.last_seen_ms > 0 => Some(false),
        _ => None,
    }
}

/// What a push has told somebody who may not know, if one has.
fn told(asker: &mut User) -> Option<String> {
    let pushes = asker.pushes_so_far();
    let told = pushes.iter().find(|push| matches!(push, Push::PresencePush(_)))?;
    Some(format!("{} is told {told:?}", asker.name))
}

/// Compares all answers to two of a kind; how many there were, and which differed.
fn compare(world: &World, number: usize, kind: Kind) -> (usize, Vec<String>) {
    let mut pairs = [true, false].map(|online| Pair::new(world, kind, number, online));
    until("one is online and one is not", || {
        pairs.each_ref().map(|pair| world.is_connected(&pair.person_name)) == [true, false]
    });
    if kind == Kind::Friend {
        let [online, offline] = &mut pairs;
        until("that is seen", || {
            is_online(&mut online.asker, online.person.id) == Some(true)
                && is_online(&mut offline.asker, offline.person.id) == Some(false)
        });
    }
    let mut web = Web::to(world.daemon.address());
    let (mut count, mut differ) = (0, Vec::new());
    for command in in_order() {
        // What it may make of the two are friends, who are told.
        if command == Command::RequestFriend && kind != Kind::Friend {
            differ.extend(pairs.iter_mut().filter_map(|pair| told(&mut pair.asker)));
        }
        let requests = pairs.each_ref().map(|pair| about(command, pair));
        let [of_online, of_offline] = &requests;
        for (online, offline) in of_online.iter().zip(of_offline) {
            if let Some(person) = &mut pairs[0].online {
                // Present in every way there is, and never the same for long.
                person.get(v1::SetAwayRequest { away: count % 2 == 0 });
            }
            let answers = [
                pairs[0].asked(&mut web, online),
                pairs[1].asked(&mut web, offline),
            ];
            count += answers[0].len();
            if answers[0] != answers[1] {
                differ.push(format!(
                    "{kind:?}, {}:\n  online  {:?}\n  offline {:?}",
                    command.name(),
                    answers[0],
                    answers[1]
                ));
            }
        }
    }
    (count, differ)
}

fn run(setup: Setup) {
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("control").display().to_string();
    let config = format!("[timeouts]\npresence_grace_ms = 0\n[control]\nsocket = {socket:?}\n");
    let daemon = Setup { config, ..setup }.start();
    let bystander = daemon.register("bystander").id;
    let world = World { daemon, bystander };
    let kinds = [
        Kind::Stranger,
        Kind::Member,
        Kind::FormerFriend,
        Kind::Asker,
        Kind::Asked,
        Kind::Blocked,
        Kind::Blocker,
        Kind::Unshown,
    ];
    let (mut count, mut differ) = (0, Vec::new());
    for (number, kind) in kinds.into_iter().enumerate() {
        let (compared, found) = compare(&world, number, kind);
        count += compared;
        differ.extend(found);
    }
    println!("{count} answers");
    assert!(differ.is_empty(), "of {count}:\n{}", differ.join("\n"));
    assert!(count >= 600, "{count} answers");
    // Who may know is answered otherwise, by this command alone.
    let (_, found) = compare(&world, kinds.len(), Kind::Friend);
    assert_eq!(found.len(), 1, "{}", found.join("\n"));
    assert!(found[0].starts_with("Friend, watch_presence:"), "{}", found[0]);
}

#[test]
fn answers_about_who_is_online_and_who_is_not_are_the_same_bytes_on_the_embedded_store() {
    run(Setup::default());
}

#[test]
fn answers_about_who_is_online_and_who_is_not_are_the_same_bytes_on_postgresql() {
    run(Setup {
        store: Some(services::fresh_database().unwrap()),
        ..Setup::default()
    });
}
