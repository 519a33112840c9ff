//! The table of commands: one row for each, and the only list of them. It must never hold code.
//!
//! A row is `Name = number, "name": Request => Response, Kind, Access;`, and of a push `Name = number, "name": Message;`.
//! Messages are those of the schema. From the rows are made [`Command`](crate::Command) with everything it knows,
//! [`Request`](crate::Request), [`Reply`](crate::Reply) and [`Push`](crate::Push) with their encoding and decoding, and
//! [`Call`](crate::Call). Code that must treat every command (validation, samples, tests, fuzzers) matches on those
//! without a default arm, or walks [`Command::ALL`](crate::Command::ALL). Rows ascend by number.

/// Hands the whole table to the macro `$make`.
macro_rules! table {
    ($make:ident) => {
        $make! {
            /// Connecting, logging in, staying alive.
            Session = 1000 {
                requests {
                    /// The first frame.
                    Hello = 1001, "hello": Hello => Welcome, Open, Anyone;
                    /// Keeps the connection alive and brings a sync token.
                    Ping = 1002, "ping": Ping => Pong, Local, Anyone;
                    /// Creates an account and logs in.
                    Register = 1003, "register": RegisterRequest => Session, Open, Anyone;
                    /// Logs in with a password.
                    Login = 1004, "login": LoginRequest => Session, Open, Anyone;
                    /// Ends this session.
                    Logout = 1005, "logout": LogoutRequest => Empty, Write, User;
                    /// Ends every other session of this user.
                    LogoutOthers = 1006, "logout_others": LogoutOthersRequest => LogoutOthersResponse, Write, User;
                    /// Lists this user's sessions.
                    ListDevices = 1007, "list_devices": ListDevicesRequest => ListDevicesResponse, Ask, User;
                }
                pushes {
                    /// Push: the server is about to close.
                    GoAway = 1100, "go_away": GoAway;
                }
            }
            /// Accounts and users.
            Account = 2000 {
                requests {
                    /// Profiles by id.
                    GetUsers = 2001, "get_users": GetUsersRequest => GetUsersResponse, Ask, User;
                    /// A profile by name.
                    FindUser = 2002, "find_user": FindUserRequest => FindUserResponse, Ask, User;
                    /// Changes one's own profile.
                    UpdateProfile = 2003, "update_profile": UpdateProfileRequest => UpdateProfileResponse, Write, User;
                    /// Profiles by the words of names.
                    SearchUsers = 2004, "search_users": SearchUsersRequest => SearchUsersResponse, Ask, User;
                }
                pushes {}
            }
            /// Messages, receipts, sync.
            Message = 3000 {
                requests {
                    /// Appends a message, an edit, a recall or a reaction.
                    Send = 3001, "send": SendRequest => SendResponse, Append, User;
                    /// Reads events of a conversation.
                    History = 3002, "history": HistoryRequest => HistoryResponse, Ask, User;
                    /// What changed since a token.
                    Sync = 3003, "sync": SyncRequest => SyncResponse, Ask, User;
                    /// Conversations, newest first.
                    ListConversations = 3004, "list_conversations": ListConversationsRequest => ListConversationsResponse, Ask, User;
                    /// One conversation.
                    GetConversation = 3005, "get_conversation": GetConversationRequest => GetConversationResponse, Ask, User;
                    /// This device has everything up to here.
                    Delivered = 3006, "delivered": DeliveredRequest => Empty, Write, User;
                    /// This user has read everything up to here.
                    Read = 3007, "read": ReadRequest => Empty, Write, User;
                    /// Several conversations.
                    GetConversations = 3008, "get_conversations": GetConversationsRequest => GetConversationsResponse, Ask, User;
                    /// Sets an entry of the own log.
                    SetEntry = 3009, "set_entry": SetEntryRequest => SendResponse, Append, User;
                    /// Removes one.
                    RemoveEntry = 3010, "remove_entry": RemoveEntryRequest => SendResponse, Append, User;
                    /// The entries of the own log, by key.
                    ListEntries = 3011, "list_entries": ListEntriesRequest => ListEntriesResponse, Ask, User;
                }
                pushes {
                    /// Push: events.
                    EventsPush = 3100, "events": Page;
                    /// Push: conversations have grown; pull.
                    HeadsPush = 3101, "heads": HeadsPush;
                    /// Push: delivered and read cursors.
                    CursorsPush = 3102, "cursors": CursorsPush;
                    /// Push: a message that is not stored.
                    TransientPush = 3103, "transient": TransientPush;
                }
            }
            /// Friends and blocks.
            People = 4000 {
                requests {
                    /// Asks somebody for friendship.
                    RequestFriend = 4001, "request_friend": RequestFriendRequest => SendResponse, Append, User;
                    /// Answers who asked.
                    AnswerFriend = 4002, "answer_friend": AnswerFriendRequest => SendResponse, Append, User;
                    /// Takes a request back.
                    WithdrawFriend = 4003, "withdraw_friend": WithdrawFriendRequest => SendResponse, Append, User;
                    /// Ends a friendship.
                    RemoveFriend = 4004, "remove_friend": RemoveFriendRequest => SendResponse, Append, User;
                    /// Sets private words about a friend.
                    UpdateFriend = 4005, "update_friend": UpdateFriendRequest => SendResponse, Append, User;
                    /// Friends and open requests.
                    ListFriends = 4006, "list_friends": ListFriendsRequest => ListFriendsResponse, Ask, User;
                    /// Blocks somebody.
                    BlockUser = 4007, "block_user": BlockUserRequest => SendResponse, Append, User;
                    /// No longer.
                    UnblockUser = 4008, "unblock_user": UnblockUserRequest => SendResponse, Append, User;
                    /// Who is blocked.
                    ListBlocked = 4009, "list_blocked": ListBlockedRequest => ListBlockedResponse, Ask, User;
                }
                pushes {}
            }
            /// Groups.
            Group = 5000 {
                requests {
                    /// Creates a group.
                    CreateGroup = 5001, "create_group": CreateGroupRequest => SendResponse, Append, User;
                    /// Adds members.
                    AddMembers = 5002, "add_members": AddMembersRequest => SendResponse, Append, User;
                    /// Removes a member.
                    RemoveMember = 5003, "remove_member": RemoveMemberRequest => SendResponse, Append, User;
                    /// Leaves.
                    LeaveGroup = 5004, "leave_group": LeaveGroupRequest => SendResponse, Append, User;
                    /// Gives a member a role.
                    SetRole = 5005, "set_role": SetRoleRequest => SendResponse, Append, User;
                    /// Renames.
                    RenameGroup = 5006, "rename_group": RenameGroupRequest => SendResponse, Append, User;
                    /// Ends the group: history stays, sends are refused.
                    DisbandGroup = 5007, "disband_group": DisbandGroupRequest => SendResponse, Append, User;
                    /// Lists members.
                    ListMembers = 5008, "list_members": ListMembersRequest => ListMembersResponse, Ask, User;
                }
                pushes {}
            }
            /// What passes and is not stored.
            Presence = 6000 {
                requests {
                    /// This user types, or stopped.
                    Typing = 6001, "typing": TypingRequest => Empty, Local, User;
                    /// Tells this connection how present these users are, now and whenever it changes.
                    WatchPresence = 6002, "watch_presence": WatchPresenceRequest => WatchPresenceResponse, Ask, User;
                    /// Nobody is at this device, or somebody is again.
                    SetAway = 6003, "set_away": SetAwayRequest => Empty, Local, User;
                }
                pushes {
                    /// Push: someone types, or stopped.
                    TypingPush = 6100, "typing_push": TypingPush;
                    /// Push: a watched user is present in another way.
                    PresencePush = 6101, "presence": Presence;
                }
            }
        }
    };
}

pub(crate) use table;
