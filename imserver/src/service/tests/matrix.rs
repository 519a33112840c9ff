//! Who may do what in a group: a row a command, a column for each whom a group can tell apart.
//!
//! `one_request` names every command, so one that is added does not compile until it has a request here; and the test
//! fails until it has a row.

use protocol::{
    Access, Call, Command, Reply, Request,
    v1::{self, ErrorCode, Role},
};

use super::{
    super::work::Failure,
    fixture::{Answered, Group},
    requests,
};
use crate::principal::Principal;

/// What somebody is answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Cell {
    /// It is done, or shown.
    Ok,
    /// It is answered as if there were no such group: nothing of it is said.
    Nothing,
    /// It is refused.
    No(ErrorCode),
}

use Cell::{Nothing, Ok as Yes};

const UNKNOWN: Cell = Cell::No(ErrorCode::NotFound);
const FORBIDDEN: Cell = Cell::No(ErrorCode::Forbidden);
const GONE: Cell = Cell::No(ErrorCode::Gone);
/// It is so already.
const IDLE: Cell = Cell::No(ErrorCode::Conflict);
/// The session answers it, or refuses it to whoever is authenticated; it never comes to a service.
const PROTOCOL: Cell = Cell::No(ErrorCode::Protocol);

type Row = (&'static str, [Cell; 6]);

/// While the group lives.
#[rustfmt::skip]
const LIVES: &[Row] = &[
    //                       stranger   former     member     admin      owner      member's other device
    ("hello",               [PROTOCOL,  PROTOCOL,  PROTOCOL,  PROTOCOL,  PROTOCOL,  PROTOCOL]),
    ("ping",                [PROTOCOL,  PROTOCOL,  PROTOCOL,  PROTOCOL,  PROTOCOL,  PROTOCOL]),
    ("register",            [PROTOCOL,  PROTOCOL,  PROTOCOL,  PROTOCOL,  PROTOCOL,  PROTOCOL]),
    ("login",               [PROTOCOL,  PROTOCOL,  PROTOCOL,  PROTOCOL,  PROTOCOL,  PROTOCOL]),
    ("logout",              [Yes,       Yes,       Yes,       Yes,       Yes,       Yes]),
    ("logout_others",       [Yes,       Yes,       Yes,       Yes,       Yes,       Yes]),
    ("list_devices",        [Yes,       Yes,       Yes,       Yes,       Yes,       Yes]),
    ("get_users",           [Yes,       Yes,       Yes,       Yes,       Yes,       Yes]),
    ("find_user",           [Yes,       Yes,       Yes,       Yes,       Yes,       Yes]),
    ("search_users",        [Yes,       Yes,       Yes,       Yes,       Yes,       Yes]),
    ("update_profile",      [Yes,       Yes,       Yes,       Yes,       Yes,       Yes]),
    ("send",                [UNKNOWN,   FORBIDDEN, Yes,       Yes,       Yes,       Yes]),
    ("send: edit other's",  [UNKNOWN,   FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN]),
    ("send: recall other's",[UNKNOWN,   FORBIDDEN, FORBIDDEN, Yes,       Yes,       FORBIDDEN]),
    ("send: react",         [UNKNOWN,   FORBIDDEN, Yes,       Yes,       Yes,       Yes]),
    ("send: reply",         [UNKNOWN,   FORBIDDEN, Yes,       Yes,       Yes,       Yes]),
    ("send: at most once",  [UNKNOWN,   FORBIDDEN, Yes,       Yes,       Yes,       Yes]),
    ("history",             [UNKNOWN,   Yes,       Yes,       Yes,       Yes,       Yes]),
    ("sync",                [Nothing,   Yes,       Yes,       Yes,       Yes,       Yes]),
    ("list_conversations",  [Nothing,   Yes,       Yes,       Yes,       Yes,       Yes]),
    ("get_conversation",    [UNKNOWN,   Yes,       Yes,       Yes,       Yes,       Yes]),
    ("delivered",           [Nothing,   Yes,       Yes,       Yes,       Yes,       Yes]),
    ("read",                [Nothing,   Yes,       Yes,       Yes,       Yes,       Yes]),
    ("get_conversations",   [Nothing,   Yes,       Yes,       Yes,       Yes,       Yes]),
    ("set_entry",           [Yes,       Yes,       Yes,       Yes,       Yes,       Yes]),
    ("remove_entry",        [IDLE,      IDLE,      IDLE,      IDLE,      IDLE,      IDLE]),
    ("list_entries",        [Nothing,   Nothing,   Nothing,   Nothing,   Nothing,   Nothing]),
    // About the bystander, with whom nobody here has anything.
    ("request_friend",      [Yes,       Yes,       Yes,       Yes,       Yes,       Yes]),
    ("answer_friend",       [UNKNOWN,   UNKNOWN,   UNKNOWN,   UNKNOWN,   UNKNOWN,   UNKNOWN]),
    ("withdraw_friend",     [IDLE,      IDLE,      IDLE,      IDLE,      IDLE,      IDLE]),
    ("remove_friend",       [IDLE,      IDLE,      IDLE,      IDLE,      IDLE,      IDLE]),
    ("update_friend",       [UNKNOWN,   UNKNOWN,   UNKNOWN,   UNKNOWN,   UNKNOWN,   UNKNOWN]),
    ("list_friends",        [Nothing,   Nothing,   Nothing,   Nothing,   Nothing,   Nothing]),
    ("block_user",          [Yes,       Yes,       Yes,       Yes,       Yes,       Yes]),
    ("unblock_user",        [IDLE,      IDLE,      IDLE,      IDLE,      IDLE,      IDLE]),
    ("list_blocked",        [Nothing,   Nothing,   Nothing,   Nothing,   Nothing,   Nothing]),
    ("create_group",        [Yes,       Yes,       Yes,       Yes,       Yes,       Yes]),
    ("add_members",         [UNKNOWN,   FORBIDDEN, Yes,       Yes,       Yes,       Yes]),
    ("remove_member",       [UNKNOWN,   FORBIDDEN, FORBIDDEN, Yes,       Yes,       FORBIDDEN]),
    ("leave_group",         [UNKNOWN,   FORBIDDEN, Yes,       Yes,       FORBIDDEN, Yes]),
    ("set_role",            [UNKNOWN,   FORBIDDEN, FORBIDDEN, FORBIDDEN, Yes,       FORBIDDEN]),
    ("rename_group",        [UNKNOWN,   FORBIDDEN, FORBIDDEN, Yes,       Yes,       FORBIDDEN]),
    ("disband_group",       [UNKNOWN,   FORBIDDEN, FORBIDDEN, FORBIDDEN, Yes,       FORBIDDEN]),
    ("list_members",        [UNKNOWN,   UNKNOWN,   Yes,       Yes,       Yes,       Yes]),
    ("typing",              [UNKNOWN,   FORBIDDEN, Yes,       Yes,       Yes,       Yes]),
    // Nobody here is the bystander: they are told what is told of anybody who is not there.
    ("watch_presence",      [Nothing,   Nothing,   Nothing,   Nothing,   Nothing,   Nothing]),
    ("set_away",            [Yes,       Yes,       Yes,       Yes,       Yes,       Yes]),
];

/// After the group was disbanded: what has other answers then. Disbanding is the owner's own event and the last one, so
/// the owner's cursors are at the end, and nothing is left to move.
#[rustfmt::skip]
const DISBANDED: &[Row] = &[
    //                       stranger   former     member     admin      owner      member's other device
    ("send",                [UNKNOWN,   FORBIDDEN, GONE,      GONE,      GONE,      GONE]),
    ("send: edit other's",  [UNKNOWN,   FORBIDDEN, GONE,      GONE,      GONE,      GONE]),
    ("send: recall other's",[UNKNOWN,   FORBIDDEN, GONE,      GONE,      GONE,      GONE]),
    ("send: react",         [UNKNOWN,   FORBIDDEN, GONE,      GONE,      GONE,      GONE]),
    ("send: reply",         [UNKNOWN,   FORBIDDEN, GONE,      GONE,      GONE,      GONE]),
    ("send: at most once",  [UNKNOWN,   FORBIDDEN, GONE,      GONE,      GONE,      GONE]),
    ("delivered",           [Nothing,   Yes,       Yes,       Yes,       Nothing,   Yes]),
    ("read",                [Nothing,   Yes,       Yes,       Yes,       Nothing,   Yes]),
    ("add_members",         [UNKNOWN,   FORBIDDEN, GONE,      GONE,      GONE,      GONE]),
    ("remove_member",       [UNKNOWN,   FORBIDDEN, GONE,      GONE,      GONE,      GONE]),
    ("leave_group",         [UNKNOWN,   FORBIDDEN, GONE,      GONE,      GONE,      GONE]),
    ("set_role",            [UNKNOWN,   FORBIDDEN, GONE,      GONE,      GONE,      GONE]),
    ("rename_group",        [UNKNOWN,   FORBIDDEN, GONE,      GONE,      GONE,      GONE]),
    ("disband_group",       [UNKNOWN,   FORBIDDEN, GONE,      GONE,      GONE,      GONE]),
    ("typing",              [UNKNOWN,   FORBIDDEN, GONE,      GONE,      GONE,      GONE]),
];

/// One of a command that would be right from somebody who may; about the group, if the command is.
pub(super) fn one_request(command: Command, group: &Group) -> Option<Request> {
    let (id, message) = (group.id, group.message);
    Some(match command {
        Command::Hello => Request::Hello(v1::Hello::default()),
        Command::Ping => Request::Ping(v1::Ping {}),
        Command::Register => super::fixture::register("newcomer"),
        Command::Login => super::fixture::log_in("member"),
        Command::Logout => Request::Logout(v1::LogoutRequest {}),
        Command::LogoutOthers => Request::LogoutOthers(v1::LogoutOthersRequest {}),
        Command::ListDevices => Request::ListDevices(v1::ListDevicesRequest {}),
        Command::GetUsers => Request::GetUsers(v1::GetUsersRequest {
            user_ids: vec![group.bystander.user.0],
        }),
        Command::FindUser => Request::FindUser(v1::FindUserRequest {
            name: "Bystander".into(),
        }),
        Command::SearchUsers => Request::SearchUsers(v1::SearchUsersRequest {
            query: "bystan".into(),
            limit: 9,
        }),
        Command::UpdateProfile => Request::UpdateProfile(v1::UpdateProfileRequest {
            status: Some("away".into()),
            ..v1::UpdateProfileRequest::default()
        }),
        Command::Send => requests::text(id, "text").into_request(),
        Command::History => requests::history(id, message).into_request(),
        Command::Sync => requests::sync(&bytes::Bytes::new()),
        Command::ListConversations => requests::list(&bytes::Bytes::new(), 100),
        Command::GetConversation => requests::get(id),
        Command::Delivered => Request::Delivered(v1::DeliveredRequest {
            up_to: vec![v1::Head {
                conversation_id: id,
                seq: group.head,
            }],
        }),
        Command::Read => Request::Read(v1::ReadRequest {
            conversation_id: id,
            seq: group.head,
        }),
        Command::GetConversations => Request::GetConversations(v1::GetConversationsRequest {
            conversation_ids: vec![id],
        }),
        Command::SetEntry => Request::SetEntry(v1::SetEntryRequest {
            client_msg_id: requests::fresh(),
            key: "app/x".into(),
            value: "x".into(),
        }),
        Command::RemoveEntry => Request::RemoveEntry(v1::RemoveEntryRequest {
            client_msg_id: requests::fresh(),
            key: "app/kept".into(),
        }),
        Command::ListEntries => Request::ListEntries(v1::ListEntriesRequest {
            limit: 9,
            ..v1::ListEntriesRequest::default()
        }),
        Command::RequestFriend => Request::RequestFriend(v1::RequestFriendRequest {
            client_msg_id: requests::fresh(),
            user_id: group.bystander.user.0,
            greeting: "hello".into(),
        }),
        Command::AnswerFriend => Request::AnswerFriend(v1::AnswerFriendRequest {
            client_msg_id: requests::fresh(),
            user_id: group.bystander.user.0,
            accept: true,
        }),
        Command::WithdrawFriend => Request::WithdrawFriend(v1::WithdrawFriendRequest {
            client_msg_id: requests::fresh(),
            user_id: group.bystander.user.0,
        }),
        Command::RemoveFriend => Request::RemoveFriend(v1::RemoveFriendRequest {
            client_msg_id: requests::fresh(),
            user_id: group.bystander.user.0,
        }),
        Command::UpdateFriend => Request::UpdateFriend(v1::UpdateFriendRequest {
            client_msg_id: requests::fresh(),
            user_id: group.bystander.user.0,
            remark: "by".into(),
            tags: Vec::new(),
        }),
        Command::ListFriends => Request::ListFriends(v1::ListFriendsRequest {
            after_user_id: 0,
            limit: 9,
        }),
        Command::BlockUser => Request::BlockUser(v1::BlockUserRequest {
            client_msg_id: requests::fresh(),
            user_id: group.bystander.user.0,
        }),
        Command::UnblockUser => Request::UnblockUser(v1::UnblockUserRequest {
            client_msg_id: requests::fresh(),
            user_id: group.bystander.user.0,
        }),
        Command::ListBlocked => Request::ListBlocked(v1::ListBlockedRequest {
            after_user_id: 0,
            limit: 9,
        }),
        Command::CreateGroup => requests::create("another", &[group.bystander.user]),
        Command::AddMembers => requests::add(id, &[group.stranger.user]),
        Command::RemoveMember => requests::remove(id, group.bystander.user),
        Command::LeaveGroup => requests::leave(id),
        Command::SetRole => requests::set_role(id, group.bystander.user, Role::Admin),
        Command::RenameGroup => requests::rename(id, "renamed"),
        Command::DisbandGroup => requests::disband(id),
        Command::ListMembers => requests::list_members(id),
        Command::Typing => requests::typing(id),
        Command::WatchPresence => Request::WatchPresence(v1::WatchPresenceRequest {
            user_ids: vec![group.bystander.user.0],
        }),
        Command::SetAway => Request::SetAway(v1::SetAwayRequest { away: true }),
        Command::GoAway
        | Command::EventsPush
        | Command::HeadsPush
        | Command::CursorsPush
        | Command::TransientPush
        | Command::TypingPush
        | Command::PresencePush => return None,
    })
}

/// The request of a row: of the command that it names, or one of those with several meanings.
fn request_of(row: &str, group: &Group) -> Request {
    let (id, message) = (group.id, group.message);
    let send = match row {
        "send: edit other's" => requests::edit(id, message, "edited"),
        "send: recall other's" => requests::recall(id, message),
        "send: react" => requests::react(id, message, "+1"),
        "send: reply" => requests::reply_to(id, message),
        "send: at most once" => requests::at_most_once(requests::text(id, "text")),
        command => {
            let command = Command::from_name(command).unwrap();
            return one_request(command, group).unwrap();
        }
    };
    send.into_request()
}

/// Whether an answer or what it did says anything of the group.
fn says_something(answered: &Answered, group: &mut Group, who: Principal) -> bool {
    match &answered.reply {
        Reply::Sync(sync) => !sync.conversations.is_empty(),
        Reply::ListEntries(list) => !list.entries.is_empty(),
        Reply::ListFriends(list) => !list.friends.is_empty(),
        Reply::ListBlocked(list) => !list.users.is_empty(),
        Reply::ListConversations(list) => !list.conversations.is_empty(),
        Reply::GetConversations(get) => !get.conversations.is_empty(),
        Reply::WatchPresence(watch) => watch.presences.iter().any(|presence| presence.last_seen_ms > 0),
        Reply::Delivered(_) | Reply::Read(_) => {
            // Its own cursor moved, or nobody's.
            let outcomes = group.fixture.write_lazily();
            let moves = outcomes.iter().find_map(|outcome| match outcome {
                storage::Outcome::Cursors(moves, ..) => Some(moves),
                _ => None,
            });
            let moves = moves.unwrap();
            assert!(moves.iter().all(|moved| moved.user == who.user));
            !moves.is_empty()
        }
        _ => true,
    }
}

fn cell(row: &str, mut group: Group, who: usize) -> Cell {
    let who = [
        group.stranger,
        group.former,
        group.member,
        group.admin,
        group.owner,
        group.other_device,
    ][who];
    let request = request_of(row, &group);
    let command = request.command();
    match group.fixture.ask(who, request) {
        Ok(answered) => {
            assert_eq!(answered.reply.command(), command, "{row}");
            if says_something(&answered, &mut group, who) {
                Yes
            } else {
                Nothing
            }
        }
        Err(Failure::Refused(refusal)) => Cell::No(refusal.code()),
        Err(failure) => panic!("{row}: {failure:?}"),
    }
}

fn answers(rows: &[Row], group: impl Fn() -> Group) {
    let all = rows.iter().map(|(row, expected)| {
        let found: [Cell; 6] = std::array::from_fn(|who| cell(row, group(), who));
        (row, *expected, found)
    });
    let wrong: Vec<String> = all
        .filter(|(_, expected, found)| expected != found)
        .map(|(row, expected, found)| format!("{row}\n  expected {expected:?}\n  found    {found:?}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_is_answered_as_the_table_says() {
    answers(LIVES, Group::new);
}

#[test]
fn each_is_answered_as_the_table_says_once_the_group_is_disbanded() {
    let disbanded = || {
        let mut group = Group::new();
        let disband = requests::disband(group.id);
        group.fixture.answered(group.owner, disband);
        group
    };
    answers(DISBANDED, disbanded);
    // Whatever is not in that table has the same answers as before.
    let rest: Vec<Row> = LIVES
        .iter()
        .filter(|(row, _)| !DISBANDED.iter().any(|(other, _)| other == row))
        .copied()
        .collect();
    answers(&rest, disbanded);
}

#[test]
fn every_command_has_a_row() {
    let group = Group::new();
    for command in Command::ALL.iter().copied() {
        let request = one_request(command, &group);
        assert_eq!(request.is_none(), command.is_push(), "{command:?}");
        let Some(request) = request else { continue };
        assert_eq!(request.command(), command);
        if command.access() != Some(Access::Anyone) {
            protocol::validate::request(&request, &group.fixture.limits).unwrap();
        }
        let rows = LIVES.iter().filter(|(row, _)| *row == command.name()).count();
        assert_eq!(rows, 1, "rows of {}", command.name());
    }
}
