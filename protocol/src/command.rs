//! The command numbers, in ranges by domain.

/// The range a command's number is in.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Domain {
    /// 1000: connecting, logging in, staying alive.
    Session,
    /// 2000: accounts and users.
    Account,
    /// 3000: messages, receipts, sync.
    Message,
    /// 5000: groups.
    Group,
    /// 6000: what passes and is not stored.
    Presence,
}

/// A number that names no command of this version.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("unknown command {0}")]
pub struct UnknownCommand(pub u16);

macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal, $push:literal;)*) => {
        /// Everything a frame's type can name. Numbers are stable.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        #[non_exhaustive]
        pub enum Command { $($(#[$doc])* $name = $number,)* }

        impl Command {
            /// All of them, by number.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The number in the header.
            pub const fn number(self) -> u16 { self as u16 }

            /// The command of a number.
            ///
            /// # Errors
            /// The number names no command of this version.
            pub const fn from_number(number: u16) -> Result<Self, UnknownCommand> {
                match number { $($number => Ok(Self::$name),)* _ => Err(UnknownCommand(number)) }
            }

            /// Its name for scripts and logs, as in `find_user`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The command of a name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$name),)* _ => None }
            }

            /// Only the server starts it: from a client it is a protocol error.
            pub const fn is_push(self) -> bool {
                match self { $(Self::$name => $push,)* }
            }
        }
    };
}

commands! {
    /// The first frame.
    Hello = 1001, "hello", false;
    /// Keeps the connection alive and brings a sync token.
    Ping = 1002, "ping", false;
    /// Creates an account and logs in.
    Register = 1003, "register", false;
    /// Logs in with a password.
    Login = 1004, "login", false;
    /// Ends this session.
    Logout = 1005, "logout", false;
    /// Ends every other session of this user.
    LogoutOthers = 1006, "logout_others", false;
    /// Lists this user's sessions.
    ListDevices = 1007, "list_devices", false;
    /// Push: the server is about to close.
    GoAway = 1100, "go_away", true;

    /// Profiles by id.
    GetUsers = 2001, "get_users", false;
    /// A profile by name.
    FindUser = 2002, "find_user", false;
    /// Changes one's own profile.
    UpdateProfile = 2003, "update_profile", false;

    /// Appends a message, an edit, a recall or a reaction.
    Send = 3001, "send", false;
    /// Reads events of a conversation.
    History = 3002, "history", false;
    /// What changed since a token.
    Sync = 3003, "sync", false;
    /// Conversations, newest first.
    ListConversations = 3004, "list_conversations", false;
    /// One conversation.
    GetConversation = 3005, "get_conversation", false;
    /// This device has everything up to here.
    Delivered = 3006, "delivered", false;
    /// This user has read everything up to here.
    Read = 3007, "read", false;
    /// Several conversations.
    GetConversations = 3008, "get_conversations", false;
    /// Push: events.
    EventsPush = 3100, "events", true;
    /// Push: conversations have grown; pull.
    HeadsPush = 3101, "heads", true;
    /// Push: delivered and read cursors.
    CursorsPush = 3102, "cursors", true;
    /// Push: a message that is not stored.
    TransientPush = 3103, "transient", true;

    /// Creates a group.
    CreateGroup = 5001, "create_group", false;
    /// Adds members.
    AddMembers = 5002, "add_members", false;
    /// Removes a member.
    RemoveMember = 5003, "remove_member", false;
    /// Leaves.
    LeaveGroup = 5004, "leave_group", false;
    /// Gives a member a role.
    SetRole = 5005, "set_role", false;
    /// Renames.
    RenameGroup = 5006, "rename_group", false;
    /// Ends the group: history stays, sends are refused.
    DisbandGroup = 5007, "disband_group", false;
    /// Lists members.
    ListMembers = 5008, "list_members", false;

    /// This user types, or stopped.
    Typing = 6001, "typing", false;
    /// Push: someone types, or stopped.
    TypingPush = 6100, "typing_push", true;
}

impl Command {
    /// The range its number is in.
    pub const fn domain(self) -> Domain {
        match self.number() / 1000 {
            1 => Domain::Session,
            2 => Domain::Account,
            3 => Domain::Message,
            5 => Domain::Group,
            _ => Domain::Presence,
        }
    }
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
