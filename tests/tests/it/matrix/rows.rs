//! What is expected: every command with its meanings, and what each of sixteen kinds of people is answered. Taken from
//! `docs/PROTOCOL.md`.

use protocol::{Command, v1::ErrorCode};

use Cell::{Nothing, Yes};

/// What somebody is answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cell {
    /// It is done, or shown.
    Yes,
    /// It is answered as if there were nothing.
    Nothing,
    /// It is refused.
    No(ErrorCode),
}

const ANONYMOUS: Cell = Cell::No(ErrorCode::Unauthenticated);
const UNKNOWN: Cell = Cell::No(ErrorCode::NotFound);
const FORBIDDEN: Cell = Cell::No(ErrorCode::Forbidden);
const GONE: Cell = Cell::No(ErrorCode::Gone);
/// It is so already, or there is nothing to do.
const IDLE: Cell = Cell::No(ErrorCode::Conflict);
const PROTOCOL: Cell = Cell::No(ErrorCode::Protocol);
const NO_CALL: Cell = Cell::No(ErrorCode::UnknownCommand);

/// Who asks. The first two have no session; the group of the next seven is the group that commands are about, and the
/// rest have something with the person that commands are about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Who {
    Nobody,
    Revoked,
    Stranger,
    Former,
    Member,
    Admin,
    Owner,
    /// Another device of the member.
    Device,
    /// A program that calls over HTTP for the member.
    Script,
    /// A member of a group that has ended, which is the group that their commands are about.
    Ended,
    Friend,
    FormerFriend,
    /// Who has asked the person for friendship.
    Asker,
    /// Whom the person has asked.
    Asked,
    Blocked,
    Blocker,
}

pub(super) const ALL: [Who; 16] = [
    Who::Nobody,
    Who::Revoked,
    Who::Stranger,
    Who::Former,
    Who::Member,
    Who::Admin,
    Who::Owner,
    Who::Device,
    Who::Script,
    Who::Ended,
    Who::Friend,
    Who::FormerFriend,
    Who::Asker,
    Who::Asked,
    Who::Blocked,
    Who::Blocker,
];

/// A meaning of a command: its name, what a stranger is answered, and who is answered otherwise.
pub(super) struct Row {
    pub(super) name: &'static str,
    stranger: Cell,
    others: Vec<(Who, Cell)>,
}

impl Row {
    pub(super) fn expected(&self, who: Who) -> Cell {
        let other = self.others.iter().find(|(other, _)| *other == who);
        match (other, who) {
            (Some((_, cell)), _) => *cell,
            (None, Who::Nobody | Who::Revoked) => ANONYMOUS,
            (None, _) => self.stranger,
        }
    }
}

fn row(name: &'static str, stranger: Cell, others: &[(Who, Cell)]) -> Vec<Row> {
    let others = others.to_vec();
    vec![Row {
        name,
        stranger,
        others,
    }]
}

/// Of a command about the group, by rights: who is no member any more, and then members, admins and owners.
fn of_group(name: &'static str, stranger: Cell, former: Cell, by_role: [Cell; 3], ended: Cell) -> Vec<Row> {
    let [member, admin, owner] = by_role;
    let others = [
        (Who::Former, former),
        (Who::Member, member),
        (Who::Device, member),
        (Who::Script, member),
        (Who::Admin, admin),
        (Who::Owner, owner),
        (Who::Ended, ended),
    ];
    row(name, stranger, &others)
}

/// Of what belongs to a connection and is no call.
fn of_connection(name: &'static str, others: &[(Who, Cell)]) -> Vec<Row> {
    let mut all = others.to_vec();
    all.push((Who::Script, NO_CALL));
    row(name, Yes, &all)
}

/// Of what both of a closed conversation may not.
fn unless_blocked(name: &'static str, usual: Cell) -> Vec<Row> {
    row(
        name,
        usual,
        &[(Who::Blocked, FORBIDDEN), (Who::Blocker, FORBIDDEN)],
    )
}

fn join(rows: impl IntoIterator<Item = Vec<Row>>) -> Vec<Row> {
    rows.into_iter().flatten().collect()
}

/// What everybody is answered.
pub(super) fn rows(command: Command) -> Vec<Row> {
    let name = command.name();
    let done = [Yes; 3];
    let admins = [FORBIDDEN, Yes, Yes];
    let owners = [FORBIDDEN, FORBIDDEN, Yes];
    match command {
        Command::Hello | Command::Ping => {
            let first = command == Command::Hello;
            let usual = if first { PROTOCOL } else { Yes };
            row(
                name,
                usual,
                // A refused token may be followed by another hello, a welcome may not.
                &[(Who::Nobody, usual), (Who::Revoked, Yes), (Who::Script, NO_CALL)],
            )
        }
        Command::Register | Command::Login => row(
            name,
            PROTOCOL,
            // A call has no connection that could be authenticated already.
            &[(Who::Nobody, Yes), (Who::Revoked, Yes), (Who::Script, Yes)],
        ),
        Command::Logout
        | Command::LogoutOthers
        | Command::ListDevices
        | Command::GetUsers
        | Command::FindUser
        | Command::SearchUsers
        | Command::UpdateProfile
        | Command::SetEntry
        | Command::ListEntries
        | Command::ListFriends
        | Command::ListBlocked => row(name, Yes, &[]),
        Command::RemoveEntry => row(name, IDLE, &[]),
        Command::Send => join([
            of_group("send", UNKNOWN, FORBIDDEN, done, GONE),
            of_group("send: edit another's", UNKNOWN, FORBIDDEN, [FORBIDDEN; 3], GONE),
            of_group("send: recall another's", UNKNOWN, FORBIDDEN, admins, GONE),
            of_group("send: react", UNKNOWN, FORBIDDEN, done, GONE),
            of_group("send: unstored", UNKNOWN, FORBIDDEN, done, GONE),
            unless_blocked("send: to the person", Yes),
            unless_blocked("send: edit the person's", FORBIDDEN),
            row("send: recall the person's", FORBIDDEN, &[]),
            unless_blocked("send: react to the person", Yes),
            unless_blocked("send: unstored to the person", Yes),
            row("send: to two others", UNKNOWN, &[]),
            row("send: unstored to two others", UNKNOWN, &[]),
            row("send: to the person's own log", UNKNOWN, &[]),
        ]),
        Command::History => join([
            of_group("history", UNKNOWN, Yes, done, Yes),
            row("history: with the person", Yes, &[]),
            row("history: of the person's own log", UNKNOWN, &[]),
            row("history: of two others", UNKNOWN, &[]),
        ]),
        Command::GetConversation => join([
            of_group("get_conversation", UNKNOWN, Yes, done, Yes),
            row("get_conversation: of two others", UNKNOWN, &[]),
        ]),
        Command::GetConversations => of_group("get_conversations", Nothing, Yes, done, Yes),
        Command::Sync | Command::ListConversations => of_group(name, Nothing, Yes, done, Yes),
        Command::Delivered | Command::Read => row(name, Yes, &[]),
        Command::RequestFriend => row(
            name,
            Yes,
            &[(Who::Friend, IDLE), (Who::Asker, IDLE), (Who::Blocker, FORBIDDEN)],
        ),
        Command::AnswerFriend => row(name, UNKNOWN, &[(Who::Asked, Yes)]),
        Command::WithdrawFriend => row(name, IDLE, &[(Who::Asker, Yes)]),
        Command::RemoveFriend => row(name, IDLE, &[(Who::Friend, Yes)]),
        Command::UpdateFriend => row(name, UNKNOWN, &[(Who::Friend, Yes)]),
        Command::BlockUser => row(name, Yes, &[(Who::Blocker, IDLE)]),
        Command::UnblockUser => row(name, IDLE, &[(Who::Blocker, Yes)]),
        Command::CreateGroup => row(name, Yes, &[(Who::Blocked, FORBIDDEN)]),
        Command::AddMembers => of_group(name, UNKNOWN, FORBIDDEN, done, GONE),
        Command::RemoveMember => join([
            of_group(name, UNKNOWN, FORBIDDEN, admins, GONE),
            of_group("remove_member: the admin", UNKNOWN, FORBIDDEN, owners, GONE),
            of_group(
                "remove_member: the owner",
                UNKNOWN,
                FORBIDDEN,
                [FORBIDDEN; 3],
                GONE,
            ),
        ]),
        Command::LeaveGroup => of_group(name, UNKNOWN, FORBIDDEN, [Yes, Yes, FORBIDDEN], GONE),
        Command::SetRole => join([
            of_group(name, UNKNOWN, FORBIDDEN, owners, GONE),
            // A group has an owner.
            of_group("set_role: the owner", UNKNOWN, FORBIDDEN, [FORBIDDEN; 3], GONE),
        ]),
        Command::DisbandGroup => of_group(name, UNKNOWN, FORBIDDEN, owners, GONE),
        Command::RenameGroup => of_group(name, UNKNOWN, FORBIDDEN, admins, GONE),
        Command::ListMembers => of_group(name, UNKNOWN, UNKNOWN, done, Yes),
        Command::Typing => join([
            of_group("typing", UNKNOWN, FORBIDDEN, done, GONE),
            unless_blocked("typing: to the person", Yes),
            row("typing: to two others", UNKNOWN, &[]),
        ]),
        Command::WatchPresence => {
            let mut row = of_connection(name, &[(Who::Friend, Yes)]);
            row[0].stranger = Nothing;
            row
        }
        Command::SetAway => of_connection(name, &[]),
        Command::GoAway
        | Command::EventsPush
        | Command::HeadsPush
        | Command::CursorsPush
        | Command::TransientPush
        | Command::TypingPush
        | Command::PresencePush => Vec::new(),
    }
}
